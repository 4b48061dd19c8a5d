//! A service on a free port, and the ways to ask it.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http_server::{Limits, ListenError, ListenSettings};
use serde_json::Value;
use telemetry::{
    GenAiSettings, LogFormat, LogsExporter, Metrics, OtlpProtocol, Sampling, Telemetry, TelemetrySettings,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longest wait for anything that is bound to happen.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// A deadline that a test waits for.
pub const SHORT: Duration = Duration::from_millis(300);
/// One that it must not have to wait for.
pub const LONG: Duration = Duration::from_secs(120);

/// Long deadlines; tests shorten theirs.
pub const fn limits() -> Limits {
    Limits {
        header_timeout: LONG,
        body_timeout: LONG,
        request_deadline: LONG,
        answer_timeout: LONG,
        write_timeout: LONG,
        idle_timeout: LONG,
        drain_deadline: LONG,
        body_bytes: 1_000,
        concurrent_requests: 1_000,
        connections: 1_000,
    }
}

/// A route that answers at once.
pub fn hello() -> Router {
    Router::new().route("/hello", get(async || "hello"))
}

/// A route that says when it is entered and answers when it is let go.
pub fn gate() -> (Router, Arc<Notify>, Arc<Notify>) {
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handler = {
        let (entered, leave) = (Arc::clone(&entered), Arc::clone(&leave));
        move || async move {
            entered.notify_one();
            leave.notified().await;
            "through"
        }
    };
    (hello().route("/gate", get(handler)), entered, leave)
}

/// A service that runs until it is stopped or dropped.
pub struct Running {
    pub address: SocketAddr,
    /// Where it listens for HTTPS, if it does.
    pub secure: Option<SocketAddr>,
    pub metrics: Metrics,
    stop: CancellationToken,
    served: JoinSet<Result<(), ListenError>>,
    client: reqwest::Client,
}

/// Trace ids need a tracer; one a process.
fn start_telemetry() {
    static TELEMETRY: OnceLock<Telemetry> = OnceLock::new();
    TELEMETRY.get_or_init(|| {
        telemetry::start(&TelemetrySettings {
            service_name: "http-server-tests",
            service_version: "0",
            log_format: LogFormat::Console,
            log_filter: "off".to_owned(),
            otlp_endpoint: None,
            otlp_protocol: OtlpProtocol::HttpProtobuf,
            disabled: false,
            logs_exporter: LogsExporter::default(),
            sampling: Sampling::default(),
            traceloop: None,
            client: None,
            gen_ai: GenAiSettings::default(),
        })
        .unwrap()
    });
}

/// Starts these routes on a free port of loopback.
pub async fn start(router: Router, limits: Limits) -> Running {
    let hosts = vec!["Books.Example".to_owned()];
    start_with(router, ListenSettings { allowed_hosts: hosts, limits, ..ListenSettings::default() }).await
}

/// Starts these routes with these settings.
pub async fn start_with(router: Router, settings: ListenSettings) -> Running {
    start_telemetry();
    let listener = http_server::bind(&settings).await.unwrap();
    let (address, secure) = (listener.local_addr(), listener.secure_addr());
    let (stop, metrics) = (CancellationToken::new(), Metrics::unregistered());
    let mut served = JoinSet::new();
    served.spawn(http_server::serve(listener, router, metrics.clone(), stop.clone()));
    let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
    Running { address, secure, metrics, stop, served, client }
}

impl Running {
    pub fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.get(format!("http://{}{path}", self.address))
    }

    pub fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    pub fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.post(format!("http://{}{path}", self.address))
    }

    /// A connection on which this was sent.
    pub async fn sent(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// Asks it to stop.
    pub fn cancel(&self) {
        self.stop.cancel();
    }

    /// Waits until it has stopped.
    pub async fn stopped(&mut self) {
        let served = timeout(PATIENCE, self.served.join_next()).await.expect("the service does not stop");
        served.unwrap().unwrap().unwrap();
    }
}

/// What comes on a connection until the server closes it, which it must.
pub async fn until_closed(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is a way to close as well.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the connection stays open");
    String::from_utf8(bytes).unwrap()
}

/// The problem that a request is answered with.
pub async fn problem(request: reqwest::RequestBuilder, status: u16, code: &str) -> Value {
    let response = request.send().await.unwrap();
    assert_eq!(response.status().as_u16(), status);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let problem: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!((&problem["code"], &problem["status"]), (&code.into(), &status.into()), "{problem}");
    problem
}
