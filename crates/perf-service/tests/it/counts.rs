//! What k6 counted is what the service counted: requests by route and status, errors, tokens, dollars,
//! summaries, of every scenario, to the last one.
//!
//! k6's side are the raw samples of the run, warm-up, setup and teardown with them; the service's the
//! difference of its own counters. And what the run's summary says is the measured part of the same samples.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::backend::{Backend, Counters, Ledger, ollama};
use crate::docker::host;
use crate::gated_docker::Gate;
use crate::k6;
use crate::service::{command, run};

/// Sums of one metric, by tags.
type Sums = BTreeMap<Vec<String>, f64>;

/// A run's samples: metric, tags, value.
struct Samples(Vec<(String, Value, f64)>);

impl Samples {
    fn of_only_run(data: &Path) -> Self {
        let mut folders = k6::run_folders(data);
        assert_eq!(folders.len(), 1);
        let text = std::fs::read_to_string(folders.pop().unwrap().join("samples.ndjson")).unwrap();
        let points = text.lines().filter_map(|line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            let is_point = line["type"] == "Point";
            let metric = line["metric"].as_str().unwrap_or_default().to_owned();
            let value = line["data"]["value"].as_f64();
            is_point.then(|| (metric, line["data"]["tags"].take(), value.unwrap()))
        });
        Self(points.collect())
    }

    fn sums(&self, metric: &str, having: &[(&str, &str)], by: &[&str]) -> Sums {
        let mut sums = Sums::new();
        let tag = |tags: &Value, name: &str| tags[name].as_str().unwrap_or_default().to_owned();
        for (name, tags, value) in &self.0 {
            if name == metric && *value != 0.0 && having.iter().all(|(name, value)| tag(tags, name) == *value)
            {
                *sums.entry(by.iter().map(|name| tag(tags, name)).collect()).or_default() += value;
            }
        }
        sums
    }

    /// How many of a metric there are in the measured part, whatever their value.
    fn points(&self, metric: &str) -> usize {
        let measured =
            |(name, tags, _): &&(String, Value, f64)| name == metric && tags["phase"] == "measured";
        self.0.iter().filter(measured).count()
    }

    fn measured(&self, metric: &str) -> f64 {
        self.sums(metric, &[("phase", "measured")], &[]).values().sum()
    }
}

/// The service's counters before and after.
struct Difference(Counters, Counters);

impl Difference {
    fn sums(&self, metric: &str, having: &[(&str, &str)], by: &[&str]) -> Sums {
        let mut after = self.1.sums(metric, having, by);
        for (key, before) in self.0.sums(metric, having, by) {
            *after.entry(key).or_default() -= before;
        }
        after.retain(|_, value| *value != 0.0);
        after
    }

    /// By "METHOD route" and status, without those who look at the service from aside.
    fn requests(&self) -> Sums {
        let by = ["http_request_method", "http_route", "http_response_status_code"];
        let mut sums = Sums::new();
        for (key, value) in self.sums("http_server_request_duration_seconds_count", &[], &by) {
            if key[1] != "/metrics" && !key[1].starts_with("/health") {
                sums.insert(vec![format!("{} {}", key[0], key[1]), key[2].clone()], value);
            }
        }
        sums
    }
}

/// To billionths, in which dollars are counted: sums of floats differ in their last digits.
fn billionths(sums: &Sums) -> BTreeMap<Vec<String>, i64> {
    #[expect(clippy::cast_possible_truncation, reason = "a test spends less than nine billion dollars")]
    let whole = |value: &f64| (value * 1e9).round() as i64;
    let counted = sums.iter().map(|(key, value)| (key.clone(), whole(value)));
    counted.filter(|(_, value)| *value != 0).collect()
}

/// Providers as the conventions name them.
fn renamed(sums: Sums) -> Sums {
    let name = |name: String| match name.as_str() {
        "claude" => "anthropic".to_owned(),
        "bedrock" => "aws.bedrock".to_owned(),
        _ => name,
    };
    sums.into_iter().map(|(key, value)| (key.into_iter().map(name).collect(), value)).collect()
}

/// Runs a scenario and compares all counts; gives the service's own and the run's result.
async fn agree(
    backend: &Backend,
    mut command: Command,
    data: &Path,
    scenario: &str,
) -> (Difference, Samples) {
    // In this order: reading the ledger is a request, too.
    let booked = backend.ledger().await;
    let before = backend.counters().await;
    // Limits on time are not what this is about, and other tests are at work.
    let arguments = ["run", scenario, "--duration", "5s", "--max-p95-ms", "60000", "--json"];
    command.args(arguments).args(["--max-cost-usd", &backend.most_dollars]);
    let told = tokio::task::spawn_blocking(move || run(&mut command)).await.unwrap();
    let (code, out, err) = told;
    let counters = Difference(before, backend.counters().await);
    let ended: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{scenario}: {out}{err}"));
    // Inconclusive where this machine had too much else to do; the counts hold then, too.
    assert!(code == 0 || code == 3, "{scenario} exited with {code}: {out}{err}");

    let samples = Samples::of_only_run(data);
    let mut requests = samples.sums("http_reqs", &[], &["name", "status"]);
    if backend.most_dollars != "0" {
        // perf-service itself asks once, for its estimate.
        for route in ["GET /api/v1/llm/providers", "GET /api/v1/experiments"] {
            *requests.entry(vec![route.to_owned(), "200".to_owned()]).or_default() += 1.0;
        }
    }
    assert_eq!(requests, counters.requests(), "{scenario}: requests");
    let tokens = |metric: &str, kind: &str| {
        // The conventions' metrics have what providers reported, the ledger has all.
        let ours = samples.sums(metric, &[("usage", "reported")], &["provider"]);
        let by = ["gen_ai_provider_name"];
        let theirs = counters.sums("gen_ai_client_token_usage_sum", &[("gen_ai_token_type", kind)], &by);
        assert_eq!(renamed(ours), theirs, "{scenario}: {kind} tokens");
    };
    tokens("llm_input_tokens", "input");
    tokens("llm_output_tokens", "output");
    for (metric, kind) in [("llm_cost_usd", "billed"), ("llm_list_cost_usd", "list")] {
        let ours = samples.sums(metric, &[], &["provider"]);
        let theirs = counters.sums("bookstore_llm_cost_usd_total", &[("kind", kind)], &["provider"]);
        assert_eq!(billionths(&ours), billionths(&theirs), "{scenario}: {kind} dollars");
    }
    agree_with_ledger(backend, &booked, &samples, scenario).await;
    assert_eq!(
        samples.sums("llm_summaries", &[("cached", "false")], &["provider"]),
        counters.sums("bookstore_summaries_total", &[("outcome", "generated")], &["provider"]),
        "{scenario}: summaries made"
    );
    let there: Sums = ["cached", "stored", "shared"].iter().fold(Sums::new(), |mut sum, outcome| {
        for (key, value) in counters.sums("bookstore_summaries_total", &[("outcome", outcome)], &["provider"])
        {
            *sum.entry(key).or_default() += value;
        }
        sum
    });
    let ours = samples.sums("llm_summaries", &[("cached", "true")], &["provider"]);
    assert_eq!(ours, there, "{scenario}: summaries that were there");

    // Nothing failed that was to succeed, and the run's own figures are the measured part of all this.
    let wrong = samples.sums("http_req_failed", &[("phase", "measured")], &["name", "status"]);
    assert!(wrong.is_empty(), "{scenario}: failed {wrong:?}");
    let summary = &ended["summary"];
    assert!(samples.measured("http_reqs") > 0.0 && summary["failedRate"] == 0.0, "{summary}");
    for (figure, metric) in [
        ("requests", "http_reqs"),
        ("inputTokens", "llm_input_tokens"),
        ("outputTokens", "llm_output_tokens"),
    ] {
        assert_eq!(summary[figure].as_f64(), Some(samples.measured(metric)), "{scenario}: {figure}");
    }
    for (figure, metric) in [("costUsd", "llm_cost_usd"), ("listCostUsd", "llm_list_cost_usd")] {
        // A price that is not known for one answer is not known for the sum: the simulated provider has none.
        let unknown = samples.points(metric) < samples.points("llm_summaries");
        assert_eq!(summary.get(figure).is_none(), unknown, "{scenario}: {figure}");
        let told = summary[figure].as_f64().unwrap_or_else(|| samples.measured(metric));
        assert!((told - samples.measured(metric)).abs() < 1e-8, "{scenario}: {figure} is {told}");
    }
    (counters, samples)
}

/// The ledger is written within a second of a call's end.
async fn agree_with_ledger(backend: &Backend, before: &Ledger, samples: &Samples, scenario: &str) {
    let metrics = ["llm_input_tokens", "llm_output_tokens", "llm_cost_usd", "llm_list_cost_usd"];
    let ours = metrics.map(|metric| billionths(&samples.sums(metric, &[], &["provider"])));
    let begin = Instant::now();
    loop {
        let after = backend.ledger().await;
        let theirs: [Sums; 4] = std::array::from_fn(|figure| {
            let booked = |(provider, row): (&String, &[f64; 4])| {
                let was = before.get(provider).map_or(0.0, |row| row[figure]);
                (vec![provider.clone()], row[figure] - was)
            };
            after.iter().map(booked).collect()
        });
        let theirs = theirs.map(|sums| billionths(&sums));
        if ours == theirs {
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(10), "{scenario}: {ours:?} is not {theirs:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn agree_locally(backend: &Backend, scenario: &str) -> (Difference, Samples) {
    let data = tempfile::tempdir().unwrap();
    agree(backend, command(data.path(), &backend.targets()), data.path(), scenario).await
}

async fn books_and_authors(backend: &Backend) -> [Option<u64>; 2] {
    let (_, books) = backend.api.get_json("/api/v1/books?limit=1").await;
    let (_, authors) = backend.api.get_json("/api/v1/authors?limit=1").await;
    [books["total"].as_u64(), authors["total"].as_u64()]
}

fn count(sums: &Sums) -> f64 {
    sums.values().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_scenario_of_the_shop() {
    let backend = Backend::simulated("openai").await;
    let there = books_and_authors(&backend).await;
    for scenario in [
        "smoke",
        "load",
        "load-arrivals",
        "stress",
        "stress-arrivals",
        "spike",
        "spike-arrivals",
        "comprehensive",
    ] {
        let (counters, _) = agree_locally(&backend, scenario).await;
        assert!(count(&counters.requests()) > 20.0, "{scenario}");
    }
    // What was asked had a price, or the dollars above were none.
    let list =
        backend.counters().await.sums("bookstore_llm_cost_usd_total", &[("kind", "list")], &["provider"]);
    assert!(list[&vec!["openai".to_owned()]] > 0.0, "{list:?}");
    // And nothing is left of what the visitors made.
    assert_eq!(books_and_authors(&backend).await, there);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_those_that_were_asked_for() {
    let backend = Backend::simulated("ollama").await;
    let (counters, samples) = agree_locally(&backend, "errors").await;
    let mut by_status = BTreeMap::new();
    for (key, value) in counters.requests() {
        *by_status.entry(key[1].clone()).or_insert(0.0) += value;
    }
    for status in ["400", "404", "405", "406", "409", "412", "413", "415", "422"] {
        assert!(by_status.get(status).is_some_and(|count| *count > 0.0), "{status} is not in {by_status:?}");
    }
    let codes = samples.sums("http_reqs", &[("phase", "measured")], &["code"]);
    assert!(codes.len() > 15, "{codes:?}");
    let checks = samples.0.iter().filter(|(metric, ..)| metric == "checks");
    assert!(checks.clone().all(|(.., held)| *held == 1.0) && checks.count() > 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn summaries_cold_cached_stored_streamed_and_without_money() {
    let backend = Backend::simulated("openai").await;
    let (counters, samples) = agree_locally(&backend, "ai").await;
    let outcome =
        |name: &str| count(&counters.sums("bookstore_summaries_total", &[("outcome", name)], &["provider"]));
    let arm = |name: &str| count(&samples.sums("http_reqs", &[("arm", name)], &["arm"]));
    for name in ["cold", "cached", "stored", "streamed", "provider", "budget"] {
        assert!(arm(name) > 0.0, "no visit took the arm {name}");
    }
    // A second answer comes from the cache or, while that is being filled, from the store; after the
    // write in between it comes from the store, unless somebody else asked for the same in the meantime.
    assert!(outcome("stored") >= arm("stored"), "{} of {}", outcome("stored"), arm("stored"));
    assert!(outcome("cached") > 0.0);
    // The tenant's first call is let in, which uses its limit up.
    let refused = counters
        .requests()
        .get(&vec!["POST /api/v1/books/{id}/generate-summary".to_owned(), "429".to_owned()])
        .copied()
        .unwrap_or_default();
    assert_eq!((refused, outcome("not_admitted")), (arm("budget") + 1.0, arm("budget") + 1.0));
    // Of several providers, and none that bills without a limit.
    let asked = samples.sums("http_reqs", &[("arm", "provider")], &[]);
    assert_eq!(count(&asked), arm("provider"));
    let providers = samples.sums("llm_summaries", &[], &["provider"]);
    assert!(providers.len() > 1, "{providers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dollars_that_were_billed() {
    let backend = Backend::billed(&ollama(), "50").await;
    let (counters, _) = agree_locally(&backend, "smoke").await;
    let billed = counters.sums("bookstore_llm_cost_usd_total", &[("kind", "billed")], &["provider"]);
    assert!(count(&billed) > 0.0, "{billed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn smoke_errors_and_ai_in_containers_behind_the_gate() {
    let backend = Backend::simulated("openai").await;
    let gate = Gate::before(&host(), &backend.targets());
    for scenario in ["smoke", "errors", "ai"] {
        let data = tempfile::tempdir().unwrap();
        let client = gate.client(data.path());
        agree(&backend, client, data.path(), scenario).await;
    }
}
