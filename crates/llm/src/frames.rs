//! The frames of an answer's body: server-sent events, JSON lines, or all of it; whatever pieces it
//! comes in, and bounded.
//!
//! Owns framing. Must not know what a frame says.

use bytes::{Bytes, BytesMut};
use eventsource_stream::EventStream;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt, future};

use crate::{ErrorKind, LlmError};

/// Bytes of a line or an event at most.
const LONGEST_FRAME: usize = 1 << 20;
/// Bytes of an answer in one piece at most.
const LONGEST_BODY: usize = 4 << 20;

/// Frames, one after the other.
pub(crate) type Frames = BoxStream<'static, Result<String, LlmError>>;

type Body = BoxStream<'static, Result<Bytes, LlmError>>;

fn bad(who: &str, what: &str) -> LlmError {
    LlmError::new(ErrorKind::BadAnswer, format!("{who} {what}"))
}

fn body(who: &'static str, response: reqwest::Response) -> Body {
    let broken = move |error: reqwest::Error| {
        if error.is_timeout() {
            LlmError::new(ErrorKind::Timeout, format!("{who} fell silent in the middle of its answer"))
        } else {
            bad(who, "broke off in the middle of its answer; ask again")
        }
    };
    response.bytes_stream().map_err(broken).boxed()
}

/// The data of each event of a stream of server-sent events, by the standard's rules (HTML, section
/// 9.2.6): comments and what is unfinished at the end are left out.
pub(crate) fn events(who: &'static str, response: reqwest::Response) -> Frames {
    events_of(who, body(who, response))
}

/// The parser holds what it has not understood yet, without bound, and falls over a second byte order
/// mark. So it gets whole lines of UTF-8, and no event that is too long.
fn events_of(who: &'static str, body: Body) -> Frames {
    let mut length = 0;
    let bounded = lines_of(who, body).and_then(move |line| {
        // A comment is not kept.
        if line.trim_end_matches(['\r', '\n']).is_empty() {
            length = 0;
        } else if !line.starts_with(':') {
            length += line.len();
        }
        let fits = length <= LONGEST_FRAME;
        future::ready(if fits { Ok(line) } else { Err(bad(who, "sent an event without end")) })
    });
    EventStream::new(bounded)
        .map(move |event| match event {
            Ok(event) => Ok(event.data),
            Err(eventsource_stream::EventStreamError::Transport(error)) => Err(error),
            Err(_) => Err(bad(who, "answered something that is no stream of events")),
        })
        .boxed()
}

/// The lines of a body that are not empty; an unfinished last one counts.
pub(crate) fn lines(who: &'static str, response: reqwest::Response) -> Frames {
    lines_of(who, body(who, response)).try_filter(|line| future::ready(!line.trim_ascii().is_empty())).boxed()
}

/// Lines with their ends, in UTF-8, without the marks of byte order before the first.
fn lines_of(who: &'static str, body: Body) -> impl Stream<Item = Result<String, LlmError>> + Send {
    let mut first = true;
    let text = move |line: Bytes| {
        let line =
            String::from_utf8(line.into()).map_err(|_| bad(who, "answered something that is not UTF-8"));
        if std::mem::take(&mut first) {
            line.map(|line| line.trim_start_matches('\u{feff}').to_owned())
        } else {
            line
        }
    };
    cut_into_lines(who, body).scan(text, |text, line| future::ready(Some(line.and_then(text))))
}

fn cut_into_lines(who: &'static str, body: Body) -> impl Stream<Item = Result<Bytes, LlmError>> + Send {
    let state = (Some(body), BytesMut::new(), 0);
    futures::stream::unfold(state, move |(body, mut held, mut looked_at)| async move {
        let mut body = body?;
        loop {
            if let Some(end) = memchr::memchr(b'\n', held.get(looked_at..).unwrap_or_default()) {
                let line = held.split_to(looked_at + end + 1).freeze();
                if line.len() > LONGEST_FRAME {
                    return Some((Err(bad(who, "sent a line without end")), (None, held, 0)));
                }
                return Some((Ok(line), (Some(body), held, 0)));
            }
            looked_at = held.len();
            if looked_at > LONGEST_FRAME {
                return Some((Err(bad(who, "sent a line without end")), (None, held, 0)));
            }
            match body.next().await {
                Some(Ok(piece)) => held.extend_from_slice(&piece),
                Some(Err(error)) => return Some((Err(error), (None, held, 0))),
                None if held.is_empty() => return None,
                None => return Some((Ok(held.split().freeze()), (None, held, 0))),
            }
        }
    })
}

/// The body as one frame.
pub(crate) fn whole(who: &'static str, response: reqwest::Response) -> Frames {
    let mut pieces = body(who, response);
    futures::stream::once(async move {
        let mut whole = Vec::new();
        while let Some(piece) = pieces.next().await {
            whole.extend_from_slice(&piece?);
            if whole.len() > LONGEST_BODY {
                return Err(bad(who, "sent an answer without end"));
            }
        }
        String::from_utf8(whole).map_err(|_| bad(who, "answered something that is not UTF-8"))
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::{StreamExt, TryStreamExt};
    use proptest::prelude::{any, proptest};

    use super::{LONGEST_FRAME, events_of, lines_of};
    use crate::LlmError;

    fn body(pieces: Vec<Vec<u8>>) -> super::Body {
        futures::stream::iter(pieces.into_iter().map(|piece| Ok(Bytes::from(piece)))).boxed()
    }

    fn data(pieces: Vec<Vec<u8>>) -> Result<Vec<String>, LlmError> {
        futures::executor::block_on(events_of("X", body(pieces)).try_collect())
    }

    fn one(text: &str) -> Vec<String> {
        data(vec![text.as_bytes().to_vec()]).unwrap()
    }

    #[test]
    fn events_are_what_the_standard_says() {
        assert_eq!(one("event: a\ndata: 1\n\n: a comment\n\ndata:2\ndata: 3\nid: 7\n\n"), ["1", "2\n3"]);
        assert_eq!(one("data: 1\r\n\r\ndata: 2\r\n\r\n"), ["1", "2"]);
        assert_eq!(one("data: 1\n\ndata: 2\n"), ["1"]);
        assert_eq!(one("\u{feff}\u{feff}data: 1\n\n\u{feff}data: 2\n\n"), ["1"]);
        assert_eq!(one(""), [""; 0]);
        assert!(data(vec![b"data: \xff\n\n".to_vec()]).is_err());
    }

    #[test]
    fn an_event_is_bounded_and_comments_are_not_counted() {
        let line = format!("data: {}\n", "a".repeat(1000)).into_bytes();
        let times = LONGEST_FRAME / line.len();
        assert!(data(vec![line.clone(); times]).is_ok());
        assert!(data(vec![line.clone(); times + 1]).is_err());
        assert!(data(vec![vec![b'a'; 1000]; times + 100]).is_err());
        let comment = format!(": {}\n", "a".repeat(1000)).into_bytes();
        assert!(data(vec![comment; times * 2]).is_ok());
        let mut separate = line;
        separate.push(b'\n');
        assert_eq!(data(vec![separate; times * 2]).unwrap().len(), times * 2);
    }

    proptest! {
        #[test]
        fn no_bytes_in_any_pieces_make_it_panic_and_pieces_do_not_matter(
            bytes in proptest::collection::vec(proptest::prop_oneof![
                any::<u8>(), proptest::sample::select(b"\n\r:data \xef\xbb\xbf".to_vec())
            ], 0..300),
            at in any::<proptest::sample::Index>(),
        ) {
            let (left, right) = bytes.split_at(at.index(bytes.len() + 1));
            let single: Vec<_> = bytes.iter().map(|byte| vec![*byte]).collect();
            let heard = |pieces| data(pieces).map_err(|error| error.detail);
            let whole = heard(vec![bytes.clone()]);
            proptest::prop_assert_eq!(&whole, &heard(vec![left.to_vec(), right.to_vec()]));
            proptest::prop_assert_eq!(&whole, &heard(single));
            let lines = |pieces| futures::executor::block_on(
                lines_of("X", body(pieces)).map(|line| line.map_err(|error| error.detail)).collect::<Vec<_>>());
            proptest::prop_assert_eq!(lines(vec![bytes.clone()]), lines(vec![left.to_vec(), right.to_vec()]));
        }
    }
}
