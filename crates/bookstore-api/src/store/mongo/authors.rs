//! Authors in MongoDB: renaming and deleting reach their books, whatever breaks off.

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use mongodb::bson::{self, Document, doc};
use mongodb::options::ReturnDocument;
use uuid::Uuid;

use super::documents::{AuthorDocument, Buried, TombstoneDocument, author_change, date, id, now, uuid};
use super::{ATTEMPTS, DEADLINE, MongoStore, READ, contended, duplicate, pause, within};
use crate::book::{Author, AuthorDraft};
use crate::import::name_key;
use crate::store::derived::created_at;
use crate::store::{
    AuthorQuery, AuthorStore, BooksOfDeleted, ClaimOutcome, Created, Expected, Listing, StoreError, Written,
};

#[async_trait]
impl AuthorStore for MongoStore {
    async fn create_author(&self, id: Uuid, draft: AuthorDraft) -> Result<Created<Author>, StoreError> {
        within(DEADLINE, async {
            let author = new_author(id, draft);
            let document = AuthorDocument::of(&author);
            for attempt in 0..ATTEMPTS {
                match self.authors().insert_one(&document).await {
                    Ok(_) => return Ok(Created { item: author, fresh: true }),
                    Err(error) if duplicate(&error).is_none() => return Err(error.into()),
                    Err(_) => {}
                }
                if let Some(made) = self.author_document(id).await? {
                    return Ok(Created { item: made.author()?, fresh: false });
                }
                // It was there and is gone again.
                pause(attempt).await;
            }
            Err(contended("the author"))
        })
        .await
    }

    async fn author(&self, id: Uuid) -> Result<Option<Author>, StoreError> {
        within(DEADLINE, async { self.author_document(id).await?.map(AuthorDocument::author).transpose() })
            .await
    }

    async fn authors(&self, query: AuthorQuery) -> Result<Listing<Author>, StoreError> {
        within(DEADLINE, self.list_authors(&query)).await
    }

    async fn replace_author(
        &self,
        id: Uuid,
        expected: Expected,
        draft: AuthorDraft,
    ) -> Result<Written<(Author, Vec<Uuid>)>, StoreError> {
        within(DEADLINE, async {
            for attempt in 0..ATTEMPTS {
                let Some(found) = self.author_document(id).await? else { return Ok(Written::Missing) };
                if !expected.allows(found.version.unsigned_abs()) {
                    return Ok(Written::Conflict);
                }
                let before = found.author()?;
                let author = Author {
                    name: draft.name.clone(),
                    biography: draft.biography.clone(),
                    born_year: draft.born_year,
                    died_year: draft.died_year,
                    version: before.version + 1,
                    updated_at: now().max(before.updated_at),
                    ..before.clone()
                };
                if let Some(books) = self.write_author(&author, &before).await? {
                    return Ok(Written::Done((author, books)));
                }
                pause(attempt).await;
            }
            Err(contended("the author"))
        })
        .await
    }

    async fn delete_author(
        &self,
        id: Uuid,
        expected: Expected,
        books: BooksOfDeleted,
    ) -> Result<Written<Vec<Uuid>>, StoreError> {
        within(DEADLINE, async {
            for attempt in 0..ATTEMPTS {
                let Some(found) = self.author_document(id).await? else { return Ok(Written::Missing) };
                if !expected.allows(found.version.unsigned_abs()) {
                    return Ok(Written::Conflict);
                }
                if let Some(books) = self.delete_version_of_author(found, books).await? {
                    return Ok(Written::Done(books));
                }
                pause(attempt).await;
            }
            Err(contended("the author"))
        })
        .await
    }
}

/// An author as a draft says.
pub(super) fn new_author(id: Uuid, draft: AuthorDraft) -> Author {
    let now = created_at(id).unwrap_or_else(now);
    Author {
        id,
        name: draft.name,
        biography: draft.biography,
        born_year: draft.born_year,
        died_year: draft.died_year,
        version: 1,
        created_at: now,
        updated_at: now,
    }
}

impl MongoStore {
    /// An author as they are stored.
    pub(super) async fn author_document(&self, author: Uuid) -> Result<Option<AuthorDocument>, StoreError> {
        Ok(self.authors().find_one(doc! { "_id": id(author) }).max_time(READ).await?)
    }

    /// Writes an author over the version that was read, and a new name into the books; says which those
    /// were. `None` when the author is another by now.
    pub(super) async fn write_author(
        &self,
        author: &Author,
        before: &Author,
    ) -> Result<Option<Vec<Uuid>>, StoreError> {
        let (mut set, mut unset) = author_change(author)?;
        let renamed = author.name != before.name;
        if renamed {
            // The mark comes with the name: whatever happens next, upkeep will find what is left to do.
            set.insert("pending", date(now()));
        }
        if name_key(&author.name) != name_key(&before.name) {
            unset.insert("importNameKey", "");
        }
        let mut change = doc! { "$set": set };
        if !unset.is_empty() {
            change.insert("$unset", unset);
        }
        let written = self
            .authors()
            .find_one_and_update(doc! { "_id": id(author.id), "version": number(before.version) }, change)
            .return_document(ReturnDocument::After)
            .await?;
        let Some(written) = written else { return Ok(None) };
        if !renamed && written.pending.is_none() {
            return Ok(Some(self.books_naming(id(author.id)).await?.into_iter().map(uuid).collect()));
        }
        // The mark stays, as a tombstone does: a writer that read the old name may write a book yet and
        // break off before it looks again. Upkeep goes over the books once more when that is past.
        let books = self.settle_books_of(id(author.id)).await?;
        Ok(Some(books))
    }

    /// Deletes this version of an author; `None` when it is another by now.
    async fn delete_version_of_author(
        &self,
        found: AuthorDocument,
        books: BooksOfDeleted,
    ) -> Result<Option<Vec<Uuid>>, StoreError> {
        let (author, token) = (found.id, bson::Uuid::new());
        let mut condition = doc! { "_id": author, "version": found.version };
        if books == BooksOfDeleted::Refuse {
            // A book written from here on sees this and takes it away, which makes us look again; one
            // written before is seen now.
            let marked = self
                .authors()
                .update_one(condition.clone(), doc! { "$set": { "intent": token } })
                .await?
                .matched_count;
            if marked == 0 {
                return Ok(None);
            }
            condition.insert("intent", token);
            if self
                .books()
                .clone_with_type::<Document>()
                .find_one(doc! { "authors.id": author })
                .await?
                .is_some()
            {
                self.authors().update_one(condition, doc! { "$unset": { "intent": "" } }).await?;
                return Err(StoreError::AuthorHasBooks);
            }
        }
        let outcome = ClaimOutcome::Author(found.author()?);
        let claimed = self.settle_deleted(author, token, &outcome).await?;
        // Before the author: a book that names nobody can always be told why.
        let tombstone = TombstoneDocument {
            id: author,
            of: Buried::Author,
            token,
            delete_books: books == BooksOfDeleted::Delete,
            at: date(now()),
        };
        self.bury(&tombstone).await?;
        if self.authors().delete_one(condition).await?.deleted_count == 0 {
            // The tombstone stays: another deletion may rely on it. Upkeep sees that the author is there.
            if claimed {
                self.unsettle(author, token).await?;
            }
            return Ok(None);
        }
        if claimed {
            self.settle_deleted(author, token, &outcome).await?;
        }
        self.see_to_books_of_deleted(&tombstone).await.map(Some)
    }

    /// The books of an author who is gone lose them, or go too; says which those were.
    pub(super) async fn see_to_books_of_deleted(
        &self,
        tombstone: &TombstoneDocument,
    ) -> Result<Vec<Uuid>, StoreError> {
        if !tombstone.delete_books {
            return self.settle_books_of(tombstone.id).await;
        }
        let books: Vec<Uuid> = self.books_naming(tombstone.id).await?.into_iter().map(uuid).collect();
        // Some at a time: each takes several round trips.
        let remove = |book: Uuid| async move { self.remove_book(book).await };
        futures::stream::iter(books.clone()).map(remove).buffer_unordered(8).try_collect::<()>().await?;
        Ok(books)
    }
}

fn number(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}
