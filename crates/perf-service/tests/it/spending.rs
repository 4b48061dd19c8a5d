//! Runs that may spend money: the estimate, and the limit that they need.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use http_server::ListenSettings;
use serde_json::{Value, json};
use telemetry::Metrics;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::k6;
use crate::service::{Service, command, run};
use crate::shop::Shop;

/// How a till answers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Sound,
    Nobody,
    Elsewhere,
    Huge,
    Silent,
    Nonsense,
}

/// A target of which nothing is there but its prices.
struct Till {
    address: SocketAddr,
    asked: Arc<AtomicU64>,
    _open: JoinSet<()>,
}

impl Till {
    async fn open(mood: Mood) -> Self {
        let asked = Arc::<AtomicU64>::default();
        let router = Router::new()
            .route("/api/v1/llm/providers", get(providers))
            .route("/api/v1/experiments", get(|| async { Json(json!({"items": []})) }))
            .with_state((mood, Arc::clone(&asked)));
        let settings = ListenSettings { address: Ipv4Addr::LOCALHOST.into(), ..ListenSettings::default() };
        let listener = http_server::bind(&settings).await.unwrap();
        let address = listener.local_addr();
        let mut open = JoinSet::new();
        open.spawn(async move {
            let stop = CancellationToken::new();
            http_server::serve(listener, router, Metrics::unregistered(), stop).await.unwrap();
        });
        Self { address, asked, _open: open }
    }

    fn targets(&self) -> String {
        format!("local=http://{}", self.address)
    }
}

async fn providers(State((mood, asked)): State<(Mood, Arc<AtomicU64>)>) -> Response {
    asked.fetch_add(1, Ordering::Relaxed);
    let price = |input: &str, output: &str| {
        json!({"input": input, "output": output, "cachedInput": "0", "cacheWriteInput": "0",
               "source": "x", "asOf": "2026-11-21"})
    };
    match mood {
        Mood::Sound => Json(json!({"items": [
            {"name": "claude", "configured": true, "default": false, "model": "sonnet", "price": price("3", "15")},
            {"name": "ollama", "configured": true, "default": true, "model": "llama3.2", "price": price("0", "0")},
        ]}))
        .into_response(),
        Mood::Nobody => axum::http::StatusCode::NOT_FOUND.into_response(),
        Mood::Elsewhere => Redirect::temporary("http://127.0.0.1:1/").into_response(),
        Mood::Huge => "[".repeat(4 << 20).into_response(),
        Mood::Silent => {
            tokio::time::sleep(Duration::from_secs(30)).await;
            axum::http::StatusCode::OK.into_response()
        }
        Mood::Nonsense => "<html>".into_response(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_spend_needs_a_limit_and_says_how_much() {
    let (data, till) = (tempfile::tempdir().unwrap(), Till::open(Mood::Sound).await);
    let service = Service::start(&mut command(data.path(), &till.targets())).await;
    let body = json!({"scenario": "smoke", "provider": "claude", "durationSeconds": 5, "users": 3});
    let (status, problem) = service.post("/api/v1/runs", &body).await;
    assert_eq!((status, problem["code"].as_str()), (422, Some("cost_limit_needed")), "{problem}");
    assert_eq!(problem["errors"][0]["field"], "maxCostUsd");
    // 30 calls of 1,500 tokens at 3 dollars a million and 300 at 15.
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("$0.27") && detail.contains("claude (sonnet)"), "{detail}");
    assert!(k6::run_folders(data.path()).is_empty());
    let (status, estimate) = service.post("/api/v1/runs/estimate", &body).await;
    assert_eq!((status, &estimate["bills"], &estimate["calls"]), (200, &true.into(), &30.into()));
    assert!((estimate["costUsd"].as_f64().unwrap() - 0.27).abs() < 1e-9, "{estimate}");
    let free = json!({"scenario": "smoke", "durationSeconds": 5});
    let (_, estimate) = service.post("/api/v1/runs/estimate", &free).await;
    assert_eq!((&estimate["bills"], &estimate["costUsd"]), (&false.into(), &0.0.into()), "{estimate}");

    for wrong in [json!(-0.01), json!(1000.01), json!("1"), json!([1]), json!({"amount": 1})] {
        let mut body = body.clone();
        body["maxCostUsd"] = wrong;
        let (status, problem) = service.post("/api/v1/runs", &body).await;
        assert_eq!((status, problem["code"].as_str()), (422, Some("validation_failed")), "{body}: {problem}");
    }
    let asked = till.asked.load(Ordering::Relaxed);
    for limit in [0.0, 0.5] {
        let mut body = body.clone();
        body["maxCostUsd"] = json!(limit);
        let (status, run) = service.post("/api/v1/runs", &body).await;
        assert_eq!(status, 202, "{run}");
    }
    assert_eq!(till.asked.load(Ordering::Relaxed), asked, "with a limit nobody is asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_says_the_estimate_first() {
    let (data, till) = (tempfile::tempdir().unwrap(), Till::open(Mood::Sound).await);
    let smoke = ["run", "smoke", "--duration", "2s", "--provider", "claude"];
    let (code, out, err) = run(command(data.path(), &till.targets()).args(smoke));
    assert_eq!(code, 2, "{out}{err}");
    assert!(err.contains("it may spend up to about $") && err.contains("--max-cost-usd"), "{err}");
    assert!(k6::run_folders(data.path()).is_empty());
    let (code, _, err) =
        run(command(data.path(), &till.targets()).args(smoke).args(["--max-cost-usd", "0.25"]));
    // There is no shop behind the till.
    assert_eq!(code, 1, "{err}");
    let (estimate, started) = (err.find("estimate: it may spend").unwrap(), err.find("run 0").unwrap());
    assert!(estimate < started, "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_does_not_say_its_prices_may_bill_unless_a_free_provider_is_named() {
    for mood in [Mood::Nobody, Mood::Elsewhere, Mood::Huge, Mood::Silent, Mood::Nonsense] {
        let (data, till) = (tempfile::tempdir().unwrap(), Till::open(mood).await);
        let service = Service::start(&mut command(data.path(), &till.targets())).await;
        let body = json!({"scenario": "smoke", "provider": "openai"});
        let (status, problem) = service.post("/api/v1/runs", &body).await;
        assert_eq!(
            (status, problem["code"].as_str()),
            (422, Some("cost_limit_needed")),
            "{mood:?}: {problem}"
        );
        // Nor is an unnamed one known to be free.
        let (status, problem) = service.post("/api/v1/runs", &json!({"scenario": "smoke"})).await;
        assert_eq!(
            (status, problem["code"].as_str()),
            (422, Some("cost_limit_needed")),
            "{mood:?}: {problem}"
        );
        let body = json!({"scenario": "smoke", "provider": "ollama"});
        let (status, estimate) = service.post("/api/v1/runs/estimate", &body).await;
        assert_eq!((status, &estimate["bills"]), (200, &false.into()), "{mood:?}: {estimate}");
        assert!(estimate["text"].as_str().unwrap().contains("not known"), "{mood:?}: {estimate}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_its_limit_ended_proves_nothing_and_says_so() {
    for refused in [false, true] {
        let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
        // Paid for and given, or paid for and refused.
        if refused {
            shop.refuse_summaries(Some(10.0));
        } else {
            shop.bill(0.02);
        }
        let mut command = command(data.path(), &shop.targets());
        let load = ["--duration", "60s", "--users", "4", "--max-cost-usd", "0.1", "--max-p95-ms", "60000"];
        command.args(["run", "load", "--json"]).args(load);
        let (code, out, err) = tokio::task::spawn_blocking(move || run(&mut command)).await.unwrap();
        let ended: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{code}: {out}{err}"));
        assert_eq!((code, &ended["outcome"]), (3, &"inconclusive".into()), "{ended}");
        let reason = ended["reason"].as_str().unwrap();
        assert!(reason.starts_with("the limit in dollars was reached"), "{reason}");
        assert!(reason.contains("llm_cost_at_most_usd: count<=0.1"), "{reason}");
        assert!(shop.summaries() < 60, "{}", shop.summaries());
    }
}
