//! Cursors: where a list goes on, opaque to clients and the same for every store.
//!
//! A cursor names the last item seen by its sort key and id, so that pages stay stable while others
//! write, and the query that it belongs to, so that it cannot be used for another.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::StoreError;

/// Longest cursor that is looked at, in bytes.
const LONGEST: usize = 2_048;

/// Sort key of the last item seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Key {
    /// The id alone orders.
    None,
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
}

/// Where a list goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Sort key of the last item seen.
    pub key: Key,
    /// Its id.
    pub id: Uuid,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    q: String,
    k: Key,
    i: Uuid,
}

/// A short name of a query: filters and order, not limit and cursor.
#[must_use]
pub fn fingerprint(filter: &impl Serialize, sort: &impl Serialize) -> String {
    // Plain data: writing it down cannot fail, and an empty text would only be a weaker check.
    let text = serde_json::to_vec(&(filter, sort)).unwrap_or_default();
    Sha256::digest(text).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

impl Cursor {
    /// As clients get it.
    #[must_use]
    pub fn encode(&self, fingerprint: &str) -> String {
        let written = Written { q: fingerprint.to_owned(), k: self.key.clone(), i: self.id };
        // Strings and numbers only: this cannot fail.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&written).unwrap_or_default())
    }

    /// Reads what a client sent for the query of this fingerprint.
    ///
    /// # Errors
    /// [`StoreError::BadCursor`] when it is none of ours, or another query's.
    pub fn decode(text: &str, fingerprint: &str) -> Result<Self, StoreError> {
        if text.len() > LONGEST {
            return Err(StoreError::BadCursor);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| StoreError::BadCursor)?;
        let written: Written = serde_json::from_slice(&bytes).map_err(|_| StoreError::BadCursor)?;
        if written.q == fingerprint {
            Ok(Self { key: written.k, id: written.i })
        } else {
            Err(StoreError::BadCursor)
        }
    }
}

/// A page of a list by relevance: ids in the order of their score, best first, then by id; and the
/// cursor of the page that follows.
///
/// # Errors
/// [`StoreError::BadCursor`] as [`Cursor::decode`].
pub fn best(
    mut scored: Vec<(u32, Uuid)>,
    cursor: Option<&str>,
    limit: u32,
    fingerprint: &str,
) -> Result<(Vec<Uuid>, Option<String>), StoreError> {
    scored.sort_unstable_by_key(|&(score, id)| (std::cmp::Reverse(score), id));
    if let Some(cursor) = cursor {
        let Cursor { key: Key::Number(score), id } = Cursor::decode(cursor, fingerprint)? else {
            return Err(StoreError::BadCursor);
        };
        scored.retain(|&(other, other_id)| {
            (std::cmp::Reverse(i64::from(other)), other_id) > (std::cmp::Reverse(score), id)
        });
    }
    let limit = limit as usize;
    let more = scored.len() > limit;
    scored.truncate(limit);
    let next = scored
        .last()
        .filter(|_| more)
        .map(|&(score, id)| Cursor { key: Key::Number(i64::from(score)), id }.encode(fingerprint));
    Ok((scored.into_iter().map(|(_, id)| id).collect(), next))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{Cursor, Key, fingerprint};

    #[test]
    fn a_cursor_comes_back_for_its_own_query_only() {
        let own = fingerprint(&"filter", &"title");
        for key in [Key::None, Key::Number(-7), Key::Text("moby".to_owned())] {
            let cursor = Cursor { key, id: Uuid::now_v7() };
            let text = cursor.encode(&own);
            assert_eq!(Cursor::decode(&text, &own).unwrap(), cursor);
            assert!(Cursor::decode(&text, &fingerprint(&"filter", &"price")).is_err());
            assert!(Cursor::decode(&text[1..], &own).is_err());
        }
        for text in ["", "%%%", "e30", &"A".repeat(5_000)] {
            assert!(Cursor::decode(text, &own).is_err(), "{text}");
        }
    }
}
