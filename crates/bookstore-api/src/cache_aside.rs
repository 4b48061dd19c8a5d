//! The one cache-aside policy: look in the cache, else load once for all who ask, and fill.
//!
//! A read shares only a load that began after it asked: either it saw in the cache the ticket under
//! which the load began, or the load had not begun. So no answer is older than a write that was
//! acknowledged before the question, whichever instance took it. A cache that fails is a miss and
//! counted, never a failed request. An invalidation that fails is overdue (`overdue.rs`): repeated
//! until it is carried out, its keys left alone by this instance meanwhile.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use telemetry::Metrics;

use self::overdue::Overdue;
use crate::cache::{Cache, CacheError, CacheKey, FillTicket, Lookup, TICKET_TIME};
use crate::flight::Flights;
use crate::store::StoreError;

mod overdue;

/// How often an invalidation is tried before its write is answered.
const TRIES: u32 = 2;
/// How long it is known at most that something is not there.
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
    /// Loads under way, by the ticket under which they began.
    ticketed: Arc<Flights<(CacheKey, FillTicket), Loaded>>,
    /// Loads for whom the cache gave no ticket.
    unticketed: Arc<Flights<CacheKey, Loaded>>,
    overdue: Overdue,
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

/// Who looks: does it count as a request to the cache?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    Yes,
    No,
}

impl CacheAside {
    /// The policy over `cache`, with this time to live.
    pub fn new(cache: Arc<dyn Cache>, metrics: Metrics, time_to_live: Duration) -> Self {
        // An entry lives for its time from the load on; a fill that is on its way may still arrive
        // while its ticket is good.
        let longest = time_to_live + TICKET_TIME;
        let overdue = Overdue::new(Arc::clone(&cache), metrics.clone(), longest);
        Self { cache, metrics, ticketed: Arc::default(), unticketed: Arc::default(), overdue, time_to_live }
    }

    /// Reads through the cache. What `load` finds, or finds missing, is remembered.
    ///
    /// # Errors
    /// As `load`; the cache adds none.
    pub async fn read<T, F>(&self, key: CacheKey, load: F) -> Result<Found<T>, StoreError>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        F: Future<Output = Result<Option<T>, StoreError>> + Send + 'static,
    {
        self.find(key, load, Counted::Yes).await
    }

    /// The same as a part of something else that counts: as neither hit nor miss.
    ///
    /// # Errors
    /// As [`CacheAside::read`].
    pub async fn read_uncounted<T, F>(&self, key: CacheKey, load: F) -> Result<Found<T>, StoreError>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        F: Future<Output = Result<Option<T>, StoreError>> + Send + 'static,
    {
        self.find(key, load, Counted::No).await
    }

    async fn find<T, F>(&self, key: CacheKey, load: F, counted: Counted) -> Result<Found<T>, StoreError>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        F: Future<Output = Result<Option<T>, StoreError>> + Send + 'static,
    {
        let area = key.area.as_str();
        let (ticket, outcome) = match self.look_up(&key).await {
            Some(Ok(Lookup::Hit(bytes))) => {
                if let Ok(value) = serde_json::from_slice(&bytes) {
                    if counted == Counted::Yes {
                        self.metrics.cache_request(area, "hit");
                    }
                    return Ok(Found { value, hit: true });
                }
                // An entry of another version of this program: as good as none.
                self.invalidate(std::slice::from_ref(&key)).await;
                (None, "miss")
            }
            Some(Ok(Lookup::Miss(ticket))) => (Some(ticket), "miss"),
            Some(Err(error)) => {
                // The adapter tells of the outage once; this would be a line a request.
                tracing::debug!(area, %error, "the cache could not be read");
                (None, "error")
            }
            None => (None, "miss"),
        };
        if counted == Counted::Yes {
            self.metrics.cache_request(area, outcome);
        }
        let bytes = match ticket {
            Some(ticket) => self.load_once(key, ticket, load).await?,
            None => self.unticketed.join_unbegun(key, move || encoded(load).boxed()).await?,
        };
        let value = serde_json::from_slice(&bytes).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        Ok(Found { value, hit: false })
    }

    /// Fills the cache after a write and an invalidation. Not a request: it counts as neither hit
    /// nor miss, and a failure costs the next request a look into the store.
    pub async fn refill<T, F>(&self, key: CacheKey, load: F)
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        F: Future<Output = Result<Option<T>, StoreError>> + Send + 'static,
    {
        if let Some(Ok(Lookup::Miss(ticket))) = self.look_up(&key).await
            && let Err(error) = self.load_once::<T, F>(key, ticket, load).await
        {
            tracing::warn!(%error, "the cache could not be filled after a write");
        }
    }

    /// Looks into the cache; `None` while what it says of this key is not to be believed.
    async fn look_up(&self, key: &CacheKey) -> Option<Result<Lookup, CacheError>> {
        if self.overdue.covers(key) {
            return None;
        }
        Some(self.cache.get(key).await)
    }

    /// Loads once for all who saw this ticket, and fills.
    async fn load_once<T, F>(&self, key: CacheKey, ticket: FillTicket, load: F) -> Loaded
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        F: Future<Output = Result<Option<T>, StoreError>> + Send + 'static,
    {
        let this = self.clone();
        self.ticketed
            .join((key.clone(), ticket), move || -> BoxFuture<'static, Loaded> {
                async move {
                    // Between this caller's look and its turn another load may have ended and filled.
                    let ticket = match this.look_up(&key).await {
                        Some(Ok(Lookup::Hit(bytes)))
                            if serde_json::from_slice::<Option<T>>(&bytes).is_ok() =>
                        {
                            return Ok(bytes);
                        }
                        Some(Ok(Lookup::Miss(ticket))) => Some(ticket),
                        _ => None,
                    };
                    let begun = Instant::now();
                    let bytes = encoded(load).await?;
                    if let Some(ticket) = ticket {
                        this.fill(&key, &ticket, bytes.clone(), begun).await;
                    }
                    Ok(bytes)
                }
                .boxed()
            })
            .await
    }

    /// Fills with what was asked for at `begun`: from then on its time counts, so that it ends in
    /// time even if a write that came meanwhile could not be told to the cache.
    async fn fill(&self, key: &CacheKey, ticket: &FillTicket, bytes: Bytes, begun: Instant) {
        let time_to_live = match bytes.as_ref() {
            b"null" => self.time_to_live.min(NEGATIVE_TIME_TO_LIVE),
            _ => self.spread(key),
        };
        let left = time_to_live.saturating_sub(begun.elapsed());
        if left.is_zero() || self.overdue.covers(key) {
            return;
        }
        if let Err(error) = self.cache.fill(key, ticket, bytes, left).await {
            tracing::debug!(area = key.area.as_str(), %error, "the cache could not be filled");
        }
    }

    /// Takes keys out after a write. What fails here is repeated in the background.
    pub async fn invalidate(&self, keys: &[CacheKey]) {
        if keys.is_empty() {
            return;
        }
        for attempt in 1..=TRIES {
            match self.cache.invalidate(keys).await {
                Ok(()) => return,
                Err(error) => tracing::debug!(%error, attempt, "an invalidation failed"),
            }
        }
        for key in keys {
            self.metrics.cache_invalidation_failed(key.area.as_str());
        }
        self.overdue.add(keys);
    }

    /// Whether the cache answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), CacheError> {
        self.cache.ping().await
    }

    /// Waits, not longer than `deadline`, until invalidations that failed are carried out.
    pub async fn finish(&self, deadline: Duration) {
        self.overdue.finish(deadline).await;
    }

    fn spread(&self, key: &CacheKey) -> Duration {
        let draw = RandomState::new().hash_one(key) % (JITTER_PERCENT + 1);
        let percent = u32::try_from(100 - draw).unwrap_or(100);
        self.time_to_live * percent / 100
    }
}

/// What a load finds, as it is cached.
async fn encoded<T: Serialize>(load: impl Future<Output = Result<Option<T>, StoreError>>) -> Loaded {
    let value = load.await?;
    let bytes = serde_json::to_vec(&value).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    Ok(Bytes::from(bytes))
}
