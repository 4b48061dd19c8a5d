//! `/health`.

use axum::extract::State;
use common_models::Problem;
use http_server::extract::Json;
use serde_json::{Value, json};

use super::Api;
use super::errors::ApiError;

/// Is the process alive?
///
/// Asks no dependency: a missing k6 is no reason to restart this process.
#[utoipa::path(get, path = "/health/live", operation_id = "readLiveness", tag = "operations", responses(
    (status = 200, description = "Alive", body = Value),
))]
pub(crate) async fn live() -> Json<Value> {
    Json(json!({ "status": "alive" }))
}

/// Can the service do its work?
///
/// It needs its ledger. Engines are looked for when a run starts, which then says what is missing.
#[utoipa::path(get, path = "/health/ready", operation_id = "readReadiness", tag = "operations", responses(
    (status = 200, description = "Ready", body = Value),
    (status = 503, description = "The ledger cannot be used, or the service is stopping", body = Problem),
))]
pub(crate) async fn ready(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    if api.stop.is_cancelled() {
        return Err(ApiError::Stopping);
    }
    match api.runs.list(None, 0).await {
        Ok(_) => Ok(Json(json!({ "status": "ready", "dependencies": { "ledger": "up" } }))),
        Err(error) => Err(ApiError::NotReady(error.to_string())),
    }
}

/// The same as `/health/ready`
#[utoipa::path(get, path = "/health", operation_id = "readHealth", tag = "operations", responses(
    (status = 200, description = "Ready", body = Value),
    (status = 503, description = "The ledger cannot be used, or the service is stopping", body = Problem),
))]
pub(crate) async fn health(state: State<Api>) -> Result<Json<Value>, ApiError> {
    ready(state).await
}
