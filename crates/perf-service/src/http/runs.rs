//! `/api/v1/runs`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use common_models::{Page, Problem, Run, RunEstimate, StartRun};
use http::StatusCode;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, X_CONTENT_TYPE_OPTIONS};
use http_server::extract::{Json, Path, Query};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::Api;
use super::errors::ApiError;
use crate::ledger::Artifact;
use crate::results::Results;

const DEFAULT_LIMIT: u32 = 20;
const LARGEST_LIMIT: u32 = 100;

/// Which runs to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListRuns {
    /// 1 to 100, 20 when left out.
    limit: Option<u32>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

impl ListRuns {
    /// Where the page begins, and how long it is.
    pub(crate) fn checked(self) -> Result<(Option<Uuid>, usize), ApiError> {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=LARGEST_LIMIT).contains(&limit) {
            return Err(ApiError::Limit(LARGEST_LIMIT));
        }
        let before = self.cursor.map(|cursor| Uuid::parse_str(&cursor)).transpose();
        Ok((before.map_err(|_| ApiError::Cursor)?, limit as usize))
    }
}

/// List runs, newest first
#[utoipa::path(get, path = "/api/v1/runs", operation_id = "listRuns", tag = "runs", params(ListRuns), responses(
    (status = 200, description = "A page of runs", body = Page<Run>),
    (status = 400, description = "A parameter or the cursor is malformed", body = Problem),
    (status = 422, description = "The limit is out of range", body = Problem),
))]
pub(crate) async fn list(
    State(api): State<Api>,
    Query(query): Query<ListRuns>,
) -> Result<Json<Page<Run>>, ApiError> {
    let (before, limit) = query.checked()?;
    let stretch = api.runs.list(before, limit).await?;
    let last = stretch.runs.last().map(|run| run.id.to_string());
    Ok(Json(Page {
        next_cursor: last.filter(|_| stretch.more),
        items: stretch.runs,
        total: stretch.total,
        total_capped: false,
    }))
}

/// Start a run
///
/// It names a scenario and a configured target; runs against the same target wait for each other. One that
/// may ask a provider that bills needs `maxCostUsd`.
#[utoipa::path(post, path = "/api/v1/runs", operation_id = "startRun", tag = "runs", request_body = StartRun, security(("token" = [])), responses(
    (status = 202, description = "Accepted", body = Run, headers(("Location", description = "Path of the run"))),
    (status = 400, description = "Not well-formed JSON, or no such scenario or target", body = Problem),
    (status = 401, description = "The API token is missing", body = Problem),
    (status = 415, description = "Not JSON", body = Problem),
    (status = 422, description = "Fields are out of range, or it may spend money and has no limit", body = Problem),
    (status = 429, description = "Too many runs are waiting", body = Problem),
    (status = 503, description = "The service is stopping", body = Problem),
))]
pub(crate) async fn start(
    State(api): State<Api>,
    Json(asked): Json<StartRun>,
) -> Result<(StatusCode, [(http::HeaderName, String); 1], Json<Run>), ApiError> {
    let run = api.runs.start(asked, None).await?;
    let location = format!("/api/v1/runs/{}", run.id);
    Ok((StatusCode::ACCEPTED, [(LOCATION, location)], Json(run)))
}

/// Estimate what a run would spend
///
/// Nothing is started. The estimate is a bound: every user asks all the time, every answer takes a second.
#[utoipa::path(post, path = "/api/v1/runs/estimate", operation_id = "estimateRun", tag = "runs", request_body = StartRun, security(("token" = [])), responses(
    (status = 200, description = "What it would spend at most", body = RunEstimate),
    (status = 400, description = "Not well-formed JSON, or no such scenario or target", body = Problem),
    (status = 401, description = "The API token is missing", body = Problem),
    (status = 415, description = "Not JSON", body = Problem),
    (status = 422, description = "Fields are out of range", body = Problem),
))]
pub(crate) async fn estimate(
    State(api): State<Api>,
    Json(asked): Json<StartRun>,
) -> Result<Json<RunEstimate>, ApiError> {
    Ok(Json(api.runs.estimate(&asked).await?))
}

/// Read a run
#[utoipa::path(get, path = "/api/v1/runs/{id}", operation_id = "readRun", tag = "runs", params(("id" = Uuid, Path)), responses(
    (status = 200, description = "The run as it is now", body = Run),
    (status = 400, description = "The id is no UUID", body = Problem),
    (status = 404, description = "No such run", body = Problem),
    (status = 409, description = "A newer perf-service made it", body = Problem),
))]
pub(crate) async fn read(State(api): State<Api>, Path(id): Path<Uuid>) -> Result<Json<Run>, ApiError> {
    Ok(Json(api.runs.read(id).await?))
}

/// Cancel a run
#[utoipa::path(post, path = "/api/v1/runs/{id}/cancel", operation_id = "cancelRun", tag = "runs", params(("id" = Uuid, Path)),
    security(("token" = [])), responses(
    (status = 202, description = "It is stopping, or cancelled already", body = Run),
    (status = 400, description = "The id is no UUID", body = Problem),
    (status = 401, description = "The API token is missing", body = Problem),
    (status = 404, description = "No such run", body = Problem),
    (status = 409, description = "It has ended, another process runs it, or a newer perf-service made it", body = Problem),
))]
pub(crate) async fn cancel(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
) -> Result<(StatusCode, Json<Run>), ApiError> {
    Ok((StatusCode::ACCEPTED, Json(api.runs.cancel(id).await?)))
}

/// All figures of a run
#[utoipa::path(get, path = "/api/v1/runs/{id}/summary", operation_id = "readRunSummary", tag = "runs", params(("id" = Uuid, Path)), responses(
    (status = 200, description = "The figures", body = Results),
    (status = 400, description = "The id is no UUID", body = Problem),
    (status = 404, description = "No such run, or it has no figures (yet)", body = Problem),
    (status = 409, description = "A newer perf-service made it", body = Problem),
))]
pub(crate) async fn summary(State(api): State<Api>, Path(id): Path<Uuid>) -> Result<Response, ApiError> {
    let results = api.runs.artifact(id, Artifact::Results).await?;
    Ok(([(CONTENT_TYPE, "application/json")], results).into_response())
}

/// The report of a run
#[utoipa::path(get, path = "/api/v1/runs/{id}/report", operation_id = "readRunReport", tag = "runs", params(("id" = Uuid, Path)), responses(
    (status = 200, description = "One self-contained page", body = String, content_type = "text/html"),
    (status = 400, description = "The id is no UUID", body = Problem),
    (status = 404, description = "No such run, or it has no report (yet)", body = Problem),
    (status = 409, description = "A newer perf-service made it", body = Problem),
))]
pub(crate) async fn report(State(api): State<Api>, Path(id): Path<Uuid>) -> Result<Response, ApiError> {
    let html = api.runs.artifact(id, Artifact::Report).await?;
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The page's own policy says what it may do; this keeps it from acting with our origin.
        (
            CONTENT_SECURITY_POLICY,
            "sandbox allow-scripts allow-popups allow-popups-to-escape-sandbox; frame-ancestors 'self'",
        ),
    ];
    Ok((headers, html).into_response())
}

/// The end of k6's log, a JSON object a line
#[utoipa::path(get, path = "/api/v1/runs/{id}/log", operation_id = "readRunLog", tag = "runs", params(("id" = Uuid, Path)), responses(
    (status = 200, description = "At most the last MiB", body = String, content_type = "text/plain"),
    (status = 400, description = "The id is no UUID", body = Problem),
    (status = 404, description = "No such run, or it has no log (yet)", body = Problem),
    (status = 409, description = "A newer perf-service made it", body = Problem),
))]
pub(crate) async fn log(State(api): State<Api>, Path(id): Path<Uuid>) -> Result<Response, ApiError> {
    let log = api.runs.artifact(id, Artifact::Log).await?;
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    Ok((headers, log).into_response())
}
