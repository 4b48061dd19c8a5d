//! What was spent on LLM calls, as `GET /api/v1/llm/usage` answers it, and what is left of a limit.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Totals over calls of providers; each attempt is a call. What a provider reported and what was estimated
/// because it reported nothing are apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LlmTotals {
    /// Calls.
    pub calls: u64,
    /// Those of them that failed or were given up.
    pub failed_calls: u64,
    /// Reported tokens of prompts.
    pub input_tokens: u64,
    /// Reported tokens of answers.
    pub output_tokens: u64,
    /// Those of the prompts' that the provider had cached.
    pub cached_input_tokens: u64,
    /// Estimated tokens of prompts.
    pub estimated_input_tokens: u64,
    /// Estimated tokens of answers.
    pub estimated_output_tokens: u64,
    /// Dollars billed, at most 9 decimals; without calls of unknown price.
    #[schema(example = 0.0112572)]
    pub cost_usd: f64,
    /// Dollars by list price, of simulators too; without calls of unknown price.
    #[schema(example = 0.0112572)]
    pub list_cost_usd: f64,
    /// Calls that are missing in `costUsd`.
    pub unpriced_calls: u64,
    /// Calls that are missing in `listCostUsd`.
    pub unlisted_calls: u64,
}

/// What one tenant spent on one day with one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LlmUsageItem {
    /// The tenant.
    #[schema(example = "default")]
    pub tenant: String,
    /// The day (UTC) on which the calls began.
    pub day: NaiveDate,
    /// The provider that was asked.
    #[schema(example = "claude")]
    pub provider: String,
    /// The model that was asked.
    pub model: String,
    /// Whether a simulator answered.
    pub simulated: bool,
    /// The totals.
    #[serde(flatten)]
    pub totals: LlmTotals,
}

/// A limit and what is left of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LimitState {
    /// Whom it binds: `tenant`, or `global` for all tenants together.
    #[schema(example = "tenant")]
    pub scope: String,
    /// The tenant, in lists of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// What it limits: `daily_budget_usd`, `tokens_per_minute` or `requests_per_minute`.
    #[schema(example = "daily_budget_usd")]
    pub kind: String,
    /// The limit, in dollars, tokens or calls.
    #[schema(example = 5.0)]
    pub limit: f64,
    /// What is left of it.
    #[schema(example = 0.25)]
    pub left: f64,
    /// When it is whole again.
    pub resets_at: DateTime<Utc>,
}

/// What was spent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LlmUsage {
    /// The first day (UTC).
    pub from: NaiveDate,
    /// The last day.
    pub to: NaiveDate,
    /// By day, tenant, provider, model and whether it was simulated.
    pub items: Vec<LlmUsageItem>,
    /// All of them together.
    pub totals: LlmTotals,
    /// What is left today of each limit; absent while that cannot be found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Vec<LimitState>>,
}
