//! The ledger: what every attempt used up, by day, tenant, provider and model; and what is reserved.
//!
//! A process keeps its own totals in memory and writes them as tallies as soon as they change, as many at
//! a time as have changed while the last were written. It never adds to what is stored, so that a write
//! may be repeated. A kill loses only what was not yet written; what the killed process had reserved then
//! stays in the ledger as held, for good: it may have been spent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use llm::{Attempt, Usd};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::BudgetsCount;
use crate::limits::Scope;
use crate::store::{StoreError, Tally, TallyStore};
use crate::tenants::Tenant;

/// How long totals are kept.
const KEPT: Days = Days::new(400);
/// Least time between two writes: other writes have their turn, and more is written at once.
const PAUSE: Duration = Duration::from_millis(5);
/// Wait after a write that failed, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Times that the last write is tried.
const LAST_TRIES: u32 = 5;
/// What the keys of totals begin with.
const SPENT: &str = "spend";
/// What the keys of reservations begin with.
const HELD: &str = "held";

/// What is counted apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Account {
    /// The day (UTC) on which it was reserved.
    pub day: NaiveDate,
    /// The tenant.
    pub tenant: Tenant,
    /// The provider that was asked.
    pub provider: String,
    /// The model that was asked.
    pub model: String,
    /// Whether a simulator answered.
    pub simulated: bool,
}

impl Account {
    /// The account of an attempt.
    #[must_use]
    pub fn of(day: NaiveDate, tenant: &Tenant, attempt: &Attempt) -> Self {
        Self {
            day,
            tenant: tenant.clone(),
            provider: attempt.provider.as_str().to_owned(),
            model: attempt.model.clone(),
            simulated: attempt.simulated,
        }
    }

    fn key(&self) -> String {
        let Self { day, tenant, provider, model, simulated } = self;
        let model = model.replace('%', "%25").replace('/', "%2F");
        let kind = if *simulated { "simulated" } else { "real" };
        format!("{SPENT}/{day}/{tenant}/{provider}/{model}/{kind}")
    }

    fn parse(key: &str) -> Option<Self> {
        let mut parts = key.strip_prefix(SPENT)?.strip_prefix('/')?.split('/');
        let day = parts.next()?.parse().ok()?;
        let tenant = Tenant::named(parts.next()?)?;
        let provider = parts.next()?.to_owned();
        let model = parts.next()?.replace("%2F", "/").replace("%25", "%");
        let simulated = match parts.next()? {
            "real" => false,
            "simulated" => true,
            _ => return None,
        };
        parts.next().is_none().then_some(Self { day, tenant, provider, model, simulated })
    }
}

/// Totals over attempts. Reported tokens and estimated ones are never added to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Totals {
    /// Attempts that were let in.
    pub calls: u64,
    /// Those of them that failed or were given up.
    pub failed_calls: u64,
    /// Tokens of prompts, as providers reported them.
    pub input_tokens: u64,
    /// Tokens of answers, as providers reported them.
    pub output_tokens: u64,
    /// Those of the prompts' that were read from a provider's cache.
    pub cached_input_tokens: u64,
    /// Tokens of prompts of which no provider said how many there were.
    pub estimated_input_tokens: u64,
    /// The same of answers.
    pub estimated_output_tokens: u64,
    /// Billed, in billionths of a dollar.
    pub billed_nanos: u64,
    /// By list price.
    pub list_nanos: u64,
    /// Attempts whose bill is not known, for want of a price.
    pub unpriced_calls: u64,
    /// Attempts whose list price is not known.
    pub unlisted_calls: u64,
    /// Reserved and not settled.
    #[serde(skip_serializing_if = "is_zero")]
    held_nanos: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde wants it")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Totals {
    fn of(attempt: &Attempt) -> Self {
        let usage = attempt.usage.unwrap_or_default();
        let (reported, estimated) = if usage.reported { (1, 0) } else { (0, 1) };
        let nanos = |cost: Option<Usd>| cost.map_or(0, Usd::nanos);
        Self {
            calls: 1,
            failed_calls: u64::from(attempt.error.is_some()),
            input_tokens: reported * usage.input,
            output_tokens: reported * usage.output,
            cached_input_tokens: reported * usage.cached_input,
            estimated_input_tokens: estimated * usage.input,
            estimated_output_tokens: estimated * usage.output,
            billed_nanos: nanos(attempt.cost.billed),
            list_nanos: nanos(attempt.cost.list),
            unpriced_calls: u64::from(attempt.cost.billed.is_none()),
            unlisted_calls: u64::from(attempt.cost.list.is_none()),
            held_nanos: 0,
        }
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            failed_calls: self.failed_calls.saturating_add(other.failed_calls),
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            cached_input_tokens: self.cached_input_tokens.saturating_add(other.cached_input_tokens),
            estimated_input_tokens: self.estimated_input_tokens.saturating_add(other.estimated_input_tokens),
            estimated_output_tokens: self
                .estimated_output_tokens
                .saturating_add(other.estimated_output_tokens),
            billed_nanos: self.billed_nanos.saturating_add(other.billed_nanos),
            list_nanos: self.list_nanos.saturating_add(other.list_nanos),
            unpriced_calls: self.unpriced_calls.saturating_add(other.unpriced_calls),
            unlisted_calls: self.unlisted_calls.saturating_add(other.unlisted_calls),
            held_nanos: self.held_nanos.saturating_add(other.held_nanos),
        }
    }

    const fn counted(&self, counts: BudgetsCount) -> u64 {
        match counts {
            BudgetsCount::Billed => self.billed_nanos,
            BudgetsCount::List => self.list_nanos,
        }
    }
}

/// What a total is of. In the order of writing: whoever dies in between has counted twice, not never.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Spent(Account),
    Held(NaiveDate, Tenant),
}

impl Key {
    const fn day(&self) -> NaiveDate {
        match self {
            Self::Spent(account) => account.day,
            Self::Held(day, _) => *day,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Spent(account) => account.key(),
            Self::Held(day, tenant) => format!("{HELD}/{day}/{tenant}"),
        }
    }
}

#[derive(Default)]
struct Entry {
    totals: Totals,
    /// How often it has changed.
    changes: u64,
}

#[derive(Default)]
struct Counted {
    entries: BTreeMap<Key, Entry>,
    unwritten: BTreeSet<Key>,
    serial: u64,
}

impl Counted {
    fn change(&mut self, key: Key, change: impl FnOnce(&mut Totals)) {
        let entry = self.entries.entry(key.clone()).or_default();
        change(&mut entry.totals);
        entry.changes += 1;
        self.unwritten.insert(key);
    }
}

/// The ledger. Cheap to clone.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    store: Arc<dyn TallyStore>,
    writer: Uuid,
    counted: Mutex<Counted>,
    changed: Notify,
    writing: tokio::sync::Mutex<()>,
}

impl Ledger {
    /// The ledger in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn TallyStore>) -> Self {
        Self(Arc::new(Inner {
            store,
            writer: Uuid::now_v7(),
            counted: Mutex::default(),
            changed: Notify::new(),
            writing: tokio::sync::Mutex::default(),
        }))
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.0.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is reserved from now on.
    pub fn hold(&self, day: NaiveDate, tenant: &Tenant, nanos: u64) {
        self.counted().change(Key::Held(day, tenant.clone()), |totals| {
            totals.held_nanos = totals.held_nanos.saturating_add(nanos);
        });
        self.0.changed.notify_one();
    }

    /// Something is reserved no more.
    pub fn release(&self, day: NaiveDate, tenant: &Tenant, nanos: u64) {
        if nanos == 0 {
            return;
        }
        self.counted().change(Key::Held(day, tenant.clone()), |totals| {
            totals.held_nanos = totals.held_nanos.saturating_sub(nanos);
        });
        self.0.changed.notify_one();
    }

    /// Writes an attempt down that has ended. Before what it had reserved is released.
    pub fn count(&self, account: Account, attempt: &Attempt) {
        self.counted().change(Key::Spent(account), |totals| *totals = totals.plus(Totals::of(attempt)));
        self.0.changed.notify_one();
    }

    /// Writes what has changed, until `done`; then what is left.
    pub async fn keep_writing(self, done: CancellationToken) {
        while done.run_until_cancelled(self.0.changed.notified()).await.is_some() {
            let mut wait = RETRY.0;
            while let Err(error) = self.write().await {
                tracing::warn!(%error, "what was spent could not be written; it is tried again");
                if done.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                    break;
                }
                wait = (wait * 2).min(RETRY.1);
            }
            let _ = done.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
        }
        for _ in 0..LAST_TRIES {
            match self.write().await {
                Ok(()) => return,
                Err(error) => tracing::error!(%error, "what was spent could not be written at the end"),
            }
            tokio::time::sleep(RETRY.0).await;
        }
    }

    /// Writes what has changed so far. May be dropped half-way.
    async fn write(&self) -> Result<(), StoreError> {
        let _turn = self.0.writing.lock().await;
        let (tallies, changes) = self.unwritten();
        if tallies.is_empty() {
            return Ok(());
        }
        self.0.store.keep_tallies(tallies).await?;
        let mut counted = self.counted();
        for (key, changes) in changes {
            if counted.entries.get(&key).is_some_and(|entry| entry.changes == changes) {
                counted.unwritten.remove(&key);
            }
        }
        // No call lasts so long that anything would still be booked to older days.
        let newest = counted.entries.keys().map(Key::day).max();
        if let Some(oldest) = newest.and_then(|newest| newest.checked_sub_days(Days::new(1))) {
            let Counted { entries, unwritten, .. } = &mut *counted;
            entries.retain(|key, _| key.day() >= oldest || unwritten.contains(key));
        }
        Ok(())
    }

    /// The tallies to be written, and how often each of them had changed.
    fn unwritten(&self) -> (Vec<Tally>, Vec<(Key, u64)>) {
        let mut counted = self.counted();
        counted.serial += 1;
        let Counted { entries, unwritten, serial } = &*counted;
        let (mut tallies, mut changes) = (Vec::new(), Vec::new());
        for key in unwritten {
            let Some(entry) = entries.get(key) else { continue };
            // Numbers alone always can be written.
            let Ok(document) = serde_json::to_string(&entry.totals) else { continue };
            tallies.push(Tally {
                key: key.text(),
                writer: self.0.writer,
                serial: *serial,
                document,
                expires_at: expiry(key.day()),
            });
            changes.push((key.clone(), entry.changes));
        }
        (tallies, changes)
    }

    /// What was spent on a day by all processes, what is reserved included: by tenant, and in all.
    ///
    /// # Errors
    /// When the store cannot be read, or what this process has counted cannot be written first.
    pub async fn spent(&self, day: NaiveDate, counts: BudgetsCount) -> Result<Vec<(Scope, u64)>, StoreError> {
        self.write().await?;
        // In this order: what is settled in between is counted twice, not never.
        let held = self.0.store.tallies(&format!("{HELD}/{day}/")).await?;
        let spent = self.0.store.tallies(&format!("{SPENT}/{day}/")).await?;
        let mut by_scope: BTreeMap<Scope, u64> = BTreeMap::from([(Scope::Global, 0)]);
        for tally in held.iter().chain(&spent) {
            let totals = totals(tally)?;
            let nanos = totals.held_nanos.saturating_add(totals.counted(counts));
            let tenant = tally.key.split('/').nth(2).and_then(Tenant::named);
            for scope in std::iter::once(Scope::Global).chain(tenant.map(Scope::Tenant)) {
                let sum = by_scope.entry(scope).or_default();
                *sum = sum.saturating_add(nanos);
            }
        }
        Ok(by_scope.into_iter().collect())
    }

    /// The totals over all processes from a day to another, both included; of one tenant or of all.
    ///
    /// # Errors
    /// As [`Ledger::spent`].
    pub async fn totals(
        &self,
        (from, to): (NaiveDate, NaiveDate),
        tenant: Option<&Tenant>,
    ) -> Result<BTreeMap<Account, Totals>, StoreError> {
        self.write().await?;
        let mut sums: BTreeMap<Account, Totals> = BTreeMap::new();
        for day in from.iter_days().take_while(|day| *day <= to) {
            let prefix = match tenant {
                Some(tenant) => format!("{SPENT}/{day}/{tenant}/"),
                None => format!("{SPENT}/{day}/"),
            };
            for tally in self.0.store.tallies(&prefix).await? {
                let account = Account::parse(&tally.key)
                    .ok_or_else(|| StoreError::Corrupt(format!("a tally has the key {:?}", tally.key)))?;
                let sum = sums.entry(account).or_default();
                *sum = sum.plus(totals(&tally)?);
            }
        }
        Ok(sums)
    }
}

fn totals(tally: &Tally) -> Result<Totals, StoreError> {
    serde_json::from_str(&tally.document).map_err(|error| StoreError::Corrupt(error.to_string()))
}

fn expiry(day: NaiveDate) -> DateTime<Utc> {
    day.checked_add_days(KEPT).unwrap_or(day).and_time(NaiveTime::MIN).and_utc()
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::Account;
    use crate::tenants::Tenant;

    #[test]
    fn an_account_is_its_key_whatever_its_model_is_named() {
        for model in ["gpt-4o", "meta-llama/Llama-3.1%2F", "a%/b%25", "llama3.2:latest", "", "模型"] {
            let account = Account {
                day: NaiveDate::from_ymd_opt(2026, 11, 21).unwrap(),
                tenant: Tenant::named("acme").unwrap(),
                provider: "openai".to_owned(),
                model: model.to_owned(),
                simulated: model.is_empty(),
            };
            let key = account.key();
            assert!(key.starts_with("spend/2026-11-21/acme/openai/"), "{key}");
            assert_eq!(Account::parse(&key).unwrap(), account);
        }
        for wrong in [
            "",
            "spend/",
            "spend/2026-11-21/acme/x/y",
            "spend/2026-11-21/acme/x/y/real/z",
            "held/2026-11-21/a/b/c/real",
        ] {
            assert_eq!(Account::parse(wrong), None, "{wrong}");
        }
    }
}
