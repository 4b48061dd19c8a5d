//! A run whose process died, taken over: from where it stood to its true end.
//!
//! Owns what is done with what the dead process left. A k6 at work is followed as if nothing had
//! happened, one that has ended is judged by what it left, and a run that never had one begins
//! anew. A command's k6 is ended by the next command instead, for its user is there again and waits.

use std::time::Duration;

use common_models::RunState;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{Conduct, End, LEAST, Turn, ending};
use crate::aggregate::Aggregate;
use crate::engine::{EngineError, Exit, K6, Process};
use crate::ledger::{Artifact, Origin};
use crate::run_state::{self, Event};

/// Processes that may die of a run before it is given up.
const MOST_TAKEOVERS: u32 = 5;
/// Pause before an engine that does not answer is asked again.
const ASK_PAUSE: Duration = Duration::from_secs(2);
/// How long an engine may be silent. A machine that has just started brings its daemons up.
const ASK_DEADLINE: Duration = Duration::from_secs(300);
/// Longest version text taken.
const LONGEST_VERSION: u64 = 300;
/// A k6 that has ended is told as ended within this.
const ENDED_BY_NOW: Duration = Duration::from_millis(500);

/// What is known of a run to be taken over.
pub(crate) struct Takeover {
    /// The right to put load on its target, where that could be had.
    pub(crate) turn: Option<Turn>,
    /// Whether it could not, for a target that is configured.
    pub(crate) crowded: bool,
    /// Who started it.
    pub(crate) origin: Origin,
    /// Who takes it over.
    pub(crate) by: Origin,
    /// How many processes have, this one included.
    pub(crate) takeovers: u32,
}

/// A k6 of which nothing is left but its output.
struct Vanished;

#[async_trait::async_trait]
impl Process for Vanished {
    async fn ended(&mut self) -> Result<Exit, EngineError> {
        Ok(Exit::Unseen)
    }

    async fn interrupt(&mut self) -> Result<(), EngineError> {
        Ok(())
    }

    async fn kill(&mut self) -> Result<(), EngineError> {
        Ok(())
    }
}

impl Conduct {
    /// Takes the run from where a dead process left it to its end. `let_go` leaves it as it is.
    pub(crate) async fn take_over(mut self, takeover: Takeover, let_go: CancellationToken) {
        let span = tracing::info_span!("run", run = %self.run.id, scenario = %self.run.scenario);
        self.let_go = let_go;
        async {
            self.go_on(takeover).await;
            self.settle().await;
        }
        .instrument(span)
        .await;
    }

    async fn go_on(&mut self, takeover: Takeover) {
        tracing::warn!(state = ?self.run.state, engine = self.run.engine, "taking over from a perf-service that died");
        self.progress.send_modify(|progress| progress.state = self.run.state);
        let found = tokio::select! {
            found = self.find() => found,
            () = self.let_go.cancelled() => return,
        };
        let process = match found {
            Ok(Some(process)) => process,
            Ok(None) => match self.run.state {
                RunState::Queued | RunState::Starting => return self.begin_anew(takeover).await,
                _ => Box::new(Vanished),
            },
            // Stopped while waiting for the engine: the entry stays for the next to come.
            Err(_) if self.shared.stop.is_cancelled() => return,
            Err(error) => return self.enter(Event::Broke, Some(error.to_string())).await,
        };
        self.note_version().await;
        if self.run.state == RunState::Starting {
            // Killed between the start of k6 and saying so.
            self.run.started_at = Some(self.run.started_at.unwrap_or_else(|| self.begun_at()));
            self.enter(Event::EngineStarted, None).await;
        }
        if takeover.origin == Origin::Command && takeover.by == Origin::Command {
            return self.end_it(process).await;
        }
        if self.run.state == RunState::Stopping {
            // As its user wanted before.
            self.cancel.cancel();
        }
        (self.turn, self.crowded) = (takeover.turn, takeover.crowded);
        self.follow(process).await;
        self.turn = None;
    }

    /// What the engine has of the run's k6, asked until it answers.
    async fn find(&self) -> Result<Option<Box<dyn Process>>, EngineError> {
        let parts = &self.shared.parts;
        let folder = parts.ledger.folder(self.run.id);
        let begin = Instant::now();
        loop {
            match parts.engines.adopt(&self.run.engine, self.run.id, &folder).await {
                Err(error) if begin.elapsed() < ASK_DEADLINE => {
                    tracing::warn!(%error, kind = error.kind(), "a run's k6 cannot be looked for yet");
                    tokio::select! {
                        () = sleep(ASK_PAUSE) => {}
                        () = self.shared.stop.cancelled() => return Err(error),
                    }
                }
                answer => return answer,
            }
        }
    }

    async fn begin_anew(&mut self, takeover: Takeover) {
        if takeover.origin == Origin::Command {
            let reason = "the command that started it was killed before k6 ran. Start it again";
            return self.enter(Event::Broke, Some(reason.to_owned())).await;
        }
        if takeover.takeovers > MOST_TAKEOVERS {
            let reason =
                format!("{MOST_TAKEOVERS} perf-services were killed before its k6 ran; start it again");
            return self.enter(Event::Broke, Some(reason)).await;
        }
        if self.run.state == RunState::Queued {
            // In line with the others; what turn there is was not the run's yet.
            drop(takeover.turn);
            return self.begin().await;
        }
        self.turn = takeover.turn;
        if self.turn.is_none() {
            return self.begin().await;
        }
        self.start_and_follow().await;
        self.turn = None;
    }

    /// Ends a k6 that nobody waits for, unless it has ended by itself.
    async fn end_it(&mut self, mut process: Box<dyn Process>) {
        if let Ok(exit) = timeout(ENDED_BY_NOW, process.ended()).await {
            let end = exit.map_or_else(End::Lost, End::Ended);
            let figures = self.figures().await;
            return self.close(end, figures).await;
        }
        let reason = match timeout(LEAST, ending::kill(process.as_mut())).await {
            Ok(Ok(_)) => "the command that ran it was killed; its k6 was ended. Start it again".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the command that ran it was killed, and its k6 does not end".to_owned(),
        };
        let figures = self.figures().await;
        self.close(End::Lost(EngineError::Lost(reason)), figures).await;
    }

    /// The figures of what there is.
    async fn figures(&self) -> Result<Aggregate, String> {
        let ended = CancellationToken::new();
        ended.cancel();
        self.read_output(ended).await.map_err(|error| format!("reading k6's output broke off: {error}"))?
    }

    async fn note_version(&mut self) {
        let noted = self.shared.parts.ledger.artifact(self.run.id, Artifact::Version, LONGEST_VERSION).await;
        let text = noted.ok().flatten().and_then(|text| String::from_utf8(text).ok());
        if let Some(version) = text.filter(|text| !text.is_empty()) {
            let description = format!("{version}, taken over");
            self.progress.send_modify(|progress| progress.k6 = Some(description.clone()));
            self.k6 = Some(K6 { version, description });
        }
    }

    /// When k6 was started, as its output tells.
    fn begun_at(&self) -> chrono::DateTime<chrono::Utc> {
        let samples = self.shared.parts.ledger.folder(self.run.id).join(Artifact::Version.file_name());
        let noted = std::fs::metadata(samples).and_then(|file| file.modified());
        noted.map_or(self.run.created_at, |at| at.into()).max(self.run.created_at)
    }
}

/// Whether a run in this state may have a k6.
pub(crate) const fn may_have_k6(state: RunState) -> bool {
    !matches!(state, RunState::Queued) && !run_state::is_last(state)
}
