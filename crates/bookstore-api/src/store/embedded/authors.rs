//! Authors in the embedded store.

use async_trait::async_trait;
use rusqlite::types::Value;
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::lists::ListQuery;
use super::{EmbeddedStore, books, rows};
use crate::book::{Author, AuthorDraft};
use crate::import::name_key;
use crate::store::{AuthorQuery, AuthorStore, Listing, StoreError};

#[async_trait]
impl AuthorStore for EmbeddedStore {
    async fn create_author(&self, draft: AuthorDraft) -> Result<Author, StoreError> {
        self.write(move |connection| {
            let id = Uuid::now_v7();
            connection
                .prepare_cached(
                    "INSERT INTO authors (id, name, name_key, biography, born_year, died_year, version, \
                     created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?7)",
                )?
                .execute(params![
                    id.to_string(),
                    draft.name,
                    name_key(&draft.name),
                    draft.biography,
                    draft.born_year,
                    draft.died_year,
                    rows::time(rows::now()),
                ])?;
            one(connection, id)?.ok_or_else(|| StoreError::Corrupt(format!("author {id} vanished")))
        })
        .await
    }

    async fn author(&self, id: Uuid) -> Result<Option<Author>, StoreError> {
        self.read(move |connection| one(connection, id)).await
    }

    async fn authors(&self, query: AuthorQuery) -> Result<Listing<Author>, StoreError> {
        self.read(move |connection| {
            let text = query.text.as_deref().map(str::trim).filter(|text| !text.is_empty());
            let conditions: Vec<(&'static str, Value)> = text
                .map(|text| ("instr(name_key, ?) > 0", Value::Text(name_key(text))))
                .into_iter()
                .collect();
            let list = ListQuery {
                from: "authors",
                columns: rows::AUTHOR_COLUMNS,
                id: "id",
                name: "name",
                conditions,
                sort: query.sort,
                limit: query.limit,
                cursor: query.cursor,
            };
            list.run(connection, |row| {
                let author = rows::author(row)?;
                let (name, id) = (author.name.clone(), author.id.to_string());
                Ok((author, name, id))
            })
        })
        .await
    }

    async fn replace_author(
        &self,
        id: Uuid,
        draft: AuthorDraft,
    ) -> Result<Option<(Author, Vec<Uuid>)>, StoreError> {
        self.write(move |connection| {
            let key = id.to_string();
            connection
                .prepare_cached(
                    "UPDATE authors SET name = ?2, name_key = ?3, biography = ?4, born_year = ?5, \
                     died_year = ?6, version = version + 1, updated_at = ?7 WHERE id = ?1",
                )?
                .execute(params![
                    key,
                    draft.name,
                    name_key(&draft.name),
                    draft.biography,
                    draft.born_year,
                    draft.died_year,
                    rows::time(rows::now()),
                ])?;
            let Some(author) = one(connection, id)? else { return Ok(None) };
            let mut ids = Vec::new();
            let mut statement =
                connection.prepare_cached("SELECT DISTINCT book FROM book_authors WHERE author = ?1")?;
            let mut found = statement.query([&key])?;
            while let Some(row) = found.next()? {
                let book: String = row.get(0)?;
                books::index_text(connection, &book)?;
                ids.push(rows::id(&book)?);
            }
            Ok(Some((author, ids)))
        })
        .await
    }

    async fn delete_author(&self, id: Uuid) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let key = id.to_string();
            if connection.prepare_cached("SELECT 1 FROM book_authors WHERE author = ?1")?.exists([&key])? {
                return Err(StoreError::AuthorHasBooks);
            }
            Ok(connection.prepare_cached("DELETE FROM authors WHERE id = ?1")?.execute([&key])? > 0)
        })
        .await
    }
}

fn one(connection: &Connection, id: Uuid) -> Result<Option<Author>, StoreError> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {} FROM authors WHERE id = ?1", rows::AUTHOR_COLUMNS))?;
    let mut found = statement.query([id.to_string()])?;
    found.next()?.map(rows::author).transpose()
}
