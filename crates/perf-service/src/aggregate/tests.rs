//! Tests of the figures: samples in, figures out.

use chrono::{TimeZone, Utc};
use common_models::{Outcome, RunState};
use uuid::Uuid;

use super::{Aggregate, Identity, MOST_NAMES, OTHERS};
use crate::results::Results;

/// A sample's line at `ms` milliseconds after a fixed begin.
fn line(metric: &str, ms: i64, value: f64, tags: &[(&str, &str)]) -> String {
    let time = Utc.timestamp_millis_opt(1_795_235_562_000 + ms).unwrap().to_rfc3339();
    let tags: serde_json::Map<_, _> =
        tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
    serde_json::json!({
        "type": "Point", "metric": metric,
        "data": {"time": time, "value": value, "tags": tags, "metadata": {"trace_id": format!("{ms:032}")}}
    })
    .to_string()
}

fn request(into: &mut Aggregate, ms: i64, duration: f64, tags: &[(&str, &str)], failed: bool) {
    into.push(line("http_req_duration", ms, duration, tags).as_bytes());
    into.push(line("http_req_failed", ms, if failed { 1.0 } else { 0.0 }, tags).as_bytes());
}

fn results(aggregate: Aggregate) -> Results {
    let at = Utc.timestamp_opt(1_795_235_562, 0).unwrap();
    aggregate.into_results(Identity {
        run_id: Uuid::now_v7(),
        scenario: "smoke".to_owned(),
        target: "local".to_owned(),
        engine: "local".to_owned(),
        k6_version: None,
        started_at: at,
        finished_at: at,
        outcome: Outcome::Passed,
        reason: None,
        state: RunState::Finished,
        environment: crate::results::Environment::default(),
    })
}

const READ: [(&str, &str); 3] = [("name", "GET /b"), ("phase", "measured"), ("status", "200")];

fn close(got: f64, wanted: f64) -> bool {
    (got - wanted).abs() <= wanted.abs() * 0.001 + 1e-9
}

#[test]
fn only_the_measured_phase_counts() {
    let mut figures = Aggregate::default();
    for (phase, ms, duration) in
        [("setup", -500, 9_000.0), ("warmup", 0, 800.0), ("teardown", 9_000, 7_000.0)]
    {
        request(&mut figures, ms, duration, &[("name", "GET /b"), ("phase", phase)], true);
    }
    request(&mut figures, 100, 900.0, &[("name", "GET /b")], true);
    for i in 0..100_u32 {
        request(&mut figures, 1_000 + i64::from(i) * 40, f64::from(i + 1), &READ, i % 10 == 0);
    }
    assert_eq!((figures.standing().requests, figures.standing().failed), (101, 11));
    let results = results(figures);
    let summary = &results.summary;
    assert_eq!((summary.requests, results.endpoints[0].requests), (100, 100));
    assert!(close(summary.failed_rate, 0.1) && close(summary.p50_ms, 50.0) && close(summary.p99_ms, 99.0));
    // k6 did not say how long it measured: from the begin of the first measured request to the end of the
    // last, 1 ms + 99 times 40 ms.
    assert!(close(summary.rps, 100.0 / 3.961), "{}", summary.rps);
    assert!(results.slowest.iter().all(|slow| slow.duration_ms <= 100.0));
}

#[test]
fn a_rate_is_taken_over_the_time_that_was_measured() {
    let rps = |last_ms: i64, duration: f64, told: Option<f64>| {
        let mut figures = Aggregate::default();
        for ms in [1_000, 1_500, 2_000] {
            request(&mut figures, ms, 10.0, &READ, false);
        }
        request(&mut figures, last_ms, duration, &READ, false);
        figures.push(line("vus", 6_010 - 20, 3.0, &[]).as_bytes());
        if let Some(told) = told {
            figures.push(line("measured_seconds", 40_000, told, &[("group", "::teardown")]).as_bytes());
        }
        results(figures).summary.rps
    };
    // Neither users who stand still nor one long answer at the end change it.
    for (last_ms, duration) in [(2_100, 10.0), (31_000, 25_000.0)] {
        assert!(close(rps(last_ms, duration, Some(10.0)), 0.4), "{}", rps(last_ms, duration, Some(10.0)));
    }
    // Cut short within its first second, or killed after it was last seen at work.
    assert!(close(rps(2_100, 10.0, Some(0.2)), 4.0));
    assert!(close(rps(2_100, 10.0, None), 0.8), "{}", rps(2_100, 10.0, None));
}

#[test]
fn the_timeline_shows_the_warm_up_and_has_no_gaps() {
    let mut figures = Aggregate::default();
    request(&mut figures, 0, 10.0, &[("phase", "warmup")], false);
    figures.push(line("vus", 500, 3.0, &[]).as_bytes());
    request(&mut figures, 2_100, 30.0, &READ, true);
    request(&mut figures, 2_200, 10.0, &READ, false);
    request(&mut figures, 14_000, 40.0, &READ, false);
    figures.push(
        line("llm_input_tokens", 2_300, 7.0, &[("phase", "measured"), ("provider", "p"), ("model", "m")])
            .as_bytes(),
    );
    let timeline = results(figures).timeline;
    assert_eq!(timeline.len(), 15);
    assert!(timeline.iter().zip(0..).all(|(second, at)| second.at == at));
    assert_eq!(timeline.iter().filter(|second| second.warm_up).count(), 2);
    let busy = &timeline[2];
    assert_eq!((busy.requests, busy.failed, busy.users, busy.tokens), (2, 1, 3, 7));
    assert!(close(busy.p50_ms, 10.0) && close(busy.p99_ms, 30.0));
    assert!(close(timeline[14].p95_ms, 40.0) && timeline[9].requests == 0);
}

#[test]
fn late_and_impossible_times_are_counted_but_not_charted() {
    let mut figures = Aggregate::default();
    request(&mut figures, 0, 10.0, &READ, false);
    request(&mut figures, 20_000, 10.0, &READ, false);
    request(&mut figures, 3_000, 500.0, &READ, false);
    request(&mut figures, 90_000_000_000, 500.0, &READ, false);
    let results = results(figures);
    assert_eq!(results.summary.requests, 4);
    assert_eq!((results.timeline.len(), results.timeline[3].requests), (21, 1));
    assert!(results.timeline[3].p95_ms < 1e-9);
    assert!(results.warnings.iter().any(|warning| warning.contains("too late")), "{:?}", results.warnings);
}

#[test]
fn the_slowest_are_kept_in_order_with_their_traces() {
    let mut figures = Aggregate::default();
    for i in 0..200_i64 {
        let duration = f64::from(u32::try_from((i * 37) % 200).unwrap());
        request(&mut figures, i * 10, duration, &READ, false);
    }
    let slowest = results(figures).slowest;
    let durations: Vec<_> = slowest.iter().map(|slow| slow.duration_ms).collect();
    assert_eq!(durations, (180..200).rev().map(f64::from).collect::<Vec<_>>());
    // 199 = 37 * 27 mod 200.
    assert_eq!(slowest[0].trace_id.as_deref(), Some("00000000000000000000000000000270"));
    assert_eq!(slowest[0].status, 200);
    assert!(close(slowest[0].at, 0.27));
}

#[test]
fn errors_are_grouped_and_bounded() {
    let mut figures = Aggregate::default();
    for _ in 0..3 {
        request(&mut figures, 0, 1.0, &[("name", "GET /b"), ("phase", "measured"), ("status", "503")], true);
    }
    let refused =
        [("name", "GET /b"), ("phase", "measured"), ("status", "0"), ("error", "connection refused")];
    request(&mut figures, 0, 1.0, &refused, true);
    figures.push(line("checks", 0, 0.0, &[("phase", "measured"), ("check", "is 200")]).as_bytes());
    figures.push(line("checks", 0, 1.0, &[("phase", "measured"), ("check", "is sound")]).as_bytes());
    for i in 0..1_000 {
        let name = format!("GET /{i}");
        request(&mut figures, 0, 1.0, &[("name", &name), ("phase", "measured"), ("status", "500")], true);
    }
    let results = results(figures);
    assert!(results.errors.len() <= 201 && results.endpoints.len() == MOST_NAMES + 1);
    assert_eq!(results.endpoints[0].name, OTHERS);
    let count = |what: &str| results.errors.iter().find(|row| row.what == what).map(|row| row.count);
    assert_eq!(
        (count("HTTP 503"), count("connection refused"), count("is 200")),
        (Some(3), Some(1), Some(1))
    );
    assert_eq!(count("is sound"), None);
    let failures: u64 = results.errors.iter().map(|row| row.count).sum();
    assert_eq!(failures, 1_005);
    assert!(results.warnings.iter().any(|warning| warning.contains("request names")));
}

fn summary(into: &mut Aggregate, model: &str, cached: bool, cost: Option<f64>) {
    let cached = if cached { "true" } else { "false" };
    let tags = [
        ("phase", "measured"),
        ("provider", "p"),
        ("model", model),
        ("cached", cached),
        ("simulated", "true"),
    ];
    let mut push = |metric: &str, value: f64| into.push(line(metric, 0, value, &tags).as_bytes());
    push("llm_summaries", 1.0);
    let tokens = if cached == "true" { 0.0 } else { 100.0 };
    push("llm_input_tokens", tokens);
    push("llm_output_tokens", tokens / 2.0);
    match cost {
        Some(cost) => {
            push("llm_cost_usd", cost);
            push("llm_list_cost_usd", cost * 2.0);
        }
        None => push("llm_cost_unknown", 1.0),
    }
    if cached == "false" {
        push("llm_first_chunk_ms", 40.0);
        push("llm_generation_ms", 400.0);
    }
}

#[test]
fn tokens_and_dollars_add_up_by_model() {
    let mut figures = Aggregate::default();
    request(&mut figures, 0, 1.0, &READ, false);
    for _ in 0..10 {
        summary(&mut figures, "a", false, Some(0.1));
        summary(&mut figures, "a", true, Some(0.0));
        summary(&mut figures, "a", true, Some(0.0));
    }
    assert!(figures.is_simulated());
    let priced = results(figures.clone());
    assert_eq!((priced.summary.cost_usd, priced.summary.list_cost_usd), (Some(1.0), Some(2.0)));
    assert_eq!((priced.summary.input_tokens, priced.summary.output_tokens), (1_000, 500));
    assert!(close(priced.summary.cache_hit_rate.unwrap(), 2.0 / 3.0));
    let row = &priced.llm[0];
    assert_eq!((row.summaries, row.cached, row.cost_usd), (30, 20, Some(1.0)));
    assert!(close(row.first_chunk_p50_ms.unwrap(), 40.0) && close(row.generation_p95_ms.unwrap(), 400.0));

    summary(&mut figures, "b", false, None);
    let unknown = results(figures);
    assert_eq!((unknown.summary.cost_usd, unknown.summary.list_cost_usd), (None, None));
    assert_eq!((unknown.llm[0].cost_usd, unknown.llm[1].cost_usd), (Some(1.0), None));
    assert_eq!(unknown.summary.input_tokens, 1_100);
}

#[test]
fn without_summaries_nothing_was_spent_and_there_is_no_hit_rate() {
    let mut figures = Aggregate::default();
    request(&mut figures, 0, 1.0, &READ, false);
    let results = results(figures);
    assert_eq!((results.summary.cost_usd, results.summary.cache_hit_rate), (Some(0.0), None));
    assert!(results.llm.is_empty() && !results.simulated);
}

#[test]
fn broken_lines_and_a_missing_summary_become_warnings() {
    let mut figures = Aggregate::default();
    request(&mut figures, 0, 1.0, &READ, false);
    for broken in ["", "{", r#"{"type":"Point","metric":"vus","data":{"time":"2026-1"#, "panic: x"] {
        figures.push(broken.as_bytes());
    }
    figures.push(line("dropped_iterations", 0, 4.0, &[("scenario", "m")]).as_bytes());
    assert_eq!(figures.dropped_iterations(), 4);
    let results = results(figures);
    assert_eq!(results.summary.dropped_iterations, 4);
    for wanted in
        ["were broken and are missing from the figures: 4", "could not start in time: 4", "no summary"]
    {
        assert!(results.warnings.iter().any(|warning| warning.contains(wanted)), "{:?}", results.warnings);
    }
}

/// What k6 says of a metric before its first sample.
fn definition(metric: &str, parts: &[(&str, &[(&str, &str)])]) -> String {
    let parts: Vec<_> = parts
        .iter()
        .map(|(name, tags)| {
            let tags: std::collections::BTreeMap<_, _> = tags.iter().copied().collect();
            serde_json::json!({"name": name, "tags": tags})
        })
        .collect();
    serde_json::json!({"type": "Metric", "metric": metric, "data": {"name": metric, "submetrics": parts}})
        .to_string()
}

fn ended_with(into: &mut Aggregate, thresholds: &[(&str, &str, bool)]) {
    let mut metrics = serde_json::Map::new();
    for (metric, expression, ok) in thresholds {
        metrics.insert((*metric).to_owned(), serde_json::json!({"thresholds": {*expression: {"ok": ok}}}));
    }
    into.push(serde_json::json!({"type": "Summary", "data": {"metrics": metrics}}).to_string().as_bytes());
}

#[test]
fn the_worst_requests_of_a_broken_threshold_are_those_that_it_counts() {
    let mut figures = Aggregate::default();
    let quick = "http_req_duration{phase:measured, llm:false}";
    figures.push(
        definition("http_req_duration", &[(quick, &[("phase", "measured"), ("llm", "false")])]).as_bytes(),
    );
    figures.push(definition("http_req_failed", &[]).as_bytes());
    figures.push(definition("checks", &[("checks{phase:measured}", &[("phase", "measured")])]).as_bytes());
    for i in 0..300_i64 {
        let llm = if i % 3 == 0 { "true" } else { "false" };
        let phase = if i < 30 { "warmup" } else { "measured" };
        let tags = [("name", "GET /b"), ("phase", phase), ("status", "200"), ("llm", llm)];
        let duration = f64::from(u32::try_from((i * 37) % 300).unwrap());
        request(&mut figures, i * 10, duration, &tags, i == 200);
        for name in ["is the book", "has a title"] {
            let check = [("phase", phase), ("check", name)];
            figures.push(line("checks", i * 10, if i == 77 { 0.0 } else { 1.0 }, &check).as_bytes());
        }
    }
    ended_with(
        &mut figures,
        &[
            (quick, "p(95)<1", false),
            ("http_req_failed", "rate<0.001", false),
            ("checks{phase:measured}", "rate>0.9999", false),
            ("http_req_duration", "p(95)<1000", true),
            ("unheard_of", "rate<1", false),
        ],
    );
    let broken = results(figures).broken;
    let of = |name: &str| broken.iter().find(|broken| broken.name.starts_with(name)).unwrap();
    assert_eq!(broken.len(), 4, "what held has no worst requests");
    let truth: Vec<i64> = {
        let mut all: Vec<i64> = (30..300).filter(|i| i % 3 != 0).map(|i| (i * 37) % 300).collect();
        all.sort_unstable_by_key(|duration| -duration);
        all.truncate(10);
        all
    };
    let durations: Vec<f64> = of(quick).worst.iter().map(|worst| worst.value).collect();
    assert_eq!(
        durations,
        truth.iter().map(|duration| f64::from(i32::try_from(*duration).unwrap())).collect::<Vec<_>>()
    );
    assert!(of(quick).worst.iter().all(|worst| worst.trace_id.is_some() && worst.what == "HTTP 200"));
    let failed = &of("http_req_failed").worst;
    assert_eq!((failed.len(), failed[0].trace_id.as_deref()), (1, Some("00000000000000000000000000002000")));
    let checks = &of("checks").worst;
    assert_eq!(
        (checks.len(), checks[0].what.as_str()),
        (1, "is the book; has a title"),
        "one request, both checks"
    );
    assert!(close(checks[0].at, 0.77) && of("unheard_of").worst.is_empty());
}

#[test]
fn answers_are_counted_by_status() {
    let mut figures = Aggregate::default();
    for (status, times) in [("200", 5), ("404", 2), ("0", 1), ("x", 1)] {
        for _ in 0..times {
            request(
                &mut figures,
                0,
                1.0,
                &[("name", "GET /b"), ("phase", "measured"), ("status", status)],
                false,
            );
        }
    }
    request(&mut figures, 0, 1.0, &[("name", "GET /b"), ("phase", "warmup"), ("status", "200")], false);
    let rows: Vec<_> = results(figures).statuses.iter().map(|row| (row.status, row.requests)).collect();
    assert_eq!(rows, [(0, 2), (200, 5), (404, 2)]);
}

#[test]
fn percentiles_are_within_a_hundredth_of_a_full_recomputation() {
    let mut figures = Aggregate::default();
    let mut truth = Vec::new();
    let mut state = 1_u64;
    for i in 0..20_000_i64 {
        // A stream of chance over five decades; a tenth of it with an LLM, far slower.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let chance = f64::from(u32::try_from(state >> 33).unwrap()) / f64::from(u32::MAX >> 1);
        let llm = i % 10 == 0;
        let duration = (chance * 8.0).exp() * 0.05 * if llm { 100.0 } else { 1.0 };
        let llm = if llm { "true" } else { "false" };
        let tags = [("name", "GET /b"), ("phase", "measured"), ("status", "200"), ("llm", llm)];
        request(&mut figures, i, duration, &tags, false);
        truth.push(duration);
    }
    truth.sort_by(f64::total_cmp);
    let results = results(figures);
    let all = &results.latency[0];
    for (got, share) in [
        (all.p50_ms, 0.5),
        (all.p75_ms, 0.75),
        (all.p90_ms, 0.9),
        (all.p95_ms, 0.95),
        (all.p99_ms, 0.99),
        (all.p999_ms, 0.999),
        (all.max_ms, 1.0),
        (results.summary.p99_ms, 0.99),
    ] {
        let rank = (truth.len() as f64 * share).ceil() as usize - 1;
        assert!((got / truth[rank] - 1.0).abs() < 0.01, "{share}: {got} instead of {}", truth[rank]);
    }
    assert_eq!(all.requests, 20_000);
    let charted: u64 = results.histogram.without_llm.iter().chain(&results.histogram.with_llm).sum();
    assert_eq!((charted, results.histogram.with_llm.iter().sum::<u64>()), (20_000, 2_000));
}
