//! What a client of Bedrock is told: one answer, whole or as events.
//!
//! The usage counts cached tokens outside `inputTokens`, as Bedrock does.

use http::{HeaderMap, HeaderValue};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::refusal::Refusal;
use super::{JSON, REQUEST_ID, frame};
use crate::allowance::Allowance;
use crate::answer::{Answer, Stop};
use crate::delivery::Ending;
use crate::failure::Failure;
use crate::http::serving::{Wire, encoded};

/// How one answer is told.
pub(super) struct Told {
    stream: bool,
    /// The client wants to know which stop text was reached.
    tells_stop_sequence: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Whole<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_model_response_fields: Option<Additional<'a>>,
    metrics: Metrics,
    output: Output<'a>,
    stop_reason: &'static str,
    usage: Usage,
}

#[derive(Serialize)]
struct Additional<'a> {
    stop_sequence: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metrics {
    latency_ms: u64,
}

#[derive(Serialize)]
struct Output<'a> {
    message: Message<'a>,
}

#[derive(Serialize)]
struct Message<'a> {
    content: Vec<Text<'a>>,
    role: &'static str,
}

#[derive(Serialize)]
struct Text<'a> {
    text: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    cache_read_input_tokens: u64,
    cache_write_input_tokens: u64,
    input_tokens: u64,
    output_tokens: u64,
    total_tokens: u64,
}

#[derive(Serialize)]
struct MessageStart {
    role: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContentBlockDelta<'a> {
    content_block_index: u8,
    delta: Text<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContentBlockStop {
    content_block_index: u8,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageStop<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_model_response_fields: Option<Additional<'a>>,
    stop_reason: &'static str,
}

#[derive(Serialize)]
struct Metadata {
    metrics: Metrics,
    usage: Usage,
}

impl Told {
    /// An answer that is told in events or whole.
    pub(super) const fn new(stream: bool, tells_stop_sequence: bool) -> Self {
        Self { stream, tells_stop_sequence }
    }

    fn additional<'a>(&self, ending: &'a Ending) -> Option<Additional<'a>> {
        match &ending.stop {
            Stop::Sequence(reached) if self.tells_stop_sequence => {
                Some(Additional { stop_sequence: reached })
            }
            _ => None,
        }
    }
}

const fn stop_reason(stop: &Stop) -> &'static str {
    match stop {
        Stop::Finished => "end_turn",
        Stop::Sequence(_) => "stop_sequence",
        Stop::Length => "max_tokens",
        Stop::Refused => "content_filtered",
    }
}

fn usage(ending: &Ending) -> Usage {
    let usage = ending.usage;
    Usage {
        cache_read_input_tokens: usage.cached_input_tokens,
        cache_write_input_tokens: 0,
        input_tokens: usage.input_tokens.saturating_sub(usage.cached_input_tokens),
        output_tokens: usage.output_tokens,
        total_tokens: usage.input_tokens.saturating_add(usage.output_tokens),
    }
}

fn metrics(ending: &Ending) -> Metrics {
    Metrics { latency_ms: u64::try_from(ending.timing.whole.as_millis()).unwrap_or(u64::MAX) }
}

impl Wire for Told {
    const STREAM: &'static str = "application/vnd.amazon.eventstream";
    const WHOLE: &'static str = JSON;

    fn headers(&self, _: Option<&Allowance>) -> HeaderMap {
        request_id()
    }

    fn whole(&mut self, answer: &Answer, ending: &Ending) -> Vec<u8> {
        let text = answer.text();
        encoded(&Whole {
            additional_model_response_fields: self.additional(ending),
            metrics: metrics(ending),
            output: Output {
                message: Message {
                    // No block of text is empty.
                    content: if text.is_empty() { Vec::new() } else { vec![Text { text }] },
                    role: "assistant",
                },
            },
            stop_reason: stop_reason(&ending.stop),
            usage: usage(ending),
        })
    }

    fn opening(&mut self, _: &Answer, _: &Ending) -> Vec<u8> {
        frame::event("messageStart", &MessageStart { role: "assistant" })
    }

    fn chunk(&mut self, text: &str) -> Vec<u8> {
        // A block of text has no `contentBlockStart`.
        frame::event("contentBlockDelta", &ContentBlockDelta { content_block_index: 0, delta: Text { text } })
    }

    fn end(&mut self, answer: &Answer, ending: &Ending) -> Vec<u8> {
        let mut events = Vec::new();
        if answer.chunks() > 0 {
            events.extend(frame::event("contentBlockStop", &ContentBlockStop { content_block_index: 0 }));
        }
        events.extend(frame::event(
            "messageStop",
            &MessageStop {
                additional_model_response_fields: self.additional(ending),
                stop_reason: stop_reason(&ending.stop),
            },
        ));
        events.extend(frame::event("metadata", &Metadata { metrics: metrics(ending), usage: usage(ending) }));
        events
    }

    /// As Bedrock does: an exception among the events, see
    /// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStreamOutput.html>.
    fn failed(&mut self, failure: &Failure) -> Option<Vec<u8>> {
        let refusal = Refusal::Failed(failure.clone());
        let (_, name) = refusal.exception();
        Some(frame::exception(name, &json!({"message": refusal.to_string()})))
    }

    fn malformed(&self, event: Vec<u8>) -> Vec<u8> {
        if self.stream { frame::with_wrong_checksum(event) } else { without_last_brace(event) }
    }
}

/// JSON that cannot be read.
fn without_last_brace(mut json: Vec<u8>) -> Vec<u8> {
    if json.last() == Some(&b'}') {
        json.pop();
    }
    json
}

/// The header that names a request.
pub(super) fn request_id() -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(id) = HeaderValue::from_str(&Uuid::now_v7().to_string()) {
        headers.insert(REQUEST_ID, id);
    }
    headers
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::Told;
    use crate::answer::{Answer, Chunk, Stop, Timing, Usage};
    use crate::delivery::Ending;
    use crate::http::serving::Wire;

    fn ending(stop: Stop) -> Ending {
        let usage = Usage { input_tokens: 10, cached_input_tokens: 4, output_tokens: 3 };
        let timing = Timing { first_token: Duration::from_millis(5), whole: Duration::from_micros(12_900) };
        Ending { usage, stop, timing }
    }

    fn answer(text: &str, ending: &Ending) -> Answer {
        let chunks =
            if text.is_empty() { Vec::new() } else { vec![Chunk { end: text.len(), due: Duration::ZERO }] };
        Answer::recorded(text.to_owned(), chunks, ending.timing, ending.usage, ending.stop.clone())
    }

    fn whole(told: &mut Told, text: &str, stop: Stop) -> Value {
        let ending = ending(stop);
        serde_json::from_slice(&told.whole(&answer(text, &ending), &ending)).unwrap()
    }

    #[test]
    fn a_whole_answer_has_every_member_that_clients_require() {
        let mut told = Told::new(false, false);
        assert_eq!(
            whole(&mut told, "Sand.", Stop::Finished),
            json!({
                "metrics": {"latencyMs": 12},
                "output": {"message": {"role": "assistant", "content": [{"text": "Sand."}]}},
                "stopReason": "end_turn",
                "usage": {
                    "inputTokens": 6, "outputTokens": 3, "totalTokens": 13,
                    "cacheReadInputTokens": 4, "cacheWriteInputTokens": 0
                }
            })
        );
        let refused = whole(&mut told, "", Stop::Refused);
        assert_eq!(
            (&refused["stopReason"], &refused["output"]["message"]["content"]),
            (&json!("content_filtered"), &json!([]))
        );
        assert_eq!(whole(&mut told, "x", Stop::Length)["stopReason"], "max_tokens");
    }

    #[test]
    fn the_stop_text_is_told_to_those_who_ask() {
        let stop = Stop::Sequence("END".to_owned());
        let plain = whole(&mut Told::new(false, false), "x", stop.clone());
        assert_eq!(
            (&plain["stopReason"], plain.get("additionalModelResponseFields")),
            (&json!("stop_sequence"), None)
        );
        let asked = whole(&mut Told::new(false, true), "x", stop);
        assert_eq!(asked["additionalModelResponseFields"], json!({"stop_sequence": "END"}));
    }

    #[test]
    fn what_is_malformed_keeps_its_size_on_the_wire() {
        let mut told = Told::new(true, false);
        let event = told.chunk("Sand.");
        assert_eq!(told.malformed(event.clone()).len(), event.len());
        assert_eq!(Told::new(false, false).malformed(br#"{"a":{}}"#.to_vec()), br#"{"a":{}"#);
    }
}
