//! What every request passes, from the outside in: telemetry, panic catch, Host and Origin check,
//! case-insensitive API paths, deadline, body limit, then the service's own routes.

use std::any::Any;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use common_models::Problem;
use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{Method, Uri};
use telemetry::{Failure, Metrics, RouteSlot, ServerLayer};
use tower::{Service, ServiceBuilder, util::MapRequestLayer};
use tower_http::catch_panic::CatchPanicLayer;

use crate::listener::ListenSettings;
use crate::problem::{ProblemResponse, with_instance};

/// Puts the layers around a service's routes.
pub(crate) fn wrap(
    router: Router,
    metrics: Metrics,
    settings: &ListenSettings,
) -> impl Service<
    Request,
    Response = http::Response<telemetry::server::ObservedBody<Body>>,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send
+ 'static {
    let routes = router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(settings.limits.body_bytes))
        .layer(middleware::from_fn(name_route));
    ServiceBuilder::new()
        .layer(ServerLayer::new(metrics))
        .layer(middleware::from_fn(with_instance))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(Arc::new(Hosts::new(settings)), check_host))
        .layer(middleware::from_fn_with_state(settings.limits.request_deadline, deadline))
        .layer(MapRequestLayer::new(lower_api_path))
        .service(routes)
}

/// Tells telemetry which route matched; it cannot know and must not guess.
async fn name_route(matched: Option<MatchedPath>, request: Request, next: Next) -> Response {
    if let (Some(matched), Some(slot)) = (matched, request.extensions().get::<RouteSlot>()) {
        slot.fill(matched.as_str());
    }
    next.run(request).await
}

async fn not_found(uri: Uri) -> ProblemResponse {
    ProblemResponse(
        Problem::new(404, "route_not_found", "There is nothing at this path")
            .with_detail(format!("{} is no path of this service; its documentation lists them.", uri.path())),
    )
}

async fn method_not_allowed(method: Method, uri: Uri) -> ProblemResponse {
    ProblemResponse(
        Problem::new(405, "method_not_allowed", "This path does not take this method").with_detail(format!(
            "{} does not take {method}; the Allow header lists what it takes.",
            uri.path()
        )),
    )
}

fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words");
    let mut response = ProblemResponse(internal()).into_response();
    response.extensions_mut().insert(Failure { kind: "panic", detail: text.to_owned() });
    response
}

/// The problem of a failure that is ours, without its inner detail.
pub(crate) fn internal() -> Problem {
    Problem::new(500, "internal_error", "Something went wrong inside the service")
        .with_detail("The failure was logged under this trace id; trying again may help.")
}

async fn deadline(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let mut response = ProblemResponse(
                Problem::new(504, "deadline_exceeded", "The request took too long")
                    .with_detail(format!("No answer within {} s; try again later.", limit.as_secs_f64())),
            )
            .into_response();
            response.extensions_mut().insert(Failure {
                kind: "deadline_exceeded",
                detail: format!("no answer within {} s", limit.as_secs_f64()),
            });
            response
        }
    }
}

/// Clients of the original write `/api/v1/Books`: under `/api/` case does not matter.
fn lower_api_path<B>(mut request: http::Request<B>) -> http::Request<B> {
    let path = request.uri().path();
    let is_api = path.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("/api/"));
    if is_api && path.bytes().any(|byte| byte.is_ascii_uppercase()) {
        let mut lower = path.to_ascii_lowercase();
        if let Some(query) = request.uri().query() {
            lower.push('?');
            lower.push_str(query);
        }
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = lower.parse().ok();
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// The host names under which the service answers.
struct Hosts {
    any: bool,
    names: Vec<String>,
}

impl Hosts {
    fn new(settings: &ListenSettings) -> Self {
        let mut names: Vec<String> = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).to_vec();
        if !settings.address.is_unspecified() {
            names.push(match settings.address {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(address) => format!("[{address}]"),
            });
        }
        names.extend(settings.allowed_hosts.iter().map(|name| name.to_ascii_lowercase()));
        Self { any: names.iter().any(|name| name == "*"), names }
    }

    fn allows(&self, host: &str) -> bool {
        self.any || self.names.iter().any(|name| name.eq_ignore_ascii_case(host))
    }
}

/// Keeps out pages of other sites: a name that an attacker points at loopback, and a browser's
/// cross-origin write.
async fn check_host(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response {
    let authority = request
        .headers()
        .get(HOST)
        .and_then(|value| value.to_str().ok())
        .or_else(|| request.uri().authority().map(Authority::as_str))
        .and_then(|text| text.parse::<Authority>().ok());
    let Some(authority) = authority else {
        return ProblemResponse(
            Problem::new(400, "host_missing", "The request names no valid host")
                .with_detail("Send a Host header with the name under which you reach this service."),
        )
        .into_response();
    };
    if !hosts.allows(authority.host()) {
        return ProblemResponse(
            Problem::new(421, "host_not_allowed", "This service does not answer under this host name")
                .with_detail(format!(
                    "{} is not among the allowed hosts; ALLOWED_HOSTS can add it.",
                    authority.host()
                )),
        )
        .into_response();
    }
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !safe && let Some(origin) = request.headers().get(ORIGIN) {
        let same = origin
            .to_str()
            .ok()
            .and_then(|origin| origin.parse::<Uri>().ok())
            .and_then(|origin| origin.authority().cloned())
            .is_some_and(|origin| origin == authority);
        if !same {
            return ProblemResponse(
                Problem::new(403, "cross_origin", "Pages of other origins may not change anything here")
                    .with_detail("Send the request from a page of this service or from a program."),
            )
            .into_response();
        }
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::lower_api_path;

    #[test]
    fn only_api_paths_are_lowered_and_queries_are_kept() {
        let check = |from: &str, to: &str| {
            let request = lower_api_path(Request::builder().uri(from).body(()).unwrap());
            assert_eq!(request.uri().to_string(), to);
        };
        check("/api/v1/Books?q=Moby", "/api/v1/books?q=Moby");
        check("/API/V1/Books/018F?Cursor=aB", "/api/v1/books/018f?Cursor=aB");
        check("/Swagger/Index.html", "/Swagger/Index.html");
        check("/apiX", "/apiX");
        check("http://h:1/API/x", "http://h:1/api/x");
    }
}
