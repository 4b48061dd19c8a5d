//! What a frame of an answer of Chat Completions says: a chunk of a stream (API reference, "The chat
//! completion chunk object") or the whole answer ("The chat completion object").
//!
//! Text of the first choice is kept; reasoning, calls of tools and whatever is new are passed over. A
//! stream is complete with its `[DONE]`, and not without a reason why it stopped.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::refusal::Error;
use super::{Place, WHO};
use crate::answer::{self, count, malformed};
use crate::{Chunk, Cost, Ending, ErrorKind, LlmError, StopReason, TokenUsage};

/// What a stream ends with.
const DONE: &str = "[DONE]";

/// A chunk or a whole answer: they differ in where a choice has its text.
#[derive(Deserialize)]
struct Frame {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<Value>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: Option<u64>,
    delta: Option<Piece>,
    message: Option<Piece>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Piece {
    #[serde(default)]
    content: Option<Value>,
    #[serde(default)]
    refusal: Option<String>,
}

/// Figures (API reference, "The chat completion object", `usage`).
#[derive(Default, Deserialize)]
struct Usage {
    #[serde(default, deserialize_with = "count")]
    prompt_tokens: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    completion_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    #[serde(default, deserialize_with = "count")]
    cached_tokens: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    cache_write_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    #[serde(default, deserialize_with = "count")]
    reasoning_tokens: Option<u64>,
}

impl Usage {
    /// Totals are inclusive on the wire already; details are parts of them.
    fn total(&self) -> Option<TokenUsage> {
        let (input, output) = (self.prompt_tokens?, self.completion_tokens?);
        let prompt = self.prompt_tokens_details.as_ref();
        let completion = self.completion_tokens_details.as_ref();
        let cached_input = prompt.and_then(|details| details.cached_tokens).unwrap_or(0).min(input);
        let written = prompt.and_then(|details| details.cache_write_tokens).unwrap_or(0);
        let reasoned = completion.and_then(|details| details.reasoning_tokens).unwrap_or(0);
        Some(TokenUsage {
            input,
            output,
            cached_input,
            cache_write_input: written.min(input - cached_input),
            reasoning_output: reasoned.min(output),
            reported: true,
        })
    }
}

/// Reads the frames of one answer.
pub(super) struct Reader {
    place: Arc<Place>,
    model: Option<String>,
    usage: Option<TokenUsage>,
    finish_reason: Option<String>,
    has_text: bool,
    is_refused: bool,
}

impl Reader {
    /// Nothing was read so far.
    pub(super) const fn new(place: Arc<Place>) -> Self {
        Self { place, model: None, usage: None, finish_reason: None, has_text: false, is_refused: false }
    }

    fn choice(&mut self, choice: Choice, chunks: &mut VecDeque<Chunk>) {
        if let Some(piece) = choice.delta.or(choice.message) {
            for text in piece.content.into_iter().flat_map(texts) {
                self.has_text |= !text.is_empty();
                chunks.push_back(Chunk::Text(text));
            }
            self.is_refused |= piece.refusal.is_some_and(|said| !said.is_empty());
        }
        self.finish_reason = choice.finish_reason.or_else(|| self.finish_reason.take());
    }

    fn end(&mut self, chunks: &mut VecDeque<Chunk>) -> Result<(), LlmError> {
        if self.is_refused || self.finish_reason.as_deref() == Some("content_filter") {
            return Err(LlmError::new(ErrorKind::Refused, format!("{WHO} refuses this content")));
        }
        // API reference, "The chat completion object", `finish_reason`.
        let stop = match self.finish_reason.as_deref() {
            Some("stop") => StopReason::End,
            Some("length") => StopReason::MaxTokens,
            Some("tool_calls" | "function_call") if !self.has_text => {
                let detail = format!("{WHO} asked for a tool where text was wanted");
                return Err(LlmError::new(ErrorKind::BadAnswer, detail));
            }
            Some(_) => StopReason::Other,
            None => {
                let detail = format!("{WHO} ended its answer before it was complete; ask again");
                return Err(LlmError::new(ErrorKind::BadAnswer, detail));
            }
        };
        let model = self.model.take().unwrap_or_default();
        chunks.push_back(Chunk::End(Ending { model, usage: self.usage, stop, cost: Cost::UNKNOWN }));
        Ok(())
    }
}

impl answer::Reader for Reader {
    fn read(&mut self, frame: &str, chunks: &mut VecDeque<Chunk>) -> Result<(), LlmError> {
        if frame.trim() == DONE {
            return self.end(chunks);
        }
        let frame: Frame = serde_json::from_str(frame).map_err(|error| malformed(WHO, &error))?;
        if let Some(error) = frame.error.filter(|error| !error.is_null()) {
            let error = match error {
                Value::String(said) => Error::said(said),
                error => serde_json::from_value(error).unwrap_or_default(),
            };
            return Err(self.place.failed(&error, None));
        }
        self.model = frame.model.filter(|model| !model.is_empty()).or_else(|| self.model.take());
        // Those that come with every chunk are totals so far; the last ones count.
        let usage = frame.usage.and_then(|usage| serde_json::from_value::<Usage>(usage).ok());
        self.usage = usage.as_ref().and_then(Usage::total).or(self.usage);
        let mut is_whole = false;
        for choice in frame.choices.unwrap_or_default() {
            if choice.index.unwrap_or(0) == 0 {
                is_whole |= choice.message.is_some();
                self.choice(choice, chunks);
            }
        }
        if is_whole { self.end(chunks) } else { Ok(()) }
    }

    fn usage(&self) -> Option<TokenUsage> {
        self.usage
    }
}

/// Text is a text, or, with a few servers, a list of parts, of which some are text.
fn texts(content: Value) -> Vec<String> {
    match content {
        Value::String(text) => vec![text],
        Value::Array(parts) => parts
            .into_iter()
            .filter(|part| part.get("type").and_then(Value::as_str) == Some("text"))
            .filter_map(|mut part| match part.get_mut("text").map(Value::take) {
                Some(Value::String(text)) => Some(text),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}
