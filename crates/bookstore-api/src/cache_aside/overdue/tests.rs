//! Overdue invalidations, over a cache that fails when told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use telemetry::Metrics;

use super::{MOST, Overdue};
use crate::cache::memory::MemoryCache;
use crate::cache::{Area, Cache, CacheError, CacheKey, FillTicket, Lookup};

const LONG: Duration = Duration::from_secs(60);

struct Failing {
    cache: MemoryCache,
    fails: AtomicBool,
}

#[async_trait]
impl Cache for Failing {
    async fn get(&self, key: &CacheKey) -> Result<Lookup, CacheError> {
        self.cache.get(key).await
    }

    async fn fill(
        &self,
        key: &CacheKey,
        ticket: &FillTicket,
        value: Bytes,
        time_to_live: Duration,
    ) -> Result<bool, CacheError> {
        self.cache.fill(key, ticket, value, time_to_live).await
    }

    async fn invalidate(&self, keys: &[CacheKey]) -> Result<(), CacheError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(CacheError::Unavailable("it was told to".to_owned()));
        }
        self.cache.invalidate(keys).await
    }

    async fn ping(&self) -> Result<(), CacheError> {
        Ok(())
    }
}

fn stage(longest: Duration) -> (Arc<Failing>, Overdue, Metrics) {
    let cache = Arc::new(Failing { cache: MemoryCache::new(1 << 20), fails: AtomicBool::new(true) });
    let metrics = Metrics::unregistered();
    metrics.start_bookstore_series(&[]);
    (Arc::clone(&cache), Overdue::new(cache, metrics.clone(), longest), metrics)
}

fn key(number: usize) -> CacheKey {
    CacheKey::new(Area::Book, number)
}

#[track_caller]
fn shows(metrics: &Metrics, line: &str) {
    let text = metrics.render();
    assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
}

async fn until(what: impl Fn() -> bool) {
    let began = Instant::now();
    while !what() {
        assert!(began.elapsed() < Duration::from_secs(20), "what was waited for does not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_failed_is_carried_out_once_the_cache_works() {
    let (cache, overdue, metrics) = stage(LONG);
    let Lookup::Miss(ticket) = cache.get(&key(1)).await.unwrap() else { panic!("it is empty") };
    assert!(cache.fill(&key(1), &ticket, Bytes::from_static(b"stale"), LONG).await.unwrap());
    assert!(!overdue.covers(&key(1)));
    overdue.add(&[key(1), key(2)]);
    overdue.add(&[key(2)]);
    assert!(overdue.covers(&key(1)) && overdue.covers(&key(2)) && !overdue.covers(&key(3)));
    shows(&metrics, "bookstore_cache_invalidations_pending 2");
    until(|| !metrics.render().contains(r#"retries_total{outcome="failed"} 0"#)).await;
    assert!(overdue.covers(&key(1)));

    cache.fails.store(false, Ordering::SeqCst);
    until(|| !overdue.covers(&key(1)) && !overdue.covers(&key(2))).await;
    assert!(matches!(cache.get(&key(1)).await.unwrap(), Lookup::Miss(_)));
    shows(&metrics, "bookstore_cache_invalidations_pending 0");
    shows(&metrics, r#"bookstore_cache_invalidation_retries_total{outcome="carried_out"} 2"#);
    // It works a second time.
    cache.fails.store(true, Ordering::SeqCst);
    overdue.add(&[key(1)]);
    assert!(overdue.covers(&key(1)));
    cache.fails.store(false, Ordering::SeqCst);
    overdue.finish(LONG).await;
    assert!(!overdue.covers(&key(1)));
}

#[tokio::test]
async fn what_has_become_needless_is_dropped() {
    let (_cache, overdue, metrics) = stage(Duration::from_millis(300));
    overdue.add(&[key(1)]);
    assert!(overdue.covers(&key(1)));
    until(|| !overdue.covers(&key(1))).await;
    shows(&metrics, r#"bookstore_cache_invalidation_retries_total{outcome="expired"} 1"#);
    shows(&metrics, "bookstore_cache_invalidations_pending 0");
}

#[tokio::test]
async fn more_than_can_be_kept_close_the_whole_cache_for_a_while() {
    let (cache, overdue, metrics) = stage(Duration::from_secs(2));
    let keys: Vec<CacheKey> = (0..=MOST).map(key).collect();
    overdue.add(&keys);
    assert!(overdue.covers(&CacheKey::new(Area::Author, "any")));
    shows(&metrics, r#"bookstore_cache_invalidation_retries_total{outcome="overflow"} 1"#);
    shows(&metrics, &format!("bookstore_cache_invalidations_pending {MOST}"));
    cache.fails.store(false, Ordering::SeqCst);
    until(|| !overdue.covers(&CacheKey::new(Area::Author, "any"))).await;
    shows(&metrics, "bookstore_cache_invalidations_pending 0");
}

#[tokio::test]
async fn a_stop_waits_for_a_moment_only() {
    let (_cache, overdue, _metrics) = stage(LONG);
    overdue.add(&[key(1)]);
    tokio::time::timeout(Duration::from_secs(10), overdue.finish(Duration::from_millis(50))).await.unwrap();
    assert!(overdue.covers(&key(1)));
}
