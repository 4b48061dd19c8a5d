//! Lists: filters as SQL, order by an indexed key, pages that begin after the last item seen.

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};
use uuid::Uuid;

use crate::search::Search;
use crate::store::cursor::{Cursor, Key};
use crate::store::{Listing, StoreError, TOTAL_CAP};

/// Conditions, joined by AND, each with as many `?` as values.
#[derive(Default)]
pub(super) struct Conditions {
    sql: Vec<String>,
    values: Vec<Value>,
}

impl Conditions {
    pub(super) fn and(&mut self, sql: impl Into<String>, values: impl IntoIterator<Item = Value>) {
        self.sql.push(sql.into());
        self.values.extend(values);
    }

    fn filter(&self) -> String {
        if self.sql.is_empty() { String::new() } else { format!(" WHERE {}", self.sql.join(" AND ")) }
    }
}

/// A list in the making.
pub(super) struct Query<'a> {
    /// Table.
    pub(super) table: &'static str,
    /// Selected columns.
    pub(super) columns: &'static str,
    /// Column that orders; none when the id alone does.
    pub(super) order: Option<&'static str>,
    pub(super) descending: bool,
    pub(super) conditions: Conditions,
    pub(super) limit: u32,
    pub(super) cursor: Option<&'a str>,
    /// Of the query, for its cursors.
    pub(super) fingerprint: String,
}

impl Query<'_> {
    /// Runs it; `read` makes an item, its sort key and its id from a row.
    pub(super) fn run<T>(
        mut self,
        connection: &Connection,
        read: impl Fn(&Row<'_>) -> Result<(T, Key, Uuid), StoreError>,
    ) -> Result<Listing<T>, StoreError> {
        let table = self.table;
        let (total, total_capped) = capped(
            connection
                .prepare_cached(&format!(
                    "SELECT count(*) FROM (SELECT 1 FROM {table}{} LIMIT {})",
                    self.conditions.filter(),
                    TOTAL_CAP + 1
                ))?
                .query_row(params_from_iter(&self.conditions.values), |row| row.get(0))?,
        );
        let (beyond, direction) = if self.descending { ("<", "DESC") } else { (">", "ASC") };
        if let Some(cursor) = self.cursor {
            let Cursor { key, id } = Cursor::decode(cursor, &self.fingerprint)?;
            let id = Value::Text(id.to_string());
            match (self.order, key) {
                (None, Key::None) => self.conditions.and(format!("{table}.id {beyond} ?"), [id]),
                (Some(order), Key::Number(key)) => {
                    self.conditions
                        .and(format!("({order}, {table}.id) {beyond} (?, ?)"), [Value::Integer(key), id]);
                }
                (Some(order), Key::Text(key)) => {
                    self.conditions
                        .and(format!("({order}, {table}.id) {beyond} (?, ?)"), [Value::Text(key), id]);
                }
                _ => return Err(StoreError::BadCursor),
            }
        }
        let order = self.order.map(|order| format!("{order} {direction}, ")).unwrap_or_default();
        // One more than asked for tells whether a page follows.
        let mut statement = connection.prepare_cached(&format!(
            "SELECT {} FROM {table}{} ORDER BY {order}{table}.id {direction} LIMIT {}",
            self.columns,
            self.conditions.filter(),
            u64::from(self.limit) + 1
        ))?;
        let mut rows = statement.query(params_from_iter(&self.conditions.values))?;
        let mut listing = Listing { items: Vec::new(), next_cursor: None, total, total_capped };
        let mut last = None;
        while let Some(row) = rows.next()? {
            if listing.items.len() == self.limit as usize {
                listing.next_cursor = last.map(|(key, id)| Cursor { key, id }.encode(&self.fingerprint));
                break;
            }
            let (item, key, id) = read(row)?;
            listing.items.push(item);
            last = Some((key, id));
        }
        Ok(listing)
    }

    /// Runs it by relevance: the matches are scored, the best come first. `text` is the table of the
    /// words, whose first two columns are scored; `read` makes an item from an id.
    pub(super) fn run_by_relevance<T>(
        self,
        connection: &Connection,
        search: &Search,
        read: impl Fn(Uuid) -> Result<Option<T>, StoreError>,
    ) -> Result<Listing<T>, StoreError> {
        let table = self.table;
        let mut scored = Vec::new();
        {
            // The words carry the id: the table itself is only needed for further conditions.
            let join = match self.conditions.sql.len() {
                0 | 1 => String::new(),
                _ => format!(" CROSS JOIN {table} ON {table}.row = words.rowid"),
            };
            let mut statement = connection.prepare_cached(&format!(
                "SELECT words.id, words.title, words.names FROM {table}_text AS words{join}{} \
                 ORDER BY words.rowid LIMIT {}",
                self.conditions.filter(),
                TOTAL_CAP + 1
            ))?;
            let mut rows = statement.query(params_from_iter(&self.conditions.values))?;
            while let Some(row) = rows.next()? {
                let id = super::rows::id(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?;
                let title = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
                let names = row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?;
                scored.push((search.score(title.split(' '), names.split(' ')), id));
            }
        }
        let (total, total_capped) = capped(i64::try_from(scored.len()).unwrap_or(i64::MAX));
        scored.truncate(usize::try_from(TOTAL_CAP).unwrap_or(usize::MAX));
        let (page, next_cursor) =
            crate::store::cursor::best(scored, self.cursor, self.limit, &self.fingerprint)?;
        let items = page.into_iter().filter_map(|id| read(id).transpose()).collect::<Result<_, _>>()?;
        Ok(Listing { items, next_cursor, total, total_capped })
    }
}

fn capped(counted: i64) -> (u64, bool) {
    let counted = counted.unsigned_abs();
    (counted.min(TOTAL_CAP), counted > TOTAL_CAP)
}

/// A search as FTS5 takes it: all of the words, the last as a beginning. Words hold letters and
/// digits only, so that nothing in them is an operator once they are quoted.
pub(super) fn match_expression(search: &Search) -> String {
    let mut expression = String::new();
    for word in &search.whole {
        expression.push_str(&format!("\"{word}\" "));
    }
    expression.push_str(&format!("\"{}\"*", search.beginning));
    expression
}

#[cfg(test)]
mod tests {
    use super::match_expression;
    use crate::search::Search;

    #[test]
    fn searches_cannot_hold_operators() {
        assert_eq!(match_expression(&Search::parse("moby di")), "\"moby\" \"di\"*");
        assert_eq!(
            match_expression(&Search::parse("a\" OR title:* NEAR(")),
            "\"a\" \"or\" \"title\" \"near\"*"
        );
    }
}
