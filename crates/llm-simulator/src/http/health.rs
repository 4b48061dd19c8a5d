//! Health: whether the process lives, whether it takes requests, and what it is.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde_json::{Value, json};

use super::Shared;

/// `GET /health/live`: the process answers.
pub(super) async fn live() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// `GET /health/ready`: 503 once the process was told to stop.
pub(super) async fn ready(State(shared): State<Shared>) -> (StatusCode, Json<Value>) {
    if shared.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "stopping"})));
    }
    (StatusCode::OK, Json(json!({"status": "ok"})))
}

/// `GET /health`: readiness, what it is, and by what figures is simulated.
pub(super) async fn health(State(shared): State<Shared>) -> (StatusCode, Json<Value>) {
    let stopping = shared.stop.is_cancelled();
    let status = if stopping { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let simulator = &shared.simulator;
    let mut body = json!({
        "status": if stopping { "stopping" } else { "ok" },
        "role": if simulator.replay().is_some() { "replay" } else { "simulate" },
        "version": env!("CARGO_PKG_VERSION"),
        "models": simulator.models().named(),
        "anyModel": simulator.models().any(),
        "seed": simulator.seed(),
        "profile": simulator.profiles().default_profile().source,
        "faults": simulator.faults().faults().rules().len(),
        "profiles": simulator.profiles().by_model().map(|(model, profile)| (model, &profile.source)).collect::<BTreeMap<_, _>>(),
    });
    if let (Some(replay), Some(body)) = (simulator.replay(), body.as_object_mut()) {
        let (questions, recordings) = replay.size();
        body.insert("recordedQuestions".to_owned(), questions.into());
        body.insert("recordings".to_owned(), recordings.into());
    }
    (status, Json(body))
}
