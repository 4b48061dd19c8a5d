//! `EXPERIMENTS_FILE`, the arms in answers, and `GET /api/v1/experiments`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::Method;
use rusqlite::Connection;
use serde_json::{Value, json};
use wiremock::{Request, ResponseTemplate};

use crate::service::{Service, Start, metric, plain_lines};
use crate::upstream::{Upstream, answer};

fn experiments(arms: &Value) -> Value {
    json!({ "version": 1, "experiments": [{ "name": "models", "sticky": "book", "arms": arms }] })
}

/// An Ollama that answers with the name of the model asked, and how often it was asked.
async fn upstream() -> Upstream {
    let calls = Arc::new(AtomicU64::new(0));
    Upstream::with(move |request: &Request| {
        let body: Value = request.body_json().unwrap();
        let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
        answer(&format!("Answer number {call} comes from {}.", body["model"].as_str().unwrap()), 100, 10)
    })
    .await
}

fn start(upstream: &Upstream, file: &Value) -> Start {
    let start = Start::new(&upstream.url()).environment("LLM_ATTEMPTS", "1");
    let file = start.file("experiments.json", file.to_string());
    start.environment("EXPERIMENTS_FILE", file.to_str().unwrap())
}

async fn arm(service: &Service, name: &str) -> Value {
    let all = service.get("/api/v1/experiments").await.expect(200);
    let arms = all["items"][0]["arms"].as_array().unwrap();
    arms.iter().find(|arm| arm["name"] == name).unwrap().clone()
}

#[tokio::test]
async fn each_arm_asks_its_model_keeps_its_own_summaries_and_is_counted() {
    let upstream = upstream().await;
    let start = start(
        &upstream,
        &experiments(&json!([
            { "name": "usual", "weight": 1, "provider": "ollama" },
            { "name": "other", "weight": 1, "provider": "ollama", "model": "noise" }])),
    );
    let service = start.serve();
    let mut seen = std::collections::BTreeMap::<String, u64>::new();
    let mut of_other = String::new();
    for number in 0..24 {
        let book = service.book(&format!("Book {number}")).await;
        let made = service.summarise(&book, "").await.expect(200);
        let name = made["arm"].as_str().unwrap().to_owned();
        assert_eq!(made["experiment"], "models");
        let model = if name == "usual" { "llama3.2" } else { "noise" };
        assert!(made["summary"].as_str().unwrap().ends_with(&format!("comes from {model}.")), "{made}");
        assert_eq!((&made["attempts"][0]["model"], &made["cached"]), (&json!(model), &json!(false)));
        // Again it is the same arm and its own summary.
        let again = service.summarise(&book, "").await.expect(200);
        assert_eq!(
            (&again["arm"], &again["summary"], &again["cached"]),
            (&made["arm"], &made["summary"], &json!(true))
        );
        *seen.entry(name.clone()).or_default() += 1;
        if name == "other" {
            of_other = book;
        }
    }
    assert_eq!(upstream.calls().await, 24);
    assert!(seen["usual"] > 2 && seen["other"] > 2, "{seen:?}");

    // Who names the provider takes no part.
    let named = service.summarise(&of_other, "?provider=ollama&refresh=true").await.expect(200);
    assert_eq!(named.get("arm"), None);
    assert!(named["summary"].as_str().unwrap().ends_with("comes from llama3.2."));
    let arms = service.summarise(&of_other, "").await.expect(200);
    assert!(arms["summary"].as_str().unwrap().ends_with("comes from noise."), "another model's is no answer");
    // A new one replaces the arm's; an edited book has none.
    let fresh = service.summarise(&of_other, "?refresh=true").await.expect(200);
    assert_eq!((&fresh["arm"], &fresh["cached"]), (&json!("other"), &json!(false)));
    assert_eq!(service.summarise(&of_other, "").await.expect(200)["summary"], fresh["summary"]);
    let path = format!("/api/v1/books/{of_other}");
    assert_eq!(service.get(&path).await.expect(200)["summary"], fresh["summary"]);
    service.patch(&path, &json!({ "description": "Quite another story." })).await.expect(200);
    let edited = service.summarise(&of_other, "").await.expect(200);
    assert_eq!((&edited["arm"], &edited["cached"]), (&json!("other"), &json!(false)));

    let other = arm(&service, "other").await;
    let calls = seen["other"] + 2;
    assert_eq!(
        (&other["provider"], &other["model"], &other["promptVersion"]),
        (&json!("ollama"), &json!("noise"), &json!("2"))
    );
    assert_eq!((&other["calls"], &other["errors"]), (&json!(calls), &json!(0)), "{other}");
    assert_eq!(other["requests"], seen["other"] * 2 + 4);
    assert_eq!((&other["inputTokens"], &other["outputTokens"]), (&json!(calls * 100), &json!(calls * 10)));
    assert_eq!((&other["errorRate"]["value"], &other["errorRate"]["low"]), (&json!(0.0), &json!(0.0)));
    for figure in ["latencyMeanMs", "latencyMedianMs"] {
        let of = |part: &str| other[figure][part].as_f64().unwrap();
        assert!(of("low") <= of("value") && of("value") <= of("high") && of("value") > 0.0, "{other}");
    }
    assert_eq!(other["costUsd"]["value"], 0.0, "{other}");
    let text = service.get("/metrics").await.text;
    let labels = ["experiment=\"models\"", "arm=\"other\"", "outcome=\"ok\""];
    let counted = metric(&text, "bookstore_experiment_requests_total", &labels);
    assert_eq!(counted, Some(calls as f64), "{text}");

    // It is still there after a restart, and counts on.
    let log = service.stop();
    assert!(!log.iter().any(|line| line.contains("could not be kept")), "{log:#?}");
    let service = start.serve();
    assert_eq!(arm(&service, "other").await["calls"], calls);
    service.summarise(&of_other, "?refresh=true").await.expect(200);
    assert_eq!(arm(&service, "other").await["calls"], calls + 1);
}

#[tokio::test]
async fn a_failed_call_is_an_error_of_its_arm_once_however_many_share_it() {
    let upstream = Upstream::with(|_: &Request| {
        ResponseTemplate::new(500).set_delay(std::time::Duration::from_millis(300))
    })
    .await;
    let start =
        start(&upstream, &experiments(&json!([{ "name": "only", "weight": 1, "provider": "ollama" }])));
    let service = start.serve();
    let book = service.book("Moby-Dick").await;
    let replies = futures::future::join_all((0..5).map(|_| service.summarise(&book, ""))).await;
    assert!(replies.iter().all(|reply| reply.status == 503));
    let calls = upstream.calls().await as u64;
    let only = arm(&service, "only").await;
    assert_eq!((&only["calls"], &only["errors"]), (&json!(0), &json!(calls)), "{only}");
    assert_eq!(only["errorRate"]["value"], 1.0);
    assert_eq!(only.get("latencyMeanMs"), None);
}

#[tokio::test]
async fn a_call_that_everybody_left_is_counted_with_what_it_cost() {
    let upstream = Upstream::with(|_: &Request| {
        ResponseTemplate::new(200).set_delay(std::time::Duration::from_secs(30))
    })
    .await;
    let start =
        start(&upstream, &experiments(&json!([{ "name": "only", "weight": 1, "provider": "ollama" }])));
    let service = start.serve();
    let book = service.book("Moby-Dick").await;
    let patience = std::time::Duration::from_millis(500);
    assert!(tokio::time::timeout(patience, service.summarise(&book, "")).await.is_err(), "it was answered");
    let mut only = arm(&service, "only").await;
    for _ in 0..300 {
        if only["abandoned"] == 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        only = arm(&service, "only").await;
    }
    assert_eq!(
        (&only["abandoned"], &only["calls"], &only["errors"]),
        (&json!(1), &json!(0), &json!(0)),
        "{only}"
    );
    assert_eq!(only["costUsd"]["value"], 0.0, "Ollama's price: {only}");
    assert_eq!(only.get("errorRate"), None);
}

#[tokio::test]
async fn a_share_of_none_leaves_all_to_the_default() {
    let upstream = upstream().await;
    let mut file = experiments(&json!([{ "name": "only", "weight": 1, "provider": "simulated" }]));
    file["experiments"][0]["share"] = json!(0);
    let service = start(&upstream, &file).serve();
    let book = service.book("Moby-Dick").await;
    let made = service.summarise(&book, "").await.expect(200);
    assert_eq!((&made["provider"], made.get("arm")), (&json!("ollama"), None));
    assert_eq!(arm(&service, "only").await["requests"], 0);
}

#[tokio::test]
async fn a_file_with_mistakes_is_refused_with_all_of_them() {
    let upstream = upstream().await;
    let start = start(
        &upstream,
        &experiments(&json!([{ "name": "Ä", "weight": 0, "provider": "claude", "promptVersion": "99" }])),
    );
    let output = start.run(&[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let told = plain_lines(&output.stderr).join("\n");
    for part in [
        "EXPERIMENTS_FILE: experiments[0].arms[0]: the name",
        "weight is 0",
        "claude is not configured",
        "prompt version \"99\"",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[tokio::test]
async fn a_store_that_is_down_is_told() {
    let upstream = upstream().await;
    let start =
        start(&upstream, &experiments(&json!([{ "name": "only", "weight": 1, "provider": "ollama" }])));
    let service = start.serve();
    let store = Connection::open(start.data().join("bookstore.sqlite")).unwrap();
    store.execute_batch("ALTER TABLE tallies RENAME TO t").unwrap();
    service.get("/api/v1/experiments").await.problem(503, "store_unavailable");
    let head = service.send(service.request(Method::HEAD, "/api/v1/experiments")).await;
    assert_eq!(head.status, 503);
}
