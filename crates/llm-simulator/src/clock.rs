//! Sleeping to a quarter of a millisecond, thousands at a time.
//!
//! Tokio's timer rounds up to whole milliseconds, and its wait for events to one more: fitted delays
//! of a fast model would all be too long. Timer crates with a thread of their own (futures-timer,
//! async-io) are exact and wake that thread for every new timer: 0.80 of a core for 22,000 chunks a
//! second and 1.16 for 43,000, where this takes 0.62 and 0.90 (`make bench-simulator`). Here sleepers
//! meet on a grid, so one wake-up serves all that are due, and the thread is woken for a new one only
//! if that is the next.
//!
//! Must not know what is waited for.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Sleepers wake at multiples of this since the clock's beginning.
const GRID: Duration = Duration::from_micros(250);

/// The process's clock.
static CLOCK: LazyLock<Arc<Clock>> = LazyLock::new(Clock::start);

/// Sleeps until an instant, to the nearest point of the grid.
#[must_use]
pub fn sleep_until(at: Instant) -> Sleep {
    Sleep { clock: Arc::clone(&CLOCK), tick: CLOCK.tick(at), id: None }
}

/// Who sleeps until when.
#[derive(Debug)]
struct Clock {
    beginning: Instant,
    sleepers: Mutex<Sleepers>,
    sooner: Condvar,
}

#[derive(Debug, Default)]
struct Sleepers {
    /// By tick and then by the order of arrival.
    wakers: BTreeMap<(u64, u64), Waker>,
    arrived: u64,
    /// The tick for which the thread waits; none while nobody sleeps.
    awaited: Option<u64>,
}

impl Clock {
    fn start() -> Arc<Self> {
        let clock =
            Arc::new(Self { beginning: Instant::now(), sleepers: Mutex::default(), sooner: Condvar::new() });
        let thread = Arc::clone(&clock);
        let spawned = std::thread::Builder::new().name("clock".to_owned()).spawn(move || thread.run());
        if let Err(error) = spawned {
            // Sleepers then wait for ever; a process that has no thread left cannot serve anyway.
            tracing::error!(%error, "no thread for the clock");
        }
        clock
    }

    fn sleepers(&self) -> MutexGuard<'_, Sleepers> {
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.beginning) + GRID / 2;
        u64::try_from(since.as_nanos() / GRID.as_nanos()).unwrap_or(u64::MAX)
    }

    /// How long until a tick; nothing when it has come.
    fn left(&self, tick: u64) -> Duration {
        let nanoseconds = u128::from(tick) * GRID.as_nanos();
        let at = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        at.saturating_sub(self.beginning.elapsed())
    }

    fn run(&self) {
        let mut sleepers = self.sleepers();
        let mut due = Vec::new();
        loop {
            while let Some(first) = sleepers.wakers.first_entry() {
                if !self.left(first.key().0).is_zero() {
                    break;
                }
                due.push(first.remove());
            }
            if !due.is_empty() {
                drop(sleepers);
                due.drain(..).for_each(Waker::wake);
                sleepers = self.sleepers();
                continue;
            }
            sleepers.awaited = sleepers.wakers.keys().next().map(|(tick, _)| *tick);
            sleepers = match sleepers.awaited {
                None => self.sooner.wait(sleepers).unwrap_or_else(PoisonError::into_inner),
                Some(tick) => {
                    let waited = self.sooner.wait_timeout(sleepers, self.left(tick));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

/// A sleep; dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct Sleep {
    clock: Arc<Clock>,
    tick: u64,
    /// Its place among the sleepers of its tick, once it sleeps.
    id: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.clock.left(self.tick).is_zero() {
            return Poll::Ready(());
        }
        let clock = Arc::clone(&self.clock);
        let mut sleepers = clock.sleepers();
        let id = *self.id.get_or_insert_with(|| {
            sleepers.arrived += 1;
            sleepers.arrived
        });
        let replaced = sleepers.wakers.insert((self.tick, id), context.waker().clone());
        if sleepers.awaited.is_none_or(|awaited| self.tick < awaited) {
            sleepers.awaited = Some(self.tick);
            clock.sooner.notify_one();
        }
        drop(sleepers);
        // It may be the last that holds a task, and that task another sleep, whose drop needs the lock.
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let mut sleepers = self.clock.sleepers();
            let removed = sleepers.wakers.remove(&(self.tick, id));
            drop(sleepers);
            // As above.
            drop(removed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, mpsc};
    use std::task::{Context, Wake, Waker};
    use std::time::{Duration, Instant};

    use super::{CLOCK, GRID, Sleep, sleep_until};

    /// A task whose waker is all that holds it, and which holds another sleep.
    struct Holding(#[expect(dead_code, reason = "dropped with it")] Mutex<Sleep>);

    impl Wake for Holding {
        fn wake(self: Arc<Self>) {}
    }

    fn asleep(far: Instant, waker: &Waker) -> Sleep {
        let mut sleep = sleep_until(far);
        assert!(std::pin::Pin::new(&mut sleep).poll(&mut Context::from_waker(waker)).is_pending());
        sleep
    }

    #[test]
    fn a_waker_that_drops_another_sleep_does_not_lock_the_clock() {
        let (done, ends) = mpsc::channel();
        std::thread::spawn(move || {
            let far = Instant::now() + Duration::from_secs(3_600);
            let holding = || Waker::from(Arc::new(Holding(Mutex::new(asleep(far, Waker::noop())))));
            let mut sleep = asleep(far, &holding());
            // Replaced, and removed.
            let polled = std::pin::Pin::new(&mut sleep).poll(&mut Context::from_waker(&holding()));
            assert!(polled.is_pending());
            drop(sleep);
            done.send(()).unwrap();
        });
        ends.recv_timeout(Duration::from_secs(20)).expect("the clock is locked");
    }

    #[tokio::test]
    async fn sleepers_wake_in_order_and_no_earlier_than_half_a_grid_before() {
        let begun = Instant::now();
        let mut sleepers: Vec<_> = (0_u64..200)
            .map(|nth| {
                // Not in order.
                let at = begun + Duration::from_micros((nth * 7_919) % 20_000);
                async move {
                    sleep_until(at).await;
                    Instant::now() + GRID / 2 >= at
                }
            })
            .collect();
        sleepers.reverse();
        assert!(futures::future::join_all(sleepers).await.into_iter().all(|in_time| in_time));
        assert!(begun.elapsed() >= Duration::from_micros(19_000));
    }

    #[tokio::test]
    async fn a_sleep_that_is_dropped_leaves_nothing_behind() {
        let far = Instant::now() + Duration::from_secs(3_600);
        let tick = CLOCK.tick(far);
        let sleep = tokio::time::timeout(Duration::from_millis(5), sleep_until(far));
        assert!(sleep.await.is_err());
        assert!(!CLOCK.sleepers().wakers.keys().any(|(at, _)| *at == tick));
    }

    #[tokio::test]
    async fn what_is_past_is_not_waited_for() {
        let sleep = sleep_until(Instant::now() - Duration::from_millis(1));
        assert!(futures::FutureExt::now_or_never(sleep).is_some());
    }
}
