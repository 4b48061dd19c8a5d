//! Putting it together: the simulator, its routes and the socket.
//!
//! The only file that knows all the parts. Must not know how settings were given.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_server::{ApiToken, Limits, ListenError, ListenSettings, Listener};
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use crate::http::{self, Shared};
use crate::settings::{RecordArguments, ReplayArguments, Settings};
use crate::simulator::Simulator;

/// Longest wait for an answer's head: whole answers of a slow profile take as long as they would
/// streamed, and it is the client's deadline that is to be tested, not ours.
const REQUEST_DEADLINE: Duration = Duration::from_secs(15 * 60);

/// What the process is to its clients.
#[derive(Clone, Debug)]
pub enum Role {
    /// A provider that draws its answers.
    Simulate,
    /// A provider that gives recorded answers.
    Replay(ReplayArguments),
    /// A proxy in front of a provider that records what goes by.
    Record(RecordArguments),
}

/// Why it cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Not there yet.
    #[error("record and replay are not there yet")]
    Later,
}

/// A simulator that listens.
pub struct App {
    listener: Listener,
    shared: Shared,
}

impl App {
    /// Binds the socket. `stop` ends [`App::run`].
    ///
    /// # Errors
    /// When the address cannot be bound, or what its role needs is not there.
    pub async fn start(
        settings: &Settings,
        role: Role,
        metrics: Metrics,
        stop: CancellationToken,
    ) -> Result<Self, AppError> {
        if !matches!(role, Role::Simulate) {
            return Err(AppError::Later);
        }
        let Settings { seed, profiles, models, .. } = settings.clone();
        tracing::info!(seed, profile = profiles.default_profile().source, ?models, "simulating");
        let simulator = Arc::new(Simulator::new(seed, profiles, models));
        let listener = http_server::bind(&ListenSettings {
            address: settings.bind_address,
            port: settings.http_port,
            allowed_hosts: settings.allowed_hosts.clone(),
            limits: Limits { request_deadline: REQUEST_DEADLINE, ..Limits::default() },
            ..ListenSettings::default()
        })
        .await?;
        let api_key = settings.api_key.clone().map(ApiToken::given);
        let aws_keys = settings.aws_keys.clone().map(Arc::new);
        Ok(Self { listener, shared: Shared { simulator, metrics, api_key, aws_keys, stop } })
    }

    /// The address really bound.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Serves until told to stop, then lets answers under way end within the drain deadline.
    ///
    /// # Errors
    /// When listening cannot go on.
    pub async fn run(self) -> Result<(), ListenError> {
        let Self { listener, shared } = self;
        let (metrics, stop) = (shared.metrics.clone(), shared.stop.clone());
        http_server::serve(listener, http::router(shared), metrics, stop).await
    }
}
