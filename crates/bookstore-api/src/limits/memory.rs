//! Limits counted in this process: for a service that has no Redis. They bind no other process.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{Days, NaiveDate};
use uuid::Uuid;

use super::{
    Bounds, Denial, Epoch, Level, LimitKind, Limits, LimitsError, Rate, Reservation, Reserved, Scope, Used,
};

/// Days before the present one of which something may still be settled.
const DAYS_BEFORE: Days = Days::new(1);

/// Limits of this process.
pub struct MemoryLimits {
    began: Instant,
    counted: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    days: BTreeMap<NaiveDate, Day>,
    /// When each bucket is full again, in microseconds since this began. Tenants are configured, so there
    /// are no more than those.
    full_at: HashMap<(Scope, LimitKind), u64>,
}

#[derive(Default)]
struct Day {
    seeded: bool,
    /// What was spent, and what is reserved.
    spent: HashMap<Scope, u64>,
    /// What of it is reserved.
    held: HashMap<Scope, u64>,
    open: HashSet<Uuid>,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self { began: Instant::now(), counted: Mutex::default() }
    }
}

impl MemoryLimits {
    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

impl Counted {
    fn until_full(&self, scope: &Scope, kind: LimitKind, now: u64) -> u64 {
        self.full_at.get(&(scope.clone(), kind)).map_or(0, |full| full.saturating_sub(now))
    }

    fn spent(&self, day: NaiveDate, scope: &Scope) -> u64 {
        self.days.get(&day).and_then(|day| day.spent.get(scope)).copied().unwrap_or(0)
    }

    fn held(&self, day: NaiveDate, scope: &Scope) -> u64 {
        self.days.get(&day).and_then(|day| day.held.get(scope)).copied().unwrap_or(0)
    }

    fn denial(&self, reservation: &Reservation, now: u64) -> Option<Denial> {
        for (scope, bounds) in &reservation.bounds {
            let spent = self.spent(reservation.day, scope);
            if let Some(limit) = bounds.daily_nanos
                && reservation.amount > 0
                && spent.saturating_add(reservation.amount) > limit
            {
                return Some(Denial {
                    scope: scope.clone(),
                    kind: LimitKind::DailyBudget,
                    limit,
                    left: limit.saturating_sub(spent),
                    held: self.held(reservation.day, scope),
                    wait: None,
                    whole: None,
                });
            }
            for (kind, limit, count) in rates(bounds, reservation.tokens) {
                let until_full = self.until_full(scope, kind, now);
                if let Some(wait) = Rate(limit).wait(until_full, count) {
                    return Some(Denial {
                        scope: scope.clone(),
                        kind,
                        limit,
                        left: Rate(limit).left(until_full),
                        held: 0,
                        wait: Some(wait),
                        whole: Some(Duration::from_micros(until_full)),
                    });
                }
            }
        }
        None
    }
}

/// The rates of a scope, and what a reservation takes of each.
fn rates(bounds: &Bounds, tokens: u64) -> impl Iterator<Item = (LimitKind, u64, u64)> {
    let tokens = bounds.tokens_per_minute.map(|limit| (LimitKind::TokensPerMinute, limit, tokens));
    let requests = bounds.requests_per_minute.map(|limit| (LimitKind::RequestsPerMinute, limit, 1));
    tokens.into_iter().chain(requests)
}

#[async_trait]
impl Limits for MemoryLimits {
    async fn reserve(&self, reservation: &Reservation) -> Result<Reserved, LimitsError> {
        let now = self.now();
        let mut counted = self.counted();
        let day = counted.days.entry(reservation.day).or_default();
        if day.open.contains(&reservation.id) {
            return Ok(Reserved::Done(Epoch::default()));
        }
        let budgeted = reservation.bounds.iter().any(|(_, bounds)| bounds.daily_nanos.is_some());
        if budgeted && !day.seeded {
            return Ok(Reserved::Unseeded);
        }
        if let Some(denial) = counted.denial(reservation, now) {
            return Ok(Reserved::Denied(denial));
        }
        for (scope, bounds) in &reservation.bounds {
            for (kind, limit, count) in rates(bounds, reservation.tokens) {
                let full_at = counted.full_at.entry((scope.clone(), kind)).or_default();
                *full_at = (*full_at).max(now).saturating_add(Rate(limit).time_of(count));
            }
        }
        if let Some(oldest) = reservation.day.checked_sub_days(DAYS_BEFORE) {
            counted.days.retain(|day, _| *day >= oldest);
        }
        let day = counted.days.entry(reservation.day).or_default();
        for (scope, _) in &reservation.bounds {
            let spent = day.spent.entry(scope.clone()).or_default();
            *spent = spent.saturating_add(reservation.amount);
            let held = day.held.entry(scope.clone()).or_default();
            *held = held.saturating_add(reservation.amount);
        }
        day.open.insert(reservation.id);
        Ok(Reserved::Done(Epoch::default()))
    }

    async fn settle(
        &self,
        reservation: &Reservation,
        _epoch: Option<&Epoch>,
        used: Used,
    ) -> Result<(), LimitsError> {
        let mut counted = self.counted();
        let Some(day) = counted.days.get_mut(&reservation.day) else { return Ok(()) };
        if !day.open.remove(&reservation.id) {
            return Ok(());
        }
        for (scope, _) in &reservation.bounds {
            if let Some(spent) = day.spent.get_mut(scope) {
                *spent = spent.saturating_sub(reservation.amount).saturating_add(used.amount);
            }
            if let Some(held) = day.held.get_mut(scope) {
                *held = held.saturating_sub(reservation.amount);
            }
        }
        for (scope, bounds) in &reservation.bounds {
            let key = (scope.clone(), LimitKind::TokensPerMinute);
            if let (Some(limit), Some(full_at)) = (bounds.tokens_per_minute, counted.full_at.get_mut(&key)) {
                let rate = Rate(limit);
                let (reserved, used) = (rate.time_of(reservation.tokens), rate.time_of(used.tokens));
                *full_at = full_at.saturating_sub(reserved).saturating_add(used);
            }
        }
        Ok(())
    }

    fn grace(&self) -> Duration {
        // Nobody else counts here.
        Duration::ZERO
    }

    async fn seed(&self, day: NaiveDate, spent: &[(Scope, u64)]) -> Result<(), LimitsError> {
        let mut counted = self.counted();
        let day = counted.days.entry(day).or_default();
        if !day.seeded {
            day.seeded = true;
            day.spent = spent.iter().cloned().collect();
        }
        Ok(())
    }

    async fn levels(&self, day: NaiveDate, scopes: &[Scope]) -> Result<Option<Vec<Level>>, LimitsError> {
        let now = self.now();
        let counted = self.counted();
        if !counted.days.get(&day).is_some_and(|day| day.seeded) {
            return Ok(None);
        }
        let level = |scope: &Scope| Level {
            spent: counted.spent(day, scope),
            tokens: Duration::from_micros(counted.until_full(scope, LimitKind::TokensPerMinute, now)),
            requests: Duration::from_micros(counted.until_full(scope, LimitKind::RequestsPerMinute, now)),
        };
        Ok(Some(scopes.iter().map(level).collect()))
    }
}
