//! `GET /api/v1/experiments`.

use axum::extract::State;
use common_models as wire;
use http_server::extract::Json;

use super::Api;
use super::errors::ApiError;
use crate::catalog::UseCaseError;
use crate::experiments::Variant;
use crate::experiments::outcomes::{Estimate, Outcomes};
use crate::providers::Route;

/// List the experiments
///
/// Per arm what came of it, over all instances and restarts, with 95 % intervals.
#[utoipa::path(get, path = "/api/v1/experiments", operation_id = "readExperiments", tag = "llm",
    security(("token" = []), ("tenantKey" = [])),
    responses((status = 200, description = "The experiments under way", body = wire::Experiments)),
    extensions(("x-problem-codes" = json!(["unknown_api_key", "store_unavailable"]))))]
pub(crate) async fn read(State(api): State<Api>) -> Result<Json<wire::Experiments>, ApiError> {
    let mut items = Vec::new();
    for experiment in api.summaries.experiments().iter() {
        let mut arms = Vec::new();
        for variant in &experiment.variants {
            let found = api.summaries.outcomes(variant).await.map_err(UseCaseError::from)?;
            arms.extend(found.map(|(route, outcomes)| arm(variant, route, &outcomes)));
        }
        items.push(wire::Experiment {
            name: experiment.name.clone(),
            sticky: experiment.sticky.as_str().to_owned(),
            share: experiment.share,
            arms,
        });
    }
    Ok(Json(wire::Experiments { items }))
}

fn arm(variant: &Variant, route: Route, outcomes: &Outcomes) -> wire::ExperimentArm {
    wire::ExperimentArm {
        name: variant.arm.arm.clone(),
        weight: variant.weight,
        provider: route.provider.as_str().to_owned(),
        model: route.model,
        prompt_version: route.prompt_version.to_owned(),
        requests: outcomes.answers,
        calls: outcomes.calls,
        errors: outcomes.errors,
        abandoned: outcomes.abandoned,
        error_rate: outcomes.error_rate().map(estimate),
        latency_mean_ms: outcomes.latency.mean().map(estimate),
        latency_median_ms: outcomes.median_latency().map(estimate),
        cost_usd: outcomes.billed.mean().map(estimate),
        list_cost_usd: outcomes.list.mean().map(estimate),
        input_tokens: outcomes.input_tokens,
        output_tokens: outcomes.output_tokens,
        estimated_tokens: outcomes.estimated_tokens,
    }
}

fn estimate(estimate: Estimate) -> wire::Estimate {
    let (low, high) = estimate.interval.unzip();
    wire::Estimate { value: estimate.value, low, high }
}
