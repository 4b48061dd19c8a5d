//! How well a profile foretells calls that it was not fitted to. Pure.
//!
//! Each held-out call is simulated several times under its own circumstances and bound, by the very
//! code that simulates when serving.

use statistics::{bootstrap, kolmogorov, ranks};

use super::failures;
use super::sample::Sample;
use crate::latency::Schedule;
use crate::profile::goodness::{ErrorFit, Goodness, QuantileFit, QuantityFit};
use crate::profile::{Circumstances, ErrorKind, Profile};
use crate::question::Fingerprint;

/// About so many simulated calls.
const SIMULATED: usize = 20_000;
/// The quantiles that are compared.
const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];
/// The level of intervals.
const LEVEL: f64 = 0.95;
/// The name of the quantity that the others make up.
pub(super) const DURATION: &str = "duration_ms";
/// The level of the interval in which the quantiles of a sample have to come back.
const OWN_LEVEL: f64 = 0.8;
/// Two standard deviations, nearly: the normal quantile of that level.
const Z: f64 = 1.959_963_984_540_054;

/// The quantities that are compared, of one call each.
#[derive(Default)]
struct Values {
    output_tokens: Vec<f64>,
    first_token: Vec<f64>,
    gap: Vec<f64>,
    duration: Vec<f64>,
    tokens_per_chunk: Vec<f64>,
}

/// Compares a profile, fitted to one half, with the other half.
pub(super) fn compare(profile: &Profile, fitted: &Sample<'_>, held_out: &Sample<'_>) -> Goodness {
    let (seen, simulated) = (observed(held_out), simulated(profile, held_out));
    let base = observed(fitted);
    Goodness {
        calls: 0,
        fitted: fitted.counted() as u64,
        held_out: held_out.counted() as u64,
        quantities: quantities(&seen, &simulated, Some(&base), LEVEL),
        errors: errors(profile, held_out),
        dependences: Vec::new(),
        notes: Vec::new(),
    }
}

/// Compares the quantities of two samples with each other.
pub(super) fn halves(one: &Sample<'_>, other: &Sample<'_>) -> Vec<QuantityFit> {
    quantities(&observed(other), &observed(one), None, LEVEL)
}

/// The names of the quantities whose quantiles a profile does not give back, of the very calls that
/// it was fitted to.
pub(super) fn missed(profile: &Profile, sample: &Sample<'_>) -> Vec<String> {
    quantities(&observed(sample), &simulated(profile, sample), None, OWN_LEVEL)
        .into_iter()
        .filter(|quantity| !quantity.quantiles.iter().all(QuantileFit::inside))
        .map(|quantity| quantity.name)
        .collect()
}

/// Each call several times, simulated under its own circumstances.
fn simulated(profile: &Profile, calls: &Sample<'_>) -> Values {
    let mut simulated = Values::default();
    let again = (SIMULATED / calls.calls.len().max(1)).clamp(1, 50);
    for (index, (call, answer)) in calls.answered_calls().enumerate() {
        for time in 0..again {
            let of = (call.circumstances, call.most, answer.timing.is_some());
            simulate(profile, &question(index, time), of, &mut simulated);
        }
    }
    simulated
}

/// Compares the quantities of held-out calls with simulated ones, and with how many they were fitted to.
fn quantities(seen: &Values, simulated: &Values, fitted: Option<&Values>, level: f64) -> Vec<QuantityFit> {
    let quantity = |name: &str, of: fn(&Values) -> &Vec<f64>| {
        quantity(name, of(seen), of(simulated), fitted.map(|values| of(values).len()), level)
    };
    [
        quantity("output_tokens", |values| &values.output_tokens),
        quantity("first_token_ms", |values| &values.first_token),
        quantity("gap_ms", |values| &values.gap),
        quantity(DURATION, |values| &values.duration),
        quantity("tokens_per_chunk", |values| &values.tokens_per_chunk),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn observed(sample: &Sample<'_>) -> Values {
    let timed = || sample.timed();
    Values {
        output_tokens: sample.answered().map(|answer| answer.output_tokens).collect(),
        first_token: timed().map(|call| call.first).collect(),
        gap: timed().filter_map(|call| call.gap).collect(),
        duration: timed().map(|call| call.duration).collect(),
        tokens_per_chunk: timed().map(|call| call.tokens_per_chunk).collect(),
    }
}

fn simulate(
    profile: &Profile,
    question: &Fingerprint,
    (circumstances, most, streamed): (Circumstances, Option<u64>, bool),
    into: &mut Values,
) {
    let drawn = profile.draw(question, &circumstances);
    let whole = usize::try_from(drawn.output_tokens).unwrap_or(usize::MAX);
    let tokens = whole.min(most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX));
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let count = tokens as f64;
    into.output_tokens.push(count);
    if !streamed {
        return;
    }
    let schedule = Schedule::draw(question, profile, &drawn, whole);
    let milliseconds = |duration: std::time::Duration| duration.as_secs_f64() * 1_000.0;
    let first = milliseconds(schedule.first_token());
    into.first_token.push(first);
    into.duration.push(milliseconds(schedule.whole(tokens)));
    let (chunks, last) =
        schedule.chunks(tokens).fold((0_u32, first), |(n, _), (_, due)| (n + 1, milliseconds(due)));
    if chunks > 1 {
        into.gap.push((last - first) / f64::from(chunks - 1));
    }
    if chunks > 0 {
        into.tokens_per_chunk.push(count / f64::from(chunks));
    }
}

/// A question for each simulated call: nothing but its number.
fn question(index: usize, time: usize) -> Fingerprint {
    let mut question = [0; 32];
    let numbers = (index as u64).to_le_bytes().into_iter().chain((time as u64).to_le_bytes());
    for (place, byte) in question.iter_mut().zip(numbers) {
        *place = byte;
    }
    question
}

fn quantity(
    name: &str,
    seen: &[f64],
    simulated: &[f64],
    fitted: Option<usize>,
    level: f64,
) -> Option<QuantityFit> {
    let distance = kolmogorov::distance(seen, simulated)?;
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let noise = 1.0 / seen.len() as f64
        + 1.0 / simulated.len() as f64
        + fitted.map_or(0.0, |n| 1.0 / n.max(1) as f64);
    let sorted = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_unstable_by(f64::total_cmp);
        values
    };
    let (seen, simulated) = (sorted(seen), sorted(simulated));
    let quantiles = QUANTILES
        .into_iter()
        .filter_map(|q| {
            Some(QuantileFit {
                q,
                held_out: ranks::quantile(&seen, q)?,
                interval: bootstrap::quantile_interval(&seen, q, level)?,
                simulated: ranks::quantile(&simulated, q)?,
            })
        })
        .collect();
    Some(QuantityFit {
        name: name.to_owned(),
        n: seen.len() as u64,
        distance,
        p_value: kolmogorov::survival(distance / noise.sqrt()),
        quantiles,
    })
}

fn errors(profile: &Profile, held_out: &Sample<'_>) -> Vec<ErrorFit> {
    let (seen, _) = failures::estimate(held_out);
    let mut kinds: Vec<ErrorKind> =
        profile.errors.kinds.iter().chain(&seen.kinds).map(|error| error.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let rate = |errors: &crate::profile::Errors, kind| {
        errors.kinds.iter().find(|error| error.kind == kind).map_or(0.0, |error| error.rate)
    };
    kinds
        .into_iter()
        .map(|kind| {
            let share = rate(&seen, kind);
            ErrorFit {
                kind: match kind {
                    ErrorKind::Status(status) => format!("status {status}"),
                    other => other.as_str().to_owned(),
                },
                fitted: rate(&profile.errors, kind),
                held_out: share,
                interval: wilson(share, held_out.counted()),
            }
        })
        .collect()
}

/// The interval of a share (Wilson 1927, <https://doi.org/10.1080/01621459.1927.10502953>).
fn wilson(share: f64, n: usize) -> (f64, f64) {
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let n = n.max(1) as f64;
    let z = Z * Z / n;
    let centre = (share + z / 2.0) / (1.0 + z);
    let half = (share * (1.0 - share) * z + z * z / 4.0).sqrt() / (1.0 + z);
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{missed, wilson};
    use crate::fit::{Sample, estimate};
    use crate::profile::{Covariate, Effect};
    use crate::recording::Recording;

    #[test]
    fn an_effect_that_does_not_give_back_a_quantity_is_missed() {
        let calls: Vec<Recording> = (0..600_u32)
            .map(|i| {
                let (first, input) = (100.0 + f64::from(i * 37 % 600), 10 + i % 50);
                let call = json!({
                    "version": 1, "at": "2026-11-01T10:00:00Z", "protocol": "openai",
                    "route": "/v1/chat/completions", "model": "m", "stream": true,
                    "request": {"fingerprint": "", "turns": [], "tokens": input},
                    "concurrency": 1, "status": 200, "chunk_ms": [first, first + 5.0],
                    "chunk_bytes": [3, 4], "total_ms": first + 5.0,
                    "usage": {"input_tokens": 1, "output_tokens": 2}, "end": "complete"
                });
                serde_json::from_value(call).unwrap()
            })
            .collect();
        let sample = Sample::of(&calls);
        let mut profile = estimate::profile(&sample).unwrap().profile;
        assert_eq!(missed(&profile, &sample), Vec::<String>::new());
        let factors = vec![(10.0, 1.0), (60.0, 3.0)];
        profile.first_token.effects.push(Effect { covariate: Covariate::InputTokens, factors });
        assert_eq!(missed(&profile, &sample), ["first_token_ms", "duration_ms"]);
    }

    #[test]
    fn the_interval_of_a_share_has_its_known_values() {
        // 15 of 200, and none of 20 (Newcombe 1998, table I gives 0.0460–0.1200 and 0–0.1611).
        let near = |(a, b): (f64, f64), (c, d): (f64, f64)| (a - c).abs() < 1e-3 && (b - d).abs() < 1e-3;
        assert!(near(wilson(0.075, 200), (0.0460, 0.1200)), "{:?}", wilson(0.075, 200));
        assert!(near(wilson(0.0, 20), (0.0, 0.1611)), "{:?}", wilson(0.0, 20));
    }
}
