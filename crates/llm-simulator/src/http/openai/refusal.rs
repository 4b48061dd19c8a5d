//! What OpenAI says when it does not answer: `{"error": {"message", "type", "param", "code"}}` and
//! a status, in its own words.
//!
//! Source: <https://platform.openai.com/docs/guides/error-codes>; the wording is that of errors as
//! users report them.

use axum::extract::rejection::BytesRejection;
use http::header::RETRY_AFTER;
use http::{HeaderValue, Method, StatusCode};
use serde::Serialize;

use super::{JSON, limits};
use crate::allowance::Allowance;
use crate::failure::Failure;
use crate::http::json_body::Unreadable;
use crate::http::serving::{Refused, bounded, encoded_text};

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::http) enum Refusal {
    /// No key.
    #[error(
        "You didn't provide an API key. You need to provide your API key in an Authorization header using \
         Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or as the password field (with blank username) if \
         you're accessing the API from your browser and are prompted for a username and password. You can \
         obtain an API key from https://platform.openai.com/account/api-keys."
    )]
    NoKey,
    /// Another key than the one set. OpenAI shows the ends of it; here nothing of it is shown.
    #[error(
        "Incorrect API key provided: ********. You can find your API key at \
         https://platform.openai.com/account/api-keys."
    )]
    WrongKey,
    /// The body is larger than the limit.
    #[error("Maximum content size limit ({most}) exceeded")]
    BodyTooLarge {
        /// The limit in bytes.
        most: usize,
    },
    /// The body did not arrive whole.
    #[error("The body of your request did not arrive whole.")]
    BodyBroken,
    /// The body is not JSON.
    #[error(
        "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your \
         HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. \
         If you have trouble figuring out how to fix this, please contact us through our help center at \
         help.openai.com.)"
    )]
    NotJson {
        /// What our parser says, for the log.
        detail: String,
    },
    /// The body has more values than we take.
    #[error("{0}")]
    TooManyValues(Unreadable),
    /// No model is named.
    #[error("you must provide a model parameter")]
    NoModel,
    /// The model asked for is not on offer.
    #[error("The model `{0}` does not exist or you do not have access to it.")]
    ModelNotFound(String),
    /// The model looked up is not on offer.
    #[error("The model '{0}' does not exist")]
    NoSuchModel(String),
    /// Fields of the body that there are not.
    #[error("Unrecognized request argument{} supplied: {}", if .0.len() == 1 { "" } else { "s" }, .0.join(", "))]
    Unrecognized(Vec<String>),
    /// A field further down that there is not.
    #[error("Unknown parameter: '{0}'.")]
    Unknown(String),
    /// A field is missing.
    #[error("Missing required parameter: '{0}'.")]
    Missing(String),
    /// A field has the wrong type; without a name the whole body.
    #[error("Invalid type{}: expected {expected}, but got {found} instead.", quoted(.param))]
    WrongType {
        /// The field.
        param: Option<String>,
        /// What it should be, with an article.
        expected: &'static str,
        /// What it is, with an article.
        found: &'static str,
    },
    /// A field has none of its values.
    #[error("Invalid value: '{found}'. Supported values are: {supported}.")]
    Value {
        /// The field.
        param: String,
        /// What it is.
        found: String,
        /// What it may be.
        supported: String,
    },
    /// A number is out of bounds.
    #[error(
        "Invalid '{param}': {number} {side} value. Expected a value {sign} {bound}, but got {found} instead.",
        side = if *.above { "above maximum" } else { "below minimum" },
        sign = if *.above { "<=" } else { ">=" }
    )]
    Bounds {
        /// The field.
        param: String,
        /// `integer` or `decimal`.
        number: &'static str,
        /// Whether it is too large.
        above: bool,
        /// The bound.
        bound: String,
        /// What it is.
        found: String,
    },
    /// A list is too long.
    #[error(
        "Invalid '{param}': array too long. Expected an array with maximum length {most}, but got an array \
         with length {found} instead."
    )]
    TooLong {
        /// The list.
        param: String,
        /// Its largest length.
        most: usize,
        /// Its length.
        found: usize,
    },
    /// A list is empty.
    #[error(
        "Invalid '{0}': empty array. Expected an array with minimum length 1, but got an empty array instead."
    )]
    Empty(String),
    /// Fields that are right by themselves and do not fit together, or something no model here does.
    #[error("{message}")]
    Unfit {
        /// What is wrong.
        message: String,
        /// The field.
        param: Option<String>,
        /// 400, or 403 for what is not allowed.
        status: StatusCode,
    },
    /// No such path.
    #[error("Invalid URL ({0} {1})")]
    UnknownUrl(Method, String),
    /// Not with this method.
    #[error("Not allowed to {0} on {1}. (HINT: Perhaps you meant to use a different HTTP method?)")]
    WrongMethod(Method, String),
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
    /// The model.
    pub(super) model: String,
}

fn quoted(param: &Option<String>) -> String {
    param.as_ref().map(|param| format!(" for '{param}'")).unwrap_or_default()
}

impl Failed {
    /// OpenAI's words for it.
    fn said(&self) -> String {
        let Self { failure, allowance, model } = self;
        match failure {
            Failure::RateLimited { retry_after } => {
                let (scope, letters) = limits::reached(allowance.as_ref());
                let limit = limits::limit(allowance.as_ref());
                let limit = limit.map(|limit| format!(": Limit {limit}")).unwrap_or_default();
                format!(
                    "Rate limit reached for {model} in organization org-simulated on {scope} per min \
                     ({letters}){limit}. Please try again in {}. Visit \
                     https://platform.openai.com/account/rate-limits to learn more.",
                    limits::duration(*retry_after)
                )
            }
            Failure::ServerError => {
                "The server had an error while processing your request. Sorry about that!".to_owned()
            }
            Failure::Unavailable { .. } => "Service unavailable. Please try again later.".to_owned(),
            Failure::Timeout { .. } => "Request timed out.".to_owned(),
            Failure::Overloaded => "The engine is currently overloaded, please try again later".to_owned(),
            Failure::ContextLength { tokens, most } => format!(
                "This model's maximum context length is {most} tokens. However, your messages resulted in \
                 {tokens} tokens. Please reduce the length of the messages."
            ),
            Failure::Reset | Failure::NotRecorded { .. } | Failure::Recorded { .. } => failure.to_string(),
        }
    }
}

#[derive(Serialize)]
struct Said<'a> {
    error: Error<'a>,
}

#[derive(Serialize)]
struct Error<'a> {
    message: String,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<&'a str>,
    code: Option<&'static str>,
}

/// An error's `type`, `param` and `code`.
type Named<'a> = (&'static str, Option<&'a str>, Option<&'static str>);

const INVALID: &str = "invalid_request_error";

impl Refusal {
    /// Something that is right by itself and cannot be had.
    pub(super) fn unfit(param: &str, message: impl Into<String>) -> Self {
        Self::Unfit {
            message: message.into(),
            param: Some(param.to_owned()),
            status: StatusCode::BAD_REQUEST,
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::NoKey => "no_api_key",
            Self::WrongKey => "invalid_api_key",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::BodyBroken => "body_broken",
            Self::NotJson { .. } => "malformed_json",
            Self::TooManyValues(_) => "too_many_values",
            Self::NoModel => "model_required",
            Self::ModelNotFound(_) | Self::NoSuchModel(_) => "model_not_found",
            Self::Unrecognized(_) | Self::Unknown(_) => "unknown_parameter",
            Self::Missing(_) => "missing_parameter",
            Self::WrongType { .. } => "wrong_type",
            Self::Value { .. } => "wrong_value",
            Self::Bounds { .. } => "out_of_bounds",
            Self::TooLong { .. } => "array_too_long",
            Self::Empty(_) => "empty_array",
            Self::Unfit { .. } => "unfit",
            Self::UnknownUrl(..) => "unknown_url",
            Self::WrongMethod(..) => "method_not_supported",
            Self::Failed(failed) => failed.failure.kind(),
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::NoKey | Self::WrongKey => StatusCode::UNAUTHORIZED,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ModelNotFound(_) | Self::NoSuchModel(_) | Self::UnknownUrl(..) => StatusCode::NOT_FOUND,
            Self::WrongMethod(..) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unfit { status, .. } => *status,
            Self::BodyBroken
            | Self::NotJson { .. }
            | Self::TooManyValues(_)
            | Self::NoModel
            | Self::Unrecognized(_)
            | Self::Unknown(_)
            | Self::Missing(_)
            | Self::WrongType { .. }
            | Self::Value { .. }
            | Self::Bounds { .. }
            | Self::TooLong { .. }
            | Self::Empty(_) => StatusCode::BAD_REQUEST,
            Self::Failed(failed) => match &failed.failure {
                Failure::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
                Failure::ServerError | Failure::Reset => StatusCode::INTERNAL_SERVER_ERROR,
                Failure::Unavailable { .. } | Failure::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
                Failure::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
                Failure::ContextLength { .. } => StatusCode::BAD_REQUEST,
                Failure::NotRecorded { .. } => StatusCode::NOT_FOUND,
                Failure::Recorded { status, .. } => {
                    StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
                }
            },
        }
    }

    fn named(&self) -> Named<'_> {
        match self {
            Self::WrongKey => (INVALID, None, Some("invalid_api_key")),
            Self::ModelNotFound(_) => (INVALID, None, Some("model_not_found")),
            Self::NoSuchModel(_) => (INVALID, Some("model"), Some("model_not_found")),
            Self::Unknown(param) => (INVALID, Some(param), Some("unknown_parameter")),
            Self::Missing(param) => (INVALID, Some(param), Some("missing_required_parameter")),
            Self::WrongType { param, .. } => (INVALID, param.as_deref(), Some("invalid_type")),
            Self::Value { param, .. } => (INVALID, Some(param), Some("invalid_value")),
            Self::Bounds { param, number, above, .. } => {
                let code = match (*number, above) {
                    ("integer", true) => "integer_above_max_value",
                    ("integer", false) => "integer_below_min_value",
                    (_, true) => "decimal_above_max_value",
                    (_, false) => "decimal_below_min_value",
                };
                (INVALID, Some(param), Some(code))
            }
            Self::TooLong { param, .. } => (INVALID, Some(param), Some("array_above_max_length")),
            Self::Empty(param) => (INVALID, Some(param), Some("empty_array")),
            Self::Unfit { param, .. } => (INVALID, param.as_deref(), None),
            Self::WrongMethod(..) => (INVALID, None, Some("method_not_supported")),
            Self::NoKey
            | Self::BodyTooLarge { .. }
            | Self::BodyBroken
            | Self::NotJson { .. }
            | Self::TooManyValues(_)
            | Self::NoModel
            | Self::Unrecognized(_)
            | Self::UnknownUrl(..) => (INVALID, None, None),
            Self::Failed(failed) => match &failed.failure {
                Failure::RateLimited { .. } => {
                    (limits::reached(failed.allowance.as_ref()).0, None, Some("rate_limit_exceeded"))
                }
                Failure::ContextLength { .. } => (INVALID, Some("messages"), Some("context_length_exceeded")),
                Failure::NotRecorded { .. } => (INVALID, None, Some("not_recorded")),
                Failure::ServerError
                | Failure::Unavailable { .. }
                | Failure::Overloaded
                | Failure::Timeout { .. }
                | Failure::Reset
                | Failure::Recorded { .. } => ("server_error", None, None),
            },
        }
    }

    fn body(&self) -> String {
        if let Self::Failed(failed) = self
            && let Failure::Recorded { body, .. } = &failed.failure
        {
            return body.clone();
        }
        let (kind, param, code) = self.named();
        let message = bounded(self.to_string());
        encoded_text(&Said { error: Error { message, kind, param, code } })
    }
}

impl From<(BytesRejection, usize)> for Refusal {
    fn from((rejection, most): (BytesRejection, usize)) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Self::BodyTooLarge { most }
        } else {
            Self::BodyBroken
        }
    }
}

impl From<Unreadable> for Refusal {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Malformed(detail) => Self::NotJson { detail },
            many @ Unreadable::TooMany => Self::TooManyValues(many),
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let failed = match &refusal {
            Refusal::Failed(failed) => Some(failed),
            _ => None,
        };
        let mut headers = limits::headers(failed.and_then(|failed| failed.allowance.as_ref()));
        if let Some(wait) = failed.and_then(|failed| failed.failure.retry_after_seconds()) {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait));
        }
        let detail = match &refusal {
            Refusal::NotJson { detail } => detail.clone(),
            Refusal::Failed(failed) => failed.failure.to_string(),
            other => other.to_string(),
        };
        Self {
            status: refusal.status(),
            content_type: JSON,
            headers,
            body: refusal.body(),
            kind: refusal.kind(),
            detail: bounded(detail),
        }
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
        let allowance = Some(Allowance { requests: left(500, 3), tokens: left(30_000, 100) });
        Refusal::Failed(Box::new(Failed { failure, allowance, model: "gpt-4o".to_owned() })).into()
    }

    #[test]
    fn every_failure_has_openais_status_words_and_headers() {
        let wait = Duration::from_millis(1_500);
        let null = Value::Null;
        for (failure, status, kind, code, retry_after) in [
            (
                Failure::RateLimited { retry_after: wait },
                429,
                "tokens",
                json!("rate_limit_exceeded"),
                Some("2"),
            ),
            (Failure::ServerError, 500, "server_error", null.clone(), None),
            (Failure::Unavailable { retry_after: None }, 503, "server_error", null.clone(), None),
            (Failure::Unavailable { retry_after: Some(wait) }, 503, "server_error", null.clone(), Some("2")),
            (Failure::Overloaded, 503, "server_error", null.clone(), None),
            (Failure::Reset, 500, "server_error", null, None),
            (
                Failure::ContextLength { tokens: 9, most: 8 },
                400,
                "invalid_request_error",
                json!("context_length_exceeded"),
                None,
            ),
            (
                Failure::NotRecorded { nearest: "none".to_owned() },
                404,
                "invalid_request_error",
                json!("not_recorded"),
                None,
            ),
        ] {
            let refused = refused(failure.clone());
            assert_eq!((refused.status.as_u16(), refused.kind), (status, failure.kind()));
            let body: Value = serde_json::from_str(&refused.body).unwrap();
            assert_eq!((&body["error"]["type"], &body["error"]["code"]), (&json!(kind), &code), "{body}");
            let told = refused.headers.get("retry-after").map(|wait| wait.to_str().unwrap());
            assert_eq!(told, retry_after, "{failure:?}");
            assert_eq!(refused.headers["x-ratelimit-remaining-requests"], "3");
        }
        let body = refused(Failure::RateLimited { retry_after: wait }).body;
        assert!(body.contains("tokens per min (TPM): Limit 30000. Please try again in 1.5s."), "{body}");
    }

    #[test]
    fn a_recorded_failure_is_given_as_it_came() {
        let recorded = |status| Failure::Recorded {
            status,
            retry_after: Some(Duration::from_secs(7)),
            body: "as it came".to_owned(),
        };
        let told = refused(recorded(418));
        assert_eq!((told.status.as_u16(), told.body.as_str()), (418, "as it came"));
        assert_eq!(told.headers["retry-after"], "7");
        assert_eq!(refused(recorded(7)).status.as_u16(), 500);
    }
}
