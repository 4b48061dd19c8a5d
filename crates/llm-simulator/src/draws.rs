//! Draws that depend on nothing but a question and a seed. Pure.
//!
//! One ChaCha key a question (its fingerprint) and one stream a quantity, so that a quantity added
//! or drawn from more often never shifts the others. What is made of the random bits is written
//! here and not taken from a library whose algorithms may change with its version.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use statistics::LogNormal;

use crate::question::Fingerprint;

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// How long the answer is.
    Length,
    /// Time to the first token.
    FirstToken,
    /// Each gap between chunks.
    Gaps,
    /// The words.
    Text,
    /// The mean gap between chunks.
    MeanGap,
    /// Time from the last chunk to the end.
    Ending,
    /// Tokens in a chunk.
    ChunkSize,
    /// The recorded call whose ranks the others follow.
    Row,
    /// Whether the n-th time this question is asked fails.
    Failure(u32),
    /// Whether a rule of faults is applied to it then.
    Fault {
        /// The how-manieth time the question is asked.
        nth: u32,
        /// The rule's place among the rules.
        rule: u16,
    },
}

impl Quantity {
    const fn stream(self) -> u64 {
        match self {
            Self::Length => 0,
            Self::FirstToken => 1,
            Self::Gaps => 2,
            Self::Text => 3,
            Self::MeanGap => 4,
            Self::Ending => 5,
            Self::ChunkSize => 6,
            Self::Row => 7,
            Self::Failure(nth) => 1 << 32 | nth as u64,
            // Far from all others.
            Self::Fault { nth, rule } => 1 << 63 | (rule as u64) << 32 | nth as u64,
        }
    }
}

/// A sequence of draws.
#[derive(Clone, Debug)]
pub struct Draws(ChaCha8Rng);

impl Draws {
    /// The draws of one quantity for one question.
    #[must_use]
    pub fn of(question: &Fingerprint, quantity: Quantity) -> Self {
        let mut generator = ChaCha8Rng::from_seed(*question);
        generator.set_stream(quantity.stream());
        Self(generator)
    }

    /// A number from 0 up to, and without, 1.
    pub fn uniform(&mut self) -> f64 {
        // The 53 bits that a double holds.
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let bits = (self.0.next_u64() >> 11) as f64;
        bits / (1_u64 << 53) as f64
    }

    /// A draw from the standard normal distribution.
    pub fn standard_normal(&mut self) -> f64 {
        let (u1, u2) = (1.0 - self.uniform(), self.uniform());
        LogNormal::standard_normal(u1, u2)
    }

    /// A number from 0 up to, and without, `bound`; 0 where the bound is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        // Multiply and shift; the bias is under bound / 2^64.
        let wide = u128::from(self.0.next_u64()) * bound as u128;
        usize::try_from(wide >> 64).unwrap_or_default()
    }

    /// One of several, or nothing where there are none.
    pub fn pick<'a, T>(&mut self, several: &'a [T]) -> Option<&'a T> {
        several.get(self.below(several.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Draws, Quantity};

    #[test]
    fn the_same_question_draws_the_same_and_quantities_do_not_share() {
        let first = |question: [u8; 32], quantity| Draws::of(&question, quantity).uniform().to_bits();
        assert_eq!(first([7; 32], Quantity::Text), first([7; 32], Quantity::Text));
        let mut all: Vec<u64> = [
            Quantity::Length,
            Quantity::FirstToken,
            Quantity::Gaps,
            Quantity::Text,
            Quantity::MeanGap,
            Quantity::Ending,
            Quantity::ChunkSize,
            Quantity::Row,
            Quantity::Failure(0),
            Quantity::Failure(1),
            Quantity::Fault { nth: 0, rule: 0 },
            Quantity::Fault { nth: 1, rule: 0 },
            Quantity::Fault { nth: 0, rule: 1 },
        ]
        .into_iter()
        .map(|quantity| first([7; 32], quantity))
        .chain([first([8; 32], Quantity::Text)])
        .collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 14);
    }

    #[test]
    fn draws_are_spread_evenly() {
        let mut draws = Draws::of(&[1; 32], Quantity::Text);
        let n = 20_000;
        let mean = (0..n).map(|_| draws.uniform()).sum::<f64>() / f64::from(n);
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
        let normal: Vec<f64> = (0..n).map(|_| draws.standard_normal()).collect();
        let mean = normal.iter().sum::<f64>() / f64::from(n);
        let variance = normal.iter().map(|z| z * z).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        let mut counts = [0; 5];
        for _ in 0..n {
            counts[draws.below(5)] += 1;
        }
        assert!(counts.iter().all(|count| (3_800..4_200).contains(count)), "{counts:?}");
        assert_eq!(draws.pick::<u8>(&[]), None);
    }
}
