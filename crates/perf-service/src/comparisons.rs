//! Comparisons of two targets: interleaved pairs of runs, and what they say.
//!
//! Owns what may be compared, what counts for nothing, and who waits for whom. Must not know HTTP, files,
//! Docker or processes. How one comparison goes on is `comparisons/conduct.rs`; what pairs say is pure
//! (`judgement`, `plan`, `metrics`).

mod conduct;
pub mod judgement;
pub mod metrics;
pub mod noise;
pub mod plan;
pub mod store;
pub mod text;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::Utc;
use common_models::{ComparedMetric, Comparison, ComparisonState, FieldError, StartComparison, StartRun};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use self::conduct::Conduct;
use self::judgement::Question;
use self::store::{ComparisonStore, StoreError};
use crate::runs::{Runs, RunsError};

/// What is compared unless told.
const SCENARIO: &str = "smoke";
const SECONDS: u32 = 10;
const LEVEL: f64 = 0.95;
const MINIMUM_EFFECT: f64 = 0.05;
/// Bounds of what may be asked for.
const LONGEST_SECONDS: u32 = 600;
const LEVELS: (f64, f64) = (0.8, 0.999);
const EFFECTS: (f64, f64) = (0.001, 1.0);
const FEWEST_PAIRS: u32 = 2;

/// Brings a target to the state that each of its runs starts from.
#[async_trait]
pub trait Side: Send + Sync {
    /// Seconds that it takes, about.
    fn seconds(&self) -> u64 {
        0
    }

    /// Makes it ready. What went wrong is told in words; then nothing is left of it.
    async fn ready(&self, cancel: &CancellationToken) -> Result<Box<dyn Up>, String>;
}

/// A target that was made ready.
#[async_trait]
pub trait Up: Send {
    /// Ends what was started for it.
    async fn end(self: Box<Self>);
}

/// A target that somebody else keeps running: it is taken as it is.
#[derive(Clone, Copy, Debug)]
pub struct AsItIs;

#[async_trait]
impl Side for AsItIs {
    async fn ready(&self, _cancel: &CancellationToken) -> Result<Box<dyn Up>, String> {
        Ok(Box::new(Self))
    }
}

#[async_trait]
impl Up for AsItIs {
    async fn end(self: Box<Self>) {}
}

/// The two that are compared.
#[derive(Clone)]
pub struct Sides {
    /// What the candidate is held against.
    pub baseline: Arc<dyn Side>,
    /// What is judged.
    pub candidate: Arc<dyn Side>,
    /// What is started for the baseline, in words; nothing where it is a target that runs already.
    pub baseline_build: Option<String>,
    /// What is started for the candidate.
    pub candidate_build: Option<String>,
}

impl Sides {
    /// Two configured targets.
    #[must_use]
    pub fn as_they_are() -> Self {
        let (baseline, candidate) = (Arc::new(AsItIs), Arc::new(AsItIs));
        Self { baseline, candidate, baseline_build: None, candidate_build: None }
    }
}

/// The use cases. Cheap to clone.
#[derive(Clone)]
pub struct Comparisons {
    shared: Arc<Shared>,
}

struct Shared {
    runs: Runs,
    store: Arc<dyn ComparisonStore>,
    active: Mutex<HashMap<Uuid, Active>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(Clone)]
struct Active {
    cancel: CancellationToken,
    progress: watch::Receiver<Comparison>,
}

/// Why a use case was refused.
#[derive(Debug, thiserror::Error)]
pub enum ComparisonsError {
    /// What it names or asks for cannot be run.
    #[error(transparent)]
    Runs(#[from] RunsError),
    /// There is no such comparison.
    #[error("there is no comparison {0}")]
    NotFound(Uuid),
    /// It has ended, so it cannot be cancelled.
    #[error("the comparison has ended already: it is {0:?}")]
    Ended(ComparisonState),
    /// Another process makes it.
    #[error("another perf-service process makes the comparison (a `perf-service compare`); stop it there")]
    Elsewhere,
    /// One is under way; two at once would disturb each other.
    #[error("the comparison {0} is under way and would be disturbed; wait for it or cancel it")]
    Busy(Uuid),
    /// It cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ComparisonsError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Runs(error) => error.kind(),
            Self::NotFound(_) => "comparison_not_found",
            Self::Ended(_) => "comparison_ended",
            Self::Elsewhere => "comparison_elsewhere",
            Self::Busy(_) => "comparison_under_way",
            Self::Store(error) => error.kind(),
        }
    }
}

/// What was asked for, with what was left out filled in.
#[derive(Clone, Debug)]
struct Order {
    question: Question,
    /// Without a target.
    run: StartRun,
    bounds: (usize, usize),
}

impl Comparisons {
    /// None under way.
    #[must_use]
    pub fn new(runs: Runs, store: Arc<dyn ComparisonStore>) -> Self {
        let shared = Shared {
            runs,
            store,
            active: Mutex::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Starts a comparison, which goes on by itself.
    ///
    /// # Errors
    /// When it names something that is not there or asks for too much, one is under way, or it cannot be
    /// kept.
    pub async fn start(&self, asked: StartComparison, sides: Sides) -> Result<Comparison, ComparisonsError> {
        let order = self.check(&asked)?;
        if self.shared.stop.is_cancelled() {
            return Err(RunsError::Stopping.into());
        }
        let seed = asked.seed.unwrap_or_else(drawn);
        let comparison = begun(&asked, &order, seed, &sides);
        let (sender, progress) = watch::channel(comparison.clone());
        let cancel = self.shared.stop.child_token();
        {
            let mut active = self.shared.lock_active();
            if let Some(other) = active.keys().next() {
                return Err(ComparisonsError::Busy(*other));
            }
            active.insert(comparison.id, Active { cancel: cancel.clone(), progress });
        }
        let lease = match self.shared.store.create(&comparison).await {
            Ok(lease) => lease,
            Err(error) => {
                self.shared.lock_active().remove(&comparison.id);
                return Err(match error {
                    StoreError::Busy(other) => ComparisonsError::Busy(other),
                    error => error.into(),
                });
            }
        };
        let (shared, id) = (Arc::clone(&self.shared), comparison.id);
        let conduct = Conduct::new(Arc::clone(&shared), order, sides, cancel, sender);
        self.shared.tasks.spawn(async move {
            conduct.carry_out().await;
            shared.lock_active().remove(&id);
            drop(lease);
        });
        Ok(comparison)
    }

    fn check(&self, asked: &StartComparison) -> Result<Order, ComparisonsError> {
        let scenario = asked.scenario.clone().unwrap_or_else(|| SCENARIO.to_owned());
        let run = StartRun {
            scenario,
            target: None,
            duration_seconds: Some(asked.duration_seconds.unwrap_or(SECONDS)),
            users: asked.users,
            provider: asked.provider.clone(),
            max_cost_usd: asked.max_cost_usd,
            ..StartRun::default()
        };
        let mut errors = Vec::new();
        for target in [&asked.baseline, &asked.candidate] {
            match self.shared.runs.check(&StartRun { target: Some(target.clone()), ..run.clone() }) {
                Ok(_) => {}
                // The same of both sides: told once.
                Err(RunsError::Invalid(found)) if errors.is_empty() => errors.extend(found),
                Err(RunsError::Invalid(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut refuse = |field: &str, code: &str, message: String| {
            errors.push(FieldError { field: field.to_owned(), code: code.to_owned(), message });
        };
        if asked.baseline == asked.candidate {
            refuse("candidate", "same", "must be another target than the baseline".to_owned());
        }
        let seconds = run.duration_seconds.unwrap_or_default();
        // More than any run may have is refused already.
        if (LONGEST_SECONDS + 1..=3_600).contains(&seconds) {
            refuse("durationSeconds", "range", format!("must be from 1 to {LONGEST_SECONDS}"));
        }
        let mut within = |field: &str, value: Option<f64>, default: f64, (least, most): (f64, f64)| {
            let value = value.unwrap_or(default);
            if !(least..=most).contains(&value) {
                refuse(field, "range", format!("must be from {least} to {most}"));
            }
            value
        };
        let level = within("level", asked.level, LEVEL, LEVELS);
        let minimum_effect = within("minimumEffect", asked.minimum_effect, MINIMUM_EFFECT, EFFECTS);
        if asked.pairs.is_some_and(|pairs| !(FEWEST_PAIRS..=plan::LARGEST).contains(&pairs)) {
            refuse("pairs", "range", format!("must be from {FEWEST_PAIRS} to {}", plan::LARGEST));
        }
        if !errors.is_empty() {
            return Err(RunsError::Invalid(errors).into());
        }
        let primary = asked.primary.unwrap_or(ComparedMetric::P95Ms);
        let question = Question { primary, level, minimum_effect };
        let bounds = plan::bounds(&question, asked.pairs);
        // Each run may spend its share of what the whole may.
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        let max_cost_usd = asked.max_cost_usd.map(|most| most / plan::most_runs(bounds.1) as f64);
        Ok(Order { question, run: StartRun { max_cost_usd, ..run }, bounds })
    }

    /// How a comparison of this process goes on; `None` once it has ended.
    #[must_use]
    pub fn watch(&self, id: Uuid) -> Option<watch::Receiver<Comparison>> {
        self.shared.lock_active().get(&id).map(|active| active.progress.clone())
    }

    /// A comparison as it is now.
    ///
    /// # Errors
    /// When there is none of this id, or it cannot be read.
    pub async fn read(&self, id: Uuid) -> Result<Comparison, ComparisonsError> {
        if let Some(progress) = self.watch(id) {
            return Ok(progress.borrow().clone());
        }
        self.shared.store.read(id).await?.ok_or(ComparisonsError::NotFound(id))
    }

    /// At most `limit` comparisons older than `before`, newest first, and whether there are more.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list(
        &self,
        before: Option<Uuid>,
        limit: usize,
    ) -> Result<(Vec<Comparison>, bool, u64), ComparisonsError> {
        Ok(self.shared.store.list(before, limit).await?)
    }

    /// Asks a comparison to stop; its run is stopped as well.
    ///
    /// # Errors
    /// When there is no such comparison, it has ended, or it is another process's.
    pub async fn cancel(&self, id: Uuid) -> Result<Comparison, ComparisonsError> {
        let active = self.shared.lock_active().get(&id).cloned();
        if let Some(active) = active {
            active.cancel.cancel();
            return self.read(id).await;
        }
        let comparison = self.read(id).await?;
        match comparison.state {
            ComparisonState::Cancelled => Ok(comparison),
            ComparisonState::Running => Err(ComparisonsError::Elsewhere),
            state @ (ComparisonState::Finished | ComparisonState::Failed) => {
                Err(ComparisonsError::Ended(state))
            }
        }
    }

    /// Closes what dead processes left under way: a comparison can't go on where another left it, because
    /// the machine is another by then.
    ///
    /// # Errors
    /// When the entries cannot be read or written.
    pub async fn recover(&self) -> Result<(), ComparisonsError> {
        for (mut comparison, lease) in self.shared.store.abandoned().await? {
            comparison.state = ComparisonState::Failed;
            comparison.finished_at = Some(Utc::now());
            comparison.reason = Some("the perf-service that made it was ended; start it again".to_owned());
            self.shared.store.save(&comparison).await?;
            drop(lease);
        }
        Ok(())
    }

    /// Stops what is under way and waits for its end.
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

fn begun(asked: &StartComparison, order: &Order, seed: u64, sides: &Sides) -> Comparison {
    let start = sides.baseline.seconds().max(sides.candidate.seconds());
    Comparison {
        id: Uuid::now_v7(),
        state: ComparisonState::Running,
        scenario: order.run.scenario.clone(),
        baseline: asked.baseline.clone(),
        candidate: asked.candidate.clone(),
        baseline_build: sides.baseline_build.clone(),
        candidate_build: sides.candidate_build.clone(),
        primary: order.question.primary,
        level: order.question.level,
        minimum_effect: order.question.minimum_effect,
        seed,
        plan: plan::said(order.bounds, order.run.duration_seconds.unwrap_or(SECONDS), start),
        verdict: None,
        reason: None,
        enough_pairs: None,
        simulated: false,
        created_at: Utc::now(),
        finished_at: None,
        metrics: Vec::new(),
        pairs: Vec::new(),
    }
}

/// A seed that nobody chose: the random part of a fresh id.
fn drawn() -> u64 {
    // Kept to what JSON's numbers hold exactly.
    Uuid::now_v7().as_u64_pair().1 & ((1 << 53) - 1)
}

/// Fair coins and the seeds of pairs, the same for the same seed.
struct Coins {
    coins: ChaCha8Rng,
    seeds: ChaCha8Rng,
}

impl Coins {
    fn new(seed: u64) -> Self {
        let coins = ChaCha8Rng::seed_from_u64(seed);
        let mut seeds = coins.clone();
        seeds.set_stream(1);
        Self { coins, seeds }
    }

    fn toss(&mut self) -> bool {
        self.coins.next_u64() & 1 == 1
    }

    fn seed(&mut self) -> u32 {
        self.seeds.next_u32()
    }
}

#[cfg(test)]
mod tests {
    use super::Coins;

    #[test]
    fn coins_are_fair_and_the_same_for_the_same_seed() {
        let tossed = |seed| {
            let mut coins = Coins::new(seed);
            (0..1_000).map(|_| coins.toss()).collect::<Vec<_>>()
        };
        assert_eq!(tossed(7), tossed(7));
        assert_ne!(tossed(7), tossed(8));
        let seeds = |seed| {
            let mut coins = Coins::new(seed);
            (0..20).map(|_| coins.seed()).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!((seeds(7), seeds(7).len()), (seeds(7), 20));
        let heads = tossed(7).into_iter().filter(|heads| *heads).count();
        assert!((420..=580).contains(&heads), "{heads}");
    }
}
