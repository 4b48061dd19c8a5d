//! Authors as clients see and write them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// An author.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "id": "019a9e5e-7d11-7e52-b1a5-02f4ae9f5c01", "name": "Herman Melville", "biography": "Went to sea at twenty.",
    "bornYear": 1819, "diedYear": 1891, "version": 1,
    "createdAt": "2026-01-05T09:30:00Z", "updatedAt": "2026-01-05T09:30:00Z"
}))]
pub struct Author {
    /// UUIDv7.
    pub id: Uuid,
    /// Full name in customary order.
    #[schema(example = "Herman Melville")]
    pub name: String,
    /// A few sentences on the author's life.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Went to sea at twenty.")]
    pub biography: Option<String>,
    /// Year of birth; negative before the common era.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1819)]
    pub born_year: Option<i32>,
    /// Year of death; negative before the common era.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1891)]
    pub died_year: Option<i32>,
    /// Starts at 1 and grows by one with every change. The `ETag` is this number in quotes.
    #[schema(example = 1)]
    pub version: u64,
    /// When the author was created.
    pub created_at: DateTime<Utc>,
    /// When the author last changed.
    pub updated_at: DateTime<Utc>,
}

/// An author as a book names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthorRef {
    /// UUIDv7.
    pub id: Uuid,
    /// Full name in customary order.
    #[schema(example = "Herman Melville")]
    pub name: String,
}

/// What a client sends to create or replace an author.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({
    "name": "Herman Melville", "biography": "Went to sea at twenty.", "bornYear": 1819, "diedYear": 1891
}))]
pub struct WriteAuthor {
    /// 1 to 200 characters, not only spaces, no control characters but tab and line breaks.
    #[schema(
        example = "Herman Melville",
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*[^\s\u0000-\u001F\u007F-\u009F][^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*$"
    )]
    pub name: String,
    /// Up to 5,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(
        example = "Went to sea at twenty.",
        max_length = 5000,
        pattern = r"^[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*$"
    )]
    pub biography: Option<String>,
    /// -4000 to 2200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 1819, minimum = -4000, maximum = 2200)]
    pub born_year: Option<i32>,
    /// -4000 to 2200, not before `bornYear`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 1891, minimum = -4000, maximum = 2200)]
    pub died_year: Option<i32>,
}

/// A merge patch (RFC 7396) of an author: what is named is changed, `null` takes it away, what is
/// left out stays. The result has to keep the rules of `WriteAuthor`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "biography": "Wrote of whales.", "diedYear": null }))]
pub struct PatchAuthor {
    /// As in `WriteAuthor`; an author has to keep a name.
    #[serde(default, deserialize_with = "crate::book::never_null")]
    #[schema(value_type = String, required = false, min_length = 1, max_length = 200,
        pattern = r"^[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*[^\s\u0000-\u001F\u007F-\u009F][^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*$")]
    pub name: Option<String>,
    /// As in `WriteAuthor`.
    #[schema(max_length = 5000, pattern = r"^[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*$")]
    pub biography: Option<String>,
    /// As in `WriteAuthor`.
    #[schema(minimum = -4000, maximum = 2200)]
    pub born_year: Option<i32>,
    /// As in `WriteAuthor`.
    #[schema(minimum = -4000, maximum = 2200)]
    pub died_year: Option<i32>,
}
