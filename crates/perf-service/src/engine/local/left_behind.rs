//! A local k6 whose perf-service was killed: found by what it was started with, followed to the end
//! that the shell around it writes down.
//!
//! Owns telling a run's processes from all others. A number alone would not do, for numbers are
//! given out again: a process counts as a run's when its command line names the run's scripts,
//! and a run's id is never used twice. A command line alone would not do either, for somebody may
//! look into those scripts: the process is also in the group that the run's shell wrote down or,
//! where nothing was written, at work in the run's folder. Processes of other users are never ours.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, getpgrp, kill_process_group, test_kill_process_group};
use serde::Deserialize;
use tokio::process::Command;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::{PROCESS, SCRIPTS};
use crate::engine::{EngineError, Exit, Process, exit_record};

/// How often to look whether it has ended.
const PAUSE: Duration = Duration::from_millis(200);
/// How often and how long to look whether killed processes are gone.
const GONE: (u32, Duration) = (100, Duration::from_millis(50));
/// Longest wait for `ps`, where there is no `/proc`.
const PS_DEADLINE: Duration = Duration::from_secs(10);

/// What is left of a run's k6, if anything.
pub(super) struct LeftBehind {
    run: Uuid,
    folder: PathBuf,
}

impl LeftBehind {
    pub(super) fn of(run: Uuid, folder: &Path) -> Self {
        Self { run, folder: folder.to_owned() }
    }

    /// Whether any process of it lives.
    pub(super) async fn is_alive(&self) -> Result<bool, EngineError> {
        Ok(!self.groups().await?.is_empty())
    }

    /// Ends all that is left, and waits until it is gone; whether there was something.
    pub(super) async fn end(&self) -> Result<bool, EngineError> {
        let (times, pause) = GONE;
        for round in 0..times {
            let groups = self.groups().await?;
            if groups.is_empty() {
                return Ok(round > 0);
            }
            for group in groups {
                signal(group, Signal::KILL)?;
            }
            sleep(pause).await;
        }
        Err(EngineError::Lost(format!("the processes of run {} do not end", self.run)))
    }

    /// The process groups of the run.
    async fn groups(&self) -> Result<Vec<Pid>, EngineError> {
        let noted = noted_group(&self.folder);
        let groups: BTreeSet<i32> = processes()
            .await?
            .into_iter()
            .filter(|process| process.run == self.run)
            .filter(|process| match noted {
                Some(noted) => process.group == noted,
                None => process.works_in(&self.folder),
            })
            .map(|process| process.group)
            .collect();
        let own = getpgrp();
        let ours = |group: &Pid| *group != own && is_ours(test_kill_process_group(*group));
        Ok(groups.into_iter().filter_map(Pid::from_raw).filter(ours).collect())
    }

    async fn signal(&self, with: Signal) -> Result<(), EngineError> {
        for group in self.groups().await? {
            signal(group, with)?;
        }
        Ok(())
    }
}

#[async_trait]
impl Process for LeftBehind {
    async fn ended(&mut self) -> Result<Exit, EngineError> {
        loop {
            // In this order: what writes the record lives until it has.
            let alive = self.is_alive().await?;
            let exit = exit_record::read(&self.folder)?;
            if exit.is_some() || !alive {
                self.end().await?;
                let _ = fs::remove_dir_all(self.folder.join(SCRIPTS));
                return Ok(super::crash::seen_in_log(exit.unwrap_or(Exit::Unseen), &self.folder));
            }
            sleep(PAUSE).await;
        }
    }

    async fn interrupt(&mut self) -> Result<(), EngineError> {
        self.signal(Signal::INT).await
    }

    async fn kill(&mut self) -> Result<(), EngineError> {
        self.signal(Signal::KILL).await
    }
}

/// Runs of which processes live on this machine, whoever follows them.
pub(super) async fn runs() -> Result<Vec<Uuid>, EngineError> {
    let runs: BTreeSet<Uuid> = processes().await?.into_iter().map(|process| process.run).collect();
    Ok(runs.into_iter().collect())
}

/// A living process whose command line names a run's scripts.
struct Named {
    run: Uuid,
    group: i32,
    /// Where there is a `/proc`.
    pid: Option<String>,
}

impl Named {
    /// Whether that is its working folder, which only its own user may ask.
    fn works_in(&self, folder: &Path) -> bool {
        let at =
            self.pid.as_ref().and_then(|pid| fs::read_link(Path::new("/proc").join(pid).join("cwd")).ok());
        at.is_some_and(|at| folder.canonicalize().is_ok_and(|folder| at == folder))
    }
}

/// The process group that a run's shell wrote down; `None` where it did not, or not wholly.
fn noted_group(folder: &Path) -> Option<i32> {
    #[derive(Deserialize)]
    struct Noted {
        pid: i32,
    }
    let noted: Noted = serde_json::from_slice(&fs::read(folder.join(PROCESS)).ok()?).ok()?;
    Some(noted.pid)
}

/// What is another user's cannot be signalled, and is nothing that was started here.
const fn is_ours(signalled: Result<(), Errno>) -> bool {
    !matches!(signalled, Err(Errno::PERM))
}

fn signal(group: Pid, signal: Signal) -> Result<(), EngineError> {
    match kill_process_group(group, signal) {
        // Gone, or somebody else's by now.
        Ok(()) | Err(Errno::SRCH | Errno::PERM) => Ok(()),
        Err(error) => Err(EngineError::Lost(format!("process group {group} cannot be ended: {error}"))),
    }
}

/// Every living process whose command line names a run's scripts. A dead one that nobody has waited
/// for has no command line.
async fn processes() -> Result<Vec<Named>, EngineError> {
    if cfg!(target_os = "linux") {
        let listed = tokio::task::spawn_blocking(in_proc).await;
        return listed
            .unwrap_or_else(|error| Err(std::io::Error::other(error)))
            .map_err(|error| EngineError::Lost(format!("/proc cannot be read: {error}")));
    }
    let mut ps = Command::new("ps");
    ps.args(["-axww", "-o", "pgid=,args="]).kill_on_drop(true);
    let lost = |why: String| EngineError::Lost(format!("`ps` does not list processes: {why}"));
    let output = timeout(PS_DEADLINE, ps.output())
        .await
        .map_err(|_| lost("it gave no answer".to_owned()))?
        .map_err(|error| lost(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = |line: &str| {
        let (group, arguments) = line.trim_start().split_once(' ')?;
        Some(Named { run: run_of(arguments)?, group: group.parse().ok()?, pid: None })
    };
    Ok(text.lines().filter_map(line).collect())
}

fn in_proc() -> std::io::Result<Vec<Named>> {
    let process = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        let path = entry.path();
        let line = fs::read(path.join("cmdline")).ok()?;
        let run = run_of(&String::from_utf8_lossy(&line))?;
        // "PID (NAME) STATE PARENT GROUP …", and a name may hold anything.
        let stat = fs::read_to_string(path.join("stat")).ok()?;
        let group = stat.rsplit(')').next()?.split_whitespace().nth(2)?.parse().ok()?;
        Some(Named { run, group, pid: entry.file_name().into_string().ok() })
    };
    Ok(fs::read_dir("/proc")?.filter_map(process).collect())
}

/// The run whose scripts a command line names: `…/RUN/scripts/…`.
fn run_of(line: &str) -> Option<Uuid> {
    let scripts = format!("/{SCRIPTS}/");
    line.match_indices(&scripts)
        .find_map(|(at, _)| line.get(..at)?.rsplit('/').next().and_then(|id| Uuid::parse_str(id).ok()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    use uuid::Uuid;

    use rustix::io::Errno;

    use super::{LeftBehind, is_ours, run_of, runs};
    use crate::engine::{Exit, Process, exit_record};

    #[test]
    fn a_command_line_names_its_run() {
        let id = Uuid::now_v7();
        for line in [
            format!("/bin/sh\0-c\0x\0k6\0/opt/k6\0run\0/srv/scripts/data/runs/{id}/scripts/scenarios/a.js\0"),
            format!("k6 run /srv/data/runs/{id}/scripts/scenarios/a.js"),
        ] {
            assert_eq!(run_of(&line), Some(id), "{line}");
        }
        for line in [
            String::new(),
            format!("perf-service report {id}"),
            format!("tail -f /srv/data/runs/{id}/k6.log"),
            "k6 run /home/me/scripts/scenarios/a.js".to_owned(),
            format!("x{id}/scripts/"),
        ] {
            assert_eq!(run_of(&line), None, "{line}");
        }
    }

    /// A child that names a run, in a group of its own, and what it leaves when it ends.
    fn child(folder: &std::path::Path, run: Uuid, does: &str) -> std::process::Child {
        let child = elsewhere(folder, run, does);
        std::fs::write(folder.join("process.json"), format!("{{\"pid\":{}}}", child.id())).unwrap();
        child
    }

    /// The same, and nothing is written down of it.
    fn elsewhere(folder: &std::path::Path, run: Uuid, does: &str) -> std::process::Child {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", does, &format!("/data/runs/{run}/scripts/x.js")]);
        let child = command.current_dir(folder).stdin(Stdio::null()).process_group(0).spawn().unwrap();
        // For a moment a process that has just begun has no command line.
        let pid = Some(child.id().to_string());
        let shows = || super::in_proc().is_ok_and(|all| all.iter().any(|process| process.pid == pid));
        while cfg!(target_os = "linux") && !shows() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        child
    }

    #[tokio::test]
    async fn who_only_looks_into_a_runs_scripts_is_left_alone() {
        let (folder, run) = (tempfile::tempdir().unwrap(), Uuid::now_v7());
        let mut reader = elsewhere(std::path::Path::new("/"), run, "sleep 60; sleep 60");
        let mut left = LeftBehind::of(run, folder.path());
        assert!(!left.end().await.unwrap(), "nothing is written down");
        // Not even its reader in the run's own folder.
        let mut k6 = child(folder.path(), run, "sleep 60; sleep 60");
        let mut beside = elsewhere(folder.path(), run, "sleep 60; sleep 60");
        assert!(left.end().await.unwrap());
        k6.wait().unwrap();
        assert_eq!(left.ended().await.unwrap(), Exit::Unseen);
        for reader in [&mut reader, &mut beside] {
            assert!(reader.try_wait().unwrap().is_none(), "somebody else's process was killed");
            rustix::process::kill_process_group(
                rustix::process::Pid::from_child(reader),
                super::Signal::KILL,
            )
            .unwrap();
            reader.wait().unwrap();
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn one_that_could_write_nothing_down_is_known_by_its_folder() {
        let (folder, run) = (tempfile::tempdir().unwrap(), Uuid::now_v7());
        let mut k6 = elsewhere(folder.path(), run, "sleep 60; sleep 60");
        std::fs::write(folder.path().join("process.json"), "").unwrap();
        assert!(LeftBehind::of(run, folder.path()).end().await.unwrap());
        k6.wait().unwrap();
    }

    #[test]
    fn what_is_another_users_is_not_ours() {
        assert!(!is_ours(Err(Errno::PERM)));
        assert!(is_ours(Ok(())) && is_ours(Err(Errno::SRCH)));
    }

    #[tokio::test]
    async fn what_is_left_is_followed_to_the_end_it_writes_down() {
        let (folder, run) = (tempfile::tempdir().unwrap(), Uuid::now_v7());
        let mut child = child(folder.path(), run, "sleep 0.3; echo 99 > k6.exit");
        let mut left = LeftBehind::of(run, folder.path());
        assert!(runs().await.unwrap().contains(&run));
        assert!(left.is_alive().await.unwrap());
        assert_eq!(left.ended().await.unwrap(), Exit::Code(99));
        child.wait().unwrap();
        assert!(!left.is_alive().await.unwrap());
        assert_eq!(exit_record::read(folder.path()).unwrap(), Some(Exit::Code(99)));
    }

    #[tokio::test]
    async fn what_is_left_is_ended_with_its_children() {
        let (folder, run) = (tempfile::tempdir().unwrap(), Uuid::now_v7());
        let mut child = child(folder.path(), run, "trap '' INT; sleep 60; sleep 60");
        let left = LeftBehind::of(run, folder.path());
        // A dead child that its parent has not waited for yet counts as gone.
        assert!(left.end().await.unwrap());
        assert!(!left.end().await.unwrap());
        assert!(child.wait().unwrap().code().is_none());
    }
}
