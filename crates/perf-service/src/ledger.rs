//! What is kept of runs: the port.
//!
//! Owns what the use cases ask of a ledger: entries, the files beside them, and leases that tell
//! the runs of a living process from those of a dead one. Must not know how anything is stored.

pub mod files;
pub mod sqlite;

use std::any::Any;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use common_models::{Run, StartRun};
use serde::{Deserialize, Serialize};
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
    /// What the k6 that ran calls itself, for whoever takes the run over.
    Version,
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
            Self::Version => "k6.version",
        }
    }
}

/// What a run was started with: all that is needed to carry it out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// What a client sent.
    pub asked: StartRun,
    /// A limit in place of the scenario's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_p95_ms: Option<f64>,
    /// Who started it.
    #[serde(default)]
    pub origin: Origin,
}

/// Who starts runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// A service: nobody has to wait for the run.
    #[default]
    Service,
    /// A command, which its user waits for.
    Command,
}

/// A run whose process died before its end.
#[derive(Debug)]
pub struct Abandoned {
    /// Its entry.
    pub run: Run,
    /// What it was started with; `None` where that cannot be read.
    pub request: Option<Request>,
    /// It is ours from here on.
    pub lease: Lease,
    /// How many services have taken it over, this one included.
    pub takeovers: u32,
}

/// What is kept of ended runs beside their entries, which are kept for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Files of runs that ended longer ago are removed; `None` keeps them.
    pub age: Option<Duration>,
    /// Bytes that the files of all ended runs may take; beyond it go samples and then all files,
    /// oldest first. `None` keeps them.
    pub bytes: Option<u64>,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Runs that lost all of their files.
    pub runs: u64,
    /// Runs that lost their samples alone.
    pub samples: u64,
    /// Bytes that became free.
    pub bytes: u64,
}

/// Something that at most one living process holds. Given up when dropped, and by the system, or by
/// time, when the process dies in whatever way.
pub struct Lease {
    held: Vec<Box<dyn Any + Send + Sync>>,
    losses: Vec<Loss>,
}

/// Whether a lease was lost while its holder lived, as what is kept elsewhere may be. It stays lost,
/// even when it is held again: somebody else may have held it meanwhile. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Loss(Arc<OnceLock<String>>);

impl Loss {
    /// Tells that it was lost, and why; whether this was not known yet.
    pub fn tell(&self, why: String) -> bool {
        self.0.set(why).is_ok()
    }

    /// Why it was lost; `None` while it was not.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

impl Lease {
    /// A lease that lasts as long as this is kept.
    #[must_use]
    pub fn on(what: impl Any + Send + Sync) -> Self {
        Self { held: vec![Box::new(what)], losses: Vec::new() }
    }

    /// The same for what may be lost meanwhile.
    #[must_use]
    pub fn unless(mut self, lost: Loss) -> Self {
        self.losses.push(lost);
        self
    }

    /// Why it is no longer known that nobody else holds it; `None` while it is.
    #[must_use]
    pub fn lost(&self) -> Option<&str> {
        self.losses.iter().find_map(Loss::why)
    }

    /// Both of two leases, as one.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.held.extend(other.held);
        self.losses.extend(other.losses);
        self
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("on", &self.held.len()).field("lost", &self.lost()).finish()
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
    /// The entries cannot be read or written.
    #[error("the ledger {0}: {1}; is the disk full or the file broken? Moved away, a new one is begun")]
    Store(PathBuf, String),
    /// The whole ledger was written by a newer version.
    #[error("the ledger {0} was written by a newer perf-service (version {1}); use that one")]
    NewerStore(PathBuf, i64),
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
            Self::Store(..) => "ledger_store",
            Self::NewerStore(..) => "ledger_newer",
            Self::BrokenOff => "ledger_broken_off",
        }
    }
}

/// A ledger of runs.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Enters a new run with what was asked for, under a lease: while it is held, no other process
    /// takes the run for abandoned.
    async fn create(&self, run: &Run, request: &Request) -> Result<Lease, LedgerError>;

    /// Replaces a run's entry; after a crash there is the old one or the new one, never a part.
    async fn save(&self, run: &Run) -> Result<(), LedgerError>;

    /// A run's entry.
    async fn read(&self, id: Uuid) -> Result<Option<Run>, LedgerError>;

    /// At most `limit` runs entered before `before`, the last entered first, whatever the clock said
    /// then. Unreadable entries are left out, and those of a newer version are not counted either.
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

    /// Runs that have not reached a last state and whose process is dead, the first entered first.
    /// A service that asks counts as one more that takes them over. Runs of a newer version are left to it.
    async fn abandoned(&self, by: Origin) -> Result<Vec<Abandoned>, LedgerError>;

    /// The right to put load on a target that bears `runs` at a time; `None` while other processes
    /// have all of it.
    async fn claim_target(&self, target: &str, runs: u32) -> Result<Option<Lease>, LedgerError>;

    /// Removes files of ended runs that are not to be kept. The last run's are kept whatever their
    /// size.
    async fn tidy(&self, retention: Retention) -> Result<Tidied, LedgerError>;
}
