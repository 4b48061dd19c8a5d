//! What stores keep beside a book's or author's own fields so that lists and searches can use an
//! index: sort keys, words, hashes. Pure, and the same for every store, so that both order and find
//! the same.

use chrono::{DateTime, Utc};
use rust_decimal::prelude::ToPrimitive;
use uuid::Uuid;

use super::cursor::Key;
use super::{AuthorOrder, BookOrder};
use crate::book::{Author, Book};
use crate::search::{sort_key, words};

/// Sort key of an absent year: below all years.
const NO_YEAR: i64 = i64::MIN;
/// Sort key of an absent price or rating: below all of them.
const NONE: i64 = -1;

/// What is derived from a book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookKeys {
    /// Title to sort by.
    pub title: String,
    /// Year to sort by.
    pub published_year: i64,
    /// Hundredths of the price's currency to sort by.
    pub price: i64,
    /// Rating to sort by.
    pub rating: i64,
    /// Language in lower case, empty when absent.
    pub language: String,
    /// Genres in lower case, each once.
    pub genres: Vec<String>,
    /// Words of the title.
    pub title_words: Vec<String>,
    /// Words of the authors' names.
    pub name_words: Vec<String>,
    /// Words of genres and description.
    pub other_words: Vec<String>,
    /// [`Book::content_hash`].
    pub content_hash: String,
}

impl BookKeys {
    /// Derives them.
    #[must_use]
    pub fn of(book: &Book) -> Self {
        let mut genres: Vec<String> = book.genres.iter().map(|genre| genre_key(genre)).collect();
        genres.sort_unstable();
        genres.dedup();
        let names = book.authors.iter().flat_map(|author| words(&author.name));
        let other = book.genres.iter().chain(&book.description).flat_map(|text| words(text));
        Self {
            title: sort_key(&book.title),
            published_year: year_key(book.published_year),
            price: book.price.as_ref().map_or(NONE, |price| price_key(price.amount)),
            rating: book.rating.map_or(NONE, rating_key),
            language: book.language.as_deref().map(language_key).unwrap_or_default(),
            genres,
            title_words: distinct(words(&book.title)),
            name_words: distinct(names),
            other_words: distinct(other),
            content_hash: book.content_hash(),
        }
    }

    /// The key of an order; [`BookOrder::Relevance`] has none of its own.
    #[must_use]
    pub fn key(book: &Book, order: BookOrder) -> Key {
        match order {
            BookOrder::CreatedAt | BookOrder::Relevance => Key::None,
            BookOrder::UpdatedAt => Key::Number(book.updated_at.timestamp_micros()),
            BookOrder::Title => Key::Text(sort_key(&book.title)),
            BookOrder::PublishedYear => Key::Number(year_key(book.published_year)),
            BookOrder::Price => {
                Key::Number(book.price.as_ref().map_or(NONE, |price| price_key(price.amount)))
            }
            BookOrder::Rating => Key::Number(book.rating.map_or(NONE, rating_key)),
            BookOrder::Language => Key::Text(book.language.as_deref().map(language_key).unwrap_or_default()),
        }
    }
}

/// What is derived from an author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorKeys {
    /// Name to sort by.
    pub name: String,
    /// Year of birth to sort by.
    pub born_year: i64,
    /// Year of death to sort by.
    pub died_year: i64,
    /// Words of the name.
    pub words: Vec<String>,
}

impl AuthorKeys {
    /// Derives them.
    #[must_use]
    pub fn of(author: &Author) -> Self {
        Self {
            name: sort_key(&author.name),
            born_year: year_key(author.born_year),
            died_year: year_key(author.died_year),
            words: distinct(words(&author.name)),
        }
    }

    /// The key of an order.
    #[must_use]
    pub fn key(author: &Author, order: AuthorOrder) -> Key {
        match order {
            AuthorOrder::CreatedAt => Key::None,
            AuthorOrder::UpdatedAt => Key::Number(author.updated_at.timestamp_micros()),
            AuthorOrder::Name => Key::Text(sort_key(&author.name)),
            AuthorOrder::BornYear => Key::Number(year_key(author.born_year)),
            AuthorOrder::DiedYear => Key::Number(year_key(author.died_year)),
        }
    }
}

/// The key of a year.
#[must_use]
pub fn year_key(year: Option<i32>) -> i64 {
    year.map_or(NO_YEAR, i64::from)
}

/// The key of a price: hundredths, as prices have at most two decimals.
#[must_use]
pub fn price_key(amount: rust_decimal::Decimal) -> i64 {
    amount
        .checked_mul(rust_decimal::Decimal::ONE_HUNDRED)
        .and_then(|cents| cents.trunc().to_i64())
        .unwrap_or(i64::MAX)
}

/// The key of a rating: the bits of a float that is not negative grow with it.
#[must_use]
pub fn rating_key(rating: f64) -> i64 {
    (rating + 0.0).to_bits().cast_signed()
}

/// A language tag without case.
#[must_use]
pub fn language_key(language: &str) -> String {
    language.to_lowercase()
}

/// A genre without case.
#[must_use]
pub fn genre_key(genre: &str) -> String {
    genre.to_lowercase()
}

/// The time in a UUIDv7, which is when its bearer was created; an id of another kind has none.
#[must_use]
pub fn created_at(id: Uuid) -> Option<DateTime<Utc>> {
    let (seconds, nanoseconds) = id.get_timestamp()?.to_unix();
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanoseconds)
}

fn distinct(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut words: Vec<String> = words.collect();
    words.sort_unstable();
    words.dedup();
    words
}

#[cfg(test)]
mod tests {
    use super::{created_at, price_key, rating_key, year_key};

    #[test]
    fn keys_grow_with_what_they_stand_for() {
        assert!(year_key(None) < year_key(Some(-4000)) && year_key(Some(-1)) < year_key(Some(0)));
        assert_eq!(price_key("12.9".parse().unwrap()), 1290);
        assert!(rating_key(-0.0) == rating_key(0.0) && rating_key(4.2) < rating_key(4.200_001));
    }

    #[test]
    fn an_id_tells_its_time() {
        let before = chrono::Utc::now().timestamp_millis();
        let time = created_at(uuid::Uuid::now_v7()).unwrap().timestamp_millis();
        assert!((before..=before + 1_000).contains(&time));
    }
}
