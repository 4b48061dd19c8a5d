//! `PATCH` bodies: JSON merge patches (RFC 7396).

use std::marker::PhantomData;

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http_server::extract::{body_problem, from_json, from_value};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::errors::ApiError;
use crate::catalog::UseCaseError;
use crate::store::StoreError;

/// The media types taken, as `Accept-Patch` says them.
pub(crate) const ACCEPTED: &str = "application/merge-patch+json, application/json";

/// A merge patch whose members are those of `P`, each once and of the right type.
pub(crate) struct MergePatch<P> {
    patch: Value,
    checked: PhantomData<P>,
}

impl<S: Send + Sync, P: DeserializeOwned> FromRequest<S> for MergePatch<P> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let media = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let essence = media.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        if !ACCEPTED.split(", ").any(|accepted| accepted == essence) {
            return Err(ApiError::NotAPatch);
        }
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| ApiError::Body(Box::new(body_problem(&rejection).0)))?;
        from_json::<P>(&bytes)?;
        Ok(Self { patch: from_json(&bytes)?, checked: PhantomData })
    }
}

impl<P> MergePatch<P> {
    /// What `current`, as a client would write it, becomes.
    pub(crate) fn apply<W: Serialize + DeserializeOwned>(&self, current: &W) -> Result<W, ApiError> {
        let mut whole = serde_json::to_value(current)
            .map_err(|error| UseCaseError::Store(StoreError::Corrupt(error.to_string())))?;
        json_patch::merge(&mut whole, &self.patch);
        Ok(from_value(whole)?)
    }
}

#[cfg(test)]
mod tests {
    use std::marker::PhantomData;

    use common_models::{PatchBook, WriteBook};
    use serde_json::{Value, json};

    use super::MergePatch;
    use crate::http::errors::ApiError;

    fn patched(patch: Value) -> Result<Value, ApiError> {
        let current: WriteBook = serde_json::from_value(json!({
            "title": "Emma", "genres": ["novel"], "rating": 4.35,
            "price": { "amount": "9.90", "currency": "EUR" }
        }))
        .unwrap();
        let patch = MergePatch::<PatchBook> { patch, checked: PhantomData };
        patch.apply(&current).map(|book| serde_json::to_value(book).unwrap())
    }

    #[test]
    fn what_is_named_changes_and_the_rest_stays() {
        let whole = patched(json!({ "price": { "amount": "3.00" }, "genres": null, "isbn": "x" })).unwrap();
        assert_eq!(
            whole,
            json!({ "title": "Emma", "authorIds": [], "genres": [], "rating": 4.35, "isbn": "x",
                "price": { "amount": "3.00", "currency": "EUR" } })
        );
        assert!(patched(json!({ "price": null })).unwrap().get("price").is_none());
    }

    #[test]
    fn a_price_that_lacks_a_member_is_named() {
        let Err(ApiError::Body(problem)) = patched(json!({ "price": { "currency": null } })) else {
            panic!()
        };
        assert_eq!(problem.errors[0].field, "price.currency");
    }
}
