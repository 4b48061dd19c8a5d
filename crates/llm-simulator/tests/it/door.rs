//! `/health`, `/metrics`, and what belongs to no protocol.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{Simulated, settings};

#[tokio::test]
async fn health_says_what_is_simulated() {
    let simulated = Simulated::start(&settings()).await;
    for path in ["/health/live", "/health/ready"] {
        let response = simulated.get(path).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.json::<Value>().await.unwrap(), json!({"status": "ok"}));
    }
    let health: Value = simulated.get("/health").await.json().await.unwrap();
    assert_eq!((&health["seed"], &health["profile"]), (&json!(1), &json!("test")));
}

#[tokio::test]
async fn a_path_of_no_protocol_is_a_problem() {
    let simulated = Simulated::start(&settings()).await;
    let response = simulated.get("/nope").await;
    assert_eq!(response.status(), 404);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn told_to_stop_it_lets_an_answer_under_way_end() {
    let mut slow = settings();
    slow.profiles = crate::slow(300.0);
    let mut simulated = Simulated::start(&slow).await;
    let body = r#"{"model":"llama3.2","prompt":"x"}"#;
    let (answer, ()) = tokio::join!(simulated.post("/api/generate", body), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        simulated.stop.cancel();
    });
    let text = answer.text().await.unwrap();
    assert!(text.lines().last().unwrap().contains(r#""done":true"#), "{text}");
    tokio::time::timeout(Duration::from_secs(10), simulated.tasks.join_next()).await.unwrap();
    assert!(simulated.client.get(format!("{}/health/live", simulated.base)).send().await.is_err());
}
