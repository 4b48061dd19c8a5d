//! Claims of idempotency keys, and import jobs, in MongoDB.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use mongodb::bson::{self, doc};
use uuid::Uuid;

use super::documents::{ClaimDocument, date, id, now, uuid};
use super::{ATTEMPTS, DEADLINE, MongoStore, READ, contended, duplicate, pause, within};
use crate::store::{Claim, ClaimOutcome, ClaimStore, Claimed, JobStore, Settled, StoreError};

#[async_trait]
impl ClaimStore for MongoStore {
    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        within(DEADLINE, self.claim_key(&claim)).await
    }

    async fn settle(&self, key: &str, outcome: &ClaimOutcome) -> Result<Settled, StoreError> {
        let outcome = text(outcome)?;
        within(DEADLINE, async {
            let open = doc! { "_id": key, "outcome": { "$exists": false } };
            self.claims().update_one(open, doc! { "$set": { "outcome": outcome } }).await?;
            let claim = self.claims().find_one(doc! { "_id": key }).max_time(READ).await?;
            Ok(match claim {
                Some(ClaimDocument { deleted: Some(_), .. }) => Settled::ResourceDeleted,
                _ => Settled::Done,
            })
        })
        .await
    }
}

#[async_trait]
impl JobStore for MongoStore {
    async fn keep_job(
        &self,
        job: Uuid,
        document: String,
        expires_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        within(DEADLINE, async {
            let kept = doc! { "_id": id(job), "document": document, "expiresAt": date(expires_at) };
            self.jobs().replace_one(doc! { "_id": id(job) }, kept).upsert(true).await?;
            Ok(())
        })
        .await
    }

    async fn job(&self, job: Uuid) -> Result<Option<String>, StoreError> {
        within(DEADLINE, async {
            let found = self.jobs().find_one(doc! { "_id": id(job) }).max_time(READ).await?;
            Ok(found.and_then(|found| found.get_str("document").map(str::to_owned).ok()))
        })
        .await
    }
}

impl MongoStore {
    async fn claim_key(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        let new = ClaimDocument {
            key: claim.key.clone(),
            request_hash: claim.request_hash.clone(),
            resource: id(claim.resource),
            expires_at: date(claim.expires_at),
            outcome: None,
            deleted: None,
        };
        for attempt in 0..ATTEMPTS {
            match self.claims().insert_one(&new).await {
                Ok(_) => return Ok(Claimed::Open { resource: claim.resource }),
                Err(error) if duplicate(&error).is_none() => return Err(error.into()),
                Err(_) => {}
            }
            let Some(there) = self.claims().find_one(doc! { "_id": &claim.key }).max_time(READ).await? else {
                pause(attempt).await;
                continue;
            };
            if there.expires_at <= date(now()) {
                // One that has ended counts as none; of several that replace it one is first.
                let ended =
                    doc! { "_id": &claim.key, "expiresAt": there.expires_at, "resource": there.resource };
                if self.claims().replace_one(ended, &new).await?.matched_count > 0 {
                    return Ok(Claimed::Open { resource: claim.resource });
                }
                pause(attempt).await;
                continue;
            }
            if there.request_hash != claim.request_hash {
                return Ok(Claimed::OtherRequest);
            }
            return match there.outcome {
                None => Ok(Claimed::Open { resource: uuid(there.resource) }),
                Some(outcome) => serde_json::from_str(&outcome)
                    .map(Claimed::Settled)
                    .map_err(|error| StoreError::Corrupt(error.to_string())),
            };
        }
        Err(contended("the Idempotency-Key"))
    }

    /// Settles the claims of a resource that is about to be deleted; whether there are any.
    pub(super) async fn settle_deleted(
        &self,
        resource: bson::Uuid,
        token: bson::Uuid,
        outcome: &ClaimOutcome,
    ) -> Result<bool, StoreError> {
        let claims = self.claims();
        let mark = doc! { "$set": { "deleted": token } };
        if claims.update_many(doc! { "resource": resource }, mark).await?.matched_count == 0 {
            return Ok(false);
        }
        let open = doc! { "resource": resource, "outcome": { "$exists": false } };
        claims.update_many(open, doc! { "$set": { "outcome": text(outcome)? } }).await?;
        Ok(true)
    }

    /// Takes the mark of a deletion back that came to nothing.
    pub(super) async fn unsettle(&self, resource: bson::Uuid, token: bson::Uuid) -> Result<(), StoreError> {
        let marked = doc! { "resource": resource, "deleted": token };
        self.claims().update_many(marked, doc! { "$unset": { "deleted": "" } }).await?;
        Ok(())
    }
}

fn text(outcome: &ClaimOutcome) -> Result<String, StoreError> {
    serde_json::to_string(outcome).map_err(|error| StoreError::Corrupt(error.to_string()))
}
