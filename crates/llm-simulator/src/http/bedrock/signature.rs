//! AWS's signature, version 4, of a request that came in
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>).
//!
//! The signature is computed anew by the library from what arrived: method, path, query, the
//! headers that the client names as signed, and the body. The path of a model id is encoded once on
//! the wire (`%3A`) and, as for every service but S3, once more in what is signed (`%253A`).

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use chrono::{DateTime, NaiveDateTime, Utc};
use http::header::HOST;
use http::{HeaderMap, HeaderName};
use secrecy::ExposeSecret;

use super::access::{Presented, same};
use super::refusal::Refusal;
use crate::settings::AwsKeys;

/// The scheme in the `Authorization` header.
pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// The name under which Bedrock's requests are signed.
const SERVICE: &str = "bedrock";
const DATE: &str = "x-amz-date";
/// How far the client's clock may be off.
const SKEW: Duration = Duration::from_secs(5 * 60);
const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your \
                        AWS Secret Access Key and signing method. Consult the service documentation for details.";

/// What a client says of its signature.
#[derive(Debug)]
pub(super) struct Signature<'a> {
    access_key_id: &'a str,
    /// The day, as the key was made for it.
    day: &'a str,
    region: &'a str,
    service: &'a str,
    terminator: &'a str,
    signed_headers: Vec<&'a str>,
    signature: &'a str,
    date: &'a str,
}

impl<'a> Signature<'a> {
    /// Reads what stands behind the scheme, and the date.
    pub(super) fn read(parameters: &'a str, headers: &'a HeaderMap) -> Result<Self, Refusal> {
        let parameter = |name: &str| {
            parameters.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
        };
        let mut dates = headers.get_all(DATE).iter();
        let date = dates.next().and_then(|value| value.to_str().ok());
        if dates.next().is_some() {
            return Err(Refusal::IncompleteSignature(
                "Authorization header requires a single 'X-Amz-Date' header.".to_owned(),
            ));
        }
        let (credential, signed, signature) =
            (parameter("Credential"), parameter("SignedHeaders"), parameter("Signature"));
        let (Some(credential), Some(signed), Some(signature), Some(date)) =
            (credential, signed, signature, date)
        else {
            let missing = [("Credential", credential), ("Signature", signature), ("SignedHeaders", signed)];
            let said = missing.iter().filter(|(_, value)| value.is_none());
            let mut said: Vec<_> =
                said.map(|(name, _)| format!("Authorization header requires '{name}' parameter.")).collect();
            if date.is_none() {
                said.push("Authorization header requires existence of a 'X-Amz-Date' header.".to_owned());
            }
            return Err(Refusal::IncompleteSignature(said.join(" ")));
        };
        // A key id has no slash.
        let parts: Vec<&str> = credential.split('/').collect();
        let [access_key_id, day, region, service, terminator] = parts[..] else {
            return Err(Refusal::IncompleteSignature(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term."
                    .to_owned(),
            ));
        };
        let signed_headers = signed.split(';').collect();
        Ok(Self { access_key_id, day, region, service, terminator, signed_headers, signature, date })
    }

    /// Holds that it is the signature of this request by these keys.
    pub(super) fn verify(
        &self,
        keys: &AwsKeys,
        presented: &Presented<'_>,
        now: SystemTime,
    ) -> Result<(), Refusal> {
        let time = self.check_scope(now)?;
        if !same(&keys.access_key_id, self.access_key_id) {
            return Err(Refusal::UnknownKey);
        }
        self.check_signed_headers(presented.headers)?;
        match self.computed(keys, presented, time) {
            Some(computed) if same(&computed, self.signature) => Ok(()),
            _ => Err(wrong(MISMATCH)),
        }
    }

    /// The time of signing, if it is about now, and the key was made for it and for this service.
    fn check_scope(&self, now: SystemTime) -> Result<SystemTime, Refusal> {
        let said =
            NaiveDateTime::parse_from_str(self.date, "%Y%m%dT%H%M%SZ").ok().filter(|_| self.date.len() == 16);
        let Some(said) = said.map(|date| date.and_utc()) else {
            let said = "Date must be in ISO-8601 'basic format'. See http://en.wikipedia.org/wiki/ISO_8601";
            return Err(Refusal::IncompleteSignature(said.to_owned()));
        };
        if Some(self.day) != self.date.get(..8) {
            return Err(wrong("Credential should be scoped to a valid date: the day of X-Amz-Date."));
        }
        if self.service != SERVICE {
            return Err(wrong("Credential should be scoped to correct service: 'bedrock'. "));
        }
        if self.terminator != "aws4_request" {
            return Err(wrong("Credential should be scoped with a valid terminator: 'aws4_request'."));
        }
        let written = |time: SystemTime| DateTime::<Utc>::from(time).format("%Y%m%dT%H%M%SZ").to_string();
        let time = SystemTime::from(said);
        let earliest = now.checked_sub(SKEW).unwrap_or(SystemTime::UNIX_EPOCH);
        let latest = now.checked_add(SKEW).unwrap_or(now);
        if time < earliest {
            return Err(wrong(&format!(
                "Signature expired: {} is now earlier than {} ({} - 5 min.)",
                self.date,
                written(earliest),
                written(now)
            )));
        }
        if time > latest {
            return Err(wrong(&format!(
                "Signature not yet current: {} is still later than {} ({} + 5 min.)",
                self.date,
                written(latest),
                written(now)
            )));
        }
        Ok(time)
    }

    /// The host and everything of AWS's must be signed, and what is signed must be there.
    fn check_signed_headers(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let signed = |name: &str| self.signed_headers.contains(&name);
        let of_aws = headers.keys().map(HeaderName::as_str).filter(|name| name.starts_with("x-amz-"));
        match of_aws.chain([HOST.as_str()]).find(|name| !signed(name)) {
            Some(name) => Err(wrong(&format!("'{name}' must be a 'SignedHeader' in the AWS Authorization."))),
            None => Ok(()),
        }
    }

    /// The signature that the request should have; nothing where none can be computed.
    fn computed(&self, keys: &AwsKeys, presented: &Presented<'_>, time: SystemTime) -> Option<String> {
        let mut names = self.signed_headers.clone();
        names.sort_unstable();
        names.dedup();
        // Otherwise the list that the client signed is another one than that which is computed.
        if names != self.signed_headers
            || names.iter().any(|name| name.bytes().any(|byte| byte.is_ascii_uppercase()))
        {
            return None;
        }
        // HTTP/2 has the host elsewhere; the library asks for it only where it is not given.
        let host = match presented.headers.get(HOST) {
            Some(host) => host.to_str().ok()?,
            None => presented.uri.authority()?.as_str(),
        };
        let mut headers = vec![(HOST.as_str(), host)];
        for name in names.into_iter().filter(|name| *name != HOST.as_str()) {
            let before = headers.len();
            for value in presented.headers.get_all(name) {
                headers.push((name, value.to_str().ok()?));
            }
            if headers.len() == before {
                return None;
            }
        }
        let identity = Credentials::new(
            &keys.access_key_id,
            keys.secret_access_key.expose_secret(),
            None,
            None,
            "settings",
        )
        .into();
        let mut settings = SigningSettings::default();
        // The client has said which ones are signed.
        settings.excluded_headers = None;
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(time)
            .settings(settings)
            .build()
            .ok()?
            .into();
        let path = presented.uri.path_and_query()?.as_str();
        let body = SignableBody::Bytes(presented.body);
        let request =
            SignableRequest::new(presented.method.as_str(), path, headers.into_iter(), body).ok()?;
        Some(sign(request, &parameters).ok()?.into_parts().1)
    }
}

fn wrong(said: &str) -> Refusal {
    Refusal::WrongSignature(said.to_owned())
}

#[cfg(test)]
mod tests;
