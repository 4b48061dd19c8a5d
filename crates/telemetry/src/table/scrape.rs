//! A scrape held against the table, for the tests of the services.

use std::collections::BTreeSet;

use super::{Metric, find};

/// What OpenTelemetry itself adds to a scrape: the service's name and version.
const TARGET_INFO: &str = "target_info";

/// What of a scrape's text contradicts the table, in words: a metric, kind, help or label that the table does
/// not have, and those of `expected` that are not shown.
#[must_use]
pub fn contradictions(text: &str, expected: impl Iterator<Item = Metric>) -> Vec<String> {
    let mut found = BTreeSet::new();
    let mut shown = BTreeSet::new();
    for line in text.lines() {
        if let Some((name, kind)) = split(line.strip_prefix("# TYPE ")) {
            match find(name) {
                Some(row) if row.kind.exported() == kind => {
                    shown.insert(name);
                }
                Some(row) => {
                    found.insert(format!("{name} is a {kind} and no {}", row.kind.exported()));
                }
                None if name == TARGET_INFO => {}
                None => {
                    found.insert(format!("{name} is not in the table"));
                }
            }
        } else if let Some((name, help)) = split(line.strip_prefix("# HELP ")) {
            if find(name).is_some_and(|row| row.help != help) {
                found.insert(format!("{name} has another help: {help}"));
            }
        } else if let Some((series, labels)) = line.split_once('{')
            && let Some(row) = row_of(series)
        {
            let allowed: Vec<String> = row.exported_labels().chain(["le".to_owned()]).collect();
            let names = labels.split("\",").filter_map(|label| label.split('=').next());
            for label in names.filter(|label| !allowed.iter().any(|allowed| allowed == label)) {
                found.insert(format!("{series} has a label {label}"));
            }
        }
    }
    for metric in expected.filter(|metric| !shown.contains(metric.exported().as_str())) {
        found.insert(format!("{} is not shown", metric.exported()));
    }
    found.into_iter().collect()
}

fn split(rest: Option<&str>) -> Option<(&str, &str)> {
    rest?.split_once(' ')
}

/// The row that a series belongs to: a histogram's have suffixes.
fn row_of(series: &str) -> Option<&'static Metric> {
    let plain = || ["_bucket", "_sum", "_count"].into_iter().find_map(|part| series.strip_suffix(part));
    find(series).or_else(|| find(plain()?))
}

#[cfg(test)]
mod tests {
    use super::contradictions;
    use crate::Metrics;
    use crate::table::{BOOKS, BOOKS_WRITTEN, SUMMARIES};

    #[test]
    fn what_is_not_in_the_table_and_what_is_not_shown_is_told() {
        let metrics = Metrics::unregistered();
        metrics.books_written("create", 1);
        let text = metrics.render();
        assert_eq!(contradictions(&text, [BOOKS_WRITTEN].into_iter()), Vec::<String>::new());
        let odd =
            text.replace("operation=", "book=") + "# TYPE bookstore_books counter\n# TYPE shop_doors gauge\n";
        assert_eq!(
            contradictions(&odd, [BOOKS, SUMMARIES].into_iter()),
            [
                "bookstore_books is a counter and no gauge",
                "bookstore_books is not shown",
                "bookstore_books_written_total has a label book",
                "bookstore_summaries_total is not shown",
                "shop_doors is not in the table",
            ]
        );
    }
}
