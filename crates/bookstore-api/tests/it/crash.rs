//! `kill -9` in the middle of writes: what was acknowledged is there, and nothing is there twice.
//!
//! Writers own their books, so that each can find out after a crash whether its last write was carried
//! out. Creations carry an `Idempotency-Key` and are simply repeated. `CRASH_KILLS` and `CRASH_WRITES`
//! make it longer (`make soak-crash`).

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::service::{PATIENCE, Service, Start};

const WRITERS: u64 = 8;

#[expect(clippy::disallowed_methods, reason = "a longer run is asked for in the environment")]
fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

/// A book as its writer knows it.
struct Book {
    title: String,
    version: u64,
}

struct Writer {
    client: Client,
    base: String,
    name: u64,
    books: BTreeMap<String, Book>,
    deleted: Vec<String>,
    serial: u64,
    /// Answers that were lost, so that the writer had to find out.
    unsure: u64,
    acknowledged: Arc<AtomicU64>,
}

impl Writer {
    /// Sends until there is an answer that is not the crash's.
    async fn send(&self, request: impl Fn() -> reqwest::RequestBuilder) -> (StatusCode, Value) {
        for _ in 0..2_000 {
            match request().send().await {
                Ok(response) if response.status() != StatusCode::SERVICE_UNAVAILABLE => {
                    let status = response.status();
                    if let Ok(text) = response.text().await {
                        return (status, serde_json::from_str(&text).unwrap_or_default());
                    }
                }
                _ => {}
            }
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
        panic!("the service does not come back");
    }

    async fn once(&self, request: reqwest::RequestBuilder) -> Option<(StatusCode, Value)> {
        let response = request.send().await.ok()?;
        let status = response.status();
        let text = response.text().await.ok()?;
        (status != StatusCode::SERVICE_UNAVAILABLE)
            .then(|| (status, serde_json::from_str(&text).unwrap_or_default()))
    }

    fn url(&self, id: &str) -> String {
        format!("{}/api/v1/books/{id}", self.base)
    }

    fn next_title(&mut self) -> String {
        self.serial += 1;
        format!("Book {} of {}", self.serial, self.name)
    }

    async fn create(&mut self) {
        let title = self.next_title();
        let key = title.replace(' ', "-");
        let (status, book) = self
            .send(|| {
                let request = self.client.post(format!("{}/api/v1/books", self.base));
                request.header("Idempotency-Key", &key).json(&json!({ "title": title }))
            })
            .await;
        assert_eq!(status, StatusCode::CREATED, "{book}");
        assert_eq!((&book["title"], &book["version"]), (&json!(title), &json!(1)));
        let id = book["id"].as_str().unwrap().to_owned();
        assert!(self.books.insert(id, Book { title, version: 1 }).is_none(), "one book for two keys");
    }

    async fn change(&mut self, id: &str) {
        let title = self.next_title();
        let before = self.books[id].version;
        let mut sure = true;
        loop {
            let request = self.client.put(self.url(id)).header("If-Match", format!("\"{before}\""));
            match self.once(request.json(&json!({ "title": title }))).await {
                Some((StatusCode::OK, book)) => {
                    assert_eq!(book["version"], before + 1);
                    break;
                }
                // The lost answer was a success, or somebody else wrote: the title tells.
                Some((StatusCode::PRECONDITION_FAILED, _)) if !sure => break,
                Some(other) => panic!("{other:?}"),
                None => {
                    sure = false;
                    self.unsure += 1;
                    tokio::time::sleep(Duration::from_millis(15)).await;
                }
            }
        }
        self.books.insert(id.to_owned(), Book { title, version: before + 1 });
    }

    async fn delete(&mut self, id: String) {
        let (status, answer) = self.send(|| self.client.delete(self.url(&id))).await;
        assert!(matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_FOUND), "{status} {answer}");
        self.books.remove(&id);
        self.deleted.push(id);
    }

    async fn write(&mut self, turn: u64) {
        let some = self.books.keys().nth(usize::try_from(turn).unwrap() % self.books.len().max(1)).cloned();
        match (turn % 8, some) {
            (3..=5, Some(id)) => self.change(&id).await,
            (7, Some(id)) => self.delete(id).await,
            _ => self.create().await,
        }
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }
}

async fn crash(start: Start) {
    let (kills, writes) = (number("CRASH_KILLS", 5), number("CRASH_WRITES", 5_000));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let start = start.argument("--http-port", &port.to_string());
    let mut service = start.serve();
    let acknowledged = Arc::new(AtomicU64::new(0));
    let mut writers = JoinSet::new();
    for name in 0..WRITERS {
        let mut writer = Writer {
            client: Client::builder().timeout(PATIENCE).no_proxy().build().unwrap(),
            base: format!("http://127.0.0.1:{port}"),
            name,
            books: BTreeMap::new(),
            deleted: Vec::new(),
            serial: 0,
            unsure: 0,
            acknowledged: Arc::clone(&acknowledged),
        };
        writers.spawn(async move {
            for turn in 0..writes / WRITERS {
                writer.write(turn + name).await;
            }
            writer
        });
    }
    for kill in 1..=kills {
        let due = writes * kill / (kills + 1);
        while acknowledged.load(Ordering::Relaxed) < due {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        service.signal(Signal::KILL);
        service.wait();
        if kills > 10 {
            println!("{kill} kills, {} writes acknowledged", acknowledged.load(Ordering::Relaxed));
        }
        service = start.serve();
    }
    let writers = writers.join_all().await;
    let unsure: u64 = writers.iter().map(|writer| writer.unsure).sum();
    verify(&service, &writers).await;
    service.stop();
    let check = start.run(&["check", "--json"]);
    let report: Value = serde_json::from_slice(&check.stdout).unwrap();
    assert!(check.status.success(), "{report}");
    let books: usize = writers.iter().map(|writer| writer.books.len()).sum();
    assert_eq!(report["books"], books, "a book is lost or doubled");
    println!(
        "{kills} kills, {} writes acknowledged, {unsure} answers lost on the way, {books} books: as written",
        acknowledged.load(Ordering::Relaxed)
    );
}

/// Every book is as its writer left it.
async fn verify(service: &Service, writers: &[Writer]) {
    for writer in writers {
        for (id, book) in &writer.books {
            let found = service.get(&format!("/api/v1/books/{id}")).await.expect(200);
            assert_eq!((&found["title"], &found["version"]), (&json!(book.title), &json!(book.version)));
        }
        for id in &writer.deleted {
            let request = service.request(Method::GET, &format!("/api/v1/books/{id}"));
            assert_eq!(service.send(request).await.status, 404, "{id} came back");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_writers_lose_and_double_nothing() {
    crash(Start::without_provider()).await;
}

#[cfg(feature = "integration")]
#[tokio::test(flavor = "multi_thread")]
async fn killed_writers_lose_and_double_nothing_in_mongodb() {
    let database = crate::mongo_server::Scratch::new();
    crash(Start::without_provider().environment("MONGODB_URI", &database.uri)).await;
}
