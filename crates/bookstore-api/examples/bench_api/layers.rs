//! A cached `GET /api/v1/books/{id}`: processor time a request, layer by layer.

use super::load::{Connection, get, repeated};
use super::process::Server;
use super::{Fallible, median, ratio};

const ROUNDS: usize = 9;
const REQUESTS: usize = 20_000;
const CONNECTIONS: usize = 16;

struct Candidate {
    name: &'static str,
    server: Server,
    request: Vec<u8>,
    cpu: Vec<f64>,
    wall: Vec<f64>,
}

impl Candidate {
    fn new(name: &'static str, server: Server, path: &str) -> Self {
        Self { name, server, request: get(path, ""), cpu: Vec::new(), wall: Vec::new() }
    }

    /// Microseconds of processor and of the clock for each of so many requests.
    async fn round(&self, requests: usize) -> Fallible<(f64, f64)> {
        let before = self.server.cpu()?;
        let wall = repeated(self.server.address, &self.request, CONNECTIONS, requests).await?;
        #[expect(clippy::cast_precision_loss, reason = "some ten thousands")]
        let each = 1e6 / requests as f64;
        Ok(((self.server.cpu()? - before) * each, wall.as_secs_f64() * each))
    }
}

/// A service, and the path of a book that its cache has.
async fn service(settings: &[(&str, &str)]) -> Fallible<(Server, String)> {
    let server = Server::api(settings).await?;
    let mut connection = Connection::open(server.address).await?;
    let page = connection.get("/api/v1/books?limit=1&sort=title").await?.json()?;
    let id = page.pointer("/items/0/id").and_then(serde_json::Value::as_str).ok_or("no book")?;
    Ok((server, format!("/api/v1/books/{id}")))
}

pub(crate) async fn measure() -> Fallible<()> {
    let (sampled, path) = service(&[("LOG_ACCESS_EVERY", "100")]).await?;
    let (all, other_path) = service(&[("LOG_ACCESS_EVERY", "1")]).await?;
    let answer = Connection::open(sampled.address).await?.get(&path).await?;
    answer.json()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("answer");
    std::fs::write(&file, [answer.head.as_bytes(), &answer.body].concat())?;

    let mut candidates = Vec::new();
    for (name, layer) in [
        ("bare hyper, the same bytes", "hyper"),
        ("A/A control: bare hyper again", "hyper"),
        ("axum", "axum"),
        ("  + metrics", "metrics"),
        ("  + spans", "spans"),
        ("  + access event, 1 in 100", "sampled"),
        ("  + access event, each", "events"),
        ("  all layers of http-server, 1 in 100", "guarded"),
    ] {
        candidates.push(Candidate::new(name, Server::layer(layer, &file).await?, &path));
    }
    candidates.push(Candidate::new("whole service, 1 in 100", sampled, &path));
    candidates.push(Candidate::new("whole service, each", all, &other_path));

    for candidate in &candidates {
        candidate.round(REQUESTS / 4).await?;
    }
    let count = candidates.len();
    for round in 0..ROUNDS {
        for turn in 0..count {
            // Another order each round, so that nobody always follows the same one.
            let index = if round % 2 == 0 { (turn + round) % count } else { (round + count - turn) % count };
            let Some(candidate) = candidates.get_mut(index) else { continue };
            let (cpu, wall) = candidate.round(REQUESTS).await?;
            candidate.cpu.push(cpu);
            candidate.wall.push(wall);
        }
    }

    println!(
        "cached GET /api/v1/books/{{id}}, {} bytes of JSON: {ROUNDS} rounds in turn of {REQUESTS} requests over {CONNECTIONS} connections",
        answer.body.len()
    );
    println!("  {:42} {:>14} {:>12} {:>14}", "", "CPU µs/request", "ratio", "clock µs");
    let Some((base, _)) = candidates.split_first() else { return Ok(()) };
    for candidate in &candidates {
        let wanted = match candidate.name {
            "whole service, 1 in 100" => "   (wanted: at most 2)",
            "whole service, each" => "   (wanted: at most 3)",
            _ => "",
        };
        println!(
            "  {:42} {:14.2} {:12.2} {:14.2}{wanted}",
            candidate.name,
            median(&candidate.cpu),
            ratio(&candidate.cpu, &base.cpu),
            median(&candidate.wall),
        );
    }
    Ok(())
}
