//! The Tokio runtime of the binaries, and what it says of itself.
//!
//! Owns how a runtime is built, since only the builder turns the histogram of poll times on. What the
//! runtime tells only with `--cfg tokio_unstable` (`.cargo/config.toml`) is absent in a build without it.

use std::io;
#[cfg(tokio_unstable)]
use std::time::Duration;

use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use tokio::runtime::{Builder, Handle, Runtime, RuntimeMetrics};

use crate::families::{by_worker, descriptions, value};
use crate::table::{self, Metric};

/// Polls up to this are in the first bucket: the first boundary of [`table::TOKIO_POLL_DURATION`].
#[cfg(tokio_unstable)]
const SHORTEST_POLL: Duration = Duration::from_nanos(1 << 14);
/// Polls from this on are above all buckets: the last boundary.
#[cfg(tokio_unstable)]
const LONGEST_POLL: Duration = Duration::from_nanos(1 << 33);

/// A runtime of as many workers as there are cores, which keeps a histogram of its polls.
///
/// # Errors
/// When the system gives no threads or no event queue.
pub fn build() -> io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder.enable_all();
    count_polls(&mut builder);
    builder.build()
}

#[cfg(tokio_unstable)]
fn count_polls(builder: &mut Builder) {
    use tokio::runtime::{HistogramConfiguration, LogHistogram};

    let buckets = LogHistogram::builder()
        // Each bucket is twice as wide as the one before.
        .precision_exact(0)
        .min_value(SHORTEST_POLL)
        .max_value(LONGEST_POLL)
        .build();
    builder
        .enable_metrics_poll_time_histogram()
        .metrics_poll_time_histogram_configuration(HistogramConfiguration::log(buckets));
}

#[cfg(not(tokio_unstable))]
fn count_polls(_: &mut Builder) {}

/// Shows what the runtime of the caller tells; nothing outside a runtime.
pub(crate) fn register(registry: &Registry) -> prometheus::Result<()> {
    let Ok(handle) = Handle::try_current() else { return Ok(()) };
    registry.register(Box::new(RuntimeCollector {
        runtime: handle.metrics(),
        descriptions: descriptions(&shown()),
    }))
}

/// The rows that this build can show.
pub(crate) fn shown() -> Vec<Metric> {
    let stable = [
        table::TOKIO_WORKERS,
        table::TOKIO_ALIVE_TASKS,
        table::TOKIO_GLOBAL_QUEUE_DEPTH,
        table::TOKIO_WORKER_BUSY,
        table::TOKIO_WORKER_PARKS,
    ];
    if cfg!(tokio_unstable) { table::RUNTIME.to_vec() } else { stable.to_vec() }
}

struct RuntimeCollector {
    runtime: RuntimeMetrics,
    descriptions: Vec<Desc>,
}

impl Collector for RuntimeCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let runtime = &self.runtime;
        let workers = 0..runtime.num_workers();
        let busy = workers.clone().map(|worker| runtime.worker_total_busy_duration(worker).as_secs_f64());
        let parks = workers.map(|worker| runtime.worker_park_count(worker) as f64);
        #[cfg_attr(not(tokio_unstable), expect(unused_mut, reason = "nothing is added without it"))]
        let mut families = vec![
            value(&table::TOKIO_WORKERS, runtime.num_workers() as f64),
            value(&table::TOKIO_ALIVE_TASKS, runtime.num_alive_tasks() as f64),
            value(&table::TOKIO_GLOBAL_QUEUE_DEPTH, runtime.global_queue_depth() as f64),
            by_worker(&table::TOKIO_WORKER_BUSY, busy),
            by_worker(&table::TOKIO_WORKER_PARKS, parks),
        ];
        #[cfg(tokio_unstable)]
        families.extend(unstable(runtime));
        families
    }
}

#[cfg(tokio_unstable)]
fn unstable(runtime: &RuntimeMetrics) -> Vec<MetricFamily> {
    let workers = 0..runtime.num_workers();
    let polls = workers.clone().map(|worker| runtime.worker_poll_count(worker) as f64);
    let steals = workers.clone().map(|worker| runtime.worker_steal_count(worker) as f64);
    let queued = workers.map(|worker| runtime.worker_local_queue_depth(worker) as f64);
    let mut families = vec![
        by_worker(&table::TOKIO_WORKER_POLLS, polls),
        by_worker(&table::TOKIO_WORKER_STEALS, steals),
        by_worker(&table::TOKIO_WORKER_LOCAL_QUEUE_DEPTH, queued),
        value(&table::TOKIO_SPAWNED_TASKS, runtime.spawned_tasks_count() as f64),
        value(&table::TOKIO_BLOCKING_THREADS, runtime.num_blocking_threads() as f64),
        value(&table::TOKIO_BLOCKING_IDLE_THREADS, runtime.num_idle_blocking_threads() as f64),
        value(&table::TOKIO_BLOCKING_QUEUE_DEPTH, runtime.blocking_queue_depth() as f64),
        value(&table::TOKIO_BUDGET_FORCED_YIELDS, runtime.budget_forced_yield_count() as f64),
    ];
    families.extend(polled(runtime));
    families
}

/// The histogram of polls; nothing where the runtime was built elsewhere and keeps none.
#[cfg(tokio_unstable)]
fn polled(runtime: &RuntimeMetrics) -> Option<MetricFamily> {
    if !runtime.poll_time_histogram_enabled() {
        return None;
    }
    let workers = || 0..runtime.num_workers();
    let fallen = |bucket| -> u64 {
        workers().map(|worker| runtime.poll_time_histogram_bucket_count(worker, bucket)).sum()
    };
    // The last bucket has no end.
    let last = runtime.poll_time_histogram_num_buckets().checked_sub(1)?;
    // In one division: the bounds are labels, and are to be the same numbers as in the table.
    let bound = |bucket| runtime.poll_time_histogram_bucket_range(bucket).end.as_nanos() as f64 / 1e9;
    let buckets: Vec<(f64, u64)> = (0..last).map(|bucket| (bound(bucket), fallen(bucket))).collect();
    // The runtime keeps no sum of its polls; what its workers do beside them is little.
    let busy: Duration = workers().map(|worker| runtime.worker_total_busy_duration(worker)).sum();
    Some(crate::families::histogram(&table::TOKIO_POLL_DURATION, &buckets, fallen(last), busy.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use prometheus::{Encoder, Registry, TextEncoder};

    use super::{build, register, shown};
    use crate::table::{self, Metric};

    #[test]
    fn it_tells_all_that_the_table_lists() {
        let registry = Registry::new();
        let runtime = build().unwrap();
        runtime.block_on(async {
            register(&registry).unwrap();
            tokio::task::spawn_blocking(|| {}).await.unwrap();
        });
        let families = registry.gather();
        let names: Vec<&str> = families.iter().map(|family| family.name()).collect();
        let mut listed: Vec<String> = shown().iter().map(Metric::exported).collect();
        listed.sort();
        assert_eq!(names, listed);
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains(r#"tokio_worker_parks_total{worker="0"}"#), "{text}");
        if cfg!(tokio_unstable) {
            let bounds: Vec<f64> = text
                .lines()
                .filter_map(|line| line.strip_prefix("tokio_poll_duration_seconds_bucket{le=\""))
                .filter_map(|line| line.split('"').next())
                .filter(|bound| *bound != "+Inf")
                .map(|bound| bound.parse().unwrap())
                .collect();
            assert_eq!(bounds, table::TOKIO_POLL_DURATION.buckets);
        }
    }

    #[test]
    fn outside_a_runtime_there_is_nothing_to_tell() {
        let registry = Registry::new();
        register(&registry).unwrap();
        assert!(registry.gather().is_empty());
    }
}
