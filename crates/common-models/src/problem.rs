//! Problem details for HTTP APIs (RFC 9457).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::llm_usage::LimitState;

/// An error as every service answers it, `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// A URI reference for the kind of problem: `urn:bookstore:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in words; the same for every occurrence.
    #[schema(example = "The request is not valid")]
    pub title: String,
    /// The HTTP status code.
    #[schema(example = 422)]
    pub status: u16,
    /// This occurrence in words, with what to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The path of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "/api/v1/books")]
    pub instance: Option<String>,
    /// Stable, for programs to match on.
    #[schema(example = "validation_failed")]
    pub code: String,
    /// One entry a field that is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The limit that does not allow the request, and what is left of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Box<LimitState>>,
    /// Seconds after which it may be tried again; of events of a stream, which have no `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
    /// W3C trace id of the request: 32 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "4bf92f3577b34da6a3ce929d0e0e4736")]
    pub trace_id: Option<String>,
}

/// A field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldError {
    /// Path of the field as the client wrote it: `price.amount`, `genres[2]`.
    #[schema(example = "isbn")]
    pub field: String,
    /// Stable, for programs to match on.
    #[schema(example = "check_digit")]
    pub code: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Problem {
    /// A problem with the given status, stable code and title; the type URI follows from the code.
    #[must_use]
    pub fn new(status: u16, code: &str, title: &str) -> Self {
        Self {
            kind: format!("urn:bookstore:problem:{code}"),
            title: title.to_owned(),
            status,
            detail: None,
            instance: None,
            code: code.to_owned(),
            errors: Vec::new(),
            limit: None,
            retry_after_seconds: None,
            trace_id: None,
        }
    }

    /// With the words for this occurrence.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// With the fields that are wrong.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    /// With the limit that does not allow the request.
    #[must_use]
    pub fn with_limit(mut self, limit: LimitState) -> Self {
        self.limit = Some(Box::new(limit));
        self
    }
}
