//! The in-process cache, on moka: bounded by bytes, with a time to live per entry.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use moka::Expiry;
use moka::sync::Cache as Moka;

use super::{Cache, CacheError, CacheKey, FillTicket, Lookup};

/// How many locks the keys share; each guards its keys' last invalidation.
const STRIPES: usize = 64;
/// Bytes that an entry costs beside its key and value, about.
const OVERHEAD: usize = 256;

/// A cache in this process.
pub struct MemoryCache {
    entries: Moka<CacheKey, Entry>,
    /// Per stripe, how often any of its keys was invalidated. Coarse on purpose: an invalidation
    /// voids the tickets of its neighbours too, which costs them one fill and nothing else.
    stripes: Vec<Mutex<u64>>,
}

#[derive(Clone)]
struct Entry {
    value: Bytes,
    time_to_live: Duration,
}

struct ByEntry;

impl Expiry<CacheKey, Entry> for ByEntry {
    fn expire_after_create(&self, _key: &CacheKey, entry: &Entry, _created: Instant) -> Option<Duration> {
        Some(entry.time_to_live)
    }

    fn expire_after_update(
        &self,
        _key: &CacheKey,
        entry: &Entry,
        _updated: Instant,
        _left: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.time_to_live)
    }
}

impl MemoryCache {
    /// A cache of at most `bytes` bytes of keys and values.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let entries = Moka::builder()
            .max_capacity(bytes)
            .weigher(|key: &CacheKey, entry: &Entry| {
                u32::try_from(key.id.len() + entry.value.len() + OVERHEAD).unwrap_or(u32::MAX)
            })
            .expire_after(ByEntry)
            .build();
        Self { entries, stripes: (0..STRIPES).map(|_| Mutex::new(0)).collect() }
    }

    /// The lock of a key's stripe; a poisoned one still guards a sound number.
    fn stripe(&self, key: &CacheKey) -> Option<std::sync::MutexGuard<'_, u64>> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % STRIPES as u64).unwrap_or(0);
        let lock = self.stripes.get(index)?;
        Some(lock.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

#[async_trait]
impl Cache for MemoryCache {
    async fn get(&self, key: &CacheKey) -> Result<Lookup, CacheError> {
        if let Some(entry) = self.entries.get(key) {
            return Ok(Lookup::Hit(entry.value));
        }
        Ok(Lookup::Miss(FillTicket::Count(self.stripe(key).map_or(0, |stripe| *stripe))))
    }

    async fn fill(
        &self,
        key: &CacheKey,
        ticket: &FillTicket,
        value: Bytes,
        time_to_live: Duration,
    ) -> Result<bool, CacheError> {
        let Some(stripe) = self.stripe(key) else { return Ok(false) };
        let valid = *ticket == FillTicket::Count(*stripe);
        if valid {
            self.entries.insert(key.clone(), Entry { value, time_to_live });
        }
        Ok(valid)
    }

    async fn invalidate(&self, keys: &[CacheKey]) -> Result<(), CacheError> {
        for key in keys {
            if let Some(mut stripe) = self.stripe(key) {
                *stripe = stripe.wrapping_add(1);
                self.entries.invalidate(key);
            }
        }
        Ok(())
    }

    async fn ping(&self) -> Result<(), CacheError> {
        Ok(())
    }
}
