//! How the service stands: whether its dependencies answer, how much the catalogue holds, what is left of
//! the budget.
//!
//! Asked by whoever wants to know whether the service is ready, and every few seconds by the service itself,
//! which tells its metrics: a scrape shows what was found last and asks nobody. Knows no adapter.

use std::sync::Arc;
use std::time::{Duration, Instant};

use llm::Usd;
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use crate::cache::CacheError;
use crate::cache_aside::CacheAside;
use crate::limits::{LimitKind, Scope};
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
    pub const fn new(store: Arc<dyn Store>, cache: CacheAside, spend: Spend, metrics: Metrics) -> Self {
        Self { store, cache, spend, metrics }
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
        loop {
            let look = async {
                let dependencies = self.dependencies().await;
                if dependencies.store.is_ok() && Instant::now() >= count_from {
                    count_from = Instant::now() + self.count().await * COUNTING_ONE_IN;
                }
                self.tell_budget().await;
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

    /// Tells of the budget that binds all tenants together, where there is one and it can be found out.
    async fn tell_budget(&self) {
        if !self.spend.has_global_budget() {
            return;
        }
        let states = self.spend.left(&[], true).await.unwrap_or_default();
        let daily =
            states.iter().find(|state| state.scope == Scope::Global && state.kind == LimitKind::DailyBudget);
        if let Some(state) = daily {
            let dollars = |nanos: u64| Usd::from_nanos(nanos).dollars();
            self.metrics.budget(dollars(state.limit), dollars(state.limit.saturating_sub(state.left)));
        }
    }
}
