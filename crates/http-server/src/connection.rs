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
use tokio_util::task::TaskTracker;
use tower::{BoxError, Service, ServiceExt};

use crate::arriving::Arriving;
use crate::listener::Limits;

/// Streams that one HTTP/2 connection may have open.
const STREAMS: u32 = 250;
/// Largest head of an HTTP/2 request, uncompressed, in bytes.
const HEAD_BYTES: u32 = 32 << 10;
/// How often an HTTP/2 client is asked whether it still lives.
const PING_EVERY: Duration = Duration::from_secs(20);
/// How long it may take to say so.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for streams that were cut to notice it.
const CUT_DEADLINE: Duration = Duration::from_secs(1);

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

/// Runs the streams of HTTP/2 connections; none outlives [`Connections::end`], nor the time for its
/// answer: who never opens its window would otherwise hold a request's place for ever, out of sight
/// of the body, which nobody asks for anything then.
#[derive(Clone)]
struct Streams {
    tasks: TaskTracker,
    cut: CancellationToken,
    allowed: Duration,
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let stream = timeout(self.allowed, stream);
        self.tasks.spawn(self.cut.clone().run_until_cancelled_owned(stream));
    }
}

impl Connections {
    pub(crate) fn new(limits: Limits, stop: CancellationToken) -> Self {
        let streams = Streams {
            tasks: TaskTracker::new(),
            cut: CancellationToken::new(),
            allowed: limits.request_deadline.saturating_add(limits.answer_timeout),
        };
        Self { limits, stop, streams }
    }

    /// A connection that speaks HTTP/1.1 in the open.
    pub(crate) fn plain<S: Layered>(
        &self,
        stream: TcpStream,
        service: S,
    ) -> impl Future<Output = ()> + use<S> {
        let (limits, stop) = (self.limits, self.stop.clone());
        async move {
            // Small answers should leave at once; without it they are only slower.
            let _ = stream.set_nodelay(true);
            one(stream, service, limits, stop).await;
        }
    }

    /// A connection that begins with a TLS handshake and then speaks what ALPN agreed on.
    pub(crate) fn secure<S: Layered>(
        &self,
        stream: TcpStream,
        acceptor: TlsAcceptor,
        service: S,
    ) -> impl Future<Output = ()> + use<S> {
        let (limits, stop, streams) = (self.limits, self.stop.clone(), self.streams.clone());
        async move {
            let _ = stream.set_nodelay(true);
            // A stop does not end it: the request may be on its way already.
            let stream = match timeout(limits.header_timeout, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return tracing::debug!(%error, "a handshake failed"),
                Err(_) => return tracing::debug!("a handshake did not end in time"),
            };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                two(stream, service, limits, streams, stop).await;
            } else {
                one(stream, service, limits, stop).await;
            }
        }
    }

    /// Cuts what is left of HTTP/2 streams.
    pub(crate) async fn end(self) {
        let Streams { tasks, cut, .. } = self.streams;
        tasks.close();
        cut.cancel();
        let _ = timeout(CUT_DEADLINE, tasks.wait()).await;
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

async fn one<S, I>(stream: I, service: S, limits: Limits, stop: CancellationToken)
where
    S: Layered,
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
{
    let first = Arc::new(First::default());
    let service = {
        let first = Arc::clone(&first);
        service.map_request(move |request| {
            first.tell();
            arrive(request, limits.body_timeout)
        })
    };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.header_timeout);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
    // hyper closes one at once on which it has read nothing yet, though a request may be there.
    let stopping = async {
        stop.cancelled().await;
        first.told.notified().await;
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

async fn two<S, I>(stream: I, service: S, limits: Limits, streams: Streams, stop: CancellationToken)
where
    S: Layered,
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
{
    let asked = Arc::new(AtomicBool::new(false));
    let service = {
        let asked = Arc::clone(&asked);
        service.map_request(move |request| {
            asked.store(true, Ordering::Relaxed);
            arrive(request, limits.body_timeout)
        })
    };
    let mut http = http2::Builder::new(streams);
    http.timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_BYTES)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
    // hyper has no deadline for a client that agrees on HTTP/2 and then says nothing.
    let silent = async {
        tokio::time::sleep(limits.header_timeout).await;
        if asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    let served = async {
        tokio::select! {
            ended = connection.as_mut() => ended,
            // Streams that are on their way are still taken: the protocol sees to it.
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    tokio::select! {
        ended = served => if let Err(error) = ended {
            tracing::debug!(%error, "a connection broke");
        },
        () = silent => tracing::debug!("a connection asked nothing in time"),
    }
}

/// A request as the layers take it: its body, if it has one, must have arrived by then.
fn arrive(request: Request<Incoming>, by: Duration) -> Request<Body> {
    request.map(|body| {
        if http_body::Body::is_end_stream(&body) { Body::empty() } else { Body::new(Arriving::new(body, by)) }
    })
}
