//! `GET /api/v1/llm/providers`, the fallback, and which providers are set up.

use reqwest::Method;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers};

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

/// A model of Bedrock's that has a price, and its place in an address.
const BEDROCK: (&str, &str) = ("anthropic.claude-sonnet-4-6", "/model/anthropic.claude-sonnet-4-6");

/// A Bedrock that answers Converse, and ends what is streamed with a refusal of access.
async fn bedrock() -> MockServer {
    let server = MockServer::start().await;
    let (_, place) = BEDROCK;
    let said = json!({
        "output": { "message": { "role": "assistant", "content": [{ "text": "Bedrock tells of a whale." }] } },
        "stopReason": "end_turn",
        "usage": { "inputTokens": 100, "outputTokens": 10, "totalTokens": 110 },
        "metrics": { "latencyMs": 7 },
    });
    let refusal = ResponseTemplate::new(403)
        .insert_header("x-amzn-errortype", "AccessDeniedException")
        .set_body_json(json!({ "message": "You don't have access to the model." }));
    let answer = ResponseTemplate::new(200).set_body_json(said);
    for (action, reply) in [("converse", answer), ("converse-stream", refusal)] {
        Mock::given(matchers::method("POST"))
            .and(matchers::path(format!("{place}/{action}")))
            .and(matchers::header_regex("authorization", "^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"))
            .respond_with(reply)
            .mount(&server)
            .await;
    }
    server
}

/// A service with that Bedrock beside an Ollama, and a proxy in its environment that is not there.
fn with_bedrock(server: &MockServer, ollama: &str) -> Start {
    Start::new(ollama)
        .environment("BEDROCK_MODEL", BEDROCK.0)
        .environment("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", &server.uri())
        .environment("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .environment("AWS_SECRET_ACCESS_KEY", "a-canary-of-a-secret-key")
        .environment("AWS_EC2_METADATA_DISABLED", "true")
        .environment("HTTP_PROXY", "http://127.0.0.1:9")
        .environment("LLM_STREAM_UPSTREAM", "false")
}

fn told_by_bedrock(made: &Value) {
    assert_eq!(made["summary"], "Bedrock tells of a whale.", "{made}");
    assert_eq!(
        (&made["provider"], &made["model"], &made["simulated"], &made["cached"]),
        (&json!("bedrock"), &json!(BEDROCK.0), &json!(false), &json!(false))
    );
    // 100 tokens at $3 and 10 at $15 a million.
    assert_eq!((&made["usage"]["source"], &made["costUsd"]), (&json!("reported"), &json!(0.00045)), "{made}");
}

#[tokio::test]
async fn bedrock_is_asked_as_the_default_by_its_name_and_for_an_arm() {
    let server = bedrock().await;
    let start = with_bedrock(&server, "http://127.0.0.1:9").environment("LLM_PROVIDER", "bedrock");
    let arms = json!([{ "name": "whale", "weight": 1, "provider": "bedrock", "model": BEDROCK.0 }]);
    let file = json!({ "version": 1, "experiments": [{ "name": "models", "sticky": "book", "arms": arms }] });
    let file = start.file("experiments.json", file.to_string());
    let in_experiment = start.environment("EXPERIMENTS_FILE", file.to_str().unwrap()).serve();
    let book = in_experiment.book("Moby-Dick").await;
    let made = in_experiment.summarise(&book, "").await.expect(200);
    told_by_bedrock(&made);
    assert_eq!(made["arm"], "whale", "{made}");
    drop(in_experiment);

    let service = with_bedrock(&server, "http://127.0.0.1:9").environment("LLM_PROVIDER", "bedrock").serve();
    let one = provider(&service, "", "bedrock").await;
    assert_eq!((&one["configured"], &one["default"]), (&json!(true), &json!(true)), "{one}");
    let book = service.book("Moby-Dick").await;
    told_by_bedrock(&service.summarise(&book, "").await.expect(200));
    told_by_bedrock(&service.summarise(&book, "?provider=bedrock&refresh=true").await.expect(200));
    let asked = server.received_requests().await.unwrap();
    assert_eq!(asked.len(), 3, "each was one request");
    for request in &asked {
        let body: Value = request.body_json().unwrap();
        assert!(body["messages"][0]["content"][0]["text"].as_str().unwrap().contains("Moby-Dick"), "{body}");
    }
    assert!(service.stop().iter().all(|line| !line.contains("canary")));
}

#[tokio::test]
async fn bedrock_answers_where_another_fails_and_says_so_where_it_refuses() {
    let ollama = Upstream::with(|_: &Request| ResponseTemplate::new(500)).await;
    let server = bedrock().await;
    let start = || with_bedrock(&server, &ollama.url()).environment("LLM_ATTEMPTS", "2");
    let service = start().environment("LLM_FALLBACK", "bedrock").serve();
    let book = service.book("Moby-Dick").await;
    told_by_bedrock(&service.summarise(&book, "").await.expect(200));
    assert_eq!((ollama.calls().await, server.received_requests().await.unwrap().len()), (1, 1));
    drop(service);

    // Streamed, it refuses.
    let service =
        start().environment("LLM_PROVIDER", "bedrock").environment("LLM_STREAM_UPSTREAM", "true").serve();
    let book = service.book("Moby-Dick").await;
    let problem = service.summarise(&book, "").await.problem(502, "llm_unauthorized");
    assert!(problem["detail"].as_str().unwrap().contains(BEDROCK.0), "{problem}");
    let asked = server.received_requests().await.unwrap();
    assert_eq!(asked.len(), 2, "no other answers in its place, and it is not asked again");
    assert!(asked[1].url.path().ends_with("/converse-stream"), "{}", asked[1].url);
    assert_eq!(provider(&service, "", "bedrock").await["lastError"]["kind"], "unauthorized");
}
