//! Books as clients see and write them.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Array, ArrayBuilder, KnownFormat, ObjectBuilder, SchemaFormat, Type};
use uuid::Uuid;

use crate::AuthorRef;

/// A price: an exact decimal amount in a currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Price {
    /// Decimal string with at most two fraction digits, 0 to 1,000,000.
    #[serde(serialize_with = "rust_decimal::serde::str::serialize", deserialize_with = "amount")]
    #[schema(value_type = String, example = "12.99",
        pattern = r"^((0|[1-9][0-9]{0,5})(\.[0-9]{1,2})?|1000000(\.0{1,2})?)$")]
    pub amount: Decimal,
    /// ISO 4217 code in capitals.
    #[schema(example = "USD", pattern = "^[A-Z]{3}$")]
    pub currency: String,
}

/// A book.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "id": "019a9e5e-7d5a-7cc3-98d0-5d3b1c3f0a11", "isbn": "9780142437247", "title": "Moby-Dick; or, The Whale",
    "authors": [{ "id": "019a9e5e-7d11-7e52-b1a5-02f4ae9f5c01", "name": "Herman Melville" }],
    "publishedYear": 1851, "language": "en", "genres": ["novel", "adventure"],
    "description": "A captain hunts a white whale.", "price": { "amount": "12.99", "currency": "USD" },
    "rating": 4.2, "version": 1, "createdAt": "2026-01-05T09:30:00Z", "updatedAt": "2026-01-05T09:30:00Z"
}))]
pub struct Book {
    /// UUIDv7.
    pub id: Uuid,
    /// ISBN-13, digits only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "9780142437247")]
    pub isbn: Option<String>,
    /// Title.
    #[schema(example = "Moby-Dick; or, The Whale")]
    pub title: String,
    /// Authors in the order of the title page.
    pub authors: Vec<AuthorRef>,
    /// Year of first publication; negative before the common era.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1851)]
    pub published_year: Option<i32>,
    /// Language of the edition, a BCP 47 tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "en")]
    pub language: Option<String>,
    /// Genres.
    #[schema(example = json!(["novel", "adventure"]))]
    pub genres: Vec<String>,
    /// What the book is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "A captain hunts a white whale.")]
    pub description: Option<String>,
    /// Price, where the shop has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// Mean reader rating, 0 to 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 4.2)]
    pub rating: Option<f64>,
    /// The latest summary that fits the book as it is now. A projection: outside `version` and
    /// `ETag`, and no write to the book can touch it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "A captain's hunt for the whale that maimed him ends his ship.")]
    pub summary: Option<String>,
    /// Starts at 1 and grows by one with every change, also when an author is renamed. The `ETag` is
    /// this number in quotes.
    #[schema(example = 1)]
    pub version: u64,
    /// When the book was created.
    pub created_at: DateTime<Utc>,
    /// When the book last changed.
    pub updated_at: DateTime<Utc>,
}

/// What a client sends to create or replace a book.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({
    "isbn": "978-0-14-243724-7", "title": "Moby-Dick; or, The Whale", "publishedYear": 1851, "language": "en",
    "genres": ["novel", "adventure"], "description": "A captain hunts a white whale.",
    "price": { "amount": "12.99", "currency": "USD" }, "rating": 4.2
}))]
pub struct WriteBook {
    /// ISBN-10 or ISBN-13 with a right check digit; hyphens and spaces are dropped, an ISBN-10 is
    /// kept as its ISBN-13. An ISBN belongs to one book.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(
        example = "978-0-14-243724-7",
        pattern = r"^([- ‐–]*[0-9]){9}[- ‐–]*[0-9Xx][- ‐–]*$|^[- ‐–]*9[- ‐–]*7([- ‐–]*[0-9]){11}[- ‐–]*$"
    )]
    pub isbn: Option<String>,
    /// 1 to 500 characters, not only spaces, no control characters but tab and line breaks.
    #[schema(
        example = "Moby-Dick; or, The Whale",
        min_length = 1,
        max_length = 500,
        pattern = r"^[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*[^\s\u0000-\u001F\u007F-\u009F][^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*$"
    )]
    pub title: String,
    /// Ids of existing authors in the order of the title page, at most 50, each once.
    #[serde(default)]
    #[schema(schema_with = author_ids)]
    pub author_ids: Vec<Uuid>,
    /// -4000 to 2200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 1851, minimum = -4000, maximum = 2200)]
    pub published_year: Option<i32>,
    /// A BCP 47 tag of at most 35 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "en", max_length = 35, pattern = "^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]
    pub language: Option<String>,
    /// At most 20, each of 1 to 50 characters.
    #[serde(default)]
    #[schema(schema_with = genres)]
    pub genres: Vec<String>,
    /// Up to 10,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(
        example = "A captain hunts a white whale.",
        max_length = 10000,
        pattern = r"^[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*$"
    )]
    pub description: Option<String>,
    /// Price, where the shop has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// 0 to 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 4.2, minimum = 0, maximum = 5)]
    pub rating: Option<f64>,
}

/// A merge patch (RFC 7396) of a book: what is named is changed, `null` takes it away, what is left
/// out stays. Lists are replaced whole. The result has to keep the rules of `WriteBook`.
#[derive(Clone, Debug, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "price": { "amount": "9.99" }, "rating": null }))]
pub struct PatchBook {
    /// As in `WriteBook`.
    #[schema(
        pattern = r"^([- ‐–]*[0-9]){9}[- ‐–]*[0-9Xx][- ‐–]*$|^[- ‐–]*9[- ‐–]*7([- ‐–]*[0-9]){11}[- ‐–]*$"
    )]
    pub isbn: Option<String>,
    /// As in `WriteBook`; a book has to keep a title.
    #[serde(default, deserialize_with = "never_null")]
    #[schema(value_type = String, required = false, min_length = 1, max_length = 500,
        pattern = r"^[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*[^\s\u0000-\u001F\u007F-\u009F][^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*$")]
    pub title: Option<String>,
    /// As in `WriteBook`; replaces all authors.
    #[schema(schema_with = no_or_author_ids)]
    pub author_ids: Option<Vec<Uuid>>,
    /// As in `WriteBook`.
    #[schema(minimum = -4000, maximum = 2200)]
    pub published_year: Option<i32>,
    /// As in `WriteBook`.
    #[schema(max_length = 35, pattern = "^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]
    pub language: Option<String>,
    /// As in `WriteBook`; replaces all genres.
    #[schema(schema_with = no_or_genres)]
    pub genres: Option<Vec<String>>,
    /// As in `WriteBook`.
    #[schema(max_length = 10000, pattern = r"^[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*$")]
    pub description: Option<String>,
    /// As in `WriteBook`; merged member by member.
    pub price: Option<PatchPrice>,
    /// As in `WriteBook`.
    #[schema(minimum = 0, maximum = 5)]
    pub rating: Option<f64>,
}

/// A merge patch of a price. A book that has none needs both members.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PatchPrice {
    /// As in `Price`.
    #[serde(default, deserialize_with = "some_amount")]
    #[schema(value_type = String, required = false, example = "9.99",
        pattern = r"^((0|[1-9][0-9]{0,5})(\.[0-9]{1,2})?|1000000(\.0{1,2})?)$")]
    pub amount: Option<Decimal>,
    /// As in `Price`.
    #[serde(default, deserialize_with = "never_null")]
    #[schema(value_type = String, required = false, example = "USD", pattern = "^[A-Z]{3}$")]
    pub currency: Option<String>,
}

/// Reads an amount: digits with at most one point, no leading zeros, no exponent, no separators.
fn amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_amount(&text).ok_or_else(|| {
        serde::de::Error::custom(format_args!(
            "{:?} is not a decimal number such as 12.99",
            text.chars().take(40).collect::<String>()
        ))
    })
}

fn some_amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
    amount(deserializer).map(Some)
}

/// Reads a member that may be left out but not taken away.
pub(crate) fn never_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

/// An amount as clients may write it; `None` when it has another form.
#[must_use]
pub fn parse_amount(text: &str) -> Option<Decimal> {
    let (whole, fraction) = match text.strip_prefix('-').unwrap_or(text).split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text.strip_prefix('-').unwrap_or(text), None),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let sound = digits(whole) && fraction.is_none_or(digits) && (whole == "0" || !whole.starts_with('0'));
    if sound { Decimal::from_str_exact(text).ok() } else { None }
}

fn author_ids() -> Array {
    author_ids_of(Type::Array.into())
}

fn no_or_author_ids() -> Array {
    author_ids_of([Type::Array, Type::Null].into_iter().collect())
}

fn author_ids_of(schema_type: utoipa::openapi::schema::SchemaType) -> Array {
    let id = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)));
    ArrayBuilder::new().schema_type(schema_type).items(id).max_items(Some(50)).unique_items(true).build()
}

fn genres() -> Array {
    genres_of(Type::Array.into())
}

fn no_or_genres() -> Array {
    genres_of([Type::Array, Type::Null].into_iter().collect())
}

fn genres_of(schema_type: utoipa::openapi::schema::SchemaType) -> Array {
    let genre = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(50))
        .pattern(Some(
            r"^[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*[^\s\u0000-\u001F\u007F-\u009F][^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*$",
        ));
    ArrayBuilder::new().schema_type(schema_type).items(genre).max_items(Some(20)).build()
}

#[cfg(test)]
mod tests {
    use super::{PatchBook, WriteBook, parse_amount};

    #[test]
    fn amounts_have_one_spelling_a_value_and_a_scale() {
        for sound in ["0", "0.50", "12.99", "1000000", "-0.01", "12.999"] {
            assert_eq!(parse_amount(sound).map(|amount| amount.to_string()).as_deref(), Some(sound));
        }
        let long = "9".repeat(60);
        for other in ["", "-", ".5", "5.", "007", "1e3", "1_000", "+5", " 5", "NaN", "1,50", "0x1", &long] {
            assert_eq!(parse_amount(other), None, "{other:?}");
        }
    }

    #[test]
    fn an_empty_patch_changes_nothing_and_a_title_cannot_be_taken_away() {
        assert!(serde_json::from_str::<PatchBook>("{}").is_ok());
        assert!(serde_json::from_str::<PatchBook>(r#"{"isbn":null,"price":null,"genres":null}"#).is_ok());
        for refused in [
            r#"{"title":null}"#,
            r#"{"price":{"amount":null}}"#,
            r#"{"price":{"amount":12}}"#,
            r#"{"isbn":"a","isbn":"b"}"#,
            r#"{"summary":"mine"}"#,
            r#"{"version":7}"#,
        ] {
            assert!(serde_json::from_str::<PatchBook>(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn an_amount_is_a_string_on_the_wire() {
        let text = r#"{"title":"x","authorIds":[],"genres":[],"price":{"amount":"12.90","currency":"USD"}}"#;
        let book: WriteBook = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&book).unwrap(), text);
    }
}
