//! `bookstore-api import`: progress on standard error, the report on standard output.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::Path;

use async_trait::async_trait;
use common_models::{ImportReport, ImportRow, RowOutcome};
use indicatif::{ProgressBar, ProgressStyle};
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use crate::app::{App, AppError};
use crate::archive::Lines;
use crate::import::goodbooks::CsvRows;
use crate::import::{Format, ImportError, Rows, Watch};
use crate::settings::{Import, Settings};

/// Rows between two progress lines where there is no terminal.
const ROWS_A_LINE: u64 = 1_000;

/// Imports a file into the store that the settings name.
///
/// # Errors
/// When the file or the store cannot be used; what was imported before is kept.
pub async fn run(settings: &Settings, import: &Import, metrics: Metrics) -> Result<(), AppError> {
    let mut rows =
        open(&import.file).map_err(|why| AppError::File(format!("{}: {why}", import.file.display())))?;
    let stop = CancellationToken::new();
    // What an export brings stands for itself: the catalogue would only get in its way.
    let seed_catalog = settings.seed_catalog && rows.format() != Format::JsonLines;
    let settings = Settings { seed_catalog, ..settings.clone() };
    let app = App::start(&settings, metrics, stop.clone()).await?;
    let bar = std::io::stderr().is_terminal().then(|| {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} rows, {per_sec}, {elapsed}") {
            bar.set_style(style);
        }
        bar
    });
    let mut report = ImportReport::default();
    let mut watch = Progress { bar: bar.clone(), said: 0 };
    app.importer.import(rows.as_mut(), &mut report, &mut watch).await?;
    if rows.format() == Format::JsonLines {
        app.store.mark_seeded().await?;
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    if let Some(path) = &import.report {
        let text = serde_json::to_string_pretty(&report).unwrap_or_default();
        std::fs::write(path, text).map_err(|error| AppError::File(format!("{}: {error}", path.display())))?;
    }
    // A reader that has seen enough (`| head`) is no failure.
    let _ = print(&report, import.details);
    stop.cancel();
    app.finish().await;
    Ok(())
}

/// Opens a file of either form; an export begins with a brace.
fn open(file: &Path) -> Result<Box<dyn Rows>, String> {
    let mut reader = BufReader::new(File::open(file).map_err(|error| error.to_string())?);
    let first = reader.fill_buf().map_err(|error| error.to_string())?.first().copied();
    let rows = |error: ImportError| error.to_string();
    Ok(if first == Some(b'{') {
        Box::new(Lines::open(reader).map_err(rows)?)
    } else {
        Box::new(CsvRows::open(reader).map_err(rows)?)
    })
}

/// The bar on a terminal, a line now and then elsewhere.
struct Progress {
    bar: Option<ProgressBar>,
    said: u64,
}

#[async_trait]
impl Watch for Progress {
    async fn after_batch(&mut self, report: &ImportReport) -> bool {
        match &self.bar {
            Some(bar) => bar.set_position(report.rows),
            None if report.rows >= self.said + ROWS_A_LINE => {
                self.said = report.rows;
                eprintln!("{} rows", report.rows);
            }
            None => {}
        }
        true
    }
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
