//! The HTML report of a run: one file that needs nothing else, to keep, send and open anywhere.
//!
//! Owns how results look on paper and screen. Must not know where they come from nor where the file
//! goes. Everything in [`Results`] counts as hostile text: names and errors come from a target.

mod amounts;
mod durations;
mod policy;
mod statuses;
mod thresholds;
mod timeline;
mod traces;

use minijinja::value::{Serde, Value};
use minijinja::{Environment, context};

pub use self::traces::{TraceLinks, TraceLinksError};
use crate::results::Results;

const PAGE: &str = include_str!("report/page.html");
const STYLE: &str = include_str!("report/page.css");
const SCRIPT: &str = concat!(
    include_str!("report/drawing.js"),
    include_str!("report/charts.js"),
    include_str!("report/histogram.js")
);

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The page's template does not fit the results: a mistake in this program.
    #[error("the report could not be made: {0}")]
    Template(#[from] minijinja::Error),
}

impl ReportError {
    /// Stable name for logs and metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Template(_) => "template",
        }
    }
}

/// The whole report as HTML, its trace ids linked where `traces` says to. It loads nothing from anywhere, and its own policy forbids it to.
///
/// # Errors
/// Only when the template itself is wrong.
pub fn render(results: &Results, traces: Option<&TraceLinks>) -> Result<String, ReportError> {
    let mut page = Environment::new();
    amounts::register(&mut page);
    page.add_filter("in_words", thresholds::in_words);
    page.add_filter("measured_by", thresholds::measured_by);
    let traces = traces.cloned();
    page.add_filter("trace_page", move |id: Option<&str>| {
        id.and_then(|id| traces.as_ref().and_then(|traces| traces.to(id)))
    });
    // The name's ending turns on escaping for HTML.
    page.add_template("report.html", PAGE)?;
    let html = page.get_template("report.html")?.render(context! {
        run => Value::from(Serde(results)),
        seconds => seconds(results),
        chart => Value::from(Serde(timeline::Chart::of(&results.timeline))),
        durations => Value::from(Serde(durations::of(results))),
        statuses => statuses::table(&results.statuses),
        policy => policy::content_security_policy(STYLE, SCRIPT),
        style => STYLE,
        script => SCRIPT,
        version => env!("CARGO_PKG_VERSION"),
    })?;
    Ok(html)
}

fn seconds(results: &Results) -> f64 {
    (results.finished_at - results.started_at).as_seconds_f64()
}

#[cfg(test)]
mod tests;
