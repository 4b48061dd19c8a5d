//! The fixed answer in process: no network, no latency model, plainly marked.

use async_trait::async_trait;
use futures::StreamExt;

use crate::{Chunk, CompletionStream, Cost, Ending, LlmError, LlmProvider, Prompt, ProviderName, StopReason};

/// What it says, always.
const ANSWER: &str = "[simulated] This is a fixed text in place of a summary. No model read the book; \
set LLM_PROVIDER to a real provider for a real summary.";

/// Answers the same text to everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Simulated;

#[async_trait]
impl LlmProvider for Simulated {
    fn name(&self) -> ProviderName {
        ProviderName::Simulated
    }

    fn model(&self) -> &'static str {
        "simulated"
    }

    async fn stream(&self, _prompt: &Prompt) -> Result<CompletionStream, LlmError> {
        let ending = Ending {
            model: "simulated".to_owned(),
            simulated: true,
            usage: None,
            stop: StopReason::End,
            cost: Cost::UNKNOWN,
        };
        Ok(futures::stream::iter([Ok(Chunk::Text(ANSWER.to_owned())), Ok(Chunk::End(ending))]).boxed())
    }
}
