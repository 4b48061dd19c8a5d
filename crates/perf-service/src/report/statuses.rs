//! Answers by status: a row for each request name, a column for each status that came.
//!
//! Owns the shape of that table. Must not know how it looks.

use std::collections::BTreeSet;

use minijinja::Value;
use minijinja::value::Serde;
use serde::Serialize;

use crate::results::StatusRow;

/// More columns than these are one.
const MOST_COLUMNS: usize = 12;

#[derive(Debug, PartialEq, Serialize)]
struct Table {
    /// Ascending; 0 stands for no answer.
    columns: Vec<u16>,
    /// Whether statuses beyond the columns are summed up in a last count of each row.
    others: bool,
    rows: Vec<Row>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Row {
    name: String,
    counts: Vec<u64>,
}

/// The table as the template reads it.
pub(super) fn table(statuses: &[StatusRow]) -> Value {
    Value::from(Serde(arranged(statuses)))
}

fn arranged(statuses: &[StatusRow]) -> Table {
    let seen: BTreeSet<u16> = statuses.iter().map(|row| row.status).collect();
    let others = seen.len() > MOST_COLUMNS;
    let columns: Vec<u16> = seen.into_iter().take(MOST_COLUMNS).collect();
    let rows = statuses.chunk_by(|one, next| one.name == next.name).filter_map(|rows| {
        let count = |of: &dyn Fn(u16) -> bool| {
            rows.iter().filter(|row| of(row.status)).map(|row| row.requests).sum::<u64>()
        };
        let mut counts: Vec<u64> = columns.iter().map(|column| count(&|status| status == *column)).collect();
        if others {
            counts.push(count(&|status| !columns.contains(&status)));
        }
        rows.first().map(|row| Row { name: row.name.clone(), counts })
    });
    Table { rows: rows.collect(), columns, others }
}

#[cfg(test)]
mod tests {
    use super::{MOST_COLUMNS, arranged};
    use crate::results::StatusRow;

    fn row(name: &str, status: u16, requests: u64) -> StatusRow {
        StatusRow { name: name.to_owned(), status, requests }
    }

    #[test]
    fn every_name_has_a_count_for_every_status() {
        let table = arranged(&[row("a", 200, 5), row("a", 404, 1), row("b", 0, 2)]);
        assert_eq!((table.columns.as_slice(), table.others), (&[0, 200, 404][..], false));
        let counts: Vec<_> =
            table.rows.iter().map(|row| (row.name.as_str(), row.counts.as_slice())).collect();
        assert_eq!(counts, [("a", &[0, 5, 1][..]), ("b", &[2, 0, 0])]);
    }

    #[test]
    fn many_statuses_are_not_lost() {
        let many: Vec<_> = (100..140).map(|status| row("a", status, 1)).collect();
        let table = arranged(&many);
        assert_eq!(table.rows[0].counts.len(), MOST_COLUMNS + 1);
        assert_eq!(table.rows[0].counts.iter().sum::<u64>(), 40);
    }
}
