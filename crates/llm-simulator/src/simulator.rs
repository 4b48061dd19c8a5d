//! What is answered, and what fails: the simulator itself, whatever the protocol.
//!
//! Owns the seed, the profile, the models on offer and how often each question was asked. Must not
//! know a clock, a wire protocol or HTTP.
//!
//! A failure depends on the seed, the question, and the how-manieth time the question is asked: a
//! retry gets a draw of its own and may succeed, and a whole run, started afresh, fails at the same
//! places again. Where one question is asked several times at once, the failures are the same ones,
//! in whichever order they arrive.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::answer::Answer;
use crate::draws::{Draws, Quantity};
use crate::profile::Profile;
use crate::question::{Fingerprint, Question};

/// How many questions are counted; one more, and counting starts afresh. About 20 MiB.
const MOST_QUESTIONS: usize = 250_000;

/// Stands in for a provider.
#[derive(Debug)]
pub struct Simulator {
    seed: u64,
    profile: Profile,
    models: Vec<String>,
    asked: Mutex<HashMap<Fingerprint, u32>>,
}

/// A request drawn to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("simulated failure: the model runner has stopped; ask again")]
pub struct SimulatedFailure;

impl Simulator {
    /// A simulator of these models, which all behave by the same profile.
    #[must_use]
    pub fn new(seed: u64, profile: Profile, models: Vec<String>) -> Self {
        Self { seed, profile, models, asked: Mutex::default() }
    }

    /// The seed of everything drawn.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// How it behaves.
    #[must_use]
    pub const fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The models on offer, as the settings name them.
    #[must_use]
    pub fn models(&self) -> &[String] {
        &self.models
    }

    /// Answers a question.
    ///
    /// # Errors
    /// When this time is drawn to fail.
    pub fn answer(&self, question: &Question) -> Result<Answer, SimulatedFailure> {
        let fingerprint = question.fingerprint(self.seed);
        if self.fails(&fingerprint) {
            return Err(SimulatedFailure);
        }
        Ok(Answer::draw(question, &fingerprint, &self.profile))
    }

    fn fails(&self, fingerprint: &Fingerprint) -> bool {
        // Nothing is counted where nothing can fail.
        if self.profile.error_rate <= 0.0 {
            return false;
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
        Draws::of(fingerprint, Quantity::Failure(nth)).uniform() < self.profile.error_rate
    }
}

#[cfg(test)]
mod tests {
    use statistics::LogNormal;

    use super::Simulator;
    use crate::profile::{Delay, Profile};
    use crate::question::{Question, Turn};

    fn simulator(seed: u64, error_rate: f64) -> Simulator {
        let profile = Profile {
            source: "test".to_owned(),
            first_token: Delay::None,
            gap: Delay::None,
            output_tokens: LogNormal::from_median_and_p95(20.0, 40.0).unwrap(),
            error_rate,
        };
        Simulator::new(seed, profile, vec!["llama3.2".to_owned()])
    }

    fn question(text: &str) -> Question {
        Question {
            turns: vec![Turn { role: "user".to_owned(), text: text.to_owned() }],
            ..Question::default()
        }
    }

    fn failures(simulator: &Simulator) -> Vec<bool> {
        // Ten questions, forty times each, taking turns.
        (0..400).map(|i| simulator.answer(&question(&format!("book {}", i % 10))).is_err()).collect()
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
        let tries: Vec<bool> = (0..20).map(|_| simulator.answer(&question("Dune")).is_err()).collect();
        assert!(tries.contains(&true) && tries.contains(&false), "{tries:?}");
    }

    #[test]
    fn an_answer_does_not_depend_on_failures_before_it() {
        let sure = simulator(1, 0.0).answer(&question("Dune")).unwrap();
        let shaky = simulator(1, 0.5);
        let later = std::iter::repeat_with(|| shaky.answer(&question("Dune"))).find_map(Result::ok);
        assert_eq!(later, Some(sure));
    }
}
