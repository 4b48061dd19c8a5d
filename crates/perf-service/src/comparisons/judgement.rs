//! The verdict on two targets from pairs of runs: a pure function of their figures, so the same for the
//! same data.
//!
//! A pair is two runs one right after the other, in an order that a fair coin decided. Each figure's
//! differences are tested by their signs and ranks (`statistics::signed_rank`): whatever drifts or lies far
//! out, the level holds, for the coin alone decided which of a pair was called the candidate. Requests are
//! never tested: those of one run hang together.
//!
//! The chance of any false word is shared out beforehand: most to the primary figure at the end, a little
//! to early looks at it, the rest by Holm to all other figures. The sum is what was asked for. (It is the
//! chance where nothing differs at all. What differs by less than the smallest change that matters is never
//! called better or worse by its estimate. Where the primary figure does and an early look ends it, the other
//! figures are tested at a moment that it chose; of those the level is only nearly kept.)

use common_models::{ComparedMetric, ComparedSide, MetricComparison, RunSummary, Verdict};
use statistics::{Shift, SignedRanks, holm, planning};

use super::metrics;
use super::plan::LARGEST;

/// Of the chance of a false word, what the primary figure has at the end.
const FOR_THE_END: f64 = 0.74;
/// What it has at each early look.
const FOR_A_LOOK: f64 = 0.02;
/// What the other figures share.
const FOR_THE_OTHERS: f64 = 0.2;
/// Pairs after which there is an early look, where that is not the end: a large difference needs no more.
pub const LOOKS: [usize; 3] = [12, 24, 48];
/// How surely a difference of the smallest effect is to be found, and its absence.
pub const POWER: f64 = 0.95;
/// So many more pairs left out because of one side than because of the other are no chance.
const ONE_SIDED: usize = 3;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Question {
    /// The figure declared beforehand.
    pub primary: ComparedMetric,
    /// One minus the chance of a false word: 0.95.
    pub level: f64,
    /// The smallest change that matters, as a fraction.
    pub minimum_effect: f64,
}

/// The figures of two runs that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The baseline's.
    pub baseline: RunSummary,
    /// The candidate's.
    pub candidate: RunSummary,
}

/// What the pairs say.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// What it rests on, in a sentence.
    pub reason: String,
    /// Pairs that would be enough, where these are not.
    pub enough_pairs: Option<u32>,
    /// Each figure, the primary one first.
    pub metrics: Vec<MetricComparison>,
}

/// Whether these pairs are all there will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// More may follow.
    Early,
    /// They are.
    Last,
}

impl Question {
    /// The level of the primary figure's interval.
    #[must_use]
    pub fn primary_level(&self, look: Look) -> f64 {
        let share = match look {
            Look::Early => FOR_A_LOOK,
            Look::Last => FOR_THE_END,
        };
        1.0 - (1.0 - self.level) * share
    }

    /// The fewest pairs that can say anything of the primary figure.
    #[must_use]
    pub fn fewest_pairs(&self) -> usize {
        let level = self.primary_level(Look::Last);
        (2..).find(|pairs| SignedRanks::of(*pairs).is_none_or(|ranks| ranks.reaches(level))).unwrap_or(2)
    }
}

/// Pairs that are wanted, by how far those so far lie apart in the primary figure and not by which way.
/// Nothing where they do not have it.
#[must_use]
pub fn wanted(question: &Question, pairs: &[Pair]) -> Option<usize> {
    let differences = differences(question.primary, pairs)?.1;
    let smallest = metrics::smallest(question.primary, question.minimum_effect);
    let spread = planning::spread(&differences)?;
    Some(planning::pairs(spread, smallest, question.primary_level(Look::Last), POWER))
}

/// Whether the primary figure differs so much that no further pair is needed; asked after [`LOOKS`].
#[must_use]
pub fn is_plain(question: &Question, pairs: &[Pair]) -> bool {
    measured(question.primary, pairs, question, question.primary_level(Look::Early))
        .is_some_and(|measured| matches!(measured.verdict(), Verdict::Better | Verdict::Worse))
}

/// The verdict. `look` says whether an early look has ended it, `left_out` whose runs were why pairs were
/// left out.
#[must_use]
pub fn judge(question: &Question, pairs: &[Pair], look: Look, left_out: &[ComparedSide]) -> Judgement {
    let others = others(question, pairs);
    let Some(primary) = measured(question.primary, pairs, question, question.primary_level(look)) else {
        // A run without it may be one that answered nothing: the others are judged all the same.
        let mut reason = format!(
            "not all of the {} pairs have a {} that could be compared",
            pairs.len(),
            metrics::name(question.primary)
        );
        let verdict = overall(Verdict::NotEnoughEvidence, &others);
        if verdict == Verdict::Worse {
            reason = format!("{}; {reason}", worse(&others, pairs.len()));
        }
        return Judgement { verdict, reason, enough_pairs: None, metrics: others };
    };
    let verdict = overall(primary.verdict(), &others);
    let doubt = doubt(verdict, pairs, &others, left_out);
    let enough = (verdict == Verdict::NotEnoughEvidence).then(|| primary.enough(question));
    let reason = reason(verdict, &primary, &others, pairs.len(), enough);
    let mut metrics = vec![primary.shown(true)];
    metrics.extend(others);
    match doubt {
        None => Judgement { verdict, reason, enough_pairs: enough, metrics },
        Some(doubt) => Judgement {
            verdict: Verdict::NotEnoughEvidence,
            reason: format!("{reason}; but {doubt}"),
            enough_pairs: None,
            metrics,
        },
    }
}

/// Why a verdict that the figures give is not said.
fn doubt(
    verdict: Verdict,
    pairs: &[Pair],
    others: &[MetricComparison],
    left_out: &[ComparedSide],
) -> Option<String> {
    let of = |side: ComparedSide| left_out.iter().filter(|out| **out == side).count();
    let (baseline, candidate) = (of(ComparedSide::Baseline), of(ComparedSide::Candidate));
    // A side that leaves its bad runs out looks better than it is.
    let flattered = match verdict {
        Verdict::Better | Verdict::Same => candidate >= baseline + ONE_SIDED,
        Verdict::Worse => baseline >= candidate + ONE_SIDED,
        Verdict::NotEnoughEvidence => return None,
    };
    if flattered {
        return Some(format!(
            "pairs were left out because of {candidate} runs of the candidate and {baseline} of the baseline, \
             which is not by chance: what is left flatters one side"
        ));
    }
    if verdict == Verdict::Worse {
        return None;
    }
    // Too few pairs, or failures in a few runs only: nothing that may be called better, or the same.
    let failed = others.iter().find(|other| other.metric == ComparedMetric::FailedRate)?;
    let judged = matches!(failed.verdict, Verdict::Better | Verdict::Same);
    let more = failed.candidate - failed.baseline > failed.minimum_effect;
    (more && !judged).then(|| {
        format!(
            "failedRate went from {} to {} on average, which {} pairs are too few to judge",
            percent(failed.baseline),
            percent(failed.candidate),
            pairs.len()
        )
    })
}

/// All figures but the primary one, corrected together.
fn others(question: &Question, pairs: &[Pair]) -> Vec<MetricComparison> {
    let names = || metrics::ALL.into_iter().filter(|metric| *metric != question.primary);
    let chance = (1.0 - question.level) * FOR_THE_OTHERS;
    // Those that this scenario does not have are no tests, and that has nothing to do with signs.
    let present = names().filter(|metric| differences(*metric, pairs).is_some()).count().max(1);
    #[expect(clippy::cast_precision_loss, reason = "at most ten")]
    let level = 1.0 - chance / present as f64;
    let measured: Vec<Measured> =
        names().filter_map(|metric| measured(metric, pairs, question, level)).collect();
    let adjusted = holm::adjusted(&measured.iter().map(|one| one.shift.p).collect::<Vec<_>>());
    let judged = measured.iter().zip(adjusted).map(|(one, p)| {
        let found = p < chance && one.verdict() != Verdict::Same && one.matters();
        let verdict = match one.verdict() {
            _ if found => one.direction(),
            Verdict::Same => Verdict::Same,
            _ => Verdict::NotEnoughEvidence,
        };
        MetricComparison { p, verdict, ..one.shown(false) }
    });
    judged.collect()
}

/// The primary figure decides; another one that is worse outweighs it.
fn overall(primary: Verdict, others: &[MetricComparison]) -> Verdict {
    if others.iter().any(|other| other.verdict == Verdict::Worse) { Verdict::Worse } else { primary }
}

/// One figure of all pairs.
struct Measured {
    metric: ComparedMetric,
    baseline: f64,
    candidate: f64,
    pairs: usize,
    shift: Shift,
    /// How far the differences lie from the estimate.
    spread: f64,
    level: f64,
    smallest: f64,
}

type Values = (Vec<(f64, f64)>, Vec<f64>);

fn differences(metric: ComparedMetric, pairs: &[Pair]) -> Option<Values> {
    let values: Option<Vec<(f64, f64)>> = pairs
        .iter()
        .map(|pair| metrics::value(metric, &pair.baseline).zip(metrics::value(metric, &pair.candidate)))
        .collect();
    let values = values.filter(|values| !values.is_empty())?;
    let differences = metrics::differences(metric, &values)?;
    Some((values, differences))
}

fn measured(metric: ComparedMetric, pairs: &[Pair], question: &Question, level: f64) -> Option<Measured> {
    let (values, differences) = differences(metric, pairs)?;
    let shift = SignedRanks::of(differences.len())?.shift(&differences, level)?;
    let apart: Vec<f64> = differences.iter().map(|difference| difference - shift.estimate).collect();
    Some(Measured {
        metric,
        baseline: metrics::middle(metric, values.iter().map(|pair| pair.0).collect())?,
        candidate: metrics::middle(metric, values.iter().map(|pair| pair.1).collect())?,
        pairs: pairs.len(),
        shift,
        spread: planning::spread(&apart)?,
        level,
        smallest: metrics::smallest(metric, question.minimum_effect),
    })
}

impl Measured {
    /// An interval within the smallest effect is the same. What differs has an interval without zero, and an
    /// estimate of at least the smallest effect: what is there but does not matter must not stop anybody.
    fn verdict(&self) -> Verdict {
        match self.shift.interval {
            None => Verdict::NotEnoughEvidence,
            Some((low, high)) if low > -self.smallest && high < self.smallest => Verdict::Same,
            Some((low, high)) if (low > 0.0 || high < 0.0) && self.matters() => self.direction(),
            Some(_) => Verdict::NotEnoughEvidence,
        }
    }

    fn matters(&self) -> bool {
        self.shift.estimate.abs() >= self.smallest
    }

    fn direction(&self) -> Verdict {
        let more = self.shift.estimate > 0.0;
        if more == metrics::more_is_worse(self.metric) { Verdict::Worse } else { Verdict::Better }
    }

    fn shown(&self, primary: bool) -> MetricComparison {
        let shown = |difference| metrics::shown(self.metric, difference);
        MetricComparison {
            metric: self.metric,
            primary,
            baseline: self.baseline,
            candidate: self.candidate,
            change: shown(self.shift.estimate),
            low: self.shift.interval.map(|interval| shown(interval.0)),
            high: self.shift.interval.map(|interval| shown(interval.1)),
            level: self.level,
            minimum_effect: shown(self.smallest),
            p: self.shift.p,
            verdict: self.verdict(),
        }
    }

    /// Pairs whose interval would be narrow enough to leave out zero, where the estimate is of the smallest
    /// effect or more, else to leave out the smallest effect, as surely as [`POWER`] says; more than there are.
    fn enough(&self, question: &Question) -> u32 {
        let Some((low, high)) = self.shift.interval else {
            let enough = planning::pairs(self.spread, self.smallest, self.level, POWER);
            let least = enough.max(question.fewest_pairs()).max(self.pairs + 1);
            return u32::try_from(least).unwrap_or(u32::MAX);
        };
        let half = (high - low) / 2.0;
        let size = self.shift.estimate.abs();
        let room = if self.matters() { size } else { self.smallest - size };
        // A spread that would give this half width: intervals narrow with the root of their pairs.
        let one = planning::pairs(1.0, 1.0, self.level, 0.0);
        let with_power = planning::pairs(1.0, 1.0, self.level, POWER);
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        let (pairs, more) = (self.pairs as f64, with_power as f64 / one as f64);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float-to-int cast saturates"
        )]
        let enough = (pairs * more * (half / room).powi(2)).ceil() as u32;
        enough.max(u32::try_from(self.pairs + 1).unwrap_or(u32::MAX))
    }
}

fn reason(
    verdict: Verdict,
    primary: &Measured,
    others: &[MetricComparison],
    pairs: usize,
    enough: Option<u32>,
) -> String {
    let shown = primary.shown(true);
    let first = sentence(&shown, pairs);
    match verdict {
        Verdict::Worse if primary.verdict() != Verdict::Worse => worse(others, pairs),
        Verdict::Better | Verdict::Worse => first,
        Verdict::Same => {
            let least = metrics::amount_of_change(shown.metric, shown.minimum_effect);
            format!("{first}; a change under {least} does not matter")
        }
        Verdict::NotEnoughEvidence => match enough {
            Some(enough) if enough <= LARGEST => {
                format!("{first}; about {enough} pairs would be enough to tell")
            }
            _ => format!(
                "{first}; more than the {LARGEST} pairs that can be made would be needed: longer runs, another \
                 figure or a larger smallest effect tell sooner"
            ),
        },
    }
}

/// The other figures that are worse.
fn worse(others: &[MetricComparison], pairs: usize) -> String {
    let worse = others.iter().filter(|other| other.verdict == Verdict::Worse);
    worse.map(|other| sentence(other, pairs)).collect::<Vec<_>>().join("; ")
}

fn sentence(one: &MetricComparison, pairs: usize) -> String {
    let name = metrics::name(one.metric);
    let change = |fraction: f64| metrics::change(one.metric, fraction);
    match (one.low, one.high) {
        (Some(low), Some(high)) => format!(
            "{name} changed by {} (from {} to {} at {:.1} %) over {pairs} pairs",
            change(one.change),
            change(low),
            change(high),
            one.level * 100.0
        ),
        _ => format!("{name} changed by {} over {pairs} pairs, too few for an interval", change(one.change)),
    }
}

/// A fraction as people read it.
#[must_use]
pub fn percent(fraction: f64) -> String {
    // Rounded first, or a change of nothing would be one of -0.0 %.
    let rounded = (fraction * 1_000.0).round() / 10.0 + 0.0;
    format!("{rounded:.1} %")
}

#[cfg(test)]
mod tests;
