//! A store whose operations are timed and traced, whichever it is.

use std::time::Instant;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use telemetry::Metrics;
use tracing::{Instrument, Span};
use uuid::Uuid;

use super::{
    AuthorQuery, AuthorStore, BookQuery, BookStore, BooksOfDeleted, CheckReport, Claim, ClaimOutcome,
    ClaimStore, Claimed, Counts, Created, Expected, JobStore, Kept, Listing, Record, RecordKind, Records,
    Restored, Settled, StoreError, StoredSummary, SummaryStore, Tally, TallyStore, Upkeep, Written,
};
use crate::book::{Author, AuthorDraft, Book, BookDraft};
use crate::import::{ImportDraft, ImportOutcome};

/// Operations that the service carries out by itself all the time.
const BACKGROUND: [&str; 2] = ["ping", "counts"];

/// Observes `S`.
#[derive(Clone)]
pub struct ObservedStore<S> {
    inner: S,
    technology: &'static str,
    metrics: Metrics,
}

impl<S> ObservedStore<S> {
    /// Observes `inner`, whose operations count under `technology`.
    pub const fn new(inner: S, technology: &'static str, metrics: Metrics) -> Self {
        Self { inner, technology, metrics }
    }

    fn span(&self, operation: &'static str) -> Span {
        // What is looked at every few seconds, and for no request, is no trace of its own.
        if BACKGROUND.contains(&operation) && Span::current().is_none() {
            return Span::none();
        }
        tracing::info_span!(
            "store",
            otel.name = operation,
            otel.kind = "client",
            db.system.name = self.technology,
            db.operation.name = operation,
            error.r#type = tracing::field::Empty,
            otel.status_code = tracing::field::Empty,
        )
    }

    async fn observe<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let span = self.span(operation);
        let mut observation =
            Observation { observed: self, operation, outcome: "cancelled", begun: Instant::now() };
        let result = work.instrument(span.clone()).await;
        let outcome = result.as_ref().err().map_or("ok", StoreError::kind);
        observation.outcome = outcome;
        if result.is_err() {
            span.record("error.type", outcome);
            span.record("otel.status_code", "ERROR");
        }
        result
    }
}

/// An operation under way: recorded when it is dropped, as cancelled if its caller left.
struct Observation<'a, S> {
    observed: &'a ObservedStore<S>,
    operation: &'static str,
    outcome: &'static str,
    begun: Instant,
}

impl<S> Drop for Observation<'_, S> {
    fn drop(&mut self) {
        self.observed.metrics.store_operation(
            self.observed.technology,
            self.operation,
            self.outcome,
            self.begun.elapsed(),
        );
    }
}

#[async_trait]
impl<S: BookStore> BookStore for ObservedStore<S> {
    async fn create_book(&self, id: Uuid, draft: BookDraft) -> Result<Created<Book>, StoreError> {
        self.observe("create_book", self.inner.create_book(id, draft)).await
    }

    async fn book(&self, id: Uuid) -> Result<Option<Book>, StoreError> {
        self.observe("book", self.inner.book(id)).await
    }

    async fn books(&self, query: BookQuery) -> Result<Listing<Book>, StoreError> {
        self.observe("books", self.inner.books(query)).await
    }

    async fn replace_book(
        &self,
        id: Uuid,
        expected: Expected,
        draft: BookDraft,
    ) -> Result<Written<Book>, StoreError> {
        self.observe("replace_book", self.inner.replace_book(id, expected, draft)).await
    }

    async fn delete_book(&self, id: Uuid, expected: Expected) -> Result<Written<()>, StoreError> {
        self.observe("delete_book", self.inner.delete_book(id, expected)).await
    }

    async fn import(&self, batch: Vec<ImportDraft>) -> Result<Vec<ImportOutcome>, StoreError> {
        self.observe("import", self.inner.import(batch)).await
    }

    async fn seeded(&self) -> Result<bool, StoreError> {
        self.observe("seeded", self.inner.seeded()).await
    }

    async fn mark_seeded(&self) -> Result<(), StoreError> {
        self.observe("mark_seeded", self.inner.mark_seeded()).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.observe("ping", self.inner.ping()).await
    }
}

#[async_trait]
impl<S: AuthorStore> AuthorStore for ObservedStore<S> {
    async fn create_author(&self, id: Uuid, draft: AuthorDraft) -> Result<Created<Author>, StoreError> {
        self.observe("create_author", self.inner.create_author(id, draft)).await
    }

    async fn author(&self, id: Uuid) -> Result<Option<Author>, StoreError> {
        self.observe("author", self.inner.author(id)).await
    }

    async fn authors(&self, query: AuthorQuery) -> Result<Listing<Author>, StoreError> {
        self.observe("authors", self.inner.authors(query)).await
    }

    async fn replace_author(
        &self,
        id: Uuid,
        expected: Expected,
        draft: AuthorDraft,
    ) -> Result<Written<(Author, Vec<Uuid>)>, StoreError> {
        self.observe("replace_author", self.inner.replace_author(id, expected, draft)).await
    }

    async fn delete_author(
        &self,
        id: Uuid,
        expected: Expected,
        books: BooksOfDeleted,
    ) -> Result<Written<Vec<Uuid>>, StoreError> {
        self.observe("delete_author", self.inner.delete_author(id, expected, books)).await
    }
}

#[async_trait]
impl<S: SummaryStore> SummaryStore for ObservedStore<S> {
    async fn summary(
        &self,
        book: Uuid,
        content_hash: &str,
        prompt_version: &str,
        provider: Option<&str>,
        model: Option<&str>,
    ) -> Result<Option<StoredSummary>, StoreError> {
        self.observe("summary", self.inner.summary(book, content_hash, prompt_version, provider, model)).await
    }

    async fn current_summary(
        &self,
        book: Uuid,
        prompt_version: &str,
        provider: Option<&str>,
    ) -> Result<Option<StoredSummary>, StoreError> {
        self.observe("current_summary", self.inner.current_summary(book, prompt_version, provider)).await
    }

    async fn keep_summary(&self, summary: StoredSummary) -> Result<Kept, StoreError> {
        self.observe("keep_summary", self.inner.keep_summary(summary)).await
    }
}

#[async_trait]
impl<S: ClaimStore> ClaimStore for ObservedStore<S> {
    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        self.observe("claim", self.inner.claim(claim)).await
    }

    async fn settle(&self, key: &str, outcome: &ClaimOutcome) -> Result<Settled, StoreError> {
        self.observe("settle", self.inner.settle(key, outcome)).await
    }
}

#[async_trait]
impl<S: JobStore> JobStore for ObservedStore<S> {
    async fn keep_job(
        &self,
        id: Uuid,
        document: String,
        expires_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.observe("keep_job", self.inner.keep_job(id, document, expires_at)).await
    }

    async fn job(&self, id: Uuid) -> Result<Option<String>, StoreError> {
        self.observe("job", self.inner.job(id)).await
    }
}

#[async_trait]
impl<S: TallyStore> TallyStore for ObservedStore<S> {
    async fn keep_tallies(&self, tallies: Vec<Tally>) -> Result<(), StoreError> {
        self.observe("keep_tallies", self.inner.keep_tallies(tallies)).await
    }

    async fn tallies(&self, prefix: &str) -> Result<Vec<Tally>, StoreError> {
        self.observe("tallies", self.inner.tallies(prefix)).await
    }
}

#[async_trait]
impl<S: Upkeep> Upkeep for ObservedStore<S> {
    async fn records(
        &self,
        kind: RecordKind,
        after: Option<String>,
        limit: u32,
    ) -> Result<Records, StoreError> {
        self.observe("records", self.inner.records(kind, after, limit)).await
    }

    async fn restore(&self, records: Vec<Record>) -> Result<Vec<Restored>, StoreError> {
        self.observe("restore", self.inner.restore(records)).await
    }

    async fn check(&self) -> Result<CheckReport, StoreError> {
        self.observe("check", self.inner.check()).await
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        self.observe("counts", self.inner.counts()).await
    }

    async fn tend(&self) -> Result<(), StoreError> {
        self.observe("tend", self.inner.tend()).await
    }
}
