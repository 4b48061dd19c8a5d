//! How the service stands: whether its dependencies answer, how much the catalogue holds, what is left of
//! the budget.
//!
//! Asked by whoever wants to know whether the service is ready, and every few seconds by the service itself,
//! which tells its metrics: a scrape shows what was found last and asks nobody. Knows no adapter.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{NaiveDate, Utc};
use llm::{Health, Usd};
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use crate::cache::CacheError;
use crate::cache_aside::CacheAside;
use crate::limits::{LimitKind, Scope};
use crate::providers::Providers;
use crate::spend::Spend;
use crate::store::{Store, StoreError};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_secs(5);
/// Counting takes at most one part in so many of the time, however much there is to be counted.
const COUNTING_ONE_IN: u32 = 100;

/// Who is asked. Cheap to clone.
#[derive(Clone)]
pub struct Standing {
    store: Arc<dyn Store>,
    cache: CacheAside,
    spend: Spend,
    providers: Arc<Providers>,
    metrics: Metrics,
}

/// Whether dependencies answer.
#[derive(Clone, Debug)]
pub struct Dependencies {
    /// The store, without which there is no service.
    pub store: Result<(), StoreError>,
    /// The cache, without which it is slower.
    pub cache: Result<(), CacheError>,
}

impl Standing {
    /// The standing of a service on these.
    #[must_use]
    pub const fn new(
        store: Arc<dyn Store>,
        cache: CacheAside,
        spend: Spend,
        providers: Arc<Providers>,
        metrics: Metrics,
    ) -> Self {
        Self { store, cache, spend, providers, metrics }
    }

    /// Asks the dependencies, and tells the metrics what they said.
    pub async fn dependencies(&self) -> Dependencies {
        let (store, cache) = tokio::join!(self.store.ping(), self.cache.ping());
        self.metrics.dependency("store", store.is_ok());
        self.metrics.dependency("cache", cache.is_ok());
        Dependencies { store, cache }
    }

    /// Looks again and again until `stop`.
    pub async fn watch(self, stop: CancellationToken) {
        let mut count_from = Instant::now();
        let mut budget = None;
        loop {
            let look = async {
                let dependencies = self.dependencies().await;
                if dependencies.store.is_ok() && Instant::now() >= count_from {
                    count_from = Instant::now() + self.count().await * COUNTING_ONE_IN;
                }
                self.tell_budget(&mut budget).await;
                // An open breaker is half open in time, whether or not calls come: looking at it tells.
                for provider in self.providers.configured() {
                    let _: Health = provider.health();
                }
                tokio::time::sleep(PAUSE).await;
            };
            if stop.run_until_cancelled(look).await.is_none() {
                return;
            }
        }
    }

    /// Counts what there is; how long that took.
    async fn count(&self) -> Duration {
        let begun = Instant::now();
        match self.store.counts().await {
            Ok(counts) => {
                self.metrics.catalogue(counts.books, counts.books_with_summary, counts.authors);
            }
            // The metrics of the store have it, and the next look will tell.
            Err(error) => tracing::debug!(%error, "what the store holds could not be counted"),
        }
        begun.elapsed()
    }

    /// Tells of the budget that binds all tenants together, where there is one. Where it cannot be found out
    /// what was told last stands, until its day is over: `last` is that day and the limit.
    async fn tell_budget(&self, last: &mut Option<(NaiveDate, f64)>) {
        if !self.spend.has_global_budget() {
            return;
        }
        let states = self.spend.left(&[], true).await.unwrap_or_default();
        let daily =
            states.iter().find(|state| state.scope == Scope::Global && state.kind == LimitKind::DailyBudget);
        let (counts, today) = (self.spend.counts().as_str(), Utc::now().date_naive());
        if let Some(state) = daily {
            let dollars = |nanos: u64| Usd::from_nanos(nanos).dollars();
            let limit = dollars(state.limit);
            self.metrics.budget(counts, limit, dollars(state.limit.saturating_sub(state.left)));
            *last = Some((today, limit));
        } else if let Some((_, limit)) = last.take_if(|(day, _)| *day < today) {
            self.metrics.budget(counts, limit, 0.0);
        }
    }
}
