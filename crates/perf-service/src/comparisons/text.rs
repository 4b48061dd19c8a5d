//! A comparison as text: for a terminal, and as Markdown for a pull request.
//!
//! Owns the words and their layout. Must not know where figures come from.

use std::fmt::Write;

use common_models::{ComparedMetric, ComparedSide, Comparison, ComparisonState, MetricComparison, Verdict};

use super::judgement::percent;
use super::metrics;

/// The verdict in a word.
#[must_use]
pub const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Better => "better",
        Verdict::Worse => "worse",
        Verdict::Same => "same",
        Verdict::NotEnoughEvidence => "not enough evidence",
    }
}

/// What is said before the first run.
#[must_use]
pub fn beforehand(comparison: &Comparison) -> String {
    let plan = &comparison.plan;
    let (pairs, time) = if plan.least_pairs == plan.most_pairs {
        (format!("{} pairs", plan.least_pairs), format!("about {}", minutes(plan.least_seconds)))
    } else {
        (
            format!("{} to {} pairs", plan.least_pairs, plan.most_pairs),
            format!(
                "{} to {}, by how much they spread",
                minutes(plan.least_seconds),
                minutes(plan.most_seconds)
            ),
        )
    };
    format!(
        "{}comparing {} with {}: {pairs} of {} in random order (seed {}), {time}",
        builds(comparison).map(|(side, build)| format!("{side}: {build}\n")).collect::<String>(),
        comparison.candidate,
        comparison.baseline,
        comparison.scenario,
        comparison.seed
    )
}

/// What was started, by side.
fn builds(comparison: &Comparison) -> impl Iterator<Item = (&'static str, &str)> {
    let (baseline, candidate) = (&comparison.baseline_build, &comparison.candidate_build);
    let both = [("baseline", baseline), ("candidate", candidate)];
    both.into_iter().filter_map(|(side, build)| Some((side, build.as_deref()?)))
}

fn minutes(seconds: u64) -> String {
    if seconds < 120 { format!("{seconds} s") } else { format!("{} min", seconds.div_ceil(60)) }
}

/// The verdict in one line: what became of the comparison, and why.
#[must_use]
pub fn headline(comparison: &Comparison) -> String {
    let said = match (comparison.state, comparison.verdict) {
        (ComparisonState::Finished, Some(verdict)) => word(verdict).to_uppercase(),
        (ComparisonState::Cancelled, _) => "CANCELLED".to_owned(),
        (ComparisonState::Running, _) => "UNDER WAY".to_owned(),
        (ComparisonState::Finished | ComparisonState::Failed, _) => "BROKEN".to_owned(),
    };
    let reason = comparison.reason.as_deref().unwrap_or("nothing more is known");
    let reason: String = reason.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    format!("{said}: {reason}")
}

/// A table for a terminal, the verdict last.
#[must_use]
pub fn plain(comparison: &Comparison) -> String {
    let mut text = String::new();
    if !comparison.metrics.is_empty() {
        let rows = comparison.metrics.iter().map(cells);
        for row in std::iter::once(HEAD.map(str::to_owned)).chain(rows) {
            let [name, baseline, candidate, change, interval, verdict] = row;
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "  {name:24}{baseline:>12}{candidate:>12}{change:>14}  {interval:22}{verdict}"
            );
        }
        let _ = writeln!(text, "\n{}\n", footing(comparison));
    }
    text.push_str(&headline(comparison));
    text
}

/// Markdown, the verdict first.
#[must_use]
pub fn markdown(comparison: &Comparison) -> String {
    let mut text = format!(
        "### {} against {}: {}\n\n{}\n",
        escaped(&comparison.candidate),
        escaped(&comparison.baseline),
        comparison.verdict.map_or("no verdict", word),
        escaped(&headline(comparison))
    );
    if !comparison.metrics.is_empty() {
        let _ = writeln!(text, "\n| {} |\n|---|---:|---:|---:|---|---|", HEAD.join(" | "));
        for metric in &comparison.metrics {
            let _ = writeln!(text, "| {} |", cells(metric).join(" | "));
        }
    }
    let _ = write!(text, "\n{}\n", footing(comparison));
    for (side, build) in builds(comparison) {
        let _ = write!(text, "\n{side}: {}\n", escaped(build));
    }
    text
}

const HEAD: [&str; 6] = ["figure", "baseline", "candidate", "change", "interval", "verdict"];

fn cells(one: &MetricComparison) -> [String; 6] {
    let signed = |change: f64| metrics::change(one.metric, change);
    let interval = one.low.zip(one.high);
    [
        format!("{}{}", metrics::name(one.metric), if one.primary { " (primary)" } else { "" }),
        amount(one.metric, one.baseline),
        amount(one.metric, one.candidate),
        signed(one.change),
        interval.map_or("none".to_owned(), |(low, high)| format!("{} to {}", signed(low), signed(high))),
        word(one.verdict).to_owned(),
    ]
}

fn amount(metric: ComparedMetric, value: f64) -> String {
    match metric {
        ComparedMetric::P50Ms
        | ComparedMetric::P95Ms
        | ComparedMetric::P99Ms
        | ComparedMetric::WithLlmP95Ms
        | ComparedMetric::WithoutLlmP95Ms => crate::console::duration(value),
        ComparedMetric::FailedRate => format!("{:.2} %", value * 100.0),
        ComparedMetric::Rps | ComparedMetric::TokensPerRequest => format!("{value:.1}"),
        ComparedMetric::CostUsdPerRequest | ComparedMetric::ListCostUsdPerRequest => format!("${value:.6}"),
    }
}

fn footing(comparison: &Comparison) -> String {
    let counted = comparison.pairs.iter().filter(|pair| pair.left_out.is_none()).count();
    let left_out = comparison.pairs.len() - counted;
    let mut text = format!(
        "{counted} pairs of {}, in random order (seed {}); level {}, smallest change that matters {}",
        escaped(&comparison.scenario),
        comparison.seed,
        percent(comparison.level),
        percent(comparison.minimum_effect)
    );
    if left_out > 0 {
        let by = |side: ComparedSide| {
            comparison.pairs.iter().filter(|pair| pair.left_out_by == Some(side)).count()
        };
        let _ = write!(
            text,
            "; {left_out} inconclusive pairs left out (because of the baseline {}, the candidate {}, both {})",
            by(ComparedSide::Baseline),
            by(ComparedSide::Candidate),
            by(ComparedSide::Both)
        );
    }
    if comparison.simulated {
        text.push_str("; answers of a simulator");
    }
    text
}

/// What comes from outside must not be markup.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            '|' | '*' | '_' | '`' | '[' | '\\' => escaped.extend(['\\', c]),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use common_models::{
        ComparedMetric, ComparedPair, ComparedSide, Comparison, ComparisonPlan, ComparisonState,
        MetricComparison, Verdict,
    };
    use uuid::Uuid;

    use super::{beforehand, markdown, plain};

    fn comparison() -> Comparison {
        let pair = |left_out: Option<&str>| ComparedPair {
            baseline: Uuid::now_v7(),
            candidate: Uuid::now_v7(),
            baseline_first: true,
            left_out: left_out.map(str::to_owned),
            left_out_by: left_out.map(|_| ComparedSide::Candidate),
        };
        Comparison {
            id: Uuid::now_v7(),
            state: ComparisonState::Finished,
            scenario: "smoke".to_owned(),
            baseline: "main".to_owned(),
            candidate: "<b>|branch".to_owned(),
            baseline_build: None,
            candidate_build: Some("image:shop:1 (0123) with A=`b`".to_owned()),
            primary: ComparedMetric::P95Ms,
            level: 0.95,
            minimum_effect: 0.05,
            seed: 7,
            plan: ComparisonPlan {
                least_pairs: 12,
                most_pairs: 60,
                least_seconds: 90,
                most_seconds: 1_801,
                wanted_pairs: None,
            },
            verdict: Some(Verdict::Worse),
            reason: Some("p95Ms changed\u{1b}[2J by +20.0 %".to_owned()),
            enough_pairs: None,
            simulated: true,
            created_at: Utc::now(),
            finished_at: None,
            metrics: vec![MetricComparison {
                metric: ComparedMetric::P95Ms,
                primary: true,
                baseline: 10.0,
                candidate: 12.0,
                change: 0.2,
                low: Some(0.15),
                high: Some(0.25),
                level: 0.963,
                minimum_effect: 0.05,
                p: 0.001,
                verdict: Verdict::Worse,
            }],
            pairs: vec![pair(None), pair(Some("dropped"))],
        }
    }

    #[test]
    fn the_time_it_takes_is_said_beforehand() {
        let text = beforehand(&comparison());
        assert!(text.contains("12 to 60 pairs of smoke in random order (seed 7), 90 s to 31 min"), "{text}");
    }

    #[test]
    fn markdown_has_the_verdict_first_and_no_markup_of_others() {
        let text = markdown(&comparison());
        assert!(
            text.starts_with("### &lt;b>\\|branch against main: worse\n\nWORSE: p95Ms changed"),
            "{text}"
        );
        assert!(!text.contains('\u{1b}') && !text.contains("<b>"));
        assert!(
            text.contains("| p95Ms (primary) | 10 ms | 12 ms | +20.0 % | +15.0 % to +25.0 % | worse |"),
            "{text}"
        );
        assert!(
            text.contains("1 pairs of smoke")
                && text.contains(
                    "1 inconclusive pairs left out (because of the baseline 0, the candidate 1, both 0); answers of a simulator"
                )
        );
        assert!(text.ends_with("\ncandidate: image:shop:1 (0123) with A=\\`b\\`\n"), "{text}");
    }

    #[test]
    fn a_terminal_gets_a_table_and_the_verdict_last() {
        let text = plain(&comparison());
        assert!(text.lines().last().unwrap().starts_with("WORSE: p95Ms changed\u{fffd}[2J"), "{text}");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].find("verdict"), lines[1].find("worse"), "{text}");
        let broken = Comparison { state: ComparisonState::Failed, metrics: vec![], ..comparison() };
        assert!(plain(&broken).starts_with("BROKEN: "));
    }
}
