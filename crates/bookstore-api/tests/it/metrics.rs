//! What `/metrics` shows, against the table; and what is found out in the background.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use telemetry::table::listing::of_service;
use telemetry::table::scrape::contradictions;

use crate::service::{PATIENCE, Service, Start, metric};
use crate::upstream::Upstream;

/// What a summary, read and streamed, does not bring about; and what does, in which test.
const OTHERWISE: [(&str, &str); 7] = [
    ("bookstore.llm.retries", "an attempt that failed: providers.rs"),
    ("bookstore.llm.fallbacks", "a provider that failed: providers.rs"),
    ("bookstore.experiment.requests", "a file of experiments: experiments.rs"),
    ("bookstore.experiment.duration", "a file of experiments: experiments.rs"),
    ("bookstore.experiment.cost_usd", "a file of experiments: experiments.rs"),
    ("db.client.connection.count", "MongoDB: mongo_server.rs"),
    ("db.client.connection.pending_requests", "MongoDB: mongo_server.rs"),
];

/// The metrics, as soon as they say this of a metric without labels.
async fn as_soon_as(service: &Service, name: &str, wanted: f64) -> String {
    let begun = std::time::Instant::now();
    loop {
        let text = service.get("/metrics").await.text;
        if metric(&text, name, &[]).is_some_and(|value| (value - wanted).abs() < 1e-9) {
            return text;
        }
        assert!(begun.elapsed() < PATIENCE, "{name} does not come to {wanted}:\n{text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_is_shown_is_in_the_table_and_the_other_way_round() {
    let ollama = Upstream::counting(Duration::ZERO).await;
    let start = Start::new(&ollama.url()).environment("OTEL_SEMCONV_STABILITY_OPT_IN", "gen_ai/dup");
    let service = start.environment("LLM_DAILY_BUDGET_USD", "25").serve();
    let (book, other) = (service.book("Moby-Dick").await, service.book("Emma").await);
    service.summarise(&book, "").await.expect(200);
    let path = format!("/api/v1/books/{other}/generate-summary");
    let listening = service.request(Method::POST, &path).header("accept", "text/event-stream");
    assert_eq!(service.send(listening).await.status, 200);
    let text = as_soon_as(&service, "bookstore_books_summarised", 2.0).await;
    let expected =
        of_service("bookstore-api").filter(|row| OTHERWISE.iter().all(|(name, _)| *name != row.name));
    assert_eq!(contradictions(&text, expected), Vec::<String>::new(), "{text}");
    let place = ollama.url();
    let port = format!("server_port=\"{}\"", place.rsplit(':').next().unwrap());
    let sent = metric(
        &text,
        "http_client_request_duration_seconds_count",
        &[r#"server_address="127.0.0.1""#, &port, r#"status_code="200""#],
    );
    assert_eq!(sent, Some(2.0), "{text}");
    assert_eq!(metric(&text, "bookstore_llm_budget_usd", &[r#"scope="global""#]), Some(25.0), "{text}");
}

#[tokio::test]
async fn a_scrape_tells_how_much_there_is_and_who_answers() {
    let service = Start::without_provider().serve();
    let author = service.author("Herman Melville").await;
    let draft = json!({ "title": "Moby-Dick", "authorIds": [author] });
    let book = service.post("/api/v1/books", &draft).await.expect(201);
    let text = as_soon_as(&service, "bookstore_books", 1.0).await;
    assert_eq!(metric(&text, "bookstore_authors", &[]), Some(1.0));
    assert_eq!(metric(&text, "bookstore_books_summarised", &[]), Some(0.0));
    for dependency in [r#"dependency="store""#, r#"dependency="cache""#] {
        assert_eq!(metric(&text, "bookstore_dependency_up", &[dependency]), Some(1.0), "{text}");
    }
    let gets = [r#"backend="process""#, r#"operation="get""#, r#"outcome="ok""#];
    service.get(&format!("/api/v1/books/{}", book["id"].as_str().unwrap())).await.expect(200);
    let looked = service.metric("bookstore_cache_operation_duration_seconds_count", &gets).await;
    assert!(looked >= 1.0, "{looked}");
}

#[tokio::test]
async fn an_answer_names_the_trace_that_its_log_line_has() {
    let service = Start::without_provider().serve();
    let reply = service.get("/api/v1/books/nonsense").await;
    let trace = reply.header("x-trace-id").to_owned();
    assert_eq!(reply.json()["traceId"], *trace);
    let line = service.logged(|line| line["message"] == "request" && line["trace_id"] == *trace).await;
    assert_eq!(line["path"], "/api/v1/books/nonsense");
}
