//! What `/metrics` shows, against the table.

use serde_json::json;
use telemetry::table::listing::of_service;
use telemetry::table::scrape::contradictions;

use crate::service::{Service, command};
use crate::shop::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_is_in_the_table_and_the_other_way_round() {
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let service = Service::start(&mut command(data.path(), &shop.targets())).await;
    let (_, before) = service.get("/metrics").await;
    for line in [
        r#"perf_runs_under_way{state="running"} 0"#,
        r#"perf_k6_starts_total{engine="docker",outcome="ok"} 0"#,
        "perf_samples_total 0",
    ] {
        assert!(before.lines().any(|shown| shown == line), "{line} is missing in\n{before}");
    }
    let run = service.start_run(&json!({ "scenario": "smoke", "durationSeconds": 1 })).await;
    service.wait_until(&run, &["running"]).await;
    let (_, during) = service.get("/metrics").await;
    assert!(during.contains(r#"perf_runs_under_way{state="running"} 1"#), "{during}");
    assert!(during.contains(r#"perf_k6_starts_total{engine="local",outcome="ok"} 1"#), "{during}");
    service.wait_until(&run, &["finished"]).await;
    let (_, text) = service.get("/metrics").await;
    assert_eq!(contradictions(&text, of_service("perf-service")), Vec::<String>::new(), "{text}");
    let value = |name: &str| -> f64 {
        let line =
            text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.and_then(|line| line.rsplit(' ').next()).unwrap().parse().unwrap()
    };
    assert!(value("perf_samples_total") > 10.0, "{text}");
    assert!(text.contains(r#"perf_runs_under_way{state="running"} 0"#), "{text}");
    assert!(
        text.contains(r#"perf_run_duration_seconds_count{outcome="passed",scenario="smoke"} 1"#),
        "{text}"
    );
}
