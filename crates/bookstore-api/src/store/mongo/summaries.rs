//! Summaries in MongoDB: documents of their own, the latest that fits also inside its book.

use async_trait::async_trait;
use mongodb::bson::{Bson, Document, doc};
use uuid::Uuid;

use super::documents::{BookDocument, SummaryDocument, document, id};
use super::{ATTEMPTS, DEADLINE, MongoStore, READ, contended, duplicate, pause, within};
use crate::prompt;
use crate::store::{Kept, StoreError, StoredSummary, SummaryStore};

#[async_trait]
impl SummaryStore for MongoStore {
    async fn summary(
        &self,
        book: Uuid,
        content_hash: &str,
        prompt_version: &str,
        provider: Option<&str>,
        model: Option<&str>,
    ) -> Result<Option<StoredSummary>, StoreError> {
        within(DEADLINE, async {
            let found = self.latest_summary(book, content_hash, &[prompt_version], provider, model).await?;
            found.map(SummaryDocument::summary).transpose()
        })
        .await
    }

    async fn current_summary(
        &self,
        book: Uuid,
        prompt_version: &str,
        provider: Option<&str>,
    ) -> Result<Option<StoredSummary>, StoreError> {
        within(DEADLINE, async {
            let Some(current) = self.book_document(id(book)).await? else { return Ok(None) };
            let hash = &current.content_hash;
            let found = self.latest_summary(book, hash, &[prompt_version], provider, None).await?;
            found.map(SummaryDocument::summary).transpose()
        })
        .await
    }

    async fn keep_summary(&self, summary: StoredSummary) -> Result<Kept, StoreError> {
        within(DEADLINE, async {
            let book = self.book_document(id(summary.book_id)).await?;
            if book.is_none_or(|book| book.content_hash != summary.content_hash) {
                return Ok(Kept::Outdated);
            }
            let kept = SummaryDocument::of(&summary);
            if !self.put_summary(&kept).await? {
                return Ok(Kept::Superseded);
            }
            // The book may have gone in between; where it has only changed, the summary was kept before.
            Ok(if self.show_summary(&kept).await? { Kept::Kept } else { Kept::Outdated })
        })
        .await
    }
}

impl MongoStore {
    /// The latest summary under these keys.
    pub(super) async fn latest_summary(
        &self,
        book: Uuid,
        content_hash: &str,
        prompt_versions: &[&str],
        provider: Option<&str>,
        model: Option<&str>,
    ) -> Result<Option<SummaryDocument>, StoreError> {
        let mut filter = doc! { "_id.book": id(book), "_id.contentHash": content_hash };
        filter.insert("_id.promptVersion", one_of(prompt_versions));
        if let Some(provider) = provider {
            filter.insert("_id.provider", provider);
        }
        if let Some(model) = model {
            filter.insert("_id.requestedModel", model);
        }
        Ok(self.summaries().find_one(filter).sort(doc! { "generatedAt": -1 }).max_time(READ).await?)
    }

    /// Writes a summary, marked as not shown yet, unless one with a larger fence is there; whether it was
    /// written.
    pub(super) async fn put_summary(&self, summary: &SummaryDocument) -> Result<bool, StoreError> {
        let own = document(&summary.key)?;
        for attempt in 0..ATTEMPTS {
            match self.summaries().insert_one(summary).await {
                Ok(_) => return Ok(true),
                Err(error) if duplicate(&error).is_none() => return Err(error.into()),
                Err(_) => {}
            }
            let older = doc! { "_id": &own, "fence": { "$lte": summary.fence } };
            if self.summaries().replace_one(older, summary).await?.matched_count > 0 {
                return Ok(true);
            }
            if self.summaries().find_one(doc! { "_id": &own }).max_time(READ).await?.is_some() {
                return Ok(false);
            }
            // It was there and is gone again.
            pause(attempt).await;
        }
        Err(contended("the summary"))
    }

    /// Shows a summary in its book, if it fits and none later is shown, and takes its mark away. Without
    /// its book it is deleted: then the answer is no.
    pub(super) async fn show_summary(&self, summary: &SummaryDocument) -> Result<bool, StoreError> {
        let mut summary = summary.clone();
        for attempt in 0..ATTEMPTS {
            if prompt::is_known(&summary.key.prompt_version) {
                let show = doc! { "$set": { "latestSummary": document(&summary.latest())? } };
                self.books().update_one(shows_older(&summary), show).await?;
            }
            let own = document(&summary.key)?;
            let Some(book) = self.book_document(summary.key.book).await? else {
                self.summaries().delete_one(doc! { "_id": own }).await?;
                return Ok(false);
            };
            match self.summaries().find_one(doc! { "_id": own }).max_time(READ).await? {
                // Another call has replaced it: that one is to be shown, and whoever looks last sees to it.
                Some(there) if there.latest() != summary.latest() => summary = there,
                _ => {
                    if settled(&book, &summary) {
                        self.unmark(&summary).await?;
                    }
                    return Ok(true);
                }
            }
            pause(attempt).await;
        }
        Err(contended("the summary"))
    }

    /// Takes the mark of this very summary away.
    pub(super) async fn unmark(&self, summary: &SummaryDocument) -> Result<(), StoreError> {
        let same = doc! {
            "_id": document(&summary.key)?,
            "pending": summary.pending,
            "fence": summary.fence,
            "generatedAt": summary.generated_at,
        };
        self.summaries().update_one(same, doc! { "$unset": { "pending": "" } }).await?;
        Ok(())
    }
}

/// Prompt versions as a condition.
pub(super) fn one_of(prompt_versions: &[&str]) -> Bson {
    match prompt_versions {
        [one] => Bson::from(*one),
        several => Bson::from(doc! { "$in": several }),
    }
}

/// The book that a summary fits, if what it shows is older, or is what this one has replaced.
fn shows_older(summary: &SummaryDocument) -> Document {
    let key = &summary.key;
    doc! {
        "_id": key.book,
        "contentHash": &key.content_hash,
        "$or": [
            { "latestSummary": { "$exists": false } },
            { "latestSummary.promptVersion": { "$nin": prompt::VERSIONS } },
            {
                "latestSummary.provider": &key.provider,
                "latestSummary.requestedModel": &key.requested_model,
                "latestSummary.promptVersion": &key.prompt_version,
                "latestSummary.fence": { "$lte": summary.fence },
            },
            {
                "latestSummary.generatedAt": { "$lte": summary.generated_at },
                "$or": [
                    { "latestSummary.provider": { "$ne": &key.provider } },
                    { "latestSummary.requestedModel": { "$ne": &key.requested_model } },
                    { "latestSummary.promptVersion": { "$ne": &key.prompt_version } },
                ],
            },
        ],
    }
}

/// Whether nothing is left to do: the book shows this summary or a later one, or is another by now. In the
/// last case the mark stays for a while: the book may have changed back in between.
fn settled(book: &BookDocument, summary: &SummaryDocument) -> bool {
    !prompt::is_known(&summary.key.prompt_version)
        || (book.content_hash == summary.key.content_hash && book.latest_summary.is_some())
}

/// The mark of a summary whose deletion or showing may not be finished.
pub(super) fn unfinished(before: mongodb::bson::DateTime) -> Document {
    doc! { "pending": { "$lte": before } }
}
