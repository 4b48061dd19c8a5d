//! The tenants' file, `TENANTS_FILE`: JSON, version 1. Read by hand and not by a derived reader, so that
//! all of its mistakes are told at once and by their place.
//!
//! ```json
//! {"version": 1, "default": {"tokensPerMinute": 20000},
//!  "tenants": [{"id": "acme", "apiKeySha256": ["9f86…"], "dailyBudgetUsd": "5.00", "requestsPerMinute": 60}]}
//! ```
//! A limit that is left out is none. `default` has the limits of whoever names no tenant.

use std::collections::{BTreeMap, HashMap};

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Map, Value};

use super::{KeyHash, Tenant, Tenants};
use crate::limits::Bounds;

/// The version of the form that this program reads.
const VERSION: u64 = 1;
/// Largest budget in dollars.
const MOST_DOLLARS: u32 = 1_000_000;
/// Largest rate.
const MOST_A_MINUTE: u64 = 1_000_000_000_000;
/// Mistakes beyond this many are not listed.
const MOST_MISTAKES: usize = 50;

/// The tenants of a file's text.
///
/// # Errors
/// All its mistakes.
pub fn parse(text: &str) -> Result<Tenants, Vec<String>> {
    let mut reader = Reader::default();
    match serde_json::from_str(text) {
        Ok(Value::Object(file)) => reader.file(&file),
        Ok(_) => reader.mistake("is no JSON object such as {\"version\":1,\"tenants\":[]}"),
        Err(error) => reader.mistake(format!("is no JSON: {error}")),
    }
    if reader.mistakes.is_empty() {
        return Ok(Tenants::new(reader.bounds, reader.by_key));
    }
    let more = reader.mistakes.len().saturating_sub(MOST_MISTAKES);
    reader.mistakes.truncate(MOST_MISTAKES);
    if more > 0 {
        reader.mistake(format!("and {more} more mistakes"));
    }
    Err(reader.mistakes)
}

#[derive(Default)]
struct Reader {
    bounds: BTreeMap<Tenant, Bounds>,
    by_key: HashMap<KeyHash, Tenant>,
    mistakes: Vec<String>,
}

impl Reader {
    fn mistake(&mut self, mistake: impl Into<String>) {
        self.mistakes.push(mistake.into());
    }

    fn only(&mut self, place: &str, object: &Map<String, Value>, known: &[&str]) {
        for name in object.keys().filter(|name| !known.contains(&name.as_str())) {
            let known = known.join(", ");
            self.mistake(format!("{place}{name:?} is not known; what is known here: {known}"));
        }
    }

    fn file(&mut self, file: &Map<String, Value>) {
        self.only("", file, &["version", "default", "tenants"]);
        if file.get("version").and_then(Value::as_u64) != Some(VERSION) {
            self.mistake(format!("version: has to be {VERSION}"));
        }
        let bounds = match file.get("default") {
            None => Bounds::default(),
            Some(Value::Object(limits)) => {
                self.only("default: ", limits, &LIMITS);
                self.limits("default", limits)
            }
            Some(_) => {
                self.mistake("default: is no object of limits");
                Bounds::default()
            }
        };
        self.bounds.insert(Tenant::default(), bounds);
        match file.get("tenants") {
            Some(Value::Array(tenants)) => {
                for (number, tenant) in tenants.iter().enumerate() {
                    self.tenant(number, tenant);
                }
            }
            None => {}
            Some(_) => self.mistake("tenants: is no list"),
        }
    }

    fn tenant(&mut self, number: usize, tenant: &Value) {
        let Value::Object(tenant) = tenant else {
            return self.mistake(format!("tenants[{number}]: is no object"));
        };
        let [budget, tokens, requests] = LIMITS;
        let known = ["id", "apiKeySha256", budget, tokens, requests];
        self.only(&format!("tenants[{number}]: "), tenant, &known);
        let name = tenant.get("id").and_then(Value::as_str).unwrap_or_default();
        let Some(id) = Tenant::named(name) else {
            return self.mistake(format!(
                "tenants[{number}].id: {name:?} is not 1 to 63 of a-z, 0-9, - and _ with no sign first"
            ));
        };
        let place = format!("tenants[{number}] ({id})");
        let bounds = self.limits(&place, tenant);
        if id == Tenant::default() {
            self.mistake(format!("{place}: has its limits under \"default\", and no key"));
        } else if self.bounds.insert(id.clone(), bounds).is_some() {
            self.mistake(format!("{place}: is there twice"));
        }
        match tenant.get("apiKeySha256") {
            None => {}
            Some(Value::Array(hashes)) => {
                for hash in hashes {
                    self.key(&place, hash, &id);
                }
            }
            Some(_) => self.mistake(format!("{place}: apiKeySha256 is no list of hashes")),
        }
    }

    fn key(&mut self, place: &str, text: &Value, id: &Tenant) {
        // Not shown: it may be the key itself.
        match text.as_str().and_then(digest) {
            None => self.mistake(format!(
                "{place}: an apiKeySha256 is not 64 hex digits; `bookstore-api tenant-key {id}` makes a good one"
            )),
            Some(hash) => {
                if let Some(other) = self.by_key.insert(hash, id.clone()) {
                    self.mistake(format!("{place}: has the key of {other} too"));
                }
            }
        }
    }

    fn limits(&mut self, place: &str, limits: &Map<String, Value>) -> Bounds {
        let [budget, tokens, requests] = LIMITS;
        Bounds {
            daily_nanos: limits.get(budget).and_then(|value| self.dollars(place, value)),
            tokens_per_minute: limits.get(tokens).and_then(|value| self.rate(place, tokens, value)),
            requests_per_minute: limits.get(requests).and_then(|value| self.rate(place, requests, value)),
        }
    }

    fn dollars(&mut self, place: &str, value: &Value) -> Option<u64> {
        let dollars = value.as_str().and_then(|text| text.trim().parse::<Decimal>().ok());
        let nanos = dollars.filter(|dollars| *dollars <= Decimal::from(MOST_DOLLARS)).and_then(nanos);
        if nanos.is_none() {
            self.mistake(format!(
                "{place}: dailyBudgetUsd {value} is no string of dollars such as \"5.00\", from 0 to {MOST_DOLLARS} with 9 decimals at most"
            ));
        }
        nanos
    }

    fn rate(&mut self, place: &str, name: &str, value: &Value) -> Option<u64> {
        let rate = value.as_u64().filter(|rate| (1..=MOST_A_MINUTE).contains(rate));
        if rate.is_none() {
            self.mistake(format!("{place}: {name} {value} is no whole number from 1 to {MOST_A_MINUTE}"));
        }
        rate
    }
}

/// Names of the limits.
const LIMITS: [&str; 3] = ["dailyBudgetUsd", "tokensPerMinute", "requestsPerMinute"];

/// Dollars in billionths, if they are a whole number of them.
#[must_use]
pub fn nanos(dollars: Decimal) -> Option<u64> {
    let nanos = dollars.checked_mul(Decimal::from(1_000_000_000))?;
    if nanos.is_integer() { nanos.to_u64() } else { None }
}

fn digest(text: &str) -> Option<KeyHash> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut hash = [0; 32];
    for (number, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * number..2 * number + 2)?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::limits::Bounds;
    use crate::tenants::Tenant;

    #[test]
    fn a_file_says_who_may_spend_what() {
        let hash = "AB".repeat(32);
        let text = format!(
            r#"{{"version":1,"default":{{"tokensPerMinute":20000}},"tenants":[
                {{"id":"acme","apiKeySha256":["{hash}"],"dailyBudgetUsd":"5.000000001","requestsPerMinute":60}},
                {{"id":"free","dailyBudgetUsd":"0"}}]}}"#
        );
        let tenants = parse(&text).unwrap();
        let bounds = |name| tenants.bounds(&Tenant::named(name).unwrap());
        let default = Bounds { tokens_per_minute: Some(20_000), ..Bounds::default() };
        assert_eq!(bounds("default"), default);
        assert_eq!(bounds("acme").daily_nanos, Some(5_000_000_001));
        assert_eq!((bounds("acme").tokens_per_minute, bounds("acme").requests_per_minute), (None, Some(60)));
        assert_eq!(bounds("free").daily_nanos, Some(0));
        assert_eq!(tenants.all().map(Tenant::as_str).collect::<Vec<_>>(), ["acme", "default", "free"]);
        assert_eq!(parse(r#"{"version":1}"#).unwrap().all().count(), 1);
    }

    #[test]
    fn all_mistakes_are_told_at_once_and_no_hash_among_them() {
        let hash = "cd".repeat(32);
        let text = format!(
            r#"{{"version":2,"extra":1,"default":{{"dailyBudgetUsd":"-1","x":1}},"tenants":[
                {{"id":"a","apiKeySha256":["{hash}","canary-key"],"dailyBudgetUsd":5}},
                {{"id":"a","apiKeySha256":["{hash}"],"tokensPerMinute":0}},
                {{"id":"A/B"}}, {{}}, 7,
                {{"id":"default"}},
                {{"id":"b","apiKeySha256":"{hash}","requestsPerMinute":1.5,"dailyBudgetUsd":"five"}},
                {{"id":"c","dailyBudgetUsd":"0.0000000001","unknown":true}}]}}"#
        );
        let mistakes = parse(&text).unwrap_err();
        for part in [
            "\"extra\" is not known",
            "version: has to be 1",
            "default: \"x\" is not known",
            "default: dailyBudgetUsd \"-1\"",
            "tenants[0] (a): dailyBudgetUsd 5",
            "tenants[0] (a): an apiKeySha256 is not 64 hex",
            "tenants[1] (a): tokensPerMinute 0",
            "tenants[1] (a): is there twice",
            "tenants[1] (a): has the key of a too",
            "tenants[2].id: \"A/B\"",
            "tenants[3].id: \"\"",
            "tenants[4]: is no object",
            "tenants[5] (default): has its limits",
            "tenants[6] (b): requestsPerMinute 1.5",
            "tenants[6] (b): dailyBudgetUsd \"five\"",
            "tenants[6] (b): apiKeySha256 is no list",
            "tenants[7]: \"unknown\" is not known",
            "tenants[7] (c): dailyBudgetUsd \"0.0000000001\"",
        ] {
            let found = mistakes.iter().filter(|mistake| mistake.starts_with(part)).count();
            assert_eq!(found, 1, "{part}: {mistakes:#?}");
        }
        assert_eq!(mistakes.len(), 18, "{mistakes:#?}");
        let all = mistakes.concat();
        assert!(!all.contains("canary") && !all.contains(&hash));
    }

    #[test]
    fn what_is_no_file_of_tenants_is_refused() {
        for text in [
            "",
            "[]",
            "{",
            "null",
            r#"{"tenants":[]}"#,
            r#"{"version":"1"}"#,
            r#"{"version":1,"tenants":{}}"#,
        ] {
            assert!(!parse(text).unwrap_err().is_empty(), "{text}");
        }
        let many = format!(r#"{{"version":1,"tenants":[{}]}}"#, vec!["1"; 10_000].join(","));
        assert_eq!(parse(&many).unwrap_err().len(), 51);
    }
}
