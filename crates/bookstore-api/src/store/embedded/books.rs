//! Books in the embedded store, and their import.

use async_trait::async_trait;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::lists::{ListQuery, match_expression};
use super::{EmbeddedStore, rows};
use crate::book::{Book, BookDraft};
use crate::import::{ImportDraft, ImportOutcome, name_key};
use crate::store::{BookQuery, BookStore, Listing, StoreError};

#[async_trait]
impl BookStore for EmbeddedStore {
    async fn create_book(&self, draft: BookDraft) -> Result<Book, StoreError> {
        self.write(move |connection| {
            isbn_is_free(connection, &draft, None)?;
            let id = insert(connection, &draft, None)?;
            read_back(connection, id)
        })
        .await
    }

    async fn book(&self, id: Uuid) -> Result<Option<Book>, StoreError> {
        self.read(move |connection| rows::book(connection, id)).await
    }

    async fn books(&self, query: BookQuery) -> Result<Listing<Book>, StoreError> {
        self.read(move |connection| list(connection, query)).await
    }

    async fn replace_book(&self, id: Uuid, draft: BookDraft) -> Result<Option<Book>, StoreError> {
        self.write(move |connection| {
            if rows::book(connection, id)?.is_none() {
                return Ok(None);
            }
            isbn_is_free(connection, &draft, Some(id))?;
            update(connection, id, &draft)?;
            read_back(connection, id).map(Some)
        })
        .await
    }

    async fn delete_book(&self, id: Uuid) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let key = id.to_string();
            connection
                .prepare_cached("DELETE FROM books_text WHERE rowid = (SELECT row FROM books WHERE id = ?1)")?
                .execute([&key])?;
            Ok(connection.prepare_cached("DELETE FROM books WHERE id = ?1")?.execute([&key])? > 0)
        })
        .await
    }

    async fn import(&self, batch: Vec<ImportDraft>) -> Result<Vec<ImportOutcome>, StoreError> {
        self.write(move |connection| batch.iter().map(|draft| import_one(connection, draft)).collect()).await
    }

    async fn seeded(&self) -> Result<bool, StoreError> {
        self.read(|connection| {
            Ok(connection
                .query_row("SELECT 1 FROM facts WHERE name = 'seeded'", [], |_| Ok(()))
                .optional()?
                .is_some())
        })
        .await
    }

    async fn mark_seeded(&self) -> Result<(), StoreError> {
        self.write(|connection| {
            connection.execute(
                "INSERT INTO facts (name, value) VALUES ('seeded', ?1) ON CONFLICT DO NOTHING",
                [rows::time(rows::now())],
            )?;
            Ok(())
        })
        .await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.read(|connection| Ok(connection.query_row("SELECT 1", [], |_| Ok(()))?)).await
    }
}

fn list(connection: &Connection, query: BookQuery) -> Result<Listing<Book>, StoreError> {
    let mut conditions: Vec<(&'static str, Value)> = Vec::new();
    if let Some(text) = query.text.as_deref().filter(|text| !text.trim().is_empty()) {
        let Some(expression) = match_expression(text) else {
            return Ok(Listing { items: Vec::new(), next_cursor: None, total: 0 });
        };
        conditions.push((
            "books.row IN (SELECT rowid FROM books_text WHERE books_text MATCH ?)",
            Value::Text(expression),
        ));
    }
    if let Some(author) = query.author {
        conditions.push((
            "books.id IN (SELECT book FROM book_authors WHERE author = ?)",
            Value::Text(author.to_string()),
        ));
    }
    if let Some(genre) = query.genre {
        conditions.push((
            "books.id IN (SELECT book FROM book_genres WHERE genre = ?)",
            Value::Text(genre.to_lowercase()),
        ));
    }
    if let Some(language) = query.language {
        conditions.push(("books.language = ?", Value::Text(language)));
    }
    let list = ListQuery {
        from: "books",
        columns: rows::BOOK_COLUMNS,
        id: "books.id",
        name: "title",
        conditions,
        sort: query.sort,
        limit: query.limit,
        cursor: query.cursor,
    };
    list.run(connection, |row| {
        let book = rows::book_of(connection, row)?;
        let (title, id) = (book.title.clone(), book.id.to_string());
        Ok((book, title, id))
    })
}

fn read_back(connection: &Connection, id: Uuid) -> Result<Book, StoreError> {
    rows::book(connection, id)?.ok_or_else(|| StoreError::Corrupt(format!("book {id} vanished")))
}

fn isbn_holder(connection: &Connection, draft: &BookDraft) -> Result<Option<Uuid>, StoreError> {
    let Some(isbn) = &draft.isbn else { return Ok(None) };
    let holder: Option<String> = connection
        .prepare_cached("SELECT id FROM books WHERE isbn = ?1")?
        .query_row([isbn.as_str()], |row| row.get(0))
        .optional()?;
    holder.map(|holder| rows::id(&holder)).transpose()
}

fn isbn_is_free(connection: &Connection, draft: &BookDraft, own: Option<Uuid>) -> Result<(), StoreError> {
    match isbn_holder(connection, draft)? {
        Some(holder) if Some(holder) != own => Err(StoreError::IsbnTaken),
        _ => Ok(()),
    }
}

/// Where an imported book comes from.
struct Source<'a> {
    name: &'a str,
    id: &'a str,
    row_hash: &'a str,
}

fn insert(
    connection: &Connection,
    draft: &BookDraft,
    source: Option<&Source<'_>>,
) -> Result<Uuid, StoreError> {
    let id = Uuid::now_v7();
    let now = rows::time(rows::now());
    connection
        .prepare_cached(
            "INSERT INTO books (id, isbn, title, published_year, language, genres, description, price_amount, \
             price_currency, rating, version, created_at, updated_at, source, source_id, row_hash) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 1, ?11, ?11, ?12, ?13, ?14)",
        )?
        .execute(params![
            id.to_string(),
            draft.isbn.as_ref().map(crate::isbn::Isbn::as_str),
            draft.title,
            draft.published_year,
            draft.language,
            genres(draft),
            draft.description,
            draft.price.as_ref().map(|price| price.amount.to_string()),
            draft.price.as_ref().map(|price| price.currency.as_str()),
            draft.rating,
            now,
            source.map(|source| source.name),
            source.map(|source| source.id),
            source.map(|source| source.row_hash),
        ])?;
    connect(connection, id, draft)?;
    Ok(id)
}

fn update(connection: &Connection, id: Uuid, draft: &BookDraft) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE books SET isbn = ?2, title = ?3, published_year = ?4, language = ?5, genres = ?6, \
             description = ?7, price_amount = ?8, price_currency = ?9, rating = ?10, \
             version = version + 1, updated_at = ?11 WHERE id = ?1",
        )?
        .execute(params![
            id.to_string(),
            draft.isbn.as_ref().map(crate::isbn::Isbn::as_str),
            draft.title,
            draft.published_year,
            draft.language,
            genres(draft),
            draft.description,
            draft.price.as_ref().map(|price| price.amount.to_string()),
            draft.price.as_ref().map(|price| price.currency.as_str()),
            draft.rating,
            rows::time(rows::now()),
        ])?;
    connect(connection, id, draft)
}

/// Names as JSON; strings cannot fail to be written.
fn genres(draft: &BookDraft) -> String {
    serde_json::to_string(&draft.genres).unwrap_or_else(|_| "[]".to_owned())
}

/// Sets a book's authors, genres and searchable text.
fn connect(connection: &Connection, id: Uuid, draft: &BookDraft) -> Result<(), StoreError> {
    let key = id.to_string();
    connection.prepare_cached("DELETE FROM book_authors WHERE book = ?1")?.execute([&key])?;
    for (position, author) in (0_i64..).zip(&draft.author_ids) {
        let exists =
            connection.prepare_cached("SELECT 1 FROM authors WHERE id = ?1")?.exists([author.to_string()])?;
        if !exists {
            return Err(StoreError::UnknownAuthor(*author));
        }
        connection
            .prepare_cached("INSERT INTO book_authors (book, position, author) VALUES (?1, ?2, ?3)")?
            .execute(params![key, position, author.to_string()])?;
    }
    connection.prepare_cached("DELETE FROM book_genres WHERE book = ?1")?.execute([&key])?;
    for genre in &draft.genres {
        connection
            .prepare_cached("INSERT INTO book_genres (book, genre) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
            .execute(params![key, genre.to_lowercase()])?;
    }
    index_text(connection, &key)
}

/// Brings a book's searchable text up to date with its row and authors.
pub(super) fn index_text(connection: &Connection, key: &str) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM books_text WHERE rowid = (SELECT row FROM books WHERE id = ?1)")?
        .execute([key])?;
    connection
        .prepare_cached(
            "INSERT INTO books_text (rowid, title, authors, genres, description) \
             SELECT row, title, \
               (SELECT group_concat(name, ' ') FROM book_authors JOIN authors ON authors.id = author WHERE book = books.id), \
               genres, coalesce(description, '') FROM books WHERE id = ?1",
        )?
        .execute([key])?;
    Ok(())
}

fn import_one(connection: &Connection, import: &ImportDraft) -> Result<ImportOutcome, StoreError> {
    let row_hash = import.row_hash();
    let known: Option<(String, Option<String>)> = connection
        .prepare_cached("SELECT id, row_hash FROM books WHERE source = ?1 AND source_id = ?2")?
        .query_row([&import.source, &import.source_id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((_, Some(hash))) = &known
        && *hash == row_hash
    {
        return Ok(ImportOutcome { written: false, book: None, authors_created: 0, warnings: Vec::new() });
    }
    let own = known.as_ref().map(|(id, _)| rows::id(id)).transpose()?;
    let mut draft = import.draft.clone();
    let mut warnings = Vec::new();
    if let Some(holder) = isbn_holder(connection, &draft)?
        && Some(holder) != own
    {
        warnings.push(format!("the ISBN was dropped: book {holder} has it"));
        draft.isbn = None;
    }
    let mut authors_created = 0;
    for name in &import.authors {
        let (author, created) = author_named(connection, name)?;
        authors_created += u64::from(created);
        if !draft.author_ids.contains(&author) {
            draft.author_ids.push(author);
        }
    }
    let source = Source { name: &import.source, id: &import.source_id, row_hash: &row_hash };
    let book = match own {
        Some(id) => {
            keep_what_the_row_lacks(connection, id, &mut draft)?;
            update(connection, id, &draft)?;
            connection
                .prepare_cached("UPDATE books SET row_hash = ?2 WHERE id = ?1")?
                .execute(params![id.to_string(), row_hash])?;
            id
        }
        None => insert(connection, &draft, Some(&source))?,
    };
    Ok(ImportOutcome { written: true, book: Some(book), authors_created, warnings })
}

/// A source that says nothing of a description, genres or a price does not take them away.
fn keep_what_the_row_lacks(
    connection: &Connection,
    id: Uuid,
    draft: &mut BookDraft,
) -> Result<(), StoreError> {
    let Some(book) = rows::book(connection, id)? else { return Ok(()) };
    draft.description = draft.description.take().or(book.description);
    draft.price = draft.price.take().or(book.price);
    if draft.genres.is_empty() {
        draft.genres = book.genres;
    }
    Ok(())
}

/// The author of this name, whatever its case and spacing; a new one where there is none.
fn author_named(connection: &Connection, name: &str) -> Result<(Uuid, bool), StoreError> {
    let key = name_key(name);
    let known: Option<String> = connection
        .prepare_cached("SELECT id FROM authors WHERE name_key = ?1 ORDER BY id LIMIT 1")?
        .query_row([&key], |row| row.get(0))
        .optional()?;
    if let Some(known) = known {
        return Ok((rows::id(&known)?, false));
    }
    let id = Uuid::now_v7();
    connection
        .prepare_cached(
            "INSERT INTO authors (id, name, name_key, version, created_at, updated_at) \
             VALUES (?1, ?2, ?3, 1, ?4, ?4)",
        )?
        .execute(params![id.to_string(), name, key, rows::time(rows::now())])?;
    Ok((id, true))
}
