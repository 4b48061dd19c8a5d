//! One call to an LLM provider: its span and its metrics, by the GenAI conventions.
//!
//! Callers hand plain values to a guard, which records what it was told when the call ends, or when it
//! is dropped. Each attempt is a call with a span of its own; what tells several of one request apart
//! is `bookstore.llm.attempt`. The names are in [`crate::conventions::gen_ai`]. Prompts and answers are
//! touched only when they are asked for and spans go anywhere.

mod content;
mod series;

use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry::trace::{Status, TraceContextExt};
use opentelemetry::{Array, KeyValue, StringValue, Value};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::conventions::ERROR_TYPE;
use crate::conventions::gen_ai::{self as names, Version};
use crate::metrics::Metrics;
use content::Kept;
pub(crate) use series::GenAiMetrics;
use series::{Ended, ModelSeries};

/// How the process records LLM calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GenAiSettings {
    /// Which names are emitted.
    pub version: Version,
    /// Whether prompts and answers are written on spans. They hold what users wrote.
    pub capture_content: bool,
}

impl GenAiSettings {
    /// What OpenTelemetry's own variables ask for: `OTEL_SEMCONV_STABILITY_OPT_IN`, a list that others
    /// share, and `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`, which is `true`, or one of the
    /// newer `span_only` and `span_and_event`; all else is no.
    #[must_use]
    pub fn asked_for(stability_opt_in: &str, capture_message_content: &str) -> Self {
        let capture = capture_message_content.trim();
        let yes = ["true", "span_only", "span_and_event"];
        Self {
            version: Version::opted_into(stability_opt_in),
            capture_content: yes.iter().any(|yes| capture.eq_ignore_ascii_case(yes)),
        }
    }
}

/// A model at a provider, with the handles of its series. Cheap to clone; made once and kept.
#[derive(Clone)]
pub struct GenAiModel {
    metrics: Metrics,
    series: Arc<ModelSeries>,
    /// The name of its spans.
    span_name: Arc<str>,
}

impl Metrics {
    /// The model at a provider by its name in the conventions: `anthropic`, `aws.bedrock`.
    #[must_use]
    pub fn gen_ai_model(&self, provider: &'static str, model: &str) -> GenAiModel {
        GenAiModel {
            metrics: self.clone(),
            series: Arc::new(ModelSeries::new(provider, model)),
            span_name: Arc::from(format!("{} {model}", names::OPERATION_CHAT)),
        }
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct GenAiRequest<'a> {
    /// Which attempt of its request, from 1.
    pub attempt: u32,
    /// Longest answer, in tokens.
    pub max_tokens: u32,
    /// Whether the answer is asked for in pieces.
    pub streamed: bool,
    /// Experiment and arm.
    pub experiment: Option<(&'a str, &'a str)>,
    /// Instructions; recorded only when content is captured.
    pub instructions: &'a str,
    /// The question; recorded only when content is captured.
    pub question: &'a str,
}

/// Tokens of a call, as its provider reported them. Totals include their parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GenAiUsage {
    /// Of the prompt.
    pub input_tokens: u64,
    /// Of the answer.
    pub output_tokens: u64,
    /// Of the prompt, from the provider's cache.
    pub cache_read_tokens: u64,
    /// Of the prompt, into the provider's cache.
    pub cache_write_tokens: u64,
    /// Of the answer, thought.
    pub reasoning_tokens: u64,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct GenAiOutcome<'a> {
    /// Kind of failure: one of few words, never a text.
    pub error_type: Option<&'static str>,
    /// The model that answered.
    pub response_model: Option<&'a str>,
    /// `stop`, `length`, `content_filter`, `error` or another word; absent where none was to come.
    pub finish_reason: Option<&'static str>,
    /// Tokens, only if the provider reported them.
    pub usage: Option<GenAiUsage>,
    /// Whether tokens that were not reported are estimated elsewhere.
    pub estimated: bool,
    /// Dollars billed, if known.
    pub billed_usd: Option<f64>,
    /// Dollars by list price, if known.
    pub list_usd: Option<f64>,
}

/// A call under way.
pub struct GenAiCall {
    model: GenAiModel,
    span: Span,
    streamed: bool,
    simulated: bool,
    started: Instant,
    first_chunk: Option<Duration>,
    last_chunk: Option<Instant>,
    /// The answer, where content is captured.
    answer: Option<Kept>,
    ended: bool,
}

impl GenAiCall {
    /// A call begins: the clock runs and the span is open. Its parent is the current span.
    #[must_use]
    pub fn begin(model: &GenAiModel, request: &GenAiRequest<'_>) -> Self {
        let span = tracing::info_span!(
            "gen_ai.chat",
            otel.name = &*model.span_name,
            otel.kind = "client",
            gen_ai.operation.name = names::OPERATION_CHAT,
            gen_ai.provider.name = model.series.provider(),
            gen_ai.request.model = model.series.model(),
        );
        let capture = model.metrics.gen_ai_settings().capture_content;
        on(&span, || {
            let mut attributes = vec![
                KeyValue::new(names::REQUEST_MAX_TOKENS, i64::from(request.max_tokens)),
                KeyValue::new(names::ATTEMPT, i64::from(request.attempt)),
                KeyValue::new(names::TRACELOOP_REQUEST_TYPE, names::OPERATION_CHAT),
                KeyValue::new(names::TRACELOOP_IS_STREAMING, request.streamed),
            ];
            if request.streamed {
                attributes.push(KeyValue::new(names::REQUEST_STREAM, true));
            }
            if let Some((experiment, arm)) = request.experiment {
                attributes.push(KeyValue::new(names::EXPERIMENT_NAME, experiment.to_owned()));
                attributes.push(KeyValue::new(names::EXPERIMENT_ARM, arm.to_owned()));
            }
            if capture {
                let instructions = content::instructions(request.instructions);
                attributes.push(KeyValue::new(names::SYSTEM_INSTRUCTIONS, instructions));
                attributes.push(KeyValue::new(names::INPUT_MESSAGES, content::question(request.question)));
            }
            attributes
        });
        Self {
            model: model.clone(),
            span,
            streamed: request.streamed,
            simulated: false,
            started: Instant::now(),
            first_chunk: None,
            last_chunk: None,
            answer: capture.then(Kept::default),
            ended: false,
        }
    }

    /// The span, for what is done for the call.
    #[must_use]
    pub const fn span(&self) -> &Span {
        &self.span
    }

    /// An answer begins: whether it is a simulator's, and the provider's id of it.
    pub fn answered(&mut self, simulated: bool, id: Option<&str>) {
        self.simulated = simulated;
        if let Some(id) = id {
            let id: String = id.chars().take(256).collect();
            on(&self.span, || vec![KeyValue::new(names::RESPONSE_ID, id)]);
        }
    }

    /// A piece of the answer came.
    pub fn chunk(&mut self, text: &str) {
        let now = Instant::now();
        match self.last_chunk.replace(now) {
            None => self.first_chunk = Some(now.duration_since(self.started)),
            Some(last) if self.streamed => {
                let metrics = self.model.metrics.gen_ai();
                self.model.series.chunk(metrics, self.simulated, now.duration_since(last));
            }
            Some(_) => {}
        }
        if let Some(answer) = &mut self.answer {
            answer.push(text);
        }
    }

    /// How long the call has lasted.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// How long it took to the first piece of the answer.
    #[must_use]
    pub const fn first_chunk(&self) -> Option<Duration> {
        self.first_chunk
    }

    /// The call ended. Only the first time counts; a call that is dropped before was cancelled.
    pub fn end(&mut self, outcome: &GenAiOutcome<'_>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        // "Should not be reported" for answers in one piece.
        let first_chunk = self.first_chunk.filter(|_| self.streamed);
        self.model.series.ended(
            self.model.metrics.gen_ai(),
            &Ended {
                response_model: outcome.response_model,
                simulated: self.simulated,
                error_type: outcome.error_type,
                duration: self.started.elapsed(),
                first_chunk,
                usage: outcome.usage,
            },
        );
        on(&self.span, || self.attributes(outcome, first_chunk));
        if let Some(kind) = outcome.error_type {
            self.span.set_status(Status::error(kind));
        }
    }

    fn attributes(&self, outcome: &GenAiOutcome<'_>, first_chunk: Option<Duration>) -> Vec<KeyValue> {
        let version = self.model.metrics.gen_ai_settings().version;
        let tokens = |name, tokens: u64| KeyValue::new(name, i64::try_from(tokens).unwrap_or(i64::MAX));
        let mut attributes = vec![KeyValue::new(names::SIMULATED, self.simulated)];
        if let Some(kind) = outcome.error_type {
            attributes.push(KeyValue::new(ERROR_TYPE, kind));
        }
        if let Some(model) = outcome.response_model {
            attributes.push(KeyValue::new(names::RESPONSE_MODEL, model.to_owned()));
        }
        if let Some(reason) = outcome.finish_reason {
            let reasons = Value::Array(Array::String(vec![StringValue::from(reason)]));
            attributes.push(KeyValue::new(names::RESPONSE_FINISH_REASONS, reasons));
        }
        if let Some(first_chunk) = first_chunk {
            let seconds = first_chunk.as_secs_f64();
            attributes.push(KeyValue::new(names::RESPONSE_TIME_TO_FIRST_CHUNK, seconds));
        }
        if let Some(usage) = &outcome.usage {
            attributes.push(tokens(names::USAGE_INPUT_TOKENS, usage.input_tokens));
            attributes.push(tokens(names::USAGE_OUTPUT_TOKENS, usage.output_tokens));
            let total = usage.input_tokens.saturating_add(usage.output_tokens);
            attributes.push(tokens(names::TRACELOOP_TOTAL_TOKENS, total));
            if usage.cache_read_tokens > 0 {
                attributes.push(tokens(names::USAGE_CACHE_READ_INPUT_TOKENS, usage.cache_read_tokens));
            }
            if usage.cache_write_tokens > 0 {
                for name in version.names(names::USAGE_CACHE_WRITE_INPUT_TOKENS) {
                    attributes.push(tokens(name, usage.cache_write_tokens));
                }
            }
            if usage.reasoning_tokens > 0 {
                attributes.push(tokens(names::USAGE_REASONING_OUTPUT_TOKENS, usage.reasoning_tokens));
            }
        }
        if outcome.usage.is_some() || outcome.estimated {
            attributes.push(KeyValue::new(names::USAGE_REPORTED, outcome.usage.is_some()));
        }
        let dollars = [(names::BILLED_USD, outcome.billed_usd), (names::LIST_USD, outcome.list_usd)];
        for (name, dollars) in dollars {
            attributes.extend(dollars.map(|dollars| KeyValue::new(name, dollars)));
        }
        if let Some(answer) = self.answer.as_ref().filter(|_| self.first_chunk.is_some()) {
            let answer = content::answer(answer, outcome.finish_reason.unwrap_or("error"));
            attributes.push(KeyValue::new(names::OUTPUT_MESSAGES, answer));
        }
        attributes
    }
}

impl Drop for GenAiCall {
    fn drop(&mut self) {
        self.end(&GenAiOutcome { error_type: Some("cancelled"), ..GenAiOutcome::default() });
    }
}

/// Puts attributes on a span that somebody reads; where nobody does they are not even made.
fn on(span: &Span, attributes: impl FnOnce() -> Vec<KeyValue>) {
    let context = span.context();
    let span = context.span();
    if span.is_recording() {
        span.set_attributes(attributes());
    }
}

#[cfg(test)]
mod tests;
