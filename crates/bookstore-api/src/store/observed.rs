//! A store whose operations are timed and traced, whichever it is.

use std::time::Instant;

use async_trait::async_trait;
use telemetry::Metrics;
use tracing::Instrument;
use uuid::Uuid;

use super::{
    AuthorQuery, AuthorStore, BookQuery, BookStore, Listing, StoreError, StoredSummary, SummaryStore,
};
use crate::book::{Author, AuthorDraft, Book, BookDraft};
use crate::import::{ImportDraft, ImportOutcome};

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

    async fn observe<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let span = tracing::info_span!(
            "store",
            otel.name = operation,
            otel.kind = "client",
            db.system.name = self.technology,
            db.operation.name = operation,
            error.r#type = tracing::field::Empty,
        );
        let started = Instant::now();
        let result = work.instrument(span.clone()).await;
        let outcome = result.as_ref().err().map_or("ok", StoreError::kind);
        if result.is_err() {
            span.record("error.type", outcome);
        }
        self.metrics.store_operation(self.technology, operation, outcome, started.elapsed());
        result
    }
}

#[async_trait]
impl<S: BookStore> BookStore for ObservedStore<S> {
    async fn create_book(&self, draft: BookDraft) -> Result<Book, StoreError> {
        self.observe("create_book", self.inner.create_book(draft)).await
    }

    async fn book(&self, id: Uuid) -> Result<Option<Book>, StoreError> {
        self.observe("book", self.inner.book(id)).await
    }

    async fn books(&self, query: BookQuery) -> Result<Listing<Book>, StoreError> {
        self.observe("books", self.inner.books(query)).await
    }

    async fn replace_book(&self, id: Uuid, draft: BookDraft) -> Result<Option<Book>, StoreError> {
        self.observe("replace_book", self.inner.replace_book(id, draft)).await
    }

    async fn delete_book(&self, id: Uuid) -> Result<bool, StoreError> {
        self.observe("delete_book", self.inner.delete_book(id)).await
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
    async fn create_author(&self, draft: AuthorDraft) -> Result<Author, StoreError> {
        self.observe("create_author", self.inner.create_author(draft)).await
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
        draft: AuthorDraft,
    ) -> Result<Option<(Author, Vec<Uuid>)>, StoreError> {
        self.observe("replace_author", self.inner.replace_author(id, draft)).await
    }

    async fn delete_author(&self, id: Uuid) -> Result<bool, StoreError> {
        self.observe("delete_author", self.inner.delete_author(id)).await
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
    ) -> Result<Option<StoredSummary>, StoreError> {
        self.observe("summary", self.inner.summary(book, content_hash, prompt_version, provider)).await
    }

    async fn keep_summary(&self, summary: StoredSummary) -> Result<bool, StoreError> {
        self.observe("keep_summary", self.inner.keep_summary(summary)).await
    }
}
