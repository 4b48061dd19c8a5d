//! `/v1/chat/completions`, `/v1/models`: OpenAI's wire protocol.

use http::StatusCode;
use reqwest::Response;
use serde_json::{Value, json};

use crate::shape::has;
use crate::{Simulated, settings};

const PROMPT: &str = "Title: Moby-Dick\\nAuthors: Herman Melville\\nDescription: A captain hunts the whale.";
const PATH: &str = "/v1/chat/completions";

fn chat(more: &str) -> String {
    format!(r#"{{"model":"gpt-4o","messages":[{{"role":"user","content":"{PROMPT}"}}]{more}}}"#)
}

async fn ask(simulated: &Simulated, body: &str) -> Response {
    let request = simulated.client.post(format!("{}{PATH}", simulated.base)).bearer_auth("sk-test");
    request.header("content-type", "application/json").body(body.to_owned()).send().await.unwrap()
}

async fn get(simulated: &Simulated, path: &str) -> Response {
    simulated.client.get(format!("{}{path}", simulated.base)).bearer_auth("sk-test").send().await.unwrap()
}

async fn whole(simulated: &Simulated, body: &str) -> Value {
    let response = ask(simulated, body).await;
    assert_eq!(response.status(), 200, "{body}");
    assert_eq!(response.headers()["content-type"], "application/json");
    response.json().await.unwrap()
}

/// The data of a stream's events, without the last, which says that it is done.
async fn events(simulated: &Simulated, body: &str) -> Vec<Value> {
    let response = ask(simulated, body).await;
    assert_eq!(response.status(), 200, "{body}");
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    let text = response.text().await.unwrap();
    let rest = text.strip_suffix("data: [DONE]\n\n").unwrap_or_else(|| panic!("{text}"));
    rest.split_terminator("\n\n")
        .map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
        .collect()
}

async fn error(response: Response, status: u16) -> Value {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["x-llm-simulated"], "true");
    assert!(response.headers()["x-request-id"].to_str().unwrap().starts_with("req_"));
    let mut body: Value = response.json().await.unwrap();
    has(&body, &["error"], &[]);
    has(&body["error"], &["message", "type", "param", "code"], &[]);
    body["error"].take()
}

#[tokio::test]
async fn streamed_and_whole_answers_say_and_count_the_same() {
    let simulated = Simulated::start(&settings()).await;
    let whole = whole(&simulated, &chat("")).await;
    has(
        &whole,
        &["id", "object", "created", "model", "choices", "usage", "service_tier", "system_fingerprint"],
        &[],
    );
    assert_eq!((&whole["object"], &whole["model"]), (&json!("chat.completion"), &json!("gpt-4o+simulated")));
    let choice = &whole["choices"][0];
    has(choice, &["index", "message", "logprobs", "finish_reason"], &[]);
    has(&choice["message"], &["role", "content", "refusal", "annotations"], &[]);
    let text = choice["message"]["content"].as_str().unwrap();
    assert!(text.contains("Moby-Dick by Herman Melville"), "{text}");

    let usage = chat(r#","stream":true,"stream_options":{"include_usage":true}"#);
    let (with, without) =
        (events(&simulated, &usage).await, events(&simulated, &chat(r#","stream":true"#)).await);
    let (last, told) = with.split_last().unwrap();
    assert_eq!((&last["choices"], &last["usage"]), (&json!([]), &whole["usage"]));
    assert_eq!(told.len(), without.len());
    let fields = ["id", "object", "created", "model", "service_tier", "system_fingerprint", "choices"];
    for (with, without) in told.iter().zip(&without) {
        has(with, &fields, &["usage"]);
        has(without, &fields, &[]);
        assert_eq!((&with["usage"], &with["choices"]), (&Value::Null, &without["choices"]));
        assert_eq!((&with["id"], &with["object"]), (&whole["id"], &json!("chat.completion.chunk")));
    }
    let deltas: Vec<_> = told.iter().map(|event| &event["choices"][0]["delta"]).collect();
    assert_eq!(*deltas[0], json!({"role": "assistant", "content": "", "refusal": null}));
    let pieces: String = deltas.iter().filter_map(|delta| delta["content"].as_str()).collect();
    assert_eq!(pieces, text);
    assert_eq!(told.len() as u64, whole["usage"]["completion_tokens"].as_u64().unwrap() + 2);
    let end = &told.last().unwrap()["choices"][0];
    assert_eq!((&end["delta"], &end["finish_reason"]), (&json!({}), &choice["finish_reason"]));
    assert!(told[..told.len() - 1].iter().all(|event| event["choices"][0]["finish_reason"].is_null()));
}

#[tokio::test]
async fn the_same_seed_answers_byte_for_byte_the_same_in_another_instance_and_under_concurrency() {
    let (one, two) = (Simulated::start(&settings()).await, Simulated::start(&settings()).await);
    let mut other_seed = settings();
    other_seed.seed = 2;
    let three = Simulated::start(&other_seed).await;
    for body in [chat(""), chat(r#","stream":true,"stream_options":{"include_usage":true}"#)] {
        let first = ask(&one, &body).await.text().await.unwrap();
        let asked = (0..100).map(|_| async { ask(&one, &body).await.text().await.unwrap() });
        for answer in futures::future::join_all(asked).await {
            assert_eq!(answer, first);
        }
        assert_eq!(ask(&two, &body).await.text().await.unwrap(), first);
        assert_ne!(ask(&three, &body).await.text().await.unwrap(), first);
        assert_ne!(ask(&one, &body.replace('}', r#","x":1}"#)).await.text().await.unwrap(), first);
    }
    let refused = [ask(&one, "{}").await.text().await.unwrap(), ask(&two, "{}").await.text().await.unwrap()];
    assert_eq!(refused[0], refused[1]);
}

#[tokio::test]
async fn bounds_stops_and_forms_are_obeyed() {
    let simulated = Simulated::start(&settings()).await;
    for name in ["max_tokens", "max_completion_tokens"] {
        let answer = whole(&simulated, &chat(&format!(r#","{name}":3"#))).await;
        assert_eq!(answer["usage"]["completion_tokens"], 3);
        assert_eq!(answer["choices"][0]["finish_reason"], "length");
    }
    for stop in [r#"" the ""#, r#"["zzzzzz"," the "]"#] {
        let answer = whole(&simulated, &chat(&format!(r#","stop":{stop}"#))).await;
        assert_eq!(answer["choices"][0]["finish_reason"], "stop");
        assert!(!answer["choices"][0]["message"]["content"].as_str().unwrap().contains(" the "));
    }
    let seeds = [chat(r#","seed":1"#), chat(r#","seed":2"#)];
    assert_ne!(whole(&simulated, &seeds[0]).await["id"], whole(&simulated, &seeds[1]).await["id"]);
    let schema = r#"{"name":"book","strict":true,"schema":{"type":"object","properties":{"pages":{"type":"integer"}},"required":["pages"],"additionalProperties":false}}"#;
    for (format, field) in [
        (format!(r#"{{"type":"json_schema","json_schema":{schema}}}"#), "pages"),
        (r#"{"type":"json_object"}"#.to_owned(), "summary"),
    ] {
        let body =
            chat(&format!(r#","response_format":{format}"#)).replace("whale.", "whale. Answer in JSON.");
        let answer = whole(&simulated, &body).await;
        let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
        has(&serde_json::from_str(text).unwrap(), &[field], &[]);
    }
}

#[tokio::test]
async fn a_forced_function_is_called_streamed_and_whole() {
    let simulated = Simulated::start(&settings()).await;
    let tools = r#","tools":[{"type":"function","function":{"name":"keep","parameters":{"type":"object","properties":{"pages":{"type":"integer"}},"required":["pages"]}}}]"#;
    let by_name = r#","tool_choice":{"type":"function","function":{"name":"keep"}}"#;
    for (choice, reason) in [(r#","tool_choice":"required""#, "tool_calls"), (by_name, "stop")] {
        let body = chat(&format!("{tools}{choice}"));
        let answer = whole(&simulated, &body).await;
        let choice = &answer["choices"][0];
        assert_eq!((&choice["finish_reason"], &choice["message"]["content"]), (&json!(reason), &Value::Null));
        let call = &choice["message"]["tool_calls"][0];
        has(call, &["id", "type", "function"], &[]);
        assert_eq!(call["function"]["name"], "keep");
        let arguments = call["function"]["arguments"].as_str().unwrap();
        has(&serde_json::from_str(arguments).unwrap(), &["pages"], &[]);
        let events = events(&simulated, &body.replacen('{', r#"{"stream":true,"#, 1)).await;
        let calls = events.iter().filter_map(|event| event["choices"][0]["delta"]["tool_calls"].get(0));
        let told: String =
            calls.clone().map(|call| call["function"]["arguments"].as_str().unwrap()).collect();
        assert_eq!(told, arguments);
        assert_eq!(calls.clone().next().unwrap()["id"], call["id"]);
        assert!(calls.clone().all(|call| call["index"] == 0));
        assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], reason);
    }
    for free in ["", r#","tool_choice":"auto""#, r#","tool_choice":"none""#] {
        let answer = whole(&simulated, &chat(&format!("{tools}{free}"))).await;
        assert!(answer["choices"][0]["message"]["content"].is_string());
    }
}

#[tokio::test]
async fn every_role_and_part_that_there_is_is_accepted() {
    let simulated = Simulated::start(&settings()).await;
    let messages = json!([
        {"role": "developer", "content": "Be brief."},
        {"role": "system", "content": [{"type": "text", "text": "Be kind."}], "name": "a"},
        {"role": "user", "content": [
            {"type": "text", "text": "Title: Dune"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
            {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
            {"type": "file", "file": {"file_id": "x"}},
        ]},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        ]},
        {"role": "tool", "tool_call_id": "call_1", "content": "42"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}], "annotations": [], "audio": null},
        {"role": "user", "content": "Title: Moby-Dick"},
    ]);
    let body = json!({"model": "gpt-4o", "messages": messages, "temperature": 2, "top_p": 0.5, "n": 1,
        "presence_penalty": -2, "frequency_penalty": 2, "user": "u", "metadata": {"a": "b"}, "store": false,
        "logit_bias": {"1": 2}, "logprobs": false, "service_tier": "auto", "stop": null, "seed": null,
        "reasoning_effort": "low", "modalities": ["text"], "stream_options": null, "max_tokens": null});
    let answer = whole(&simulated, &body.to_string()).await;
    assert!(answer["usage"]["prompt_tokens"].as_u64().unwrap() > 10, "{answer}");
    // A large picture is no large question, and not too large a body.
    let picture = "A".repeat(8 << 20);
    let parts =
        json!([{"type": "image_url", "image_url": {"url": picture}}, {"type": "text", "text": "What?"}]);
    let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": parts}]});
    assert_eq!(whole(&simulated, &body.to_string()).await["usage"]["prompt_tokens"], 1);
}

/// Status, type, parameter, code and words.
#[tokio::test]
async fn refusals_are_those_of_openai() {
    let simulated = Simulated::start(&settings()).await;
    let expected = |param: Value, code: Value, message: &str| json!({"message": message, "type": "invalid_request_error", "param": param, "code": code});
    let null = Value::Null;
    for (body, status, param, code, said) in [
        ("", 400, null.clone(), null.clone(), "you must provide a model parameter"),
        ("{}", 400, null.clone(), null.clone(), "you must provide a model parameter"),
        (
            "[]",
            400,
            null.clone(),
            json!("invalid_type"),
            "Invalid type: expected an object, but got an array instead.",
        ),
        (
            r#"{"model":5}"#,
            400,
            json!("model"),
            json!("invalid_type"),
            "Invalid type for 'model': expected a string, but got an integer instead.",
        ),
        (
            r#"{"model":"gpt-4o"}"#,
            400,
            json!("messages"),
            json!("missing_required_parameter"),
            "Missing required parameter: 'messages'.",
        ),
        (
            r#"{"model":"gpt-4o","messages":[{"role":"user"}]}"#,
            400,
            json!("messages[0].content"),
            json!("missing_required_parameter"),
            "Missing required parameter: 'messages[0].content'.",
        ),
        (
            r#"{"model":"gpt-4o","messages":[{"role":"user","content":null}]}"#,
            400,
            json!("messages.[0].content"),
            null.clone(),
            "Invalid value for 'content': expected a string, got null.",
        ),
        (
            r#"{"model":"gpt-4o","messages":[{"role":"user","content":5}]}"#,
            400,
            json!("messages[0].content"),
            json!("invalid_type"),
            "Invalid type for 'messages[0].content': expected one of a string or array of objects, but got an integer instead.",
        ),
        (
            r#"{"model":"gpt-4o","messages":[{"role":"user","content":[{"type":"x"}]}]}"#,
            400,
            json!("messages[0].content[0].type"),
            json!("invalid_value"),
            "Invalid value: 'x'. Supported values are: 'text', 'image_url', 'input_audio', 'refusal', 'audio', and 'file'.",
        ),
        (
            r#"{"model":"gpt-4o","messages":[{"role":"user","content":"x","y":1}]}"#,
            400,
            json!("messages[0].y"),
            json!("unknown_parameter"),
            "Unknown parameter: 'messages[0].y'.",
        ),
        (
            r#"{"model":"gpt-4o","messages":[{"role":"tool","tool_call_id":"x","content":"x"}]}"#,
            400,
            json!("messages.[0].role"),
            null.clone(),
            "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.",
        ),
        (
            &chat(r#","b":1,"a":2"#),
            400,
            null.clone(),
            null.clone(),
            "Unrecognized request arguments supplied: a, b",
        ),
        (
            &chat(r#","stream":1"#),
            400,
            json!("stream"),
            json!("invalid_type"),
            "Invalid type for 'stream': expected a boolean, but got an integer instead.",
        ),
        (
            &chat(r#","max_tokens":1.5"#),
            400,
            json!("max_tokens"),
            json!("invalid_type"),
            "Invalid type for 'max_tokens': expected an integer, but got a decimal instead.",
        ),
        (
            &chat(r#","top_p":-1"#),
            400,
            json!("top_p"),
            json!("decimal_below_min_value"),
            "Invalid 'top_p': decimal below minimum value. Expected a value >= 0, but got -1 instead.",
        ),
        (
            &chat(r#","n":2"#),
            400,
            json!("n"),
            json!("integer_above_max_value"),
            "Invalid 'n': integer above maximum value. Expected a value <= 1, but got 2 instead.",
        ),
        (
            &chat(r#","max_tokens":1,"max_completion_tokens":1"#),
            400,
            json!("max_tokens"),
            null.clone(),
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
        ),
        (
            &chat(r#","stream_options":{}"#),
            400,
            json!("stream_options"),
            null.clone(),
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
        ),
        (
            &chat(r#","tool_choice":"required""#),
            400,
            json!("tool_choice"),
            null.clone(),
            "'tool_choice' is only allowed when 'tools' are specified.",
        ),
        (
            &chat(r#","response_format":{"type":"json_schema"}"#),
            400,
            json!("response_format.json_schema"),
            json!("missing_required_parameter"),
            "Missing required parameter: 'response_format.json_schema'.",
        ),
        (
            &chat(r#","logprobs":true"#),
            403,
            null.clone(),
            null.clone(),
            "You are not allowed to request logprobs from this model",
        ),
        (
            &chat("").replace("gpt-4o", "nope"),
            404,
            null.clone(),
            json!("model_not_found"),
            "The model `nope` does not exist or you do not have access to it.",
        ),
    ] {
        let said = expected(param, code, said);
        assert_eq!(error(ask(&simulated, body).await, status).await, said, "{body}");
    }
    for bad in ["{bad", "{\"model\":\"\u{1}\"}", &"[".repeat(200), "{} {}"] {
        let refused = error(ask(&simulated, bad).await, 400).await;
        assert!(refused["message"].as_str().unwrap().starts_with("We could not parse the JSON body"));
    }
    // What is quoted is cut short.
    let long = error(ask(&simulated, &chat("").replace("gpt-4o", &"x".repeat(1 << 20))).await, 404).await;
    assert!(long["message"].as_str().unwrap().len() < 2_000);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_in_openais_words() {
    let simulated = Simulated::start(&settings()).await;
    let large = chat("").replace("whale", &"x".repeat(33 << 20));
    let refused = error(ask(&simulated, &large).await, 413).await;
    assert_eq!(refused["message"], "Maximum content size limit (33554432) exceeded");
    // Small, and yet too large: 500,000 values at most.
    let many = chat(&format!(r#","stop":[{}""]"#, r#""","#.repeat(600_000)));
    let refused = error(ask(&simulated, &many).await, 400).await;
    assert!(refused["message"].as_str().unwrap().contains("500000 JSON values"), "{refused}");
}

#[tokio::test]
async fn a_key_is_needed_and_the_right_one_where_one_is_set() {
    let mut guarded = settings();
    guarded.api_key = Some("sk-right".into());
    for (settings, key, status, code) in [
        (settings(), None, 401, Value::Null),
        (settings(), Some("Basic abc"), 401, Value::Null),
        (settings(), Some("Bearer "), 401, Value::Null),
        (settings(), Some("bearer any"), 200, Value::Null),
        (guarded.clone(), None, 401, Value::Null),
        (guarded.clone(), Some("Bearer sk-wrong"), 401, json!("invalid_api_key")),
        (guarded.clone(), Some("Bearer sk-right"), 200, Value::Null),
    ] {
        let simulated = Simulated::start(&settings).await;
        for path in [PATH, "/v1/models", "/v1/models/gpt-4o"] {
            let url = format!("{}{path}", simulated.base);
            let mut request = if path == PATH {
                simulated.client.post(url).body(chat(""))
            } else {
                simulated.client.get(url)
            };
            if let Some(key) = key {
                request = request.header("authorization", key);
            }
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), status, "{path} {key:?}");
            if status == 401 {
                let refused = error(response, 401).await;
                assert_eq!(refused["code"], code);
                assert!(!refused["message"].as_str().unwrap().contains("sk-wrong"));
            }
        }
    }
}

#[tokio::test]
async fn models_are_listed_and_found_with_slashes_in_their_ids() {
    let simulated = Simulated::start(&settings()).await;
    let list: Value = get(&simulated, "/v1/models").await.json().await.unwrap();
    assert_eq!(list["object"], "list");
    let ids: Vec<_> =
        list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids[..3], ["llama3.2", "me/own:1b", "gpt-4o"]);
    for path in ["/v1/models/me/own:1b", "/v1/models/me%2Fown:1b"] {
        let model: Value = get(&simulated, path).await.json().await.unwrap();
        assert_eq!(
            model,
            json!({"id": "me/own:1b", "object": "model", "created": 1_767_225_600, "owned_by": "simulated"})
        );
    }
    let refused = error(get(&simulated, "/v1/models/no%20pe").await, 404).await;
    assert_eq!((&refused["code"], &refused["param"]), (&json!("model_not_found"), &json!("model")));
}

#[tokio::test]
async fn other_paths_and_methods_are_refused_as_openai_does() {
    let simulated = Simulated::start(&settings()).await;
    let refused = error(simulated.post("/v1/nope/x", "{}").await, 404).await;
    assert_eq!(refused["message"], "Invalid URL (POST /v1/nope/x)");
    error(simulated.get("/v1").await, 404).await;
    let response = simulated.get(PATH).await;
    assert_eq!(response.headers()["allow"], "POST");
    let refused = error(response, 405).await;
    assert!(refused["message"].as_str().unwrap().starts_with("Not allowed to GET on /v1/chat/completions."));
    assert_eq!(error(simulated.post("/v1/models", "{}").await, 405).await["code"], "method_not_supported");
}

#[tokio::test]
async fn answers_have_openais_headers_and_failures_its_words() {
    let mut failing = settings();
    let simulated = Simulated::start(&failing).await;
    let response = ask(&simulated, &chat("")).await;
    for name in ["x-request-id", "openai-processing-ms", "openai-version", "x-llm-simulated"] {
        assert!(response.headers().contains_key(name), "{name}");
    }
    failing.profiles = llm_simulator::profile::Profiles::all(crate::profile().with_error_rate(1.0));
    let simulated = Simulated::start(&failing).await;
    for body in [chat(""), chat(r#","stream":true"#)] {
        let refused = error(ask(&simulated, &body).await, StatusCode::INTERNAL_SERVER_ERROR.as_u16()).await;
        assert_eq!(refused["type"], "server_error");
    }
    let line = r#"simulator_answers_total{model="gpt-4o",outcome="error",protocol="openai"} 2"#;
    assert!(simulated.metrics().await.contains(line));
}
