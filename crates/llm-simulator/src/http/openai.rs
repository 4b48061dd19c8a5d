//! OpenAI's wire protocol: what its clients see of `/v1/chat/completions` and `/v1/models`.
//!
//! Written from OpenAI's API reference (<https://platform.openai.com/docs/api-reference/chat>) and
//! its Python client. Owns OpenAI's conventions: keys, the names of errors, how a stream ends. Must
//! not decide what is answered or when.
//!
//! Known differences: the `model` of an answer ends in `+simulated`, which no real model's name can;
//! of what shapes an answer only `max_tokens`, `max_completion_tokens`, `seed`, `stop`,
//! `response_format` and a forced call of a function count, the rest is checked and has no effect;
//! every model takes the fields of every other; `n` above one, log probabilities, audio and forced
//! custom tools are refused; definitions of tools are not counted as tokens; streams carry no
//! `obfuscation`; a wrong key is not shown, not even its ends.

mod asked;
mod body;
mod limits;
mod messages;
mod refusal;
mod told;
mod tools;
mod wire;

use axum::Extension;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::Response;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method, Uri};
use http_server::Reset;
use tokio::time::Instant;

use self::asked::Asked;
use self::refusal::{Failed, Refusal};
use self::told::Told;
use self::wire::{Model, ModelList};
use super::serving::{Refused, aside, bearer, json_answer, serve};
use super::{LARGEST_BODY, Shared, tenant};
use crate::call::{Call, Protocol};
use crate::question::Question;

const JSON: &str = "application/json";

/// `GET /v1/models`: the models on offer.
pub(super) fn models(shared: &Shared, headers: &HeaderMap) -> Result<Response, Refusal> {
    authorize(shared, headers)?;
    let data = shared.simulator.models().named().iter().map(|name| Model::new(name)).collect();
    Ok(with_headers(json_answer(JSON, &ModelList { object: "list", data })))
}

/// `GET /v1/models/{id}`: one of them.
pub(super) fn model(shared: &Shared, headers: &HeaderMap, id: &str) -> Result<Response, Refusal> {
    authorize(shared, headers)?;
    if !shared.simulator.models().offers(id) {
        return Err(Refusal::NoSuchModel(id.to_owned()));
    }
    Ok(with_headers(json_answer(JSON, &Model::new(id))))
}

/// `POST /v1/chat/completions`.
pub(super) async fn chat(
    State(shared): State<Shared>,
    reset: Option<Extension<Reset>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refused> {
    let started = Instant::now();
    authorize(&shared, &headers)?;
    let body = body.map_err(|rejection| Refusal::from((rejection, LARGEST_BODY)))?;
    let asked = aside(body.len(), || Asked::read(&body))?;
    drop(body);
    if !shared.simulator.models().offers(&asked.question.model) {
        return Err(Refusal::ModelNotFound(asked.question.model).into());
    }
    let told = aside(asked.question.bytes(), || Told::new(&asked, shared.simulator.seed()));
    let model = asked.question.model.clone();
    let call = Call {
        protocol: Protocol::OpenAi,
        route: "/v1/chat/completions",
        question: asked.question,
        stream: asked.stream,
        tenant: tenant(&headers).or(asked.end_user),
    };
    let reset = reset.map(|Extension(reset)| reset);
    let mut response = serve(shared, call, reset, told)
        .await
        .map_err(|(failure, allowance)| Refusal::Failed(Box::new(Failed { failure, allowance, model })))?;
    let took = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    response.headers_mut().insert(limits::PROCESSING, HeaderValue::from(took));
    Ok(response)
}

/// What a body asks, as a recorder keeps it, and whether the answer is to come in events.
pub(super) fn recorded(body: &[u8]) -> Option<(Question, bool)> {
    Asked::read(body).ok().map(|asked| (asked.question, asked.stream))
}

/// Any other path under `/v1/`.
pub(super) fn not_found(method: Method, uri: &Uri) -> Refused {
    Refusal::UnknownUrl(method, uri.path().to_owned()).into()
}

/// Any other method; the `Allow` header is axum's.
pub(super) async fn method_not_allowed(method: Method, uri: Uri) -> Refused {
    Refusal::WrongMethod(method, uri.path().to_owned()).into()
}

fn authorize(shared: &Shared, headers: &HeaderMap) -> Result<(), Refusal> {
    let key = headers.get(AUTHORIZATION).and_then(bearer).ok_or(Refusal::NoKey)?;
    match &shared.api_key {
        Some(ours) if !ours.matches(key) => Err(Refusal::WrongKey),
        _ => Ok(()),
    }
}

fn with_headers(mut response: Response) -> Response {
    response.headers_mut().extend(limits::headers(None));
    response
}
