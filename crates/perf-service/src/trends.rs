//! Stored runs over time, by scenario, target, engine and whether a simulator answered: for looking at, never for a verdict. Machines and days
//! differ; what is compared has to run interleaved (`comparisons`).
//!
//! Owns which runs are points, and the page. Must not know HTTP or how runs are stored.

use std::collections::BTreeMap;

use common_models::{Outcome, Run, RunState, RunSummary, Trend, TrendPoint};
use minijinja::value::{Serde, Value};
use minijinja::{Environment, context};
use serde::Serialize;
use uuid::Uuid;

use crate::console;
use crate::report::ReportError;
use crate::runs::{Runs, RunsError};

const PAGE: &str = include_str!("trends/page.html");
/// Latest runs that are looked at.
const MOST: usize = 500;
/// Runs that are read at a time.
const STRETCH: usize = 100;
/// Size of a chart.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 160.0;
/// Around its lines.
const MARGIN: f64 = 10.0;

/// The trends of the latest runs.
///
/// # Errors
/// When the ledger fails.
pub async fn of(runs: &Runs) -> Result<Vec<Trend>, RunsError> {
    let (mut found, mut before) = (Vec::new(), None);
    while found.len() < MOST {
        let stretch = runs.list(before, STRETCH).await?;
        before = stretch.runs.last().map(|run| run.id);
        found.extend(stretch.runs);
        if !stretch.more || before.is_none() {
            break;
        }
    }
    Ok(grouped(found))
}

/// Points of runs that are given newest first.
fn grouped(runs: Vec<Run>) -> Vec<Trend> {
    let mut trends = BTreeMap::<(String, String, String, bool), Vec<TrendPoint>>::new();
    for run in runs.into_iter().rev() {
        let (Some(outcome), Some(summary), RunState::Finished) = (run.outcome, run.summary, run.state) else {
            continue;
        };
        if outcome == Outcome::Inconclusive {
            continue;
        }
        trends.entry((run.scenario, run.target, run.engine, run.simulated)).or_default().push(TrendPoint {
            run: run.id,
            at: run.started_at.unwrap_or(run.created_at),
            outcome,
            summary,
        });
    }
    let trend = |((scenario, target, engine, simulated), points)| Trend {
        scenario,
        target,
        engine,
        simulated,
        points,
    };
    trends.into_iter().map(trend).collect()
}

/// A figure of a trend, drawn.
#[derive(Serialize)]
struct Chart {
    title: &'static str,
    lines: Vec<Line>,
    most: String,
    /// Where points stand that crossed a threshold.
    failed: Vec<(f64, f64)>,
}

#[derive(Serialize)]
struct Line {
    name: &'static str,
    points: String,
    last: String,
}

type Figure = (&'static str, fn(&RunSummary) -> f64);
type Shown = fn(f64) -> String;

/// The page: a chart a figure, and a table that says the same.
///
/// # Errors
/// Only when the template itself is wrong.
pub fn page(trends: &[Trend]) -> Result<String, ReportError> {
    let mut page = Environment::new();
    // The name's ending turns on escaping for HTML.
    page.add_template("trends.html", PAGE)?;
    let charts: Vec<Vec<Chart>> = trends.iter().map(charts).collect();
    let rows: Vec<Vec<Row>> = trends.iter().map(rows).collect();
    Ok(page.get_template("trends.html")?.render(context! {
        trends => Value::from(Serde(trends)),
        charts => Value::from(Serde(charts)),
        rows => Value::from(Serde(rows)),
        width => WIDTH,
        height => HEIGHT,
        most => MOST,
    })?)
}

fn charts(trend: &Trend) -> Vec<Chart> {
    let latency: [Figure; 3] =
        [("p50", |run| run.p50_ms), ("p95", |run| run.p95_ms), ("p99", |run| run.p99_ms)];
    vec![
        chart("Duration", &trend.points, &latency, console::duration),
        chart("Requests a second", &trend.points, &[("requests", |run| run.rps)], |value| {
            format!("{value:.1}")
        }),
        chart("Failed", &trend.points, &[("failed", |run| run.failed_rate)], |value| {
            format!("{:.2} %", value * 100.0)
        }),
    ]
}

fn chart(title: &'static str, points: &[TrendPoint], figures: &[Figure], shown: Shown) -> Chart {
    let sound = |value: f64| if value.is_finite() { value.max(0.0) } else { 0.0 };
    let most = figures
        .iter()
        .flat_map(|(_, figure)| points.iter().map(move |point| sound(figure(&point.summary))))
        .fold(0.0, f64::max);
    // Runs at equal distances: what happened between two of them says nothing.
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    let step = (WIDTH - 2.0 * MARGIN) / points.len().saturating_sub(1).max(1) as f64;
    let place = |at: usize, value: f64| {
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        let x = MARGIN + at as f64 * step;
        let share = if most > 0.0 { sound(value) / most } else { 0.0 };
        (x, HEIGHT - MARGIN - share * (HEIGHT - 2.0 * MARGIN))
    };
    let lines = figures.iter().map(|(name, figure)| {
        let places = points.iter().enumerate().map(|(at, point)| place(at, figure(&point.summary)));
        let text: Vec<String> = places.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let last = points.last().map(|point| shown(figure(&point.summary))).unwrap_or_default();
        Line { name, points: text.join(" "), last }
    });
    let failed = points.iter().enumerate().filter(|(_, point)| point.outcome == Outcome::Failed);
    Chart {
        title,
        lines: lines.collect(),
        most: shown(most),
        failed: figures
            .last()
            .map(|(_, figure)| failed.map(|(at, point)| place(at, figure(&point.summary))).collect())
            .unwrap_or_default(),
    }
}

/// A run in the table.
#[derive(Serialize)]
struct Row {
    run: Uuid,
    at: String,
    cells: [String; 6],
}

/// Newest first.
fn rows(trend: &Trend) -> Vec<Row> {
    let row = |point: &TrendPoint| {
        let run = &point.summary;
        let outcome = if point.outcome == Outcome::Passed { "passed" } else { "failed" };
        Row {
            run: point.run,
            at: point.at.format("%Y-%m-%d %H:%M").to_string(),
            cells: [
                outcome.to_owned(),
                format!("{:.1}", run.rps),
                console::duration(run.p50_ms),
                console::duration(run.p95_ms),
                console::duration(run.p99_ms),
                format!("{:.2} %", run.failed_rate * 100.0),
            ],
        }
    };
    trend.points.iter().rev().map(row).collect()
}

#[cfg(test)]
mod tests {
    use chrono::{TimeDelta, Utc};
    use common_models::{Outcome, Run, RunState, RunSummary};
    use uuid::Uuid;

    use super::{grouped, page};

    fn run(target: &str, outcome: Option<Outcome>, age: i64, p95_ms: f64) -> Run {
        let at = Utc::now() - TimeDelta::minutes(age);
        Run {
            id: Uuid::now_v7(),
            scenario: "smoke".to_owned(),
            target: target.to_owned(),
            engine: "local".to_owned(),
            state: RunState::Finished,
            outcome,
            reason: None,
            simulated: false,
            created_at: at,
            started_at: Some(at),
            finished_at: None,
            summary: Some(RunSummary { p95_ms, rps: 10.0, ..RunSummary::default() }),
        }
    }

    #[test]
    fn runs_with_a_result_are_points_oldest_first() {
        let newest_first = vec![
            run("b", Some(Outcome::Passed), 0, 3.0),
            run("a", Some(Outcome::Failed), 1, 2.0),
            run("a", Some(Outcome::Inconclusive), 2, 9.0),
            run("a", Some(Outcome::Passed), 3, 1.0),
            Run { simulated: true, ..run("a", Some(Outcome::Passed), 5, 0.5) },
            Run { state: RunState::Cancelled, ..run("a", None, 4, 9.0) },
        ];
        let trends = grouped(newest_first);
        let shown: Vec<(&str, Vec<f64>)> = trends
            .iter()
            .map(|trend| {
                (trend.target.as_str(), trend.points.iter().map(|point| point.summary.p95_ms).collect())
            })
            .collect();
        // What a simulator answered stands apart.
        assert_eq!(shown, [("a", vec![1.0, 2.0]), ("a", vec![0.5]), ("b", vec![3.0])]);
        assert_eq!(trends.iter().map(|trend| trend.simulated).collect::<Vec<_>>(), [false, true, false]);
        let html = page(&trends).unwrap();
        assert!(html.contains("smoke against a, simulated answers"));
        let link = format!("<a href=\"/api/v1/runs/{}/report\">", trends[0].points[0].run);
        assert!(html.contains(&link), "{html}");
        assert_eq!(html.matches("One run so far").count(), 2);
    }

    #[test]
    fn the_page_shows_text_as_text_and_figures_as_places() {
        let hostile = run("<script>alert(1)</script>", Some(Outcome::Failed), 0, f64::NAN);
        let html = page(&grouped(vec![
            run("a", Some(Outcome::Failed), 0, 4.0),
            run("a", Some(Outcome::Passed), 1, 2.0),
            hostile,
        ]))
        .unwrap();
        assert!(!html.contains("<script>") && html.contains("&lt;script&gt;"), "{html}");
        assert!(!html.contains("NaN,") && !html.contains(",NaN"), "{html}");
        // Half of the most is half-way up.
        assert!(html.contains("points=\"10.0,80.0 630.0,10.0\""), "{html}");
        assert!(html.contains("<circle"), "a crossed threshold is marked");
        assert!(page(&[]).unwrap().contains("No run has a result yet"));
    }
}
