//! The HTTP server layer: trace context in, one span, one duration, one access event a request.
//!
//! Wraps everything else a service does with a request. Knows `tower` and `http`, no framework: the
//! route template is handed to it in a [`RouteSlot`], a failure's inner detail in a [`Failure`].

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use opentelemetry::trace::TraceContextExt;
use pin_project_lite::pin_project;
use tower::{Layer, Service};
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::conventions::method_label;
use crate::{Metrics, propagation};

/// The one label of every path that no route matches.
const UNMATCHED: &str = "unmatched";

/// A request extension that `http` fills with the template of the route that matched.
#[derive(Clone, Default)]
pub struct RouteSlot(Arc<OnceLock<Arc<str>>>);

impl RouteSlot {
    /// Says which route matched; only the first call counts.
    pub fn fill(&self, template: &str) {
        self.0.get_or_init(|| Arc::from(template));
    }

    fn template(&self) -> Arc<str> {
        static NONE: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(UNMATCHED));
        self.0.get().map_or_else(|| Arc::clone(&NONE), Arc::clone)
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
}

impl ServerLayer {
    /// A layer that records into these metrics.
    #[must_use]
    pub const fn new(metrics: Metrics) -> Self {
        Self { metrics }
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = ServerService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ServerService { inner, metrics: self.metrics.clone() }
    }
}

/// A service with telemetry.
#[derive(Clone)]
pub struct ServerService<S> {
    inner: S,
    metrics: Metrics,
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
        let method = method_label(request.method());
        let span = tracing::info_span!(
            "http.server.request",
            otel.name = method,
            otel.kind = "server",
            otel.status_code = Empty,
            http.request.method = method,
            http.route = Empty,
            http.response.status_code = Empty,
            url.path = request.uri().path(),
            url.scheme = "http",
            error.r#type = Empty,
        );
        // Fails only where no tracer is installed: then there is nothing to continue.
        let _ = span.set_parent(propagation::extract(request.headers()));
        let route = RouteSlot::default();
        request.extensions_mut().insert(route.clone());
        self.metrics.http_active(method, 1);
        let exchange = Exchange {
            metrics: self.metrics.clone(),
            span: span.clone(),
            method,
            path: request.uri().path().to_owned(),
            route,
            started: Instant::now(),
            status: None,
            failure: None,
            complete: false,
        };
        let inner = span.in_scope(|| self.inner.call(request));
        Observed { inner, exchange: Some(exchange), span }
    }
}

/// What is recorded when a request is done, or when it is dropped.
struct Exchange {
    metrics: Metrics,
    span: Span,
    method: &'static str,
    path: String,
    route: RouteSlot,
    started: Instant,
    status: Option<u16>,
    failure: Option<Failure>,
    complete: bool,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let duration = self.started.elapsed();
        let route = self.route.template();
        let error_type = match (self.status, &self.failure) {
            (None, _) => Some("cancelled"),
            (Some(_), _) if !self.complete => Some("cut"),
            (Some(status), Some(failure)) if status >= 500 => Some(failure.kind),
            (Some(status), None) if status >= 500 => Some("server_error"),
            _ => None,
        };
        self.metrics.http_active(self.method, -1);
        self.metrics.http_done(self.method, &route, self.status, error_type, duration);
        let span = &self.span;
        // By the span itself: a recorded `otel.name` is not heard once the span has been started,
        // which the first log line or outgoing call in it does.
        span.context().span().update_name(format!("{} {route}", self.method));
        span.record("http.route", &*route);
        if let Some(status) = self.status {
            span.record("http.response.status_code", status);
        }
        if let Some(error_type) = error_type {
            span.record("error.type", error_type);
            span.record("otel.status_code", "ERROR");
        }
        let (kind, detail) = self
            .failure
            .as_ref()
            .map_or((error_type, None), |failure| (Some(failure.kind), Some(failure.detail.as_str())));
        let milliseconds = duration.as_secs_f64() * 1_000.0;
        span.in_scope(|| {
            if self.status.is_some_and(|status| status >= 500) {
                tracing::error!(
                    method = self.method, path = %self.path, route = %route, status = self.status,
                    duration_ms = milliseconds, error = kind, detail, "request"
                );
            } else {
                tracing::info!(
                    method = self.method, path = %self.path, route = %route, status = self.status,
                    duration_ms = milliseconds, error = kind, detail, "request"
                );
            }
        });
    }
}

pin_project! {
    /// The future of an observed request.
    pub struct Observed<F> {
        #[pin]
        inner: F,
        exchange: Option<Exchange>,
        span: Span,
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
            let _entered = this.span.enter();
            match ready!(this.inner.poll(cx)) {
                Ok(response) => response,
                Err(never) => match never {},
            }
        };
        let mut exchange = this.exchange.take();
        if let Some(exchange) = &mut exchange {
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

    use http::{Request, Response};
    use http_body_util::{BodyExt, Full};
    use tower::{Layer, ServiceExt};

    use super::{RouteSlot, ServerLayer};
    use crate::Metrics;

    async fn answer(request: Request<()>) -> Result<Response<Full<&'static [u8]>>, Infallible> {
        if let Some(slot) = request.extensions().get::<RouteSlot>() {
            slot.fill("/books/{id}");
        }
        Ok(Response::new(Full::new(b"hello".as_slice())))
    }

    #[tokio::test]
    async fn a_read_body_counts_as_complete_under_its_route() {
        let metrics = Metrics::unregistered();
        let service = ServerLayer::new(metrics.clone()).layer(tower::service_fn(answer));
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
    async fn a_body_dropped_half_way_counts_as_cut() {
        let metrics = Metrics::unregistered();
        let service = ServerLayer::new(metrics.clone()).layer(tower::service_fn(answer));
        drop(service.oneshot(Request::new(())).await.unwrap());
        assert!(metrics.render().contains(r#"error_type="cut""#), "{}", metrics.render());
    }

    #[tokio::test]
    async fn a_request_dropped_before_its_answer_counts_as_cancelled() {
        let metrics = Metrics::unregistered();
        let service = ServerLayer::new(metrics.clone()).layer(tower::service_fn(|_: Request<()>| {
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
}
