//! Every route of the service, readable as a table.

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use common_models::{Problem, SummaryDelta, SummaryStarted};
use http_server::{ApiToken, Link, StartPage, docs_routes, metrics_route, require_token, start_page_route};
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::tenants::Door;
use crate::catalog::Catalog;
use crate::import_jobs::ImportJobs;
use crate::probes::Probes;
use crate::spend::Spend;
use crate::standing::Standing;
use crate::summaries::Summaries;

mod authors;
mod books;
mod conditions;
mod convert;
mod docs;
mod errors;
mod events;
mod experiments;
mod health;
mod idempotency;
mod imports;
mod lists;
mod merge_patch;
mod negotiation;
mod providers;
mod summaries;
mod tenants;
mod usage;

/// What handlers work with. It is cloned several times a request, and so no more than a reference.
#[derive(Clone)]
pub struct Api(Arc<Parts>);

impl From<Parts> for Api {
    fn from(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for Api {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// The use cases and what they stand on.
pub struct Parts {
    /// Books and authors.
    pub catalog: Catalog,
    /// Summaries.
    pub summaries: Summaries,
    /// The providers.
    pub probes: Probes,
    /// Imports.
    pub imports: ImportJobs,
    /// What was spent.
    pub spend: Spend,
    /// How the service stands.
    pub standing: Standing,
    /// Whether a write to something that is there has to say which version it expects.
    pub require_if_match: bool,
    /// Cancelled when the service is stopping.
    pub stop: CancellationToken,
}

/// The page at `/`. Ports of others are those of their defaults and of docker-compose.yml.
const START: StartPage = StartPage {
    title: "bookstore-api",
    purpose: "Books, authors, and summaries that LLMs write.",
    groups: &[
        (
            "The API",
            &[
                Link::here("Swagger", "/swagger", "every operation, to be tried"),
                Link::here("OpenAPI", "/openapi.json", "the same for programs"),
                Link::here("Books", "/api/v1/books?limit=10", "the first ten"),
                Link::here(
                    "LLM providers",
                    "/api/v1/llm/providers",
                    "who is set up, who answers, at which price",
                ),
            ],
        ),
        (
            "How it is",
            &[
                Link::here("Ready", "/health/ready", "whether it can work, and on what"),
                Link::here("Metrics", "/metrics", "as Prometheus reads them"),
            ],
        ),
        (
            "Beside it, where they run",
            &[
                Link::beside("perf-service", 7004, "/", "load tests, reports, verdicts"),
                Link::beside("Dashboards", 3000, "/dashboards?tag=bookstore", "Grafana"),
                Link::beside("Traces and logs", 15888, "/", "the Aspire dashboard"),
                Link::beside("Prometheus", 9090, "/alerts", "alerts and metrics"),
            ],
        ),
    ],
};

#[derive(OpenApi)]
#[openapi(
    info(title = "bookstore-api", description = "Books, authors, and summaries that LLMs write.\n\n\
        Every single book or author carries an `ETag`; `If-Match` and `If-None-Match` are understood. \
        `book.summary` is a projection of the latest summary that fits the book: it changes outside the \
        book's version and `ETag`, and no write touches it. Creations take an `Idempotency-Key`. Under \
        `/api/` the case of paths does not matter.\n\n\
        What asks an LLM is on a tenant's account: that of the `X-Api-Key`, else of the `X-Tenant-Id` if a \
        trusted peer sends it, else the default tenant's."),
    tags(
        (name = "books", description = "Books and their summaries"),
        (name = "authors", description = "Authors"),
        (name = "llm", description = "What asks LLMs, and what it costs"),
        (name = "operations", description = "Health")
    ),
    components(schemas(Problem, SummaryStarted, SummaryDelta)),
    modifiers(&Token)
)]
struct Docs;

/// Lets Swagger's Authorize send the token.
struct Token;

impl Modify for Token {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let key = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
            "X-Api-Key",
            "The key of a tenant: what it spends is on that tenant's account",
        )));
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("token", scheme);
        components.add_security_scheme("tenantKey", key);
    }
}

/// The routes; writes ask for `token` where there is one, and what spends for that or a tenant's key.
pub(crate) fn router(api: Api, metrics: Metrics, token: Option<ApiToken>) -> Router {
    let door = Arc::new(Door { tenants: api.spend.tenants().clone(), token: token.clone() });
    let (spending, spending_docs) = OpenApiRouter::new()
        .routes(routes!(summaries::generate))
        .routes(routes!(usage::read))
        .routes(routes!(experiments::read))
        .split_for_parts();
    let spending = spending.layer(from_fn_with_state(Arc::clone(&door), tenants::admit));
    let (probing, probing_docs) = OpenApiRouter::new().routes(routes!(providers::read)).split_for_parts();
    let probing = probing.layer(from_fn_with_state(door, tenants::admit_probes));
    let (routes, mut openapi) = OpenApiRouter::with_openapi(Docs::openapi())
        .routes(routes!(books::list, books::create))
        .routes(routes!(books::read, books::replace, books::patch, books::delete))
        .merge(
            OpenApiRouter::new()
                .routes(routes!(imports::import))
                .layer(DefaultBodyLimit::max(imports::LARGEST_FILE)),
        )
        .routes(routes!(imports::read))
        .routes(routes!(authors::list, authors::create))
        .routes(routes!(authors::read, authors::replace, authors::patch, authors::delete))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::health))
        .split_for_parts();
    openapi.merge(spending_docs);
    openapi.merge(probing_docs);
    docs::complete(&mut openapi, token.is_some());
    require_token(routes.with_state(api.clone()), token)
        .merge(spending.with_state(api.clone()))
        .merge(probing.with_state(api))
        .merge(docs_routes(openapi))
        .merge(metrics_route(metrics))
        .merge(start_page_route(START))
}
