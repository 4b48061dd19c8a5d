//! Runs of the past as a table.

use common_models::{Outcome, Run, RunState};

use super::{count, dollars, duration, printable};

/// A line a run, newest first, each field as wide as its widest.
#[must_use]
pub fn table(runs: &[Run], total: u64) -> String {
    if runs.is_empty() {
        return "no runs yet: start one with `perf-service run smoke`".to_owned();
    }
    let head = ["RUN", "CREATED", "SCENARIO", "TARGET", "RESULT", "REQUESTS", "P95", "FAILED", "BILLED"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(runs.iter().map(row));
    let widths = rows.iter().fold([0; 9], |mut widths, row| {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = text.chars().count().max(*width);
        }
        widths
    });
    let mut text: String = rows
        .iter()
        .map(|row| {
            let fields = row.iter().zip(widths).map(|(field, width)| format!("{field:width$}"));
            format!("{}\n", fields.collect::<Vec<_>>().join("  ").trim_end())
        })
        .collect();
    if total > runs.len() as u64 {
        text.push_str(&format!("{} of {} runs; --limit shows more", runs.len(), count(total)));
    }
    text.trim_end().to_owned()
}

fn row(run: &Run) -> [String; 9] {
    let figures = run.summary.as_ref();
    let figure = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    [
        run.id.to_string(),
        run.created_at.format("%Y-%m-%d %H:%M:%SZ").to_string(),
        printable(&run.scenario),
        printable(&run.target),
        result(run).to_owned(),
        figure(figures.map(|summary| count(summary.requests))),
        figure(figures.map(|summary| duration(summary.p95_ms))),
        figure(figures.map(|summary| format!("{:.2} %", summary.failed_rate * 100.0))),
        figure(figures.map(|summary| dollars(summary.cost_usd))),
    ]
}

/// Its outcome, or its state where it has none.
const fn result(run: &Run) -> &'static str {
    match (run.outcome, run.state) {
        (Some(Outcome::Passed), _) => "passed",
        (Some(Outcome::Failed), _) => "failed",
        (Some(Outcome::Inconclusive), _) => "inconclusive",
        (None, RunState::Queued) => "queued",
        (None, RunState::Starting) => "starting",
        (None, RunState::Running) => "running",
        (None, RunState::Stopping) => "stopping",
        (None, RunState::Cancelled) => "cancelled",
        (None, RunState::Finished | RunState::Failed) => "broken",
    }
}

#[cfg(test)]
mod tests {
    use common_models::Run;
    use serde_json::json;

    use super::table;

    fn run(fields: serde_json::Value) -> Run {
        let mut run = json!({
            "id": "01890000-0000-7000-8000-000000000000", "scenario": "smoke", "target": "local",
            "engine": "local", "state": "running", "simulated": false,
            "createdAt": "2026-11-21T04:32:42Z",
        });
        run.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(run).unwrap()
    }

    #[test]
    fn runs_are_rows_and_hostile_names_are_text() {
        assert!(table(&[], 0).contains("perf-service run smoke"));
        let ended = json!({
            "state": "finished", "outcome": "failed", "scenario": "a\u{1b}[2J",
            "summary": {"requests": 12345, "failedRate": 0.5, "rps": 1, "p50Ms": 1, "p95Ms": 45.6, "p99Ms": 1,
                        "droppedIterations": 0, "inputTokens": 0, "outputTokens": 0, "costUsd": 0.5,
                        "thresholds": []},
        });
        let text = table(&[run(json!({})), run(ended)], 30);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[0].starts_with("RUN ") && lines[1].contains("running"));
        assert!(lines[2].contains("12,345") && lines[2].contains("46 ms") && lines[2].contains("$0.50"));
        assert!(lines[2].contains("a\u{fffd}[2J"), "{text}");
        assert_eq!(lines[0].find("RESULT"), lines[1].find("running"));
        assert!(lines[3].starts_with("2 of 30 runs"));
    }
}
