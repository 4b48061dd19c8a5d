//! k6 as a process of this machine, in a process group of its own.
//!
//! Owns finding the binary, starting, signalling and reaping it. Must not know runs or figures.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Engine, EngineError, Exit, K6, Launch, Process, Say, arguments, environment, remote_write};
use crate::ledger::Artifact;

/// The engine's name.
pub const NAME: &str = "local";

/// Longest wait for `k6 version`.
const VERSION_DEADLINE: Duration = Duration::from_secs(10);
/// Folder of the scripts in the run's folder.
const SCRIPTS: &str = "scripts";
/// File in the run's folder that says which process k6 is.
const PROCESS: &str = "process.json";
/// How often and how long to look whether a killed process is gone.
const GONE: (u32, Duration) = (100, Duration::from_millis(50));

/// Where to look for k6.
#[derive(Clone, Debug, Default)]
pub struct LocalSettings {
    /// The binary, where one is set.
    pub binary: Option<PathBuf>,
    /// `PATH`, where none is set.
    pub search_path: Option<OsString>,
}

/// Starts k6 as a child process.
#[derive(Clone, Debug)]
pub struct LocalEngine {
    settings: LocalSettings,
}

/// Which process a run's k6 is.
#[derive(Serialize, Deserialize)]
struct Record {
    pid: i32,
}

impl LocalEngine {
    /// An engine that looks for k6 where the settings say.
    #[must_use]
    pub const fn new(settings: LocalSettings) -> Self {
        Self { settings }
    }

    fn binary(&self) -> Result<PathBuf, EngineError> {
        if let Some(binary) = &self.settings.binary {
            return match is_executable(binary) {
                Ok(true) => std::path::absolute(binary)
                    .map_err(|error| EngineError::K6Unusable(binary.clone(), error.to_string())),
                Ok(false) => {
                    Err(EngineError::K6Unusable(binary.clone(), "it is not an executable file".to_owned()))
                }
                Err(error) => Err(EngineError::K6Unusable(binary.clone(), error.to_string())),
            };
        }
        let folders = self.settings.search_path.iter().flat_map(std::env::split_paths);
        // A relative entry would find another file in the run's folder.
        folders
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join("k6"))
            .find(|binary| is_executable(binary).unwrap_or(false))
            .ok_or(EngineError::K6Missing)
    }

    /// k6 with an environment of its own; `home` keeps a user's k6 configuration out of the load.
    fn command(&self, binary: &Path, home: &Path) -> Command {
        let mut command = Command::new(binary);
        command.env_clear().env("HOME", home).stdin(Stdio::null()).kill_on_drop(true);
        if let Some(path) = &self.settings.search_path {
            command.env("PATH", path);
        }
        command
    }
}

#[async_trait]
impl Engine for LocalEngine {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn prepare(&self, _say: Say<'_>, _cancel: &CancellationToken) -> Result<K6, EngineError> {
        let binary = self.binary()?;
        let unusable = |why: String| EngineError::K6Unusable(binary.clone(), why);
        let mut command = self.command(&binary, Path::new("/"));
        let output = timeout(VERSION_DEADLINE, command.arg("version").output())
            .await
            .map_err(|_| {
                unusable(format!("`version` gave no answer within {} s", VERSION_DEADLINE.as_secs()))
            })?
            .map_err(|error| unusable(error.to_string()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.lines().next().unwrap_or_default().trim();
        if !output.status.success() || !version.starts_with("k6") {
            return Err(unusable(format!("`version` ended with {} and said {version:?}", output.status)));
        }
        // "k6 v1.1.0 (commit/0e3fb953be, go1.24.4, linux/amd64)": the rest is for k6's makers.
        let version = version.split(" (").next().unwrap_or(version).to_owned();
        let description = format!("{version} at {}", binary.display());
        Ok(K6 { version, description })
    }

    async fn start(&self, launch: &Launch) -> Result<Box<dyn Process>, EngineError> {
        let binary = self.binary()?;
        let scripts = launch.folder.join(SCRIPTS);
        write_scripts(&scripts, launch)?;
        let create = |artifact: Artifact| {
            let path = launch.folder.join(artifact.file_name());
            File::create(&path).map_err(|error| EngineError::File(path, error))
        };
        let mut command = self.command(&binary, &launch.folder);
        let child = command
            .args(arguments(launch, &scripts.join(&launch.script).to_string_lossy()))
            .envs(environment(launch, &launch.target))
            .envs(remote_write::environment(launch.remote_write.as_ref()))
            .current_dir(&launch.folder)
            .stdout(create(Artifact::Samples)?)
            .stderr(create(Artifact::Log)?)
            // Its own group: a Ctrl-C on our terminal is ours to pass on.
            .process_group(0)
            .spawn()
            .map_err(|error| EngineError::K6Unusable(binary, error.to_string()))?;
        let process = LocalProcess { child, scripts };
        // Without it a later start of ours could not find what a crash left behind.
        let path = launch.folder.join(PROCESS);
        let pid = process.group().map(|pid| pid.as_raw_nonzero().get()).unwrap_or_default();
        let record = serde_json::to_vec(&Record { pid }).map_err(io::Error::other);
        record.and_then(|record| fs::write(&path, record)).map_err(|error| EngineError::File(path, error))?;
        Ok(Box::new(process))
    }

    async fn reap(&self, run: Uuid, folder: &Path) -> Result<bool, EngineError> {
        let path = folder.join(PROCESS);
        let record = match fs::read(&path) {
            Ok(text) => serde_json::from_slice::<Record>(&text).ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(EngineError::File(path, error)),
        };
        // Absent or half-written: k6 was not started or had no time to do anything.
        let Some(pid) = record.and_then(|record| Pid::from_raw(record.pid)) else { return Ok(false) };
        // The number may be another process's by now; ours names the run's folder.
        if !command_line(pid).await.contains(&run.to_string()) {
            return Ok(false);
        }
        let gone = |error: rustix::io::Errno| error == rustix::io::Errno::SRCH;
        match kill_process_group(pid, Signal::KILL) {
            Ok(()) => {}
            Err(error) if gone(error) => return Ok(false),
            Err(error) => {
                return Err(EngineError::Lost(format!("process group {pid} cannot be ended: {error}")));
            }
        }
        let (times, pause) = GONE;
        for _ in 0..times {
            if test_kill_process_group(pid).is_err_and(gone) || command_line(pid).await.is_empty() {
                // What is left of the scripts is of no use and no harm.
                let _ = fs::remove_dir_all(folder.join(SCRIPTS));
                return Ok(true);
            }
            sleep(pause).await;
        }
        Err(EngineError::Lost(format!("process group {pid} does not end")))
    }
}

/// A child process.
struct LocalProcess {
    child: Child,
    scripts: PathBuf,
}

impl LocalProcess {
    /// Its group, while it has not been waited for: afterwards the number may be another's.
    fn group(&self) -> Option<Pid> {
        self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw)
    }

    fn signal(&self, signal: Signal) {
        if let Some(Err(error)) = self.group().map(|group| kill_process_group(group, signal)) {
            tracing::warn!(%error, ?signal, "k6 could not be signalled");
        }
    }
}

#[async_trait]
impl Process for LocalProcess {
    async fn ended(&mut self) -> Result<Exit, EngineError> {
        let status = self.child.wait().await.map_err(|error| EngineError::Lost(error.to_string()))?;
        // Copies of what the binary carries; nobody misses them.
        let _ = fs::remove_dir_all(&self.scripts);
        Ok(exit(status))
    }

    async fn interrupt(&mut self) {
        self.signal(Signal::INT);
    }

    async fn kill(&mut self) {
        self.signal(Signal::KILL);
    }
}

impl Drop for LocalProcess {
    fn drop(&mut self) {
        if let Some(group) = self.group() {
            // It may have ended by itself just now.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

fn exit(status: ExitStatus) -> Exit {
    status.code().map_or_else(|| Exit::Killed(status.signal().unwrap_or_default()), Exit::Code)
}

fn is_executable(path: &Path) -> io::Result<bool> {
    let metadata = fs::metadata(path)?;
    Ok(metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn write_scripts(folder: &Path, launch: &Launch) -> Result<(), EngineError> {
    for script in launch.scripts.iter() {
        let path = folder.join(&script.path);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, &script.content))
            .map_err(|error| EngineError::File(path.clone(), error))?;
    }
    Ok(())
}

/// How a process was started; empty when there is no such process, or it is dead and not waited for.
async fn command_line(pid: Pid) -> String {
    let pid = pid.as_raw_nonzero();
    if cfg!(target_os = "linux") {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        return String::from_utf8_lossy(&line).into_owned();
    }
    let mut ps = Command::new("ps");
    ps.args(["-o", "args=", "-p", &pid.to_string()]).kill_on_drop(true);
    match timeout(VERSION_DEADLINE, ps.output()).await {
        Ok(Ok(output)) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Ok(Err(_)) | Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    use tokio_util::sync::CancellationToken;
    use uuid::Uuid;

    use super::super::Engine;
    use super::{LocalEngine, LocalSettings};

    fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    async fn prepared(settings: LocalSettings) -> Result<String, String> {
        let engine = LocalEngine::new(settings);
        let k6 = engine.prepare(&|_| {}, &CancellationToken::new()).await;
        k6.map(|k6| k6.description).map_err(|error| format!("{}: {error}", error.kind()))
    }

    #[tokio::test]
    async fn k6_is_taken_from_the_setting_or_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let k6 = script(folder.path(), "k6", "#!/bin/sh\necho 'k6 v9.9.9 (commit/x, go1, linux)'\n");
        let set = LocalSettings { binary: Some(k6.clone()), search_path: None };
        assert_eq!(prepared(set).await.unwrap(), format!("k6 v9.9.9 at {}", k6.display()));
        let path =
            std::env::join_paths([Path::new("relative"), Path::new("/nowhere"), folder.path()]).unwrap();
        let found = LocalSettings { binary: None, search_path: Some(path) };
        assert_eq!(prepared(found).await.unwrap(), format!("k6 v9.9.9 at {}", k6.display()));
    }

    #[tokio::test]
    async fn what_is_no_k6_is_refused_with_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let none = LocalSettings { binary: None, search_path: Some(folder.path().into()) };
        assert!(prepared(none).await.unwrap_err().contains("make k6"));
        let absent = LocalSettings { binary: Some(folder.path().join("k6")), search_path: None };
        assert!(prepared(absent).await.unwrap_err().starts_with("k6_unusable"));
        std::fs::write(folder.path().join("plain"), "").unwrap();
        let plain = LocalSettings { binary: Some(folder.path().join("plain")), search_path: None };
        assert!(prepared(plain).await.unwrap_err().contains("not an executable file"));
        let other = script(folder.path(), "other", "#!/bin/sh\necho something else\n");
        let other = LocalSettings { binary: Some(other), search_path: None };
        assert!(prepared(other).await.unwrap_err().contains("something else"));
    }

    #[tokio::test]
    async fn a_process_of_somebody_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let engine = LocalEngine::new(LocalSettings::default());
        assert!(!engine.reap(Uuid::now_v7(), folder.path()).await.unwrap());
        let record = format!("{{\"pid\":{}}}", std::process::id());
        std::fs::write(folder.path().join("process.json"), record).unwrap();
        assert!(!engine.reap(Uuid::now_v7(), folder.path()).await.unwrap());
        for broken in ["", "{", "{\"pid\":0}", "{\"pid\":\"x\"}"] {
            std::fs::write(folder.path().join("process.json"), broken).unwrap();
            assert!(!engine.reap(Uuid::now_v7(), folder.path()).await.unwrap());
        }
    }
}
