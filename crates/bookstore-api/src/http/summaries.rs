//! `POST /api/v1/books/{id}/generate-summary`.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use common_models::Summary;
use http::{HeaderMap, Uri};
use http_server::extract::{Json, Path, Query};
use llm::ProviderName;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::errors::ApiError;
use super::tenants::Caller;
use super::{Api, convert, events, negotiation};
use crate::summaries::Asked;

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
///
/// With `Accept: text/event-stream` the answer comes as server-sent events while it is made:
/// `started` (`SummaryStarted`) begins an answer, and makes void what came before if it comes again,
/// for then an attempt broke off and another answers; `delta` (`SummaryDelta`) brings text; last comes
/// `completed` with the whole, checked summary, or `error` with a problem. What fails before there is
/// text is answered as a problem with its status. Comments keep the connection alive.
#[utoipa::path(post, path = "/api/v1/books/{id}/generate-summary", operation_id = "generateSummary", tag = "books",
    params(("id" = Uuid, Path), GenerateSummary), security(("token" = []), ("tenantKey" = [])),
    responses((status = 200, description = "The summary; tokens and dollars are those of this request",
        content((Summary = "application/json"), (String = "text/event-stream")))),
    extensions(("x-problem-codes" = json!(["unknown_provider", "provider_not_configured", "book_not_found",
        "not_acceptable", "llm_refused", "llm_context_too_long", "llm_limit_reached", "llm_unauthorized",
        "llm_bad_request", "llm_bad_answer", "unsafe_answer", "store_unavailable", "llm_rate_limited",
        "llm_overloaded", "llm_unavailable", "llm_timeout", "unknown_api_key", "budget_unavailable"]))))]
pub(crate) async fn generate(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<Uuid>,
    Query(query): Query<GenerateSummary>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let offer = negotiation::of(&headers).ok_or(ApiError::NotAcceptable)?;
    let provider = match query.provider {
        None => None,
        Some(name) => Some(ProviderName::parse(&name).ok_or(ApiError::UnknownProvider(name))?),
    };
    let asked = Asked { book: id, provider, refresh: query.refresh, tenant: caller.tenant };
    Ok(match offer {
        negotiation::Offer::Json => {
            Json(convert::summary(api.summaries.summary(asked).await?)).into_response()
        }
        negotiation::Offer::Events => {
            events::summary(api.summaries.listen(asked).await?, uri.path().to_owned())
        }
    })
}
