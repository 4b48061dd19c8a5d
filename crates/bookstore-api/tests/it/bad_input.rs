//! What clients should not send, and may: each a clear 4xx problem, never a 500.

use reqwest::Method;
use serde_json::{Value, json};

use crate::lists::titles;
use crate::service::{Reply, Service, Start};

/// Sends a body under a media type.
async fn send(service: &Service, method: Method, path: &str, media: &str, body: impl Into<Vec<u8>>) -> Reply {
    service.send(service.request(method, path).header("Content-Type", media).body(body.into())).await
}

/// The service is as well as before.
async fn is_well(service: &Service) {
    service.get("/health/ready").await.expect(200);
    let errors = service.get("/metrics").await.text;
    let failed = errors.lines().filter(|line| line.contains("status_code=\"5"));
    assert_eq!(failed.count(), 0, "something was answered with 5xx: {errors}");
}

#[tokio::test]
async fn a_form_where_json_belongs() {
    let service = Start::without_provider().serve();
    let path = format!("/api/v1/books/{}", service.book("Moby-Dick").await);
    for media in
        ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "json"]
    {
        for (method, path) in [
            (Method::POST, "/api/v1/books"),
            (Method::PUT, &path),
            (Method::PATCH, &path),
            (Method::POST, "/api/v1/authors"),
        ] {
            let reply = send(&service, method, path, media, "title=Emma").await;
            reply.problem(415, "unsupported_media_type");
        }
    }
    let bare = service.request(Method::POST, "/api/v1/books").body("{\"title\":\"Emma\"}");
    service.send(bare).await.problem(415, "unsupported_media_type");
    is_well(&service).await;
}

#[tokio::test]
async fn cursors_that_are_not_of_this_list() {
    let service = Start::with_catalog().serve();
    let path = "/api/v1/books?sort=title&limit=5";
    let page = service.get(path).await.expect(200);
    let cursor = page["nextCursor"].as_str().unwrap();
    let foreign = service.get("/api/v1/authors?limit=5").await.expect(200);
    let foreign = foreign["nextCursor"].as_str().unwrap();
    for query in ["sort=-title", "sort=price", "sort=title&language=en", "sort=title&q=the"] {
        let reply = service.get(&format!("/api/v1/books?{query}&limit=5&cursor={cursor}")).await;
        reply.problem(400, "bad_cursor");
    }
    // Another page size is no other query.
    service.get(&format!("/api/v1/books?sort=title&limit=7&cursor={cursor}")).await.expect(200);
    let long = "A".repeat(10_000);
    let half = &cursor[..cursor.len() / 2];
    for wrong in ["", "x", "%00", "e30", "bnVsbA", "%24where", foreign, &long, half] {
        service.get(&format!("{path}&cursor={wrong}")).await.problem(400, "bad_cursor");
    }
    // Tampered with, character by character: refused, or another place in the same list.
    for index in 0..cursor.len() {
        let mut bytes = cursor.as_bytes().to_vec();
        bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
        let reply = service.get(&format!("{path}&cursor={}", String::from_utf8(bytes).unwrap())).await;
        assert!(matches!(reply.status, 200 | 400), "{index}: {reply:?}");
    }
    is_well(&service).await;
}

#[tokio::test]
async fn filters_that_contradict_or_are_out_of_range() {
    let service = Start::without_provider().serve();
    let long = format!("q={}", "x".repeat(201));
    for (query, field) in [
        ("publishedFrom=1900&publishedTo=1800", "publishedFrom"),
        ("priceFrom=2&priceTo=1.99", "priceFrom"),
        ("publishedFrom=-4001", "publishedFrom"),
        ("publishedTo=99999999999", "publishedTo"),
        ("priceFrom=-0.01", "priceFrom"),
        ("priceTo=12.999", "priceTo"),
        ("priceTo=1000001", "priceTo"),
        ("priceFrom=NaN", "priceFrom"),
        ("priceFrom=1e999", "priceFrom"),
        ("priceFrom=", "priceFrom"),
        ("currency=", "currency"),
        ("currency=usd", "currency"),
        ("currency=$$$", "currency"),
        ("genre=", "genre"),
        ("genre=%20", "genre"),
        ("genre=%00", "genre"),
        ("language=", "language"),
        ("language=$ne", "language"),
        ("sort=", "sort"),
        ("sort=relevance", "sort"),
        ("sort=--title", "sort"),
        ("sort=_id", "sort"),
        ("sort=title;DROP", "sort"),
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=1000000000000", "limit"),
        (&long, "q"),
        ("q=a%00b", "q"),
    ] {
        let problem = service.get(&format!("/api/v1/books?{query}")).await.problem(422, "validation_failed");
        assert_eq!(problem["errors"][0]["field"], field, "{query}: {problem}");
    }
    for query in [
        "limit=1&limit=2",
        "q=a&q=b",
        "title=x",
        "filter[$ne]=1",
        "author=17",
        "author[$gt]=",
        "hasSummary=yes",
        "limit=ten",
        "limit=",
        "limit=99999999999999999999",
        "publishedFrom=1e3",
        "publishedFrom=19.5",
        "q=%FF%FE",
        "cursor=%FF",
    ] {
        let problem = service.get(&format!("/api/v1/books?{query}")).await.problem(400, "malformed_query");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
    }
    is_well(&service).await;
}

#[tokio::test]
async fn idempotency_keys_that_are_none() {
    let service = Start::without_provider().serve();
    let (long, huge) = ("k".repeat(256), "k".repeat(10_000));
    for key in [b"".as_slice(), b" ", b"a b", b"\xc3\xa9", b"tab\there", long.as_bytes(), huge.as_bytes()] {
        for (path, body) in
            [("/api/v1/books", json!({ "title": "x" })), ("/api/v1/authors", json!({ "name": "x" }))]
        {
            let request = service.request(Method::POST, path).header("Idempotency-Key", key).json(&body);
            service.send(request).await.problem(400, "bad_idempotency_key");
        }
    }
    let twice = service.request(Method::POST, "/api/v1/books").json(&json!({ "title": "x" }));
    let twice = twice.header("Idempotency-Key", "a").header("Idempotency-Key", "a");
    service.send(twice).await.problem(400, "bad_idempotency_key");
    for fitting in ["!", &"~".repeat(255), "{\"$gt\":\"\"}", "../../etc"] {
        let request = service.request(Method::POST, "/api/v1/books").header("Idempotency-Key", fitting);
        service.send(request.json(&json!({ "title": "x" }))).await.expect(201);
    }
    assert_eq!(service.get("/api/v1/books").await.expect(200)["total"], 4);
    is_well(&service).await;
}

#[tokio::test]
async fn operators_are_no_fields_and_harmless_as_values() {
    let service = Start::without_provider().serve();
    let id = service.book("Moby-Dick").await;
    let path = format!("/api/v1/books/{id}");
    for (draft, field) in [
        (json!({ "title": "x", "$set": { "version": 9 } }), "$set"),
        (json!({ "title": "x", "_id": "1" }), "_id"),
        (json!({ "title": { "$ne": null } }), "title"),
        (json!({ "title": "x", "authorIds": { "$in": [] } }), "authorIds"),
        (json!({ "title": "x", "price": { "$gt": "" } }), "price.$gt"),
        (json!({ "title": "x", "price.amount": "1" }), "price.amount"),
        (json!({ "title": "x", "__proto__": {} }), "__proto__"),
    ] {
        for (method, path) in [(Method::POST, "/api/v1/books"), (Method::PUT, &path), (Method::PATCH, &path)]
        {
            let reply = service.send(service.request(method.clone(), path).json(&draft)).await;
            let problem = reply.problem(422, "validation_failed");
            assert_eq!(problem["errors"][0]["field"], field, "{method} {draft}: {problem}");
        }
    }
    for text in
        ["$where", "{\"$gt\":\"\"}", "'; DROP TABLE books; --", "a.b.$[]", "%s%n", "\" OR 1=1 --", "../x"]
    {
        let draft = json!({ "title": text, "genres": [text], "description": text });
        let book = service.post("/api/v1/books", &draft).await.expect(201);
        let path = format!("/api/v1/books/{}", book["id"].as_str().unwrap());
        assert_eq!(service.get(&path).await.expect(200)["title"], text);
        let genre = url(text);
        assert_eq!(titles(&service, &format!("genre={genre}")).await, [text]);
        service.get(&format!("/api/v1/books?q={genre}")).await.expect(200);
        service.delete(&path).await.expect(204);
    }
    assert_eq!(service.get("/api/v1/books").await.expect(200)["total"], 1);
    is_well(&service).await;
}

fn url(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn numbers_out_of_range_and_of_the_wrong_kind() {
    let service = Start::without_provider().serve();
    let path = format!("/api/v1/books/{}", service.book("Moby-Dick").await);
    for (member, value, field) in [
        ("publishedYear", "2201", "publishedYear"),
        ("publishedYear", "-4001", "publishedYear"),
        ("publishedYear", "99999999999", "publishedYear"),
        ("publishedYear", "1851.5", "publishedYear"),
        ("publishedYear", "\"1851\"", "publishedYear"),
        ("rating", "5.01", "rating"),
        ("rating", "-0.1", "rating"),
        ("rating", "\"4\"", "rating"),
        ("rating", "true", "rating"),
        ("price", r#"{"amount":"-0.01","currency":"USD"}"#, "price.amount"),
        ("price", r#"{"amount":"12.999","currency":"USD"}"#, "price.amount"),
        ("price", r#"{"amount":"1000000.01","currency":"USD"}"#, "price.amount"),
        ("price", r#"{"amount":"NaN","currency":"USD"}"#, "price.amount"),
        ("price", r#"{"amount":"1e3","currency":"USD"}"#, "price.amount"),
        ("price", r#"{"amount":12.99,"currency":"USD"}"#, "price.amount"),
        ("price", r#"{"amount":"12.99","currency":"usd"}"#, "price.currency"),
        ("price", r#"{"amount":"12.99","currency":840}"#, "price.currency"),
        ("price", r#"{"amount":"12.99"}"#, "price.currency"),
        ("title", "17", "title"),
        ("genres", "\"novel\"", "genres"),
        ("authorIds", "[17]", "authorIds[0]"),
    ] {
        let title = if member == "title" { "" } else { "\"title\":\"x\"," };
        let body = format!("{{{title}\"{member}\":{value}}}");
        for (method, path) in [(Method::POST, "/api/v1/books"), (Method::PUT, &path), (Method::PATCH, &path)]
        {
            let reply = send(&service, method.clone(), path, "application/json", body.clone()).await;
            let problem = reply.problem(422, "validation_failed");
            assert_eq!(problem["errors"][0]["field"], field, "{method} {body}: {problem}");
        }
    }
    // What is no JSON number at all.
    for value in ["NaN", "1e999", "-", "0x10", "01"] {
        let body = format!("{{\"title\":\"x\",\"rating\":{value}}}");
        for (method, path) in [(Method::POST, "/api/v1/books"), (Method::PATCH, &path)] {
            let reply = send(&service, method, path, "application/json", body.clone()).await;
            reply.problem(400, "malformed_json");
        }
    }
    assert_eq!(service.get(&path).await.expect(200)["version"], 1);
    is_well(&service).await;
}

#[tokio::test]
async fn json_that_is_doubled_deep_or_no_text() {
    let service = Start::without_provider().serve();
    let path = format!("/api/v1/books/{}", service.book("Moby-Dick").await);
    let deep = format!("{{\"title\":{}", "[".repeat(100_000));
    let deep_price = format!("{{\"price\":{}1{}}}", "{\"amount\":".repeat(1_000), "}".repeat(1_000));
    let cases: [(&[u8], u16); 12] = [
        (br#"{"title":"a","title":"b"}"#, 422),
        (br#"{"title":"a","price":{"amount":"1","amount":"2","currency":"USD"}}"#, 422),
        (deep.as_bytes(), 422),
        (deep_price.as_bytes(), 422),
        (b"{\"title\":\"\xff\xfe\"}", 400),
        (b"\xff\xfe{\x00\"\x00", 400),
        (b"\xef\xbb\xbf{\"title\":\"a\"}", 400),
        (br#"{"title":"\ud800"}"#, 400),
        (b"", 400),
        (b"{\"title\":\"a\"}{}", 400),
        (b"{\"title\":\"a\nb\"}", 400),
        (b"[[[[[[[[[", 422),
    ];
    for (body, status) in cases {
        for (method, path) in [(Method::POST, "/api/v1/books"), (Method::PUT, &path), (Method::PATCH, &path)]
        {
            let reply = send(&service, method.clone(), path, "application/json", body).await;
            let code = if status == 400 { "malformed_json" } else { "validation_failed" };
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]);
            assert_eq!(reply.status, status, "{method} {shown}: {reply:?}");
            reply.problem(status, code);
        }
    }
    let huge = format!("{{\"title\":\"{}\"}}", "x".repeat(1 << 20));
    for (method, path) in [(Method::POST, "/api/v1/books"), (Method::PUT, &path), (Method::PATCH, &path)] {
        let reply = send(&service, method, path, "application/json", huge.clone()).await;
        reply.problem(413, "body_too_large");
    }
    // Tens of thousands of ids, each wrong in its way: an answer, and soon.
    let many: Vec<&str> = vec!["0190163d-8694-739b-aea5-966c26f8ad91"; 25_000];
    let reply = service.post("/api/v1/books", &json!({ "title": "x", "authorIds": many })).await;
    reply.problem(422, "validation_failed");
    assert_eq!(service.get(&path).await.expect(200)["version"], 1);
    is_well(&service).await;
}

#[tokio::test]
async fn ids_that_are_none() {
    let service = Start::without_provider().serve();
    for id in ["17", "%00", "%FF", "$ne", "null", "..%2F..", "0190163d-8694-739b-aea5", &"a".repeat(5_000)] {
        for collection in ["books", "authors"] {
            let path = format!("/api/v1/{collection}/{id}");
            for method in [Method::GET, Method::PUT, Method::PATCH, Method::DELETE] {
                let body = if method == Method::PUT { json!({ "title": "x" }) } else { json!({}) };
                let reply = service.send(service.request(method, &path).json(&body)).await;
                reply.problem(400, "malformed_path");
            }
        }
        service.summarise(id, "").await.problem(400, "malformed_path");
    }
    let twice = "/api/v1/authors/0190163d-8694-739b-aea5-966c26f8ad91?books=detach&books=delete";
    service.delete(twice).await.problem(400, "malformed_query");
    for path in ["/api/v1/books/", "/api/v1/books//", "/api/v1/books/a/b", "/api/v1/"] {
        service
            .send(service.request(Method::GET, path).json(&Value::Null))
            .await
            .problem(404, "route_not_found");
    }
    is_well(&service).await;
}

#[tokio::test]
async fn an_array_is_no_book() {
    let service = Start::without_provider().serve();
    for body in [json!([]), json!([null, "Title"])] {
        let problem = service.post("/api/v1/books", &body).await.problem(422, "validation_failed");
        assert_eq!(problem["errors"][0]["code"], "type", "{problem}");
    }
}
