//! Claims of idempotency keys, and import jobs, in the embedded store.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{EmbeddedStore, rows};
use crate::book::{Author, Book};
use crate::store::{Claim, ClaimOutcome, ClaimStore, Claimed, JobStore, Settled, StoreError};

#[async_trait]
impl ClaimStore for EmbeddedStore {
    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        self.write(move |connection| {
            connection
                .prepare_cached("DELETE FROM claims WHERE key = ?1 AND expires_at <= ?2")?
                .execute(params![claim.key, rows::now().timestamp_micros()])?;
            connection
                .prepare_cached(
                    "INSERT INTO claims (key, request_hash, resource, expires_at) VALUES (?1, ?2, ?3, ?4) \
                     ON CONFLICT DO NOTHING",
                )?
                .execute(params![
                    claim.key,
                    claim.request_hash,
                    claim.resource.to_string(),
                    claim.expires_at.timestamp_micros()
                ])?;
            let (request_hash, resource, outcome): (String, String, Option<String>) = connection
                .prepare_cached("SELECT request_hash, resource, outcome FROM claims WHERE key = ?1")?
                .query_row([&claim.key], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            if request_hash != claim.request_hash {
                return Ok(Claimed::OtherRequest);
            }
            match outcome {
                None => Ok(Claimed::Open { resource: rows::id(&resource)? }),
                Some(outcome) => serde_json::from_str(&outcome)
                    .map(|outcome| Claimed::Settled(Box::new(outcome)))
                    .map_err(|error| StoreError::Corrupt(error.to_string())),
            }
        })
        .await
    }

    async fn settle(&self, key: &str, outcome: &ClaimOutcome) -> Result<Settled, StoreError> {
        let (key, outcome) = (key.to_owned(), text(outcome)?);
        self.write(move |connection| {
            connection
                .prepare_cached("UPDATE claims SET outcome = ?2 WHERE key = ?1 AND outcome IS NULL")?
                .execute(params![key, outcome])?;
            let deleted: Option<bool> = connection
                .prepare_cached("SELECT deleted FROM claims WHERE key = ?1")?
                .query_row([&key], |row| row.get(0))
                .optional()?;
            Ok(if deleted == Some(true) { Settled::ResourceDeleted } else { Settled::Done })
        })
        .await
    }
}

#[async_trait]
impl JobStore for EmbeddedStore {
    async fn keep_job(
        &self,
        id: Uuid,
        document: String,
        expires_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO jobs (id, document, expires_at) VALUES (?1, ?2, ?3) \
                     ON CONFLICT DO UPDATE SET document = ?2, expires_at = ?3",
                )?
                .execute(params![id.to_string(), document, expires_at.timestamp_micros()])?;
            Ok(())
        })
        .await
    }

    async fn job(&self, id: Uuid) -> Result<Option<String>, StoreError> {
        self.read(move |connection| {
            Ok(connection
                .prepare_cached("SELECT document FROM jobs WHERE id = ?1")?
                .query_row([id.to_string()], |row| row.get(0))
                .optional()?)
        })
        .await
    }
}

/// Settles the claims of a book that is about to be deleted.
pub(super) fn resource_deleted(connection: &Connection, book: Book) -> Result<(), StoreError> {
    mark(connection, book.id, &ClaimOutcome::Book(book))
}

/// Settles the claims of an author who is about to be deleted.
pub(super) fn author_deleted(connection: &Connection, author: Author) -> Result<(), StoreError> {
    mark(connection, author.id, &ClaimOutcome::Author(author))
}

fn mark(connection: &Connection, id: Uuid, outcome: &ClaimOutcome) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE claims SET deleted = 1, outcome = coalesce(outcome, ?2) WHERE resource = ?1")?
        .execute(params![id.to_string(), text(outcome)?])?;
    Ok(())
}

fn text(outcome: &ClaimOutcome) -> Result<String, StoreError> {
    serde_json::to_string(outcome).map_err(|error| StoreError::Corrupt(error.to_string()))
}
