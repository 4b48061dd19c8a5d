//! How a decided call becomes an HTTP answer, whatever the protocol: streamed or whole, with the
//! trouble that was asked for, and recorded.
//!
//! Owns what a cut, a malformed event and a reset are in HTTP. What the bytes of an answer look
//! like is its protocol's, a [`Wire`].

use std::io;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_server::Reset;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

use super::Shared;
use crate::allowance::Allowance;
use crate::answer::Answer;
use crate::call::Call;
use crate::delivery::{Delivery, Ending, Refusing, Step};
use crate::failure::Failure;
use crate::simulator::{Decision, Outcome};

/// What is added to the model's name in answers; `+` is in no real model's name.
pub(super) const MARK: &str = "+simulated";
/// Longest text of a refusal, in characters: it may quote what it refuses.
const LONGEST_TEXT: usize = 1_000;

/// How one protocol writes one answer. Called in the order of the stream; a whole answer asks for
/// [`Wire::whole`] only.
pub(super) trait Wire: Send + 'static {
    /// `Content-Type` of a stream.
    const STREAM: &'static str;
    /// `Content-Type` of a whole answer.
    const WHOLE: &'static str;

    /// Headers of the answer's head.
    fn headers(&self, allowance: Option<&Allowance>) -> HeaderMap;

    /// A whole answer.
    fn whole(&mut self, answer: &Answer, ending: &Ending) -> Vec<u8>;

    /// What a stream begins with, sent together with the first chunk, or with the end.
    fn opening(&mut self, answer: &Answer, ending: &Ending) -> Vec<u8>;

    /// A chunk of the text.
    fn chunk(&mut self, text: &str) -> Vec<u8>;

    /// What a stream ends with.
    fn end(&mut self, answer: &Answer, ending: &Ending) -> Vec<u8>;

    /// What a stream says where the provider fails in its middle; nothing where its protocol has no
    /// way to say it, and the stream is cut.
    fn failed(&mut self, _: &Failure) -> Option<Vec<u8>> {
        None
    }

    /// Makes a chunk, or a whole answer, one that cannot be read, without losing its framing: here
    /// the last brace is dropped.
    fn malformed(&self, mut event: Vec<u8>) -> Vec<u8> {
        if let Some(brace) = event.iter().rposition(|byte| *byte == b'}') {
            event.remove(brace);
        }
        event
    }
}

/// An answer that is none: what a protocol makes of a [`Failure`] or of a request it refuses.
#[derive(Debug)]
pub(super) struct Refused {
    /// The status.
    pub(super) status: StatusCode,
    /// `Content-Type` of the body.
    pub(super) content_type: &'static str,
    /// Further headers.
    pub(super) headers: HeaderMap,
    /// The body.
    pub(super) body: String,
    /// A short, stable name, for the log.
    pub(super) kind: &'static str,
    /// What the log says.
    pub(super) detail: String,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self { status, content_type, headers, body, kind, detail } = self;
        let mut response = (status, headers, body).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        response.extensions_mut().insert(telemetry::Failure { kind, detail });
        response
    }
}

/// The header that says where the token counts of an answer come from: `estimated` or `reported`.
const USAGE_HEADER: HeaderName = HeaderName::from_static("x-llm-usage");

/// From how many bytes on reading, counting and hashing would hold up the other requests.
const LARGE: usize = 1024 * 1024;

/// Does work on so many bytes, on a worker that others do not wait for where they are many.
pub(super) fn aside<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let several =
        || Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if bytes >= LARGE && several() { block_in_place(work) } else { work() }
}

/// Decides what is done with a call and carries it out.
///
/// # Errors
/// With a failure for the protocol to put into its words, and what is left of the limits for its
/// headers. A reset is carried out here.
pub(super) async fn serve<W: Wire>(
    shared: Shared,
    call: Call,
    reset: Option<Reset>,
    mut wire: W,
) -> Result<Response, (Failure, Option<Allowance>)> {
    let Decision { outcome, injected, allowance, place } =
        aside(call.question.bytes(), || shared.simulator.decide(&call));
    let model = shared.simulator.models().label(&call.question.model);
    if injected {
        shared.metrics.simulator_fault(call.protocol.as_str(), outcome.kind(), 1);
    }
    let (answer, trouble) = match outcome {
        Outcome::Answer(answer, trouble) => (answer, trouble),
        Outcome::Failure { failure, after } => {
            Refusing::start(&call, model, injected, place, shared.metrics).due(after).await;
            return match failure {
                Failure::Reset => Ok(broken(reset.as_ref())),
                failure => Err((failure, allowance)),
            };
        }
    };
    let mut headers = wire.headers(allowance.as_ref());
    headers.insert(USAGE_HEADER, HeaderValue::from_static(answer.counted().as_str()));
    let mut delivery = Delivery::start(answer, trouble, &call, model, injected, place, shared.metrics);
    let mut response = if call.stream {
        // As providers do, the head of the answer waits for the first token.
        delivery.first().await;
        streamed(wire, delivery, reset)
    } else {
        let step = delivery.whole().await;
        let (malformed, cut) = match step {
            Step::Malformed(_) => (true, None),
            Step::Cut => (false, Some(false)),
            Step::Reset => (false, Some(true)),
            Step::Chunk(_) | Step::Failed(_) | Step::End => (false, None),
        };
        let ending = delivery.finish();
        let mut body = wire.whole(delivery.answer(), &ending);
        if malformed {
            body = wire.malformed(body);
        }
        match cut {
            None => ([(CONTENT_TYPE, W::WHOLE)], body).into_response(),
            Some(by_reset) => half::<W>(&body, reset.filter(|_| by_reset).as_ref()),
        }
    };
    response.headers_mut().extend(headers);
    Ok(response)
}

/// Where a stream is.
enum State<W> {
    Opening(W, Delivery),
    Under(W, Delivery),
    Broken,
    Over,
}

/// A stream of events. Dropped with the connection, it stops.
fn streamed<W: Wire>(wire: W, delivery: Delivery, reset: Option<Reset>) -> Response {
    let events = stream::unfold(State::Opening(wire, delivery), move |state| {
        let reset = reset.clone();
        async move {
            let (mut wire, mut delivery, mut bytes) = match state {
                State::Opening(mut wire, delivery) => {
                    let opening = wire.opening(delivery.answer(), &delivery.ending());
                    (wire, delivery, opening)
                }
                State::Under(wire, delivery) => (wire, delivery, Vec::new()),
                State::Broken => return Some((Err(cut_off().await), State::Over)),
                State::Over => return None,
            };
            let (next, broken) = match delivery.step().await {
                Step::Chunk(text) => {
                    bytes.extend(wire.chunk(text));
                    (true, false)
                }
                Step::Malformed(text) => {
                    let chunk = wire.chunk(text);
                    bytes.extend(wire.malformed(chunk));
                    (true, false)
                }
                Step::End => {
                    let ending = delivery.finish();
                    bytes.extend(wire.end(delivery.answer(), &ending));
                    (false, false)
                }
                Step::Failed(failure) => match wire.failed(failure) {
                    Some(event) => {
                        bytes.extend(event);
                        (false, false)
                    }
                    None => (false, true),
                },
                Step::Cut => (false, true),
                Step::Reset => {
                    if let Some(reset) = &reset {
                        reset.ask();
                    }
                    (false, true)
                }
            };
            let state = match (next, broken) {
                (true, _) => State::Under(wire, delivery),
                (false, true) => State::Broken,
                (false, false) => State::Over,
            };
            Some((Ok(Bytes::from(bytes)), state))
        }
    });
    ([(CONTENT_TYPE, W::STREAM)], Body::from_stream(events)).into_response()
}

/// Half of a whole answer, of which the head promises all.
fn half<W: Wire>(body: &[u8], reset: Option<&Reset>) -> Response {
    if let Some(reset) = reset {
        reset.ask();
    }
    let sent = Bytes::copy_from_slice(body.get(..body.len() / 2).unwrap_or_default());
    let events = stream::iter([Ok(sent)]).chain(stream::once(cut_off().map(Err)));
    let mut response = ([(CONTENT_TYPE, W::WHOLE)], Body::from_stream(events)).into_response();
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    response
}

/// An answer that never comes: its connection breaks.
fn broken(reset: Option<&Reset>) -> Response {
    if let Some(reset) = reset {
        reset.ask();
    }
    // Without a pause before it, so that not even the head leaves.
    Body::from_stream(stream::iter([Err::<Bytes, _>(on_purpose())])).into_response()
}

/// What a body ends with that is cut, once what was handed over before it has left.
async fn cut_off() -> io::Error {
    tokio::task::yield_now().await;
    on_purpose()
}

fn on_purpose() -> io::Error {
    io::Error::other("cut on purpose")
}

/// What a refusal says, cut short where it quotes too much.
pub(super) fn bounded(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(LONGEST_TEXT) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// The key of an `Authorization: Bearer` header.
pub(super) fn bearer(header: &HeaderValue) -> Option<&str> {
    let (scheme, key) = header.to_str().ok()?.split_once(' ')?;
    Some(key.trim()).filter(|key| scheme.eq_ignore_ascii_case("bearer") && !key.is_empty())
}

/// JSON of what is made of strings, numbers and lists only, which cannot fail.
pub(super) fn encoded(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// The same as a text.
pub(super) fn encoded_text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// A whole answer in JSON.
pub(super) fn json_answer(content_type: &'static str, value: &impl serde::Serialize) -> Response {
    ([(CONTENT_TYPE, content_type)], encoded(value)).into_response()
}
