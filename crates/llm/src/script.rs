//! Providers that follow a script, for tests of what is wrapped around them.
//!
//! They take an attempt of the request's trail as [`crate::Observed`] would, unless it does.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream;
use tokio::time::{Instant, sleep};

use crate::{
    Beginning, Chunk, CompletionStream, Cost, Ending, ErrorKind, LlmError, LlmProvider, Prompt, ProviderName,
    Request, StopReason, Trail,
};

/// What a provider does with a call.
#[derive(Clone, Debug)]
pub enum Act {
    /// Answers at once.
    Answer,
    /// Fails at once, perhaps asking for a wait.
    Fail(ErrorKind, Option<Duration>),
    /// Begins, says so many words and fails.
    Break(u32, ErrorKind),
    /// Says nothing for ever.
    Hang,
    /// Begins, says so many words and then nothing for ever.
    StallAfter(u32),
    /// So many words with this pause before each.
    Drip(Duration, u32),
}

/// A call as the provider saw it.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// When.
    pub at: Instant,
}

type Choice = Box<dyn Fn() -> Act + Send + Sync>;

/// A provider that does one act a call, and answers once it has none left.
pub struct Scripted {
    name: ProviderName,
    observed: bool,
    /// What has to hold whenever it is called.
    expectation: Box<dyn Fn() + Send + Sync>,
    acts: Mutex<VecDeque<Act>>,
    /// What it does when the script is at its end.
    otherwise: Choice,
    seen: Mutex<Vec<Seen>>,
    /// Calls and answers under way.
    under_way: Arc<AtomicU32>,
}

impl Scripted {
    /// A provider with this script.
    pub fn new(acts: impl IntoIterator<Item = Act>) -> Self {
        Self {
            name: ProviderName::Claude,
            observed: false,
            expectation: Box::new(|| ()),
            acts: Mutex::new(acts.into_iter().collect()),
            otherwise: Box::new(|| Act::Answer),
            seen: Mutex::default(),
            under_way: Arc::default(),
        }
    }

    /// A provider that asks `choice` what to do.
    pub fn choosing(choice: impl Fn() -> Act + Send + Sync + 'static) -> Self {
        Self { otherwise: Box::new(choice), ..Self::new([]) }
    }

    /// The same under another name.
    pub fn named(mut self, name: ProviderName) -> Self {
        self.name = name;
        self
    }

    /// The same within an observation, which takes the attempts.
    pub fn observed(mut self) -> Self {
        self.observed = true;
        self
    }

    /// The same, with a check before each call.
    pub fn expecting(mut self, expectation: impl Fn() + Send + Sync + 'static) -> Self {
        self.expectation = Box::new(expectation);
        self
    }

    /// The calls so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Calls and answers that have not ended.
    pub fn under_way(&self) -> u32 {
        self.under_way.load(Ordering::SeqCst)
    }
}

struct UnderWay(Arc<AtomicU32>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A request of at most `attempts` within `seconds`.
pub fn request(attempts: u32, seconds: u64) -> Request {
    let prompt = Prompt { system: String::new(), user: "A whale.".to_owned(), max_output_tokens: 9 };
    Request { trail: Trail::open(attempts), ..Request::once(prompt, Duration::from_secs(seconds)) }
}

#[async_trait]
impl LlmProvider for Scripted {
    fn name(&self) -> ProviderName {
        self.name
    }

    fn model(&self) -> &'static str {
        "scripted"
    }

    async fn call(&self, request: &Request) -> Result<CompletionStream, LlmError> {
        let number = if self.observed {
            request.trail.begun()
        } else {
            request.trail.take().expect("it was asked although no attempt was left")
        };
        (self.expectation)();
        self.seen.lock().unwrap().push(Seen { at: Instant::now() });
        self.under_way.fetch_add(1, Ordering::SeqCst);
        let under_way = UnderWay(Arc::clone(&self.under_way));
        let act = self.acts.lock().unwrap().pop_front().unwrap_or_else(|| (self.otherwise)());
        let failure = |kind| LlmError::new(kind, format!("{} failed", self.name));
        let begun = Chunk::Begun(Beginning {
            provider: self.name,
            requested_model: "scripted".to_owned(),
            request_id: Some(number.to_string()),
            simulated: true,
        });
        let end = Chunk::End(Ending {
            model: "scripted".to_owned(),
            usage: None,
            stop: StopReason::End,
            cost: Cost::UNKNOWN,
        });
        // Each word names its attempt, so that a mixture shows.
        let words =
            |count| stream::iter((0..count).map(move |word| Ok(Chunk::Text(format!("{number}.{word} ")))));
        let begun = stream::iter([Ok(begun)]);
        let end = stream::iter([Ok(end)]);
        let stream = match act {
            Act::Answer => begun.chain(words(2)).chain(end).boxed(),
            Act::Fail(kind, wait) => {
                if kind == ErrorKind::NotAdmitted && !self.observed {
                    request.trail.give_back(number);
                }
                return Err(failure(kind).with_retry_after(wait));
            }
            Act::Break(count, kind) => {
                begun.chain(words(count)).chain(stream::iter([Err(failure(kind))])).boxed()
            }
            Act::Hang => std::future::pending().await,
            Act::StallAfter(count) => begun.chain(words(count)).chain(stream::pending()).boxed(),
            Act::Drip(pause, count) => {
                let words = words(count).then(move |word| async move {
                    sleep(pause).await;
                    word
                });
                begun.chain(words).chain(end).boxed()
            }
        };
        Ok(stream
            .map(move |chunk| {
                let _ = &under_way;
                chunk
            })
            .boxed())
    }
}
