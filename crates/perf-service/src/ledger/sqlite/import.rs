//! Entries of older ledgers: a `run.json` and a `request.json` in each run's folder.
//!
//! Owns taking them in, once. What cannot be read is left where it is and told.

use std::fs;
use std::path::PathBuf;

use common_models::{Run, StartRun};
use rusqlite::{Connection, params};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{VERSION, ended, finished_at};
use crate::ledger::files::{Files, found};
use crate::ledger::{Origin, Request};

const ENTRY: &str = "run.json";
const REQUEST: &str = "request.json";

/// Any version's entry.
#[derive(Deserialize)]
struct OldEntry<'a> {
    version: u32,
    #[serde(borrow)]
    run: &'a RawValue,
}

/// Takes in every old entry that is not there yet, the oldest first; the runs whose files are of no
/// more use once this is committed.
pub(super) fn old_entries(connection: &Connection, files: &Files) -> rusqlite::Result<Vec<Uuid>> {
    let mut imported = Vec::new();
    let ids = files.ids().unwrap_or_else(|error| {
        tracing::warn!(%error, kind = error.kind(), "old entries cannot be looked for");
        Vec::new()
    });
    for id in ids {
        let path = files.of(id).join(ENTRY);
        let text = match found(fs::read(&path)) {
            Ok(None) => continue,
            Ok(Some(text)) => text,
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "an old entry cannot be read");
                continue;
            }
        };
        match read(&text) {
            Ok((version, run, entry)) => {
                let request = fs::read_to_string(files.of(id).join(REQUEST)).ok();
                connection.execute(
                    "INSERT OR IGNORE INTO runs (id, version, entry, request, ended, finished_at)
                     VALUES (?, ?, ?, ?, ?, ?)",
                    params![
                        id.to_string(),
                        version,
                        entry,
                        request,
                        // What cannot be read is not ours to end.
                        run.as_ref().is_none_or(ended),
                        run.as_ref().and_then(finished_at),
                    ],
                )?;
                imported.push(id);
            }
            Err(error) => tracing::warn!(%error, path = %path.display(), "an old entry is not readable"),
        }
    }
    Ok(imported)
}

/// An entry's version and text, and the run where this version is known here.
fn read(text: &[u8]) -> Result<(u32, Option<Run>, String), serde_json::Error> {
    let old: OldEntry<'_> = serde_json::from_slice(text)?;
    let entry = old.run.get().to_owned();
    let run = if old.version > VERSION { None } else { Some(serde_json::from_str(&entry)?) };
    Ok((old.version, run, entry))
}

/// Removes the files whose content is in the ledger now.
pub(super) fn clear(files: &Files, imported: &[Uuid]) {
    for path in imported.iter().flat_map(|id| [ENTRY, REQUEST].map(|name| files.of(*id).join(name))) {
        remove(path);
    }
}

fn remove(path: PathBuf) {
    if let Err(error) = found(fs::remove_file(&path)) {
        // It is passed over from now on.
        tracing::warn!(%error, path = %path.display(), "an old entry cannot be removed");
    }
}

/// What a run was started with; older ledgers kept only what the client sent.
pub(super) fn request(text: &str) -> Option<Request> {
    let plain = || {
        let asked: StartRun = serde_json::from_str(text).ok()?;
        Some(Request { asked, max_p95_ms: None, origin: Origin::Service })
    };
    serde_json::from_str(text).ok().or_else(plain)
}
