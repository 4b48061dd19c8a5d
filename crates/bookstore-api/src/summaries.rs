//! Summaries: cached, else stored, else book → prompt → provider → store → cache.
//!
//! Calls that would be paid for are single-flight: callers who ask for the same thing at the same
//! time share one, and exactly one of their answers carries its tokens and dollars.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::Utc;
use futures::FutureExt;
use futures::future::BoxFuture;
use llm::{ErrorKind, LlmError, LlmProvider, ProviderName, StopReason, TokenUsage};
use telemetry::Metrics;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use uuid::Uuid;

use crate::book::Book;
use crate::cache_aside::{CacheAside, Found};
use crate::catalog::{Catalog, UseCaseError, book_keys, summary_key};
use crate::flight::Flights;
use crate::prompt;
use crate::store::{Kept, StoreError, StoredSummary, SummaryStore};

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
    /// A provider, just now.
    Provider,
}

/// What callers share: one provider call.
#[derive(Clone, PartialEq, Eq, Hash)]
struct CallKey {
    book: Uuid,
    content_hash: String,
    provider: ProviderName,
    /// Who wants a new one does not make do with a call that may find an old one.
    refresh: bool,
}

/// The result of a call, with a flag that the first caller to see it sets: that one pays. No flag
/// when the store had it after all.
type Shared = Result<(StoredSummary, Option<Arc<AtomicBool>>), LlmError>;

/// The use case.
#[derive(Clone)]
pub struct Summaries {
    catalog: Catalog,
    store: Arc<dyn SummaryStore>,
    cache: CacheAside,
    providers: Arc<BTreeMap<ProviderName, Arc<dyn LlmProvider>>>,
    default_provider: ProviderName,
    calls: Arc<Flights<CallKey, Shared>>,
    /// How many calls have ended with their answer kept and the cache invalidated.
    calls_ended: Arc<AtomicU64>,
    /// Writes of answers that were paid for: they outlive the request, and a stop waits for them.
    writes: TaskTracker,
    metrics: Metrics,
}

impl Summaries {
    /// The use case over these ports.
    pub fn new(
        catalog: Catalog,
        store: Arc<dyn SummaryStore>,
        cache: CacheAside,
        providers: BTreeMap<ProviderName, Arc<dyn LlmProvider>>,
        default_provider: ProviderName,
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
            calls_ended: Arc::default(),
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
        let ended = self.calls_ended.load(Ordering::Acquire);
        if !refresh {
            let found = self.cached(id, provider).await?;
            if let Some(summary) = found.value {
                let origin = if found.hit { Origin::Cache } else { Origin::Store };
                return Ok(Answer { summary, origin, pays: false, latency: started.elapsed() });
            }
        }
        let book = self.catalog.book(id).await?;
        let key = CallKey { book: id, content_hash: book.content_hash(), provider: name, refresh };
        let (this, adapter) = (self.clone(), Arc::clone(adapter));
        let call = self.calls.join(key, move || -> BoxFuture<'static, Shared> {
            async move {
                // A call that ended between this caller's look and its turn may have been for the
                // same: nobody pays twice. Without one, there is nothing to look for again.
                let look_again = !refresh && this.calls_ended.load(Ordering::Acquire) != ended;
                match if look_again { this.kept(&book, name).await } else { None } {
                    Some(summary) => Ok((summary, None)),
                    None => this.call(adapter, book).await,
                }
            }
            .in_current_span()
            .boxed()
        });
        let (summary, paid) = call.await.map_err(|error| UseCaseError::Provider { provider: name, error })?;
        let origin = if paid.is_some() { Origin::Provider } else { Origin::Store };
        let pays = paid.is_some_and(|paid| !paid.swap(true, Ordering::AcqRel));
        Ok(Answer { summary, origin, pays, latency: started.elapsed() })
    }

    /// What the store has for the book as it is. A store that fails costs a call, not the answer.
    async fn kept(&self, book: &Book, provider: ProviderName) -> Option<StoredSummary> {
        let found =
            self.store.summary(book.id, &book.content_hash(), prompt::VERSION, Some(provider.as_str())).await;
        found.unwrap_or_else(|error| {
            tracing::warn!(book = %book.id, %error, "the store could not be asked for a summary again");
            None
        })
    }

    /// What the cache or the store has.
    async fn cached(
        &self,
        id: Uuid,
        provider: Option<ProviderName>,
    ) -> Result<Found<StoredSummary>, UseCaseError> {
        Ok(self.cache.read(summary_key(id, provider), self.stored(id, provider)).await?)
    }

    /// What the store has that fits the book as it is now.
    fn stored(
        &self,
        id: Uuid,
        provider: Option<ProviderName>,
    ) -> impl Future<Output = Result<Option<StoredSummary>, StoreError>> + Send + 'static {
        let (catalog, store) = (self.catalog.clone(), Arc::clone(&self.store));
        async move {
            match catalog.book(id).await {
                Ok(book) => {
                    let provider = provider.map(ProviderName::as_str);
                    store.summary(id, &book.content_hash(), prompt::VERSION, provider).await
                }
                Err(UseCaseError::Store(error)) => Err(error),
                // The caller finds out by itself, with the right error.
                Err(_) => Ok(None),
            }
        }
    }

    /// One provider call, its answer checked and kept.
    async fn call(self, provider: Arc<dyn LlmProvider>, book: Book) -> Shared {
        let completion = llm::complete(provider.as_ref(), &prompt::for_book(&book)).await?;
        let cut = completion.ending.stop == StopReason::MaxTokens;
        let text = prompt::check_answer(&completion.text, cut)
            .map_err(|reason| LlmError::new(ErrorKind::BadAnswer, reason))?;
        let usage = completion.ending.usage.unwrap_or(TokenUsage {
            input: 0,
            output: 0,
            cached_input: 0,
            reported: false,
        });
        let summary = StoredSummary {
            book_id: book.id,
            content_hash: book.content_hash(),
            provider: provider.name().as_str().to_owned(),
            requested_model: provider.model().to_owned(),
            model: completion.ending.model,
            prompt_version: prompt::VERSION.to_owned(),
            text,
            simulated: completion.ending.simulated,
            input_tokens: usage.input,
            output_tokens: usage.output,
            cached_input_tokens: usage.cached_input,
            reported: usage.reported,
            cost_usd: completion.ending.cost.billed_usd,
            list_cost_usd: completion.ending.cost.list_usd,
            latency_ms: milliseconds(completion.latency),
            first_chunk_ms: completion.first_chunk.map(milliseconds),
            generated_at: Utc::now(),
            fence: 0,
        };
        // Paid for: kept even if every caller leaves now.
        let (this, kept) = (self.clone(), summary.clone());
        let provider = provider.name();
        let write = self.writes.spawn(async move { this.keep(kept, provider).await }.in_current_span());
        if let Err(error) = write.await {
            tracing::error!(%error, "keeping a summary broke off");
        }
        Ok((summary, Some(Arc::new(AtomicBool::new(false)))))
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
            Ok(Kept::Outdated | Kept::Superseded) => {
                tracing::info!(book = %id, "the book changed meanwhile: its summary was not kept");
            }
            Err(error) => tracing::error!(book = %id, %error, "a summary could not be kept"),
        }
        self.calls_ended.fetch_add(1, Ordering::Release);
    }
}

/// A duration in milliseconds.
#[must_use]
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
