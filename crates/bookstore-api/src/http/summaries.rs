//! `POST /api/v1/books/{id}/generate-summary`.

use axum::extract::State;
use common_models::Summary;
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
#[utoipa::path(post, path = "/api/v1/books/{id}/generate-summary", operation_id = "generateSummary", tag = "books",
    params(("id" = Uuid, Path), GenerateSummary), security(("token" = [])),
    responses((status = 200, description = "The summary; tokens and dollars are those of this request", body = Summary)),
    extensions(("x-problem-codes" = json!(["unknown_provider", "provider_not_configured", "book_not_found",
        "llm_refused", "llm_context_too_long", "llm_unauthorized", "llm_bad_request", "llm_bad_answer",
        "store_unavailable", "llm_rate_limited", "llm_overloaded", "llm_unavailable", "llm_timeout"]))))]
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
