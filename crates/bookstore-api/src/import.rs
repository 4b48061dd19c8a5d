//! Import: rows of a source become books, each exactly once, and every row's fate is reported.
//!
//! Owns the use case. Rows are keyed by source and source id; a row that an earlier import brought
//! already is left alone, so that later edits survive. Must not know which form a file has.

use std::collections::HashMap;
use std::fmt::Write;

use async_trait::async_trait;
use common_models::{ImportReport, ImportRow, RowOutcome};
use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;

use crate::book::{Book, BookDraft};
use crate::catalog::Catalog;
use crate::isbn::Isbn;
use crate::store::{Record, Restored, StoreError};

pub mod goodbooks;

/// Rows a batch; a batch is durable as a whole.
const BATCH: usize = 250;
/// Longest reason in bytes, and most reasons of a row.
const LONGEST_REASON: usize = 300;
const MOST_REASONS: usize = 20;
/// Amended and rejected rows that a report lists, where nobody wants fewer.
const MOST_DETAILS: usize = 100_000;

/// A row that can be imported.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportDraft {
    /// Where it comes from.
    pub source: String,
    /// Its id there.
    pub source_id: String,
    /// Names of its authors in order.
    pub authors: Vec<String>,
    /// The book, `author_ids` left empty.
    pub draft: BookDraft,
    /// What was dropped or mended on reading.
    pub warnings: Vec<String>,
}

impl ImportDraft {
    /// A hash of all that the row says: an equal one was imported already.
    #[must_use]
    pub fn row_hash(&self) -> String {
        let BookDraft {
            isbn,
            title,
            author_ids: _,
            published_year,
            language,
            genres,
            description,
            price,
            rating,
        } = &self.draft;
        let mut hash = Sha256::new();
        // Each with its length, so that no two rows run into the same text.
        let mut field = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        };
        field(title);
        field(isbn.as_ref().map_or("", Isbn::as_str));
        field(&published_year.map_or_else(String::new, |year| year.to_string()));
        field(language.as_deref().unwrap_or_default());
        field(description.as_deref().unwrap_or_default());
        let price = price.as_ref().map(|price| format!("{} {}", price.amount.normalize(), price.currency));
        field(&price.unwrap_or_default());
        field(&rating.map_or_else(String::new, |rating| rating.to_string()));
        for list in [&self.authors, genres] {
            field(&list.len().to_string());
            for text in list {
                field(text);
            }
        }
        hash.finalize().iter().fold(String::new(), |mut text, byte| {
            // Writing into a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// What a store made of a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportOutcome {
    /// Whether the book was written; else an earlier import had brought this very row.
    pub written: bool,
    /// The book, written now or by an import before, whose end nobody may have heard of.
    pub book: uuid::Uuid,
    /// Authors created for it.
    pub authors_created: u64,
    /// What was dropped on writing.
    pub warnings: Vec<String>,
}

/// Why a file cannot be imported at all.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The header is unusable.
    #[error("{0}")]
    Header(String),
    /// Reading broke off.
    #[error("the file could not be read on: {0}")]
    Read(String),
    /// The file ends before its own end mark; what was there is imported.
    #[error(
        "the file is cut off after {rows} records: they are imported, the rest is missing; import the whole file"
    )]
    CutOff {
        /// Records read.
        rows: u64,
    },
    /// The service is stopping.
    #[error("the import was stopped after row {row}; import the file again to go on, nothing is doubled")]
    Stopped {
        /// Last row that is durable.
        row: u64,
    },
    /// The store failed; what was imported before is kept, and running the import again goes on.
    #[error("the import stopped at row {row}: {error}; run it again to go on, nothing is doubled")]
    Store {
        /// Last row that is durable.
        row: u64,
        /// Why.
        error: StoreError,
    },
}

impl ImportError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Header(_) => "header",
            Self::Read(_) => "read",
            Self::CutOff { .. } => "cut_off",
            Self::Stopped { .. } => "stopped",
            Self::Store { error, .. } => error.kind(),
        }
    }
}

/// A row, read: importable or not.
#[derive(Debug)]
pub struct Row {
    /// Number of the data row, from 1.
    pub number: u64,
    /// Line of the file on which it starts.
    pub line: u64,
    /// Its id at the source, if readable.
    pub source_id: Option<String>,
    /// What it says, or the reasons why it cannot be used.
    pub item: Result<Item, Vec<String>>,
}

/// What a row says.
#[derive(Debug)]
pub enum Item {
    /// A book of another source.
    Draft(ImportDraft),
    /// A record of an export.
    Record(Record),
}

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// CSV in the form of goodbooks-10k.
    Csv,
    /// An export of this service.
    JsonLines,
}

/// A file, row by row.
pub trait Rows: Send {
    /// Its form.
    fn format(&self) -> Format;

    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// When the file cannot be read on.
    fn next_row(&mut self) -> Result<Option<Row>, ImportError>;
}

/// Who follows an import.
#[async_trait]
pub trait Watch: Send {
    /// Hears the report after each batch; whether to go on.
    async fn after_batch(&mut self, report: &ImportReport) -> bool;
}

/// A source that says nothing of a description, genres or a price does not take them away.
pub(crate) fn keep_what_the_row_lacks(book: &Book, draft: &mut BookDraft) {
    draft.description = draft.description.take().or_else(|| book.description.clone());
    draft.price = draft.price.take().or_else(|| book.price.clone());
    if draft.genres.is_empty() {
        draft.genres.clone_from(&book.genres);
    }
}

/// What two spellings of one author's name have in common: case and spacing aside.
#[must_use]
pub fn name_key(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ").nfkc().collect::<String>().to_lowercase()
}

/// Imports rows into a store.
#[derive(Clone)]
pub struct Importer {
    catalog: Catalog,
    /// How many amended and rejected rows a report lists.
    most_details: usize,
}

impl Importer {
    /// Imports into this catalogue.
    #[must_use]
    pub const fn new(catalog: Catalog) -> Self {
        Self { catalog, most_details: MOST_DETAILS }
    }

    /// The same, whose reports list at most so many rows.
    #[must_use]
    pub fn listing(&self, most_details: usize) -> Self {
        Self { catalog: self.catalog.clone(), most_details }
    }

    /// Imports all rows, in batches that are durable one by one. `watch` hears the report so far
    /// after each, and says whether to go on.
    ///
    /// # Errors
    /// When the file cannot be read on, the store fails, or it is not to go on; batches done are kept
    /// and stand in `report`.
    pub async fn import(
        &self,
        rows: &mut dyn Rows,
        report: &mut ImportReport,
        watch: &mut dyn Watch,
    ) -> Result<(), ImportError> {
        let mut seen: HashMap<String, u64> = HashMap::new();
        loop {
            let mut batch = Vec::with_capacity(BATCH);
            let mut ended = Ok(());
            while batch.len() < BATCH {
                match rows.next_row() {
                    Ok(Some(row)) => batch.push(once(row, &mut seen)),
                    Ok(None) => break,
                    Err(error) => {
                        ended = Err(error);
                        break;
                    }
                }
            }
            let (last, durable) = (batch.len() < BATCH, report.rows);
            if !batch.is_empty() {
                self.import_rows(batch, report)
                    .await
                    .map_err(|error| ImportError::Store { row: durable, error })?;
            }
            ended?;
            if !watch.after_batch(report).await && !last {
                return Err(ImportError::Stopped { row: report.rows });
            }
            if last {
                return Ok(());
            }
        }
    }

    /// Imports drafts that were not read from a file.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn import_drafts(&self, drafts: Vec<ImportDraft>) -> Result<ImportReport, StoreError> {
        let mut report = ImportReport::default();
        let rows = drafts.into_iter().zip(1..).map(|(draft, number)| Row {
            number,
            line: number,
            source_id: Some(draft.source_id.clone()),
            item: Ok(Item::Draft(draft)),
        });
        self.import_rows(rows.collect(), &mut report).await?;
        Ok(report)
    }

    async fn import_rows(&self, rows: Vec<Row>, report: &mut ImportReport) -> Result<(), StoreError> {
        let (mut drafts, mut records, mut fates) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            let fate = match row.item {
                Err(reasons) => Fate::Rejected(reasons),
                Ok(Item::Draft(draft)) => {
                    let warnings = draft.warnings.clone();
                    drafts.push(draft);
                    Fate::Draft(warnings)
                }
                Ok(Item::Record(record)) => {
                    records.push(record);
                    Fate::Record
                }
            };
            fates.push((row.number, row.line, row.source_id, fate));
        }
        let mut imported =
            if drafts.is_empty() { Vec::new() } else { self.catalog.import(drafts).await? }.into_iter();
        let mut restored =
            if records.is_empty() { Vec::new() } else { self.catalog.restore(records).await? }.into_iter();
        for (row, line, source_id, fate) in fates {
            let (outcome, reasons) = match fate {
                Fate::Rejected(reasons) => (RowOutcome::Rejected, reasons),
                Fate::Draft(mut reasons) => match imported.next() {
                    Some(outcome) if outcome.written => {
                        report.authors_created += outcome.authors_created;
                        reasons.extend(outcome.warnings);
                        let mended = !reasons.is_empty();
                        (if mended { RowOutcome::Amended } else { RowOutcome::Imported }, reasons)
                    }
                    _ => (RowOutcome::Unchanged, Vec::new()),
                },
                Fate::Record => match restored.next() {
                    Some(Restored::Written) => (RowOutcome::Imported, Vec::new()),
                    Some(Restored::Refused(reason)) => (RowOutcome::Rejected, vec![reason]),
                    Some(Restored::Unchanged) | None => (RowOutcome::Unchanged, Vec::new()),
                },
            };
            self.count(report, ImportRow { row, line, source_id, outcome, reasons });
        }
        Ok(())
    }

    fn count(&self, report: &mut ImportReport, mut row: ImportRow) {
        report.rows += 1;
        // A reason may quote a cell, which may be of any size.
        for reason in row.reasons.iter_mut().filter(|reason| reason.len() > LONGEST_REASON) {
            reason.truncate(reason.floor_char_boundary(LONGEST_REASON));
            reason.push('…');
        }
        row.reasons.truncate(MOST_REASONS);
        match row.outcome {
            RowOutcome::Imported => report.imported += 1,
            RowOutcome::Amended => report.amended += 1,
            RowOutcome::Rejected => report.rejected += 1,
            RowOutcome::Unchanged => report.unchanged += 1,
        }
        if matches!(row.outcome, RowOutcome::Unchanged | RowOutcome::Imported) {
            return;
        }
        if report.details.len() < self.most_details {
            report.details.push(row);
        } else {
            report.details_omitted += 1;
        }
    }
}

/// What is known of a row before the store has answered.
enum Fate {
    Rejected(Vec<String>),
    /// With what was mended on reading.
    Draft(Vec<String>),
    Record,
}

/// Two rows cannot be one book: taking turns, they would change it for ever.
fn once(mut row: Row, seen: &mut HashMap<String, u64>) -> Row {
    if let (Ok(Item::Draft(_)), Some(id)) = (&row.item, &row.source_id) {
        match seen.get(id) {
            Some(first) => row.item = Err(vec![format!("book_id {id} was in row {first} already")]),
            None => {
                seen.insert(id.clone(), row.number);
            }
        }
    }
    row
}
