//! llm-simulator over HTTP: each protocol complete and streamed, and each of its faults.
//!
//! All faults are in force at once, each for models of its own (`cut-…` for `cut`), so that tests do not
//! disturb one another; the simulator must have any model on offer.

use std::time::Duration;

use futures::StreamExt;
use llm::{Chunk, Completion, Deadline, Delivery, ErrorKind, LlmError, StopReason, TokenUsage, complete};
use serde_json::json;
use tokio::time::Instant;

use crate::contract::{Boxed, DELIVERIES, PATIENCE};
use crate::real::{provider, question, setting};
use crate::wire::{Wire, tokens};

/// Makes the tests of a provider against the simulator at `LLM_SIMULATOR_URL`, in a module of its own:
/// `against_simulator!(WIRE, ErrorKind::Refused);`, with what a refusal of content becomes.
macro_rules! against_simulator {
    ($wire:expr, $refusal:expr) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn faults_are_told_for_what_they_are() {
            $crate::simulator::faults_are_told_for_what_they_are(&$wire, $refusal).await;
        }

        $crate::simulator::against_simulator!($wire =>
            an_answer_is_the_same_whole_and_streamed,
            the_longest_answer_allowed_is_kept_to,
            dropping_an_answer_ends_the_call,
        );
    };
    ($wire:expr => $($test:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                $crate::simulator::$test(&$wire).await;
            }
        )*
    };
}
pub(crate) use against_simulator;

/// How long a call may take that meets a fault. The one that stalls takes longer.
const LIMIT: Duration = Duration::from_secs(2);

fn root() -> String {
    setting("LLM_SIMULATOR_URL", "a running llm-simulator (`SIM_MODELS='*' llm-simulator`)")
}

/// What becomes of a call.
enum Outcome {
    /// It is answered, for this reason, with these tokens if they were told wrongly.
    Answered(StopReason, Option<TokenUsage>),
    /// It fails, in one of these ways.
    Failed(&'static [ErrorKind]),
}

use ErrorKind::{BadAnswer, Overloaded, RateLimited, Timeout, Unavailable};

/// The kinds of faults, their parameters, and what becomes of a call.
fn faults(delivery: Delivery, refusal: ErrorKind) -> Vec<(&'static str, serde_json::Value, Outcome)> {
    let streamed = delivery == Delivery::Streamed;
    let failed = Outcome::Failed;
    let refused: &'static [ErrorKind] = match refusal {
        ErrorKind::Refused => &[ErrorKind::Refused],
        _ => &[BadAnswer],
    };
    vec![
        ("rate_limited", json!({"retry_after_seconds": 2}), failed(&[RateLimited])),
        ("server_error", json!({}), failed(&[Unavailable])),
        ("unavailable", json!({}), failed(&[Unavailable, Overloaded])),
        ("overloaded", json!({}), failed(&[Overloaded])),
        ("timeout", json!({"seconds": 0.05}), failed(&[Timeout])),
        ("reset", json!({}), failed(&[Unavailable])),
        ("stall", json!({"seconds": 60, "after_chunks": 1}), failed(&[Timeout])),
        ("slow_first_token", json!({"seconds": 0.05}), Outcome::Answered(StopReason::End, None)),
        ("cut", json!({"after_chunks": 2}), failed(&[BadAnswer, Unavailable])),
        ("malformed", json!({"after_chunks": 1}), failed(&[BadAnswer])),
        (
            "stream_error",
            json!({"after_chunks": 1}),
            // Ollama has no word for it in the middle of an answer; whole ones have no middle.
            if streamed {
                failed(&[Overloaded, Unavailable])
            } else {
                Outcome::Answered(StopReason::End, None)
            },
        ),
        ("truncated", json!({"after_chunks": 2}), Outcome::Answered(StopReason::MaxTokens, None)),
        (
            "wrong_usage",
            json!({"usage": {"input_tokens": 5, "output_tokens": 77}}),
            Outcome::Answered(StopReason::End, Some(tokens(5, 77))),
        ),
        ("refusal", json!({}), failed(refused)),
    ]
}

/// Puts all faults in force, each for its own models.
async fn arrange(root: &str) {
    let rules: Vec<_> = faults(Delivery::Streamed, ErrorKind::Refused)
        .into_iter()
        .map(|(kind, mut rule, _)| {
            rule["kind"] = kind.into();
            rule["match"] = json!({"model": format!("*{kind}-model")});
            rule
        })
        .collect();
    let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
    let put =
        client.put(format!("{root}/admin/faults")).json(&json!({ "rules": rules })).send().await.unwrap();
    assert!(put.status().is_success(), "{}", put.text().await.unwrap());
}

async fn ask(
    wire: &Wire,
    model: &str,
    delivery: Delivery,
    most: u32,
    limit: Duration,
) -> Result<Completion, LlmError> {
    let bounded = Deadline::new(Boxed(provider(wire, &root(), model)), PATIENCE);
    let mut request = question(delivery, most);
    request.deadline = Instant::now() + limit;
    complete(&bounded, &request).await
}

/// Text and tokens from either delivery, marked as what they are.
pub async fn an_answer_is_the_same_whole_and_streamed(wire: &Wire) {
    let mut answers = Vec::new();
    for delivery in DELIVERIES {
        let said = ask(wire, wire.model, delivery, 400, PATIENCE).await.unwrap();
        assert!(said.beginning.simulated);
        assert_eq!(said.ending.stop, StopReason::End);
        let usage = said.ending.usage.expect("usage is told");
        assert!(usage.reported && usage.input > 0 && usage.output > 0, "{usage:?}");
        answers.push((said.text, usage, said.ending.model));
    }
    assert_eq!(answers[0], answers[1]);
}

/// An answer that is cut short says so.
pub async fn the_longest_answer_allowed_is_kept_to(wire: &Wire) {
    for delivery in DELIVERIES {
        let said = ask(wire, wire.model, delivery, 3, PATIENCE).await.unwrap();
        assert_eq!(said.ending.stop, StopReason::MaxTokens);
        assert!(said.ending.usage.is_some_and(|usage| usage.output <= 3), "{said:?}");
    }
}

/// Each fault, complete and streamed.
pub async fn faults_are_told_for_what_they_are(wire: &Wire, refusal: ErrorKind) {
    arrange(&root()).await;
    for delivery in DELIVERIES {
        for (kind, _, outcome) in faults(delivery, refusal) {
            let name = format!("{}: {kind} ({delivery:?})", wire.name);
            let model = format!("{kind}-model");
            let limit = if kind == "stall" { LIMIT } else { PATIENCE };
            match (ask(wire, &model, delivery, 400, limit).await, outcome) {
                (Ok(said), Outcome::Answered(stop, told)) => {
                    assert_eq!(said.ending.stop, stop, "{name}");
                    assert!(said.beginning.simulated, "{name}");
                    if let Some(told) = told {
                        assert_eq!(said.ending.usage, Some(told), "{name}");
                    }
                }
                (Err(error), Outcome::Failed(kinds)) => {
                    assert!(kinds.contains(&error.kind), "{name}: {:?}, {error}", error.kind);
                    let wait = (kind == "rate_limited").then_some(Duration::from_secs(2));
                    assert_eq!(error.retry_after, wait, "{name}: {error}");
                }
                (Ok(said), Outcome::Failed(kinds)) => panic!("{name}: {said:?} instead of {kinds:?}"),
                (Err(error), Outcome::Answered(..)) => panic!("{name}: {error:?}"),
            }
        }
    }
}

/// The simulator sees that its client went away in the middle of an answer that stalls.
pub async fn dropping_an_answer_ends_the_call(wire: &Wire) {
    let root = root();
    arrange(&root).await;
    let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
    let abandoned = async || -> u64 {
        let metrics = client.get(format!("{root}/metrics")).send().await.unwrap().text().await.unwrap();
        let lines = metrics.lines().filter(|line| {
            line.starts_with("simulator_answers_total")
                && line.contains(r#"outcome="abandoned""#)
                && line.contains(&format!(r#"protocol="{}""#, wire.name.convention().replace("aws.", "")))
        });
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    };
    let before = abandoned().await;
    let provider = provider(wire, &root, "stall-model");
    let mut stream = provider.call(&question(Delivery::Streamed, 400)).await.unwrap();
    assert!(matches!(stream.next().await, Some(Ok(Chunk::Begun(_)))));
    assert!(matches!(stream.next().await, Some(Ok(Chunk::Text(_)))));
    drop(stream);
    let end = Instant::now() + PATIENCE;
    while abandoned().await == before {
        assert!(Instant::now() < end, "the call goes on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
