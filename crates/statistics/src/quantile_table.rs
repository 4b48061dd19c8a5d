//! A distribution as a table of quantiles, between which one interpolates: any shape in a few
//! hundred numbers, drawn from by one look-up.

use statrs::function::erf::erf_inv;

use crate::LogNormal;

/// Most knots of a table.
pub const MOST_KNOTS: usize = 4_096;
/// Knots are no further apart than this share.
const WIDEST: f64 = 0.004;
/// Towards its ends the table is denser: the next knot lies this much of the way to the end.
const TAIL: f64 = 0.1;
/// A value as frequent as this, and more frequent than the rarest, is a value of its own: nothing is
/// interpolated across it.
const FREQUENT: f64 = 0.002;
/// So few values are each of their own.
const FEW: usize = 20;
/// The share of a log-normal distribution that a table leaves out on either side.
const LEFT_OUT: f64 = 1e-6;

/// A distribution by its quantiles: shares from 0 to 1 and the values that belong to them, both
/// never falling. Two knots of one share are a jump, two of one value a value that repeats.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantileTable {
    knots: Vec<(f64, f64)>,
}

/// Why knots make no table.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TableError {
    /// There are none, or far too many.
    #[error("it has {0} knots; 1 to {MOST_KNOTS} make a table")]
    Size(usize),
    /// A share or value is no number.
    #[error("knot {0} is not finite")]
    NotFinite(usize),
    /// It does not begin at 0 and end at 1.
    #[error("its shares go from {0} to {1}, not from 0 to 1")]
    Ends(f64, f64),
    /// A share or value is smaller than the one before.
    #[error("knot {0} is smaller than the one before")]
    Falls(usize),
}

impl TableError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Size(_) => "size",
            Self::NotFinite(_) => "not_finite",
            Self::Ends(..) => "ends",
            Self::Falls(_) => "falls",
        }
    }
}

impl QuantileTable {
    /// A table of these knots, each a share and its value.
    ///
    /// # Errors
    /// When they make none.
    pub fn new(knots: Vec<(f64, f64)>) -> Result<Self, TableError> {
        let (Some(first), Some(last), true) = (knots.first(), knots.last(), knots.len() <= MOST_KNOTS) else {
            return Err(TableError::Size(knots.len()));
        };
        if let Some(at) = knots.iter().position(|(share, value)| !share.is_finite() || !value.is_finite()) {
            return Err(TableError::NotFinite(at));
        }
        if first.0 != 0.0 || last.0 != 1.0 {
            return Err(TableError::Ends(first.0, last.0));
        }
        let falls = |pair: &[(f64, f64)]| matches!(pair, [a, b] if b.0 < a.0 || b.1 < a.1);
        match knots.windows(2).position(falls) {
            Some(at) => Err(TableError::Falls(at + 1)),
            None => Ok(Self { knots }),
        }
    }

    /// Always this value; 0 where it is not finite.
    #[must_use]
    pub fn constant(value: f64) -> Self {
        let value = if value.is_finite() { value } else { 0.0 };
        Self { knots: vec![(0.0, value), (1.0, value)] }
    }

    /// The distribution of a sample. Nothing where it is empty or holds something not finite.
    #[must_use]
    pub fn of_sample(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let mut under = 0_usize;
        let steps: Vec<(f64, f64)> = sorted
            .chunk_by(|a, b| a == b)
            .filter_map(|equal| {
                under += equal.len();
                #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
                let share = under as f64 / sorted.len() as f64;
                equal.first().map(|value| (*value, share))
            })
            .collect();
        Self::of_steps(&steps)
    }

    /// The distribution with these rising values, each with the share at or under it, the last one 1.
    /// Nothing where there are none, or one is not finite.
    ///
    /// A frequent value keeps exactly its share. Between rarer ones is interpolated, each standing
    /// in the middle of its share (Hazen 1914), and only as many are kept as it takes: one for
    /// every 0.4 % in the middle, and towards both ends one for every tenth of what is left.
    #[must_use]
    pub fn of_steps(steps: &[(f64, f64)]) -> Option<Self> {
        let (smallest, largest) = (steps.first()?.0, steps.last()?.0);
        if steps.iter().any(|(value, share)| !value.is_finite() || !share.is_finite()) {
            return None;
        }
        let narrowest = narrowest(steps);
        let mut knots = vec![(0.0, smallest)];
        let (mut under, mut next) = (0.0, 0.0);
        for &(value, share) in steps {
            let middle = f64::midpoint(under, share);
            let width = share - under;
            if width >= FREQUENT && (width > narrowest * 1.5 || steps.len() <= FEW) {
                knots.extend([(under, value), (share, value)]);
                next = after(share);
            } else if middle >= next {
                knots.push((middle, value));
                next = after(middle);
            }
            under = share;
        }
        knots.push((1.0, largest));
        knots.dedup();
        // Thinning keeps the order; a step that falls is the caller's mistake.
        Self::new(knots).ok()
    }

    /// A log-normal distribution, but for the outermost millionth on either side.
    #[must_use]
    pub fn log_normal(distribution: &LogNormal) -> Self {
        let value = |share: f64| {
            let share = share.clamp(LEFT_OUT, 1.0 - LEFT_OUT);
            // The normal quantile by the inverse error function (Abramowitz and Stegun 26.2.29).
            distribution.value_at(std::f64::consts::SQRT_2 * erf_inv(2.0 * share - 1.0)).min(f64::MAX)
        };
        let inner = std::iter::successors(Some(LEFT_OUT), |share| Some(after(*share)))
            .take_while(|share| *share < 1.0 - LEFT_OUT);
        let shares = std::iter::once(0.0).chain(inner).chain([1.0]);
        Self { knots: shares.map(|share| (share, value(share))).collect() }
    }

    /// The value that belongs to a share from 0 to 1: a uniform draw becomes one from the table.
    #[must_use]
    pub fn value_at(&self, share: f64) -> f64 {
        let above = self.knots.partition_point(|(knot, _)| *knot <= share);
        let before = above.checked_sub(1).and_then(|index| self.knots.get(index));
        match (before, self.knots.get(above)) {
            // The upper share is larger than the given one, and that not smaller than the lower.
            (Some((low, from)), Some((high, to))) => from + (to - from) * (share - low) / (high - low),
            (Some((_, value)), None) | (None, Some((_, value))) => *value,
            (None, None) => 0.0,
        }
    }

    /// The mean.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.knots
            .windows(2)
            .map(|pair| match pair {
                [(low, from), (high, to)] => (high - low) * (from / 2.0 + to / 2.0),
                _ => 0.0,
            })
            .sum()
    }

    /// The knots: shares and their values.
    #[must_use]
    pub fn knots(&self) -> &[(f64, f64)] {
        &self.knots
    }

    /// The table of what a function that never falls makes of shares and values.
    ///
    /// # Errors
    /// When what comes out is no table.
    pub fn map(&self, function: impl Fn((f64, f64)) -> (f64, f64)) -> Result<Self, TableError> {
        Self::new(self.knots.iter().map(|knot| function(*knot)).collect())
    }
}

/// Where the next knot is wanted.
fn after(share: f64) -> f64 {
    share + (share.min(1.0 - share) * TAIL).clamp(LEFT_OUT, WIDEST)
}

/// The width of the narrowest step.
fn narrowest(steps: &[(f64, f64)]) -> f64 {
    let before = std::iter::once(0.0).chain(steps.iter().map(|(_, share)| *share));
    steps.iter().zip(before).map(|((_, share), before)| share - before).fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{QuantileTable, TableError};
    use crate::LogNormal;

    #[test]
    fn knots_that_make_no_table_are_refused() {
        let of = |knots: &[(f64, f64)]| QuantileTable::new(knots.to_vec()).unwrap_err();
        assert_eq!(of(&[]), TableError::Size(0));
        assert_eq!(of(&vec![(0.5, 1.0); 5_000]), TableError::Size(5_000));
        assert_eq!(of(&[(0.0, 1.0), (1.0, f64::NAN)]).kind(), "not_finite");
        assert_eq!(of(&[(0.0, 1.0), (0.5, f64::INFINITY), (1.0, 2.0)]), TableError::NotFinite(1));
        assert_eq!(of(&[(0.1, 1.0), (1.0, 2.0)]), TableError::Ends(0.1, 1.0));
        assert_eq!(of(&[(0.0, 1.0)]), TableError::Ends(0.0, 0.0));
        assert_eq!(of(&[(0.0, 1.0), (0.5, 2.0), (0.4, 3.0), (1.0, 4.0)]), TableError::Falls(2));
        assert_eq!(of(&[(0.0, 1.0), (0.5, 2.0), (1.0, 1.5)]), TableError::Falls(2));
    }

    #[test]
    fn it_interpolates_jumps_and_ends() {
        let table = QuantileTable::new(vec![(0.0, 1.0), (0.5, 2.0), (0.5, 4.0), (1.0, 8.0)]).unwrap();
        let got = [-1.0, 0.0, 0.25, 0.499, 0.5, 0.75, 1.0, 2.0].map(|share| table.value_at(share));
        assert_eq!(got, [1.0, 1.0, 1.5, 1.998, 4.0, 6.0, 8.0, 8.0]);
        assert!((table.mean() - (0.75 + 3.0)).abs() < 1e-12);
        assert_eq!(QuantileTable::constant(3.0).value_at(0.3).to_bits(), 3.0_f64.to_bits());
    }

    #[test]
    fn values_that_repeat_keep_exactly_their_share() {
        let sample: Vec<f64> = (0..1_000).map(|i| if i < 300 { 7.0 } else { 12.0 }).collect();
        let table = QuantileTable::of_sample(&sample).unwrap();
        let got = [0.0, 0.299, 0.301, 1.0].map(|share| table.value_at(share));
        assert_eq!(got, [7.0, 7.0, 12.0, 12.0]);
        // Half of it always zero, half of it spread.
        let mixed: Vec<f64> = (0..2_000).map(|i| f64::from((i - 1_000).max(0))).collect();
        let table = QuantileTable::of_sample(&mixed).unwrap();
        assert_eq!(table.value_at(0.5).to_bits(), 0.0_f64.to_bits());
        assert!((table.value_at(0.75) - 500.0).abs() < 2.0);
        assert!(QuantileTable::of_sample(&[]).is_none() && QuantileTable::of_sample(&[f64::NAN]).is_none());
        assert_eq!(QuantileTable::of_sample(&[2.5]).unwrap().value_at(0.9).to_bits(), 2.5_f64.to_bits());
    }

    #[test]
    fn a_few_hundred_knots_hold_a_large_sample_tails_included() {
        // Pareto with exponent 1.2, at 100,000 evenly spaced shares.
        let n = 100_000;
        let quantile = |share: f64| (1.0 - share).powf(-1.0 / 1.2);
        let sample: Vec<f64> = (0..n).map(|i| quantile((f64::from(i) + 0.5) / f64::from(n))).collect();
        let table = QuantileTable::of_sample(&sample).unwrap();
        assert!((200..600).contains(&table.knots().len()), "{}", table.knots().len());
        for share in [0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999] {
            let (got, truth) = (table.value_at(share), quantile(share));
            assert!((got / truth - 1.0).abs() < 0.01, "{share}: {got} {truth}");
        }
    }

    #[test]
    fn a_log_normal_table_has_its_quantiles() {
        let table = QuantileTable::log_normal(&LogNormal::from_median_and_p95(120.0, 480.0).unwrap());
        for (share, truth) in [(0.5, 120.0), (0.95, 480.0), (0.05, 30.0)] {
            assert!((table.value_at(share) / truth - 1.0).abs() < 1e-3, "{share}: {}", table.value_at(share));
        }
        // exp(μ + σ²/2).
        let sigma = 4.0_f64.ln() / 1.644_853_627;
        assert!(
            (table.mean() / (120.0 * (sigma * sigma / 2.0).exp()) - 1.0).abs() < 3e-3,
            "{}",
            table.mean()
        );
        let endless = QuantileTable::log_normal(&LogNormal::from_median_and_p95(1e300, 1e305).unwrap());
        assert!(QuantileTable::new(endless.knots().to_vec()).is_ok());
    }

    proptest! {
        #[test]
        fn any_sample_makes_a_sound_table_within_its_range(
            sample in prop::collection::vec(prop_oneof![-1e6..1e6, Just(0.0), Just(5.0)], 1..400),
            share in 0.0..1.0,
        ) {
            let table = QuantileTable::of_sample(&sample).unwrap();
            prop_assert!(QuantileTable::new(table.knots().to_vec()).is_ok());
            let value = table.value_at(share);
            let (least, most) = sample.iter().fold((f64::MAX, f64::MIN), |(a, b), x| (a.min(*x), b.max(*x)));
            prop_assert!((least..=most).contains(&value));
        }
    }
}
