//! A build that is a binary: a process with a copy of the state.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use uuid::Uuid;

use super::{Build, WITHHELD};

/// A killed process is gone within it.
const GONE: Duration = Duration::from_secs(5);

/// A process and its data, which goes with this value.
pub(super) struct Running {
    child: Child,
    data: Data,
}

/// Starts it from a copy of the state.
pub(super) async fn start(binary: &Path, build: &Build) -> Result<Running, String> {
    let data = Data(build.workspace.folder().join(format!("state-{}", Uuid::now_v7())));
    if let Some(from) = build.from.clone() {
        let to = data.0.clone();
        // Copying may take its time.
        let copied = tokio::task::spawn_blocking(move || copy(&from, &to)).await;
        copied
            .map_err(|_| "copying its state broke off".to_owned())?
            .map_err(|error| format!("its state cannot be copied: {error}"))?;
    }
    let child = spawn(binary, build, &data.0).map_err(|error| format!("{}: {error}", binary.display()))?;
    Ok(Running { child, data })
}

fn spawn(binary: &Path, build: &Build, data: &Path) -> io::Result<Child> {
    std::fs::create_dir_all(data)?;
    let log = std::fs::File::create(log_of(data))?;
    let mut command = Command::new(binary);
    for name in WITHHELD {
        command.env_remove(name);
    }
    command
        .envs(build.told())
        .env("BIND_ADDRESS", "127.0.0.1")
        .env("HTTP_PORT", build.port.to_string())
        .env("DATA_DIR", data)
        .current_dir(build.workspace.folder())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // A group of its own: Ctrl-C reaches perf-service, which ends it in order.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

impl Running {
    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Result<Option<String>, String> {
        match self.child.try_wait() {
            Ok(ended) => Ok(ended.map(|status| status.to_string())),
            Err(error) => Err(format!("it cannot be watched: {error}")),
        }
    }

    /// What it logged.
    pub(super) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(log_of(&self.data.0)).unwrap_or_default()).into_owned()
    }

    /// Kills it with all it started, and waits until it is gone.
    pub(super) async fn end(mut self) {
        // It leads a group of its own, which it has its number of as long as nobody has waited for it.
        let group = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        if !matches!(timeout(GONE, self.child.kill()).await, Ok(Ok(()))) {
            tracing::warn!(pid = self.child.id(), "a build did not end at once");
        }
    }
}

/// The state of one run.
struct Data(PathBuf);

impl Drop for Data {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::debug!(path = %self.0.display(), %error, "a build's data stays");
        }
        let _ = std::fs::remove_file(log_of(&self.0));
    }
}

fn log_of(data: &Path) -> PathBuf {
    data.with_extension("log")
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
