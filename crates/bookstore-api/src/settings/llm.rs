//! Settings of everything that asks LLMs: providers, resilience, prices, limits, experiments.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use llm::{Delivery, Prices, ProviderName};
use rust_decimal::Decimal;
use secrecy::SecretString;

use super::Checked;
use crate::experiments::{self, Experiments};
use crate::spend::BudgetsCount;
use crate::tenants::{self, Tenants};

/// Where Anthropic's API is unless a setting says otherwise.
const ANTHROPIC: &str = "https://api.anthropic.com";
/// Where `OpenAI`'s API is unless a setting says otherwise.
const OPENAI: &str = "https://api.openai.com/v1";

/// Options as text, so that all mistakes can be reported at once.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "LLM providers")]
pub(super) struct LlmOptions {
    /// Provider of summaries when a request names none: claude, ollama, openai, bedrock or simulated.
    #[arg(long, global = true, env = "LLM_PROVIDER", default_value = "ollama", hide_env_values = true)]
    llm_provider: String,
    /// Providers to ask, in this order, when that one fails; comma-separated. A request that names its
    /// provider is never answered by another.
    #[arg(long, global = true, env = "LLM_FALLBACK", default_value = "", hide_env_values = true)]
    llm_fallback: String,
    /// Seconds for an answer, all attempts in all; at most 54, so that it still fits its request.
    #[arg(long, global = true, env = "LLM_DEADLINE_SECONDS", default_value = "50", hide_env_values = true)]
    llm_deadline_seconds: String,
    /// Attempts for an answer at most, over all providers; one at least for each that may be asked.
    #[arg(long, global = true, env = "LLM_ATTEMPTS", default_value = "3", hide_env_values = true)]
    llm_attempts: String,
    /// Ask providers to stream even where the client wants the answer in one piece: it is how the time
    /// to the first chunk is known. false is for servers that cannot, or that report no usage then.
    #[arg(long, global = true, env = "LLM_STREAM_UPSTREAM", default_value = "true", hide_env_values = true)]
    llm_stream_upstream: String,
    /// Prices that come before those that ship with the program; the form is crates/llm/src/prices.json.
    #[arg(long, global = true, env = "LLM_PRICES_FILE", hide_env_values = true)]
    llm_prices_file: Option<PathBuf>,
    /// Dollars a day (UTC) for all tenants together; none for no limit.
    #[arg(long, global = true, env = "LLM_DAILY_BUDGET_USD", default_value = "10", hide_env_values = true)]
    llm_daily_budget_usd: String,
    /// Tokens a minute for all tenants together; none for no limit.
    #[arg(
        long,
        global = true,
        env = "LLM_TOKENS_PER_MINUTE",
        default_value = "none",
        hide_env_values = true
    )]
    llm_tokens_per_minute: String,
    /// What budgets count: billed dollars, or list dollars, which rehearses them with a simulator.
    #[arg(long, global = true, env = "LLM_BUDGETS_COUNT", default_value = "billed", hide_env_values = true)]
    llm_budgets_count: String,
    /// Tenants with their hashed keys, budgets and limits, JSON. Without it all are one tenant.
    #[arg(long, global = true, env = "TENANTS_FILE", hide_env_values = true)]
    tenants_file: Option<PathBuf>,
    /// Addresses or networks whose X-Tenant-Id is believed, such as 10.0.0.0/8; comma-separated.
    #[arg(long, global = true, env = "TRUSTED_PEERS", default_value = "", hide_env_values = true)]
    trusted_peers: String,
    /// Experiments over providers, models and prompt versions, JSON.
    #[arg(long, global = true, env = "EXPERIMENTS_FILE", hide_env_values = true)]
    experiments_file: Option<PathBuf>,
    /// Where Ollama listens.
    #[arg(
        long,
        global = true,
        env = "OLLAMA_BASE_URL",
        default_value = "http://127.0.0.1:11434",
        hide_env_values = true
    )]
    ollama_base_url: String,
    /// Ollama's model.
    #[arg(long, global = true, env = "OLLAMA_MODEL", default_value = "llama3.2", hide_env_values = true)]
    ollama_model: String,
    /// Where Anthropic's API is; with ANTHROPIC_API_KEY, or with this alone for a server without keys,
    /// claude is configured.
    #[arg(long, global = true, env = "ANTHROPIC_BASE_URL", hide_env_values = true)]
    anthropic_base_url: Option<String>,
    /// Claude's model.
    #[arg(
        long,
        global = true,
        env = "CLAUDE_MODEL",
        default_value = "claude-sonnet-5-5",
        hide_env_values = true
    )]
    claude_model: String,
    /// Where an OpenAI-compatible API is, `/v1` included; with OPENAI_API_KEY, or with this alone for a
    /// server without keys, openai is configured.
    #[arg(long, global = true, env = "OPENAI_BASE_URL", hide_env_values = true)]
    openai_base_url: Option<String>,
    /// OpenAI's model.
    #[arg(long, global = true, env = "OPENAI_MODEL", default_value = "gpt-4o", hide_env_values = true)]
    openai_model: String,
    /// Bedrock's model or inference profile; bedrock is configured once this is set. Needs
    /// bedrock:InvokeModel and bedrock:InvokeModelWithResponseStream; credentials and region (us-east-1 by
    /// default) are the usual `AWS_*`.
    #[arg(long, global = true, env = "BEDROCK_MODEL", hide_env_values = true)]
    bedrock_model: Option<String>,
}

/// Secrets, which have no flags.
#[derive(Clone, Default)]
pub(super) struct LlmSecrets {
    /// `ANTHROPIC_API_KEY`.
    pub(super) anthropic_api_key: Option<String>,
    /// `OPENAI_API_KEY`.
    pub(super) openai_api_key: Option<String>,
}

/// A provider behind an address and perhaps a key.
#[derive(Clone, Debug)]
pub struct HostedSettings {
    /// Where its API is.
    pub base_url: String,
    /// Its key.
    pub api_key: Option<SecretString>,
    /// Its model.
    pub model: String,
}

/// Settings, checked.
#[derive(Clone, Debug)]
pub struct LlmSettings {
    /// Default provider.
    pub provider: ProviderName,
    /// Who is asked when it fails, in this order.
    pub fallback: Vec<ProviderName>,
    /// Deadline of an answer.
    pub deadline: Duration,
    /// Attempts for an answer at most.
    pub attempts: u32,
    /// How providers are asked for answers that their client wants in one piece.
    pub delivery: Delivery,
    /// Prices.
    pub prices: Prices,
    /// Dollars a day for all.
    pub daily_budget_usd: Option<Decimal>,
    /// Tokens a minute for all.
    pub tokens_per_minute: Option<u64>,
    /// What budgets count.
    pub budgets_count: BudgetsCount,
    /// The tenants, and whose word on them is believed.
    pub tenants: Tenants,
    /// The experiments.
    pub experiments: Experiments,
    /// Where Ollama listens.
    pub ollama_base_url: String,
    /// Its model.
    pub ollama_model: String,
    /// Claude, if configured.
    pub claude: Option<HostedSettings>,
    /// `OpenAI`, if configured.
    pub openai: Option<HostedSettings>,
    /// Bedrock's model, if configured.
    pub bedrock_model: Option<String>,
}

impl LlmSettings {
    /// Whether this provider is configured.
    #[must_use]
    pub const fn has(&self, provider: ProviderName) -> bool {
        match provider {
            ProviderName::Ollama | ProviderName::Simulated => true,
            ProviderName::Claude => self.claude.is_some(),
            ProviderName::OpenAi => self.openai.is_some(),
            ProviderName::Bedrock => self.bedrock_model.is_some(),
        }
    }

    /// What a provider lacks to be configured.
    #[must_use]
    pub const fn missing(provider: ProviderName) -> &'static str {
        match provider {
            ProviderName::Claude => "set ANTHROPIC_API_KEY",
            ProviderName::OpenAi => "set OPENAI_API_KEY",
            ProviderName::Bedrock => "set BEDROCK_MODEL",
            ProviderName::Ollama | ProviderName::Simulated => "nothing",
        }
    }

    pub(super) fn check(checked: &mut Checked, options: LlmOptions, secrets: LlmSecrets) -> Self {
        let provider =
            checked.provider("LLM_PROVIDER", &options.llm_provider).unwrap_or(ProviderName::Ollama);
        let mut fallback = Vec::new();
        for name in list(&options.llm_fallback) {
            match checked.provider("LLM_FALLBACK", name) {
                Some(next) if next == provider || fallback.contains(&next) => {
                    checked.mistake(format!(
                        "LLM_FALLBACK: names {next} twice, or the provider it is to stand in for"
                    ));
                }
                Some(next) => fallback.push(next),
                None => {}
            }
        }
        let ollama_model = checked.model("OLLAMA_MODEL", &options.ollama_model, "llama3.2");
        let claude_model = checked.model("CLAUDE_MODEL", &options.claude_model, "claude-sonnet-5-5");
        let openai_model = checked.model("OPENAI_MODEL", &options.openai_model, "gpt-4o");
        let anthropic_url = given(options.anthropic_base_url);
        let openai_url = given(options.openai_base_url);
        let claude_key = checked.key("ANTHROPIC_API_KEY", secrets.anthropic_api_key);
        let openai_key = checked.key("OPENAI_API_KEY", secrets.openai_api_key);
        let claude = (anthropic_url.is_some() || claude_key.is_some()).then(|| HostedSettings {
            base_url: anthropic_url
                .map_or_else(|| ANTHROPIC.to_owned(), |url| checked.base_url("ANTHROPIC_BASE_URL", url)),
            api_key: claude_key,
            model: claude_model,
        });
        let openai = (openai_url.is_some() || openai_key.is_some()).then(|| HostedSettings {
            base_url: openai_url
                .map_or_else(|| OPENAI.to_owned(), |url| checked.base_url("OPENAI_BASE_URL", url)),
            api_key: openai_key,
            model: openai_model,
        });
        let prices = match given_path(options.llm_prices_file) {
            None => Prices::shipped().map_err(|error| error.to_string()),
            Some(file) => checked
                .read_file("LLM_PRICES_FILE", &file)
                .map_or_else(Prices::shipped, |text| Prices::overridden_by(&text))
                .map_err(|error| error.to_string()),
        };
        let prices = prices.unwrap_or_else(|error| {
            checked.mistake(format!("LLM_PRICES_FILE: {error}"));
            Prices::none()
        });
        let attempts = checked.attempts(&options.llm_attempts, fallback.len());
        let mut settings = Self {
            provider,
            fallback,
            deadline: Duration::from_secs(checked.number(
                "LLM_DEADLINE_SECONDS",
                &options.llm_deadline_seconds,
                1,
                54,
            )),
            attempts,
            delivery: if checked.flag("LLM_STREAM_UPSTREAM", &options.llm_stream_upstream, true) {
                Delivery::Streamed
            } else {
                Delivery::Whole
            },
            prices,
            daily_budget_usd: checked.dollars("LLM_DAILY_BUDGET_USD", &options.llm_daily_budget_usd),
            tokens_per_minute: checked.limit("LLM_TOKENS_PER_MINUTE", &options.llm_tokens_per_minute),
            budgets_count: checked.choice(
                "LLM_BUDGETS_COUNT",
                &options.llm_budgets_count,
                &[("billed", BudgetsCount::Billed), ("list", BudgetsCount::List)],
            ),
            tenants: checked
                .tenants(given_path(options.tenants_file))
                .trusting(checked.networks("TRUSTED_PEERS", &options.trusted_peers)),
            experiments: Experiments::default(),
            ollama_base_url: checked.base_url("OLLAMA_BASE_URL", options.ollama_base_url),
            ollama_model,
            claude,
            openai,
            bedrock_model: given(options.bedrock_model),
        };
        if let Some(text) =
            given_path(options.experiments_file).and_then(|file| checked.read_file("EXPERIMENTS_FILE", &file))
        {
            let configured =
                |provider| if settings.has(provider) { Ok(()) } else { Err(Self::missing(provider)) };
            match experiments::file::parse(&text, configured) {
                Ok(experiments) => settings.experiments = experiments,
                Err(mistakes) => {
                    for mistake in mistakes {
                        checked.mistake(format!("EXPERIMENTS_FILE: {mistake}"));
                    }
                }
            }
        }
        for (setting, wanted) in std::iter::once(("LLM_PROVIDER", settings.provider))
            .chain(settings.fallback.iter().map(|&next| ("LLM_FALLBACK", next)))
        {
            if !settings.has(wanted) {
                checked.mistake(format!("{setting}: {wanted} is not configured; {}", Self::missing(wanted)));
            }
        }
        settings
    }
}

/// The items of a comma-separated list.
fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// An empty one counts as absent, as compose files write it.
fn given(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn given_path(file: Option<PathBuf>) -> Option<PathBuf> {
    file.filter(|file| !file.as_os_str().is_empty())
}

impl Checked {
    fn provider(&mut self, name: &str, text: &str) -> Option<ProviderName> {
        let provider = ProviderName::parse(text.trim());
        if provider.is_none() {
            let names = ProviderName::ALL.map(ProviderName::as_str).join(", ");
            self.mistake(format!("{name}: {text:?} is none of {names}"));
        }
        provider
    }

    /// Attempts for an answer, one at least for each of those who may be asked: whoever has none left is
    /// never asked.
    fn attempts(&mut self, text: &str, fallbacks: usize) -> u32 {
        let attempts = self.number("LLM_ATTEMPTS", text, 1, 20);
        let needed = 1 + fallbacks as u64;
        if attempts < needed && text.trim() == attempts.to_string() {
            self.mistake(format!(
                "LLM_ATTEMPTS: {attempts} is too little for LLM_PROVIDER and {fallbacks} in LLM_FALLBACK, \
                 who need an attempt each; set {needed} or more, or name fewer"
            ));
        }
        u32::try_from(attempts).unwrap_or(1)
    }

    fn model(&mut self, name: &str, text: &str, example: &str) -> String {
        let model = text.trim().to_owned();
        if model.is_empty() {
            self.mistake(format!("{name}: is empty; {example} is a good start"));
        }
        model
    }

    /// A key; never shown.
    fn key(&mut self, name: &str, text: Option<String>) -> Option<SecretString> {
        let key = given(text)?;
        if key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Some(SecretString::from(key));
        }
        self.mistake(format!("{name}: has characters that no header can carry"));
        None
    }

    fn dollars(&mut self, name: &str, text: &str) -> Option<Decimal> {
        if text.trim().eq_ignore_ascii_case("none") {
            return None;
        }
        match text.trim().parse::<Decimal>() {
            Ok(dollars) if !dollars.is_sign_negative() && dollars <= Decimal::from(1_000_000) => {
                Some(dollars)
            }
            _ => {
                self.mistake(format!(
                    "{name}: {text:?} is neither dollars such as 2.50 (to 1000000) nor none"
                ));
                None
            }
        }
    }

    fn limit(&mut self, name: &str, text: &str) -> Option<u64> {
        if text.trim().eq_ignore_ascii_case("none") {
            return None;
        }
        Some(self.number(name, text, 1, 1_000_000_000_000))
    }

    fn tenants(&mut self, file: Option<PathBuf>) -> Tenants {
        let Some(text) = file.and_then(|file| self.read_file("TENANTS_FILE", &file)) else {
            return Tenants::default();
        };
        tenants::file::parse(&text).unwrap_or_else(|mistakes| {
            for mistake in mistakes {
                self.mistake(format!("TENANTS_FILE: {mistake}"));
            }
            Tenants::default()
        })
    }

    fn networks(&mut self, name: &str, text: &str) -> Vec<ipnet::IpNet> {
        let mut networks = Vec::new();
        for item in list(text) {
            let network = item.parse().or_else(|_| item.parse::<std::net::IpAddr>().map(ipnet::IpNet::from));
            match network {
                Ok(network) => networks.push(network),
                Err(_) => self.mistake(format!(
                    "{name}: {item:?} is neither an address nor a network such as 10.0.0.0/8"
                )),
            }
        }
        networks
    }
}

impl fmt::Debug for LlmSecrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LlmSecrets")
    }
}
