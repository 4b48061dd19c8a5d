//! Consistency of the embedded store: what is derived must follow from what it is derived from.

use rusqlite::{Connection, OptionalExtension};

use super::{SCHEMA, rows, upkeep};
use crate::store::derived::{AuthorKeys, BookKeys};
use crate::store::{CheckReport, Finding, StoreError};

/// Findings beyond this many are not listed.
const MOST_FINDINGS: usize = 1_000;

struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, code: &'static str, message: impl Into<String>) {
        if self.0.len() < MOST_FINDINGS {
            self.0.push(Finding { code, message: message.into() });
        }
    }
}

/// Everything that reading can tell.
pub(super) fn content(connection: &Connection) -> Result<CheckReport, StoreError> {
    let count = |table: &str| -> Result<u64, StoreError> {
        let count: i64 =
            connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    };
    let mut findings = Findings(Vec::new());
    file(connection, &mut findings)?;
    schema(connection, &mut findings)?;
    authors(connection, &mut findings)?;
    books(connection, &mut findings)?;
    let report = CheckReport {
        authors: count("authors")?,
        books: count("books")?,
        summaries: count("summaries")?,
        claims: count("claims")?,
        findings: findings.0,
    };
    Ok(report)
}

fn file(connection: &Connection, findings: &mut Findings) -> Result<(), StoreError> {
    let mut statement = connection.prepare("PRAGMA integrity_check")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let text: String = row.get(0)?;
        if text != "ok" {
            findings.add("broken_file", text);
        }
    }
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
        findings
            .add("dangling_reference", format!("a row of {table} names something that is not in {parent}"));
    }
    Ok(())
}

/// Tables and indexes are those that the schema makes.
fn schema(connection: &Connection, findings: &mut Findings) -> Result<(), StoreError> {
    let wanted = Connection::open_in_memory()?;
    wanted.execute_batch(SCHEMA)?;
    let mut statement = wanted.prepare("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (kind, name, sql): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let found: Option<String> = connection
            .prepare_cached("SELECT sql FROM sqlite_master WHERE type = ?1 AND name = ?2")?
            .query_row([&kind, &name], |row| row.get(0))
            .optional()?;
        match found {
            None if kind == "index" => findings.add("missing_index", format!("index {name} is missing")),
            None => findings.add("missing_table", format!("{kind} {name} is missing")),
            Some(found) if found != sql => {
                findings.add("other_schema", format!("{kind} {name} is not what this version makes"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn authors(connection: &Connection, findings: &mut Findings) -> Result<(), StoreError> {
    let mut statement = connection.prepare(
        "SELECT name_sort, born_sort, died_sort, \
         (SELECT name FROM authors_text WHERE rowid = authors.row) FROM authors WHERE id = ?1",
    )?;
    for id in upkeep::ids(connection, "authors")? {
        let Some(author) = rows::author(connection, id)? else { continue };
        let derived = AuthorKeys::of(&author);
        let wanted = (derived.name, derived.born_year, derived.died_year, Some(derived.words.join(" ")));
        let found = statement.query_row([id.to_string()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, Option<String>>(3)?))
        })?;
        if found != wanted {
            findings
                .add("outdated_author", format!("what is derived from author {id} does not follow from it"));
        }
    }
    orphans(connection, "authors", findings)
}

fn books(connection: &Connection, findings: &mut Findings) -> Result<(), StoreError> {
    let mut statement = connection.prepare(
        "SELECT title_sort, year_sort, price_sort, rating_sort, language_sort, content_hash, \
         (SELECT json_group_array(genre ORDER BY genre) FROM book_genres WHERE book = books.id), \
         (SELECT id || '|' || title || '|' || names || '|' || other FROM books_text WHERE rowid = books.row) \
         FROM books WHERE id = ?1",
    )?;
    for id in upkeep::ids(connection, "books")? {
        let book = match rows::book(connection, id) {
            Ok(Some(book)) => book,
            Ok(None) => continue,
            Err(StoreError::Corrupt(what)) => {
                findings.add("unreadable_book", format!("book {id}: {what}"));
                continue;
            }
            Err(error) => return Err(error),
        };
        let keys = BookKeys::of(&book);
        let words = [&keys.title_words, &keys.name_words, &keys.other_words].map(|words| words.join(" "));
        let wanted = (
            (keys.title, keys.published_year, keys.price, keys.rating, keys.language, keys.content_hash),
            serde_json::to_string(&keys.genres).unwrap_or_default(),
            Some(format!("{id}|{}", words.join("|"))),
        );
        let found = statement.query_row([id.to_string()], |row| {
            let sorts =
                (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get::<_, String>(5)?);
            Ok((sorts, row.get::<_, String>(6)?, row.get::<_, Option<String>>(7)?))
        })?;
        if found != wanted {
            findings.add("outdated_book", format!("what is derived from book {id} does not follow from it"));
        }
    }
    orphans(connection, "books", findings)
}

/// Searchable text that belongs to nothing.
fn orphans(connection: &Connection, table: &str, findings: &mut Findings) -> Result<(), StoreError> {
    let orphans: i64 = connection.query_row(
        &format!("SELECT count(*) FROM {table}_text WHERE rowid NOT IN (SELECT row FROM {table})"),
        [],
        |row| row.get(0),
    )?;
    if orphans > 0 {
        findings.add("orphaned_text", format!("{orphans} searchable texts belong to none of the {table}"));
    }
    Ok(())
}

/// The full-text index itself; SQLite takes this command on a writing connection only.
pub(super) fn text_index(connection: &Connection) -> Vec<Finding> {
    let check = |table: &str| {
        connection.execute(&format!("INSERT INTO {table} ({table}, rank) VALUES ('integrity-check', 1)"), [])
    };
    ["books_text", "authors_text"]
        .into_iter()
        .filter_map(|table| {
            let error = check(table).err()?;
            Some(Finding { code: "broken_text_index", message: format!("{table}: {error}") })
        })
        .collect()
}
