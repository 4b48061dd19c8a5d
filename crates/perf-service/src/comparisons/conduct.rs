//! One comparison, from its first run to its verdict.
//!
//! Owns the order of steps. Every way out of here leaves the comparison in a last state and no run behind.

use std::sync::Arc;

use chrono::Utc;
use common_models::{
    ComparedPair, ComparedSide, Comparison, ComparisonState, Outcome, Run, RunState, StartRun, Verdict,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::judgement::{Look, Pair, judge};
use super::plan::{self, FEW_LEFT_OUT, Next};
use super::{Coins, Order, Shared, Sides};

/// The conduct of one comparison.
pub(super) struct Conduct {
    shared: Arc<Shared>,
    order: Order,
    sides: Sides,
    cancel: CancellationToken,
    progress: watch::Sender<Comparison>,
}

/// Why there is no verdict.
enum Stop {
    Cancelled,
    Broken(String),
}

/// What the runs came to.
enum End {
    Judged(Vec<Pair>, Look, Vec<ComparedSide>),
    Doubtful(String),
}

/// Whether summaries came from a simulator, seen over all runs.
#[derive(Default)]
struct Answers {
    simulated: bool,
    real: bool,
}

impl Conduct {
    pub(super) const fn new(
        shared: Arc<Shared>,
        order: Order,
        sides: Sides,
        cancel: CancellationToken,
        progress: watch::Sender<Comparison>,
    ) -> Self {
        Self { shared, order, sides, cancel, progress }
    }

    /// Takes the comparison to its end.
    pub(super) async fn carry_out(self) {
        let ended = self.pairs().await;
        self.progress.send_modify(|comparison| {
            comparison.finished_at = Some(Utc::now());
            match ended {
                Ok(End::Judged(pairs, look, left_out)) => {
                    let judgement = judge(&self.order.question, &pairs, look, &left_out);
                    comparison.state = ComparisonState::Finished;
                    comparison.verdict = Some(judgement.verdict);
                    comparison.reason = Some(judgement.reason);
                    comparison.enough_pairs = judgement.enough_pairs;
                    comparison.metrics = judgement.metrics;
                }
                Ok(End::Doubtful(reason)) => {
                    comparison.state = ComparisonState::Finished;
                    comparison.verdict = Some(Verdict::NotEnoughEvidence);
                    comparison.reason = Some(reason);
                }
                Err(Stop::Broken(reason)) => {
                    comparison.state = ComparisonState::Failed;
                    comparison.reason = Some(reason);
                }
                Err(Stop::Cancelled) => {
                    comparison.state = ComparisonState::Cancelled;
                    comparison.reason = Some("it was stopped before it had a verdict".to_owned());
                }
            }
        });
        let comparison = self.progress.borrow().clone();
        tracing::info!(comparison = %comparison.id, state = ?comparison.state, verdict = ?comparison.verdict, "comparison ended");
        self.save().await;
    }

    async fn pairs(&self) -> Result<End, Stop> {
        let mut coins = Coins::new(self.progress.borrow().seed);
        let (mut pairs, mut left_out, mut answers) = (Vec::new(), Vec::new(), Answers::default());
        loop {
            // Both ask for the same, and each pair for something else: what is found holds for more than one
            // course of visits.
            let (baseline_first, seed) = (coins.toss(), coins.seed());
            let (baseline, candidate) = if baseline_first {
                let baseline = self.run(true, seed).await?;
                (baseline, self.run(false, seed).await?)
            } else {
                let candidate = self.run(false, seed).await?;
                (self.run(true, seed).await?, candidate)
            };
            for run in [&baseline, &candidate] {
                answers.see(run);
            }
            if answers.simulated && answers.real {
                let reason = "some summaries came from a simulator and some did not: set both targets up with the same provider";
                return Err(Stop::Broken(reason.to_owned()));
            }
            let doubts = (doubt(&baseline), doubt(&candidate));
            let by = match &doubts {
                (None, None) => None,
                (Some(_), None) => Some(ComparedSide::Baseline),
                (None, Some(_)) => Some(ComparedSide::Candidate),
                (Some(_), Some(_)) => Some(ComparedSide::Both),
            };
            let doubt = doubts.0.or(doubts.1);
            self.progress.send_modify(|comparison| {
                comparison.simulated = answers.simulated;
                comparison.pairs.push(ComparedPair {
                    baseline: baseline.id,
                    candidate: candidate.id,
                    baseline_first,
                    left_out: doubt.clone(),
                    left_out_by: by,
                });
            });
            self.save().await;
            match (doubt, baseline.summary, candidate.summary) {
                (None, Some(baseline), Some(candidate)) => pairs.push(Pair { baseline, candidate }),
                (doubt, ..) => {
                    left_out.push(by.unwrap_or(ComparedSide::Both));
                    // A pair that counts for nothing says something all the same when it is not alone.
                    let out = left_out.len();
                    if out > FEW_LEFT_OUT && out * 2 > pairs.len() {
                        return Ok(End::Doubtful(format!(
                            "inconclusive: {out} of {} pairs count for nothing; the last because {}",
                            out + pairs.len(),
                            doubt.unwrap_or_else(|| "a run has no figures".to_owned())
                        )));
                    }
                    continue;
                }
            }
            let (question, bounds) = (&self.order.question, self.order.bounds);
            if let Next::Enough(look) = plan::next(question, bounds, &pairs) {
                return Ok(End::Judged(pairs, look, left_out));
            }
            let wanted = plan::asked_for(question, bounds, &pairs);
            self.progress.send_modify(|comparison| comparison.plan.wanted_pairs = wanted);
        }
    }

    /// One run of one side, from the state that its runs start from.
    async fn run(&self, baseline: bool, seed: u32) -> Result<Run, Stop> {
        let (name, side) = {
            let comparison = self.progress.borrow();
            if baseline {
                (comparison.baseline.clone(), &self.sides.baseline)
            } else {
                (comparison.candidate.clone(), &self.sides.candidate)
            }
        };
        let up = match side.ready(&self.cancel).await {
            Ok(up) => up,
            Err(_) if self.cancel.is_cancelled() => return Err(Stop::Cancelled),
            Err(why) => return Err(Stop::Broken(format!("{name} cannot be made ready: {why}"))),
        };
        let ended = self.against(&name, seed).await;
        up.end().await;
        ended
    }

    /// One run against a target that is ready.
    async fn against(&self, name: &str, seed: u32) -> Result<Run, Stop> {
        if self.cancel.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        let asked = StartRun { target: Some(name.to_owned()), seed: Some(seed), ..self.order.run.clone() };
        let runs = &self.shared.runs;
        let started = runs.start(asked, None).await.map_err(|error| Stop::Broken(error.to_string()))?;
        self.wait(started.id).await;
        if self.cancel.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        let run = runs.read(started.id).await.map_err(|error| Stop::Broken(error.to_string()))?;
        match run.state {
            RunState::Finished => Ok(run),
            RunState::Cancelled => Err(Stop::Broken(format!("its run {} was cancelled", run.id))),
            _ => {
                let reason = run.reason.as_deref().unwrap_or("no reason is known");
                Err(Stop::Broken(format!("the run {} against {name} broke: {reason}", run.id)))
            }
        }
    }

    /// Until the run has ended, which it does soon where the comparison is to stop.
    async fn wait(&self, id: Uuid) {
        let runs = &self.shared.runs;
        let Some(mut progress) = runs.watch(id) else { return };
        let ended = async { while progress.changed().await.is_ok() {} };
        tokio::pin!(ended);
        tokio::select! {
            () = &mut ended => return,
            () = self.cancel.cancelled() => {}
        }
        if let Err(error) = runs.cancel(id).await {
            // It may have ended meanwhile.
            tracing::debug!(run = %id, %error, kind = error.kind(), "a run of a comparison cannot be cancelled");
        }
        ended.await;
    }

    async fn save(&self) {
        let comparison = self.progress.borrow().clone();
        if let Err(error) = self.shared.store.save(&comparison).await {
            tracing::error!(comparison = %comparison.id, %error, kind = error.kind(), "a comparison could not be saved");
        }
    }
}

impl Answers {
    fn see(&mut self, run: &Run) {
        // Without a summary it says nothing about where summaries come from.
        let asked = run.summary.as_ref().is_some_and(|summary| summary.cache_hit_rate.is_some());
        self.simulated |= run.simulated;
        self.real |= asked && !run.simulated;
    }
}

/// Why a run counts for nothing.
fn doubt(run: &Run) -> Option<String> {
    (run.outcome == Some(Outcome::Inconclusive)).then(|| {
        let reason = run.reason.as_deref().unwrap_or("it was inconclusive");
        format!("of {}: {reason}", run.target)
    })
}
