//! Runs in real containers behind a real gate: perf-service itself has no Docker. The daemon is
//! that of `docker.rs`. And what a container of a script of ours may use.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use perf_service::engine::containers::ContainerEngine;
use perf_service::engine::docker::{DockerDaemon, DockerSettings, Limits};
use perf_service::engine::{Engine, EngineError, Exit, Launch};
use perf_service::scenarios::ScriptFile;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::docker::{containers, daemon, host, image};
use crate::k6;
use crate::service::{Running, Service, command, run};
use crate::shop::Shop;

const TOKEN: &str = "a-token-of-the-gate-in-tests";

/// A gate with a folder of its own, which holds its socket.
pub struct Gate {
    process: Option<Running>,
    folder: tempfile::TempDir,
    targets: String,
    docker: String,
}

impl Gate {
    pub fn before(docker: &str, targets: &str) -> Self {
        let mut gate = Self::closed(docker, targets);
        gate.open();
        gate
    }

    fn closed(docker: &str, targets: &str) -> Self {
        Self {
            process: None,
            folder: tempfile::tempdir().unwrap(),
            targets: targets.to_owned(),
            docker: docker.to_owned(),
        }
    }

    fn command(&self) -> Command {
        let mut command = command(self.folder.path(), &self.targets);
        command.env_remove("K6_BIN").env_remove("K6_ENGINE").env("DOCKER_HOST", &self.docker);
        command.env("K6_IMAGE", image()).env("DOCKER_GATE_TOKEN", TOKEN).arg("docker-gate");
        command
    }

    fn open(&mut self) {
        self.process = Some(Running::start(&mut self.command()));
        k6::wait_for("the gate", || (run(self.command().arg("--health")).0 == 0).then_some(()));
    }

    /// A perf-service that has nothing but the gate.
    pub fn client(&self, data: &Path) -> Command {
        let mut client = command(data, &self.targets);
        client
            .env_remove("K6_BIN")
            .env("K6_ENGINE", "docker")
            .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
            .env("DOCKER_GATE", format!("unix://{}/docker-gate.sock", self.folder.path().display()))
            .env("DOCKER_GATE_TOKEN", TOKEN);
        client
    }
}

fn requests(folder: &Path) -> u64 {
    let samples = std::fs::read_to_string(folder.join("samples.ndjson")).unwrap();
    samples.lines().filter(|line| line.starts_with(r#"{"metric":"http_reqs","#)).count() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn real_docker_gate_runs_what_perf_service_may_not_and_leaves_nothing() {
    let docker = daemon().await;
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let gate = Gate::before(&host(), &shop.targets());
    let arguments = ["run", "smoke", "--duration", "3s", "--users", "2", "--max-p95-ms", "60000", "--json"];
    let (code, out, err) = run(gate.client(data.path()).args(arguments));
    assert_eq!(code, 0, "{out}{err}");
    assert!(err.contains("through the gate at unix://"), "{err}");
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&told["engine"], &told["outcome"]), (&"docker".into(), &"passed".into()));
    let folder = k6::run_folders(data.path()).pop().unwrap();
    assert_eq!(requests(&folder), shop.requests());
    assert!(containers(&docker, told["id"].as_str().unwrap()).await.is_empty());
    let (code, out, _) =
        run(gate.client(data.path()).args(["run", "smoke", "--duration", "2s", "--max-p95-ms", "0.001"]));
    assert!(code == 99 && out.contains("threshold crossed"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn real_docker_gate_that_is_killed_and_opened_again_costs_no_sample() {
    opened_again_after(Signal::KILL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn real_docker_gate_that_is_stopped_and_opened_again_costs_no_sample() {
    opened_again_after(Signal::TERM).await;
}

async fn opened_again_after(signal: Signal) {
    let docker = daemon().await;
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let mut gate = Gate::before(&host(), &shop.targets());
    let arguments = ["run", "smoke", "--duration", "6s", "--max-p95-ms", "60000", "--json"];
    let process = Running::start(gate.client(data.path()).args(arguments));
    let folder = k6::busy_run(data.path());
    let ended = gate.process.take().unwrap();
    ended.signal(signal);
    ended.end();
    gate.open();
    let (code, out, err) = process.end();
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(requests(&folder), shop.requests());
    let told: Value = serde_json::from_str(&out).unwrap();
    assert!(containers(&docker, told["id"].as_str().unwrap()).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn real_docker_gate_cancels_and_is_told_of_a_kill() {
    let docker = daemon().await;
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let gate = Gate::before(&host(), &shop.targets());
    let service = Service::start(&mut gate.client(data.path())).await;
    let id = service.start_run(&json!({ "scenario": "smoke", "durationSeconds": 60 })).await;
    k6::busy_run(data.path());
    assert_eq!(service.post(&format!("/api/v1/runs/{id}/cancel"), &json!({})).await.0, 202);
    let ended = service.wait_until(&id, &["cancelled", "finished", "failed"]).await;
    assert_eq!(ended["state"], "cancelled", "{ended}");
    assert!(containers(&docker, &id).await.is_empty());

    let id = service.start_run(&json!({ "scenario": "smoke", "durationSeconds": 60 })).await;
    service.wait_until(&id, &["running"]).await;
    let container = containers(&docker, &id).await.pop().unwrap().id.unwrap();
    docker.kill_container(&container, None::<bollard::query_parameters::KillContainerOptions>).await.unwrap();
    let ended = service.wait_until(&id, &["failed"]).await;
    assert!(ended["reason"].as_str().unwrap().contains("k6 was killed (signal 9)"), "{ended}");
    assert!(containers(&docker, &id).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn real_docker_gate_that_was_away_when_a_run_was_cancelled_still_ends_it() {
    let docker = daemon().await;
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let mut gate = Gate::before(&host(), &shop.targets());
    let service = Service::start(&mut gate.client(data.path())).await;
    let id = service.start_run(&json!({ "scenario": "smoke", "durationSeconds": 300 })).await;
    k6::busy_run(data.path());
    let ended = gate.process.take().unwrap();
    ended.signal(Signal::KILL);
    ended.end();
    assert_eq!(service.post(&format!("/api/v1/runs/{id}/cancel"), &json!({})).await.0, 202);
    // Longer than k6 is given to stop by itself.
    tokio::time::sleep(std::time::Duration::from_secs(8)).await;
    assert_eq!(containers(&docker, &id).await.len(), 1);
    gate.open();
    let ended = service.wait_until(&id, &["cancelled", "finished", "failed"]).await;
    assert_eq!(ended["state"], "cancelled", "{ended}");
    assert!(containers(&docker, &id).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn real_docker_gate_gives_a_run_back_to_the_service_after_the_one_that_was_killed() {
    let docker = daemon().await;
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let gate = Gate::before(&host(), &shop.targets());
    let service = Service::start(&mut gate.client(data.path())).await;
    let id = service.start_run(&json!({ "scenario": "smoke", "durationSeconds": 6 })).await;
    let folder = k6::busy_run(data.path());
    service.process.signal(Signal::KILL);
    service.process.end();
    let next = Service::start(&mut gate.client(data.path())).await;
    let ended = next.wait_until(&id, &["cancelled", "finished", "failed"]).await;
    assert_eq!(ended["state"], "finished", "{ended}");
    assert_eq!(requests(&folder), shop.requests());
    assert!(containers(&docker, &id).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn real_docker_gate_says_what_is_missing() {
    let data = tempfile::tempdir().unwrap();
    // No gate.
    let mut gate = Gate::before(&host(), "local=http://127.0.0.1:1");
    let closed = gate.process.take().unwrap();
    closed.signal(Signal::TERM);
    let (code, out, err) = closed.end();
    assert_eq!(code, 0, "{out}{err}");
    assert!(!gate.folder.path().join("docker-gate.sock").exists(), "its socket is left");
    let (code, out, _) = run(gate.client(data.path()).args(["run", "smoke"]));
    assert!(code == 1 && out.contains("no docker-gate answers at unix://"), "{out}");
    // A gate before no Docker.
    let mut gate = Gate::closed("unix:///nowhere/docker.sock", "local=http://127.0.0.1:1");
    gate.process = Some(Running::start(&mut gate.command()));
    let socket = gate.folder.path().join("docker-gate.sock");
    k6::wait_for("the gate's socket", || socket.exists().then_some(()));
    let (code, out, err) = run(gate.command().arg("--health"));
    assert!(
        code == 1 && err.contains("no Docker daemon answers at unix:///nowhere/docker.sock"),
        "{out}{err}"
    );
    let (code, out, _) = run(gate.client(data.path()).args(["run", "smoke"]));
    assert!(code == 1 && out.contains("no Docker daemon answers at unix:///nowhere/docker.sock"), "{out}");
    // Targets of which the gate knows nothing.
    let gate = Gate::before(&host(), "local=http://127.0.0.1:1");
    let (code, out, _) =
        run(gate.client(data.path()).env("TARGETS", "elsewhere=http://127.0.0.1:1").args(["run", "smoke"]));
    assert!(code == 1 && out.contains("Its TARGETS are: local"), "{out}");
    // Another token.
    let (code, out, _) = run(gate
        .client(data.path())
        .env("DOCKER_GATE_TOKEN", "another-token-of-good-length")
        .args(["run", "smoke"]));
    assert!(code == 1 && out.contains("DOCKER_GATE_TOKEN"), "{out}");
}

fn settings(limits: Limits) -> DockerSettings {
    DockerSettings { host: Some(host()), home: None, image: image(), network: None, limits }
}

async fn exit_of(script: &'static str, limits: Limits) -> Result<(Exit, String), EngineError> {
    let folder = tempfile::tempdir().unwrap();
    let engine = ContainerEngine::new(Arc::new(DockerDaemon::new(settings(limits))));
    engine.prepare(&|_| {}, &CancellationToken::new()).await?;
    let launch = Launch {
        run: Uuid::now_v7(),
        folder: folder.path().to_owned(),
        scenario: "odd".to_owned(),
        scripts: Arc::from([ScriptFile { path: "odd.js".to_owned(), content: script.as_bytes().into() }]),
        script: "odd.js".to_owned(),
        target_name: "local".to_owned(),
        target: "http://127.0.0.1:1".parse().unwrap(),
        environment: Vec::new(),
        secret: None,
        remote_write: None,
    };
    let exit = engine.start(&launch).await?.ended().await?;
    assert!(containers(&daemon().await, &launch.run.to_string()).await.is_empty());
    Ok((exit, std::fs::read_to_string(folder.path().join("k6.log")).unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn real_docker_script_that_wants_too_much_memory_is_told_from_one_that_was_killed() {
    daemon().await;
    let script = "export default function () { const all = []; for (;;) { all.push('x'.repeat(1 << 20) + all.length); } }";
    let limits = Limits { memory_mib: 64, ..Limits::default() };
    assert_eq!(exit_of(script, limits).await.unwrap().0, Exit::OutOfMemory);
}

#[tokio::test(flavor = "multi_thread")]
async fn real_docker_script_with_a_mistake_says_so() {
    daemon().await;
    let (exit, log) = exit_of("export default function ( {", Limits::default()).await.unwrap();
    assert_eq!(exit, Exit::Code(107));
    assert!(log.contains("Unexpected end of input"), "{log}");
}
