//! Load runs as perf-service shows them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum RunState {
    /// Accepted, waiting for its turn.
    Queued,
    /// The engine is being started.
    Starting,
    /// k6 is at work.
    Running,
    /// k6 was asked to stop.
    Stopping,
    /// k6 came to its end; `outcome` says with what result.
    Finished,
    /// The run broke; `reason` says why.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
}

/// The result of a finished run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Every threshold held.
    Passed,
    /// At least one threshold was crossed.
    Failed,
    /// The figures prove nothing: the load generator fell behind, visits were cut off unanswered, or a limit in
    /// dollars ended the load.
    Inconclusive,
}

/// One threshold and whether it held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ThresholdResult {
    /// Metric and expression: `http_req_duration{phase:measured}: p(95)<500`.
    pub name: String,
    /// Whether it held.
    pub ok: bool,
    /// Whether nothing was measured that it could be held against; `ok` says nothing then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untested: bool,
}

/// The figures of a run, warm-up left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunSummary {
    /// HTTP requests.
    pub requests: u64,
    /// Share of requests that failed, 0 to 1.
    pub failed_rate: f64,
    /// HTTP requests a second of measured load: as long as planned, or until it was cut short.
    pub rps: f64,
    /// Median request duration in milliseconds.
    pub p50_ms: f64,
    /// 95th percentile of request duration in milliseconds.
    pub p95_ms: f64,
    /// 99th percentile of request duration in milliseconds.
    pub p99_ms: f64,
    /// 95th percentile in milliseconds of requests that an LLM may be called for; absent where all requests
    /// are of one kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with_llm_p95_ms: Option<f64>,
    /// 95th percentile in milliseconds of requests that no LLM takes part in; absent where all requests are
    /// of one kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_llm_p95_ms: Option<f64>,
    /// Iterations that k6 could not start in time.
    pub dropped_iterations: u64,
    /// Prompt tokens that providers were called with.
    pub input_tokens: u64,
    /// Tokens that providers answered with.
    pub output_tokens: u64,
    /// Dollars billed; absent where a price is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// Dollars by list price; absent where a price is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list_cost_usd: Option<f64>,
    /// Share of summaries that needed no provider, 0 to 1; absent when none was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_hit_rate: Option<f64>,
    /// Every threshold of the scenario.
    pub thresholds: Vec<ThresholdResult>,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// UUIDv7.
    pub id: Uuid,
    /// Name of the scenario.
    #[schema(example = "smoke")]
    pub scenario: String,
    /// Name of the configured target.
    #[schema(example = "local")]
    pub target: String,
    /// `docker` or `local`.
    #[schema(example = "local")]
    pub engine: String,
    /// Where it stands.
    pub state: RunState,
    /// Its result, once it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Why it failed, was cancelled, or proves nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether any summary in it came from a simulator.
    pub simulated: bool,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// When k6 was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<DateTime<Utc>>,
    /// When it reached its last state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<DateTime<Utc>>,
    /// Its figures, once it has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<RunSummary>,
}

/// What a client sends to start a run. It names things that the service knows; never an image, a
/// command, a path or a URL.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StartRun {
    /// Name of a scenario.
    #[schema(example = "smoke")]
    pub scenario: String,
    /// Name of a configured target; the first one when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "local")]
    pub target: Option<String>,
    /// Seconds of measured load, 1 to 3600; the scenario's own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 3600)]
    pub duration_seconds: Option<u32>,
    /// Virtual users, 1 to 200; the scenario's own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 200)]
    pub users: Option<u32>,
    /// Iterations begun a second, 1 to 1000, whether or not earlier ones have ended; users then are the
    /// most that may be under way. When left out, each user begins the next one when its last has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    pub rate: Option<u32>,
    /// LLM provider that summaries are asked of; the target's default when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "ollama")]
    pub provider: Option<String>,
    /// Dollars at which the run is aborted, 0 to 1000; with 0 nothing may be billed, as by a simulator. A run
    /// that may ask a provider that bills is refused without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.0, maximum = 1000.0)]
    pub max_cost_usd: Option<f64>,
    /// Decides every draw of the visitors, so that two runs of a scenario ask for the same; the same for
    /// all runs when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 7)]
    pub seed: Option<u32>,
}

/// What a run does at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum RunPhase {
    /// It waits for its turn.
    Waiting,
    /// k6 is being fetched or started, or prepares the target.
    Preparing,
    /// Load that is left out of the figures.
    WarmUp,
    /// Load that counts.
    Measuring,
    /// It was asked to stop.
    Stopping,
    /// It has ended.
    Ended,
}

/// A moment of a run: data of the event `progress`, sent each second and whenever the state changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunProgress {
    /// Id of the run.
    pub id: Uuid,
    /// When it was so.
    pub at: DateTime<Utc>,
    /// Where the run stands.
    pub state: RunState,
    /// What it does.
    pub phase: RunPhase,
    /// How much of the measured load is done, 0 to 1; absent where its length is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<f64>,
    /// Seconds of measured load so far.
    pub measured_seconds: f64,
    /// Seconds of measured load that there will be, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_seconds: Option<u32>,
    /// HTTP requests so far, warm-up included.
    pub requests: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// HTTP requests a second, over the last few seconds.
    pub rps: f64,
    /// 95th percentile of request duration in milliseconds, of the measured load once it has begun.
    pub p95_ms: f64,
    /// Virtual users.
    pub users: u64,
    /// What is being waited for before k6 runs, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// Which k6 runs it, in words, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub k6: Option<String>,
}

/// What a run would spend at most on LLM providers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunEstimate {
    /// Whether it may spend money, so that it needs `maxCostUsd`.
    pub bills: bool,
    /// The providers that bill and may be asked: `claude (claude-sonnet-4-6)`.
    pub billed_by: Vec<String>,
    /// Provider calls, at most, as long as each takes a second or more.
    pub calls: u64,
    /// Prompt tokens of all of them, roughly.
    pub input_tokens: u64,
    /// Answer tokens of all of them, roughly.
    pub output_tokens: u64,
    /// Dollars for all of them at the dearest provider's list price; absent where a price is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// The same in words.
    pub text: String,
}

/// A scenario that can be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Scenario {
    /// Its name: that of its file.
    #[schema(example = "smoke")]
    pub name: String,
    /// What it does, in one line.
    pub description: String,
}
