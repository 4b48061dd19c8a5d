//! The shapes of Ollama's answers: which fields they have, of which type.
//!
//! Source: <https://github.com/ollama/ollama/blob/main/docs/api.md>, and the answers of an Ollama
//! 0.17.4, which add `done_reason` to every end.

use std::collections::BTreeSet;

use serde_json::Value;

/// The end of an answer, streamed or whole, without the text.
pub const END: [&str; 10] = [
    "model",
    "created_at",
    "done",
    "done_reason",
    "total_duration",
    "load_duration",
    "prompt_eval_count",
    "prompt_eval_duration",
    "eval_count",
    "eval_duration",
];
/// A line on the way, without the text.
pub const LINE: [&str; 3] = ["model", "created_at", "done"];
/// The answer to a request that asks nothing, without the text.
pub const LOADED: [&str; 4] = ["model", "created_at", "done", "done_reason"];
/// A model in a list.
pub const MODEL: [&str; 6] = ["name", "model", "modified_at", "size", "digest", "details"];
/// What it says of a model.
pub const DETAILS: [&str; 6] =
    ["parent_model", "format", "family", "families", "parameter_size", "quantization_level"];
/// What every shown model has; a real one may have more.
pub const SHOWN: [&str; 7] =
    ["modelfile", "parameters", "template", "details", "model_info", "capabilities", "modified_at"];

/// The names of an object's fields.
pub fn fields(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Asserts that an object has exactly these fields.
#[track_caller]
pub fn has(value: &Value, expected: &[&str], more: &[&str]) {
    assert_eq!(fields(value), expected.iter().chain(more).copied().collect(), "{value}");
}
