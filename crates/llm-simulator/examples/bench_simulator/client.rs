//! The client: keep-alive connections on bare sockets, one request at a time on each.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Fallible;

/// A connection and what was read from it.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// The bytes of a POST of JSON.
pub(crate) fn post(path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Fallible<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 << 10) })
    }

    /// The body of an answer that is a success.
    pub(crate) async fn get(&mut self, path: &str) -> Fallible<Vec<u8>> {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await
    }

    /// Sends a request and reads the answer, which must say its length; its body.
    pub(crate) async fn send(&mut self, request: &[u8]) -> Fallible<Vec<u8>> {
        let head = self.exchange(request).await?;
        if !self.buffer.starts_with(b"HTTP/1.1 200") {
            return Err(String::from_utf8_lossy(&self.buffer).into_owned().into());
        }
        Ok(self.buffer.split_off(head))
    }

    /// The same without looking at the answer; where its body begins.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Fallible<usize> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let (mut head, mut length) = (0, 0);
        while head == 0 || self.buffer.len() < head + length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the server closed the connection".into());
            }
            if head == 0
                && let Some(end) = find(&self.buffer, b"\r\n\r\n")
            {
                head = end + 4;
                length = content_length(self.buffer.get(..head).unwrap_or_default())?;
            }
        }
        Ok(head)
    }

    /// Sends a request for a stream of JSON lines and tells when each line had arrived.
    pub(crate) async fn lines(&mut self, request: &[u8], mut arrived: impl FnMut(Instant)) -> Fallible<()> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let mut seen = 0;
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the server closed the connection".into());
            }
            let now = Instant::now();
            while let Some(at) = find(self.buffer.get(seen..).unwrap_or_default(), b"}\n") {
                seen += at + 2;
                arrived(now);
            }
            // Nothing follows on this connection before the next request.
            if self.buffer.ends_with(b"0\r\n\r\n") {
                return Ok(());
            }
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn content_length(head: &[u8]) -> Fallible<usize> {
    let name = b"content-length: ";
    let lower = head.to_ascii_lowercase();
    let at = find(&lower, name).ok_or("an answer without a length")? + name.len();
    let digits: Vec<u8> = lower.iter().skip(at).copied().take_while(u8::is_ascii_digit).collect();
    Ok(std::str::from_utf8(&digits)?.parse()?)
}
