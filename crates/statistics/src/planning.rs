//! How many pairs a comparison wants, from how far the two of a pair lie apart.
//!
//! Only the sizes of differences are looked at, never their signs. A signed-rank test treats the sizes as
//! given and asks about the signs; so whoever decides by the sizes when to stop changes nothing about its
//! level, however often they look.

use statrs::distribution::{ContinuousCDF, Normal};

use crate::ranks;

/// The median size of a standard normal difference.
const MEDIAN_OF_NORMAL: f64 = 0.674_489_750_196_082;
/// What the signed-rank test makes of normal noise, beside the mean's test (Hodges and Lehmann 1956).
const EFFICIENCY: f64 = 3.0 / std::f64::consts::PI;

/// How far differences spread, as a standard deviation, by the median of their sizes: what lies far out
/// counts for no more than what lies just beyond the middle. Where most are zero and some are not, the middle
/// would say that nothing spreads, so the root of their mean square does. Nothing without differences.
#[must_use]
pub fn spread(differences: &[f64]) -> Option<f64> {
    let mut sizes: Vec<f64> = differences.iter().map(|value| value.abs()).collect();
    sizes.sort_unstable_by(f64::total_cmp);
    let middle = ranks::quantile(&sizes, 0.5)? / MEDIAN_OF_NORMAL;
    if middle > 0.0 {
        return Some(middle);
    }
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let mean = sizes.iter().map(|size| size * size).sum::<f64>() / sizes.len() as f64;
    Some(mean.sqrt())
}

/// Pairs after which an interval at `level` that is centred on the truth tells a shift of `effect` from
/// none, and no shift from one of `effect`, with this `power` (0.95 for 95 %).
#[must_use]
pub fn pairs(spread: f64, effect: f64, level: f64, power: f64) -> usize {
    let Ok(normal) = Normal::new(0.0, 1.0) else { return usize::MAX };
    let upper = |share: f64| normal.inverse_cdf(f64::midpoint(1.0, share.clamp(0.0, 0.999_999)));
    let wide = (upper(level) + upper(power)) * spread / effect;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float-to-int cast saturates"
    )]
    let pairs = (wide * wide / EFFICIENCY).ceil() as usize;
    if wide.is_nan() { usize::MAX } else { pairs.max(1) }
}

#[cfg(test)]
mod tests {
    use super::{pairs, spread};

    #[test]
    fn the_spread_is_that_of_the_middle() {
        let mut values: Vec<f64> =
            (1..=101).map(|i| f64::from(i) * if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let before = spread(&values).unwrap();
        assert!((before - 51.0 / 0.674_489_75).abs() < 1e-6);
        for value in values.iter_mut().skip(60) {
            *value *= 1_000.0;
        }
        assert!((spread(&values).unwrap() - before).abs() < 1e-9);
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[0.0, 0.0, 0.0, -1.0]), Some(0.5), "what is mostly nothing spreads all the same");
        assert_eq!(spread(&[0.0, 0.0]), Some(0.0));
    }

    #[test]
    fn more_noise_a_smaller_effect_and_a_higher_level_want_more() {
        // (1.96 + 1.96)² · 1.0472 = 16.09
        assert_eq!(pairs(0.05, 0.05, 0.95, 0.95), 17);
        assert_eq!(pairs(0.10, 0.05, 0.95, 0.95), 65);
        assert_eq!(pairs(0.0, 0.05, 0.95, 0.95), 1);
        assert_eq!((pairs(0.1, 0.0, 0.95, 0.95), pairs(0.0, 0.0, 0.95, 0.95)), (usize::MAX, usize::MAX));
        assert!(pairs(0.05, 0.05, 0.99, 0.95) > 17);
    }
}
