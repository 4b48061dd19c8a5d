//! `/api/v1/books`.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::service::{Service, Start};

const NOBODY: &str = "/api/v1/books/0190163d-8694-739b-aea5-966c26f8ad91";

/// Titles of a list, in its order.
async fn titles(service: &Service, query: &str) -> Vec<String> {
    let page = service.get(&format!("/api/v1/books?limit=100&{query}")).await.expect(200);
    let items = page["items"].as_array().unwrap();
    items.iter().map(|book| book["title"].as_str().unwrap().to_owned()).collect()
}

/// All of a list, page by page.
async fn all(service: &Service, path: &str, limit: usize) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = service.get(&format!("{path}&limit={limit}{cursor}")).await.expect(200);
        let found = page["items"].as_array().unwrap();
        assert!(!found.is_empty() && found.len() <= limit, "{page}");
        items.extend(found.iter().cloned());
        assert!(items.len() as u64 <= page["total"].as_u64().unwrap(), "a page came twice");
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

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
async fn pages_cover_the_catalogue_exactly_once_in_every_order() {
    let service = Start::with_catalog().serve();
    for sort in ["createdAt", "-createdAt", "title", "-title"] {
        for limit in [7, 60, 100] {
            let books = all(&service, &format!("/api/v1/books?sort={sort}"), limit).await;
            let ids: BTreeSet<&str> = books.iter().map(|book| book["id"].as_str().unwrap()).collect();
            assert_eq!((books.len(), ids.len()), (120, 120), "{sort} by {limit}");
            let key = |book: &Value| {
                let key = if sort.ends_with("title") { "title" } else { "id" };
                bookstore_api::search::sort_key(book[key].as_str().unwrap())
            };
            let ordered = books.is_sorted_by(|one, next| {
                if sort.starts_with('-') { key(one) >= key(next) } else { key(one) <= key(next) }
            });
            assert!(ordered, "{sort} by {limit}");
        }
    }
    let authors = all(&service, "/api/v1/authors?sort=name", 9).await;
    assert!(
        authors.is_sorted_by_key(|author| bookstore_api::search::sort_key(author["name"].as_str().unwrap()))
    );
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
async fn lists_are_searched_and_filtered() {
    let service = Start::without_provider().serve();
    let herman = service.author("Herman Melville").await;
    let jane = service.author("Jane Austen").await;
    for draft in [
        json!({ "title": "Moby-Dick", "authorIds": [herman], "language": "en", "genres": ["Novel"],
            "description": "A captain hunts a white whale." }),
        json!({ "title": "Typee", "authorIds": [herman], "language": "en", "genres": ["memoir"],
            "description": "Captive on an island, with Café crème." }),
        json!({ "title": "Stolz und Vorurteil", "authorIds": [jane], "language": "de", "genres": ["novel"] }),
    ] {
        service.post("/api/v1/books", &draft).await.expect(201);
    }
    let cases: [(String, &[&str]); 17] = [
        ("q=whale".to_owned(), &["Moby-Dick"]),
        ("q=capt".to_owned(), &["Moby-Dick", "Typee"]),
        ("q=capt%20whale".to_owned(), &[]),
        ("q=captain%20wha".to_owned(), &["Moby-Dick"]),
        ("q=captain%20island".to_owned(), &[]),
        ("q=melville".to_owned(), &["Moby-Dick", "Typee"]),
        ("q=NOVEL".to_owned(), &["Moby-Dick", "Stolz und Vorurteil"]),
        ("q=cafe".to_owned(), &["Typee"]),
        ("q=%22%20OR%20title%3A*".to_owned(), &[]),
        ("q=%20".to_owned(), &["Moby-Dick", "Typee", "Stolz und Vorurteil"]),
        (format!("author={jane}"), &["Stolz und Vorurteil"]),
        ("genre=novel".to_owned(), &["Moby-Dick", "Stolz und Vorurteil"]),
        ("genre=NOVEL&language=en".to_owned(), &["Moby-Dick"]),
        ("language=de".to_owned(), &["Stolz und Vorurteil"]),
        (format!("author={herman}&q=island&genre=memoir&language=en"), &["Typee"]),
        (format!("author={jane}&q=whale"), &[]),
        ("sort=-title".to_owned(), &["Typee", "Stolz und Vorurteil", "Moby-Dick"]),
    ];
    for (query, expected) in cases {
        assert_eq!(titles(&service, &query).await, expected, "{query}");
        let page = service.get(&format!("/api/v1/books?limit=1&{query}")).await.expect(200);
        assert_eq!(page["total"], expected.len(), "{query}");
        assert_eq!(page.get("nextCursor").is_some(), expected.len() > 1, "{query}");
    }
}

#[tokio::test]
async fn list_parameters_that_make_no_sense_are_refused() {
    let service = Start::with_catalog().serve();
    for (query, code) in [
        ("limit=ten", "malformed_query"),
        ("page=2", "malformed_query"),
        ("author=17", "malformed_query"),
        ("cursor=x", "bad_cursor"),
    ] {
        service.get(&format!("/api/v1/books?{query}")).await.problem(400, code);
    }
    for (query, field) in [("limit=0", "limit"), ("limit=101", "limit"), ("sort=price", "sort")] {
        let problem = service.get(&format!("/api/v1/books?{query}")).await.problem(422, "validation_failed");
        assert_eq!(problem["errors"][0]["field"], field);
    }
    let page = service.get("/api/v1/books?sort=title&limit=5").await.expect(200);
    let cursor = page["nextCursor"].as_str().unwrap();
    service.get(&format!("/api/v1/books?sort=-title&cursor={cursor}")).await.problem(400, "bad_cursor");
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
