//! A JSON Schema together with what it refers to: all that holds of one value. Pure.
//!
//! Owns which of several alternatives counts. Must not know what values are made of it.

use serde_json::Value;

/// Most schemas that are looked at for one value.
const MOST: usize = 32;
/// Longest reference that is followed, in bytes.
const LONGEST_REFERENCE: usize = 1_000;

/// The schemas that hold of one value: its own, those it refers to, all of `allOf` and one of each of
/// `anyOf` and `oneOf`.
pub(super) struct Parts<'a> {
    schemas: Vec<&'a Value>,
    references: Vec<&'a str>,
}

impl<'a> Parts<'a> {
    /// The parts of a schema. `root` is what references refer to, `open` those that alternatives
    /// should rather not follow again.
    pub(super) fn of(schema: &'a Value, root: &'a Value, open: &[&str]) -> Self {
        let mut parts = Self { schemas: vec![schema], references: Vec::new() };
        let mut at = 0;
        // Every schema adds the ones it names behind the others.
        while let Some(schema) = parts.schemas.get(at).copied() {
            at += 1;
            if let Some(reference) = schema.get("$ref").and_then(Value::as_str)
                && reference.len() <= LONGEST_REFERENCE
                && let Some(found) = reference.strip_prefix('#').and_then(|path| root.pointer(path))
            {
                parts.references.push(reference);
                parts.add(found);
            }
            for found in schema.get("allOf").and_then(Value::as_array).into_iter().flatten().take(MOST) {
                parts.add(found);
            }
            for name in ["anyOf", "oneOf"] {
                if let Some(found) = schema.get(name).and_then(|list| alternative(list, open)) {
                    parts.add(found);
                }
            }
        }
        parts
    }

    fn add(&mut self, schema: &'a Value) {
        if self.schemas.len() < MOST {
            self.schemas.push(schema);
        }
    }

    /// The references that were followed.
    pub(super) fn references(&self) -> impl Iterator<Item = &'a str> {
        self.references.iter().copied()
    }

    /// The first keyword of this name.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.all(name).next()
    }

    /// Every keyword of this name.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &'a Value> {
        self.schemas.iter().filter_map(move |schema| schema.get(name))
    }

    /// The whole numbers of this name; 3.0 is one.
    pub(super) fn whole(&self, name: &str) -> impl Iterator<Item = u64> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float-to-int cast saturates"
        )]
        let whole = |value: &Value| value.as_u64().or_else(|| value.as_f64().map(|number| number as u64));
        self.all(name).filter_map(whole)
    }

    /// Whether an object must have this member.
    pub(super) fn requires(&self, member: &str) -> bool {
        let mut lists = self.all("required").filter_map(Value::as_array);
        lists.any(|names| names.iter().take(1_000).any(|name| name == member))
    }

    /// The value's type, or what other keywords say it is.
    pub(super) fn kind(&self) -> &'a str {
        match self.get("type") {
            Some(Value::String(name)) => name,
            Some(Value::Array(names)) => {
                let mut names = names.iter().take(MOST).filter_map(Value::as_str);
                names.find(|name| *name != "null").unwrap_or("null")
            }
            _ if self.get("properties").is_some() => "object",
            _ if self.get("items").or_else(|| self.get("prefixItems")).is_some() => "array",
            _ if self.schemas.first().is_some_and(|schema| schema.is_object()) => "string",
            _ => "null",
        }
    }
}

/// The reference that a schema consists of, by itself or in a list of one.
pub(super) fn reference(schema: &Value) -> Option<&str> {
    let only = schema.get("allOf").and_then(|list| list.get(0)).unwrap_or(schema);
    only.get("$ref")?.as_str()
}

/// The first alternative that is neither null nor a reference that is being followed; else null,
/// where it is one of them.
fn alternative<'a>(list: &'a Value, open: &[&str]) -> Option<&'a Value> {
    let list = || list.as_array().into_iter().flatten().take(MOST);
    let null = |schema: &&Value| schema.get("type").is_some_and(|kind| kind == "null");
    let followed = |schema: &Value| reference(schema).is_some_and(|reference| open.contains(&reference));
    list()
        .find(|schema| !null(schema) && !followed(schema))
        .or_else(|| list().find(null))
        .or_else(|| list().next())
}
