//! What everyone who counts spending has to keep to. Written against the port; each adapter is held to it
//! at the end, by one test a clause.

use std::sync::Arc;
use std::time::Duration;

use bookstore_api::limits::memory::MemoryLimits;
use bookstore_api::limits::{Bounds, Denial, Epoch, LimitKind, Limits, Reservation, Reserved, Scope, Used};
use bookstore_api::tenants::Tenant;
use chrono::NaiveDate;
use tokio::task::JoinSet;
use uuid::Uuid;

fn day(number: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 11, number).unwrap()
}

fn tenant(name: &str) -> Scope {
    Scope::Tenant(Tenant::named(name).unwrap())
}

fn budget(nanos: u64) -> Bounds {
    Bounds { daily_nanos: Some(nanos), ..Bounds::default() }
}

fn reservation(amount: u64, tokens: u64, bounds: &[(Scope, Bounds)]) -> Reservation {
    Reservation { id: Uuid::now_v7(), day: day(21), amount, tokens, bounds: bounds.to_vec() }
}

async fn done(limits: &dyn Limits, reservation: &Reservation) -> Epoch {
    match limits.reserve(reservation).await.unwrap() {
        Reserved::Done(epoch) => epoch,
        other => panic!("{reservation:?}: {other:?}"),
    }
}

async fn denied(limits: &dyn Limits, reservation: &Reservation) -> Denial {
    match limits.reserve(reservation).await.unwrap() {
        Reserved::Denied(denial) => denial,
        other => panic!("{reservation:?}: {other:?}"),
    }
}

async fn spent(limits: &dyn Limits, scope: &Scope) -> u64 {
    limits.levels(day(21), std::slice::from_ref(scope)).await.unwrap().unwrap()[0].spent
}

async fn nothing_is_spent_before_it_is_known_what_was(limits: Arc<dyn Limits>) {
    let limits = limits.as_ref();
    let scopes = [(tenant("acme"), budget(100)), (Scope::Global, budget(1_000))];
    let first = reservation(30, 0, &scopes);
    assert_eq!(limits.reserve(&first).await.unwrap(), Reserved::Unseeded);
    assert_eq!(limits.levels(day(21), &[Scope::Global]).await.unwrap(), None);
    limits.seed(day(21), &[(tenant("acme"), 60), (Scope::Global, 500)]).await.unwrap();
    // Whoever comes second changes nothing.
    limits.seed(day(21), &[(tenant("acme"), 0), (Scope::Global, 0)]).await.unwrap();
    done(limits, &first).await;
    assert_eq!((spent(limits, &tenant("acme")).await, spent(limits, &Scope::Global).await), (90, 530));
    let denial = denied(limits, &reservation(11, 0, &scopes)).await;
    assert_eq!(
        (denial.scope, denial.kind, denial.limit, denial.left),
        (tenant("acme"), LimitKind::DailyBudget, 100, 10)
    );
    assert_eq!((denial.wait, denial.whole), (None, None), "the next day");
    assert_eq!(denial.held, 30, "what is reserved, and not what was spent before");
    limits.settle(&first, None, Used { amount: 30, tokens: 0 }).await.unwrap();
    let denial = denied(limits, &reservation(11, 0, &scopes)).await;
    assert_eq!((denial.left, denial.held), (10, 0), "it is spent now");
    done(limits, &reservation(10, 0, &scopes)).await;
    // Another day is another budget, and has to be known first as well.
    let next = Reservation { day: day(22), ..reservation(100, 0, &scopes) };
    assert_eq!(limits.reserve(&next).await.unwrap(), Reserved::Unseeded);
    limits.seed(day(22), &[]).await.unwrap();
    done(limits, &next).await;
    assert_eq!(spent(limits, &tenant("acme")).await, 100);
}

async fn all_scopes_are_charged_or_none(limits: Arc<dyn Limits>) {
    let limits = limits.as_ref();
    limits.seed(day(21), &[(Scope::Global, 95)]).await.unwrap();
    let scopes = [
        (tenant("acme"), Bounds { requests_per_minute: Some(1), ..budget(100) }),
        (Scope::Global, budget(100)),
    ];
    let denial = denied(limits, &reservation(10, 0, &scopes)).await;
    assert_eq!((denial.scope, denial.left), (Scope::Global, 5));
    assert_eq!(spent(limits, &tenant("acme")).await, 0);
    // Nor was the call counted.
    done(limits, &reservation(5, 0, &scopes)).await;
    assert_eq!(denied(limits, &reservation(0, 0, &scopes)).await.kind, LimitKind::RequestsPerMinute);
    // What costs nothing no budget forbids, not even one that is overdrawn.
    let free = [(Scope::Global, budget(1))];
    done(limits, &reservation(0, 0, &free)).await;
    assert_eq!(denied(limits, &reservation(1, 0, &free)).await.left, 0);
}

async fn what_was_too_much_is_given_back_once(limits: Arc<dyn Limits>) {
    let limits = limits.as_ref();
    limits.seed(day(21), &[]).await.unwrap();
    let scopes = [(tenant("acme"), budget(100)), (Scope::Global, Bounds::default())];
    let one = reservation(100, 0, &scopes);
    let epoch = done(limits, &one).await;
    assert_eq!(done(limits, &one).await, epoch, "repeated, because the answer was lost");
    assert_eq!(spent(limits, &tenant("acme")).await, 100);
    for _ in 0..3 {
        limits.settle(&one, Some(&epoch), Used { amount: 40, tokens: 0 }).await.unwrap();
        assert_eq!((spent(limits, &tenant("acme")).await, spent(limits, &Scope::Global).await), (40, 40));
    }
    // More than was reserved counts too; without knowing whether it was reserved, as well.
    let two = reservation(50, 0, &scopes);
    done(limits, &two).await;
    limits.settle(&two, None, Used { amount: 70, tokens: 0 }).await.unwrap();
    assert_eq!(spent(limits, &tenant("acme")).await, 110);
    // What never was reserved has nothing to give back.
    let never = reservation(50, 0, &scopes);
    limits.settle(&never, None, Used::default()).await.unwrap();
    limits.settle(&never, Some(&epoch), Used::default()).await.unwrap();
    assert_eq!(spent(limits, &tenant("acme")).await, 110);
}

async fn rates_allow_a_minute_at_once_and_refill(limits: Arc<dyn Limits>) {
    let limits = limits.as_ref();
    // No budget: nothing has to be known.
    let bounds =
        Bounds { tokens_per_minute: Some(60_000), requests_per_minute: Some(600), ..Bounds::default() };
    let scopes = [(tenant("acme"), bounds)];
    done(limits, &reservation(5, 50_000, &scopes)).await;
    let denial = denied(limits, &reservation(5, 20_000, &scopes)).await;
    assert_eq!((denial.kind, denial.limit), (LimitKind::TokensPerMinute, 60_000));
    assert!((10_000..20_000).contains(&denial.left), "{denial:?}");
    let wait = denial.wait.unwrap();
    assert!(wait > Duration::ZERO && wait <= Duration::from_secs(10), "{denial:?}");
    assert!(denial.whole.unwrap() > Duration::from_secs(30), "{denial:?}");
    // A thousand tokens are back after a second.
    done(limits, &reservation(5, denial.left, &scopes)).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    done(limits, &reservation(5, 1_000, &scopes)).await;
    // Another tenant has its own.
    let other = [(tenant("other"), Bounds { requests_per_minute: Some(2), ..Bounds::default() })];
    done(limits, &reservation(0, 0, &other)).await;
    done(limits, &reservation(0, 0, &other)).await;
    let denial = denied(limits, &reservation(0, 0, &other)).await;
    assert_eq!((denial.kind, denial.left), (LimitKind::RequestsPerMinute, 0));
    assert!(denial.wait.unwrap() <= Duration::from_secs(30));
}

async fn tokens_are_corrected_and_large_requests_wait_for_a_full_bucket(limits: Arc<dyn Limits>) {
    let limits = limits.as_ref();
    let scopes = [(tenant("acme"), Bounds { tokens_per_minute: Some(1_000), ..Bounds::default() })];
    let large = reservation(0, 5_000, &scopes);
    let epoch = done(limits, &large).await;
    let denial = denied(limits, &reservation(0, 1, &scopes)).await;
    assert!(denial.left == 0 && denial.wait.unwrap() > Duration::from_secs(200), "{denial:?}");
    for _ in 0..2 {
        limits.settle(&large, Some(&epoch), Used { amount: 0, tokens: 100 }).await.unwrap();
    }
    let denial = denied(limits, &reservation(0, 1_000, &scopes)).await;
    assert!((900..910).contains(&denial.left), "{denial:?}");
    let denial = denied(limits, &reservation(0, 9_000, &scopes)).await;
    assert!(denial.wait.unwrap() <= Duration::from_secs(6), "{denial:?}");
    done(limits, &reservation(0, 900, &scopes)).await;
}

async fn of_many_at_once_no_more_are_allowed_than_the_budget_pays(limits: Arc<dyn Limits>) {
    limits.seed(day(21), &[]).await.unwrap();
    let mut everybody = JoinSet::new();
    for number in 0..300_u64 {
        let limits = Arc::clone(&limits);
        everybody.spawn(async move {
            let wanted = reservation(7, 0, &[(tenant("acme"), budget(700)), (Scope::Global, budget(10_000))]);
            let Reserved::Done(epoch) = limits.reserve(&wanted).await.unwrap() else { return 0 };
            // Some give a part back while others still ask.
            let amount = 7 - number % 3;
            limits.settle(&wanted, Some(&epoch), Used { amount, tokens: 0 }).await.unwrap();
            amount
        });
    }
    let paid: Vec<u64> = everybody.join_all().await.into_iter().filter(|amount| *amount > 0).collect();
    let sum: u64 = paid.iter().sum();
    assert!(paid.len() >= 100 && sum <= 700, "{} paid {sum}", paid.len());
    assert_eq!(spent(limits.as_ref(), &tenant("acme")).await, sum);
    assert_eq!(spent(limits.as_ref(), &Scope::Global).await, sum);
}

async fn figures_are_exact_up_to_a_million_dollars(limits: Arc<dyn Limits>) {
    let limits = limits.as_ref();
    let million = 1_000_000_000_000_000;
    limits.seed(day(21), &[(Scope::Global, million - 3)]).await.unwrap();
    let scopes = [(Scope::Global, budget(million))];
    done(limits, &reservation(1, 0, &scopes)).await;
    assert_eq!(spent(limits, &Scope::Global).await, million - 2);
    assert_eq!(denied(limits, &reservation(3, 0, &scopes)).await.left, 2);
    assert_eq!(denied(limits, &reservation(u64::MAX, u64::MAX, &scopes)).await.left, 2);
    done(limits, &reservation(2, 0, &scopes)).await;
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
            nothing_is_spent_before_it_is_known_what_was
            all_scopes_are_charged_or_none
            what_was_too_much_is_given_back_once
            rates_allow_a_minute_at_once_and_refill
            tokens_are_corrected_and_large_requests_wait_for_a_full_bucket
            of_many_at_once_no_more_are_allowed_than_the_budget_pays
            figures_are_exact_up_to_a_million_dollars
        }
    };
}

mod memory {
    contract! { super::MemoryLimits::default() }
}

#[cfg(feature = "integration")]
mod redis {
    use std::time::{Duration, Instant};

    use bookstore_api::limits::redis::RedisLimits;
    use bookstore_api::limits::{Limits, LimitsError, Reserved, Scope, Used};
    use bookstore_api::redis_link::RedisLink;
    use secrecy::SecretString;

    use super::{budget, day, denied, done, reservation, spent, tenant};
    use crate::servers::{OwnRedis, namespace, redis_url};

    fn limits(url: String, namespace: &str) -> RedisLimits {
        RedisLimits::new(RedisLink::new(&SecretString::from(url)).unwrap(), namespace)
    }

    contract! { super::redis::limits(redis_url(), &namespace()) }

    #[tokio::test]
    async fn processes_share_what_they_spend() {
        let namespace = namespace();
        let [one, other] = [(); 2].map(|()| limits(redis_url(), &namespace));
        one.seed(day(21), &[]).await.unwrap();
        let scopes = [(tenant("acme"), budget(100))];
        let held = reservation(80, 0, &scopes);
        done(&one, &held).await;
        assert_eq!(denied(&other, &reservation(30, 0, &scopes)).await.left, 20);
        // Anyone may settle it.
        other.settle(&held, None, Used { amount: 10, tokens: 0 }).await.unwrap();
        assert_eq!(spent(&one, &tenant("acme")).await, 10);
    }

    /// What was reserved before a loss and is settled after it is never forgotten, nor counted twice.
    async fn loses(lose: impl Fn(&mut OwnRedis)) {
        let mut redis = OwnRedis::start();
        let limits = limits(redis.url(), "flushed");
        limits.seed(day(21), &[]).await.unwrap();
        let scopes = [(tenant("acme"), budget(1_000))];
        let (before, during) = (reservation(100, 0, &scopes), reservation(100, 0, &scopes));
        let epoch = done(&limits, &before).await;
        limits.settle(&before, Some(&epoch), Used { amount: 60, tokens: 0 }).await.unwrap();
        let epoch = done(&limits, &during).await;
        lose(&mut redis);
        assert_eq!(limits.reserve(&reservation(1, 0, &scopes)).await.unwrap(), Reserved::Unseeded);
        assert_eq!(limits.levels(day(21), &[Scope::Global]).await.unwrap(), None);
        // Without successors of the counters there is nothing to correct.
        limits.settle(&before, Some(&epoch), Used { amount: 60, tokens: 0 }).await.unwrap();
        limits.seed(day(21), &[(tenant("acme"), 60), (Scope::Global, 60)]).await.unwrap();
        for _ in 0..2 {
            limits.settle(&during, Some(&epoch), Used { amount: 30, tokens: 0 }).await.unwrap();
        }
        assert_eq!(spent(&limits, &tenant("acme")).await, 90);
        done(&limits, &reservation(910, 0, &scopes)).await;
        denied(&limits, &reservation(1, 0, &scopes)).await;
    }

    #[tokio::test]
    async fn a_flush_is_noticed() {
        loses(|redis| assert_eq!(redis.command(&["FLUSHALL"]).trim(), "OK")).await;
    }

    #[tokio::test]
    async fn a_restart_is_noticed() {
        loses(OwnRedis::restart).await;
    }

    #[tokio::test]
    async fn a_restart_with_what_was_written_last_time_is_noticed() {
        let redis = OwnRedis::start();
        let limits = limits(redis.url(), "stale");
        limits.seed(day(21), &[]).await.unwrap();
        let scopes = [(tenant("acme"), budget(1_000))];
        done(&limits, &reservation(100, 0, &scopes)).await;
        // As after a restart from an old snapshot: everything is there, by another server's name.
        let epoch = redis.command(&["HGET", "stale:v1:spend:2026-11-21", "epoch"]);
        assert!(epoch.trim().len() > 41, "{epoch}");
        redis.command(&["HSET", "stale:v1:spend:2026-11-21", "epoch", "0123456789abcdef:1"]);
        assert_eq!(limits.reserve(&reservation(1, 0, &scopes)).await.unwrap(), Reserved::Unseeded);
        limits.seed(day(21), &[(tenant("acme"), 950)]).await.unwrap();
        assert_eq!(denied(&limits, &reservation(100, 0, &scopes)).await.left, 50);
    }

    #[tokio::test]
    async fn nothing_stays_for_ever() {
        let redis = OwnRedis::start();
        let limits = limits(redis.url(), "expiring");
        limits.seed(day(21), &[]).await.unwrap();
        let bounds = bookstore_api::limits::Bounds { tokens_per_minute: Some(5), ..budget(10) };
        let held = reservation(1, 1, &[(tenant("acme"), bounds)]);
        let epoch = done(&limits, &held).await;
        for key in ["expiring:v1:spend:2026-11-21", "expiring:v1:spend:buckets"] {
            let left: i64 = redis.command(&["TTL", key]).trim().parse().unwrap();
            assert!((172_700..=172_800).contains(&left), "{key}: {left}");
        }
        limits.settle(&held, Some(&epoch), Used::default()).await.unwrap();
        assert_eq!(
            redis.command(&["HLEN", "expiring:v1:spend:2026-11-21"]).trim(),
            "3",
            "epoch, spent and held"
        );
        assert_eq!(redis.command(&["DBSIZE"]).trim(), "2");
    }

    #[tokio::test]
    async fn who_cannot_be_reached_allows_nothing_and_says_so_in_time() {
        let limits = limits("redis://127.0.0.1:9".to_owned(), "x");
        let began = Instant::now();
        let wanted = reservation(1, 1, &[(Scope::Global, budget(10))]);
        assert!(matches!(limits.reserve(&wanted).await, Err(LimitsError::Unavailable(_))));
        assert!(limits.settle(&wanted, None, Used::default()).await.is_err());
        assert!(limits.seed(day(21), &[]).await.is_err() && limits.levels(day(21), &[]).await.is_err());
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}
