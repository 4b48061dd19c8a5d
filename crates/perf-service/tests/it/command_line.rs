//! `perf-service run` and its exit codes.

use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::k6;
use crate::service::{Running, Service, command, run};
use crate::shop::Shop;

/// Far above what any machine needs: these tests are not about speed.
const GENEROUS: [&str; 2] = ["--max-p95-ms", "60000"];

fn samples(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("samples.ndjson")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_passes_and_its_figures_are_those_of_the_samples() {
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let (code, out, err) =
        run(command(data.path(), &shop.targets()).args(["run", "smoke", "--duration", "4s"]).args(GENEROUS));
    assert_eq!(code, 0, "{out}{err}");
    assert!(err.contains("k6: k6 v") && out.contains("PASSED: every threshold held"), "{out}{err}");
    assert!(out.contains("p50") && out.contains("p95") && out.contains("p99") && out.contains("a simulator"));
    let folder = k6::run_folders(data.path()).pop().unwrap();
    assert!(out.contains(folder.join("report.html").to_str().unwrap()), "{out}");
    assert!(std::fs::read_to_string(folder.join("report.html")).unwrap().starts_with("<!"));

    let samples = samples(&folder);
    let of = |metric: &str| -> Vec<&Value> {
        samples.iter().filter(|line| line["type"] == "Point" && line["metric"] == metric).collect()
    };
    assert_eq!(of("http_reqs").len() as u64, shop.requests());
    let measured = |line: &&&Value| line["data"]["tags"]["phase"] == "measured";
    let mut durations: Vec<f64> = of("http_req_duration")
        .iter()
        .filter(measured)
        .map(|line| line["data"]["value"].as_f64().unwrap())
        .collect();
    durations.sort_by(f64::total_cmp);
    let results: Value =
        serde_json::from_slice(&std::fs::read(folder.join("results.json")).unwrap()).unwrap();
    let summary = &results["summary"];
    assert_eq!(summary["requests"], durations.len());
    for (name, share) in [("p50Ms", 0.5), ("p95Ms", 0.95), ("p99Ms", 0.99)] {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank"
        )]
        let rank = ((durations.len() as f64 * share).ceil() as usize).saturating_sub(1);
        let (got, truth) = (summary[name].as_f64().unwrap(), durations[rank]);
        assert!((got / truth - 1.0).abs() < 0.01, "{name}: {got} instead of {truth}");
    }
    let asked = of("llm_summaries").iter().filter(measured).count();
    assert!(asked as u64 <= shop.summaries() && asked > 0);
    let fresh = of("llm_summaries")
        .iter()
        .filter(measured)
        .filter(|line| line["data"]["tags"]["cached"] == "false")
        .count();
    assert_eq!(summary["inputTokens"], fresh * 20);
    assert_eq!(results["simulated"], true);
    assert!(results["slowest"][0]["traceId"].as_str().is_some_and(|id| id.len() == 32));
    let charted: u64 = results["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .map(|second| second["requests"].as_u64().unwrap())
        .sum();
    assert!(charted >= durations.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impossible_threshold_fails_and_is_named() {
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let (code, out, err) = run(command(data.path(), &shop.targets()).args([
        "run",
        "smoke",
        "--duration",
        "2s",
        "--max-p95-ms",
        "0.001",
    ]));
    assert_eq!(code, 99, "{out}{err}");
    let name = "http_req_duration{phase:measured,llm:false}: p(95)<0.001";
    assert!(out.contains(&format!("✗ {name}")), "{out}");
    assert!(out.contains(&format!("FAILED: threshold crossed: {name}")), "{out}");
    assert_eq!(k6::entry(&k6::run_folders(data.path())[0])["outcome"], "failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_the_run_and_nothing_else() {
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let (code, out, err) = run(command(data.path(), &shop.targets())
        .args(["run", "smoke", "--duration", "2s", "--json"])
        .args(GENEROUS)
        // Would replace the scenario's load, were it passed on.
        .env("K6_VUS", "7")
        .env("K6_ITERATIONS", "1"));
    assert_eq!(code, 0, "{out}{err}");
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&told["state"], &told["outcome"]), (&"finished".into(), &"passed".into()));
    assert!(told["summary"]["requests"].as_u64().unwrap() > 1);
    assert_eq!(told, k6::entry(&k6::run_folders(data.path())[0]));
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let data = tempfile::tempdir().unwrap();
    for name in ["nosuch", "../x", "../../etc/passwd", "smoke.js", "scenarios/smoke", "smoke;id", "<script>"]
    {
        let (code, _, err) = run(command(data.path(), "shop=http://127.0.0.1:1").args(["run", name]));
        assert_eq!(code, 2, "{err}");
        assert!(err.contains("there is no scenario") && err.contains("smoke"), "{err}");
    }
    for target in ["nosuch", "http://127.0.0.1:1", "../shop"] {
        let (code, _, err) =
            run(command(data.path(), "shop=http://127.0.0.1:1").args(["run", "smoke", "--target", target]));
        assert_eq!(code, 2, "{err}");
        assert!(err.contains("there is no target") && err.contains("shop"), "{err}");
    }
    for bounds in [
        ["--duration", "2h"],
        ["--duration", "0"],
        ["--users", "0"],
        ["--users", "201"],
        ["--provider", "eliza"],
    ] {
        let (code, _, err) =
            run(command(data.path(), "shop=http://127.0.0.1:1").args(["run", "smoke"]).args(bounds));
        assert_eq!(code, 2, "{err}");
    }
    assert!(k6::run_folders(data.path()).is_empty());
}

#[test]
fn without_k6_it_says_how_to_get_one() {
    let data = tempfile::tempdir().unwrap();
    let (code, out, err) =
        run(command(data.path(), "local=http://127.0.0.1:1").args(["run", "smoke"]).env_remove("K6_BIN"));
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("BROKEN: no k6 was found on PATH: set K6_BIN"), "{out}");
    let neither = run(command(data.path(), "local=http://127.0.0.1:1")
        .args(["run", "smoke", "--engine", "auto", "--docker-host", "unix:///nowhere/docker.sock"])
        .env_remove("K6_BIN"));
    assert_eq!(neither.0, 1);
    assert!(neither.1.contains("no Docker daemon answers at unix:///nowhere/docker.sock"), "{}", neither.1);
    assert!(neither.1.contains("make k6"), "{}", neither.1);
    let (code, out, _) = run(command(data.path(), "local=http://127.0.0.1:1").args([
        "run",
        "smoke",
        "--k6-bin",
        "/nowhere/k6",
    ]));
    assert_eq!(code, 1);
    assert!(out.contains("/nowhere/k6 cannot be used as k6"), "{out}");
}

#[test]
fn a_target_that_is_down_breaks_the_run_with_advice() {
    let data = tempfile::tempdir().unwrap();
    let (code, out, err) =
        run(command(data.path(), "local=http://127.0.0.1:1").args(["run", "smoke", "--duration", "2s"]));
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("BROKEN: ") && out.contains("start bookstore-api there"), "{out}");
    assert!(!out.contains(data.path().to_str().unwrap()), "a reason with paths of this machine: {out}");
    assert_eq!(k6::entry(&k6::run_folders(data.path())[0])["state"], "failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_k6_breaks_the_run() {
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let process =
        Running::start(command(data.path(), &shop.targets()).args(["run", "smoke", "--duration", "60s"]));
    let folder = k6::busy_run(data.path());
    k6::kill(k6::pid(&folder), Signal::KILL);
    let (code, out, err) = process.end();
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("BROKEN: k6 was killed (signal 9)"), "{out}");
    let entry = k6::entry(&folder);
    assert_eq!((&entry["state"], entry.get("outcome")), (&"failed".into(), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_targets_token_reaches_it_and_no_file() {
    let token = "canary-0123456789abcdef";
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::guarded_by(Some(token)).await);
    let smoke = || {
        let mut command = command(data.path(), &shop.targets());
        command.args(["run", "smoke", "--duration", "4s"]).args(GENEROUS);
        command
    };
    let (code, out, err) = run(&mut smoke());
    assert_eq!(code, 99, "refused writes pass for nothing: {out}{err}");
    let (code, out, err) = run(smoke().env("TARGET_API_TOKEN", token));
    assert_eq!(code, 0, "{out}{err}");
    assert!(!format!("{out}{err}").contains(token));
    for folder in k6::run_folders(data.path()) {
        for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if file.is_file() {
                let bytes = std::fs::read(&file).unwrap();
                assert!(!String::from_utf8_lossy(&bytes).contains(token), "{}", file.display());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_cancels_the_run_and_leaves_no_k6() {
    // Not SIGHUP: under nohup, as build machines use it, it is ignored on purpose and by heritage.
    for signal in [Signal::TERM, Signal::INT] {
        let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
        let process =
            Running::start(command(data.path(), &shop.targets()).args(["run", "smoke", "--duration", "60s"]));
        let folder = k6::busy_run(data.path());
        let k6_pid = k6::pid(&folder);
        assert!(!k6::is_gone(k6_pid));
        process.signal(signal);
        let (code, out, err) = process.end();
        assert_eq!(code, 1, "{out}{err}");
        assert!(out.contains("CANCELLED: perf-service was stopped"), "{out}{err}");
        assert!(k6::is_gone(k6_pid));
        assert_eq!(k6::entry(&folder)["state"], "cancelled");
        assert!(!folder.join("scripts").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_left_is_ended_by_the_next() {
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let process =
        Running::start(command(data.path(), &shop.targets()).args(["run", "smoke", "--duration", "60s"]));
    let folder = k6::busy_run(data.path());
    let k6_pid = k6::pid(&folder);
    // While its process lives, another one leaves the run alone.
    let (code, ..) = run(command(data.path(), "other=http://127.0.0.1:1").args(["run", "smoke"]));
    assert_eq!(code, 1);
    assert!(!k6::is_gone(k6_pid));
    process.signal(Signal::KILL);
    process.end();
    assert!(!k6::is_gone(k6_pid), "k6 ended by itself, so nothing is shown here");
    let (code, ..) = run(command(data.path(), "other=http://127.0.0.1:1").args(["run", "smoke"]));
    assert_eq!(code, 1);
    k6::wait_for("the end of k6", || k6::is_gone(k6_pid).then_some(()));
    let entry = k6::entry(&folder);
    assert_eq!(entry["state"], "failed");
    assert!(entry["reason"].as_str().unwrap().contains("its k6 was ended"), "{entry}");
}

#[test]
fn scenarios_are_listed_and_wrong_settings_told_together() {
    let data = tempfile::tempdir().unwrap();
    let (code, out, _) = run(command(data.path(), "a=http://127.0.0.1:1").arg("scenarios"));
    assert!(code == 0 && out.lines().any(|line| line.starts_with("smoke ")), "{out}");
    let (code, _, err) = run(command(data.path(), "A=ftp://x")
        .args(["serve", "--http-port", "x"])
        .env("API_TOKEN", "short-canary"));
    assert_eq!(code, 2);
    assert!(err.contains("TARGETS") && err.contains("HTTP_PORT") && err.contains("API_TOKEN"), "{err}");
    assert!(!err.contains("canary"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_asks_the_running_service() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(&mut command(data.path(), "local=http://127.0.0.1:1")).await;
    let port = service.url.rsplit(':').next().unwrap();
    let (code, _, err) =
        run(command(data.path(), "local=http://127.0.0.1:1").args(["health", "--http-port", port]));
    assert_eq!(code, 0, "{err}");
    let (code, _, err) =
        run(command(data.path(), "local=http://127.0.0.1:1").args(["health", "--http-port", "1"]));
    assert!(code == 1 && err.contains("does not answer"), "{err}");
}
