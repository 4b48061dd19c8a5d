//! What the scenarios are for: a real bookstore-api, its own counters, and what answers for its LLMs.
//!
//! The binaries are those that lie beside perf-service's own, as `cargo build --workspace --bins` leaves
//! them, or those that `BOOKSTORE_API_BIN` and `LLM_SIMULATOR_BIN` name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::service::Service;

/// A key that the simulator takes for a real one.
const KEY: &str = "sk-simulated-0000000000";

/// A bookstore-api with a store of its own; it stops when dropped.
pub struct Backend {
    pub api: Service,
    /// What a run may spend: nothing where a simulator answers.
    pub most_dollars: String,
    _simulator: Option<Service>,
    _folder: tempfile::TempDir,
}

impl Backend {
    /// One whose default provider is `provider`, with the simulator behind every provider.
    pub async fn simulated(provider: &str) -> Self {
        let mut simulator = bare("LLM_SIMULATOR_BIN", "llm-simulator");
        simulator.env("SIM_FIRST_TOKEN_MEDIAN_MS", "2").env("SIM_GAP_MEDIAN_MS", "0");
        let simulator = Service::start(&mut simulator).await;
        let url = simulator.url.clone();
        let folder = tempfile::tempdir().unwrap();
        let mut api = in_folder(folder.path());
        api.env("LLM_PROVIDER", provider)
            .env("OLLAMA_BASE_URL", &url)
            .env("OPENAI_BASE_URL", format!("{url}/v1"))
            .env("OPENAI_API_KEY", KEY);
        let (api, most_dollars) = (Service::start(&mut api).await, "0".to_owned());
        Self { api, most_dollars, _simulator: Some(simulator), _folder: folder }
    }

    /// One whose provider is a real Ollama that takes money for what it says: dollars for a million tokens.
    pub async fn billed(ollama: &str, dollars: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let prices = folder.path().join("prices.json");
        let price = serde_json::json!({"version": 2, "prices": [{
            "provider": "ollama", "model": "*", "input": dollars, "output": dollars,
            "cachedInput": dollars, "cacheWriteInput": dollars,
            "source": "invented for a test", "asOf": "2026-01-01",
        }]});
        std::fs::write(&prices, price.to_string()).unwrap();
        let mut api = in_folder(folder.path());
        api.env("OLLAMA_BASE_URL", ollama).env("LLM_PRICES_FILE", prices).env("LLM_DAILY_BUDGET_USD", "none");
        let (api, most_dollars) = (Service::start(&mut api).await, "5".to_owned());
        Self { api, most_dollars, _simulator: None, _folder: folder }
    }

    /// `TARGETS` with this one alone.
    pub fn targets(&self) -> String {
        format!("local={}", self.api.url)
    }

    /// Tokens, reported and estimated, and dollars of its ledger, by provider.
    pub async fn ledger(&self) -> Ledger {
        let yesterday = chrono::Utc::now().date_naive().pred_opt().unwrap();
        let (status, usage) = self.api.get_json(&format!("/api/v1/llm/usage?from={yesterday}")).await;
        assert_eq!(status, 200, "{usage}");
        let mut ledger = Ledger::new();
        for item in usage["items"].as_array().unwrap() {
            let row = ledger.entry(item["provider"].as_str().unwrap().to_owned()).or_default();
            let figures = [
                ["inputTokens", "estimatedInputTokens"].as_slice(),
                &["outputTokens", "estimatedOutputTokens"],
                &["costUsd"],
                &["listCostUsd"],
            ];
            for (sum, names) in row.iter_mut().zip(figures) {
                *sum += names.iter().filter_map(|name| item[name].as_f64()).sum::<f64>();
            }
        }
        ledger
    }

    /// All its counters.
    pub async fn counters(&self) -> Counters {
        let (status, text) = self.api.get("/metrics").await;
        assert_eq!(status, 200, "{text}");
        Counters::parse(&text)
    }
}

/// With nothing of the tests' environment, and a tenant that has nothing left after its first call.
fn in_folder(folder: &Path) -> Command {
    let tenants = folder.join("tenants.json");
    let text = r#"{"version":1,"tenants":[{"id":"load-test-spent","tokensPerMinute":1}]}"#;
    std::fs::write(&tenants, text).unwrap();
    let mut command = bare("BOOKSTORE_API_BIN", "bookstore-api");
    command
        .env("DATA_DIR", folder.join("data"))
        .env("TENANTS_FILE", tenants)
        .env("TRUSTED_PEERS", "127.0.0.1");
    command
}

/// The binary of this name beside perf-service's own, or the one that the variable names.
pub fn binary(variable: &str, name: &str) -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "tests are told by the environment where binaries are")]
    let given = std::env::var_os(variable).map(PathBuf::from);
    let binary = given.unwrap_or_else(|| Path::new(env!("CARGO_BIN_EXE_perf-service")).with_file_name(name));
    assert!(
        binary.is_file(),
        "{} is not there: `cargo build --workspace --bins` makes it, or {variable} names another",
        binary.display()
    );
    binary
}

fn bare(variable: &str, name: &str) -> Command {
    let mut command = Command::new(binary(variable, name));
    // Nobody reads its log, so it must not fill the pipe.
    command.env_clear().env("LOG_FILTER", "error").stdin(Stdio::null());
    command
}

/// The real Ollama that the tests are given.
pub fn ollama() -> String {
    #[expect(clippy::disallowed_methods, reason = "tests are told by the environment where Ollama is")]
    let given = std::env::var("OLLAMA_BASE_URL").ok().filter(|url| !url.is_empty());
    given.expect(
        "OLLAMA_BASE_URL is not set: `make test-integration` starts an Ollama, or name one with llama3.2",
    )
}

/// Input tokens, output tokens, dollars billed, dollars by list price; by provider.
pub type Ledger = BTreeMap<String, [f64; 4]>;

/// Series of a Prometheus text, by name and labels.
#[derive(Clone, Debug, Default)]
pub struct Counters(Vec<(String, BTreeMap<String, String>, f64)>);

impl Counters {
    fn parse(text: &str) -> Self {
        let series = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.strip_suffix('}')?;
            // No label of these metrics holds a comma or a quote.
            let labels = labels.split(',').filter_map(|label| {
                let (name, value) = label.split_once('=')?;
                Some((name.to_owned(), value.trim_matches('"').to_owned()))
            });
            Some((name.to_owned(), labels.collect(), value.parse().ok()?))
        });
        Self(series.collect())
    }

    /// Sums of a metric's series that have these labels, by the values of others.
    pub fn sums(&self, metric: &str, having: &[(&str, &str)], by: &[&str]) -> BTreeMap<Vec<String>, f64> {
        let mut sums = BTreeMap::new();
        for (name, labels, value) in &self.0 {
            let fits = having.iter().all(|(label, value)| labels.get(*label).is_some_and(|has| has == value));
            if name == metric && fits && *value != 0.0 {
                let key = by.iter().map(|label| labels.get(*label).cloned().unwrap_or_default()).collect();
                *sums.entry(key).or_default() += value;
            }
        }
        sums
    }
}
