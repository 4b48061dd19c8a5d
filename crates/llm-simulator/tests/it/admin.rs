//! `/admin/faults`: who may, what is refused, and that a change is one.

use std::net::{IpAddr, Ipv4Addr};

use llm_simulator::faults::Faults;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{Simulated, settings};

const FAULTS: &str = "/admin/faults";
const ASK: &str = r#"{"model":"llama3.2","prompt":"Dune","stream":false,"options":{"num_predict":1}}"#;

async fn ask(simulated: &Simulated, method: Method, headers: &[(&str, &str)], body: &str) -> Response {
    let mut request = simulated.client.request(method, format!("{}{FAULTS}", simulated.base));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.to_owned()).send().await.unwrap()
}

const JSON: (&str, &str) = ("content-type", "application/json");

async fn put(simulated: &Simulated, body: &str) -> Response {
    ask(simulated, Method::PUT, &[JSON], body).await
}

async fn in_force(simulated: &Simulated) -> Value {
    let response = simulated.get(FAULTS).await;
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

#[tokio::test]
async fn rules_are_put_looked_at_counted_and_taken_away() {
    let simulated = Simulated::start(&settings()).await;
    assert_eq!(in_force(&simulated).await["rules"], json!([]));
    let rules = r#"{"rules": [
        {"id": "never", "kind": "cut", "match": {"model": "gpt-4o"}},
        {"kind": "overloaded", "schedule": {"from_seconds": 3600}},
        {"kind": "server_error", "match": {"protocol": "ollama"}}]}"#;
    let response = put(&simulated, rules).await;
    assert_eq!(response.status(), 200);
    let put_back: Value = response.json().await.unwrap();
    for _ in 0..3 {
        assert_eq!(simulated.post("/api/generate", ASK).await.status(), 500);
    }
    let shown = in_force(&simulated).await;
    assert_eq!(shown["rules"], put_back["rules"]);
    assert_eq!(shown["since"], put_back["since"]);
    assert!(
        shown["since"].as_str().unwrap().ends_with('Z') && shown["elapsed_seconds"].as_f64().unwrap() > 0.0
    );
    let count = |id: Value, kind: &str, on: bool, matched: u64, applied: u64| json!({"id": id, "kind": kind, "on": on, "matched": matched, "applied": applied});
    let expected = json!([
        count(json!("never"), "cut", true, 0, 0),
        count(Value::Null, "overloaded", false, 3, 0),
        count(Value::Null, "server_error", true, 3, 3),
    ]);
    assert_eq!(shown["counts"], expected);
    assert_eq!(simulated.get("/health").await.json::<Value>().await.unwrap()["faults"], 3);

    // What is shown may be put again, and counts afresh.
    assert_eq!(put(&simulated, &json!({"rules": shown["rules"]}).to_string()).await.status(), 200);
    assert_eq!(in_force(&simulated).await["counts"][2]["matched"], 0);
    assert_eq!(ask(&simulated, Method::DELETE, &[], "").await.status(), 204);
    assert_eq!(in_force(&simulated).await["rules"], json!([]));
    assert_eq!(simulated.post("/api/generate", ASK).await.status(), 200);
}

#[tokio::test]
async fn what_is_wrong_changes_nothing_and_is_told_by_field() {
    let simulated = Simulated::start(&settings()).await;
    put(&simulated, r#"{"rules": [{"kind": "server_error"}]}"#).await;
    let before = in_force(&simulated).await;
    let huge = format!(r#"{{"rules": [{{"kind": "cut", "comment": "{}"}}]}}"#, "x".repeat(2 << 20));
    for (body, status, code, fields) in [
        ("", 400, "faults_invalid", &[""][..]),
        ("{", 400, "faults_invalid", &[""]),
        ("[]", 400, "faults_invalid", &["", "rules"]),
        (
            r#"{"rules": [{"kind": "cut", "rate": 2}, {"kind": "boom"}]}"#,
            400,
            "faults_invalid",
            &["rules[0].rate", "rules[1].kind"],
        ),
        (
            r#"{"rules": [{"kind": "cut", "match": {"model": "gpt-5"}}]}"#,
            400,
            "faults_invalid",
            &["rules[0].match.model"],
        ),
        (r#"{"rules": [{"kind": "cut"}, {"kind": "refusal"}]}"#, 400, "faults_invalid", &["rules[1]"]),
        (huge.as_str(), 413, "body_too_large", &[]),
    ] {
        let response = put(&simulated, body).await;
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let problem: Value = response.json().await.unwrap();
        assert_eq!((&problem["code"], &problem["instance"]), (&json!(code), &json!(FAULTS)));
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        let found: Vec<_> = errors.iter().map(|error| error["field"].as_str().unwrap()).collect();
        assert_eq!(found, fields, "{problem}");
    }
    for wrong in
        [&[][..], &[("content-type", "text/plain")], &[("content-type", "application/x-www-form-urlencoded")]]
    {
        let response = ask(&simulated, Method::PUT, wrong, r#"{"rules": []}"#).await;
        assert_eq!(response.status(), 415);
    }
    let not_utf8 = simulated.client.put(format!("{}{FAULTS}", simulated.base)).header(JSON.0, JSON.1);
    assert_eq!(not_utf8.body(vec![b'"', 0xff, b'"']).send().await.unwrap().status(), 400);
    assert_eq!(ask(&simulated, Method::POST, &[JSON], "{}").await.status(), 405);
    let after = in_force(&simulated).await;
    assert_eq!((&after["rules"], &after["since"]), (&before["rules"], &before["since"]));
}

#[tokio::test]
async fn where_others_can_ask_it_takes_the_token() {
    let mut public = settings();
    // Behind a name, others may be led here.
    public.allowed_hosts = vec!["simulator".to_owned()];
    public.faults =
        Faults::from_json(r#"{"rules": [{"kind": "cut", "match": {"tenant": "acme"}}]}"#).unwrap();
    let closed = Simulated::start(&public).await;
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::HEAD] {
        let response = ask(&closed, method.clone(), &[JSON, ("authorization", "Bearer ")], "{}").await;
        assert_eq!(response.status(), 403);
        let text = response.text().await.unwrap();
        assert!(method == Method::HEAD || text.contains("API_TOKEN") && !text.contains("acme"), "{text}");
    }

    public.api_token = Some("0123456789abcdef".to_owned().into());
    let guarded = Simulated::start(&public).await;
    for wrong in [
        &[][..],
        &[("authorization", "Bearer 0123456789abcdeg")],
        &[("authorization", "Basic 0123456789abcdef")],
    ] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let response = ask(&guarded, method, &[&[JSON], wrong].concat(), r#"{"rules": []}"#).await;
            assert_eq!(response.status(), 401);
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
            assert!(!response.text().await.unwrap().contains("acme"));
        }
    }
    let right = [JSON, ("authorization", "Bearer 0123456789abcdef")];
    let shown: Value = ask(&guarded, Method::GET, &right, "").await.json().await.unwrap();
    assert_eq!(shown["rules"][0]["match"]["tenant"], "acme", "nothing was changed without the token");
    assert_eq!(ask(&guarded, Method::DELETE, &right, "").await.status(), 204);

    // On a private listener it is open whether there is a token or not.
    let mut private = settings();
    private.api_token = public.api_token;
    assert_eq!(Simulated::start(&private).await.get(FAULTS).await.status(), 200);

    public.bind_address = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    public.allowed_hosts = Vec::new();
    public.api_token = None;
    let anywhere = Simulated::start(&public).await;
    let port = anywhere.base.rsplit(':').next().unwrap();
    let url = format!("http://127.0.0.1:{port}{FAULTS}");
    assert_eq!(anywhere.client.get(url).send().await.unwrap().status(), 403);
}

/// A page elsewhere that got its name to point here.
#[tokio::test]
async fn another_host_is_not_listened_to() {
    let simulated = Simulated::start(&settings()).await;
    let response = ask(&simulated, Method::DELETE, &[("host", "evil.example")], "").await;
    assert!(response.status().is_client_error(), "{}", response.status());
}

/// Rules of two kinds take turns while requests go on: each request meets the one or the other, and
/// every rule put is wholly in force once its PUT is answered.
#[tokio::test]
async fn a_change_under_load_is_one() {
    let simulated = Simulated::start(&settings()).await;
    let rules = |kind: &str| {
        format!(
            r#"{{"rules": [{{"kind": "{kind}", "match": {{"stream": true}}}}, {{"kind": "{kind}", "match": {{"stream": false}}}}]}}"#
        )
    };
    put(&simulated, &rules("server_error")).await;
    let mut asking = JoinSet::new();
    for _ in 0..8 {
        let (client, base) = (simulated.client.clone(), simulated.base.clone());
        asking.spawn(async move {
            for _ in 0..60 {
                let status = crate::post(&client, &base, "/api/generate", ASK).await.status().as_u16();
                assert!([500, 503].contains(&status), "{status}");
            }
        });
    }
    for turn in 0..60 {
        let (kind, status) = if turn % 2 == 0 { ("unavailable", 503) } else { ("server_error", 500) };
        assert_eq!(put(&simulated, &rules(kind)).await.status(), 200);
        assert_eq!(put(&simulated, r#"{"rules": [{"kind": "cut"}, {"kind": "cut"}]}"#).await.status(), 400);
        assert_eq!(simulated.post("/api/generate", ASK).await.status(), status);
    }
    asking.join_all().await;
}
