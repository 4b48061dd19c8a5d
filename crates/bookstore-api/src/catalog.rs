//! Books and authors: the use cases, cached aside and invalidated on write.

use std::sync::Arc;

use llm::ProviderName;
use telemetry::Metrics;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use uuid::Uuid;

use crate::book::{Author, AuthorDraft, Book, BookDraft, Violation};
use crate::cache::{Area, CacheKey};
use crate::cache_aside::CacheAside;
use crate::import::{ImportDraft, ImportOutcome};
use crate::store::{
    AuthorQuery, AuthorStore, BookQuery, BookStore, BooksOfDeleted, Expected, Listing, Record, Restored,
    StoreError, Upkeep, Written,
};

/// What a use case asks for and cannot have.
#[derive(Debug, thiserror::Error)]
pub enum UseCaseError {
    /// There is no such thing.
    #[error("there is no {what} {id}")]
    NotFound {
        /// `book` or `author`.
        what: &'static str,
        /// Its id.
        id: Uuid,
    },
    /// Fields break rules.
    #[error("{} field(s) are not valid", .0.len())]
    Invalid(Vec<Violation>),
    /// The provider asked for is not set up here.
    #[error("the provider {provider} is not set up; there is {}", available.join(", "))]
    ProviderNotConfigured {
        /// The one asked for.
        provider: ProviderName,
        /// Those that are.
        available: Vec<&'static str>,
    },
    /// The provider failed.
    #[error("{provider} failed: {error}")]
    Provider {
        /// The one asked.
        provider: ProviderName,
        /// How.
        error: llm::LlmError,
    },
    /// The store failed or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl UseCaseError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not_found",
            Self::Invalid(_) => "invalid",
            Self::ProviderNotConfigured { .. } => "provider_not_configured",
            Self::Provider { error, .. } => error.kind(),
            Self::Store(error) => error.kind(),
        }
    }
}

/// The use cases of books and authors.
#[derive(Clone)]
pub struct Catalog {
    books: Arc<dyn BookStore>,
    authors: Arc<dyn AuthorStore>,
    upkeep: Arc<dyn Upkeep>,
    cache: CacheAside,
    metrics: Metrics,
    /// Writes with their invalidations: they outlive a caller who leaves, and a stop waits for them.
    writes: TaskTracker,
}

/// Every cache key that says something about this book.
#[must_use]
pub fn book_keys(id: Uuid) -> Vec<CacheKey> {
    let mut keys = vec![CacheKey::new(Area::Book, id), summary_key(id, None)];
    keys.extend(ProviderName::ALL.map(|provider| summary_key(id, Some(provider))));
    keys
}

/// Every cache key that says something about what is in this record.
fn record_keys(record: &Record) -> Vec<CacheKey> {
    match record {
        Record::Author(author) => vec![CacheKey::new(Area::Author, author.id)],
        Record::Book { book, .. } => book_keys(book.id),
        Record::Summary(summary) => book_keys(summary.book_id),
    }
}

/// The key of a book's summary, of one provider or of any.
#[must_use]
pub fn summary_key(book: Uuid, provider: Option<ProviderName>) -> CacheKey {
    let provider = provider.map_or("any", ProviderName::as_str);
    CacheKey::new(Area::Summary, format_args!("{book}:{provider}"))
}

impl Catalog {
    /// The use cases over these ports.
    pub fn new(
        books: Arc<dyn BookStore>,
        authors: Arc<dyn AuthorStore>,
        upkeep: Arc<dyn Upkeep>,
        cache: CacheAside,
        metrics: Metrics,
        writes: TaskTracker,
    ) -> Self {
        Self { books, authors, upkeep, cache, metrics, writes }
    }

    /// Runs a write together with its invalidation to the end, even if the caller leaves meanwhile:
    /// what was committed must not stay hidden behind the cache. A write that fails invalidates
    /// too, for it may have been carried out all the same.
    async fn write<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
        keys: impl FnOnce(Option<&T>) -> Vec<CacheKey> + Send + 'static,
    ) -> Result<T, StoreError> {
        let cache = self.cache.clone();
        let whole = async move {
            let result = work.await;
            cache.invalidate(&keys(result.as_ref().ok())).await;
            result
        };
        let task = self.writes.spawn(whole.in_current_span());
        task.await.unwrap_or_else(|error| Err(StoreError::Unavailable(error.to_string())))
    }

    /// Reads a book.
    ///
    /// # Errors
    /// When there is none or the store fails.
    pub async fn book(&self, id: Uuid) -> Result<Book, UseCaseError> {
        let store = Arc::clone(&self.books);
        let found =
            self.cache.read(CacheKey::new(Area::Book, id), async move { store.book(id).await }).await?;
        found.value.ok_or(UseCaseError::NotFound { what: "book", id })
    }

    /// Lists books.
    ///
    /// # Errors
    /// When the cursor is foreign or the store fails.
    pub async fn books(&self, query: BookQuery) -> Result<Listing<Book>, UseCaseError> {
        Ok(self.books.books(query).await?)
    }

    /// Creates a book.
    ///
    /// # Errors
    /// When it breaks rules, names unknown authors, or its ISBN is taken.
    pub async fn create_book(&self, draft: BookDraft) -> Result<Book, UseCaseError> {
        check(draft.violations())?;
        let book = self.books.create_book(Uuid::now_v7(), draft).await?.item;
        self.metrics.books_written("create", 1);
        Ok(book)
    }

    /// Replaces a book.
    ///
    /// # Errors
    /// As [`Catalog::create_book`], or when there is none.
    pub async fn replace_book(&self, id: Uuid, draft: BookDraft) -> Result<Book, UseCaseError> {
        check(draft.violations())?;
        let store = Arc::clone(&self.books);
        let work = async move { store.replace_book(id, Expected::Any, draft).await };
        let book = self.write(work, move |_| book_keys(id)).await?;
        let Written::Done(book) = book else { return Err(UseCaseError::NotFound { what: "book", id }) };
        self.metrics.books_written("replace", 1);
        Ok(book)
    }

    /// Deletes a book with its summaries.
    ///
    /// # Errors
    /// When there is none or the store fails.
    pub async fn delete_book(&self, id: Uuid) -> Result<(), UseCaseError> {
        let store = Arc::clone(&self.books);
        let work = async move { store.delete_book(id, Expected::Any).await };
        let deleted = self.write(work, move |_| book_keys(id)).await?;
        if deleted != Written::Done(()) {
            return Err(UseCaseError::NotFound { what: "book", id });
        }
        self.metrics.books_written("delete", 1);
        Ok(())
    }

    /// Imports a batch of rows, in one step.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn import(&self, batch: Vec<ImportDraft>) -> Result<Vec<ImportOutcome>, StoreError> {
        let store = Arc::clone(&self.books);
        let keys = |outcomes: Option<&Vec<ImportOutcome>>| {
            let written = outcomes.into_iter().flatten().filter_map(|outcome| outcome.book);
            written.flat_map(book_keys).collect()
        };
        let outcomes = self.write(async move { store.import(batch).await }, keys).await?;
        let written = outcomes.iter().filter(|outcome| outcome.written).count();
        self.metrics.books_written("import", written as u64);
        Ok(outcomes)
    }

    /// Restores records of an export, in one step.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn restore(&self, records: Vec<Record>) -> Result<Vec<Restored>, StoreError> {
        let store = Arc::clone(&self.upkeep);
        // A record's author may be named by books that are not among the records: those keep an old
        // name in the cache for its time to live, as nobody knows them here.
        let keys: Vec<CacheKey> = records.iter().flat_map(record_keys).collect();
        self.write(async move { store.restore(records).await }, |_| keys).await
    }

    /// Reads an author.
    ///
    /// # Errors
    /// When there is none or the store fails.
    pub async fn author(&self, id: Uuid) -> Result<Author, UseCaseError> {
        let store = Arc::clone(&self.authors);
        let found =
            self.cache.read(CacheKey::new(Area::Author, id), async move { store.author(id).await }).await?;
        found.value.ok_or(UseCaseError::NotFound { what: "author", id })
    }

    /// Lists authors.
    ///
    /// # Errors
    /// When the cursor is foreign or the store fails.
    pub async fn authors(&self, query: AuthorQuery) -> Result<Listing<Author>, UseCaseError> {
        Ok(self.authors.authors(query).await?)
    }

    /// Creates an author.
    ///
    /// # Errors
    /// When the draft breaks rules or the store fails.
    pub async fn create_author(&self, draft: AuthorDraft) -> Result<Author, UseCaseError> {
        check(draft.violations())?;
        Ok(self.authors.create_author(Uuid::now_v7(), draft).await?.item)
    }

    /// Replaces an author; their books show the new name, and summaries made under the old are stale.
    ///
    /// # Errors
    /// When there is none, the draft breaks rules, or the store fails.
    pub async fn replace_author(&self, id: Uuid, draft: AuthorDraft) -> Result<Author, UseCaseError> {
        check(draft.violations())?;
        let store = Arc::clone(&self.authors);
        let work = async move { store.replace_author(id, Expected::Any, draft).await };
        let keys = move |replaced: Option<&Written<(Author, Vec<Uuid>)>>| {
            let books = match replaced {
                Some(Written::Done((_, books))) => books.as_slice(),
                _ => &[],
            };
            let mut keys = vec![CacheKey::new(Area::Author, id)];
            keys.extend(books.iter().copied().flat_map(book_keys));
            keys
        };
        let replaced = self.write(work, keys).await?;
        match replaced {
            Written::Done((author, _)) => Ok(author),
            _ => Err(UseCaseError::NotFound { what: "author", id }),
        }
    }

    /// Deletes an author who has no books.
    ///
    /// # Errors
    /// When there is none, or books still name them.
    pub async fn delete_author(&self, id: Uuid) -> Result<(), UseCaseError> {
        let store = Arc::clone(&self.authors);
        let work = async move { store.delete_author(id, Expected::Any, BooksOfDeleted::Refuse).await };
        let deleted = self.write(work, move |_| vec![CacheKey::new(Area::Author, id)]).await?;
        match deleted {
            Written::Done(_) => Ok(()),
            _ => Err(UseCaseError::NotFound { what: "author", id }),
        }
    }
}

fn check(violations: Vec<Violation>) -> Result<(), UseCaseError> {
    if violations.is_empty() { Ok(()) } else { Err(UseCaseError::Invalid(violations)) }
}
