//! Who may ask: by a signature of AWS's, or by an API key of Bedrock's
//! (<https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys.html>).
//!
//! Without configured keys nobody is kept out, but, as at Bedrock, nobody comes without either.

use std::time::SystemTime;

use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, Uri};
use http_server::ApiToken;
use subtle::ConstantTimeEq;

use super::refusal::Refusal;
use super::signature::{ALGORITHM, Signature};
use crate::settings::AwsKeys;

/// The keys that clients must have: one of the configured ones; any will do where none is.
#[derive(Clone, Copy, Default)]
pub(super) struct Keys<'a> {
    /// An API key, which may be sent in place of a signature.
    pub(super) api_key: Option<&'a ApiToken>,
    /// By which requests are signed.
    pub(super) aws_keys: Option<&'a AwsKeys>,
}

/// A request as far as it is signed.
#[derive(Clone, Copy)]
pub(super) struct Presented<'a> {
    /// Its method.
    pub(super) method: &'a Method,
    /// Where it goes, as it was written on the wire.
    pub(super) uri: &'a Uri,
    /// Its headers.
    pub(super) headers: &'a HeaderMap,
    /// Its body.
    pub(super) body: &'a [u8],
}

/// Lets a request in or not.
pub(super) fn check(keys: Keys<'_>, presented: &Presented<'_>, now: SystemTime) -> Result<(), Refusal> {
    let mut authorizations = presented.headers.get_all(AUTHORIZATION).iter();
    // Of two it could not be said which one counts.
    let (Some(authorization), None) = (authorizations.next(), authorizations.next()) else {
        return Err(Refusal::NoAuthentication);
    };
    let authorization = authorization.to_str().map_err(|_| Refusal::NoAuthentication)?.trim();
    let (scheme, rest) = authorization.split_once(' ').unwrap_or((authorization, ""));
    if scheme.eq_ignore_ascii_case("bearer") {
        return match keys.api_key {
            Some(key) if key.matches(rest.trim()) => Ok(()),
            // An API key must not be the way around the signature.
            None if keys.aws_keys.is_none() && !rest.trim().is_empty() => Ok(()),
            _ => Err(Refusal::WrongApiKey),
        };
    }
    if scheme != ALGORITHM {
        return Err(Refusal::NoAuthentication);
    }
    match keys.aws_keys {
        Some(keys) => Signature::read(rest, presented.headers)?.verify(keys, presented, now),
        // Nor must a signature that nobody can check be the way around the API key.
        None if keys.api_key.is_some() => Err(Refusal::WrongApiKey),
        None => Ok(()),
    }
}

/// Whether two texts are the same, in a time that does not depend on where they differ.
pub(super) fn same(ours: &str, offered: &str) -> bool {
    ours.as_bytes().ct_eq(offered.as_bytes()).into()
}
