//! The bootstrap interval of a quantile, computed exactly: as of infinitely many resamples.

use statrs::function::beta::beta_reg;

use crate::ranks;

/// The percentile bootstrap interval of the `q`-quantile at this level (0.95 for 95 %) of values
/// that are sorted. Nothing where there are none.
///
/// No resampling is needed: the r-th smallest of n draws with replacement is at most the k-th
/// smallest value exactly when a binomial with n trials of chance k/n reaches r, which is
/// I(k/n; r, n−r+1) (Efron 1979; Maritz and Jarrett 1978, <https://doi.org/10.1080/01621459.1978.10480027>).
#[must_use]
pub fn quantile_interval(sorted: &[f64], q: f64, level: f64) -> Option<(f64, f64)> {
    let n = sorted.len();
    let r = ranks::place(n, q)? + 1;
    let beyond = (1.0 - level.clamp(0.0, 1.0)) / 2.0;
    let at = |share: f64| {
        // The smallest k whose resamples reach the share.
        let (mut low, mut high) = (1, n);
        while low < high {
            let k = usize::midpoint(low, high);
            if at_most(k, n, r) >= share {
                high = k;
            } else {
                low = k + 1;
            }
        }
        sorted.get(low - 1).copied()
    };
    Some((at(beyond)?, at(1.0 - beyond)?))
}

/// The chance that the r-th smallest of n draws with replacement is at most the k-th smallest value.
fn at_most(k: usize, n: usize, r: usize) -> f64 {
    if k >= n {
        return 1.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let (k, n, r) = (k as f64, n as f64, r as f64);
    beta_reg(r, n - r + 1.0, k / n)
}

#[cfg(test)]
mod tests {
    use super::{at_most, quantile_interval};

    #[test]
    fn the_chances_are_those_of_the_binomial() {
        // Of 3 draws the smallest is at most the first of three values: 1 − (2/3)³.
        assert!((at_most(1, 3, 1) - 19.0 / 27.0).abs() < 1e-12);
        assert!((at_most(2, 3, 3) - 8.0 / 27.0).abs() < 1e-12);
        assert_eq!(at_most(3, 3, 3).to_bits(), 1.0_f64.to_bits());
    }

    #[test]
    fn it_agrees_with_resampling() {
        let n = 200_usize;
        let sorted: Vec<f64> = (0..n).map(|i| (i as f64 / 20.0).exp()).collect();
        // A small generator of its own (Knuth's MMIX constants).
        let mut state = 7_u64;
        let mut below = |bound: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from((u128::from(state) * bound as u128) >> 64).unwrap()
        };
        let mut medians: Vec<usize> = (0..20_000)
            .map(|_| {
                let mut places: Vec<usize> = (0..n).map(|_| below(n)).collect();
                places.sort_unstable();
                places[99]
            })
            .collect();
        medians.sort_unstable();
        let (low, high) = quantile_interval(&sorted, 0.5, 0.95).unwrap();
        let place = |value: f64| sorted.iter().position(|other| *other == value).unwrap();
        assert!(place(low).abs_diff(medians[500]) <= 1 && place(high).abs_diff(medians[19_499]) <= 1);
    }

    #[test]
    fn it_is_bounded_by_the_values_and_holds_the_quantile() {
        assert_eq!(quantile_interval(&[], 0.5, 0.95), None);
        assert_eq!(quantile_interval(&[4.0], 0.99, 0.95), Some((4.0, 4.0)));
        assert_eq!(quantile_interval(&[4.0; 50], 0.9, 0.95), Some((4.0, 4.0)));
        let sorted: Vec<f64> = (1..=1_000).map(f64::from).collect();
        // With the 982nd value 18 of 1,000 lie above, and Poisson(18) is at most 10 in 3.0 % of cases,
        // Poisson(19) in 1.8 %; Poisson(5) is in 98.6 %, Poisson(6) in 95.7 %.
        assert_eq!(quantile_interval(&sorted, 0.99, 0.95), Some((982.0, 995.0)));
    }
}
