//! Telemetry of every binary: traces, metrics, logs.
//!
//! Owns set-up and flush, the HTTP server layer, outbound propagation, the metric table and the
//! pinned convention names. The only crate that knows OpenTelemetry; must not know axum, a
//! database, a provider or any use case: callers hand it plain values.

pub mod allocator;
mod bookstore_metrics;
pub mod client_spans;
pub mod conventions;
pub mod exporters;
mod families;
pub mod gen_ai;
mod handles;
mod http_metrics;
mod llm_metrics;
pub mod logs;
pub mod metrics;
mod outgoing;
mod perf_metrics;
mod process;
pub mod propagation;
#[cfg(any(test, feature = "testing"))]
pub mod recorder;
pub mod runtime;
pub mod sampling;
pub mod server;
mod simulator_metrics;
pub mod start;
pub mod table;
mod trace_ids;

pub use allocator::Allocator;
pub use bookstore_metrics::ConnectionPool;
pub use client_spans::{ClientRequest, client_spans_are_exported};
pub use conventions::gen_ai::Version;
pub use exporters::{LogsExporter, OtlpProtocol, Traceloop};
pub use gen_ai::{GenAiCall, GenAiModel, GenAiOutcome, GenAiRequest, GenAiSettings, GenAiUsage};
pub use metrics::Metrics;
pub use outgoing::{OutgoingRequest, Upstream};
pub use perf_metrics::RunUnderWay;
pub use propagation::{current_trace_id, inject_trace_context};
pub use sampling::Sampling;
pub use server::{Failure, RouteSlot, Scheme, ServerLayer, spans_are_read};
pub use simulator_metrics::SimulatedAnswer;
pub use start::{LogFormat, Telemetry, TelemetryError, TelemetrySettings, start};
