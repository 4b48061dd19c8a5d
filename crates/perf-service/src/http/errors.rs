//! Use-case errors as problems: the only file of this service that knows which status an error has.

use axum::response::{IntoResponse, Response};
use common_models::{FieldError, Problem};
use http::HeaderValue;
use http::header::RETRY_AFTER;
use http_server::ProblemResponse;
use telemetry::Failure;

use crate::comparisons::ComparisonsError;
use crate::ledger::LedgerError;
use crate::report::ReportError;
use crate::runs::RunsError;

/// Seconds after which trying again makes sense.
const RETRY_SECONDS: u64 = 5;

/// An error of a handler.
#[derive(Debug)]
pub(crate) enum ApiError {
    Runs(RunsError),
    Comparisons(ComparisonsError),
    Limit(u32),
    Cursor,
    Page(ReportError),
    NotReady(String),
    Stopping,
}

impl From<RunsError> for ApiError {
    fn from(error: RunsError) -> Self {
        Self::Runs(error)
    }
}

impl From<ComparisonsError> for ApiError {
    fn from(error: ComparisonsError) -> Self {
        Self::Comparisons(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (problem, failure) = self.problem();
        let retry = matches!(problem.status, 429 | 503);
        let mut response = ProblemResponse(problem).into_response();
        if let Some(failure) = failure {
            response.extensions_mut().insert(failure);
        }
        if retry {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
        }
        response
    }
}

impl ApiError {
    /// The problem as the data of an event, whose status has gone out as a success. What only a log may
    /// hold is logged here.
    pub(crate) fn in_stream(self, path: &str) -> Problem {
        let (mut problem, failure) = self.problem();
        problem.instance = Some(path.to_owned());
        problem.trace_id = telemetry::current_trace_id();
        let detail = failure.map(|failure| failure.detail).unwrap_or_default();
        tracing::warn!(code = problem.code, detail, "live events broke off");
        problem
    }

    /// What the client is told, and what the access event adds to it.
    fn problem(self) -> (Problem, Option<Failure>) {
        let plain = |problem: Problem| (problem, None);
        match self {
            Self::Runs(error) => runs(error),
            Self::Comparisons(error) => comparisons(error),
            Self::Page(error) => {
                let failure = Failure { kind: error.kind(), detail: error.to_string() };
                let problem = Problem::new(500, "page_failed", "The page could not be made")
                    .with_detail("The failure was logged under this trace id.");
                (problem, Some(failure))
            }
            Self::Limit(most) => plain(invalid(vec![FieldError {
                field: "limit".to_owned(),
                code: "range".to_owned(),
                message: format!("must be from 1 to {most}"),
            }])),
            Self::Cursor => plain(
                Problem::new(400, "bad_cursor", "The cursor does not belong to this list")
                    .with_detail("Take nextCursor from an answer of this list, or start without a cursor."),
            ),
            Self::NotReady(detail) => (
                Problem::new(503, "not_ready", "The service is not ready")
                    .with_detail("The ledger cannot be used."),
                Some(Failure { kind: "not_ready", detail }),
            ),
            Self::Stopping => {
                (stopping(), Some(Failure { kind: "stopping", detail: "asked while stopping".to_owned() }))
            }
        }
    }
}

fn runs(error: RunsError) -> (Problem, Option<Failure>) {
    let detail = format!("{error}.");
    let problem = match error {
        RunsError::UnknownScenario { .. } => {
            Problem::new(400, "unknown_scenario", "There is no such scenario")
        }
        RunsError::UnknownTarget { .. } => Problem::new(400, "unknown_target", "There is no such target"),
        RunsError::Invalid(errors) => return (invalid(errors), None),
        RunsError::LimitNeeded(estimate) => {
            let problem =
                Problem::new(422, "cost_limit_needed", "The run may spend money").with_detail(detail);
            let field = FieldError {
                field: "maxCostUsd".to_owned(),
                code: "required".to_owned(),
                message: estimate.text,
            };
            return (problem.with_errors(vec![field]), None);
        }
        RunsError::NotFound(_) => Problem::new(404, "run_not_found", "There is no such run"),
        RunsError::NoArtifact(..) => Problem::new(404, "no_artifact", "The run does not have this"),
        RunsError::Ended(_) => Problem::new(409, "run_ended", "The run has ended"),
        RunsError::Elsewhere => Problem::new(409, "run_elsewhere", "Another process runs it"),
        RunsError::Full(..) => Problem::new(429, "too_many_runs", "Too many runs are waiting"),
        RunsError::Stopping => return (stopping(), None),
        RunsError::Neighbours(error) => {
            let failure = Failure { kind: error.kind(), detail: error.to_string() };
            let problem =
                Problem::new(503, "neighbours_unreachable", "The other perf-services cannot be asked")
                    .with_detail("Another perf-service conducts the run; cancel it there, or try again.");
            return (problem, Some(failure));
        }
        RunsError::Newer(_) => Problem::new(409, "entry_newer", "A newer perf-service made the run"),
        RunsError::NotEntered(error) => {
            return ledger_failed(&error, "Nothing was started; the failure was logged under this trace id.");
        }
        RunsError::Ledger(error) => {
            return ledger_failed(&error, "The failure was logged under this trace id.");
        }
    };
    (problem.with_detail(detail), None)
}

/// Paths of this machine are for its log.
fn ledger_failed(error: &LedgerError, detail: &str) -> (Problem, Option<Failure>) {
    let failure = Failure { kind: error.kind(), detail: error.to_string() };
    let problem = Problem::new(500, "ledger_failed", "The ledger of runs cannot be used").with_detail(detail);
    (problem, Some(failure))
}

fn comparisons(error: ComparisonsError) -> (Problem, Option<Failure>) {
    let detail = error.to_string();
    let problem = match error {
        ComparisonsError::Runs(error) => return runs(error),
        ComparisonsError::NotFound(_) => {
            Problem::new(404, "comparison_not_found", "There is no such comparison")
        }
        ComparisonsError::Ended(_) => Problem::new(409, "comparison_ended", "The comparison has ended"),
        ComparisonsError::Elsewhere => Problem::new(409, "comparison_elsewhere", "Another process makes it"),
        ComparisonsError::Busy(_) => {
            Problem::new(409, "comparison_under_way", "Another comparison is under way")
        }
        ComparisonsError::Store(error) => {
            // Paths of this machine are for its log.
            let failure = Failure { kind: error.kind(), detail: error.to_string() };
            let problem = Problem::new(500, "comparisons_failed", "Comparisons cannot be kept")
                .with_detail("The failure was logged under this trace id.");
            return (problem, Some(failure));
        }
    };
    (problem.with_detail(detail), None)
}

fn invalid(errors: Vec<FieldError>) -> Problem {
    Problem::new(422, "validation_failed", "The request is not valid").with_errors(errors)
}

fn stopping() -> Problem {
    Problem::new(503, "stopping", "The service is stopping")
        .with_detail("Requests under way are finished; send new ones elsewhere.")
}
