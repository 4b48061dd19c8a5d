//! What every store has to keep to. Written against the ports; each adapter is held to it by one
//! test at the end.

use std::collections::BTreeSet;

use bookstore_api::book::{Author, AuthorDraft, Book, BookDraft, Price};
use bookstore_api::import::ImportDraft;
use bookstore_api::isbn::Isbn;
use bookstore_api::prompt;
use bookstore_api::store::embedded::EmbeddedStore;
use bookstore_api::store::{
    AuthorQuery, AuthorStore, BookQuery, BookStore, Sort, StoreError, StoredSummary, SummaryStore,
};
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// A store in all its roles.
trait Store: BookStore + AuthorStore + SummaryStore {}
impl<S: BookStore + AuthorStore + SummaryStore> Store for S {}

async fn author(store: &impl Store, name: &str) -> Author {
    store.create_author(AuthorDraft { name: name.to_owned(), ..AuthorDraft::default() }).await.unwrap()
}

fn draft(title: &str) -> BookDraft {
    BookDraft { title: title.to_owned(), ..BookDraft::default() }
}

fn whole_draft(author: Uuid) -> BookDraft {
    BookDraft {
        isbn: Some(Isbn::parse("9780142437247").unwrap()),
        title: "Moby-Dick; or, The Whale – “Ω” 🐋".to_owned(),
        author_ids: vec![author],
        published_year: Some(-700),
        language: Some("pt-BR".to_owned()),
        genres: vec!["Novel".to_owned(), "sea, \"salt\"".to_owned()],
        description: Some("A captain\nhunts.".to_owned()),
        price: Some(Price { amount: "12.90".parse().unwrap(), currency: "USD".to_owned() }),
        rating: Some(4.25),
    }
}

async fn all(store: &impl Store, query: BookQuery) -> Vec<Book> {
    let mut query = BookQuery { limit: 3, ..query };
    let mut books = Vec::new();
    loop {
        let page = store.books(query.clone()).await.unwrap();
        assert!(page.items.len() <= 3);
        books.extend(page.items);
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            return books;
        }
    }
}

async fn total(store: &impl Store, query: BookQuery) -> u64 {
    store.books(BookQuery { limit: 1, ..query }).await.unwrap().total
}

async fn a_book_comes_back_as_it_was_written(store: impl Store) {
    let melville = author(&store, "Herman Melville").await;
    let draft = whole_draft(melville.id);
    let made = store.create_book(draft.clone()).await.unwrap();
    assert_eq!(store.book(made.id).await.unwrap(), Some(made.clone()));
    let got = BookDraft {
        isbn: made.isbn.clone(),
        title: made.title.clone(),
        author_ids: made.authors.iter().map(|author| author.id).collect(),
        published_year: made.published_year,
        language: made.language.clone(),
        genres: made.genres.clone(),
        description: made.description.clone(),
        price: made.price.clone(),
        rating: made.rating,
    };
    assert_eq!(got, draft);
    assert_eq!((made.version, made.summary.as_ref(), made.created_at), (1, None, made.updated_at));
    assert_eq!(made.price.unwrap().amount.to_string(), "12.90");

    let bare = store.replace_book(made.id, self::draft("The Whale")).await.unwrap().unwrap();
    assert_eq!((bare.version, bare.created_at, bare.isbn.is_none()), (2, made.created_at, true));
    assert!(bare.updated_at >= made.updated_at && bare.authors.is_empty() && bare.price.is_none());
    assert_eq!(store.book(made.id).await.unwrap(), Some(bare));

    assert!(store.delete_book(made.id).await.unwrap());
    assert!(!store.delete_book(made.id).await.unwrap());
    assert_eq!(store.book(made.id).await.unwrap(), None);
    assert_eq!(store.replace_book(made.id, draft).await.unwrap(), None);
    assert_eq!(total(&store, BookQuery::default()).await, 0);
    store.ping().await.unwrap();
}

async fn an_isbn_belongs_to_one_book(store: impl Store) {
    let isbn = Some(Isbn::parse("9780142437247").unwrap());
    let with = |title: &str| BookDraft { isbn: isbn.clone(), ..draft(title) };
    let first = store.create_book(with("first")).await.unwrap();
    assert!(matches!(store.create_book(with("second")).await, Err(StoreError::IsbnTaken)));
    let other = store.create_book(draft("other")).await.unwrap();
    assert!(matches!(store.replace_book(other.id, with("other")).await, Err(StoreError::IsbnTaken)));
    assert_eq!(store.book(other.id).await.unwrap().unwrap().version, 1, "a refused write left a trace");
    store.replace_book(first.id, with("first, again")).await.unwrap().unwrap();
    store.replace_book(first.id, draft("without")).await.unwrap().unwrap();
    store.replace_book(other.id, with("other")).await.unwrap().unwrap();
    assert_eq!(total(&store, BookQuery::default()).await, 2, "any number of books have none");
}

async fn a_book_names_existing_authors_in_order(store: impl Store) {
    let (one, two) = (author(&store, "Terry Pratchett").await, author(&store, "Neil Gaiman").await);
    let nobody = Uuid::now_v7();
    let unknown = BookDraft { author_ids: vec![one.id, nobody], ..draft("Good Omens") };
    match store.create_book(unknown.clone()).await {
        Err(StoreError::UnknownAuthor(id)) => assert_eq!(id, nobody),
        other => panic!("{other:?}"),
    }
    assert_eq!(total(&store, BookQuery::default()).await, 0, "half a book was left");
    let book = store
        .create_book(BookDraft { author_ids: vec![two.id, one.id], ..draft("Good Omens") })
        .await
        .unwrap();
    let names: Vec<&str> = book.authors.iter().map(|author| author.name.as_str()).collect();
    assert_eq!(names, ["Neil Gaiman", "Terry Pratchett"]);
    assert!(matches!(store.replace_book(book.id, unknown).await, Err(StoreError::UnknownAuthor(_))));
    assert_eq!(store.book(book.id).await.unwrap(), Some(book));
}

async fn an_author_comes_back_as_written_and_stays_while_books_name_them(store: impl Store) {
    let draft = AuthorDraft {
        name: "Currer Bell".to_owned(),
        biography: Some("Wrote.".to_owned()),
        born_year: Some(1816),
        died_year: Some(1855),
    };
    let made = store.create_author(draft).await.unwrap();
    assert_eq!(store.author(made.id).await.unwrap(), Some(made.clone()));
    assert_eq!((made.version, made.born_year, made.biography.as_deref()), (1, Some(1816), Some("Wrote.")));
    let book =
        store.create_book(BookDraft { author_ids: vec![made.id], ..self::draft("Jane Eyre") }).await.unwrap();

    let renamed = AuthorDraft { name: "Charlotte Brontë".to_owned(), ..AuthorDraft::default() };
    let (author, books) = store.replace_author(made.id, renamed.clone()).await.unwrap().unwrap();
    assert_eq!((author.version, author.born_year, books), (2, None, vec![book.id]));
    let renamed_book = store.book(book.id).await.unwrap().unwrap();
    assert_eq!((renamed_book.authors[0].name.as_str(), renamed_book.version), ("Charlotte Brontë", 1));
    let text = |text: &str| BookQuery { text: Some(text.to_owned()), ..BookQuery::default() };
    assert_eq!((total(&store, text("bronte")).await, total(&store, text("currer")).await), (1, 0));

    assert!(matches!(store.delete_author(made.id).await, Err(StoreError::AuthorHasBooks)));
    store.delete_book(book.id).await.unwrap();
    assert!(store.delete_author(made.id).await.unwrap());
    assert!(!store.delete_author(made.id).await.unwrap());
    assert_eq!(store.author(made.id).await.unwrap(), None);
    assert!(store.replace_author(made.id, renamed).await.unwrap().is_none());
}

async fn authors_are_listed_by_a_part_of_their_name(store: impl Store) {
    for name in ["Zadie Smith", "Émile Zola", "Ali Smith"] {
        author(&store, name).await;
    }
    let list = async |text: Option<&str>, sort: Sort| -> Vec<String> {
        let query = AuthorQuery { text: text.map(str::to_owned), sort, limit: 10, cursor: None };
        let page = store.authors(query).await.unwrap();
        assert_eq!(page.total, page.items.len() as u64);
        page.items.into_iter().map(|author| author.name).collect()
    };
    assert_eq!(list(Some("SMITH"), Sort::Name).await, ["Ali Smith", "Zadie Smith"]);
    assert_eq!(list(Some("émile  z"), Sort::Created).await, ["Émile Zola"]);
    assert_eq!(list(Some("%"), Sort::Created).await, [""; 0]);
    assert_eq!(list(None, Sort::CreatedDescending).await, ["Ali Smith", "Émile Zola", "Zadie Smith"]);
}

async fn books_are_found_by_words_and_filters(store: impl Store) {
    let melville = author(&store, "Herman Melville").await;
    store
        .create_book(BookDraft { isbn: None, title: "Moby-Dick".to_owned(), ..whole_draft(melville.id) })
        .await
        .unwrap();
    store.create_book(BookDraft { language: Some("en".to_owned()), ..draft("Café Society") }).await.unwrap();
    let text = |text: &str| BookQuery { text: Some(text.to_owned()), ..BookQuery::default() };
    for (words, found) in [
        ("moby", 1),
        ("mob", 1),
        ("mo dick", 0),
        ("hunts moby", 1),
        ("melv", 1),
        ("cafe", 1),
        ("CAFÉ", 1),
        ("whale", 0),
        ("\"", 0),
        ("title:moby", 0),
        ("novel", 1),
        ("", 2),
        ("  ", 2),
    ] {
        assert_eq!(total(&store, text(words)).await, found, "{words:?}");
    }
    let by = |genre: &str| BookQuery { genre: Some(genre.to_owned()), ..BookQuery::default() };
    assert_eq!((total(&store, by("NOVEL")).await, total(&store, by("nov")).await), (1, 0));
    let by = |language: &str| BookQuery { language: Some(language.to_owned()), ..BookQuery::default() };
    assert_eq!((total(&store, by("en")).await, total(&store, by("fr")).await), (1, 0));
    let by = |author: Uuid| BookQuery { author: Some(author), ..BookQuery::default() };
    assert_eq!((total(&store, by(melville.id)).await, total(&store, by(Uuid::now_v7())).await), (1, 0));
    let both = BookQuery { genre: Some("novel".to_owned()), ..text("cafe") };
    assert_eq!(total(&store, both).await, 0);
}

async fn pages_stay_stable_while_others_write(store: impl Store) {
    for number in 0..10 {
        // Titles repeat, so that the id has to decide.
        store.create_book(draft(&format!("Book {}", number % 4))).await.unwrap();
    }
    for sort in [Sort::Created, Sort::CreatedDescending, Sort::Name, Sort::NameDescending] {
        let query = BookQuery { sort, ..BookQuery::default() };
        let before: Vec<Uuid> = all(&store, query.clone()).await.iter().map(|book| book.id).collect();
        assert_eq!(before.iter().collect::<BTreeSet<_>>().len(), before.len(), "{sort:?}");

        let mut page = BookQuery { limit: 4, ..query };
        let first = store.books(page.clone()).await.unwrap();
        // The last item seen goes away, and others come at either end.
        let last = first.items.last().unwrap();
        assert!(store.delete_book(last.id).await.unwrap());
        let low = store.create_book(draft("Aardvark")).await.unwrap();
        let high = store.create_book(draft("Zebra")).await.unwrap();
        let mut seen: Vec<Uuid> = first.items.iter().map(|book| book.id).collect();
        page.cursor = first.next_cursor;
        while page.cursor.is_some() {
            let next = store.books(page.clone()).await.unwrap();
            seen.extend(next.items.iter().map(|book| book.id));
            page.cursor = next.next_cursor;
        }
        seen.retain(|id| ![low.id, high.id].contains(id));
        assert_eq!(seen, before, "{sort:?}");
        store.delete_book(low.id).await.unwrap();
        store.delete_book(high.id).await.unwrap();
        store.create_book(draft(&last.title)).await.unwrap();
    }
    for cursor in ["", "x", "e30", "eyJzb3J0IjoiTmFtZSJ9"] {
        let query = BookQuery { limit: 1, cursor: Some(cursor.to_owned()), ..BookQuery::default() };
        assert!(matches!(store.books(query).await, Err(StoreError::BadCursor)), "{cursor:?}");
    }
}

fn row(id: u32, title: &str, authors: &[&str]) -> ImportDraft {
    ImportDraft {
        source: "goodbooks".to_owned(),
        source_id: id.to_string(),
        authors: authors.iter().map(|&name| name.to_owned()).collect(),
        draft: draft(title),
        warnings: Vec::new(),
    }
}

async fn an_import_may_be_repeated(store: impl Store) {
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
    assert!(first.iter().all(|outcome| outcome.written && outcome.book.is_some()));
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
    assert!(again.iter().all(|outcome| !outcome.written && outcome.book.is_none()));
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
    assert_eq!(total(&store, BookQuery::default()).await, 5);
    // One row twice in a batch is one book.
    let twice = store.import(vec![row(9, "Persuasion", &[]), row(9, "Persuasion", &[])]).await.unwrap();
    assert_eq!(twice.iter().map(|outcome| outcome.written).collect::<Vec<_>>(), [true, false]);
    assert_eq!(store.import(Vec::new()).await.unwrap(), []);
}

fn summary(book: &Book, provider: &str, text: &str, second: i64) -> StoredSummary {
    StoredSummary {
        book_id: book.id,
        content_hash: book.content_hash(),
        provider: provider.to_owned(),
        requested_model: "llama3.2".to_owned(),
        model: "llama3.2:latest".to_owned(),
        prompt_version: prompt::VERSION.to_owned(),
        text: text.to_owned(),
        simulated: false,
        input_tokens: 101,
        output_tokens: 11,
        cached_input_tokens: 3,
        reported: true,
        cost_usd: Some(0.000_123_456),
        list_cost_usd: None,
        latency_ms: 12.5,
        first_chunk_ms: Some(3.25),
        generated_at: DateTime::<Utc>::from_timestamp(1_700_000_000 + second, 0).unwrap(),
    }
}

async fn a_summary_is_kept_for_the_book_it_was_made_from(store: impl Store) {
    let book = store.create_book(draft("Moby-Dick")).await.unwrap();
    let find = async |book: &Book, provider: Option<&str>| {
        store.summary(book.id, &book.content_hash(), prompt::VERSION, provider).await.unwrap()
    };
    assert_eq!(find(&book, None).await, None);
    let first = summary(&book, "ollama", "A whale.", 1);
    assert!(store.keep_summary(first.clone()).await.unwrap());
    assert_eq!(find(&book, None).await, Some(first.clone()));
    assert_eq!(find(&book, Some("ollama")).await, Some(first.clone()));
    assert_eq!(find(&book, Some("claude")).await, None);
    assert_eq!(store.summary(book.id, &book.content_hash(), "0", None).await.unwrap(), None);

    // A second provider overwrites nothing; the latest is what is shown.
    let second = summary(&book, "claude", "A white whale.", 2);
    assert!(store.keep_summary(second.clone()).await.unwrap());
    assert_eq!(
        (find(&book, None).await, find(&book, Some("ollama")).await),
        (Some(second), Some(first.clone()))
    );
    let shown = store.book(book.id).await.unwrap().unwrap();
    assert_eq!((shown.summary.as_deref(), shown.version), (Some("A white whale."), 1));
    let newer = summary(&book, "ollama", "A captain.", 3);
    assert!(store.keep_summary(newer.clone()).await.unwrap());
    assert_eq!(find(&book, Some("ollama")).await, Some(newer));

    // The book changes: what is stored is stale, and what comes late is not kept.
    let edited = store.replace_book(book.id, draft("Moby-Dick; or, The Whale")).await.unwrap().unwrap();
    assert_eq!((edited.summary.as_ref(), find(&edited, None).await), (None, None));
    assert!(!store.keep_summary(summary(&book, "ollama", "Late.", 4)).await.unwrap());
    assert_eq!(store.book(book.id).await.unwrap().unwrap().summary, None);
    // It changes back: what was paid for fits again.
    let back = store.replace_book(book.id, draft("Moby-Dick")).await.unwrap().unwrap();
    assert_eq!(back.summary.as_deref(), Some("A captain."));

    assert!(store.delete_book(book.id).await.unwrap());
    assert_eq!(find(&book, None).await, None);
    assert!(!store.keep_summary(first).await.unwrap());
}

async fn the_catalogue_is_remembered(store: impl Store) {
    assert!(!store.seeded().await.unwrap());
    store.mark_seeded().await.unwrap();
    store.mark_seeded().await.unwrap();
    assert!(store.seeded().await.unwrap());
}

/// One test a clause for the store that `$open` makes; `$open` yields the store and what keeps it.
macro_rules! contract {
    ($open:expr; $($clause:ident)*) => {
        $(
            #[tokio::test]
            async fn $clause() {
                let (store, _keep) = $open;
                super::$clause(store).await;
            }
        )*
    };
}

mod embedded {
    use super::EmbeddedStore;

    fn open() -> (EmbeddedStore, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        (EmbeddedStore::open(folder.path()).unwrap(), folder)
    }

    contract! { open();
        a_book_comes_back_as_it_was_written
        an_isbn_belongs_to_one_book
        a_book_names_existing_authors_in_order
        an_author_comes_back_as_written_and_stays_while_books_name_them
        authors_are_listed_by_a_part_of_their_name
        books_are_found_by_words_and_filters
        pages_stay_stable_while_others_write
        an_import_may_be_repeated
        a_summary_is_kept_for_the_book_it_was_made_from
        the_catalogue_is_remembered
    }
}
