//! Anthropic's Messages API (`POST /v1/messages`; <https://docs.anthropic.com/en/api/messages>).
//!
//! Owns the request and its refusals; what an answer says is in [`said`]. Tokens of the cache lie
//! outside `input_tokens` there. Servers that speak it without a key (Ollama, llm-simulator) will do.

use std::sync::Arc;

use async_trait::async_trait;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use telemetry::Metrics;

use crate::answer::answer;
use crate::endpoint::{Endpoint, kind_of};
use crate::{CompletionStream, Delivery, ErrorKind, LlmError, LlmProvider, ProviderName, Request, frames};

mod said;

/// The provider, as people call it.
const WHO: &str = "Anthropic";
/// The version of the API (<https://docs.anthropic.com/en/api/versioning>).
const VERSION: &str = "2023-06-01";

/// Anthropic's API, or a server that speaks it, and a model on it.
pub struct Claude {
    endpoint: Arc<Endpoint>,
    headers: HeaderMap,
    has_key: bool,
    model: String,
}

#[derive(Serialize)]
struct Messages<'a> {
    model: &'a str,
    max_tokens: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    system: &'a str,
    messages: [Turn<'a>; 1],
    stream: bool,
}

#[derive(Serialize)]
struct Turn<'a> {
    role: &'static str,
    content: &'a str,
}

/// The body of a refusal (<https://docs.anthropic.com/en/api/errors>, "Error shapes").
#[derive(Deserialize)]
struct ErrorBody {
    error: ApiError,
    request_id: Option<String>,
}

/// What went wrong, as the provider says it.
#[derive(Default, Deserialize)]
struct ApiError {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    message: String,
}

impl ApiError {
    /// The kind of failure by its type (<https://docs.anthropic.com/en/api/errors>, "HTTP errors"); by
    /// its words where a type is about several. None for a type that is new.
    fn kind(&self) -> Option<ErrorKind> {
        let message = self.message.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|words| message.contains(words));
        Some(match self.kind.as_str() {
            "authentication_error" | "permission_error" | "billing_error" => ErrorKind::Unauthorized,
            "rate_limit_error" => ErrorKind::RateLimited,
            "overloaded_error" => ErrorKind::Overloaded,
            "timeout_error" => ErrorKind::Timeout,
            "api_error" => ErrorKind::Unavailable,
            "request_too_large" => ErrorKind::ContextTooLong,
            "invalid_request_error" if self.is_about_credit() => ErrorKind::Unauthorized,
            "invalid_request_error"
                if says(&["prompt is too long", "context limit", "context length", "context window"]) =>
            {
                ErrorKind::ContextTooLong
            }
            "invalid_request_error" if says(&["content filtering policy"]) => ErrorKind::Refused,
            "invalid_request_error" | "not_found_error" => ErrorKind::BadRequest,
            _ => return None,
        })
    }

    /// An account without credit is told by type or, as an invalid request, by words.
    fn is_about_credit(&self) -> bool {
        self.kind == "billing_error" || self.message.to_ascii_lowercase().contains("credit balance")
    }
}

impl Claude {
    /// The server at `base_url` (`https://api.anthropic.com`; no trailing slash needed), the key that
    /// it wants, if any, and one of its models.
    ///
    /// # Errors
    /// When the address is none, the key cannot stand in a header, or TLS cannot be set up.
    pub fn new(base_url: &str, api_key: Option<SecretString>, model: &str) -> Result<Self, LlmError> {
        let mut headers = HeaderMap::new();
        let version = HeaderName::from_static("anthropic-version");
        headers.insert(version, HeaderValue::from_static(VERSION));
        if let Some(key) = &api_key {
            let mut key = HeaderValue::from_str(key.expose_secret()).map_err(|_| {
                let detail = "ANTHROPIC_API_KEY has characters that no header can carry";
                LlmError::new(ErrorKind::Unauthorized, detail)
            })?;
            key.set_sensitive(true);
            headers.insert(HeaderName::from_static("x-api-key"), key);
        }
        let has_key = api_key.is_some();
        let endpoint = Endpoint::new(ProviderName::Claude, WHO, "ANTHROPIC_BASE_URL", base_url, api_key)?;
        Ok(Self { endpoint: Arc::new(endpoint), headers, has_key, model: model.to_owned() })
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
        let refusal = refusal.or_id(body.as_ref().and_then(|body| body.request_id.as_deref()));
        let error = body.map(|body| body.error).unwrap_or_default();
        let by_status = kind_of(refusal.status);
        let kind = match error.kind() {
            // Whatever its words say.
            Some(_) if by_status == ErrorKind::Unauthorized => by_status,
            told => told.unwrap_or(by_status),
        };
        let failure = self.endpoint.failure(kind, Some(refusal.status), &error.message);
        let status = refusal.status;
        let detail = match kind {
            ErrorKind::Unauthorized if error.is_about_credit() => {
                format!("{WHO} wants credit (status {status}); add some to the account of ANTHROPIC_API_KEY")
            }
            ErrorKind::Unauthorized if self.has_key => {
                format!("{WHO} refused access (status {status}); check ANTHROPIC_API_KEY and what it may do")
            }
            ErrorKind::Unauthorized => {
                format!("{WHO} wants a key (status {status}); set ANTHROPIC_API_KEY")
            }
            ErrorKind::BadRequest if error.kind == "not_found_error" => {
                format!("{WHO} has no model {}; set CLAUDE_MODEL to one that it has", self.model)
            }
            _ => failure.detail,
        };
        refusal.completed(LlmError::new(kind, detail))
    }
}

#[async_trait]
impl LlmProvider for Claude {
    fn name(&self) -> ProviderName {
        ProviderName::Claude
    }

    fn model(&self) -> &str {
        &self.model
    }

    async fn call(&self, request: &Request) -> Result<CompletionStream, LlmError> {
        let (prompt, delivery) = (&request.prompt, request.delivery);
        let body = Messages {
            model: &self.model,
            max_tokens: prompt.max_output_tokens,
            system: &prompt.system,
            messages: [Turn { role: "user", content: &prompt.user }],
            stream: delivery == Delivery::Streamed,
        };
        let response =
            self.endpoint.post("/v1/messages", self.headers.clone(), &body, &request.trail).await?;
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        let beginning = self.endpoint.beginning(&response, &self.model);
        let frames = match delivery {
            Delivery::Streamed => frames::events(WHO, response),
            Delivery::Whole => frames::whole(WHO, response),
        };
        Ok(answer(WHO, beginning, frames, said::Reader::new(Arc::clone(&self.endpoint))))
    }
}
