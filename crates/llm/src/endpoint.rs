//! A provider's address over HTTP: the client, its deadlines, one request a call, and what a refusal
//! says before anyone looks into its body.
//!
//! Owns what the adapters on HTTP share. Must not know a provider's JSON.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use futures::StreamExt;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use telemetry::{Metrics, Upstream};
use tokio::time::{Instant, timeout_at};

use crate::{Beginning, ErrorKind, LlmError, ProviderName, Trail};

/// Longest wait for a connection.
pub(crate) const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// Longest silence within an answer; loading a model can take this long.
pub(crate) const SILENCE_DEADLINE: Duration = Duration::from_secs(60);
/// Longest wait for the body of a refusal, whose status is known already.
pub(crate) const REFUSAL_DEADLINE: Duration = Duration::from_secs(3);
/// Bytes of a refusal's body that are read.
pub(crate) const LONGEST_REFUSAL: usize = 16 << 10;
/// Characters of a provider's own words in an error.
const LONGEST_QUOTE: usize = 300;
/// Longest wait that a provider can ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// Longest id of a call that is kept.
const LONGEST_ID: usize = 128;
/// Header with which a simulator marks its answers.
pub(crate) const SIMULATED_HEADER: &str = "x-llm-simulated";

/// An HTTP client for this address: connections within a deadline, no long silence, no redirects (they
/// would carry keys elsewhere), no repetitions of its own, and a proxy of the environment only for
/// what is not on this machine.
///
/// # Errors
/// When the address is none, or TLS cannot be set up.
pub(crate) fn client(base_url: &str, setting: &str) -> Result<(Client, Url), LlmError> {
    let invalid = || LlmError::new(ErrorKind::BadRequest, format!("{setting} is not an HTTP address"));
    let url = Url::parse(base_url).map_err(|_| invalid())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(invalid());
    }
    if url.query().is_some() || url.fragment().is_some() {
        let detail = format!("{setting} has a ? or # in it, after which no path can follow; leave it out");
        return Err(LlmError::new(ErrorKind::BadRequest, detail));
    }
    let builder = Client::builder()
        .connect_timeout(CONNECT_DEADLINE)
        .read_timeout(SILENCE_DEADLINE)
        .redirect(Policy::none())
        .retry(reqwest::retry::never());
    let builder = if is_loopback(&url) { builder.no_proxy() } else { builder };
    let client = builder.build().map_err(|error| {
        LlmError::new(ErrorKind::Unavailable, format!("no HTTP client: {}", cause(&error)))
    })?;
    Ok((client, url))
}

/// Where requests to this address are counted.
pub(crate) fn upstream(metrics: &Metrics, url: &Url) -> Upstream {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    metrics.upstream(host, url.port_or_known_default().unwrap_or_default())
}

/// Whether an address is this machine's own.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What a status says by itself.
pub(crate) const fn kind_of(status: u16) -> ErrorKind {
    match status {
        // 402: nothing is owed until someone pays, which is a matter of the account as keys are.
        401..=403 => ErrorKind::Unauthorized,
        // 524: the proxy of Cloudflare waited in vain.
        408 | 504 | 524 => ErrorKind::Timeout,
        413 => ErrorKind::ContextTooLong,
        429 => ErrorKind::RateLimited,
        503 | 529 => ErrorKind::Overloaded,
        300..=499 => ErrorKind::BadRequest,
        _ => ErrorKind::Unavailable,
    }
}

/// How long a provider asks us to wait: `retry-after-ms`, or `retry-after` in seconds (whole ones by
/// RFC 9110 section 10.2.3, fractions by habit) or as a date, an hour at most.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(wait) = header("retry-after-ms").and_then(|text| seconds(text, 1000.0)) {
        return Some(wait);
    }
    let text = header(RETRY_AFTER.as_str())?;
    seconds(text, 1.0).or_else(|| {
        let date = httpdate::parse_http_date(text).ok()?;
        Some(date.duration_since(SystemTime::now()).unwrap_or_default().min(LONGEST_WAIT))
    })
}

fn seconds(text: &str, per_second: f64) -> Option<Duration> {
    // Rust reads "inf" and "nan" as numbers, too.
    let number: f64 = text.starts_with(|first: char| first.is_ascii_digit()).then(|| text.parse().ok())??;
    Some(Duration::from_secs_f64((number / per_second).min(LONGEST_WAIT.as_secs_f64())))
}

/// The provider's own id of a call.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<String> {
    ["request-id", "x-request-id", "x-amzn-requestid"]
        .into_iter()
        .filter_map(|name| headers.get(name)?.to_str().ok())
        .find_map(checked_id)
}

/// An id that is one: short, and without spaces.
pub(crate) fn checked_id(id: &str) -> Option<String> {
    let fits = !id.is_empty() && id.len() <= LONGEST_ID && id.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| id.to_owned())
}

/// A provider's own words, fit to be shown: short, in one line, without anything that looks like a key.
pub(crate) fn quote(text: &str, key: Option<&SecretString>) -> String {
    let hidden = key.map(ExposeSecret::expose_secret).filter(|key| !key.is_empty());
    let text = hidden.map_or_else(|| text.to_owned(), |key| text.replace(key, "***"));
    let text: String = text
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .take(LONGEST_QUOTE)
        .collect();
    let words = text.split_whitespace().map(|word| if looks_like_a_key(word) { "***" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

fn looks_like_a_key(word: &str) -> bool {
    let word = word.trim_matches(|edge: char| !edge.is_ascii_alphanumeric());
    ["sk-", "sk_", "AKIA", "ASIA", "xox", "eyJ"].iter().any(|opening| word.contains(opening))
}

/// A provider's address, with its key.
pub(crate) struct Endpoint {
    client: Client,
    base: String,
    provider: ProviderName,
    key: Option<SecretString>,
    /// Where requests are counted, if anywhere.
    upstream: OnceLock<Upstream>,
    /// The provider, as people call it.
    pub(crate) who: &'static str,
    /// The setting that has the address.
    pub(crate) setting: &'static str,
}

/// A refusal: what its status and headers say, and the beginning of its body.
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    retry_after: Option<Duration>,
    request_id: Option<String>,
}

impl Endpoint {
    /// The provider at this address.
    ///
    /// # Errors
    /// As [`client`].
    pub(crate) fn new(
        provider: ProviderName,
        who: &'static str,
        setting: &'static str,
        base_url: &str,
        key: Option<SecretString>,
    ) -> Result<Self, LlmError> {
        let (client, _) = client(base_url, setting)?;
        let (base, upstream) = (base_url.trim_end_matches('/').to_owned(), OnceLock::new());
        Ok(Self { client, base, provider, key, upstream, who, setting })
    }

    /// From now on requests are counted there.
    pub(crate) fn count_in(&self, metrics: &Metrics) {
        if let Ok(url) = Url::parse(&self.base) {
            self.upstream.get_or_init(|| upstream(metrics, &url));
        }
    }

    /// The address, without a password that stands in it.
    pub(crate) fn shown(&self) -> String {
        let Ok(mut url) = Url::parse(&self.base) else { return String::new() };
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_query(None);
        url.as_str().trim_end_matches('/').to_owned()
    }

    /// `path` at this address. An address that ends with the version that the path begins with is
    /// taken for what was meant.
    fn url(&self, path: &str) -> String {
        let base = if path.starts_with("/v1/") { self.base.strip_suffix("/v1") } else { None };
        format!("{}{path}", base.unwrap_or(&self.base))
    }

    /// Sends one request of `trail`, with the trace context of the current span.
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) async fn post(
        &self,
        path: &str,
        mut headers: HeaderMap,
        body: &(impl Serialize + Sync),
        trail: &Trail,
    ) -> Result<Response, LlmError> {
        telemetry::inject_trace_context(&mut headers);
        let request = self.client.post(self.url(path)).headers(headers).json(body);
        let sent = self.upstream.get().map(|upstream| upstream.begin(&Method::POST).due(trail.due()));
        match request.send().await {
            Ok(response) => {
                if let Some(sent) = sent {
                    sent.answered(response.status().as_u16());
                }
                Ok(response)
            }
            Err(error) => {
                let error = self.unreachable(&error);
                if let Some(sent) = sent {
                    sent.failed(error.kind());
                }
                Err(error)
            }
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> LlmError {
        let (who, at, setting) = (self.who, self.shown(), self.setting);
        if error.is_timeout() && !error.is_connect() {
            let detail = format!("{who} at {at} did not answer in time; is its machine overloaded?");
            return LlmError::new(ErrorKind::Timeout, detail);
        }
        if error.is_connect() {
            let why = quote(&cause(error), self.key.as_ref());
            let detail = format!("{who} at {at} cannot be reached ({why}); start it or set {setting}");
            return LlmError::new(ErrorKind::Unavailable, detail);
        }
        let detail = format!("{who} at {at} closed the connection without an answer; ask again");
        LlmError::new(ErrorKind::Unavailable, detail)
    }

    /// What is known when an answer begins.
    pub(crate) fn beginning(&self, response: &Response, model: &str) -> Beginning {
        Beginning {
            provider: self.provider,
            requested_model: model.to_owned(),
            request_id: request_id(response.headers()),
            simulated: response.headers().contains_key(SIMULATED_HEADER),
        }
    }

    /// Reads the beginning of a refusal.
    pub(crate) async fn refusal(&self, response: Response) -> Refusal {
        let status = response.status().as_u16();
        let (retry_after, request_id) = (retry_after(response.headers()), request_id(response.headers()));
        let mut body = Vec::new();
        let mut pieces = response.bytes_stream();
        let end = Instant::now() + REFUSAL_DEADLINE;
        while let Ok(Some(Ok(piece))) = timeout_at(end, pieces.next()).await {
            let room = LONGEST_REFUSAL - body.len();
            body.extend(piece.iter().take(room));
            if piece.len() >= room {
                break;
            }
        }
        Refusal { status, body, retry_after, request_id }
    }

    /// A failure of this kind, by the status that told it, if one did, and the provider's own words, if
    /// it has any. Those of a refused key are left out: they may echo a part of it.
    pub(crate) fn failure(&self, kind: ErrorKind, status: Option<u16>, said: &str) -> LlmError {
        let (who, setting) = (self.who, self.setting);
        let status = status.map(|status| format!("status {status}"));
        let said = Some(quote(said, self.key.as_ref())).filter(|said| !said.is_empty());
        let told = said.is_some();
        let reason = match (status.clone(), said) {
            (Some(status), Some(said)) => format!("{status}: {said}"),
            (reason, None) | (None, reason) => reason.unwrap_or_else(|| "no reason given".to_owned()),
        };
        let detail = match kind {
            ErrorKind::Unauthorized => {
                let status = status.unwrap_or_else(|| "in its answer".to_owned());
                format!("{who} refused access ({status}); check its key")
            }
            ErrorKind::Timeout => format!("{who} gave up ({reason}); ask again"),
            ErrorKind::RateLimited => format!("{who} limits requests ({reason}); wait"),
            ErrorKind::Overloaded => format!("{who} is overloaded ({reason}); ask again later"),
            ErrorKind::ContextTooLong => {
                format!("the prompt is too long for {who}'s model ({reason}); shorten it")
            }
            ErrorKind::Refused => format!("{who} refuses this content ({reason})"),
            ErrorKind::BadRequest if told => format!("{who} does not accept the request ({reason})"),
            ErrorKind::BadRequest => {
                format!("{who} does not speak its protocol at {} ({reason}); check {setting}", self.shown())
            }
            ErrorKind::Unavailable | ErrorKind::BadAnswer | ErrorKind::NotAdmitted => {
                format!("{who} failed ({reason}); ask again later")
            }
        };
        LlmError::new(kind, detail)
    }
}

impl Refusal {
    /// The error with all that the headers said.
    pub(crate) fn completed(self, error: LlmError) -> LlmError {
        error.with_retry_after(self.retry_after).with_request_id(self.request_id)
    }

    /// The id that the body has, where no header has one.
    pub(crate) fn or_id(mut self, id: Option<&str>) -> Self {
        self.request_id = self.request_id.or_else(|| id.and_then(checked_id));
        self
    }
}

/// The innermost reason why there is no client or no connection. It has addresses in it, no headers.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
    use secrecy::SecretString;

    use super::{Endpoint, client, is_loopback, kind_of, quote, request_id, retry_after};
    use crate::{ErrorKind, ProviderName};

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let value = HeaderValue::from_str(value).unwrap();
        HeaderMap::from_iter([(HeaderName::from_static(name), value)])
    }

    #[test]
    fn waits_are_seconds_or_dates_and_bounded() {
        let wait = |text: &str| retry_after(&headers("retry-after", text));
        let second = Duration::from_secs(1);
        for (text, expected) in [
            ("7", Some(7 * second)),
            (" 0 ", Some(Duration::ZERO)),
            ("2.5", Some(Duration::from_millis(2500))),
            ("99999999999999999999999", Some(3600 * second)),
            ("1e400", Some(3600 * second)),
            ("-1", None),
            ("nan", None),
            ("inf", None),
            ("soon", None),
            ("", None),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(Duration::ZERO)),
            ("Wed, 21 Oct 2415 07:28:00 GMT", Some(3600 * second)),
        ] {
            assert_eq!(wait(text), expected, "{text:?}");
        }
        let date = wait(&httpdate::fmt_http_date(SystemTime::now() + 30 * second)).unwrap();
        assert!(date > 28 * second && date <= 30 * second, "{date:?}");
        assert_eq!(retry_after(&headers("retry-after-ms", "1500")), Some(Duration::from_millis(1500)));
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn statuses_have_kinds() {
        for (kind, statuses) in [
            (ErrorKind::Unauthorized, &[401, 402, 403][..]),
            (ErrorKind::Timeout, &[408, 504, 524]),
            (ErrorKind::ContextTooLong, &[413]),
            (ErrorKind::RateLimited, &[429]),
            (ErrorKind::Overloaded, &[503, 529]),
            (ErrorKind::BadRequest, &[301, 302, 307, 400, 404, 405, 409, 422]),
            (ErrorKind::Unavailable, &[500, 501, 502, 520, 599, 999]),
        ] {
            for status in statuses {
                assert_eq!(kind_of(*status), kind, "{status}");
            }
        }
    }

    #[test]
    fn ids_are_short_and_have_no_spaces() {
        assert_eq!(request_id(&headers("request-id", "req_1")).as_deref(), Some("req_1"));
        assert_eq!(request_id(&headers("x-request-id", "a-b")).as_deref(), Some("a-b"));
        assert_eq!(request_id(&headers("request-id", "a b")), None);
        assert_eq!(request_id(&headers("request-id", &"a".repeat(129))), None);
    }

    #[test]
    fn quotes_are_short_and_show_no_key() {
        let key = SecretString::from("topsecret");
        assert_eq!(quote("bad  key topsecret!\r\n\u{7}now", Some(&key)), "bad key ***! now");
        assert_eq!(quote("key: \"sk-ant-abc\".", None), "key: ***");
        assert_eq!(quote(&"é ".repeat(1000), None).chars().count(), 299);
        assert_eq!(quote("all", Some(&SecretString::from(""))), "all");
    }

    #[test]
    fn addresses_are_joined_and_shown_without_their_password() {
        let at = |base: &str| {
            Endpoint::new(ProviderName::Claude, "Anthropic", "ANTHROPIC_BASE_URL", base, None).unwrap()
        };
        for (base, url) in [
            ("http://h", "http://h/v1/messages"),
            ("http://h/", "http://h/v1/messages"),
            ("http://h/v1", "http://h/v1/messages"),
            ("http://h:8/proxy/", "http://h:8/proxy/v1/messages"),
        ] {
            assert_eq!(at(base).url("/v1/messages"), url);
        }
        assert_eq!(at("https://me:pass@h/a/").shown(), "https://h/a");
        for base in
            ["", "h", "ftp://h", "unix:/a", "http://", "http://h/a?api-version=1", "http://h?", "http://h/#a"]
        {
            assert_eq!(client(base, "X").unwrap_err().kind, ErrorKind::BadRequest, "{base}");
        }
    }

    #[test]
    fn what_is_on_this_machine_needs_no_proxy() {
        for (url, expected) in [
            ("http://127.0.0.1:1", true),
            ("http://127.9.9.9", true),
            ("http://[::1]:1", true),
            ("http://localhost", true),
            ("http://a.localhost", true),
            ("http://localhost.example", false),
            ("http://10.0.0.1", false),
            ("https://api.anthropic.com", false),
        ] {
            assert_eq!(is_loopback(&url.parse().unwrap()), expected, "{url}");
        }
    }
}
