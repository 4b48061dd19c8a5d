//! Spans of requests that another program made: a load generator that exports none of its own.
//!
//! It writes down the trace and span id that it sent along (`traceparent`) and when the answer was there.
//! From that its span is made afterwards, under its own name as the service, and becomes the root of the
//! trace that the target has recorded.

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Span, SpanId, SpanKind, Status, TraceId, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{IdGenerator, Sampler, SdkTracer, SdkTracerProvider};

use crate::sampling::Sampling;

/// The tracer of the other program, as process-wide as the subscriber is.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

thread_local! {
    /// The ids of the span that is being made.
    static IDS: Cell<(TraceId, SpanId)> = const { Cell::new((TraceId::INVALID, SpanId::INVALID)) };
}

/// A request as the program that made it saw it.
#[derive(Clone, Debug)]
pub struct ClientRequest<'a> {
    /// Trace id, 32 hexadecimal digits.
    pub trace_id: &'a str,
    /// Id of the request's span, 16 hexadecimal digits.
    pub span_id: &'a str,
    /// Method and route: `GET /api/v1/books/{id}`.
    pub name: &'a str,
    /// HTTP status; 0 where there was no answer.
    pub status: u16,
    /// When the answer was there.
    pub ended: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// The run that it belongs to, `test.run.id`.
    pub run: &'a str,
    /// Host and port that it went to.
    pub server: (&'a str, u16),
    /// The run's scenario, `test.scenario.name`.
    pub scenario: &'a str,
}

impl ClientRequest<'_> {
    /// Exports it where spans are exported; nothing happens where they are not, or where its ids are none.
    pub fn export(&self) {
        if let Some(tracer) = TRACER.get() {
            self.export_by(tracer);
        }
    }

    fn export_by(&self, tracer: &SdkTracer) {
        let (Ok(trace), Ok(span)) = (TraceId::from_hex(self.trace_id), SpanId::from_hex(self.span_id)) else {
            return;
        };
        if self.trace_id.len() != 32 || self.span_id.len() != 16 {
            return;
        }
        let Some(started) = self.ended.checked_sub(self.took) else { return };
        if trace == TraceId::INVALID || span == SpanId::INVALID {
            return;
        }
        let (method, route) = self.name.split_once(' ').unwrap_or(("", self.name));
        let mut attributes = vec![
            KeyValue::new("http.request.method", method.to_owned()),
            KeyValue::new("url.template", route.to_owned()),
            KeyValue::new("server.address", self.server.0.to_owned()),
            KeyValue::new("server.port", i64::from(self.server.1)),
            KeyValue::new("test.run.id", self.run.to_owned()),
            KeyValue::new("test.scenario.name", self.scenario.to_owned()),
        ];
        if self.status == 0 {
            attributes.push(KeyValue::new("error.type", "no_answer"));
        } else {
            attributes.push(KeyValue::new("http.response.status_code", i64::from(self.status)));
            if self.status >= 400 {
                attributes.push(KeyValue::new("error.type", self.status.to_string()));
            }
        }
        // As the target judges: most of what is refused was provoked, and tail sampling would keep this span
        // of a trace that it has dropped.
        let failed = self.status == 0 || self.status >= 500;
        let builder = tracer
            .span_builder(self.name.to_owned())
            .with_kind(SpanKind::Client)
            .with_start_time(started)
            .with_attributes(attributes);
        IDS.set((trace, span));
        let mut made = tracer.build_with_context(builder, &Context::new());
        if failed {
            made.set_status(Status::error(""));
        }
        made.end_with_timestamp(self.ended);
    }
}

/// Whether anybody would get them.
#[must_use]
pub fn client_spans_are_exported() -> bool {
    TRACER.get().is_some()
}

/// Gives out the ids that were written down.
#[derive(Debug)]
struct Written;

impl IdGenerator for Written {
    fn new_trace_id(&self) -> TraceId {
        IDS.get().0
    }

    fn new_span_id(&self) -> SpanId {
        IDS.get().1
    }
}

/// What makes such spans, with `service` as who made the requests.
fn provider(
    service: &'static str,
    sampler: Sampler,
    configure: impl FnOnce(
        opentelemetry_sdk::trace::TracerProviderBuilder,
    ) -> opentelemetry_sdk::trace::TracerProviderBuilder,
) -> SdkTracerProvider {
    let resource = Resource::builder().with_service_name(service).build();
    configure(
        SdkTracerProvider::builder().with_resource(resource).with_id_generator(Written).with_sampler(sampler),
    )
    .build()
}

/// Sends them to `exporter` from now on.
pub(crate) fn start(service: &'static str, sampling: Sampling, exporter: SpanExporter) -> SdkTracerProvider {
    // Its requests tell their targets to record: so are its own recorded, unless none is to be.
    let sampler = if sampling.records_nothing() { Sampler::AlwaysOff } else { Sampler::AlwaysOn };
    let provider = provider(service, sampler, |builder| builder.with_batch_exporter(exporter));
    // There is one telemetry a process.
    drop(TRACER.set(provider.tracer("bookstore")));
    provider
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use opentelemetry::trace::{SpanKind, Status, TracerProvider};
    use opentelemetry_sdk::trace::{InMemorySpanExporter, Sampler};

    use super::{ClientRequest, provider};

    #[test]
    fn a_request_becomes_the_span_that_its_target_names_as_parent() {
        let exporter = InMemorySpanExporter::default();
        let provider =
            provider("k6", Sampler::AlwaysOn, |builder| builder.with_simple_exporter(exporter.clone()));
        let tracer = provider.tracer("test");
        let ended = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let request = ClientRequest {
            trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
            span_id: "00f067aa0ba902b7",
            name: "GET /api/v1/books/{id}",
            status: 200,
            ended,
            took: Duration::from_millis(250),
            run: "r",
            server: ("127.0.0.1", 7002),
            scenario: "smoke",
        };
        request.export_by(&tracer);
        ClientRequest { span_id: "00f067aa0ba902b8", status: 0, ..request.clone() }.export_by(&tracer);
        // Nothing is made of what is no id.
        for bad in ["", "0000000000000000", "x0f067aa0ba902b7", "00f067aa0ba902b7ff"] {
            ClientRequest { span_id: bad, ..request.clone() }.export_by(&tracer);
        }
        ClientRequest { trace_id: "canary", ..request.clone() }.export_by(&tracer);
        let spans = exporter.get_finished_spans().unwrap();
        assert_eq!(spans.len(), 2, "{spans:?}");
        let span = &spans[0];
        assert_eq!(span.span_context.trace_id().to_string(), request.trace_id);
        assert_eq!(span.span_context.span_id().to_string(), request.span_id);
        assert_eq!(span.parent_span_id.to_string(), "0000000000000000");
        assert_eq!((span.start_time, span.end_time), (ended - Duration::from_millis(250), ended));
        assert_eq!((&span.span_kind, &span.status), (&SpanKind::Client, &Status::Unset));
        assert!(span.attributes.iter().any(|found| found.key.as_str() == "http.response.status_code"));
        assert_eq!(spans[1].status, Status::error(""));
        assert!(spans[1].attributes.iter().any(|found| found.key.as_str() == "error.type"));
    }
}
