//! Exports: everything that a store keeps, as JSON lines that an import takes back whole.
//!
//! Owns the form of the file: a first line with its version, one record a line (authors, then books,
//! then summaries), and a last line that counts them, so that a file that was cut off is known by it.

use std::io::{self, BufRead, Write};

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::book::{Author, AuthorDraft, Book, BookDraft};
use crate::import::{Format, ImportError, Item, Row, Rows};
use crate::store::{BookSource, Record, RecordKind, StoreError, StoredSummary, Upkeep};

/// The version of the form that this program writes and reads.
const VERSION: u32 = 1;
/// Records asked of the store at a time.
const PAGE: u32 = 500;
/// Largest version that a record may have: far from where counting on would end.
const LARGEST_VERSION: u64 = 1 << 53;
/// Longest line taken, in bytes: a book with everything at its largest is a tenth of it.
const LONGEST_LINE: u64 = 1 << 20;

/// A line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    /// The first.
    Export(Head),
    Author(Author),
    Book(BookLine),
    Summary(StoredSummary),
    /// The last.
    End(Counts),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    version: u32,
    exported_at: DateTime<Utc>,
}

#[derive(Serialize, Deserialize)]
struct BookLine {
    #[serde(flatten)]
    book: Book,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<BookSource>,
}

/// How many records there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Authors.
    pub authors: u64,
    /// Books.
    pub books: u64,
    /// Summaries.
    pub summaries: u64,
}

impl Counts {
    /// All together.
    #[must_use]
    pub const fn all(self) -> u64 {
        self.authors + self.books + self.summaries
    }

    const fn count(&mut self, kind: RecordKind) {
        match kind {
            RecordKind::Author => self.authors += 1,
            RecordKind::Book => self.books += 1,
            RecordKind::Summary => self.summaries += 1,
        }
    }
}

/// Why an export broke off.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file cannot be written.
    #[error("the export cannot be written: {0}")]
    Write(#[from] io::Error),
}

impl ExportError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Store(error) => error.kind(),
            Self::Write(_) => "write",
        }
    }
}

/// Writes everything that the store keeps. Others may write meanwhile: what they change may stand in
/// the export before or after their change, and a record whose author or book came too late to be
/// among those written before it is refused on import.
///
/// # Errors
/// When the store fails or `out` cannot be written.
pub async fn export(
    store: &dyn Upkeep,
    out: &mut (dyn Write + Send),
    mut progress: impl FnMut(u64) + Send,
) -> Result<Counts, ExportError> {
    let mut counts = Counts::default();
    write_line(out, &Line::Export(Head { version: VERSION, exported_at: Utc::now() }))?;
    for kind in RecordKind::ALL {
        let mut after = None;
        loop {
            let page = store.records(kind, after, PAGE).await?;
            for record in page.records {
                counts.count(kind);
                let line = match record {
                    Record::Author(author) => Line::Author(author),
                    Record::Book { book, source } => {
                        Line::Book(BookLine { book: Book { summary: None, ..book }, source })
                    }
                    Record::Summary(summary) => Line::Summary(summary),
                };
                write_line(out, &line)?;
            }
            progress(counts.all());
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    write_line(out, &Line::End(counts))?;
    out.flush()?;
    Ok(counts)
}

fn write_line(out: &mut (dyn Write + Send), line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

/// The records of an export, line by line.
pub struct Lines<R> {
    reader: R,
    line: u64,
    counts: Counts,
    ended: bool,
}

impl<R: BufRead> Lines<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// When it is not that of an export, or that of a newer version.
    pub fn open(reader: R) -> Result<Self, ImportError> {
        let mut lines = Self { reader, line: 0, counts: Counts::default(), ended: false };
        let text = lines.read_line()?.unwrap_or_default();
        match serde_json::from_slice(&text) {
            Ok(Line::Export(Head { version, .. })) if version <= VERSION => Ok(lines),
            Ok(Line::Export(Head { version, .. })) => Err(ImportError::Header(format!(
                "the export has version {version}, this program reads up to {VERSION}; use a newer program"
            ))),
            _ => Err(ImportError::Header(
                "the first line is not that of an export; `bookstore-api export` writes one".to_owned(),
            )),
        }
    }

    /// A line without its end; `None` at the end of the file.
    fn read_line(&mut self) -> Result<Option<Vec<u8>>, ImportError> {
        let mut text = Vec::new();
        let read = io::Read::take(&mut self.reader, LONGEST_LINE + 1)
            .read_until(b'\n', &mut text)
            .map_err(|error| ImportError::Read(error.to_string()))?;
        if read as u64 > LONGEST_LINE {
            return Err(ImportError::Read(format!("line {} is longer than 1 MiB", self.line + 1)));
        }
        if read == 0 {
            return Ok(None);
        }
        self.line += 1;
        Ok(Some(text))
    }
}

impl<R: BufRead + Send> Rows for Lines<R> {
    fn format(&self) -> Format {
        Format::JsonLines
    }

    fn next_row(&mut self) -> Result<Option<Row>, ImportError> {
        loop {
            let text = match self.read_line()? {
                None if self.ended => return Ok(None),
                None => return Err(ImportError::CutOff { rows: self.line.saturating_sub(1) }),
                Some(text) if text.trim_ascii().is_empty() => continue,
                Some(text) => text,
            };
            let number = self.line - 1;
            let row = |source_id: Option<String>, item: Result<Record, Vec<String>>| {
                Ok(Some(Row { number, line: number + 1, source_id, item: item.map(Item::Record) }))
            };
            if self.ended {
                return row(None, Err(vec!["stands behind the end of the export".to_owned()]));
            }
            return match serde_json::from_slice(&text) {
                Err(error) => row(None, Err(vec![format!("is no record of an export: {error}")])),
                Ok(Line::Export(_)) => row(None, Err(vec!["is a second first line".to_owned()])),
                Ok(Line::End(counts)) if counts == self.counts => {
                    self.ended = true;
                    continue;
                }
                Ok(Line::End(counts)) => Err(ImportError::Read(format!(
                    "line {}: the export had {} records, {} of them are there; import the whole file",
                    self.line,
                    counts.all(),
                    self.counts.all()
                ))),
                Ok(Line::Author(author)) => {
                    self.counts.count(RecordKind::Author);
                    row(Some(author.id.to_string()), sound_author(author))
                }
                Ok(Line::Book(line)) => {
                    self.counts.count(RecordKind::Book);
                    row(Some(line.book.id.to_string()), sound_book(line))
                }
                Ok(Line::Summary(summary)) => {
                    self.counts.count(RecordKind::Summary);
                    row(Some(summary.book_id.to_string()), sound_summary(summary))
                }
            };
        }
    }
}

fn sound_author(author: Author) -> Result<Record, Vec<String>> {
    let draft = AuthorDraft {
        name: author.name.clone(),
        biography: author.biography.clone(),
        born_year: author.born_year,
        died_year: author.died_year,
    };
    sound(draft.violations(), author.version, [author.created_at, author.updated_at])
        .map(|()| Record::Author(author))
}

fn sound_book(line: BookLine) -> Result<Record, Vec<String>> {
    let BookLine { book, source } = line;
    sound(BookDraft::from(&book).violations(), book.version, [book.created_at, book.updated_at])
        .map(|()| Record::Book { book: Book { summary: None, ..book }, source })
}

fn sound_summary(summary: StoredSummary) -> Result<Record, Vec<String>> {
    // A fence is a time in microseconds: one from the far future would keep all later summaries out.
    let latest = u64::try_from((Utc::now() + TimeDelta::days(1)).timestamp_micros()).unwrap_or(u64::MAX);
    if summary.fence > latest {
        return Err(vec!["its fence lies in the future".to_owned()]);
    }
    Ok(Record::Summary(summary))
}

fn sound(
    violations: Vec<crate::book::Violation>,
    version: u64,
    [created_at, updated_at]: [DateTime<Utc>; 2],
) -> Result<(), Vec<String>> {
    let mut reasons: Vec<String> = violations
        .into_iter()
        .map(|violation| format!("{} {}", violation.field, violation.message))
        .collect();
    if !(1..=LARGEST_VERSION).contains(&version) {
        reasons.push(format!("version {version} is not between 1 and {LARGEST_VERSION}"));
    }
    let years = 1..=9_999;
    if [created_at, updated_at].iter().any(|time| !years.contains(&time.year())) {
        reasons.push("a time lies outside the years 1 to 9999".to_owned());
    }
    if reasons.is_empty() { Ok(()) } else { Err(reasons) }
}

#[cfg(test)]
mod tests {
    use super::{Counts, Lines};
    use crate::import::{ImportError, Rows};

    const HEAD: &str = r#"{"export":{"version":1,"exportedAt":"2026-01-01T00:00:00Z"}}"#;

    fn read(body: &str) -> Result<Vec<bool>, ImportError> {
        let text = format!("{HEAD}\n{body}");
        let mut lines = Lines::open(text.as_bytes())?;
        let mut sound = Vec::new();
        while let Some(row) = lines.next_row()? {
            sound.push(row.item.is_ok());
        }
        Ok(sound)
    }

    #[test]
    fn an_export_is_known_by_its_first_and_last_line() {
        let end = r#"{"end":{"authors":0,"books":0,"summaries":0}}"#;
        assert_eq!(read(end).unwrap(), [true; 0]);
        assert!(matches!(read(""), Err(ImportError::CutOff { rows: 0 })));
        assert!(matches!(read("{}\n"), Err(ImportError::CutOff { rows: 1 })));
        assert!(matches!(read(&end.replace("\"books\":0", "\"books\":2")), Err(ImportError::Read(_))));
        assert_eq!(read(&format!("nonsense\n\n{end}\n{HEAD}\n")).unwrap(), [false, false]);
        for head in ["", "id,title", "{\"export\":{\"version\":2,\"exportedAt\":\"2026-01-01T00:00:00Z\"}}"] {
            assert!(matches!(Lines::open(head.as_bytes()), Err(ImportError::Header(_))), "{head}");
        }
        assert_eq!(Counts { authors: 1, books: 2, summaries: 3 }.all(), 6);
    }

    #[test]
    fn an_endless_line_is_refused() {
        let long = "x".repeat(2 << 20);
        assert!(matches!(read(&long), Err(ImportError::Read(_))));
    }
}
