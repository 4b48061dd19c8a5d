//! Ollama's chat API (`POST /api/chat`; docs/api.md of ollama/ollama, "Generate a chat completion").
//!
//! Owns that protocol. Surprises it knows: an error in the middle of an answer is a line under status
//! 200, the last line carries the figures, and a prompt too long is cut without a word unless one asks
//! for an error instead, as is done here. (A server older than that wish cuts all the same; its
//! `prompt_eval_count` then is what was left, which is what the answer rests on.)

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::header::HeaderMap;
use serde::{Deserialize, Serialize};
use telemetry::Metrics;

use crate::answer::{self, answer, count, malformed};
use crate::endpoint::{Endpoint, kind_of};
use crate::{
    Chunk, CompletionStream, Cost, Delivery, Ending, ErrorKind, LlmError, LlmProvider, ProviderName, Request,
    StopReason, TokenUsage, frames,
};

/// The provider, as people call it.
const WHO: &str = "Ollama";

/// An Ollama server and a model on it.
pub struct Ollama {
    endpoint: Arc<Endpoint>,
    model: String,
}

#[derive(Serialize)]
struct ChatRequest<'a> {
    model: &'a str,
    messages: [Message<'a>; 2],
    stream: bool,
    /// False: a prompt that does not fit is an error and not cut.
    truncate: bool,
    /// False: an answer that does not fit ends there, and the prompt's beginning is not forgotten for it.
    shift: bool,
    options: Options,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

#[derive(Serialize)]
struct Options {
    num_predict: u32,
}

/// A line of a streamed answer, or all of a whole one.
#[derive(Deserialize)]
struct ChatLine {
    #[serde(default)]
    model: String,
    message: Option<AnswerMessage>,
    #[serde(default)]
    done: bool,
    done_reason: Option<String>,
    #[serde(default, deserialize_with = "count")]
    prompt_eval_count: Option<u64>,
    #[serde(default, deserialize_with = "count")]
    eval_count: Option<u64>,
    /// In the place of all others.
    error: Option<Said>,
    /// The status of an error in the middle of an answer, where one is told.
    status: Option<serde_json::Value>,
}

/// Beside the text there may be `thinking`, which is passed over.
#[derive(Deserialize)]
struct AnswerMessage {
    #[serde(default)]
    content: String,
    tool_calls: Option<Vec<serde::de::IgnoredAny>>,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: Said,
}

/// An error's words, or something else in their place.
#[derive(Deserialize)]
#[serde(untagged)]
enum Said {
    Words(String),
    Other(serde::de::IgnoredAny),
}

impl Said {
    fn words(&self) -> &str {
        match self {
            Self::Words(words) => words,
            Self::Other(_) => "",
        }
    }
}

/// The kind of an error by its words, where they say more than a status does.
fn kind_by_words(words: &str) -> Option<ErrorKind> {
    let words = words.to_ascii_lowercase();
    let says = |part: &str| words.contains(part);
    if says("context length") || says("context window") || says("prompt is too long") {
        Some(ErrorKind::ContextTooLong)
    } else if says("server busy") {
        Some(ErrorKind::Overloaded)
    } else {
        None
    }
}

impl Ollama {
    /// The server at `base_url` (no trailing slash needed) and one of its models.
    ///
    /// # Errors
    /// When the address is none, or TLS cannot be set up.
    pub fn new(base_url: &str, model: &str) -> Result<Self, LlmError> {
        let endpoint = Endpoint::new(ProviderName::Ollama, WHO, "OLLAMA_BASE_URL", base_url, None)?;
        Ok(Self { endpoint: Arc::new(endpoint), model: model.to_owned() })
    }

    /// The same, with its requests counted there.
    #[must_use]
    pub fn counted_in(self, metrics: &Metrics) -> Self {
        self.endpoint.count_in(metrics);
        self
    }

    async fn refused(&self, response: reqwest::Response) -> LlmError {
        let refusal = self.endpoint.refusal(response).await;
        let body = serde_json::from_slice::<ErrorBody>(&refusal.body).ok();
        let said = body.as_ref().map_or("", |body| body.error.words());
        let kind = kind_by_words(said).unwrap_or_else(|| kind_of(refusal.status));
        let error = if refusal.status == 404 && body.is_some() {
            let model = &self.model;
            let detail =
                format!("Ollama has no model {model}; get it with `ollama pull {model}` or set OLLAMA_MODEL");
            LlmError::new(ErrorKind::BadRequest, detail)
        } else {
            self.endpoint.failure(kind, Some(refusal.status), said)
        };
        refusal.completed(error)
    }
}

#[async_trait]
impl LlmProvider for Ollama {
    fn name(&self) -> ProviderName {
        ProviderName::Ollama
    }

    fn model(&self) -> &str {
        &self.model
    }

    async fn call(&self, request: &Request) -> Result<CompletionStream, LlmError> {
        let (prompt, delivery) = (&request.prompt, request.delivery);
        let body = ChatRequest {
            model: &self.model,
            messages: [
                Message { role: "system", content: &prompt.system },
                Message { role: "user", content: &prompt.user },
            ],
            stream: delivery == Delivery::Streamed,
            truncate: false,
            shift: false,
            options: Options { num_predict: prompt.max_output_tokens },
        };
        let response = self.endpoint.post("/api/chat", HeaderMap::new(), &body, &request.trail).await?;
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        let beginning = self.endpoint.beginning(&response, &self.model);
        let frames = match delivery {
            Delivery::Streamed => frames::lines(WHO, response),
            Delivery::Whole => frames::whole(WHO, response),
        };
        let reader = Reader { endpoint: Arc::clone(&self.endpoint), has_text: false, wants_tool: false };
        Ok(answer(WHO, beginning, frames, reader))
    }
}

/// Reads the lines of one answer.
struct Reader {
    endpoint: Arc<Endpoint>,
    has_text: bool,
    wants_tool: bool,
}

impl answer::Reader for Reader {
    fn read(&mut self, frame: &str, chunks: &mut VecDeque<Chunk>) -> Result<(), LlmError> {
        let line: ChatLine = serde_json::from_str(frame).map_err(|error| malformed(WHO, &error))?;
        if let Some(error) = line.error {
            let status = line.status.and_then(|status| u16::try_from(status.as_u64()?).ok());
            let by_words = kind_by_words(error.words());
            let kind = by_words.unwrap_or_else(|| status.map_or(ErrorKind::Unavailable, kind_of));
            return Err(self.endpoint.failure(kind, status, error.words()));
        }
        if let Some(message) = line.message {
            self.has_text |= !message.content.is_empty();
            self.wants_tool |= message.tool_calls.is_some_and(|calls| !calls.is_empty());
            chunks.push_back(Chunk::Text(message.content));
        }
        if !line.done {
            return Ok(());
        }
        let usage = match (line.prompt_eval_count, line.eval_count) {
            (Some(input), Some(output)) => {
                Some(TokenUsage { input, output, reported: true, ..TokenUsage::default() })
            }
            _ => None,
        };
        if self.wants_tool && !self.has_text {
            let detail = "Ollama asked for a tool where text was wanted";
            return Err(LlmError::new(ErrorKind::BadAnswer, detail).with_usage(usage));
        }
        let stop = match line.done_reason.as_deref() {
            Some("stop") => StopReason::End,
            Some("length") => StopReason::MaxTokens,
            _ => StopReason::Other,
        };
        chunks.push_back(Chunk::End(Ending { model: line.model, usage, stop, cost: Cost::UNKNOWN }));
        Ok(())
    }

    /// The figures come with the end.
    fn usage(&self) -> Option<TokenUsage> {
        None
    }
}
