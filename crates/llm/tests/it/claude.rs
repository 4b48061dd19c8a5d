//! Anthropic's Messages API on the wire, from its documentation: docs.anthropic.com, "Messages",
//! "Streaming messages" (event types, error events, full HTTP stream response), "Errors" (HTTP errors,
//! error shapes, request id), "Handling stop reasons", "Prompt caching" (tracking cache performance),
//! "Rate limits" (response headers).

use std::time::Duration;

use llm::{Claude, Delivery, ErrorKind, LlmProvider, ProviderName, StopReason, TokenUsage};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::contract::{self, contract, request};
use crate::script::{Reply, Scripted};
use crate::wire::{Answer, CANARY, Case, Failure, Wire, tokens};

/// Claude.
pub const WIRE: Wire = Wire {
    name: ProviderName::Claude,
    prefix: "",
    make: |base_url, model| -> Box<dyn LlmProvider> {
        Box::new(Claude::new(base_url, Some(SecretString::from(CANARY)), model).unwrap())
    },
    model: "claude-sonnet-4-5",
    sample,
    lines: true,
    cases,
};

contract!(WIRE);
contract!(WIRE => connections_are_used_again);

#[cfg(feature = "integration")]
mod real_ollama {
    crate::real::against_ollama!(super::WIRE);
}

#[cfg(feature = "integration")]
mod simulator {
    crate::simulator::against_simulator!(super::WIRE, llm::ErrorKind::Refused);
}

const TEXT: &str = "Ein Wäl — 鯨 🐳.";
const ID: &str = "req_018EeWyXxfu5pfWkrYcMdjWG";
const ANSWERED: &str = "claude-sonnet-4-5-20250929";

/// Read from the cache and written to it counts, and both lie outside `input_tokens`.
const USAGE: TokenUsage = TokenUsage {
    input: 25 + 1000 + 200,
    output: 15,
    cached_input: 1000,
    cache_write_input: 200,
    reasoning_output: 0,
    reported: true,
};

fn good() -> Answer {
    Answer {
        text: TEXT.to_owned(),
        model: ANSWERED.to_owned(),
        usage: Some(USAGE),
        stop: StopReason::End,
        request_id: Some(ID),
        simulated: false,
    }
}

fn usage() -> Value {
    json!({"input_tokens": 25, "cache_creation_input_tokens": 200, "cache_read_input_tokens": 1000,
        "cache_creation": {"ephemeral_5m_input_tokens": 200}, "output_tokens": 15, "service_tier": "standard"})
}

fn message(content: &Value, stop: &str) -> Value {
    json!({"id": "msg_1", "type": "message", "role": "assistant", "model": ANSWERED, "content": content,
        "stop_reason": stop, "stop_sequence": null, "usage": usage()})
}

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap())
}

fn start() -> Value {
    json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant",
        "content": [], "model": ANSWERED, "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": 25, "cache_creation_input_tokens": 200, "cache_read_input_tokens": 1000,
            "output_tokens": 1}}})
}

fn block(block: &Value) -> Value {
    json!({"type": "content_block_start", "index": 0, "content_block": block})
}

fn text(text: &str) -> Value {
    json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})
}

fn delta(stop: &str) -> Value {
    json!({"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": null},
        "usage": {"output_tokens": 15}})
}

fn opened() -> Value {
    block(&json!({"type": "text", "text": ""}))
}

fn closed() -> Value {
    json!({"type": "content_block_stop", "index": 0})
}

fn stop() -> Value {
    json!({"type": "message_stop"})
}

fn stream(events: &[Value]) -> Reply {
    Reply::new(200, "text/event-stream; charset=utf-8")
        .header("request-id", ID)
        .pieces(events.iter().map(event))
}

fn whole(message: &Value) -> Reply {
    Reply::json(200, message).header("request-id", ID)
}

fn sample(delivery: Delivery) -> Case {
    let reply = match delivery {
        Delivery::Streamed => stream(&[
            start(),
            opened(),
            json!({"type": "ping"}),
            text("Ein Wäl"),
            text(" — 鯨 "),
            text("🐳."),
            closed(),
            delta("end_turn"),
            stop(),
        ]),
        Delivery::Whole => whole(&message(&json!([{"type": "text", "text": TEXT}]), "end_turn")),
    };
    Case::answer("a good answer", delivery, reply, good())
}

fn error(status: u16, kind: &str, said: &str) -> Reply {
    let body = json!({"type": "error", "error": {"type": kind, "message": said}, "request_id": ID});
    Reply::json(status, &body)
}

fn refusals() -> Vec<Case> {
    let failure = |kind| Failure::of(kind).id(ID);
    let seconds = Duration::from_secs;
    let soon = std::time::SystemTime::now() + seconds(40);
    [
        (
            "401",
            error(401, "authentication_error", &format!("invalid x-api-key {}", &CANARY[..14])),
            failure(ErrorKind::Unauthorized).says("ANTHROPIC_API_KEY"),
        ),
        (
            "402",
            error(402, "billing_error", "There is an issue with your billing information."),
            failure(ErrorKind::Unauthorized).says("credit"),
        ),
        (
            "credit as an invalid request",
            error(
                400,
                "invalid_request_error",
                "Your credit balance is too low to access the Anthropic API.",
            ),
            failure(ErrorKind::Unauthorized).says("credit"),
        ),
        (
            "403",
            error(403, "permission_error", "Your API key does not have permission to use the resource."),
            failure(ErrorKind::Unauthorized),
        ),
        (
            "404 of a model",
            error(404, "not_found_error", "model: claude-nope"),
            failure(ErrorKind::BadRequest).says("claude-sonnet-4-5").says("CLAUDE_MODEL"),
        ),
        (
            "400",
            error(400, "invalid_request_error", "max_tokens: must be at least 1"),
            failure(ErrorKind::BadRequest).says("at least 1"),
        ),
        (
            "400 of a prompt too long",
            error(400, "invalid_request_error", "prompt is too long: 212345 tokens > 200000 maximum"),
            failure(ErrorKind::ContextTooLong).says("212345"),
        ),
        (
            "400 of prompt and answer too long",
            error(400, "invalid_request_error", "input length and `max_tokens` exceed context limit"),
            failure(ErrorKind::ContextTooLong),
        ),
        (
            "400 of content",
            error(400, "invalid_request_error", "Output blocked by content filtering policy"),
            failure(ErrorKind::Refused),
        ),
        (
            "413",
            error(413, "request_too_large", "Request exceeds the maximum size"),
            failure(ErrorKind::ContextTooLong),
        ),
        ("429 without a wait", error(429, "rate_limit_error", "slow down"), failure(ErrorKind::RateLimited)),
        (
            "429 with seconds",
            error(429, "rate_limit_error", "slow down").header("retry-after", "17"),
            failure(ErrorKind::RateLimited).after(seconds(17)),
        ),
        (
            "429 with a date",
            error(429, "rate_limit_error", "slow down").header("retry-after", httpdate::fmt_http_date(soon)),
            failure(ErrorKind::RateLimited).after(seconds(40)),
        ),
        (
            "429 with a wait of years",
            error(429, "rate_limit_error", "slow down").header("retry-after", "999999999999999999999"),
            failure(ErrorKind::RateLimited).after(seconds(3600)),
        ),
        (
            "429 with nonsense for a wait",
            error(429, "rate_limit_error", "slow down").header("retry-after", "-3"),
            failure(ErrorKind::RateLimited),
        ),
        ("500", error(500, "api_error", "Internal server error"), failure(ErrorKind::Unavailable)),
        ("504", error(504, "timeout_error", "Request timed out"), failure(ErrorKind::Timeout)),
        (
            "529",
            error(529, "overloaded_error", "Overloaded").header("retry-after", "3"),
            failure(ErrorKind::Overloaded).after(seconds(3)),
        ),
        ("a type that is new", error(529, "brand_new_error", "what"), failure(ErrorKind::Overloaded)),
        (
            "the header's id before the body's",
            error(500, "api_error", "x").header("request-id", "req_head"),
            failure(ErrorKind::Unavailable).id("req_head"),
        ),
        (
            "503 in words",
            Reply::new(503, "text/plain").piece("upstream connect error"),
            Failure::of(ErrorKind::Overloaded),
        ),
        ("401 without a body", Reply::new(401, "text/plain"), Failure::of(ErrorKind::Unauthorized)),
        (
            "404 of something else",
            Reply::json(404, &json!("no")),
            Failure::of(ErrorKind::BadRequest).says("ANTHROPIC_BASE_URL"),
        ),
        (
            "wrong types",
            Reply::json(400, &json!({"error": {"type": 1, "message": []}})),
            Failure::of(ErrorKind::BadRequest),
        ),
    ]
    .into_iter()
    .flat_map(|(name, reply, failure)| Case::both(name, &reply, &failure))
    .collect()
}

/// Events under status 200 that end an answer.
fn broken_streams() -> Vec<Case> {
    let failure = |kind| Failure::of(kind).id(ID);
    let said = |kind: &str, said: &str| json!({"type": "error", "error": {"type": kind, "message": said}});
    let mut cases = Vec::new();
    for (kind, expected) in [
        ("overloaded_error", ErrorKind::Overloaded),
        ("api_error", ErrorKind::Unavailable),
        ("rate_limit_error", ErrorKind::RateLimited),
        ("timeout_error", ErrorKind::Timeout),
        ("authentication_error", ErrorKind::Unauthorized),
        ("brand_new_error", ErrorKind::Unavailable),
    ] {
        let words = format!("Overloaded {CANARY}");
        for events in [vec![said(kind, &words)], vec![start(), opened(), text("Ein"), said(kind, &words)]] {
            let name = format!("{kind} after {} events", events.len() - 1);
            cases.push(Case::failure(name, Delivery::Streamed, stream(&events), failure(expected)));
        }
        cases.push(Case::failure(kind, Delivery::Whole, whole(&said(kind, &words)), failure(expected)));
    }
    let used = |kind| failure(kind).used(USAGE);
    for (name, events, expected) in [
        (
            "an error after the figures",
            vec![start(), text("Ein"), delta("end_turn"), said("api_error", "x")],
            used(ErrorKind::Unavailable),
        ),
        (
            "no end after the figures",
            vec![start(), text("Ein"), delta("end_turn")],
            used(ErrorKind::BadAnswer),
        ),
        ("no end", vec![start(), opened(), text("Ein"), closed()], failure(ErrorKind::BadAnswer)),
        ("no text", vec![start(), delta("end_turn"), stop()], used(ErrorKind::BadAnswer)),
        (
            "no room for text",
            vec![start(), delta("max_tokens"), stop()],
            used(ErrorKind::BadRequest).says("longer"),
        ),
        ("no event", vec![], failure(ErrorKind::BadAnswer)),
        ("pings alone", vec![json!({"type": "ping"}); 3], failure(ErrorKind::BadAnswer)),
        ("an event without a type", vec![start(), json!({"type": ""})], failure(ErrorKind::BadAnswer)),
        ("a refusal", vec![start(), text("Ein"), delta("refusal"), stop()], used(ErrorKind::Refused)),
        (
            "a full window",
            vec![start(), delta("model_context_window_exceeded"), stop()],
            used(ErrorKind::ContextTooLong),
        ),
        (
            "a tool instead of text",
            vec![
                start(),
                block(&json!({"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}})),
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{\"a\""}}),
                closed(),
                delta("tool_use"),
                stop(),
            ],
            used(ErrorKind::BadAnswer).says("tool"),
        ),
        (
            "thinking alone",
            vec![
                start(),
                block(&json!({"type": "thinking", "thinking": "", "signature": ""})),
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm"}}),
                closed(),
                delta("max_tokens"),
                stop(),
            ],
            used(ErrorKind::BadRequest).says("longer"),
        ),
    ] {
        cases.push(Case::failure(name, Delivery::Streamed, stream(&events), expected));
    }
    let garbage =
        stream(&[start()]).piece("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\n\n");
    cases.push(Case::failure(
        "half an event's JSON",
        Delivery::Streamed,
        garbage,
        failure(ErrorKind::BadAnswer),
    ));
    for (name, content, reason, expected) in [
        ("a refusal", json!([]), "refusal", used(ErrorKind::Refused)),
        ("no text", json!([]), "end_turn", used(ErrorKind::BadAnswer)),
        ("empty text", json!([{"type": "text", "text": ""}]), "end_turn", used(ErrorKind::BadAnswer)),
        ("a full window", json!([]), "model_context_window_exceeded", used(ErrorKind::ContextTooLong)),
        (
            "a tool instead of text",
            json!([{"type": "tool_use", "id": "t", "name": "look", "input": {"a": [1]}}]),
            "tool_use",
            used(ErrorKind::BadAnswer).says("tool"),
        ),
    ] {
        cases.push(Case::failure(name, Delivery::Whole, whole(&message(&content, reason)), expected));
    }
    for body in [
        json!({"type": "message", "content": "text"}),
        json!({"content": []}),
        json!({"type": "message", "content": [{"type": "text", "text": 7}]}),
    ] {
        let name = format!("wrong types: {body}");
        cases.push(Case::failure(name, Delivery::Whole, whole(&body), failure(ErrorKind::BadAnswer)));
    }
    cases
}

/// Answers that are good although something about them is unusual.
fn unusual() -> Vec<Case> {
    let mut cases = Vec::new();
    let streamed = |name: &str, events: &[Value], answer: Answer| {
        Case::answer(name, Delivery::Streamed, stream(events), answer)
    };
    for (reason, expected) in [
        ("stop_sequence", StopReason::End),
        ("max_tokens", StopReason::MaxTokens),
        ("model_context_window_exceeded", StopReason::MaxTokens),
        ("pause_turn", StopReason::Other),
        ("tool_use", StopReason::Other),
        ("brand_new", StopReason::Other),
    ] {
        let answer = Answer { stop: expected, ..good() };
        cases.push(streamed(reason, &[start(), text(TEXT), delta(reason), stop()], answer.clone()));
        let body = message(&json!([{"type": "text", "text": TEXT}]), reason);
        cases.push(Case::answer(reason, Delivery::Whole, whole(&body), answer));
    }
    for model in [json!(""), json!("\u{1b}[2J"), json!("a".repeat(300_000))] {
        let mut events = vec![start(), text(TEXT), delta("end_turn"), stop()];
        events[0]["message"]["model"] = model.clone();
        let mut body = message(&json!([{"type": "text", "text": TEXT}]), "end_turn");
        body["model"] = model;
        let answer = Answer { model: WIRE.model.to_owned(), ..good() };
        cases.push(streamed("a name that no model has", &events, answer.clone()));
        cases.push(Case::answer("a name that no model has", Delivery::Whole, whole(&body), answer));
    }
    let others = [
        json!({"type": "thinking", "thinking": "Hm", "signature": "EqQB"}),
        json!({"type": "redacted_thinking", "data": "EmwK"}),
        json!({"type": "tool_use", "id": "t", "name": "look", "input": {}}),
        json!({"type": "brand_new", "text": "not this"}),
    ];
    let mut events = vec![start()];
    for other in &others {
        events.push(block(other));
        for delta in [
            json!({"type": "thinking_delta", "thinking": "Hm"}),
            json!({"type": "signature_delta", "signature": "EqQB"}),
            json!({"type": "input_json_delta", "partial_json": "{}"}),
            json!({"type": "citations_delta", "citation": {"type": "char_location"}}),
            json!({"type": "brand_new_delta", "text": "not this"}),
        ] {
            events.push(json!({"type": "content_block_delta", "index": 0, "delta": delta}));
        }
        events.push(closed());
    }
    events.push(json!({"type": "brand_new_event", "text": "not this"}));
    events.extend([block(&json!({"type": "text", "text": "Ein "})), text("Wäl — 鯨 🐳."), closed()]);
    events.extend([delta("end_turn"), stop()]);
    cases.push(streamed("other blocks and events around the text", &events, good()));
    let mut content = others.to_vec();
    content
        .extend([json!({"type": "text", "text": "Ein Wäl"}), json!({"type": "text", "text": " — 鯨 🐳."})]);
    let body = whole(&message(&json!(content), "end_turn"));
    cases.push(Case::answer("other blocks around the text", Delivery::Whole, body, good()));

    let noisy = stream(&[start(), opened()])
        .piece(": keep-alive\n\n: another\n")
        .pieces([event(&json!({"type": "ping"})), event(&text(TEXT))])
        .piece("retry: 10\nid: 7\n\n")
        .pieces([event(&delta("end_turn")), event(&stop())])
        .piece(": after the end\n\n");
    cases.push(Case::answer("comments and pings", Delivery::Streamed, noisy, good()));
    let bare = Reply::new(200, "text/event-stream")
        .header("request-id", ID)
        .pieces([start(), text(TEXT), delta("end_turn"), stop()].map(|data| format!("data:{data}\n\n")));
    cases.push(Case::answer("events without names", Delivery::Streamed, bare, good()));
    let late = stream(&[
        start(),
        text(TEXT),
        delta("end_turn"),
        stop(),
        json!({"type": "error", "error": {"type": "api_error", "message": "late"}}),
    ]);
    cases.push(Case::answer("something after the end", Delivery::Streamed, late, good()));

    let unknown = Answer { usage: None, ..good() };
    let without = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}});
    cases.push(streamed("no final figures", &[start(), text(TEXT), without, stop()], unknown.clone()));
    let odd = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": "many"}});
    cases.push(streamed("figures that are none", &[start(), text(TEXT), odd, stop()], unknown.clone()));
    let cumulative = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage":
        {"input_tokens": 30, "cache_creation_input_tokens": 0, "cache_read_input_tokens": null, "output_tokens": 16}});
    let total = TokenUsage { input: 1030, output: 16, cached_input: 1000, cache_write_input: 0, ..USAGE };
    cases.push(streamed(
        "figures that grow",
        &[start(), text(TEXT), delta("end_turn"), cumulative, stop()],
        Answer { usage: Some(total), ..good() },
    ));
    for (usage, expected) in [
        (Value::Null, None),
        (json!({"input_tokens": -1, "output_tokens": 2.5}), None),
        (json!({"input_tokens": 1, "output_tokens": u64::MAX}), None),
        (json!({"input_tokens": 4, "output_tokens": 2}), Some(tokens(4, 2))),
        (json!({"input_tokens": 4, "output_tokens": 2, "cache_read_input_tokens": null}), Some(tokens(4, 2))),
    ] {
        let mut body = message(&json!([{"type": "text", "text": TEXT}]), "end_turn");
        let name = format!("usage {usage}");
        body["usage"] = usage;
        cases.push(Case::answer(name, Delivery::Whole, whole(&body), Answer { usage: expected, ..good() }));
    }
    let mut body = message(&json!([{"type": "text", "text": TEXT}]), "end_turn");
    body.as_object_mut().unwrap().remove("usage");
    cases.push(Case::answer("usage missing", Delivery::Whole, whole(&body), unknown));
    cases
}

fn cases() -> Vec<Case> {
    [refusals(), broken_streams(), unusual()].concat()
}

/// How the key and the version are sent ("Getting started", "Versions").
#[tokio::test]
async fn the_key_and_the_version_are_headers() {
    for key in [Some(CANARY), None] {
        let server = Scripted::start(sample(Delivery::Whole).reply).await;
        let claude = Claude::new(&server.root, key.map(SecretString::from), WIRE.model).unwrap();
        llm::complete(&claude, &request(Delivery::Whole)).await.unwrap();
        let asked = server.asked().pop().unwrap();
        assert!(asked.head.starts_with("POST /v1/messages HTTP/1.1\r\n"), "{}", asked.head);
        assert_eq!(asked.header("x-api-key"), key);
        assert_eq!(asked.header("anthropic-version"), Some("2023-06-01"));
        assert_eq!(asked.header("content-type"), Some("application/json"));
        assert_eq!(asked.header("authorization"), None);
        let user = json!([{"role": "user", "content": contract::USER}]);
        assert_eq!(
            asked.json(),
            json!({"model": WIRE.model, "max_tokens": contract::MOST_TOKENS, "system": contract::SYSTEM,
                "messages": user, "stream": false})
        );
    }
}

/// Where no key is set, a refusal says which setting wants one; a key that no header carries is refused
/// at once, and not shown.
#[tokio::test]
async fn a_missing_or_impossible_key_is_told() {
    let server = Scripted::start(error(401, "authentication_error", "x-api-key header is required")).await;
    let claude = Claude::new(&server.root, None, WIRE.model).unwrap();
    let error = llm::complete(&claude, &request(Delivery::Streamed)).await.unwrap_err();
    assert!(error.detail.contains("set ANTHROPIC_API_KEY"), "{error}");
    let key = SecretString::from(format!("{CANARY}\n"));
    let error = Claude::new(&server.root, Some(key), WIRE.model).err().unwrap();
    assert!(error.kind == ErrorKind::Unauthorized && !error.detail.contains(CANARY), "{error}");
}
