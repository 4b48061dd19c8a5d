//! How MongoDB finds what is asked for: every list, filter and search by an index, and a page in the
//! middle without reading what comes before it. The profiler says so, of the commands that the store
//! really sends; only a MongoDB of MongoDB's own has one (cargo feature `mongod`).

use bookstore_api::book::{AuthorDraft, BookDraft, Price};
use bookstore_api::import::ImportDraft;
use bookstore_api::prompt;
use bookstore_api::search::Search;
use bookstore_api::store::mongo::MongoStore;
use bookstore_api::store::{
    AuthorFilter, AuthorOrder, AuthorQuery, AuthorStore, BookFilter, BookOrder, BookQuery, BookStore,
    Expected, Kept, Sort, StoredSummary, SummaryStore,
};
use futures::TryStreamExt;
use mongodb::bson::{Document, doc};
use mongodb::{Client, Database};
use uuid::Uuid;

use crate::mongo_server::Scratch;

/// Books: enough that an index pays.
const BOOKS: u32 = 3_000;
/// Documents that a page of ten may look at.
const FEW: i64 = 100;

const BOOK_ORDERS: [BookOrder; 7] = [
    BookOrder::CreatedAt,
    BookOrder::UpdatedAt,
    BookOrder::Title,
    BookOrder::PublishedYear,
    BookOrder::Price,
    BookOrder::Rating,
    BookOrder::Language,
];
const AUTHOR_ORDERS: [AuthorOrder; 5] = [
    AuthorOrder::CreatedAt,
    AuthorOrder::UpdatedAt,
    AuthorOrder::Name,
    AuthorOrder::BornYear,
    AuthorOrder::DiedYear,
];

async fn fill(store: &MongoStore) {
    let languages = ["en", "de", "pt-BR", "fr"];
    let row = |number: u32| ImportDraft {
        source: "plans".to_owned(),
        source_id: number.to_string(),
        authors: vec![format!("Author {}", number % 400)],
        draft: BookDraft {
            title: format!("Title {number} of {}", number % 50),
            published_year: i32::try_from(1_500 + number % 500).ok(),
            language: Some(languages[(number % 4) as usize].to_owned()),
            genres: vec![format!("Genre {}", number % 40)],
            description: Some(format!("Said of {}", number % 100)),
            price: Some(Price { amount: (number % 300).into(), currency: "USD".to_owned() }),
            rating: Some(f64::from(number % 50) / 10.0),
            ..BookDraft::default()
        },
        warnings: Vec::new(),
    };
    for first in (0..BOOKS).step_by(250) {
        store.import((first..first + 250).map(row).collect()).await.unwrap();
    }
}

async fn profiled(database: &Database) {
    database.run_command(doc! { "profile": 0 }).await.unwrap();
    // The profiler's own collection is small, and forgets.
    database
        .run_command(doc! { "create": "system.profile", "capped": true, "size": 64 << 20 })
        .await
        .unwrap();
    database.run_command(doc! { "profile": 2, "slowms": 0 }).await.unwrap();
}

/// The commands that the profiler has seen on books, authors and summaries since.
async fn seen(database: &Database) -> Vec<Document> {
    database.run_command(doc! { "profile": 0 }).await.unwrap();
    let of_ours = doc! {
        "ns": { "$regex": r"\.(books|authors|summaries|claims)$" },
        "op": { "$in": ["query", "command", "update", "remove", "getmore"] },
    };
    let found = database.collection::<Document>("system.profile").find(of_ours).await.unwrap();
    found.try_collect().await.unwrap()
}

fn plan(command: &Document) -> &str {
    command.get_str("planSummary").unwrap_or_default()
}

#[track_caller]
fn all_by_index(commands: &[Document], at_least: usize) {
    let planned: Vec<&Document> = commands.iter().filter(|command| !plan(command).is_empty()).collect();
    assert!(planned.len() >= at_least, "{} plans were seen", planned.len());
    let scans: Vec<&&Document> =
        planned.iter().filter(|command| plan(command).contains("COLLSCAN")).collect();
    assert!(scans.is_empty(), "{} of {} read all: {scans:#?}", scans.len(), planned.len());
}

async fn stage() -> (MongoStore, Database, Scratch) {
    let scratch = Scratch::new();
    let store = scratch.store().await;
    fill(&store).await;
    let database = Client::with_uri_str(&scratch.uri).await.unwrap().database(scratch.name());
    (store, database, scratch)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_order_goes_by_its_index_and_begins_where_it_goes_on() {
    let (store, database, _scratch) = stage().await;
    let mut pages = Vec::new();
    for by in BOOK_ORDERS {
        for descending in [false, true] {
            let mut query = BookQuery { sort: Sort { by, descending }, limit: 1_000, ..BookQuery::default() };
            query.cursor = store.books(query.clone()).await.unwrap().next_cursor;
            assert!(query.cursor.is_some());
            pages.push(BookQuery { limit: 10, ..query });
        }
    }
    profiled(&database).await;
    for page in &pages {
        assert_eq!(store.books(page.clone()).await.unwrap().items.len(), 10);
    }
    let commands = seen(&database).await;
    all_by_index(&commands, 2 * pages.len());
    let lists: Vec<&Document> =
        commands.iter().filter(|command| command.get_str("op").is_ok_and(|op| op == "query")).collect();
    assert_eq!(lists.len(), pages.len());
    for list in lists {
        assert!(!list.get_bool("hasSortStage").unwrap_or(false), "sorted in memory: {list:#?}");
        let examined = list
            .get("docsExamined")
            .and_then(|examined| examined.as_i32().map(i64::from).or_else(|| examined.as_i64()));
        assert!(examined.is_some_and(|examined| examined <= FEW), "looked at {examined:?}: {list:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_filter_and_search_goes_by_an_index() {
    let (store, database, _scratch) = stage().await;
    let author =
        store.authors(AuthorQuery { limit: 1, ..AuthorQuery::default() }).await.unwrap().items.remove(0);
    let book = store.books(BookQuery { limit: 1, ..BookQuery::default() }).await.unwrap().items.remove(0);
    let none = BookFilter::default;
    let text = |text: &str| Some(Search::parse(text));
    let filters = [
        none(),
        BookFilter { text: text("title"), ..none() },
        BookFilter { text: text("title 7 auth"), ..none() },
        BookFilter { text: text("no such word"), ..none() },
        BookFilter { author: Some(author.id), ..none() },
        BookFilter { genre: Some("genre 7".to_owned()), ..none() },
        BookFilter { language: Some("EN".to_owned()), ..none() },
        BookFilter { published_from: Some(1_600), published_to: Some(1_610), ..none() },
        BookFilter { price_from: Some(3.into()), price_to: Some(9.into()), ..none() },
        BookFilter { currency: Some("USD".to_owned()), ..none() },
        BookFilter { has_summary: Some(true), ..none() },
        BookFilter { has_summary: Some(false), ..none() },
        BookFilter {
            text: text("title 7"),
            genre: Some("genre 7".to_owned()),
            language: Some("en".to_owned()),
            ..none()
        },
    ];
    profiled(&database).await;
    let mut asked = 0;
    for filter in filters {
        for by in BOOK_ORDERS.into_iter().chain([BookOrder::Relevance]) {
            for descending in [false, true] {
                let sort = Sort { by, descending: descending && by != BookOrder::Relevance };
                let mut query = BookQuery { filter: filter.clone(), sort, limit: 3, cursor: None };
                query.cursor = store.books(query.clone()).await.unwrap().next_cursor;
                if query.cursor.is_some() {
                    store.books(query).await.unwrap();
                }
                asked += 1;
            }
        }
    }
    for text in [None, text("author 1"), text("nobody")] {
        for by in AUTHOR_ORDERS {
            for descending in [false, true] {
                let filter = AuthorFilter { text: text.clone() };
                let sort = Sort { by, descending };
                let mut query = AuthorQuery { filter, sort, limit: 3, cursor: None };
                query.cursor = store.authors(query.clone()).await.unwrap().next_cursor;
                if query.cursor.is_some() {
                    store.authors(query).await.unwrap();
                }
                asked += 1;
            }
        }
    }
    // What writes look for, too.
    let kept = StoredSummary {
        book_id: book.id,
        content_hash: book.content_hash(),
        provider: "ollama".to_owned(),
        requested_model: "m".to_owned(),
        model: "m".to_owned(),
        prompt_version: prompt::VERSION.to_owned(),
        text: "It.".to_owned(),
        simulated: false,
        input_tokens: 1,
        output_tokens: 1,
        cached_input_tokens: 0,
        cache_write_input_tokens: 0,
        reasoning_output_tokens: 0,
        request_id: None,
        reported: true,
        cost_usd: None,
        list_cost_usd: None,
        latency_ms: 1.0,
        first_chunk_ms: None,
        generated_at: chrono::Utc::now(),
        fence: 1,
    };
    assert_eq!(store.keep_summary(kept).await.unwrap(), Kept::Kept);
    store.summary(book.id, &book.content_hash(), prompt::VERSION, None, None).await.unwrap().unwrap();
    let renamed = AuthorDraft { name: "Renamed".to_owned(), ..AuthorDraft::default() };
    store.replace_author(author.id, Expected::Any, renamed).await.unwrap();
    store.create_book(Uuid::now_v7(), BookDraft { author_ids: vec![author.id], ..draft() }).await.unwrap();
    store.delete_book(book.id, Expected::Any).await.unwrap();
    all_by_index(&seen(&database).await, asked);
}

fn draft() -> BookDraft {
    BookDraft { title: "One".to_owned(), ..BookDraft::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_book_is_one_round_trip() {
    let (store, database, _scratch) = stage().await;
    let book = store.books(BookQuery { limit: 1, ..BookQuery::default() }).await.unwrap().items.remove(0);
    profiled(&database).await;
    store.book(book.id).await.unwrap().unwrap();
    let commands = seen(&database).await;
    assert_eq!(commands.len(), 1, "{commands:#?}");
    // A server from 8.0 on calls it an express plan.
    assert!(["IDHACK", "EXPRESS"].iter().any(|name| plan(&commands[0]).contains(name)), "{commands:#?}");
}
