//! Upkeep of the MongoDB store: what has expired goes, what a writer left half done is completed.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::TimeDelta;
use futures::TryStreamExt;
use mongodb::bson::{DateTime, doc};

use super::documents::{AuthorDocument, Buried, SummaryDocument, TombstoneDocument, date, now, uuid};
use super::summaries::{one_of, unfinished};
use super::{BATCH_DEADLINE, DEADLINE, LONG_DEADLINE, MongoStore, READ, SETTLED, within};
use crate::prompt;
use crate::store::{CheckReport, Counts, Record, RecordKind, Records, Restored, StoreError, Upkeep};

/// Most half-done things of a kind that one round looks at, and how long it goes on: the rest waits for
/// the next.
const AT_A_TIME: i64 = 1_000;
const ROUND: Duration = Duration::from_secs(15);

#[async_trait]
impl Upkeep for MongoStore {
    async fn records(
        &self,
        kind: RecordKind,
        after: Option<String>,
        limit: u32,
    ) -> Result<Records, StoreError> {
        within(BATCH_DEADLINE, self.page_of_records(kind, after.as_deref(), limit)).await
    }

    async fn restore(&self, records: Vec<Record>) -> Result<Vec<Restored>, StoreError> {
        within(BATCH_DEADLINE, self.restore_records(&records)).await
    }

    async fn check(&self) -> Result<CheckReport, StoreError> {
        within(LONG_DEADLINE, self.check_content()).await
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        within(DEADLINE, async {
            let with_summary = doc! { "latestSummary.promptVersion": one_of(prompt::VERSIONS) };
            Ok(Counts {
                // Out of the collections' own bookkeeping.
                books: self.books().estimated_document_count().max_time(READ).await?,
                books_with_summary: self.books().count_documents(with_summary).max_time(READ).await?,
                authors: self.authors().estimated_document_count().max_time(READ).await?,
            })
        })
        .await
    }

    async fn tend(&self) -> Result<(), StoreError> {
        within(BATCH_DEADLINE, async {
            let ended = doc! { "expiresAt": { "$lte": date(now()) } };
            self.claims().delete_many(ended.clone()).await?;
            self.jobs().delete_many(ended.clone()).await?;
            self.tallies().delete_many(ended).await?;
            // By the clock of whoever wrote the mark, and only long after: nobody is still at it.
            let (before, until) = (before(), Instant::now() + ROUND);
            self.complete_renames(before, until).await?;
            self.complete_deletions(before, until).await?;
            self.complete_summaries(before, until).await
        })
        .await
    }
}

/// What was marked before this is nobody's work any more but upkeep's.
fn before() -> DateTime {
    ago(SETTLED)
}

/// What was marked before this, upkeep should have seen to long ago.
pub(super) fn overdue() -> DateTime {
    ago(5 * SETTLED)
}

fn ago(time: Duration) -> DateTime {
    date(now() - TimeDelta::from_std(time).unwrap_or(TimeDelta::zero()))
}

impl MongoStore {
    async fn complete_renames(&self, before: DateTime, until: Instant) -> Result<(), StoreError> {
        let left = self.authors().find(doc! { "pending": { "$lte": before } }).limit(AT_A_TIME).await?;
        for author in left.try_collect::<Vec<AuthorDocument>>().await? {
            if Instant::now() > until {
                break;
            }
            let books = self.settle_books_of(author.id).await?;
            // Only if nobody renamed them meanwhile: that has a mark of its own.
            let same = doc! { "_id": author.id, "pending": author.pending };
            self.authors().update_one(same, doc! { "$unset": { "pending": "" } }).await?;
            tracing::debug!(author = %author.id, books = books.len(), "the books of a renamed author were looked over");
        }
        Ok(())
    }

    async fn complete_deletions(&self, before: DateTime, until: Instant) -> Result<(), StoreError> {
        let left = self.tombstones().find(doc! { "at": { "$lte": before } }).limit(AT_A_TIME).await?;
        for tombstone in left.try_collect::<Vec<TombstoneDocument>>().await? {
            if Instant::now() > until {
                break;
            }
            match tombstone.of {
                Buried::Author => self.complete_author_deletion(&tombstone).await?,
                Buried::Book => self.complete_book_deletion(&tombstone).await?,
            }
        }
        Ok(())
    }

    async fn complete_author_deletion(&self, tombstone: &TombstoneDocument) -> Result<(), StoreError> {
        if self.living(&[tombstone.id]).await?.is_empty() {
            self.see_to_books_of_deleted(tombstone).await?;
        } else {
            // Not deleted after all, or made again since, perhaps by another name.
            self.settle_books_of(tombstone.id).await?;
        }
        self.tombstones().delete_one(doc! { "_id": tombstone.id, "token": tombstone.token }).await?;
        Ok(())
    }

    async fn complete_book_deletion(&self, tombstone: &TombstoneDocument) -> Result<(), StoreError> {
        let Some(book) = self.book_document(tombstone.id).await? else {
            return self.delete_summaries_of(tombstone.id).await;
        };
        // Not deleted after all, or made again since.
        let (id, hash) = (uuid(book.id), &book.content_hash);
        if let Some(summary) = self.latest_summary(id, hash, prompt::VERSIONS, None, None).await? {
            self.show_summary(&summary).await?;
        }
        self.tombstones().delete_one(doc! { "_id": tombstone.id, "token": tombstone.token }).await?;
        Ok(())
    }

    async fn complete_summaries(&self, before: DateTime, until: Instant) -> Result<(), StoreError> {
        let left = self.summaries().find(unfinished(before)).limit(AT_A_TIME).await?;
        for summary in left.try_collect::<Vec<SummaryDocument>>().await? {
            if Instant::now() > until {
                break;
            }
            if self.show_summary(&summary).await? {
                self.unmark(&summary).await?;
            }
        }
        Ok(())
    }
}
