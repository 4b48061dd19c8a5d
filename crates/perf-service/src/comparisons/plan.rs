//! How many pairs a comparison makes, and how long that takes. Pure.
//!
//! The number follows the spread of the pairs so far, whose signs nobody looks at, and ends early only at
//! looks whose chance of a false word was set aside (`judgement`).

use common_models::ComparisonPlan;

use super::judgement::{LOOKS, Look, Pair, Question, is_plain, wanted};

/// Fewest pairs unless told: below them the figures beside the primary one can say nothing.
pub const LEAST: usize = 12;
/// Most pairs unless told.
pub const MOST: usize = 60;
/// Most pairs that can be asked for.
pub const LARGEST: u32 = 200;
/// Pairs that may count for nothing whatever their share.
pub const FEW_LEFT_OUT: usize = 3;
/// Seconds of a run beside its load: k6's start, the catalogue read, leftovers removed.
const ASIDE_SECONDS: u64 = 3;
/// Longest warm-up of a run.
const LONGEST_WARM_UP: u64 = 5;

/// Whether another pair is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is.
    More,
    /// These are enough; whether an early look ended it.
    Enough(Look),
}

/// The fewest and most pairs of a comparison that was asked for exactly so many, or left free.
#[must_use]
pub fn bounds(question: &Question, exactly: Option<u32>) -> (usize, usize) {
    match exactly {
        Some(pairs) => (pairs as usize, pairs as usize),
        None => {
            let least = LEAST.max(question.fewest_pairs());
            (least, MOST.max(least))
        }
    }
}

/// What to do after these pairs.
#[must_use]
pub fn next(question: &Question, (least, most): (usize, usize), pairs: &[Pair]) -> Next {
    let made = pairs.len();
    if made < least {
        return Next::More;
    }
    if made >= most || wanted(question, pairs).is_none_or(|wanted| wanted <= made) {
        return Next::Enough(Look::Last);
    }
    if LOOKS.contains(&made) && is_plain(question, pairs) {
        return Next::Enough(Look::Early);
    }
    Next::More
}

/// Pairs that are wanted by how those so far spread, once the fewest are made.
#[must_use]
pub fn asked_for(question: &Question, (least, _): (usize, usize), pairs: &[Pair]) -> Option<u32> {
    let wanted = wanted(question, pairs).filter(|_| pairs.len() >= least)?;
    Some(u32::try_from(wanted).unwrap_or(u32::MAX))
}

/// Runs that a comparison makes at most, those of pairs that count for nothing included: `conduct` gives up
/// once more than half as many as count do not, and more than [`FEW_LEFT_OUT`].
#[must_use]
pub const fn most_runs(most: usize) -> usize {
    let half = most / 2;
    let left_out = if half > FEW_LEFT_OUT { half } else { FEW_LEFT_OUT };
    2 * (most + left_out + 1)
}

/// What is said beforehand of runs of this many seconds of measured load. `start` seconds are what each
/// run's target takes to come up, where it is started for it.
#[must_use]
pub fn said(bounds: (usize, usize), run_seconds: u32, start: u64) -> ComparisonPlan {
    let run = u64::from(run_seconds)
        + LONGEST_WARM_UP.min(u64::from(run_seconds.div_ceil(5)))
        + ASIDE_SECONDS
        + start;
    let count = |pairs: usize| u32::try_from(pairs).unwrap_or(u32::MAX);
    let seconds = |pairs: usize| u64::from(count(pairs)) * 2 * run;
    ComparisonPlan {
        least_pairs: count(bounds.0),
        most_pairs: count(bounds.1),
        least_seconds: seconds(bounds.0),
        most_seconds: seconds(bounds.1),
        wanted_pairs: None,
    }
}
