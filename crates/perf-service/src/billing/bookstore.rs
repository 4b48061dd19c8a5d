//! What a bookstore-api offers, asked over HTTP.

use std::time::Duration;

use async_trait::async_trait;
use common_models::{Experiments, LlmProviders};
use futures::StreamExt;
use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use telemetry::{Metrics, Upstream};
use tokio::time::timeout;

use super::{Offers, OffersError, PriceList};
use crate::targets::Target;

/// Longest wait for all that is asked.
const DEADLINE: Duration = Duration::from_secs(3);
/// Longest answer that is read.
const LONGEST_ANSWER: usize = 1 << 20;

/// Asks bookstore-api itself.
#[derive(Clone)]
pub struct BookstorePrices {
    metrics: Metrics,
}

impl BookstorePrices {
    /// Counts its requests in `metrics`.
    #[must_use]
    pub const fn new(metrics: Metrics) -> Self {
        Self { metrics }
    }
}

#[async_trait]
impl PriceList for BookstorePrices {
    async fn offers(&self, target: &Target, token: Option<&SecretString>) -> Result<Offers, OffersError> {
        let asking = Asking {
            client: client(&target.url)?,
            upstream: upstream(&self.metrics, &target.url),
            target,
            token,
        };
        let asked = async {
            let providers: LlmProviders = asking.read("api/v1/llm/providers").await?;
            let experiments = match asking.read("api/v1/experiments").await {
                // One that knows none.
                Err(OffersError::Refused(404)) => Experiments::default(),
                other => other?,
            };
            let arms = experiments.items.into_iter().flat_map(|experiment| experiment.arms);
            Ok(Offers {
                providers: providers.items,
                arms: arms.map(|arm| (arm.provider, arm.model)).collect(),
            })
        };
        timeout(DEADLINE, asked)
            .await
            .unwrap_or_else(|_| Err(OffersError::Unreachable(format!("not within {} s", DEADLINE.as_secs()))))
    }
}

/// A client that goes nowhere else: no redirects, which would carry the token away, and no proxy for
/// what is on this machine.
fn client(target: &Url) -> Result<Client, OffersError> {
    let builder = Client::builder()
        .timeout(DEADLINE)
        .redirect(Policy::none())
        .user_agent(concat!("perf-service/", env!("CARGO_PKG_VERSION")));
    let local = match target.host() {
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let builder = if local { builder.no_proxy() } else { builder };
    builder.build().map_err(|error| OffersError::Unreachable(error.to_string()))
}

/// Where requests to a target are counted: targets are configured.
fn upstream(metrics: &Metrics, target: &Url) -> Upstream {
    let host = target.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    metrics.upstream(host, target.port_or_known_default().unwrap_or_default())
}

/// Without the address, which the caller knows.
fn unreachable(error: reqwest::Error) -> OffersError {
    OffersError::Unreachable(error.without_url().to_string())
}

/// One target that is asked.
struct Asking<'a> {
    client: Client,
    upstream: Upstream,
    target: &'a Target,
    token: Option<&'a SecretString>,
}

impl Asking<'_> {
    /// Sends one request, with the trace context of the current span.
    async fn send(&self, path: &str) -> Result<Response, OffersError> {
        let base = self.target.url.as_str().trim_end_matches('/');
        let mut headers = HeaderMap::new();
        telemetry::inject_trace_context(&mut headers);
        let mut request = self.client.get(format!("{base}/{path}")).headers(headers);
        if let Some(token) = self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        let sent = self.upstream.begin(&Method::GET);
        match request.send().await {
            Ok(answer) => {
                sent.answered(answer.status().as_u16());
                Ok(answer)
            }
            Err(error) => {
                let error = if error.is_connect() && !error.is_timeout() {
                    OffersError::Down(error.without_url().to_string())
                } else {
                    unreachable(error)
                };
                sent.failed(error.kind());
                Err(error)
            }
        }
    }

    async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, OffersError> {
        read(self.send(path).await?).await
    }
}

async fn read<T: DeserializeOwned>(answer: Response) -> Result<T, OffersError> {
    if !answer.status().is_success() {
        return Err(OffersError::Refused(answer.status().as_u16()));
    }
    let (mut body, mut pieces) = (Vec::new(), answer.bytes_stream());
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(unreachable)?;
        if body.len() + piece.len() > LONGEST_ANSWER {
            return Err(OffersError::Malformed(format!("longer than {LONGEST_ANSWER} bytes")));
        }
        body.extend_from_slice(&piece);
    }
    serde_json::from_slice(&body).map_err(|error| OffersError::Malformed(error.to_string()))
}
