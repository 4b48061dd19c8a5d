//! Books in the embedded store.

use async_trait::async_trait;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::lists::{Conditions, Query, match_expression};
use super::{EmbeddedStore, claims, imports, rows};
use crate::book::{AuthorRef, Book, BookDraft};
use crate::import::{ImportDraft, ImportOutcome};
use crate::isbn::Isbn;
use crate::store::cursor::fingerprint;
use crate::store::derived::{BookKeys, created_at, genre_key, language_key, price_key, year_key};
use crate::store::{
    BookFilter, BookOrder, BookQuery, BookSource, BookStore, Created, Expected, Listing, StoreError, Written,
};

#[async_trait]
impl BookStore for EmbeddedStore {
    async fn create_book(&self, id: Uuid, draft: BookDraft) -> Result<Created<Book>, StoreError> {
        self.write(move |connection| {
            if let Some(item) = rows::book(connection, id)? {
                return Ok(Created { item, fresh: false });
            }
            create(connection, id, draft, None).map(|item| Created { item, fresh: true })
        })
        .await
    }

    async fn book(&self, id: Uuid) -> Result<Option<Book>, StoreError> {
        self.read(move |connection| rows::book(connection, id)).await
    }

    async fn books(&self, query: BookQuery) -> Result<Listing<Book>, StoreError> {
        self.read(move |connection| list(connection, &query)).await
    }

    async fn replace_book(
        &self,
        id: Uuid,
        expected: Expected,
        draft: BookDraft,
    ) -> Result<Written<Book>, StoreError> {
        self.write(move |connection| {
            let Some(book) = rows::book(connection, id)? else { return Ok(Written::Missing) };
            if !expected.allows(book.version) {
                return Ok(Written::Conflict);
            }
            change(connection, book, draft, None).map(Written::Done)
        })
        .await
    }

    async fn delete_book(&self, id: Uuid, expected: Expected) -> Result<Written<()>, StoreError> {
        self.write(move |connection| {
            let Some(book) = rows::book(connection, id)? else { return Ok(Written::Missing) };
            if !expected.allows(book.version) {
                return Ok(Written::Conflict);
            }
            delete(connection, book).map(Written::Done)
        })
        .await
    }

    async fn import(&self, batch: Vec<ImportDraft>) -> Result<Vec<ImportOutcome>, StoreError> {
        self.write(move |connection| batch.iter().map(|draft| imports::one(connection, draft)).collect())
            .await
    }

    async fn seeded(&self) -> Result<bool, StoreError> {
        self.read(|connection| {
            Ok(connection.prepare_cached("SELECT 1 FROM facts WHERE name = 'seeded'")?.exists([])?)
        })
        .await
    }

    async fn mark_seeded(&self) -> Result<(), StoreError> {
        self.write(|connection| {
            connection.execute(
                "INSERT INTO facts (name, value) VALUES ('seeded', ?1) ON CONFLICT DO NOTHING",
                [rows::now().to_rfc3339()],
            )?;
            Ok(())
        })
        .await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // Reads a page of the file: a bare SELECT 1 would answer though the file is broken.
        self.read(|connection| {
            Ok(connection.query_row("SELECT EXISTS (SELECT 1 FROM books)", [], |_| Ok(()))?)
        })
        .await
    }
}

fn list(connection: &Connection, query: &BookQuery) -> Result<Listing<Book>, StoreError> {
    let search = query.filter.text.as_ref();
    if search.is_some_and(crate::search::Search::is_empty) {
        return Ok(Listing::empty());
    }
    let mut conditions = Conditions::default();
    let by_relevance = search.filter(|_| query.sort.by == BookOrder::Relevance);
    if let Some(search) = search {
        let condition = match by_relevance {
            Some(_) => "words.books_text MATCH ?",
            None => "books.row IN (SELECT rowid FROM books_text WHERE books_text MATCH ?)",
        };
        conditions.and(condition, [Value::Text(match_expression(search))]);
    }
    restrict(&mut conditions, &query.filter);
    let list = Query {
        table: "books",
        columns: rows::BOOK_COLUMNS,
        order: match query.sort.by {
            BookOrder::CreatedAt | BookOrder::Relevance => None,
            BookOrder::UpdatedAt => Some("books.updated_at"),
            BookOrder::Title => Some("title_sort"),
            BookOrder::PublishedYear => Some("year_sort"),
            BookOrder::Price => Some("price_sort"),
            BookOrder::Rating => Some("rating_sort"),
            BookOrder::Language => Some("language_sort"),
        },
        descending: query.sort.descending,
        conditions,
        limit: query.limit,
        cursor: query.cursor.as_deref(),
        fingerprint: fingerprint(&query.filter, &query.sort),
    };
    if let Some(search) = by_relevance {
        return list.run_by_relevance(connection, search, |id| rows::book(connection, id));
    }
    list.run(connection, |row| {
        let book = rows::book_of(connection, row)?;
        let (key, id) = (BookKeys::key(&book, query.sort.by), book.id);
        Ok((book, key, id))
    })
}

/// All of the filter but its text.
fn restrict(conditions: &mut Conditions, filter: &BookFilter) {
    if let Some(author) = filter.author {
        let author = Value::Text(author.to_string());
        conditions.and("books.id IN (SELECT book FROM book_authors WHERE author = ?)", [author]);
    }
    if let Some(genre) = &filter.genre {
        let genre = Value::Text(genre_key(genre));
        conditions.and("books.id IN (SELECT book FROM book_genres WHERE genre = ?)", [genre]);
    }
    if let Some(language) = &filter.language {
        conditions.and("language_sort = ?", [Value::Text(language_key(language))]);
    }
    if filter.published_from.is_some() || filter.published_to.is_some() {
        let from = filter.published_from.unwrap_or(i32::MIN);
        let to = filter.published_to.map_or(i64::MAX, i64::from);
        conditions
            .and("year_sort BETWEEN ? AND ?", [Value::Integer(year_key(Some(from))), Value::Integer(to)]);
    }
    if filter.price_from.is_some() || filter.price_to.is_some() {
        let from = filter.price_from.map_or(0, price_key);
        let to = filter.price_to.map_or(i64::MAX, price_key);
        conditions.and("price_sort BETWEEN ? AND ?", [Value::Integer(from), Value::Integer(to)]);
    }
    if let Some(currency) = &filter.currency {
        conditions.and("price_currency = ?", [Value::Text(currency.clone())]);
    }
    if let Some(has_summary) = filter.has_summary {
        let not = if has_summary { "" } else { "NOT " };
        conditions.and(
            format!(
                "{not}EXISTS (SELECT 1 FROM summaries WHERE book = books.id \
                 AND summaries.content_hash = books.content_hash \
                 AND prompt_version IN (SELECT value FROM json_each(?)))"
            ),
            [Value::Text(rows::known_prompts())],
        );
    }
}

/// Who has an ISBN.
pub(super) fn isbn_holder(connection: &Connection, isbn: Option<&Isbn>) -> Result<Option<Uuid>, StoreError> {
    let Some(isbn) = isbn else { return Ok(None) };
    let holder: Option<String> = connection
        .prepare_cached("SELECT id FROM books WHERE isbn = ?1")?
        .query_row([isbn.as_str()], |row| row.get(0))
        .optional()?;
    holder.map(|holder| rows::id(&holder)).transpose()
}

/// Creates a book.
pub(super) fn create(
    connection: &Connection,
    id: Uuid,
    draft: BookDraft,
    source: Option<&BookSource>,
) -> Result<Book, StoreError> {
    let now = created_at(id).unwrap_or_else(rows::now);
    let empty = Book {
        id,
        isbn: None,
        title: String::new(),
        authors: Vec::new(),
        published_year: None,
        language: None,
        genres: Vec::new(),
        description: None,
        price: None,
        rating: None,
        summary: None,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    write_draft(connection, empty, draft, source)
}

/// Changes a book to what the draft says.
pub(super) fn change(
    connection: &Connection,
    mut book: Book,
    draft: BookDraft,
    source: Option<&BookSource>,
) -> Result<Book, StoreError> {
    book.version += 1;
    book.updated_at = rows::now().max(book.updated_at);
    write_draft(connection, book, draft, source)
}

fn write_draft(
    connection: &Connection,
    book: Book,
    draft: BookDraft,
    source: Option<&BookSource>,
) -> Result<Book, StoreError> {
    if isbn_holder(connection, draft.isbn.as_ref())?.is_some_and(|holder| holder != book.id) {
        return Err(StoreError::IsbnTaken);
    }
    let mut authors = Vec::with_capacity(draft.author_ids.len());
    for id in draft.author_ids {
        let author = rows::author(connection, id)?.ok_or(StoreError::UnknownAuthor(id))?;
        authors.push(AuthorRef { id, name: author.name });
    }
    let id = book.id;
    let book = Book {
        isbn: draft.isbn,
        title: draft.title,
        authors,
        published_year: draft.published_year,
        language: draft.language,
        genres: draft.genres,
        description: draft.description,
        price: draft.price,
        rating: draft.rating,
        ..book
    };
    put(connection, &book, source)?;
    // Its summary may fit again, or no longer.
    rows::book(connection, id)?.ok_or_else(|| StoreError::Corrupt(format!("book {id} vanished")))
}

/// Writes a book's row and all that is derived from it. A source that is not given stays.
pub(super) fn put(
    connection: &Connection,
    book: &Book,
    source: Option<&BookSource>,
) -> Result<(), StoreError> {
    let key = book.id.to_string();
    let derived = BookKeys::of(book);
    // Names as JSON; strings cannot fail to be written.
    let genres = serde_json::to_string(&book.genres).unwrap_or_else(|_| "[]".to_owned());
    connection
        .prepare_cached(
            "INSERT INTO books (id, isbn, title, published_year, language, genres, description, price_amount, \
             price_currency, rating, version, created_at, updated_at, source, source_id, row_hash, content_hash, \
             title_sort, year_sort, price_sort, rating_sort, language_sort) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, \
             ?21, ?22) ON CONFLICT (id) DO UPDATE SET isbn = ?2, title = ?3, published_year = ?4, language = ?5, \
             genres = ?6, description = ?7, price_amount = ?8, price_currency = ?9, rating = ?10, version = ?11, \
             created_at = ?12, updated_at = ?13, source = coalesce(?14, source), \
             source_id = coalesce(?15, source_id), row_hash = coalesce(?16, row_hash), content_hash = ?17, \
             title_sort = ?18, year_sort = ?19, price_sort = ?20, rating_sort = ?21, language_sort = ?22",
        )?
        .execute(params![
            key,
            book.isbn.as_ref().map(Isbn::as_str),
            book.title,
            book.published_year,
            book.language,
            genres,
            book.description,
            book.price.as_ref().map(|price| price.amount.to_string()),
            book.price.as_ref().map(|price| price.currency.as_str()),
            book.rating,
            book.version.cast_signed(),
            book.created_at.timestamp_micros(),
            book.updated_at.timestamp_micros(),
            source.map(|source| source.name.as_str()),
            source.map(|source| source.id.as_str()),
            source.map(|source| source.row_hash.as_str()),
            derived.content_hash,
            derived.title,
            derived.published_year,
            derived.price,
            derived.rating,
            derived.language,
        ])?;
    connection.prepare_cached("DELETE FROM book_authors WHERE book = ?1")?.execute([&key])?;
    for (position, author) in (0_i64..).zip(&book.authors) {
        connection
            .prepare_cached("INSERT INTO book_authors (book, position, author) VALUES (?1, ?2, ?3)")?
            .execute(params![key, position, author.id.to_string()])?;
    }
    connection.prepare_cached("DELETE FROM book_genres WHERE book = ?1")?.execute([&key])?;
    for genre in &derived.genres {
        connection
            .prepare_cached("INSERT INTO book_genres (book, genre) VALUES (?1, ?2)")?
            .execute(params![key, genre])?;
    }
    remove_text(connection, &key)?;
    connection
        .prepare_cached(
            "INSERT INTO books_text (rowid, id, title, names, other) \
             SELECT row, id, ?2, ?3, ?4 FROM books WHERE id = ?1",
        )?
        .execute(params![
            key,
            derived.title_words.join(" "),
            derived.name_words.join(" "),
            derived.other_words.join(" ")
        ])?;
    Ok(())
}

fn remove_text(connection: &Connection, key: &str) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM books_text WHERE rowid = (SELECT row FROM books WHERE id = ?1)")?
        .execute([key])?;
    Ok(())
}

/// Deletes a book and all that hangs on it.
pub(super) fn delete(connection: &Connection, book: Book) -> Result<(), StoreError> {
    let key = book.id.to_string();
    claims::resource_deleted(connection, book)?;
    remove_text(connection, &key)?;
    connection.prepare_cached("DELETE FROM books WHERE id = ?1")?.execute([&key])?;
    Ok(())
}
