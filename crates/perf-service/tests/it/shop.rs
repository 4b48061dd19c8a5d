//! A shop to put under load: the part of bookstore-api's wire contract that the scenarios use, in
//! memory, counting what it is asked.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router, middleware};
use http_server::ListenSettings;
use serde_json::{Value, json};
use telemetry::Metrics;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A running shop; it closes when dropped.
pub struct Shop {
    pub address: SocketAddr,
    shelves: Arc<Shelves>,
    _open: JoinSet<()>,
}

#[derive(Default)]
struct Shelves {
    requests: AtomicU64,
    summaries: AtomicU64,
    made: Mutex<BTreeMap<String, Value>>,
    /// Held for reading by whoever is let in; for writing, nobody is.
    door: tokio::sync::RwLock<()>,
    /// Dollars that a summary of a provider is billed with.
    billing: Mutex<f64>,
    /// Whether who asks for a summary waits forever.
    mute: AtomicBool,
    /// Whether every summary is made, paid for and then refused.
    squeamish: AtomicBool,
    /// Dollars for a million tokens of its only provider; absent where it does not say.
    price: Mutex<Option<f64>>,
}

impl Shop {
    pub async fn open() -> Self {
        Self::of(None, Duration::ZERO).await
    }

    /// One that takes its time for every answer.
    pub async fn slow(by: Duration) -> Self {
        Self::of(None, by).await
    }

    /// One that asks for a token on every write.
    pub async fn guarded_by(token: Option<&str>) -> Self {
        Self::of(token, Duration::ZERO).await
    }

    async fn of(token: Option<&str>, pause: Duration) -> Self {
        let shelves = Arc::new(Shelves::default());
        let counted = Arc::clone(&shelves);
        let router = Router::new()
            .route("/api/v1/books", get(books).post(make))
            .route("/api/v1/books/{id}", get(book).put(replace).delete(remove))
            .route("/api/v1/books/{id}/generate-summary", axum::routing::post(summary))
            .route("/api/v1/authors", get(authors).post(make))
            .route("/api/v1/authors/{id}", get(author).delete(remove))
            .with_state(Arc::clone(&shelves))
            .layer(middleware::from_fn(move |request, next: middleware::Next| {
                counted.requests.fetch_add(1, Ordering::Relaxed);
                let shelves = Arc::clone(&counted);
                async move {
                    drop(shelves.door.read().await);
                    tokio::time::sleep(pause).await;
                    next.run(request).await
                }
            }))
            // Not counted: perf-service asks, and not k6.
            .merge(
                Router::new().route("/api/v1/llm/providers", get(providers)).with_state(Arc::clone(&shelves)),
            );
        let token = token.map(|token| http_server::ApiToken::given(token.to_owned().into()));
        let router = http_server::require_token(router, token);
        let settings = ListenSettings {
            address: Ipv4Addr::LOCALHOST.into(),
            allowed_hosts: vec!["*".to_owned()],
            ..ListenSettings::default()
        };
        let listener = http_server::bind(&settings).await.unwrap();
        let address = listener.local_addr();
        let mut open = JoinSet::new();
        open.spawn(async move {
            let stop = CancellationToken::new();
            http_server::serve(listener, router, Metrics::unregistered(), stop).await.unwrap();
        });
        Self { address, shelves, _open: open }
    }

    /// `TARGETS` with this shop alone.
    pub fn targets(&self) -> String {
        format!("local=http://{}", self.address)
    }

    /// Answers nothing for so long; from when to when, in microseconds since 1970.
    pub async fn stall(&self, long: Duration) -> (i64, i64) {
        let closed = self.shelves.door.write().await;
        let from = chrono::Utc::now().timestamp_micros();
        tokio::time::sleep(long).await;
        let to = chrono::Utc::now().timestamp_micros();
        drop(closed);
        (from, to)
    }

    /// Never answers who asks for a summary.
    pub fn fall_silent(&self) {
        self.shelves.mute.store(true, Ordering::Relaxed);
    }

    /// Refuses every summary that a provider has made, and says what the provider takes for a million tokens.
    pub fn refuse_summaries(&self, price: Option<f64>) {
        self.shelves.squeamish.store(true, Ordering::Relaxed);
        *self.shelves.price.lock().unwrap() = price;
    }

    /// Takes so many dollars for each summary that a provider writes.
    pub fn bill(&self, dollars: f64) {
        *self.shelves.billing.lock().unwrap() = dollars;
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.shelves.requests.load(Ordering::Relaxed)
    }

    /// Books and authors that visitors made and did not take away.
    pub fn made(&self) -> usize {
        self.shelves.made.lock().unwrap().len()
    }

    /// Summaries so far.
    pub fn summaries(&self) -> u64 {
        self.shelves.summaries.load(Ordering::Relaxed)
    }
}

fn shelved() -> Vec<Value> {
    ["The Lighthouse", "Gardens of Winter", "A Harbour Story"]
        .iter()
        .zip(1..)
        .map(|(title, number)| {
            json!({
                "id": format!("00000000-0000-7000-8000-{number:012}"), "title": title, "version": 1,
                "authors": [{"id": "00000000-0000-7000-9000-000000000001", "name": "Someone"}],
            })
        })
        .collect()
}

async fn books(
    State(shelves): State<Arc<Shelves>>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Json<Value> {
    let made = shelves.made.lock().unwrap();
    // What a run made it finds again by its marker.
    let items: Vec<Value> = match query.get("q").filter(|words| words.starts_with("run")) {
        Some(marker) => {
            let has_it = |item: &&Value| item["title"].as_str().is_some_and(|title| title.ends_with(marker));
            made.values().filter(has_it).cloned().collect()
        }
        None => shelved(),
    };
    Json(json!({ "total": items.len(), "items": items }))
}

async fn book(Path(id): Path<String>) -> Result<Json<Value>, StatusCode> {
    shelved().into_iter().find(|book| book["id"] == id).map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn make(State(shelves): State<Arc<Shelves>>, Json(mut item): Json<Value>) -> (StatusCode, Json<Value>) {
    let id = Uuid::now_v7().to_string();
    item["id"] = id.clone().into();
    item["version"] = 1.into();
    shelves.made.lock().unwrap().insert(id, item.clone());
    (StatusCode::CREATED, Json(item))
}

async fn replace(Path(id): Path<String>, Json(mut item): Json<Value>) -> Json<Value> {
    item["id"] = id.into();
    item["version"] = 2.into();
    Json(item)
}

async fn remove(State(shelves): State<Arc<Shelves>>, Path(id): Path<String>) -> StatusCode {
    let removed = shelves.made.lock().unwrap().remove(&id);
    if removed.is_some() { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

async fn authors(Query(query): Query<BTreeMap<String, String>>) -> Json<Value> {
    let own = query.get("q").is_some_and(|words| words.starts_with("run"));
    let items = if own { vec![] } else { vec![someone("00000000-0000-7000-9000-000000000001")] };
    Json(json!({ "total": items.len(), "items": items }))
}

async fn author(Path(id): Path<String>) -> Json<Value> {
    Json(someone(&id))
}

fn someone(id: &str) -> Value {
    json!({ "id": id, "name": "Someone", "version": 1 })
}

async fn providers(State(shelves): State<Arc<Shelves>>) -> Result<Json<Value>, StatusCode> {
    let refuses = shelves.squeamish.load(Ordering::Relaxed);
    let provider = match *shelves.price.lock().unwrap() {
        None if refuses => return Err(StatusCode::NOT_FOUND),
        None => json!({"name": "simulated", "configured": true, "default": true, "simulated": true}),
        Some(price) => {
            let price = price.to_string();
            let prices = json!({"input": price, "output": price, "cachedInput": price, "cacheWriteInput": price,
                                "source": "x", "asOf": "2026-01-01"});
            json!({"name": "openai", "configured": true, "default": true, "price": prices})
        }
    };
    Ok(Json(json!({ "items": [provider] })))
}

async fn summary(
    State(shelves): State<Arc<Shelves>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, (StatusCode, Json<Value>)> {
    if shelves.mute.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
    let cached = shelves.summaries.fetch_add(1, Ordering::Relaxed) % 2 == 1;
    if shelves.squeamish.load(Ordering::Relaxed) {
        let problem = json!({"status": 502, "title": "x", "code": "unsafe_answer"});
        return Err((StatusCode::BAD_GATEWAY, Json(problem)));
    }
    let tokens = |count: u64| if cached { 0 } else { count };
    Ok(Json(json!({
        "bookId": id, "summary": "A book about something.", "provider": "ollama", "model": "stand-in",
        "simulated": true, "cached": cached, "costUsd": if cached { 0.0 } else { *shelves.billing.lock().unwrap() }, "listCostUsd": if cached { 0.0 } else { 0.001 },
        "usage": {"inputTokens": tokens(20), "outputTokens": tokens(10), "cachedInputTokens": 0, "source": "reported"},
        "latencyMs": 1.0, "timeToFirstChunkMs": 0.5, "generatedAt": "2026-01-01T00:00:00Z",
    })))
}
