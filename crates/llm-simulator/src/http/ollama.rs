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

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Serialize;
use serde_json::json;

use self::asked::{Asked, Kind, Shown};
use self::refusal::Refusal;
use self::told::Told;
use super::Shared;
use crate::delivery::Delivery;

/// The label of this protocol in metrics.
const PROTOCOL: &str = "ollama";
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
    json_answer(&json!({"version": VERSION}))
}

/// `GET /api/tags`: the models on offer, under the names that clients ask for.
pub(super) async fn tags(State(shared): State<Shared>) -> Response {
    let models: Vec<_> = shared
        .simulator
        .models()
        .iter()
        .map(|model| wire::TaggedModel::new(&names::with_tag(model)))
        .collect();
    json_answer(&wire::Tags { models })
}

/// `POST /api/show`: one model.
pub(super) async fn show(State(shared): State<Shared>, body: RawBody) -> Result<Response, Refusal> {
    let Shown { model } = Shown::read(&body?)?;
    match names::find(shared.simulator.models(), &model) {
        Some(_) => Ok(json_answer(&wire::ShownModel::new())),
        None => Err(Refusal::ModelNotFound(model)),
    }
}

/// `POST /api/chat`.
pub(super) async fn chat(State(shared): State<Shared>, body: RawBody) -> Result<Response, Refusal> {
    answer(shared, Asked::read(Kind::Chat, &body?)?).await
}

/// `POST /api/generate`.
pub(super) async fn generate(State(shared): State<Shared>, body: RawBody) -> Result<Response, Refusal> {
    answer(shared, Asked::read(Kind::Generate, &body?)?).await
}

/// Any other path under `/api/`.
pub(super) async fn not_found() -> impl IntoResponse {
    (StatusCode::NOT_FOUND, [(CONTENT_TYPE, TEXT)], "404 page not found")
}

/// Any other method; the `Allow` header is axum's.
pub(super) async fn method_not_allowed() -> impl IntoResponse {
    (StatusCode::METHOD_NOT_ALLOWED, [(CONTENT_TYPE, TEXT)], "405 method not allowed")
}

async fn answer(shared: Shared, mut asked: Asked) -> Result<Response, Refusal> {
    let Some(model) = names::find(shared.simulator.models(), &asked.question.model).map(str::to_owned) else {
        return Err(Refusal::ModelNotFound(asked.question.model));
    };
    asked.refuse_what_no_model_can()?;
    let requested = std::mem::replace(&mut asked.question.model, model);
    let mut told = Told::new(asked.kind, &requested);
    if let Some(reason) = asked.only_loads() {
        return Ok(json_answer(&told.loaded(reason)));
    }
    let model = &asked.question.model;
    let answer = shared.simulator.answer(&asked.question).map_err(|failure| {
        shared.metrics.simulator_answer(PROTOCOL, model, "error", 0, 0);
        Refusal::Simulated(failure)
    })?;
    let mut delivery = Delivery::start(answer, PROTOCOL, model, shared.metrics);
    if asked.keeps_context() {
        told.keep_context(&asked.question);
    }
    if asked.stream {
        // As Ollama does, the head of the answer waits for the first token.
        delivery.first().await;
        return Ok(streamed(told, delivery));
    }
    delivery.whole().await;
    let timing = delivery.finish();
    let answer = delivery.answer();
    Ok(json_answer(&told.end(answer.text(), answer, &timing)))
}

/// One line a token and one at the end. Dropped with the connection, it stops.
fn streamed(told: Told, delivery: Delivery) -> Response {
    let lines = stream::unfold(Some((told, delivery)), async |state| {
        let (told, mut delivery) = state?;
        let line = match delivery.next().await {
            Some(piece) => line(&told.part(piece)),
            None => {
                let timing = delivery.finish();
                return Some((line(&told.end("", delivery.answer(), &timing)), None));
            }
        };
        Some((line, Some((told, delivery))))
    });
    ([(CONTENT_TYPE, NDJSON)], Body::from_stream(lines)).into_response()
}

fn line(value: &impl Serialize) -> Result<Bytes, Infallible> {
    let mut line = encoded(value);
    line.push(b'\n');
    Ok(line.into())
}

fn json_answer(value: &impl Serialize) -> Response {
    ([(CONTENT_TYPE, JSON)], encoded(value)).into_response()
}

fn encoded(value: &impl Serialize) -> Vec<u8> {
    // Strings, numbers and lists only: this cannot fail.
    serde_json::to_vec(value).unwrap_or_default()
}
