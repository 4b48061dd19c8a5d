//! The client: keep-alive connections on bare sockets, one request at a time on each. It does as
//! little as it can, for it shares the machine with the servers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Fallible;

/// A connection and what was read from it.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Status line and headers, with the empty line at the end.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Fallible<serde_json::Value> {
        if self.status >= 300 {
            return Err(format!("{}{}", self.head, String::from_utf8_lossy(&self.body)).into());
        }
        Ok(serde_json::from_slice(&self.body)?)
    }
}

/// The bytes of a GET.
pub(crate) fn get(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: */*\r\n{headers}\r\n").into_bytes()
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Fallible<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(64 << 10) })
    }

    pub(crate) async fn get(&mut self, path: &str) -> Fallible<Answer> {
        self.send(&get(path, "")).await
    }

    /// Sends a request and reads the answer, which must say its length.
    pub(crate) async fn send(&mut self, request: &[u8]) -> Fallible<Answer> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let (mut head, mut length) = (0, 0);
        while head == 0 || self.buffer.len() < head + length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the server closed the connection".into());
            }
            if head == 0
                && let Some(end) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n")
            {
                head = end + 4;
                length = content_length(self.buffer.get(..head).unwrap_or_default())?;
            }
        }
        let (head, body) = self.buffer.split_at(head);
        let head = String::from_utf8_lossy(head).into_owned();
        let status = head.get(9..12).and_then(|text| text.parse().ok()).ok_or("no status")?;
        Ok(Answer { status, head, body: body.to_vec() })
    }

    /// The same over and over, reading no more of the answers than their ends.
    async fn repeat(&mut self, request: &[u8], times: usize) -> Fallible<()> {
        let whole = {
            let answer = self.send(request).await?;
            if answer.status >= 500 {
                return Err(answer.head.into());
            }
            answer.head.len() + answer.body.len()
        };
        for _ in 1..times {
            self.stream.write_all(request).await?;
            self.buffer.clear();
            while self.buffer.len() < whole {
                if self.stream.read_buf(&mut self.buffer).await? == 0 {
                    return Err("the server closed the connection".into());
                }
            }
        }
        Ok(())
    }
}

/// The same, reading every answer whole, whatever its length; how long each took.
pub(crate) async fn timed(
    address: SocketAddr,
    request: &[u8],
    connections: usize,
    requests: usize,
) -> Fallible<Vec<Duration>> {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(address).await?);
    }
    let each = open.into_iter().map(|mut connection| async move {
        let mut took = Vec::with_capacity(requests / connections);
        for _ in 0..requests / connections {
            let started = Instant::now();
            let answer = connection.send(request).await?;
            if answer.status >= 400 {
                return Err(format!("{}{}", answer.head, String::from_utf8_lossy(&answer.body)).into());
            }
            took.push(started.elapsed());
        }
        Fallible::Ok(took)
    });
    Ok(futures::future::try_join_all(each).await?.concat())
}

fn content_length(head: &[u8]) -> Fallible<usize> {
    let head = String::from_utf8_lossy(head);
    for line in head.split("\r\n") {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            return Ok(value.trim().parse()?);
        }
    }
    if head.get(9..12) == Some("304") { Ok(0) } else { Err(format!("no length in {head}").into()) }
}

/// Sends `request` so many times over so many connections and says how long it took.
pub(crate) async fn repeated(
    address: SocketAddr,
    request: &[u8],
    connections: usize,
    requests: usize,
) -> Fallible<Duration> {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(address).await?);
    }
    let started = Instant::now();
    let each = open.iter_mut().map(|connection| connection.repeat(request, requests / connections));
    futures::future::try_join_all(each).await?;
    Ok(started.elapsed())
}
