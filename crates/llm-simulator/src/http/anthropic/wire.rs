//! Shapes of Anthropic's answers, fields in Anthropic's order.
//!
//! Source: <https://docs.anthropic.com/en/api/messages>,
//! <https://docs.anthropic.com/en/docs/build-with-claude/streaming> and
//! <https://docs.anthropic.com/en/api/models-list>.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::answer::{Stop, Usage};

/// When models pretend to have been made.
const CREATED_AT: &str = "2026-01-01T00:00:00Z";

/// A whole answer, or the beginning of a streamed one.
#[derive(Serialize)]
pub(super) struct Message<'a> {
    pub(super) id: &'a str,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) role: &'static str,
    pub(super) model: &'a str,
    pub(super) content: Vec<Block<'a>>,
    #[serde(flatten)]
    pub(super) ended: Ended<'a>,
    pub(super) usage: ToldUsage,
}

/// Why an answer ended; nulls while it has not.
#[derive(Default, Serialize)]
pub(super) struct Ended<'a> {
    pub(super) stop_reason: Option<&'static str>,
    pub(super) stop_sequence: Option<&'a str>,
    pub(super) stop_details: Option<Details>,
}

#[derive(Serialize)]
pub(super) struct Details {
    #[serde(rename = "type")]
    kind: &'static str,
    category: Option<()>,
    explanation: Option<()>,
}

impl<'a> Ended<'a> {
    /// An answer's end; `called` where it is the call of a tool.
    pub(super) const fn new(stop: &'a Stop, called: bool) -> Self {
        let (reason, stop_sequence, stop_details) = match stop {
            Stop::Finished if called => ("tool_use", None, None),
            Stop::Finished => ("end_turn", None, None),
            Stop::Sequence(text) => ("stop_sequence", Some(text.as_str()), None),
            Stop::Length => ("max_tokens", None, None),
            Stop::Refused => {
                ("refusal", None, Some(Details { kind: "refusal", category: None, explanation: None }))
            }
        };
        Self { stop_reason: Some(reason), stop_sequence, stop_details }
    }
}

/// A block of an answer.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block<'a> {
    Text { text: &'a str },
    ToolUse { id: &'a str, name: &'a str, input: Map<String, Value> },
}

#[derive(Serialize)]
pub(super) struct ToldUsage {
    /// Tokens of the question outside the cache.
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_creation: Option<CacheCreation>,
    output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'static str>,
}

#[derive(Serialize)]
struct CacheCreation {
    ephemeral_5m_input_tokens: u64,
    ephemeral_1h_input_tokens: u64,
}

impl ToldUsage {
    /// That of a whole answer.
    pub(super) const fn whole(usage: Usage) -> Self {
        let cache_creation = CacheCreation { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 };
        Self { cache_creation: Some(cache_creation), service_tier: Some("standard"), ..Self::end(usage) }
    }

    /// That at the beginning of a stream: the question's, and the first token.
    pub(super) fn beginning(usage: Usage) -> Self {
        Self::whole(Usage { output_tokens: usage.output_tokens.min(1), ..usage })
    }

    /// That at the end of a stream.
    pub(super) const fn end(usage: Usage) -> Self {
        Self {
            input_tokens: usage.input_tokens.saturating_sub(usage.cached_input_tokens),
            cache_creation_input_tokens: 0,
            cache_read_input_tokens: usage.cached_input_tokens,
            cache_creation: None,
            output_tokens: usage.output_tokens,
            service_tier: None,
        }
    }
}

/// An event of a stream.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Event<'a> {
    MessageStart { message: Message<'a> },
    ContentBlockStart { index: u32, content_block: Block<'a> },
    Ping,
    ContentBlockDelta { index: u32, delta: Delta<'a> },
    ContentBlockStop { index: u32 },
    MessageDelta { delta: Ended<'a>, usage: ToldUsage },
    MessageStop,
}

impl Event<'_> {
    /// Its name, which is its type, too.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::MessageStart { .. } => "message_start",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::Ping => "ping",
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStop => "message_stop",
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Delta<'a> {
    TextDelta { text: &'a str },
    InputJsonDelta { partial_json: &'a str },
}

/// `/v1/messages/count_tokens`.
#[derive(Serialize)]
pub(super) struct Count {
    pub(super) input_tokens: u64,
}

/// `/v1/models`.
#[derive(Serialize)]
pub(super) struct ModelPage<'a> {
    pub(super) data: Vec<Model<'a>>,
    pub(super) has_more: bool,
    pub(super) first_id: Option<&'a str>,
    pub(super) last_id: Option<&'a str>,
}

/// A model. Ids stay unmarked, for clients choose by them; the name for people says what it is.
#[derive(Serialize)]
pub(super) struct Model<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    pub(super) id: &'a str,
    display_name: String,
    created_at: &'static str,
    lifecycle: &'static str,
    capabilities: Option<()>,
    max_input_tokens: Option<u64>,
    max_tokens: Option<u64>,
}

impl<'a> Model<'a> {
    /// A model by its id.
    pub(super) fn new(id: &'a str) -> Self {
        Self {
            kind: "model",
            id,
            display_name: format!("{id} (simulated)"),
            created_at: CREATED_AT,
            lifecycle: "active",
            capabilities: None,
            max_input_tokens: None,
            max_tokens: None,
        }
    }
}
