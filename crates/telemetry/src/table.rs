//! The metric table: every metric of every binary with its name, unit, kind, labels and help.
//!
//! A metric that is not here does not exist: instruments are built from these entries only. In
//! Prometheus' text a dot becomes `_`, a duration gains `_seconds`, a size `_bytes`, a counter
//! `_total`. What is read at a scrape, and not recorded when it happens, stands in
//! [`COLLECTED`]. `monitoring/metrics.md` is generated from here (`table/listing.rs`).

mod collected;
mod gen_ai;
pub mod listing;
pub mod scrape;

pub use collected::*;
pub use gen_ai::*;

/// What kind of instrument a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Grows and shrinks by what happens.
    UpDownCounter,
    /// Is what was found last.
    Gauge,
    /// Observations in buckets.
    Histogram,
}

impl Kind {
    /// The type that Prometheus knows it by.
    #[must_use]
    pub const fn exported(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::UpDownCounter | Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// OpenTelemetry name.
    pub name: &'static str,
    /// UCUM unit; empty for none.
    pub unit: &'static str,
    /// Instrument.
    pub kind: Kind,
    /// Attribute names.
    pub labels: &'static [&'static str],
    /// What it says, in one line.
    pub help: &'static str,
    /// Bucket boundaries of a histogram.
    pub buckets: &'static [f64],
}

impl Metric {
    /// Its name in Prometheus' text: a histogram's without `_bucket`, `_sum` and `_count`.
    #[must_use]
    pub fn exported(&self) -> String {
        let base = self.name.replace('.', "_");
        let unit = match self.unit {
            "s" => "_seconds",
            "By" => "_bytes",
            _ => "",
        };
        let suffix = if self.kind == Kind::Counter { "_total" } else { "" };
        format!("{base}{unit}{suffix}")
    }

    /// Its labels in Prometheus' text.
    pub fn exported_labels(&self) -> impl Iterator<Item = String> {
        self.labels.iter().map(|label| label.replace('.', "_"))
    }
}

/// Every metric: what is recorded, and what is read at a scrape.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    ALL.iter().chain(COLLECTED)
}

/// The metric of this name in Prometheus' text.
#[must_use]
pub fn find(exported: &str) -> Option<&'static Metric> {
    all().find(|metric| metric.exported() == exported)
}

/// Seconds, as the HTTP conventions advise, and on to 120 for routes on which an LLM answers.
const HTTP_SECONDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0, 120.0];
/// Seconds, as the GenAI conventions advise: 0.01 · 2ⁿ.
const GEN_AI_SECONDS: &[f64] =
    &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
/// Seconds of cache operations: from those in process, which take microseconds, to a second.
const CACHE_SECONDS: &[f64] = &[
    0.000_001, 0.000_005, 0.000_01, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025,
    0.05, 0.1, 0.25, 0.5, 1.0,
];
/// Seconds of load runs, to an hour.
const RUN_SECONDS: &[f64] =
    &[5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_200.0, 1_800.0, 2_700.0, 3_600.0, 7_200.0];

/// Duration of HTTP requests served, to the end of the answer's body.
pub const HTTP_SERVER_REQUEST_DURATION: Metric = Metric {
    name: "http.server.request.duration",
    unit: "s",
    kind: Kind::Histogram,
    labels: &["http.request.method", "url.scheme", "http.route", "http.response.status_code", "error.type"],
    help: "Duration of HTTP requests served, to the end of the body",
    buckets: HTTP_SECONDS,
};
/// HTTP requests being served.
pub const HTTP_SERVER_ACTIVE_REQUESTS: Metric = Metric {
    name: "http.server.active_requests",
    unit: "{request}",
    kind: Kind::UpDownCounter,
    labels: &["http.request.method", "url.scheme"],
    help: "HTTP requests being served now",
    buckets: &[],
};
/// Duration of HTTP requests sent, to the head of the answer.
pub const HTTP_CLIENT_REQUEST_DURATION: Metric = Metric {
    name: "http.client.request.duration",
    unit: "s",
    kind: Kind::Histogram,
    labels: &[
        "http.request.method",
        "server.address",
        "server.port",
        "http.response.status_code",
        "error.type",
    ],
    help: "Duration of HTTP requests to other services and LLM providers, to the head of the answer",
    buckets: HTTP_SECONDS,
};
/// Dollars, billed and by list price.
pub const LLM_COST: Metric = Metric {
    name: "bookstore.llm.cost_usd",
    unit: "",
    kind: Kind::Counter,
    labels: &["provider", "model", "kind"],
    help: "Dollars for LLM calls: kind billed is what was paid, list is by list price",
    buckets: &[],
};
/// LLM calls without a known price.
pub const LLM_COST_UNKNOWN: Metric = Metric {
    name: "bookstore.llm.cost_unknown",
    unit: "",
    kind: Kind::Counter,
    labels: &["provider", "kind"],
    help: "LLM calls whose price is not known, so that no dollars were counted for them",
    buckets: &[],
};
/// State of the breakers.
pub const LLM_BREAKER_STATE: Metric = Metric {
    name: "bookstore.llm.breaker_state",
    unit: "",
    kind: Kind::UpDownCounter,
    labels: &["provider", "model", "state"],
    help: "1 for the state that the breaker of an LLM provider is in (closed, open, half_open), 0 for the others",
    buckets: &[],
};
/// Transitions of the breakers.
pub const LLM_BREAKER_TRANSITIONS: Metric = Metric {
    name: "bookstore.llm.breaker_transitions",
    unit: "",
    kind: Kind::Counter,
    labels: &["provider", "model", "state"],
    help: "How often the breaker of an LLM provider came into a state: closed, open, half_open",
    buckets: &[],
};
/// Attempts at LLM providers.
pub const LLM_ATTEMPTS: Metric = Metric {
    name: "bookstore.llm.attempts",
    unit: "",
    kind: Kind::Counter,
    labels: &["provider", "outcome"],
    help: "Attempts at LLM providers by outcome: ok, cancelled (the caller left) or the kind of error",
    buckets: &[],
};
/// Providers asked again.
pub const LLM_RETRIES: Metric = Metric {
    name: "bookstore.llm.retries",
    unit: "",
    kind: Kind::Counter,
    labels: &["provider", "reason"],
    help: "Times that an LLM provider was asked again, by the kind of error before",
    buckets: &[],
};
/// Providers asked in another's place.
pub const LLM_FALLBACKS: Metric = Metric {
    name: "bookstore.llm.fallbacks",
    unit: "",
    kind: Kind::Counter,
    labels: &["from", "to", "reason"],
    help: "Times that a request went on to another LLM provider, by the kind of error of the one before",
    buckets: &[],
};
/// Attempts that a budget or limit did not let in.
pub const LLM_LIMIT_REFUSALS: Metric = Metric {
    name: "bookstore.llm.limit_refusals",
    unit: "",
    kind: Kind::Counter,
    labels: &["limit"],
    help: "LLM calls that a budget or a limit did not let in, by limit",
    buckets: &[],
};
/// What may be spent today.
pub const LLM_BUDGET: Metric = Metric {
    name: "bookstore.llm.budget_usd",
    unit: "",
    kind: Kind::Gauge,
    labels: &["scope", "counts"],
    help: "Dollars that may be spent on LLM calls in a day, by UTC; absent where there is no budget",
    buckets: &[],
};
/// What was spent today.
pub const LLM_BUDGET_SPENT: Metric = Metric {
    name: "bookstore.llm.budget_spent_usd",
    unit: "",
    kind: Kind::Gauge,
    labels: &["scope", "counts"],
    help: "Dollars of the day's budget that are spent or set aside for calls under way; absent where there is no budget",
    buckets: &[],
};
/// Answers that were not let through.
pub const ANSWERS_REFUSED: Metric = Metric {
    name: "bookstore.answers_refused",
    unit: "",
    kind: Kind::Counter,
    labels: &["reason"],
    help: "Answers of LLMs that were not safe to be stored or served, by reason",
    buckets: &[],
};
/// Requests of experiments.
pub const EXPERIMENT_REQUESTS: Metric = Metric {
    name: "bookstore.experiment.requests",
    unit: "",
    kind: Kind::Counter,
    labels: &["experiment", "arm", "outcome"],
    help: "Requests of an experiment's arm by outcome: ok or the kind of error",
    buckets: &[],
};
/// Duration of requests of experiments.
pub const EXPERIMENT_DURATION: Metric = Metric {
    name: "bookstore.experiment.duration",
    unit: "s",
    kind: Kind::Histogram,
    labels: &["experiment", "arm"],
    help: "Duration of requests of an experiment's arm, all attempts in all",
    buckets: GEN_AI_SECONDS,
};
/// Dollars of experiments.
pub const EXPERIMENT_COST: Metric = Metric {
    name: "bookstore.experiment.cost_usd",
    unit: "",
    kind: Kind::Counter,
    labels: &["experiment", "arm", "kind"],
    help: "Dollars of an experiment's arm: kind billed is what was paid, list is by list price",
    buckets: &[],
};
/// Cache look-ups.
pub const CACHE_REQUESTS: Metric = Metric {
    name: "bookstore.cache.requests",
    unit: "",
    kind: Kind::Counter,
    labels: &["cache", "outcome"],
    help: "Cache look-ups by outcome: hit, miss, error",
    buckets: &[],
};
/// Cache invalidations that failed.
pub const CACHE_INVALIDATION_FAILURES: Metric = Metric {
    name: "bookstore.cache.invalidation_failures",
    unit: "",
    kind: Kind::Counter,
    labels: &["cache"],
    help: "Invalidations that failed while their write waited; they are repeated in the background",
    buckets: &[],
};
/// Invalidations that were repeated in the background.
pub const CACHE_INVALIDATION_RETRIES: Metric = Metric {
    name: "bookstore.cache.invalidation_retries",
    unit: "",
    kind: Kind::Counter,
    labels: &["outcome"],
    help: "Keys of repeated invalidations by outcome: carried_out, failed, expired, overflow (not repeated)",
    buckets: &[],
};
/// Invalidations that wait to be repeated.
pub const CACHE_INVALIDATIONS_PENDING: Metric = Metric {
    name: "bookstore.cache.invalidations_pending",
    unit: "",
    kind: Kind::UpDownCounter,
    labels: &[],
    help: "Keys whose invalidation failed and is still to be carried out",
    buckets: &[],
};
/// Leases for calls that only one process should make.
pub const LEASES: Metric = Metric {
    name: "bookstore.leases",
    unit: "",
    kind: Kind::Counter,
    labels: &["outcome"],
    help: "Leases wanted for provider calls by outcome: acquired, held by another, unavailable; and those lost",
    buckets: &[],
};
/// Duration of store operations.
pub const STORE_OPERATION_DURATION: Metric = Metric {
    name: "bookstore.store.operation.duration",
    unit: "s",
    kind: Kind::Histogram,
    labels: &["store", "operation", "outcome"],
    help: "Duration of store operations by outcome: ok, cancelled where the caller left, or the kind of error",
    buckets: HTTP_SECONDS,
};
/// Duration of cache operations.
pub const CACHE_OPERATION_DURATION: Metric = Metric {
    name: "bookstore.cache.operation.duration",
    unit: "s",
    kind: Kind::Histogram,
    labels: &["backend", "operation", "outcome"],
    help: "Duration of cache operations by backend (redis, process) and outcome: ok, cancelled where the caller left, or the kind of error",
    buckets: CACHE_SECONDS,
};
/// Whether dependencies answer.
pub const DEPENDENCY_UP: Metric = Metric {
    name: "bookstore.dependency_up",
    unit: "",
    kind: Kind::Gauge,
    labels: &["dependency"],
    help: "1 while the store or the cache answers, 0 while it does not, as /health/ready sees it",
    buckets: &[],
};
/// Connections of the database's pool.
pub const DB_CONNECTIONS: Metric = Metric {
    name: "db.client.connection.count",
    unit: "{connection}",
    kind: Kind::Gauge,
    labels: &["db.client.connection.pool.name", "db.client.connection.state"],
    help: "Connections of the database's pool that are idle or used; absent with the embedded store",
    buckets: &[],
};
/// Operations that wait for a connection.
pub const DB_PENDING_REQUESTS: Metric = Metric {
    name: "db.client.connection.pending_requests",
    unit: "{request}",
    kind: Kind::Gauge,
    labels: &["db.client.connection.pool.name"],
    help: "Operations that wait for a connection of the database's pool; absent with the embedded store",
    buckets: &[],
};
/// Summaries answered.
pub const SUMMARIES: Metric = Metric {
    name: "bookstore.summaries",
    unit: "",
    kind: Kind::Counter,
    labels: &["provider", "outcome"],
    help: "Summaries asked for by outcome: generated, shared (another's call), stored, cached or the kind of error",
    buckets: &[],
};
/// Books written.
pub const BOOKS_WRITTEN: Metric = Metric {
    name: "bookstore.books.written",
    unit: "",
    kind: Kind::Counter,
    labels: &["operation"],
    help: "Books created, replaced, deleted or imported",
    buckets: &[],
};
/// Books there are.
pub const BOOKS: Metric = Metric {
    name: "bookstore.books",
    unit: "",
    kind: Kind::Gauge,
    labels: &[],
    help: "Books in the store, counted every few seconds",
    buckets: &[],
};
/// Books that have a summary.
pub const BOOKS_WITH_SUMMARY: Metric = Metric {
    name: "bookstore.books_summarised",
    unit: "",
    kind: Kind::Gauge,
    labels: &[],
    help: "Books in the store that have a summary, counted every few seconds",
    buckets: &[],
};
/// Authors there are.
pub const AUTHORS: Metric = Metric {
    name: "bookstore.authors",
    unit: "",
    kind: Kind::Gauge,
    labels: &[],
    help: "Authors in the store, counted every few seconds",
    buckets: &[],
};
/// Load runs that ended.
pub const PERF_RUNS: Metric = Metric {
    name: "perf.runs",
    unit: "",
    kind: Kind::Counter,
    labels: &["scenario", "outcome"],
    help: "Load runs that ended by outcome: passed, failed, inconclusive, broken, cancelled",
    buckets: &[],
};
/// Load runs that have not ended.
pub const PERF_RUNS_UNDER_WAY: Metric = Metric {
    name: "perf.runs_under_way",
    unit: "",
    kind: Kind::UpDownCounter,
    labels: &["state"],
    help: "Load runs of this process that have not ended, by state: queued, starting, running, stopping",
    buckets: &[],
};
/// How long load runs took.
pub const PERF_RUN_DURATION: Metric = Metric {
    name: "perf.run.duration",
    unit: "s",
    kind: Kind::Histogram,
    labels: &["scenario", "outcome"],
    help: "From the start of a load run's k6 to the run's end, by outcome as in perf_runs_total",
    buckets: RUN_SECONDS,
};
/// Attempts to start k6.
pub const PERF_K6_STARTS: Metric = Metric {
    name: "perf.k6_starts",
    unit: "",
    kind: Kind::Counter,
    labels: &["engine", "outcome"],
    help: "Attempts to start k6 by engine (docker, local) and outcome: ok or the kind of error",
    buckets: &[],
};
/// Samples of k6.
pub const PERF_SAMPLES: Metric = Metric {
    name: "perf.samples",
    unit: "",
    kind: Kind::Counter,
    labels: &[],
    help: "Samples of k6 that were read from its output",
    buckets: &[],
};
/// Answers of the simulator.
pub const SIMULATOR_ANSWERS: Metric = Metric {
    name: "simulator.answers",
    unit: "",
    kind: Kind::Counter,
    labels: &["protocol", "model", "outcome"],
    help: "Answers that the simulator gave by outcome: ok, fault (injected), error (drawn or recorded), abandoned (the client left)",
    buckets: &[],
};
/// Tokens that the simulator served.
pub const SIMULATOR_TOKENS: Metric = Metric {
    name: "simulator.tokens",
    unit: "",
    kind: Kind::Counter,
    labels: &["protocol", "model", "type"],
    help: "Tokens that the simulator really served, whatever an answer told: type input (as soon as a request is let in, however its answer ends) or output (handed over)",
    buckets: &[],
};
/// Faults injected by the simulator.
pub const SIMULATOR_FAULTS: Metric = Metric {
    name: "simulator.faults",
    unit: "",
    kind: Kind::Counter,
    labels: &["protocol", "kind"],
    help: "Faults that the simulator injected, by kind",
    buckets: &[],
};
/// The simulator's time to the first token.
pub const SIMULATOR_FIRST_TOKEN: Metric = Metric {
    name: "simulator.first_token",
    unit: "s",
    kind: Kind::Histogram,
    labels: &["protocol", "model"],
    help: "From the request to the first token, as served",
    buckets: GEN_AI_SECONDS,
};
/// The simulator's time to the end of an answer.
pub const SIMULATOR_DURATION: Metric = Metric {
    name: "simulator.answer.duration",
    unit: "s",
    kind: Kind::Histogram,
    labels: &["protocol", "model", "outcome"],
    help: "From the request to the end of the answer, as served",
    buckets: GEN_AI_SECONDS,
};
/// How late the simulator itself was.
pub const SIMULATOR_LATENESS: Metric = Metric {
    name: "simulator.lateness",
    unit: "s",
    kind: Kind::Histogram,
    labels: &["protocol"],
    help: "How much later than drawn the latest chunk of an answer was handed over: above a few milliseconds the simulator lacks CPU, and its latency is no longer the profile's",
    buckets: &[0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0],
};
/// Answers of the simulator under way.
pub const SIMULATOR_UNDER_WAY: Metric = Metric {
    name: "simulator.answers_under_way",
    unit: "",
    kind: Kind::UpDownCounter,
    labels: &["protocol"],
    help: "Answers that the simulator is giving now",
    buckets: &[],
};

/// Every metric that is recorded as things happen.
pub const ALL: &[Metric] = &[
    HTTP_SERVER_REQUEST_DURATION,
    HTTP_SERVER_ACTIVE_REQUESTS,
    HTTP_CLIENT_REQUEST_DURATION,
    GEN_AI_DURATION,
    GEN_AI_FIRST_CHUNK,
    GEN_AI_PER_CHUNK,
    GEN_AI_TOKEN_USAGE,
    GEN_AI_DURATION_LATEST,
    GEN_AI_FIRST_CHUNK_LATEST,
    GEN_AI_PER_CHUNK_LATEST,
    GEN_AI_OPERATION_INPUT_TOKENS,
    GEN_AI_OPERATION_OUTPUT_TOKENS,
    GEN_AI_INPUT_TOKENS,
    GEN_AI_OUTPUT_TOKENS,
    GEN_AI_CACHE_READ_TOKENS,
    GEN_AI_CACHE_WRITE_TOKENS,
    GEN_AI_REASONING_TOKENS,
    LLM_COST,
    LLM_COST_UNKNOWN,
    LLM_BREAKER_STATE,
    LLM_BREAKER_TRANSITIONS,
    LLM_ATTEMPTS,
    LLM_RETRIES,
    LLM_FALLBACKS,
    LLM_LIMIT_REFUSALS,
    LLM_BUDGET,
    LLM_BUDGET_SPENT,
    ANSWERS_REFUSED,
    EXPERIMENT_REQUESTS,
    EXPERIMENT_DURATION,
    EXPERIMENT_COST,
    CACHE_REQUESTS,
    CACHE_INVALIDATION_FAILURES,
    CACHE_INVALIDATION_RETRIES,
    CACHE_INVALIDATIONS_PENDING,
    LEASES,
    STORE_OPERATION_DURATION,
    CACHE_OPERATION_DURATION,
    DEPENDENCY_UP,
    DB_CONNECTIONS,
    DB_PENDING_REQUESTS,
    SUMMARIES,
    BOOKS_WRITTEN,
    BOOKS,
    BOOKS_WITH_SUMMARY,
    AUTHORS,
    PERF_RUNS,
    PERF_RUNS_UNDER_WAY,
    PERF_RUN_DURATION,
    PERF_K6_STARTS,
    PERF_SAMPLES,
    SIMULATOR_ANSWERS,
    SIMULATOR_TOKENS,
    SIMULATOR_FAULTS,
    SIMULATOR_FIRST_TOKEN,
    SIMULATOR_DURATION,
    SIMULATOR_LATENESS,
    SIMULATOR_UNDER_WAY,
];
