//! `GET /api/v1/llm/providers`.

use axum::Extension;
use axum::extract::State;
use common_models::{LlmBreaker, LlmLastError, LlmPrice, LlmProbe, LlmProviderStatus, LlmProviders};
use http::Method;
use http_server::extract::{Json, Query};
use llm::{Price, ProviderName};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Api;
use super::errors::ApiError;
use super::tenants::Caller;
use crate::probes::{Finding, Status};
use crate::settings::LlmSettings;
use crate::summaries::milliseconds;

/// Whether to ask them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ProvidersQuery {
    /// Ask each provider with a real call of few tokens, on the caller's account.
    #[serde(default)]
    probe: bool,
}

/// List the LLM providers
///
/// Those that are set up, with their model, price, breaker and latest failure, and what the others lack.
/// With `probe` each is asked, which needs the token or a tenant's key where a token is needed at all; what
/// it answers is kept for ten seconds.
#[utoipa::path(get, path = "/api/v1/llm/providers", operation_id = "readLlmProviders", tag = "llm",
    params(ProvidersQuery), security((), ("token" = []), ("tenantKey" = [])),
    responses((status = 200, description = "All providers", body = LlmProviders)),
    extensions(("x-problem-codes" = json!(["unknown_api_key", "cross_origin"]))))]
pub(crate) async fn read(
    State(api): State<Api>,
    method: Method,
    caller: Option<Extension<Caller>>,
    Query(query): Query<ProvidersQuery>,
) -> Result<Json<LlmProviders>, ApiError> {
    // Whoever could be let in to probe was: without a caller there is no account to probe on. Nobody spends
    // for an answer without a body.
    let tenant =
        caller.filter(|_| query.probe && method == Method::GET).map(|Extension(caller)| caller.tenant);
    let statuses = api.probes.all(tenant.as_ref()).await;
    let mut items: Vec<LlmProviderStatus> = statuses.into_iter().map(configured).collect();
    for name in ProviderName::ALL {
        if !items.iter().any(|item| item.name == name.as_str()) {
            items.push(LlmProviderStatus {
                missing: Some(LlmSettings::missing(name).to_owned()),
                ..bare(name, false)
            });
        }
    }
    items.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(Json(LlmProviders { items }))
}

fn bare(name: ProviderName, configured: bool) -> LlmProviderStatus {
    LlmProviderStatus {
        name: name.as_str().to_owned(),
        configured,
        missing: None,
        model: None,
        default: false,
        fallback: None,
        simulated: None,
        price: None,
        breaker: None,
        last_error: None,
        probe: None,
    }
}

fn configured(status: Status) -> LlmProviderStatus {
    let Status { provider, model, place, price, health, probe } = status;
    let answered = probe.as_ref().and_then(|finding| finding.outcome.as_ref().ok().copied());
    LlmProviderStatus {
        model: Some(model),
        default: place == Some(0),
        fallback: place.filter(|place| *place > 0).and_then(|place| u32::try_from(place).ok()),
        // Of others nobody knows before they have answered.
        simulated: if provider == ProviderName::Simulated { Some(true) } else { answered },
        price: price.map(|price| wire_price(&price)),
        breaker: Some(LlmBreaker {
            state: health.state.as_str().to_owned(),
            retry_after_seconds: health.retry_after.map(|wait| wait.as_secs_f64()),
        }),
        last_error: health
            .last_error
            .map(|error| LlmLastError { kind: error.kind.to_owned(), at: error.at.into() }),
        probe: probe.map(wire_probe),
        ..bare(provider, true)
    }
}

fn wire_price(price: &Price) -> LlmPrice {
    let rates = &price.rates;
    LlmPrice {
        input: rates.input.to_string(),
        output: rates.output.to_string(),
        cached_input: rates.cached_input.to_string(),
        cache_write_input: rates.cache_write_input.to_string(),
        source: price.source.clone(),
        as_of: price.as_of.clone(),
    }
}

fn wire_probe(finding: Finding) -> LlmProbe {
    let Finding { at, latency, outcome } = finding;
    let error = outcome.err();
    LlmProbe {
        ok: error.is_none(),
        at,
        latency_ms: milliseconds(latency),
        error: error.as_ref().map(|error| error.kind().to_owned()),
        detail: error.map(|error| error.detail),
    }
}
