//! Numbers within what a JSON Schema allows. Pure.

use serde_json::{Number, Value};

use super::parts::Parts;
use crate::draws::Draws;

/// How far numbers reach that are bounded on one side, or on none.
const REACH: f64 = 100.0;
/// Most digits after the point of a decimal, as long as it has a place there.
const DIGITS: i32 = 6;

/// A number, or a whole one.
pub(super) fn number(parts: &Parts<'_>, whole: bool, draws: &mut Draws) -> Value {
    let bound = |name: &'static str| parts.all(name).filter_map(Value::as_f64);
    let (least, above) = (bound("minimum").reduce(f64::max), bound("exclusiveMinimum").reduce(f64::max));
    let (most, below) = (bound("maximum").reduce(f64::min), bound("exclusiveMaximum").reduce(f64::min));
    let low = [least, above].into_iter().flatten().reduce(f64::max);
    let high = [most, below].into_iter().flatten().reduce(f64::min);
    let step = bound("multipleOf").find(|step| *step > 0.0);
    let narrow = low.zip(high).is_some_and(|(low, high)| high - low <= 1.0);
    if !whole && narrow && step.is_none() {
        let (low, high) = low.zip(high).unwrap_or_default();
        return decimal(low, high, draws);
    }
    let first = [least.map(f64::ceil), above.map(|above| above.floor() + 1.0)];
    let last = [most.map(f64::floor), below.map(|below| below.ceil() - 1.0)];
    let first = first.into_iter().flatten().reduce(f64::max);
    let last = last.into_iter().flatten().reduce(f64::min);
    // From zero on, unless zero is too much.
    let first = first.unwrap_or_else(|| last.filter(|last| *last < 0.0).map_or(0.0, |last| last - REACH));
    let last = last.unwrap_or(first + REACH).max(first);
    let drawn = draws.uniform().mul_add(last - first, first).floor();
    match step {
        Some(step) => {
            let up = (drawn / step).ceil() * step;
            exact(if up > last { (last / step).floor() * step } else { up })
        }
        None => exact(drawn),
    }
}

/// A number between two others that are close to each other, or the one that they are.
fn decimal(low: f64, high: f64, draws: &mut Draws) -> Value {
    // Never at an end, which may be excluded.
    let drawn = draws.uniform().mul_add(0.8, 0.1).mul_add(high - low, low);
    let rounded = (2..=DIGITS).map(|digits| {
        let tens = 10_f64.powi(digits);
        (drawn * tens).round() / tens
    });
    exact(rounded.into_iter().find(|rounded| low < *rounded && *rounded < high).unwrap_or(drawn))
}

/// A number in JSON, without a point where it needs none.
fn exact(number: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "a float-to-int cast saturates")]
    let whole = number as i64;
    #[expect(
        clippy::cast_precision_loss,
        clippy::float_cmp,
        reason = "whether it is the same number is asked"
    )]
    let same = whole as f64 == number;
    if same { Value::from(whole) } else { Number::from_f64(number).map_or(Value::Null, Value::Number) }
}
