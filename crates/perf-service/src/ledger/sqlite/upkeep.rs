//! Which files of ended runs are kept.
//!
//! Owns the order in which they go: by age whole runs, by size first samples, which are large and
//! already counted, then whole runs; the oldest first. Entries with their summaries stay.

use chrono::Utc;
use rusqlite::params;
use uuid::Uuid;

use super::{SqliteLedger, VERSION};
use crate::ledger::{LedgerError, Retention, Tidied};

/// The samples were removed.
const NO_SAMPLES: u8 = 1;
/// All files were.
const NOTHING: u8 = 2;

/// An ended run that has files.
struct Kept {
    id: Uuid,
    finished_at: Option<i64>,
    samples: u64,
    all: u64,
}

impl SqliteLedger {
    /// Removes what is not to be kept.
    pub(super) fn remove_old(&self, retention: Retention) -> Result<Tidied, LedgerError> {
        let mut tidied = Tidied::default();
        let mut kept = self.kept()?;
        // Somebody may be about to read it.
        let last = kept.pop();
        if let Some(age) = retention.age {
            let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            let oldest = Utc::now().timestamp_millis().saturating_sub(age);
            let mut young = Vec::new();
            for run in kept {
                if run.finished_at.is_some_and(|at| at < oldest) {
                    self.remove_files(&run, &mut tidied)?;
                } else {
                    young.push(run);
                }
            }
            kept = young;
        }
        let Some(most) = retention.bytes else { return Ok(tidied) };
        let mut bytes: u64 = kept.iter().chain(&last).map(|run| run.all).sum();
        for run in &mut kept {
            if bytes > most && run.samples > 0 && self.is_free(run.id) {
                self.files.remove_samples(run.id)?;
                self.note(run.id, NO_SAMPLES)?;
                bytes = bytes.saturating_sub(run.samples);
                tidied.samples += 1;
                tidied.bytes += run.samples;
                run.all = run.all.saturating_sub(run.samples);
            }
        }
        for run in &kept {
            if bytes > most {
                self.remove_files(run, &mut tidied)?;
                bytes = bytes.saturating_sub(run.all);
            }
        }
        Ok(tidied)
    }

    /// Ended runs that have files, the first entered first.
    fn kept(&self) -> Result<Vec<Kept>, LedgerError> {
        let connection = self.lock();
        let read = || -> rusqlite::Result<Vec<(String, Option<i64>)>> {
            let mut rows = connection.prepare_cached(
                "SELECT id, finished_at FROM runs WHERE ended = 1 AND removed < 2 AND version <= ? ORDER BY seq",
            )?;
            rows.query_map([VERSION], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        let rows = read().map_err(|error| self.failed(error))?;
        drop(connection);
        let kept = rows.into_iter().filter_map(|(id, finished_at)| {
            let id = Uuid::parse_str(&id).ok()?;
            let (samples, all) = self.files.size(id);
            Some(Kept { id, finished_at, samples, all })
        });
        Ok(kept.collect())
    }

    fn remove_files(&self, run: &Kept, tidied: &mut Tidied) -> Result<(), LedgerError> {
        if !self.is_free(run.id) {
            return Ok(());
        }
        self.files.remove(run.id)?;
        self.note(run.id, NOTHING)?;
        tidied.runs += 1;
        tidied.bytes += run.all;
        Ok(())
    }

    /// Whether no process is busy with the run any more.
    fn is_free(&self, id: Uuid) -> bool {
        self.free_lease(id).is_some()
    }

    fn note(&self, id: Uuid, removed: u8) -> Result<(), LedgerError> {
        self.lock()
            .execute("UPDATE runs SET removed = ? WHERE id = ?", params![removed, id.to_string()])
            .map(|_| ())
            .map_err(|error| self.failed(error))
    }
}
