//! The report of an import: what became of each row.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

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
    /// The amended and rejected rows, in the order of the file.
    pub details: Vec<ImportRow>,
    /// How many more amended and rejected rows there were; left out when none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub details_omitted: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Where an import job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ImportState {
    /// It waits for others.
    Queued,
    /// It is at work.
    Running,
    /// It has gone through the whole file; the report says what became of each row.
    Finished,
    /// It broke off; `error` says why. What was imported before is kept, and sending the file again
    /// goes on and doubles nothing.
    Failed,
}

/// An import under way or ended. Kept for a week.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportJob {
    /// UUIDv7.
    pub id: Uuid,
    /// Where it stands.
    pub state: ImportState,
    /// Size of the file in bytes.
    pub bytes_total: u64,
    /// Bytes of it that are read.
    pub bytes_read: u64,
    /// What became of the rows so far.
    pub report: ImportReport,
    /// Why it broke off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ImportFailure>,
    /// When the file was taken.
    pub created_at: DateTime<Utc>,
    /// When this last changed; a job at work is heard of every few seconds.
    pub updated_at: DateTime<Utc>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<DateTime<Utc>>,
}

/// Why an import broke off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportFailure {
    /// Stable, for programs to match on.
    #[schema(example = "stopped")]
    pub code: String,
    /// What happened and what to do.
    pub message: String,
}
