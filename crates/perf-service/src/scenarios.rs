//! The scenarios that can be run: the scripts of `k6/`, carried in the binary.
//!
//! Owns their names, descriptions and files. Must not know how k6 is run. A scenario is found by
//! its name among these and in no other way, so that no name can reach another file.

use std::borrow::Cow;

use common_models::Scenario;
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

const FOLDER: &str = "scenarios/";
const EXTENSION: &str = ".js";
/// Lines of a script's head that may describe it.
const HEAD: usize = 20;

#[derive(RustEmbed)]
#[folder = "../../k6"]
#[include = "lib/*.js"]
#[include = "lib/**/*.js"]
#[include = "scenarios/*.js"]
struct Embedded;

/// A script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptFile {
    /// Its path under `k6/`, with `/`.
    pub path: String,
    /// Its text.
    pub content: Cow<'static, [u8]>,
}

/// The scenarios and all files that they need.
#[derive(Clone, Debug)]
pub struct Scenarios {
    files: Vec<ScriptFile>,
}

impl Scenarios {
    /// Those carried in the binary.
    #[must_use]
    pub fn embedded() -> Self {
        let files = Embedded::iter().filter_map(|path| {
            Embedded::get(&path).map(|file| ScriptFile { path: path.into_owned(), content: file.data })
        });
        Self::of(files.collect())
    }

    /// Those among the given files.
    #[must_use]
    pub fn of(mut files: Vec<ScriptFile>) -> Self {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self { files }
    }

    /// All of them, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Scenario> {
        let named = self.files.iter().filter_map(|file| scenario_name(&file.path).zip(Some(file)));
        named
            .map(|(name, file)| Scenario {
                name: name.to_owned(),
                description: head_line(file, "description").unwrap_or_default(),
            })
            .collect()
    }

    /// Their names.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.files.iter().filter_map(|file| scenario_name(&file.path)).collect()
    }

    /// The script of the scenario with exactly this name.
    #[must_use]
    pub fn script(&self, name: &str) -> Option<&ScriptFile> {
        self.files.iter().find(|file| scenario_name(&file.path) == Some(name))
    }

    /// Seconds of measured load that the scenario has by itself, where its head says so
    /// (`// duration: 2m`).
    #[must_use]
    pub fn seconds(&self, name: &str) -> Option<u32> {
        let text = head_line(self.script(name)?, "duration")?;
        seconds(&text)
    }

    /// Virtual users that the scenario has by itself, where its head says so (`// users: 10`).
    #[must_use]
    pub fn users(&self, name: &str) -> Option<u32> {
        head_line(self.script(name)?, "users")?.parse().ok()
    }

    /// Visits a second that the scenario begins by itself, whatever became of the earlier ones, where
    /// its head says so (`// rate: 20`).
    #[must_use]
    pub fn rate(&self, name: &str) -> Option<f64> {
        head_line(self.script(name)?, "rate")?.parse().ok()
    }

    /// Whether the scenario asks for summaries, which cost what the target's provider takes for them:
    /// all do whose head does not say `// spends: nothing`.
    #[must_use]
    pub fn spends(&self, name: &str) -> bool {
        let said = self.script(name).and_then(|script| head_line(script, "spends"));
        said.as_deref() != Some("nothing")
    }

    /// Every file, scenarios and what they import.
    #[must_use]
    pub fn files(&self) -> &[ScriptFile] {
        &self.files
    }
}

/// A duration as k6 and people write it (`90`, `90s`, `2m`, `1m30s`, `1h`) in whole seconds.
#[must_use]
pub fn seconds(text: &str) -> Option<u32> {
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let mut sum = 0_u32;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(end);
        let mut unit = tail.chars();
        let factor = match unit.next()? {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            _ => return None,
        };
        sum = sum.checked_add(number.parse::<u32>().ok()?.checked_mul(factor)?)?;
        rest = unit.as_str();
    }
    (!text.is_empty()).then_some(sum)
}

/// What tells these scripts from all others: SHA-256 over paths and texts, in hexadecimal digits.
#[must_use]
pub fn fingerprint(files: &[ScriptFile]) -> String {
    let mut digest = Sha256::new();
    for file in files {
        // With lengths, so that no text can pass for another's path.
        for part in [file.path.as_bytes(), &file.content] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn scenario_name(path: &str) -> Option<&str> {
    path.strip_prefix(FOLDER)?.strip_suffix(EXTENSION).filter(|name| !name.contains('/'))
}

fn head_line(file: &ScriptFile, key: &str) -> Option<String> {
    let text = String::from_utf8_lossy(&file.content);
    text.lines().take(HEAD).find_map(|line| {
        let comment = line.strip_prefix("//")?.trim();
        let value = comment.strip_prefix(key)?.strip_prefix(':')?;
        Some(value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::{Scenarios, ScriptFile, seconds};

    fn file(path: &str, text: &'static str) -> ScriptFile {
        ScriptFile { path: path.to_owned(), content: text.as_bytes().into() }
    }

    #[test]
    fn names_and_descriptions_come_from_the_files() {
        let scenarios = Scenarios::of(vec![
            file("scenarios/spike.js", "import x from 'k6';\n// description:  a burst \n"),
            file("scenarios/load.js", "// Load.\n// duration: 10m\n"),
            file("scenarios/deep/hidden.js", ""),
            file("lib/shop.js", "// description: not a scenario"),
        ]);
        let listed: Vec<_> =
            scenarios.list().into_iter().map(|scenario| (scenario.name, scenario.description)).collect();
        assert_eq!(listed, [("load".to_owned(), String::new()), ("spike".to_owned(), "a burst".to_owned())]);
        assert_eq!(scenarios.names(), ["load", "spike"]);
        assert_eq!((scenarios.seconds("load"), scenarios.seconds("spike")), (Some(600), None));
        assert_eq!(scenarios.files().len(), 4);
    }

    #[test]
    fn all_scenarios_are_carried_and_described() {
        let scenarios = Scenarios::embedded();
        for (name, seconds, users, rate, spends) in [
            ("ai", 300, 10, None, true),
            ("comprehensive", 39 * 60, 50, None, true),
            ("errors", 120, 5, None, false),
            ("load", 600, 10, None, true),
            ("load-arrivals", 600, 10, Some(20.0), true),
            ("smoke", 120, 1, None, true),
            ("spike", 300, 50, None, true),
            ("spike-arrivals", 300, 50, Some(60.0), true),
            ("stress", 900, 30, None, true),
            ("stress-arrivals", 900, 30, Some(60.0), true),
        ] {
            let said = (scenarios.seconds(name), scenarios.users(name), scenarios.rate(name));
            assert_eq!(
                (said, scenarios.spends(name)),
                ((Some(seconds), Some(users), rate), spends),
                "{name}"
            );
            // What the head says is what the script does.
            let text = String::from_utf8_lossy(&scenarios.script(name).unwrap().content).into_owned();
            let rate = rate.map_or_else(String::new, |rate| format!("rate: {rate}, "));
            let seconds = if name == "comprehensive" { "39 * 60".to_owned() } else { seconds.to_string() };
            let defaults = format!("readSettings({{ seconds: {seconds}, users: {users}, {rate}p95Ms: ");
            assert!(text.contains(&defaults), "{name} does not say {defaults}");
            assert_eq!(text.contains("lib/shop.js'") || text.contains("lib/summaries.js'"), spends, "{name}");
        }
        assert_eq!(scenarios.list().len(), 10);
        assert!(scenarios.list().iter().all(|scenario| !scenario.description.is_empty()));
        assert!(scenarios.files().iter().any(|file| file.path.starts_with("lib/")));
        assert!(scenarios.files().iter().all(|file| file.path.ends_with(".js")));
    }

    #[test]
    fn a_head_that_says_nothing_or_nonsense() {
        let scenarios =
            Scenarios::of(vec![file("scenarios/odd.js", "// users: many\n// rate: -\n// spends: no")]);
        assert_eq!(
            (scenarios.users("odd"), scenarios.rate("odd"), scenarios.seconds("odd")),
            (None, None, None)
        );
        // Who is not sure that nothing is spent takes it that something is.
        assert!(scenarios.spends("odd") && scenarios.spends("absent"));
    }

    #[test]
    fn hostile_names_find_nothing() {
        let scenarios = Scenarios::embedded();
        for name in [
            "",
            "../x",
            "../scenarios/smoke",
            "smoke.js",
            "./smoke",
            "scenarios/smoke",
            "SMOKE",
            "smoke\0",
            "smoke ",
        ] {
            assert!(scenarios.script(name).is_none(), "{name:?}");
        }
    }

    #[test]
    fn durations_are_read_as_k6_reads_them() {
        for (text, wanted) in [
            ("15", Some(15)),
            ("15s", Some(15)),
            ("2m", Some(120)),
            ("1m30s", Some(90)),
            ("1h", Some(3_600)),
            ("", None),
            ("s", None),
            ("1x", None),
            ("-5s", None),
            ("1m30", None),
            ("99999999999s", None),
            ("4000000000m", None),
        ] {
            assert_eq!(seconds(text), wanted, "{text:?}");
        }
    }
}
