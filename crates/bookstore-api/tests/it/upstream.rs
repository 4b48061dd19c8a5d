//! An Ollama that the test plays: it answers as told and remembers what it was asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

/// Prompt and answer tokens that the first answer reports; each further answer reports one more.
pub const FIRST: (u64, u64) = (101, 11);

/// The server.
pub struct Upstream {
    server: MockServer,
}

impl Upstream {
    /// Answers `Summary 1.`, `Summary 2.` … after `delay`, each with its own token counts.
    pub async fn counting(delay: Duration) -> Self {
        let calls = Arc::new(AtomicU64::new(0));
        Self::with(move |_: &Request| {
            let call = calls.fetch_add(1, Ordering::SeqCst);
            answer(&format!("Summary {}.", call + 1), FIRST.0 + call, FIRST.1 + call).set_delay(delay)
        })
        .await
    }

    /// Answers every question like this.
    pub async fn with(answer: impl Fn(&Request) -> ResponseTemplate + Send + Sync + 'static) -> Self {
        let server = MockServer::start().await;
        Mock::given(method("POST")).and(path("/api/chat")).respond_with(answer).mount(&server).await;
        Self { server }
    }

    pub fn url(&self) -> String {
        self.server.uri()
    }

    /// The questions asked so far.
    pub async fn asked(&self) -> Vec<Request> {
        self.server.received_requests().await.unwrap()
    }

    pub async fn calls(&self) -> usize {
        self.asked().await.len()
    }

    /// Waits until it was asked this often.
    pub async fn wait_for_calls(&self, calls: usize) {
        for _ in 0..3_000 {
            if self.calls().await >= calls {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("Ollama is not asked");
    }
}

/// An answer in Ollama's protocol, in two pieces of text and the figures.
pub fn answer(text: &str, input: u64, output: u64) -> ResponseTemplate {
    let (head, tail) = text.split_at(text.len() / 2);
    let piece = |text: &str| json!({ "model": "llama3.2", "message": { "role": "assistant", "content": text }, "done": false });
    let end = json!({ "model": "llama3.2", "message": { "role": "assistant", "content": "" }, "done": true,
        "done_reason": "stop", "prompt_eval_count": input, "eval_count": output });
    ResponseTemplate::new(200)
        .set_body_raw(format!("{}\n{}\n{end}\n", piece(head), piece(tail)), "application/x-ndjson")
}
