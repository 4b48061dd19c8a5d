//! The circuit of one server: after a failure it is left alone for a moment, then tried by one.
//!
//! Owns what is logged of an outage: one event when it begins and one when it ends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// After a failure, commands fail at once for this long; then one of them tries again. With it the
/// end of an outage is noticed well within a second of it.
const COOL_DOWN: Duration = Duration::from_millis(500);
/// Refused commands are logged at most this often.
const REFUSAL_EVENTS: Duration = Duration::from_secs(30);

/// The circuit of one server. Times are milliseconds since it was made, never 0.
pub(super) struct Circuit {
    server: String,
    made: Instant,
    /// Until when the server is left alone; 0 while it works.
    alone_until: AtomicU64,
    /// When the outage began.
    failed_at: AtomicU64,
    /// When a command was last answered; 0 for never.
    worked_at: AtomicU64,
    /// When a refusal was last logged; 0 for never.
    refusal_logged: AtomicU64,
}

impl Circuit {
    /// That of `server`, which is shown in events.
    pub(super) fn new(server: String) -> Self {
        Self {
            server,
            made: Instant::now(),
            alone_until: AtomicU64::new(0),
            failed_at: AtomicU64::new(0),
            worked_at: AtomicU64::new(0),
            refusal_logged: AtomicU64::new(0),
        }
    }

    pub(super) fn server(&self) -> &str {
        &self.server
    }

    pub(super) fn now(&self) -> u64 {
        1 + u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    /// Whether a command may be sent. After a cool-down exactly one may, until it has ended or the
    /// next cool-down has passed.
    pub(super) fn admits(&self) -> bool {
        let until = self.alone_until.load(Ordering::Relaxed);
        if until == 0 {
            return true;
        }
        let now = self.now();
        let next = now + milliseconds(COOL_DOWN);
        now >= until
            && self.alone_until.compare_exchange(until, next, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    pub(super) fn since(&self, earlier: u64) -> Duration {
        Duration::from_millis(self.now().saturating_sub(earlier))
    }

    /// Whether a command was answered within the last `while_ago`.
    pub(super) fn worked_within(&self, while_ago: Duration) -> bool {
        match self.worked_at.load(Ordering::Relaxed) {
            0 => false,
            at => self.since(at) < while_ago,
        }
    }

    /// A command was answered.
    pub(super) fn worked(&self) {
        self.worked_at.store(self.now(), Ordering::Relaxed);
        if self.alone_until.load(Ordering::Relaxed) != 0 && self.alone_until.swap(0, Ordering::AcqRel) != 0 {
            let outage_ms = self.now().saturating_sub(self.failed_at.load(Ordering::Relaxed));
            tracing::info!(server = self.server, outage_ms, "Redis answers again");
        }
    }

    /// A command was not answered.
    pub(super) fn failed(&self, error: &str) {
        let now = self.now();
        if self.alone_until.swap(now + milliseconds(COOL_DOWN), Ordering::AcqRel) == 0 {
            self.failed_at.store(now, Ordering::Relaxed);
            tracing::warn!(
                server = self.server,
                error,
                "Redis cannot be reached; the service goes on without it and tries again by itself"
            );
        }
    }

    /// Whether a refusal is to be logged.
    pub(super) fn refusal_is_news(&self) -> bool {
        let (now, logged) = (self.now(), self.refusal_logged.load(Ordering::Relaxed));
        (logged == 0 || now > logged + milliseconds(REFUSAL_EVENTS))
            && self.refusal_logged.compare_exchange(logged, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{COOL_DOWN, Circuit};

    #[test]
    fn after_a_failure_one_at_a_time_tries_until_it_works() {
        let circuit = Circuit::new("127.0.0.1:6379".to_owned());
        assert!(circuit.admits() && circuit.admits());
        circuit.failed("refused");
        assert!(!circuit.admits());
        std::thread::sleep(COOL_DOWN + Duration::from_millis(5));
        assert!(circuit.admits());
        assert!(!circuit.admits(), "one is trying already");
        circuit.failed("refused again");
        assert!(!circuit.admits());
        std::thread::sleep(COOL_DOWN + Duration::from_millis(5));
        assert!(circuit.admits());
        circuit.worked();
        assert!(circuit.admits() && circuit.admits());
    }

    #[test]
    fn one_that_tried_and_never_came_back_is_followed_by_the_next() {
        let circuit = Circuit::new(String::new());
        circuit.failed("refused");
        for _ in 0..2 {
            std::thread::sleep(COOL_DOWN + Duration::from_millis(5));
            assert!(circuit.admits());
        }
    }
}
