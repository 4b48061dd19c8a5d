//! Trace and span ids: what logs, answers and outgoing requests name.
//!
//! Where spans are exported, they are those of the tracer. Where they are not, nothing of a span is
//! ever read but its ids, so [`TraceIds`] gives every span a pair and keeps nothing else.

use opentelemetry::trace::{SpanContext, TraceContextExt, TraceFlags, TraceState};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use tracing::span::{Attributes, Id};
use tracing::{Dispatch, Span, Subscriber, dispatcher};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

use crate::propagation;

/// The ids of a span, kept with it.
struct Ids(SpanContext);

/// A layer that gives every span ids: those of a child in its parent's trace.
pub(crate) struct TraceIds;

impl<S> Layer<S> for TraceIds
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, _attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let parent =
            span.parent().and_then(|parent| parent.extensions().get::<Ids>().map(|ids| ids.0.clone()));
        span.extensions_mut().insert(Ids(child_of(parent.as_ref())));
    }
}

fn child_of(parent: Option<&SpanContext>) -> SpanContext {
    let random = RandomIdGenerator::default();
    let (trace, flags, state) = match parent {
        Some(parent) => (parent.trace_id(), parent.trace_flags(), parent.trace_state().clone()),
        None => (random.new_trace_id(), TraceFlags::SAMPLED, TraceState::NONE),
    };
    SpanContext::new(trace, random.new_span_id(), flags, false, state)
}

/// Puts a span, which must have no children yet, into the trace that a request's headers name.
pub(crate) fn continue_trace(span: &Span, headers: &http::HeaderMap) {
    if !headers.contains_key(propagation::TRACEPARENT) {
        return;
    }
    let remote = propagation::extract(headers);
    let context = remote.span().span_context().clone();
    // Fails where no tracer is installed.
    if !context.is_valid() || span.set_parent(remote).is_ok() {
        return;
    }
    span.with_subscriber(|(id, dispatch)| {
        if let Some(span) = dispatch.downcast_ref::<Registry>().and_then(|registry| registry.span(id)) {
            span.extensions_mut().replace(Ids(child_of(Some(&context))));
        }
    });
}

/// The ids of the current span; `None` outside any trace.
pub(crate) fn current() -> Option<SpanContext> {
    dispatcher::get_default(|dispatch| of(dispatch.current_span().id()?, dispatch))
}

fn of(id: &Id, dispatch: &Dispatch) -> Option<SpanContext> {
    let registry = dispatch.downcast_ref::<Registry>()?;
    let kept = registry.span(id)?.extensions().get::<Ids>().map(|ids| ids.0.clone());
    kept.or_else(|| {
        let context = tracing_opentelemetry::get_otel_context(id, dispatch)?;
        Some(context.span().span_context().clone())
    })
    .filter(SpanContext::is_valid)
}
