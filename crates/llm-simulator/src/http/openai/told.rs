//! What a client of OpenAI is told: the events or the whole of one answer.

use http::HeaderMap;
use sha2::{Digest, Sha256};

use super::asked::Asked;
use super::refusal::{Failed, Refusal};
use super::tools::Forced;
use super::wire::{
    CREATED, Choice, Completion, Delta, Function, Message, Part, PartChoice, ToldUsage, ToolCall,
};
use super::{JSON, limits};
use crate::allowance::Allowance;
use crate::answer::{Answer, Stop};
use crate::delivery::Ending;
use crate::failure::Failure;
use crate::http::serving::{MARK, Refused, Wire, encoded};
use crate::http::{identity, sse};

/// What a model says that will not answer.
const REFUSAL: &str = "I'm sorry, I can't help with that.";
/// How every request is served.
const TIER: &str = "default";
const ASSISTANT: &str = "assistant";

/// How one answer is told.
pub(super) struct Told {
    id: String,
    model: String,
    /// The model as it was asked for.
    asked: String,
    system_fingerprint: String,
    include_usage: bool,
    call: Option<ForcedCall>,
}

/// The call of a function that is the answer.
struct ForcedCall {
    id: String,
    forced: Forced,
}

impl Told {
    /// The answer to a request under a seed.
    pub(super) fn new(asked: &Asked, seed: u64) -> Self {
        let fingerprint = asked.question.fingerprint(seed);
        let build: String =
            Sha256::digest(seed.to_le_bytes()).iter().take(5).map(|byte| format!("{byte:02x}")).collect();
        let call = asked.forced.clone().map(|forced| ForcedCall {
            id: format!("call_{}", identity::letters(&fingerprint, "call", 24)),
            forced,
        });
        Self {
            id: format!("chatcmpl-{}", identity::letters(&fingerprint, "completion", 29)),
            model: format!("{}{MARK}", asked.question.model),
            asked: asked.question.model.clone(),
            system_fingerprint: format!("fp_{build}"),
            include_usage: asked.include_usage && asked.stream,
            call,
        }
    }

    fn finish_reason(&self, stop: &Stop) -> &'static str {
        match (stop, &self.call) {
            // OpenAI ends the call of a function that the client named like a text.
            (Stop::Finished | Stop::Sequence(_), Some(call)) if !call.forced.by_name => "tool_calls",
            (Stop::Finished | Stop::Sequence(_), _) => "stop",
            (Stop::Length, _) => "length",
            (Stop::Refused, _) => "content_filter",
        }
    }

    fn part<'a>(&'a self, choices: Vec<PartChoice<'a>>, usage: Option<ToldUsage>) -> Part<'a> {
        Part {
            id: &self.id,
            object: "chat.completion.chunk",
            created: CREATED,
            model: &self.model,
            service_tier: TIER,
            system_fingerprint: &self.system_fingerprint,
            choices,
            usage: self.include_usage.then_some(usage),
        }
    }

    /// Adds an event of the only choice.
    fn event(&self, out: &mut Vec<u8>, delta: Delta<'_>, finish_reason: Option<&'static str>) {
        let choice = PartChoice { index: 0, delta, logprobs: None, finish_reason };
        sse::event(out, None, &self.part(vec![choice], None));
    }
}

impl Wire for Told {
    const STREAM: &'static str = sse::EVENT_STREAM;
    const WHOLE: &'static str = JSON;

    fn headers(&self, allowance: Option<&Allowance>) -> HeaderMap {
        limits::headers(allowance)
    }

    fn whole(&mut self, answer: &Answer, ending: &Ending) -> Vec<u8> {
        let refused = ending.stop == Stop::Refused;
        let tool_calls = self.call.as_ref().filter(|_| !refused).map(|call| {
            let function = Function { name: Some(&call.forced.name), arguments: answer.text() };
            [ToolCall { index: None, id: Some(&call.id), kind: Some("function"), function }]
        });
        let message = Message {
            role: ASSISTANT,
            content: (!refused && tool_calls.is_none()).then_some(answer.text()),
            tool_calls,
            refusal: refused.then_some(REFUSAL),
            annotations: [],
        };
        encoded(&Completion {
            id: &self.id,
            object: "chat.completion",
            created: CREATED,
            model: &self.model,
            choices: [Choice {
                index: 0,
                message,
                logprobs: None,
                finish_reason: self.finish_reason(&ending.stop),
            }],
            usage: ending.usage.into(),
            service_tier: TIER,
            system_fingerprint: &self.system_fingerprint,
        })
    }

    fn opening(&mut self, _: &Answer, ending: &Ending) -> Vec<u8> {
        let mut out = Vec::new();
        let refused = ending.stop == Stop::Refused;
        let call = self.call.as_ref().filter(|_| !refused);
        let tool_calls = call.map(|call| {
            let function = Function { name: Some(&call.forced.name), arguments: "" };
            [ToolCall { index: Some(0), id: Some(&call.id), kind: Some("function"), function }]
        });
        let content = if refused || tool_calls.is_some() { None } else { Some("") };
        let delta = Delta { role: Some(ASSISTANT), content: Some(content), tool_calls, refusal: Some(None) };
        self.event(&mut out, delta, None);
        if refused {
            self.event(&mut out, Delta { refusal: Some(Some(REFUSAL)), ..Delta::default() }, None);
        }
        out
    }

    fn chunk(&mut self, text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let delta = if self.call.is_some() {
            let function = Function { name: None, arguments: text };
            let piece = ToolCall { index: Some(0), id: None, kind: None, function };
            Delta { tool_calls: Some([piece]), ..Delta::default() }
        } else {
            Delta { content: Some(Some(text)), ..Delta::default() }
        };
        self.event(&mut out, delta, None);
        out
    }

    fn end(&mut self, _: &Answer, ending: &Ending) -> Vec<u8> {
        let mut out = Vec::new();
        self.event(&mut out, Delta::default(), Some(self.finish_reason(&ending.stop)));
        if self.include_usage {
            sse::event(&mut out, None, &self.part(Vec::new(), Some(ending.usage.into())));
        }
        out.extend(b"data: [DONE]\n\n");
        out
    }

    /// As OpenAI does: the error's object as an event, and no `[DONE]` after it.
    fn failed(&mut self, failure: &Failure) -> Option<Vec<u8>> {
        let failed = Failed { failure: failure.clone(), allowance: None, model: self.asked.clone() };
        let mut out = b"data: ".to_vec();
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
    use crate::http::openai::asked::Asked;
    use crate::http::serving::Wire;

    /// An answer that is refused, and one of which half the question came from a cache.
    fn told(stop: &Stop) -> (Value, Vec<Value>) {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": true,
            "stream_options": {"include_usage": true}});
        let asked = Asked::read(body.to_string().as_bytes()).unwrap();
        let timing = Timing { first_token: Duration::ZERO, whole: Duration::ZERO };
        let usage = Usage { input_tokens: 10, cached_input_tokens: 5, output_tokens: 1 };
        let mut answer = Answer::recorded("Call".to_owned(), Vec::new(), timing, usage, stop.clone());
        if *stop == Stop::Refused {
            answer = answer.refused();
        }
        let ending = Ending { usage: answer.usage(), stop: answer.stop().clone(), timing };
        let mut told = Told::new(&asked, 1);
        let whole = serde_json::from_slice(&told.whole(&answer, &ending)).unwrap();
        let mut stream = told.opening(&answer, &ending);
        if let Some((text, _)) = answer.chunk(0) {
            stream.extend(told.chunk(text));
        }
        stream.extend(told.end(&answer, &ending));
        let text = String::from_utf8(stream).unwrap();
        let events = text.strip_suffix("data: [DONE]\n\n").unwrap().split_terminator("\n\n");
        let events = events.map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap());
        (whole, events.collect())
    }

    #[test]
    fn a_refusal_says_so_streamed_and_whole() {
        let (whole, events) = told(&Stop::Refused);
        let choice = &whole["choices"][0];
        assert_eq!(
            (&choice["finish_reason"], &choice["message"]["content"]),
            (&json!("content_filter"), &Value::Null)
        );
        let refusal = choice["message"]["refusal"].as_str().unwrap();
        let said: String =
            events.iter().filter_map(|event| event["choices"][0]["delta"]["refusal"].as_str()).collect();
        assert_eq!(said, refusal);
        assert_eq!(events[events.len() - 2]["choices"][0]["finish_reason"], "content_filter");
        assert!(events.iter().all(|event| event["choices"][0]["delta"]["content"].is_null()));
        assert_eq!(whole["usage"]["completion_tokens"], 0);
    }

    #[test]
    fn cached_tokens_are_part_of_the_questions() {
        let (whole, events) = told(&Stop::Sequence("x".to_owned()));
        assert_eq!(events.last().unwrap()["usage"], whole["usage"]);
        let usage = &whole["usage"];
        assert_eq!((&usage["prompt_tokens"], &usage["total_tokens"]), (&json!(10), &json!(11)));
        assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 5);
        assert_eq!(whole["choices"][0]["finish_reason"], "stop");
    }

    #[test]
    fn a_malformed_event_keeps_its_frame() {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]});
        let mut told = Told::new(&Asked::read(body.to_string().as_bytes()).unwrap(), 1);
        let event = told.chunk("}{");
        let event = String::from_utf8(told.malformed(event)).unwrap();
        let data = event.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap();
        assert!(serde_json::from_str::<Value>(data).is_err());
    }
}
