//! What is answered, and what fails: the simulator itself, whatever the protocol.
//!
//! Owns the seed, the profile, the models on offer and how often each question was asked. Must not
//! know a wire protocol or HTTP.
//!
//! A failure depends on the seed, the question, and the how-manieth time the question is asked: a
//! retry gets a draw of its own and may succeed, and a whole run, started afresh, fails at the same
//! places again. Where one question is asked several times at once, the failures are the same ones,
//! in whichever order they arrive.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::allowance::Allowance;
use crate::answer::Answer;
use crate::call::Call;
use crate::draws::{Draws, Quantity};
use crate::failure::{Failure, Trouble};
use crate::models::Models;
use crate::profile::{Failing, Profile, Profiles};
use crate::question::Fingerprint;

/// How many questions are counted; one more, and counting starts afresh. About 20 MiB.
const MOST_QUESTIONS: usize = 250_000;

/// Stands in for a provider.
#[derive(Debug)]
pub struct Simulator {
    seed: u64,
    profiles: Profiles,
    models: Models,
    asked: Mutex<HashMap<Fingerprint, u32>>,
    under_way: Arc<AtomicUsize>,
}

/// What is done with a call.
#[derive(Debug)]
pub struct Decision {
    /// The answer, or why there is none.
    pub outcome: Outcome,
    /// What is left of the model's limits, where it has any.
    pub allowance: Option<Allowance>,
    /// Held while the call is under way.
    pub place: Place,
}

/// The answer, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer, and what is to go wrong with it.
    Answer(Answer, Option<Trouble>),
    /// No answer.
    Failure {
        /// Why.
        failure: Failure,
        /// How long after the request this is said.
        after: Duration,
        /// Whether a fault was injected, rather than drawn from the profile or recorded.
        injected: bool,
    },
}

/// One call under way; dropped, it is over.
#[derive(Debug)]
pub struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Simulator {
    /// A simulator of these models.
    #[must_use]
    pub fn new(seed: u64, profiles: Profiles, models: Models) -> Self {
        Self { seed, profiles, models, asked: Mutex::default(), under_way: Arc::default() }
    }

    /// The seed of everything drawn.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// How its models behave.
    #[must_use]
    pub const fn profiles(&self) -> &Profiles {
        &self.profiles
    }

    /// The models on offer.
    #[must_use]
    pub const fn models(&self) -> &Models {
        &self.models
    }

    /// Decides what is done with a call.
    pub fn decide(&self, call: &Call) -> Decision {
        let under_way = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        let place = Place(Arc::clone(&self.under_way));
        let fingerprint = call.question.fingerprint(self.seed);
        let profile = self.profiles.of(&call.question.model);
        let answer = || Answer::draw(&call.question, &fingerprint, profile, under_way);
        let outcome = match self.failing(&fingerprint, profile, under_way) {
            None => Outcome::Answer(answer(), None),
            Some(Failing::Refused { failure, after }) => Outcome::Failure { failure, after, injected: false },
            Some(Failing::CutShort { share }) => {
                let answer = answer();
                let after = answer.chunks_before(share);
                Outcome::Answer(answer, Some(Trouble::Cut { after }))
            }
        };
        Decision { outcome, allowance: None, place }
    }

    fn failing(&self, fingerprint: &Fingerprint, profile: &Profile, under_way: usize) -> Option<Failing> {
        // Nothing is counted where nothing can fail.
        if profile.error_rate() <= 0.0 {
            return None;
        }
        let nth = {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            if asked.len() >= MOST_QUESTIONS && !asked.contains_key(fingerprint) {
                asked.clear();
            }
            let times = asked.entry(*fingerprint).or_default();
            let nth = *times;
            *times = times.wrapping_add(1);
            nth
        };
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53 calls are under way")]
        let under_way = under_way as f64;
        profile.errors.draw(&mut Draws::of(fingerprint, Quantity::Failure(nth)), under_way)
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Simulator};
    use crate::answer::Answer;
    use crate::call::{Call, Protocol};
    use crate::models::Models;
    use crate::profile::{Profile, Profiles};
    use crate::question::{Question, Turn};

    fn simulator(seed: u64, error_rate: f64) -> Simulator {
        let profile = Profile::log_normal("test", (0.0, 0.0), (0.0, 0.0), (20.0, 40.0))
            .unwrap()
            .with_error_rate(error_rate);
        Simulator::new(seed, Profiles::all(profile), Models::new(["llama3.2"]))
    }

    fn question(text: &str) -> Question {
        Question {
            turns: vec![Turn { role: "user".to_owned(), text: text.to_owned() }],
            ..Question::default()
        }
    }

    fn answer(simulator: &Simulator, text: &str) -> Option<Answer> {
        let call = Call {
            protocol: Protocol::Ollama,
            route: "/api/chat",
            question: question(text),
            stream: false,
            tenant: None,
        };
        match simulator.decide(&call).outcome {
            Outcome::Answer(answer, None) => Some(answer),
            _ => None,
        }
    }

    fn failures(simulator: &Simulator) -> Vec<bool> {
        // Ten questions, forty times each, taking turns.
        (0..400).map(|i| answer(simulator, &format!("book {}", i % 10)).is_none()).collect()
    }

    #[test]
    fn failures_have_the_rate_asked_for_and_repeat_with_the_run() {
        let first = failures(&simulator(1, 0.3));
        let share = first.iter().filter(|failed| **failed).count() as f64 / 400.0;
        assert!((0.23..0.37).contains(&share), "{share}");
        assert_eq!(first, failures(&simulator(1, 0.3)));
        assert_ne!(first, failures(&simulator(2, 0.3)));
        assert!(failures(&simulator(1, 1.0)).iter().all(|failed| *failed));
        assert!(failures(&simulator(1, 0.0)).iter().all(|failed| !failed));
    }

    #[test]
    fn a_retry_gets_a_draw_of_its_own() {
        let simulator = simulator(1, 0.5);
        let tries: Vec<bool> = (0..20).map(|_| answer(&simulator, "Dune").is_none()).collect();
        assert!(tries.contains(&true) && tries.contains(&false), "{tries:?}");
    }

    #[test]
    fn an_answer_does_not_depend_on_failures_before_it() {
        let sure = answer(&simulator(1, 0.0), "Dune").unwrap();
        let shaky = simulator(1, 0.5);
        let later = std::iter::repeat_with(|| answer(&shaky, "Dune")).flatten().next();
        assert_eq!(later, Some(sure));
    }
}
