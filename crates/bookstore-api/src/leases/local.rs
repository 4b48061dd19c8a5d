//! Leases inside this process: for a service that has no Redis. They bind no other process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::{Acquisition, Lease, LeaseError, Leases, clock};

/// Leases that have ended are swept out when the map has grown to this.
const SWEEP_AT: usize = 1_024;

/// Leases of this process.
#[derive(Default)]
pub struct LocalLeases(Mutex<Granted>);

#[derive(Default)]
struct Granted {
    by_key: HashMap<String, Held>,
    /// The largest fence given out.
    last: u64,
}

struct Held {
    token: String,
    fence: u64,
    until: Instant,
}

impl LocalLeases {
    fn granted(&self) -> MutexGuard<'_, Granted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Leases for LocalLeases {
    async fn acquire(&self, key: &str, token: &str, lasts: Duration) -> Result<Acquisition, LeaseError> {
        let now = Instant::now();
        let mut granted = self.granted();
        if granted.by_key.len() >= SWEEP_AT {
            granted.by_key.retain(|_, held| held.until > now);
        }
        let fence = match granted.by_key.get(key).filter(|held| held.until > now) {
            Some(held) if held.token != token => return Ok(Acquisition::Held { fence: held.fence }),
            Some(held) => held.fence,
            None => {
                granted.last = clock().max(granted.last + 1);
                granted.last
            }
        };
        let held = Held { token: token.to_owned(), fence, until: now + lasts };
        granted.by_key.insert(key.to_owned(), held);
        Ok(Acquisition::Acquired(Lease { key: key.to_owned(), token: token.to_owned(), fence }))
    }

    async fn renew(&self, lease: &Lease, lasts: Duration) -> Result<bool, LeaseError> {
        let now = Instant::now();
        let mut granted = self.granted();
        let others =
            granted.by_key.get(&lease.key).is_some_and(|held| held.until > now && held.token != lease.token);
        if !others {
            let held = Held { token: lease.token.clone(), fence: lease.fence, until: now + lasts };
            granted.by_key.insert(lease.key.clone(), held);
        }
        Ok(!others)
    }

    async fn release(&self, lease: &Lease) -> Result<bool, LeaseError> {
        let now = Instant::now();
        let mut granted = self.granted();
        let ours =
            granted.by_key.get(&lease.key).is_some_and(|held| held.until > now && held.token == lease.token);
        if ours {
            granted.by_key.remove(&lease.key);
        }
        Ok(ours)
    }
}
