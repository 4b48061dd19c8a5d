//! Creation of books and authors: once for each idempotency key, on a store without transactions.
//!
//! A claim gives the key the id that the resource is to have, and is settled with the outcome.
//! Whoever repeats a request whose claim is open goes on under the same id, and so doubles nothing;
//! once it is settled, the outcome stands and everybody is told the same.

use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use uuid::Uuid;

use super::{Catalog, UseCaseError, author_key, book_keys, check};
use crate::book::{Author, AuthorDraft, Book, BookDraft};
use crate::store::{BooksOfDeleted, Claim, ClaimOutcome, Claimed, Created, Expected, Settled, StoreError};

/// How long a key stands for its first request, in hours.
const CLAIM_HOURS: i64 = 24;

/// A request that carries an idempotency key.
#[derive(Clone, Debug)]
pub struct KeyedRequest {
    /// What is asked for, and the client's key, in a form that can be stored.
    pub key: String,
    /// Hash of the request's content.
    pub request_hash: String,
}

/// How a creation ended.
#[derive(Debug)]
pub struct Creation<T> {
    /// What there is now, or why it was refused.
    pub result: Result<T, UseCaseError>,
    /// Whether an earlier request with the same key came to this end.
    pub replayed: bool,
}

impl<T> Creation<T> {
    const fn failed(error: UseCaseError) -> Self {
        Self { result: Err(error), replayed: false }
    }
}

enum Draft {
    Book(BookDraft),
    Author(AuthorDraft),
}

/// How a creation ended, whatever was created.
enum Ended {
    KeyReused,
    Outcome { outcome: Box<ClaimOutcome>, replayed: bool },
}

impl Catalog {
    /// Creates a book; of all requests with the same key one does.
    ///
    /// The result is an error when it breaks rules, names unknown authors, or its ISBN is taken; when
    /// the key was used for another request; or when the store fails: the key is not used up then,
    /// and the same request may be sent again.
    pub async fn create_book(&self, draft: BookDraft, request: Option<KeyedRequest>) -> Creation<Book> {
        if let Err(error) = check(draft.violations()) {
            return Creation::failed(error);
        }
        let creation = self.create(Draft::Book(draft), request).await;
        if creation.result.is_ok() && !creation.replayed {
            self.metrics.books_written("create", 1);
        }
        creation.map(|outcome| match outcome {
            ClaimOutcome::Book(book) => Some(book),
            _ => None,
        })
    }

    /// Creates an author; of all requests with the same key one does.
    ///
    /// The result is an error as with [`Catalog::create_book`].
    pub async fn create_author(&self, draft: AuthorDraft, request: Option<KeyedRequest>) -> Creation<Author> {
        if let Err(error) = check(draft.violations()) {
            return Creation::failed(error);
        }
        self.create(Draft::Author(draft), request).await.map(|outcome| match outcome {
            ClaimOutcome::Author(author) => Some(author),
            _ => None,
        })
    }

    async fn create(&self, draft: Draft, request: Option<KeyedRequest>) -> Creation<ClaimOutcome> {
        let this = self.clone();
        let work = async move {
            match request {
                Some(request) => this.create_once(draft, request).await,
                None => {
                    let (outcome, fresh) = this.make(Uuid::now_v7(), draft).await?;
                    Ok(Ended::Outcome { outcome: Box::new(outcome), replayed: !fresh })
                }
            }
        };
        // Somebody may have asked for the id before it was there.
        let keys = |ended: Option<&Ended>| {
            let Some(Ended::Outcome { outcome, .. }) = ended else { return Vec::new() };
            match outcome.as_ref() {
                ClaimOutcome::Book(book) => book_keys(book.id),
                ClaimOutcome::Author(author) => vec![author_key(author.id)],
                ClaimOutcome::IsbnTaken | ClaimOutcome::UnknownAuthor(_) => Vec::new(),
            }
        };
        match self.write(work, keys).await {
            Err(error) => Creation::failed(error.into()),
            Ok(Ended::KeyReused) => Creation::failed(UseCaseError::KeyReused),
            Ok(Ended::Outcome { outcome, replayed }) => {
                let refused = |error: StoreError| Err(UseCaseError::Store(error));
                let result = match *outcome {
                    ClaimOutcome::IsbnTaken => refused(StoreError::IsbnTaken),
                    ClaimOutcome::UnknownAuthor(author) => refused(StoreError::UnknownAuthor(author)),
                    made => Ok(made),
                };
                Creation { result, replayed }
            }
        }
    }

    /// One creation for all requests with this key and content.
    async fn create_once(&self, draft: Draft, request: KeyedRequest) -> Result<Ended, StoreError> {
        let claim = Claim {
            key: request.key,
            request_hash: request.request_hash,
            resource: Uuid::now_v7(),
            expires_at: Utc::now() + TimeDelta::hours(CLAIM_HOURS),
        };
        let id = match self.claims.claim(claim.clone()).await? {
            Claimed::OtherRequest => return Ok(Ended::KeyReused),
            Claimed::Settled(outcome) => return Ok(Ended::Outcome { outcome, replayed: true }),
            Claimed::Open { resource } => resource,
        };
        let (outcome, fresh) = self.make(id, draft).await?;
        let settled = self.claims.settle(&claim.key, &outcome).await?;
        // An equal request may have settled it otherwise meanwhile, or somebody have deleted what it
        // made: what was settled first stands.
        let standing = match self.claims.claim(claim).await? {
            Claimed::Settled(standing) => standing,
            Claimed::Open { .. } | Claimed::OtherRequest => Box::new(outcome.clone()),
        };
        let stays = settled == Settled::Done && made(&standing) == made(&outcome);
        if fresh && !stays {
            self.unmake(&outcome).await?;
        }
        Ok(Ended::Outcome { outcome: standing, replayed: !(fresh && stays) })
    }

    /// Creates under this id; a final refusal is an outcome too. The flag says whether it is this
    /// call's own, and not what an equal request had made before.
    async fn make(&self, id: Uuid, draft: Draft) -> Result<(ClaimOutcome, bool), StoreError> {
        let made = match draft {
            Draft::Book(draft) => self
                .books
                .create_book(id, draft)
                .await
                .map(|Created { item, fresh }| (ClaimOutcome::Book(item), fresh)),
            Draft::Author(draft) => self
                .authors
                .create_author(id, draft)
                .await
                .map(|Created { item, fresh }| (ClaimOutcome::Author(item), fresh)),
        };
        match made {
            Err(StoreError::IsbnTaken) => Ok((ClaimOutcome::IsbnTaken, true)),
            Err(StoreError::UnknownAuthor(author)) => Ok((ClaimOutcome::UnknownAuthor(author), true)),
            other => other,
        }
    }

    /// Takes away what this request made and what may not be there.
    async fn unmake(&self, outcome: &ClaimOutcome) -> Result<(), StoreError> {
        match outcome {
            ClaimOutcome::Book(book) => {
                let store = Arc::clone(&self.books);
                store.delete_book(book.id, Expected::Any).await?;
            }
            ClaimOutcome::Author(author) => {
                let store = Arc::clone(&self.authors);
                store.delete_author(author.id, Expected::Any, BooksOfDeleted::Detach).await?;
            }
            ClaimOutcome::IsbnTaken | ClaimOutcome::UnknownAuthor(_) => {}
        }
        Ok(())
    }
}

/// The id of what an outcome says there is.
const fn made(outcome: &ClaimOutcome) -> Option<Uuid> {
    match outcome {
        ClaimOutcome::Book(book) => Some(book.id),
        ClaimOutcome::Author(author) => Some(author.id),
        ClaimOutcome::IsbnTaken | ClaimOutcome::UnknownAuthor(_) => None,
    }
}

impl Creation<ClaimOutcome> {
    /// As what was asked for. Keys of books and authors never meet, so the other kind is a store's
    /// mistake.
    fn map<T>(self, kind: impl FnOnce(ClaimOutcome) -> Option<T>) -> Creation<T> {
        let result = self.result.and_then(|outcome| {
            let corrupt = || StoreError::Corrupt("a claim was settled with another kind".to_owned()).into();
            kind(outcome).ok_or_else(corrupt)
        });
        Creation { result, replayed: self.replayed }
    }
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

    use super::{Catalog, KeyedRequest};
    use crate::book::{Book, BookDraft};
    use crate::cache::memory::MemoryCache;
    use crate::cache_aside::CacheAside;
    use crate::catalog::UseCaseError;
    use crate::store::embedded::EmbeddedStore;
    use crate::store::{Claim, ClaimOutcome, ClaimStore, Claimed, Settled, Store, StoreError};

    /// Claims of a key that an equal request settles between this request's claim and its settling.
    struct Overtaken {
        resource: Uuid,
        settled: Settled,
        standing: ClaimOutcome,
        asked: std::sync::atomic::AtomicBool,
    }

    #[async_trait]
    impl ClaimStore for Overtaken {
        async fn claim(&self, _: Claim) -> Result<Claimed, StoreError> {
            if self.asked.swap(true, std::sync::atomic::Ordering::Relaxed) {
                Ok(Claimed::Settled(Box::new(self.standing.clone())))
            } else {
                Ok(Claimed::Open { resource: self.resource })
            }
        }

        async fn settle(&self, _: &str, _: &ClaimOutcome) -> Result<Settled, StoreError> {
            Ok(self.settled)
        }
    }

    /// Creates a book under such a key; the answer, whether it is a replay, and whether the book is there.
    async fn overtaken(
        settled: Settled,
        standing: impl FnOnce(Uuid) -> ClaimOutcome,
    ) -> (Result<Book, UseCaseError>, bool, bool) {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(folder.path()).unwrap());
        let metrics = Metrics::unregistered();
        let cache =
            CacheAside::new(Arc::new(MemoryCache::new(1 << 20)), metrics.clone(), Duration::from_secs(1));
        let resource = Uuid::now_v7();
        let claims = Overtaken { resource, settled, standing: standing(resource), asked: Default::default() };
        let catalog =
            Catalog { claims: Arc::new(claims), ..Catalog::new(&store, cache, metrics, TaskTracker::new()) };
        let draft = BookDraft { title: "Emma".to_owned(), ..BookDraft::default() };
        let request = KeyedRequest { key: "k".to_owned(), request_hash: "h".to_owned() };
        let creation = catalog.create_book(draft, Some(request)).await;
        (creation.result, creation.replayed, store.book(resource).await.unwrap().is_some())
    }

    fn book(id: Uuid) -> Book {
        let now = Utc::now();
        Book {
            id,
            isbn: None,
            title: "Emma".to_owned(),
            authors: Vec::new(),
            published_year: None,
            language: None,
            genres: Vec::new(),
            description: None,
            price: None,
            rating: None,
            summary: None,
            version: 1,
            created_at: now,
            updated_at: now,
        }
    }

    #[tokio::test]
    async fn what_was_deleted_meanwhile_is_taken_away_again() {
        let (answer, replayed, there) =
            overtaken(Settled::ResourceDeleted, |id| ClaimOutcome::Book(book(id))).await;
        assert!(answer.is_ok() && replayed && !there, "{answer:?}");
    }

    #[tokio::test]
    async fn a_refusal_that_was_settled_first_stands() {
        let (answer, replayed, there) = overtaken(Settled::Done, |_| ClaimOutcome::IsbnTaken).await;
        assert!(matches!(answer, Err(UseCaseError::Store(StoreError::IsbnTaken))), "{answer:?}");
        assert!(replayed && !there);
    }

    #[tokio::test]
    async fn what_an_equal_request_settled_alike_stays() {
        let (answer, replayed, there) = overtaken(Settled::Done, |id| ClaimOutcome::Book(book(id))).await;
        assert!(answer.is_ok() && !replayed && there, "{answer:?}");
    }

    #[tokio::test]
    async fn a_claim_settled_with_another_kind_is_corrupt() {
        let (answer, ..) = overtaken(Settled::Done, |id| {
            ClaimOutcome::Author(crate::book::Author {
                id,
                name: "Emma".to_owned(),
                biography: None,
                born_year: None,
                died_year: None,
                version: 1,
                created_at: Utc::now(),
                updated_at: Utc::now(),
            })
        })
        .await;
        assert!(matches!(answer, Err(UseCaseError::Store(StoreError::Corrupt(_)))), "{answer:?}");
    }
}
