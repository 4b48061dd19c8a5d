//! `/api/v1/authors`.

use axum::extract::State;
use axum::response::Response;
use common_models::{Author, Page, PatchAuthor, WriteAuthor};
use http::{StatusCode, Uri};
use http_server::extract::{Json, Path, Query};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::conditions::{IfMatch, IfNoneMatch, tagged};
use super::errors::ApiError;
use super::idempotency::{self, IdempotencyKey, Made};
use super::lists::{self, Parameters};
use super::merge_patch::MergePatch;
use super::{Api, convert};
use crate::store::{AuthorFilter, AuthorQuery, BooksOfDeleted};

const PATH: &str = "/api/v1/authors";

/// Which authors to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListAuthors {
    /// Authors whose name contains all of these words, the last as a beginning.
    #[param(max_length = 200, pattern = r"^[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*$")]
    q: Option<String>,
    /// The order; descending with `-`. `createdAt` when left out.
    #[param(schema_with = lists::author_sorts)]
    sort: Option<String>,
    /// How many on a page.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<i64>,
    /// `nextCursor` of the page before, under the same query.
    #[param(pattern = "^[A-Za-z0-9_-]+$", max_length = 2048)]
    cursor: Option<String>,
}

impl ListAuthors {
    fn query(self) -> Result<AuthorQuery, ApiError> {
        let mut parameters = Parameters::default();
        let query = AuthorQuery {
            filter: AuthorFilter { text: parameters.text(self.q.as_deref()) },
            sort: parameters.author_sort(self.sort.as_deref()),
            limit: parameters.limit(self.limit),
            cursor: self.cursor,
        };
        parameters.check()?;
        Ok(query)
    }
}

/// List authors
///
/// Pages stay stable while others write. `total` is exact up to 1,000; beyond, `totalCapped` says that
/// there are more.
#[utoipa::path(get, path = "/api/v1/authors", operation_id = "listAuthors", tag = "authors", params(ListAuthors),
    responses((status = 200, description = "A page of authors", body = Page<Author>)),
    extensions(("x-problem-codes" = json!(["bad_cursor", "validation_failed", "store_unavailable"]))))]
pub(crate) async fn list(
    State(api): State<Api>,
    uri: Uri,
    Query(query): Query<ListAuthors>,
) -> Result<Response, ApiError> {
    let listing = api.catalog.authors(query.query()?).await?;
    Ok(lists::page(&uri, listing, convert::author))
}

/// Create an author
#[utoipa::path(post, path = "/api/v1/authors", operation_id = "createAuthor", tag = "authors",
    request_body = WriteAuthor, security(("token" = [])),
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$",
        description = "Of all requests with this key one creates; the others get its answer, for 24 hours")),
    responses((status = 201, description = "Created, by this request or an earlier one with the same key", body = Author)),
    extensions(("x-problem-codes" = json!(["bad_idempotency_key", "validation_failed",
        "idempotency_key_reused", "store_unavailable"]))))]
pub(crate) async fn create(
    State(api): State<Api>,
    key: IdempotencyKey,
    Json(author): Json<WriteAuthor>,
) -> Result<Response, ApiError> {
    let request = key.request("authors", &author);
    let keyed = request.is_some();
    let creation = api.catalog.create_author(convert::author_draft(author), request).await;
    idempotency::answer(creation, keyed, PATH, |author| Made {
        id: author.id,
        version: author.version,
        body: convert::author(author),
    })
}

/// Read an author
#[utoipa::path(get, path = "/api/v1/authors/{id}", operation_id = "readAuthor", tag = "authors",
    params(("id" = Uuid, Path), ("If-None-Match" = Option<String>, Header, pattern = r#"^(\*|(W/)?"[!#-~]*"( ?, ?(W/)?"[!#-~]*")*)$"#,
        description = "Entity tags that the client has, or `*`")),
    responses((status = 200, description = "The author", body = Author),
        (status = 304, description = "The client has this version")),
    extensions(("x-problem-codes" = json!(["bad_condition", "author_not_found", "store_unavailable"]))))]
pub(crate) async fn read(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    condition: IfNoneMatch,
) -> Result<Response, ApiError> {
    let author = api.catalog.author(id).await?;
    Ok(condition.answer(author.version, || convert::author(author)))
}

/// Replace an author
///
/// What is left out is taken away. A new name shows in the author's books, whose versions grow.
#[utoipa::path(put, path = "/api/v1/authors/{id}", operation_id = "replaceAuthor", tag = "authors",
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header, pattern = r#"^(\*|(W/)?"[!#-~]*"( ?, ?(W/)?"[!#-~]*")*)$"#,
        description = "Entity tags of the versions that may be replaced, or `*`")),
    request_body = WriteAuthor, security(("token" = [])),
    responses((status = 200, description = "The author as they are now", body = Author)),
    extensions(("x-problem-codes" = json!(["bad_condition", "author_not_found", "precondition_failed",
        "validation_failed", "precondition_required", "store_unavailable"]))))]
pub(crate) async fn replace(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    IfMatch(expected): IfMatch,
    Json(author): Json<WriteAuthor>,
) -> Result<Response, ApiError> {
    let author = api.catalog.replace_author(id, expected, convert::author_draft(author)).await?;
    Ok(tagged(author.version, convert::author(author)))
}

/// Change parts of an author
///
/// A JSON merge patch (RFC 7396) of what `PUT` takes. Without `If-Match` it applies to whichever version
/// is there.
#[utoipa::path(patch, path = "/api/v1/authors/{id}", operation_id = "patchAuthor", tag = "authors",
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header, pattern = r#"^(\*|(W/)?"[!#-~]*"( ?, ?(W/)?"[!#-~]*")*)$"#,
        description = "Entity tags of the versions that may be changed, or `*`")),
    request_body(content((PatchAuthor = "application/merge-patch+json"), (PatchAuthor = "application/json"))),
    security(("token" = [])),
    responses((status = 200, description = "The author as they are now", body = Author)),
    extensions(("x-problem-codes" = json!(["bad_condition", "author_not_found", "concurrent_changes",
        "precondition_failed", "validation_failed", "precondition_required", "store_unavailable"]))))]
pub(crate) async fn patch(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    IfMatch(expected): IfMatch,
    patch: MergePatch<PatchAuthor>,
) -> Result<Response, ApiError> {
    let edit = |author: &_| Ok(convert::author_draft(patch.apply(&convert::write_author(author))?));
    let author = api.catalog.edit_author::<ApiError>(id, &expected, edit).await?;
    Ok(tagged(author.version, convert::author(author)))
}

/// What to delete with an author.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeleteAuthor {
    /// What happens to the author's books: `detach` leaves them without this author, `delete` deletes
    /// them too, also those with other authors. Left out, an author who has books is not deleted.
    #[param(inline)]
    books: Option<TheirBooks>,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum TheirBooks {
    Detach,
    Delete,
}

/// Delete an author
#[utoipa::path(delete, path = "/api/v1/authors/{id}", operation_id = "deleteAuthor", tag = "authors",
    params(("id" = Uuid, Path), DeleteAuthor, ("If-Match" = Option<String>, Header, pattern = r#"^(\*|(W/)?"[!#-~]*"( ?, ?(W/)?"[!#-~]*")*)$"#,
        description = "Entity tags of the versions that may be deleted, or `*`")),
    security(("token" = [])),
    responses((status = 204, description = "Deleted")),
    extensions(("x-problem-codes" = json!(["bad_condition", "author_not_found", "author_has_books",
        "precondition_failed", "precondition_required", "store_unavailable"]))))]
pub(crate) async fn delete(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    Query(query): Query<DeleteAuthor>,
    IfMatch(expected): IfMatch,
) -> Result<StatusCode, ApiError> {
    let books = match query.books {
        None => BooksOfDeleted::Refuse,
        Some(TheirBooks::Detach) => BooksOfDeleted::Detach,
        Some(TheirBooks::Delete) => BooksOfDeleted::Delete,
    };
    api.catalog.delete_author(id, expected, books).await?;
    Ok(StatusCode::NO_CONTENT)
}
