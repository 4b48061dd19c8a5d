//! The gate before the routes: what is refused without asking them, how long they may take, and what
//! is answered when they panic. Problems from here and from below name the request's path.
//!
//! One service and not a layer for each: a request that passes is moved and polled once.

use std::any::Any;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use common_models::Problem;
use futures::FutureExt;
use futures::future::CatchUnwind;
use http::{Method, Uri};
use pin_project_lite::pin_project;
use telemetry::Failure;
use tokio::time::{Timeout, timeout};
use tower::{Layer, Service};

use super::hosts::Hosts;
use super::{load, paths};
use crate::ProblemResponse;
use crate::listener::ListenSettings;
use crate::problem::{with_instance, without_body};

/// Puts the gate before a service.
#[derive(Clone)]
pub(super) struct GateLayer {
    hosts: Arc<Hosts>,
    deadline: Duration,
}

impl GateLayer {
    pub(super) fn new(settings: &ListenSettings) -> Self {
        Self { hosts: Arc::new(Hosts::new(settings)), deadline: settings.limits.request_deadline }
    }
}

impl<S> Layer<S> for GateLayer {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Gate { inner, rules: self.clone() }
    }
}

/// A service behind the gate.
#[derive(Clone)]
pub(super) struct Gate<S> {
    inner: S,
    rules: GateLayer,
}

impl<S> Service<Request> for Gate<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Passing<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (uri, deadline) = (request.uri().clone(), self.rules.deadline);
        let head = request.method() == Method::HEAD;
        let refused = (self.rules.hosts.refuse(&request))
            .or_else(|| load::refuse(&request))
            .or_else(|| paths::refuse(request.uri()).map(IntoResponse::into_response));
        let way = match refused {
            Some(response) => Way::Refused { response: Some(response) },
            None => {
                match catch_unwind(AssertUnwindSafe(|| self.inner.call(paths::lower_api_path(request)))) {
                    Ok(inner) => {
                        Way::Open { inner: timeout(deadline, AssertUnwindSafe(inner).catch_unwind()) }
                    }
                    Err(panic) => Way::Refused { response: Some(panicked(panic)) },
                }
            }
        };
        Passing { way, uri, head, deadline }
    }
}

pin_project! {
    #[project = Ways]
    enum Way<F> {
        Refused { response: Option<Response> },
        Open { #[pin] inner: Timeout<CatchUnwind<AssertUnwindSafe<F>>> },
    }
}

pin_project! {
    /// A request at the gate or past it.
    pub(super) struct Passing<F> {
        #[pin]
        way: Way<F>,
        uri: Uri,
        head: bool,
        deadline: Duration,
    }
}

impl<F> Future for Passing<F>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = match this.way.project() {
            Ways::Refused { response } => response.take(),
            Ways::Open { inner } => Some(match ready!(inner.poll(context)) {
                Ok(Ok(Ok(response))) => response,
                Ok(Ok(Err(never))) => match never {},
                Ok(Err(panic)) => panicked(panic),
                Err(_) => late(*this.deadline),
            }),
        };
        // Polled again after it was answered, which nobody does.
        let Some(response) = response else { return Poll::Pending };
        let response = with_instance(response, this.uri);
        // The routes leave the body out themselves; problems get theirs here.
        Poll::Ready(Ok(if *this.head { without_body(response) } else { response }))
    }
}

fn late(deadline: Duration) -> Response {
    let mut response = ProblemResponse(
        Problem::new(504, "deadline_exceeded", "The request took too long")
            .with_detail(format!("No answer within {} s; try again later.", deadline.as_secs_f64())),
    )
    .into_response();
    response.extensions_mut().insert(Failure {
        kind: "deadline_exceeded",
        detail: format!("no answer within {} s", deadline.as_secs_f64()),
    });
    response
}

fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words");
    let mut response = ProblemResponse(
        Problem::new(500, "internal_error", "Something went wrong inside the service")
            .with_detail("The failure was logged under this trace id; trying again may help."),
    )
    .into_response();
    response.extensions_mut().insert(Failure { kind: "panic", detail: text.to_owned() });
    response
}
