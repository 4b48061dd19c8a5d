//! Rules in force: since when, and what became of each.
//!
//! The only part of faults with a clock, and only for its beginning.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use super::{Fault, Faults};
use crate::call::Call;

/// Rules in force.
#[derive(Debug)]
pub struct InForce {
    faults: Faults,
    since: SystemTime,
    started: Instant,
    counts: Vec<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    matched: AtomicU64,
    applied: AtomicU64,
}

/// What became of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Requests that it is about and that no rule before it was applied to.
    pub matched: u64,
    /// Those of them to which it was applied.
    pub applied: u64,
}

impl InForce {
    /// Puts rules in force, from now on.
    #[must_use]
    pub fn now(faults: Faults) -> Self {
        let counts = faults.rules().iter().map(|_| Counts::default()).collect();
        Self { faults, since: SystemTime::now(), started: Instant::now(), counts }
    }

    /// The rules.
    #[must_use]
    pub const fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Since when.
    #[must_use]
    pub const fn since(&self) -> SystemTime {
        self.since
    }

    /// For how long, by now.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// What became of each rule, in their order.
    pub fn counted(&self) -> impl Iterator<Item = Counted> {
        self.counts.iter().map(|counts| Counted {
            matched: counts.matched.load(Ordering::Relaxed),
            applied: counts.applied.load(Ordering::Relaxed),
        })
    }

    /// What is to go wrong with a call after so much time, by the draws of the rules.
    pub fn pick(&self, call: &Call, elapsed: Duration, draw: impl FnMut(u16) -> f64) -> Option<Fault> {
        let count = |rule: usize, which: fn(&Counts) -> &AtomicU64| {
            if let Some(counts) = self.counts.get(rule) {
                which(counts).fetch_add(1, Ordering::Relaxed);
            }
        };
        let (rule, fault) =
            self.faults.pick(call, elapsed, draw, |rule| count(rule, |counts| &counts.matched))?;
        count(rule, |counts| &counts.applied);
        Some(fault.clone())
    }
}
