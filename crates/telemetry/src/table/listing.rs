//! The listing of all metrics, `monitoring/metrics.md`, written from the table.
//!
//! `cargo run -p telemetry --example metrics_listing` prints it (`make metrics-listing` keeps it); a
//! test compares.

use std::fmt::Write;

use super::{Metric, PROCESS, RUNTIME, all};

/// The families: a name's beginning, and which service shows it.
const FAMILIES: &[(&str, &str, &str)] = &[
    ("http.server.", "HTTP served", "every service"),
    ("http.client.", "HTTP sent", "every service that asks another"),
    ("gen_ai.", "LLM calls, by the conventions", "bookstore-api"),
    ("bookstore.", "Bookstore", "bookstore-api"),
    ("db.client.", "Database connections", "bookstore-api on MongoDB"),
    ("perf.", "Load runs", "perf-service"),
    ("simulator.", "Simulator", "llm-simulator"),
    ("process.", "Process", "every service, on Linux"),
    ("tokio.", "Tokio runtime", "every service"),
    ("allocator.", "Allocator (jemalloc)", "every service"),
];

/// The listing, in Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         Generated from `crates/telemetry/src/table.rs` by `make metrics-listing`; do not edit. Names are as\n\
         Prometheus scrapes them from `/metrics`; a histogram also has `_bucket`, `_sum` and `_count`. Each scrape\n\
         has `target_info` beside them, with the service's name and version.\n",
    );
    for (beginning, title, service) in FAMILIES {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n## {title}\n\nShown by: {service}.\n\n| metric | type | unit | labels | what it says |\n|---|---|---|---|---|\n"
        );
        for metric in all().filter(|metric| metric.name.starts_with(beginning)) {
            text.push_str(&row(metric));
        }
    }
    text
}

fn row(metric: &Metric) -> String {
    let labels: Vec<String> = metric.exported_labels().map(|label| format!("`{label}`")).collect();
    format!(
        "| `{}` | {} | {} | {} | {} |\n",
        metric.exported(),
        metric.kind.exported(),
        metric.unit,
        labels.join(", "),
        metric.help.trim_end_matches('.').replace('|', "\\|")
    )
}

/// What `service` can show on this machine and in this build: some of it only after something happened.
pub fn of_service(service: &str) -> impl Iterator<Item = Metric> {
    let families = FAMILIES
        .iter()
        .filter(move |(_, _, shown_by)| shown_by.starts_with("every") || shown_by.starts_with(service));
    let untold = |metric: &Metric| {
        let among = |rows: &[Metric]| rows.iter().any(|row| row.name == metric.name);
        let elsewhere = !cfg!(target_os = "linux") && among(PROCESS);
        elsewhere || among(RUNTIME) && !among(&crate::runtime::shown())
    };
    families
        .flat_map(|(beginning, ..)| all().filter(move |metric| metric.name.starts_with(beginning)))
        .copied()
        .filter(move |metric| !untold(metric))
}

#[cfg(test)]
mod tests {
    use super::{FAMILIES, all, markdown};
    use crate::table::{ALLOCATOR, COLLECTED, PROCESS, RUNTIME};

    #[test]
    fn the_listing_is_up_to_date() {
        let kept = include_str!("../../../../monitoring/metrics.md");
        assert!(
            kept == markdown(),
            "monitoring/metrics.md is not what the table says; run make metrics-listing"
        );
    }

    #[test]
    fn every_metric_is_in_one_family() {
        for metric in all() {
            let families = FAMILIES.iter().filter(|(beginning, ..)| metric.name.starts_with(beginning));
            assert_eq!(families.count(), 1, "{}", metric.name);
        }
        assert_eq!(PROCESS.len() + RUNTIME.len() + ALLOCATOR.len(), COLLECTED.len());
    }
}
