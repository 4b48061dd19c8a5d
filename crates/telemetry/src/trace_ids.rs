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
    dispatcher::get_default(current_in)
}

/// The same as this subscriber knows it.
pub(crate) fn current_in(dispatch: &Dispatch) -> Option<SpanContext> {
    of(dispatch.current_span().id()?, dispatch)
}

/// The ids of this span.
pub(crate) fn of_span(span: &Span) -> Option<SpanContext> {
    span.with_subscriber(|(id, dispatch)| of(id, dispatch)).flatten()
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

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use tracing::subscriber::with_default;
    use tracing_subscriber::layer::SubscriberExt;

    use super::{TraceIds, continue_trace, current};
    use crate::{current_trace_id, inject_trace_context};

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn children_are_in_their_parents_trace_and_roots_in_their_own() {
        with_default(tracing_subscriber::registry().with(TraceIds), || {
            assert_eq!(current_trace_id(), None);
            let roots: Vec<_> = (0..2)
                .map(|_| {
                    tracing::info_span!("root").in_scope(|| {
                        let root = current().unwrap();
                        let child = tracing::info_span!("child").in_scope(|| current().unwrap());
                        assert_eq!(child.trace_id(), root.trace_id());
                        assert_ne!(child.span_id(), root.span_id());
                        root.trace_id()
                    })
                })
                .collect();
            assert_ne!(roots[0], roots[1]);
        });
    }

    #[test]
    fn a_callers_trace_goes_on_through_us() {
        with_default(tracing_subscriber::registry().with(TraceIds), || {
            for (traceparent, goes_on, flags) in [
                (format!("00-{TRACE}-00f067aa0ba902b7-01"), true, "01"),
                (format!("00-{TRACE}-00f067aa0ba902b7-00"), true, "00"),
                ("00-00000000000000000000000000000000-00f067aa0ba902b7-01".to_owned(), false, "01"),
                ("nonsense".to_owned(), false, "01"),
            ] {
                let mut headers = HeaderMap::new();
                headers.insert("traceparent", traceparent.parse().unwrap());
                headers.insert("tracestate", "vendor=1".parse().unwrap());
                let span = tracing::info_span!("request");
                continue_trace(&span, &headers);
                span.in_scope(|| {
                    assert_eq!(current_trace_id().unwrap() == TRACE, goes_on, "{traceparent}");
                    tracing::info_span!("call").in_scope(|| {
                        let mut outgoing = HeaderMap::new();
                        inject_trace_context(&mut outgoing);
                        let sent = outgoing["traceparent"].to_str().unwrap();
                        let (span, trace) = (current().unwrap().span_id(), current_trace_id().unwrap());
                        assert_eq!(sent, format!("00-{trace}-{span}-{flags}"));
                        assert_eq!(
                            outgoing.get("tracestate").is_some_and(|state| state == "vendor=1"),
                            goes_on
                        );
                    });
                });
            }
        });
    }
}
