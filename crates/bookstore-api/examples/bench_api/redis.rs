//! A cached read through Redis, beside what Redis gives to its own benchmark.

use std::net::SocketAddr;
use std::process::Command;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::load::{Connection, get, repeated};
use super::process::Server;
use super::{Fallible, median, ratio};

const ROUNDS: usize = 7;
const REQUESTS: usize = 40_000;
const CONNECTIONS: usize = 50;
const KEY: &str = "bookstore-bench-api";

/// A command to Redis, and the beginning of its answer.
async fn command(address: SocketAddr, words: &[&[u8]]) -> Fallible<String> {
    let mut stream = TcpStream::connect(address).await?;
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    stream.write_all(&bytes).await?;
    let mut answer = vec![0; 64 << 10];
    let read = stream.read(&mut answer).await?;
    Ok(String::from_utf8_lossy(answer.get(..read).unwrap_or_default()).into_owned())
}

/// How many commands Redis has carried out.
async fn commands(address: SocketAddr) -> Fallible<f64> {
    let info = command(address, &[b"INFO", b"stats"]).await?;
    let line = info.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
    Ok(line.ok_or("no count")?.trim().parse()?)
}

/// GETs a second by Redis' own benchmark.
fn benchmark(address: SocketAddr) -> Fallible<f64> {
    let output = Command::new("redis-benchmark")
        .args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()])
        .args(["-P", "1", "-c", &CONNECTIONS.to_string(), "-n", &REQUESTS.to_string(), "-q", "GET", KEY])
        .output()
        .map_err(|error| format!("redis-benchmark: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).replace('\r', "\n");
    let line = text.lines().rev().find(|line| line.contains("requests per second")).ok_or("no figure")?;
    let figure = line.split(" requests per second").next().and_then(|text| text.split(' ').next_back());
    Ok(figure.ok_or("no figure")?.parse()?)
}

pub(crate) async fn measure() -> Fallible<()> {
    #[expect(clippy::disallowed_methods, reason = "a program of its own: it has no settings.rs")]
    let url = std::env::var("REDIS_URL").unwrap_or_default();
    if url.is_empty() {
        println!("through Redis: not measured, for REDIS_URL names none");
        return Ok(());
    }
    let parsed = reqwest::Url::parse(&url)?;
    let host = parsed.host_str().ok_or("no host in REDIS_URL")?;
    let host = tokio::net::lookup_host((host, parsed.port().unwrap_or(6379))).await?;
    let address = host.into_iter().find(SocketAddr::is_ipv4).ok_or("no address of REDIS_URL")?;

    let server = match Server::api(&[("REDIS_URL", &url), ("LOG_ACCESS_EVERY", "100")]).await {
        Ok(server) => server,
        Err(error) => {
            println!("through Redis: not measured: {error}");
            return Ok(());
        }
    };
    let mut connection = Connection::open(server.address).await?;
    let page = connection.get("/api/v1/books?limit=1&sort=title").await?.json()?;
    let id = page.pointer("/items/0/id").and_then(serde_json::Value::as_str).ok_or("no book")?;
    let path = format!("/api/v1/books/{id}");
    let book = connection.get(&path).await?;
    book.json()?;
    // Of the size of what the service keeps, give or take a few bytes.
    command(address, &[b"SET", KEY.as_bytes(), &book.body]).await?;

    let request = get(&path, "");
    let (mut hits, mut gets, mut again, mut cpu) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    repeated(server.address, &request, CONNECTIONS, REQUESTS / 4).await?;
    let (mut round_trips, requests) = (0.0, f64::from(u32::try_from(REQUESTS)?));
    for _ in 0..ROUNDS {
        gets.push(benchmark(address)?);
        let (commands_before, before) = (commands(address).await?, server.cpu()?);
        let wall = repeated(server.address, &request, CONNECTIONS, REQUESTS).await?;
        hits.push(requests / wall.as_secs_f64());
        cpu.push((server.cpu()? - before) * 1e6 / requests);
        round_trips += (commands(address).await? - commands_before) / requests;
        again.push(benchmark(address)?);
    }
    command(address, &[b"DEL", KEY.as_bytes()]).await?;
    println!(
        "cached GET through Redis: {ROUNDS} rounds in turn of {REQUESTS} requests over {CONNECTIONS} connections"
    );
    println!("  redis-benchmark -P 1 GET, {} bytes   {:10.0} a second", book.body.len(), median(&gets));
    println!(
        "  A/A control: the same again          {:10.0} a second   ratio {:.2}",
        median(&again),
        ratio(&again, &gets)
    );
    println!(
        "  hits of the service                  {:10.0} a second   ratio {:.2}   (wanted: at least 0.30)",
        median(&hits),
        ratio(&hits, &gets)
    );
    println!("  its own processor time               {:10.2} µs a hit", median(&cpu));
    println!(
        "  commands that Redis carried out      {:10.2} a hit, others' among them   (wanted: 1)",
        round_trips / f64::from(u32::try_from(ROUNDS)?)
    );
    Ok(())
}
