//! Who may change something.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use common_models::Problem;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method};

use crate::{ApiToken, ProblemResponse};

/// Asks for the token on every route of `router` that is not a GET, HEAD or OPTIONS. Without a
/// token nothing is asked: the service listens on loopback only.
pub fn require_token(router: Router, token: Option<ApiToken>) -> Router {
    match token {
        Some(token) => router.layer(middleware::from_fn_with_state(Arc::new(token), check)),
        None => router,
    }
}

async fn check(State(token): State<Arc<ApiToken>>, request: Request, next: Next) -> Response {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if safe || bears(request.headers(), &token) { next.run(request).await } else { token_required() }
}

/// Whether a request bears the token.
#[must_use]
pub fn bears(headers: &HeaderMap, token: &ApiToken) -> bool {
    let offered = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    offered.is_some_and(|offered| token.matches(offered))
}

/// The answer to a request that should bear the token and does not.
#[must_use]
pub fn token_required() -> Response {
    let mut response = ProblemResponse(
        Problem::new(401, "token_required", "This needs the API token")
            .with_detail("Send Authorization: Bearer with the API_TOKEN of the service."),
    )
    .into_response();
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}
