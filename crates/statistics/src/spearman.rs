//! Spearman's rank correlation: whether one quantity rises or falls with another, whatever the
//! shape of the dependence.

use statrs::function::beta::beta_reg;

use crate::ranks;

/// How far two quantities go together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Correlation {
    /// −1 (one falls as the other rises) to 1.
    pub rho: f64,
    /// The chance of one at least as far from 0 where there is no dependence.
    pub p_value: f64,
}

/// Spearman's ρ: Pearson's correlation of the ranks, ties averaged (Spearman 1904), with the
/// p-value of t = ρ√((n−2)/(1−ρ²)) with n−2 degrees of freedom (Kendall and Stuart, vol. 2,
/// 31.19). Nothing with fewer than four pairs, or where one side is constant or NaN.
#[must_use]
pub fn correlation(one: &[f64], other: &[f64]) -> Option<Correlation> {
    if one.len() != other.len() || one.len() < 4 || one.iter().chain(other).any(|value| value.is_nan()) {
        return None;
    }
    let rho = pearson(&ranks::averaged(one), &ranks::averaged(other))?;
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let freedom = one.len() as f64 - 2.0;
    let t_squared = rho * rho * freedom / (1.0 - rho * rho).max(f64::MIN_POSITIVE);
    Some(Correlation { rho, p_value: t_p_value(t_squared, freedom) })
}

/// The chance that a Student's t with this many degrees of freedom is at least as far from 0 as
/// one whose square is given (Abramowitz and Stegun 26.7.1).
pub(crate) fn t_p_value(t_squared: f64, freedom: f64) -> f64 {
    if t_squared.is_nan() || freedom <= 0.0 {
        return 1.0;
    }
    beta_reg(freedom / 2.0, 0.5, (freedom / (freedom + t_squared)).clamp(0.0, 1.0))
}

fn pearson(one: &[f64], other: &[f64]) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let n = one.len() as f64;
    let (mean, mean_other) = (one.iter().sum::<f64>() / n, other.iter().sum::<f64>() / n);
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in one.iter().zip(other) {
        let (x, y) = (x - mean, y - mean_other);
        xx += x * x;
        yy += y * y;
        xy += x * y;
    }
    (xx > 0.0 && yy > 0.0).then(|| (xy / (xx * yy).sqrt()).clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::{correlation, t_p_value};

    #[test]
    fn it_has_the_value_of_the_text_books() {
        // IQ and hours of television, <https://en.wikipedia.org/wiki/Spearman%27s_rank_correlation_coefficient>:
        // ρ = −29/165, p = 0.627188.
        let iq = [106.0, 100.0, 86.0, 101.0, 99.0, 103.0, 97.0, 113.0, 112.0, 110.0];
        let hours = [7.0, 27.0, 2.0, 50.0, 28.0, 29.0, 20.0, 12.0, 6.0, 17.0];
        let found = correlation(&iq, &hours).unwrap();
        assert!((found.rho + 29.0 / 165.0).abs() < 1e-12);
        assert!((found.p_value - 0.627_188).abs() < 1e-5, "{found:?}");
    }

    #[test]
    fn the_shape_does_not_count_and_ties_are_averaged() {
        let x: Vec<f64> = (0..50).map(f64::from).collect();
        let y: Vec<f64> = x.iter().map(|x| (x / 5.0).exp()).collect();
        let found = correlation(&x, &y).unwrap();
        assert!((found.rho - 1.0).abs() < 1e-12 && found.p_value < 1e-12);
        // Ranks 1.5 1.5 3.5 3.5 against 1 2 3 4: 4/√20.
        let tied = correlation(&[1.0, 1.0, 2.0, 2.0], &[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert!((tied.rho - 4.0 / 20.0_f64.sqrt()).abs() < 1e-12, "{tied:?}");
    }

    #[test]
    fn students_t_has_its_known_values() {
        // 97.5 % points of the t tables.
        for (t, freedom) in [(12.706_f64, 1.0), (2.228, 10.0), (1.984, 100.0)] {
            assert!((t_p_value(t * t, freedom) - 0.05).abs() < 1e-4);
        }
    }

    #[test]
    fn nothing_comes_of_nothing() {
        for (one, other) in [
            (&[1.0, 2.0, 3.0][..], &[1.0, 2.0, 3.0][..]),
            (&[1.0; 9], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]),
            (&[1.0, 2.0, 3.0, f64::NAN], &[1.0, 2.0, 3.0, 4.0]),
            (&[1.0; 4], &[1.0; 5]),
        ] {
            assert_eq!(correlation(one, other), None);
        }
    }
}
