//! Settings: the command line and the environment, read once, with all mistakes reported together.
//!
//! The only file that reads the environment. Must not know what the settings are for beyond their
//! bounds.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU64;

use clap::{Args, Parser};
use secrecy::SecretString;
use telemetry::{LogFormat, LogsExporter, OtlpProtocol, Sampling};

use self::check::Check;
use crate::faults::Faults;
use crate::models::Models;
use crate::profile::Profiles;

mod check;
mod commands;

pub use commands::{
    Command, FitArguments, Kept, Misses, RecordArguments, RecordedTiming, ReplayArguments, Replayed,
};

/// A profile of which settings gave at least one figure.
const GIVEN: &str = "given by settings, not fitted";
/// Requests a minute that a model takes where nothing is said.
const REQUESTS: NonZeroU64 = NonZeroU64::new(1_000_000).unwrap();
/// Tokens a minute, likewise.
const TOKENS: NonZeroU64 = NonZeroU64::new(1_000_000_000).unwrap();
/// Tokens of the longest question, likewise.
const CONTEXT: NonZeroU64 = NonZeroU64::new(200_000).unwrap();

/// What no flag gives, for the command line can be read by others. In the form of the options.
const ENVIRONMENT_ONLY: &str = "Environment only:
      SIM_API_KEY
          The key that clients of OpenAI's, Anthropic's and Bedrock's protocol must send, any one when left out; Ollama's asks for none
      SIM_AWS_ACCESS_KEY_ID
          With SIM_AWS_SECRET_ACCESS_KEY: Bedrock's clients must have signed with the pair (SigV4), or send SIM_API_KEY where that is set
      SIM_AWS_SECRET_ACCESS_KEY
          The other half of the pair
      API_TOKEN
          Guards /admin/faults where others than this machine can ask";

/// The command line. Every option has an environment variable; the option wins.
#[derive(Debug, Parser)]
#[command(
    name = "llm-simulator",
    version,
    allow_negative_numbers = true,
    about = "Stands in for providers of large language models, on their own wire protocols, at zero cost",
    after_help = ENVIRONMENT_ONLY
)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The settings as they were written.
    #[command(flatten)]
    pub written: Written,
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
    /// Models on offer, by commas; * for any other, too [default: the providers' usual ones]
    #[arg(long, env = "SIM_MODELS", global = true)]
    models: Option<String>,
    /// Seed: the same request under the same seed has the same text, tokens and latency [default: 1]
    #[arg(long, env = "SIM_SEED", global = true)]
    seed: Option<String>,
    /// How models behave: [MODEL=]PROFILE by commas; a profile is built in (see `llm-simulator profiles`)
    /// or a file that `llm-simulator fit` wrote [default: quick]
    #[arg(long, env = "SIM_PROFILE", global = true)]
    profile: Option<String>,
    /// File of the faults in force at the start, as PUT /admin/faults takes them
    #[arg(long, env = "SIM_FAULTS", global = true)]
    faults: Option<String>,
    /// Requests a minute that a model takes; more get 429 [default: 1000000]
    #[arg(long, env = "SIM_REQUESTS_PER_MINUTE", global = true)]
    requests_per_minute: Option<String>,
    /// Tokens a minute that a model takes, questions and longest answers together [default: 1000000000]
    #[arg(long, env = "SIM_TOKENS_PER_MINUTE", global = true)]
    tokens_per_minute: Option<String>,
    /// Tokens of the longest question that a model takes [default: 200000]
    #[arg(long, env = "SIM_CONTEXT_TOKENS", global = true)]
    context_tokens: Option<String>,
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
    /// Share of requests answered with an error, 0 to 1; a retry may succeed [default: the profile's]
    #[arg(long, env = "SIM_ERROR_RATE", global = true)]
    error_rate: Option<String>,
    /// How log lines look: json or console [default: json]
    #[arg(long, env = "LOG_FORMAT", global = true)]
    log_format: Option<String>,
    /// Which log lines pass, such as info or info,llm_simulator=debug [default: info]
    #[arg(long, env = "LOG_FILTER", global = true)]
    log_filter: Option<String>,
    /// Where traces and log lines go by OTLP; nowhere when absent
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", global = true)]
    otlp_endpoint: Option<String>,
    /// How they travel: http/protobuf or grpc [default: http/protobuf]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_PROTOCOL", global = true)]
    otlp_protocol: Option<String>,
    /// true: nothing is measured nor exported; log lines are written all the same [default: false]
    #[arg(long, env = "OTEL_SDK_DISABLED", global = true)]
    sdk_disabled: Option<String>,
    /// otlp, or none where what is there takes traces only [default: otlp]
    #[arg(long, env = "OTEL_LOGS_EXPORTER", global = true)]
    logs_exporter: Option<String>,
    /// Which traces are recorded: a standard name such as parentbased_traceidratio [default: parentbased_always_on]
    #[arg(long, env = "OTEL_TRACES_SAMPLER", global = true)]
    traces_sampler: Option<String>,
    /// What part of them, for samplers by ratio, 0 to 1 [default: 1]
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", global = true)]
    traces_sampler_arg: Option<String>,
}

/// Checked settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Address to listen on.
    pub bind_address: IpAddr,
    /// Port to listen on; 0 for any free one.
    pub http_port: u16,
    /// Further host names under which clients reach it.
    pub allowed_hosts: Vec<String>,
    /// Models on offer.
    pub models: Models,
    /// The seed of everything drawn.
    pub seed: u64,
    /// Which model behaves how.
    pub profiles: Profiles,
    /// The faults in force at the start.
    pub faults: Faults,
    /// Requests a minute that a model takes.
    pub requests_per_minute: u64,
    /// Tokens a minute that a model takes.
    pub tokens_per_minute: u64,
    /// Tokens of the longest question that a model takes.
    pub context_tokens: u64,
    /// The key that clients of OpenAI's and Anthropic's protocol must send, and that clients of Bedrock's
    /// may send in place of a signature; any where absent.
    pub api_key: Option<SecretString>,
    /// The keys by which clients of Bedrock's must have signed; where absent any, and none where there is
    /// a key to be sent.
    pub aws_keys: Option<AwsKeys>,
    /// Guards what changes something, where anybody else can ask.
    pub api_token: Option<SecretString>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines pass.
    pub log_filter: String,
    /// Where traces and log lines go.
    pub otlp_endpoint: Option<String>,
    /// How they travel.
    pub otlp_protocol: OtlpProtocol,
    /// Whether nothing is measured nor exported.
    pub sdk_disabled: bool,
    /// Whether log lines do.
    pub logs_exporter: LogsExporter,
    /// Which traces are recorded.
    pub sampling: Sampling,
}

/// A pair of keys of AWS.
#[derive(Clone, Debug)]
pub struct AwsKeys {
    /// The public half.
    pub access_key_id: String,
    /// The secret half.
    pub secret_access_key: SecretString,
}

/// What is never given on the command line, where others could see it.
#[derive(Clone, Default)]
pub struct Secrets {
    api_key: Option<String>,
    api_token: Option<String>,
    aws_access_key_id: Option<String>,
    aws_secret_access_key: Option<String>,
}

impl Secrets {
    /// From the environment.
    #[must_use]
    pub fn from_environment() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is settings.rs")]
        let variable = |name| given(&std::env::var(name).ok()).map(str::to_owned);
        Self {
            api_key: variable("SIM_API_KEY"),
            api_token: variable("API_TOKEN"),
            aws_access_key_id: variable("SIM_AWS_ACCESS_KEY_ID"),
            aws_secret_access_key: variable("SIM_AWS_SECRET_ACCESS_KEY"),
        }
    }
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
    pub fn read(written: &Written, secrets: &Secrets) -> Result<Self, SettingsError> {
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
        let profiles = check.profiles(written, &models);
        let faults = check.faults(&written.faults, &models);
        let whole = "a whole number above 0";
        let mut limit = |name, text, default| {
            let limit: NonZeroU64 = check.parse(name, text, default, whole);
            limit.get()
        };
        let requests_per_minute = limit("SIM_REQUESTS_PER_MINUTE", &written.requests_per_minute, REQUESTS);
        let tokens_per_minute = limit("SIM_TOKENS_PER_MINUTE", &written.tokens_per_minute, TOKENS);
        let context_tokens = limit("SIM_CONTEXT_TOKENS", &written.context_tokens, CONTEXT);
        let aws_keys = check.aws_keys(secrets);
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
        let sdk_disabled =
            check.choice("OTEL_SDK_DISABLED", &written.sdk_disabled, &[("false", false), ("true", true)]);
        let logs_exporter = check.choice(
            "OTEL_LOGS_EXPORTER",
            &written.logs_exporter,
            &[("otlp", LogsExporter::Otlp), ("none", LogsExporter::None)],
        );
        let sampling = check.sampling(&written.traces_sampler, &written.traces_sampler_arg);
        match (profiles, faults) {
            (Some(profiles), Some(faults)) if check.mistakes.is_empty() => Ok(Self {
                bind_address,
                http_port,
                allowed_hosts: list(given(&written.allowed_hosts).unwrap_or_default()),
                models,
                seed,
                profiles,
                faults,
                requests_per_minute,
                tokens_per_minute,
                context_tokens,
                api_key: secrets.api_key.clone().map(SecretString::from),
                aws_keys,
                api_token: secrets.api_token.clone().map(SecretString::from),
                log_format,
                log_filter: given(&written.log_filter).unwrap_or("info").to_owned(),
                otlp_endpoint,
                otlp_protocol,
                sdk_disabled,
                logs_exporter,
                sampling,
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

#[cfg(test)]
mod tests {
    use clap::builder::Resettable;
    use clap::{CommandFactory, FromArgMatches};

    use super::{CommandLine, GIVEN, Secrets, Settings, SettingsError};

    fn read(arguments: &[&str]) -> Result<Settings, SettingsError> {
        // Whatever the environment of the tests says.
        let command = CommandLine::command().mut_args(|argument| argument.env(Resettable::Reset));
        let matches = command.try_get_matches_from([&["llm-simulator"], arguments].concat()).unwrap();
        Settings::read(&CommandLine::from_arg_matches(&matches).unwrap().written, &Secrets::default())
    }

    #[test]
    fn nothing_has_to_be_given() {
        let settings = read(&[]).unwrap();
        assert_eq!((settings.http_port, settings.seed), (7006, 1));
        assert!(settings.models.offers("llama3.2") && settings.models.offers("gpt-4o"));
        assert!(settings.profiles.default_profile().source.starts_with("built-in"));
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
        assert_eq!(empty.unwrap().profiles, read(&[]).unwrap().profiles);
    }

    #[test]
    fn a_median_alone_keeps_the_built_in_spread() {
        let given = read(&["--first-token-median-ms", "1000", "--gap-median-ms", "0"]).unwrap();
        assert_eq!(given.profiles.default_profile().source, GIVEN);
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
        assert_eq!(given.profiles, both.unwrap().profiles);
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
            "--logs-exporter",
            "file",
            "--traces-sampler",
            "sometimes",
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
            "OTEL_LOGS_EXPORTER (--logs-exporter)",
            "OTEL_TRACES_SAMPLER: ",
        ];
        assert_eq!(error.mistakes.len(), names.len(), "{error}");
        for (mistake, name) in error.mistakes.iter().zip(names) {
            assert!(mistake.starts_with(name), "{mistake} instead of {name}");
        }
    }

    #[test]
    fn a_profile_is_of_a_model_on_offer() {
        for (models, profile) in [
            ("", "nosuchmodel=quick"),
            ("", "quick,llama3.2:latest=quick"),
            ("", "=quick"),
            ("*", "=quick"),
            ("gpt-4o", "gpt-4o=quick,llama3.2=quick"),
        ] {
            let error = read(&["--models", models, "--profile", profile]).unwrap_err().to_string();
            assert!(error.contains("which is not on offer: give one of "), "{error}");
        }
        let error = read(&["--models", "a,b", "--profile", "c=quick"]).unwrap_err();
        assert_eq!(
            error.mistakes,
            [
                r#"SIM_PROFILE (--profile) is about the model "c", which is not on offer: give one of a, b, or name it in SIM_MODELS"#
            ]
        );
        for (models, profile) in [("", "llama3.2=quick"), ("a,*", "quick,a=quick,anything=quick")] {
            read(&["--models", models, "--profile", profile]).unwrap();
        }
    }

    #[test]
    fn a_model_named_twice_is_listed_once() {
        let models = read(&["--models", "gpt-4o,b,gpt-4o , b,*,*"]).unwrap().models;
        assert_eq!((models.named(), models.any()), (&["gpt-4o".to_owned(), "b".to_owned()][..], true));
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
