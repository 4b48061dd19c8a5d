//! What verdicts say of figures that are known.

use common_models::{ComparedMetric, ComparedSide, RunSummary, Verdict};
use statistics::intervals;

use super::{Judgement, Look, Pair, Question, judge, percent};
use crate::comparisons::noise::{Noise, Source, compare};
use crate::comparisons::plan;

const QUESTION: Question = Question { primary: ComparedMetric::P95Ms, level: 0.95, minimum_effect: 0.05 };

fn run(p95_ms: f64) -> RunSummary {
    RunSummary {
        requests: 1_000,
        rps: 100.0,
        p50_ms: p95_ms / 4.0,
        p95_ms,
        p99_ms: p95_ms * 2.0,
        ..RunSummary::default()
    }
}

/// Pairs whose candidate is slower by a factor, with a little noise that repeats.
fn pairs(count: usize, factor: f64, noise: f64) -> Vec<Pair> {
    (0..count)
        .map(|at| {
            let wave = |at: usize| 1.0 + noise * ((at * 7 % 11) as f64 / 5.0 - 1.0);
            Pair { baseline: run(20.0 * wave(at)), candidate: run(20.0 * factor * wave(at + 4)) }
        })
        .collect()
}

fn judged(pairs: &[Pair]) -> Judgement {
    judge(&QUESTION, pairs, Look::Last, &[])
}

#[test]
fn slower_is_worse_faster_is_better_and_nothing_is_the_same() {
    for (factor, wanted) in
        [(1.2, Verdict::Worse), (1.07, Verdict::Worse), (1.0, Verdict::Same), (0.8, Verdict::Better)]
    {
        let found = judged(&pairs(16, factor, 0.01));
        assert_eq!(found.verdict, wanted, "{factor}: {}", found.reason);
        let primary = &found.metrics[0];
        assert!(primary.primary && primary.metric == ComparedMetric::P95Ms);
        assert!(primary.low.unwrap() <= factor - 1.0 && factor - 1.0 <= primary.high.unwrap(), "{primary:?}");
        assert_eq!(found.enough_pairs, None);
    }
}

#[test]
fn a_difference_that_does_not_matter_is_the_same() {
    let found = judged(&pairs(40, 1.02, 0.005));
    assert_eq!(found.verdict, Verdict::Same, "{}", found.reason);
    assert!(found.metrics[0].low.unwrap() > 0.0, "it is there, but small");
    assert!(found.reason.contains("a change under 5.0 % does not matter"), "{}", found.reason);
}

#[test]
fn noise_and_few_pairs_are_not_enough_and_say_what_would_be() {
    let found = judged(&pairs(12, 1.2, 0.3));
    assert_eq!(found.verdict, Verdict::NotEnoughEvidence);
    assert!(found.enough_pairs.unwrap() > 12, "{found:?}");
    assert!(
        found
            .reason
            .ends_with(&format!("about {} pairs would be enough to tell", found.enough_pairs.unwrap()))
    );
    let few = judged(&pairs(4, 2.0, 0.01));
    assert_eq!((few.verdict, few.enough_pairs), (Verdict::NotEnoughEvidence, Some(6)), "{few:?}");
    assert_eq!(judged(&[]).verdict, Verdict::NotEnoughEvidence);
    let no_answer = Pair { baseline: run(0.0), candidate: run(0.0) };
    assert!(judged(&vec![no_answer; 20]).reason.contains("have a p95Ms that could be compared"));
}

#[test]
fn enough_pairs_are_enough() {
    // With as many as were said to be enough, of the same noise, it tells in most cases.
    let noise = Noise { spread: 0.08, memory: 0.0, drift: 0.0, jumps: 0.0, outliers: 0.0, later: 0.0 };
    let (mut asked, mut told) = (0, 0);
    for seed in 0..200 {
        let mut source = Source::new(noise, 0.08, seed);
        let few: Vec<Pair> = (0..12).map(|_| source.pair()).collect();
        let Some(enough) = judged(&few).enough_pairs.filter(|enough| *enough <= 150) else { continue };
        let many: Vec<Pair> = (0..enough).map(|_| source.pair()).collect();
        asked += 1;
        told += u32::from(judged(&many).verdict != Verdict::NotEnoughEvidence);
    }
    assert!(asked > 50 && f64::from(told) > 0.7 * f64::from(asked), "{told} of {asked}");
}

#[test]
fn what_is_there_and_does_not_matter_is_not_worse() {
    // An interval without zero that reaches beyond the smallest effect, around an estimate below it.
    let found = judged(&pairs(16, 1.035, 0.03));
    let primary = &found.metrics[0];
    assert!(primary.low.unwrap() > 0.0 && primary.high.unwrap() > 0.05, "{primary:?}");
    assert_eq!(found.verdict, Verdict::NotEnoughEvidence, "{}", found.reason);
    // How often that goes wrong, where half of the smallest effect is the truth.
    let noise = Noise { spread: 0.06, memory: 0.3, drift: 0.002, jumps: 0.05, outliers: 0.0, later: 0.01 };
    let mut alarms = 0;
    for seed in 0..500 {
        let mut source = Source::new(noise, 0.025, seed);
        let (judgement, _) = compare(&QUESTION, plan::bounds(&QUESTION, None), || Some(source.pair()));
        alarms += u32::from(judgement.verdict == Verdict::Worse);
    }
    assert!(alarms <= 50, "{alarms} of 500");
}

#[test]
fn failures_that_few_pairs_cannot_judge_are_not_called_better() {
    let failing = |count: usize, every: usize| -> Vec<Pair> {
        let faster = pairs(count, 0.6, 0.01).into_iter().enumerate();
        faster
            .map(|(at, pair)| {
                let failed_rate = if at % every == 0 { 1.0 } else { 0.0 };
                Pair { candidate: RunSummary { failed_rate, ..pair.candidate }, ..pair }
            })
            .collect()
    };
    for (count, every) in [(6, 1), (8, 1), (14, 3)] {
        let found = judged(&failing(count, every));
        assert_eq!(found.verdict, Verdict::NotEnoughEvidence, "{count}, {every}: {}", found.reason);
        assert!(found.reason.contains("failedRate went from 0.0 % to "), "{}", found.reason);
    }
    assert_eq!(judged(&failing(16, 1)).verdict, Verdict::Worse);
}

#[test]
fn a_side_that_leaves_its_bad_runs_out_is_not_flattered() {
    let better = pairs(16, 0.8, 0.01);
    let verdict = |left_out: &[ComparedSide]| judge(&QUESTION, &better, Look::Last, left_out);
    let (ours, theirs) = (ComparedSide::Candidate, ComparedSide::Baseline);
    for left_out in [vec![], vec![ours, ours], vec![theirs; 5], vec![ours, theirs, ours, ours]] {
        assert_eq!(verdict(&left_out).verdict, Verdict::Better, "{left_out:?}");
    }
    let found = verdict(&[ours, ours, ours]);
    assert_eq!(found.verdict, Verdict::NotEnoughEvidence);
    assert!(found.reason.contains("3 runs of the candidate and 0 of the baseline"), "{}", found.reason);
    // Nor is the other one, when the baseline's are missing.
    let worse = judge(&QUESTION, &pairs(16, 1.3, 0.01), Look::Last, &[theirs; 3]);
    assert_eq!(worse.verdict, Verdict::NotEnoughEvidence, "{}", worse.reason);
}

#[test]
fn a_figure_that_is_missing_does_not_take_the_others_away() {
    let mut crashed = pairs(16, 1.0, 0.01);
    for pair in &mut crashed {
        pair.candidate.failed_rate = 0.6;
    }
    crashed[3].candidate.p95_ms = 0.0;
    let found = judged(&crashed);
    assert_eq!(found.verdict, Verdict::Worse, "{}", found.reason);
    assert!(found.reason.starts_with("failedRate changed by +60.0 points"), "{}", found.reason);
    assert!(found.reason.ends_with("have a p95Ms that could be compared"), "{}", found.reason);
}

#[test]
fn more_pairs_than_can_be_made_are_said_to_be_too_many() {
    let found = judged(&pairs(16, 1.0, 0.95));
    assert!(found.enough_pairs.unwrap() > plan::LARGEST, "{found:?}");
    assert!(found.reason.contains("more than the 200 pairs that can be made"), "{}", found.reason);
}

#[test]
fn errors_outweigh_speed() {
    let faster_but_broken: Vec<Pair> = pairs(16, 0.7, 0.01)
        .into_iter()
        .map(|pair| Pair { candidate: RunSummary { failed_rate: 0.2, ..pair.candidate }, ..pair })
        .collect();
    let found = judged(&faster_but_broken);
    assert_eq!(found.verdict, Verdict::Worse);
    assert!(found.reason.starts_with("failedRate changed by +20.0 points"), "{}", found.reason);
}

#[test]
fn dollars_and_tokens_are_told_apart_from_noise_and_from_nothing() {
    let dearer: Vec<Pair> = pairs(16, 1.0, 0.01)
        .into_iter()
        .map(|pair| {
            let bill = |run: RunSummary, tokens: u64| RunSummary {
                output_tokens: tokens,
                cost_usd: Some(0.0),
                list_cost_usd: Some(tokens as f64 * 1e-6),
                ..run
            };
            Pair { baseline: bill(pair.baseline, 1_000), candidate: bill(pair.candidate, 1_300) }
        })
        .collect();
    let found = judged(&dearer);
    let of = |metric| found.metrics.iter().find(|one| one.metric == metric).unwrap();
    assert_eq!(of(ComparedMetric::ListCostUsdPerRequest).verdict, Verdict::Worse, "{found:?}");
    assert!((of(ComparedMetric::TokensPerRequest).change - 0.3).abs() < 1e-9);
    assert_eq!(of(ComparedMetric::CostUsdPerRequest).verdict, Verdict::Same, "zero on both sides");
}

#[test]
fn the_order_of_pairs_and_whoever_asks_again_change_nothing() {
    let pairs = pairs(24, 1.04, 0.05);
    let mut other: Vec<Pair> = pairs.clone();
    other.reverse();
    assert_eq!(judged(&pairs), judged(&pairs));
    assert_eq!(judged(&pairs), judged(&other));
    // Names exchanged, the verdict turns round.
    let turned: Vec<Pair> = pairs
        .iter()
        .map(|pair| Pair { baseline: pair.candidate.clone(), candidate: pair.baseline.clone() })
        .collect();
    let (one, two) = (&judged(&pairs).metrics[0], &judged(&turned).metrics[0]);
    assert!(((1.0 + one.change) * (1.0 + two.change) - 1.0).abs() < 1e-9 && one.p == two.p);
}

#[test]
fn a_hundred_hundred_comparisons_of_the_same_with_drift_jumps_and_outliers() {
    // The four kinds of noise in turn, the last all at once.
    let quiet = Noise { spread: 0.03, memory: 0.0, drift: 0.0, jumps: 0.0, outliers: 0.0, later: 0.0 };
    let kinds = [
        Noise { drift: 0.01, later: 0.02, ..quiet },
        Noise { memory: 0.8, jumps: 0.2, ..quiet },
        Noise { spread: 0.10, outliers: 0.1, ..quiet },
        Noise { spread: 0.06, memory: 0.5, drift: 0.005, jumps: 0.1, outliers: 0.05, later: 0.03 },
    ];
    let (comparisons, bounds) = (10_000, (12, 20));
    let mut alarms = 0;
    for seed in 0..comparisons {
        let mut source = Source::new(kinds[usize::try_from(seed % 4).unwrap()], 0.0, seed);
        let (found, _) = compare(&QUESTION, bounds, || Some(source.pair()));
        alarms += u64::from(matches!(found.verdict, Verdict::Better | Verdict::Worse));
    }
    let (low, high) = intervals::wilson(alarms, comparisons, 0.95).unwrap();
    let rate = alarms as f64 / comparisons as f64;
    println!("false alarms: {} (from {} to {})", percent(rate), percent(low), percent(high));
    assert!(rate <= 0.05, "{alarms} of {comparisons}: from {low} to {high}");
    // Were it never to alarm, it would find nothing either.
    assert!(alarms > 50, "{alarms}");
}

#[test]
fn a_slow_candidate_is_found_and_a_plain_one_early() {
    let noise = Noise { spread: 0.03, memory: 0.3, drift: 0.002, jumps: 0.05, outliers: 0.03, later: 0.01 };
    let (mut found, mut pairs) = (0, 0);
    for seed in 0..300 {
        let mut source = Source::new(noise, 0.2, seed);
        let (judgement, made) = compare(&QUESTION, plan::bounds(&QUESTION, None), || Some(source.pair()));
        found += u32::from(judgement.verdict == Verdict::Worse);
        pairs += made;
    }
    assert!(found >= 295, "{found} of 300");
    assert!(pairs < 300 * 20, "{} pairs on average", pairs / 300);
}
