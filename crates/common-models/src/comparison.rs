//! Comparisons of two targets as perf-service shows them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// What the candidate is beside the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// It differs for the better, by at least the smallest change that matters.
    Better,
    /// It differs for the worse, by at least the smallest change that matters.
    Worse,
    /// A difference, if there is one, is smaller than the smallest that was asked about.
    Same,
    /// The repetitions do not tell; or what they measured cannot be compared.
    NotEnoughEvidence,
}

/// A figure that two targets are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ComparedMetric {
    /// Median request duration in milliseconds.
    P50Ms,
    /// 95th percentile of request duration in milliseconds.
    P95Ms,
    /// 99th percentile of request duration in milliseconds.
    P99Ms,
    /// 95th percentile in milliseconds of requests that an LLM may be called for.
    WithLlmP95Ms,
    /// 95th percentile in milliseconds of requests that no LLM takes part in.
    WithoutLlmP95Ms,
    /// HTTP requests a second.
    Rps,
    /// Share of requests that failed, 0 to 1.
    FailedRate,
    /// Prompt and answer tokens a request.
    TokensPerRequest,
    /// Dollars billed a request.
    CostUsdPerRequest,
    /// Dollars by list price a request.
    ListCostUsdPerRequest,
}

/// One figure of both sides. Changes are fractions (0.05 for 5 % more) of the baseline, or of all
/// requests for the share that failed; above zero means that the candidate has more of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricComparison {
    /// Which figure.
    pub metric: ComparedMetric,
    /// Whether it is the one declared beforehand.
    pub primary: bool,
    /// The baseline's median over its repetitions; the mean, where it is a share.
    pub baseline: f64,
    /// The candidate's median over its repetitions; the mean, where it is a share.
    pub candidate: f64,
    /// The change, estimated from the pairs; not the ratio of the medians.
    pub change: f64,
    /// Lower end of the change's interval; absent where too few pairs give none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// Upper end of the change's interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// The interval's level, 0 to 1; those of the figures beside the primary one hold together.
    pub level: f64,
    /// The smallest change that matters.
    pub minimum_effect: f64,
    /// The chance of pairs at least as one-sided, were there no difference; corrected by Holm for all
    /// but the primary figure.
    pub p: f64,
    /// What this figure says.
    pub verdict: Verdict,
}

/// Two runs that belong together, one right after the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComparedPair {
    /// Run of the baseline.
    pub baseline: Uuid,
    /// Run of the candidate.
    pub candidate: Uuid,
    /// Which of them came first, by a fair coin.
    pub baseline_first: bool,
    /// Why it counts for nothing; absent where it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<String>,
    /// Whose run was why; absent where it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out_by: Option<ComparedSide>,
}

/// A side of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ComparedSide {
    /// What the candidate is held against.
    Baseline,
    /// What is judged.
    Candidate,
    /// The one as well as the other.
    Both,
}

/// How many pairs a comparison makes and how long it takes, said before its first run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComparisonPlan {
    /// Fewest pairs.
    pub least_pairs: u32,
    /// Most pairs; how many it takes depends on how much the first ones spread.
    pub most_pairs: u32,
    /// Seconds that the fewest take.
    pub least_seconds: u64,
    /// Seconds that the most take.
    pub most_seconds: u64,
    /// Pairs that the spread of those so far asks for, once the fewest are made; where it is more than the
    /// most, what differs a little will not be told from what does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted_pairs: Option<u32>,
}

/// Where a comparison stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ComparisonState {
    /// Its runs go on.
    Running,
    /// It has a verdict.
    Finished,
    /// It broke; `reason` says why.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

/// A comparison of two targets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// UUIDv7.
    pub id: Uuid,
    /// Where it stands.
    pub state: ComparisonState,
    /// Name of the scenario.
    pub scenario: String,
    /// What the candidate is held against.
    pub baseline: String,
    /// What is judged.
    pub candidate: String,
    /// The build that was started for each run of the baseline, where `perf-service compare` started one:
    /// path or image, and what it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_build: Option<String>,
    /// The same of the candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate_build: Option<String>,
    /// The figure declared beforehand.
    pub primary: ComparedMetric,
    /// Chance of a false word in 1 minus this: 0.95 for one in twenty.
    pub level: f64,
    /// The smallest change that matters, as a fraction.
    pub minimum_effect: f64,
    /// What decided which of each pair came first.
    pub seed: u64,
    /// What was planned.
    pub plan: ComparisonPlan,
    /// The verdict, once it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// What it rests on, or why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Pairs that would be enough to tell, where these were not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enough_pairs: Option<u32>,
    /// Whether any summary came from a simulator.
    pub simulated: bool,
    /// When it was started.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<DateTime<Utc>>,
    /// The figures, the primary one first.
    pub metrics: Vec<MetricComparison>,
    /// The pairs in their order.
    pub pairs: Vec<ComparedPair>,
}

/// What a client sends to start a comparison of two configured targets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StartComparison {
    /// Name of the target that the candidate is held against.
    #[schema(example = "main")]
    pub baseline: String,
    /// Name of the target that is judged.
    #[schema(example = "branch")]
    pub candidate: String,
    /// Name of a scenario; `smoke` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "smoke")]
    pub scenario: Option<String>,
    /// Seconds of measured load a repetition, 1 to 600; 10 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 600)]
    pub duration_seconds: Option<u32>,
    /// Virtual users, 1 to 200; the scenario's own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 200)]
    pub users: Option<u32>,
    /// LLM provider that summaries are asked of; the target's default when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "simulated")]
    pub provider: Option<String>,
    /// The figure that decides; `p95Ms` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<ComparedMetric>,
    /// 0.8 to 0.999; 0.95 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.8, maximum = 0.999)]
    pub level: Option<f64>,
    /// The smallest change that matters, 0.001 to 1; 0.05 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.001, maximum = 1)]
    pub minimum_effect: Option<f64>,
    /// Exactly so many pairs, 2 to 200; as many as the noise asks for when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 2, maximum = 200)]
    pub pairs: Option<u32>,
    /// Dollars that all runs together may spend; needed where a target bills, and shared evenly among the
    /// runs. k6 aborts a run that reaches its share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub max_cost_usd: Option<f64>,
    /// Decides the order in each pair; drawn when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}
