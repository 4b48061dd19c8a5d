//! One page of a list.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A page of `items`; ask again with `cursor` set to `nextCursor` for what follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// At most `limit` items.
    pub items: Vec<T>,
    /// Opaque; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// How many items the whole list has.
    pub total: u64,
}
