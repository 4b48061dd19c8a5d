//! Where the state of builds lies while they run: a folder of this process alone, which says by a lock that
//! its process lives.
//!
//! Owns cleaning up after a process that was killed: its folder, the binaries that still run in it (on
//! Linux, by their working folder) and, through a caller that has Docker, its containers.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use uuid::Uuid;

const FOLDER: &str = "builds";
const LEASE: &str = "lease";
/// Says that there may be containers, too.
const CONTAINERS: &str = "containers";

/// A folder that goes with this value.
#[derive(Debug)]
pub struct Workspace {
    id: Uuid,
    folder: PathBuf,
    /// Locked while this process lives.
    _lease: File,
}

impl Workspace {
    /// A new one below `data`.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(data: &Path) -> Result<Self, String> {
        let parent = data.join(FOLDER);
        let failed = |error: io::Error| format!("{}: {error}", parent.display());
        fs::create_dir_all(&parent).map_err(failed)?;
        // A build works in this folder, so relative paths would not do.
        let parent = parent.canonicalize().map_err(failed)?;
        let id = Uuid::now_v7();
        let folder = parent.join(id.to_string());
        fs::create_dir(&folder).map_err(failed)?;
        let lease = File::create(folder.join(LEASE)).map_err(failed)?;
        lease.try_lock().map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self { id, folder, _lease: lease })
    }

    /// Ends what dead processes left running below `data`, and removes their folders; where there are
    /// containers, the next one who compares images does.
    pub fn sweep(data: &Path) {
        let Ok(parent) = data.join(FOLDER).canonicalize() else { return };
        for left in abandoned(&parent) {
            end_processes(&left.folder);
            if !left.folder.join(CONTAINERS).exists() {
                left.remove();
            }
        }
    }

    /// What containers of this process are labelled with.
    pub(super) const fn id(&self) -> Uuid {
        self.id
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// To be called before the first container.
    pub(super) fn will_have_containers(&self) -> io::Result<()> {
        File::create(self.folder.join(CONTAINERS)).map(drop)
    }

    /// What dead processes left that may have containers.
    pub(super) fn abandoned(&self) -> Vec<Abandoned> {
        self.folder.parent().map(abandoned).unwrap_or_default()
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::debug!(path = %self.folder.display(), %error, "a comparison's folder stays until the next one");
        }
    }
}

/// The folder of a process that is dead.
pub(super) struct Abandoned {
    pub(super) id: Uuid,
    folder: PathBuf,
    /// Nobody else cleans up meanwhile.
    _lease: File,
}

impl Abandoned {
    /// Removes it, once nothing of it runs any more.
    pub(super) fn remove(self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(path = %self.folder.display(), %error, "what a killed comparison left cannot be removed");
        }
    }
}

fn abandoned(parent: &Path) -> Vec<Abandoned> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let one = |entry: io::Result<fs::DirEntry>| {
        let folder = entry.ok()?.path();
        let id = Uuid::parse_str(folder.file_name()?.to_str()?).ok()?;
        let lease = File::open(folder.join(LEASE)).ok()?;
        lease.try_lock().ok()?;
        Some(Abandoned { id, folder, _lease: lease })
    };
    entries.filter_map(one).collect()
}

/// Ends what works in this folder, whose name nobody else has.
fn end_processes(folder: &Path) {
    let Ok(entries) = fs::read_dir("/proc") else { return };
    for entry in entries.flatten() {
        let works_there = fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == folder);
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        if works_there && let Some(pid) = pid {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::Workspace;

    #[test]
    fn what_a_killed_process_left_is_ended_and_removed_and_what_lives_stays() {
        let data = tempfile::tempdir().unwrap();
        let living = Workspace::open(data.path()).unwrap();
        let dead = Workspace::open(data.path()).unwrap();
        let folder = dead.folder().to_owned();
        let mut child =
            Command::new("sleep").arg("60").current_dir(&folder).stdin(Stdio::null()).spawn().unwrap();
        // As a kill would: the lock is gone, the folder is not. (Closing the file would not do while a child that
        // another test is starting still has it.)
        dead._lease.unlock().unwrap();
        Workspace::sweep(data.path());
        let new = Workspace::open(data.path()).unwrap();
        assert!(living.folder().exists() && new.folder().exists() && !folder.exists());
        assert!(child.wait().unwrap().code().is_none(), "it was killed");
        drop(living);
        assert_eq!(std::fs::read_dir(data.path().join("builds")).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_with_containers_waits_for_somebody_with_docker() {
        let data = tempfile::tempdir().unwrap();
        let dead = Workspace::open(data.path()).unwrap();
        dead.will_have_containers().unwrap();
        dead._lease.unlock().unwrap();
        Workspace::sweep(data.path());
        assert!(dead.folder().exists());
        let new = Workspace::open(data.path()).unwrap();
        let left = new.abandoned();
        assert_eq!(left.iter().map(|left| left.id).collect::<Vec<_>>(), [dead.id()]);
        left.into_iter().for_each(super::Abandoned::remove);
        assert!(!dead.folder().exists());
    }
}
