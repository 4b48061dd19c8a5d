//! Books and authors as the use cases see them, and the rules that a draft has to keep.
//!
//! Owns the domain's shapes. Must not know how they travel or are stored.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::isbn::Isbn;

/// Earliest and latest year that is believed.
pub(crate) const YEARS: std::ops::RangeInclusive<i32> = -4000..=2200;
/// Largest price amount believed.
pub(crate) const LARGEST_AMOUNT: i64 = 1_000_000;

/// An author in a book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorRef {
    /// Id.
    pub id: Uuid,
    /// Full name.
    pub name: String,
}

/// A price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Price {
    /// Exact amount.
    pub amount: Decimal,
    /// ISO 4217 code.
    pub currency: String,
}

/// A book.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Book {
    /// Id.
    pub id: Uuid,
    /// ISBN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isbn: Option<Isbn>,
    /// Title.
    pub title: String,
    /// Authors in order.
    pub authors: Vec<AuthorRef>,
    /// Year of first publication.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_year: Option<i32>,
    /// BCP 47 tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Genres.
    pub genres: Vec<String>,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// 0 to 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rating: Option<f64>,
    /// The latest summary that fits the book as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Grows by one with every change.
    pub version: u64,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl Book {
    /// A hash of the fields that the prompt uses. A summary made under another hash is stale.
    #[must_use]
    pub fn content_hash(&self) -> String {
        let mut hash = Sha256::new();
        let mut field = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        };
        field(&self.title);
        for author in &self.authors {
            field(&author.name);
        }
        field("");
        field(&self.published_year.map_or_else(String::new, |year| year.to_string()));
        for genre in &self.genres {
            field(genre);
        }
        field("");
        field(self.language.as_deref().unwrap_or_default());
        field(self.description.as_deref().unwrap_or_default());
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What a book is to be, without what the store adds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BookDraft {
    /// ISBN.
    pub isbn: Option<Isbn>,
    /// Title.
    pub title: String,
    /// Ids of authors in order.
    pub author_ids: Vec<Uuid>,
    /// Year of first publication.
    pub published_year: Option<i32>,
    /// BCP 47 tag.
    pub language: Option<String>,
    /// Genres.
    pub genres: Vec<String>,
    /// What it is about.
    pub description: Option<String>,
    /// Price.
    pub price: Option<Price>,
    /// 0 to 5.
    pub rating: Option<f64>,
}

impl From<&Book> for BookDraft {
    /// The draft that would make this book.
    fn from(book: &Book) -> Self {
        Self {
            isbn: book.isbn.clone(),
            title: book.title.clone(),
            author_ids: book.authors.iter().map(|author| author.id).collect(),
            published_year: book.published_year,
            language: book.language.clone(),
            genres: book.genres.clone(),
            description: book.description.clone(),
            price: book.price.clone(),
            rating: book.rating,
        }
    }
}

/// An author.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Author {
    /// Id.
    pub id: Uuid,
    /// Full name.
    pub name: String,
    /// Life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub biography: Option<String>,
    /// Year of birth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub born_year: Option<i32>,
    /// Year of death.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub died_year: Option<i32>,
    /// Grows by one with every change.
    pub version: u64,
    /// When created.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

/// What an author is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthorDraft {
    /// Full name.
    pub name: String,
    /// Life.
    pub biography: Option<String>,
    /// Year of birth.
    pub born_year: Option<i32>,
    /// Year of death.
    pub died_year: Option<i32>,
}

/// A field that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field in the client's spelling.
    pub field: String,
    /// Stable name of the rule.
    pub code: &'static str,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Collects violations.
#[derive(Debug, Default)]
pub(crate) struct Rules(pub(crate) Vec<Violation>);

impl Rules {
    pub(crate) fn broken(
        &mut self,
        field: impl Into<String>,
        code: &'static str,
        message: impl Into<String>,
    ) {
        self.0.push(Violation { field: field.into(), code, message: message.into() });
    }

    pub(crate) fn text(&mut self, field: &str, text: &str, longest: usize) {
        let length = text.chars().count();
        if length > longest {
            self.broken(field, "too_long", format!("has {length} characters, at most {longest} are allowed"));
        }
        if text.chars().any(|character| character.is_control() && !matches!(character, '\n' | '\r' | '\t')) {
            self.broken(field, "control_character", "contains a control character");
        }
    }

    pub(crate) fn required(&mut self, field: &str, text: &str, longest: usize) {
        if text.trim().is_empty() {
            self.broken(field, "required", "must not be empty");
        }
        self.text(field, text, longest);
    }

    pub(crate) fn year(&mut self, field: &str, year: Option<i32>) {
        if let Some(year) = year
            && !YEARS.contains(&year)
        {
            self.broken(
                field,
                "out_of_range",
                format!("is {year}; {} to {} are allowed", YEARS.start(), YEARS.end()),
            );
        }
    }

    pub(crate) fn amount(&mut self, field: &str, amount: Decimal) {
        if amount.is_sign_negative() || amount > Decimal::from(LARGEST_AMOUNT) {
            self.broken(field, "out_of_range", format!("must be between 0 and {LARGEST_AMOUNT}"));
        }
        if amount.scale() > 2 {
            self.broken(field, "precision", "has more than two decimals");
        }
    }

    pub(crate) fn currency(&mut self, field: &str, currency: &str) {
        if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
            self.broken(field, "form", "is not an ISO 4217 code such as USD");
        }
    }

    pub(crate) fn language(&mut self, field: &str, language: &str) {
        if !is_language_tag(language) {
            self.broken(field, "form", "is not a BCP 47 tag such as en or pt-BR");
        }
    }
}

impl BookDraft {
    /// The rules that this draft breaks.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        let mut rules = Rules::default();
        rules.required("title", &self.title, 500);
        rules.year("publishedYear", self.published_year);
        if self.author_ids.len() > 50 {
            rules.broken("authorIds", "too_many", "has more than 50 entries");
        }
        for (index, id) in self.author_ids.iter().enumerate().take(50) {
            if self.author_ids.iter().take(index).any(|earlier| earlier == id) {
                rules.broken(format!("authorIds[{index}]"), "duplicate", "names an author twice");
            }
        }
        if let Some(language) = &self.language {
            rules.language("language", language);
        }
        if self.genres.len() > 20 {
            rules.broken("genres", "too_many", "has more than 20 entries");
        }
        for (index, genre) in self.genres.iter().enumerate().take(20) {
            rules.required(&format!("genres[{index}]"), genre, 50);
        }
        rules.text("description", self.description.as_deref().unwrap_or_default(), 10_000);
        if let Some(price) = &self.price {
            rules.amount("price.amount", price.amount);
            rules.currency("price.currency", &price.currency);
        }
        if let Some(rating) = self.rating
            && !(0.0..=5.0).contains(&rating)
        {
            rules.broken("rating", "out_of_range", "must be between 0 and 5");
        }
        rules.0
    }
}

impl AuthorDraft {
    /// The rules that this draft breaks.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        let mut rules = Rules::default();
        rules.required("name", &self.name, 200);
        rules.text("biography", self.biography.as_deref().unwrap_or_default(), 5_000);
        rules.year("bornYear", self.born_year);
        rules.year("diedYear", self.died_year);
        if let (Some(born), Some(died)) = (self.born_year, self.died_year)
            && died < born
        {
            rules.broken("diedYear", "out_of_range", "lies before bornYear");
        }
        rules.0
    }
}

/// Letters and digits in parts of at most eight, the first of letters (RFC 5646, coarsely).
fn is_language_tag(tag: &str) -> bool {
    tag.len() <= 35
        && tag.split('-').enumerate().all(|(index, part)| {
            let letters = part.bytes().all(|byte| byte.is_ascii_alphabetic());
            (1..=8).contains(&part.len())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
                && (index > 0 || (letters && part.len() >= 2))
        })
}

#[cfg(test)]
mod tests {
    use super::{AuthorDraft, BookDraft, Price};

    #[test]
    fn every_broken_rule_is_reported_at_once() {
        let draft = BookDraft {
            title: " ".to_owned(),
            published_year: Some(9999),
            language: Some("e n".to_owned()),
            genres: vec![String::new()],
            description: Some("\u{1b}[31m".to_owned()),
            price: Some(Price { amount: "-1.005".parse().unwrap(), currency: "usd".to_owned() }),
            rating: Some(f64::NAN),
            ..BookDraft::default()
        };
        let broken: Vec<(String, &str)> =
            draft.violations().into_iter().map(|violation| (violation.field, violation.code)).collect();
        let broken: Vec<(&str, &str)> = broken.iter().map(|(field, code)| (field.as_str(), *code)).collect();
        assert_eq!(
            broken,
            [
                ("title", "required"),
                ("publishedYear", "out_of_range"),
                ("language", "form"),
                ("genres[0]", "required"),
                ("description", "control_character"),
                ("price.amount", "out_of_range"),
                ("price.amount", "precision"),
                ("price.currency", "form"),
                ("rating", "out_of_range"),
            ]
        );
    }

    #[test]
    fn an_author_dies_after_birth() {
        let draft = AuthorDraft {
            name: "X".to_owned(),
            born_year: Some(1900),
            died_year: Some(1800),
            biography: None,
        };
        assert_eq!(draft.violations().len(), 1);
    }
}
