//! Single flight: callers that ask for the same thing at the same time share one execution.
//!
//! The work runs in whoever polls it and ends early only when the last of them goes away. Two ways
//! to share: [`Flights::join`] joins work under way; [`Flights::join_unbegun`] only work that has
//! not begun, for callers to whom an answer from before their question is worth nothing. Work can
//! show its progress to all who share it ([`Flights::join_watching`]).

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};

/// Dead entries are swept out when the map has grown to this.
const SWEEP_AT: usize = 1_024;

/// Work under way, by key, with the progress that it shows.
pub struct Flights<K, V: Clone, P = ()> {
    under_way: Mutex<HashMap<K, Flight<V, P>>>,
}

struct Flight<V: Clone, P> {
    work: WeakShared<BoxFuture<'static, V>>,
    begun: Arc<AtomicBool>,
    /// Weak: progress of work that has ended is of use to those who shared it, and to nobody else.
    progress: Weak<P>,
}

/// Work that its caller shares, and what it has come to so far.
pub type Watched<V, P> = (Shared<BoxFuture<'static, V>>, Arc<P>);

impl<V: Clone, P> Flight<V, P> {
    /// The work, unless it has ended: a finished flight is history, not an answer to a new question.
    fn alive(&self) -> Option<Shared<BoxFuture<'static, V>>> {
        self.work.upgrade().filter(|work| work.peek().is_none())
    }
}

impl<K: Eq + Hash, V: Clone + Send + Sync + 'static, P> Default for Flights<K, V, P> {
    fn default() -> Self {
        Self { under_way: Mutex::new(HashMap::new()) }
    }
}

impl<K: Eq + Hash, V: Clone + Send + Sync + 'static, P: Default> Flights<K, V, P> {
    /// Joins the work under way for `key`, or starts it: `start` is handed the progress to be shown,
    /// which lasts as long as the work holds it or anyone watches.
    pub fn join_watching(
        &self,
        key: K,
        start: impl FnOnce(Arc<P>) -> BoxFuture<'static, V>,
    ) -> Watched<V, P> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let flight = under_way.get(&key);
        if let Some(watched) = flight.and_then(|flight| flight.alive().zip(flight.progress.upgrade())) {
            return watched;
        }
        let progress = Arc::<P>::default();
        let work = start(Arc::clone(&progress)).shared();
        (Self::enter(&mut under_way, key, work, Arc::default(), Arc::downgrade(&progress)), progress)
    }

    /// Joins the work under way for `key`, or starts it.
    pub fn join(
        &self,
        key: K,
        start: impl FnOnce() -> BoxFuture<'static, V>,
    ) -> Shared<BoxFuture<'static, V>> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(work) = under_way.get(&key).and_then(Flight::alive) {
            return work;
        }
        Self::enter(&mut under_way, key, start().shared(), Arc::default(), Weak::new())
    }

    /// Joins the work for `key` that waits to begin, or has such work wait: it begins when the work
    /// under way has ended. So there is one at a time, and each begins after all who share it asked.
    pub fn join_unbegun(
        &self,
        key: K,
        start: impl FnOnce() -> BoxFuture<'static, V> + Send + 'static,
    ) -> Shared<BoxFuture<'static, V>> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let last = under_way.get(&key).and_then(|flight| Some((flight.alive()?, &flight.begun)));
        let before = match last {
            Some((work, begun)) if !begun.load(Ordering::SeqCst) => return work,
            Some((work, _)) => Some(work),
            None => None,
        };
        let begun = Arc::<AtomicBool>::default();
        let begins = Arc::clone(&begun);
        let work = async move {
            if let Some(before) = before {
                before.await;
            }
            begins.store(true, Ordering::SeqCst);
            start().await
        };
        Self::enter(&mut under_way, key, work.boxed().shared(), begun, Weak::new())
    }

    fn enter(
        under_way: &mut HashMap<K, Flight<V, P>>,
        key: K,
        work: Shared<BoxFuture<'static, V>>,
        begun: Arc<AtomicBool>,
        progress: Weak<P>,
    ) -> Shared<BoxFuture<'static, V>> {
        if under_way.len() >= SWEEP_AT {
            under_way.retain(|_, flight| flight.alive().is_some());
        }
        if let Some(weak) = work.downgrade() {
            under_way.insert(key, Flight { work: weak, begun, progress });
        }
        work
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::FutureExt;
    use tokio::sync::Semaphore;

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
    async fn who_joins_late_sees_what_there_is_and_nothing_is_kept_of_it() {
        let flights = Flights::<&str, u32, AtomicU32>::default();
        let gate = Arc::new(Semaphore::new(0));
        let start = |progress: Arc<AtomicU32>| {
            let gate = Arc::clone(&gate);
            async move {
                progress.store(7, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
                1
            }
            .boxed()
        };
        let (mut work, _) = flights.join_watching("key", start);
        assert!(futures::poll!(&mut work).is_pending());
        let (late, progress) = flights.join_watching("key", |_| unreachable!("it is under way"));
        assert_eq!(progress.load(Ordering::SeqCst), 7);
        gate.add_permits(1);
        assert_eq!((work.await, late.await), (1, 1));
        assert_eq!(Arc::strong_count(&progress), 1);
        gate.add_permits(1);
        assert!(!Arc::ptr_eq(&progress, &flights.join_watching("key", start).1));
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

    #[tokio::test]
    async fn who_asks_while_work_is_under_way_shares_the_next() {
        let flights = Flights::<&str, u32>::default();
        let (runs, gate) = (Arc::new(AtomicU32::new(0)), Arc::new(Semaphore::new(0)));
        let start = || {
            let (runs, gate) = (Arc::clone(&runs), Arc::clone(&gate));
            move || {
                async move {
                    let run = runs.fetch_add(1, Ordering::SeqCst) + 1;
                    gate.acquire().await.unwrap().forget();
                    run
                }
                .boxed()
            }
        };
        // Neither has begun: they share.
        let mut early = [flights.join_unbegun("key", start()), flights.join_unbegun("key", start())];
        assert!(futures::poll!(&mut early[0]).is_pending());
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        let mut late = [flights.join_unbegun("key", start()), flights.join_unbegun("key", start())];
        assert!(futures::poll!(&mut late[0]).is_pending());
        assert_eq!(runs.load(Ordering::SeqCst), 1, "one at a time");
        gate.add_permits(2);
        assert_eq!(futures::future::join_all(early).await, [1, 1]);
        assert_eq!(futures::future::join_all(late).await, [2, 2]);
        gate.add_permits(1);
        assert_eq!(flights.join_unbegun("key", start()).await, 3);
    }
}
