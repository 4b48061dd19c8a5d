//! Thresholds in words: `http_req_failed{phase:measured}: rate<0.01` is hard to read aloud.
//!
//! Owns the reading of k6's notation. Must not know whether a threshold held.

use super::amounts;

/// What a threshold asks for, in words; k6's own notation where it is not one of those known here.
pub(super) fn in_words(name: String) -> String {
    words(&name).unwrap_or(name)
}

/// A value of a threshold's metric as people read it; nothing for rates, where it is yes or no.
pub(super) fn measured_by(value: f64, name: String) -> String {
    let metric = name.split(['{', ':']).next().unwrap_or_default();
    match subject(metric) {
        Some((_, Unit::Milliseconds)) => amounts::milliseconds(Some(value)),
        Some((_, Unit::Dollars)) => amounts::dollars(Some(value)),
        Some((_, Unit::Plain)) => amounts::count(Some(value)),
        Some((_, Unit::Share)) | None => String::new(),
    }
}

/// What a metric measures, hence how its limit is written.
enum Unit {
    Milliseconds,
    Share,
    Dollars,
    Plain,
}

fn words(name: &str) -> Option<String> {
    let (metric, expression) = name.rsplit_once(": ")?;
    let (metric, tags) = match metric.split_once('{') {
        Some((metric, tags)) => (metric, tags.strip_suffix('}')?),
        None => (metric, ""),
    };
    let (subject, unit) = subject(metric)?;
    let (figure, relation, limit) = comparison(expression)?;
    let limit = match &unit {
        Unit::Milliseconds => plain_milliseconds(limit),
        Unit::Share => amounts::share(Some(limit)),
        Unit::Dollars => amounts::dollars(Some(limit)),
        Unit::Plain => limit.to_string(),
    };
    // A sum of dollars is counted up, but it is no number of things.
    let statistic =
        if matches!((&unit, figure), (Unit::Dollars, "count")) { String::new() } else { statistic(figure)? };
    Some(format!("{statistic}{subject}{} {relation} {limit}", circumstances(tags)?))
}

fn subject(metric: &str) -> Option<(&'static str, Unit)> {
    Some(match metric {
        "http_req_duration" => ("request duration", Unit::Milliseconds),
        "http_req_waiting" => ("time to first byte", Unit::Milliseconds),
        "iteration_duration" => ("visit duration", Unit::Milliseconds),
        "llm_first_chunk_ms" => ("time to the first chunk", Unit::Milliseconds),
        "llm_generation_ms" => ("generation time", Unit::Milliseconds),
        "http_req_failed" => ("failed requests", Unit::Share),
        "checks" => ("checks that held", Unit::Share),
        "dropped_iterations" => ("dropped iterations", Unit::Plain),
        "visits_unfinished" => ("visits that were cut off", Unit::Plain),
        "http_reqs" => ("requests", Unit::Plain),
        "llm_summaries" => ("summaries", Unit::Plain),
        "llm_input_tokens" => ("input tokens", Unit::Plain),
        "llm_output_tokens" => ("output tokens", Unit::Plain),
        "llm_tokens_per_request" => ("tokens of a summary", Unit::Plain),
        "llm_cost_usd_per_request" => ("dollars billed for a summary", Unit::Dollars),
        "llm_cost_at_most_usd" => ("dollars billed, with failed calls at their most,", Unit::Dollars),
        "llm_failed_calls" => ("failed calls that may have been billed", Unit::Plain),
        "llm_list_cost_usd_per_request" => ("dollars by list price for a summary", Unit::Dollars),
        "generator_lag_ms" => ("time that k6 was late", Unit::Milliseconds),
        "llm_cost_unknown" => ("summaries without a known price", Unit::Plain),
        "llm_cost_usd" => ("dollars billed", Unit::Dollars),
        "llm_list_cost_usd" => ("dollars by list price", Unit::Dollars),
        _ => return None,
    })
}

/// `p(95)<500` as its figure, the relation in words, and the limit.
fn comparison(expression: &str) -> Option<(&str, &'static str, f64)> {
    let at = expression.find(['<', '>', '=', '!'])?;
    let (figure, rest) = expression.split_at(at);
    let operator = rest.trim_end_matches(|letter: char| !matches!(letter, '<' | '>' | '=' | '!'));
    let relation = match operator {
        "<" => "under",
        "<=" => "at most",
        ">" => "over",
        ">=" => "at least",
        "==" | "===" => "exactly",
        "!=" => "other than",
        _ => return None,
    };
    let limit: f64 = rest.strip_prefix(operator)?.trim().parse().ok()?;
    Some((figure.trim(), relation, limit))
}

fn statistic(figure: &str) -> Option<String> {
    Some(match figure {
        "rate" => "share of ".to_owned(),
        "count" => "number of ".to_owned(),
        "value" => String::new(),
        "avg" => "mean ".to_owned(),
        "med" => "median ".to_owned(),
        "min" => "shortest ".to_owned(),
        "max" => "longest ".to_owned(),
        percentile => {
            let rank: f64 = percentile.strip_prefix("p(")?.strip_suffix(')')?.parse().ok()?;
            format!("{rank}th percentile of ")
        }
    })
}

fn circumstances(tags: &str) -> Option<String> {
    let mut words = String::new();
    for tag in tags.split(',').filter(|tag| !tag.is_empty()) {
        match tag.trim().split_once(':')? {
            // Everything in a report is measured; saying so each time hides what differs.
            ("phase", "measured") => {}
            ("llm", "true") => words.push_str(" with an LLM"),
            ("llm", "false") => words.push_str(" without an LLM"),
            ("cached", "true") => words.push_str(" from the cache or the store"),
            ("priced", "false") => words.push_str(" without a known price"),
            ("cached", "false") => words.push_str(" from a provider"),
            ("name", name) => words.push_str(&format!(" of {name}")),
            (key, value) => words.push_str(&format!(" with {key} {value}")),
        }
    }
    Some(words)
}

/// A limit is written as its author wrote it, not rounded.
fn plain_milliseconds(limit: f64) -> String {
    if limit >= 1000.0 { format!("{} s", limit / 1000.0) } else { format!("{limit} ms") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::samples::Line;
    use crate::scenarios::Scenarios;

    #[test]
    fn the_thresholds_of_the_scenarios_read_as_sentences() {
        for (name, read) in [
            ("http_req_failed{phase:measured}: rate<0.01", "share of failed requests under 1 %"),
            ("checks{phase:measured}: rate>0.99", "share of checks that held over 99 %"),
            (
                "http_req_duration{phase:measured,llm:false}: p(95)<0.001",
                "95th percentile of request duration without an LLM under 0.001 ms",
            ),
            (
                "http_req_duration{phase:measured,llm:true}: p(99.9)<=30000",
                "99.9th percentile of request duration with an LLM at most 30 s",
            ),
            ("dropped_iterations: count<1", "number of dropped iterations under 1"),
            ("http_req_duration: med < 12.5", "median request duration under 12.5 ms"),
            ("llm_cost_usd{phase:measured}: count<=0.5", "dollars billed at most $0.5000"),
            (
                "llm_cost_at_most_usd: count<=0.5",
                "dollars billed, with failed calls at their most, at most $0.5000",
            ),
            (
                "llm_failed_calls{priced:false}: count<1",
                "number of failed calls that may have been billed without a known price under 1",
            ),
            (
                "llm_list_cost_usd_per_request{phase:measured}: p(95)<0.05",
                "95th percentile of dollars by list price for a summary under $0.0500",
            ),
            (
                "generator_lag_ms{phase:measured}: p(95)<250",
                "95th percentile of time that k6 was late under 250 ms",
            ),
            ("visits_unfinished{phase:measured}: count<1", "number of visits that were cut off under 1"),
        ] {
            assert_eq!(in_words(name.to_owned()), read);
        }
    }

    /// What the scripts hold thresholds against: names of metrics where they give limits.
    fn metrics_of_the_scripts() -> BTreeSet<String> {
        let scripts = Scenarios::embedded();
        let texts = scripts.files().iter().map(|file| String::from_utf8_lossy(&file.content));
        let mut metrics = BTreeSet::new();
        for text in texts {
            for line in text.lines() {
                let line = line.trim();
                // 'metric{tags}': ['p(95)<1'], and the list of those that a limit in dollars is held against.
                let names: Vec<&str> = match (line.split_once("': ["), line.split_once("IN_DOLLARS = [")) {
                    (Some((name, _)), _) => vec![name.trim_start_matches("const limits = { ")],
                    (None, Some((_, names))) => names.split(", ").collect(),
                    (None, None) => vec![],
                };
                for name in names {
                    let name = name.trim_matches(|letter: char| !letter.is_ascii_alphanumeric());
                    metrics.insert(name.split('{').next().unwrap().trim_end_matches('\'').to_owned());
                }
            }
        }
        metrics
    }

    #[test]
    fn every_threshold_of_the_scripts_has_words_a_unit_and_its_worst_requests() {
        let metrics = metrics_of_the_scripts();
        for wanted in [
            "http_req_duration",
            "checks",
            "generator_lag_ms",
            "visits_unfinished",
            "llm_list_cost_usd_per_request",
            "llm_cost_at_most_usd",
            "llm_failed_calls",
            "llm_summaries",
        ] {
            assert!(metrics.contains(wanted), "{wanted} is not in {metrics:?}");
        }
        for metric in metrics {
            let name = format!("{metric}{{phase:measured}}: p(95)<1");
            assert_ne!(in_words(name.clone()), name, "no words for it");
            // k6 is late, not a request; nor is there a request of what was cut off.
            let of_requests = !["generator_lag_ms", "visits_unfinished"].contains(&metric.as_str());
            let line = serde_json::json!({"metric": metric, "type": "Metric", "data": {"name": metric}});
            let read = crate::samples::read(line.to_string().as_bytes()).map(|line| match line {
                Line::Selectors(..) => true,
                Line::Sample(_) | Line::Summary(_) | Line::Other => false,
            });
            assert!(!of_requests || read.unwrap(), "{metric} has no worst requests");
        }
    }

    #[test]
    fn values_have_the_unit_of_their_metric() {
        for (name, value, shown) in [
            ("http_req_duration{phase:measured}: p(95)<500", 1_234.0, "1.23 s"),
            ("http_req_duration: p(95)<500", 2.0, "2.00 ms"),
            ("llm_cost_usd_per_request{phase:measured}: p(95)<0.01", 0.02, "$0.0200"),
            ("llm_tokens_per_request: max<100", 1_200.0, "1,200"),
            ("checks: rate>0.99", 0.0, ""),
            ("mine: p(95)<1", 2.0, ""),
        ] {
            assert_eq!(measured_by(value, name.to_owned()), shown);
        }
    }

    #[test]
    fn what_is_not_understood_is_shown_as_it_is() {
        for name in [
            "",
            "checks",
            "mine: rate<1",
            "checks: rate~1",
            "checks{phase:measured: rate<1",
            "checks: p(x)<1",
            "checks{a}: rate<1",
        ] {
            assert_eq!(in_words(name.to_owned()), name);
        }
    }
}
