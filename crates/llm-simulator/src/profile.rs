//! How a provider behaves: the distributions an answer's length, timing and failure are drawn from.
//! Pure.
//!
//! Owns the shape of a profile and its draws. Must not know a clock nor a protocol.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use statistics::LogNormal;

use crate::draws::Draws;

/// Longest single delay, whatever the tail of its distribution says.
const LONGEST_DELAY: Duration = Duration::from_secs(300);
/// Longest answer in tokens, likewise.
pub const LONGEST_ANSWER: u64 = 4_096;

/// How a provider behaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Where its figures come from, for whoever reads results made with it.
    pub source: String,
    /// From the request to the first token.
    pub first_token: Delay,
    /// From one chunk to the next.
    pub gap: Delay,
    /// Tokens of an answer.
    pub output_tokens: LogNormal,
    /// Share of requests that fail, 0 to 1.
    pub error_rate: f64,
}

/// Why a text is no profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("profiles cannot be read yet")]
pub struct ProfileError;

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

/// How long something takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Delay {
    /// No time at all.
    None,
    /// Milliseconds with a long tail.
    LogNormal(LogNormal),
}

impl Delay {
    /// A delay with this median and 95th percentile in milliseconds; both zero for none. `None`
    /// where no such distribution exists.
    #[must_use]
    pub fn from_median_and_p95(median_ms: f64, p95_ms: f64) -> Option<Self> {
        if median_ms == 0.0 && p95_ms == 0.0 {
            return Some(Self::None);
        }
        LogNormal::from_median_and_p95(median_ms, p95_ms).map(Self::LogNormal)
    }

    /// One delay.
    pub fn draw(&self, draws: &mut Draws) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::LogNormal(distribution) => {
                let seconds = distribution.value_at(draws.standard_normal()) / 1_000.0;
                Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_DELAY).min(LONGEST_DELAY)
            }
        }
    }
}

impl Profile {
    /// A profile of log-normal distributions, each by its median and 95th percentile: milliseconds
    /// to the first token and between chunks, tokens of an answer. `None` where there is no such
    /// distribution.
    #[must_use]
    pub fn log_normal(
        source: &str,
        first_token_ms: (f64, f64),
        gap_ms: (f64, f64),
        output_tokens: (f64, f64),
    ) -> Option<Self> {
        Some(Self {
            source: source.to_owned(),
            first_token: Delay::from_median_and_p95(first_token_ms.0, first_token_ms.1)?,
            gap: Delay::from_median_and_p95(gap_ms.0, gap_ms.1)?,
            output_tokens: LogNormal::from_median_and_p95(output_tokens.0, output_tokens.1)?,
            error_rate: 0.0,
        })
    }

    /// Names of the built-in profiles.
    pub const BUILT_IN: [&str; 2] = ["quick", "instant"];

    /// A built-in profile.
    #[must_use]
    pub fn built_in(name: &str) -> Option<Self> {
        let quick = "built-in quick: a small model on a fast machine; chosen for tests, not fitted";
        match name {
            "quick" => Self::log_normal(quick, (120.0, 360.0), (8.0, 20.0), (90.0, 180.0)),
            "instant" => {
                Self::log_normal("built-in instant: no delay at all", (0.0, 0.0), (0.0, 0.0), (90.0, 180.0))
            }
            _ => None,
        }
    }

    /// Reads a profile as `fit` writes it.
    ///
    /// # Errors
    /// When it is none, or of another version.
    pub fn from_json(_: &str) -> Result<Self, ProfileError> {
        Err(ProfileError)
    }

    /// The same profile with this share of failures, 0 to 1.
    #[must_use]
    pub fn with_error_rate(self, error_rate: f64) -> Self {
        Self { error_rate, ..self }
    }

    /// How long an answer is to be, in tokens: at least one.
    pub fn draw_length(&self, draws: &mut Draws) -> u64 {
        let tokens = self.output_tokens.value_at(draws.standard_normal());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float-to-int cast saturates, and the value is not negative"
        )]
        let tokens = tokens.round() as u64;
        tokens.clamp(1, LONGEST_ANSWER)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use statistics::LogNormal;

    use super::{Delay, LONGEST_ANSWER, LONGEST_DELAY, Profile};
    use crate::draws::{Draws, Quantity};

    fn draws() -> Draws {
        Draws::of(&[3; 32], Quantity::FirstToken)
    }

    #[test]
    fn delays_have_the_median_and_p95_asked_for() {
        let delay = Delay::from_median_and_p95(120.0, 360.0).unwrap();
        let mut draws = draws();
        let mut values: Vec<Duration> = (0..20_000).map(|_| delay.draw(&mut draws)).collect();
        values.sort_unstable();
        let near = |value: Duration, ms: f64| (value.as_secs_f64() * 1_000.0 / ms - 1.0).abs() < 0.05;
        assert!(near(values[10_000], 120.0) && near(values[19_000], 360.0), "{:?}", values[19_000]);
    }

    #[test]
    fn no_delay_is_none_and_nonsense_is_refused() {
        assert_eq!(Delay::from_median_and_p95(0.0, 0.0), Some(Delay::None));
        assert_eq!(Delay::None.draw(&mut draws()), Duration::ZERO);
        for (median, p95) in [(0.0, 5.0), (5.0, 4.0), (-1.0, 1.0), (f64::NAN, f64::NAN)] {
            assert_eq!(Delay::from_median_and_p95(median, p95), None);
        }
    }

    #[test]
    fn tails_are_bounded() {
        let endless = Delay::from_median_and_p95(1e300, 1e305).unwrap();
        assert_eq!(endless.draw(&mut draws()), LONGEST_DELAY);
        let profile = |median: f64| Profile {
            source: "test".to_owned(),
            first_token: Delay::None,
            gap: Delay::None,
            output_tokens: LogNormal::from_median_and_p95(median, median).unwrap(),
            error_rate: 0.0,
        };
        assert_eq!(profile(1e300).draw_length(&mut draws()), LONGEST_ANSWER);
        assert_eq!(profile(1e-300).draw_length(&mut draws()), 1);
        assert_eq!(profile(90.0).draw_length(&mut draws()), 90);
    }
}
