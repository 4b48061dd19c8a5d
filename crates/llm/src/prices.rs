//! What a call costs, from prices kept as data with their source and date.

use rust_decimal::Decimal;
use serde::Deserialize;

use crate::{Cost, ProviderName, TokenUsage, Usd};

/// The prices that ship with the crate; the file names each one's source and date.
const SHIPPED: &str = include_str!("prices.json");
/// The version of the file's form that this code reads.
const VERSION: u32 = 1;

/// Why a price file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum PricesError {
    /// It is no JSON of the right form.
    #[error("the price file cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
    /// It has another version.
    #[error("the price file has version {0}, this program reads version {VERSION}")]
    Version(u32),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    version: u32,
    prices: Vec<Price>,
}

/// Dollars per million tokens of the models that match.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Price {
    provider: String,
    /// A name, or a beginning followed by `*`.
    model: String,
    input: Decimal,
    output: Decimal,
    cached_input: Decimal,
}

impl Price {
    fn fits(&self, provider: &str, model: &str) -> bool {
        self.provider == provider
            && self.model.strip_suffix('*').map_or(self.model == model, |start| model.starts_with(start))
    }

    fn of(&self, usage: &TokenUsage) -> Option<Usd> {
        let cached = usage.cached_input.min(usage.input);
        let million = Decimal::from(1_000_000);
        let dollars = (Decimal::from(usage.input - cached) * self.input
            + Decimal::from(cached) * self.cached_input
            + Decimal::from(usage.output) * self.output)
            / million;
        Usd::from_decimal(dollars)
    }
}

/// A table of prices.
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

    /// The prices of a file's text.
    ///
    /// # Errors
    /// When the text is malformed or of another version.
    pub fn parse(text: &str) -> Result<Self, PricesError> {
        let file: File = serde_json::from_str(text)?;
        if file.version == VERSION { Ok(Self(file.prices)) } else { Err(PricesError::Version(file.version)) }
    }

    /// No prices at all: every price is unknown.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// The prices of a file's text, and behind them those that ship with the crate.
    ///
    /// # Errors
    /// When the text is malformed or of another version.
    pub fn overridden_by(text: &str) -> Result<Self, PricesError> {
        let mut prices = Self::parse(text)?;
        prices.0.extend(Self::shipped()?.0);
        Ok(prices)
    }

    /// The most that a call of so many tokens can cost.
    #[must_use]
    pub fn most(&self, provider: ProviderName, model: &str, input: u64, output: u64) -> Cost {
        let usage = TokenUsage { input, output, ..TokenUsage::default() };
        self.cost(provider, model, provider == ProviderName::Simulated, &usage)
    }

    /// What a call costs. `model` is the one asked for; a simulator bills nothing and lists what
    /// the model it stands for would have cost.
    #[must_use]
    pub fn cost(&self, provider: ProviderName, model: &str, simulated: bool, usage: &TokenUsage) -> Cost {
        let price = self.0.iter().find(|price| price.fits(provider.as_str(), model));
        let list = price.and_then(|price| price.of(usage));
        Cost { billed: if simulated { Some(Usd::ZERO) } else { list }, list }
    }
}

#[cfg(test)]
mod tests {
    use super::{Prices, PricesError};
    use crate::{Cost, ProviderName, TokenUsage, Usd};

    const USAGE: TokenUsage = TokenUsage {
        input: 1_234,
        output: 567,
        cached_input: 234,
        cache_write_input: 0,
        reasoning_output: 0,
        reported: true,
    };

    #[test]
    fn dollars_are_decimal_and_rounded_once() {
        let prices = Prices::shipped().unwrap();
        // (1000 · 3 + 234 · 0.30 + 567 · 15) / 1e6
        let cost = prices.cost(ProviderName::Claude, "claude-sonnet-4-5", false, &USAGE);
        assert_eq!(
            cost,
            Cost { billed: Some(Usd::from_nanos(11_575_200)), list: Some(Usd::from_nanos(11_575_200)) }
        );
    }

    #[test]
    fn free_unknown_and_simulated_are_three_things() {
        let prices = Prices::shipped().unwrap();
        let free = prices.cost(ProviderName::Ollama, "llama3.2", false, &USAGE);
        assert_eq!(free, Cost::NOTHING);
        assert_eq!(prices.cost(ProviderName::OpenAi, "gpt-99", false, &USAGE), Cost::UNKNOWN);
        let simulated = prices.cost(ProviderName::OpenAi, "gpt-4o", true, &USAGE);
        assert_eq!(simulated.billed, Some(Usd::ZERO));
        assert_eq!(simulated.list, Some(Usd::from_nanos(8_462_500)));
    }

    #[test]
    fn files_of_another_form_are_refused() {
        assert!(matches!(Prices::parse("{\"version\":2,\"prices\":[]}"), Err(PricesError::Version(2))));
        assert!(matches!(Prices::parse("nonsense"), Err(PricesError::Malformed(_))));
    }
}
