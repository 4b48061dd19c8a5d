//! `GET /api/v1/llm/providers`, the fallback, and which providers are set up.

use reqwest::Method;
use serde_json::{Value, json};
use wiremock::{Request, ResponseTemplate};

use crate::service::{Service, Start};
use crate::upstream::{Upstream, answer};

async fn provider(service: &Service, query: &str, name: &str) -> Value {
    let all = service.get(&format!("/api/v1/llm/providers{query}")).await.expect(200);
    let items = all["items"].as_array().unwrap();
    assert_eq!(items.len(), 5);
    items.iter().find(|item| item["name"] == name).unwrap().clone()
}

#[tokio::test]
async fn all_are_listed_with_what_they_have_or_lack() {
    let service = Start::without_provider()
        .environment("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
        .environment("ANTHROPIC_API_KEY", "sk-ant-canary-in-the-list")
        .environment("LLM_FALLBACK", "claude,simulated")
        .serve();
    let reply = service.get("/api/v1/llm/providers").await;
    assert!(!reply.text.contains("canary"), "{reply:?}");
    let ollama = provider(&service, "", "ollama").await;
    assert_eq!(
        (&ollama["configured"], &ollama["default"], &ollama["model"]),
        (&json!(true), &json!(true), &json!("llama3.2"))
    );
    assert_eq!(ollama["breaker"], json!({ "state": "closed" }));
    assert_eq!((ollama.get("fallback"), ollama.get("probe"), ollama.get("lastError")), (None, None, None));
    let claude = provider(&service, "", "claude").await;
    assert_eq!((&claude["fallback"], &claude["default"]), (&json!(1), &json!(false)));
    assert!(claude["price"]["input"].as_str().unwrap().parse::<f64>().unwrap() > 0.0, "{claude}");
    assert_eq!(claude["price"]["asOf"].as_str().map(str::len), Some(10));
    let simulated = provider(&service, "", "simulated").await;
    assert_eq!((&simulated["fallback"], &simulated["simulated"]), (&json!(2), &json!(true)));
    let bedrock = provider(&service, "", "bedrock").await;
    assert_eq!(
        bedrock,
        json!({ "name": "bedrock", "configured": false, "default": false, "missing": "set BEDROCK_MODEL" })
    );
}

#[tokio::test]
async fn a_probe_asks_each_and_is_kept_for_a_while() {
    let upstream = Upstream::with(|_: &Request| answer("Yes.", 12, 2)).await;
    let service = Start::new(&upstream.url()).environment("ANTHROPIC_BASE_URL", "http://127.0.0.1:9").serve();
    // Any page may send a GET, and anybody a HEAD: neither spends.
    let path = "/api/v1/llm/providers?probe=true";
    for header in [("sec-fetch-site", "cross-site"), ("origin", "https://elsewhere.example")] {
        service.with(Method::GET, path, header, &Value::Null).await.problem(403, "cross_origin");
    }
    assert_eq!(service.with(Method::HEAD, path, ("x-other", ""), &Value::Null).await.status, 200);
    assert_eq!(upstream.calls().await, 0);
    let ollama = provider(&service, "?probe=true", "ollama").await;
    assert_eq!(ollama["probe"]["ok"], true, "{ollama}");
    assert!(ollama["probe"]["latencyMs"].as_f64().unwrap() > 0.0);
    let all = futures::future::join_all((0..20).map(|_| provider(&service, "?probe=true", "ollama"))).await;
    assert!(all.iter().all(|again| again["probe"] == ollama["probe"]), "{all:#?}");
    assert_eq!(upstream.calls().await, 1, "asking often costs no more");
    let asked: Value = upstream.asked().await[0].body_json().unwrap();
    let most = asked["options"]["num_predict"].as_u64().unwrap();
    assert!((200..=300).contains(&most), "few, and enough for a model that thinks first: {asked}");
    let claude = provider(&service, "?probe=true", "claude").await;
    assert_eq!((&claude["probe"]["ok"], &claude["probe"]["error"]), (&json!(false), &json!("unavailable")));
    assert_eq!(claude["lastError"]["kind"], "unavailable", "{claude}");
    // It is on the ledger like any other call.
    let usage = service.get("/api/v1/llm/usage").await.expect(200);
    let items = usage["items"].as_array().unwrap();
    let item = items.iter().find(|item| item["provider"] == "ollama").unwrap_or_else(|| panic!("{usage}"));
    assert_eq!(item["totals"]["inputTokens"].as_u64().or(item["inputTokens"].as_u64()), Some(12), "{item}");
}

#[tokio::test]
async fn looking_is_open_and_probing_needs_the_token() {
    let service = Start::without_provider().environment("API_TOKEN", "0123456789abcdef").serve();
    let path = "/api/v1/llm/providers";
    assert_eq!(service.get(path).await.status, 200);
    service.get(&format!("{path}?probe=true")).await.problem(401, "token_required");
    // However it is written, nobody is asked without.
    for hidden in ["?%70robe=true", "?probe=true&x=1"] {
        let reply = service.get(&format!("{path}{hidden}")).await;
        assert!(reply.status >= 400 || !reply.text.contains("\"probe\""), "{reply:?}");
    }
    let bearing = ("Authorization", "Bearer 0123456789abcdef");
    let reply = service.with(Method::GET, &format!("{path}?probe=true"), bearing, &Value::Null).await;
    assert!(reply.expect(200)["items"].as_array().unwrap().iter().any(|item| item["probe"]["ok"] == true));
}

#[tokio::test]
async fn the_next_provider_answers_when_the_default_fails_and_never_for_one_that_was_named() {
    let upstream = Upstream::with(|_: &Request| ResponseTemplate::new(500)).await;
    let service = Start::new(&upstream.url())
        .environment("LLM_FALLBACK", "simulated")
        .environment("LLM_ATTEMPTS", "2")
        .serve();
    let book = service.book("Moby-Dick").await;
    let made = service.summarise(&book, "").await.expect(200);
    assert_eq!((&made["provider"], &made["simulated"]), (&json!("simulated"), &json!(true)));
    let attempts = made["attempts"].as_array().unwrap();
    let told: Vec<(&str, &str)> = attempts
        .iter()
        .map(|attempt| (attempt["provider"].as_str().unwrap(), attempt["outcome"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [("ollama", "unavailable"), ("simulated", "ok")]);
    // It is stored under who really answered, and any will do who asks for none.
    assert_eq!(service.summarise(&book, "").await.expect(200)["cached"], true);
    assert_eq!(service.summarise(&book, "?provider=simulated").await.expect(200)["cached"], true);
    service.summarise(&book, "?provider=ollama").await.problem(503, "llm_unavailable");
    let ollama = provider(&service, "", "ollama").await;
    assert_eq!(ollama["lastError"]["kind"], "unavailable");
}
