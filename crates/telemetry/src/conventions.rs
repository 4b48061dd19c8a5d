//! Names pinned from the OpenTelemetry semantic conventions, in one place.
//!
//! HTTP: stable since v1.23 (<https://opentelemetry.io/docs/specs/semconv/http/>). GenAI: two
//! versions, in [`gen_ai`]. Nothing outside these files and the metric table spells a name.

pub mod gen_ai;

/// HTTP method, or `_OTHER`.
pub const HTTP_REQUEST_METHOD: &str = "http.request.method";
/// HTTP status code of the answer.
pub const HTTP_RESPONSE_STATUS_CODE: &str = "http.response.status_code";
/// Route template.
pub const HTTP_ROUTE: &str = "http.route";
/// `http` or `https`.
pub const URL_SCHEME: &str = "url.scheme";
/// Host that a request is sent to, by configuration.
pub const SERVER_ADDRESS: &str = "server.address";
/// Its port.
pub const SERVER_PORT: &str = "server.port";
/// Kind of failure, bounded.
pub const ERROR_TYPE: &str = "error.type";

/// The methods that may be a label; the last stands for everything else.
pub const METHODS: [&str; 10] =
    ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "_OTHER"];

/// The label of a method.
#[must_use]
pub fn method_label(method: &http::Method) -> &'static str {
    METHODS.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}
