//! Bringing a store that an older version wrote up to date.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, Row};
use serde_json::{Map, Value};

use super::{SCHEMA, TALLIES, rows, upkeep};
use crate::book::{Author, AuthorRef, Book, Price};
use crate::isbn::Isbn;
use crate::store::{BookSource, Record, Restored, StoreError, StoredSummary};

/// Brings a store of an older version up to the present one, in the transaction of the caller.
pub(super) fn from_version(version: i64, connection: &Connection) -> Result<(), StoreError> {
    match version {
        1 => from_version_1(connection),
        // Version 2 had no tallies.
        _ => Ok(connection.execute_batch(TALLIES)?),
    }
}

/// Version 1 had no sort keys, no claims, no jobs, and other tokens: everything is read, the tables
/// are made anew, and everything is restored.
fn from_version_1(connection: &Connection) -> Result<(), StoreError> {
    let mut records: Vec<Record> = authors(connection)?.into_values().map(Record::Author).collect();
    records.extend(books(connection)?);
    records.extend(summaries(connection)?);
    let facts: Vec<(String, String)> = connection
        .prepare("SELECT name, value FROM facts")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    connection.execute_batch(
        "DROP TABLE summaries; DROP TABLE book_genres; DROP TABLE book_authors; DROP TABLE books_text; \
         DROP TABLE books; DROP TABLE authors; DROP TABLE facts;",
    )?;
    connection.execute_batch(SCHEMA)?;
    for (name, value) in facts {
        connection.execute("INSERT INTO facts (name, value) VALUES (?1, ?2)", [name, value])?;
    }
    for record in &records {
        if let Restored::Refused(reason) = upkeep::restore(connection, record)? {
            return Err(StoreError::Corrupt(reason));
        }
    }
    Ok(())
}

fn time(row: &Row<'_>, column: &str) -> Result<DateTime<Utc>, StoreError> {
    let text: String = row.get(column)?;
    DateTime::parse_from_rfc3339(&text)
        .map(|time| time.to_utc())
        .map_err(|error| StoreError::Corrupt(format!("time {text:?}: {error}")))
}

fn authors(connection: &Connection) -> Result<BTreeMap<String, Author>, StoreError> {
    let mut statement = connection.prepare("SELECT * FROM authors")?;
    let mut found = statement.query([])?;
    let mut authors = BTreeMap::new();
    while let Some(row) = found.next()? {
        let id: String = row.get("id")?;
        let author = Author {
            id: rows::id(&id)?,
            name: row.get("name")?,
            biography: row.get("biography")?,
            born_year: row.get("born_year")?,
            died_year: row.get("died_year")?,
            version: row.get::<_, i64>("version")?.unsigned_abs(),
            created_at: time(row, "created_at")?,
            updated_at: time(row, "updated_at")?,
        };
        authors.insert(id, author);
    }
    Ok(authors)
}

fn books(connection: &Connection) -> Result<Vec<Record>, StoreError> {
    let mut statement = connection.prepare("SELECT * FROM books ORDER BY row")?;
    let mut named = connection.prepare(
        "SELECT authors.id, name FROM book_authors JOIN authors ON authors.id = author WHERE book = ?1 ORDER BY position",
    )?;
    let mut found = statement.query([])?;
    let mut books = Vec::new();
    while let Some(row) = found.next()? {
        let id: String = row.get("id")?;
        let mut authors = Vec::new();
        let mut names = named.query([&id])?;
        while let Some(row) = names.next()? {
            authors.push(AuthorRef { id: rows::id(&row.get::<_, String>(0)?)?, name: row.get(1)? });
        }
        let isbn: Option<String> = row.get("isbn")?;
        let amount: Option<String> = row.get("price_amount")?;
        let currency: Option<String> = row.get("price_currency")?;
        let book = Book {
            id: rows::id(&id)?,
            isbn: isbn.and_then(|isbn| Isbn::parse(&isbn).ok()),
            title: row.get("title")?,
            authors,
            published_year: row.get("published_year")?,
            language: row.get("language")?,
            genres: serde_json::from_str(&row.get::<_, String>("genres")?)
                .map_err(|error| StoreError::Corrupt(error.to_string()))?,
            description: row.get("description")?,
            price: amount
                .and_then(|amount| amount.parse().ok())
                .zip(currency)
                .map(|(amount, currency)| Price { amount, currency }),
            rating: row.get("rating")?,
            summary: None,
            version: row.get::<_, i64>("version")?.unsigned_abs(),
            created_at: time(row, "created_at")?,
            updated_at: time(row, "updated_at")?,
        };
        let source: Option<BookSource> = rows::source(row)?;
        books.push(Record::Book { book, source });
    }
    Ok(books)
}

fn summaries(connection: &Connection) -> Result<Vec<Record>, StoreError> {
    let mut statement = connection.prepare("SELECT document FROM summaries")?;
    let mut found = statement.query([])?;
    let mut summaries = Vec::new();
    while let Some(row) = found.next()? {
        let document: Map<String, Value> =
            serde_json::from_str(&row.get::<_, String>(0)?).map_err(corrupt)?;
        let document: Map<String, Value> =
            document.into_iter().map(|(name, value)| (camel_case(&name), value)).collect();
        let summary: StoredSummary = serde_json::from_value(Value::Object(document)).map_err(corrupt)?;
        summaries.push(Record::Summary(summary));
    }
    Ok(summaries)
}

/// Version 1 wrote `book_id` where version 2 writes `bookId`.
fn camel_case(name: &str) -> String {
    let mut parts = name.split('_');
    let mut camel = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (first, rest) = part.split_at(part.len().min(1));
        camel.push_str(&first.to_ascii_uppercase());
        camel.push_str(rest);
    }
    camel
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err wants it")]
fn corrupt(error: serde_json::Error) -> StoreError {
    StoreError::Corrupt(error.to_string())
}
