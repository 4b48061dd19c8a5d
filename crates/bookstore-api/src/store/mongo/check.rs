//! Consistency of the MongoDB store: references, what is derived, marks and indexes.

use std::collections::{HashMap, HashSet};

use futures::TryStreamExt;
use mongodb::Cursor;
use mongodb::bson::{self, Document, doc};
use serde::de::DeserializeOwned;

use super::documents::{
    AuthorDerived, AuthorDocument, BookDerived, BookDocument, IdDocument, SummaryDocument, SummaryKey,
};
use super::upkeep::overdue;
use super::{DEADLINE, MongoStore, within};
use crate::prompt;
use crate::store::{CheckReport, Finding, StoreError};

/// Findings beyond this many are not listed.
const MOST_FINDINGS: usize = 1_000;

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, code: &'static str, message: impl Into<String>) {
        if self.0.len() < MOST_FINDINGS {
            self.0.push(Finding { code, message: message.into() });
        }
    }
}

/// What a book shows of its summaries.
struct Shown {
    content_hash: String,
    key: Option<SummaryKey>,
    text: Option<String>,
}

impl MongoStore {
    /// Reads everything once. While others write it may report what is being completed at this moment.
    pub(super) async fn check_content(&self) -> Result<CheckReport, StoreError> {
        let mut findings = Findings::default();
        for wrong in self.wrong_indexes().await? {
            findings.add("missing_index", wrong);
        }
        let names = self.check_authors(&mut findings).await?;
        let shown = self.check_books(&names, &mut findings).await?;
        let summaries = self.check_summaries(&shown, &mut findings).await?;
        let left = self.tombstones().count_documents(doc! { "at": { "$lte": overdue() } }).await?;
        if left > 0 {
            findings.add("unfinished_deletion", format!("{left} deletions were left half done"));
        }
        Ok(CheckReport {
            authors: names.len() as u64,
            books: shown.len() as u64,
            summaries,
            claims: self.claims().count_documents(Document::new()).await?,
            findings: findings.0,
        })
    }

    async fn check_authors(
        &self,
        findings: &mut Findings,
    ) -> Result<HashMap<bson::Uuid, String>, StoreError> {
        let mut names = HashMap::new();
        let mut found = self.authors().clone_with_type::<Document>().find(Document::new()).await?;
        while let Some(document) = next(&mut found).await? {
            let Some(id) = id_of(&document, "author", findings) else { continue };
            let Some(author) = readable::<AuthorDocument>(document, id, "unreadable_author", findings) else {
                continue;
            };
            names.insert(id, author.name.clone());
            if author.pending.is_some_and(|since| since <= overdue()) {
                findings
                    .add("unfinished_rename", format!("the new name of author {id} may not be in all books"));
            }
            let stored = author.derived.clone();
            match author.author() {
                Ok(author) if AuthorDerived::of(&author) == stored => {}
                Ok(_) => findings.add(
                    "outdated_author",
                    format!("what is derived from author {id} does not follow from it"),
                ),
                Err(error) => findings.add("unreadable_author", format!("author {id}: {error}")),
            }
        }
        Ok(names)
    }

    async fn check_books(
        &self,
        names: &HashMap<bson::Uuid, String>,
        findings: &mut Findings,
    ) -> Result<HashMap<bson::Uuid, Shown>, StoreError> {
        let mut books = HashMap::new();
        let (mut isbns, mut rows) = (HashSet::new(), HashSet::new());
        let mut found = self.books().clone_with_type::<Document>().find(Document::new()).await?;
        while let Some(document) = next(&mut found).await? {
            let Some(id) = id_of(&document, "book", findings) else { continue };
            let derived: Option<BookDerived> = bson::deserialize_from_document(document.clone()).ok();
            if let Ok(row) = document.get_str("importKey")
                && !rows.insert(row.to_owned())
            {
                findings.add("doubled_row", format!("row {row} was imported twice, also as book {id}"));
            }
            let Some(book) = readable::<BookDocument>(document, id, "unreadable_book", findings) else {
                continue;
            };
            if let Some(isbn) = &book.isbn
                && !isbns.insert(isbn.clone())
            {
                findings.add("doubled_isbn", format!("book {id} has the ISBN {isbn} of another"));
            }
            for author in &book.authors {
                match names.get(&author.id) {
                    None => findings.add(
                        "dangling_author",
                        format!("book {id} names author {}, who is not there", author.id),
                    ),
                    Some(name) if *name != author.name => findings.add(
                        "outdated_name",
                        format!("book {id} has another name for author {} than they have", author.id),
                    ),
                    Some(_) => {}
                }
            }
            let latest = book.latest_summary.clone();
            if latest.as_ref().is_some_and(|latest| latest.content_hash != book.content_hash) {
                findings.add("outdated_summary", format!("book {id} shows a summary of what it was"));
            }
            let key = latest.as_ref().map(|latest| SummaryKey {
                book: id,
                content_hash: latest.content_hash.clone(),
                provider: latest.provider.clone(),
                requested_model: latest.requested_model.clone(),
                prompt_version: latest.prompt_version.clone(),
            });
            let shown = Shown {
                content_hash: book.content_hash.clone(),
                key,
                text: latest.map(|latest| latest.text),
            };
            books.insert(id, shown);
            match book.book() {
                Ok(book) if derived == Some(BookDerived::of(&book)) => {}
                Ok(_) => findings
                    .add("outdated_book", format!("what is derived from book {id} does not follow from it")),
                Err(error) => findings.add("unreadable_book", format!("book {id}: {error}")),
            }
        }
        Ok(books)
    }

    async fn check_summaries(
        &self,
        books: &HashMap<bson::Uuid, Shown>,
        findings: &mut Findings,
    ) -> Result<u64, StoreError> {
        let mut count = 0;
        // Books whose summary was seen, and those that have one to show.
        let (mut seen, mut fitting) = (HashSet::new(), HashSet::new());
        let mut found = self.summaries().find(Document::new()).await?;
        while let Some(summary) = next(&mut found).await? {
            count += 1;
            let SummaryDocument { key, text, pending, .. } = summary;
            let Some(shown) = books.get(&key.book) else {
                findings.add(
                    "summary_without_book",
                    format!("a summary belongs to book {}, which is not there", key.book),
                );
                continue;
            };
            if pending.is_some_and(|since| since <= overdue()) {
                findings
                    .add("unfinished_summary", format!("a summary of book {} was left half done", key.book));
            }
            if shown.key.as_ref() == Some(&key) && shown.text.as_ref() == Some(&text) {
                seen.insert(key.book);
            }
            if prompt::is_known(&key.prompt_version)
                && key.content_hash == shown.content_hash
                && pending.is_none()
            {
                fitting.insert(key.book);
            }
        }
        for (id, shown) in books {
            if shown.key.is_some() && !seen.contains(id) {
                findings.add("summary_not_kept", format!("book {id} shows a summary that is not kept"));
            }
            if shown.key.is_none() && fitting.contains(id) {
                findings
                    .add("summary_not_shown", format!("book {id} does not show the summary that fits it"));
            }
        }
        Ok(count)
    }
}

/// The next document: reading everything may take long, the next batch of it may not.
async fn next<T: DeserializeOwned + Send + Sync + Unpin>(
    found: &mut Cursor<T>,
) -> Result<Option<T>, StoreError> {
    within(DEADLINE, async { Ok(found.try_next().await?) }).await
}

fn id_of(document: &Document, what: &str, findings: &mut Findings) -> Option<bson::Uuid> {
    let id = bson::deserialize_from_document::<IdDocument>(document.clone()).ok().map(|found| found.id);
    if id.is_none() {
        findings.add("foreign_document", format!("the _id of {what} {:?} is no UUID", document.get("_id")));
    }
    id
}

fn readable<T: DeserializeOwned>(
    document: Document,
    id: bson::Uuid,
    code: &'static str,
    findings: &mut Findings,
) -> Option<T> {
    match bson::deserialize_from_document(document) {
        Ok(read) => Some(read),
        Err(error) => {
            findings.add(code, format!("{id}: {error}"));
            None
        }
    }
}
