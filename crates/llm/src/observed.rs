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
    Chunk, CompletionStream, Cost, Ending, LlmError, LlmProvider, Prices, Prompt, ProviderName, TokenUsage,
    tokens,
};

/// A provider whose calls are observed and priced.
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

#[async_trait]
impl<P: LlmProvider> LlmProvider for Observed<P> {
    fn name(&self) -> ProviderName {
        self.inner.name()
    }

    fn model(&self) -> &str {
        self.inner.model()
    }

    async fn stream(&self, prompt: &Prompt) -> Result<CompletionStream, LlmError> {
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
            metrics: self.metrics.clone(),
            prices: Arc::clone(&self.prices),
            span: span.clone(),
            provider: self.name(),
            model: self.model().to_owned(),
            input_estimate: tokens::estimate(&prompt.system) + tokens::estimate(&prompt.user),
            output: String::new(),
            started: Instant::now(),
            first_chunk: None,
            result: Err("cancelled"),
        };
        match self.inner.stream(prompt).instrument(span).await {
            Ok(inner) => Ok(ObservedStream { inner, call: Some(call) }.boxed()),
            Err(error) => {
                call.result = Err(error.kind());
                Err(error)
            }
        }
    }
}

/// What is recorded when a call ends; a call that is dropped before counts as cancelled.
struct Call {
    metrics: Metrics,
    prices: Arc<Prices>,
    span: Span,
    provider: ProviderName,
    model: String,
    input_estimate: u64,
    output: String,
    started: Instant,
    first_chunk: Option<Duration>,
    result: Result<Ending, &'static str>,
}

impl Call {
    /// Completes what the provider said with tokens and dollars.
    fn account(&self, ending: &mut Ending) {
        let usage = *ending.usage.get_or_insert_with(|| TokenUsage {
            input: self.input_estimate,
            output: tokens::estimate(&self.output),
            cached_input: 0,
            reported: false,
        });
        ending.cost = self.prices.cost(self.provider, &self.model, ending.simulated, &usage);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let ending = self.result.as_ref().ok();
        let error_type = self.result.as_ref().err().copied();
        let reported = ending.and_then(|ending| ending.usage).filter(|usage| usage.reported);
        self.metrics.gen_ai_operation(&GenAiOperation {
            provider: self.provider.convention(),
            request_model: &self.model,
            response_model: ending.map(|ending| ending.model.as_str()),
            simulated: ending.is_some_and(|ending| ending.simulated),
            error_type,
            duration: self.started.elapsed(),
            first_chunk: self.first_chunk,
            input_tokens: reported.map(|usage| usage.input),
            output_tokens: reported.map(|usage| usage.output),
        });
        if let Some(ending) = ending {
            let Cost { billed_usd, list_usd } = ending.cost;
            self.metrics.llm_cost(self.provider.as_str(), &self.model, billed_usd, list_usd);
            self.span.record("gen_ai.response.model", ending.model.as_str());
            self.span.record("simulated", ending.simulated);
        }
        if let Some(usage) = reported {
            self.span.record("gen_ai.usage.input_tokens", usage.input);
            self.span.record("gen_ai.usage.output_tokens", usage.output);
        }
        if let Some(error_type) = error_type {
            self.span.record("error.type", error_type);
            self.span.record("otel.status_code", "ERROR");
        }
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
        let polled = call.span.in_scope(|| this.inner.poll_next_unpin(cx));
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(Chunk::Text(text)))) => {
                if call.first_chunk.is_none() {
                    call.first_chunk = Some(call.started.elapsed());
                }
                call.output.push_str(&text);
                Poll::Ready(Some(Ok(Chunk::Text(text))))
            }
            Poll::Ready(Some(Ok(Chunk::End(mut ending)))) => {
                call.account(&mut ending);
                call.result = Ok(ending.clone());
                this.call = None;
                Poll::Ready(Some(Ok(Chunk::End(ending))))
            }
            Poll::Ready(Some(Err(error))) => {
                call.result = Err(error.kind());
                this.call = None;
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                call.result = Err("bad_answer");
                this.call = None;
                Poll::Ready(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use telemetry::Metrics;

    use super::Observed;
    use crate::{LlmProvider, Prices, Prompt, Simulated, complete};

    fn prompt() -> Prompt {
        Prompt { system: "You summarise.".to_owned(), user: "A whale.".to_owned(), max_output_tokens: 50 }
    }

    #[tokio::test]
    async fn estimated_tokens_reach_the_answer_but_not_the_metric() {
        let metrics = Metrics::unregistered();
        let provider = Observed::new(Simulated, metrics.clone(), Arc::new(Prices::shipped().unwrap()));
        let completion = complete(&provider, &prompt()).await.unwrap();
        let usage = completion.ending.usage.unwrap();
        assert!(!usage.reported && usage.output > 20, "{usage:?}");
        assert_eq!(completion.ending.cost.billed_usd, Some(0.0));
        assert_eq!(completion.ending.cost.list_usd, None);
        let text = metrics.render();
        assert!(!text.contains("gen_ai_client_token_usage"), "{text}");
        assert!(text.contains(r#"bookstore_llm_cost_unknown_total{kind="list",provider="simulated"} 1"#));
    }

    #[tokio::test]
    async fn an_answer_dropped_half_way_counts_as_cancelled() {
        let metrics = Metrics::unregistered();
        let provider = Observed::new(Simulated, metrics.clone(), Arc::new(Prices::shipped().unwrap()));
        drop(provider.stream(&prompt()).await.unwrap());
        assert!(metrics.render().contains(r#"error_type="cancelled""#), "{}", metrics.render());
    }
}
