//! `/admin/faults`: what fails on purpose, looked at and changed while running.
//!
//! Owns who may do that. On a private listener nobody but this machine's own programs can be asking,
//! and of pages in a browser none: the Host is checked, and what changes something is JSON or a method
//! that no form has. Elsewhere the token is asked for, for reading, too: rules may name tenants.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use common_models::{FieldError, Problem};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use http_server::extract::{Json, body_problem};
use http_server::{ApiToken, ProblemResponse, access};
use serde_json::{Value, json};

use super::Shared;
use crate::faults::{Faults, FaultsError, InForce};

/// Who may see and change faults.
#[derive(Clone, Debug)]
pub enum Guard {
    /// Whoever asks: only this machine's own programs can.
    Open,
    /// Whoever has the token.
    Token(ApiToken),
    /// Nobody: others can ask, and there is no token.
    Closed,
}

/// Lets through who may.
pub(super) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match &guard {
        Guard::Open => next.run(request).await,
        Guard::Token(token) if access::bears(request.headers(), token) => next.run(request).await,
        Guard::Token(_) => access::token_required(),
        Guard::Closed => {
            ProblemResponse(Problem::new(403, "admin_closed", "Faults cannot be managed here").with_detail(
                "Others than this machine can reach it, and no token guards it: set API_TOKEN and send it \
                 as Authorization: Bearer, or listen on loopback only (BIND_ADDRESS=127.0.0.1, no \
                 ALLOWED_HOSTS).",
            ))
            .into_response()
        }
    }
}

/// `GET /admin/faults`: the rules in force, since when, and what became of each.
pub(super) async fn show(State(shared): State<Shared>) -> Json<Value> {
    Json(shown(&shared.simulator.faults()))
}

/// `PUT /admin/faults`: these rules in place of all others, counted afresh.
pub(super) async fn replace(
    State(shared): State<Shared>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ProblemResponse> {
    if !is_json(&headers) {
        return Err(ProblemResponse(
            Problem::new(415, "unsupported_media_type", "The body is of the wrong media type")
                .with_detail("Send the rules with Content-Type: application/json."),
        ));
    }
    let body = body.map_err(|rejection| body_problem(&rejection))?;
    let text = std::str::from_utf8(&body).map_err(|error| {
        ProblemResponse(
            Problem::new(400, "malformed_json", "The body is not well-formed JSON")
                .with_detail(error.to_string()),
        )
    })?;
    let faults = Faults::for_models(text, shared.simulator.models()).map_err(wrong)?;
    Ok(Json(shown(&put(&shared, faults))))
}

/// `DELETE /admin/faults`: no rules any more.
pub(super) async fn clear(State(shared): State<Shared>) -> StatusCode {
    put(&shared, Faults::default());
    StatusCode::NO_CONTENT
}

fn put(shared: &Shared, faults: Faults) -> std::sync::Arc<InForce> {
    let (rules, kinds) = (faults.rules().len(), faults.summary());
    let in_force = shared.simulator.set_faults(faults);
    tracing::info!(rules, kinds, "faults changed");
    in_force
}

fn is_json(headers: &HeaderMap) -> bool {
    let media = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

fn wrong(error: FaultsError) -> ProblemResponse {
    let errors = error.mistakes.into_iter().map(|mistake| FieldError {
        field: mistake.field,
        code: mistake.code.to_owned(),
        message: mistake.message,
    });
    ProblemResponse(
        Problem::new(400, "faults_invalid", "The faults cannot be used")
            .with_detail("Nothing was changed. README.md says how rules are written.")
            .with_errors(errors.collect()),
    )
}

/// Rules in force: `rules` as they may be put again, `counts` in the same order.
fn shown(in_force: &InForce) -> Value {
    let elapsed = in_force.elapsed();
    let since = DateTime::<Utc>::from(in_force.since()).to_rfc3339_opts(SecondsFormat::Millis, true);
    let rules = in_force.faults().rules();
    let counts = rules.iter().zip(in_force.counted()).map(|(rule, counted)| {
        json!({
            "id": rule.id,
            "kind": rule.fault.kind(),
            "on": rule.schedule.is_on(elapsed),
            "matched": counted.matched,
            "applied": counted.applied,
        })
    });
    let counts: Vec<_> = counts.collect();
    let mut shown = in_force.faults().to_json();
    if let Value::Object(members) = &mut shown {
        members.insert("since".to_owned(), since.into());
        members.insert("elapsed_seconds".to_owned(), elapsed.as_secs_f64().into());
        members.insert("counts".to_owned(), counts.into());
    }
    shown
}
