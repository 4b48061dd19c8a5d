//! Listening: bind, accept, serve, drain.
//!
//! HTTP/1.1 by hyper itself and not by `axum::serve`, which has no deadline for half-sent headers:
//! they would hold a connection, and a graceful stop, for ever.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use telemetry::Metrics;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::layers;

/// Where a service listens and what it lets in.
#[derive(Clone, Debug)]
pub struct ListenSettings {
    /// Address to bind.
    pub address: IpAddr,
    /// Port to bind; 0 for any free one.
    pub port: u16,
    /// Host names, besides those of loopback and the bound address, under which the service is
    /// reached; `*` for any.
    pub allowed_hosts: Vec<String>,
    /// Deadlines and sizes.
    pub limits: Limits,
}

/// Deadlines and sizes of what a service accepts.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For a request's head to arrive whole.
    pub header_timeout: Duration,
    /// From a request's head to its answer's head.
    pub request_deadline: Duration,
    /// For requests under way when the service stops.
    pub drain_deadline: Duration,
    /// Largest request body in bytes, where a route sets no other.
    pub body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            request_deadline: Duration::from_secs(60),
            drain_deadline: Duration::from_secs(8),
            body_bytes: 1 << 20,
        }
    }
}

/// Why a service cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another process has the port.
    #[error(
        "port {} on {} is in use: stop the process that has it (`make stop-services`), or set another port",
        .0.port(), .0.ip()
    )]
    InUse(SocketAddr),
    /// The address cannot be bound for another reason.
    #[error("cannot listen on {0}: {1}")]
    Bind(SocketAddr, #[source] io::Error),
}

impl ListenError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::InUse(_) => "port_in_use",
            Self::Bind(..) => "bind",
        }
    }
}

/// A bound socket.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    settings: ListenSettings,
}

impl Listener {
    /// The address really bound.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

/// Binds the socket.
///
/// # Errors
/// When the port is in use or the address is not ours.
pub async fn bind(settings: &ListenSettings) -> Result<Listener, ListenError> {
    let wanted = SocketAddr::new(settings.address, settings.port);
    let refused = |error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse(wanted),
        _ => ListenError::Bind(wanted, error),
    };
    let socket = TcpListener::bind(wanted).await.map_err(refused)?;
    let address = socket.local_addr().map_err(refused)?;
    Ok(Listener { socket, address, settings: settings.clone() })
}

/// Serves until `stop` is cancelled, then lets requests under way end within the drain deadline.
///
/// # Errors
/// None today; a listener that cannot go on would say so here.
pub async fn serve(
    listener: Listener,
    router: Router,
    metrics: Metrics,
    stop: CancellationToken,
) -> Result<(), ListenError> {
    let Listener { socket, address, settings } = listener;
    let limits = settings.limits;
    let service = layers::wrap(router, metrics, &settings);
    let service =
        TowerToHyperService::new(service.map_request(|request: Request<Incoming>| request.map(Body::new)));
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.header_timeout);
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    tracing::info!(%address, "listening");
    loop {
        let stream = tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, mostly: it passes when a connection closes.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = stop.cancelled() => break,
        };
        // Small answers should leave at once; without it they are only slower.
        let _ = stream.set_nodelay(true);
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service.clone()));
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke");
            }
        });
        while connections.try_join_next().is_some() {}
    }
    drop(socket);
    tracing::info!("draining");
    tokio::select! {
        () = graceful.shutdown() => tracing::info!("drained"),
        () = tokio::time::sleep(limits.drain_deadline) => {
            tracing::warn!(connections = connections.len(), "drain deadline reached, closing what is left");
        }
    }
    Ok(())
}
