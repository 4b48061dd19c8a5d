//! What a service says of itself: its documentation and its metrics.

use axum::Router;
use axum::routing::get;
use http::header::CONTENT_TYPE;
use telemetry::Metrics;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{Object, Type};
use utoipa::openapi::{OpenApi, RefOr};
use utoipa_swagger_ui::SwaggerUi;

/// Prometheus' text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `/swagger` and `/openapi.json`.
pub fn docs_routes(mut openapi: OpenApi) -> Router {
    name_trace(&mut openapi);
    SwaggerUi::new("/swagger").url("/openapi.json", openapi).into()
}

/// Every answer of every operation names its trace.
fn name_trace(openapi: &mut OpenApi) {
    let text = Object::builder().schema_type(Type::String).pattern(Some("^[0-9a-f]{32}$")).build();
    let header = HeaderBuilder::new()
        .schema(Some(text))
        .description(Some("Trace id of the request: that of its spans and log lines"))
        .build();
    for item in openapi.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for operation in operations.into_iter().flatten() {
            for response in operation.responses.responses.values_mut() {
                if let RefOr::T(response) = response {
                    response.headers.insert("X-Trace-Id".to_owned(), RefOr::T(header.clone()));
                }
            }
        }
    }
}

/// `/metrics`.
pub fn metrics_route(metrics: Metrics) -> Router {
    Router::new().route("/metrics", get(async move || ([(CONTENT_TYPE, TEXT_FORMAT)], metrics.render())))
}
