//! Answers in JSON: any object, or one that fits a JSON Schema. Pure.
//!
//! Understood of JSON Schema are `type`, `properties`, `required`, `items`, `prefixItems`, `enum`,
//! `const`, `$ref` within the schema, `allOf`, `anyOf`, `oneOf`, `minItems`, `maxItems`, `minimum`,
//! `maximum`, `exclusiveMinimum`, `exclusiveMaximum`, `multipleOf`, `minLength`, `maxLength` and the
//! commonest `format`s; the rest, `pattern` above all, is taken for granted. Of alternatives the
//! first counts that is not null.

mod bounds;
mod parts;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use self::parts::Parts;
use super::{FILLERS, SENTENCES, Subject, THEMES, Words, sentences};
use crate::draws::Draws;
use crate::tokens;

/// Deepest nesting followed; what lies deeper is null.
const DEEPEST: usize = 16;
/// Most values made for one answer; what would be more is null.
const MOST_VALUES: usize = 200;
/// Most bytes taken over from a schema, or written, for one answer; what would be more is null.
const MOST_BYTES: usize = 256 * 1024;
/// Longest text, in tokens, that is a word rather than sentences.
const WORD: u64 = 2;

/// Texts of a format; what they say is beside the point.
const FORMATS: [(&str, &str); 10] = [
    ("date", "2026-01-01"),
    ("date-time", "2026-01-01T00:00:00Z"),
    ("time", "00:00:00Z"),
    ("duration", "PT1H"),
    ("uuid", "00000000-0000-4000-8000-000000000000"),
    ("email", "reader@example.com"),
    ("uri", "https://example.com/"),
    ("hostname", "example.com"),
    ("ipv4", "192.0.2.1"),
    ("ipv6", "2001:db8::1"),
];

/// An object with a summary.
pub(super) fn any_object(subject: &Subject, tokens: u64, draws: &mut Draws) -> String {
    // Some tokens are the object's own.
    let summary = Value::from(sentences(subject, tokens.saturating_sub(4), draws));
    Value::Object(Map::from_iter([("summary".to_owned(), summary)])).to_string()
}

/// A value that fits this schema.
pub(super) fn fitting(schema: &Value, subject: &Subject, tokens: u64, draws: &Draws) -> String {
    // Once without texts, to know how many there are and how long the rest is: every text of the
    // value gets its share of what is left.
    let mut bare = Filler::new(schema, subject, None, draws.clone());
    let rest = tokens::count(&bare.value(schema, 0).to_string());
    let share = tokens.saturating_sub(rest) / bare.texts.max(1);
    Filler::new(schema, subject, Some(share), draws.clone()).value(schema, 0).to_string()
}

/// Makes the values of one answer.
struct Filler<'a> {
    /// What references refer to.
    root: &'a Value,
    subject: &'a Subject,
    /// Tokens of each text; nothing where texts are only counted.
    share: Option<u64>,
    draws: Draws,
    /// The references that are being followed.
    open: Vec<&'a str>,
    /// How many texts were made.
    texts: u64,
    /// How many more values may be made: nested arrays multiply.
    left: usize,
    /// How many more bytes may be made: a schema says a long text once, its lists repeat it.
    room: usize,
}

impl<'a> Filler<'a> {
    fn new(root: &'a Value, subject: &'a Subject, share: Option<u64>, draws: Draws) -> Self {
        let (left, room) = (MOST_VALUES, MOST_BYTES);
        Self { root, subject, share, draws, open: vec!["#"], texts: 0, left, room }
    }

    fn value(&mut self, schema: &'a Value, depth: usize) -> Value {
        let Some(left) = self.left.checked_sub(1).filter(|_| depth <= DEEPEST) else { return Value::Null };
        self.left = left;
        let parts = Parts::of(schema, self.root, &self.open);
        let before = self.open.len();
        self.open.extend(parts.references());
        let value = self.of_parts(&parts, depth);
        self.open.truncate(before);
        value
    }

    fn of_parts(&mut self, parts: &Parts<'a>, depth: usize) -> Value {
        if let Some(fixed) = parts.get("const") {
            return self.copy(fixed);
        }
        if let Some(Value::Array(choices)) = parts.get("enum") {
            let choice = self.draws.pick(choices);
            return choice.map_or(Value::Null, |choice| self.copy(choice));
        }
        match parts.kind() {
            "object" => self.object(parts, depth),
            "array" => self.array(parts, depth),
            "string" => self.text(parts, None),
            kind @ ("integer" | "number") => bounds::number(parts, kind == "integer", &mut self.draws),
            "boolean" => Value::from(self.draws.below(2) == 1),
            _ => Value::Null,
        }
    }

    fn object(&mut self, parts: &Parts<'a>, depth: usize) -> Value {
        // Sorted, because whether the map keeps its order depends on what else is in the build.
        let mut members = BTreeMap::new();
        for (name, schema) in parts.all("properties").filter_map(Value::as_object).flatten() {
            members.entry(name).or_insert(schema);
        }
        let mut object = Map::new();
        for (name, schema) in members {
            if self.recurs(schema) && !parts.requires(name) {
                continue;
            }
            if !self.charge(name.len()) {
                break;
            }
            let value = self.member(name, schema, depth);
            object.insert(name.clone(), value);
        }
        Value::Object(object)
    }

    fn member(&mut self, name: &str, schema: &'a Value, depth: usize) -> Value {
        let fixed = match name {
            "title" => self.subject.title.as_str(),
            "author" => self.subject.author.as_deref().unwrap_or("unknown"),
            _ => return self.value(schema, depth + 1),
        };
        let parts = Parts::of(schema, self.root, &self.open);
        let free = ["const", "enum", "format"].iter().all(|name| parts.get(name).is_none());
        if free && parts.kind() == "string" {
            return self.text(&parts, Some(fixed));
        }
        self.value(schema, depth + 1)
    }

    fn array(&mut self, parts: &Parts<'a>, depth: usize) -> Value {
        let first = parts.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let items = parts.get("items").unwrap_or(&Value::Null);
        let least = parts.whole("minItems").max();
        if least.is_none_or(|least| least == 0) && first.is_empty() && self.recurs(items) {
            return Value::Array(Vec::new());
        }
        // As few as it may have, one at least.
        let count = least.unwrap_or(1).max(1).min(parts.whole("maxItems").min().unwrap_or(u64::MAX));
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(self.left);
        Value::Array((0..count).map(|at| self.value(first.get(at).unwrap_or(items), depth + 1)).collect())
    }

    /// A text of its share, or a fixed one, within the lengths allowed.
    fn text(&mut self, parts: &Parts<'a>, fixed: Option<&str>) -> Value {
        let format = parts.get("format").and_then(Value::as_str);
        let known = format.and_then(|format| FORMATS.iter().find(|(name, _)| *name == format));
        if let Some((_, text)) = known {
            return self.copy(&Value::from(*text));
        }
        let mut text = match (fixed, self.share) {
            (Some(fixed), _) => fixed.to_owned(),
            (None, Some(share)) => short(self.subject, share, &mut self.draws),
            (None, None) => {
                self.texts += 1;
                return Value::from("");
            }
        };
        let least = parts.whole("minLength").max().unwrap_or(0);
        let most = parts.whole("maxLength").min().unwrap_or(u64::MAX);
        let mut length = text.chars().count() as u64;
        // A character has a byte at least.
        if least > self.room as u64 {
            (self.room, self.left) = (0, 0);
            return Value::Null;
        }
        for more in FILLERS.iter().rev().cycle() {
            if length >= least {
                break;
            }
            text.push(' ');
            text.push_str(more);
            length += 1 + more.len() as u64;
        }
        if length > most {
            let end = usize::try_from(most).ok().and_then(|most| text.char_indices().nth(most));
            text.truncate(end.map_or(text.len(), |(at, _)| at));
            let trimmed = text.trim_end();
            if trimmed.chars().count() as u64 >= least {
                text.truncate(trimmed.len());
            }
        }
        if self.charge(text.len()) { Value::from(text) } else { Value::Null }
    }

    /// Whether a schema is a reference that is being followed.
    fn recurs(&self, schema: &Value) -> bool {
        parts::reference(schema).is_some_and(|reference| self.open.contains(&reference))
    }

    /// What the schema itself says, as long as there is room for all of it.
    fn copy(&mut self, value: &Value) -> Value {
        if self.charge_all(value) { value.clone() } else { Value::Null }
    }

    fn charge_all(&mut self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.charge(text.len()),
            Value::Array(items) => self.charge(0) && items.iter().all(|item| self.charge_all(item)),
            Value::Object(members) => {
                let mut members = members.iter();
                self.charge(0)
                    && members.all(|(name, value)| self.charge(name.len()) && self.charge_all(value))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => self.charge(0),
        }
    }

    /// Whether there is room for one more value or name of so many bytes. Once there is none,
    /// nothing more is made.
    fn charge(&mut self, bytes: usize) -> bool {
        let needed = bytes.saturating_add(size_of::<Value>());
        if let Some(room) = self.room.checked_sub(needed) {
            self.room = room;
            return true;
        }
        (self.room, self.left) = (0, 0);
        false
    }
}

/// Whole sentences of exactly this many tokens, however few; a word where there are hardly any.
fn short(subject: &Subject, share: u64, draws: &mut Draws) -> String {
    if share <= WORD {
        return draws.pick(&THEMES).copied().unwrap_or_default().to_owned();
    }
    let text = sentences(subject, share, &mut draws.clone());
    if tokens::count(&text) <= share {
        return sentences(subject, share, draws);
    }
    let sentence = draws.pick(&SENTENCES).copied().unwrap_or_default();
    let mut text = Words::new(subject).fill(sentence, draws);
    if tokens::count(&text) > share {
        text.clear();
    }
    let mut length = tokens::count(&text);
    while length < share {
        let more = usize::try_from(share - length).unwrap_or(usize::MAX).min(FILLERS.len());
        if length > 0 {
            text.push(' ');
        }
        text.push_str(FILLERS.get(more - 1).copied().unwrap_or_default());
        length += more as u64;
    }
    text
}

#[cfg(test)]
mod tests;
