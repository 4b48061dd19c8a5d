//! What went wrong, in the words of `OpenAI`'s API and of the servers that speak it
//! (<https://platform.openai.com/docs/guides/error-codes>, "API errors"): under a status of its own,
//! in the middle of a stream, or in place of a whole answer.
//!
//! Owns the mapping to our kinds. Must not know how an answer is read.

use serde::Deserialize;
use serde_json::Value;

use super::{Place, WHO};
use crate::endpoint::{Refusal, kind_of};
use crate::{ErrorKind, LlmError};

/// The body of a refusal; a few servers write a text in place of the object.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Body {
    Error {
        error: Error,
    },
    Text {
        error: String,
    },
    /// vLLM before 0.10, and what stands in front of some servers.
    Bare(Error),
}

/// What went wrong. The code of some servers is the status as a number.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Error {
    #[serde(default)]
    message: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<Value>,
    #[serde(default)]
    code: Option<Value>,
}

impl Body {
    fn read(body: &[u8]) -> Error {
        match serde_json::from_slice(body) {
            Ok(Self::Error { error } | Self::Bare(error)) => error,
            Ok(Self::Text { error }) => Error::said(error),
            Err(_) => Error::default(),
        }
    }
}

impl Error {
    /// One that is only words.
    pub(super) fn said(message: String) -> Self {
        Self { message: Some(message), ..Self::default() }
    }

    fn words(&self) -> &str {
        self.message.as_deref().unwrap_or_default()
    }

    /// The status that its code is, if it is one.
    fn status(&self) -> Option<u16> {
        let code = self.code.as_ref()?;
        let number = code.as_u64().or_else(|| code.as_str()?.parse().ok())?;
        u16::try_from(number).ok().filter(|status| (400..600).contains(status))
    }

    fn is(&self, names: &[&str]) -> bool {
        let named = |value: &Option<Value>| {
            value.as_ref().and_then(Value::as_str).is_some_and(|name| names.contains(&name))
        };
        named(&self.code) || named(&self.kind)
    }

    fn says(&self, phrases: &[&str]) -> bool {
        let words = self.words().to_ascii_lowercase();
        phrases.iter().any(|phrase| words.contains(phrase))
    }

    /// An account without credit. It is answered 429, but no wait helps: someone has to pay, so it is a
    /// matter of the account, as keys are, and not asked again.
    fn is_about_credit(&self) -> bool {
        self.is(&["insufficient_quota", "billing_hard_limit_reached", "billing_not_active"])
    }

    fn is_about_the_model(&self) -> bool {
        self.is(&["model_not_found"])
    }

    /// The kind by code, type and words, which say more than a status; by the status where they say
    /// nothing.
    fn kind(&self, status: Option<u16>) -> ErrorKind {
        if self.is_about_credit() || self.is(&["invalid_api_key", "authentication_error"]) {
            return ErrorKind::Unauthorized;
        }
        // llama.cpp has a type of its own; vLLM and others say it in OpenAI's words.
        if self.is(&["context_length_exceeded", "string_above_max_length", "exceed_context_size_error"])
            || (matches!(status.or_else(|| self.status()), None | Some(400 | 413 | 422))
                && self.says(&["maximum context length", "context length exceeded", "context window"]))
        {
            return ErrorKind::ContextTooLong;
        }
        if self.is(&["content_policy_violation", "content_filter", "invalid_prompt"]) {
            return ErrorKind::Refused;
        }
        if self.is(&["rate_limit_exceeded", "rate_limit_error", "tokens", "requests"])
            && matches!(status, None | Some(429))
        {
            return ErrorKind::RateLimited;
        }
        if self.is(&["overloaded_error", "overloaded", "engine_overloaded"]) {
            return ErrorKind::Overloaded;
        }
        match status.or_else(|| self.status()) {
            Some(status) => kind_of(status),
            None if self.is(&["invalid_request_error", "model_not_found"]) => ErrorKind::BadRequest,
            None if self.is(&["timeout", "timeout_error"]) => ErrorKind::Timeout,
            None => ErrorKind::Unavailable,
        }
    }
}

impl Place {
    /// The error for a status that is no success.
    pub(super) fn refused(&self, refusal: &Refusal) -> LlmError {
        self.failed(&Body::read(&refusal.body), Some(refusal.status))
    }

    /// The error for what a server said, and the status that it said it with, unless that was a success.
    pub(super) fn failed(&self, error: &Error, status: Option<u16>) -> LlmError {
        let kind = error.kind(status);
        let shown = status.or_else(|| error.status());
        let failure = self.endpoint.failure(kind, shown, error.words());
        let (at, model) = (self.endpoint.shown(), &self.model);
        let status = shown.map(|status| format!(" (status {status})")).unwrap_or_default();
        let detail = match kind {
            ErrorKind::Unauthorized if error.is_about_credit() => {
                format!("{WHO} wants credit{status}; add some to the account of OPENAI_API_KEY")
            }
            ErrorKind::Unauthorized if self.has_key => {
                format!("{WHO} at {at} refused access{status}; check OPENAI_API_KEY and what it may do")
            }
            ErrorKind::Unauthorized => {
                format!("{WHO} at {at} wants a key{status}; set OPENAI_API_KEY")
            }
            ErrorKind::BadRequest if error.is_about_the_model() => {
                format!("{WHO} at {at} has no model {model}; set OPENAI_MODEL to one that it has")
            }
            ErrorKind::BadRequest if shown == Some(404) => {
                format!("{} (it mostly ends in /v1) or OPENAI_MODEL ({model})", failure.detail)
            }
            _ => return failure,
        };
        LlmError::new(kind, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::Body;
    use crate::ErrorKind;

    /// Codes and types: guides/error-codes, "API errors" and "Python library error types"; for others,
    /// the server in the first column.
    #[test]
    fn words_and_statuses_have_kinds() {
        for (whose, status, body, kind) in [
            ("OpenAI", Some(401), r#"{"error":{"code":"invalid_api_key"}}"#, ErrorKind::Unauthorized),
            ("OpenAI", Some(403), r#"{"error":{"code":"unsupported_country"}}"#, ErrorKind::Unauthorized),
            ("OpenAI", Some(404), r#"{"error":{"code":"model_not_found"}}"#, ErrorKind::BadRequest),
            (
                "OpenAI",
                Some(400),
                r#"{"error":{"code":"context_length_exceeded"}}"#,
                ErrorKind::ContextTooLong,
            ),
            ("OpenAI", Some(400), r#"{"error":{"code":"content_policy_violation"}}"#, ErrorKind::Refused),
            (
                "OpenAI",
                Some(400),
                r#"{"error":{"code":null,"type":"invalid_request_error"}}"#,
                ErrorKind::BadRequest,
            ),
            (
                "OpenAI",
                Some(429),
                r#"{"error":{"type":"tokens","code":"rate_limit_exceeded"}}"#,
                ErrorKind::RateLimited,
            ),
            (
                "OpenAI",
                Some(429),
                r#"{"error":{"type":"insufficient_quota","code":"insufficient_quota"}}"#,
                ErrorKind::Unauthorized,
            ),
            ("OpenAI", Some(500), r#"{"error":{"type":"server_error"}}"#, ErrorKind::Unavailable),
            (
                "OpenAI",
                Some(503),
                r#"{"error":{"message":"The engine is currently overloaded"}}"#,
                ErrorKind::Overloaded,
            ),
            ("OpenAI", None, r#"{"error":{"type":"server_error","code":null}}"#, ErrorKind::Unavailable),
            ("Azure", Some(400), r#"{"error":{"code":"content_filter"}}"#, ErrorKind::Refused),
            (
                "vLLM",
                Some(400),
                r#"{"error":{"message":"This model's maximum context length is 4096 tokens.","type":"BadRequestError","code":400}}"#,
                ErrorKind::ContextTooLong,
            ),
            (
                "vLLM",
                Some(400),
                r#"{"object":"error","message":"This model's maximum context length is 4096 tokens.","code":400}"#,
                ErrorKind::ContextTooLong,
            ),
            (
                "vLLM",
                Some(404),
                r#"{"error":{"message":"The model `x` does not exist.","type":"NotFoundError","code":404}}"#,
                ErrorKind::BadRequest,
            ),
            (
                "llama.cpp",
                Some(400),
                r#"{"error":{"code":400,"type":"exceed_context_size_error"}}"#,
                ErrorKind::ContextTooLong,
            ),
            ("LM Studio", Some(400), r#"{"error":"No models loaded"}"#, ErrorKind::BadRequest),
            ("OpenRouter", None, r#"{"error":{"code":429,"message":"slow down"}}"#, ErrorKind::RateLimited),
            ("OpenRouter", None, r#"{"error":{"code":"502"}}"#, ErrorKind::Unavailable),
            ("OpenRouter", Some(402), r#"{"error":{"code":402}}"#, ErrorKind::Unauthorized),
            ("a proxy", Some(502), "<html>", ErrorKind::Unavailable),
            ("a proxy", Some(504), "", ErrorKind::Timeout),
            ("nobody", Some(400), r#"{"error":{"message":7}}"#, ErrorKind::BadRequest),
            ("nobody", Some(500), r#"{"error":{"code":"context_windows"}}"#, ErrorKind::Unavailable),
            ("nobody", None, "[]", ErrorKind::Unavailable),
        ] {
            assert_eq!(Body::read(body.as_bytes()).kind(status), kind, "{whose}: {status:?} {body}");
        }
    }
}
