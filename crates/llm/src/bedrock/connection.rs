//! How Bedrock is connected to: by a proxy of the environment where that is set, but never what is on this
//! machine, which a proxy could not reach and which should not learn what is asked.
//!
//! Owns that choice, made by each request's address: the SDK takes addresses from variables and files that
//! are read by nobody else. Must not know what is sent.

use aws_sdk_bedrockruntime::config::SharedHttpClient;
use aws_sdk_bedrockruntime::config::http::HttpRequest;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector, http_client_fn,
};
use reqwest::Url;

use crate::endpoint::{CONNECT_DEADLINE, SILENCE_DEADLINE, is_loopback};

/// An HTTP client for everything that Bedrock is asked.
pub(super) fn client() -> SharedHttpClient {
    let connector = |proxy: ProxyConfig| {
        let settings = HttpConnectorSettings::builder()
            .connect_timeout(CONNECT_DEADLINE)
            .read_timeout(SILENCE_DEADLINE)
            .build();
        Connector::builder()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .connector_settings(settings)
            .proxy_config(proxy)
            .build()
    };
    let by_place =
        ByPlace { here: connector(ProxyConfig::disabled()), elsewhere: connector(ProxyConfig::from_env()) };
    let connector = SharedHttpConnector::new(by_place);
    http_client_fn(move |_, _| connector.clone())
}

#[derive(Debug)]
struct ByPlace {
    here: Connector,
    elsewhere: Connector,
}

impl HttpConnector for ByPlace {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let is_here = Url::parse(request.uri()).is_ok_and(|url| is_loopback(&url));
        if is_here { self.here.call(request) } else { self.elsewhere.call(request) }
    }
}
