//! Ollama's model names: `model:tag`, the tag `latest` when absent, a registry and namespace before
//! it that default to Ollama's own, and no regard to case. Pure.

use crate::models::Models;

/// Prefixes that mean the same as none.
const DEFAULT_PREFIXES: [&str; 2] = ["registry.ollama.ai/", "library/"];

/// The model on offer that is meant by a name.
pub(super) fn find<'a>(models: &'a Models, asked: &'a str) -> Option<&'a str> {
    let wanted = canonical(asked);
    let named = models.named().iter().find(|model| canonical(model) == wanted).map(String::as_str);
    named.or_else(|| models.offers(asked).then_some(asked))
}

/// A name with its tag.
pub(super) fn with_tag(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains(':') { name.to_owned() } else { format!("{name}:latest") }
}

/// Whether a name can be a model's at all.
pub(super) fn valid(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-:/".contains(c))
}

/// The shortest name that means the same: without a default prefix and tag, in lower case.
pub(super) fn plain(name: &str) -> String {
    let name = canonical(name);
    name.strip_suffix(":latest").unwrap_or(&name).to_owned()
}

fn canonical(name: &str) -> String {
    let mut name = name.to_ascii_lowercase();
    for prefix in DEFAULT_PREFIXES {
        if let Some(rest) = name.strip_prefix(prefix) {
            name = rest.to_owned();
        }
    }
    with_tag(&name)
}

#[cfg(test)]
mod tests {
    use super::{find, plain, valid, with_tag};
    use crate::models::Models;

    #[test]
    fn names_that_ollama_takes_for_the_same_are_the_same() {
        let models = Models::new(["llama3.2", "me/own:1b"]);
        for name in [
            "llama3.2",
            "llama3.2:latest",
            "LLAMA3.2",
            "library/llama3.2",
            "registry.ollama.ai/library/llama3.2",
        ] {
            assert_eq!(find(&models, name), Some("llama3.2"), "{name}");
            assert_eq!(plain(name), "llama3.2");
        }
        assert_eq!(find(&models, "me/own:1B"), Some("me/own:1b"));
        for name in ["", "llama3", "llama3.2:1b", "me/own", "own:1b"] {
            assert_eq!(find(&models, name), None, "{name}");
        }
    }

    #[test]
    fn tags_are_added_once() {
        assert_eq!(with_tag("localhost:5000/a"), "localhost:5000/a:latest");
        assert_eq!(with_tag("a:b"), "a:b");
        assert!(valid("me/own:1b") && !valid("a b!") && !valid(""));
    }
}
