//! Putting it together: the simulator, its routes and the socket.
//!
//! The only file that knows all the parts. Must not know how settings were given.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http_server::{ApiToken, Limits, ListenError, ListenSettings, Listener};
use secrecy::ExposeSecret;
use telemetry::Metrics;
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::allowance::ModelLimits;
use crate::call::Protocol;
use crate::faults::Fault;
use crate::http::admin::Guard;
use crate::http::recorder::{self, Proxy};
use crate::http::{self, Shared};
use crate::models::Models;
use crate::record::library::LibraryError;
use crate::record::{Counts, Recorder};
use crate::replay::{Left, Replay, ReplayError};
use crate::settings::{RecordArguments, ReplayArguments, Settings};
use crate::simulator::Simulator;
use crate::upstream::{Upstream, UpstreamError};

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

/// How often a recorder says how far it is.
const PROGRESS: Duration = Duration::from_secs(10);
/// Longest wait, at the end, for recordings to be written.
const WRITE: Duration = Duration::from_secs(10);

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
    /// There can be no such upstream.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The file for recordings cannot be used.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// It would sign for whoever can reach it.
    #[error(
        "record signs requests with SIM_AWS_ACCESS_KEY_ID for whoever can reach it: listen on 127.0.0.1 without \
         ALLOWED_HOSTS, or leave the keys out"
    )]
    LendsKeys,
    /// There is nothing to replay.
    #[error(transparent)]
    Replay(#[from] ReplayError),
}

impl AppError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Listen(error) => error.kind(),
            Self::Upstream(error) => error.kind(),
            Self::Library(error) => error.kind(),
            Self::LendsKeys => "lends_keys",
            Self::Replay(error) => error.kind(),
        }
    }
}

/// A simulator, or a recorder, that listens.
pub struct App {
    listener: Listener,
    router: Router,
    metrics: Metrics,
    stop: CancellationToken,
    recording: Option<UnderRecording>,
}

/// What a recorder leaves to be waited for.
struct UnderRecording {
    counts: Arc<Counts>,
    writing: JoinHandle<()>,
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
        match role {
            Role::Simulate => Self::simulator(settings, None, metrics, stop).await,
            Role::Replay(arguments) => {
                let replay = Replay::load(&arguments)?;
                Self::simulator(settings, Some(replay), metrics, stop).await
            }
            Role::Record(arguments) => Self::recorder(settings, &arguments, metrics, stop).await,
        }
    }

    async fn simulator(
        settings: &Settings,
        replay: Option<Replay>,
        metrics: Metrics,
        stop: CancellationToken,
    ) -> Result<Self, AppError> {
        let Settings { seed, profiles, mut models, faults, .. } = settings.clone();
        if let Some(replay) = &replay {
            tell(replay);
            let any = models.any().then(|| "*".to_owned());
            let others = models.named().iter().filter(|model| !replay.models().contains(model));
            models = Models::new(replay.models().iter().chain(others).cloned().chain(any));
        }
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
        let mut simulator = Simulator::new(seed, profiles, models).with_limits(limits).with_faults(faults);
        if let Some(replay) = replay {
            simulator = simulator.with_replay(replay);
        }
        let listening = ListenSettings { headers: http::marks(), ..listening(settings) };
        let guard = match &settings.api_token {
            _ if listening.is_private() => Guard::Open,
            Some(token) => Guard::Token(ApiToken::given(token.clone())),
            None => Guard::Closed,
        };
        let listener = http_server::bind(&listening).await?;
        let shared = Shared {
            simulator: Arc::new(simulator),
            metrics: metrics.clone(),
            api_key: settings.api_key.clone().map(ApiToken::given),
            aws_keys: settings.aws_keys.clone().map(Arc::new),
            stop: stop.clone(),
        };
        Ok(Self { listener, router: http::router(shared, guard), metrics, stop, recording: None })
    }

    async fn recorder(
        settings: &Settings,
        arguments: &RecordArguments,
        metrics: Metrics,
        stop: CancellationToken,
    ) -> Result<Self, AppError> {
        let patience = Duration::from_secs(arguments.timeout.max(1));
        let upstream = Upstream::new(&arguments.upstream, patience, settings.aws_keys.clone())?;
        let upstream = upstream.counted_in(&metrics);
        // Some providers take a key in the path, and whatever a client asks for is handed on.
        let listening = ListenSettings { hides_paths: true, ..listening(settings) };
        if upstream.signs() && !listening.is_private() {
            return Err(AppError::LendsKeys);
        }
        let listener = http_server::bind(&listening).await?;
        let (recorder, writing) = Recorder::start(arguments, recorder::read_question)?;
        if let Some(keys) = &settings.aws_keys {
            recorder.redactor().learn(keys.secret_access_key.expose_secret());
        }
        let address = listener.local_addr();
        tracing::info!(
            %address, upstream = upstream.host(), file = %arguments.output.display(),
            requests = ?arguments.requests, answers = ?arguments.answers, signs = upstream.signs(),
            "recording what goes by of Ollama, OpenAI, Anthropic and Bedrock; the rest is handed on only"
        );
        if !listening.is_private() {
            tracing::warn!("whoever can reach this recorder can reach {} through it", upstream.host());
        }
        let counts = Arc::clone(recorder.counts());
        let proxy = Proxy {
            upstream: Arc::new(upstream),
            recorder: Arc::new(recorder),
            metrics: metrics.clone(),
            stop: stop.clone(),
        };
        let recording = Some(UnderRecording { counts, writing });
        Ok(Self { listener, router: recorder::router(proxy), metrics, stop, recording })
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
        let Self { listener, router, metrics, stop, recording } = self;
        let serving = http_server::serve(listener, router, metrics, stop);
        match recording {
            None => serving.await,
            Some(recording) => recording.until_written(serving).await,
        }
    }
}

impl UnderRecording {
    /// Says now and then how far the recording is, and at the end that all is written.
    async fn until_written<T>(self, serving: impl Future<Output = T>) -> T {
        let Self { counts, writing } = self;
        let mut ticks = interval(PROGRESS);
        ticks.tick().await;
        let mut serving = Box::pin(serving);
        let served = loop {
            tokio::select! {
                served = &mut serving => break served,
                _ = ticks.tick() => counts.tell("recorded so far"),
            }
        };
        // The last of those who hand recordings over goes with it.
        drop(serving);
        if timeout(WRITE, writing).await.is_err() {
            tracing::warn!("recordings that were not written in time are lost");
        }
        counts.tell("recorded in all");
        served
    }
}

/// Says what can be replayed, and what cannot.
fn tell(replay: &Replay) {
    let (questions, recordings) = replay.size();
    tracing::info!(questions, recordings, recorded = ?replay.models(), "replaying");
    let left = replay.left();
    if left != Left::default() {
        tracing::warn!("not every recording can be replayed: {left}");
    }
}

/// Where it listens, and how patiently.
fn listening(settings: &Settings) -> ListenSettings {
    ListenSettings {
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
    }
}
