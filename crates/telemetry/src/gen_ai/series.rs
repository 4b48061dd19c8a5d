//! The metrics of LLM calls: instruments of one version of the conventions or of both, and the handles
//! of one provider's and model's series.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, BoundHistogram, Counter, Histogram, Meter};

use super::GenAiUsage;
use crate::conventions::ERROR_TYPE;
use crate::conventions::gen_ai::{self as names, Version};
use crate::handles::Handles;
use crate::metrics::{counter, histogram, token_histogram};
use crate::table::{self, Metric};

/// Names of answering models that are told apart for a model asked for. Servers name what answers, so
/// their number is theirs to choose.
const MOST_RESPONSE_MODELS: usize = 8;
/// Longest such name.
const LONGEST_MODEL: usize = 128;
/// What stands for all others.
const OTHER_MODEL: &str = "_OTHER";

/// An instrument under the name of each version that is emitted.
struct Both<I> {
    v1_41: Option<I>,
    latest: Option<I>,
}

impl<I> Both<I> {
    fn new(version: Version, rows: (Option<&Metric>, Option<&Metric>), make: impl Fn(&Metric) -> I) -> Self {
        Self {
            v1_41: rows.0.filter(|_| version != Version::Latest).map(&make),
            latest: rows.1.filter(|_| version != Version::V1_41).map(&make),
        }
    }

    fn map<O>(&self, work: impl Fn(&I) -> O) -> Both<O> {
        Both { v1_41: self.v1_41.as_ref().map(&work), latest: self.latest.as_ref().map(&work) }
    }

    fn each(&self, work: impl Fn(&I)) {
        self.v1_41.iter().chain(&self.latest).for_each(work);
    }
}

/// The instruments, and how the process records LLM calls.
pub(crate) struct GenAiMetrics {
    duration: Both<Histogram<f64>>,
    first_chunk: Both<Histogram<f64>>,
    per_chunk: Both<Histogram<f64>>,
    /// Of prompts and answers, told apart by a label in v1.41 and by their names in the latest.
    tokens: [Both<Histogram<u64>>; 2],
    /// The latest conventions' totals, in the order of [`totals`].
    totals: Option<[Counter<u64>; 5]>,
}

/// The rows of the counters of tokens.
const TOTALS: [&Metric; 5] = [
    &table::GEN_AI_INPUT_TOKENS,
    &table::GEN_AI_OUTPUT_TOKENS,
    &table::GEN_AI_CACHE_READ_TOKENS,
    &table::GEN_AI_CACHE_WRITE_TOKENS,
    &table::GEN_AI_REASONING_TOKENS,
];

const fn totals(usage: &GenAiUsage) -> [u64; 5] {
    [
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
    ]
}

impl GenAiMetrics {
    pub(crate) fn new(meter: &Meter, version: Version) -> Self {
        let seconds = |old, new| Both::new(version, (Some(old), Some(new)), |row| histogram(meter, row));
        let tokens = |new| {
            Both::new(version, (Some(&table::GEN_AI_TOKEN_USAGE), Some(new)), |row| {
                token_histogram(meter, row)
            })
        };
        Self {
            duration: seconds(&table::GEN_AI_DURATION, &table::GEN_AI_DURATION_LATEST),
            first_chunk: seconds(&table::GEN_AI_FIRST_CHUNK, &table::GEN_AI_FIRST_CHUNK_LATEST),
            per_chunk: seconds(&table::GEN_AI_PER_CHUNK, &table::GEN_AI_PER_CHUNK_LATEST),
            tokens: [
                tokens(&table::GEN_AI_OPERATION_INPUT_TOKENS),
                tokens(&table::GEN_AI_OPERATION_OUTPUT_TOKENS),
            ],
            totals: (version != Version::V1_41).then(|| TOTALS.map(|row| counter(meter, row))),
        }
    }
}

/// The series of the calls of one model at one provider.
pub(super) struct ModelSeries {
    provider: &'static str,
    model: Arc<str>,
    /// Of real answers and of simulated ones.
    per_chunk: [OnceLock<Both<BoundHistogram<f64>>>; 2],
    /// By the model that answered.
    answered: RwLock<Vec<(Answered, Arc<Series>)>>,
}

/// What tells apart the series of those calls.
#[derive(PartialEq, Eq)]
struct Answered {
    model: Option<Arc<str>>,
    simulated: bool,
}

/// Handles.
struct Series {
    durations: Handles<Option<&'static str>, Both<BoundHistogram<f64>>>,
    first_chunk: OnceLock<Both<BoundHistogram<f64>>>,
    tokens: [OnceLock<Both<BoundHistogram<u64>>>; 2],
    totals: [OnceLock<BoundCounter<u64>>; 5],
    /// Of calls for which nothing was reported: zeros of another modality, so that calls can be counted.
    unreported: [OnceLock<BoundCounter<u64>>; 2],
}

/// A call that ended.
pub(super) struct Ended<'a> {
    pub(super) response_model: Option<&'a str>,
    pub(super) simulated: bool,
    pub(super) error_type: Option<&'static str>,
    pub(super) duration: Duration,
    /// Of a streamed answer.
    pub(super) first_chunk: Option<Duration>,
    /// As reported.
    pub(super) usage: Option<GenAiUsage>,
}

impl ModelSeries {
    pub(super) fn new(provider: &'static str, model: &str) -> Self {
        Self { provider, model: Arc::from(model), per_chunk: Default::default(), answered: RwLock::default() }
    }

    pub(super) const fn provider(&self) -> &'static str {
        self.provider
    }

    pub(super) fn model(&self) -> &str {
        &self.model
    }

    fn labels(&self, simulated: bool) -> Vec<KeyValue> {
        vec![
            KeyValue::new(names::OPERATION_NAME, names::OPERATION_CHAT),
            KeyValue::new(names::PROVIDER_NAME, self.provider),
            KeyValue::new(names::REQUEST_MODEL, Arc::clone(&self.model)),
            KeyValue::new(names::SIMULATED, simulated),
        ]
    }

    /// A further piece of a streamed answer came, so long after the one before.
    pub(super) fn chunk(&self, metrics: &GenAiMetrics, simulated: bool, after: Duration) {
        let [real, pretended] = &self.per_chunk;
        let bound = if simulated { pretended } else { real };
        bound
            .get_or_init(|| metrics.per_chunk.map(|histogram| histogram.bind(&self.labels(simulated))))
            .each(|handle| handle.record(after.as_secs_f64()));
    }

    /// A call ended.
    pub(super) fn ended(&self, metrics: &GenAiMetrics, call: &Ended<'_>) {
        let (answered, series) = self.answered(call.response_model, call.simulated);
        let labels = || {
            let mut labels = self.labels(call.simulated);
            let model =
                answered.as_ref().map(|model| KeyValue::new(names::RESPONSE_MODEL, Arc::clone(model)));
            labels.extend(model);
            labels
        };
        let with = |more: KeyValue| {
            let mut labels = labels();
            labels.push(more);
            labels
        };
        let bind = || match call.error_type {
            None => metrics.duration.map(|histogram| histogram.bind(&labels())),
            Some(kind) => {
                metrics.duration.map(|histogram| histogram.bind(&with(KeyValue::new(ERROR_TYPE, kind))))
            }
        };
        let seconds = call.duration.as_secs_f64();
        series.durations.with(call.error_type, bind, |both| both.each(|handle| handle.record(seconds)));
        if let Some(first_chunk) = call.first_chunk {
            series
                .first_chunk
                .get_or_init(|| metrics.first_chunk.map(|histogram| histogram.bind(&labels())))
                .each(|handle| handle.record(first_chunk.as_secs_f64()));
        }
        if let Some(usage) = &call.usage {
            let kinds = [("input", usage.input_tokens), ("output", usage.output_tokens)];
            for ((bound, instruments), (kind, tokens)) in series.tokens.iter().zip(&metrics.tokens).zip(kinds)
            {
                let bind = || Both {
                    v1_41: instruments
                        .v1_41
                        .as_ref()
                        .map(|histogram| histogram.bind(&with(KeyValue::new(names::TOKEN_TYPE, kind)))),
                    latest: instruments.latest.as_ref().map(|histogram| histogram.bind(&labels())),
                };
                bound.get_or_init(bind).each(|handle| handle.record(tokens));
            }
        }
        let Some(counters) = &metrics.totals else { return };
        let add = |bound: &OnceLock<BoundCounter<u64>>, counter: &Counter<u64>, modality, tokens| {
            let labels = || with(KeyValue::new(names::TOKEN_MODALITY, modality));
            bound.get_or_init(|| counter.bind(&labels())).add(tokens);
        };
        match &call.usage {
            Some(usage) => {
                for ((bound, counter), tokens) in series.totals.iter().zip(counters).zip(totals(usage)) {
                    add(bound, counter, "text", tokens);
                }
            }
            None => {
                for (bound, counter) in series.unreported.iter().zip(counters) {
                    add(bound, counter, "unknown", 0);
                }
            }
        }
    }

    /// The series of what answered, and the name that it goes by there.
    fn answered(&self, model: Option<&str>, simulated: bool) -> (Option<Arc<str>>, Arc<Series>) {
        let find = |series: &[(Answered, Arc<Series>)], model: Option<&str>| {
            series
                .iter()
                .find(|(key, _)| key.simulated == simulated && key.model.as_deref() == model)
                .map(|(key, series)| (key.model.clone(), Arc::clone(series)))
        };
        let model = model.filter(|model| model.len() <= LONGEST_MODEL).or(model.map(|_| OTHER_MODEL));
        let kept = find(&self.answered.read().unwrap_or_else(PoisonError::into_inner), model);
        if let Some(kept) = kept {
            return kept;
        }
        let mut answered = self.answered.write().unwrap_or_else(PoisonError::into_inner);
        let model =
            model.map(|model| if answered.len() < MOST_RESPONSE_MODELS { model } else { OTHER_MODEL });
        find(&answered, model).unwrap_or_else(|| {
            let series = Arc::new(Series::default());
            let model: Option<Arc<str>> = model.map(Arc::from);
            answered.push((Answered { model: model.clone(), simulated }, Arc::clone(&series)));
            (model, series)
        })
    }
}

impl Default for Series {
    fn default() -> Self {
        Self {
            durations: Handles::default(),
            first_chunk: OnceLock::new(),
            tokens: Default::default(),
            totals: Default::default(),
            unreported: Default::default(),
        }
    }
}
