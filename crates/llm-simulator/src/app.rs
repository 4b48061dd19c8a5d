//! Putting it together: the simulator, its routes and the socket.
//!
//! The only file that knows all the parts. Must not know how settings were given.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_server::{ApiToken, Limits, ListenError, ListenSettings, Listener};
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use crate::allowance::ModelLimits;
use crate::call::Protocol;
use crate::faults::Fault;
use crate::http::admin::Guard;
use crate::http::{self, Shared};
use crate::models::Models;
use crate::settings::{RecordArguments, ReplayArguments, Settings};
use crate::simulator::Simulator;

/// Longest wait for an answer's head, and for the rest of it: it is the client's deadline that is to
/// be tested, not ours. A fault may pause for an hour, and whole answers of a slow profile take as
/// long as they would streamed.
const PATIENCE: Duration = Duration::from_secs(2 * 60 * 60);
/// Answers under way at once, and connections. A load test of 2,500 streams that last minutes has to
/// fit several times over, retries and idle connections of pools included, for what the simulator
/// turns away would be taken for the provider's doing. A stream takes some 20 KiB.
const AT_ONCE: usize = 16_384;
/// Models whose series start at zero; each takes 24 of them.
const STARTED_MODELS: usize = 16;

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
    guard: Guard,
    shared: Shared,
}

/// Starts the series that matter at zero.
fn start_series(metrics: &Metrics, models: &Models) {
    let others = models.any().then(|| models.label(""));
    let models: Vec<&str> =
        models.named().iter().take(STARTED_MODELS).map(String::as_str).chain(others).collect();
    metrics.start_simulator_series(&Protocol::ALL.map(Protocol::as_str), &models, &Fault::KINDS);
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
        let Settings { seed, profiles, models, faults, .. } = settings.clone();
        tracing::info!(
            seed,
            profile = profiles.default_profile().source,
            ?models,
            rules = faults.rules().len(),
            kinds = faults.summary(),
            "simulating"
        );
        start_series(&metrics, &models);
        let limits = ModelLimits {
            requests_per_minute: settings.requests_per_minute,
            tokens_per_minute: settings.tokens_per_minute,
            context_tokens: settings.context_tokens,
        };
        let simulator =
            Arc::new(Simulator::new(seed, profiles, models).with_limits(limits).with_faults(faults));
        let listening = ListenSettings {
            address: settings.bind_address,
            port: settings.http_port,
            allowed_hosts: settings.allowed_hosts.clone(),
            limits: Limits {
                request_deadline: PATIENCE,
                answer_timeout: PATIENCE,
                concurrent_requests: AT_ONCE,
                connections: AT_ONCE,
                ..Limits::default()
            },
            ..ListenSettings::default()
        };
        let guard = match &settings.api_token {
            _ if listening.is_private() => Guard::Open,
            Some(token) => Guard::Token(ApiToken::given(token.clone())),
            None => Guard::Closed,
        };
        let listener = http_server::bind(&listening).await?;
        let api_key = settings.api_key.clone().map(ApiToken::given);
        let aws_keys = settings.aws_keys.clone().map(Arc::new);
        Ok(Self { listener, guard, shared: Shared { simulator, metrics, api_key, aws_keys, stop } })
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
        let Self { listener, guard, shared } = self;
        let (metrics, stop) = (shared.metrics.clone(), shared.stop.clone());
        http_server::serve(listener, http::router(shared, guard), metrics, stop).await
    }
}
