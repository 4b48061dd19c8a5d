//! The catalogue that a fresh store starts with.

use serde::Deserialize;

use crate::book::{BookDraft, Price};
use crate::import::{ImportDraft, Importer};
use crate::isbn::Isbn;
use crate::store::{BookStore, StoreError};

/// The source that seed rows are keyed by.
pub const SOURCE: &str = "seed";
/// The catalogue; facts and descriptions are the project's own.
const CATALOG: &str = include_str!("../seed/books.json");

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SeedBook {
    source_id: String,
    title: String,
    authors: Vec<String>,
    published_year: i32,
    isbn: Option<String>,
    language: String,
    genres: Vec<String>,
    description: String,
    price: SeedPrice,
}

#[derive(Deserialize)]
struct SeedPrice {
    amount: rust_decimal::Decimal,
    currency: String,
}

/// The books of the catalogue.
///
/// # Errors
/// None in a build whose tests passed.
pub fn books() -> Result<Vec<ImportDraft>, serde_json::Error> {
    let books: Vec<SeedBook> = serde_json::from_str(CATALOG)?;
    Ok(books
        .into_iter()
        .map(|book| ImportDraft {
            source: SOURCE.to_owned(),
            source_id: book.source_id,
            authors: book.authors,
            draft: BookDraft {
                isbn: book.isbn.and_then(|isbn| Isbn::parse(&isbn).ok()),
                title: book.title,
                author_ids: Vec::new(),
                published_year: Some(book.published_year),
                language: Some(book.language),
                genres: book.genres,
                description: Some(book.description),
                price: Some(Price { amount: book.price.amount, currency: book.price.currency }),
                rating: None,
            },
            warnings: Vec::new(),
        })
        .collect())
}

/// Loads the catalogue into a store that never had it; how many books came.
///
/// # Errors
/// When the store fails.
pub async fn load(store: &dyn BookStore, importer: &Importer) -> Result<u64, StoreError> {
    if store.seeded().await? {
        return Ok(0);
    }
    let books = books().map_err(|error| StoreError::Corrupt(error.to_string()))?;
    let report = importer.import_drafts(books).await?;
    store.mark_seeded().await?;
    Ok(report.imported + report.amended)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn the_catalogue_is_whole_and_keeps_the_rules() {
        let books = super::books().unwrap();
        assert!(books.len() >= 100, "{}", books.len());
        let mut ids = BTreeSet::new();
        let mut isbns = BTreeSet::new();
        let written: Vec<serde_json::Value> = serde_json::from_str(super::CATALOG).unwrap();
        for (book, written) in books.iter().zip(&written) {
            assert_eq!(book.draft.violations(), [], "{}", book.source_id);
            assert!(ids.insert(&book.source_id), "{} is there twice", book.source_id);
            assert_eq!(book.draft.isbn.is_some(), written.get("isbn").is_some(), "{}", book.source_id);
            if let Some(isbn) = &book.draft.isbn {
                assert!(isbns.insert(isbn.as_str()), "{isbn} is there twice");
            }
            assert!(!book.authors.is_empty() && book.draft.description.as_ref().unwrap().len() > 100);
        }
    }
}
