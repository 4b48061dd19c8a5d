//! Why the gate does not do what it is asked: problems, as the services' APIs have them.
//!
//! The only file of the gate that knows which status a refusal has.

use common_models::{FieldError, Problem};

use super::protocol::CLIENT_GONE;
use crate::engine::EngineError;

/// A problem on its way out.
pub(super) type Refusal = Box<Problem>;

pub(super) fn unreadable(what: &str) -> Refusal {
    Box::new(Problem::new(400, "bad_request", "The request cannot be read").with_detail(format!("{what}.")))
}

pub(super) fn too_slow() -> Refusal {
    Box::new(Problem::new(408, "request_timeout", "The request did not arrive in time"))
}

pub(super) fn no_token() -> Refusal {
    Box::new(
        Problem::new(401, "token_required", "The gate's token is needed")
            .with_detail("Set DOCKER_GATE_TOKEN to the same text for perf-service and docker-gate."),
    )
}

pub(super) fn other_protocol(theirs: u32) -> Refusal {
    Box::new(Problem::new(400, "unsupported_protocol", "The gate speaks another protocol").with_detail(
        format!(
            "It speaks {} and was asked in {theirs}; perf-service and docker-gate must be of one build.",
            super::protocol::VERSION
        ),
    ))
}

pub(super) fn other_scripts() -> Refusal {
    Box::new(
        Problem::new(409, "other_scripts", "The gate carries other scenarios")
            .with_detail("perf-service and docker-gate are of different builds; update both."),
    )
}

pub(super) fn unknown_scenario(known: &[&str]) -> Refusal {
    Box::new(
        Problem::new(400, "unknown_scenario", "There is no such scenario")
            .with_detail(format!("The gate has: {}.", known.join(", "))),
    )
}

pub(super) fn unknown_target(known: &[&str]) -> Refusal {
    Box::new(
        Problem::new(400, "unknown_target", "The gate has no such target").with_detail(format!(
            "Its TARGETS are: {}; they must be those of perf-service.",
            known.join(", ")
        )),
    )
}

pub(super) fn other_target(name: &str) -> Refusal {
    Box::new(
        Problem::new(409, "other_target", "The gate knows another target by that name").with_detail(format!(
            "{name} is another address in the gate's TARGETS than in those of perf-service; give both the same."
        )),
    )
}

pub(super) fn invalid(errors: Vec<FieldError>) -> Refusal {
    Box::new(Problem::new(422, "validation_failed", "The request is not valid").with_errors(errors))
}

pub(super) fn there_already() -> Refusal {
    Box::new(Problem::new(409, "run_exists", "There is a container of this run already"))
}

pub(super) fn full(most: usize) -> Refusal {
    Box::new(
        Problem::new(429, "too_many_runs", "Too many containers")
            .with_detail(format!("There are {most}; wait for one to end or remove what is left.")),
    )
}

/// For nobody: the client has gone.
pub(super) fn gone() -> Refusal {
    Box::new(Problem::new(CLIENT_GONE, "client_gone", "The client has gone"))
}

pub(super) const fn is_gone(problem: &Problem) -> bool {
    problem.status == CLIENT_GONE
}

/// The gate is stopped; the container is not concerned, and the next gate knows it.
pub(super) fn closing() -> Refusal {
    Box::new(
        Problem::new(503, "stopping", "The gate is stopping")
            .with_detail("The gate is stopping and containers go on; try again once it is open."),
    )
}

/// What is behind the gate failed.
pub(super) fn failed(error: &EngineError) -> Refusal {
    let (status, title) = match error {
        EngineError::Daemon(..) | EngineError::GateUnreachable(..) => (503, "Docker does not answer"),
        EngineError::Image(..) => (502, "The image is not to be had"),
        EngineError::Lost(_) => (404, "The container is gone"),
        EngineError::Cancelled => return gone(),
        EngineError::K6Missing
        | EngineError::K6Unusable(..)
        | EngineError::None { .. }
        | EngineError::Docker(..)
        | EngineError::Gate(_)
        | EngineError::File(..) => (502, "Docker refused"),
    };
    let detail = match error {
        // Its other words are added again on the other side.
        EngineError::Lost(why) => why.clone(),
        error => error.to_string(),
    };
    Box::new(Problem::new(status, error.kind(), title).with_detail(detail))
}
