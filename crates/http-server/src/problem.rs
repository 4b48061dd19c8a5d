//! Answers of `application/problem+json`.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use common_models::Problem;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, StatusCode, Uri};

/// A problem as an answer. The trace id and, under [`crate::serve`], the path are filled in.
#[derive(Clone, Debug)]
pub struct ProblemResponse(pub Problem);

impl IntoResponse for ProblemResponse {
    fn into_response(self) -> Response {
        let Self(mut problem) = self;
        if problem.trace_id.is_none() {
            problem.trace_id = telemetry::current_trace_id();
        }
        let mut response = render(&problem);
        response.extensions_mut().insert(problem);
        response
    }
}

fn render(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    // Strings and numbers only: this cannot fail.
    let body = serde_json::to_vec(problem).unwrap_or_default();
    let mut response = (status, body).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

/// Adds the request's path to a problem, wherever it was made.
pub(crate) fn with_instance(mut response: Response, uri: &Uri) -> Response {
    let Some(mut problem) = response.extensions_mut().remove::<Problem>() else { return response };
    problem.instance = Some(uri.path().to_owned());
    let (parts, _) = response.into_parts();
    let mut whole = render(&problem);
    for (name, value) in &parts.headers {
        if name != CONTENT_TYPE && name != CONTENT_LENGTH {
            whole.headers_mut().append(name, value.clone());
        }
    }
    *whole.extensions_mut() = parts.extensions;
    whole
}

/// An answer to HEAD: its body's length, without the body.
pub(crate) fn without_body(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    if let Some(length) = http_body::Body::size_hint(&body).exact().filter(|length| *length > 0) {
        parts.headers.entry(CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    Response::from_parts(parts, Body::empty())
}
