//! W3C trace context across processes, and the trace id of what is going on now.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::TraceContextPropagator;

use crate::trace_ids;

/// Header of the W3C trace context.
pub(crate) const TRACEPARENT: &str = "traceparent";

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

/// The caller's context in `traceparent` and `tracestate`; an empty one where there is none.
pub(crate) fn extract(headers: &HeaderMap) -> opentelemetry::Context {
    TraceContextPropagator::new().extract_with_context(&opentelemetry::Context::new(), &Headers(headers))
}

/// Writes the current span's context into an outgoing request's headers.
pub fn inject_trace_context(headers: &mut HeaderMap) {
    let Some(current) = trace_ids::current() else { return };
    let context = opentelemetry::Context::new().with_remote_span_context(current);
    TraceContextPropagator::new().inject_context(&context, &mut HeadersMut(headers));
}

/// The trace id of the current span, 32 hex digits; `None` outside any trace.
#[must_use]
pub fn current_trace_id() -> Option<String> {
    trace_ids::current().map(|ids| ids.trace_id().to_string())
}
