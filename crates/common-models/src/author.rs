//! Authors as clients see and write them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// An author.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Author {
    /// UUIDv7.
    pub id: Uuid,
    /// Full name in customary order.
    #[schema(example = "Herman Melville")]
    pub name: String,
    /// A few sentences on the author's life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub biography: Option<String>,
    /// Year of birth; negative before the common era.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1819)]
    pub born_year: Option<i32>,
    /// Year of death; negative before the common era.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1891)]
    pub died_year: Option<i32>,
    /// Starts at 1 and grows by one with every change.
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
pub struct WriteAuthor {
    /// 1 to 200 characters.
    #[schema(example = "Herman Melville", min_length = 1, max_length = 200)]
    pub name: String,
    /// Up to 5,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 5000)]
    pub biography: Option<String>,
    /// -4000 to 2200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub born_year: Option<i32>,
    /// -4000 to 2200, not before `bornYear`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub died_year: Option<i32>,
}
