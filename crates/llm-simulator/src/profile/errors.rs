//! How often a provider fails, how, and how long that takes. Pure.

use std::time::Duration;

use statistics::QuantileTable;

use crate::draws::Draws;
use crate::failure::Failure;
use crate::profile::distribution::Effect;

/// Everything that fails.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Errors {
    /// The kinds, each with its own rate.
    pub kinds: Vec<Error>,
    /// How all rates rise or fall with the calls under way, where they do.
    pub effect: Option<Effect>,
}

/// One kind of failure.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    /// What happens.
    pub kind: ErrorKind,
    /// The share of requests it happens to, 0 to 1.
    pub rate: f64,
    /// How long until it does, in milliseconds; for answers that break off, the share of the answer
    /// before the break, 0 to 1.
    pub after: QuantileTable,
    /// What `Retry-After` says, in seconds, where it is said.
    pub retry_after: Option<QuantileTable>,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// Too many requests or tokens: 429.
    RateLimited,
    /// The provider broke: 500.
    ServerError,
    /// The provider is not there, or not in time: 503.
    Unavailable,
    /// The provider has too much to do: 529.
    Overloaded,
    /// The connection is reset before anything was answered.
    Reset,
    /// The answer breaks off in its middle.
    Cut,
    /// Any other status.
    Status(u16),
}

/// What a call that fails comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Failing {
    /// It is not answered.
    Refused {
        /// Why.
        failure: Failure,
        /// How long after the request this is said.
        after: Duration,
    },
    /// It is answered, but for the end.
    CutShort {
        /// The share of the answer that comes, 0 to 1.
        share: f64,
    },
}

impl Errors {
    /// The share of requests that fail, 0 to 1, where the effect is 1.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.kinds.iter().map(|error| error.rate).sum::<f64>().min(1.0)
    }

    /// The same kinds with another rate altogether; failures inside the provider where there are
    /// none.
    #[must_use]
    pub fn with_rate(self, rate: f64) -> Self {
        let (rate, before) = (rate.clamp(0.0, 1.0), self.rate());
        if rate <= 0.0 {
            return Self::default();
        }
        if before <= 0.0 {
            let after = QuantileTable::constant(0.0);
            let error = Error { kind: ErrorKind::ServerError, rate, after, retry_after: None };
            return Self { kinds: vec![error], effect: None };
        }
        let kinds = self.kinds.into_iter().map(|error| Error { rate: error.rate / before * rate, ..error });
        Self { kinds: kinds.collect(), effect: None }
    }

    /// Whether this call fails, and how.
    pub fn draw(&self, draws: &mut Draws, concurrency: f64) -> Option<Failing> {
        let factor = self.effect.as_ref().map_or(1.0, |effect| effect.factor(concurrency));
        // More failures than calls there cannot be, in whatever proportion.
        let factor = factor.min(1.0 / self.rate().max(f64::MIN_POSITIVE));
        let mut left = draws.uniform();
        let error = self.kinds.iter().find(|error| {
            let rate = error.rate * factor;
            let hit = left < rate;
            left -= rate;
            hit
        })?;
        let after = error.after.value_at(draws.uniform());
        let retry_after =
            error.retry_after.as_ref().map(|seconds| duration(seconds.value_at(draws.uniform()) * 1_000.0));
        let failure = match error.kind {
            ErrorKind::Cut => return Some(Failing::CutShort { share: after }),
            ErrorKind::RateLimited => {
                Failure::RateLimited { retry_after: retry_after.unwrap_or(Duration::from_secs(1)) }
            }
            ErrorKind::ServerError => Failure::ServerError,
            ErrorKind::Unavailable => Failure::Unavailable { retry_after },
            ErrorKind::Overloaded => Failure::Overloaded,
            ErrorKind::Reset => Failure::Reset,
            ErrorKind::Status(status) => {
                let body = format!(r#"{{"error":{{"message":"simulated failure with status {status}"}}}}"#);
                Failure::Recorded { status, retry_after, body }
            }
        };
        Some(Failing::Refused { failure, after: duration(after) })
    }
}

/// Milliseconds, a day at most.
fn duration(milliseconds: f64) -> Duration {
    Duration::from_secs_f64(milliseconds.clamp(0.0, 86_400_000.0) / 1_000.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use statistics::QuantileTable;

    use super::{Error, ErrorKind, Errors, Failing};
    use crate::draws::{Draws, Quantity};
    use crate::failure::Failure;
    use crate::profile::distribution::{Covariate, Effect};

    fn error(kind: ErrorKind, rate: f64) -> Error {
        Error { kind, rate, after: QuantileTable::constant(40.0), retry_after: None }
    }

    fn shares(errors: &Errors, concurrency: f64) -> (f64, f64) {
        let mut draws = Draws::of(&[1; 32], Quantity::Failure(0));
        let drawn: Vec<Failing> = (0..20_000).filter_map(|_| errors.draw(&mut draws, concurrency)).collect();
        let limited = drawn
            .iter()
            .filter(|drawn| matches!(drawn, Failing::Refused { failure: Failure::RateLimited { .. }, .. }));
        (drawn.len() as f64 / 20_000.0, limited.count() as f64 / 20_000.0)
    }

    #[test]
    fn each_kind_has_its_rate_and_concurrency_its_effect() {
        let factors = vec![(1.0, 1.0), (10.0, 4.0), (100.0, 400.0)];
        let errors = Errors {
            kinds: vec![error(ErrorKind::RateLimited, 0.1), error(ErrorKind::ServerError, 0.05)],
            effect: Some(Effect { covariate: Covariate::Concurrency, factors }),
        };
        for (concurrency, all, limited) in [(1.0, 0.15, 0.1), (10.0, 0.6, 0.4), (100.0, 1.0, 2.0 / 3.0)] {
            let found = shares(&errors, concurrency);
            assert!((found.0 - all).abs() < 0.01 && (found.1 - limited).abs() < 0.01, "{found:?}");
        }
    }

    #[test]
    fn a_failure_says_what_was_recorded_of_it() {
        let mut draws = Draws::of(&[1; 32], Quantity::Failure(0));
        let mut of = |kind| {
            let retry_after = Some(QuantileTable::constant(2.5));
            let errors = Errors { kinds: vec![Error { retry_after, ..error(kind, 1.0) }], effect: None };
            errors.draw(&mut draws, 1.0).unwrap()
        };
        let Failing::Refused { failure, after } = of(ErrorKind::RateLimited) else { panic!("it is refused") };
        assert_eq!((failure.retry_after_seconds(), after), (Some(3), Duration::from_millis(40)));
        assert!(matches!(of(ErrorKind::Cut), Failing::CutShort { .. }));
        assert!(matches!(
            of(ErrorKind::Status(502)),
            Failing::Refused { failure: Failure::Recorded { status: 502, .. }, .. }
        ));
    }
}
