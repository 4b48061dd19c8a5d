//! What a run came to: the figures that the summary, the console and the report are made from.
//!
//! Owns the shapes. Must not know where samples come from nor how they are shown.

use chrono::{DateTime, Utc};
use common_models::{Outcome, RunState, RunSummary};
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
    /// How it ended; what broke off or was cancelled has figures, but no verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<RunState>,
    /// Why, where it did not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether any summary came from a simulator.
    pub simulated: bool,
    /// The figures of the wire contract.
    pub summary: RunSummary,
    /// Durations of all requests, then of those without and with an LLM, where there were both.
    #[serde(default)]
    pub latency: Vec<Latency>,
    /// How many requests took how long.
    #[serde(default)]
    pub histogram: Histogram,
    /// One entry a second of the run, warm-up included.
    pub timeline: Vec<Second>,
    /// One entry a request name, busiest first.
    pub endpoints: Vec<Endpoint>,
    /// Answers by request name and status, in the order of `endpoints`.
    #[serde(default)]
    pub statuses: Vec<StatusRow>,
    /// Summaries by provider and model.
    pub llm: Vec<LlmRow>,
    /// Failed checks and failed requests, most frequent first.
    pub errors: Vec<ErrorRow>,
    /// The slowest requests, slowest first.
    pub slowest: Vec<SlowRequest>,
    /// Every threshold that was broken, and the requests that did most to break it.
    #[serde(default)]
    pub broken: Vec<BrokenThreshold>,
    /// What makes the figures doubtful, in words.
    pub warnings: Vec<String>,
    /// Where the load came from and what was asked for; absent in results of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
}

/// What a run was made with. It says nothing of the target's own machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Environment {
    /// Version of perf-service.
    pub version: String,
    /// Operating system and processor, such as `linux x86_64`.
    pub system: String,
    /// Processors that perf-service may use; k6 may have been given fewer.
    pub processors: u32,
    /// Memory of the machine in bytes, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Virtual users, where others than the scenario's were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<u32>,
    /// Seconds of measured load, where others than the scenario's were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<u32>,
    /// LLM provider that summaries were asked of, where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
}

/// Durations of some requests, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// Which requests.
    pub of: RequestKind,
    /// How many.
    pub requests: u64,
    /// The shortest.
    pub min_ms: f64,
    /// The mean.
    pub mean_ms: f64,
    /// Median.
    pub p50_ms: f64,
    /// 75th percentile.
    pub p75_ms: f64,
    /// 90th percentile.
    pub p90_ms: f64,
    /// 95th percentile.
    pub p95_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// 99.9th percentile.
    pub p999_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// Requests by whether an LLM may take part in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum RequestKind {
    /// All of them.
    #[default]
    All,
    /// Those that no LLM takes part in.
    WithoutLlm,
    /// Those that an LLM may be called for.
    WithLlm,
}

/// Counts of requests by duration, in intervals of equal ratio.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Histogram {
    /// Bounds in milliseconds, ascending: one more than there are counts, or none.
    pub bounds_ms: Vec<f64>,
    /// Requests that no LLM takes part in, from each bound up to the next.
    pub without_llm: Vec<u64>,
    /// Requests that an LLM may be called for.
    pub with_llm: Vec<u64>,
}

/// Answers of one status to requests of one name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusRow {
    /// Request name.
    pub name: String,
    /// HTTP status; 0 where there was no answer.
    pub status: u16,
    /// How many.
    pub requests: u64,
}

/// A threshold that did not hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BrokenThreshold {
    /// Metric and expression, as in `thresholds`.
    pub name: String,
    /// The worst requests that it counts, worst first; none where k6 measures it in another way.
    pub worst: Vec<WorstRequest>,
}

/// A request that a broken threshold counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorstRequest {
    /// What the threshold's metric measured: milliseconds, tokens, dollars; 1 or 0 where it is a rate.
    pub value: f64,
    /// Request name; empty where the metric does not say it.
    pub name: String,
    /// What else is known of it: the status, k6's error, the check, or provider and model.
    pub what: String,
    /// Seconds since the start of the timeline.
    pub at: f64,
    /// W3C trace id, where the request carried one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
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
