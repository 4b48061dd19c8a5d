//! Tallies in the embedded store.

use async_trait::async_trait;
use chrono::DateTime;
use rusqlite::params;

use super::{EmbeddedStore, rows};
use crate::store::{StoreError, Tally, TallyStore, after_prefix};

#[async_trait]
impl TallyStore for EmbeddedStore {
    async fn keep_tallies(&self, tallies: Vec<Tally>) -> Result<(), StoreError> {
        self.write(move |connection| {
            let mut put = connection.prepare_cached(
                "INSERT INTO tallies (key, writer, serial, document, expires_at) VALUES (?1, ?2, ?3, ?4, ?5) \
                 ON CONFLICT DO UPDATE SET serial = excluded.serial, document = excluded.document, \
                 expires_at = excluded.expires_at WHERE excluded.serial >= tallies.serial",
            )?;
            for tally in &tallies {
                put.execute(params![
                    tally.key,
                    tally.writer.to_string(),
                    i64::try_from(tally.serial).unwrap_or(i64::MAX),
                    tally.document,
                    tally.expires_at.timestamp_micros(),
                ])?;
            }
            Ok(())
        })
        .await
    }

    async fn tallies(&self, prefix: &str) -> Result<Vec<Tally>, StoreError> {
        let (from, to) = (prefix.to_owned(), after_prefix(prefix));
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT key, writer, serial, document, expires_at FROM tallies \
                 WHERE key >= ?1 AND key < ?2 ORDER BY key, writer",
            )?;
            let mut found = statement.query([from, to])?;
            let mut tallies = Vec::new();
            while let Some(row) = found.next()? {
                let micros: i64 = row.get("expires_at")?;
                tallies.push(Tally {
                    key: row.get("key")?,
                    writer: rows::id(&row.get::<_, String>("writer")?)?,
                    serial: row.get::<_, i64>("serial")?.unsigned_abs(),
                    document: row.get("document")?,
                    expires_at: DateTime::from_timestamp_micros(micros)
                        .ok_or_else(|| StoreError::Corrupt(format!("time {micros}")))?,
                });
            }
            Ok(tallies)
        })
        .await
    }
}
