//! A run as it goes on, for whoever follows it from outside: a moment each second and whenever its
//! state changes, at last the run itself.
//!
//! Must not know how it is sent. A run of another process has no figures here, only its state.

use std::time::Duration;

use chrono::Utc;
use common_models::{Run, RunProgress, RunState};
use futures::Stream;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};
use uuid::Uuid;

use super::{Runs, RunsError};
use crate::progress::Progress;
use crate::run_state;

/// Between two moments.
const PACE: Duration = Duration::from_secs(1);

/// What a follower is told.
#[derive(Debug)]
pub enum Live {
    /// A moment of the run.
    Progress(RunProgress),
    /// The run, which has ended; nothing follows.
    Ended(Box<Run>),
    /// The run can no longer be followed; nothing follows.
    Lost(RunsError),
}

/// Somebody who follows a run.
struct Follower {
    runs: Runs,
    id: Uuid,
    /// Where this process conducts the run.
    here: Option<watch::Receiver<Progress>>,
    ticks: Interval,
    told: Option<RunState>,
    over: bool,
}

impl Runs {
    /// Follows a run to its end. A stop of the service ends what is told of runs elsewhere.
    ///
    /// # Errors
    /// When there is no such run, or the ledger fails.
    pub async fn follow(&self, id: Uuid) -> Result<impl Stream<Item = Live> + Send + 'static, RunsError> {
        // Before the ledger is read: a run that ends in between is then seen to end.
        let here = self.watch(id);
        self.read(id).await?;
        let mut ticks = interval(PACE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let follower = Follower { runs: self.clone(), id, here, ticks, told: None, over: false };
        Ok(futures::stream::unfold(follower, |mut follower| async move {
            let live = follower.next().await?;
            Some((live, follower))
        }))
    }
}

impl Follower {
    async fn next(&mut self) -> Option<Live> {
        if self.over {
            return None;
        }
        let live = match self.moment().await {
            Some(progress) => Live::Progress(progress.at(self.id, Utc::now())),
            None => match self.runs.read(self.id).await {
                Ok(run) if run_state::is_last(run.state) => Live::Ended(Box::new(run)),
                Ok(run) => {
                    self.runs.stopped_or(self.ticks.tick()).await?;
                    self.here = self.runs.watch(self.id);
                    Live::Progress(elsewhere(run.state).at(self.id, Utc::now()))
                }
                Err(error) => Live::Lost(error),
            },
        };
        self.over = !matches!(live, Live::Progress(_));
        Some(live)
    }

    /// The next moment of a run that is conducted here; `None` once it is not, or has ended.
    async fn moment(&mut self) -> Option<Progress> {
        let here = self.here.as_mut()?;
        loop {
            let changed = tokio::select! {
                changed = here.changed() => Some(changed),
                _ = self.ticks.tick() => None,
            };
            let now = here.borrow_and_update().clone();
            if run_state::is_last(now.state) || matches!(changed, Some(Err(_))) {
                // Its entry is in the ledger when its channel is closed.
                while here.changed().await.is_ok() {}
                self.here = None;
                return None;
            }
            if changed.is_none() || self.told != Some(now.state) {
                self.told = Some(now.state);
                return Some(now);
            }
        }
    }
}

/// All that is known of a run that another process conducts.
fn elsewhere(state: RunState) -> Progress {
    Progress { state, ..Progress::new(None) }
}

#[cfg(test)]
mod tests {
    use common_models::{RunPhase, RunState};

    use super::elsewhere;

    #[test]
    fn a_run_elsewhere_has_its_state_and_no_figures() {
        let progress = elsewhere(RunState::Stopping);
        assert_eq!(progress.phase(), RunPhase::Stopping);
        assert_eq!(progress.standing.requests, 0);
    }
}
