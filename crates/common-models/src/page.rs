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
    /// How many items the whole list has; with `totalCapped`, how many at least.
    pub total: u64,
    /// Whether there are more items than `total`; left out when `total` is exact.
    #[serde(default, skip_serializing_if = "is_exact")]
    pub total_capped: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference in")]
const fn is_exact(total_capped: &bool) -> bool {
    !*total_capped
}
