//! The members of a JSON object, taken one by one, and what is wrong with them. Pure.
//!
//! Nothing stops at the first mistake. Must not know what the members are for.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::document::Mistake;

/// Longest text of a client's that is repeated to it, in characters.
const LONGEST_QUOTE: usize = 60;

/// The members of an object.
pub(super) struct Fields<'a> {
    /// Where it stands in the document, with a dot at the end where there is any.
    prefix: String,
    members: Map<String, Value>,
    known: Vec<&'static str>,
    mistakes: &'a mut Vec<Mistake>,
}

impl<'a> Fields<'a> {
    /// The members of a value, which are none where it is no object.
    pub(super) fn of(place: &str, value: Value, mistakes: &'a mut Vec<Mistake>) -> Self {
        let members = match value {
            Value::Object(members) => members,
            other => {
                let message = format!("an object belongs here, not {}", quoted(&other));
                mistakes.push(Mistake::new(place, "type", message));
                Map::new()
            }
        };
        let prefix = if place.is_empty() { String::new() } else { format!("{place}.") };
        Self { prefix, members, known: Vec::new(), mistakes }
    }

    /// A member that is an object.
    pub(super) fn object(&mut self, name: &'static str) -> Option<Fields<'_>> {
        let value = self.take(name)?;
        Some(Fields::of(&format!("{}{name}", self.prefix), value, self.mistakes))
    }

    /// A member as it is; null is none.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.members.remove(name).filter(|value| !value.is_null())
    }

    /// Whether there is such a member.
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|value| !value.is_null())
    }

    /// A text of some length.
    pub(super) fn text(&mut self, name: &'static str, longest: usize) -> Option<String> {
        let value = self.take(name)?;
        match value.as_str().map(str::trim) {
            Some(text)
                if !text.is_empty()
                    && text.chars().count() <= longest
                    && !text.contains(|c: char| c.is_control()) =>
            {
                return Some(text.to_owned());
            }
            Some(_) => {
                self.wrong(name, "range", format!("a line of 1 to {longest} characters belongs here"));
            }
            None => self.wrong(name, "type", format!("a text belongs here, not {}", quoted(&value))),
        }
        None
    }

    /// True or false.
    pub(super) fn flag(&mut self, name: &'static str) -> Option<bool> {
        let value = self.take(name)?;
        if value.as_bool().is_none() {
            self.wrong(name, "type", format!("true or false belongs here, not {}", quoted(&value)));
        }
        value.as_bool()
    }

    /// One of several texts.
    pub(super) fn one_of(&mut self, name: &'static str, all: &[&'static str]) -> Option<&'static str> {
        let value = self.take(name)?;
        let found = all.iter().find(|one| value.as_str() == Some(one)).copied();
        if found.is_none() {
            let code = if value.is_string() { "unknown" } else { "type" };
            self.wrong(name, code, format!("{} is none of {}", quoted(&value), all.join(", ")));
        }
        found
    }

    /// A number that is accepted.
    pub(super) fn number(
        &mut self,
        name: &'static str,
        wanted: &str,
        accepted: impl Fn(f64) -> bool,
    ) -> Option<f64> {
        let value = self.take(name)?;
        let number = value.as_f64().filter(|number| accepted(*number));
        if number.is_none() {
            let code = if value.is_number() { "range" } else { "type" };
            self.wrong(name, code, format!("{wanted} belongs here, not {}", quoted(&value)));
        }
        number
    }

    /// A whole number up to a bound.
    pub(super) fn whole(&mut self, name: &'static str, most: u64) -> Option<u64> {
        let value = self.take(name)?;
        let number = value.as_u64().filter(|number| *number <= most);
        if number.is_none() {
            let code = if value.is_number() { "range" } else { "type" };
            let message = format!("a whole number from 0 to {most} belongs here, not {}", quoted(&value));
            self.wrong(name, code, message);
        }
        number
    }

    /// Notes that a member is wrong.
    pub(super) fn wrong(&mut self, name: &str, code: &'static str, message: impl Into<String>) {
        self.mistakes.push(Mistake::new(&format!("{}{name}", self.prefix), code, message));
    }

    /// Notes members that nobody took. `whose` says what has no such member.
    pub(super) fn end(mut self, whose: &str) {
        let known = self.known.join(", ");
        for name in std::mem::take(&mut self.members).into_iter().map(|(name, _)| name) {
            let name: String = name.chars().take(LONGEST_QUOTE).collect();
            self.wrong(&name, "unknown", format!("{whose} has no such field; it has {known}"));
        }
    }
}

/// A value as it may be repeated.
pub(super) fn quoted(value: &Value) -> String {
    let text = value.to_string();
    let mut shown: String = text.chars().take(LONGEST_QUOTE).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// JSON of which no object has two members of one name: of those only the last would count.
pub(super) struct Unambiguous(pub(super) Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(AnyValue).map(Self)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(Unambiguous(item)) = items.next_element()? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let Unambiguous(value) = members.next_value()?;
            if all.contains_key(&name) {
                let name: String = name.chars().take(LONGEST_QUOTE).collect();
                return Err(A::Error::custom(format!("{name:?} stands twice in one object")));
            }
            all.insert(name, value);
        }
        Ok(Value::Object(all))
    }
}
