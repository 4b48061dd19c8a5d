//! What Anthropic says when it does not answer: `{"type": "error", "error": {"type", "message"},
//! "request_id"}` and a status, in its own words.
//!
//! Source: <https://docs.anthropic.com/en/api/errors>; the wording is that of errors as users report
//! them.

use axum::extract::rejection::BytesRejection;
use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use super::{JSON, limits};
use crate::allowance::Allowance;
use crate::failure::Failure;
use crate::http::identity;
use crate::http::json_body::Unreadable;
use crate::http::serving::{Refused, bounded, encoded_text};

/// Says whether asking again makes sense; Anthropic's clients obey it.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::http) enum Refusal {
    /// No key.
    #[error("x-api-key header is required")]
    NoKey,
    /// Another key than the one set.
    #[error("invalid x-api-key")]
    WrongKey,
    /// Another bearer token than the key set.
    #[error("Invalid bearer token")]
    WrongToken,
    /// No version.
    #[error("anthropic-version: header is required")]
    NoVersion,
    /// A version that there is not.
    #[error("anthropic-version: {0:?} is not a valid version")]
    WrongVersion(String),
    /// The body is larger than the limit.
    #[error("Request exceeds the maximum size")]
    BodyTooLarge,
    /// The body did not arrive whole.
    #[error("The request body did not arrive whole")]
    BodyBroken,
    /// The body is not JSON.
    #[error("The request body is not valid JSON: {0}")]
    NotJson(String),
    /// The body has more values than we take.
    #[error("{0}")]
    TooManyValues(Unreadable),
    /// A field is missing.
    #[error("{0}: Field required")]
    Missing(String),
    /// There is no such field.
    #[error("{0}: Extra inputs are not permitted")]
    Extra(String),
    /// A value is not what it should be, as its place and a sentence.
    #[error("{place}: {said}")]
    Wrong {
        /// The field.
        place: String,
        /// What is wrong.
        said: String,
    },
    /// Fields that are right by themselves and do not fit together, or something no model here does.
    #[error("{0}")]
    Unfit(String),
    /// The model is not on offer.
    #[error("model: {0}")]
    ModelNotFound(String),
    /// No such path.
    #[error("Not Found")]
    UnknownPath,
    /// Not with this method.
    #[error("Method Not Allowed")]
    WrongMethod,
    /// It fails on purpose.
    #[error("{}", .0.said())]
    Failed(Box<Failed>),
}

/// A failure on purpose, and what its words need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) struct Failed {
    /// How.
    pub(super) failure: Failure,
    /// What is left of the model's limits.
    pub(super) allowance: Option<Allowance>,
}

impl Failed {
    /// Anthropic's words for it.
    fn said(&self) -> String {
        match &self.failure {
            Failure::RateLimited { .. } => format!(
                "This request would exceed your organization's rate limit of {}. For details, refer to: \
                 https://docs.anthropic.com/en/api/rate-limits. You can see the response headers for current \
                 usage. Please reduce the prompt length or the maximum tokens requested, or try again later.",
                limits::reached(self.allowance.as_ref())
            ),
            Failure::ServerError => "Internal server error".to_owned(),
            Failure::Unavailable { .. } => "Service unavailable".to_owned(),
            Failure::Overloaded => "Overloaded".to_owned(),
            Failure::Timeout { .. } => "Request timed out".to_owned(),
            Failure::ContextLength { tokens, most } => {
                format!("prompt is too long: {tokens} tokens > {most} maximum")
            }
            other @ (Failure::Reset | Failure::NotRecorded { .. } | Failure::Recorded { .. }) => {
                other.to_string()
            }
        }
    }
}

/// Anthropic's own status, which `http` has no name for.
fn overloaded() -> StatusCode {
    StatusCode::from_u16(529).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
}

impl Refusal {
    /// A value that is not what it should be.
    pub(super) fn wrong(place: impl Into<String>, said: impl Into<String>) -> Self {
        Self::Wrong { place: place.into(), said: said.into() }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::NoKey => "no_api_key",
            Self::WrongKey | Self::WrongToken => "invalid_api_key",
            Self::NoVersion | Self::WrongVersion(_) => "anthropic_version",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyBroken => "body_broken",
            Self::NotJson(_) => "malformed_json",
            Self::TooManyValues(_) => "too_many_values",
            Self::Missing(_) => "missing_parameter",
            Self::Extra(_) => "unknown_parameter",
            Self::Wrong { .. } => "wrong_value",
            Self::Unfit(_) => "unfit",
            Self::ModelNotFound(_) => "model_not_found",
            Self::UnknownPath => "unknown_path",
            Self::WrongMethod => "method_not_allowed",
            Self::Failed(failed) => failed.failure.kind(),
        }
    }

    /// The status and the error's `type`.
    fn status(&self) -> (StatusCode, &'static str) {
        const INVALID: &str = "invalid_request_error";
        match self {
            Self::NoKey | Self::WrongKey | Self::WrongToken => {
                (StatusCode::UNAUTHORIZED, "authentication_error")
            }
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "request_too_large"),
            Self::ModelNotFound(_) | Self::UnknownPath => (StatusCode::NOT_FOUND, "not_found_error"),
            Self::WrongMethod => (StatusCode::METHOD_NOT_ALLOWED, INVALID),
            Self::NoVersion
            | Self::WrongVersion(_)
            | Self::BodyBroken
            | Self::NotJson(_)
            | Self::TooManyValues(_)
            | Self::Missing(_)
            | Self::Extra(_)
            | Self::Wrong { .. }
            | Self::Unfit(_) => (StatusCode::BAD_REQUEST, INVALID),
            Self::Failed(failed) => match &failed.failure {
                Failure::RateLimited { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error"),
                Failure::ServerError | Failure::Reset => (StatusCode::INTERNAL_SERVER_ERROR, "api_error"),
                Failure::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "api_error"),
                Failure::Overloaded => (overloaded(), "overloaded_error"),
                Failure::Timeout { .. } => (StatusCode::GATEWAY_TIMEOUT, "timeout_error"),
                Failure::ContextLength { .. } => (StatusCode::BAD_REQUEST, INVALID),
                Failure::NotRecorded { .. } => (StatusCode::NOT_FOUND, "not_found_error"),
                Failure::Recorded { status, .. } => {
                    (StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), "api_error")
                }
            },
        }
    }
}

#[derive(Serialize)]
struct Said<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    error: Error<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct Error<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: &'a str,
}

impl From<BytesRejection> for Refusal {
    fn from(rejection: BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Self::BodyTooLarge
        } else {
            Self::BodyBroken
        }
    }
}

impl From<Unreadable> for Refusal {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Malformed(detail) => Self::NotJson(detail),
            many @ Unreadable::TooMany => Self::TooManyValues(many),
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let (status, kind) = refusal.status();
        let message = bounded(refusal.to_string());
        // The header has the id that the body has, and the same refusal has the same body.
        let id = identity::refusal_id(&message);
        let (failure, allowance) = match &refusal {
            Refusal::Failed(failed) => (Some(&failed.failure), failed.allowance.as_ref()),
            _ => (None, None),
        };
        let mut headers = limits::headers(&id, allowance);
        if let Some(wait) = failure.and_then(Failure::retry_after_seconds) {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait));
        }
        let again = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
        headers.insert(SHOULD_RETRY, HeaderValue::from_static(if again { "true" } else { "false" }));
        let body = match failure {
            Some(Failure::Recorded { body, .. }) => body.clone(),
            _ => {
                let error = Error { kind, message: &message };
                encoded_text(&Said { kind: "error", error, request_id: &id })
            }
        };
        let detail = failure.map_or(message, ToString::to_string);
        Self { status, content_type: JSON, headers, body, kind: refusal.kind(), detail: bounded(detail) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::{Failed, Refusal};
    use crate::allowance::{Allowance, Left};
    use crate::failure::Failure;
    use crate::http::serving::Refused;

    fn refused(failure: Failure) -> Refused {
        let left = |limit, remaining| Left { limit, remaining, reset: Duration::from_secs(60) };
        let allowance = Some(Allowance { requests: left(50, 0), tokens: left(30_000, 30_000) });
        Refusal::Failed(Box::new(Failed { failure, allowance })).into()
    }

    #[test]
    fn every_failure_has_anthropics_status_words_and_headers() {
        let wait = Duration::from_millis(1_500);
        for (failure, status, kind, retry_after, again) in [
            (Failure::RateLimited { retry_after: wait }, 429, "rate_limit_error", Some("2"), "true"),
            (Failure::ServerError, 500, "api_error", None, "true"),
            (Failure::Unavailable { retry_after: None }, 503, "api_error", None, "true"),
            (Failure::Unavailable { retry_after: Some(wait) }, 503, "api_error", Some("2"), "true"),
            (Failure::Overloaded, 529, "overloaded_error", None, "true"),
            (Failure::Reset, 500, "api_error", None, "true"),
            (Failure::ContextLength { tokens: 9, most: 8 }, 400, "invalid_request_error", None, "false"),
            (Failure::NotRecorded { nearest: "none".to_owned() }, 404, "not_found_error", None, "false"),
        ] {
            let refused = refused(failure.clone());
            assert_eq!((refused.status.as_u16(), refused.kind), (status, failure.kind()));
            let body: Value = serde_json::from_str(&refused.body).unwrap();
            assert_eq!((&body["type"], &body["error"]["type"]), (&json!("error"), &json!(kind)), "{body}");
            assert_eq!(body["request_id"], refused.headers["request-id"].to_str().unwrap());
            let told = refused.headers.get("retry-after").map(|wait| wait.to_str().unwrap());
            assert_eq!(told, retry_after, "{failure:?}");
            assert_eq!(refused.headers["x-should-retry"], again);
            assert_eq!(refused.headers["anthropic-ratelimit-requests-remaining"], "0");
        }
        let said = |failure| refused(failure).body;
        assert!(
            said(Failure::RateLimited { retry_after: wait }).contains("limit of 50 requests per minute.")
        );
        let long = said(Failure::ContextLength { tokens: 9, most: 8 });
        assert!(long.contains("prompt is too long: 9 tokens > 8 maximum"), "{long}");
    }

    #[test]
    fn a_recorded_failure_is_given_as_it_came() {
        let retry_after = Some(Duration::from_secs(7));
        let recorded = |status| Failure::Recorded { status, retry_after, body: "as it came".to_owned() };
        let told = refused(recorded(418));
        assert_eq!((told.status.as_u16(), told.body.as_str()), (418, "as it came"));
        assert_eq!(told.headers["retry-after"], "7");
        assert_eq!(refused(recorded(7)).status.as_u16(), 500);
    }
}
