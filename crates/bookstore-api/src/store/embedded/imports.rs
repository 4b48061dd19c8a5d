//! Import into the embedded store: rows become books, each exactly once.

use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use super::{authors, books, rows};
use crate::book::AuthorDraft;
use crate::import::{ImportDraft, ImportOutcome, keep_what_the_row_lacks, name_key};
use crate::store::{BookSource, StoreError};

/// Imports one row.
pub(super) fn one(connection: &Connection, import: &ImportDraft) -> Result<ImportOutcome, StoreError> {
    let row_hash = import.row_hash();
    let known: Option<(String, Option<String>)> = connection
        .prepare_cached("SELECT id, row_hash FROM books WHERE source = ?1 AND source_id = ?2")?
        .query_row([&import.source, &import.source_id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((id, Some(hash))) = &known
        && *hash == row_hash
    {
        let book = rows::id(id)?;
        return Ok(ImportOutcome { written: false, book, authors_created: 0, warnings: Vec::new() });
    }
    let own = known.as_ref().map(|(id, _)| rows::id(id)).transpose()?;
    let mut draft = import.draft.clone();
    let mut warnings = Vec::new();
    if let Some(holder) = books::isbn_holder(connection, draft.isbn.as_ref())?
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
    let source = BookSource { name: import.source.clone(), id: import.source_id.clone(), row_hash };
    let before = own.map(|id| rows::book(connection, id)).transpose()?.flatten();
    let book = match before {
        Some(book) => {
            keep_what_the_row_lacks(&book, &mut draft);
            books::change(connection, book, draft, Some(&source))?
        }
        None => books::create(connection, Uuid::now_v7(), draft, Some(&source))?,
    };
    Ok(ImportOutcome { written: true, book: book.id, authors_created, warnings })
}

/// The author of this name, whatever its case and spacing; a new one where there is none.
fn author_named(connection: &Connection, name: &str) -> Result<(Uuid, bool), StoreError> {
    let known: Option<String> = connection
        .prepare_cached("SELECT id FROM authors WHERE name_key = ?1 ORDER BY id LIMIT 1")?
        .query_row([name_key(name)], |row| row.get(0))
        .optional()?;
    if let Some(known) = known {
        return Ok((rows::id(&known)?, false));
    }
    let draft = AuthorDraft { name: name.to_owned(), ..AuthorDraft::default() };
    Ok((authors::create(connection, Uuid::now_v7(), draft)?.id, true))
}
