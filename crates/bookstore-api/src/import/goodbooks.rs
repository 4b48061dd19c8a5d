//! CSV in the form of goodbooks-10k, as dirty as it comes: each row becomes a draft, mended where
//! it can be, or the reasons why there is none.

use std::collections::HashSet;
use std::io::Read;

use csv::{ByteRecord, ReaderBuilder};
use unicode_normalization::UnicodeNormalization;

use super::{Format, ImportDraft, ImportError, Item, Row, Rows, name_key};
use crate::book::{AuthorDraft, BookDraft};
use crate::isbn::{Isbn, is_floating};

/// The source of rows in the form of goodbooks-10k.
pub const GOODBOOKS: &str = "goodbooks";
/// Authors of a book that are kept; as many as the API takes.
const MOST_AUTHORS: usize = 50;
/// Columns that must be there.
const COLUMNS: [&str; 8] = [
    "book_id",
    "isbn",
    "isbn13",
    "authors",
    "original_publication_year",
    "title",
    "language_code",
    "average_rating",
];

/// Where each column is.
struct Columns {
    count: usize,
    id: usize,
    isbn: usize,
    isbn13: usize,
    authors: usize,
    year: usize,
    title: usize,
    language: usize,
    rating: usize,
}

/// The rows of a CSV file in the form of goodbooks-10k.
pub struct CsvRows<R> {
    reader: csv::Reader<R>,
    columns: Columns,
    number: u64,
}

impl<R: Read> CsvRows<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When it is not UTF-8 or lacks a column.
    pub fn open(input: R) -> Result<Self, ImportError> {
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(input);
        let header = reader.byte_headers().map_err(|error| ImportError::Read(error.to_string()))?.clone();
        let mut names = Vec::with_capacity(header.len());
        for field in &header {
            let name = std::str::from_utf8(field).map_err(|_| {
                ImportError::Header(
                    "the header is not UTF-8; save the file as CSV in UTF-8 and import it again".to_owned(),
                )
            })?;
            names.push(name.trim_start_matches('\u{feff}').trim());
        }
        let missing: Vec<&str> = COLUMNS.into_iter().filter(|column| !names.contains(column)).collect();
        if !missing.is_empty() {
            return Err(ImportError::Header(format!(
                "the header lacks {}; it needs {}",
                missing.join(", "),
                COLUMNS.join(", ")
            )));
        }
        let position = |column: &str| names.iter().position(|name| *name == column).unwrap_or(usize::MAX);
        let columns = Columns {
            count: names.len(),
            id: position("book_id"),
            isbn: position("isbn"),
            isbn13: position("isbn13"),
            authors: position("authors"),
            year: position("original_publication_year"),
            title: position("title"),
            language: position("language_code"),
            rating: position("average_rating"),
        };
        Ok(Self { reader, columns, number: 0 })
    }
}

impl<R: Read + Send> Rows for CsvRows<R> {
    fn format(&self) -> Format {
        Format::Csv
    }

    fn next_row(&mut self) -> Result<Option<Row>, ImportError> {
        let mut record = ByteRecord::new();
        let more = self
            .reader
            .read_byte_record(&mut record)
            .map_err(|error| ImportError::Read(error.to_string()))?;
        if !more {
            return Ok(None);
        }
        self.number += 1;
        let line = record.position().map_or(0, csv::Position::line);
        let source_id = record
            .get(self.columns.id)
            .and_then(|field| std::str::from_utf8(field).ok())
            .map(str::trim)
            .filter(|id| !id.is_empty() && id.len() <= 100)
            .map(str::to_owned);
        let item = self.columns.read(&record, source_id.as_deref()).map(Item::Draft);
        Ok(Some(Row { number: self.number, line, source_id, item }))
    }
}

impl Columns {
    fn read(&self, record: &ByteRecord, source_id: Option<&str>) -> Result<ImportDraft, Vec<String>> {
        if record.len() != self.count {
            return Err(vec![format!("has {} fields where the header has {}", record.len(), self.count)]);
        }
        let mut fields = Vec::with_capacity(record.len());
        for (index, field) in record.iter().enumerate() {
            match std::str::from_utf8(field) {
                Ok(text) => fields.push(text.trim()),
                Err(_) => return Err(vec![format!("field {} is not UTF-8", index + 1)]),
            }
        }
        let field = |index: usize| fields.get(index).copied().unwrap_or_default();
        let mut warnings = Vec::new();
        let authors = authors(field(self.authors), &mut warnings);
        let draft = BookDraft {
            isbn: isbn(field(self.isbn), field(self.isbn13), &mut warnings),
            title: field(self.title).nfc().collect(),
            author_ids: Vec::new(),
            published_year: whole_number(field(self.year), "original_publication_year", &mut warnings),
            language: language(field(self.language), &mut warnings),
            genres: Vec::new(),
            description: None,
            price: None,
            rating: rating(field(self.rating), &mut warnings),
        };
        let mut reasons: Vec<String> = draft
            .violations()
            .into_iter()
            .map(|violation| format!("{} {}", violation.field, violation.message))
            .collect();
        match source_id {
            Some(source_id) if reasons.is_empty() => Ok(ImportDraft {
                source: GOODBOOKS.to_owned(),
                source_id: source_id.to_owned(),
                authors,
                draft,
                warnings,
            }),
            Some(_) => Err(reasons),
            None => {
                reasons.insert(0, "book_id is missing".to_owned());
                Err(reasons)
            }
        }
    }
}

/// Several names in one cell, separated by commas; doubled ones count once.
fn authors(cell: &str, warnings: &mut Vec<String>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut known = HashSet::new();
    for name in cell.split(',') {
        let name: String = name.split_whitespace().collect::<Vec<_>>().join(" ").nfc().collect();
        if name.is_empty() {
            continue;
        }
        if names.len() == MOST_AUTHORS {
            warnings.push(format!("more than {MOST_AUTHORS} authors, the first of them were kept"));
            break;
        }
        if !known.insert(name_key(&name)) {
            continue;
        }
        // What could not be written through the API could not be taken back from an export either.
        let draft = AuthorDraft { name, ..AuthorDraft::default() };
        match draft.violations().first() {
            None => names.push(draft.name),
            Some(violation) => {
                warnings.push(format!("an author was dropped: the name {}", violation.message));
            }
        }
    }
    if names.is_empty() {
        warnings.push("no author".to_owned());
    }
    names
}

/// The ISBN, from whichever column still has it whole.
fn isbn(ten: &str, thirteen: &str, warnings: &mut Vec<String>) -> Option<Isbn> {
    let mut found = None;
    if !thirteen.is_empty() {
        if is_floating(thirteen) {
            warnings.push("isbn13 is in floating notation and has lost digits: counted as absent".to_owned());
        } else {
            match Isbn::parse(thirteen) {
                Ok(isbn) => found = Some(isbn),
                Err(error) => warnings.push(format!("isbn13 {thirteen:?} was dropped: {error}")),
            }
        }
    }
    if !ten.is_empty() {
        match Isbn::parse_short(ten) {
            Ok(isbn) => match &found {
                Some(other) if *other != isbn => {
                    warnings.push(format!("isbn {ten:?} and isbn13 differ: isbn13 was kept"));
                }
                _ => found = Some(isbn),
            },
            Err(error) => warnings.push(format!("isbn {ten:?} was dropped: {error}")),
        }
    }
    found
}

fn whole_number(text: &str, column: &str, warnings: &mut Vec<String>) -> Option<i32> {
    if text.is_empty() {
        return None;
    }
    match text.parse::<f64>() {
        Ok(number) if number.fract() == 0.0 && number.abs() < 1e6 =>
        {
            #[expect(clippy::cast_possible_truncation, reason = "whole and below a million")]
            Some(number as i32)
        }
        _ => {
            warnings.push(format!("{column} {text:?} is no year and was dropped"));
            None
        }
    }
}

fn rating(text: &str, warnings: &mut Vec<String>) -> Option<f64> {
    if text.is_empty() {
        return None;
    }
    match text.parse::<f64>() {
        Ok(number) if (0.0..=5.0).contains(&number) => Some(number),
        _ => {
            warnings.push(format!("average_rating {text:?} is not between 0 and 5 and was dropped"));
            None
        }
    }
}

/// The BCP 47 tag for an ISO 639-2 code or a tag as goodbooks-10k mixes them.
fn language(code: &str, warnings: &mut Vec<String>) -> Option<String> {
    let tag = match code {
        "" => return None,
        // ISO 639-2 codes of languages that have a two-letter one, which BCP 47 prefers.
        "eng" => "en",
        "fre" | "fra" => "fr",
        "ger" | "deu" => "de",
        "spa" => "es",
        "ita" => "it",
        "por" => "pt",
        "nl" | "dut" | "nld" => "nl",
        "ara" => "ar",
        "rus" => "ru",
        "jpn" => "ja",
        "per" | "fas" => "fa",
        "ind" => "id",
        "pol" => "pl",
        "tur" => "tr",
        "swe" => "sv",
        "dan" => "da",
        "nor" => "no",
        "fin" => "fi",
        "vie" => "vi",
        "rum" | "ron" => "ro",
        "chi" | "zho" => "zh",
        other => other,
    };
    let draft = BookDraft { title: "x".to_owned(), language: Some(tag.to_owned()), ..BookDraft::default() };
    if draft.violations().is_empty() {
        Some(tag.to_owned())
    } else {
        warnings.push(format!("language_code {code:?} is no language tag and was dropped"));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ImportDraft, Item, Row, Rows};
    use super::CsvRows;

    const HEADER: &str = "book_id,isbn,isbn13,authors,original_publication_year,original_title,title,language_code,average_rating,ratings_count";

    fn read(body: &[u8]) -> Vec<Row> {
        let mut text = HEADER.as_bytes().to_vec();
        text.push(b'\n');
        text.extend_from_slice(body);
        let mut rows = CsvRows::open(text.as_slice()).unwrap();
        std::iter::from_fn(|| rows.next_row().unwrap()).collect()
    }

    fn draft(row: &Row) -> &ImportDraft {
        match &row.item {
            Ok(Item::Draft(draft)) => draft,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_dirty_row_is_mended_and_says_so() {
        let rows = read(
            b"1,439023483,9.78043902348e+12,\"Suzanne Collins, suzanne  collins, B\",2008.0,T,The Hunger Games,eng,4.34,1\n",
        );
        let draft = draft(&rows[0]);
        assert_eq!(draft.draft.isbn.as_ref().unwrap().as_str(), "9780439023481");
        assert_eq!(draft.authors, ["Suzanne Collins", "B"]);
        assert_eq!(draft.draft.published_year, Some(2008));
        assert_eq!(draft.draft.language.as_deref(), Some("en"));
        assert_eq!(draft.warnings.len(), 1);
        assert_eq!((rows[0].number, rows[0].line), (1, 2));
    }

    #[test]
    fn an_isbn_without_a_right_check_digit_is_dropped_not_the_book() {
        let rows = read(b"1,439023484,,A,-750.0,T,The Iliad,,4,1\n");
        let draft = draft(&rows[0]);
        assert_eq!(draft.draft.isbn, None);
        assert_eq!(draft.draft.published_year, Some(-750));
        assert!(draft.warnings[0].contains("check digit"), "{:?}", draft.warnings);
    }

    #[test]
    fn broken_rows_are_rejected_and_the_rest_goes_on() {
        let rows = read(b"1,,,A,,,\xff,,,\n2,,,A\n,,,A,,,No id,,,\n4,,,A,,,,,,\n5,,,A,,,Good,,,\n");
        let rejected: Vec<bool> = rows.iter().map(|row| row.item.is_err()).collect();
        assert_eq!(rejected, [true, true, true, true, false]);
        assert_eq!(rows[4].line, 6);
    }

    #[test]
    fn unusable_headers_are_refused_by_name() {
        let error = CsvRows::open(b"book_id,title\n".as_slice()).err().unwrap().to_string();
        assert!(error.contains("isbn13") && error.contains("authors"), "{error}");
        let error = CsvRows::open(b"\xff\xfeb\x00o\x00".as_slice()).err().unwrap().to_string();
        assert!(error.contains("UTF-8"), "{error}");
        assert!(CsvRows::open(b"".as_slice()).is_err());
    }
}
