//! What two targets are compared by: where each figure comes from, which way is worse, and on which
//! scale its differences are added up. Pure.

use common_models::{ComparedMetric, RunSummary};

/// All of them, in the order in which they are shown.
pub const ALL: [ComparedMetric; 10] = [
    ComparedMetric::P50Ms,
    ComparedMetric::P95Ms,
    ComparedMetric::P99Ms,
    ComparedMetric::WithLlmP95Ms,
    ComparedMetric::WithoutLlmP95Ms,
    ComparedMetric::Rps,
    ComparedMetric::FailedRate,
    ComparedMetric::TokensPerRequest,
    ComparedMetric::CostUsdPerRequest,
    ComparedMetric::ListCostUsdPerRequest,
];

/// The smallest share of failed requests that matters, however small an effect is asked for in the
/// others: half a request in a hundred.
const SMALLEST_SHARE: f64 = 0.005;

/// The scale on which differences are symmetric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    /// Logarithms: what is twice as long in one direction is half as long in the other.
    Ratio,
    /// Fractions of the baseline's median: of what may be zero there is no logarithm.
    Fraction,
    /// As they are.
    Share,
}

const fn scale(metric: ComparedMetric) -> Scale {
    match metric {
        ComparedMetric::P50Ms
        | ComparedMetric::P95Ms
        | ComparedMetric::P99Ms
        | ComparedMetric::WithLlmP95Ms
        | ComparedMetric::WithoutLlmP95Ms
        | ComparedMetric::Rps => Scale::Ratio,
        ComparedMetric::TokensPerRequest
        | ComparedMetric::CostUsdPerRequest
        | ComparedMetric::ListCostUsdPerRequest => Scale::Fraction,
        ComparedMetric::FailedRate => Scale::Share,
    }
}

/// The metric's name on the wire and on the command line.
#[must_use]
pub const fn name(metric: ComparedMetric) -> &'static str {
    match metric {
        ComparedMetric::P50Ms => "p50Ms",
        ComparedMetric::P95Ms => "p95Ms",
        ComparedMetric::P99Ms => "p99Ms",
        ComparedMetric::WithLlmP95Ms => "withLlmP95Ms",
        ComparedMetric::WithoutLlmP95Ms => "withoutLlmP95Ms",
        ComparedMetric::Rps => "rps",
        ComparedMetric::FailedRate => "failedRate",
        ComparedMetric::TokensPerRequest => "tokensPerRequest",
        ComparedMetric::CostUsdPerRequest => "costUsdPerRequest",
        ComparedMetric::ListCostUsdPerRequest => "listCostUsdPerRequest",
    }
}

/// The metric of this name, `p95` for `p95Ms` included.
#[must_use]
pub fn named(text: &str) -> Option<ComparedMetric> {
    ALL.into_iter().find(|metric| {
        let name = name(*metric);
        name.eq_ignore_ascii_case(text) || name.strip_suffix("Ms").is_some_and(|short| short == text)
    })
}

/// Whether more of it is worse.
#[must_use]
pub const fn more_is_worse(metric: ComparedMetric) -> bool {
    !matches!(metric, ComparedMetric::Rps)
}

/// The figure of a run; absent where the run does not have it.
#[must_use]
pub fn value(metric: ComparedMetric, run: &RunSummary) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let per_request = |sum: f64| (run.requests > 0).then(|| sum / run.requests as f64);
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let tokens = run.input_tokens.saturating_add(run.output_tokens) as f64;
    let value = match metric {
        ComparedMetric::P50Ms => Some(run.p50_ms),
        ComparedMetric::P95Ms => Some(run.p95_ms),
        ComparedMetric::P99Ms => Some(run.p99_ms),
        ComparedMetric::WithLlmP95Ms => run.with_llm_p95_ms,
        ComparedMetric::WithoutLlmP95Ms => run.without_llm_p95_ms,
        ComparedMetric::Rps => Some(run.rps),
        ComparedMetric::FailedRate => Some(run.failed_rate),
        ComparedMetric::TokensPerRequest => per_request(tokens),
        ComparedMetric::CostUsdPerRequest => run.cost_usd.and_then(per_request),
        ComparedMetric::ListCostUsdPerRequest => run.list_cost_usd.and_then(per_request),
    };
    value.filter(|value| value.is_finite() && *value >= 0.0)
}

/// The differences of pairs (baseline, candidate), on the metric's scale. Nothing where one has none.
#[must_use]
pub fn differences(metric: ComparedMetric, pairs: &[(f64, f64)]) -> Option<Vec<f64>> {
    match scale(metric) {
        Scale::Ratio => pairs
            .iter()
            .map(|(baseline, candidate)| {
                (*baseline > 0.0 && *candidate > 0.0).then(|| (candidate / baseline).ln())
            })
            .collect(),
        Scale::Share => Some(pairs.iter().map(|(baseline, candidate)| candidate - baseline).collect()),
        Scale::Fraction => {
            // One divisor for all pairs: it changes the unit and no sign. Where most of the baseline is
            // zero the candidate's stands in.
            let middle = |values: Vec<f64>| median(values).filter(|value| *value > 0.0);
            let unit = middle(pairs.iter().map(|pair| pair.0).collect())
                .or_else(|| middle(pairs.iter().map(|pair| pair.1).collect()))
                .unwrap_or(1.0);
            Some(pairs.iter().map(|(baseline, candidate)| (candidate - baseline) / unit).collect())
        }
    }
}

/// The smallest change that matters on the metric's scale, of one asked for as a fraction.
#[must_use]
pub fn smallest(metric: ComparedMetric, asked: f64) -> f64 {
    match scale(metric) {
        Scale::Ratio => asked.ln_1p(),
        Scale::Fraction => asked,
        Scale::Share => asked.min(SMALLEST_SHARE),
    }
}

/// From the metric's scale to a change as it is shown: a fraction.
#[must_use]
pub fn shown(metric: ComparedMetric, difference: f64) -> f64 {
    match scale(metric) {
        Scale::Ratio => difference.exp_m1(),
        Scale::Fraction | Scale::Share => difference,
    }
}

/// Whether it is a share of all requests, whose changes are points of a hundred and not parts of what was.
#[must_use]
pub const fn is_share(metric: ComparedMetric) -> bool {
    matches!(metric, ComparedMetric::FailedRate)
}

/// What stands for a side: the median of its runs; of shares the mean, for most runs may have none.
#[must_use]
pub fn middle(metric: ComparedMetric, values: Vec<f64>) -> Option<f64> {
    if is_share(metric) { mean(&values) } else { median(values) }
}

/// The mean; nothing of nothing.
#[must_use]
pub fn mean(values: &[f64]) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    let count = values.len() as f64;
    (count > 0.0).then(|| values.iter().sum::<f64>() / count)
}

/// A change of this metric as people read it, with its sign.
#[must_use]
pub fn change(metric: ComparedMetric, fraction: f64) -> String {
    format!("{}{}", if fraction < 0.0 { "" } else { "+" }, amount_of_change(metric, fraction))
}

/// The same without a sign in front of what is more.
#[must_use]
pub fn amount_of_change(metric: ComparedMetric, fraction: f64) -> String {
    // Rounded first, or a change of nothing would be one of -0.0 %.
    let rounded = (fraction * 1_000.0).round() / 10.0 + 0.0;
    let unit = if is_share(metric) { "points" } else { "%" };
    format!("{rounded:.1} {unit}")
}

/// The median; nothing of nothing.
#[must_use]
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    if values.len().is_multiple_of(2) {
        Some(f64::midpoint(*values.get(values.len() / 2 - 1)?, upper))
    } else {
        Some(upper)
    }
}

#[cfg(test)]
mod tests {
    use common_models::{ComparedMetric, RunSummary};

    use super::{ALL, differences, median, name, named, shown, smallest, value};

    #[test]
    fn every_metric_has_its_name_and_its_value() {
        let run = RunSummary {
            requests: 10,
            failed_rate: 0.1,
            rps: 5.0,
            p50_ms: 1.0,
            p95_ms: 2.0,
            p99_ms: 3.0,
            with_llm_p95_ms: Some(4.0),
            input_tokens: 20,
            output_tokens: 5,
            cost_usd: None,
            list_cost_usd: Some(0.5),
            ..RunSummary::default()
        };
        let wanted = [
            Some(1.0),
            Some(2.0),
            Some(3.0),
            Some(4.0),
            None,
            Some(5.0),
            Some(0.1),
            Some(2.5),
            None,
            Some(0.05),
        ];
        for (metric, wanted) in ALL.into_iter().zip(wanted) {
            assert_eq!(value(metric, &run), wanted, "{metric:?}");
            assert_eq!(named(name(metric)), Some(metric));
            assert_eq!(serde_json::to_value(metric).unwrap(), name(metric));
        }
        assert_eq!((named("p95"), named("max")), (Some(ComparedMetric::P95Ms), None));
        assert_eq!(value(ComparedMetric::P50Ms, &RunSummary { p50_ms: f64::NAN, ..run }), None);
        assert_eq!(value(ComparedMetric::TokensPerRequest, &RunSummary::default()), None);
    }

    #[test]
    fn differences_are_on_a_scale_of_their_own_and_shown_as_fractions() {
        let ratio = differences(ComparedMetric::P95Ms, &[(10.0, 11.0), (10.0, 10.0)]).unwrap();
        assert!((shown(ComparedMetric::P95Ms, ratio[0]) - 0.1).abs() < 1e-12 && ratio[1] == 0.0);
        assert!((shown(ComparedMetric::P95Ms, smallest(ComparedMetric::P95Ms, 0.05)) - 0.05).abs() < 1e-12);
        assert_eq!(differences(ComparedMetric::Rps, &[(10.0, 0.0)]), None);
        assert_eq!(differences(ComparedMetric::FailedRate, &[(0.0, 0.25)]), Some(vec![0.25]));
        let tokens = |pairs: &[(f64, f64)]| differences(ComparedMetric::TokensPerRequest, pairs).unwrap();
        assert_eq!(tokens(&[(2.0, 3.0), (2.0, 2.0)]), [0.5, 0.0]);
        assert_eq!(tokens(&[(0.0, 4.0), (0.0, 4.0)]), [1.0, 1.0]);
        assert_eq!(tokens(&[(0.0, 0.0)]), [0.0]);
        assert_eq!((median(vec![3.0, 1.0, 2.0, 9.0]), median(vec![])), (Some(2.5), None));
    }
}
