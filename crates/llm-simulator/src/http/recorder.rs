//! The recorder's door: everything is handed to the one upstream and its answer back, byte for
//! byte and as it comes; calls of the four protocols are recorded on the way.
//!
//! Owns how a request becomes one of the upstream's and what is said when there is no answer. Its
//! own `/health…` and `/metrics` alone are not handed on. Must not know what is kept of a call.

mod credentials;
mod questions;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, BodyDataStream};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use bytes::Bytes;
use common_models::Problem;
use futures::{Stream, StreamExt, stream};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ORIGIN, RETRY_AFTER};
use http::{HeaderMap, Method, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use http_server::ProblemResponse;
use serde_json::{Value, json};
use telemetry::Metrics;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::call::Protocol;
use crate::record::asked::{Asked, Route};
use crate::record::memory::Held;
use crate::record::{CallUnderWay, Head, Recorder};
use crate::recording::End;
use crate::upstream::{Unanswered, Upstream, end_to_end, reason};

/// Largest body of a request that is recorded, in bytes.
const LARGEST_BODY: usize = 32 << 20;

/// What handlers share.
#[derive(Clone)]
pub struct Proxy {
    /// Where everything goes.
    pub upstream: Arc<Upstream>,
    /// What is kept of it.
    pub recorder: Arc<Recorder>,
    /// Where requests are counted.
    pub metrics: Metrics,
    /// Cancelled when the process is to stop.
    pub stop: CancellationToken,
}

/// Reads questions as the simulator's own protocols do.
#[must_use]
pub fn read_question(route: &Route, body: &[u8]) -> Option<Asked> {
    questions::read(route, body)
}

/// All routes.
pub fn router(proxy: Proxy) -> Router {
    let metrics = http_server::metrics_route(proxy.metrics.clone());
    Router::new()
        .route("/health", get(health))
        .route("/health/live", get(super::health::live))
        .route("/health/ready", get(health))
        .route("/", any(forward))
        .route("/{*path}", any(forward))
        .with_state(proxy)
        .merge(metrics)
}

/// `GET /health`: whether it takes requests, what it is, and what it has recorded.
async fn health(State(proxy): State<Proxy>) -> (StatusCode, Json<Value>) {
    let stopping = proxy.stop.is_cancelled();
    let progress = proxy.recorder.counts().progress();
    let body = json!({
        "status": if stopping { "stopping" } else { "ok" },
        "role": "record",
        "version": env!("CARGO_PKG_VERSION"),
        "upstream": proxy.upstream.host(),
        "recorded": progress.recorded,
        "errors": progress.errors,
        "withoutWords": progress.wordless,
        "dropped": progress.dropped,
        "notWritten": progress.unwritten,
        "bytes": progress.bytes,
    });
    (if stopping { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }, Json(body))
}

/// Everything else.
async fn forward(State(proxy): State<Proxy>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let bodiless = head.method == Method::HEAD;
    let mut words = true;
    for secret in credentials::of(&head.headers, head.uri.query()) {
        words &= proxy.recorder.redactor().learn(&secret);
    }
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut outgoing = match proxy.upstream.request(head.method.clone(), target, &head.headers) {
        Ok(outgoing) => outgoing,
        Err(unanswered) => return refused(&unanswered),
    };
    let route = Route::of(head.uri.path()).filter(|_| head.method == Method::POST);
    let Some(route) = route else {
        // Whatever it is, it is handed on as it comes.
        if !body.is_end_stream() {
            *outgoing.body_mut() = Some(reqwest::Body::wrap_stream(body.into_data_stream()));
        }
        return match proxy.upstream.send(outgoing).await {
            Ok(response) => answer(&proxy, response, None, bodiless),
            Err(unanswered) => refused(&unanswered),
        };
    };
    let (body, held) = match whole(&proxy, body).await {
        Ok(Read::Whole(body, held)) => (body, held),
        // Only what is whole can be signed.
        Ok(Read::NoRoom(..)) if route.protocol == Protocol::Bedrock && proxy.upstream.signs() => {
            return ProblemResponse(
                Problem::new(503, "recorder_full", "The recorder has no room for another request")
                    .with_detail("Try again when others have ended."),
            )
            .into_response();
        }
        Ok(Read::NoRoom(read, rest)) => {
            proxy.recorder.leave_out(route.protocol.as_str());
            let pieces = stream::once(async { Ok(Bytes::from(read)) }).chain(rest);
            *outgoing.body_mut() = Some(reqwest::Body::wrap_stream(pieces));
            return match proxy.upstream.send(outgoing).await {
                Ok(response) => answer(&proxy, response, None, bodiless),
                Err(unanswered) => refused(&unanswered),
            };
        }
        Err(problem) => return problem.into_response(),
    };
    for secret in credentials::of_body(&body) {
        words &= proxy.recorder.redactor().learn(&secret);
    }
    *outgoing.body_mut() = Some(body.clone().into());
    if route.protocol == Protocol::Bedrock && proxy.upstream.signs() {
        // A page of another site could make a browser ask; it is not lent a signature.
        if head.headers.contains_key(ORIGIN) {
            return ProblemResponse(
                Problem::new(403, "cross_origin", "Pages of a browser cannot use the recorder's AWS keys")
                    .with_detail("Send the request without an Origin header."),
            )
            .into_response();
        }
        if let Err(unanswered) = proxy.upstream.sign(&mut outgoing) {
            return refused(&unanswered);
        }
    }
    let call = proxy.recorder.begin(route, body, held, words);
    match proxy.upstream.send(outgoing).await {
        Ok(response) => answer(&proxy, response, Some(call), bodiless),
        Err(unanswered) => {
            let end = if matches!(unanswered, Unanswered::TimedOut { .. }) {
                End::TimedOut
            } else {
                End::Unreachable
            };
            call.broke(end, unanswered.to_string());
            refused(&unanswered)
        }
    }
}

/// A request's body.
enum Read {
    /// All of it, and the room that it takes.
    Whole(Bytes, Held),
    /// What had come of it when there was no room for more, and the rest.
    NoRoom(Vec<u8>, BodyDataStream),
}

/// Reads the body of a request, as far as there is room for it.
async fn whole(proxy: &Proxy, body: Body) -> Result<Read, ProblemResponse> {
    let mut held = proxy.recorder.memory().hold();
    let mut read = Vec::new();
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let Ok(piece) = piece else {
            return Err(ProblemResponse(
                Problem::new(400, "body_broken", "The body did not arrive whole")
                    .with_detail("Send it again."),
            ));
        };
        if read.len() + piece.len() > LARGEST_BODY {
            let detail = format!("The recorder takes {} MiB at most.", LARGEST_BODY >> 20);
            return Err(ProblemResponse(
                Problem::new(413, "body_too_large", "The body is too large").with_detail(detail),
            ));
        }
        read.extend_from_slice(&piece);
        if !held.grow(piece.len()) {
            return Ok(Read::NoRoom(read, pieces));
        }
    }
    Ok(Read::Whole(read.into(), held))
}

/// What is said when there is no answer.
fn refused(unanswered: &Unanswered) -> Response {
    let (status, title) = match unanswered {
        Unanswered::Path => (400, "The path leads out of the upstream"),
        Unanswered::Signature(_) => (500, "The request cannot be signed"),
        Unanswered::Unreachable { .. } => (502, "The upstream cannot be reached"),
        Unanswered::TimedOut { .. } => (504, "The upstream does not answer"),
    };
    let problem = Problem::new(status, unanswered.kind(), title).with_detail(unanswered.to_string());
    let mut response = ProblemResponse(problem).into_response();
    let failure = telemetry::Failure { kind: unanswered.kind(), detail: unanswered.to_string() };
    response.extensions_mut().insert(failure);
    response
}

/// The upstream's answer, handed on as it comes. `bodiless` where it has a head only.
fn answer(
    proxy: &Proxy,
    response: reqwest::Response,
    mut call: Option<CallUnderWay>,
    bodiless: bool,
) -> Response {
    let (status, headers) = (response.status(), end_to_end(response.headers()));
    for secret in credentials::of(&headers, None) {
        proxy.recorder.redactor().learn(&secret);
    }
    if let Some(call) = &mut call {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        call.head(Head {
            status: status.as_u16(),
            retry_after_seconds: retry_after(&headers),
            media: text(CONTENT_TYPE),
            encoded: !matches!(text(CONTENT_ENCODING), "" | "identity"),
        });
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let bodiless = bodiless || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if (bodiless || length == Some(0))
        && let Some(call) = call.take()
    {
        // Nobody asks for a body that has nothing in it.
        call.complete();
    }
    let flow = Flow {
        pieces: Box::pin(response.bytes_stream()),
        proxy: proxy.clone(),
        call,
        left: length,
        over: false,
    };
    let passing = Passing {
        pieces: Box::pin(flow.into_stream()),
        left: if bodiless { Some(0) } else { length },
        length: if bodiless { None } else { length },
    };
    let mut answer = Body::new(passing).into_response();
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}

/// The body that the client gets: it knows its end, where the head has promised one, so that it
/// counts as complete though nobody asks it for more than that.
struct Passing {
    pieces: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>,
    /// Bytes that are still to come, where that is known.
    left: Option<u64>,
    /// The same as the body's size; unknown where there is none though the head tells one.
    length: Option<u64>,
}

impl http_body::Body for Passing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let piece = ready!(self.pieces.as_mut().poll_next(context));
        if let Some(Ok(piece)) = &piece {
            let came = piece.len() as u64;
            self.left = self.left.map(|left| left.saturating_sub(came));
            self.length = self.length.and(self.left);
        }
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map(SizeHint::with_exact).unwrap_or_default()
    }
}

/// The body of an answer on its way. Dropped with the client's connection, it ends the upstream's.
struct Flow {
    pieces: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
    proxy: Proxy,
    call: Option<CallUnderWay>,
    /// Bytes that the head promised and that are still to come.
    left: Option<u64>,
    over: bool,
}

impl Flow {
    fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> {
        stream::unfold(self, |mut flow| async move {
            let piece = flow.next().await?;
            Some((piece, flow))
        })
    }

    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        if self.over {
            return None;
        }
        let (end, why) = match timeout(self.proxy.upstream.patience(), self.pieces.next()).await {
            Ok(Some(Ok(piece))) => {
                self.heard(&piece);
                return Some(Ok(piece));
            }
            Ok(None) => {
                if let Some(call) = self.call.take() {
                    call.complete();
                }
                return None;
            }
            Ok(Some(Err(error))) => (End::Cut, reason(error)),
            Err(_) => (End::TimedOut, "nothing came for too long".to_owned()),
        };
        self.over = true;
        let upstream = self.proxy.upstream.host();
        tracing::warn!(upstream, why, "an answer of the upstream broke off, and so does the client's");
        if let Some(call) = self.call.take() {
            call.broke(end, why.clone());
        }
        Some(Err(io::Error::other(why)))
    }

    fn heard(&mut self, piece: &Bytes) {
        if let Some(call) = &mut self.call {
            call.hear(piece);
        }
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(piece.len() as u64);
            // When all that was promised has come nobody asks for more.
            if *left == 0
                && let Some(call) = self.call.take()
            {
                call.complete();
            }
        }
    }
}

/// `Retry-After` in seconds, be it a number or a date.
fn retry_after(headers: &HeaderMap) -> Option<f64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = match text.parse::<f64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let date = chrono::DateTime::parse_from_rfc2822(text).ok()?;
            (date.to_utc() - chrono::Utc::now()).as_seconds_f64().ceil().max(0.0)
        }
    };
    (seconds.is_finite() && seconds >= 0.0).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::time::Duration;

    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::extract::State;
    use axum::routing::any;
    use http::{Method, Request};
    use http_body::Body as _;
    use telemetry::Metrics;
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;
    use tokio_util::sync::CancellationToken;

    use super::{Proxy, forward, read_question};
    use crate::record::Recorder;
    use crate::settings::{Kept, RecordArguments, Replayed};
    use crate::upstream::Upstream;

    const ASKED: &str = r#"{"model":"m","stream":false,"messages":[{"role":"user","content":"Dune"}]}"#;

    /// A recorder before an upstream that says what it is asked.
    async fn proxy() -> (Proxy, tempfile::TempDir, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = format!("http://{}", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        let echo = Router::new().fallback(any(async |body: String| body));
        tasks.spawn(async move { axum::serve(listener, echo).await.unwrap() });
        let folder = tempfile::tempdir().unwrap();
        let arguments = RecordArguments {
            upstream: upstream.clone(),
            output: folder.path().join("calls.jsonl"),
            requests: Kept::Whole,
            answers: Replayed::Whole,
            timeout: 20,
        };
        let (recorder, writing) = Recorder::start(&arguments, read_question).unwrap();
        tasks.spawn(async move { writing.await.unwrap() });
        let proxy = Proxy {
            upstream: Arc::new(Upstream::new(&upstream, Duration::from_secs(20), None).unwrap()),
            recorder: Arc::new(recorder),
            metrics: Metrics::unregistered(),
            stop: CancellationToken::new(),
        };
        (proxy, folder, tasks)
    }

    fn request(method: Method, body: impl Into<Body>) -> Request<Body> {
        Request::builder().method(method).uri("/api/chat").body(body.into()).unwrap()
    }

    #[tokio::test]
    async fn where_there_is_no_room_a_call_is_handed_on_unrecorded_and_counted() {
        let (proxy, _folder, _tasks) = proxy().await;
        let mut rest = proxy.recorder.memory().hold();
        let mut size = 1 << 40;
        while size > 0 {
            if !rest.grow(size) {
                size /= 2;
            }
        }
        let answer = forward(State(proxy.clone()), request(Method::POST, ASKED)).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(to_bytes(answer.into_body(), 1_000).await.unwrap(), ASKED);
        assert_eq!(proxy.recorder.counts().progress().dropped, 1);
        drop(rest);
        let answer = forward(State(proxy.clone()), request(Method::POST, ASKED)).await;
        assert_eq!(to_bytes(answer.into_body(), 1_000).await.unwrap(), ASKED);
        assert_eq!(proxy.recorder.counts().progress().dropped, 1);
    }

    #[tokio::test]
    async fn a_body_knows_its_size_and_its_end() {
        let (proxy, _folder, _tasks) = proxy().await;
        let mut body = forward(State(proxy.clone()), request(Method::POST, ASKED)).await.into_body();
        assert_eq!(body.size_hint().exact(), Some(ASKED.len() as u64));
        while !body.is_end_stream() {
            poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await.unwrap().unwrap();
        }
        assert_eq!(body.size_hint().exact(), Some(0));
        let head = forward(State(proxy.clone()), request(Method::HEAD, "")).await;
        assert!(head.into_body().is_end_stream());
        let empty = forward(State(proxy), request(Method::POST, "")).await;
        assert!(empty.into_body().is_end_stream());
    }
}
