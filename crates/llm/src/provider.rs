//! The port: what every provider can do.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::time::Instant;

use crate::trail::Trail;
use crate::{Cost, ErrorKind, LlmError};

/// A provider by the name that settings and requests use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProviderName {
    /// Anthropic's Messages API.
    Claude,
    /// A local or remote Ollama.
    Ollama,
    /// `OpenAI` or a compatible server.
    OpenAi,
    /// Amazon Bedrock.
    Bedrock,
    /// The fixed answer in process.
    Simulated,
}

impl ProviderName {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Claude, Self::Ollama, Self::OpenAi, Self::Bedrock, Self::Simulated];

    /// The name in settings, requests and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Ollama => "ollama",
            Self::OpenAi => "openai",
            Self::Bedrock => "bedrock",
            Self::Simulated => "simulated",
        }
    }

    /// The name in `gen_ai.provider.name`.
    #[must_use]
    pub const fn convention(self) -> &'static str {
        match self {
            Self::Claude => "anthropic",
            Self::Ollama => "ollama",
            Self::OpenAi => "openai",
            Self::Bedrock => "aws.bedrock",
            Self::Simulated => "simulated",
        }
    }

    /// The provider of this name, without regard to case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.as_str().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for ProviderName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What is asked of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Instructions.
    pub system: String,
    /// Data, and the question.
    pub user: String,
    /// Longest answer in tokens.
    pub max_output_tokens: u32,
}

/// How the provider is asked to hand its answer over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// In pieces, as they are made.
    #[default]
    Streamed,
    /// In one piece, for servers that cannot stream or do not report usage when they do.
    Whole,
}

/// The arm of an experiment that a request belongs to, for its spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arm {
    /// The experiment.
    pub experiment: String,
    /// The arm.
    pub arm: String,
}

/// One request, which may take several attempts.
#[derive(Clone)]
pub struct Request {
    /// What is asked.
    pub prompt: Arc<Prompt>,
    /// How the answer is handed over.
    pub delivery: Delivery,
    /// When all attempts together have to be done.
    pub deadline: Instant,
    /// Who lets attempts in, and what became of them.
    pub trail: Trail,
    /// The arm of an experiment.
    pub arm: Option<Arc<Arm>>,
}

impl Request {
    /// A streamed request of one attempt that nobody counts, to be done within `limit`.
    #[must_use]
    pub fn once(prompt: Prompt, limit: Duration) -> Self {
        Self {
            prompt: Arc::new(prompt),
            delivery: Delivery::Streamed,
            deadline: Instant::now() + limit,
            trail: Trail::open(1),
            arm: None,
        }
    }
}

/// Tokens of a call. Totals are inclusive, whatever the provider counts apart; the other fields say
/// which part of them is what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenUsage {
    /// All tokens of the prompt.
    pub input: u64,
    /// All tokens of the answer.
    pub output: u64,
    /// Those of the prompt that were read from the provider's cache.
    pub cached_input: u64,
    /// Those of the prompt that were written to the provider's cache.
    pub cache_write_input: u64,
    /// Those of the answer that were thought and not said.
    pub reasoning_output: u64,
    /// Whether these are the provider's own figures; else they were estimated from the text.
    pub reported: bool,
}

/// Why the model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// It had said all.
    End,
    /// It reached the longest answer allowed.
    MaxTokens,
    /// Another reason. (A refusal is [`ErrorKind::Refused`].)
    Other,
}

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Chunk {
    /// An answer begins: first in every stream. Another one later voids all text before it: that
    /// attempt broke off, and this is the next.
    Begun(Beginning),
    /// Text, never empty.
    Text(String),
    /// The end; nothing follows.
    End(Ending),
}

/// What is known when an answer begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// Who answers.
    pub provider: ProviderName,
    /// The model that was asked.
    pub requested_model: String,
    /// The provider's own id of the call.
    pub request_id: Option<String>,
    /// Whether a simulator answers.
    pub simulated: bool,
}

/// What a provider says at the end of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    /// The model that really answered, as the provider names it; the one that was asked where it names
    /// none, or one that no model can have.
    pub model: String,
    /// Tokens, if the provider reported them; [`crate::Observed`] estimates them otherwise.
    pub usage: Option<TokenUsage>,
    /// Why it stopped.
    pub stop: StopReason,
    /// Dollars of this attempt; filled in by [`crate::Observed`].
    pub cost: Cost,
}

/// Pieces of an answer as they come. Dropping it ends the call upstream.
pub type CompletionStream = BoxStream<'static, Result<Chunk, LlmError>>;

/// A provider with its model.
#[async_trait]
pub trait LlmProvider: Send + Sync {
    /// Which provider this is; of several in a row, the first.
    fn name(&self) -> ProviderName;

    /// The model that it asks; of several providers in a row, the first one's.
    fn model(&self) -> &str;

    /// Starts a call; the answer comes as a stream that opens with [`Chunk::Begun`] and closes with
    /// [`Chunk::End`], whether or not the provider streams.
    ///
    /// # Errors
    /// When the provider cannot be reached or refuses; later failures come in the stream.
    async fn call(&self, request: &Request) -> Result<CompletionStream, LlmError>;
}

#[async_trait]
impl<P: LlmProvider + ?Sized> LlmProvider for Arc<P> {
    fn name(&self) -> ProviderName {
        (**self).name()
    }

    fn model(&self) -> &str {
        (**self).model()
    }

    async fn call(&self, request: &Request) -> Result<CompletionStream, LlmError> {
        (**self).call(request).await
    }
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// The text.
    pub text: String,
    /// What was known when it began.
    pub beginning: Beginning,
    /// What the provider said at the end.
    pub ending: Ending,
    /// From the first attempt's request to the end of the answer.
    pub latency: Duration,
    /// From the first attempt's request to the first piece of this answer's text.
    pub first_chunk: Option<Duration>,
}

/// Calls a provider and collects the whole answer.
///
/// # Errors
/// As the provider's own; also when the answer ends without its closing piece or without text.
pub async fn complete(provider: &dyn LlmProvider, request: &Request) -> Result<Completion, LlmError> {
    let started = Instant::now();
    let mut stream = provider.call(request).await?;
    let mut text = String::new();
    let mut beginning = None;
    let mut first_chunk = None;
    while let Some(chunk) = stream.next().await {
        match chunk? {
            Chunk::Begun(begun) => {
                text.clear();
                first_chunk = None;
                beginning = Some(begun);
            }
            Chunk::Text(piece) => {
                first_chunk.get_or_insert_with(|| started.elapsed());
                text.push_str(&piece);
            }
            Chunk::End(ending) => {
                let Some(beginning) = beginning else { break };
                return Ok(Completion { text, beginning, ending, latency: started.elapsed(), first_chunk });
            }
        }
    }
    Err(LlmError::new(ErrorKind::BadAnswer, format!("the answer of {} was cut off", provider.name())))
}
