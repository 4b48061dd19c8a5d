//! How long requests took: percentiles, and how many took how long.
//!
//! Owns the intervals of the histogram. Must not know which requests are counted where.

use statistics::Quantiles;

use super::rounded_ms;
use crate::results::{Histogram, Latency, RequestKind};

/// Intervals a decade, the finest first: each bound is a power of ten to a whole part of these.
const A_DECADE: [u32; 5] = [100, 50, 25, 10, 5];
/// More intervals are no clearer.
const MOST_INTERVALS: i32 = 60;
/// The finest step of a duration, in milliseconds; no logarithm goes below.
const FINEST_MS: f64 = 0.001;

/// Durations of the measured phase.
#[derive(Clone, Debug, Default)]
pub(super) struct Durations {
    without_llm: Quantiles,
    with_llm: Quantiles,
}

impl Durations {
    pub(super) fn record(&mut self, duration_ms: f64, llm: bool) {
        let kind = if llm { &mut self.with_llm } else { &mut self.without_llm };
        kind.record(duration_ms);
    }

    pub(super) fn count(&self) -> u64 {
        self.without_llm.count() + self.with_llm.count()
    }

    /// All of them together.
    pub(super) fn all(&self) -> Quantiles {
        let mut all = self.without_llm.clone();
        all.merge(&self.with_llm);
        all
    }

    /// Those of one kind, where there are some of both.
    pub(super) fn of_kind(&self, kind: RequestKind) -> Option<&Quantiles> {
        let both = self.without_llm.count() > 0 && self.with_llm.count() > 0;
        match kind {
            RequestKind::WithoutLlm if both => Some(&self.without_llm),
            RequestKind::WithLlm if both => Some(&self.with_llm),
            _ => None,
        }
    }

    /// One entry, or three where there are requests of both kinds.
    pub(super) fn rows(&self) -> Vec<Latency> {
        let mut rows = vec![row(RequestKind::All, &self.all())];
        if self.without_llm.count() > 0 && self.with_llm.count() > 0 {
            rows.push(row(RequestKind::WithoutLlm, &self.without_llm));
            rows.push(row(RequestKind::WithLlm, &self.with_llm));
        }
        rows.retain(|row| row.requests > 0);
        rows
    }

    pub(super) fn histogram(&self) -> Histogram {
        let all = self.all();
        if all.count() == 0 {
            return Histogram::default();
        }
        let bounds_ms = bounds(all.min(), all.max());
        Histogram {
            without_llm: self.without_llm.counts_between(&bounds_ms),
            with_llm: self.with_llm.counts_between(&bounds_ms),
            bounds_ms,
        }
    }
}

fn row(of: RequestKind, durations: &Quantiles) -> Latency {
    Latency {
        of,
        requests: durations.count(),
        min_ms: durations.min(),
        mean_ms: rounded_ms(durations.mean()),
        p50_ms: durations.quantile(0.5),
        p75_ms: durations.quantile(0.75),
        p90_ms: durations.quantile(0.9),
        p95_ms: durations.quantile(0.95),
        p99_ms: durations.quantile(0.99),
        p999_ms: durations.quantile(0.999),
        max_ms: durations.max(),
    }
}

/// The finest bounds around these durations that are not too many.
fn bounds(least_ms: f64, most_ms: f64) -> Vec<f64> {
    let least = least_ms.max(FINEST_MS).log10();
    let most = most_ms.max(FINEST_MS).log10();
    let mut bounds = Vec::new();
    for steps in A_DECADE.map(f64::from) {
        let first = whole((least * steps).floor());
        let end = whole((most * steps).floor()) + 1;
        bounds = (first..=end).map(|at| significant(10_f64.powf(f64::from(at) / steps))).collect();
        if end - first <= MOST_INTERVALS {
            break;
        }
    }
    bounds
}

/// Five digits: finer than a pixel, and a short text.
fn significant(value: f64) -> f64 {
    let scale = 10_f64.powf(4.0 - value.log10().floor());
    (value * scale).round() / scale
}

#[expect(clippy::cast_possible_truncation, reason = "logarithms of durations are small")]
fn whole(value: f64) -> i32 {
    value as i32
}

#[cfg(test)]
mod tests {
    use super::{Durations, MOST_INTERVALS, bounds};

    #[test]
    fn bounds_hold_everything_and_are_few() {
        for (least, most) in
            [(0.0, 0.0), (0.001, 60_000.0), (2.0, 2.0), (1.9, 2.1), (0.3, 1e12), (99.9, 100.0)]
        {
            let bounds = bounds(least, most);
            let intervals = bounds.len() - 1;
            assert!(
                intervals >= 1 && intervals <= MOST_INTERVALS as usize + 20,
                "{least} to {most}: {intervals}"
            );
            assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]), "{bounds:?}");
            assert!(bounds[0] <= least.max(0.001) * 1.0001 && *bounds.last().unwrap() >= most, "{bounds:?}");
        }
    }

    #[test]
    fn every_request_is_in_the_histogram_once() {
        let mut durations = Durations::default();
        for i in 0..10_000_u32 {
            durations.record(f64::from(i) * 0.37, i % 5 == 0);
        }
        durations.record(0.0, false);
        let histogram = durations.histogram();
        let sum = |counts: &[u64]| counts.iter().sum::<u64>();
        assert_eq!((sum(&histogram.without_llm), sum(&histogram.with_llm)), (8_001, 2_000));
        assert_eq!(histogram.bounds_ms.len(), histogram.with_llm.len() + 1);
        assert_eq!(durations.rows().len(), 3);
        assert_eq!(durations.rows()[0].requests, 10_001);
        assert!(Durations::default().rows().is_empty());
        assert!(Durations::default().histogram().bounds_ms.is_empty());
    }
}
