//! Books in MongoDB.

use async_trait::async_trait;
use mongodb::bson::{self, DateTime, Document, doc};
use uuid::Uuid;

use super::documents::{BookDocument, Buried, TombstoneDocument, blank, drafted, id, new_book, now};
use super::indexes::ISBN;
use super::references::Fate;
use super::{ATTEMPTS, BATCH_DEADLINE, DEADLINE, MongoStore, contended, duplicate, pause, within};
use crate::book::{Book, BookDraft};
use crate::import::{ImportDraft, ImportOutcome};
use crate::store::derived::created_at;
use crate::store::{BookQuery, BookStore, ClaimOutcome, Created, Expected, Listing, StoreError, Written};

#[async_trait]
impl BookStore for MongoStore {
    async fn create_book(&self, id: Uuid, draft: BookDraft) -> Result<Created<Book>, StoreError> {
        within(DEADLINE, self.create(id, draft)).await
    }

    async fn book(&self, book: Uuid) -> Result<Option<Book>, StoreError> {
        within(DEADLINE, async { self.book_document(id(book)).await?.map(BookDocument::book).transpose() })
            .await
    }

    async fn books(&self, query: BookQuery) -> Result<Listing<Book>, StoreError> {
        within(DEADLINE, self.list_books(&query)).await
    }

    async fn replace_book(
        &self,
        id: Uuid,
        expected: Expected,
        draft: BookDraft,
    ) -> Result<Written<Book>, StoreError> {
        within(DEADLINE, self.replace(id, &expected, &draft)).await
    }

    async fn delete_book(&self, id: Uuid, expected: Expected) -> Result<Written<()>, StoreError> {
        within(DEADLINE, self.delete(id, &expected)).await
    }

    async fn import(&self, batch: Vec<ImportDraft>) -> Result<Vec<ImportOutcome>, StoreError> {
        within(BATCH_DEADLINE, self.import_batch(&batch)).await
    }

    async fn seeded(&self) -> Result<bool, StoreError> {
        within(DEADLINE, async { Ok(self.facts().find_one(doc! { "_id": "seeded" }).await?.is_some()) }).await
    }

    async fn mark_seeded(&self) -> Result<(), StoreError> {
        within(DEADLINE, async {
            match self.facts().insert_one(doc! { "_id": "seeded", "at": DateTime::now() }).await {
                Err(error) if duplicate(&error).is_none() => Err(error.into()),
                _ => Ok(()),
            }
        })
        .await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        within(DEADLINE, async {
            self.database.run_command(doc! { "ping": 1 }).await?;
            Ok(())
        })
        .await
    }
}

impl MongoStore {
    async fn create(&self, id: Uuid, draft: BookDraft) -> Result<Created<Book>, StoreError> {
        for attempt in 0..ATTEMPTS {
            let authors = match self.named(&draft.author_ids).await {
                Ok(authors) => authors,
                Err(error @ StoreError::UnknownAuthor(_)) => {
                    // Made already, before the author went?
                    return self.made_earlier(id).await?.ok_or(error);
                }
                Err(error) => return Err(error),
            };
            let new = blank(id, created_at(id).unwrap_or_else(now));
            let document = new_book(&drafted(new, draft.clone(), authors), None)?;
            if let Err(error) = self.books().clone_with_type::<Document>().insert_one(&document).await {
                let Some(index) = duplicate(&error) else { return Err(error.into()) };
                // The book itself may hold the ISBN that was reported: it comes first.
                match self.made_earlier(id).await? {
                    Some(made) => return Ok(made),
                    None if index == ISBN => return Err(StoreError::IsbnTaken),
                    // It was there and is gone again.
                    None => pause(attempt).await,
                }
                continue;
            }
            let written = bson::deserialize_from_document(document).map_err(mongodb::error::Error::from)?;
            return match self.settle_references(written).await? {
                Fate::Stands(settled) => Ok(Created { item: settled.book()?, fresh: true }),
                Fate::WentWith(author) => Err(StoreError::UnknownAuthor(author)),
            };
        }
        Err(contended("the book"))
    }

    async fn made_earlier(&self, book: Uuid) -> Result<Option<Created<Book>>, StoreError> {
        match self.book_document(id(book)).await? {
            Some(found) => Ok(Some(Created { item: found.book()?, fresh: false })),
            None => Ok(None),
        }
    }

    async fn replace(
        &self,
        book: Uuid,
        expected: &Expected,
        draft: &BookDraft,
    ) -> Result<Written<Book>, StoreError> {
        for attempt in 0..ATTEMPTS {
            let Some(found) = self.book_document(id(book)).await? else { return Ok(Written::Missing) };
            if !expected.allows(found.version.unsigned_abs()) {
                return Ok(Written::Conflict);
            }
            let authors = self.named(&draft.author_ids).await?;
            let (version, hash) = (found.version, found.content_hash.clone());
            let mut changed = drafted(found.book()?, draft.clone(), authors);
            changed.version += 1;
            changed.updated_at = now().max(changed.updated_at);
            match self.write_book(&changed, version, &hash, None).await? {
                Some(written) => {
                    return Ok(match self.settle_references(written).await? {
                        Fate::Stands(settled) => Written::Done(settled.book()?),
                        Fate::WentWith(_) => Written::Missing,
                    });
                }
                None => pause(attempt).await,
            }
        }
        Err(contended("the book"))
    }

    async fn delete(&self, book: Uuid, expected: &Expected) -> Result<Written<()>, StoreError> {
        for attempt in 0..ATTEMPTS {
            let Some(found) = self.book_document(id(book)).await? else { return Ok(Written::Missing) };
            if !expected.allows(found.version.unsigned_abs()) {
                return Ok(Written::Conflict);
            }
            if self.delete_version(found).await? {
                return Ok(Written::Done(()));
            }
            pause(attempt).await;
        }
        Err(contended("the book"))
    }

    /// Deletes a book whatever its version.
    pub(super) async fn remove_book(&self, book: Uuid) -> Result<(), StoreError> {
        self.delete(book, &Expected::Any).await.map(|_| ())
    }

    /// Deletes this version of a book and all that hangs on it; whether it was still there.
    async fn delete_version(&self, found: BookDocument) -> Result<bool, StoreError> {
        let (key, version) = (found.id, found.version);
        let token = bson::Uuid::new();
        // Before the book: a repeated creation must not bring it back once it is gone.
        let outcome = ClaimOutcome::Book(found.book()?);
        let claimed = self.settle_deleted(key, token, &outcome).await?;
        // Before the book, too: whoever breaks off leaves summaries that upkeep looks at. One that is kept
        // meanwhile sees that the book is gone, or has a mark of its own.
        let tombstone = TombstoneDocument {
            id: key,
            of: Buried::Book,
            token,
            delete_books: false,
            at: super::documents::date(now()),
        };
        self.bury(&tombstone).await?;
        let deleted =
            self.books().delete_one(doc! { "_id": key, "version": version }).await?.deleted_count > 0;
        if deleted {
            self.delete_summaries_of(key).await?;
            if claimed {
                // Another deletion that came to nothing may have taken the mark back.
                self.settle_deleted(key, token, &outcome).await?;
            }
        } else if claimed {
            // The tombstone stays: another deletion may rely on it. Upkeep sees that the book is there.
            self.unsettle(key, token).await?;
        }
        Ok(deleted)
    }

    /// Deletes the summaries of a book that is gone, and then its tombstone.
    pub(super) async fn delete_summaries_of(&self, book: bson::Uuid) -> Result<(), StoreError> {
        self.summaries().delete_many(doc! { "_id.book": book }).await?;
        self.tombstones().delete_one(doc! { "_id": book }).await?;
        Ok(())
    }
}
