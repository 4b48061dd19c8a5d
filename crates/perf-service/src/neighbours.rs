//! Other perf-services, on this machine or others: the port to what all of them share.
//!
//! Owns what is shared: who may put load on a target, what runs are doing, and the wish to stop one.
//! Must not know how it travels. Each service keeps a ledger of its own.

pub mod redis;

use async_trait::async_trait;
use common_models::Run;
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, watch};
use uuid::Uuid;

use crate::ledger::Lease;
use crate::progress::Progress;
use crate::targets::Target;

/// A moment of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// Its entry.
    pub run: Run,
    /// How it goes.
    pub progress: Progress,
}

/// A run of another service.
#[derive(Clone, Debug)]
pub struct Elsewhere {
    /// Its entry as last told.
    pub run: Run,
    /// How it goes on; `None` once it has ended, or its service has been silent for long.
    pub progress: Option<watch::Receiver<Progress>>,
}

/// Why neighbours cannot be asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NeighboursError {
    /// What connects them cannot be reached or refuses.
    #[error(
        "the Redis of REDIS_URL does not answer: {0}; start it, or unset REDIS_URL where no other perf-service runs"
    )]
    Unreachable(String),
}

impl NeighboursError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "neighbours_unreachable",
        }
    }
}

/// The other services.
#[async_trait]
pub trait Neighbours: Send + Sync {
    /// The right among all services to put load on a target that bears `places` runs at a time;
    /// `None` while others have it. A run that is taken over has the same right again. The lease says
    /// whether the right was lost meanwhile.
    async fn claim(&self, target: &Target, places: u32, run: Uuid) -> Result<Option<Lease>, NeighboursError>;

    /// Tells a moment to all. One that cannot be told is lost: the next one follows.
    async fn tell(&self, moment: &Moment);

    /// A run of another service, as far as it was told.
    fn elsewhere(&self, id: Uuid) -> Option<Elsewhere>;

    /// Asks whoever conducts a run to stop it.
    async fn ask_to_stop(&self, id: Uuid) -> Result<(), NeighboursError>;

    /// Runs that others want to be stopped.
    fn wishes(&self) -> broadcast::Receiver<Uuid>;

    /// Gives back what is held, and listens no more.
    async fn close(&self);
}
