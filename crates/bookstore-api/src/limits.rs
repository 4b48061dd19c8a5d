//! The limits port: what tenants, and all of them together, may still spend.
//!
//! Owns the trait, the arithmetic of rates, and what a denial says. Reserving spends an estimate, settling
//! gives back what was too much: whoever dies in between leaves the estimate as spent. Knows no provider,
//! no price and no ledger; who reserves brings what the ledger knows when nothing is known here ([`Reserved::Unseeded`]).

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use chrono::NaiveDate;
use uuid::Uuid;

use crate::tenants::Tenant;

pub mod memory;
pub mod redis;

/// Microseconds of a minute: what fits into a full bucket.
const MINUTE: u64 = 60_000_000;
/// The largest amount: Lua counts in doubles, which are exact up to 2^53.
pub const LARGEST: u64 = 1 << 52;

/// For whom a limit holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// All tenants together.
    Global,
    /// One of them.
    Tenant(Tenant),
}

impl Scope {
    /// Its kind, as answers name it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Tenant(_) => "tenant",
        }
    }
}

impl fmt::Display for Scope {
    /// Different for each: what adapters count under.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => formatter.write_str("global"),
            Self::Tenant(tenant) => write!(formatter, "tenant:{tenant}"),
        }
    }
}

/// What a limit limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitKind {
    /// Billionths of a dollar a day (UTC).
    DailyBudget,
    /// Tokens a minute, of prompts and answers.
    TokensPerMinute,
    /// Calls of providers a minute; each attempt is one.
    RequestsPerMinute,
}

impl LimitKind {
    /// The name in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DailyBudget => "daily_budget_usd",
            Self::TokensPerMinute => "tokens_per_minute",
            Self::RequestsPerMinute => "requests_per_minute",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::DailyBudget, Self::TokensPerMinute, Self::RequestsPerMinute];
        all.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// The names of all limits that there are in metrics.
pub const NAMES: [&str; 6] = [
    "tenant_budget",
    "tenant_tokens",
    "tenant_requests",
    "global_budget",
    "global_tokens",
    "global_requests",
];

/// A limit's name in metrics: never a tenant's.
#[must_use]
pub const fn name(scope: &Scope, kind: LimitKind) -> &'static str {
    match (scope, kind) {
        (Scope::Global, LimitKind::DailyBudget) => "global_budget",
        (Scope::Global, LimitKind::TokensPerMinute) => "global_tokens",
        (Scope::Global, LimitKind::RequestsPerMinute) => "global_requests",
        (Scope::Tenant(_), LimitKind::DailyBudget) => "tenant_budget",
        (Scope::Tenant(_), LimitKind::TokensPerMinute) => "tenant_tokens",
        (Scope::Tenant(_), LimitKind::RequestsPerMinute) => "tenant_requests",
    }
}

/// The limits of one scope. None is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Billionths of a dollar a day.
    pub daily_nanos: Option<u64>,
    /// Tokens a minute.
    pub tokens_per_minute: Option<u64>,
    /// Calls a minute.
    pub requests_per_minute: Option<u64>,
}

impl Bounds {
    /// Without the budget: for what costs nothing.
    #[must_use]
    pub const fn rates(self) -> Self {
        Self { daily_nanos: None, ..self }
    }

    /// Whether anything is limited.
    #[must_use]
    pub const fn any(&self) -> bool {
        self.daily_nanos.is_some() || self.tokens_per_minute.is_some() || self.requests_per_minute.is_some()
    }
}

/// What is to be spent at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Its own; never used twice.
    pub id: Uuid,
    /// The day that it is booked to, also when it is settled on the next.
    pub day: NaiveDate,
    /// Billionths of a dollar, at most [`LARGEST`].
    pub amount: u64,
    /// Tokens.
    pub tokens: u64,
    /// Whose limits it has to keep to; all of them or none is charged.
    pub bounds: Vec<(Scope, Bounds)>,
}

/// What was really spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Billionths of a dollar.
    pub amount: u64,
    /// Tokens.
    pub tokens: u64,
}

/// Names the counters that a reservation was counted in: those that replace them after a loss have
/// another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epoch(pub String);

/// What came of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// It is spent. The same id is spent once.
    Done(Epoch),
    /// A limit does not allow it; nothing was spent.
    Denied(Denial),
    /// What was spent that day is not known here: [`Limits::seed`], then again.
    Unseeded,
}

/// Which limit does not allow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Whose.
    pub scope: Scope,
    /// Which.
    pub kind: LimitKind,
    /// The limit, in the unit of its kind.
    pub limit: u64,
    /// What is left of it.
    pub left: u64,
    /// What of the rest calls under way have reserved, and mostly give back when they end. Of budgets only.
    pub held: u64,
    /// When it may be tried again, for rates. A budget is whole on the next day.
    pub wait: Option<Duration>,
    /// When the limit is whole again; none: on the next day.
    pub whole: Option<Duration>,
}

/// What is used up of a scope's limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// Billionths of a dollar that day.
    pub spent: u64,
    /// Time after which all tokens of a minute may be used again.
    pub tokens: Duration,
    /// The same for calls.
    pub requests: Duration,
}

/// How a limits operation can fail.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LimitsError {
    /// Who counts cannot be reached, or not in time.
    #[error("what was spent cannot be found out: {0}")]
    Unavailable(String),
}

impl LimitsError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
        }
    }
}

/// Who counts. Each operation ends within a deadline of the adapter's, and may be repeated when its answer
/// was lost.
#[async_trait]
pub trait Limits: Send + Sync {
    /// Spends an estimate, unless a limit does not allow it. What costs nothing no budget forbids.
    async fn reserve(&self, reservation: &Reservation) -> Result<Reserved, LimitsError>;
    /// Corrects an estimate to what was used. `epoch` is where it was counted, if that is known. Without
    /// effect on what was settled before, or never reserved.
    async fn settle(
        &self,
        reservation: &Reservation,
        epoch: Option<&Epoch>,
        used: Used,
    ) -> Result<(), LimitsError>;
    /// How long whoever is to say what was spent should wait before reading the ledger: others who count here
    /// may just be writing into it what they had reserved before it was forgotten here.
    fn grace(&self) -> Duration;
    /// Says what was spent on a day, unless that is known by now.
    async fn seed(&self, day: NaiveDate, spent: &[(Scope, u64)]) -> Result<(), LimitsError>;
    /// What is used up of each of these; none when what was spent that day is not known here.
    async fn levels(&self, day: NaiveDate, scopes: &[Scope]) -> Result<Option<Vec<Level>>, LimitsError>;
}

/// A rate: as many a minute, all of them at once at most. A bucket is kept as the moment at which it will
/// be full again (the generic cell rate algorithm), so that one number says all and time refills it.
#[derive(Clone, Copy, Debug)]
pub struct Rate(pub u64);

impl Rate {
    /// Microseconds that it takes to refill what `count` take out, rounded up.
    #[must_use]
    pub fn time_of(self, count: u64) -> u64 {
        let time = u128::from(count) * u128::from(MINUTE);
        u64::try_from(time.div_ceil(u128::from(self.0.max(1)))).unwrap_or(u64::MAX).min(LARGEST)
    }

    /// How many can be taken out of a bucket that is full again after so many microseconds.
    #[must_use]
    pub fn left(self, until_full: u64) -> u64 {
        let left = u128::from(MINUTE.saturating_sub(until_full)) * u128::from(self.0) / u128::from(MINUTE);
        u64::try_from(left).unwrap_or(u64::MAX)
    }

    /// How long to wait until `count` may be taken; none when they may be now. What is more than a minute's
    /// worth waits for a full bucket and leaves a debt: small limits make large requests rare, not
    /// impossible.
    #[must_use]
    pub fn wait(self, until_full: u64, count: u64) -> Option<Duration> {
        let needed = self.time_of(count).min(MINUTE);
        let wait = until_full.saturating_add(needed).saturating_sub(MINUTE);
        (wait > 0).then(|| Duration::from_micros(wait))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{LARGEST, MINUTE, Rate};

    #[test]
    fn a_rate_refills_over_a_minute() {
        let rate = Rate(60);
        assert_eq!((rate.time_of(1), rate.time_of(60), rate.left(0)), (1_000_000, MINUTE, 60));
        assert_eq!((rate.left(1), rate.left(MINUTE), rate.left(2 * MINUTE)), (59, 0, 0));
        assert_eq!(rate.wait(0, 60), None);
        assert_eq!(rate.wait(59_000_000, 1), None);
        assert_eq!(rate.wait(59_000_001, 1), Some(Duration::from_micros(1)));
        assert_eq!(rate.wait(MINUTE, 5), Some(Duration::from_secs(5)));
        // More than ever fits waits for a full bucket.
        assert_eq!((rate.wait(0, 1_000), rate.wait(1, 1_000)), (None, Some(Duration::from_micros(1))));
    }

    #[test]
    fn no_figure_overflows() {
        assert_eq!(Rate(1).time_of(u64::MAX), LARGEST);
        assert_eq!(Rate(u64::MAX).left(0), u64::MAX);
        assert!(Rate(1).wait(u64::MAX, u64::MAX).is_some());
        assert_eq!(Rate(0).time_of(1), MINUTE);
    }
}
