//! Authors in the embedded store.

use async_trait::async_trait;
use rusqlite::types::Value;
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::lists::{Conditions, Query, match_expression};
use super::{EmbeddedStore, books, claims, rows};
use crate::book::{Author, AuthorDraft, Book};
use crate::import::name_key;
use crate::store::cursor::fingerprint;
use crate::store::derived::{AuthorKeys, created_at};
use crate::store::{
    AuthorOrder, AuthorQuery, AuthorStore, BooksOfDeleted, Created, Expected, Listing, StoreError, Written,
};

#[async_trait]
impl AuthorStore for EmbeddedStore {
    async fn create_author(&self, id: Uuid, draft: AuthorDraft) -> Result<Created<Author>, StoreError> {
        self.write(move |connection| {
            if let Some(item) = rows::author(connection, id)? {
                return Ok(Created { item, fresh: false });
            }
            create(connection, id, draft).map(|item| Created { item, fresh: true })
        })
        .await
    }

    async fn author(&self, id: Uuid) -> Result<Option<Author>, StoreError> {
        self.read(move |connection| rows::author(connection, id)).await
    }

    async fn authors(&self, query: AuthorQuery) -> Result<Listing<Author>, StoreError> {
        self.read(move |connection| list(connection, &query)).await
    }

    async fn replace_author(
        &self,
        id: Uuid,
        expected: Expected,
        draft: AuthorDraft,
    ) -> Result<Written<(Author, Vec<Uuid>)>, StoreError> {
        self.write(move |connection| {
            let Some(before) = rows::author(connection, id)? else { return Ok(Written::Missing) };
            if !expected.allows(before.version) {
                return Ok(Written::Conflict);
            }
            let renamed = before.name != draft.name;
            let author = Author {
                name: draft.name,
                biography: draft.biography,
                born_year: draft.born_year,
                died_year: draft.died_year,
                version: before.version + 1,
                updated_at: rows::now().max(before.updated_at),
                ..before
            };
            put(connection, &author)?;
            // Who repeats a rename whose answer was lost has to hear of these books again.
            let books = if renamed { rewrite_books(connection, id)? } else { book_ids(connection, id)? };
            Ok(Written::Done((author, books)))
        })
        .await
    }

    async fn delete_author(
        &self,
        id: Uuid,
        expected: Expected,
        books: BooksOfDeleted,
    ) -> Result<Written<Vec<Uuid>>, StoreError> {
        self.write(move |connection| {
            let Some(author) = rows::author(connection, id)? else { return Ok(Written::Missing) };
            if !expected.allows(author.version) {
                return Ok(Written::Conflict);
            }
            let theirs = books_of(connection, id)?;
            if books == BooksOfDeleted::Refuse && !theirs.is_empty() {
                return Err(StoreError::AuthorHasBooks);
            }
            let ids = theirs.iter().map(|book| book.id).collect();
            for mut book in theirs {
                if books == BooksOfDeleted::Delete {
                    books::delete(connection, book)?;
                } else {
                    book.authors.retain(|other| other.id != id);
                    book.version += 1;
                    book.updated_at = rows::now().max(book.updated_at);
                    books::put(connection, &book, None)?;
                }
            }
            claims::author_deleted(connection, author)?;
            let key = id.to_string();
            remove_text(connection, &key)?;
            connection.prepare_cached("DELETE FROM authors WHERE id = ?1")?.execute([&key])?;
            Ok(Written::Done(ids))
        })
        .await
    }
}

fn list(connection: &Connection, query: &AuthorQuery) -> Result<Listing<Author>, StoreError> {
    let search = query.filter.text.as_ref();
    if search.is_some_and(crate::search::Search::is_empty) {
        return Ok(Listing::empty());
    }
    let mut conditions = Conditions::default();
    if let Some(search) = search {
        conditions.and(
            "authors.row IN (SELECT rowid FROM authors_text WHERE authors_text MATCH ?)",
            [Value::Text(match_expression(search))],
        );
    }
    let list = Query {
        table: "authors",
        columns: rows::AUTHOR_COLUMNS,
        order: match query.sort.by {
            AuthorOrder::CreatedAt => None,
            AuthorOrder::UpdatedAt => Some("updated_at"),
            AuthorOrder::Name => Some("name_sort"),
            AuthorOrder::BornYear => Some("born_sort"),
            AuthorOrder::DiedYear => Some("died_sort"),
        },
        descending: query.sort.descending,
        conditions,
        limit: query.limit,
        cursor: query.cursor.as_deref(),
        fingerprint: fingerprint(&query.filter, &query.sort),
    };
    list.run(connection, |row| {
        let author = rows::author_of(row)?;
        let (key, id) = (AuthorKeys::key(&author, query.sort.by), author.id);
        Ok((author, key, id))
    })
}

/// Creates an author.
pub(super) fn create(connection: &Connection, id: Uuid, draft: AuthorDraft) -> Result<Author, StoreError> {
    let now = created_at(id).unwrap_or_else(rows::now);
    let author = Author {
        id,
        name: draft.name,
        biography: draft.biography,
        born_year: draft.born_year,
        died_year: draft.died_year,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    put(connection, &author)?;
    Ok(author)
}

/// Writes an author's row and all that is derived from it.
pub(super) fn put(connection: &Connection, author: &Author) -> Result<(), StoreError> {
    let key = author.id.to_string();
    let derived = AuthorKeys::of(author);
    connection
        .prepare_cached(
            "INSERT INTO authors (id, name, name_key, biography, born_year, died_year, version, created_at, \
             updated_at, name_sort, born_sort, died_sort) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) ON CONFLICT (id) DO UPDATE SET \
             name = ?2, name_key = ?3, biography = ?4, born_year = ?5, died_year = ?6, version = ?7, \
             created_at = ?8, updated_at = ?9, name_sort = ?10, born_sort = ?11, died_sort = ?12",
        )?
        .execute(params![
            key,
            author.name,
            name_key(&author.name),
            author.biography,
            author.born_year,
            author.died_year,
            author.version.cast_signed(),
            author.created_at.timestamp_micros(),
            author.updated_at.timestamp_micros(),
            derived.name,
            derived.born_year,
            derived.died_year,
        ])?;
    remove_text(connection, &key)?;
    connection
        .prepare_cached("INSERT INTO authors_text (rowid, name) SELECT row, ?2 FROM authors WHERE id = ?1")?
        .execute(params![key, derived.words.join(" ")])?;
    Ok(())
}

fn remove_text(connection: &Connection, key: &str) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM authors_text WHERE rowid = (SELECT row FROM authors WHERE id = ?1)")?
        .execute([key])?;
    Ok(())
}

/// Lets the books of an author who has a new name follow; says which these are.
pub(super) fn rewrite_books(connection: &Connection, author: Uuid) -> Result<Vec<Uuid>, StoreError> {
    let mut ids = Vec::new();
    for mut book in books_of(connection, author)? {
        // Read after the author was written: it has the new name already.
        book.version += 1;
        book.updated_at = rows::now().max(book.updated_at);
        books::put(connection, &book, None)?;
        ids.push(book.id);
    }
    Ok(ids)
}

/// The books that name an author.
fn books_of(connection: &Connection, author: Uuid) -> Result<Vec<Book>, StoreError> {
    let ids = book_ids(connection, author)?.into_iter();
    ids.filter_map(|id| rows::book(connection, id).transpose()).collect()
}

fn book_ids(connection: &Connection, author: Uuid) -> Result<Vec<Uuid>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT DISTINCT book FROM book_authors WHERE author = ?1 ORDER BY book")?;
    let mut found = statement.query([author.to_string()])?;
    let mut ids = Vec::new();
    while let Some(row) = found.next()? {
        ids.push(rows::id(&row.get::<_, String>(0)?)?);
    }
    Ok(ids)
}
