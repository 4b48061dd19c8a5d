//! Use-case errors as problems: the only file of this service that knows which status an error has,
//! by the table in `errors/kinds.rs`.

use std::fmt::Write;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use common_models::{FieldError, Problem};
use http::HeaderValue;
use http::header::{ETAG, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use http_server::ProblemResponse;
use llm::{Attempt, LlmError, Refusal};
use telemetry::Failure;

use super::conditions::etag;
use super::convert::{self, provider_names};
use super::idempotency::REPLAYED;
use super::merge_patch::ACCEPTED;
use crate::book::Violation;
use crate::catalog::UseCaseError;
use crate::import_jobs::JobError;
use crate::store::StoreError;

pub(crate) mod kinds;

/// Seconds after which trying again makes sense, where nobody said.
const STORE_RETRY_SECONDS: u64 = 2;
const IMPORT_RETRY_SECONDS: u64 = 10;
const PROVIDER_RETRY_SECONDS: u64 = 5;
/// Tells which media types a PATCH takes (RFC 5789).
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// An error of a handler.
#[derive(Debug)]
pub(crate) enum ApiError {
    UseCase(UseCaseError),
    /// A creation failed that may carry an idempotency key.
    Creation {
        error: UseCaseError,
        keyed: bool,
        replayed: bool,
    },
    /// The body was refused while it was read.
    Body(Box<Problem>),
    Import(JobError),
    UnknownProvider(String),
    UnknownApiKey,
    OtherTenant,
    /// A page of another origin asks for something that costs.
    CrossOrigin,
    UnknownImportFormat,
    NotAPatch,
    BadCondition {
        header: HeaderName,
        reason: &'static str,
    },
    ConditionRequired,
    BadIdempotencyKey(&'static str),
    NotAcceptable,
    NotReady {
        dependency: &'static str,
        detail: String,
    },
    Stopping,
}

impl From<UseCaseError> for ApiError {
    fn from(error: UseCaseError) -> Self {
        Self::UseCase(error)
    }
}

impl From<Box<Problem>> for ApiError {
    fn from(problem: Box<Problem>) -> Self {
        Self::Body(problem)
    }
}

impl From<JobError> for ApiError {
    fn from(error: JobError) -> Self {
        Self::Import(error)
    }
}

/// A problem on its way out: with what the access event should say, and headers.
struct Answer {
    problem: Problem,
    failure: Option<Failure>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        Self { problem, failure: None, headers: Vec::new() }
    }
}

impl Answer {
    fn failed(mut self, kind: &'static str, detail: String) -> Self {
        self.failure = Some(Failure { kind, detail });
        self
    }

    fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    fn retry_after(self, seconds: u64) -> Self {
        self.header(RETRY_AFTER, HeaderValue::from(seconds))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Answer { problem, failure, headers } = self.answer();
        let mut response = ProblemResponse(problem).into_response();
        if let Some(failure) = failure {
            response.extensions_mut().insert(failure);
        }
        response.headers_mut().extend(headers);
        response
    }
}

impl ApiError {
    /// The problem alone, for where an answer has begun already; and what the log should say of it.
    pub(crate) fn in_stream(self, instance: &str) -> (Problem, Option<Failure>) {
        let Answer { mut problem, failure, headers } = self.answer();
        let wait = headers.iter().find(|(name, _)| *name == RETRY_AFTER);
        problem.retry_after_seconds = wait.and_then(|(_, value)| value.to_str().ok()?.parse().ok());
        problem.instance = Some(instance.to_owned());
        problem.trace_id = telemetry::current_trace_id();
        (problem, failure)
    }

    fn answer(self) -> Answer {
        match self {
            Self::UseCase(error) => use_case(error),
            Self::Creation { error, keyed, replayed } => {
                let mut answer = use_case(error);
                if keyed && answer.problem.code == kinds::STORE_UNAVAILABLE.code {
                    answer.problem.detail = Some(
                        "Send it again with the same Idempotency-Key: that is safe, nothing is done twice."
                            .to_owned(),
                    );
                }
                if replayed { answer.header(REPLAYED, HeaderValue::from_static("true")) } else { answer }
            }
            Self::Body(problem) => (*problem).into(),
            Self::Import(JobError::File(error)) => kinds::UNUSABLE_FILE.saying(error.to_string()).into(),
            Self::Import(JobError::NotFound(id)) => kinds::IMPORT_NOT_FOUND
                .saying(format!("No import has the id {id}; imports are forgotten after a week."))
                .into(),
            Self::Import(error @ JobError::Busy) => {
                Answer::from(kinds::TOO_MANY_IMPORTS.saying(format!("{error}; send the file again later.")))
                    .failed(error.kind(), error.to_string())
                    .retry_after(IMPORT_RETRY_SECONDS)
            }
            Self::Import(JobError::Store(error)) => store(error),
            Self::UnknownProvider(name) => {
                kinds::UNKNOWN_PROVIDER.saying(format!("{name:?} is none of {}.", provider_names())).into()
            }
            Self::UnknownApiKey => Answer::from(kinds::UNKNOWN_API_KEY.problem())
                .header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            Self::OtherTenant => kinds::OTHER_TENANT.problem().into(),
            Self::CrossOrigin => kinds::CROSS_ORIGIN.problem().into(),
            Self::UnknownImportFormat => kinds::UNSUPPORTED_MEDIA_TYPE
                .saying("Send CSV as text/csv, an export as application/x-ndjson.")
                .into(),
            Self::NotAPatch => Answer::from(
                kinds::UNSUPPORTED_MEDIA_TYPE
                    .saying("Send a JSON merge patch with Content-Type: application/merge-patch+json."),
            )
            .header(ACCEPT_PATCH, HeaderValue::from_static(ACCEPTED)),
            Self::BadCondition { header, reason } => kinds::BAD_CONDITION
                .saying(format!("{header} {reason}. {}", kinds::BAD_CONDITION.detail))
                .into(),
            Self::ConditionRequired => kinds::PRECONDITION_REQUIRED.problem().into(),
            Self::BadIdempotencyKey(reason) => kinds::BAD_IDEMPOTENCY_KEY
                .saying(format!("Idempotency-Key {reason}. {}", kinds::BAD_IDEMPOTENCY_KEY.detail))
                .into(),
            Self::NotAcceptable => kinds::NOT_ACCEPTABLE.problem().into(),
            Self::NotReady { dependency, detail } => {
                Answer::from(kinds::NOT_READY.saying(format!("{dependency} is down.")))
                    .failed("not_ready", format!("{dependency}: {detail}"))
                    .retry_after(STORE_RETRY_SECONDS)
            }
            Self::Stopping => Answer::from(kinds::STOPPING.problem())
                .failed("stopping", "asked while stopping".to_owned())
                .retry_after(STORE_RETRY_SECONDS),
        }
    }
}

fn use_case(error: UseCaseError) -> Answer {
    match error {
        UseCaseError::NotFound { what, id } => {
            let kind = if what == "author" { kinds::AUTHOR_NOT_FOUND } else { kinds::BOOK_NOT_FOUND };
            kind.saying(format!("No {what} has the id {id}.")).into()
        }
        UseCaseError::Invalid(violations) => invalid(violations),
        UseCaseError::PreconditionFailed { current: None, .. } => kinds::PRECONDITION_FAILED.problem().into(),
        UseCaseError::PreconditionFailed { what, current: Some(current), .. } => {
            let problem = kinds::PRECONDITION_FAILED.saying(format!(
                "The {what} has version {current} now: read it again and send your change with that ETag."
            ));
            Answer::from(problem).header(ETAG, etag(current))
        }
        UseCaseError::Contended { .. } => kinds::CONCURRENT_CHANGES.problem().into(),
        UseCaseError::KeyReused => kinds::IDEMPOTENCY_KEY_REUSED.problem().into(),
        error @ UseCaseError::ProviderNotConfigured { .. } => {
            kinds::PROVIDER_NOT_CONFIGURED.saying(format!("{error}.")).into()
        }
        UseCaseError::Provider { provider, error, attempts } => {
            provider_failed(provider.as_str(), &error, &attempts)
        }
        UseCaseError::UnsafeAnswer { provider, reason, attempts } => {
            let failure = format!("{provider}: {reason}{}", told(&attempts));
            let saying =
                format!("The answer of {provider} is not safe: {reason}. {}", kinds::UNSAFE_ANSWER.detail);
            Answer::from(kinds::UNSAFE_ANSWER.saying(saying)).failed("unsafe_answer", failure)
        }
        UseCaseError::Store(error) => store(error),
    }
}

fn invalid(violations: Vec<Violation>) -> Answer {
    let errors = violations
        .into_iter()
        .map(|violation| FieldError {
            field: violation.field,
            code: violation.code.to_owned(),
            message: violation.message,
        })
        .collect();
    kinds::VALIDATION_FAILED.plain().with_errors(errors).into()
}

fn provider_failed(provider: &str, error: &LlmError, attempts: &[Attempt]) -> Answer {
    let refusal = error.refusal.as_deref();
    let kind = match refusal {
        Some(Refusal::Unknown) => kinds::BUDGET_UNAVAILABLE,
        _ => kinds::llm(error.kind),
    };
    // Rounded up: who comes back then is not too early.
    let wait = error.retry_after.map(|wait| (wait + Duration::from_nanos(999_999_999)).as_secs().max(1));
    let failure = format!("{provider}: {}{}", error.detail, told(attempts));
    let mut problem = kind.saying(error.detail.clone());
    if let Some(limit) = refusal.and_then(convert::refusal) {
        problem = problem.with_limit(limit);
    }
    let answer = Answer::from(problem).failed(error.kind(), failure);
    // Of our own limits it is known whether waiting helps.
    let wait = wait.or_else(|| refusal.is_none().then_some(PROVIDER_RETRY_SECONDS));
    if let (429 | 503, Some(wait)) = (kind.status, wait) { answer.retry_after(wait) } else { answer }
}

/// What was tried, for the access event.
fn told(attempts: &[Attempt]) -> String {
    let mut text = String::new();
    for Attempt { number, provider, model, error, latency, request_id, .. } in attempts {
        let (outcome, id) = (error.unwrap_or("ok"), request_id.as_deref().unwrap_or("without id"));
        // Writing to a text cannot fail.
        let _ = write!(text, "; attempt {number}: {provider} {model} {outcome} in {latency:.0?}, {id}");
    }
    text
}

fn store(error: StoreError) -> Answer {
    let (kind, failure) = (error.kind(), error.to_string());
    match error {
        StoreError::IsbnTaken => kinds::ISBN_TAKEN.problem().into(),
        StoreError::UnknownAuthor(id) => invalid(vec![Violation {
            field: "authorIds".to_owned(),
            code: "unknown_author",
            message: format!("names {id}, which is no author; create the author first"),
        }]),
        StoreError::AuthorHasBooks => kinds::AUTHOR_HAS_BOOKS.problem().into(),
        StoreError::BadCursor => kinds::BAD_CURSOR.problem().into(),
        StoreError::Timeout | StoreError::Unavailable(_) => Answer::from(kinds::STORE_UNAVAILABLE.problem())
            .failed(kind, failure)
            .retry_after(STORE_RETRY_SECONDS),
        StoreError::Corrupt(_) => Answer::from(kinds::INTERNAL_ERROR.problem()).failed(kind, failure),
    }
}
