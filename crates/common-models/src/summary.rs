//! A book's summary as `generate-summary` answers it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Where token counts come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum UsageSource {
    /// The provider's own final figures.
    Reported,
    /// The provider gave none; counted from the text.
    Estimated,
}

/// Tokens of one request. Totals are inclusive: cached input tokens are part of `inputTokens`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// All tokens of the prompt.
    pub input_tokens: u64,
    /// All tokens of the answer.
    pub output_tokens: u64,
    /// Those of the prompt that the provider had cached.
    pub cached_input_tokens: u64,
    /// Reported or estimated.
    pub source: UsageSource,
}

impl Usage {
    /// The usage of a request that called no provider.
    pub const NONE: Self =
        Self { input_tokens: 0, output_tokens: 0, cached_input_tokens: 0, source: UsageSource::Reported };
}

/// The figures of the provider call that made the text.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Generation {
    /// Tokens of the provider call.
    pub usage: Usage,
    /// Dollars billed, at most 9 decimals; absent where the price is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// Dollars by list price; absent where the price is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list_cost_usd: Option<f64>,
    /// Milliseconds from sending the request to the end of the answer.
    pub latency_ms: f64,
    /// Milliseconds from sending the request to the first piece of text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_first_chunk_ms: Option<f64>,
}

/// A summary. `usage`, `costUsd` and `listCostUsd` are those of *this request*: zero when it came
/// from the cache or the store, so that sums over answers equal sums over provider calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The book.
    pub book_id: Uuid,
    /// The text.
    pub summary: String,
    /// The provider that really answered.
    #[schema(example = "ollama")]
    pub provider: String,
    /// The model that really answered.
    #[schema(example = "llama3.2")]
    pub model: String,
    /// Whether the text came from a simulator, at no cost.
    pub simulated: bool,
    /// Tokens of this request.
    pub usage: Usage,
    /// Dollars billed for this request, at most 9 decimals; absent where the price is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// Dollars by list price for this request; absent where the price is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list_cost_usd: Option<f64>,
    /// Milliseconds that this request took inside the service.
    pub latency_ms: f64,
    /// Milliseconds to the first piece of text; absent when no provider was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_first_chunk_ms: Option<f64>,
    /// Whether no provider was called for this request.
    pub cached: bool,
    /// When the text was made.
    pub generated_at: DateTime<Utc>,
    /// The figures of the provider call that made the text.
    pub generation: Generation,
    /// W3C trace id of this request: 32 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}
