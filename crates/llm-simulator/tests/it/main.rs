//! The simulator from outside, over HTTP and as a process.

#![cfg(test)]

mod admin;
mod anthropic;
mod bedrock;
mod door;
mod faults;
mod fit;
mod metrics;
mod ollama;
mod openai;
mod process;
mod raw;
#[cfg(feature = "integration")]
mod real_ollama;
mod record;
mod replay;
mod shape;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use llm_simulator::app::{App, Role};
use llm_simulator::faults::Faults;
use llm_simulator::models::Models;
use llm_simulator::profile::{Profile, Profiles};
use llm_simulator::settings::Settings;
use reqwest::{Client, Response};
use serde_json::Value;
use telemetry::{LogFormat, LogsExporter, Metrics, OtlpProtocol, Sampling};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A simulator in this process, stopped when dropped.
struct Simulated {
    base: String,
    client: Client,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

/// A model as Bedrock names them.
const CONVERSE_MODEL: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";

/// Quick, but not so quick that a cut could come too late.
fn profile() -> Profile {
    Profile::log_normal("test", (10.0, 20.0), (0.5, 1.0), (60.0, 90.0)).unwrap()
}

/// The first token takes this long, the rest as in [`profile`].
fn slow(first_token_ms: f64) -> Profiles {
    let first = (first_token_ms, first_token_ms);
    Profiles::all(Profile::log_normal("slow", first, (0.5, 1.0), (60.0, 90.0)).unwrap())
}

/// Models of every protocol, and [`profile`].
fn settings() -> Settings {
    Settings {
        bind_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        http_port: 0,
        allowed_hosts: Vec::new(),
        models: Models::new(["llama3.2", "me/own:1b", "gpt-4o", "claude-sonnet-4-5", CONVERSE_MODEL]),
        seed: 1,
        profiles: Profiles::all(profile()),
        faults: Faults::default(),
        requests_per_minute: 1_000_000,
        tokens_per_minute: 1_000_000_000,
        context_tokens: 200_000,
        api_key: None,
        aws_keys: None,
        api_token: None,
        log_format: LogFormat::Json,
        log_filter: "info".to_owned(),
        otlp_endpoint: None,
        otlp_protocol: OtlpProtocol::HttpProtobuf,
        sdk_disabled: false,
        logs_exporter: LogsExporter::default(),
        sampling: Sampling::default(),
    }
}

/// A client with deadlines.
fn client() -> Client {
    Client::builder()
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(60))
        .build()
        .unwrap()
}

impl Simulated {
    async fn start(settings: &Settings) -> Self {
        Self::start_as(settings, Role::Simulate).await
    }

    async fn start_as(settings: &Settings, role: Role) -> Self {
        let stop = CancellationToken::new();
        let app = App::start(settings, role, Metrics::unregistered(), stop.clone()).await.unwrap();
        let base = format!("http://{}", app.local_addr());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { app.run().await.unwrap() });
        Self { base, client: client(), stop, tasks }
    }

    /// Stops and waits until it has.
    async fn end(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }

    async fn post(&self, path: &str, body: &str) -> Response {
        post(&self.client, &self.base, path, body).await
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.base)).send().await.unwrap()
    }

    async fn metrics(&self) -> String {
        self.get("/metrics").await.text().await.unwrap()
    }
}

async fn post(client: &Client, base: &str, path: &str, body: &str) -> Response {
    let request = client.post(format!("{base}{path}")).header("content-type", "application/json");
    request.body(body.to_owned()).send().await.unwrap()
}

/// A whole answer.
async fn json(response: Response) -> Value {
    assert_eq!(response.headers()["content-type"], "application/json; charset=utf-8");
    response.json().await.unwrap()
}

/// The lines of a streamed answer.
async fn lines(response: Response) -> Vec<Value> {
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let text = response.text().await.unwrap();
    assert!(text.ends_with('\n'), "{text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
