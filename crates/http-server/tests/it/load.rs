//! Requests under way, and what is turned away when there are too many.

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use http_server::Limits;
use tokio::io::AsyncReadExt;

use crate::stage::{gate, limits, problem, start};

#[tokio::test]
async fn more_than_the_limit_are_turned_away_at_once_and_counted() {
    let (router, entered, leave) = gate();
    let router = router
        .route("/health", get(async || "up"))
        .route("/health/live", get(async || "alive"))
        .route("/metrics", get(async || "figures"))
        .route("/healthy", get(async || "books on health"));
    let service = start(router, Limits { concurrent_requests: 1, ..limits() }).await;
    let ask = async {
        entered.notified().await;
        problem(service.get("/hello"), 503, "overloaded").await;
        let response = service.get("/healthy").send().await.unwrap();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "1");
        for exempt in ["/health", "/health/live", "/metrics"] {
            assert_eq!(service.get(exempt).send().await.unwrap().status(), 200, "{exempt}");
        }
        leave.notify_one();
    };
    let (through, ()) = tokio::join!(service.get("/gate").send(), ask);
    assert_eq!(through.unwrap().text().await.unwrap(), "through");
    assert_eq!(service.get("/hello").send().await.unwrap().text().await.unwrap(), "hello");
    let text = service.metrics.render();
    let line = r#"http_server_request_duration_seconds_count{error_type="overloaded",http_request_method="GET",http_response_status_code="503",http_route="unmatched",url_scheme="http"} 2"#;
    assert!(text.contains(line), "{text}");
}

#[tokio::test]
async fn a_place_is_held_until_the_body_has_ended_or_was_dropped() {
    // More than sockets take unread.
    let large = || async {
        let piece = || Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 1 << 16]));
        Body::from_stream(futures::stream::iter((0..1_000).map(move |_| piece())))
    };
    let router = Router::new().route("/large", get(large)).route("/hello", get(async || "hello"));
    let service = start(router, Limits { concurrent_requests: 1, ..limits() }).await;
    let until = async |wanted: u16| {
        for _ in 0..2_000 {
            if service.get("/hello").send().await.unwrap().status() == wanted {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("the status never gets {wanted}");
    };
    let mut reader = service.sent("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut head = [0; 15];
    reader.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    // Its head has come, its body has not been read.
    until(503).await;
    drop(reader);
    until(200).await;
    let whole = service.get("/large").send().await.unwrap().bytes().await.unwrap();
    assert_eq!(whole.len(), 1_000 << 16);
    until(200).await;
}

#[tokio::test]
async fn health_checks_and_metrics_take_no_place_away() {
    let (router, entered, leave) = gate();
    let slow = {
        let (entered, leave) = (std::sync::Arc::clone(&entered), std::sync::Arc::clone(&leave));
        get(async move || {
            entered.notify_one();
            leave.notified().await;
            "ready"
        })
    };
    let router = router.route("/health/ready", slow);
    let mut service = start(router, Limits { concurrent_requests: 1, ..limits() }).await;
    let ask = async {
        entered.notified().await;
        assert_eq!(service.get("/hello").send().await.unwrap().status(), 200);
        // A stop waits for it all the same.
        service.cancel();
        tokio::time::sleep(crate::stage::SHORT).await;
        leave.notify_one();
    };
    let (ready, ()) = tokio::join!(service.get("/health/ready").send(), ask);
    assert_eq!(ready.unwrap().text().await.unwrap(), "ready");
    service.stopped().await;
}
