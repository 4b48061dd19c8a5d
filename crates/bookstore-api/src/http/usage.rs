//! `GET /api/v1/llm/usage`.

use axum::Extension;
use axum::extract::State;
use chrono::{Days, NaiveDate};
use common_models::{LlmTotals, LlmUsage, LlmUsageItem};
use http_server::extract::{Json, Query};
use llm::Usd;
use serde::Deserialize;
use utoipa::IntoParams;

use super::errors::ApiError;
use super::tenants::Caller;
use super::{Api, convert};
use crate::book::Violation;
use crate::catalog::UseCaseError;
use crate::spend::ledger::Totals;
use crate::tenants::Tenant;

/// Most days that are answered at once.
const MOST_DAYS: u64 = 92;

/// Which days, and whose.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UsageQuery {
    /// The first day (UTC), such as `2026-11-21`; `to` when left out.
    from: Option<NaiveDate>,
    /// The last day, at most 92 in all; today when left out.
    to: Option<NaiveDate>,
    /// One tenant; all of them when left out, or the one whose key is sent.
    tenant: Option<String>,
}

/// What was spent on LLM calls
///
/// By day, tenant, provider and model, with what is left today of each limit. Whoever sends a tenant's key
/// sees that tenant.
#[utoipa::path(get, path = "/api/v1/llm/usage", operation_id = "readLlmUsage", tag = "llm", params(UsageQuery),
    security(("token" = []), ("tenantKey" = [])),
    responses((status = 200, description = "What was spent", body = LlmUsage)),
    extensions(("x-problem-codes" = json!(["unknown_api_key", "other_tenant", "validation_failed", "store_unavailable"]))))]
pub(crate) async fn read(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<UsageQuery>,
) -> Result<Json<LlmUsage>, ApiError> {
    let (from, to) = days(&query, api.spend.today())?;
    let tenant = match query.tenant.as_deref().map(named).transpose()? {
        Some(other) if caller.by_key && other != caller.tenant => return Err(ApiError::OtherTenant),
        None if caller.by_key => Some(caller.tenant),
        wanted => wanted,
    };
    let spent = api.spend.spent((from, to), tenant.as_ref()).await.map_err(UseCaseError::from)?;
    if let Some(tenant) = &tenant
        && spent.is_empty()
        && !api.spend.tenants().knows(tenant)
    {
        return Err(UseCaseError::Invalid(vec![unknown(tenant)]).into());
    }
    let limits = match &tenant {
        Some(tenant) => api.spend.left(std::slice::from_ref(tenant), !caller.by_key).await,
        None => api.spend.left(&api.spend.tenants().all().cloned().collect::<Vec<_>>(), true).await,
    };
    let totals = spent.iter().fold(Totals::default(), |sum, (_, totals)| sum.plus(*totals));
    let items = spent.into_iter().map(|(account, totals)| LlmUsageItem {
        tenant: account.tenant.to_string(),
        day: account.day,
        provider: account.provider,
        model: account.model,
        simulated: account.simulated,
        totals: wire(&totals),
    });
    Ok(Json(LlmUsage {
        from,
        to,
        items: items.collect(),
        totals: wire(&totals),
        limits: limits.map(|limits| limits.into_iter().map(convert::limit).collect()),
    }))
}

fn days(query: &UsageQuery, today: NaiveDate) -> Result<(NaiveDate, NaiveDate), UseCaseError> {
    let to = query.to.unwrap_or(today);
    let from = query.from.unwrap_or(to);
    let longest = from.checked_add_days(Days::new(MOST_DAYS - 1));
    if from <= to && longest.is_some_and(|longest| to <= longest) {
        return Ok((from, to));
    }
    Err(UseCaseError::Invalid(vec![Violation {
        field: "from".to_owned(),
        code: "range",
        message: format!("has to be {to} or up to {} days before it", MOST_DAYS - 1),
    }]))
}

fn unknown(tenant: &Tenant) -> Violation {
    Violation {
        field: "tenant".to_owned(),
        code: "unknown",
        message: format!("{tenant} is no tenant of TENANTS_FILE, and has spent nothing on these days"),
    }
}

fn named(name: &str) -> Result<Tenant, UseCaseError> {
    Tenant::named(name).ok_or_else(|| {
        UseCaseError::Invalid(vec![Violation {
            field: "tenant".to_owned(),
            code: "name",
            message: "is no tenant's name: 1 to 63 of a-z, 0-9, - and _ with no sign first".to_owned(),
        }])
    })
}

fn wire(totals: &Totals) -> LlmTotals {
    LlmTotals {
        calls: totals.calls,
        failed_calls: totals.failed_calls,
        input_tokens: totals.input_tokens,
        output_tokens: totals.output_tokens,
        cached_input_tokens: totals.cached_input_tokens,
        estimated_input_tokens: totals.estimated_input_tokens,
        estimated_output_tokens: totals.estimated_output_tokens,
        cost_usd: Usd::from_nanos(totals.billed_nanos).dollars(),
        list_cost_usd: Usd::from_nanos(totals.list_nanos).dollars(),
        unpriced_calls: totals.unpriced_calls,
        unlisted_calls: totals.unlisted_calls,
    }
}
