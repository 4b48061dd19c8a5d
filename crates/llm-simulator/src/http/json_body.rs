//! Reading a JSON body of up to many megabytes into a bounded amount of memory: 32 MiB of `[[],[],…`
//! would become half a gigabyte of values.
//!
//! Owns the bound. What an unreadable body is called is the protocol's.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::de::Read;
use serde_json::{Map, Number, Value};

/// Most values of one body: Anthropic's 100,000 messages have four each.
const MOST_VALUES: usize = 500_000;

/// Why a body is no JSON value for us.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    /// It is not JSON, or nested too deeply.
    #[error("{0}")]
    Malformed(String),
    /// It has more values than are taken.
    #[error("the body has more than {MOST_VALUES} JSON values; send fewer")]
    TooMany,
}

/// The only JSON value of a body.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, Unreadable> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let malformed = |error: serde_json::Error| Unreadable::Malformed(error.to_string());
    let value = bounded(&mut json)?.map_err(malformed)?;
    json.end().map_err(malformed)?;
    Ok(value)
}

/// The first JSON value of a text, whatever follows it; where it is malformed, how.
///
/// # Errors
/// With [`Unreadable::TooMany`] only.
pub(super) fn first(text: &str) -> Result<serde_json::Result<Value>, Unreadable> {
    bounded(&mut serde_json::Deserializer::from_str(text))
}

fn bounded<'de, R: Read<'de>>(
    json: &mut serde_json::Deserializer<R>,
) -> Result<serde_json::Result<Value>, Unreadable> {
    let left = Cell::new(MOST_VALUES);
    let exceeded = Cell::new(false);
    let value = Bounded { left: &left, exceeded: &exceeded }.deserialize(json);
    if exceeded.get() { Err(Unreadable::TooMany) } else { Ok(value) }
}

/// What JSON calls a value, with its article.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a decimal",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A value, counted.
#[derive(Clone, Copy)]
struct Bounded<'a> {
    left: &'a Cell<usize>,
    exceeded: &'a Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Some(left) = self.left.get().checked_sub(1) else {
            self.exceeded.set(true);
            return Err(D::Error::custom("too many values"));
        };
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            object.insert(name, members.next_value_seed(self)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::{MOST_VALUES, Unreadable, parse};

    #[test]
    fn a_body_is_one_value_with_a_bound() {
        let text = r#"{"a":[1,-2,1.5,null,true,"é\n"],"a":{"b":18446744073709551615}}"#;
        assert_eq!(parse(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        for bad in ["", "{", "{} {}", "[1,]", "\"\u{0}\"", "nul"] {
            assert!(matches!(parse(bad.as_bytes()), Err(Unreadable::Malformed(_))), "{bad}");
        }
        assert!(matches!(parse(b"\"\xff\""), Err(Unreadable::Malformed(_))));
        let fits = format!("[{}0]", "0,".repeat(MOST_VALUES - 2));
        assert!(parse(fits.as_bytes()).is_ok());
        let many = format!("[{}0]", "[],".repeat(MOST_VALUES));
        assert_eq!(parse(many.as_bytes()), Err(Unreadable::TooMany));
        let deep = "[".repeat(100_000);
        assert!(matches!(parse(deep.as_bytes()), Err(Unreadable::Malformed(_))));
    }

    proptest! {
        #[test]
        fn it_reads_what_serde_json_reads(bytes in prop::collection::vec(any::<u8>(), 0..60), text in "[\\[\\]{}\",:a1eé.\\-\\n ]{0,40}") {
            for body in [&bytes[..], text.as_bytes()] {
                prop_assert_eq!(parse(body).ok(), serde_json::from_slice::<Value>(body).ok());
            }
        }
    }
}
