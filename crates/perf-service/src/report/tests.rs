//! The report as a browser and a reader get it. Looks are judged by eye; what is held here is that
//! hostile text stays text, that nothing is loaded, and that odd runs still make a page.

use chrono::{TimeDelta, TimeZone, Utc};
use common_models::{Outcome, RunState, RunSummary, ThresholdResult};

use super::{TraceLinks, render};
use crate::results::{
    BrokenThreshold, Endpoint, Environment, ErrorRow, Histogram, Latency, LlmRow, RequestKind, Results,
    Second, SlowRequest, StatusRow, WorstRequest,
};

fn second(at: u32) -> Second {
    let wave = f64::from(at % 12);
    let quiet = at % 17 == 11;
    let requests = if quiet { 0 } else { 10 + u64::from(at % 7) };
    Second {
        at,
        warm_up: at < 5,
        requests,
        failed: u64::from(at % 23 == 20),
        users: 1 + u64::from(at > 9),
        p50_ms: if quiet { 0.0 } else { 2.1 + wave / 9.0 },
        p95_ms: if quiet { 0.0 } else { 60.0 + wave * 9.0 },
        p99_ms: if quiet { 0.0 } else { 400.0 + wave * 41.0 },
        tokens: if at.is_multiple_of(3) { 240 + u64::from(at % 5) * 60 } else { 0 },
    }
}

fn latency(of: RequestKind) -> Latency {
    Latency {
        of,
        requests: 5_000,
        min_ms: 0.71,
        mean_ms: 9.1,
        p50_ms: 2.31,
        p75_ms: 4.4,
        p90_ms: 31.0,
        p95_ms: 88.4,
        p99_ms: 812.0,
        p999_ms: 1_102.0,
        max_ms: 1_240.0,
    }
}

fn worst(name: &str) -> BrokenThreshold {
    BrokenThreshold {
        name: name.to_owned(),
        worst: vec![WorstRequest {
            value: 901.5,
            name: "GET /api/v1/books".to_owned(),
            what: "HTTP 200".to_owned(),
            at: 7.5,
            trace_id: Some(TRACE.to_owned()),
        }],
    }
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn run(seconds: u32) -> Results {
    let started_at = Utc.with_ymd_and_hms(2026, 3, 1, 9, 30, 0).unwrap();
    let threshold = |name: &str, ok| ThresholdResult { name: name.to_owned(), ok, untested: false };
    let endpoint = |name: &str, requests, failed, p50_ms: f64| Endpoint {
        name: name.to_owned(),
        requests,
        failed,
        p50_ms,
        p95_ms: p50_ms * 3.1,
        p99_ms: p50_ms * 5.7,
        max_ms: p50_ms * 7.9,
    };
    let slow = |name: &str, duration_ms, status, trace_id: Option<&str>| SlowRequest {
        name: name.to_owned(),
        duration_ms,
        status,
        at: 12.34,
        trace_id: trace_id.map(str::to_owned),
    };
    Results {
        run_id: uuid::Uuid::parse_str("0190163d-8694-739b-aea5-966c26f8ad91").unwrap(),
        scenario: "smoke".to_owned(),
        target: "local".to_owned(),
        engine: "local".to_owned(),
        k6_version: Some("k6 v1.1.0".to_owned()),
        started_at,
        finished_at: started_at + TimeDelta::milliseconds(i64::from(seconds) * 1000 + 234),
        outcome: Outcome::Passed,
        state: Some(RunState::Finished),
        reason: None,
        simulated: true,
        summary: RunSummary {
            requests: 12_345,
            failed_rate: 0.0008,
            rps: 13.4,
            p50_ms: 2.31,
            p95_ms: 88.4,
            p99_ms: 812.0,
            with_llm_p95_ms: Some(120.0),
            without_llm_p95_ms: Some(12.0),
            dropped_iterations: 0,
            input_tokens: 48_120,
            output_tokens: 15_980,
            cost_usd: Some(0.0),
            list_cost_usd: Some(0.384_06),
            cache_hit_rate: Some(0.6321),
            thresholds: vec![
                threshold("checks{phase:measured}: rate>0.99", true),
                threshold("http_req_duration{phase:measured,llm:false}: p(95)<500", true),
                threshold("http_req_duration{phase:measured,llm:true}: p(95)<30000", true),
                threshold("http_req_failed{phase:measured}: rate<0.01", true),
            ],
        },
        latency: [RequestKind::All, RequestKind::WithoutLlm, RequestKind::WithLlm].map(latency).to_vec(),
        histogram: Histogram {
            bounds_ms: vec![1.0, 1.2589, 1.5849, 1.9953, 2.5119],
            without_llm: vec![3, 9_000, 1_200, 0],
            with_llm: vec![0, 4, 1_790, 9],
        },
        statuses: vec![
            StatusRow { name: "GET /api/v1/books/{id}".to_owned(), status: 200, requests: 7_012 },
            StatusRow { name: "GET /api/v1/books".to_owned(), status: 0, requests: 1 },
            StatusRow { name: "GET /api/v1/books".to_owned(), status: 200, requests: 2_805 },
        ],
        broken: Vec::new(),
        environment: Some(Environment {
            version: "0.1.0".to_owned(),
            system: "linux x86_64".to_owned(),
            processors: 2,
            memory_bytes: Some(8 << 30),
            users: Some(2),
            duration_seconds: None,
            provider: Some("ollama".to_owned()),
        }),
        timeline: (0..seconds).map(second).collect(),
        endpoints: vec![
            endpoint("GET /api/v1/books/{id}", 7_012, 0, 1.9),
            endpoint("GET /api/v1/books", 2_806, 0, 4.2),
            endpoint("POST /api/v1/books/{id}/generate-summary", 1_803, 9, 151.0),
            endpoint("DELETE /api/v1/books/{id}", 240, 0, 3.3),
        ],
        llm: vec![LlmRow {
            provider: "ollama".to_owned(),
            model: "llama3.2 (simulated)".to_owned(),
            summaries: 1_794,
            cached: 1_134,
            input_tokens: 48_120,
            output_tokens: 15_980,
            cost_usd: Some(0.0),
            list_cost_usd: None,
            first_chunk_p50_ms: Some(42.0),
            first_chunk_p95_ms: Some(140.0),
            generation_p50_ms: Some(390.0),
            generation_p95_ms: None,
        }],
        errors: vec![ErrorRow {
            name: "POST /api/v1/books/{id}/generate-summary".to_owned(),
            what: "503 Service Unavailable".to_owned(),
            count: 9,
        }],
        slowest: vec![
            slow("POST /api/v1/books/{id}/generate-summary", 1_240.0, 200, Some(TRACE)),
            slow("GET /api/v1/books", 812.0, 0, None),
        ],
        warnings: Vec::new(),
    }
}

#[test]
fn hostile_text_stays_text() {
    const HOSTILE: &str = "</script><script>alert('x')</script><img src=x onerror=alert(1)>\"'&";
    let mut results = run(3);
    results.scenario = HOSTILE.to_owned();
    results.target = HOSTILE.to_owned();
    results.engine = HOSTILE.to_owned();
    results.k6_version = Some(HOSTILE.to_owned());
    results.reason = Some(HOSTILE.to_owned());
    results.outcome = Outcome::Failed;
    results.summary.thresholds.push(ThresholdResult { name: HOSTILE.to_owned(), ok: false, untested: false });
    results.endpoints[0].name = HOSTILE.to_owned();
    results.llm[0].provider = HOSTILE.to_owned();
    results.llm[0].model = HOSTILE.to_owned();
    results.errors[0].name = HOSTILE.to_owned();
    results.errors[0].what = HOSTILE.to_owned();
    results.slowest[0].name = HOSTILE.to_owned();
    results.slowest[0].trace_id = Some(HOSTILE.to_owned());
    results.warnings.push(HOSTILE.to_owned());
    results.statuses[0].name = HOSTILE.to_owned();
    results.broken = vec![worst(HOSTILE)];
    results.broken[0].worst[0].name = HOSTILE.to_owned();
    results.broken[0].worst[0].what = HOSTILE.to_owned();
    results.broken[0].worst[0].trace_id = Some(HOSTILE.to_owned());
    if let Some(environment) = &mut results.environment {
        environment.version = HOSTILE.to_owned();
        environment.system = HOSTILE.to_owned();
        environment.provider = Some(HOSTILE.to_owned());
    }

    let traces = TraceLinks::parse("http://127.0.0.1/trace/{traceId}").unwrap();
    let html = render(&results, Some(&traces)).unwrap();

    assert!(!html.contains("<script>alert"), "a name must not become a script");
    assert!(!html.contains("<img"), "a name must not become an element");
    assert_eq!(html.matches("<script").count(), 3, "only the report's own data and charts");
    assert!(!html.contains("<a "), "what is no trace id is no link");
    assert!(html.matches("&lt;script&gt;alert(&#x27;x&#x27;)").count() >= 20, "and all of it is shown");
}

#[test]
fn nothing_is_loaded_from_anywhere() {
    let html = render(&run(3), None).unwrap();
    // The one URL is SVG's name, which no browser asks for.
    let rest = html.replace("http://www.w3.org/2000/svg", "");
    for reference in ["http://", "https://", "//cdn", "@import", "url(", "src=", " style=", "onclick="] {
        assert!(!rest.contains(reference), "the report must not hold {reference}");
    }
    assert!(html.contains("default-src &#x27;none&#x27;"), "its own policy forbids it too");
    assert!(html.len() < 100_000, "{} bytes for three seconds", html.len());
}

#[test]
fn an_empty_run_says_so() {
    let mut results = run(0);
    results.outcome = Outcome::Inconclusive;
    results.summary = RunSummary::default();
    results.endpoints.clear();
    results.latency.clear();
    results.histogram = Histogram::default();
    results.statuses.clear();
    results.environment = None;
    results.llm.clear();
    results.errors.clear();
    results.slowest.clear();
    results.simulated = false;
    results.k6_version = None;

    let html = render(&results, None).unwrap();

    assert!(html.contains("There is nothing to draw"));
    assert!(html.contains("Nothing was measured"));
    assert!(html.contains("The load generator fell behind"));
    assert!(!html.contains("badge simulated"));
    assert!(!html.contains("0.00 ms"), "no figure where nothing was measured");
    assert!(!html.contains("thresholds held"), "nor praise");
}

#[test]
fn the_verdict_names_what_was_broken() {
    let mut results = run(3);
    results.outcome = Outcome::Failed;
    results.summary.thresholds[1].ok = false;
    let html = render(&results, None).unwrap();
    assert!(html.contains("1 of 4 thresholds was broken."));
    assert!(html.contains(
        "Not held: <strong>95th percentile of request duration without an LLM under 500 ms</strong>"
    ));
    assert!(render(&run(3), None).unwrap().contains("All 4 thresholds held."));
}

#[test]
fn what_was_not_tested_is_not_called_held() {
    let mut results = run(3);
    results.summary.thresholds[2].untested = true;
    let html = render(&results, None).unwrap();
    assert!(!html.contains("All 4 thresholds held."));
    assert!(html.contains("3 of 4 thresholds held; 1 could not be tested"));
    assert_eq!(html.matches(r#"badge untested">not tested"#).count(), 1);
    for threshold in &mut results.summary.thresholds {
        threshold.untested = true;
    }
    assert!(render(&results, None).unwrap().contains("nothing to hold a threshold against"));
}

#[test]
fn an_unknown_price_is_not_zero() {
    let mut results = run(3);
    results.summary.cost_usd = None;
    results.summary.list_cost_usd = None;
    results.llm[0].cost_usd = None;
    let html = render(&results, None).unwrap();
    assert!(html.contains("price not known; list price not known"));
    assert!(!html.contains("$0.00"));
}

#[test]
fn an_hour_is_no_larger_than_a_browser_likes() {
    let html = render(&run(3600), None).unwrap();
    assert!(html.len() < 200_000, "{} bytes", html.len());
    assert!(html.contains("Each point stands for up to 6 seconds"));
}

#[test]
fn figures_that_are_no_numbers_do_not_break_the_page() {
    let mut results = run(1);
    results.summary.p99_ms = f64::NAN;
    results.timeline[0].p99_ms = f64::INFINITY;
    results.endpoints[0].max_ms = f64::NAN;
    let html = render(&results, None).unwrap();
    assert!(!html.contains("NaN") && !html.contains("inf "), "shown as not known");
}

#[test]
fn a_broken_threshold_shows_its_worst_requests_with_their_traces() {
    let mut results = run(3);
    results.outcome = Outcome::Failed;
    results.summary.thresholds[1].ok = false;
    let name = results.summary.thresholds[1].name.clone();
    results.broken = vec![worst(&name)];
    let plain = render(&results, None).unwrap();
    assert!(plain.contains("902 ms") && plain.contains(TRACE) && !plain.contains("<a "));
    let traces = TraceLinks::parse("http://127.0.0.1:16686/trace/{traceId}?a=1&b=2").unwrap();
    let linked = render(&results, Some(&traces)).unwrap();
    let link = format!("href=\"http:&#x2f;&#x2f;127.0.0.1:16686&#x2f;trace&#x2f;{TRACE}?a=1&amp;b=2\"");
    assert_eq!(linked.matches(&link).count(), 2, "the worst and the slowest");
    results.broken[0].worst.clear();
    assert!(render(&results, None).unwrap().contains("Nothing is kept of what it measures"));
}

#[test]
fn a_run_that_broke_off_or_was_cancelled_has_no_verdict() {
    let mut results = run(3);
    results.outcome = Outcome::Inconclusive;
    results.reason = Some("k6 was killed (signal 9)".to_owned());
    for (state, words) in
        [(RunState::Failed, "<h1>Broken off</h1>"), (RunState::Cancelled, "<h1>Cancelled</h1>")]
    {
        results.state = Some(state);
        let html = render(&results, None).unwrap();
        assert!(html.contains(words) && html.contains("k6 was killed (signal 9)"), "{state:?}");
        assert!(!html.contains("thresholds held"));
    }
}

#[test]
fn results_of_an_older_version_still_make_a_report() {
    let mut old = serde_json::to_value(run(3)).unwrap();
    let fields = old.as_object_mut().unwrap();
    for new in ["state", "latency", "histogram", "statuses", "broken", "environment"] {
        assert!(fields.remove(new).is_some(), "{new}");
    }
    let results: Results = serde_json::from_value(old).unwrap();
    let html = render(&results, None).unwrap();
    assert!(html.contains("All 4 thresholds held.") && html.contains("No durations were kept"));
}
