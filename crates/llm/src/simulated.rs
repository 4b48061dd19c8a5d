//! The fixed answer in process: no network, no latency model, plainly marked.

use async_trait::async_trait;
use futures::StreamExt;

use crate::{
    Beginning, Chunk, CompletionStream, Cost, Ending, LlmError, LlmProvider, ProviderName, Request,
    StopReason,
};

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

    async fn call(&self, _request: &Request) -> Result<CompletionStream, LlmError> {
        let beginning = Beginning {
            provider: ProviderName::Simulated,
            requested_model: "simulated".to_owned(),
            request_id: None,
            simulated: true,
        };
        let ending =
            Ending { model: "simulated".to_owned(), usage: None, stop: StopReason::End, cost: Cost::UNKNOWN };
        let chunks = [Chunk::Begun(beginning), Chunk::Text(ANSWER.to_owned()), Chunk::End(ending)];
        Ok(futures::stream::iter(chunks.map(Ok)).boxed())
    }
}
