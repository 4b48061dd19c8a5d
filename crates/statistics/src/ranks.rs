//! Ranks of values, and quantiles of sorted ones.

/// Ranks from 1, equal values sharing the mean of theirs, as rank correlations want them.
#[must_use]
pub fn averaged(values: &[f64]) -> Vec<f64> {
    let order = order(values, |_| 0);
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0_usize;
    for equal in order.chunk_by(|a, b| at(values, *a).total_cmp(&at(values, *b)).is_eq()) {
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        let rank = before as f64 + (equal.len() as f64 + 1.0) / 2.0;
        for index in equal {
            if let Some(place) = ranks.get_mut(*index) {
                *place = rank;
            }
        }
        before += equal.len();
    }
    ranks
}

/// Ranks from 0, each once: equal values are put in an order that has to do with nothing but their
/// places, so that a rank says nothing more than the value does.
#[must_use]
pub fn distinct(values: &[f64]) -> Vec<usize> {
    let order = order(values, scrambled);
    let mut ranks = vec![0; values.len()];
    for (rank, index) in order.into_iter().enumerate() {
        if let Some(place) = ranks.get_mut(index) {
            *place = rank;
        }
    }
    ranks
}

/// The value at or under which a share `q` of these lies, which are sorted: the order statistic
/// ⌈qn⌉ (Hyndman and Fan 1996, definition 1). Nothing where there are none.
#[must_use]
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    sorted.get(place(sorted.len(), q)?).copied()
}

/// Where the order statistic ⌈qn⌉ stands among `n` sorted values, from 0.
pub(crate) fn place(n: usize, q: f64) -> Option<usize> {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts stay far below 2^53, and a float-to-int cast saturates"
    )]
    let rank = (q * n as f64).ceil() as usize;
    (n > 0).then(|| rank.clamp(1, n) - 1)
}

fn at(values: &[f64], index: usize) -> f64 {
    values.get(index).copied().unwrap_or(f64::NAN)
}

fn order(values: &[f64], tie: impl Fn(u64) -> u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| {
        at(values, *a).total_cmp(&at(values, *b)).then_with(|| tie(*a as u64).cmp(&tie(*b as u64)))
    });
    order
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood 2014): a bijection that looks random.
const fn scrambled(index: u64) -> u64 {
    let z = index.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::{averaged, distinct, quantile};

    #[test]
    fn equal_values_share_their_mean_rank() {
        assert_eq!(averaged(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
        assert!(averaged(&[]).is_empty());
    }

    #[test]
    fn distinct_ranks_are_a_permutation_that_follows_the_values() {
        assert_eq!(distinct(&[3.0, 1.0, 2.0]), [2, 0, 1]);
        let ties = distinct(&[5.0; 1_000]);
        let mut sorted = ties.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..1_000));
        let early = ties.iter().take(500).sum::<usize>() as f64 / 500.0;
        assert!((early - 499.5).abs() < 40.0, "ties do not keep their order: {early}");
    }

    #[test]
    fn a_quantile_is_an_order_statistic() {
        let sorted = [1.0, 2.0, 3.0, 4.0];
        let of = |q| quantile(&sorted, q).unwrap();
        assert_eq!([of(0.0), of(0.25), of(0.26), of(0.5), of(1.0)], [1.0, 1.0, 2.0, 2.0, 4.0]);
        assert_eq!(quantile(&[], 0.5), None);
    }
}
