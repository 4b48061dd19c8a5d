//! Lists: words, filters, orders, pages.

use std::collections::BTreeSet;

use bookstore_api::book::{Book, BookDraft, Price};
use bookstore_api::import::ImportDraft;
use bookstore_api::search::Search;
use bookstore_api::store::{BookFilter, BookOrder, BookQuery, Sort, Store, StoreError, TOTAL_CAP};
use uuid::Uuid;

use super::{all, author, by, create, delete, draft, summaries, text, total, whole_draft};

const ORDERS: [BookOrder; 7] = [
    BookOrder::CreatedAt,
    BookOrder::UpdatedAt,
    BookOrder::Title,
    BookOrder::PublishedYear,
    BookOrder::Price,
    BookOrder::Rating,
    BookOrder::Language,
];

pub async fn books_are_found_by_words(store: impl Store + 'static) {
    let melville = author(&store, "Herman Melville").await;
    create(&store, BookDraft { title: "Moby-Dick".to_owned(), ..whole_draft(melville.id) }).await;
    create(&store, draft("Café Society")).await;
    for (words, found) in [
        ("moby", 1),
        ("mob", 1),
        ("mo dick", 0),
        ("dick mo", 1),
        ("hunts moby", 1),
        ("melv", 1),
        ("cafe", 1),
        ("CAFÉ", 1),
        ("whale", 0),
        ("\"", 0),
        ("title:moby", 0),
        ("moby*", 1),
        ("novel", 1),
        ("", 0),
        ("  ?", 0),
        ("moby moby MOBY", 1),
        (".*", 0),
        ("^m", 1),
    ] {
        assert_eq!(total(&store, text(words)).await, found, "{words:?}");
    }
}

pub async fn the_best_matches_come_first(store: impl Store + 'static) {
    let hunter = author(&store, "Whale Hunter").await;
    let late =
        create(&store, BookDraft { description: Some("A white whale".to_owned()), ..draft("Sea") }).await;
    let named = create(&store, BookDraft { author_ids: vec![hunter.id], ..draft("Oil") }).await;
    let titled = create(&store, draft("The Whale")).await;
    let best = create(&store, BookDraft { author_ids: vec![hunter.id], ..draft("Whales") }).await;
    create(&store, draft("Nothing of it")).await;
    let query =
        BookQuery { filter: text("whal"), sort: by(BookOrder::Relevance, false), ..BookQuery::default() };
    let titles = |books: Vec<Book>| books.into_iter().map(|book| book.id).collect::<Vec<_>>();
    assert_eq!(titles(all(&store, query.clone()).await), [best.id, titled.id, named.id, late.id]);
    // Page by page, while the last one seen goes and a better one comes.
    let first = store.books(BookQuery { limit: 2, ..query.clone() }).await.unwrap();
    assert_eq!((first.total, first.total_capped, first.items.len()), (4, false, 2));
    assert!(delete(&store, titled.id).await);
    create(&store, BookDraft { author_ids: vec![hunter.id], ..draft("Whale, whale") }).await;
    let rest = store.books(BookQuery { limit: 2, cursor: first.next_cursor, ..query.clone() }).await.unwrap();
    assert_eq!((titles(rest.items), rest.next_cursor), (vec![named.id, late.id], None));
    // Together with a filter.
    let filter = BookFilter { author: Some(hunter.id), ..text("oil") };
    assert_eq!(titles(all(&store, BookQuery { filter, ..query }).await), [named.id]);
}

pub async fn filters_hold_together(store: impl Store + 'static) {
    let melville = author(&store, "Herman Melville").await;
    let whole = create(&store, whole_draft(melville.id)).await;
    let price = |amount: &str| Some(Price { amount: amount.parse().unwrap(), currency: "EUR".to_owned() });
    let cheap = create(
        &store,
        BookDraft {
            price: price("0.10"),
            published_year: Some(1999),
            language: Some("EN".to_owned()),
            ..draft("Cheap")
        },
    )
    .await;
    create(&store, draft("Bare")).await;
    summaries::keep(&store, &cheap, "ollama", "Little.", 1).await;
    let any = BookFilter::default;
    let cents = |amount: &str| Some(amount.parse().unwrap());
    for (filter, found) in [
        (any(), 3),
        (BookFilter { genre: Some("NOVEL".to_owned()), ..any() }, 1),
        (BookFilter { genre: Some("nov".to_owned()), ..any() }, 0),
        (BookFilter { language: Some("en".to_owned()), ..any() }, 1),
        (BookFilter { language: Some("PT-br".to_owned()), ..any() }, 1),
        (BookFilter { language: Some("pt".to_owned()), ..any() }, 0),
        (BookFilter { author: Some(melville.id), ..any() }, 1),
        (BookFilter { author: Some(Uuid::now_v7()), ..any() }, 0),
        (BookFilter { published_from: Some(-700), published_to: Some(-700), ..any() }, 1),
        (BookFilter { published_from: Some(-699), ..any() }, 1),
        (BookFilter { published_to: Some(1999), ..any() }, 2),
        (BookFilter { published_to: Some(-701), ..any() }, 0),
        (BookFilter { price_from: cents("0.10"), price_to: cents("0.1"), ..any() }, 1),
        (BookFilter { price_from: cents("0.11"), ..any() }, 1),
        (BookFilter { price_to: cents("100"), ..any() }, 2),
        (BookFilter { price_to: cents("100"), currency: Some("USD".to_owned()), ..any() }, 1),
        (BookFilter { currency: Some("EUR".to_owned()), ..any() }, 1),
        (BookFilter { has_summary: Some(true), ..any() }, 1),
        (BookFilter { has_summary: Some(false), ..any() }, 2),
        (BookFilter { has_summary: Some(true), currency: Some("USD".to_owned()), ..any() }, 0),
        (BookFilter { genre: Some("novel".to_owned()), author: Some(melville.id), ..text("captain") }, 1),
    ] {
        assert_eq!(total(&store, filter.clone()).await, found, "{filter:?}");
        let listed = all(&store, BookQuery { filter: filter.clone(), ..BookQuery::default() }).await;
        assert_eq!(listed.len() as u64, found, "{filter:?}");
    }
    // Its description changes: the summary fits no longer.
    super::replace(&store, cheap.id, draft("Cheaper")).await;
    assert_eq!(total(&store, BookFilter { has_summary: Some(true), ..any() }).await, 0);
    assert_eq!(store.book(whole.id).await.unwrap(), Some(whole));
}

pub async fn every_order_is_whole_and_reversible(store: impl Store + 'static) {
    let price = |amount: &str| Some(Price { amount: amount.parse().unwrap(), currency: "EUR".to_owned() });
    let made = [
        create(&store, BookDraft { published_year: Some(-5), price: price("9.99"), ..draft("b") }).await,
        create(&store, BookDraft { rating: Some(4.5), language: Some("fr".to_owned()), ..draft("Á") }).await,
        create(&store, BookDraft { published_year: Some(2000), price: price("10"), ..draft("c") }).await,
        create(&store, BookDraft { rating: Some(4.25), price: price("9.99"), ..draft("B") }).await,
        create(&store, BookDraft { language: Some("de".to_owned()), ..draft("a") }).await,
    ];
    let order = async |by: BookOrder, descending: bool| -> Vec<usize> {
        let books = all(&store, BookQuery { sort: Sort { by, descending }, ..BookQuery::default() }).await;
        books.iter().map(|book| made.iter().position(|other| other.id == book.id).unwrap()).collect()
    };
    for (by, wanted) in [
        (BookOrder::CreatedAt, [0, 1, 2, 3, 4]),
        (BookOrder::UpdatedAt, [0, 1, 2, 3, 4]),
        (BookOrder::Title, [1, 4, 0, 3, 2]),
        (BookOrder::PublishedYear, [1, 3, 4, 0, 2]),
        (BookOrder::Price, [1, 4, 0, 3, 2]),
        (BookOrder::Rating, [0, 2, 4, 3, 1]),
        (BookOrder::Language, [0, 2, 3, 4, 1]),
    ] {
        assert_eq!(order(by, false).await, wanted, "{by:?}");
        let mut backwards = order(by, true).await;
        backwards.reverse();
        assert_eq!(backwards, wanted, "{by:?}, descending");
    }
}

pub async fn pages_stay_stable_while_others_write(store: impl Store + 'static) {
    for number in 0..10 {
        // Titles repeat, so that the id has to decide.
        create(&store, draft(&format!("Book {}", number % 4))).await;
    }
    for sort in ORDERS.into_iter().flat_map(|order| [by(order, false), by(order, true)]) {
        let query = BookQuery { sort, ..BookQuery::default() };
        let before: Vec<Uuid> = all(&store, query.clone()).await.iter().map(|book| book.id).collect();
        assert_eq!(before.iter().collect::<BTreeSet<_>>().len(), before.len(), "{sort:?}");

        let mut page = BookQuery { limit: 4, ..query };
        let first = store.books(page.clone()).await.unwrap();
        // The last item seen goes away, and others come at either end.
        let last = first.items.last().unwrap();
        assert!(delete(&store, last.id).await);
        let low = create(&store, draft("Aardvark")).await;
        let high = create(&store, draft("Zebra")).await;
        let mut seen: Vec<Uuid> = first.items.iter().map(|book| book.id).collect();
        page.cursor = first.next_cursor;
        while page.cursor.is_some() {
            let next = store.books(page.clone()).await.unwrap();
            seen.extend(next.items.iter().map(|book| book.id));
            page.cursor = next.next_cursor;
        }
        seen.retain(|id| ![low.id, high.id].contains(id));
        assert_eq!(seen, before, "{sort:?}");
        delete(&store, low.id).await;
        delete(&store, high.id).await;
        create(&store, draft(&last.title)).await;
    }
    let first = store.books(BookQuery { limit: 1, ..BookQuery::default() }).await.unwrap();
    let own = first.next_cursor.unwrap();
    let other_filter = BookFilter { genre: Some("x".to_owned()), ..BookFilter::default() };
    let other_sort = by(BookOrder::Title, false);
    for query in [
        BookQuery { filter: other_filter, cursor: Some(own.clone()), ..BookQuery::default() },
        BookQuery { sort: other_sort, cursor: Some(own.clone()), ..BookQuery::default() },
        BookQuery { cursor: Some(String::new()), ..BookQuery::default() },
        BookQuery { cursor: Some("e30".to_owned()), ..BookQuery::default() },
        BookQuery { cursor: Some(own[1..].to_owned()), ..BookQuery::default() },
    ] {
        let refused = store.books(BookQuery { limit: 1, ..query.clone() }).await;
        assert!(matches!(refused, Err(StoreError::BadCursor)), "{query:?}");
    }
}

pub async fn a_total_is_exact_up_to_its_cap(store: impl Store + 'static) {
    let cap = u32::try_from(TOTAL_CAP).unwrap();
    let rows = |from: u32, to: u32| -> Vec<ImportDraft> {
        let row = |number: u32| ImportDraft {
            source: "test".to_owned(),
            source_id: number.to_string(),
            authors: Vec::new(),
            draft: BookDraft { language: Some("en".to_owned()), ..draft("Many words") },
            warnings: Vec::new(),
        };
        (from..to).map(row).collect()
    };
    let filters = || {
        [
            BookFilter::default(),
            text("man"),
            BookFilter { language: Some("en".to_owned()), ..BookFilter::default() },
        ]
    };
    store.import(rows(0, cap)).await.unwrap();
    for capped in [false, true] {
        for filter in filters() {
            let relevance = filter.text.is_some().then_some(BookOrder::Relevance);
            for order in [Some(BookOrder::Title), relevance].into_iter().flatten() {
                let query =
                    BookQuery { filter: filter.clone(), sort: by(order, false), limit: 1, cursor: None };
                let page = store.books(query).await.unwrap();
                assert_eq!((page.total, page.total_capped), (TOTAL_CAP, capped), "{filter:?} {order:?}");
            }
        }
        store.import(rows(cap, cap + 1)).await.unwrap();
    }
    assert!(!Search::parse("man").is_empty());
}
