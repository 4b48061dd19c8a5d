//! Keeps out pages of other sites: a name that an attacker points at loopback, and a browser's
//! cross-origin write.

use std::net::IpAddr;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use common_models::Problem;
use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderValue, Method, Uri};

use crate::ProblemResponse;
use crate::cors::Origin;
use crate::listener::ListenSettings;

/// The host names under which a service answers, and the origins whose pages may write.
pub(super) struct Hosts {
    any: bool,
    names: Vec<String>,
    origins: Vec<Origin>,
}

impl Hosts {
    pub(super) fn new(settings: &ListenSettings) -> Self {
        let mut names: Vec<String> = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).to_vec();
        if !settings.address.is_unspecified() {
            names.push(match settings.address {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(address) => format!("[{address}]"),
            });
        }
        names.extend(settings.allowed_hosts.iter().map(|name| name.to_ascii_lowercase()));
        let any = names.iter().any(|name| name == "*");
        Self { any, names, origins: settings.cors_allowed_origins.clone() }
    }

    fn allows(&self, host: &str) -> bool {
        self.any || self.names.iter().any(|name| name.eq_ignore_ascii_case(host))
    }

    /// Why this request is none for us, if it is not.
    pub(super) fn refuse(&self, request: &Request) -> Option<Response> {
        self.problem(request).map(|problem| ProblemResponse(problem).into_response())
    }

    fn problem(&self, request: &Request) -> Option<Problem> {
        let mut headers = request.headers().get_all(HOST).iter();
        let header = headers.next();
        if headers.next().is_some() {
            return Some(invalid());
        }
        let header = header.map(|value| value.to_str().unwrap_or_default());
        // HTTP/2 has it here, and HTTP/1 for proxies; it counts more than the header, which must be
        // ours nevertheless.
        let authority = request.uri().authority().map(Authority::as_str);
        let named = authority.or(header);
        if named.is_none() {
            return Some(invalid());
        }
        for written in [authority, header].into_iter().flatten() {
            let Some(host) = host(written) else { return Some(invalid()) };
            if !self.allows(host) {
                return Some(
                    Problem::new(
                        421,
                        "host_not_allowed",
                        "This service does not answer under this host name",
                    )
                    .with_detail(format!("{host} is not among the allowed hosts; ALLOWED_HOSTS can add it.")),
                );
            }
        }
        let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        if safe {
            return None;
        }
        let origin = request.headers().get(ORIGIN)?;
        if self.origins.iter().any(|allowed| allowed.is(origin)) || is_same(origin, named) {
            return None;
        }
        Some(
            Problem::new(403, "cross_origin", "Pages of other origins may not change anything here")
                .with_detail("Send the request from a page of this service or from a program."),
        )
    }
}

fn invalid() -> Problem {
    Problem::new(400, "host_missing", "The request names no valid host")
        .with_detail("Send one Host header with the name under which you reach this service.")
}

/// The host of `host:port`, if it is one.
pub(crate) fn host(authority: &str) -> Option<&str> {
    // The common case without parsing: a name or an address of version 4, perhaps with a port.
    let (host, port) = authority.split_once(':').unwrap_or((authority, "0"));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    if !host.is_empty() && host.bytes().all(plain) && port.parse::<u16>().is_ok() {
        return Some(host);
    }
    let parsed: Authority = authority.parse().ok()?;
    // Where in the text it stands, for what was parsed ends here.
    let start = authority.rfind('@').map_or(0, |at| at + 1);
    authority.get(start..start + parsed.host().len()).filter(|host| !host.is_empty())
}

/// Whether a page's origin is the host that was asked.
fn is_same(origin: &HeaderValue, named: Option<&str>) -> bool {
    let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    let named = named.and_then(|named| named.parse::<Authority>().ok());
    origin.is_some_and(|origin| origin.authority().is_some() && origin.authority() == named.as_ref())
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn a_host_is_what_stands_before_the_port() {
        for (authority, wanted) in [
            ("localhost", Some("localhost")),
            ("Books.Example:443", Some("Books.Example")),
            ("127.0.0.1:7002", Some("127.0.0.1")),
            ("[::1]:80", Some("[::1]")),
            ("[::1]", Some("[::1]")),
            ("me@evil.example:1", Some("evil.example")),
            ("under_score", Some("under_score")),
            ("", None),
            (":80", None),
            ("a b", None),
            ("a:b:c", None),
            ("localhost/evil.example", None),
        ] {
            assert_eq!(host(authority), wanted, "{authority:?}");
        }
    }
}
