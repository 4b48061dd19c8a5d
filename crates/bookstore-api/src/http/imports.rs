//! `POST /api/v1/books/import`.

use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use bytes::{Buf, Bytes};
use common_models::{ImportReport, Problem};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_server::extract::{Json, body_problem};

use super::Api;
use super::errors::ApiError;
use crate::import::CsvRows;

/// Largest file taken, in bytes.
pub(crate) const LARGEST_FILE: usize = 32 << 20;

/// Import books from CSV
///
/// Takes a file in the form of goodbooks-10k and answers what became of each row. Sending it again
/// changes nothing.
#[utoipa::path(post, path = "/api/v1/books/import", tag = "books",
    request_body(content = String, content_type = "text/csv"), security(("token" = [])), responses(
    (status = 200, description = "What became of each row", body = ImportReport),
    (status = 413, description = "The file is larger than 32 MiB", body = Problem),
    (status = 415, description = "Not CSV", body = Problem),
    (status = 422, description = "The header is not UTF-8 or lacks a column", body = Problem),
    (status = 503, description = "The store cannot be reached", body = Problem),
))]
pub(crate) async fn import(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Result<Json<ImportReport>, ApiError>, http_server::ProblemResponse> {
    let media = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if !media.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case("text/csv") {
        return Ok(Err(ApiError::NotCsv));
    }
    let body = body.map_err(|rejection| body_problem(&rejection))?;
    let rows = match CsvRows::open(body.reader()) {
        Ok(rows) => rows,
        Err(error) => return Ok(Err(error.into())),
    };
    Ok(api.importer.import(rows, |_| {}).await.map(Json).map_err(ApiError::from))
}
