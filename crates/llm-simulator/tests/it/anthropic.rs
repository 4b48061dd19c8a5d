//! `/v1/messages`, `/v1/models`: Anthropic's wire protocol.

use reqwest::Response;
use serde_json::{Value, json};

use crate::shape::has;
use crate::{Simulated, settings};

const PROMPT: &str = "Title: Moby-Dick\\nAuthors: Herman Melville\\nDescription: A captain hunts the whale.";
const PATH: &str = "/v1/messages";
const OLDER: &str = "2023-06-01";
const NEWEST: &str = "2026-10-21";

fn message(more: &str) -> String {
    format!(
        r#"{{"model":"claude-sonnet-4-5","max_tokens":500,"messages":[{{"role":"user","content":"{PROMPT}"}}]{more}}}"#
    )
}

async fn post(simulated: &Simulated, path: &str, version: &str, body: &str) -> Response {
    let request = simulated.client.post(format!("{}{path}", simulated.base)).header("x-api-key", "sk-test");
    let request = request.header("anthropic-version", version).header("content-type", "application/json");
    request.body(body.to_owned()).send().await.unwrap()
}

async fn ask(simulated: &Simulated, body: &str) -> Response {
    post(simulated, PATH, OLDER, body).await
}

async fn get(simulated: &Simulated, path: &str) -> Response {
    let request = simulated.client.get(format!("{}{path}", simulated.base)).bearer_auth("sk-test");
    request.header("anthropic-version", NEWEST).send().await.unwrap()
}

async fn whole(simulated: &Simulated, body: &str) -> Value {
    let response = ask(simulated, body).await;
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.status(), 200, "{body}: {}", response.text().await.unwrap());
    response.json().await.unwrap()
}

/// The events of a stream; each has its type as its name.
async fn events(simulated: &Simulated, body: &str) -> Vec<Value> {
    let response = ask(simulated, &body.replacen('{', r#"{"stream":true,"#, 1)).await;
    assert_eq!(response.status(), 200, "{body}");
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    let text = response.text().await.unwrap();
    assert!(text.ends_with("\n\n"), "{text}");
    text.split_terminator("\n\n")
        .map(|event| {
            let (name, data) = event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
            let data: Value = serde_json::from_str(data).unwrap();
            assert_eq!(data["type"], name);
            data
        })
        .collect()
}

async fn error(response: Response, status: u16, kind: &str) -> String {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["x-llm-simulated"], "true");
    let id = response.headers()["request-id"].to_str().unwrap().to_owned();
    let body: Value = response.json().await.unwrap();
    has(&body, &["type", "error", "request_id"], &[]);
    has(&body["error"], &["type", "message"], &[]);
    assert_eq!(
        (&body["type"], &body["request_id"], &body["error"]["type"]),
        (&json!("error"), &json!(id), &json!(kind))
    );
    body["error"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn streamed_and_whole_answers_say_and_count_the_same() {
    let simulated = Simulated::start(&settings()).await;
    let whole = whole(&simulated, &message("")).await;
    let fields =
        ["id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "stop_details", "usage"];
    has(&whole, &fields, &[]);
    assert_eq!((&whole["type"], &whole["role"]), (&json!("message"), &json!("assistant")));
    assert_eq!(
        (&whole["model"], &whole["stop_reason"]),
        (&json!("claude-sonnet-4-5+simulated"), &json!("end_turn"))
    );
    let text = whole["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("Moby-Dick by Herman Melville"), "{text}");
    let input = ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens"];
    has(&whole["usage"], &input, &["cache_creation", "service_tier"]);

    let events = events(&simulated, &message("")).await;
    let names: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let tokens = usize::try_from(whole["usage"]["output_tokens"].as_u64().unwrap()).unwrap();
    let mut expected = vec!["message_start", "content_block_start", "ping"];
    expected.extend(vec!["content_block_delta"; tokens]);
    expected.extend(["content_block_stop", "message_delta", "message_stop"]);
    assert_eq!(names, expected);
    let start = &events[0]["message"];
    has(start, &fields, &[]);
    assert_eq!(
        (&start["id"], &start["content"], &start["stop_reason"]),
        (&whole["id"], &json!([]), &Value::Null)
    );
    assert_eq!(start["usage"]["input_tokens"], whole["usage"]["input_tokens"]);
    assert_eq!(start["usage"]["output_tokens"], 1);
    assert_eq!(events[1]["content_block"], json!({"type": "text", "text": ""}));
    let told: String = events.iter().filter_map(|event| event["delta"]["text"].as_str()).collect();
    assert_eq!(told, text);
    let end = &events[events.len() - 2];
    has(&end["usage"], &input, &[]);
    for field in input {
        assert_eq!(end["usage"][field], whole["usage"][field]);
    }
    for field in ["stop_reason", "stop_sequence", "stop_details"] {
        assert_eq!(end["delta"][field], whole[field]);
    }
}

#[tokio::test]
async fn the_same_seed_answers_byte_for_byte_the_same_in_another_instance_and_under_concurrency() {
    let (one, two) = (Simulated::start(&settings()).await, Simulated::start(&settings()).await);
    let mut other_seed = settings();
    other_seed.seed = 2;
    let three = Simulated::start(&other_seed).await;
    for body in [message(""), message(r#","stream":true"#)] {
        let first = ask(&one, &body).await.text().await.unwrap();
        let asked = (0..100).map(|_| async { ask(&one, &body).await.text().await.unwrap() });
        for answer in futures::future::join_all(asked).await {
            assert_eq!(answer, first);
        }
        assert_eq!(ask(&two, &body).await.text().await.unwrap(), first);
        assert_ne!(ask(&three, &body).await.text().await.unwrap(), first);
    }
    let refused = [ask(&one, "{}").await.text().await.unwrap(), ask(&two, "{}").await.text().await.unwrap()];
    assert_eq!(refused[0], refused[1]);
}

#[tokio::test]
async fn bounds_stops_and_forms_are_obeyed() {
    let simulated = Simulated::start(&settings()).await;
    let answer = whole(&simulated, &message("").replace("500", "3")).await;
    assert_eq!(
        (&answer["stop_reason"], &answer["usage"]["output_tokens"]),
        (&json!("max_tokens"), &json!(3))
    );
    // Nothing to say is no block at all.
    let nothing = message("").replace("500", "0");
    let answer = whole(&simulated, &nothing).await;
    assert_eq!((&answer["content"], &answer["usage"]["output_tokens"]), (&json!([]), &json!(0)));
    let streamed = events(&simulated, &nothing).await;
    let names: Vec<_> = streamed.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(names, ["message_start", "ping", "message_delta", "message_stop"]);
    let answer = whole(&simulated, &message(r#","stop_sequences":["zzzzzz"," the "]"#)).await;
    assert_eq!(
        (&answer["stop_reason"], &answer["stop_sequence"]),
        (&json!("stop_sequence"), &json!(" the "))
    );
    let schema = r#"{"type":"object","properties":{"pages":{"type":"integer"}},"required":["pages"]}"#;
    let format = format!(r#"{{"type":"json_schema","schema":{schema}}}"#);
    let answer = whole(&simulated, &message(&format!(r#","output_config":{{"format":{format}}}"#))).await;
    has(&serde_json::from_str(answer["content"][0]["text"].as_str().unwrap()).unwrap(), &["pages"], &[]);
    let tools = format!(r#","tools":[{{"name":"keep","input_schema":{schema}}}]"#);
    for choice in [r#"{"type":"any"}"#, r#"{"type":"tool","name":"keep"}"#] {
        let body = message(&format!(r#"{tools},"tool_choice":{choice}"#));
        let answer = whole(&simulated, &body).await;
        let block = &answer["content"][0];
        assert_eq!((&answer["stop_reason"], &block["name"]), (&json!("tool_use"), &json!("keep")));
        has(&block["input"], &["pages"], &[]);
        let events = events(&simulated, &body).await;
        assert_eq!(events[1]["content_block"]["id"], block["id"]);
        let told: String =
            events.iter().filter_map(|event| event["delta"]["partial_json"].as_str()).collect();
        assert_eq!(serde_json::from_str::<Value>(&told).unwrap(), block["input"]);
    }
    let free = whole(&simulated, &message(&tools)).await;
    assert_eq!(free["content"][0]["type"], "text");
}

#[tokio::test]
async fn every_role_and_block_that_there_is_is_accepted_and_counted_alike() {
    let simulated = Simulated::start(&settings()).await;
    let messages = json!([
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": [
            {"type": "text", "text": "Title: Dune", "cache_control": {"type": "ephemeral"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "A desert."}, "title": null},
        ]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "x"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "42"}]},
        ]},
        {"role": "user", "content": "Go on."},
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Title: Moby-Dick"},
    ]);
    let asked = json!({"model": "claude-sonnet-4-5", "messages": messages, "system": [{"type": "text", "text": "Brief."}]});
    let mut body = asked.clone();
    let more = json!({"max_tokens": 50, "metadata": {"user_id": null}, "temperature": 1, "top_p": 0.5, "top_k": 5,
        "service_tier": "auto", "thinking": {"type": "disabled"}});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = whole(&simulated, &body.to_string()).await;
    let counted = post(&simulated, "/v1/messages/count_tokens", NEWEST, &asked.to_string()).await;
    assert!(counted.headers().contains_key("request-id"));
    let counted: Value = counted.json().await.unwrap();
    assert_eq!(counted, json!({"input_tokens": answer["usage"]["input_tokens"]}));
    assert!(answer["usage"]["input_tokens"].as_u64().unwrap() > 10, "{answer}");
}

#[tokio::test]
async fn the_newest_version_takes_no_sampling_no_documents_of_the_assistant_and_no_citations() {
    let simulated = Simulated::start(&settings()).await;
    let with = |role: &str, block: &str| {
        let ask = r#"{"role":"user","content":"x"}"#;
        message("").replace(
            "\"messages\":[",
            &format!(r#""messages":[{{"role":"{role}","content":[{block}]}},{ask},"#),
        )
    };
    let document = r#"{"type":"document","source":{"type":"text","media_type":"text/plain","data":"x"}}"#;
    let cited = r#"{"type":"text","text":"x","citations":[{}]}"#;
    let found = format!(r#"{{"type":"search_result","title":"x","source":"x","content":[{cited}]}}"#);
    for (body, place) in [
        (message(r#","temperature":1.0"#), "temperature: Extra inputs"),
        (message(r#","top_p":1"#), "top_p: Extra inputs"),
        (message(r#","top_k":1"#), "top_k: Extra inputs"),
        (with("assistant", document), "messages.0.content.0.document: "),
        (with("user", cited), "messages.0.content.0.text.citations: "),
        (with("user", &found), "messages.0.content.0.search_result.content.0.citations: "),
    ] {
        assert_eq!(ask(&simulated, &body).await.status(), 200, "{body}");
        let response = post(&simulated, PATH, NEWEST, &body).await;
        let said = error(response, 400, "invalid_request_error").await;
        assert!(said.starts_with(place), "{said}");
    }
    assert_eq!(post(&simulated, PATH, NEWEST, &with("user", document)).await.status(), 200);
    assert_eq!(post(&simulated, PATH, NEWEST, &message("")).await.status(), 200);
}

#[tokio::test]
async fn refusals_are_those_of_anthropic() {
    let simulated = Simulated::start(&settings()).await;
    let of =
        |messages: &str| message("").replace(&format!(r#"{{"role":"user","content":"{PROMPT}"}}"#), messages);
    for (body, said) in [
        ("{}", "model: Field required"),
        ("[]", "Input should be a valid dictionary"),
        (r#"{"model":"claude-sonnet-4-5"}"#, "max_tokens: Field required"),
        (r#"{"model":"claude-sonnet-4-5","max_tokens":1}"#, "messages: Field required"),
        (&message("").replace("500", "-1"), "max_tokens: must be greater than or equal to 0"),
        (&message("").replace("500", "1.5"), "max_tokens: Input should be a valid integer"),
        (&of(""), "messages: at least one message is required"),
        (&of("5"), "messages.0: Input should be a valid dictionary"),
        (&of(r#"{"role":"user"}"#), "messages.0.content: Field required"),
        (
            &of(r#"{"role":"tool","content":"x"}"#),
            "messages.0.role: Input should be 'user', 'assistant' or 'system'",
        ),
        (&of(r#"{"role":"user","content":""}"#), "messages.0: user messages must have non-empty content"),
        (
            &of(r#"{"role":"user","content":[{"type":"text","text":""}]}"#),
            "messages: text content blocks must be non-empty",
        ),
        (
            &of(r#"{"role":"assistant","content":""},{"role":"user","content":"x"}"#),
            "messages.0: all messages must have non-empty content except for the optional final assistant message",
        ),
        (
            &of(r#"{"role":"user","content":"x"},{"role":"assistant","content":"x "}"#),
            "messages: final assistant content cannot end with trailing whitespace",
        ),
        (
            &of(r#"{"role":"user","content":"x","name":"y"}"#),
            "messages.0.name: Extra inputs are not permitted",
        ),
        (
            &of(r#"{"role":"user","content":[{"type":"text","text":"x","y":1}]}"#),
            "messages.0.content.0.text.y: Extra inputs are not permitted",
        ),
        (
            &of(
                r#"{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"x"}}]}"#,
            ),
            "messages.0.content.0.image.source.data: Field required",
        ),
        (&message(r#","x":1"#), "x: Extra inputs are not permitted"),
        (&message(r#","context_management":{}"#), "context_management: Extra inputs are not permitted"),
        (&message(r#","temperature":1.1"#), "temperature: range: 0..1"),
        (&message(r#","temperature":"x""#), "temperature: Input should be a valid number"),
        (&message(r#","system":5"#), "system: Input should be a valid list"),
        (&message(r#","stream":"x""#), "stream: Input should be a valid boolean"),
        (
            &message(r#","stop_sequences":["\n"]"#),
            "stop_sequences: each stop sequence must contain non-whitespace",
        ),
        (&message(r#","metadata":{"x":1}"#), "metadata.x: Extra inputs are not permitted"),
        (
            &message(r#","tool_choice":{"type":"any"}"#),
            "tool_choice: tool_choice may only be specified while providing tools",
        ),
        (&message(r#","service_tier":"x""#), "service_tier: Input should be 'auto' or 'standard_only'"),
    ] {
        assert_eq!(error(ask(&simulated, body).await, 400, "invalid_request_error").await, said, "{body}");
    }
    let body = message("").replace("claude-sonnet-4-5", "nope");
    assert_eq!(error(ask(&simulated, &body).await, 404, "not_found_error").await, "model: nope");
    let counted = post(&simulated, "/v1/messages/count_tokens", OLDER, &message("")).await;
    assert_eq!(
        error(counted, 400, "invalid_request_error").await,
        "max_tokens: Extra inputs are not permitted"
    );
    for bad in ["", "{bad", &"[".repeat(200), "{} {}"] {
        let said = error(ask(&simulated, bad).await, 400, "invalid_request_error").await;
        assert!(said.starts_with("The request body is not valid JSON: "), "{said}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_in_anthropics_words() {
    let mut roomy = settings();
    roomy.context_tokens = u64::MAX;
    let simulated = Simulated::start(&roomy).await;
    let large = message("").replace("whale", &"x".repeat(33 << 20));
    let said = error(ask(&simulated, &large).await, 413, "request_too_large").await;
    assert_eq!(said, "Request exceeds the maximum size");
    let fits = message("").replace("whale", &"x".repeat(8 << 20));
    assert_eq!(ask(&simulated, &fits).await.status(), 200);
}

#[tokio::test]
async fn a_key_and_a_version_are_needed_and_the_right_ones() {
    let mut guarded = settings();
    guarded.api_key = Some("sk-right".into());
    let (open, guarded) = (Simulated::start(&settings()).await, Simulated::start(&guarded).await);
    let version = ("anthropic-version", OLDER);
    for (simulated, headers, refused) in [
        (&open, &[version][..], Some((401, "authentication_error", "x-api-key header is required"))),
        (&open, &[], Some((401, "authentication_error", "x-api-key header is required"))),
        (
            &open,
            &[("x-api-key", "x")],
            Some((400, "invalid_request_error", "anthropic-version: header is required")),
        ),
        (
            &open,
            &[("x-api-key", "x"), ("anthropic-version", "1")],
            Some((400, "invalid_request_error", "anthropic-version: \"1\" is not a valid version")),
        ),
        (&open, &[version, ("x-api-key", "x")], None),
        (
            &guarded,
            &[version, ("x-api-key", "sk-wrong")],
            Some((401, "authentication_error", "invalid x-api-key")),
        ),
        (
            &guarded,
            &[version, ("authorization", "Bearer sk-wrong")],
            Some((401, "authentication_error", "Invalid bearer token")),
        ),
        (&guarded, &[version, ("authorization", "Bearer sk-right")], None),
        // Where there are both, x-api-key counts.
        (&guarded, &[version, ("authorization", "Bearer sk-wrong"), ("x-api-key", "sk-right")], None),
    ] {
        let mut request = simulated.client.post(format!("{}{PATH}", simulated.base)).body(message(""));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        match refused {
            None => assert_eq!(response.status(), 200, "{headers:?}"),
            Some((status, kind, said)) => {
                assert_eq!(response.headers()["x-should-retry"], "false");
                assert_eq!(error(response, status, kind).await, said);
            }
        }
    }
}

#[tokio::test]
async fn models_are_anthropics_where_its_version_is_sent() {
    let simulated = Simulated::start(&settings()).await;
    let list: Value = get(&simulated, "/v1/models?limit=2").await.json().await.unwrap();
    has(&list, &["data", "has_more", "first_id", "last_id"], &[]);
    assert_eq!(
        (&list["has_more"], &list["first_id"], &list["last_id"]),
        (&json!(true), &json!("llama3.2"), &json!("me/own:1b"))
    );
    let model: Value = get(&simulated, "/v1/models/me%2Fown:1b").await.json().await.unwrap();
    assert_eq!((&model["type"], &model["id"]), (&json!("model"), &json!("me/own:1b")));
    assert_eq!(model["display_name"], "me/own:1b (simulated)");
    assert_eq!(error(get(&simulated, "/v1/models/nope").await, 404, "not_found_error").await, "model: nope");
    error(get(&simulated, "/v1/models?limit=0").await, 400, "invalid_request_error").await;
}

#[tokio::test]
async fn other_paths_and_methods_are_refused_as_anthropic_does() {
    let simulated = Simulated::start(&settings()).await;
    for path in ["/v1/messages/batches", "/v1/nope", "/v1"] {
        assert_eq!(error(get(&simulated, path).await, 404, "not_found_error").await, "Not Found");
    }
    let response = get(&simulated, PATH).await;
    assert_eq!(response.headers()["allow"], "POST");
    assert_eq!(error(response, 405, "invalid_request_error").await, "Method Not Allowed");
    error(post(&simulated, "/v1/models", OLDER, "{}").await, 405, "invalid_request_error").await;
}

#[tokio::test]
async fn answers_have_anthropics_headers_and_failures_its_words() {
    let mut failing = settings();
    let simulated = Simulated::start(&failing).await;
    let response = ask(&simulated, &message("")).await;
    for name in ["request-id", "anthropic-organization-id", "x-llm-simulated"] {
        assert!(response.headers().contains_key(name), "{name}");
    }
    failing.profiles = llm_simulator::profile::Profiles::all(crate::profile().with_error_rate(1.0));
    let simulated = Simulated::start(&failing).await;
    for body in [message(""), message(r#","stream":true"#)] {
        let response = ask(&simulated, &body).await;
        assert_eq!(response.headers()["x-should-retry"], "true");
        assert_eq!(error(response, 500, "api_error").await, "Internal server error");
    }
    let line = r#"simulator_answers_total{model="claude-sonnet-4-5",outcome="error",protocol="anthropic"} 2"#;
    assert!(simulated.metrics().await.contains(line));
}
