//! What depends on what: found by rank correlation, described by a broken line. Pure.
//!
//! A dependence is taken up only where it is there beyond doubt and large enough to matter. With two
//! of them, the larger one is taken first and the other looked for in what it leaves.

use statistics::{Correlation, broken_line, least_squares, spearman};

use crate::profile::goodness::Dependence;
use crate::profile::{Circumstances, Covariate, Effect};

/// Chance alone gives less than this, over the ten or so dependences looked for, once in a hundred fits.
const SURE: f64 = 0.001;
/// The least rank correlation that matters: it explains a hundredth of the variance.
const LARGE: f64 = 0.1;
/// The least one that gets an effect. A weaker one is left to the rows of like calls, which take the
/// shape of a quantity as it is, where an effect only shifts it.
const STRONG: f64 = 0.3;
/// Points for each piece of a broken line.
const POINTS_A_PIECE: usize = 100;
/// Most pieces of a broken line.
const MOST_PIECES: usize = 8;
/// Rounds in which two effects are fitted in turn to what the other leaves.
const ROUNDS: usize = 4;
/// What counts as the smallest of a quantity that is never negative, so that it has a logarithm.
const SMALLEST: f64 = 1e-3;

/// What a quantity depends on.
pub(super) struct Found {
    pub(super) effects: Vec<Effect>,
    /// What it depends on in its middle or its spread, the strongest first.
    pub(super) matters: Vec<(Covariate, f64)>,
    pub(super) dependences: Vec<Dependence>,
}

/// Looks for the dependence of a quantity on some covariates.
pub(super) fn find(
    name: &str,
    values: &[f64],
    circumstances: &[Circumstances],
    covariates: &[Covariate],
) -> Found {
    let logs: Vec<f64> = values.iter().map(|value| value.max(SMALLEST).ln()).collect();
    let mut left: Vec<(Covariate, Vec<f64>)> = covariates_of(circumstances, covariates).collect();
    let mut taken: Vec<(Covariate, Vec<f64>, Correlation)> = Vec::new();
    let mut lines: Vec<Line> = Vec::new();
    let weak: Vec<(Covariate, Correlation)>;
    // The strongest in what is left, as long as one is strong enough.
    loop {
        let rest = residuals(&logs, &taken, &lines, None);
        let mut found: Vec<(usize, Covariate, Correlation)> = left
            .iter()
            .enumerate()
            .filter_map(|(index, (covariate, x))| Some((index, *covariate, spearman::correlation(x, &rest)?)))
            .filter(|(_, _, found)| found.p_value < SURE && found.rho.abs() >= LARGE)
            .collect();
        found.sort_by(|(_, _, a), (_, _, b)| b.rho.abs().total_cmp(&a.rho.abs()));
        let strongest = found.first().filter(|(_, _, found)| found.rho.abs() >= STRONG).copied();
        let Some((index, covariate, correlation)) = strongest else {
            weak = found.into_iter().map(|(_, covariate, correlation)| (covariate, correlation)).collect();
            break;
        };
        let (_, x) = left.swap_remove(index);
        let Some(line) = Line::through(&x, &rest) else { continue };
        taken.push((covariate, x, correlation));
        lines.push(line);
    }
    for _ in 0..ROUNDS {
        for index in 0..lines.len() {
            let rest = residuals(&logs, &taken, &lines, Some(index));
            let fitted = taken.get(index).and_then(|(_, x, _)| Line::through(x, &rest));
            if let (Some(line), Some(place)) = (fitted, lines.get_mut(index)) {
                *place = line;
            }
        }
    }
    let by: Vec<&[f64]> = taken.iter().map(|(_, x, _)| x.as_slice()).collect();
    let slopes = least_squares::line(&logs, &by).map(|line| line.slopes).unwrap_or_default();
    let mut dependences: Vec<Dependence> = taken
        .iter()
        .enumerate()
        .map(|(index, (covariate, _, correlation))| Dependence {
            of: name.to_owned(),
            on: covariate.as_str().to_owned(),
            rho: correlation.rho,
            p_value: correlation.p_value,
            slope: slopes.get(index).map(|slope| slope.value),
        })
        .collect();
    dependences.extend(weak.iter().map(|(covariate, correlation)| Dependence {
        of: name.to_owned(),
        on: covariate.as_str().to_owned(),
        rho: correlation.rho,
        p_value: correlation.p_value,
        slope: None,
    }));
    // What is left may still be wider here than there.
    let rest = residuals(&logs, &taken, &lines, None);
    let spread: Vec<f64> = rest.iter().map(|rest| rest.abs()).collect();
    let wider = covariates_of(circumstances, covariates).filter_map(|(covariate, x)| {
        let found = spearman::correlation(&x, &spread)?;
        (found.p_value < SURE && found.rho.abs() >= LARGE).then_some((covariate, found.rho.abs()))
    });
    let weak = weak.into_iter().map(|(covariate, found)| (covariate, found.rho.abs()));
    let mut matters: Vec<(Covariate, f64)> = taken
        .iter()
        .map(|(covariate, _, found)| (*covariate, found.rho.abs()))
        .chain(wider)
        .chain(weak)
        .collect();
    matters.sort_by(|a, b| b.1.total_cmp(&a.1));
    let effects = taken.iter().zip(&lines).map(|((covariate, ..), line)| line.effect(*covariate)).collect();
    Found { effects, matters, dependences }
}

/// The logarithms of some covariates.
fn covariates_of(
    circumstances: &[Circumstances],
    covariates: &[Covariate],
) -> impl Iterator<Item = (Covariate, Vec<f64>)> {
    let of = |covariate: &Covariate| circumstances.iter().map(|c| c.of(*covariate).ln()).collect();
    covariates.iter().map(move |covariate| (*covariate, of(covariate)))
}

/// What the lines, but one, leave of the logarithms.
fn residuals(
    logs: &[f64],
    taken: &[(Covariate, Vec<f64>, Correlation)],
    lines: &[Line],
    without: Option<usize>,
) -> Vec<f64> {
    let mut rest = logs.to_vec();
    for (index, ((_, x, _), line)) in taken.iter().zip(lines).enumerate() {
        if Some(index) != without {
            for (rest, x) in rest.iter_mut().zip(x) {
                *rest -= line.at(*x);
            }
        }
    }
    rest
}

/// A broken line through logarithms, 0 in the mean.
#[derive(Clone, Debug)]
struct Line {
    /// Knots and values.
    knots: Vec<(f64, f64)>,
}

impl Line {
    fn through(x: &[f64], y: &[f64]) -> Option<Self> {
        let mut sorted = x.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let pieces = (x.len() / POINTS_A_PIECE).clamp(1, MOST_PIECES);
        #[expect(clippy::cast_precision_loss, reason = "eight at most")]
        let mut knots: Vec<f64> = (0..=pieces)
            .filter_map(|i| statistics::ranks::quantile(&sorted, i as f64 / pieces as f64))
            .collect();
        knots.dedup();
        let values = broken_line::fit(x, y, &knots)?;
        let mut line = Self { knots: knots.into_iter().zip(values).collect() };
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        let mean = x.iter().map(|x| line.at(*x)).sum::<f64>() / x.len() as f64;
        for (_, value) in &mut line.knots {
            *value -= mean;
        }
        Some(line)
    }

    fn at(&self, x: f64) -> f64 {
        let above = self.knots.partition_point(|(knot, _)| *knot <= x);
        let before = above.checked_sub(1).and_then(|index| self.knots.get(index));
        match (before, self.knots.get(above)) {
            (Some((low, from)), Some((high, to))) => from + (to - from) * (x - low) / (high - low),
            (Some((_, value)), None) | (None, Some((_, value))) => *value,
            (None, None) => 0.0,
        }
    }

    fn effect(&self, covariate: Covariate) -> Effect {
        let factors = self.knots.iter().map(|(x, y)| (x.exp(), y.clamp(-13.0, 13.0).exp()));
        let mut factors: Vec<(f64, f64)> = factors.collect();
        // What rounding makes of the logarithm of 1.
        for (value, _) in &mut factors {
            *value = value.max(1.0);
        }
        Effect { covariate, factors }
    }
}

#[cfg(test)]
mod tests {
    use super::find;
    use crate::profile::{Circumstances, Covariate};

    /// Circumstances that say nothing of each other, and a noise between −0.5 and 0.5.
    fn calls(n: u32) -> Vec<(Circumstances, f64)> {
        (0..n)
            .map(|i| {
                let (a, b) = ((f64::from(i) * 0.754_877_666).fract(), (f64::from(i) * 0.569_840_29).fract());
                let input_tokens = (10.0 * 1_000_f64.powf(a)) as u64;
                let concurrency = 1 + (b * 16.0) as usize;
                let noise = (f64::from(i) * 0.819_172_513).fract() - 0.5;
                (Circumstances { input_tokens, concurrency }, noise)
            })
            .collect()
    }

    #[test]
    fn two_dependences_are_found_and_told_apart() {
        let calls = calls(2_000);
        // Flat to 300 tokens and then rising; rising with the root of the concurrency.
        let truth = |c: &Circumstances| {
            100.0 * (c.of(Covariate::InputTokens) / 300.0).max(1.0) * c.of(Covariate::Concurrency).sqrt()
        };
        let values: Vec<f64> = calls.iter().map(|(c, noise)| truth(c) * noise.exp()).collect();
        let circumstances: Vec<Circumstances> = calls.iter().map(|(c, _)| *c).collect();
        let found = find("first_token", &values, &circumstances, &Covariate::ALL);
        assert_eq!(found.effects.len(), 2);
        let factor = |c: &Circumstances| -> f64 {
            found.effects.iter().map(|effect| effect.factor(c.of(effect.covariate))).product()
        };
        let scale = truth(&circumstances[0]) / factor(&circumstances[0]);
        for c in &circumstances {
            let off = factor(c) * scale / truth(c);
            assert!((0.75..1.33).contains(&off), "{c:?}: {off}");
        }
        let on = found.dependences.iter().find(|d| d.on == "concurrency").unwrap();
        assert!((on.slope.unwrap() - 0.5).abs() < 0.1, "{on:?}");
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let calls = calls(2_000);
        let circumstances: Vec<Circumstances> = calls.iter().map(|(c, _)| *c).collect();
        let noise: Vec<f64> = calls.iter().map(|(_, noise)| noise.exp()).collect();
        assert!(find("gap", &noise, &circumstances, &Covariate::ALL).effects.is_empty());
        assert!(find("gap", &vec![0.0; 2_000], &circumstances, &Covariate::ALL).effects.is_empty());
        let same = vec![Circumstances { input_tokens: 5, concurrency: 1 }; 2_000];
        assert!(find("gap", &noise, &same, &Covariate::ALL).effects.is_empty());
        assert!(find("gap", &[], &[], &Covariate::ALL).effects.is_empty());
    }
}
