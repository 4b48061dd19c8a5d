//! Faults between the service and Redis: no request fails, nothing that this instance wrote is
//! forgotten, and the end of a fault is noticed within two seconds. Part of `make test-integration`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};

use crate::servers::{OwnRedis, Proxy, redis_url};
use crate::service::{Service, Start};
use crate::upstream::Upstream;

/// From a fault's end until the cache is used again and what it missed is made up for.
const RECOVERY: Duration = Duration::from_secs(2);
/// Time to live of entries where it bounds something.
const TIME_TO_LIVE: Duration = Duration::from_secs(2);
/// What a busy machine may add.
const SLACK: Duration = Duration::from_secs(1);

/// An instance behind a proxy, one with Redis at hand, and books that both have cached.
struct Stage {
    proxy: Proxy,
    cut: Service,
    near: Service,
    books: Vec<String>,
    _start: Start,
}

impl Stage {
    async fn new(time_to_live: Duration) -> Self {
        let proxy = Proxy::to_redis().await;
        let seconds = time_to_live.as_secs().to_string();
        let start = Start::without_provider().argument("--cache-ttl-seconds", &seconds);
        let start = start.environment("REDIS_URL", &proxy.redis_url());
        let cut = start.serve();
        let start = start.environment("REDIS_URL", &redis_url());
        let near = start.serve();
        let mut books = Vec::new();
        for number in 0..5 {
            books.push(format!("/api/v1/books/{}", near.book(&format!("Book {number}")).await));
        }
        let this = Self { proxy, cut, near, books, _start: start };
        for service in [&this.cut, &this.near] {
            for book in &this.books {
                service.get(book).await.expect(200);
            }
        }
        this
    }
}

async fn hits(service: &Service) -> f64 {
    service.metric("bookstore_cache_requests_total", &[r#"cache="book""#, r#"outcome="hit""#]).await
}

async fn title(service: &Service, book: &str) -> Value {
    service.get(book).await.expect(200)["title"].clone()
}

/// Reads and writes on the cut instance for as long as told; no answer but 200, and each read after
/// a write shows it. The slowest answer and how many there were.
async fn goes_on(stage: &Stage, on: &AtomicBool) -> (Duration, usize) {
    let work = stage.books.iter().enumerate().map(async |(number, book)| {
        let (mut slowest, mut answers) = (Duration::ZERO, 0);
        for round in 0.. {
            if !on.load(Ordering::Relaxed) {
                break;
            }
            let wanted = format!("Book {number}, round {round}");
            let began = Instant::now();
            stage.cut.put(book, &json!({ "title": wanted })).await.expect(200);
            slowest = slowest.max(began.elapsed());
            for _ in 0..4 {
                let began = Instant::now();
                assert_eq!(title(&stage.cut, book).await, *wanted);
                slowest = slowest.max(began.elapsed());
                answers += 1;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        (slowest, answers)
    });
    let all = join_all(work).await;
    all.into_iter().reduce(|one, other| (one.0.max(other.0), one.1 + other.1)).unwrap()
}

/// How long it takes until the cut instance hits again, nothing is pending, and the near one sees
/// what was written.
async fn recovered(stage: &Stage) -> Duration {
    let began = Instant::now();
    let before = hits(&stage.cut).await;
    loop {
        let mut fresh = true;
        for book in &stage.books {
            fresh &= title(&stage.near, book).await == title(&stage.cut, book).await;
        }
        let pending = stage.cut.metric("bookstore_cache_invalidations_pending", &[]).await;
        if fresh && pending == 0.0 && hits(&stage.cut).await > before {
            return began.elapsed();
        }
        assert!(began.elapsed() < Duration::from_secs(20), "fresh {fresh}, {pending} pending");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Puts a fault on, works under it, takes it away.
async fn survives(name: &str, put: impl AsyncFn(&Proxy), take: impl AsyncFn(&Proxy)) -> Service {
    let stage = Stage::new(Duration::from_secs(300)).await;
    let before = hits(&stage.cut).await;
    title(&stage.cut, &stage.books[0]).await;
    assert!(hits(&stage.cut).await > before, "the cache was not used before the fault");
    put(&stage.proxy).await;
    let on = AtomicBool::new(true);
    let wait = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        on.store(false, Ordering::Relaxed);
    };
    let ((slowest, answers), ()) = tokio::join!(goes_on(&stage, &on), wait);
    take(&stage.proxy).await;
    let recovery = recovered(&stage).await;
    println!("{name}: {answers} reads, slowest answer {slowest:?}, recovered within {recovery:?}");
    assert!(recovery < RECOVERY, "{name}: {recovery:?}");
    stage.cut
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn latency() {
    let fault = json!({ "latency": 800, "jitter": 200 });
    survives("latency", async |proxy| proxy.fault("latency", fault.clone()).await, Proxy::heal).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_never_come() {
    let fault = json!({ "timeout": 0 });
    survives("timeout", async |proxy| proxy.fault("timeout", fault.clone()).await, Proxy::heal).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_reset() {
    let fault = json!({ "timeout": 0 });
    survives("reset_peer", async |proxy| proxy.fault("reset_peer", fault.clone()).await, Proxy::heal).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_narrow_line() {
    let fault = json!({ "rate": 1 });
    survives("bandwidth", async |proxy| proxy.fault("bandwidth", fault.clone()).await, Proxy::heal).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_down() {
    let service =
        survives("down", async |proxy| proxy.enable(false).await, async |proxy| proxy.enable(true).await)
            .await;
    let log = service.log();
    let lines = |text: &str| log.iter().filter(|line| line.contains(text)).count();
    assert_eq!(lines("Redis cannot be reached"), 1, "one event an outage: {log:#?}");
    assert_eq!(lines("Redis answers again"), 1, "{log:#?}");
    let carried_out =
        service.metric("bookstore_cache_invalidation_retries_total", &[r#"outcome="carried_out""#]).await;
    assert!(carried_out >= 1.0, "{carried_out} invalidations were carried out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_off_one_instance_leaves_the_other_stale_for_no_longer_than_the_time_to_live() {
    let stage = Stage::new(TIME_TO_LIVE).await;
    stage.proxy.enable(false).await;
    let (mut stalest, mut stale) = (Duration::ZERO, 0);
    for round in 0..3 {
        for (number, book) in stage.books.iter().enumerate().take(2) {
            // What the near one has cached, the cut one writes.
            title(&stage.near, book).await;
            let wanted = format!("Book {number}, cut off {round}");
            stage.cut.put(book, &json!({ "title": wanted })).await.expect(200);
            let written = Instant::now();
            assert_eq!(title(&stage.cut, book).await, *wanted, "an instance reads its own writes");
            while title(&stage.near, book).await != *wanted {
                stale += 1;
                assert!(written.elapsed() < TIME_TO_LIVE + SLACK, "stale for {:?}", written.elapsed());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            stalest = stalest.max(written.elapsed());
            // The other way round nothing is stale: the cut one reads the store.
            let wanted = format!("Book {number}, near {round}");
            stage.near.put(book, &json!({ "title": wanted })).await.expect(200);
            assert_eq!(title(&stage.cut, book).await, *wanted);
            assert_eq!(title(&stage.near, book).await, *wanted);
        }
        if round == 0 {
            let ready = stage.cut.get("/health/ready").await.expect(200);
            assert_eq!(
                (&ready["status"], &ready["dependencies"]["cache"]),
                (&json!("ready"), &json!("down"))
            );
        }
    }
    println!(
        "cut off: {stale} stale reads, the oldest {stalest:?} after the write; time to live {TIME_TO_LIVE:?}"
    );
    assert!(stale > 0, "nothing was stale: this test proves nothing");
    stage.proxy.enable(true).await;
    recovered(&stage).await;
    assert_eq!(stage.cut.get("/health/ready").await.expect(200)["dependencies"]["cache"], "up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_summaries_are_made_once_an_instance_and_kept() {
    let upstream = Upstream::counting(Duration::from_millis(300)).await;
    let mut redis = OwnRedis::start();
    let start = Start::new(&upstream.url()).environment("REDIS_URL", &redis.url());
    let services = [start.serve(), start.serve()];
    let book = services[0].book("Moby-Dick").await;
    redis.stop();
    let replies = join_all((0..100).map(|number| services[number % 2].summarise(&book, ""))).await;
    assert!(replies.iter().all(|reply| reply.status == 200), "{replies:#?}");
    let calls = upstream.calls().await;
    assert!((1..=2).contains(&calls), "{calls} calls by two instances");
    let outcome = r#"outcome="unavailable""#;
    assert!(services[0].metric("bookstore_leases_total", &[outcome]).await >= 1.0);
    // A new one replaces what was made under a lease before the outage, and the other way round.
    for (number, calls) in [(0, calls + 1), (1, calls + 2)] {
        let anew = services[number].summarise(&book, "?refresh=true").await.expect(200);
        assert_eq!(anew["summary"], format!("Summary {calls}."));
        let shown = services[1 - number].summarise(&book, "").await.expect(200);
        assert_eq!(shown["summary"], anew["summary"]);
        if number == 0 {
            redis.restart();
            assert_eq!(services[1].get("/health/ready").await.expect(200)["dependencies"]["cache"], "up");
        }
    }
}

#[tokio::test]
async fn a_server_behind_tls_is_used_only_if_its_certificate_holds() {
    let redis = OwnRedis::start_with_tls();
    for (trusted, cache) in [(true, "up"), (false, "down")] {
        let mut start = Start::without_provider().environment("REDIS_URL", &redis.tls_url());
        if trusted {
            start = start.environment("SSL_CERT_FILE", redis.authority().to_str().unwrap());
        }
        let service = start.serve();
        let ready = service.get("/health/ready").await.expect(200);
        assert_eq!(ready["dependencies"]["cache"], cache, "trusted: {trusted}");
        let book = format!("/api/v1/books/{}", service.book("Moby-Dick").await);
        for _ in 0..2 {
            service.get(&book).await.expect(200);
        }
        assert_eq!(hits(&service).await >= 1.0, trusted);
    }
}

#[tokio::test]
async fn redis_may_come_after_the_service_and_its_password_is_never_shown() {
    let mut redis = OwnRedis::start();
    redis.stop();
    let url = redis.url().replace("://", "://:canary-4711@");
    let start = Start::without_provider().environment("REDIS_URL", &url);
    let service = start.serve();
    let book = service.book("Moby-Dick").await;
    let path = format!("/api/v1/books/{book}");
    for _ in 0..10 {
        service.get(&path).await.expect(200);
    }
    redis.restart();
    redis.command(&["CONFIG", "SET", "requirepass", "canary-4711"]);
    let began = Instant::now();
    while hits(&service).await < 1.0 {
        service.get(&path).await.expect(200);
        assert!(began.elapsed() < Duration::from_secs(20), "Redis is not used: {:#?}", service.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let log = service.stop();
    assert!(!log.iter().any(|line| line.contains("canary")), "{log:#?}");
}

#[tokio::test]
async fn a_stop_waits_only_a_moment_for_invalidations_that_fail() {
    let stage = Stage::new(Duration::from_secs(300)).await;
    stage.proxy.enable(false).await;
    stage.cut.put(&stage.books[0], &json!({ "title": "Never told" })).await.expect(200);
    let began = Instant::now();
    let log = stage.cut.stop();
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert!(log.iter().any(|line| line.contains("could not be told of the last writes")), "{log:#?}");
}
