//! How a run stands right now, for whoever watches it: the terminal and live events.
//!
//! Owns the shape, and what of a run's life is which phase. Must not know who watches.

use chrono::{DateTime, Utc};
use common_models::{RunPhase, RunProgress, RunState};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::aggregate::Standing;

/// A moment of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Where it stands.
    pub state: RunState,
    /// Which engine and which k6 it uses, in words; absent until that is known.
    pub k6: Option<String>,
    /// What is being waited for before k6 runs, in words.
    pub waiting_for: Option<String>,
    /// Seconds of measured load that it is to have, where known.
    pub total_seconds: Option<u32>,
    /// Its figures so far.
    pub standing: Standing,
}

impl Progress {
    /// That of a run that has just been accepted.
    #[must_use]
    pub fn new(total_seconds: Option<u32>) -> Self {
        Self {
            state: RunState::Queued,
            k6: None,
            waiting_for: None,
            total_seconds,
            standing: Standing::default(),
        }
    }

    /// What the run does.
    #[must_use]
    pub const fn phase(&self) -> RunPhase {
        match self.state {
            RunState::Queued => RunPhase::Waiting,
            RunState::Starting => RunPhase::Preparing,
            RunState::Running if self.standing.measured_seconds.is_some() => RunPhase::Measuring,
            RunState::Running if self.standing.requests > 0 => RunPhase::WarmUp,
            RunState::Running => RunPhase::Preparing,
            RunState::Stopping => RunPhase::Stopping,
            RunState::Finished | RunState::Failed | RunState::Cancelled => RunPhase::Ended,
        }
    }

    /// The same as clients are told it.
    #[must_use]
    pub fn at(&self, id: Uuid, at: DateTime<Utc>) -> RunProgress {
        let standing = &self.standing;
        let measured_seconds = standing.measured_seconds.unwrap_or_default();
        RunProgress {
            id,
            at,
            state: self.state,
            phase: self.phase(),
            progress: self.total_seconds.map(|total| (measured_seconds / f64::from(total.max(1))).min(1.0)),
            measured_seconds,
            total_seconds: self.total_seconds,
            requests: standing.requests,
            failed: standing.failed,
            rps: standing.rps,
            p95_ms: standing.p95_ms,
            users: standing.users,
            waiting_for: self.waiting_for.clone(),
            k6: self.k6.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use common_models::{RunPhase, RunState};
    use uuid::Uuid;

    use super::Progress;

    #[test]
    fn phases_follow_the_state_and_what_was_measured() {
        let mut now = Progress::new(Some(10));
        let mut phases = vec![now.phase()];
        now.state = RunState::Starting;
        phases.push(now.phase());
        now.state = RunState::Running;
        phases.push(now.phase());
        now.standing.requests = 3;
        phases.push(now.phase());
        now.standing.measured_seconds = Some(2.5);
        phases.push(now.phase());
        let told = now.at(Uuid::nil(), Utc::now());
        assert_eq!((told.progress, told.requests, told.total_seconds), (Some(0.25), 3, Some(10)));
        now.standing.measured_seconds = Some(25.0);
        assert_eq!(now.at(Uuid::nil(), Utc::now()).progress, Some(1.0));
        now.state = RunState::Stopping;
        phases.push(now.phase());
        now.state = RunState::Failed;
        phases.push(now.phase());
        let wanted = [
            RunPhase::Waiting,
            RunPhase::Preparing,
            RunPhase::Preparing,
            RunPhase::WarmUp,
            RunPhase::Measuring,
            RunPhase::Stopping,
            RunPhase::Ended,
        ];
        assert_eq!(phases, wanted);
        assert_eq!(Progress::new(None).at(Uuid::nil(), Utc::now()).progress, None);
    }
}
