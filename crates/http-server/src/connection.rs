//! One connection: handshake, protocol, deadlines, and its part in a stop.
//!
//! hyper's own connections and not `axum::serve`, which has no deadline for half-sent headers: they
//! would hold a connection, and a graceful stop, for ever. The protocol is chosen by port and ALPN
//! and not by looking at the first bytes, for which there is no deadline either.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::{BoxError, Service, ServiceExt};

use crate::arriving::Arriving;
use crate::listener::Limits;

mod peer;
mod reset;
mod socket;
mod streams;

pub use peer::Peer;
pub use reset::Reset;
use socket::{Blocked, HeadTimer, Socket};
use streams::Streams;

/// Streams that one HTTP/2 connection may have open.
const STREAMS: u32 = 250;
/// Largest head of an HTTP/2 request, uncompressed, in bytes.
const HEAD_BYTES: u32 = 32 << 10;
/// How often an HTTP/2 client is asked whether it still lives.
const PING_EVERY: Duration = Duration::from_secs(20);
/// How long it may take to say so.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection without streams may take to hear that it is over.
const GOODBYE: Duration = Duration::from_secs(5);
/// Largest head of an HTTP/1 request in bytes, and how much of an answer waits for its client.
const BUFFER: usize = 128 << 10;

/// The routes with all their layers.
pub(crate) trait Layered:
    Service<Request<Body>, Response = Response<Self::Answer>, Error = Infallible, Future: Send + 'static>
    + Clone
    + Send
    + 'static
{
    /// Body of the answer.
    type Answer: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;
}

impl<S, B> Layered for S
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible, Future: Send + 'static>
        + Clone
        + Send
        + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Answer = B;
}

/// What all connections share.
pub(crate) struct Connections {
    limits: Limits,
    /// From here on a connection ends with what it was asked.
    stop: CancellationToken,
    streams: Streams,
}

impl Connections {
    pub(crate) fn new(limits: Limits, stop: CancellationToken) -> Self {
        let streams = Streams::new(&limits);
        Self { limits, stop, streams }
    }

    /// The stop for one connection. Its own, because each time it is polled a lock is taken.
    fn stop(&self) -> CancellationToken {
        self.stop.child_token()
    }

    /// A connection that speaks HTTP/1.1 in the open.
    pub(crate) fn plain<S: Layered>(
        &self,
        stream: TcpStream,
        service: S,
    ) -> impl Future<Output = ()> + use<S> {
        let (limits, stop) = (self.limits, self.stop());
        async move {
            let Some(peer) = Peer::of(&stream) else { return };
            let socket = Socket::new(stream, limits.write_timeout);
            let (blocked, reset) = (socket.blocked(), socket.reset());
            one(socket, blocked, (peer, reset), service, limits, stop).await;
        }
    }

    /// A connection that begins with a TLS handshake and then speaks what ALPN agreed on.
    pub(crate) fn secure<S: Layered>(
        &self,
        stream: TcpStream,
        acceptor: TlsAcceptor,
        service: S,
    ) -> impl Future<Output = ()> + use<S> {
        let (limits, stop, streams) = (self.limits, self.stop(), self.streams.clone());
        async move {
            let Some(peer) = Peer::of(&stream) else { return };
            let socket = Socket::new(stream, limits.write_timeout);
            let (blocked, reset) = (socket.blocked(), socket.reset());
            // A stop does not end it: the request may be on its way already.
            let stream = match timeout(limits.header_timeout, acceptor.accept(socket)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return tracing::debug!(%error, "a handshake failed"),
                Err(_) => return tracing::debug!("a handshake did not end in time"),
            };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                two(stream, peer, service, limits, streams, stop).await;
            } else {
                one(stream, blocked, (peer, reset), service, limits, stop).await;
            }
        }
    }

    /// Cuts what is left of HTTP/2 streams.
    pub(crate) async fn end(self) {
        self.streams.end().await;
    }
}

/// Tells that a connection was asked something.
#[derive(Default)]
struct First {
    seen: AtomicBool,
    told: Notify,
}

impl First {
    fn tell(&self) {
        if !self.seen.load(Ordering::Relaxed) {
            self.seen.store(true, Ordering::Relaxed);
            self.told.notify_one();
        }
    }
}

// A client that leaves is noticed at once while its answer is under way, unless it had sent more than
// that request: hyper looks for the end of what it reads only where it has read everything (its
// `mid_message_detect_eof`). Who pipelines and leaves so keeps its connection, and its place among the
// requests under way, until something is written or the answer's deadlines end it: a minute by
// `Limits::default()`, but hours where a service allows them, as llm-simulator does, and bounded by
// `Limits::connections` only. A remedy has to see the closure without draining the socket, beside
// hyper's own reading: tokio tells it (`Ready::is_read_closed`), but wakes nobody for it where bytes
// are left to be read, so that it would have to be looked at now and then.
async fn one<S, I>(
    stream: I,
    blocked: Arc<Blocked>,
    (peer, reset): (Peer, Reset),
    service: S,
    limits: Limits,
    stop: CancellationToken,
) where
    S: Layered,
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
{
    let first = Arc::new(First::default());
    let service = {
        let first = Arc::clone(&first);
        service.map_request(move |request| {
            first.tell();
            let mut request = arrive(request, limits.body_timeout);
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(reset.clone());
            request
        })
    };
    let mut http = http1::Builder::new();
    http.timer(HeadTimer { allowed: limits.header_timeout, blocked: Arc::clone(&blocked) })
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(BUFFER);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
    // hyper closes one at once on which it has read nothing yet, though a request may be there, and
    // one whose answer it has buffered, though that may not have left.
    let stopping = async {
        stop.cancelled().await;
        first.told.notified().await;
        blocked.over().await;
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopping => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

async fn two<S, I>(
    stream: I,
    peer: Peer,
    service: S,
    limits: Limits,
    streams: Streams,
    stop: CancellationToken,
) where
    S: Layered,
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
{
    let (streams, activity) = streams.of_connection();
    let service = service.map_request(move |request| {
        let mut request = arrive(request, limits.body_timeout);
        request.extensions_mut().insert(peer);
        request
    });
    let mut http = http2::Builder::new(streams);
    http.timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_BYTES)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        // Streams that are on their way are still taken: the protocol sees to it.
        () = stop.cancelled() => None,
        // hyper has no deadline for a client that agrees on HTTP/2 and then says nothing.
        () = activity.none(limits.header_timeout, limits.idle_timeout) => {
            if !activity.ever() {
                return tracing::debug!("a connection asked nothing in time");
            }
            None
        }
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = activity.none(GOODBYE, GOODBYE), if !stop.is_cancelled() => {
                    return tracing::debug!("a connection without streams did not end by itself");
                }
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

/// A request as the layers take it: its body, if it has one, must have arrived by then.
fn arrive(request: Request<Incoming>, by: Duration) -> Request<Body> {
    request.map(|body| {
        if http_body::Body::is_end_stream(&body) { Body::empty() } else { Body::new(Arriving::new(body, by)) }
    })
}
