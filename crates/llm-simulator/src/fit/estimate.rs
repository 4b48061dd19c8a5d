//! A profile from a sample of calls. Pure.

use statistics::{QuantileTable, kaplan_meier, spearman};

use super::held_out::{self, DURATION};
use super::sample::{Sample, Timed};
use super::{dependence, failures};
use crate::profile::goodness::Dependence;
use crate::profile::{Circumstances, Covariate, Distribution, Profile, Ranks, ranks};

/// Where more answers than this share are cut short, what their length depends on is not looked
/// for: the longest are those that are missing.
const MOST_CUT: f64 = 0.1;
/// Most single gaps that are looked at.
const MOST_GAPS: usize = 200_000;
/// What counts as the smallest factor and gap, to divide by.
const SMALLEST: f64 = 1e-9;

/// What was found.
pub(super) struct Estimated {
    /// Without a name, a source and figures of how well it fits.
    pub(super) profile: Profile,
    pub(super) dependences: Vec<Dependence>,
    /// The share of answers longer than any that was not cut short.
    pub(super) beyond: f64,
}

/// Estimates a profile. Nothing where a quantity was never seen.
///
/// An effect scales a quantity as a whole. Where its spread does not scale with its middle, that
/// would make tails that nobody recorded: a quantity whose own quantiles do not come back is left to
/// the rows of like calls, which always give them back.
pub(super) fn profile(sample: &Sample<'_>) -> Option<Estimated> {
    let estimated = with_effects(sample, |_| true)?;
    let missed = held_out::missed(&estimated.profile, sample);
    if missed.is_empty() {
        return Some(estimated);
    }
    // A duration is made of all the others.
    let duration = missed.iter().any(|name| name == DURATION);
    with_effects(sample, |name| !duration && !missed.iter().any(|missed| missed == name))
}

/// The same with effects on some quantities only.
fn with_effects(sample: &Sample<'_>, scales: impl Fn(&str) -> bool) -> Option<Estimated> {
    let timed: Vec<Timed<'_, '_>> = sample.timed().collect();
    let mut dependences = Vec::new();
    let lengths = Lengths::estimate(sample, &mut dependences)?;
    let mut quantity = |name: &str, covariates: &[Covariate], of: fn(&Timed<'_, '_>) -> Option<f64>| {
        Column::estimate(name, &timed, covariates, of, scales(name), &mut dependences)
    };
    let first_token = quantity("first_token_ms", &Covariate::ALL, |call| Some(call.first))?;
    let gap = quantity("gap_ms", &Covariate::ALL, |call| call.gap)?;
    let ending = quantity("ending_ms", &[Covariate::Concurrency], |call| Some(call.ending))?;
    let tokens_per_chunk =
        quantity("tokens_per_chunk", &[Covariate::Concurrency], |call| Some(call.tokens_per_chunk))?;
    let tokens: Vec<f64> = timed.iter().enumerate().map(|(index, call)| lengths.rest(index, call)).collect();
    let columns = [&tokens, &first_token.rest, &gap.rest, &ending.rest, &tokens_per_chunk.rest];
    let mut rows: Vec<(Circumstances, [f64; ranks::COLUMNS])> =
        timed.iter().map(|call| (call.call.circumstances, [0.0; ranks::COLUMNS])).collect();
    for (column, values) in columns.into_iter().enumerate() {
        for (row, value) in rows.iter_mut().zip(values) {
            if let Some(place) = row.1.get_mut(column) {
                *place = *value;
            }
        }
    }
    dependences.extend(together("first_token_ms", "output_tokens", &first_token.rest, &tokens));
    dependences.extend(together("gap_ms", "output_tokens", &gap.rest, &tokens));
    dependences.extend(together("gap_ms", "first_token_ms", &gap.rest, &first_token.rest));
    // These three make up nearly all of an answer's time.
    let mut matters: Vec<(Covariate, f64)> =
        [lengths.matters.clone(), first_token.matters, gap.matters].concat();
    matters.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut by: Vec<Covariate> = Vec::new();
    for (covariate, _) in matters {
        if !by.contains(&covariate) {
            by.push(covariate);
        }
    }
    let (errors, more) = failures::estimate(sample);
    dependences.extend(more);
    let profile = Profile {
        name: String::new(),
        source: String::new(),
        output_tokens: lengths.distribution,
        first_token: first_token.distribution,
        gap: gap.distribution,
        ending: ending.distribution,
        tokens_per_chunk: tokens_per_chunk.distribution,
        jitter: jitter(&timed),
        ranks: Ranks::of(&rows, &by),
        errors,
        fit: None,
    };
    Some(Estimated { profile, dependences, beyond: lengths.beyond })
}

/// A quantity of streamed answers.
struct Column {
    distribution: Distribution,
    /// What it depends on, and how much.
    matters: Vec<(Covariate, f64)>,
    /// What the effects leave of each call's value.
    rest: Vec<f64>,
}

impl Column {
    fn estimate(
        name: &str,
        timed: &[Timed<'_, '_>],
        covariates: &[Covariate],
        of: impl Fn(&Timed<'_, '_>) -> Option<f64>,
        scales: bool,
        dependences: &mut Vec<Dependence>,
    ) -> Option<Self> {
        let seen: Vec<(f64, Circumstances)> =
            timed.iter().filter_map(|call| Some((of(call)?, call.call.circumstances))).collect();
        let (values, circumstances): (Vec<f64>, Vec<Circumstances>) = seen.into_iter().unzip();
        let found = dependence::find(name, &values, &circumstances, covariates);
        dependences.extend(found.dependences);
        let effects = if scales { found.effects } else { Vec::new() };
        let factors = Distribution { table: QuantileTable::constant(1.0), effects };
        let rest = |value: f64, at: &Circumstances| value / factors.factor(at).max(SMALLEST);
        let left: Vec<f64> = values.iter().zip(&circumstances).map(|(value, at)| rest(*value, at)).collect();
        let table = QuantileTable::of_sample(&left)?;
        // A call that does not show it takes any place in the order.
        let rest = timed
            .iter()
            .enumerate()
            .map(|(index, call)| match of(call) {
                Some(value) => rest(value, &call.call.circumstances),
                None => table.value_at(golden(index)),
            })
            .collect();
        let distribution = Distribution { table, effects: factors.effects };
        Some(Self { distribution, matters: found.matters, rest })
    }
}

/// The length of answers, some of them cut short by the client's bound.
struct Lengths {
    distribution: Distribution,
    /// What it depends on, and how much.
    matters: Vec<(Covariate, f64)>,
    survival: kaplan_meier::Survival,
    beyond: f64,
}

impl Lengths {
    fn estimate(sample: &Sample<'_>, dependences: &mut Vec<Dependence>) -> Option<Self> {
        let (circumstances, answers): (Vec<Circumstances>, Vec<(f64, bool)>) = sample
            .answered_calls()
            .map(|(call, answer)| (call.circumstances, (answer.output_tokens, answer.cut)))
            .unzip();
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        let cut = answers.iter().filter(|(_, cut)| *cut).count() as f64 / answers.len().max(1) as f64;
        let covariates: &[Covariate] = if cut > MOST_CUT { &[] } else { &[Covariate::InputTokens] };
        let values: Vec<f64> = answers.iter().map(|(tokens, _)| *tokens).collect();
        let found = dependence::find("output_tokens", &values, &circumstances, covariates);
        dependences.extend(found.dependences);
        let factors = Distribution { table: QuantileTable::constant(1.0), effects: found.effects };
        let rest: Vec<(f64, bool)> = answers
            .iter()
            .zip(&circumstances)
            .map(|((tokens, cut), at)| (tokens / factors.factor(at).max(SMALLEST), *cut))
            .collect();
        let survival = kaplan_meier::estimate(&rest)?;
        let table = QuantileTable::of_steps(survival.steps())?;
        let beyond = survival.beyond();
        let distribution = Distribution { table, effects: factors.effects };
        Some(Self { distribution, matters: found.matters, survival, beyond })
    }

    /// What the effects leave of a call's length; of one that was cut short, a length that it may
    /// have come to.
    fn rest(&self, index: usize, call: &Timed<'_, '_>) -> f64 {
        let factor = self.distribution.factor(&call.call.circumstances).max(SMALLEST);
        let rest = call.answer.output_tokens / factor;
        if !call.answer.cut {
            return rest;
        }
        let under = self.survival.share_at(rest);
        self.distribution.table.value_at(under + (1.0 - under) * golden(index)).max(rest)
    }
}

/// Single gaps beside the mean of their call.
fn jitter(timed: &[Timed<'_, '_>]) -> QuantileTable {
    let gaps: usize = timed.iter().map(|call| call.chunks.len().saturating_sub(1)).sum();
    let every = gaps / MOST_GAPS + 1;
    let ratios: Vec<f64> = timed
        .iter()
        .step_by(every)
        .filter_map(|call| Some((call.chunks, call.gap.filter(|gap| *gap > SMALLEST)?)))
        .flat_map(|(chunks, mean)| {
            chunks.windows(2).filter_map(move |pair| match pair {
                [from, to] => Some((to - from) / mean),
                _ => None,
            })
        })
        .collect();
    QuantileTable::of_sample(&ratios).unwrap_or_else(|| QuantileTable::constant(1.0))
}

/// That two quantities of one call go together.
fn together(of: &str, on: &str, one: &[f64], other: &[f64]) -> Option<Dependence> {
    let found = spearman::correlation(one, other)?;
    (found.p_value < 0.001).then(|| Dependence {
        of: of.to_owned(),
        on: on.to_owned(),
        rho: found.rho,
        p_value: found.p_value,
        slope: None,
    })
}

/// Numbers between 0 and 1 that fill it evenly: the fractions of multiples of the golden ratio.
fn golden(index: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let index = index as f64;
    ((index + 1.0) * 0.618_033_988_749_894_9).fract()
}
