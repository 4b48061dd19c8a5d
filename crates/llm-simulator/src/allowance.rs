//! How much a model may be asked: requests and tokens per minute, as providers limit them and tell
//! it in their headers. Pure: it is told the time.
//!
//! Each limit is a bucket that holds a minute's worth and fills evenly, as those of the providers do
//! (<https://docs.claude.com/en/api/rate-limits>: "token bucket algorithm"). A request is let in by
//! its question and the longest answer it may get, or, where the client sets no bound, a usual one.
//! What a longer one needs beyond that is taken as soon as it is known, which may leave a debt; what a
//! shorter one did not need the bucket gets back at its end. Must not know a wire protocol.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::models::Models;
use crate::profile::LONGEST_ANSWER;
use crate::question::Question;

/// Nanoseconds of a minute, which is how long an empty bucket takes to fill.
const MINUTE: u128 = 60_000_000_000;
/// Longest that a bucket in debt takes to fill, in nanoseconds: an hour.
const DEBT: u128 = 60 * MINUTE;
/// Tokens that an answer may have as far as the limits know, where the client sets no bound.
const USUAL_ANSWER: u64 = 1_024;

/// What is left of a limit per minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// The limit.
    pub limit: u64,
    /// What is left of it after this request.
    pub remaining: u64,
    /// Until all of it is there again.
    pub reset: Duration,
}

/// What a request's answer says about the limits of its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Requests per minute.
    pub requests: Left,
    /// Tokens per minute.
    pub tokens: Left,
}

impl Allowance {
    /// The same with no request left for so long, as it is told with a refusal that has no other
    /// reason.
    #[must_use]
    pub fn used_up(self, reset: Duration) -> Self {
        Self {
            requests: Left { remaining: 0, reset: reset.max(self.requests.reset), ..self.requests },
            ..self
        }
    }
}

/// The limits of every model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelLimits {
    /// Requests a minute.
    pub requests_per_minute: u64,
    /// Tokens a minute, of questions and answers.
    pub tokens_per_minute: u64,
    /// Tokens of the longest question.
    pub context_tokens: u64,
}

/// A minute's worth of something.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    limit: u64,
    /// When it is full again, in nanoseconds since the beginning.
    full_at: u128,
    /// When it was last found full.
    found_full: u128,
}

impl Bucket {
    const fn new(limit: u64) -> Self {
        Self { limit, full_at: 0, found_full: 0 }
    }

    /// How long it takes to fill by so much.
    fn time(&self, amount: u64) -> u128 {
        u128::from(amount) * MINUTE / u128::from(self.limit.max(1))
    }

    /// How long until so much is in it; a minute where it never is.
    fn wait(&self, amount: u64, now: u128) -> Duration {
        let time = self.time(amount);
        let short = (self.missing(now) + time).saturating_sub(MINUTE);
        Duration::from_nanos_u128(if time > MINUTE { MINUTE } else { short })
    }

    /// Takes so much, whether it is there or not.
    fn take(&mut self, amount: u64, now: u128) {
        if self.full_at <= now {
            self.full_at = now;
            self.found_full = now;
        }
        self.full_at = (self.full_at + self.time(amount)).min(now + DEBT);
    }

    /// Puts back what was taken then. Once it was full again time has put that back already, and
    /// another request must not get it a second time.
    fn give_back(&mut self, amount: u64, taken: u128) {
        if self.found_full <= taken {
            self.full_at = self.full_at.saturating_sub(self.time(amount));
        }
    }

    fn missing(&self, now: u128) -> u128 {
        self.full_at.saturating_sub(now)
    }

    fn left(&self, now: u128) -> Left {
        let missing = self.missing(now);
        let remaining = MINUTE.saturating_sub(missing) * u128::from(self.limit) / MINUTE;
        let remaining = u64::try_from(remaining).unwrap_or(u64::MAX);
        Left { limit: self.limit, remaining, reset: Duration::from_nanos_u128(missing) }
    }
}

/// Both buckets of a model.
#[derive(Clone, Copy, Debug)]
struct Buckets {
    requests: Bucket,
    tokens: Bucket,
}

/// What is left of every model's limits. Bounded: what nobody named shares one.
#[derive(Debug)]
pub struct Allowances {
    models: HashMap<String, Arc<Mutex<Buckets>>>,
    other: Arc<Mutex<Buckets>>,
}

impl Allowances {
    /// Full buckets for these models.
    #[must_use]
    pub fn new(limits: &ModelLimits, models: &Models) -> Self {
        let buckets = || {
            Arc::new(Mutex::new(Buckets {
                requests: Bucket::new(limits.requests_per_minute),
                tokens: Bucket::new(limits.tokens_per_minute),
            }))
        };
        let named = models.named().iter().map(|model| (model.clone(), buckets())).collect();
        Self { models: named, other: buckets() }
    }

    /// Takes a request and so many tokens from a model's buckets, if both are there.
    ///
    /// # Errors
    /// With the time after which they would be; nothing was taken then.
    pub fn take(&self, model: &str, tokens: u64, now: Duration) -> (Allowance, Result<Reserved, Duration>) {
        let shared = self.models.get(model).unwrap_or(&self.other);
        let now = now.as_nanos();
        let mut buckets = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = buckets.requests.wait(1, now).max(buckets.tokens.wait(tokens, now));
        let taken = if wait.is_zero() {
            buckets.requests.take(1, now);
            buckets.tokens.take(tokens, now);
            Ok(Reserved { buckets: Arc::clone(shared), tokens, taken: now, used: 0 })
        } else {
            Err(wait)
        };
        (Allowance { requests: buckets.requests.left(now), tokens: buckets.tokens.left(now) }, taken)
    }
}

/// Tokens taken from a model's bucket for one request. What is not used goes back when this is
/// dropped: all of it, where nothing is said.
#[derive(Debug)]
pub struct Reserved {
    buckets: Arc<Mutex<Buckets>>,
    tokens: u64,
    /// When.
    taken: u128,
    used: u64,
}

impl Reserved {
    /// So many are used. Those beyond what was reserved are taken now, and not at the end of the
    /// answer: whoever asks in the meantime would get them, too.
    pub fn uses(&mut self, tokens: u64) {
        let beyond = tokens.saturating_sub(self.tokens.max(self.used));
        if beyond > 0 {
            self.buckets().tokens.take(beyond, self.taken);
        }
        self.used = self.used.max(tokens);
    }

    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let unused = self.tokens.saturating_sub(self.used);
        if unused > 0 {
            self.buckets().tokens.give_back(unused, self.taken);
        }
    }
}

/// The tokens by which a question with so many of its own is let in.
#[must_use]
pub fn needed(question: &Question, input_tokens: u64) -> u64 {
    let longest = question.max_output_tokens.unwrap_or(USUAL_ANSWER).min(LONGEST_ANSWER);
    input_tokens.saturating_add(longest)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Allowances, ModelLimits, needed};
    use crate::models::Models;
    use crate::question::Question;

    const START: Duration = Duration::from_secs(1_000);

    fn allowances(requests: u64, tokens: u64) -> Allowances {
        let limits =
            ModelLimits { requests_per_minute: requests, tokens_per_minute: tokens, context_tokens: 1 };
        Allowances::new(&limits, &Models::new(["a", "b", "*"]))
    }

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_minutes_worth_of_requests_goes_at_once_and_comes_back_evenly() {
        let all = allowances(6, 1_000_000);
        for left in (0..6).rev() {
            let (allowance, taken) = all.take("a", 1, START);
            taken.unwrap();
            assert_eq!((allowance.requests.limit, allowance.requests.remaining), (6, left));
            assert_eq!(allowance.requests.reset, seconds(10.0 * (6 - left) as f64));
        }
        let (allowance, taken) = all.take("a", 1, START);
        assert_eq!((taken.unwrap_err(), allowance.requests.remaining), (seconds(10.0), 0));
        assert_eq!(all.take("a", 1, START + seconds(9.0)).1.unwrap_err(), seconds(1.0));
        all.take("a", 1, START + seconds(10.0)).1.unwrap();
        assert!(all.take("a", 1, START + seconds(10.0)).1.is_err());
        // An hour fills it, and no more.
        let (allowance, taken) = all.take("a", 1, START + seconds(3_600.0));
        taken.unwrap();
        assert_eq!(allowance.requests.remaining, 5);
    }

    #[test]
    fn tokens_are_taken_by_the_longest_answer_and_given_back_by_the_real_one() {
        let all = allowances(1_000, 600);
        let (allowance, taken) = all.take("a", 500, START);
        assert_eq!((allowance.tokens.remaining, allowance.tokens.reset), (100, seconds(50.0)));
        assert_eq!(all.take("a", 200, START).1.unwrap_err(), seconds(10.0));
        let mut reserved = taken.unwrap();
        reserved.uses(40);
        drop(reserved);
        let (allowance, taken) = all.take("a", 200, START);
        assert_eq!(allowance.tokens.remaining, 360);
        // A failed one costs nothing.
        drop(taken);
        assert_eq!(all.take("a", 0, START).0.tokens.remaining, 560);
        // What is refused takes no request either.
        assert_eq!(all.take("a", 0, START).0.requests.remaining, 1_000 - 4);
    }

    #[test]
    fn an_answer_longer_than_was_reserved_leaves_a_debt() {
        let all = allowances(1_000, 8_000);
        let served = (0..20).filter(|_| {
            let Ok(mut reserved) = all.take("a", 1_024, START).1 else { return false };
            reserved.uses(4_000);
            std::mem::forget(reserved);
            true
        });
        assert_eq!(served.count(), 2);
        let all = allowances(1_000, 600);
        let mut reserved = all.take("a", 600, START).1.unwrap();
        reserved.uses(1_800);
        drop(reserved);
        let (allowance, taken) = all.take("a", 100, START);
        assert_eq!((taken.unwrap_err(), allowance.tokens.remaining), (seconds(130.0), 0));
        all.take("a", 100, START + seconds(130.0)).1.unwrap();
        // Whatever a recording says of its tokens, it is bounded.
        let mut reserved = all.take("b", 1, START).1.unwrap();
        reserved.uses(u64::MAX);
        drop(reserved);
        assert_eq!(all.take("b", 0, START).0.tokens.reset, seconds(3_600.0));
    }

    #[test]
    fn what_time_gave_back_is_not_given_back_again() {
        let all = allowances(1_000, 600);
        let long = all.take("a", 300, START).1.unwrap();
        let later = START + seconds(60.0);
        let mut next = all.take("a", 600, later).1.unwrap();
        next.uses(600);
        drop((long, next));
        assert_eq!(all.take("a", 0, later).0.tokens.remaining, 0);
        // Where it was never full in between, nothing was lost by then.
        let mut first = all.take("b", 300, START).1.unwrap();
        first.uses(100);
        let mut second = all.take("b", 300, START + seconds(10.0)).1.unwrap();
        second.uses(300);
        drop((first, second));
        assert_eq!(all.take("b", 0, START + seconds(10.0)).0.tokens.remaining, 300);
    }

    #[test]
    fn what_never_fits_has_to_wait_a_minute_each_time() {
        let all = allowances(10, 100);
        for _ in 0..3 {
            assert_eq!(all.take("a", u64::MAX, START).1.unwrap_err(), seconds(60.0));
        }
        all.take("a", 100, START).1.unwrap();
    }

    #[test]
    fn named_models_have_limits_of_their_own_and_others_share() {
        let all = allowances(1, 100);
        for model in ["a", "b", "c"] {
            all.take(model, 1, START).1.unwrap();
        }
        for model in ["a", "b", "d"] {
            all.take(model, 1, START).1.unwrap_err();
        }
    }

    #[test]
    fn a_request_needs_its_question_and_the_longest_answer_it_may_get() {
        let question = |most| Question { max_output_tokens: most, ..Question::default() };
        let need = |most| needed(&question(most), 10);
        assert_eq!((need(None), need(Some(5)), need(Some(u64::MAX))), (1_034, 15, 4_106));
    }
}
