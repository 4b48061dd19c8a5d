//! What OpenAI's and Anthropic's protocols both have under `/v1`: the list of models, and the paths
//! that neither has.
//!
//! Owns by what a request of the one is told from a request of the other: Anthropic's clients have
//! to send `anthropic-version`, OpenAI's never do.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, Uri};
use percent_encoding::percent_decode_str;

use super::serving::Refused;
use super::{Shared, anthropic, openai};

/// `GET /v1/models`.
pub(super) async fn models(
    State(shared): State<Shared>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Refused> {
    if anthropic::asked(&headers) {
        Ok(anthropic::models(&shared, &headers, uri.query().unwrap_or_default())?)
    } else {
        Ok(openai::models(&shared, &headers)?)
    }
}

/// `GET /v1/models/{id}`; ids may have slashes, encoded or not.
pub(super) async fn model(
    State(shared): State<Shared>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Refused> {
    let id = uri.path().strip_prefix("/v1/models/").unwrap_or_default();
    let id = percent_decode_str(id).decode_utf8_lossy();
    if anthropic::asked(&headers) {
        Ok(anthropic::model(&shared, &headers, &id)?)
    } else {
        Ok(openai::model(&shared, &headers, &id)?)
    }
}

/// Any other path under `/v1`.
pub(super) async fn not_found(method: Method, headers: HeaderMap, uri: Uri) -> Refused {
    if anthropic::asked(&headers) { anthropic::refuse_path() } else { openai::not_found(method, &uri) }
}

/// Any other method; the `Allow` header is axum's.
pub(super) async fn method_not_allowed(method: Method, headers: HeaderMap, uri: Uri) -> Response {
    if anthropic::asked(&headers) {
        anthropic::method_not_allowed().await.into_response()
    } else {
        openai::method_not_allowed(method, uri).await.into_response()
    }
}
