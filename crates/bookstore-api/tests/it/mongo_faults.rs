//! Faults between the service and MongoDB: answers are what they should be or `503` with `Retry-After`,
//! each in time; afterwards the service is back within two seconds and what it confirmed is there.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use mongodb::bson::doc;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::mongo_server::Scratch;
use crate::servers::Proxy;
use crate::service::{PATIENCE, Reply, Service, Start};

/// A store operation has five seconds; a request may take several, and this machine its time.
const DEADLINE: Duration = Duration::from_secs(9);
/// Longest way back after a fault.
const RECOVERY: Duration = Duration::from_secs(2);

struct Stage {
    service: Arc<Service>,
    proxy: Proxy,
    // Dropped last: the service still uses it.
    _start: Start,
    _scratch: Scratch,
}

impl Stage {
    async fn new() -> Self {
        let proxy = Proxy::to_mongodb().await;
        let scratch = Scratch::at(&proxy.mongodb_uri());
        let start = Start::without_provider().environment("MONGODB_URI", &scratch.uri);
        Self { service: Arc::new(start.serve()), proxy, _start: start, _scratch: scratch }
    }

    /// Asks for one of everything while there is a fault; yields the ids of books that were confirmed.
    async fn ask(&self, round: usize, known: &str, checked: &mut BTreeSet<u16>) -> Vec<String> {
        let (service, path) = (&self.service, format!("/api/v1/books/{known}"));
        let draft = json!({ "title": format!("Written in round {round}") });
        let requests = [
            service.request(Method::GET, "/api/v1/books?limit=5"),
            service.request(Method::GET, "/api/v1/books?q=written&sort=relevance"),
            service.request(Method::GET, &path),
            service.request(Method::GET, "/api/v1/authors"),
            service.request(Method::PUT, &path).json(&json!({ "title": format!("Known {round}") })),
            service.request(Method::POST, "/api/v1/books").json(&draft),
            service
                .request(Method::POST, "/api/v1/books")
                .header("idempotency-key", format!("r{round}"))
                .json(&draft),
            service.request(Method::GET, "/health/ready"),
        ];
        let asked = requests.map(|request| async move {
            let began = Instant::now();
            let reply = service.send(request).await;
            assert!(began.elapsed() < DEADLINE, "after {:?}: {reply:?}", began.elapsed());
            reply
        });
        let mut confirmed = Vec::new();
        for reply in join_all(asked).await {
            checked.insert(reply.status);
            match reply.status {
                200 => {}
                201 => confirmed.push(reply.json()["id"].as_str().unwrap().to_owned()),
                _ => unavailable(&reply),
            }
        }
        confirmed
    }

    /// Waits for the first success; how long that took.
    async fn recovery(&self) -> Duration {
        let began = Instant::now();
        let mut asked = JoinSet::new();
        while began.elapsed() < PATIENCE {
            // A new question every time, beside those that still wait.
            let service = Arc::clone(&self.service);
            asked.spawn(async move { service.get("/api/v1/books?limit=1").await.status });
            let until = tokio::time::sleep(Duration::from_millis(50));
            tokio::pin!(until);
            loop {
                tokio::select! {
                    () = &mut until => break,
                    Some(status) = asked.join_next() => {
                        if status.unwrap() == 200 {
                            return began.elapsed();
                        }
                    }
                }
            }
        }
        panic!("the service does not come back");
    }
}

#[track_caller]
fn unavailable(reply: &Reply) {
    assert_eq!(reply.status, 503, "{reply:?}");
    let problem = reply.json();
    let code = problem["code"].as_str().unwrap();
    assert!(["store_unavailable", "not_ready"].contains(&code), "{problem}");
    assert!(reply.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0), "{reply:?}");
}

/// What a fault has to do.
enum Effect {
    /// Nothing comes through.
    Down,
    /// Some does.
    Slow,
}

async fn fault(kind: &str, attributes: Value, effect: Effect) {
    let stage = Stage::new().await;
    let known = stage.service.book("Known").await;
    let (mut statuses, mut confirmed) = (BTreeSet::new(), vec![known.clone()]);
    for round in 0..2 {
        if kind == "down" {
            stage.proxy.enable(false).await;
        } else {
            stage.proxy.fault(kind, attributes.clone()).await;
        }
        confirmed.extend(stage.ask(2 * round, &known, &mut statuses).await);
        confirmed.extend(stage.ask(2 * round + 1, &known, &mut statuses).await);
        if kind == "down" {
            stage.proxy.enable(true).await;
        } else {
            stage.proxy.heal().await;
        }
        let recovery = stage.recovery().await;
        println!("{kind}: back after {recovery:?}; statuses so far {statuses:?}");
        assert!(recovery < RECOVERY, "{kind}: back after {recovery:?}");
    }
    match effect {
        Effect::Down => assert!(statuses.contains(&503) && !statuses.contains(&201), "{statuses:?}"),
        Effect::Slow => assert!(statuses.contains(&200), "{statuses:?}"),
    }
    for id in confirmed {
        stage.service.get(&format!("/api/v1/books/{id}")).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_line() {
    fault("latency", json!({ "latency": 150, "jitter": 50 }), Effect::Slow).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_too_slow() {
    fault("latency", json!({ "latency": 6_000 }), Effect::Down).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_line() {
    fault("timeout", json!({ "timeout": 0 }), Effect::Down).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_resets() {
    fault("reset_peer", json!({ "timeout": 0 }), Effect::Down).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thin_line() {
    fault("bandwidth", json!({ "rate": 20 }), Effect::Slow).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_down() {
    fault("down", Value::Null, Effect::Down).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_connection_fails_no_read() {
    let stage = Stage::new().await;
    stage.service.book("Known").await;
    for _ in 0..5 {
        stage.service.get("/api/v1/books?limit=1").await.expect(200);
        // All connections are cut, and the server is there again at once.
        stage.proxy.enable(false).await;
        stage.proxy.enable(true).await;
        stage.service.get("/api/v1/books?limit=2").await.expect(200);
    }
}

#[test]
fn a_server_that_is_not_there_at_the_start_is_named() {
    let output = Start::without_provider()
        .environment("MONGODB_URI", "mongodb://user:canary@127.0.0.1:9/bookstore")
        .run(&[]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let line = text.lines().last().unwrap();
    assert!(line.contains("127.0.0.1:9") && line.contains("unset MONGODB_URI"), "{line}");
    assert!(!text.contains("canary"), "{text}");
}

#[test]
fn a_server_that_never_answers_at_the_start_is_given_up() {
    // Connections are taken by the kernel, and nobody answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let began = Instant::now();
    let output =
        Start::without_provider().environment("MONGODB_URI", &format!("mongodb://{address}/x")).run(&[]);
    assert!(began.elapsed() < PATIENCE);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.lines().last().unwrap().contains(&address.to_string()), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_a_newer_schema_is_left_alone() {
    let scratch = Scratch::new();
    let facts = scratch.collection("facts").await;
    facts.insert_one(doc! { "_id": "schema", "version": 99 }).await.unwrap();
    let start = Start::without_provider().environment("MONGODB_URI", &scratch.uri);
    let output = tokio::task::spawn_blocking(move || start.run(&[])).await.unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let line = text.lines().last().unwrap();
    assert!(line.contains("schema version 99") && line.contains(scratch.name()), "{line}");
    assert_eq!(facts.count_documents(doc! {}).await.unwrap(), 1);
    assert!(scratch.collection("books").await.list_index_names().await.unwrap_or_default().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_the_service_names_no_host() {
    let stage = Stage::new().await;
    stage.proxy.enable(false).await;
    let reply = stage.service.get("/api/v1/books?limit=3").await;
    unavailable(&reply);
    assert!(!reply.text.contains("127.0.0.1"), "{reply:?}");
}
