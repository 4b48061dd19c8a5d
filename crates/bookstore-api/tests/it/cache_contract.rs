//! What every cache has to keep to. Written against the port; each adapter is held to it at the end,
//! by one test a clause.

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
    assert!(cache.fill(key, &ticket, Bytes::from_static(text.as_bytes()), time_to_live).await.unwrap());
}

async fn what_was_filled_is_hit(cache: Arc<dyn Cache>) {
    let cache = cache.as_ref();
    assert_eq!(value(cache, &key("hit")).await, None);
    put(cache, &key("hit"), "one", LONG).await;
    assert_eq!(value(cache, &key("hit")).await.as_deref(), Some(b"one".as_slice()));
    assert_eq!(value(cache, &CacheKey::new(Area::Author, "hit")).await, None, "areas are apart");
    assert_eq!(value(cache, &key("hi")).await, None);
}

async fn an_entry_ends_with_its_time(cache: Arc<dyn Cache>) {
    let cache = cache.as_ref();
    put(cache, &key("short"), "one", Duration::from_millis(30)).await;
    put(cache, &key("long"), "two", LONG).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(value(cache, &key("short")).await, None);
    assert!(value(cache, &key("long")).await.is_some());
    put(cache, &key("short"), "again", LONG).await;
    assert_eq!(value(cache, &key("short")).await.as_deref(), Some(b"again".as_slice()));
}

async fn a_fill_from_before_an_invalidation_is_refused(cache: Arc<dyn Cache>) {
    let cache = cache.as_ref();
    let key = key("stale");
    let old = ticket(cache, &key).await;
    cache.invalidate(std::slice::from_ref(&key)).await.unwrap();
    assert!(!cache.fill(&key, &old, Bytes::from_static(b"stale"), LONG).await.unwrap());
    assert_eq!(value(cache, &key).await, None);
    // One that was read afterwards is taken.
    put(cache, &key, "fresh", LONG).await;
    assert_eq!(value(cache, &key).await.as_deref(), Some(b"fresh".as_slice()));
}

async fn an_invalidation_takes_its_keys_and_leaves_the_others(cache: Arc<dyn Cache>) {
    let cache = cache.as_ref();
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

async fn a_fill_that_races_an_invalidation_leaves_nothing_stale(cache: Arc<dyn Cache>) {
    for round in 0..300 {
        let key = key(&format!("race-{round}"));
        let old = ticket(cache.as_ref(), &key).await;
        let start = Arc::new(Barrier::new(2));
        let mut race = JoinSet::new();
        race.spawn({
            let (cache, key, start) = (Arc::clone(&cache), key.clone(), Arc::clone(&start));
            async move {
                start.wait().await;
                cache.fill(&key, &old, Bytes::from_static(b"stale"), LONG).await.unwrap();
            }
        });
        race.spawn({
            let (cache, key) = (Arc::clone(&cache), key.clone());
            async move {
                start.wait().await;
                cache.invalidate(&[key]).await.unwrap();
            }
        });
        race.join_all().await;
        assert_eq!(value(cache.as_ref(), &key).await, None, "round {round}");
    }
}

async fn who_misses_between_two_invalidations_sees_one_ticket(cache: Arc<dyn Cache>) {
    let cache = cache.as_ref();
    let key = key("shared");
    let first = ticket(cache, &key).await;
    assert_eq!(ticket(cache, &key).await, first);
    cache.invalidate(std::slice::from_ref(&key)).await.unwrap();
    let second = ticket(cache, &key).await;
    assert_ne!(second, first);
    assert_eq!(ticket(cache, &key).await, second);
}

async fn any_bytes_and_names_come_back(cache: Arc<dyn Cache>) {
    let cache = cache.as_ref();
    let bytes: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    for (number, value) in [b"".as_slice(), b"L", b"V", b"null", b"\r\n$-1\r\n", &bytes].iter().enumerate() {
        let key = key(&format!("odd {number}: *{{}}\r\n\u{1f40b}"));
        let ticket = ticket(cache, &key).await;
        assert!(cache.fill(&key, &ticket, Bytes::copy_from_slice(value), LONG).await.unwrap());
        assert_eq!(cache.get(&key).await.unwrap(), Lookup::Hit(Bytes::copy_from_slice(value)));
        cache.invalidate(&[key]).await.unwrap();
    }
}

async fn thousands_of_keys_are_invalidated_at_once(cache: Arc<dyn Cache>) {
    let cache = cache.as_ref();
    let keys: Vec<CacheKey> = (0..1_234).map(|number| key(&format!("bulk-{number}"))).collect();
    for key in [&keys[0], &keys[499], &keys[500], &keys[1_233]] {
        put(cache, key, "here", LONG).await;
    }
    cache.invalidate(&keys).await.unwrap();
    for key in [&keys[0], &keys[499], &keys[500], &keys[1_233]] {
        assert_eq!(value(cache, key).await, None, "{key:?}");
    }
}

async fn it_answers(cache: Arc<dyn Cache>) {
    cache.ping().await.unwrap();
}

/// One test a clause for the cache that `$open` makes.
macro_rules! contract {
    ($open:expr; $($clause:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $clause() {
                super::$clause(std::sync::Arc::new($open)).await;
            }
        )*
    };
    ($open:expr) => {
        contract! { $open;
            what_was_filled_is_hit
            an_entry_ends_with_its_time
            a_fill_from_before_an_invalidation_is_refused
            an_invalidation_takes_its_keys_and_leaves_the_others
            a_fill_that_races_an_invalidation_leaves_nothing_stale
            who_misses_between_two_invalidations_sees_one_ticket
            any_bytes_and_names_come_back
            thousands_of_keys_are_invalidated_at_once
            it_answers
        }
    };
}

mod memory {
    contract! { super::MemoryCache::new(1 << 20) }
}

#[cfg(feature = "integration")]
mod redis {
    use std::time::Duration;

    use bookstore_api::cache::redis::RedisCache;
    use bookstore_api::cache::{Cache, CacheError, FillTicket};
    use bookstore_api::redis_link::RedisLink;
    use bytes::Bytes;
    use secrecy::SecretString;

    use super::{LONG, key, ticket, value};
    use crate::servers::{OwnRedis, namespace, redis_url};

    fn link(url: &str) -> RedisLink {
        RedisLink::new(&SecretString::from(url.to_owned())).unwrap()
    }

    contract! { RedisCache::new(super::redis::link(&redis_url()), &namespace()) }

    #[tokio::test]
    async fn instances_share_values_and_tickets() {
        let namespace = namespace();
        let [one, other] = [(); 2].map(|()| RedisCache::new(link(&redis_url()), &namespace));
        let key = key("shared");
        let seen = ticket(&one, &key).await;
        assert_eq!(ticket(&other, &key).await, seen);
        assert!(other.fill(&key, &seen, Bytes::from_static(b"theirs"), LONG).await.unwrap());
        assert!(
            !one.fill(&key, &seen, Bytes::from_static(b"mine"), LONG).await.unwrap(),
            "one fill a ticket"
        );
        assert_eq!(value(&one, &key).await.as_deref(), Some(b"theirs".as_slice()));
        let apart = RedisCache::new(link(&redis_url()), &crate::servers::namespace());
        assert_eq!(value(&apart, &key).await, None);
        one.invalidate(std::slice::from_ref(&key)).await.unwrap();
        assert_eq!(value(&other, &key).await, None);
    }

    #[tokio::test]
    async fn a_flush_voids_tickets_and_a_restart_forgets_no_script() {
        let mut server = OwnRedis::start();
        let cache = RedisCache::new(link(&server.url()), "flushed");
        let old = ticket(&cache, &key("a")).await;
        server.command(&["FLUSHALL"]);
        assert!(!cache.fill(&key("a"), &old, Bytes::from_static(b"stale"), LONG).await.unwrap());
        let held = ticket(&cache, &key("b")).await;
        assert!(cache.fill(&key("b"), &held, Bytes::from_static(b"fresh"), LONG).await.unwrap());
        let old = ticket(&cache, &key("a")).await;
        server.restart();
        // The connection is gone, the script too; neither is the caller's trouble.
        assert!(!cache.fill(&key("a"), &old, Bytes::from_static(b"stale"), LONG).await.unwrap());
        let fresh = ticket(&cache, &key("a")).await;
        assert!(cache.fill(&key("a"), &fresh, Bytes::from_static(b"fresh"), LONG).await.unwrap());
        assert_eq!(value(&cache, &key("a")).await.as_deref(), Some(b"fresh".as_slice()));
    }

    #[tokio::test]
    async fn what_is_not_ours_is_refused_and_can_be_invalidated() {
        let server = OwnRedis::start();
        let cache = RedisCache::new(link(&server.url()), "foreign");
        server.command(&["SET", "foreign:v1:book:a", "?"]);
        server.command(&["LPUSH", "foreign:v1:book:b", "?"]);
        for key in [key("a"), key("b")] {
            assert!(matches!(cache.get(&key).await, Err(CacheError::Refused(_))));
            let ticket = FillTicket::Nonce(Bytes::from_static(b"none"));
            assert!(!cache.fill(&key, &ticket, Bytes::new(), LONG).await.unwrap_or(false));
            cache.invalidate(std::slice::from_ref(&key)).await.unwrap();
            assert_eq!(value(&cache, &key).await, None);
        }
    }

    #[tokio::test]
    async fn a_password_opens_and_never_shows() {
        let server = OwnRedis::start();
        server.command(&["CONFIG", "SET", "requirepass", "canary-4711"]);
        let url = |password: &str| server.url().replace("://", &format!("://:{password}@"));
        RedisCache::new(link(&url("canary-4711")), "n").ping().await.unwrap();
        for wrong in ["canary-4712", ""] {
            let cache = RedisCache::new(link(&url(wrong)), "n");
            let error = cache.ping().await.unwrap_err();
            assert!(!format!("{error:?} {error}").contains("canary"), "{error:?}");
        }
        for unusable in ["redis://:canary@", "redis://:canary@h:1:2", "redis://:canary@h/x", "canary"] {
            let error = RedisLink::new(&SecretString::from(unusable)).err().unwrap();
            assert!(!format!("{error:?} {error}").contains("canary"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_server_that_is_away_fails_at_once_and_is_used_when_it_is_back() {
        let mut server = OwnRedis::start();
        let cache = RedisCache::new(link(&server.url()), "away");
        super::put(&cache, &key("a"), "there", LONG).await;
        server.stop();
        let began = std::time::Instant::now();
        for _ in 0..1_000 {
            assert!(matches!(cache.get(&key("a")).await, Err(CacheError::Unavailable(_))));
        }
        assert!(began.elapsed() < Duration::from_secs(20), "each waited: {:?}", began.elapsed());
        server.restart();
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert_eq!(value(&cache, &key("a")).await, None);
        super::put(&cache, &key("a"), "again", LONG).await;
    }
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
