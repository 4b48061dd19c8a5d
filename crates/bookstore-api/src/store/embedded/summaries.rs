//! Summaries in the embedded store.

use async_trait::async_trait;
use chrono::SecondsFormat;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::EmbeddedStore;
use crate::store::{Kept, StoreError, StoredSummary, SummaryStore};

#[async_trait]
impl SummaryStore for EmbeddedStore {
    async fn summary(
        &self,
        book: Uuid,
        content_hash: &str,
        prompt_version: &str,
        provider: Option<&str>,
        model: Option<&str>,
    ) -> Result<Option<StoredSummary>, StoreError> {
        let (hash, version) = (content_hash.to_owned(), prompt_version.to_owned());
        let (provider, model) = (provider.map(str::to_owned), model.map(str::to_owned));
        self.read(move |connection| {
            let document: Option<String> = connection
                .prepare_cached(
                    "SELECT document FROM summaries WHERE book = ?1 AND content_hash = ?2 \
                     AND prompt_version = ?3 AND (?4 IS NULL OR provider = ?4) \
                     AND (?5 IS NULL OR requested_model = ?5) \
                     ORDER BY generated_at DESC LIMIT 1",
                )?
                .query_row(params![book.to_string(), hash, version, provider, model], |row| row.get(0))
                .optional()?;
            document.as_deref().map(read).transpose()
        })
        .await
    }

    async fn current_summary(
        &self,
        book: Uuid,
        prompt_version: &str,
        provider: Option<&str>,
    ) -> Result<Option<StoredSummary>, StoreError> {
        let (version, provider) = (prompt_version.to_owned(), provider.map(str::to_owned));
        self.read(move |connection| {
            let document: Option<String> = connection
                .prepare_cached(
                    "SELECT document FROM summaries WHERE book = ?1 \
                     AND content_hash = (SELECT content_hash FROM books WHERE id = ?1) \
                     AND prompt_version = ?2 AND (?3 IS NULL OR provider = ?3) \
                     ORDER BY generated_at DESC LIMIT 1",
                )?
                .query_row(params![book.to_string(), version, provider], |row| row.get(0))
                .optional()?;
            document.as_deref().map(read).transpose()
        })
        .await
    }

    async fn keep_summary(&self, summary: StoredSummary) -> Result<Kept, StoreError> {
        self.write(move |connection| {
            // In the same transaction as the write: the book as it is now is what decides.
            let current: Option<String> = connection
                .prepare_cached("SELECT content_hash FROM books WHERE id = ?1")?
                .query_row([summary.book_id.to_string()], |row| row.get(0))
                .optional()?;
            if current.as_ref() != Some(&summary.content_hash) {
                return Ok(Kept::Outdated);
            }
            Ok(if put(connection, &summary)? { Kept::Kept } else { Kept::Superseded })
        })
        .await
    }
}

fn read(document: &str) -> Result<StoredSummary, StoreError> {
    serde_json::from_str(document).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// Writes a summary unless one with a larger fence is there; whether it was written.
pub(super) fn put(connection: &Connection, summary: &StoredSummary) -> Result<bool, StoreError> {
    let document = serde_json::to_string(summary).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    let written = connection
        .prepare_cached(
            "INSERT INTO summaries (book, content_hash, provider, requested_model, prompt_version, \
             generated_at, fence, document) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
             ON CONFLICT DO UPDATE SET generated_at = excluded.generated_at, fence = excluded.fence, \
             document = excluded.document WHERE excluded.fence >= summaries.fence",
        )?
        .execute(params![
            summary.book_id.to_string(),
            summary.content_hash,
            summary.provider,
            summary.requested_model,
            summary.prompt_version,
            summary.generated_at.to_rfc3339_opts(SecondsFormat::Micros, true),
            i64::try_from(summary.fence).unwrap_or(i64::MAX),
            document,
        ])?;
    Ok(written > 0)
}
