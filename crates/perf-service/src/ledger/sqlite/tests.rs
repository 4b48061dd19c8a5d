//! The ledger's promises, on a real file.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use common_models::{Run, RunState, StartRun};
use uuid::Uuid;

use super::SqliteLedger;
use crate::ledger::{Artifact, Ledger, LedgerError, Origin, Request, Retention, Tidied};

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

fn ended(days_ago: i64) -> Run {
    Run { finished_at: Some(Utc::now() - TimeDelta::days(days_ago)), ..run(RunState::Finished) }
}

fn request() -> Request {
    let asked: StartRun = serde_json::from_str(r#"{"scenario":"smoke","durationSeconds":5}"#).unwrap();
    Request { asked, max_p95_ms: Some(40.0), origin: Origin::Command }
}

fn ledger(folder: &tempfile::TempDir) -> SqliteLedger {
    SqliteLedger::open(folder.path()).unwrap()
}

#[tokio::test]
async fn entries_are_read_back_and_replaced_even_by_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (ledger(&folder), ledger(&folder));
    let mut entry = run(RunState::Queued);
    let _lease = one.create(&entry, &request()).await.unwrap();
    assert_eq!(other.read(entry.id).await.unwrap(), Some(entry.clone()));
    entry.state = RunState::Running;
    one.save(&entry).await.unwrap();
    assert_eq!(other.read(entry.id).await.unwrap(), Some(entry.clone()));
    assert_eq!(one.read(Uuid::now_v7()).await.unwrap(), None);
    assert!(one.create(&entry, &request()).await.is_err(), "entered twice");
}

#[tokio::test]
async fn pages_go_from_the_last_entered_to_the_first_whatever_the_clock_says() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(&folder);
    let mut ids = Vec::new();
    for hours in [0, 5, -8, 1, -2] {
        let mut entry = run(RunState::Finished);
        let at = Utc::now() + TimeDelta::hours(hours);
        entry.created_at = at;
        let seconds = u64::try_from(at.timestamp()).unwrap();
        let time = uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0);
        entry.id = Uuid::new_v7(time);
        ledger.create(&entry, &request()).await.unwrap();
        ids.push(entry.id);
    }
    let newer = run(RunState::Running);
    ledger.create(&newer, &request()).await.unwrap();
    ledger
        .lock()
        .execute("UPDATE runs SET version = 9, entry = '{}' WHERE id = ?", [newer.id.to_string()])
        .unwrap();
    ids.reverse();
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = ledger.list(before, 2).await.unwrap();
        assert!(page.runs.len() <= 2 && page.total == 5);
        seen.extend(page.runs.iter().map(|run| run.id));
        before = page.runs.last().map(|run| run.id);
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, ids);
    assert!(ledger.list(Some(Uuid::now_v7()), 2).await.unwrap().runs.is_empty());
    let error = ledger.read(newer.id).await.unwrap_err();
    assert!(matches!(error, LedgerError::Newer(_, 9)), "{error}");
    assert!(ledger.abandoned(Origin::Service).await.unwrap().is_empty(), "a newer program's run");
    ledger.save(&newer).await.unwrap();
    let (entry, takeovers): (String, u32) = ledger
        .lock()
        .query_row("SELECT entry, takeovers FROM runs WHERE id = ?", [newer.id.to_string()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!((entry.as_str(), takeovers), ("{}", 0), "a newer program's run was changed");
}

#[tokio::test]
async fn only_runs_of_dead_processes_are_abandoned_and_only_to_one() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(&folder);
    let (alive, dead, done) = (run(RunState::Running), run(RunState::Queued), run(RunState::Failed));
    let lease = ledger.create(&alive, &request()).await.unwrap();
    drop(ledger.create(&dead, &request()).await.unwrap());
    drop(ledger.create(&done, &request()).await.unwrap());
    let abandoned = ledger.abandoned(Origin::Service).await.unwrap();
    assert_eq!(abandoned.iter().map(|found| found.run.id).collect::<Vec<_>>(), [dead.id]);
    assert_eq!((abandoned[0].request.as_ref(), abandoned[0].takeovers), (Some(&request()), 1));
    // Held by the first finder, so that no second one takes it as well.
    assert!(ledger.abandoned(Origin::Service).await.unwrap().is_empty());
    drop((lease, abandoned));
    let abandoned = ledger.abandoned(Origin::Command).await.unwrap();
    assert_eq!(abandoned.iter().map(|found| found.takeovers).collect::<Vec<_>>(), [0, 1]);
}

#[tokio::test]
async fn a_lease_that_cannot_be_opened_hides_no_other_run() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(&folder);
    let (broken, dead) = (run(RunState::Running), run(RunState::Running));
    for run in [&broken, &dead] {
        drop(ledger.create(run, &request()).await.unwrap());
    }
    let lease = ledger.folder(broken.id).join("lease");
    std::fs::remove_file(&lease).unwrap();
    // No file, whoever opens it.
    std::fs::create_dir(&lease).unwrap();
    for _ in 0..2 {
        let abandoned = ledger.abandoned(Origin::Service).await.unwrap();
        assert_eq!(abandoned.iter().map(|found| found.run.id).collect::<Vec<_>>(), [dead.id]);
    }
    std::fs::remove_dir(&lease).unwrap();
    assert_eq!(ledger.abandoned(Origin::Service).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_target_bears_as_many_runs_as_it_is_said_to() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(&folder);
    let first = ledger.claim_target("local", 1).await.unwrap();
    assert!(first.is_some());
    assert!(ledger.claim_target("local", 1).await.unwrap().is_none());
    assert!(ledger.claim_target("other", 1).await.unwrap().is_some());
    let second = ledger.claim_target("local", 2).await.unwrap();
    assert!(second.is_some() && ledger.claim_target("local", 2).await.unwrap().is_none());
    drop(first);
    assert!(ledger.claim_target("local", 1).await.unwrap().is_some());
}

#[tokio::test]
async fn artifacts_are_given_from_their_end() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(&folder);
    let entry = run(RunState::Running);
    let _lease = ledger.create(&entry, &request()).await.unwrap();
    assert_eq!(ledger.artifact(entry.id, Artifact::Log, 10).await.unwrap(), None);
    ledger.keep(entry.id, Artifact::Log, b"0123456789".to_vec()).await.unwrap();
    let tail = ledger.artifact(entry.id, Artifact::Log, 4).await.unwrap();
    assert_eq!(tail.as_deref(), Some(&b"6789"[..]));
    assert_eq!(ledger.artifact(Uuid::now_v7(), Artifact::Log, 4).await.unwrap(), None);
}

#[tokio::test]
async fn entries_of_the_ledger_before_are_taken_in_once() {
    let folder = tempfile::tempdir().unwrap();
    let put = |id: Uuid, name: &str, text: &str| {
        let run = folder.path().join("runs").join(id.to_string());
        std::fs::create_dir_all(&run).unwrap();
        std::fs::write(run.join(name), text).unwrap();
    };
    let (done, open, newer, broken) =
        (run(RunState::Finished), run(RunState::Running), Uuid::now_v7(), Uuid::now_v7());
    for entry in [&done, &open] {
        put(entry.id, "run.json", &serde_json::json!({ "version": 1, "run": entry }).to_string());
        put(entry.id, "request.json", r#"{"scenario":"smoke","users":2}"#);
        put(entry.id, "report.html", "<p>kept");
    }
    put(newer, "run.json", r#"{"version":9,"run":{"new":true}}"#);
    put(broken, "run.json", r#"{"version":1,"run":"#);
    std::fs::write(folder.path().join("runs/stray"), "x").unwrap();

    let mut changed = done.clone();
    changed.reason = Some("changed since".to_owned());
    for again in [false, true] {
        let ledger = ledger(&folder);
        let listed = ledger.list(None, 10).await.unwrap();
        let expected = if again { &changed } else { &done };
        assert_eq!((listed.runs, listed.total), (vec![open.clone(), expected.clone()], 2));
        assert!(matches!(ledger.read(newer).await, Err(LedgerError::Newer(_, 9))));
        assert_eq!(ledger.read(broken).await.unwrap(), None);
        let abandoned = ledger.abandoned(Origin::Service).await.unwrap();
        assert_eq!(abandoned.len(), 1);
        assert_eq!(abandoned[0].request.as_ref().unwrap().asked.users, Some(2));
        assert!(ledger.artifact(done.id, Artifact::Report, 10).await.unwrap().is_some());
        ledger.save(&changed).await.unwrap();
    }
    assert!(!ledger(&folder).folder(done.id).join("run.json").exists());
    assert!(ledger(&folder).folder(broken).join("run.json").exists());
}

async fn kept(ledger: &SqliteLedger, run: &Run) -> (bool, bool) {
    let (samples, report) = (
        ledger.artifact(run.id, Artifact::Samples, 1).await,
        ledger.artifact(run.id, Artifact::Report, 1).await,
    );
    (samples.unwrap().is_some(), report.unwrap().is_some())
}

#[tokio::test]
async fn files_go_by_age_and_by_size_and_entries_stay() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(&folder);
    let runs = [ended(40), ended(3), ended(2), run(RunState::Running), ended(-5), ended(1)];
    for run in &runs {
        drop(ledger.create(run, &request()).await.unwrap());
        ledger.keep(run.id, Artifact::Samples, vec![b'x'; 1_000]).await.unwrap();
        ledger.keep(run.id, Artifact::Report, vec![b'x'; 100]).await.unwrap();
    }
    let forever = Retention { age: None, bytes: None };
    assert_eq!(ledger.tidy(forever).await.unwrap(), Tidied::default());
    let month = Retention { age: Some(Duration::from_secs(30 * 86_400)), bytes: None };
    assert_eq!(ledger.tidy(month).await.unwrap(), Tidied { runs: 1, samples: 0, bytes: 1_100 });
    assert_eq!(kept(&ledger, &runs[0]).await, (false, false));
    assert!(ledger.read(runs[0].id).await.unwrap().is_some());
    assert_eq!(ledger.tidy(month).await.unwrap(), Tidied::default());

    let busy = ledger.files.lease(runs[2].id).unwrap();
    let small = |bytes| Retention { age: None, bytes: Some(bytes) };
    assert_eq!(ledger.tidy(small(3_500)).await.unwrap(), Tidied { runs: 0, samples: 1, bytes: 1_000 });
    assert_eq!(kept(&ledger, &runs[1]).await, (false, true));
    assert_eq!(kept(&ledger, &runs[2]).await, (true, true), "a process is busy with it");
    drop(busy);
    assert_eq!(ledger.tidy(small(0)).await.unwrap(), Tidied { runs: 3, samples: 2, bytes: 2_300 });
    for (run, left) in runs.iter().zip([false, false, false, true, false, true]) {
        assert_eq!(kept(&ledger, run).await, (left, left), "{run:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_used_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(matches!(SqliteLedger::open(&file.join("data")), Err(LedgerError::Folder(..))));
    ledger(&folder).lock().pragma_update(None, "user_version", 7).unwrap();
    let error = SqliteLedger::open(folder.path()).unwrap_err();
    assert!(matches!(error, LedgerError::NewerStore(_, 7)), "{error}");
    assert!(error.to_string().contains("newer perf-service"), "{error}");

    let broken = tempfile::tempdir().unwrap();
    std::fs::write(broken.path().join("runs.sqlite"), vec![b'#'; 10_000]).unwrap();
    let error = SqliteLedger::open(broken.path()).unwrap_err();
    assert!(matches!(error, LedgerError::Store(..)), "{error}");
}
