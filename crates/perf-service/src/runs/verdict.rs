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
/// What the name of a metric begins with that judges k6 and not the target (`k6/lib/limits.js`).
const OF_THE_GENERATOR: &str = "generator_";
/// The metric of visits that were cut off (`k6/lib/pace.js`).
const UNFINISHED: &str = "visits_unfinished{";
/// What a limit in dollars is held against (`k6/lib/limits.js`): first what was billed, then what has no known
/// price.
const OF_THE_LIMIT: [&str; 3] =
    ["llm_cost_at_most_usd: ", "llm_cost_unknown: ", "llm_failed_calls{priced:false}: "];
/// How long after the load k6 cuts off what is unanswered (`k6/lib/phases.js`).
const GRACE_SECONDS: u32 = 30;

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
    let (of_k6, crossed): (Vec<&str>, Vec<&str>) =
        crossed.iter().copied().partition(|name| name.starts_with(OF_THE_GENERATOR));
    let (cut_off, crossed): (Vec<&str>, Vec<&str>) =
        crossed.into_iter().partition(|name| name.starts_with(UNFINISHED));
    let (of_limit, crossed): (Vec<&str>, Vec<&str>) =
        crossed.into_iter().partition(|name| OF_THE_LIMIT.iter().any(|metric| name.starts_with(metric)));
    let crossed_text = (!crossed.is_empty()).then(|| {
        let plural = if crossed.len() == 1 { "threshold" } else { "thresholds" };
        format!("{plural} crossed: {}", crossed.join("; "))
    });
    let mut doubts = Vec::new();
    // First, since it alone is somebody's will, and ended all that follows.
    if !of_limit.is_empty() {
        let what = if of_limit.iter().any(|name| name.starts_with(OF_THE_LIMIT[0])) {
            "the limit in dollars was reached"
        } else {
            "something was asked for that has no known price, which no limit in dollars can hold"
        };
        doubts.push(format!(
            "{what} ({}), and k6 stopped the load: raise --max-cost-usd, use a shorter run or another provider",
            of_limit.join("; ")
        ));
    }
    if figures.dropped_iterations() > 0 {
        doubts.push(format!(
            "{} iterations could not be started in time, so latency is under-reported",
            figures.dropped_iterations()
        ));
    } else if !of_k6.is_empty() {
        doubts.push(format!(
            "k6 had too much to do, so latency is under-reported ({}): use fewer users, or a machine with less to do",
            of_k6.join("; ")
        ));
    }
    // What was under way when the limit was reached says nothing of the target.
    if !cut_off.is_empty() && of_limit.is_empty() {
        doubts.push(format!(
            "{} visits were cut off: the target had not answered them {GRACE_SECONDS} s after the load, and what it does not answer is in no figure",
            figures.unfinished_visits()
        ));
    }
    if doubts.is_empty() && figures.measured_requests() == 0 {
        doubts.push("no request was measured: make the run longer".to_owned());
    }
    let doubt = (!doubts.is_empty()).then(|| doubts.join("; "));
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
    // Some of what went wrong is asked.
    let end = if why.ends_with('?') { "" } else { "." };
    if errors.is_empty() { why.to_owned() } else { format!("{why}{end} k6 says: {}", errors.join(" | ")) }
}

#[cfg(test)]
mod tests {
    use common_models::Outcome::{Failed, Inconclusive, Passed};

    use super::{GRACE_SECONDS, OF_THE_LIMIT, Verdict, judge};
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
    fn a_generator_with_too_much_to_do_proves_nothing() {
        let mut both = figures(3, 0, None);
        let held = serde_json::json!({"ok": true});
        let crossed = serde_json::json!({"ok": false});
        let summary = |lag: &serde_json::Value, failed: &serde_json::Value| {
            serde_json::json!({"type": "Summary", "data": {"metrics": {
                "generator_lag_ms{phase:measured}": {"thresholds": {"p(95)<250": lag}},
                "http_req_failed{phase:measured}": {"thresholds": {"rate<0.01": failed}},
            }}})
            .to_string()
        };
        for (lag, failed, outcome) in
            [(&crossed, &held, Inconclusive), (&crossed, &crossed, Inconclusive), (&held, &crossed, Failed)]
        {
            both.push(summary(lag, failed).as_bytes());
            let Verdict::Result(got, reason) = judge(Exit::Code(99), &both, &[]) else { panic!("no result") };
            assert_eq!(got, outcome, "{reason:?}");
            let reason = reason.unwrap_or_default();
            assert_eq!(reason.contains("too much to do"), outcome == Inconclusive, "{reason}");
            assert_eq!(reason.contains("rate<0.01"), std::ptr::eq(failed, &crossed), "{reason}");
        }
    }

    #[test]
    fn a_run_that_its_limit_in_dollars_ended_proves_nothing_and_names_it() {
        let crossed = |names: &[&str]| {
            let metrics: serde_json::Map<_, _> = names
                .iter()
                .map(|name| {
                    ((*name).to_owned(), serde_json::json!({"thresholds": {"count<1": {"ok": false}}}))
                })
                .collect();
            let mut figures = figures(3, 0, None);
            let summary = serde_json::json!({"type": "Summary", "data": {"metrics": metrics}});
            figures.push(summary.to_string().as_bytes());
            let Verdict::Result(outcome, reason) = judge(Exit::Code(99), &figures, &[]) else {
                panic!("no result")
            };
            (outcome, reason.unwrap())
        };
        for (limit, words) in [
            ("llm_cost_at_most_usd", "the limit in dollars was reached (llm_cost_at_most_usd: count<1)"),
            ("llm_cost_unknown", "no known price"),
            ("llm_failed_calls{priced:false}", "no known price"),
        ] {
            let (outcome, reason) = crossed(&[limit, "visits_unfinished{phase:measured}", "checks"]);
            assert_eq!(outcome, Inconclusive, "{reason}");
            assert!(reason.contains(words) && reason.contains("--max-cost-usd"), "{reason}");
            assert!(reason.contains("threshold crossed: checks") && !reason.contains("cut off"), "{reason}");
        }
        // Of the measured part it is a figure like any other.
        let (outcome, reason) =
            crossed(&["llm_cost_usd{phase:measured}", "llm_failed_calls{phase:measured}"]);
        assert_eq!(outcome, Failed, "{reason}");
        let scripts = crate::scenarios::Scenarios::embedded();
        let limits = scripts.files().iter().find(|file| file.path == "lib/limits.js").unwrap();
        for name in OF_THE_LIMIT {
            let said = format!("'{}'", name.trim_end_matches(": "));
            assert!(String::from_utf8_lossy(&limits.content).contains(&said), "{said}");
        }
    }

    #[test]
    fn visits_that_were_cut_off_prove_nothing() {
        let summary = |unfinished: bool, failed: bool| {
            serde_json::json!({"type": "Summary", "data": {"metrics": {
                "visits_unfinished{phase:measured}": {"thresholds": {"count<1": {"ok": unfinished}}},
                "http_req_failed{phase:measured}": {"thresholds": {"rate<0.01": {"ok": failed}}},
            }}})
            .to_string()
        };
        let visit = |value: f64, phase: &str| {
            serde_json::json!({"type": "Point", "metric": "visits_unfinished", "data": {
                "time": "2026-11-21T04:32:42Z", "value": value, "tags": {"phase": phase}}})
            .to_string()
        };
        for (unfinished, failed) in [(false, true), (false, false), (true, false)] {
            let mut figures = figures(3, 0, None);
            // The warm-up is in no figure.
            for line in [visit(1.0, "warmup"), visit(1.0, "measured"), visit(1.0, "measured")] {
                figures.push(line.as_bytes());
            }
            figures.push(visit(if unfinished { -2.0 } else { -1.0 }, "measured").as_bytes());
            figures.push(summary(unfinished, failed).as_bytes());
            let Verdict::Result(got, reason) = judge(Exit::Code(99), &figures, &[]) else {
                panic!("no result")
            };
            let reason = reason.unwrap();
            assert_eq!(got, if unfinished { Failed } else { Inconclusive }, "{reason}");
            assert_eq!(reason.contains("1 visits were cut off"), !unfinished, "{reason}");
            assert_eq!(reason.contains("rate<0.01"), !failed, "{reason}");
        }
        let scripts = crate::scenarios::Scenarios::embedded();
        let phases = scripts.files().iter().find(|file| file.path == "lib/phases.js").unwrap();
        let said = format!("GRACE_SECONDS = {GRACE_SECONDS};");
        assert!(String::from_utf8_lossy(&phases.content).contains(&said));
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
