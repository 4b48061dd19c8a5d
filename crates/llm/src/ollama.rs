//! Ollama's chat API (`POST /api/chat`, streamed as JSON lines; docs/api.md of ollama/ollama).
//!
//! Owns that protocol. Surprises it knows: an error in the middle of an answer is a line under
//! status 200, and the last line carries the figures.

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use serde::{Deserialize, Serialize};

use crate::{
    Beginning, Chunk, CompletionStream, Cost, Ending, ErrorKind, LlmError, LlmProvider, ProviderName,
    Request, StopReason, TokenUsage,
};

/// Longest wait for a connection.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// Longest silence within an answer; loading a model can take this long.
const SILENCE_DEADLINE: Duration = Duration::from_secs(60);
/// Longest line accepted.
const LONGEST_LINE: usize = 1 << 20;
/// Longest error text read.
const LONGEST_ERROR: usize = 4 << 10;
/// Header with which a simulator marks its answers.
const SIMULATED_HEADER: &str = "x-llm-simulated";

/// An Ollama server and a model on it.
pub struct Ollama {
    client: reqwest::Client,
    base_url: String,
    model: String,
}

#[derive(Serialize)]
struct ChatRequest<'a> {
    model: &'a str,
    messages: [Message<'a>; 2],
    stream: bool,
    options: Options,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

#[derive(Serialize)]
struct Options {
    num_predict: u32,
}

#[derive(Deserialize)]
struct ChatLine {
    #[serde(default)]
    model: String,
    message: Option<AnswerMessage>,
    #[serde(default)]
    done: bool,
    done_reason: Option<String>,
    prompt_eval_count: Option<u64>,
    eval_count: Option<u64>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct AnswerMessage {
    #[serde(default)]
    content: String,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: String,
}

impl Ollama {
    /// The server at `base_url` (no trailing slash needed) and one of its models.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn new(base_url: &str, model: &str) -> Result<Self, LlmError> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_DEADLINE)
            .read_timeout(SILENCE_DEADLINE)
            .redirect(Policy::none())
            // It runs here or nearby; a proxy for the outside world has no part in it.
            .no_proxy()
            .build()
            .map_err(|error| LlmError::new(ErrorKind::Unavailable, format!("no HTTP client: {error}")))?;
        Ok(Self { client, base_url: base_url.trim_end_matches('/').to_owned(), model: model.to_owned() })
    }

    fn unreachable(&self, error: &reqwest::Error) -> LlmError {
        if error.is_timeout() {
            return LlmError::new(
                ErrorKind::Timeout,
                format!("Ollama at {} did not answer in time; is its machine overloaded?", self.base_url),
            );
        }
        LlmError::new(
            ErrorKind::Unavailable,
            format!(
                "Ollama at {} cannot be reached; start it (`ollama serve`) or set OLLAMA_BASE_URL",
                self.base_url
            ),
        )
    }

    async fn refused(&self, response: reqwest::Response) -> LlmError {
        let status = response.status().as_u16();
        let wait = retry_after(response.headers());
        let mut body = Vec::new();
        let mut pieces = response.bytes_stream();
        while let Some(Ok(piece)) = pieces.next().await {
            body.extend_from_slice(&piece);
            if body.len() > LONGEST_ERROR {
                break;
            }
        }
        let said =
            serde_json::from_slice::<ErrorBody>(&body).map_or_else(|_| String::new(), |body| body.error);
        let model = &self.model;
        match status {
            404 => LlmError::new(
                ErrorKind::BadRequest,
                format!("Ollama has no model {model}; get it with `ollama pull {model}` or set OLLAMA_MODEL"),
            ),
            401 | 403 => LlmError::new(ErrorKind::Unauthorized, format!("Ollama refused access: {said}")),
            408 | 504 => LlmError::new(ErrorKind::Timeout, format!("Ollama gave up: {said}")),
            429 => LlmError::new(ErrorKind::RateLimited, format!("Ollama limits requests: {said}")),
            503 | 529 => LlmError::new(ErrorKind::Overloaded, format!("Ollama is overloaded: {said}")),
            400..500 => LlmError::new(
                ErrorKind::BadRequest,
                format!("Ollama does not accept the request ({status}): {said}"),
            ),
            _ => LlmError::new(ErrorKind::Unavailable, format!("Ollama failed with {status}: {said}")),
        }
        .with_retry_after(wait)
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

#[async_trait]
impl LlmProvider for Ollama {
    fn name(&self) -> ProviderName {
        ProviderName::Ollama
    }

    fn model(&self) -> &str {
        &self.model
    }

    async fn call(&self, request: &Request) -> Result<CompletionStream, LlmError> {
        let prompt = &request.prompt;
        let request = ChatRequest {
            model: &self.model,
            messages: [
                Message { role: "system", content: &prompt.system },
                Message { role: "user", content: &prompt.user },
            ],
            stream: true,
            options: Options { num_predict: prompt.max_output_tokens },
        };
        let mut headers = HeaderMap::new();
        telemetry::inject_trace_context(&mut headers);
        let response = self
            .client
            .post(format!("{}/api/chat", self.base_url))
            .headers(headers)
            .json(&request)
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        let simulated = response.headers().contains_key(SIMULATED_HEADER);
        let begun = Chunk::Begun(Beginning {
            provider: ProviderName::Ollama,
            requested_model: self.model.clone(),
            request_id: None,
            simulated,
        });
        let chunks = lines(response.bytes_stream().map_err(|error| broken(&error)).boxed())
            .map(move |line| line.and_then(|line| read_line(&line)))
            .map_ok(|chunks| futures::stream::iter(chunks.into_iter().map(Ok)))
            .try_flatten()
            .try_filter(|chunk| std::future::ready(!matches!(chunk, Chunk::Text(text) if text.is_empty())));
        Ok(futures::stream::once(std::future::ready(Ok(begun))).chain(chunks).boxed())
    }
}

fn broken(error: &reqwest::Error) -> LlmError {
    if error.is_timeout() {
        LlmError::new(ErrorKind::Timeout, "Ollama fell silent in the middle of its answer")
    } else {
        LlmError::new(ErrorKind::BadAnswer, "the answer of Ollama was cut off")
    }
}

/// The lines of a body, without their ends; an unfinished last line counts as one.
fn lines(
    body: BoxStream<'static, Result<Bytes, LlmError>>,
) -> impl futures::Stream<Item = Result<Bytes, LlmError>> + Send {
    futures::stream::unfold((Some(body), BytesMut::new()), |(body, mut held)| async move {
        let mut body = body?;
        loop {
            if let Some(end) = held.iter().position(|&byte| byte == b'\n') {
                let line = held.split_to(end + 1);
                let line = line.freeze().slice(..end);
                if line.is_empty() {
                    continue;
                }
                return Some((Ok(line), (Some(body), held)));
            }
            if held.len() > LONGEST_LINE {
                let error = LlmError::new(ErrorKind::BadAnswer, "Ollama sent a line without end");
                return Some((Err(error), (None, held)));
            }
            match body.next().await {
                Some(Ok(piece)) => held.extend_from_slice(&piece),
                Some(Err(error)) => return Some((Err(error), (None, held))),
                None if held.is_empty() => return None,
                None => return Some((Ok(held.split().freeze()), (None, held))),
            }
        }
    })
}

/// What a line says; the closing one may carry text too.
fn read_line(line: &[u8]) -> Result<Vec<Chunk>, LlmError> {
    let line: ChatLine = serde_json::from_slice(line).map_err(|error| {
        LlmError::new(
            ErrorKind::BadAnswer,
            format!("Ollama answered something that is not its JSON: {error}"),
        )
    })?;
    if let Some(error) = line.error {
        return Err(LlmError::new(ErrorKind::Unavailable, format!("Ollama failed in its answer: {error}")));
    }
    let text = line.message.map(|message| message.content).unwrap_or_default();
    if !line.done {
        return Ok(vec![Chunk::Text(text)]);
    }
    let usage = match (line.prompt_eval_count, line.eval_count) {
        (Some(input), Some(output)) => {
            Some(TokenUsage { input, output, reported: true, ..TokenUsage::default() })
        }
        _ => None,
    };
    let stop = match line.done_reason.as_deref() {
        Some("stop") => StopReason::End,
        Some("length") => StopReason::MaxTokens,
        _ => StopReason::Other,
    };
    let ending = Ending { model: line.model, usage, stop, cost: Cost::UNKNOWN };
    Ok(vec![Chunk::Text(text), Chunk::End(ending)])
}

#[cfg(test)]
mod tests {
    use wiremock::matchers::{body_partial_json, method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::Ollama;
    use crate::{Completion, ErrorKind, LlmError, Prompt, Request, StopReason, complete};

    async fn ask(answer: ResponseTemplate) -> Result<Completion, LlmError> {
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .and(path("/api/chat"))
            .and(body_partial_json(serde_json::json!({"model": "llama3.2", "stream": true})))
            .respond_with(answer)
            .mount(&server)
            .await;
        let prompt =
            Prompt { system: "Summarise.".to_owned(), user: "A whale.".to_owned(), max_output_tokens: 9 };
        let request = Request::once(prompt, std::time::Duration::from_secs(5));
        complete(&Ollama::new(&format!("{}/", server.uri()), "llama3.2").unwrap(), &request).await
    }

    #[tokio::test]
    async fn an_answer_comes_whole_with_its_figures() {
        let body = concat!(
            "{\"model\":\"llama3.2\",\"message\":{\"role\":\"assistant\",\"content\":\"A \"},\"done\":false}\n\n",
            "{\"model\":\"llama3.2\",\"message\":{\"role\":\"assistant\",\"content\":\"whale\"},\"done\":false}\n",
            "{\"model\":\"llama3.2\",\"message\":{\"role\":\"assistant\",\"content\":\".\"},\"done\":true,",
            "\"done_reason\":\"length\",\"prompt_eval_count\":26,\"eval_count\":9}"
        );
        let answer =
            ResponseTemplate::new(200).insert_header("x-llm-simulated", "true").set_body_string(body);
        let completion = ask(answer).await.unwrap();
        assert_eq!(completion.text, "A whale.");
        let usage = completion.ending.usage.unwrap();
        assert_eq!((usage.input, usage.output, usage.reported), (26, 9, true));
        assert_eq!(completion.ending.stop, StopReason::MaxTokens);
        assert!(completion.beginning.simulated);
    }

    #[tokio::test]
    async fn failures_are_told_apart() {
        let error = |text: &str| serde_json::json!({ "error": text });
        let cases = [
            (ResponseTemplate::new(404).set_body_json(error("model 'x' not found")), ErrorKind::BadRequest),
            (ResponseTemplate::new(400).set_body_json(error("bad")), ErrorKind::BadRequest),
            (ResponseTemplate::new(401), ErrorKind::Unauthorized),
            (ResponseTemplate::new(429).insert_header("retry-after", "7"), ErrorKind::RateLimited),
            (ResponseTemplate::new(503), ErrorKind::Overloaded),
            (ResponseTemplate::new(500).set_body_string("not json"), ErrorKind::Unavailable),
            (
                ResponseTemplate::new(302).insert_header("location", "http://127.0.0.1:1/"),
                ErrorKind::Unavailable,
            ),
            (ResponseTemplate::new(200), ErrorKind::BadAnswer),
            (ResponseTemplate::new(200).set_body_string("<html>"), ErrorKind::BadAnswer),
            (
                ResponseTemplate::new(200)
                    .set_body_string("{\"message\":{\"content\":\"A\"},\"done\":false}\n"),
                ErrorKind::BadAnswer,
            ),
            (
                ResponseTemplate::new(200).set_body_string(
                    "{\"message\":{\"content\":\"A\"},\"done\":false}\n{\"error\":\"oom\"}\n",
                ),
                ErrorKind::Unavailable,
            ),
        ];
        for (index, (answer, kind)) in cases.into_iter().enumerate() {
            let error = ask(answer).await.unwrap_err();
            assert_eq!(error.kind, kind, "case {index}: {error}");
            assert_eq!(error.retry_after.is_some(), kind == ErrorKind::RateLimited);
        }
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named() {
        let prompt = Prompt { system: String::new(), user: String::new(), max_output_tokens: 9 };
        let request = Request::once(prompt, std::time::Duration::from_secs(5));
        let error =
            complete(&Ollama::new("http://127.0.0.1:9", "llama3.2").unwrap(), &request).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(error.detail.contains("127.0.0.1:9") && error.detail.contains("ollama serve"), "{error}");
    }
}
