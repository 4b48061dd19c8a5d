//! The binary as a process, with settings of its own and nothing of the tests' environment.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::k6;

/// The binary with a data folder and a target; more is added by the test.
pub fn command(data: &Path, targets: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perf-service"));
    command
        .env_clear()
        .env("PATH", "/nowhere")
        .env("DATA_DIR", data)
        .env("TARGETS", targets)
        .env("K6_BIN", k6::binary())
        .env("K6_ENGINE", "local")
        .stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> (i32, String, String) {
    told(&command.output().unwrap())
}

pub fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// A process that is stopped at the end of its test, passed or failed.
pub struct Running(Option<Child>);

impl Running {
    pub fn start(command: &mut Command) -> Self {
        Self(Some(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()))
    }

    fn pid(&self) -> Pid {
        Pid::from_child(self.0.as_ref().unwrap())
    }

    pub fn signal(&self, signal: Signal) {
        k6::kill(self.pid(), signal);
    }

    /// Waits for its end.
    pub fn end(mut self) -> (i32, String, String) {
        told(&self.0.take().unwrap().wait_with_output().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(mut child) = self.0.take() else { return };
        // Asked first, so that it takes its k6 along.
        let _ = rustix::process::kill_process(Pid::from_child(&child), Signal::TERM);
        let begin = Instant::now();
        while matches!(child.try_wait(), Ok(None)) && begin.elapsed() < k6::PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// A service that serves.
pub struct Service {
    pub process: Running,
    pub url: String,
    pub client: reqwest::Client,
}

impl Service {
    pub async fn start(command: &mut Command) -> Self {
        // Free now; nobody else asks for a port of this range.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Running::start(command.arg("serve").env("HTTP_PORT", port.to_string()));
        let client = reqwest::Client::builder().timeout(k6::PATIENCE).build().unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let service = Self { process, url, client };
        let begin = Instant::now();
        while service.get("/health/ready").await.0 != 200 {
            assert!(begin.elapsed() < k6::PATIENCE, "the service did not become ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        service
    }

    /// Status and body; status 0 where nobody answers.
    pub async fn get(&self, path: &str) -> (u16, String) {
        match self.client.get(format!("{}{path}", self.url)).send().await {
            Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap()),
            Err(_) => (0, String::new()),
        }
    }

    pub async fn get_json(&self, path: &str) -> (u16, Value) {
        let (status, body) = self.get(path).await;
        (status, serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let answer = self.client.post(format!("{}{path}", self.url)).json(body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    /// Starts a run and gives its id.
    pub async fn start_run(&self, body: &Value) -> String {
        let (status, run) = self.post("/api/v1/runs", body).await;
        assert_eq!(status, 202, "{run}");
        run["id"].as_str().unwrap().to_owned()
    }

    /// Waits until a run is in one of these states.
    pub async fn wait_until(&self, id: &str, states: &[&str]) -> Value {
        let begin = Instant::now();
        loop {
            let (status, run) = self.get_json(&format!("/api/v1/runs/{id}")).await;
            assert_eq!(status, 200);
            if states.contains(&run["state"].as_str().unwrap()) {
                return run;
            }
            assert!(begin.elapsed() < k6::PATIENCE, "the run did not come to {states:?}: {run}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
