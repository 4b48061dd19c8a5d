//! `Idempotency-Key` on creations: reading the key, and answering.

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{HeaderName, HeaderValue, LOCATION};
use http::request::Parts;
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::conditions::tagged;
use super::errors::ApiError;
use crate::catalog::creation::{Creation, KeyedRequest};

/// Says that an earlier request with the same key came to this answer.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Longest key taken, in characters.
const LONGEST: usize = 255;

/// The key of a request, if it has one.
pub(crate) struct IdempotencyKey(Option<String>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let mut values = parts.headers.get_all(HEADER).iter();
        let Some(value) = values.next() else { return Ok(Self(None)) };
        if values.next().is_some() {
            return Err(ApiError::BadIdempotencyKey("is there twice"));
        }
        let bytes = value.as_bytes();
        if bytes.is_empty() {
            return Err(ApiError::BadIdempotencyKey("is empty"));
        }
        if bytes.len() > LONGEST {
            return Err(ApiError::BadIdempotencyKey("is too long"));
        }
        if !bytes.iter().all(u8::is_ascii_graphic) {
            return Err(ApiError::BadIdempotencyKey("has characters that are not visible ASCII"));
        }
        Ok(Self(Some(String::from_utf8_lossy(bytes).into_owned())))
    }
}

impl IdempotencyKey {
    /// The request that the key stands for: what is created, and from which content.
    pub(crate) fn request(&self, scope: &str, body: &impl Serialize) -> Option<KeyedRequest> {
        let key = self.0.as_ref()?;
        // Members in the order of the type: equal content has equal bytes. Plain data cannot fail.
        let content = serde_json::to_vec(body).unwrap_or_default();
        Some(KeyedRequest {
            key: hex(&Sha256::digest(format!("{scope}\n{key}"))),
            request_hash: hex(&Sha256::digest(content)),
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What was created, as it is answered.
pub(crate) struct Made<W> {
    pub id: Uuid,
    pub version: u64,
    pub body: W,
}

/// The answer to a creation in the collection at `path`.
pub(crate) fn answer<T, W: Serialize>(
    creation: Creation<T>,
    keyed: bool,
    path: &str,
    made: impl FnOnce(T) -> Made<W>,
) -> Result<Response, ApiError> {
    let Creation { result, replayed } = creation;
    let Made { id, version, body } =
        made(result.map_err(|error| ApiError::Creation { error, keyed, replayed })?);
    let location = [(LOCATION, format!("{path}/{id}"))];
    let mut response = (StatusCode::CREATED, location, tagged(version, body)).into_response();
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::IdempotencyKey;

    #[test]
    fn a_key_stands_for_one_kind_and_one_content() {
        let key = IdempotencyKey(Some("k".to_owned()));
        let request = |scope: &str, title: &str| key.request(scope, &json!({ "title": title })).unwrap();
        let (one, same) = (request("books", "a"), request("books", "a"));
        assert_eq!((&one.key, &one.request_hash), (&same.key, &same.request_hash));
        assert_ne!(request("authors", "a").key, one.key);
        assert_ne!(request("books", "b").request_hash, one.request_hash);
        assert!(IdempotencyKey(None).request("books", &1).is_none());
    }
}
