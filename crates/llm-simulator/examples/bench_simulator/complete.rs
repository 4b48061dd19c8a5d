//! Complete answers at zero latency: how many a second, and what one costs, beside bare axum.

use std::time::{Duration, Instant};

use super::client::{Connection, post};
use super::process::Server;
use super::{Fallible, median};

/// How long one server is measured at a time.
const ROUND: Duration = Duration::from_secs(3);
/// How often each is measured, in turn.
const ROUNDS: usize = 5;
/// Connections at once.
const CONNECTIONS: usize = 32;
/// Different books that are asked about.
const BOOKS: usize = 256;

/// The same question in the words of each protocol: name, path, headers, body.
fn question(protocol: &str, book: usize) -> Vec<u8> {
    let text = format!(
        "<book>\\nTitle: The Book of Number {book}\\nAuthors: A. N. Author\\nDescription: A captain hunts the \
         whale that took his leg, and loses ship and crew.\\n</book>\\nWrite a summary of this book."
    );
    let turn = format!(r#""messages":[{{"role":"user","content":"{text}"}}]"#);
    match protocol {
        "ollama" => post("/api/chat", "", &format!(r#"{{"model":"llama3.2","stream":false,{turn}}}"#)),
        "openai" => post(
            "/v1/chat/completions",
            "authorization: Bearer any\r\n",
            &format!(r#"{{"model":"gpt-4o",{turn}}}"#),
        ),
        "anthropic" => post(
            "/v1/messages",
            "x-api-key: any\r\nanthropic-version: 2023-06-01\r\n",
            &format!(r#"{{"model":"claude-sonnet-4-5","max_tokens":1024,{turn}}}"#),
        ),
        _ => post(
            "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse",
            "authorization: Bearer any\r\n",
            &format!(r#"{{"messages":[{{"role":"user","content":[{{"text":"{text}"}}]}}]}}"#),
        ),
    }
}

/// Answers a second and microseconds of processor an answer.
async fn round(server: &Server, requests: &[Vec<u8>]) -> Fallible<(f64, f64)> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Connection::open(server.address).await?);
    }
    let (begun, cpu) = (Instant::now(), server.cpu()?);
    let each = connections.iter_mut().enumerate().map(|(first, connection)| async move {
        let mut answers = 0_usize;
        for request in requests.iter().cycle().skip(first * 7) {
            if begun.elapsed() > ROUND {
                break;
            }
            connection.exchange(request).await?;
            answers += 1;
        }
        Ok::<usize, Box<dyn std::error::Error + Send + Sync>>(answers)
    });
    let answers: usize = futures::future::try_join_all(each).await?.into_iter().sum();
    let took = begun.elapsed().as_secs_f64();
    Ok((answers as f64 / took, (server.cpu()? - cpu) / answers as f64 * 1e6))
}

/// Measures and prints.
pub(crate) async fn measure() -> Fallible<()> {
    println!("complete answers, no latency, {CONNECTIONS} connections, {BOOKS} different questions,");
    println!("{ROUNDS} rounds of {} s each in turn; the client shares the machine\n", ROUND.as_secs());
    println!(
        "{:<22} {:>12} {:>16} {:>12} {:>10}",
        "", "answers/s", "of bare axum", "CPU µs each", "peak MiB"
    );
    let simulator = Server::simulator(&[
        ("SIM_PROFILE", "instant"),
        ("LOG_FILTER", "warn"),
        ("SIM_REQUESTS_PER_MINUTE", "100000000"),
        ("SIM_TOKENS_PER_MINUTE", "1000000000000"),
    ])
    .await?;
    let protocols = ["ollama", "openai", "anthropic", "bedrock"];
    let mut bares = Vec::new();
    let folder = tempfile::tempdir()?;
    for protocol in protocols {
        let answer = Connection::open(simulator.address).await?.send(&question(protocol, 0)).await?;
        let file = folder.path().join(protocol);
        std::fs::write(&file, answer)?;
        bares.push(Server::bare(&file).await?);
    }
    for (protocol, bare) in protocols.into_iter().zip(&bares) {
        let requests: Vec<Vec<u8>> = (0..BOOKS).map(|book| question(protocol, book)).collect();
        let (mut ours, mut theirs, mut again) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(round(&simulator, &requests).await?);
            theirs.push(round(bare, &requests).await?);
            again.push(round(bare, &requests).await?);
        }
        let rate = |rounds: &[(f64, f64)]| median(&rounds.iter().map(|(rate, _)| *rate).collect::<Vec<_>>());
        let cpu = |rounds: &[(f64, f64)]| median(&rounds.iter().map(|(_, cpu)| *cpu).collect::<Vec<_>>());
        let row = |name: &str, rounds: &[(f64, f64)], peak: &str| {
            println!(
                "{name:<22} {:>12.0} {:>16.2} {:>12.1} {peak:>10}",
                rate(rounds),
                rate(rounds) / rate(&theirs),
                cpu(rounds)
            );
        };
        row(protocol, &ours, &format!("{:.1}", simulator.peak_mib()?));
        row("  bare axum", &theirs, "");
        row("  bare axum again (A/A)", &again, "");
    }
    println!();
    Ok(())
}
