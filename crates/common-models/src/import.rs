//! The report of an import: what became of each row.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What became of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum RowOutcome {
    /// The book was created or brought up to date as the row has it.
    Imported,
    /// The same, but something in the row was dropped or mended; `reasons` says what.
    Amended,
    /// The book was left as it is; `reasons` says why.
    Rejected,
    /// An earlier import had brought this very row.
    Unchanged,
}

/// One row that is worth a word: amended or rejected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportRow {
    /// Number of the data row, from 1; the header is not counted.
    pub row: u64,
    /// Line of the file on which the row starts, from 1.
    pub line: u64,
    /// The source's own id of the row, if it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_id: Option<String>,
    /// What became of it.
    pub outcome: RowOutcome,
    /// Why, in words.
    pub reasons: Vec<String>,
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportReport {
    /// Data rows read.
    pub rows: u64,
    /// Rows imported as they stand.
    pub imported: u64,
    /// Rows imported with something dropped or mended.
    pub amended: u64,
    /// Rows left out.
    pub rejected: u64,
    /// Rows that an earlier import had brought already.
    pub unchanged: u64,
    /// Authors created on the way.
    pub authors_created: u64,
    /// Every amended and rejected row, in the order of the file.
    pub details: Vec<ImportRow>,
}
