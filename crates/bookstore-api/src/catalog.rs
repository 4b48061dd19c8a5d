//! Books and authors: the use cases, cached aside and invalidated on write.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use llm::ProviderName;
use telemetry::Metrics;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use uuid::Uuid;

use crate::book::{Author, AuthorDraft, Book, BookDraft, Violation};
use crate::cache::{Area, CacheKey};
use crate::cache_aside::CacheAside;
use crate::import::{ImportDraft, ImportOutcome};
use crate::safety::Unsafe;
use crate::store::{
    AuthorQuery, AuthorStore, BookQuery, BookStore, BooksOfDeleted, ClaimStore, Expected, Listing, Record,
    Restored, Store, StoreError, StoredSummary, Upkeep, Written,
};

pub mod creation;

/// How often an edit is made anew because others changed the same thing meanwhile.
const EDITS: u32 = 24;
/// Longest pause between two such tries, in milliseconds; the first are shorter.
const LONGEST_PAUSE: u64 = 64;

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
    /// It has another version than the caller expects.
    #[error("the {what} {id} has another version than was expected")]
    PreconditionFailed {
        /// `book` or `author`.
        what: &'static str,
        /// Its id.
        id: Uuid,
        /// The version it has now, where that could be found out.
        current: Option<u64>,
    },
    /// Others changed it so often that an edit found no moment.
    #[error("others keep changing the {what} {id}")]
    Contended {
        /// `book` or `author`.
        what: &'static str,
        /// Its id.
        id: Uuid,
    },
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
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
        /// The one asked last.
        provider: ProviderName,
        /// How.
        error: llm::LlmError,
        /// What was tried.
        attempts: Vec<llm::Attempt>,
    },
    /// The provider answered, but the answer may be neither stored nor served.
    #[error("the answer of {provider} is not safe: {reason}")]
    UnsafeAnswer {
        /// Who answered.
        provider: ProviderName,
        /// What is wrong with the answer.
        reason: Unsafe,
        /// What was tried.
        attempts: Vec<llm::Attempt>,
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
            Self::PreconditionFailed { .. } => "precondition_failed",
            Self::Contended { .. } => "contended",
            Self::KeyReused => "key_reused",
            Self::ProviderNotConfigured { .. } => "provider_not_configured",
            Self::Provider { error, .. } => error.kind(),
            Self::UnsafeAnswer { .. } => "unsafe_answer",
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
    claims: Arc<dyn ClaimStore>,
    cache: CacheAside,
    metrics: Metrics,
    /// Writes with their invalidations: they outlive a caller who leaves, and a stop waits for them.
    writes: TaskTracker,
}

/// Every cache key that says something about this book, whatever its content. (Those of
/// [`exact_summary_key`] say nothing about a book whose content has changed.)
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
        Record::Summary(summary) => {
            let mut keys = book_keys(summary.book_id);
            keys.push(summary_key_of(summary));
            keys
        }
    }
}

/// The cache key of an author.
#[must_use]
pub fn author_key(id: Uuid) -> CacheKey {
    CacheKey::new(Area::Author, id)
}

/// The key of a book's summary, of one provider or of any.
#[must_use]
pub fn summary_key(book: Uuid, provider: Option<ProviderName>) -> CacheKey {
    let provider = provider.map_or("any", ProviderName::as_str);
    CacheKey::new(Area::Summary, format_args!("{book}:{provider}"))
}

/// The key of the summary of a book of just this content, by just this provider, model and prompt.
#[must_use]
pub fn exact_summary_key(
    book: Uuid,
    content_hash: &str,
    provider: &str,
    model: &str,
    prompt_version: &str,
) -> CacheKey {
    let key = format_args!("{book}:{content_hash}:{provider}:{prompt_version}:{model}");
    CacheKey::new(Area::Summary, key)
}

/// The exact key of a summary.
#[must_use]
pub fn summary_key_of(summary: &StoredSummary) -> CacheKey {
    let StoredSummary { book_id, content_hash, provider, requested_model, prompt_version, .. } = summary;
    exact_summary_key(*book_id, content_hash, provider, requested_model, prompt_version)
}

impl Catalog {
    /// The use cases over these ports.
    pub fn new(store: &Arc<dyn Store>, cache: CacheAside, metrics: Metrics, writes: TaskTracker) -> Self {
        Self {
            books: store.clone(),
            authors: store.clone(),
            upkeep: store.clone(),
            claims: store.clone(),
            cache,
            metrics,
            writes,
        }
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

    /// Reads a book as a part of something else: the cache's metrics do not count it.
    ///
    /// # Errors
    /// As [`Catalog::book`].
    pub async fn book_uncounted(&self, id: Uuid) -> Result<Book, UseCaseError> {
        let store = Arc::clone(&self.books);
        let key = CacheKey::new(Area::Book, id);
        let found = self.cache.read_uncounted(key, async move { store.book(id).await }).await?;
        found.value.ok_or(UseCaseError::NotFound { what: "book", id })
    }

    /// Lists books.
    ///
    /// # Errors
    /// When the cursor is foreign or the store fails.
    pub async fn books(&self, query: BookQuery) -> Result<Listing<Book>, UseCaseError> {
        Ok(self.books.books(query).await?)
    }

    /// Replaces a book that has an expected version.
    ///
    /// # Errors
    /// When there is none, it has another version, the draft breaks rules or names unknown authors,
    /// or its ISBN is taken.
    pub async fn replace_book(
        &self,
        id: Uuid,
        expected: Expected,
        draft: BookDraft,
    ) -> Result<Book, UseCaseError> {
        check(draft.violations())?;
        let written = self.write_book(id, expected, draft).await?;
        done(written, "book", id, self.book_version(id)).await
    }

    /// Changes a book that has an expected version to what `edit` makes of it, as it is in the store.
    /// When others change it meanwhile, `edit` is asked again.
    ///
    /// # Errors
    /// Those of `edit`, and as [`Catalog::replace_book`].
    pub async fn edit_book<E: From<UseCaseError>>(
        &self,
        id: Uuid,
        expected: &Expected,
        edit: impl Fn(&Book) -> Result<BookDraft, E> + Send + Sync,
    ) -> Result<Book, E> {
        for attempt in 0..EDITS {
            pause_before(attempt).await;
            let current = self.books.book(id).await.map_err(UseCaseError::from)?;
            let current = current.ok_or(UseCaseError::NotFound { what: "book", id })?;
            expect(expected, "book", id, current.version)?;
            let draft = edit(&current)?;
            check(draft.violations())?;
            let seen = Expected::OneOf(vec![current.version]);
            match self.write_book(id, seen, draft).await.map_err(UseCaseError::from)? {
                Written::Conflict => {}
                written => return Ok(done(written, "book", id, async { None }).await?),
            }
        }
        Err(UseCaseError::Contended { what: "book", id }.into())
    }

    async fn write_book(
        &self,
        id: Uuid,
        expected: Expected,
        draft: BookDraft,
    ) -> Result<Written<Book>, StoreError> {
        let store = Arc::clone(&self.books);
        let work = async move { store.replace_book(id, expected, draft).await };
        let written = self.write(work, move |_| book_keys(id)).await?;
        if matches!(written, Written::Done(_)) {
            self.metrics.books_written("replace", 1);
        }
        Ok(written)
    }

    /// Deletes a book that has an expected version, with its summaries.
    ///
    /// # Errors
    /// When there is none, it has another version, or the store fails.
    pub async fn delete_book(&self, id: Uuid, expected: Expected) -> Result<(), UseCaseError> {
        let store = Arc::clone(&self.books);
        let work = async move { store.delete_book(id, expected).await };
        let written = self.write(work, move |_| book_keys(id)).await?;
        done(written, "book", id, self.book_version(id)).await?;
        self.metrics.books_written("delete", 1);
        Ok(())
    }

    /// The version that a book has now; a store that fails costs this detail only.
    async fn book_version(&self, id: Uuid) -> Option<u64> {
        self.books.book(id).await.ok().flatten().map(|book| book.version)
    }

    /// Imports a batch of rows, in one step.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn import(&self, batch: Vec<ImportDraft>) -> Result<Vec<ImportOutcome>, StoreError> {
        let store = Arc::clone(&self.books);
        let keys = |outcomes: Option<&Vec<ImportOutcome>>| {
            outcomes.into_iter().flatten().flat_map(|outcome| book_keys(outcome.book)).collect()
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
        let found = self.cache.read(author_key(id), async move { store.author(id).await }).await?;
        found.value.ok_or(UseCaseError::NotFound { what: "author", id })
    }

    /// Lists authors.
    ///
    /// # Errors
    /// When the cursor is foreign or the store fails.
    pub async fn authors(&self, query: AuthorQuery) -> Result<Listing<Author>, UseCaseError> {
        Ok(self.authors.authors(query).await?)
    }

    /// Replaces an author who has an expected version; their books show a new name, and summaries
    /// made under the old are stale.
    ///
    /// # Errors
    /// When there is none, they have another version, the draft breaks rules, or the store fails.
    pub async fn replace_author(
        &self,
        id: Uuid,
        expected: Expected,
        draft: AuthorDraft,
    ) -> Result<Author, UseCaseError> {
        check(draft.violations())?;
        let written = self.write_author(id, expected, draft).await?;
        done(written, "author", id, self.author_version(id)).await
    }

    /// Changes an author who has an expected version to what `edit` makes of them, as they are in the
    /// store. When others change them meanwhile, `edit` is asked again.
    ///
    /// # Errors
    /// Those of `edit`, and as [`Catalog::replace_author`].
    pub async fn edit_author<E: From<UseCaseError>>(
        &self,
        id: Uuid,
        expected: &Expected,
        edit: impl Fn(&Author) -> Result<AuthorDraft, E> + Send + Sync,
    ) -> Result<Author, E> {
        for attempt in 0..EDITS {
            pause_before(attempt).await;
            let current = self.authors.author(id).await.map_err(UseCaseError::from)?;
            let current = current.ok_or(UseCaseError::NotFound { what: "author", id })?;
            expect(expected, "author", id, current.version)?;
            let draft = edit(&current)?;
            check(draft.violations())?;
            let seen = Expected::OneOf(vec![current.version]);
            match self.write_author(id, seen, draft).await.map_err(UseCaseError::from)? {
                Written::Conflict => {}
                written => return Ok(done(written, "author", id, async { None }).await?),
            }
        }
        Err(UseCaseError::Contended { what: "author", id }.into())
    }

    async fn write_author(
        &self,
        id: Uuid,
        expected: Expected,
        draft: AuthorDraft,
    ) -> Result<Written<Author>, StoreError> {
        let store = Arc::clone(&self.authors);
        let work = async move { store.replace_author(id, expected, draft).await };
        let keys = move |written: Option<&Written<(Author, Vec<Uuid>)>>| match written {
            Some(Written::Done((_, books))) => author_and_books(id, books),
            _ => vec![author_key(id)],
        };
        Ok(match self.write(work, keys).await? {
            Written::Done((author, _)) => Written::Done(author),
            Written::Missing => Written::Missing,
            Written::Conflict => Written::Conflict,
        })
    }

    /// Deletes an author who has an expected version; `books` says what becomes of theirs.
    ///
    /// # Errors
    /// When there is none, they have another version, books stand in the way, or the store fails.
    pub async fn delete_author(
        &self,
        id: Uuid,
        expected: Expected,
        books: BooksOfDeleted,
    ) -> Result<(), UseCaseError> {
        let store = Arc::clone(&self.authors);
        let work = async move { store.delete_author(id, expected, books).await };
        let keys = move |written: Option<&Written<Vec<Uuid>>>| match written {
            Some(Written::Done(books)) => author_and_books(id, books),
            _ => vec![author_key(id)],
        };
        let written = self.write(work, keys).await?;
        let touched = done(written, "author", id, self.author_version(id)).await?;
        match books {
            BooksOfDeleted::Refuse => {}
            BooksOfDeleted::Detach => self.metrics.books_written("replace", touched.len() as u64),
            BooksOfDeleted::Delete => self.metrics.books_written("delete", touched.len() as u64),
        }
        Ok(())
    }

    /// The version that an author has now; a store that fails costs this detail only.
    async fn author_version(&self, id: Uuid) -> Option<u64> {
        self.authors.author(id).await.ok().flatten().map(|author| author.version)
    }
}

/// The keys of an author and of these books.
fn author_and_books(author: Uuid, books: &[Uuid]) -> Vec<CacheKey> {
    std::iter::once(author_key(author)).chain(books.iter().copied().flat_map(book_keys)).collect()
}

/// What was written, or why nothing was; `current` finds out the version that stood in the way.
async fn done<T>(
    written: Written<T>,
    what: &'static str,
    id: Uuid,
    current: impl Future<Output = Option<u64>>,
) -> Result<T, UseCaseError> {
    match written {
        Written::Done(value) => Ok(value),
        Written::Missing => Err(UseCaseError::NotFound { what, id }),
        Written::Conflict => Err(UseCaseError::PreconditionFailed { what, id, current: current.await }),
    }
}

fn expect(expected: &Expected, what: &'static str, id: Uuid, version: u64) -> Result<(), UseCaseError> {
    if expected.allows(version) {
        Ok(())
    } else {
        Err(UseCaseError::PreconditionFailed { what, id, current: Some(version) })
    }
}

/// Lets others through before an edit is tried again: longer from try to try, and never in step.
async fn pause_before(attempt: u32) {
    let most = (1_u64 << attempt.min(16)).min(LONGEST_PAUSE);
    let pause = RandomState::new().hash_one(attempt) % most;
    if attempt > 0 {
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

fn check(violations: Vec<Violation>) -> Result<(), UseCaseError> {
    if violations.is_empty() { Ok(()) } else { Err(UseCaseError::Invalid(violations)) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use async_trait::async_trait;
    use chrono::Utc;
    use telemetry::Metrics;
    use tokio_util::task::TaskTracker;
    use uuid::Uuid;

    use super::{Catalog, EDITS, UseCaseError};
    use crate::book::{Author, AuthorDraft};
    use crate::cache::memory::MemoryCache;
    use crate::cache_aside::CacheAside;
    use crate::store::embedded::EmbeddedStore;
    use crate::store::{
        AuthorQuery, AuthorStore, BooksOfDeleted, Created, Expected, Listing, Store, StoreError, Written,
    };

    /// A store in which somebody else is always faster.
    struct Contended;

    #[async_trait]
    impl AuthorStore for Contended {
        async fn create_author(&self, _: Uuid, _: AuthorDraft) -> Result<Created<Author>, StoreError> {
            Err(StoreError::Timeout)
        }

        async fn author(&self, id: Uuid) -> Result<Option<Author>, StoreError> {
            let now = Utc::now();
            Ok(Some(Author {
                id,
                name: "Jane Austen".to_owned(),
                biography: None,
                born_year: None,
                died_year: None,
                version: 7,
                created_at: now,
                updated_at: now,
            }))
        }

        async fn authors(&self, _: AuthorQuery) -> Result<Listing<Author>, StoreError> {
            Ok(Listing::empty())
        }

        async fn replace_author(
            &self,
            _: Uuid,
            expected: Expected,
            _: AuthorDraft,
        ) -> Result<Written<(Author, Vec<Uuid>)>, StoreError> {
            assert_eq!(expected, Expected::OneOf(vec![7]), "not conditioned on what was read");
            Ok(Written::Conflict)
        }

        async fn delete_author(
            &self,
            _: Uuid,
            _: Expected,
            _: BooksOfDeleted,
        ) -> Result<Written<Vec<Uuid>>, StoreError> {
            Ok(Written::Conflict)
        }
    }

    #[tokio::test]
    async fn an_edit_that_never_finds_a_moment_ends() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(folder.path()).unwrap());
        let metrics = Metrics::unregistered();
        let cache =
            CacheAside::new(Arc::new(MemoryCache::new(1 << 20)), metrics.clone(), Duration::from_secs(1));
        let catalog = Catalog {
            authors: Arc::new(Contended),
            ..Catalog::new(&store, cache, metrics, TaskTracker::new())
        };
        let tries = std::sync::atomic::AtomicU32::new(0);
        let edit = |author: &Author| {
            tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok::<_, UseCaseError>(AuthorDraft { name: author.name.clone(), ..AuthorDraft::default() })
        };
        let id = Uuid::now_v7();
        let ended = catalog.edit_author(id, &Expected::Any, edit).await;
        assert!(matches!(ended, Err(UseCaseError::Contended { what: "author", .. })), "{ended:?}");
        assert_eq!(tries.load(std::sync::atomic::Ordering::Relaxed), EDITS);
        // Whoever names another version is told so, and at once.
        let ended = catalog.edit_author(id, &Expected::OneOf(vec![6]), edit).await;
        assert!(matches!(ended, Err(UseCaseError::PreconditionFailed { current: Some(7), .. })), "{ended:?}");
        assert_eq!(tries.load(std::sync::atomic::Ordering::Relaxed), EDITS);
        let draft = AuthorDraft { name: "x".to_owned(), ..AuthorDraft::default() };
        let ended = catalog.delete_author(id, Expected::OneOf(vec![6]), BooksOfDeleted::Refuse).await;
        assert!(matches!(ended, Err(UseCaseError::PreconditionFailed { current: Some(7), .. })));
        assert!(catalog.replace_author(id, Expected::OneOf(vec![7]), draft).await.is_err());
    }
}
