//! What a process would say, kept for tests: spans as they would be exported, log lines in both forms
//! as if `LOG_FILTER` were `trace`, and metrics. For tests of other crates, which do not know OpenTelemetry.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use opentelemetry::trace::{SpanKind, Status, TracerProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;

use crate::gen_ai::GenAiSettings;
use crate::logs::JsonLines;
use crate::metrics::Metrics;
use crate::start::{discreet, own_spans};

/// A subscriber that nobody asks. While there is only one, `tracing` asks the subscriber of the thread that
/// comes to a span first whether anybody wants it, for good; tests run on threads that have none.
static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(tracing_subscriber::registry()));

/// Keeps what is said on the threads on which it listens.
pub struct Recorder {
    spans: InMemorySpanExporter,
    /// Ends with the recorder.
    _provider: SdkTracerProvider,
    lines: Lines,
    metrics: Metrics,
    dispatch: Dispatch,
}

/// A span as it would be exported.
#[derive(Clone, Debug)]
pub struct RecordedSpan {
    /// Its name.
    pub name: String,
    /// Whether it is of kind CLIENT.
    pub is_client: bool,
    /// Its description if its status is an error.
    pub error: Option<String>,
    /// Its attributes, the values as text.
    pub attributes: BTreeMap<String, String>,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn push(&self, bytes: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Recorder {
    /// A recorder of a process that records LLM calls in this way and exports its spans.
    #[must_use]
    pub fn new(gen_ai: GenAiSettings) -> Self {
        let spans = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(spans.clone()).build();
        let lines = Lines::default();
        let (json, console) = (lines.clone(), lines.clone());
        let spans_layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("bookstore"));
        let json = JsonLines::new("recorded", move |line: &[u8]| json.push(line));
        let console = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || console.clone());
        let subscriber = tracing_subscriber::registry()
            .with(spans_layer.with_filter(own_spans()))
            .with(json.with_filter(discreet()))
            .with(console.with_filter(discreet()));
        LazyLock::force(&ANOTHER);
        let dispatch = Dispatch::new(subscriber);
        Self { spans, _provider: provider, lines, metrics: Metrics::unregistered_with(gen_ai), dispatch }
    }

    /// Listens on this thread until the guard is dropped.
    #[must_use]
    pub fn listen(&self) -> DefaultGuard {
        tracing::dispatcher::set_default(&self.dispatch)
    }

    /// The process's metrics.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// The spans that have ended.
    #[must_use]
    pub fn spans(&self) -> Vec<RecordedSpan> {
        self.finished().into_iter().map(recorded).collect()
    }

    fn finished(&self) -> Vec<SpanData> {
        self.spans.get_finished_spans().unwrap_or_default()
    }

    /// All that was said: log lines, spans whole, and metrics.
    #[must_use]
    pub fn everything(&self) -> String {
        let lines = self.lines.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        format!("{}\n{:#?}\n{}", String::from_utf8_lossy(&lines), self.finished(), self.metrics.render())
    }
}

fn recorded(span: SpanData) -> RecordedSpan {
    RecordedSpan {
        name: span.name.into_owned(),
        is_client: span.span_kind == SpanKind::Client,
        error: match span.status {
            Status::Error { description } => Some(description.into_owned()),
            Status::Ok | Status::Unset => None,
        },
        attributes: span
            .attributes
            .into_iter()
            .map(|attribute| (attribute.key.to_string(), attribute.value.as_str().into_owned()))
            .collect(),
    }
}
