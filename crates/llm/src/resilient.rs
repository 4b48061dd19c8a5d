//! A provider with all that is wrapped around it, in its order.
//!
//! Owns the order of the wrappers: `Deadline(Fallback([Retry(Breaker(Observed(Deadline(adapter))))…]))`.
//! A breaker stands outside of the observation, so that a call that it stops is no attempt; a retry
//! outside of the breaker, so that each attempt counts there; a deadline innermost, so that an attempt
//! that takes too long is seen as a timeout, and outermost for all of it.

use std::sync::Arc;
use std::time::Duration;

use telemetry::Metrics;

use crate::{
    Backoff, Breaker, Circuit, Deadline, Fallback, Health, LlmProvider, Observed, Prices, ProviderName, Retry,
};

/// A provider with its model, observed, retried and left alone while it is unwell. Cheap to clone;
/// clones share their breaker, so there is one of these for each provider and model.
#[derive(Clone)]
pub struct Resilient {
    provider: Arc<dyn LlmProvider>,
    circuit: Circuit,
    metrics: Metrics,
    limit: Duration,
}

impl Resilient {
    /// Wraps `adapter`, whose answers are done within `limit`, all attempts in all.
    pub fn new(
        adapter: impl LlmProvider + 'static,
        metrics: Metrics,
        prices: Arc<Prices>,
        limit: Duration,
        backoff: Backoff,
    ) -> Self {
        let circuit = Circuit::new(adapter.name(), adapter.model(), metrics.clone());
        let observed = Observed::new(Deadline::new(adapter, limit), metrics.clone(), prices);
        let provider = Arc::new(Retry::new(Breaker::new(observed, circuit.clone()), backoff));
        Self { provider, circuit, metrics, limit }
    }

    /// Which provider it is.
    #[must_use]
    pub fn name(&self) -> ProviderName {
        self.provider.name()
    }

    /// The model that it asks.
    #[must_use]
    pub fn model(&self) -> &str {
        self.provider.model()
    }

    /// How it is.
    #[must_use]
    pub fn health(&self) -> Health {
        self.circuit.health()
    }

    /// This provider and no other.
    #[must_use]
    pub fn alone(&self) -> Arc<dyn LlmProvider> {
        Arc::new(Deadline::new(Arc::clone(&self.provider), self.limit))
    }

    /// This provider, and the `others` in their order when it fails for good.
    #[must_use]
    pub fn or(&self, others: &[Self]) -> Arc<dyn LlmProvider> {
        let others = others.iter().map(|other| Arc::clone(&other.provider)).collect();
        let row = Fallback::new(Arc::clone(&self.provider), others, self.metrics.clone());
        Arc::new(Deadline::new(row, self.limit))
    }
}

#[cfg(test)]
mod tests;
