//! The same scenario by `perf-service run` and by plain `k6 run` with the same outputs, in turn.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chrono::{DateTime, Utc};
use perf_service::follow::follow;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::target::Target;
use crate::{Fallible, binaries, given_path, median};

/// What one run came to.
struct Came {
    /// From the start of the process to k6's first request.
    start_ms: f64,
    /// Requests a second of the measured phase.
    rps: f64,
}

/// Prints throughput and start-up of both ways.
pub(crate) fn measure(pairs: u64, seconds: u64, users: u64) -> Fallible<()> {
    println!("perf-service run beside k6 run: {users} users, {seconds} s, {pairs} pairs in turn");
    let k6 = given_path("K6_BIN").ok_or("K6_BIN is not set: K6_BIN=$(make k6) finds or fetches one")?;
    let target = Target::start()?;
    let load = [("DURATION", format!("{seconds}s")), ("USERS", users.to_string())];
    // Once unmeasured: the first run fills caches, of the system and of the service.
    plain(&k6, &target, &[("DURATION", "3s".to_owned()), ("USERS", users.to_string())])?;
    let (mut ratios, mut added, mut control) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..pairs {
        let (ours, bare) = if pair.is_multiple_of(2) {
            let ours = through_perf_service(&k6, &target, &load)?;
            (ours, plain(&k6, &target, &load)?)
        } else {
            let bare = plain(&k6, &target, &load)?;
            (through_perf_service(&k6, &target, &load)?, bare)
        };
        let again = plain(&k6, &target, &load)?;
        println!(
            "  {:.0} beside {:.0} requests a second; first request after {:.0} beside {:.0} ms",
            ours.rps, bare.rps, ours.start_ms, bare.start_ms
        );
        ratios.push(ours.rps / bare.rps);
        control.push(again.rps / bare.rps);
        added.push(ours.start_ms - bare.start_ms);
    }
    println!("  throughput {:.3} of plain k6's (median; goal: at least 0.98)", median(&ratios));
    println!("  control, plain k6 beside itself: {:.3}", median(&control));
    println!("  start-up {:.0} ms more (median; goal: under 300)", median(&added));
    Ok(())
}

fn plain(k6: &Path, target: &Target, load: &[(&str, String)]) -> Fallible<Came> {
    let folder = tempfile::tempdir()?;
    let samples = folder.path().join("samples.ndjson");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../k6/scenarios/smoke.js").canonicalize()?;
    let started = Utc::now();
    let status = Command::new(k6)
        .args(["run", "--quiet", "--no-color", "--log-format", "json", "--out", "json=-", "--address", ""])
        .arg(script)
        .env_clear()
        .env("HOME", folder.path())
        .envs(load.iter().map(|(name, value)| (name, value)))
        .envs([("BASE_URL", target.url().as_str()), ("SUMMARY", "json"), ("K6_NO_USAGE_REPORT", "true")])
        .envs([("MAX_P95_MS", "60000")])
        .stdin(Stdio::null())
        .stdout(File::create(&samples)?)
        .stderr(File::create(folder.path().join("k6.log"))?)
        .status()?;
    if !status.success() {
        let log = fs::read_to_string(folder.path().join("k6.log")).unwrap_or_default();
        return Err(format!("k6 ended with {status}: {log}").into());
    }
    came(&samples, started)
}

fn through_perf_service(k6: &Path, target: &Target, load: &[(&str, String)]) -> Fallible<Came> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(binaries()?.join("perf-service"));
    command.args(["run", "smoke", "--json", "--max-p95-ms", "60000"]);
    for (name, value) in load {
        command.arg(format!("--{}", name.to_lowercase())).arg(value);
    }
    let started = Utc::now();
    let output = command
        .env_clear()
        .env("HOME", folder.path())
        .env("DATA_DIR", folder.path())
        .env("K6_ENGINE", "local")
        .env("K6_BIN", k6)
        .env("TARGETS", format!("local={}", target.url()))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("perf-service: {error}; `make bench-perf-service` builds it"))?;
    if !output.status.success() {
        return Err(format!("perf-service: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let samples = found(folder.path(), "samples.ndjson")?.ok_or("the run left no samples")?;
    came(&samples, started)
}

/// The file of this name at any depth.
fn found(folder: &Path, name: &str) -> Fallible<Option<PathBuf>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if let Some(found) = found(&path, name)? {
                return Ok(Some(found));
            }
        } else if path.ends_with(name) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Both by the same reader, so that only the way of starting differs.
fn came(samples: &Path, started: DateTime<Utc>) -> Fallible<Came> {
    let ended = CancellationToken::new();
    ended.cancel();
    let figures = follow(samples, &ended, |_| ())?;
    let seconds = figures.standing().measured_seconds.ok_or("nothing was measured")?;
    let text = fs::read_to_string(samples)?;
    let first = text.lines().find(|line| line.starts_with(r#"{"metric":"http_req_duration""#));
    let first: Value = serde_json::from_str(first.ok_or("no request")?)?;
    let data = first.get("data").ok_or("no data")?;
    let at = data.get("time").and_then(Value::as_str).ok_or("no time")?;
    let took = data.get("value").and_then(Value::as_f64).ok_or("no value")?;
    let after = DateTime::parse_from_rfc3339(at)?.with_timezone(&Utc) - started;
    Ok(Came {
        start_ms: after.as_seconds_f64() * 1e3 - took,
        rps: figures.measured_requests() as f64 / seconds,
    })
}
