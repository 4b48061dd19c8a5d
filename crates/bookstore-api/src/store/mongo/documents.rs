//! What is stored: the shapes of MongoDB's documents, private to this adapter, and their conversion.
//!
//! Ids are UUIDs in BSON (subtype 4), which sort by creation; money is Decimal128; times are BSON
//! dates, whole milliseconds. An absent field is left out. Long because every shape stands here beside
//! its conversions: whoever changes one has to see the other.

use chrono::Utc;
use mongodb::bson::{self, DateTime, Decimal128, Document, doc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::book::{Author, AuthorRef, Book, BookDraft, Price};
use crate::import::name_key;
use crate::isbn::Isbn;
use crate::prompt;
use crate::store::derived::{AuthorKeys, BookKeys};
use crate::store::{BookSource, StoreError, StoredSummary};

/// An id as BSON has it.
pub(super) const fn id(id: Uuid) -> bson::Uuid {
    bson::Uuid::from_bytes(id.into_bytes())
}

/// An id as the domain has it.
pub(super) const fn uuid(id: bson::Uuid) -> Uuid {
    Uuid::from_bytes(id.bytes())
}

/// Several ids.
pub(super) fn ids<'a>(ids: impl IntoIterator<Item = &'a Uuid>) -> Vec<bson::Uuid> {
    ids.into_iter().map(|one| id(*one)).collect()
}

/// A time as BSON has it.
pub(super) fn date(time: chrono::DateTime<Utc>) -> DateTime {
    DateTime::from_millis(time.timestamp_millis())
}

/// A time as the domain has it.
pub(super) fn time(date: DateTime) -> Result<chrono::DateTime<Utc>, StoreError> {
    chrono::DateTime::from_timestamp_millis(date.timestamp_millis())
        .ok_or_else(|| StoreError::Corrupt(format!("time {}", date.timestamp_millis())))
}

/// Now, with the precision that is stored.
pub(super) fn now() -> chrono::DateTime<Utc> {
    whole(Utc::now())
}

/// A time with the precision that is stored.
pub(super) fn whole(time: chrono::DateTime<Utc>) -> chrono::DateTime<Utc> {
    chrono::DateTime::from_timestamp_millis(time.timestamp_millis()).unwrap_or_default()
}

fn number(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

/// An author in a book.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct AuthorRefDocument {
    pub(super) id: bson::Uuid,
    pub(super) name: String,
}

/// A price.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PriceDocument {
    amount: Decimal128,
    currency: String,
}

/// Where a book was imported from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SourceDocument {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) row_hash: String,
}

/// The latest summary that fits a book, in the book: reading a book is one round trip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LatestSummary {
    pub(super) content_hash: String,
    pub(super) prompt_version: String,
    pub(super) provider: String,
    pub(super) requested_model: String,
    pub(super) text: String,
    pub(super) generated_at: DateTime,
    pub(super) fence: i64,
}

/// A book without what is derived from it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BookDocument {
    #[serde(rename = "_id")]
    pub(super) id: bson::Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) isbn: Option<String>,
    title: String,
    pub(super) authors: Vec<AuthorRefDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    published_year: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    language: Option<String>,
    genres: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    price: Option<PriceDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rating: Option<f64>,
    pub(super) version: i64,
    created_at: DateTime,
    updated_at: DateTime,
    pub(super) content_hash: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<SourceDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) latest_summary: Option<LatestSummary>,
}

/// The fields of a book that may be absent; `source` and `latestSummary` have ways of their own.
const OPTIONAL: [&str; 6] = ["isbn", "publishedYear", "language", "description", "price", "rating"];

/// Sort keys of a book: absent values lie below all others, so that a page that goes on after one
/// needs no case for them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SortDocument {
    title: String,
    published_year: i64,
    price: i64,
    rating: i64,
    language: String,
}

/// What is derived from a book.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BookDerived {
    sort: SortDocument,
    genre_keys: Vec<String>,
    title_words: Vec<String>,
    name_words: Vec<String>,
    /// All words that the book is found by. `$text` has no beginnings of words; an index on these has.
    words: Vec<String>,
    content_hash: String,
}

impl BookDerived {
    pub(super) fn of(book: &Book) -> Self {
        let keys = BookKeys::of(book);
        let mut words = [&keys.title_words[..], &keys.name_words, &keys.other_words].concat();
        words.sort_unstable();
        words.dedup();
        Self {
            sort: SortDocument {
                title: keys.title,
                published_year: keys.published_year,
                price: keys.price,
                rating: keys.rating,
                language: keys.language,
            },
            genre_keys: keys.genres,
            title_words: keys.title_words,
            name_words: keys.name_words,
            words,
            content_hash: keys.content_hash,
        }
    }
}

/// Words of a book that its relevance depends on.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ScoredDocument {
    #[serde(rename = "_id")]
    pub(super) id: bson::Uuid,
    #[serde(default)]
    pub(super) title_words: Vec<String>,
    #[serde(default)]
    pub(super) name_words: Vec<String>,
}

/// Only an id.
#[derive(Debug, Deserialize)]
pub(super) struct IdDocument {
    #[serde(rename = "_id")]
    pub(super) id: bson::Uuid,
}

/// The projection of a [`BookDocument`]: what is derived stays on the server.
pub(super) fn book_fields() -> Document {
    doc! { "words": 0, "titleWords": 0, "nameWords": 0, "genreKeys": 0, "sort": 0, "importKey": 0 }
}

/// The key of an imported row, unique among books.
pub(super) fn import_key(source: &str, id: &str) -> String {
    format!("{source}:{id}")
}

impl BookDocument {
    /// The book.
    pub(super) fn book(self) -> Result<Book, StoreError> {
        let corrupt = |what: &str| StoreError::Corrupt(format!("{what} of book {}", self.id));
        let price = match self.price {
            Some(ref price) => Some(Price {
                amount: decimal(&price.amount).ok_or_else(|| corrupt("price"))?,
                currency: price.currency.clone(),
            }),
            None => None,
        };
        let isbn = match &self.isbn {
            Some(isbn) => Some(Isbn::parse(isbn).map_err(|_| corrupt("ISBN"))?),
            None => None,
        };
        let hash = self.content_hash;
        let summary = self
            .latest_summary
            .filter(|summary| summary.content_hash == hash && prompt::is_known(&summary.prompt_version));
        Ok(Book {
            id: uuid(self.id),
            isbn,
            title: self.title,
            authors: self
                .authors
                .into_iter()
                .map(|author| AuthorRef { id: uuid(author.id), name: author.name })
                .collect(),
            published_year: self.published_year,
            language: self.language,
            genres: self.genres,
            description: self.description,
            price,
            rating: self.rating,
            summary: summary.map(|summary| summary.text),
            version: self.version.unsigned_abs(),
            created_at: time(self.created_at)?,
            updated_at: time(self.updated_at)?,
        })
    }
}

/// A book's own fields and what is derived from them, as they are written; no source, no summary.
fn book_document(book: &Book) -> Result<Document, StoreError> {
    let derived = BookDerived::of(book);
    let own = BookDocument {
        id: id(book.id),
        isbn: book.isbn.as_ref().map(|isbn| isbn.as_str().to_owned()),
        title: book.title.clone(),
        authors: book
            .authors
            .iter()
            .map(|author| AuthorRefDocument { id: id(author.id), name: author.name.clone() })
            .collect(),
        published_year: book.published_year,
        language: book.language.clone(),
        genres: book.genres.clone(),
        description: book.description.clone(),
        price: book
            .price
            .as_ref()
            .map(|price| {
                let amount =
                    price.amount.to_string().parse::<Decimal128>().map_err(mongodb::error::Error::from)?;
                Ok::<_, StoreError>(PriceDocument { amount, currency: price.currency.clone() })
            })
            .transpose()?,
        rating: book.rating,
        version: number(book.version),
        created_at: date(book.created_at),
        updated_at: date(book.updated_at),
        content_hash: derived.content_hash.clone(),
        source: None,
        latest_summary: None,
    };
    let mut document = document(&own)?;
    document.extend(self::document(&derived)?);
    Ok(document)
}

/// A new book as it is inserted.
pub(super) fn new_book(book: &Book, source: Option<&BookSource>) -> Result<Document, StoreError> {
    let mut document = book_document(book)?;
    if let Some(source) = source {
        document.extend(source_fields(source));
    }
    Ok(document)
}

/// The change that makes a stored book this one. A source that is not given stays; the summary is left
/// to the caller.
pub(super) fn book_change(book: &Book, source: Option<&BookSource>) -> Result<Document, StoreError> {
    let mut set = book_document(book)?;
    set.remove("_id");
    let unset: Document = OPTIONAL
        .into_iter()
        .filter(|field| !set.contains_key(field))
        .map(|field| (field.to_owned(), "".into()))
        .collect();
    if let Some(source) = source {
        set.extend(source_fields(source));
    }
    let mut change = doc! { "$set": set };
    if !unset.is_empty() {
        change.insert("$unset", unset);
    }
    Ok(change)
}

fn source_fields(source: &BookSource) -> Document {
    doc! {
        "source": { "name": &source.name, "id": &source.id, "rowHash": &source.row_hash },
        "importKey": import_key(&source.name, &source.id),
    }
}

/// A book as a draft says, for whoever reads these names.
pub(super) fn drafted(book: Book, draft: BookDraft, authors: Vec<AuthorRef>) -> Book {
    Book {
        isbn: draft.isbn,
        title: draft.title,
        authors,
        published_year: draft.published_year,
        language: draft.language,
        genres: draft.genres,
        description: draft.description,
        price: draft.price,
        rating: draft.rating,
        ..book
    }
}

/// A book that has nothing but an id and a time.
pub(super) const fn blank(id: Uuid, now: chrono::DateTime<Utc>) -> Book {
    Book {
        id,
        isbn: None,
        title: String::new(),
        authors: Vec::new(),
        published_year: None,
        language: None,
        genres: Vec::new(),
        description: None,
        price: None,
        rating: None,
        summary: None,
        version: 1,
        created_at: now,
        updated_at: now,
    }
}

/// An exact amount; whoever else writes it may have used an exponent.
fn decimal(amount: &Decimal128) -> Option<Decimal> {
    let text = amount.to_string();
    text.parse().ok().or_else(|| Decimal::from_scientific(&text).ok())
}

/// An author.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuthorDocument {
    #[serde(rename = "_id")]
    pub(super) id: bson::Uuid,
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    biography: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    born_year: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    died_year: Option<i32>,
    pub(super) version: i64,
    created_at: DateTime,
    updated_at: DateTime,
    #[serde(flatten)]
    pub(super) derived: AuthorDerived,
    /// When the author got a new name, which may not have reached all books yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pending: Option<DateTime>,
    /// Someone is about to delete the author if no book names them; a book that does takes this away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) intent: Option<bson::Uuid>,
    /// The name by which imports found or made this author: one author a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) import_name_key: Option<String>,
}

/// Sort keys of an author, as of a book.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthorSortDocument {
    name: String,
    born_year: i64,
    died_year: i64,
}

/// What is derived from an author.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuthorDerived {
    sort: AuthorSortDocument,
    pub(super) name_key: String,
    words: Vec<String>,
}

impl AuthorDerived {
    pub(super) fn of(author: &Author) -> Self {
        let keys = AuthorKeys::of(author);
        Self {
            sort: AuthorSortDocument {
                name: keys.name,
                born_year: keys.born_year,
                died_year: keys.died_year,
            },
            name_key: name_key(&author.name),
            words: keys.words,
        }
    }
}

impl AuthorDocument {
    pub(super) fn of(author: &Author) -> Self {
        Self {
            id: id(author.id),
            name: author.name.clone(),
            biography: author.biography.clone(),
            born_year: author.born_year,
            died_year: author.died_year,
            version: number(author.version),
            created_at: date(author.created_at),
            updated_at: date(author.updated_at),
            derived: AuthorDerived::of(author),
            pending: None,
            intent: None,
            import_name_key: None,
        }
    }

    /// The author.
    pub(super) fn author(self) -> Result<Author, StoreError> {
        Ok(Author {
            id: uuid(self.id),
            name: self.name,
            biography: self.biography,
            born_year: self.born_year,
            died_year: self.died_year,
            version: self.version.unsigned_abs(),
            created_at: time(self.created_at)?,
            updated_at: time(self.updated_at)?,
        })
    }
}

/// The change that makes a stored author this one; marks are left to the caller.
pub(super) fn author_change(author: &Author) -> Result<(Document, Document), StoreError> {
    let mut set = document(&AuthorDocument::of(author))?;
    set.remove("_id");
    let unset = ["biography", "bornYear", "diedYear"]
        .into_iter()
        .filter(|field| !set.contains_key(field))
        .map(|field| (field.to_owned(), "".into()))
        .collect();
    Ok((set, unset))
}

/// Whose tombstone it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Buried {
    Author,
    Book,
}

/// Something that is deleted, or about to be: of a book until its summaries are gone, of an author until no
/// write can be under way any more that still names them. A collection of its own, so that lists and counts
/// need no filter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TombstoneDocument {
    #[serde(rename = "_id")]
    pub(super) id: bson::Uuid,
    pub(super) of: Buried,
    /// Which deletion made it.
    pub(super) token: bson::Uuid,
    /// Whether books go with the author.
    #[serde(rename = "deleteBooks")]
    pub(super) delete_books: bool,
    pub(super) at: DateTime,
}

/// The key of a summary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SummaryKey {
    pub(super) book: bson::Uuid,
    pub(super) content_hash: String,
    pub(super) provider: String,
    pub(super) requested_model: String,
    pub(super) prompt_version: String,
}

/// A summary.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SummaryDocument {
    #[serde(rename = "_id")]
    pub(super) key: SummaryKey,
    model: String,
    pub(super) text: String,
    simulated: bool,
    input_tokens: i64,
    output_tokens: i64,
    cached_input_tokens: i64,
    #[serde(default)]
    cache_write_input_tokens: i64,
    #[serde(default)]
    reasoning_output_tokens: i64,
    reported: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cost_usd: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    list_cost_usd: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    latency_ms: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_chunk_ms: Option<f64>,
    pub(super) generated_at: DateTime,
    /// What a date has no room for: nanoseconds of the last millisecond.
    #[serde(default)]
    generated_at_nanos: i32,
    pub(super) fence: i64,
    /// The book may not show it yet, or may be gone, since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pending: Option<DateTime>,
}

impl SummaryDocument {
    pub(super) fn of(summary: &StoredSummary) -> Self {
        let count = |tokens: u64| number(tokens);
        let nanos = summary.generated_at - whole(summary.generated_at);
        Self {
            key: SummaryKey {
                book: id(summary.book_id),
                content_hash: summary.content_hash.clone(),
                provider: summary.provider.clone(),
                requested_model: summary.requested_model.clone(),
                prompt_version: summary.prompt_version.clone(),
            },
            model: summary.model.clone(),
            text: summary.text.clone(),
            simulated: summary.simulated,
            input_tokens: count(summary.input_tokens),
            output_tokens: count(summary.output_tokens),
            cached_input_tokens: count(summary.cached_input_tokens),
            cache_write_input_tokens: count(summary.cache_write_input_tokens),
            reasoning_output_tokens: count(summary.reasoning_output_tokens),
            reported: summary.reported,
            cost_usd: summary.cost_usd,
            list_cost_usd: summary.list_cost_usd,
            request_id: summary.request_id.clone(),
            latency_ms: summary.latency_ms,
            first_chunk_ms: summary.first_chunk_ms,
            generated_at: date(summary.generated_at),
            generated_at_nanos: nanos.subsec_nanos(),
            fence: number(summary.fence),
            pending: Some(date(now())),
        }
    }

    /// The summary.
    pub(super) fn summary(self) -> Result<StoredSummary, StoreError> {
        let nanos = chrono::TimeDelta::nanoseconds(i64::from(self.generated_at_nanos));
        Ok(StoredSummary {
            book_id: uuid(self.key.book),
            content_hash: self.key.content_hash,
            provider: self.key.provider,
            requested_model: self.key.requested_model,
            model: self.model,
            prompt_version: self.key.prompt_version,
            text: self.text,
            simulated: self.simulated,
            input_tokens: self.input_tokens.unsigned_abs(),
            output_tokens: self.output_tokens.unsigned_abs(),
            cached_input_tokens: self.cached_input_tokens.unsigned_abs(),
            cache_write_input_tokens: self.cache_write_input_tokens.unsigned_abs(),
            reasoning_output_tokens: self.reasoning_output_tokens.unsigned_abs(),
            reported: self.reported,
            cost_usd: self.cost_usd,
            list_cost_usd: self.list_cost_usd,
            request_id: self.request_id,
            latency_ms: self.latency_ms,
            first_chunk_ms: self.first_chunk_ms,
            generated_at: time(self.generated_at)? + nanos,
            fence: self.fence.unsigned_abs(),
        })
    }

    /// As its book shows it.
    pub(super) fn latest(&self) -> LatestSummary {
        LatestSummary {
            content_hash: self.key.content_hash.clone(),
            prompt_version: self.key.prompt_version.clone(),
            provider: self.key.provider.clone(),
            requested_model: self.key.requested_model.clone(),
            text: self.text.clone(),
            generated_at: self.generated_at,
            fence: self.fence,
        }
    }
}

/// A claim of an idempotency key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClaimDocument {
    #[serde(rename = "_id")]
    pub(super) key: String,
    pub(super) request_hash: String,
    pub(super) resource: bson::Uuid,
    pub(super) expires_at: DateTime,
    /// [`crate::store::ClaimOutcome`] as JSON: read back as it was, never searched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<String>,
    /// Which deletion of the resource this claim has met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deleted: Option<bson::Uuid>,
}

/// A value as a document.
pub(super) fn document(value: &impl Serialize) -> Result<Document, StoreError> {
    bson::serialize_to_document(value).map_err(|error| StoreError::Corrupt(error.to_string()))
}
