//! The store port: what the use cases need of a database.
//!
//! Owns the traits and their errors. Adapters are named for a technology; one contract suite
//! (`tests/it/store_contract.rs`) holds them all.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::book::{Author, AuthorDraft, Book, BookDraft};
use crate::import::{ImportDraft, ImportOutcome};

pub mod embedded;
pub mod observed;

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

/// How a list is ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sort {
    /// By creation, oldest first.
    #[default]
    Created,
    /// By creation, newest first.
    CreatedDescending,
    /// By title or name.
    Name,
    /// By title or name, backwards.
    NameDescending,
}

/// Which books, in which order.
#[derive(Clone, Debug, Default)]
pub struct BookQuery {
    /// All of these words, the last as a beginning.
    pub text: Option<String>,
    /// Books of this author.
    pub author: Option<Uuid>,
    /// Books of this genre.
    pub genre: Option<String>,
    /// Books in this language.
    pub language: Option<String>,
    /// Order.
    pub sort: Sort,
    /// At most this many.
    pub limit: u32,
    /// Where to go on.
    pub cursor: Option<String>,
}

/// Which authors, in which order.
#[derive(Clone, Debug, Default)]
pub struct AuthorQuery {
    /// A part of the name.
    pub text: Option<String>,
    /// Order.
    pub sort: Sort,
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
    /// How many there are in all.
    pub total: u64,
}

/// A summary as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Whether the provider reported them.
    pub reported: bool,
    /// Dollars billed.
    pub cost_usd: Option<f64>,
    /// Dollars by list price.
    pub list_cost_usd: Option<f64>,
    /// Milliseconds of the provider call.
    pub latency_ms: f64,
    /// Milliseconds to the first piece of text.
    pub first_chunk_ms: Option<f64>,
    /// When it was made.
    pub generated_at: DateTime<Utc>,
}

/// Books.
#[async_trait]
pub trait BookStore: Send + Sync {
    /// Creates a book.
    async fn create_book(&self, draft: BookDraft) -> Result<Book, StoreError>;
    /// Reads a book; its summary only if it fits the book as it is.
    async fn book(&self, id: Uuid) -> Result<Option<Book>, StoreError>;
    /// Lists books.
    async fn books(&self, query: BookQuery) -> Result<Listing<Book>, StoreError>;
    /// Replaces a book; `None` when there is none.
    async fn replace_book(&self, id: Uuid, draft: BookDraft) -> Result<Option<Book>, StoreError>;
    /// Deletes a book and its summaries; whether there was one.
    async fn delete_book(&self, id: Uuid) -> Result<bool, StoreError>;
    /// Imports a batch in one step: all of it is durable afterwards, or none.
    async fn import(&self, batch: Vec<ImportDraft>) -> Result<Vec<ImportOutcome>, StoreError>;
    /// Whether the first start's catalogue was loaded, and marking that it was.
    async fn seeded(&self) -> Result<bool, StoreError>;
    /// Remembers that the first start's catalogue was loaded.
    async fn mark_seeded(&self) -> Result<(), StoreError>;
    /// Whether the store answers.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// Authors.
#[async_trait]
pub trait AuthorStore: Send + Sync {
    /// Creates an author.
    async fn create_author(&self, draft: AuthorDraft) -> Result<Author, StoreError>;
    /// Reads an author.
    async fn author(&self, id: Uuid) -> Result<Option<Author>, StoreError>;
    /// Lists authors.
    async fn authors(&self, query: AuthorQuery) -> Result<Listing<Author>, StoreError>;
    /// Replaces an author; also says which books name them.
    async fn replace_author(
        &self,
        id: Uuid,
        draft: AuthorDraft,
    ) -> Result<Option<(Author, Vec<Uuid>)>, StoreError>;
    /// Deletes an author without books; whether there was one.
    async fn delete_author(&self, id: Uuid) -> Result<bool, StoreError>;
}

/// Summaries, keyed by book, content hash, provider, model and prompt version.
#[async_trait]
pub trait SummaryStore: Send + Sync {
    /// The latest summary of a book under this hash and prompt version, of one provider or of any.
    async fn summary(
        &self,
        book: Uuid,
        content_hash: &str,
        prompt_version: &str,
        provider: Option<&str>,
    ) -> Result<Option<StoredSummary>, StoreError>;
    /// Keeps a summary, unless its book is gone or has changed meanwhile; whether it was kept.
    async fn keep_summary(&self, summary: StoredSummary) -> Result<bool, StoreError>;
}
