//! What a real k6 seldom does: falling behind, dying without a summary, not stopping. A script
//! stands in for it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::k6;
use crate::service::{Running, command, run};

pub const REQUEST: &str = r#"{"metric":"http_req_duration","type":"Point","data":{"time":"2026-11-21T04:32:42Z","value":5,"tags":{"phase":"measured","name":"GET /x","status":"200"}}}"#;
pub const DROPPED: &str = r#"{"metric":"dropped_iterations","type":"Point","data":{"time":"2026-11-21T04:32:42Z","value":7,"tags":{}}}"#;
pub const SUMMARY: &str =
    r#"{"type":"Summary","data":{"metrics":{"http_req_failed":{"thresholds":{"rate<0.01":{"ok":true}}}}}}"#;

/// A k6 that does this when it is to run.
pub fn k6_that(folder: &Path, does: &str) -> PathBuf {
    let path = folder.join("k6");
    let text =
        format!("#!/bin/sh\nif [ \"$1\" = version ]; then echo 'k6 v0.0.0 (stand-in)'; exit 0; fi\n{does}\n");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn run_with(data: &Path, does: &str) -> (i32, String, String) {
    let k6 = k6_that(data, does);
    run(command(data, "local=http://127.0.0.1:1").args(["run", "smoke"]).env("K6_BIN", k6))
}

#[test]
fn a_generator_that_fell_behind_proves_nothing() {
    let data = tempfile::tempdir().unwrap();
    let (code, out, err) =
        run_with(data.path(), &format!("echo '{REQUEST}'; echo '{DROPPED}'; echo '{SUMMARY}'"));
    assert_eq!(code, 3, "{out}{err}");
    assert!(out.contains("INCONCLUSIVE: 7 iterations could not be started in time"), "{out}");
    assert_eq!(k6::entry(&k6::run_folders(data.path())[0])["outcome"], "inconclusive");
    let (code, out, _) = run_with(data.path(), &format!("echo '{SUMMARY}'"));
    assert!(code == 3 && out.contains("INCONCLUSIVE: no request was measured"), "{out}");
}

#[test]
fn output_that_breaks_off_is_no_result() {
    let data = tempfile::tempdir().unwrap();
    let cut = &SUMMARY[..60];
    let (code, out, err) = run_with(data.path(), &format!("echo '{REQUEST}'; printf %s '{cut}'"));
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("BROKEN: k6 ended without its summary"), "{out}");
    assert!(out.contains("lines of k6's output were broken and are missing from the figures: 1"), "{out}");
}

#[test]
fn results_that_cannot_be_kept_are_no_result() {
    let data = tempfile::tempdir().unwrap();
    // A folder in the file's place: as good as a full disk.
    let does = format!("/bin/mkdir -p results.json/x; echo '{REQUEST}'; echo '{SUMMARY}'");
    let (code, out, err) = run_with(data.path(), &does);
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("BROKEN: the results could not be kept") && out.contains("disk full"), "{out}");
    assert_eq!(k6::entry(&k6::run_folders(data.path())[0])["state"], "failed");
}

#[test]
fn what_k6_says_last_is_told() {
    let data = tempfile::tempdir().unwrap();
    for (does, told) in [
        (r#"echo '{"level":"error","msg":"no such option"}' >&2; exit 104"#, "k6 says: no such option"),
        ("echo 'panic: boom' >&2; exit 2", "k6 ended with exit code 2. k6 says: panic: boom"),
        ("kill -SEGV $$", "k6 was killed (signal 11)"),
    ] {
        let (code, out, _) = run_with(data.path(), does);
        assert!(code == 1 && out.contains(told), "{out}");
    }
}

#[test]
fn a_local_k6_has_limits() {
    let data = tempfile::tempdir().unwrap();
    let (_, out, _) =
        run_with(data.path(), "echo \"core $(ulimit -c) file $(ulimit -f) data $(ulimit -d)\" >&2; exit 2");
    assert!(out.contains("core 0 file "), "{out}");
    if cfg!(target_os = "linux") {
        // Stricter ones of this user's are in force in place of ours.
        assert!(!out.contains("unlimited"), "{out}");
    }
    let (code, out, _) = run_with(data.path(), "echo 'fatal error: runtime: out of memory' >&2; exit 2");
    assert!(code == 1 && out.contains("BROKEN: k6 ran out of memory"), "{out}");
}

#[test]
fn a_k6_that_does_not_stop_is_killed_with_its_children() {
    let data = tempfile::tempdir().unwrap();
    let does = format!("trap '' INT TERM; echo '{REQUEST}'; while :; do /bin/sleep 1; done");
    let k6 = k6_that(data.path(), &does);
    let process = Running::start(
        command(data.path(), "local=http://127.0.0.1:1").args(["run", "smoke"]).env("K6_BIN", k6),
    );
    let folder = k6::busy_run(data.path());
    let group = k6::pid(&folder);
    process.signal(Signal::TERM);
    let (code, out, err) = process.end();
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("CANCELLED"), "{out}{err}");
    k6::wait_for("the end of the group", || k6::is_gone(group).then_some(()));
}
