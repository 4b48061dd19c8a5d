//! Where spans and log lines go: by OTLP to an endpoint, spans also to Traceloop.
//!
//! Each exporter has a queue of its own, which drops what does not fit in, and a thread of its own that
//! sends: whatever becomes of one of them, requests and the other exporters do not notice. How long queues
//! and batches are is the standard environment's (`OTEL_BSP_*`, `OTEL_BLRP_*`), which the SDK reads.

use std::fmt;
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, Response};
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, Protocol, SpanExporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use secrecy::{ExposeSecret, SecretString};

use crate::sampling::Sampling;

/// Longest wait for one export, repetitions included.
const EXPORT_DEADLINE: Duration = Duration::from_secs(3);

/// How spans and log lines travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// `http/protobuf`, the default of OpenTelemetry.
    #[default]
    HttpProtobuf,
    /// `grpc`.
    Grpc,
}

/// Whether log lines go where spans go; to standard error they go in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogsExporter {
    /// They do, the default of OpenTelemetry.
    #[default]
    Otlp,
    /// They do not: what is there takes spans only.
    None,
}

/// An account of Traceloop, or whatever takes its place.
#[derive(Clone, Debug)]
pub struct Traceloop {
    /// Its address; `/v1/traces` is added.
    pub base_url: String,
    /// The key, sent as a bearer token.
    pub api_key: Option<SecretString>,
}

impl Traceloop {
    /// Where Traceloop itself is (<https://www.traceloop.com/docs/openllmetry/configuration>).
    pub const BASE_URL: &'static str = "https://api.traceloop.com";
}

/// An OTLP endpoint.
#[derive(Clone, Copy)]
pub(crate) struct Endpoint<'a> {
    pub(crate) url: &'a str,
    pub(crate) protocol: OtlpProtocol,
}

impl Endpoint<'_> {
    /// The endpoint is a base; a signal's path is ours to add.
    fn of_signal(&self, path: &str) -> String {
        format!("{}{path}", self.url.trim_end_matches('/'))
    }

    /// TLS under gRPC, which would bring a second TLS into the binaries.
    pub(crate) fn needs_what_there_is_not(&self) -> bool {
        self.protocol == OtlpProtocol::Grpc && self.url.starts_with("https:")
    }

    /// Sends spans there.
    pub(crate) fn spans(&self) -> Result<SpanExporter, ExporterBuildError> {
        match self.protocol {
            OtlpProtocol::HttpProtobuf => SpanExporter::builder()
                .with_http()
                .with_http_client(client(self.url)?)
                .with_protocol(Protocol::HttpBinary)
                .with_endpoint(self.of_signal("/v1/traces"))
                .with_timeout(EXPORT_DEADLINE)
                .build(),
            OtlpProtocol::Grpc => SpanExporter::builder()
                .with_tonic()
                .with_endpoint(self.url)
                .with_timeout(EXPORT_DEADLINE)
                .build(),
        }
    }

    fn lines(&self) -> Result<LogExporter, ExporterBuildError> {
        match self.protocol {
            OtlpProtocol::HttpProtobuf => LogExporter::builder()
                .with_http()
                .with_http_client(client(self.url)?)
                .with_protocol(Protocol::HttpBinary)
                .with_endpoint(self.of_signal("/v1/logs"))
                .with_timeout(EXPORT_DEADLINE)
                .build(),
            OtlpProtocol::Grpc => LogExporter::builder()
                .with_tonic()
                .with_endpoint(self.url)
                .with_timeout(EXPORT_DEADLINE)
                .build(),
        }
    }
}

/// What takes spans and hands each that is recorded to all of these; nothing where there are none.
pub(crate) fn tracer_provider(
    exporters: Vec<SpanExporter>,
    sampling: Sampling,
    resource: Resource,
) -> Option<SdkTracerProvider> {
    if exporters.is_empty() {
        return None;
    }
    let builder = SdkTracerProvider::builder().with_resource(resource).with_sampler(sampling.sampler());
    Some(
        exporters
            .into_iter()
            .fold(builder, |builder, exporter| builder.with_batch_exporter(exporter))
            .build(),
    )
}

/// What takes log lines.
pub(crate) fn logger_provider(
    endpoint: Endpoint<'_>,
    resource: Resource,
) -> Result<SdkLoggerProvider, ExporterBuildError> {
    Ok(SdkLoggerProvider::builder().with_resource(resource).with_batch_exporter(endpoint.lines()?).build())
}

/// Sends spans to Traceloop.
pub(crate) fn to_traceloop(traceloop: &Traceloop) -> Result<SpanExporter, ExporterBuildError> {
    let endpoint = Endpoint { url: &traceloop.base_url, protocol: OtlpProtocol::HttpProtobuf };
    SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint.of_signal("/v1/traces"))
        .with_timeout(EXPORT_DEADLINE)
        .with_http_client(OwnHeaders::new(&traceloop.base_url, traceloop.api_key.as_ref())?)
        .build()
}

fn unusable(reason: &str) -> ExporterBuildError {
    ExporterBuildError::InvalidConfiguration(reason.to_owned())
}

/// What exports by HTTP: it goes where it is sent and nowhere else, with whatever keys it carries. No
/// redirect is followed, and what is on this machine is asked through no proxy.
fn client(url: &str) -> Result<reqwest::blocking::Client, ExporterBuildError> {
    let on_this_machine = reqwest::Url::parse(url).is_ok_and(|url| match url.host() {
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    });
    // A blocking client has a runtime of its own, which must not be made on a thread of another.
    let built = thread::spawn(move || {
        let builder = reqwest::blocking::Client::builder()
            .timeout(EXPORT_DEADLINE)
            .redirect(reqwest::redirect::Policy::none());
        let builder = if on_this_machine { builder.no_proxy() } else { builder };
        builder.build()
    });
    match built.join() {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(_)) | Err(_) => Err(unusable("there is no HTTP client")),
    }
}

/// A client that sends Traceloop's own headers and no others: the exporter adds those of
/// `OTEL_EXPORTER_OTLP_HEADERS`, whatever endpoint it was given, and they may hold another's key.
struct OwnHeaders {
    client: reqwest::blocking::Client,
    authorization: Option<HeaderValue>,
}

impl fmt::Debug for OwnHeaders {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("OwnHeaders").finish_non_exhaustive()
    }
}

impl OwnHeaders {
    fn new(url: &str, key: Option<&SecretString>) -> Result<Self, ExporterBuildError> {
        let authorization = key
            .map(|key| -> Result<HeaderValue, ExporterBuildError> {
                let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose_secret()))
                    .map_err(|_| unusable("its key has characters that no header can carry"))?;
                value.set_sensitive(true);
                Ok(value)
            })
            .transpose()?;
        Ok(Self { client: client(url)?, authorization })
    }

    fn replace(&self, headers: &mut HeaderMap) {
        let about_the_body = [CONTENT_TYPE, CONTENT_ENCODING].map(|name| (headers.remove(&name), name));
        headers.clear();
        headers.extend(about_the_body.into_iter().filter_map(|(value, name)| Some((name, value?))));
        headers.extend(self.authorization.clone().map(|value| (AUTHORIZATION, value)));
    }
}

#[async_trait]
impl HttpClient for OwnHeaders {
    async fn send_bytes(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.replace(request.headers_mut());
        self.client.send_bytes(request).await
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use secrecy::SecretString;

    use super::{Endpoint, OtlpProtocol, OwnHeaders};

    #[test]
    fn another_endpoints_headers_do_not_reach_traceloop() {
        let client = OwnHeaders::new("http://127.0.0.1", Some(&SecretString::from("own-canary"))).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-type", "application/x-protobuf"),
            ("authorization", "Bearer another-canary"),
            ("x-api-key", "another-canary"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        client.replace(&mut headers);
        assert_eq!(headers.len(), 2, "{headers:?}");
        assert_eq!(headers["authorization"], "Bearer own-canary");
        assert_eq!(headers["content-type"], "application/x-protobuf");
        assert!(!format!("{client:?} {headers:?}").contains("canary"));
    }

    #[test]
    fn a_base_has_the_path_of_each_signal_once() {
        for url in ["http://127.0.0.1:4318", "http://127.0.0.1:4318/"] {
            let endpoint = Endpoint { url, protocol: OtlpProtocol::HttpProtobuf };
            assert_eq!(endpoint.of_signal("/v1/logs"), "http://127.0.0.1:4318/v1/logs");
        }
    }
}
