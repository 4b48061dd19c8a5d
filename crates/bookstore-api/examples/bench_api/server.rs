//! The servers below the service: bare hyper, axum, and one layer of telemetry after the other. All
//! send the very bytes that the service sends.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;

use axum::Router;
use axum::body::Body;
use axum::middleware::{self, Next};
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::Full;
use http_server::ListenSettings;
use http_server::extract::Path as Segment;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use telemetry::{
    GenAiSettings, LogFormat, LogsExporter, Metrics, OtlpProtocol, RouteSlot, Sampling, Scheme, ServerLayer,
    TelemetrySettings,
};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::{ServiceBuilder, ServiceExt};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;
use uuid::Uuid;

use super::Fallible;

/// Serves until it is ended.
pub(crate) fn run(layer: &str, port: u16, answer: &Path) -> Fallible<()> {
    let answer = read(answer)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let metrics = |filter: &str| -> Fallible<Metrics> {
            let telemetry = telemetry::start(&TelemetrySettings {
                service_name: "bench",
                service_version: "0",
                log_format: LogFormat::Json,
                log_filter: filter.to_owned(),
                otlp_endpoint: None,
                otlp_protocol: OtlpProtocol::HttpProtobuf,
                disabled: false,
                logs_exporter: LogsExporter::default(),
                sampling: Sampling::default(),
                traceloop: None,
                client: None,
                gen_ai: GenAiSettings::default(),
            })?;
            Ok(telemetry.metrics())
        };
        let observed = |metrics: Metrics, one_in: u32| {
            let telemetry = ServerLayer::new(metrics, Scheme::Http).access_events_one_in(one_in);
            ServiceBuilder::new().layer(telemetry).map_request(name_route).service(routes(&answer))
        };
        match layer {
            "hyper" => {
                let answer = answer.clone();
                let service = service_fn(move |_: Request<Incoming>| {
                    let mut response = Response::new(Full::new(answer.body.clone()));
                    *response.headers_mut() = answer.headers.clone();
                    async move { Ok::<_, Infallible>(response) }
                });
                serve!(port, service)
            }
            "axum" => serve!(port, hyper_service!(routes(&answer))),
            "metrics" => serve!(port, hyper_service!(observed(Metrics::unregistered(), 1))),
            "spans" => serve!(port, hyper_service!(observed(metrics("warn")?, 1))),
            "sampled" => serve!(port, hyper_service!(observed(metrics("info")?, 100))),
            "events" => serve!(port, hyper_service!(observed(metrics("info")?, 1))),
            "gzip" => serve!(port, hyper_service!(sizes(&answer))),
            "guarded" => {
                let settings =
                    ListenSettings { port, access_events_one_in: 100, ..ListenSettings::default() };
                let listener = http_server::bind(&settings).await?;
                let metrics = metrics("info")?;
                Ok(http_server::serve(listener, routes(&answer), metrics, CancellationToken::new()).await?)
            }
            other => Err(format!("there is no layer {other}").into()),
        }
    })
}

/// What every server answers.
#[derive(Clone)]
struct Given {
    headers: HeaderMap,
    body: Bytes,
}

fn read(file: &Path) -> Fallible<Given> {
    let bytes = std::fs::read(file)?;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").ok_or("no head")?;
    let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
    let mut headers = HeaderMap::new();
    for line in head.split("\r\n").skip(1) {
        let (name, value) = line.split_once(": ").ok_or("no header")?;
        // hyper adds these itself.
        if !["date", "content-length"].contains(&name) {
            headers.insert(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
        }
    }
    Ok(Given { headers, body: Bytes::copy_from_slice(bytes.get(end + 4..).unwrap_or_default()) })
}

fn routes(answer: &Given) -> Router {
    let answer = answer.clone();
    let handler = move |Segment(_): Segment<Uuid>| {
        let Given { headers, body } = answer.clone();
        async move { (headers, body) }
    };
    Router::new().route("/api/v1/books/{id}", get(handler))
}

/// Answers of any size, compressed for whom asks.
fn sizes(answer: &Given) -> Router {
    let answer = answer.clone();
    let handler = move |Segment(size): Segment<usize>| {
        let Given { headers, body } = answer.clone();
        // Collected whole, so that the length is known and the client can read by it.
        async move { (headers, body.slice(..size.min(body.len()))) }
    };
    let gzip = CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(SizeAbove::new(0));
    let known = middleware::from_fn(async |request: Request<Body>, next: Next| {
        let (parts, body) = next.run(request).await.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
        Response::from_parts(parts, Body::from(body))
    });
    Router::new()
        .route("/size/{size}", get(handler))
        .route("/api/v1/books/{id}", get(async || ()))
        .layer(gzip)
        .layer(known)
}

fn name_route(request: Request<Body>) -> Request<Body> {
    if let Some(slot) = request.extensions().get::<RouteSlot>() {
        slot.fill("/api/v1/books/{id}");
    }
    request
}

/// A tower service as hyper takes it.
macro_rules! hyper_service {
    ($service:expr) => {
        TowerToHyperService::new($service.map_request(|request: Request<Incoming>| request.map(Body::new)))
    };
}
use hyper_service;

/// The accept loop of all of them.
macro_rules! serve {
    ($port:expr, $service:expr) => {{
        let socket = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], $port))).await?;
        let (service, mut connections) = ($service, JoinSet::new());
        loop {
            let (stream, _) = socket.accept().await?;
            stream.set_nodelay(true)?;
            connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone()));
            while connections.try_join_next().is_some() {}
        }
    }};
}
use serve;
