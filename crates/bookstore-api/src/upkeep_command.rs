//! `bookstore-api export` and `bookstore-api check`: what operators run beside the service.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use telemetry::Metrics;

use crate::app::{self, AppError};
use crate::archive::{self, Counts, ExportError};
use crate::settings::{Check, Export, Settings};
use crate::store::CheckReport;

/// Records between two progress lines.
const RECORDS_A_LINE: u64 = 10_000;

/// Writes everything that the store keeps to a file, or to standard output for `-`. The file is there
/// only when it is whole.
///
/// # Errors
/// When the store fails or the file cannot be written.
pub async fn export(settings: &Settings, export: &Export, metrics: Metrics) -> Result<(), AppError> {
    let store = app::open_store(settings, metrics).await?;
    let mut said = 0;
    let progress = |records: u64| {
        if records >= said + RECORDS_A_LINE {
            said = records;
            eprintln!("{records} records");
        }
    };
    let counts = if export.file == Path::new("-") {
        archive::export(store.as_ref(), &mut BufWriter::new(io::stdout()), progress).await.map_err(failed)?
    } else {
        let unusable = |error: io::Error| AppError::File(format!("{}: {error}", export.file.display()));
        let mut part = export.file.clone().into_os_string();
        part.push(".part");
        let mut out = BufWriter::new(File::create(&part).map_err(unusable)?);
        let counts = archive::export(store.as_ref(), &mut out, progress).await.map_err(failed)?;
        out.get_ref().sync_all().map_err(unusable)?;
        std::fs::rename(&part, &export.file).map_err(unusable)?;
        counts
    };
    let Counts { authors, books, summaries } = counts;
    eprintln!("exported {authors} authors, {books} books, {summaries} summaries");
    Ok(())
}

fn failed(error: ExportError) -> AppError {
    match error {
        ExportError::Store(error) => AppError::Store(error),
        ExportError::Write(error) => AppError::File(format!("the export cannot be written: {error}")),
    }
}

/// Looks for contradictions in the store and prints them.
///
/// # Errors
/// When the store fails, or when there is any.
pub async fn check(settings: &Settings, check: &Check, metrics: Metrics) -> Result<(), AppError> {
    let store = app::open_store(settings, metrics).await?;
    if io::stderr().is_terminal() {
        eprintln!("checking every author, book and summary …");
    }
    // What others have left half done on purpose is no contradiction.
    store.tend().await?;
    let report = store.check().await?;
    // A reader that has seen enough (`| head`) is no failure.
    let _ = print(&report, check.json);
    match report.findings.len() {
        0 => Ok(()),
        findings => Err(AppError::Inconsistent(findings)),
    }
}

fn print(report: &CheckReport, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        return writeln!(out, "{}", serde_json::to_string_pretty(report).unwrap_or_default());
    }
    for finding in &report.findings {
        writeln!(out, "{}: {}", finding.code, finding.message)?;
    }
    writeln!(
        out,
        "{} authors, {} books, {} summaries, {} idempotency keys: {} findings",
        report.authors,
        report.books,
        report.summaries,
        report.claims,
        report.findings.len()
    )
}
