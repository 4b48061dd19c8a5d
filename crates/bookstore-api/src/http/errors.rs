//! Use-case errors as problems: the only file of this service that knows which status an error has.

use axum::response::{IntoResponse, Response};
use common_models::{FieldError, Problem};
use http::HeaderValue;
use http::header::RETRY_AFTER;
use http_server::ProblemResponse;
use llm::{ErrorKind, LlmError};
use telemetry::Failure;

use super::convert::provider_names;
use crate::book::Violation;
use crate::catalog::UseCaseError;
use crate::import_jobs::JobError;
use crate::store::StoreError;

/// Seconds after which trying again makes sense, where nobody said.
const STORE_RETRY_SECONDS: u64 = 2;
const IMPORT_RETRY_SECONDS: u64 = 10;
const PROVIDER_RETRY_SECONDS: u64 = 5;

/// An error of a handler.
#[derive(Debug)]
pub(crate) enum ApiError {
    UseCase(UseCaseError),
    Import(JobError),
    UnknownProvider(String),
    UnknownImportFormat,
    NotReady { dependency: &'static str, detail: String },
    Stopping,
}

impl From<UseCaseError> for ApiError {
    fn from(error: UseCaseError) -> Self {
        Self::UseCase(error)
    }
}

impl From<JobError> for ApiError {
    fn from(error: JobError) -> Self {
        Self::Import(error)
    }
}

/// A problem on its way out: with what the access event should say and when to try again.
struct Answer {
    problem: Problem,
    failure: Option<Failure>,
    retry_after: Option<u64>,
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        Self { problem, failure: None, retry_after: None }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Answer { problem, failure, retry_after } = self.answer();
        let mut response = ProblemResponse(problem).into_response();
        if let Some(failure) = failure {
            response.extensions_mut().insert(failure);
        }
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl ApiError {
    fn answer(self) -> Answer {
        match self {
            Self::UseCase(error) => use_case(error),
            Self::Import(JobError::File(error)) => {
                Problem::new(422, "unusable_file", "The file cannot be imported")
                    .with_detail(error.to_string())
                    .into()
            }
            Self::Import(JobError::NotFound(id)) => {
                Problem::new(404, "import_not_found", "There is no such import")
                    .with_detail(format!("No import has the id {id}; imports are forgotten after a week."))
                    .into()
            }
            Self::Import(error @ JobError::Busy) => Answer {
                problem: Problem::new(503, "too_many_imports", "Other imports have to end first")
                    .with_detail(format!("{error}; send the file again later.")),
                failure: Some(Failure { kind: error.kind(), detail: error.to_string() }),
                retry_after: Some(IMPORT_RETRY_SECONDS),
            },
            Self::Import(JobError::Store(error)) => store(error),
            Self::UnknownProvider(name) => {
                Problem::new(400, "unknown_provider", "There is no such LLM provider")
                    .with_detail(format!("{name:?} is none of {}.", provider_names()))
                    .into()
            }
            Self::UnknownImportFormat => {
                Problem::new(415, "unsupported_media_type", "The body is neither CSV nor an export")
                    .with_detail("Send CSV as text/csv, an export as application/x-ndjson.")
                    .into()
            }
            Self::NotReady { dependency, detail } => Answer {
                problem: Problem::new(503, "not_ready", "The service is not ready")
                    .with_detail(format!("{dependency} is down.")),
                failure: Some(Failure { kind: "not_ready", detail: format!("{dependency}: {detail}") }),
                retry_after: Some(STORE_RETRY_SECONDS),
            },
            Self::Stopping => Answer {
                problem: Problem::new(503, "stopping", "The service is stopping")
                    .with_detail("Requests under way are finished; send new ones elsewhere."),
                failure: Some(Failure { kind: "stopping", detail: "asked while stopping".to_owned() }),
                retry_after: Some(STORE_RETRY_SECONDS),
            },
        }
    }
}

fn use_case(error: UseCaseError) -> Answer {
    match error {
        UseCaseError::NotFound { what, id } => {
            Problem::new(404, &format!("{what}_not_found"), &format!("There is no such {what}"))
                .with_detail(format!("No {what} has the id {id}."))
                .into()
        }
        UseCaseError::Invalid(violations) => invalid(violations),
        error @ UseCaseError::ProviderNotConfigured { .. } => {
            Problem::new(400, "provider_not_configured", "This LLM provider is not set up here")
                .with_detail(format!("{error}."))
                .into()
        }
        UseCaseError::Provider { provider, error } => provider_failed(provider.as_str(), error),
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
    Problem::new(422, "validation_failed", "The request is not valid").with_errors(errors).into()
}

fn provider_failed(provider: &str, error: LlmError) -> Answer {
    let (status, title) = match error.kind {
        ErrorKind::RateLimited => (503, "The LLM provider limits our requests"),
        ErrorKind::Overloaded => (503, "The LLM provider is overloaded"),
        ErrorKind::Unavailable => (503, "The LLM provider cannot be reached or failed"),
        ErrorKind::Timeout => (504, "The LLM provider did not answer in time"),
        ErrorKind::Unauthorized => (502, "The LLM provider refused our credentials"),
        ErrorKind::BadRequest => (502, "The LLM provider does not accept our request"),
        ErrorKind::BadAnswer => (502, "The LLM provider's answer cannot be used"),
        ErrorKind::Refused => (422, "The LLM provider refused this content"),
        ErrorKind::ContextTooLong => (422, "The book's text is too long for the model"),
    };
    let wait = error.retry_after.map_or(PROVIDER_RETRY_SECONDS, |wait| wait.as_secs().max(1));
    let code = format!("llm_{}", error.kind());
    Answer {
        failure: Some(Failure { kind: error.kind(), detail: format!("{provider}: {}", error.detail) }),
        problem: Problem::new(status, &code, title).with_detail(error.detail),
        retry_after: (status == 503).then_some(wait),
    }
}

fn store(error: StoreError) -> Answer {
    let failure = Some(Failure { kind: error.kind(), detail: error.to_string() });
    match error {
        StoreError::IsbnTaken => Problem::new(409, "isbn_taken", "Another book has this ISBN")
            .with_detail("An ISBN belongs to one book; correct it or leave it out.")
            .into(),
        StoreError::UnknownAuthor(id) => invalid(vec![Violation {
            field: "authorIds".to_owned(),
            code: "unknown_author",
            message: format!("names {id}, which is no author; create the author first"),
        }]),
        StoreError::AuthorHasBooks => Problem::new(409, "author_has_books", "The author still has books")
            .with_detail("Delete the author's books, or give them other authors, first.")
            .into(),
        StoreError::BadCursor => Problem::new(400, "bad_cursor", "The cursor does not belong to this list")
            .with_detail("Take nextCursor from an answer to the same query, or start without a cursor.")
            .into(),
        StoreError::Timeout | StoreError::Unavailable(_) => Answer {
            problem: Problem::new(503, "store_unavailable", "The store cannot be reached").with_detail(
                "A write may have been carried out all the same: read before you send it again.",
            ),
            failure,
            retry_after: Some(STORE_RETRY_SECONDS),
        },
        StoreError::Corrupt(_) => Answer {
            problem: Problem::new(500, "internal_error", "Something went wrong inside the service")
                .with_detail("The failure was logged under this trace id."),
            failure,
            retry_after: None,
        },
    }
}
