//! What is spoken at the gate: one request a connection, then frames until its answer.
//!
//! A frame is a byte for its kind, four for the length of what follows (big-endian), and that: a
//! JSON message, or a piece of k6's samples or log as it is. Every length is bounded before memory
//! is taken for it. Must not know what is behind the gate.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use common_models::Problem;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use uuid::Uuid;

use super::refusal::{self, Refusal};
use crate::engine::Exit;
use crate::engine::containers::{Ending, Standing, Stream};

/// Which protocol this is. Another one is refused, not guessed at.
pub const VERSION: u32 = 2;
/// Longest request.
pub const LONGEST_REQUEST: usize = 16 << 10;
/// Longest frame of an answer.
pub const LONGEST_FRAME: usize = 1 << 20;

/// Status of a request whose client left before its answer, as far as the gate could tell.
pub const CLIENT_GONE: u16 = 499;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// JSON.
    Message,
    /// A piece of the samples.
    Samples,
    /// A piece of the log.
    Log,
}

impl Kind {
    /// The kind that carries a stream.
    #[must_use]
    pub const fn of(stream: Stream) -> Self {
        match stream {
            Stream::Samples => Self::Samples,
            Stream::Log => Self::Log,
        }
    }

    const fn byte(self) -> u8 {
        match self {
            Self::Message => b'm',
            Self::Samples => b's',
            Self::Log => b'l',
        }
    }
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it holds.
    pub kind: Kind,
    /// That.
    pub payload: Bytes,
}

impl Frame {
    /// A message.
    #[must_use]
    pub fn message<T: Serialize>(message: &T) -> Self {
        // Strings, numbers and ids only: this cannot fail.
        Self { kind: Kind::Message, payload: serde_json::to_vec(message).unwrap_or_default().into() }
    }
}

/// A request. Never printed: it holds the token.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// [`VERSION`].
    pub protocol: u32,
    /// The gate's token, where it asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What is asked.
    pub ask: Ask,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Ask {
    /// Whether the gate lives, and what is behind it.
    Hello {},
    /// Make sure that the image is there.
    Prepare {},
    /// Start the k6 of a run.
    Start(Start),
    /// Hand over its output after so many bytes of each stream, and how it ends.
    Follow {
        /// The run.
        run: Uuid,
        /// Bytes of the samples that are there already.
        samples: u64,
        /// Bytes of the log that are there already.
        log: u64,
    },
    /// End it.
    End {
        /// The run.
        run: Uuid,
        /// In which way.
        ending: EndingWritten,
    },
    /// Remove what is left of it.
    Remove {
        /// The run.
        run: Uuid,
    },
    /// Whether there is something of it.
    Standing {
        /// The run.
        run: Uuid,
    },
    /// Which runs there is something of.
    List {},
}

/// What to start: names and bounded values, nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Start {
    /// The run that it is for.
    pub run: Uuid,
    /// Name of a scenario.
    pub scenario: String,
    /// Name of a target of the gate's own settings.
    pub target: String,
    /// Which address perf-service knows by that name, [`Target::fingerprint`](crate::targets::Target::fingerprint):
    /// the gate must know the same.
    pub target_fingerprint: String,
    /// What the scenario is told, by name.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Which scripts perf-service carries: the gate must carry the same.
    pub scripts: String,
}

/// [`Ending`], as it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EndingWritten {
    /// [`Ending::Interrupt`].
    Interrupt,
    /// [`Ending::Kill`].
    Kill,
}

impl From<EndingWritten> for Ending {
    fn from(ending: EndingWritten) -> Self {
        match ending {
            EndingWritten::Interrupt => Self::Interrupt,
            EndingWritten::Kill => Self::Kill,
        }
    }
}

impl From<Ending> for EndingWritten {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Interrupt => Self::Interrupt,
            Ending::Kill => Self::Kill,
        }
    }
}

/// A message of the gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// Nothing yet.
    Waiting,
    /// What is being waited for.
    Said(String),
    /// The image is there.
    Prepared {
        /// What k6 calls itself.
        version: String,
        /// Which it is and where.
        description: String,
    },
    /// It is done.
    Done,
    /// Whether there was something to remove.
    Removed(bool),
    /// What there is of a run: nothing, a container that was not started, one that was.
    Stands(Option<bool>),
    /// The runs.
    Runs(Vec<Uuid>),
    /// k6 ended by itself.
    EndedWith(i32),
    /// k6 was ended by a signal.
    EndedBy(i32),
    /// k6 was ended for want of memory.
    OutOfMemory,
    /// k6 ended, and nobody can tell how.
    EndedUnseen,
    /// Why it is not done.
    Problem(Box<Problem>),
}

impl Answer {
    /// How k6 ended.
    #[must_use]
    pub const fn ended(exit: Exit) -> Self {
        match exit {
            Exit::Code(code) => Self::EndedWith(code),
            Exit::Killed(signal) => Self::EndedBy(signal),
            Exit::OutOfMemory => Self::OutOfMemory,
            Exit::Unseen => Self::EndedUnseen,
        }
    }

    /// How k6 ended, where this says so.
    #[must_use]
    pub const fn exit(&self) -> Option<Exit> {
        match self {
            Self::EndedWith(code) => Some(Exit::Code(*code)),
            Self::EndedBy(signal) => Some(Exit::Killed(*signal)),
            Self::OutOfMemory => Some(Exit::OutOfMemory),
            Self::EndedUnseen => Some(Exit::Unseen),
            _ => None,
        }
    }

    /// What there is of a run.
    #[must_use]
    pub fn standing(standing: Option<Standing>) -> Self {
        Self::Stands(standing.map(|standing| standing == Standing::Started))
    }
}

/// Writes a frame.
///
/// # Errors
/// When the connection breaks.
pub async fn write<W: AsyncWrite + Unpin>(writer: &mut W, frame: &Frame) -> io::Result<()> {
    let length = u32::try_from(frame.payload.len()).map_err(io::Error::other)?;
    writer.write_u8(frame.kind.byte()).await?;
    writer.write_u32(length).await?;
    writer.write_all(&frame.payload).await?;
    writer.flush().await
}

/// Reads a frame that is not longer than this.
///
/// # Errors
/// When the connection ends or breaks, or what comes is no such frame.
pub async fn read<R: AsyncRead + Unpin>(reader: &mut R, longest: usize) -> io::Result<Frame> {
    let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let kind = match reader.read_u8().await? {
        b'm' => Kind::Message,
        b's' => Kind::Samples,
        b'l' => Kind::Log,
        other => return Err(wrong(format!("{other:#04x} begins no frame"))),
    };
    let length = reader.read_u32().await?;
    let length = usize::try_from(length).ok().filter(|length| *length <= longest);
    let length = length.ok_or_else(|| wrong(format!("a frame is longer than {longest} bytes")))?;
    let mut payload = vec![0; length];
    reader.read_exact(&mut payload).await?;
    Ok(Frame { kind, payload: payload.into() })
}

/// Reads a request.
///
/// # Errors
/// With what the client is told.
pub(super) async fn hear<R: AsyncRead + Unpin>(reader: &mut R) -> Result<Request, Refusal> {
    let frame =
        read(reader, LONGEST_REQUEST).await.map_err(|error| refusal::unreadable(&error.to_string()))?;
    if frame.kind != Kind::Message {
        return Err(refusal::unreadable("a request is a message"));
    }
    // What serde says may repeat what was sent, so its place is told and not its words.
    serde_json::from_slice(&frame.payload).map_err(|error| {
        refusal::unreadable(&format!("no request of this protocol (column {})", error.column()))
    })
}

#[cfg(test)]
mod tests {
    use super::{Ask, Frame, Kind, Request, hear, read, write};

    #[tokio::test]
    async fn frames_arrive_as_they_were_sent() {
        let frames = [
            Frame { kind: Kind::Samples, payload: "a\nb".into() },
            Frame { kind: Kind::Log, payload: "".into() },
            Frame::message(&Ask::List {}),
        ];
        let mut wire = Vec::new();
        for frame in &frames {
            write(&mut wire, frame).await.unwrap();
        }
        let mut reader = &wire[..];
        for frame in &frames {
            assert_eq!(&read(&mut reader, 100).await.unwrap(), frame);
        }
        assert_eq!(read(&mut reader, 100).await.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn what_is_no_frame_takes_no_memory() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"m\xff\xff\xff\xff",
            // One byte longer than a request may be.
            b"m\0\0\x40\x01{}",
            b"m\0\0\0\x05ab",
            b"s\0\0\0\x02ab",
            b"m\0\0\0\x02ab",
        ] {
            let problem = hear(&mut &bytes[..]).await.err().unwrap();
            assert_eq!((problem.status, problem.code.as_str()), (400, "bad_request"));
        }
    }

    #[tokio::test]
    async fn a_request_is_told_from_what_only_looks_like_one() {
        let request = br#"{"protocol":2,"token":"t","ask":{"list":{}}}"#;
        let mut wire = Vec::new();
        write(&mut wire, &Frame { kind: Kind::Message, payload: request[..].into() }).await.unwrap();
        let Request { ask, token, .. } = hear(&mut &wire[..]).await.unwrap();
        assert_eq!((ask, token.as_deref()), (Ask::List {}, Some("t")));
    }
}
