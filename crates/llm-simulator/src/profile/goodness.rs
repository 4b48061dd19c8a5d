//! How well a profile fits: one half of the recordings against the profile of the other half.
//!
//! Owns the figures that `fit` prints and a profile keeps. Must not know how they are found.

use serde::{Deserialize, Serialize};

/// How well a profile fits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Goodness {
    /// Calls that were used.
    pub calls: u64,
    /// Calls of the half that was fitted for these figures.
    pub fitted: u64,
    /// Calls of the half that was held out.
    pub held_out: u64,
    /// Each quantity.
    pub quantities: Vec<QuantityFit>,
    /// Each kind of failure.
    pub errors: Vec<ErrorFit>,
    /// What depends on what.
    pub dependences: Vec<Dependence>,
    /// What a reader ought to know besides.
    pub notes: Vec<String>,
}

/// How well one quantity fits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuantityFit {
    /// Its name, with its unit.
    pub name: String,
    /// Values in the held-out half.
    pub n: u64,
    /// The Kolmogorov–Smirnov distance between held-out and simulated values.
    pub distance: f64,
    /// The chance of such a distance where the profile's shape is right: what both halves and the
    /// simulation owe to chance is counted.
    pub p_value: f64,
    /// Its quantiles.
    pub quantiles: Vec<QuantileFit>,
}

/// How well one quantile fits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuantileFit {
    /// Which, 0 to 1.
    pub q: f64,
    /// In the held-out half.
    pub held_out: f64,
    /// The 95 % bootstrap interval of that.
    pub interval: (f64, f64),
    /// In the simulation.
    pub simulated: f64,
}

impl QuantileFit {
    /// How far the simulated quantile is off, as a share; nothing where the held-out one is 0.
    #[must_use]
    pub fn error(&self) -> Option<f64> {
        (self.held_out > 0.0).then(|| self.simulated / self.held_out - 1.0)
    }

    /// Whether the simulated quantile lies inside the interval, but for rounding.
    #[must_use]
    pub fn inside(&self) -> bool {
        let slack = self.interval.1.abs() * 1e-6;
        (self.interval.0 - slack..=self.interval.1 + slack).contains(&self.simulated)
    }
}

/// How well one kind of failure fits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorFit {
    /// Its kind.
    pub kind: String,
    /// Its share of the fitted half, 0 to 1.
    pub fitted: f64,
    /// Its share of the held-out half.
    pub held_out: f64,
    /// The 95 % interval of that (Wilson).
    pub interval: (f64, f64),
}

/// That one quantity depends on another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dependence {
    /// The quantity.
    pub of: String,
    /// On what.
    pub on: String,
    /// Spearman's rank correlation.
    pub rho: f64,
    /// The chance of one as large without dependence.
    pub p_value: f64,
    /// The slope of their logarithms: 1 where twice the one goes with twice the other. None between
    /// quantities of one call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slope: Option<f64>,
}
