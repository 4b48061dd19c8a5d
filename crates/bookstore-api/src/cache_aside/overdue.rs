//! Invalidations that failed: kept, and repeated in the background until they are carried out or
//! until no entry from before them can be left.
//!
//! Meanwhile this instance neither reads nor fills their keys, so it does not serve what it knows
//! to be stale. Other instances may, for as long as ARCHITECTURE.md says.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use telemetry::Metrics;
use tokio_util::task::TaskTracker;

use crate::cache::{Cache, CacheKey};

/// Keys kept at most. Beyond them the whole cache is left alone until its entries have expired.
const MOST: usize = 50_000;
/// Pause between attempts.
const PAUSE: Duration = Duration::from_millis(200);
/// Keys of one attempt.
const KEYS_AT_ONCE: usize = 500;

/// The invalidations that are overdue. Cheap to clone.
#[derive(Clone)]
pub(super) struct Overdue(Arc<Inner>);

struct Inner {
    cache: Arc<dyn Cache>,
    metrics: Metrics,
    /// From a failed invalidation until no entry from before it can be left.
    longest: Duration,
    /// Whether there is anything: what every read asks first.
    any: AtomicBool,
    waiting: Mutex<Waiting>,
    tasks: TaskTracker,
}

#[derive(Default)]
struct Waiting {
    keys: HashMap<CacheKey, Entry>,
    /// Numbers entries, so that one that failed again meanwhile is not taken for carried out.
    number: u64,
    /// Until when the whole cache is left alone.
    all_until: Option<Instant>,
    /// Whether the task that repeats them is there.
    repeating: bool,
}

#[derive(Clone, Copy)]
struct Entry {
    number: u64,
    until: Instant,
}

impl Overdue {
    /// None yet. `longest` after a failed invalidation no entry from before it is left.
    pub(super) fn new(cache: Arc<dyn Cache>, metrics: Metrics, longest: Duration) -> Self {
        Self(Arc::new(Inner {
            cache,
            metrics,
            longest,
            any: AtomicBool::new(false),
            waiting: Mutex::default(),
            tasks: TaskTracker::new(),
        }))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what the cache says of this key is not to be believed.
    pub(super) fn covers(&self, key: &CacheKey) -> bool {
        self.0.any.load(Ordering::Acquire) && {
            let waiting = self.waiting();
            waiting.all_until.is_some() || waiting.keys.contains_key(key)
        }
    }

    /// Keeps keys whose invalidation failed.
    pub(super) fn add(&self, keys: &[CacheKey]) {
        let until = Instant::now() + self.0.longest;
        let mut waiting = self.waiting();
        let before = waiting.keys.len();
        for key in keys {
            waiting.number += 1;
            let entry = Entry { number: waiting.number, until };
            if waiting.keys.len() < MOST || waiting.keys.contains_key(key) {
                waiting.keys.insert(key.clone(), entry);
            } else {
                waiting.all_until = Some(until);
                self.0.metrics.cache_invalidation_retried("overflow", 1);
            }
        }
        self.0.metrics.cache_invalidations_pending(difference(waiting.keys.len(), before));
        self.0.any.store(true, Ordering::Release);
        if !std::mem::replace(&mut waiting.repeating, true) {
            let this = self.clone();
            self.0.tasks.spawn(async move { this.repeat().await });
        }
    }

    /// Repeats until nothing is left.
    async fn repeat(self) {
        loop {
            tokio::time::sleep(PAUSE).await;
            self.expire();
            while let Some(batch) = self.next_batch() {
                let keys: Vec<CacheKey> = batch.iter().map(|(key, _)| key.clone()).collect();
                if self.0.cache.invalidate(&keys).await.is_err() {
                    self.0.metrics.cache_invalidation_retried("failed", keys.len() as u64);
                    break;
                }
                self.carried_out(&batch);
            }
            let mut waiting = self.waiting();
            if waiting.keys.is_empty() && waiting.all_until.is_none() {
                waiting.repeating = false;
                self.0.any.store(false, Ordering::Release);
                return;
            }
        }
    }

    fn next_batch(&self) -> Option<Vec<(CacheKey, u64)>> {
        let waiting = self.waiting();
        let batch: Vec<_> =
            waiting.keys.iter().take(KEYS_AT_ONCE).map(|(key, entry)| (key.clone(), entry.number)).collect();
        (!batch.is_empty()).then_some(batch)
    }

    fn carried_out(&self, batch: &[(CacheKey, u64)]) {
        let mut waiting = self.waiting();
        let before = waiting.keys.len();
        for (key, number) in batch {
            if waiting.keys.get(key).is_some_and(|entry| entry.number == *number) {
                waiting.keys.remove(key);
            }
        }
        let change = difference(waiting.keys.len(), before);
        self.0.metrics.cache_invalidations_pending(change);
        self.0.metrics.cache_invalidation_retried("carried_out", change.unsigned_abs());
    }

    /// Drops what has become needless: entries from before it have expired by themselves.
    fn expire(&self) {
        let now = Instant::now();
        let mut waiting = self.waiting();
        let before = waiting.keys.len();
        waiting.keys.retain(|_, entry| entry.until > now);
        waiting.all_until = waiting.all_until.filter(|until| *until > now);
        let change = difference(waiting.keys.len(), before);
        self.0.metrics.cache_invalidations_pending(change);
        self.0.metrics.cache_invalidation_retried("expired", change.unsigned_abs());
    }

    /// Waits until nothing is left, not longer than `deadline`.
    pub(super) async fn finish(&self, deadline: Duration) {
        self.0.tasks.close();
        if tokio::time::timeout(deadline, self.0.tasks.wait()).await.is_err() {
            let keys = self.waiting().keys.len();
            let seconds = self.0.longest.as_secs();
            tracing::error!(
                keys,
                "the cache could not be told of the last writes: other instances may serve what was there \
                 before them for at most {seconds} s"
            );
        }
    }
}

fn difference(after: usize, before: usize) -> i64 {
    let count = |keys: usize| i64::try_from(keys).unwrap_or(i64::MAX);
    count(after) - count(before)
}

#[cfg(test)]
mod tests;
