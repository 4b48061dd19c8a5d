//! `/api/v1/runs/{id}/events`: a run's live events as server-sent events.
//!
//! Owns their form on the wire (WHATWG HTML, section 9.2.6 "Interpreting an event stream"). Nothing
//! is read ahead: a moment is looked at when the connection has room for it, so a slow reader misses
//! moments and holds up nobody.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use common_models::{Problem, RunProgress};
use futures::StreamExt;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, StatusCode};
use http_server::extract::Path;
use serde::Serialize;
use tracing::Span;
use uuid::Uuid;

use super::Api;
use super::errors::ApiError;
use crate::runs::live::Live;

/// Tells proxies in the manner of nginx not to wait for more.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// What a browser sends when it connects again, with the id of the last event that it has seen.
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
/// Id of the last event.
const LAST: &str = "ended";

/// Follow a run
///
/// Server-sent events: `progress` each second and whenever the state changes, with phase, share of the
/// measured load, requests a second, failures and 95th percentile; at last `ended` with the run, or
/// `error` with a problem. A run that has ended has `ended` alone. A browser that connects again after
/// `ended` is told to stop by status 204.
#[utoipa::path(get, path = "/api/v1/runs/{id}/events", operation_id = "followRun", tag = "runs", params(
    ("id" = Uuid, Path),
    ("Last-Event-ID" = Option<String>, Header, description = "Id of the last event seen, sent by browsers"),
), responses(
    (status = 200, description = "Events until the run has ended", body = RunProgress, content_type = "text/event-stream"),
    (status = 204, description = "The end was seen already"),
    (status = 400, description = "The id is no UUID", body = Problem),
    (status = 404, description = "No such run", body = Problem),
    (status = 409, description = "A newer perf-service made it", body = Problem),
))]
pub(crate) async fn events(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let live = api.runs.follow(id).await?;
    if headers.get(&LAST_EVENT).is_some_and(|seen| seen == LAST) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    // The body is written after this handler has ended.
    let span = Span::current();
    let pieces = live.map(move |live| Ok::<_, Infallible>(span.in_scope(|| write(id, live))));
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store"), (BUFFERING, "no")];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

fn write(id: Uuid, live: Live) -> Bytes {
    match live {
        Live::Progress(progress) => event("progress", None, &progress),
        Live::Ended(run) => event("ended", Some(LAST), &run),
        Live::Lost(error) => {
            let problem = ApiError::from(error).in_stream(&format!("/api/v1/runs/{id}/events"));
            event("error", None, &problem)
        }
    }
}

/// An event. JSON has no line breaks of its own, so its data is one line.
fn event(name: &str, id: Option<&str>, data: &impl Serialize) -> Bytes {
    // Strings and finite numbers only: this cannot fail.
    let data = serde_json::to_string(data).unwrap_or_default();
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    Bytes::from(format!("event: {name}\n{id}data: {data}\n\n"))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::write;
    use crate::runs::RunsError;
    use crate::runs::live::Live;

    #[test]
    fn an_event_is_two_or_three_lines_and_an_empty_one() {
        let lost = write(Uuid::nil(), Live::Lost(RunsError::NotFound(Uuid::nil())));
        let text = String::from_utf8(lost.to_vec()).unwrap();
        assert!(text.starts_with("event: error\ndata: {") && text.ends_with("}\n\n"), "{text}");
        assert_eq!(text.lines().count(), 3);
        assert!(text.contains(r#""code":"run_not_found""#) && text.contains("/events\""), "{text}");
    }
}
