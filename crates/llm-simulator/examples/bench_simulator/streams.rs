//! Many streams at once: how much later than drawn each chunk arrives, and the memory it takes.
//!
//! What a chunk's time should be is drawn here again from the same seed; the client's own lateness,
//! on the same processors, is part of what is measured.

use std::ops::Range;
use std::time::{Duration, Instant};

use llm_simulator::answer::Answer;
use llm_simulator::profile::Profile;
use llm_simulator::question::{Question, Turn};
use tokio::task::JoinSet;

use super::client::{Connection, post};
use super::process::Server;
use super::{Fallible, quantile};

/// Time to the first token, milliseconds: median and 95th percentile.
const FIRST: (f64, f64) = (400.0, 900.0);
/// Tokens of an answer, likewise.
const TOKENS: (f64, f64) = (120.0, 240.0);
/// The seed of both sides.
const SEED: u64 = 1;
/// How long the streams take to come up: all of them in one instant would measure that instant.
const RAMP: Duration = Duration::from_secs(3);

/// Measures and prints, at three speeds of the model.
pub(crate) async fn measure(streams: usize, seconds: usize) -> Fallible<()> {
    println!(
        "{streams} streams at once for {seconds} s after a ramp of {} s, one chunk a token;",
        RAMP.as_secs()
    );
    println!("milliseconds from when a chunk was drawn to come to when the client had read it\n");
    println!(
        "{:>16} {:>10} {:>8} {:>8} {:>8} {:>8} {:>16} {:>11} {:>9}",
        "tokens/s each", "chunks/s", "p50", "p90", "p99", "p99.9", "answers ≤ 2 ms", "CPU cores", "peak MiB"
    );
    for gap in [80.0, 50.0, 40.0] {
        speed(streams, seconds, gap).await?;
    }
    println!(
        "\n\"answers ≤ 2 ms\" is the simulator's own account: answers whose latest chunk was handed over in time\n"
    );
    Ok(())
}

async fn speed(streams: usize, seconds: usize, gap_ms: f64) -> Fallible<()> {
    let gap = (gap_ms, gap_ms * 2.0);
    let profile = Profile::log_normal("bench", FIRST, gap, TOKENS).ok_or("no such profile")?;
    let text = |pair: (f64, f64)| (pair.0.to_string(), pair.1.to_string());
    let (first, gaps, tokens) = (text(FIRST), text(gap), text(TOKENS));
    let simulator = Server::simulator(&[
        ("SIM_SEED", &SEED.to_string()),
        ("SIM_FIRST_TOKEN_MEDIAN_MS", &first.0),
        ("SIM_FIRST_TOKEN_P95_MS", &first.1),
        ("SIM_GAP_MEDIAN_MS", &gaps.0),
        ("SIM_GAP_P95_MS", &gaps.1),
        ("SIM_OUTPUT_TOKENS_MEDIAN", &tokens.0),
        ("SIM_OUTPUT_TOKENS_P95", &tokens.1),
        ("LOG_FILTER", "warn"),
    ])
    .await?;
    let begun = Instant::now();
    let measured = begun + RAMP..begun + RAMP + Duration::from_secs(seconds as u64);
    let mut tasks: JoinSet<Fallible<Vec<f32>>> = JoinSet::new();
    for stream in 0..streams {
        let (address, profile, measured) = (simulator.address, profile.clone(), measured.clone());
        tasks.spawn(async move {
            tokio::time::sleep(RAMP.mul_f64(stream as f64 / streams as f64)).await;
            let mut connection = Connection::open(address).await?;
            let mut late = Vec::new();
            for nth in 0.. {
                if Instant::now() > measured.end {
                    break;
                }
                one(&mut connection, &profile, &format!("{stream} {nth}"), &measured, &mut late).await?;
            }
            Ok(late)
        });
    }
    tokio::time::sleep_until(measured.start.into()).await;
    let cpu = simulator.cpu()?;
    tokio::time::sleep_until(measured.end.into()).await;
    let cores = (simulator.cpu()? - cpu) / seconds as f64;
    let mut late: Vec<f64> = Vec::new();
    while let Some(done) = tasks.join_next().await {
        late.extend(done??.into_iter().map(f64::from));
    }
    let metrics = simulator.metrics().await?;
    println!(
        "{:>16.0} {:>10.0} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>15.2}% {:>11.2} {:>9.1}",
        1_000.0 / gap_ms,
        late.len() as f64 / seconds as f64,
        quantile(&late, 0.5),
        quantile(&late, 0.9),
        quantile(&late, 0.99),
        quantile(&late, 0.999),
        in_time(&metrics).unwrap_or(f64::NAN) * 100.0,
        cores,
        simulator.peak_mib()?
    );
    Ok(())
}

/// One answer: how late each chunk was, in milliseconds.
async fn one(
    connection: &mut Connection,
    profile: &Profile,
    name: &str,
    measured: &Range<Instant>,
    late: &mut Vec<f32>,
) -> Fallible<()> {
    let prompt = format!("Title: Book {name}");
    let question = Question {
        model: "llama3.2".to_owned(),
        turns: vec![Turn { role: "user".to_owned(), text: prompt.clone() }],
        ..Question::default()
    };
    let answer = Answer::draw(&question, &question.fingerprint(SEED), profile, 1);
    let request = post("/api/generate", "", &format!(r#"{{"model":"llama3.2","prompt":"{prompt}"}}"#));
    let (mut chunk, sent) = (0, Instant::now());
    connection
        .lines(&request, |now| {
            // The last line is the end and no chunk.
            if let Some((_, due)) = answer.chunk(chunk)
                && measured.contains(&now)
            {
                late.push(((now - sent).as_secs_f64() - due.as_secs_f64()) as f32 * 1_000.0);
            }
            chunk += 1;
        })
        .await?;
    if chunk == answer.chunks() + 1 {
        Ok(())
    } else {
        Err(format!("{chunk} lines of {}", answer.chunks() + 1).into())
    }
}

/// The share of answers whose latest chunk was handed over within 2 ms.
fn in_time(metrics: &str) -> Option<f64> {
    let value = |start: &str| -> Option<f64> {
        metrics.lines().find(|line| line.starts_with(start))?.rsplit(' ').next()?.parse().ok()
    };
    let within = value(r#"simulator_lateness_seconds_bucket{protocol="ollama",le="0.002"}"#)?;
    Some(within / value(r#"simulator_lateness_seconds_count{protocol="ollama"}"#)?)
}
