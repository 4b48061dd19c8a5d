//! Documents that are right, and all the ways to be wrong.

use serde_json::{Value, json};

use crate::faults::Faults;
use crate::models::Models;

/// Where a document is wrong, and how.
fn wrong(document: &Value) -> Vec<(String, &'static str)> {
    let models = Models::new(["llama3.2", "gpt-4o"]);
    let error = Faults::for_models(&document.to_string(), &models).unwrap_err();
    error.mistakes.into_iter().map(|mistake| (mistake.field, mistake.code)).collect()
}

fn rules(rules: &Value) -> Value {
    json!({"rules": rules})
}

#[test]
fn all_mistakes_are_told_together_each_with_its_rule_and_field() {
    let found = wrong(&json!({
        "rules": [
            {"kind": "stall", "seconds": 0, "after_chunks": -1, "rate": 0},
            {"kind": "explode"},
            {"rate": "often"},
            {"kind": "cut", "seconds": 5, "retry_after_seconds": 1},
            {"kind": "refusal", "match": {"protocol": "smtp", "route": "/api/tags", "model": "gpt-5", "tenant": "", "stream": "yes", "path": "/"}},
            {"kind": "wrong_usage", "usage": {"input_tokens": -5, "tokens": 5}},
            {"kind": "server_error", "schedule": {"from_seconds": -1, "for_seconds": 20, "every_seconds": 10}},
            {"kind": "server_error", "schedule": {"every_seconds": 10}},
            {"kind": "slow_first_token"},
            {"kind": "rate_limited", "id": "", "comment": 5, "retry_after_seconds": 86_401},
            "stall",
            {"kind": "stream_error", "error": "boom", "match": {"stream": false}},
            {"kind": "cut", "match": {"protocol": "openai", "route": "/api/chat"}},
            {"kind": "cut", "match": {"protocol": "bedrock", "route": "/model/{modelId}/converse", "stream": true}},
        ],
        "seed": 1,
    }));
    let expected = [
        ("seed", "unknown"),
        ("rules[0].rate", "range"),
        ("rules[0].after_chunks", "range"),
        ("rules[0].seconds", "range"),
        ("rules[1].kind", "unknown"),
        ("rules[2].kind", "missing"),
        ("rules[2].rate", "type"),
        ("rules[3].retry_after_seconds", "unknown"),
        ("rules[3].seconds", "unknown"),
        ("rules[4].match.protocol", "unknown"),
        ("rules[4].match.route", "unknown"),
        ("rules[4].match.model", "unknown"),
        ("rules[4].match.tenant", "range"),
        ("rules[4].match.stream", "type"),
        ("rules[4].match.path", "unknown"),
        ("rules[5].usage.input_tokens", "range"),
        ("rules[5].usage.tokens", "unknown"),
        ("rules[6].schedule.from_seconds", "range"),
        ("rules[6].schedule.for_seconds", "contradiction"),
        ("rules[7].schedule.for_seconds", "missing"),
        ("rules[8].seconds", "missing"),
        ("rules[9].id", "range"),
        ("rules[9].comment", "type"),
        ("rules[9].retry_after_seconds", "range"),
        ("rules[10]", "type"),
        ("rules[10].kind", "missing"),
        ("rules[11].error", "unknown"),
        ("rules[11].match.stream", "contradiction"),
        ("rules[12].match.route", "contradiction"),
        ("rules[12].match", "contradiction"),
        ("rules[13].match", "contradiction"),
    ];
    let found: Vec<_> = found.iter().map(|(field, code)| (field.as_str(), *code)).collect();
    assert_eq!(found, expected);
}

#[test]
fn what_is_no_document_is_said_so() {
    for (text, code) in [
        ("", "malformed"),
        ("{", "malformed"),
        ("[]", "type"),
        ("null", "type"),
        ("{}", "missing"),
        (r#"{"rules": 5}"#, "type"),
        (r#"{"rules": []} x"#, "malformed"),
        (r#"{"rules": [], "rules": [{"kind": "cut"}]}"#, "malformed"),
        (r#"{"rules": [{"kind": "cut", "rate": 0.1, "rate": 1}]}"#, "malformed"),
        (r#"{"rules": [{"kind": "cut", "rate": 1e999}]}"#, "malformed"),
    ] {
        let error = Faults::from_json(text).unwrap_err();
        assert_eq!(error.mistakes[0].code, code, "{text}: {error}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(Faults::from_json(&deep).unwrap_err().mistakes[0].code, "malformed");
    let many = rules(&json!(vec![json!({"kind": "cut", "rate": 0.5}); 101]));
    assert_eq!(wrong(&many), [("rules".to_owned(), "range")]);
    let hundred = rules(&json!(vec![json!({"kind": "cut", "rate": 0.5}); 100]));
    assert_eq!(Faults::from_json(&hundred.to_string()).unwrap().rules().len(), 100);
}

#[test]
fn a_flood_of_mistakes_and_long_names_are_cut() {
    let mut rule = serde_json::Map::from_iter([("kind".to_owned(), json!("x".repeat(10_000)))]);
    rule.extend((0..1_000).map(|at| (format!("{at}{}", "y".repeat(1_000)), json!(1))));
    rule.insert("kind".to_owned(), json!("cut"));
    let error = Faults::from_json(&rules(&json!([rule])).to_string()).unwrap_err();
    assert_eq!(error.mistakes.len(), 101);
    assert_eq!(error.mistakes[100].message, "and 900 more mistakes");
    assert!(error.to_string().len() < 50_000);
    let long = rules(&json!([{"kind": "x".repeat(10_000)}]));
    assert!(Faults::from_json(&long.to_string()).unwrap_err().to_string().len() < 1_000);
}

#[test]
fn a_rule_that_can_never_apply_is_refused() {
    let always = json!({"kind": "cut", "match": {"protocol": "ollama", "model": "l*"}});
    for (before, after, hidden) in [
        (json!({"kind": "cut"}), json!({"kind": "refusal"}), true),
        (json!({"kind": "cut", "rate": 0.99}), json!({"kind": "refusal"}), false),
        (json!({"kind": "cut", "schedule": {"from_seconds": 1}}), json!({"kind": "refusal"}), false),
        (
            json!({"kind": "cut", "schedule": {"for_seconds": 5, "every_seconds": 5}}),
            json!({"kind": "refusal"}),
            true,
        ),
        (always.clone(), always.clone(), true),
        (always.clone(), json!({"kind": "refusal", "match": {"route": "/api/chat", "model": "ll*2"}}), true),
        (always.clone(), json!({"kind": "refusal", "match": {"route": "/api/chat"}}), false),
        (always, json!({"kind": "refusal", "match": {"protocol": "openai", "model": "l*"}}), false),
        (json!({"kind": "stream_error"}), json!({"kind": "refusal"}), false),
        (json!({"kind": "stream_error"}), json!({"kind": "refusal", "match": {"stream": true}}), true),
        (
            json!({"kind": "stream_error"}),
            json!({"kind": "refusal", "match": {"route": "/model/{modelId}/converse-stream"}}),
            true,
        ),
        (
            json!({"kind": "cut", "match": {"tenant": "a"}}),
            json!({"kind": "refusal", "match": {"tenant": "b"}}),
            false,
        ),
    ] {
        let read = Faults::from_json(&rules(&json!([before, after])).to_string());
        match read {
            Ok(_) => assert!(!hidden, "{before} {after}"),
            Err(error) => {
                assert!(hidden, "{before} {after}: {error}");
                assert_eq!(error.mistakes[0].field, "rules[1]");
                assert!(error.to_string().contains("rules[0]"), "{error}");
            }
        }
    }
}

#[test]
fn two_rules_of_one_id_are_refused() {
    let twice = json!([{"kind": "cut", "id": "a", "rate": 0.5}, {"kind": "stall", "seconds": 1, "id": "a"}]);
    assert_eq!(wrong(&rules(&twice)), [("rules[1].id".to_owned(), "duplicate")]);
}

#[test]
fn what_is_read_is_written_and_read_again() {
    let document = rules(&json!([
        {"id": "busy", "comment": "now and then", "kind": "rate_limited", "rate": 0.25, "retry_after_seconds": 2.5,
         "match": {"protocol": "openai", "route": "/v1/chat/completions", "model": "gpt-4*", "tenant": "acme", "stream": true},
         "schedule": {"from_seconds": 30.0, "for_seconds": 10.0, "every_seconds": 60.0}},
        {"kind": "unavailable", "rate": 0.5, "retry_after_seconds": 1.0},
        {"kind": "unavailable", "rate": 0.5},
        {"kind": "timeout", "rate": 0.5, "seconds": 3600.0},
        {"kind": "reset", "rate": 0.5},
        {"kind": "reset", "rate": 0.5, "after_chunks": 0},
        {"kind": "slow_first_token", "rate": 0.5, "seconds": 0.001},
        {"kind": "stall", "rate": 0.5, "seconds": 5.5, "after_chunks": 3},
        {"kind": "cut", "rate": 0.5, "after_chunks": 100_000},
        {"kind": "malformed", "rate": 0.5, "after_chunks": 2},
        {"kind": "stream_error", "rate": 0.5, "after_chunks": 2, "error": "rate_limited", "match": {"stream": true}},
        {"kind": "truncated", "rate": 0.5, "after_chunks": 4},
        {"kind": "wrong_usage", "rate": 0.5, "usage": {"input_tokens": 1, "cached_input_tokens": 2, "output_tokens": 3}},
        {"kind": "overloaded", "rate": 0.5},
        {"kind": "server_error", "rate": 0.5},
        {"kind": "refusal"},
    ]));
    let faults = Faults::from_json(&document.to_string()).unwrap();
    assert_eq!(faults.to_json(), document);
    assert_eq!(Faults::from_json(&faults.to_json().to_string()).unwrap(), faults);
    assert_eq!(Faults::default().to_json(), json!({"rules": []}));
}

#[test]
fn what_is_so_anyway_need_not_be_written_and_null_is_nothing() {
    let short = Faults::from_json(r#"{"rules": [{"kind": "stall", "seconds": 5}]}"#).unwrap();
    let long = r#"{"rules": [{"id": null, "kind": "stall", "seconds": 5.0, "after_chunks": 1, "rate": 1.0,
        "match": {}, "schedule": {"from_seconds": 0}}]}"#;
    assert_eq!(Faults::from_json(long).unwrap(), short);
}
