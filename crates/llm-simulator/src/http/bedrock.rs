//! Amazon Bedrock's wire protocol: what its clients see of Converse and ConverseStream.
//!
//! Written from Bedrock's API reference
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>), its model
//! in botocore (`bedrock-runtime` 2023-09-30), and what clients were told, as their issues quote it.
//! Owns Bedrock's conventions: who may ask, how models are named, what a conversation has to look
//! like. Must not decide what is answered or when.
//!
//! Known differences: no answer of Converse names a model, so the header alone marks it as
//! simulated; of `inferenceConfig` only `maxTokens` and `stopSequences` have an effect, of
//! `outputConfig` only a JSON schema; images, videos, tools, guardrails and model-specific fields are
//! accepted and have no effect; events are not
//! padded (AWS adds a member `p` of random length, which clients skip); any region is the right one;
//! a signature in the query is not taken. Prompt resources (`:prompt/`) are models like any other.

mod access;
mod asked;
mod fields;
mod frame;
mod models;
mod refusal;
mod signature;
mod told;

use std::time::SystemTime;

use axum::Extension;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use http_server::Reset;

use self::access::{Keys, Presented};
use self::asked::Asked;
use self::refusal::Refusal;
use self::told::Told;
use super::serving::{Refused, aside, serve};
use super::{Shared, tenant};
use crate::call::{Call, Protocol};
use crate::question::Question;

const JSON: &str = "application/json";

/// Every answer has one, a new one each time.
const REQUEST_ID: &str = "x-amzn-requestid";

/// What every request for an answer brings.
type Head = (State<Shared>, Option<Extension<Reset>>, Method, Uri, HeaderMap);
type ModelId = Result<Path<String>, PathRejection>;
type RawBody = Result<Bytes, BytesRejection>;

/// `POST /model/{modelId}/converse`.
pub(super) async fn converse(head: Head, model: ModelId, body: RawBody) -> Result<Response, Refused> {
    Ok(answer(head, model, body, false).await?)
}

/// `POST /model/{modelId}/converse-stream`.
pub(super) async fn converse_stream(head: Head, model: ModelId, body: RawBody) -> Result<Response, Refused> {
    Ok(answer(head, model, body, true).await?)
}

/// What a body asks, as a recorder keeps it, but for the model, which the path names.
pub(super) fn recorded(body: &[u8]) -> Option<Question> {
    Asked::read(body).ok().map(|asked| asked.question)
}

/// Any other operation on a model, and any other method.
pub(super) async fn unknown_operation() -> Refused {
    Refusal::UnknownOperation.into()
}

async fn answer(
    (State(shared), reset, method, uri, headers): Head,
    model: ModelId,
    body: RawBody,
    stream: bool,
) -> Result<Response, Refusal> {
    let body = body?;
    let presented = Presented { method: &method, uri: &uri, headers: &headers, body: &body };
    let keys = Keys { api_key: shared.api_key.as_ref(), aws_keys: shared.aws_keys.as_deref() };
    aside(body.len(), || access::check(keys, &presented, SystemTime::now()))?;
    let Asked { mut question, tells_stop_sequence } = aside(body.len(), || Asked::read(&body))?;
    let offered = shared.simulator.models();
    let found = model.ok().and_then(|Path(model)| models::find(offered, &model).map(str::to_owned));
    question.model = found.ok_or(Refusal::ModelUnknown)?;
    let call = Call {
        protocol: Protocol::Bedrock,
        route: if stream { "/model/{modelId}/converse-stream" } else { "/model/{modelId}/converse" },
        question,
        stream,
        tenant: tenant(&headers),
    };
    let reset = reset.map(|Extension(reset)| reset);
    let told = Told::new(stream, tells_stop_sequence);
    serve(shared, call, reset, told).await.map_err(|(failure, _)| Refusal::Failed(failure))
}
