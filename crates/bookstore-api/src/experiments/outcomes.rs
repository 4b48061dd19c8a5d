//! What came of the arms of experiments: counted in memory, kept as tallies, summed over all processes.
//!
//! Counted are calls: who shares a call or finds a summary says nothing new about its arm. Knows no HTTP;
//! the figures are turned into intervals here, by `statistics`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{Days, Utc};
use llm::{Arm, Attempt, TokenUsage, Usd};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::providers::Route;
use crate::store::{StoreError, Tally, TallyStore};
use crate::summaries::{milliseconds, spent};

/// What the keys of tallies begin with.
const PREFIX: &str = "experiment";
/// How long they are kept after the last write.
const KEPT: Days = Days::new(400);
/// Least time between two writes.
const PAUSE: Duration = Duration::from_millis(500);
/// Wait after a write that failed.
const RETRY: Duration = Duration::from_secs(5);
/// The level of all intervals.
pub const LEVEL: f64 = 0.95;
/// How much wider each bin of latencies is than the one before: what the median is exact to.
const BIN_RATIO: f64 = 1.02;
/// Upper end of the first bin, in milliseconds.
const FIRST_BIN: f64 = 0.1;

/// What is counted apart: an arm as it is defined now. One that is changed begins anew.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject(String);

impl Subject {
    /// The arm of a route; nothing for a route of none.
    #[must_use]
    pub fn of(route: &Route) -> Option<Self> {
        let Arm { experiment, arm } = route.arm.as_deref()?;
        let model = route.model.replace('%', "%25").replace('/', "%2F");
        let (provider, version) = (route.provider, route.prompt_version);
        Some(Self(format!("{PREFIX}/{experiment}/{arm}/{provider}/{model}/{version}")))
    }
}

/// Values of which the number, the sum and the sum of the squares are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// How many.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// The sum of their squares.
    pub squares: f64,
}

impl Sample {
    fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.squares += value * value;
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.squares += other.squares;
    }

    /// The mean with its interval.
    #[must_use]
    pub fn mean(&self) -> Option<Estimate> {
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        let value = (self.count > 0).then(|| self.sum / self.count as f64)?;
        let interval = statistics::intervals::mean(self.count, self.sum, self.squares, LEVEL);
        Some(Estimate { value, interval })
    }
}

/// A figure and its interval, where there is enough to know one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// Its interval at [`LEVEL`].
    pub interval: Option<(f64, f64)>,
}

/// What came of an arm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Outcomes {
    /// Answers, those that were there already or were shared among them.
    pub answers: u64,
    /// Calls that ended well.
    pub calls: u64,
    /// Calls that came to nothing, those apart that our own limits did not let in.
    pub errors: u64,
    /// Calls that everybody had gone away from before they ended.
    pub abandoned: u64,
    /// Milliseconds of calls that ended well, all attempts in all.
    pub latency: Sample,
    /// The same, counted in bins.
    bins: BTreeMap<u16, u64>,
    /// Dollars billed for a call, however it ended, as far as they are known.
    pub billed: Sample,
    /// By list price.
    pub list: Sample,
    /// Tokens of prompts.
    pub input_tokens: u64,
    /// Tokens of answers.
    pub output_tokens: u64,
    /// Those of both that were estimated.
    pub estimated_tokens: u64,
}

impl Outcomes {
    fn call(&mut self, failed: bool, latency: Duration, attempts: &[Attempt]) {
        if failed {
            self.errors += 1;
        } else {
            self.calls += 1;
            let latency = milliseconds(latency);
            self.latency.add(latency);
            *self.bins.entry(bin(latency)).or_default() += 1;
        }
        self.spent(attempts);
    }

    fn spent(&mut self, attempts: &[Attempt]) {
        let cost = spent::cost(attempts);
        for (sample, dollars) in [(&mut self.billed, cost.billed), (&mut self.list, cost.list)] {
            if let Some(dollars) = dollars.map(Usd::dollars) {
                sample.add(dollars);
            }
        }
        for TokenUsage { input, output, reported, .. } in attempts.iter().filter_map(|attempt| attempt.usage)
        {
            self.input_tokens += input;
            self.output_tokens += output;
            self.estimated_tokens += if reported { 0 } else { input + output };
        }
    }

    fn merge(&mut self, other: &Self) {
        self.answers += other.answers;
        self.calls += other.calls;
        self.errors += other.errors;
        self.abandoned += other.abandoned;
        self.latency.merge(&other.latency);
        for (bin, count) in &other.bins {
            *self.bins.entry(*bin).or_default() += count;
        }
        self.billed.merge(&other.billed);
        self.list.merge(&other.list);
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
        self.estimated_tokens += other.estimated_tokens;
    }

    /// The median of the latency, with its interval.
    #[must_use]
    pub fn median_latency(&self) -> Option<Estimate> {
        let bins: Vec<(f64, u64)> = self.bins.iter().map(|(bin, count)| (middle(*bin), *count)).collect();
        let (value, interval) = statistics::intervals::binned_quantile(&bins, 0.5, LEVEL)?;
        Some(Estimate { value, interval: Some(interval) })
    }

    /// The part of calls that came to nothing, with its interval.
    #[must_use]
    pub fn error_rate(&self) -> Option<Estimate> {
        let all = self.calls + self.errors;
        let interval = statistics::intervals::wilson(self.errors, all, LEVEL)?;
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        let value = self.errors as f64 / all as f64;
        Some(Estimate { value, interval: Some(interval) })
    }
}

/// The bin of a latency in milliseconds.
fn bin(latency: f64) -> u16 {
    let place = (latency.max(FIRST_BIN) / FIRST_BIN).ln() / BIN_RATIO.ln();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it saturates, and is not negative"
    )]
    let bin = place.round() as u16;
    bin
}

/// The latency that stands for a bin.
fn middle(bin: u16) -> f64 {
    FIRST_BIN * BIN_RATIO.powi(i32::from(bin))
}

/// The books of this process, and through the store those of all. Cheap to clone.
#[derive(Clone)]
pub struct Record(Arc<Inner>);

struct Inner {
    store: Arc<dyn TallyStore>,
    writer: Uuid,
    counted: Mutex<Counted>,
    changed: Notify,
    writing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Counted {
    own: BTreeMap<Subject, Outcomes>,
    unwritten: BTreeSet<Subject>,
    serial: u64,
}

impl Record {
    /// Counts, and writes to `store` in a task of `tasks` until `stop`; what is left is for [`Record::write`].
    #[must_use]
    pub fn new(store: Arc<dyn TallyStore>, tasks: &TaskTracker, stop: CancellationToken) -> Self {
        let this = Self(Arc::new(Inner {
            store,
            writer: Uuid::now_v7(),
            counted: Mutex::default(),
            changed: Notify::new(),
            writing: tokio::sync::Mutex::default(),
        }));
        let writing = this.clone();
        tasks.spawn(async move { stop.run_until_cancelled(writing.keep_writing()).await });
        this
    }

    async fn keep_writing(&self) {
        loop {
            self.0.changed.notified().await;
            tokio::time::sleep(PAUSE).await;
            while let Err(error) = self.write().await {
                tracing::warn!(%error, "the outcomes of experiments could not be kept; it is tried again");
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.0.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, route: &Route, change: impl FnOnce(&mut Outcomes)) {
        let Some(subject) = Subject::of(route) else { return };
        let mut counted = self.counted();
        change(counted.own.entry(subject.clone()).or_default());
        counted.unwritten.insert(subject);
        drop(counted);
        self.0.changed.notify_one();
    }

    /// A call of an arm ended.
    pub fn call(&self, route: &Route, failed: bool, latency: Duration, attempts: &[Attempt]) {
        self.change(route, |outcomes| outcomes.call(failed, latency, attempts));
    }

    /// A call of an arm was given up, because nobody waited for it any more.
    pub fn abandoned(&self, route: &Route, attempts: &[Attempt]) {
        self.change(route, |outcomes| {
            outcomes.abandoned += 1;
            outcomes.spent(attempts);
        });
    }

    /// A request of an arm was answered.
    pub fn answered(&self, route: &Route) {
        self.change(route, |outcomes| outcomes.answers += 1);
    }

    /// Writes what has changed.
    ///
    /// # Errors
    /// When the store cannot be written; it is written the next time.
    pub async fn write(&self) -> Result<(), StoreError> {
        let _turn = self.0.writing.lock().await;
        let (subjects, tallies) = {
            let mut counted = self.counted();
            counted.serial += 1;
            let serial = counted.serial;
            let subjects = std::mem::take(&mut counted.unwritten);
            let expires_at = Utc::now().checked_add_days(KEPT).unwrap_or_else(Utc::now);
            let tally = |subject: &Subject| {
                // Numbers alone always can be written.
                let document = serde_json::to_string(counted.own.get(subject)?).ok()?;
                Some(Tally { key: subject.0.clone(), writer: self.0.writer, serial, document, expires_at })
            };
            let tallies: Vec<Tally> = subjects.iter().filter_map(tally).collect();
            (subjects, tallies)
        };
        if tallies.is_empty() {
            return Ok(());
        }
        let result = self.0.store.keep_tallies(tallies).await;
        if result.is_err() {
            self.counted().unwritten.extend(subjects);
        }
        result
    }

    /// What came of an arm, over all processes.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn outcomes(&self, route: &Route) -> Result<Outcomes, StoreError> {
        let Some(subject) = Subject::of(route) else { return Ok(Outcomes::default()) };
        let mut sum = self.counted().own.get(&subject).cloned().unwrap_or_default();
        for tally in self.0.store.tallies(&subject.0).await? {
            // This process knows its own better than the store.
            if tally.key == subject.0 && tally.writer != self.0.writer {
                let outcomes: Outcomes = serde_json::from_str(&tally.document)
                    .map_err(|error| StoreError::Corrupt(error.to_string()))?;
                sum.merge(&outcomes);
            }
        }
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use llm::{Attempt, Cost, ProviderName, TokenUsage, Usd};

    use super::Outcomes;

    fn attempt(dollars: Option<f64>, reported: bool) -> Attempt {
        let usd = dollars.map(|dollars| Usd::from_nanos((dollars * 1e9) as u64));
        Attempt {
            number: 1,
            provider: ProviderName::Claude,
            model: "claude".to_owned(),
            response_model: None,
            simulated: false,
            error: None,
            request_id: None,
            usage: Some(TokenUsage { input: 100, output: 10, reported, ..TokenUsage::default() }),
            cost: Cost { billed: usd, list: usd },
            latency: Duration::from_millis(1),
            first_chunk: None,
        }
    }

    #[test]
    fn two_processes_sum_to_what_one_would_have_counted() {
        let (mut one, mut two, mut all) = (Outcomes::default(), Outcomes::default(), Outcomes::default());
        for number in 1..=200_u64 {
            let (failed, latency) = (number % 10 == 0, Duration::from_millis(number));
            let attempts = [attempt((number % 3 != 0).then_some(0.25), number % 2 == 0)];
            if number % 2 == 0 { &mut one } else { &mut two }.call(failed, latency, &attempts);
            all.call(failed, latency, &attempts);
        }
        let kept: Outcomes = serde_json::from_str(&serde_json::to_string(&two).unwrap()).unwrap();
        one.merge(&kept);
        assert_eq!((one.calls, one.errors, one.input_tokens), (180, 20, 20_000));
        assert_eq!(one.estimated_tokens, 100 * 110);
        assert_eq!(one.billed.count, 134, "what is not known is no zero");
        assert_eq!((one.billed, &one.bins, one.error_rate()), (all.billed, &all.bins, all.error_rate()));
        let median = one.median_latency().unwrap();
        assert!((median.value / 100.0 - 1.0).abs() < 0.02, "{median:?}");
        let (low, high) = median.interval.unwrap();
        assert!(low > 80.0 && low < median.value && median.value < high && high < 120.0, "{median:?}");
        let mean = one.latency.mean().unwrap();
        assert!((mean.value - 100.0).abs() < 1.0 && mean.interval.is_some(), "{mean:?}");
        assert_eq!(one.billed.mean().unwrap().value, 0.25);
    }

    #[test]
    fn without_calls_there_is_nothing_to_say() {
        let none = Outcomes::default();
        assert_eq!((none.error_rate(), none.median_latency(), none.latency.mean()), (None, None, None));
    }
}
