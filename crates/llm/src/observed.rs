//! Observation of a call: its span, its metrics, its tokens and its dollars, recorded when the
//! answer ends or is dropped.
//!
//! Owns what an attempt is: it has a number of its trail, is let in by the trail's gate, and from then
//! on is recorded and settled exactly once, whether it ends, fails, is dropped while the provider is
//! silent or in the middle of its answer. One that is not let in, or dropped before it is, is no attempt:
//! it gives its number back where there is a request left to use it, and what a gate had set aside for it
//! is the gate's to give back. The texts of prompt and answer are never kept here; telemetry does if it is asked to.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use futures::{Stream, StreamExt};
use telemetry::{GenAiCall, GenAiModel, GenAiOutcome, GenAiRequest, GenAiUsage, Metrics};
use tracing::Instrument;

use crate::{
    Attempt, Beginning, Chunk, CompletionStream, Cost, Delivery, Ending, ErrorKind, LlmError, LlmProvider,
    Plan, Prices, ProviderName, Request, StopReason, TokenUsage, Trail, tokens,
};

/// Tokens that a provider puts around the texts of a prompt, at most.
const FRAMING_TOKENS: u64 = 64;

/// A provider whose calls are let in, observed and priced.
pub struct Observed<P> {
    inner: P,
    metrics: Metrics,
    model: GenAiModel,
    prices: Arc<Prices>,
}

impl<P: LlmProvider> Observed<P> {
    /// Observes `inner`.
    pub fn new(inner: P, metrics: Metrics, prices: Arc<Prices>) -> Self {
        let model = metrics.gen_ai_model(inner.name().convention(), inner.model());
        Self { inner, metrics, model, prices }
    }

    /// The most that an attempt can use up. No tokenizer makes more tokens than there are bytes.
    fn plan(&self, number: u32, request: &Request) -> Plan {
        let prompt = &request.prompt;
        let (name, model) = (self.name(), self.model());
        let most_input_tokens = (prompt.system.len() + prompt.user.len()) as u64 + FRAMING_TOKENS;
        let most_output_tokens = u64::from(prompt.max_output_tokens);
        let most_cost = self.prices.most(name, model, most_input_tokens, most_output_tokens);
        Plan {
            number,
            provider: name,
            model: model.to_owned(),
            most_input_tokens,
            most_output_tokens,
            most_cost,
        }
    }

    /// Counts what made this provider be asked again. (What passes a request on to another one is
    /// counted there: it need not be an attempt.)
    fn count_cause(&self, request: &Request) {
        let here = self.name();
        if let Some((before, reason)) = request.trail.last_failure()
            && before == here
        {
            self.metrics.llm_retried(here.as_str(), reason);
        }
    }

    fn begin(&self, number: u32, request: &Request) -> Call {
        let prompt = &request.prompt;
        let observed = GenAiCall::begin(
            &self.model,
            &GenAiRequest {
                attempt: number,
                max_tokens: prompt.max_output_tokens,
                streamed: request.delivery == Delivery::Streamed,
                experiment: request.arm.as_deref().map(|arm| (arm.experiment.as_str(), arm.arm.as_str())),
                instructions: &prompt.system,
                question: &prompt.user,
            },
        );
        Call {
            number,
            trail: request.trail.clone(),
            metrics: self.metrics.clone(),
            prices: Arc::clone(&self.prices),
            observed,
            provider: self.name(),
            model: self.model().to_owned(),
            input_estimate: tokens::estimate(&prompt.system) + tokens::estimate(&prompt.user),
            beginning: None,
            output: tokens::Count::default(),
            result: None,
        }
    }
}

#[async_trait]
impl<P: LlmProvider> LlmProvider for Observed<P> {
    fn name(&self) -> ProviderName {
        self.inner.name()
    }

    fn model(&self) -> &str {
        self.inner.model()
    }

    async fn call(&self, request: &Request) -> Result<CompletionStream, LlmError> {
        let Some(number) = request.trail.take() else {
            return Err(LlmError::new(ErrorKind::Unavailable, "no attempt is left for this request"));
        };
        if let Err(error) = request.trail.gate().admit(&self.plan(number, request)).await {
            self.metrics.llm_attempt(self.name().as_str(), error.kind());
            request.trail.give_back(number);
            return Err(error);
        }
        // Nothing is awaited between being let in and this guard.
        let mut call = self.begin(number, request);
        self.count_cause(request);
        let span = call.observed.span().clone();
        match self.inner.call(request).instrument(span).await {
            Ok(inner) => Ok(ObservedStream { inner, call: Some(call) }.boxed()),
            Err(error) => {
                call.result = Some(Err(error.clone()));
                Err(error)
            }
        }
    }
}

/// What is recorded when an attempt ends; one that is dropped before counts as cancelled.
struct Call {
    number: u32,
    trail: Trail,
    metrics: Metrics,
    prices: Arc<Prices>,
    observed: GenAiCall,
    provider: ProviderName,
    model: String,
    input_estimate: u64,
    beginning: Option<Beginning>,
    output: tokens::Count,
    /// Absent until it has ended by itself.
    result: Option<Result<Ending, LlmError>>,
}

impl Call {
    fn simulated(&self) -> bool {
        self.beginning.as_ref().is_some_and(|beginning| beginning.simulated)
    }

    fn begun(&mut self, beginning: &Beginning) {
        self.observed.answered(beginning.simulated, beginning.request_id.as_deref());
        self.beginning = Some(beginning.clone());
    }

    fn text(&mut self, text: &str) {
        self.observed.chunk(text);
        self.output.add(text);
    }

    fn estimate(&self) -> TokenUsage {
        TokenUsage { input: self.input_estimate, output: self.output.tokens(), ..TokenUsage::default() }
    }

    fn cost(&self, usage: &TokenUsage) -> Cost {
        self.prices.cost(self.provider, &self.model, self.simulated(), usage)
    }

    /// Completes what the provider said with tokens and dollars.
    fn account(&self, ending: &mut Ending) {
        let usage = *ending.usage.get_or_insert_with(|| self.estimate());
        ending.cost = self.cost(&usage);
    }

    /// What the attempt used up. A provider that refused before it began has done nothing; one that
    /// fell silent or was left alone may have.
    fn usage(&self) -> Option<TokenUsage> {
        match &self.result {
            Some(Ok(ending)) => ending.usage,
            Some(Err(error)) if error.usage.is_some() => error.usage.as_deref().copied(),
            Some(Err(error)) if self.beginning.is_none() && error.kind != ErrorKind::Timeout => None,
            Some(Err(_)) | None => Some(self.estimate()),
        }
    }

    /// Why the model stopped, in the words of the conventions; nothing where no answer had begun.
    fn finish_reason(&self) -> Option<&'static str> {
        match &self.result {
            Some(Ok(ending)) => Some(match ending.stop {
                StopReason::End => "stop",
                StopReason::MaxTokens => "length",
                StopReason::Other => "other",
            }),
            Some(Err(error)) if error.kind == ErrorKind::Refused => Some("content_filter"),
            Some(Err(_)) | None => self.beginning.is_some().then_some("error"),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let usage = self.usage();
        let cost = usage.as_ref().map_or(Cost::NOTHING, |usage| self.cost(usage));
        let finish_reason = self.finish_reason();
        let (ending, failure) = match &self.result {
            Some(Ok(ending)) => (Some(ending), None),
            Some(Err(error)) => (None, Some(error)),
            None => (None, None),
        };
        let error = match &self.result {
            Some(Ok(_)) => None,
            Some(Err(error)) => Some(error.kind()),
            None => Some("cancelled"),
        };
        let response_model = ending.map(|ending| ending.model.as_str());
        self.observed.end(&GenAiOutcome {
            error_type: error,
            response_model: response_model.filter(|model| !model.is_empty()),
            finish_reason,
            usage: usage.filter(|usage| usage.reported).map(reported),
            estimated: usage.is_some_and(|usage| !usage.reported),
            billed_usd: cost.billed_usd(),
            list_usd: cost.list_usd(),
        });
        self.metrics.llm_attempt(self.provider.as_str(), error.unwrap_or("ok"));
        if usage.is_some() {
            self.metrics.llm_cost(self.provider.as_str(), &self.model, cost.billed_usd(), cost.list_usd());
        }
        let begun = self.beginning.as_ref().and_then(|beginning| beginning.request_id.clone());
        self.trail.record(Attempt {
            number: self.number,
            provider: self.provider,
            model: self.model.clone(),
            response_model: response_model.map(str::to_owned),
            simulated: self.simulated(),
            error,
            request_id: begun
                .or_else(|| failure.and_then(|error| error.request_id.as_deref().map(str::to_owned))),
            usage,
            cost,
            latency: self.observed.elapsed(),
            first_chunk: self.observed.first_chunk(),
        });
    }
}

const fn reported(usage: TokenUsage) -> GenAiUsage {
    GenAiUsage {
        input_tokens: usage.input,
        output_tokens: usage.output,
        cache_read_tokens: usage.cached_input,
        cache_write_tokens: usage.cache_write_input,
        reasoning_tokens: usage.reasoning_output,
    }
}

struct ObservedStream {
    inner: CompletionStream,
    call: Option<Call>,
}

impl Stream for ObservedStream {
    type Item = Result<Chunk, LlmError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(call) = &mut this.call else { return Poll::Ready(None) };
        // Not within the span: nothing below tells of single chunks, and entering it for each of them
        // costs as much as reading them.
        let Poll::Ready(item) = this.inner.poll_next_unpin(cx) else { return Poll::Pending };
        let item = item.unwrap_or_else(|| {
            let cut = format!("the answer of {} was cut off", call.provider);
            Err(LlmError::new(ErrorKind::BadAnswer, cut))
        });
        Poll::Ready(Some(match item {
            Ok(Chunk::Begun(beginning)) => {
                call.begun(&beginning);
                Ok(Chunk::Begun(beginning))
            }
            Ok(Chunk::Text(text)) => {
                call.text(&text);
                Ok(Chunk::Text(text))
            }
            Ok(Chunk::End(mut ending)) => {
                call.account(&mut ending);
                call.result = Some(Ok(ending.clone()));
                this.call = None;
                Ok(Chunk::End(ending))
            }
            Err(error) => {
                call.result = Some(Err(error.clone()));
                this.call = None;
                Err(error)
            }
        }))
    }
}

#[cfg(test)]
mod tests;
