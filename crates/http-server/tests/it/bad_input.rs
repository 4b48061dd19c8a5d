//! What no client should send: each a refusal, never a 500, and the service goes on.

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};
use http_server::extract::{Json, Path, Query, body_problem};
use http_server::{Limits, ProblemResponse};
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use crate::stage::{Running, SHORT, limits, problem, start, until_closed};

#[derive(Deserialize)]
struct Search {
    q: Option<String>,
}

async fn length(
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<String, ProblemResponse> {
    body.map(|bytes| bytes.len().to_string()).map_err(|rejection| body_problem(&rejection))
}

async fn service(limits: Limits) -> Running {
    let routes = Router::new()
        .route("/api/v1/books/{id}", get(async |Path(id): Path<String>| id))
        .route("/files/{*rest}", get(async |axum::extract::Path(rest): axum::extract::Path<String>| rest))
        .route("/search", get(async |Query(search): Query<Search>| search.q.unwrap_or_default()))
        .route("/books", post(async |Json(_): Json<Value>| "read"))
        .route("/bytes", post(length));
    start(routes, limits).await
}

/// Status and body of the one answer to a request as it is on the wire.
async fn raw(service: &Running, request: &[u8]) -> (u16, String) {
    let mut stream = service.sent("").await;
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(request).await;
    let answer = until_closed(stream).await;
    (answer.get(9..12).map_or(0, |status| status.parse().unwrap()), answer)
}

async fn still_there(service: &Running) {
    assert_eq!(service.get("/search?q=whale").send().await.unwrap().text().await.unwrap(), "whale");
}

#[tokio::test]
async fn ten_thousand_headers_and_endless_lines() {
    let service = service(limits()).await;
    let many: String = (0..10_000).map(|number| format!("x-{number}: 1\r\n")).collect();
    let close = "Host: localhost\r\nConnection: close\r\n";
    let request = format!("GET /search HTTP/1.1\r\n{close}{many}\r\n");
    assert_eq!(raw(&service, request.as_bytes()).await.0, 431);
    let uri = format!("GET /search?q={} HTTP/1.1\r\n{close}\r\n", "x".repeat(100_000));
    assert_eq!(raw(&service, uri.as_bytes()).await.0, 414);
    let endless = format!("GET /search HTTP/1.1\r\nHost: {}", "x".repeat(1 << 20));
    assert_eq!(raw(&service, endless.as_bytes()).await.0, 431);
    still_there(&service).await;
}

#[tokio::test]
async fn what_is_no_utf_8_or_holds_a_zero_byte() {
    let service = service(limits()).await;
    for path in ["/api/v1/books/%ff", "/files/%ff", "/files/a%00b", "/nowhere/%C3%28", "/api/v1/books/%00"] {
        problem(service.get(path), 400, "malformed_path").await;
    }
    problem(service.get("/search?q=%ff"), 400, "malformed_query").await;
    problem(service.get("/nowhere?q=%ff"), 400, "malformed_query").await;
    for line in
        [b"GET /files/\xff HTTP/1.1".as_slice(), b"GET /search?q=\xff HTTP/1.1", b"GET /files/\0 HTTP/1.1"]
    {
        let request = [line, b"\r\nHost: localhost\r\nConnection: close\r\n\r\n"].concat();
        assert_eq!(raw(&service, &request).await.0, 400, "{line:?}");
    }
    let header = b"GET /search?q=1 HTTP/1.1\r\nHost: \xff\xfe\r\nConnection: close\r\n\r\n";
    assert_eq!(raw(&service, header).await.0, 400);
    still_there(&service).await;
}

#[tokio::test]
async fn json_that_is_deep_huge_or_none() {
    let service = service(Limits { body_bytes: 1 << 20, ..limits() }).await;
    let send =
        |media: &'static str, body: String| service.post("/books").header("Content-Type", media).body(body);
    problem(send("application/json", "[".repeat(100_000)), 400, "malformed_json").await;
    let nested = "[".repeat(100_000) + &"]".repeat(100_000);
    problem(send("application/json", nested), 422, "validation_failed").await;
    let objects = "{\"a\":".repeat(100_000) + "1" + &"}".repeat(100_000);
    problem(send("application/json", objects), 400, "malformed_json").await;
    problem(send("application/json", format!("[{}1]", "1,".repeat(1 << 20))), 413, "body_too_large").await;
    problem(
        send("application/x-www-form-urlencoded", "title=Moby".to_owned()),
        415,
        "unsupported_media_type",
    )
    .await;
    problem(send("multipart/form-data; boundary=x", "--x--".to_owned()), 415, "unsupported_media_type").await;
    problem(send("application/json", String::new()), 400, "malformed_json").await;
    problem(send("application/json", "1e999999999 {}".to_owned()), 400, "malformed_json").await;
    still_there(&service).await;
}

#[tokio::test]
async fn a_body_without_an_end() {
    let service = service(limits()).await;
    let head =
        "POST /bytes HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut stream = service.sent(head).await;
    let chunk = format!("64\r\n{}\r\n", "x".repeat(100));
    // Until the server has had enough: 1,000 bytes here.
    while stream.write_all(chunk.as_bytes()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    still_there(&service).await;

    let mut stream = service.sent(head).await;
    for _ in 0..11 {
        stream.write_all(chunk.as_bytes()).await.unwrap();
    }
    let answer = until_closed(stream).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("body_too_large"), "{answer}");
}

#[tokio::test]
async fn a_body_that_trickles_in_is_too_slow_at_some_point() {
    let service = service(Limits { body_timeout: SHORT, ..limits() }).await;
    let head = "POST /bytes HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 900\r\n\r\n";
    let silent = service.sent(head).await;
    let mut trickling = service.sent(head).await;
    let trickle = async {
        while trickling.write_all(b"x").await.is_ok() {
            sleep(SHORT / 30).await;
        }
    };
    let (answer, ()) = tokio::join!(until_closed(silent), async {
        // Its connection is closed long before all of it is sent.
        tokio::time::timeout(crate::stage::PATIENCE, trickle).await.expect("it may go on for ever");
    });
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("body_too_slow"), "{answer}");
    still_there(&service).await;
}

#[tokio::test]
async fn broken_framing_is_refused() {
    let service = service(limits()).await;
    for head in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Transfer-Encoding: gzip\r\n",
    ] {
        let request =
            format!("POST /bytes HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}\r\n0\r\n\r\n");
        let (status, answer) = raw(&service, request.as_bytes()).await;
        assert!(status == 200 || (400..500).contains(&status), "{head}: {answer}");
    }
    let (status, answer) = raw(
        &service,
        b"POST /bytes HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    )
    .await;
    assert_eq!(status, 400, "{answer}");
    still_there(&service).await;
}

#[tokio::test]
async fn methods_that_a_path_does_not_take() {
    let service = service(limits()).await;
    for method in
        [Method::PUT, Method::DELETE, Method::PATCH, Method::TRACE, Method::from_bytes(b"BREW").unwrap()]
    {
        let response = service.request(method.clone(), "/books").send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["allow"]),
            (405, &"POST".parse().unwrap())
        );
        problem(service.request(method, "/books"), 405, "method_not_allowed").await;
    }
    let head = service.request(Method::HEAD, "/search?q=whale").send().await.unwrap();
    assert_eq!((head.status().as_u16(), &head.headers()["content-length"]), (200, &"5".parse().unwrap()));
    assert_eq!(head.text().await.unwrap(), "");
    let missing = service.request(Method::HEAD, "/nowhere").send().await.unwrap();
    assert_eq!((missing.status().as_u16(), missing.text().await.unwrap().as_str()), (404, ""));
    let options = service.request(Method::OPTIONS, "/search").send().await.unwrap();
    assert_eq!(options.status(), 204);
    assert!(options.headers()["allow"].to_str().unwrap().contains("GET"));
    let asterisk = b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(raw(&service, asterisk).await.0, 404);
    assert_eq!(
        raw(&service, b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await
            .0,
        404
    );
    still_there(&service).await;
}

#[tokio::test]
async fn two_thousand_unknown_urls_add_no_series() {
    let service = service(limits()).await;
    let series = || service.metrics.render().lines().filter(|line| !line.starts_with('#')).count();
    problem(service.get("/nobody/knows/0"), 404, "route_not_found").await;
    let before = series();
    for number in 1..=2_000 {
        problem(service.get(&format!("/nobody/knows/{number}")), 404, "route_not_found").await;
    }
    assert_eq!(series(), before);
}
