//! The provider: hyper and strings. It takes spans, too, and throws them away.

use std::convert::Infallible;
use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use http_body_util::{BodyExt, Either, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

use super::Fallible;
use super::wire::{Model, Wire};

/// Bytes of a piece of a streamed answer: pieces end wherever it is, within a frame too.
const PIECE: usize = 32 << 10;

type Body = Either<Full<Bytes>, StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>>;

/// Answers until it is killed.
pub(crate) async fn serve(port: u16) -> Fallible<()> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service_fn(answer)));
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    let wire = Wire::of(request.uri().path());
    let body = request.into_body().collect().await?.to_bytes();
    let mut response = Response::new(Either::Left(Full::default()));
    // Spans on their way to a collector end here.
    let Some(wire) = wire else { return Ok(response) };
    let body = String::from_utf8_lossy(&body);
    let Some(model) = Model::asked(&body) else {
        *response.status_mut() = StatusCode::NOT_FOUND;
        return Ok(response);
    };
    let streamed = body.contains("\"stream\":true") || body.contains("\"stream\": true");
    let kind = match (wire, streamed) {
        (_, false) => "application/json",
        (Wire::Ollama, true) => "application/x-ndjson",
        (Wire::OpenAi | Wire::Anthropic, true) => "text/event-stream",
    };
    if let Ok(kind) = kind.parse() {
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    *response.body_mut() = if streamed {
        Either::Right(StreamBody::new(pieces(wire, model)))
    } else {
        Either::Left(Full::new(Bytes::from(wire.whole(model.words))))
    };
    Ok(response)
}

/// A streamed answer: the first word at once, a rest, and all others as fast as they are taken.
fn pieces(wire: Wire, model: Model) -> BoxStream<'static, Result<Frame<Bytes>, Infallible>> {
    let frames = wire.frames(model.words);
    let first = format!("{}{}0 {}", frames.opening, frames.before, frames.after);
    let others =
        stream::unfold((1, String::new(), Some(frames)), move |(mut word, mut held, frames)| async move {
            let frames = frames?;
            if word == 1 && model.rest_ms > 0 {
                tokio::time::sleep(Duration::from_millis(model.rest_ms)).await;
            }
            while word < model.words && held.len() < PIECE {
                let _ = write!(held, "{}{word} {}", frames.before, frames.after);
                word += 1;
            }
            if word >= model.words && held.len() < PIECE {
                held.push_str(&frames.closing);
                return Some((held, (word, String::new(), None)));
            }
            let rest = held.split_off(PIECE.min(held.len()));
            Some((held, (word, rest, Some(frames))))
        });
    stream::once(std::future::ready(first))
        .chain(others)
        .map(|piece| Ok(Frame::data(Bytes::from(piece))))
        .boxed()
}
