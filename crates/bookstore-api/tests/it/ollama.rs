//! A real Ollama, which `OLLAMA_BASE_URL` names: what it reports, what the service answers and what
//! `/metrics` says are the same numbers. Part of `make test-integration`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use http_server::{Limits, ListenSettings};
use serde_json::{Value, json};
use telemetry::Metrics;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::service::Start;

/// Loading a model can take this long.
const PATIENCE: Duration = Duration::from_secs(120);

/// The real server, or what to do.
#[expect(clippy::disallowed_methods, reason = "the environment names the server")]
fn ollama() -> String {
    std::env::var("OLLAMA_BASE_URL").expect(
        "OLLAMA_BASE_URL names no Ollama: start one (`ollama serve`, `ollama pull llama3.2`) and set it, \
         or run `make test-integration`",
    )
}

/// A proxy that remembers the prompt and answer tokens of each answer that passes it.
#[derive(Clone)]
struct Recorder {
    upstream: String,
    client: reqwest::Client,
    reported: Arc<Mutex<Vec<(u64, u64)>>>,
}

async fn pass(State(recorder): State<Recorder>, body: Bytes) -> (StatusCode, String) {
    let request = recorder.client.post(format!("{}/api/chat", recorder.upstream)).body(body);
    let response = request.header("Content-Type", "application/json").send().await.unwrap();
    let status = StatusCode::from_u16(response.status().as_u16()).unwrap();
    let text = response.text().await.unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap_or("null")).unwrap();
    if last["done"] == true {
        let count = |name: &str| last[name].as_u64().unwrap_or_else(|| panic!("no {name} in {last}"));
        recorder.reported.lock().unwrap().push((count("prompt_eval_count"), count("eval_count")));
    }
    (status, text)
}

/// Runs the proxy as long as the set lives; its URL.
async fn record(recorder: Recorder, tasks: &mut JoinSet<()>) -> String {
    let settings = ListenSettings {
        limits: Limits { request_deadline: PATIENCE, ..Limits::default() },
        ..ListenSettings::default()
    };
    let listener = http_server::bind(&settings).await.unwrap();
    let url = format!("http://{}", listener.local_addr());
    let router = Router::new().route("/api/chat", post(pass)).with_state(recorder);
    tasks.spawn(async move {
        http_server::serve(listener, router, Metrics::unregistered(), CancellationToken::new())
            .await
            .unwrap();
    });
    url
}

#[tokio::test]
async fn answer_metrics_and_server_name_the_same_tokens() {
    let recorder = Recorder {
        upstream: ollama(),
        client: reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap(),
        reported: Arc::default(),
    };
    let mut tasks = JoinSet::new();
    let service = Start::new(&record(recorder.clone(), &mut tasks).await).serve();
    let mut answered = Vec::new();
    for title in ["Moby-Dick", "Emma"] {
        let book = service.book(title).await;
        let made = service.summarise(&book, "").await.expect(200);
        assert_eq!((&made["provider"], &made["simulated"]), (&json!("ollama"), &json!(false)));
        assert_eq!(made["usage"]["source"], "reported");
        let count = |name: &str| made["usage"][name].as_u64().unwrap();
        answered.push((count("inputTokens"), count("outputTokens")));
        let cached = service.summarise(&book, "").await.expect(200);
        assert_eq!((&cached["usage"]["inputTokens"], &cached["summary"]), (&json!(0), &made["summary"]));
        println!(
            "{title}: {} ({} + {} tokens)",
            made["summary"],
            count("inputTokens"),
            count("outputTokens")
        );
    }
    let reported = recorder.reported.lock().unwrap().clone();
    assert_eq!(answered, reported);
    assert!(reported.iter().all(|&(input, output)| input > 0 && output > 0), "{reported:?}");
    let sums = reported.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    for (kind, expected) in [("input", sums.0), ("output", sums.1)] {
        let labels = [&*format!(r#"gen_ai_token_type="{kind}""#), r#"gen_ai_provider_name="ollama""#];
        let measured = service.metric("gen_ai_client_token_usage_sum", &labels).await;
        assert_eq!(measured.to_string(), expected.to_string(), "{kind}");
    }
}

#[tokio::test]
async fn a_model_that_the_server_lacks_is_named() {
    let service = Start::new(&ollama()).argument("--ollama-model", "no-such-model").serve();
    let book = service.book("Moby-Dick").await;
    let problem = service.summarise(&book, "").await.problem(502, "llm_bad_request");
    assert!(problem["detail"].as_str().unwrap().contains("ollama pull no-such-model"), "{problem}");
}
