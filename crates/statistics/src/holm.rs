//! Several tests at once: Holm's step-down correction.

/// The p-values, each raised so that one compared with the level keeps the chance of any false finding
/// among all of them at that level, however they hang together (Holm 1979,
/// <https://www.jstor.org/stable/4615733>). In the order given.
#[must_use]
pub fn adjusted(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<(usize, f64)> = p_values.iter().copied().enumerate().collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let (mut left, mut highest) = (p_values.len(), 0.0_f64);
    let mut adjusted = vec![1.0; p_values.len()];
    for (place, p) in order {
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        let raised = if p.is_nan() { 1.0 } else { (p * left as f64).clamp(0.0, 1.0) };
        highest = highest.max(raised);
        if let Some(value) = adjusted.get_mut(place) {
            *value = highest;
        }
        left -= 1;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::adjusted;

    #[test]
    fn as_by_hand() {
        let found = adjusted(&[0.01, 0.04, 0.03, 0.005]);
        for (found, wanted) in found.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((found - wanted).abs() < 1e-12, "{found} instead of {wanted}");
        }
        assert_eq!(adjusted(&[0.9, f64::NAN, 0.8]), [1.0, 1.0, 1.0]);
        assert!(adjusted(&[]).is_empty());
    }
}
