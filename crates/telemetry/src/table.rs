//! The metric table: every metric of every binary with its name, unit, kind, labels and help.
//!
//! A metric that is not here does not exist: instruments are built from these entries only. In
//! Prometheus' text a dot becomes `_`, a duration gains `_seconds`, a counter gains `_total`.

/// What kind of instrument a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Grows and shrinks.
    UpDownCounter,
    /// Observations in buckets.
    Histogram,
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

/// Seconds, as the HTTP conventions advise, and on to 120 for routes on which an LLM answers.
const HTTP_SECONDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0, 120.0];
/// Seconds, as the GenAI conventions advise: 0.01 · 2ⁿ.
const GEN_AI_SECONDS: &[f64] =
    &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
/// Tokens, as the GenAI conventions advise: 4ⁿ.
const GEN_AI_TOKENS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

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
/// Duration of LLM calls, by v1.41.
pub const GEN_AI_DURATION: Metric = Metric {
    name: "gen_ai.client.operation.duration",
    unit: "s",
    kind: Kind::Histogram,
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "error.type",
        "simulated",
    ],
    help: "Duration of calls to LLM providers",
    buckets: GEN_AI_SECONDS,
};
/// Time to the first piece of an LLM's streamed answer, by v1.41.
pub const GEN_AI_FIRST_CHUNK: Metric = Metric {
    name: "gen_ai.client.operation.time_to_first_chunk",
    unit: "s",
    kind: Kind::Histogram,
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "simulated",
    ],
    help: "Time from sending a request to an LLM provider to the first piece of its streamed answer",
    buckets: GEN_AI_SECONDS,
};
/// Time from each piece of an LLM's streamed answer to the next, by v1.41.
pub const GEN_AI_PER_CHUNK: Metric = Metric {
    name: "gen_ai.client.operation.time_per_output_chunk",
    unit: "s",
    kind: Kind::Histogram,
    labels: &["gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "simulated"],
    help: "Time from each piece of a streamed answer to the next",
    buckets: GEN_AI_SECONDS,
};
/// Tokens as the provider reported them, by v1.41.
pub const GEN_AI_TOKEN_USAGE: Metric = Metric {
    name: "gen_ai.client.token.usage",
    unit: "{token}",
    kind: Kind::Histogram,
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "gen_ai.token.type",
        "simulated",
    ],
    help: "Tokens of calls to LLM providers, as the provider reported them",
    buckets: GEN_AI_TOKENS,
};
/// Duration of LLM calls, by the latest conventions.
pub const GEN_AI_DURATION_LATEST: Metric = Metric {
    name: "gen_ai.client.inference.duration",
    unit: "s",
    kind: Kind::Histogram,
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "error.type",
        "simulated",
    ],
    help: "Duration of calls to LLM providers",
    buckets: GEN_AI_SECONDS,
};
/// Time to the first piece of an LLM's streamed answer, by the latest conventions.
pub const GEN_AI_FIRST_CHUNK_LATEST: Metric = Metric {
    name: "gen_ai.client.inference.time_to_first_chunk",
    unit: "s",
    kind: Kind::Histogram,
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "simulated",
    ],
    help: "Time from sending a request to an LLM provider to the first piece of its streamed answer",
    buckets: GEN_AI_SECONDS,
};
/// Time from each piece of an LLM's streamed answer to the next, by the latest conventions.
pub const GEN_AI_PER_CHUNK_LATEST: Metric = Metric {
    name: "gen_ai.client.inference.time_per_output_chunk",
    unit: "s",
    kind: Kind::Histogram,
    labels: &["gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "simulated"],
    help: "Time from each piece of a streamed answer to the next",
    buckets: GEN_AI_SECONDS,
};
/// Tokens of a call's prompt, as reported, by the latest conventions.
pub const GEN_AI_OPERATION_INPUT_TOKENS: Metric = Metric {
    name: "gen_ai.client.inference.operation.input_tokens",
    unit: "{token}",
    kind: Kind::Histogram,
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "simulated",
    ],
    help: "Tokens of a call's prompt, as the provider reported them",
    buckets: GEN_AI_TOKENS,
};
/// Tokens of a call's answer, as reported, by the latest conventions.
pub const GEN_AI_OPERATION_OUTPUT_TOKENS: Metric = Metric {
    name: "gen_ai.client.inference.operation.output_tokens",
    unit: "{token}",
    kind: Kind::Histogram,
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "simulated",
    ],
    help: "Tokens of a call's answer, as the provider reported them",
    buckets: GEN_AI_TOKENS,
};
/// Tokens of prompts, as reported, by the latest conventions.
pub const GEN_AI_INPUT_TOKENS: Metric = Metric {
    name: "gen_ai.client.inference.usage.input_tokens",
    unit: "{token}",
    kind: Kind::Counter,
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "gen_ai.token.modality",
        "simulated",
    ],
    help: "Tokens of prompts, as the provider reported them",
    buckets: &[],
};
/// Tokens of answers, as reported, by the latest conventions.
pub const GEN_AI_OUTPUT_TOKENS: Metric = Metric {
    name: "gen_ai.client.inference.usage.output_tokens",
    unit: "{token}",
    kind: Kind::Counter,
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "gen_ai.token.modality",
        "simulated",
    ],
    help: "Tokens of answers, as the provider reported them",
    buckets: &[],
};
/// Tokens of prompts that came from providers' caches, as reported, by the latest conventions.
pub const GEN_AI_CACHE_READ_TOKENS: Metric = Metric {
    name: "gen_ai.client.inference.usage.cache_read.input_tokens",
    unit: "{token}",
    kind: Kind::Counter,
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "gen_ai.token.modality",
        "simulated",
    ],
    help: "Tokens of prompts that came from providers' caches, as the provider reported them",
    buckets: &[],
};
/// Tokens of prompts that went into providers' caches, as reported, by the latest conventions.
pub const GEN_AI_CACHE_WRITE_TOKENS: Metric = Metric {
    name: "gen_ai.client.inference.usage.cache_write.input_tokens",
    unit: "{token}",
    kind: Kind::Counter,
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "gen_ai.token.modality",
        "simulated",
    ],
    help: "Tokens of prompts that went into providers' caches, as the provider reported them",
    buckets: &[],
};
/// Tokens of answers that were thought, as reported, by the latest conventions.
pub const GEN_AI_REASONING_TOKENS: Metric = Metric {
    name: "gen_ai.client.inference.usage.reasoning.output_tokens",
    unit: "{token}",
    kind: Kind::Counter,
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "gen_ai.token.modality",
        "simulated",
    ],
    help: "Tokens of answers that were thought, as the provider reported them",
    buckets: &[],
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
    help: "Duration of store operations by outcome: ok or the kind of error",
    buckets: HTTP_SECONDS,
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
/// Load runs that ended.
pub const PERF_RUNS: Metric = Metric {
    name: "perf.runs",
    unit: "",
    kind: Kind::Counter,
    labels: &["scenario", "outcome"],
    help: "Load runs that ended by outcome: passed, failed, inconclusive, broken, cancelled",
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

/// Every metric there is.
pub const ALL: &[Metric] = &[
    HTTP_SERVER_REQUEST_DURATION,
    HTTP_SERVER_ACTIVE_REQUESTS,
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
    SUMMARIES,
    BOOKS_WRITTEN,
    PERF_RUNS,
    SIMULATOR_ANSWERS,
    SIMULATOR_TOKENS,
    SIMULATOR_FAULTS,
    SIMULATOR_FIRST_TOKEN,
    SIMULATOR_DURATION,
    SIMULATOR_LATENESS,
    SIMULATOR_UNDER_WAY,
];
