//! BookStore's own metrics of what it asks of LLMs: attempts, dollars, limits, experiments and
//! answers that were not let through. What the GenAI conventions name stands apart.
//!
//! Tenants, books and texts are never labels. Experiments and arms come from a settings file.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};

use crate::metrics::{Metrics, counter, dollars, histogram};
use crate::table;

/// What becomes of an attempt: `ok`, `cancelled`, or the kind of its error.
const OUTCOMES: [&str; 12] = [
    "ok",
    "cancelled",
    "rate_limited",
    "overloaded",
    "timeout",
    "unavailable",
    "unauthorized",
    "refused",
    "context_too_long",
    "bad_request",
    "bad_answer",
    "not_admitted",
];

/// The instruments.
pub(crate) struct LlmMetrics {
    attempts: Counter<u64>,
    retries: Counter<u64>,
    fallbacks: Counter<u64>,
    cost: Counter<f64>,
    cost_unknown: Counter<u64>,
    limit_refusals: Counter<u64>,
    answers_refused: Counter<u64>,
    experiment_requests: Counter<u64>,
    experiment_duration: Histogram<f64>,
    experiment_cost: Counter<f64>,
}

impl LlmMetrics {
    pub(crate) fn new(meter: &Meter) -> Self {
        Self {
            attempts: counter(meter, &table::LLM_ATTEMPTS),
            retries: counter(meter, &table::LLM_RETRIES),
            fallbacks: counter(meter, &table::LLM_FALLBACKS),
            cost: dollars(meter, &table::LLM_COST),
            cost_unknown: counter(meter, &table::LLM_COST_UNKNOWN),
            limit_refusals: counter(meter, &table::LLM_LIMIT_REFUSALS),
            answers_refused: counter(meter, &table::ANSWERS_REFUSED),
            experiment_requests: counter(meter, &table::EXPERIMENT_REQUESTS),
            experiment_duration: histogram(meter, &table::EXPERIMENT_DURATION),
            experiment_cost: dollars(meter, &table::EXPERIMENT_COST),
        }
    }
}

impl Metrics {
    /// An attempt ended: `ok`, `cancelled` or the kind of its error. One that our own limits did not
    /// let in counts as `not_admitted`.
    pub fn llm_attempt(&self, provider: &'static str, outcome: &'static str) {
        self.llm_attempts(provider, outcome, 1);
    }

    fn llm_attempts(&self, provider: &'static str, outcome: &'static str, by: u64) {
        let labels = [KeyValue::new("provider", provider), KeyValue::new("outcome", outcome)];
        self.llm().attempts.add(by, &labels);
    }

    /// A provider is asked again, because it failed in this way.
    pub fn llm_retried(&self, provider: &'static str, reason: &'static str) {
        self.llm().retries.add(1, &[KeyValue::new("provider", provider), KeyValue::new("reason", reason)]);
    }

    /// The provider `to` is asked in place of `from`, because that one failed in this way.
    pub fn llm_fell_back(&self, from: &'static str, to: &'static str, reason: &'static str) {
        let labels = [KeyValue::new("from", from), KeyValue::new("to", to), KeyValue::new("reason", reason)];
        self.llm().fallbacks.add(1, &labels);
    }

    /// Dollars of a provider call; what is not known is counted as unknown, never as zero.
    pub fn llm_cost(&self, provider: &'static str, model: &str, billed: Option<f64>, list: Option<f64>) {
        for (kind, dollars) in [("billed", billed), ("list", list)] {
            let kind = KeyValue::new("kind", kind);
            let provider = KeyValue::new("provider", provider);
            match dollars {
                Some(dollars) => {
                    let model = KeyValue::new("model", model.to_owned());
                    self.llm().cost.add(dollars, &[provider, model, kind]);
                }
                None => self.llm().cost_unknown.add(1, &[provider, kind]),
            }
        }
    }

    /// A limit did not let an attempt in. `limit` names the limit, never the tenant.
    pub fn limit_refused(&self, limit: &'static str) {
        self.llm().limit_refusals.add(1, &[KeyValue::new("limit", limit)]);
    }

    /// An answer was not safe to be stored or served.
    pub fn answer_refused(&self, reason: &'static str) {
        self.llm().answers_refused.add(1, &[KeyValue::new("reason", reason)]);
    }

    /// A call of an experiment's arm ended: `ok`, `cancelled` or the kind of its error, after so many seconds
    /// unless it was given up, with the dollars of all its attempts as far as they are known.
    pub fn experiment(
        &self,
        experiment: &str,
        arm: &str,
        outcome: &'static str,
        seconds: Option<f64>,
        billed: Option<f64>,
        list: Option<f64>,
    ) {
        let labels =
            || vec![KeyValue::new("experiment", experiment.to_owned()), KeyValue::new("arm", arm.to_owned())];
        let metrics = self.llm();
        if let Some(seconds) = seconds {
            metrics.experiment_duration.record(seconds, &labels());
        }
        let mut requests = labels();
        requests.push(KeyValue::new("outcome", outcome));
        metrics.experiment_requests.add(1, &requests);
        for (kind, dollars) in [("billed", billed), ("list", list)] {
            if let Some(dollars) = dollars {
                let mut cost = labels();
                cost.push(KeyValue::new("kind", kind));
                metrics.experiment_cost.add(dollars, &cost);
            }
        }
    }

    /// Makes the series of these limits exist at zero.
    pub fn start_limit_series(&self, limits: &[&'static str]) {
        for limit in limits {
            self.llm().limit_refusals.add(0, &[KeyValue::new("limit", *limit)]);
        }
    }

    /// Makes the series of these reasons to refuse an answer exist at zero.
    pub fn start_answer_series(&self, reasons: &[&'static str]) {
        for reason in reasons {
            self.llm().answers_refused.add(0, &[KeyValue::new("reason", *reason)]);
        }
    }

    /// Makes the series of an experiment's arms exist at zero.
    pub fn start_experiment_series<'a>(&self, experiment: &str, arms: impl Iterator<Item = &'a str>) {
        for arm in arms {
            let with = |name: &'static str, value: &'static str| {
                let experiment = KeyValue::new("experiment", experiment.to_owned());
                [experiment, KeyValue::new("arm", arm.to_owned()), KeyValue::new(name, value)]
            };
            self.llm().experiment_requests.add(0, &with("outcome", "ok"));
            for kind in ["billed", "list"] {
                self.llm().experiment_cost.add(0.0, &with("kind", kind));
            }
        }
    }

    /// Makes the series of these providers and their models exist at zero.
    pub(crate) fn start_llm_series(&self, providers: &[(&'static str, &str)]) {
        for (provider, model) in providers {
            self.llm_cost(provider, model, Some(0.0), Some(0.0));
            for kind in ["billed", "list"] {
                let labels = [KeyValue::new("provider", *provider), KeyValue::new("kind", kind)];
                self.llm().cost_unknown.add(0, &labels);
            }
            for outcome in OUTCOMES {
                self.llm_attempts(provider, outcome, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Metrics;

    #[test]
    fn what_happens_is_counted_under_its_labels() {
        let metrics = Metrics::unregistered();
        metrics.llm_attempt("claude", "timeout");
        metrics.llm_retried("claude", "timeout");
        metrics.llm_fell_back("claude", "ollama", "timeout");
        metrics.limit_refused("tenant_budget");
        metrics.answer_refused("markup");
        metrics.experiment("tone", "b", "ok", Some(1.5), Some(0.25), None);
        let text = metrics.render();
        for line in [
            r#"bookstore_llm_attempts_total{outcome="timeout",provider="claude"} 1"#,
            r#"bookstore_llm_retries_total{provider="claude",reason="timeout"} 1"#,
            r#"bookstore_llm_fallbacks_total{from="claude",reason="timeout",to="ollama"} 1"#,
            r#"bookstore_llm_limit_refusals_total{limit="tenant_budget"} 1"#,
            r#"bookstore_answers_refused_total{reason="markup"} 1"#,
            r#"bookstore_experiment_requests_total{arm="b",experiment="tone",outcome="ok"} 1"#,
            r#"bookstore_experiment_duration_seconds_sum{arm="b",experiment="tone"} 1.5"#,
            r#"bookstore_experiment_cost_usd_total{arm="b",experiment="tone",kind="billed"} 0.25"#,
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains(r#"experiment="tone",kind="list""#), "what is not known is not zero");
    }

    #[test]
    fn series_that_matter_start_at_zero() {
        let metrics = Metrics::unregistered();
        metrics.start_bookstore_series(&[("ollama", "llama3.2")]);
        metrics.start_limit_series(&["global_budget"]);
        metrics.start_answer_series(&["link"]);
        metrics.start_experiment_series("tone", ["a"].into_iter());
        let text = metrics.render();
        for line in [
            r#"bookstore_llm_attempts_total{outcome="ok",provider="ollama"} 0"#,
            r#"bookstore_llm_attempts_total{outcome="not_admitted",provider="ollama"} 0"#,
            r#"bookstore_llm_cost_unknown_total{kind="list",provider="ollama"} 0"#,
            r#"bookstore_llm_limit_refusals_total{limit="global_budget"} 0"#,
            r#"bookstore_answers_refused_total{reason="link"} 0"#,
            r#"bookstore_experiment_requests_total{arm="a",experiment="tone",outcome="ok"} 0"#,
            r#"bookstore_experiment_cost_usd_total{arm="a",experiment="tone",kind="list"} 0"#,
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
