//! `/api/v1/books`.

use axum::extract::State;
use axum::response::Response;
use common_models::{Book, Page, PatchBook, WriteBook};
use http::{StatusCode, Uri};
use http_server::extract::{Json, Path, Query};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::conditions::{IfMatch, IfNoneMatch, tagged};
use super::errors::ApiError;
use super::idempotency::{self, IdempotencyKey, Made};
use super::lists::{self, Parameters};
use super::merge_patch::MergePatch;
use super::{Api, convert};
use crate::store::{BookFilter, BookQuery};

const PATH: &str = "/api/v1/books";

/// Which books to list. All that is given must fit; ranges include their ends.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListBooks {
    /// Books that contain all of these words in title, authors' names, genres or description, the last
    /// as a beginning.
    #[param(max_length = 200, pattern = r"^[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*$")]
    q: Option<String>,
    /// Books of this author.
    author: Option<Uuid>,
    /// Books of this genre, whatever its case.
    #[param(
        min_length = 1,
        max_length = 50,
        example = "novel",
        pattern = r"^[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*[^\s\u0000-\u001F\u007F-\u009F][^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*$"
    )]
    genre: Option<String>,
    /// Books in this language, a BCP 47 tag, whatever its case.
    #[param(max_length = 35, pattern = "^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$", example = "en")]
    language: Option<String>,
    /// Published in this year or later.
    #[param(minimum = -4000, maximum = 2200)]
    published_from: Option<i64>,
    /// Published in this year or earlier.
    #[param(minimum = -4000, maximum = 2200)]
    published_to: Option<i64>,
    /// Priced at this amount or more, whatever the currency.
    #[param(pattern = r"^((0|[1-9][0-9]{0,5})(\.[0-9]{1,2})?|1000000(\.0{1,2})?)$", example = "5.00")]
    price_from: Option<String>,
    /// Priced at this amount or less, whatever the currency.
    #[param(pattern = r"^((0|[1-9][0-9]{0,5})(\.[0-9]{1,2})?|1000000(\.0{1,2})?)$", example = "20.00")]
    price_to: Option<String>,
    /// Priced in this currency, an ISO 4217 code in capitals.
    #[param(pattern = "^[A-Z]{3}$", example = "USD")]
    currency: Option<String>,
    /// With, or without, a summary that fits the book as it is.
    has_summary: Option<bool>,
    /// The order; descending with `-`. `createdAt` when left out, with `q` `relevance`, which needs it.
    #[param(schema_with = lists::book_sorts)]
    sort: Option<String>,
    /// How many on a page.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<i64>,
    /// `nextCursor` of the page before, under the same query.
    #[param(pattern = "^[A-Za-z0-9_-]+$", max_length = 2048)]
    cursor: Option<String>,
}

impl ListBooks {
    fn query(self) -> Result<BookQuery, ApiError> {
        let mut parameters = Parameters::default();
        let text = parameters.text(self.q.as_deref());
        let [published_from, published_to] =
            parameters.years(["publishedFrom", "publishedTo"], [self.published_from, self.published_to]);
        let [price_from, price_to] = parameters
            .amounts(["priceFrom", "priceTo"], [self.price_from.as_deref(), self.price_to.as_deref()]);
        let query = BookQuery {
            sort: parameters.book_sort(self.sort.as_deref(), text.is_some()),
            limit: parameters.limit(self.limit),
            cursor: self.cursor,
            filter: BookFilter {
                text,
                author: self.author,
                genre: parameters.name("genre", self.genre, 50),
                language: parameters.language("language", self.language),
                published_from,
                published_to,
                price_from,
                price_to,
                currency: parameters.currency("currency", self.currency),
                has_summary: self.has_summary,
            },
        };
        parameters.check()?;
        Ok(query)
    }
}

/// List books
///
/// Pages stay stable while others write. `total` is exact up to 1,000; beyond, `totalCapped` says that
/// there are more.
#[utoipa::path(get, path = "/api/v1/books", operation_id = "listBooks", tag = "books", params(ListBooks),
    responses((status = 200, description = "A page of books", body = Page<Book>)),
    extensions(("x-problem-codes" = json!(["bad_cursor", "validation_failed", "store_unavailable"]))))]
pub(crate) async fn list(
    State(api): State<Api>,
    uri: Uri,
    Query(query): Query<ListBooks>,
) -> Result<Response, ApiError> {
    let listing = api.catalog.books(query.query()?).await?;
    Ok(lists::page(&uri, listing, convert::book))
}

/// Create a book
#[utoipa::path(post, path = "/api/v1/books", operation_id = "createBook", tag = "books",
    request_body = WriteBook, security(("token" = [])),
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$",
        description = "Of all requests with this key one creates; the others get its answer, for 24 hours")),
    responses((status = 201, description = "Created, by this request or an earlier one with the same key", body = Book)),
    extensions(("x-problem-codes" = json!(["bad_idempotency_key", "isbn_taken", "validation_failed",
        "idempotency_key_reused", "store_unavailable"]))))]
pub(crate) async fn create(
    State(api): State<Api>,
    key: IdempotencyKey,
    Json(book): Json<WriteBook>,
) -> Result<Response, ApiError> {
    let request = key.request("books", &book);
    let keyed = request.is_some();
    let creation = api.catalog.create_book(convert::book_draft(book)?, request).await;
    idempotency::answer(creation, keyed, PATH, |book| Made {
        id: book.id,
        version: book.version,
        body: convert::book(book),
    })
}

/// Read a book
#[utoipa::path(get, path = "/api/v1/books/{id}", operation_id = "readBook", tag = "books",
    params(("id" = Uuid, Path), ("If-None-Match" = Option<String>, Header, pattern = r#"^(\*|(W/)?"[!#-~]*"( ?, ?(W/)?"[!#-~]*")*)$"#,
        description = "Entity tags that the client has, or `*`")),
    responses((status = 200, description = "The book", body = Book),
        (status = 304, description = "The client has this version")),
    extensions(("x-problem-codes" = json!(["bad_condition", "book_not_found", "store_unavailable"]))))]
pub(crate) async fn read(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    condition: IfNoneMatch,
) -> Result<Response, ApiError> {
    let book = api.catalog.book(id).await?;
    Ok(condition.answer(book.version, || convert::book(book)))
}

/// Replace a book
///
/// What is left out is taken away.
#[utoipa::path(put, path = "/api/v1/books/{id}", operation_id = "replaceBook", tag = "books",
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header, pattern = r#"^(\*|(W/)?"[!#-~]*"( ?, ?(W/)?"[!#-~]*")*)$"#,
        description = "Entity tags of the versions that may be replaced, or `*`")),
    request_body = WriteBook, security(("token" = [])),
    responses((status = 200, description = "The book as it is now", body = Book)),
    extensions(("x-problem-codes" = json!(["bad_condition", "book_not_found", "isbn_taken",
        "precondition_failed", "validation_failed", "precondition_required", "store_unavailable"]))))]
pub(crate) async fn replace(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    IfMatch(expected): IfMatch,
    Json(book): Json<WriteBook>,
) -> Result<Response, ApiError> {
    let book = api.catalog.replace_book(id, expected, convert::book_draft(book)?).await?;
    Ok(tagged(book.version, convert::book(book)))
}

/// Change parts of a book
///
/// A JSON merge patch (RFC 7396) of what `PUT` takes. Without `If-Match` it applies to whichever version
/// is there.
#[utoipa::path(patch, path = "/api/v1/books/{id}", operation_id = "patchBook", tag = "books",
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header, pattern = r#"^(\*|(W/)?"[!#-~]*"( ?, ?(W/)?"[!#-~]*")*)$"#,
        description = "Entity tags of the versions that may be changed, or `*`")),
    request_body(content((PatchBook = "application/merge-patch+json"), (PatchBook = "application/json"))),
    security(("token" = [])),
    responses((status = 200, description = "The book as it is now", body = Book)),
    extensions(("x-problem-codes" = json!(["bad_condition", "book_not_found", "isbn_taken",
        "concurrent_changes", "precondition_failed", "validation_failed", "precondition_required",
        "store_unavailable"]))))]
pub(crate) async fn patch(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    IfMatch(expected): IfMatch,
    patch: MergePatch<PatchBook>,
) -> Result<Response, ApiError> {
    let edit = |book: &_| Ok(convert::book_draft(patch.apply(&convert::write_book(book))?)?);
    let book = api.catalog.edit_book::<ApiError>(id, &expected, edit).await?;
    Ok(tagged(book.version, convert::book(book)))
}

/// Delete a book and its summaries
#[utoipa::path(delete, path = "/api/v1/books/{id}", operation_id = "deleteBook", tag = "books",
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header, pattern = r#"^(\*|(W/)?"[!#-~]*"( ?, ?(W/)?"[!#-~]*")*)$"#,
        description = "Entity tags of the versions that may be deleted, or `*`")),
    security(("token" = [])),
    responses((status = 204, description = "Deleted")),
    extensions(("x-problem-codes" = json!(["bad_condition", "book_not_found", "precondition_failed",
        "precondition_required", "store_unavailable"]))))]
pub(crate) async fn delete(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    IfMatch(expected): IfMatch,
) -> Result<StatusCode, ApiError> {
    api.catalog.delete_book(id, expected).await?;
    Ok(StatusCode::NO_CONTENT)
}
