//! A server of bare TCP that answers as it was told to, byte by byte: pieces, pauses, and how a
//! connection ends. Knows HTTP/1.1 as far as a client's request goes, and no provider.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Longest wait of a test for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What a connection does once the pieces were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The body ends as its framing says.
    Complete,
    /// The connection is closed before the body's end.
    Cut,
    /// The connection is reset.
    Reset,
    /// Nothing comes any more; the connection stays until the client closes it.
    Stall,
    /// The last piece comes again and again, until the client closes the connection.
    Endless,
}

/// An answer: its head, the pieces of its body, each an HTTP chunk of its own, and how it ends.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub pieces: Vec<Vec<u8>>,
    /// Between pieces.
    pub pause: Duration,
    /// Whether the connection takes another request once the body is complete.
    pub keeps: bool,
    pub finish: Finish,
}

impl Reply {
    /// An answer of this status and content type, without a body so far.
    pub fn new(status: u16, content_type: &str) -> Self {
        Self {
            status,
            headers: vec![("content-type", content_type.to_owned())],
            pieces: Vec::new(),
            pause: Duration::ZERO,
            keeps: false,
            finish: Finish::Complete,
        }
    }

    /// A JSON body in one piece.
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::new(status, "application/json").piece(body.to_string())
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn piece(mut self, piece: impl Into<Vec<u8>>) -> Self {
        self.pieces.push(piece.into());
        self
    }

    pub fn pieces<P: Into<Vec<u8>>>(mut self, pieces: impl IntoIterator<Item = P>) -> Self {
        self.pieces.extend(pieces.into_iter().map(Into::into));
        self
    }

    pub const fn finish(mut self, finish: Finish) -> Self {
        self.finish = finish;
        self
    }

    /// The body in one.
    pub fn body(&self) -> Vec<u8> {
        self.pieces.concat()
    }

    /// The same with this body.
    pub fn with_body<P: Into<Vec<u8>>>(&self, pieces: impl IntoIterator<Item = P>) -> Self {
        Self { pieces: pieces.into_iter().map(Into::into).collect(), ..self.clone() }
    }

    fn head(&self) -> String {
        let connection = if self.keeps { "keep-alive" } else { "close" };
        let mut head = format!(
            "HTTP/1.1 {} Scripted\r\ntransfer-encoding: chunked\r\nconnection: {connection}\r\n",
            self.status
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head + "\r\n"
    }
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Request line and headers, as sent.
    pub head: String,
    /// The body, as text.
    pub body: String,
    /// The port that the connection comes from, which tells connections apart.
    pub from: u16,
}

impl Asked {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A server that gives the same answer to every request until it is told another; stopped when dropped.
pub struct Scripted {
    /// `http://127.0.0.1:PORT`.
    pub root: String,
    reply: Arc<Mutex<Arc<Reply>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Connections that their client closed before the answer's end.
    left: watch::Receiver<usize>,
    _tasks: JoinSet<()>,
}

impl Scripted {
    pub async fn start(reply: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let root = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (leaving, left) = watch::channel(0);
        let (reply, leaving) = (Arc::new(Mutex::new(Arc::new(reply))), Arc::new(leaving));
        let mut tasks = JoinSet::new();
        let (seen, told) = (Arc::clone(&asked), Arc::clone(&reply));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let (seen, leaving) = (Arc::clone(&seen), Arc::clone(&leaving));
                let reply = Arc::clone(&told.lock().unwrap());
                connections.spawn(async move {
                    let _ = stream.set_nodelay(true);
                    if serve(stream, &reply, &seen).await == Some(Outcome::Left) {
                        leaving.send_modify(|left| *left += 1);
                    }
                });
            }
        });
        Self { root, reply, asked, left, _tasks: tasks }
    }

    /// Gives another answer from now on, and forgets what was asked.
    pub fn tell(&mut self, reply: Reply) {
        *self.reply.lock().unwrap() = Arc::new(reply);
        self.asked.lock().unwrap().clear();
        self.left.mark_unchanged();
    }

    /// The requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Waits until a client has closed its connection before the answer's end, since the answer was told.
    pub async fn until_left(&mut self) {
        timeout(PATIENCE, self.left.changed()).await.expect("the client keeps its connection").unwrap();
    }
}

#[derive(PartialEq, Eq)]
enum Outcome {
    Served,
    Left,
}

/// Plays the answer to each request of a connection. None when no request came any more.
async fn serve(mut stream: TcpStream, reply: &Reply, seen: &Mutex<Vec<Asked>>) -> Option<Outcome> {
    loop {
        let outcome = play(&mut stream, reply, seen).await?;
        if !reply.keeps || outcome == Outcome::Left {
            return Some(outcome);
        }
    }
}

/// Reads one request and plays the answer.
async fn play(stream: &mut TcpStream, reply: &Reply, seen: &Mutex<Vec<Asked>>) -> Option<Outcome> {
    let asked = read(stream).await?;
    seen.lock().unwrap().push(asked);
    if stream.write_all(reply.head().as_bytes()).await.is_err() {
        return Some(Outcome::Left);
    }
    for piece in reply.pieces.iter().filter(|piece| !piece.is_empty()) {
        if !reply.pause.is_zero() {
            sleep(reply.pause).await;
        }
        if write(stream, piece).await.is_none() {
            return Some(Outcome::Left);
        }
    }
    match reply.finish {
        Finish::Complete => {
            // Whoever has heard enough may have gone by now: that is its right.
            let _ = stream.write_all(b"0\r\n\r\n").await;
            if !reply.keeps {
                let _ = stream.shutdown().await;
                drain(stream).await;
            }
        }
        Finish::Cut => {
            let _ = stream.shutdown().await;
            drain(stream).await;
        }
        Finish::Reset => {
            // What was sent is to be read before it.
            sleep(Duration::from_millis(30)).await;
            let _ = stream.set_zero_linger();
        }
        Finish::Stall => {
            drain(stream).await;
            return Some(Outcome::Left);
        }
        Finish::Endless => {
            while write(stream, reply.pieces.last().unwrap()).await.is_some() {}
            return Some(Outcome::Left);
        }
    }
    Some(Outcome::Served)
}

async fn write(stream: &mut TcpStream, piece: &[u8]) -> Option<()> {
    let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
    stream.write_all(&chunk).await.ok()
}

/// Reads until the other side closes.
async fn drain(stream: &mut TcpStream) {
    let mut sink = [0; 4096];
    while matches!(stream.read(&mut sink).await, Ok(n) if n > 0) {}
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut asked = Asked { head, body: String::new(), from: stream.peer_addr().ok()?.port() };
    let length: usize = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
    while bytes.len() < end + 4 + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    asked.body = String::from_utf8_lossy(&bytes[end + 4..]).into_owned();
    Some(asked)
}
