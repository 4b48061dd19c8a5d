//! What every request passes, from the outside in, and the order of it.
//!
//! Plain tower layers and not axum's `from_fn`, which boxes a future and clones what is inside for
//! every request; `make bench-api` shows what the layers cost together.

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::response::{IntoResponse, Response};
use common_models::Problem;
use http::{HeaderMap, Method, StatusCode, Uri};
use telemetry::server::Scheme;
use telemetry::{Metrics, RouteSlot, ServerLayer};
use tower::ServiceBuilder;
use tower::util::{MapRequestLayer, MapResponseLayer, option_layer};

use crate::connection::Layered;
use crate::cors;
use crate::listener::ListenSettings;
use crate::problem::ProblemResponse;

mod compression;
mod gate;
mod hosts;
mod load;
mod paths;

pub(crate) use hosts::host;
pub(crate) use load::UnderWay;

/// Puts the layers around a service's routes.
pub(crate) fn wrap(
    router: Router,
    metrics: Metrics,
    settings: &ListenSettings,
    scheme: Scheme,
    under_way: UnderWay,
) -> impl Layered {
    let routes = router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(MapRequestLayer::new(name_route));
    let headers = (!settings.headers.is_empty()).then(|| {
        let headers = settings.headers.clone();
        MapResponseLayer::new(move |response| with_headers(response, &headers))
    });
    ServiceBuilder::new()
        .layer(option_layer(headers))
        // Held until the answer's body has ended or was dropped.
        .layer(under_way)
        .layer(
            ServerLayer::new(metrics, scheme)
                .access_events_one_in(settings.access_events_one_in)
                .hiding_paths(settings.hides_paths),
        )
        .layer(compression::layer())
        .layer(option_layer(cors::layer(&settings.cors_allowed_origins)))
        .layer(gate::GateLayer::new(settings))
        // Where a route sets no other.
        .layer(DefaultBodyLimit::max(settings.limits.body_bytes))
        .service(routes)
}

/// Tells telemetry which route matched; it cannot know and must not guess.
fn name_route(request: Request) -> Request {
    if let (Some(matched), Some(slot)) =
        (request.extensions().get::<MatchedPath>(), request.extensions().get::<RouteSlot>())
    {
        slot.fill(matched.as_str());
    }
    request
}

/// Adds headers, in place of others of the same name.
fn with_headers<B>(mut response: http::Response<B>, headers: &HeaderMap) -> http::Response<B> {
    for (name, value) in headers {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    response
}

async fn not_found(uri: Uri) -> ProblemResponse {
    ProblemResponse(
        Problem::new(404, "route_not_found", "There is nothing at this path")
            .with_detail(format!("{} is no path of this service; its documentation lists them.", uri.path())),
    )
}

/// axum adds the `Allow` header.
async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    ProblemResponse(
        Problem::new(405, "method_not_allowed", "This path does not take this method").with_detail(format!(
            "{} does not take {method}; the Allow header lists what it takes.",
            uri.path()
        )),
    )
    .into_response()
}
