//! Rules as they are written: JSON, read with all mistakes reported together, and back. Pure.
//!
//! ```json
//! {"rules": [
//!   {"id": "busy", "comment": "every minute for ten seconds", "kind": "rate_limited",
//!    "match": {"protocol": "openai", "route": "/v1/chat/completions", "model": "gpt-4*",
//!              "tenant": "acme", "stream": true},
//!    "rate": 0.5,
//!    "schedule": {"from_seconds": 30, "for_seconds": 10, "every_seconds": 60},
//!    "retry_after_seconds": 2}
//! ]}
//! ```
//! Only `kind` has to be there, and `seconds` where a kind needs it: a rule without `match` is about
//! every request, without `rate` it is applied to each, without `schedule` it is always on.
//!
//! | kind | what happens | parameters |
//! |---|---|---|
//! | `rate_limited` | 429 | `retry_after_seconds` (1) |
//! | `server_error` | 500 | |
//! | `unavailable` | 503 | `retry_after_seconds` (none) |
//! | `overloaded` | 529, or 503 where there is none | |
//! | `timeout` | nothing is said, then 504, or 408 on Bedrock | `seconds` (600) |
//! | `reset` | the connection is reset, before anything is said or in the middle | `after_chunks` (before) |
//! | `slow_first_token` | the whole answer comes later | `seconds` |
//! | `stall` | a pause in the middle | `seconds`, `after_chunks` (1) |
//! | `cut` | the connection is closed in the middle | `after_chunks` (1) |
//! | `malformed` | an event, or a whole answer, that cannot be read | `after_chunks` (1) |
//! | `stream_error` | an error in a stream, in its protocol's words; streams only | `after_chunks` (1), `error` (`overloaded`) |
//! | `truncated` | the answer breaks off as if at its longest | `after_chunks` (1) |
//! | `wrong_usage` | wrong token counts | `usage` (all 0): `input_tokens`, `cached_input_tokens`, `output_tokens` |
//! | `refusal` | the model will not answer | |
//!
//! Bounds: 100 rules; rates above 0 and up to 1; `seconds` of a fault above 0 and up to 3,600;
//! `retry_after_seconds` up to 86,400; `after_chunks` up to 100,000; tokens up to 10¹²; a schedule's
//! seconds up to a year; `id` and `tenant` up to 100 and 200 characters, `model` 200, `comment` 500.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::criteria::fits;
use super::fields::{Fields, Unambiguous, quoted};
use super::{Criteria, Fault, Faults, MOST_RULES, Rule, Schedule, parameters};
use crate::call::Protocol;
use crate::models::Models;

/// Most mistakes of one document that are told.
const MOST_MISTAKES: usize = 100;
/// Furthest time in a schedule, in seconds: a year.
const FURTHEST: f64 = 31_536_000.0;
/// What is wrong in one place of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where, such as `rules[3].match.model`; empty for the document itself.
    pub field: String,
    /// Stable, for programs: `malformed`, `type`, `range`, `missing`, `unknown`, `duplicate` or
    /// `contradiction`.
    pub code: &'static str,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Mistake {
    pub(super) fn new(field: &str, code: &'static str, message: impl Into<String>) -> Self {
        Self { field: field.to_owned(), code, message: message.into() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.field, self.message)
        }
    }
}

/// Why a text holds no rules: all of it, up to a hundred mistakes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct FaultsError {
    /// What is wrong, in the order of the document; contradictions between rules last.
    pub mistakes: Vec<Mistake>,
}

impl FaultsError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        "faults"
    }
}

impl fmt::Display for FaultsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the faults cannot be used:")?;
        self.mistakes.iter().try_for_each(|mistake| write!(f, "\n    {mistake}"))
    }
}

impl Faults {
    /// Reads rules, whatever models there are.
    ///
    /// # Errors
    /// With everything that is wrong.
    pub fn from_json(text: &str) -> Result<Self, FaultsError> {
        Self::read(text, None)
    }

    /// Reads rules for these models.
    ///
    /// # Errors
    /// With everything that is wrong, a rule for a model that is not on offer included.
    pub fn for_models(text: &str, models: &Models) -> Result<Self, FaultsError> {
        Self::read(text, Some(models))
    }

    fn read(text: &str, models: Option<&Models>) -> Result<Self, FaultsError> {
        let mut mistakes = Vec::new();
        let written = match serde_json::from_str(text) {
            Ok(Unambiguous(document)) => items(document, &mut mistakes),
            Err(error) => {
                mistakes.push(Mistake::new("", "malformed", format!("not well-formed JSON: {error}")));
                Vec::new()
            }
        };
        let mut rules = Vec::new();
        for (place, value) in written.into_iter().enumerate() {
            rules.extend(rule(place, value, models, &mut mistakes).map(|rule| (place, rule)));
        }
        compare(&rules, &mut mistakes);
        if mistakes.is_empty() {
            return Ok(Self { rules: rules.into_iter().map(|(_, rule)| rule).collect() });
        }
        if let Some(more) = mistakes.len().checked_sub(MOST_MISTAKES).filter(|more| *more > 0) {
            mistakes.truncate(MOST_MISTAKES);
            mistakes.push(Mistake::new("", "more", format!("and {more} more mistakes")));
        }
        Err(FaultsError { mistakes })
    }

    /// The rules as they are written, without what is so anyway.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({"rules": self.rules.iter().map(written).collect::<Vec<_>>()})
    }
}

/// The rules of a document, as values.
fn items(document: Value, mistakes: &mut Vec<Mistake>) -> Vec<Value> {
    let mut fields = Fields::of("", document, mistakes);
    let rules = match fields.take("rules") {
        Some(Value::Array(rules)) if rules.len() > MOST_RULES => {
            let message = format!("{} rules are too many; {MOST_RULES} are taken", rules.len());
            fields.wrong("rules", "range", message);
            Vec::new()
        }
        Some(Value::Array(rules)) => rules,
        Some(other) => {
            fields.wrong("rules", "type", format!("a list belongs here, not {}", quoted(&other)));
            Vec::new()
        }
        None => {
            fields.wrong("rules", "missing", "a list of rules belongs here; an empty one for none");
            Vec::new()
        }
    };
    fields.end("the document");
    rules
}

/// One rule; nothing after a mistake.
fn rule(place: usize, value: Value, models: Option<&Models>, mistakes: &mut Vec<Mistake>) -> Option<Rule> {
    let before = mistakes.len();
    let mut fields = Fields::of(&format!("rules[{place}]"), value, mistakes);
    let id = fields.text("id", 100);
    let comment = fields.text("comment", 500);
    let kind = kind(&mut fields);
    let mut criteria = match fields.object("match") {
        Some(matching) => criteria(matching, models),
        None => Criteria::default(),
    };
    let rate = fields.number("rate", "a number above 0 and up to 1", |rate| rate > 0.0 && rate <= 1.0);
    let schedule = fields.object("schedule").map(schedule).unwrap_or_default();
    let fault = kind.and_then(|kind| parameters::read(kind, &mut fields));
    if let Some(kind) = kind {
        if kind == "stream_error" {
            if criteria.stream == Some(false) {
                fields.wrong("match.stream", "contradiction", "a stream_error comes in streams only");
            }
            criteria.stream = Some(true);
        }
        if !criteria.are_possible() {
            let message = "no request can be like this: the route never streams, or always does";
            fields.wrong("match", "contradiction", message);
        }
        fields.end(&format!("a rule of kind {kind}"));
    }
    let rate = rate.unwrap_or(1.0);
    (mistakes.len() == before).then_some(Rule { id, comment, criteria, rate, schedule, fault: fault? })
}

fn kind(fields: &mut Fields<'_>) -> Option<&'static str> {
    let known = Fault::KINDS.join(", ");
    let Some(value) = fields.take("kind") else {
        fields.wrong("kind", "missing", format!("one of {known} belongs here"));
        return None;
    };
    let kind = Fault::KINDS.into_iter().find(|kind| value.as_str() == Some(kind));
    if kind.is_none() {
        let code = if value.is_string() { "unknown" } else { "type" };
        fields.wrong("kind", code, format!("{} is none of {known}", quoted(&value)));
    }
    kind
}

fn criteria(mut fields: Fields<'_>, models: Option<&Models>) -> Criteria {
    let protocol = fields.one_of("protocol", &Protocol::ALL.map(Protocol::as_str)).and_then(Protocol::named);
    let routes: Vec<_> = Protocol::ALL.iter().flat_map(|protocol| protocol.routes()).copied().collect();
    let route = fields.one_of("route", &routes);
    if let (Some(protocol), Some(route)) = (protocol, route)
        && !protocol.routes().contains(&route)
    {
        let (name, routes) = (protocol.as_str(), protocol.routes().join(", "));
        let message = format!("{route:?} is not of {name}, which has {routes}");
        fields.wrong("route", "contradiction", message);
    }
    let model = fields.text("model", 200);
    if let (Some(model), Some(models)) = (&model, models)
        && !models.any()
        && !models.named().iter().any(|named| fits(model, named))
    {
        let named = models.named().join(", ");
        fields.wrong("model", "unknown", format!("{model:?} is not on offer; on offer are {named}"));
    }
    let tenant = fields.text("tenant", 200);
    let stream = fields.flag("stream");
    fields.end("match");
    Criteria { protocol, route, model, tenant, stream }
}

fn schedule(mut fields: Fields<'_>) -> Schedule {
    let within = |seconds: f64| (0.0..=FURTHEST).contains(&seconds);
    let above = |seconds: f64| (0.001..=FURTHEST).contains(&seconds);
    let wanted = "a number of seconds from 0.001 to 31536000";
    let from = fields.number("from_seconds", "a number of seconds from 0 to 31536000", within);
    let lasting = fields.number("for_seconds", wanted, above);
    let every = fields.number("every_seconds", wanted, above);
    match (lasting, every) {
        (Some(lasting), Some(every)) if lasting > every => {
            let message = format!(
                "on for {lasting} s every {every} s cannot be: the next time begins before the last ends"
            );
            fields.wrong("for_seconds", "contradiction", message);
        }
        (None, Some(_)) => {
            let message = "what is on again and again has to end each time: for_seconds says when";
            fields.wrong("for_seconds", "missing", message);
        }
        _ => {}
    }
    fields.end("schedule");
    let seconds = Duration::from_secs_f64;
    Schedule {
        from: from.map(seconds).unwrap_or_default(),
        lasting: lasting.map(seconds),
        every: every.map(seconds),
    }
}

/// What is wrong between rules.
fn compare(rules: &[(usize, Rule)], mistakes: &mut Vec<Mistake>) {
    let mut ids = HashMap::new();
    for (place, rule) in rules {
        if let Some(id) = &rule.id
            && let Some(first) = ids.insert(id, place)
        {
            let message = format!("{id:?} is the id of rules[{first}], too");
            mistakes.push(Mistake::new(&format!("rules[{place}].id"), "duplicate", message));
        }
        let before = rules.iter().take_while(|(earlier, _)| earlier < place);
        if let Some((first, _)) = before.into_iter().find(|(_, earlier)| earlier.hides(rule)) {
            let message = format!(
                "it can never apply: rules[{first}] before it takes every request that it is about; put it before that one, or give that one a rate below 1 or a schedule"
            );
            mistakes.push(Mistake::new(&format!("rules[{place}]"), "contradiction", message));
        }
    }
}

/// A rule as it is written.
fn written(rule: &Rule) -> Value {
    let mut members = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            members.insert(name.to_owned(), value);
        }
    };
    let object = |entries: &[(&str, Option<Value>)]| {
        let entries = entries.iter().filter_map(|(name, value)| Some(((*name).to_owned(), value.clone()?)));
        Some(entries.collect::<Map<_, _>>()).filter(|object| !object.is_empty()).map(Value::Object)
    };
    put("id", rule.id.clone().map(Value::from));
    put("comment", rule.comment.clone().map(Value::from));
    put("kind", Some(rule.fault.kind().into()));
    let Criteria { protocol, route, model, tenant, stream } = &rule.criteria;
    put(
        "match",
        object(&[
            ("protocol", protocol.map(|protocol| protocol.as_str().into())),
            ("route", route.map(Value::from)),
            ("model", model.clone().map(Value::from)),
            ("tenant", tenant.clone().map(Value::from)),
            ("stream", stream.map(Value::from)),
        ]),
    );
    put("rate", (rule.rate < 1.0).then(|| rule.rate.into()));
    let Schedule { from, lasting, every } = rule.schedule;
    let in_seconds = |duration: Duration| Value::from(duration.as_secs_f64());
    put(
        "schedule",
        object(&[
            ("from_seconds", (!from.is_zero()).then(|| in_seconds(from))),
            ("for_seconds", lasting.map(in_seconds)),
            ("every_seconds", every.map(in_seconds)),
        ]),
    );
    members.extend(parameters::write(&rule.fault));
    Value::Object(members)
}

#[cfg(test)]
mod tests;
