//! `make bench`: what the service adds to a provider's time, what a hit costs, memory at rest, time
//! to ready. Compared figures are measured in turn within one run, beside an A/A control that
//! shows the machine's noise. Starts the binaries that lie beside it; sends load to 127.0.0.1 only.

use std::error::Error;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const ROUNDS: usize = 2_000;
const STARTS: usize = 7;

type Fallible<T> = Result<T, Box<dyn Error>>;

/// A started binary; ended by pid when dropped.
struct Service {
    child: Child,
    base: String,
    _data: tempfile::TempDir,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> Fallible<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

async fn start(
    client: &reqwest::Client,
    name: &str,
    settings: &[(&str, &str)],
) -> Fallible<(Service, Duration)> {
    let binary: PathBuf = std::env::current_exe()?.ancestors().nth(2).ok_or("no target folder")?.join(name);
    let data = tempfile::tempdir()?;
    let port = free_port()?;
    let started = Instant::now();
    let child = Command::new(&binary)
        .env_clear()
        .env("HTTP_PORT", port.to_string())
        .env("DATA_DIR", data.path())
        .envs(settings.iter().copied())
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("{}: {error}; `make bench` builds it", binary.display()))?;
    let service = Service { child, base: format!("http://127.0.0.1:{port}"), _data: data };
    loop {
        let answer = client.get(format!("{}/health/ready", service.base)).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return Ok((service, started.elapsed()));
        }
        if started.elapsed() > Duration::from_secs(20) {
            return Err(format!("{name} was not ready within 20 s").into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Resident memory in MiB.
fn resident(pid: u32) -> Fallible<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    let kib: f64 = line.split_whitespace().nth(1).ok_or("no figure")?.parse()?;
    Ok(kib / 1024.0)
}

fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank among a few hundred values"
    )]
    let rank = ((values.len().saturating_sub(1)) as f64 * q).round() as usize;
    values.get(rank).copied().unwrap_or(f64::NAN)
}

fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

async fn timed(request: reqwest::RequestBuilder) -> Fallible<(f64, Value)> {
    let started = Instant::now();
    let answer = request.send().await?.error_for_status()?;
    let body = answer.bytes().await?;
    let milliseconds = started.elapsed().as_secs_f64() * 1_000.0;
    Ok((milliseconds, serde_json::from_slice(&body)?))
}

/// The ids of the whole catalogue.
async fn catalogue(client: &reqwest::Client, books: &str) -> Fallible<Vec<String>> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let (_, page) = timed(client.get(format!("{books}?limit=100{cursor}"))).await?;
        let items = page.pointer("/items").and_then(Value::as_array).ok_or("no books")?;
        ids.extend(items.iter().filter_map(|book| Some(book.get("id")?.as_str()?.to_owned())));
        match page.get("nextCursor").and_then(Value::as_str) {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(ids),
        }
    }
}

/// Sum and count of the writes that keep summaries, from the service's own metrics.
async fn kept(client: &reqwest::Client, base: &str) -> Fallible<(f64, f64)> {
    let text = client.get(format!("{base}/metrics")).send().await?.text().await?;
    let figure = |suffix: &str| -> f64 {
        let name = format!("bookstore_store_operation_duration_seconds_{suffix}{{operation=\"keep_summary\"");
        text.lines()
            .find(|line| line.starts_with(&name))
            .and_then(|line| line.rsplit(' ').next())
            .and_then(|value| value.parse().ok())
            .unwrap_or(0.0)
    };
    Ok((figure("sum"), figure("count")))
}

async fn summaries(client: &reqwest::Client) -> Fallible<()> {
    let delays = [("SIM_FIRST_TOKEN_MEDIAN_MS", "20"), ("SIM_GAP_MEDIAN_MS", "0"), ("LOG_FILTER", "info")];
    let (simulator, _) = start(client, "llm-simulator", &delays).await?;
    let (api, _) = start(client, "bookstore-api", &[("OLLAMA_BASE_URL", &simulator.base)]).await?;
    let books = format!("{}/api/v1/books", api.base);
    let ids = catalogue(client, &books).await?;
    let (warm_up, cold) = ids.split_at(5.min(ids.len()));
    for id in warm_up {
        timed(client.post(format!("{books}/{id}/generate-summary"))).await?;
    }
    let before = kept(client, &api.base).await?;
    let (mut added, mut provider) = (Vec::new(), Vec::new());
    for id in cold {
        let (whole, answer) = timed(client.post(format!("{books}/{id}/generate-summary"))).await?;
        let own = answer.pointer("/generation/latencyMs").and_then(Value::as_f64).ok_or("no latencyMs")?;
        provider.push(own);
        added.push(whole - own);
    }
    let after = kept(client, &api.base).await?;
    let write = (after.0 - before.0) / (after.1 - before.1) * 1_000.0;
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    let mean = added.iter().sum::<f64>() / added.len() as f64;
    let all = median(&mut added);
    println!("generate-summary of a cold book, {} calls, telemetry on", added.len());
    println!("  provider's own time          median {:8.3} ms", median(&mut provider));
    println!(
        "  added, durable write in it   median {all:8.3} ms   p95 {:8.3} ms",
        quantile(&mut added, 0.95)
    );
    println!("  the durable write            mean   {write:8.3} ms");
    println!(
        "  added without it             median {:8.3} ms   mean {:8.3} ms   (wanted: at most 1 ms)",
        all - write,
        mean - write
    );

    let id = ids.first().ok_or("no book")?;
    let (book, summary) = (format!("{books}/{id}"), format!("{books}/{id}/generate-summary"));
    let (mut get, mut again, mut hit) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        get.push(timed(client.get(&book)).await?.0);
        hit.push(timed(client.post(&summary)).await?.0);
        again.push(timed(client.get(&book)).await?.0);
    }
    let (get, again, hit) = (median(&mut get), median(&mut again), median(&mut hit));
    println!("a hit beside a cached GET, {} rounds in turn", ROUNDS);
    println!("  cached GET     median {get:8.4} ms");
    println!("  cached summary median {hit:8.4} ms   ratio {:.2}   (wanted: at most 2)", hit / get);
    println!("  A/A control    median {again:8.4} ms   ratio {:.2}", again / get);
    Ok(())
}

async fn rest(client: &reqwest::Client) -> Fallible<()> {
    println!("at rest and at start, {STARTS} starts each   (wanted: under 40 MiB, ready within 300 ms)");
    for name in ["bookstore-api", "perf-service", "llm-simulator"] {
        let (mut ready, mut memory) = (Vec::new(), Vec::new());
        for _ in 0..STARTS {
            let (service, after) = start(client, name, &[]).await?;
            tokio::time::sleep(Duration::from_millis(300)).await;
            ready.push(after.as_secs_f64() * 1_000.0);
            memory.push(resident(service.child.id())?);
        }
        println!(
            "  {name:14} resident median {:5.1} MiB, most {:5.1}   ready median {:6.1} ms, slowest {:6.1}",
            median(&mut memory),
            quantile(&mut memory, 1.0),
            median(&mut ready),
            quantile(&mut ready, 1.0)
        );
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Fallible<()> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).tcp_nodelay(true).build()?;
    summaries(&client).await?;
    rest(&client).await
}
