//! Comparisons as files: `comparisons/ID.json` in the data folder, and `ID.lease` while one is under way.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use common_models::{Comparison, ComparisonState};
use uuid::Uuid;

use super::{ComparisonStore, StoreError};
use crate::ledger::Lease;

const FOLDER: &str = "comparisons";
/// A larger entry is none of ours.
const LARGEST: u64 = 4 << 20;

/// A store in a folder. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FileComparisons {
    folder: Arc<Path>,
}

impl FileComparisons {
    /// The store in this data folder, which is made if it is not there.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(data: &Path) -> Result<Self, StoreError> {
        let folder = data.join(FOLDER);
        fs::create_dir_all(&folder).map_err(|error| StoreError::File(folder.clone(), error))?;
        Ok(Self { folder: Arc::from(folder) })
    }

    fn path(&self, id: Uuid, kind: &str) -> PathBuf {
        self.folder.join(format!("{id}.{kind}"))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || work(&store)).await.map_err(|_| StoreError::BrokenOff)?
    }

    /// Nothing where another process has it.
    fn lease(&self, id: Uuid) -> Result<Option<Lease>, StoreError> {
        let path = self.path(id, "lease");
        let failed = |error| StoreError::File(path.clone(), error);
        let file = File::options().create(true).append(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lease::on(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    fn turn(&self) -> Result<File, StoreError> {
        let path = self.folder.join("lock");
        let failed = |error| StoreError::File(path.clone(), error);
        let file = File::options().create(true).append(true).open(&path).map_err(failed)?;
        file.lock().map_err(failed)?;
        Ok(file)
    }

    /// One whose process lives.
    fn under_way(&self) -> Result<Option<Uuid>, StoreError> {
        for id in self.ids("lease")? {
            if self.lease(id)?.is_none() {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    fn write(&self, comparison: &Comparison) -> Result<(), StoreError> {
        let path = self.path(comparison.id, "json");
        let part = self.path(comparison.id, "part");
        // Strings and finite numbers only: this cannot fail.
        let text = serde_json::to_vec_pretty(comparison).unwrap_or_default();
        let written = || -> io::Result<()> {
            let mut file = File::create(&part)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&part, &path)
        };
        written().map_err(|error| StoreError::File(path.clone(), error))?;
        if comparison.state != ComparisonState::Running {
            // Its lock, if any, outlives its name.
            let _ = fs::remove_file(self.path(comparison.id, "lease"));
        }
        Ok(())
    }

    /// Nothing where there is none, or it is unreadable.
    fn one(&self, id: Uuid) -> Result<Option<Comparison>, StoreError> {
        let path = self.path(id, "json");
        match fs::metadata(&path) {
            Ok(found) if found.len() <= LARGEST => {}
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::File(path, error)),
        }
        let text = fs::read(&path).map_err(|error| StoreError::File(path.clone(), error))?;
        let read: Result<Comparison, _> = serde_json::from_slice(&text);
        if let Err(error) = &read {
            tracing::warn!(path = %path.display(), %error, "not a comparison; passed over");
        }
        Ok(read.ok().filter(|comparison| comparison.id == id))
    }

    /// Newest first: ids are UUIDv7.
    fn ids(&self, kind: &str) -> Result<Vec<Uuid>, StoreError> {
        let failed = |error| StoreError::File(self.folder.to_path_buf(), error);
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(kind)?.strip_suffix('.'));
            ids.extend(id.and_then(|id| Uuid::parse_str(id).ok()));
        }
        ids.sort_unstable_by(|a, b| b.cmp(a));
        Ok(ids)
    }
}

#[async_trait]
impl ComparisonStore for FileComparisons {
    async fn create(&self, comparison: &Comparison) -> Result<Lease, StoreError> {
        let comparison = comparison.clone();
        self.blocking(move |store| {
            // Two that begin at the same time look one after the other.
            let _turn = store.turn()?;
            if let Some(other) = store.under_way()? {
                return Err(StoreError::Busy(other));
            }
            let lease = store.lease(comparison.id)?.ok_or(StoreError::BrokenOff)?;
            store.write(&comparison)?;
            Ok(lease)
        })
        .await
    }

    async fn save(&self, comparison: &Comparison) -> Result<(), StoreError> {
        let comparison = comparison.clone();
        self.blocking(move |store| store.write(&comparison)).await
    }

    async fn read(&self, id: Uuid) -> Result<Option<Comparison>, StoreError> {
        self.blocking(move |store| store.one(id)).await
    }

    async fn list(
        &self,
        before: Option<Uuid>,
        limit: usize,
    ) -> Result<(Vec<Comparison>, bool, u64), StoreError> {
        self.blocking(move |store| {
            let ids = store.ids("json")?;
            let total = ids.len() as u64;
            let mut older = ids.into_iter().filter(|id| before.is_none_or(|before| *id < before));
            let mut found = Vec::new();
            while found.len() < limit {
                let Some(id) = older.next() else { break };
                found.extend(store.one(id)?);
            }
            Ok((found, older.next().is_some(), total))
        })
        .await
    }

    async fn abandoned(&self) -> Result<Vec<(Comparison, Lease)>, StoreError> {
        self.blocking(|store| {
            let mut found = Vec::new();
            for id in store.ids("json")? {
                let Some(comparison) = store.one(id)? else { continue };
                if comparison.state != ComparisonState::Running {
                    continue;
                }
                let Some(lease) = store.lease(id)? else { continue };
                // Its process may have ended it, and given the lease up, since it was read.
                match store.one(id)? {
                    Some(comparison) if comparison.state == ComparisonState::Running => {
                        found.push((comparison, lease));
                    }
                    _ => drop(fs::remove_file(store.path(id, "lease"))),
                }
            }
            Ok(found)
        })
        .await
    }
}
