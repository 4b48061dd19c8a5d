//! What a service says of itself: its documentation and its metrics.

use axum::Router;
use axum::routing::get;
use http::header::CONTENT_TYPE;
use telemetry::Metrics;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::SwaggerUi;

/// Prometheus' text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `/swagger` and `/openapi.json`.
pub fn docs_routes(openapi: OpenApi) -> Router {
    SwaggerUi::new("/swagger").url("/openapi.json", openapi).into()
}

/// `/metrics`.
pub fn metrics_route(metrics: Metrics) -> Router {
    Router::new().route("/metrics", get(async move || ([(CONTENT_TYPE, TEXT_FORMAT)], metrics.render())))
}
