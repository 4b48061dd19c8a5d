//! A shop that stands still for two seconds while visits go on beginning when they are due: either the run
//! shows what the visitors went through, or it says that it proves nothing.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::k6;
use crate::service::{Running, command};
use crate::shop::Shop;

/// What the scenario begins a second (`k6/scenarios/stress-arrivals.js`).
const RATE: f64 = 60.0;
/// Measured, after a warm-up of a fifth of it.
const SECONDS: u64 = 10;
const STALL: Duration = Duration::from_secs(2);

/// When the first measured request began and all of their durations, in microseconds.
fn measured(data: &Path) -> (i64, Vec<i64>) {
    let mut folders = k6::run_folders(data);
    assert_eq!(folders.len(), 1);
    let text = std::fs::read_to_string(folders.pop().unwrap().join("samples.ndjson")).unwrap();
    let (mut first, mut durations) = (i64::MAX, Vec::new());
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let (data, tags) = (&line["data"], &line["data"]["tags"]);
        if line["type"] == "Point" && line["metric"] == "http_req_duration" && tags["phase"] == "measured" {
            let duration = micros(data["value"].as_f64().unwrap() / 1e3);
            let ended: chrono::DateTime<chrono::Utc> = data["time"].as_str().unwrap().parse().unwrap();
            first = first.min(ended.timestamp_micros() - duration);
            durations.push(duration);
        }
    }
    (first, durations)
}

fn micros(seconds: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a test lasts seconds")]
    let micros = (seconds * 1e6).round() as i64;
    micros
}

/// A run of so many users at most against a shop that stands still in the middle of it: how it ended, and
/// from when to when the shop stood still.
async fn stalled(data: &Path, users: &str) -> (i32, Value, (i64, i64)) {
    let shop = Shop::open().await;
    let mut command = command(data, &shop.targets());
    let duration = format!("{SECONDS}s");
    command.args(["run", "stress-arrivals", "--duration", &duration, "--users", users, "--json"]);
    let running = Running::start(&mut command);
    // The setup asks first; two seconds of warm-up follow.
    while shop.requests() == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    let closed = shop.stall(STALL).await;
    let (code, out, err) = tokio::task::spawn_blocking(|| running.end()).await.unwrap();
    (code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("{code}: {out}{err}")), closed)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_of_a_stalled_shop_shows() {
    let data = tempfile::tempdir().unwrap();
    let (code, run, (from, to)) = stalled(data.path(), "200").await;
    let (first, durations) = measured(data.path());
    assert!(first < from && to < first + micros(10.0), "the shop did not stand still in the measured part");
    if run["outcome"] == "inconclusive" {
        // A machine with too much else to do: the run says so, and nobody is misled.
        assert_eq!(code, 3, "{run}");
        return;
    }
    // Visits that were due while the shop stood still waited from then until it went on; the others did
    // not wait. This is from the clock of the shop and the rate alone.
    let mut truth: Vec<i64> = (0..)
        .map(|visit| first + micros(f64::from(visit) / RATE))
        .take_while(|due| *due < to)
        .filter(|due| *due >= from)
        .map(|due| to - due)
        .collect();
    truth.resize(durations.len(), 0);
    truth.sort_unstable();
    let rank = (durations.len() * 99).div_ceil(100) - 1;
    let (truth, told) = (truth[rank], micros(run["summary"]["p99Ms"].as_f64().unwrap() / 1e3));
    assert!(truth > micros(1.0), "{truth}");
    assert!((told - truth).abs() * 20 <= truth, "p99 is told as {told} µs and was {truth} µs");
    // More than the limit of a second for the 95th percentile: no clean pass.
    assert_eq!((code, &run["outcome"]), (99, &"failed".into()), "{run}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_too_few_users_for_the_queue_the_run_proves_nothing() {
    let data = tempfile::tempdir().unwrap();
    let (code, run, _) = stalled(data.path(), "10").await;
    assert_eq!((code, &run["outcome"]), (3, &"inconclusive".into()), "{run}");
    assert!(run["summary"]["droppedIterations"].as_u64().unwrap() > 50, "{run}");
    assert!(run["reason"].as_str().unwrap().contains("could not be started in time"), "{run}");
}
