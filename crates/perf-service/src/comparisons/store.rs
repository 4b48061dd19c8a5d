//! Where comparisons are kept: the port, and its files.

pub mod files;

use std::io;
use std::path::PathBuf;

use async_trait::async_trait;
use common_models::Comparison;
use uuid::Uuid;

use crate::ledger::Lease;

/// Why comparisons cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file.
    #[error("{0}: {1}; is the disk full or the folder gone?")]
    File(PathBuf, #[source] io::Error),
    /// One is under way on this machine, perhaps in another process.
    #[error("the comparison {0} is under way")]
    Busy(Uuid),
    /// A task of ours broke off.
    #[error("an access to the comparisons broke off")]
    BrokenOff,
}

impl StoreError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::File(..) => "comparison_file",
            Self::Busy(_) => "comparison_under_way",
            Self::BrokenOff => "comparison_broken_off",
        }
    }
}

/// A store of comparisons.
#[async_trait]
pub trait ComparisonStore: Send + Sync {
    /// Keeps a new one, under a lease: while it is held, nobody takes it for abandoned, and there is no
    /// second one.
    async fn create(&self, comparison: &Comparison) -> Result<Lease, StoreError>;

    /// Replaces one; after a crash there is the old or the new, never a part.
    async fn save(&self, comparison: &Comparison) -> Result<(), StoreError>;

    /// One of them.
    async fn read(&self, id: Uuid) -> Result<Option<Comparison>, StoreError>;

    /// At most `limit` older than `before`, newest first; whether more follow; how many there are.
    async fn list(
        &self,
        before: Option<Uuid>,
        limit: usize,
    ) -> Result<(Vec<Comparison>, bool, u64), StoreError>;

    /// Those that are under way and whose process is dead, with their leases.
    async fn abandoned(&self) -> Result<Vec<(Comparison, Lease)>, StoreError>;
}
