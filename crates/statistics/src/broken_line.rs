//! Least squares by a broken line: straight between given knots, for dependences of any shape.

/// The values at these knots, which rise, of the broken line nearest to the points. Points beyond
/// the outermost knots count as lying on them. Nothing where there are fewer than two knots, they
/// do not rise, a number is not finite, or between some of them there are no points.
///
/// Each point has weight on two neighbouring knots only (de Boor, *A Practical Guide to Splines*,
/// chapter III: the hat functions), so the normal equations are tridiagonal.
#[must_use]
pub fn fit(x: &[f64], y: &[f64], knots: &[f64]) -> Option<Vec<f64>> {
    let finite = x.iter().chain(y).chain(knots).all(|value| value.is_finite());
    let rises = knots.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
    if x.len() != y.len() || knots.len() < 2 || !finite || !rises {
        return None;
    }
    // For each knot: its weight with itself, with the next one, and with y.
    let mut rows = vec![(0.0, 0.0, 0.0); knots.len()];
    for (x, y) in x.iter().zip(y) {
        let segment = knots.partition_point(|knot| knot <= x).clamp(1, knots.len() - 1) - 1;
        let (low, high) = (knots.get(segment)?, knots.get(segment + 1)?);
        let right = ((x - low) / (high - low)).clamp(0.0, 1.0);
        let left = 1.0 - right;
        let row = rows.get_mut(segment)?;
        row.0 += left * left;
        row.1 += left * right;
        row.2 += left * y;
        let row = rows.get_mut(segment + 1)?;
        row.0 += right * right;
        row.2 += right * y;
    }
    solve(&rows)
}

/// Solves a symmetric tridiagonal system by elimination (Thomas 1949), each row its diagonal, the
/// element beside it and the right-hand side.
fn solve(rows: &[(f64, f64, f64)]) -> Option<Vec<f64>> {
    let mut eliminated: Vec<(f64, f64)> = Vec::with_capacity(rows.len());
    let mut before = (0.0, 0.0, 0.0);
    for (diagonal, beside, right) in rows {
        let (beside_before, ratio_before, right_before) = before;
        let pivot = diagonal - beside_before * ratio_before;
        if pivot <= 1e-9 * diagonal || pivot <= 0.0 {
            return None;
        }
        let (ratio, value) = (beside / pivot, (right - beside_before * right_before) / pivot);
        eliminated.push((ratio, value));
        before = (*beside, ratio, value);
    }
    let mut next = 0.0;
    let mut values: Vec<f64> = eliminated
        .iter()
        .rev()
        .map(|(ratio, value)| {
            next = value - ratio * next;
            next
        })
        .collect();
    values.reverse();
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::fit;

    #[test]
    fn a_broken_line_is_found_again() {
        let x: Vec<f64> = (0..=100).map(|i| f64::from(i) / 10.0).collect();
        let truth = |x: f64| if x < 4.0 { 1.0 + x } else { 5.0 - 2.0 * (x - 4.0) };
        let y: Vec<f64> = x.iter().map(|x| truth(*x)).collect();
        let values = fit(&x, &y, &[0.0, 4.0, 7.0, 10.0]).unwrap();
        for (found, truth) in values.iter().zip([1.0, 5.0, -1.0, -7.0]) {
            assert!((found - truth).abs() < 1e-9, "{values:?}");
        }
    }

    #[test]
    fn with_two_knots_it_is_the_line_of_least_squares() {
        // Anscombe's first set: y = 3.0001 + 0.5001 x.
        let x = [10.0, 8.0, 13.0, 9.0, 11.0, 14.0, 6.0, 4.0, 12.0, 7.0, 5.0];
        let y = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68];
        let values = fit(&x, &y, &[4.0, 14.0]).unwrap();
        assert!((values[0] - 5.0005).abs() < 1e-3 && (values[1] - 10.0014).abs() < 1e-3, "{values:?}");
    }

    #[test]
    fn what_has_no_line_has_none() {
        let x = [1.0, 2.0, 3.0];
        assert_eq!(fit(&x, &x, &[1.0]), None);
        assert_eq!(fit(&x, &x, &[3.0, 1.0]), None);
        assert_eq!(fit(&x, &x[..2], &[1.0, 3.0]), None);
        assert_eq!(fit(&x, &[1.0, f64::NAN, 2.0], &[1.0, 3.0]), None);
        assert_eq!(fit(&x, &x, &[1.0, 3.0, 5.0, 7.0]), None);
    }
}
