//! What is kept of runs: the port.
//!
//! Owns what the use cases ask of a ledger: entries, the files beside them, and leases that tell
//! the runs of a living process from those of a dead one. Must not know how anything is stored.

pub mod files;

use std::io;
use std::path::PathBuf;

use async_trait::async_trait;
use common_models::{Run, StartRun};
use uuid::Uuid;

/// A file beside a run's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Artifact {
    /// All figures, as JSON.
    Results,
    /// The report, as HTML.
    Report,
    /// What k6 logged: a JSON object a line.
    Log,
    /// What k6 measured: a JSON object a line, its summary last.
    Samples,
}

impl Artifact {
    /// Its file's name in the run's folder.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Results => "results.json",
            Self::Report => "report.html",
            Self::Log => "k6.log",
            Self::Samples => "samples.ndjson",
        }
    }
}

/// Something that at most one living process holds. Given up when dropped, and by the system when
/// the process dies in whatever way.
#[derive(Debug)]
pub struct Lease {
    _file: std::fs::File,
}

impl Lease {
    /// A lease that lasts as long as the lock on this file.
    #[must_use]
    pub const fn on(file: std::fs::File) -> Self {
        Self { _file: file }
    }
}

/// A stretch of the list of runs, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch {
    /// The runs.
    pub runs: Vec<Run>,
    /// Whether older ones follow.
    pub more: bool,
    /// How many runs the ledger has.
    pub total: u64,
}

/// Why the ledger did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The data folder cannot be used.
    #[error("the data folder {0} cannot be used: {1}; make it writable or set DATA_DIR to another")]
    Folder(PathBuf, #[source] io::Error),
    /// A file could not be read or written.
    #[error("{0}: {1}; is the disk full or the folder gone?")]
    File(PathBuf, #[source] io::Error),
    /// An entry is not readable.
    #[error("{0} is not a run's entry: {1}; move it away to be rid of it")]
    Entry(PathBuf, #[source] serde_json::Error),
    /// An entry was written by a newer version.
    #[error("{0} was written by a newer perf-service (entry version {1}); use that one to read it")]
    Newer(PathBuf, u32),
    /// A task of ours broke off.
    #[error("an access to the ledger broke off")]
    BrokenOff,
}

impl LedgerError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Folder(..) => "ledger_folder",
            Self::File(..) => "ledger_file",
            Self::Entry(..) => "ledger_entry",
            Self::Newer(..) => "ledger_newer",
            Self::BrokenOff => "ledger_broken_off",
        }
    }
}

/// A ledger of runs.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Enters a new run with what was asked for, under a lease: while it is held, no other process
    /// takes the run for abandoned.
    async fn create(&self, run: &Run, asked: &StartRun) -> Result<Lease, LedgerError>;

    /// Replaces a run's entry; after a crash there is the old one or the new one, never a part.
    async fn save(&self, run: &Run) -> Result<(), LedgerError>;

    /// A run's entry.
    async fn read(&self, id: Uuid) -> Result<Option<Run>, LedgerError>;

    /// At most `limit` runs older than `before`, newest first. Unreadable entries are left out.
    async fn list(&self, before: Option<Uuid>, limit: usize) -> Result<Stretch, LedgerError>;

    /// Keeps a file beside a run's entry, whole or not at all.
    async fn keep(&self, id: Uuid, artifact: Artifact, content: Vec<u8>) -> Result<(), LedgerError>;

    /// The last `at_most` bytes of a file beside a run's entry, if there is one.
    async fn artifact(
        &self,
        id: Uuid,
        artifact: Artifact,
        at_most: u64,
    ) -> Result<Option<Vec<u8>>, LedgerError>;

    /// The folder in which an engine puts what k6 writes for this run.
    fn folder(&self, id: Uuid) -> PathBuf;

    /// Runs that have not reached a last state and whose process is dead, with their leases.
    async fn abandoned(&self) -> Result<Vec<(Run, Lease)>, LedgerError>;

    /// The right to put load on a target; `None` while another process has it.
    async fn claim_target(&self, target: &str) -> Result<Option<Lease>, LedgerError>;
}
