//! Settings: read once, all mistakes reported together.
//!
//! The only place of this service that reads the environment. Each has a flag of the same name,
//! secrets aside.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use ::telemetry::TelemetrySettings;
use clap::{Args, Parser, Subcommand};
use http_server::{Limits, ListenSettings, Origin, TlsOptions, TlsSettings};
use secrecy::SecretString;

pub use self::llm::{HostedSettings, LlmSettings};
use self::llm::{LlmOptions, LlmSecrets};
use self::telemetry::TelemetryOptions;
use crate::tenants::Tenant;

mod llm;
mod telemetry;

/// What no flag gives, for the command line can be read by others. In the form of the options.
const ENVIRONMENT_ONLY: &str = "Environment only:
      API_TOKEN
          Guards what changes something, 16 characters at least. Off loopback one is made, kept in DATA_DIR with mode 0600 and printed once, where none is given
      ANTHROPIC_API_KEY
          Key of Anthropic's API; claude is configured once it is set
      OPENAI_API_KEY
          Key of OpenAI's API, or of what speaks as it does; openai is configured once it is set
      TRACELOOP_API_KEY
          Key for traces to Traceloop, which get no other endpoint's headers; alone it leads to https://api.traceloop.com

Bedrock's credentials, region and AWS_ENDPOINT_URL_BEDROCK_RUNTIME are read as by every tool of AWS; headers, queues
and batches of exports as OpenTelemetry names them (OTEL_EXPORTER_OTLP_HEADERS, OTEL_BSP_*, OTEL_BLRP_*,
OTEL_RESOURCE_ATTRIBUTES).";

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "bookstore-api",
    version,
    about = "The bookstore API: books, authors, LLM summaries",
    after_help = ENVIRONMENT_ONLY,
    next_line_help = true
)]
pub struct CommandLine {
    /// What to do; serves when left out.
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Serve the API (the default).
    Serve,
    /// Import books from a CSV file in the form of goodbooks-10k, or take back an export.
    Import(Import),
    /// Write everything that the store keeps as JSON lines, which `import` takes back whole.
    Export(Export),
    /// Look for contradictions in the store; exits 1 when there are any.
    Check(Check),
    /// Draw an API key for a tenant, and print it, this once, with the line for TENANTS_FILE.
    TenantKey(TenantKey),
    /// Ask the service on this machine whether it is alive; for container health checks.
    Health,
}

/// What to import.
#[derive(Clone, Debug, Args)]
pub struct Import {
    /// The file.
    pub file: PathBuf,
    /// Print every amended row too, not only the rejected ones.
    #[arg(long)]
    pub details: bool,
    /// Write the whole report as JSON to this file.
    #[arg(long)]
    pub report: Option<PathBuf>,
}

/// Where to export to.
#[derive(Clone, Debug, Args)]
pub struct Export {
    /// The file; `-` for standard output.
    #[arg(default_value = "-")]
    pub file: PathBuf,
}

/// How to check.
#[derive(Clone, Debug, Args)]
pub struct Check {
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// For whom to draw a key.
#[derive(Clone, Debug, Args)]
pub struct TenantKey {
    /// The tenant: up to 63 of a-z, 0-9, - and _.
    #[arg(value_parser = tenant_name)]
    pub id: Tenant,
}

fn tenant_name(text: &str) -> Result<Tenant, String> {
    let named = Tenant::named(text).filter(|tenant| *tenant != Tenant::default());
    named.ok_or_else(|| "a tenant is 1 to 63 of a-z, 0-9, - and _, no sign first, and not default".to_owned())
}

/// Options as text, so that all mistakes can be reported at once.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Settings")]
pub struct Options {
    /// Address to listen on; anything but loopback needs the API token for writes.
    #[arg(long, global = true, env = "BIND_ADDRESS", default_value = "127.0.0.1", hide_env_values = true)]
    bind_address: String,
    /// Port to listen on; 0 for any free one.
    #[arg(long, global = true, env = "HTTP_PORT", default_value = "7002", hide_env_values = true)]
    http_port: String,
    /// Port of HTTPS (HTTP/2 by ALPN), once there is a certificate; 0 for any free one.
    #[arg(long, global = true, env = "HTTPS_PORT", default_value = "7001", hide_env_values = true)]
    https_port: String,
    /// Certificate with its chain, PEM; turns HTTPS on.
    #[arg(long, global = true, env = "TLS_CERT_FILE", hide_env_values = true)]
    tls_cert_file: Option<PathBuf>,
    /// The certificate's private key, PEM.
    #[arg(long, global = true, env = "TLS_KEY_FILE", hide_env_values = true)]
    tls_key_file: Option<PathBuf>,
    /// Make a development certificate, keep it in DATA_DIR, and turn HTTPS on.
    #[arg(long, global = true, env = "TLS_SELF_SIGNED", default_value = "false", hide_env_values = true)]
    tls_self_signed: String,
    /// Requests under way at once, to the end of their answers; more get 503 with Retry-After, but for
    /// health checks and metrics.
    #[arg(
        long,
        global = true,
        env = "MAX_CONCURRENT_REQUESTS",
        default_value = "2048",
        hide_env_values = true
    )]
    max_concurrent_requests: String,
    /// Origins whose pages may use the API from a browser, such as https://shop.example; comma-separated.
    #[arg(long, global = true, env = "CORS_ALLOWED_ORIGINS", default_value = "", hide_env_values = true)]
    cors_allowed_origins: String,
    /// Host names, besides loopback's, under which the service is reached; comma-separated, `*` for any.
    /// With any, writes need the API token.
    #[arg(long, global = true, env = "ALLOWED_HOSTS", default_value = "", hide_env_values = true)]
    allowed_hosts: String,
    /// Folder of the embedded store.
    #[arg(
        long,
        global = true,
        env = "DATA_DIR",
        default_value = "data/bookstore-api",
        hide_env_values = true
    )]
    data_dir: PathBuf,
    /// Load the catalogue of well-known books into a fresh store.
    #[arg(long, global = true, env = "SEED_CATALOG", default_value = "true", hide_env_values = true)]
    seed_catalog: String,
    /// Refuse PUT, PATCH and DELETE without If-Match: nobody overwrites what they have not seen.
    #[arg(long, global = true, env = "REQUIRE_IF_MATCH", default_value = "false", hide_env_values = true)]
    require_if_match: String,
    /// The store: MongoDB 7 or later, one server or a replica set, as
    /// mongodb://[USER:PASSWORD@]HOST[:PORT][/DATABASE] or mongodb+srv://; its database is bookstore unless
    /// it names one. Embedded when left out.
    #[arg(long, global = true, env = "MONGODB_URI", hide_env_values = true)]
    mongodb_uri: Option<String>,
    /// The cache that instances share, and what keeps them from paying twice: Redis 7 or later, as
    /// redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// for TLS. It may be down at any time. In
    /// process when left out.
    #[arg(long, global = true, env = "REDIS_URL", hide_env_values = true)]
    redis_url: Option<String>,
    /// Seconds that books, authors and summaries stay cached.
    #[arg(long, global = true, env = "CACHE_TTL_SECONDS", default_value = "300", hide_env_values = true)]
    cache_ttl_seconds: String,
    /// Size of the in-process cache in MiB.
    #[arg(long, global = true, env = "CACHE_MIB", default_value = "16", hide_env_values = true)]
    cache_mib: String,
    /// Log one in so many requests that succeeded within a second (`one_in` says it); all
    /// others always.
    #[arg(long, global = true, env = "LOG_ACCESS_EVERY", default_value = "1", hide_env_values = true)]
    log_access_every: String,
    #[command(flatten)]
    telemetry: TelemetryOptions,
    #[command(flatten)]
    llm: LlmOptions,
}

/// Settings, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Listening.
    pub listen: ListenSettings,
    /// The token for writes as the operator gave it.
    pub api_token: Option<SecretString>,
    /// Folder of the embedded store.
    pub data_dir: PathBuf,
    /// Whether a fresh store gets the catalogue.
    pub seed_catalog: bool,
    /// Whether a write to something that is there has to say which version it expects.
    pub require_if_match: bool,
    /// MongoDB; holds a password perhaps. None: the store is embedded.
    pub mongodb_uri: Option<SecretString>,
    /// Redis; holds a password perhaps. None: the cache is in process.
    pub redis_url: Option<SecretString>,
    /// How long entries stay cached.
    pub cache_time_to_live: Duration,
    /// Size of the in-process cache in bytes.
    pub cache_bytes: u64,
    /// Everything that asks LLMs.
    pub llm: LlmSettings,
    /// Telemetry.
    pub telemetry: TelemetrySettings,
}

/// What has no flag, because command lines are seen by everybody on a machine.
#[derive(Default)]
struct Secrets {
    api_token: Option<String>,
    traceloop: Option<String>,
    llm: LlmSecrets,
}

/// Every mistake in the settings.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Mistakes(pub Vec<String>);

impl fmt::Display for Mistakes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "bookstore-api: the settings have mistakes:")?;
        for mistake in &self.0 {
            write!(formatter, "\n  - {mistake}")?;
        }
        write!(formatter, "\nSee bookstore-api --help.")
    }
}

impl Settings {
    /// Checks what the command line and the environment say.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn read(line: CommandLine) -> Result<(Command, Self), Mistakes> {
        #[expect(clippy::disallowed_methods, reason = "settings.rs is where the environment is read")]
        let secret = |name: &str| std::env::var(name).ok();
        let secrets = Secrets {
            api_token: secret("API_TOKEN"),
            traceloop: secret("TRACELOOP_API_KEY"),
            llm: LlmSecrets {
                anthropic_api_key: secret("ANTHROPIC_API_KEY"),
                openai_api_key: secret("OPENAI_API_KEY"),
            },
        };
        let settings = Self::check(line.options, secrets)?;
        Ok((line.command.unwrap_or(Command::Serve), settings))
    }

    fn check(options: Options, secrets: Secrets) -> Result<Self, Mistakes> {
        let mut checked = Checked::default();
        let tls = checked.tls(&options);
        let mongodb_uri = options.mongodb_uri.filter(|uri| !uri.trim().is_empty());
        let is_mongodb = |uri: &String| uri.starts_with("mongodb://") || uri.starts_with("mongodb+srv://");
        if mongodb_uri.as_ref().is_some_and(|uri| !is_mongodb(uri)) {
            // Not shown: it may hold a password.
            checked.mistake(
                "MONGODB_URI: does not begin with mongodb:// or mongodb+srv://, as in \
                 mongodb://127.0.0.1:27017/bookstore",
            );
        }
        let redis_url = options.redis_url.filter(|url| !url.is_empty());
        let sound = |url: &String| {
            url.parse::<http::Uri>().is_ok_and(|uri| {
                matches!(uri.scheme_str(), Some("redis" | "rediss"))
                    && uri.host().is_some_and(|host| !host.is_empty())
            })
        };
        if redis_url.as_ref().is_some_and(|url| !sound(url)) {
            // Not shown: it may hold a password.
            checked.mistake(
                "REDIS_URL: is not a URL such as redis://127.0.0.1:6379 or rediss://:PASSWORD@HOST:6380/0",
            );
        }
        let llm = LlmSettings::check(&mut checked, options.llm, secrets.llm);
        let address =
            checked.parsed("BIND_ADDRESS", &options.bind_address, "an IP address such as 127.0.0.1");
        let token = secrets.api_token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        if token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            checked.mistake(
                "API_TOKEN: has characters that no header can carry; `openssl rand -hex 24` makes a good one",
            );
        }
        if token.as_ref().is_some_and(|token| token.len() < 16) {
            checked
                .mistake("API_TOKEN: has fewer than 16 characters; `openssl rand -hex 24` makes a good one");
        }
        let requests =
            checked.number("MAX_CONCURRENT_REQUESTS", &options.max_concurrent_requests, 1, 1_000_000);
        let settings = Self {
            listen: ListenSettings {
                address: address.unwrap_or(IpAddr::from([127, 0, 0, 1])),
                port: u16::try_from(checked.number("HTTP_PORT", &options.http_port, 0, 65_535)).unwrap_or(0),
                allowed_hosts: options
                    .allowed_hosts
                    .split(',')
                    .map(str::trim)
                    .filter(|host| !host.is_empty())
                    .map(str::to_owned)
                    .collect(),
                tls,
                cors_allowed_origins: Origin::list(&options.cors_allowed_origins).unwrap_or_else(|mistake| {
                    checked.mistake(format!("CORS_ALLOWED_ORIGINS: {mistake}"));
                    Vec::new()
                }),
                access_events_one_in: u32::try_from(checked.number(
                    "LOG_ACCESS_EVERY",
                    &options.log_access_every,
                    1,
                    1_000_000,
                ))
                .unwrap_or(1),
                hides_paths: false,
                limits: Limits {
                    concurrent_requests: usize::try_from(requests).unwrap_or(usize::MAX),
                    ..Limits::default()
                },
                ..ListenSettings::default()
            },
            api_token: token.map(SecretString::from),
            data_dir: options.data_dir,
            seed_catalog: checked
                .parsed("SEED_CATALOG", &options.seed_catalog.to_ascii_lowercase(), "true or false")
                .unwrap_or(true),
            require_if_match: checked
                .parsed("REQUIRE_IF_MATCH", &options.require_if_match.to_ascii_lowercase(), "true or false")
                .unwrap_or(false),
            mongodb_uri: mongodb_uri.map(SecretString::from),
            redis_url: redis_url.map(SecretString::from),
            cache_time_to_live: Duration::from_secs(checked.number(
                "CACHE_TTL_SECONDS",
                &options.cache_ttl_seconds,
                1,
                86_400,
            )),
            cache_bytes: checked.number("CACHE_MIB", &options.cache_mib, 1, 65_536) << 20,
            llm,
            telemetry: telemetry::check(&mut checked, options.telemetry, secrets.traceloop),
        };
        if checked.0.0.is_empty() { Ok(settings) } else { Err(checked.0) }
    }
}

/// Reads texts and collects what is wrong with them.
#[derive(Default)]
struct Checked(Mistakes);

impl Checked {
    fn mistake(&mut self, mistake: impl Into<String>) {
        self.0.0.push(mistake.into());
    }

    fn parsed<T: FromStr>(&mut self, name: &str, text: &str, wanted: &str) -> Option<T> {
        let value = text.trim().parse().ok();
        if value.is_none() {
            self.mistake(format!("{name}: {text:?} is not {wanted}"));
        }
        value
    }

    fn flag(&mut self, name: &str, text: &str, default: bool) -> bool {
        self.parsed(name, &text.to_ascii_lowercase(), "true or false").unwrap_or(default)
    }

    /// The text of a file that a setting names.
    fn read_file(&mut self, name: &str, file: &Path) -> Option<String> {
        std::fs::read_to_string(file)
            .map_err(|error| self.mistake(format!("{name}: {} cannot be read: {error}", file.display())))
            .ok()
    }

    fn number(&mut self, name: &str, text: &str, least: u64, most: u64) -> u64 {
        match text.trim().parse() {
            Ok(number) if (least..=most).contains(&number) => number,
            _ => {
                self.mistake(format!("{name}: {text:?} is not a whole number from {least} to {most}"));
                least
            }
        }
    }

    fn tls(&mut self, options: &Options) -> Option<TlsSettings> {
        // An empty one counts as absent, as compose files write it.
        let given = |file: &Option<PathBuf>| file.clone().filter(|file| !file.as_os_str().is_empty());
        let (certificate, key) = (given(&options.tls_cert_file), given(&options.tls_key_file));
        let port = u16::try_from(self.number("HTTPS_PORT", &options.https_port, 0, 65_535)).unwrap_or(0);
        let self_signed = &options.tls_self_signed.to_ascii_lowercase();
        let self_signed = self.parsed("TLS_SELF_SIGNED", self_signed, "true or false").unwrap_or(false);
        let options_given =
            TlsOptions { certificate: certificate.as_deref(), key: key.as_deref(), self_signed };
        options_given.check(port, &options.data_dir).unwrap_or_else(|mistake| {
            self.mistake(mistake);
            None
        })
    }

    fn choice<T: Copy + Default>(&mut self, name: &str, text: &str, choices: &[(&str, T)]) -> T {
        if let Some((_, value)) = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(text.trim())) {
            return *value;
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        self.mistake(format!("{name}: {text:?} is none of {}", names.join(", ")));
        T::default()
    }

    fn base_url(&mut self, name: &str, url: String) -> String {
        let sound = url
            .parse::<http::Uri>()
            .is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
        if url.contains('@') {
            // Not shown: what stands before it may be a password, and the address gets into answers.
            self.mistake(format!("{name}: holds a user name or password, which it may not"));
        } else if !sound {
            self.mistake(format!("{name}: {url:?} is not a URL such as http://127.0.0.1:11434"));
        } else if url.contains(['?', '#']) {
            self.mistake(format!("{name}: {url:?} has a ? or # in it, after which no path can follow"));
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{CommandLine, Secrets, Settings};

    fn check(arguments: &[&str], token: Option<&str>) -> Result<Settings, Vec<String>> {
        // A flag, even an empty one, counts for more than the environment of whoever runs the tests.
        let neutral = [
            "bookstore-api",
            "--mongodb-uri=",
            "--redis-url=",
            "--llm-fallback=",
            "--openai-base-url=",
            "--anthropic-base-url=",
            "--bedrock-model=",
        ]
        .as_slice();
        let given: Vec<&str> = arguments.iter().map(|argument| argument.split('=').next().unwrap()).collect();
        let neutral = neutral.iter().filter(|flag| !given.contains(&flag.trim_end_matches('=')));
        let line = CommandLine::try_parse_from(neutral.chain(arguments)).unwrap();
        let secrets = Secrets { api_token: token.map(str::to_owned), ..Secrets::default() };
        Settings::check(line.options, secrets).map_err(|mistakes| mistakes.0)
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let mistakes = check(
            &[
                "--bind-address=nowhere",
                "--http-port=70000",
                "--llm-provider=eliza",
                "--log-format=xml",
                "--ollama-base-url=localhost",
                "--seed-catalog=perhaps",
                "--mongodb-uri=http://user:canary-password@x",
                "--redis-url=http://:canary-password@127.0.0.1:6379",
                "--llm-deadline-seconds=0",
                "--https-port=x",
                "--tls-cert-file=missing.pem",
                "--tls-self-signed=no",
                "--max-concurrent-requests=0",
                "--cors-allowed-origins=https://shop.example,*",
                "--log-access-every=0",
                "--otel-traces-sampler=sometimes",
                "--otel-logs-exporter=file",
                "--traceloop-base-url=http://user:canary-password@x",
            ],
            Some("short"),
        )
        .unwrap_err();
        for name in [
            "BIND_ADDRESS",
            "HTTP_PORT",
            "LLM_PROVIDER",
            "LOG_FORMAT",
            "OLLAMA_BASE_URL",
            "SEED_CATALOG",
            "MONGODB_URI",
            "REDIS_URL",
            "LLM_DEADLINE_SECONDS",
            "API_TOKEN",
            "HTTPS_PORT",
            "TLS_KEY_FILE",
            "TLS_SELF_SIGNED",
            "MAX_CONCURRENT_REQUESTS",
            "CORS_ALLOWED_ORIGINS",
            "LOG_ACCESS_EVERY",
            "OTEL_TRACES_SAMPLER",
            "OTEL_LOGS_EXPORTER",
            "TRACELOOP_BASE_URL",
        ] {
            assert_eq!(
                mistakes.iter().filter(|text| text.starts_with(name)).count(),
                1,
                "{name}: {mistakes:?}"
            );
        }
        assert_eq!(mistakes.len(), 19);
        for secret in ["short", "canary"] {
            assert!(!mistakes.concat().contains(secret), "a secret is in {mistakes:?}");
        }
    }

    #[test]
    fn a_database_password_never_shows() {
        let wrong = check(&["--mongodb-uri=127.0.0.1 user:canary@x"], None).unwrap_err();
        assert!(wrong[0].starts_with("MONGODB_URI") && !wrong.concat().contains("canary"), "{wrong:?}");
        for uri in ["mongodb://user:canary@host/x", "mongodb+srv://user:canary@host.example/"] {
            let settings = check(&["--mongodb-uri", uri], None).unwrap();
            assert!(settings.mongodb_uri.is_some() && !format!("{settings:?}").contains("canary"));
        }
    }

    #[test]
    fn a_token_never_shows() {
        let settings = check(&[], Some("a-very-secret-canary-token")).unwrap();
        assert!(!format!("{settings:?}").contains("canary"));
        let url = "rediss://user:canary@cache.example:6380/2";
        let settings = check(&["--redis-url", url], None).unwrap();
        assert!(settings.redis_url.is_some() && !format!("{settings:?}").contains("canary"));
    }

    #[test]
    fn an_address_that_no_path_can_follow_is_refused() {
        for flag in ["--ollama-base-url", "--openai-base-url", "--anthropic-base-url"] {
            for url in ["http://h/openai?api-version=2025-01-01", "http://h/v1#a", "http://h/v1?"] {
                let mistakes = check(&[&format!("{flag}={url}")], None).unwrap_err();
                assert_eq!(mistakes.len(), 1, "{mistakes:?}");
                assert!(mistakes[0].contains("BASE_URL") && mistakes[0].contains("? or #"), "{mistakes:?}");
            }
        }
    }

    #[test]
    fn each_provider_that_may_be_asked_needs_an_attempt() {
        let fallback = "--llm-fallback=simulated";
        let mistakes = check(&["--llm-attempts=1", fallback], None).unwrap_err();
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(mistakes[0].contains("LLM_ATTEMPTS") && mistakes[0].contains("LLM_FALLBACK"), "{mistakes:?}");
        assert_eq!(check(&["--llm-attempts=2", fallback], None).unwrap().llm.attempts, 2);
        assert_eq!(check(&["--llm-attempts=1"], None).unwrap().llm.attempts, 1);
        for wrong in ["--llm-attempts=0", "--llm-attempts=many"] {
            assert_eq!(check(&[wrong, fallback], None).unwrap_err().len(), 1, "it is told once");
        }
    }
}
