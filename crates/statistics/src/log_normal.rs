//! The log-normal distribution, the usual shape of service latency: a sharp rise and a long tail.

/// The standard normal quantile at 0.95.
const Z_95: f64 = 1.644_853_626_951_472_2;

/// A log-normal distribution: the logarithm of the value is normal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogNormal {
    /// Mean of the logarithm.
    mu: f64,
    /// Standard deviation of the logarithm.
    sigma: f64,
}

impl LogNormal {
    /// The distribution with this median and 95th percentile, or `None` where there is none: both
    /// have to be finite, the median above zero, the percentile not below the median.
    #[must_use]
    pub fn from_median_and_p95(median: f64, p95: f64) -> Option<Self> {
        let sound = median.is_finite() && p95.is_finite() && median > 0.0 && p95 >= median;
        sound.then(|| Self { mu: median.ln(), sigma: (p95 / median).ln() / Z_95 })
    }

    /// The value that belongs to a draw `z` from the standard normal distribution.
    #[must_use]
    pub fn value_at(&self, z: f64) -> f64 {
        self.sigma.mul_add(z, self.mu).exp()
    }

    /// Two independent uniform draws from (0, 1] and \[0, 1) as one standard normal draw
    /// (Box and Muller, 1958).
    #[must_use]
    pub fn standard_normal(u1: f64, u2: f64) -> f64 {
        let u1 = u1.clamp(f64::MIN_POSITIVE, 1.0);
        (-2.0 * u1.ln()).sqrt() * (std::f64::consts::TAU * u2).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::{LogNormal, Z_95};

    #[test]
    fn its_quantiles_are_those_asked_for() {
        let latency = LogNormal::from_median_and_p95(120.0, 480.0).unwrap();
        assert!((latency.value_at(0.0) - 120.0).abs() < 1e-9);
        assert!((latency.value_at(Z_95) - 480.0).abs() < 1e-9);
    }

    #[test]
    fn draws_have_the_median_and_p95_asked_for() {
        let latency = LogNormal::from_median_and_p95(50.0, 200.0).unwrap();
        // A low-discrepancy sequence instead of a generator: the same points every time.
        let mut values: Vec<f64> = (0..20_000)
            .map(|i| {
                let i = f64::from(i) + 0.5;
                let z = LogNormal::standard_normal((i * 0.754_877_666).fract(), (i * 0.569_840_29).fract());
                latency.value_at(z)
            })
            .collect();
        values.sort_by(f64::total_cmp);
        assert!((values[10_000] / 50.0 - 1.0).abs() < 0.02, "{}", values[10_000]);
        assert!((values[19_000] / 200.0 - 1.0).abs() < 0.03, "{}", values[19_000]);
    }

    #[test]
    fn impossible_shapes_are_refused() {
        for (median, p95) in [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0), (f64::NAN, 1.0), (1.0, f64::INFINITY)] {
            assert_eq!(LogNormal::from_median_and_p95(median, p95), None);
        }
    }
}
