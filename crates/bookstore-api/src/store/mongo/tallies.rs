//! Tallies in MongoDB.

use async_trait::async_trait;
use futures::TryStreamExt;
use mongodb::bson::{self, Document, doc};
use serde::{Deserialize, Serialize};

use super::documents::{date, id, time, uuid};
use super::{BATCH_DEADLINE, DEADLINE, MongoStore, READ, duplicate, within};
use crate::store::{StoreError, Tally, TallyStore, after_prefix};

/// A tally as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TallyDocument {
    #[serde(rename = "_id")]
    own: Own,
    serial: i64,
    document: String,
    expires_at: bson::DateTime,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Own {
    key: String,
    writer: bson::Uuid,
}

impl TallyDocument {
    fn of(tally: &Tally) -> Self {
        Self {
            own: Own { key: tally.key.clone(), writer: id(tally.writer) },
            serial: i64::try_from(tally.serial).unwrap_or(i64::MAX),
            document: tally.document.clone(),
            expires_at: date(tally.expires_at),
        }
    }

    fn tally(self) -> Result<Tally, StoreError> {
        Ok(Tally {
            key: self.own.key,
            writer: uuid(self.own.writer),
            serial: self.serial.unsigned_abs(),
            document: self.document,
            expires_at: time(self.expires_at)?,
        })
    }

    fn id(&self) -> Document {
        doc! { "key": &self.own.key, "writer": self.own.writer }
    }
}

#[async_trait]
impl TallyStore for MongoStore {
    async fn keep_tallies(&self, tallies: Vec<Tally>) -> Result<(), StoreError> {
        within(BATCH_DEADLINE, async {
            for tally in tallies.iter().map(TallyDocument::of) {
                // Where a later one is there, nothing fits and the insertion meets it.
                let older = doc! { "_id": tally.id(), "serial": { "$lte": tally.serial } };
                match self.tallies().replace_one(older, &tally).upsert(true).await {
                    Ok(_) => {}
                    Err(error) if duplicate(&error).is_some() => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(())
        })
        .await
    }

    async fn tallies(&self, prefix: &str) -> Result<Vec<Tally>, StoreError> {
        within(DEADLINE, async {
            let range = doc! { "_id.key": { "$gte": prefix, "$lt": after_prefix(prefix) } };
            let order = doc! { "_id.key": 1, "_id.writer": 1 };
            let found = self.tallies().find(range).sort(order).max_time(READ).await?;
            let found: Vec<TallyDocument> = found.try_collect().await?;
            found.into_iter().map(TallyDocument::tally).collect()
        })
        .await
    }
}
