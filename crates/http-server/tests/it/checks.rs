//! What every request passes: host, origin, path, method, body, token.

use axum::Router;
use axum::extract::Path as AnyPath;
use axum::routing::{get, post};
use http_server::extract::{Json, Path, Query};
use http_server::{ApiToken, Limits, require_token};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::stage::{Running, limits, problem, start, until_closed};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Draft {
    pages: Vec<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    limit: Option<u8>,
}

async fn service() -> Running {
    let routes = Router::new()
        .route("/api/v1/echo/{text}", get(async |AnyPath(text): AnyPath<String>| text))
        .route("/number/{number}", get(async |Path(number): Path<u8>| number.to_string()))
        .route("/list", get(async |Query(query): Query<Limit>| query.limit.unwrap_or(20).to_string()))
        .route("/draft", post(async |Json(draft): Json<Draft>| draft.pages.len().to_string()));
    start(routes, limits()).await
}

async fn text(request: reqwest::RequestBuilder) -> String {
    let response = request.send().await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    response.text().await.unwrap()
}

#[tokio::test]
async fn a_path_of_nobody_is_a_problem_with_instance_and_trace() {
    let service = service().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request =
        service.get("/Nowhere/at%20all?q=1").header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
    let problem = problem(request, 404, "route_not_found").await;
    assert_eq!((&problem["instance"], &problem["traceId"]), (&json!("/Nowhere/at%20all"), &json!(trace)));
    assert_eq!(problem["type"], "urn:bookstore:problem:route_not_found");
    // Without a trace from outside there is one of our own, another each time.
    let mut own = Vec::new();
    for _ in 0..2 {
        let problem = crate::stage::problem(service.get("/nowhere"), 404, "route_not_found").await;
        own.push(problem["traceId"].as_str().unwrap().to_owned());
    }
    assert!(own[0].len() == 32 && own[0] != own[1] && own[0] != "0".repeat(32), "{own:?}");
}

#[tokio::test]
async fn a_broken_traceparent_is_no_reason_to_refuse() {
    let service = service().await;
    for broken in ["00-zz-1-01", "x", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"] {
        let request = service.get("/nowhere").header("traceparent", broken);
        let problem = problem(request, 404, "route_not_found").await;
        let trace = problem["traceId"].as_str().unwrap().to_owned();
        assert!(trace.len() == 32 && trace.bytes().any(|byte| byte != b'0'), "{trace}");
    }
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take_is_a_problem() {
    let service = service().await;
    problem(service.post("/list"), 405, "method_not_allowed").await;
    let response = service.post("/list").send().await.unwrap();
    assert!(response.headers()["allow"].to_str().unwrap().contains("GET"));
}

#[tokio::test]
async fn only_known_hosts_are_answered() {
    let service = service().await;
    for host in ["evil.example", "127.0.0.2", "localhost.evil.example", "books.example.evil"] {
        let request = service.get("/list").header("Host", host);
        problem(request, 421, "host_not_allowed").await;
    }
    for host in ["localhost", "LOCALHOST:9", "127.0.0.1", "[::1]:80", "books.example", "BOOKS.example:443"] {
        assert_eq!(text(service.get("/list").header("Host", host)).await, "20", "{host}");
    }
    for (target, hosts, status, code) in [
        ("/list", "", 400, "host_missing"),
        ("/list", "Host: localhost\r\nHost: evil.example\r\n", 400, "host_missing"),
        ("/list", "Host: localhost\r\nHost: localhost\r\n", 400, "host_missing"),
        ("/list", "Host: evil.example\r\nHost: localhost\r\n", 400, "host_missing"),
        ("http://evil.example/list", "Host: localhost\r\n", 421, "host_not_allowed"),
        ("http://localhost@evil.example/list", "Host: localhost\r\n", 421, "host_not_allowed"),
        ("http://localhost/list", "Host: evil.example\r\n", 421, "host_not_allowed"),
        ("http://localhost/list", "Host: \r\n", 400, "host_missing"),
        ("http://localhost/list", "Host: localhost\r\n", 200, "20"),
        ("http://books.example:80/list", "Host: localhost\r\n", 200, "20"),
    ] {
        let asked = service.sent(&format!("GET {target} HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n")).await;
        let answer = until_closed(asked).await;
        let wanted = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&wanted) && answer.contains(code), "{target} {hosts:?}: {answer}");
    }
}

#[tokio::test]
async fn pages_of_other_origins_may_read_and_not_write() {
    let service = service().await;
    let write =
        |origin: String| service.post("/draft").header("Origin", origin).json(&json!({ "pages": [1] }));
    for origin in ["http://evil.example", "null", "http://127.0.0.1:1"] {
        problem(write(origin.to_owned()), 403, "cross_origin").await;
    }
    assert_eq!(text(write(format!("http://{}", service.address))).await, "1");
    let read = service.get("/list").header("Origin", "http://evil.example").send().await.unwrap();
    assert_eq!(read.headers().get("access-control-allow-origin"), None, "no page may read the answer");
}

#[tokio::test]
async fn api_paths_are_lowered_and_others_are_not() {
    let service = service().await;
    assert_eq!(text(service.get("/API/V1/Echo/MiXed")).await, "mixed");
    assert_eq!(text(service.get("/list?limit=7")).await, "7");
    problem(service.get("/LIST"), 404, "route_not_found").await;
}

#[tokio::test]
async fn what_cannot_be_extracted_is_a_problem() {
    let service = service().await;
    problem(service.get("/number/many"), 400, "malformed_path").await;
    problem(service.get("/number/256"), 400, "malformed_path").await;
    problem(service.get("/list?limit=many"), 400, "malformed_query").await;
    problem(service.get("/list?page=2"), 400, "malformed_query").await;
    let send = |media: &str, body: &'static [u8]| {
        service.post("/draft").header("Content-Type", media.to_owned()).body(body)
    };
    let json = "application/json";
    problem(send(json, b"{"), 400, "malformed_json").await;
    problem(send(json, b"{\"pages\":[\"\xff\"]}"), 400, "malformed_json").await;
    problem(send("text/plain", b"{\"pages\":[]}"), 415, "unsupported_media_type").await;
    assert_eq!(text(send("application/merge-patch+json; charset=utf-8", b"{\"pages\":[]}")).await, "0");
    for (body, field) in [
        (b"{\"pages\":[1,-2]}".as_slice(), "pages[1]"),
        (b"{\"pages\":[],\"colour\":1}", "colour"),
        (b"{}", "pages"),
    ] {
        let problem = problem(send(json, body), 422, "validation_failed").await;
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_told_or_not() {
    let service = service().await;
    let body = json!({ "pages": vec![1; 1_000] }).to_string();
    let request = || service.post("/draft").header("Content-Type", "application/json");
    problem(request().body(body.clone()), 413, "body_too_large").await;
    let pieces = format!(
        "POST /draft HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let answer = until_closed(service.sent(&pieces).await).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn writes_need_the_token_where_there_is_one() {
    let routes = || Router::new().route("/", get(async || "read").post(async || "written"));
    let token = ApiToken::given("0123456789abcdef".to_owned().into());
    let service = start(require_token(routes(), Some(token)), Limits { ..limits() }).await;
    assert_eq!(text(service.get("/")).await, "read");
    let write = |value: &'static str| service.post("/").header("Authorization", value);
    for wrong in
        ["", "Bearer", "Bearer ", "Bearer 0123456789abcdeg", "Basic 0123456789abcdef", "0123456789abcdef"]
    {
        let problem: Value = problem(write(wrong), 401, "token_required").await;
        assert!(problem["detail"].as_str().unwrap().contains("API_TOKEN"), "{problem}");
    }
    let response = service.post("/").send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["www-authenticate"]),
        (401, &"Bearer".parse().unwrap())
    );
    assert_eq!(text(write("Bearer 0123456789abcdef")).await, "written");
    assert_eq!(text(write("bearer 0123456789abcdef")).await, "written");

    let open = start(require_token(routes(), None), limits()).await;
    assert_eq!(text(open.post("/")).await, "written");
}
