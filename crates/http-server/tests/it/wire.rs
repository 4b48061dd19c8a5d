//! Compression and pages of other origins.

use axum::Router;
use axum::routing::{get, post};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_server::{ListenSettings, Origin};
use reqwest::{Method, Response};

use crate::stage::{Running, hello, limits, problem, start, start_with};

const JSON: &str = "application/json";

/// Answers of a length, a media type and perhaps a tag.
fn answers() -> Router {
    let body = |length: usize| "x".repeat(length);
    let large = 64 << 10;
    Router::new()
        .route("/json", get(async move || ([("content-type", JSON)], body(large))))
        .route("/small", get(async move || ([("content-type", JSON)], body(500))))
        .route("/tagged", get(async move || ([("content-type", JSON), ("etag", "\"1\"")], body(large))))
        .route("/events", get(async move || ([("content-type", "text/event-stream")], body(large))))
        .route("/image", get(async move || ([("content-type", "image/png")], body(large))))
        .route(
            "/encoded",
            get(async move || ([("content-type", JSON), ("content-encoding", "br")], body(large))),
        )
        .route(
            "/stream",
            get(async move || {
                let piece = Ok::<_, std::io::Error>(bytes::Bytes::from(body(large)));
                ([("content-type", JSON)], axum::body::Body::from_stream(futures::stream::iter([piece])))
            }),
        )
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn large_texts_without_a_tag_are_compressed_for_whom_asks() {
    let service = start(answers(), limits()).await;
    let ask = async |path: &str, accepted: &str| {
        service.get(path).header("Accept-Encoding", accepted).send().await.unwrap()
    };
    let response = ask("/json", "gzip, br").await;
    assert_eq!(
        (header(&response, "content-encoding"), header(&response, "vary")),
        ("gzip", "accept-encoding")
    );
    let bytes = response.bytes().await.unwrap();
    assert!(bytes.len() < 1_000 && bytes.starts_with(&[0x1f, 0x8b]), "{} bytes", bytes.len());
    for accepted in ["", "br", "gzip;q=0", "identity"] {
        let response = ask("/json", accepted).await;
        // A cache in between must know that there are two of it.
        assert_eq!(
            (header(&response, "content-encoding"), header(&response, "vary")),
            ("", "accept-encoding")
        );
        assert_eq!(response.bytes().await.unwrap().len(), 64 << 10, "{accepted}");
    }
    for path in ["/small", "/tagged", "/events", "/image", "/stream"] {
        let response = ask(path, "gzip").await;
        assert_eq!((header(&response, "content-encoding"), header(&response, "vary")), ("", ""), "{path}");
    }
    assert_eq!(header(&ask("/encoded", "gzip").await, "content-encoding"), "br");
}

const SHOP: &str = "https://shop.example:8443";

async fn shop() -> Running {
    let router =
        Router::new().route("/books", get(async || [("etag", "\"1\"")]).merge(post(async || "written")));
    let origins = Origin::list(SHOP).unwrap();
    start_with(
        router,
        ListenSettings { cors_allowed_origins: origins, limits: limits(), ..ListenSettings::default() },
    )
    .await
}

#[tokio::test]
async fn pages_of_allowed_origins_may_read_and_write() {
    let service = shop().await;
    let preflight = service
        .request(Method::OPTIONS, "/books")
        .header("Origin", SHOP)
        .header("Access-Control-Request-Method", "PATCH")
        .header("Access-Control-Request-Headers", "if-match,content-type");
    let response = preflight.send().await.unwrap();
    assert!(response.status().is_success());
    assert_eq!(header(&response, "access-control-allow-origin"), SHOP);
    let allowed = header(&response, "access-control-allow-headers");
    for name in
        ["authorization", "content-type", "if-match", "if-none-match", "idempotency-key", "traceparent"]
    {
        assert!(allowed.contains(name), "{name} is not in {allowed}");
    }
    assert!(header(&response, "access-control-allow-methods").contains("PATCH"));
    assert_eq!(header(&response, "access-control-allow-credentials"), "");

    let response = service.post("/books").header("Origin", SHOP).send().await.unwrap();
    assert_eq!((response.status().as_u16(), header(&response, "access-control-allow-origin")), (200, SHOP));
    let exposed = header(&response, "access-control-expose-headers");
    for name in ["etag", "location", "link", "retry-after", "x-trace-id"] {
        assert!(exposed.contains(name), "{name} is not in {exposed}");
    }
    // A page has to be able to read what went wrong, too.
    let missing = service.get("/nowhere").header("Origin", SHOP).send().await.unwrap();
    assert_eq!((missing.status().as_u16(), header(&missing, "access-control-allow-origin")), (404, SHOP));
}

#[tokio::test]
async fn pages_of_any_other_origin_may_not() {
    let service = shop().await;
    for origin in ["https://shop.example", "http://shop.example:8443", "https://evil.example", "null"] {
        problem(service.post("/books").header("Origin", origin), 403, "cross_origin").await;
        let read = service.get("/books").header("Origin", origin).send().await.unwrap();
        assert_eq!(header(&read, "access-control-allow-origin"), "", "{origin}");
    }
    // And where none is allowed, nothing is said at all.
    let closed = start(Router::new().route("/books", get(async || "books")), limits()).await;
    let preflight = closed
        .request(Method::OPTIONS, "/books")
        .header("Origin", SHOP)
        .header("Access-Control-Request-Method", "GET");
    let response = preflight.send().await.unwrap();
    assert_eq!((header(&response, "access-control-allow-origin"), header(&response, "vary")), ("", ""));
}

#[tokio::test]
async fn headers_of_every_answer_stand_once_whoever_gives_it() {
    let routes = hello().route("/own", get(async || [("x-own", "mine")]));
    let headers =
        HeaderMap::from_iter([(HeaderName::from_static("x-own"), HeaderValue::from_static("ours"))]);
    let settings = ListenSettings { headers, limits: limits(), ..ListenSettings::default() };
    let service = start_with(routes, settings).await;
    for (request, status) in [
        (service.get("/hello"), 200),
        (service.get("/own"), 200),
        (service.get("/nowhere"), 404),
        (service.get("/hello").header("Host", "evil.example"), 421),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.headers().get_all("x-own").iter().collect::<Vec<_>>(), ["ours"]);
    }
}
