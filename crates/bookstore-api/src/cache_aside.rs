//! The one cache-aside policy: look in the cache, else load once for all who ask, and fill.
//!
//! A cache that fails is a miss and one event, never a failed request. An invalidation that fails
//! is tried again, then counted; the entry's time to live bounds what it can do.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use telemetry::Metrics;

use crate::cache::{Cache, CacheKey, FillTicket, Lookup};
use crate::flight::Flights;
use crate::store::StoreError;

/// Longest wait for the cache.
const DEADLINE: Duration = Duration::from_millis(250);
/// How often an invalidation is tried.
const TRIES: u32 = 3;
/// How long it is known that something is not there.
const NEGATIVE_TIME_TO_LIVE: Duration = Duration::from_secs(30);
/// How much a time to live is shortened at most, in percent, so that entries do not expire together.
const JITTER_PERCENT: u64 = 10;

/// What a load brings: the JSON of an optional value.
type Loaded = Result<Bytes, StoreError>;

/// Cache-aside over one cache.
#[derive(Clone)]
pub struct CacheAside {
    cache: Arc<dyn Cache>,
    metrics: Metrics,
    flights: Arc<Flights<CacheKey, Loaded>>,
    time_to_live: Duration,
}

/// A value and where it came from.
#[derive(Clone, Debug)]
pub struct Found<T> {
    /// The value, if there is one.
    pub value: Option<T>,
    /// Whether the cache had it.
    pub hit: bool,
}

impl CacheAside {
    /// The policy over `cache`, with this time to live.
    pub fn new(cache: Arc<dyn Cache>, metrics: Metrics, time_to_live: Duration) -> Self {
        Self { cache, metrics, flights: Arc::default(), time_to_live }
    }

    /// Reads through the cache. What `load` finds, or finds missing, is remembered.
    ///
    /// # Errors
    /// As `load`; the cache adds none.
    pub async fn read<T, F>(&self, key: CacheKey, load: F) -> Result<Found<T>, StoreError>
    where
        T: Serialize + DeserializeOwned + Send,
        F: Future<Output = Result<Option<T>, StoreError>> + Send + 'static,
    {
        let area = key.area.as_str();
        let (ticket, outcome) = match self.look_up(&key).await {
            Ok(Lookup::Hit(bytes)) => {
                if let Ok(value) = serde_json::from_slice(&bytes) {
                    self.metrics.cache_request(area, "hit");
                    return Ok(Found { value, hit: true });
                }
                // An entry of another version of this program: as good as none.
                self.invalidate(std::slice::from_ref(&key)).await;
                (None, "miss")
            }
            Ok(Lookup::Miss(ticket)) => (Some(ticket), "miss"),
            Err(error) => {
                tracing::warn!(area, error, "the cache could not be read");
                (None, "error")
            }
        };
        self.metrics.cache_request(area, outcome);
        let bytes = self.load(key, ticket, load).await?;
        let value = serde_json::from_slice(&bytes).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        Ok(Found { value, hit: false })
    }

    /// Fills the cache after a write and an invalidation. Not a request: it counts as neither hit
    /// nor miss, and a failure costs the next request a look into the store.
    pub async fn refill<T, F>(&self, key: CacheKey, load: F)
    where
        T: Serialize + DeserializeOwned + Send,
        F: Future<Output = Result<Option<T>, StoreError>> + Send + 'static,
    {
        if let Ok(Lookup::Miss(ticket)) = self.look_up(&key).await
            && let Err(error) = self.load(key, Some(ticket), load).await
        {
            tracing::warn!(%error, "the cache could not be filled after a write");
        }
    }

    async fn look_up(&self, key: &CacheKey) -> Result<Lookup, String> {
        match tokio::time::timeout(DEADLINE, self.cache.get(key)).await {
            Ok(found) => found.map_err(|error| error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }

    /// Loads once for all who ask, and fills.
    async fn load<T, F>(&self, key: CacheKey, ticket: Option<FillTicket>, load: F) -> Loaded
    where
        T: Serialize + Send,
        F: Future<Output = Result<Option<T>, StoreError>> + Send + 'static,
    {
        let area = key.area.as_str();
        let (this, filled) = (self.clone(), key.clone());
        self.flights
            .join(key, move || -> BoxFuture<'static, Loaded> {
                async move {
                    let value = load.await?;
                    let time_to_live =
                        if value.is_some() { this.spread(&filled) } else { NEGATIVE_TIME_TO_LIVE };
                    let bytes = serde_json::to_vec(&value)
                        .map(Bytes::from)
                        .map_err(|error| StoreError::Corrupt(error.to_string()))?;
                    if let Some(ticket) = ticket {
                        let fill = this.cache.fill(&filled, ticket, bytes.clone(), time_to_live);
                        match tokio::time::timeout(DEADLINE, fill).await {
                            Ok(Ok(_)) => {}
                            Ok(Err(error)) => tracing::warn!(area, %error, "the cache could not be filled"),
                            Err(_) => tracing::warn!(area, "the cache could not be filled in time"),
                        }
                    }
                    Ok(bytes)
                }
                .boxed()
            })
            .await
    }

    /// Takes keys out after a write.
    pub async fn invalidate(&self, keys: &[CacheKey]) {
        for key in keys {
            self.flights.forget(key);
        }
        for attempt in 1..=TRIES {
            match tokio::time::timeout(DEADLINE, self.cache.invalidate(keys)).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => tracing::warn!(%error, attempt, "an invalidation failed"),
                Err(_) => tracing::warn!(attempt, "an invalidation did not end in time"),
            }
        }
        for key in keys {
            self.metrics.cache_invalidation_failed(key.area.as_str());
        }
    }

    fn spread(&self, key: &CacheKey) -> Duration {
        let draw = RandomState::new().hash_one(key) % (JITTER_PERCENT + 1);
        let percent = u32::try_from(100 - draw).unwrap_or(100);
        self.time_to_live * percent / 100
    }
}
