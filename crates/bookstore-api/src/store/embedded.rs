//! The embedded store: one SQLite file in the data folder.
//!
//! Owns connections, deadlines and the schema. One writer, several readers (write-ahead log), each
//! call on a thread where blocking is allowed. A commit is synced to disk before it is answered.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use tokio::sync::Semaphore;

use super::StoreError;

mod authors;
mod books;
mod check;
mod claims;
mod imports;
mod lists;
mod migration;
mod rows;
mod summaries;
mod tallies;
mod upkeep;

/// File in the data folder.
const FILE: &str = "bookstore.sqlite";
/// The schema that this program reads and writes.
const SCHEMA: &str = concat!(include_str!("embedded/schema.sql"), include_str!("embedded/tallies.sql"));
/// The part of it that version 2 lacked.
const TALLIES: &str = include_str!("embedded/tallies.sql");
/// Its version.
const VERSION: i64 = 3;
/// Connections for reading.
const READERS: usize = 4;
/// Longest wait for another process's write.
const BUSY: Duration = Duration::from_secs(5);
/// Longest wait for any operation.
const DEADLINE: Duration = Duration::from_secs(10);
/// Statements kept prepared, per connection.
const PREPARED: usize = 64;

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be made or written.
    #[error("the data folder {0} cannot be used: {1}; set DATA_DIR to a folder that can be written")]
    Folder(PathBuf, #[source] std::io::Error),
    /// SQLite cannot open the file.
    #[error(
        "the store {0} cannot be opened: {1}; check that DATA_DIR can be written and its disk is not full"
    )]
    Open(PathBuf, #[source] rusqlite::Error),
    /// A newer program wrote it.
    #[error(
        "the store {0} has schema version {1}, this program knows up to {VERSION}; start a newer program"
    )]
    Newer(PathBuf, i64),
    /// What an older program wrote cannot be brought up to date.
    #[error(
        "the store {0} of schema version {1} cannot be brought up to version {VERSION}: {2}; nothing was changed"
    )]
    Migration(PathBuf, i64, #[source] StoreError),
}

/// The store.
#[derive(Clone)]
pub struct EmbeddedStore {
    file: PathBuf,
    writer: Arc<Mutex<Connection>>,
    writing: Arc<Semaphore>,
    readers: Arc<Mutex<Vec<Connection>>>,
    reading: Arc<Semaphore>,
}

impl EmbeddedStore {
    /// Opens the store in `folder`, making both if need be.
    ///
    /// # Errors
    /// When the folder cannot be written, the file is broken, or a newer program wrote it.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        std::fs::create_dir_all(folder).map_err(|error| OpenError::Folder(folder.to_owned(), error))?;
        let file = folder.join(FILE);
        let failed = |error| OpenError::Open(file.clone(), error);
        let mut writer = Connection::open(&file).map_err(failed)?;
        prepare(&writer).map_err(failed)?;
        writer.pragma_update(None, "journal_mode", "wal").map_err(failed)?;
        writer.pragma_update(None, "synchronous", "full").map_err(failed)?;
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let found: i64 =
            transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
        if found > VERSION {
            return Err(OpenError::Newer(file, found));
        }
        match found {
            VERSION => {}
            0 => transaction.execute_batch(SCHEMA).map_err(failed)?,
            _ => {
                tracing::info!(from = found, to = VERSION, "bringing the store up to date");
                migration::from_version(found, &transaction)
                    .map_err(|error| OpenError::Migration(file.clone(), found, error))?;
            }
        }
        transaction.pragma_update(None, "user_version", VERSION).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        let mut readers = Vec::with_capacity(READERS);
        for _ in 0..READERS {
            readers.push(reader(&file).map_err(failed)?);
        }
        Ok(Self {
            file,
            writer: Arc::new(Mutex::new(writer)),
            writing: Arc::new(Semaphore::new(1)),
            readers: Arc::new(Mutex::new(readers)),
            reading: Arc::new(Semaphore::new(READERS)),
        })
    }

    /// Runs `work` on a reading connection.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        tokio::time::timeout(DEADLINE, self.read_pooled(work)).await.unwrap_or(Err(StoreError::Timeout))
    }

    /// Runs `work` on a reading connection of its own, without a deadline: for operators' work that
    /// reads everything. Of its own also because a connection that has read the text index before
    /// checks it against what it remembers of it.
    async fn read_whole<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let file = self.file.clone();
        tokio::task::spawn_blocking(move || work(&reader(&file)?))
            .await
            .unwrap_or_else(|error| Err(StoreError::Unavailable(error.to_string())))
    }

    async fn read_pooled<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let this = self.clone();
        let permit = this
            .reading
            .acquire_owned()
            .await
            .map_err(|_| StoreError::Unavailable("the store is closed".to_owned()))?;
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let pool = || this.readers.lock().unwrap_or_else(PoisonError::into_inner);
            let connection = pool().pop();
            let Some(connection) = connection else {
                return Err(StoreError::Unavailable("no reading connection is left".to_owned()));
            };
            let result = work(&connection);
            pool().push(connection);
            result
        })
        .await
        .unwrap_or_else(|error| Err(StoreError::Unavailable(error.to_string())))
    }

    /// Runs `work` in a transaction that is committed, durably, when it succeeds. Work that has begun
    /// goes on to its end even when the caller has given up waiting; what still waits for its turn by
    /// then never begins, and waiting takes no thread that readers need.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (writer, writing) = (Arc::clone(&self.writer), Arc::clone(&self.writing));
        let write = async move {
            let turn = writing
                .acquire_owned()
                .await
                .map_err(|_| StoreError::Unavailable("the store is closed".to_owned()))?;
            tokio::task::spawn_blocking(move || {
                let _turn = turn;
                let mut connection = writer.lock().unwrap_or_else(PoisonError::into_inner);
                let transaction = connection
                    .transaction_with_behavior(TransactionBehavior::Immediate)
                    .map_err(|error| failed(&error))?;
                let result = work(&transaction)?;
                transaction.commit().map_err(|error| failed(&error))?;
                Ok(result)
            })
            .await
            .unwrap_or_else(|error| Err(StoreError::Unavailable(error.to_string())))
        };
        tokio::time::timeout(DEADLINE, write).await.unwrap_or(Err(StoreError::Timeout))
    }
}

fn reader(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let reader = Connection::open_with_flags(file, flags)?;
    prepare(&reader)?;
    Ok(reader)
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    Ok(())
}

/// SQLite's error as the port knows it.
fn failed(error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Timeout,
        _ => StoreError::Unavailable(error.to_string()),
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        failed(&error)
    }
}
