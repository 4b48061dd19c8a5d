//! What a frame of an answer of Anthropic's Messages API says: an event of a stream
//! (<https://docs.anthropic.com/en/build-with-claude/streaming>), or the whole message.
//!
//! Text is kept; thinking, calls of tools and whatever is new are passed over, as the documentation asks.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::Deserialize;

use super::{ApiError, WHO};
use crate::answer::{self, count, malformed};
use crate::endpoint::Endpoint;
use crate::{Chunk, Cost, Ending, ErrorKind, LlmError, StopReason, TokenUsage};

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Frame {
    Message(Message),
    MessageStart {
        message: Message,
    },
    ContentBlockStart {
        content_block: Block,
    },
    ContentBlockDelta {
        delta: Delta,
    },
    MessageDelta {
        delta: Stopped,
        usage: Option<Usage>,
    },
    MessageStop,
    Error {
        error: ApiError,
    },
    #[serde(other)]
    Other,
}

/// A piece of text, of which there are many: read without the detour that an enum with its tag inside
/// takes through a tree of values. All else is a [`Frame`].
#[derive(Deserialize)]
struct Piece {
    #[serde(rename = "type")]
    _is: IsDelta,
    delta: PieceText,
}

#[derive(Deserialize)]
struct PieceText {
    #[serde(rename = "type")]
    _is: IsText,
    text: String,
}

#[derive(Deserialize)]
enum IsDelta {
    #[serde(rename = "content_block_delta")]
    Delta,
}

#[derive(Deserialize)]
enum IsText {
    #[serde(rename = "text_delta")]
    Text,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    model: String,
    #[serde(default)]
    content: Vec<Block>,
    stop_reason: Option<String>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        #[serde(default)]
        text: String,
    },
    ToolUse {},
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Delta {
    TextDelta {
        text: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Stopped {
    stop_reason: Option<String>,
}

/// Figures so far; those of a later event are cumulative and take the place of earlier ones.
#[derive(Default, Deserialize)]
struct Usage {
    #[serde(default, deserialize_with = "count")]
    input_tokens: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    cache_creation_input_tokens: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    cache_read_input_tokens: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    output_tokens: Option<u64>,
}

impl Usage {
    fn update(&mut self, later: &Self) {
        self.input_tokens = later.input_tokens.or(self.input_tokens);
        self.cache_creation_input_tokens =
            later.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_read_input_tokens = later.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.output_tokens = later.output_tokens.or(self.output_tokens);
    }

    /// Totals with the cache in them; `input_tokens` has what is neither read from it nor written to it
    /// (<https://docs.anthropic.com/en/build-with-claude/prompt-caching>, "Tracking cache performance").
    fn total(&self) -> Option<TokenUsage> {
        let read = self.cache_read_input_tokens.unwrap_or(0);
        let written = self.cache_creation_input_tokens.unwrap_or(0);
        Some(TokenUsage {
            input: self.input_tokens?.saturating_add(read).saturating_add(written),
            output: self.output_tokens?,
            cached_input: read,
            cache_write_input: written,
            // Thinking is among the output tokens and not counted apart.
            reasoning_output: 0,
            reported: true,
        })
    }
}

/// Reads the frames of one answer.
pub(super) struct Reader {
    endpoint: Arc<Endpoint>,
    model: String,
    usage: Usage,
    /// The first figures of output are a beginning; those of a `message_delta` or a whole message count.
    is_final: bool,
    stop_reason: Option<String>,
    has_text: bool,
    wants_tool: bool,
}

impl Reader {
    /// Nothing was read so far.
    pub(super) fn new(endpoint: Arc<Endpoint>) -> Self {
        Self {
            endpoint,
            model: String::new(),
            usage: Usage::default(),
            is_final: false,
            stop_reason: None,
            has_text: false,
            wants_tool: false,
        }
    }

    fn text(&mut self, text: String, chunks: &mut VecDeque<Chunk>) {
        self.has_text |= !text.is_empty();
        chunks.push_back(Chunk::Text(text));
    }

    fn block(&mut self, block: Block, chunks: &mut VecDeque<Chunk>) {
        match block {
            Block::Text { text } => self.text(text, chunks),
            Block::ToolUse {} => self.wants_tool = true,
            Block::Other => {}
        }
    }

    /// Figures that are final, if they are there.
    fn used(&mut self, usage: Option<&Usage>) {
        if let Some(usage) = usage {
            self.usage.update(usage);
            self.is_final |= usage.output_tokens.is_some();
        }
    }

    /// Why it stopped (<https://docs.anthropic.com/en/build-with-claude/handling-stop-reasons>).
    fn stopped(&mut self, reason: Option<String>) -> Result<(), LlmError> {
        self.stop_reason = reason.or_else(|| self.stop_reason.take());
        let error = match self.stop_reason.as_deref() {
            Some("refusal") => (ErrorKind::Refused, "refuses this content"),
            Some("model_context_window_exceeded") if !self.has_text => {
                (ErrorKind::ContextTooLong, "has no room left for an answer; shorten the prompt")
            }
            _ => return Ok(()),
        };
        Err(LlmError::new(error.0, format!("{WHO} {}", error.1)))
    }

    fn end(&mut self, chunks: &mut VecDeque<Chunk>) -> Result<(), LlmError> {
        if self.wants_tool && !self.has_text {
            let detail = format!("{WHO} asked for a tool where text was wanted");
            return Err(LlmError::new(ErrorKind::BadAnswer, detail));
        }
        let stop = match self.stop_reason.as_deref() {
            Some("end_turn" | "stop_sequence") => StopReason::End,
            // Either way the text is cut off at a length.
            Some("max_tokens" | "model_context_window_exceeded") => StopReason::MaxTokens,
            _ => StopReason::Other,
        };
        let usage = answer::Reader::usage(self);
        let model = std::mem::take(&mut self.model);
        chunks.push_back(Chunk::End(Ending { model, usage, stop, cost: Cost::UNKNOWN }));
        Ok(())
    }
}

impl answer::Reader for Reader {
    fn read(&mut self, frame: &str, chunks: &mut VecDeque<Chunk>) -> Result<(), LlmError> {
        if let Ok(piece) = serde_json::from_str::<Piece>(frame) {
            self.text(piece.delta.text, chunks);
            return Ok(());
        }
        match serde_json::from_str(frame).map_err(|error| malformed(WHO, &error))? {
            Frame::MessageStart { message } => {
                self.model = message.model;
                self.usage.update(&message.usage.unwrap_or_default());
            }
            Frame::ContentBlockStart { content_block } => self.block(content_block, chunks),
            Frame::ContentBlockDelta { delta: Delta::TextDelta { text } } => self.text(text, chunks),
            Frame::ContentBlockDelta { delta: Delta::Other } | Frame::Other => {}
            Frame::MessageDelta { delta, usage } => {
                self.used(usage.as_ref());
                self.stopped(delta.stop_reason)?;
            }
            Frame::MessageStop => self.end(chunks)?,
            Frame::Message(message) => {
                self.model = message.model;
                self.used(message.usage.as_ref());
                for block in message.content {
                    self.block(block, chunks);
                }
                self.stopped(message.stop_reason)?;
                self.end(chunks)?;
            }
            Frame::Error { error } => {
                let kind = error.kind().unwrap_or(ErrorKind::Unavailable);
                return Err(self.endpoint.failure(kind, None, &error.message));
            }
        }
        Ok(())
    }

    fn usage(&self) -> Option<TokenUsage> {
        self.is_final.then(|| self.usage.total()).flatten()
    }
}
