//! What a run came to, as text for a terminal or a CI log.
//!
//! Owns the words and their layout. Must not know where figures come from. Showing a run while it
//! goes on is `console/watching.rs`.

pub mod hangup;
pub mod past;
pub mod watching;

use std::fmt::{Display, Write};
use std::io::Write as _;
use std::path::Path;

use common_models::{Outcome, Run, RunState};

use crate::results::Results;

/// Width of the column of names.
const NAMES: usize = 12;

/// A line for a person, on standard error.
pub fn say(text: &dyn Display) {
    // A terminal that went away must not end what is still to be put in order.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// What was asked for, on standard output.
pub fn tell(text: &dyn Display) {
    // Whoever closed the pipe has read enough.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// A value as JSON for standard output.
#[must_use]
pub fn json(value: &impl serde::Serialize) -> String {
    // Strings and finite numbers only: this cannot fail.
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// The summary of an ended run: its figures where it has any, then the verdict, last the report.
#[must_use]
pub fn summary(run: &Run, results: Option<&Results>, report: Option<&Path>) -> String {
    let mut text = String::new();
    // Without a measured request every figure would be a zero that nobody measured.
    if let Some(results) = results.filter(|results| results.summary.requests > 0) {
        figures(&mut text, results);
    }
    line(&mut text, format_args!("{}", verdict(run)));
    if let Some(report) = report {
        row(&mut text, "report", format_args!("{}", report.display()));
    }
    // Whoever prints it ends the last line.
    text.truncate(text.trim_end().len());
    text
}

fn figures(text: &mut String, results: &Results) {
    let Results { summary, .. } = results;
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let measured = if summary.rps > 0.0 { summary.requests as f64 / summary.rps } else { 0.0 };
    line(
        text,
        format_args!(
            "\n{} against {}, {:.0} s measured, {}",
            results.scenario,
            results.target,
            measured,
            results.k6_version.as_deref().unwrap_or("k6")
        ),
    );
    line(text, format_args!(""));
    row(text, "requests", format_args!("{}   {:.1} a second", count(summary.requests), summary.rps));
    row(
        text,
        "durations",
        format_args!(
            "p50 {}   p95 {}   p99 {}",
            duration(summary.p50_ms),
            duration(summary.p95_ms),
            duration(summary.p99_ms)
        ),
    );
    row(text, "failed", format_args!("{:.2} %", summary.failed_rate * 100.0));
    for error in results.errors.iter().take(5) {
        row(
            text,
            "",
            format_args!(
                "{} times {}: {}",
                count(error.count),
                printable(&error.name),
                printable(&error.what)
            ),
        );
    }
    row(
        text,
        "tokens",
        format_args!("{} in   {} out", count(summary.input_tokens), count(summary.output_tokens)),
    );
    row(
        text,
        "dollars",
        format_args!(
            "{} billed   {} by list price{}",
            dollars(summary.cost_usd),
            dollars(summary.list_cost_usd),
            if results.simulated { "   (answers of a simulator)" } else { "" }
        ),
    );
    let hits = summary.cache_hit_rate.map_or("no summary was asked for".to_owned(), |rate| {
        let summaries: u64 = results.llm.iter().map(|row| row.summaries).sum();
        format!("{:.1} % of {} summaries", rate * 100.0, count(summaries))
    });
    row(text, "cache hits", format_args!("{hits}"));
    line(text, format_args!(""));
    for threshold in &summary.thresholds {
        let name = printable(&threshold.name);
        match (threshold.ok, threshold.untested) {
            (false, _) => line(text, format_args!("  ✗ {name}")),
            (true, true) => line(text, format_args!("  - {name}   not tested: nothing to hold it against")),
            (true, false) => line(text, format_args!("  ✓ {name}")),
        }
    }
    for warning in &results.warnings {
        line(text, format_args!("  ! {}", printable(warning)));
    }
    line(text, format_args!(""));
}

/// One line: what became of the run, and why.
fn verdict(run: &Run) -> String {
    let word = match (run.state, run.outcome) {
        (RunState::Finished, Some(Outcome::Passed)) => "PASSED",
        (RunState::Finished, Some(Outcome::Failed)) => "FAILED",
        (RunState::Finished, Some(Outcome::Inconclusive)) => "INCONCLUSIVE",
        (RunState::Cancelled, _) => "CANCELLED",
        _ => "BROKEN",
    };
    match &run.reason {
        Some(reason) => format!("{word}: {}", printable(reason)),
        None if run.outcome == Some(Outcome::Passed) => {
            let thresholds = run.summary.iter().flat_map(|summary| &summary.thresholds);
            match thresholds.filter(|threshold| threshold.untested).count() {
                0 => format!("{word}: every threshold held"),
                untested => {
                    format!("{word}: every threshold held that could be tested; {untested} could not")
                }
            }
        }
        None => word.to_owned(),
    }
}

fn row(text: &mut String, name: &str, value: std::fmt::Arguments<'_>) {
    line(text, format_args!("  {name:NAMES$}{value}"));
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}

/// Text of a target must not steer the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Milliseconds, or seconds where those are easier to read.
pub(crate) fn duration(ms: f64) -> String {
    if ms >= 1_000.0 {
        format!("{:.2} s", ms / 1_000.0)
    } else if ms >= 10.0 {
        format!("{ms:.0} ms")
    } else {
        format!("{ms:.2} ms")
    }
}

/// A count with its thousands apart.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn dollars(amount: Option<f64>) -> String {
    match amount {
        None => "price not known".to_owned(),
        Some(amount) if amount > 0.0 && amount < 1.0 => format!("${amount:.6}"),
        Some(amount) => format!("${amount:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use chrono::{TimeZone, Utc};
    use common_models::{Outcome, Run, RunState, RunSummary, ThresholdResult};
    use uuid::Uuid;

    use super::{count, dollars, duration, summary};
    use crate::results::{ErrorRow, LlmRow, Results};

    fn run(state: RunState, outcome: Option<Outcome>, reason: Option<&str>) -> Run {
        let at = Utc.timestamp_opt(1_795_235_562, 0).unwrap();
        Run {
            id: Uuid::now_v7(),
            scenario: "smoke".to_owned(),
            target: "local".to_owned(),
            engine: "local".to_owned(),
            state,
            outcome,
            reason: reason.map(str::to_owned),
            simulated: true,
            created_at: at,
            started_at: Some(at),
            finished_at: Some(at),
            summary: None,
        }
    }

    fn threshold(name: &str, ok: bool, untested: bool) -> ThresholdResult {
        ThresholdResult { name: name.to_owned(), ok, untested }
    }

    fn results(of: &Run) -> Results {
        Results {
            run_id: of.id,
            scenario: "smoke".to_owned(),
            target: "local".to_owned(),
            engine: "local".to_owned(),
            k6_version: Some("k6 v1.1.0".to_owned()),
            started_at: of.created_at,
            finished_at: of.created_at,
            outcome: Outcome::Failed,
            state: Some(of.state),
            reason: of.reason.clone(),
            simulated: true,
            summary: RunSummary {
                requests: 12_345,
                failed_rate: 0.0125,
                rps: 411.52,
                p50_ms: 1.234,
                p95_ms: 45.6,
                p99_ms: 1_234.0,
                with_llm_p95_ms: None,
                without_llm_p95_ms: None,
                dropped_iterations: 0,
                input_tokens: 1_000,
                output_tokens: 250,
                cost_usd: Some(0.0),
                list_cost_usd: Some(0.001_234),
                cache_hit_rate: Some(0.75),
                thresholds: vec![
                    threshold("checks: rate>0.99", true, false),
                    threshold("http_req_duration: p(95)<40", false, false),
                    threshold("llm_first_chunk_ms: p(95)<9", true, true),
                ],
            },
            latency: Vec::new(),
            histogram: crate::results::Histogram::default(),
            timeline: Vec::new(),
            endpoints: Vec::new(),
            statuses: Vec::new(),
            llm: vec![LlmRow {
                provider: "ollama".to_owned(),
                model: "llama3.2-simulated".to_owned(),
                summaries: 80,
                cached: 60,
                input_tokens: 1_000,
                output_tokens: 250,
                cost_usd: Some(0.0),
                list_cost_usd: Some(0.001_234),
                first_chunk_p50_ms: None,
                first_chunk_p95_ms: None,
                generation_p50_ms: None,
                generation_p95_ms: None,
            }],
            errors: vec![ErrorRow {
                name: "GET /b\u{1b}[2J".to_owned(),
                what: "HTTP 503".to_owned(),
                count: 3,
            }],
            slowest: Vec::new(),
            broken: Vec::new(),
            warnings: vec!["2 lines were broken".to_owned()],
            environment: None,
        }
    }

    #[test]
    fn a_failed_run_says_everything_and_its_reason_last() {
        let failed = run(
            RunState::Finished,
            Some(Outcome::Failed),
            Some("threshold crossed: http_req_duration: p(95)<40"),
        );
        let text = summary(&failed, Some(&results(&failed)), Some(Path::new("runs/1/report.html")));
        let wanted = "
smoke against local, 30 s measured, k6 v1.1.0

  requests    12,345   411.5 a second
  durations   p50 1.23 ms   p95 46 ms   p99 1.23 s
  failed      1.25 %
              3 times GET /b\u{fffd}[2J: HTTP 503
  tokens      1,000 in   250 out
  dollars     $0.00 billed   $0.001234 by list price   (answers of a simulator)
  cache hits  75.0 % of 80 summaries

  ✓ checks: rate>0.99
  ✗ http_req_duration: p(95)<40
  - llm_first_chunk_ms: p(95)<9   not tested: nothing to hold it against
  ! 2 lines were broken

FAILED: threshold crossed: http_req_duration: p(95)<40
  report      runs/1/report.html";
        assert_eq!(text, wanted);
    }

    #[test]
    fn a_run_without_figures_says_what_became_of_it() {
        for (state, outcome, reason, wanted) in [
            (RunState::Failed, None, Some("no k6"), "BROKEN: no k6"),
            (RunState::Cancelled, None, Some("somebody cancelled it"), "CANCELLED: somebody cancelled it"),
            (RunState::Finished, Some(Outcome::Passed), None, "PASSED: every threshold held"),
            (RunState::Finished, Some(Outcome::Inconclusive), Some("why"), "INCONCLUSIVE: why"),
        ] {
            assert_eq!(summary(&run(state, outcome, reason), None, None), wanted);
        }
    }

    #[test]
    fn what_was_not_tested_is_not_called_held() {
        let mut passed = run(RunState::Finished, Some(Outcome::Passed), None);
        let thresholds = vec![threshold("a: rate<1", true, false), threshold("b: p(95)<1", true, true)];
        passed.summary = Some(RunSummary { thresholds, ..RunSummary::default() });
        let text = summary(&passed, None, None);
        assert_eq!(text, "PASSED: every threshold held that could be tested; 1 could not");
    }

    #[test]
    fn amounts_are_readable() {
        assert_eq!(
            (count(0), count(999), count(1_000), count(1_234_567)),
            ("0".into(), "999".into(), "1,000".into(), "1,234,567".into())
        );
        assert_eq!(
            (duration(0.5), duration(999.4), duration(61_000.0)),
            ("0.50 ms".into(), "999 ms".into(), "61.00 s".into())
        );
        assert_eq!(
            (dollars(None), dollars(Some(0.0)), dollars(Some(1.5))),
            ("price not known".into(), "$0.00".into(), "$1.50".into())
        );
    }
}
