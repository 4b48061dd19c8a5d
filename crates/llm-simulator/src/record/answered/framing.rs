//! Where one event of a stream ends and the next begins. Must not know what events say.

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use bytes::{Buf, BytesMut};

use super::Wordless;

/// Longest event, in bytes.
const LONGEST_EVENT: usize = 4 << 20;
/// Bytes of the lengths at the beginning of a frame.
const LENGTH: usize = 4;

/// An event of a stream.
#[derive(Debug)]
pub(super) struct Piece {
    /// Its name, where the framing has one.
    pub(super) name: Option<String>,
    /// Whether the framing says that it is an exception.
    pub(super) exception: bool,
    /// What it says.
    pub(super) data: Vec<u8>,
}

/// How events are told apart.
#[derive(Debug)]
pub(super) enum Framing {
    /// One each line.
    Lines { line: Vec<u8> },
    /// Server-sent events; <https://html.spec.whatwg.org/multipage/server-sent-events.html>.
    Events { line: Vec<u8>, name: Option<String>, data: Vec<u8>, any: bool, returned: bool },
    /// AWS event streams; <https://docs.aws.amazon.com/lexv2/latest/dg/event-stream-encoding.html>.
    Frames { buffer: BytesMut, decoder: MessageFrameDecoder, begun: bool },
    /// None: the body is read at its end.
    Whole { body: Vec<u8>, most: usize, error: bool, torn: bool },
    /// Nothing is read (any more).
    Opaque,
}

impl Framing {
    pub(super) const fn lines() -> Self {
        Self::Lines { line: Vec::new() }
    }

    pub(super) const fn events() -> Self {
        Self::Events { line: Vec::new(), name: None, data: Vec::new(), any: false, returned: false }
    }

    pub(super) fn frames() -> Self {
        Self::Frames { buffer: BytesMut::new(), decoder: MessageFrameDecoder::new(), begun: false }
    }

    /// A body of so many bytes at most; of an error the beginning is enough.
    pub(super) const fn whole(most: usize, error: bool) -> Self {
        Self::Whole { body: Vec::new(), most, error, torn: false }
    }

    /// Bytes that wait for the rest of their event.
    pub(super) fn kept(&self) -> usize {
        match self {
            Self::Lines { line } => line.len(),
            Self::Events { line, data, .. } => line.len().saturating_add(data.len()),
            Self::Frames { buffer, .. } => buffer.len(),
            Self::Whole { body, .. } => body.len(),
            Self::Opaque => 0,
        }
    }

    /// Takes bytes, gives the events that end in them.
    pub(super) fn feed(&mut self, bytes: &[u8], pieces: &mut Vec<Piece>) -> Result<(), Wordless> {
        match self {
            Self::Lines { line } => each_line(line, bytes, |line| {
                if !line.iter().all(u8::is_ascii_whitespace) {
                    pieces.push(Piece { name: None, exception: false, data: line.to_vec() });
                }
                Ok(())
            }),
            Self::Events { line, name, data, any, returned } => {
                each_line(line, &fed(bytes, returned), |line| {
                    // A byte order mark stands before the first line only; no other line begins with it.
                    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
                    if line.is_empty() {
                        let piece = Piece { name: name.take(), exception: false, data: std::mem::take(data) };
                        // Empty ones only keep the connection open.
                        if std::mem::take(any) && !piece.data.trim_ascii().is_empty() {
                            pieces.push(piece);
                        }
                        return Ok(());
                    }
                    let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
                    let (field, value) = line.split_at(colon);
                    let value = value.get(1..).unwrap_or_default();
                    let value = value.strip_prefix(b" ").unwrap_or(value);
                    match field {
                        b"data" => {
                            if std::mem::replace(any, true) {
                                data.push(b'\n');
                            }
                            data.extend_from_slice(value);
                            if data.len() > LONGEST_EVENT {
                                return Err(Wordless::TooLong);
                            }
                        }
                        b"event" => *name = Some(String::from_utf8_lossy(value).into_owned()),
                        _ => {}
                    }
                    Ok(())
                })
            }
            Self::Frames { buffer, decoder, begun } => {
                buffer.extend_from_slice(bytes);
                frames(buffer, decoder, begun, pieces)
            }
            Self::Whole { body, most, error, torn } => {
                let room = most.saturating_sub(body.len());
                body.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
                *torn |= bytes.len() > room;
                if *torn && !*error { Err(Wordless::TooLong) } else { Ok(()) }
            }
            Self::Opaque => Ok(()),
        }
    }
}

/// The same bytes with each carriage return, and each with a line feed, as a line feed. `returned`
/// says whether the last byte before these was a carriage return.
fn fed(bytes: &[u8], returned: &mut bool) -> Vec<u8> {
    let mut fed = Vec::with_capacity(bytes.len());
    for byte in bytes {
        let after_return = std::mem::replace(returned, *byte == b'\r');
        match byte {
            b'\r' => fed.push(b'\n'),
            b'\n' if after_return => {}
            other => fed.push(*other),
        }
    }
    fed
}

fn each_line(
    line: &mut Vec<u8>,
    bytes: &[u8],
    mut take: impl FnMut(&[u8]) -> Result<(), Wordless>,
) -> Result<(), Wordless> {
    for part in bytes.split_inclusive(|byte| *byte == b'\n') {
        match part.strip_suffix(b"\n") {
            Some(rest) if line.is_empty() => take(rest)?,
            Some(rest) => {
                line.extend_from_slice(rest);
                take(line)?;
                line.clear();
            }
            None => line.extend_from_slice(part),
        }
        if line.len() > LONGEST_EVENT {
            return Err(Wordless::TooLong);
        }
    }
    Ok(())
}

fn frames(
    buffer: &mut BytesMut,
    decoder: &mut MessageFrameDecoder,
    begun: &mut bool,
    pieces: &mut Vec<Piece>,
) -> Result<(), Wordless> {
    loop {
        // The decoder takes the length out of the buffer as soon as it can.
        if !*begun && let Some(mut length) = buffer.get(..LENGTH) {
            if length.get_u32() as usize > LONGEST_EVENT {
                return Err(Wordless::TooLong);
            }
            *begun = true;
        }
        let message = match decoder.decode_frame(&mut *buffer) {
            Ok(DecodedFrame::Complete(message)) => message,
            Ok(DecodedFrame::Incomplete) => return Ok(()),
            Err(_) => return Err(Wordless::Unreadable),
        };
        *begun = false;
        let header = |wanted: &str| {
            let found = message.headers().iter().find(|header| header.name().as_str() == wanted)?;
            found.value().as_string().ok().map(|text| text.as_str().to_owned())
        };
        let exception = header(":message-type").is_some_and(|kind| kind != "event");
        let name = header(":event-type").or_else(|| header(":exception-type"));
        pieces.push(Piece { name, exception, data: message.payload().to_vec() });
    }
}
