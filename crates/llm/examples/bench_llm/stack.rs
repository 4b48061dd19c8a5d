//! The two sides that are compared: the whole stack and the bare client.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use llm::{
    Backoff, Chunk, Claude, Delivery, LlmError, LlmProvider, Ollama, OpenAi, Prices, Prompt, Request,
    Resilient, Simulated, Trail,
};
use telemetry::{
    GenAiSettings, LogFormat, LogsExporter, Metrics, OtlpProtocol, Sampling, Telemetry, TelemetrySettings,
};

use super::wire::{Model, SYSTEM, USER, Wire};
use super::{Fallible, setting};

/// Deadline of a call, as is the default of the service.
const LIMIT: Duration = Duration::from_secs(50);
/// Attempts of a call, as is the default of the service.
const ATTEMPTS: u32 = 3;

/// Telemetry as a service has it: metrics, exported spans, JSON lines to standard error.
pub(crate) fn telemetry(collector: &str) -> Fallible<Telemetry> {
    Ok(telemetry::start(&TelemetrySettings {
        service_name: "bench-llm",
        service_version: "0",
        log_format: LogFormat::Json,
        log_filter: "info".to_owned(),
        otlp_endpoint: Some(collector.to_owned()),
        otlp_protocol: OtlpProtocol::HttpProtobuf,
        disabled: false,
        logs_exporter: LogsExporter::default(),
        sampling: Sampling::default(),
        traceloop: None,
        client: None,
        gen_ai: GenAiSettings::default(),
    })?)
}

/// What both sides need.
pub(crate) struct Bench {
    base: String,
    metrics: Metrics,
    prices: Arc<Prices>,
    client: reqwest::Client,
}

/// One call with all its wrappers.
#[derive(Clone)]
pub(crate) struct Stack {
    provider: Arc<dyn LlmProvider>,
    prompt: Arc<Prompt>,
    delivery: Delivery,
}

/// The same request by a client that only reads the bytes.
#[derive(Clone)]
pub(crate) struct Bare {
    client: reqwest::Client,
    url: String,
    body: String,
}

impl Bench {
    pub(crate) fn new(base: String, metrics: Metrics) -> Fallible<Self> {
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(Duration::from_secs(60))
            .no_proxy()
            .build()?;
        Ok(Self { base, metrics, prices: Arc::new(Prices::shipped()?), client })
    }

    /// The protocols that are measured: all, or those that `WIRES` names.
    pub(crate) fn wires(&self) -> Vec<Wire> {
        let named = setting("WIRES");
        let wanted =
            |wire: &Wire| named.as_ref().is_none_or(|named| named.split(',').any(|name| name == wire.name()));
        Wire::ALL.into_iter().filter(wanted).collect()
    }

    fn resilient(&self, wire: Wire, model: &str) -> Fallible<Resilient> {
        let (metrics, prices) = (self.metrics.clone(), Arc::clone(&self.prices));
        let wrapped = match wire {
            Wire::Ollama => {
                Resilient::new(Ollama::new(&self.base, model)?, metrics, prices, LIMIT, Backoff::default())
            }
            Wire::Anthropic => Resilient::new(
                Claude::new(&self.base, None, model)?,
                metrics,
                prices,
                LIMIT,
                Backoff::default(),
            ),
            Wire::OpenAi => Resilient::new(
                OpenAi::new(&self.base, None, model)?,
                metrics,
                prices,
                LIMIT,
                Backoff::default(),
            ),
        };
        Ok(wrapped)
    }

    /// A call of this model, with a fallback behind it.
    pub(crate) fn stack(&self, wire: Wire, model: Model, delivery: Delivery) -> Fallible<Stack> {
        let (metrics, prices) = (self.metrics.clone(), Arc::clone(&self.prices));
        let fallback = Resilient::new(Simulated, metrics, prices, LIMIT, Backoff::default());
        let provider = self.resilient(wire, &model.name())?.or(&[fallback]);
        let prompt = Prompt { system: SYSTEM.to_owned(), user: USER.to_owned(), max_output_tokens: 400 };
        Ok(Stack { provider, prompt: Arc::new(prompt), delivery })
    }

    /// The same by the bare client.
    pub(crate) fn bare(&self, wire: Wire, model: Model, delivery: Delivery) -> Bare {
        self.bare_at(&self.base, wire, &model.name(), delivery)
    }

    /// The same elsewhere.
    pub(crate) fn bare_at(&self, base: &str, wire: Wire, model: &str, delivery: Delivery) -> Bare {
        Bare {
            client: self.client.clone(),
            url: format!("{base}{}", wire.path()),
            body: wire.question(model, delivery == Delivery::Streamed),
        }
    }
}

impl Stack {
    /// Makes a call and hands each piece of text on; the time to the first.
    pub(crate) async fn call(&self, mut text: impl FnMut(&str) -> Fallible<()>) -> Fallible<Duration> {
        let begun = Instant::now();
        let request = Request {
            delivery: self.delivery,
            trail: Trail::open(ATTEMPTS),
            prompt: Arc::clone(&self.prompt),
            deadline: tokio::time::Instant::now() + LIMIT,
            arm: None,
        };
        let mut stream = self.provider.call(&request).await?;
        let mut first = None;
        let mut ended = false;
        while let Some(chunk) = stream.next().await {
            match chunk? {
                Chunk::Begun(begun) if begun.provider == self.provider.name() => {}
                Chunk::Begun(begun) => return Err(format!("{} answered", begun.provider).into()),
                Chunk::Text(piece) => {
                    first.get_or_insert_with(|| begun.elapsed());
                    text(&piece)?;
                }
                Chunk::End(_) => ended = true,
            }
        }
        if !ended || request.trail.attempts().len() != 1 {
            return Err(format!("not one good attempt: {:?}", request.trail).into());
        }
        first.ok_or_else(|| LlmError::new(llm::ErrorKind::BadAnswer, "no text").into())
    }
}

impl Bare {
    /// Makes a call and reads its bytes; the time to the first, and how many there were.
    pub(crate) async fn call(&self) -> Fallible<(Duration, usize)> {
        let begun = Instant::now();
        let request = self.client.post(&self.url).header("content-type", "application/json");
        let request = request.header("authorization", "Bearer any").body(self.body.clone());
        let mut response = request.send().await?;
        if !response.status().is_success() {
            return Err(format!("{}: {}", response.status(), response.text().await?).into());
        }
        let (mut first, mut length) = (None, 0);
        while let Some(piece) = response.chunk().await? {
            first.get_or_insert_with(|| begun.elapsed());
            length += piece.len();
        }
        Ok((first.ok_or("no answer")?, length))
    }
}
