//! What the simulator records: a façade of its own, so that callers' tokens and latency can be
//! reconciled with what was really served.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, UpDownCounter};

use crate::metrics::{Metrics, counter, histogram, up_down_counter};
use crate::table;

/// An answer of the simulator that ended.
#[derive(Clone, Copy, Debug)]
pub struct SimulatedAnswer<'a> {
    /// The wire protocol.
    pub protocol: &'static str,
    /// The model, as the simulator offers it.
    pub model: &'a str,
    /// `ok`, `fault`, `error` or `abandoned`.
    pub outcome: &'static str,
    /// Tokens of the question.
    pub input_tokens: u64,
    /// Tokens handed over.
    pub output_tokens: u64,
    /// From the request to the first token, where it got that far.
    pub first_token: Option<Duration>,
    /// From the request to the end.
    pub duration: Duration,
    /// How much later than drawn its latest chunk was handed over.
    pub lateness: Duration,
}

/// The instruments.
pub(crate) struct SimulatorMetrics {
    answers: Counter<u64>,
    tokens: Counter<u64>,
    faults: Counter<u64>,
    first_token: Histogram<f64>,
    duration: Histogram<f64>,
    lateness: Histogram<f64>,
    under_way: UpDownCounter<i64>,
}

impl SimulatorMetrics {
    pub(crate) fn new(meter: &Meter) -> Self {
        Self {
            answers: counter(meter, &table::SIMULATOR_ANSWERS),
            tokens: counter(meter, &table::SIMULATOR_TOKENS),
            faults: counter(meter, &table::SIMULATOR_FAULTS),
            first_token: histogram(meter, &table::SIMULATOR_FIRST_TOKEN),
            duration: histogram(meter, &table::SIMULATOR_DURATION),
            lateness: histogram(meter, &table::SIMULATOR_LATENESS),
            under_way: up_down_counter(meter, &table::SIMULATOR_UNDER_WAY),
        }
    }
}

impl Metrics {
    /// Starts a simulator's counters at zero, so that the first answer and the first fault are seen as
    /// an increase: of answers and tokens of these models, and of these kinds of faults.
    pub fn start_simulator_series(
        &self,
        protocols: &[&'static str],
        models: &[&str],
        kinds: &[&'static str],
    ) {
        let metrics = self.simulator();
        for protocol in protocols {
            self.simulator_under_way(protocol, 0);
            for kind in kinds {
                self.simulator_fault(protocol, kind, 0);
            }
            for model in models {
                let of = |name: &'static str, value: &'static str| {
                    let model = KeyValue::new("model", (*model).to_owned());
                    [KeyValue::new("protocol", *protocol), model, KeyValue::new(name, value)]
                };
                for outcome in ["ok", "fault", "error", "abandoned"] {
                    metrics.answers.add(0, &of("outcome", outcome));
                }
                for tokens in ["input", "output"] {
                    metrics.tokens.add(0, &of("type", tokens));
                }
            }
        }
    }

    /// An answer of the simulator began (1) or ended (-1).
    pub fn simulator_under_way(&self, protocol: &'static str, by: i64) {
        self.simulator().under_way.add(by, &[KeyValue::new("protocol", protocol)]);
    }

    /// An answer of the simulator ended.
    pub fn simulator_answer(&self, answer: &SimulatedAnswer<'_>) {
        let metrics = self.simulator();
        let protocol = KeyValue::new("protocol", answer.protocol);
        let model = KeyValue::new("model", answer.model.to_owned());
        let with = |name: &'static str, value: &'static str| {
            [protocol.clone(), model.clone(), KeyValue::new(name, value)]
        };
        metrics.answers.add(1, &with("outcome", answer.outcome));
        metrics.duration.record(answer.duration.as_secs_f64(), &with("outcome", answer.outcome));
        metrics.tokens.add(answer.input_tokens, &with("type", "input"));
        metrics.tokens.add(answer.output_tokens, &with("type", "output"));
        if let Some(first_token) = answer.first_token {
            metrics.lateness.record(answer.lateness.as_secs_f64(), std::slice::from_ref(&protocol));
            metrics.first_token.record(first_token.as_secs_f64(), &[protocol, model]);
        }
    }

    /// The simulator injected faults of this kind.
    pub fn simulator_fault(&self, protocol: &'static str, kind: &'static str, by: u64) {
        let labels = [KeyValue::new("protocol", protocol), KeyValue::new("kind", kind)];
        self.simulator().faults.add(by, &labels);
    }
}
