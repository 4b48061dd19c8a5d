//! `/api/v1/comparisons`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use common_models::{Comparison, Page, Problem, StartComparison};
use http::StatusCode;
use http::header::{CONTENT_TYPE, LOCATION, X_CONTENT_TYPE_OPTIONS};
use http_server::extract::{Json, Path, Query};
use uuid::Uuid;

use super::Api;
use super::errors::ApiError;
use super::runs::ListRuns;
use crate::comparisons::{Sides, text};

/// List comparisons, newest first
#[utoipa::path(get, path = "/api/v1/comparisons", operation_id = "listComparisons", tag = "comparisons", params(ListRuns), responses(
    (status = 200, description = "A page of comparisons", body = Page<Comparison>),
    (status = 400, description = "A parameter or the cursor is malformed", body = Problem),
    (status = 422, description = "The limit is out of range", body = Problem),
))]
pub(crate) async fn list(
    State(api): State<Api>,
    Query(query): Query<ListRuns>,
) -> Result<Json<Page<Comparison>>, ApiError> {
    let (before, limit) = query.checked()?;
    let (items, more, total) = api.comparisons.list(before, limit).await?;
    let last = items.last().map(|comparison| comparison.id.to_string());
    Ok(Json(Page { next_cursor: last.filter(|_| more), items, total, total_capped: false }))
}

/// Start a comparison
///
/// It names two configured targets. Runs of both go on in turn, the order within each pair decided by a
/// fair coin; the answer says how long that takes. One comparison is made at a time.
#[utoipa::path(post, path = "/api/v1/comparisons", operation_id = "startComparison", tag = "comparisons", request_body = StartComparison, security(("token" = [])), responses(
    (status = 202, description = "Accepted", body = Comparison, headers(("Location", description = "Path of the comparison"))),
    (status = 400, description = "Not well-formed JSON, or no such scenario or target", body = Problem),
    (status = 401, description = "The API token is missing", body = Problem),
    (status = 409, description = "Another comparison is under way", body = Problem),
    (status = 415, description = "Not JSON", body = Problem),
    (status = 422, description = "Fields are out of range", body = Problem),
    (status = 503, description = "The service is stopping", body = Problem),
))]
pub(crate) async fn start(
    State(api): State<Api>,
    Json(asked): Json<StartComparison>,
) -> Result<(StatusCode, [(http::HeaderName, String); 1], Json<Comparison>), ApiError> {
    let comparison = api.comparisons.start(asked, Sides::as_they_are()).await?;
    let location = format!("/api/v1/comparisons/{}", comparison.id);
    Ok((StatusCode::ACCEPTED, [(LOCATION, location)], Json(comparison)))
}

/// Read a comparison
#[utoipa::path(get, path = "/api/v1/comparisons/{id}", operation_id = "readComparison", tag = "comparisons", params(("id" = Uuid, Path)), responses(
    (status = 200, description = "The comparison as it is now", body = Comparison),
    (status = 400, description = "The id is no UUID", body = Problem),
    (status = 404, description = "No such comparison", body = Problem),
))]
pub(crate) async fn read(State(api): State<Api>, Path(id): Path<Uuid>) -> Result<Json<Comparison>, ApiError> {
    Ok(Json(api.comparisons.read(id).await?))
}

/// A comparison as Markdown, for a pull request
#[utoipa::path(get, path = "/api/v1/comparisons/{id}/markdown", operation_id = "readComparisonMarkdown", tag = "comparisons", params(("id" = Uuid, Path)), responses(
    (status = 200, description = "The verdict and a table", body = String, content_type = "text/markdown"),
    (status = 400, description = "The id is no UUID", body = Problem),
    (status = 404, description = "No such comparison", body = Problem),
))]
pub(crate) async fn markdown(State(api): State<Api>, Path(id): Path<Uuid>) -> Result<Response, ApiError> {
    let comparison = api.comparisons.read(id).await?;
    let headers = [(CONTENT_TYPE, "text/markdown; charset=utf-8"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    Ok((headers, text::markdown(&comparison)).into_response())
}

/// Cancel a comparison and its run
#[utoipa::path(post, path = "/api/v1/comparisons/{id}/cancel", operation_id = "cancelComparison", tag = "comparisons", params(("id" = Uuid, Path)),
    security(("token" = [])), responses(
    (status = 202, description = "It is stopping, or cancelled already", body = Comparison),
    (status = 400, description = "The id is no UUID", body = Problem),
    (status = 401, description = "The API token is missing", body = Problem),
    (status = 404, description = "No such comparison", body = Problem),
    (status = 409, description = "It has ended, or another process makes it", body = Problem),
))]
pub(crate) async fn cancel(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
) -> Result<(StatusCode, Json<Comparison>), ApiError> {
    Ok((StatusCode::ACCEPTED, Json(api.comparisons.cancel(id).await?)))
}
