//! The port: what every provider can do.

use std::fmt;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;

use crate::prices::Cost;
use crate::{ErrorKind, LlmError};

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

/// Tokens of a call; totals are inclusive of what the provider had cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenUsage {
    /// All tokens of the prompt.
    pub input: u64,
    /// All tokens of the answer.
    pub output: u64,
    /// Those of the prompt that the provider had cached.
    pub cached_input: u64,
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
    /// Another reason.
    Other,
}

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Chunk {
    /// Text.
    Text(String),
    /// The end; nothing follows.
    End(Ending),
}

/// What a provider says at the end of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    /// The model that really answered.
    pub model: String,
    /// Whether a simulator answered.
    pub simulated: bool,
    /// Tokens, if the provider reported them; [`crate::Observed`] estimates them otherwise.
    pub usage: Option<TokenUsage>,
    /// Why it stopped.
    pub stop: StopReason,
    /// Dollars; filled in by [`crate::Observed`].
    pub cost: Cost,
}

/// Pieces of an answer as they come. Dropping it ends the call upstream.
pub type CompletionStream = BoxStream<'static, Result<Chunk, LlmError>>;

/// A provider with its model.
#[async_trait]
pub trait LlmProvider: Send + Sync {
    /// Which provider this is.
    fn name(&self) -> ProviderName;

    /// The model that it asks.
    fn model(&self) -> &str;

    /// Starts a call; the answer comes as a stream of text that closes with [`Chunk::End`].
    ///
    /// # Errors
    /// When the provider cannot be reached or refuses; later failures come in the stream.
    async fn stream(&self, prompt: &Prompt) -> Result<CompletionStream, LlmError>;
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// The text.
    pub text: String,
    /// What the provider said at the end.
    pub ending: Ending,
    /// From sending the request to the end of the answer.
    pub latency: Duration,
    /// From sending the request to the first piece of text.
    pub first_chunk: Option<Duration>,
}

/// Calls a provider and collects the whole answer.
///
/// # Errors
/// As the provider's own; also when the answer ends without its closing piece or without text.
pub async fn complete(provider: &dyn LlmProvider, prompt: &Prompt) -> Result<Completion, LlmError> {
    let started = Instant::now();
    let mut stream = provider.stream(prompt).await?;
    let mut text = String::new();
    let mut first_chunk = None;
    while let Some(chunk) = stream.next().await {
        match chunk? {
            Chunk::Text(piece) => {
                first_chunk.get_or_insert_with(|| started.elapsed());
                text.push_str(&piece);
            }
            Chunk::End(ending) => {
                if text.trim().is_empty() {
                    return Err(LlmError::new(
                        ErrorKind::BadAnswer,
                        format!("{} answered without any text", provider.name()),
                    ));
                }
                return Ok(Completion { text, ending, latency: started.elapsed(), first_chunk });
            }
        }
    }
    Err(LlmError::new(ErrorKind::BadAnswer, format!("the answer of {} was cut off", provider.name())))
}
