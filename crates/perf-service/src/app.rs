//! Putting it together: ledger, engines, routes, socket; and the command that runs one scenario.
//!
//! The only file that names adapters. Must not know how settings were given.

pub mod comparison;
pub mod past;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use common_models::{Outcome, Run, RunState};
use http_server::{ApiToken, ListenError, Listener, TokenError};
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::billing::bookstore::BookstorePrices;
use crate::builds::Workspace;
use crate::comparisons::{Comparisons, ComparisonsError};
use crate::console;
use crate::engine::containers::{ContainerEngine, Containers};
use crate::engine::docker::DockerDaemon;
use crate::engine::gated::{GateSettings, GatedContainers};
use crate::engine::local::LocalEngine;
use crate::engine::{EngineError, Engines};
use crate::gate::Gate;
use crate::gate::bounds::Rules;
use crate::http::{self, Api};
use crate::ledger::sqlite::SqliteLedger;
use crate::ledger::{Artifact, Ledger, LedgerError, Origin};
use crate::neighbours::redis::RedisNeighbours;
use crate::neighbours::{Neighbours, NeighboursError};
use crate::report::TraceLinks;
use crate::runs::{Policy, Runs, RunsError, RunsParts};
use crate::scenarios::Scenarios;
use crate::settings::{RunRequest, Settings};

/// Exit codes of a run, as the wire contract lists them.
const THRESHOLDS: u8 = 99;
const INCONCLUSIVE: u8 = 3;
/// The engines there are, as they name themselves.
const ENGINES: [&str; 2] = ["docker", "local"];
/// Exit code of wrong usage.
const USAGE: u8 = 2;

/// Why the process cannot do its work.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The socket.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The data folder.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The API token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The other services.
    #[error(transparent)]
    Neighbours(#[from] NeighboursError),
    /// A use case.
    #[error(transparent)]
    Runs(#[from] RunsError),
    /// No run is named so.
    #[error("there is no run {0:?}; `perf-service list` shows those there are")]
    UnknownRun(String),
    /// Several runs are named so.
    #[error("several runs begin with {0:?}; give more of the id")]
    ManyRuns(String),
    /// What was asked for could not be written.
    #[error("{0} cannot be written: {1}; give --out another path")]
    Out(PathBuf, #[source] std::io::Error),
    /// The gate's place.
    #[error("no gate can be opened at {0}: {1}; set DOCKER_GATE to another place")]
    Gate(String, #[source] std::io::Error),
    /// The gate does not answer.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A comparison.
    #[error(transparent)]
    Comparisons(#[from] ComparisonsError),
    /// A build that is to be compared.
    #[error("it cannot be compared: {0}")]
    Build(String),
}

impl AppError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Listen(error) => error.kind(),
            Self::Ledger(error) => error.kind(),
            Self::Token(_) => "api_token",
            Self::Neighbours(error) => error.kind(),
            Self::Runs(error) => error.kind(),
            Self::UnknownRun(_) => "unknown_run",
            Self::ManyRuns(_) => "many_runs",
            Self::Out(..) => "out",
            Self::Gate(..) => "gate",
            Self::Engine(error) => error.kind(),
            Self::Comparisons(error) => error.kind(),
            Self::Build(_) => "build",
        }
    }

    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Runs(error) | Self::Comparisons(ComparisonsError::Runs(error)) if error.is_usage() => {
                ExitCode::from(USAGE)
            }
            Self::Build(_) | Self::UnknownRun(_) | Self::ManyRuns(_) => ExitCode::from(USAGE),
            Self::Listen(_)
            | Self::Ledger(_)
            | Self::Token(_)
            | Self::Neighbours(_)
            | Self::Runs(_)
            | Self::Comparisons(_)
            | Self::Out(..)
            | Self::Gate(..)
            | Self::Engine(_) => ExitCode::FAILURE,
        }
    }
}

/// A service that listens.
pub struct App {
    listener: Listener,
    router: Router,
    runs: Runs,
    comparisons: Comparisons,
    metrics: Metrics,
    stop: CancellationToken,
}

impl App {
    /// Binds the socket and opens the data folder. `stop` ends [`App::run`].
    ///
    /// # Errors
    /// When the address or the folder cannot be used.
    pub async fn start(
        settings: &Settings,
        metrics: Metrics,
        stop: CancellationToken,
    ) -> Result<Self, AppError> {
        // The port first: of two services started by mistake the second must touch nothing.
        let listener = http_server::bind(&settings.listen).await?;
        let runs = runs_on(open(settings).await?, settings, metrics.clone(), Origin::Service)?;
        // Before the first request: what is taken over has its target first.
        runs.recover().await?;
        metrics.start_perf_series(Scenarios::embedded().names().into_iter(), &ENGINES);
        let comparisons = Comparisons::new(runs.clone(), comparison::store(settings).await?);
        let api = Api { runs: runs.clone(), comparisons: comparisons.clone(), stop: stop.clone() };
        let router = http::router(api, metrics.clone(), token(settings)?);
        Ok(Self { listener, router, runs, comparisons, metrics, stop })
    }

    /// The address really bound.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Serves until told to stop; then all runs are stopped, and requests under way end.
    ///
    /// # Errors
    /// When listening cannot go on.
    pub async fn run(self) -> Result<(), AppError> {
        let Self { listener, router, runs, comparisons, metrics, stop } = self;
        let tasks = TaskTracker::new();
        // Those of dead processes are closed beside serving.
        let closing = comparisons.clone();
        tasks.spawn(async move {
            if let Err(error) = closing.recover().await {
                tracing::error!(%error, kind = error.kind(), "comparisons that earlier processes left could not be closed");
            }
        });
        // At the stop itself and not after the drain: both have a deadline, and k6 is still sending load.
        let (stopping, stopped) = (runs.clone(), stop.clone());
        tasks.spawn(async move {
            stopped.cancelled().await;
            // A comparison ends its run itself, and starts no other.
            comparisons.stop().await;
            stopping.stop().await;
        });
        let served = http_server::serve(listener, router, metrics, stop.clone()).await;
        stop.cancel();
        tasks.close();
        tasks.wait().await;
        Ok(served?)
    }
}

/// Runs one scenario in this process, with progress on standard error and what it came to on
/// standard output. `stop` cancels it, and so does the terminal going away.
///
/// # Errors
/// When it cannot be started; what happens to a started run is in the exit code.
pub async fn run_scenario(
    settings: &Settings,
    request: &RunRequest,
    metrics: Metrics,
    stop: CancellationToken,
) -> Result<ExitCode, AppError> {
    let ledger = open(settings).await?;
    let runs = runs_on(Arc::clone(&ledger), settings, metrics, Origin::Command)?;
    if let Some(out) = &request.out {
        // Before the load, not after it.
        let failed = |error| AppError::Out(out.clone(), error);
        tokio::fs::create_dir_all(out).await.map_err(failed)?;
    }
    runs.recover().await?;
    if request.asked.max_cost_usd.is_some_and(|most| most > 0.0) {
        let estimate = runs.estimate(&request.asked).await?;
        console::say(&format_args!("estimate: {}", estimate.text));
    }
    let run = runs.start(request.asked.clone(), request.max_p95_ms).await?;
    console::say(&format_args!("run {} of {} against {}", run.id, run.scenario, run.target));
    if let Some(progress) = runs.watch(run.id) {
        let ended = CancellationToken::new();
        let watching = async {
            console::watching::watch(progress).await;
            ended.cancel();
        };
        // Stopping takes a moment, which is shown as well.
        let stopping = async {
            tokio::select! {
                () = stop.cancelled() => runs.stop().await,
                () = console::hangup::hangup() => runs.stop().await,
                () = ended.cancelled() => {}
            }
        };
        tokio::join!(watching, stopping);
    }
    // The run has ended; this waits until its lease is given up as well.
    runs.stop().await;
    let run = runs.read(run.id).await?;
    if request.json {
        console::tell(&console::json(&run));
    } else {
        let report = ledger.folder(run.id).join(Artifact::Report.file_name());
        print_summary(ledger.as_ref(), &run, &report).await;
    }
    // Last: what cannot be written there has at least been shown.
    if let Some(out) = &request.out {
        copy_out(ledger.as_ref(), &run, out).await?;
    }
    Ok(exit_code(&run))
}

/// The run, its figures and its report, as far as there are any, as files in `out`.
async fn copy_out(ledger: &dyn Ledger, run: &Run, out: &Path) -> Result<(), AppError> {
    write_out(&out.join("run.json"), console::json(run).into_bytes()).await?;
    for artifact in [Artifact::Results, Artifact::Report] {
        if let Some(content) = ledger.artifact(run.id, artifact, u64::MAX).await? {
            write_out(&out.join(artifact.file_name()), content).await?;
        }
    }
    Ok(())
}

async fn write_out(path: &Path, content: Vec<u8>) -> Result<(), AppError> {
    let failed = |error| AppError::Out(path.to_owned(), error);
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await.map_err(failed)?;
    }
    tokio::fs::write(path, content).await.map_err(failed)
}

async fn print_summary(ledger: &dyn Ledger, run: &Run, report: &Path) {
    let text = ledger.artifact(run.id, Artifact::Results, u64::MAX).await.ok().flatten();
    let results = text.and_then(|text| serde_json::from_slice(&text).ok());
    console::tell(&console::summary(run, results.as_ref(), report.exists().then_some(report)));
}

fn exit_code(run: &Run) -> ExitCode {
    match (run.state, run.outcome) {
        (RunState::Finished, Some(Outcome::Passed)) => ExitCode::SUCCESS,
        (RunState::Finished, Some(Outcome::Failed)) => ExitCode::from(THRESHOLDS),
        (RunState::Finished, Some(Outcome::Inconclusive)) => ExitCode::from(INCONCLUSIVE),
        _ => ExitCode::FAILURE,
    }
}

/// Prints the scenarios, a line each.
pub fn list_scenarios() {
    for scenario in Scenarios::embedded().list() {
        console::tell(&format_args!("{:14}{}", scenario.name, scenario.description));
    }
}

async fn open(settings: &Settings) -> Result<Arc<dyn Ledger>, AppError> {
    let folder = settings.data_dir.clone();
    let opened = tokio::task::spawn_blocking(move || {
        Workspace::sweep(&folder);
        SqliteLedger::open(&folder)
    })
    .await;
    Ok(Arc::new(opened.map_err(|_| LedgerError::BrokenOff)??))
}

fn runs_on(
    ledger: Arc<dyn Ledger>,
    settings: &Settings,
    metrics: Metrics,
    origin: Origin,
) -> Result<Runs, AppError> {
    let neighbours = settings.redis_url.as_ref().map(RedisNeighbours::new).transpose()?;
    let neighbours = neighbours.map(|neighbours| Arc::new(neighbours) as Arc<dyn Neighbours>);
    let prices = Arc::new(BookstorePrices::new(metrics.clone()));
    Ok(Runs::new(RunsParts {
        ledger,
        engines: Engines {
            docker: Arc::new(ContainerEngine::new(containers(settings))),
            local: Arc::new(LocalEngine::new(settings.local.clone())),
        },
        engine: settings.engine,
        scenarios: Scenarios::embedded(),
        targets: settings.targets.clone(),
        target_api_token: settings.target_api_token.clone(),
        metrics,
        policy: Policy {
            origin,
            runs_per_target: settings.runs_per_target,
            queue_per_target: settings.queue_per_target,
            retention: settings.retention,
        },
        neighbours,
        traces: settings.trace_ui_url.as_deref().and_then(|url| TraceLinks::parse(url).ok()),
        remote_write: settings.remote_write.clone(),
        prices,
    }))
}

/// Behind the gate where one is set; else the daemon itself.
fn containers(settings: &Settings) -> Arc<dyn Containers> {
    match &settings.gate {
        Some(gate) => Arc::new(GatedContainers::new(gate.clone())),
        None => Arc::new(DockerDaemon::new(settings.docker.clone())),
    }
}

/// Serves as docker-gate until told to stop. Containers at work go on.
///
/// # Errors
/// When its place cannot be used.
pub async fn guard_docker(settings: &Settings, stop: CancellationToken) -> Result<(), AppError> {
    let GateSettings { place, token } = settings.own_gate();
    let door = place.open().await.map_err(|error| AppError::Gate(place.to_string(), error))?;
    let place = door.place().unwrap_or(place);
    let rules =
        Rules::new(Scenarios::embedded(), settings.targets.clone(), settings.target_api_token.clone())
            .writing_to(settings.remote_write.clone());
    let daemon = Arc::new(DockerDaemon::new(settings.docker.clone()));
    tracing::info!(%place, token = token.is_some(), "the gate is open");
    Gate::new(rules, daemon, token.map(ApiToken::given)).serve(door, stop).await;
    Ok(())
}

/// Asks the docker-gate whether it lives and reaches Docker.
///
/// # Errors
/// When it does not, or lets nobody in.
pub async fn probe_gate(settings: &Settings) -> Result<(), AppError> {
    Ok(GatedContainers::new(settings.own_gate()).hello().await?)
}

/// None on loopback unless one was given; elsewhere there is always one.
fn token(settings: &Settings) -> Result<Option<ApiToken>, AppError> {
    if let Some(token) = &settings.api_token {
        return Ok(Some(ApiToken::given(token.clone())));
    }
    if settings.listen.is_private() {
        return Ok(None);
    }
    let (token, new) = ApiToken::kept_in(&settings.data_dir)?;
    if new {
        // Shown this once, as Jupyter does; it is never logged.
        let token = token.reveal();
        console::say(&format_args!(
            "perf-service: starting and cancelling runs needs this API token: {token}"
        ));
    }
    Ok(Some(token))
}
