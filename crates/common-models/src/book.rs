//! Books as clients see and write them.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::AuthorRef;

/// A price: an exact decimal amount in a currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Price {
    /// Decimal string with at most two fraction digits, zero or more.
    #[serde(with = "rust_decimal::serde::str")]
    #[schema(value_type = String, example = "12.99")]
    pub amount: Decimal,
    /// ISO 4217 code in capitals.
    #[schema(example = "USD", min_length = 3, max_length = 3)]
    pub currency: String,
}

/// A book.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
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
    /// Genres, lower case.
    pub genres: Vec<String>,
    /// What the book is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Price, where the shop has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// Mean reader rating, 0 to 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 4.2)]
    pub rating: Option<f64>,
    /// The latest summary that fits the book as it is now. A projection: outside `version`, and
    /// no write to the book can touch it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Starts at 1 and grows by one with every change.
    pub version: u64,
    /// When the book was created.
    pub created_at: DateTime<Utc>,
    /// When the book last changed.
    pub updated_at: DateTime<Utc>,
}

/// What a client sends to create or replace a book.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WriteBook {
    /// ISBN-10 or ISBN-13 with a right check digit; hyphens and spaces are dropped, an ISBN-10 is
    /// kept as its ISBN-13.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "978-0-14-243724-7")]
    pub isbn: Option<String>,
    /// 1 to 500 characters.
    #[schema(example = "Moby-Dick; or, The Whale", min_length = 1, max_length = 500)]
    pub title: String,
    /// Ids of existing authors, at most 50.
    #[serde(default)]
    #[schema(max_items = 50)]
    pub author_ids: Vec<Uuid>,
    /// -4000 to 2200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 1851)]
    pub published_year: Option<i32>,
    /// A BCP 47 tag of at most 35 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "en")]
    pub language: Option<String>,
    /// At most 20, each of 1 to 50 characters.
    #[serde(default)]
    #[schema(max_items = 20)]
    pub genres: Vec<String>,
    /// Up to 10,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 10000)]
    pub description: Option<String>,
    /// Price, where the shop has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// 0 to 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 5)]
    pub rating: Option<f64>,
}
