//! k6's metrics on their way to Prometheus while a run goes on.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use http_server::ListenSettings;
use serde_json::Value;
use telemetry::Metrics;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::service::{command, run};
use crate::shop::Shop;

/// What stands for a Prometheus: it keeps what it is sent.
struct Receiver {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Bytes>>>,
    _open: JoinSet<()>,
}

impl Receiver {
    async fn open() -> Self {
        let received = Arc::<Mutex<Vec<Bytes>>>::default();
        let keep = async |State(received): State<Arc<Mutex<Vec<Bytes>>>>, body: Bytes| {
            received.lock().unwrap().push(body);
            StatusCode::NO_CONTENT
        };
        let router = Router::new().route("/api/v1/write", post(keep)).with_state(Arc::clone(&received));
        let settings = ListenSettings { address: Ipv4Addr::LOCALHOST.into(), ..ListenSettings::default() };
        let listener = http_server::bind(&settings).await.unwrap();
        let address = listener.local_addr();
        let mut open = JoinSet::new();
        open.spawn(async move {
            let stop = CancellationToken::new();
            http_server::serve(listener, router, Metrics::unregistered(), stop).await.unwrap();
        });
        Self { address, received, _open: open }
    }
}

/// A block of Snappy, unpacked (<https://github.com/google/snappy/blob/main/format_description.txt>).
fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut rest = packed.iter().copied();
    while rest.next().unwrap() >= 0x80 {}
    let mut out: Vec<u8> = Vec::new();
    while let Some(tag) = rest.next() {
        let (kind, upper) = (tag & 3, usize::from(tag >> 2));
        let mut number = |bytes: usize| -> usize {
            (0..bytes).map(|place| usize::from(rest.next().unwrap()) << (8 * place)).sum()
        };
        let (length, back) = match kind {
            0 if upper < 60 => (upper + 1, 0),
            0 => (number(upper - 59) + 1, 0),
            1 => (4 + (upper & 7), ((upper >> 3) << 8) + number(1)),
            2 => (upper + 1, number(2)),
            _ => (upper + 1, number(4)),
        };
        for _ in 0..length {
            let byte = if back == 0 { rest.next().unwrap() } else { out[out.len() - back] };
            out.push(byte);
        }
    }
    out
}

/// A label as protobuf has it (<https://prometheus.io/docs/specs/prw/remote_write_spec/>).
fn label(name: &str, value: &str) -> Vec<u8> {
    let field = |number: u8, text: &str| {
        [&[(number << 3) | 2, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
    };
    [field(1, name), field(2, value)].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_arrive_under_run_scenario_and_target() {
    let (data, shop, prometheus) = (tempfile::tempdir().unwrap(), Shop::open().await, Receiver::open().await);
    let (code, out, err) = run(command(data.path(), &shop.targets())
        .args(["run", "smoke", "--duration", "3s", "--max-p95-ms", "60000", "--json"])
        .env("PROMETHEUS_REMOTE_WRITE_URL", format!("http://{}/api/v1/write", prometheus.address)));
    assert_eq!(code, 0, "{out}{err}");
    let ended: Value = serde_json::from_str(&out).unwrap();
    assert!(ended["summary"]["requests"].as_u64().unwrap() > 1, "the figures are ours as ever: {ended}");

    let received: Vec<u8> =
        prometheus.received.lock().unwrap().iter().flat_map(|packed| unpacked(packed)).collect();
    let holds = |part: &[u8]| received.windows(part.len()).any(|window| window == part);
    for wanted in [
        label("__name__", "k6_http_reqs_total"),
        label("__name__", "k6_http_req_duration_p95"),
        label("run", ended["id"].as_str().unwrap()),
        label("scenario", "smoke"),
        label("target", "local"),
        label("phase", "measured"),
    ] {
        assert!(holds(&wanted), "{}", String::from_utf8_lossy(&wanted));
    }
    // k6's own tag of that name would be in its place.
    assert!(!holds(&label("scenario", "measured")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_that_is_down_costs_the_metrics_and_not_the_run() {
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let (code, out, err) = run(command(data.path(), &shop.targets())
        .args(["run", "smoke", "--duration", "2s", "--max-p95-ms", "60000"])
        .env("PROMETHEUS_REMOTE_WRITE_URL", "http://127.0.0.1:1/api/v1/write"));
    assert_eq!(code, 0, "{out}{err}");
}
