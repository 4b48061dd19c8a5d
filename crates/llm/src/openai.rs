//! `OpenAI`'s Chat Completions, and the servers that speak them: Ollama, vLLM, LM Studio, llama.cpp,
//! gateways, llm-simulator (`POST /v1/chat/completions`;
//! <https://platform.openai.com/docs/api-reference/chat>).
//!
//! Owns the request; what an answer says is in [`said`], what a refusal says in [`refusal`].
//!
//! Requests are made of async-openai's types, but its client does not send them. It repeats what is
//! answered 429 or 5xx (`retry.rs`); its errors have lost the headers, so `retry-after` and
//! `x-request-id` with them, and of 5xx the error object too (`read_error_response`); it writes
//! answers and refusals that it cannot read into the log (`map_deserialization_error`), holds bodies
//! and streams without bound, hides `[DONE]`, so that a stream that was cut looks like one that ended
//! (`stream_mapped_raw_events`), and takes no value that its types do not know, which is what
//! compatible servers send.

use std::sync::Arc;

use async_openai::types::chat::{
    ChatCompletionRequestMessage, ChatCompletionRequestSystemMessage, ChatCompletionRequestUserMessage,
    ChatCompletionStreamOptions, CreateChatCompletionRequest,
};
use async_trait::async_trait;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use telemetry::Metrics;

use crate::answer::answer;
use crate::endpoint::Endpoint;
use crate::{
    CompletionStream, Delivery, ErrorKind, LlmError, LlmProvider, Prompt, ProviderName, Request, frames,
};

mod refusal;
mod said;

/// The provider, as people call it.
const WHO: &str = "OpenAI";
/// The setting that has the address.
const SETTING: &str = "OPENAI_BASE_URL";

/// `OpenAI`'s API, or a server that speaks it, and a model on it.
pub struct OpenAi {
    place: Arc<Place>,
    path: &'static str,
    headers: HeaderMap,
    bound: Bound,
}

/// Where it is and what is asked there, for those who say what went wrong.
struct Place {
    endpoint: Endpoint,
    has_key: bool,
    model: String,
}

/// The name of the longest answer in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    /// `max_completion_tokens`, which alone `OpenAI`'s reasoning models take (API reference, "Create
    /// chat completion": `max_tokens` is deprecated and not compatible with them).
    Completion,
    /// `max_tokens`, which all others take. Ollama (0.17) passes the newer name over, and its answer is
    /// as long as it likes; Mistral refuses names that it does not know; vLLM and llm-simulator take
    /// both.
    Tokens,
}

impl Bound {
    /// The one that this host takes for this model. Gateways hand requests for `OpenAI`'s models on to
    /// `OpenAI`.
    fn of(host: &str, model: &str) -> Self {
        let hosted = host == "api.openai.com"
            || [".api.openai.com", ".openai.azure.com"].iter().any(|end| host.ends_with(end));
        let name = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
        if hosted || reasons(&name) { Self::Completion } else { Self::Tokens }
    }
}

/// Whether this is a model of the series that reason: o1 and whatever follows it, gpt-5 and whatever
/// follows it. Those to come are taken for what their predecessors were.
fn reasons(name: &str) -> bool {
    let series = |opening: &str, first: u32| {
        let Some(rest) = name.strip_prefix(opening) else { return false };
        let end = rest.find(|next: char| !next.is_ascii_digit()).unwrap_or(rest.len());
        let (number, rest) = rest.split_at(end);
        number.parse().is_ok_and(|number: u32| number >= first)
            && (rest.is_empty() || rest.starts_with(['-', '.']))
    };
    series("o", 1) || series("gpt-", 5)
}

impl OpenAi {
    /// The server at `base_url` (`https://api.openai.com/v1`; no trailing slash needed, and `/v1` is
    /// added where there is no path at all), the key that it wants, if any, and one of its models.
    ///
    /// # Errors
    /// When the address is none, the key cannot stand in a header, or TLS cannot be set up.
    pub fn new(base_url: &str, api_key: Option<SecretString>, model: &str) -> Result<Self, LlmError> {
        let mut headers = HeaderMap::new();
        if let Some(key) = &api_key {
            let bearer = format!("Bearer {}", key.expose_secret());
            let mut bearer = HeaderValue::from_str(&bearer).map_err(|_| {
                let detail = "OPENAI_API_KEY has characters that no header can carry";
                LlmError::new(ErrorKind::Unauthorized, detail)
            })?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        let has_key = api_key.is_some();
        let endpoint = Endpoint::new(ProviderName::OpenAi, WHO, SETTING, base_url, api_key)?;
        let url = Url::parse(base_url).ok();
        let bare = url.as_ref().is_some_and(|url| url.path() == "/");
        let path = if bare { "/v1/chat/completions" } else { "/chat/completions" };
        let bound = Bound::of(url.as_ref().and_then(Url::host_str).unwrap_or_default(), model);
        let place = Place { endpoint, has_key, model: model.to_owned() };
        Ok(Self { place: Arc::new(place), path, headers, bound })
    }

    /// The same, with its requests counted there.
    #[must_use]
    pub fn counted_in(self, metrics: &Metrics) -> Self {
        self.place.endpoint.count_in(metrics);
        self
    }

    fn asked(&self, prompt: &Prompt, delivery: Delivery) -> CreateChatCompletionRequest {
        let mut messages = Vec::new();
        if !prompt.system.is_empty() {
            let system = ChatCompletionRequestSystemMessage::from(prompt.system.as_str());
            messages.push(ChatCompletionRequestMessage::System(system));
        }
        let user = ChatCompletionRequestUserMessage::from(prompt.user.as_str());
        messages.push(ChatCompletionRequestMessage::User(user));
        let mut asked = CreateChatCompletionRequest {
            messages,
            model: self.place.model.clone(),
            ..CreateChatCompletionRequest::default()
        };
        match self.bound {
            Bound::Completion => asked.max_completion_tokens = Some(prompt.max_output_tokens),
            #[expect(deprecated, reason = "compatible servers take no other, see Bound::Tokens")]
            Bound::Tokens => asked.max_tokens = Some(prompt.max_output_tokens),
        }
        if delivery == Delivery::Streamed {
            asked.stream = Some(true);
            // Without it, streams have no figures.
            let options =
                ChatCompletionStreamOptions { include_usage: Some(true), include_obfuscation: None };
            asked.stream_options = Some(options);
        }
        asked
    }
}

#[async_trait]
impl LlmProvider for OpenAi {
    fn name(&self) -> ProviderName {
        ProviderName::OpenAi
    }

    fn model(&self) -> &str {
        &self.place.model
    }

    async fn call(&self, request: &Request) -> Result<CompletionStream, LlmError> {
        let asked = self.asked(&request.prompt, request.delivery);
        let endpoint = &self.place.endpoint;
        let response = endpoint.post(self.path, self.headers.clone(), &asked, &request.trail).await?;
        if !response.status().is_success() {
            let refusal = endpoint.refusal(response).await;
            let error = self.place.refused(&refusal);
            return Err(refusal.completed(error));
        }
        let beginning = endpoint.beginning(&response, &self.place.model);
        let reader = said::Reader::new(Arc::clone(&self.place));
        // A server that does not stream answers in one piece, whatever it was asked.
        let frames = if request.delivery == Delivery::Whole || is_json(response.headers()) {
            frames::whole(WHO, response)
        } else {
            frames::events(WHO, response)
        };
        Ok(answer(WHO, beginning, frames, reader))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.trim_start().to_ascii_lowercase().starts_with("application/json")
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::{Bound, OpenAi};
    use crate::{Delivery, ErrorKind, LlmProvider, Prompt};

    fn prompt(system: &str) -> Prompt {
        Prompt { system: system.to_owned(), user: "A whale.".to_owned(), max_output_tokens: 9 }
    }

    #[test]
    fn the_longest_answer_has_the_name_that_the_server_takes() {
        for (host, model, bound) in [
            ("api.openai.com", "gpt-4o", Bound::Completion),
            ("eu.api.openai.com", "gpt-4o", Bound::Completion),
            ("ours.openai.azure.com", "our-deployment", Bound::Completion),
            ("api.openai.com.example", "gpt-4o", Bound::Tokens),
            ("127.0.0.1", "llama3.2", Bound::Tokens),
            ("127.0.0.1", "o1ama", Bound::Tokens),
            ("vllm", "openai/gpt-oss-20b", Bound::Tokens),
            ("gateway", "gpt-4o", Bound::Tokens),
            ("gateway", "openai/o3-mini", Bound::Completion),
            ("gateway", "o1", Bound::Completion),
            ("gateway", "GPT-5.1-mini", Bound::Completion),
            ("gateway", "gpt-6-sol", Bound::Completion),
            ("gateway", "gpt-10", Bound::Completion),
            ("gateway", "gpt-50b-instruct", Bound::Tokens),
            ("gateway", "gpt-5o", Bound::Tokens),
            ("gateway", "gpt-3.5-turbo", Bound::Tokens),
            ("gateway", "o12-mini", Bound::Completion),
            ("gateway", "o", Bound::Tokens),
        ] {
            assert_eq!(Bound::of(host, model), bound, "{host} {model}");
        }
    }

    /// All that the file of prices sells, so that a series that is new there is thought of here.
    #[test]
    fn models_that_are_sold_have_the_name_of_their_series() {
        let file: serde_json::Value = serde_json::from_str(include_str!("prices.json")).unwrap();
        let rows = file["prices"].as_array().unwrap().iter();
        let models: Vec<_> =
            rows.filter(|row| row["provider"] == "openai").filter_map(|row| row["model"].as_str()).collect();
        assert!(models.len() > 20, "{models:?}");
        for model in models {
            let bound = if model.starts_with("gpt-4") { Bound::Tokens } else { Bound::Completion };
            assert_eq!(Bound::of("gateway", model), bound, "{model}");
        }
    }

    #[test]
    fn a_request_has_what_is_asked_and_nothing_that_a_server_may_not_know() {
        let local = OpenAi::new("http://127.0.0.1:9/v1/", None, "llama3.2").unwrap();
        let asked = serde_json::to_value(local.asked(&prompt("Summarise."), Delivery::Streamed)).unwrap();
        let expected = serde_json::json!({
            "model": "llama3.2",
            "messages": [
                {"role": "system", "content": "Summarise."}, {"role": "user", "content": "A whale."}
            ],
            "max_tokens": 9,
            "stream": true,
            "stream_options": {"include_usage": true},
        });
        assert_eq!(asked, expected);
        let hosted = OpenAi::new("https://api.openai.com/v1", None, "gpt-4o").unwrap();
        let asked = serde_json::to_value(hosted.asked(&prompt(""), Delivery::Whole)).unwrap();
        let expected = serde_json::json!({
            "model": "gpt-4o",
            "messages": [{"role": "user", "content": "A whale."}],
            "max_completion_tokens": 9,
        });
        assert_eq!(asked, expected);
    }

    #[test]
    fn a_version_is_added_where_there_is_no_path() {
        for (base, path) in [
            ("http://127.0.0.1:9", "/v1/chat/completions"),
            ("http://127.0.0.1:9/", "/v1/chat/completions"),
            ("http://127.0.0.1:9/v1", "/chat/completions"),
            ("https://openrouter.ai/api/v1/", "/chat/completions"),
        ] {
            assert_eq!(OpenAi::new(base, None, "m").unwrap().path, path, "{base}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_without_the_key() {
        let key = SecretString::from("sk-canary\n");
        let Err(error) = OpenAi::new("http://127.0.0.1:9/v1", Some(key), "m") else { panic!("made") };
        assert_eq!(error.kind, ErrorKind::Unauthorized);
        assert!(error.detail.contains("OPENAI_API_KEY") && !error.detail.contains("canary"), "{error}");
        for address in ["", "127.0.0.1:9", "ftp://a/", "/v1"] {
            let Err(error) = OpenAi::new(address, None, "m") else { panic!("{address}") };
            assert_eq!(error.kind, ErrorKind::BadRequest, "{address}");
        }
        assert_eq!(OpenAi::new("http://a/v1", None, "m").unwrap().model(), "m");
    }
}
