//! Every route of the service, readable as a table.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use http_server::{ApiToken, docs_routes, metrics_route, require_token};
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::catalog::Catalog;
use crate::import_jobs::ImportJobs;
use crate::store::Store;
use crate::summaries::Summaries;

mod authors;
mod books;
mod convert;
mod errors;
mod health;
mod imports;
mod summaries;

/// What handlers work with.
#[derive(Clone)]
pub struct Api {
    /// Books and authors.
    pub catalog: Catalog,
    /// Summaries.
    pub summaries: Summaries,
    /// Imports.
    pub imports: ImportJobs,
    /// The store, for readiness.
    pub store: Arc<dyn Store>,
    /// Cancelled when the service is stopping.
    pub stop: CancellationToken,
}

#[derive(OpenApi)]
#[openapi(
    info(title = "bookstore-api", description = "Books, authors, and summaries that LLMs write."),
    tags(
        (name = "books", description = "Books and their summaries"),
        (name = "authors", description = "Authors"),
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

/// The routes; writes ask for `token` where there is one.
pub(crate) fn router(api: Api, metrics: Metrics, token: Option<ApiToken>) -> Router {
    let (routes, openapi) = OpenApiRouter::with_openapi(Docs::openapi())
        .routes(routes!(books::list, books::create))
        .routes(routes!(books::read, books::replace, books::delete))
        .routes(routes!(summaries::generate))
        .merge(
            OpenApiRouter::new()
                .routes(routes!(imports::import))
                .layer(DefaultBodyLimit::max(imports::LARGEST_FILE)),
        )
        .routes(routes!(imports::read))
        .routes(routes!(authors::list, authors::create))
        .routes(routes!(authors::read, authors::replace, authors::delete))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::health))
        .split_for_parts();
    require_token(routes.with_state(api), token).merge(docs_routes(openapi)).merge(metrics_route(metrics))
}
