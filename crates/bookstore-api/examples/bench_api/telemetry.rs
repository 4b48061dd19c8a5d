//! What telemetry costs a whole service: on against off (`OTEL_SDK_DISABLED`), a scrape, and a collector
//! that is dead or slow.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::load::{Connection, get, timed};
use super::process::Server;
use super::{Fallible, median, ratio};

const ROUNDS: usize = 9;
const CONNECTIONS: usize = 16;
/// Of a read each round; of summaries a tenth of it, for each is some milliseconds of work.
const REQUESTS: usize = 8_000;
const SUMMARIES: usize = 800;
/// Reads while a collector is dead or slow.
const READS: usize = 150_000;
const SCRAPES: usize = 40;
/// How long a slow collector takes for an answer.
const SLOW: Duration = Duration::from_secs(10);

struct Candidate {
    name: &'static str,
    server: Server,
    request: Vec<u8>,
    cpu: Vec<f64>,
    p99: Vec<f64>,
}

impl Candidate {
    async fn round(&mut self, requests: usize, keep: bool) -> Fallible<()> {
        let before = self.server.cpu()?;
        let mut took = timed(self.server.address, &self.request, CONNECTIONS, requests).await?;
        if keep {
            #[expect(clippy::cast_precision_loss, reason = "some thousands")]
            self.cpu.push((self.server.cpu()? - before) * 1e6 / requests as f64);
            took.sort_unstable();
            let p99 = took.get(took.len() * 99 / 100).copied().unwrap_or_default();
            self.p99.push(p99.as_secs_f64() * 1e3);
        }
        Ok(())
    }
}

/// Takes OTLP over HTTP and forgets it, `pause` after it has come.
#[expect(clippy::disallowed_methods, reason = "it ends with the program, which has nothing to drain")]
async fn collector(pause: Duration) -> Fallible<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = Vec::with_capacity(1 << 20);
                loop {
                    buffer.clear();
                    let mut whole = usize::MAX;
                    while buffer.len() < whole {
                        match stream.read_buf(&mut buffer).await {
                            Ok(0) | Err(_) => return,
                            Ok(_) => {}
                        }
                        if whole == usize::MAX
                            && let Some(head) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n")
                        {
                            let text = String::from_utf8_lossy(buffer.get(..head).unwrap_or_default());
                            let length = text.to_ascii_lowercase();
                            let length = length.split("content-length:").nth(1).unwrap_or_default();
                            let length = length.split("\r\n").next().unwrap_or_default().trim();
                            whole = head + 4 + length.parse::<usize>().unwrap_or(0);
                        }
                    }
                    tokio::time::sleep(pause).await;
                    if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    Ok(address)
}

fn redis() -> String {
    #[expect(clippy::disallowed_methods, reason = "a program of its own: it has no settings.rs")]
    std::env::var("REDIS_URL").unwrap_or_default()
}

async fn a_book(server: &Server) -> Fallible<String> {
    let mut connection = Connection::open(server.address).await?;
    let page = connection.get("/api/v1/books?limit=1&sort=title").await?.json()?;
    Ok(page.pointer("/items/0/id").and_then(serde_json::Value::as_str).ok_or("no book")?.to_owned())
}

/// On against off, in turn.
pub(crate) async fn measure() -> Fallible<()> {
    let simulator = Server::simulator(&[("SIM_PROFILE", "instant")]).await?;
    let ollama = format!("http://{}", simulator.address);
    let sink = format!("http://{}", collector(Duration::ZERO).await?);
    let redis = redis();
    let variants: [(&'static str, &[(&str, &str)]); 5] = [
        ("off (OTEL_SDK_DISABLED=true)", &[("OTEL_SDK_DISABLED", "true")]),
        ("A/A control: off again", &[("OTEL_SDK_DISABLED", "true")]),
        ("on, as shipped", &[]),
        (
            "on, 1 trace in 100 to a collector",
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", &sink),
                ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
                ("OTEL_TRACES_SAMPLER_ARG", "0.01"),
            ],
        ),
        ("on, all traces to a collector", &[("OTEL_EXPORTER_OTLP_ENDPOINT", &sink)]),
    ];
    for (what, summary) in [("a summary through the simulator", true), ("a cached GET through Redis", false)]
    {
        if !summary && redis.is_empty() {
            println!("{what}: not measured, for REDIS_URL names none");
            continue;
        }
        let mut candidates = Vec::new();
        for (name, settings) in variants {
            let mut all = vec![("OLLAMA_BASE_URL", ollama.as_str()), ("LLM_PROVIDER", "ollama")];
            if !summary {
                all.push(("REDIS_URL", redis.as_str()));
            }
            all.extend_from_slice(settings);
            let server = Server::api(&all).await?;
            let book = a_book(&server).await?;
            let request = match summary {
                true => format!(
                    "POST /api/v1/books/{book}/generate-summary?refresh=true HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n"
                )
                .into_bytes(),
                false => get(&format!("/api/v1/books/{book}"), ""),
            };
            candidates.push(Candidate { name, server, request, cpu: Vec::new(), p99: Vec::new() });
        }
        let requests = if summary { SUMMARIES } else { REQUESTS };
        for candidate in &mut candidates {
            candidate.round(requests, false).await?;
        }
        let count = candidates.len();
        for round in 0..ROUNDS {
            for turn in 0..count {
                let index =
                    if round % 2 == 0 { (turn + round) % count } else { (round + count - turn) % count };
                if let Some(candidate) = candidates.get_mut(index) {
                    candidate.round(requests, true).await?;
                }
            }
        }
        println!("{what}: {ROUNDS} rounds in turn of {requests} requests over {CONNECTIONS} connections");
        println!("  {:42} {:>14} {:>8} {:>10} {:>8}", "", "CPU µs/request", "ratio", "p99 ms", "ratio");
        let Some((off, _)) = candidates.split_first() else { continue };
        for candidate in &candidates {
            let wanted = if candidate.name == "on, as shipped" { "   (wanted: at most 1.10)" } else { "" };
            println!(
                "  {:42} {:14.2} {:8.3} {:10.3} {:8.3}{wanted}",
                candidate.name,
                median(&candidate.cpu),
                ratio(&candidate.cpu, &off.cpu),
                median(&candidate.p99),
                ratio(&candidate.p99, &off.p99),
            );
        }
    }
    Ok(())
}

/// How long `/metrics` takes, after every route has answered in several ways.
pub(crate) async fn scrape() -> Fallible<()> {
    let simulator = Server::simulator(&[("SIM_PROFILE", "instant")]).await?;
    let ollama = format!("http://{}", simulator.address);
    let server = Server::api(&[
        ("OLLAMA_BASE_URL", ollama.as_str()),
        ("LLM_PROVIDER", "ollama"),
        ("OTEL_SEMCONV_STABILITY_OPT_IN", "gen_ai/dup"),
        ("OPENAI_API_KEY", "none-is-needed-here"),
        ("OPENAI_BASE_URL", &format!("{ollama}/v1")),
        ("ANTHROPIC_API_KEY", "none-is-needed-here"),
        ("ANTHROPIC_BASE_URL", &ollama),
    ])
    .await?;
    let book = a_book(&server).await?;
    let mut connection = Connection::open(server.address).await?;
    for path in
        ["books", "authors", "llm/providers", "llm/usage", "experiments", "books/x", "authors/x", "none"]
    {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            for kind in ["application/json", "text/plain"] {
                let request = format!(
                    "{method} /api/v1/{path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: 2\r\n\r\n{{}}"
                );
                connection.send(request.as_bytes()).await?;
            }
        }
    }
    for provider in ["ollama", "openai", "claude"] {
        let path = format!("/api/v1/books/{book}/generate-summary?refresh=true&provider={provider}");
        let request = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
        connection.send(request.as_bytes()).await?;
    }
    let answer = connection.get("/metrics").await?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let series = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
    let mut took = Vec::new();
    for _ in 0..SCRAPES {
        let started = Instant::now();
        connection.get("/metrics").await?;
        took.push(started.elapsed().as_secs_f64() * 1e3);
    }
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let of_2000 = median(&took) * 2_000.0 / series as f64;
    println!(
        "a scrape: {series} series, {} KiB: {:.2} ms, so {of_2000:.2} ms for 2,000   (wanted: under 5 ms)",
        answer.body.len() >> 10,
        median(&took)
    );
    Ok(())
}

/// The same reads with a collector that works, is dead, or takes its time.
pub(crate) async fn dead_or_slow() -> Fallible<()> {
    let (works, slow) = (collector(Duration::ZERO).await?, collector(SLOW).await?);
    let closed = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let (works, slow, closed) =
        (format!("http://{works}"), format!("http://{slow}"), format!("http://{closed}"));
    let mut servers = Vec::new();
    for (name, endpoint) in [
        ("a collector that works", Some(&works)),
        ("A/A control: that works, too", Some(&works)),
        ("one that is dead", Some(&closed)),
        ("one that takes 10 s for an answer", Some(&slow)),
        ("none: nothing is exported", None),
    ] {
        let server = match endpoint {
            Some(endpoint) => Server::api(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]).await?,
            None => Server::api(&[]).await?,
        };
        let request = get(&format!("/api/v1/books/{}", a_book(&server).await?), "");
        timed(server.address, &request, CONNECTIONS, READS / 10).await?;
        let at_first = server.resident_mib()?;
        servers.push((name, server, request, at_first, Vec::new()));
    }
    let each = READS / ROUNDS;
    for _ in 0..ROUNDS {
        for (_, server, request, _, rates) in &mut servers {
            let started = Instant::now();
            timed(server.address, request, CONNECTIONS, each).await?;
            #[expect(clippy::cast_precision_loss, reason = "some thousands")]
            rates.push(each as f64 / started.elapsed().as_secs_f64());
        }
    }
    println!(
        "cached GET, all traces to: {ROUNDS} rounds in turn of {each} requests over {CONNECTIONS} connections"
    );
    println!("  {:36} {:>10} {:>8} {:>14} {:>12}", "", "a second", "ratio", "memory grows", "stops within");
    let base = servers.first().map(|(.., rates)| rates.clone()).unwrap_or_default();
    for (name, server, _, at_first, rates) in servers {
        let grown = server.resident_mib()? - at_first;
        let wanted = if name.starts_with("one") { "   (wanted: 0.97, 32 MiB, 5 s)" } else { "" };
        println!(
            "  {name:36} {:10.0} {:8.3} {grown:10.1} MiB {:10.2} s{wanted}",
            median(&rates),
            ratio(&rates, &base),
            server.stopped_within()?.as_secs_f64(),
        );
    }
    Ok(())
}
