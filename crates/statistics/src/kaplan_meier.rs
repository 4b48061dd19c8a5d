//! The estimator of Kaplan and Meier: a distribution from values some of which were cut off, so that
//! one knows only that they would have been larger.

/// A distribution function in steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Survival {
    /// Values that were seen whole, rising, each with the share of all values at or under it.
    steps: Vec<(f64, f64)>,
    /// The share of values of which nothing is known but that they are larger than every one seen.
    beyond: f64,
}

/// The distribution of values, each with whether it was cut off there (right-censored).
/// Nothing where there are none, or one is NaN. Cut-off values equal to whole ones count as larger.
///
/// S(t) = Π over tᵢ ≤ t of (1 − dᵢ/nᵢ) (Kaplan and Meier 1958,
/// <https://doi.org/10.1080/01621459.1958.10501452>). What is left where the largest value was cut
/// off is put on that value (Efron 1967).
#[must_use]
pub fn estimate(values: &[(f64, bool)]) -> Option<Survival> {
    if values.is_empty() || values.iter().any(|(value, _)| value.is_nan()) {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let mut left = sorted.len();
    let mut survival = 1.0;
    let mut steps: Vec<(f64, f64)> = Vec::new();
    for equal in sorted.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let whole = equal.iter().filter(|(_, cut)| !cut).count();
        if let (Some((value, _)), true) = (equal.first(), whole > 0) {
            #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
            let dying = whole as f64 / left as f64;
            survival *= 1.0 - dying;
            steps.push((*value, 1.0 - survival));
        }
        left -= equal.len();
    }
    let largest = sorted.last().map_or(0.0, |(value, _)| *value);
    let beyond = if survival > 1e-12 { survival } else { 0.0 };
    match steps.last_mut() {
        Some(last) if beyond == 0.0 || last.0 >= largest => last.1 = 1.0,
        _ => steps.push((largest, 1.0)),
    }
    Some(Survival { steps, beyond })
}

impl Survival {
    /// Rising values, each with the share at or under it; the last share is 1.
    #[must_use]
    pub fn steps(&self) -> &[(f64, f64)] {
        &self.steps
    }

    /// The share of values of which nothing is known but that they are larger than the largest.
    #[must_use]
    pub const fn beyond(&self) -> f64 {
        self.beyond
    }

    /// The share of values at or under this one.
    #[must_use]
    pub fn share_at(&self, value: f64) -> f64 {
        let next = self.steps.partition_point(|(step, _)| *step <= value);
        next.checked_sub(1).and_then(|index| self.steps.get(index)).map_or(0.0, |(_, share)| *share)
    }
}

#[cfg(test)]
mod tests {
    use super::estimate;

    #[test]
    fn it_has_the_values_of_the_leukaemia_trial() {
        // Weeks of remission under 6-MP (Freireich et al. 1963), the example of most text books.
        let whole = [6.0, 6.0, 6.0, 7.0, 10.0, 13.0, 16.0, 22.0, 23.0].map(|weeks| (weeks, false));
        let cut = [6.0, 9.0, 10.0, 11.0, 17.0, 19.0, 20.0, 25.0, 32.0, 32.0, 34.0, 35.0].map(|w| (w, true));
        let survival = estimate(&[&whole[..], &cut[..]].concat()).unwrap();
        for (week, alive) in [
            (6.0, 0.857),
            (7.0, 0.807),
            (10.0, 0.753),
            (13.0, 0.690),
            (16.0, 0.627),
            (22.0, 0.538),
            (23.0, 0.448),
        ] {
            assert!((1.0 - survival.share_at(week) - alive).abs() < 5e-4, "week {week}");
        }
        assert!((survival.beyond() - 0.448).abs() < 5e-4);
        assert_eq!(survival.steps().last(), Some(&(35.0, 1.0)));
        assert_eq!(survival.share_at(5.0).to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn without_cuts_it_is_the_empirical_distribution() {
        let survival = estimate(&[(2.0, false), (1.0, false), (2.0, false), (5.0, false)]).unwrap();
        assert_eq!(survival.steps(), [(1.0, 0.25), (2.0, 0.75), (5.0, 1.0)]);
        assert_eq!(survival.beyond().to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn odd_input_is_borne() {
        assert_eq!(estimate(&[]), None);
        assert_eq!(estimate(&[(f64::NAN, false)]), None);
        let all_cut = estimate(&[(3.0, true), (4.0, true)]).unwrap();
        assert_eq!((all_cut.steps(), all_cut.beyond()), (&[(4.0, 1.0)][..], 1.0));
        let equal = estimate(&[(3.0, true), (3.0, false)]).unwrap();
        assert_eq!((equal.steps(), equal.beyond()), (&[(3.0, 1.0)][..], 0.5));
    }
}
