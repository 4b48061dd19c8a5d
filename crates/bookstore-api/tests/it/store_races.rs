//! Writers that race, and writers that break off anywhere: afterwards, and after upkeep, nothing
//! contradicts anything.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
#[cfg(feature = "integration")]
use std::time::Duration;

use bookstore_api::book::{AuthorDraft, BookDraft};
use bookstore_api::import::ImportDraft;
use bookstore_api::isbn::Isbn;
use bookstore_api::prompt;
use bookstore_api::store::embedded::EmbeddedStore;
use bookstore_api::store::{
    BookQuery, BooksOfDeleted, Claim, ClaimOutcome, Claimed, Expected, Settled, Store, StoreError,
    StoredSummary,
};
use tokio::task::JoinSet;
use uuid::Uuid;

/// Numbers by chance, the same in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        // Xorshift: good enough to mix steps.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn of(&mut self, ids: &[Uuid]) -> Uuid {
        ids[usize::try_from(self.below(ids.len() as u64)).unwrap()]
    }
}

fn draft(chance: &mut Chance, authors: &[Uuid]) -> BookDraft {
    let author_ids: BTreeSet<Uuid> = (0..chance.below(3)).map(|_| chance.of(authors)).collect();
    BookDraft {
        title: format!("Title {}", chance.below(9)),
        isbn: (chance.below(8) == 0).then(|| Isbn::parse("9780142437247").unwrap()),
        author_ids: author_ids.into_iter().collect(),
        ..BookDraft::default()
    }
}

/// One write by chance. Refusals are fine; failures are not.
async fn write(store: &impl Store, chance: &mut Chance, pools: &Pools) {
    let (authors, books) = (&pools.authors.latest(), &pools.books.latest());
    let mode = [BooksOfDeleted::Refuse, BooksOfDeleted::Detach, BooksOfDeleted::Delete];
    let result = match chance.below(20) {
        0..=4 => store.create_book(pools.books.fresh(), draft(chance, authors)).await.map(|_| ()),
        5..=8 => {
            let draft = draft(chance, authors);
            store.replace_book(chance.of(books), Expected::Any, draft).await.map(|_| ())
        }
        9 => store.delete_book(chance.of(books), Expected::Any).await.map(|_| ()),
        10..=12 => {
            let name = format!("Name {}", chance.below(1_000));
            let draft = AuthorDraft { name, ..AuthorDraft::default() };
            store.replace_author(chance.of(authors), Expected::Any, draft).await.map(|_| ())
        }
        13 | 14 => {
            let mode = mode[usize::try_from(chance.below(3)).unwrap()];
            store.delete_author(chance.of(authors), Expected::Any, mode).await.map(|_| ())
        }
        15 | 16 => {
            let draft =
                AuthorDraft { name: format!("Name {}", chance.below(1_000)), ..AuthorDraft::default() };
            store.create_author(pools.authors.fresh(), draft).await.map(|_| ())
        }
        17 => {
            let row = |number: u64| ImportDraft {
                source: "races".to_owned(),
                source_id: number.to_string(),
                authors: vec![format!("Imported {}", number % 3)],
                draft: BookDraft { title: format!("Row {number}"), ..BookDraft::default() },
                warnings: Vec::new(),
            };
            store.import((0..4).map(|_| row(chance.below(6))).collect()).await.map(|_| ())
        }
        _ => match store.book(chance.of(books)).await {
            Ok(Some(book)) => {
                let text = format!("Summary {}", chance.below(1_000));
                store.keep_summary(summary(&book, text, chance.below(100))).await.map(|_| ())
            }
            other => other.map(|_| ()),
        },
    };
    match result {
        Ok(()) | Err(StoreError::IsbnTaken | StoreError::UnknownAuthor(_) | StoreError::AuthorHasBooks) => {}
        Err(error) => panic!("{error}"),
    }
}

fn summary(book: &bookstore_api::book::Book, text: String, second: u64) -> StoredSummary {
    StoredSummary {
        book_id: book.id,
        content_hash: book.content_hash(),
        provider: "ollama".to_owned(),
        requested_model: "m".to_owned(),
        model: "m".to_owned(),
        prompt_version: prompt::VERSION.to_owned(),
        text,
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
        generated_at: chrono::DateTime::from_timestamp(1_700_000_000 + i64::try_from(second).unwrap(), 0)
            .unwrap(),
        fence: second,
    }
}

/// Ids that were given: writers turn to the latest of them.
struct Ids(Mutex<Vec<Uuid>>, usize);

impl Ids {
    fn new(latest: usize) -> Self {
        Self(Mutex::new((0..latest).map(|_| Uuid::now_v7()).collect()), latest)
    }

    fn fresh(&self) -> Uuid {
        let id = Uuid::now_v7();
        self.0.lock().unwrap().push(id);
        id
    }

    fn latest(&self) -> Vec<Uuid> {
        let ids = self.0.lock().unwrap();
        ids[ids.len() - self.1..].to_vec()
    }
}

struct Pools {
    authors: Ids,
    books: Ids,
}

impl Pools {
    fn new() -> Arc<Self> {
        Arc::new(Self { authors: Ids::new(4), books: Ids::new(8) })
    }
}

/// Eight writers at once on few authors and books.
async fn race<S: Store + Clone + 'static>(store: &S) {
    let pools = Pools::new();
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let (store, pools) = (store.clone(), Arc::clone(&pools));
        writers.spawn(async move {
            let mut chance = Chance(0x9e37_79b9_7f4a_7c15 + writer);
            for _ in 0..60 {
                write(&store, &mut chance, &pools).await;
            }
        });
    }
    writers.join_all().await;
    let findings = store.check().await.unwrap().findings;
    assert_eq!(findings, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_the_embedded_store_may_race() {
    let folder = tempfile::tempdir().unwrap();
    race(&EmbeddedStore::open(folder.path()).unwrap()).await;
}

/// Claims, creations and deletions of one key at once: there is never a second resource.
async fn race_for_a_key<S: Store + Clone + 'static>(store: &S) {
    for round in 0..10 {
        let mut writers = JoinSet::new();
        for writer in 0..6 {
            let store = store.clone();
            writers.spawn(async move {
                let key = format!("key {round}");
                let claim = Claim {
                    key: key.clone(),
                    request_hash: "same".to_owned(),
                    resource: Uuid::now_v7(),
                    expires_at: chrono::Utc::now() + chrono::TimeDelta::hours(1),
                };
                let resource = match store.claim(claim).await.unwrap() {
                    Claimed::Open { resource } => resource,
                    Claimed::Settled(outcome) => match *outcome {
                        ClaimOutcome::Book(book) => return book.id,
                        other => panic!("{other:?}"),
                    },
                    Claimed::OtherRequest => panic!("it is the same request"),
                };
                let draft = BookDraft { title: format!("Round {round}"), ..BookDraft::default() };
                let made = store.create_book(resource, draft).await.unwrap().item;
                if writer == 5 {
                    let _ = store.delete_book(resource, Expected::Any).await.unwrap();
                }
                let settled = store.settle(&key, &ClaimOutcome::Book(made)).await.unwrap();
                if settled == Settled::ResourceDeleted {
                    let _ = store.delete_book(resource, Expected::Any).await.unwrap();
                }
                resource
            });
        }
        let made: BTreeSet<Uuid> = writers.join_all().await.into_iter().collect();
        assert_eq!(made.len(), 1);
    }
    let query = BookQuery { limit: 100, ..BookQuery::default() };
    let titles: Vec<String> =
        store.books(query).await.unwrap().items.into_iter().map(|book| book.title).collect();
    let distinct: BTreeSet<&String> = titles.iter().collect();
    assert_eq!(distinct.len(), titles.len(), "{titles:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_under_one_key_may_race_on_the_embedded_store() {
    let folder = tempfile::tempdir().unwrap();
    race_for_a_key(&EmbeddedStore::open(folder.path()).unwrap()).await;
}

#[cfg(feature = "integration")]
mod mongo {
    use bookstore_api::store::{AuthorStore, BookStore, Upkeep, Written};
    use mongodb::bson::{DateTime, doc};

    use super::*;
    use crate::mongo_server::Scratch;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn writers_of_mongodb_may_race() {
        let scratch = Scratch::new();
        race(&scratch.store().await).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn requests_under_one_key_may_race_on_mongodb() {
        let scratch = Scratch::new();
        race_for_a_key(&scratch.store().await).await;
    }

    /// Makes every mark look as though it had been written long ago.
    async fn age(scratch: &Scratch) {
        let long_ago = DateTime::from_millis(0);
        for (collection, field) in [("authors", "pending"), ("summaries", "pending"), ("tombstones", "at")] {
            scratch
                .collection(collection)
                .await
                .update_many(doc! { field: { "$exists": true } }, doc! { "$set": { field: long_ago } })
                .await
                .unwrap();
        }
    }

    /// Dropping a write is what a crash is to the database: it ends between any two commands.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_breaks_off_is_completed() {
        let scratch = Scratch::new();
        let store = scratch.store().await;
        let pools = Pools::new();
        let mut writers = JoinSet::new();
        for writer in 0..8 {
            let (store, pools) = (store.clone(), Arc::clone(&pools));
            writers.spawn(async move {
                let mut chance = Chance(0x2545_f491_4f6c_dd1d + writer);
                let mut broken = 0;
                for _ in 0..80 {
                    let patience = Duration::from_micros(chance.below(12_000));
                    let write = write(&store, &mut chance, &pools);
                    broken += u32::from(tokio::time::timeout(patience, write).await.is_err());
                }
                broken
            });
        }
        let broken: u32 = writers.join_all().await.into_iter().sum();
        assert!(broken > 50, "only {broken} writes broke off: nothing was tried");
        // What the server had received of them is carried out by then.
        tokio::time::sleep(Duration::from_secs(1)).await;
        age(&scratch).await;
        // As the service does it: a round that failed is followed by another.
        let mut rounds = 1;
        while let Err(error) = store.tend().await {
            println!("round {rounds}: {error}");
            assert!(rounds < 4, "{error}");
            rounds += 1;
        }
        assert_eq!(store.check().await.unwrap().findings, []);
        assert_eq!(scratch.collection("tombstones").await.count_documents(doc! {}).await.unwrap(), 0);
    }

    /// The very gaps: after each command that a rename, a deletion and a kept summary consist of.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_half_done_rename_and_deletion_are_found_by_their_marks() {
        let scratch = Scratch::new();
        let store = scratch.store().await;
        let mut author_ids = Vec::new();
        for name in ["Renamed", "Deleted", "Deleted with books"] {
            let draft = AuthorDraft { name: name.to_owned(), ..AuthorDraft::default() };
            author_ids.push(store.create_author(Uuid::now_v7(), draft).await.unwrap().item.id);
        }
        let mut made = Vec::new();
        for author in &author_ids {
            let draft =
                BookDraft { title: "A".to_owned(), author_ids: vec![*author], ..BookDraft::default() };
            made.push(store.create_book(Uuid::now_v7(), draft).await.unwrap().item);
        }
        let raw = |id: Uuid| mongodb::bson::Uuid::from_bytes(id.into_bytes());
        let (authors, tombstones) =
            (scratch.collection("authors").await, scratch.collection("tombstones").await);
        let long_ago = DateTime::from_millis(0);
        let new_name = doc! { "$set": { "name": "New", "nameKey": "new", "words": ["new"], "sort.name": "new",
        "pending": long_ago, "version": 2_i64 } };
        authors.update_one(doc! { "_id": raw(author_ids[0]) }, new_name).await.unwrap();
        for (author, books) in [(author_ids[1], false), (author_ids[2], true)] {
            let stone = doc! { "_id": raw(author), "token": mongodb::bson::Uuid::new(), "of": "author",
            "deleteBooks": books, "at": long_ago };
            tombstones.insert_one(stone).await.unwrap();
            authors.delete_one(doc! { "_id": raw(author) }).await.unwrap();
        }
        let mut codes: Vec<&str> =
            store.check().await.unwrap().findings.iter().map(|finding| finding.code).collect();
        codes.sort_unstable();
        assert_eq!(
            codes,
            [
                "dangling_author",
                "dangling_author",
                "outdated_name",
                "unfinished_deletion",
                "unfinished_rename"
            ]
        );
        store.tend().await.unwrap();
        assert_eq!(store.check().await.unwrap().findings, []);
        let renamed = store.book(made[0].id).await.unwrap().unwrap();
        assert_eq!((renamed.authors[0].name.as_str(), renamed.version), ("New", 2));
        let detached = store.book(made[1].id).await.unwrap().unwrap();
        assert_eq!((detached.authors.len(), detached.version), (0, 2));
        assert_eq!(store.book(made[2].id).await.unwrap(), None);
        assert!(matches!(
            store.replace_book(made[2].id, Expected::Any, BookDraft::default()).await,
            Ok(Written::Missing)
        ));
    }

    /// A writer read the old name, was overtaken by the whole rename, wrote, and broke off.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_book_that_comes_after_a_rename_with_the_old_name_is_found() {
        let scratch = Scratch::new();
        let store = scratch.store().await;
        let draft = AuthorDraft { name: "Old".to_owned(), ..AuthorDraft::default() };
        let author = store.create_author(Uuid::now_v7(), draft).await.unwrap().item;
        let draft =
            BookDraft { title: "Late".to_owned(), author_ids: vec![author.id], ..BookDraft::default() };
        let book = store.create_book(Uuid::now_v7(), draft).await.unwrap().item;
        let books = scratch.collection("books").await;
        let own = doc! { "_id": mongodb::bson::Uuid::from_bytes(book.id.into_bytes()) };
        let late = books.find_one_and_delete(own).await.unwrap().unwrap();
        let draft = AuthorDraft { name: "New".to_owned(), ..AuthorDraft::default() };
        let Written::Done((_, changed)) =
            store.replace_author(author.id, Expected::Any, draft).await.unwrap()
        else {
            panic!("the author is there")
        };
        assert!(changed.is_empty());
        books.insert_one(late).await.unwrap();
        // Not before it is certain that no such writer is left.
        store.tend().await.unwrap();
        let codes: Vec<&str> =
            store.check().await.unwrap().findings.iter().map(|finding| finding.code).collect();
        assert_eq!(codes, ["outdated_name"]);
        age(&scratch).await;
        store.tend().await.unwrap();
        assert_eq!(store.check().await.unwrap().findings, []);
        assert_eq!(store.book(book.id).await.unwrap().unwrap().authors[0].name, "New");
    }
}
