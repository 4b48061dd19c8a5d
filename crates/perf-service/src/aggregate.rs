//! Figures from samples, one at a time.
//!
//! Owns what counts: only the measured phase, except in the timeline, which shows the warm-up too.
//! Memory is bounded by the run's length in seconds and by the caps below, never by the number of
//! samples. Must not know where samples come from nor how figures are shown.

mod latency;
mod llm;
mod timeline;
mod worst;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use common_models::{Outcome, RunState, RunSummary, ThresholdResult};
use serde::{Deserialize, Serialize};
use statistics::Quantiles;
use telemetry::ClientRequest;
use uuid::Uuid;

use crate::aggregate::latency::Durations;
use crate::aggregate::llm::Llm;
use crate::aggregate::timeline::Timeline;
use crate::aggregate::worst::Worst;
use crate::results::{Endpoint, Environment, ErrorRow, RequestKind, Results, SlowRequest, StatusRow};
use crate::samples::{Line, Metric, Phase, Sample, read};

/// Request names kept apart; scripts give a handful, and each takes up to 140 KiB for durations of up
/// to a minute. The rest are one.
const MOST_NAMES: usize = 100;
/// Statuses of one name kept apart.
const MOST_STATUSES: usize = 30;
/// Kinds of failure kept apart.
const MOST_ERRORS: usize = 200;
/// Slowest requests kept.
const SLOWEST: usize = 20;
/// Longest text taken from a sample's tag.
const LONGEST_TEXT: usize = 200;
/// What is counted where a cap is reached.
const OTHERS: &str = "(others)";

const MICROSECONDS: f64 = 1_000_000.0;

/// What a run was, beside its figures.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Id of the run.
    pub run_id: Uuid,
    /// Name of the scenario.
    pub scenario: String,
    /// Name of the target.
    pub target: String,
    /// `docker` or `local`.
    pub engine: String,
    /// What k6 calls itself, where it said so.
    pub k6_version: Option<String>,
    /// When k6 was started.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// The result.
    pub outcome: Outcome,
    /// The state that the run ends in.
    pub state: RunState,
    /// Why, where it did not pass.
    pub reason: Option<String>,
    /// What it was made with.
    pub environment: Environment,
}

/// How a run goes, while it goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Requests so far, warm-up included.
    pub requests: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Requests a second, over the last few seconds.
    pub rps: f64,
    /// 95th percentile in milliseconds: of the measured phase once it has begun.
    pub p95_ms: f64,
    /// Virtual users.
    pub users: u64,
    /// Seconds of measured load so far; absent during warm-up.
    pub measured_seconds: Option<f64>,
    /// Samples that were read, whatever they are of.
    #[serde(default)]
    pub samples: u64,
}

/// The figures of a run as they grow.
#[derive(Clone, Debug, Default)]
pub struct Aggregate {
    /// Durations of the measured phase.
    durations: Durations,
    failed: u64,
    /// Durations of the warm-up, for the standing only.
    warm_up: Quantiles,
    warm_up_failed: u64,
    /// Begin of the first and end of the last measured request, microseconds since 1970.
    measured_us: Option<(i64, i64)>,
    /// When k6 last said how many users there are: it was at work until then.
    alive_us: i64,
    /// How long load was measured, as the script says at its end.
    measured_seconds: Option<f64>,
    endpoints: BTreeMap<String, Name>,
    errors: BTreeMap<(String, String), u64>,
    slowest: Vec<Slow>,
    worst: Worst,
    timeline: Timeline,
    llm: Llm,
    dropped_iterations: u64,
    unfinished_visits: i64,
    failed_calls: u64,
    thresholds: Option<Vec<ThresholdResult>>,
    samples: u64,
    broken_lines: u64,
}

#[derive(Clone, Debug, Default)]
struct Name {
    durations: Quantiles,
    failed: u64,
    statuses: BTreeMap<u16, u64>,
}

#[derive(Clone, Debug)]
struct Slow {
    name: String,
    duration_ms: f64,
    status: u16,
    at_us: i64,
    trace_id: Option<String>,
    span_id: Option<String>,
}

impl Aggregate {
    /// Takes one line of k6's output, without its line break. A broken one is counted.
    pub fn push(&mut self, line: &[u8]) {
        match read(line) {
            Ok(Line::Sample(sample)) => {
                self.samples += 1;
                self.add(&sample);
            }
            Ok(Line::Summary(thresholds)) => self.thresholds = Some(thresholds),
            Ok(Line::Selectors(metric, selectors)) => self.worst.watch(metric, selectors),
            Ok(Line::Other) => {}
            Err(error) => {
                self.broken_lines += 1;
                if self.broken_lines == 1 {
                    tracing::warn!(%error, kind = error.kind(), "broken line in k6's output");
                }
            }
        }
    }

    fn add(&mut self, sample: &Sample<'_>) {
        self.worst.see(sample);
        let phase = sample.tags.phase();
        match sample.metric {
            // None carries a phase of load: k6 itself gives the first two, the teardown the third.
            Metric::MeasuredSeconds => self.measured_seconds = Some(sample.value).filter(|s| s.is_finite()),
            Metric::Users => {
                self.alive_us = self.alive_us.max(sample.at_us);
                self.timeline.users(sample.at_us, whole(sample.value));
            }
            Metric::DroppedIterations => self.dropped_iterations += whole(sample.value),
            _ if phase == Phase::None => {}
            Metric::UnfinishedVisits => {
                if phase == Phase::Measured {
                    self.unfinished_visits += if sample.value < 0.0 { -1 } else { 1 };
                }
            }
            // Neither is of a provider and model: the answer that failed does not name them.
            Metric::CostAtMost => {}
            Metric::FailedCalls => {
                if phase == Phase::Measured {
                    self.failed_calls += whole(sample.value);
                }
            }
            Metric::Duration => self.add_duration(sample, phase),
            Metric::Failed => self.add_failed(sample, phase),
            Metric::Check => {
                if phase == Phase::Measured && sample.value < 0.5 {
                    self.count_error("check", sample.tags.get("check"));
                }
            }
            _ => {
                if matches!(sample.metric, Metric::InputTokens | Metric::OutputTokens) {
                    self.timeline.tokens(sample.at_us, whole(sample.value));
                }
                self.llm.add(sample, phase);
            }
        }
    }

    fn add_duration(&mut self, sample: &Sample<'_>, phase: Phase) {
        self.timeline.request(sample.at_us, sample.value, phase);
        if phase == Phase::WarmUp {
            self.warm_up.record(sample.value);
            return;
        }
        self.durations.record(sample.value, sample.tags.is_llm());
        #[expect(clippy::cast_possible_truncation, reason = "a float-to-int cast saturates")]
        let began_us = sample.at_us.saturating_sub((sample.value * 1_000.0) as i64);
        let (first, last) = self.measured_us.unwrap_or((began_us, sample.at_us));
        self.measured_us = Some((first.min(began_us), last.max(sample.at_us)));
        let status = sample.tags.status();
        let name = name_of(&mut self.endpoints, sample.tags.name());
        name.durations.record(sample.value);
        if name.statuses.len() < MOST_STATUSES || name.statuses.contains_key(&status) {
            *name.statuses.entry(status).or_default() += 1;
        }
        let is_slow = self.slowest.len() < SLOWEST
            || self.slowest.last().is_some_and(|least| sample.value > least.duration_ms);
        if is_slow {
            let slow = Slow {
                name: shortened(sample.tags.name()),
                duration_ms: sample.value,
                status,
                at_us: sample.at_us,
                trace_id: sample.trace_id.as_deref().map(shortened),
                span_id: sample.span_id.as_deref().map(shortened),
            };
            let place = self.slowest.partition_point(|other| other.duration_ms >= slow.duration_ms);
            self.slowest.insert(place, slow);
            self.slowest.truncate(SLOWEST);
        }
    }

    fn add_failed(&mut self, sample: &Sample<'_>, phase: Phase) {
        if sample.value < 0.5 {
            return;
        }
        self.timeline.failed(sample.at_us);
        if phase == Phase::WarmUp {
            self.warm_up_failed += 1;
            return;
        }
        self.failed += 1;
        name_of(&mut self.endpoints, sample.tags.name()).failed += 1;
        let what = worst::answer(sample.tags.status(), sample.tags.get("error"));
        self.count_error(sample.tags.name(), &what);
    }

    fn count_error(&mut self, name: &str, what: &str) {
        let mut key = (shortened(name), shortened(what));
        if self.errors.len() >= MOST_ERRORS && !self.errors.contains_key(&key) {
            key = (OTHERS.to_owned(), OTHERS.to_owned());
        }
        *self.errors.entry(key).or_default() += 1;
    }

    /// How the run stands now.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let measured = self.durations.count();
        let durations = if measured > 0 { &self.durations.all() } else { &self.warm_up };
        Standing {
            requests: measured + self.warm_up.count(),
            failed: self.failed + self.warm_up_failed,
            rps: self.timeline.recent_rps(),
            p95_ms: durations.quantile(0.95),
            users: self.timeline.latest_users(),
            measured_seconds: self.measured_us.map(|(first, last)| seconds_between(first, last)),
            samples: self.samples,
        }
    }

    /// The slowest requests as k6 saw them, in `run` of `scenario` against `server`: those whose trace and span it wrote down.
    pub fn slowest_requests<'a>(
        &'a self,
        run: &'a str,
        scenario: &'a str,
        server: (&'a str, u16),
    ) -> impl Iterator<Item = ClientRequest<'a>> {
        self.slowest.iter().filter_map(move |slow| {
            let since_1970 = Duration::from_micros(u64::try_from(slow.at_us).ok()?);
            Some(ClientRequest {
                trace_id: slow.trace_id.as_deref()?,
                span_id: slow.span_id.as_deref()?,
                name: &slow.name,
                status: slow.status,
                ended: SystemTime::UNIX_EPOCH.checked_add(since_1970)?,
                took: Duration::try_from_secs_f64(slow.duration_ms / 1_000.0).ok()?,
                run,
                server,
                scenario,
            })
        })
    }

    /// Whether there was any load at all, warm-up included.
    #[must_use]
    pub fn has_load(&self) -> bool {
        self.durations.count() + self.warm_up.count() > 0
    }

    /// Requests of the measured phase.
    #[must_use]
    pub fn measured_requests(&self) -> u64 {
        self.durations.count()
    }

    /// Iterations that k6 could not start in time.
    #[must_use]
    pub const fn dropped_iterations(&self) -> u64 {
        self.dropped_iterations
    }

    /// Measured visits that have begun and not ended; at the end of a run, those that k6 cut off.
    #[must_use]
    pub fn unfinished_visits(&self) -> u64 {
        u64::try_from(self.unfinished_visits).unwrap_or_default()
    }

    /// Whether any summary came from a simulator.
    #[must_use]
    pub const fn is_simulated(&self) -> bool {
        self.llm.is_simulated()
    }

    /// The thresholds of k6's own summary; absent when k6 wrote none, as when it was killed.
    #[must_use]
    pub fn thresholds(&self) -> Option<&[ThresholdResult]> {
        self.thresholds.as_deref()
    }

    /// Everything, at the end.
    #[must_use]
    pub fn into_results(self, identity: Identity) -> Results {
        let base_us = self.timeline.base_us();
        let summary = self.summary();
        let warnings = self.warnings();
        let mut names: Vec<(String, Name)> = self.endpoints.into_iter().collect();
        names.sort_by(|(a, ours), (b, theirs)| {
            theirs.durations.count().cmp(&ours.durations.count()).then_with(|| a.cmp(b))
        });
        let statuses = names.iter().flat_map(|(name, figures)| status_rows(name, figures)).collect();
        let endpoints = names.into_iter().map(|(name, figures)| endpoint(name, &figures)).collect();
        let mut errors: Vec<ErrorRow> =
            self.errors.into_iter().map(|((name, what), count)| ErrorRow { name, what, count }).collect();
        errors
            .sort_by(|a, b| b.count.cmp(&a.count).then_with(|| (&a.name, &a.what).cmp(&(&b.name, &b.what))));
        Results {
            run_id: identity.run_id,
            scenario: identity.scenario,
            target: identity.target,
            engine: identity.engine,
            k6_version: identity.k6_version,
            started_at: identity.started_at,
            finished_at: identity.finished_at,
            outcome: identity.outcome,
            state: Some(identity.state),
            reason: identity.reason,
            simulated: self.llm.is_simulated(),
            latency: self.durations.rows(),
            histogram: self.durations.histogram(),
            broken: self.worst.into_broken(&summary.thresholds, base_us),
            summary,
            timeline: self.timeline.into_seconds(),
            endpoints,
            statuses,
            llm: self.llm.rows(),
            errors,
            slowest: self.slowest.into_iter().map(|slow| slow_request(slow, base_us)).collect(),
            warnings,
            environment: Some(identity.environment),
        }
    }

    fn summary(&self) -> RunSummary {
        let requests = self.durations.count();
        let totals = self.llm.totals();
        let durations = self.durations.all();
        RunSummary {
            requests,
            failed_rate: share(self.failed, requests).unwrap_or_default(),
            // A single request would give a rate of its own speed.
            rps: float(requests) / self.window().max(1.0),
            p50_ms: durations.quantile(0.5),
            p95_ms: durations.quantile(0.95),
            p99_ms: durations.quantile(0.99),
            with_llm_p95_ms: self.durations.of_kind(RequestKind::WithLlm).map(|kind| kind.quantile(0.95)),
            without_llm_p95_ms: self
                .durations
                .of_kind(RequestKind::WithoutLlm)
                .map(|kind| kind.quantile(0.95)),
            dropped_iterations: self.dropped_iterations,
            input_tokens: totals.input_tokens,
            output_tokens: totals.output_tokens,
            cost_usd: totals.cost_usd,
            list_cost_usd: totals.list_cost_usd,
            cache_hit_rate: share(totals.cached, totals.summaries),
            thresholds: self.thresholds.clone().unwrap_or_default(),
        }
    }

    /// Seconds that rates are taken over. Answers do not set them: who waits for the last one, or for none,
    /// would change the rate of all others. A k6 that was killed did not say; then it is how long it was seen.
    fn window(&self) -> f64 {
        let seen = |(first, last): (i64, i64)| seconds_between(first, last.max(self.alive_us));
        self.measured_seconds.unwrap_or_else(|| self.measured_us.map_or(0.0, seen))
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut warn = |count: u64, text: &str| {
            if count > 0 {
                warnings.push(format!("{text}: {count}"));
            }
        };
        warn(
            self.failed_calls,
            "calls of LLM providers failed and may have been billed all the same; the dollars are without them",
        );
        warn(
            self.dropped_iterations,
            "k6 fell behind and under-reports latency; give it more users or less load. Iterations that it could not start in time",
        );
        warn(self.broken_lines, "lines of k6's output were broken and are missing from the figures");
        warn(self.timeline.late(), "samples that came too late for the charts, but are in all other figures");
        if self.thresholds.is_none() {
            warnings.push("k6 wrote no summary, so no threshold was judged".to_owned());
        }
        if self.endpoints.contains_key(OTHERS) {
            warnings.push(format!("more than {MOST_NAMES} request names; the rest are shown as {OTHERS}"));
        }
        warnings
    }
}

fn name_of<'a>(endpoints: &'a mut BTreeMap<String, Name>, name: &str) -> &'a mut Name {
    let known = endpoints.contains_key(name) || endpoints.len() < MOST_NAMES;
    endpoints.entry(if known { shortened(name) } else { OTHERS.to_owned() }).or_default()
}

fn endpoint(name: String, figures: &Name) -> Endpoint {
    Endpoint {
        name,
        requests: figures.durations.count(),
        failed: figures.failed,
        p50_ms: figures.durations.quantile(0.5),
        p95_ms: figures.durations.quantile(0.95),
        p99_ms: figures.durations.quantile(0.99),
        max_ms: figures.durations.max(),
    }
}

fn status_rows<'a>(name: &'a str, figures: &'a Name) -> impl Iterator<Item = StatusRow> + 'a {
    let rows = figures.statuses.iter();
    rows.map(|(status, requests)| StatusRow { name: name.to_owned(), status: *status, requests: *requests })
}

fn slow_request(slow: Slow, base_us: i64) -> SlowRequest {
    SlowRequest {
        name: slow.name,
        duration_ms: slow.duration_ms,
        status: slow.status,
        at: seconds_between(base_us, slow.at_us),
        trace_id: slow.trace_id,
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).collect()
}

fn seconds_between(from_us: i64, to_us: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a run's length in microseconds is far below 2^53")]
    let between = to_us.saturating_sub(from_us) as f64;
    between.max(0.0) / MICROSECONDS
}

/// Three decimals, as fine as k6 measures.
fn rounded_ms(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| float(part) / float(whole))
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
const fn float(count: u64) -> f64 {
    count as f64
}

/// A count that k6 gives as a float; negative ones and NaN count as zero.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float-to-int cast saturates")]
fn whole(value: f64) -> u64 {
    value.round().max(0.0) as u64
}

#[cfg(test)]
mod tests;
