//! What earlier processes left, and what becomes of it.
//!
//! Owns who takes over what: a service follows or begins anew every run whose process died, before
//! its start or since; a command ends what dead commands left, and follows what is a service's only as long as it is there
//! itself. Whatever is left of a run that has ended is removed. One run taken over is
//! `conduct/takeover.rs`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::conduct::{Order, Takeover, Turn, may_have_k6};
use super::{Runs, RunsError, Shared};
use crate::engine::{Engine, EngineChoice};
use crate::ledger::{Abandoned, LedgerError, Origin, Request};
use crate::run_state;

/// How often a service looks for what is left of runs that have ended.
const SWEEP_PAUSE: Duration = Duration::from_secs(60);
/// How often a service removes files that are too old; it does so whenever a run ends, too.
const TIDY_PAUSE: Duration = Duration::from_secs(3_600);
/// How often a service looks for runs whose process has died, or let go of them, since it started.
const LOOK_PAUSE: Duration = Duration::from_secs(5);

impl Runs {
    /// Takes over what dead processes left. Runs of processes that live are left alone. When this
    /// returns, their targets are taken by them; what they come to shows in the ledger later.
    ///
    /// # Errors
    /// When the ledger fails.
    pub async fn recover(&self) -> Result<(), RunsError> {
        let shared = &self.shared;
        let by = shared.parts.policy.origin;
        shared.take_over_abandoned().await?;
        let heeding = Arc::clone(shared);
        shared.tasks.spawn(async move {
            let stop = heeding.stop.clone();
            stop.run_until_cancelled(heeding.heed()).await;
        });
        let sweeping = Arc::clone(shared);
        shared.tasks.spawn(async move {
            let stop = sweeping.stop.clone();
            stop.run_until_cancelled(sweeping.sweep_while(by == Origin::Service)).await;
        });
        if by == Origin::Service {
            let looking = Arc::clone(shared);
            shared.tasks.spawn(async move {
                let stop = looking.stop.clone();
                stop.run_until_cancelled(looking.look()).await;
            });
        }
        Ok(())
    }
}

impl Shared {
    /// Takes over every run that is ours to take over and whose process is dead.
    async fn take_over_abandoned(self: &Arc<Self>) -> Result<(), LedgerError> {
        let by = self.parts.policy.origin;
        for abandoned in self.parts.ledger.abandoned(by).await? {
            let origin = abandoned.request.as_ref().map_or(Origin::Service, |request| request.origin);
            if by == Origin::Command && origin == Origin::Service && !may_have_k6(abandoned.run.state) {
                // The next service begins it.
                continue;
            }
            self.take_over(abandoned, origin).await;
        }
        Ok(())
    }

    async fn take_over(self: &Arc<Self>, abandoned: Abandoned, origin: Origin) {
        let by = self.parts.policy.origin;
        let Abandoned { run, request, lease, takeovers } = abandoned;
        let turn = if may_have_k6(run.state) { self.claim(&run.target, run.id).await } else { None };
        let target = self.parts.targets.iter().find(|target| target.name == run.target).cloned();
        let order = request.map(|Request { asked, max_p95_ms, .. }| Order { asked, target, max_p95_ms });
        let leaves = by == Origin::Command && origin == Origin::Service;
        let (cancel, let_go) = if leaves {
            (CancellationToken::new(), self.stop.child_token())
        } else {
            (self.stop.child_token(), CancellationToken::new())
        };
        let conduct = self.conduct(&run, order, cancel);
        let crowded = turn.is_none() && self.turns.contains_key(&run.target);
        let takeover = Takeover { turn, crowded, origin, by, takeovers };
        self.carry_on(run.id, lease, conduct.take_over(takeover, let_go));
    }

    /// Takes over again and again: a command follows a service's run only as long as it is there
    /// itself, and other processes may die at any time.
    async fn look(self: &Arc<Self>) {
        loop {
            sleep(LOOK_PAUSE).await;
            if let Err(error) = self.take_over_abandoned().await {
                tracing::warn!(%error, kind = error.kind(), "runs of dead processes cannot be looked for");
            }
        }
    }

    /// A target's turn, where it can be had at once: who held it is dead, so it mostly can.
    async fn claim(&self, target: &str, run: Uuid) -> Option<Turn> {
        let ours = Arc::clone(self.turns.get(target)?).try_acquire_owned().ok()?;
        let lease = self.claim_among_all(target, run).await;
        lease.ok()?.ok().map(|lease| Turn::new(ours, lease))
    }

    async fn sweep_while(&self, again: bool) {
        let mut tidied = None::<Instant>;
        loop {
            // Files grow old though no run ends. A command's own run does end.
            if again && tidied.is_none_or(|at| at.elapsed() >= TIDY_PAUSE) {
                tidied = Some(Instant::now());
                self.tidy().await;
            }
            if self.parts.engine != EngineChoice::Local {
                self.sweep(self.parts.engines.docker.as_ref()).await;
            }
            self.sweep(self.parts.engines.local.as_ref()).await;
            if !again {
                return;
            }
            sleep(SWEEP_PAUSE).await;
        }
    }

    /// Ends what is left of runs that have ended, as when Docker went away before they did. Runs
    /// that this ledger does not know are somebody else's.
    async fn sweep(&self, engine: &dyn Engine) {
        let left = match engine.left().await {
            Ok(left) => left.into_iter().collect::<BTreeSet<_>>(),
            Err(error) => {
                tracing::debug!(%error, kind = error.kind(), engine = engine.name(), "no looking for orphans");
                return;
            }
        };
        for id in left {
            if self.lock_active().contains_key(&id) {
                continue;
            }
            let known = self.parts.ledger.read(id).await;
            if known.is_ok_and(|run| run.is_some_and(|run| run_state::is_last(run.state))) {
                match engine.reap(id, &self.parts.ledger.folder(id)).await {
                    Ok(true) => {
                        tracing::warn!(run = %id, engine = engine.name(), "the k6 of a run that has ended was ended");
                    }
                    Ok(false) => {}
                    Err(error) => {
                        tracing::warn!(run = %id, %error, kind = error.kind(), "the k6 of a run that has ended cannot be ended");
                    }
                }
            }
        }
    }
}
