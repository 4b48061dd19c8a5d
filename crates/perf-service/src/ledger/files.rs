//! The ledger as files: `runs/ID/run.json` in the data folder, artifacts beside it.
//!
//! Owns the layout, atomic writes and file locks. Ids are UUIDv7, so that names sort by time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use common_models::{Run, StartRun};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Artifact, Lease, Ledger, LedgerError, Stretch};
use crate::run_state;

const RUNS: &str = "runs";
const TARGETS: &str = "targets";
const ENTRY: &str = "run.json";
const REQUEST: &str = "request.json";
const LEASE: &str = "lease";
/// Version of the entries written here.
const VERSION: u32 = 1;

/// An entry as stored.
#[derive(Serialize, Deserialize)]
struct Entry<R> {
    version: u32,
    run: R,
}

/// Any version's entry.
#[derive(Deserialize)]
struct AnyEntry {
    version: u32,
}

/// A ledger in a folder.
#[derive(Clone, Debug)]
pub struct FileLedger {
    folder: PathBuf,
}

impl FileLedger {
    /// The ledger in this data folder, which is made if it is not there.
    ///
    /// # Errors
    /// When the folder cannot be made or written to.
    pub fn open(data: &Path) -> Result<Self, LedgerError> {
        let unusable = |error| LedgerError::Folder(data.to_owned(), error);
        fs::create_dir_all(data).map_err(unusable)?;
        // Engines work in other folders and daemons, so relative paths would not do.
        let folder = data.canonicalize().map_err(unusable)?;
        for part in [RUNS, TARGETS] {
            fs::create_dir_all(folder.join(part)).map_err(unusable)?;
        }
        let probe = folder.join(format!(".writable-{}", Uuid::now_v7()));
        fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe)).map_err(unusable)?;
        Ok(Self { folder })
    }

    fn run_folder(&self, id: Uuid) -> PathBuf {
        self.folder.join(RUNS).join(id.to_string())
    }

    /// Ids of all runs, newest first. Whatever else lies there is passed over.
    fn ids(&self) -> Result<Vec<Uuid>, LedgerError> {
        let folder = self.folder.join(RUNS);
        let failed = |error| LedgerError::File(folder.clone(), error);
        let mut ids = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            ids.extend(name.to_str().and_then(|name| Uuid::parse_str(name).ok()));
        }
        ids.sort_unstable_by(|a, b| b.cmp(a));
        Ok(ids)
    }

    fn read_entry(&self, id: Uuid) -> Result<Option<Run>, LedgerError> {
        let path = self.run_folder(id).join(ENTRY);
        let Some(text) = found(fs::read(&path)).map_err(|error| LedgerError::File(path.clone(), error))?
        else {
            return Ok(None);
        };
        let broken = |error| LedgerError::Entry(path.clone(), error);
        let any: AnyEntry = serde_json::from_slice(&text).map_err(broken)?;
        if any.version > VERSION {
            return Err(LedgerError::Newer(path, any.version));
        }
        serde_json::from_slice::<Entry<Run>>(&text).map(|entry| Some(entry.run)).map_err(broken)
    }

    /// An entry for a list, where one that cannot be read must not hide the others.
    fn readable_entry(&self, id: Uuid) -> Option<Run> {
        self.read_entry(id).unwrap_or_else(|error| {
            tracing::warn!(%error, kind = error.kind(), "an entry of the ledger is left out");
            None
        })
    }

    fn save_entry(&self, run: &Run) -> Result<(), LedgerError> {
        write_json(&self.run_folder(run.id).join(ENTRY), &Entry { version: VERSION, run })
    }

    fn create_entry(&self, run: &Run, asked: &StartRun) -> Result<Lease, LedgerError> {
        let folder = self.run_folder(run.id);
        fs::create_dir_all(&folder).map_err(|error| LedgerError::File(folder.clone(), error))?;
        // The lease first: an entry without a lease that is held is an abandoned run.
        let path = folder.join(LEASE);
        let lease = lock(&path)?
            .ok_or_else(|| LedgerError::File(path, io::Error::new(io::ErrorKind::WouldBlock, "is in use")))?;
        write_json(&folder.join(REQUEST), asked)?;
        self.save_entry(run)?;
        Ok(lease)
    }

    fn stretch(&self, before: Option<Uuid>, limit: usize) -> Result<Stretch, LedgerError> {
        let ids = self.ids()?;
        let total = ids.len() as u64;
        let mut older = ids.into_iter().filter(|id| before.is_none_or(|before| *id < before));
        let mut runs = Vec::new();
        while runs.len() < limit
            && let Some(id) = older.next()
        {
            runs.extend(self.readable_entry(id));
        }
        Ok(Stretch { runs, more: older.next().is_some(), total })
    }

    fn read_artifact(
        &self,
        id: Uuid,
        artifact: Artifact,
        at_most: u64,
    ) -> Result<Option<Vec<u8>>, LedgerError> {
        let path = self.run_folder(id).join(artifact.file_name());
        let read = || {
            let mut file = File::open(&path)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(at_most)))?;
            let mut content = Vec::new();
            // A log may grow while it is read.
            file.take(at_most).read_to_end(&mut content)?;
            Ok(content)
        };
        found(read()).map_err(|error| LedgerError::File(path.clone(), error))
    }

    fn abandoned_entries(&self) -> Result<Vec<(Run, Lease)>, LedgerError> {
        let mut abandoned = Vec::new();
        for id in self.ids()? {
            if self.readable_entry(id).is_none_or(|run| run_state::is_last(run.state)) {
                continue;
            }
            if let Some(lease) = lock(&self.run_folder(id).join(LEASE))? {
                // Its process may have ended it between our reading and our locking.
                let still = self.readable_entry(id).filter(|run| !run_state::is_last(run.state));
                abandoned.extend(still.zip(Some(lease)));
            }
        }
        Ok(abandoned)
    }
}

#[async_trait]
impl Ledger for FileLedger {
    async fn create(&self, run: &Run, asked: &StartRun) -> Result<Lease, LedgerError> {
        let (ledger, run, asked) = (self.clone(), run.clone(), asked.clone());
        blocking(move || ledger.create_entry(&run, &asked)).await
    }

    async fn save(&self, run: &Run) -> Result<(), LedgerError> {
        let (ledger, run) = (self.clone(), run.clone());
        blocking(move || ledger.save_entry(&run)).await
    }

    async fn read(&self, id: Uuid) -> Result<Option<Run>, LedgerError> {
        let ledger = self.clone();
        blocking(move || ledger.read_entry(id)).await
    }

    async fn list(&self, before: Option<Uuid>, limit: usize) -> Result<Stretch, LedgerError> {
        let ledger = self.clone();
        blocking(move || ledger.stretch(before, limit)).await
    }

    async fn keep(&self, id: Uuid, artifact: Artifact, content: Vec<u8>) -> Result<(), LedgerError> {
        let path = self.run_folder(id).join(artifact.file_name());
        blocking(move || write_whole(&path, &content)).await
    }

    async fn artifact(
        &self,
        id: Uuid,
        artifact: Artifact,
        at_most: u64,
    ) -> Result<Option<Vec<u8>>, LedgerError> {
        let ledger = self.clone();
        blocking(move || ledger.read_artifact(id, artifact, at_most)).await
    }

    fn folder(&self, id: Uuid) -> PathBuf {
        self.run_folder(id)
    }

    async fn abandoned(&self) -> Result<Vec<(Run, Lease)>, LedgerError> {
        let ledger = self.clone();
        blocking(move || ledger.abandoned_entries()).await
    }

    async fn claim_target(&self, target: &str) -> Result<Option<Lease>, LedgerError> {
        // Names of targets come from the settings, which let only harmless ones in.
        let path = self.folder.join(TARGETS).join(format!("{target}.lock"));
        blocking(move || lock(&path)).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LedgerError> + Send + 'static,
) -> Result<T, LedgerError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(LedgerError::BrokenOff))
}

/// Locks a file, unless another process has it locked.
fn lock(path: &Path) -> Result<Option<Lease>, LedgerError> {
    let failed = |error| LedgerError::File(path.to_owned(), error);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lease::on(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), LedgerError> {
    let text =
        serde_json::to_vec_pretty(value).map_err(|error| LedgerError::Entry(path.to_owned(), error))?;
    write_whole(path, &text)
}

fn write_whole(path: &Path, content: &[u8]) -> Result<(), LedgerError> {
    let failed = |error| LedgerError::File(path.to_owned(), error);
    let part = path.with_extension(format!("part-{}", Uuid::now_v7()));
    let written = File::create_new(&part)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        // The error that made it fail is the one to tell.
        let _ = fs::remove_file(&part);
    }
    written.map_err(failed)?;
    // The name is safe only when its folder is.
    let folder = path.parent().unwrap_or(path);
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use common_models::{Run, RunState, StartRun};
    use uuid::Uuid;

    use super::super::{Artifact, Ledger, LedgerError};
    use super::FileLedger;

    fn run(state: RunState) -> Run {
        Run {
            id: Uuid::now_v7(),
            scenario: "smoke".to_owned(),
            target: "local".to_owned(),
            engine: "local".to_owned(),
            state,
            outcome: None,
            reason: None,
            simulated: false,
            created_at: Utc::now(),
            started_at: None,
            finished_at: None,
            summary: None,
        }
    }

    fn asked() -> StartRun {
        StartRun { scenario: "smoke".to_owned(), duration_seconds: Some(5), ..StartRun::default() }
    }

    #[tokio::test]
    async fn entries_are_read_back_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = FileLedger::open(folder.path()).unwrap();
        let mut entry = run(RunState::Queued);
        let _lease = ledger.create(&entry, &asked()).await.unwrap();
        assert_eq!(ledger.read(entry.id).await.unwrap(), Some(entry.clone()));
        entry.state = RunState::Running;
        ledger.save(&entry).await.unwrap();
        assert_eq!(ledger.read(entry.id).await.unwrap(), Some(entry.clone()));
        assert_eq!(ledger.read(Uuid::now_v7()).await.unwrap(), None);
        let left: Vec<_> = std::fs::read_dir(ledger.folder(entry.id)).unwrap().collect();
        assert_eq!(left.len(), 3, "{left:?}");
    }

    #[tokio::test]
    async fn pages_go_from_the_newest_to_the_oldest() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = FileLedger::open(folder.path()).unwrap();
        let mut ids = Vec::new();
        for _ in 0..5 {
            let entry = run(RunState::Finished);
            ledger.create(&entry, &asked()).await.unwrap();
            ids.push(entry.id);
        }
        std::fs::write(folder.path().join("runs/stray"), "x").unwrap();
        let broken = Uuid::now_v7();
        std::fs::create_dir(ledger.folder(broken)).unwrap();
        std::fs::write(ledger.folder(broken).join("run.json"), "{\"version\":1,\"run\":").unwrap();
        ids.reverse();
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let page = ledger.list(before, 2).await.unwrap();
            assert!(page.runs.len() <= 2);
            seen.extend(page.runs.iter().map(|run| run.id));
            before = page.runs.last().map(|run| run.id);
            if !page.more {
                break;
            }
        }
        assert_eq!(seen, ids);
    }

    #[tokio::test]
    async fn only_runs_of_dead_processes_are_abandoned() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = FileLedger::open(folder.path()).unwrap();
        let (alive, dead, done) = (run(RunState::Running), run(RunState::Queued), run(RunState::Failed));
        let lease = ledger.create(&alive, &asked()).await.unwrap();
        drop(ledger.create(&dead, &asked()).await.unwrap());
        drop(ledger.create(&done, &asked()).await.unwrap());
        let abandoned = ledger.abandoned().await.unwrap();
        assert_eq!(abandoned.iter().map(|(run, _)| run.id).collect::<Vec<_>>(), [dead.id]);
        // Held by the first finder, so that no second one takes it as well.
        assert!(ledger.abandoned().await.unwrap().is_empty());
        drop((lease, abandoned));
        assert_eq!(ledger.abandoned().await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_target_is_claimed_once() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = FileLedger::open(folder.path()).unwrap();
        let first = ledger.claim_target("local").await.unwrap();
        assert!(first.is_some());
        assert!(ledger.claim_target("local").await.unwrap().is_none());
        assert!(ledger.claim_target("other").await.unwrap().is_some());
        drop(first);
        assert!(ledger.claim_target("local").await.unwrap().is_some());
    }

    #[tokio::test]
    async fn artifacts_are_given_from_their_end() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = FileLedger::open(folder.path()).unwrap();
        let entry = run(RunState::Running);
        let _lease = ledger.create(&entry, &asked()).await.unwrap();
        assert_eq!(ledger.artifact(entry.id, Artifact::Log, 10).await.unwrap(), None);
        ledger.keep(entry.id, Artifact::Log, b"0123456789".to_vec()).await.unwrap();
        let tail = ledger.artifact(entry.id, Artifact::Log, 4).await.unwrap();
        assert_eq!(tail.as_deref(), Some(&b"6789"[..]));
        assert_eq!(ledger.artifact(Uuid::now_v7(), Artifact::Log, 4).await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_cannot_be_used_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(matches!(FileLedger::open(&file.join("data")), Err(LedgerError::Folder(..))));

        let ledger = FileLedger::open(folder.path()).unwrap();
        let id = Uuid::now_v7();
        std::fs::create_dir(ledger.folder(id)).unwrap();
        std::fs::write(ledger.folder(id).join("run.json"), r#"{"version":9,"run":{"new":true}}"#).unwrap();
        assert!(matches!(ledger.read(id).await, Err(LedgerError::Newer(_, 9))));
    }
}
