//! The ledger's folder: the files of each run, and the locks that tell the living from the dead.
//!
//! A run has a folder named by its id. Files are replaced whole, by a rename. A held lock on a
//! run's `lease` file says that its process lives: the system gives it up with the process. Must
//! not know what an entry says: that is `ledger/sqlite.rs`.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::{Artifact, Lease, LedgerError};

const RUNS: &str = "runs";
const TARGETS: &str = "targets";
const LEASE: &str = "lease";

/// The folder of a ledger.
#[derive(Clone, Debug)]
pub(super) struct Files {
    folder: PathBuf,
}

impl Files {
    /// The files in this data folder, which is made if it is not there.
    pub(super) fn open(data: &Path) -> Result<Self, LedgerError> {
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

    /// The data folder.
    pub(super) fn root(&self) -> &Path {
        &self.folder
    }

    /// A run's folder.
    pub(super) fn of(&self, id: Uuid) -> PathBuf {
        self.folder.join(RUNS).join(id.to_string())
    }

    /// Ids of all runs that have a folder, the oldest first. Whatever else lies there is passed over.
    pub(super) fn ids(&self) -> Result<Vec<Uuid>, LedgerError> {
        let folder = self.folder.join(RUNS);
        let failed = |error| LedgerError::File(folder.clone(), error);
        let mut ids = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            ids.extend(name.to_str().and_then(|name| Uuid::parse_str(name).ok()));
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// Takes a run's lease, unless a living process has it.
    pub(super) fn lease(&self, id: Uuid) -> Result<Option<Lease>, LedgerError> {
        let folder = self.of(id);
        fs::create_dir_all(&folder).map_err(|error| LedgerError::File(folder.clone(), error))?;
        lock(&folder.join(LEASE))
    }

    /// Takes one of a target's places.
    pub(super) fn place(&self, target: &str, places: u32) -> Result<Option<Lease>, LedgerError> {
        // Names of targets come from the settings, which let only harmless ones in.
        for place in 0..places.max(1) {
            let name = if place == 0 { format!("{target}.lock") } else { format!("{target}.{place}.lock") };
            if let Some(lease) = lock(&self.folder.join(TARGETS).join(name))? {
                return Ok(Some(lease));
            }
        }
        Ok(None)
    }

    /// Puts a file into a run's folder, whole or not at all.
    pub(super) fn write(&self, id: Uuid, artifact: Artifact, content: &[u8]) -> Result<(), LedgerError> {
        let path = self.of(id).join(artifact.file_name());
        write_whole(&path, content).map_err(|error| LedgerError::File(path, error))
    }

    /// The last `at_most` bytes of a file in a run's folder.
    pub(super) fn read(
        &self,
        id: Uuid,
        artifact: Artifact,
        at_most: u64,
    ) -> Result<Option<Vec<u8>>, LedgerError> {
        let path = self.of(id).join(artifact.file_name());
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

    /// Bytes that a run's files take: of the samples, and of all.
    pub(super) fn size(&self, id: Uuid) -> (u64, u64) {
        let folder = self.of(id);
        let samples = fs::metadata(folder.join(Artifact::Samples.file_name())).map_or(0, |file| file.len());
        (samples, size_of(&folder))
    }

    /// Removes a run's samples.
    pub(super) fn remove_samples(&self, id: Uuid) -> Result<(), LedgerError> {
        let path = self.of(id).join(Artifact::Samples.file_name());
        found(fs::remove_file(&path)).map(|_| ()).map_err(|error| LedgerError::File(path, error))
    }

    /// Removes all of a run's files.
    pub(super) fn remove(&self, id: Uuid) -> Result<(), LedgerError> {
        let folder = self.of(id);
        found(fs::remove_dir_all(&folder)).map(|_| ()).map_err(|error| LedgerError::File(folder, error))
    }
}

/// Links are not followed, and what cannot be read counts nothing.
fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let sizes = entries.filter_map(Result::ok).map(|entry| match entry.metadata() {
        Ok(file) if file.is_dir() => size_of(&entry.path()),
        Ok(file) => file.len(),
        Err(_) => 0,
    });
    sizes.sum()
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

fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let part = path.with_extension(format!("part-{}", Uuid::now_v7()));
    let written = File::create_new(&part)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        // The error that made it fail is the one to tell.
        let _ = fs::remove_file(&part);
    }
    written?;
    // The name is safe only when its folder is.
    let folder = path.parent().unwrap_or(path);
    File::open(folder).and_then(|folder| folder.sync_all())
}

pub(super) fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
