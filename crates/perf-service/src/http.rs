//! Every route of the service, readable as a table.

use axum::Router;
use http_server::{ApiToken, Link, StartPage, docs_routes, metrics_route, require_token, start_page_route};
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::comparisons::Comparisons;
use crate::runs::Runs;

mod comparisons;
mod docs;
mod errors;
mod events;
mod health;
mod runs;
mod scenarios;
mod trends;

/// What handlers work with.
#[derive(Clone)]
pub struct Api {
    /// Runs.
    pub runs: Runs,
    /// Comparisons.
    pub comparisons: Comparisons,
    /// Cancelled when the service is stopping.
    pub stop: CancellationToken,
}

/// The page at `/`. Ports of others are those of their defaults and of docker-compose.yml.
const START: StartPage = StartPage {
    title: "perf-service",
    purpose: "Load tests by k6, their reports, and verdicts that can be trusted.",
    groups: &[
        (
            "Runs",
            &[
                Link::here("Trends", "/trends", "stored runs over time"),
                Link::here("Latest runs", "/api/v1/runs", "with their reports, as JSON"),
                Link::here(
                    "Comparisons",
                    "/api/v1/comparisons",
                    "better, worse, same or not enough evidence",
                ),
                Link::here("Scenarios", "/api/v1/scenarios", "what can be run"),
            ],
        ),
        (
            "The API",
            &[
                Link::here("Swagger", "/swagger", "every operation, to be tried: start a run here"),
                Link::here("OpenAPI", "/openapi.json", "the same for programs"),
                Link::here("Ready", "/health/ready", "whether it can work, and on what"),
                Link::here("Metrics", "/metrics", "as Prometheus reads them"),
            ],
        ),
        (
            "Beside it, where they run",
            &[
                Link::beside("bookstore-api", 7002, "/", "what is put under load"),
                Link::beside("Dashboards", 3000, "/d/bookstore-performance", "Grafana: k6 as it runs"),
                Link::beside("Traces and logs", 15888, "/", "the Aspire dashboard"),
            ],
        ),
    ],
};

#[derive(OpenApi)]
#[openapi(
    info(title = "perf-service", description = "Load runs with k6: start, watch, cancel, read."),
    tags(
        (name = "runs", description = "Load runs and what came of them"),
        (name = "comparisons", description = "Two targets, run in turn, and whether one is worse"),
        (name = "trends", description = "Stored runs over time, never a verdict"),
        (name = "scenarios", description = "What can be run"),
        (name = "operations", description = "Health")
    ),
    modifiers(&Token)
)]
struct Docs;

/// Lets Swagger's Authorize send the token.
struct Token;

impl Modify for Token {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        openapi.components.get_or_insert_default().add_security_scheme("token", scheme);
    }
}

/// The routes; what starts or stops something asks for `token` where there is one.
pub(crate) fn router(api: Api, metrics: Metrics, token: Option<ApiToken>) -> Router {
    let (routes, mut openapi) = OpenApiRouter::with_openapi(Docs::openapi())
        .routes(routes!(scenarios::list))
        .routes(routes!(runs::list, runs::start))
        .routes(routes!(runs::estimate))
        .routes(routes!(runs::read))
        .routes(routes!(runs::cancel))
        .routes(routes!(events::events))
        .routes(routes!(runs::summary))
        .routes(routes!(runs::report))
        .routes(routes!(runs::log))
        .routes(routes!(comparisons::list, comparisons::start))
        .routes(routes!(comparisons::read))
        .routes(routes!(comparisons::markdown))
        .routes(routes!(comparisons::cancel))
        .routes(routes!(trends::list))
        .routes(routes!(trends::page))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::health))
        .split_for_parts();
    docs::complete(&mut openapi, token.is_some());
    require_token(routes.with_state(api), token)
        .merge(docs_routes(openapi))
        .merge(metrics_route(metrics))
        .merge(start_page_route(START))
}
