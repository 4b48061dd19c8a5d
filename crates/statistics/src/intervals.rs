//! Intervals of a share, of a mean, and of a quantile of values that were counted in bins.

use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, Normal, StudentsT};

/// Wilson's score interval of a share at this level (0.95 for 95 %): of `trials`, `hits` hit. Nothing
/// without trials. It stays within 0 and 1 and is of use for small counts too (Wilson 1927,
/// <https://doi.org/10.1080/01621459.1927.10502953>; recommended by Brown, Cai and `DasGupta` 2001).
#[must_use]
pub fn wilson(hits: u64, trials: u64, level: f64) -> Option<(f64, f64)> {
    if trials == 0 || hits > trials {
        return None;
    }
    let z = Normal::new(0.0, 1.0).ok()?.inverse_cdf(upper(level));
    let (n, share) = (float(trials), float(hits) / float(trials));
    let whole = 1.0 + z * z / n;
    let centre = (share + z * z / (2.0 * n)) / whole;
    let half = z / whole * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    // Exactly 0 and 1 at the ends, which rounding would miss.
    let low = if hits == 0 { 0.0 } else { (centre - half).max(0.0) };
    let high = if hits == trials { 1.0 } else { (centre + half).min(1.0) };
    Some((low, high))
}

/// Student's interval of the mean at this level, from the number of values, their sum and the sum of
/// their squares. Nothing below two values: one says nothing about how much they vary. (For many values
/// it holds whatever their distribution; for few that are very skewed it is too narrow.)
#[must_use]
pub fn mean(count: u64, sum: f64, squares: f64, level: f64) -> Option<(f64, f64)> {
    if count < 2 || !sum.is_finite() || !squares.is_finite() {
        return None;
    }
    let n = float(count);
    let mean = sum / n;
    let variance = ((squares - sum * mean) / (n - 1.0)).max(0.0);
    let t = StudentsT::new(0.0, 1.0, n - 1.0).ok()?.inverse_cdf(upper(level));
    let half = t * (variance / n).sqrt();
    Some((mean - half, mean + half))
}

/// A quantile `q` and its interval at this level, of values counted in bins: each with the value that
/// stands for it, in rising order, and how many fell in. Nothing where none did.
///
/// The interval is that of order statistics: of n values, as many as a binomial with chance `q` says lie
/// below the quantile, whatever their distribution (Conover, Practical Nonparametric Statistics, 3rd
/// edition, section 3.2). It is as exact as the bins are narrow.
#[must_use]
pub fn binned_quantile(bins: &[(f64, u64)], q: f64, level: f64) -> Option<(f64, (f64, f64))> {
    let n: u64 = bins.iter().map(|(_, count)| count).sum();
    if n == 0 || !(0.0..=1.0).contains(&q) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and n")]
    let rank = ((float(n) * q).ceil() as u64).clamp(1, n);
    let below = Binomial::new(q, n).ok()?;
    let beyond = 1.0 - upper(level);
    let low = below.inverse_cdf(beyond).clamp(1, n);
    let high = below.inverse_cdf(1.0 - beyond).saturating_add(1).clamp(1, n);
    Some((at(bins, rank)?, (at(bins, low)?, at(bins, high)?)))
}

/// The value at a rank, from 1.
fn at(bins: &[(f64, u64)], rank: u64) -> Option<f64> {
    let mut seen = 0;
    let bin = bins.iter().find(|(_, count)| {
        seen += count;
        seen >= rank
    });
    bin.map(|(value, _)| *value)
}

/// The share below the upper end of a two-sided interval.
fn upper(level: f64) -> f64 {
    f64::midpoint(1.0, level.clamp(0.0, 0.999_999))
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
const fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, proptest};

    use super::{binned_quantile, mean, wilson};

    fn near(found: (f64, f64), wanted: (f64, f64)) -> bool {
        (found.0 - wanted.0).abs() < 5e-5 && (found.1 - wanted.1).abs() < 5e-5
    }

    #[test]
    fn shares_are_those_of_the_textbook() {
        // Newcombe 1998, table I, method 3: 81 of 263 and 15 of 148 and 0 of 20.
        assert!(near(wilson(81, 263, 0.95).unwrap(), (0.2553, 0.3662)));
        assert!(near(wilson(15, 148, 0.95).unwrap(), (0.0624, 0.1605)));
        assert!(near(wilson(0, 20, 0.95).unwrap(), (0.0, 0.1611)));
        assert_eq!((wilson(0, 0, 0.95), wilson(2, 1, 0.95)), (None, None));
        assert!(wilson(7, 7, 0.95).unwrap().1 >= 1.0);
    }

    #[test]
    fn means_are_those_of_student() {
        // 1 to 5: mean 3, standard error √0.5, t(4) = 2.776445.
        let half = 2.776_445 * 0.5_f64.sqrt();
        assert!(near(mean(5, 15.0, 55.0, 0.95).unwrap(), (3.0 - half, 3.0 + half)));
        assert_eq!((mean(1, 3.0, 9.0, 0.95), mean(0, 0.0, 0.0, 0.95)), (None, None));
        assert!(near(mean(3, 6.0, 12.0, 0.95).unwrap(), (2.0, 2.0)));
    }

    #[test]
    fn the_median_of_bins_is_between_its_order_statistics() {
        let bins: Vec<(f64, u64)> = (1..=100).map(|value| (f64::from(value), 1)).collect();
        // Of 100 values the 40th and the 61st hold the median in 96.5 % of cases.
        assert_eq!(binned_quantile(&bins, 0.5, 0.95), Some((50.0, (40.0, 61.0))));
        assert_eq!(binned_quantile(&[(7.0, 3)], 0.5, 0.95), Some((7.0, (7.0, 7.0))));
        assert_eq!(binned_quantile(&[], 0.5, 0.95), None);
        assert_eq!(binned_quantile(&[(1.0, 0)], 0.5, 0.95), None);
    }

    proptest! {
        #[test]
        fn intervals_hold_what_they_are_about(hits in 0_u64..1_000, misses in 0_u64..1_000, counts in prop::collection::vec(0_u64..50, 1..30), q in 0.0_f64..1.0) {
            if hits + misses > 0 {
                let share = hits as f64 / (hits + misses) as f64;
                let (low, high) = wilson(hits, hits + misses, 0.95).unwrap();
                assert!(low <= share && share <= high && low >= 0.0 && high <= 1.0);
            }
            let bins: Vec<(f64, u64)> = counts.iter().enumerate().map(|(value, count)| (value as f64, *count)).collect();
            if let Some((value, (low, high))) = binned_quantile(&bins, q, 0.95) {
                assert!(low <= value && value <= high);
            }
        }
    }
}
