//! Stores that other versions of the program wrote.

use bookstore_api::book::Book;
use bookstore_api::prompt;
use bookstore_api::search::Search;
use bookstore_api::store::embedded::{EmbeddedStore, OpenError};
use bookstore_api::store::{AuthorStore, BookFilter, BookQuery, BookStore, SummaryStore, TallyStore, Upkeep};
use serde_json::json;
use tempfile::TempDir;

const VERSION_1: &str = include_str!("version_1.sql");
const VERSION_2: &str = include_str!("version_2.sql");
const EMMA: &str = "0192f000-0000-7000-8000-0000000000b1";

fn written(sql: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let connection = rusqlite::Connection::open(folder.path().join("bookstore.sqlite")).unwrap();
    connection.execute_batch(sql).unwrap();
    folder
}

fn summary(book: &Book) -> String {
    let document = json!({
        "book_id": book.id, "content_hash": book.content_hash(), "provider": "ollama",
        "requested_model": "llama3.2", "model": "llama3.2", "prompt_version": prompt::VERSION,
        "text": "She errs.", "simulated": false, "input_tokens": 9, "output_tokens": 3,
        "cached_input_tokens": 0, "reported": true, "cost_usd": 0.0, "list_cost_usd": null,
        "latency_ms": 1.5, "first_chunk_ms": 0.5, "generated_at": "2026-01-05T00:00:00Z",
    });
    format!(
        "INSERT INTO summaries VALUES ('{}', '{}', 'ollama', 'llama3.2', '{}', '2026-01-05T00:00:00.000000Z', '{document}')",
        book.id,
        book.content_hash(),
        prompt::VERSION
    )
}

#[tokio::test]
async fn a_store_of_version_1_keeps_everything() {
    // A first look tells the hash under which version 1 would have kept a summary.
    let first = written(VERSION_1);
    let emma = EmbeddedStore::open(first.path()).unwrap();
    let emma = emma.book(EMMA.parse().unwrap()).await.unwrap().unwrap();
    let folder = written(&format!("{VERSION_1}{}", summary(&emma)));
    for _ in 0..2 {
        let store = EmbeddedStore::open(folder.path()).unwrap();
        let book = store.book(emma.id).await.unwrap().unwrap();
        assert_eq!(book, Book { summary: Some("She errs.".to_owned()), ..emma.clone() });
        assert_eq!((book.version, book.authors[0].name.as_str()), (2, "Jane Austen"));
        assert_eq!(book.updated_at.to_rfc3339(), "2026-01-04T03:04:05.000006+00:00");
        let kept =
            store.summary(book.id, &book.content_hash(), prompt::VERSION, None, None).await.unwrap().unwrap();
        assert_eq!((kept.input_tokens, kept.fence, kept.first_chunk_ms), (9, 0, Some(0.5)));
        let filter = BookFilter { text: Some(Search::parse("emile")), ..BookFilter::default() };
        let found = store.books(BookQuery { filter, limit: 5, ..BookQuery::default() }).await.unwrap();
        assert_eq!(found.items.len(), 1);
        assert!(store.seeded().await.unwrap());
        let report = store.check().await.unwrap();
        assert_eq!((report.books, report.authors, report.summaries), (2, 1, 1));
        assert_eq!(report.findings, []);
    }
}

#[tokio::test]
async fn a_store_of_version_2_learns_tallies() {
    let folder = written(VERSION_2);
    for _ in 0..2 {
        let store = EmbeddedStore::open(folder.path()).unwrap();
        assert_eq!(store.tallies("").await.unwrap(), []);
        assert!(store.seeded().await.unwrap());
        let author = store.author("0192f000-0000-7000-8000-0000000000a1".parse().unwrap()).await.unwrap();
        assert_eq!(author.unwrap().name, "Jane Austen");
        // Its text index lacks the author that this fixture wrote past it; the schema is whole.
        let findings = store.check().await.unwrap().findings;
        assert!(findings.iter().all(|finding| finding.code == "outdated_author"), "{findings:?}");
    }
}

#[test]
fn a_store_of_a_newer_version_is_left_alone() {
    let folder = written("CREATE TABLE books (x); PRAGMA user_version = 99;");
    let error = EmbeddedStore::open(folder.path()).err().unwrap();
    assert!(matches!(&error, OpenError::Newer(_, 99)), "{error}");
    assert!(error.to_string().contains("start a newer program"), "{error}");
}

#[test]
fn a_store_that_cannot_be_brought_up_to_date_is_left_as_it_was() {
    let folder = written(&format!("{VERSION_1} UPDATE books SET created_at = 'yesterday' WHERE row = 2;"));
    let error = EmbeddedStore::open(folder.path()).err().unwrap();
    assert!(matches!(error, OpenError::Migration(_, 1, _)), "{error}");
    let connection = rusqlite::Connection::open(folder.path().join("bookstore.sqlite")).unwrap();
    let (version, books): (i64, i64) = connection
        .query_row("SELECT (SELECT user_version FROM pragma_user_version), count(*) FROM books", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!((version, books), (1, 2));
}
