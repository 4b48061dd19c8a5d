//! Import into MongoDB: rows become books, each exactly once, many to a round trip.
//!
//! New books of a batch are inserted together; rows whose book is there, or that met another writer, go
//! one by one. Unique indexes on rows and on the names of imported authors keep two imports that race, or
//! one that is repeated after a crash, from doubling anything.

use std::collections::{HashMap, HashSet};

use futures::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::ErrorKind;
use uuid::Uuid;

use super::authors::new_author;
use super::documents::{
    AuthorDocument, BookDocument, blank, book_fields, drafted, id, import_key, new_book, now, uuid,
};
use super::references::Fate;
use super::{ATTEMPTS, MongoStore, READ, contended, duplicate, pause};
use crate::book::{AuthorDraft, AuthorRef, Book, BookDraft};
use crate::import::{ImportDraft, ImportOutcome, keep_what_the_row_lacks, name_key};
use crate::isbn::Isbn;
use crate::store::derived::created_at;
use crate::store::{BookSource, StoreError};

/// Authors by the key of their names, and which of them were made just now.
#[derive(Default)]
struct Resolved {
    authors: HashMap<String, AuthorRef>,
    made: HashSet<String>,
}

impl Resolved {
    /// The authors of a row in order, and how many were made for it; each counts for one row only.
    fn of(&mut self, names: &[String]) -> (Vec<AuthorRef>, u64) {
        let (mut authors, mut made) = (Vec::<AuthorRef>::new(), 0);
        for name in names {
            let key = name_key(name);
            made += u64::from(self.made.remove(&key));
            if let Some(author) = self.authors.get(&key)
                && !authors.iter().any(|other| other.id == author.id)
            {
                authors.push(author.clone());
            }
        }
        (authors, made)
    }
}

const fn unchanged(book: Uuid) -> ImportOutcome {
    ImportOutcome { written: false, book, authors_created: 0, warnings: Vec::new() }
}

fn source(row: &ImportDraft) -> BookSource {
    BookSource { name: row.source.clone(), id: row.source_id.clone(), row_hash: row.row_hash() }
}

fn without_isbn(draft: &mut BookDraft, holder: Uuid) -> String {
    draft.isbn = None;
    format!("the ISBN was dropped: book {holder} has it")
}

impl MongoStore {
    /// Imports a batch, in its order.
    pub(super) async fn import_batch(&self, batch: &[ImportDraft]) -> Result<Vec<ImportOutcome>, StoreError> {
        let keys: Vec<String> = batch.iter().map(|row| import_key(&row.source, &row.source_id)).collect();
        let known = self.imported(&keys).await?;
        let mut outcomes = Vec::with_capacity(batch.len());
        let mut fresh: Vec<&ImportDraft> = Vec::new();
        let mut seen = HashSet::new();
        for (row, key) in batch.iter().zip(&keys) {
            if !known.contains_key(key) && seen.insert(key) {
                fresh.push(row);
                continue;
            }
            // What comes before it first: it may hold, or free, an ISBN.
            outcomes.extend(self.insert_rows(&std::mem::take(&mut fresh)).await?);
            if let Some((hash, book)) = known.get(key)
                && *hash == row.row_hash()
            {
                outcomes.push(unchanged(*book));
            } else {
                outcomes.push(self.import_row(row).await?);
            }
        }
        outcomes.extend(self.insert_rows(&fresh).await?);
        Ok(outcomes)
    }

    /// The hash and the book of each of these rows that was imported before.
    async fn imported(&self, keys: &[String]) -> Result<HashMap<String, (String, Uuid)>, StoreError> {
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let found = self
            .books()
            .clone_with_type::<Document>()
            .find(doc! { "importKey": { "$in": keys } })
            .projection(doc! { "importKey": 1, "source.rowHash": 1 })
            .max_time(READ)
            .await?;
        let rows = found.try_collect::<Vec<Document>>().await?;
        let text = |found: Option<&str>| found.unwrap_or_default().to_owned();
        Ok(rows
            .iter()
            .filter_map(|row| {
                let book = match row.get("_id") {
                    Some(Bson::Binary(binary)) => uuid(binary.to_uuid().ok()?),
                    _ => return None,
                };
                let hash = row.get_document("source").ok().and_then(|source| source.get_str("rowHash").ok());
                Some((text(row.get_str("importKey").ok()), (text(hash), book)))
            })
            .collect())
    }

    /// Inserts the books of new rows together.
    async fn insert_rows(&self, rows: &[&ImportDraft]) -> Result<Vec<ImportOutcome>, StoreError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<&String> = rows.iter().flat_map(|row| &row.authors).collect();
        let mut resolved = self.resolve(&names).await?;
        let isbns: Vec<&Isbn> = rows.iter().filter_map(|row| row.draft.isbn.as_ref()).collect();
        let mut holders = self.isbn_holders(&isbns).await?;
        let (mut documents, mut outcomes) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
        for row in rows {
            let book = Uuid::now_v7();
            let (mut draft, mut warnings) = (row.draft.clone(), Vec::new());
            if let Some(isbn) = draft.isbn.clone() {
                if let Some(holder) = holders.get(isbn.as_str()) {
                    warnings.push(without_isbn(&mut draft, *holder));
                } else {
                    holders.insert(isbn.as_str().to_owned(), book);
                }
            }
            let (authors, authors_created) = resolved.of(&row.authors);
            let book = drafted(blank(book, created_at(book).unwrap_or_else(now)), draft, authors);
            documents.push(new_book(&book, Some(&source(row)))?);
            outcomes.push(ImportOutcome { written: true, book: book.id, authors_created, warnings });
        }
        let inserted =
            self.books().clone_with_type::<Document>().insert_many(&documents).ordered(false).await;
        let met: HashSet<usize> = taken(inserted.map(|_| ()))?.into_iter().collect();
        self.settle_inserted(&documents, &met).await?;
        for (index, (row, outcome)) in rows.iter().zip(&mut outcomes).enumerate() {
            if met.contains(&index) {
                // Another import was faster, or another book took the ISBN.
                let created = outcome.authors_created;
                *outcome = self.import_row(row).await?;
                outcome.authors_created += created;
            }
        }
        Ok(outcomes)
    }

    /// Looks after the authors of books that were just inserted, as after those of any book.
    async fn settle_inserted(&self, documents: &[Document], met: &HashSet<usize>) -> Result<(), StoreError> {
        let mut books = Vec::with_capacity(documents.len());
        for (index, document) in documents.iter().enumerate() {
            if !met.contains(&index) {
                let book: BookDocument = mongodb::bson::deserialize_from_document(document.clone())
                    .map_err(mongodb::error::Error::from)?;
                books.push(book);
            }
        }
        let mut wanted: Vec<_> =
            books.iter().flat_map(|book| &book.authors).map(|author| author.id).collect();
        wanted.sort_unstable_by_key(|author| author.bytes());
        wanted.dedup();
        let living = self.living(&wanted).await?;
        for book in books {
            let sound = book.authors.iter().all(|author| {
                living
                    .get(&author.id)
                    .is_some_and(|there| there.intent.is_none() && there.name == author.name)
            });
            if !sound {
                self.settle_references(book).await?;
            }
        }
        Ok(())
    }

    /// Imports one row, whatever is there.
    async fn import_row(&self, row: &ImportDraft) -> Result<ImportOutcome, StoreError> {
        let source = source(row);
        let mut authors_created = 0;
        for attempt in 0..ATTEMPTS {
            let known = doc! { "importKey": import_key(&row.source, &row.source_id) };
            let known = self.books().find_one(known).projection(book_fields()).max_time(READ).await?;
            if let Some(book) = &known
                && book.source.as_ref().is_some_and(|there| there.row_hash == source.row_hash)
            {
                return Ok(unchanged(uuid(book.id)));
            }
            let (mut draft, mut warnings) = (row.draft.clone(), Vec::new());
            let holders = self.isbn_holders(&draft.isbn.iter().collect::<Vec<_>>()).await?;
            if let Some(holder) = holders.into_values().next()
                && known.as_ref().is_none_or(|book| uuid(book.id) != holder)
            {
                warnings.push(without_isbn(&mut draft, holder));
            }
            let mut resolved = self.resolve(&row.authors.iter().collect::<Vec<_>>()).await?;
            let (authors, created) = resolved.of(&row.authors);
            authors_created += created;
            let written = match known {
                Some(known) => {
                    let (version, hash) = (known.version, known.content_hash.clone());
                    let book = known.book()?;
                    keep_what_the_row_lacks(&book, &mut draft);
                    let mut changed = drafted(book, draft, authors);
                    changed.version += 1;
                    changed.updated_at = now().max(changed.updated_at);
                    match self.write_book(&changed, version, &hash, Some(&source)).await {
                        Err(StoreError::IsbnTaken) => None,
                        other => other?,
                    }
                }
                None => self.insert_row(draft, authors, &source).await?,
            };
            if let Some(written) = written
                && let Fate::Stands(book) = self.settle_references(written).await?
            {
                return Ok(ImportOutcome { written: true, book: uuid(book.id), authors_created, warnings });
            }
            pause(attempt).await;
        }
        Err(contended("an imported book"))
    }

    /// `None` when the row or its ISBN is there by now.
    async fn insert_row(
        &self,
        draft: BookDraft,
        authors: Vec<AuthorRef>,
        source: &BookSource,
    ) -> Result<Option<BookDocument>, StoreError> {
        let book = Uuid::now_v7();
        let book: Book = drafted(blank(book, created_at(book).unwrap_or_else(now)), draft, authors);
        match self.books().clone_with_type::<Document>().insert_one(new_book(&book, Some(source))?).await {
            Ok(_) => self.book_document(id(book.id)).await,
            Err(error) if duplicate(&error).is_some() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Which books have these ISBNs.
    pub(super) async fn isbn_holders(&self, isbns: &[&Isbn]) -> Result<HashMap<String, Uuid>, StoreError> {
        if isbns.is_empty() {
            return Ok(HashMap::new());
        }
        let isbns: Vec<&str> = isbns.iter().map(|isbn| isbn.as_str()).collect();
        let found = self
            .books()
            .find(doc! { "isbn": { "$in": isbns } })
            .projection(book_fields())
            .max_time(READ)
            .await?
            .try_collect::<Vec<BookDocument>>()
            .await?;
        Ok(found.into_iter().filter_map(|book| Some((book.isbn?, uuid(book.id)))).collect())
    }

    /// The authors of these names, whatever their case and spacing; new ones where there are none.
    async fn resolve(&self, names: &[&String]) -> Result<Resolved, StoreError> {
        let mut resolved = Resolved::default();
        for attempt in 0..ATTEMPTS {
            let mut missing: Vec<(String, &String)> = Vec::new();
            for name in names {
                let key = name_key(name);
                if !resolved.authors.contains_key(&key) && !missing.iter().any(|(other, _)| *other == key) {
                    missing.push((key, name));
                }
            }
            if missing.is_empty() {
                return Ok(resolved);
            }
            let keys: Vec<&str> = missing.iter().map(|(key, _)| key.as_str()).collect();
            let found = self
                .authors()
                .find(doc! { "nameKey": { "$in": keys } })
                .sort(doc! { "_id": 1 })
                .max_time(READ)
                .await?
                .try_collect::<Vec<AuthorDocument>>()
                .await?;
            for author in found {
                let there = AuthorRef { id: uuid(author.id), name: author.name };
                // Several may share a name: the first it is.
                resolved.authors.entry(author.derived.name_key).or_insert(there);
            }
            missing.retain(|(key, _)| !resolved.authors.contains_key(key));
            if missing.is_empty() {
                return Ok(resolved);
            }
            self.make_authors(&missing, &mut resolved).await?;
            // Those that another import made at the same moment are found by now.
            pause(attempt).await;
        }
        Err(contended("an author"))
    }

    async fn make_authors(
        &self,
        missing: &[(String, &String)],
        resolved: &mut Resolved,
    ) -> Result<(), StoreError> {
        let mut documents = Vec::with_capacity(missing.len());
        for (key, name) in missing {
            let draft = AuthorDraft { name: (*name).clone(), ..AuthorDraft::default() };
            let mut document = AuthorDocument::of(&new_author(Uuid::now_v7(), draft));
            document.import_name_key = Some(key.clone());
            documents.push(document);
        }
        let inserted = self.authors().insert_many(&documents).ordered(false).await;
        let met: HashSet<usize> = taken(inserted.map(|_| ()))?.into_iter().collect();
        for (index, ((key, _), document)) in missing.iter().zip(documents).enumerate() {
            if !met.contains(&index) {
                resolved.made.insert(key.clone());
                let made = AuthorRef { id: uuid(document.id), name: document.name };
                resolved.authors.insert(key.clone(), made);
            }
        }
        Ok(())
    }
}

/// The places of what could not be inserted because it, or something unique in it, is there already.
pub(super) fn taken(inserted: mongodb::error::Result<()>) -> Result<Vec<usize>, StoreError> {
    let Err(error) = inserted else { return Ok(Vec::new()) };
    match error.kind.as_ref() {
        ErrorKind::InsertMany(failure) if failure.write_concern_error.is_none() => {
            let failed = failure.write_errors.as_deref().unwrap_or_default();
            if let Some(other) = failed.iter().find(|failed| failed.code != 11_000) {
                return Err(StoreError::Unavailable(other.message.clone()));
            }
            Ok(failed.iter().map(|failed| failed.index).collect())
        }
        _ => Err(error.into()),
    }
}
