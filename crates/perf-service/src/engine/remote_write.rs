//! k6's own metrics on their way to Prometheus while a run goes on.
//!
//! Owns what k6 is told for it (<https://grafana.com/docs/k6/latest/results-output/real-time/prometheus-remote-write/>)
//! and the labels: `run`, `scenario` and `target`. Must not know how k6 is started.

use url::Url;

use super::Launch;

/// Percentiles and sums of each duration: what dashboards and the report show.
const TREND_STATISTICS: &str = "p(50),p(95),p(99),avg,max,count,sum";
/// k6's own tag `scenario` names the part of a script that is at work, which our `phase` does too; without it
/// the label is free for the name of the run's scenario. An environment wins over a script's options.
const SYSTEM_TAGS: &str = "group,name,method,status,error,error_code,expected_response,check";

/// Further arguments of k6, where its metrics are to go anywhere.
pub(super) fn arguments(launch: &Launch) -> Vec<String> {
    if launch.remote_write.is_none() {
        return Vec::new();
    }
    let run = launch.run.to_string();
    let labels = [("run", &run), ("scenario", &launch.scenario), ("target", &launch.target_name)];
    let tags = labels.into_iter().flat_map(|(name, value)| ["--tag".to_owned(), format!("{name}={value}")]);
    ["--out".to_owned(), "experimental-prometheus-rw".to_owned()].into_iter().chain(tags).collect()
}

/// Further variables of k6's environment, for metrics that go to `address` as k6 sees it.
pub(super) fn environment(address: Option<&Url>) -> Vec<(&'static str, String)> {
    let Some(address) = address else { return Vec::new() };
    vec![
        ("K6_PROMETHEUS_RW_SERVER_URL", address.to_string()),
        ("K6_PROMETHEUS_RW_TREND_STATS", TREND_STATISTICS.to_owned()),
        // The series of a run that has ended then end at once and not after five minutes.
        ("K6_PROMETHEUS_RW_STALE_MARKERS", "true".to_owned()),
        ("K6_SYSTEM_TAGS", SYSTEM_TAGS.to_owned()),
    ]
}
