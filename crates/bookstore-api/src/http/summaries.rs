//! `POST /api/v1/books/{id}/generate-summary`.

use axum::extract::State;
use common_models::{Problem, Summary};
use http_server::extract::{Json, Path, Query};
use llm::ProviderName;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::errors::ApiError;
use super::{Api, convert};

/// Whose summary, and whether a new one.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct GenerateSummary {
    /// `claude`, `ollama`, `openai`, `bedrock` or `simulated`; any fresh summary will do when left out.
    provider: Option<String>,
    /// Ask the provider even if there is a fresh summary.
    #[serde(default)]
    refresh: bool,
}

/// Summarise a book
///
/// Answers the cached or stored summary while it is fresh; else asks the provider, which costs.
#[utoipa::path(post, path = "/api/v1/books/{id}/generate-summary", tag = "books",
    params(("id" = Uuid, Path), GenerateSummary), security(("token" = [])), responses(
    (status = 200, description = "The summary; tokens and dollars are those of this request", body = Summary),
    (status = 400, description = "Unknown provider, or one that is not set up; the id is no UUID", body = Problem),
    (status = 404, description = "No such book", body = Problem),
    (status = 422, description = "The provider refused the content, or it is too long", body = Problem),
    (status = 502, description = "Credentials or model are misconfigured, or the answer cannot be used", body = Problem),
    (status = 503, description = "The provider is rate limited, overloaded or down; see Retry-After", body = Problem),
    (status = 504, description = "The provider did not answer in time", body = Problem),
))]
pub(crate) async fn generate(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    Query(query): Query<GenerateSummary>,
) -> Result<Json<Summary>, ApiError> {
    let provider = match query.provider {
        None => None,
        Some(name) => Some(ProviderName::parse(&name).ok_or(ApiError::UnknownProvider(name))?),
    };
    Ok(Json(convert::summary(api.summaries.summary(id, provider, query.refresh).await?)))
}
