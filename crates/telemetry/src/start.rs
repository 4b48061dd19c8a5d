//! Set-up and flush: which signals go where.
//!
//! Every span gets a trace id even where nothing is exported, so that logs and answers can name
//! it. Log lines go to standard error; by OTLP too, as spans do, where an endpoint is set
//! (`exporters.rs`).

use std::thread;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::{FilterExt, LevelFilter, ParseError, Targets};
use tracing_subscriber::layer::{Identity, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer};

use crate::Metrics;
use crate::client_spans;
use crate::exporters::{self, Endpoint, LogsExporter, OtlpProtocol, Traceloop};
use crate::gen_ai::GenAiSettings;
use crate::logs::{JsonLines, to_standard_error};
use crate::metrics::SetUpError;
use crate::sampling::Sampling;
use crate::server;
use crate::trace_ids::TraceIds;

/// Longest wait for the last spans and lines to leave.
const FLUSH_DEADLINE: Duration = Duration::from_millis(1_500);

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people, in development.
    Console,
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
    /// Nothing is measured nor exported; ids are given and log lines written all the same.
    pub disabled: bool,
    /// Where spans and log lines go; nowhere when absent. The OpenTelemetry SDK reads the same
    /// `OTEL_EXPORTER_OTLP_*` variables for headers.
    pub otlp_endpoint: Option<String>,
    /// How they travel.
    pub otlp_protocol: OtlpProtocol,
    /// Whether log lines go there, too.
    pub logs_exporter: LogsExporter,
    /// Which traces are recorded.
    pub sampling: Sampling,
    /// Where spans go besides; nowhere when absent.
    pub traceloop: Option<Traceloop>,
    /// The program whose requests are exported as spans of its own ([`crate::ClientRequest`]).
    pub client: Option<&'static str>,
    /// How LLM calls are recorded.
    pub gen_ai: GenAiSettings,
}

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter does not parse.
    #[error("LOG_FILTER {0:?} is not a filter such as `info` or `info,bookstore_api=debug`: {1}")]
    Filter(String, ParseError),
    /// The endpoint is one that is not spoken to.
    #[error(
        "OTEL_EXPORTER_OTLP_ENDPOINT: gRPC is spoken without TLS only, to a collector nearby; for https:// set \
         OTEL_EXPORTER_OTLP_PROTOCOL to http/protobuf"
    )]
    GrpcOverTls,
    /// The exporter could not be made.
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT and what else is said by OTEL_EXPORTER_OTLP_… cannot be used: {0}")]
    Exporter(#[from] ExporterBuildError),
    /// The exporter to Traceloop could not be made.
    #[error("TRACELOOP_BASE_URL and TRACELOOP_API_KEY cannot be used: {0}")]
    Traceloop(ExporterBuildError),
    /// The metrics could not be made.
    #[error("the metrics cannot be set up: {0}")]
    Metrics(#[from] SetUpError),
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
            Self::GrpcOverTls => "grpc_over_tls",
            Self::Exporter(_) => "exporter",
            Self::Traceloop(_) => "traceloop",
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
    /// To how many places they go.
    span_exporters: u32,
    /// Of the requests that another program made.
    client_provider: Option<SdkTracerProvider>,
    /// None where log lines go to standard error alone.
    logger_provider: Option<SdkLoggerProvider>,
}

/// Starts telemetry and installs the process's subscriber. To be called within the runtime whose metrics
/// are to be shown.
///
/// # Errors
/// When the filter or endpoint is malformed or another subscriber is installed already.
pub fn start(settings: &TelemetrySettings) -> Result<Telemetry, TelemetryError> {
    let resource = Resource::builder()
        .with_service_name(settings.service_name)
        .with_attribute(KeyValue::new("service.version", settings.service_version))
        .build();
    let endpoint = settings
        .otlp_endpoint
        .as_deref()
        .filter(|_| !settings.disabled)
        .map(|url| Endpoint { url, protocol: settings.otlp_protocol });
    if endpoint.is_some_and(|endpoint| endpoint.needs_what_there_is_not()) {
        return Err(TelemetryError::GrpcOverTls);
    }
    let mut span_exporters = Vec::new();
    if let Some(endpoint) = &endpoint {
        span_exporters.push(endpoint.spans()?);
    }
    if let Some(traceloop) = settings.traceloop.as_ref().filter(|_| !settings.disabled) {
        span_exporters.push(exporters::to_traceloop(traceloop).map_err(TelemetryError::Traceloop)?);
    }
    let client_provider = match (settings.client, &endpoint) {
        (Some(client), Some(endpoint)) => {
            Some(client_spans::start(client, settings.sampling, endpoint.spans()?))
        }
        _ => None,
    };
    // Content goes on spans, so that it is not even kept where they go nowhere.
    let capture_content = settings.gen_ai.capture_content && !span_exporters.is_empty();
    let gen_ai = GenAiSettings { capture_content, ..settings.gen_ai };
    let metrics = match settings.disabled {
        true => Metrics::silent(gen_ai),
        false => Metrics::of_process(resource.clone(), gen_ai)?,
    };
    let number_of_exporters = if span_exporters.len() > 1 { 2 } else { 1 };
    let tracer_provider = exporters::tracer_provider(span_exporters, settings.sampling, resource.clone());
    let logger_provider = endpoint
        .filter(|_| settings.logs_exporter == LogsExporter::Otlp)
        .map(|endpoint| exporters::logger_provider(endpoint, resource))
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
    let exported = match &logger_provider {
        Some(provider) => OpenTelemetryTracingBridge::new(provider)
            .with_filter(filter(&settings.log_filter)?.and(discreet()).and(own(LevelFilter::TRACE)))
            .boxed(),
        None => Identity::new().with_filter(LevelFilter::OFF).boxed(),
    };
    server::read_spans(tracer_provider.is_some() || settings.log_format == LogFormat::Console);
    tracing_subscriber::registry()
        .with(spans.with_filter(own_spans()))
        .with(logs.with_filter(filter(&settings.log_filter)?.and(discreet())))
        .with(exported)
        .try_init()?;
    Ok(Telemetry {
        metrics,
        tracer_provider,
        span_exporters: number_of_exporters,
        client_provider,
        logger_provider,
    })
}

fn filter(text: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::builder().parse(text).map_err(|error| TelemetryError::Filter(text.to_owned(), error))
}

/// Our own spans only.
pub(crate) fn own_spans() -> Targets {
    own(LevelFilter::INFO)
}

/// What is our own, down to a level: the spans and lines of the HTTP and gRPC stacks below would tell of
/// their own export, and so cause the next.
fn own(level: LevelFilter) -> Targets {
    ["h2", "hyper", "hyper_util", "tonic", "tower", "reqwest", "opentelemetry", "opentelemetry_sdk"]
        .into_iter()
        .fold(Targets::new().with_default(level), |targets, noisy| {
            targets.with_target(noisy, LevelFilter::OFF)
        })
}

/// Whatever lines are asked for, not those in which a library tells what it sends and receives: the AWS
/// SDK's below `info` hold prompts, answers, and errors in which a server may echo a key.
pub(crate) fn discreet() -> Targets {
    Targets::new().with_default(LevelFilter::TRACE).with_target("aws_", LevelFilter::INFO)
}

impl Telemetry {
    /// The process's metrics.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Sends what is still held, waiting a few seconds at most.
    pub async fn shutdown(self) {
        let Self { metrics, tracer_provider, span_exporters, client_provider, logger_provider } = self;
        let flush = tokio::task::spawn_blocking(move || {
            metrics.shutdown();
            thread::scope(|scope| {
                let lines = scope.spawn(|| {
                    logger_provider.map_or(Ok(()), |provider| provider.shutdown_with_timeout(FLUSH_DEADLINE))
                });
                let requests = scope.spawn(|| {
                    client_provider.map_or(Ok(()), |provider| provider.shutdown_with_timeout(FLUSH_DEADLINE))
                });
                // One exporter after the other, each for as long as is said here.
                let spans = tracer_provider.map_or(Ok(()), |provider| {
                    provider.shutdown_with_timeout(FLUSH_DEADLINE / span_exporters)
                });
                (spans, requests.join(), lines.join())
            })
        });
        let told = |what: &str, flushed: OTelSdkResult| {
            if let Err(error) = flushed {
                tracing::warn!(%error, "the last {what} could not be sent");
            }
        };
        match flush.await {
            Ok((spans, requests, lines)) => {
                told("spans", spans);
                told("requests", requests.unwrap_or(Ok(())));
                told("log lines", lines.unwrap_or(Ok(())));
            }
            Err(error) => tracing::warn!(%error, "flushing telemetry broke off"),
        }
    }
}
