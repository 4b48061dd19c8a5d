//! The worst requests of each threshold.
//!
//! Owns which samples a threshold counts and which of them are worst. Which thresholds will break is
//! known only at the end, so all are watched; what is kept of each is bounded. Must not know what a
//! threshold asks for.

use common_models::ThresholdResult;

use super::shortened;
use crate::results::{BrokenThreshold, WorstRequest};
use crate::samples::{Metric, Sample, Selector};

/// Requests kept for each threshold.
const KEPT: usize = 10;
/// Selectors watched; scripts have some twenty.
const MOST_WATCHES: usize = 200;

#[derive(Clone, Debug, Default)]
pub(super) struct Worst {
    watches: Vec<Watch>,
}

#[derive(Clone, Debug)]
struct Watch {
    metric: Metric,
    selector: Selector,
    /// Worst first.
    kept: Vec<Kept>,
}

#[derive(Clone, Debug)]
struct Kept {
    value: f64,
    at_us: i64,
    name: String,
    what: String,
    trace_id: Option<String>,
}

impl Worst {
    /// k6 says again and again what it measures when thresholds are added; each is watched once.
    pub(super) fn watch(&mut self, metric: Metric, selectors: Vec<Selector>) {
        for selector in selectors {
            let known = self.watches.iter().any(|watch| watch.selector.name == selector.name);
            if !known && self.watches.len() < MOST_WATCHES {
                self.watches.push(Watch { metric, selector, kept: Vec::new() });
            }
        }
    }

    pub(super) fn see(&mut self, sample: &Sample<'_>) {
        let Some(badness) = badness(sample.metric, sample.value) else { return };
        for watch in &mut self.watches {
            if watch.metric == sample.metric && watch.is_worse(badness) && watch.counts(sample) {
                watch.keep(sample, badness);
            }
        }
    }

    /// The thresholds that did not hold. `base_us` is where the timeline begins.
    pub(super) fn into_broken(self, thresholds: &[ThresholdResult], base_us: i64) -> Vec<BrokenThreshold> {
        let broken = thresholds.iter().filter(|threshold| !threshold.ok);
        broken
            .map(|threshold| {
                let measured = threshold.name.rsplit_once(": ").map(|(measured, _)| measured);
                let watch = self.watches.iter().find(|watch| Some(watch.selector.name.as_str()) == measured);
                let kept = watch.map(|watch| watch.kept.as_slice()).unwrap_or_default();
                BrokenThreshold {
                    name: threshold.name.clone(),
                    worst: kept.iter().map(|kept| kept.shown(base_us)).collect(),
                }
            })
            .collect()
    }
}

/// How bad a sample is, the greater the worse; nothing for one that is good.
fn badness(metric: Metric, value: f64) -> Option<f64> {
    match metric {
        Metric::Failed => (value >= 0.5).then_some(value),
        Metric::Check => (value < 0.5).then_some(1.0 - value),
        // No request did these.
        Metric::Users | Metric::DroppedIterations | Metric::MeasuredSeconds | Metric::UnfinishedVisits => {
            None
        }
        Metric::Duration
        | Metric::Summaries
        | Metric::InputTokens
        | Metric::OutputTokens
        | Metric::Cost
        | Metric::ListCost
        | Metric::CostUnknown
        | Metric::CostAtMost
        | Metric::FailedCalls
        | Metric::FirstChunk
        | Metric::Generation
        | Metric::TokensPerRequest
        | Metric::CostPerRequest
        | Metric::ListCostPerRequest => (value > 0.0).then_some(value),
    }
}

impl Watch {
    fn is_worse(&self, badness: f64) -> bool {
        self.kept.len() < KEPT || self.kept.last().is_some_and(|least| badness > self.badness_of(least))
    }

    fn badness_of(&self, kept: &Kept) -> f64 {
        badness(self.metric, kept.value).unwrap_or_default()
    }

    fn counts(&self, sample: &Sample<'_>) -> bool {
        self.selector.tags.iter().all(|(key, value)| sample.tags.get(key) == value)
    }

    fn keep(&mut self, sample: &Sample<'_>, badness: f64) {
        // One request can fail several checks; it stays one.
        let same = |kept: &&mut Kept| {
            kept.trace_id.is_some() && kept.trace_id.as_deref() == sample.trace_id.as_deref()
        };
        if sample.metric == Metric::Check
            && let Some(kept) = self.kept.iter_mut().find(same)
        {
            kept.what = shortened(&format!("{}; {}", kept.what, sample.tags.get("check")));
            return;
        }
        let place = self.kept.partition_point(|kept| self.badness_of(kept) >= badness);
        let kept = Kept {
            value: sample.value,
            at_us: sample.at_us,
            name: shortened(sample.tags.name()),
            what: what(sample),
            trace_id: sample.trace_id.as_deref().map(shortened),
        };
        self.kept.insert(place, kept);
        self.kept.truncate(KEPT);
    }
}

fn what(sample: &Sample<'_>) -> String {
    let tags = &sample.tags;
    match sample.metric {
        Metric::Check => shortened(tags.get("check")),
        Metric::Duration | Metric::Failed => answer(tags.status(), tags.get("error")),
        Metric::FailedCalls => shortened(tags.get("code")),
        _ => shortened(format!("{} {}", tags.get("provider"), tags.get("model")).trim()),
    }
}

/// What came back, in words.
pub(super) fn answer(status: u16, error: &str) -> String {
    match status {
        0 if error.is_empty() => "no answer".to_owned(),
        0 => shortened(error),
        status => format!("HTTP {status}"),
    }
}

impl Kept {
    fn shown(&self, base_us: i64) -> WorstRequest {
        WorstRequest {
            value: self.value,
            name: self.name.clone(),
            what: self.what.clone(),
            at: super::seconds_between(base_us, self.at_us),
            trace_id: self.trace_id.clone(),
        }
    }
}
