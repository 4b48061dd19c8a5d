//! Traces and log lines leave by OTLP when an endpoint is set, traces to Traceloop besides, and their absence
//! or failure touches no request.

use std::time::{Duration, Instant};

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

/// A server that takes OTLP after a while.
async fn taking(delay: Duration) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200).set_delay(delay))
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn a_span_reaches_two_exporters_and_its_log_line_the_first() {
    let (collector, traceloop) = (taking(Duration::ZERO).await, taking(Duration::ZERO).await);
    let start = Start::with_catalog()
        .environment("LLM_PROVIDER", "simulated")
        .environment("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.uri())
        .environment("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20collectors-canary,x-scope=shop")
        .environment("TRACELOOP_BASE_URL", &traceloop.uri())
        .environment("TRACELOOP_API_KEY", "traceloops-canary");
    let mut service = start.serve();
    let request = service
        .request(Method::GET, "/api/v1/books/nonsense")
        .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"));
    assert_eq!(service.send(request).await.header("x-trace-id"), TRACE);
    service.signal(Signal::TERM);
    assert_eq!(service.wait().code(), Some(0));
    assert!(!service.log().concat().contains("canary"), "{:#?}", service.log());

    let of = |requests: &[wiremock::Request], path: &str| -> Vec<wiremock::Request> {
        requests.iter().filter(|request| request.url.path() == path).cloned().collect()
    };
    let (first, second) =
        (collector.received_requests().await.unwrap(), traceloop.received_requests().await.unwrap());
    for (spans, key) in [
        (of(&first, "/v1/traces"), "Bearer collectors-canary"),
        (of(&second, "/v1/traces"), "Bearer traceloops-canary"),
    ] {
        let sent: Vec<u8> = spans.iter().flat_map(|request| request.body.clone()).collect();
        assert!(contains(&sent, &TRACE_BYTES) && contains(&sent, b"GET /api/v1/books/{id}"), "{key}");
        assert!(spans.iter().all(|request| request.headers["authorization"] == key), "{key}");
    }
    assert!(second.iter().all(|request| !request.headers.contains_key("x-scope")), "another's header");
    assert_eq!(of(&second, "/v1/logs").len(), 0);
    let lines: Vec<u8> = of(&first, "/v1/logs").iter().flat_map(|request| request.body.clone()).collect();
    assert!(
        contains(&lines, &TRACE_BYTES) && contains(&lines, b"/api/v1/books/nonsense"),
        "{} bytes",
        lines.len()
    );
}

#[tokio::test]
async fn what_is_not_sampled_leaves_no_span_and_keeps_its_ids() {
    let collector = taking(Duration::ZERO).await;
    let start = Start::with_catalog()
        .environment("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.uri())
        .environment("OTEL_TRACES_SAMPLER", "always_off")
        .environment("OTEL_LOGS_EXPORTER", "none");
    let mut service = start.serve();
    let reply = service.get("/api/v1/books/nonsense").await;
    assert_eq!(reply.header("x-trace-id").len(), 32);
    service.signal(Signal::TERM);
    assert_eq!(service.wait().code(), Some(0));
    assert_eq!(collector.received_requests().await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_collector_that_does_not_answer_holds_up_no_stop() {
    let collector = taking(Duration::from_secs(60)).await;
    let start = Start::with_catalog()
        .environment("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.uri())
        .environment("TRACELOOP_BASE_URL", &collector.uri());
    let mut service = start.serve();
    for _ in 0..20 {
        service.send(service.request(Method::GET, "/api/v1/books?limit=1")).await.expect(200);
    }
    let begun = Instant::now();
    service.signal(Signal::TERM);
    assert_eq!(service.wait().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
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
