//! A quantile sketch of bounded size and bounded relative error over non-negative values.
//!
//! An HDR histogram with three significant digits: a quantile is within 0.1 % of a recorded value.
//! It grows with the range seen, not with the number of values.

use hdrhistogram::Histogram;

/// How many steps one unit of a recorded value is divided into.
const STEPS_PER_UNIT: f64 = 1_000.0;
/// Significant decimal digits kept.
const DIGITS: u8 = 3;
/// The largest value kept as it is; larger ones count as this one.
const LARGEST: u64 = 1 << 52;

/// Counts of values, from which any quantile can be read.
#[derive(Clone, Debug)]
pub struct Quantiles {
    /// `None` until the first value: an empty sketch costs nothing.
    counts: Option<Histogram<u64>>,
    sum: f64,
}

impl Default for Quantiles {
    fn default() -> Self {
        Self::new()
    }
}

impl Quantiles {
    /// An empty sketch.
    #[must_use]
    pub const fn new() -> Self {
        Self { counts: None, sum: 0.0 }
    }

    /// Adds a value. Negative values and NaN count as zero; a thousandth of a unit is the finest step.
    pub fn record(&mut self, value: f64) {
        let value = if value.is_finite() { value.max(0.0) } else { 0.0 };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float-to-int cast saturates, and the value is not negative"
        )]
        let steps = ((value * STEPS_PER_UNIT).round() as u64).min(LARGEST);
        if self.counts.is_none() {
            self.counts = Histogram::new(DIGITS).ok();
        }
        if let Some(counts) = &mut self.counts {
            // Grows on demand up to LARGEST, so recording cannot fail for range.
            let _ = counts.record(steps);
            self.sum += value;
        }
    }

    /// Adds all values of another sketch.
    pub fn merge(&mut self, other: &Self) {
        let Some(theirs) = &other.counts else { return };
        match &mut self.counts {
            Some(ours) => {
                // Both grow on demand, so the addition cannot fail for range.
                let _ = ours.add(theirs);
            }
            None => self.counts = Some(theirs.clone()),
        }
        self.sum += other.sum;
    }

    /// How many values were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.as_ref().map_or(0, Histogram::len)
    }

    /// The value at or under which a share `q` (0 to 1) of all values lies; 0 when empty.
    #[must_use]
    pub fn quantile(&self, q: f64) -> f64 {
        self.counts.as_ref().map_or(0.0, |counts| to_value(counts.value_at_quantile(q)))
    }

    /// The smallest value; 0 when empty.
    #[must_use]
    pub fn min(&self) -> f64 {
        self.counts.as_ref().map_or(0.0, |counts| to_value(counts.min()))
    }

    /// The largest value; 0 when empty.
    #[must_use]
    pub fn max(&self) -> f64 {
        self.counts.as_ref().map_or(0.0, |counts| to_value(counts.max()))
    }

    /// How many values lie from each bound up to, not including, the next. `bounds` ascend; what lies
    /// outside of them counts in the first or last interval, so that the counts add up to all values.
    #[must_use]
    pub fn counts_between(&self, bounds: &[f64]) -> Vec<u64> {
        let mut intervals = vec![0; bounds.len().saturating_sub(1)];
        let Some(last) = intervals.len().checked_sub(1) else { return intervals };
        for step in self.counts.iter().flat_map(Histogram::iter_recorded) {
            let value = to_value(step.value_iterated_to());
            let interval = bounds.partition_point(|bound| *bound <= value).saturating_sub(1).min(last);
            if let Some(count) = intervals.get_mut(interval) {
                *count += step.count_at_value();
            }
        }
        intervals
    }

    /// The exact mean; 0 when empty.
    #[must_use]
    pub fn mean(&self) -> f64 {
        match self.count() {
            0 => 0.0,
            #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
            n => self.sum / n as f64,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "values stay at or under 2^52")]
fn to_value(steps: u64) -> f64 {
    steps as f64 / STEPS_PER_UNIT
}

#[cfg(test)]
mod tests {
    use super::Quantiles;

    #[test]
    fn quantiles_are_within_a_thousandth() {
        let mut sketch = Quantiles::new();
        for i in 1..=100_000 {
            sketch.record(f64::from(i) / 10.0);
        }
        for (q, truth) in [(0.5, 5_000.0), (0.95, 9_500.0), (0.99, 9_900.0), (1.0, 10_000.0)] {
            let got = sketch.quantile(q);
            assert!((got - truth).abs() / truth < 0.001, "q {q}: {got} instead of {truth}");
        }
        assert_eq!(sketch.count(), 100_000);
        assert!((sketch.mean() - 5_000.05).abs() < 1e-6);
    }

    #[test]
    fn merging_equals_recording_everything_in_one() {
        let (mut left, mut right, mut whole) = (Quantiles::new(), Quantiles::new(), Quantiles::new());
        for i in 0..1_000 {
            let value = f64::from(i * i % 977);
            if i % 3 == 0 {
                left.record(value);
            } else {
                right.record(value);
            }
            whole.record(value);
        }
        left.merge(&right);
        left.merge(&Quantiles::new());
        assert_eq!(left.count(), whole.count());
        for q in [0.0, 0.1, 0.5, 0.9, 0.99, 1.0] {
            assert!((left.quantile(q) - whole.quantile(q)).abs() < 1e-9);
        }
    }

    #[test]
    fn counts_between_bounds_add_up() {
        let mut sketch = Quantiles::new();
        for i in 0..100 {
            sketch.record(f64::from(i));
        }
        assert_eq!(sketch.counts_between(&[10.0, 20.0, 50.0]), [20, 80]);
        assert_eq!(sketch.counts_between(&[0.0, 50.0, 50.5, 1_000.0]), [50, 1, 49]);
        assert!(sketch.counts_between(&[1.0]).is_empty() && sketch.counts_between(&[]).is_empty());
        assert_eq!(Quantiles::new().counts_between(&[0.0, 1.0]), [0]);
    }

    #[test]
    fn what_is_no_duration_counts_as_zero() {
        let mut sketch = Quantiles::new();
        for value in [f64::NAN, f64::NEG_INFINITY, -3.0] {
            sketch.record(value);
        }
        sketch.record(f64::MAX);
        assert_eq!(sketch.count(), 4);
        assert!(sketch.quantile(0.5) < 1e-9);
        assert!(sketch.max() > 1e12);
        assert_eq!(Quantiles::new().quantile(0.5).to_bits(), 0.0_f64.to_bits());
    }
}
