//! `/api/v1/authors`.

use axum::extract::State;
use common_models::{Author, Page, Problem, WriteAuthor};
use http::StatusCode;
use http::header::LOCATION;
use http_server::extract::{Json, Path, Query};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::errors::ApiError;
use super::{Api, convert};
use crate::search::Search;
use crate::store::{AuthorFilter, AuthorOrder, AuthorQuery};

/// Which authors to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListAuthors {
    /// Authors whose name contains this.
    q: Option<String>,
    /// `createdAt` (default), `-createdAt`, `name`, `-name`.
    sort: Option<String>,
    /// 1 to 100, 20 when left out.
    limit: Option<u32>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// List authors
#[utoipa::path(get, path = "/api/v1/authors", tag = "authors", params(ListAuthors), responses(
    (status = 200, description = "A page of authors", body = Page<Author>),
    (status = 400, description = "A parameter or the cursor is malformed", body = Problem),
    (status = 422, description = "A parameter is out of range", body = Problem),
    (status = 503, description = "The store cannot be reached", body = Problem),
))]
pub(crate) async fn list(
    State(api): State<Api>,
    Query(query): Query<ListAuthors>,
) -> Result<Json<Page<Author>>, ApiError> {
    let query = AuthorQuery {
        filter: AuthorFilter {
            text: query.q.as_deref().filter(|text| !text.trim().is_empty()).map(Search::parse),
        },
        sort: convert::sort(query.sort.as_deref(), "name", AuthorOrder::CreatedAt, AuthorOrder::Name)?,
        limit: convert::limit(query.limit)?,
        cursor: query.cursor,
    };
    let listing = api.catalog.authors(query).await?;
    Ok(Json(Page {
        items: listing.items.into_iter().map(convert::author).collect(),
        next_cursor: listing.next_cursor,
        total: listing.total,
    }))
}

/// Create an author
#[utoipa::path(post, path = "/api/v1/authors", tag = "authors", request_body = WriteAuthor, security(("token" = [])), responses(
    (status = 201, description = "Created", body = Author, headers(("Location", description = "Path of the author"))),
    (status = 400, description = "Not well-formed JSON", body = Problem),
    (status = 413, description = "The body is larger than 1 MiB", body = Problem),
    (status = 415, description = "Not JSON", body = Problem),
    (status = 422, description = "Fields are not valid", body = Problem),
    (status = 503, description = "The store cannot be reached", body = Problem),
))]
pub(crate) async fn create(
    State(api): State<Api>,
    Json(author): Json<WriteAuthor>,
) -> Result<(StatusCode, [(http::HeaderName, String); 1], Json<Author>), ApiError> {
    let author = api.catalog.create_author(convert::author_draft(author)).await?;
    let location = format!("/api/v1/authors/{}", author.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], Json(convert::author(author))))
}

/// Read an author
#[utoipa::path(get, path = "/api/v1/authors/{id}", tag = "authors", params(("id" = Uuid, Path)), responses(
    (status = 200, description = "The author", body = Author),
    (status = 400, description = "The id is no UUID", body = Problem),
    (status = 404, description = "No such author", body = Problem),
    (status = 503, description = "The store cannot be reached", body = Problem),
))]
pub(crate) async fn read(State(api): State<Api>, Path(id): Path<Uuid>) -> Result<Json<Author>, ApiError> {
    Ok(Json(convert::author(api.catalog.author(id).await?)))
}

/// Replace an author
#[utoipa::path(put, path = "/api/v1/authors/{id}", tag = "authors", params(("id" = Uuid, Path)),
    request_body = WriteAuthor, security(("token" = [])), responses(
    (status = 200, description = "The author as they are now", body = Author),
    (status = 400, description = "Not well-formed JSON, or the id is no UUID", body = Problem),
    (status = 404, description = "No such author", body = Problem),
    (status = 413, description = "The body is larger than 1 MiB", body = Problem),
    (status = 415, description = "Not JSON", body = Problem),
    (status = 422, description = "Fields are not valid", body = Problem),
    (status = 503, description = "The store cannot be reached", body = Problem),
))]
pub(crate) async fn replace(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    Json(author): Json<WriteAuthor>,
) -> Result<Json<Author>, ApiError> {
    Ok(Json(convert::author(api.catalog.replace_author(id, convert::author_draft(author)).await?)))
}

/// Delete an author who has no books
#[utoipa::path(delete, path = "/api/v1/authors/{id}", tag = "authors", params(("id" = Uuid, Path)),
    security(("token" = [])), responses(
    (status = 204, description = "Deleted"),
    (status = 400, description = "The id is no UUID", body = Problem),
    (status = 404, description = "No such author", body = Problem),
    (status = 409, description = "The author still has books", body = Problem),
    (status = 503, description = "The store cannot be reached", body = Problem),
))]
pub(crate) async fn delete(State(api): State<Api>, Path(id): Path<Uuid>) -> Result<StatusCode, ApiError> {
    api.catalog.delete_author(id).await?;
    Ok(StatusCode::NO_CONTENT)
}
