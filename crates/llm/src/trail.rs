//! What a request may use up, and what became of each of its attempts.
//!
//! Owns the attempts and the port through which they are let in. Knows no tenant and no budget:
//! those are the business of whoever implements [`Gate`].

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::time::Instant;

use crate::{Cost, LlmError, ProviderName, TokenUsage};

/// An attempt that is about to be made, with the most that it can use up.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Which attempt of its request, from 1.
    pub number: u32,
    /// Whom it asks.
    pub provider: ProviderName,
    /// Which model.
    pub model: String,
    /// Upper bound of tokens of the prompt.
    pub most_input_tokens: u64,
    /// Upper bound of tokens of the answer.
    pub most_output_tokens: u64,
    /// Upper bound of dollars: `billed` if it is no simulator that answers, `list` in any case.
    pub most_cost: Cost,
}

/// An attempt that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Which attempt of its request, from 1.
    pub number: u32,
    /// Who was asked.
    pub provider: ProviderName,
    /// Which model was asked.
    pub model: String,
    /// The model that answered, if any did.
    pub response_model: Option<String>,
    /// Whether a simulator answered.
    pub simulated: bool,
    /// Why it failed: the kind of the [`LlmError`], or `cancelled` when its caller went away.
    pub error: Option<&'static str>,
    /// The provider's own id of the call.
    pub request_id: Option<String>,
    /// Tokens, reported or estimated; absent when the provider refused before it did anything.
    pub usage: Option<TokenUsage>,
    /// Dollars: zero when the provider refused before it did anything.
    pub cost: Cost,
    /// From sending the request to the end of the answer.
    pub latency: Duration,
    /// From sending the request to the first piece of text.
    pub first_chunk: Option<Duration>,
}

/// Why a gate did not let an attempt in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A limit is used up. Its names are those of whoever set it.
    Limit {
        /// For whom it holds.
        scope: &'static str,
        /// What it limits, and so the unit of the figures: billionths of a dollar, tokens, calls.
        kind: &'static str,
        /// The limit.
        limit: u64,
        /// What is left of it.
        left: u64,
        /// When it is whole again.
        resets_at: SystemTime,
    },
    /// What was used up so far cannot be found out now.
    Unknown,
}

/// Who lets attempts in.
#[async_trait]
pub trait Gate: Send + Sync {
    /// Lets an attempt in, or refuses it with [`crate::ErrorKind::NotAdmitted`]. Whoever is let in is
    /// settled exactly once. An attempt is let in when this future is done: what is set aside for one
    /// whose future is dropped before is given back by the gate itself, for nobody settles it.
    async fn admit(&self, plan: &Plan) -> Result<(), LlmError>;

    /// An attempt that was let in has ended, was given up or dropped. Must not block.
    fn settle(&self, attempt: &Attempt);
}

/// Lets everything in.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenGate;

#[async_trait]
impl Gate for OpenGate {
    async fn admit(&self, _plan: &Plan) -> Result<(), LlmError> {
        Ok(())
    }

    fn settle(&self, _attempt: &Attempt) {}
}

/// The attempts of one request. Cheap to clone; clones are the same trail.
#[derive(Clone)]
pub struct Trail {
    inner: Arc<Inner>,
    /// Attempts that whoever holds this clone leaves to the providers that come after.
    spared: u32,
    /// When an answer has to have begun, for whoever holds this clone.
    due: Option<Instant>,
}

struct Inner {
    budget: u32,
    begun: AtomicU32,
    made: Mutex<Vec<Attempt>>,
    gate: Arc<dyn Gate>,
}

impl Trail {
    /// A trail of at most `budget` attempts, each let in by `gate`.
    #[must_use]
    pub fn new(budget: u32, gate: Arc<dyn Gate>) -> Self {
        let inner = Inner { budget, begun: AtomicU32::new(0), made: Mutex::default(), gate };
        Self { inner: Arc::new(inner), spared: 0, due: None }
    }

    /// A trail of at most `budget` attempts, all of which are let in.
    #[must_use]
    pub fn open(budget: u32) -> Self {
        Self::new(budget, Arc::new(OpenGate))
    }

    /// The same trail, for one provider of several: it leaves `attempts` to those that come after it.
    #[must_use]
    pub fn sparing(&self, attempts: u32) -> Self {
        Self { inner: Arc::clone(&self.inner), spared: attempts, due: self.due }
    }

    /// The same trail, for a call that is given up where its answer has not begun by `due`.
    #[must_use]
    pub(crate) fn answered_by(&self, due: Instant) -> Self {
        Self { inner: Arc::clone(&self.inner), spared: self.spared, due: Some(due) }
    }

    /// When an answer has to have begun; what is given up then was late, and not cancelled.
    pub(crate) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// How many attempts have begun.
    #[must_use]
    pub fn begun(&self) -> u32 {
        self.inner.begun.load(Ordering::Acquire)
    }

    /// How many attempts are left, those that are spared for others among them.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.inner.budget.saturating_sub(self.begun())
    }

    /// How many of the attempts left are for the providers that come after this one.
    #[must_use]
    pub fn spared(&self) -> u32 {
        self.spared.min(self.left())
    }

    /// Whether another attempt may be made here.
    #[must_use]
    pub fn has_budget(&self) -> bool {
        self.left() > self.spared
    }

    /// Takes one attempt of the budget, a spared one too: its number, from 1. None when it is used up.
    #[must_use]
    pub fn take(&self) -> Option<u32> {
        let next = |begun: u32| (begun < self.inner.budget).then_some(begun + 1);
        self.inner.begun.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).ok().map(|begun| begun + 1)
    }

    /// Gives back the attempt of this number, the latest, which was not made after all.
    pub fn give_back(&self, number: u32) {
        let before = number.saturating_sub(1);
        // Where another one was taken meanwhile, numbers stay what they are.
        let _ = self.inner.begun.compare_exchange(number, before, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Who lets attempts in.
    #[must_use]
    pub fn gate(&self) -> &Arc<dyn Gate> {
        &self.inner.gate
    }

    /// Writes an attempt down that has ended, and tells the gate.
    pub fn record(&self, attempt: Attempt) {
        self.inner.gate.settle(&attempt);
        self.inner.made.lock().unwrap_or_else(PoisonError::into_inner).push(attempt);
    }

    /// Who failed last, and how: what made another attempt necessary.
    #[must_use]
    pub fn last_failure(&self) -> Option<(ProviderName, &'static str)> {
        let made = self.inner.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.last().and_then(|attempt| Some((attempt.provider, attempt.error?)))
    }

    /// The attempts that have ended, in the order in which they did.
    #[must_use]
    pub fn attempts(&self) -> Vec<Attempt> {
        self.inner.made.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Trail {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Trail").field(&self.attempts()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Trail;

    #[test]
    fn a_budget_is_used_up_and_no_more() {
        let trail = Trail::open(2);
        let other = trail.clone();
        assert_eq!((trail.take(), other.take(), trail.take()), (Some(1), Some(2), None));
        assert!(!trail.has_budget());
    }

    #[test]
    fn the_latest_attempt_can_be_given_back() {
        let trail = Trail::open(2);
        assert_eq!((trail.take(), trail.take()), (Some(1), Some(2)));
        trail.give_back(1);
        assert_eq!(trail.begun(), 2, "it is not the latest");
        trail.give_back(2);
        assert_eq!((trail.begun(), trail.take(), trail.take()), (1, Some(2), None));
    }

    #[test]
    fn what_is_spared_is_left_to_others() {
        let trail = Trail::open(3);
        let first = trail.sparing(1);
        assert!(first.take().is_some() && first.has_budget());
        assert!(first.take().is_some() && !first.has_budget());
        assert_eq!((first.left(), first.spared(), trail.has_budget()), (1, 1, true));
        assert_eq!((trail.take(), trail.left(), first.spared()), (Some(3), 0, 0));
    }
}
