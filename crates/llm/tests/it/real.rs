//! A server that nobody here wrote: a real Ollama, which speaks its own protocol, `OpenAI`'s and
//! Anthropic's; or whatever else a provider's file names.
//!
//! No answer is left in the middle here: the Ollamas that can be had (0.17 to 0.24) may answer nothing
//! more once a client has gone, until the model is unloaded. The contract and the simulator show that
//! our side closes the connection.

use std::time::Duration;

use llm::{Completion, Delivery, ErrorKind, LlmError, LlmProvider, Prompt, Request, StopReason, complete};

use crate::contract::DELIVERIES;
use crate::wire::Wire;

/// Longest wait for an answer; a model may have to be loaded first.
const LONGEST: Duration = Duration::from_secs(120);

/// Makes the tests of a provider against the Ollama at `OLLAMA_BASE_URL`: `against_ollama!(WIRE);` in a
/// module of its own.
macro_rules! against_ollama {
    ($wire:expr) => {
        $crate::real::against_ollama!($wire =>
            an_answer_is_the_same_whole_and_streamed,
            the_longest_answer_allowed_is_kept_to,
            an_unknown_model_is_told,
        );
    };
    ($wire:expr => $($test:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let root = $crate::real::setting(
                    "OLLAMA_BASE_URL",
                    "a running Ollama that has llama3.2 (`ollama serve`, `ollama pull llama3.2`)",
                );
                $crate::real::$test(&$wire, &root, "llama3.2").await;
            }
        )*
    };
}
pub(crate) use against_ollama;

/// A setting of the tests' own.
pub fn setting(name: &str, what: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "the tests' own setting")]
    let value = std::env::var(name).unwrap_or_default();
    assert!(!value.is_empty(), "set {name} to {what}, or run `make test-integration`");
    value.trim_end_matches('/').to_owned()
}

/// The adapter for a server.
pub fn provider(wire: &Wire, root: &str, model: &str) -> Box<dyn LlmProvider> {
    (wire.make)(&format!("{root}{}", wire.prefix), model)
}

/// A short question.
pub fn question(delivery: Delivery, max_output_tokens: u32) -> Request {
    let prompt = Prompt {
        system: "You summarise books in one sentence.".to_owned(),
        user: "Moby-Dick: a captain hunts a white whale.".to_owned(),
        max_output_tokens,
    };
    Request { delivery, ..Request::once(prompt, LONGEST) }
}

async fn ask(
    wire: &Wire,
    root: &str,
    model: &str,
    delivery: Delivery,
    most: u32,
) -> Result<Completion, LlmError> {
    let provider = provider(wire, root, model);
    let request = question(delivery, most);
    tokio::time::timeout(LONGEST, complete(provider.as_ref(), &request)).await.expect("an answer in time")
}

/// The model, and what it was asked, from either delivery. Its words are drawn anew each time.
pub async fn an_answer_is_the_same_whole_and_streamed(wire: &Wire, root: &str, model: &str) {
    let mut answers = Vec::new();
    for delivery in DELIVERIES {
        let said = ask(wire, root, model, delivery, 60).await.unwrap();
        assert!(!said.text.trim().is_empty());
        assert_eq!(said.beginning.provider, wire.name);
        assert!(!said.beginning.simulated, "a simulator answers in place of a real server");
        assert!(!said.ending.model.is_empty());
        let usage = said.ending.usage.expect("usage is reported");
        assert!(usage.reported && usage.input > 5 && (1..=60).contains(&usage.output), "{usage:?}");
        answers.push((usage.input, said.ending.model));
    }
    assert_eq!(answers[0], answers[1]);
}

/// An answer that is cut short says so.
pub async fn the_longest_answer_allowed_is_kept_to(wire: &Wire, root: &str, model: &str) {
    for delivery in DELIVERIES {
        let said = ask(wire, root, model, delivery, 3).await.unwrap();
        assert_eq!(said.ending.stop, StopReason::MaxTokens, "{said:?}");
        let usage = said.ending.usage.expect("usage is reported");
        assert!(usage.output <= 3, "{usage:?}");
    }
}

/// A model that the server lacks is a mistake of ours, and named.
pub async fn an_unknown_model_is_told(wire: &Wire, root: &str, _model: &str) {
    for delivery in DELIVERIES {
        let error = ask(wire, root, "no-such-model", delivery, 9).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::BadRequest, "{error}");
        assert!(error.detail.contains("no-such-model"), "{error}");
    }
}
