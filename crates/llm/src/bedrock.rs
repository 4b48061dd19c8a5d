//! Amazon Bedrock's Converse and `ConverseStream`, by AWS's SDK
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>).
//!
//! Owns the request and how the SDK is set up; what an answer says is in [`said`], what a refusal says
//! in [`refusal`], what only the HTTP exchange shows in [`exchange`], how it is connected to in
//! [`connection`], credentials in [`keys`].
//!
//! The SDK reads the standard variables `AWS_*` and the shared configuration files itself, as everything
//! that speaks to AWS does: credentials, region, `AWS_ENDPOINT_URL_BEDROCK_RUNTIME`,
//! `AWS_BEARER_TOKEN_BEDROCK`.

use std::sync::Arc;

use async_trait::async_trait;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::retry::RetryConfig;
use aws_sdk_bedrockruntime::config::{Builder, StalledStreamProtectionConfig};
use aws_sdk_bedrockruntime::types::{
    ContentBlock, ConversationRole, InferenceConfiguration, Message, SystemContentBlock,
};
use futures::StreamExt;
use futures::stream::BoxStream;
use secrecy::{ExposeSecret, SecretString};
use telemetry::Metrics;

use self::exchange::Exchange;
use self::keys::Keys;
use self::said::{Frame, Reader};
use crate::answer::answer;
use crate::endpoint::kind_of;
use crate::{
    Beginning, CompletionStream, Delivery, ErrorKind, LlmError, LlmProvider, Prompt, ProviderName, Request,
};

mod connection;
mod exchange;
mod keys;
mod refusal;
mod said;

/// The provider, as people call it.
const WHO: &str = "Bedrock";
/// Where it is asked unless a setting says otherwise.
const REGION: &str = "us-east-1";

/// Bedrock in a region, and a model or an inference profile there.
#[derive(Clone)]
pub struct Bedrock {
    client: Client,
    model: Arc<str>,
    /// Where requests are counted, if anywhere.
    metrics: Option<Metrics>,
}

impl Bedrock {
    /// Bedrock as the environment and AWS's shared files describe it, in `us-east-1` unless they name a
    /// region.
    ///
    /// Looks for credentials right away, four seconds at most, so that no request waits for the address
    /// of a machine's role that is not there; whether there are any is told by the first call.
    pub async fn from_environment(model: &str) -> Self {
        // Without the region of the machine's metadata, which takes seconds to be absent.
        let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
            .or_else(ProfileFileRegionProvider::new())
            .or_else(Region::new(REGION))
            .region()
            .await;
        let keys = Keys::of_environment(region.clone()).await;
        let shared = aws_config::defaults(BehaviorVersion::latest())
            .region(region)
            .credentials_provider(SharedCredentialsProvider::new(keys))
            .load()
            .await;
        Self::of(Builder::from(&shared), model)
    }

    /// Bedrock at an address, with keys that are known.
    #[must_use]
    pub fn with_keys(
        endpoint: &str,
        region: &str,
        access_key_id: &str,
        secret_access_key: &SecretString,
        session_token: Option<&SecretString>,
        model: &str,
    ) -> Self {
        let session_token = session_token.map(|token| token.expose_secret().to_owned());
        let secret = secret_access_key.expose_secret();
        let keys = Credentials::from_keys(access_key_id, secret, session_token);
        let config = Builder::default()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(endpoint)
            .region(Region::new(region.to_owned()))
            .credentials_provider(keys);
        Self::of(config, model)
    }

    /// Another model over the same connections, with the same credentials.
    #[must_use]
    pub fn asking(&self, model: &str) -> Self {
        Self { model: Arc::from(model), ..self.clone() }
    }

    /// The same, with its requests counted there.
    #[must_use]
    pub fn counted_in(self, metrics: &Metrics) -> Self {
        Self { metrics: Some(metrics.clone()), ..self }
    }

    /// One request a call; and silence is measured here, where a model may think for as long as other
    /// providers' do: the SDK's protection against stalled streams has twenty seconds.
    fn of(config: Builder, model: &str) -> Self {
        let config = config
            .http_client(connection::client())
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        Self { client: Client::from_conf(config), model: Arc::from(model), metrics: None }
    }

    /// Sends one request and waits for its head, or for all of a whole answer.
    async fn ask(&self, request: &Request, exchange: &Exchange) -> Result<Frames, LlmError> {
        let (model, prompt) = (self.model.as_ref(), request.prompt.as_ref());
        let system = system(prompt);
        let message = message(prompt)?;
        // The longest answer that can be asked for is larger than any model's.
        let most = i32::try_from(prompt.max_output_tokens).unwrap_or(i32::MAX);
        let inference = InferenceConfiguration::builder().max_tokens(most).build();
        match request.delivery {
            Delivery::Whole => {
                let asked = self.client.converse().model_id(model).set_system(system).messages(message);
                let sent = asked.inference_config(inference).customize().interceptor(exchange.clone()).send();
                let output = sent.await.map_err(|error| refusal::of(&error, exchange, model))?;
                Ok(futures::stream::iter([Ok(Frame::Whole(Box::new(output)))]).boxed())
            }
            Delivery::Streamed => {
                let asked =
                    self.client.converse_stream().model_id(model).set_system(system).messages(message);
                let sent = asked.inference_config(inference).customize().interceptor(exchange.clone()).send();
                let output = sent.await.map_err(|error| refusal::of(&error, exchange, model))?;
                Ok(said::events(output.stream, self.model.clone()))
            }
        }
    }
}

type Frames = BoxStream<'static, Result<Frame, LlmError>>;

/// Blank texts are refused (Converse, "Request syntax": `system`, minimum length 1).
fn system(prompt: &Prompt) -> Option<Vec<SystemContentBlock>> {
    (!prompt.system.trim().is_empty()).then(|| vec![SystemContentBlock::Text(prompt.system.clone())])
}

fn message(prompt: &Prompt) -> Result<Message, LlmError> {
    let text = ContentBlock::Text(prompt.user.clone());
    let message = Message::builder().role(ConversationRole::User).content(text).build();
    message.map_err(|error| LlmError::new(ErrorKind::BadRequest, format!("{WHO} cannot be asked: {error}")))
}

#[async_trait]
impl LlmProvider for Bedrock {
    fn name(&self) -> ProviderName {
        ProviderName::Bedrock
    }

    fn model(&self) -> &str {
        &self.model
    }

    async fn call(&self, request: &Request) -> Result<CompletionStream, LlmError> {
        let exchange = Exchange::new(request.prompt.max_output_tokens)
            .counted_in(self.metrics.as_ref(), request.trail.due());
        let asked = self.ask(request, &exchange).await;
        if let Err(error) = &asked {
            exchange.unanswered(error.kind());
        }
        let seen = exchange.seen();
        let frames = match asked {
            Ok(frames) => frames,
            // It has begun to answer, and what it said was no good: it did its work.
            Err(error) if seen.status.is_some_and(|status| (200..300).contains(&status)) => {
                futures::stream::iter([Err(error)]).boxed()
            }
            Err(error) => return Err(error),
        };
        let beginning = Beginning {
            provider: ProviderName::Bedrock,
            requested_model: self.model.to_string(),
            request_id: seen.request_id,
            simulated: seen.simulated,
        };
        Ok(answer(WHO, beginning, frames, Reader::new(Arc::clone(&self.model))))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_config::BehaviorVersion;
    use aws_credential_types::provider::error::CredentialsError;
    use aws_credential_types::provider::{ProvideCredentials, future};
    use aws_sdk_bedrockruntime::config::{Builder, Region};

    use reqwest::header::{HeaderMap, HeaderValue};
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers};

    use super::Bedrock;
    use super::exchange::Exchange;
    use super::keys::Keys;
    use crate::{Delivery, ErrorKind, LlmError, LlmProvider, Prompt, Request};

    #[derive(Debug)]
    struct Nobody {
        is_slow: bool,
    }

    impl ProvideCredentials for Nobody {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            if self.is_slow {
                return future::ProvideCredentials::new(std::future::pending());
            }
            future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("none")))
        }
    }

    fn request(delivery: Delivery) -> Request {
        let prompt = Prompt { system: String::new(), user: "A whale.".to_owned(), max_output_tokens: 9 };
        Request { delivery, ..Request::once(prompt, Duration::from_secs(30)) }
    }

    async fn ask(bedrock: &Bedrock, delivery: Delivery) -> LlmError {
        match bedrock.call(&request(delivery)).await {
            Ok(_) => panic!("it was answered"),
            Err(error) => error,
        }
    }

    fn bedrock(keys: impl ProvideCredentials + 'static) -> Bedrock {
        let config = Builder::default()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url("http://127.0.0.1:9")
            .region(Region::new("us-east-1"))
            .credentials_provider(keys);
        Bedrock::of(config, "amazon.nova-lite-v1:0")
    }

    #[tokio::test]
    async fn no_credentials_are_told_with_what_to_do() {
        for delivery in [Delivery::Streamed, Delivery::Whole] {
            let error = ask(&bedrock(Nobody { is_slow: false }), delivery).await;
            assert_eq!(error.kind, ErrorKind::Unauthorized, "{error}");
            assert!(error.detail.contains("AWS_ACCESS_KEY_ID"), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_request_waits_long_for_credentials_and_the_next_not_at_all() {
        let bedrock = bedrock(Keys::new(Nobody { is_slow: true }));
        for longest in [5, 0] {
            let started = tokio::time::Instant::now();
            let error = ask(&bedrock, Delivery::Streamed).await;
            assert_eq!(error.kind, ErrorKind::Unauthorized, "{error}");
            assert!(started.elapsed() <= Duration::from_secs(longest), "{:?}", started.elapsed());
        }
    }

    /// Nobody accepts here, and no more connections fit into the queue of those who wait for it.
    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_not_made_in_time_is_unavailable_and_asked_nothing() {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        for _ in 0..8 {
            let connecting = tokio::net::TcpStream::connect(address);
            waiting.extend(tokio::time::timeout(Duration::from_millis(200), connecting).await);
        }
        assert!(waiting.len() < 8, "the queue takes all");
        let bedrock =
            Bedrock::with_keys(&format!("http://{address}"), "us-east-1", "id", &"key".into(), None, "m");
        for delivery in [Delivery::Streamed, Delivery::Whole] {
            let error = ask(&bedrock, delivery).await;
            assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
            assert!(error.detail.contains("cannot be reached (no connection in time)"), "{error}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_asked_is_a_bad_request() {
        let error = ask(
            &Bedrock::with_keys("http://127.0.0.1:9", "us-east-1", "id", &"key".into(), None, ""),
            Delivery::Whole,
        )
        .await;
        assert_eq!(error.kind, ErrorKind::BadRequest, "{error}");
        assert!(error.detail.contains("BEDROCK_MODEL"), "{error}");
        let error =
            ask(&Bedrock::with_keys("nowhere", "us-east-1", "id", &"key".into(), None, "m"), Delivery::Whole)
                .await;
        assert!(matches!(error.kind, ErrorKind::BadRequest | ErrorKind::Unavailable), "{error}");
    }

    #[tokio::test]
    async fn the_trace_goes_along_under_the_signature() {
        let server = MockServer::start().await;
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        Mock::given(matchers::header("traceparent", trace))
            .respond_with(ResponseTemplate::new(200).set_body_json(serde_json::json!({})))
            .mount(&server)
            .await;
        let bedrock = Bedrock::with_keys(&server.uri(), "us-east-1", "id", &"key".into(), None, "m");
        let headers =
            HeaderMap::from_iter([("traceparent".parse().unwrap(), HeaderValue::from_static(trace))]);
        let exchange = Exchange::with_trace(headers, 9);
        assert!(bedrock.ask(&request(Delivery::Whole), &exchange).await.is_ok());
        let asked = server.received_requests().await.unwrap().pop().unwrap();
        let signature = asked.headers["authorization"].to_str().unwrap();
        assert!(signature.contains(";traceparent"), "{signature}");
        assert_eq!((exchange.seen().status, exchange.seen().place), (Some(200), server.uri()));
    }
}
