//! What a client of Ollama is told: the lines and the end of one answer.

use http::HeaderMap;
use serde::Serialize;
use serde_json::json;

use super::asked::Kind;
use super::wire::{End, Message, Part, Said};
use super::{JSON, NDJSON};
use crate::allowance::Allowance;
use crate::answer::{Answer, Stop};
use crate::delivery::Ending;
use crate::failure::Failure;
use crate::http::serving::{MARK, Wire, encoded};
use crate::question::Question;
use crate::tokens;

/// Longest conversation that is given back as tokens: a usual context window.
const CONTEXT_WINDOW: usize = 4_096;
/// Size of the vocabulary that the tokens given back pretend to be of: that of Llama 3.
const VOCABULARY: u32 = 128_000;

/// When answers pretend to be made: the same question has the same answer, byte for byte.
const CREATED_AT: &str = "2026-01-01T00:00:00Z";

/// How one answer is told.
pub(super) struct Told {
    kind: Kind,
    model: String,
    /// The question as tokens, where the answer gives the conversation back.
    context: Option<Vec<u32>>,
}

impl Told {
    /// An answer to a request for this model, as the client wrote it.
    pub(super) fn new(kind: Kind, requested: &str) -> Self {
        Self { kind, model: format!("{requested}{MARK}"), context: None }
    }

    /// Gives the conversation back at the end.
    pub(super) fn keep_context(&mut self, question: &Question) {
        self.context = Some(question.turns.iter().flat_map(|turn| token_ids(&turn.text)).collect());
    }

    /// One line on the way.
    fn part<'a>(&'a self, text: &'a str) -> Part<'a> {
        let said = match self.kind {
            Kind::Chat => Said::Message(Message { role: "assistant", content: text }),
            Kind::Generate => Said::Response(text),
        };
        Part { model: &self.model, created_at: CREATED_AT, said, done: false, end: None }
    }

    /// The end, with the text that was not told in lines before.
    fn last<'a>(&'a self, text: &'a str, answer: &Answer, ending: &Ending) -> Part<'a> {
        let context = self.context.as_ref().map(|question| {
            let mut all = question.clone();
            all.extend(token_ids(answer.text()));
            all.split_off(all.len().saturating_sub(CONTEXT_WINDOW))
        });
        let done_reason = match ending.stop {
            // A model of Ollama's that will not answer says so in words, or nothing.
            Stop::Finished | Stop::Sequence(_) | Stop::Refused => "stop",
            Stop::Length => "length",
        };
        let nanoseconds = |duration: std::time::Duration| {
            // Ollama leaves zeros out; clients take a missing duration for a missing answer.
            Some(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).max(1))
        };
        let (timing, load) = (ending.timing, ending.load());
        let end = End {
            done_reason,
            context,
            total_duration: nanoseconds(timing.whole),
            load_duration: nanoseconds(load),
            prompt_eval_count: Some(ending.usage.input_tokens),
            prompt_eval_duration: nanoseconds(timing.first_token.saturating_sub(load)),
            eval_count: Some(ending.usage.output_tokens),
            eval_duration: nanoseconds(timing.whole.saturating_sub(timing.first_token)),
        };
        Part { done: true, end: Some(end), ..self.part(text) }
    }

    /// The answer to a request that asks nothing.
    pub(super) fn loaded(&self, done_reason: &'static str) -> Part<'_> {
        Part { done: true, end: Some(End { done_reason, ..End::default() }), ..self.part("") }
    }
}

impl Wire for Told {
    const STREAM: &'static str = NDJSON;
    const WHOLE: &'static str = JSON;

    fn headers(&self, _: Option<&Allowance>) -> HeaderMap {
        HeaderMap::new()
    }

    fn whole(&mut self, answer: &Answer, ending: &Ending) -> Vec<u8> {
        encoded(&self.last(answer.text(), answer, ending))
    }

    fn opening(&mut self, _: &Answer, _: &Ending) -> Vec<u8> {
        Vec::new()
    }

    fn chunk(&mut self, text: &str) -> Vec<u8> {
        line(&self.part(text))
    }

    fn end(&mut self, answer: &Answer, ending: &Ending) -> Vec<u8> {
        line(&self.last("", answer, ending))
    }

    /// As a real one does, under the status 200 that was said before.
    fn failed(&mut self, failure: &Failure) -> Option<Vec<u8>> {
        Some(line(&json!({"error": failure.to_string()})))
    }
}

fn line(part: &impl Serialize) -> Vec<u8> {
    let mut line = encoded(part);
    line.push(b'\n');
    line
}

/// Stand-ins for a tokenizer's numbers: the same token has the same number.
fn token_ids(text: &str) -> impl Iterator<Item = u32> {
    tokens::split(text).map(|piece| {
        // FNV-1a, 32 bits.
        piece.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
            % VOCABULARY
    })
}
