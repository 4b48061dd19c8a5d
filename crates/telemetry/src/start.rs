//! Set-up and flush: which signals go where.
//!
//! Every span gets a trace id even where nothing is exported, so that logs and answers can name
//! it. Spans leave by OTLP when an endpoint is set; logs go to standard error.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::{FilterExt, LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer};

use crate::Metrics;
use crate::gen_ai::GenAiSettings;
use crate::logs::{JsonLines, to_standard_error};
use crate::server;
use crate::trace_ids::TraceIds;

/// Longest wait for the last spans to leave.
const FLUSH_DEADLINE: Duration = Duration::from_millis(1_500);
/// Longest wait for one export.
const EXPORT_DEADLINE: Duration = Duration::from_secs(3);

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people, in development.
    Console,
}

/// How spans travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// `http/protobuf`, the default of OpenTelemetry.
    #[default]
    HttpProtobuf,
    /// `grpc`.
    Grpc,
}

/// What telemetry has to know.
#[derive(Clone, Debug)]
pub struct TelemetrySettings {
    /// `service.name`.
    pub service_name: &'static str,
    /// `service.version`.
    pub service_version: &'static str,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines pass, in the syntax of `EnvFilter`: `info,bookstore_api=debug`.
    pub log_filter: String,
    /// Where spans go; nowhere when absent. The OpenTelemetry SDK reads the same
    /// `OTEL_EXPORTER_OTLP_*` variables for headers and time-outs.
    pub otlp_endpoint: Option<String>,
    /// How they travel.
    pub otlp_protocol: OtlpProtocol,
    /// How LLM calls are recorded.
    pub gen_ai: GenAiSettings,
}

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter does not parse.
    #[error("LOG_FILTER {0:?} is not a filter such as `info` or `info,bookstore_api=debug`: {1}")]
    Filter(String, tracing_subscriber::filter::ParseError),
    /// The exporter could not be made.
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT cannot be used: {0}")]
    Exporter(#[from] ExporterBuildError),
    /// The metric reader could not be made.
    #[error("the metrics cannot be set up: {0}")]
    Metrics(#[from] OTelSdkError),
    /// Another subscriber is installed.
    #[error("the log subscriber cannot be installed: {0}")]
    Subscriber(#[from] TryInitError),
}

impl TelemetryError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Filter(..) => "log_filter",
            Self::Exporter(_) => "exporter",
            Self::Metrics(_) => "metrics",
            Self::Subscriber(_) => "subscriber",
        }
    }
}

/// Running telemetry. Call [`Telemetry::shutdown`] on every way out.
pub struct Telemetry {
    metrics: Metrics,
    /// None where spans go nowhere.
    tracer_provider: Option<SdkTracerProvider>,
}

/// Starts telemetry and installs the process's subscriber.
///
/// # Errors
/// When the filter or endpoint is malformed or another subscriber is installed already.
pub fn start(settings: &TelemetrySettings) -> Result<Telemetry, TelemetryError> {
    let filter = EnvFilter::builder()
        .parse(&settings.log_filter)
        .map_err(|error| TelemetryError::Filter(settings.log_filter.clone(), error))?;
    let resource = Resource::builder()
        .with_service_name(settings.service_name)
        .with_attribute(KeyValue::new("service.version", settings.service_version))
        .build();
    // Content goes on spans, so that it is not even kept where they go nowhere.
    let capture_content = settings.gen_ai.capture_content && settings.otlp_endpoint.is_some();
    let metrics = Metrics::new(resource.clone(), GenAiSettings { capture_content, ..settings.gen_ai })?;
    let tracer_provider = settings
        .otlp_endpoint
        .as_deref()
        .map(|endpoint| tracer_provider(endpoint, settings.otlp_protocol, resource))
        .transpose()?;
    let spans = match &tracer_provider {
        Some(provider) => tracing_opentelemetry::layer()
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_tracer(provider.tracer("bookstore"))
            .boxed(),
        None => TraceIds.boxed(),
    };
    let logs = match settings.log_format {
        LogFormat::Json => JsonLines::new(settings.service_name, to_standard_error).boxed(),
        LogFormat::Console => tracing_subscriber::fmt::layer().with_writer(std::io::stderr).compact().boxed(),
    };
    server::read_spans(tracer_provider.is_some() || settings.log_format == LogFormat::Console);
    tracing_subscriber::registry()
        .with(spans.with_filter(own_spans()))
        .with(logs.with_filter(filter.and(discreet())))
        .try_init()?;
    Ok(Telemetry { metrics, tracer_provider })
}

/// Our own spans only: those of the HTTP and gRPC stacks below would trace their own export.
pub(crate) fn own_spans() -> Targets {
    ["h2", "hyper", "hyper_util", "tonic", "tower", "reqwest", "opentelemetry", "opentelemetry_sdk"]
        .into_iter()
        .fold(Targets::new().with_default(LevelFilter::INFO), |targets, noisy| {
            targets.with_target(noisy, LevelFilter::OFF)
        })
}

/// Whatever lines are asked for, not those in which a library tells what it sends and receives: the AWS
/// SDK's below `info` hold prompts, answers, and errors in which a server may echo a key.
pub(crate) fn discreet() -> Targets {
    Targets::new().with_default(LevelFilter::TRACE).with_target("aws_", LevelFilter::INFO)
}

fn tracer_provider(
    endpoint: &str,
    protocol: OtlpProtocol,
    resource: Resource,
) -> Result<SdkTracerProvider, ExporterBuildError> {
    let exporter = match protocol {
        // The endpoint is a base; this signal's path is ours to add.
        OtlpProtocol::HttpProtobuf => SpanExporter::builder()
            .with_http()
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(EXPORT_DEADLINE)
            .build()?,
        OtlpProtocol::Grpc => SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_timeout(EXPORT_DEADLINE)
            .build()?,
    };
    Ok(SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build())
}

impl Telemetry {
    /// The process's metrics.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Sends what is still held, waiting a few seconds at most.
    pub async fn shutdown(self) {
        let Self { metrics, tracer_provider } = self;
        let flush = tokio::task::spawn_blocking(move || {
            metrics.shutdown();
            tracer_provider.map_or(Ok(()), |provider| provider.shutdown_with_timeout(FLUSH_DEADLINE))
        });
        match flush.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last spans could not be sent"),
            Err(error) => tracing::warn!(%error, "flushing telemetry broke off"),
        }
    }
}
