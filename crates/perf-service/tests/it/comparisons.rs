//! Comparisons: `perf-service compare` and its exit codes, and the same over HTTP.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::k6;
use crate::odd_k6::{DROPPED, REQUEST, SUMMARY, k6_that};
use crate::service::{Running, Service, command, run};
use crate::shop::Shop;

/// Short runs, and as many as can say anything.
const SHORT: [&str; 6] = ["--duration", "1s", "--users", "2", "--pairs", "6"];

async fn two() -> (Shop, Shop, String) {
    let (one, two) = (Shop::open().await, Shop::slow(Duration::from_millis(40)).await);
    let targets = format!("main=http://{},branch=http://{}", one.address, two.address);
    (one, two, targets)
}

fn compare(data: &Path, targets: &str, arguments: &[&str]) -> (i32, String, String) {
    run(command(data, targets).arg("compare").args(arguments))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_candidate_is_worse_and_a_fast_one_better() {
    let (data, (_one, _two, targets)) = (tempfile::tempdir().unwrap(), two().await);
    let median = ["--metric", "p50", "--seed", "3"];
    let arguments = [&["main", "branch", "--json"][..], &SHORT, &median].concat();
    let (code, out, err) = compare(data.path(), &targets, &arguments);
    assert_eq!(code, 99, "{out}{err}");
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&told["state"], &told["verdict"]), (&"finished".into(), &"worse".into()));
    assert_eq!((told["pairs"].as_array().unwrap().len(), &told["seed"]), (6, &3.into()));
    assert_eq!(
        (&told["metrics"][0]["metric"], &told["metrics"][0]["primary"]),
        (&"p50Ms".into(), &true.into())
    );
    assert!(told["metrics"][0]["low"].as_f64().unwrap() > 0.05, "{told}");
    assert!(err.contains("6 pairs of smoke in random order (seed 3), about"), "{err}");
    assert_eq!(err.lines().filter(|line| line.starts_with("pair ")).count(), 6, "{err}");
    // The coin of this seed falls on both sides.
    let first = |wanted: bool| {
        told["pairs"].as_array().unwrap().iter().filter(|pair| pair["baselineFirst"] == wanted).count()
    };
    assert!(first(true) > 0 && first(false) > 0);
    // Every run of it is in the ledger, and they were made in the order that the coin said.
    assert_eq!(k6::run_folders(data.path()).len(), 12);
    for pair in told["pairs"].as_array().unwrap() {
        let (baseline, candidate) = (pair["baseline"].as_str().unwrap(), pair["candidate"].as_str().unwrap());
        assert_eq!(baseline < candidate, pair["baselineFirst"] == true, "ids sort by time");
    }

    let arguments = [&["branch", "main", "--markdown"][..], &SHORT, &median].concat();
    let (code, out, err) = compare(data.path(), &targets, &arguments);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.starts_with("### main against branch: better\n"), "{out}");
    assert!(out.contains("| p50Ms (primary) |"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_pairs_are_not_enough() {
    let (data, (_one, _two, targets)) = (tempfile::tempdir().unwrap(), two().await);
    let arguments = ["main", "branch", "--duration", "1s", "--pairs", "2"];
    let (code, out, err) = compare(data.path(), &targets, &arguments);
    assert_eq!(code, 3, "{out}{err}");
    // How many pairs it would take depends on the noise that was met: a number, or more than can be made.
    assert!(
        out.contains("NOT ENOUGH EVIDENCE: p95Ms changed by")
            && (out.contains("would be enough") || out.contains("would be needed")),
        "{out}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_down_breaks_it_and_says_which() {
    let data = tempfile::tempdir().unwrap();
    let shop = Shop::open().await;
    let targets = format!("main=http://{},branch=http://127.0.0.1:1", shop.address);
    let arguments = [&["main", "branch"][..], &SHORT].concat();
    let (code, out, err) = compare(data.path(), &targets, &arguments);
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("BROKEN: the run") && out.contains("against branch broke"), "{out}");
}

#[test]
fn what_cannot_be_compared_is_usage() {
    let data = tempfile::tempdir().unwrap();
    let targets = "main=http://127.0.0.1:1,branch=http://127.0.0.1:2";
    for (arguments, says) in [
        (&["main", "main"][..], "candidate must be another target"),
        (&["main", "nosuch"], "there is no target"),
        (&["main", "branch", "--scenario", "../x"], "there is no scenario"),
        (&["main", "branch", "--duration", "11m"], "durationSeconds must be from 1 to 600"),
        (&["main", "branch", "--duration", "2h"], "durationSeconds"),
        (&["main", "branch", "--pairs", "1"], "pairs must be from 2 to 200"),
        (&["main", "branch", "--level", "50"], "level must be from"),
        (&["main", "branch", "--min-effect", "0"], "minimumEffect must be from"),
        (&["main", "branch", "--min-effect", "NaN"], "--min-effect"),
        (&["main", "branch", "--metric", "max"], "--metric"),
        (&["main", "branch", "--seed", "-1"], "--seed"),
        (&["main", "./nosuch/bookstore-api"], "nosuch"),
        (&["main", "/"], "is not a file"),
    ] {
        let (code, out, err) = compare(data.path(), targets, arguments);
        assert_eq!(code, 2, "{arguments:?}: {out}{err}");
        assert!(err.contains(says), "{arguments:?}: {err}");
    }
    assert!(k6::run_folders(data.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_does_not_come_up_is_told_with_its_last_words() {
    use std::os::unix::fs::PermissionsExt;
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let build = data.path().join("build.sh");
    std::fs::write(&build, "#!/bin/sh\necho \"no $MONGODB_URI of yours\"\nexit 7\n").unwrap();
    std::fs::set_permissions(&build, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = command(data.path(), &format!("main=http://{}", shop.address));
    let arguments = [&[build.to_str().unwrap(), "main"][..], &SHORT].concat();
    let (code, out, err) = run(command.arg("compare").args(arguments).env("MONGODB_URI", "store"));
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("baseline cannot be made ready: it ended (exit status: 7)"), "{out}");
    assert!(out.contains("no  of yours"), "the store would be shared: {out}");
    let left: Vec<_> = std::fs::read_dir(data.path().join("builds")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_that_is_interrupted_ends_its_run_and_says_so() {
    let (data, (_one, _two, targets)) = (tempfile::tempdir().unwrap(), two().await);
    let running =
        Running::start(command(data.path(), &targets).args(["compare", "main", "branch", "--json"]));
    let begin = std::time::Instant::now();
    while k6::run_folders(data.path()).is_empty() {
        assert!(begin.elapsed() < k6::PATIENCE, "no run was started");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    running.signal(Signal::INT);
    let (code, out, err) = running.end();
    assert_eq!(code, 1, "{out}{err}");
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["state"], "cancelled", "{told}");
    assert_eq!(k6::entry(&k6::run_folders(data.path())[0])["state"], "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_one_at_a_time_read_listed_and_cancelled() {
    let (data, (_one, _two, targets)) = (tempfile::tempdir().unwrap(), two().await);
    let service = Service::start(&mut command(data.path(), &targets)).await;
    for (body, status, code) in [
        (json!({"baseline": "main", "candidate": "main"}), 422, "validation_failed"),
        (json!({"baseline": "main", "candidate": "http://127.0.0.1:1"}), 400, "unknown_target"),
        (json!({"baseline": "main", "candidate": "/bin/sh"}), 400, "unknown_target"),
        (json!({"baseline": "main", "candidate": "branch", "scenario": "../smoke"}), 400, "unknown_scenario"),
        (json!({"baseline": "main", "candidate": "branch", "pairs": 201}), 422, "validation_failed"),
        (json!({"baseline": "main", "candidate": "branch", "level": 1e308}), 422, "validation_failed"),
    ] {
        let (got, problem) = service.post("/api/v1/comparisons", &body).await;
        assert_eq!((got, &problem["code"]), (status, &code.into()), "{body}: {problem}");
    }
    let unknown = json!({"baseline": "main", "candidate": "branch", "image": "x"});
    assert!((400..500).contains(&service.post("/api/v1/comparisons", &unknown).await.0));
    let (status, list) = service.get_json("/api/v1/comparisons").await;
    assert_eq!((status, &list["total"]), (200, &0.into()));

    let asked =
        json!({"baseline": "main", "candidate": "branch", "durationSeconds": 1, "pairs": 2, "seed": 1});
    let (status, started) = service.post("/api/v1/comparisons", &asked).await;
    assert_eq!((status, &started["state"]), (202, &"running".into()), "{started}");
    assert!(started["plan"]["leastSeconds"].as_u64().unwrap() > 0);
    let (status, busy) = service.post("/api/v1/comparisons", &asked).await;
    assert_eq!((status, &busy["code"]), (409, &"comparison_under_way".into()));
    let path = format!("/api/v1/comparisons/{}", started["id"].as_str().unwrap());
    let begin = std::time::Instant::now();
    let ended = loop {
        let (_, now) = service.get_json(&path).await;
        if now["state"] != "running" {
            break now;
        }
        assert!(begin.elapsed() < k6::PATIENCE, "{now}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(
        (&ended["state"], &ended["verdict"]),
        (&"finished".into(), &"notEnoughEvidence".into()),
        "{ended}"
    );
    let (status, markdown) = service.get(&format!("{path}/markdown")).await;
    assert!(
        status == 200 && markdown.starts_with("### branch against main: not enough evidence"),
        "{markdown}"
    );
    let (status, problem) = service.post(&format!("{path}/cancel"), &json!({})).await;
    assert_eq!((status, &problem["code"]), (409, &"comparison_ended".into()));

    // Its runs are points of trends, which are no verdict.
    let (status, trends) = service.get_json("/api/v1/trends?scenario=smoke").await;
    let points: Vec<usize> =
        trends.as_array().unwrap().iter().map(|trend| trend["points"].as_array().unwrap().len()).collect();
    assert_eq!((status, &points[..]), (200, &[2, 2][..]), "{trends}");
    assert_eq!(service.get_json("/api/v1/trends?target=nosuch").await.1, json!([]));
    assert_eq!(service.get("/api/v1/trends?nosuch=1").await.0, 400);
    let (status, page) = service.get("/trends").await;
    assert!(status == 200 && page.contains("smoke against branch") && !page.contains("<script"), "{page}");

    let (_, second) = service.post("/api/v1/comparisons", &asked).await;
    let path = format!("/api/v1/comparisons/{}", second["id"].as_str().unwrap());
    assert_eq!(service.post(&format!("{path}/cancel"), &json!({})).await.0, 202);
    let begin = std::time::Instant::now();
    while service.get_json(&path).await.1["state"] != "cancelled" {
        assert!(begin.elapsed() < k6::PATIENCE, "it was not cancelled");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (_, list) = service.get_json("/api/v1/comparisons?limit=1").await;
    assert_eq!((&list["total"], &list["items"][0]["state"]), (&2.into(), &"cancelled".into()));
    let (_, next) = service
        .get_json(&format!("/api/v1/comparisons?cursor={}", list["nextCursor"].as_str().unwrap()))
        .await;
    assert_eq!(next["items"][0]["id"], started["id"]);
    assert_eq!(service.get("/api/v1/comparisons/01900000-0000-7000-8000-000000000000").await.0, 404);
    assert_eq!(service.get("/api/v1/comparisons/..%2f..%2fx").await.0, 400);
}

/// Two targets under a k6 that does this, told by `$BASE_URL` which of them it is for.
fn compare_with(does: &str, arguments: &[&str]) -> (i32, String, String) {
    let data = tempfile::tempdir().unwrap();
    let k6 = k6_that(data.path(), does);
    let targets = "main=http://127.0.0.1:1,branch=http://127.0.0.1:2";
    let mut command = command(data.path(), targets);
    run(command.args(["compare", "main", "branch", "--seed", "5"]).args(arguments).env("K6_BIN", k6))
}

#[test]
fn what_never_changes_is_the_same() {
    let (code, out, err) = compare_with(&format!("echo '{REQUEST}'; echo '{SUMMARY}'"), &[]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        out.contains("SAME: p95Ms changed by +0.0 % (from +0.0 % to +0.0 % at 96.3 %) over 12 pairs"),
        "{out}"
    );
}

#[test]
fn inconclusive_runs_count_for_nothing_and_all_of_them_for_no_verdict() {
    let always = format!("echo '{REQUEST}'; echo '{DROPPED}'; echo '{SUMMARY}'");
    let (code, out, err) = compare_with(&always, &["--json"]);
    assert_eq!(code, 3, "{out}{err}");
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["verdict"], "notEnoughEvidence");
    assert!(
        told["reason"].as_str().unwrap().starts_with("inconclusive: 4 of 4 pairs count for nothing"),
        "{told}"
    );
    assert!(told["metrics"].as_array().unwrap().is_empty());

    // Only the first run falls behind, so one pair is left out and made again.
    let once = format!(
        "echo '{REQUEST}'; [ -e ../../behind ] || {{ : > ../../behind; echo '{DROPPED}'; }}; echo '{SUMMARY}'"
    );
    let (code, out, err) = compare_with(&once, &["--json", "--pairs", "6"]);
    assert_eq!(code, 0, "{out}{err}");
    let told: Value = serde_json::from_str(&out).unwrap();
    let pairs = told["pairs"].as_array().unwrap();
    assert_eq!(
        (pairs.len(), pairs.iter().filter(|pair| pair["leftOut"].is_string()).count()),
        (7, 1),
        "{told}"
    );
}

#[test]
fn real_and_simulated_answers_are_not_compared() {
    let does = format!(
        r#"echo '{REQUEST}'
case "$BASE_URL" in *:1) simulated=true;; *) simulated=false;; esac
echo '{{"metric":"llm_summaries","type":"Point","data":{{"time":"2026-11-21T04:32:42Z","value":1,"tags":{{"phase":"measured","cached":"false","simulated":"'$simulated'","provider":"x","model":"y"}}}}}}'
echo '{SUMMARY}'"#
    );
    let (code, out, err) = compare_with(&does, &[]);
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("BROKEN: some summaries came from a simulator and some did not"), "{out}");
}
