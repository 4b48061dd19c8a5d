//! The instruments, one recording method a fact, and their rendering as Prometheus text.
//!
//! Owns the registry. Callers hand in plain values; label values are bounded by their types or by
//! configuration, never taken from a path or an id.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, Counter, Gauge, Histogram, Meter, MeterProvider, UpDownCounter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Encoder, Registry, TextEncoder};

use crate::bookstore_metrics::BookstoreMetrics;
use crate::gen_ai::{GenAiMetrics, GenAiSettings};
use crate::handles::Handles;
use crate::http_metrics::HttpMetrics;
use crate::llm_metrics::LlmMetrics;
use crate::outgoing::HttpClientMetrics;
use crate::perf_metrics::PerfMetrics;
use crate::simulator_metrics::SimulatorMetrics;
use crate::table::{self, Metric};
use crate::{allocator, process, runtime};

/// What becomes of summaries, as far as objectives count it: a series that began with its first failures would
/// show no rate of them.
const SUMMARIES: [&str; 15] = [
    "generated",
    "shared",
    "stored",
    "cached",
    "cancelled",
    "rate_limited",
    "overloaded",
    "timeout",
    "unavailable",
    "unauthorized",
    "bad_request",
    "bad_answer",
    "unsafe_answer",
    "refused",
    "context_too_long",
];

/// Why there are no metrics.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// OpenTelemetry's reader.
    #[error(transparent)]
    Reader(#[from] OTelSdkError),
    /// What is read at a scrape.
    #[error(transparent)]
    Collector(#[from] prometheus::Error),
}

/// The metrics of one process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Instruments>);

struct Instruments {
    registry: Registry,
    provider: SdkMeterProvider,
    http: HttpMetrics,
    http_client: HttpClientMetrics,
    gen_ai_settings: GenAiSettings,
    gen_ai: GenAiMetrics,
    llm_breaker_state: UpDownCounter<i64>,
    llm_breaker_transitions: Counter<u64>,
    llm: LlmMetrics,
    cache_requests: Counter<u64>,
    cache_request_handles: Handles<(&'static str, &'static str), BoundCounter<u64>>,
    cache_invalidation_failures: Counter<u64>,
    cache_invalidation_retries: Counter<u64>,
    cache_invalidations_pending: UpDownCounter<i64>,
    leases: Counter<u64>,
    store_duration: Histogram<f64>,
    summaries: Counter<u64>,
    books_written: Counter<u64>,
    bookstore: BookstoreMetrics,
    perf: PerfMetrics,
    simulator: SimulatorMetrics,
}

impl Metrics {
    /// The metrics of a process, labelled with its service name and version in `target_info`.
    pub(crate) fn new(resource: Resource, gen_ai: GenAiSettings) -> Result<Self, OTelSdkError> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build()?;
        let provider = SdkMeterProvider::builder().with_reader(exporter).with_resource(resource).build();
        Ok(Self(Arc::new(Instruments::new(registry, provider, gen_ai))))
    }

    /// The same, with those of the process itself, its allocator and the runtime that calls this: what is
    /// read at a scrape.
    pub(crate) fn of_process(resource: Resource, gen_ai: GenAiSettings) -> Result<Self, SetUpError> {
        let metrics = Self::new(resource, gen_ai)?;
        let registry = &metrics.0.registry;
        process::register(registry)?;
        allocator::register(registry)?;
        runtime::register(registry)?;
        Ok(metrics)
    }

    /// Metrics of their own, for tests and tools that serve none.
    #[must_use]
    pub fn unregistered() -> Self {
        Self::unregistered_with(GenAiSettings::default())
    }

    /// The same, with LLM calls recorded in this way.
    #[must_use]
    pub fn unregistered_with(gen_ai: GenAiSettings) -> Self {
        Self::new(Resource::builder_empty().build(), gen_ai).unwrap_or_else(|_| Self::silent(gen_ai))
    }

    /// Instruments that nobody reads: what is recorded goes nowhere, and `/metrics` shows nothing.
    pub(crate) fn silent(gen_ai: GenAiSettings) -> Self {
        let provider = SdkMeterProvider::builder().build();
        Self(Arc::new(Instruments::new(Registry::new(), provider, gen_ai)))
    }

    /// All metrics in Prometheus' text format 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        match TextEncoder::new().encode(&self.0.registry.gather(), &mut text) {
            Ok(()) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) => format!("# the metrics could not be encoded: {error}\n"),
        }
    }

    /// Stops collecting.
    pub(crate) fn shutdown(&self) {
        // A second shutdown is the only way this fails, and changes nothing.
        let _ = self.0.provider.shutdown();
    }

    /// What the simulator records into.
    pub(crate) fn simulator(&self) -> &SimulatorMetrics {
        &self.0.simulator
    }

    /// What bookstore-api records into.
    pub(crate) fn bookstore(&self) -> &BookstoreMetrics {
        &self.0.bookstore
    }

    /// What perf-service records into.
    pub(crate) fn perf(&self) -> &PerfMetrics {
        &self.0.perf
    }

    /// What outgoing requests record into.
    pub(crate) fn http_client(&self) -> &HttpClientMetrics {
        &self.0.http_client
    }

    /// What calls to LLMs record into.
    pub(crate) fn gen_ai(&self) -> &GenAiMetrics {
        &self.0.gen_ai
    }

    /// How they are recorded.
    pub(crate) fn gen_ai_settings(&self) -> GenAiSettings {
        self.0.gen_ai_settings
    }

    /// What asking LLMs records into.
    pub(crate) fn llm(&self) -> &LlmMetrics {
        &self.0.llm
    }

    /// What the HTTP server layer records into.
    pub(crate) fn http(&self) -> &HttpMetrics {
        &self.0.http
    }

    /// There is a breaker, in the first of its possible `states`. Once a provider and model.
    pub fn breaker_started(&self, provider: &'static str, model: &str, states: &[&'static str]) {
        for (index, state) in states.iter().enumerate() {
            let labels = breaker_labels(provider, model, state);
            self.0.llm_breaker_state.add(i64::from(index == 0), &labels);
            self.0.llm_breaker_transitions.add(0, &labels);
        }
    }

    /// A breaker came from one state into another: `closed`, `open` or `half_open`.
    pub fn breaker_changed(
        &self,
        provider: &'static str,
        model: &str,
        from: &'static str,
        state: &'static str,
    ) {
        self.0.llm_breaker_state.add(-1, &breaker_labels(provider, model, from));
        let labels = breaker_labels(provider, model, state);
        self.0.llm_breaker_state.add(1, &labels);
        self.0.llm_breaker_transitions.add(1, &labels);
    }

    /// A cache was looked into: `hit`, `miss` or `error`.
    pub fn cache_request(&self, cache: &'static str, outcome: &'static str) {
        let labels = || [KeyValue::new("cache", cache), KeyValue::new("outcome", outcome)];
        let bind = || self.0.cache_requests.bind(&labels());
        self.0.cache_request_handles.with((cache, outcome), bind, |handle| handle.add(1));
    }

    /// An invalidation failed while its write waited for it.
    pub fn cache_invalidation_failed(&self, cache: &'static str) {
        self.0.cache_invalidation_failures.add(1, &[KeyValue::new("cache", cache)]);
    }

    /// Keys whose invalidation failed were tried again or given up: `carried_out`, `failed`,
    /// `expired` or `overflow`.
    pub fn cache_invalidation_retried(&self, outcome: &'static str, keys: u64) {
        self.0.cache_invalidation_retries.add(keys, &[KeyValue::new("outcome", outcome)]);
    }

    /// By how many the keys changed whose invalidation is still to be carried out.
    pub fn cache_invalidations_pending(&self, change: i64) {
        self.0.cache_invalidations_pending.add(change, &[]);
    }

    /// A lease was wanted, `acquired`, `held` or `unavailable`; or it was `lost`.
    pub fn lease(&self, outcome: &'static str) {
        self.0.leases.add(1, &[KeyValue::new("outcome", outcome)]);
    }

    /// A store operation ended: `ok` or the kind of its error.
    pub fn store_operation(
        &self,
        store: &'static str,
        operation: &'static str,
        outcome: &'static str,
        duration: Duration,
    ) {
        self.0.store_duration.record(
            duration.as_secs_f64(),
            &[
                KeyValue::new("store", store),
                KeyValue::new("operation", operation),
                KeyValue::new("outcome", outcome),
            ],
        );
    }

    /// A summary was asked for: `generated`, `stored`, `cached` or the kind of the error.
    pub fn summary(&self, provider: &'static str, outcome: &'static str) {
        self.add(&self.0.summaries, 1, "provider", provider, outcome);
    }

    /// Books were written: `create`, `replace`, `delete` or `import`.
    pub fn books_written(&self, operation: &'static str, books: u64) {
        self.0.books_written.add(books, &[KeyValue::new("operation", operation)]);
    }

    /// Makes the series of bookstore-api exist at zero, so that a rate over them is a rate from the
    /// first event on. `providers` are those configured, with their models.
    pub fn start_bookstore_series(&self, providers: &[(&'static str, &str)]) {
        for cache in ["book", "author", "summary"] {
            for outcome in ["hit", "miss", "error"] {
                self.add(&self.0.cache_requests, 0, "cache", cache, outcome);
            }
        }
        for cache in ["book", "author", "summary"] {
            self.0.cache_invalidation_failures.add(0, &[KeyValue::new("cache", cache)]);
        }
        for outcome in ["carried_out", "failed", "expired", "overflow"] {
            self.cache_invalidation_retried(outcome, 0);
        }
        self.cache_invalidations_pending(0);
        for outcome in ["acquired", "held", "unavailable", "lost"] {
            self.0.leases.add(0, &[KeyValue::new("outcome", outcome)]);
        }
        for operation in ["create", "replace", "delete", "import"] {
            self.books_written(operation, 0);
        }
        for (provider, _) in providers {
            for outcome in SUMMARIES {
                self.add(&self.0.summaries, 0, "provider", provider, outcome);
            }
        }
        self.start_llm_series(providers);
    }

    fn add(
        &self,
        counter: &Counter<u64>,
        by: u64,
        label: &'static str,
        value: &'static str,
        outcome: &'static str,
    ) {
        counter.add(by, &[KeyValue::new(label, value), KeyValue::new("outcome", outcome)]);
    }
}

impl Instruments {
    fn new(registry: Registry, provider: SdkMeterProvider, gen_ai_settings: GenAiSettings) -> Self {
        let meter = provider.meter("bookstore");
        Self {
            http: HttpMetrics::new(&meter),
            http_client: HttpClientMetrics::new(&meter),
            gen_ai_settings,
            gen_ai: GenAiMetrics::new(&meter, gen_ai_settings.version),
            llm_breaker_state: up_down_counter(&meter, &table::LLM_BREAKER_STATE),
            llm_breaker_transitions: counter(&meter, &table::LLM_BREAKER_TRANSITIONS),
            llm: LlmMetrics::new(&meter),
            cache_requests: counter(&meter, &table::CACHE_REQUESTS),
            cache_request_handles: Handles::default(),
            cache_invalidation_failures: counter(&meter, &table::CACHE_INVALIDATION_FAILURES),
            cache_invalidation_retries: counter(&meter, &table::CACHE_INVALIDATION_RETRIES),
            cache_invalidations_pending: up_down_counter(&meter, &table::CACHE_INVALIDATIONS_PENDING),
            leases: counter(&meter, &table::LEASES),
            store_duration: histogram(&meter, &table::STORE_OPERATION_DURATION),
            summaries: counter(&meter, &table::SUMMARIES),
            books_written: counter(&meter, &table::BOOKS_WRITTEN),
            bookstore: BookstoreMetrics::new(&meter),
            perf: PerfMetrics::new(&meter),
            simulator: SimulatorMetrics::new(&meter),
            registry,
            provider,
        }
    }
}

fn breaker_labels(provider: &'static str, model: &str, state: &'static str) -> [KeyValue; 3] {
    [
        KeyValue::new("provider", provider),
        KeyValue::new("model", model.to_owned()),
        KeyValue::new("state", state),
    ]
}

pub(crate) fn counter(meter: &Meter, metric: &Metric) -> Counter<u64> {
    meter.u64_counter(metric.name).with_description(metric.help).with_unit(metric.unit).build()
}

/// A counter of dollars.
pub(crate) fn dollars(meter: &Meter, metric: &Metric) -> Counter<f64> {
    meter.f64_counter(metric.name).with_description(metric.help).with_unit(metric.unit).build()
}

pub(crate) fn up_down_counter(meter: &Meter, metric: &Metric) -> UpDownCounter<i64> {
    meter.i64_up_down_counter(metric.name).with_description(metric.help).with_unit(metric.unit).build()
}

pub(crate) fn gauge(meter: &Meter, metric: &Metric) -> Gauge<u64> {
    meter.u64_gauge(metric.name).with_description(metric.help).with_unit(metric.unit).build()
}

/// A gauge of dollars.
pub(crate) fn dollars_now(meter: &Meter, metric: &Metric) -> Gauge<f64> {
    meter.f64_gauge(metric.name).with_description(metric.help).with_unit(metric.unit).build()
}

pub(crate) fn token_histogram(meter: &Meter, metric: &Metric) -> Histogram<u64> {
    meter
        .u64_histogram(metric.name)
        .with_description(metric.help)
        .with_unit(metric.unit)
        .with_boundaries(metric.buckets.to_vec())
        .build()
}

pub(crate) fn histogram(meter: &Meter, metric: &Metric) -> Histogram<f64> {
    meter
        .f64_histogram(metric.name)
        .with_description(metric.help)
        .with_unit(metric.unit)
        .with_boundaries(metric.buckets.to_vec())
        .build()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use opentelemetry_sdk::Resource;

    use super::Metrics;
    use crate::conventions::gen_ai::Version;
    use crate::gen_ai::{GenAiCall, GenAiOutcome, GenAiRequest, GenAiSettings, GenAiUsage};
    use crate::server::Scheme;
    use crate::simulator_metrics::SimulatedAnswer;
    use crate::table::listing::of_service;
    use crate::table::scrape::contradictions;
    use crate::table::{self, Metric};

    /// Records everything once.
    fn recorded() -> Metrics {
        let gen_ai = GenAiSettings { version: Version::Both, capture_content: false };
        let metrics = Metrics::of_process(Resource::builder_empty().build(), gen_ai).unwrap();
        let route = metrics.http().route("/api/v1/books/{id}");
        metrics.http().begun("GET", Scheme::Http);
        metrics.http().done("GET", Scheme::Http, &route, Some(500), Some("500"), Duration::from_secs(1));
        let usage = GenAiUsage {
            input_tokens: 100,
            output_tokens: 50,
            cache_read_tokens: 40,
            cache_write_tokens: 30,
            reasoning_tokens: 20,
        };
        let request = GenAiRequest {
            attempt: 1,
            max_tokens: 100,
            streamed: true,
            experiment: None,
            instructions: "",
            question: "",
        };
        let mut call = GenAiCall::begin(&metrics.gen_ai_model("ollama", "llama3.2"), &request);
        call.chunk("A ");
        call.chunk("whale.");
        call.end(&GenAiOutcome { usage: Some(usage), ..GenAiOutcome::default() });
        metrics.llm_cost("ollama", "llama3.2", Some(0.25), None);
        metrics.breaker_started("ollama", "llama3.2", &["closed", "open"]);
        metrics.llm_attempt("ollama", "ok");
        metrics.llm_retried("ollama", "timeout");
        metrics.llm_fell_back("ollama", "simulated", "timeout");
        metrics.limit_refused("global_budget");
        metrics.answer_refused("markup");
        metrics.experiment("tone", "b", "ok", Some(1.0), Some(0.25), Some(0.25));
        metrics.cache_request("book", "hit");
        metrics.cache_invalidation_failed("book");
        metrics.cache_invalidation_retried("carried_out", 1);
        metrics.cache_invalidations_pending(1);
        metrics.lease("acquired");
        metrics.store_operation("sqlite", "book", "ok", Duration::from_millis(1));
        metrics.summary("ollama", "generated");
        metrics.books_written("create", 1);
        metrics.cache_operation("redis", "get", "ok", Duration::from_micros(300));
        metrics.dependency("store", true);
        metrics.connection_pool("mongodb").connections(1, 1);
        metrics.catalogue(10, 1, 5);
        metrics.budget("billed", 25.0, 0.5);
        metrics.upstream("127.0.0.1", 11_434).begin(&http::Method::POST).answered(200);
        metrics.perf_run_finished("smoke", "passed", Some(Duration::from_secs(60)));
        drop(metrics.perf_run_under_way(Some("queued")));
        metrics.k6_started("local", "ok");
        metrics.perf_samples(1);
        metrics.simulator_under_way("ollama", 1);
        metrics.simulator_fault("ollama", "stall", 1);
        metrics.simulator_answer(&SimulatedAnswer {
            protocol: "ollama",
            model: "llama3.2",
            outcome: "ok",
            input_tokens: 10,
            output_tokens: 20,
            first_token: Some(Duration::from_millis(10)),
            duration: Duration::from_millis(50),
            lateness: Duration::from_millis(1),
        });
        metrics
    }

    #[test]
    fn what_is_shown_is_in_the_table_and_the_other_way_round() {
        let runtime = crate::runtime::build().unwrap();
        let text = runtime.block_on(async { recorded().render() });
        let everything = ["bookstore-api", "perf-service", "llm-simulator"].into_iter().flat_map(of_service);
        assert_eq!(contradictions(&text, everything), Vec::<String>::new());
        let names: BTreeSet<String> = table::all().map(Metric::exported).collect();
        assert_eq!(names.len(), table::all().count(), "a name is in the table twice");
    }

    #[test]
    fn the_names_that_others_rely_on_are_there() {
        let text = recorded().render();
        for line in [
            r#"bookstore_llm_cost_usd_total{kind="billed",model="llama3.2",provider="ollama"} 0.25"#,
            r#"bookstore_cache_requests_total{cache="book",outcome="hit"} 1"#,
            r#"bookstore_summaries_total{outcome="generated",provider="ollama"} 1"#,
            r#"perf_runs_total{outcome="passed",scenario="smoke"} 1"#,
            r#"simulator_tokens_total{model="llama3.2",protocol="ollama",type="output"} 20"#,
            r#"bookstore_llm_cost_unknown_total{kind="list",provider="ollama"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert!(text.contains(r#"gen_ai_client_token_usage_sum{"#), "{text}");
        assert!(text.contains(r#"le="81.92""#) && text.contains(r#"le="67108864""#), "{text}");
    }

    #[test]
    fn series_that_matter_start_at_zero() {
        let metrics = Metrics::unregistered();
        metrics.start_bookstore_series(&[("ollama", "llama3.2")]);
        metrics.start_perf_series(["smoke"].into_iter(), &["local"]);
        metrics.start_simulator_series(&["ollama"], &["llama3.2"], &["cut"]);
        let text = metrics.render();
        for line in [
            r#"bookstore_cache_requests_total{cache="summary",outcome="error"} 0"#,
            r#"perf_runs_total{outcome="failed",scenario="smoke"} 0"#,
            r#"bookstore_llm_cost_usd_total{kind="billed",model="llama3.2",provider="ollama"} 0"#,
            r#"simulator_answers_total{model="llama3.2",outcome="abandoned",protocol="ollama"} 0"#,
            r#"simulator_tokens_total{model="llama3.2",protocol="ollama",type="input"} 0"#,
            r#"simulator_faults_total{kind="cut",protocol="ollama"} 0"#,
            r#"simulator_answers_under_way{protocol="ollama"} 0"#,
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
