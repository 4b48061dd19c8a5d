//! Several instances that share Redis and a store: they pay once, and a holder that died, stopped or
//! lost its lease stands in nobody's way. Part of `make test-integration`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bookstore_api::leases::LASTS;
use futures::future::join_all;
use rustix::process::Signal;
use serde_json::Value;
use wiremock::Request;

use crate::cache_aside::thousand_cold_reads;
use crate::mongo_server::Scratch;
use crate::servers::{OwnRedis, redis_url};
use crate::service::{Service, Start};
use crate::upstream::{FIRST, Upstream, answer};

/// For what comes after a lease has ended: polling, the provider, a busy machine.
const SLACK: Duration = Duration::from_secs(5);

/// A store that instances share. Outlives them.
pub enum Store {
    /// One data folder.
    Embedded,
    /// One database.
    MongoDb(Scratch),
}

impl Store {
    pub fn share(&self, start: Start) -> Start {
        match self {
            Self::Embedded => start,
            Self::MongoDb(scratch) => start.environment("MONGODB_URI", &scratch.uri),
        }
    }
}

/// Two instances over one store.
fn pair(store: &Store, upstream: &Upstream, redis: &str) -> (Start, Service, Service) {
    let start = store.share(Start::new(&upstream.url()).environment("REDIS_URL", redis));
    let (one, other) = (start.serve(), start.serve());
    (start, one, other)
}

/// An Ollama whose first answer comes after `first` and whose others come at once.
async fn slow_at_first(first: Duration) -> Upstream {
    let calls = AtomicU64::new(0);
    Upstream::with(move |_: &Request| {
        let call = calls.fetch_add(1, Ordering::SeqCst);
        let delay = if call == 0 { first } else { Duration::ZERO };
        answer(&format!("Summary {}.", call + 1), FIRST.0, FIRST.1).set_delay(delay)
    })
    .await
}

fn paying(answers: &[Value]) -> usize {
    answers.iter().filter(|answer| answer["usage"]["outputTokens"] != 0).count()
}

async fn a_thousand_over_two_instances_pay_once_and_nothing_after_a_flush(store: Store) {
    let (upstream, redis) = (Upstream::counting(Duration::from_millis(300)).await, OwnRedis::start());
    let (_start, one, other) = pair(&store, &upstream, &redis.url());
    let book = one.book("Moby-Dick").await;
    let ask = |number| if number % 2 == 0 { one.summarise(&book, "") } else { other.summarise(&book, "") };
    let replies = join_all((0..1_000).map(ask)).await;
    let answers: Vec<Value> = replies.iter().map(|reply| reply.expect(200)).collect();
    assert!(answers.iter().all(|answer| answer["summary"] == "Summary 1."));
    assert_eq!((upstream.calls().await, paying(&answers)), (1, 1));

    for _ in 0..3 {
        redis.command(&["FLUSHALL"]);
        let replies = join_all((0..100).map(ask)).await;
        assert!(replies.iter().all(|reply| reply.expect(200)["cached"] == true));
    }
    assert_eq!(upstream.calls().await, 1);
    let mut generated = 0.0;
    for service in [&one, &other] {
        generated += service.metric("bookstore_summaries_total", &[r#"outcome="generated""#]).await;
    }
    assert!((generated - 1.0).abs() < 1e-9, "{generated} were counted as generated");
}

async fn refreshes_at_once_over_two_instances_share_one_call_and_later_ones_do_not(store: Store) {
    let upstream = Upstream::counting(Duration::from_millis(500)).await;
    let (_start, one, other) = pair(&store, &upstream, &redis_url());
    let book = one.book("Moby-Dick").await;
    one.summarise(&book, "").await.expect(200);
    let first = async { one.summarise(&book, "?refresh=true").await.expect(200) };
    let second = async {
        upstream.wait_for_calls(2).await;
        other.summarise(&book, "?refresh=true").await.expect(200)
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((&first["summary"], &second["summary"]), (&Value::from("Summary 2."), &first["summary"]));
    assert_eq!((upstream.calls().await, paying(&[first, second])), (2, 1));
    for (service, calls) in [(&one, 3), (&other, 4), (&one, 5)] {
        let anew = service.summarise(&book, "?refresh=true").await.expect(200);
        assert_eq!(anew["summary"], format!("Summary {calls}."), "refresh always asks");
    }
}

async fn a_killed_holder_is_followed_by_one_call(store: Store) {
    let upstream = slow_at_first(Duration::from_secs(120)).await;
    let (start, holder, other) = pair(&store, &upstream, &redis_url());
    let third = start.serve();
    let book = other.book("Moby-Dick").await;
    let lost = holder.request(reqwest::Method::POST, &format!("/api/v1/books/{book}/generate-summary"));
    let lost = tokio::task::JoinSet::from_iter([lost.send()]);
    upstream.wait_for_calls(1).await;
    let wait = async {
        let ask = |number| {
            if number % 2 == 0 { other.summarise(&book, "") } else { third.summarise(&book, "") }
        };
        join_all((0..20).map(ask)).await
    };
    let kill = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        holder.signal(Signal::KILL);
        Instant::now()
    };
    let (replies, killed) = tokio::join!(wait, kill);
    let waited = killed.elapsed();
    assert!(lost.join_all().await[0].is_err());
    let answers: Vec<Value> = replies.iter().map(|reply| reply.expect(200)).collect();
    assert!(answers.iter().all(|answer| answer["summary"] == "Summary 2."));
    assert_eq!((upstream.calls().await, paying(&answers)), (2, 1), "exactly one more call");
    println!("after kill -9 the others had their answers within {waited:?}");
    assert!(waited < LASTS + SLACK, "{waited:?}");
}

async fn a_holder_that_lost_its_lease_does_not_store_over_the_next_ones_result(store: Store) {
    let upstream = slow_at_first(LASTS).await;
    let (_start, holder, other) = pair(&store, &upstream, &redis_url());
    let book = other.book("Moby-Dick").await;
    let late = async { holder.summarise(&book, "").await.expect(200) };
    let next = async {
        upstream.wait_for_calls(1).await;
        // As a machine does that is suspended: it is not dead, and does not know.
        holder.signal(Signal::STOP);
        let next = other.summarise(&book, "").await.expect(200);
        tokio::time::sleep(Duration::from_millis(500)).await;
        holder.signal(Signal::CONT);
        next
    };
    let (late, next) = tokio::join!(late, next);
    assert_eq!(next["summary"], "Summary 2.");
    assert_eq!(late["summary"], "Summary 1.", "who paid gets the answer");
    assert_eq!(paying(&[late, next]), 2);
    for service in [&holder, &other] {
        assert_eq!(service.summarise(&book, "").await.expect(200)["summary"], "Summary 2.");
        let shown = service.get(&format!("/api/v1/books/{book}")).await.expect(200);
        assert_eq!(shown["summary"], "Summary 2.");
    }
    assert_eq!(upstream.calls().await, 2);
}

async fn a_call_longer_than_the_lease_is_made_once(store: Store) {
    let upstream = Upstream::counting(LASTS + LASTS / 2).await;
    let (_start, one, other) = pair(&store, &upstream, &redis_url());
    let book = one.book("Moby-Dick").await;
    let ask = |number| if number % 2 == 0 { one.summarise(&book, "") } else { other.summarise(&book, "") };
    let replies = join_all((0..20).map(ask)).await;
    let answers: Vec<Value> = replies.iter().map(|reply| reply.expect(200)).collect();
    assert_eq!((upstream.calls().await, paying(&answers)), (1, 1));
    let mut counted = [0.0; 3];
    for service in [&one, &other] {
        for (sum, outcome) in counted.iter_mut().zip(["acquired", "held", "lost"]) {
            *sum += service.metric("bookstore_leases_total", &[&format!("outcome=\"{outcome}\"")]).await;
        }
    }
    // Who waited acquires it in the end, to look whether anything is left to do.
    assert_eq!(counted.map(|count| count as u64), [2, 1, 0]);
}

async fn a_callers_leaving_frees_the_lease_at_once(store: Store) {
    let upstream = slow_at_first(Duration::from_secs(120)).await;
    let (_start, one, other) = pair(&store, &upstream, &redis_url());
    let book = other.book("Moby-Dick").await;
    let leaving = one.request(reqwest::Method::POST, &format!("/api/v1/books/{book}/generate-summary"));
    tokio::select! {
        answer = leaving.send() => panic!("answered before its caller left: {answer:?}"),
        () = upstream.wait_for_calls(1) => {}
    }
    let began = Instant::now();
    other.summarise(&book, "").await.expect(200);
    assert!(began.elapsed() < LASTS, "{:?}: the lease was waited out", began.elapsed());
}

async fn a_thousand_at_once_read_a_cold_book_from_the_store_once(store: Store) {
    let start = store.share(Start::without_provider().environment("REDIS_URL", &redis_url()));
    let reads = thousand_cold_reads(&start.serve()).await;
    assert!((reads - 1.0).abs() < 1e-9, "{reads} reads");
}

async fn what_one_instance_writes_the_other_reads(store: Store) {
    let start = store.share(Start::without_provider().environment("REDIS_URL", &redis_url()));
    let (one, other) = (start.serve(), start.serve());
    let book = one.book("Moby-Dick").await;
    let path = format!("/api/v1/books/{book}");
    for round in 0..50 {
        let title = format!("Title {round}");
        let (writer, reader) = if round % 2 == 0 { (&one, &other) } else { (&other, &one) };
        for service in [writer, reader] {
            service.get(&path).await.expect(200);
        }
        writer.put(&path, &serde_json::json!({ "title": title })).await.expect(200);
        for service in [reader, writer] {
            assert_eq!(service.get(&path).await.expect(200)["title"], *title);
        }
    }
    let hits = other.metric("bookstore_cache_requests_total", &[r#"cache="book""#, r#"outcome="hit""#]).await;
    assert!(hits >= 25.0, "{hits} hits: the cache is not used");
    other.delete(&path).await.expect(204);
    one.get(&path).await.problem(404, "book_not_found");
}

/// One test a clause for the store that `$store` makes.
macro_rules! instances {
    ($store:expr; $($clause:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $clause() {
                super::$clause($store).await;
            }
        )*
    };
    ($store:expr) => {
        instances! { $store;
            a_thousand_over_two_instances_pay_once_and_nothing_after_a_flush
            refreshes_at_once_over_two_instances_share_one_call_and_later_ones_do_not
            a_killed_holder_is_followed_by_one_call
            a_holder_that_lost_its_lease_does_not_store_over_the_next_ones_result
            a_call_longer_than_the_lease_is_made_once
            a_callers_leaving_frees_the_lease_at_once
            a_thousand_at_once_read_a_cold_book_from_the_store_once
            what_one_instance_writes_the_other_reads
        }
    };
}

mod embedded {
    instances! { super::Store::Embedded }
}

mod mongodb {
    instances! { super::Store::MongoDb(super::Scratch::new()) }
}
