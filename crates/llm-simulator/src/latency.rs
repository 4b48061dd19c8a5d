//! When each chunk of an answer is due, counted from the request. Pure: it knows no clock.
//!
//! A call's gaps are drawn around its own mean and then scaled so that they have exactly that mean:
//! the duration of an answer is first token + mean gap × (chunks − 1) + ending, as in a recording,
//! and single gaps add no spread of their own to it.

use std::time::Duration;

use crate::draws::{Draws, Quantity};
use crate::profile::{Drawn, Profile};
use crate::question::Fingerprint;

/// When an answer's chunks are due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// From the request until the first token, or until the end where there is none.
    first: Duration,
    /// From the last chunk until the end.
    ending: Duration,
    /// Tokens of the whole answer.
    tokens: usize,
    /// From the request until each chunk; never decreasing, the first one at `first`.
    due: Vec<Duration>,
}

impl Schedule {
    /// The schedule of an answer of this many tokens in its natural length.
    #[must_use]
    pub fn draw(question: &Fingerprint, profile: &Profile, drawn: &Drawn, tokens: usize) -> Self {
        let (first, ending) = (duration(drawn.first_token), duration(drawn.ending));
        let wanted = drawn.chunks(tokens);
        // Where the provider sends more chunks than it counts tokens, a chunk is a token here, and
        // comes in the time of several.
        let chunks = wanted.min(tokens);
        let mut due = Vec::with_capacity(chunks);
        if chunks > 0 {
            due.push(first);
        }
        if chunks > 1 {
            let mut draws = Draws::of(question, Quantity::Gaps);
            let jitter = &profile.jitter;
            let mut sum = 0.0;
            let sums: Vec<f64> = (1..chunks)
                .map(|_| {
                    sum += jitter.value_at(draws.uniform());
                    sum
                })
                .collect();
            #[expect(clippy::cast_precision_loss, reason = "a few thousand chunks")]
            let (span, even) = (drawn.gap * (wanted - 1) as f64, 1.0 / (chunks - 1) as f64);
            let mut share = 0.0;
            due.extend(sums.into_iter().map(|so_far| {
                // Where every gap drawn is 0, they are even.
                share = if sum > 0.0 { so_far / sum } else { share + even };
                first.saturating_add(duration(span * share))
            }));
        }
        Self { first, ending, tokens, due }
    }

    /// From the request until the first token.
    #[must_use]
    pub const fn first_token(&self) -> Duration {
        self.first
    }

    /// The chunks of an answer cut after this many tokens: the last token of each, from 0, and when
    /// it is due. The tokens are spread evenly over the chunks.
    pub fn chunks(&self, tokens: usize) -> impl Iterator<Item = (usize, Duration)> {
        let tokens = tokens.min(self.tokens);
        let count = self.due.len();
        let mut sent = 0;
        self.due.iter().enumerate().map_while(move |(index, due)| {
            if sent >= tokens {
                return None;
            }
            sent = ((index + 1) * self.tokens / count.max(1)).min(tokens);
            Some((sent.checked_sub(1)?, *due))
        })
    }

    /// From the request until the end of an answer cut after this many tokens.
    #[must_use]
    pub fn whole(&self, tokens: usize) -> Duration {
        let last = self.chunks(tokens).last().map_or(self.first, |(_, due)| due);
        last.saturating_add(self.ending)
    }
}

/// Milliseconds as a duration; a day at most, and never negative.
fn duration(milliseconds: f64) -> Duration {
    Duration::from_secs_f64(milliseconds.clamp(0.0, 86_400_000.0) / 1_000.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Schedule;
    use crate::profile::{Circumstances, Drawn, Profile};

    fn profile() -> Profile {
        Profile::log_normal("test", (120.0, 360.0), (8.0, 20.0), (90.0, 180.0)).unwrap()
    }

    fn drawn(tokens_per_chunk: f64) -> Drawn {
        let circumstances = Circumstances { input_tokens: 1, concurrency: 1 };
        Drawn { tokens_per_chunk, ending: 7.0, ..profile().draw(&[5; 32], &circumstances) }
    }

    fn schedule(question: u8, tokens_per_chunk: f64, tokens: usize) -> Schedule {
        Schedule::draw(&[question; 32], &profile(), &drawn(tokens_per_chunk), tokens)
    }

    #[test]
    fn chunks_are_due_in_order_and_the_same_every_time() {
        let one = schedule(5, 1.0, 50);
        assert_eq!(one, schedule(5, 1.0, 50));
        assert_ne!(one, schedule(6, 1.0, 50));
        let chunks: Vec<(usize, Duration)> = one.chunks(50).collect();
        assert_eq!(chunks.len(), 50);
        assert_eq!(chunks[0], (0, one.first_token()));
        assert!(chunks.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0 && pair[0].1 < pair[1].1));
    }

    #[test]
    fn the_duration_is_that_of_the_mean_gap_whatever_the_jitter() {
        let drawn = drawn(1.0);
        for question in 0..20 {
            let whole = schedule(question, 1.0, 50).whole(50).as_secs_f64() * 1_000.0;
            assert!((whole - (drawn.first_token + 49.0 * drawn.gap + 7.0)).abs() < 1e-3, "{whole}");
        }
    }

    #[test]
    fn a_shorter_answer_has_the_beginning_of_the_longer_ones_schedule() {
        let whole = schedule(5, 2.5, 50);
        let (long, short): (Vec<_>, Vec<_>) = (whole.chunks(50).collect(), whole.chunks(14).collect());
        assert_eq!((long.len(), short.len()), (20, 6));
        assert_eq!(short[..5], long[..5]);
        assert_eq!(short[5], (13, long[5].1));
        assert_eq!(whole.whole(14), long[5].1 + Duration::from_millis(7));
        assert_eq!(whole.chunks(0).count(), 0);
        assert_eq!(whole.whole(0), whole.first_token() + Duration::from_millis(7));
    }

    #[test]
    fn tokens_are_spread_evenly_and_each_is_in_one_chunk() {
        for (tokens_per_chunk, tokens, chunks) in [(3.0, 50, 17), (200.0, 50, 1), (0.4, 50, 50), (1.0, 0, 0)]
        {
            let ends: Vec<usize> =
                schedule(5, tokens_per_chunk, tokens).chunks(tokens).map(|(end, _)| end).collect();
            assert_eq!(ends.len(), chunks);
            assert_eq!(ends.last().copied(), tokens.checked_sub(1));
            let sizes: Vec<usize> = ends.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!(sizes.iter().all(|size| size.abs_diff(tokens / chunks.max(1)) <= 1), "{sizes:?}");
        }
        // More chunks than tokens take the time of all those chunks.
        let drawn = drawn(0.5);
        let whole = schedule(5, 0.5, 10).whole(10).as_secs_f64() * 1_000.0;
        assert!((whole - (drawn.first_token + 19.0 * drawn.gap + 7.0)).abs() < 1e-3);
    }
}
