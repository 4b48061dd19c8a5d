//! The commands that look at runs of the past: `list` and `report`.
//!
//! They read the data folder themselves, so no service has to be up. Must not know how a run is made.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use common_models::{Page, Run};
use telemetry::Metrics;
use uuid::Uuid;

use super::{AppError, open, runs_on, write_out};
use crate::console::{self, past};
use crate::ledger::{Artifact, Origin};
use crate::runs::{Runs, RunsError};
use crate::settings::{ListRequest, ReportRequest, Settings};

/// What names the newest run.
const LATEST: &str = "latest";
/// Runs looked through at a time.
const STRETCH: usize = 200;

/// Prints the newest runs.
///
/// # Errors
/// When the data folder cannot be used.
pub async fn list(
    settings: &Settings,
    request: &ListRequest,
    metrics: Metrics,
) -> Result<ExitCode, AppError> {
    let runs = runs_on(open(settings).await?, settings, metrics, Origin::Command)?;
    let stretch = runs.list(None, request.limit).await?;
    if request.json {
        let last = stretch.runs.last().map(|run| run.id.to_string());
        let page = Page {
            next_cursor: last.filter(|_| stretch.more),
            items: stretch.runs,
            total: stretch.total,
            total_capped: false,
        };
        console::tell(&console::json(&page));
    } else {
        console::tell(&past::table(&stretch.runs, stretch.total));
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints what a run came to and where its report is, or copies the report.
///
/// # Errors
/// When there is no such run, it has no figures, or they cannot be read or written.
pub async fn report(
    settings: &Settings,
    request: &ReportRequest,
    metrics: Metrics,
) -> Result<ExitCode, AppError> {
    let ledger = open(settings).await?;
    let runs = runs_on(ledger.clone(), settings, metrics, Origin::Command)?;
    let run = find(&runs, &request.run).await?;
    if request.json {
        let results = runs.artifact(run.id, Artifact::Results).await?;
        console::tell(&String::from_utf8_lossy(&results));
        return Ok(ExitCode::SUCCESS);
    }
    let kept = ledger.folder(run.id).join(Artifact::Report.file_name());
    let report = match (&request.out, runs.artifact(run.id, Artifact::Report).await) {
        (None, Ok(_)) => kept,
        (Some(out), Ok(html)) => {
            let path = file_at(out, run.id);
            write_out(&path, html).await?;
            path
        }
        (None, Err(RunsError::NoArtifact(..))) => {
            // What became of it may say why.
            super::print_summary(ledger.as_ref(), &run, &kept).await;
            return Ok(ExitCode::FAILURE);
        }
        (_, Err(error)) => return Err(error.into()),
    };
    super::print_summary(ledger.as_ref(), &run, &report).await;
    Ok(ExitCode::SUCCESS)
}

/// A folder takes a file named after the run; anything else is the file.
fn file_at(out: &Path, run: Uuid) -> PathBuf {
    if out.is_dir() { out.join(format!("{run}.html")) } else { out.to_owned() }
}

/// The run of this id, of the only id that begins so, or the newest one.
async fn find(runs: &Runs, named: &str) -> Result<Run, AppError> {
    if let Ok(id) = Uuid::parse_str(named) {
        return Ok(runs.read(id).await?);
    }
    let (named, mut before, mut found) = (named.to_ascii_lowercase(), None, Vec::new());
    loop {
        let stretch = runs.list(before, STRETCH).await?;
        before = stretch.runs.last().map(|run| run.id);
        if named == LATEST {
            return stretch.runs.into_iter().next().ok_or(AppError::UnknownRun(named));
        }
        found.extend(stretch.runs.into_iter().filter(|run| run.id.to_string().starts_with(&named)));
        if found.len() > 1 {
            return Err(AppError::ManyRuns(named));
        }
        if !stretch.more || before.is_none() {
            return found.pop().ok_or(AppError::UnknownRun(named));
        }
    }
}
