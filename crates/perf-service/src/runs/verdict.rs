//! What a k6 that has ended means for its run.
//!
//! Owns the rules: which exit is a result, what makes figures doubtful, and the words for it. Pure.

use common_models::Outcome;

use crate::aggregate::Aggregate;
use crate::engine::Exit;

/// k6's exit codes (<https://github.com/grafana/k6/blob/v1.1.0/errext/exitcodes/codes.go>).
mod code {
    pub(super) const PASSED: i32 = 0;
    pub(super) const THRESHOLDS: i32 = 99;
    pub(super) const SETUP_TIMEOUT: i32 = 100;
    pub(super) const TEARDOWN_TIMEOUT: i32 = 101;
    pub(super) const INVALID_CONFIG: i32 = 104;
    pub(super) const EXTERNAL_ABORT: i32 = 105;
    pub(super) const SCRIPT_EXCEPTION: i32 = 107;
    pub(super) const SCRIPT_ABORTED: i32 = 108;
    pub(super) const PANIC: i32 = 109;
}

const SIGKILL: i32 = 9;

/// What became of a run that nobody stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has a result.
    Result(Outcome, Option<String>),
    /// It broke, for this reason.
    Broken(String),
}

/// The verdict on a k6 that ended by itself with these figures and these last errors in its log.
#[must_use]
pub fn judge(exit: Exit, figures: &Aggregate, errors: &[String]) -> Verdict {
    let broken = |why: &str| Verdict::Broken(with_errors(why, errors));
    match exit {
        Exit::Code(code @ (code::PASSED | code::THRESHOLDS)) => match figures.thresholds() {
            Some(thresholds) => {
                let crossed: Vec<&str> =
                    thresholds.iter().filter(|held| !held.ok).map(|held| held.name.as_str()).collect();
                result(code, figures, &crossed)
            }
            None => broken("k6 ended without its summary; was the disk full?"),
        },
        Exit::Code(code::SETUP_TIMEOUT) => {
            broken("the scenario's setup took too long: does the target answer?")
        }
        Exit::Code(code::TEARDOWN_TIMEOUT) => broken("the scenario's teardown took too long"),
        Exit::Code(code::INVALID_CONFIG) => broken("k6 refused the scenario's options"),
        Exit::Code(code::EXTERNAL_ABORT) => {
            broken("somebody else sent k6 a signal to stop; start the run again")
        }
        Exit::Code(code::SCRIPT_EXCEPTION) => broken("the scenario's script failed"),
        Exit::Code(code::SCRIPT_ABORTED) => broken("the scenario gave up"),
        Exit::Code(code::PANIC) => broken("k6 itself crashed"),
        Exit::Code(code) => broken(&format!("k6 ended with exit code {code}")),
        Exit::Killed(SIGKILL) => {
            broken("k6 was killed (signal 9): by somebody, or by the system for want of memory")
        }
        Exit::Killed(signal) => broken(&format!("k6 was killed (signal {signal})")),
        // Its summary, k6's last word, says what its exit code would have said.
        Exit::Unseen => match figures.thresholds() {
            Some(_) => judge(Exit::Code(code::PASSED), figures, errors),
            None => broken(
                "k6 ended without its summary while no perf-service watched: it or the machine was stopped, or the disk was full. Start the run again",
            ),
        },
        Exit::OutOfMemory => broken("k6 ran out of memory: use fewer users or a shorter run"),
    }
}

fn result(code: i32, figures: &Aggregate, crossed: &[&str]) -> Verdict {
    let crossed_text = (!crossed.is_empty()).then(|| {
        let plural = if crossed.len() == 1 { "threshold" } else { "thresholds" };
        format!("{plural} crossed: {}", crossed.join("; "))
    });
    let doubt = if figures.dropped_iterations() > 0 {
        Some(format!(
            "{} iterations could not be started in time, so latency is under-reported",
            figures.dropped_iterations()
        ))
    } else if figures.measured_requests() == 0 {
        Some("no request was measured: make the run longer".to_owned())
    } else {
        None
    };
    match (doubt, crossed_text) {
        (Some(doubt), None) => Verdict::Result(Outcome::Inconclusive, Some(doubt)),
        (Some(doubt), Some(crossed)) => {
            Verdict::Result(Outcome::Inconclusive, Some(format!("{doubt}; {crossed}")))
        }
        (None, Some(crossed)) => Verdict::Result(Outcome::Failed, Some(crossed)),
        (None, None) if code == code::THRESHOLDS => Verdict::Result(
            Outcome::Failed,
            Some("k6 says that a threshold was crossed, but not which".to_owned()),
        ),
        (None, None) => Verdict::Result(Outcome::Passed, None),
    }
}

fn with_errors(why: &str, errors: &[String]) -> String {
    if errors.is_empty() { why.to_owned() } else { format!("{why}. k6 says: {}", errors.join(" | ")) }
}

#[cfg(test)]
mod tests {
    use common_models::Outcome::{Failed, Inconclusive, Passed};

    use super::{Verdict, judge};
    use crate::aggregate::Aggregate;
    use crate::engine::Exit;

    fn figures(requests: u32, dropped: u32, thresholds: Option<&[(&str, bool)]>) -> Aggregate {
        let mut figures = Aggregate::default();
        let point = |metric: &str| {
            format!(
                r#"{{"type":"Point","metric":"{metric}","data":{{"time":"2026-11-21T04:32:42Z","value":1,"tags":{{"phase":"measured"}}}}}}"#
            )
        };
        for _ in 0..requests {
            figures.push(point("http_req_duration").as_bytes());
        }
        for _ in 0..dropped {
            figures.push(point("dropped_iterations").as_bytes());
        }
        if let Some(thresholds) = thresholds {
            let held: serde_json::Map<_, _> = thresholds
                .iter()
                .map(|(name, ok)| ((*name).to_owned(), serde_json::json!({"ok": ok})))
                .collect();
            let summary =
                serde_json::json!({"type": "Summary", "data": {"metrics": {"m": {"thresholds": held}}}});
            figures.push(summary.to_string().as_bytes());
        }
        figures
    }

    #[test]
    fn results() {
        let held: &[(&str, bool)] = &[("a<1", true)];
        let crossed: &[(&str, bool)] = &[("a<1", true), ("b<2", false), ("c<3", false)];
        for (code, figures, outcome, words) in [
            (0, figures(3, 0, Some(held)), Passed, &[][..]),
            (0, figures(3, 0, Some(&[])), Passed, &[]),
            (99, figures(3, 0, Some(crossed)), Failed, &["m: b<2", "m: c<3"]),
            (0, figures(3, 0, Some(crossed)), Failed, &["m: b<2"]),
            (99, figures(3, 0, Some(held)), Failed, &["not which"]),
            (0, figures(3, 2, Some(held)), Inconclusive, &["2 iterations"]),
            (99, figures(3, 2, Some(crossed)), Inconclusive, &["2 iterations", "m: b<2"]),
            (0, figures(0, 0, Some(held)), Inconclusive, &["no request"]),
        ] {
            let Verdict::Result(got, reason) = judge(Exit::Code(code), &figures, &[]) else {
                panic!("no result for exit code {code}")
            };
            assert_eq!(got, outcome);
            let reason = reason.unwrap_or_default();
            assert_eq!(reason.is_empty(), words.is_empty(), "{reason}");
            assert!(words.iter().all(|word| reason.contains(word)), "{reason}");
        }
    }

    #[test]
    fn everything_else_is_broken_and_says_what_k6_said() {
        let errors = ["Error: the target is down".to_owned()];
        let exits = (100..=110).chain([-1, 1, 98]).map(Exit::Code).chain([
            Exit::Killed(9),
            Exit::Killed(11),
            Exit::OutOfMemory,
        ]);
        for exit in exits {
            let Verdict::Broken(reason) = judge(exit, &figures(3, 0, Some(&[])), &errors) else {
                panic!("a result for {exit:?}")
            };
            assert!(reason.ends_with("k6 says: Error: the target is down"), "{reason}");
        }
    }

    #[test]
    fn an_end_that_nobody_saw_is_judged_by_the_summary() {
        let crossed: &[(&str, bool)] = &[("b<2", false)];
        for (figures, outcome) in [
            (figures(3, 0, Some(&[("a<1", true)])), Passed),
            (figures(3, 0, Some(crossed)), Failed),
            (figures(3, 1, Some(crossed)), Inconclusive),
        ] {
            let verdict = judge(Exit::Unseen, &figures, &[]);
            assert!(matches!(verdict, Verdict::Result(got, _) if got == outcome), "{verdict:?}");
        }
        let Verdict::Broken(reason) = judge(Exit::Unseen, &figures(3, 0, None), &[]) else {
            panic!("a result without a summary")
        };
        assert!(reason.contains("while no perf-service watched"), "{reason}");
    }

    #[test]
    fn without_a_summary_there_is_no_result() {
        assert!(matches!(judge(Exit::Code(0), &figures(3, 0, None), &[]), Verdict::Broken(_)));
    }
}
