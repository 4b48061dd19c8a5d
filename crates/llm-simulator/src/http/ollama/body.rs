//! Reading a JSON body as Ollama's Go does, with its error texts: the first value counts and what
//! follows it is ignored, null is the same as absent, unknown fields are ignored, a field of the
//! wrong type is named with its Go type.

use serde_json::{Map, Value};

use super::refusal::Refusal;
use crate::http::json_body;

/// The first JSON value of a body.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, Refusal> {
    if bytes.is_empty() {
        return Err(Refusal::NoBody);
    }
    // Go replaces what is not UTF-8.
    let text = String::from_utf8_lossy(bytes);
    if text.trim_matches([' ', '\t', '\r', '\n']).is_empty() {
        return Err(Refusal::NotJson("EOF".to_owned()));
    }
    // Ollama takes any number of values; here memory is bounded.
    match json_body::first(&text).map_err(|error| Refusal::NotJson(error.to_string()))? {
        Ok(value) => Ok(value),
        Err(error) if error.is_eof() => Err(Refusal::NotJson("unexpected EOF".to_owned())),
        Err(error) => Err(Refusal::NotJson(in_gos_words(&text, &error))),
    }
}

/// The commonest mistakes as Go's parser words them, the others as ours does.
fn in_gos_words(text: &str, error: &serde_json::Error) -> String {
    let said = error.to_string();
    let place = [
        ("key must be a string", "looking for beginning of object key string"),
        ("trailing comma", "looking for beginning of object key string"),
        ("expected value", "looking for beginning of value"),
        ("expected `:`", "after object key"),
        ("expected `,` or `}`", "after object key:value pair"),
        ("expected `,` or `]`", "after array element"),
    ]
    .into_iter()
    .find_map(|(ours, gos)| said.starts_with(ours).then_some(gos));
    // Our column is that of the offending byte, counted from one.
    let line = text.split('\n').nth(error.line().saturating_sub(1)).unwrap_or("");
    let found = line
        .char_indices()
        .find(|(at, character)| at + character.len_utf8() >= error.column())
        .map(|(_, character)| character);
    match (place, found) {
        (Some(place), Some(found)) => format!("invalid character {} {place}", quoted(found)),
        _ => said,
    }
}

fn quoted(character: char) -> String {
    match character {
        '\'' => r"'\''".to_owned(),
        '"' => "'\"'".to_owned(),
        _ => format!("'{character}'"),
    }
}

/// A JSON object read as a Go struct.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    /// Nothing where the value was null.
    members: Option<&'a Map<String, Value>>,
    /// The struct's name, and the path inside it with a dot at its end.
    owner: &'static str,
    path: &'static str,
}

impl<'a> Fields<'a> {
    /// A whole body.
    pub(super) fn of(value: &'a Value, owner: &'static str) -> Result<Self, Refusal> {
        match value {
            Value::Object(members) => Ok(Self { members: Some(members), owner, path: "" }),
            Value::Null => Ok(Self { members: None, owner, path: "" }),
            other => {
                Err(Refusal::WrongType { found: kind(other), place: format!("Go value of type api.{owner}") })
            }
        }
    }

    /// A field's value; nothing when absent or null.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.members?.get(name).filter(|value| !value.is_null())
    }

    /// A text; empty when absent.
    pub(super) fn string(&self, name: &str) -> Result<&'a str, Refusal> {
        self.get(name).map_or(Ok(""), |value| value.as_str().ok_or_else(|| self.wrong(value, name, "string")))
    }

    /// A truth value, when there is one.
    pub(super) fn bool(&self, name: &str) -> Result<Option<bool>, Refusal> {
        self.get(name).map(|value| value.as_bool().ok_or_else(|| self.wrong(value, name, "bool"))).transpose()
    }

    /// An object of anything; nothing when absent.
    pub(super) fn object(&self, name: &str) -> Result<Option<&'a Map<String, Value>>, Refusal> {
        self.get(name)
            .map(|value| value.as_object().ok_or_else(|| self.wrong(value, name, "map[string]interface {}")))
            .transpose()
    }

    /// The structs of a list; `path` is the list's name with a dot after it, for errors inside.
    pub(super) fn list(
        &self,
        name: &str,
        wanted: &str,
        item: &str,
        path: &'static str,
    ) -> Result<Vec<Self>, Refusal> {
        let Some(value) = self.get(name) else { return Ok(Vec::new()) };
        let items = value.as_array().ok_or_else(|| self.wrong(value, name, wanted))?;
        items
            .iter()
            .map(|value| match value {
                Value::Object(members) => Ok(Self { members: Some(members), owner: self.owner, path }),
                Value::Null => Ok(Self { members: None, owner: self.owner, path }),
                other => Err(self.wrong(other, name, item)),
            })
            .collect()
    }

    /// The refusal of a field's value.
    pub(super) fn wrong(&self, value: &Value, name: &str, wanted: &str) -> Refusal {
        let place = format!("Go struct field {}.{}{name} of type {wanted}", self.owner, self.path);
        Refusal::WrongType { found: kind(value), place }
    }
}

/// What Go calls a JSON value.
const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::parse;

    /// What Ollama 0.17.4 answered to these bodies.
    #[test]
    fn mistakes_are_worded_as_ollama_words_them() {
        let check = |body: &str, said: &str| {
            assert_eq!(parse(body.as_bytes()).unwrap_err().to_string(), said, "{body}");
        };
        check("", "missing request body");
        check("{bad", "invalid character 'b' looking for beginning of object key string");
        check("{\"a\":1,}", "invalid character '}' looking for beginning of object key string");
        check("{\"a\":1 x}", "invalid character 'x' after object key:value pair");
        check("{\"model\" 5}", "invalid character '5' after object key");
        check("[1 2]", "invalid character '2' after array element");
        check("x", "invalid character 'x' looking for beginning of value");
        check("{\"model\":\"llama3.2\"", "unexpected EOF");
        check("  ", "EOF");
    }

    #[test]
    fn what_follows_the_first_value_is_ignored() {
        assert!(parse(b"{\"a\":1} trailing").is_ok());
        assert!(parse(b"{\"a\":\"\xff\"}").is_ok());
    }

    #[test]
    fn a_body_of_very_many_values_is_refused() {
        let many = format!(r#"{{"model":"x","context":[{}0]}}"#, "[],".repeat(600_000));
        assert!(parse(many.as_bytes()).unwrap_err().to_string().contains("JSON values; send fewer"));
    }

    proptest! {
        #[test]
        fn no_body_breaks_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..80), text in "[\\[\\]{}\",:a1é\\n ]{0,40}") {
            let _ = parse(&bytes);
            let _ = parse(text.as_bytes());
        }
    }
}
