//! What every cache has to keep to. Written against the port; each adapter is held to it by one
//! test at the end.

use std::sync::Arc;
use std::time::Duration;

use bookstore_api::cache::memory::MemoryCache;
use bookstore_api::cache::{Area, Cache, CacheKey, FillTicket, Lookup};
use bytes::Bytes;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

const LONG: Duration = Duration::from_secs(60);

fn key(id: &str) -> CacheKey {
    CacheKey::new(Area::Book, id)
}

async fn value(cache: &dyn Cache, key: &CacheKey) -> Option<Bytes> {
    match cache.get(key).await.unwrap() {
        Lookup::Hit(value) => Some(value),
        Lookup::Miss(_) => None,
    }
}

async fn ticket(cache: &dyn Cache, key: &CacheKey) -> FillTicket {
    match cache.get(key).await.unwrap() {
        Lookup::Hit(value) => panic!("{key:?} holds {value:?}"),
        Lookup::Miss(ticket) => ticket,
    }
}

async fn put(cache: &dyn Cache, key: &CacheKey, text: &'static str, time_to_live: Duration) {
    let ticket = ticket(cache, key).await;
    assert!(cache.fill(key, ticket, Bytes::from_static(text.as_bytes()), time_to_live).await.unwrap());
}

async fn what_was_filled_is_hit(cache: &dyn Cache) {
    assert_eq!(value(cache, &key("hit")).await, None);
    put(cache, &key("hit"), "one", LONG).await;
    assert_eq!(value(cache, &key("hit")).await.as_deref(), Some(b"one".as_slice()));
    assert_eq!(value(cache, &CacheKey::new(Area::Author, "hit")).await, None, "areas are apart");
    assert_eq!(value(cache, &key("hi")).await, None);
}

async fn an_entry_ends_with_its_time(cache: &dyn Cache) {
    put(cache, &key("short"), "one", Duration::from_millis(30)).await;
    put(cache, &key("long"), "two", LONG).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(value(cache, &key("short")).await, None);
    assert!(value(cache, &key("long")).await.is_some());
    put(cache, &key("short"), "again", LONG).await;
    assert_eq!(value(cache, &key("short")).await.as_deref(), Some(b"again".as_slice()));
}

async fn a_fill_from_before_an_invalidation_is_refused(cache: &dyn Cache) {
    let key = key("stale");
    let old = ticket(cache, &key).await;
    cache.invalidate(std::slice::from_ref(&key)).await.unwrap();
    assert!(!cache.fill(&key, old, Bytes::from_static(b"stale"), LONG).await.unwrap());
    assert_eq!(value(cache, &key).await, None);
    // One that was read afterwards is taken.
    put(cache, &key, "fresh", LONG).await;
    assert_eq!(value(cache, &key).await.as_deref(), Some(b"fresh".as_slice()));
}

async fn an_invalidation_takes_its_keys_and_leaves_the_others(cache: &dyn Cache) {
    let keys: Vec<CacheKey> = (0..50).map(|number| key(&format!("many-{number}"))).collect();
    for key in &keys {
        put(cache, key, "here", LONG).await;
    }
    cache.invalidate(&keys[..2]).await.unwrap();
    for (number, key) in keys.iter().enumerate() {
        assert_eq!(value(cache, key).await.is_some(), number >= 2, "{key:?}");
    }
    cache.invalidate(&keys[..2]).await.unwrap();
    cache.invalidate(&[]).await.unwrap();
}

async fn a_fill_that_races_an_invalidation_leaves_nothing_stale(cache: &Arc<dyn Cache>) {
    for round in 0..300 {
        let key = key(&format!("race-{round}"));
        let old = ticket(cache.as_ref(), &key).await;
        let start = Arc::new(Barrier::new(2));
        let mut race = JoinSet::new();
        race.spawn({
            let (cache, key, start) = (Arc::clone(cache), key.clone(), Arc::clone(&start));
            async move {
                start.wait().await;
                cache.fill(&key, old, Bytes::from_static(b"stale"), LONG).await.unwrap();
            }
        });
        race.spawn({
            let (cache, key) = (Arc::clone(cache), key.clone());
            async move {
                start.wait().await;
                cache.invalidate(&[key]).await.unwrap();
            }
        });
        race.join_all().await;
        assert_eq!(value(cache.as_ref(), &key).await, None, "round {round}");
    }
}

async fn hold(cache: &Arc<dyn Cache>) {
    what_was_filled_is_hit(cache.as_ref()).await;
    an_entry_ends_with_its_time(cache.as_ref()).await;
    a_fill_from_before_an_invalidation_is_refused(cache.as_ref()).await;
    an_invalidation_takes_its_keys_and_leaves_the_others(cache.as_ref()).await;
    a_fill_that_races_an_invalidation_leaves_nothing_stale(cache).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_cache_keeps_the_contract() {
    let cache: Arc<dyn Cache> = Arc::new(MemoryCache::new(1 << 20));
    hold(&cache).await;
}

#[tokio::test]
async fn the_memory_cache_stays_within_its_bytes() {
    let cache = MemoryCache::new(10_000);
    for number in 0..200 {
        put(&cache, &key(&format!("{number}")), "0123456789".repeat(20).leak(), LONG).await;
    }
    let mut held = 0;
    for number in 0..200 {
        held += value(&cache, &key(&format!("{number}"))).await.map_or(0, |value| value.len());
    }
    // Eviction runs behind the writes, so not to the byte: 40,000 were written.
    assert!(held < 20_000, "{held} bytes are held");
}
