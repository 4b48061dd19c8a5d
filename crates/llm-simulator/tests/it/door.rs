//! `/health`, `/metrics`, and what belongs to no protocol.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{CONVERSE_MODEL, Simulated, settings};

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
async fn whoever_answers_marks_it() {
    let simulated = Simulated::start(&settings()).await;
    let url = |path: &str| format!("{}{path}", simulated.base);
    for (request, status) in [
        (simulated.client.get(url("/nope")), 404),
        (simulated.client.post(url("/model/%ff/converse")), 400),
        (simulated.client.get(url("/v1/models")).header("host", "evil.example"), 421),
        (simulated.client.post(url("/v1/messages")).header("origin", "http://evil.example"), 403),
        (simulated.client.delete(url("/health")), 405),
        (simulated.client.get(url("/health/live")), 200),
        (simulated.client.get(url("/api/version")), 200),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status);
        let marks: Vec<_> = response.headers().get_all("x-llm-simulated").iter().collect();
        assert_eq!(marks, ["true"], "{}", response.url());
    }
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

/// What a caller adds up is what the simulator counted, protocol by protocol.
#[tokio::test]
async fn tokens_told_are_tokens_counted() {
    let simulated = Simulated::start(&settings()).await;
    let turn = r#""messages":[{"role":"user","content":"Summarise Dune."}]"#;
    let text = r#""messages":[{"role":"user","content":[{"text":"Summarise Dune."}]}]"#;
    let calls = [
        (
            "ollama",
            "/api/chat".to_owned(),
            format!(r#"{{"model":"llama3.2","stream":false,{turn}}}"#),
            ["/prompt_eval_count", "/eval_count"],
        ),
        (
            "openai",
            "/v1/chat/completions".to_owned(),
            format!(r#"{{"model":"gpt-4o",{turn}}}"#),
            ["/usage/prompt_tokens", "/usage/completion_tokens"],
        ),
        (
            "anthropic",
            "/v1/messages".to_owned(),
            format!(r#"{{"model":"claude-sonnet-4-5","max_tokens":50,{turn}}}"#),
            ["/usage/input_tokens", "/usage/output_tokens"],
        ),
        (
            "bedrock",
            format!("/model/{CONVERSE_MODEL}/converse"),
            format!("{{{text}}}"),
            ["/usage/inputTokens", "/usage/outputTokens"],
        ),
    ];
    for (protocol, path, body, places) in calls {
        let mut told = [0, 0];
        for _ in 0..3 {
            let request = simulated.client.post(format!("{}{path}", simulated.base));
            let response = request
                .header("content-type", "application/json")
                .header("authorization", "Bearer any")
                .header("x-api-key", "any")
                .header("anthropic-version", if protocol == "anthropic" { "2023-06-01" } else { "" })
                .body(body.clone())
                .send()
                .await
                .unwrap();
            assert_eq!(response.headers()["x-llm-usage"], "estimated", "{protocol}");
            let answer: Value = response.json().await.unwrap();
            for (sum, place) in told.iter_mut().zip(places) {
                *sum += answer.pointer(place).and_then(Value::as_u64).unwrap_or_else(|| panic!("{answer}"));
            }
        }
        let metrics = simulated.metrics().await;
        for (sum, kind) in told.into_iter().zip(["input", "output"]) {
            let counted: u64 = metrics
                .lines()
                .filter(|line| line.starts_with("simulator_tokens_total{"))
                .filter(|line| line.contains(&format!(r#"protocol="{protocol}""#)))
                .filter(|line| line.contains(&format!(r#"type="{kind}""#)))
                .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
                .sum();
            assert_eq!(counted, sum, "{protocol} {kind}");
        }
    }
}
