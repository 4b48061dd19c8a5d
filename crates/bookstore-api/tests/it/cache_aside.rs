//! The cache-aside policy: what its readers may be given, over a cache that two instances share and
//! over one that is out of reach; and a cold book asked for by everybody at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bookstore_api::cache::memory::MemoryCache;
use bookstore_api::cache::{Area, Cache, CacheError, CacheKey, FillTicket, Lookup};
use bookstore_api::cache_aside::CacheAside;
use bytes::Bytes;
use futures::future::join_all;
use telemetry::Metrics;
use tokio::sync::Semaphore;

use crate::service::{Service, Start};

const LONG: Duration = Duration::from_secs(60);

fn key() -> CacheKey {
    CacheKey::new(Area::Book, "hot")
}

fn aside(cache: &Arc<dyn Cache>) -> CacheAside {
    CacheAside::new(Arc::clone(cache), Metrics::unregistered(), LONG)
}

/// A store of one number, whose reads can be held up after they have read.
#[derive(Clone)]
struct Store {
    value: Arc<AtomicU64>,
    loads: Arc<AtomicU64>,
    pass: Arc<Semaphore>,
}

impl Store {
    fn new(passes: usize) -> Self {
        Self { value: Arc::default(), loads: Arc::default(), pass: Arc::new(Semaphore::new(passes)) }
    }

    async fn read(&self, aside: &CacheAside) -> u64 {
        let this = self.clone();
        let load = async move {
            let value = this.value.load(Ordering::SeqCst);
            this.loads.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(5)).await;
            this.pass.acquire().await.unwrap().forget();
            Ok(Some(value))
        };
        aside.read(key(), load).await.unwrap().value.unwrap()
    }

    async fn write(&self, aside: &CacheAside, value: u64) {
        self.value.store(value, Ordering::SeqCst);
        aside.invalidate(&[key()]).await;
    }
}

async fn later(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A reader whose load is slow, then a write by `writer`, then a reader on the slow one's instance.
async fn a_question_after_a_write_is_not_answered_from_before_it(
    reader: CacheAside,
    writer: CacheAside,
) -> CacheAside {
    let store = Store::new(0);
    let slow = tokio::task::JoinSet::from_iter([{
        let (store, reader) = (store.clone(), reader.clone());
        async move { store.read(&reader).await }
    }]);
    later(|| store.loads.load(Ordering::SeqCst) == 1).await;
    store.write(&writer, 7).await;
    let fresh = store.read(&reader);
    let release = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        store.pass.add_permits(1_000);
    };
    let (fresh, ()) = tokio::join!(fresh, release);
    assert_eq!(fresh, 7);
    slow.join_all().await;
    assert_eq!(store.read(&reader).await, 7, "the slow load filled over the write");
    reader
}

#[tokio::test]
async fn no_read_after_a_write_of_this_or_another_instance_is_older_than_it() {
    let cache: Arc<dyn Cache> = Arc::new(MemoryCache::new(1 << 20));
    let (one, other) = (aside(&cache), aside(&cache));
    a_question_after_a_write_is_not_answered_from_before_it(one.clone(), one).await;
    other.invalidate(&[key()]).await;
    a_question_after_a_write_is_not_answered_from_before_it(other, aside(&cache)).await;
}

/// A cache that nobody reaches.
struct Away;

#[async_trait]
impl Cache for Away {
    async fn get(&self, _key: &CacheKey) -> Result<Lookup, CacheError> {
        self.ping().await.map(|()| unreachable!("it is away"))
    }

    async fn fill(
        &self,
        _key: &CacheKey,
        _ticket: &FillTicket,
        _value: Bytes,
        _time_to_live: Duration,
    ) -> Result<bool, CacheError> {
        self.ping().await.map(|()| false)
    }

    async fn invalidate(&self, _keys: &[CacheKey]) -> Result<(), CacheError> {
        self.ping().await
    }

    async fn ping(&self) -> Result<(), CacheError> {
        Err(CacheError::Unavailable("it is away".to_owned()))
    }
}

#[tokio::test]
async fn without_a_cache_reads_are_fresh_and_still_share_loads() {
    let cache: Arc<dyn Cache> = Arc::new(Away);
    let aside =
        a_question_after_a_write_is_not_answered_from_before_it(aside(&cache), self::aside(&cache)).await;
    let store = Store::new(1_000);
    join_all((0..1_000).map(|_| store.read(&aside))).await;
    let loads = store.loads.load(Ordering::SeqCst);
    assert!(loads <= 2, "{loads} loads: one under way and one for who came meanwhile would do");
}

/// A cache whose third look-up is told what it found only later.
struct Dawdling {
    cache: MemoryCache,
    looks: AtomicU64,
    pass: Semaphore,
}

#[async_trait]
impl Cache for Dawdling {
    async fn get(&self, key: &CacheKey) -> Result<Lookup, CacheError> {
        let found = self.cache.get(key).await;
        if self.looks.fetch_add(1, Ordering::SeqCst) == 2 {
            self.pass.acquire().await.unwrap().forget();
        }
        found
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
        self.cache.invalidate(keys).await
    }

    async fn ping(&self) -> Result<(), CacheError> {
        Ok(())
    }
}

#[tokio::test]
async fn who_missed_before_a_load_and_comes_after_it_looks_again() {
    let cache = MemoryCache::new(1 << 20);
    let cache = Arc::new(Dawdling { cache, looks: AtomicU64::new(0), pass: Semaphore::new(0) });
    let store = Store::new(10);
    let aside = CacheAside::new(cache.clone(), Metrics::unregistered(), LONG);
    // The first looks, joins, looks again and loads; meanwhile the second has missed, too.
    let first = async {
        store.read(&aside).await;
        cache.pass.add_permits(1);
    };
    tokio::join!(first, store.read(&aside));
    assert_eq!(cache.looks.load(Ordering::SeqCst), 4);
    assert_eq!(store.loads.load(Ordering::SeqCst), 1, "what was cached by then was loaded again");
}

#[tokio::test]
async fn what_another_version_cached_is_as_good_as_nothing() {
    let cache: Arc<dyn Cache> = Arc::new(MemoryCache::new(1 << 20));
    let Lookup::Miss(ticket) = cache.get(&key()).await.unwrap() else { panic!("it is empty") };
    cache.fill(&key(), &ticket, Bytes::from_static(b"{\"shape\":2}"), LONG).await.unwrap();
    let store = Store::new(10);
    assert_eq!(store.read(&aside(&cache)).await, 0);
    store.read(&aside(&cache)).await;
    store.read(&aside(&cache)).await;
    assert_eq!(store.loads.load(Ordering::SeqCst), 2, "then it is cached anew");
}

/// Asks for a book that nobody has read, a thousand times at once; how often the store was read.
pub async fn thousand_cold_reads(service: &Service) -> f64 {
    let book = service.book("Moby-Dick").await;
    let path = format!("/api/v1/books/{book}");
    let replies = join_all((0..1_000).map(|_| service.get(&path))).await;
    assert!(replies.iter().all(|reply| reply.status == 200));
    let looked = service.metric("bookstore_cache_requests_total", &[r#"cache="book""#]).await;
    assert!((looked - 1_000.0).abs() < 1e-9, "{looked} look-ups");
    service.metric("bookstore_store_operation_duration_seconds_count", &[r#"operation="book""#]).await
}

#[tokio::test]
async fn a_thousand_at_once_read_a_cold_book_from_the_store_once() {
    let service = Start::without_provider().serve();
    let reads = thousand_cold_reads(&service).await;
    assert!((reads - 1.0).abs() < 1e-9, "{reads} reads");
}
