//! LLM providers behind one trait.
//!
//! Owns the [`LlmProvider`] trait and its adapters, prices, and the wrappers that bound and observe
//! a call. Must not know axum, a database, a tenant, or what a prompt is about.

pub mod deadline;
pub mod error;
pub mod observed;
pub mod ollama;
pub mod prices;
pub mod provider;
pub mod simulated;
pub mod tokens;

pub use deadline::Deadline;
pub use error::{ErrorKind, LlmError};
pub use observed::Observed;
pub use ollama::Ollama;
pub use prices::{Cost, Prices, PricesError};
pub use provider::{
    Chunk, Completion, CompletionStream, Ending, LlmProvider, Prompt, ProviderName, StopReason, TokenUsage,
    complete,
};
pub use simulated::Simulated;
