//! Observation of a call: its span, its metrics, its tokens and its dollars, recorded when the
//! answer ends or is dropped.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::{Stream, StreamExt};
use telemetry::{GenAiOperation, Metrics};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::{
    Attempt, Beginning, Chunk, CompletionStream, Cost, Ending, ErrorKind, LlmError, LlmProvider, Plan,
    Prices, ProviderName, Request, TokenUsage, Trail, tokens,
};

/// Tokens that a provider puts around the texts of a prompt, at most.
const FRAMING_TOKENS: u64 = 64;

/// A provider whose calls are let in, observed and priced.
pub struct Observed<P> {
    inner: P,
    metrics: Metrics,
    prices: Arc<Prices>,
}

impl<P> Observed<P> {
    /// Observes `inner`.
    pub const fn new(inner: P, metrics: Metrics, prices: Arc<Prices>) -> Self {
        Self { inner, metrics, prices }
    }
}

impl<P: LlmProvider> Observed<P> {
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
        let prompt = &request.prompt;
        let Some(number) = request.trail.take() else {
            return Err(LlmError::new(ErrorKind::Unavailable, "no attempt is left for this request"));
        };
        request.trail.gate().admit(&self.plan(number, request)).await?;
        let span = tracing::info_span!(
            "gen_ai.chat",
            otel.name = format_args!("chat {}", self.model()),
            otel.kind = "client",
            otel.status_code = Empty,
            gen_ai.operation.name = "chat",
            gen_ai.provider.name = self.name().convention(),
            gen_ai.request.model = self.model(),
            gen_ai.request.max_tokens = prompt.max_output_tokens,
            gen_ai.response.model = Empty,
            gen_ai.usage.input_tokens = Empty,
            gen_ai.usage.output_tokens = Empty,
            simulated = Empty,
            error.r#type = Empty,
        );
        let mut call = Call {
            number,
            trail: request.trail.clone(),
            beginning: None,
            metrics: self.metrics.clone(),
            prices: Arc::clone(&self.prices),
            span: span.clone(),
            provider: self.name(),
            model: self.model().to_owned(),
            input_estimate: tokens::estimate(&prompt.system) + tokens::estimate(&prompt.user),
            output: String::new(),
            started: Instant::now(),
            first_chunk: None,
            result: None,
        };
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
    span: Span,
    provider: ProviderName,
    model: String,
    input_estimate: u64,
    beginning: Option<Beginning>,
    output: String,
    started: Instant,
    first_chunk: Option<Duration>,
    /// Absent until it has ended by itself.
    result: Option<Result<Ending, LlmError>>,
}

impl Call {
    fn simulated(&self) -> bool {
        self.beginning.as_ref().is_some_and(|beginning| beginning.simulated)
    }

    fn estimate(&self) -> TokenUsage {
        TokenUsage {
            input: self.input_estimate,
            output: tokens::estimate(&self.output),
            ..TokenUsage::default()
        }
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
    /// fell silent may have.
    fn usage(&self) -> Option<TokenUsage> {
        match &self.result {
            Some(Ok(ending)) => ending.usage,
            Some(Err(error)) if error.usage.is_some() => error.usage.as_deref().copied(),
            Some(Err(error)) if self.beginning.is_none() && error.kind != ErrorKind::Timeout => None,
            Some(Err(_)) | None => Some(self.estimate()),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let usage = self.usage();
        let cost = usage.as_ref().map_or(Cost::NOTHING, |usage| self.cost(usage));
        let ending = self.result.as_ref().and_then(|result| result.as_ref().ok());
        let failure = self.result.as_ref().and_then(|result| result.as_ref().err());
        let error = match &self.result {
            Some(Ok(_)) => None,
            Some(Err(error)) => Some(error.kind()),
            None => Some("cancelled"),
        };
        let reported = usage.filter(|usage| usage.reported);
        self.metrics.gen_ai_operation(&GenAiOperation {
            provider: self.provider.convention(),
            request_model: &self.model,
            response_model: ending.map(|ending| ending.model.as_str()),
            simulated: self.simulated(),
            error_type: error,
            duration: self.started.elapsed(),
            first_chunk: self.first_chunk,
            input_tokens: reported.map(|usage| usage.input),
            output_tokens: reported.map(|usage| usage.output),
        });
        if usage.is_some() {
            self.metrics.llm_cost(self.provider.as_str(), &self.model, cost.billed_usd(), cost.list_usd());
        }
        self.span.record("simulated", self.simulated());
        if let Some(ending) = ending {
            self.span.record("gen_ai.response.model", ending.model.as_str());
        }
        if let Some(usage) = reported {
            self.span.record("gen_ai.usage.input_tokens", usage.input);
            self.span.record("gen_ai.usage.output_tokens", usage.output);
        }
        if let Some(error) = error {
            self.span.record("error.type", error);
            self.span.record("otel.status_code", "ERROR");
        }
        let begun = self.beginning.as_ref().and_then(|beginning| beginning.request_id.clone());
        self.trail.record(Attempt {
            number: self.number,
            provider: self.provider,
            model: self.model.clone(),
            response_model: ending.map(|ending| ending.model.clone()),
            simulated: self.simulated(),
            error,
            request_id: begun
                .or_else(|| failure.and_then(|error| error.request_id.as_deref().map(str::to_owned))),
            usage,
            cost,
            latency: self.started.elapsed(),
            first_chunk: self.first_chunk,
        });
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
        match this.inner.poll_next_unpin(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(Chunk::Begun(beginning)))) => {
                call.beginning = Some(beginning.clone());
                Poll::Ready(Some(Ok(Chunk::Begun(beginning))))
            }
            Poll::Ready(Some(Ok(Chunk::Text(text)))) => {
                if call.first_chunk.is_none() {
                    call.first_chunk = Some(call.started.elapsed());
                }
                call.output.push_str(&text);
                Poll::Ready(Some(Ok(Chunk::Text(text))))
            }
            Poll::Ready(Some(Ok(Chunk::End(mut ending)))) => {
                call.account(&mut ending);
                call.result = Some(Ok(ending.clone()));
                this.call = None;
                Poll::Ready(Some(Ok(Chunk::End(ending))))
            }
            Poll::Ready(Some(Err(error))) => {
                call.result = Some(Err(error.clone()));
                this.call = None;
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                let error = LlmError::new(
                    ErrorKind::BadAnswer,
                    format!("the answer of {} was cut off", call.provider),
                );
                call.result = Some(Err(error.clone()));
                this.call = None;
                Poll::Ready(Some(Err(error)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use telemetry::Metrics;

    use super::Observed;
    use crate::{LlmProvider, Prices, Prompt, Request, Simulated, complete};

    fn request() -> Request {
        let prompt = Prompt {
            system: "You summarise.".to_owned(),
            user: "A whale.".to_owned(),
            max_output_tokens: 50,
        };
        Request::once(prompt, std::time::Duration::from_secs(5))
    }

    #[tokio::test]
    async fn estimated_tokens_reach_the_answer_but_not_the_metric() {
        let metrics = Metrics::unregistered();
        let provider = Observed::new(Simulated, metrics.clone(), Arc::new(Prices::shipped().unwrap()));
        let completion = complete(&provider, &request()).await.unwrap();
        let usage = completion.ending.usage.unwrap();
        assert!(!usage.reported && usage.output > 20, "{usage:?}");
        assert_eq!(completion.ending.cost.billed, Some(crate::Usd::ZERO));
        assert_eq!(completion.ending.cost.list, None);
        let text = metrics.render();
        assert!(!text.contains("gen_ai_client_token_usage"), "{text}");
        assert!(text.contains(r#"bookstore_llm_cost_unknown_total{kind="list",provider="simulated"} 1"#));
    }

    #[tokio::test]
    async fn an_answer_dropped_half_way_counts_as_cancelled() {
        let metrics = Metrics::unregistered();
        let provider = Observed::new(Simulated, metrics.clone(), Arc::new(Prices::shipped().unwrap()));
        drop(provider.call(&request()).await.unwrap());
        assert!(metrics.render().contains(r#"error_type="cancelled""#), "{}", metrics.render());
    }
}
