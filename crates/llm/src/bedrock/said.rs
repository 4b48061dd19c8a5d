//! What an answer of Converse says, whole or in events (API reference, "`ConverseStreamOutput`").
//!
//! Text is kept; reasoning, calls of tools and whatever is new are passed over. A stream is complete with
//! its metadata, which come last and have the figures. No answer names the model that gave it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_bedrockruntime::error::SdkError;
use aws_sdk_bedrockruntime::operation::converse::ConverseOutput;
use aws_sdk_bedrockruntime::primitives::event_stream::EventReceiver;
use aws_sdk_bedrockruntime::types::error::ConverseStreamOutputError;
use aws_sdk_bedrockruntime::types::{
    self, ContentBlock, ContentBlockDelta, ContentBlockStart, ConverseStreamOutput,
};
use futures::StreamExt;
use tokio::time::timeout;

use super::{Frames, WHO, refusal};
use crate::endpoint::SILENCE_DEADLINE;
use crate::{Chunk, Cost, Ending, ErrorKind, LlmError, StopReason, TokenUsage, answer};

/// A piece of an answer, as the SDK has read it.
pub(super) enum Frame {
    /// All of it.
    Whole(Box<ConverseOutput>),
    /// An event of a stream.
    Event(Box<ConverseStreamOutput>),
}

type Receiver = EventReceiver<ConverseStreamOutput, ConverseStreamOutputError>;

/// The events of a stream.
pub(super) fn events(receiver: Receiver, model: Arc<str>) -> Frames {
    futures::stream::unfold(Some(receiver), move |receiver| {
        let model = Arc::clone(&model);
        async move {
            let mut receiver = receiver?;
            match next(&mut receiver, SILENCE_DEADLINE, &model).await {
                Ok(Some(event)) => Some((Ok(Frame::Event(Box::new(event))), Some(receiver))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        }
    })
    .boxed()
}

async fn next(
    receiver: &mut Receiver,
    silence: Duration,
    model: &str,
) -> Result<Option<ConverseStreamOutput>, LlmError> {
    let bad = |what: &str| LlmError::new(ErrorKind::BadAnswer, format!("{WHO} {what}"));
    let Ok(received) = timeout(silence, receiver.recv()).await else {
        let detail = format!("{WHO} fell silent in the middle of its answer");
        return Err(LlmError::new(ErrorKind::Timeout, detail));
    };
    received.map_err(|error| match error {
        SdkError::ServiceError(error) => refusal::in_stream(error.err(), model),
        SdkError::ResponseError(_) => {
            bad("answered something that is not its protocol's events, or not whole")
        }
        _ => bad("broke off in the middle of its answer; ask again"),
    })
}

/// Reads the frames of one answer.
pub(super) struct Reader {
    model: Arc<str>,
    usage: Option<TokenUsage>,
    stop: Option<types::StopReason>,
    has_text: bool,
    wants_tool: bool,
}

impl Reader {
    /// Nothing was read so far.
    pub(super) const fn new(model: Arc<str>) -> Self {
        Self { model, usage: None, stop: None, has_text: false, wants_tool: false }
    }

    fn text(&mut self, text: &str, chunks: &mut VecDeque<Chunk>) {
        self.has_text |= !text.is_empty();
        chunks.push_back(Chunk::Text(text.to_owned()));
    }

    fn whole(&mut self, said: &ConverseOutput, chunks: &mut VecDeque<Chunk>) -> Result<(), LlmError> {
        self.usage = said.usage().and_then(total);
        self.stop = Some(said.stop_reason().clone());
        let message = said.output().and_then(|output| output.as_message().ok());
        for block in message.map(types::Message::content).unwrap_or_default() {
            match block {
                ContentBlock::Text(text) => self.text(text, chunks),
                ContentBlock::ToolUse(_) => self.wants_tool = true,
                _ => {}
            }
        }
        self.end(chunks)
    }

    fn event(&mut self, said: &ConverseStreamOutput, chunks: &mut VecDeque<Chunk>) -> Result<(), LlmError> {
        match said {
            ConverseStreamOutput::ContentBlockStart(event) => {
                self.wants_tool |= matches!(event.start(), Some(ContentBlockStart::ToolUse(_)));
            }
            ConverseStreamOutput::ContentBlockDelta(event) => {
                if let Some(ContentBlockDelta::Text(text)) = event.delta() {
                    self.text(text, chunks);
                }
            }
            ConverseStreamOutput::MessageStop(event) => self.stop = Some(event.stop_reason().clone()),
            ConverseStreamOutput::Metadata(event) => {
                self.usage = event.usage().and_then(total);
                return self.end(chunks);
            }
            _ => {}
        }
        Ok(())
    }

    /// API reference, Converse, "`stopReason`".
    fn end(&self, chunks: &mut VecDeque<Chunk>) -> Result<(), LlmError> {
        let failure = |kind, what: &str| Err(LlmError::new(kind, format!("{WHO} {what}")));
        let stop = match &self.stop {
            None => {
                let what = "ended its answer before it was complete; ask again";
                return failure(ErrorKind::BadAnswer, what);
            }
            Some(types::StopReason::ContentFiltered) => {
                return failure(ErrorKind::Refused, "refuses this content (content filter)");
            }
            Some(types::StopReason::GuardrailIntervened) => {
                return failure(ErrorKind::Refused, "refuses this content (guardrail)");
            }
            Some(types::StopReason::ModelContextWindowExceeded) if !self.has_text => {
                let what = "has no room left for an answer; shorten the prompt";
                return failure(ErrorKind::ContextTooLong, what);
            }
            Some(types::StopReason::MalformedModelOutput | types::StopReason::MalformedToolUse) => {
                return failure(ErrorKind::BadAnswer, "could not read what its model said; ask again");
            }
            _ if self.wants_tool && !self.has_text => {
                return failure(ErrorKind::BadAnswer, "asked for a tool where text was wanted");
            }
            Some(types::StopReason::EndTurn | types::StopReason::StopSequence) => StopReason::End,
            // Either way the text is cut off at a length.
            Some(types::StopReason::MaxTokens | types::StopReason::ModelContextWindowExceeded) => {
                StopReason::MaxTokens
            }
            Some(_) => StopReason::Other,
        };
        let ending = Ending { model: self.model.to_string(), usage: self.usage, stop, cost: Cost::UNKNOWN };
        chunks.push_back(Chunk::End(ending));
        Ok(())
    }
}

impl answer::Reader<Frame> for Reader {
    fn read(&mut self, frame: &Frame, chunks: &mut VecDeque<Chunk>) -> Result<(), LlmError> {
        match frame {
            Frame::Whole(said) => self.whole(said, chunks),
            Frame::Event(said) => self.event(said, chunks),
        }
    }

    fn usage(&self) -> Option<TokenUsage> {
        self.usage
    }
}

/// Totals with the cache in them. With it, `inputTokens` has only what is neither read from it nor
/// written to it, and the total of the input is the sum of the three (user guide, "Prompt caching for
/// faster model inference"). Figures of which none is above zero are those that the SDK puts where there
/// were none: a prompt has tokens.
fn total(usage: &types::TokenUsage) -> Option<TokenUsage> {
    let count = |count: i32| u64::try_from(count).ok();
    let cached_input = count(usage.cache_read_input_tokens().unwrap_or(0))?;
    let cache_write_input = count(usage.cache_write_input_tokens().unwrap_or(0))?;
    let input = count(usage.input_tokens())? + cached_input + cache_write_input;
    let output = count(usage.output_tokens())?;
    let total =
        TokenUsage { input, output, cached_input, cache_write_input, reasoning_output: 0, reported: true };
    (input > 0 || output > 0).then_some(total)
}

#[cfg(test)]
mod tests {
    use aws_sdk_bedrockruntime::types::TokenUsage as Reported;

    use super::total;
    use crate::TokenUsage;

    fn reported(input: i32, output: i32, read: Option<i32>, written: Option<i32>) -> Option<TokenUsage> {
        let usage = Reported::builder().input_tokens(input).output_tokens(output).total_tokens(0);
        let usage = usage.set_cache_read_input_tokens(read).set_cache_write_input_tokens(written);
        total(&usage.build().unwrap())
    }

    #[test]
    fn totals_are_inclusive() {
        let plain = TokenUsage { input: 30, output: 628, reported: true, ..TokenUsage::default() };
        assert_eq!(reported(30, 628, None, None), Some(plain));
        assert_eq!(reported(30, 628, Some(0), Some(0)), Some(plain));
        let cached = TokenUsage { input: 2080, cached_input: 2000, cache_write_input: 50, ..plain };
        assert_eq!(reported(30, 628, Some(2000), Some(50)), Some(cached));
        let most = i32::MAX.unsigned_abs().into();
        let most = TokenUsage {
            input: 3 * most,
            output: most,
            cached_input: most,
            cache_write_input: most,
            ..plain
        };
        assert_eq!(reported(i32::MAX, i32::MAX, Some(i32::MAX), Some(i32::MAX)), Some(most));
    }

    #[test]
    fn what_cannot_be_is_not_reported() {
        for (input, output, read) in [(-1, 3, None), (3, -1, None), (3, 3, Some(-1)), (0, 0, None)] {
            assert_eq!(reported(input, output, read, None), None, "{input} {output} {read:?}");
        }
    }
}
