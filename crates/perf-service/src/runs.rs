//! Runs: start, list, read, cancel, and what happens to them when the service starts and stops.
//!
//! Owns the rules of what may be started and who waits for whom. Must not know HTTP, files, Docker
//! or processes. How one run goes from its acceptance to its end is `runs/conduct.rs`.

mod conduct;
mod k6_log;
mod verdict;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::Utc;
use common_models::{FieldError, Run, RunState, Scenario, StartRun};
use secrecy::SecretString;
use telemetry::Metrics;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use self::conduct::{Conduct, Order};
use crate::engine::{EngineChoice, EngineError, Engines};
use crate::ledger::{Artifact, Ledger, LedgerError, Stretch};
use crate::progress::Progress;
use crate::run_state::{self, Event};
use crate::scenarios::Scenarios;
use crate::targets::Target;

/// Providers that a scenario can be told to ask.
const PROVIDERS: [&str; 5] = ["claude", "ollama", "openai", "bedrock", "simulated"];
/// Bounds of what a request may ask for.
const LONGEST_SECONDS: u32 = 3_600;
const MOST_USERS: u32 = 200;
/// Runs that may wait or run at a time.
const MOST_ACTIVE: usize = 100;
/// Longest wait for a cancelled run to say that it is stopping.
const HEARD: Duration = Duration::from_secs(2);
/// Last bytes of a log that are given out.
const LOG_BYTES: u64 = 1 << 20;

/// What runs are made with.
pub struct RunsParts {
    /// Where they are kept.
    pub ledger: Arc<dyn Ledger>,
    /// What runs k6.
    pub engines: Engines,
    /// Which of them is wanted.
    pub engine: EngineChoice,
    /// What can be run.
    pub scenarios: Scenarios,
    /// What can be put under load; the first is the default.
    pub targets: Vec<Target>,
    /// The token that targets ask for; never kept with a run.
    pub target_api_token: Option<SecretString>,
    /// Where ended runs are counted.
    pub metrics: Metrics,
}

/// The use cases. Cheap to clone.
#[derive(Clone)]
pub struct Runs {
    shared: Arc<Shared>,
}

struct Shared {
    parts: RunsParts,
    /// Whose turn it is, by target.
    turns: BTreeMap<String, Arc<tokio::sync::Mutex<()>>>,
    active: Mutex<HashMap<Uuid, Active>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(Clone)]
struct Active {
    cancel: CancellationToken,
    progress: watch::Receiver<Progress>,
}

/// Why a use case was refused.
#[derive(Debug, thiserror::Error)]
pub enum RunsError {
    /// There is no such scenario.
    #[error("there is no scenario {name:?}; there are: {}", known.join(", "))]
    UnknownScenario {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// There is no such target.
    #[error("there is no target {name:?}; configured are: {}", known.join(", "))]
    UnknownTarget {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Fields are out of their bounds.
    #[error("{}", .0.iter().map(|error| format!("{} {}", error.field, error.message)).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<FieldError>),
    /// There is no such run.
    #[error("there is no run {0}")]
    NotFound(Uuid),
    /// The run has ended, so it cannot be cancelled.
    #[error("the run has ended already: it is {0:?}")]
    Ended(RunState),
    /// The run belongs to another process.
    #[error("the run belongs to another perf-service process (a `perf-service run`); stop it there")]
    Elsewhere,
    /// The run does not have this file, or not yet.
    #[error("the run has no {0} (yet): it is {1:?}")]
    NoArtifact(&'static str, RunState),
    /// Too many runs wait.
    #[error("{MOST_ACTIVE} runs are waiting or running; wait for one to end or cancel one")]
    Full,
    /// The service is stopping.
    #[error("the service is stopping")]
    Stopping,
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl RunsError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::UnknownScenario { .. } => "unknown_scenario",
            Self::UnknownTarget { .. } => "unknown_target",
            Self::Invalid(_) => "validation_failed",
            Self::NotFound(_) => "run_not_found",
            Self::Ended(_) => "run_ended",
            Self::Elsewhere => "run_elsewhere",
            Self::NoArtifact(..) => "no_artifact",
            Self::Full => "too_many_runs",
            Self::Stopping => "stopping",
            Self::Ledger(error) => error.kind(),
        }
    }

    /// Whether whoever asked has to ask otherwise.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::UnknownScenario { .. } | Self::UnknownTarget { .. } | Self::Invalid(_))
    }
}

impl Runs {
    /// Runs of nothing yet. [`Runs::recover`] looks after what earlier processes left.
    #[must_use]
    pub fn new(parts: RunsParts) -> Self {
        let turns = parts.targets.iter().map(|target| (target.name.clone(), Arc::default())).collect();
        let shared = Shared {
            parts,
            turns,
            active: Mutex::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The scenarios that can be run.
    #[must_use]
    pub fn scenarios(&self) -> Vec<Scenario> {
        self.shared.parts.scenarios.list()
    }

    /// Accepts a run, which then waits for its turn. `max_p95_ms` replaces the scenario's own limit
    /// for the 95th percentile of what no LLM takes part in.
    ///
    /// # Errors
    /// When it names something that is not there or asks for too much, or cannot be entered.
    pub async fn start(&self, asked: StartRun, max_p95_ms: Option<f64>) -> Result<Run, RunsError> {
        let shared = &self.shared;
        let target = self.check(&asked)?.clone();
        if shared.stop.is_cancelled() {
            return Err(RunsError::Stopping);
        }
        if shared.lock_active().len() >= MOST_ACTIVE {
            return Err(RunsError::Full);
        }
        let run = Run {
            id: Uuid::now_v7(),
            scenario: asked.scenario.clone(),
            target: target.name.clone(),
            engine: shared.parts.engine.name().to_owned(),
            state: RunState::Queued,
            outcome: None,
            reason: None,
            simulated: false,
            created_at: Utc::now(),
            started_at: None,
            finished_at: None,
            summary: None,
        };
        let lease = shared.parts.ledger.create(&run, &asked).await?;
        let own = shared.parts.scenarios.seconds(&run.scenario);
        let (sender, progress) = watch::channel(Progress::new(asked.duration_seconds.or(own)));
        let cancel = shared.stop.child_token();
        shared.lock_active().insert(run.id, Active { cancel: cancel.clone(), progress });
        let order = Order { asked, target, max_p95_ms };
        let conduct = Conduct::new(Arc::clone(shared), run.clone(), order, cancel, sender);
        let (id, shared) = (run.id, Arc::clone(shared));
        self.shared.tasks.spawn(async move {
            conduct.carry_out().await;
            shared.lock_active().remove(&id);
            drop(lease);
        });
        Ok(run)
    }

    /// The target of a run that may be started.
    pub(crate) fn check(&self, asked: &StartRun) -> Result<&Target, RunsError> {
        let parts = &self.shared.parts;
        if parts.scenarios.script(&asked.scenario).is_none() {
            let known = parts.scenarios.names().into_iter().map(str::to_owned).collect();
            return Err(RunsError::UnknownScenario { name: asked.scenario.clone(), known });
        }
        let target = match &asked.target {
            None => parts.targets.first(),
            Some(name) => parts.targets.iter().find(|target| target.name == *name),
        };
        let target = target.ok_or_else(|| RunsError::UnknownTarget {
            name: asked.target.clone().unwrap_or_default(),
            known: parts.targets.iter().map(|target| target.name.clone()).collect(),
        })?;
        let mut errors = Vec::new();
        let mut bound = |field: &str, value: Option<u32>, most: u32| {
            if value.is_some_and(|value| value == 0 || value > most) {
                errors.push(FieldError {
                    field: field.to_owned(),
                    code: "range".to_owned(),
                    message: format!("must be from 1 to {most}"),
                });
            }
        };
        bound("durationSeconds", asked.duration_seconds, LONGEST_SECONDS);
        bound("users", asked.users, MOST_USERS);
        if asked.provider.as_deref().is_some_and(|provider| !PROVIDERS.contains(&provider)) {
            errors.push(FieldError {
                field: "provider".to_owned(),
                code: "unknown".to_owned(),
                message: format!("must be one of {}", PROVIDERS.join(", ")),
            });
        }
        if errors.is_empty() { Ok(target) } else { Err(RunsError::Invalid(errors)) }
    }

    /// At most `limit` runs older than `before`, newest first.
    ///
    /// # Errors
    /// When the ledger fails.
    pub async fn list(&self, before: Option<Uuid>, limit: usize) -> Result<Stretch, RunsError> {
        Ok(self.shared.parts.ledger.list(before, limit).await?)
    }

    /// A run as it is now.
    ///
    /// # Errors
    /// When there is none of this id, or the ledger fails.
    pub async fn read(&self, id: Uuid) -> Result<Run, RunsError> {
        self.shared.parts.ledger.read(id).await?.ok_or(RunsError::NotFound(id))
    }

    /// How a run of this process goes on; `None` once it has ended.
    #[must_use]
    pub fn watch(&self, id: Uuid) -> Option<watch::Receiver<Progress>> {
        self.shared.lock_active().get(&id).map(|active| active.progress.clone())
    }

    /// Asks a run to stop. A run that is cancelled already stays so.
    ///
    /// # Errors
    /// When there is no such run, it has ended, or it is another process's.
    pub async fn cancel(&self, id: Uuid) -> Result<Run, RunsError> {
        let active = self.shared.lock_active().get(&id).cloned();
        if let Some(Active { cancel, mut progress }) = active {
            cancel.cancel();
            let heard = |now: &Progress| now.state == RunState::Stopping || run_state::is_last(now.state);
            // The answer then shows it; without it the run stops all the same. The channel closes
            // with the run's end.
            let _ = timeout(HEARD, progress.wait_for(heard)).await;
            return self.read(id).await;
        }
        let run = self.read(id).await?;
        match run.state {
            RunState::Cancelled => Ok(run),
            RunState::Finished | RunState::Failed => Err(RunsError::Ended(run.state)),
            RunState::Queued | RunState::Starting | RunState::Running | RunState::Stopping => {
                Err(RunsError::Elsewhere)
            }
        }
    }

    /// A file of a run, a log from its end.
    ///
    /// # Errors
    /// When there is no such run or file, or the ledger fails.
    pub async fn artifact(&self, id: Uuid, artifact: Artifact) -> Result<Vec<u8>, RunsError> {
        let run = self.read(id).await?;
        let (name, at_most) = match artifact {
            Artifact::Results => ("summary", u64::MAX),
            Artifact::Report => ("report", u64::MAX),
            Artifact::Log => ("log", LOG_BYTES),
            Artifact::Samples => ("samples", LOG_BYTES),
        };
        let found = self.shared.parts.ledger.artifact(id, artifact, at_most).await?;
        found.ok_or(RunsError::NoArtifact(name, run.state))
    }

    /// Looks after what dead processes left: their k6 is ended, their runs are closed. Runs of
    /// processes that live are left alone.
    ///
    /// # Errors
    /// When the ledger fails. What an engine cannot reap is logged and tried again at the next start.
    pub async fn recover(&self) -> Result<(), RunsError> {
        let parts = &self.shared.parts;
        for (mut run, lease) in parts.ledger.abandoned().await? {
            let folder = parts.ledger.folder(run.id);
            let reaped = parts.engines.reap(&run.engine, run.id, &folder).await;
            let ended = match reaped {
                Ok(true) => "its k6 was ended",
                Ok(false) => "no k6 of it was left",
                Err(error @ EngineError::Daemon(..)) => {
                    // Perhaps only not up yet; the entry stays as it is.
                    tracing::warn!(run = %run.id, %error, kind = error.kind(), "a run's k6 cannot be looked for");
                    continue;
                }
                Err(error) => {
                    tracing::warn!(run = %run.id, %error, kind = error.kind(), "a run's k6 cannot be ended");
                    continue;
                }
            };
            let reason = format!("the perf-service that ran it was killed; {ended}. Start it again");
            tracing::warn!(run = %run.id, reason, "closing an abandoned run");
            conduct::apply(&mut run, Event::Broke, Some(reason));
            parts.ledger.save(&run).await?;
            parts.metrics.perf_run_finished(&run.scenario, conduct::label(&run));
            drop(lease);
        }
        if parts.engine != EngineChoice::Local {
            self.sweep().await;
        }
        Ok(())
    }

    /// Ends what is left of runs that have ended, as when Docker went away before they did. Runs
    /// that this ledger does not know are somebody else's.
    async fn sweep(&self) {
        let parts = &self.shared.parts;
        let left = match parts.engines.docker.left().await {
            Ok(left) => left,
            Err(error) => {
                tracing::debug!(%error, kind = error.kind(), "no Docker to look for containers");
                return;
            }
        };
        for id in left {
            let known = parts.ledger.read(id).await;
            if known.is_ok_and(|run| run.is_some_and(|run| run_state::is_last(run.state))) {
                tracing::warn!(run = %id, "removing the container of a run that has ended");
                if let Err(error) = parts.engines.docker.reap(id, &parts.ledger.folder(id)).await {
                    tracing::warn!(run = %id, %error, kind = error.kind(), "it cannot be removed");
                }
            }
        }
    }

    /// Stops all runs and waits until nothing of them is left. Every run ends, because k6 is killed
    /// when it does not stop by itself.
    pub async fn stop(&self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

impl Shared {
    fn lock_active(&self) -> MutexGuard<'_, HashMap<Uuid, Active>> {
        // Nobody panics while holding it; were it so, the map would still be sound.
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
