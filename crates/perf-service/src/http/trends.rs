//! `/api/v1/trends`, and the page that shows them.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use common_models::{Problem, Trend};
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http_server::extract::{Json, Query};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Api;
use super::errors::ApiError;
use crate::trends;

/// Which trends.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Name of a scenario; all of them when left out.
    scenario: Option<String>,
    /// Name of a target; all of them when left out.
    target: Option<String>,
}

async fn found(api: &Api, wanted: &Wanted) -> Result<Vec<Trend>, ApiError> {
    let all = trends::of(&api.runs).await?;
    let is = |wanted: &Option<String>, name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
    let wanted = |trend: &Trend| is(&wanted.scenario, &trend.scenario) && is(&wanted.target, &trend.target);
    Ok(all.into_iter().filter(wanted).collect())
}

/// Figures of the latest stored runs over time, by scenario and target
///
/// For looking at: machines and days differ, so a verdict comes of comparisons only.
#[utoipa::path(get, path = "/api/v1/trends", operation_id = "listTrends", tag = "trends", params(Wanted), responses(
    (status = 200, description = "One trend a scenario and target", body = Vec<Trend>),
    (status = 400, description = "A parameter is malformed", body = Problem),
))]
pub(crate) async fn list(
    State(api): State<Api>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Vec<Trend>>, ApiError> {
    Ok(Json(found(&api, &wanted).await?))
}

/// The trends as a page
#[utoipa::path(get, path = "/trends", operation_id = "readTrendsPage", tag = "trends", params(Wanted), responses(
    (status = 200, description = "One self-contained page", body = String, content_type = "text/html"),
    (status = 400, description = "A parameter is malformed", body = Problem),
))]
pub(crate) async fn page(State(api): State<Api>, Query(wanted): Query<Wanted>) -> Result<Response, ApiError> {
    let html = trends::page(&found(&api, &wanted).await?).map_err(ApiError::Page)?;
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // It has no script, and its style is its own.
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
        ),
    ];
    Ok((headers, html).into_response())
}
