//! Import jobs: a file is taken, imported in the background, and anyone may ask how far it is.
//!
//! Owns the jobs' life and documents. A job belongs to the process that took its file; its document
//! lies in the store, so that every instance can show it. One that is not heard of any more is shown
//! as failed: its process is gone, and sending the file again goes on.

use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use chrono::{DateTime, TimeDelta, Utc};
use common_models::{ImportFailure, ImportJob, ImportReport, ImportState};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use uuid::Uuid;

use crate::archive::Lines;
use crate::import::goodbooks::CsvRows;
use crate::import::{Format, ImportError, Importer, Rows, Watch};
use crate::store::{JobStore, StoreError};

/// Files that may wait or be at work at a time: each is held in memory.
const MOST_JOBS: usize = 4;
/// Amended and rejected rows that a document lists.
const MOST_DETAILS: usize = 1_000;
/// How often a job at work writes its document, at most, and one that waits, at least.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// A job not heard of for this long has lost its process.
const LOST_AFTER: TimeDelta = TimeDelta::seconds(60);
/// How long a document is kept.
const KEPT_FOR: TimeDelta = TimeDelta::days(7);
/// How often writing the last document is tried.
const TRIES: u32 = 5;

/// Why a job cannot be started or shown.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The file cannot be imported at all.
    #[error(transparent)]
    File(#[from] ImportError),
    /// Too many files wait already.
    #[error("{MOST_JOBS} imports wait or are at work already")]
    Busy,
    /// There is no such job.
    #[error("there is no import {0}")]
    NotFound(Uuid),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl JobError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::File(error) => error.kind(),
            Self::Busy => "busy",
            Self::NotFound(_) => "not_found",
            Self::Store(error) => error.kind(),
        }
    }
}

/// The right to hold one file in memory.
#[derive(Debug)]
pub struct Place(#[expect(dead_code, reason = "held, never looked at")] OwnedSemaphorePermit);

/// The use case.
#[derive(Clone)]
pub struct ImportJobs {
    importer: Importer,
    store: Arc<dyn JobStore>,
    places: Arc<Semaphore>,
    /// One file at a time is imported: two would only wait for the same store.
    turn: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl ImportJobs {
    /// Jobs that are counted in `tasks`, and break off at `stop`.
    pub fn new(
        importer: &Importer,
        store: Arc<dyn JobStore>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let places = Arc::new(Semaphore::new(MOST_JOBS));
        let importer = importer.listing(MOST_DETAILS);
        Self { importer, store, places, turn: Arc::new(Semaphore::new(1)), tasks, stop }
    }

    /// A place for a file that is about to be read.
    ///
    /// # Errors
    /// When all are taken.
    pub fn place(&self) -> Result<Place, JobError> {
        Arc::clone(&self.places).try_acquire_owned().map(Place).map_err(|_| JobError::Busy)
    }

    /// Takes a file and starts importing it as soon as it is its turn.
    ///
    /// # Errors
    /// When its beginning cannot be read, or the store fails.
    pub async fn start(&self, place: Place, format: Format, file: Bytes) -> Result<ImportJob, JobError> {
        let now = Utc::now();
        let job = ImportJob {
            id: Uuid::now_v7(),
            state: ImportState::Queued,
            bytes_total: file.len() as u64,
            bytes_read: 0,
            report: ImportReport::default(),
            error: None,
            created_at: now,
            updated_at: now,
            finished_at: None,
        };
        let read = Arc::new(AtomicU64::new(0));
        let rows = open(format, CountedReader { inner: file.reader(), read: Arc::clone(&read) })?;
        let mut document =
            Document { store: Arc::clone(&self.store), job: job.clone(), read, written: Instant::now() };
        document.write().await?;
        let this = self.clone();
        let run = async move { this.run(rows, document, place).await };
        self.tasks.spawn(run.instrument(tracing::info_span!("import", job = %job.id)));
        Ok(job)
    }

    /// How far a job is.
    ///
    /// # Errors
    /// When there is none or the store fails.
    pub async fn job(&self, id: Uuid) -> Result<ImportJob, JobError> {
        let text = self.store.job(id).await?.ok_or(JobError::NotFound(id))?;
        let job: ImportJob =
            serde_json::from_str(&text).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        Ok(unless_lost(job, Utc::now()))
    }

    async fn run(&self, mut rows: Box<dyn Rows>, mut document: Document, _place: Place) {
        let mut report = ImportReport::default();
        let result = match self.wait_for_turn(&mut document).await {
            Some(_turn) => {
                document.job.state = ImportState::Running;
                let mut watch = JobWatch { document: &mut document, stop: &self.stop };
                self.importer.import(rows.as_mut(), &mut report, &mut watch).await
            }
            None => Err(ImportError::Stopped { row: 0 }),
        };
        let job = &mut document.job;
        job.finished_at = Some(Utc::now());
        job.state = if result.is_ok() { ImportState::Finished } else { ImportState::Failed };
        job.error = result
            .err()
            .map(|error| ImportFailure { code: error.kind().to_owned(), message: error.to_string() });
        tracing::info!(
            rows = report.rows,
            rejected = report.rejected,
            error = job.error.as_ref().map(|error| error.code.as_str()),
            "import ended"
        );
        document.job.report = report;
        for attempt in 1..=TRIES {
            match document.write().await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(%error, attempt, "the end of an import could not be written down");
                }
            }
            tokio::time::sleep(Duration::from_millis(200) * attempt).await;
        }
    }

    /// `None` when the service stops first.
    async fn wait_for_turn(&self, document: &mut Document) -> Option<OwnedSemaphorePermit> {
        let turn = Arc::clone(&self.turn).acquire_owned();
        tokio::pin!(turn);
        loop {
            tokio::select! {
                turn = &mut turn => return turn.ok(),
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep(HEARTBEAT) => document.write_or_warn().await,
            }
        }
    }
}

fn open(format: Format, reader: CountedReader) -> Result<Box<dyn Rows>, ImportError> {
    Ok(match format {
        Format::Csv => Box::new(CsvRows::open(reader)?),
        Format::JsonLines => Box::new(Lines::open(BufReader::new(reader))?),
    })
}

fn unless_lost(mut job: ImportJob, now: DateTime<Utc>) -> ImportJob {
    let at_work = matches!(job.state, ImportState::Queued | ImportState::Running);
    if at_work && now - job.updated_at > LOST_AFTER {
        job.state = ImportState::Failed;
        job.finished_at = Some(job.updated_at);
        job.error = Some(ImportFailure {
            code: "interrupted".to_owned(),
            message: "the service that took the file has ended; send it again to go on, nothing is doubled"
                .to_owned(),
        });
    }
    job
}

/// A job's document and when it was last written.
struct Document {
    store: Arc<dyn JobStore>,
    job: ImportJob,
    read: Arc<AtomicU64>,
    written: Instant,
}

impl Document {
    async fn write(&mut self) -> Result<(), StoreError> {
        self.job.updated_at = Utc::now();
        self.job.bytes_read = self.read.load(Ordering::Relaxed);
        self.written = Instant::now();
        let text =
            serde_json::to_string(&self.job).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        self.store.keep_job(self.job.id, text, Utc::now() + KEPT_FOR).await
    }

    async fn write_or_warn(&mut self) {
        if let Err(error) = self.write().await {
            tracing::warn!(%error, "the progress of an import could not be written down");
        }
    }
}

struct JobWatch<'a> {
    document: &'a mut Document,
    stop: &'a CancellationToken,
}

#[async_trait]
impl Watch for JobWatch<'_> {
    async fn after_batch(&mut self, report: &ImportReport) -> bool {
        if self.document.written.elapsed() >= HEARTBEAT {
            self.document.job.report = report.clone();
            self.document.write_or_warn().await;
        }
        !self.stop.is_cancelled()
    }
}

/// Tells how much of the file is read.
struct CountedReader {
    inner: bytes::buf::Reader<Bytes>,
    read: Arc<AtomicU64>,
}

impl Read for CountedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeDelta, Utc};
    use common_models::{ImportJob, ImportReport, ImportState};
    use uuid::Uuid;

    use super::unless_lost;

    #[test]
    fn a_job_that_is_not_heard_of_is_shown_as_failed() {
        let now = Utc::now();
        let job = ImportJob {
            id: Uuid::now_v7(),
            state: ImportState::Running,
            bytes_total: 10,
            bytes_read: 5,
            report: ImportReport::default(),
            error: None,
            created_at: now,
            updated_at: now,
            finished_at: None,
        };
        assert_eq!(unless_lost(job.clone(), now + TimeDelta::seconds(59)), job);
        let lost = unless_lost(job.clone(), now + TimeDelta::seconds(61));
        assert_eq!((lost.state, lost.error.unwrap().code.as_str()), (ImportState::Failed, "interrupted"));
        let ended = ImportJob { state: ImportState::Finished, ..job };
        assert_eq!(unless_lost(ended.clone(), now + TimeDelta::days(1)), ended);
    }
}
