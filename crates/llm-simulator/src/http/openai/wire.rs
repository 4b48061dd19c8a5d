//! Shapes of OpenAI's answers, fields in OpenAI's order.
//!
//! Source: <https://platform.openai.com/docs/api-reference/chat/object>, `…/chat-streaming` and
//! `…/models/object`.

use serde::Serialize;

use crate::answer::Usage;

/// When answers pretend to be made, and models to have been: 2026-01-01T00:00:00Z. The same question
/// has the same answer, byte for byte.
pub(super) const CREATED: u64 = 1_767_225_600;

/// A whole answer.
#[derive(Serialize)]
pub(super) struct Completion<'a> {
    pub(super) id: &'a str,
    pub(super) object: &'static str,
    pub(super) created: u64,
    pub(super) model: &'a str,
    pub(super) choices: [Choice<'a>; 1],
    pub(super) usage: ToldUsage,
    pub(super) service_tier: &'static str,
    pub(super) system_fingerprint: &'a str,
}

#[derive(Serialize)]
pub(super) struct Choice<'a> {
    pub(super) index: u32,
    pub(super) message: Message<'a>,
    pub(super) logprobs: Option<()>,
    pub(super) finish_reason: &'static str,
}

#[derive(Serialize)]
pub(super) struct Message<'a> {
    pub(super) role: &'static str,
    pub(super) content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_calls: Option<[ToolCall<'a>; 1]>,
    pub(super) refusal: Option<&'static str>,
    pub(super) annotations: [(); 0],
}

/// A call of a tool, whole or the beginning or a piece of one in a stream.
#[derive(Serialize)]
pub(super) struct ToolCall<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<&'static str>,
    pub(super) function: Function<'a>,
}

#[derive(Serialize)]
pub(super) struct Function<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    pub(super) arguments: &'a str,
}

/// An event of a stream.
#[derive(Serialize)]
pub(super) struct Part<'a> {
    pub(super) id: &'a str,
    pub(super) object: &'static str,
    pub(super) created: u64,
    pub(super) model: &'a str,
    pub(super) service_tier: &'static str,
    pub(super) system_fingerprint: &'a str,
    /// One, and none beside the usage.
    pub(super) choices: Vec<PartChoice<'a>>,
    /// Absent where no usage was asked for; null in all events but the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<Option<ToldUsage>>,
}

#[derive(Serialize)]
pub(super) struct PartChoice<'a> {
    pub(super) index: u32,
    pub(super) delta: Delta<'a>,
    pub(super) logprobs: Option<()>,
    pub(super) finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
pub(super) struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_calls: Option<[ToolCall<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refusal: Option<Option<&'static str>>,
}

#[derive(Serialize)]
pub(super) struct ToldUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptTokens,
    completion_tokens_details: CompletionTokens,
}

#[derive(Serialize)]
struct PromptTokens {
    /// Part of `prompt_tokens`.
    cached_tokens: u64,
    audio_tokens: u64,
}

#[derive(Default, Serialize)]
struct CompletionTokens {
    reasoning_tokens: u64,
    audio_tokens: u64,
    accepted_prediction_tokens: u64,
    rejected_prediction_tokens: u64,
}

impl From<Usage> for ToldUsage {
    fn from(usage: Usage) -> Self {
        Self {
            prompt_tokens: usage.input_tokens,
            completion_tokens: usage.output_tokens,
            total_tokens: usage.input_tokens.saturating_add(usage.output_tokens),
            prompt_tokens_details: PromptTokens { cached_tokens: usage.cached_input_tokens, audio_tokens: 0 },
            completion_tokens_details: CompletionTokens::default(),
        }
    }
}

/// `/v1/models`.
#[derive(Serialize)]
pub(super) struct ModelList<'a> {
    pub(super) object: &'static str,
    pub(super) data: Vec<Model<'a>>,
}

/// A model. Names stay unmarked, for clients choose by them; the owner says what it is.
#[derive(Serialize)]
pub(super) struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

impl<'a> Model<'a> {
    /// A model by its name.
    pub(super) const fn new(id: &'a str) -> Self {
        Self { id, object: "model", created: CREATED, owned_by: "simulated" }
    }
}
