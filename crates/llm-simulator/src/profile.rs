//! How a provider behaves: the joint distribution that an answer's length, timing and failure are
//! drawn from, in the order input tokens → output tokens → first token → gaps → errors. Pure.
//!
//! Owns the shape of a profile and its draws. Must not know a clock nor a protocol. What it is made
//! of: [`distribution`] (one quantity, and what it depends on), [`ranks`] (how the quantities of one
//! call go together), [`errors`], [`json`] (as a file, version 1), [`goodness`] (how well it fits).

pub mod distribution;
pub mod errors;
pub mod goodness;
pub mod json;
pub mod ranks;

use std::collections::HashMap;
use std::sync::Arc;

use statistics::{LogNormal, QuantileTable};

use crate::draws::{Draws, Quantity};
use crate::question::Fingerprint;

pub use distribution::{Circumstances, Covariate, Distribution, Effect};
pub use errors::{Error, ErrorKind, Errors, Failing};
pub use goodness::Goodness;
pub use json::ProfileError;
pub use ranks::Ranks;

/// Longest single delay in milliseconds, whatever the tail of its distribution says.
pub const LONGEST_DELAY_MS: f64 = 300_000.0;
/// Longest answer in tokens, likewise.
pub const LONGEST_ANSWER: u64 = 4_096;
/// A profile fitted to a real Ollama with a tiny model on two busy cores, as `make soak-fit` writes it.
const OLLAMA_TINY: &str = include_str!("../profiles/ollama-tiny.json");

/// How a provider behaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// A short name, such as the model's.
    pub name: String,
    /// Where its figures come from, for whoever reads results made with it.
    pub source: String,
    /// Tokens of an answer.
    pub output_tokens: Distribution,
    /// From the request to the first token, in milliseconds.
    pub first_token: Distribution,
    /// The mean of one call's gaps between chunks, in milliseconds.
    pub gap: Distribution,
    /// From the last chunk to the end of the answer, in milliseconds.
    pub ending: Distribution,
    /// The mean number of tokens in one call's chunks.
    pub tokens_per_chunk: Distribution,
    /// A single gap as a multiple of the mean of its call.
    pub jitter: QuantileTable,
    /// How the quantities of one call go together.
    pub ranks: Ranks,
    /// How often it fails, and how.
    pub errors: Errors,
    /// How well it fits, where it was fitted.
    pub fit: Option<Goodness>,
}

/// What was drawn for one call. Times are milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawn {
    /// Tokens of the answer, one at least.
    pub output_tokens: u64,
    /// From the request to the first token.
    pub first_token: f64,
    /// The mean gap between chunks.
    pub gap: f64,
    /// From the last chunk to the end.
    pub ending: f64,
    /// The mean number of tokens in a chunk.
    pub tokens_per_chunk: f64,
}

impl Drawn {
    /// How many chunks an answer of this many tokens comes in, before any is too small to be one.
    #[must_use]
    pub fn chunks(&self, tokens: usize) -> usize {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few thousand tokens; a float-to-int cast saturates, and nothing is negative"
        )]
        let chunks = (tokens as f64 / self.tokens_per_chunk).round().min(1e6) as usize;
        if tokens == 0 { 0 } else { chunks.max(1) }
    }
}

/// Which model behaves how.
#[derive(Clone, Debug, PartialEq)]
pub struct Profiles {
    default: Arc<Profile>,
    by_model: HashMap<String, Arc<Profile>>,
}

impl Profiles {
    /// Every model behaves by this profile.
    #[must_use]
    pub fn all(default: Profile) -> Self {
        Self { default: Arc::new(default), by_model: HashMap::new() }
    }

    /// This model behaves by a profile of its own.
    #[must_use]
    pub fn with(mut self, model: &str, profile: Profile) -> Self {
        self.by_model.insert(model.to_owned(), Arc::new(profile));
        self
    }

    /// The profile of a model.
    #[must_use]
    pub fn of(&self, model: &str) -> &Profile {
        self.by_model.get(model).unwrap_or(&self.default)
    }

    /// The profile of those that have none of their own.
    #[must_use]
    pub fn default_profile(&self) -> &Profile {
        &self.default
    }

    /// Those that have one of their own.
    pub fn by_model(&self) -> impl Iterator<Item = (&str, &Profile)> {
        self.by_model.iter().map(|(model, profile)| (model.as_str(), profile.as_ref()))
    }
}

impl Profile {
    /// A profile of log-normal distributions, each by its median and 95th percentile: milliseconds
    /// to the first token and between chunks, tokens of an answer. Both figures zero for no delay;
    /// `None` where there is no such distribution. Nothing depends on anything else.
    #[must_use]
    pub fn log_normal(
        source: &str,
        first_token_ms: (f64, f64),
        gap_ms: (f64, f64),
        output_tokens: (f64, f64),
    ) -> Option<Self> {
        let delay = |(median, p95): (f64, f64)| {
            if median == 0.0 && p95 == 0.0 {
                return Some(QuantileTable::constant(0.0));
            }
            log_normal(median, p95, LONGEST_DELAY_MS)
        };
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let longest = LONGEST_ANSWER as f64;
        // The gaps within a call have the spread asked for; calls do not differ among themselves.
        let gaps = delay(gap_ms)?;
        let mean = gaps.mean();
        let jitter = if mean > 0.0 { gaps.map(|(share, gap)| (share, gap / mean)).ok() } else { None };
        let profile = Self {
            name: "log-normal".to_owned(),
            source: source.to_owned(),
            output_tokens: Distribution::of(log_normal(output_tokens.0, output_tokens.1, longest)?),
            first_token: Distribution::of(delay(first_token_ms)?),
            gap: Distribution::of(QuantileTable::constant(mean)),
            ending: Distribution::of(QuantileTable::constant(0.0)),
            tokens_per_chunk: Distribution::of(QuantileTable::constant(1.0)),
            jitter: jitter.unwrap_or_else(|| QuantileTable::constant(1.0)),
            ranks: Ranks::default(),
            errors: Errors::default(),
            fit: None,
        };
        Some(json::rounded(profile))
    }

    /// Names of the built-in profiles.
    pub const BUILT_IN: [&str; 3] = ["quick", "instant", "ollama-tiny"];

    /// A built-in profile.
    #[must_use]
    pub fn built_in(name: &str) -> Option<Self> {
        let quick = "built-in quick: a small model on a fast machine; chosen for tests, not fitted";
        let profile = match name {
            "quick" => Self::log_normal(quick, (120.0, 360.0), (8.0, 20.0), (90.0, 180.0)),
            "instant" => {
                Self::log_normal("built-in instant: no delay at all", (0.0, 0.0), (0.0, 0.0), (90.0, 180.0))
            }
            "ollama-tiny" => Self::from_json(OLLAMA_TINY).ok(),
            _ => None,
        }?;
        Some(Self { name: name.to_owned(), ..profile })
    }

    /// Reads a profile as `fit` writes it.
    ///
    /// # Errors
    /// When it is none, or of another version.
    pub fn from_json(text: &str) -> Result<Self, ProfileError> {
        json::read(text)
    }

    /// The profile as a file holds it.
    ///
    /// # Errors
    /// When it holds what JSON cannot say; a profile that was read or fitted never does.
    pub fn to_json(&self) -> Result<String, ProfileError> {
        json::write(self)
    }

    /// The same profile with this share of failures, 0 to 1: of the kinds it has, in their
    /// proportions; where it has none, failures inside the provider, told at once.
    #[must_use]
    pub fn with_error_rate(self, error_rate: f64) -> Self {
        Self { errors: self.errors.with_rate(error_rate), ..self }
    }

    /// The share of requests that fail, 0 to 1, at the concurrency it was fitted to.
    #[must_use]
    pub fn error_rate(&self) -> f64 {
        self.errors.rate()
    }

    /// Draws what an answer to this question is to be like.
    #[must_use]
    pub fn draw(&self, question: &Fingerprint, circumstances: &Circumstances) -> Drawn {
        let row = self.ranks.draw(&mut Draws::of(question, Quantity::Row), circumstances);
        let share = |column: usize, quantity: Quantity| {
            self.ranks.share(row, column, Draws::of(question, quantity).uniform())
        };
        let delay = |distribution: &Distribution, share: f64| {
            distribution.value_at(share, circumstances).clamp(0.0, LONGEST_DELAY_MS)
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float-to-int cast saturates, and the value is not negative"
        )]
        let output_tokens =
            self.output_tokens.value_at(share(ranks::OUTPUT_TOKENS, Quantity::Length), circumstances).round()
                as u64;
        Drawn {
            output_tokens: output_tokens.clamp(1, LONGEST_ANSWER),
            first_token: delay(&self.first_token, share(ranks::FIRST_TOKEN, Quantity::FirstToken)),
            gap: delay(&self.gap, share(ranks::GAP, Quantity::MeanGap)),
            ending: delay(&self.ending, share(ranks::ENDING, Quantity::Ending)),
            tokens_per_chunk: self
                .tokens_per_chunk
                .value_at(share(ranks::TOKENS_PER_CHUNK, Quantity::ChunkSize), circumstances)
                .max(json::LEAST_PER_CHUNK),
        }
    }
}

fn log_normal(median: f64, p95: f64, most: f64) -> Option<QuantileTable> {
    let table = if median == p95 && median.is_finite() && median > 0.0 {
        QuantileTable::constant(median)
    } else {
        QuantileTable::log_normal(&LogNormal::from_median_and_p95(median, p95)?)
    };
    table.map(|(share, value)| (share, value.min(most))).ok()
}

#[cfg(test)]
mod tests {
    use statistics::QuantileTable;

    use super::{Circumstances, Drawn, LONGEST_ANSWER, LONGEST_DELAY_MS, Profile};

    fn drawn(profile: &Profile, n: u32) -> Vec<Drawn> {
        let circumstances = Circumstances { input_tokens: 20, concurrency: 1 };
        let mut question = [0; 32];
        (0..n)
            .map(|i| {
                question[..4].copy_from_slice(&i.to_le_bytes());
                profile.draw(&question, &circumstances)
            })
            .collect()
    }

    #[test]
    fn a_log_normal_profile_has_the_medians_and_p95s_asked_for() {
        let profile = Profile::log_normal("test", (120.0, 360.0), (8.0, 20.0), (90.0, 180.0)).unwrap();
        let drawn = drawn(&profile, 20_000);
        let near = |of: fn(&Drawn) -> f64, median: f64, p95: f64| {
            let mut values: Vec<f64> = drawn.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            let off = (values[10_000] / median - 1.0).abs().max((values[19_000] / p95 - 1.0).abs());
            assert!(off < 0.05, "{} {}", values[10_000], values[19_000]);
        };
        near(|drawn| drawn.first_token, 120.0, 360.0);
        near(|drawn| drawn.output_tokens as f64, 90.0, 180.0);
        // 8 ms in the median, so more in the mean: exp(σ²/2) with σ = ln(2.5) / 1.645.
        near(|drawn| drawn.gap, 9.34, 9.34);
        assert!((profile.jitter.value_at(0.5) * drawn[0].gap / 8.0 - 1.0).abs() < 0.01);
    }

    #[test]
    fn no_delay_is_none_and_nonsense_is_refused() {
        let instant = Profile::built_in("instant").unwrap();
        let first = drawn(&instant, 1)[0];
        assert_eq!((first.first_token, first.gap, first.ending), (0.0, 0.0, 0.0));
        for (median, p95) in [(0.0, 5.0), (5.0, 4.0), (-1.0, 1.0), (f64::NAN, f64::NAN)] {
            assert_eq!(Profile::log_normal("test", (median, p95), (1.0, 1.0), (1.0, 1.0)), None);
            assert_eq!(Profile::log_normal("test", (1.0, 1.0), (median, p95), (1.0, 1.0)), None);
            assert_eq!(Profile::log_normal("test", (1.0, 1.0), (1.0, 1.0), (median, p95)), None);
        }
    }

    #[test]
    fn tails_are_bounded() {
        let of = |median: f64| {
            let figures = (median, median * 2.0);
            drawn(&Profile::log_normal("test", figures, figures, figures).unwrap(), 1)[0]
        };
        let endless = of(1e300);
        assert_eq!(
            (endless.first_token, endless.gap, endless.output_tokens),
            (LONGEST_DELAY_MS, LONGEST_DELAY_MS, LONGEST_ANSWER)
        );
        assert_eq!(of(1e-300).output_tokens, 1);
    }

    #[test]
    fn chunks_follow_from_tokens() {
        let of = |tokens_per_chunk, tokens| {
            let drawn = Drawn { output_tokens: 1, first_token: 0.0, gap: 0.0, ending: 0.0, tokens_per_chunk };
            drawn.chunks(tokens)
        };
        let counts = [of(1.0, 50), of(3.0, 50), of(100.0, 50), of(0.5, 50), of(1.0, 0)];
        assert_eq!(counts, [50, 17, 1, 100, 0]);
    }

    #[test]
    fn built_in_profiles_can_all_be_read_and_written() {
        for name in Profile::BUILT_IN {
            let profile = Profile::built_in(name).unwrap();
            assert_eq!(profile.name, name);
            assert_eq!(Profile::from_json(&profile.to_json().unwrap()).unwrap(), profile, "{name}");
            assert!(!profile.source.is_empty());
        }
        assert_eq!(Profile::built_in("slow"), None);
    }

    #[test]
    fn an_error_rate_keeps_the_kinds_there_are() {
        let quick = || Profile::built_in("quick").unwrap();
        assert!(quick().error_rate().abs() < 1e-12);
        let failing = quick().with_error_rate(0.25);
        assert!((failing.error_rate() - 0.25).abs() < 1e-12);
        assert_eq!(failing.errors.kinds.len(), 1);
        assert!((failing.clone().with_error_rate(0.5).error_rate() - 0.5).abs() < 1e-12);
        assert_eq!(failing.with_error_rate(0.0), quick());
        assert_eq!(QuantileTable::constant(1.0), quick().tokens_per_chunk.table);
    }
}
