//! The signed-rank test of paired differences, its interval and its estimate (Wilcoxon 1945; Hodges and
//! Lehmann 1963), exact for any number of pairs.
//!
//! It asks nothing of the shape of the noise. Where a fair coin decided in each pair which of the two came
//! first, every difference could as well have had the other sign; so the level holds whatever drifts and
//! however far single values lie out (a randomization test: Fisher, The Design of Experiments, section 21;
//! Lehmann, Nonparametrics, section 3.2).

use std::sync::OnceLock;

/// Most pairs that are looked at: the distribution has n(n+1)/2 steps.
pub const MOST_PAIRS: usize = 200;

/// Each distribution is worked out once: a comparison asks for the same ones many times.
static TABLES: [OnceLock<SignedRanks>; MOST_PAIRS + 1] = [const { OnceLock::new() }; MOST_PAIRS + 1];

/// How the statistic is distributed for one number of pairs when there is no difference.
#[derive(Clone, Debug)]
pub struct SignedRanks {
    pairs: usize,
    /// At `t` the chance of a sum of ranks of at most `t`.
    cumulative: Vec<f64>,
}

/// By how much the second of each pair is larger.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    /// The Hodges–Lehmann estimate: the median of the means of all pairs of differences.
    pub estimate: f64,
    /// The chance of differences at least as one-sided, were there none; two-sided, 0 to 1.
    pub p: f64,
    /// The interval at the level asked for; absent where so few pairs cannot reach it.
    pub interval: Option<(f64, f64)>,
}

impl SignedRanks {
    /// That of this many pairs. Nothing for none, or more than [`MOST_PAIRS`].
    #[must_use]
    pub fn of(pairs: usize) -> Option<&'static Self> {
        let table = TABLES.get(pairs).filter(|_| pairs > 0)?;
        Some(table.get_or_init(|| Self::worked_out(pairs)))
    }

    fn worked_out(pairs: usize) -> Self {
        // Each rank is in the sum or is not, by a fair coin.
        let mut chances = vec![1.0_f64];
        for rank in 1..=pairs {
            let without = chances.iter().copied().chain(std::iter::repeat_n(0.0, rank));
            let with = std::iter::repeat_n(0.0, rank).chain(chances.iter().copied());
            chances = without.zip(with).map(|(a, b)| f64::midpoint(a, b)).collect();
        }
        let mut sum = 0.0;
        for chance in &mut chances {
            sum += *chance;
            *chance = sum;
        }
        Self { pairs, cumulative: chances }
    }

    /// The shift of these differences, with its interval at this level (0.95 for 95 %). Nothing where
    /// they are not as many as this is for, or not all finite.
    ///
    /// Equal and zero differences count against a finding, in both directions; so the level holds for
    /// them too. The interval leaves zero out exactly when `p` is under one minus the level.
    #[must_use]
    pub fn shift(&self, differences: &[f64], level: f64) -> Option<Shift> {
        if differences.len() != self.pairs || !differences.iter().all(|value| value.is_finite()) {
            return None;
        }
        let means = walsh(differences);
        let not_above = means.partition_point(|mean| *mean <= 0.0);
        let not_below = means.len() - means.partition_point(|mean| *mean < 0.0);
        let p = (2.0 * self.at_most(not_above.min(not_below))).min(1.0);
        // The largest count of means beyond an end that is still too rare, and one more.
        let beyond = (1.0 - level.clamp(0.0, 1.0)) / 2.0;
        let rare = self.cumulative.partition_point(|chance| *chance < beyond);
        let interval = rare.checked_sub(1).and_then(|inner| {
            let low = means.get(inner)?;
            let high = means.get(means.len().checked_sub(inner + 1)?)?;
            (low <= high).then_some((*low, *high))
        });
        let middle = means.len() / 2;
        let upper = *means.get(middle)?;
        let estimate = if means.len().is_multiple_of(2) {
            f64::midpoint(*means.get(middle.checked_sub(1)?)?, upper)
        } else {
            upper
        };
        Some(Shift { estimate, p, interval })
    }

    /// Whether this many pairs can give an interval at this level at all.
    #[must_use]
    pub fn reaches(&self, level: f64) -> bool {
        self.at_most(0) < (1.0 - level.clamp(0.0, 1.0)) / 2.0
    }

    fn at_most(&self, sum: usize) -> f64 {
        self.cumulative.get(sum).copied().unwrap_or(1.0)
    }
}

/// The mean of each difference with itself and each other one, sorted.
fn walsh(differences: &[f64]) -> Vec<f64> {
    let rest = (0..differences.len()).map(|from| differences.get(from..).unwrap_or_default());
    let mut means: Vec<f64> = differences
        .iter()
        .zip(rest)
        .flat_map(|(one, rest)| rest.iter().map(move |other| f64::midpoint(*one, *other)))
        .collect();
    means.sort_unstable_by(f64::total_cmp);
    means
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};

    use super::{MOST_PAIRS, SignedRanks};

    /// Every assignment of signs to distinct differences, counted.
    fn by_enumeration(differences: &[f64]) -> f64 {
        let n = differences.len();
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|a, b| differences[*a].abs().total_cmp(&differences[*b].abs()));
        let signs = order.iter().enumerate().filter(|(_, index)| differences[**index] > 0.0);
        let observed: usize = signs.map(|(rank, _)| rank + 1).sum();
        let total = n * (n + 1) / 2;
        let tail = observed.min(total - observed);
        let rare = (0..1_u32 << n)
            .filter(|signs| {
                let sum: usize = (0..n).filter(|bit| signs & (1 << bit) != 0).map(|bit| bit + 1).sum();
                sum <= tail
            })
            .count();
        (2.0 * rare as f64 / f64::from(1_u32 << n)).min(1.0)
    }

    #[test]
    #[expect(clippy::approx_constant, reason = "a measurement")]
    fn the_textbook_example() {
        // Hollander and Wolfe, Nonparametric Statistical Methods, table 3.1: p = 0.0391, estimate 0.46.
        let before = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30];
        let after = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29];
        let differences: Vec<f64> = before.iter().zip(after).map(|(a, b)| a - b).collect();
        let shift = SignedRanks::of(9).unwrap().shift(&differences, 0.95).unwrap();
        assert!((shift.p - 0.039_062_5).abs() < 1e-12, "{shift:?}");
        assert!((shift.estimate - 0.46).abs() < 1e-9, "{shift:?}");
        let (low, high) = shift.interval.unwrap();
        assert!((low - 0.010).abs() < 1e-9 && (high - 0.786).abs() < 1e-9, "{shift:?}");
    }

    #[test]
    fn few_pairs_reach_no_level_and_none_or_too_many_no_distribution() {
        let five = SignedRanks::of(5).unwrap();
        let shift = five.shift(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.95).unwrap();
        assert_eq!((shift.p.to_bits(), shift.interval), ((2.0_f64 / 32.0).to_bits(), None));
        assert!(!five.reaches(0.95) && SignedRanks::of(6).unwrap().reaches(0.95));
        assert!(SignedRanks::of(0).is_none() && SignedRanks::of(MOST_PAIRS + 1).is_none());
        assert!((SignedRanks::of(MOST_PAIRS).unwrap().at_most(usize::MAX) - 1.0).abs() < 1e-9);
        assert!(five.shift(&[1.0; 4], 0.95).is_none() && five.shift(&[f64::NAN; 5], 0.95).is_none());
    }

    #[test]
    fn no_difference_at_all_is_none() {
        let shift = SignedRanks::of(12).unwrap().shift(&[0.0; 12], 0.95).unwrap();
        assert_eq!((shift.estimate, shift.p, shift.interval), (0.0, 1.0, Some((0.0, 0.0))));
    }

    proptest! {
        #[test]
        fn it_is_the_enumeration_of_all_signs(signs in prop::collection::vec(any::<bool>(), 1..13)) {
            // Distinct magnitudes whose order is not that of their places.
            let n = signs.len();
            let differences: Vec<f64> = signs.iter().enumerate()
                .map(|(at, up)| ((at * 5 + 3) % 13 + 1) as f64 * if *up { 1.0 } else { -1.0 })
                .collect();
            let ranks = SignedRanks::of(n).unwrap();
            let shift = ranks.shift(&differences, 0.95).unwrap();
            let wanted = by_enumeration(&differences);
            assert!((shift.p - wanted).abs() < 1e-12, "{} instead of {wanted}", shift.p);
        }

        #[test]
        fn interval_and_p_agree_and_hold_the_estimate(differences in prop::collection::vec(-1.0_f64..1.5, 6..30)) {
            let ranks = SignedRanks::of(differences.len()).unwrap();
            let shift = ranks.shift(&differences, 0.95).unwrap();
            let (low, high) = shift.interval.unwrap();
            assert!(low <= shift.estimate && shift.estimate <= high);
            assert_eq!(low > 0.0 || high < 0.0, shift.p < 0.05, "{shift:?}");
            let moved: Vec<f64> = differences.iter().map(|value| value + 0.25).collect();
            let moved = ranks.shift(&moved, 0.95).unwrap();
            assert!((moved.estimate - shift.estimate - 0.25).abs() < 1e-9);
        }
    }
}
