//! Anthropic's wire protocol: what its clients see of `/v1/messages`, `/v1/messages/count_tokens`
//! and `/v1/models`.
//!
//! Written from Anthropic's API reference (<https://docs.anthropic.com/en/api/messages>) and its
//! Python client. Owns Anthropic's conventions: versions, keys, the names of errors, how a stream
//! goes. Must not decide what is answered or when.
//!
//! Known differences: the `model` of an answer ends in `+simulated`, which no real model's name can;
//! of what shapes an answer only `max_tokens`, `stop_sequences`, `output_config.format` and a forced
//! tool count, the rest is checked and has no effect; every model takes the fields of every other,
//! and every one goes on where the assistant was interrupted; answers have no thinking; tools of
//! Anthropic's own cannot be forced; definitions of tools are not counted as tokens; results of tools
//! are not held against their calls; nothing is cached; batches and files are not there.

mod asked;
mod body;
mod limits;
mod messages;
mod models;
mod refusal;
mod told;
mod tools;
mod version;
mod wire;

use axum::Extension;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http_server::Reset;

use self::asked::{Asked, Kind};
use self::refusal::{Failed, Refusal};
use self::told::Told;
use self::version::Version;
use super::serving::{Refused, aside, bearer, json_answer, serve};
use super::{Shared, identity, tenant};
use crate::call::{Call, Protocol};
use crate::question::Question;

pub(super) use self::models::{model, models};

const JSON: &str = "application/json";
const VERSION: &str = "anthropic-version";

type RawBody = Result<Bytes, BytesRejection>;

/// Whether a request is for this protocol.
pub(super) fn asked(headers: &HeaderMap) -> bool {
    headers.contains_key(VERSION)
}

/// `POST /v1/messages`.
pub(super) async fn create(
    State(shared): State<Shared>,
    reset: Option<Extension<Reset>>,
    headers: HeaderMap,
    body: RawBody,
) -> Result<Response, Refused> {
    let asked = read(&shared, Kind::Answer, &headers, body)?;
    let told = aside(asked.question.bytes(), || Told::new(&asked, shared.simulator.seed()));
    let call = Call {
        protocol: Protocol::Anthropic,
        route: "/v1/messages",
        question: asked.question,
        stream: asked.stream,
        tenant: tenant(&headers).or(asked.end_user),
    };
    let reset = reset.map(|Extension(reset)| reset);
    serve(shared, call, reset, told)
        .await
        .map_err(|(failure, allowance)| Refusal::Failed(Box::new(Failed { failure, allowance })).into())
}

/// What a body asks, as a recorder keeps it, and whether the answer is to come in events.
pub(super) fn recorded(body: &[u8]) -> Option<(Question, bool)> {
    let read = |version| Asked::read(Kind::Answer, version, true, body).ok();
    let asked = read(Version::Of2023).or_else(|| read(Version::Of2026))?;
    Some((asked.question, asked.stream))
}

/// `POST /v1/messages/count_tokens`.
pub(super) async fn count_tokens(
    State(shared): State<Shared>,
    headers: HeaderMap,
    body: RawBody,
) -> Result<Response, Refused> {
    let asked = read(&shared, Kind::Count, &headers, body)?;
    let input_tokens = aside(asked.question.bytes(), || asked.question.input_tokens());
    Ok(with_headers(json_answer(JSON, &wire::Count { input_tokens })))
}

/// Any other path of this protocol.
pub(super) async fn not_found() -> Refused {
    refuse_path()
}

/// The refusal of a path that there is not.
pub(super) fn refuse_path() -> Refused {
    Refusal::UnknownPath.into()
}

/// Any other method; the `Allow` header is axum's.
pub(super) async fn method_not_allowed() -> Refused {
    Refusal::WrongMethod.into()
}

fn read(shared: &Shared, kind: Kind, headers: &HeaderMap, body: RawBody) -> Result<Asked, Refusal> {
    let version = authorize(shared, headers)?;
    let beta = headers.contains_key("anthropic-beta");
    let body = body?;
    let asked = aside(body.len(), || Asked::read(kind, version, beta, &body))?;
    if shared.simulator.models().offers(&asked.question.model) {
        Ok(asked)
    } else {
        Err(Refusal::ModelNotFound(asked.question.model))
    }
}

/// Checks the key, `x-api-key` or else a bearer token, and then the version.
fn authorize(shared: &Shared, headers: &HeaderMap) -> Result<Version, Refusal> {
    let key = headers.get("x-api-key").and_then(|key| key.to_str().ok()).filter(|key| !key.is_empty());
    let token = headers.get(AUTHORIZATION).and_then(bearer);
    let (key, wrong) = match (key, token) {
        (Some(key), _) => (key, Refusal::WrongKey),
        (None, Some(token)) => (token, Refusal::WrongToken),
        (None, None) => return Err(Refusal::NoKey),
    };
    if shared.api_key.as_ref().is_some_and(|ours| !ours.matches(key)) {
        return Err(wrong);
    }
    let version = headers.get(VERSION).ok_or(Refusal::NoVersion)?;
    let named = version.to_str().ok().and_then(Version::named);
    named.ok_or_else(|| Refusal::WrongVersion(String::from_utf8_lossy(version.as_bytes()).into_owned()))
}

fn with_headers(mut response: Response) -> Response {
    response.headers_mut().extend(limits::headers(&identity::request_id(), None));
    response
}
