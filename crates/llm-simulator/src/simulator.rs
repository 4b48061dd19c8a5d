//! What is answered, and what fails: the simulator itself, whatever the protocol.
//!
//! Owns the seed, the profile, the models on offer, what is left of their limits, the faults in force
//! and how often each question was asked. Must not know a wire protocol or HTTP.
//!
//! A failure depends on the seed, the question, and the how-manieth time the question is asked: a
//! retry gets a draw of its own and may succeed, and a whole run, started afresh, fails at the same
//! places again. Where one question is asked several times at once, the failures are the same ones,
//! in whichever order they arrive.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::allowance::{self, Allowance, Allowances, ModelLimits, Reserved};
use crate::answer::Answer;
use crate::call::{Call, Protocol};
use crate::draws::{Draws, Quantity};
use crate::failure::{Failure, Trouble};
use crate::faults::{Fault, Faults, InForce};
use crate::models::Models;
use crate::profile::{Failing, Profile, Profiles};
use crate::question::Fingerprint;
use crate::replay::Replay;

/// How many questions are counted; one more, and counting starts afresh. About 20 MiB.
const MOST_QUESTIONS: usize = 250_000;

/// Stands in for a provider.
#[derive(Debug)]
pub struct Simulator {
    seed: u64,
    profiles: Profiles,
    models: Models,
    replay: Option<Replay>,
    limits: Option<Limited>,
    faults: RwLock<Arc<InForce>>,
    asked: Mutex<HashMap<Fingerprint, u32>>,
    under_way: Arc<AtomicUsize>,
}

/// The limits of the models, and what is left of them.
#[derive(Debug)]
struct Limited {
    limits: ModelLimits,
    allowances: Allowances,
    started: Instant,
}

/// What is done with a call.
#[derive(Debug)]
pub struct Decision {
    /// The answer, or why there is none.
    pub outcome: Outcome,
    /// Whether what goes wrong is a fault on purpose, rather than a limit, drawn or recorded.
    pub injected: bool,
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
    },
}

impl Outcome {
    /// What goes wrong, by its short, stable name; `none` where nothing does.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Answer(_, None) => "none",
            Self::Answer(_, Some(trouble)) => trouble.kind(),
            Self::Failure { failure, .. } => failure.kind(),
        }
    }
}

impl From<Failure> for Outcome {
    /// Said at once, but for what is nothing else than waiting.
    fn from(failure: Failure) -> Self {
        let after = if let Failure::Timeout { after } = failure { after } else { Duration::ZERO };
        Self::Failure { failure, after }
    }
}

/// One call under way; dropped, it is over.
#[derive(Debug)]
pub struct Place {
    under_way: Arc<AtomicUsize>,
    /// What it takes of its model's limits.
    reserved: Option<Reserved>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Simulator {
    /// A simulator of these models, without limits and faults.
    #[must_use]
    pub fn new(seed: u64, profiles: Profiles, models: Models) -> Self {
        Self {
            seed,
            profiles,
            models,
            replay: None,
            limits: None,
            faults: RwLock::new(Arc::new(InForce::now(Faults::default()))),
            asked: Mutex::default(),
            under_way: Arc::default(),
        }
    }

    /// Answering what was recorded by its recordings.
    #[must_use]
    pub fn with_replay(self, replay: Replay) -> Self {
        Self { replay: Some(replay), ..self }
    }

    /// With limits, from now on.
    #[must_use]
    pub fn with_limits(mut self, limits: ModelLimits) -> Self {
        let allowances = Allowances::new(&limits, &self.models);
        self.limits = Some(Limited { limits, allowances, started: Instant::now() });
        self
    }

    /// With faults, from now on.
    #[must_use]
    pub fn with_faults(self, faults: Faults) -> Self {
        self.set_faults(faults);
        self
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

    /// The recordings that it answers by, if any.
    #[must_use]
    pub const fn replay(&self) -> Option<&Replay> {
        self.replay.as_ref()
    }

    /// The faults in force.
    #[must_use]
    pub fn faults(&self) -> Arc<InForce> {
        Arc::clone(&self.faults.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts faults in force in place of those before: each call meets the one or the other.
    pub fn set_faults(&self, faults: Faults) -> Arc<InForce> {
        let fresh = Arc::new(InForce::now(faults));
        *self.faults.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&fresh);
        fresh
    }

    /// Decides what is done with a call: first its model's limits have a say, then the faults in
    /// force, then what is to be answered.
    pub fn decide(&self, call: &Call) -> Decision {
        let under_way = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        let mut place = Place { under_way: Arc::clone(&self.under_way), reserved: None };
        let (allowance, admitted) = self.admit(call, &mut place);
        let (outcome, injected) = match admitted {
            Ok(()) => self.outcome(call, under_way),
            Err(failure) => (failure.into(), false),
        };
        if let (Outcome::Answer(answer, _), Some(reserved)) = (&outcome, &mut place.reserved) {
            let usage = answer.usage();
            reserved.uses(usage.input_tokens.saturating_add(usage.output_tokens));
        }
        let allowance = match outcome {
            // So that headers do not contradict the status.
            Outcome::Failure { failure: Failure::RateLimited { retry_after }, .. } if injected => {
                allowance.map(|allowance| allowance.used_up(retry_after))
            }
            _ => allowance,
        };
        Decision { outcome, injected, allowance, place }
    }

    /// Whether the limits of its model let a call in, and what is left of them.
    fn admit(&self, call: &Call, place: &mut Place) -> (Option<Allowance>, Result<(), Failure>) {
        let Some(Limited { limits, allowances, started }) = &self.limits else { return (None, Ok(())) };
        let most = limits.context_tokens;
        let tokens = call.question.input_tokens_within(most);
        let fits = tokens <= most || cuts_questions(call.protocol);
        let needed = if fits { allowance::needed(&call.question, tokens.min(most)) } else { 0 };
        let (allowance, taken) = allowances.take(&call.question.model, needed, started.elapsed());
        let admitted = match taken {
            Err(retry_after) => Err(Failure::RateLimited { retry_after }),
            Ok(_) if !fits => Err(Failure::ContextLength { tokens, most }),
            Ok(reserved) => {
                place.reserved = Some(reserved);
                Ok(())
            }
        };
        (Some(allowance), admitted)
    }

    /// What becomes of a call that was let in, and whether that is a fault on purpose.
    fn outcome(&self, call: &Call, under_way: usize) -> (Outcome, bool) {
        let faults = self.faults();
        let fingerprint = call.question.fingerprint(self.seed);
        let profile = self.profiles.of(&call.question.model);
        // Nothing is counted where nothing is drawn.
        let drawn = profile.error_rate() > 0.0 || faults.faults().are_drawn();
        let nth = if drawn { self.asked_before(&fingerprint) } else { 0 };
        let draw = |rule| Draws::of(&fingerprint, Quantity::Fault { nth, rule }).uniform();
        match faults.pick(call, faults.elapsed(), draw) {
            Some(Fault::Failure(failure)) => (failure.into(), true),
            Some(Fault::Trouble(trouble)) => {
                match self.respond(call, &fingerprint, profile, nth, under_way) {
                    Outcome::Answer(answer, _) => (Outcome::Answer(answer, Some(trouble)), true),
                    failure @ Outcome::Failure { .. } => (failure, false),
                }
            }
            None => (self.respond(call, &fingerprint, profile, nth, under_way), false),
        }
    }

    /// What a call gets that nothing is done to on purpose.
    fn respond(
        &self,
        call: &Call,
        fingerprint: &Fingerprint,
        profile: &Profile,
        nth: u32,
        under_way: usize,
    ) -> Outcome {
        if let Some(played) = self.replay.as_ref().and_then(|replay| replay.outcome(&call.question)) {
            return played;
        }
        let cut_short = match failing(fingerprint, nth, profile, under_way) {
            Some(Failing::Refused { failure, after }) => return Outcome::Failure { failure, after },
            Some(Failing::CutShort { share }) => Some(share),
            None => None,
        };
        let mut answer = Answer::draw(&call.question, fingerprint, profile, under_way);
        if let Some(limited) = &self.limits
            && cuts_questions(call.protocol)
        {
            answer = answer.reading_at_most(limited.limits.context_tokens);
        }
        let trouble = cut_short.map(|share| Trouble::Cut { after: answer.chunks_before(share) });
        Outcome::Answer(answer, trouble)
    }

    /// How often a question was asked before.
    fn asked_before(&self, fingerprint: &Fingerprint) -> u32 {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() >= MOST_QUESTIONS && !asked.contains_key(fingerprint) {
            asked.clear();
        }
        let times = asked.entry(*fingerprint).or_default();
        let nth = *times;
        *times = times.wrapping_add(1);
        nth
    }
}

/// How a question fails by its profile, the n-th time it is asked.
fn failing(fingerprint: &Fingerprint, nth: u32, profile: &Profile, under_way: usize) -> Option<Failing> {
    if profile.error_rate() <= 0.0 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53 calls are under way")]
    let under_way = under_way as f64;
    profile.errors.draw(&mut Draws::of(fingerprint, Quantity::Failure(nth)), under_way)
}

/// Whether a provider cuts a question that is too long, and says nothing; others refuse it.
fn cuts_questions(protocol: Protocol) -> bool {
    protocol == Protocol::Ollama
}

#[cfg(test)]
mod tests {
    use super::{Decision, Outcome, Simulator};
    use crate::allowance::ModelLimits;
    use crate::answer::Answer;
    use crate::call::{Call, Protocol};
    use crate::failure::Failure;
    use crate::faults::Faults;
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

    fn call(text: &str) -> Call {
        Call {
            protocol: Protocol::Ollama,
            route: "/api/chat",
            question: question(text),
            stream: false,
            tenant: None,
        }
    }

    fn decide(simulator: &Simulator, text: &str) -> Decision {
        simulator.decide(&call(text))
    }

    fn answer(simulator: &Simulator, text: &str) -> Option<Answer> {
        match decide(simulator, text).outcome {
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

    #[test]
    fn faults_have_the_rate_asked_for_and_repeat_with_the_run() {
        let faults = r#"{"rules": [{"kind": "overloaded", "rate": 0.3}, {"kind": "refusal", "rate": 0.2}]}"#;
        let run = |seed| {
            let simulator = simulator(seed, 0.0).with_faults(Faults::from_json(faults).unwrap());
            let kinds: Vec<_> =
                (0..1_000).map(|i| decide(&simulator, &format!("book {}", i % 10)).outcome.kind()).collect();
            let counted: Vec<_> = simulator.faults().counted().collect();
            (kinds, counted)
        };
        let (kinds, counted) = run(1);
        let count = |wanted| kinds.iter().filter(|kind| **kind == wanted).count() as u64;
        assert!((250..350).contains(&count("overloaded")), "{}", count("overloaded"));
        // Of the seven tenths that get so far.
        assert!((100..180).contains(&count("refusal")), "{}", count("refusal"));
        assert_eq!((counted[0].matched, counted[0].applied), (1_000, count("overloaded")));
        assert_eq!((counted[1].matched, counted[1].applied), (1_000 - count("overloaded"), count("refusal")));
        assert_eq!((kinds, counted), run(1));
        assert_ne!(run(1).0, run(2).0);
    }

    #[test]
    fn a_fault_does_not_change_what_is_answered_nor_what_the_profile_lets_fail() {
        let faults = Faults::from_json(r#"{"rules": [{"kind": "cut", "rate": 0.5}]}"#).unwrap();
        let (plain, faulty) = (simulator(1, 0.3), simulator(1, 0.3).with_faults(faults));
        let mut cut = 0;
        for i in 0..200 {
            let text = format!("book {}", i % 10);
            match (decide(&plain, &text).outcome, decide(&faulty, &text)) {
                (
                    Outcome::Answer(one, _),
                    Decision { outcome: Outcome::Answer(two, trouble), injected, .. },
                ) => {
                    assert_eq!((one, injected), (two, trouble.is_some()));
                    cut += usize::from(injected);
                }
                (one, two) => assert_eq!((one, false), (two.outcome, two.injected)),
            }
        }
        assert!((40..100).contains(&cut), "{cut}");
    }

    #[test]
    fn limits_come_before_faults_and_say_what_is_left() {
        let limits = ModelLimits { requests_per_minute: 2, tokens_per_minute: 10_000, context_tokens: 50 };
        let faults = Faults::from_json(r#"{"rules": [{"kind": "overloaded"}]}"#).unwrap();
        let limited = simulator(1, 0.0).with_limits(limits).with_faults(faults);
        let decisions: Vec<_> = (0..3).map(|_| decide(&limited, "Dune")).collect();
        let kinds: Vec<_> = decisions.iter().map(|one| (one.outcome.kind(), one.injected)).collect();
        assert_eq!(kinds, [("overloaded", true), ("overloaded", true), ("rate_limited", false)]);
        let left: Vec<_> = decisions.iter().map(|one| one.allowance.unwrap().requests.remaining).collect();
        assert_eq!(left, [1, 0, 0]);
        let Outcome::Failure { failure: Failure::RateLimited { retry_after }, .. } = decisions[2].outcome
        else {
            panic!("{:?}", decisions[2]);
        };
        assert!((20..=30).contains(&retry_after.as_secs()), "{retry_after:?}");
        drop(decisions);
        assert_eq!(limited.faults().counted().next().unwrap().applied, 2);
    }

    #[test]
    fn a_rate_limit_on_purpose_leaves_no_request() {
        let limits = ModelLimits { requests_per_minute: 9, tokens_per_minute: 10_000, context_tokens: 50 };
        let faults = r#"{"rules": [{"kind": "rate_limited", "retry_after_seconds": 50}]}"#;
        let limited = simulator(1, 0.0).with_limits(limits).with_faults(Faults::from_json(faults).unwrap());
        let left = decide(&limited, "Dune").allowance.unwrap().requests;
        assert_eq!((left.limit, left.remaining, left.reset.as_secs()), (9, 0, 50));
        limited.set_faults(Faults::default());
        assert_eq!(decide(&limited, "Dune").allowance.unwrap().requests.remaining, 7);
    }

    #[test]
    fn what_an_answer_did_not_need_goes_back_once_it_is_over() {
        let limits = ModelLimits { requests_per_minute: 100, tokens_per_minute: 10_000, context_tokens: 50 };
        let limited = simulator(1, 0.0).with_limits(limits);
        let first = decide(&limited, "Dune");
        assert!(first.allowance.unwrap().tokens.remaining <= 10_000 - 1_024);
        drop(first);
        let (second, third) = (decide(&limited, "Dune"), decide(&limited, "Dune"));
        assert!(second.allowance.unwrap().tokens.remaining > 8_500, "{second:?}");
        assert!(third.allowance.unwrap().tokens.remaining < 8_500, "{third:?}");
    }

    #[test]
    fn a_question_too_long_is_refused_and_by_ollama_cut() {
        let limits = ModelLimits { requests_per_minute: 9, tokens_per_minute: 10_000, context_tokens: 20 };
        let limited = simulator(1, 0.0).with_limits(limits);
        let long = "word ".repeat(200);
        for protocol in Protocol::ALL {
            let asked = Call { protocol, ..call(&long) };
            match limited.decide(&asked).outcome {
                Outcome::Answer(answer, None) => {
                    assert_eq!((protocol, answer.usage().input_tokens), (Protocol::Ollama, 20));
                }
                Outcome::Failure { failure: Failure::ContextLength { tokens, most: 20 }, .. } => {
                    assert!(protocol != Protocol::Ollama && tokens >= 200, "{protocol:?} {tokens}");
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(decide(&limited, "Dune").outcome.kind(), "none");
    }

    #[test]
    fn faults_change_for_all_calls_at_once() {
        let simulator = simulator(1, 0.0);
        let (cut, refusal) = (r#"{"kind": "cut"}"#, r#"{"kind": "refusal"}"#);
        let read = |rule| Faults::from_json(&format!(r#"{{"rules": [{rule}]}}"#)).unwrap();
        simulator.set_faults(read(cut));
        let before = simulator.faults();
        assert_eq!(decide(&simulator, "Dune").outcome.kind(), "cut");
        simulator.set_faults(read(refusal));
        assert_eq!(decide(&simulator, "Dune").outcome.kind(), "refusal");
        assert_eq!(before.counted().next().unwrap().applied, 1);
        assert_eq!(simulator.faults().counted().next().unwrap().applied, 1);
        simulator.set_faults(Faults::default());
        assert_eq!(decide(&simulator, "Dune").outcome.kind(), "none");
    }
}
