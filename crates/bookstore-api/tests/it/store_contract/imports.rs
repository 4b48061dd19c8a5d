//! Import: each row once, however often it comes.

use bookstore_api::import::ImportDraft;
use bookstore_api::isbn::Isbn;
use bookstore_api::store::{BookFilter, BookQuery, Store};

use super::{all, author, draft, total};

fn row(id: u32, title: &str, authors: &[&str]) -> ImportDraft {
    ImportDraft {
        source: "goodbooks".to_owned(),
        source_id: id.to_string(),
        authors: authors.iter().map(|&name| name.to_owned()).collect(),
        draft: draft(title),
        warnings: Vec::new(),
    }
}

pub async fn an_import_may_be_repeated(store: impl Store + 'static) {
    let melville = author(&store, "Herman Melville").await;
    let isbn = Isbn::parse("9780142437247").ok();
    let mut rows = vec![
        row(1, "Moby-Dick", &["herman  MELVILLE"]),
        row(2, "Emma", &["Jane Austen"]),
        row(3, "Sanditon", &["Jane Austen", "JANE AUSTEN", "Another Lady"]),
        row(4, "Moby-Dick, again", &[]),
    ];
    rows[0].draft.isbn = isbn.clone();
    rows[3].draft.isbn = isbn.clone();
    let first = store.import(rows.clone()).await.unwrap();
    assert!(first.iter().all(|outcome| outcome.written));
    assert_eq!(first.iter().map(|outcome| outcome.authors_created).collect::<Vec<_>>(), [0, 1, 1, 0]);
    assert_eq!(first.iter().map(|outcome| outcome.warnings.len()).collect::<Vec<_>>(), [0, 0, 0, 1]);
    let books = all(&store, BookQuery::default()).await;
    assert_eq!(
        books.iter().map(|book| book.title.as_str()).collect::<Vec<_>>(),
        ["Moby-Dick", "Emma", "Sanditon", "Moby-Dick, again"]
    );
    assert_eq!((books[0].authors[0].id, &books[0].isbn, &books[3].isbn), (melville.id, &isbn, &None));
    assert_eq!(books[2].authors.len(), 2, "one spelling of an author is enough");

    let again = store.import(rows.clone()).await.unwrap();
    assert!(again.iter().all(|outcome| !outcome.written));
    // Named all the same: whoever lost the first answer has to hear of them.
    assert!(again.iter().zip(&first).all(|(again, first)| again.book == first.book));
    assert_eq!(all(&store, BookQuery::default()).await, books);

    // A row that changed brings its book up to date; another source's rows are its own.
    rows[1].draft.title = "Emma, corrected".to_owned();
    let changed = store.import(rows.clone()).await.unwrap();
    assert_eq!(
        changed.iter().map(|outcome| outcome.written).collect::<Vec<_>>(),
        [false, true, false, false]
    );
    let emma = store.book(books[1].id).await.unwrap().unwrap();
    assert_eq!((emma.title.as_str(), emma.version), ("Emma, corrected", 2));
    store.import(vec![ImportDraft { source: "other".to_owned(), ..row(1, "Typee", &[]) }]).await.unwrap();
    assert_eq!(total(&store, BookFilter::default()).await, 5);
    // One row twice in a batch is one book.
    let twice = store.import(vec![row(9, "Persuasion", &[]), row(9, "Persuasion", &[])]).await.unwrap();
    assert_eq!(twice.iter().map(|outcome| outcome.written).collect::<Vec<_>>(), [true, false]);
    assert_eq!(store.import(Vec::new()).await.unwrap(), []);
    assert_eq!(store.check().await.unwrap().findings, []);
}
