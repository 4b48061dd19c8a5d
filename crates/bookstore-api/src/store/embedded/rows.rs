//! Rows to domain values: the stored form, private to this adapter.

use chrono::{DateTime, SecondsFormat, Utc};
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use crate::book::{Author, AuthorRef, Book, Price};
use crate::isbn::Isbn;
use crate::prompt;
use crate::store::StoreError;

/// The columns that [`book`] reads.
pub(super) const BOOK_COLUMNS: &str = "books.id, isbn, title, published_year, language, genres, description, \
price_amount, price_currency, rating, books.version, books.created_at, books.updated_at";
/// The columns that [`author`] reads.
pub(super) const AUTHOR_COLUMNS: &str =
    "id, name, biography, born_year, died_year, version, created_at, updated_at";

/// A time as it is stored: RFC 3339 in UTC, always of the same length, so that it sorts as text.
pub(super) fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

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

fn parse_time(text: &str) -> Result<DateTime<Utc>, StoreError> {
    parse(text, "time", DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc()))
}

/// A book without its authors and summary.
fn bare_book(row: &Row<'_>) -> Result<Book, StoreError> {
    let isbn: Option<String> = row.get("isbn")?;
    let genres: String = row.get("genres")?;
    let amount: Option<String> = row.get("price_amount")?;
    let currency: Option<String> = row.get("price_currency")?;
    let price = match (amount, currency) {
        (Some(amount), Some(currency)) => {
            Some(Price { amount: parse(&amount, "price", amount.parse().ok())?, currency })
        }
        _ => None,
    };
    Ok(Book {
        id: id(&row.get::<_, String>("id")?)?,
        isbn: isbn.map(|isbn| parse(&isbn, "isbn", Isbn::parse(&isbn).ok())).transpose()?,
        title: row.get("title")?,
        authors: Vec::new(),
        published_year: row.get("published_year")?,
        language: row.get("language")?,
        genres: parse(&genres, "genres", serde_json::from_str(&genres).ok())?,
        description: row.get("description")?,
        price,
        rating: row.get("rating")?,
        summary: None,
        version: row.get::<_, i64>("version")?.unsigned_abs(),
        created_at: parse_time(&row.get::<_, String>("created_at")?)?,
        updated_at: parse_time(&row.get::<_, String>("updated_at")?)?,
    })
}

/// Completes a book with its authors and its latest fresh summary.
fn complete(connection: &Connection, mut book: Book) -> Result<Book, StoreError> {
    let key = book.id.to_string();
    let mut statement = connection.prepare_cached(
        "SELECT authors.id, name FROM book_authors JOIN authors ON authors.id = author \
         WHERE book = ?1 ORDER BY position",
    )?;
    let mut rows = statement.query([&key])?;
    while let Some(row) = rows.next()? {
        book.authors.push(AuthorRef { id: id(&row.get::<_, String>(0)?)?, name: row.get(1)? });
    }
    let mut statement = connection.prepare_cached(
        "SELECT json_extract(document, '$.text') FROM summaries \
         WHERE book = ?1 AND content_hash = ?2 AND prompt_version = ?3 ORDER BY generated_at DESC LIMIT 1",
    )?;
    book.summary = statement
        .query_row(params![key, book.content_hash(), prompt::VERSION], |row| row.get(0))
        .optional()?;
    Ok(book)
}

/// The book of this id.
pub(super) fn book(connection: &Connection, id: Uuid) -> Result<Option<Book>, StoreError> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {BOOK_COLUMNS} FROM books WHERE id = ?1"))?;
    let mut rows = statement.query([id.to_string()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    complete(connection, bare_book(row)?).map(Some)
}

/// The book in this row.
pub(super) fn book_of(connection: &Connection, row: &Row<'_>) -> Result<Book, StoreError> {
    complete(connection, bare_book(row)?)
}

/// The author in this row.
pub(super) fn author(row: &Row<'_>) -> Result<Author, StoreError> {
    Ok(Author {
        id: id(&row.get::<_, String>("id")?)?,
        name: row.get("name")?,
        biography: row.get("biography")?,
        born_year: row.get("born_year")?,
        died_year: row.get("died_year")?,
        version: row.get::<_, i64>("version")?.unsigned_abs(),
        created_at: parse_time(&row.get::<_, String>("created_at")?)?,
        updated_at: parse_time(&row.get::<_, String>("updated_at")?)?,
    })
}
