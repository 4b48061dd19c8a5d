//! How often calls fail, how, and whether it depends on how many are under way. Pure.

use std::collections::BTreeMap;

use statistics::{QuantileTable, spearman};

use super::sample::{Outcome, Sample};
use crate::profile::goodness::Dependence;
use crate::profile::{Covariate, Effect, Error, ErrorKind, Errors};

/// Fewest failures for which a dependence is looked for.
const FEWEST: usize = 20;
/// Chance alone gives less than this once in a thousand fits.
const SURE: f64 = 0.001;
/// The least rank correlation that matters; that of a rare event is never large.
const LARGE: f64 = 0.05;
/// Most values of concurrency that get a factor of their own.
const MOST_BINS: usize = 6;
/// Fewest calls behind a factor.
const POINTS_A_BIN: usize = 50;

/// The failures of a sample, and their dependence on concurrency where there is one.
pub(super) fn estimate(sample: &Sample<'_>) -> (Errors, Option<Dependence>) {
    let mut by_kind: BTreeMap<ErrorKind, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    let mut failed = Vec::with_capacity(sample.calls.len());
    for call in &sample.calls {
        let concurrency = call.circumstances.of(Covariate::Concurrency);
        let Outcome::Failed { kind, after, retry_after } = &call.outcome else {
            failed.push((concurrency, 0.0));
            continue;
        };
        failed.push((concurrency, 1.0));
        let (times, waits) = by_kind.entry(*kind).or_default();
        times.push(*after);
        waits.extend(*retry_after);
    }
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let share = |n: usize| n as f64 / sample.calls.len().max(1) as f64;
    let kinds = by_kind
        .iter()
        .filter_map(|(kind, (times, waits))| {
            // Where in the answer a break comes is anywhere: a recording cannot say what was missing.
            let after = match kind {
                ErrorKind::Cut => QuantileTable::new(vec![(0.0, 0.0), (1.0, 1.0)]).ok(),
                _ => QuantileTable::of_sample(times),
            };
            let retry_after = QuantileTable::of_sample(waits);
            Some(Error { kind: *kind, rate: share(times.len()), after: after?, retry_after })
        })
        .collect();
    let (effect, dependence) = effect(&failed).unzip();
    (Errors { kinds, effect }, dependence)
}

/// How the rate of failures goes with the concurrency, beside its mean.
fn effect(failed: &[(f64, f64)]) -> Option<(Effect, Dependence)> {
    let failures: f64 = failed.iter().map(|(_, failed)| failed).sum();
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let (n, fewest) = (failed.len() as f64, FEWEST as f64);
    let (x, y): (Vec<f64>, Vec<f64>) = failed.iter().copied().unzip();
    let correlation = spearman::correlation(&x, &y)?;
    if failures < fewest || correlation.p_value >= SURE || correlation.rho.abs() < LARGE {
        return None;
    }
    let mut sorted = failed.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Bins of about equal size; calls of one concurrency stay together.
    let size = (sorted.len() / MOST_BINS).max(POINTS_A_BIN);
    let mut bins: Vec<Vec<(f64, f64)>> = Vec::new();
    for equal in sorted.chunk_by(|a, b| a.0 == b.0) {
        match bins.last_mut() {
            Some(bin) if bin.len() < size => bin.extend_from_slice(equal),
            _ => bins.push(equal.to_vec()),
        }
    }
    let rate = failures / n;
    let factors: Vec<(f64, f64)> = bins
        .iter()
        .map(|bin| {
            #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
            let calls = bin.len() as f64;
            let (concurrency, failures) =
                bin.iter().fold((0.0, 0.0), |sum, (x, y)| (sum.0 + x / calls, sum.1 + y));
            // Half a failure more than seen: a rate is never quite 0 (Jeffreys).
            (concurrency, (failures + 0.5) / (calls + 1.0) / rate)
        })
        .collect();
    let dependence = Dependence {
        of: "errors".to_owned(),
        on: Covariate::Concurrency.as_str().to_owned(),
        rho: correlation.rho,
        p_value: correlation.p_value,
        slope: None,
    };
    Some((Effect { covariate: Covariate::Concurrency, factors }, dependence))
}
