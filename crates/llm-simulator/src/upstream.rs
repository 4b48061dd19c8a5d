//! The provider behind the recorder: which requests go there, how they are written, and how long is
//! waited.
//!
//! Owns that nothing is ever sent anywhere else: whatever a client writes, the scheme, host, port
//! and path prefix are those of the setting, redirects are not followed, and no proxy of the
//! environment is used. Must not know what is recorded, nor axum.

use std::error::Error;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningParams, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method};
use reqwest::{Body, Client, Request, Response, redirect};
use secrecy::ExposeSecret;
use telemetry::Metrics;
use tokio::time::timeout;
use url::Url;

use crate::settings::AwsKeys;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Headers that belong to one connection; RFC 9110, section 7.6.1.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// What a signature of AWS takes the place of.
const SIGNATURE: [&str; 4] = ["authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"];
/// The region of a host that names none.
const REGION: &str = "us-east-1";
/// The name of Bedrock in signatures.
const SERVICE: &str = "bedrock";

/// Why there can be no such upstream.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// It is no URL of HTTP.
    #[error("--upstream is no URL such as http://127.0.0.1:11434 or https://api.openai.com")]
    Url,
    /// It names a user or password, a query or a fragment.
    #[error(
        "--upstream is to name a place only: leave user, password, query and fragment out; clients send their own keys"
    )]
    More,
    /// The client for it cannot be made.
    #[error("no client for the upstream: {0}")]
    Client(#[source] reqwest::Error),
}

impl UpstreamError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::More => "more_than_url",
            Self::Client(_) => "client",
        }
    }
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// Its path leads out of the upstream.
    #[error("the path leads out of the upstream")]
    Path,
    /// It could not be signed.
    #[error("the request cannot be signed: {0}")]
    Signature(String),
    /// The upstream could not be reached, or broke the connection off.
    #[error("{host} cannot be reached: {reason}")]
    Unreachable {
        /// The upstream.
        host: String,
        /// Why.
        reason: String,
    },
    /// The upstream did not begin to answer.
    #[error("{host} did not begin to answer within {} s", waited.as_secs())]
    TimedOut {
        /// The upstream.
        host: String,
        /// How long was waited.
        waited: Duration,
    },
}

impl Unanswered {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Path => "upstream_path",
            Self::Signature(_) => "upstream_signature",
            Self::Unreachable { .. } => "upstream_unreachable",
            Self::TimedOut { .. } => "upstream_timed_out",
        }
    }
}

/// The provider behind the recorder.
#[derive(Debug)]
pub struct Upstream {
    base: Url,
    client: Client,
    patience: Duration,
    keys: Option<AwsKeys>,
    /// Where requests are counted, if anywhere.
    counted: Option<telemetry::Upstream>,
}

impl Upstream {
    /// The upstream at a URL. `patience` is waited for an answer to begin, and for each further
    /// piece of it. With keys, requests can be signed anew.
    ///
    /// # Errors
    /// When the URL names no place of HTTP, or more than a place.
    pub fn new(url: &str, patience: Duration, keys: Option<AwsKeys>) -> Result<Self, UpstreamError> {
        let base = Url::parse(url).map_err(|_| UpstreamError::Url)?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(UpstreamError::Url);
        }
        let plain = base.username().is_empty() && base.password().is_none();
        if !plain || base.query().is_some() || base.fragment().is_some() {
            return Err(UpstreamError::More);
        }
        let client = Client::builder()
            .connect_timeout(CONNECT)
            .redirect(redirect::Policy::none())
            .no_proxy()
            // Small pieces are not to wait for each other.
            .tcp_nodelay(true)
            .build()
            .map_err(UpstreamError::Client)?;
        Ok(Self { base, client, patience, keys, counted: None })
    }

    /// The same, with its requests counted there.
    #[must_use]
    pub fn counted_in(self, metrics: &Metrics) -> Self {
        let host = self.base.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let counted = metrics.upstream(host, self.base.port_or_known_default().unwrap_or_default());
        Self { counted: Some(counted), ..self }
    }

    /// Its host and port.
    #[must_use]
    pub fn host(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        self.base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// How long is waited for each piece of an answer.
    #[must_use]
    pub const fn patience(&self) -> Duration {
        self.patience
    }

    /// Whether requests can be signed anew.
    #[must_use]
    pub const fn signs(&self) -> bool {
        self.keys.is_some()
    }

    /// A request for the upstream. `target` is a path with its query.
    ///
    /// # Errors
    /// When the path leads out of the upstream.
    pub fn request(&self, method: Method, target: &str, headers: &HeaderMap) -> Result<Request, Unanswered> {
        if !target.starts_with('/') {
            return Err(Unanswered::Path);
        }
        let prefix = self.base.path().trim_end_matches('/');
        // The text of an origin ends before the path; what follows begins with a slash.
        let origin = self.base.origin().ascii_serialization();
        let url = Url::parse(&format!("{origin}{prefix}{target}")).map_err(|_| Unanswered::Path)?;
        let inside = url.path().strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
        if url.origin() != self.base.origin() || !url.username().is_empty() || !inside {
            return Err(Unanswered::Path);
        }
        let mut request = Request::new(method, url);
        *request.headers_mut() = end_to_end(headers);
        let headers = request.headers_mut();
        headers.remove(header::HOST);
        headers.remove(header::EXPECT);
        // What is compressed cannot be read on its way.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        Ok(request)
    }

    /// Signs a request with the recorder's own keys, where it has any: the signature that the client
    /// made is for the recorder's name.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn sign(&self, request: &mut Request) -> Result<(), Unanswered> {
        let Some(keys) = &self.keys else { return Ok(()) };
        let failed = |error: &dyn Error| Unanswered::Signature(error.to_string());
        for name in SIGNATURE {
            request.headers_mut().remove(name);
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
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let params: SigningParams<'_> = v4::SigningParams::builder()
            .identity(&identity)
            .region(region(self.base.host_str().unwrap_or_default()))
            .name(SERVICE)
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .map_err(|error| failed(&error))?
            .into();
        let body = request.body().and_then(Body::as_bytes).unwrap_or_default();
        let media = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let signed_headers = media.map(|media| ("content-type", media));
        let signable = SignableRequest::new(
            request.method().as_str(),
            request.url().as_str(),
            signed_headers.into_iter(),
            SignableBody::Bytes(body),
        )
        .map_err(|error| failed(&error))?;
        let (instructions, _) = sign(signable, &params).map_err(|error| failed(&error))?.into_parts();
        let signed: Vec<(String, String)> =
            instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        for (name, value) in signed {
            let name: HeaderName = name.parse().map_err(|error| failed(&error))?;
            let value = HeaderValue::from_str(&value).map_err(|error| failed(&error))?;
            request.headers_mut().insert(name, value);
        }
        Ok(())
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// When none comes.
    pub async fn send(&self, request: Request) -> Result<Response, Unanswered> {
        let host = self.host();
        let sent = self.counted.as_ref().map(|counted| counted.begin(request.method()));
        let answer = match timeout(self.patience, self.client.execute(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(Unanswered::Unreachable { host, reason: reason(error) }),
            Err(_) => Err(Unanswered::TimedOut { host, waited: self.patience }),
        };
        if let Some(sent) = sent {
            match &answer {
                Ok(response) => sent.answered(response.status().as_u16()),
                Err(error) => sent.failed(error.kind()),
            }
        }
        answer
    }
}

/// The innermost cause, without the URL: its query may hold a key.
#[must_use]
pub fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Headers without those that belong to one connection.
#[must_use]
pub fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let mut kept = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let of_hop = HOP_BY_HOP.contains(&name.as_str()) || named.iter().any(|named| named == name.as_str());
        if !of_hop {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}

/// The region that a host of Bedrock's names, as in `bedrock-runtime.eu-west-1.amazonaws.com`.
fn region(host: &str) -> &str {
    let after = host.strip_prefix("bedrock-runtime.").or_else(|| host.strip_prefix("bedrock-runtime-fips."));
    after.and_then(|rest| rest.split_once(".amazonaws.com")).map_or(REGION, |(region, _)| region)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, HeaderValue, Method};

    use super::{Unanswered, Upstream, UpstreamError, end_to_end, region};
    use crate::settings::AwsKeys;

    fn upstream(url: &str) -> Upstream {
        Upstream::new(url, Duration::from_secs(1), None).unwrap()
    }

    #[test]
    fn every_path_stays_at_the_upstream() {
        let plain = upstream("http://127.0.0.1:11434");
        let below = upstream("https://example.com/openai/");
        let url = |upstream: &Upstream, target: &str| {
            upstream.request(Method::GET, target, &HeaderMap::new()).map(|request| request.url().to_string())
        };
        for (target, at) in [
            ("/api/chat?x=1", "http://127.0.0.1:11434/api/chat?x=1"),
            ("//evil.example/x", "http://127.0.0.1:11434//evil.example/x"),
            ("/@evil.example/x", "http://127.0.0.1:11434/@evil.example/x"),
            ("/../../x", "http://127.0.0.1:11434/x"),
            ("/\\evil.example", "http://127.0.0.1:11434//evil.example"),
            ("/model/a%3Ab%2Fc/converse", "http://127.0.0.1:11434/model/a%3Ab%2Fc/converse"),
        ] {
            assert_eq!(url(&plain, target).unwrap(), at);
        }
        assert_eq!(url(&below, "/v1/x").unwrap(), "https://example.com/openai/v1/x");
        for target in
            ["/../x", "/a/../../x", "/%2e%2e/x", "*", "", "@evil.example/", ":99/x", ".evil.example/x"]
        {
            assert_eq!(url(&below, target), Err(Unanswered::Path), "{target}");
        }
    }

    #[test]
    fn a_place_of_http_is_wanted_and_no_more() {
        let refused = |url: &str| Upstream::new(url, Duration::from_secs(1), None).unwrap_err();
        for url in ["", "api.openai.com", "ftp://x", "file:///etc/passwd", "http://"] {
            assert!(matches!(refused(url), UpstreamError::Url), "{url}");
        }
        for url in ["http://u:secret@h/", "https://h/?key=secret", "https://h/#x"] {
            let error = refused(url);
            assert!(matches!(error, UpstreamError::More) && !error.to_string().contains("secret"), "{url}");
        }
    }

    #[test]
    fn what_belongs_to_one_connection_does_not_pass() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "x-mine, close"),
            ("x-mine", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("x-yours", "1"),
            ("host", "127.0.0.1:7006"),
            ("accept-encoding", "gzip"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        assert_eq!(end_to_end(&headers).len(), 3);
        let request = upstream("http://h").request(Method::GET, "/", &headers).unwrap();
        assert_eq!(request.headers().len(), 2);
        assert_eq!(request.headers()["accept-encoding"], "identity");
    }

    #[test]
    fn with_keys_requests_are_signed_anew_for_the_upstream() {
        let keys =
            AwsKeys { access_key_id: "AKID".to_owned(), secret_access_key: "secret".to_owned().into() };
        let host = "https://bedrock-runtime.eu-west-1.amazonaws.com";
        let upstream = Upstream::new(host, Duration::from_secs(1), Some(keys)).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("AWS4-HMAC-SHA256 Credential=OTHER/x"));
        headers.insert("x-amz-security-token", HeaderValue::from_static("token"));
        let mut request = upstream.request(Method::POST, "/model/a%3A0/converse", &headers).unwrap();
        *request.body_mut() = Some("{}".into());
        upstream.sign(&mut request).unwrap();
        let said = request.headers()["authorization"].to_str().unwrap();
        assert!(
            said.contains("Credential=AKID/") && said.contains("/eu-west-1/bedrock/aws4_request"),
            "{said}"
        );
        assert!(request.headers().contains_key("x-amz-date"));
        assert!(!request.headers().contains_key("x-amz-security-token"));
        assert_eq!(region("localhost"), "us-east-1");
    }
}
