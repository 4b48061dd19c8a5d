//! The LLM providers of a service, and the experiments over them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// All providers that there are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LlmProviders {
    /// Each of them, by name.
    pub items: Vec<LlmProviderStatus>,
}

/// How a provider is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LlmProviderStatus {
    /// Its name, as requests use it.
    #[schema(example = "ollama")]
    pub name: String,
    /// Whether it is set up here. What follows is absent where it is not.
    pub configured: bool,
    /// What it lacks to be set up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "set BEDROCK_MODEL")]
    pub missing: Option<String>,
    /// The model that it asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "llama3.2")]
    pub model: Option<String>,
    /// Whether requests that name no provider ask it first.
    pub default: bool,
    /// Its place among those that are asked when the default fails, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<u32>,
    /// Whether it is the fixed answer in process, or a simulator answered its probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulated: Option<bool>,
    /// Price of the model; absent where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<LlmPrice>,
    /// Whether calls are let through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<LlmBreaker>,
    /// Its latest failure since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LlmLastError>,
    /// What a probe found; absent where none was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<LlmProbe>,
}

/// Dollars per million tokens, as decimal text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LlmPrice {
    /// Of prompts.
    #[schema(example = "3")]
    pub input: String,
    /// Of answers.
    #[schema(example = "15")]
    pub output: String,
    /// Of what a prompt reads from the provider's cache.
    #[schema(example = "0.3")]
    pub cached_input: String,
    /// Of what a prompt writes to the provider's cache.
    #[schema(example = "3.75")]
    pub cache_write_input: String,
    /// Where it is published.
    pub source: String,
    /// The day on which it was read there.
    #[schema(example = "2026-11-21")]
    pub as_of: String,
}

/// A provider's breaker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LlmBreaker {
    /// `closed`, `open` or `half_open`.
    #[schema(example = "closed")]
    pub state: String,
    /// Seconds until the next call may be let through, where none is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<f64>,
}

/// A provider's latest failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LlmLastError {
    /// Its kind.
    #[schema(example = "overloaded")]
    pub kind: String,
    /// When it came.
    pub at: DateTime<Utc>,
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LlmProbe {
    /// Whether the provider answered.
    pub ok: bool,
    /// When it was asked; a finding is kept for ten seconds.
    pub at: DateTime<Utc>,
    /// Milliseconds that it took.
    pub latency_ms: f64,
    /// The kind of failure, where it did not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What happened and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The experiments that are under way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Experiments {
    /// Each of them, in the order in which they are tried.
    pub items: Vec<Experiment>,
}

/// A split of requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Experiment {
    /// Its name.
    #[schema(example = "models")]
    pub name: String,
    /// What stays with its arm: `book` or `tenant`.
    #[schema(example = "book")]
    pub sticky: String,
    /// The part of all units that take part, 0 to 1.
    pub share: f64,
    /// Its arms.
    pub arms: Vec<ExperimentArm>,
}

/// An arm and what came of it, over all instances and restarts, since it is defined as it is. Figures are of
/// calls to providers: summaries that were there already or shared count as answers only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExperimentArm {
    /// Its name.
    #[schema(example = "a")]
    pub name: String,
    /// Its part, against the other arms'.
    pub weight: u32,
    /// Whom it asks.
    pub provider: String,
    /// Which model.
    pub model: String,
    /// With which version of the prompt.
    pub prompt_version: String,
    /// Answers to requests of this arm, those included for which no provider was called.
    pub requests: u64,
    /// Calls that ended well.
    pub calls: u64,
    /// Calls that came to nothing; those that our own limits did not let in are none.
    pub errors: u64,
    /// Calls that were given up, because nobody waited for them any more. Their tokens and dollars count.
    #[serde(default)]
    pub abandoned: u64,
    /// The part of calls that came to nothing (Wilson's interval).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_rate: Option<Estimate>,
    /// Mean milliseconds of calls that ended well, all attempts in all (Student's interval).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_mean_ms: Option<Estimate>,
    /// Median of the same, exact to 1 % (interval of order statistics).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_median_ms: Option<Estimate>,
    /// Mean dollars billed for a call, failed ones included, where they are known (Student's interval).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<Estimate>,
    /// The same by list price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list_cost_usd: Option<Estimate>,
    /// Tokens of prompts.
    pub input_tokens: u64,
    /// Tokens of answers.
    pub output_tokens: u64,
    /// Those of both that were estimated.
    pub estimated_tokens: u64,
}

/// A figure with its 95 % interval, which is absent where there is too little to know one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// Lower end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// Upper end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
}
