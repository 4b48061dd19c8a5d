//! Extractors whose rejections are problems; axum's own answer plain text.

use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use common_models::{FieldError, Problem};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::ProblemResponse;
use crate::arriving::TooSlow;

/// Longest name and longest message of a field in a problem, in characters.
const LONGEST_QUOTE: usize = 400;

/// A JSON body: `application/json` (or `…+json`), syntactically sound, of the right types.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ProblemResponse;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let media = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let essence = media.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        if essence != "application/json"
            && !(essence.starts_with("application/") && essence.ends_with("+json"))
        {
            return Err(ProblemResponse(
                Problem::new(415, "unsupported_media_type", "The body is of the wrong media type")
                    .with_detail("Send the body with Content-Type: application/json."),
            ));
        }
        let bytes =
            Bytes::from_request(request, state).await.map_err(|rejection| body_problem(&rejection))?;
        from_json(&bytes).map(Self).map_err(|problem| ProblemResponse(*problem))
    }
}

/// Reads a JSON object of a type.
///
/// # Errors
/// The problem to answer: not well-formed, no object, or the member that is of the wrong type or name.
pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Box<Problem>> {
    // A type with named members would be read from an array too, by their order.
    if bytes.trim_ascii_start().first() == Some(&b'[') && serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
    {
        return Err(Box::new(
            Problem::new(422, "validation_failed", "The request is not valid").with_errors(vec![
                FieldError {
                    field: String::new(),
                    code: "type".to_owned(),
                    message: "the body is an array; an object belongs here".to_owned(),
                },
            ]),
        ));
    }
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut parser).map_err(|error| json_problem(&error))?;
    parser.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

/// The problem of a body that could not be read.
#[must_use]
pub fn body_problem(rejection: &BytesRejection) -> ProblemResponse {
    if let Some(deadline) = TooSlow::cause(rejection) {
        return ProblemResponse(
            Problem::new(408, "body_too_slow", "The body did not arrive in time").with_detail(format!(
                "It has to arrive within {} s; send less at once or over a faster line.",
                deadline.as_secs_f64()
            )),
        );
    }
    ProblemResponse(match rejection.status().as_u16() {
        413 => Problem::new(413, "body_too_large", "The body is too large")
            .with_detail("Send less, or use the import for many books at once."),
        _ => Problem::new(400, "body_unreadable", "The body could not be read whole")
            .with_detail("The connection broke or the framing was wrong; send it again."),
    })
}

/// Reads JSON that was read before as a type.
///
/// # Errors
/// The problem to answer: the member that is of the wrong type or name, or is missing.
pub fn from_value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, Box<Problem>> {
    serde_path_to_error::deserialize(value).map_err(|error| json_problem(&error))
}

fn malformed(error: &serde_json::Error) -> Box<Problem> {
    Box::new(
        Problem::new(400, "malformed_json", "The body is not well-formed JSON")
            .with_detail(error.to_string()),
    )
}

fn json_problem(error: &serde_path_to_error::Error<serde_json::Error>) -> Box<Problem> {
    if !error.inner().is_data() {
        return malformed(error.inner());
    }
    let mut field = match error.path().to_string() {
        path if path == "." => String::new(),
        path => path,
    };
    // The path of what lacks a member is that of its owner; the message alone names the member.
    let message = error.inner().to_string();
    if let Some(member) = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        if !field.is_empty() {
            field.push('.');
        }
        field.push_str(member);
    }
    // Both may quote what the client sent, however long that is.
    let shown = |text: &str| text.chars().take(LONGEST_QUOTE).collect();
    Box::new(Problem::new(422, "validation_failed", "The request is not valid").with_errors(vec![
        FieldError { field: shown(&field), code: "type".to_owned(), message: shown(&message) },
    ]))
}

/// Parameters in the path.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ProblemResponse;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(value)| Self(value)).map_err(|rejection: PathRejection| {
            ProblemResponse(
                Problem::new(400, "malformed_path", "A parameter in the path is malformed")
                    .with_detail(format!("{} Ids are UUIDs.", rejection.body_text())),
            )
        })
    }
}

/// Parameters in the query.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ProblemResponse;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let query = axum::extract::Query::from_request_parts(parts, state).await;
        query.map(|axum::extract::Query(value)| Self(value)).map_err(|rejection: QueryRejection| {
            ProblemResponse(
                Problem::new(400, "malformed_query", "A query parameter is malformed or unknown")
                    .with_detail(rejection.body_text()),
            )
        })
    }
}
