//! The durations of a run as its histogram draws them.
//!
//! Owns which marks stand in it. Must not know how a chart looks.

use serde::Serialize;

use crate::results::Results;

/// Columns of a histogram and the durations that are marked in it.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Durations<'a> {
    bounds: &'a [f64],
    without_llm: &'a [u64],
    with_llm: &'a [u64],
    /// Name and milliseconds.
    marks: Vec<(&'static str, f64)>,
}

/// What there is to draw; nothing where no request was measured.
pub(super) fn of(results: &Results) -> Durations<'_> {
    let all = results.latency.first();
    let marks = all.map(|all| vec![("p50", all.p50_ms), ("p95", all.p95_ms), ("p99", all.p99_ms)]);
    let mut marks = marks.unwrap_or_default();
    marks.retain(|(_, ms)| ms.is_finite());
    Durations {
        bounds: &results.histogram.bounds_ms,
        without_llm: &results.histogram.without_llm,
        with_llm: &results.histogram.with_llm,
        marks,
    }
}
