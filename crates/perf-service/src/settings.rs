//! Settings: the command line and the environment, read once, with all mistakes reported together.
//!
//! The only file that reads the environment. Must not know what the settings are for beyond their
//! bounds. Long because each setting stands here twice, declared and checked; tests are `settings/tests.rs`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use common_models::StartRun;
use http_server::{ListenSettings, TlsOptions, TlsSettings};
use secrecy::SecretString;
use telemetry::{GenAiSettings, LogFormat, LogsExporter, OtlpProtocol, Sampling, TelemetrySettings};
use url::Url;

use crate::engine::EngineChoice;
use crate::engine::docker::{DockerSettings, Limits, Network};
use crate::engine::gated::GateSettings;
use crate::engine::local::LocalSettings;
use crate::gate::place::Place;
use crate::ledger::Retention;
use crate::scenarios;
use crate::targets::{self, Target};

mod comparison;

pub use comparison::{CompareRequest, Format};

const PORT: u16 = 7004;
const HTTPS_PORT: u16 = 7003;
const DATA_DIR: &str = "data/perf-service";
const TARGETS: &str = "local=http://127.0.0.1:7002";
const K6_IMAGE: &str = "grafana/k6:1.1.0";
/// Past runs listed when nothing else is asked for, and at most.
const DEFAULT_LISTED: usize = 20;
const MOST_LISTED: usize = 1_000;
/// A shorter token could be guessed.
const SHORTEST_TOKEN: usize = 16;
const DAY: u64 = 24 * 3_600;
const MEGABYTE: u64 = 1_000_000;

/// The command line. Every option has an environment variable; the option wins.
#[derive(Debug, Parser)]
#[command(
    name = "perf-service",
    version,
    about = "Load-tests the bookstore with k6 and says what came of it",
    after_help = "Exit codes of run: 0 passed, 99 thresholds crossed, 3 inconclusive, 2 usage, 1 anything else;\n\
                  of compare: 0 better or the same, 99 worse, 3 not enough evidence, 2 usage, 1 anything else;\n\
                  of list, report and scenarios: 0, 2 usage or no such run, 1 anything else.\n\n\
                  Environment only:\n      \
                  API_TOKEN\n          \
                  Guards what starts and cancels runs, 16 characters at least. Off loopback one is made, kept in DATA_DIR with mode 0600 and printed once, where none is given\n      \
                  TARGET_API_TOKEN\n          \
                  What k6 sends to targets that ask for a token, and this service where it asks them what they bill\n      \
                  DOCKER_GATE_TOKEN\n          \
                  What a docker-gate on a port asks for"
)]
pub struct CommandLine {
    #[command(subcommand)]
    command: Option<CommandWritten>,
    #[command(flatten)]
    written: Written,
}

#[derive(Clone, Debug, Subcommand)]
enum CommandWritten {
    /// Serve the API (the default)
    Serve,
    /// Run a scenario here and now, and exit by its verdict
    #[command(allow_negative_numbers = true)]
    Run(RunWritten),
    /// List past runs, newest first
    List(ListWritten),
    /// Say what a run came to and where its report is, or copy it
    Report(ReportWritten),
    /// Compare two targets, or two builds that it starts itself, and exit by the verdict
    #[command(allow_negative_numbers = true)]
    Compare(comparison::CompareWritten),
    /// List the scenarios
    Scenarios,
    /// Hold Docker's socket for a perf-service that must not have it
    DockerGate {
        /// Ask the running gate whether it lives instead; exit code 0 or 1
        #[arg(long)]
        health: bool,
    },
    /// Ask the running service whether it lives; exit code 0 or 1
    Health,
}

#[derive(Args, Clone, Debug)]
struct RunWritten {
    /// Name of the scenario
    scenario: String,
    /// Name of a configured target [default: the first]
    #[arg(long)]
    target: Option<String>,
    /// LLM provider to ask for summaries [default: the target's own]
    #[arg(long)]
    provider: Option<String>,
    /// Measured load, such as 15s or 2m; up to 1h [default: the scenario's own]
    #[arg(long)]
    duration: Option<String>,
    /// Virtual users, 1 to 200 [default: the scenario's own]
    #[arg(long)]
    users: Option<String>,
    /// Iterations begun a second however slow the target is, 1 to 1000; users then are the most under way
    #[arg(long)]
    rate: Option<String>,
    /// Dollars at which the run is aborted, up to 1000; needed where a provider that bills may be asked, 0 where a simulator answers
    #[arg(long)]
    max_cost_usd: Option<String>,
    /// Decides every draw of the visitors, 0 to 4294967295: two runs with the same one ask for the same [default: the scenario's own]
    #[arg(long)]
    seed: Option<String>,
    /// Limit in milliseconds for the 95th percentile of what no LLM takes part in [default: the scenario's own]
    #[arg(long)]
    max_p95_ms: Option<String>,
    /// Print the run as JSON, and nothing else, on standard output
    #[arg(long)]
    json: bool,
    /// Folder to put run.json, results.json and report.html into [default: they stay in DATA_DIR alone]
    #[arg(long)]
    out: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
struct ListWritten {
    /// Runs to list, 1 to 1000 [default: 20]
    #[arg(long)]
    limit: Option<String>,
    /// Print a page of runs as JSON, as the API answers it
    #[arg(long)]
    json: bool,
}

#[derive(Args, Clone, Debug)]
struct ReportWritten {
    /// Id of the run, the begin of an id, or `latest`
    run: String,
    /// File or folder to copy the report to
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print all figures as JSON in place of the summary
    #[arg(long, conflicts_with = "out")]
    json: bool,
}

/// Settings as they were written; [`Settings::read`] checks them. Texts, so that one mistake does
/// not hide the next.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Settings")]
struct Written {
    /// Address to listen on; beyond loopback, what changes something needs the API token [default: 127.0.0.1]
    #[arg(long, env = "BIND_ADDRESS", global = true, hide_env_values = true)]
    bind_address: Option<String>,
    /// Port to listen on, 0 for any free one [default: 7004]
    #[arg(long, env = "HTTP_PORT", global = true, hide_env_values = true)]
    http_port: Option<String>,
    /// Port of HTTPS (HTTP/2 by ALPN), once there is a certificate [default: 7003]
    #[arg(long, env = "HTTPS_PORT", global = true, hide_env_values = true)]
    https_port: Option<String>,
    /// Certificate with its chain, PEM; turns HTTPS on
    #[arg(long, env = "TLS_CERT_FILE", global = true, hide_env_values = true)]
    tls_cert_file: Option<String>,
    /// The certificate's private key, PEM
    #[arg(long, env = "TLS_KEY_FILE", global = true, hide_env_values = true)]
    tls_key_file: Option<String>,
    /// Make a development certificate, keep it in DATA_DIR, and turn HTTPS on [default: false]
    #[arg(long, env = "TLS_SELF_SIGNED", global = true, hide_env_values = true)]
    tls_self_signed: Option<String>,
    /// Further host names under which clients reach it, by commas; * for any
    #[arg(long, env = "ALLOWED_HOSTS", global = true, hide_env_values = true)]
    allowed_hosts: Option<String>,
    /// Folder for runs and their reports [default: data/perf-service]
    #[arg(long, env = "DATA_DIR", global = true, hide_env_values = true)]
    data_dir: Option<String>,
    /// What may be put under load, name=URL by commas; the first is the default [default: local=http://127.0.0.1:7002]
    #[arg(long, env = "TARGETS", global = true, hide_env_values = true)]
    targets: Option<String>,
    /// What runs k6: docker, local, or auto: docker where it answers and has or can get the image [default: auto]
    #[arg(long, visible_alias = "k6-engine", env = "K6_ENGINE", global = true, hide_env_values = true)]
    engine: Option<String>,
    /// The local k6 [default: the one on PATH]
    #[arg(long, env = "K6_BIN", global = true, hide_env_values = true)]
    k6_bin: Option<String>,
    /// k6's image [default: grafana/k6:1.1.0]
    #[arg(long, env = "K6_IMAGE", global = true, hide_env_values = true)]
    k6_image: Option<String>,
    /// Network of k6's containers: host, or a name; then loopback is host.docker.internal [default: host where its loopback is this machine's, else bridge]
    #[arg(long, env = "K6_NETWORK", global = true, hide_env_values = true)]
    k6_network: Option<String>,
    /// Memory of a k6 container in MiB, 64 to 65536 [default: 1024]
    #[arg(long, env = "K6_MEMORY_MIB", global = true, hide_env_values = true)]
    k6_memory_mib: Option<String>,
    /// Processors of a k6 container, 1 to 64 [default: 2]
    #[arg(long, env = "K6_CPUS", global = true, hide_env_values = true)]
    k6_cpus: Option<String>,
    /// The Docker daemon [default: unix:///var/run/docker.sock, or that of the desktop]
    #[arg(long, env = "DOCKER_HOST", global = true, hide_env_values = true)]
    docker_host: Option<String>,
    /// Runs that may put load on one target at a time, 1 to 16; more than 1 disturb each other [default: 1]
    #[arg(long, env = "RUNS_PER_TARGET", global = true, hide_env_values = true)]
    runs_per_target: Option<String>,
    /// Runs that may wait or run for one target, 1 to 1000 [default: 50]
    #[arg(long, env = "QUEUE_PER_TARGET", global = true, hide_env_values = true)]
    queue_per_target: Option<String>,
    /// Days for which files of ended runs are kept, 0 for ever; summaries always are [default: 30]
    #[arg(long, env = "RETENTION_DAYS", global = true, hide_env_values = true)]
    retention_days: Option<String>,
    /// Megabytes that files of ended runs may take, 0 for any; the oldest samples go first [default: 20000]
    #[arg(long, env = "RETENTION_MB", global = true, hide_env_values = true)]
    retention_mb: Option<String>,
    /// Redis, such as redis://127.0.0.1:6379 or rediss:// for TLS: perf-services that share it share their targets and show each other's runs [default: none]
    #[arg(long, env = "REDIS_URL", global = true, hide_env_values = true)]
    redis_url: Option<String>,
    /// Prometheus' remote write, where k6's metrics go while a run goes on, such as http://127.0.0.1:9090/api/v1/write
    #[arg(long, env = "PROMETHEUS_REMOTE_WRITE_URL", global = true, hide_env_values = true)]
    prometheus_remote_write_url: Option<String>,
    /// Page of a trace in a trace UI, {traceId} in the id's place, such as http://127.0.0.1:16686/trace/{traceId}; reports link to it
    #[arg(long, env = "TRACE_UI_URL", global = true, hide_env_values = true)]
    trace_ui_url: Option<String>,
    /// Where the docker-gate is, unix:///path or tcp://127.0.0.1:port; then Docker is reached through it alone
    /// [default: none; DATA_DIR/docker-gate.sock for docker-gate itself]
    #[arg(long, env = "DOCKER_GATE", global = true, hide_env_values = true)]
    docker_gate: Option<String>,
    /// How log lines look: json or console [default: json; console for run]
    #[arg(long, env = "LOG_FORMAT", global = true, hide_env_values = true)]
    log_format: Option<String>,
    /// Which log lines pass, such as info or warn,perf_service=debug [default: info; warn for run]
    #[arg(long, env = "LOG_FILTER", global = true, hide_env_values = true)]
    log_filter: Option<String>,
    /// Where traces and log lines go by OTLP; nowhere when absent
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", global = true, hide_env_values = true)]
    otel_exporter_otlp_endpoint: Option<String>,
    /// How they travel: http/protobuf or grpc [default: http/protobuf]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_PROTOCOL", global = true, hide_env_values = true)]
    otel_exporter_otlp_protocol: Option<String>,
    /// true: nothing is measured nor exported; log lines are written all the same [default: false]
    #[arg(long, env = "OTEL_SDK_DISABLED", global = true, hide_env_values = true)]
    otel_sdk_disabled: Option<String>,
    /// otlp, or none where what is there takes traces only [default: otlp]
    #[arg(long, env = "OTEL_LOGS_EXPORTER", global = true, hide_env_values = true)]
    otel_logs_exporter: Option<String>,
    /// Which traces are recorded: a standard name such as parentbased_traceidratio [default: parentbased_always_on]
    #[arg(long, env = "OTEL_TRACES_SAMPLER", global = true, hide_env_values = true)]
    otel_traces_sampler: Option<String>,
    /// What part of them, for samplers by ratio, 0 to 1 [default: 1]
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", global = true, hide_env_values = true)]
    otel_traces_sampler_arg: Option<String>,
}

/// What the environment says without an option.
#[derive(Clone, Debug, Default)]
struct Surroundings {
    api_token: Option<String>,
    target_api_token: Option<String>,
    docker_gate_token: Option<String>,
    path: Option<std::ffi::OsString>,
    home: Option<PathBuf>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Serve the API.
    Serve,
    /// Run a scenario.
    Run(RunRequest),
    /// List past runs.
    List(ListRequest),
    /// Show or copy the report of a run.
    Report(ReportRequest),
    /// Compare two targets.
    Compare(CompareRequest),
    /// List the scenarios.
    Scenarios,
    /// Serve as docker-gate.
    DockerGate,
    /// Ask the docker-gate whether it lives.
    GateHealth,
    /// Ask the running service whether it lives.
    Health,
}

/// A run asked for on the command line.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRequest {
    /// What a client would send.
    pub asked: StartRun,
    /// A limit in place of the scenario's own.
    pub max_p95_ms: Option<f64>,
    /// Whether to print the run as JSON.
    pub json: bool,
    /// Folder for copies of what came of it.
    pub out: Option<PathBuf>,
}

/// Past runs asked for on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRequest {
    /// How many.
    pub limit: usize,
    /// Whether to print them as JSON.
    pub json: bool,
}

/// A report asked for on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportRequest {
    /// The run: its id, the begin of it, or `latest`.
    pub run: String,
    /// Where to copy it.
    pub out: Option<PathBuf>,
    /// Whether to print the figures as JSON.
    pub json: bool,
}

/// Checked settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Listening.
    pub listen: ListenSettings,
    /// The token as the operator gave it.
    pub api_token: Option<SecretString>,
    /// The token that targets ask for, handed to k6 alone.
    pub target_api_token: Option<SecretString>,
    /// Folder for runs.
    pub data_dir: PathBuf,
    /// What may be put under load.
    pub targets: Vec<Target>,
    /// Which engine is wanted.
    pub engine: EngineChoice,
    /// Where to look for a local k6.
    pub local: LocalSettings,
    /// Which daemon and image.
    pub docker: DockerSettings,
    /// Runs that may put load on one target at a time.
    pub runs_per_target: u32,
    /// Runs that may wait or run for one target.
    pub queue_per_target: usize,
    /// What is kept of ended runs.
    pub retention: Retention,
    /// What connects it with other perf-services; holds a password perhaps.
    pub redis_url: Option<SecretString>,
    /// Where k6's metrics go while a run goes on.
    pub remote_write: Option<Url>,
    /// Page of a trace, with `{traceId}` in the id's place.
    pub trace_ui_url: Option<String>,
    /// The docker-gate; `None` speaks to Docker directly.
    pub gate: Option<GateSettings>,
    /// A gate of these settings, where none is set.
    default_gate: GateSettings,
    /// Telemetry.
    pub telemetry: TelemetrySettings,
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
    /// Checks the command line and reads what else the environment says.
    ///
    /// # Errors
    /// With every mistake there is.
    #[expect(clippy::disallowed_methods, reason = "settings.rs is where the environment is read")]
    pub fn read(line: CommandLine) -> Result<(Command, Self), SettingsError> {
        let surroundings = Surroundings {
            api_token: std::env::var("API_TOKEN").ok(),
            target_api_token: std::env::var("TARGET_API_TOKEN").ok(),
            docker_gate_token: std::env::var("DOCKER_GATE_TOKEN").ok(),
            path: std::env::var_os("PATH"),
            home: std::env::var_os("HOME").map(PathBuf::from),
        };
        Self::check(line, surroundings)
    }

    /// The gate that these settings describe, for the gate itself.
    #[must_use]
    pub fn own_gate(&self) -> GateSettings {
        self.gate.as_ref().unwrap_or(&self.default_gate).clone()
    }

    fn check(line: CommandLine, surroundings: Surroundings) -> Result<(Command, Self), SettingsError> {
        let CommandLine { command, written } = line;
        let mut check = Check::default();
        let command = check.command(command.unwrap_or(CommandWritten::Serve));
        let for_a_person = !matches!(command, Command::Serve | Command::Health);
        let address = check.parse(
            "BIND_ADDRESS",
            &written.bind_address,
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            "an IP address such as 127.0.0.1 or 0.0.0.0",
        );
        let port = check.parse("HTTP_PORT", &written.http_port, PORT, "a port from 0 to 65535");
        let allowed_hosts = given(&written.allowed_hosts).unwrap_or_default().split(',').map(str::trim);
        let tls = check.tls(&written);
        let default_place =
            Place::Socket(Path::new(given(&written.data_dir).unwrap_or(DATA_DIR)).join("docker-gate.sock"));
        let gate_token = check.token("DOCKER_GATE_TOKEN", surroundings.docker_gate_token);
        let settings = Self {
            gate: check.gate(&written.docker_gate, gate_token.clone()),
            default_gate: GateSettings { place: default_place, token: gate_token },
            listen: ListenSettings {
                address,
                port,
                tls,
                allowed_hosts: allowed_hosts.filter(|host| !host.is_empty()).map(str::to_owned).collect(),
                ..ListenSettings::default()
            },
            api_token: check.token("API_TOKEN", surroundings.api_token),
            target_api_token: surroundings
                .target_api_token
                .filter(|token| !token.trim().is_empty())
                .map(SecretString::from),
            data_dir: given(&written.data_dir).unwrap_or(DATA_DIR).into(),
            targets: check.targets(&written.targets),
            engine: check.choice(
                "K6_ENGINE",
                &written.engine,
                &[
                    ("auto", EngineChoice::Auto),
                    ("docker", EngineChoice::Docker),
                    ("local", EngineChoice::Local),
                ],
                EngineChoice::Auto,
            ),
            local: LocalSettings {
                binary: given(&written.k6_bin).map(PathBuf::from),
                search_path: surroundings.path,
            },
            docker: DockerSettings {
                host: check.docker_host(&written.docker_host),
                home: surroundings.home,
                image: check.image(&written.k6_image),
                network: check.network(&written.k6_network),
                limits: check.limits(&written),
            },
            runs_per_target: check.within("RUNS_PER_TARGET", &written.runs_per_target, 1, 1..=16),
            queue_per_target: check.within("QUEUE_PER_TARGET", &written.queue_per_target, 50, 1..=1_000),
            retention: Retention {
                age: Some(check.within("RETENTION_DAYS", &written.retention_days, 30, 0..=36_500))
                    .filter(|days| *days > 0)
                    .map(|days: u64| Duration::from_secs(days * DAY)),
                bytes: Some(check.within("RETENTION_MB", &written.retention_mb, 20_000, 0..=1_000_000_000))
                    .filter(|megabytes| *megabytes > 0)
                    .map(|megabytes: u64| megabytes * MEGABYTE),
            },
            redis_url: check.redis_url(&written.redis_url),
            remote_write: check.remote_write(&written.prometheus_remote_write_url),
            trace_ui_url: check.trace_ui(&written.trace_ui_url),
            telemetry: TelemetrySettings {
                service_name: "perf-service",
                service_version: env!("CARGO_PKG_VERSION"),
                log_format: check.choice(
                    "LOG_FORMAT",
                    &written.log_format,
                    &[("json", LogFormat::Json), ("console", LogFormat::Console)],
                    if for_a_person { LogFormat::Console } else { LogFormat::Json },
                ),
                log_filter: given(&written.log_filter)
                    .unwrap_or(if for_a_person { "warn" } else { "info" })
                    .to_owned(),
                otlp_endpoint: check.endpoint(&written.otel_exporter_otlp_endpoint),
                otlp_protocol: check.choice(
                    "OTEL_EXPORTER_OTLP_PROTOCOL",
                    &written.otel_exporter_otlp_protocol,
                    &[("http/protobuf", OtlpProtocol::HttpProtobuf), ("grpc", OtlpProtocol::Grpc)],
                    OtlpProtocol::HttpProtobuf,
                ),
                disabled: check.choice(
                    "OTEL_SDK_DISABLED",
                    &written.otel_sdk_disabled,
                    &[("false", false), ("true", true)],
                    false,
                ),
                logs_exporter: check.choice(
                    "OTEL_LOGS_EXPORTER",
                    &written.otel_logs_exporter,
                    &[("otlp", LogsExporter::Otlp), ("none", LogsExporter::None)],
                    LogsExporter::Otlp,
                ),
                sampling: check.sampling(&written.otel_traces_sampler, &written.otel_traces_sampler_arg),
                traceloop: None,
                // It asks no model.
                client: Some("k6"),
                gen_ai: GenAiSettings::default(),
            },
        };
        if check.mistakes.is_empty() {
            Ok((command, settings))
        } else {
            Err(SettingsError { mistakes: check.mistakes })
        }
    }
}

/// A setting that was given: an empty one counts as absent, as compose files write it.
fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().map(str::trim).filter(|text| !text.is_empty())
}

/// Collects mistakes.
#[derive(Default)]
struct Check {
    mistakes: Vec<String>,
}

/// A variable of this process's environment.
#[expect(clippy::disallowed_methods, reason = "settings.rs is where the environment is read")]
fn of_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl Check {
    fn wrong(&mut self, name: &str, text: &str, wanted: &str) {
        self.mistakes.push(format!("{name} is {text:?}: give {wanted}"));
    }

    /// A value, or the default where none or a wrong one is given.
    fn parse<T: std::str::FromStr>(
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

    /// A whole number in its bounds, or the default.
    fn within<T: std::str::FromStr + PartialOrd + fmt::Display + Copy>(
        &mut self,
        name: &str,
        text: &Option<String>,
        default: T,
        bounds: std::ops::RangeInclusive<T>,
    ) -> T {
        let wanted = format!("a whole number from {} to {}", bounds.start(), bounds.end());
        let value = self.parse(name, text, default, &wanted);
        if !bounds.contains(&value) {
            self.wrong(name, given(text).unwrap_or_default(), &wanted);
            return default;
        }
        value
    }

    fn tls(&mut self, written: &Written) -> Option<TlsSettings> {
        let port = self.parse("HTTPS_PORT", &written.https_port, HTTPS_PORT, "a port from 0 to 65535");
        let self_signed = self.choice(
            "TLS_SELF_SIGNED",
            &written.tls_self_signed,
            &[("true", true), ("false", false)],
            false,
        );
        let options = TlsOptions {
            certificate: given(&written.tls_cert_file).map(Path::new),
            key: given(&written.tls_key_file).map(Path::new),
            self_signed,
        };
        let folder = given(&written.data_dir).unwrap_or(DATA_DIR);
        options.check(port, Path::new(folder)).unwrap_or_else(|mistake| {
            self.mistakes.push(mistake);
            None
        })
    }

    fn choice<T: Copy>(&mut self, name: &str, text: &Option<String>, choices: &[(&str, T)], default: T) -> T {
        let Some(text) = given(text) else { return default };
        if let Some((_, value)) = choices.iter().find(|(choice, _)| choice.eq_ignore_ascii_case(text)) {
            return *value;
        }
        let names: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
        self.wrong(name, text, &names.join(" or "));
        default
    }

    fn command(&mut self, written: CommandWritten) -> Command {
        let run = match written {
            CommandWritten::Serve => return Command::Serve,
            CommandWritten::Scenarios => return Command::Scenarios,
            CommandWritten::DockerGate { health: false } => return Command::DockerGate,
            CommandWritten::DockerGate { health: true } => return Command::GateHealth,
            CommandWritten::Health => return Command::Health,
            CommandWritten::Compare(compare) => return Command::Compare(self.compare(&compare)),
            CommandWritten::Run(run) => run,
            CommandWritten::List(list) => {
                let limit =
                    self.parse("--limit", &list.limit, DEFAULT_LISTED, "a whole number from 1 to 1000");
                if limit == 0 || limit > MOST_LISTED {
                    self.wrong("--limit", &limit.to_string(), "a whole number from 1 to 1000");
                }
                return Command::List(ListRequest { limit, json: list.json });
            }
            CommandWritten::Report(report) => {
                let ReportWritten { run, out, json } = report;
                return Command::Report(ReportRequest { run, out, json });
            }
        };
        // Their bounds are those of the API; what is no number at all is wrong already here.
        let mut number = |name: &str, text: &Option<String>, read: fn(&str) -> Option<u32>, wanted: &str| {
            let text = given(text)?;
            let value = read(text);
            if value.is_none() {
                self.wrong(name, text, wanted);
            }
            value
        };
        let duration_seconds =
            number("--duration", &run.duration, scenarios::seconds, "a duration such as 15s, 2m or 1m30s");
        let users = number("--users", &run.users, |text| text.parse().ok(), "a whole number from 1 to 200");
        let rate = number("--rate", &run.rate, |text| text.parse().ok(), "a whole number from 1 to 1000");
        let seed =
            number("--seed", &run.seed, |text| text.parse().ok(), "a whole number from 0 to 4294967295");
        let max_cost_usd = given(&run.max_cost_usd).and_then(|text| {
            let most = text.trim_start_matches('$').parse().ok().filter(|most: &f64| most.is_finite());
            if most.is_none() {
                self.wrong("--max-cost-usd", text, "dollars such as 0.50");
            }
            most
        });
        let max_p95_ms = given(&run.max_p95_ms).and_then(|text| {
            let limit = text.parse().ok().filter(|limit: &f64| limit.is_finite() && *limit > 0.0);
            if limit.is_none() {
                self.wrong("--max-p95-ms", text, "milliseconds above 0");
            }
            limit
        });
        Command::Run(RunRequest {
            asked: StartRun {
                scenario: run.scenario,
                target: given(&run.target).map(str::to_owned),
                duration_seconds,
                users,
                rate,
                provider: given(&run.provider).map(str::to_owned),
                max_cost_usd,
                seed,
            },
            max_p95_ms,
            json: run.json,
            out: run.out,
        })
    }

    fn token(&mut self, name: &str, token: Option<String>) -> Option<SecretString> {
        let token = token.filter(|token| !token.trim().is_empty())?;
        if token.len() < SHORTEST_TOKEN {
            self.mistakes.push(format!(
                "{name} has fewer than {SHORTEST_TOKEN} characters: `openssl rand -hex 24` makes a good one"
            ));
        }
        Some(token.into())
    }

    fn targets(&mut self, text: &Option<String>) -> Vec<Target> {
        targets::parse(given(text).unwrap_or(TARGETS)).unwrap_or_else(|mistakes| {
            self.mistakes.extend(mistakes.into_iter().map(|mistake| format!("TARGETS: {mistake}")));
            Vec::new()
        })
    }

    fn redis_url(&mut self, text: &Option<String>) -> Option<SecretString> {
        let text = given(text)?;
        let sound =
            Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "redis" | "rediss") && url.has_host());
        if !sound {
            // It may hold a password, so it is not repeated.
            self.mistakes.push(
                "REDIS_URL is not a URL such as redis://127.0.0.1:6379 or rediss://:PASSWORD@HOST:6380/0"
                    .to_owned(),
            );
        }
        Some(text.into())
    }

    fn docker_host(&mut self, text: &Option<String>) -> Option<String> {
        let text = given(text)?;
        if !["unix://", "tcp://", "http://", "npipe://"].iter().any(|scheme| text.starts_with(scheme)) {
            self.wrong("DOCKER_HOST", text, "unix:///path/to/docker.sock or tcp://host:port");
        }
        Some(text.to_owned())
    }

    fn gate(&mut self, text: &Option<String>, token: Option<SecretString>) -> Option<GateSettings> {
        let text = given(text)?;
        let Some(place) = Place::parse(text) else {
            self.wrong("DOCKER_GATE", text, "unix:///path/to/gate.sock or tcp://127.0.0.1:7005");
            return None;
        };
        if matches!(place, Place::Loopback(_)) && token.is_none() {
            // Every user of the machine reaches a port on loopback.
            self.mistakes.push(
                "DOCKER_GATE is a port and DOCKER_GATE_TOKEN is not set: `openssl rand -hex 24` makes a good one"
                    .to_owned(),
            );
        }
        Some(GateSettings { place, token })
    }

    fn image(&mut self, text: &Option<String>) -> String {
        let image = given(text).unwrap_or(K6_IMAGE);
        let sound = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
        if image.len() > 300 || !image.chars().all(sound) {
            self.wrong("K6_IMAGE", image, "an image such as grafana/k6:1.1.0");
        }
        // Without a tag or digest Docker pulls every tag there is.
        let name = image.rsplit('/').next().unwrap_or(image);
        if name.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") }
    }

    fn network(&mut self, text: &Option<String>) -> Option<Network> {
        let name = given(text)?;
        if name == "host" {
            return Some(Network::Host);
        }
        let sound = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        // `container:…` would put k6 into the network of any container.
        if name.len() > 128 || !name.chars().all(sound) {
            self.wrong("K6_NETWORK", name, "host, bridge or the name of a network");
        }
        Some(Network::Named(name.to_owned()))
    }

    fn limits(&mut self, written: &Written) -> Limits {
        let default = Limits::default();
        let mut limit = |name: &str, text: &Option<String>, default: u32, least: u32, most: u32| {
            let wanted = format!("a whole number from {least} to {most}");
            let value = self.parse(name, text, default, &wanted);
            if !(least..=most).contains(&value) {
                self.wrong(name, &value.to_string(), &wanted);
            }
            value
        };
        Limits {
            memory_mib: limit("K6_MEMORY_MIB", &written.k6_memory_mib, default.memory_mib, 64, 65_536),
            cpus: limit("K6_CPUS", &written.k6_cpus, default.cpus, 1, 64),
            ..default
        }
    }

    fn remote_write(&mut self, text: &Option<String>) -> Option<Url> {
        let (name, wanted) =
            ("PROMETHEUS_REMOTE_WRITE_URL", "a URL such as http://127.0.0.1:9090/api/v1/write");
        let text = given(text)?;
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let Some(url) = url else {
            self.wrong(name, text, wanted);
            return None;
        };
        if !url.username().is_empty() || url.password().is_some() {
            // Not shown: it is a secret.
            self.mistakes.push(format!(
                "{name} holds credentials, which would show in k6's log: let a collector or agent on this machine add them"
            ));
            return None;
        }
        Some(url)
    }

    fn trace_ui(&mut self, text: &Option<String>) -> Option<String> {
        let text = given(text)?;
        // As a part of the host, an id would choose the host; credentials would show in every report.
        let sound = text.split_once("{traceId}").is_some_and(|(before, after)| {
            let page = Url::parse(before).ok().filter(|url| {
                matches!(url.scheme(), "http" | "https")
                    && url.username().is_empty()
                    && url.password().is_none()
            });
            let host_ends = before.split_once("://").is_some_and(|(_, rest)| rest.contains(['/', '?', '#']));
            page.is_some() && host_ends && !after.contains("{traceId}")
        });
        if !sound {
            let wanted =
                "where its {traceId} belongs, without credentials: http://127.0.0.1:16686/trace/{traceId}";
            self.mistakes.push(format!("TRACE_UI_URL cannot be used: give a trace's page and {wanted}"));
            return None;
        }
        Some(text.to_owned())
    }

    fn sampling(&mut self, name: &Option<String>, argument: &Option<String>) -> Sampling {
        let (name, argument) = (given(name).unwrap_or_default(), given(argument).unwrap_or_default());
        Sampling::parse(name, argument).unwrap_or_else(|mistake| {
            self.mistakes.push(mistake);
            Sampling::default()
        })
    }

    fn endpoint(&mut self, text: &Option<String>) -> Option<String> {
        let text = given(text)?;
        let sound =
            Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !sound {
            self.wrong("OTEL_EXPORTER_OTLP_ENDPOINT", text, "a URL such as http://127.0.0.1:4318");
        }
        Some(text.to_owned())
    }
}

#[cfg(test)]
mod tests;
