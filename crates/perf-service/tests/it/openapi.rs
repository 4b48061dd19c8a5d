//! `/openapi.json`: complete, and true.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::service::{Service, command};

const NOBODY: &str = "01890000-0000-7000-8000-000000000000";

/// The documented operations: method, path and the operation itself.
fn operations(docs: &Value) -> Vec<(Method, &str, &Value)> {
    let paths = docs["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(move |(method, operation)| {
            (method.to_uppercase().parse().unwrap(), path.as_str(), operation)
        })
    });
    all.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documentation_lists_every_route_and_describes_what_it_names() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(&mut command(data.path(), "local=http://127.0.0.1:1")).await;
    let (_, docs) = service.get_json("/openapi.json").await;
    let found: BTreeSet<String> =
        operations(&docs).iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    for expected in [
        "GET /api/v1/scenarios",
        "GET /api/v1/runs",
        "POST /api/v1/runs",
        "POST /api/v1/runs/estimate",
        "GET /api/v1/runs/{id}",
        "POST /api/v1/runs/{id}/cancel",
        "GET /api/v1/runs/{id}/events",
        "GET /api/v1/runs/{id}/summary",
        "GET /api/v1/runs/{id}/report",
        "GET /api/v1/runs/{id}/log",
        "GET /health",
        "GET /health/live",
        "GET /health/ready",
    ] {
        assert!(found.contains(expected), "{expected} is not documented");
        let head = expected.replace("GET", "HEAD");
        assert!(found.contains(&head), "{head} is not documented");
    }
    let (schemas, text) = (docs["components"]["schemas"].as_object().unwrap(), docs.to_string());
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name} is referred to and not described");
    }
    for shape in ["Run", "StartRun", "RunProgress", "RunEstimate", "Results", "Problem"] {
        for (name, field) in schemas[shape]["properties"].as_object().unwrap() {
            let told = field.get("description").is_some() || field.to_string().contains("$ref");
            assert!(told, "{shape}.{name} is not described");
        }
    }
    let (status, page) = service.get("/swagger/").await;
    assert!(status == 200 && page.contains("swagger-ui"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_has_a_name_of_its_own_and_problems_in_their_form() {
    let token = "a-token-that-nobody-guesses";
    let data = tempfile::tempdir().unwrap();
    let guarded =
        Service::start(command(data.path(), "local=http://127.0.0.1:1").env("API_TOKEN", token)).await;
    let (_, docs) = guarded.get_json("/openapi.json").await;
    let mut names = BTreeSet::new();
    for (method, path, operation) in operations(&docs) {
        assert!(names.insert(operation["operationId"].as_str().unwrap()), "{method} {path}");
        let responses = operation["responses"].as_object().unwrap();
        for (status, response) in responses {
            let (code, place) = (status.parse::<u16>().unwrap(), format!("{method} {path} {status}"));
            assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{place}");
            let content = response.get("content").and_then(Value::as_object);
            if method == Method::HEAD {
                assert!(content.is_none(), "{place}: HEAD has no body");
            } else if code >= 400 {
                let media: Vec<&String> = content.unwrap().keys().collect();
                assert_eq!(media, ["application/problem+json"], "{place}");
            }
            let has = |header: &str| response["headers"].get(header).is_some();
            assert_eq!(has("Retry-After"), matches!(code, 429 | 503), "{place}");
            assert_eq!(has("WWW-Authenticate"), code == 401, "{place}");
        }
        let writes = method == Method::POST;
        assert_eq!(operation.get("security").is_some(), writes, "{method} {path}");
        assert_eq!((responses.contains_key("401"), responses.contains_key("403")), (writes, writes));
    }
    // Without a token none is asked for, but may be sent.
    let other = tempfile::tempdir().unwrap();
    let open = Service::start(&mut command(other.path(), "local=http://127.0.0.1:1")).await;
    let (_, docs) = open.get_json("/openapi.json").await;
    let start = &docs["paths"]["/api/v1/runs"]["post"];
    assert_eq!(start["security"], json!([{ "token": [] }, {}]));
    assert!(start["responses"].get("401").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_documented_is_what_is_answered() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::start(&mut command(data.path(), "local=http://127.0.0.1:1")).await;
    let (_, docs) = service.get_json("/openapi.json").await;
    for (method, path, operation) in operations(&docs) {
        let responses = operation["responses"].as_object().unwrap();
        let mut tried = vec![path.replace("{id}", NOBODY)];
        if path.contains('{') {
            tried.push(path.replace("{id}", "x"));
        } else {
            tried.push(format!("{path}?nosuch=1"));
        }
        for url in tried {
            let request = service.client.request(method.clone(), format!("{}{url}", service.url));
            let answer = request.header("Content-Type", "text/plain").send().await.unwrap();
            let status = answer.status().as_u16();
            assert!(
                responses.contains_key(&status.to_string()),
                "{method} {url}: {status} is not documented"
            );
            if url.contains(NOBODY) {
                assert_eq!(status, 404, "{method} {url}");
            }
        }
    }
}
