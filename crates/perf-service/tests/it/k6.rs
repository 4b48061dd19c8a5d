//! The k6 that the tests use, and the k6 of a run: which process it is and whether it is gone.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{OpenFlags, OptionalExtension};
use rustix::process::{Pid, Signal, kill_process, test_kill_process_group};
use serde_json::Value;

/// Longest wait for anything; reached only when it never comes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The local k6.
pub fn binary() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "tests are told by the environment where k6 is")]
    let given = std::env::var_os("K6_BIN");
    let binary = given.map(PathBuf::from).expect("K6_BIN is not set: K6_BIN=$(make k6) finds or fetches one");
    assert!(
        binary.is_file(),
        "K6_BIN is {}, which is no file: `make k6` prints a good one",
        binary.display()
    );
    binary.canonicalize().unwrap()
}

/// Waits until something is there.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "{what} did not come within {} s", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Folders of all runs in a data folder.
pub fn run_folders(data: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(data.join("runs")) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// A run's entry.
pub fn entry(folder: &Path) -> Value {
    find_entry(folder).unwrap()
}

/// A run's entry, once there is one.
pub fn find_entry(folder: &Path) -> Option<Value> {
    let ledger = folder.parent().unwrap().parent().unwrap().join("runs.sqlite");
    let ledger = rusqlite::Connection::open_with_flags(ledger, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    ledger.busy_timeout(PATIENCE).unwrap();
    let id = folder.file_name().unwrap().to_str().unwrap();
    let entry: Option<String> =
        ledger.query_row("SELECT entry FROM runs WHERE id = ?", [id], |row| row.get(0)).optional().unwrap();
    entry.map(|entry| serde_json::from_str(&entry).unwrap())
}

/// Waits until the only run's k6 has measured something.
pub fn busy_run(data: &Path) -> PathBuf {
    wait_for("a busy run", || {
        let folder = run_folders(data).pop()?;
        let size = std::fs::metadata(folder.join("samples.ndjson")).ok()?.len();
        (size > 0 && find_entry(&folder)?["state"] == "running").then_some(folder)
    })
}

/// The process of a run's local k6.
pub fn pid(folder: &Path) -> Pid {
    let record: Value = serde_json::from_slice(&std::fs::read(folder.join("process.json")).unwrap()).unwrap();
    Pid::from_raw(record["pid"].as_i64().unwrap().try_into().unwrap()).unwrap()
}

/// A living child of a process; Linux only.
pub fn child_of(parent: Pid) -> Pid {
    let parent = parent.as_raw_nonzero();
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    Pid::from_raw(children.split_whitespace().next().unwrap().parse().unwrap()).unwrap()
}

pub fn kill(pid: Pid, signal: Signal) {
    kill_process(pid, signal).unwrap();
}

/// Whether nothing is left of a k6 and its group. On Linux a dead process that nobody has waited
/// for is nothing: the first process of some containers takes its time.
pub fn is_gone(group: Pid) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else { return test_kill_process_group(group).is_err() };
    let stats = processes.filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    // "PID (NAME) STATE PARENT GROUP …", and a name may hold anything.
    let alive = stats.into_iter().any(|stat| {
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let (state, group_of) = (fields.next(), fields.nth(1));
        state != Some("Z") && group_of == Some(&group.as_raw_nonzero().to_string())
    });
    !alive
}
