//! The lease port: who of several processes does what only one of them should.
//!
//! Owns the trait, the fence, and the renewing of a lease that is held. What is done under a lease
//! is its holder's business. A lease is no lock: a holder that was stopped for longer than the lease
//! lasts has lost it without knowing. What it writes carries its fence, and whoever keeps it refuses
//! to replace what carries a larger one.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use telemetry::Metrics;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

pub mod local;
pub mod redis;

/// How long a lease lasts unless it is renewed. Five seconds outlast a pause of the holder's process
/// or of the network that is no failure; longer would only make who waits for a dead holder wait.
pub const LASTS: Duration = Duration::from_secs(5);

/// A lease that was acquired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What it is for.
    pub key: String,
    /// Who holds it; drawn by the holder, never used twice.
    pub token: String,
    /// Microseconds since 1970 at which it was acquired, by one clock for all: whoever acquires the
    /// same key later has a larger one, even if everything was forgotten between the two.
    pub fence: u64,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquisition {
    /// It is ours. The same token gets the same lease again.
    Acquired(Lease),
    /// Another holds it.
    Held {
        /// Theirs.
        fence: u64,
    },
}

/// How a lease operation can fail.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LeaseError {
    /// Who grants leases cannot be reached, or not in time.
    #[error("leases cannot be had: {0}")]
    Unavailable(String),
}

impl LeaseError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
        }
    }
}

/// Who grants leases. Each operation ends within a deadline of the adapter's, a second or so.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Acquires the lease on `key` for `lasts`, unless another holds it.
    async fn acquire(&self, key: &str, token: &str, lasts: Duration) -> Result<Acquisition, LeaseError>;
    /// Makes it last for `lasts` from now; even if it was forgotten or had ended, as long as nobody
    /// else has acquired it. Whether it is still the holder's.
    async fn renew(&self, lease: &Lease, lasts: Duration) -> Result<bool, LeaseError>;
    /// Gives it back; whether it was still the holder's.
    async fn release(&self, lease: &Lease) -> Result<bool, LeaseError>;
}

/// A lease that is being renewed until this is released or dropped.
pub struct Holding {
    leases: Arc<dyn Leases>,
    lease: Lease,
    /// Ends the task that renews. Absent once released.
    renewing: Option<DropGuard>,
    tasks: TaskTracker,
}

impl Holding {
    /// Renews `lease` every third of its time, in a task of `tasks`.
    #[must_use]
    pub fn new(leases: Arc<dyn Leases>, lease: Lease, tasks: TaskTracker, metrics: Metrics) -> Self {
        let ended = CancellationToken::new();
        let renew = {
            let (leases, lease, ended) = (Arc::clone(&leases), lease.clone(), ended.clone());
            async move { ended.run_until_cancelled(keep_renewing(leases, lease, metrics)).await }
        };
        tasks.spawn(renew.in_current_span());
        Self { leases, lease, renewing: Some(ended.drop_guard()), tasks }
    }

    /// The lease's fence.
    #[must_use]
    pub const fn fence(&self) -> u64 {
        self.lease.fence
    }

    /// Gives the lease back. One that cannot be given back ends by itself.
    pub async fn release(mut self) {
        self.renewing = None;
        give_back(self.leases.as_ref(), &self.lease).await;
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        // Released already, or else its work broke off: whoever waits should not wait it out.
        if self.renewing.take().is_some() {
            let (leases, lease) = (Arc::clone(&self.leases), self.lease.clone());
            self.tasks.spawn(async move { give_back(leases.as_ref(), &lease).await });
        }
    }
}

async fn keep_renewing(leases: Arc<dyn Leases>, lease: Lease, metrics: Metrics) {
    loop {
        tokio::time::sleep(LASTS / 3).await;
        match leases.renew(&lease, LASTS).await {
            Ok(true) => {}
            Ok(false) => {
                metrics.lease("lost");
                tracing::warn!(key = lease.key, "a lease was lost to another process while its work goes on");
                return;
            }
            Err(error) => tracing::debug!(key = lease.key, %error, "a lease could not be renewed"),
        }
    }
}

async fn give_back(leases: &dyn Leases, lease: &Lease) {
    if let Err(error) = leases.release(lease).await {
        tracing::debug!(key = lease.key, %error, "a lease was not given back and ends by itself");
    }
}

/// Microseconds since 1970 by this machine's clock: a fence where nobody grants leases.
#[must_use]
pub fn clock() -> u64 {
    u64::try_from(chrono::Utc::now().timestamp_micros()).unwrap_or(0)
}
