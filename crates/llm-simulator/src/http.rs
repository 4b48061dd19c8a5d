//! The door: every route of every protocol, as a table.
//!
//! Owns paths, methods and what all handlers share. Each protocol has a file below; what they have
//! in common is the simulator behind them.

pub mod admin;
mod anthropic;
mod bedrock;
mod health;
mod identity;
mod json_body;
mod ollama;
mod openai;
pub mod recorder;
mod serving;
mod sse;
mod v1;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{any, get, post};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_server::ApiToken;
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use crate::settings::AwsKeys;
use crate::simulator::Simulator;

/// The header that marks every answer as simulated.
pub const SIMULATED_HEADER: HeaderName = HeaderName::from_static("x-llm-simulated");

/// The header by which a client says whose request it is.
const TENANT_HEADER: &str = "x-tenant-id";

/// Largest body that OpenAI's, Anthropic's and Ollama's routes take, in bytes: what Anthropic documents
/// (<https://docs.anthropic.com/en/api/overview#request-size-limits>). Ollama has no limit.
const LARGEST_BODY: usize = 32 * 1024 * 1024;
/// Largest body that Bedrock's routes take, in bytes: what the same page says of Bedrock.
const LARGEST_CONVERSATION: usize = 20 * 1024 * 1024;

/// What handlers share.
#[derive(Clone)]
pub struct Shared {
    /// What is answered.
    pub simulator: Arc<Simulator>,
    /// Where answers are counted.
    pub metrics: Metrics,
    /// The key that clients of OpenAI's and Anthropic's protocol must send, and that clients of Bedrock's
    /// may send in place of a signature; any where absent.
    pub api_key: Option<ApiToken>,
    /// The keys by which clients of Bedrock's must have signed; where absent any, and none where there is
    /// a key to be sent.
    pub aws_keys: Option<Arc<AwsKeys>>,
    /// Cancelled when the process is to stop.
    pub stop: CancellationToken,
}

/// All routes. `guard` says who may manage faults.
pub fn router(shared: Shared, guard: admin::Guard) -> Router {
    let metrics = http_server::metrics_route(shared.metrics.clone());
    let ollama = Router::new()
        .route("/", get(ollama::running).fallback(ollama::method_not_allowed))
        .route("/api/version", get(ollama::version).fallback(ollama::method_not_allowed))
        .route("/api/tags", get(ollama::tags).fallback(ollama::method_not_allowed))
        .route("/api/show", post(ollama::show).fallback(ollama::method_not_allowed))
        .route("/api/chat", post(ollama::chat).fallback(ollama::method_not_allowed))
        .route("/api/generate", post(ollama::generate).fallback(ollama::method_not_allowed))
        .route("/api/{*path}", any(ollama::not_found))
        .layer(DefaultBodyLimit::max(LARGEST_BODY));
    let openai = Router::new()
        .route("/v1/chat/completions", post(openai::chat).fallback(openai::method_not_allowed))
        .layer(DefaultBodyLimit::max(LARGEST_BODY));
    let anthropic = Router::new()
        .route("/v1/messages", post(anthropic::create).fallback(anthropic::method_not_allowed))
        .route(
            "/v1/messages/count_tokens",
            post(anthropic::count_tokens).fallback(anthropic::method_not_allowed),
        )
        .route("/v1/messages/{*path}", any(anthropic::not_found))
        .layer(DefaultBodyLimit::max(LARGEST_BODY));
    let v1 = Router::new()
        .route("/v1/models", get(v1::models).fallback(v1::method_not_allowed))
        .route("/v1/models/{*id}", get(v1::model).fallback(v1::method_not_allowed))
        .route("/v1", any(v1::not_found))
        .route("/v1/{*path}", any(v1::not_found));
    let bedrock = Router::new()
        .route("/model/{model}/converse", post(bedrock::converse).fallback(bedrock::unknown_operation))
        .route(
            "/model/{model}/converse-stream",
            post(bedrock::converse_stream).fallback(bedrock::unknown_operation),
        )
        .route("/model/{model}/{operation}", any(bedrock::unknown_operation))
        .layer(DefaultBodyLimit::max(LARGEST_CONVERSATION));
    let admin = Router::new()
        .route("/admin/faults", get(admin::show).put(admin::replace).delete(admin::clear))
        .layer(from_fn_with_state(guard, admin::guard));
    Router::new()
        .merge(admin)
        .merge(ollama)
        .merge(openai)
        .merge(anthropic)
        .merge(v1)
        .merge(bedrock)
        .route("/health", get(health::health))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .with_state(shared)
        .merge(metrics)
}

/// Whose request it is, where a header says so.
fn tenant(headers: &HeaderMap) -> Option<String> {
    let name = headers.get(TENANT_HEADER)?.to_str().ok()?.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// What marks every answer of a simulator: those of its protocols, and those of the door itself, which
/// clients take for the provider's, too. Only what hyper says to something that is no HTTP has none.
#[must_use]
pub fn marks() -> HeaderMap {
    HeaderMap::from_iter([(SIMULATED_HEADER, HeaderValue::from_static("true"))])
}
