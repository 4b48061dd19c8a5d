//! HTTP/2 frame by frame, for what no client library lets one do.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::stage::PATIENCE;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
/// Flag of the last frame of a stream.
pub const END_STREAM: u8 = 1;

/// A frame that came.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

/// A connection over which frames go.
pub struct Frames(pub TlsStream<TcpStream>);

impl Frames {
    /// Begins a connection whose streams may be answered with bodies of so many bytes.
    pub async fn begin(connection: TlsStream<TcpStream>, window: u32) -> Self {
        let mut this = Self(connection);
        this.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let mut settings = vec![0, 4];
        settings.extend(window.to_be_bytes());
        this.send(SETTINGS, 0, 0, &settings).await;
        this
    }

    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.0.write_all(&frame).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// Asks for a path, with GET or with HEAD.
    pub async fn ask(&mut self, stream: u32, method: &str, host: &str, path: &str) {
        // Literals under names of HPACK's static table.
        let mut head = vec![0x87];
        for (name, value) in [(2, method), (1, host), (4, path)] {
            head.extend([name, u8::try_from(value.len()).unwrap()]);
            head.extend(value.as_bytes());
        }
        // END_STREAM and END_HEADERS.
        self.send(HEADERS, 5, stream, &head).await;
    }

    /// The next frame, or none where the connection has ended. Pings are answered.
    pub async fn next(&mut self) -> Option<Frame> {
        let (frame, payload) = self.read().await?;
        if frame.kind == PING && frame.flags == 0 {
            self.send(PING, 1, 0, &payload).await;
        }
        Some(frame)
    }

    async fn read(&mut self) -> Option<(Frame, Vec<u8>)> {
        timeout(PATIENCE, async {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            self.0.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            Some((Frame { kind: head[3], flags: head[4], stream }, payload))
        })
        .await
        .expect("nothing comes")
    }

    /// The next frame of one of these kinds.
    pub async fn until(&mut self, kinds: &[u8]) -> Frame {
        loop {
            let frame = self.next().await.expect("the connection has ended");
            if kinds.contains(&frame.kind) {
                return frame;
            }
        }
    }
}
