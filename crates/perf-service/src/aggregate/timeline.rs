//! One entry a second.
//!
//! Owns the seconds and when they are closed. A second's durations are kept only while samples may
//! still come for it: a histogram a second for an hour would be hundreds of megabytes.

use std::collections::BTreeMap;

use statistics::Quantiles;

use super::float;
use crate::results::Second;
use crate::samples::Phase;

const SECOND_US: i64 = 1_000_000;
/// Seconds that stay open behind the newest sample: k6 writes its samples about once a second.
const OPEN: u32 = 5;
/// Longest timeline, in seconds; a sample beyond has a broken clock.
const LONGEST: u32 = 24 * 3600;
/// Seconds that the recent rate is taken over.
const RECENT: usize = 5;

/// Seconds since the first sample of load.
#[derive(Clone, Debug, Default)]
pub(super) struct Timeline {
    base_us: Option<i64>,
    seconds: Vec<Second>,
    open: BTreeMap<u32, Quantiles>,
    measured_from: Option<u32>,
    late: u64,
}

impl Timeline {
    /// When second 0 began, in microseconds since 1970.
    pub(super) fn base_us(&self) -> i64 {
        self.base_us.unwrap_or_default()
    }

    /// Samples that came after their second was closed, or far outside of the run.
    pub(super) const fn late(&self) -> u64 {
        self.late
    }

    pub(super) fn request(&mut self, at_us: i64, duration_ms: f64, phase: Phase) {
        self.base_us.get_or_insert(at_us);
        let Some(at) = self.place(at_us) else { return };
        if phase == Phase::Measured {
            self.measured_from = Some(self.measured_from.map_or(at, |from| from.min(at)));
        }
        if let Some(second) = self.second(at) {
            second.requests += 1;
        }
        if at + OPEN < self.newest() {
            self.late += 1;
        } else {
            self.open.entry(at).or_default().record(duration_ms);
            self.close_old();
        }
    }

    pub(super) fn failed(&mut self, at_us: i64) {
        self.update(at_us, |second| second.failed += 1);
    }

    pub(super) fn tokens(&mut self, at_us: i64, tokens: u64) {
        self.update(at_us, |second| second.tokens += tokens);
    }

    pub(super) fn users(&mut self, at_us: i64, users: u64) {
        self.update(at_us, |second| second.users = users);
    }

    pub(super) fn latest_users(&self) -> u64 {
        self.seconds.iter().rev().find(|second| second.users > 0).map_or(0, |second| second.users)
    }

    /// Requests a second over the last full seconds.
    pub(super) fn recent_rps(&self) -> f64 {
        let full = self.seconds.split_last().map_or(&[][..], |(_, full)| full);
        let recent = full.iter().rev().take(RECENT);
        let count = recent.len();
        let requests: u64 = recent.map(|second| second.requests).sum();
        float(requests) / float(count.max(1) as u64)
    }

    /// All seconds, without gaps.
    pub(super) fn into_seconds(mut self) -> Vec<Second> {
        for (at, durations) in std::mem::take(&mut self.open) {
            self.close(at, &durations);
        }
        let mut users = 0;
        for (at, second) in (0..).zip(&mut self.seconds) {
            second.at = at;
            second.warm_up = self.measured_from.is_none_or(|from| at < from);
            // k6 gives the users about once a second, so that now and then a second has none.
            if second.users == 0 {
                second.users = users;
            }
            users = second.users;
        }
        self.seconds
    }

    fn update(&mut self, at_us: i64, change: impl FnOnce(&mut Second)) {
        // Before the first request there is no load to show.
        if self.base_us.is_none() {
            return;
        }
        let place = self.place(at_us);
        if let Some(second) = place.and_then(|at| self.second(at)) {
            change(second);
        }
    }

    fn place(&mut self, at_us: i64) -> Option<u32> {
        let second = at_us.saturating_sub(self.base_us()).max(0) / SECOND_US;
        let at = u32::try_from(second).ok().filter(|at| *at < LONGEST);
        if at.is_none() {
            self.late += 1;
        }
        at
    }

    fn second(&mut self, at: u32) -> Option<&mut Second> {
        let at = at as usize;
        if at >= self.seconds.len() {
            self.seconds.resize(at + 1, Second::default());
        }
        self.seconds.get_mut(at)
    }

    fn newest(&self) -> u32 {
        u32::try_from(self.seconds.len().saturating_sub(1)).unwrap_or(LONGEST)
    }

    fn close_old(&mut self) {
        let newest = self.newest();
        while let Some(oldest) = self.open.first_entry() {
            if *oldest.key() + OPEN >= newest {
                break;
            }
            let (at, durations) = oldest.remove_entry();
            self.close(at, &durations);
        }
    }

    fn close(&mut self, at: u32, durations: &Quantiles) {
        if let Some(second) = self.second(at) {
            second.p50_ms = durations.quantile(0.5);
            second.p95_ms = durations.quantile(0.95);
            second.p99_ms = durations.quantile(0.99);
        }
    }
}
