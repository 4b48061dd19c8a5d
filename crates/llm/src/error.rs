//! How a call to a provider can fail: one closed list for all of them.

use std::time::Duration;

use crate::{Refusal, TokenUsage};

/// The kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The provider limits how often we may ask.
    RateLimited,
    /// The provider has too much to do.
    Overloaded,
    /// No answer in time.
    Timeout,
    /// The provider cannot be reached or failed inside.
    Unavailable,
    /// Our credentials are missing or wrong.
    Unauthorized,
    /// The provider refuses this content.
    Refused,
    /// The prompt does not fit the model.
    ContextTooLong,
    /// The provider does not accept what we sent: a model that it lacks, mostly, or too few tokens to
    /// say anything.
    BadRequest,
    /// The answer is empty, cut or not what the protocol says.
    BadAnswer,
    /// Our own limits did not let the attempt in; the provider was not asked.
    NotAdmitted,
}

/// A failed call.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{detail}")]
pub struct LlmError {
    /// The kind of failure.
    pub kind: ErrorKind,
    /// What happened and what to do, free of secrets.
    pub detail: String,
    /// How long the provider asks us to wait.
    pub retry_after: Option<Duration>,
    /// The provider's own id of the call.
    pub request_id: Option<Box<str>>,
    /// Tokens that the provider reported although the call failed.
    pub usage: Option<Box<TokenUsage>>,
    /// Why our own gate did not let it in, where [`ErrorKind::NotAdmitted`].
    pub refusal: Option<Box<Refusal>>,
}

impl LlmError {
    /// An error of this kind.
    #[must_use]
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), retry_after: None, request_id: None, usage: None, refusal: None }
    }

    /// The same, with the wait that the provider asked for.
    #[must_use]
    pub const fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// The same, with the provider's own id of the call.
    #[must_use]
    pub fn with_request_id(mut self, id: Option<String>) -> Self {
        self.request_id = id.map(String::into_boxed_str);
        self
    }

    /// The same, with the tokens that the provider reported all the same.
    #[must_use]
    pub fn with_usage(mut self, usage: Option<TokenUsage>) -> Self {
        self.usage = usage.map(Box::new);
        self
    }

    /// The same, with what our own gate refused it for.
    #[must_use]
    pub fn with_refusal(mut self, refusal: Refusal) -> Self {
        self.refusal = Some(Box::new(refusal));
        self
    }

    /// A short, stable name, used as `error.type`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self.kind {
            ErrorKind::RateLimited => "rate_limited",
            ErrorKind::Overloaded => "overloaded",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Unauthorized => "unauthorized",
            ErrorKind::Refused => "refused",
            ErrorKind::ContextTooLong => "context_too_long",
            ErrorKind::BadRequest => "bad_request",
            ErrorKind::BadAnswer => "bad_answer",
            ErrorKind::NotAdmitted => "not_admitted",
        }
    }
}
