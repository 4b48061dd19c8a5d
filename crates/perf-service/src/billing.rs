//! What a run may spend on LLM providers: which of them bill, and how much at most.
//!
//! Owns the port to what a target offers and the estimate, which is pure. Must not know how a target
//! is asked, nor what is done with a run that may spend. Prices are the target's own
//! (`GET /api/v1/llm/providers`): it is the target that pays.

pub mod bookstore;

use std::collections::BTreeSet;

use async_trait::async_trait;
use common_models::{LlmProviderStatus, RunEstimate, StartRun};
use secrecy::SecretString;

use crate::targets::Target;

/// Providers that are known to bill where the target itself says nothing.
const BILLING: [&str; 3] = ["claude", "openai", "bedrock"];
/// Tokens of one call, at most: bookstore-api bounds the book's text in a prompt to some 5,500 characters
/// and an answer to 300 tokens.
const PROMPT_TOKENS: u64 = 1_500;
const ANSWER_TOKENS: u64 = 300;
const MILLION: f64 = 1_000_000.0;

/// What a target may ask for summaries.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Offers {
    /// Its providers.
    pub providers: Vec<LlmProviderStatus>,
    /// Provider and model of each arm of its experiments.
    pub arms: Vec<(String, String)>,
}

/// Why a target does not say what it offers.
#[derive(Debug, thiserror::Error)]
pub enum OffersError {
    /// There is nobody: a run against it cannot spend anything either.
    #[error("it is not there: {0}")]
    Down(String),
    /// It does not answer in time.
    #[error("it does not answer: {0}")]
    Unreachable(String),
    /// It answers with something else.
    #[error("it answers with status {0}")]
    Refused(u16),
    /// The answer is too long or of another shape.
    #[error("its answer cannot be read: {0}")]
    Malformed(String),
}

impl OffersError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Down(_) => "target_down",
            Self::Unreachable(_) => "target_unreachable",
            Self::Refused(_) => "target_refused",
            Self::Malformed(_) => "target_malformed",
        }
    }
}

/// Tells what targets offer.
#[async_trait]
pub trait PriceList: Send + Sync {
    /// What a target offers now.
    async fn offers(&self, target: &Target, token: Option<&SecretString>) -> Result<Offers, OffersError>;
}

/// How much load a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Virtual users.
    pub users: u32,
    /// Seconds, warm-up included.
    pub seconds: u32,
    /// Iterations begun a second, where it is not the users who set the pace.
    pub rate: Option<u32>,
}

/// A provider that may be asked.
struct Candidate {
    shown: String,
    /// Dollars per million tokens of prompt and answer; absent where they are not known.
    price: Option<(f64, f64)>,
}

/// What a run that asks for summaries may spend at most.
#[must_use]
pub fn estimate(asked: &StartRun, load: Load, offers: Result<&Offers, &OffersError>) -> RunEstimate {
    let billed = match offers {
        Ok(offers) => candidates(asked, offers),
        Err(OffersError::Down(_)) => Vec::new(),
        Err(_) => unseen(asked),
    };
    if billed.is_empty() {
        return nothing(match offers {
            Ok(_) => "nothing is billed".to_owned(),
            Err(error) => format!("nothing is billed; the target's providers are not known: {error}"),
        });
    }
    // Without a pace of its own, a user waits for each answer, and an answer takes a second or more.
    let calls = u64::from(load.rate.unwrap_or(load.users)) * u64::from(load.seconds);
    let (input_tokens, output_tokens) = (calls * PROMPT_TOKENS, calls * ANSWER_TOKENS);
    let cost_usd = billed
        .iter()
        .map(|candidate| {
            let (input, output) = candidate.price?;
            Some((float(input_tokens) * input + float(output_tokens) * output) / MILLION)
        })
        .collect::<Option<Vec<f64>>>()
        .map(|costs| costs.into_iter().fold(0.0, f64::max));
    let billed_by: Vec<String> = billed.into_iter().map(|candidate| candidate.shown).collect();
    let by = billed_by.join(", ");
    let text = match cost_usd {
        _ if let Err(error) = offers => format!(
            "it may spend money, by up to {calls} calls of {by}: the target does not say what it takes ({error})"
        ),
        Some(cost) => format!("it may spend up to about ${cost:.2}, by {calls} calls of {by}"),
        None => format!(
            "it may spend money, by up to {calls} calls of {by}; a price is not known, and what is not known cannot stop a run"
        ),
    };
    RunEstimate { bills: true, billed_by, calls, input_tokens, output_tokens, cost_usd, text }
}

/// The estimate of a run that cannot spend anything.
#[must_use]
pub const fn nothing(text: String) -> RunEstimate {
    RunEstimate {
        bills: false,
        billed_by: Vec::new(),
        calls: 0,
        input_tokens: 0,
        output_tokens: 0,
        cost_usd: Some(0.0),
        text,
    }
}

/// The billing ones among those who may be asked: the one that is named, or the default, those that stand
/// in for it and the arms of experiments. A run with a limit may ask every one in turn.
fn candidates(asked: &StartRun, offers: &Offers) -> Vec<Candidate> {
    let all = asked.max_cost_usd.is_some_and(|most| most > 0.0);
    let may = |provider: &&LlmProviderStatus| match &asked.provider {
        // What is not set up there is refused there.
        _ if !provider.configured => false,
        Some(name) => provider.name == *name,
        None => all || provider.default || provider.fallback.is_some(),
    };
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for provider in offers.providers.iter().filter(may).filter(|provider| !is_free(provider)) {
        let model = provider.model.clone().unwrap_or_default();
        seen.insert((provider.name.clone(), model));
        found.push(Candidate {
            shown: shown(&provider.name, provider.model.as_deref()),
            price: price(provider),
        });
    }
    for (name, model) in offers.arms.iter().filter(|_| asked.provider.is_none()) {
        let provider = offers.providers.iter().find(|provider| provider.name == *name);
        let own = provider.filter(|provider| provider.model.as_ref() == Some(model));
        let free = own.map_or(!BILLING.contains(&name.as_str()), is_free);
        if !free && seen.insert((name.clone(), model.clone())) {
            found.push(Candidate { shown: shown(name, Some(model)), price: own.and_then(price) });
        }
    }
    found
}

/// Where the target says nothing, only a name can tell, and without one nothing can: it may bill.
fn unseen(asked: &StartRun) -> Vec<Candidate> {
    match &asked.provider {
        Some(name) if !BILLING.contains(&name.as_str()) => Vec::new(),
        Some(name) => vec![Candidate { shown: shown(name, None), price: None }],
        None => vec![Candidate { shown: "its default provider".to_owned(), price: None }],
    }
}

fn is_free(provider: &LlmProviderStatus) -> bool {
    provider.simulated == Some(true)
        || match price(provider) {
            Some((input, output)) => input <= 0.0 && output <= 0.0,
            None => !BILLING.contains(&provider.name.as_str()),
        }
}

fn price(provider: &LlmProviderStatus) -> Option<(f64, f64)> {
    let price = provider.price.as_ref()?;
    let dollars = |text: &str| text.parse().ok().filter(|dollars: &f64| dollars.is_finite());
    Some((dollars(&price.input)?, dollars(&price.output)?))
}

/// Names come from the target and end up in a terminal.
fn shown(name: &str, model: Option<&str>) -> String {
    let text = model.map_or_else(|| name.to_owned(), |model| format!("{name} ({model})"));
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
const fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use common_models::{LlmProviders, StartRun};
    use serde_json::json;

    use super::{Load, Offers, OffersError, estimate};

    const LOAD: Load = Load { users: 2, seconds: 100, rate: None };

    fn offers() -> Offers {
        let price = |input: &str, output: &str| {
            json!({"input": input, "output": output, "cachedInput": "0", "cacheWriteInput": "0",
                   "source": "x", "asOf": "2026-11-21"})
        };
        let list: LlmProviders = serde_json::from_value(json!({"items": [
            {"name": "ollama", "configured": true, "default": true, "model": "llama3.2", "price": price("0", "0")},
            {"name": "claude", "configured": true, "default": false, "model": "sonnet", "price": price("3", "15")},
            {"name": "bedrock", "configured": true, "default": false, "model": "mystery\u{1b}[2J"},
            {"name": "openai", "configured": false, "default": false},
            {"name": "simulated", "configured": true, "default": false, "simulated": true},
        ]}))
        .unwrap();
        Offers { providers: list.items, arms: Vec::new() }
    }

    fn asked(provider: Option<&str>, max_cost_usd: Option<f64>) -> StartRun {
        StartRun { provider: provider.map(str::to_owned), max_cost_usd, ..StartRun::default() }
    }

    #[test]
    fn the_scripts_take_a_failed_call_for_as_much() {
        let scripts = crate::scenarios::Scenarios::embedded();
        let llm = scripts.files().iter().find(|file| file.path == "lib/llm.js").unwrap();
        let text = String::from_utf8_lossy(&llm.content);
        let said = format!(
            "const PROMPT_TOKENS = {};\nconst ANSWER_TOKENS = {};\n",
            super::PROMPT_TOKENS,
            super::ANSWER_TOKENS
        );
        assert!(text.contains(&said), "{said}");
    }

    #[test]
    fn a_free_default_bills_nothing_and_a_named_provider_by_its_price() {
        for free in [None, Some("ollama"), Some("simulated"), Some("openai"), Some("nosuch")] {
            let told = estimate(&asked(free, None), LOAD, Ok(&offers()));
            assert_eq!((told.bills, told.cost_usd), (false, Some(0.0)), "{free:?}");
        }
        let told = estimate(&asked(Some("claude"), None), LOAD, Ok(&offers()));
        assert_eq!((told.bills, told.calls, told.input_tokens), (true, 200, 300_000));
        assert_eq!(told.billed_by, ["claude (sonnet)"]);
        // 0.3 M tokens at 3 dollars and 0.06 M at 15.
        assert!((told.cost_usd.unwrap() - 1.8).abs() < 1e-9);
        let rate = Load { rate: Some(7), ..LOAD };
        assert_eq!(estimate(&asked(Some("claude"), None), rate, Ok(&offers())).calls, 700);
        let mystery = estimate(&asked(Some("bedrock"), None), LOAD, Ok(&offers()));
        assert_eq!(
            (mystery.bills, mystery.cost_usd),
            (true, None),
            "an unknown price is unknown, never zero"
        );
        assert!(!mystery.text.contains('\u{1b}'), "{}", mystery.text);
    }

    #[test]
    fn who_stands_in_and_arms_of_experiments_count_and_with_a_limit_everybody() {
        let mut fallback = offers();
        fallback.providers[1].fallback = Some(1);
        assert_eq!(estimate(&asked(None, None), LOAD, Ok(&fallback)).billed_by, ["claude (sonnet)"]);
        let mut arms = offers();
        arms.arms = vec![("ollama".into(), "other".into()), ("claude".into(), "opus".into())];
        let told = estimate(&asked(None, None), LOAD, Ok(&arms));
        assert_eq!((told.billed_by, told.cost_usd), (vec!["claude (opus)".to_owned()], None));
        assert!(!estimate(&asked(Some("ollama"), None), LOAD, Ok(&arms)).bills);
        let everybody = estimate(&asked(None, Some(1.0)), LOAD, Ok(&offers()));
        assert_eq!(everybody.billed_by.len(), 2, "{everybody:?}");
        assert!(!estimate(&asked(None, Some(0.0)), LOAD, Ok(&offers())).bills);
    }

    #[test]
    fn without_an_answer_the_name_tells() {
        let error = OffersError::Refused(404);
        for (provider, bills) in
            [(None, true), (Some("ollama"), false), (Some("claude"), true), (Some("bedrock"), true)]
        {
            let told = estimate(&asked(provider, None), LOAD, Err(&error));
            assert_eq!(told.bills, bills, "{provider:?}");
            assert_eq!(told.cost_usd.is_none(), bills);
        }
        let nobody = OffersError::Down("connection refused".to_owned());
        assert!(!estimate(&asked(None, None), LOAD, Err(&nobody)).bills, "it cannot be asked either");
    }
}
