//! Summaries: cached, else stored, else book → prompt → provider → store → cache.
//!
//! Calls that would be paid for are single-flight: callers who ask for the same thing at the same
//! time share one, and exactly one of their answers carries its tokens and dollars. Inside a process
//! a flight sees to it, between processes a lease (`summaries/call.rs`). Who wants to see the answer
//! while it is made listens (`summaries/listening.rs`). Must not know HTTP.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::FutureExt;
use llm::{Arm, Attempt, Cost, Delivery, ProviderName, TokenUsage};
use telemetry::Metrics;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use uuid::Uuid;

use self::call::{CallKey, Cause, Commission, Failed, Made, Shared};
use self::progress::Progress;
use crate::cache::CacheKey;
use crate::cache_aside::CacheAside;
use crate::catalog::{Catalog, UseCaseError, book_keys, summary_key, summary_key_of};
use crate::experiments::outcomes::{Outcomes, Record};
use crate::experiments::{Experiments, Variant};
use crate::flight::{Flights, Watched};
use crate::leases::Leases;
use crate::prompt;
use crate::providers::{Providers, Route};
use crate::spend::Spend;
use crate::store::{Kept, StoreError, StoredSummary, SummaryStore};
use crate::tenants::Tenant;

mod call;
pub mod listening;
mod progress;
pub mod spent;

/// What is counted for a request whose client did not wait for the end.
const LEFT: &str = "cancelled";

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The book.
    pub book: Uuid,
    /// Whose summary; that of any provider when absent.
    pub provider: Option<ProviderName>,
    /// A new one, even if there is one that fits.
    pub refresh: bool,
    /// On whose account.
    pub tenant: Tenant,
}

/// A summary and what this request had to do with it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The summary.
    pub summary: StoredSummary,
    /// Where it came from.
    pub origin: Origin,
    /// Tokens of this request, over all attempts: none unless it is the one that carries them.
    pub usage: TokenUsage,
    /// Dollars of this request, likewise.
    pub cost: Cost,
    /// The attempts of the call that made it, if this process made one for it.
    pub attempts: Vec<Attempt>,
    /// The arm of an experiment that the request belongs to.
    pub arm: Option<Arc<Arm>>,
    /// How long this request took.
    pub latency: Duration,
    /// From the first attempt's request to the first piece of the text, if this request made the call.
    pub first_chunk: Option<Duration>,
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

impl Origin {
    /// As metrics name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cache => "cached",
            Self::Store => "stored",
            Self::Provider => "generated",
            Self::Shared => "shared",
        }
    }
}

/// The ports and rules of the use case.
pub struct Means {
    /// The books.
    pub catalog: Catalog,
    /// Where summaries are kept.
    pub store: Arc<dyn SummaryStore>,
    /// The cache before it.
    pub cache: CacheAside,
    /// Who of several processes calls.
    pub leases: Arc<dyn Leases>,
    /// Who is called.
    pub providers: Arc<Providers>,
    /// Who lets calls in.
    pub spend: Spend,
    /// Which arm a request belongs to.
    pub experiments: Experiments,
    /// What came of the arms.
    pub outcomes: Record,
    /// Longest time for an answer, all attempts in all.
    pub call_deadline: Duration,
    /// Most attempts for an answer.
    pub attempts: u32,
    /// How providers are asked for answers that nobody listens to.
    pub delivery: Delivery,
    /// Work that outlives its request, and that a stop waits for.
    pub tasks: TaskTracker,
    /// The metrics.
    pub metrics: Metrics,
}

/// The use case.
#[derive(Clone)]
pub struct Summaries {
    catalog: Catalog,
    store: Arc<dyn SummaryStore>,
    cache: CacheAside,
    providers: Arc<Providers>,
    spend: Spend,
    experiments: Arc<Experiments>,
    outcomes: Record,
    calls: Arc<Flights<CallKey, Shared, Progress>>,
    leases: Arc<dyn Leases>,
    call_deadline: Duration,
    attempts: u32,
    delivery: Delivery,
    /// Writes of answers that were paid for: they outlive the request, and a stop waits for them.
    writes: TaskTracker,
    metrics: Metrics,
}

/// Where a request's summary comes from.
enum Source {
    /// It was there.
    There(Box<StoredSummary>, Origin),
    /// It is being made.
    Making(Watched<Shared, Progress>),
}

/// Whose call a request may share.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    /// Anybody's.
    WithAll,
    /// Its tenant's own: a call that it shared was ended by the limits of another, which say nothing about
    /// its own, and are none of its business.
    WithinTenant,
}

impl Summaries {
    /// The use case over these means.
    #[must_use]
    pub fn new(means: Means) -> Self {
        Self {
            catalog: means.catalog,
            store: means.store,
            cache: means.cache,
            providers: means.providers,
            spend: means.spend,
            experiments: Arc::new(means.experiments),
            outcomes: means.outcomes,
            calls: Arc::default(),
            leases: means.leases,
            call_deadline: means.call_deadline,
            attempts: means.attempts,
            delivery: means.delivery,
            writes: means.tasks,
            metrics: means.metrics,
        }
    }

    /// The summary of a book: any fresh one, or that of a provider; with `refresh` always a new one.
    ///
    /// # Errors
    /// When there is no such book or provider, or the provider or the store fails.
    pub async fn summary(&self, asked: Asked) -> Result<Answer, UseCaseError> {
        let started = Instant::now();
        let route = self.route(&asked)?;
        let leaving = Leaving { metrics: &self.metrics, route: &route };
        let result = self.find_or_make(&asked, &route, started).await;
        std::mem::forget(leaving);
        self.count(&route, &result);
        result
    }

    async fn find_or_make(
        &self,
        asked: &Asked,
        route: &Route,
        started: Instant,
    ) -> Result<Answer, UseCaseError> {
        let mut sharing = Sharing::WithAll;
        loop {
            match self.source(asked, route, self.delivery, sharing).await? {
                Source::There(summary, origin) => return Ok(Answer::free(*summary, origin, route, started)),
                Source::Making((call, _)) => match call.await {
                    Ok(made) => return Ok(Answer::of(made, route, started)),
                    Err(failed) if failed.by_limits_of_another(&asked.tenant) => {
                        sharing = Sharing::WithinTenant;
                    }
                    Err(failed) => return Err(UseCaseError::from(failed.as_ref())),
                },
            }
        }
    }

    /// Whom a request asks: whom it names, else whom its experiment's arm names, else the default.
    fn route(&self, asked: &Asked) -> Result<Route, UseCaseError> {
        let Some(provider) = asked.provider else {
            let variant = self.experiments.variant(asked.book, &asked.tenant);
            let route = variant.and_then(|variant| self.providers.of_variant(variant));
            return Ok(route.unwrap_or_else(|| self.providers.default(prompt::VERSION)));
        };
        self.providers.named(provider, prompt::VERSION).ok_or_else(|| UseCaseError::ProviderNotConfigured {
            provider,
            available: self.providers.configured().map(|one| one.name().as_str()).collect(),
        })
    }

    /// What there is, or the call that makes it.
    async fn source(
        &self,
        asked: &Asked,
        route: &Route,
        delivery: Delivery,
        sharing: Sharing,
    ) -> Result<Source, UseCaseError> {
        if !asked.refresh
            && route.arm.is_none()
            && let Some((summary, origin)) = self.cached(asked.book, asked.provider).await?
        {
            return Ok(Source::There(Box::new(summary), origin));
        }
        let book = self.catalog.book_uncounted(asked.book).await?;
        let payer = (sharing == Sharing::WithinTenant).then(|| asked.tenant.clone());
        let key = CallKey::new(&book, route, asked.refresh, payer);
        if !asked.refresh
            && route.arm.is_some()
            && let Some((summary, origin)) = self.cached_of_arm(&key).await?
        {
            return Ok(Source::There(Box::new(summary), origin));
        }
        let this = self.clone();
        let commission = Commission {
            key: key.clone(),
            route: route.clone(),
            book,
            delivery,
            tenant: asked.tenant.clone(),
        };
        Ok(Source::Making(self.calls.join_watching(key, move |progress| {
            this.call_once(commission, progress).in_current_span().boxed()
        })))
    }

    /// What the cache or the store has, of one provider or of any.
    async fn cached(
        &self,
        id: Uuid,
        provider: Option<ProviderName>,
    ) -> Result<Option<(StoredSummary, Origin)>, UseCaseError> {
        self.look(summary_key(id, provider), self.stored(id, provider)).await
    }

    /// What the cache or the store has of an arm.
    async fn cached_of_arm(&self, key: &CallKey) -> Result<Option<(StoredSummary, Origin)>, UseCaseError> {
        self.look(key.of_summary(), self.stored_of_arm(key)).await
    }

    async fn look(
        &self,
        key: CacheKey,
        load: impl Future<Output = Result<Option<StoredSummary>, StoreError>> + Send + 'static,
    ) -> Result<Option<(StoredSummary, Origin)>, UseCaseError> {
        let found = self.cache.read(key, load).await?;
        let origin = if found.hit { Origin::Cache } else { Origin::Store };
        Ok(found.value.map(|summary| (summary, origin)))
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

    /// What the store has of an arm for a book of this very content, which is part of its cache key.
    fn stored_of_arm(
        &self,
        key: &CallKey,
    ) -> impl Future<Output = Result<Option<StoredSummary>, StoreError>> + Send + 'static {
        let (store, key) = (Arc::clone(&self.store), key.clone());
        async move {
            let CallKey { book, content_hash, provider, model, prompt_version, .. } = &key;
            store.summary(*book, content_hash, prompt_version, Some(provider.as_str()), Some(model)).await
        }
    }

    /// Stores a summary and brings the cache up to date from the store. A store that fails costs
    /// the next request a new call, not this one its answer.
    async fn keep(&self, summary: StoredSummary, provider: ProviderName) {
        let id = summary.book_id;
        let mut keys = book_keys(id);
        keys.push(summary_key_of(&summary));
        match self.store.keep_summary(summary).await {
            Ok(Kept::Kept) => {
                self.cache.invalidate(&keys).await;
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

    /// The experiments under way.
    #[must_use]
    pub fn experiments(&self) -> &Experiments {
        &self.experiments
    }

    /// What came of an arm, and whom it asks; nothing where its provider is not set up.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn outcomes(&self, variant: &Variant) -> Result<Option<(Route, Outcomes)>, StoreError> {
        let Some(route) = self.providers.of_variant(variant) else { return Ok(None) };
        let outcomes = self.outcomes.outcomes(&route).await?;
        Ok(Some((route, outcomes)))
    }

    /// Counts how a request ended.
    fn count(&self, route: &Route, result: &Result<Answer, UseCaseError>) {
        match result {
            Ok(answer) => {
                self.outcomes.answered(route);
                let provider = ProviderName::parse(&answer.summary.provider).unwrap_or(route.provider);
                self.metrics.summary(provider.as_str(), answer.origin.as_str());
            }
            Err(error) => self.metrics.summary(route.provider.as_str(), error.kind()),
        }
    }
}

/// Counts, when it is dropped, a request whose client did not wait for the end.
struct Leaving<'a> {
    metrics: &'a Metrics,
    route: &'a Route,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.metrics.summary(self.route.provider.as_str(), LEFT);
    }
}

impl Answer {
    /// An answer for which nothing was called.
    fn free(summary: StoredSummary, origin: Origin, route: &Route, started: Instant) -> Self {
        Self {
            summary,
            origin,
            usage: spent::NOTHING,
            cost: Cost::NOTHING,
            attempts: Vec::new(),
            arm: route.arm.clone(),
            latency: started.elapsed(),
            first_chunk: None,
        }
    }

    /// The answer of a call. Of all who share it the first to get here pays.
    fn of(made: Made, route: &Route, started: Instant) -> Self {
        let (summary, called) = match made {
            Made::Before(summary) => return Self::free(summary, Origin::Store, route, started),
            Made::Elsewhere(summary) => return Self::free(summary, Origin::Shared, route, started),
            Made::Called(summary, called) => (summary, called),
        };
        let attempts = called.attempts.clone();
        if called.paid.swap(true, Ordering::AcqRel) {
            return Self { attempts, ..Self::free(summary, Origin::Shared, route, started) };
        }
        Self {
            usage: spent::usage(&attempts),
            cost: spent::cost(&attempts),
            attempts,
            first_chunk: called.first_chunk,
            ..Self::free(summary, Origin::Provider, route, started)
        }
    }
}

impl From<&Failed> for UseCaseError {
    fn from(failed: &Failed) -> Self {
        let (provider, attempts) = (failed.provider, failed.attempts.clone());
        match &failed.cause {
            Cause::Provider(error) => Self::Provider { provider, error: error.clone(), attempts },
            Cause::Unsafe(reason) => Self::UnsafeAnswer { provider, reason: *reason, attempts },
        }
    }
}

/// A duration in milliseconds.
#[must_use]
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
