//! Whether a run may spend: one that may ask a provider that bills needs a limit.

use common_models::{RunEstimate, StartRun};

use super::{LONGEST_SECONDS, MOST_USERS, Runs, RunsError, Shared};
use crate::billing::{self, Load};
use crate::targets::Target;

/// Longest warm-up before the measured load.
const WARM_UP: u32 = 5;

impl Runs {
    /// What a run would spend at most, by what its target says now.
    ///
    /// # Errors
    /// When it names something that is not there or asks for too much.
    pub async fn estimate(&self, asked: &StartRun) -> Result<RunEstimate, RunsError> {
        let target = self.check(asked)?;
        Ok(self.shared.estimate(asked, target).await)
    }
}

impl Shared {
    /// Refuses what may spend without a limit. With one, k6 aborts on reaching it, and nobody is asked.
    pub(super) async fn may_spend(&self, asked: &StartRun, target: &Target) -> Result<(), RunsError> {
        if asked.max_cost_usd.is_some() {
            return Ok(());
        }
        let estimate = self.estimate(asked, target).await;
        if estimate.bills { Err(RunsError::LimitNeeded(Box::new(estimate))) } else { Ok(()) }
    }

    async fn estimate(&self, asked: &StartRun, target: &Target) -> RunEstimate {
        let scenarios = &self.parts.scenarios;
        if !scenarios.spends(&asked.scenario) {
            return billing::nothing("nothing is billed: the scenario asks for no summary".to_owned());
        }
        let seconds = asked.duration_seconds.or_else(|| scenarios.seconds(&asked.scenario));
        let load = Load {
            users: asked.users.or_else(|| scenarios.users(&asked.scenario)).unwrap_or(MOST_USERS),
            seconds: seconds.unwrap_or(LONGEST_SECONDS).saturating_add(WARM_UP),
            rate: asked.rate.or_else(|| scenarios.rate(&asked.scenario).map(whole)),
        };
        let offers = self.parts.prices.offers(target, self.parts.target_api_token.as_ref()).await;
        if let Err(error) = &offers {
            tracing::debug!(%error, kind = error.kind(), target = target.name, "the target's prices are not known");
        }
        billing::estimate(asked, load, offers.as_ref())
    }
}

/// A rate rounded up.
fn whole(rate: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    let rate = rate.ceil() as u32;
    rate
}
