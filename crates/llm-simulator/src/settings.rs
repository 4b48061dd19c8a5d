//! Settings: the command line and the environment, read once, with all mistakes reported together.
//!
//! The only file that reads the environment. Must not know what the settings are for beyond their
//! bounds.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use statistics::LogNormal;
use telemetry::{LogFormat, OtlpProtocol};

use crate::profile::{Delay, LONGEST_ANSWER, Profile};

/// The built-in profile: a small model on a fast machine, quick enough for tests. The figures were
/// chosen, not measured.
const BUILT_IN: &str = "built-in, not fitted";
/// A profile of which settings gave at least one figure.
const GIVEN: &str = "given by settings, not fitted";
/// Largest delay that can be asked for, in milliseconds.
const LONGEST_DELAY_MS: f64 = 300_000.0;

/// The command line. Every option has an environment variable; the option wins.
#[derive(Debug, Parser)]
#[command(
    name = "llm-simulator",
    version,
    allow_negative_numbers = true,
    about = "Stands in for providers of large language models, on their own wire protocols, at zero cost"
)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The settings as they were written.
    #[command(flatten)]
    pub written: Written,
}

/// What to do; without one, serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Serve until told to stop (the default)
    #[default]
    Serve,
    /// Ask the running simulator whether it lives; exit code 0 or 1
    Health,
}

/// Settings as they were written; [`Settings::read`] checks them. Texts, so that one mistake does
/// not hide the next.
#[derive(Args, Clone, Debug, Default)]
pub struct Written {
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long, env = "BIND_ADDRESS", global = true)]
    bind_address: Option<String>,
    /// Port to listen on, 0 for any free one [default: 7006]
    #[arg(long, env = "HTTP_PORT", global = true)]
    http_port: Option<String>,
    /// Further host names under which clients reach it, by commas; * for any
    #[arg(long, env = "ALLOWED_HOSTS", global = true)]
    allowed_hosts: Option<String>,
    /// Models on offer, by commas [default: llama3.2]
    #[arg(long, env = "SIM_MODELS", global = true)]
    models: Option<String>,
    /// Seed: the same request under the same seed has the same text, tokens and latency [default: 1]
    #[arg(long, env = "SIM_SEED", global = true)]
    seed: Option<String>,
    /// Median time to the first token, in milliseconds; 0 for no delay [default: 120]
    #[arg(long, env = "SIM_FIRST_TOKEN_MEDIAN_MS", global = true)]
    first_token_median_ms: Option<String>,
    /// 95th percentile of the time to the first token, in milliseconds [default: 3 medians]
    #[arg(long, env = "SIM_FIRST_TOKEN_P95_MS", global = true)]
    first_token_p95_ms: Option<String>,
    /// Median gap between chunks, in milliseconds; 0 for no gap [default: 8]
    #[arg(long, env = "SIM_GAP_MEDIAN_MS", global = true)]
    gap_median_ms: Option<String>,
    /// 95th percentile of the gap between chunks, in milliseconds [default: 2.5 medians]
    #[arg(long, env = "SIM_GAP_P95_MS", global = true)]
    gap_p95_ms: Option<String>,
    /// Median length of an answer, in tokens [default: 90]
    #[arg(long, env = "SIM_OUTPUT_TOKENS_MEDIAN", global = true)]
    output_tokens_median: Option<String>,
    /// 95th percentile of the length of an answer, in tokens [default: 2 medians]
    #[arg(long, env = "SIM_OUTPUT_TOKENS_P95", global = true)]
    output_tokens_p95: Option<String>,
    /// Share of requests answered with an error, 0 to 1; a retry may succeed [default: 0]
    #[arg(long, env = "SIM_ERROR_RATE", global = true)]
    error_rate: Option<String>,
    /// How log lines look: json or console [default: json]
    #[arg(long, env = "LOG_FORMAT", global = true)]
    log_format: Option<String>,
    /// Which log lines pass, such as info or info,llm_simulator=debug [default: info]
    #[arg(long, env = "LOG_FILTER", global = true)]
    log_filter: Option<String>,
    /// Where traces go by OTLP; nowhere when absent
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", global = true)]
    otlp_endpoint: Option<String>,
    /// How traces travel: http/protobuf or grpc [default: http/protobuf]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_PROTOCOL", global = true)]
    otlp_protocol: Option<String>,
}

/// Checked settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Address to listen on.
    pub bind_address: IpAddr,
    /// Port to listen on; 0 for any free one.
    pub http_port: u16,
    /// Further host names under which clients reach it.
    pub allowed_hosts: Vec<String>,
    /// Models on offer; one at least.
    pub models: Vec<String>,
    /// The seed of everything drawn.
    pub seed: u64,
    /// How it behaves.
    pub profile: Profile,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines pass.
    pub log_filter: String,
    /// Where traces go.
    pub otlp_endpoint: Option<String>,
    /// How traces travel.
    pub otlp_protocol: OtlpProtocol,
}

/// What is wrong with the settings: all of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SettingsError {
    /// One sentence a mistake, with what to do.
    pub mistakes: Vec<String>,
}

impl SettingsError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        "settings"
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings cannot be used:")?;
        self.mistakes.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

impl Settings {
    /// Checks settings as they were written.
    ///
    /// # Errors
    /// With every mistake there is.
    pub fn read(written: &Written) -> Result<Self, SettingsError> {
        let mut check = Check::default();
        let bind_address = check.parse(
            "BIND_ADDRESS",
            &written.bind_address,
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            "an IP address such as 127.0.0.1 or 0.0.0.0",
        );
        let http_port = check.parse("HTTP_PORT", &written.http_port, 7006, "a port from 0 to 65535");
        let models = check.models(&written.models);
        let seed = check.parse("SIM_SEED", &written.seed, 1, "a whole number from 0 to 2^64 - 1");
        let profile = check.profile(written);
        let log_format = check.choice(
            "LOG_FORMAT",
            &written.log_format,
            &[("json", LogFormat::Json), ("console", LogFormat::Console)],
        );
        let otlp_endpoint = check.endpoint(&written.otlp_endpoint);
        let otlp_protocol = check.choice(
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            &written.otlp_protocol,
            &[("http/protobuf", OtlpProtocol::HttpProtobuf), ("grpc", OtlpProtocol::Grpc)],
        );
        match profile {
            Some(profile) if check.mistakes.is_empty() => Ok(Self {
                bind_address,
                http_port,
                allowed_hosts: list(given(&written.allowed_hosts).unwrap_or_default()),
                models,
                seed,
                profile,
                log_format,
                log_filter: given(&written.log_filter).unwrap_or("info").to_owned(),
                otlp_endpoint,
                otlp_protocol,
            }),
            _ => Err(SettingsError { mistakes: check.mistakes }),
        }
    }
}

/// A setting that was given: an empty one counts as absent, as compose files write it.
fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().map(str::trim).filter(|text| !text.is_empty())
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

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
struct Check {
    mistakes: Vec<String>,
}

impl Check {
    fn wrong(&mut self, name: &str, text: &str, wanted: &str) {
        let option = name.trim_start_matches("SIM_").trim_start_matches("OTEL_EXPORTER_");
        let option = option.to_ascii_lowercase().replace('_', "-");
        self.mistakes.push(format!("{name} (--{option}) is {text:?}: give {wanted}"));
    }

    /// A value, or the default where none or a wrong one is given.
    fn parse<T: FromStr>(&mut self, name: &str, text: &Option<String>, default: T, wanted: &str) -> T {
        let Some(text) = given(text) else { return default };
        text.parse().unwrap_or_else(|_| {
            self.wrong(name, text, wanted);
            default
        })
    }

    /// One of several words, or the default where none or a wrong one is given.
    fn choice<T: Copy + Default>(&mut self, name: &str, text: &Option<String>, choices: &[(&str, T)]) -> T {
        let Some(text) = given(text) else { return T::default() };
        if let Some((_, value)) = choices.iter().find(|(choice, _)| choice.eq_ignore_ascii_case(text)) {
            return *value;
        }
        let names: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
        self.wrong(name, text, &names.join(" or "));
        T::default()
    }

    fn models(&mut self, text: &Option<String>) -> Vec<String> {
        let text = given(text).unwrap_or("llama3.2");
        let models = list(text);
        let sound = |name: &String| {
            name.len() <= 200 && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-:/@".contains(c))
        };
        if models.is_empty() || !models.iter().all(sound) {
            self.wrong("SIM_MODELS", text, "names of models by commas, such as llama3.2,noise");
        }
        models
    }

    fn endpoint(&mut self, text: &Option<String>) -> Option<String> {
        let text = given(text)?;
        if !text.starts_with("http://") && !text.starts_with("https://") {
            self.wrong("OTEL_EXPORTER_OTLP_ENDPOINT", text, "a URL such as http://127.0.0.1:4318");
        }
        Some(text.to_owned())
    }

    /// A number within bounds, or the default where none or a wrong one is given.
    fn number(&mut self, name: &str, text: &Option<String>, default: f64, least: f64, most: f64) -> f64 {
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

    fn profile(&mut self, written: &Written) -> Option<Profile> {
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
        let error_rate = self.number("SIM_ERROR_RATE", &written.error_rate, 0.0, 0.0, 1.0);
        let changed = [
            &written.first_token_median_ms,
            &written.first_token_p95_ms,
            &written.gap_median_ms,
            &written.gap_p95_ms,
            &written.output_tokens_median,
            &written.output_tokens_p95,
        ];
        let source = if changed.into_iter().any(|text| given(text).is_some()) { GIVEN } else { BUILT_IN };
        let ((first, first_p95), (gap, gap_p95), (tokens, tokens_p95)) = (first_token?, gap?, output_tokens?);
        Some(Profile {
            source: source.to_owned(),
            first_token: Delay::from_median_and_p95(first, first_p95)?,
            gap: Delay::from_median_and_p95(gap, gap_p95)?,
            output_tokens: LogNormal::from_median_and_p95(tokens, tokens_p95)?,
            error_rate,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::builder::Resettable;
    use clap::{CommandFactory, FromArgMatches};

    use super::{BUILT_IN, CommandLine, GIVEN, Settings, SettingsError};

    fn read(arguments: &[&str]) -> Result<Settings, SettingsError> {
        // Whatever the environment of the tests says.
        let command = CommandLine::command().mut_args(|argument| argument.env(Resettable::Reset));
        let matches = command.try_get_matches_from([&["llm-simulator"], arguments].concat()).unwrap();
        Settings::read(&CommandLine::from_arg_matches(&matches).unwrap().written)
    }

    #[test]
    fn nothing_has_to_be_given() {
        let settings = read(&[]).unwrap();
        assert_eq!((settings.http_port, settings.seed), (7006, 1));
        assert_eq!(settings.models, ["llama3.2"]);
        assert_eq!(settings.profile.source, BUILT_IN);
        assert_eq!(settings.profile.error_rate.to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn options_stand_before_or_after_the_command() {
        for arguments in [["--seed", "7", "serve"], ["serve", "--seed", "7"]] {
            assert_eq!(read(&arguments).unwrap().seed, 7);
        }
    }

    #[test]
    fn an_empty_setting_counts_as_absent() {
        let empty = read(&["--http-port", "", "--models", " ", "--gap-p95-ms", "", "--log-format", ""]);
        assert_eq!(empty, read(&[]));
    }

    #[test]
    fn a_median_alone_keeps_the_built_in_spread() {
        let given = read(&["--first-token-median-ms", "1000", "--gap-median-ms", "0"]).unwrap();
        assert_eq!(given.profile.source, GIVEN);
        let both = read(&[
            "--first-token-median-ms",
            "1000",
            "--first-token-p95-ms",
            "3000",
            "--gap-median-ms",
            "0",
            "--gap-p95-ms",
            "0",
        ]);
        assert_eq!(given.profile, both.unwrap().profile);
    }

    #[test]
    fn all_mistakes_are_reported_together_and_each_names_its_setting() {
        let error = read(&[
            "--bind-address",
            "localhost",
            "--http-port",
            "99999",
            "--seed",
            "-1",
            "--models",
            "a b",
            "--first-token-median-ms",
            "soon",
            "--gap-median-ms",
            "10",
            "--gap-p95-ms",
            "5",
            "--output-tokens-median",
            "0",
            "--error-rate",
            "NaN",
            "--log-format",
            "xml",
            "--otlp-endpoint",
            "collector:4317",
            "--otlp-protocol",
            "udp",
        ])
        .unwrap_err();
        let names = [
            "BIND_ADDRESS (--bind-address)",
            "HTTP_PORT (--http-port)",
            "SIM_MODELS (--models)",
            "SIM_SEED (--seed)",
            "SIM_FIRST_TOKEN_MEDIAN_MS (--first-token-median-ms)",
            "SIM_GAP_P95_MS (--gap-p95-ms)",
            "SIM_OUTPUT_TOKENS_MEDIAN (--output-tokens-median)",
            "SIM_ERROR_RATE (--error-rate)",
            "LOG_FORMAT (--log-format)",
            "OTEL_EXPORTER_OTLP_ENDPOINT (--otlp-endpoint)",
            "OTEL_EXPORTER_OTLP_PROTOCOL (--otlp-protocol)",
        ];
        assert_eq!(error.mistakes.len(), names.len(), "{error}");
        for (mistake, name) in error.mistakes.iter().zip(names) {
            assert!(mistake.starts_with(name), "{mistake} instead of {name}");
        }
    }

    #[test]
    fn the_error_text_says_what_would_be_right() {
        let error = read(&["--error-rate", "2"]).unwrap_err();
        let text = "the settings cannot be used:\n  SIM_ERROR_RATE (--error-rate) is \"2\": give a number from 0 to 1";
        assert_eq!(error.to_string(), text);
        let error = read(&["--gap-median-ms", "0", "--gap-p95-ms", "5"]).unwrap_err();
        assert!(error.to_string().contains("nothing is ever delayed"), "{error}");
    }
}
