//! k6 as a process of this machine, in a process group of its own.
//!
//! Owns finding the binary, starting, signalling and reaping it. A shell stands between k6 and us:
//! it leads the group and writes down how k6 ended, for k6 outlives a perf-service that is killed
//! and its exit would then be told to nobody. Finding such a k6 again is `local/left_behind.rs`.
//! Must not know runs or figures.

mod crash;
mod left_behind;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::left_behind::LeftBehind;
use super::{
    Engine, EngineError, Exit, K6, Launch, Process, Say, arguments, environment, exit_record, remote_write,
};
use crate::ledger::Artifact;

/// The engine's name.
pub const NAME: &str = "local";

/// Longest wait for `k6 version`.
const VERSION_DEADLINE: Duration = Duration::from_secs(10);
/// The shell that every Unix has.
const SHELL: &str = "/bin/sh";
/// Folder of the scripts in the run's folder.
const SCRIPTS: &str = "scripts";
/// File in the run's folder that says which process group k6 is in.
const PROCESS: &str = "process.json";
/// What runs around k6, in the run's folder. It says first which process it is, so that there is no
/// k6 that could not be found again; signals to the group are k6's to answer; its own words (that
/// k6 was killed, say) are not k6's log. Its limits are k6's: no core file, which would hold the
/// target's token; 64 GiB a file (an hour of samples is a few); 4 GiB of data, so that a script
/// that eats its memory ends before the machine does, where the system counts that. A limit that
/// cannot be set is left: a stricter one of the user's may be in force.
const AROUND: &str = r#"exec 3>&2 2>/dev/null
echo "{\"pid\":$$}" > process.json
ulimit -c 0
(ulimit -f 134217728) && ulimit -f 134217728
(ulimit -d 4194304) && ulimit -d 4194304
trap : HUP INT TERM
"$@" 2>&3 3>&-
code=$?
echo "$code" > k6.exit
exit "$code""#;

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

    /// A program with an environment of its own; `home` keeps a user's k6 configuration out of the
    /// load.
    fn command(&self, program: &Path, home: &Path) -> Command {
        let mut command = Command::new(program);
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
        // What an attempt before this one left would be taken for ours.
        exit_record::remove(&launch.folder)?;
        let _ = fs::remove_file(launch.folder.join(PROCESS));
        let mut command = self.command(Path::new(SHELL), &launch.folder);
        let child = command
            .args(["-c", AROUND, "k6"])
            .arg(&binary)
            .args(arguments(launch, &scripts.join(&launch.script).to_string_lossy()))
            .envs(environment(launch, &launch.target))
            .envs(remote_write::environment(launch.remote_write.as_ref()))
            .current_dir(&launch.folder)
            // Files and no pipes: k6 writes on, whatever becomes of us.
            .stdout(create(Artifact::Samples)?)
            .stderr(create(Artifact::Log)?)
            // Its own group: a Ctrl-C on our terminal is ours to pass on.
            .process_group(0)
            .spawn()
            .map_err(|error| EngineError::K6Unusable(binary, error.to_string()))?;
        let group = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        Ok(Box::new(LocalProcess { child, group, scripts }))
    }

    async fn adopt(&self, run: Uuid, folder: &Path) -> Result<Option<Box<dyn Process>>, EngineError> {
        let begun = folder.join(PROCESS).exists() || exit_record::read(folder)?.is_some();
        let left = LeftBehind::of(run, folder);
        let found = begun || left.is_alive().await?;
        Ok(found.then(|| Box::new(left) as Box<dyn Process>))
    }

    async fn reap(&self, run: Uuid, folder: &Path) -> Result<bool, EngineError> {
        // Without its script a k6 that is only just being started ends by itself.
        let _ = fs::remove_dir_all(folder.join(SCRIPTS));
        LeftBehind::of(run, folder).end().await
    }

    async fn left(&self) -> Result<Vec<Uuid>, EngineError> {
        left_behind::runs().await
    }
}

/// A child process.
struct LocalProcess {
    /// The shell, which leads the group.
    child: Child,
    /// The group, until the shell has been waited for: afterwards the number may be another's.
    group: Option<Pid>,
    scripts: PathBuf,
}

impl LocalProcess {
    fn signal(&self, signal: Signal) -> Result<(), EngineError> {
        match self.group.map(|group| kill_process_group(group, signal)) {
            None | Some(Ok(()) | Err(Errno::SRCH)) => Ok(()),
            Some(Err(error)) => Err(EngineError::Lost(format!("it cannot be signalled: {error}"))),
        }
    }
}

#[async_trait]
impl Process for LocalProcess {
    async fn ended(&mut self) -> Result<Exit, EngineError> {
        let status = self.child.wait().await.map_err(|error| EngineError::Lost(error.to_string()))?;
        if let Some(group) = self.group.take() {
            // A shell that was killed leaves its k6. While that lives, the number is the group's;
            // a group without members has let it go only just now.
            let _ = kill_process_group(group, Signal::KILL);
        }
        // Copies of what the binary carries; nobody misses them.
        let _ = fs::remove_dir_all(&self.scripts);
        let folder = self.scripts.parent().unwrap_or(&self.scripts);
        Ok(crash::seen_in_log(exit(status), folder))
    }

    async fn interrupt(&mut self) -> Result<(), EngineError> {
        self.signal(Signal::INT)
    }

    async fn kill(&mut self) -> Result<(), EngineError> {
        self.signal(Signal::KILL)
    }
}

impl Drop for LocalProcess {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // It may have ended by itself just now.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

fn exit(status: ExitStatus) -> Exit {
    let killed = || Exit::Killed(status.signal().unwrap_or_default());
    status.code().map_or_else(killed, exit_record::by_code)
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    use tokio_util::sync::CancellationToken;
    use uuid::Uuid;

    use super::super::{Engine, Exit};
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
        assert!(engine.adopt(Uuid::now_v7(), folder.path()).await.unwrap().is_none());
        for record in [&format!("{{\"pid\":{}}}", std::process::id()), "", "{", "{\"pid\":0}"] {
            std::fs::write(folder.path().join("process.json"), record).unwrap();
            assert!(!engine.reap(Uuid::now_v7(), folder.path()).await.unwrap());
            let mut left = engine.adopt(Uuid::now_v7(), folder.path()).await.unwrap().unwrap();
            left.kill().await.unwrap();
            assert_eq!(left.ended().await.unwrap(), Exit::Unseen);
        }
    }
}
