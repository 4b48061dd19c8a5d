//! What everyone who grants leases has to keep to. Written against the port; each adapter is held to
//! it at the end, by one test a clause.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bookstore_api::leases::local::LocalLeases;
use bookstore_api::leases::{Acquisition, Holding, LASTS, Lease, Leases};
use telemetry::Metrics;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(50);

async fn acquired(leases: &dyn Leases, key: &str, token: &str, lasts: Duration) -> Lease {
    match leases.acquire(key, token, lasts).await.unwrap() {
        Acquisition::Acquired(lease) => lease,
        held @ Acquisition::Held { .. } => panic!("{key} is {held:?}"),
    }
}

async fn ended() {
    tokio::time::sleep(SHORT * 4).await;
}

async fn one_holds_and_the_others_are_told(leases: Arc<dyn Leases>) {
    let leases = leases.as_ref();
    let first = acquired(leases, "one", "a", LONG).await;
    let year_2024 = 1_700_000_000_000_000;
    assert!(first.fence > year_2024, "{first:?}");
    let held = Acquisition::Held { fence: first.fence };
    assert_eq!(leases.acquire("one", "b", LONG).await.unwrap(), held);
    assert_eq!(acquired(leases, "one", "a", LONG).await, first, "the same token, the same lease");
    acquired(leases, "another", "b", LONG).await;

    let not_mine = Lease { token: "b".to_owned(), ..first.clone() };
    assert!(!leases.release(&not_mine).await.unwrap());
    assert!(!leases.renew(&not_mine, LONG).await.unwrap());
    assert_eq!(leases.acquire("one", "b", LONG).await.unwrap(), held);
    assert!(leases.release(&first).await.unwrap());
    assert!(!leases.release(&first).await.unwrap());
    let second = acquired(leases, "one", "b", LONG).await;
    assert!(second.fence > first.fence, "{second:?} {first:?}");
}

async fn a_lease_ends_unless_it_is_renewed(leases: Arc<dyn Leases>) {
    let leases = leases.as_ref();
    let first = acquired(leases, "ends", "a", SHORT).await;
    ended().await;
    let second = acquired(leases, "ends", "b", LONG).await;
    assert!(second.fence > first.fence);
    assert!(!leases.renew(&first, LONG).await.unwrap());
    assert!(!leases.release(&first).await.unwrap());
    assert_eq!(
        leases.acquire("ends", "c", LONG).await.unwrap(),
        Acquisition::Held { fence: second.fence },
        "who lost it took it away"
    );

    let renewed = acquired(leases, "renewed", "a", SHORT).await;
    assert!(leases.renew(&renewed, LONG).await.unwrap());
    ended().await;
    assert_eq!(
        leases.acquire("renewed", "b", LONG).await.unwrap(),
        Acquisition::Held { fence: renewed.fence }
    );
}

async fn one_that_ended_or_was_forgotten_is_renewed_while_nobody_has_it(leases: Arc<dyn Leases>) {
    let leases = leases.as_ref();
    let lease = acquired(leases, "forgotten", "a", SHORT).await;
    ended().await;
    assert!(leases.renew(&lease, LONG).await.unwrap());
    assert_eq!(
        leases.acquire("forgotten", "b", LONG).await.unwrap(),
        Acquisition::Held { fence: lease.fence }
    );
}

async fn of_many_who_compete_one_holds_at_a_time_with_a_growing_fence(leases: Arc<dyn Leases>) {
    let (inside, mut everybody) = (Arc::new(AtomicU32::new(0)), JoinSet::new());
    for number in 0..20 {
        let (leases, inside) = (Arc::clone(&leases), Arc::clone(&inside));
        everybody.spawn(async move {
            loop {
                let token = format!("competitor-{number}");
                let Acquisition::Acquired(lease) = leases.acquire("many", &token, LONG).await.unwrap() else {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    continue;
                };
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two hold it");
                tokio::time::sleep(Duration::from_millis(1)).await;
                inside.fetch_sub(1, Ordering::SeqCst);
                assert!(leases.release(&lease).await.unwrap());
                return lease.fence;
            }
        });
    }
    let mut fences = everybody.join_all().await;
    fences.sort_unstable();
    fences.dedup();
    assert_eq!(fences.len(), 20, "a fence came twice");
}

async fn who_holds_one_renews_it_until_released_or_dropped(leases: Arc<dyn Leases>) {
    let tasks = TaskTracker::new();
    let hold = |lease| Holding::new(Arc::clone(&leases), lease, tasks.clone(), Metrics::unregistered());
    let held = hold(acquired(leases.as_ref(), "held", "a", LASTS).await);
    let dropped = hold(acquired(leases.as_ref(), "dropped", "a", LASTS).await);
    let fence = held.fence();
    tokio::time::sleep(LASTS + Duration::from_secs(1)).await;
    assert_eq!(leases.acquire("held", "b", LONG).await.unwrap(), Acquisition::Held { fence });
    held.release().await;
    acquired(leases.as_ref(), "held", "b", LONG).await;
    drop(dropped);
    tasks.close();
    tasks.wait().await;
    acquired(leases.as_ref(), "dropped", "b", LONG).await;
}

/// One test a clause for what `$open` makes.
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
            one_holds_and_the_others_are_told
            a_lease_ends_unless_it_is_renewed
            one_that_ended_or_was_forgotten_is_renewed_while_nobody_has_it
            of_many_who_compete_one_holds_at_a_time_with_a_growing_fence
            who_holds_one_renews_it_until_released_or_dropped
        }
    };
}

mod local {
    contract! { super::LocalLeases::default() }
}

#[cfg(feature = "integration")]
mod redis {
    use bookstore_api::leases::redis::RedisLeases;
    use bookstore_api::leases::{Acquisition, Leases};
    use bookstore_api::redis_link::RedisLink;
    use secrecy::SecretString;

    use super::{LONG, acquired};
    use crate::servers::{OwnRedis, namespace, redis_url};

    fn leases(url: String, namespace: &str) -> RedisLeases {
        RedisLeases::new(RedisLink::new(&SecretString::from(url)).unwrap(), namespace)
    }

    contract! { super::redis::leases(redis_url(), &namespace()) }

    #[tokio::test]
    async fn processes_exclude_each_other() {
        let namespace = namespace();
        let [one, other] = [(); 2].map(|()| leases(redis_url(), &namespace));
        let lease = acquired(&one, "shared", "a", LONG).await;
        let held = other.acquire("shared", "b", LONG).await.unwrap();
        assert_eq!(held, Acquisition::Held { fence: lease.fence });
        assert!(one.release(&lease).await.unwrap());
        let next = acquired(&other, "shared", "b", LONG).await;
        assert!(other.release(&next).await.unwrap());
    }

    #[tokio::test]
    async fn fences_grow_over_a_flush_and_a_restart() {
        let mut server = OwnRedis::start();
        let leases = leases(server.url(), "flushed");
        let first = acquired(&leases, "a", "a", LONG).await;
        server.command(&["FLUSHALL"]);
        let second = acquired(&leases, "a", "b", LONG).await;
        assert!(second.fence > first.fence);
        assert!(!leases.renew(&first, LONG).await.unwrap());
        server.restart();
        let third = acquired(&leases, "a", "c", LONG).await;
        assert!(third.fence > second.fence);
    }

    #[tokio::test]
    async fn without_a_server_there_are_none() {
        let mut server = OwnRedis::start();
        let leases = leases(server.url(), "away");
        let lease = acquired(&leases, "a", "a", LONG).await;
        server.stop();
        assert_eq!(leases.acquire("b", "b", LONG).await.unwrap_err().kind(), "unavailable");
        assert_eq!(leases.renew(&lease, LONG).await.unwrap_err().kind(), "unavailable");
        server.restart();
        acquired(&leases, "b", "b", LONG).await;
    }
}
