//! From a request's head to its answer's head: no longer than this.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use common_models::Problem;
use pin_project_lite::pin_project;
use telemetry::Failure;
use tokio::time::{Timeout, timeout};
use tower::{Layer, Service};

use crate::ProblemResponse;

/// Answers for what is too slow.
#[derive(Clone, Copy)]
pub(super) struct DeadlineLayer(Duration);

impl DeadlineLayer {
    pub(super) const fn new(limit: Duration) -> Self {
        Self(limit)
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Deadline { inner, limit: self.0 }
    }
}

/// A service under a deadline.
#[derive(Clone)]
pub(super) struct Deadline<S> {
    inner: S,
    limit: Duration,
}

impl<S> Service<Request> for Deadline<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Limited<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        Limited { inner: timeout(self.limit, self.inner.call(request)), limit: self.limit }
    }
}

pin_project! {
    /// The answer, or a problem when it takes too long.
    pub(super) struct Limited<F> {
        #[pin]
        inner: Timeout<F>,
        limit: Duration,
    }
}

impl<F> Future for Limited<F>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.inner.poll(context).map(|answered| answered.unwrap_or_else(|_| Ok(late(*this.limit))))
    }
}

fn late(limit: Duration) -> Response {
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
