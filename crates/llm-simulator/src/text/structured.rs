//! Answers in JSON: any object, or one that fits a JSON Schema. Pure.
//!
//! Understood of JSON Schema are `type`, `properties`, `items`, `enum`, `const`, `anyOf`, `oneOf`,
//! `minItems`, `minimum` and `maximum`; the rest is taken for granted.

use serde_json::{Map, Number, Value};

use super::{Subject, sentences};
use crate::draws::Draws;

/// Deepest nesting followed; what lies deeper is null.
const DEEPEST: usize = 16;
/// Most values made for one answer; what would be more is null.
const MOST_VALUES: usize = 200;
/// Most bytes taken over from a schema, or written, for one answer; what would be more is null.
const MOST_BYTES: usize = 256 * 1024;

/// An object with a summary.
pub(super) fn any_object(subject: &Subject, tokens: u64, draws: &mut Draws) -> String {
    // Some tokens are the object's own.
    let summary = Value::from(sentences(subject, tokens.saturating_sub(4), draws));
    Value::Object(Map::from_iter([("summary".to_owned(), summary)])).to_string()
}

/// A value that fits this schema.
pub(super) fn fitting(schema: &Value, subject: &Subject, tokens: u64, draws: &mut Draws) -> String {
    // Every text of the value gets its share.
    let share = tokens / texts_in(schema, 0).max(1);
    Filler { subject, share, draws, left: MOST_VALUES, room: MOST_BYTES }.value(schema, 0).to_string()
}

fn texts_in(schema: &Value, depth: usize) -> u64 {
    if depth > DEEPEST {
        return 0;
    }
    match kind(schema) {
        "object" => {
            members(schema).fold(0, |sum, (_, schema)| sum.saturating_add(texts_in(schema, depth + 1)))
        }
        "array" => {
            let items = schema.get("items").map_or(0, |items| texts_in(items, depth + 1));
            items.saturating_mul(least_items(schema))
        }
        "string" => 1,
        _ => 0,
    }
}

/// Makes the values of one answer.
struct Filler<'a> {
    subject: &'a Subject,
    /// Tokens of each text.
    share: u64,
    draws: &'a mut Draws,
    /// How many more values may be made: nested arrays multiply.
    left: usize,
    /// How many more bytes may be made: a schema says a long text once, its lists repeat it.
    room: usize,
}

impl Filler<'_> {
    fn value(&mut self, schema: &Value, depth: usize) -> Value {
        let Some(left) = self.left.checked_sub(1).filter(|_| depth <= DEEPEST) else { return Value::Null };
        self.left = left;
        if let Some(fixed) = schema.get("const") {
            return self.copy(fixed);
        }
        if let Some(Value::Array(choices)) = schema.get("enum") {
            let choice = self.draws.pick(choices);
            return choice.map_or(Value::Null, |choice| self.copy(choice));
        }
        for alternatives in ["anyOf", "oneOf"] {
            if let Some(first) = schema.get(alternatives).and_then(|list| list.get(0)) {
                return self.value(first, depth + 1);
            }
        }
        match kind(schema) {
            "object" => {
                let mut object = Map::new();
                for (name, schema) in members(schema) {
                    if !self.charge(name.len()) {
                        break;
                    }
                    object.insert(name.clone(), self.member(name, schema, depth));
                }
                Value::Object(object)
            }
            "array" => {
                let count = usize::try_from(least_items(schema)).unwrap_or(usize::MAX).min(self.left);
                let items = schema.get("items").unwrap_or(&Value::Null);
                Value::Array((0..count).map(|_| self.value(items, depth + 1)).collect())
            }
            "string" => {
                let text = sentences(self.subject, self.share, self.draws);
                if self.charge(text.len()) { Value::from(text) } else { Value::Null }
            }
            "integer" | "number" => number(schema, self.draws),
            "boolean" => Value::from(self.draws.below(2) == 1),
            _ => Value::Null,
        }
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

    fn member(&mut self, name: &str, schema: &Value, depth: usize) -> Value {
        match (name, kind(schema)) {
            ("title", "string") => Value::from(self.subject.title.as_str()),
            ("author", "string") => Value::from(self.subject.author.as_deref().unwrap_or("unknown")),
            _ => self.value(schema, depth + 1),
        }
    }
}

/// The schema's type, or what its other members say it is.
fn kind(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(name)) => name,
        Some(Value::Array(names)) => names.first().and_then(Value::as_str).unwrap_or("null"),
        _ if schema.get("properties").is_some() => "object",
        _ if schema.get("items").is_some() => "array",
        _ if schema.is_object() => "string",
        _ => "null",
    }
}

fn members(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    // Sorted, because whether the map keeps its order depends on what else is in the build.
    let mut members: Vec<_> =
        schema.get("properties").and_then(Value::as_object).into_iter().flatten().collect();
    members.sort_unstable_by_key(|(name, _)| *name);
    members.into_iter()
}

/// How many items a list gets: as few as it may, one at least.
fn least_items(schema: &Value) -> u64 {
    schema.get("minItems").and_then(Value::as_u64).unwrap_or(1).max(1)
}

fn number(schema: &Value, draws: &mut Draws) -> Value {
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    let least = bound("minimum").unwrap_or(0.0).ceil();
    let most = bound("maximum").unwrap_or(least + 100.0).max(least);
    let whole = (draws.uniform().mul_add(most - least, least)).floor();
    #[expect(clippy::cast_possible_truncation, reason = "a float-to-int cast saturates")]
    Value::Number(Number::from(whole as i64))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Subject, fitting};
    use crate::draws::{Draws, Quantity};

    fn fill(schema: &Value) -> Value {
        let subject = Subject::of("Title: Dune\nAuthor: Frank Herbert");
        let text = fitting(schema, &subject, 60, &mut Draws::of(&[4; 32], Quantity::Text));
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn values_fit_the_schema() {
        let filled = fill(&json!({
            "type": "object",
            "properties": {
                "title": {"type": "string"},
                "summary": {"type": "string"},
                "rating": {"type": "integer", "minimum": 1, "maximum": 5},
                "genre": {"enum": ["novel", "essay"]},
                "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2},
                "fiction": {"type": "boolean"},
                "nested": {"properties": {"deep": {"anyOf": [{"type": "number"}, {"type": "null"}]}}},
                "none": {"type": ["null", "string"]},
            },
        }));
        assert_eq!(filled["title"], "Dune");
        assert!(filled["summary"].as_str().unwrap().ends_with('.'));
        assert!((1..=5).contains(&filled["rating"].as_i64().unwrap()));
        assert!(["novel", "essay"].contains(&filled["genre"].as_str().unwrap()));
        assert_eq!(filled["tags"].as_array().unwrap().len(), 2);
        assert!(filled["fiction"].is_boolean() && filled["nested"]["deep"].is_number());
        assert!(filled["none"].is_null());
    }

    #[test]
    fn a_schema_without_bounds_of_its_own_is_bounded() {
        let mut schema = json!({"type": "string"});
        for _ in 0..40 {
            schema = json!({"type": "array", "items": schema});
        }
        assert!(fill(&schema).to_string().len() < 200);
        let mut wide = json!({"type": "string"});
        for _ in 0..12 {
            wide = json!({"type": "array", "minItems": 1_000_000, "items": wide});
        }
        assert!(fill(&wide).to_string().len() < 200 * 200);
    }

    #[test]
    fn what_a_schema_repeats_is_bounded() {
        let long = "x".repeat(2_000_000);
        let many: Vec<u8> = vec![1; 100_000];
        let fits = "x".repeat(10_000);
        for (items, least) in [
            (json!({"const": long}), 0),
            (json!({"enum": [long]}), 0),
            (json!({"const": many}), 0),
            (json!({"const": fits}), 200_000),
            (json!({"properties": {long.as_str(): {"type": "integer"}}}), 0),
            (json!({"properties": {fits.as_str(): {"type": "integer"}}}), 200_000),
        ] {
            let filled = fill(&json!({"type": "array", "minItems": 199, "items": items}));
            let bytes = filled.to_string().len();
            assert!((least..300_000).contains(&bytes), "{bytes}");
            assert_eq!(filled.as_array().unwrap().len(), 199);
        }
    }
}
