//! Putting it together: ledger, engines, routes, socket; and the command that runs one scenario.
//!
//! The only file that names adapters. Must not know how settings were given.

pub mod comparison;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use common_models::{Outcome, Run, RunState};
use http_server::{ApiToken, ListenError, Listener, TokenError};
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::comparisons::{Comparisons, ComparisonsError};
use crate::console;
use crate::engine::Engines;
use crate::engine::docker::DockerEngine;
use crate::engine::local::LocalEngine;
use crate::http::{self, Api};
use crate::ledger::files::FileLedger;
use crate::ledger::{Artifact, Ledger, LedgerError};
use crate::runs::{Runs, RunsError, RunsParts};
use crate::scenarios::Scenarios;
use crate::settings::{RunRequest, Settings};

/// Exit codes of a run, as the wire contract lists them.
const THRESHOLDS: u8 = 99;
const INCONCLUSIVE: u8 = 3;
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
    /// A use case.
    #[error(transparent)]
    Runs(#[from] RunsError),
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
            Self::Runs(error) => error.kind(),
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
            Self::Build(_) => ExitCode::from(USAGE),
            Self::Listen(_) | Self::Ledger(_) | Self::Token(_) | Self::Runs(_) | Self::Comparisons(_) => {
                ExitCode::FAILURE
            }
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
        let runs = runs(settings, metrics.clone()).await?;
        metrics.start_perf_series(Scenarios::embedded().names().into_iter());
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
        // Beside serving: Docker may take its time to answer.
        let (recovering, closing) = (runs.clone(), comparisons.clone());
        tasks.spawn(async move {
            if let Err(error) = recovering.recover().await {
                tracing::error!(%error, kind = error.kind(), "what earlier processes left could not be looked after");
            }
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
    let runs = runs_on(Arc::clone(&ledger), settings, metrics);
    runs.recover().await?;
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
        // Strings and finite numbers only: this cannot fail.
        console::tell(&serde_json::to_string_pretty(&run).unwrap_or_default());
    } else {
        print_summary(ledger.as_ref(), &run).await;
    }
    Ok(exit_code(&run))
}

async fn print_summary(ledger: &dyn Ledger, run: &Run) {
    let text = ledger.artifact(run.id, Artifact::Results, u64::MAX).await.ok().flatten();
    let results = text.and_then(|text| serde_json::from_slice(&text).ok());
    let report = ledger.folder(run.id).join(Artifact::Report.file_name());
    let report = report.exists().then_some(report);
    console::tell(&console::summary(run, results.as_ref(), report.as_deref()));
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
    let opened = tokio::task::spawn_blocking(move || FileLedger::open(&folder)).await;
    Ok(Arc::new(opened.map_err(|_| LedgerError::BrokenOff)??))
}

async fn runs(settings: &Settings, metrics: Metrics) -> Result<Runs, AppError> {
    Ok(runs_on(open(settings).await?, settings, metrics))
}

fn runs_on(ledger: Arc<dyn Ledger>, settings: &Settings, metrics: Metrics) -> Runs {
    Runs::new(RunsParts {
        ledger,
        engines: Engines {
            docker: Arc::new(DockerEngine::new(settings.docker.clone())),
            local: Arc::new(LocalEngine::new(settings.local.clone())),
        },
        engine: settings.engine,
        scenarios: Scenarios::embedded(),
        targets: settings.targets.clone(),
        target_api_token: settings.target_api_token.clone(),
        metrics,
    })
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
