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
async fn everything_that_is_wrong_is_said_at_once() {
    let service = Start::without_provider().serve();
    let draft = json!({ "name": "", "biography": "x".repeat(5_001), "bornYear": 1900, "diedYear": 1800 });
    let problem = service.post("/api/v1/authors", &draft).await.problem(422, "validation_failed");
    let fields: Vec<&str> =
        problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["name", "biography", "diedYear"]);
}
