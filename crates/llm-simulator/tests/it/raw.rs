//! A client of bare TCP, for what HTTP clients hide: how a connection ends, and whether a body did.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection.
pub struct Raw(TcpStream);

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The other side closed it.
    Closed,
    /// The other side reset it.
    Reset,
}

/// What came on a connection until it ended.
#[derive(Debug)]
pub struct Came {
    /// As text; answers here are ASCII.
    pub text: String,
    /// How it ended.
    pub end: End,
}

impl Came {
    /// The head of the first answer; empty where none came.
    pub fn head(&self) -> &str {
        self.text.split("\r\n\r\n").next().unwrap()
    }

    /// What follows the first head.
    pub fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    /// Whether the first answer's body came to its end, as its framing says.
    pub fn is_complete(&self) -> bool {
        let head = self.head().to_ascii_lowercase();
        if head.contains("transfer-encoding: chunked") {
            return self.body().ends_with("\r\n0\r\n\r\n");
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        length.is_some_and(|length| self.body().len() >= length.parse().unwrap())
    }
}

/// A request as it goes over the wire.
pub fn request(path: &str, more: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{more}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

impl Raw {
    /// Connects to `http://HOST:PORT`.
    pub async fn to(base: &str) -> Self {
        let address = base.strip_prefix("http://").unwrap();
        Self(timeout(PATIENCE, TcpStream::connect(address)).await.unwrap().unwrap())
    }

    pub async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Everything until the connection ends.
    pub async fn until_the_end(mut self) -> Came {
        let mut bytes = Vec::new();
        let mut piece = [0; 4096];
        let end = loop {
            match timeout(PATIENCE, self.0.read(&mut piece)).await.expect("the connection goes on") {
                Ok(0) => break End::Closed,
                Ok(n) => bytes.extend(&piece[..n]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break End::Reset,
                Err(error) => panic!("{error}"),
            }
        };
        Came { text: String::from_utf8(bytes).unwrap(), end }
    }

    /// Reads on until this came.
    pub async fn until(&mut self, wanted: &str) -> String {
        let mut bytes = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&bytes);
            if text.contains(wanted) {
                return text.into_owned();
            }
            let read = timeout(PATIENCE, self.0.read_buf(&mut bytes)).await;
            let read = read.unwrap_or_else(|_| panic!("{wanted:?} does not come")).unwrap();
            assert!(read > 0, "closed before {wanted:?}: {}", String::from_utf8_lossy(&bytes));
        }
    }
}
