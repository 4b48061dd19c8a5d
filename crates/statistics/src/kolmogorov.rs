//! The two-sample test of Kolmogorov and Smirnov: whether two samples come from one distribution.
//!
//! `statrs` has one, which is not used: its asymptotic p-value never returns for two equal samples
//! (the series does not converge at 0), and it adds shares up in floating point.

use std::f64::consts::PI;

/// What the test says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distance {
    /// The largest difference between the two empirical distribution functions, 0 to 1.
    pub distance: f64,
    /// The chance of one at least as large where both come from one continuous distribution; for
    /// values that repeat the real chance is smaller.
    pub p_value: f64,
}

/// Compares two samples. Nothing where one is empty or holds NaN.
///
/// The p-value is the limit for large samples (Smirnov 1948), Q(D·√(nm/(n+m))).
#[must_use]
pub fn two_samples(one: &[f64], other: &[f64]) -> Option<Distance> {
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let (n, m) = (one.len() as f64, other.len() as f64);
    let distance = distance(one, other)?;
    Some(Distance { distance, p_value: survival(distance * (n * m / (n + m)).sqrt()) })
}

/// The largest difference between two empirical distribution functions. Nothing where a sample is
/// empty or holds NaN.
#[must_use]
pub fn distance(one: &[f64], other: &[f64]) -> Option<f64> {
    if one.is_empty() || other.is_empty() || one.iter().chain(other).any(|value| value.is_nan()) {
        return None;
    }
    let sorted = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_unstable_by(f64::total_cmp);
        values
    };
    let (one, other) = (sorted(one), sorted(other));
    let (n, m) = (one.len() as u64, other.len() as u64);
    let (mut left, mut right) = (one.iter().peekable(), other.iter().peekable());
    let (mut i, mut j, mut most) = (0_u64, 0_u64, 0_u64);
    // Where one sample is at its end the difference can only shrink.
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        // The next value of both, passed in both.
        let value = a.min(**b);
        while left.next_if(|next| **next <= value).is_some() {
            i += 1;
        }
        while right.next_if(|next| **next <= value).is_some() {
            j += 1;
        }
        most = most.max((i * m).abs_diff(j * n));
    }
    #[expect(clippy::cast_precision_loss, reason = "the error is under 2^-52")]
    Some(most as f64 / (n * m) as f64)
}

/// The chance that Kolmogorov's distribution exceeds `x` (Kolmogorov 1933): the series that
/// converges fast on either side, equal by Jacobi's theta identity
/// (Marsaglia, Tsang and Wang 2003, <https://doi.org/10.18637/jss.v008.i18>).
#[must_use]
pub fn survival(x: f64) -> f64 {
    if x.is_nan() || x <= 0.0 {
        return 1.0;
    }
    let p = if x < 1.0 {
        let term = |k: f64| (-(2.0 * k - 1.0).powi(2) * PI * PI / (8.0 * x * x)).exp();
        1.0 - (2.0 * PI).sqrt() / x * (term(1.0) + term(2.0) + term(3.0))
    } else {
        let term = |k: f64| (-2.0 * k * k * x * x).exp();
        2.0 * (term(1.0) - term(2.0) + term(3.0) - term(4.0))
    };
    p.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::{distance, survival, two_samples};

    #[test]
    fn the_distribution_has_its_known_values() {
        // The usual critical values (Smirnov 1948).
        for (x, p) in [(1.3581, 0.05), (1.6276, 0.01), (0.8276, 0.5), (1.2238, 0.1), (1.9495, 0.001)] {
            assert!((survival(x) - p).abs() < 5e-5, "{x}: {}", survival(x));
        }
        assert!((survival(0.999_999) - survival(1.000_001)).abs() < 1e-5);
        assert_eq!([survival(0.0), survival(f64::NAN), survival(0.05), survival(40.0)], [1.0, 1.0, 1.0, 0.0]);
    }

    #[test]
    fn distances_are_exact() {
        assert_eq!(distance(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]), Some(0.0));
        assert_eq!(distance(&[1.0, 2.0], &[3.0, 4.0, 5.0]), Some(1.0));
        // Ties are passed at once: 2/4 under 1 on the left, 1/2 on the right.
        assert_eq!(distance(&[1.0, 1.0, 2.0, 2.0], &[1.0, 2.0]), Some(0.0));
        // After 3: 3/5 against 1/5.
        assert_eq!(distance(&[1.0, 2.0, 3.0, 6.0, 7.0], &[3.0, 4.0, 5.0, 6.5, 8.0]), Some(0.4));
        assert_eq!((distance(&[], &[1.0]), distance(&[f64::NAN], &[1.0])), (None, None));
    }

    #[test]
    fn ten_thousand_equal_values_are_no_difference() {
        let values: Vec<f64> = (0..10_000).map(f64::from).collect();
        let same = two_samples(&values, &values).unwrap();
        assert_eq!((same.distance, same.p_value), (0.0, 1.0));
        let shifted: Vec<f64> = values.iter().map(|value| value + 231.0).collect();
        let different = two_samples(&values, &shifted).unwrap();
        assert!((different.distance - 0.0231).abs() < 1e-12);
        assert!((different.p_value - 0.0096).abs() < 2e-4, "{different:?}");
    }
}
