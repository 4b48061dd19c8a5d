//! Stored runs over time as perf-service shows them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{Outcome, RunSummary};

/// A stored run as a point in time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrendPoint {
    /// The run.
    pub run: Uuid,
    /// When k6 was started.
    pub at: DateTime<Utc>,
    /// Its result.
    pub outcome: Outcome,
    /// Its figures.
    pub summary: RunSummary,
}

/// The stored runs of one scenario against one target, by one engine, simulated or not. For looking at: machines and days differ, so no
/// verdict comes of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Trend {
    /// Name of the scenario.
    pub scenario: String,
    /// Name of the target.
    pub target: String,
    /// `docker` or `local`: figures of the two are not alike.
    pub engine: String,
    /// Whether summaries came from a simulator: neither are those of the two.
    pub simulated: bool,
    /// Oldest first. Runs that proved nothing are not among them.
    pub points: Vec<TrendPoint>,
}
