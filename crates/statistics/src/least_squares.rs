//! Least squares: a line through points, by one or two covariates.

use crate::spearman::t_p_value;

/// A fitted line: y = intercept + Σ slope · x.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its value where all covariates are 0.
    pub intercept: f64,
    /// One a covariate.
    pub slopes: Vec<Slope>,
    /// The share of y's variance that it explains, 0 to 1.
    pub r_squared: f64,
}

/// How much y rises with one covariate, the other held fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    /// By how much, for each unit.
    pub value: f64,
    /// Its standard error.
    pub error: f64,
    /// The chance of one at least as steep where there is no dependence.
    pub p_value: f64,
}

/// Fits y by one or two covariates, each as long as `y`, by the normal equations of centred values
/// (Draper and Smith, *Applied Regression Analysis*, 1.2 and 2.1). Nothing where there are too few
/// points, a covariate is constant, both say the same, or a value is no number.
#[must_use]
pub fn line(y: &[f64], covariates: &[&[f64]]) -> Option<Line> {
    let finite = y.iter().chain(covariates.iter().flat_map(|x| x.iter())).all(|value| value.is_finite());
    if !finite || covariates.iter().any(|x| x.len() != y.len()) || y.len() < covariates.len() + 2 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let freedom = (y.len() - covariates.len() - 1) as f64;
    let (y_mean, y) = centred(y);
    let total = dot(&y, &y);
    // Rounding leaves crumbs where nothing should be left.
    let rest = |explained: f64| (total - explained).max(total * 1e-15);
    let (means, values, variances, explained) = match covariates {
        [x] => {
            let (mean, x) = centred(x);
            let xx = dot(&x, &x);
            if xx <= 0.0 {
                return None;
            }
            let slope = dot(&x, &y) / xx;
            (vec![mean], vec![slope], vec![1.0 / xx], slope * slope * xx)
        }
        [one, two] => {
            let ((mean_1, x1), (mean_2, x2)) = (centred(one), centred(two));
            let (s11, s22, s12) = (dot(&x1, &x1), dot(&x2, &x2), dot(&x1, &x2));
            let determinant = s11 * s22 - s12 * s12;
            if determinant <= 1e-12 * s11 * s22 || determinant <= 0.0 {
                return None;
            }
            let (s1y, s2y) = (dot(&x1, &y), dot(&x2, &y));
            let b1 = (s22 * s1y - s12 * s2y) / determinant;
            let b2 = (s11 * s2y - s12 * s1y) / determinant;
            let variances = vec![s22 / determinant, s11 / determinant];
            (vec![mean_1, mean_2], vec![b1, b2], variances, b1 * s1y + b2 * s2y)
        }
        _ => return None,
    };
    let noise = rest(explained) / freedom;
    let slopes: Vec<Slope> = values
        .iter()
        .zip(variances)
        .map(|(value, variance)| {
            let squared_error = noise * variance;
            let p_value =
                if squared_error > 0.0 { t_p_value(value * value / squared_error, freedom) } else { 1.0 };
            Slope { value: *value, error: squared_error.sqrt(), p_value }
        })
        .collect();
    let intercept = y_mean - values.iter().zip(&means).map(|(slope, mean)| slope * mean).sum::<f64>();
    let r_squared = if total > 0.0 { (explained / total).clamp(0.0, 1.0) } else { 0.0 };
    Some(Line { intercept, slopes, r_squared })
}

fn centred(values: &[f64]) -> (f64, Vec<f64>) {
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (mean, values.iter().map(|value| value - mean).collect())
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn it_has_the_values_of_anscombes_first_set() {
        // Anscombe 1973: y = 3.0001 + 0.5001 x, R² = 0.6665, standard error 0.1179, p = 0.00217.
        let x = [10.0, 8.0, 13.0, 9.0, 11.0, 14.0, 6.0, 4.0, 12.0, 7.0, 5.0];
        let y = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68];
        let found = line(&y, &[&x]).unwrap();
        let slope = found.slopes[0];
        assert!((found.intercept - 3.0001).abs() < 1e-4 && (slope.value - 0.5001).abs() < 1e-4);
        assert!((found.r_squared - 0.6665).abs() < 1e-4 && (slope.error - 0.1179).abs() < 1e-4);
        assert!((slope.p_value - 0.00217).abs() < 1e-5, "{found:?}");
    }

    #[test]
    fn two_covariates_are_told_apart() {
        let x1: Vec<f64> = (0..40).map(f64::from).collect();
        let x2: Vec<f64> = (0..40).map(|i| f64::from(i * i % 17)).collect();
        let y: Vec<f64> = x1.iter().zip(&x2).map(|(a, b)| 2.0 + 3.0 * a - 0.5 * b).collect();
        let found = line(&y, &[&x1, &x2]).unwrap();
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(close(found.intercept, 2.0) && close(found.slopes[0].value, 3.0));
        assert!(close(found.slopes[1].value, -0.5) && close(found.r_squared, 1.0));
        assert!(found.slopes[1].p_value < 1e-9);
    }

    #[test]
    fn what_has_no_line_has_none() {
        let rising = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!(line(&rising, &[&[2.0; 5]]), None);
        assert_eq!(line(&rising, &[&rising, &[2.0, 4.0, 6.0, 8.0, 10.0]]), None);
        assert_eq!(line(&rising, &[&[1.0, 2.0]]), None);
        assert_eq!(line(&[1.0, 2.0], &[&[1.0, 2.0]]), None);
        assert_eq!(line(&[1.0, f64::NAN, 3.0, 4.0, 5.0], &[&rising]), None);
        assert_eq!(line(&rising, &[]), None);
        let flat = line(&[2.0; 5], &[&rising]).unwrap();
        assert_eq!((flat.slopes[0].value, flat.r_squared), (0.0, 0.0));
    }
}
