//! What is recorded of one call: once, when it ends or is dropped.
//!
//! A client that leaves drops its call wherever that is, and so is counted, too. Must not know what
//! an answer is made of.

use std::time::{Duration, Instant};

use telemetry::{Metrics, SimulatedAnswer};

use crate::answer::Usage;
use crate::call::Call;
use crate::simulator::Place;

/// A call under way, recorded when dropped.
pub(super) struct Record {
    metrics: Metrics,
    protocol: &'static str,
    model: String,
    outcome: &'static str,
    /// Whether what goes wrong is a fault on purpose.
    injected: bool,
    pub(super) started: Instant,
    pub(super) first_token: Option<Duration>,
    /// How much later than drawn the latest chunk was handed over.
    pub(super) lateness: Duration,
    /// Tokens handed to the client; a whole answer that was left before its end had none.
    pub(super) usage: Usage,
}

impl Record {
    /// Starts the clock. Until something else is said, its client has left it.
    pub(super) fn start(metrics: Metrics, protocol: &'static str, model: &str, injected: bool) -> Self {
        metrics.simulator_under_way(protocol, 1);
        Self {
            metrics,
            protocol,
            model: model.to_owned(),
            outcome: "abandoned",
            injected,
            started: Instant::now(),
            first_token: None,
            lateness: Duration::ZERO,
            usage: Usage::default(),
        }
    }

    /// It got as far as what was to go wrong.
    pub(super) fn failed(&mut self) {
        self.outcome = if self.injected { "fault" } else { "error" };
    }

    /// It went well.
    pub(super) fn succeeded(&mut self) {
        self.outcome = "ok";
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.metrics.simulator_answer(&SimulatedAnswer {
            protocol: self.protocol,
            model: &self.model,
            outcome: self.outcome,
            input_tokens: self.usage.input_tokens,
            output_tokens: self.usage.output_tokens,
            first_token: self.first_token,
            duration: self.started.elapsed(),
            lateness: self.lateness,
        });
        self.metrics.simulator_under_way(self.protocol, -1);
    }
}

/// A call that is to fail, on its way to its client.
pub struct Refusing {
    record: Record,
    _place: Place,
}

impl Refusing {
    /// Starts the clock. `model` is what the call counts as in metrics.
    #[must_use]
    pub fn start(call: &Call, model: &str, injected: bool, place: Place, metrics: Metrics) -> Self {
        Self { record: Record::start(metrics, call.protocol.as_str(), model, injected), _place: place }
    }

    /// Waits until the failure is due, counted from the request.
    pub async fn due(mut self, after: Duration) {
        if !after.is_zero() {
            tokio::time::sleep(after.saturating_sub(self.record.started.elapsed())).await;
        }
        self.record.failed();
    }
}
