//! The store ports: what the use cases need of a database.
//!
//! Owns the traits, what they take and answer, and their errors. Adapters are named for a
//! technology; one contract suite (`tests/it/store_contract.rs`) holds them all, without
//! transactions being part of it: whatever is promised here holds on a database that has none. Long
//! because the traits of one database stand together: an adapter answers for all of them or for none.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::book::{Author, AuthorDraft, Book, BookDraft};
use crate::import::{ImportDraft, ImportOutcome};
use crate::search::Search;

pub mod cursor;
pub mod derived;
pub mod embedded;
pub mod mongo;
pub mod observed;

/// Up to this many matches `total` is exact; beyond, a list only says that there are more. By
/// relevance no more than this many are listed at all. Counting on costs time that grows with the store.
pub const TOTAL_CAP: u64 = 1_000;

/// How a store operation can fail.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The ISBN belongs to another book.
    #[error("the ISBN belongs to another book")]
    IsbnTaken,
    /// A book names an author that does not exist.
    #[error("there is no author {0}")]
    UnknownAuthor(Uuid),
    /// The author has books.
    #[error("the author still has books")]
    AuthorHasBooks,
    /// The cursor is not one of ours for this list.
    #[error("the cursor does not belong to this list")]
    BadCursor,
    /// No answer in time.
    #[error("the store did not answer in time")]
    Timeout,
    /// The store cannot be reached, is full, or failed.
    #[error("the store failed: {0}")]
    Unavailable(String),
    /// What is stored cannot be read.
    #[error("a stored document cannot be read: {0}")]
    Corrupt(String),
}

impl StoreError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::IsbnTaken => "isbn_taken",
            Self::UnknownAuthor(_) => "unknown_author",
            Self::AuthorHasBooks => "author_has_books",
            Self::BadCursor => "bad_cursor",
            Self::Timeout => "timeout",
            Self::Unavailable(_) => "unavailable",
            Self::Corrupt(_) => "corrupt",
        }
    }
}

/// Which versions of something a write may change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Expected {
    /// Whichever is there.
    #[default]
    Any,
    /// One of these.
    OneOf(Vec<u64>),
}

impl Expected {
    /// Whether a write may change this version.
    #[must_use]
    pub fn allows(&self, version: u64) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(versions) => versions.contains(&version),
        }
    }
}

/// What became of a write to something that may not be there.
#[derive(Clone, Debug, PartialEq)]
pub enum Written<T> {
    /// It was carried out.
    Done(T),
    /// There is no such thing.
    Missing,
    /// It has another version than was expected; nothing was changed.
    Conflict,
}

/// What became of a creation under an id that the caller chose.
#[derive(Clone, Debug, PartialEq)]
pub struct Created<T> {
    /// What is there now.
    pub item: T,
    /// Whether this call made it; else an earlier one had, and nothing was changed.
    pub fresh: bool,
}

/// What books can be ordered by. Where a book lacks the field it comes first when ascending; equal
/// ones follow their ids, in the same direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BookOrder {
    /// Time of creation; the same as the order of ids.
    CreatedAt,
    /// Time of the last change.
    UpdatedAt,
    /// Title, by [`crate::search::sort_key`].
    Title,
    /// Year of first publication.
    PublishedYear,
    /// Amount of the price, whatever its currency.
    Price,
    /// Rating.
    Rating,
    /// Language tag.
    Language,
    /// How well a search fits, by [`Search::score`]: best first, then by id, among [`TOTAL_CAP`]
    /// matches at most, those that were there first. Only with a text; has no direction.
    Relevance,
}

/// What authors can be ordered by; absent ones first when ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthorOrder {
    /// Time of creation; the same as the order of ids.
    CreatedAt,
    /// Time of the last change.
    UpdatedAt,
    /// Name, by [`crate::search::sort_key`].
    Name,
    /// Year of birth.
    BornYear,
    /// Year of death.
    DiedYear,
}

/// An order and its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sort<O> {
    /// What by.
    pub by: O,
    /// Largest first.
    pub descending: bool,
}

impl Default for Sort<BookOrder> {
    fn default() -> Self {
        Self { by: BookOrder::CreatedAt, descending: false }
    }
}

impl Default for Sort<AuthorOrder> {
    fn default() -> Self {
        Self { by: AuthorOrder::CreatedAt, descending: false }
    }
}

/// Which books. All that is given must fit; ranges include their ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BookFilter {
    /// All words of it are in title, authors' names, genres or description, the last as a beginning.
    /// A search without any word finds nothing.
    pub text: Option<Search>,
    /// Books of this author.
    pub author: Option<Uuid>,
    /// Books of this genre, whatever its case.
    pub genre: Option<String>,
    /// Books in this language, whatever its case.
    pub language: Option<String>,
    /// Published in this year or later.
    pub published_from: Option<i32>,
    /// Published in this year or earlier.
    pub published_to: Option<i32>,
    /// At least this amount.
    pub price_from: Option<Decimal>,
    /// At most this amount.
    pub price_to: Option<Decimal>,
    /// Priced in this currency.
    pub currency: Option<String>,
    /// With, or without, a summary that fits the book as it is.
    pub has_summary: Option<bool>,
}

/// Which books, in which order.
#[derive(Clone, Debug, Default)]
pub struct BookQuery {
    /// Which.
    pub filter: BookFilter,
    /// In which order.
    pub sort: Sort<BookOrder>,
    /// At most this many.
    pub limit: u32,
    /// Where to go on.
    pub cursor: Option<String>,
}

/// Which authors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AuthorFilter {
    /// All words of it are in the name, the last as a beginning.
    pub text: Option<Search>,
}

/// Which authors, in which order.
#[derive(Clone, Debug, Default)]
pub struct AuthorQuery {
    /// Which.
    pub filter: AuthorFilter,
    /// In which order.
    pub sort: Sort<AuthorOrder>,
    /// At most this many.
    pub limit: u32,
    /// Where to go on.
    pub cursor: Option<String>,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
    /// How many there are in all, at most [`TOTAL_CAP`].
    pub total: u64,
    /// Whether there are more than `total`.
    pub total_capped: bool,
}

impl<T> Listing<T> {
    /// A list without items.
    #[must_use]
    pub const fn empty() -> Self {
        Self { items: Vec::new(), next_cursor: None, total: 0, total_capped: false }
    }
}

/// What becomes of the books of an author who is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BooksOfDeleted {
    /// An author who has books is not deleted.
    Refuse,
    /// They stay, without this author; their versions grow.
    Detach,
    /// They go too, also those with other authors.
    Delete,
}

/// A summary as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredSummary {
    /// The book.
    pub book_id: Uuid,
    /// Hash of the fields of the book that it was made from.
    pub content_hash: String,
    /// Provider that was asked.
    pub provider: String,
    /// Model that was asked.
    pub requested_model: String,
    /// Model that answered.
    pub model: String,
    /// Version of the prompt.
    pub prompt_version: String,
    /// The text.
    pub text: String,
    /// Whether a simulator made it.
    pub simulated: bool,
    /// Prompt tokens.
    pub input_tokens: u64,
    /// Answer tokens.
    pub output_tokens: u64,
    /// Prompt tokens that the provider had cached.
    pub cached_input_tokens: u64,
    /// Prompt tokens that were written to the provider's cache.
    #[serde(default)]
    pub cache_write_input_tokens: u64,
    /// Answer tokens that were thought and not said.
    #[serde(default)]
    pub reasoning_output_tokens: u64,
    /// Whether the provider reported them.
    pub reported: bool,
    /// Dollars billed.
    pub cost_usd: Option<f64>,
    /// Dollars by list price.
    pub list_cost_usd: Option<f64>,
    /// The provider's own id of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Milliseconds of the attempt that made it.
    pub latency_ms: f64,
    /// Milliseconds to the first piece of text.
    pub first_chunk_ms: Option<f64>,
    /// When it was made.
    pub generated_at: DateTime<Utc>,
    /// Order of the calls that were allowed for the same thing: a summary never replaces one with a
    /// larger fence. Microseconds by the clock of whoever allowed the call.
    #[serde(default)]
    pub fence: u64,
}

/// What became of a summary that was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is kept.
    Kept,
    /// Its book is gone or has changed meanwhile.
    Outdated,
    /// A call that was allowed later has kept its own.
    Superseded,
}

/// Books.
#[async_trait]
pub trait BookStore: Send + Sync {
    /// Creates a book under this id, a UUIDv7 whose time becomes its time of creation.
    async fn create_book(&self, id: Uuid, draft: BookDraft) -> Result<Created<Book>, StoreError>;
    /// Reads a book; its summary only if it fits the book as it is.
    async fn book(&self, id: Uuid) -> Result<Option<Book>, StoreError>;
    /// Lists books.
    async fn books(&self, query: BookQuery) -> Result<Listing<Book>, StoreError>;
    /// Replaces a book.
    async fn replace_book(
        &self,
        id: Uuid,
        expected: Expected,
        draft: BookDraft,
    ) -> Result<Written<Book>, StoreError>;
    /// Deletes a book and its summaries, and settles what was claimed for its creation.
    async fn delete_book(&self, id: Uuid, expected: Expected) -> Result<Written<()>, StoreError>;
    /// Imports a batch: durable as a whole afterwards; after a failure some of it may be there, and
    /// importing it again completes it and doubles nothing.
    async fn import(&self, batch: Vec<ImportDraft>) -> Result<Vec<ImportOutcome>, StoreError>;
    /// Whether the first start's catalogue was loaded.
    async fn seeded(&self) -> Result<bool, StoreError>;
    /// Remembers that the first start's catalogue was loaded.
    async fn mark_seeded(&self) -> Result<(), StoreError>;
    /// Whether the store answers.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// Authors.
#[async_trait]
pub trait AuthorStore: Send + Sync {
    /// Creates an author under this id, a UUIDv7 whose time becomes the time of creation.
    async fn create_author(&self, id: Uuid, draft: AuthorDraft) -> Result<Created<Author>, StoreError>;
    /// Reads an author.
    async fn author(&self, id: Uuid) -> Result<Option<Author>, StoreError>;
    /// Lists authors.
    async fn authors(&self, query: AuthorQuery) -> Result<Listing<Author>, StoreError>;
    /// Replaces an author; also says which books name them, whether the name is new or not: it may have
    /// been new to a write whose answer was lost. A new name changes those books: their versions grow.
    async fn replace_author(
        &self,
        id: Uuid,
        expected: Expected,
        draft: AuthorDraft,
    ) -> Result<Written<(Author, Vec<Uuid>)>, StoreError>;
    /// Deletes an author; also says which books changed or went.
    async fn delete_author(
        &self,
        id: Uuid,
        expected: Expected,
        books: BooksOfDeleted,
    ) -> Result<Written<Vec<Uuid>>, StoreError>;
}

/// Summaries, keyed by book, content hash, provider, requested model and prompt version.
#[async_trait]
pub trait SummaryStore: Send + Sync {
    /// The latest summary of a book under this hash and prompt version, of one provider or of any, by one
    /// model (as requested) or by any.
    async fn summary(
        &self,
        book: Uuid,
        content_hash: &str,
        prompt_version: &str,
        provider: Option<&str>,
        model: Option<&str>,
    ) -> Result<Option<StoredSummary>, StoreError>;
    /// The latest summary of a book as it is now, under this prompt version, of one provider or of any.
    async fn current_summary(
        &self,
        book: Uuid,
        prompt_version: &str,
        provider: Option<&str>,
    ) -> Result<Option<StoredSummary>, StoreError>;
    /// Keeps a summary, unless its book is gone or has changed meanwhile, or a later call's is there.
    async fn keep_summary(&self, summary: StoredSummary) -> Result<Kept, StoreError>;
}

/// A claim of an `Idempotency-Key` for one request.
#[derive(Clone, Debug)]
pub struct Claim {
    /// What was asked for, and the client's key.
    pub key: String,
    /// Hash of the request's content.
    pub request_hash: String,
    /// Id that the resource gets if this claim is the first.
    pub resource: Uuid,
    /// When the claim ends.
    pub expires_at: DateTime<Utc>,
}

/// What a claim met.
#[derive(Clone, Debug, PartialEq)]
pub enum Claimed {
    /// This, or an earlier request with the same content, may go on, and creates this resource.
    Open {
        /// Its id.
        resource: Uuid,
    },
    /// An earlier request with the same content came to this end.
    Settled(Box<ClaimOutcome>),
    /// The key was used for another content.
    OtherRequest,
}

/// The end of a claimed creation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ClaimOutcome {
    /// A book, as it was when created.
    Book(Book),
    /// An author, as they were when created.
    Author(Author),
    /// Refused: the ISBN is taken.
    IsbnTaken,
    /// Refused: there is no such author.
    UnknownAuthor(Uuid),
}

/// What settling a claim met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The outcome stands, this one or an equal request's.
    Done,
    /// The resource was deleted since: whoever made it anew has to take it away again.
    ResourceDeleted,
}

/// Claims of idempotency keys. They outlive restarts.
#[async_trait]
pub trait ClaimStore: Send + Sync {
    /// Claims a key, or says what it was claimed for. A claim that has ended counts as none.
    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError>;
    /// Writes the outcome down, unless one stands already.
    async fn settle(&self, key: &str, outcome: &ClaimOutcome) -> Result<Settled, StoreError>;
}

/// Documents of running and ended import jobs, kept for whoever asks.
#[async_trait]
pub trait JobStore: Send + Sync {
    /// Writes a job's document, which is deleted after `expires_at`.
    async fn keep_job(&self, id: Uuid, document: String, expires_at: DateTime<Utc>)
    -> Result<(), StoreError>;
    /// Reads a job's document.
    async fn job(&self, id: Uuid) -> Result<Option<String>, StoreError>;
}

/// What one process has counted under a key since it started. Each process writes its own totals, never
/// an increment: so a write that is repeated changes nothing, and the sum over writers is the total.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// What was counted, such as `spend/2026-11-21/default/claude/claude-sonnet-5-5`. Sorted as bytes.
    pub key: String,
    /// The process.
    pub writer: Uuid,
    /// Grows with each of the writer's writes: one that arrives late never replaces a later one.
    pub serial: u64,
    /// The totals, JSON.
    pub document: String,
    /// When it may be deleted.
    pub expires_at: DateTime<Utc>,
}

/// Totals by key and process.
#[async_trait]
pub trait TallyStore: Send + Sync {
    /// Writes totals, in this order, each in place of what its writer had written under its key. After
    /// a failure some of them may be there; writing them again is right.
    async fn keep_tallies(&self, tallies: Vec<Tally>) -> Result<(), StoreError>;
    /// All totals whose key begins with `prefix`, by key and writer.
    async fn tallies(&self, prefix: &str) -> Result<Vec<Tally>, StoreError>;
}

/// What is larger than every key that begins with `prefix`, and smaller than all others that follow.
fn after_prefix(prefix: &str) -> String {
    format!("{prefix}{}", char::MAX)
}

/// A kind of record, in the order in which records can be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordKind {
    /// Authors.
    Author,
    /// Books, which name authors.
    Book,
    /// Summaries, which name books.
    Summary,
}

impl RecordKind {
    /// All, in the order of restoring.
    pub const ALL: [Self; 3] = [Self::Author, Self::Book, Self::Summary];

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Author => "author",
            Self::Book => "book",
            Self::Summary => "summary",
        }
    }
}

/// Where an imported book comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BookSource {
    /// Name of the source.
    pub name: String,
    /// Id there.
    pub id: String,
    /// Hash of the row that was imported last.
    pub row_hash: String,
}

/// Everything that is kept of one thing: what an export writes and an import takes back.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// An author.
    Author(Author),
    /// A book; `book.summary` is not part of it.
    Book {
        /// The book.
        book: Book,
        /// Where it comes from, if it was imported.
        source: Option<BookSource>,
    },
    /// A summary.
    Summary(StoredSummary),
}

/// What became of a record that was to be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restored {
    /// It is there as the record says, now.
    Written,
    /// It was there already, as the record says or newer.
    Unchanged,
    /// It contradicts what is there: why.
    Refused(String),
}

/// A page of records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Records {
    /// The records.
    pub records: Vec<Record>,
    /// What to hand in for those that follow; `None` at the end.
    pub next: Option<String>,
}

/// Something that a consistency check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Kind, stable: `dangling_author`, `missing_index`, …
    pub code: &'static str,
    /// What and where.
    pub message: String,
}

/// The result of a consistency check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckReport {
    /// Authors.
    pub authors: u64,
    /// Books.
    pub books: u64,
    /// Summaries.
    pub summaries: u64,
    /// Claims of idempotency keys.
    pub claims: u64,
    /// Everything that is wrong; at most a thousand.
    pub findings: Vec<Finding>,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Books.
    pub books: u64,
    /// Those of them that have a summary that fits them as they are.
    pub books_with_summary: u64,
    /// Authors.
    pub authors: u64,
}

/// What keeps a store sound and its content portable. Tallies are no part of its content: they are what
/// these processes spent here, and would be spent a second time in another store's budgets.
#[async_trait]
pub trait Upkeep: Send + Sync {
    /// Records of a kind after `after`, about `limit` of them, in a stable order.
    async fn records(
        &self,
        kind: RecordKind,
        after: Option<String>,
        limit: u32,
    ) -> Result<Records, StoreError>;
    /// Restores records with their ids, versions and times; one outcome a record, in order. A book or
    /// author that is there with the same or a larger version is left alone.
    async fn restore(&self, records: Vec<Record>) -> Result<Vec<Restored>, StoreError>;
    /// Looks for contradictions: counts, references, indexes, derived fields.
    async fn check(&self) -> Result<CheckReport, StoreError>;
    /// How much there is, about: what is being written at the moment may be missing.
    async fn counts(&self) -> Result<Counts, StoreError>;
    /// Deletes what has expired, tallies too, and completes what a writer that died has left half done. Called at
    /// the start and every minute.
    async fn tend(&self) -> Result<(), StoreError>;
}

/// A store in all its roles.
pub trait Store:
    BookStore + AuthorStore + SummaryStore + ClaimStore + JobStore + TallyStore + Upkeep
{
}

impl<S: BookStore + AuthorStore + SummaryStore + ClaimStore + JobStore + TallyStore + Upkeep> Store for S {}
