//! Summaries: cached, else stored, else book → prompt → provider → store → cache.
//!
//! Calls that would be paid for are single-flight: callers who ask for the same thing at the same
//! time share one, and exactly one of their answers carries its tokens and dollars. Inside a process
//! a flight sees to it, between processes a lease (`summaries/call.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use llm::{LlmProvider, ProviderName};
use telemetry::Metrics;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use uuid::Uuid;

use self::call::{CallError, CallKey, Made, Shared};
use crate::cache_aside::{CacheAside, Found};
use crate::catalog::{Catalog, UseCaseError, book_keys, summary_key};
use crate::flight::Flights;
use crate::leases::Leases;
use crate::prompt;
use crate::store::{Kept, StoreError, StoredSummary, SummaryStore};

mod call;

/// A summary and what this request had to do with it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The summary.
    pub summary: StoredSummary,
    /// Where it came from.
    pub origin: Origin,
    /// Whether this request is the one that carries the provider call's tokens and dollars.
    pub pays: bool,
    /// How long this request took.
    pub latency: Duration,
}

/// Where a summary came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The cache.
    Cache,
    /// The store.
    Store,
    /// A provider, just now, for this request.
    Provider,
    /// A provider call that another request had begun, in this process or in another.
    Shared,
}

/// The use case.
#[derive(Clone)]
pub struct Summaries {
    catalog: Catalog,
    store: Arc<dyn SummaryStore>,
    cache: CacheAside,
    providers: Arc<BTreeMap<ProviderName, Arc<dyn LlmProvider>>>,
    default_provider: ProviderName,
    calls: Arc<Flights<CallKey, Shared>>,
    leases: Arc<dyn Leases>,
    /// Longest time for a provider call.
    call_deadline: Duration,
    /// Writes of answers that were paid for: they outlive the request, and a stop waits for them.
    writes: TaskTracker,
    metrics: Metrics,
}

impl Summaries {
    /// The use case over these ports. A call by one of `providers` ends within `call_deadline`.
    #[expect(clippy::too_many_arguments, reason = "the ports of one use case; app.rs alone calls it")]
    pub fn new(
        catalog: Catalog,
        store: Arc<dyn SummaryStore>,
        cache: CacheAside,
        leases: Arc<dyn Leases>,
        providers: BTreeMap<ProviderName, Arc<dyn LlmProvider>>,
        default_provider: ProviderName,
        call_deadline: Duration,
        writes: TaskTracker,
        metrics: Metrics,
    ) -> Self {
        Self {
            catalog,
            store,
            cache,
            providers: Arc::new(providers),
            default_provider,
            calls: Arc::default(),
            leases,
            call_deadline,
            writes,
            metrics,
        }
    }

    /// The summary of a book: any fresh one, or that of `provider`; with `refresh` always a new one.
    ///
    /// # Errors
    /// When there is no such book or provider, or the provider or the store fails.
    pub async fn summary(
        &self,
        book: Uuid,
        provider: Option<ProviderName>,
        refresh: bool,
    ) -> Result<Answer, UseCaseError> {
        let started = Instant::now();
        let asked = provider.unwrap_or(self.default_provider);
        let result = self.find_or_make(book, provider, refresh, started).await;
        match &result {
            Ok(answer) => self.metrics.summary(
                ProviderName::parse(&answer.summary.provider).unwrap_or(asked).as_str(),
                match answer.origin {
                    Origin::Cache => "cached",
                    Origin::Store => "stored",
                    Origin::Provider => "generated",
                    Origin::Shared => "shared",
                },
            ),
            Err(error) => self.metrics.summary(asked.as_str(), error.kind()),
        }
        result
    }

    async fn find_or_make(
        &self,
        id: Uuid,
        provider: Option<ProviderName>,
        refresh: bool,
        started: Instant,
    ) -> Result<Answer, UseCaseError> {
        let name = provider.unwrap_or(self.default_provider);
        let Some(adapter) = self.providers.get(&name) else {
            let available = self.providers.keys().map(|provider| provider.as_str()).collect();
            return Err(UseCaseError::ProviderNotConfigured { provider: name, available });
        };
        if !refresh {
            let found = self.cached(id, provider).await?;
            if let Some(summary) = found.value {
                let origin = if found.hit { Origin::Cache } else { Origin::Store };
                return Ok(Answer { summary, origin, pays: false, latency: started.elapsed() });
            }
        }
        let book = self.catalog.book_uncounted(id).await?;
        let key = CallKey { book: id, content_hash: book.content_hash(), provider: name, refresh };
        let (this, adapter) = (self.clone(), Arc::clone(adapter));
        let call = self.calls.join(key.clone(), move || -> BoxFuture<'static, Shared> {
            async move { this.call_once(key, adapter, book).await }.in_current_span().boxed()
        });
        let made = call.await.map_err(|error| match error {
            CallError::Provider(error) => UseCaseError::Provider { provider: name, error },
            CallError::Unsafe(reason) => UseCaseError::UnsafeAnswer { provider: name, reason },
        })?;
        let (summary, origin) = match made {
            Made::Called(summary, paid) if !paid.swap(true, Ordering::AcqRel) => (summary, Origin::Provider),
            Made::Called(summary, _) | Made::Elsewhere(summary) => (summary, Origin::Shared),
            Made::Before(summary) => (summary, Origin::Store),
        };
        Ok(Answer { summary, origin, pays: origin == Origin::Provider, latency: started.elapsed() })
    }

    /// What the cache or the store has.
    async fn cached(
        &self,
        id: Uuid,
        provider: Option<ProviderName>,
    ) -> Result<Found<StoredSummary>, UseCaseError> {
        Ok(self.cache.read(summary_key(id, provider), self.stored(id, provider)).await?)
    }

    /// What the store has that fits the book as it is now: as the store has it, for a cached book may
    /// be as old as its time to live, and what is found by it would be cached for another.
    fn stored(
        &self,
        id: Uuid,
        provider: Option<ProviderName>,
    ) -> impl Future<Output = Result<Option<StoredSummary>, StoreError>> + Send + 'static {
        let store = Arc::clone(&self.store);
        async move { store.current_summary(id, prompt::VERSION, provider.map(ProviderName::as_str)).await }
    }

    /// Stores a summary and brings the cache up to date from the store. A store that fails costs
    /// the next request a new call, not this one its answer.
    async fn keep(&self, summary: StoredSummary, provider: ProviderName) {
        let id = summary.book_id;
        match self.store.keep_summary(summary).await {
            Ok(Kept::Kept) => {
                self.cache.invalidate(&book_keys(id)).await;
                // Nobody has to wait for this: who asks meanwhile joins the same reads.
                let this = self.clone();
                let refill = async move {
                    for key in [None, Some(provider)] {
                        this.cache.refill(summary_key(id, key), this.stored(id, key)).await;
                    }
                };
                self.writes.spawn(refill.in_current_span());
            }
            Ok(Kept::Outdated) => {
                tracing::info!(book = %id, "the book changed meanwhile: its summary was not kept");
            }
            Ok(Kept::Superseded) => {
                tracing::warn!(book = %id, "the lease went to another, who has stored: this summary was not kept");
            }
            Err(error) => tracing::error!(book = %id, %error, "a summary could not be kept"),
        }
    }
}

/// A duration in milliseconds.
#[must_use]
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
