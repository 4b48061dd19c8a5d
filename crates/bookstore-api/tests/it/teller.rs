//! An Ollama whose every answer the test tells word by word, on the wire.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::service::PATIENCE;

/// The server.
pub struct Teller {
    url: String,
    calls: mpsc::UnboundedReceiver<Call>,
    _listening: JoinSet<()>,
}

/// A question that waits for what the test has to say.
pub struct Call {
    stream: TcpStream,
}

impl Teller {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, calls) = mpsc::unbounded_channel();
        let listening = JoinSet::from_iter([async move {
            let mut callers = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let sender = sender.clone();
                callers.spawn(async move {
                    if let Some(call) = Call::read(stream).await {
                        let _ = sender.send(call);
                    }
                });
            }
        }]);
        Self { url, calls, _listening: listening }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The next question.
    pub async fn asked(&mut self) -> Call {
        tokio::time::timeout(PATIENCE, self.calls.recv()).await.expect("nobody asks").unwrap()
    }

    /// Nobody asks, for a while.
    pub async fn not_asked(&mut self) {
        let asked = tokio::time::timeout(Duration::from_millis(300), self.calls.recv()).await;
        assert!(asked.is_err(), "another question was asked");
    }
}

impl Call {
    async fn read(mut stream: TcpStream) -> Option<Self> {
        let mut bytes = Vec::new();
        loop {
            let mut piece = [0; 4_096];
            let read = stream.read(&mut piece).await.ok().filter(|read| *read > 0)?;
            bytes.extend_from_slice(&piece[..read]);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.to_ascii_lowercase();
            let length = length.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse();
            let length: usize = length.unwrap();
            if body.len() >= length {
                return Some(Self { stream });
            }
        }
    }

    async fn write(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    async fn line(&mut self, line: serde_json::Value) {
        let line = format!("{line}\n");
        self.write(&format!("{:x}\r\n{line}\r\n", line.len())).await;
    }

    /// Begins to answer.
    pub async fn begin(&mut self) {
        self.write(
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\
             Connection: close\r\n\r\n",
        )
        .await;
    }

    /// Says something.
    pub async fn say(&mut self, text: &str) {
        self.line(json!({ "model": "llama3.2", "message": { "role": "assistant", "content": text }, "done": false }))
            .await;
    }

    /// Has said all, with these tokens.
    pub async fn end(mut self, input: u64, output: u64) {
        self.line(
            json!({ "model": "llama3.2", "message": { "role": "assistant", "content": "" }, "done": true,
            "done_reason": "stop", "prompt_eval_count": input, "eval_count": output }),
        )
        .await;
        self.write("0\r\n\r\n").await;
    }

    /// Fails in the middle of the answer, as Ollama does.
    pub async fn die(mut self) {
        self.line(json!({ "error": "out of memory" })).await;
        self.write("0\r\n\r\n").await;
    }

    /// Answers with a failure.
    pub async fn refuse(mut self, status: u16) {
        self.write(&format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")).await;
    }

    /// Waits until whoever asked has gone away.
    pub async fn deserted(mut self) {
        let mut piece = [0; 64];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut piece)).await;
        assert!(matches!(read.expect("who asked does not go away"), Ok(0) | Err(_)));
    }
}
