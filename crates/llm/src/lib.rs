//! LLM providers behind one trait.
//!
//! Owns the [`LlmProvider`] trait and its adapters, prices, and the wrappers that bound and observe
//! a call. Must not know axum, a database, a tenant, or what a prompt is about.

mod answer;
pub mod bedrock;
pub mod breaker;
pub mod claude;
pub mod deadline;
mod endpoint;
pub mod error;
pub mod fallback;
mod frames;
pub mod money;
pub mod observed;
pub mod ollama;
pub mod openai;
pub mod prices;
pub mod provider;
mod renewed;
pub mod resilient;
pub mod retry;
#[cfg(test)]
mod script;
pub mod simulated;
pub mod tokens;
pub mod trail;

pub use bedrock::Bedrock;
pub use breaker::{Breaker, BreakerState, Circuit, Health, LastError};
pub use claude::Claude;
pub use deadline::Deadline;
pub use error::{ErrorKind, LlmError};
pub use fallback::Fallback;
pub use money::{Cost, Usd};
pub use observed::Observed;
pub use ollama::Ollama;
pub use openai::OpenAi;
pub use prices::{LongPrompt, Pattern, Price, Prices, PricesError, Rates};
pub use provider::{
    Arm, Beginning, Chunk, Completion, CompletionStream, Delivery, Ending, LlmProvider, Prompt, ProviderName,
    Request, StopReason, TokenUsage, complete,
};
pub use resilient::Resilient;
pub use retry::{Backoff, Retry};
pub use simulated::Simulated;
pub use trail::{Attempt, Gate, OpenGate, Plan, Refusal, Trail};
