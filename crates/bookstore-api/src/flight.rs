//! Single flight: callers that ask for the same thing at the same time share one execution.
//!
//! The work runs in whoever polls it and ends early only when the last of them goes away.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};

/// Dead entries are swept out when the map has grown to this.
const SWEEP_AT: usize = 1_024;

/// Work under way, by key.
pub struct Flights<K, V: Clone> {
    under_way: Mutex<HashMap<K, WeakShared<BoxFuture<'static, V>>>>,
}

impl<K: Eq + Hash, V: Clone + Send + Sync + 'static> Default for Flights<K, V> {
    fn default() -> Self {
        Self { under_way: Mutex::new(HashMap::new()) }
    }
}

impl<K: Eq + Hash, V: Clone + Send + Sync + 'static> Flights<K, V> {
    /// Joins the work under way for `key`, or starts it.
    pub fn join(
        &self,
        key: K,
        start: impl FnOnce() -> BoxFuture<'static, V>,
    ) -> Shared<BoxFuture<'static, V>> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let alive = under_way
            .get(&key)
            .and_then(WeakShared::upgrade)
            // A finished flight is history, not an answer to a new question.
            .filter(|flight| flight.peek().is_none());
        if let Some(flight) = alive {
            return flight;
        }
        if under_way.len() >= SWEEP_AT {
            under_way.retain(|_, flight| flight.upgrade().is_some_and(|flight| flight.peek().is_none()));
        }
        let flight = start().shared();
        if let Some(weak) = flight.downgrade() {
            under_way.insert(key, weak);
        }
        flight
    }

    /// Lets who asks from now on start anew: what is under way may be stale.
    pub fn forget(&self, key: &K) {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::FutureExt;

    use super::Flights;

    #[tokio::test]
    async fn a_hundred_callers_share_one_execution_and_the_next_starts_anew() {
        let flights = Flights::<&str, u32>::default();
        let runs = Arc::new(AtomicU32::new(0));
        let start = || {
            let runs = Arc::clone(&runs);
            async move {
                tokio::task::yield_now().await;
                runs.fetch_add(1, Ordering::SeqCst) + 1
            }
            .boxed()
        };
        let joined: Vec<_> = (0..100).map(|_| flights.join("key", start)).collect();
        assert!(futures::future::join_all(joined).await.iter().all(|&run| run == 1));
        assert_eq!(flights.join("key", start).await, 2);
    }

    #[tokio::test]
    async fn work_ends_when_the_last_caller_leaves() {
        let flights = Flights::<&str, ()>::default();
        let alive = Arc::new(());
        let held = Arc::clone(&alive);
        let start = move || {
            async move {
                let _held = held;
                std::future::pending::<()>().await;
            }
            .boxed()
        };
        let first = flights.join("key", start);
        let second = flights.join("key", || unreachable!("the first is under way"));
        drop(first);
        assert_eq!(Arc::strong_count(&alive), 2);
        drop(second);
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
