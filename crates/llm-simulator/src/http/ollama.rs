//! Ollama's wire protocol: what its clients see of `/api/chat`, `/api/generate`, `/api/tags`,
//! `/api/show` and `/api/version`.
//!
//! Written from Ollama's API documentation (<https://github.com/ollama/ollama/blob/main/docs/api.md>)
//! and compared with a running Ollama 0.17.4. Owns Ollama's conventions: model names, the default
//! of streaming, the answers to an empty question. Must not decide what is answered or when.
//!
//! Known differences: the `model` of an answer ends in `+simulated`, which no real model's name
//! can; of `options` only `num_predict`, `seed` and `stop` count; images, tools and `context` are
//! accepted and have no effect.

mod asked;
mod body;
mod names;
mod refusal;
mod told;
mod wire;

use axum::Extension;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use http_server::Reset;
use serde_json::json;

use self::asked::{Asked, Kind, Shown};
use self::refusal::Refusal;
use self::told::Told;
use super::serving::{Refused, aside, json_answer, serve};
use super::{Shared, tenant};
use crate::call::{Call, Protocol};
use crate::question::Question;

/// The Ollama whose behaviour is imitated; as a semantic version, with build metadata that marks it.
const VERSION: &str = "0.17.4+simulated";

const JSON: &str = "application/json; charset=utf-8";
const NDJSON: &str = "application/x-ndjson";
const TEXT: &str = "text/plain";

type RawBody = Result<Bytes, BytesRejection>;

/// `GET /`: what Ollama's clients ask to see whether it runs.
pub(super) async fn running() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], "Ollama is running")
}

/// `GET /api/version`.
pub(super) async fn version() -> Response {
    json_answer(JSON, &json!({"version": VERSION}))
}

/// `GET /api/tags`: the models on offer, under the names that clients ask for.
pub(super) async fn tags(State(shared): State<Shared>) -> Response {
    let models: Vec<_> = shared
        .simulator
        .models()
        .named()
        .iter()
        .map(|model| wire::TaggedModel::new(&names::with_tag(model)))
        .collect();
    json_answer(JSON, &wire::Tags { models })
}

/// `POST /api/show`: one model.
pub(super) async fn show(State(shared): State<Shared>, body: RawBody) -> Result<Response, Refused> {
    let Shown { model } = Shown::read(&read(body)?)?;
    match names::find(shared.simulator.models(), &model) {
        Some(_) => Ok(json_answer(JSON, &wire::ShownModel::new())),
        None => Err(Refusal::ModelNotFound(model).into()),
    }
}

/// `POST /api/chat`.
pub(super) async fn chat(
    shared: State<Shared>,
    reset: Option<Extension<Reset>>,
    headers: HeaderMap,
    body: RawBody,
) -> Result<Response, Refused> {
    answer((shared, reset, headers), asked(Kind::Chat, body)?).await
}

/// `POST /api/generate`.
pub(super) async fn generate(
    shared: State<Shared>,
    reset: Option<Extension<Reset>>,
    headers: HeaderMap,
    body: RawBody,
) -> Result<Response, Refused> {
    answer((shared, reset, headers), asked(Kind::Generate, body)?).await
}

/// What a body asks, as a recorder keeps it, and whether the answer is to come in lines. Nothing
/// where it asks nothing.
pub(super) fn recorded(path: &str, body: &[u8]) -> Option<(Question, bool)> {
    let kind = if path == Kind::Chat.route() { Kind::Chat } else { Kind::Generate };
    let asked = Asked::read(kind, body).ok()?;
    Some((asked.question, asked.stream))
}

/// A model's name without what may be left out of it.
pub(super) fn plain_name(name: &str) -> String {
    names::plain(name)
}

fn asked(kind: Kind, body: RawBody) -> Result<Asked, Refusal> {
    let body = read(body)?;
    aside(body.len(), || Asked::read(kind, &body))
}

fn read(body: RawBody) -> Result<Bytes, Refusal> {
    body.map_err(Refusal::from)
}

/// Any other path under `/api/`.
pub(super) async fn not_found() -> impl IntoResponse {
    (StatusCode::NOT_FOUND, [(CONTENT_TYPE, TEXT)], "404 page not found")
}

/// Any other method; the `Allow` header is axum's.
pub(super) async fn method_not_allowed() -> impl IntoResponse {
    (StatusCode::METHOD_NOT_ALLOWED, [(CONTENT_TYPE, TEXT)], "405 method not allowed")
}

/// What every request for an answer brings.
type Head = (State<Shared>, Option<Extension<Reset>>, HeaderMap);

async fn answer((State(shared), reset, headers): Head, mut asked: Asked) -> Result<Response, Refused> {
    let Some(model) = names::find(shared.simulator.models(), &asked.question.model).map(str::to_owned) else {
        return Err(Refusal::ModelNotFound(asked.question.model).into());
    };
    asked.refuse_what_no_model_can()?;
    let requested = std::mem::replace(&mut asked.question.model, model);
    let mut told = Told::new(asked.kind, &requested);
    if let Some(reason) = asked.only_loads() {
        return Ok(json_answer(JSON, &told.loaded(reason)));
    }
    if asked.keeps_context() {
        told.keep_context(&asked.question);
    }
    let call = Call {
        protocol: Protocol::Ollama,
        route: asked.kind.route(),
        question: asked.question,
        stream: asked.stream,
        tenant: tenant(&headers),
    };
    let reset = reset.map(|Extension(reset)| reset);
    serve(shared, call, reset, told).await.map_err(|(failure, _)| Refusal::Failed(failure).into())
}
