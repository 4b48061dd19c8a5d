//! The models on offer.
//!
//! Must not know how a protocol compares names; [`Models::named`] is what it may compare with.

/// Whatever else is asked for, where everything is on offer.
const ANY: &str = "*";
/// What models that nobody named count as in metrics: clients must not make up labels.
const OTHER: &str = "other";
/// Longest name of a model, in bytes: answers repeat it in each of their chunks.
pub const LONGEST_NAME: usize = 200;

/// The models on offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Models {
    named: Vec<String>,
    any: bool,
}

impl Models {
    /// Models by these names; `*` for any other, too.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let (any, named): (Vec<String>, Vec<String>) =
            names.into_iter().map(Into::into).partition(|name| name == ANY);
        Self { named, any: !any.is_empty() }
    }

    /// Those that are on offer by name, in the order given.
    #[must_use]
    pub fn named(&self) -> &[String] {
        &self.named
    }

    /// Whether every other model is on offer, too.
    #[must_use]
    pub const fn any(&self) -> bool {
        self.any
    }

    /// Whether a model of exactly this name is on offer. Names longer than [`LONGEST_NAME`] never are.
    #[must_use]
    pub fn offers(&self, model: &str) -> bool {
        self.any && (1..=LONGEST_NAME).contains(&model.len()) || self.named.iter().any(|named| named == model)
    }

    /// What a model counts as in metrics.
    #[must_use]
    pub fn label(&self, model: &str) -> &str {
        self.named.iter().find(|named| *named == model).map_or(OTHER, String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_NAME, Models};

    #[test]
    fn named_models_are_offered_and_with_a_star_any_other() {
        let some = Models::new(["a", "b"]);
        assert!(some.offers("a") && !some.offers("c") && !some.any());
        let all = Models::new(["a", "*"]);
        assert!(all.offers("c") && !all.offers("") && all.any());
        assert!(all.offers(&"a".repeat(LONGEST_NAME)) && !all.offers(&"a".repeat(LONGEST_NAME + 1)));
        assert_eq!((all.named(), all.label("a"), all.label("c")), (&["a".to_owned()][..], "a", "other"));
    }
}
