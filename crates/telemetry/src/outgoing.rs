//! HTTP requests that a service sends: their duration, by where they go and what came of them.
//!
//! By the conventions (<https://opentelemetry.io/docs/specs/semconv/http/http-metrics/#metric-httpclientrequestduration>),
//! to the head of the answer: what an answer's body takes is its reader's to tell. Knows no client.

use std::sync::Arc;
use std::time::Instant;

use http::Method;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter};

use crate::Metrics;
use crate::conventions::{self as names, method_label};
use crate::metrics::histogram;
use crate::table;

/// The instrument.
pub(crate) struct HttpClientMetrics {
    duration: Histogram<f64>,
}

impl HttpClientMetrics {
    pub(crate) fn new(meter: &Meter) -> Self {
        Self { duration: histogram(meter, &table::HTTP_CLIENT_REQUEST_DURATION) }
    }
}

/// A place that requests go to. Cheap to clone.
#[derive(Clone)]
pub struct Upstream {
    metrics: Metrics,
    address: Arc<str>,
    port: u16,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Upstream").field(&self.address).field(&self.port).finish()
    }
}

impl Metrics {
    /// A place that requests go to, by its host and port. Both become labels: they have to come from the
    /// configuration, and never out of a request or an answer.
    #[must_use]
    pub fn upstream(&self, address: &str, port: u16) -> Upstream {
        Upstream { metrics: self.clone(), address: Arc::from(address), port }
    }
}

impl Upstream {
    /// A request is sent now.
    #[must_use = "it counts as cancelled once it is dropped"]
    pub fn begin(&self, method: &Method) -> OutgoingRequest {
        OutgoingRequest {
            upstream: self.clone(),
            method: method_label(method),
            begun: Instant::now(),
            due: None,
            outcome: Outcome::Cancelled,
        }
    }
}

/// A request that was sent. Recorded when it is dropped: as cancelled, unless something was said of it.
#[derive(Debug)]
pub struct OutgoingRequest {
    upstream: Upstream,
    method: &'static str,
    begun: Instant,
    due: Option<tokio::time::Instant>,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    Cancelled,
    Answered(u16),
    Failed(&'static str),
}

impl OutgoingRequest {
    /// Dropped from then on, it was late and not cancelled.
    pub fn due(mut self, due: Option<tokio::time::Instant>) -> Self {
        self.due = due;
        self
    }

    /// The head of an answer has come.
    pub fn answered(mut self, status: u16) {
        self.outcome = Outcome::Answered(status);
    }

    /// No answer came, by kind: `timeout`, `unreachable`, …
    pub fn failed(mut self, kind: &'static str) {
        self.outcome = Outcome::Failed(kind);
    }
}

impl Drop for OutgoingRequest {
    fn drop(&mut self) {
        let Upstream { metrics, address, port } = &self.upstream;
        let mut labels = vec![
            KeyValue::new(names::HTTP_REQUEST_METHOD, self.method),
            KeyValue::new(names::SERVER_ADDRESS, Arc::clone(address)),
            KeyValue::new(names::SERVER_PORT, i64::from(*port)),
        ];
        match self.outcome {
            Outcome::Cancelled if self.due.is_some_and(|due| due <= tokio::time::Instant::now()) => {
                labels.push(KeyValue::new(names::ERROR_TYPE, "timeout"));
            }
            Outcome::Cancelled => labels.push(KeyValue::new(names::ERROR_TYPE, "cancelled")),
            Outcome::Failed(kind) => labels.push(KeyValue::new(names::ERROR_TYPE, kind)),
            Outcome::Answered(status) => {
                labels.push(KeyValue::new(names::HTTP_RESPONSE_STATUS_CODE, i64::from(status)));
                if status >= 400 {
                    labels.push(KeyValue::new(names::ERROR_TYPE, status.to_string()));
                }
            }
        }
        metrics.http_client().duration.record(self.begun.elapsed().as_secs_f64(), &labels);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Method;

    use crate::Metrics;

    #[test]
    fn a_request_counts_once_whatever_comes_of_it() {
        let metrics = Metrics::unregistered();
        let upstream = metrics.upstream("127.0.0.1", 7006);
        upstream.begin(&Method::POST).answered(200);
        upstream.begin(&Method::POST).answered(529);
        upstream.begin(&Method::GET).failed("unreachable");
        let now = tokio::time::Instant::now();
        drop(upstream.begin(&Method::GET).due(Some(now + Duration::from_secs(60))));
        drop(upstream.begin(&Method::GET).due(Some(now)));
        let text = metrics.render();
        let place = r#"server_address="127.0.0.1",server_port="7006""#;
        for labels in [
            format!(r#"http_request_method="POST",http_response_status_code="200",{place}"#),
            format!(r#"error_type="529",http_request_method="POST",http_response_status_code="529",{place}"#),
            format!(r#"error_type="unreachable",http_request_method="GET",{place}"#),
            format!(r#"error_type="timeout",http_request_method="GET",{place}"#),
            format!(r#"error_type="cancelled",http_request_method="GET",{place}"#),
        ] {
            let line = format!("http_client_request_duration_seconds_count{{{labels}}} 1");
            assert!(text.contains(&line), "{line} is missing in\n{text}");
        }
    }
}
