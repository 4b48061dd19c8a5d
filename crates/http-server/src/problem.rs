//! Answers of `application/problem+json`.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use common_models::Problem;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, StatusCode, Uri};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

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

/// Adds the request's path to problems, wherever below they were made.
#[derive(Clone, Copy)]
pub(crate) struct InstanceLayer;

impl<S> Layer<S> for InstanceLayer {
    type Service = Instance<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Instance(inner)
    }
}

/// A service whose problems name the path.
#[derive(Clone)]
pub(crate) struct Instance<S>(S);

impl<S> Service<Request> for Instance<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Named<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let uri = request.uri().clone();
        Named { inner: self.0.call(request), uri }
    }
}

pin_project! {
    /// The answer of a service whose problems name the path.
    pub(crate) struct Named<F> {
        #[pin]
        inner: F,
        uri: Uri,
    }
}

impl<F> Future for Named<F>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let uri = &*this.uri;
        this.inner.poll(context).map(|answer| answer.map(|response| with_instance(response, uri)))
    }
}

fn with_instance(mut response: Response, uri: &Uri) -> Response {
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
