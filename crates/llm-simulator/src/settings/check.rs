//! Checks of single settings, which collect every mistake.

use std::collections::HashSet;
use std::str::FromStr;

use telemetry::Sampling;

use super::{AwsKeys, GIVEN, Secrets, Written, given, list};
use crate::faults::Faults;
use crate::models::{LONGEST_NAME, Models};
use crate::profile::{LONGEST_ANSWER, Profile, Profiles};

/// Largest delay that can be asked for, in milliseconds.
const LONGEST_DELAY_MS: f64 = 300_000.0;
/// The models on offer where none are named: the providers' usual ones.
const MODELS: &str = "llama3.2,gpt-4o,gpt-4o-mini,claude-sonnet-5-5,claude-sonnet-4-5,claude-haiku-4-5,\
    anthropic.claude-sonnet-4-5-20250929-v1:0,us.anthropic.claude-sonnet-4-5-20250929-v1:0";
/// The built-in profile's name where none is given.
const PROFILE: &str = "quick";

/// A quantity of the profile as it was written.
struct Quantity<'a> {
    median_name: &'static str,
    median: &'a Option<String>,
    p95_name: &'static str,
    p95: &'a Option<String>,
    /// The median where none is given.
    default: f64,
    /// The 95th percentile in medians where none is given.
    spread: f64,
    least: f64,
    most: f64,
}

/// Collects mistakes.
#[derive(Default)]
pub(super) struct Check {
    pub(super) mistakes: Vec<String>,
}

impl Check {
    fn wrong(&mut self, name: &str, text: &str, wanted: &str) {
        let option =
            name.trim_start_matches("SIM_").trim_start_matches("OTEL_EXPORTER_").trim_start_matches("OTEL_");
        let option = option.to_ascii_lowercase().replace('_', "-");
        self.mistakes.push(format!("{name} (--{option}) is {text:?}: give {wanted}"));
    }

    /// A value, or the default where none or a wrong one is given.
    pub(super) fn parse<T: FromStr>(
        &mut self,
        name: &str,
        text: &Option<String>,
        default: T,
        wanted: &str,
    ) -> T {
        let Some(text) = given(text) else { return default };
        text.parse().unwrap_or_else(|_| {
            self.wrong(name, text, wanted);
            default
        })
    }

    /// One of several words, or the default where none or a wrong one is given.
    pub(super) fn choice<T: Copy + Default>(
        &mut self,
        name: &str,
        text: &Option<String>,
        choices: &[(&str, T)],
    ) -> T {
        let Some(text) = given(text) else { return T::default() };
        if let Some((_, value)) = choices.iter().find(|(choice, _)| choice.eq_ignore_ascii_case(text)) {
            return *value;
        }
        let names: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
        self.wrong(name, text, &names.join(" or "));
        T::default()
    }

    pub(super) fn models(&mut self, text: &Option<String>) -> Models {
        let text = given(text).unwrap_or(MODELS);
        let mut models = list(text);
        let mut seen = HashSet::new();
        models.retain(|model| seen.insert(model.clone()));
        let sound = |name: &String| {
            name == "*"
                || name.len() <= LONGEST_NAME
                    && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-:/@".contains(c))
        };
        if models.is_empty() || !models.iter().all(sound) {
            self.wrong(
                "SIM_MODELS",
                text,
                "names of models by commas, such as llama3.2,gpt-4o; * for any other",
            );
        }
        Models::new(models)
    }

    pub(super) fn endpoint(&mut self, text: &Option<String>) -> Option<String> {
        let text = given(text)?;
        if !text.starts_with("http://") && !text.starts_with("https://") {
            self.wrong("OTEL_EXPORTER_OTLP_ENDPOINT", text, "a URL such as http://127.0.0.1:4318");
        }
        Some(text.to_owned())
    }

    /// Which traces are recorded.
    pub(super) fn sampling(&mut self, name: &Option<String>, argument: &Option<String>) -> Sampling {
        let (name, argument) = (given(name).unwrap_or_default(), given(argument).unwrap_or_default());
        Sampling::parse(name, argument).unwrap_or_else(|mistake| {
            self.mistakes.push(mistake);
            Sampling::default()
        })
    }

    /// A number within bounds, or the default where none or a wrong one is given.
    pub(super) fn number(
        &mut self,
        name: &str,
        text: &Option<String>,
        default: f64,
        least: f64,
        most: f64,
    ) -> f64 {
        let Some(text) = given(text) else { return default };
        match text.parse::<f64>() {
            // What is not a number is in no range.
            Ok(number) if (least..=most).contains(&number) => number,
            _ => {
                self.wrong(name, text, &format!("a number from {least} to {most}"));
                default
            }
        }
    }

    /// The median and the 95th percentile of a quantity; nothing after a mistake.
    fn spread(&mut self, quantity: &Quantity<'_>) -> Option<(f64, f64)> {
        let &Quantity { median_name, median, p95_name, p95, default, spread, least, most } = quantity;
        let before = self.mistakes.len();
        let median = self.number(median_name, median, default, least, most);
        let p95_text = given(p95).unwrap_or_default();
        let p95 = self.number(p95_name, p95, median * spread, least, most);
        if self.mistakes.len() > before {
            return None;
        }
        if p95 < median {
            let wanted = format!("at least the median, {median}, or nothing for {spread} medians");
            self.wrong(p95_name, p95_text, &wanted);
            return None;
        }
        if median == 0.0 && p95 > 0.0 {
            self.wrong(p95_name, p95_text, "0 too: with a median of 0 nothing is ever delayed");
            return None;
        }
        Some((median, p95))
    }

    /// A profile by figures of one's own, and whether there are any.
    fn figures(&mut self, written: &Written) -> Option<(bool, Profile)> {
        let first_token = self.spread(&Quantity {
            median_name: "SIM_FIRST_TOKEN_MEDIAN_MS",
            median: &written.first_token_median_ms,
            p95_name: "SIM_FIRST_TOKEN_P95_MS",
            p95: &written.first_token_p95_ms,
            default: 120.0,
            spread: 3.0,
            least: 0.0,
            most: LONGEST_DELAY_MS,
        });
        let gap = self.spread(&Quantity {
            median_name: "SIM_GAP_MEDIAN_MS",
            median: &written.gap_median_ms,
            p95_name: "SIM_GAP_P95_MS",
            p95: &written.gap_p95_ms,
            default: 8.0,
            spread: 2.5,
            least: 0.0,
            most: LONGEST_DELAY_MS,
        });
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let output_tokens = self.spread(&Quantity {
            median_name: "SIM_OUTPUT_TOKENS_MEDIAN",
            median: &written.output_tokens_median,
            p95_name: "SIM_OUTPUT_TOKENS_P95",
            p95: &written.output_tokens_p95,
            default: 90.0,
            spread: 2.0,
            least: 1.0,
            most: LONGEST_ANSWER as f64,
        });
        let changed = [
            &written.first_token_median_ms,
            &written.first_token_p95_ms,
            &written.gap_median_ms,
            &written.gap_p95_ms,
            &written.output_tokens_median,
            &written.output_tokens_p95,
        ];
        let by_figures = changed.into_iter().any(|text| given(text).is_some());
        let profile = Profile::log_normal(GIVEN, first_token?, gap?, output_tokens?)?;
        Some((by_figures, profile))
    }

    /// Which model behaves how: `[MODEL=]PROFILE` by commas, a profile a built-in one's name or a
    /// file, and a model one of those on offer. Nothing after a mistake.
    pub(super) fn profiles(&mut self, written: &Written, models: &Models) -> Option<Profiles> {
        let figures = self.figures(written);
        let error_rate = given(&written.error_rate)
            .map(|_| self.number("SIM_ERROR_RATE", &written.error_rate, 0.0, 0.0, 1.0));
        let (by_figures, figures) = figures?;
        let mut default = None;
        let mut by_model = Vec::new();
        for item in list(given(&written.profile).unwrap_or_default()) {
            let (model, name) = item
                .rsplit_once('=')
                .map_or((None, item.as_str()), |(model, name)| (Some(model.trim().to_owned()), name.trim()));
            let profile = self.one_profile(name)?;
            match model {
                Some(model) if models.offers(&model) => by_model.push((model, profile)),
                Some(model) => {
                    self.mistakes.push(format!(
                        "SIM_PROFILE (--profile) is about the model {model:?}, which is not on offer: give one of {}, \
                         or name it in SIM_MODELS",
                        models.named().join(", ")
                    ));
                    return None;
                }
                None if default.is_none() => default = Some(profile),
                None => {
                    self.wrong(
                        "SIM_PROFILE",
                        &item,
                        "one profile for all models, and MODEL=PROFILE for single ones",
                    );
                    return None;
                }
            }
        }
        if by_figures && default.is_some() {
            let text = given(&written.profile).unwrap_or_default();
            self.wrong(
                "SIM_PROFILE",
                text,
                "either a profile or figures of one's own (SIM_FIRST_TOKEN_MEDIAN_MS and the like)",
            );
            return None;
        }
        let default =
            if by_figures { Some(figures) } else { default.or_else(|| Profile::built_in(PROFILE)) }?;
        let with_rate = |profile: Profile| match error_rate {
            Some(rate) => profile.with_error_rate(rate),
            None => profile,
        };
        let profiles = Profiles::all(with_rate(default));
        Some(
            by_model.into_iter().fold(profiles, |all, (model, profile)| all.with(&model, with_rate(profile))),
        )
    }

    fn one_profile(&mut self, name: &str) -> Option<Profile> {
        if let Some(profile) = Profile::built_in(name) {
            return Some(profile);
        }
        let read = std::fs::read_to_string(name).map_err(|error| error.to_string());
        match read.and_then(|text| Profile::from_json(&text).map_err(|error| error.to_string())) {
            Ok(profile) => Some(profile),
            Err(error) => {
                let names = Profile::BUILT_IN.join(", ");
                self.mistakes.push(format!(
                    "SIM_PROFILE (--profile) names {name:?}, which is none of the built-in {names}, and as a file cannot be used: {error}"
                ));
                None
            }
        }
    }

    /// The rules in force at the start.
    pub(super) fn faults(&mut self, file: &Option<String>, models: &Models) -> Option<Faults> {
        let Some(file) = given(file) else { return Some(Faults::default()) };
        let read = std::fs::read_to_string(file).map_err(|error| error.to_string());
        match read.and_then(|text| Faults::for_models(&text, models).map_err(|error| error.to_string())) {
            Ok(faults) => Some(faults),
            Err(error) => {
                self.mistakes
                    .push(format!("SIM_FAULTS (--faults) names {file:?}, which cannot be used: {error}"));
                None
            }
        }
    }

    /// Both keys of AWS, or none.
    pub(super) fn aws_keys(&mut self, secrets: &Secrets) -> Option<AwsKeys> {
        match (&secrets.aws_access_key_id, &secrets.aws_secret_access_key) {
            (None, None) => None,
            (Some(id), Some(secret)) => {
                Some(AwsKeys { access_key_id: id.clone(), secret_access_key: secret.clone().into() })
            }
            _ => {
                self.mistakes.push(
                    "SIM_AWS_ACCESS_KEY_ID and SIM_AWS_SECRET_ACCESS_KEY belong together: give both or none"
                        .to_owned(),
                );
                None
            }
        }
    }
}
