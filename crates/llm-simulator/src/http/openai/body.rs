//! Reading the fields of a JSON body as OpenAI does, with its error texts: a field of the wrong type
//! is named by its path, null is the same as absent.

use serde_json::{Map, Value};

use super::refusal::Refusal;
use crate::http::json_body::kind;

/// A JSON object of a body.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    members: &'a Map<String, Value>,
    /// Where it is, such as `messages[0].`; nothing for the body itself.
    path: String,
}

impl<'a> Fields<'a> {
    /// The whole body.
    pub(super) fn of(value: &'a Value) -> Result<Self, Refusal> {
        let found = kind(value);
        let members =
            value.as_object().ok_or(Refusal::WrongType { param: None, expected: "an object", found })?;
        Ok(Self { members, path: String::new() })
    }

    /// A field's path, as errors name it.
    pub(super) fn param(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    /// The names of fields that are none of these.
    pub(super) fn other_than(&self, known: &[&str]) -> Vec<String> {
        self.members.keys().filter(|name| !known.contains(&name.as_str())).cloned().collect()
    }

    /// Refuses fields that are none of these.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        match self.other_than(known).first() {
            Some(name) => Err(Refusal::Unknown(self.param(name))),
            None => Ok(()),
        }
    }

    /// A field's value; nothing when absent or null.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    /// Whether a field is there and null.
    pub(super) fn is_null(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(Value::is_null)
    }

    /// The refusal of a field's value.
    pub(super) fn wrong(&self, name: &str, expected: &'static str, value: &Value) -> Refusal {
        Refusal::WrongType { param: Some(self.param(name)), expected, found: kind(value) }
    }

    /// The refusal of a text that is none of those it may be.
    pub(super) fn none_of(&self, name: &str, found: &str, supported: &[&str]) -> Refusal {
        let supported = match supported {
            [] => String::new(),
            [one] => format!("'{one}'"),
            [first, second] => format!("'{first}' and '{second}'"),
            [before @ .., last] => {
                let before: Vec<String> = before.iter().map(|name| format!("'{name}'")).collect();
                format!("{}, and '{last}'", before.join(", "))
            }
        };
        Refusal::Value { param: self.param(name), found: found.to_owned(), supported }
    }

    /// The refusal of a field that is absent.
    pub(super) fn missing(&self, name: &str) -> Refusal {
        Refusal::Missing(self.param(name))
    }

    /// A text.
    pub(super) fn string(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        let read = |value: &'a Value| value.as_str().ok_or_else(|| self.wrong(name, "a string", value));
        self.get(name).map(read).transpose()
    }

    /// A text that has to be there.
    pub(super) fn required(&self, name: &str) -> Result<&'a str, Refusal> {
        if let Some(null) = self.members.get(name).filter(|value| value.is_null()) {
            return Err(self.wrong(name, "a string", null));
        }
        self.string(name)?.ok_or_else(|| self.missing(name))
    }

    /// A text out of some.
    pub(super) fn one_of(&self, name: &str, supported: &[&str]) -> Result<Option<&'a str>, Refusal> {
        match self.string(name)? {
            Some(text) if !supported.contains(&text) => Err(self.none_of(name, text, supported)),
            other => Ok(other),
        }
    }

    /// A truth value.
    pub(super) fn bool(&self, name: &str) -> Result<Option<bool>, Refusal> {
        let read = |value: &Value| value.as_bool().ok_or_else(|| self.wrong(name, "a boolean", value));
        self.get(name).map(read).transpose()
    }

    /// A number.
    pub(super) fn decimal(&self, name: &str, least: f64, most: f64) -> Result<Option<f64>, Refusal> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = value.as_f64().ok_or_else(|| self.wrong(name, "a decimal", value))?;
        if (least..=most).contains(&number) {
            return Ok(Some(number));
        }
        let above = number > most;
        let bound = if above { most } else { least }.to_string();
        let (param, found) = (self.param(name), value.to_string());
        Err(Refusal::Bounds { param, number: "decimal", above, bound, found })
    }

    /// A whole number.
    pub(super) fn integer(&self, name: &str, least: i64, most: i64) -> Result<Option<i64>, Refusal> {
        let Some(value) = self.get(name) else { return Ok(None) };
        // What is larger than any bound is the largest.
        let number = value.as_i64().or_else(|| value.as_u64().map(|_| i64::MAX));
        let number = number.ok_or_else(|| self.wrong(name, "an integer", value))?;
        let fits = (least..=most).contains(&number) && (number < i64::MAX || value.is_i64());
        if fits {
            return Ok(Some(number));
        }
        let above = number > least;
        let bound = if above { most } else { least }.to_string();
        let (param, found) = (self.param(name), value.to_string());
        Err(Refusal::Bounds { param, number: "integer", above, bound, found })
    }

    /// An object.
    pub(super) fn object(&self, name: &str) -> Result<Option<Self>, Refusal> {
        let read = |value: &'a Value| {
            let members = value.as_object().ok_or_else(|| self.wrong(name, "an object", value))?;
            Ok(Self { members, path: format!("{}.", self.param(name)) })
        };
        self.get(name).map(read).transpose()
    }

    /// The objects of a list.
    pub(super) fn objects(&self, name: &str, expected: &'static str) -> Result<Option<Vec<Self>>, Refusal> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let items = value.as_array().ok_or_else(|| self.wrong(name, expected, value))?;
        let read = |(index, item): (usize, &'a Value)| {
            let place = format!("{name}[{index}]");
            let members = item.as_object().ok_or_else(|| self.wrong(&place, "an object", item))?;
            Ok(Self { members, path: format!("{}.", self.param(&place)) })
        };
        items.iter().enumerate().map(read).collect::<Result<_, _>>().map(Some)
    }
}
