//! What a run came to: the figures that the summary, the console and the report are made from.
//!
//! Owns the shapes. Must not know where samples come from nor how they are shown.

use chrono::{DateTime, Utc};
use common_models::{Outcome, RunSummary};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Everything known about a run that has ended. Milliseconds throughout; warm-up left out of all
/// but `timeline`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Results {
    /// Id of the run.
    pub run_id: uuid::Uuid,
    /// Name of the scenario.
    pub scenario: String,
    /// Name of the target.
    pub target: String,
    /// `docker` or `local`.
    pub engine: String,
    /// What k6 calls itself, where it said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub k6_version: Option<String>,
    /// When k6 was started.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// The result.
    pub outcome: Outcome,
    /// Why, where it did not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether any summary came from a simulator.
    pub simulated: bool,
    /// The figures of the wire contract.
    pub summary: RunSummary,
    /// One entry a second of the run, warm-up included.
    pub timeline: Vec<Second>,
    /// One entry a request name, busiest first.
    pub endpoints: Vec<Endpoint>,
    /// Summaries by provider and model.
    pub llm: Vec<LlmRow>,
    /// Failed checks and failed requests, most frequent first.
    pub errors: Vec<ErrorRow>,
    /// The slowest requests, slowest first.
    pub slowest: Vec<SlowRequest>,
    /// What makes the figures doubtful, in words.
    pub warnings: Vec<String>,
}

/// One second of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Second {
    /// Seconds since the start.
    pub at: u32,
    /// Whether it belongs to the warm-up.
    pub warm_up: bool,
    /// Requests that ended in it.
    pub requests: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Virtual users.
    pub users: u64,
    /// Median duration.
    pub p50_ms: f64,
    /// 95th percentile.
    pub p95_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Prompt and answer tokens that providers were called with.
    pub tokens: u64,
}

/// Requests of one name, such as `GET /api/v1/books/{id}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// The name.
    pub name: String,
    /// How many.
    pub requests: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Median duration.
    pub p50_ms: f64,
    /// 95th percentile.
    pub p95_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// Summaries of one provider and model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LlmRow {
    /// The provider that answered.
    pub provider: String,
    /// The model that answered.
    pub model: String,
    /// Summaries answered.
    pub summaries: u64,
    /// Those of them that needed no provider.
    pub cached: u64,
    /// Prompt tokens of provider calls.
    pub input_tokens: u64,
    /// Answer tokens of provider calls.
    pub output_tokens: u64,
    /// Dollars billed; absent where the price is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// Dollars by list price; absent where the price is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list_cost_usd: Option<f64>,
    /// Median time to first chunk of provider calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_chunk_p50_ms: Option<f64>,
    /// 95th percentile of the time to first chunk of provider calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_chunk_p95_ms: Option<f64>,
    /// Median time that provider calls took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation_p50_ms: Option<f64>,
    /// 95th percentile of the time that provider calls took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation_p95_ms: Option<f64>,
}

/// A kind of failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorRow {
    /// Request name or check.
    pub name: String,
    /// Status code, k6's error, or the check that failed.
    pub what: String,
    /// How often.
    pub count: u64,
}

/// One slow request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SlowRequest {
    /// Request name.
    pub name: String,
    /// Duration.
    pub duration_ms: f64,
    /// HTTP status; 0 when there was no answer.
    pub status: u16,
    /// Seconds since the start.
    pub at: f64,
    /// W3C trace id, where the request carried one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}
