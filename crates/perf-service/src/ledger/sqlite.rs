//! A ledger in one SQLite file of the data folder, with the runs' files beside it.
//!
//! Owns entries and which of them are whose; files and locks are `ledger/files.rs`. A commit is on
//! disk before it is answered. Several processes may have it open at a time. Entries of older
//! ledgers, a `run.json` in each run's folder, are taken in when it is opened.

mod import;
mod upkeep;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use common_models::Run;
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};
use uuid::Uuid;

use super::files::Files;
use super::{Abandoned, Artifact, Lease, Ledger, LedgerError, Origin, Request, Retention, Stretch, Tidied};
use crate::run_state;

/// File in the data folder.
const FILE: &str = "runs.sqlite";
const SCHEMA: &str = include_str!("sqlite/schema.sql");
/// Version of the schema written here.
const SCHEMA_VERSION: i64 = 1;
/// Version of the entries written here.
const VERSION: u32 = 1;
/// Longest wait for another process's write.
const BUSY: Duration = Duration::from_secs(5);

/// The ledger. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SqliteLedger {
    files: Files,
    path: PathBuf,
    connection: Arc<Mutex<Connection>>,
    /// Runs whose lease cannot be asked for, which was told once.
    passed_over: Arc<Mutex<BTreeSet<Uuid>>>,
}

/// A row as stored.
struct Stored {
    id: String,
    version: u32,
    entry: String,
}

impl Stored {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { id: row.get("id")?, version: row.get("version")?, entry: row.get("entry")? })
    }
}

impl SqliteLedger {
    /// The ledger in this data folder, which is made if it is not there.
    ///
    /// # Errors
    /// When the folder cannot be made or written to, or a newer program wrote the ledger.
    pub fn open(data: &Path) -> Result<Self, LedgerError> {
        let files = Files::open(data)?;
        let path = files.root().join(FILE);
        let failed = |error: rusqlite::Error| LedgerError::Store(path.clone(), error.to_string());
        let mut connection = Connection::open(&path).map_err(failed)?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        connection.pragma_update(None, "journal_mode", "wal").map_err(failed)?;
        connection.pragma_update(None, "synchronous", "full").map_err(failed)?;
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let found: i64 =
            transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
        if found > SCHEMA_VERSION {
            return Err(LedgerError::NewerStore(path, found));
        }
        if found == 0 {
            transaction.execute_batch(SCHEMA).map_err(failed)?;
            transaction.pragma_update(None, "user_version", SCHEMA_VERSION).map_err(failed)?;
        }
        let imported = import::old_entries(&transaction, &files).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        import::clear(&files, &imported);
        Ok(Self { files, path, connection: Arc::new(Mutex::new(connection)), passed_over: Arc::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic in between would have left no transaction open: it is rolled back when dropped.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run's lease, unless a living process has it. One that cannot be asked for is passed over: the
    /// other runs must not wait for it.
    fn free_lease(&self, id: Uuid) -> Option<Lease> {
        let mut told = self.passed_over.lock().unwrap_or_else(PoisonError::into_inner);
        match self.files.lease(id) {
            Ok(lease) => {
                told.remove(&id);
                lease
            }
            Err(error) => {
                if told.insert(id) {
                    tracing::error!(run = %id, %error, kind = error.kind(), "whether a run's process lives cannot be told; the run is left as it is");
                }
                None
            }
        }
    }

    fn failed(&self, error: rusqlite::Error) -> LedgerError {
        LedgerError::Store(self.path.clone(), error.to_string())
    }

    fn entry(&self, stored: &Stored) -> Result<Run, LedgerError> {
        let place = || self.path.join(&stored.id);
        if stored.version > VERSION {
            return Err(LedgerError::Newer(place(), stored.version));
        }
        serde_json::from_str(&stored.entry).map_err(|error| LedgerError::Entry(place(), error))
    }

    /// An entry for a list, where one that cannot be read must not hide the others.
    fn readable(&self, stored: &Stored) -> Option<Run> {
        self.entry(stored)
            .inspect_err(|error| {
                tracing::warn!(%error, kind = error.kind(), "an entry of the ledger is left out");
            })
            .ok()
    }

    fn enter(&self, run: &Run, request: &Request) -> Result<Lease, LedgerError> {
        // The lease first: an entry without a lease that is held is an abandoned run.
        let lease = self.files.lease(run.id)?.ok_or_else(|| {
            LedgerError::File(self.files.of(run.id), std::io::Error::from(std::io::ErrorKind::WouldBlock))
        })?;
        let (entry, asked) = (self.json(run.id, run)?, self.json(run.id, request)?);
        self.lock()
            .execute(
                "INSERT INTO runs (id, version, entry, request, ended, finished_at) VALUES (?, ?, ?, ?, ?, ?)",
                params![run.id.to_string(), VERSION, entry, asked, ended(run), finished_at(run)],
            )
            .map_err(|error| self.failed(error))?;
        Ok(lease)
    }

    fn replace(&self, run: &Run) -> Result<(), LedgerError> {
        let entry = self.json(run.id, run)?;
        self.lock()
            .execute(
                "UPDATE runs SET version = ?1, entry = ?, ended = ?, finished_at = ? WHERE id = ? AND version <= ?1",
                params![VERSION, entry, ended(run), finished_at(run), run.id.to_string()],
            )
            .map_err(|error| self.failed(error))?;
        Ok(())
    }

    fn json(&self, id: Uuid, value: &impl serde::Serialize) -> Result<String, LedgerError> {
        serde_json::to_string(value)
            .map_err(|error| LedgerError::Entry(self.path.join(id.to_string()), error))
    }

    fn find(&self, id: Uuid) -> Result<Option<Run>, LedgerError> {
        let stored = self
            .lock()
            .query_row("SELECT id, version, entry FROM runs WHERE id = ?", [id.to_string()], Stored::of)
            .optional()
            .map_err(|error| self.failed(error))?;
        stored.map(|stored| self.entry(&stored)).transpose()
    }

    fn stretch(&self, before: Option<Uuid>, limit: usize) -> Result<Stretch, LedgerError> {
        let connection = self.lock();
        let read = || -> rusqlite::Result<Stretch> {
            // Those of a newer version cannot be shown here, so they are not counted.
            let total: i64 =
                connection
                    .query_row("SELECT count(*) FROM runs WHERE version <= ?", [VERSION], |row| row.get(0))?;
            // A run that this ledger does not have, as a cursor, comes before none of them.
            let mut rows = connection.prepare_cached(
                "SELECT id, version, entry FROM runs
                 WHERE version <= ?2 AND (?1 IS NULL OR seq < (SELECT seq FROM runs WHERE id = ?1))
                 ORDER BY seq DESC",
            )?;
            let mut rows = rows.query_map(params![before.map(|id| id.to_string()), VERSION], Stored::of)?;
            let mut runs = Vec::new();
            while runs.len() < limit
                && let Some(stored) = rows.next()
            {
                runs.extend(self.readable(&stored?));
            }
            Ok(Stretch { runs, more: rows.next().transpose()?.is_some(), total: total.unsigned_abs() })
        };
        read().map_err(|error| self.failed(error))
    }

    fn take_over(&self, by: Origin) -> Result<Vec<Abandoned>, LedgerError> {
        let mut abandoned = Vec::new();
        for id in self.open_ids()? {
            let Some(lease) = self.free_lease(id) else { continue };
            // Its process may have ended it between our reading and our locking.
            let connection = self.lock();
            let row = connection
                .query_row(
                    "UPDATE runs SET takeovers = takeovers + ? WHERE id = ? AND ended = 0 AND version <= ?
                     RETURNING id, version, entry, request, takeovers",
                    params![u8::from(by == Origin::Service), id.to_string(), VERSION],
                    |row| Ok((Stored::of(row)?, row.get("request")?, row.get("takeovers")?)),
                )
                .optional()
                .map_err(|error| self.failed(error))?;
            drop(connection);
            let Some((stored, request, takeovers)) = row else { continue };
            let request: Option<String> = request;
            let request = request.and_then(|text| import::request(&text));
            if let Some(run) = self.readable(&stored) {
                abandoned.push(Abandoned { run, request, lease, takeovers });
            }
        }
        Ok(abandoned)
    }

    fn open_ids(&self) -> Result<Vec<Uuid>, LedgerError> {
        let connection = self.lock();
        let read = || -> rusqlite::Result<Vec<String>> {
            let mut rows = connection
                .prepare_cached("SELECT id FROM runs WHERE ended = 0 AND version <= ? ORDER BY seq")?;
            rows.query_map([VERSION], |row| row.get(0))?.collect()
        };
        let ids = read().map_err(|error| self.failed(error))?;
        Ok(ids.iter().filter_map(|id| Uuid::parse_str(id).ok()).collect())
    }

    /// Runs `work` where blocking is allowed.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || work(&this)).await.unwrap_or(Err(LedgerError::BrokenOff))
    }
}

const fn ended(run: &Run) -> bool {
    run_state::is_last(run.state)
}

fn finished_at(run: &Run) -> Option<i64> {
    run.finished_at.map(|at| at.timestamp_millis())
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn create(&self, run: &Run, request: &Request) -> Result<Lease, LedgerError> {
        let (run, request) = (run.clone(), request.clone());
        self.blocking(move |ledger| ledger.enter(&run, &request)).await
    }

    async fn save(&self, run: &Run) -> Result<(), LedgerError> {
        let run = run.clone();
        self.blocking(move |ledger| ledger.replace(&run)).await
    }

    async fn read(&self, id: Uuid) -> Result<Option<Run>, LedgerError> {
        self.blocking(move |ledger| ledger.find(id)).await
    }

    async fn list(&self, before: Option<Uuid>, limit: usize) -> Result<Stretch, LedgerError> {
        self.blocking(move |ledger| ledger.stretch(before, limit)).await
    }

    async fn keep(&self, id: Uuid, artifact: Artifact, content: Vec<u8>) -> Result<(), LedgerError> {
        self.blocking(move |ledger| ledger.files.write(id, artifact, &content)).await
    }

    async fn artifact(
        &self,
        id: Uuid,
        artifact: Artifact,
        at_most: u64,
    ) -> Result<Option<Vec<u8>>, LedgerError> {
        self.blocking(move |ledger| ledger.files.read(id, artifact, at_most)).await
    }

    fn folder(&self, id: Uuid) -> PathBuf {
        self.files.of(id)
    }

    async fn abandoned(&self, by: Origin) -> Result<Vec<Abandoned>, LedgerError> {
        self.blocking(move |ledger| ledger.take_over(by)).await
    }

    async fn claim_target(&self, target: &str, runs: u32) -> Result<Option<Lease>, LedgerError> {
        let target = target.to_owned();
        self.blocking(move |ledger| ledger.files.place(&target, runs)).await
    }

    async fn tidy(&self, retention: Retention) -> Result<Tidied, LedgerError> {
        self.blocking(move |ledger| ledger.remove_old(retention)).await
    }
}

#[cfg(test)]
mod tests;
