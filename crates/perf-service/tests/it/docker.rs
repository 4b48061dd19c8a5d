//! Runs in real containers. `DOCKER_HOST` has to name a daemon that has the k6 image, by default
//! grafana/k6:1.1.0, and shares this machine's network.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use bollard::Docker;
use bollard::models::{ContainerInspectResponse, ContainerSummary};
use bollard::query_parameters::{
    InspectContainerOptions, KillContainerOptions, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder,
};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::k6;
use crate::service::{Running, Service, command, run};
use crate::shop::Shop;
use crate::survival;

#[expect(clippy::disallowed_methods, reason = "tests are told by the environment where the daemon is")]
fn given(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

pub fn host() -> String {
    given("DOCKER_HOST").unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned())
}

pub fn image() -> String {
    given("K6_IMAGE").unwrap_or_else(|| "grafana/k6:1.1.0".to_owned())
}

/// The daemon; without one these tests fail.
pub async fn daemon() -> Docker {
    let docker = Docker::connect_with_host(&host());
    let docker =
        docker.unwrap_or_else(|error| panic!("{}: {error}; start Docker or set DOCKER_HOST", host()));
    let docker = docker.negotiate_version().await;
    let docker = docker.unwrap_or_else(|error| {
        panic!("no Docker daemon at {}: {error}; start it or set DOCKER_HOST", host())
    });
    docker.inspect_image(&image()).await.unwrap_or_else(|error| {
        panic!("{} is not there: {error}; `docker pull` it or set K6_IMAGE", image())
    });
    docker
}

fn in_docker(data: &Path, targets: &str) -> Command {
    let mut command = command(data, targets);
    command
        .env_remove("K6_BIN")
        .env("K6_ENGINE", "docker")
        .env("DOCKER_HOST", host())
        .env("K6_IMAGE", image());
    command
}

fn run_id(folder: &Path) -> String {
    folder.file_name().unwrap().to_str().unwrap().to_owned()
}

/// The containers of a run, in any state.
pub async fn containers(docker: &Docker, run: &str) -> Vec<ContainerSummary> {
    let filters = HashMap::from([("label", vec![format!("bookstore.run={run}")])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    docker.list_containers(Some(options)).await.unwrap()
}

/// The container of a run that is at work.
async fn container(docker: &Docker, folder: &Path) -> (String, ContainerInspectResponse) {
    let mut found = containers(docker, &run_id(folder)).await;
    assert_eq!(found.len(), 1);
    let id = found.remove(0).id.unwrap();
    let details = docker.inspect_container(&id, None::<InspectContainerOptions>).await.unwrap();
    (id, details)
}

fn volume(details: &ContainerInspectResponse) -> String {
    let mounts = details.mounts.clone().unwrap();
    let volumes: Vec<_> = mounts.into_iter().filter_map(|mount| mount.name).collect();
    assert_eq!(volumes.len(), 1);
    volumes[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn real_docker_run_passes_and_leaves_nothing() {
    let docker = daemon().await;
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let (code, out, err) = run(in_docker(data.path(), &shop.targets()).args([
        "run",
        "smoke",
        "--duration",
        "3s",
        "--max-p95-ms",
        "60000",
        "--json",
    ]));
    assert_eq!(code, 0, "{out}{err}");
    assert!(err.contains(&format!("k6: the image {}", image())), "{err}");
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&told["engine"], &told["outcome"]), (&"docker".into(), &"passed".into()));
    let folder = k6::run_folders(data.path()).pop().unwrap();
    let samples = std::fs::read_to_string(folder.join("samples.ndjson")).unwrap();
    let requests = samples.lines().filter(|line| line.starts_with(r#"{"metric":"http_reqs","#)).count();
    assert_eq!(requests as u64, shop.requests());
    assert!(containers(&docker, &run_id(&folder)).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn real_docker_threshold_is_crossed_and_named() {
    daemon().await;
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let (code, out, err) = run(in_docker(data.path(), &shop.targets()).args([
        "run",
        "smoke",
        "--duration",
        "2s",
        "--max-p95-ms",
        "0.001",
    ]));
    assert_eq!(code, 99, "{out}{err}");
    assert!(
        out.contains("FAILED: threshold crossed: http_req_duration{phase:measured,llm:false}: p(95)<0.001"),
        "{out}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn real_docker_container_is_hardened_and_a_cancelled_run_leaves_none() {
    let docker = daemon().await;
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let service = Service::start(&mut in_docker(data.path(), &shop.targets())).await;
    let id = service.start_run(&json!({ "scenario": "smoke", "durationSeconds": 60 })).await;
    let folder = k6::busy_run(data.path());
    let (_, details) = container(&docker, &folder).await;
    let host = details.host_config.clone().unwrap();
    assert_eq!((host.readonly_rootfs, host.privileged), (Some(true), Some(false)));
    assert_eq!(host.cap_drop.as_deref(), Some(&["ALL".to_owned()][..]));
    assert_eq!(host.security_opt.as_deref(), Some(&["no-new-privileges".to_owned()][..]));
    assert!(host.memory.unwrap() > 0 && host.nano_cpus.unwrap() > 0 && host.pids_limit.unwrap() > 0);
    assert!(host.binds.is_none_or(|binds| binds.is_empty()));
    let log = host.log_config.unwrap().config.unwrap();
    assert_eq!((log["max-size"].as_str(), log["max-file"].as_str()), ("1000g", "1"), "{log:?}");
    assert_eq!(details.config.clone().unwrap().user.as_deref(), Some("12345:12345"));
    let volume = volume(&details);

    assert_eq!(service.post(&format!("/api/v1/runs/{id}/cancel"), &json!({})).await.0, 202);
    let ended = service.wait_until(&id, &["cancelled", "finished", "failed"]).await;
    assert_eq!(ended["state"], "cancelled", "{ended}");
    assert!(containers(&docker, &id).await.is_empty());
    assert!(docker.inspect_volume(&volume).await.is_err(), "the scripts' volume is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn real_docker_signal_leaves_no_container() {
    let docker = daemon().await;
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let process =
        Running::start(in_docker(data.path(), &shop.targets()).args(["run", "smoke", "--duration", "60s"]));
    let folder = k6::busy_run(data.path());
    assert_eq!(containers(&docker, &run_id(&folder)).await.len(), 1);
    process.signal(Signal::TERM);
    let (code, out, err) = process.end();
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("CANCELLED: perf-service was stopped"), "{out}");
    assert!(containers(&docker, &run_id(&folder)).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn real_docker_kill_or_removal_breaks_the_run() {
    let docker = daemon().await;
    for removed in [false, true] {
        let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
        let process = Running::start(in_docker(data.path(), &shop.targets()).args([
            "run",
            "smoke",
            "--duration",
            "60s",
        ]));
        let folder = k6::busy_run(data.path());
        let (id, _) = container(&docker, &folder).await;
        if removed {
            let force = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
            docker.remove_container(&id, Some(force)).await.unwrap();
        } else {
            docker.kill_container(&id, None::<KillContainerOptions>).await.unwrap();
        }
        let (code, out, err) = process.end();
        assert_eq!(code, 1, "{out}{err}");
        // A removal by force kills first: what is seen first is told.
        let removal = removed && out.contains("removed by somebody else");
        assert!(removal || out.contains("k6 was killed (signal 9)"), "{out}");
        assert_eq!(k6::entry(&folder)["state"], "failed");
        assert!(containers(&docker, &run_id(&folder)).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn real_docker_service_that_is_killed_loses_no_run() {
    let docker = daemon().await;
    let gone = async |folder: &Path| containers(&docker, &run_id(folder)).await.is_empty();
    survival::survives(survival::kills(), in_docker, gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn real_docker_container_removed_unseen_breaks_the_run() {
    let docker = daemon().await;
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let service = Service::start(&mut in_docker(data.path(), &shop.targets())).await;
    let id = service.start_run(&json!({ "scenario": "smoke", "durationSeconds": 60 })).await;
    let folder = k6::busy_run(data.path());
    service.process.signal(Signal::KILL);
    service.process.end();
    let (container, _) = container(&docker, &folder).await;
    let force = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    docker.remove_container(&container, Some(force)).await.unwrap();
    let next = Service::start(&mut in_docker(data.path(), &shop.targets())).await;
    let ended = next.wait_until(&id, &["failed", "finished", "cancelled"]).await;
    assert_eq!(ended["state"], "failed", "{ended}");
    assert!(ended["reason"].as_str().unwrap().contains("while no perf-service watched"), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn real_docker_image_that_cannot_be_had_is_told() {
    daemon().await;
    let data = tempfile::tempdir().unwrap();
    let (code, out, err) = run(in_docker(data.path(), "local=http://127.0.0.1:1")
        .args(["run", "smoke"])
        .env("K6_IMAGE", "127.0.0.1:1/no/such-image:1"));
    assert_eq!(code, 1, "{out}{err}");
    assert!(err.contains("waiting for the image"), "{err}");
    assert!(
        out.contains("BROKEN: the image 127.0.0.1:1/no/such-image:1 is not there and cannot be pulled"),
        "{out}"
    );
    assert!(out.contains("K6_ENGINE=local"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn real_docker_is_preferred_where_it_answers() {
    daemon().await;
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let arguments = ["run", "smoke", "--duration", "1s", "--max-p95-ms", "60000", "--engine", "auto"];
    let (_, _, err) =
        run(in_docker(data.path(), &shop.targets()).args(arguments).env("K6_BIN", k6::binary()));
    assert!(err.contains("k6: the image"), "{err}");
    let (_, _, err) = run(in_docker(data.path(), &shop.targets())
        .args(arguments)
        .env("K6_BIN", k6::binary())
        .env("K6_IMAGE", "127.0.0.1:1/no/such-image:1"));
    assert!(err.contains("k6: k6 v"), "{err}");
}
