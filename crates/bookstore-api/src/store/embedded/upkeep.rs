//! Export, restore and housekeeping of the embedded store. `check.rs` looks for contradictions.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{EmbeddedStore, authors, books, check, rows, summaries};
use crate::book::{Author, Book};
use crate::store::{
    BookSource, CheckReport, Counts, Record, RecordKind, Records, Restored, StoreError, StoredSummary, Upkeep,
};

#[async_trait]
impl Upkeep for EmbeddedStore {
    async fn records(
        &self,
        kind: RecordKind,
        after: Option<String>,
        limit: u32,
    ) -> Result<Records, StoreError> {
        self.read(move |connection| {
            let after = after.unwrap_or_default();
            match kind {
                RecordKind::Author => all_authors(connection, &after, limit),
                RecordKind::Book => all_books(connection, &after, limit),
                RecordKind::Summary => all_summaries(connection, &after, limit),
            }
        })
        .await
    }

    async fn restore(&self, records: Vec<Record>) -> Result<Vec<Restored>, StoreError> {
        self.write(move |connection| records.iter().map(|record| restore(connection, record)).collect()).await
    }

    async fn check(&self) -> Result<CheckReport, StoreError> {
        let mut report = self.read_whole(check::content).await?;
        report.findings.extend(self.write(|connection| Ok(check::text_index(connection))).await?);
        Ok(report)
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        self.read(|connection| {
            let count = |query: &str, values: &[&str]| -> Result<u64, StoreError> {
                let mut statement = connection.prepare_cached(query)?;
                let count: i64 = statement.query_row(rusqlite::params_from_iter(values), |row| row.get(0))?;
                Ok(count.unsigned_abs())
            };
            Ok(Counts {
                books: count("SELECT count(*) FROM books", &[])?,
                // The summaries first: most books have none.
                books_with_summary: count(
                    "SELECT count(DISTINCT summaries.book) FROM summaries CROSS JOIN books \
                     ON books.id = summaries.book AND books.content_hash = summaries.content_hash \
                     WHERE prompt_version IN (SELECT value FROM json_each(?1))",
                    &[&rows::known_prompts()],
                )?,
                authors: count("SELECT count(*) FROM authors", &[])?,
            })
        })
        .await
    }

    async fn tend(&self) -> Result<(), StoreError> {
        self.write(|connection| {
            let now = rows::now().timestamp_micros();
            connection.prepare_cached("DELETE FROM claims WHERE expires_at <= ?1")?.execute([now])?;
            connection.prepare_cached("DELETE FROM jobs WHERE expires_at <= ?1")?.execute([now])?;
            connection.prepare_cached("DELETE FROM tallies WHERE expires_at <= ?1")?.execute([now])?;
            Ok(())
        })
        .await
    }
}

fn all_authors(connection: &Connection, after: &str, limit: u32) -> Result<Records, StoreError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {} FROM authors WHERE id > ?1 ORDER BY id LIMIT ?2",
        rows::AUTHOR_COLUMNS
    ))?;
    let mut found = statement.query(params![after, limit])?;
    let mut records = Vec::new();
    while let Some(row) = found.next()? {
        records.push(Record::Author(rows::author_of(row)?));
    }
    let next = records.last().and_then(|record| match record {
        Record::Author(author) => Some(author.id.to_string()),
        _ => None,
    });
    Ok(Records { records, next })
}

fn all_books(connection: &Connection, after: &str, limit: u32) -> Result<Records, StoreError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {}, source, source_id, row_hash FROM books WHERE id > ?1 ORDER BY id LIMIT ?2",
        rows::BOOK_COLUMNS
    ))?;
    let mut found = statement.query(params![after, limit])?;
    let (mut records, mut next) = (Vec::new(), None);
    while let Some(row) = found.next()? {
        let mut book = rows::book_of(connection, row)?;
        book.summary = None;
        next = Some(book.id.to_string());
        records.push(Record::Book { source: rows::source(row)?, book });
    }
    Ok(Records { records, next })
}

/// Ordered by key; `after` is the key of the last one as JSON.
fn all_summaries(connection: &Connection, after: &str, limit: u32) -> Result<Records, StoreError> {
    let after: [String; 5] = match after {
        "" => Default::default(),
        text => serde_json::from_str(text).map_err(|error| StoreError::Corrupt(error.to_string()))?,
    };
    let [book, hash, provider, model, prompt] = after;
    let mut statement = connection.prepare_cached(
        "SELECT document FROM summaries \
         WHERE (book, content_hash, provider, requested_model, prompt_version) > (?1, ?2, ?3, ?4, ?5) \
         ORDER BY book, content_hash, provider, requested_model, prompt_version LIMIT ?6",
    )?;
    let mut found = statement.query(params![book, hash, provider, model, prompt, limit])?;
    let (mut records, mut next) = (Vec::new(), None);
    while let Some(row) = found.next()? {
        let summary: StoredSummary = serde_json::from_str(&row.get::<_, String>(0)?)
            .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        next = serde_json::to_string(&[
            &summary.book_id.to_string(),
            &summary.content_hash,
            &summary.provider,
            &summary.requested_model,
            &summary.prompt_version,
        ])
        .ok();
        records.push(Record::Summary(summary));
    }
    Ok(Records { records, next })
}

/// Restores one record.
pub(super) fn restore(connection: &Connection, record: &Record) -> Result<Restored, StoreError> {
    match record {
        Record::Author(author) => restore_author(connection, author),
        Record::Book { book, source } => restore_book(connection, book, source.as_ref()),
        Record::Summary(summary) => {
            let known = connection
                .prepare_cached("SELECT 1 FROM books WHERE id = ?1")?
                .exists([summary.book_id.to_string()])?;
            if !known {
                return Ok(Restored::Refused(format!("its book {} is not there", summary.book_id)));
            }
            let there: Option<String> = connection
                .prepare_cached(
                    "SELECT document FROM summaries WHERE book = ?1 AND content_hash = ?2 AND provider = ?3 \
                     AND requested_model = ?4 AND prompt_version = ?5",
                )?
                .query_row(
                    params![
                        summary.book_id.to_string(),
                        summary.content_hash,
                        summary.provider,
                        summary.requested_model,
                        summary.prompt_version
                    ],
                    |row| row.get(0),
                )
                .optional()?;
            let there: Option<StoredSummary> = there.and_then(|text| serde_json::from_str(&text).ok());
            if there.is_some_and(|there| there.fence >= summary.fence) {
                return Ok(Restored::Unchanged);
            }
            Ok(if summaries::put(connection, summary)? { Restored::Written } else { Restored::Unchanged })
        }
    }
}

fn restore_author(connection: &Connection, author: &Author) -> Result<Restored, StoreError> {
    if rows::author(connection, author.id)?.is_some_and(|there| there.version >= author.version) {
        return Ok(Restored::Unchanged);
    }
    authors::put(connection, author)?;
    authors::rewrite_books(connection, author.id)?;
    Ok(Restored::Written)
}

fn restore_book(
    connection: &Connection,
    book: &Book,
    source: Option<&BookSource>,
) -> Result<Restored, StoreError> {
    if rows::book(connection, book.id)?.is_some_and(|there| there.version >= book.version) {
        return Ok(Restored::Unchanged);
    }
    if let Some(holder) = books::isbn_holder(connection, book.isbn.as_ref())?
        && holder != book.id
    {
        return Ok(Restored::Refused(format!("book {holder} has its ISBN")));
    }
    if let Some(source) = source {
        let holder: Option<String> = connection
            .prepare_cached("SELECT id FROM books WHERE source = ?1 AND source_id = ?2")?
            .query_row([&source.name, &source.id], |row| row.get(0))
            .optional()?;
        if let Some(holder) = holder.map(|holder| rows::id(&holder)).transpose()?
            && holder != book.id
        {
            return Ok(Restored::Refused(format!(
                "book {holder} was imported from {} {} already",
                source.name, source.id
            )));
        }
    }
    let mut book = book.clone();
    for author in &mut book.authors {
        match rows::author(connection, author.id)? {
            Some(there) => author.name = there.name,
            None => return Ok(Restored::Refused(format!("its author {} is not there", author.id))),
        }
    }
    books::put(connection, &book, source)?;
    Ok(Restored::Written)
}

/// The id of everything of a kind, for checks.
pub(super) fn ids(connection: &Connection, table: &str) -> Result<Vec<Uuid>, StoreError> {
    let mut statement = connection.prepare(&format!("SELECT id FROM {table} ORDER BY id"))?;
    let mut found = statement.query([])?;
    let mut ids = Vec::new();
    while let Some(row) = found.next()? {
        ids.push(rows::id(&row.get::<_, String>(0)?)?);
    }
    Ok(ids)
}
