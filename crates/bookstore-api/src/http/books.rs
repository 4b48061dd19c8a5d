//! `/api/v1/books`.

use axum::extract::State;
use common_models::{Book, Page, Problem, WriteBook};
use http::StatusCode;
use http::header::LOCATION;
use http_server::extract::{Json, Path, Query};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::errors::ApiError;
use super::{Api, convert};
use crate::search::Search;
use crate::store::{BookFilter, BookOrder, BookQuery};

/// Which books to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListBooks {
    /// Books that contain all of these words, the last as a beginning.
    q: Option<String>,
    /// Books of this author.
    author: Option<Uuid>,
    /// Books of this genre.
    genre: Option<String>,
    /// Books in this language, a BCP 47 tag.
    language: Option<String>,
    /// `createdAt` (default), `-createdAt`, `title`, `-title`.
    sort: Option<String>,
    /// 1 to 100, 20 when left out.
    limit: Option<u32>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// List books
#[utoipa::path(get, path = "/api/v1/books", tag = "books", params(ListBooks), responses(
    (status = 200, description = "A page of books", body = Page<Book>),
    (status = 400, description = "A parameter or the cursor is malformed", body = Problem),
    (status = 422, description = "A parameter is out of range", body = Problem),
    (status = 503, description = "The store cannot be reached", body = Problem),
))]
pub(crate) async fn list(
    State(api): State<Api>,
    Query(query): Query<ListBooks>,
) -> Result<Json<Page<Book>>, ApiError> {
    let filter = BookFilter {
        text: query.q.as_deref().filter(|text| !text.trim().is_empty()).map(Search::parse),
        author: query.author,
        genre: query.genre,
        language: query.language,
        ..BookFilter::default()
    };
    let query = BookQuery {
        filter,
        sort: convert::sort(query.sort.as_deref(), "title", BookOrder::CreatedAt, BookOrder::Title)?,
        limit: convert::limit(query.limit)?,
        cursor: query.cursor,
    };
    let listing = api.catalog.books(query).await?;
    Ok(Json(Page {
        items: listing.items.into_iter().map(convert::book).collect(),
        next_cursor: listing.next_cursor,
        total: listing.total,
    }))
}

/// Create a book
#[utoipa::path(post, path = "/api/v1/books", tag = "books", request_body = WriteBook, security(("token" = [])), responses(
    (status = 201, description = "Created", body = Book, headers(("Location", description = "Path of the book"))),
    (status = 400, description = "Not well-formed JSON", body = Problem),
    (status = 409, description = "Another book has the ISBN", body = Problem),
    (status = 413, description = "The body is larger than 1 MiB", body = Problem),
    (status = 415, description = "Not JSON", body = Problem),
    (status = 422, description = "Fields are not valid", body = Problem),
    (status = 503, description = "The store cannot be reached", body = Problem),
))]
pub(crate) async fn create(
    State(api): State<Api>,
    Json(book): Json<WriteBook>,
) -> Result<(StatusCode, [(http::HeaderName, String); 1], Json<Book>), ApiError> {
    let book = api.catalog.create_book(convert::book_draft(book)?).await?;
    let location = format!("/api/v1/books/{}", book.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(convert::book(book))))
}

/// Read a book
#[utoipa::path(get, path = "/api/v1/books/{id}", tag = "books", params(("id" = Uuid, Path)), responses(
    (status = 200, description = "The book", body = Book),
    (status = 400, description = "The id is no UUID", body = Problem),
    (status = 404, description = "No such book", body = Problem),
    (status = 503, description = "The store cannot be reached", body = Problem),
))]
pub(crate) async fn read(State(api): State<Api>, Path(id): Path<Uuid>) -> Result<Json<Book>, ApiError> {
    Ok(Json(convert::book(api.catalog.book(id).await?)))
}

/// Replace a book
#[utoipa::path(put, path = "/api/v1/books/{id}", tag = "books", params(("id" = Uuid, Path)),
    request_body = WriteBook, security(("token" = [])), responses(
    (status = 200, description = "The book as it is now", body = Book),
    (status = 400, description = "Not well-formed JSON, or the id is no UUID", body = Problem),
    (status = 404, description = "No such book", body = Problem),
    (status = 409, description = "Another book has the ISBN", body = Problem),
    (status = 413, description = "The body is larger than 1 MiB", body = Problem),
    (status = 415, description = "Not JSON", body = Problem),
    (status = 422, description = "Fields are not valid", body = Problem),
    (status = 503, description = "The store cannot be reached", body = Problem),
))]
pub(crate) async fn replace(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    Json(book): Json<WriteBook>,
) -> Result<Json<Book>, ApiError> {
    Ok(Json(convert::book(api.catalog.replace_book(id, convert::book_draft(book)?).await?)))
}

/// Delete a book and its summaries
#[utoipa::path(delete, path = "/api/v1/books/{id}", tag = "books", params(("id" = Uuid, Path)),
    security(("token" = [])), responses(
    (status = 204, description = "Deleted"),
    (status = 400, description = "The id is no UUID", body = Problem),
    (status = 404, description = "No such book", body = Problem),
    (status = 503, description = "The store cannot be reached", body = Problem),
))]
pub(crate) async fn delete(State(api): State<Api>, Path(id): Path<Uuid>) -> Result<StatusCode, ApiError> {
    api.catalog.delete_book(id).await?;
    Ok(StatusCode::NO_CONTENT)
}
