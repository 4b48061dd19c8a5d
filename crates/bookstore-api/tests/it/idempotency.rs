//! `Idempotency-Key`: of all requests with the same key one creates, and all get its answer.

use futures::future::join_all;
use reqwest::Method;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::service::{Reply, Service, Start};

const KEY: &str = "Idempotency-Key";

async fn create(service: &Service, path: &str, key: &str, body: &Value) -> Reply {
    service.with(Method::POST, path, (KEY, key), body).await
}

/// Whether an answer is said to be an earlier request's.
fn replayed(reply: &Reply) -> bool {
    reply.header("idempotency-replayed") == "true"
}

#[tokio::test]
async fn a_repeated_creation_gets_the_same_answer_and_creates_nothing() {
    let service = Start::without_provider().serve();
    for (path, body, other) in [
        ("/api/v1/books", json!({ "title": "Emma" }), json!({ "title": "Persuasion" })),
        ("/api/v1/authors", json!({ "name": "Jane Austen" }), json!({ "name": "Anna Lefroy" })),
    ] {
        // The same key may stand for a book and for an author.
        let first = create(&service, path, "one", &body).await;
        let made = first.expect(201);
        assert!(!replayed(&first));
        // Changed since: the answer is that of then.
        service.put(first.header("location"), &other).await.expect(200);
        for _ in 0..2 {
            let again = create(&service, path, "one", &body).await;
            assert_eq!(again.expect(201), made);
            for name in ["location", "etag", "content-type"] {
                assert_eq!(again.header(name), first.header(name), "{name}");
            }
            assert!(replayed(&again), "{again:?}");
        }
        create(&service, path, "one", &other).await.problem(422, "idempotency_key_reused");
        assert_eq!(service.get(path).await.expect(200)["total"], 1);
        // Deleted since: it stays so.
        service.delete(first.header("location")).await.expect(204);
        assert_eq!(create(&service, path, "one", &body).await.expect(201), made);
        assert_eq!(service.get(path).await.expect(200)["total"], 0);
        create(&service, path, "two", &body).await.expect(201);
        assert_eq!(service.get(path).await.expect(200)["total"], 1);
    }
}

#[tokio::test]
async fn spelling_does_not_make_another_content() {
    let service = Start::without_provider().serve();
    let send = async |text: &'static str| {
        let request = service.request(Method::POST, "/api/v1/books").header(KEY, "k").body(text);
        service.send(request.header("Content-Type", "application/json")).await
    };
    let first = send(r#"{"title":"Emma","language":"en"}"#).await.expect(201);
    let again =
        send("{ \"language\": \"en\",\n \"genres\": [], \"title\": \"\\u0045mma\", \"isbn\": null }").await;
    assert_eq!(again.expect(201), first);
    assert!(replayed(&again));
}

#[tokio::test]
async fn final_refusals_are_replayed_and_mistakes_use_no_key_up() {
    let service = Start::without_provider().serve();
    let taken = json!({ "title": "Moby-Dick", "isbn": "9780142437247" });
    let first = service.post("/api/v1/books", &taken).await.expect(201);
    create(&service, "/api/v1/books", "a", &json!({ "title": " " })).await.problem(422, "validation_failed");

    let refused = create(&service, "/api/v1/books", "a", &taken).await;
    refused.problem(409, "isbn_taken");
    assert!(!replayed(&refused), "{refused:?}");
    let nobody = json!({ "title": "x", "authorIds": ["0190163d-8694-739b-aea5-966c26f8ad91"] });
    let unknown = create(&service, "/api/v1/books", "b", &nobody).await;
    let errors = unknown.problem(422, "validation_failed")["errors"].clone();
    assert_eq!((&errors[0]["code"], replayed(&unknown)), (&json!("unknown_author"), false));

    // The ISBN is free now, but the key's request has come to its end.
    service.delete(&format!("/api/v1/books/{}", first["id"].as_str().unwrap())).await.expect(204);
    let again = create(&service, "/api/v1/books", "a", &taken).await;
    again.problem(409, "isbn_taken");
    assert!(replayed(&again), "{again:?}");
    let again = create(&service, "/api/v1/books", "b", &nobody).await;
    assert_eq!(again.problem(422, "validation_failed")["errors"], errors);
    assert!(replayed(&again), "{again:?}");
    create(&service, "/api/v1/books", "c", &taken).await.expect(201);
}

#[tokio::test]
async fn of_many_at_once_one_creates() {
    let service = Start::without_provider().serve();
    let body = json!({ "title": "Moby-Dick", "isbn": "9780142437247" });
    let replies = join_all((0..16).map(|_| create(&service, "/api/v1/books", "same", &body))).await;
    let made = replies[0].expect(201);
    for reply in &replies {
        assert_eq!(reply.expect(201), made);
    }
    assert_eq!(replies.iter().filter(|reply| !replayed(reply)).count(), 1, "{replies:?}");
    assert_eq!(service.get("/api/v1/books").await.expect(200)["total"], 1);
    let count = service.metric("bookstore_books_written_total", &[r#"operation="create""#]).await;
    assert!((count - 1.0).abs() < 1e-9, "{count}");
}

#[tokio::test]
async fn keys_outlive_restarts() {
    let start = Start::without_provider();
    let body = json!({ "title": "Emma" });
    let service = start.serve();
    let first = create(&service, "/api/v1/books", "k", &body).await.expect(201);
    drop(service);
    let service = start.serve();
    let again = create(&service, "/api/v1/books", "k", &body).await;
    assert_eq!(again.expect(201), first);
    assert!(replayed(&again));
}

/// A creation that was carried out, but whose end could not be written down; and the way back.
async fn half_done(start: &Start, service: &Service, body: &Value) -> Connection {
    let store = Connection::open(start.data().join("bookstore.sqlite")).unwrap();
    let trap = "CREATE TRIGGER trap BEFORE UPDATE ON claims BEGIN SELECT RAISE(ABORT, 'trapped'); END";
    store.execute_batch(trap).unwrap();
    let failed = create(service, "/api/v1/books", "k", body).await;
    let problem = failed.problem(503, "store_unavailable");
    assert!(problem["detail"].as_str().unwrap().contains("same Idempotency-Key"), "{problem}");
    assert!(failed.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0), "{failed:?}");
    assert_eq!(service.get("/api/v1/books").await.expect(200)["total"], 1);
    store.execute_batch("DROP TRIGGER trap").unwrap();
    store
}

#[tokio::test]
async fn after_a_failure_the_same_request_goes_on_and_doubles_nothing() {
    let start = Start::without_provider();
    let service = start.serve();
    let body = json!({ "title": "Moby-Dick", "isbn": "9780142437247" });
    half_done(&start, &service, &body).await;
    let again = create(&service, "/api/v1/books", "k", &body).await;
    let made = again.expect(201);
    assert!(replayed(&again));
    let page = service.get("/api/v1/books").await.expect(200);
    assert_eq!((&page["total"], &page["items"][0]), (&json!(1), &made));
    assert_eq!(service.get(again.header("location")).await.expect(200), made);
}

#[tokio::test]
async fn what_was_deleted_before_its_request_is_repeated_does_not_come_back() {
    let start = Start::without_provider();
    let service = start.serve();
    let body = json!({ "title": "Moby-Dick" });
    half_done(&start, &service, &body).await;
    let made = service.get("/api/v1/books").await.expect(200)["items"][0].clone();
    service.delete(&format!("/api/v1/books/{}", made["id"].as_str().unwrap())).await.expect(204);
    let again = create(&service, "/api/v1/books", "k", &body).await;
    assert_eq!(again.expect(201), made);
    assert!(replayed(&again));
    assert_eq!(service.get("/api/v1/books").await.expect(200)["total"], 0, "it came back");
}

#[tokio::test]
async fn without_a_key_a_failed_write_says_to_look_first() {
    let start = Start::without_provider();
    let service = start.serve();
    let store = Connection::open(start.data().join("bookstore.sqlite")).unwrap();
    store.execute_batch("ALTER TABLE books RENAME TO gone").unwrap();
    let failed = service.post("/api/v1/books", &json!({ "title": "Emma" })).await;
    let problem = failed.problem(503, "store_unavailable");
    assert!(problem["detail"].as_str().unwrap().contains("read before you send it again"), "{problem}");
    assert!(!failed.header("retry-after").is_empty());
}
