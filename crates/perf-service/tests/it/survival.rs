//! Runs that survive: `kill -9` of the service at any point, and every run still comes to its true
//! end, with its report, and leaves no process or container.
//!
//! `SOAK_KILLS` says how many kills each engine gets, 3 without it; `make soak-runs` gives 20.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::k6;
use crate::service::{Running, Service, command, run};
use crate::shop::Shop;

/// States that last.
const LAST: [&str; 3] = ["finished", "failed", "cancelled"];

/// How many kills.
pub fn kills() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a soak is told by the environment how long it is")]
    let given = std::env::var("SOAK_KILLS").ok().filter(|text| !text.is_empty());
    given.map_or(3, |text| text.parse().expect("SOAK_KILLS is a number"))
}

/// Requests that the samples of a run tell.
fn requests(folder: &Path) -> u64 {
    let samples = std::fs::read_to_string(folder.join("samples.ndjson")).unwrap();
    samples.lines().filter(|line| line.starts_with(r#"{"metric":"http_reqs","#)).count() as u64
}

/// Kills the service at moments spread over a run's whole life, its last restart included, and
/// follows what the next one makes of it. `gone` says whether nothing is left of a run.
pub async fn survives(kills: u64, with: impl Fn(&Path, &str) -> Command, gone: impl AsyncFn(&Path) -> bool) {
    for kill in 0..kills {
        let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
        let start = || with(data.path(), &shop.targets());
        let service = Service::start(&mut start()).await;
        let asked = json!({ "scenario": "smoke", "durationSeconds": 4 });
        let id = service.start_run(&asked).await;
        let waiting = service.start_run(&json!({ "scenario": "smoke", "durationSeconds": 1 })).await;
        // From the very beginning to about its end, and never twice at the same moment.
        let moment = kill * 9_000 / kills + u64::from(std::process::id()) * 37 % (9_000 / kills);
        tokio::time::sleep(Duration::from_millis(moment)).await;
        service.process.signal(Signal::KILL);
        service.process.end();
        // Away for a moment, or until k6 has long ended.
        tokio::time::sleep(Duration::from_millis((kill % 3) * 3_000)).await;

        let next = Service::start(&mut start()).await;
        for id in [&id, &waiting] {
            let ended = next.wait_until(id, &LAST).await;
            assert_eq!(ended["state"], "finished", "killed after {moment} ms: {ended}");
            assert_eq!(ended["outcome"], "passed", "killed after {moment} ms: {ended}");
            let (status, report) = next.get(&format!("/api/v1/runs/{id}/report")).await;
            assert!(status == 200 && report.contains("smoke"), "killed after {moment} ms: {status}");
            let (_, summary) = next.get_json(&format!("/api/v1/runs/{id}/summary")).await;
            assert!(summary["k6Version"].is_string(), "{summary}");
            let folder = data.path().join("runs").join(id);
            assert!(gone(&folder).await, "killed after {moment} ms: something is left");
        }
        let folders = k6::run_folders(data.path());
        let told: u64 = folders.iter().map(|folder| requests(folder)).sum();
        // Exactly: a run that began anew had not sent anything.
        assert_eq!(told, shop.requests(), "killed after {moment} ms");
        eprintln!("killed after {moment} ms: both runs finished, {told} requests accounted for");
    }
}

/// Whether nothing is left of a run's local k6.
async fn no_process(folder: &Path) -> bool {
    let group = k6::pid(folder);
    k6::wait_for("the end of k6", || k6::is_gone(group).then_some(()));
    !folder.join("scripts").exists()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_killed_loses_no_run() {
    survives(kills(), command, no_process).await;
}

/// A service that is killed while its only run is at work.
async fn killed_at_work(data: &Path, shop: &Shop, asked: &Value) -> (String, std::path::PathBuf) {
    let service = Service::start(&mut command(data, &shop.targets())).await;
    let id = service.start_run(asked).await;
    let folder = k6::busy_run(data);
    service.process.signal(Signal::KILL);
    service.process.end();
    (id, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_taken_over_can_be_watched_and_cancelled() {
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let asked = json!({ "scenario": "smoke", "durationSeconds": 60 });
    let (id, folder) = killed_at_work(data.path(), &shop, &asked).await;
    let group = k6::pid(&folder);
    assert!(!k6::is_gone(group), "k6 died with its service");
    let before = requests(&folder);

    let next = Service::start(&mut command(data.path(), &shop.targets())).await;
    // Its target is its own until it has ended.
    let second = next.start_run(&json!({ "scenario": "smoke", "durationSeconds": 1 })).await;
    k6::wait_for("more samples", || (requests(&folder) > before + 5).then_some(()));
    assert_eq!(next.get_json(&format!("/api/v1/runs/{second}")).await.1["state"], "queued");
    assert_eq!(next.post(&format!("/api/v1/runs/{id}/cancel"), &json!({})).await.0, 202);
    let ended = next.wait_until(&id, &LAST).await;
    assert_eq!((&ended["state"], &ended["reason"]), (&"cancelled".into(), &"somebody cancelled it".into()));
    assert!(ended["summary"]["requests"].is_u64(), "{ended}");
    assert!(k6::is_gone(group));
    assert_eq!(next.wait_until(&second, &LAST).await["state"], "finished");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_k6_that_died_unseen_or_was_judged_unseen_says_so() {
    for (everything, told) in [
        // The shell writes down what became of k6; without it nobody knows.
        (false, "k6 was killed (signal 9)"),
        (true, "while no perf-service watched"),
    ] {
        let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
        let asked = json!({ "scenario": "smoke", "durationSeconds": 60 });
        let (id, folder) = killed_at_work(data.path(), &shop, &asked).await;
        let group = k6::pid(&folder);
        if everything {
            rustix::process::kill_process_group(group, Signal::KILL).unwrap();
        } else {
            k6::kill(k6::child_of(group), Signal::KILL);
        }
        k6::wait_for("the end of k6", || k6::is_gone(group).then_some(()));
        let next = Service::start(&mut command(data.path(), &shop.targets())).await;
        let ended = next.wait_until(&id, &LAST).await;
        assert_eq!(ended["state"], "failed", "{ended}");
        assert!(ended["reason"].as_str().unwrap().contains(told), "{ended}");
        assert_eq!(next.get(&format!("/api/v1/runs/{id}/report")).await.0, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_taken_over_bears_a_clock_set_back_and_output_cut_short() {
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let asked = json!({ "scenario": "smoke", "durationSeconds": 60 });
    let (id, folder) = killed_at_work(data.path(), &shop, &asked).await;
    let group = k6::pid(&folder);
    rustix::process::kill_process_group(group, Signal::KILL).unwrap();
    k6::wait_for("the end of k6", || k6::is_gone(group).then_some(()));
    let samples = std::fs::OpenOptions::new().write(true).open(folder.join("samples.ndjson")).unwrap();
    samples.set_len(samples.metadata().unwrap().len() - 10).unwrap();
    let later = (chrono::Utc::now() + chrono::TimeDelta::hours(30)).to_rfc3339();
    rusqlite::Connection::open(data.path().join("runs.sqlite"))
        .unwrap()
        .execute(
            "UPDATE runs SET entry = json_set(entry, '$.startedAt', ?1, '$.createdAt', ?1) WHERE id = ?2",
            [&later, &id],
        )
        .unwrap();

    let next = Service::start(&mut command(data.path(), &shop.targets())).await;
    let ended = next.wait_until(&id, &LAST).await;
    assert_eq!(ended["state"], "failed", "{ended}");
    assert!(ended["finishedAt"].as_str().unwrap() >= ended["startedAt"].as_str().unwrap(), "{ended}");
    let (status, summary) = next.get_json(&format!("/api/v1/runs/{id}/summary")).await;
    assert_eq!(status, 200);
    assert!(summary["warnings"].to_string().contains("lines of k6's output were broken"), "{summary}");
    assert_eq!(next.get(&format!("/api/v1/runs/{id}/report")).await.0, 200);
    // What is entered now comes first all the same.
    let newer = next.start_run(&json!({ "scenario": "smoke", "durationSeconds": 1 })).await;
    assert_eq!(next.get_json("/api/v1/runs?limit=1").await.1["items"][0]["id"], newer.as_str());
    next.wait_until(&newer, &LAST).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_lets_go_of_what_a_service_is_to_follow() {
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let asked = json!({ "scenario": "smoke", "durationSeconds": 60 });
    let (id, folder) = killed_at_work(data.path(), &shop, &asked).await;
    let group = k6::pid(&folder);
    let (code, out, err) = run(command(data.path(), "other=http://127.0.0.1:1").args(["run", "smoke"]));
    assert_eq!(code, 1, "{out}{err}");
    assert!(!k6::is_gone(group), "the command ended a service's k6");
    assert_eq!(k6::entry(&folder)["state"], "running");
    let next = Service::start(&mut command(data.path(), &shop.targets())).await;
    assert_eq!(next.post(&format!("/api/v1/runs/{id}/cancel"), &json!({})).await.0, 202);
    assert_eq!(next.wait_until(&id, &LAST).await["state"], "cancelled");
    assert!(k6::is_gone(group));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_follows_what_a_command_lets_go_of_while_it_serves() {
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let asked = json!({ "scenario": "smoke", "durationSeconds": 60 });
    let (id, folder) = killed_at_work(data.path(), &shop, &asked).await;
    let group = k6::pid(&folder);
    // A server that answers, so that the command has something to do for a while.
    let other = Shop::open().await;
    let taking = Running::start(command(data.path(), &format!("other=http://{}", other.address)).args([
        "run",
        "smoke",
        "--duration",
        "60s",
    ]));
    k6::wait_for("the command's own k6", || (other.requests() > 0).then_some(()));

    let next = Service::start(&mut command(data.path(), &shop.targets())).await;
    assert_eq!(next.get_json(&format!("/api/v1/runs/{id}")).await.1["state"], "running");
    let (status, problem) = next.post(&format!("/api/v1/runs/{id}/cancel"), &json!({})).await;
    assert_eq!((status, &problem["code"]), (409, &"run_elsewhere".into()), "{problem}");
    taking.signal(Signal::TERM);
    taking.end();
    assert!(!k6::is_gone(group), "the command ended a service's k6");
    let begin = std::time::Instant::now();
    while next.post(&format!("/api/v1/runs/{id}/cancel"), &json!({})).await.0 != 202 {
        assert!(begin.elapsed() < k6::PATIENCE, "nobody follows the run");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(next.wait_until(&id, &LAST).await["state"], "cancelled");
    assert!(k6::is_gone(group));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_not_passed_by_starts_at_the_same_time() {
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let service = Service::start(command(data.path(), &shop.targets()).env("QUEUE_PER_TARGET", "3")).await;
    let long = json!({ "scenario": "smoke", "durationSeconds": 60 });
    let starts = futures::future::join_all((0..40).map(|_| service.post("/api/v1/runs", &long))).await;
    let with = |wanted: u16| starts.iter().filter(|(status, _)| *status == wanted).count();
    assert_eq!((with(202), with(429)), (3, 37));
    // What was refused holds no place.
    let waiting =
        starts.iter().filter(|(status, _)| *status == 202).map(|(_, run)| run["id"].as_str().unwrap());
    for id in waiting {
        assert_eq!(service.post(&format!("/api/v1/runs/{id}/cancel"), &json!({})).await.0, 202);
        service.wait_until(id, &LAST).await;
    }
    k6::wait_for("an empty queue", || {
        let start = service.post("/api/v1/runs", &long);
        let (status, _) = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(start));
        (status == 202).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_of_one_target_leaves_the_others_alone() {
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let targets = format!("{},second=http://{}", shop.targets(), shop.address);
    let service = Service::start(
        command(data.path(), &targets).env("QUEUE_PER_TARGET", "3").env("RUNS_PER_TARGET", "2"),
    )
    .await;
    let long = json!({ "scenario": "smoke", "durationSeconds": 60 });
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(service.start_run(&long).await);
    }
    let (status, problem) = service.post("/api/v1/runs", &long).await;
    assert_eq!((status, &problem["code"]), (429, &"too_many_runs".into()), "{problem}");
    let other = json!({ "scenario": "smoke", "durationSeconds": 1, "target": "second" });
    let other = service.start_run(&other).await;
    for id in &ids[..2] {
        service.wait_until(id, &["running"]).await;
    }
    assert_eq!(service.wait_until(&other, &LAST).await["state"], "finished");
    assert_eq!(service.get_json(&format!("/api/v1/runs/{}", ids[2])).await.1["state"], "queued");
    let _: Running = service.process;
}
