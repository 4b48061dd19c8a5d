//! Lists: filters as SQL, order by an indexed key, cursors that name the last item seen.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};
use serde::{Deserialize, Serialize};

use crate::store::{Listing, Sort, StoreError};

/// What a cursor says; opaque to clients.
#[derive(Serialize, Deserialize)]
struct Cursor {
    /// The order it belongs to.
    sort: Sort,
    /// Sort key of the last item seen; the id alone when ordered by creation.
    key: Option<String>,
    /// Id of the last item seen.
    id: String,
}

/// A query in the making.
pub(super) struct ListQuery {
    /// `FROM` with its joins.
    pub(super) from: &'static str,
    /// Selected columns.
    pub(super) columns: &'static str,
    /// Column of the id; ids grow with the time of creation.
    pub(super) id: &'static str,
    /// Column that `Sort::Name` orders by.
    pub(super) name: &'static str,
    /// Conditions, joined by AND, each with one `?`.
    pub(super) conditions: Vec<(&'static str, Value)>,
    pub(super) sort: Sort,
    pub(super) limit: u32,
    pub(super) cursor: Option<String>,
}

impl ListQuery {
    /// Runs the query; `read` makes an item, its name and its id from a row.
    pub(super) fn run<T>(
        self,
        connection: &Connection,
        read: impl Fn(&Row<'_>) -> Result<(T, String, String), StoreError>,
    ) -> Result<Listing<T>, StoreError> {
        let filter = |conditions: &[String]| {
            if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) }
        };
        let mut conditions: Vec<String> =
            self.conditions.iter().map(|(condition, _)| (*condition).to_owned()).collect();
        let mut values: Vec<Value> = self.conditions.iter().map(|(_, value)| value.clone()).collect();
        let total: i64 = connection
            .prepare_cached(&format!("SELECT count(*) FROM {}{}", self.from, filter(&conditions)))?
            .query_row(params_from_iter(&values), |row| row.get(0))?;
        let (by_name, descending) = match self.sort {
            Sort::Created => (false, false),
            Sort::CreatedDescending => (false, true),
            Sort::Name => (true, false),
            Sort::NameDescending => (true, true),
        };
        let (direction, beyond) = if descending { ("DESC", "<") } else { ("ASC", ">") };
        if let Some(cursor) = &self.cursor {
            let cursor = decode(cursor, self.sort)?;
            match (by_name, cursor.key) {
                (true, Some(key)) => {
                    conditions.push(format!("({}, {}) {beyond} (?, ?)", self.name, self.id));
                    values.extend([Value::Text(key), Value::Text(cursor.id)]);
                }
                (false, None) => {
                    conditions.push(format!("{} {beyond} ?", self.id));
                    values.push(Value::Text(cursor.id));
                }
                _ => return Err(StoreError::BadCursor),
            }
        }
        let order = if by_name {
            format!("{} {direction}, {} {direction}", self.name, self.id)
        } else {
            format!("{} {direction}", self.id)
        };
        // One more than asked for tells whether a page follows.
        values.push(Value::Integer(i64::from(self.limit) + 1));
        let mut statement = connection.prepare_cached(&format!(
            "SELECT {} FROM {}{} ORDER BY {order} LIMIT ?",
            self.columns,
            self.from,
            filter(&conditions)
        ))?;
        let mut rows = statement.query(params_from_iter(&values))?;
        let mut listing = Listing { items: Vec::new(), next_cursor: None, total: total.unsigned_abs() };
        let mut last = None;
        while let Some(row) = rows.next()? {
            if listing.items.len() == self.limit as usize {
                listing.next_cursor = last.map(|(key, id): (String, String)| {
                    encode(&Cursor { sort: self.sort, key: by_name.then_some(key), id })
                });
                break;
            }
            let (item, name, id) = read(row)?;
            listing.items.push(item);
            last = Some((name, id));
        }
        Ok(listing)
    }
}

fn encode(cursor: &Cursor) -> String {
    // Strings only: this cannot fail.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(cursor).unwrap_or_default())
}

fn decode(text: &str, sort: Sort) -> Result<Cursor, StoreError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| StoreError::BadCursor)?;
    let cursor: Cursor = serde_json::from_slice(&bytes).map_err(|_| StoreError::BadCursor)?;
    if cursor.sort == sort { Ok(cursor) } else { Err(StoreError::BadCursor) }
}

/// The words of a search as FTS5 takes them: all of them, the last as a beginning. `None` when
/// there is no word in it.
pub(super) fn match_expression(text: &str) -> Option<String> {
    let words: Vec<String> = text
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .take(16)
        .map(|word| format!("\"{word}\""))
        .collect();
    (!words.is_empty()).then(|| format!("{}*", words.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::match_expression;

    #[test]
    fn searches_cannot_hold_operators() {
        assert_eq!(match_expression("moby di").as_deref(), Some("\"moby\" \"di\"*"));
        assert_eq!(
            match_expression("a\" OR title:* NEAR(").as_deref(),
            Some("\"a\" \"OR\" \"title\" \"NEAR\"*")
        );
        assert_eq!(match_expression(" -*\"() "), None);
    }
}
