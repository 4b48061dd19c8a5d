//! What may be started through the gate.
//!
//! Owns the bounds, which hold whatever perf-service has checked before: a scenario and a target by
//! their names in the gate's own tables, and values of known names, each read as what it is and
//! written anew. The scripts, the target's address and its token are the gate's own. Pure.

use std::path::PathBuf;
use std::sync::Arc;

use common_models::{FieldError, Problem};
use secrecy::SecretString;
use url::Url;

use super::protocol::Start;
use super::refusal;
use crate::engine::Launch;
use crate::scenarios::{self, Scenarios, ScriptFile};
use crate::targets::Target;

/// Providers that a scenario can be told to ask.
const PROVIDERS: [&str; 5] = ["claude", "ollama", "openai", "bedrock", "simulated"];
/// States that a run can start from.
const STARTS: [&str; 2] = ["found", "warm"];
const LONGEST_SECONDS: u32 = 3_600;
const MOST_USERS: f64 = 200.0;
const MOST_RATE: f64 = 1_000.0;
const MOST_DOLLARS: f64 = 1_000.0;
const MOST_MILLISECONDS: f64 = 1e9;
const LONGEST_SEED: usize = 64;

/// How a value is read.
enum Bound {
    /// A duration in whole seconds.
    Seconds(u32),
    /// A whole number from 1.
    Whole(f64),
    /// A number from 0.
    Number(f64),
    /// A number above 0.
    Above(f64),
    /// One of these.
    OneOf(&'static [&'static str]),
    /// Letters, digits, `-` and `_`.
    Word(usize),
}

/// Every value that a scenario can be told, by its name in k6's environment.
const BOUNDS: [(&str, Bound); 8] = [
    ("DURATION", Bound::Seconds(LONGEST_SECONDS)),
    ("USERS", Bound::Whole(MOST_USERS)),
    ("RATE", Bound::Above(MOST_RATE)),
    ("PROVIDER", Bound::OneOf(&PROVIDERS)),
    ("MAX_COST_USD", Bound::Number(MOST_DOLLARS)),
    ("MAX_P95_MS", Bound::Above(MOST_MILLISECONDS)),
    ("START", Bound::OneOf(&STARTS)),
    ("SEED", Bound::Word(LONGEST_SEED)),
];

impl Bound {
    /// The value as it is given to k6; `None` where it is out of bounds.
    fn read(&self, text: &str) -> Option<String> {
        let number = |text: &str| {
            // No sign, no exponent, no `inf`: as people write numbers.
            let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.');
            plain.then(|| text.parse::<f64>().ok()).flatten()
        };
        match self {
            Self::Seconds(most) => {
                let seconds = scenarios::seconds(text).filter(|seconds| (1..=*most).contains(seconds))?;
                Some(format!("{seconds}s"))
            }
            Self::Whole(most) => {
                let value =
                    number(text).filter(|value| value.fract() == 0.0 && *value >= 1.0 && value <= most)?;
                Some(value.to_string())
            }
            Self::Number(most) => Some(number(text).filter(|value| value <= most)?.to_string()),
            Self::Above(most) => {
                Some(number(text).filter(|value| *value > 0.0 && value <= most)?.to_string())
            }
            Self::OneOf(values) => {
                values.iter().find(|value| **value == text).map(|value| (*value).to_owned())
            }
            Self::Word(longest) => {
                let sound = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
                (!text.is_empty() && text.len() <= *longest && text.chars().all(sound))
                    .then(|| text.to_owned())
            }
        }
    }

    fn wanted(&self) -> String {
        match self {
            Self::Seconds(most) => format!("must be a duration from 1s to {most}s"),
            Self::Whole(most) => format!("must be a whole number from 1 to {most}"),
            Self::Number(most) => format!("must be a number from 0 to {most}"),
            Self::Above(most) => format!("must be a number above 0, at most {most}"),
            Self::OneOf(values) => format!("must be one of {}", values.join(", ")),
            Self::Word(longest) => format!("must be at most {longest} letters, digits, - and _"),
        }
    }
}

/// What the gate starts, and with what.
pub struct Rules {
    scenarios: Scenarios,
    scripts: Arc<[ScriptFile]>,
    fingerprint: String,
    targets: Vec<Target>,
    target_api_token: Option<SecretString>,
    /// Where k6's own metrics go.
    remote_write: Option<Url>,
}

impl Rules {
    /// These scenarios against these targets.
    #[must_use]
    pub fn new(scenarios: Scenarios, targets: Vec<Target>, target_api_token: Option<SecretString>) -> Self {
        let scripts: Arc<[ScriptFile]> = Arc::from(scenarios.files());
        Self {
            fingerprint: scenarios::fingerprint(&scripts),
            scenarios,
            scripts,
            targets,
            target_api_token,
            remote_write: None,
        }
    }

    /// The same, with k6's own metrics going to a Prometheus.
    #[must_use]
    pub fn writing_to(self, remote_write: Option<Url>) -> Self {
        Self { remote_write, ..self }
    }

    /// What is to be started for a request.
    ///
    /// # Errors
    /// When it asks for anything that is not there or out of bounds.
    pub fn launch(&self, start: &Start) -> Result<Launch, Box<Problem>> {
        let script = self.scenarios.script(&start.scenario);
        let script = script.ok_or_else(|| refusal::unknown_scenario(&self.scenarios.names()))?;
        let target = self.targets.iter().find(|target| target.name == start.target).ok_or_else(|| {
            let known: Vec<&str> = self.targets.iter().map(|target| target.name.as_str()).collect();
            refusal::unknown_target(&known)
        })?;
        if start.target_fingerprint != target.fingerprint() {
            return Err(refusal::other_target(&target.name));
        }
        let mut errors = Vec::new();
        let mut wrong = |field: &str, code: &str, message: String| {
            errors.push(FieldError { field: field.to_owned(), code: code.to_owned(), message });
        };
        if start.run.get_version_num() != 7 {
            wrong("run", "id", "must be the id of a run, a UUID of version 7".to_owned());
        }
        let mut environment = Vec::new();
        for (name, bound) in &BOUNDS {
            match start.settings.get(*name).map(|text| bound.read(text)) {
                Some(Some(value)) => environment.push((*name, value)),
                Some(None) => wrong(&format!("settings.{name}"), "range", bound.wanted()),
                None => {}
            }
        }
        if start.settings.keys().any(|name| BOUNDS.iter().all(|(known, _)| known != name)) {
            let known = BOUNDS.map(|(name, _)| name).join(", ");
            wrong("settings", "unknown", format!("may hold {known} only"));
        }
        if !errors.is_empty() {
            return Err(refusal::invalid(errors));
        }
        if start.scripts != self.fingerprint {
            return Err(refusal::other_scripts());
        }
        Ok(Launch {
            run: start.run,
            // The client keeps the output; the gate has no files.
            folder: PathBuf::new(),
            scenario: start.scenario.clone(),
            scripts: Arc::clone(&self.scripts),
            script: script.path.clone(),
            target_name: target.name.clone(),
            target: target.url.clone(),
            environment,
            secret: self.target_api_token.clone(),
            remote_write: self.remote_write.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{BOUNDS, Rules};
    use crate::gate::protocol::Start;
    use crate::scenarios::{self, Scenarios};
    use crate::targets;

    fn rules() -> Rules {
        let targets = targets::parse("local=http://127.0.0.1:7002").unwrap();
        Rules::new(Scenarios::embedded(), targets, Some("canary".to_owned().into()))
    }

    fn start(settings: &[(&str, &str)]) -> Start {
        Start {
            run: Uuid::now_v7(),
            scenario: "smoke".to_owned(),
            target: "local".to_owned(),
            target_fingerprint: rules().targets[0].fingerprint(),
            settings: settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            scripts: scenarios::fingerprint(Scenarios::embedded().files()),
        }
    }

    #[test]
    fn values_are_written_anew() {
        let told = [
            ("DURATION", "1m30s"),
            ("USERS", "007"),
            ("RATE", "2.50"),
            ("PROVIDER", "ollama"),
            ("MAX_COST_USD", "0.25"),
            ("MAX_P95_MS", "60000"),
            ("START", "warm"),
            ("SEED", "a-1_B"),
        ];
        assert_eq!(told.len(), BOUNDS.len());
        let launch = rules().launch(&start(&told)).unwrap();
        let values: Vec<_> = launch.environment.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["90s", "7", "2.5", "ollama", "0.25", "60000", "warm", "a-1_B"]);
        assert_eq!(
            (launch.script.as_str(), launch.target.as_str()),
            ("scenarios/smoke.js", "http://127.0.0.1:7002/")
        );
        assert!(launch.secret.is_some() && !format!("{launch:?}").contains("canary"));
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        for (name, values) in [
            ("DURATION", &["", "0s", "3601s", "1h1s", "-5s", "5s --out x", "1d"][..]),
            ("USERS", &["0", "201", "1.5", "-1", "1e1", "NaN", "٣", "0x10", " 5"]),
            ("RATE", &["0", "0.0", "1001", "inf", "-1", "1..2", "."]),
            ("PROVIDER", &["", "Ollama", "ollama\n", "http://x"]),
            ("MAX_COST_USD", &["1000.01", "1e3", "+1"]),
            ("MAX_P95_MS", &["1000000001", "infinity"]),
            ("START", &["cold", "warm "]),
            ("SEED", &["", "a b", "$(id)", "../x", "é"]),
        ] {
            for value in values {
                let problem = rules().launch(&start(&[(name, value)])).unwrap_err();
                assert_eq!((problem.status, problem.errors.len()), (422, 1), "{name}={value:?}");
                assert_eq!(problem.errors[0].field, format!("settings.{name}"));
            }
        }
        for name in ["BASE_URL", "API_TOKEN", "K6_VUS", "duration", "LD_PRELOAD", "", "DURATION\0"] {
            assert_eq!(rules().launch(&start(&[(name, "1")])).unwrap_err().errors[0].code, "unknown");
        }
    }

    #[test]
    fn a_name_that_stands_for_another_address_is_refused() {
        let elsewhere = &targets::parse("local=http://127.0.0.1:7003").unwrap()[0];
        for fingerprint in [elsewhere.fingerprint(), String::new()] {
            let other = Start { target_fingerprint: fingerprint, ..start(&[]) };
            let problem = rules().launch(&other).unwrap_err();
            assert_eq!((problem.status, problem.code.as_str()), (409, "other_target"));
        }
    }

    #[test]
    fn other_scripts_are_not_passed_off_as_these() {
        let other = Start { scripts: "0".to_owned(), ..start(&[]) };
        assert_eq!(rules().launch(&other).unwrap_err().code, "other_scripts");
        let nil = Start { run: Uuid::nil(), ..start(&[]) };
        assert_eq!(rules().launch(&nil).unwrap_err().errors[0].field, "run");
    }
}
