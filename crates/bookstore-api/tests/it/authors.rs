//! `/api/v1/authors`.

use serde_json::json;

use crate::service::Start;

#[tokio::test]
async fn an_author_is_created_read_replaced_and_deleted() {
    let service = Start::without_provider().serve();
    let draft =
        json!({ "name": "Herman Melville", "biography": "Went to sea.", "bornYear": 1819, "diedYear": 1891 });
    let created = service.post("/api/v1/authors", &draft).await;
    let author = created.expect(201);
    let path = format!("/api/v1/authors/{}", author["id"].as_str().unwrap());
    assert_eq!(created.header("location"), path);
    for member in ["name", "biography", "bornYear", "diedYear"] {
        assert_eq!(author[member], draft[member], "{member}");
    }
    assert_eq!(author["version"], 1);
    assert_eq!(service.get(&path).await.expect(200), author);

    let replaced = service.put(&path, &json!({ "name": "H. Melville" })).await.expect(200);
    assert_eq!((&replaced["name"], &replaced["version"]), (&json!("H. Melville"), &json!(2)));
    assert_eq!(replaced.get("biography"), None);
    assert_eq!(service.get(&path).await.expect(200), replaced);
    assert_eq!(service.get("/api/v1/authors?q=melv").await.expect(200)["total"], 1);
    assert_eq!(service.get("/api/v1/authors?q=herman").await.expect(200)["total"], 0);

    service.delete(&path).await.expect(204);
    service.get(&path).await.problem(404, "author_not_found");
    service.put(&path, &draft).await.problem(404, "author_not_found");
    service.delete(&path).await.problem(404, "author_not_found");
    service.get("/api/v1/authors/17").await.problem(400, "malformed_path");
}

#[tokio::test]
async fn a_new_name_shows_in_the_authors_books_at_once() {
    let service = Start::without_provider().serve();
    let author = service.author("Currer Bell").await;
    let draft = json!({ "title": "Jane Eyre", "authorIds": [author] });
    let book = service.post("/api/v1/books", &draft).await.expect(201);
    let path = format!("/api/v1/books/{}", book["id"].as_str().unwrap());
    // Read twice, so that it is cached.
    for _ in 0..2 {
        assert_eq!(service.get(&path).await.expect(200)["authors"][0]["name"], "Currer Bell");
    }
    let renamed = json!({ "name": "Charlotte Brontë" });
    service.put(&format!("/api/v1/authors/{author}"), &renamed).await.expect(200);
    assert_eq!(
        service.get(&path).await.header("etag"),
        "\"2\"",
        "the book's version does not show the new name"
    );
    assert_eq!(service.get(&path).await.expect(200)["authors"][0]["name"], "Charlotte Brontë");
    assert_eq!(service.get("/api/v1/books?q=bronte").await.expect(200)["total"], 1);
    assert_eq!(service.get("/api/v1/books?q=currer").await.expect(200)["total"], 0);
}

#[tokio::test]
async fn an_author_with_books_stays() {
    let service = Start::without_provider().serve();
    let author = service.author("Jane Austen").await;
    let book =
        service.post("/api/v1/books", &json!({ "title": "Emma", "authorIds": [author] })).await.expect(201);
    let path = format!("/api/v1/authors/{author}");
    service.delete(&path).await.problem(409, "author_has_books");
    service.get(&path).await.expect(200);
    service.delete(&format!("/api/v1/books/{}", book["id"].as_str().unwrap())).await.expect(204);
    service.delete(&path).await.expect(204);
}

#[tokio::test]
async fn books_of_a_deleted_author_stay_or_go_as_asked() {
    let service = Start::without_provider().serve();
    for (choice, left) in [("detach", 1), ("delete", 0)] {
        let (author, other) = (service.author("Jane Austen").await, service.author("Anna Lefroy").await);
        let draft = json!({ "title": "Sanditon", "authorIds": [author, other] });
        let book = service.post("/api/v1/books", &draft).await.expect(201);
        let book = format!("/api/v1/books/{}", book["id"].as_str().unwrap());
        // Read, so that it is cached.
        service.get(&book).await.expect(200);
        let path = format!("/api/v1/authors/{author}");
        service.delete(&format!("{path}?books=keep")).await.problem(400, "malformed_query");
        service.delete(&path).await.problem(409, "author_has_books");
        service.delete(&format!("{path}?books={choice}")).await.expect(204);
        service.get(&path).await.problem(404, "author_not_found");
        assert_eq!(service.get("/api/v1/books").await.expect(200)["total"], left, "{choice}");
        let reply = service.get(&book).await;
        if choice == "detach" {
            let found = reply.expect(200);
            assert_eq!(found["authors"], json!([{ "id": other, "name": "Anna Lefroy" }]));
            assert_eq!((reply.header("etag"), &found["version"]), ("\"2\"", &json!(2)));
            assert_eq!(service.get("/api/v1/books?q=jane").await.expect(200)["total"], 0);
            service.delete(&book).await.expect(204);
        } else {
            reply.problem(404, "book_not_found");
        }
    }
}

#[tokio::test]
async fn a_patch_changes_what_it_names() {
    let service = Start::without_provider().serve();
    let draft = json!({ "name": "Currer Bell", "bornYear": 1816, "diedYear": 1855 });
    let author = service.post("/api/v1/authors", &draft).await.expect(201);
    let path = format!("/api/v1/authors/{}", author["id"].as_str().unwrap());
    let reply = service.patch(&path, &json!({ "name": "Charlotte Brontë", "diedYear": null })).await;
    let patched = reply.expect(200);
    assert_eq!(reply.header("etag"), "\"2\"");
    assert_eq!((&patched["name"], &patched["bornYear"]), (&json!("Charlotte Brontë"), &json!(1816)));
    assert!(patched.get("diedYear").is_none(), "{patched}");
    for (patch, field) in [
        (json!({ "diedYear": 1800 }), "diedYear"),
        (json!({ "name": null }), "name"),
        (json!({ "books": [] }), "books"),
        (json!({ "updatedAt": null }), "updatedAt"),
    ] {
        let problem = service.patch(&path, &patch).await.problem(422, "validation_failed");
        assert_eq!(problem["errors"][0]["field"], field, "{patch}");
    }
    assert_eq!(service.get(&path).await.expect(200), patched);
}

#[tokio::test]
async fn everything_that_is_wrong_is_said_at_once() {
    let service = Start::without_provider().serve();
    let draft = json!({ "name": "", "biography": "x".repeat(5_001), "bornYear": 1900, "diedYear": 1800 });
    let problem = service.post("/api/v1/authors", &draft).await.problem(422, "validation_failed");
    let fields: Vec<&str> =
        problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["name", "biography", "diedYear"]);
}
