//! A cache whose operations are timed and traced, whichever it is.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use telemetry::Metrics;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::{Cache, CacheError, CacheKey, FillTicket, Lookup};

/// What keeps the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A Redis server.
    Redis,
    /// This process.
    Process,
}

impl Backend {
    /// The label of its metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Process => "process",
        }
    }
}

/// Observes `C`.
pub struct ObservedCache<C> {
    inner: C,
    backend: Backend,
    metrics: Metrics,
}

impl<C> ObservedCache<C> {
    /// Observes `inner`.
    pub const fn new(inner: C, backend: Backend, metrics: Metrics) -> Self {
        Self { inner, backend, metrics }
    }

    /// No span where nobody reads it, which would cost as much as a look into this process's memory; and
    /// none of its own for what is done for no request.
    fn span(&self, operation: &'static str) -> Span {
        if !telemetry::spans_are_read() || Span::current().is_none() {
            return Span::none();
        }
        match self.backend {
            Backend::Redis => tracing::info_span!(
                "cache",
                otel.name = format_args!("cache {operation}"),
                otel.kind = "client",
                db.system.name = "redis",
                db.operation.name = operation,
                error.r#type = Empty,
                otel.status_code = Empty,
            ),
            Backend::Process => tracing::info_span!(
                "cache",
                otel.name = format_args!("cache {operation}"),
                error.r#type = Empty,
                otel.status_code = Empty,
            ),
        }
    }

    async fn observe<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, CacheError>>,
    ) -> Result<T, CacheError> {
        let span = self.span(operation);
        let mut observation =
            Observation { observed: self, operation, outcome: "cancelled", begun: Instant::now() };
        let result = work.instrument(span.clone()).await;
        let outcome = result.as_ref().err().map_or("ok", CacheError::kind);
        observation.outcome = outcome;
        if result.is_err() {
            span.record("error.type", outcome);
            span.record("otel.status_code", "ERROR");
        }
        result
    }
}

/// An operation under way: recorded when it is dropped, as cancelled if its caller left.
struct Observation<'a, C> {
    observed: &'a ObservedCache<C>,
    operation: &'static str,
    outcome: &'static str,
    begun: Instant,
}

impl<C> Drop for Observation<'_, C> {
    fn drop(&mut self) {
        self.observed.metrics.cache_operation(
            self.observed.backend.as_str(),
            self.operation,
            self.outcome,
            self.begun.elapsed(),
        );
    }
}

#[async_trait]
impl<C: Cache> Cache for ObservedCache<C> {
    async fn get(&self, key: &CacheKey) -> Result<Lookup, CacheError> {
        self.observe("get", self.inner.get(key)).await
    }

    async fn fill(
        &self,
        key: &CacheKey,
        ticket: &FillTicket,
        value: Bytes,
        time_to_live: Duration,
    ) -> Result<bool, CacheError> {
        self.observe("fill", self.inner.fill(key, ticket, value, time_to_live)).await
    }

    async fn invalidate(&self, keys: &[CacheKey]) -> Result<(), CacheError> {
        self.observe("invalidate", self.inner.invalidate(keys)).await
    }

    async fn ping(&self) -> Result<(), CacheError> {
        self.observe("ping", self.inner.ping()).await
    }
}
