//! Names pinned from the OpenTelemetry semantic conventions, in one place.
//!
//! HTTP: stable since v1.23 (<https://opentelemetry.io/docs/specs/semconv/http/>). GenAI: v1.41,
//! still in development there (<https://opentelemetry.io/docs/specs/semconv/gen-ai/>), which is
//! why nothing outside this file spells a name.

/// HTTP method, or `_OTHER`.
pub const HTTP_REQUEST_METHOD: &str = "http.request.method";
/// HTTP status code of the answer.
pub const HTTP_RESPONSE_STATUS_CODE: &str = "http.response.status_code";
/// Route template.
pub const HTTP_ROUTE: &str = "http.route";
/// `http` or `https`.
pub const URL_SCHEME: &str = "url.scheme";
/// Kind of failure, bounded.
pub const ERROR_TYPE: &str = "error.type";

/// `chat` here.
pub const GEN_AI_OPERATION_NAME: &str = "gen_ai.operation.name";
/// `anthropic`, `openai`, `aws.bedrock`, `ollama`.
pub const GEN_AI_PROVIDER_NAME: &str = "gen_ai.provider.name";
/// Model asked for.
pub const GEN_AI_REQUEST_MODEL: &str = "gen_ai.request.model";
/// Model that answered.
pub const GEN_AI_RESPONSE_MODEL: &str = "gen_ai.response.model";
/// `input` or `output`.
pub const GEN_AI_TOKEN_TYPE: &str = "gen_ai.token.type";
/// The operation that summaries use.
pub const OPERATION_CHAT: &str = "chat";
/// Whether a simulator answered; not part of the conventions.
pub const SIMULATED: &str = "simulated";

/// The methods that may be a label; the last stands for everything else.
pub const METHODS: [&str; 10] =
    ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "_OTHER"];

/// The label of a method.
#[must_use]
pub fn method_label(method: &http::Method) -> &'static str {
    METHODS.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}
