//! Money as whole billionths of a dollar, so that sums over any number of calls are exact.
//!
//! Owns the unit and its conversions. Knows no price and no call. A `f64` leaves this file only for
//! the edges that carry one: JSON and metrics.

use std::fmt;
use std::ops::Add;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

/// Decimals of a dollar that are kept.
const DECIMALS: u32 = 9;
/// Billionths in a dollar.
const NANOS_PER_DOLLAR: u64 = 1_000_000_000;

/// An amount of US dollars, never negative, in billionths. Sums saturate at 18 thousand million dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usd(u64);

impl Usd {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount there is.
    pub const MAX: Self = Self(u64::MAX);

    /// So many billionths of a dollar.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Billionths of a dollar.
    #[must_use]
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Dollars, rounded once to billionths, half to even. None if negative or out of range.
    #[must_use]
    pub fn from_decimal(dollars: Decimal) -> Option<Self> {
        dollars.checked_mul(Decimal::from(NANOS_PER_DOLLAR))?.round().to_u64().map(Self)
    }

    /// Dollars, rounded up to billionths: for upper bounds. None if negative or out of range.
    #[must_use]
    pub fn from_decimal_up(dollars: Decimal) -> Option<Self> {
        dollars.checked_mul(Decimal::from(NANOS_PER_DOLLAR))?.ceil().to_u64().map(Self)
    }

    /// Dollars, exact.
    #[must_use]
    pub fn to_decimal(self) -> Decimal {
        Decimal::from_i128_with_scale(i128::from(self.0), DECIMALS).normalize()
    }

    /// Dollars as the nearest binary fraction, for JSON and metrics. Not for sums.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "nearest is what is promised; below 9 million dollars the division of two whole numbers gives just that"
    )]
    pub const fn dollars(self) -> f64 {
        self.0 as f64 / NANOS_PER_DOLLAR as f64
    }

    /// The sum.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left, nothing at least.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Add for Usd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.saturating_add(other)
    }
}

impl std::iter::Sum for Usd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Self::saturating_add)
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_decimal().fmt(formatter)
    }
}

/// Dollars of a call. What is not known is absent, never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// What was billed.
    pub billed: Option<Usd>,
    /// The same tokens by the list price of the model, or of the model a simulator stands for.
    pub list: Option<Usd>,
}

impl Cost {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self { billed: None, list: None };
    /// Nothing was used up.
    pub const NOTHING: Self = Self { billed: Some(Usd::ZERO), list: Some(Usd::ZERO) };

    /// What was billed, in dollars, for JSON and metrics.
    #[must_use]
    pub fn billed_usd(&self) -> Option<f64> {
        self.billed.map(Usd::dollars)
    }

    /// By list price, in dollars, for JSON and metrics.
    #[must_use]
    pub fn list_usd(&self) -> Option<f64> {
        self.list.map(Usd::dollars)
    }

    /// Both, of two attempts together. What is not known of one is not known of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let both = |one: Option<Usd>, two: Option<Usd>| Some(one?.saturating_add(two?));
        Self { billed: both(self.billed, other.billed), list: both(self.list, other.list) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};
    use rust_decimal::Decimal;

    use super::{Cost, Usd};

    #[test]
    fn sums_of_many_calls_are_exact() {
        // As binary fractions, ten thousand dimes of a thousandth are not a dollar.
        let tenth = Usd::from_decimal("0.0001".parse().unwrap()).unwrap();
        let sum: Usd = std::iter::repeat_n(tenth, 10_000).sum();
        assert_eq!(sum, Usd::from_decimal(Decimal::ONE).unwrap());
        assert!((0..10_000).fold(0.0, |sum, _| sum + 0.0001_f64) != 1.0);
    }

    #[test]
    fn amounts_are_rounded_once_and_bounds_upwards() {
        let amount = |text: &str| Usd::from_decimal(text.parse().unwrap()).map(Usd::nanos);
        assert_eq!(amount("0.0000000014"), Some(1));
        assert_eq!(amount("0.0000000015"), Some(2));
        assert_eq!(amount("0.0000000025"), Some(2), "half to even");
        assert_eq!(Usd::from_decimal_up("0.0000000011".parse().unwrap()).map(Usd::nanos), Some(2));
        assert_eq!(amount("-0.01"), None);
        assert_eq!(amount("79228162514264337593543950335"), None);
        assert_eq!(Usd::MAX + Usd::from_nanos(1), Usd::MAX);
    }

    #[test]
    fn what_one_attempt_does_not_know_the_sum_does_not_know() {
        let half = Cost { billed: Some(Usd::ZERO), list: None };
        assert_eq!(half.plus(Cost::NOTHING), half);
        assert_eq!(Cost::UNKNOWN.plus(Cost::NOTHING), Cost::UNKNOWN);
    }

    proptest! {
        #[test]
        fn amounts_survive_the_way_through_decimals_and_text(nanos in any::<u64>()) {
            let amount = Usd::from_nanos(nanos);
            assert_eq!(Usd::from_decimal(amount.to_decimal()), Some(amount));
            assert_eq!(amount.to_string().parse().ok().and_then(Usd::from_decimal), Some(amount));
            assert!(amount.dollars().is_finite());
        }
    }
}
