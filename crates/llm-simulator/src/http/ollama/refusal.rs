//! What Ollama says when it does not answer: `{"error": "…"}` and a status, in its own words.

use axum::extract::rejection::BytesRejection;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;

use super::JSON;
use crate::failure::Failure;
use crate::http::serving::{Refused, bounded};

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::http) enum Refusal {
    /// The body is empty.
    #[error("missing request body")]
    NoBody,
    /// The body is larger than the limit. Ollama has none.
    #[error("http: request body too large")]
    BodyTooLarge,
    /// The body did not arrive whole.
    #[error("unexpected EOF")]
    BodyBroken,
    /// The body is not JSON, in the words of Ollama's parser.
    #[error("{0}")]
    NotJson(String),
    /// A value has the wrong type, in the words of Ollama's parser.
    #[error("json: cannot unmarshal {found} into {place}")]
    WrongType {
        /// What kind of JSON value it is.
        found: &'static str,
        /// The field and its type, as Ollama's parser names them.
        place: String,
    },
    /// `keep_alive` is neither a number nor a duration.
    #[error("time: invalid duration {0:?}")]
    KeepAlive(String),
    /// No model is named, or no model can have this name.
    #[error("model is required")]
    ModelRequired,
    /// The model is not on offer.
    #[error("model '{0}' not found")]
    ModelNotFound(String),
    /// An option has the wrong type; Ollama answers 500.
    #[error("option {name:?} must be of type {wanted}")]
    OptionType {
        /// The option.
        name: &'static str,
        /// Its type, as Ollama names it.
        wanted: &'static str,
    },
    /// `format` is neither `json` nor a schema; Ollama answers 500.
    #[error("invalid format: {0:?}; expected \"json\" or a valid JSON Schema object")]
    Format(String),
    /// `think` is not one of its values.
    #[error("invalid think value: {0} (must be \"high\", \"medium\", \"low\", true, or false)")]
    Think(String),
    /// The model does not do what is asked for.
    #[error("{model} does not support {ability}")]
    Unable {
        /// The model as this message of Ollama's names it.
        model: String,
        /// What it does not do.
        ability: &'static str,
    },
    /// A raw prompt leaves no place for a system text.
    #[error("raw mode does not support template, system, or context")]
    Raw,
    /// It fails on purpose.
    #[error("{0}")]
    Failed(Failure),
}

impl Refusal {
    const fn kind(&self) -> &'static str {
        match self {
            Self::NoBody => "no_body",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyBroken => "body_broken",
            Self::NotJson(_) => "malformed_json",
            Self::WrongType { .. } => "wrong_type",
            Self::KeepAlive(_) => "keep_alive",
            Self::ModelRequired => "model_required",
            Self::ModelNotFound(_) => "model_not_found",
            Self::OptionType { .. } => "option_type",
            Self::Format(_) => "format",
            Self::Think(_) => "think",
            Self::Unable { .. } => "unable",
            Self::Raw => "raw",
            Self::Failed(failure) => failure.kind(),
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::NoBody
            | Self::BodyBroken
            | Self::NotJson(_)
            | Self::WrongType { .. }
            | Self::KeepAlive(_)
            | Self::ModelRequired
            | Self::Think(_)
            | Self::Unable { .. }
            | Self::Raw => StatusCode::BAD_REQUEST,
            Self::ModelNotFound(_) => StatusCode::NOT_FOUND,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::OptionType { .. } | Self::Format(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Failed(failure) => match failure {
                Failure::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
                Failure::Unavailable { .. } | Failure::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
                Failure::ContextLength { .. } => StatusCode::BAD_REQUEST,
                Failure::NotRecorded { .. } => StatusCode::NOT_FOUND,
                Failure::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
                Failure::Recorded { status, .. } => {
                    StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
                }
                Failure::ServerError | Failure::Reset => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }

    fn body(&self) -> String {
        match self {
            Self::Failed(Failure::Recorded { body, .. }) => body.clone(),
            other => json!({"error": bounded(other.to_string())}).to_string(),
        }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Self::Failed(failure) = self
            && let Some(wait) = failure.retry_after_seconds()
        {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait));
        }
        headers
    }
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

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self {
            status: refusal.status(),
            content_type: JSON,
            headers: refusal.headers(),
            body: refusal.body(),
            kind: refusal.kind(),
            detail: bounded(refusal.to_string()),
        }
    }
}
