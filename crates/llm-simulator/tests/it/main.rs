//! The simulator from outside, over HTTP and as a process.

#![cfg(test)]

mod door;
mod ollama;
mod process;
#[cfg(feature = "integration")]
mod real_ollama;
mod shape;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use llm_simulator::app::App;
use llm_simulator::profile::{Delay, Profile};
use llm_simulator::settings::Settings;
use reqwest::{Client, Response};
use serde_json::Value;
use statistics::LogNormal;
use telemetry::{LogFormat, Metrics, OtlpProtocol};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A simulator in this process, stopped when dropped.
struct Simulated {
    base: String,
    client: Client,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

/// Quick, but not so quick that a cut could come too late.
fn settings() -> Settings {
    Settings {
        bind_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        http_port: 0,
        allowed_hosts: Vec::new(),
        models: vec!["llama3.2".to_owned(), "me/own:1b".to_owned()],
        seed: 1,
        profile: Profile {
            source: "test".to_owned(),
            first_token: Delay::from_median_and_p95(10.0, 20.0).unwrap(),
            gap: Delay::from_median_and_p95(0.5, 1.0).unwrap(),
            output_tokens: LogNormal::from_median_and_p95(60.0, 90.0).unwrap(),
            error_rate: 0.0,
        },
        log_format: LogFormat::Json,
        log_filter: "info".to_owned(),
        otlp_endpoint: None,
        otlp_protocol: OtlpProtocol::HttpProtobuf,
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
        let stop = CancellationToken::new();
        let app = App::start(settings, Metrics::unregistered(), stop.clone()).await.unwrap();
        let base = format!("http://{}", app.local_addr());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { app.run().await.unwrap() });
        Self { base, client: client(), stop, tasks }
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
