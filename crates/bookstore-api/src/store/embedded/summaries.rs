//! Summaries in the embedded store.

use async_trait::async_trait;
use rusqlite::{OptionalExtension, params};
use uuid::Uuid;

use super::{EmbeddedStore, rows};
use crate::store::{StoreError, StoredSummary, SummaryStore};

#[async_trait]
impl SummaryStore for EmbeddedStore {
    async fn summary(
        &self,
        book: Uuid,
        content_hash: &str,
        prompt_version: &str,
        provider: Option<&str>,
    ) -> Result<Option<StoredSummary>, StoreError> {
        let (hash, version) = (content_hash.to_owned(), prompt_version.to_owned());
        let provider = provider.map(str::to_owned);
        self.read(move |connection| {
            let document: Option<String> = connection
                .prepare_cached(
                    "SELECT document FROM summaries WHERE book = ?1 AND content_hash = ?2 \
                     AND prompt_version = ?3 AND (?4 IS NULL OR provider = ?4) \
                     ORDER BY generated_at DESC LIMIT 1",
                )?
                .query_row(params![book.to_string(), hash, version, provider], |row| row.get(0))
                .optional()?;
            document
                .map(|text| {
                    serde_json::from_str(&text).map_err(|error| StoreError::Corrupt(error.to_string()))
                })
                .transpose()
        })
        .await
    }

    async fn keep_summary(&self, summary: StoredSummary) -> Result<bool, StoreError> {
        self.write(move |connection| {
            // In the same transaction as the write: the book as it is now is what decides.
            match rows::book(connection, summary.book_id)? {
                Some(book) if book.content_hash() == summary.content_hash => {}
                _ => return Ok(false),
            }
            let document =
                serde_json::to_string(&summary).map_err(|error| StoreError::Corrupt(error.to_string()))?;
            connection
                .prepare_cached(
                    "INSERT INTO summaries (book, content_hash, provider, requested_model, prompt_version, \
                     generated_at, document) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
                     ON CONFLICT DO UPDATE SET generated_at = excluded.generated_at, document = excluded.document",
                )?
                .execute(params![
                    summary.book_id.to_string(),
                    summary.content_hash,
                    summary.provider,
                    summary.requested_model,
                    summary.prompt_version,
                    rows::time(summary.generated_at),
                    document,
                ])?;
            Ok(true)
        })
        .await
    }
}
