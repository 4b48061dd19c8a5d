//! Conditional requests: `ETag`, `If-Match`, `If-None-Match`, and what happens when many write at once.

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::service::{Service, Start};

/// Attempts of each of the 64 writers; `make soak-writers` sets more.
#[expect(clippy::disallowed_methods, reason = "the make target says how long it soaks")]
fn attempts() -> u64 {
    std::env::var("WRITER_ATTEMPTS").map_or(25, |text| text.parse().unwrap())
}

/// A book and an author, each at version 1.
async fn two(service: &Service) -> [(String, Value); 2] {
    let (book, author) = (service.book("Moby-Dick").await, service.author("Herman Melville").await);
    [
        (format!("/api/v1/books/{book}"), json!({ "title": "The Whale" })),
        (format!("/api/v1/authors/{author}"), json!({ "name": "H. Melville" })),
    ]
}

#[tokio::test]
async fn every_answer_with_a_single_thing_carries_its_version_as_etag() {
    let service = Start::without_provider().serve();
    for (path, body) in
        [("/api/v1/books", json!({ "title": "Emma" })), ("/api/v1/authors", json!({ "name": "Jane Austen" }))]
    {
        let created = service.post(path, &body).await;
        assert_eq!(created.header("etag"), "\"1\"");
        let path = created.header("location").to_owned();
        assert_eq!(service.get(&path).await.header("etag"), "\"1\"");
        let head = service.send(service.request(Method::HEAD, &path)).await;
        assert_eq!((head.status, head.header("etag"), head.text.as_str()), (200, "\"1\"", ""));
        assert_eq!(service.put(&path, &body).await.header("etag"), "\"2\"");
        assert_eq!(service.patch(&path, &json!({})).await.header("etag"), "\"3\"");
        assert_eq!(service.get(&path).await.expect(200)["version"], 3);
    }
}

#[tokio::test]
async fn a_read_of_what_the_client_has_is_304_without_a_body() {
    let service = Start::without_provider().serve();
    for (path, body) in two(&service).await {
        for (tags, status) in [
            ("\"1\"", 304),
            ("W/\"1\"", 304),
            ("\"7\", \"1\"", 304),
            ("*", 304),
            ("\"2\"", 200),
            ("\"01\"", 200),
            ("\"etag, of another\"", 400),
            ("\"etag,of-another\"", 200),
            ("1", 400),
            ("", 400),
        ] {
            for method in [Method::GET, Method::HEAD] {
                let reply = service.with(method.clone(), &path, ("If-None-Match", tags), &Value::Null).await;
                assert_eq!(reply.status, status, "{method} {tags}: {reply:?}");
                if status == 304 {
                    assert_eq!((reply.header("etag"), reply.text.as_str()), ("\"1\"", ""));
                } else if method == Method::GET && status == 400 {
                    reply.problem(400, "bad_condition");
                }
            }
        }
        service.put(&path, &body).await.expect(200);
        let reply = service.with(Method::GET, &path, ("If-None-Match", "\"1\""), &Value::Null).await;
        assert_eq!(reply.expect(200)["version"], 2);
    }
}

#[tokio::test]
async fn a_write_to_another_version_is_refused_with_the_current_one() {
    let service = Start::without_provider().serve();
    for (path, body) in two(&service).await {
        service.put(&path, &body).await.expect(200);
        for stale in ["\"1\"", "W/\"2\"", "\"1\", \"3\"", "\"abc\"", "\"02\""] {
            for (method, body) in
                [(Method::PUT, &body), (Method::PATCH, &body), (Method::DELETE, &Value::Null)]
            {
                let reply = service.with(method.clone(), &path, ("If-Match", stale), body).await;
                let problem = reply.problem(412, "precondition_failed");
                assert_eq!(reply.header("etag"), "\"2\"", "{method} {stale}");
                assert!(problem["detail"].as_str().unwrap().contains("version 2"), "{problem}");
            }
        }
        for malformed in ["2", "\"2", "", "\"2\" \"3\"", "*, \"2\""] {
            let reply = service.with(Method::PUT, &path, ("If-Match", malformed), &body).await;
            reply.problem(400, "bad_condition");
        }
        assert_eq!(service.get(&path).await.expect(200)["version"], 2, "nothing was changed");
        for (version, fitting) in [(3, "\"2\""), (4, "\"9\" , \"3\""), (5, "*")] {
            let reply = service.with(Method::PUT, &path, ("If-Match", fitting), &body).await;
            assert_eq!(reply.expect(200)["version"], version);
        }
        let patched = service.with(Method::PATCH, &path, ("If-Match", "\"5\""), &json!({})).await;
        assert_eq!(patched.expect(200)["version"], 6);
        service.with(Method::DELETE, &path, ("If-Match", "\"6\""), &Value::Null).await.expect(204);
        for method in [Method::PUT, Method::PATCH, Method::DELETE] {
            let sent = if method == Method::DELETE { &Value::Null } else { &body };
            let reply = service.with(method, &path, ("If-Match", "\"6\""), sent).await;
            assert_eq!(reply.status, 404, "{reply:?}");
        }
    }
}

#[tokio::test]
async fn where_it_is_required_a_write_without_if_match_is_refused() {
    let service = Start::without_provider().environment("REQUIRE_IF_MATCH", "true").serve();
    for (path, body) in two(&service).await {
        service.put(&path, &body).await.problem(428, "precondition_required");
        service.patch(&path, &body).await.problem(428, "precondition_required");
        service.delete(&path).await.problem(428, "precondition_required");
        assert_eq!(service.get(&path).await.expect(200)["version"], 1);
        service.with(Method::PUT, &path, ("If-Match", "\"1\""), &body).await.expect(200);
        service.with(Method::PATCH, &path, ("If-Match", "*"), &body).await.expect(200);
        service.with(Method::DELETE, &path, ("If-Match", "\"3\""), &Value::Null).await.expect(204);
    }
}

#[tokio::test]
async fn no_update_of_many_conditional_writers_is_lost() {
    let service = Start::without_provider().serve();
    let path = format!("/api/v1/books/{}", service.book("Moby-Dick").await);
    let writer = async |number: usize| {
        let (mut done, mut tag) = (0_u64, "\"1\"".to_owned());
        for attempt in 0..attempts() {
            let body = json!({ "title": format!("By {number}, {attempt}") });
            let reply = service.with(Method::PUT, &path, ("If-Match", &tag), &body).await;
            match reply.status {
                200 => done += 1,
                412 => {}
                _ => panic!("{reply:?}"),
            }
            reply.header("etag").clone_into(&mut tag);
        }
        done
    };
    let done: u64 = join_all((0..64).map(writer)).await.into_iter().sum();
    let version = service.get(&path).await.expect(200)["version"].as_u64().unwrap();
    println!("64 writers, {} attempts each: {done} updates, version {version}", attempts());
    assert_eq!(version, 1 + done);
    assert!(done > 0);
}

#[tokio::test]
async fn patches_without_a_condition_all_apply_though_they_meet() {
    let service = Start::without_provider().serve();
    let path = format!("/api/v1/books/{}", service.book("Moby-Dick").await);
    let patches = [
        json!({ "publishedYear": 1851 }),
        json!({ "language": "en" }),
        json!({ "rating": 4.5 }),
        json!({ "genres": ["novel"] }),
        json!({ "isbn": "9780142437247" }),
        json!({ "price": { "amount": "12.90", "currency": "USD" } }),
        json!({ "title": "The Whale" }),
        json!({ "description": "A hunt." }),
    ];
    for reply in join_all(patches.iter().map(|patch| service.patch(&path, patch))).await {
        reply.expect(200);
    }
    let book = service.get(&path).await.expect(200);
    assert_eq!(book["version"], 9);
    for patch in patches {
        for (name, value) in patch.as_object().unwrap() {
            assert_eq!(&book[name], value, "{name}");
        }
    }
}

#[tokio::test]
async fn a_summary_changes_neither_version_nor_etag() {
    let service = Start::without_provider().argument("--llm-provider", "simulated").serve();
    let id = service.book("Moby-Dick").await;
    let path = format!("/api/v1/books/{id}");
    service.summarise(&id, "").await.expect(200);
    let reply = service.get(&path).await;
    assert!(reply.expect(200)["summary"].is_string());
    assert_eq!(reply.header("etag"), "\"1\"");
    // A patch writes the book and not the projection: it is there again while it fits.
    let patched = service.patch(&path, &json!({ "rating": 5 })).await.expect(200);
    assert_eq!((&patched["version"], patched["summary"].is_string()), (&json!(2), true), "{patched}");
}
