//! The experiments' file, `EXPERIMENTS_FILE`: JSON, version 1, checked whole.
//!
//! ```json
//! {"version": 1, "experiments": [{"name": "models", "sticky": "book", "share": 0.5, "arms": [
//!   {"name": "a", "weight": 90, "provider": "claude"},
//!   {"name": "b", "weight": 10, "provider": "ollama", "model": "llama3.2", "promptVersion": "3"}]}]}
//! ```
//! `sticky` is `book` or `tenant`, `share` 1 when left out, `model` the provider's own, `promptVersion`
//! the one in use.

use std::collections::BTreeSet;
use std::sync::Arc;

use llm::{Arm, ProviderName};
use serde::Deserialize;

use super::{Experiment, Experiments, Sticky, Variant};
use crate::prompt;

/// The version of the form that this program reads.
const VERSION: u32 = 1;
/// Most experiments, and most arms of each: each arm is a series of several metrics.
const MOST: usize = 20;
/// Largest weight.
const LARGEST_WEIGHT: u32 = 1_000_000;
/// Longest name of a model, in bytes.
const LONGEST_MODEL: usize = 200;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    version: u32,
    experiments: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    name: String,
    sticky: String,
    #[serde(default = "whole")]
    share: f64,
    arms: Vec<ArmEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ArmEntry {
    name: String,
    weight: u32,
    provider: String,
    model: Option<String>,
    prompt_version: Option<String>,
}

const fn whole() -> f64 {
    1.0
}

/// The experiments of a file's text. `configured` says of a provider what it lacks.
///
/// # Errors
/// All its mistakes, each with its place; what breaks the form itself is told alone.
pub fn parse(
    text: &str,
    configured: impl Fn(ProviderName) -> Result<(), &'static str>,
) -> Result<Experiments, Vec<String>> {
    let file: File = serde_json::from_str(text).map_err(|error| vec![format!("cannot be read: {error}")])?;
    if file.version != VERSION {
        return Err(vec![format!("has version {}, this program reads version {VERSION}", file.version)]);
    }
    let mut check = Check { configured, mistakes: Vec::new() };
    if file.experiments.len() > MOST {
        check.mistake(format!("has {} experiments; {MOST} are the most", file.experiments.len()));
    }
    let mut names = BTreeSet::new();
    let mut experiments = Vec::new();
    for (place, entry) in file.experiments.into_iter().enumerate() {
        let place = format!("experiments[{place}]");
        check.name(&place, &entry.name, &mut names);
        experiments.push(check.experiment(&place, entry));
    }
    if check.mistakes.is_empty() { Ok(Experiments(experiments)) } else { Err(check.mistakes) }
}

struct Check<F> {
    configured: F,
    mistakes: Vec<String>,
}

impl<F: Fn(ProviderName) -> Result<(), &'static str>> Check<F> {
    fn mistake(&mut self, mistake: String) {
        self.mistakes.push(mistake);
    }

    /// Names become labels of metrics.
    fn name(&mut self, place: &str, name: &str, names: &mut BTreeSet<String>) {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > 40 || !name.bytes().all(fits) {
            self.mistake(format!("{place}: the name {name:?} is not 1 to 40 of a to z, 0 to 9 and -"));
        } else if !names.insert(name.to_owned()) {
            self.mistake(format!("{place}: the name {name:?} is there twice"));
        }
    }

    fn experiment(&mut self, place: &str, entry: Entry) -> Experiment {
        let sticky = match entry.sticky.as_str() {
            "book" => Sticky::Book,
            "tenant" => Sticky::Tenant,
            other => {
                self.mistake(format!("{place}: sticky is {other:?}; it is book or tenant"));
                Sticky::Book
            }
        };
        if !(0.0..=1.0).contains(&entry.share) {
            self.mistake(format!("{place}: share is {}; it is 0 to 1", entry.share));
        }
        if entry.arms.is_empty() || entry.arms.len() > MOST {
            self.mistake(format!("{place}: has {} arms; it needs 1 to {MOST}", entry.arms.len()));
        }
        let mut names = BTreeSet::new();
        let mut variants = Vec::new();
        for (number, arm) in entry.arms.into_iter().enumerate() {
            let place = format!("{place}.arms[{number}]");
            self.name(&place, &arm.name, &mut names);
            variants.extend(self.variant(&place, &entry.name, arm));
        }
        Experiment { name: entry.name, sticky, share: entry.share, variants }
    }

    fn variant(&mut self, place: &str, experiment: &str, arm: ArmEntry) -> Option<Variant> {
        if !(1..=LARGEST_WEIGHT).contains(&arm.weight) {
            self.mistake(format!("{place}: weight is {}; it is 1 to {LARGEST_WEIGHT}", arm.weight));
        }
        if let Some(model) = &arm.model
            && (model.is_empty()
                || model.len() > LONGEST_MODEL
                || !model.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            self.mistake(format!("{place}: the model {model:?} is no model's name"));
        }
        let version = arm.prompt_version.as_deref().unwrap_or(prompt::VERSION);
        let prompt_version = prompt::VERSIONS.iter().find(|known| **known == version).copied();
        if prompt_version.is_none() {
            let known = prompt::VERSIONS.join(", ");
            self.mistake(format!("{place}: there is no prompt version {version:?}; there is {known}"));
        }
        let Some(provider) = ProviderName::parse(&arm.provider) else {
            let names = ProviderName::ALL.map(ProviderName::as_str).join(", ");
            self.mistake(format!("{place}: the provider {:?} is none of {names}", arm.provider));
            return None;
        };
        if let Err(missing) = (self.configured)(provider) {
            self.mistake(format!("{place}: {provider} is not configured; {missing}"));
        }
        if provider == ProviderName::Simulated && arm.model.is_some() {
            self.mistake(format!("{place}: simulated has no other model than its own"));
        }
        let arm_names = Arm { experiment: experiment.to_owned(), arm: arm.name };
        Some(Variant {
            arm: Arc::new(arm_names),
            weight: arm.weight,
            provider,
            model: arm.model,
            prompt_version: prompt_version?,
        })
    }
}

#[cfg(test)]
mod tests {
    use llm::ProviderName;

    use super::parse;

    fn configured(provider: ProviderName) -> Result<(), &'static str> {
        if provider == ProviderName::Claude { Err("set ANTHROPIC_API_KEY") } else { Ok(()) }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let text = r#"{"version":1,"experiments":[
            {"name":"A B","sticky":"moon","share":2,"arms":[]},
            {"name":"x","sticky":"book","arms":[
                {"name":"a","weight":0,"provider":"eliza"},
                {"name":"a","weight":1,"provider":"claude","model":"","promptVersion":"99"},
                {"name":"b","weight":1,"provider":"simulated","model":"other"}]},
            {"name":"x","sticky":"tenant","share":-0.1,"arms":[{"name":"","weight":4000000000,"provider":"ollama"}]}]}"#;
        let mistakes = parse(text, configured).unwrap_err();
        for (place, part) in [
            ("experiments[0]", "\"A B\" is not"),
            ("experiments[0]", "sticky is \"moon\""),
            ("experiments[0]", "share is 2"),
            ("experiments[0]", "has 0 arms"),
            ("experiments[1].arms[0]", "weight is 0"),
            ("experiments[1].arms[0]", "\"eliza\" is none of"),
            ("experiments[1].arms[1]", "\"a\" is there twice"),
            ("experiments[1].arms[1]", "\"\" is no model's name"),
            ("experiments[1].arms[1]", "no prompt version \"99\""),
            ("experiments[1].arms[1]", "claude is not configured; set ANTHROPIC_API_KEY"),
            ("experiments[1].arms[2]", "simulated has no other model"),
            ("experiments[2]", "\"x\" is there twice"),
            ("experiments[2]", "share is -0.1"),
            ("experiments[2].arms[0]", "\"\" is not"),
            ("experiments[2].arms[0]", "weight is 4000000000"),
        ] {
            let told = mistakes
                .iter()
                .any(|mistake| mistake.starts_with(&format!("{place}: ")) && mistake.contains(part));
            assert!(told, "{place} {part}: {mistakes:#?}");
        }
        assert_eq!(mistakes.len(), 15, "{mistakes:#?}");
    }

    #[test]
    fn what_has_another_form_is_refused() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"version":2,"experiments":[]}"#,
            r#"{"version":1,"experiments":[{"name":"x"}]}"#,
            r#"{"version":1,"experiments":[],"extra":1}"#,
            r#"{"version":1,"experiments":[{"name":"x","sticky":"book","arms":[{"name":"a","weight":-1,"provider":"ollama"}]}]}"#,
        ] {
            assert_eq!(parse(text, configured).unwrap_err().len(), 1, "{text}");
        }
        assert!(parse(r#"{"version":1,"experiments":[]}"#, configured).unwrap().iter().next().is_none());
    }
}
