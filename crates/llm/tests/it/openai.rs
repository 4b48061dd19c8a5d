//! `OpenAI`'s Chat Completions on the wire, from its API reference: "Create chat completion", "The chat
//! completion object", "The chat completion chunk object"; guides/streaming-responses;
//! guides/error-codes, "API errors"; guides/rate-limits, "Rate limits in headers"; and, where a server
//! is named, from the documentation of that server.

use std::time::{Duration, SystemTime};

use llm::{Delivery, ErrorKind, LlmProvider, OpenAi, ProviderName, StopReason, TokenUsage};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::contract::{DELIVERIES, contract};
use crate::script::{Finish, Reply};
use crate::wire::{Answer, CANARY, Case, Failure, Wire, tokens};

/// `OpenAI`.
pub const WIRE: Wire = Wire {
    name: ProviderName::OpenAi,
    prefix: "/v1",
    make: |base_url, model| -> Box<dyn LlmProvider> {
        Box::new(OpenAi::new(base_url, Some(SecretString::from(CANARY)), model).unwrap())
    },
    model: "gpt-4o",
    sample,
    lines: true,
    cases,
};

contract!(WIRE);

#[cfg(feature = "integration")]
mod real_ollama {
    crate::real::against_ollama!(super::WIRE);
}

#[cfg(feature = "integration")]
mod simulator {
    crate::simulator::against_simulator!(super::WIRE, llm::ErrorKind::Refused);
}

const TEXT: &str = "Ein Wäl — 鯨 🐳.";
const ID: &str = "req_0d1e2f3a4b5c";

fn good() -> Answer {
    Answer {
        text: TEXT.to_owned(),
        model: "gpt-4o-2024-08-06".to_owned(),
        usage: Some(tokens(26, 9)),
        stop: StopReason::End,
        request_id: Some(ID),
        simulated: false,
    }
}

fn usage() -> Value {
    json!({"prompt_tokens": 26, "completion_tokens": 9, "total_tokens": 35})
}

fn chunk(choices: &Value) -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-4o-2024-08-06", "choices": choices})
}

fn delta(delta: &Value) -> Value {
    chunk(&json!([{"index": 0, "delta": delta, "finish_reason": null}]))
}

fn finish(reason: &str) -> Value {
    chunk(&json!([{"index": 0, "delta": {}, "finish_reason": reason}]))
}

fn figures(usage: &Value) -> Value {
    let mut last = chunk(&json!([]));
    last["usage"] = usage.clone();
    last
}

/// A stream of these chunks, without `[DONE]`.
fn cut(chunks: &[Value]) -> Reply {
    Reply::new(200, "text/event-stream; charset=utf-8")
        .header("x-request-id", ID)
        .pieces(chunks.iter().map(|chunk| format!("data: {chunk}\n\n")))
}

fn stream(chunks: &[Value]) -> Reply {
    cut(chunks).piece("data: [DONE]\n\n")
}

fn completion(message: &Value, reason: &str, usage: &Value) -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1_694_268_190,
        "model": "gpt-4o-2024-08-06", "service_tier": "default", "system_fingerprint": "fp_44709d6fcb",
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": reason}],
        "usage": usage})
}

fn whole(message: &Value, reason: &str, usage: &Value) -> Reply {
    Reply::json(200, &completion(message, reason, usage)).header("x-request-id", ID)
}

fn sample(delivery: Delivery) -> Case {
    let reply = match delivery {
        Delivery::Streamed => stream(&[
            delta(&json!({"content": "Ein Wäl"})),
            delta(&json!({"content": " — 鯨 "})),
            delta(&json!({"content": "🐳."})),
            finish("stop"),
            figures(&usage()),
        ]),
        Delivery::Whole => whole(&json!({"role": "assistant", "content": TEXT}), "stop", &usage()),
    };
    Case::answer("a good answer", delivery, reply, good())
}

fn cases() -> Vec<Case> {
    [answers(), peculiar_answers(), statuses(), refusals_under_200(), broken_streams()].concat()
}

/// An answer, streamed and whole.
fn both(
    name: &str,
    chunks: &[Value],
    message: &Value,
    reason: &str,
    usage: &Value,
    wanted: &Answer,
) -> [Case; 2] {
    let chunks = [chunks, &[finish(reason), figures(usage)]].concat();
    DELIVERIES.map(|delivery| {
        let reply = match delivery {
            Delivery::Streamed => stream(&chunks),
            Delivery::Whole => whole(message, reason, usage),
        };
        Case::answer(name, delivery, reply, wanted.clone())
    })
}

fn answers() -> Vec<Case> {
    let text = [delta(&json!({"content": TEXT}))];
    let message = json!({"role": "assistant", "content": TEXT});
    let mut cases = Vec::new();
    for (reason, stop) in [
        ("length", StopReason::MaxTokens),
        ("tool_calls", StopReason::Other),
        ("function_call", StopReason::Other),
        ("a_new_reason", StopReason::Other),
    ] {
        let wanted = Answer { stop, ..good() };
        cases.extend(both(reason, &text, &message, reason, &usage(), &wanted));
    }
    // guides/prompt-caching, "Requirements"; guides/reasoning, "Controlling costs".
    let details = json!({"prompt_tokens": 2006, "completion_tokens": 300, "total_tokens": 2306,
        "prompt_tokens_details": {"cached_tokens": 1920, "cache_write_tokens": 50, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 256, "accepted_prediction_tokens": 0}});
    let used =
        TokenUsage { cached_input: 1920, cache_write_input: 50, reasoning_output: 256, ..tokens(2006, 300) };
    let impossible = json!({"prompt_tokens": 26, "completion_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 99}, "completion_tokens_details": {"reasoning_tokens": 99}});
    let most = TokenUsage { cached_input: 26, reasoning_output: 9, ..tokens(26, 9) };
    for (name, figures, wanted) in [
        ("details are parts of totals", details, Some(used)),
        ("a part is not more than all", impossible, Some(most)),
        ("no usage", Value::Null, None),
        ("half a usage", json!({"prompt_tokens": 26}), None),
        ("a usage that cannot be", json!({"prompt_tokens": -1, "completion_tokens": 9}), None),
        ("a usage that is none", json!("26"), None),
        ("a usage beyond bounds", json!({"prompt_tokens": 26, "completion_tokens": u64::MAX}), None),
    ] {
        let wanted = Answer { usage: wanted, ..good() };
        cases.extend(both(name, &text, &message, "stop", &figures, &wanted));
    }
    // vLLM, "Reasoning outputs"; DeepSeek, "Reasoning model"; API reference, "tool_calls".
    let call = json!({"index": 0, "id": "call_1", "type": "function",
        "function": {"name": "f", "arguments": "{}"}});
    let thought = json!({"role": "assistant", "reasoning_content": "The user wants…", "reasoning": "…",
        "content": TEXT, "tool_calls": [call]});
    let chunks = [
        delta(&json!({"role": "assistant", "reasoning_content": "The user", "content": null})),
        delta(&json!({"reasoning": " wants…"})),
        delta(&json!({ "tool_calls": [call] })),
        delta(&json!({"content": TEXT})),
    ];
    cases.extend(both("thoughts and tools are passed over", &chunks, &thought, "stop", &usage(), &good()));
    cases
}

fn peculiar_answers() -> Vec<Case> {
    let text = || delta(&json!({"content": TEXT}));
    let message = json!({"role": "assistant", "content": TEXT});
    let mut cases = Vec::new();
    // Servers that do not know stream_options.
    let reply = stream(&[text(), finish("stop")]);
    cases.push(Case::answer("no figures", Delivery::Streamed, reply, Answer { usage: None, ..good() }));
    // vLLM, "continuous_usage_stats": totals so far with every chunk.
    let so_far = |mut chunk: Value, output: u64| {
        chunk["usage"] = json!({"prompt_tokens": 26, "completion_tokens": output});
        chunk
    };
    let reply = stream(&[so_far(text(), 4), so_far(finish("stop"), 9)]);
    cases.push(Case::answer("figures so far", Delivery::Streamed, reply, good()));
    // OpenRouter, "Streaming": comments keep the connection alive.
    let mut reply = sample(Delivery::Streamed).reply;
    for at in (0..reply.pieces.len()).rev() {
        reply.pieces.insert(at, b": OPENROUTER PROCESSING\n\n".to_vec());
    }
    cases.push(Case::answer("keep-alive comments", Delivery::Streamed, reply, good()));
    // API reference: fields of a chunk that the sample leaves out, and null where nothing is said.
    let full = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_694_268_190,
        "model": "gpt-4o-2024-08-06", "service_tier": "a_new_tier", "system_fingerprint": null,
        "choices": [{"index": 0, "logprobs": null, "finish_reason": null,
            "delta": {"role": "a_new_role", "content": TEXT, "refusal": null}}],
        "usage": null, "obfuscation": "x7", "error": null});
    let reply = stream(&[full, finish("stop"), figures(&usage())]);
    cases.push(Case::answer("all fields", Delivery::Streamed, reply, good()));
    let another = chunk(&json!([{"index": 1, "delta": {"content": "another"}, "finish_reason": "length"}]));
    let reply = stream(&[another, text(), finish("stop"), figures(&usage())]);
    cases.push(Case::answer("another choice", Delivery::Streamed, reply, good()));
    // Mistral, "Reasoning": content in parts.
    let parts = json!([{"type": "thinking", "thinking": [{"type": "text", "text": "…"}]},
        {"type": "text", "text": TEXT}]);
    let reply = whole(&json!({"role": "assistant", "content": parts}), "stop", &usage());
    cases.push(Case::answer("content in parts", Delivery::Whole, reply, good()));
    let reply = whole(&message, "stop", &usage());
    cases.push(Case::answer("a server that does not stream", Delivery::Streamed, reply, good()));
    let mut nameless = completion(&message, "stop", &usage());
    nameless["model"] = json!("");
    let wanted = Answer { model: "gpt-4o".to_owned(), request_id: None, ..good() };
    cases.push(Case::answer("no model's name", Delivery::Whole, Reply::json(200, &nameless), wanted));
    cases
}

/// An error as guides/error-codes shows it.
fn error(status: u16, kind: &str, code: Option<&str>, message: &str) -> Reply {
    let body = json!({"error": {"message": message, "type": kind, "param": null, "code": code}});
    Reply::json(status, &body).header("x-request-id", ID)
}

fn statuses() -> Vec<Case> {
    let of = |kind| Failure::of(kind).id(ID);
    let bare = Failure::of(ErrorKind::BadRequest);
    let wait = Duration::from_secs(7);
    let invalid = "invalid_request_error";
    let limited = || error(429, "tokens", Some("rate_limit_exceeded"), "Rate limit reached for gpt-4o.");
    let spent = "You exceeded your current quota, please check your plan and billing details.";
    let date = httpdate::fmt_http_date(SystemTime::now() + wait);
    [
        (
            "401",
            error(401, invalid, Some("invalid_api_key"), "Incorrect API key provided: sk-ca**e8."),
            of(ErrorKind::Unauthorized).says("OPENAI_API_KEY"),
        ),
        (
            "403",
            error(403, "request_forbidden", Some("unsupported_country_region_territory"), "Not here."),
            of(ErrorKind::Unauthorized),
        ),
        (
            "404 of a model",
            error(404, invalid, Some("model_not_found"), "The model `gpt-4o` does not exist."),
            of(ErrorKind::BadRequest).says("OPENAI_MODEL").says("gpt-4o"),
        ),
        (
            "404 of an address",
            Reply::new(404, "text/plain").piece("404 page not found"),
            bare.clone().says("OPENAI_BASE_URL").says("/v1"),
        ),
        (
            "a prompt too long",
            error(400, invalid, Some("context_length_exceeded"), "The maximum context length is 128000."),
            of(ErrorKind::ContextTooLong),
        ),
        (
            "400",
            error(400, invalid, Some("unsupported_parameter"), "Unsupported parameter: 'max_tokens'."),
            of(ErrorKind::BadRequest).says("max_tokens"),
        ),
        (
            "content policy",
            error(400, invalid, Some("content_policy_violation"), "Your request was rejected."),
            of(ErrorKind::Refused),
        ),
        ("429", limited(), of(ErrorKind::RateLimited)),
        ("429 with a wait", limited().header("retry-after", "7"), of(ErrorKind::RateLimited).after(wait)),
        (
            "429 with a finer wait",
            limited().header("retry-after", "8").header("retry-after-ms", "7000"),
            of(ErrorKind::RateLimited).after(wait),
        ),
        ("429 with a date", limited().header("retry-after", date), of(ErrorKind::RateLimited).after(wait)),
        (
            "429 without credit",
            error(429, "insufficient_quota", Some("insufficient_quota"), spent),
            of(ErrorKind::Unauthorized).says("credit"),
        ),
        ("500", error(500, "server_error", None, "The server had an error."), of(ErrorKind::Unavailable)),
        (
            "503",
            error(503, "server_error", None, "The engine is overloaded.").header("retry-after", "7"),
            of(ErrorKind::Overloaded).after(wait),
        ),
        (
            "an error that is a text",
            Reply::json(400, &json!({"error": "no model is loaded"})),
            bare.clone().says("no model is loaded"),
        ),
        (
            "vLLM's code that is a number",
            Reply::json(404, &json!({"error": {"message": "no `x`", "type": "NotFoundError", "code": 404}})),
            bare.says("no `x`"),
        ),
    ]
    .into_iter()
    .flat_map(|(name, reply, failure)| Case::both(name, &reply, &failure))
    .collect()
}

fn refusals_under_200() -> Vec<Case> {
    let mut cases = Vec::new();
    // OpenRouter, "Errors".
    let reply = Reply::json(200, &json!({"error": {"code": 429, "message": "slow down"}}));
    let limited = Failure::of(ErrorKind::RateLimited).says("slow down");
    cases.extend(Case::both("an error under status 200", &reply, &limited));

    let refused = Failure::of(ErrorKind::Refused).id(ID).used(tokens(26, 9));
    let bad = |word| Failure::of(ErrorKind::BadAnswer).id(ID).used(tokens(26, 9)).says(word);
    for (name, chunks, message, reason, failure) in [
        (
            "content_filter",
            vec![delta(&json!({"content": "Half of "}))],
            json!({"content": "Half of "}),
            "content_filter",
            refused.clone(),
        ),
        (
            // guides/structured-outputs, "Refusals".
            "a refusal",
            vec![delta(&json!({"refusal": "I'm sorry, "})), delta(&json!({"refusal": "no."}))],
            json!({"content": null, "refusal": "I'm sorry, no."}),
            "stop",
            refused,
        ),
        ("no text", vec![], json!({"content": null}), "stop", bad("without text")),
        (
            "all tokens thought",
            vec![delta(&json!({"reasoning_content": "Hm"}))],
            json!({"content": "", "reasoning_content": "Hm"}),
            "length",
            Failure::of(ErrorKind::BadRequest).id(ID).used(tokens(26, 9)).says("longer"),
        ),
        (
            "a tool and no text",
            vec![delta(&json!({"tool_calls": [{"index": 0}]}))],
            json!({"content": null, "tool_calls": [{}]}),
            "tool_calls",
            bad("tool"),
        ),
    ] {
        let chunks = [chunks, vec![finish(reason), figures(&usage())]].concat();
        cases.push(Case::failure(name, Delivery::Streamed, stream(&chunks), failure.clone()));
        cases.push(Case::failure(name, Delivery::Whole, whole(&message, reason, &usage()), failure));
    }
    cases
}

fn broken_streams() -> Vec<Case> {
    let text = || delta(&json!({"content": "Half of "}));
    let of = |kind| Failure::of(kind).id(ID);
    let bad = || of(ErrorKind::BadAnswer);
    let said = |error: Value| cut(&[text(), json!({ "error": error })]);
    let failed = json!({"message": "The server failed.", "type": "server_error", "code": null});
    let limited = json!({"message": "slow down", "type": "tokens", "code": "rate_limit_exceeded"});
    let gone = json!({"code": 502, "message": "Provider disconnected"});
    let echo = json!({"message": format!("bad key {CANARY}"), "code": "invalid_api_key"});
    [
        ("500", said(failed), of(ErrorKind::Unavailable).says("The server failed.")),
        ("429", said(limited), of(ErrorKind::RateLimited)),
        ("OpenRouter's error", said(gone), of(ErrorKind::Unavailable)),
        ("an error with the key in it", said(echo), of(ErrorKind::Unauthorized)),
        ("an error that is a text", said(json!("oom")), of(ErrorKind::Unavailable).says("oom")),
        ("[DONE] without a reason", stream(&[text()]), bad()),
        ("a reason without [DONE]", cut(&[text(), finish("stop")]), bad()),
        (
            "figures without [DONE]",
            cut(&[text(), finish("stop"), figures(&usage())]).finish(Finish::Cut),
            bad().used(tokens(26, 9)),
        ),
        ("nothing but [DONE]", stream(&[]), bad()),
        ("nothing", cut(&[]), bad()),
        ("another JSON", cut(&[text(), json!({"choices": "none"})]), bad()),
        ("half a JSON", cut(&[text()]).piece("data: {\"choices\": [\n\n"), bad()),
        ("no UTF-8", cut(&[text()]).piece(b"data: {\"choices\": [\xff]}\n\n".to_vec()), bad()),
    ]
    .into_iter()
    .map(|(name, reply, failure)| {
        let name = format!("{name} in the middle");
        Case::failure(name, Delivery::Streamed, reply, failure)
    })
    .collect()
}
