//! Reading the fields of a JSON body as Anthropic does, with its error texts: a field is named by
//! its path with dots, null is a value of the wrong type where a field is not said to take it.

use serde_json::{Map, Value};

use super::refusal::Refusal;

/// A JSON object of a body.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    members: &'a Map<String, Value>,
    /// Where it is, such as `messages.0.`; nothing for the body itself.
    path: String,
}

impl<'a> Fields<'a> {
    /// The whole body.
    pub(super) fn of(value: &'a Value) -> Result<Self, Refusal> {
        let members = value.as_object();
        let members =
            members.ok_or_else(|| Refusal::Unfit("Input should be a valid dictionary".to_owned()))?;
        Ok(Self { members, path: String::new() })
    }

    /// A field's path, as errors name it.
    pub(super) fn place(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    /// The path of the object itself.
    pub(super) fn own_place(&self) -> &str {
        self.path.trim_end_matches('.')
    }

    /// The same object, called by another path.
    pub(super) fn under(&self, name: &str) -> Self {
        Self { members: self.members, path: format!("{}{name}.", self.path) }
    }

    /// Refuses fields that are none of these.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        match self.members.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(Refusal::Extra(self.place(name))),
            None => Ok(()),
        }
    }

    /// A field's value; nothing when absent.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.members.get(name)
    }

    /// The refusal of a field's value.
    pub(super) fn wrong(&self, name: &str, wanted: &str) -> Refusal {
        Refusal::wrong(self.place(name), format!("Input should be {wanted}"))
    }

    /// The refusal of a field that is absent.
    pub(super) fn missing(&self, name: &str) -> Refusal {
        Refusal::Missing(self.place(name))
    }

    /// A text.
    pub(super) fn string(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        let read = |value: &'a Value| value.as_str().ok_or_else(|| self.wrong(name, "a valid string"));
        self.get(name).map(read).transpose()
    }

    /// A text or null.
    pub(super) fn nullable_string(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        if self.get(name).is_some_and(Value::is_null) { Ok(None) } else { self.string(name) }
    }

    /// A text that has to be there.
    pub(super) fn required(&self, name: &str) -> Result<&'a str, Refusal> {
        self.string(name)?.ok_or_else(|| self.missing(name))
    }

    /// A text out of some.
    pub(super) fn one_of(&self, name: &str, supported: &[&str]) -> Result<Option<&'a str>, Refusal> {
        match self.string(name)? {
            Some(text) if !supported.contains(&text) => Err(self.wrong(name, &alternatives(supported))),
            other => Ok(other),
        }
    }

    /// The `type` by which an object is told from others.
    pub(super) fn tag(&self, supported: &[&str]) -> Result<&'a str, Refusal> {
        let found = self.required("type")?;
        if supported.contains(&found) {
            return Ok(found);
        }
        let expected: Vec<String> = supported.iter().map(|name| format!("'{name}'")).collect();
        let said = format!(
            "Input tag '{found}' found using 'type' does not match any of the expected tags: {}",
            expected.join(", ")
        );
        Err(Refusal::wrong(self.own_place(), said))
    }

    /// A truth value.
    pub(super) fn bool(&self, name: &str) -> Result<Option<bool>, Refusal> {
        let read = |value: &Value| value.as_bool().ok_or_else(|| self.wrong(name, "a valid boolean"));
        self.get(name).map(read).transpose()
    }

    /// A number from zero to one.
    pub(super) fn share(&self, name: &str) -> Result<(), Refusal> {
        let Some(value) = self.get(name) else { return Ok(()) };
        match value.as_f64() {
            None => Err(self.wrong(name, "a valid number")),
            Some(number) if !(0.0..=1.0).contains(&number) => {
                Err(Refusal::wrong(self.place(name), "range: 0..1"))
            }
            Some(_) => Ok(()),
        }
    }

    /// A whole number of at least `least`; what is too large for us is the largest.
    pub(super) fn integer(&self, name: &str, least: u64) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let negative = value.as_i64().is_some_and(|number| number < 0);
        match value.as_u64() {
            Some(number) if number >= least => Ok(Some(number)),
            Some(_) => {
                Err(Refusal::wrong(self.place(name), format!("must be greater than or equal to {least}")))
            }
            None if negative => {
                Err(Refusal::wrong(self.place(name), format!("must be greater than or equal to {least}")))
            }
            None => Err(self.wrong(name, "a valid integer")),
        }
    }

    /// An object.
    pub(super) fn object(&self, name: &str) -> Result<Option<Self>, Refusal> {
        let read = |value: &'a Value| {
            let members = value.as_object().ok_or_else(|| self.wrong(name, "a valid dictionary"))?;
            Ok(Self { members, path: format!("{}.", self.place(name)) })
        };
        self.get(name).map(read).transpose()
    }

    /// An object or null.
    pub(super) fn nullable_object(&self, name: &str) -> Result<Option<Self>, Refusal> {
        if self.get(name).is_some_and(Value::is_null) { Ok(None) } else { self.object(name) }
    }

    /// The objects of a list.
    pub(super) fn objects(&self, name: &str) -> Result<Option<Vec<Self>>, Refusal> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let items = value.as_array().ok_or_else(|| self.wrong(name, "a valid list"))?;
        let read = |(index, item): (usize, &'a Value)| {
            let place = format!("{name}.{index}");
            let members = item.as_object().ok_or_else(|| self.wrong(&place, "a valid dictionary"))?;
            Ok(Self { members, path: format!("{}.", self.place(&place)) })
        };
        items.iter().enumerate().map(read).collect::<Result<_, _>>().map(Some)
    }

    /// The texts of a list.
    pub(super) fn strings(&self, name: &str) -> Result<Vec<&'a str>, Refusal> {
        let Some(value) = self.get(name) else { return Ok(Vec::new()) };
        let items = value.as_array().ok_or_else(|| self.wrong(name, "a valid list"))?;
        let read = |(index, item): (usize, &'a Value)| {
            item.as_str().ok_or_else(|| self.wrong(&format!("{name}.{index}"), "a valid string"))
        };
        items.iter().enumerate().map(read).collect()
    }
}

fn alternatives(supported: &[&str]) -> String {
    let quoted: Vec<String> = supported.iter().map(|name| format!("'{name}'")).collect();
    match quoted.as_slice() {
        [before @ .., last] if !before.is_empty() => format!("{} or {last}", before.join(", ")),
        other => other.concat(),
    }
}
