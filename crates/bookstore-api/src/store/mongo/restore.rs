//! Records in and out: what an export reads from MongoDB and an import gives back to it.

use std::collections::{HashMap, HashSet};

use futures::TryStreamExt;
use mongodb::bson::{self, Document, doc};
use uuid::Uuid;

use super::documents::{
    AuthorDocument, BookDocument, SummaryDocument, SummaryKey, book_fields, document, id, import_key,
    new_book, uuid, whole,
};
use super::imports::taken;
use super::{ATTEMPTS, MongoStore, READ, contended, duplicate, pause};
use crate::book::{Author, Book};
use crate::store::{BookSource, Record, RecordKind, Records, Restored, StoreError, StoredSummary};

impl MongoStore {
    /// A page of records, ordered by key; `after` is the key of the last one.
    pub(super) async fn page_of_records(
        &self,
        kind: RecordKind,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Records, StoreError> {
        let filter = match (kind, after) {
            (_, None) => Document::new(),
            (RecordKind::Summary, Some(after)) => {
                doc! { "_id": { "$gt": document(&summary_key(after)?)? } }
            }
            (_, Some(after)) => {
                let after = Uuid::parse_str(after).map_err(|error| StoreError::Corrupt(error.to_string()))?;
                doc! { "_id": { "$gt": id(after) } }
            }
        };
        let (order, most) = (doc! { "_id": 1 }, i64::from(limit));
        let mut page = Records::default();
        match kind {
            RecordKind::Author => {
                let found = self.authors().find(filter).sort(order).limit(most).max_time(READ).await?;
                for author in found.try_collect::<Vec<AuthorDocument>>().await? {
                    page.next = Some(uuid(author.id).to_string());
                    page.records.push(Record::Author(author.author()?));
                }
            }
            RecordKind::Book => {
                let books = self.books();
                let found = books.find(filter).projection(book_fields()).sort(order).limit(most);
                for book in found.max_time(READ).await?.try_collect::<Vec<BookDocument>>().await? {
                    page.next = Some(uuid(book.id).to_string());
                    let source = book.source.clone();
                    let source = source.map(|source| BookSource {
                        name: source.name,
                        id: source.id,
                        row_hash: source.row_hash,
                    });
                    let book = Book { summary: None, ..book.book()? };
                    page.records.push(Record::Book { book, source });
                }
            }
            RecordKind::Summary => {
                let found = self.summaries().find(filter).sort(order).limit(most).max_time(READ).await?;
                for summary in found.try_collect::<Vec<SummaryDocument>>().await? {
                    page.next = Some(token(&summary.key)?);
                    page.records.push(Record::Summary(summary.summary()?));
                }
            }
        }
        Ok(page)
    }

    /// Restores records in their order; new authors and books that stand together go in together.
    pub(super) async fn restore_records(&self, records: &[Record]) -> Result<Vec<Restored>, StoreError> {
        let mut outcomes = Vec::with_capacity(records.len());
        let mut rest = records;
        while let Some(first) = rest.first() {
            let same = rest.iter().take_while(|record| kind(record) == kind(first)).count();
            let (run, after) = rest.split_at(same);
            rest = after;
            match first {
                Record::Author(_) => outcomes.extend(self.restore_authors(run).await?),
                Record::Book { .. } => outcomes.extend(self.restore_books(run).await?),
                Record::Summary(_) => outcomes.extend(self.restore_summaries(run).await?),
            }
        }
        Ok(outcomes)
    }

    async fn restore_authors(&self, run: &[Record]) -> Result<Vec<Restored>, StoreError> {
        let authors: Vec<Author> = run
            .iter()
            .filter_map(|record| match record {
                Record::Author(author) => Some(Author {
                    created_at: whole(author.created_at),
                    updated_at: whole(author.updated_at),
                    ..author.clone()
                }),
                _ => None,
            })
            .collect();
        let keys: Vec<bson::Uuid> = authors.iter().map(|author| id(author.id)).collect();
        let there = self.living(&keys).await?;
        let mut seen = HashSet::new();
        let fresh: Vec<&Author> = authors
            .iter()
            .filter(|author| !there.contains_key(&id(author.id)) && seen.insert(author.id))
            .collect();
        let mut written: HashSet<Uuid> = fresh.iter().map(|author| author.id).collect();
        if !fresh.is_empty() {
            let documents: Vec<AuthorDocument> =
                fresh.iter().map(|author| AuthorDocument::of(author)).collect();
            let inserted = self.authors().insert_many(&documents).ordered(false).await;
            for index in taken(inserted.map(|_| ()))? {
                if let Some(author) = fresh.get(index) {
                    written.remove(&author.id);
                }
            }
        }
        let mut outcomes = Vec::with_capacity(authors.len());
        for author in &authors {
            // The first record of an id was inserted; everything else is looked at one by one.
            outcomes.push(if written.remove(&author.id) {
                Restored::Written
            } else {
                self.restore_author(author).await?
            });
        }
        Ok(outcomes)
    }

    async fn restore_author(&self, author: &Author) -> Result<Restored, StoreError> {
        for attempt in 0..ATTEMPTS {
            let Some(there) = self.author_document(author.id).await? else {
                match self.authors().insert_one(AuthorDocument::of(author)).await {
                    Ok(_) => return Ok(Restored::Written),
                    Err(error) if duplicate(&error).is_none() => return Err(error.into()),
                    Err(_) => continue,
                }
            };
            let before = there.author()?;
            if before.version >= author.version {
                return Ok(Restored::Unchanged);
            }
            if self.write_author(author, &before).await?.is_some() {
                return Ok(Restored::Written);
            }
            pause(attempt).await;
        }
        Err(contended("an author"))
    }

    async fn restore_books(&self, run: &[Record]) -> Result<Vec<Restored>, StoreError> {
        let books: Vec<(Book, Option<&BookSource>)> = run
            .iter()
            .filter_map(|record| match record {
                Record::Book { book, source } => {
                    let times = (whole(book.created_at), whole(book.updated_at));
                    let book = Book { created_at: times.0, updated_at: times.1, ..book.clone() };
                    Some((book, source.as_ref()))
                }
                _ => None,
            })
            .collect();
        let there = self.books_there(&books).await?;
        let authors: Vec<bson::Uuid> =
            books.iter().flat_map(|(book, _)| &book.authors).map(|author| id(author.id)).collect();
        let names = self.living(&authors).await?;
        let (mut documents, mut places) = (Vec::new(), HashMap::new());
        for (place, (book, source)) in books.iter().enumerate() {
            let known = book.authors.iter().all(|author| {
                names
                    .get(&id(author.id))
                    .is_some_and(|there| there.name == author.name && there.intent.is_none())
            });
            if known && there.is_free(book, *source) {
                places.insert(documents.len(), place);
                documents.push(new_book(book, *source)?);
            }
        }
        let mut written: HashSet<usize> = places.values().copied().collect();
        if !documents.is_empty() {
            let inserted =
                self.books().clone_with_type::<Document>().insert_many(&documents).ordered(false).await;
            for index in taken(inserted.map(|_| ()))? {
                if let Some(place) = places.get(&index) {
                    written.remove(place);
                }
            }
        }
        // As after any write of a book: were its authors there, by these names, when it was written?
        let still = self.living(&authors).await?;
        let mut outcomes = Vec::with_capacity(books.len());
        for (place, (book, source)) in books.iter().enumerate() {
            if !written.contains(&place) {
                outcomes.push(self.restore_book(book, *source).await?);
                continue;
            }
            let sound = book.authors.iter().all(|author| {
                still
                    .get(&id(author.id))
                    .is_some_and(|there| there.name == author.name && there.intent.is_none())
            });
            if !sound && let Some(book) = self.book_document(id(book.id)).await? {
                self.settle_references(book).await?;
            }
            outcomes.push(Restored::Written);
        }
        Ok(outcomes)
    }

    /// Which ids, ISBNs and imported rows of these books are there.
    async fn books_there(&self, books: &[(Book, Option<&BookSource>)]) -> Result<There, StoreError> {
        let keys: Vec<bson::Uuid> = books.iter().map(|(book, _)| id(book.id)).collect();
        let isbns: Vec<&str> =
            books.iter().filter_map(|(book, _)| book.isbn.as_ref().map(|isbn| isbn.as_str())).collect();
        let rows: Vec<String> = books
            .iter()
            .filter_map(|(_, source)| source.map(|source| import_key(&source.name, &source.id)))
            .collect();
        let mut there = There::default();
        // One query each: every one of them has an index.
        for filter in [
            doc! { "_id": { "$in": keys } },
            doc! { "isbn": { "$in": isbns } },
            doc! { "importKey": { "$in": rows } },
        ] {
            let mut found = self.books().find(filter).projection(book_fields()).max_time(READ).await?;
            while let Some(book) = found.try_next().await? {
                there.ids.insert(book.id.bytes());
                there.isbns.extend(book.isbn);
                there.rows.extend(book.source.map(|source| import_key(&source.name, &source.id)));
            }
        }
        Ok(there)
    }

    async fn restore_book(&self, book: &Book, source: Option<&BookSource>) -> Result<Restored, StoreError> {
        for attempt in 0..ATTEMPTS {
            let there = self.book_document(id(book.id)).await?;
            if there.as_ref().is_some_and(|there| there.version.unsigned_abs() >= book.version) {
                return Ok(Restored::Unchanged);
            }
            if let Some(reason) = self.refused(book, source).await? {
                return Ok(Restored::Refused(reason));
            }
            let wanted: Vec<Uuid> = book.authors.iter().map(|author| author.id).collect();
            let authors = match self.named(&wanted).await {
                Ok(authors) => authors,
                Err(StoreError::UnknownAuthor(author)) => {
                    return Ok(Restored::Refused(format!("its author {author} is not there")));
                }
                Err(error) => return Err(error),
            };
            let book = Book { authors, ..book.clone() };
            let written = match there {
                Some(there) => match self.write_book(&book, there.version, &there.content_hash, source).await
                {
                    Err(StoreError::IsbnTaken) => None,
                    other => other?,
                },
                None => {
                    let document = new_book(&book, source)?;
                    match self.books().clone_with_type::<Document>().insert_one(document).await {
                        Ok(_) => self.book_document(id(book.id)).await?,
                        Err(error) if duplicate(&error).is_some() => None,
                        Err(error) => return Err(error.into()),
                    }
                }
            };
            if let Some(written) = written {
                self.settle_references(written).await?;
                return Ok(Restored::Written);
            }
            pause(attempt).await;
        }
        Err(contended("a book"))
    }

    /// What of a book belongs to another.
    async fn refused(&self, book: &Book, source: Option<&BookSource>) -> Result<Option<String>, StoreError> {
        if let Some(isbn) = &book.isbn
            && let Some(holder) = self.isbn_holders(&[isbn]).await?.into_values().next()
            && holder != book.id
        {
            return Ok(Some(format!("book {holder} has its ISBN")));
        }
        if let Some(source) = source {
            let row = doc! { "importKey": import_key(&source.name, &source.id) };
            let holder = self.books().find_one(row).projection(book_fields()).max_time(READ).await?;
            if let Some(holder) = holder.map(|holder| uuid(holder.id))
                && holder != book.id
            {
                return Ok(Some(format!(
                    "book {holder} was imported from {} {} already",
                    source.name, source.id
                )));
            }
        }
        Ok(None)
    }

    async fn restore_summaries(&self, run: &[Record]) -> Result<Vec<Restored>, StoreError> {
        let mut outcomes = Vec::with_capacity(run.len());
        for record in run {
            if let Record::Summary(summary) = record {
                outcomes.push(self.restore_summary(summary).await?);
            }
        }
        Ok(outcomes)
    }

    async fn restore_summary(&self, summary: &StoredSummary) -> Result<Restored, StoreError> {
        let gone = || Restored::Refused(format!("its book {} is not there", summary.book_id));
        if self.book_document(id(summary.book_id)).await?.is_none() {
            return Ok(gone());
        }
        let restored = SummaryDocument::of(summary);
        let there =
            self.summaries().find_one(doc! { "_id": document(&restored.key)? }).max_time(READ).await?;
        if there.is_some_and(|there| there.fence >= restored.fence) || !self.put_summary(&restored).await? {
            return Ok(Restored::Unchanged);
        }
        Ok(if self.show_summary(&restored).await? { Restored::Written } else { gone() })
    }
}

/// What is there of some books.
#[derive(Default)]
struct There {
    ids: HashSet<[u8; 16]>,
    isbns: HashSet<String>,
    rows: HashSet<String>,
}

impl There {
    /// Whether nothing of a book is there.
    fn is_free(&self, book: &Book, source: Option<&BookSource>) -> bool {
        !self.ids.contains(book.id.as_bytes())
            && book.isbn.as_ref().is_none_or(|isbn| !self.isbns.contains(isbn.as_str()))
            && source.is_none_or(|source| !self.rows.contains(&import_key(&source.name, &source.id)))
    }
}

const fn kind(record: &Record) -> RecordKind {
    match record {
        Record::Author(_) => RecordKind::Author,
        Record::Book { .. } => RecordKind::Book,
        Record::Summary(_) => RecordKind::Summary,
    }
}

/// The key of a summary as a text to go on from.
fn token(key: &SummaryKey) -> Result<String, StoreError> {
    let parts = [
        &uuid(key.book).to_string(),
        &key.content_hash,
        &key.provider,
        &key.requested_model,
        &key.prompt_version,
    ];
    serde_json::to_string(&parts).map_err(|error| StoreError::Corrupt(error.to_string()))
}

fn summary_key(token: &str) -> Result<SummaryKey, StoreError> {
    let parts: [String; 5] =
        serde_json::from_str(token).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    let [book, content_hash, provider, requested_model, prompt_version] = parts;
    let book = Uuid::parse_str(&book).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    Ok(SummaryKey { book: id(book), content_hash, provider, requested_model, prompt_version })
}
