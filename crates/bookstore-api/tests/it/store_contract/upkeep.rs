//! Export, restore, consistency, and what a first start remembers.

use bookstore_api::import::ImportDraft;
use bookstore_api::isbn::Isbn;
use bookstore_api::store::{BookFilter, Counts, Expected, Record, RecordKind, Restored, Store, Written};
use uuid::Uuid;

use super::{all, author, create, draft, replace, summaries, text, total, whole_draft};

async fn records(store: &impl Store) -> Vec<Record> {
    let mut found = Vec::new();
    for kind in RecordKind::ALL {
        let mut after = None;
        loop {
            let page = store.records(kind, after, 2).await.unwrap();
            found.extend(page.records);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    found
}

pub async fn the_catalogue_is_remembered(store: impl Store + 'static) {
    assert!(!store.seeded().await.unwrap());
    store.mark_seeded().await.unwrap();
    store.mark_seeded().await.unwrap();
    assert!(store.seeded().await.unwrap());
}

pub async fn what_is_exported_can_be_restored(store: impl Store + 'static) {
    let melville = author(&store, "Herman Melville").await;
    let whole = create(&store, whole_draft(melville.id)).await;
    let second = create(&store, draft("Typee")).await;
    let second = replace(&store, second.id, draft("Omoo")).await;
    summaries::keep(&store, &whole, "ollama", "A whale.", 1).await;
    summaries::keep(&store, &whole, "claude", "A white whale.", 2).await;
    let row = ImportDraft {
        source: "goodbooks".to_owned(),
        source_id: "7".to_owned(),
        authors: vec!["Jane Austen".to_owned()],
        draft: draft("Emma"),
        warnings: Vec::new(),
    };
    let imported = store.import(vec![row.clone()]).await.unwrap()[0].book;
    let exported = records(&store).await;
    assert_eq!(exported.len(), 2 + 3 + 2);
    let books_before = all(&store, Default::default()).await;

    let unchanged = store.restore(exported.clone()).await.unwrap();
    assert!(unchanged.iter().all(|outcome| *outcome == Restored::Unchanged), "{unchanged:?}");

    // Everything goes, and comes back as it was.
    for id in [whole.id, second.id, imported] {
        assert!(super::delete(&store, id).await);
    }
    assert_eq!(total(&store, BookFilter::default()).await, 0);
    let restored = store.restore(exported.clone()).await.unwrap();
    let written = restored.iter().filter(|outcome| **outcome == Restored::Written).count();
    assert_eq!(written, 3 + 2, "{restored:?}");
    assert_eq!(all(&store, Default::default()).await, books_before);
    assert_eq!(records(&store).await, exported);
    assert_eq!(total(&store, text("melville")).await, 1);
    assert!(!store.import(vec![row]).await.unwrap()[0].written, "it is still known where it came from");
    assert_eq!(store.check().await.unwrap().findings, []);
}

pub async fn a_record_never_takes_back_what_is_newer_nor_contradicts(store: impl Store + 'static) {
    let melville = author(&store, "Herman Melville").await;
    let old = create(&store, draft("Old")).await;
    let new = replace(&store, old.id, draft("New")).await;
    let record = |book| Record::Book { book, source: None };
    let newest = bookstore_api::book::Book { version: 9, title: "Newest".to_owned(), ..new.clone() };
    let isbn = Some(Isbn::parse("9780142437247").unwrap());
    let holder =
        create(&store, bookstore_api::book::BookDraft { isbn: isbn.clone(), ..draft("Holder") }).await;
    let thief = bookstore_api::book::Book { id: Uuid::now_v7(), isbn, ..old.clone() };
    let nobody = bookstore_api::book::AuthorRef { id: Uuid::now_v7(), name: "Nobody".to_owned() };
    let dangling = bookstore_api::book::Book { id: Uuid::now_v7(), authors: vec![nobody], ..old.clone() };
    let orphan = summaries::summary(&thief, "ollama", "None.", 1);
    let outcomes = store
        .restore(vec![
            record(old.clone()),
            record(newest),
            record(thief),
            record(dangling),
            Record::Summary(orphan),
            Record::Author(melville),
        ])
        .await
        .unwrap();
    assert_eq!(outcomes[..2], [Restored::Unchanged, Restored::Written]);
    for refused in &outcomes[2..5] {
        assert!(matches!(refused, Restored::Refused(_)), "{outcomes:?}");
    }
    assert_eq!(outcomes[5], Restored::Unchanged);
    let there = store.book(old.id).await.unwrap().unwrap();
    assert_eq!((there.version, there.title.as_str()), (9, "Newest"));
    let next = store.replace_book(old.id, Expected::OneOf(vec![9]), draft("Next")).await.unwrap();
    assert!(matches!(next, Written::Done(book) if book.version == 10));
    assert!(store.book(holder.id).await.unwrap().is_some());
    assert_eq!(store.check().await.unwrap().findings, []);
}

pub async fn a_check_counts_what_is_there(store: impl Store + 'static) {
    let empty = store.check().await.unwrap();
    assert_eq!((empty.authors, empty.books, empty.summaries, empty.claims), (0, 0, 0, 0));
    assert_eq!(empty.findings, []);
    let melville = author(&store, "Herman Melville").await;
    let whole = create(&store, whole_draft(melville.id)).await;
    summaries::keep(&store, &whole, "ollama", "A whale.", 1).await;
    let report = store.check().await.unwrap();
    assert_eq!((report.authors, report.books, report.summaries, report.claims), (1, 1, 1, 0));
    assert_eq!(report.findings, []);
}

pub async fn counts_follow_what_is_written(store: impl Store + 'static) {
    assert_eq!(store.counts().await.unwrap(), Counts::default());
    let melville = author(&store, "Herman Melville").await;
    let whole = create(&store, whole_draft(melville.id)).await;
    let other = create(&store, draft("Typee")).await;
    summaries::keep(&store, &whole, "ollama", "A whale.", 1).await;
    summaries::keep(&store, &whole, "claude", "A white whale.", 2).await;
    summaries::keep(&store, &other, "ollama", "An island.", 3).await;
    assert_eq!(store.counts().await.unwrap(), Counts { books: 2, books_with_summary: 2, authors: 1 });
    // Its summary fits it no longer.
    let other = replace(&store, other.id, draft("Omoo")).await;
    assert_eq!(store.counts().await.unwrap(), Counts { books: 2, books_with_summary: 1, authors: 1 });
    assert!(super::delete(&store, other.id).await);
    assert_eq!(store.counts().await.unwrap(), Counts { books: 1, books_with_summary: 1, authors: 1 });
}
