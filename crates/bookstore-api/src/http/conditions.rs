//! Conditional requests (RFC 9110, section 13): `ETag`, `If-Match`, `If-None-Match`.
//!
//! An entity tag is a version in quotes. It says nothing of `book.summary`, a projection that changes
//! without the book's version.

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use http::request::Parts;
use http_server::extract::Json;
use serde::Serialize;

use super::Api;
use super::errors::ApiError;
use crate::store::Expected;

/// The entity tag of a version.
pub(crate) fn etag(version: u64) -> HeaderValue {
    // Digits in quotes are always a header value.
    HeaderValue::try_from(format!("\"{version}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// Something with its version.
pub(crate) fn tagged<T: Serialize>(version: u64, body: T) -> Response {
    ([(ETAG, etag(version))], Json(body)).into_response()
}

/// Which versions a write may change: `If-Match`.
pub(crate) struct IfMatch(pub Expected);

impl FromRequestParts<Api> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Self::Rejection> {
        match Tags::read(&parts.headers, IF_MATCH)? {
            None if api.require_if_match => Err(ApiError::ConditionRequired),
            None | Some(Tags::Any) => Ok(Self(Expected::Any)),
            // Strong comparison: a weak tag matches nothing.
            Some(Tags::Listed(tags)) => Ok(Self(Expected::OneOf(
                tags.iter().filter(|tag| !tag.weak).filter_map(Tag::version).collect(),
            ))),
        }
    }
}

/// Which versions the client has already: `If-None-Match`.
pub(crate) struct IfNoneMatch(Option<Tags>);

impl<S: Sync> FromRequestParts<S> for IfNoneMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Tags::read(&parts.headers, IF_NONE_MATCH).map(Self)
    }
}

impl IfNoneMatch {
    /// The answer to a read: the thing itself, or 304 when the client has it.
    pub(crate) fn answer<T: Serialize>(&self, version: u64, body: impl FnOnce() -> T) -> Response {
        let has = match &self.0 {
            None => false,
            Some(Tags::Any) => true,
            // Weak comparison: how strong a tag is does not matter.
            Some(Tags::Listed(tags)) => tags.iter().any(|tag| tag.version() == Some(version)),
        };
        if has {
            (StatusCode::NOT_MODIFIED, [(ETAG, etag(version))]).into_response()
        } else {
            tagged(version, body())
        }
    }
}

/// What a condition lists.
#[derive(Debug, PartialEq, Eq)]
enum Tags {
    /// `*`.
    Any,
    /// Entity tags.
    Listed(Vec<Tag>),
}

#[derive(Debug, PartialEq, Eq)]
struct Tag {
    weak: bool,
    opaque: Vec<u8>,
}

impl Tag {
    /// The version that it stands for; none when it is no tag of ours.
    fn version(&self) -> Option<u64> {
        let text = std::str::from_utf8(&self.opaque).ok()?;
        text.parse().ok().filter(|version: &u64| version.to_string() == text)
    }
}

impl Tags {
    /// The condition in a header that may be there several times.
    fn read(headers: &HeaderMap, name: HeaderName) -> Result<Option<Self>, ApiError> {
        let lines: Vec<&[u8]> = headers.get_all(&name).iter().map(HeaderValue::as_bytes).collect();
        if lines.is_empty() {
            return Ok(None);
        }
        let parsed = Self::parse(&lines.join(&b','));
        parsed.map(Some).map_err(|reason| ApiError::BadCondition { header: name, reason })
    }

    fn parse(mut text: &[u8]) -> Result<Self, &'static str> {
        if text.trim_ascii() == b"*" {
            return Ok(Self::Any);
        }
        let mut tags = Vec::new();
        loop {
            text = text.trim_ascii_start();
            // A list may have empty members (RFC 9110, section 5.6.1).
            if let Some(rest) = text.strip_prefix(b",") {
                text = rest;
                continue;
            }
            if text.is_empty() {
                break;
            }
            let (tag, rest) = Tag::parse(text)?;
            tags.push(tag);
            text = rest.trim_ascii_start();
            if !text.is_empty() && !text.starts_with(b",") {
                return Err("has something behind an entity tag");
            }
        }
        if tags.is_empty() { Err("is empty") } else { Ok(Self::Listed(tags)) }
    }
}

impl Tag {
    /// One entity tag and what follows it.
    fn parse(text: &[u8]) -> Result<(Self, &[u8]), &'static str> {
        let (weak, text) = match text.strip_prefix(b"W/") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let text = text.strip_prefix(b"\"").ok_or("has an entity tag without quotes")?;
        let end = text.iter().position(|&byte| byte == b'"').ok_or("has an entity tag without an end")?;
        let (opaque, rest) = text.split_at_checked(end).ok_or("has an entity tag without an end")?;
        if opaque.iter().any(|&byte| byte <= b' ' || byte == 0x7f) {
            return Err("has an entity tag with a space");
        }
        Ok((Self { weak, opaque: opaque.to_vec() }, rest.strip_prefix(b"\"").unwrap_or(rest)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Tag, Tags};

    #[test]
    fn lists_of_entity_tags_are_understood() {
        let check = |text: &str, versions: &[(bool, Option<u64>)]| {
            let Ok(Tags::Listed(tags)) = Tags::parse(text.as_bytes()) else { panic!("{text}") };
            let found: Vec<_> = tags.iter().map(|tag| (tag.weak, Tag::version(tag))).collect();
            assert_eq!(found, versions, "{text}");
        };
        check("\"3\"", &[(false, Some(3))]);
        check(" \"3\" , W/\"4\",,", &[(false, Some(3)), (true, Some(4))]);
        check("\"a,b\"", &[(false, None)]);
        check("\"03\", \"+3\", \"\", \"99999999999999999999\"", &[(false, None); 4]);
        assert_eq!(Tags::parse(b" * "), Ok(Tags::Any));
        for text in ["", ",", "3", "\"3", "\"3\" \"4\"", "*, \"3\"", "w/\"3\"", "\"3\"x", "\"a b\""] {
            assert!(Tags::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
