//! The price file's form, version 2, and what is wrong with one.
//!
//! ```json
//! {"version": 2, "prices": [{
//!   "provider": "openai", "model": "gpt-4o", "input": "2.50", "output": "10.00",
//!   "cachedInput": "1.25", "source": "https://…", "asOf": "2026-11-21"
//! }]}
//! ```
//! Rates are dollars per million tokens, as text, so that none is rounded on its way. `cachedInput` and `cacheWriteInput` are the same as `input`
//! where they are left out. `longPrompt` holds the rates of calls whose prompt has more tokens than its
//! `above`. `model` is a name, which also means its dated snapshots, or a beginning followed by `*`.

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::Value;

use super::{LongPrompt, Pattern, Price, Rates};
use crate::ProviderName;

/// The version of the file's form that this code reads.
const VERSION: u64 = 2;
/// Most rows of a file.
const MOST_ROWS: usize = 10_000;
/// Dearest rate that is believed, in dollars per million tokens: some 15 times the dearest known.
const DEAREST: u32 = 10_000;
/// Longest pattern.
const LONGEST_PATTERN: usize = 256;

/// Why a price file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum PricesError {
    /// It is no JSON of the right form.
    #[error("the price file cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
    /// It has another version.
    #[error(
        "the price file has version {0}, this program reads version {VERSION}: see crates/llm/src/prices.json"
    )]
    Version(u64),
    /// It has more rows than are read.
    #[error("the price file has {0} rows, at most {MOST_ROWS} are read")]
    TooLong(usize),
    /// A row makes no sense.
    #[error("row {row} of the price file ({name}): {reason}")]
    Row {
        /// Which row, from 1.
        row: usize,
        /// What it says of provider and model.
        name: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
}

impl PricesError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Version(_) => "version",
            Self::TooLong(_) => "too_long",
            Self::Row { .. } => "row",
        }
    }
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "version")]
    _version: u64,
    prices: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Row {
    provider: String,
    model: String,
    input: Decimal,
    output: Decimal,
    cached_input: Option<Decimal>,
    cache_write_input: Option<Decimal>,
    long_prompt: Option<Long>,
    source: String,
    as_of: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Long {
    above: u64,
    input: Decimal,
    output: Decimal,
    cached_input: Option<Decimal>,
    cache_write_input: Option<Decimal>,
}

pub(super) fn parse(text: &str) -> Result<Vec<Price>, PricesError> {
    let Version { version } = serde_json::from_str(text)?;
    if version != VERSION {
        return Err(PricesError::Version(version));
    }
    let File { prices: rows, .. } = serde_json::from_str(text)?;
    if rows.len() > MOST_ROWS {
        return Err(PricesError::TooLong(rows.len()));
    }
    let mut prices: Vec<Price> = Vec::with_capacity(rows.len());
    for (index, value) in rows.into_iter().enumerate() {
        let name = name(&value);
        let price = serde_json::from_value::<Row>(value)
            .map_err(|error| error.to_string())
            .and_then(price)
            .and_then(|price| unshadowed(&prices, price))
            .map_err(|reason| PricesError::Row { row: index + 1, name, reason })?;
        prices.push(price);
    }
    Ok(prices)
}

/// What a row says of its provider and model, cut short.
fn name(row: &Value) -> String {
    let text = |field: &str| row.get(field).and_then(Value::as_str).unwrap_or("?");
    format!("{} {}", text("provider"), text("model")).chars().take(80).collect()
}

fn price(row: Row) -> Result<Price, String> {
    let provider = ProviderName::ALL.into_iter().find(|known| known.as_str() == row.provider);
    let provider = provider.ok_or_else(|| {
        let known = ProviderName::ALL.map(ProviderName::as_str).join(", ");
        format!("the provider is none of {known}")
    })?;
    if row.source.trim().is_empty() {
        return Err("source is empty: it says where the price is published".to_owned());
    }
    if !is_day(&row.as_of) {
        return Err(format!("asOf {:?} is no day such as 2026-11-21", row.as_of));
    }
    let long_prompt = row
        .long_prompt
        .map(|long| {
            rates("longPrompt.", long.input, long.output, long.cached_input, long.cache_write_input)
                .map(|rates| LongPrompt { above: long.above, rates })
        })
        .transpose()?;
    Ok(Price {
        provider,
        model: pattern(&row.model)?,
        rates: rates("", row.input, row.output, row.cached_input, row.cache_write_input)?,
        long_prompt,
        source: row.source,
        as_of: row.as_of,
    })
}

fn pattern(text: &str) -> Result<Pattern, String> {
    if text.is_empty() || text.len() > LONGEST_PATTERN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!(
            "the model is to be 1 to {LONGEST_PATTERN} printable ASCII characters without blanks"
        ));
    }
    let (start, wide) = text.strip_suffix('*').map_or((text, false), |start| (start, true));
    if start.contains('*') {
        return Err("the model has a * that is not at its end".to_owned());
    }
    let start = start.to_owned();
    Ok(if wide { Pattern::Beginning(start) } else { Pattern::Name(start) })
}

fn rates(
    place: &str,
    input: Decimal,
    output: Decimal,
    cached_input: Option<Decimal>,
    cache_write_input: Option<Decimal>,
) -> Result<Rates, String> {
    let rates = Rates {
        input,
        output,
        cached_input: cached_input.unwrap_or(input),
        cache_write_input: cache_write_input.unwrap_or(input),
    };
    let named = [
        ("input", rates.input),
        ("output", rates.output),
        ("cachedInput", rates.cached_input),
        ("cacheWriteInput", rates.cache_write_input),
    ];
    for (field, rate) in named {
        if rate.is_sign_negative() && !rate.is_zero() {
            return Err(format!("{place}{field} {rate} is negative"));
        }
        if rate > Decimal::from(DEAREST) {
            return Err(format!(
                "{place}{field} {rate} is more than {DEAREST} dollars per million tokens; is it per another unit?"
            ));
        }
    }
    Ok(rates)
}

/// Refuses a row that no model ever reaches.
fn unshadowed(before: &[Price], price: Price) -> Result<Price, String> {
    let wide = before
        .iter()
        .enumerate()
        .find(|(_, earlier)| earlier.provider == price.provider && earlier.model.covers(&price.model));
    match wide {
        None => Ok(price),
        Some((index, earlier)) => Err(format!(
            "it never counts, because row {} ({}) comes before it and fits the same models; put it first",
            index + 1,
            earlier.model,
        )),
    }
}

fn is_day(text: &str) -> bool {
    let mut parts = text.split('-').map(|part| (part.len(), part.parse::<u16>().ok()));
    let parts = (parts.next(), parts.next(), parts.next(), parts.next());
    matches!(parts, (Some((4, Some(2000..))), Some((2, Some(1..=12))), Some((2, Some(1..=31))), None))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{PricesError, parse};
    use crate::Prices;

    fn row(changes: &Value) -> Value {
        let mut row = json!({
            "provider": "openai", "model": "gpt-4o", "input": "2.50", "output": "10",
            "source": "https://example.org", "asOf": "2026-11-21",
        });
        for (field, value) in changes.as_object().unwrap() {
            row[field] = value.clone();
        }
        row
    }

    fn refusal(rows: &[Value]) -> String {
        parse(&json!({"version": 2, "prices": rows}).to_string()).unwrap_err().to_string()
    }

    #[test]
    fn what_ships_is_read_and_dated_and_comes_from_somewhere() {
        let prices = Prices::shipped().unwrap();
        assert!(prices.0.len() > 100);
        assert!(
            prices.0.iter().all(|price| price.source.starts_with("https://") || price.rates.input.is_zero())
        );
    }

    #[test]
    fn files_of_another_form_are_refused() {
        assert!(matches!(parse("{\"version\":1,\"prices\":[]}"), Err(PricesError::Version(1))));
        for text in [
            "",
            "nonsense",
            "[]",
            "{}",
            "{\"version\":2}",
            "{\"version\":2,\"prices\":{}}",
            "{\"version\":2,\"prices\":[],\"more\":1}",
        ] {
            assert!(matches!(parse(text), Err(PricesError::Malformed(_))), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_row_is_said_with_its_name() {
        for (changes, says) in [
            (json!({"provider": "azure"}), "none of claude, ollama"),
            (json!({"provider": "OpenAI"}), "none of claude, ollama"),
            (json!({"model": ""}), "printable"),
            (json!({"model": "gpt 4"}), "printable"),
            (json!({"model": "gpt-*-mini"}), "not at its end"),
            (json!({"model": "x".repeat(257)}), "printable"),
            (json!({"input": "-1"}), "input -1 is negative"),
            (json!({"input": 2.5}), "decimal"),
            (json!({"output": "10001"}), "per another unit"),
            (json!({"cachedInput": "-0.1"}), "cachedInput -0.1 is negative"),
            (json!({"cacheWriteInput": "99999"}), "cacheWriteInput"),
            (json!({"input": "cheap"}), "decimal"),
            (json!({"input": null}), "decimal"),
            (json!({"input": "1e400"}), "decimal"),
            (json!({"source": " "}), "source is empty"),
            (json!({"asOf": "yesterday"}), "no day"),
            (json!({"asOf": "2026-13-01"}), "no day"),
            (json!({"cached_input": "1"}), "unknown field"),
            (json!({"longPrompt": {"above": 1, "input": "-1", "output": "1"}}), "longPrompt.input -1"),
            (json!({"longPrompt": {"above": -1, "input": "1", "output": "1"}}), "invalid value"),
        ] {
            let refusal = refusal(&[row(&json!({"model": "other"})), row(&changes)]);
            assert!(refusal.starts_with("row 2 of the price file ("), "{refusal}");
            assert!(
                refusal.contains(says) || refusal.contains("Decimal") && says == "decimal",
                "{refusal} does not say {says}"
            );
        }
        assert!(refusal(&[json!("gpt-4o")]).starts_with("row 1 of the price file (? ?)"));
    }

    #[test]
    fn a_row_that_can_never_count_is_refused() {
        for (wide, narrow) in
            [("*", "gpt-4o"), ("gpt-*", "gpt-4o*"), ("gpt-4o", "gpt-4o"), ("gpt-4o", "gpt-4o-2024-05-13")]
        {
            let rows = [row(&json!({"model": wide})), row(&json!({"model": narrow}))];
            assert!(refusal(&rows).contains("never counts, because row 1"), "{wide} before {narrow}");
            let rows = [row(&json!({"model": narrow})), row(&json!({"model": wide}))];
            let turned = parse(&json!({"version": 2, "prices": rows}).to_string());
            assert!(turned.is_ok() || wide == narrow);
        }
        let other = [row(&json!({"model": "*"})), row(&json!({"provider": "claude"}))];
        assert!(parse(&json!({"version": 2, "prices": other}).to_string()).is_ok());
    }

    #[test]
    fn a_file_comes_before_what_ships() {
        let text =
            json!({"version": 2, "prices": [row(&json!({"input": "1.25", "model": "gpt-4*"}))]}).to_string();
        let prices = Prices::overridden_by(&text).unwrap();
        let of = |provider, model| prices.price(provider, model).unwrap().rates;
        assert_eq!(of(crate::ProviderName::OpenAi, "gpt-4o").input.to_string(), "1.25");
        assert_eq!(of(crate::ProviderName::OpenAi, "gpt-4o").cached_input.to_string(), "1.25");
        assert_eq!(of(crate::ProviderName::OpenAi, "gpt-5").input.to_string(), "1.25");
        assert_eq!(of(crate::ProviderName::Claude, "claude-opus-5-5").input.to_string(), "4");
    }
}
