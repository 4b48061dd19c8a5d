//! Traces leave by OTLP when an endpoint is set, and their absence or failure touches no request.

use reqwest::Method;
use rustix::process::Signal;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::service::Start;

/// `4bf92f3577b34da6a3ce929d0e0e4736`, as the client sends it and as the wire has it.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACE_BYTES: [u8; 16] =
    [0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36];

fn contains(body: &[u8], part: &[u8]) -> bool {
    body.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn spans_of_a_request_reach_the_collector_under_the_callers_trace() {
    let collector = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/v1/traces"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&collector)
        .await;
    let start = Start::with_catalog()
        .environment("LLM_PROVIDER", "simulated")
        .environment("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("{}/", collector.uri()));
    let mut service = start.serve();
    let book = service.book("Moby-Dick").await;
    let request = service
        .request(Method::POST, &format!("/api/v1/books/{book}/generate-summary"))
        .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"));
    service.send(request).await.expect(200);
    // The flush at the end sends what is still held.
    service.signal(Signal::TERM);
    assert_eq!(service.wait().code(), Some(0));

    let sent: Vec<u8> =
        collector.received_requests().await.unwrap().into_iter().flat_map(|request| request.body).collect();
    assert!(contains(&sent, &TRACE_BYTES), "no span of the trace among {} bytes", sent.len());
    for part in [
        "POST /api/v1/books/{id}/generate-summary",
        "chat simulated",
        "keep_summary",
        "gen_ai.provider.name",
        "bookstore-api",
    ] {
        assert!(contains(&sent, part.as_bytes()), "{part:?} is not in what was sent");
    }
}

#[tokio::test]
async fn a_dead_collector_touches_no_request_and_no_stop() {
    let start = Start::with_catalog().environment("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
    let mut service = start.serve();
    for _ in 0..20 {
        service.send(service.request(Method::GET, "/api/v1/books?limit=1")).await.expect(200);
    }
    service.signal(Signal::TERM);
    assert_eq!(service.wait().code(), Some(0));
}
