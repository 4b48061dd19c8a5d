//! Reading a JSON body as AWS's services do: null is the same as absent, unknown members are
//! ignored (`additionalModelRequestFields` is where a model refuses them), numbers lose what stands
//! after the point where a whole one is wanted, and a member of the wrong type is a
//! `SerializationException` in the words that other services of AWS use. Pure.

use serde_json::{Map, Value};

use super::refusal::Refusal;
use crate::http::json_body;

/// A JSON object read as a structure of AWS's.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(&'a Map<String, Value>);

/// A body; an empty one is an empty structure.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, Refusal> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Object(Map::new()));
    }
    json_body::parse(bytes).map_err(|error| Refusal::Unreadable(format!("The body cannot be read: {error}")))
}

impl<'a> Fields<'a> {
    /// A structure.
    pub(super) fn of(value: &'a Value) -> Result<Self, Refusal> {
        value.as_object().map(Self).ok_or_else(|| wrong(value, "structure"))
    }

    /// A member's value; nothing when absent or null.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A text.
    pub(super) fn string(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        self.get(name).map(string).transpose()
    }

    /// A whole number.
    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, Refusal> {
        #[expect(clippy::cast_possible_truncation, reason = "a float-to-int cast saturates")]
        let whole = |value: &Value| value.as_i64().or_else(|| value.as_f64().map(|number| number as i64));
        self.get(name).map(|value| whole(value).ok_or_else(|| wrong(value, "Integer"))).transpose()
    }

    /// A number.
    pub(super) fn float(&self, name: &str) -> Result<Option<f64>, Refusal> {
        self.get(name).map(|value| value.as_f64().ok_or_else(|| wrong(value, "Float"))).transpose()
    }

    /// A structure.
    pub(super) fn structure(&self, name: &str) -> Result<Option<Self>, Refusal> {
        self.get(name).map(Self::of).transpose()
    }

    /// A list; empty when absent.
    pub(super) fn list(&self, name: &str) -> Result<&'a [Value], Refusal> {
        match self.get(name) {
            None => Ok(&[]),
            Some(Value::Array(items)) => Ok(items),
            Some(other) => Err(wrong(other, "list")),
        }
    }

    /// The structures of a list.
    pub(super) fn structures(&self, name: &str) -> Result<Vec<Self>, Refusal> {
        self.list(name)?.iter().map(Self::of).collect()
    }

    /// The texts of a list.
    pub(super) fn strings(&self, name: &str) -> Result<Vec<String>, Refusal> {
        self.list(name)?.iter().map(|item| string(item).map(str::to_owned)).collect()
    }

    /// Holds that a member of this name, if there is one, maps texts to texts.
    pub(super) fn texts_by_name(&self, name: &str) -> Result<(), Refusal> {
        let Some(Fields(members)) = self.structure(name)? else { return Ok(()) };
        members.values().try_for_each(|value| string(value).map(drop))
    }
}

fn string(value: &Value) -> Result<&str, Refusal> {
    value.as_str().ok_or_else(|| wrong(value, "String"))
}

/// The refusal of a value where something else is wanted.
fn wrong(value: &Value, wanted: &str) -> Refusal {
    let token = match value {
        Value::Object(_) => {
            return Refusal::Unreadable("Start of structure or map found where not expected.".to_owned());
        }
        Value::Array(_) => return Refusal::Unreadable("Start of list found where not expected".to_owned()),
        _ if matches!(wanted, "structure" | "list") => {
            return Refusal::Unreadable("Unexpected field type".to_owned());
        }
        Value::Null => "NULL_VALUE",
        Value::Bool(true) => "TRUE_VALUE",
        Value::Bool(false) => "FALSE_VALUE",
        Value::Number(_) => "NUMBER_VALUE",
        Value::String(_) => "STRING_VALUE",
    };
    Refusal::Unreadable(format!("{token} cannot be converted to {wanted}"))
}
