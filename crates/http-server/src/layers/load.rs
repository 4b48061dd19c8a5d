//! How much is under way, and what is turned away when it is too much.
//!
//! A request counts from its head until its answer's body has ended or was dropped: a client that
//! reads slowly holds its place. What is turned away is answered inside telemetry, and so counted
//! and logged like any other request.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use common_models::Problem;
use http::HeaderValue;
use http::header::RETRY_AFTER;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use telemetry::Failure;
use tower::{BoxError, Layer, Service};

use crate::ProblemResponse;
use crate::listener::Limits;

/// Largest part of a body in bytes that leaves at once.
const PIECE: usize = 64 << 10;

/// Counts the requests under way; all listeners of a service share one.
#[derive(Clone)]
pub(crate) struct UnderWay {
    counts: Arc<Counts>,
    most: usize,
    allowed: Duration,
}

/// Requests now under way: those that count towards the limit, and the others.
#[derive(Default)]
struct Counts {
    limited: AtomicUsize,
    exempt: AtomicUsize,
}

impl UnderWay {
    /// At most so many at once, health checks and metrics aside, each for so long at most.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { counts: Arc::default(), most: limits.concurrent_requests, allowed: limits.answer_deadline() }
    }

    /// How many there are now, of either kind.
    pub(crate) fn count(&self) -> usize {
        self.counts.limited.load(Ordering::Acquire) + self.counts.exempt.load(Ordering::Acquire)
    }
}

/// A place among the requests under way, given back when dropped.
struct Place {
    counts: Arc<Counts>,
    exempt: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        let count = if self.exempt { &self.counts.exempt } else { &self.counts.limited };
        count.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Marks a request for which there is no place.
#[derive(Clone, Copy)]
struct Overloaded;

impl<S> Layer<S> for UnderWay {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Counted { inner, under_way: self.clone() }
    }
}

/// A service whose requests are counted.
#[derive(Clone)]
pub(crate) struct Counted<S> {
    inner: S,
    under_way: UnderWay,
}

/// Whether a request is answered whatever the load, and takes no place away from others: an operator
/// has to see what is going on, and a busy service is no dead one.
fn exempt(path: &str) -> bool {
    path == "/metrics" || path == "/health" || path.starts_with("/health/")
}

impl<S, B> Service<Request> for Counted<S>
where
    S: Service<Request, Response = http::Response<B>, Error = Infallible>,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Response = http::Response<Held<B>>;
    type Error = Infallible;
    type Future = Holding<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let (counts, exempt) = (Arc::clone(&self.under_way.counts), exempt(request.uri().path()));
        let count = if exempt { &counts.exempt } else { &counts.limited };
        if count.fetch_add(1, Ordering::AcqRel) >= self.under_way.most && !exempt {
            request.extensions_mut().insert(Overloaded);
        }
        let place = Place { counts, exempt };
        Holding { inner: self.inner.call(request), place: Some(place), allowed: self.under_way.allowed }
    }
}

pin_project! {
    /// A request that holds its place until its answer does.
    pub(crate) struct Holding<F> {
        #[pin]
        inner: F,
        place: Option<Place>,
        allowed: Duration,
    }
}

impl<F, B> Future for Holding<F>
where
    F: Future<Output = Result<http::Response<B>, Infallible>>,
{
    type Output = Result<http::Response<Held<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.inner.poll(context));
        let (place, allowed) = (this.place.take(), *this.allowed);
        let held = |inner| Held { inner, place, allowed, by: None, rest: Bytes::new() };
        Poll::Ready(answer.map(|answer| answer.map(held)))
    }
}

pin_project! {
    /// A body that holds its request's place until it ends or is dropped. It leaves piece by piece:
    /// what a connection has taken is out of sight, and should not be much.
    pub(crate) struct Held<B> {
        #[pin]
        inner: B,
        place: Option<Place>,
        allowed: Duration,
        // A body of one piece needs no clock.
        by: Option<Instant>,
        rest: Bytes,
    }
}

impl<B> Body for Held<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        // HTTP/2 has a timer for it; over HTTP/1 a client that reads nothing at all is cut sooner.
        if this.by.is_some_and(|by| Instant::now() >= by) {
            return Poll::Ready(Some(Err(TooSlow(*this.allowed).into())));
        }
        let mut bytes = if this.rest.is_empty() {
            match ready!(this.inner.as_mut().poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => bytes,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => {
                    this.place.take();
                    return Poll::Ready(None);
                }
            }
        } else {
            std::mem::take(this.rest)
        };
        if bytes.len() > PIECE {
            *this.rest = bytes.split_off(PIECE);
        }
        if this.by.is_none() && !(this.rest.is_empty() && this.inner.is_end_stream()) {
            *this.by = Some(Instant::now() + *this.allowed);
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.inner.size_hint(), self.rest.len() as u64);
        let mut whole = SizeHint::new();
        whole.set_lower(inner.lower().saturating_add(rest));
        if let Some(upper) = inner.upper() {
            whole.set_upper(upper.saturating_add(rest));
        }
        whole
    }
}

/// The answer was not read in time.
#[derive(Debug, thiserror::Error)]
#[error("the answer was not read within {} s", .0.as_secs_f64())]
struct TooSlow(Duration);

/// Turns a request away for which there is no place.
pub(super) fn refuse(request: &Request) -> Option<Response> {
    request.extensions().get::<Overloaded>().map(|_| turned_away())
}

fn turned_away() -> Response {
    let mut response = ProblemResponse(
        Problem::new(503, "overloaded", "The service has too much to do")
            .with_detail("As many requests as it takes at once are under way; send it again in a second."),
    )
    .into_response();
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
        .extensions_mut()
        .insert(Failure { kind: "overloaded", detail: "MAX_CONCURRENT_REQUESTS are under way".to_owned() });
    response
}
