//! What perf-service records of its runs: a façade of its own.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, UpDownCounter};

use crate::metrics::{Metrics, counter, histogram, up_down_counter};
use crate::table;

/// What becomes of the start of a k6, as far as it is told apart from the start.
const STARTS: [&str; 8] =
    ["ok", "k6_missing", "k6_unusable", "docker_unreachable", "gate_unreachable", "gate", "image", "docker"];

/// The instruments.
pub(crate) struct PerfMetrics {
    runs: Counter<u64>,
    under_way: UpDownCounter<i64>,
    duration: Histogram<f64>,
    k6_starts: Counter<u64>,
    samples: Counter<u64>,
}

impl PerfMetrics {
    pub(crate) fn new(meter: &Meter) -> Self {
        Self {
            runs: counter(meter, &table::PERF_RUNS),
            under_way: up_down_counter(meter, &table::PERF_RUNS_UNDER_WAY),
            duration: histogram(meter, &table::PERF_RUN_DURATION),
            k6_starts: counter(meter, &table::PERF_K6_STARTS),
            samples: counter(meter, &table::PERF_SAMPLES),
        }
    }
}

/// A run that has not ended, counted in its state until it is dropped.
pub struct RunUnderWay {
    metrics: Metrics,
    state: Option<&'static str>,
}

impl RunUnderWay {
    /// It is in another state now; in none of those under way where it has ended.
    pub fn now(&mut self, state: Option<&'static str>) {
        if state == self.state {
            return;
        }
        self.count(-1);
        self.state = state;
        self.count(1);
    }

    fn count(&self, change: i64) {
        if let Some(state) = self.state {
            self.metrics.perf().under_way.add(change, &[KeyValue::new("state", state)]);
        }
    }
}

impl Drop for RunUnderWay {
    fn drop(&mut self) {
        self.now(None);
    }
}

impl Metrics {
    /// Makes the series of perf-service exist at zero: of these scenarios and engines.
    pub fn start_perf_series<'a>(&self, scenarios: impl Iterator<Item = &'a str>, engines: &[&'static str]) {
        let metrics = self.perf();
        for scenario in scenarios {
            for outcome in ["passed", "failed", "inconclusive", "broken", "cancelled"] {
                metrics.runs.add(0, &of_run(scenario, outcome));
            }
        }
        for state in ["queued", "starting", "running", "stopping"] {
            metrics.under_way.add(0, &[KeyValue::new("state", state)]);
        }
        for engine in engines {
            for outcome in STARTS {
                self.count_start(engine, outcome, 0);
            }
        }
        self.perf_samples(0);
    }

    /// A run of this process is under way.
    #[must_use = "it counts as long as it is kept"]
    pub fn perf_run_under_way(&self, state: Option<&'static str>) -> RunUnderWay {
        let mut run = RunUnderWay { metrics: self.clone(), state: None };
        run.now(state);
        run
    }

    /// A load run ended: `passed`, `failed`, `inconclusive`, `broken` or `cancelled`. `took` is absent
    /// where its k6 never started.
    pub fn perf_run_finished(&self, scenario: &str, outcome: &'static str, took: Option<Duration>) {
        let labels = of_run(scenario, outcome);
        self.perf().runs.add(1, &labels);
        if let Some(took) = took {
            self.perf().duration.record(took.as_secs_f64(), &labels);
        }
    }

    /// A k6 was to be started: `ok` or the kind of the error.
    pub fn k6_started(&self, engine: &'static str, outcome: &'static str) {
        self.count_start(engine, outcome, 1);
    }

    fn count_start(&self, engine: &'static str, outcome: &'static str, by: u64) {
        let labels = [KeyValue::new("engine", engine), KeyValue::new("outcome", outcome)];
        self.perf().k6_starts.add(by, &labels);
    }

    /// So many more samples of k6 were read.
    pub fn perf_samples(&self, samples: u64) {
        self.perf().samples.add(samples, &[]);
    }
}

fn of_run(scenario: &str, outcome: &'static str) -> [KeyValue; 2] {
    [KeyValue::new("scenario", scenario.to_owned()), KeyValue::new("outcome", outcome)]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::Metrics;

    #[test]
    fn a_run_counts_in_one_state_at_a_time_and_in_none_once_it_is_gone() {
        let metrics = Metrics::unregistered();
        metrics.start_perf_series(["smoke"].into_iter(), &["local"]);
        let mut run = metrics.perf_run_under_way(Some("queued"));
        run.now(Some("running"));
        run.now(Some("running"));
        let text = metrics.render();
        for (state, runs) in [("queued", 0), ("starting", 0), ("running", 1), ("stopping", 0)] {
            let line = format!(r#"perf_runs_under_way{{state="{state}"}} {runs}"#);
            assert!(text.contains(&line), "{line} is missing in\n{text}");
        }
        drop(run);
        assert!(metrics.render().contains(r#"perf_runs_under_way{state="running"} 0"#));
    }

    #[test]
    fn what_never_started_has_no_duration() {
        let metrics = Metrics::unregistered();
        metrics.perf_run_finished("smoke", "passed", Some(Duration::from_secs(61)));
        metrics.perf_run_finished("smoke", "broken", None);
        metrics.k6_started("docker", "image_missing");
        metrics.perf_samples(5);
        let text = metrics.render();
        for line in [
            r#"perf_runs_total{outcome="broken",scenario="smoke"} 1"#,
            r#"perf_run_duration_seconds_bucket{outcome="passed",scenario="smoke",le="120"} 1"#,
            r#"perf_k6_starts_total{engine="docker",outcome="image_missing"} 1"#,
            "perf_samples_total 5",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains(r#"perf_run_duration_seconds_count{outcome="broken""#), "{text}");
    }
}
