//! What the events and whole answers of each protocol say. Tolerant: what is not there is not
//! said. Must not know how events are told apart.

use serde_json::Value;

use super::framing::Piece;
use crate::call::Protocol;
use crate::recording::{MOST_TOKENS, RecordedStop, RecordedUsage};

/// An event that is no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotReadable;

/// What an event says.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Text that it adds: words, or the arguments of a tool.
    pub(super) text: String,
    /// Whether it brings something that is not kept: a thought. That it came is.
    pub(super) thought: bool,
    /// Tokens that it tells.
    pub(super) usage: Option<Told>,
    /// Why the answer ends.
    pub(super) stop: Option<RecordedStop>,
    /// What went wrong.
    pub(super) error: Option<String>,
    /// Whether nothing follows.
    pub(super) over: bool,
}

/// Tokens that an event tells; a later event may tell the rest.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    input: Option<u64>,
    cached: Option<u64>,
    output: Option<u64>,
}

impl Told {
    /// Puts it over what was told before.
    pub(super) fn add_to(self, usage: &mut Option<RecordedUsage>) {
        if self.input.or(self.output).is_none() {
            return;
        }
        let usage = usage.get_or_insert_default();
        // What cannot be is kept as what a recording can hold.
        let put = |told: Option<u64>, into: &mut u64| *into = told.unwrap_or(*into).min(MOST_TOKENS);
        put(self.input, &mut usage.input_tokens);
        put(self.cached, &mut usage.cached_input_tokens);
        put(self.output, &mut usage.output_tokens);
    }
}

/// What an event of a stream says.
pub(super) fn of(protocol: Protocol, piece: &Piece) -> Result<Heard, NotReadable> {
    if protocol == Protocol::OpenAi && piece.data.trim_ascii() == b"[DONE]" {
        return Ok(Heard { over: true, ..Heard::default() });
    }
    let value: Value = serde_json::from_slice(&piece.data).map_err(|_| NotReadable)?;
    if piece.exception {
        return Ok(Heard { error: Some(value.to_string()), ..Heard::default() });
    }
    Ok(match protocol {
        Protocol::Ollama => ollama(&value),
        Protocol::OpenAi => openai(&value, "delta"),
        Protocol::Anthropic => anthropic(&value),
        Protocol::Bedrock => bedrock(piece.name.as_deref().unwrap_or_default(), &value),
    })
}

/// What a whole answer says.
pub(super) fn whole(protocol: Protocol, value: &Value) -> Heard {
    let blocks = |pointer: &str, call: &str, input: &str| {
        let mut text = String::new();
        for block in value.pointer(pointer).and_then(Value::as_array).into_iter().flatten() {
            text.push_str(text_at(block, "/text"));
            // A call of a tool stands beside the type in one protocol and below its name in the other.
            let of = if call.is_empty() { Some(block) } else { block.get(call) };
            if let Some(input) = of.and_then(|of| of.get(input)) {
                text.push_str(&input.to_string());
            }
        }
        text
    };
    let mut heard = match protocol {
        Protocol::Ollama => ollama(value),
        Protocol::OpenAi => openai(value, "message"),
        Protocol::Anthropic => Heard {
            text: blocks("/content", "", "input"),
            usage: value.get("usage").map(anthropic_usage),
            stop: stop(text_at(value, "/stop_reason")),
            error: error(value),
            thought: false,
            over: true,
        },
        Protocol::Bedrock => Heard {
            text: blocks("/output/message/content", "toolUse", "input"),
            usage: value.get("usage").map(bedrock_usage),
            stop: stop(text_at(value, "/stopReason")),
            error: None,
            thought: false,
            over: true,
        },
    };
    heard.over = true;
    heard
}

fn text_at<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn number_at(value: &Value, pointer: &str) -> Option<u64> {
    value.pointer(pointer).and_then(Value::as_u64)
}

fn error(value: &Value) -> Option<String> {
    match value.get("error") {
        None | Some(Value::Null) => None,
        Some(Value::String(said)) => Some(said.clone()),
        Some(_) => Some(value.to_string()),
    }
}

/// Every protocol's words for it.
fn stop(reason: &str) -> Option<RecordedStop> {
    match reason {
        "" => None,
        "length" | "max_tokens" | "model_context_window_exceeded" => Some(RecordedStop::Length),
        "stop_sequence" => Some(RecordedStop::Sequence),
        "refusal" | "content_filter" | "content_filtered" | "guardrail_intervened" => {
            Some(RecordedStop::Refused)
        }
        _ => Some(RecordedStop::Finished),
    }
}

/// <https://github.com/ollama/ollama/blob/main/docs/api.md>
fn ollama(value: &Value) -> Heard {
    let mut text = text_at(value, "/message/content").to_owned();
    text.push_str(text_at(value, "/response"));
    let over = value.get("done").and_then(Value::as_bool).unwrap_or_default();
    let usage = Told {
        input: number_at(value, "/prompt_eval_count"),
        cached: None,
        output: number_at(value, "/eval_count"),
    };
    // A prompt that was in memory already is not counted.
    let usage =
        if over && usage.output.is_some() { Told { input: usage.input.or(Some(0)), ..usage } } else { usage };
    let stop =
        if over { stop(text_at(value, "/done_reason")).or(Some(RecordedStop::Finished)) } else { None };
    for call in value.pointer("/message/tool_calls").and_then(Value::as_array).into_iter().flatten() {
        if let Some(arguments) = call.pointer("/function/arguments") {
            text.push_str(&arguments.to_string());
        }
    }
    let thought = !text_at(value, "/message/thinking").is_empty() || !text_at(value, "/thinking").is_empty();
    Heard { text, thought, usage: Some(usage), stop, error: error(value), over }
}

/// <https://platform.openai.com/docs/api-reference/chat-streaming>
fn openai(value: &Value, said: &str) -> Heard {
    let choice =
        value.pointer("/choices/0").filter(|choice| number_at(choice, "/index").unwrap_or_default() == 0);
    let message = choice.and_then(|choice| choice.get(said)).unwrap_or(&Value::Null);
    let mut text = text_at(message, "/content").to_owned();
    for call in message.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
        text.push_str(text_at(call, "/function/arguments"));
    }
    let refusal = text_at(message, "/refusal");
    text.push_str(refusal);
    let usage = value.get("usage").filter(|usage| usage.is_object()).map(|usage| Told {
        input: number_at(usage, "/prompt_tokens"),
        cached: number_at(usage, "/prompt_tokens_details/cached_tokens"),
        output: number_at(usage, "/completion_tokens"),
    });
    let stop = stop(choice.map(|choice| text_at(choice, "/finish_reason")).unwrap_or_default());
    let stop = if refusal.is_empty() { stop } else { Some(RecordedStop::Refused) };
    let thought = ["/reasoning_content", "/reasoning"].iter().any(|at| !text_at(message, at).is_empty());
    Heard { text, thought, usage, stop, error: error(value), over: false }
}

/// <https://docs.anthropic.com/en/docs/build-with-claude/streaming>
fn anthropic(value: &Value) -> Heard {
    let mut heard = Heard::default();
    match text_at(value, "/type") {
        "message_start" => heard.usage = value.pointer("/message/usage").map(anthropic_usage),
        "content_block_delta" => {
            heard.text = text_at(value, "/delta/text").to_owned();
            heard.text.push_str(text_at(value, "/delta/partial_json"));
            heard.thought = !text_at(value, "/delta/thinking").is_empty();
        }
        "message_delta" => {
            heard.stop = stop(text_at(value, "/delta/stop_reason"));
            heard.usage = value.get("usage").map(anthropic_usage);
        }
        "message_stop" => heard.over = true,
        "error" => heard.error = Some(value.to_string()),
        _ => {}
    }
    heard
}

/// Anthropic's cached tokens lie outside of its input tokens.
fn anthropic_usage(usage: &Value) -> Told {
    with_cached(
        number_at(usage, "/input_tokens"),
        number_at(usage, "/cache_read_input_tokens"),
        number_at(usage, "/cache_creation_input_tokens"),
        number_at(usage, "/output_tokens"),
    )
}

/// So do Bedrock's.
fn bedrock_usage(usage: &Value) -> Told {
    with_cached(
        number_at(usage, "/inputTokens"),
        number_at(usage, "/cacheReadInputTokens"),
        number_at(usage, "/cacheWriteInputTokens"),
        number_at(usage, "/outputTokens"),
    )
}

fn with_cached(input: Option<u64>, read: Option<u64>, written: Option<u64>, output: Option<u64>) -> Told {
    let all = |input: u64| {
        input.saturating_add(read.unwrap_or_default()).saturating_add(written.unwrap_or_default())
    };
    Told { input: input.map(all), cached: input.and(read), output }
}

/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html>
fn bedrock(event: &str, value: &Value) -> Heard {
    let mut heard = Heard::default();
    match event {
        "contentBlockDelta" => {
            heard.text = text_at(value, "/delta/text").to_owned();
            heard.text.push_str(text_at(value, "/delta/toolUse/input"));
            heard.thought = !text_at(value, "/delta/reasoningContent/text").is_empty();
        }
        "messageStop" => heard.stop = stop(text_at(value, "/stopReason")),
        "metadata" => {
            heard.usage = value.get("usage").map(bedrock_usage);
            heard.over = true;
        }
        _ => {}
    }
    heard
}
