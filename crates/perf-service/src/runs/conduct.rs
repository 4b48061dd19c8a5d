//! One run, from its acceptance to its end.
//!
//! Owns the order of steps and which event each reports. Every way out of here leaves the run in a
//! last state and no k6 behind, but one: a command lets go of runs that are a service's to follow.
//! How k6 is made to end is `conduct/ending.rs`; how a run is taken over from a process that died,
//! `conduct/takeover.rs`.

mod ending;
mod takeover;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use common_models::{Outcome, Run, RunState, StartRun};
use telemetry::RunUnderWay;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

pub(super) use self::takeover::{Takeover, may_have_k6};
use super::verdict::{Verdict, judge};
use super::{Shared, k6_log};
use crate::aggregate::{Aggregate, Identity, Standing};
use crate::engine::{Engine, EngineError, Exit, K6, Launch, Process, exit_record};
use crate::follow::follow;
use crate::ledger::{Artifact, Lease, LedgerError};
use crate::progress::Progress;
use crate::run_state::{self, Event};
use crate::targets::Target;
use crate::{environment, report, results};

/// Pause before an entry that could not be saved is saved again.
const SAVE_PAUSE: Duration = Duration::from_secs(5);
/// Least time left to a k6 that was taken over, whatever the clock says that it has had.
const LEAST: Duration = Duration::from_secs(60);
/// How often a target that another process uses is asked for.
const TURN_PAUSE: Duration = Duration::from_millis(500);
/// Longest time beside the measured load: warm-up, setup, teardown.
const ASIDE: Duration = Duration::from_secs(15 * 60);
/// Longest run of a scenario that does not say how long it is.
const LONGEST: Duration = Duration::from_secs(4 * 3600);
/// Last bytes of k6's log that errors are looked for in.
const LOG_TAIL: u64 = 64 << 10;
/// Longest reason kept.
const LONGEST_REASON: usize = 2_000;

/// What is to be done.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) asked: StartRun,
    /// Absent where a run taken over names one that is configured no more.
    pub(super) target: Option<Target>,
    pub(super) max_p95_ms: Option<f64>,
}

/// The conduct of one run.
pub(super) struct Conduct {
    shared: Arc<Shared>,
    run: Run,
    /// Absent where a run taken over does not say it readably.
    order: Option<Order>,
    cancel: CancellationToken,
    progress: watch::Sender<Progress>,
    k6: Option<K6>,
    /// Whether the entry says what the run has come to.
    saved: bool,
    /// Held while the run puts load on its target.
    turn: Option<Turn>,
    /// Whether it was taken over while its target was in use.
    crowded: bool,
    /// Cancelled when the run is to be left as it is, for a service to take over.
    let_go: CancellationToken,
    /// Counts it in its state as long as it is conducted here.
    under_way: RunUnderWay,
}

/// The right to put load on a target: of this process, and among all of them. A run taken over
/// whose target is full goes on without.
pub(super) struct Turn {
    _ours: OwnedSemaphorePermit,
    lease: Lease,
}

impl Turn {
    /// The turn of who has both.
    pub(super) const fn new(ours: OwnedSemaphorePermit, lease: Lease) -> Self {
        Self { _ours: ours, lease }
    }
}

/// How the load ended.
enum End {
    /// By itself.
    Ended(Exit),
    /// Because somebody wanted it to.
    Stopped,
    /// Not in time.
    Overdue,
    /// Out of sight.
    Lost(EngineError),
    /// It goes on, and is somebody else's.
    LetGo,
}

/// Reports an event to a run: its state, its reason and, in a last state, its time.
pub(super) fn apply(run: &mut Run, event: Event, reason: Option<String>) {
    match run_state::next(run.state, event) {
        Ok(state) => run.state = state,
        Err(error) => {
            // A mistake in the order of steps here; the run keeps its state.
            tracing::error!(run = %run.id, %error, kind = error.kind(), "a run's event was out of order");
            return;
        }
    }
    if let Some(reason) = reason {
        run.reason = Some(reason.chars().take(LONGEST_REASON).collect());
    }
    if run_state::is_last(run.state) {
        // The clock may have been set back meanwhile.
        run.finished_at = Some(Utc::now().max(run.started_at.unwrap_or(run.created_at)));
    }
}

/// How an ended run is counted.
pub(super) const fn label(run: &Run) -> &'static str {
    match (run.state, run.outcome) {
        (RunState::Cancelled, _) => "cancelled",
        (RunState::Finished, Some(Outcome::Passed)) => "passed",
        (RunState::Finished, Some(Outcome::Failed)) => "failed",
        (RunState::Finished, Some(Outcome::Inconclusive)) => "inconclusive",
        _ => "broken",
    }
}

/// How a run under way is counted; not at all once it has ended.
const fn under_way_as(state: RunState) -> Option<&'static str> {
    match state {
        RunState::Queued => Some("queued"),
        RunState::Starting => Some("starting"),
        RunState::Running => Some("running"),
        RunState::Stopping => Some("stopping"),
        RunState::Finished | RunState::Failed | RunState::Cancelled => None,
    }
}

impl Conduct {
    pub(super) fn new(
        shared: Arc<Shared>,
        run: Run,
        order: Option<Order>,
        cancel: CancellationToken,
        progress: watch::Sender<Progress>,
    ) -> Self {
        let under_way = shared.parts.metrics.perf_run_under_way(under_way_as(run.state));
        Self {
            shared,
            run,
            order,
            cancel,
            progress,
            k6: None,
            saved: true,
            turn: None,
            crowded: false,
            let_go: CancellationToken::new(),
            under_way,
        }
    }

    /// Takes the run to its end.
    pub(super) async fn carry_out(mut self) {
        let span = tracing::info_span!("run", run = %self.run.id, scenario = %self.run.scenario);
        async {
            self.begin().await;
            self.settle().await;
        }
        .instrument(span)
        .await;
    }

    async fn begin(&mut self) {
        self.turn = self.wait_for_turn().await;
        if self.turn.is_some() {
            self.start_and_follow().await;
            self.turn = None;
        }
    }

    /// What is left to do once the run has ended.
    async fn settle(&mut self) {
        if !run_state::is_last(self.run.state) {
            return;
        }
        let label = label(&self.run);
        // The clock may have been set back meanwhile.
        let took = self.run.started_at.zip(self.run.finished_at);
        let took = took.map(|(from, to)| (to - from).to_std().unwrap_or_default());
        self.shared.parts.metrics.perf_run_finished(&self.run.scenario, label, took);
        tracing::info!(outcome = label, reason = self.run.reason.as_deref(), "run ended");
        // Where the disk was full there may be room again. Should we end first, whoever comes next
        // finds what k6 left and comes to the same end.
        while !self.saved && !self.shared.stop.is_cancelled() {
            tokio::select! {
                () = sleep(SAVE_PAUSE) => self.save().await,
                () = self.shared.stop.cancelled() => self.save().await,
            }
        }
    }

    /// The right to put load on the target; `None` when the run has ended instead.
    async fn wait_for_turn(&mut self) -> Option<Turn> {
        let name = self.run.target.clone();
        let shared = Arc::clone(&self.shared);
        let turn = async {
            // A target is in the settings, so it has places.
            let places = shared.turns.get(&name).cloned().unwrap_or_else(|| Arc::new(Semaphore::new(1)));
            let ours = match Arc::clone(&places).try_acquire_owned() {
                Ok(ours) => ours,
                Err(_) => {
                    self.say(format!("other runs against {name}"));
                    places.acquire_owned().await.map_err(|_| LedgerError::BrokenOff)?
                }
            };
            loop {
                match shared.claim_among_all(&name, self.run.id).await? {
                    Ok(lease) => return Ok::<_, LedgerError>(Turn::new(ours, lease)),
                    Err(waiting_for) => self.say(waiting_for),
                }
                sleep(TURN_PAUSE).await;
            }
        };
        let turn = tokio::select! {
            turn = turn => Some(turn),
            () = self.cancel.cancelled() => None,
        };
        match turn {
            Some(Ok(turn)) => {
                if self.run.state == RunState::Queued {
                    self.enter(Event::TurnCame, None).await;
                }
                Some(turn)
            }
            Some(Err(error)) => {
                self.enter(Event::Broke, Some(error.to_string())).await;
                None
            }
            None => {
                let reason = self.why_stopped();
                self.enter(Event::StopAsked, Some(reason)).await;
                if self.run.state == RunState::Stopping {
                    self.enter(Event::Stopped, None).await;
                }
                None
            }
        }
    }

    async fn start_and_follow(&mut self) {
        let Some(order) = self.order.clone() else {
            let reason = "what it was started with cannot be read; start it again";
            return self.enter(Event::Broke, Some(reason.to_owned())).await;
        };
        let Some(target) = order.target.clone() else {
            let reason = format!("the target {} is configured no more; add it to TARGETS", self.run.target);
            return self.enter(Event::Broke, Some(reason)).await;
        };
        // Asked again: the target may have come up, or be another by now.
        if let Err(error) = self.shared.may_spend(&order.asked, &target).await {
            return self.enter(Event::Broke, Some(error.to_string())).await;
        }
        let (engine, k6) = match self.choose().await {
            Ok(chosen) => chosen,
            Err(error) => return self.not_started(&error).await,
        };
        tracing::info!(engine = engine.name(), k6 = k6.description, "k6 chosen");
        engine.name().clone_into(&mut self.run.engine);
        self.progress.send_modify(|progress| {
            progress.k6 = Some(k6.description.clone());
            progress.waiting_for = None;
        });
        let version = k6.version.clone().into_bytes();
        self.k6 = Some(k6);
        if let Err(error) = self.shared.parts.ledger.keep(self.run.id, Artifact::Version, version).await {
            // Only whoever takes the run over would miss it.
            tracing::warn!(%error, kind = error.kind(), "k6's version could not be noted");
        }
        // With the engine in the entry, before there is anything to be found by it.
        self.save().await;
        let launch = self.launch(&order, &target);
        let span = tracing::info_span!("start k6", otel.kind = "internal", engine = engine.name());
        let started = engine.start(&launch).instrument(span).await;
        let outcome = started.as_ref().err().map_or("ok", EngineError::kind);
        self.shared.parts.metrics.k6_started(engine.name(), outcome);
        let process = match started {
            Ok(process) => process,
            Err(error) => return self.not_started(&error).await,
        };
        self.run.started_at = Some(Utc::now());
        self.enter(Event::EngineStarted, None).await;
        self.follow(process).await;
    }

    /// Follows a k6 to its end, whoever started it, and closes the run.
    async fn follow(&mut self, mut process: Box<dyn Process>) {
        let ended = CancellationToken::new();
        let reader = self.read_output(ended.clone());
        let end = self.wait_for_end(process.as_mut()).await;
        // Nothing of k6 is left from here on, or it cannot be reached.
        drop(process);
        ended.cancel();
        if matches!(end, End::LetGo) {
            return;
        }
        let figures =
            reader.await.unwrap_or_else(|error| Err(format!("reading k6's output broke off: {error}")));
        self.close(end, figures).await;
    }

    /// Reads what k6 writes, in a thread of its own, until `ended` is cancelled and all is read.
    fn read_output(&self, ended: CancellationToken) -> JoinHandle<Result<Aggregate, String>> {
        let path = self.shared.parts.ledger.folder(self.run.id).join(Artifact::Samples.file_name());
        let (progress, metrics) = (self.progress.clone(), self.shared.parts.metrics.clone());
        tokio::task::spawn_blocking(move || {
            let counted = Cell::new(0);
            let shown = |standing: Standing| {
                metrics.perf_samples(standing.samples.saturating_sub(counted.replace(standing.samples)));
                progress.send_modify(|progress| progress.standing = standing);
            };
            follow(&path, &ended, shown).map_err(|error| format!("k6's output cannot be read: {error}"))
        })
    }

    async fn choose(&self) -> Result<(Arc<dyn Engine>, K6), EngineError> {
        let say = |what: String| self.say(what);
        self.shared.parts.engines.choose(self.shared.parts.engine, &say, &self.cancel).await
    }

    async fn not_started(&mut self, error: &EngineError) {
        if self.cancel.is_cancelled() {
            let reason = self.why_stopped();
            self.enter(Event::StopAsked, Some(reason)).await;
            self.enter(Event::Stopped, None).await;
        } else {
            tracing::warn!(%error, kind = error.kind(), "k6 was not started");
            self.enter(Event::Broke, Some(error.to_string())).await;
        }
    }

    fn launch(&self, order: &Order, target: &Target) -> Launch {
        let StartRun { duration_seconds, users, rate, provider, max_cost_usd, seed, .. } = &order.asked;
        let environment = [
            ("DURATION", duration_seconds.map(|seconds| format!("{seconds}s"))),
            ("USERS", users.map(|users| users.to_string())),
            ("RATE", rate.map(|rate| rate.to_string())),
            ("PROVIDER", provider.clone()),
            ("MAX_COST_USD", max_cost_usd.map(|most| most.to_string())),
            ("SEED", seed.map(|seed| seed.to_string())),
            ("MAX_P95_MS", order.max_p95_ms.map(|limit| limit.to_string())),
        ];
        let scenarios = &self.shared.parts.scenarios;
        Launch {
            run: self.run.id,
            folder: self.shared.parts.ledger.folder(self.run.id),
            scenario: self.run.scenario.clone(),
            scripts: Arc::from(scenarios.files()),
            script: scenarios
                .script(&self.run.scenario)
                .map(|script| script.path.clone())
                .unwrap_or_default(),
            target_name: target.name.clone(),
            target: target.url.clone(),
            secret: self.shared.parts.target_api_token.clone(),
            remote_write: self.shared.parts.remote_write.clone(),
            environment: environment
                .into_iter()
                .filter_map(|(name, value)| value.map(|value| (name, value)))
                .collect(),
        }
    }

    async fn wait_for_end(&mut self, process: &mut dyn Process) -> End {
        let total = self.progress.borrow().total_seconds;
        let longest = total.map_or(LONGEST, |seconds| Duration::from_secs(u64::from(seconds)) + ASIDE);
        // What a clock that was set back makes negative counts as nothing.
        let had = (Utc::now() - self.run.started_at.unwrap_or_else(Utc::now)).to_std().unwrap_or_default();
        let overdue_at = Instant::now() + longest.saturating_sub(had).max(LEAST);
        let overdue = tokio::select! {
            exit = process.ended() => return exit.map_or_else(End::Lost, End::Ended),
            () = self.cancel.cancelled() => false,
            () = sleep_until(overdue_at) => true,
            () = self.let_go.cancelled() => return End::LetGo,
        };
        if !overdue {
            let reason = self.why_stopped();
            self.enter(Event::StopAsked, Some(reason)).await;
        }
        tokio::select! {
            exit = ending::end(process) => match exit {
                Err(error) => End::Lost(error),
                Ok(_) if overdue => End::Overdue,
                Ok(_) => End::Stopped,
            },
            () = self.let_go.cancelled() => End::LetGo,
        }
    }

    /// Results, report, last state.
    async fn close(&mut self, end: End, figures: Result<Aggregate, String>) {
        let figures = match figures {
            Ok(figures) => figures,
            Err(reason) => {
                let (event, reason) = match end {
                    End::Stopped => (Event::Stopped, None),
                    End::Ended(_) | End::Overdue | End::Lost(_) | End::LetGo => (Event::Broke, Some(reason)),
                };
                return self.enter(event, reason).await;
            }
        };
        let (event, outcome, reason) = match end {
            End::Stopped => (Event::Stopped, None, self.run.reason.clone()),
            End::Overdue => (Event::Broke, None, Some("k6 did not end in time and was stopped".to_owned())),
            End::Lost(error) => (Event::Broke, None, Some(error.to_string())),
            End::LetGo => return,
            End::Ended(exit) => match judge(exit, &figures, &self.last_errors().await) {
                Verdict::Result(outcome, reason) => match self.not_alone() {
                    Some(doubt) => (Event::LoadEnded, Some(Outcome::Inconclusive), Some(with(doubt, reason))),
                    None => (Event::LoadEnded, Some(outcome), reason),
                },
                Verdict::Broken(reason) => (Event::Broke, None, Some(reason)),
            },
        };
        self.run.simulated = figures.is_simulated();
        if telemetry::client_spans_are_exported() {
            let run = self.run.id.to_string();
            let target =
                self.order.as_ref().and_then(|order| order.target.as_ref()).map(|target| &target.url);
            let host = target.and_then(|url| url.host_str()).unwrap_or_default();
            let port = target.and_then(|url| url.port_or_known_default()).unwrap_or_default();
            let requests = figures.slowest_requests(&run, &self.run.scenario, (host, port));
            requests.for_each(|request| request.export());
        }
        if figures.has_load() {
            let kept = self.keep_results(figures, outcome, reason.clone()).await;
            if let Err(error) = kept {
                // Figures that nobody can look up are no result.
                tracing::error!(%error, kind = error.kind(), "the results could not be kept");
                let event = if event == Event::Stopped { event } else { Event::Broke };
                return self.enter(event, Some(format!("the results could not be kept: {error}"))).await;
            }
        }
        self.run.outcome = outcome;
        self.enter(event, reason).await;
    }

    /// Why another run may have put load on the target at the same time; `None` when none has.
    fn not_alone(&self) -> Option<String> {
        let lost = self.turn.as_ref().and_then(|turn| turn.lease.lost());
        let why = lost.or(self.crowded.then_some("it was in use when the run was taken over"))?;
        Some(format!(
            "another run may have put load on the target at the same time ({why}), so the figures prove nothing: start it again"
        ))
    }

    async fn last_errors(&self) -> Vec<String> {
        let ledger = &self.shared.parts.ledger;
        let tail = match ledger.artifact(self.run.id, Artifact::Log, LOG_TAIL).await {
            Ok(tail) => tail.unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, kind = error.kind(), "k6's log cannot be read");
                Vec::new()
            }
        };
        let folder = ledger.folder(self.run.id);
        let local = format!("file://{}/scripts/", folder.display());
        k6_log::last_errors(&tail, &[&local, "file:///scripts/"])
    }

    /// Also for a run without a verdict: what there is of it may show why.
    async fn keep_results(
        &mut self,
        figures: Aggregate,
        outcome: Option<Outcome>,
        reason: Option<String>,
    ) -> Result<(), LedgerError> {
        let finished_at = self.load_ended_at();
        let state = match (outcome, self.cancel.is_cancelled()) {
            (Some(_), _) => RunState::Finished,
            (None, true) => RunState::Cancelled,
            (None, false) => RunState::Failed,
        };
        let results = figures.into_results(Identity {
            run_id: self.run.id,
            scenario: self.run.scenario.clone(),
            target: self.run.target.clone(),
            engine: self.run.engine.clone(),
            k6_version: self.k6.as_ref().map(|k6| k6.version.clone()),
            started_at: self.run.started_at.unwrap_or(self.run.created_at),
            finished_at,
            outcome: outcome.unwrap_or(Outcome::Inconclusive),
            state,
            reason,
            environment: environment::of(self.order.as_ref().map(|order| &order.asked)),
        });
        self.run.summary = Some(results.summary.clone());
        let traces = self.shared.parts.traces.clone();
        let (report, json) = tokio::task::spawn_blocking(move || rendered(&results, traces.as_ref()))
            .await
            .map_err(|_| LedgerError::BrokenOff)?;
        let ledger = &self.shared.parts.ledger;
        ledger.keep(self.run.id, Artifact::Results, json).await?;
        match report {
            Ok(html) => ledger.keep(self.run.id, Artifact::Report, html.into_bytes()).await,
            Err(error) => {
                // The figures are there all the same.
                tracing::error!(%error, kind = error.kind(), "no report could be made");
                Ok(())
            }
        }
    }

    /// When k6 ended: a while ago, where nobody followed it then.
    fn load_ended_at(&self) -> DateTime<Utc> {
        let folder = self.shared.parts.ledger.folder(self.run.id);
        let begun = self.run.started_at.unwrap_or(self.run.created_at);
        let now = Utc::now().max(begun);
        exit_record::written_at(&folder).map_or(now, |at| at.clamp(begun, now))
    }

    fn why_stopped(&self) -> String {
        let by = if self.shared.stop.is_cancelled() {
            "perf-service was stopped"
        } else {
            "somebody cancelled it"
        };
        by.to_owned()
    }

    fn say(&self, what: String) {
        self.progress.send_if_modified(|progress| {
            let new = progress.waiting_for.as_ref() != Some(&what);
            progress.waiting_for = Some(what);
            new
        });
    }

    /// Reports an event, and keeps and shows what came of it.
    async fn enter(&mut self, event: Event, reason: Option<String>) {
        apply(&mut self.run, event, reason);
        self.save().await;
        let state = self.run.state;
        self.under_way.now(under_way_as(state));
        self.progress.send_modify(|progress| progress.state = state);
    }

    async fn save(&mut self) {
        let saved = self.shared.parts.ledger.save(&self.run).await;
        self.saved = saved.is_ok();
        if let Err(error) = saved {
            // The run goes on; the next start finds the old entry and comes to the same end.
            tracing::error!(%error, kind = error.kind(), state = ?self.run.state, "the run's entry could not be saved");
        }
    }
}

fn with(doubt: String, reason: Option<String>) -> String {
    match reason {
        Some(reason) => format!("{doubt}; {reason}"),
        None => doubt,
    }
}

fn rendered(
    results: &results::Results,
    traces: Option<&report::TraceLinks>,
) -> (Result<String, report::ReportError>, Vec<u8>) {
    // Strings and finite numbers only: this cannot fail.
    (report::render(results, traces), serde_json::to_vec_pretty(results).unwrap_or_default())
}
