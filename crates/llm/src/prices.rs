//! What a call costs, from prices kept as data with their source and date.
//!
//! Owns the table and the arithmetic; the form of the file is `prices/file.rs`. Knows no budget. The model
//! that was *asked for* is priced, not the one that answers: it is known before the call, so that the
//! bound that lets a call in and the cost after it stand in the same row; providers sell the name that
//! was asked for, and answer with its dated snapshot or, behind a proxy, with anything at all.

mod file;

use std::fmt;

use rust_decimal::Decimal;

pub use file::PricesError;

use crate::{Cost, ProviderName, TokenUsage, Usd};

/// The prices that ship with the crate; the file names each one's source and date.
const SHIPPED: &str = include_str!("prices.json");
/// What a simulator appends to the name of the model that it stands for.
const SIMULATED_SUFFIX: &str = "+simulated";

/// Which models a price is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// The model of this name and its dated snapshots: `gpt-4o` also means `gpt-4o-2024-08-06`.
    Name(String),
    /// All models whose names begin so; written with `*` at the end.
    Beginning(String),
}

impl Pattern {
    /// Whether the model is meant.
    #[must_use]
    pub fn fits(&self, model: &str) -> bool {
        match self {
            Self::Name(name) => {
                model.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || is_date(rest))
            }
            Self::Beginning(start) => model.starts_with(start),
        }
    }

    /// Whether this pattern fits every model that the other one fits.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Name(name)) => self.fits(name),
            (Self::Name(_), Self::Beginning(_)) => false,
            (Self::Beginning(wide), Self::Beginning(narrow)) => narrow.starts_with(wide),
        }
    }
}

/// Whether this is `-20260421` or `-2026-04-21`.
fn is_date(text: &str) -> bool {
    let form = match text.len() {
        9 => "-dddddddd",
        11 => "-dddd-dd-dd",
        _ => return false,
    };
    text.bytes().zip(form.bytes()).all(|(byte, wanted)| match wanted {
        b'd' => byte.is_ascii_digit(),
        other => byte == other,
    })
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => formatter.write_str(name),
            Self::Beginning(start) => write!(formatter, "{start}*"),
        }
    }
}

/// Dollars per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Of the prompt.
    pub input: Decimal,
    /// Of the answer, thoughts included.
    pub output: Decimal,
    /// Of the prompt, read from the provider's cache.
    pub cached_input: Decimal,
    /// Of the prompt, written to the provider's cache for the shortest time it offers.
    pub cache_write_input: Decimal,
}

impl Rates {
    /// Dollars of these tokens. None where no number can hold them.
    fn dollars(&self, usage: &TokenUsage) -> Option<Decimal> {
        let cached = usage.cached_input.min(usage.input);
        let written = usage.cache_write_input.min(usage.input - cached);
        let plain = usage.input - cached - written;
        let parts = [
            (plain, self.input),
            (cached, self.cached_input),
            (written, self.cache_write_input),
            (usage.output, self.output),
        ];
        parts
            .into_iter()
            .try_fold(Decimal::ZERO, |sum, (tokens, rate)| {
                sum.checked_add(Decimal::from(tokens).checked_mul(rate)?)
            })?
            .checked_div(Decimal::from(1_000_000))
    }

    /// The dearest that a token of the prompt can be.
    fn dearest_input(&self) -> Decimal {
        self.input.max(self.cached_input).max(self.cache_write_input)
    }
}

/// Other rates for calls whose prompt is long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongPrompt {
    /// Prompts of more tokens than this, all kinds of input together, are long.
    pub above: u64,
    /// The rates of all tokens of such a call.
    pub rates: Rates,
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// Whose models.
    pub provider: ProviderName,
    /// Which of them.
    pub model: Pattern,
    /// Dollars per million tokens.
    pub rates: Rates,
    /// And for long prompts, where the provider asks another price for them.
    pub long_prompt: Option<LongPrompt>,
    /// Where the price is published.
    pub source: String,
    /// The day, `YYYY-MM-DD`, on which it was read there.
    pub as_of: String,
}

impl Price {
    fn fits(&self, provider: ProviderName, model: &str) -> bool {
        self.provider == provider && self.model.fits(model)
    }

    /// Dollars of these tokens, rounded once to billionths.
    fn of(&self, usage: &TokenUsage) -> Option<Usd> {
        let long = self.long_prompt.filter(|long| usage.input > long.above);
        long.map_or(self.rates, |long| long.rates).dollars(usage).and_then(Usd::from_decimal)
    }

    /// Dollars that so many tokens cost at most, whatever part of the prompt goes through a cache and
    /// however many fewer they turn out to be; rounded up.
    fn most(&self, input: u64, output: u64) -> Usd {
        let long = self.long_prompt.filter(|long| input > long.above);
        let dearest = |rate: fn(&Rates) -> Decimal| {
            long.map_or_else(|| rate(&self.rates), |long| rate(&self.rates).max(rate(&long.rates)))
        };
        let dollars = || {
            let input = Decimal::from(input).checked_mul(dearest(Rates::dearest_input))?;
            let output = Decimal::from(output).checked_mul(dearest(|rates| rates.output))?;
            input.checked_add(output)?.checked_div(Decimal::from(1_000_000))
        };
        dollars().and_then(Usd::from_decimal_up).unwrap_or(Usd::MAX)
    }
}

/// A table of prices. The first row that fits a model counts.
#[derive(Clone, Debug)]
pub struct Prices(Vec<Price>);

impl Prices {
    /// The prices that ship with the crate.
    ///
    /// # Errors
    /// None in a build whose tests passed.
    pub fn shipped() -> Result<Self, PricesError> {
        Self::parse(SHIPPED)
    }

    /// The prices of a file's text, in the form of `prices.json`.
    ///
    /// # Errors
    /// When the text is malformed or of another version, or a row makes no sense or can never count.
    pub fn parse(text: &str) -> Result<Self, PricesError> {
        file::parse(text).map(Self)
    }

    /// No prices at all: every price is unknown.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// The prices of a file's text, and behind them those that ship with the crate.
    ///
    /// # Errors
    /// As [`Prices::parse`].
    pub fn overridden_by(text: &str) -> Result<Self, PricesError> {
        let mut prices = Self::parse(text)?;
        prices.0.extend(Self::shipped()?.0);
        Ok(prices)
    }

    /// The price of a model, as data; also of the model that a simulator's name stands for. None if it
    /// is not known.
    #[must_use]
    pub fn price(&self, provider: ProviderName, model: &str) -> Option<&Price> {
        let model = model.strip_suffix(SIMULATED_SUFFIX).unwrap_or(model);
        // A name of Bedrock's may be the whole ARN of a foundation model or of an inference profile.
        let model = match provider {
            ProviderName::Bedrock => model.rsplit_once('/').map_or(model, |(_, name)| name),
            _ => model,
        };
        self.0.iter().find(|price| price.fits(provider, model))
    }

    /// The most that a call of at most so many tokens can cost, whatever comes of caches.
    #[must_use]
    pub fn most(&self, provider: ProviderName, model: &str, input: u64, output: u64) -> Cost {
        let list = self.price(provider, model).map(|price| price.most(input, output));
        Cost { billed: if provider == ProviderName::Simulated { Some(Usd::ZERO) } else { list }, list }
    }

    /// What a call costs. `model` is the one asked for; a simulator bills nothing and lists what
    /// the model it stands for would have cost.
    #[must_use]
    pub fn cost(&self, provider: ProviderName, model: &str, simulated: bool, usage: &TokenUsage) -> Cost {
        let list = self.price(provider, model).and_then(|price| price.of(usage));
        Cost { billed: if simulated { Some(Usd::ZERO) } else { list }, list }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};

    use super::{Pattern, Prices};
    use crate::{Cost, ProviderName, TokenUsage, Usd};

    const USAGE: TokenUsage = TokenUsage {
        input: 1_234,
        output: 567,
        cached_input: 234,
        cache_write_input: 0,
        reasoning_output: 0,
        reported: true,
    };

    fn nanos(nanos: u64) -> Cost {
        Cost { billed: Some(Usd::from_nanos(nanos)), list: Some(Usd::from_nanos(nanos)) }
    }

    #[test]
    fn dollars_are_decimal_and_rounded_once() {
        let prices = Prices::shipped().unwrap();
        // (1000 · 3 + 234 · 0.30 + 567 · 15) / 1e6
        let cost = prices.cost(ProviderName::Claude, "claude-sonnet-4-5", false, &USAGE);
        assert_eq!(cost, nanos(11_575_200));
        // (900 · 3 + 234 · 0.30 + 100 · 3.75 + 567 · 15) / 1e6
        let usage = TokenUsage { cache_write_input: 100, ..USAGE };
        assert_eq!(prices.cost(ProviderName::Claude, "claude-sonnet-4-5", false, &usage), nanos(11_650_200));
    }

    #[test]
    fn free_unknown_and_simulated_are_three_things() {
        let prices = Prices::shipped().unwrap();
        let free = prices.cost(ProviderName::Ollama, "llama3.2", false, &USAGE);
        assert_eq!(free, Cost::NOTHING);
        assert_eq!(prices.cost(ProviderName::OpenAi, "gpt-99", false, &USAGE), Cost::UNKNOWN);
        for model in ["gpt-4o", "gpt-4o+simulated"] {
            let simulated = prices.cost(ProviderName::OpenAi, model, true, &USAGE);
            assert_eq!(simulated.billed, Some(Usd::ZERO));
            assert_eq!(simulated.list, Some(Usd::from_nanos(8_462_500)));
        }
        let own = prices.cost(ProviderName::Simulated, "simulated", true, &USAGE);
        assert_eq!(own, Cost { billed: Some(Usd::ZERO), list: None });
    }

    #[test]
    fn a_name_means_its_snapshots_and_nothing_else() {
        let prices = Prices::shipped().unwrap();
        let input = |provider, model: &str| {
            prices.price(provider, model).map(|price| price.rates.input.normalize().to_string())
        };
        let openai = |model| input(ProviderName::OpenAi, model);
        assert_eq!(openai("gpt-4o").as_deref(), Some("2.5"));
        assert_eq!(openai("gpt-4o-2024-11-20").as_deref(), Some("2.5"));
        assert_eq!(openai("gpt-4o-2024-05-13").as_deref(), Some("5"), "a snapshot with a price of its own");
        assert_eq!(openai("gpt-4o-mini").as_deref(), Some("0.15"));
        assert_eq!(openai("gpt-4o-audio-preview"), None);
        assert_eq!(openai("gpt-5.7"), None);
        let claude = |model| input(ProviderName::Claude, model);
        assert_eq!(claude("claude-haiku-4-5-20251001").as_deref(), Some("1"));
        assert_eq!(claude("claude-sonnet-5-5").as_deref(), Some("2"));
        assert_eq!(claude("claude-opus-5-5").as_deref(), Some("4"));
        assert_eq!(claude("claude-sonnet-5-6"), None, "a later model's price is not guessed");
        let bedrock = |model| input(ProviderName::Bedrock, model);
        assert_eq!(bedrock("us.anthropic.claude-haiku-4-5-20251001-v1:0").as_deref(), Some("1.1"));
        assert_eq!(bedrock("global.anthropic.claude-sonnet-5-5").as_deref(), Some("2"));
        assert_eq!(
            bedrock("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0").as_deref(),
            Some("0.06")
        );
        assert!(!Pattern::Name("o3".to_owned()).fits("o3-mini"));
        assert!(!Pattern::Name("o3".to_owned()).fits("o3-2025-4-16"));
    }

    #[test]
    fn long_prompts_have_their_own_rates_for_all_tokens() {
        let prices = Prices::shipped().unwrap();
        let usage = |input| TokenUsage { input, output: 1_000_000, ..TokenUsage::default() };
        let cost = |input| prices.cost(ProviderName::Claude, "claude-haiku-5-5", false, &usage(input));
        // 100000 · 0.10 / 1e6 + 0.50, and one token more: 100001 · 0.50 / 1e6 + 2.50
        assert_eq!(cost(100_000), nanos(510_000_000));
        assert_eq!(cost(100_001), nanos(2_550_000_500));
    }

    #[test]
    fn absurd_token_counts_cost_nothing_known_and_are_bounded_by_everything() {
        let prices = Prices::shipped().unwrap();
        let usage = TokenUsage { input: u64::MAX, output: u64::MAX, ..TokenUsage::default() };
        assert_eq!(prices.cost(ProviderName::OpenAi, "o1-pro", false, &usage), Cost::UNKNOWN);
        let most = prices.most(ProviderName::OpenAi, "o1-pro", u64::MAX, u64::MAX);
        assert_eq!(most.list, Some(Usd::MAX));
    }

    proptest! {
        /// Whatever a call turns out to have used, it costs no more than was thought possible.
        #[test]
        fn the_most_is_never_exceeded(
            row in any::<proptest::sample::Index>(),
            most_input in 0_u64..2_000_000, most_output in 0_u64..200_000,
            input in any::<f64>(), output in any::<f64>(), cached in any::<u32>(), written in any::<u32>(),
        ) {
            let prices = Prices::shipped().unwrap();
            let price = row.get(&prices.0);
            let model = match &price.model { Pattern::Name(name) | Pattern::Beginning(name) => name };
            let part = |of: u64, share: f64| (of as f64 * share.abs().fract()) as u64;
            let usage = TokenUsage {
                input: part(most_input, input),
                output: part(most_output, output),
                cached_input: u64::from(cached) % 300_000,
                cache_write_input: u64::from(written) % 300_000,
                ..TokenUsage::default()
            };
            let cost = prices.cost(price.provider, model, false, &usage).list.unwrap();
            let most = prices.most(price.provider, model, most_input, most_output).list.unwrap();
            prop_assert!(cost <= most, "{} > {} of {:?} for {}", cost, most, usage, model);
        }
    }
}
