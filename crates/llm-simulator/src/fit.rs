//! Estimating a profile from recordings, and saying how well it fits. Pure.
//!
//! In reading order: [`sample`] (what of a recording counts), [`dependence`] (what depends on what),
//! [`estimate`] (calls in, a profile out), [`held_out`] (one half against the profile of the other).
//! Owns how few calls are too few. Must not know files nor a clock.

mod dependence;
mod estimate;
mod failures;
mod held_out;
mod sample;

use std::collections::BTreeMap;

pub use sample::Sample;

use crate::profile::goodness::QuantityFit;
use crate::profile::{Goodness, LONGEST_ANSWER, Profile, json};
use crate::recording::Recording;

/// Fewest calls, whatever is asked for: each half needs ten.
pub const FEWEST: usize = 20;
/// Longest model name kept, in characters.
const LONGEST_NAME: usize = 200;

/// Why there is no profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    /// There are no calls at all.
    #[error("there are no calls in these recordings; record some with `llm-simulator record`")]
    Empty,
    /// More than one model.
    #[error("more than one model was recorded, and a profile is of one; choose with --only-model: {0}")]
    SeveralModels(String),
    /// Not the model asked for.
    #[error("no call of model {wanted:?} was recorded; there are {recorded}")]
    NoSuchModel {
        /// Which was asked for.
        wanted: String,
        /// What there is.
        recorded: String,
    },
    /// Too few calls for one of the quantities.
    #[error("{quantity} needs {needed} calls and there are {found}: {hint}")]
    TooFew {
        /// What cannot be estimated.
        quantity: &'static str,
        /// Calls that it can be estimated from.
        found: usize,
        /// Calls that it takes.
        needed: usize,
        /// What to do.
        hint: &'static str,
    },
    /// A figure came out that a profile cannot hold.
    #[error("the recordings give a profile that cannot be: {0}")]
    Impossible(String),
}

impl FitError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::SeveralModels(_) => "several_models",
            Self::NoSuchModel { .. } => "no_such_model",
            Self::TooFew { .. } => "too_few",
            Self::Impossible(_) => "impossible",
        }
    }
}

/// The calls of the one model, in the order of time.
///
/// # Errors
/// When there are none, or calls of several models and none is asked for.
pub fn of_one_model<'a>(
    calls: impl IntoIterator<Item = &'a Recording>,
    only: Option<&str>,
) -> Result<Vec<&'a Recording>, FitError> {
    let mut by_model: BTreeMap<&str, Vec<&Recording>> = BTreeMap::new();
    for call in calls {
        by_model.entry(&call.model).or_default().push(call);
    }
    let listed = || {
        let each = by_model.iter().map(|(model, calls)| format!("{model:?} ({} calls)", calls.len()));
        each.take(20).collect::<Vec<_>>().join(", ")
    };
    let mut chosen = match (only, by_model.len()) {
        (_, 0) => return Err(FitError::Empty),
        (Some(wanted), _) => by_model
            .get(wanted)
            .cloned()
            .ok_or_else(|| FitError::NoSuchModel { wanted: wanted.to_owned(), recorded: listed() })?,
        (None, 1) => by_model.values().next().cloned().unwrap_or_default(),
        (None, _) => return Err(FitError::SeveralModels(listed())),
    };
    chosen.sort_by_key(|call| call.at);
    Ok(chosen)
}

/// Fits a profile to the calls of one model, which are in the order of time: first to every second
/// call, compared with the others, then to all.
///
/// # Errors
/// When there are too few calls for one of the quantities.
pub fn profile(calls: &[&Recording], fewest: usize) -> Result<Profile, FitError> {
    let all = Sample::of(calls.iter().copied());
    enough(&all, fewest.max(FEWEST))?;
    let half = |odd: usize| calls.iter().copied().enumerate().filter(move |(i, _)| i % 2 == odd);
    let fitted = Sample::of(half(0).map(|(_, call)| call));
    let held_out = Sample::of(half(1).map(|(_, call)| call));
    let from_half = estimate::profile(&fitted).ok_or_else(impossible)?;
    let mut goodness = held_out::compare(&from_half.profile, &fitted, &held_out);
    let estimated = estimate::profile(&all).ok_or_else(impossible)?;
    goodness.calls = all.counted() as u64;
    goodness.dependences = estimated.dependences;
    goodness.notes = notes(&all, estimated.beyond);
    let profile = Profile {
        name: name(calls),
        source: source(calls, all.counted()),
        fit: Some(goodness),
        ..estimated.profile
    };
    // What is written has to be what is read.
    let text = profile.to_json().map_err(|error| FitError::Impossible(error.to_string()))?;
    Profile::from_json(&text).map_err(|error| FitError::Impossible(error.to_string()))
}

/// Fits one sample and compares it with another: how well calls foretell other calls.
///
/// # Errors
/// When there are too few calls for one of the quantities.
pub fn against(fitted: &Sample<'_>, held_out: &Sample<'_>) -> Result<(Profile, Goodness), FitError> {
    enough(fitted, FEWEST / 2)?;
    enough(held_out, FEWEST / 2)?;
    let profile = json::rounded(estimate::profile(fitted).ok_or_else(impossible)?.profile);
    let goodness = held_out::compare(&profile, fitted, held_out);
    Ok((profile, goodness))
}

/// The quantities of one sample beside those of another, with no profile between them: the most that
/// one can ask of a profile.
#[must_use]
pub fn halves(one: &Sample<'_>, other: &Sample<'_>) -> Vec<QuantityFit> {
    held_out::halves(one, other)
}

fn impossible() -> FitError {
    FitError::Impossible("a quantity has no distribution".to_owned())
}

fn enough(sample: &Sample<'_>, needed: usize) -> Result<(), FitError> {
    let gaps = sample.timed().filter(|call| call.gap.is_some()).count();
    let parts = [
        ("the number of output tokens", sample.answered().count(), "record more calls that are answered"),
        (
            "the time to the first token",
            sample.timed().count(),
            "only answers that are streamed show when their first token came; record some",
        ),
        (
            "the gap between chunks",
            gaps,
            "only answers streamed in two or more chunks show it; record some that are longer",
        ),
    ];
    match parts.into_iter().find(|(_, found, _)| *found < needed) {
        Some((quantity, found, hint)) => Err(FitError::TooFew { quantity, found, needed, hint }),
        None => Ok(()),
    }
}

fn notes(sample: &Sample<'_>, beyond: f64) -> Vec<String> {
    let left = &sample.left_out;
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let longest = LONGEST_ANSWER as f64;
    let too_long = sample.answered().filter(|call| call.output_tokens > longest).count();
    let estimated = sample.answered().filter(|call| !call.reported).count();
    let many = |count: usize, what: &str| (count > 0).then(|| format!("{count} calls {what}"));
    [
        many(left.client_left, "were left by the client before their end and are not used"),
        many(
            left.mistaken,
            "were refused for a mistake of the client (400, 401, 403, 404, 413, 422) and are not used",
        ),
        many(left.without_text, "were answered without text, or not heard to their end, and are not used"),
        many(estimated, "reported no usage; their output tokens were counted by the simulator's estimate"),
        many(
            too_long,
            &format!("have more than {LONGEST_ANSWER} output tokens, which is the most that is simulated"),
        ),
        (beyond > 0.0).then(|| {
            format!(
                "{:.1} % of answers are longer than any that was not cut short; how much longer is not known",
                beyond * 100.0
            )
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn name(calls: &[&Recording]) -> String {
    let model = calls.first().map_or("", |call| call.model.as_str());
    let name: String = model.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
    if name.trim().is_empty() { "unnamed".to_owned() } else { name }
}

fn source(calls: &[&Recording], counted: usize) -> String {
    let mut protocols: Vec<&str> = calls.iter().map(|call| call.protocol.as_str()).collect();
    protocols.sort_unstable();
    protocols.dedup();
    let at = |call: Option<&&Recording>| {
        call.map_or_else(String::new, |call| call.at.format("%Y-%m-%d %H:%M").to_string())
    };
    format!(
        "fitted by llm-simulator {} to {counted} calls of {} over {}, recorded from {} to {} UTC",
        env!("CARGO_PKG_VERSION"),
        name(calls),
        protocols.join(" and "),
        at(calls.first()),
        at(calls.last()),
    )
}
