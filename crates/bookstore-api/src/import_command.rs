//! `bookstore-api import`: progress on standard error, the report on standard output.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, IsTerminal, Write};

use common_models::{ImportReport, ImportRow, RowOutcome};
use indicatif::{ProgressBar, ProgressStyle};
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use crate::app::{App, AppError};
use crate::import::CsvRows;
use crate::settings::{Import, Settings};

/// Rows between two progress lines where there is no terminal.
const ROWS_A_LINE: u64 = 1_000;

/// Imports a file into the store that the settings name.
///
/// # Errors
/// When the file or the store cannot be used; what was imported before is kept.
pub async fn run(settings: &Settings, import: &Import, metrics: Metrics) -> Result<(), AppError> {
    let unusable = |error: std::io::Error| AppError::File(format!("{}: {error}", import.file.display()));
    let file = File::open(&import.file).map_err(unusable)?;
    let rows = CsvRows::open(BufReader::new(file))
        .map_err(|error| AppError::File(format!("{}: {error}", import.file.display())))?;
    let app = App::start(settings, metrics, CancellationToken::new()).await?;
    let bar = std::io::stderr().is_terminal().then(|| {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} rows, {per_sec}, {elapsed}") {
            bar.set_style(style);
        }
        bar
    });
    let mut said = 0;
    let report = app
        .importer
        .import(rows, |rows| match &bar {
            Some(bar) => bar.set_position(rows),
            None if rows >= said + ROWS_A_LINE => {
                said = rows;
                eprintln!("{rows} rows");
            }
            None => {}
        })
        .await?;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    if let Some(path) = &import.report {
        let text = serde_json::to_string_pretty(&report).unwrap_or_default();
        std::fs::write(path, text).map_err(|error| AppError::File(format!("{}: {error}", path.display())))?;
    }
    // A reader that has seen enough (`| head`) is no failure.
    let _ = print(&report, import.details);
    app.finish().await;
    Ok(())
}

fn print(report: &ImportReport, details: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let shown = |row: &&ImportRow| details || row.outcome == RowOutcome::Rejected;
    for row in report.details.iter().filter(shown) {
        let outcome = if row.outcome == RowOutcome::Rejected { "rejected" } else { "amended" };
        let id = row.source_id.as_deref().unwrap_or("-");
        writeln!(out, "row {} (line {}, id {id}) {outcome}: {}", row.row, row.line, row.reasons.join("; "))?;
    }
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for reason in report.details.iter().flat_map(|row| &row.reasons) {
        // Rows quote their own values: reasons are grouped by the words before the first quote.
        let kind = reason.split(['"', ':']).next().unwrap_or(reason).trim();
        *reasons.entry(kind).or_default() += 1;
    }
    for (reason, rows) in reasons {
        writeln!(out, "{rows:>8} × {reason}")?;
    }
    writeln!(
        out,
        "{} rows: {} imported, {} amended, {} rejected, {} unchanged; {} authors created",
        report.rows,
        report.imported,
        report.amended,
        report.rejected,
        report.unchanged,
        report.authors_created
    )?;
    if !details && report.amended > 0 {
        writeln!(out, "--details lists the amended rows, --report FILE writes everything as JSON")?;
    }
    Ok(())
}
