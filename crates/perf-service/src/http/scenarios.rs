//! `/api/v1/scenarios`.

use axum::extract::State;
use common_models::{Page, Scenario};
use http_server::extract::Json;

use super::Api;

/// List the scenarios that can be run
#[utoipa::path(get, path = "/api/v1/scenarios", operation_id = "listScenarios", tag = "scenarios", responses(
    (status = 200, description = "All of them, on one page", body = Page<Scenario>),
))]
pub(crate) async fn list(State(api): State<Api>) -> Json<Page<Scenario>> {
    let items = api.runs.scenarios();
    let total = items.len() as u64;
    Json(Page { items, next_cursor: None, total, total_capped: false })
}
