//! `/api/v1/books/import` and `/api/v1/imports`.

use axum::extract::{FromRequest, Request, State};
use bytes::Bytes;
use common_models::ImportJob;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderName, StatusCode};
use http_server::extract::{Json, Path, body_problem};
use uuid::Uuid;

use super::Api;
use super::errors::ApiError;
use crate::import::Format;

/// Largest file taken, in bytes.
pub(crate) const LARGEST_FILE: usize = 32 << 20;

/// Import books
///
/// Takes CSV in the form of goodbooks-10k (`text/csv`), or what `bookstore-api export` wrote
/// (`application/x-ndjson`), and imports it in the background; `Location` tells where its progress
/// and its rejected rows are. Sending a file again changes nothing.
#[utoipa::path(post, path = "/api/v1/books/import", operation_id = "importBooks", tag = "books",
    request_body(content((String = "text/csv"), (String = "application/x-ndjson"))), security(("token" = [])),
    responses((status = 202, description = "Taken", body = ImportJob)),
    extensions(("x-problem-codes" = json!(["unusable_file", "store_unavailable", "too_many_imports"]))))]
pub(crate) async fn import(
    State(api): State<Api>,
    request: Request,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<ImportJob>), ApiError> {
    let media = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let format = match media.split(';').next().unwrap_or("").trim().to_ascii_lowercase().as_str() {
        "text/csv" => Format::Csv,
        "application/x-ndjson" | "application/jsonl" => Format::JsonLines,
        _ => return Err(ApiError::UnknownImportFormat),
    };
    // Before the body: as many files as there are places are held in memory, and no more.
    let place = api.imports.place()?;
    let body = Bytes::from_request(request, &())
        .await
        .map_err(|rejection| ApiError::Body(Box::new(body_problem(&rejection).0)))?;
    let job = api.imports.start(place, format, body).await?;
    let location = format!("/api/v1/imports/{}", job.id);
    Ok((StatusCode::ACCEPTED, [(LOCATION, location)], Json(job)))
}

/// Read an import
///
/// How far it is, and what became of the rows; the first thousand amended and rejected ones with the
/// reasons. Kept for a week.
#[utoipa::path(get, path = "/api/v1/imports/{id}", operation_id = "readImport", tag = "books",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "The job", body = ImportJob)),
    extensions(("x-problem-codes" = json!(["import_not_found", "store_unavailable"]))))]
pub(crate) async fn read(State(api): State<Api>, Path(id): Path<Uuid>) -> Result<Json<ImportJob>, ApiError> {
    Ok(Json(api.imports.job(id).await?))
}
