//! Health, documentation and metrics; settings, start, stop, limits and the token.

use std::net::TcpListener;
use std::time::Duration;

use reqwest::Method;
use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::service::{Start, is_private, metric, plain_lines};
use crate::upstream::{FIRST, Upstream};

#[tokio::test]
async fn health_says_alive_and_ready() {
    let service = Start::without_provider().serve();
    assert_eq!(service.get("/health/live").await.expect(200)["status"], "alive");
    for path in ["/health/ready", "/health"] {
        let ready = service.get(path).await.expect(200);
        assert_eq!((&ready["status"], &ready["dependencies"]["store"]), (&json!("ready"), &json!("up")));
    }
    service.get("/nothing").await.problem(404, "route_not_found");
}

#[test]
fn the_health_command_asks_the_service_on_this_machine() {
    let start = Start::without_provider();
    let service = start.serve();
    let port = service.address().port().to_string();
    assert_eq!(start.run(&["health", "--http-port", &port]).status.code(), Some(0));
    drop(service);
    let output = start.run(&["health", "--http-port", &port]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(plain_lines(&output.stderr).len(), 1, "{output:?}");
}

#[tokio::test]
async fn series_that_matter_start_at_zero() {
    let service = Start::without_provider().serve();
    let reply = service.get("/metrics").await;
    assert!(reply.header("content-type").starts_with("text/plain"), "{reply:?}");
    for (name, labels) in [
        ("bookstore_cache_requests_total", [r#"cache="book""#, r#"outcome="hit""#]),
        ("bookstore_cache_requests_total", [r#"cache="summary""#, r#"outcome="error""#]),
        ("bookstore_summaries_total", [r#"provider="ollama""#, r#"outcome="generated""#]),
        ("bookstore_llm_cost_usd_total", [r#"provider="ollama""#, r#"kind="billed""#]),
        ("bookstore_books_written_total", [r#"operation="import""#, ""]),
    ] {
        let value = metric(&reply.text, name, &labels).unwrap_or(f64::NAN);
        assert!(value.abs() < 1e-9, "{name}{labels:?} is {value}");
    }
}

#[tokio::test]
async fn requests_are_counted_under_their_route_and_never_under_an_id() {
    let service = Start::without_provider().serve();
    let book = service.book("Moby-Dick").await;
    for _ in 0..3 {
        service.get(&format!("/api/v1/Books/{book}")).await.expect(200);
    }
    service.get(&format!("/api/v1/nothing/{book}")).await.problem(404, "route_not_found");
    let text = service.get("/metrics").await.text;
    let count = |labels: &[&str]| metric(&text, "http_server_request_duration_seconds_count", labels);
    assert_eq!(count(&[r#"http_route="/api/v1/books/{id}""#, r#"status_code="200""#]), Some(3.0), "{text}");
    assert_eq!(count(&[r#"http_route="unmatched""#]), Some(1.0), "{text}");
    assert!(!text.contains(&book), "an id became a label");
    let hits = metric(&text, "bookstore_cache_requests_total", &[r#"cache="book""#, r#"outcome="hit""#]);
    let misses = metric(&text, "bookstore_cache_requests_total", &[r#"cache="book""#, r#"outcome="miss""#]);
    assert_eq!((hits, misses), (Some(2.0), Some(1.0)));
}

#[test]
fn all_mistakes_in_the_settings_are_told_at_once() {
    let start = Start::without_provider()
        .environment("LLM_PROVIDER", "gemini")
        .environment("CACHE_TTL_SECONDS", "0")
        .environment("API_TOKEN", "short-canary")
        .argument("--http-port", "70000")
        .argument("--bind-address", "here")
        .argument("--ollama-base-url", "ftp:/x");
    let output = start.run(&[]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    for name in
        ["HTTP_PORT", "BIND_ADDRESS", "OLLAMA_BASE_URL", "LLM_PROVIDER", "CACHE_TTL_SECONDS", "API_TOKEN"]
    {
        assert_eq!(said.matches(&format!("- {name}: ")).count(), 1, "{name} in {said}");
    }
    assert!(!said.contains("short-canary"), "{said}");
    assert!(!start.data().exists(), "nothing was touched");
    assert_eq!(start.run(&["--no-such-flag"]).status.code(), Some(2));
}

#[test]
fn help_lists_the_settings_and_shows_no_values() {
    let output = Start::without_provider()
        .environment("API_TOKEN", "canary-0123456789abcdef")
        .environment("OLLAMA_BASE_URL", "http://user:canary@127.0.0.1")
        .run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8(output.stdout).unwrap();
    for name in ["BIND_ADDRESS", "HTTP_PORT", "DATA_DIR", "LLM_PROVIDER", "OLLAMA_BASE_URL", "OLLAMA_MODEL"] {
        assert!(said.contains(name), "{name} is not in {said}");
    }
    assert!(!said.contains("canary"), "{said}");
}

/// Runs what cannot start; its one line.
fn refused(start: &Start) -> String {
    let output = start.run(&[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let mut lines = plain_lines(&output.stderr);
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

#[test]
fn a_port_in_use_is_one_clear_line_and_touches_no_data() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let start = Start::without_provider().argument("--http-port", &port);
    let line = refused(&start);
    assert!(line.contains(&format!("port {port}")) && line.contains("in use"), "{line}");
    assert!(!start.data().exists());
}

#[test]
fn a_data_folder_that_cannot_be_one_is_one_clear_line() {
    let start = Start::without_provider();
    std::fs::write(start.data(), "a file").unwrap();
    let line = refused(&start);
    assert!(line.contains(start.data().to_str().unwrap()) && line.contains("DATA_DIR"), "{line}");
}

#[test]
fn a_store_that_is_no_store_is_one_clear_line_and_kept() {
    let start = Start::without_provider();
    std::fs::create_dir(start.data()).unwrap();
    let file = start.data().join("bookstore.sqlite");
    let content = "these are my tax returns. ".repeat(400);
    std::fs::write(&file, &content).unwrap();
    let line = refused(&start);
    assert!(line.contains(file.to_str().unwrap()), "{line}");
    assert_eq!(std::fs::read_to_string(file).unwrap(), content);
}

#[test]
fn a_store_of_a_newer_program_is_refused() {
    let start = Start::without_provider();
    start.serve().stop();
    let file = start.data().join("bookstore.sqlite");
    Connection::open(&file).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let line = refused(&start);
    assert!(line.contains("schema version 99") && line.contains("newer program"), "{line}");
}

async fn stopped_in_flight_by(signal: Signal) {
    let upstream = Upstream::counting(Duration::from_millis(1_500)).await;
    let start = Start::new(&upstream.url());
    let mut service = start.serve();
    let book = service.book("Moby-Dick").await;
    let stop = async {
        upstream.wait_for_calls(1).await;
        service.signal(signal);
    };
    let (answer, ()) = tokio::join!(service.summarise(&book, ""), stop);
    assert_eq!(answer.expect(200)["summary"], "Summary 1.");
    assert_eq!(service.wait().code(), Some(0), "{:#?}", service.log());
    let log = service.log();
    assert!(log.iter().any(|line| line.contains("\"drained\"")), "{log:#?}");
    // What was answered while stopping was kept.
    let again = start.serve().summarise(&book, "").await.expect(200);
    assert_eq!(
        (&again["cached"], &again["generation"]["usage"]["inputTokens"]),
        (&json!(true), &json!(FIRST.0))
    );
}

#[tokio::test]
async fn sigterm_lets_requests_under_way_end() {
    stopped_in_flight_by(Signal::TERM).await;
}

#[tokio::test]
async fn sigint_lets_requests_under_way_end() {
    stopped_in_flight_by(Signal::INT).await;
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_problems() {
    let service = Start::without_provider().serve();
    let post = |body: Vec<u8>| {
        let request = service.request(Method::POST, "/api/v1/books");
        service.send(request.header("Content-Type", "application/json").body(body))
    };
    let large = json!({ "title": "x", "description": "y".repeat(1 << 20) }).to_string();
    post(large.into_bytes()).await.problem(413, "body_too_large");
    // The first bracket is of the wrong type already: what follows is not even looked at.
    post("[".repeat(100_000).into_bytes()).await.problem(422, "validation_failed");
    post(format!("{{\"title\":{}", "{\"a\":".repeat(100_000)).into_bytes())
        .await
        .problem(422, "validation_failed");
    post(b"{\"title\":\"\xff\xfe\"}".to_vec()).await.problem(400, "malformed_json");
    post(b"{\"title\":\"x\"} trailing".to_vec()).await.problem(400, "malformed_json");
    post(Vec::new()).await.problem(400, "malformed_json");
    let reply = service.send(service.request(Method::PATCH, "/api/v1/authors")).await;
    reply.problem(405, "method_not_allowed");
    assert!(reply.header("allow").contains("POST"), "{reply:?}");
    service.get("/health/live").await.expect(200);
}

#[tokio::test]
async fn other_hosts_and_origins_are_kept_out() {
    let service = Start::without_provider().argument("--allowed-hosts", "books.example").serve();
    let get = |host: &str| service.send(service.request(Method::GET, "/api/v1/books").header("Host", host));
    get("evil.example").await.problem(421, "host_not_allowed");
    get("books.example").await.expect(200);
    get("localhost:7002").await.expect(200);
    let request = service.request(Method::POST, "/api/v1/books").header("Origin", "http://evil.example");
    service.send(request.json(&json!({ "title": "x" }))).await.problem(403, "cross_origin");
}

#[tokio::test]
async fn on_all_addresses_writes_need_the_token_and_no_log_shows_it() {
    let canary = "canary-5f2d1c0b9a8e7f6d";
    let service = Start::without_provider()
        .environment("API_TOKEN", canary)
        .environment("LOG_FILTER", "trace")
        .argument("--bind-address", "0.0.0.0")
        .serve();
    let write = |token: &str| {
        let request =
            service.request(Method::POST, "/api/v1/authors").json(&json!({ "name": "Jane Austen" }));
        let request = if token.is_empty() { request } else { request.bearer_auth(token) };
        service.send(request)
    };
    for wrong in ["", "wrong", &canary[1..], "canary-5f2d1c0b9a8e7f6e"] {
        let reply = write(wrong).await;
        reply.problem(401, "token_required");
        assert_eq!(reply.header("www-authenticate"), "Bearer");
    }
    write(canary).await.expect(201);
    assert_eq!(service.get("/api/v1/authors").await.expect(200)["total"], 1);
    let spend = "/api/v1/books/0190163d-8694-739b-aea5-966c26f8ad91/generate-summary";
    service.post(spend, &Value::Null).await.problem(401, "token_required");
    service.post("/api/v1/books/import", &Value::Null).await.problem(401, "token_required");
    assert!(!service.get("/metrics").await.text.contains("canary"));
    let log = service.stop();
    assert!(log.len() > 10, "the log is empty: {log:?}");
    assert!(log.iter().all(|line| !line.contains("canary")), "{log:#?}");
}

#[tokio::test]
async fn behind_another_name_writes_need_the_token_on_loopback_too() {
    let service = Start::without_provider().argument("--allowed-hosts", "books.example").serve();
    service.post("/api/v1/books", &json!({ "title": "X" })).await.problem(401, "token_required");
    service.get("/api/v1/books").await.expect(200);
}

#[tokio::test]
async fn without_a_token_one_is_made_kept_privately_and_shown_once() {
    let start = Start::without_provider().argument("--bind-address", "0.0.0.0");
    let service = start.serve();
    let file = start.data().join("api-token");
    let token = std::fs::read_to_string(&file).unwrap();
    assert!(is_private(&file));
    assert_eq!(token.len(), 48);
    service.post("/api/v1/authors", &json!({ "name": "Nobody" })).await.problem(401, "token_required");
    let request = service.request(Method::POST, "/api/v1/authors").bearer_auth(&token);
    service.send(request.json(&json!({ "name": "Jane Austen" }))).await.expect(201);
    let shown = service.stop();
    let lines: Vec<&String> = shown.iter().filter(|line| line.contains(&token)).collect();
    assert!(lines.len() == 1 && !lines[0].starts_with('{'), "{lines:?}");

    let service = start.serve();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), token);
    assert!(service.stop().iter().all(|line| !line.contains(&token)), "it was shown again");
}

#[tokio::test]
async fn on_loopback_a_given_token_is_asked_for_too() {
    let service = Start::without_provider().environment("API_TOKEN", "0123456789abcdef").serve();
    service.post("/api/v1/authors", &json!({ "name": "Jane Austen" })).await.problem(401, "token_required");
}

#[test]
fn every_log_line_is_json_with_the_common_fields() {
    let service = Start::with_catalog().serve();
    for line in service.stop() {
        let event: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for field in ["timestamp", "level", "service", "target", "message"] {
            assert!(event[field].is_string(), "{field} in {line}");
        }
    }
}
