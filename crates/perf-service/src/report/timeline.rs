//! A run's seconds as the columns that the charts draw, few enough for a screen.
//!
//! Owns what becomes of many seconds in one point. Must not know how a chart looks.

use serde::Serialize;

use crate::results::Second;

/// A chart of more points than this is no clearer, only larger.
const MOST_POINTS: usize = 600;

/// Columns of equal length, one entry a point. Percentiles are absent where nothing was asked.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Chart {
    /// Seconds that a point stands for.
    step: usize,
    /// Seconds since the start at which each point begins.
    at: Vec<u32>,
    /// How many seconds it really covers.
    span: Vec<usize>,
    warm_up: Vec<bool>,
    /// A second, on average over the point.
    requests: Vec<f64>,
    failed: Vec<f64>,
    tokens: Vec<f64>,
    /// The most at once.
    users: Vec<u64>,
    /// Mean of the seconds' medians, weighted by their requests.
    p50: Vec<Option<f64>>,
    /// The worst second.
    p95: Vec<Option<f64>>,
    p99: Vec<Option<f64>>,
}

impl Chart {
    /// The chart of `seconds`. Warm-up and measured load never share a point.
    pub(super) fn of(seconds: &[Second]) -> Self {
        let step = seconds.len().div_ceil(MOST_POINTS).max(1);
        let mut chart = Self { step, ..Self::default() };
        for phase in seconds.chunk_by(|one, next| one.warm_up == next.warm_up) {
            for point in phase.chunks(step) {
                chart.push(point);
            }
        }
        chart
    }

    fn push(&mut self, point: &[Second]) {
        let Some(first) = point.first() else { return };
        let mean =
            |of: fn(&Second) -> u64| rounded(point.iter().map(of).sum::<u64>() as f64 / point.len() as f64);
        let asked = || point.iter().filter(|second| second.requests > 0);
        let worst = |of: fn(&Second) -> f64| {
            asked().map(of).filter(|ms| ms.is_finite()).reduce(f64::max).map(rounded)
        };
        self.at.push(first.at);
        self.span.push(point.len());
        self.warm_up.push(first.warm_up);
        self.requests.push(mean(|second| second.requests));
        self.failed.push(mean(|second| second.failed));
        self.tokens.push(mean(|second| second.tokens));
        self.users.push(point.iter().map(|second| second.users).max().unwrap_or(0));
        let (sum, weight) =
            asked().filter(|second| second.p50_ms.is_finite()).fold((0.0, 0.0), |(sum, weight), second| {
                (sum + second.p50_ms * second.requests as f64, weight + second.requests as f64)
            });
        self.p50.push((weight > 0.0).then(|| rounded(sum / weight)));
        self.p95.push(worst(|second| second.p95_ms));
        self.p99.push(worst(|second| second.p99_ms));
    }
}

/// Three decimals: a microsecond, which is finer than k6 measures and halves the file.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(at: u32) -> Second {
        Second {
            at,
            warm_up: at < 5,
            requests: 10,
            failed: 1,
            users: 2,
            p50_ms: 4.0,
            p95_ms: 9.0,
            p99_ms: 12.0,
            tokens: 30,
        }
    }

    #[test]
    fn a_short_run_keeps_every_second() {
        let chart = Chart::of(&(0..18).map(second).collect::<Vec<_>>());
        assert_eq!((chart.step, chart.at.len()), (1, 18));
        assert_eq!(chart.warm_up.iter().filter(|warm_up| **warm_up).count(), 5);
    }

    #[test]
    fn a_long_run_is_thinned_and_warm_up_stays_apart() {
        let mut seconds: Vec<Second> = (0..3600).map(second).collect();
        seconds[100].p99_ms = 5000.0;
        let chart = Chart::of(&seconds);
        assert_eq!(chart.step, 6);
        assert!(chart.at.len() <= MOST_POINTS + 1);
        assert_eq!(chart.span.iter().sum::<usize>(), 3600);
        assert_eq!((chart.span[0], chart.warm_up[0], chart.at[1], chart.warm_up[1]), (5, true, 5, false));
        assert!(chart.requests.iter().all(|rate| *rate == 10.0), "rates stay rates");
        assert!(chart.p99.contains(&Some(5000.0)), "the worst second must not be averaged away");
    }

    #[test]
    fn a_second_without_requests_has_no_percentiles() {
        let chart = Chart::of(&[Second { users: 1, ..Second::default() }]);
        assert_eq!((chart.p50[0], chart.p95[0], chart.p99[0]), (None, None, None));
        assert_eq!(Chart::of(&[]), Chart { step: 1, ..Chart::default() });
    }

    #[test]
    fn what_is_no_number_is_left_out() {
        let broken = Second { p50_ms: f64::NAN, p95_ms: f64::INFINITY, ..second(9) };
        let chart = Chart::of(&[broken]);
        assert_eq!((chart.p50[0], chart.p95[0], chart.p99[0]), (None, None, Some(12.0)));
    }
}
