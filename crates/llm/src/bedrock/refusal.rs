//! What went wrong, in Bedrock's words: exceptions of Converse and `ConverseStream` ("Errors" of both
//! operations in the API reference), AWS's common ones
//! (<https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html>), and
//! what the SDK says where no answer came.
//!
//! Owns the mapping to our kinds. Must not know how an answer is read.

use std::error::Error;

use aws_sdk_bedrockruntime::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_bedrockruntime::types::error::ConverseStreamOutputError;

use super::exchange::{Exchange, Seen, without_credentials};
use super::{WHO, kind_of};
use crate::endpoint::quote;
use crate::{ErrorKind, LlmError};

/// The kind of an exception by its name, with the words of those that are about several. None for a name
/// that is new.
fn kind(exception: &str, message: &str) -> Option<ErrorKind> {
    let message = message.to_ascii_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| message.contains(phrase));
    let name = exception.strip_suffix("Exception").unwrap_or(exception);
    Some(match name {
        "Throttling" | "TooManyRequests" | "RequestLimitExceeded" | "ServiceQuotaExceeded" => {
            ErrorKind::RateLimited
        }
        // Answered 429, but it is not we who ask too much: the model is being loaded.
        "ModelNotReady" | "ServiceUnavailable" => ErrorKind::Overloaded,
        "ModelTimeout" | "RequestTimeout" => ErrorKind::Timeout,
        "ModelError" | "ModelStreamError" | "InternalServer" | "InternalFailure" => ErrorKind::Unavailable,
        "AccessDenied"
        | "ExpiredToken"
        | "UnrecognizedClient"
        | "InvalidSignature"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "InvalidClientTokenId"
        | "NotAuthorized"
        | "OptInRequired"
        | "RequestExpired" => ErrorKind::Unauthorized,
        "Validation" | "ValidationError"
            if says(&[
                "too long",
                "too many input tokens",
                "maximum context length",
                "context window",
                "exceeds the maximum number of tokens",
            ]) =>
        {
            ErrorKind::ContextTooLong
        }
        "Validation" | "ValidationError" | "ResourceNotFound" | "UnknownOperation" | "Serialization" => {
            ErrorKind::BadRequest
        }
        _ => return None,
    })
}

/// The error for a call that the SDK says has failed.
pub(super) fn of<E, R>(error: &SdkError<E, R>, exchange: &Exchange, model: &str) -> LlmError
where
    E: Error + ProvideErrorMetadata + 'static,
    R: std::fmt::Debug + 'static,
{
    let seen = exchange.seen();
    if let Some(status) = seen.status {
        return answered(error, &seen, status, model);
    }
    if let Some(source) = error.source()
        && without_credentials(source).is_some()
    {
        let detail = format!(
            "{WHO} has no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or \
             AWS_BEARER_TOKEN_BEDROCK, or run where a role gives them"
        );
        return LlmError::new(ErrorKind::Unauthorized, detail);
    }
    let place = if seen.place.is_empty() { String::new() } else { format!(" at {}", seen.place) };
    match error {
        SdkError::TimeoutError(_) => {
            LlmError::new(ErrorKind::Timeout, format!("{WHO}{place} did not answer in time; ask again"))
        }
        SdkError::DispatchFailure(failure) if failure.is_timeout() && !is_connecting(error) => {
            LlmError::new(ErrorKind::Timeout, format!("{WHO}{place} did not answer in time; ask again"))
        }
        SdkError::ConstructionFailure(_) => {
            let why = quote(&innermost(error), None);
            let detail = format!("{WHO} cannot be asked ({why}); check BEDROCK_MODEL and AWS_REGION");
            LlmError::new(ErrorKind::BadRequest, detail)
        }
        SdkError::DispatchFailure(failure) if failure.is_user() => {
            let why = quote(&innermost(error), None);
            let detail = format!("{WHO}{place} cannot be asked ({why}); check the settings AWS_*");
            LlmError::new(ErrorKind::BadRequest, detail)
        }
        _ => {
            let why = if is_connecting(error) { "no connection in time" } else { &innermost(error) };
            let why = quote(why, None);
            let detail = format!(
                "{WHO}{place} cannot be reached ({why}); check AWS_REGION, \
                 AWS_ENDPOINT_URL_BEDROCK_RUNTIME and the network"
            );
            LlmError::new(ErrorKind::Unavailable, detail)
        }
    }
}

/// The error for an answer that came and was no good.
fn answered<E, R>(error: &SdkError<E, R>, seen: &Seen, status: u16, model: &str) -> LlmError
where
    E: Error + ProvideErrorMetadata + 'static,
    R: std::fmt::Debug + 'static,
{
    if (200..300).contains(&status) {
        let detail = format!("{WHO} answered something that is not its protocol's JSON, or not all of it");
        return LlmError::new(ErrorKind::BadAnswer, detail);
    }
    let metadata = error.as_service_error().map(ProvideErrorMetadata::meta);
    let message = metadata.and_then(|metadata| metadata.message()).unwrap_or_default();
    let code = seen.exception.as_deref().or_else(|| metadata?.code()).unwrap_or_default();
    // A name of our mistakes does not go with a status of theirs.
    let fits =
        |kind: &ErrorKind| status < 500 || !matches!(kind, ErrorKind::BadRequest | ErrorKind::ContextTooLong);
    let kind = kind(code, message).filter(fits).unwrap_or_else(|| kind_of(status));
    said(kind, code, Some(status), message, model)
        .with_retry_after(seen.retry_after)
        .with_request_id(seen.request_id.clone())
}

/// The error for an exception in the middle of a stream.
pub(super) fn in_stream(error: &ConverseStreamOutputError, model: &str) -> LlmError {
    let name = match error {
        ConverseStreamOutputError::InternalServerException(_) => "InternalServerException",
        ConverseStreamOutputError::ModelStreamErrorException(_) => "ModelStreamErrorException",
        ConverseStreamOutputError::ValidationException(_) => "ValidationException",
        ConverseStreamOutputError::ThrottlingException(_) => "ThrottlingException",
        ConverseStreamOutputError::ServiceUnavailableException(_) => "ServiceUnavailableException",
        other => other.code().unwrap_or_default(),
    };
    let message = error.message().unwrap_or_default();
    let kind = kind(name, message).unwrap_or(ErrorKind::Unavailable);
    said(kind, name, None, message, model)
}

/// An error with what to do. The words of those who refuse a key are left out: they may show a part of
/// it.
fn said(kind: ErrorKind, code: &str, status: Option<u16>, message: &str, model: &str) -> LlmError {
    let code = quote(code, None);
    let mut reason = match (status, code.is_empty()) {
        (Some(status), true) => format!("status {status}"),
        (Some(status), false) => format!("status {status}, {code}"),
        (None, true) => "in its answer".to_owned(),
        (None, false) => code,
    };
    let message = quote(message, None);
    if kind != ErrorKind::Unauthorized && !message.is_empty() {
        reason = format!("{reason}: {message}");
    }
    let detail = match kind {
        ErrorKind::Unauthorized => format!(
            "{WHO} refused access ({reason}); check the credentials, that they may use {model} \
             (bedrock:InvokeModel, bedrock:InvokeModelWithResponseStream), and that access to it is granted"
        ),
        ErrorKind::RateLimited => format!("{WHO} limits requests ({reason}); wait"),
        ErrorKind::Overloaded => format!("{WHO} is overloaded ({reason}); ask again later"),
        ErrorKind::Timeout => format!("{WHO} gave up ({reason}); ask again"),
        ErrorKind::ContextTooLong => {
            format!("the prompt is too long for {WHO}'s model {model} ({reason}); shorten it")
        }
        ErrorKind::Refused => format!("{WHO} refuses this content ({reason})"),
        ErrorKind::BadRequest => {
            format!(
                "{WHO} does not accept the request ({reason}); check BEDROCK_MODEL ({model}) and AWS_REGION"
            )
        }
        ErrorKind::Unavailable | ErrorKind::BadAnswer | ErrorKind::NotAdmitted => {
            format!("{WHO} failed ({reason}); ask again later")
        }
    };
    LlmError::new(kind, detail)
}

/// Whether time was up before there was a connection, so that nothing was asked. The SDK says that in
/// words alone: its own type for it is private (`aws-smithy-http-client`, `HttpTimeoutError`).
fn is_connecting(error: &dyn Error) -> bool {
    error.to_string().starts_with("HTTP connect timeout") || error.source().is_some_and(is_connecting)
}

/// The innermost reason. It has addresses in it, no headers.
fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::{kind, said};
    use crate::ErrorKind;

    /// API reference, Converse and `ConverseStream`, "Errors"; "Common errors"; user guide,
    /// "Troubleshooting Amazon Bedrock API error codes".
    #[test]
    fn exceptions_have_kinds() {
        for (name, message, expected) in [
            (
                "ThrottlingException",
                "Too many tokens, please wait before trying again.",
                Some(ErrorKind::RateLimited),
            ),
            ("ServiceQuotaExceededException", "", Some(ErrorKind::RateLimited)),
            ("ModelNotReadyException", "", Some(ErrorKind::Overloaded)),
            ("ServiceUnavailableException", "", Some(ErrorKind::Overloaded)),
            ("ModelTimeoutException", "", Some(ErrorKind::Timeout)),
            ("ModelErrorException", "", Some(ErrorKind::Unavailable)),
            ("ModelStreamErrorException", "", Some(ErrorKind::Unavailable)),
            ("InternalServerException", "", Some(ErrorKind::Unavailable)),
            ("InternalFailure", "", Some(ErrorKind::Unavailable)),
            (
                "ValidationException",
                "Input is too long for requested model.",
                Some(ErrorKind::ContextTooLong),
            ),
            (
                "ValidationException",
                "The model returned: prompt is too long: 200001 tokens",
                Some(ErrorKind::ContextTooLong),
            ),
            (
                "ValidationException",
                "Too many input tokens. Max input tokens: 8192",
                Some(ErrorKind::ContextTooLong),
            ),
            ("ValidationException", "The provided model identifier is invalid.", Some(ErrorKind::BadRequest)),
            ("ResourceNotFoundException", "", Some(ErrorKind::BadRequest)),
            ("AccessDeniedException", "", Some(ErrorKind::Unauthorized)),
            ("ExpiredTokenException", "", Some(ErrorKind::Unauthorized)),
            ("ExpiredToken", "", Some(ErrorKind::Unauthorized)),
            ("UnrecognizedClientException", "", Some(ErrorKind::Unauthorized)),
            (
                "InvalidSignatureException",
                "Signature expired: it is too long ago",
                Some(ErrorKind::Unauthorized),
            ),
            ("MissingAuthenticationTokenException", "", Some(ErrorKind::Unauthorized)),
            ("ANewException", "", None),
            ("", "Input is too long", None),
        ] {
            assert_eq!(kind(name, message), expected, "{name}: {message}");
        }
    }

    #[test]
    fn words_of_a_refused_key_are_left_out() {
        for code in ["AccessDeniedException", ""] {
            let error = said(ErrorKind::Unauthorized, code, Some(403), "canary", "m");
            assert!(!error.detail.contains("canary") && error.detail.contains("403"), "{error}");
        }
    }
}
