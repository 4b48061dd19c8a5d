//! Runs: start, list, read, cancel, and what happens to them when the service starts and stops.
//!
//! Owns the rules of what may be started and who waits for whom. Must not know HTTP, files, Docker
//! or processes. How one run goes from its acceptance to its end is `runs/conduct.rs`.

mod conduct;
mod k6_log;
pub mod live;
mod recovery;
mod spending;
mod verdict;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::Utc;
use common_models::{FieldError, Run, RunEstimate, RunState, Scenario, StartRun};
use secrecy::SecretString;
use telemetry::Metrics;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;
use uuid::Uuid;

use self::conduct::{Conduct, Order};
use crate::billing::PriceList;
use crate::engine::{EngineChoice, Engines};
use crate::ledger::{Artifact, Lease, Ledger, LedgerError, Origin, Request, Retention, Stretch};
use crate::neighbours::{Elsewhere, Moment, Neighbours, NeighboursError};
use crate::progress::Progress;
use crate::report::TraceLinks;
use crate::run_state;
use crate::scenarios::Scenarios;
use crate::targets::Target;

/// Providers that a scenario can be told to ask.
const PROVIDERS: [&str; 5] = ["claude", "ollama", "openai", "bedrock", "simulated"];
/// Bounds of what a request may ask for.
const LONGEST_SECONDS: u32 = 3_600;
const MOST_USERS: u32 = 200;
const MOST_RATE: u32 = 1_000;
const MOST_DOLLARS: f64 = 1_000.0;
/// Runs that may wait or run at a time, whatever their targets.
const MOST_ACTIVE: usize = 1_000;
/// Characters of an unknown name that are repeated.
const LONGEST_NAME: usize = 100;
/// Longest wait for a cancelled run to say that it is stopping.
const HEARD: Duration = Duration::from_secs(2);
/// Between two moments that neighbours are told.
const TELL_PAUSE: Duration = Duration::from_secs(1);
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
    /// How many runs there may be, and what is kept of them.
    pub policy: Policy,
    /// Other services that the targets are shared with.
    pub neighbours: Option<Arc<dyn Neighbours>>,
    /// Where reports link traces to, if anywhere.
    pub traces: Option<TraceLinks>,
    /// Where k6 sends its metrics while a run goes on.
    pub remote_write: Option<Url>,
    /// What targets pay for summaries.
    pub prices: Arc<dyn PriceList>,
}

/// How many runs there may be, and what is kept of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Who starts them.
    pub origin: Origin,
    /// Runs that may put load on one target at a time. With more than one, each is the others' noise.
    pub runs_per_target: u32,
    /// Runs that may wait or run for one target.
    pub queue_per_target: usize,
    /// Which files are kept.
    pub retention: Retention,
}

/// The use cases. Cheap to clone.
#[derive(Clone)]
pub struct Runs {
    shared: Arc<Shared>,
}

struct Shared {
    parts: RunsParts,
    /// Whose turn it is, by target.
    turns: BTreeMap<String, Arc<Semaphore>>,
    active: Mutex<HashMap<Uuid, Active>>,
    /// Runs that are being entered, with their targets. Locked before `active`.
    reserved: Mutex<HashMap<Uuid, String>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// A place in a queue for a run that is being entered. Given up when dropped, so also where entering it
/// failed or its client left.
struct Reserved {
    shared: Arc<Shared>,
    run: Uuid,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.shared.lock_reserved().remove(&self.run);
    }
}

#[derive(Clone)]
struct Active {
    target: String,
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
    /// It may spend money and names no limit.
    #[error("{}; give maxCostUsd (--max-cost-usd), the dollars at which it is aborted, 0 where a simulator answers", .0.text)]
    LimitNeeded(Box<RunEstimate>),
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
    #[error("the run has no {0} (yet, or no longer): it is {1:?}")]
    NoArtifact(&'static str, RunState),
    /// Too many runs wait.
    #[error("{0} runs against {1} are waiting or running; wait for one to end or cancel one")]
    Full(usize, String),
    /// The service is stopping.
    #[error("the service is stopping")]
    Stopping,
    /// A newer version entered the run.
    #[error("the run was made by a newer perf-service (entry version {0}); use that one to read it")]
    Newer(u32),
    /// The run could not be entered, so it was not started.
    #[error(transparent)]
    NotEntered(LedgerError),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(LedgerError),
    /// The services that share the targets cannot be asked.
    #[error(transparent)]
    Neighbours(#[from] NeighboursError),
}

impl From<LedgerError> for RunsError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Newer(_, version) => Self::Newer(version),
            error => Self::Ledger(error),
        }
    }
}

impl RunsError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::UnknownScenario { .. } => "unknown_scenario",
            Self::UnknownTarget { .. } => "unknown_target",
            Self::Invalid(_) => "validation_failed",
            Self::LimitNeeded(_) => "cost_limit_needed",
            Self::NotFound(_) => "run_not_found",
            Self::Ended(_) => "run_ended",
            Self::Elsewhere => "run_elsewhere",
            Self::NoArtifact(..) => "no_artifact",
            Self::Full(..) => "too_many_runs",
            Self::Stopping => "stopping",
            Self::Newer(_) => "entry_newer",
            Self::NotEntered(error) | Self::Ledger(error) => error.kind(),
            Self::Neighbours(error) => error.kind(),
        }
    }

    /// Whether whoever asked has to ask otherwise.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::UnknownScenario { .. }
                | Self::UnknownTarget { .. }
                | Self::Invalid(_)
                | Self::LimitNeeded(_)
                | Self::NotFound(_)
        )
    }
}

impl Runs {
    /// Runs of nothing yet. [`Runs::recover`] looks after what earlier processes left.
    #[must_use]
    pub fn new(parts: RunsParts) -> Self {
        let places = || Arc::new(Semaphore::new(parts.policy.runs_per_target.max(1) as usize));
        let turns = parts.targets.iter().map(|target| (target.name.clone(), places())).collect();
        let shared = Shared {
            parts,
            turns,
            active: Mutex::default(),
            reserved: Mutex::default(),
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
        shared.may_spend(&asked, &target).await?;
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
        let request = Request { asked, max_p95_ms, origin: shared.parts.policy.origin };
        let place = shared.reserve(&run)?;
        let entered = shared.parts.ledger.create(&run, &request).await;
        let lease = entered.map_err(RunsError::NotEntered)?;
        let order = Order { asked: request.asked, target: Some(target), max_p95_ms };
        let conduct = shared.conduct(&run, Some(order), shared.stop.child_token());
        drop(place);
        shared.carry_on(run.id, lease, conduct.carry_out());
        Ok(run)
    }

    /// The target of a run that may be started.
    pub(crate) fn check(&self, asked: &StartRun) -> Result<&Target, RunsError> {
        let parts = &self.shared.parts;
        if parts.scenarios.script(&asked.scenario).is_none() {
            let known = parts.scenarios.names().into_iter().map(str::to_owned).collect();
            return Err(RunsError::UnknownScenario { name: shortened(&asked.scenario), known });
        }
        let target = match &asked.target {
            None => parts.targets.first(),
            Some(name) => parts.targets.iter().find(|target| target.name == *name),
        };
        let target = target.ok_or_else(|| RunsError::UnknownTarget {
            name: asked.target.as_deref().map(shortened).unwrap_or_default(),
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
        bound("rate", asked.rate, MOST_RATE);
        if asked.max_cost_usd.is_some_and(|most| !(0.0..=MOST_DOLLARS).contains(&most)) {
            errors.push(FieldError {
                field: "maxCostUsd".to_owned(),
                code: "range".to_owned(),
                message: format!("must be from 0 to {MOST_DOLLARS}"),
            });
        }
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
        if let Some(run) = self.shared.parts.ledger.read(id).await? {
            return Ok(run);
        }
        self.shared.elsewhere(id).map(|found| found.run).ok_or(RunsError::NotFound(id))
    }

    /// How a run of this process, or of a service that shares the targets, goes on; `None` once it
    /// has ended.
    #[must_use]
    pub fn watch(&self, id: Uuid) -> Option<watch::Receiver<Progress>> {
        let here = self.shared.lock_active().get(&id).map(|active| active.progress.clone());
        here.or_else(|| self.shared.elsewhere(id)?.progress)
    }

    /// Asks a run to stop. A run that is cancelled already stays so.
    ///
    /// # Errors
    /// When there is no such run, it has ended, or it is another process's.
    pub async fn cancel(&self, id: Uuid) -> Result<Run, RunsError> {
        let active = self.shared.lock_active().get(&id).cloned();
        if let Some(Active { cancel, mut progress, .. }) = active {
            cancel.cancel();
            let heard = |now: &Progress| now.state == RunState::Stopping || run_state::is_last(now.state);
            // The answer then shows it; without it the run stops all the same. The channel closes
            // with the run's end.
            let _ = timeout(HEARD, progress.wait_for(heard)).await;
            return self.read(id).await;
        }
        if let Some(Elsewhere { progress: Some(mut progress), .. }) = self.shared.elsewhere(id)
            && let Some(neighbours) = &self.shared.parts.neighbours
        {
            neighbours.ask_to_stop(id).await?;
            let heard = |now: &Progress| now.state == RunState::Stopping || run_state::is_last(now.state);
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
            Artifact::Version => ("k6 version", LOG_BYTES),
        };
        let found = self.shared.parts.ledger.artifact(id, artifact, at_most).await?;
        found.ok_or(RunsError::NoArtifact(name, run.state))
    }

    /// What comes of `work`, or `None` when the service is stopping before.
    async fn stopped_or<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.shared.stop.cancelled() => None,
        }
    }

    /// Stops all runs and waits until nothing of them is left. Every run ends, because k6 is killed
    /// when it does not stop by itself; but those of a service that a command took over are left as
    /// they are, for the next service.
    pub async fn stop(&self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        if let Some(neighbours) = &self.shared.parts.neighbours {
            neighbours.close().await;
        }
    }
}

fn shortened(name: &str) -> String {
    name.chars().take(LONGEST_NAME).collect()
}

impl Shared {
    fn lock_active(&self) -> MutexGuard<'_, HashMap<Uuid, Active>> {
        // Nobody panics while holding it; were it so, the map would still be sound.
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_reserved(&self) -> MutexGuard<'_, HashMap<Uuid, String>> {
        self.reserved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more run that waits for its target, kept until the run is active.
    fn reserve(self: &Arc<Self>, run: &Run) -> Result<Reserved, RunsError> {
        let target = &run.target;
        let mut reserved = self.lock_reserved();
        let active = self.lock_active();
        // One that has just become active is in both for a moment.
        let entering = reserved.iter().filter(|(id, _)| !active.contains_key(id));
        let entering: Vec<&String> = entering.map(|(_, of)| of).collect();
        let queued = active.values().map(|active| &active.target).chain(entering.iter().copied());
        let queued = queued.filter(|of| *of == target).count();
        if queued >= self.parts.policy.queue_per_target || active.len() + entering.len() >= MOST_ACTIVE {
            return Err(RunsError::Full(queued, target.clone()));
        }
        drop(active);
        reserved.insert(run.id, target.clone());
        Ok(Reserved { shared: Arc::clone(self), run: run.id })
    }

    /// The conduct of a run of this process, which from now on is known as active.
    fn conduct(self: &Arc<Self>, run: &Run, order: Option<Order>, cancel: CancellationToken) -> Conduct {
        let own = self.parts.scenarios.seconds(&run.scenario);
        let asked = order.as_ref().and_then(|order| order.asked.duration_seconds);
        let (sender, progress) = watch::channel(Progress::new(asked.or(own)));
        let active = Active { target: run.target.clone(), cancel: cancel.clone(), progress };
        self.lock_active().insert(run.id, active);
        Conduct::new(Arc::clone(self), run.clone(), order, cancel, sender)
    }

    /// Lets a run's conduct go on by itself, and clears up after it.
    fn carry_on(
        self: &Arc<Self>,
        id: Uuid,
        lease: Lease,
        conduct: impl Future<Output = ()> + Send + 'static,
    ) {
        let shared = Arc::clone(self);
        let progress = self.lock_active().get(&id).map(|active| active.progress.clone());
        self.tasks.spawn(async move {
            futures::join!(conduct, shared.tell(id, progress));
            shared.lock_active().remove(&id);
            drop(lease);
            shared.tidy().await;
        });
    }

    /// The right among all processes, and all services, to put load on a target, or in words what
    /// stands in the way.
    async fn claim_among_all(&self, target: &str, run: Uuid) -> Result<Result<Lease, String>, LedgerError> {
        let most = self.parts.policy.runs_per_target;
        let Some(lease) = self.parts.ledger.claim_target(target, most).await? else {
            return Ok(Err(format!("a run of another process against {target}")));
        };
        let named = self.parts.targets.iter().find(|known| known.name == target);
        let (Some(neighbours), Some(named)) = (&self.parts.neighbours, named) else { return Ok(Ok(lease)) };
        // Without Redis nobody knows who else puts load on the target, and figures would be worth
        // nothing: so the run waits.
        Ok(match neighbours.claim(named, most, run).await {
            Ok(Some(shared)) => Ok(lease.and(shared)),
            Ok(None) => Err(format!("a run of another perf-service against {target}")),
            Err(error) => Err(error.to_string()),
        })
    }

    fn elsewhere(&self, id: Uuid) -> Option<Elsewhere> {
        self.parts.neighbours.as_ref()?.elsewhere(id)
    }

    /// Tells the neighbours of a run, each second and whenever its state changes, until it has ended.
    async fn tell(&self, id: Uuid, progress: Option<watch::Receiver<Progress>>) {
        let (Some(neighbours), Some(mut progress)) = (&self.parts.neighbours, progress) else { return };
        let mut told = None;
        loop {
            let now = progress.borrow_and_update().clone();
            told = Some(now.state).or(told);
            // One that the ledger cannot give now is told a second later.
            if let Ok(Some(run)) = self.parts.ledger.read(id).await {
                neighbours.tell(&Moment { run, progress: now }).await;
            }
            let changed = progress.wait_for(|now| told != Some(now.state));
            match timeout(TELL_PAUSE, changed).await {
                Ok(Ok(_)) | Err(_) => {}
                Ok(Err(_)) => break,
            }
        }
        // The channel is closed: its entry says what it came to.
        let now = progress.borrow().clone();
        if let Ok(Some(run)) = self.parts.ledger.read(id).await {
            neighbours.tell(&Moment { run, progress: now }).await;
        }
    }

    /// Stops runs as neighbours wish.
    async fn heed(&self) {
        let Some(neighbours) = &self.parts.neighbours else { return };
        let mut wishes = neighbours.wishes();
        loop {
            match wishes.recv().await {
                Ok(id) => {
                    if let Some(active) = self.lock_active().get(&id) {
                        active.cancel.cancel();
                    }
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    async fn tidy(&self) {
        match self.parts.ledger.tidy(self.parts.policy.retention).await {
            Ok(tidied) if tidied.bytes > 0 => tracing::info!(
                runs = tidied.runs,
                samples = tidied.samples,
                bytes = tidied.bytes,
                "files of old runs were removed"
            ),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, kind = error.kind(), "files of old runs could not be removed");
            }
        }
    }
}
