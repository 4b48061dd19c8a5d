//! The lines that k6 writes with `--out json` (<https://grafana.com/docs/k6/latest/results-output/real-time/json/>)
//! and, last, its summary.
//!
//! Owns the format. Must not know what is computed from a sample. A line that is broken is an error
//! to be counted by the caller, never the end of anything.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use chrono::DateTime;
use common_models::ThresholdResult;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// As many tags as a request has.
const USUAL_TAGS: usize = 16;

/// The metrics that figures are made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Duration of a request in milliseconds; its time is the request's end.
    Duration,
    /// 1 for a request that failed, 0 for one that did not.
    Failed,
    /// Virtual users.
    Users,
    /// 1 for a check that held, 0 for one that did not.
    Check,
    /// Iterations that could not be started in time.
    DroppedIterations,
    /// For how many seconds load was measured: as planned, or until it was cut short.
    MeasuredSeconds,
    /// 1 where a visit begins, -1 where it ends.
    UnfinishedVisits,
    /// Summaries answered.
    Summaries,
    /// Prompt tokens.
    InputTokens,
    /// Answer tokens.
    OutputTokens,
    /// Dollars billed.
    Cost,
    /// Dollars by list price.
    ListCost,
    /// Summaries whose price is not known.
    CostUnknown,
    /// Dollars billed, and of calls that failed the most that they may have been billed.
    CostAtMost,
    /// Calls of providers that failed and may have been billed all the same.
    FailedCalls,
    /// Time to first chunk in milliseconds, as the API reported it.
    FirstChunk,
    /// Time of a provider call in milliseconds, as the API reported it.
    Generation,
    /// Prompt and answer tokens of one summary.
    TokensPerRequest,
    /// Dollars billed for one summary.
    CostPerRequest,
    /// Dollars by list price for one summary.
    ListCostPerRequest,
}

impl Metric {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "http_req_duration" => Self::Duration,
            "http_req_failed" => Self::Failed,
            "vus" => Self::Users,
            "checks" => Self::Check,
            "dropped_iterations" => Self::DroppedIterations,
            "measured_seconds" => Self::MeasuredSeconds,
            "visits_unfinished" => Self::UnfinishedVisits,
            "llm_summaries" => Self::Summaries,
            "llm_input_tokens" => Self::InputTokens,
            "llm_output_tokens" => Self::OutputTokens,
            "llm_cost_usd" => Self::Cost,
            "llm_list_cost_usd" => Self::ListCost,
            "llm_cost_unknown" => Self::CostUnknown,
            "llm_cost_at_most_usd" => Self::CostAtMost,
            "llm_failed_calls" => Self::FailedCalls,
            "llm_first_chunk_ms" => Self::FirstChunk,
            "llm_generation_ms" => Self::Generation,
            "llm_tokens_per_request" => Self::TokensPerRequest,
            "llm_cost_usd_per_request" => Self::CostPerRequest,
            "llm_list_cost_usd_per_request" => Self::ListCostPerRequest,
            _ => return None,
        })
    }
}

/// The part of a run that a sample belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Setup, teardown or k6 itself: no load.
    #[default]
    None,
    /// Load that is left out of the figures.
    WarmUp,
    /// Load that counts.
    Measured,
}

/// Tags of a sample; absent ones are empty.
#[derive(Clone, Debug, Default)]
pub struct Tags<'a> {
    all: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl Tags<'_> {
    /// The value of a tag.
    #[must_use]
    pub fn get(&self, key: &str) -> &str {
        self.all.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value.as_ref())
    }

    /// Request name, `GET /api/v1/books/{id}`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.get("name")
    }

    /// Which part of the run it belongs to.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.get("phase") {
            "warmup" => Phase::WarmUp,
            "measured" => Phase::Measured,
            _ => Phase::None,
        }
    }

    /// HTTP status; 0 where there was no answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.get("status").parse().unwrap_or_default()
    }

    /// Whether an LLM may be called for the request.
    #[must_use]
    pub fn is_llm(&self) -> bool {
        self.get("llm") == "true"
    }

    /// Whether a summary needed no provider.
    #[must_use]
    pub fn is_cached(&self) -> bool {
        self.get("cached") == "true"
    }

    /// Whether a summary came from a simulator.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.get("simulated") == "true"
    }
}

/// A text that is borrowed from its line where no escape stands in it.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Tags<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Tags<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("tags")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::with_capacity(USUAL_TAGS);
                while let Some((Text(key), Text(value))) = map.next_entry()? {
                    all.push((key, value));
                }
                Ok(Tags { all })
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

/// What thresholds of one metric are measured over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The metric and its tags as k6 writes them: `http_req_duration{phase:measured}`.
    pub name: String,
    /// The tags that a sample must have, all of them.
    pub tags: Vec<(String, String)>,
}

/// One sample.
#[derive(Clone, Debug)]
pub struct Sample<'a> {
    /// What was measured.
    pub metric: Metric,
    /// When, in microseconds since 1970.
    pub at_us: i64,
    /// How much.
    pub value: f64,
    /// Of what.
    pub tags: Tags<'a>,
    /// W3C trace id of the request.
    pub trace_id: Option<Cow<'a, str>>,
    /// Id of the request's span in it.
    pub span_id: Option<Cow<'a, str>>,
}

/// One line.
#[derive(Clone, Debug)]
pub enum Line<'a> {
    /// A sample of a metric that counts.
    Sample(Box<Sample<'a>>),
    /// What the thresholds of a metric are measured over; k6 says it before the metric's first sample.
    Selectors(Metric, Vec<Selector>),
    /// k6's own summary, from which the thresholds are taken.
    Summary(Vec<ThresholdResult>),
    /// Sound, but without a figure for us.
    Other,
}

/// A line that is not what k6 writes.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Not JSON, or not of the shape.
    #[error("a line of k6's output is broken: {0}")]
    Json(#[from] serde_json::Error),
    /// A time that is none.
    #[error("a sample has no readable time: {0}")]
    Time(#[from] chrono::ParseError),
}

impl LineError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Json(_) => "json",
            Self::Time(_) => "time",
        }
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default, borrow)]
    metric: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// A sample's whole line, read in one go: most lines are samples.
#[derive(Deserialize)]
struct PointLine<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    metric: Text<'a>,
    #[serde(borrow)]
    data: Point<'a>,
}

#[derive(Deserialize)]
struct Point<'a> {
    #[serde(borrow)]
    time: Cow<'a, str>,
    value: f64,
    #[serde(default, borrow)]
    tags: Option<Tags<'a>>,
    #[serde(default, borrow)]
    metadata: Option<Metadata<'a>>,
}

#[derive(Default, Deserialize)]
struct Metadata<'a> {
    #[serde(default, borrow)]
    trace_id: Option<Text<'a>>,
    #[serde(default, borrow)]
    span_id: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Definition {
    name: String,
    #[serde(default)]
    submetrics: Option<Vec<Submetric>>,
}

#[derive(Deserialize)]
struct Submetric {
    name: String,
    #[serde(default)]
    tags: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Summary {
    #[serde(default)]
    metrics: BTreeMap<String, SummaryMetric>,
}

#[derive(Deserialize)]
struct SummaryMetric {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    values: SummaryValues,
    #[serde(default)]
    thresholds: Option<BTreeMap<String, Held>>,
}

#[derive(Default, Deserialize)]
struct SummaryValues {
    #[serde(default)]
    count: Option<f64>,
    #[serde(default)]
    passes: Option<f64>,
    #[serde(default)]
    fails: Option<f64>,
}

impl SummaryMetric {
    /// Whether it has no sample: k6 takes all thresholds of such a one for held. Of a counter, nothing is
    /// a figure, too.
    fn is_empty(&self) -> bool {
        let none = |count: Option<f64>| count.is_some_and(|count| count < 1.0);
        match self.kind.as_str() {
            "trend" => none(self.values.count),
            "rate" => none(self.values.passes) && none(self.values.fails),
            _ => false,
        }
    }
}

#[derive(Deserialize)]
struct Held {
    ok: bool,
}

/// What k6 begins every sample's line with.
const SAMPLE_HEAD: &[u8] = br#"{"metric":""#;

/// Reads one line, without its line break.
///
/// # Errors
/// When it is not what k6 writes, for instance because k6 was killed in the middle of it.
pub fn read(line: &[u8]) -> Result<Line<'_>, LineError> {
    if is_of_no_interest(line) {
        return Ok(Line::Other);
    }
    if line.starts_with(SAMPLE_HEAD)
        && let Ok(whole) = serde_json::from_slice::<PointLine<'_>>(line)
        && whole.kind.0 == "Point"
    {
        return sample(&whole.metric.0, whole.data);
    }
    let envelope: Envelope<'_> = serde_json::from_slice(line)?;
    match envelope.kind.as_ref() {
        "Point" => read_point(&envelope),
        "Metric" => {
            let definition: Definition = serde_json::from_str(envelope.data.get())?;
            Ok(Metric::named(&definition.name)
                .map_or(Line::Other, |metric| Line::Selectors(metric, selectors(definition))))
        }
        "Summary" => {
            let summary: Summary = serde_json::from_str(envelope.data.get())?;
            let thresholds = summary.metrics.into_iter().flat_map(|(name, metric)| {
                let untested = metric.is_empty();
                let thresholds = metric.thresholds.unwrap_or_default().into_iter();
                thresholds.map(move |(expression, held)| ThresholdResult {
                    name: format!("{name}: {expression}"),
                    ok: held.ok,
                    untested,
                })
            });
            Ok(Line::Summary(thresholds.collect()))
        }
        _ => Ok(Line::Other),
    }
}

/// Most samples are of metrics that nothing is made from; their lines are told by their first bytes,
/// and must end as a line ends, so that a truncated one is still found.
fn is_of_no_interest(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(SAMPLE_HEAD) else { return false };
    let Some(end) = rest.iter().take(64).position(|byte| *byte == b'"') else { return false };
    let name = rest.get(..end).and_then(|name| std::str::from_utf8(name).ok());
    name.is_some_and(|name| Metric::named(name).is_none()) && line.ends_with(b"}}")
}

/// The metric's own thresholds count all of its samples.
fn selectors(definition: Definition) -> Vec<Selector> {
    let parts = definition
        .submetrics
        .unwrap_or_default()
        .into_iter()
        .map(|part| Selector { name: part.name, tags: part.tags.unwrap_or_default().into_iter().collect() });
    std::iter::once(Selector { name: definition.name, tags: Vec::new() }).chain(parts).collect()
}

fn read_point<'a>(envelope: &Envelope<'a>) -> Result<Line<'a>, LineError> {
    let metric = envelope.metric.as_deref().unwrap_or_default();
    if Metric::named(metric).is_none() {
        return Ok(Line::Other);
    }
    sample(metric, serde_json::from_str(envelope.data.get())?)
}

fn sample<'a>(metric: &str, point: Point<'a>) -> Result<Line<'a>, LineError> {
    let Some(metric) = Metric::named(metric) else { return Ok(Line::Other) };
    let at_us = DateTime::parse_from_rfc3339(&point.time)?.timestamp_micros();
    let Metadata { trace_id, span_id } = point.metadata.unwrap_or_default();
    Ok(Line::Sample(Box::new(Sample {
        metric,
        at_us,
        value: point.value,
        tags: point.tags.unwrap_or_default(),
        trace_id: trace_id.map(|Text(id)| id),
        span_id: span_id.map(|Text(id)| id),
    })))
}

#[cfg(test)]
mod tests {
    use super::{Line, Metric, Phase, read};

    const REQUEST: &str = r#"{"metric":"http_req_duration","type":"Point","data":{"time":"2026-11-21T05:32:42.392633159+01:00","value":2.89,"tags":{"expected_response":"true","group":"","method":"GET","name":"GET \"x\"","phase":"measured","status":"200"},"metadata":{"span_id":"00f067aa0ba902b7","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"}}}"#;

    #[test]
    fn a_request_is_read_whole() {
        let Line::Sample(sample) = read(REQUEST.as_bytes()).unwrap() else { panic!("no sample") };
        assert_eq!((sample.metric, sample.tags.phase()), (Metric::Duration, Phase::Measured));
        assert_eq!((sample.tags.name(), sample.tags.status()), ("GET \"x\"", 200));
        assert_eq!((sample.tags.get("method"), sample.tags.get("unheard")), ("GET", ""));
        assert_eq!(sample.at_us, 1_795_235_562_392_633);
        assert_eq!(sample.trace_id.unwrap(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(sample.span_id.unwrap(), "00f067aa0ba902b7");
        assert!((sample.value - 2.89).abs() < 1e-12);
    }

    #[test]
    fn phases_other_than_load_are_none() {
        for (phase, wanted) in [
            ("measured", Phase::Measured),
            ("warmup", Phase::WarmUp),
            ("setup", Phase::None),
            ("", Phase::None),
        ] {
            let line = REQUEST.replace("measured", phase);
            let Line::Sample(sample) = read(line.as_bytes()).unwrap() else { panic!("no sample") };
            assert_eq!(sample.tags.phase(), wanted);
        }
    }

    #[test]
    fn what_has_no_figure_is_passed_over() {
        for line in [
            r#"{"metric":"http_req_blocked","type":"Point","data":{"time":"x","value":1,"tags":{}}}"#,
            r#"{"type":"Point","metric":"iterations","data":{"time":"2026-11-21T04:32:42Z","value":1}}"#,
            r#"{"type":"Metric","data":{"name":"iterations","type":"counter"},"metric":"iterations"}"#,
            r#"{"type":"SomethingNew","data":{}}"#,
        ] {
            assert!(matches!(read(line.as_bytes()).unwrap(), Line::Other), "{line}");
        }
    }

    #[test]
    fn what_thresholds_are_measured_over_is_read() {
        let line = r#"{"type":"Metric","data":{"name":"http_req_duration","type":"trend","contains":"time","thresholds":[],"submetrics":[{"name":"http_req_duration{phase:measured, llm:false}","suffix":"phase:measured, llm:false","tags":{"llm":"false","phase":"measured"}}]},"metric":"http_req_duration"}"#;
        let Line::Selectors(metric, selectors) = read(line.as_bytes()).unwrap() else { panic!("none") };
        assert_eq!((metric, selectors.len()), (Metric::Duration, 2));
        assert_eq!((selectors[0].name.as_str(), selectors[0].tags.len()), ("http_req_duration", 0));
        assert_eq!(selectors[1].name, "http_req_duration{phase:measured, llm:false}");
        let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(selectors[1].tags, [tag("llm", "false"), tag("phase", "measured")]);
        for broken in [
            r#"{"type":"Metric","data":{"submetrics":[]}}"#,
            r#"{"type":"Metric","data":{"name":"checks","submetrics":[{"tags":{"a":1}}]}}"#,
            r#"{"type":"Point","metric":"checks","data":{"time":"2026-11-21T04:32:42Z","value":1,"tags":{"a":1}}}"#,
        ] {
            assert!(read(broken.as_bytes()).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_line_cut_anywhere_is_an_error() {
        let unused = r#"{"metric":"http_req_blocked","type":"Point","data":{"time":"2026-11-21T04:32:42Z","value":1,"tags":{"a":"b"}}}"#;
        for whole in [REQUEST, unused] {
            for end in 0..whole.len() {
                // Only what still ends like a line could be taken for one.
                if !whole[..end].ends_with("}}") {
                    assert!(read(&whole.as_bytes()[..end]).is_err(), "{}", &whole[..end]);
                }
            }
        }
        for line in [
            &b"\xff\xfe"[..],
            b"null",
            b"[]",
            b"{}",
            br#"{"type":"Point","metric":"vus","data":{"time":"then","value":1}}"#,
        ] {
            assert!(read(line).is_err(), "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn the_summary_gives_the_thresholds() {
        let line = r#"{"type":"Summary","data":{"metrics":{"http_req_failed":{"type":"rate","values":{"rate":0},"thresholds":{"rate<0.01":{"ok":true}}},"http_req_duration{phase:measured}":{"thresholds":{"p(95)<1":{"ok":false},"p(99)<900":{"ok":true}}},"vus":{"values":{}},"x":{"thresholds":{}}}}}"#;
        let Line::Summary(thresholds) = read(line.as_bytes()).unwrap() else { panic!("no summary") };
        let shown: Vec<_> = thresholds.iter().map(|t| (t.name.as_str(), t.ok)).collect();
        assert_eq!(
            shown,
            [
                ("http_req_duration{phase:measured}: p(95)<1", false),
                ("http_req_duration{phase:measured}: p(99)<900", true),
                ("http_req_failed: rate<0.01", true),
            ]
        );
    }

    #[test]
    fn a_threshold_of_what_has_no_sample_is_not_tested() {
        let untested = |metric: serde_json::Value| {
            let line = serde_json::json!({"type": "Summary", "data": {"metrics": {"m": metric}}}).to_string();
            let Line::Summary(thresholds) = read(line.as_bytes()).unwrap() else { panic!("no summary") };
            thresholds[0].untested
        };
        let held = serde_json::json!({"x<1": {"ok": true}});
        for (kind, values, wanted) in [
            ("trend", serde_json::json!({"p(95)": 0, "count": 0}), true),
            ("trend", serde_json::json!({"p(95)": 0, "count": 1}), false),
            ("trend", serde_json::json!({"p(95)": 0}), false),
            ("rate", serde_json::json!({"rate": 0, "passes": 0, "fails": 0}), true),
            ("rate", serde_json::json!({"rate": 0, "passes": 0, "fails": 2}), false),
            ("counter", serde_json::json!({"count": 0, "rate": 0}), false),
            ("gauge", serde_json::json!({"value": 0}), false),
        ] {
            let metric = serde_json::json!({"type": kind, "values": values, "thresholds": held});
            assert_eq!(untested(metric.clone()), wanted, "{metric}");
        }
    }
}
