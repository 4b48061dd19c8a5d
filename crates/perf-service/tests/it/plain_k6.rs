//! The scripts under `k6/` without perf-service: `k6 run k6/scenarios/NAME.js`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::k6;
use crate::service::{command, run};
use crate::shop::Shop;

/// k6 with a scenario of the repository, and nothing of the tests' environment.
fn plain(shop: &Shop, scenario: &str) -> Command {
    let script: PathBuf =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../k6/scenarios").join(format!("{scenario}.js"));
    let mut command = Command::new(k6::binary());
    command
        .env_clear()
        .env("HOME", "/nowhere")
        .env("K6_NO_USAGE_REPORT", "true")
        .env("BASE_URL", format!("http://{}", shop.address))
        .args(["run", "--quiet", "--address", ""])
        .arg(script);
    command
}

async fn told(mut command: Command) -> (i32, String, String) {
    tokio::task::spawn_blocking(move || run(&mut command)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scenario_shows_its_figures_to_people() {
    let shop = Shop::open().await;
    let mut command = plain(&shop, "load");
    command.env("DURATION", "2s").env("RATE", "30").env("START", "warm").env("MAX_P95_MS", "60000");
    let (code, out, err) = told(command).await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("30 visits a second"), "{out}");
    for row in
        ["requests", "failed", "without LLM", "summaries", "tokens", "dollars", "k6 was late", "dropped"]
    {
        assert!(out.contains(row), "no {row} in {out}");
    }
    assert!(!out.contains("BROKEN"), "{out}");
    assert!(err.contains("3 books by 1 authors, the 3 most popular in the cache"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rates_are_those_that_perf_service_shows() {
    let (shop, data) = (Shop::open().await, tempfile::tempdir().unwrap());
    // Far less to do than there is time for: from the first to the last request it is not the planned time.
    let mut ours = command(data.path(), &shop.targets());
    ours.args(["run", "load-arrivals", "--duration", "4s", "--rate", "1", "--max-p95-ms", "60000", "--json"]);
    let (code, out, err) = told(ours).await;
    let run: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{code}: {out}{err}"));
    let figure = |name: &str| run["summary"][name].as_f64().unwrap();
    assert!((figure("rps") - figure("requests") / 4.0).abs() < 1e-6, "{run}");

    let mut bare = plain(&shop, "load-arrivals");
    bare.env("DURATION", "4s").env("RATE", "1").env("MAX_P95_MS", "60000");
    let (_, out, err) = told(bare).await;
    assert!(out.contains(" 4 s measured"), "{out}{err}");
    let row: Vec<&str> =
        out.lines().find(|line| line.starts_with("  requests ")).unwrap().split_whitespace().collect();
    let told = format!("{:.1}", row[1].parse::<f64>().unwrap() / 4.0);
    assert_eq!(row[2..], [told.as_str(), "a", "second"], "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_never_answered_is_told_of() {
    let shop = Shop::open().await;
    shop.fall_silent();
    let mut command = plain(&shop, "smoke");
    command.env("DURATION", "8s").env("USERS", "4").env("MAX_P95_MS", "60000");
    let (code, out, err) = told(command).await;
    assert_eq!(code, 99, "{out}{err}");
    assert!(out.contains("BROKEN      visits_unfinished{phase:measured}: count<1"), "{out}");
    assert!(out.contains("not tested  http_req_duration{phase:measured,llm:true}: "), "{out}");
    assert!(
        out.contains("cut off") && !out.contains("held        http_req_duration{phase:measured,llm:true}"),
        "{out}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_when_it_has_cost_what_it_may() {
    let shop = Shop::open().await;
    shop.bill(0.02);
    let mut command = plain(&shop, "load");
    command.env("DURATION", "60s").env("USERS", "4").env("MAX_COST_USD", "0.1");
    let begin = std::time::Instant::now();
    let (code, out, err) = told(command).await;
    assert_eq!(code, 99, "{out}{err}");
    assert!(out.contains("BROKEN      llm_cost_at_most_usd: count<=0.1"), "{out}");
    // Far from its end, and no user went further than the limit and its last request.
    assert!(begin.elapsed().as_secs() < 50, "{out}");
    assert!(shop.summaries() < 60, "{}", shop.summaries());
    // What it made is gone all the same.
    assert_eq!(shop.made(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paid_for_and_refused_counts_against_the_limit() {
    // 1,500 tokens and 300 at 10 dollars a million: six of them are over a tenth of a dollar.
    for (price, broken, most) in [
        (Some(10.0), "BROKEN      llm_cost_at_most_usd: count<=0.1", 60),
        (None, "BROKEN      llm_failed_calls{priced:false}: count<1", 40),
    ] {
        let shop = Shop::open().await;
        shop.refuse_summaries(price);
        let mut command = plain(&shop, "load");
        command.env("DURATION", "60s").env("USERS", "4").env("MAX_COST_USD", "0.1");
        let begin = std::time::Instant::now();
        let (code, out, err) = told(command).await;
        assert_eq!(code, 99, "{out}{err}");
        assert!(out.contains(broken), "{out}");
        assert!(out.contains("the limit in dollars was reached"), "{out}");
        assert!(begin.elapsed().as_secs() < 50, "{out}");
        assert!(shop.summaries() < most, "{}", shop.summaries());
    }
    // Nothing is charged for what costs nothing.
    let shop = Shop::open().await;
    shop.refuse_summaries(Some(0.0));
    let mut command = plain(&shop, "load");
    command.env("DURATION", "4s").env("USERS", "4").env("MAX_COST_USD", "0");
    let (_, out, err) = told(command).await;
    assert!(out.contains("held        llm_cost_at_most_usd: count<=0"), "{out}{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_mistakes_in_the_settings_are_told_at_once() {
    let shop = Shop::open().await;
    let mut command = plain(&shop, "smoke");
    for (name, value) in [
        ("DURATION", "soon"),
        ("USERS", "0"),
        ("RATE", "-1"),
        ("MAX_COST_USD", "lots"),
        ("START", "cold"),
        ("PROVIDER", "a b"),
        ("SPENT_TENANT", "a/b"),
        ("MAX_P95_MS", "NaN"),
    ] {
        command.env(name, value);
    }
    let (code, out, err) = told(command).await;
    assert_eq!(code, 107, "{out}{err}");
    for mistake in [
        "DURATION=soon",
        "USERS=0",
        "RATE=-1",
        "MAX_COST_USD=lots",
        "START=cold",
        "PROVIDER=a b",
        "a/b",
        "MAX_P95_MS=NaN",
    ] {
        assert!(err.contains(mistake), "no {mistake} in {err}");
    }
    assert_eq!(shop.requests(), 0);
}
