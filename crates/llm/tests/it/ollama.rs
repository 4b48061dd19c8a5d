//! Ollama's chat API on the wire, from its documentation: docs/api.md of ollama/ollama, "Generate a
//! chat completion" and "Conventions"; docs/errors, "Error message format" and "Errors that occur
//! while streaming".

use std::time::Duration;

use llm::{Delivery, ErrorKind, LlmProvider, Ollama, ProviderName, StopReason};
use serde_json::json;

use crate::contract::{self, contract, request};
use crate::script::{Reply, Scripted};
use crate::wire::{Answer, CANARY, Case, Failure, Wire, tokens};

/// Ollama.
pub const WIRE: Wire = Wire {
    name: ProviderName::Ollama,
    prefix: "",
    make: |base_url, model| -> Box<dyn LlmProvider> { Box::new(Ollama::new(base_url, model).unwrap()) },
    model: "llama3.2",
    sample,
    lines: true,
    cases,
};

contract!(WIRE);
contract!(WIRE => connections_are_used_again);

#[cfg(feature = "integration")]
mod real_ollama {
    use crate::contract::DELIVERIES;
    use crate::real::{provider, question, setting};

    crate::real::against_ollama!(super::WIRE);

    /// Ollama cuts such a prompt without a word unless it is asked not to.
    #[tokio::test]
    async fn a_prompt_too_long_is_told() {
        let root = setting("OLLAMA_BASE_URL", "a running Ollama that has llama3.2");
        let ollama = provider(&super::WIRE, &root, "llama3.2");
        for delivery in DELIVERIES {
            let mut request = question(delivery, 9);
            let prompt = llm::Prompt { user: "whale ".repeat(200_000), ..(*request.prompt).clone() };
            request.prompt = std::sync::Arc::new(prompt);
            let error = llm::complete(ollama.as_ref(), &request).await.unwrap_err();
            assert_eq!(error.kind, llm::ErrorKind::ContextTooLong, "{error}");
        }
    }
}

#[cfg(feature = "integration")]
mod simulator {
    crate::simulator::against_simulator!(super::WIRE, llm::ErrorKind::BadAnswer);
}

const TEXT: &str = "Ein Wäl — 鯨 🐳.";

fn good() -> Answer {
    Answer {
        text: TEXT.to_owned(),
        model: "llama3.2".to_owned(),
        usage: Some(tokens(26, 9)),
        stop: StopReason::End,
        request_id: None,
        simulated: false,
    }
}

fn line(text: &str) -> serde_json::Value {
    json!({"model": "llama3.2", "message": {"role": "assistant", "content": text}, "done": false})
}

fn last(text: &str) -> serde_json::Value {
    json!({"model": "llama3.2", "message": {"role": "assistant", "content": text}, "done": true,
        "done_reason": "stop", "prompt_eval_count": 26, "eval_count": 9})
}

fn lines(lines: &[serde_json::Value]) -> Reply {
    Reply::new(200, "application/x-ndjson").pieces(lines.iter().map(|line| format!("{line}\n")))
}

fn sample(delivery: Delivery) -> Case {
    let reply = match delivery {
        Delivery::Streamed => lines(&[line("Ein Wäl"), line(" — 鯨 "), line("🐳."), last("")]),
        Delivery::Whole => Reply::json(200, &last(TEXT)),
    };
    Case::answer("a good answer", delivery, reply, good())
}

fn error(status: u16, said: &str) -> Reply {
    Reply::json(status, &json!({ "error": said }))
}

fn refusals() -> Vec<Case> {
    let wait = Duration::from_secs(7);
    let soon = httpdate::fmt_http_date(std::time::SystemTime::now() + wait);
    [
        (
            "a model that is not there",
            error(404, "model 'llama3.2' not found"),
            Failure::of(ErrorKind::BadRequest).says("ollama pull llama3.2").says("OLLAMA_MODEL"),
        ),
        (
            "an address that is not Ollama's",
            Reply::new(404, "text/plain").piece("404 page not found"),
            Failure::of(ErrorKind::BadRequest).says("OLLAMA_BASE_URL"),
        ),
        (
            "400",
            error(400, "invalid options: num_predict"),
            Failure::of(ErrorKind::BadRequest).says("num_predict"),
        ),
        (
            "a prompt too long",
            error(400, "the input length exceeds the context length"),
            Failure::of(ErrorKind::ContextTooLong),
        ),
        (
            "a prompt too long, told as an own failure",
            error(500, "prompt is too long: input exceeds the context window"),
            Failure::of(ErrorKind::ContextTooLong),
        ),
        ("401", error(401, &format!("unauthorized {CANARY}")), Failure::of(ErrorKind::Unauthorized)),
        ("403", Reply::new(403, "text/plain"), Failure::of(ErrorKind::Unauthorized)),
        ("413", Reply::new(413, "text/plain"), Failure::of(ErrorKind::ContextTooLong)),
        ("429", error(429, "too many"), Failure::of(ErrorKind::RateLimited)),
        (
            "429 with seconds",
            error(429, "too many").header("retry-after", "7").header("x-request-id", "a-1"),
            Failure::of(ErrorKind::RateLimited).after(wait).id("a-1"),
        ),
        (
            "429 with a date",
            error(429, "too many").header("retry-after", soon),
            Failure::of(ErrorKind::RateLimited).after(wait),
        ),
        (
            "503",
            error(503, "server busy, please try again.  maximum pending requests exceeded"),
            Failure::of(ErrorKind::Overloaded).says("maximum pending requests"),
        ),
        ("529", Reply::new(529, "text/plain"), Failure::of(ErrorKind::Overloaded)),
        ("500", error(500, "llama runner process has terminated"), Failure::of(ErrorKind::Unavailable)),
        (
            "500 in words",
            Reply::new(500, "text/plain").piece("not JSON"),
            Failure::of(ErrorKind::Unavailable),
        ),
        (
            "wrong types",
            Reply::json(400, &json!({"error": {"message": 1}})),
            Failure::of(ErrorKind::BadRequest),
        ),
    ]
    .into_iter()
    .flat_map(|(name, reply, failure)| Case::both(name, &reply, &failure))
    .collect()
}

/// What ends an answer under status 200.
fn broken_answers() -> Vec<Case> {
    let mut cases = Vec::new();
    for (said, kind) in [
        (
            json!({"error": format!("an error was encountered while running the model {CANARY}")}),
            ErrorKind::Unavailable,
        ),
        (json!({"error": "x", "status": 429}), ErrorKind::RateLimited),
        (json!({"error": "server busy"}), ErrorKind::Overloaded),
        (json!({"error": "exceeds the context length"}), ErrorKind::ContextTooLong),
        (json!({"error": {"message": "x"}, "status": "odd"}), ErrorKind::Unavailable),
    ] {
        for before in [&[line("Ein")][..], &[]] {
            let reply = lines(&[before, std::slice::from_ref(&said)].concat());
            let name = format!("{said} after {} lines", before.len());
            cases.push(Case::failure(name, Delivery::Streamed, reply, Failure::of(kind)));
        }
        cases.push(Case::failure(
            said.to_string(),
            Delivery::Whole,
            Reply::json(200, &said),
            Failure::of(kind),
        ));
    }
    let bad = Failure::of(ErrorKind::BadAnswer);
    let used = bad.clone().used(tokens(26, 9));
    let said = |message: serde_json::Value, reason: &str| {
        json!({"model": "llama3.2", "message": message, "done": true, "done_reason": reason,
            "prompt_eval_count": 26, "eval_count": 9})
    };
    let call = json!({"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "look", "arguments": {}}}]});
    for (name, last, failure) in [
        ("no text", last(""), used.clone()),
        (
            "thinking alone",
            said(json!({"content": "", "thinking": "Hm"}), "length"),
            Failure::of(ErrorKind::BadRequest).used(tokens(26, 9)).says("longer"),
        ),
        ("a tool instead of text", said(call, "stop"), used.says("tool")),
        (
            "a model that was only loaded",
            json!({"model": "llama3.2", "message": {"content": ""}, "done": true, "done_reason": "load"}),
            bad.clone(),
        ),
        (
            "a model that was unloaded",
            json!({"model": "llama3.2", "done": true, "done_reason": "unload"}),
            bad.clone(),
        ),
        (
            "text that is none",
            json!({"model": "llama3.2", "message": {"content": 7}, "done": true}),
            bad.clone(),
        ),
        (
            "a message that is none",
            json!({"model": "llama3.2", "message": "text", "done": true}),
            bad.clone(),
        ),
        ("no end", line("Ein"), bad.clone()),
        ("another protocol", json!({"choices": []}), bad.clone()),
    ] {
        cases.push(Case::failure(
            name,
            Delivery::Streamed,
            lines(std::slice::from_ref(&last)),
            failure.clone(),
        ));
        cases.push(Case::failure(name, Delivery::Whole, Reply::json(200, &last), failure));
    }
    let garbage = lines(&[line("Ein")]).piece("{\"model\": \n");
    cases.push(Case::failure("half a line's JSON", Delivery::Streamed, garbage, bad));
    cases
}

/// Answers that are good although something about them is unusual.
fn unusual() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut both = |name: &str, last: &serde_json::Value, answer: Answer| {
        cases.push(Case::answer(name, Delivery::Streamed, lines(std::slice::from_ref(last)), answer.clone()));
        cases.push(Case::answer(name, Delivery::Whole, Reply::json(200, last), answer));
    };
    for (reason, stop) in [
        (json!("stop"), StopReason::End),
        (json!("length"), StopReason::MaxTokens),
        (json!("brand_new"), StopReason::Other),
        (json!(null), StopReason::Other),
    ] {
        let mut last = last(TEXT);
        last["done_reason"] = reason.clone();
        both(&format!("done_reason {reason}"), &last, Answer { stop, ..good() });
    }
    for (figures, usage) in [
        (json!([null, 9]), None),
        (json!([26, null]), None),
        (json!(["many", 9]), None),
        (json!([26, -9]), None),
        (json!([0, 9]), Some(tokens(0, 9))),
    ] {
        let mut last = last(TEXT);
        last["prompt_eval_count"] = figures[0].clone();
        last["eval_count"] = figures[1].clone();
        both(&format!("figures {figures}"), &last, Answer { usage, ..good() });
    }
    let bare = json!({"message": {"content": TEXT}, "done": true, "done_reason": "stop", "new": [1]});
    both("little said", &bare, Answer { usage: None, ..good() });
    let mut thought = last(TEXT);
    thought["message"]["thinking"] = json!("not this");
    thought["message"]["tool_calls"] = json!([{"function": {}}]);
    both("thinking and a tool beside text", &thought, good());

    let mut thinking = line("");
    thinking["message"]["thinking"] = json!("not this");
    let reply = lines(&[thinking, line("Ein Wäl")]).piece("\n\n  \r\n").piece(format!(
        "{}\n{}",
        line(" — 鯨 🐳."),
        last("")
    ));
    cases.push(Case::answer(
        "thinking, empty lines, an unfinished last one",
        Delivery::Streamed,
        reply,
        good(),
    ));
    let late = lines(&[last(TEXT), json!({"error": "late"})]);
    cases.push(Case::answer("something after the end", Delivery::Streamed, late, good()));
    cases
}

fn cases() -> Vec<Case> {
    [refusals(), broken_answers(), unusual()].concat()
}

/// A prompt too long is to be an error and not cut without a word (api/types.go, `ChatRequest`).
#[tokio::test]
async fn a_prompt_is_not_to_be_cut() {
    let server = Scripted::start(sample(Delivery::Streamed).reply).await;
    let ollama = Ollama::new(&format!("{}/", server.root), WIRE.model).unwrap();
    llm::complete(&ollama, &request(Delivery::Streamed)).await.unwrap();
    let asked = server.asked().pop().unwrap();
    assert!(asked.head.starts_with("POST /api/chat HTTP/1.1\r\n"), "{}", asked.head);
    let messages =
        json!([{"role": "system", "content": contract::SYSTEM}, {"role": "user", "content": contract::USER}]);
    assert_eq!(
        asked.json(),
        json!({"model": "llama3.2", "messages": messages, "stream": true, "truncate": false, "shift": false,
            "options": {"num_predict": contract::MOST_TOKENS}})
    );
}
