//! `/api/v1/books`.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::json;

use crate::lists::titles;
use crate::service::Start;

const NOBODY: &str = "/api/v1/books/0190163d-8694-739b-aea5-966c26f8ad91";

#[tokio::test]
async fn a_book_is_created_read_replaced_and_deleted() {
    let service = Start::without_provider().serve();
    let author = service.author("Herman Melville").await;
    let draft = json!({
        "title": "Moby-Dick; or, The Whale", "isbn": "978-0-14-243724-7", "authorIds": [author],
        "publishedYear": 1851, "language": "en", "genres": ["novel", "Adventure"],
        "description": "A captain hunts a white whale.",
        "price": { "amount": "12.90", "currency": "USD" }, "rating": 4.5
    });
    let created = service.post("/api/v1/books", &draft).await;
    let book = created.expect(201);
    let path = format!("/api/v1/books/{}", book["id"].as_str().unwrap());
    assert_eq!(created.header("location"), path);
    assert_eq!(book["isbn"], "9780142437247");
    assert_eq!(book["authors"], json!([{ "id": author, "name": "Herman Melville" }]));
    assert_eq!(book["price"], json!({ "amount": "12.90", "currency": "USD" }));
    for member in ["title", "publishedYear", "language", "genres", "description", "rating"] {
        assert_eq!(book[member], draft[member], "{member}");
    }
    assert_eq!(book["version"], 1);
    assert_eq!(book["createdAt"], book["updatedAt"]);
    assert_eq!(service.get(&path).await.expect(200), book);

    let replaced = service.put(&path, &json!({ "title": "The Whale" })).await.expect(200);
    assert_eq!(replaced["title"], "The Whale");
    assert_eq!(replaced["version"], 2);
    assert_eq!(replaced["createdAt"], book["createdAt"]);
    assert_eq!(replaced["authors"], json!([]));
    let members: BTreeSet<&str> = replaced.as_object().unwrap().keys().map(String::as_str).collect();
    let bare = ["authors", "createdAt", "genres", "id", "title", "updatedAt", "version"];
    assert_eq!(members, BTreeSet::from(bare), "absent values are left out");
    assert_eq!(service.get(&path).await.expect(200), replaced);
    // What was replaced is no longer found by its old words.
    assert_eq!(titles(&service, "q=captain").await, [""; 0]);
    assert_eq!(titles(&service, "q=whale").await, ["The Whale"]);

    service.delete(&path).await.expect(204);
    service.get(&path).await.problem(404, "book_not_found");
    service.delete(&path).await.problem(404, "book_not_found");
    service.put(&path, &draft).await.problem(404, "book_not_found");
    assert_eq!(service.get("/api/v1/books").await.expect(200), json!({ "items": [], "total": 0 }));
}

#[tokio::test]
async fn what_is_not_there_and_what_is_no_id() {
    let service = Start::without_provider().serve();
    let problem = service.get(NOBODY).await.problem(404, "book_not_found");
    assert_eq!(problem["instance"], NOBODY);
    assert!(problem["detail"].as_str().unwrap().contains("0190163d-8694-739b-aea5-966c26f8ad91"));
    for method in [Method::GET, Method::DELETE] {
        let reply = service.send(service.request(method, "/api/v1/books/17")).await;
        reply.problem(400, "malformed_path");
    }
    // A miss is no memory: what is created later under another id is found at once.
    let id = service.book("Moby-Dick").await;
    service.get(&format!("/api/v1/books/{id}")).await.expect(200);
}

#[tokio::test]
async fn paths_under_api_are_matched_without_regard_to_case() {
    let service = Start::without_provider().serve();
    let reply = service.post("/api/v1/Books", &json!({ "title": "Emma" })).await;
    let id = reply.expect(201)["id"].as_str().unwrap().to_owned();
    service.get(&format!("/API/V1/BOOKS/{}", id.to_uppercase())).await.expect(200);
    assert_eq!(service.get("/api/v1/Books?q=EMMA").await.expect(200)["total"], 1);
    service.get("/Health/Live").await.problem(404, "route_not_found");
}

#[tokio::test]
async fn a_second_start_does_not_load_the_catalogue_again() {
    let start = Start::with_catalog();
    let service = start.serve();
    let book = service.get("/api/v1/books?limit=1").await.expect(200);
    let path = format!("/api/v1/books/{}", book["items"][0]["id"].as_str().unwrap());
    service.delete(&path).await.expect(204);
    service.stop();
    let service = start.serve();
    assert_eq!(service.get("/api/v1/books").await.expect(200)["total"], 119, "deleted books came back");
}

#[tokio::test]
async fn an_isbn_is_kept_with_thirteen_digits_and_belongs_to_one_book() {
    let service = Start::without_provider().serve();
    let draft = json!({ "title": "Moby-Dick", "isbn": "0-14-243724-7" });
    let first = service.post("/api/v1/books", &draft).await.expect(201);
    assert_eq!(first["isbn"], "9780142437247");
    for isbn in ["9780142437247", "0142437247"] {
        let reply = service.post("/api/v1/books", &json!({ "title": "Again", "isbn": isbn })).await;
        reply.problem(409, "isbn_taken");
    }
    let other = service.book("Emma").await;
    let path = format!("/api/v1/books/{other}");
    service.put(&path, &draft).await.problem(409, "isbn_taken");
    assert_eq!(service.get(&path).await.expect(200)["version"], 1);
    // A book does not stand in its own way, and a deleted one in nobody's.
    let own = format!("/api/v1/books/{}", first["id"].as_str().unwrap());
    service.put(&own, &draft).await.expect(200);
    service.delete(&own).await.expect(204);
    service.put(&path, &draft).await.expect(200);
}

#[tokio::test]
async fn of_many_who_claim_an_isbn_at_once_one_gets_it() {
    let service = Start::without_provider().serve();
    let draft = json!({ "title": "Moby-Dick", "isbn": "9780142437247" });
    let replies = futures::future::join_all((0..10).map(|_| service.post("/api/v1/books", &draft))).await;
    let created = replies.iter().filter(|reply| reply.status == 201).count();
    let refused = replies.iter().filter(|reply| reply.status == 409).count();
    assert_eq!((created, refused), (1, 9), "{replies:?}");
}

#[tokio::test]
async fn everything_that_is_wrong_is_said_at_once() {
    let service = Start::without_provider().serve();
    let draft = json!({
        "title": " ", "isbn": "9780142437248", "publishedYear": 3000, "language": "e!",
        "genres": ["novel", ""], "price": { "amount": "-1.005", "currency": "dollars" }, "rating": 7,
        "description": "x".repeat(10_001)
    });
    let problem = service.post("/api/v1/books", &draft).await.problem(422, "validation_failed");
    let found: BTreeSet<(&str, &str)> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["field"].as_str().unwrap(), error["code"].as_str().unwrap()))
        .collect();
    let expected = [
        ("description", "too_long"),
        ("genres[1]", "required"),
        ("isbn", "check_digit"),
        ("language", "form"),
        ("price.amount", "out_of_range"),
        ("price.amount", "precision"),
        ("price.currency", "form"),
        ("publishedYear", "out_of_range"),
        ("rating", "out_of_range"),
        ("title", "required"),
    ];
    assert_eq!(found, BTreeSet::from(expected), "{problem}");
    assert_eq!(service.get("/api/v1/books").await.expect(200)["total"], 0);
}

#[tokio::test]
async fn fields_of_the_wrong_type_or_name_are_named() {
    let service = Start::without_provider().serve();
    let cases = [
        (json!({ "title": 17 }), "title"),
        (json!({ "title": "x", "genres": ["a", 3] }), "genres[1]"),
        (json!({ "title": "x", "price": { "amount": "dear", "currency": "USD" } }), "price.amount"),
        (json!({ "title": "x", "authorIds": ["17"] }), "authorIds[0]"),
        (json!({ "title": "x", "summary": "mine" }), "summary"),
        (json!({ "title": "x", "authorIds": ["0190163d-8694-739b-aea5-966c26f8ad91"] }), "authorIds"),
        (json!([]), ""),
    ];
    for (draft, field) in cases {
        let problem = service.post("/api/v1/books", &draft).await.problem(422, "validation_failed");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    let text = service.request(Method::POST, "/api/v1/books").body("{}");
    service.send(text).await.problem(415, "unsupported_media_type");
}

#[tokio::test]
async fn a_patch_changes_what_it_names() {
    let service = Start::without_provider().serve();
    let author = service.author("Herman Melville").await;
    let draft = json!({
        "title": "Moby-Dick", "isbn": "9780142437247", "authorIds": [author], "publishedYear": 1851,
        "language": "en", "genres": ["novel"], "description": "A whale.", "rating": 4.35,
        "price": { "amount": "12.90", "currency": "USD" }
    });
    let book = service.post("/api/v1/books", &draft).await.expect(201);
    let path = format!("/api/v1/books/{}", book["id"].as_str().unwrap());
    let reply = service.patch(&path, &json!({ "price": { "amount": "9.90" }, "rating": null })).await;
    let patched = reply.expect(200);
    assert_eq!((reply.header("etag"), &patched["version"]), ("\"2\"", &json!(2)));
    let mut expected = book.clone();
    expected.as_object_mut().unwrap().remove("rating");
    expected["price"]["amount"] = json!("9.90");
    expected["version"] = json!(2);
    expected["updatedAt"] = patched["updatedAt"].clone();
    assert_eq!(patched, expected);
    assert_eq!(service.get(&path).await.expect(200), patched);

    let emptied = json!({ "authorIds": [], "genres": null, "isbn": null, "price": null });
    let bare = service.patch(&path, &emptied).await.expect(200);
    assert_eq!((&bare["authors"], &bare["genres"]), (&json!([]), &json!([])));
    assert!(bare.get("isbn").is_none() && bare.get("price").is_none(), "{bare}");
    // JSON as JSON is taken too.
    let request = service.request(Method::PATCH, &path).json(&json!({ "title": "The Whale" }));
    assert_eq!(service.send(request).await.expect(200)["title"], "The Whale");
}

#[tokio::test]
async fn a_patch_that_cannot_be_is_refused_and_named() {
    let service = Start::without_provider().serve();
    let id = service.book("Moby-Dick").await;
    let path = format!("/api/v1/books/{id}");
    let other = json!({ "title": "Emma", "isbn": "9780142437247" });
    service.post("/api/v1/books", &other).await.expect(201);
    for (patch, field) in [
        (json!({ "summary": "mine" }), "summary"),
        (json!({ "id": id }), "id"),
        (json!({ "version": 7 }), "version"),
        (json!({ "authors": [] }), "authors"),
        (json!({ "createdAt": "2020-01-01T00:00:00Z" }), "createdAt"),
        (json!({ "title": null }), "title"),
        (json!({ "title": " " }), "title"),
        (json!({ "title": 7 }), "title"),
        (json!({ "rating": 9 }), "rating"),
        (json!({ "genres": ["a", null] }), "genres[1]"),
        (json!({ "price": { "amount": "3.00" } }), "price.currency"),
        (json!({ "price": "3.00" }), "price"),
        (json!({ "isbn": "9780142437248" }), "isbn"),
        (json!({ "authorIds": ["0190163d-8694-739b-aea5-966c26f8ad91"] }), "authorIds"),
        (json!([]), ""),
        (json!("title"), ""),
    ] {
        let problem = service.patch(&path, &patch).await.problem(422, "validation_failed");
        assert_eq!(problem["errors"][0]["field"], field, "{patch}: {problem}");
    }
    service.patch(&path, &json!({ "isbn": "9780142437247" })).await.problem(409, "isbn_taken");
    service.patch(NOBODY, &json!({ "title": "x" })).await.problem(404, "book_not_found");
    for media in ["application/json-patch+json", "text/plain", "application/x-www-form-urlencoded"] {
        let request = service.request(Method::PATCH, &path).header("Content-Type", media).body("{}");
        let reply = service.send(request).await;
        reply.problem(415, "unsupported_media_type");
        assert_eq!(reply.header("accept-patch"), "application/merge-patch+json, application/json");
    }
    assert_eq!(service.get(&path).await.expect(200)["version"], 1, "nothing was changed");
}
