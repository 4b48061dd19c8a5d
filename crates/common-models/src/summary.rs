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
    /// Those of the prompt that were written to the provider's cache.
    #[serde(default)]
    pub cache_write_input_tokens: u64,
    /// Those of the answer that the model thought and did not say.
    #[serde(default)]
    pub reasoning_output_tokens: u64,
    /// Estimated as soon as any part of them is.
    pub source: UsageSource,
}

impl Usage {
    /// The usage of a request that called no provider.
    pub const NONE: Self = Self {
        input_tokens: 0,
        output_tokens: 0,
        cached_input_tokens: 0,
        cache_write_input_tokens: 0,
        reasoning_output_tokens: 0,
        source: UsageSource::Reported,
    };
}

/// One attempt of a request: a call to a provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Which attempt of its request, from 1.
    pub number: u32,
    /// The provider asked.
    #[schema(example = "ollama")]
    pub provider: String,
    /// The model asked.
    #[schema(example = "llama3.2")]
    pub model: String,
    /// `ok`, `cancelled`, or the kind of failure, such as `overloaded`.
    #[schema(example = "ok")]
    pub outcome: String,
    /// Milliseconds from sending the request to its end.
    pub latency_ms: f64,
    /// The provider's own id of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// The figures of the attempt that made the text.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Generation {
    /// Its tokens.
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

/// A summary. `usage`, `costUsd` and `listCostUsd` are those of *this request*, all its attempts in
/// all: zero when it came from the cache or the store, so that sums over answers equal sums over
/// provider calls.
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
    /// The figures of the attempt that made the text.
    pub generation: Generation,
    /// The attempts that were made for it, failed ones included, in the order in which they ended;
    /// empty when no provider was called. Who shares another request's call sees its attempts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// The provider's own id of the call that made the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The experiment that this request took part in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<String>,
    /// Its arm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arm: Option<String>,
    /// W3C trace id of this request: 32 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// Data of the event `started`: an answer begins. Text of `delta` events before it is void.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SummaryStarted {
    /// Who answers.
    #[schema(example = "ollama")]
    pub provider: String,
    /// The model asked.
    #[schema(example = "llama3.2")]
    pub model: String,
    /// Which attempt of its request, from 1; absent where the summary was there already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
}

/// Data of the event `delta`: text that goes on from the one before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SummaryDelta {
    /// The text.
    pub text: String,
}
