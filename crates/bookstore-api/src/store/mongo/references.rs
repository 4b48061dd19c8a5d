//! What books say of their authors stays true without transactions.
//!
//! A book holds its authors' names. Whoever writes a book reads its authors before *and after*; whoever
//! renames an author writes the author first and the books after; whoever deletes one removes the author
//! first, leaves a tombstone, and then sees to the books. Of two that race, at least one sees the other,
//! and every write to a book is conditional on the version read, so the last one to look leaves it right.
//! A writer that breaks off before it looks again is why a rename leaves a mark and a deletion its
//! tombstone for a minute: longer than any write takes. Then upkeep looks over the books once more.

use std::collections::HashMap;

use futures::TryStreamExt;
use mongodb::Collection;
use mongodb::bson::{self, Document, doc};
use mongodb::options::ReturnDocument;
use uuid::Uuid;

use super::documents::{
    AuthorRefDocument, BookDocument, IdDocument, TombstoneDocument, book_change, book_fields, id, ids, now,
    uuid,
};
use super::indexes::ISBN;
use super::{ATTEMPTS, MongoStore, READ, contended, duplicate, pause};
use crate::book::{AuthorRef, Book};
use crate::prompt;
use crate::store::{BookSource, StoreError};

/// What matters of an author to a book.
#[derive(Clone, Debug, serde::Deserialize)]
pub(super) struct LivingAuthor {
    #[serde(rename = "_id")]
    pub(super) id: bson::Uuid,
    pub(super) name: String,
    /// Someone is about to delete them if no book names them.
    #[serde(default)]
    pub(super) intent: Option<bson::Uuid>,
}

/// What became of a book whose references were looked at.
pub(super) enum Fate {
    /// It stands, as it is here.
    Stands(Box<BookDocument>),
    /// It went with this author, who was deleted with their books.
    WentWith(Uuid),
}

impl MongoStore {
    pub(super) fn tombstones(&self) -> Collection<TombstoneDocument> {
        self.database.collection("tombstones")
    }

    /// Writes a tombstone, over an earlier one of the same thing. Not an upsert: of two at the same moment
    /// one would fail, and a server that is not MongoDB's own may get its indexes wrong.
    pub(super) async fn bury(&self, tombstone: &TombstoneDocument) -> Result<(), StoreError> {
        for attempt in 0..ATTEMPTS {
            match self.tombstones().insert_one(tombstone).await {
                Ok(_) => return Ok(()),
                Err(error) if duplicate(&error).is_none() => return Err(error.into()),
                Err(_) => {}
            }
            let earlier = doc! { "_id": tombstone.id };
            if self.tombstones().replace_one(earlier, tombstone).await?.matched_count > 0 {
                return Ok(());
            }
            pause(attempt).await;
        }
        Err(contended("what is deleted"))
    }

    /// Those of these authors that there are.
    pub(super) async fn living(
        &self,
        wanted: &[bson::Uuid],
    ) -> Result<HashMap<bson::Uuid, LivingAuthor>, StoreError> {
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        let found = self
            .authors()
            .clone_with_type::<LivingAuthor>()
            .find(doc! { "_id": { "$in": wanted } })
            .projection(doc! { "name": 1, "intent": 1 })
            .batch_size(u32::try_from(wanted.len()).unwrap_or(u32::MAX).saturating_add(1))
            .max_time(READ)
            .await?;
        Ok(found.map_ok(|author| (author.id, author)).try_collect().await?)
    }

    /// The authors that a draft names, in its order.
    pub(super) async fn named(&self, wanted: &[Uuid]) -> Result<Vec<AuthorRef>, StoreError> {
        let living = self.living(&ids(wanted)).await?;
        wanted
            .iter()
            .map(|author| match living.get(&id(*author)) {
                Some(there) => Ok(AuthorRef { id: *author, name: there.name.clone() }),
                None => Err(StoreError::UnknownAuthor(*author)),
            })
            .collect()
    }

    /// Sees to it that a book that was just written, or names an author who changed, says what is true of
    /// its authors now. One that was deleted meanwhile is answered as it was.
    pub(super) async fn settle_references(&self, mut book: BookDocument) -> Result<Fate, StoreError> {
        for attempt in 0..ATTEMPTS {
            if book.authors.is_empty() {
                return Ok(Fate::Stands(Box::new(book)));
            }
            let wanted: Vec<bson::Uuid> = book.authors.iter().map(|author| author.id).collect();
            let living = self.living(&wanted).await?;
            if living.values().any(|author| author.intent.is_some()) {
                // The deletion asked for authors without books: this book contests it, and looks again
                // who was first.
                self.authors()
                    .update_many(
                        doc! { "_id": { "$in": &wanted }, "intent": { "$exists": true } },
                        doc! { "$unset": { "intent": "" } },
                    )
                    .await?;
                continue;
            }
            let gone: Vec<bson::Uuid> =
                wanted.iter().filter(|author| !living.contains_key(author)).copied().collect();
            if !gone.is_empty() {
                let with_books = doc! { "_id": { "$in": &gone }, "deleteBooks": true };
                if let Some(author) = self.tombstones().find_one(with_books).max_time(READ).await? {
                    self.remove_book(uuid(book.id)).await?;
                    return Ok(Fate::WentWith(uuid(author.id)));
                }
            }
            let authors: Vec<AuthorRefDocument> = wanted
                .iter()
                .filter_map(|author| living.get(author))
                .map(|author| AuthorRefDocument { id: author.id, name: author.name.clone() })
                .collect();
            if authors == book.authors {
                return Ok(Fate::Stands(Box::new(book)));
            }
            pause(attempt).await;
            let mut named = book.clone();
            named.authors = authors;
            let mut changed = named.book()?;
            changed.version += 1;
            changed.updated_at = now().max(changed.updated_at);
            book = match self.write_book(&changed, book.version, &book.content_hash, None).await? {
                Some(book) => book,
                None => match self.book_document(book.id).await? {
                    Some(book) => book,
                    None => return Ok(Fate::Stands(Box::new(book))),
                },
            };
        }
        Err(contended("a book"))
    }

    /// Writes a book over the version that was read of it. `None` when it is another by now.
    /// [`StoreError::IsbnTaken`] when another book has its ISBN.
    /// `before` is the content hash that was read: when it changes, so does the summary that fits.
    pub(super) async fn write_book(
        &self,
        book: &Book,
        version: i64,
        before: &str,
        source: Option<&BookSource>,
    ) -> Result<Option<BookDocument>, StoreError> {
        let mut change = book_change(book, source)?;
        let hash = book.content_hash();
        if hash != before {
            match self.latest_summary(book.id, &hash, prompt::VERSIONS, None, None).await? {
                Some(summary) => put(&mut change, "$set", super::documents::document(&summary.latest())?),
                None => put(&mut change, "$unset", ""),
            }
        }
        let written = self
            .books()
            .find_one_and_update(doc! { "_id": id(book.id), "version": version }, change)
            .projection(book_fields())
            .return_document(ReturnDocument::After)
            .await;
        written.map_err(|error| match duplicate(&error) {
            Some(index) if index == ISBN => StoreError::IsbnTaken,
            _ => error.into(),
        })
    }

    /// A book as it is stored.
    pub(super) async fn book_document(&self, book: bson::Uuid) -> Result<Option<BookDocument>, StoreError> {
        let found =
            self.books().find_one(doc! { "_id": book }).projection(book_fields()).max_time(READ).await?;
        Ok(found)
    }

    /// The ids of all books that name an author, in order.
    pub(super) async fn books_naming(&self, author: bson::Uuid) -> Result<Vec<bson::Uuid>, StoreError> {
        let found = self
            .books()
            .clone_with_type::<IdDocument>()
            .find(doc! { "authors.id": author })
            .sort(doc! { "_id": 1 })
            .projection(doc! { "_id": 1 })
            .max_time(READ)
            .await?;
        Ok(found.map_ok(|book| book.id).try_collect().await?)
    }

    /// Settles the references of every book that names an author, and says which those were.
    pub(super) async fn settle_books_of(&self, author: bson::Uuid) -> Result<Vec<Uuid>, StoreError> {
        use futures::StreamExt;
        let books = self.books_naming(author).await?;
        // Some at a time: each takes several round trips.
        let settle = |book: bson::Uuid| async move {
            match self.book_document(book).await? {
                Some(book) => self.settle_references(book).await.map(|_| ()),
                None => Ok(()),
            }
        };
        futures::stream::iter(books.clone()).map(settle).buffer_unordered(8).try_collect::<()>().await?;
        Ok(books.into_iter().map(uuid).collect())
    }
}

fn put(change: &mut Document, operator: &str, value: impl Into<bson::Bson>) {
    if let Ok(fields) = change.get_document_mut(operator) {
        fields.insert("latestSummary", value);
    } else {
        change.insert(operator, doc! { "latestSummary": value });
    }
}
