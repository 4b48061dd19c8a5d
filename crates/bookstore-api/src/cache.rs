//! The cache port.
//!
//! Owns the trait, its keys and the fill ticket that keeps a slow fill from overwriting a newer
//! invalidation. The policy (when to read, fill and invalidate) is `cache_aside.rs`.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub mod memory;
pub mod observed;
pub mod redis;

/// How long a ticket is good for at most: a load that takes longer is not remembered. An entry that
/// a failed invalidation left behind lives for this and its time to live.
pub const TICKET_TIME: Duration = Duration::from_secs(30);

/// What a key is about; also the label of its metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Area {
    /// Books.
    Book,
    /// Authors.
    Author,
    /// Summaries.
    Summary,
}

impl Area {
    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Book => "book",
            Self::Author => "author",
            Self::Summary => "summary",
        }
    }
}

/// A key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey {
    /// What it is about.
    pub area: Area,
    /// Which one.
    pub id: String,
}

impl CacheKey {
    /// A key.
    #[must_use]
    pub fn new(area: Area, id: impl fmt::Display) -> Self {
        Self { area, id: id.to_string() }
    }
}

/// Handed out at a miss: a fill with it is void once the key was invalidated after it. One ticket
/// is seen by everybody who misses between two invalidations, and never again after the second: who
/// has seen a ticket may share a load that was begun under it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FillTicket {
    /// How many invalidations there were before it.
    Count(u64),
    /// The nonce of a lease on the key.
    Nonce(Bytes),
}

/// What a look-up found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The value.
    Hit(Bytes),
    /// Nothing; the ticket allows one fill.
    Miss(FillTicket),
}

/// How a cache operation can fail. A failure is a miss to the caller of a use case, never more.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CacheError {
    /// The cache cannot be reached, or not in time.
    #[error("the cache cannot be reached: {0}")]
    Unavailable(String),
    /// The cache refuses the command: it is full, loading, a replica, or holds something foreign.
    #[error("the cache refuses: {0}")]
    Refused(String),
}

impl CacheError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Refused(_) => "refused",
        }
    }
}

/// A cache of bytes. Each operation ends within a deadline of the adapter's, a quarter of a second
/// or so; an adapter says once when an outage begins and once when it ends.
#[async_trait]
pub trait Cache: Send + Sync {
    /// Looks a key up.
    async fn get(&self, key: &CacheKey) -> Result<Lookup, CacheError>;
    /// Puts a value in, unless the key was invalidated after the ticket; whether it was put.
    async fn fill(
        &self,
        key: &CacheKey,
        ticket: &FillTicket,
        value: Bytes,
        time_to_live: Duration,
    ) -> Result<bool, CacheError>;
    /// Takes keys out, and voids the tickets that are out for them.
    async fn invalidate(&self, keys: &[CacheKey]) -> Result<(), CacheError>;
    /// Whether the cache answers.
    async fn ping(&self) -> Result<(), CacheError>;
}
