//! What a bookstore-api offers, asked over HTTP.

use std::time::Duration;

use async_trait::async_trait;
use common_models::{Experiments, LlmProviders};
use futures::StreamExt;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{Offers, OffersError, PriceList};
use crate::targets::Target;

/// Longest wait for all that is asked.
const DEADLINE: Duration = Duration::from_secs(3);
/// Longest answer that is read.
const LONGEST_ANSWER: usize = 1 << 20;

/// Asks bookstore-api itself.
#[derive(Clone, Debug, Default)]
pub struct BookstorePrices;

#[async_trait]
impl PriceList for BookstorePrices {
    async fn offers(&self, target: &Target, token: Option<&SecretString>) -> Result<Offers, OffersError> {
        let client = client(&target.url)?;
        let asked = async {
            let providers: LlmProviders = read(&client, target, "api/v1/llm/providers", token).await?;
            let experiments = match read(&client, target, "api/v1/experiments", token).await {
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

async fn read<T: DeserializeOwned>(
    client: &Client,
    target: &Target,
    path: &str,
    token: Option<&SecretString>,
) -> Result<T, OffersError> {
    let base = target.url.as_str().trim_end_matches('/');
    let mut request = client.get(format!("{base}/{path}"));
    if let Some(token) = token {
        request = request.bearer_auth(token.expose_secret());
    }
    // Without the address, which the caller knows.
    let unreachable = |error: reqwest::Error| OffersError::Unreachable(error.without_url().to_string());
    let answer = request.send().await.map_err(|error| {
        if error.is_connect() && !error.is_timeout() {
            OffersError::Down(error.without_url().to_string())
        } else {
            unreachable(error)
        }
    })?;
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
