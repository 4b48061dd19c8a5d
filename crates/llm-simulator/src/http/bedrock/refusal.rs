//! What Bedrock says when it does not answer: a status, the kind of exception in a header, and
//! `{"message": "…"}`, in AWS's own words where they are known.
//!
//! Source: <https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html>
//! and the exceptions of the operation in botocore's model.

use axum::extract::rejection::BytesRejection;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;

use super::{JSON, told};
use crate::failure::Failure;
use crate::http::serving::Refused;

/// What AWS adds to the name of an exception; clients cut it off.
const NAMESPACE: &str = "http://internal.amazon.com/coral/com.amazon.bedrock/";

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// Neither a signature nor a key.
    #[error("Missing Authentication Token")]
    NoAuthentication,
    /// A signature that lacks one of its parts.
    #[error("{0}")]
    IncompleteSignature(String),
    /// A signature that is not of this request, of these keys, or of now.
    #[error("{0}")]
    WrongSignature(String),
    /// A key that nobody has.
    #[error("The security token included in the request is invalid.")]
    UnknownKey,
    /// An API key that nobody has.
    #[error("Authentication failed: Please make sure your API Key is valid.")]
    WrongApiKey,
    /// There is no such operation.
    #[error(
        "Unknown operation: POST /model/{{modelId}}/converse and /model/{{modelId}}/converse-stream are served here"
    )]
    UnknownOperation,
    /// The body is larger than the limit.
    #[error("Request body is too large")]
    BodyTooLarge,
    /// The body did not arrive whole.
    #[error("Request body did not arrive whole")]
    BodyBroken,
    /// The body is not JSON, or a member has the wrong type.
    #[error("{0}")]
    Unreadable(String),
    /// The request asks for what cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The model is not on offer.
    #[error("The provided model identifier is invalid.")]
    ModelUnknown,
    /// It fails on purpose.
    #[error("{}", in_aws_words(.0))]
    Failed(Failure),
}

/// Clients recognise a question that is too long by its words.
fn in_aws_words(failure: &Failure) -> String {
    match failure {
        Failure::ContextLength { .. } => "Input is too long for requested model.".to_owned(),
        Failure::RateLimited { .. } => {
            format!("Too many requests, please wait before trying again: {failure}.")
        }
        other => other.to_string(),
    }
}

impl Refusal {
    const fn kind(&self) -> &'static str {
        match self {
            Self::NoAuthentication => "no_authentication",
            Self::IncompleteSignature(_) => "incomplete_signature",
            Self::WrongSignature(_) => "wrong_signature",
            Self::UnknownKey => "unknown_key",
            Self::WrongApiKey => "wrong_api_key",
            Self::UnknownOperation => "unknown_operation",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyBroken => "body_broken",
            Self::Unreadable(_) => "unreadable",
            Self::Invalid(_) => "invalid",
            Self::ModelUnknown => "model_unknown",
            Self::Failed(failure) => failure.kind(),
        }
    }

    /// The status and the name of the exception.
    pub(super) fn exception(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NoAuthentication => (StatusCode::FORBIDDEN, "MissingAuthenticationTokenException"),
            Self::IncompleteSignature(_) => (StatusCode::FORBIDDEN, "IncompleteSignatureException"),
            Self::WrongSignature(_) => (StatusCode::FORBIDDEN, "InvalidSignatureException"),
            Self::UnknownKey => (StatusCode::FORBIDDEN, "UnrecognizedClientException"),
            Self::WrongApiKey => (StatusCode::FORBIDDEN, "AccessDeniedException"),
            Self::UnknownOperation => (StatusCode::NOT_FOUND, "UnknownOperationException"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLargeException"),
            Self::BodyBroken | Self::Unreadable(_) => (StatusCode::BAD_REQUEST, "SerializationException"),
            Self::Invalid(_) | Self::ModelUnknown => (StatusCode::BAD_REQUEST, "ValidationException"),
            Self::Failed(failure) => match failure {
                Failure::RateLimited { .. } => of_status(StatusCode::TOO_MANY_REQUESTS),
                // What Anthropic calls overloaded, Bedrock does not tell from unavailable.
                Failure::Unavailable { .. } | Failure::Overloaded => {
                    of_status(StatusCode::SERVICE_UNAVAILABLE)
                }
                // Bedrock's own, whatever a gateway would say.
                Failure::Timeout { .. } => of_status(StatusCode::REQUEST_TIMEOUT),
                Failure::ContextLength { .. } => of_status(StatusCode::BAD_REQUEST),
                Failure::NotRecorded { .. } => of_status(StatusCode::NOT_FOUND),
                Failure::Recorded { status, .. } => {
                    of_status(StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
                }
                Failure::ServerError | Failure::Reset => of_status(StatusCode::INTERNAL_SERVER_ERROR),
            },
        }
    }

    fn body(&self) -> String {
        match self {
            Self::Failed(Failure::Recorded { body, .. }) => body.clone(),
            other => json!({"message": other.to_string()}).to_string(),
        }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = told::request_id();
        let (_, exception) = self.exception();
        if let Ok(exception) = HeaderValue::from_str(&format!("{exception}:{NAMESPACE}")) {
            headers.insert("x-amzn-errortype", exception);
        }
        if let Self::Failed(failure) = self
            && let Some(wait) = failure.retry_after_seconds()
        {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait));
        }
        headers
    }
}

/// The exception that Converse has for a status.
const fn of_status(status: StatusCode) -> (StatusCode, &'static str) {
    let name = match status.as_u16() {
        403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 => "ModelTimeoutException",
        424 => "ModelErrorException",
        429 => "ThrottlingException",
        503 => "ServiceUnavailableException",
        400..=499 => "ValidationException",
        _ => "InternalServerException",
    };
    (status, name)
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
            status: refusal.exception().0,
            content_type: JSON,
            headers: refusal.headers(),
            body: refusal.body(),
            kind: refusal.kind(),
            detail: refusal.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Refusal;
    use crate::failure::Failure;
    use crate::http::serving::Refused;

    #[test]
    fn every_failure_is_an_exception_of_converse() {
        let wait = Duration::from_millis(1_500);
        let recorded =
            |status| Failure::Recorded { status, retry_after: None, body: r#"{"message":"x"}"#.to_owned() };
        for (failure, status, exception) in [
            (Failure::RateLimited { retry_after: wait }, 429, "ThrottlingException"),
            (Failure::ServerError, 500, "InternalServerException"),
            (Failure::Unavailable { retry_after: Some(wait) }, 503, "ServiceUnavailableException"),
            (Failure::Overloaded, 503, "ServiceUnavailableException"),
            (Failure::Timeout { after: wait }, 408, "ModelTimeoutException"),
            (Failure::ContextLength { tokens: 2, most: 1 }, 400, "ValidationException"),
            (Failure::NotRecorded { nearest: "x".to_owned() }, 404, "ResourceNotFoundException"),
            (recorded(408), 408, "ModelTimeoutException"),
            (recorded(424), 424, "ModelErrorException"),
            (recorded(403), 403, "AccessDeniedException"),
            (recorded(413), 413, "ValidationException"),
            (recorded(9_999), 500, "InternalServerException"),
        ] {
            let waits = failure.retry_after_seconds().is_some();
            let refused = Refused::from(Refusal::Failed(failure));
            assert_eq!(refused.status, status, "{refused:?}");
            assert!(
                refused.headers["x-amzn-errortype"].to_str().unwrap().starts_with(&format!("{exception}:"))
            );
            assert_eq!(
                refused.headers.get("retry-after").map(|wait| wait.to_str().unwrap()),
                waits.then_some("2")
            );
            assert!(
                refused.body.starts_with(r#"{"message":""#)
                    && refused.headers.contains_key("x-amzn-requestid")
            );
        }
    }
}
