//! Rows to domain values: the stored form, private to this adapter.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use crate::book::{Author, AuthorRef, Book, Price};
use crate::isbn::Isbn;
use crate::prompt;
use crate::store::{BookSource, StoreError};

/// The columns that [`book_of`] reads.
pub(super) const BOOK_COLUMNS: &str = "books.id, isbn, title, published_year, language, genres, description, \
price_amount, price_currency, rating, content_hash, books.version, books.created_at, books.updated_at";
/// The columns that [`author`] reads.
pub(super) const AUTHOR_COLUMNS: &str =
    "authors.id, name, biography, born_year, died_year, version, created_at, updated_at";

/// Now, with the precision that is stored.
pub(super) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_micros(Utc::now().timestamp_micros()).unwrap_or_default()
}

fn parse<T>(text: &str, what: &str, parsed: Option<T>) -> Result<T, StoreError> {
    parsed.ok_or_else(|| StoreError::Corrupt(format!("{what} {text:?}")))
}

pub(super) fn id(text: &str) -> Result<Uuid, StoreError> {
    parse(text, "id", Uuid::parse_str(text).ok())
}

/// A time as it is stored: microseconds since 1970.
pub(super) fn time(micros: i64) -> Result<DateTime<Utc>, StoreError> {
    parse(&micros.to_string(), "time", DateTime::from_timestamp_micros(micros))
}

/// The book in this row, with its authors and its latest fresh summary.
pub(super) fn book_of(connection: &Connection, row: &Row<'_>) -> Result<Book, StoreError> {
    let key: String = row.get("id")?;
    let isbn: Option<String> = row.get("isbn")?;
    let genres: String = row.get("genres")?;
    let amount: Option<String> = row.get("price_amount")?;
    let currency: Option<String> = row.get("price_currency")?;
    let content_hash: String = row.get("content_hash")?;
    let price = match (amount, currency) {
        (Some(amount), Some(currency)) => {
            Some(Price { amount: parse(&amount, "price", amount.parse().ok())?, currency })
        }
        _ => None,
    };
    Ok(Book {
        id: id(&key)?,
        isbn: isbn.map(|isbn| parse(&isbn, "isbn", Isbn::parse(&isbn).ok())).transpose()?,
        title: row.get("title")?,
        authors: authors_of(connection, &key)?,
        published_year: row.get("published_year")?,
        language: row.get("language")?,
        genres: parse(&genres, "genres", serde_json::from_str(&genres).ok())?,
        description: row.get("description")?,
        price,
        rating: row.get("rating")?,
        summary: summary_of(connection, &key, &content_hash)?,
        version: row.get::<_, i64>("version")?.unsigned_abs(),
        created_at: time(row.get("created_at")?)?,
        updated_at: time(row.get("updated_at")?)?,
    })
}

fn authors_of(connection: &Connection, book: &str) -> Result<Vec<AuthorRef>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT authors.id, name FROM book_authors JOIN authors ON authors.id = author \
         WHERE book = ?1 ORDER BY position",
    )?;
    let mut rows = statement.query([book])?;
    let mut authors = Vec::new();
    while let Some(row) = rows.next()? {
        authors.push(AuthorRef { id: id(&row.get::<_, String>(0)?)?, name: row.get(1)? });
    }
    Ok(authors)
}

/// The prompt versions whose summaries are shown, as a JSON array.
pub(super) fn known_prompts() -> String {
    serde_json::json!(prompt::VERSIONS).to_string()
}

fn summary_of(connection: &Connection, book: &str, content_hash: &str) -> Result<Option<String>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT json_extract(document, '$.text') FROM summaries WHERE book = ?1 AND content_hash = ?2 \
         AND prompt_version IN (SELECT value FROM json_each(?3)) ORDER BY generated_at DESC LIMIT 1",
    )?;
    Ok(statement.query_row(params![book, content_hash, known_prompts()], |row| row.get(0)).optional()?)
}

/// The book of this id.
pub(super) fn book(connection: &Connection, id: Uuid) -> Result<Option<Book>, StoreError> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {BOOK_COLUMNS} FROM books WHERE id = ?1"))?;
    let mut rows = statement.query([id.to_string()])?;
    rows.next()?.map(|row| book_of(connection, row)).transpose()
}

/// Where the book in this row was imported from.
pub(super) fn source(row: &Row<'_>) -> Result<Option<BookSource>, StoreError> {
    let name: Option<String> = row.get("source")?;
    let id: Option<String> = row.get("source_id")?;
    let row_hash: Option<String> = row.get("row_hash")?;
    Ok(match (name, id, row_hash) {
        (Some(name), Some(id), Some(row_hash)) => Some(BookSource { name, id, row_hash }),
        _ => None,
    })
}

/// The author in this row.
pub(super) fn author_of(row: &Row<'_>) -> Result<Author, StoreError> {
    Ok(Author {
        id: id(&row.get::<_, String>("id")?)?,
        name: row.get("name")?,
        biography: row.get("biography")?,
        born_year: row.get("born_year")?,
        died_year: row.get("died_year")?,
        version: row.get::<_, i64>("version")?.unsigned_abs(),
        created_at: time(row.get("created_at")?)?,
        updated_at: time(row.get("updated_at")?)?,
    })
}

/// The author of this id.
pub(super) fn author(connection: &Connection, id: Uuid) -> Result<Option<Author>, StoreError> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {AUTHOR_COLUMNS} FROM authors WHERE id = ?1"))?;
    let mut found = statement.query([id.to_string()])?;
    found.next()?.map(author_of).transpose()
}
