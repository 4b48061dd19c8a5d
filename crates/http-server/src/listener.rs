//! Listening: bind, accept, drain.
//!
//! Owns the sockets and the order of a stop. What happens on a connection is in `connection.rs`,
//! what happens to a request in `layers.rs`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::HeaderMap;
use telemetry::Metrics;
use telemetry::server::Scheme;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::connection::Connections;
use crate::cors::Origin;
use crate::descriptors;
use crate::layers::{self, UnderWay};
use crate::tls::{self, TlsError, TlsSettings};

/// How long, while draining, connections may stay open on which nothing is under way: half-sent
/// headers, and clients that do not read the last of their answer.
const IDLE_GRACE: Duration = Duration::from_secs(2);
/// How often it is looked whether anything is under way.
const IDLE_LOOK: Duration = Duration::from_millis(50);
/// Connections that wait in the kernel at a stop and are still served; as many as it keeps.
const BACKLOG: usize = 4_096;

/// Where a service listens and what it lets in.
#[derive(Clone, Debug)]
pub struct ListenSettings {
    /// Address to bind.
    pub address: IpAddr,
    /// Port to bind; 0 for any free one.
    pub port: u16,
    /// HTTPS, with HTTP/2 by ALPN, on a port of its own.
    pub tls: Option<TlsSettings>,
    /// Host names, besides those of loopback and the bound address, under which the service is
    /// reached; `*` for any.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may use the service from a browser.
    pub cors_allowed_origins: Vec<Origin>,
    /// Of the access events of successful requests one in so many is written; failures and slow
    /// ones always are. 0 counts as 1.
    pub access_events_one_in: u32,
    /// What stands in the head of every answer, whoever gives it.
    pub headers: HeaderMap,
    /// Whether events and spans leave paths out, where those may hold a secret of somebody's.
    pub hides_paths: bool,
    /// Deadlines and sizes.
    pub limits: Limits,
}

impl Default for ListenSettings {
    /// Loopback, any free port, plain HTTP, no foreign page, every access event.
    fn default() -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            tls: None,
            allowed_hosts: Vec::new(),
            cors_allowed_origins: Vec::new(),
            access_events_one_in: 1,
            headers: HeaderMap::new(),
            hides_paths: false,
            limits: Limits::default(),
        }
    }
}

impl ListenSettings {
    /// Whether nobody but this machine's own programs can be asking: it listens on loopback and answers
    /// to loopback's names only. Another name means that something leads others here, such as a proxy.
    #[must_use]
    pub const fn is_private(&self) -> bool {
        self.address.is_loopback() && self.allowed_hosts.is_empty()
    }
}

/// Deadlines and sizes of what a service accepts.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For a request's head to arrive whole, and for a TLS handshake.
    pub header_timeout: Duration,
    /// From a request's head to the end of its body.
    pub body_timeout: Duration,
    /// From a request's head to its answer's head.
    pub request_deadline: Duration,
    /// From an answer's head to the end of its body; a client that reads slower is cut.
    pub answer_timeout: Duration,
    /// For a client to make room for any more of its answer.
    pub write_timeout: Duration,
    /// For an HTTP/2 connection without streams; over HTTP/1 the deadline of the next head.
    pub idle_timeout: Duration,
    /// For requests under way when the service stops.
    pub drain_deadline: Duration,
    /// Largest request body in bytes, where a route sets no other.
    pub body_bytes: usize,
    /// Requests under way at once, to the end of their answers' bodies; more are turned away.
    pub concurrent_requests: usize,
    /// Connections open at once; more wait in the kernel.
    pub connections: usize,
}

impl Limits {
    /// From a request's head to the end of its answer's body.
    pub(crate) const fn answer_deadline(&self) -> Duration {
        self.request_deadline.saturating_add(self.answer_timeout)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(50),
            request_deadline: Duration::from_secs(60),
            answer_timeout: Duration::from_secs(60),
            drain_deadline: Duration::from_secs(5),
            write_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            body_bytes: 1 << 20,
            concurrent_requests: 2_048,
            connections: 8_192,
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
    /// There is no certificate.
    #[error("cannot listen for HTTPS: {0}")]
    Tls(#[from] TlsError),
}

impl ListenError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::InUse(_) => "port_in_use",
            Self::Bind(..) => "bind",
            Self::Tls(error) => error.kind(),
        }
    }
}

/// Bound sockets.
pub struct Listener {
    plain: TcpListener,
    address: SocketAddr,
    secure: Option<Secure>,
    settings: ListenSettings,
}

/// The socket of HTTPS.
struct Secure {
    socket: TcpListener,
    address: SocketAddr,
    acceptor: TlsAcceptor,
}

impl Listener {
    /// The address really bound for plain HTTP.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The address really bound for HTTPS.
    #[must_use]
    pub fn secure_addr(&self) -> Option<SocketAddr> {
        self.secure.as_ref().map(|secure| secure.address)
    }
}

/// Binds the sockets.
///
/// # Errors
/// When a port is in use, the address is not ours, or a development certificate cannot be kept.
pub async fn bind(settings: &ListenSettings) -> Result<Listener, ListenError> {
    descriptors::allow(settings.limits.connections);
    let (plain, address) = socket(settings.address, settings.port).await?;
    let secure = match &settings.tls {
        None => None,
        Some(tls) => {
            let (socket, address) = socket(settings.address, tls.port).await?;
            let names = tls::names(settings.address, &settings.allowed_hosts);
            Some(Secure { socket, address, acceptor: tls.identity.config(&names)?.into() })
        }
    };
    Ok(Listener { plain, address, secure, settings: settings.clone() })
}

async fn socket(address: IpAddr, port: u16) -> Result<(TcpListener, SocketAddr), ListenError> {
    let wanted = SocketAddr::new(address, port);
    let refused = |error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse(wanted),
        _ => ListenError::Bind(wanted, error),
    };
    let socket = TcpListener::bind(wanted).await.map_err(refused)?;
    let bound = socket.local_addr().map_err(refused)?;
    Ok((socket, bound))
}

impl Secure {
    /// The next connection; never one where HTTPS is off.
    async fn accept(this: Option<&Self>) -> (io::Result<(TcpStream, SocketAddr)>, Option<&TlsAcceptor>) {
        match this {
            Some(secure) => (secure.socket.accept().await, Some(&secure.acceptor)),
            None => std::future::pending().await,
        }
    }
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
    let Listener { plain, address, secure, settings } = listener;
    let limits = settings.limits;
    let under_way = UnderWay::new(&limits);
    let service =
        |scheme| layers::wrap(router.clone(), metrics.clone(), &settings, scheme, under_way.clone());
    let (open, sealed) = (service(Scheme::Http), service(Scheme::Https));
    let connections = Connections::new(limits, stop.clone());
    let mut tasks = JoinSet::new();
    if let Some(secure) = &secure {
        tracing::info!(address = %secure.address, "listening for HTTPS");
    }
    tracing::info!(%address, "listening");
    let mut places = Places::new(limits.connections);
    loop {
        let place = tokio::select! {
            place = places.free() => place,
            () = stop.cancelled() => break,
        };
        let (accepted, acceptor) = tokio::select! {
            accepted = plain.accept() => (accepted, None),
            accepted = Secure::accept(secure.as_ref()) => accepted,
            () = stop.cancelled() => break,
        };
        match (accepted, acceptor) {
            (Ok((stream, _)), None) => {
                tasks.spawn(holding(place, connections.plain(stream, open.clone())));
            }
            (Ok((stream, _)), Some(acceptor)) => {
                let acceptor = acceptor.clone();
                tasks.spawn(holding(place, connections.secure(stream, acceptor, sealed.clone())));
            }
            (Err(error), _) => {
                // Out of file descriptors, mostly: it passes when a connection closes.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        while tasks.try_join_next().is_some() {}
    }
    // Those that the kernel has accepted for us would be reset, and their requests with them.
    for stream in backlog(plain) {
        tasks.spawn(connections.plain(stream, open.clone()));
    }
    if let Some(Secure { socket, acceptor, .. }) = secure {
        for stream in backlog(socket) {
            tasks.spawn(connections.secure(stream, acceptor.clone(), sealed.clone()));
        }
    }
    tracing::info!("draining");
    tokio::select! {
        () = ended(&mut tasks) => tracing::info!("drained"),
        () = idle(&under_way) => {
            tracing::info!(connections = tasks.len(), "drained but for connections without a request");
        }
        () = tokio::time::sleep(limits.drain_deadline) => {
            tracing::warn!(
                connections = tasks.len(), requests = under_way.count(),
                "drain deadline reached, closing what is left"
            );
        }
    }
    tasks.shutdown().await;
    connections.end().await;
    Ok(())
}

/// Places for connections.
struct Places {
    free: Arc<Semaphore>,
    told: bool,
}

impl Places {
    fn new(most: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))), told: false }
    }

    /// A place, as soon as there is one. The semaphore is never closed, so there always is.
    async fn free(&mut self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(place);
        }
        if !self.told {
            self.told = true;
            tracing::warn!("as many connections as it takes are open; more wait until one closes");
        }
        Arc::clone(&self.free).acquire_owned().await.ok()
    }
}

/// A connection in its place.
async fn holding(place: Option<OwnedSemaphorePermit>, connection: impl Future<Output = ()>) {
    connection.await;
    drop(place);
}

/// The connections that are there already; afterwards there will be no others. Asked of the kernel
/// itself: tokio would hand out only so many in a row.
fn backlog(socket: TcpListener) -> Vec<TcpStream> {
    let taken = socket.into_std().map(|socket| {
        let waiting = std::iter::from_fn(|| socket.accept().ok()).take(BACKLOG);
        waiting
            .filter_map(|(stream, _)| {
                stream.set_nonblocking(true).ok()?;
                TcpStream::from_std(stream).ok()
            })
            .collect()
    });
    taken.unwrap_or_else(|error| {
        tracing::warn!(%error, "connections that were waiting are lost");
        Vec::new()
    })
}

/// Resolves when all connections have.
async fn ended(tasks: &mut JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}

/// Resolves when nothing was under way for a while.
async fn idle(under_way: &UnderWay) {
    let mut quiet = Duration::ZERO;
    while quiet < IDLE_GRACE {
        tokio::time::sleep(IDLE_LOOK).await;
        quiet = if under_way.count() == 0 { quiet + IDLE_LOOK } else { Duration::ZERO };
    }
}
