//! The wrappers together: what holds whatever providers do.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures::StreamExt;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use telemetry::Metrics;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, sleep};

use super::Resilient;
use crate::script::{Act, Scripted, request};
use crate::{
    Attempt, Backoff, BreakerState, Chunk, CompletionStream, ErrorKind, LlmProvider, Prices, ProviderName,
    Request,
};

const NAMES: [ProviderName; 3] = [ProviderName::Claude, ProviderName::OpenAi, ProviderName::Ollama];
const LIMIT: Duration = Duration::from_secs(50);
/// A timer's coarseness.
const TICK: Duration = Duration::from_millis(2);

fn resilient(provider: Arc<Scripted>) -> Resilient {
    counted(provider, &Metrics::unregistered())
}

fn counted(provider: Arc<Scripted>, metrics: &Metrics) -> Resilient {
    let prices = Arc::new(Prices::shipped().unwrap());
    Resilient::new(provider, metrics.clone(), prices, LIMIT, Backoff::default())
}

/// Providers with these scripts in a row, none of which may be asked while its breaker is open.
fn row(scripts: &[Vec<Act>], otherwise: &Act) -> (Arc<dyn LlmProvider>, Vec<Arc<Scripted>>, Vec<Resilient>) {
    let (mut providers, mut all) = (Vec::new(), Vec::new());
    for (script, name) in scripts.iter().zip(NAMES) {
        let own: Arc<OnceLock<Resilient>> = Arc::default();
        let health = Arc::clone(&own);
        let acts: Mutex<std::vec::IntoIter<Act>> = Mutex::new(script.clone().into_iter());
        let otherwise = otherwise.clone();
        let provider =
            Scripted::choosing(move || acts.lock().unwrap().next().unwrap_or_else(|| otherwise.clone()))
                .named(name)
                .observed()
                .expecting(move || {
                    let state = health.get().map(|own| own.health().state);
                    assert_ne!(state, Some(BreakerState::Open), "asked although its breaker is open");
                });
        let provider = Arc::new(provider);
        let resilient = resilient(Arc::clone(&provider));
        own.set(resilient.clone()).ok().unwrap();
        providers.push(provider);
        all.push(resilient);
    }
    (all[0].or(&all[1..]), providers, all)
}

fn paused() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// What a reader of an answer has to find, however often it begins anew.
#[derive(Default)]
struct Reader {
    attempt: Option<u32>,
    words: u32,
    ended: bool,
}

impl Reader {
    fn read(&mut self, chunk: &Chunk) -> TestCaseResult {
        prop_assert!(!self.ended, "{chunk:?} after the end");
        match chunk {
            Chunk::Begun(begun) => {
                let attempt = begun.request_id.as_deref().unwrap().parse().unwrap();
                prop_assert!(self.attempt < Some(attempt), "attempt {attempt} after {:?}", self.attempt);
                (self.attempt, self.words) = (Some(attempt), 0);
            }
            Chunk::Text(text) => {
                prop_assert!(self.attempt.is_some(), "text before a beginning");
                let expected = format!("{}.{} ", self.attempt.unwrap(), self.words);
                prop_assert_eq!(text, &expected);
                self.words += 1;
            }
            Chunk::End(_) => self.ended = true,
        }
        Ok(())
    }
}

/// Reads to the end, or until so many chunks have been read.
async fn read(stream: &mut CompletionStream, most: usize) -> TestCaseResult {
    let mut reader = Reader::default();
    for _ in 0..most {
        match stream.next().await {
            Some(Ok(chunk)) => reader.read(&chunk)?,
            Some(Err(_)) => {
                prop_assert!(stream.next().await.is_none(), "something after a failure");
                return Ok(());
            }
            None => {
                prop_assert!(reader.ended, "an answer without an end");
                return Ok(());
            }
        }
    }
    Ok(())
}

/// What each provider's failures have to mean for the attempts after them.
fn check(attempts: &[Attempt]) -> TestCaseResult {
    for (index, attempt) in attempts.iter().enumerate() {
        prop_assert_eq!(attempt.number as usize, index + 1);
        let after = &attempts[index + 1..];
        match attempt.error {
            None | Some("refused" | "cancelled") => prop_assert!(after.is_empty(), "{attempts:?}"),
            Some("unauthorized" | "context_too_long" | "bad_request" | "not_admitted") => {
                let again = after.iter().any(|after| after.provider == attempt.provider);
                prop_assert!(!again, "{attempts:?}");
            }
            Some(_) => {}
        }
    }
    let order = attempts.iter().map(|attempt| NAMES.iter().position(|name| *name == attempt.provider));
    prop_assert!(order.is_sorted(), "{attempts:?}");
    Ok(())
}

fn kinds() -> impl Strategy<Value = ErrorKind> {
    // Those that are tried again more often, so that the paths are long.
    prop_oneof![
        4 => prop::sample::select(vec![
            ErrorKind::RateLimited,
            ErrorKind::Overloaded,
            ErrorKind::Unavailable,
            ErrorKind::BadAnswer,
            ErrorKind::Timeout,
        ]),
        1 => prop::sample::select(vec![
            ErrorKind::Unauthorized,
            ErrorKind::Refused,
            ErrorKind::ContextTooLong,
            ErrorKind::BadRequest,
            ErrorKind::NotAdmitted,
        ]),
    ]
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        1 => Just(Act::Answer),
        4 => (kinds(), prop::option::of(0_u64..90_000))
            .prop_map(|(kind, wait)| Act::Fail(kind, wait.map(Duration::from_millis))),
        3 => (0_u32..4, kinds()).prop_map(|(words, kind)| Act::Break(words, kind)),
        1 => Just(Act::Hang),
        1 => (0_u32..4).prop_map(Act::StallAfter),
        1 => (0_u64..9_000, 0_u32..20)
            .prop_map(|(pause, words)| Act::Drip(Duration::from_millis(pause), words)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_providers_do_the_bounds_hold(
        scripts in vec(vec(acts(), 0..12), 1..4),
        otherwise in acts(),
        requests in vec((1_u32..6, 0_u64..70, 0_u64..20_000, prop_oneof![3 => Just(usize::MAX), 1 => 0_usize..6]), 1..8),
    ) {
        paused().block_on(async move {
            let (provider, scripted, _) = row(&scripts, &otherwise);
            for (attempts, seconds, pause, most) in requests {
                let before: usize = scripted.iter().map(|provider| provider.seen().len()).sum();
                let request = request(attempts, seconds);
                let (started, end) = (Instant::now(), request.deadline);
                if let Ok(mut stream) = provider.call(&request).await {
                    read(&mut stream, most).await?;
                }
                prop_assert!(Instant::now() <= end.min(started + LIMIT) + TICK, "late: {:?}", started.elapsed());
                let after: usize = scripted.iter().map(|provider| provider.seen().len()).sum();
                prop_assert!(after - before <= attempts as usize);
                prop_assert!(scripted.iter().all(|provider| provider.under_way() == 0), "still under way");
                let made = request.trail.attempts();
                prop_assert_eq!(made.len(), after - before, "{:?}", made);
                check(&made)?;
                sleep(Duration::from_millis(pause)).await;
            }
            Ok(())
        })?;
    }
}

/// Half of the first provider's calls fail, in all the ways that there are to fail.
fn half(seed: u64) -> impl Fn() -> Act {
    let dice = Mutex::new(SmallRng::seed_from_u64(seed));
    move || {
        let mut dice = dice.lock().unwrap();
        if dice.random_bool(0.5) {
            return Act::Drip(Duration::from_millis(dice.random_range(1..200)), 5);
        }
        match dice.random_range(0..8) {
            0 => Act::Fail(ErrorKind::RateLimited, Some(Duration::from_secs(dice.random_range(1..60)))),
            1 => Act::Fail(ErrorKind::Overloaded, None),
            2 => Act::Fail(ErrorKind::Unavailable, None),
            3 => Act::Fail(ErrorKind::Unauthorized, None),
            4 => Act::Break(dice.random_range(0..5), ErrorKind::BadAnswer),
            5 => Act::Break(dice.random_range(0..5), ErrorKind::Overloaded),
            6 => Act::StallAfter(dice.random_range(0..5)),
            _ => Act::Hang,
        }
    }
}

async fn answered(provider: Arc<dyn LlmProvider>, request: Request) -> bool {
    let end = request.deadline;
    let answer = crate::complete(&*provider, &request).await;
    assert!(Instant::now() <= end + TICK, "late");
    assert!(request.trail.begun() <= 3, "more attempts than allowed");
    answer.is_ok()
}

/// 10,000 requests, 20 a second, in time that only seems to pass.
#[test]
fn half_of_the_calls_failing_and_a_healthy_fallback_answers_999_of_1000() {
    const REQUESTS: usize = 10_000;
    for attempts in [2, 3] {
        let answers = paused().block_on(async {
            let first = Arc::new(Scripted::choosing(half(7)).observed());
            let second =
                Scripted::choosing(|| Act::Drip(Duration::from_millis(50), 5)).named(NAMES[1]).observed();
            let (first, second) = (resilient(first), resilient(Arc::new(second)));
            let provider = first.or(&[second]);
            let mut asked = tokio::task::JoinSet::new();
            for _ in 0..REQUESTS {
                asked.spawn(answered(Arc::clone(&provider), request(attempts, 20)));
                sleep(Duration::from_millis(50)).await;
            }
            asked.join_all().await
        });
        let good = answers.iter().filter(|good| **good).count();
        println!("with {attempts} attempts, {good} of {REQUESTS} were answered");
        assert!(good * 1_000 >= REQUESTS * 999, "{good} of {REQUESTS} with {attempts} attempts");
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_down_is_asked_a_few_times_and_then_left_alone() {
    let down = Arc::new(Scripted::choosing(|| Act::Fail(ErrorKind::Unavailable, None)).observed());
    let well = Arc::new(Scripted::choosing(|| Act::Answer).named(NAMES[1]).observed());
    let (first, second) = (resilient(Arc::clone(&down)), resilient(Arc::clone(&well)));
    let provider = first.or(std::slice::from_ref(&second));
    for _ in 0..1_000 {
        assert!(answered(Arc::clone(&provider), request(3, 20)).await);
        sleep(Duration::from_millis(10)).await;
    }
    // Ten failures opened it; then one probe after 10 s at most.
    assert!(down.seen().len() <= 11, "{}", down.seen().len());
    assert_eq!(well.seen().len(), 1_000);
    assert_eq!(first.alone().name(), ProviderName::Claude);
    assert!(crate::complete(&*first.alone(), &request(3, 20)).await.is_err());
    assert_eq!((first.health().state, second.health().state), (BreakerState::Open, BreakerState::Closed));
}

/// Also while its breaker keeps a provider from being asked at all.
#[tokio::test(start_paused = true)]
async fn every_request_that_goes_on_to_another_provider_is_counted() {
    let metrics = Metrics::unregistered();
    let down = Arc::new(Scripted::choosing(|| Act::Fail(ErrorKind::Overloaded, None)).observed());
    let well = Arc::new(Scripted::choosing(|| Act::Answer).named(NAMES[1]).observed());
    let (first, second) = (counted(down, &metrics), counted(well, &metrics));
    let provider = first.or(&[second]);
    for _ in 0..30 {
        assert!(answered(Arc::clone(&provider), request(3, 20)).await);
    }
    assert_eq!(first.health().state, BreakerState::Open);
    let shown = metrics.render();
    let count = |reason: &str| -> u32 {
        let line =
            format!(r#"bookstore_llm_fallbacks_total{{from="claude",reason="{reason}",to="openai"}} "#);
        let value = shown.lines().find_map(|shown| shown.strip_prefix(&line));
        value.unwrap_or_else(|| panic!("{line} is missing in\n{shown}")).parse().unwrap()
    };
    // Before the breaker opened, and after.
    assert_eq!(count("overloaded") + count("unavailable"), 30, "{shown}");
}
