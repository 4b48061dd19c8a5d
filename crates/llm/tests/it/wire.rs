//! What a provider brings to the contract: how it is made, what its answers and failures look like on
//! the wire, and what is to be understood of them.

use std::time::Duration;

use llm::{Delivery, ErrorKind, LlmProvider, ProviderName, StopReason, TokenUsage};

use crate::script::Reply;

/// The key that all adapters are made with. It must be nowhere but in the header that carries it, so
/// fixtures let servers echo it.
pub const CANARY: &str = "sk-canary-7f3d9a2b64e8";

/// A provider's protocol.
#[derive(Clone, Copy)]
pub struct Wire {
    /// Who it is.
    pub name: ProviderName,
    /// What the adapter's address has after `http://HOST:PORT`, such as `/v1`.
    pub prefix: &'static str,
    /// Makes the adapter for an address and a model, with [`CANARY`] as its key.
    pub make: fn(base_url: &str, model: &str) -> Box<dyn LlmProvider>,
    /// A model's name, as fixtures have it.
    pub model: &'static str,
    /// A good answer; streamed, it has a piece an event, and more than one piece of text, with
    /// characters of two, three and four bytes.
    pub sample: fn(Delivery) -> Case,
    /// Whether lines may end in CRLF as well.
    pub lines: bool,
    /// All other answers and failures.
    pub cases: fn() -> Vec<Case>,
}

/// An answer on the wire and what is to be understood of it.
#[derive(Clone)]
pub struct Case {
    /// What it shows, for people.
    pub name: String,
    /// How the adapter asks.
    pub delivery: Delivery,
    /// What it is answered.
    pub reply: Reply,
    /// What it makes of that.
    pub expected: Expected,
}

/// What is to be understood.
#[derive(Clone, Debug)]
pub enum Expected {
    /// An answer.
    Answer(Answer),
    /// A failure.
    Failure(Failure),
}

/// A good answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub text: String,
    pub model: String,
    pub usage: Option<TokenUsage>,
    pub stop: StopReason,
    pub request_id: Option<&'static str>,
    pub simulated: bool,
}

/// A failed call.
#[derive(Clone, Debug)]
pub struct Failure {
    pub kind: ErrorKind,
    /// A wait by date is as long as there is left, so up to two seconds less will do.
    pub retry_after: Option<Duration>,
    pub request_id: Option<&'static str>,
    pub usage: Option<TokenUsage>,
    /// Words that its text has.
    pub says: Vec<&'static str>,
}

impl Failure {
    pub const fn of(kind: ErrorKind) -> Self {
        Self { kind, retry_after: None, request_id: None, usage: None, says: Vec::new() }
    }

    pub const fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    pub const fn id(mut self, id: &'static str) -> Self {
        self.request_id = Some(id);
        self
    }

    pub const fn used(mut self, usage: TokenUsage) -> Self {
        self.usage = Some(usage);
        self
    }

    pub fn says(mut self, word: &'static str) -> Self {
        self.says.push(word);
        self
    }
}

impl Case {
    pub fn answer(name: impl Into<String>, delivery: Delivery, reply: Reply, answer: Answer) -> Self {
        Self { name: name.into(), delivery, reply, expected: Expected::Answer(answer) }
    }

    pub fn failure(name: impl Into<String>, delivery: Delivery, reply: Reply, failure: Failure) -> Self {
        Self { name: name.into(), delivery, reply, expected: Expected::Failure(failure) }
    }

    /// The same failure for both deliveries.
    pub fn both(name: &str, reply: &Reply, failure: &Failure) -> [Self; 2] {
        [Delivery::Streamed, Delivery::Whole].map(|delivery| {
            Self::failure(format!("{name}, {delivery:?}"), delivery, reply.clone(), failure.clone())
        })
    }
}

/// Tokens as a provider reported them.
pub fn tokens(input: u64, output: u64) -> TokenUsage {
    TokenUsage { input, output, reported: true, ..TokenUsage::default() }
}
