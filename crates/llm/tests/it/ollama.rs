//! Ollama's chat API on the wire, from its documentation: docs/api.md of ollama/ollama, "Generate a
//! chat completion" and "Conventions"; docs/errors, "Error message format" and "Errors that occur
//! while streaming".

use std::time::Duration;

use llm::{Delivery, ErrorKind, LlmProvider, Ollama, ProviderName, StopReason};
use serde_json::json;

use crate::contract::contract;
use crate::script::Reply;
use crate::wire::{Answer, Case, Failure, Wire, tokens};

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

fn cases() -> Vec<Case> {
    let error = |status, text: &str| Reply::json(status, &json!({ "error": text }));
    let wait = Duration::from_secs(7);
    let mut cases = Vec::new();
    cases.extend(Case::both(
        "429 with a wait",
        &error(429, "too many").header("retry-after", "7"),
        &Failure::of(ErrorKind::RateLimited).after(wait),
    ));
    cases
}
