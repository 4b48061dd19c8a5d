//! When each token of an answer is due, counted from the request. Pure: it knows no clock.

use std::time::Duration;

use crate::draws::{Draws, Quantity};
use crate::profile::Profile;
use crate::question::Fingerprint;

/// When an answer's tokens are due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// From the request until the first token, or until the end where there is none.
    first: Duration,
    /// From the request until each token; never decreasing, the first one at `first`.
    due: Vec<Duration>,
}

impl Schedule {
    /// Draws a schedule for this many tokens. A shorter answer to the same question has the
    /// beginning of the longer one's schedule.
    #[must_use]
    pub fn draw(question: &Fingerprint, profile: &Profile, tokens: usize) -> Self {
        let first = profile.first_token.draw(&mut Draws::of(question, Quantity::FirstToken));
        let mut gaps = Draws::of(question, Quantity::Gaps);
        let due =
            std::iter::successors(Some(first), |at| Some(at.saturating_add(profile.gap.draw(&mut gaps))))
                .take(tokens)
                .collect();
        Self { first, due }
    }

    /// From the request until the first token.
    #[must_use]
    pub const fn first_token(&self) -> Duration {
        self.first
    }

    /// From the request until this token; nothing where the answer is shorter.
    #[must_use]
    pub fn due(&self, token: usize) -> Option<Duration> {
        self.due.get(token).copied()
    }

    /// From the request until the last token.
    #[must_use]
    pub fn whole(&self) -> Duration {
        self.due.last().copied().unwrap_or(self.first)
    }
}

#[cfg(test)]
mod tests {
    use super::Schedule;
    use crate::profile::Profile;

    fn profile() -> Profile {
        Profile::log_normal("test", (120.0, 360.0), (8.0, 20.0), (90.0, 180.0)).unwrap()
    }

    #[test]
    fn tokens_are_due_in_order_and_the_same_every_time() {
        let schedule = Schedule::draw(&[5; 32], &profile(), 50);
        assert_eq!(schedule, Schedule::draw(&[5; 32], &profile(), 50));
        assert_ne!(schedule, Schedule::draw(&[6; 32], &profile(), 50));
        assert_eq!(schedule.due(0), Some(schedule.first_token()));
        assert_eq!(schedule.due(49), Some(schedule.whole()));
        assert_eq!(schedule.due(50), None);
        assert!((1..50).all(|token| schedule.due(token) > schedule.due(token - 1)));
    }

    #[test]
    fn a_shorter_answer_has_the_beginning_of_the_longer_ones_schedule() {
        let (long, short) =
            (Schedule::draw(&[5; 32], &profile(), 50), Schedule::draw(&[5; 32], &profile(), 3));
        assert_eq!(short.whole(), long.due(2).unwrap());
        let none = Schedule::draw(&[5; 32], &profile(), 0);
        assert_eq!((none.whole(), none.due(0)), (long.first_token(), None));
    }
}
