//! `/health`.

use axum::extract::State;
use http_server::extract::Json;
use serde_json::{Value, json};

use super::Api;
use super::errors::ApiError;

/// Is the process alive?
///
/// Asks no dependency: a dead database is no reason to restart this process.
#[utoipa::path(get, path = "/health/live", tag = "operations", responses(
    (status = 200, description = "Alive", body = Value),
))]
pub(crate) async fn live() -> Json<Value> {
    Json(json!({ "status": "alive" }))
}

/// Can the service do its work?
#[utoipa::path(get, path = "/health/ready", tag = "operations", responses(
    (status = 200, description = "Ready", body = Value),
), extensions(("x-problem-codes" = json!(["not_ready", "stopping"]))))]
pub(crate) async fn ready(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    if api.stop.is_cancelled() {
        return Err(ApiError::Stopping);
    }
    let dependencies = api.standing.dependencies().await;
    // Without its cache the service is slower, and works.
    let cache = if dependencies.cache.is_ok() { "up" } else { "down" };
    match dependencies.store {
        Ok(()) => Ok(Json(json!({ "status": "ready", "dependencies": { "store": "up", "cache": cache } }))),
        Err(error) => Err(ApiError::NotReady { dependency: "store", detail: error.to_string() }),
    }
}

/// The same as `/health/ready`
#[utoipa::path(get, path = "/health", tag = "operations", responses(
    (status = 200, description = "Ready", body = Value),
), extensions(("x-problem-codes" = json!(["not_ready", "stopping"]))))]
pub(crate) async fn health(state: State<Api>) -> Result<Json<Value>, ApiError> {
    ready(state).await
}
