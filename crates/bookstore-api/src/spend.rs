//! What tenants spend: budgets and limits before a call, the ledger after it.
//!
//! Owns the policy: whom a limit binds, what is reserved for an attempt, what happens when nobody knows
//! what was spent. Counting is the business of `limits`, writing down that of `spend/ledger.rs`. Knows no
//! header and no status code.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use llm::{Cost, ErrorKind, Gate, LlmError, Plan, ProviderName, Refusal, Usd};
use telemetry::Metrics;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use uuid::Uuid;

use self::gate::{TenantGate, Ticket};
use self::ledger::Ledger;
use crate::limits::{
    self, Bounds, Denial, Epoch, LARGEST, LimitKind, Limits, LimitsError, Rate, Reservation, Reserved, Scope,
    Used,
};
use crate::store::{StoreError, TallyStore};
use crate::tenants::{Tenant, Tenants};

mod gate;
pub mod ledger;

/// Times that it is tried to find out what was spent and to reserve.
const TRIES: u32 = 3;
/// Wait between tries to settle, at first and at most; and how often it is tried.
const SETTLE_AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(20));
const SETTLE_TRIES: u32 = 30;
/// When to ask again where calls under way have reserved what is missing: about as long as one takes.
const HELD_RETRY: Duration = Duration::from_secs(5);
/// When to ask again where it could not be found out what was spent.
const UNKNOWN_RETRY: Duration = Duration::from_secs(5);

/// What budgets count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BudgetsCount {
    /// What was billed: nothing where a simulator answered.
    #[default]
    Billed,
    /// The list price of the same tokens, whoever answered.
    List,
}

impl BudgetsCount {
    /// The name in the settings and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Billed => "billed",
            Self::List => "list",
        }
    }

    const fn of(self, cost: &Cost) -> Option<Usd> {
        match self {
            Self::Billed => cost.billed,
            Self::List => cost.list,
        }
    }
}

/// Tells the time: days and budgets follow it.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// Who may spend what.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The tenants and their limits.
    pub tenants: Tenants,
    /// The limits of all together.
    pub global: Bounds,
    /// What budgets count.
    pub counts: BudgetsCount,
}

impl Policy {
    /// Whether a budget in dollars binds anybody.
    #[must_use]
    pub fn has_budget(&self) -> bool {
        let of = |tenant| self.tenants.bounds(tenant).daily_nanos;
        self.global.daily_nanos.is_some() || self.tenants.all().any(|tenant| of(tenant).is_some())
    }

    /// Whether a budget could not bind calls of this cost, because their price is not known. A simulator in
    /// process costs nothing, whatever it stands for.
    #[must_use]
    pub fn lacks_price(&self, provider: ProviderName, cost: &Cost) -> bool {
        self.has_budget() && provider != ProviderName::Simulated && self.counts.of(cost).is_none()
    }
}

/// What is left of a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitState {
    /// Whose.
    pub scope: Scope,
    /// Which.
    pub kind: LimitKind,
    /// The limit, in the unit of its kind.
    pub limit: u64,
    /// What is left of it.
    pub left: u64,
    /// When it is whole again.
    pub resets_at: DateTime<Utc>,
}

/// What counts.
#[derive(Clone)]
pub struct Counters {
    /// For all instances.
    pub shared: Arc<dyn Limits>,
    /// Counts rates, in this process alone, while `shared` cannot be reached.
    pub offline: Arc<dyn Limits>,
}

/// The use case. Cheap to clone.
#[derive(Clone)]
pub struct Spend(Arc<Inner>);

struct Inner {
    policy: Policy,
    counters: Counters,
    ledger: Ledger,
    /// One at a time reads the ledger for all who wait for it.
    seeding: tokio::sync::Mutex<()>,
    metrics: Metrics,
    clock: Clock,
    tasks: TaskTracker,
    runtime: Handle,
    /// Nothing is waited for any more.
    stopping: CancellationToken,
    /// Everything is settled.
    settled: CancellationToken,
    /// Everything is written down.
    written: CancellationToken,
}

impl Spend {
    /// Binds what is asked through its gates to `policy`, counted by `counters` and written down in `store`.
    /// To be called within a runtime, on which its tasks run.
    #[must_use]
    pub fn new(
        policy: Policy,
        counters: Counters,
        store: Arc<dyn TallyStore>,
        metrics: Metrics,
        clock: Clock,
    ) -> Self {
        let ledger = Ledger::new(store);
        let (tasks, settled, written) =
            (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
        let (writing, done) = (ledger.clone().keep_writing(settled.clone()), written.clone());
        tasks.spawn(async move {
            writing.await;
            done.cancel();
        });
        Self(Arc::new(Inner {
            policy,
            counters,
            ledger,
            seeding: tokio::sync::Mutex::default(),
            metrics,
            clock,
            tasks,
            runtime: Handle::current(),
            stopping: CancellationToken::new(),
            settled,
            written,
        }))
    }

    /// What lets the attempts of one request of `tenant` in, and writes down what they used up.
    #[must_use]
    pub fn gate(&self, tenant: &Tenant) -> Arc<dyn Gate> {
        Arc::new(TenantGate::new(self.clone(), tenant.clone()))
    }

    /// The tenants.
    #[must_use]
    pub fn tenants(&self) -> &Tenants {
        &self.0.policy.tenants
    }

    /// Whether a daily budget binds all tenants together.
    #[must_use]
    pub fn has_global_budget(&self) -> bool {
        self.0.policy.global.daily_nanos.is_some()
    }

    /// What counts against budgets.
    #[must_use]
    pub fn counts(&self) -> BudgetsCount {
        self.0.policy.counts
    }

    /// The day it is.
    #[must_use]
    pub fn today(&self) -> NaiveDate {
        (self.0.clock)().date_naive()
    }

    /// Waits until everything is settled and written down, half of `deadline` for each; what is not settled
    /// by then stays spent as it was reserved.
    pub async fn finish(&self, deadline: Duration) {
        let Inner { tasks, stopping, settled, written, .. } = &*self.0;
        tasks.close();
        stopping.cancel();
        let settling = async {
            // The writer alone is left.
            while tasks.len() > 1 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(deadline / 2, settling).await.is_err() {
            tracing::warn!("calls that could not be settled in time stay spent as they were reserved");
        }
        settled.cancel();
        if tokio::time::timeout(deadline / 2, written.cancelled()).await.is_err() {
            tracing::error!("what was spent last could not be written down in time");
        }
    }

    /// What was spent from a day to another, both included, by one tenant or by all.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn spent(
        &self,
        days: (NaiveDate, NaiveDate),
        tenant: Option<&Tenant>,
    ) -> Result<Vec<(ledger::Account, ledger::Totals)>, StoreError> {
        Ok(self.0.ledger.totals(days, tenant).await?.into_iter().collect())
    }

    /// What is left today of each limit of these tenants, and of all together where `global`. None when that
    /// cannot be found out now.
    pub async fn left(&self, tenants: &[Tenant], global: bool) -> Option<Vec<LimitState>> {
        let tenants = tenants.iter().map(|tenant| Scope::Tenant(tenant.clone()));
        let scopes: Vec<Scope> = tenants.chain(global.then_some(Scope::Global)).collect();
        let scopes: Vec<Scope> = scopes.into_iter().filter(|scope| self.bounds(scope).any()).collect();
        let now = (self.0.clock)();
        let day = now.date_naive();
        let mut levels = self.0.counters.shared.levels(day, &scopes).await;
        if matches!(levels, Ok(None)) {
            self.seed(day).await.ok()?;
            levels = self.0.counters.shared.levels(day, &scopes).await;
        }
        let levels = levels.ok().flatten()?;
        let mut states = Vec::new();
        for (scope, level) in scopes.iter().zip(levels) {
            let bounds = self.bounds(scope);
            let mut add = |kind, limit: Option<u64>, left: &dyn Fn(u64) -> u64, resets_at| {
                if let Some(limit) = limit {
                    states.push(LimitState {
                        scope: scope.clone(),
                        kind,
                        limit,
                        left: left(limit),
                        resets_at,
                    });
                }
            };
            let spent = |limit: u64| limit.saturating_sub(level.spent);
            add(LimitKind::DailyBudget, bounds.daily_nanos, &spent, day_after(day));
            for (kind, limit, until_full) in [
                (LimitKind::TokensPerMinute, bounds.tokens_per_minute, level.tokens),
                (LimitKind::RequestsPerMinute, bounds.requests_per_minute, level.requests),
            ] {
                let micros = u64::try_from(until_full.as_micros()).unwrap_or(u64::MAX);
                add(kind, limit, &|limit| Rate(limit).left(micros), now + until_full);
            }
        }
        Some(states)
    }

    fn bounds(&self, scope: &Scope) -> Bounds {
        match scope {
            Scope::Global => self.0.policy.global,
            Scope::Tenant(tenant) => self.0.policy.tenants.bounds(tenant),
        }
    }

    /// What is to be reserved for an attempt; none where nothing is limited.
    fn plan(&self, day: NaiveDate, tenant: &Tenant, plan: &Plan) -> Result<Option<Reservation>, LlmError> {
        let scopes = [Scope::Tenant(tenant.clone()), Scope::Global];
        let mut bounds =
            scopes.map(|scope| (self.bounds(&scope), scope)).map(|(bounds, scope)| (scope, bounds));
        let budgeted = bounds.iter().any(|(_, bounds)| bounds.daily_nanos.is_some());
        let most = self.0.policy.counts.of(&plan.most_cost);
        let amount = match most {
            _ if !budgeted => 0,
            Some(most) => most.nanos(),
            None if plan.provider == ProviderName::Simulated => 0,
            None => {
                return Err(LlmError::new(
                    ErrorKind::NotAdmitted,
                    format!(
                        "the price of {} of {} is not known, and so no budget can hold it; the operator has to \
                         add it to LLM_PRICES_FILE",
                        plan.model, plan.provider
                    ),
                )
                .with_refusal(Refusal::Unknown));
            }
        };
        if amount == 0 {
            // What costs nothing needs nobody who knows what was spent.
            for (_, bounds) in &mut bounds {
                *bounds = bounds.rates();
            }
        }
        let tokens = plan.most_input_tokens.saturating_add(plan.most_output_tokens);
        Ok(bounds.iter().any(|(_, bounds)| bounds.any()).then(|| Reservation {
            id: Uuid::now_v7(),
            day,
            amount: amount.min(LARGEST),
            tokens,
            bounds: bounds.to_vec(),
        }))
    }

    /// Reserves, after finding out what was spent where need be.
    async fn reserve(&self, tenant: &Tenant, reservation: Reservation) -> Result<Ticket, LlmError> {
        let ticket =
            |epoch, online| Ticket::new(self.clone(), tenant.clone(), reservation.clone(), epoch, online);
        match self.reserve_or_seed(&reservation).await {
            Ok(Reserved::Done(epoch)) => {
                if reservation.amount > 0 {
                    self.0.ledger.hold(reservation.day, tenant, reservation.amount);
                }
                Ok(ticket(epoch, true))
            }
            Ok(Reserved::Denied(denial)) => Err(self.refused(&reservation, &denial)),
            Ok(Reserved::Unseeded) => Err(unknown()),
            Err(error) if reservation.amount > 0 => {
                tracing::warn!(%error, "money is not spent while nobody knows what was");
                // It may have been carried out all the same.
                self.settle(reservation.clone(), None, Used::default());
                Err(unknown())
            }
            Err(error) => {
                tracing::debug!(%error, "rates are counted in this process");
                match self.0.counters.offline.reserve(&reservation).await {
                    Ok(Reserved::Denied(denial)) => Err(self.refused(&reservation, &denial)),
                    _ => Ok(ticket(Epoch::default(), false)),
                }
            }
        }
    }

    async fn reserve_or_seed(&self, reservation: &Reservation) -> Result<Reserved, LimitsError> {
        let mut reserved = self.0.counters.shared.reserve(reservation).await?;
        for _ in 0..TRIES {
            if reserved != Reserved::Unseeded {
                break;
            }
            let _turn = self.0.seeding.lock().await;
            // Another may have seen to it meanwhile.
            reserved = self.0.counters.shared.reserve(reservation).await?;
            if reserved == Reserved::Unseeded {
                self.seed(reservation.day).await?;
                reserved = self.0.counters.shared.reserve(reservation).await?;
            }
        }
        Ok(reserved)
    }

    async fn seed(&self, day: NaiveDate) -> Result<(), LimitsError> {
        tokio::time::sleep(self.0.counters.shared.grace()).await;
        let spent = self.0.ledger.spent(day, self.0.policy.counts).await;
        let spent = spent.map_err(|error| LimitsError::Unavailable(error.to_string()))?;
        self.0.counters.shared.seed(day, &spent).await
    }

    fn refused(&self, reservation: &Reservation, denial: &Denial) -> LlmError {
        let Denial { scope, kind, limit, left, held, wait, whole } = denial;
        self.0.metrics.limit_refused(limits::name(scope, *kind));
        let now = (self.0.clock)();
        let resets_at = whole.map_or_else(|| day_after(reservation.day), |whole| now + whole);
        let whose = match scope {
            Scope::Global => "of all tenants together",
            Scope::Tenant(_) => "of this tenant",
        };
        let until_reset = || (resets_at - now).to_std().unwrap_or_default();
        let (what, wait) = match kind {
            LimitKind::DailyBudget => {
                let dollars = |nanos: u64| format!("${}", Usd::from_nanos(nanos));
                let needed = format!("this call may cost up to {}", dollars(reservation.amount));
                let budget = format!("the budget for today (UTC) {whose} is {}", dollars(*limit));
                if reservation.amount > *limit {
                    // No wait helps: it is told without one.
                    (format!("{budget}, and {needed}: it has to be raised"), None)
                } else if left.saturating_add(*held) >= reservation.amount {
                    let held = dollars(*held);
                    let what = format!(
                        "{budget}; {} is left, calls under way have reserved {held}, and {needed}",
                        dollars(*left)
                    );
                    (what, Some(HELD_RETRY))
                } else {
                    (format!("{budget}; {} is left, and {needed}", dollars(*left)), Some(until_reset()))
                }
            }
            LimitKind::TokensPerMinute => {
                let needed = reservation.tokens;
                let what = format!(
                    "the limit of tokens a minute {whose} is {limit}; {left} are left, and this call may need {needed}"
                );
                (what, Some(wait.unwrap_or_else(until_reset)))
            }
            LimitKind::RequestsPerMinute => {
                let what = format!("the limit of calls a minute {whose} is {limit}; {left} are left");
                (what, Some(wait.unwrap_or_else(until_reset)))
            }
        };
        let detail = match wait {
            Some(wait) => format!("{what}; ask again in {} s", whole_seconds(wait)),
            None => what,
        };
        LlmError::new(ErrorKind::NotAdmitted, detail).with_retry_after(wait).with_refusal(Refusal::Limit {
            scope: scope.as_str(),
            kind: kind.as_str(),
            limit: *limit,
            left: *left,
            resets_at: resets_at.into(),
        })
    }

    /// Settles in the background; tried again while nobody answers, but not for ever: then it stays spent as
    /// it was reserved.
    fn settle(&self, reservation: Reservation, epoch: Option<Epoch>, used: Used) {
        let this = self.clone();
        let settle = async move {
            let Inner { counters, stopping, .. } = &*this.0;
            let mut wait = SETTLE_AGAIN.0;
            for number in 0..SETTLE_TRIES {
                let Err(error) = counters.shared.settle(&reservation, epoch.as_ref(), used).await else {
                    return;
                };
                tracing::debug!(%error, "a call could not be settled");
                let waited = stopping.run_until_cancelled(tokio::time::sleep(wait)).await;
                if waited.is_none() && number > 0 {
                    break;
                }
                wait = (wait * 2).min(SETTLE_AGAIN.1);
            }
            tracing::warn!(nanos = reservation.amount, "a call stays spent as it was reserved");
        };
        self.0.tasks.spawn_on(settle.in_current_span(), &self.0.runtime);
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.0.tasks.spawn_on(work.in_current_span(), &self.0.runtime);
    }
}

/// A wait in seconds that is not too short, as `Retry-After` says it.
fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

fn unknown() -> LlmError {
    LlmError::new(
        ErrorKind::NotAdmitted,
        "what was spent today cannot be found out now, and this call may cost; ask again later",
    )
    .with_retry_after(Some(UNKNOWN_RETRY))
    .with_refusal(Refusal::Unknown)
}

/// The beginning of the next day.
fn day_after(day: NaiveDate) -> DateTime<Utc> {
    day.checked_add_days(Days::new(1)).unwrap_or(day).and_time(NaiveTime::MIN).and_utc()
}
