//! The parameters of each kind of fault: read and written, with their bounds and what they are where
//! nothing is said. Pure. [`super::document`] lists them for people.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Fault;
use super::fields::Fields;
use crate::answer::Usage;
use crate::failure::{Failure, Trouble};

/// Longest pause that a fault makes, in seconds: within what a request may take.
const LONGEST_PAUSE: f64 = 3_600.0;
/// Longest `Retry-After`, in seconds: a day.
const LONGEST_WAIT: f64 = 86_400.0;
/// Most chunks before something goes wrong.
const MOST_CHUNKS: u64 = 100_000;
/// Chunks before something goes wrong, where nothing is said: enough to be in the middle.
const CHUNKS: usize = 1;
/// How long nothing is said where nothing is said about it: what official clients wait for, too.
const TIMEOUT: Duration = Duration::from_secs(600);
/// When asking again makes sense, likewise.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The failures that a stream may tell of.
const STREAM_ERRORS: [&str; 4] = ["overloaded", "server_error", "rate_limited", "unavailable"];

/// Most tokens that may be told in place of the real ones.
const MOST_TOLD: u64 = 1_000_000_000_000;

/// What a rule of a kind does, by the kind's own parameters.
pub(super) fn read(kind: &'static str, fields: &mut Fields<'_>) -> Option<Fault> {
    Some(match kind {
        "rate_limited" => {
            Fault::Failure(Failure::RateLimited { retry_after: retry_after(fields).unwrap_or(RETRY_AFTER) })
        }
        "server_error" => Fault::Failure(Failure::ServerError),
        "unavailable" => Fault::Failure(Failure::Unavailable { retry_after: retry_after(fields) }),
        "overloaded" => Fault::Failure(Failure::Overloaded),
        "timeout" => Fault::Failure(Failure::Timeout { after: seconds(fields).unwrap_or(TIMEOUT) }),
        "reset" => match after(fields) {
            Some(after) => Fault::Trouble(Trouble::Reset { after }),
            None => Fault::Failure(Failure::Reset),
        },
        "slow_first_token" => Fault::Trouble(Trouble::SlowFirstToken(needed_seconds(fields)?)),
        "stall" => {
            let (after, pause) = (after(fields).unwrap_or(CHUNKS), needed_seconds(fields));
            Fault::Trouble(Trouble::Stall { after, pause: pause? })
        }
        "cut" => Fault::Trouble(Trouble::Cut { after: after(fields).unwrap_or(CHUNKS) }),
        "malformed" => Fault::Trouble(Trouble::Malformed { after: after(fields).unwrap_or(CHUNKS) }),
        "stream_error" => {
            let after = after(fields).unwrap_or(CHUNKS);
            let failure = match fields.one_of("error", &STREAM_ERRORS) {
                Some("server_error") => Failure::ServerError,
                Some("rate_limited") => Failure::RateLimited { retry_after: RETRY_AFTER },
                Some("unavailable") => Failure::Unavailable { retry_after: None },
                _ => Failure::Overloaded,
            };
            Fault::Trouble(Trouble::StreamError { after, failure })
        }
        "truncated" => Fault::Trouble(Trouble::Truncated { after: after(fields).unwrap_or(CHUNKS) }),
        "wrong_usage" => Fault::Trouble(Trouble::WrongUsage(usage(fields))),
        "refusal" => Fault::Trouble(Trouble::Refusal),
        _ => return None,
    })
}

fn after(fields: &mut Fields<'_>) -> Option<usize> {
    fields.whole("after_chunks", MOST_CHUNKS).and_then(|after| usize::try_from(after).ok())
}

fn retry_after(fields: &mut Fields<'_>) -> Option<Duration> {
    let within = |seconds: f64| (0.0..=LONGEST_WAIT).contains(&seconds);
    let wanted = "a number of seconds from 0 to 86400";
    fields.number("retry_after_seconds", wanted, within).map(Duration::from_secs_f64)
}

fn seconds(fields: &mut Fields<'_>) -> Option<Duration> {
    let within = |seconds: f64| (0.001..=LONGEST_PAUSE).contains(&seconds);
    let wanted = "a number of seconds from 0.001 to 3600";
    fields.number("seconds", wanted, within).map(Duration::from_secs_f64)
}

/// Those of a kind that has no usual ones.
fn needed_seconds(fields: &mut Fields<'_>) -> Option<Duration> {
    if !fields.has("seconds") {
        fields.wrong("seconds", "missing", "a number of seconds from 0.001 to 3600 belongs here");
    }
    seconds(fields)
}

fn usage(fields: &mut Fields<'_>) -> Usage {
    let Some(mut fields) = fields.object("usage") else { return Usage::default() };
    let mut tokens = |name| fields.whole(name, MOST_TOLD).unwrap_or_default();
    let usage = Usage {
        input_tokens: tokens("input_tokens"),
        cached_input_tokens: tokens("cached_input_tokens"),
        output_tokens: tokens("output_tokens"),
    };
    fields.end("usage");
    usage
}

/// The parameters of what a rule does, without those that are so anyway.
pub(super) fn write(fault: &Fault) -> Map<String, Value> {
    let mut members = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            members.insert(name.to_owned(), value);
        }
    };
    let in_seconds = |duration: Duration| Value::from(duration.as_secs_f64());
    let chunks = |after: usize| Some(Value::from(after));
    match fault {
        Fault::Failure(Failure::RateLimited { retry_after }) => {
            put("retry_after_seconds", Some(in_seconds(*retry_after)));
        }
        Fault::Failure(Failure::Unavailable { retry_after }) => {
            put("retry_after_seconds", retry_after.map(in_seconds));
        }
        Fault::Failure(Failure::Timeout { after }) => put("seconds", Some(in_seconds(*after))),
        Fault::Trouble(Trouble::SlowFirstToken(pause)) => put("seconds", Some(in_seconds(*pause))),
        Fault::Trouble(Trouble::Stall { after, pause }) => {
            put("seconds", Some(in_seconds(*pause)));
            put("after_chunks", chunks(*after));
        }
        Fault::Trouble(
            Trouble::Cut { after }
            | Trouble::Malformed { after }
            | Trouble::Reset { after }
            | Trouble::Truncated { after },
        ) => put("after_chunks", chunks(*after)),
        Fault::Trouble(Trouble::StreamError { after, failure }) => {
            put("after_chunks", chunks(*after));
            put("error", Some(failure.kind().into()));
        }
        Fault::Trouble(Trouble::WrongUsage(usage)) => put(
            "usage",
            Some(json!({
                "input_tokens": usage.input_tokens,
                "cached_input_tokens": usage.cached_input_tokens,
                "output_tokens": usage.output_tokens,
            })),
        ),
        Fault::Failure(_) | Fault::Trouble(Trouble::Refusal) => {}
    }
    members
}
