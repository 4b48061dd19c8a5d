//! Summaries as server-sent events.
//!
//! Owns their form on the wire (WHATWG HTML, section 9.2.6 "Interpreting an event stream") and the
//! comments that keep a quiet connection alive. Nothing is read ahead: a piece is made when the
//! connection has room for it.

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use common_models::{SummaryDelta, SummaryStarted};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use serde::Serialize;
use tracing::Span;

use super::convert;
use super::errors::ApiError;
use crate::summaries::listening::Heard;

/// Pause after which a comment shows that the connection lives.
const QUIET: Duration = Duration::from_secs(15);
/// Tells proxies in the manner of nginx not to wait for more.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A response of what a listener hears; `path` is the request's.
pub(crate) fn summary(heard: impl Stream<Item = Heard> + Send + 'static, path: String) -> Response {
    let writing = Writing { heard: heard.boxed(), path, span: Span::current() };
    let body = Body::from_stream(futures::stream::unfold(writing, |mut writing| async move {
        let piece = writing.piece().await?;
        Some((Ok::<_, std::convert::Infallible>(piece), writing))
    }));
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store"), (BUFFERING, "no")];
    (headers, body).into_response()
}

struct Writing {
    heard: BoxStream<'static, Heard>,
    path: String,
    /// The request's: the body is written after its handler has ended.
    span: Span,
}

impl Writing {
    async fn piece(&mut self) -> Option<Bytes> {
        let Ok(heard) = tokio::time::timeout(QUIET, self.heard.next()).await else {
            return Some(Bytes::from_static(b": still here\n\n"));
        };
        let heard = heard?;
        Some(self.span.in_scope(|| write(heard, &self.path)))
    }
}

fn write(heard: Heard, path: &str) -> Bytes {
    match heard {
        Heard::Started { provider, model, attempt } => {
            event("started", &SummaryStarted { provider, model, attempt })
        }
        Heard::Delta(text) => event("delta", &SummaryDelta { text }),
        Heard::Completed(answer) => event("completed", &convert::summary(*answer)),
        Heard::Failed(error) => {
            let (problem, failure) = ApiError::from(error).in_stream(path);
            // The status has gone out as a success: the access event cannot say it.
            let detail = failure.map(|failure| failure.detail).unwrap_or_default();
            tracing::warn!(code = problem.code, detail, "a streamed summary came to nothing");
            event("error", &problem)
        }
    }
}

/// An event. JSON has no line breaks of its own, so its data is one line.
fn event(name: &str, data: &impl Serialize) -> Bytes {
    // Strings and numbers only: this cannot fail.
    let data = serde_json::to_string(data).unwrap_or_default();
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}
