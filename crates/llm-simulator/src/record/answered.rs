//! What an answer says, read while it goes by: text with the time of each piece, tokens, and how it
//! ends.
//!
//! Owns the framings (lines, server-sent events, AWS event streams, whole bodies) and what is kept
//! at most. What a protocol says in them is in `answered/event.rs`. Must not know HTTP, and must
//! take any bytes.

mod event;
mod framing;

use serde_json::Value;

use self::framing::{Framing, Piece};
use super::memory::Held;
use crate::call::Protocol;
use crate::recording::{RecordedStop, RecordedUsage};

/// Longest text that is kept, in bytes.
const LONGEST_TEXT: usize = 4 << 20;
/// Longest whole body that is read, in bytes.
const LONGEST_BODY: usize = 8 << 20;
/// Most pieces whose times are kept.
const MOST_CHUNKS: usize = 200_000;
/// Longest error that is kept, in bytes.
const LONGEST_ERROR: usize = 64 << 10;
/// What is dropped from the end of an error that was longer: a secret could be cut in two there,
/// and known no more.
const TORN: usize = 4 << 10;

/// Why an answer's words are not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wordless {
    /// It is too long.
    TooLong,
    /// So much is under way that there is no room for it.
    NoRoom,
    /// It is not what its protocol says, or compressed though that was not asked for.
    Unreadable,
}

impl Wordless {
    /// A short, stable name for the log.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::NoRoom => "no_room",
            Self::Unreadable => "unreadable",
        }
    }
}

/// An answer, as far as it was heard.
#[derive(Debug)]
pub struct Answered {
    protocol: Protocol,
    framing: Framing,
    held: Held,
    said: Said,
}

/// What was heard.
#[derive(Debug, Default)]
pub struct Said {
    /// The text.
    pub text: String,
    /// When each piece of it came, in milliseconds, and its bytes.
    pub chunks: Vec<(f64, u64)>,
    /// Tokens.
    pub usage: Option<RecordedUsage>,
    /// Why it ended.
    pub stop: Option<RecordedStop>,
    /// What was said in place of an answer.
    pub error: Option<String>,
    /// When the protocol's own end came.
    pub over_ms: Option<f64>,
    /// Why there are no words.
    pub wordless: Option<Wordless>,
}

impl Answered {
    /// An answer with this status and this `Content-Type`, encoded or not.
    #[must_use]
    pub fn new(protocol: Protocol, status: u16, media: &str, encoded: bool, held: Held) -> Self {
        let mut said = Said::default();
        if encoded {
            said.wordless = Some(Wordless::Unreadable);
        }
        let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let framing = match media.as_str() {
            _ if encoded => Framing::Opaque,
            _ if status >= 400 => Framing::whole(LONGEST_ERROR, true),
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonlines" => Framing::lines(),
            "text/event-stream" => Framing::events(),
            "application/vnd.amazon.eventstream" => Framing::frames(),
            _ => Framing::whole(LONGEST_BODY, false),
        };
        Self { protocol, framing, held, said }
    }

    /// Hears some bytes, which came at this time.
    pub fn hear(&mut self, bytes: &[u8], ms: f64) {
        if matches!(self.framing, Framing::Opaque) {
            return;
        }
        let mut pieces = Vec::new();
        let readable = self.framing.feed(bytes, &mut pieces);
        for piece in pieces {
            self.piece(&piece, ms);
        }
        if let Err(why) = readable {
            self.deaf(why);
        }
        // Room is taken by what is kept, not by what went by.
        if !self.held.settle(self.kept()) {
            self.deaf(Wordless::NoRoom);
        }
    }

    /// Bytes that are kept at the moment.
    fn kept(&self) -> usize {
        let chunks = self.said.chunks.len().saturating_mul(size_of::<(f64, u64)>());
        let error = self.said.error.as_ref().map_or(0, String::len);
        self.said.text.len().saturating_add(chunks).saturating_add(error).saturating_add(self.framing.kept())
    }

    /// Whether the protocol's own end has come.
    #[must_use]
    pub const fn over(&self) -> bool {
        self.said.over_ms.is_some()
    }

    /// The bytes are at their end: what comes whole is read now. Whether the answer is complete.
    pub fn end(&mut self, ms: f64) -> bool {
        self.last_line(ms);
        match std::mem::replace(&mut self.framing, Framing::Opaque) {
            Framing::Whole { body, error: true, torn, .. } => {
                self.said.error = Some(error_text(&body, torn));
                true
            }
            Framing::Whole { body, .. } => {
                match serde_json::from_slice::<Value>(&body) {
                    Ok(value) => {
                        let heard = event::whole(self.protocol, &value);
                        self.add(heard, ms);
                    }
                    Err(error) => {
                        self.wordless(Wordless::Unreadable);
                        // What ends in the middle has been broken off, whatever the connection says.
                        return !error.is_eof();
                    }
                }
                true
            }
            Framing::Opaque => self.said.wordless.is_some() || self.complete(),
            _ => self.complete(),
        }
    }

    /// The last line needs no end of its own. What is no event there was broken off.
    fn last_line(&mut self, ms: f64) {
        if let Framing::Lines { line } = &mut self.framing {
            let piece = Piece { name: None, exception: false, data: std::mem::take(line) };
            if let Ok(heard) = event::of(self.protocol, &piece) {
                self.add(heard, ms);
            }
        }
    }

    /// What was heard, and the room it takes.
    #[must_use]
    pub fn into_said(mut self) -> (Said, Held) {
        if let Framing::Whole { body, error: true, torn, .. } = &self.framing {
            self.said.error = Some(error_text(body, *torn));
        }
        if self.said.wordless.is_some() {
            self.said.text = String::new();
        }
        (self.said, self.held)
    }

    /// Whether a stream has said that, or why, it ended: some servers leave the last event out.
    const fn complete(&self) -> bool {
        self.over() || self.said.stop.is_some() || self.said.error.is_some()
    }

    fn deaf(&mut self, why: Wordless) {
        self.wordless(why);
        self.framing = Framing::Opaque;
        // Less than before always finds room.
        self.held.settle(self.kept());
    }

    /// Keeps no words, and none that follow.
    fn wordless(&mut self, why: Wordless) {
        self.said.wordless = Some(self.said.wordless.unwrap_or(why));
        self.said.text = String::new();
    }

    fn piece(&mut self, piece: &Piece, ms: f64) {
        match event::of(self.protocol, piece) {
            Ok(heard) => self.add(heard, ms),
            Err(event::NotReadable) => self.wordless(Wordless::Unreadable),
        }
    }

    fn add(&mut self, heard: event::Heard, ms: f64) {
        let event::Heard { text, thought, usage, stop, error, over } = heard;
        if (thought || !text.is_empty()) && self.said.wordless.is_none() {
            if self.said.text.len() + text.len() > LONGEST_TEXT || self.said.chunks.len() >= MOST_CHUNKS {
                self.wordless(Wordless::TooLong);
            } else {
                self.said.chunks.push((ms, text.len() as u64));
                self.said.text.push_str(&text);
            }
        }
        if let Some(usage) = usage {
            usage.add_to(&mut self.said.usage);
        }
        self.said.stop = stop.or(self.said.stop);
        self.said.error = self.said.error.take().or(error);
        if over {
            self.said.over_ms = self.said.over_ms.or(Some(ms));
        }
    }
}

/// The text of an error's body.
fn error_text(body: &[u8], torn: bool) -> String {
    let kept = if torn { body.len().saturating_sub(TORN) } else { body.len() };
    String::from_utf8_lossy(body.get(..kept).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use aws_smithy_eventstream::frame::write_message_to;
    use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
    use proptest::prelude::*;

    use super::{Answered, Said, Wordless};
    use crate::call::Protocol;
    use crate::record::memory::Memory;
    use crate::recording::{RecordedStop, RecordedUsage};

    fn answered(protocol: Protocol, status: u16, media: &str) -> Answered {
        Answered::new(protocol, status, media, false, Memory::new(64 << 20).hold())
    }

    /// Hears a body in pieces of so many bytes.
    fn heard(protocol: Protocol, media: &str, body: &[u8], size: usize) -> (Said, bool) {
        let mut answered = answered(protocol, 200, media);
        for (index, piece) in body.chunks(size).enumerate() {
            answered.hear(piece, index as f64);
        }
        let complete = answered.end(9_999.0);
        (answered.into_said().0, complete)
    }

    fn frame(kind: &str, body: &str) -> Vec<u8> {
        let header =
            |name: &'static str, value: &str| Header::new(name, HeaderValue::String(value.to_owned().into()));
        let message = Message::new(body.to_owned().into_bytes())
            .add_header(header(":message-type", "event"))
            .add_header(header(":event-type", kind));
        let mut out = Vec::new();
        write_message_to(&message, &mut out).unwrap();
        out
    }

    fn streams() -> Vec<(Protocol, &'static str, Vec<u8>)> {
        let ollama = concat!(
            r#"{"message":{"role":"assistant","content":"Hé"},"done":false}"#,
            "\n",
            r#"{"message":{"content":"llo"},"done":false}"#,
            "\n",
            r#"{"message":{"content":""},"done":true,"done_reason":"length","prompt_eval_count":7,"eval_count":2}"#,
            "\n"
        );
        let openai = concat!(
            ": comment\r\n\r\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\r\n\r\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hé\"}}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"llo\"}}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}]}\n\n",
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":3}}}\n\n",
            "data: [DONE]\n\n"
        );
        let anthropic = concat!(
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":4,\"cache_read_input_tokens\":3,\"output_tokens\":1}}}\n\n",
            "event: ping\ndata: {\"type\": \"ping\"}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hé\"}}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"llo\"}}\n\n",
            "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"max_tokens\"},\"usage\":{\"output_tokens\":2}}\n\n",
            "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
        );
        let bedrock = [
            frame("messageStart", r#"{"role":"assistant"}"#),
            frame("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"Hé"}}"#),
            frame("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"llo"}}"#),
            frame("messageStop", r#"{"stopReason":"max_tokens"}"#),
            frame("metadata", r#"{"usage":{"inputTokens":4,"outputTokens":2,"cacheReadInputTokens":3}}"#),
        ]
        .concat();
        vec![
            (Protocol::Ollama, "application/x-ndjson", ollama.into()),
            (Protocol::OpenAi, "text/event-stream; charset=utf-8", openai.into()),
            (Protocol::Anthropic, "text/event-stream", anthropic.into()),
            (Protocol::Bedrock, "application/vnd.amazon.eventstream", bedrock),
        ]
    }

    #[test]
    fn every_protocols_stream_is_understood_however_it_is_cut() {
        for (protocol, media, body) in streams() {
            for size in [1, 2, 3, 7, 64, 100_000] {
                let (said, complete) = heard(protocol, media, &body, size);
                assert_eq!(
                    (said.text.as_str(), said.wordless, complete),
                    ("Héllo", None, true),
                    "{protocol:?}"
                );
                assert_eq!(said.chunks.iter().map(|(_, bytes)| *bytes).collect::<Vec<_>>(), [3, 3]);
                assert_eq!(said.stop, Some(RecordedStop::Length));
                let cached_input_tokens = if protocol == Protocol::Ollama { 0 } else { 3 };
                let usage = RecordedUsage { input_tokens: 7, cached_input_tokens, output_tokens: 2 };
                assert_eq!(said.usage, Some(usage), "{protocol:?}");
                assert!(said.over_ms.is_some());
            }
            // Broken off before its end.
            let (said, complete) = heard(protocol, media, &body[..body.len() / 2], 10);
            assert!(!complete && said.text.len() < 7, "{protocol:?}");
        }
    }

    #[test]
    fn whole_answers_are_understood() {
        for (protocol, body) in [
            (
                Protocol::Ollama,
                r#"{"response":"Hi","done":true,"done_reason":"stop","prompt_eval_count":7,"eval_count":2}"#,
            ),
            (
                Protocol::OpenAi,
                r#"{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":2}}"#,
            ),
            (
                Protocol::Anthropic,
                r#"{"content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","usage":{"input_tokens":7,"output_tokens":2}}"#,
            ),
            (
                Protocol::Bedrock,
                r#"{"output":{"message":{"content":[{"text":"Hi"}]}},"stopReason":"end_turn","usage":{"inputTokens":7,"outputTokens":2}}"#,
            ),
        ] {
            let (said, complete) = heard(protocol, "application/json", body.as_bytes(), 10);
            assert_eq!((said.text.as_str(), complete, said.chunks), ("Hi", true, vec![(9_999.0, 2)]));
            assert_eq!((said.usage.unwrap().input_tokens, said.stop), (7, Some(RecordedStop::Finished)));
        }
    }

    #[test]
    fn numbers_of_tokens_that_cannot_be_fit_into_a_recording() {
        let body =
            br#"{"response":"Hi","done":true,"prompt_eval_count":18446744073709551615,"eval_count":2}"#;
        let (said, _) = heard(Protocol::Ollama, "application/json", body, 10);
        assert_eq!(said.usage.map(|usage| (usage.input_tokens, usage.output_tokens)), Some((1 << 40, 2)));
    }

    #[test]
    fn a_stream_of_lines_needs_no_last_line_end() {
        let (_, _, body) = streams().remove(0);
        for media in ["application/x-ndjson", "application/jsonl"] {
            let (said, complete) = heard(Protocol::Ollama, media, body.trim_ascii_end(), 10);
            assert_eq!((said.text.as_str(), complete, said.chunks.len()), ("Héllo", true, 2));
            assert_eq!(said.usage.unwrap().output_tokens, 2);
        }
        let (said, complete) = heard(Protocol::Ollama, "application/x-ndjson", &body[..body.len() - 9], 10);
        assert_eq!((said.text.as_str(), said.wordless, complete), ("Héllo", None, false));
    }

    #[test]
    fn whole_answers_that_end_in_the_middle_are_cut() {
        let body = br#"{"response":"Hi","done":true}"#;
        for length in [0, 1, 10, 28] {
            let (said, complete) = heard(Protocol::Ollama, "application/json", &body[..length], 10);
            assert_eq!((said.wordless, complete), (Some(Wordless::Unreadable), false), "{length}");
        }
    }

    #[test]
    fn events_with_any_line_ends_and_empty_ones_and_a_mark_are_understood() {
        let (_, _, body) = streams().remove(1);
        let body = String::from_utf8(body).unwrap().replace("\r\n", "\n");
        for end in ["\n", "\r\n", "\r"] {
            let body = format!("\u{feff}data:\n\n{body}data: \n\n").replace('\n', end);
            for size in [1, 2, 3, 1_000] {
                let (said, complete) = heard(Protocol::OpenAi, "text/event-stream", body.as_bytes(), size);
                assert_eq!((said.text.as_str(), said.wordless, complete), ("Héllo", None, true), "{end:?}");
            }
        }
        let marked = "\u{feff}data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";
        assert_eq!(heard(Protocol::OpenAi, "text/event-stream", marked.as_bytes(), 5).0.text, "Hi");
    }

    #[test]
    fn calls_of_tools_and_thoughts_of_ollama_and_others_are_heard() {
        let lines = concat!(
            r#"{"message":{"content":"","thinking":"Hm"},"done":false}"#,
            "\n",
            r#"{"message":{"content":"","tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]},"done":false}"#,
            "\n",
        );
        let (said, _) = heard(Protocol::Ollama, "application/x-ndjson", lines.as_bytes(), 1_000);
        assert_eq!((said.text.as_str(), said.chunks), (r#"{"a":1}"#, vec![(0.0, 0), (0.0, 7)]));
        let thought = "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"Hm\"}}]}\n\n";
        let (said, _) = heard(Protocol::OpenAi, "text/event-stream", thought.as_bytes(), 1_000);
        assert_eq!(said.chunks, vec![(0.0, 0)]);
        let thought = "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"Hm\"}}\n\n";
        let (said, _) = heard(Protocol::Anthropic, "text/event-stream", thought.as_bytes(), 1_000);
        assert_eq!(said.chunks, vec![(0.0, 0)]);
    }

    #[test]
    fn errors_are_kept_and_not_without_end() {
        let mut error = answered(Protocol::OpenAi, 429, "application/json");
        error.hear(br#"{"error":{"message":"slow down"}}"#, 1.0);
        assert!(error.end(2.0));
        assert_eq!(error.into_said().0.error.unwrap(), r#"{"error":{"message":"slow down"}}"#);
        let mut long = answered(Protocol::OpenAi, 500, "text/html");
        (0..100).for_each(|_| long.hear(&[b'x'; 10_000], 1.0));
        assert!(long.end(2.0));
        assert_eq!(long.into_said().0.error.unwrap().len(), 60 << 10);
        let (said, complete) = heard(
            Protocol::Ollama,
            "application/x-ndjson",
            b"{\"response\":\"H\"}\n{\"error\":\"out of memory\"}\n",
            5,
        );
        assert_eq!((said.error.as_deref(), said.text.as_str(), complete), (Some("out of memory"), "H", true));
    }

    #[test]
    fn what_is_too_long_or_unreadable_has_no_words() {
        let mut long = answered(Protocol::Ollama, 200, "application/x-ndjson");
        let line = format!("{{\"response\":\"{}\"}}\n", "x".repeat(1 << 20));
        (0..6).for_each(|_| long.hear(line.as_bytes(), 1.0));
        let (said, _) = long.into_said();
        assert_eq!((said.text.as_str(), said.wordless), ("", Some(Wordless::TooLong)));
        let (said, complete) = heard(Protocol::OpenAi, "application/json", b"<html>", 3);
        assert_eq!((said.wordless, complete), (Some(Wordless::Unreadable), true));
        let memory = Memory::new(9);
        let mut poor = Answered::new(Protocol::Ollama, 200, "application/json", false, memory.hold());
        poor.hear(b"{\"response\":\"H\"}", 1.0);
        assert_eq!(poor.into_said().0.wordless, Some(Wordless::NoRoom));
        let mut gzip = Answered::new(Protocol::Ollama, 200, "application/json", true, memory.hold());
        gzip.hear(b"\x1f\x8b", 1.0);
        assert!(gzip.end(2.0));
        assert_eq!(gzip.into_said().0.wordless, Some(Wordless::Unreadable));
    }

    #[test]
    fn room_is_taken_by_what_is_kept_and_not_by_what_went_by() {
        let memory = Memory::new(64 << 10);
        let mut wordy = Answered::new(Protocol::Ollama, 200, "application/x-ndjson", false, memory.hold());
        let line = format!("{{\"response\":\"x\",\"context\":\"{}\"}}\n", "y".repeat(1_000));
        (0..1_000).for_each(|at| wordy.hear(line.as_bytes(), f64::from(at)));
        assert_eq!((wordy.said.text.len(), wordy.said.wordless), (1_000, None));
        assert!(!memory.hold().grow(64 << 10) && memory.hold().grow(40 << 10));
        // What is too long, or finds no room, gives back what it had taken.
        drop(wordy);
        let mut long = Answered::new(Protocol::Ollama, 200, "application/json", false, memory.hold());
        (0..100).for_each(|_| long.hear(&[b'x'; 1_000], 1.0));
        assert_eq!(long.said.wordless, Some(Wordless::NoRoom));
        assert!(memory.hold().grow(64 << 10));
        let memory = Memory::new(64 << 20);
        let mut long = Answered::new(Protocol::Ollama, 200, "application/x-ndjson", false, memory.hold());
        let line = format!("{{\"response\":\"{}\"}}\n", "x".repeat(1 << 20));
        (0..8).for_each(|_| long.hear(line.as_bytes(), 1.0));
        assert_eq!(long.said.wordless, Some(Wordless::TooLong));
        assert!(memory.hold().grow(63 << 20));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(
            bytes in prop::collection::vec(any::<u8>(), 0..400), which in 0_usize..4, size in 1_usize..50,
        ) {
            let (protocol, media, mut body) = streams().remove(which);
            let at = bytes.len() % body.len();
            body.splice(at..at, bytes);
            heard(protocol, media, &body, size);
            heard(protocol, "application/json", &body, size);
        }
    }
}
