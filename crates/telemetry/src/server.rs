//! The HTTP server layer: trace context in, one span, one duration, one access event a request.
//!
//! Wraps everything else a service does with a request. Knows `tower` and `http`, no framework: the
//! route template is handed to it in a [`RouteSlot`], a failure's inner detail in a [`Failure`].

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use opentelemetry::trace::TraceContextExt;
use pin_project_lite::pin_project;
use tower::{Layer, Service};
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::conventions::method_label;
use crate::http_metrics::Route;
use crate::{Metrics, trace_ids};

/// The trace of a request, on its answer.
const TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");
/// A request that took longer is always in the log.
const SLOW: Duration = Duration::from_secs(1);

/// Whether anybody reads more of a span than its ids. Set once, at the start.
static SPANS_ARE_READ: AtomicBool = AtomicBool::new(true);

/// Says whether spans are exported or shown.
pub(crate) fn read_spans(are_read: bool) {
    SPANS_ARE_READ.store(are_read, Ordering::Relaxed);
}

/// Whether anybody reads more of spans than their ids: where nobody does, a span that nothing is logged
/// in or sent from need not be made.
#[must_use]
pub fn spans_are_read() -> bool {
    SPANS_ARE_READ.load(Ordering::Relaxed)
}

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In the open.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// `url.scheme`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// A request extension that `http` fills with the template of the route that matched.
#[derive(Clone)]
pub struct RouteSlot(Arc<Slot>);

struct Slot {
    metrics: Metrics,
    route: OnceLock<Arc<Route>>,
}

impl RouteSlot {
    fn new(metrics: Metrics) -> Self {
        Self(Arc::new(Slot { metrics, route: OnceLock::new() }))
    }

    /// Says which route matched; only the first call counts.
    pub fn fill(&self, template: &str) {
        self.0.route.get_or_init(|| self.0.metrics.http().route(template));
    }

    fn route(&self) -> &Route {
        self.0.route.get().unwrap_or_else(|| self.0.metrics.http().unmatched())
    }
}

/// A response extension: why a request failed, for the access event and not for the client.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Kind of failure, bounded.
    pub kind: &'static str,
    /// Inner detail.
    pub detail: String,
}

/// Adds telemetry to a service.
#[derive(Clone)]
pub struct ServerLayer {
    metrics: Metrics,
    scheme: Scheme,
    events: Arc<Events>,
    hides_paths: bool,
}

/// Which access events of successful requests are written.
struct Events {
    one_in: u64,
    /// Successful requests so far.
    seen: AtomicU64,
}

impl Events {
    /// Whether this one is, counting it.
    fn wanted(&self) -> bool {
        self.one_in == 1 || self.seen.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.one_in)
    }
}

impl ServerLayer {
    /// A layer that records into these metrics and writes every access event.
    #[must_use]
    pub fn new(metrics: Metrics, scheme: Scheme) -> Self {
        let events = Arc::new(Events { one_in: 1, seen: AtomicU64::new(0) });
        Self { metrics, scheme, events, hides_paths: false }
    }

    /// Writes one in so many access events of requests that succeeded within a second, beginning
    /// with the first; those of all others always. 0 counts as 1.
    #[must_use]
    pub fn access_events_one_in(mut self, number: u32) -> Self {
        self.events = Arc::new(Events { one_in: u64::from(number.max(1)), seen: AtomicU64::new(0) });
        self
    }

    /// Leaves paths out of events and spans, where they may hold a secret; routes are told still.
    #[must_use]
    pub const fn hiding_paths(mut self, hides: bool) -> Self {
        self.hides_paths = hides;
        self
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = ServerService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ServerService { inner, layer: self.clone() }
    }
}

/// A service with telemetry.
#[derive(Clone)]
pub struct ServerService<S> {
    inner: S,
    layer: ServerLayer,
}

impl<S, RequestBody, ResponseBody> Service<Request<RequestBody>> for ServerService<S>
where
    S: Service<Request<RequestBody>, Response = Response<ResponseBody>, Error = Infallible>,
    ResponseBody: Body,
{
    type Response = Response<ObservedBody<ResponseBody>>;
    type Error = Infallible;
    type Future = Observed<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<RequestBody>) -> Self::Future {
        let ServerLayer { metrics, scheme, events, hides_paths } = &self.layer;
        let uri = (!hides_paths).then(|| request.uri().clone());
        let method = method_label(request.method());
        let span = open(method, *scheme, uri.as_ref());
        trace_ids::continue_trace(&span, request.headers());
        let route = RouteSlot::new(metrics.clone());
        request.extensions_mut().insert(route.clone());
        metrics.http().begun(method, *scheme);
        let exchange = Exchange {
            span,
            method,
            scheme: *scheme,
            uri,
            route,
            events: Arc::clone(events),
            started: Instant::now(),
            status: None,
            failure: None,
            complete: false,
        };
        let inner = exchange.span.in_scope(|| self.inner.call(request));
        Observed { inner, exchange: Some(exchange) }
    }
}

/// Opens a request's span; one of which only the ids are read has no attributes.
fn open(method: &'static str, scheme: Scheme, uri: Option<&Uri>) -> Span {
    if !SPANS_ARE_READ.load(Ordering::Relaxed) {
        return tracing::info_span!("http.server.request");
    }
    tracing::info_span!(
        "http.server.request",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = Empty,
        http.response.status_code = Empty,
        url.path = uri.map(Uri::path),
        url.scheme = scheme.as_str(),
        error.r#type = Empty,
    )
}

/// Says on an answer which trace it belongs to. One that was passed on may have another's already.
fn name_trace(span: &Span, headers: &mut HeaderMap) {
    if let Some(ids) = trace_ids::of_span(span)
        && let Ok(value) = HeaderValue::try_from(ids.trace_id().to_string())
    {
        headers.entry(TRACE_ID).or_insert(value);
    }
}

/// What is recorded when a request is done, or when it is dropped.
struct Exchange {
    span: Span,
    method: &'static str,
    scheme: Scheme,
    /// None where paths are hidden.
    uri: Option<Uri>,
    route: RouteSlot,
    events: Arc<Events>,
    started: Instant,
    status: Option<u16>,
    failure: Option<Failure>,
    complete: bool,
}

impl Exchange {
    /// Writes what came of the request into its span.
    fn close_span(&self, route: &str, error_type: Option<&'static str>) {
        let span = &self.span;
        // By the span itself: a recorded `otel.name` is not heard once the span has been started,
        // which the first log line or outgoing call in it does.
        span.context().span().update_name(format!("{} {route}", self.method));
        span.record("http.route", route);
        if let Some(status) = self.status {
            span.record("http.response.status_code", status);
        }
        if let Some(error_type) = error_type {
            span.record("error.type", error_type);
            span.record("otel.status_code", "ERROR");
        }
    }

    fn write_event(&self, route: &str, error_type: Option<&'static str>, duration: Duration) {
        let (kind, detail) = self
            .failure
            .as_ref()
            .map_or((error_type, None), |failure| (Some(failure.kind), Some(failure.detail.as_str())));
        let milliseconds = duration.as_secs_f64() * 1_000.0;
        let path = self.uri.as_ref().map(Uri::path);
        // So that a reader of the log can count.
        let one_in = (self.events.one_in > 1).then_some(self.events.one_in);
        self.span.in_scope(|| match self.status {
            Some(500..) => tracing::error!(
                method = self.method,
                path,
                route,
                status = self.status,
                duration_ms = milliseconds,
                error = kind,
                detail,
                "request"
            ),
            None | Some(400..) => tracing::info!(
                method = self.method,
                path,
                route,
                status = self.status,
                duration_ms = milliseconds,
                error = kind,
                detail,
                "request"
            ),
            Some(_) => tracing::info!(
                method = self.method,
                path,
                route,
                status = self.status,
                duration_ms = milliseconds,
                error = kind,
                detail,
                one_in,
                "request"
            ),
        });
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let duration = self.started.elapsed();
        let error_type = match (self.status, &self.failure) {
            (None, _) => Some("cancelled"),
            (Some(_), _) if !self.complete => Some("cut"),
            (Some(status), Some(failure)) if status >= 500 => Some(failure.kind),
            (Some(status), None) if status >= 500 => Some("server_error"),
            _ => None,
        };
        let route = self.route.route();
        let metrics = self.route.0.metrics.http();
        metrics.done(self.method, self.scheme, route, self.status, error_type, duration);
        if SPANS_ARE_READ.load(Ordering::Relaxed) {
            self.close_span(route.template(), error_type);
        }
        let failed = error_type.is_some() || self.status.is_some_and(|status| status >= 400);
        if failed || duration >= SLOW || self.events.wanted() {
            self.write_event(route.template(), error_type, duration);
        }
    }
}

pin_project! {
    /// The future of an observed request.
    pub struct Observed<F> {
        #[pin]
        inner: F,
        exchange: Option<Exchange>,
    }
}

impl<F, B> Future for Observed<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: Body,
{
    type Output = Result<Response<ObservedBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = {
            let _entered = this.exchange.as_ref().map(|exchange| exchange.span.enter());
            match ready!(this.inner.poll(cx)) {
                Ok(response) => response,
                Err(never) => match never {},
            }
        };
        let mut exchange = this.exchange.take();
        let mut response = response;
        if let Some(exchange) = &mut exchange {
            name_trace(&exchange.span, response.headers_mut());
            exchange.status = Some(response.status().as_u16());
            exchange.failure = response.extensions().get::<Failure>().cloned();
        }
        Poll::Ready(Ok(response.map(|inner| {
            let mut body = ObservedBody { inner, exchange };
            body.note_end();
            body
        })))
    }
}

pin_project! {
    /// A body that ends its request's record when it ends or is dropped.
    pub struct ObservedBody<B> {
        #[pin]
        inner: B,
        exchange: Option<Exchange>,
    }
}

impl<B: Body> ObservedBody<B> {
    fn note_end(&mut self) {
        if self.inner.is_end_stream()
            && let Some(exchange) = &mut self.exchange
        {
            exchange.complete = true;
        }
    }
}

impl<B: Body> Body for ObservedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        let ended = match &frame {
            None => true,
            Some(Ok(_)) => this.inner.is_end_stream(),
            Some(Err(_)) => false,
        };
        if ended && let Some(mut exchange) = this.exchange.take() {
            exchange.complete = true;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};

    use http::{Request, Response};
    use http_body_util::{BodyExt, Full};
    use tower::{Layer, ServiceExt};

    use super::{RouteSlot, Scheme, ServerLayer};
    use crate::recorder::Recorder;
    use crate::{GenAiSettings, Metrics};

    async fn answer(request: Request<()>) -> Result<Response<Full<&'static [u8]>>, Infallible> {
        if let Some(slot) = request.extensions().get::<RouteSlot>() {
            slot.fill("/books/{id}");
        }
        Ok(Response::new(Full::new(b"hello".as_slice())))
    }

    #[tokio::test]
    async fn a_read_body_counts_as_complete_under_its_route() {
        let metrics = Metrics::unregistered();
        let service = ServerLayer::new(metrics.clone(), Scheme::Http).layer(tower::service_fn(answer));
        let response = service.oneshot(Request::new(())).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
        let text = metrics.render();
        assert!(
            text.contains(r#"http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",http_route="/books/{id}",url_scheme="http"} 1"#),
            "{text}"
        );
        assert!(
            text.contains(r#"http_server_active_requests{http_request_method="GET",url_scheme="http"} 0"#)
        );
    }

    #[tokio::test]
    async fn an_answer_names_the_trace_that_it_belongs_to() {
        let recorder = Recorder::new(GenAiSettings::default());
        let _heard = recorder.listen();
        let service =
            ServerLayer::new(Metrics::unregistered(), Scheme::Http).layer(tower::service_fn(answer));
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let request = Request::builder().header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
        let told = service.clone().oneshot(request.body(()).unwrap()).await.unwrap();
        assert_eq!(told.headers()["x-trace-id"], trace);
        let own = service.oneshot(Request::new(())).await.unwrap();
        let own = own.headers()["x-trace-id"].to_str().unwrap();
        assert!(own.len() == 32 && own != trace, "{own}");
    }

    #[tokio::test]
    async fn a_body_dropped_half_way_counts_as_cut() {
        let metrics = Metrics::unregistered();
        let service = ServerLayer::new(metrics.clone(), Scheme::Http).layer(tower::service_fn(answer));
        drop(service.oneshot(Request::new(())).await.unwrap());
        assert!(metrics.render().contains(r#"error_type="cut""#), "{}", metrics.render());
    }

    #[tokio::test]
    async fn a_request_dropped_before_its_answer_counts_as_cancelled() {
        let metrics = Metrics::unregistered();
        let service =
            ServerLayer::new(metrics.clone(), Scheme::Http).layer(tower::service_fn(|_: Request<()>| {
                std::future::pending::<Result<Response<Full<&'static [u8]>>, Infallible>>()
            }));
        let pending = service.oneshot(Request::new(()));
        assert!(tokio::time::timeout(std::time::Duration::from_millis(5), pending).await.is_err());
        let text = metrics.render();
        assert!(
            text.contains(r#"error_type="cancelled""#) && text.contains(r#"http_route="unmatched""#),
            "{text}"
        );
    }

    /// What is logged of a request that asks for a secret path.
    async fn logged(hides: bool) -> String {
        #[derive(Clone, Default)]
        struct Log(Arc<Mutex<Vec<u8>>>);
        impl std::io::Write for Log {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let log = Log::default();
        let writer = log.clone();
        let events = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        let heard = tracing::subscriber::set_default(events);
        let layer = ServerLayer::new(Metrics::unregistered(), Scheme::Http).hiding_paths(hides);
        let request = Request::builder().uri("/v1/planted-key/x?also=planted-key").body(()).unwrap();
        let response = layer.layer(tower::service_fn(answer)).oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap();
        drop(heard);
        let bytes = log.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn hidden_paths_are_in_no_event_and_no_span() {
        let (told, hidden) = (logged(false).await, logged(true).await);
        assert!(told.contains("/v1/planted-key/x") && told.contains("/books/{id}"), "{told}");
        assert!(!hidden.contains("planted-key") && hidden.contains("/books/{id}"), "{hidden}");
    }
}
