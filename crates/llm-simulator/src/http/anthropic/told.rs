//! What a client of Anthropic is told: the events or the whole of one answer.

use http::HeaderMap;
use serde_json::Map;

use super::asked::Asked;
use super::refusal::{Failed, Refusal};
use super::wire::{Block, Delta, Ended, Event, Message, ToldUsage};
use super::{JSON, limits};
use crate::allowance::Allowance;
use crate::answer::Answer;
use crate::delivery::Ending;
use crate::failure::Failure;
use crate::http::serving::{MARK, Refused, Wire, encoded};
use crate::http::{identity, sse};

/// How one answer is told.
pub(super) struct Told {
    id: String,
    model: String,
    call: Option<Call>,
    /// Whether the stream has a block.
    block: bool,
}

/// The call of a tool that is the answer.
struct Call {
    id: String,
    name: String,
}

impl Told {
    /// The answer to a request under a seed.
    pub(super) fn new(asked: &Asked, seed: u64) -> Self {
        let fingerprint = asked.question.fingerprint(seed);
        let call = asked.forced.as_ref().map(|forced| Call {
            id: format!("toolu_01{}", identity::letters(&fingerprint, "call", 22)),
            name: forced.name.clone(),
        });
        Self {
            id: format!("msg_01{}", identity::letters(&fingerprint, "message", 22)),
            model: format!("{}{MARK}", asked.question.model),
            call,
            block: false,
        }
    }

    fn message<'a>(&'a self, content: Vec<Block<'a>>, ended: Ended<'a>, usage: ToldUsage) -> Message<'a> {
        let (id, model) = (&self.id, &self.model);
        Message { id, kind: "message", role: "assistant", model, content, ended, usage }
    }
}

fn add(out: &mut Vec<u8>, event: &Event<'_>) {
    sse::event(out, Some(event.name()), event);
}

impl Wire for Told {
    const STREAM: &'static str = sse::EVENT_STREAM;
    const WHOLE: &'static str = JSON;

    fn headers(&self, allowance: Option<&Allowance>) -> HeaderMap {
        limits::headers(&identity::request_id(), allowance)
    }

    fn whole(&mut self, answer: &Answer, ending: &Ending) -> Vec<u8> {
        let content = match (&self.call, answer.text()) {
            (_, "") => Vec::new(),
            (None, text) => vec![Block::Text { text }],
            (Some(Call { id, name }), text) => {
                // An input that the limit of tokens cut short cannot be read; the API leaves it out.
                let input = serde_json::from_str(text).unwrap_or_default();
                vec![Block::ToolUse { id, name, input }]
            }
        };
        let ended = Ended::new(&ending.stop, self.call.is_some());
        encoded(&self.message(content, ended, ToldUsage::whole(ending.usage)))
    }

    fn opening(&mut self, answer: &Answer, ending: &Ending) -> Vec<u8> {
        let mut out = Vec::new();
        self.block = !answer.text().is_empty();
        let message = self.message(Vec::new(), Ended::default(), ToldUsage::beginning(ending.usage));
        add(&mut out, &Event::MessageStart { message });
        if self.block {
            let content_block = match &self.call {
                None => Block::Text { text: "" },
                Some(Call { id, name }) => Block::ToolUse { id, name, input: Map::new() },
            };
            add(&mut out, &Event::ContentBlockStart { index: 0, content_block });
        }
        add(&mut out, &Event::Ping);
        out
    }

    fn chunk(&mut self, text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let delta = match self.call {
            None => Delta::TextDelta { text },
            Some(_) => Delta::InputJsonDelta { partial_json: text },
        };
        add(&mut out, &Event::ContentBlockDelta { index: 0, delta });
        out
    }

    fn end(&mut self, _: &Answer, ending: &Ending) -> Vec<u8> {
        let mut out = Vec::new();
        if self.block {
            add(&mut out, &Event::ContentBlockStop { index: 0 });
        }
        let delta = Ended::new(&ending.stop, self.call.is_some());
        add(&mut out, &Event::MessageDelta { delta, usage: ToldUsage::end(ending.usage) });
        add(&mut out, &Event::MessageStop);
        out
    }

    /// As Anthropic does: <https://docs.anthropic.com/en/docs/build-with-claude/streaming#error-events>.
    fn failed(&mut self, failure: &Failure) -> Option<Vec<u8>> {
        let failed = Failed { failure: failure.clone(), allowance: None };
        let mut out = b"event: error\ndata: ".to_vec();
        out.extend(Refused::from(Refusal::Failed(Box::new(failed))).body.into_bytes());
        out.extend(b"\n\n");
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::Told;
    use crate::answer::{Answer, Stop, Timing, Usage};
    use crate::delivery::Ending;
    use crate::http::anthropic::asked::{Asked, Kind};
    use crate::http::anthropic::version::Version;
    use crate::http::serving::Wire;

    fn asked(more: &Value) -> Asked {
        let mut body = json!({"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Asked::read(Kind::Answer, Version::Of2026, false, body.to_string().as_bytes()).unwrap()
    }

    fn told(asked: &Asked, text: &str, stop: &Stop) -> (Value, Vec<Value>) {
        let timing = Timing { first_token: Duration::ZERO, whole: Duration::ZERO };
        let usage = Usage { input_tokens: 10, cached_input_tokens: 4, output_tokens: 3 };
        let mut answer = Answer::recorded(text.to_owned(), Vec::new(), timing, usage, stop.clone());
        if *stop == Stop::Refused {
            answer = answer.refused();
        }
        let ending = Ending { usage: answer.usage(), stop: answer.stop().clone(), timing };
        let mut told = Told::new(asked, 1);
        let whole = serde_json::from_slice(&told.whole(&answer, &ending)).unwrap();
        let mut stream = told.opening(&answer, &ending);
        if let Some((text, _)) = answer.chunk(0) {
            stream.extend(told.chunk(text));
        }
        stream.extend(told.end(&answer, &ending));
        let text = String::from_utf8(stream).unwrap();
        let data = |event: &str| serde_json::from_str(event.split_once("\ndata: ").unwrap().1).unwrap();
        (whole, text.split_terminator("\n\n").map(data).collect())
    }

    #[test]
    fn a_refusal_says_so_streamed_and_whole() {
        let (whole, events) = told(&asked(&json!({})), "Call", &Stop::Refused);
        assert_eq!((&whole["stop_reason"], &whole["content"]), (&json!("refusal"), &json!([])));
        assert_eq!(whole["stop_details"]["type"], "refusal");
        let names: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
        assert_eq!(names, ["message_start", "ping", "message_delta", "message_stop"]);
        assert_eq!(events[2]["delta"]["stop_reason"], "refusal");
        // What counts up never counts down.
        assert_eq!(events[0]["message"]["usage"]["output_tokens"], 0);
    }

    #[test]
    fn cached_tokens_lie_outside_the_questions() {
        let (whole, events) = told(&asked(&json!({})), "Call", &Stop::Finished);
        for usage in [&whole["usage"], &events[0]["message"]["usage"], &events[events.len() - 2]["usage"]] {
            assert_eq!(
                (&usage["input_tokens"], &usage["cache_read_input_tokens"]),
                (&json!(6), &json!(4)),
                "{usage}"
            );
        }
        assert_eq!(events[0]["message"]["usage"]["output_tokens"], 1);
    }

    #[test]
    fn a_call_that_was_cut_short_has_no_input() {
        let tools = json!({"tools": [{"name": "f", "input_schema": {"type": "object"}}],
            "tool_choice": {"type": "any"}});
        let (whole, events) = told(&asked(&tools), "{\"a\":", &Stop::Length);
        assert_eq!(
            (&whole["stop_reason"], &whole["content"][0]["input"]),
            (&json!("max_tokens"), &json!({}))
        );
        assert_eq!(events[3]["delta"], json!({"type": "input_json_delta", "partial_json": "{\"a\":"}));
        let (whole, _) = told(&asked(&tools), "{\"a\":1}", &Stop::Finished);
        assert_eq!(
            (&whole["stop_reason"], &whole["content"][0]["input"]),
            (&json!("tool_use"), &json!({"a": 1}))
        );
    }
}
