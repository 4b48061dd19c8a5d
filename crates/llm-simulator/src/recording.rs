//! Recordings: what really happened to a call of a real provider, one JSON object a line.
//!
//! Owns the format, version 1, and reading it with every broken line named. Writing them, and
//! keeping secrets out, is `record.rs`'s. Must not know a wire protocol: a recording of one can be
//! compared with a recording of another.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::call::Protocol;
use crate::question::Turn;

/// The version that is written and read.
pub const VERSION: u32 = 1;
/// Longest line, in bytes; what is longer is broken.
const LONGEST_LINE: usize = 64 << 20;
/// Most tokens of a question or an answer: far more than any has, and sums of it are no trouble.
pub const MOST_TOKENS: u64 = 1 << 40;

/// One call. Times are milliseconds since the request had arrived.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    /// [`VERSION`].
    pub version: u32,
    /// When the request had arrived.
    pub at: DateTime<Utc>,
    /// The wire protocol.
    pub protocol: Protocol,
    /// The path, as the route table writes it.
    pub route: String,
    /// The model asked for.
    pub model: String,
    /// Whether the answer came in pieces.
    pub stream: bool,
    /// What was asked.
    pub request: RecordedRequest,
    /// Calls under way when it arrived, this one included.
    pub concurrency: u32,
    /// The HTTP status; 0 where none came.
    pub status: u16,
    /// When each chunk of text came. A whole answer's text is one chunk.
    pub chunk_ms: Vec<f64>,
    /// Bytes of text in each chunk.
    pub chunk_bytes: Vec<u64>,
    /// When it was over.
    pub total_ms: f64,
    /// Tokens, as the provider reported them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<RecordedUsage>,
    /// Why the answer ended, as the provider said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<RecordedStop>,
    /// How the call ended.
    pub end: End,
    /// Whether the recorder lost the answer on its way: too long, no room, not what its protocol
    /// says. Its chunks are then not all of them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unheard: bool,
    /// The whole text, unless only timing was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What was said in place of an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RecordedError>,
}

/// A request, by which replay finds its recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedRequest {
    /// Hexadecimal fingerprint of the question without a seed; see `question.rs`.
    pub fingerprint: String,
    /// Hexadecimal fingerprints of its turns, each by itself, so that a miss can say what differs.
    pub turns: Vec<String>,
    /// Tokens, estimated as the simulator does.
    pub tokens: u64,
    /// The longest answer asked for, in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// What was said, secrets removed, where requests are kept whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<Vec<Turn>>,
}

/// Tokens, as the provider reported them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedUsage {
    /// Tokens of the question, those from a cache included.
    pub input_tokens: u64,
    /// Those of them that came from a cache.
    #[serde(default)]
    pub cached_input_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedStop {
    /// It was complete.
    Finished,
    /// It reached a stop text.
    Sequence,
    /// It reached the longest answer asked for.
    Length,
    /// The model would not answer.
    Refused,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// As it should, with an answer or an error.
    Complete,
    /// The provider broke off.
    Cut,
    /// The provider said nothing for too long.
    TimedOut,
    /// The client left.
    ClientLeft,
    /// The provider could not be reached.
    Unreachable,
}

/// What was said in place of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedError {
    /// The `Retry-After` header, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<f64>,
    /// The body, secrets removed.
    pub body: String,
}

impl Recording {
    /// Whether it is a complete answer.
    #[must_use]
    pub const fn answered(&self) -> bool {
        matches!(self.end, End::Complete) && self.error.is_none() && matches!(self.status, 200..=299)
    }

    /// What is wrong with it, if anything: figures that cannot be.
    ///
    /// # Errors
    /// With the first of them.
    pub fn check(&self) -> Result<(), String> {
        if self.version != VERSION {
            return Err(format!("it has version {}, this program reads version {VERSION}", self.version));
        }
        if self.chunk_ms.len() != self.chunk_bytes.len() {
            return Err("chunk_ms and chunk_bytes have different lengths".to_owned());
        }
        if !matches!(self.status, 0 | 100..=999) {
            return Err(format!("the status {} is none of HTTP's", self.status));
        }
        let usage = self.usage.unwrap_or_default();
        let told = [usage.input_tokens, usage.cached_input_tokens, usage.output_tokens];
        // The longest answer asked for is the client's affair, however long.
        if told.into_iter().chain([self.request.tokens]).any(|count| count > MOST_TOKENS) {
            return Err(format!("a number of tokens is above {MOST_TOKENS}"));
        }
        let sound = |ms: &f64| ms.is_finite() && *ms >= 0.0;
        if !self.chunk_ms.iter().chain([&self.total_ms]).all(sound) {
            return Err("a time is negative or no number".to_owned());
        }
        if self.chunk_ms.windows(2).any(|pair| matches!(pair, [a, b] if a > b)) {
            return Err("chunk_ms falls".to_owned());
        }
        let bytes = self.chunk_bytes.iter().try_fold(0_u64, |sum, bytes| sum.checked_add(*bytes));
        if let Some(text) = &self.text
            && bytes != Some(text.len() as u64)
        {
            return Err("chunk_bytes do not add up to the text".to_owned());
        }
        Ok(())
    }
}

/// What is done with lines that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The whole is refused.
    Refuse,
    /// They are left out.
    Skip,
}

/// Recordings that were read.
#[derive(Clone, Debug, Default)]
pub struct Recordings {
    /// The calls with the file and line each comes from.
    pub calls: Vec<(Place, Recording)>,
    /// What was left out.
    pub skipped: Vec<BrokenLine>,
}

/// Where a recording stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// A line that is no recording.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct BrokenLine {
    /// Where.
    pub place: Place,
    /// Why.
    pub reason: String,
}

/// Why recordings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// A file cannot be read.
    #[error("{0} cannot be read: {1}")]
    File(PathBuf, #[source] std::io::Error),
    /// A line is broken, and such are to be refused.
    #[error("{0}; mend or remove the line, or use the rest with --skip-broken")]
    Broken(BrokenLine),
}

/// Reads files of recordings, empty lines aside.
///
/// # Errors
/// When a file cannot be read, or a line is broken and such are to be refused.
pub fn read(files: &[PathBuf], broken: Broken) -> Result<Recordings, RecordingError> {
    let mut read = Recordings::default();
    for file in files {
        read_file(file, broken, &mut read)?;
    }
    Ok(read)
}

fn read_file(file: &Path, broken: Broken, into: &mut Recordings) -> Result<(), RecordingError> {
    let failed = |error| RecordingError::File(file.to_owned(), error);
    let mut lines = BufReader::new(File::open(file).map_err(failed)?);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let most = LONGEST_LINE as u64 + 1;
        if lines.by_ref().take(most).read_until(b'\n', &mut line).map_err(failed)? == 0 {
            break;
        }
        if line.len() > LONGEST_LINE && !line.ends_with(b"\n") {
            // It is broken already: the rest of it is passed over, not read into memory.
            lines.skip_until(b'\n').map_err(failed)?;
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let place = Place { file: file.to_owned(), line: number };
        match parse(&line) {
            Ok(recording) => into.calls.push((place, recording)),
            Err(reason) => {
                let found = BrokenLine { place, reason };
                match broken {
                    Broken::Refuse => return Err(RecordingError::Broken(found)),
                    Broken::Skip => into.skipped.push(found),
                }
            }
        }
    }
    Ok(())
}

fn parse(line: &[u8]) -> Result<Recording, String> {
    /// What every version has.
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    if line.len() > LONGEST_LINE {
        return Err(format!("the line is longer than {} MiB", LONGEST_LINE >> 20));
    }
    let versioned: Versioned = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    if versioned.version != VERSION {
        return Err(format!("it has version {}, this program reads version {VERSION}", versioned.version));
    }
    let recording: Recording = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    recording.check().map(|()| recording)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::{Broken, Recording, RecordingError, parse, read};

    fn line() -> String {
        serde_json::json!({
            "version": 1, "at": "2026-11-01T10:00:00Z", "protocol": "openai",
            "route": "/v1/chat/completions", "model": "gpt-4o", "stream": true,
            "request": {"fingerprint": "ab", "turns": ["cd"], "tokens": 12},
            "concurrency": 1, "status": 200, "chunk_ms": [10.0, 12.5], "chunk_bytes": [3, 4],
            "total_ms": 13.0, "usage": {"input_tokens": 11, "output_tokens": 2},
            "stop": "finished", "end": "complete", "text": "abcdefg"
        })
        .to_string()
    }

    #[test]
    fn a_recording_survives_being_written_and_read() {
        let recording = parse(line().as_bytes()).unwrap();
        assert!(recording.answered());
        let again: Recording = serde_json::from_str(&serde_json::to_string(&recording).unwrap()).unwrap();
        assert_eq!(again, recording);
    }

    #[test]
    fn figures_that_cannot_be_are_named() {
        for (from, to, why) in [
            (r#""version":1"#, r#""version":2"#, "version 2"),
            ("[10.0,12.5]", "[10.0]", "different lengths"),
            ("[10.0,12.5]", "[10.0,9.0]", "falls"),
            (r#""total_ms":13.0"#, r#""total_ms":-1.0"#, "negative"),
            ("abcdefg", "abcdef", "add up"),
            (r#""end":"complete""#, r#""end":"gone""#, "unknown variant"),
            (r#""status":200"#, r#""status":99"#, "none of HTTP's"),
            (r#""status":200"#, r#""status":1000"#, "none of HTTP's"),
            (r#""output_tokens":2"#, r#""output_tokens":18446744073709551615"#, "tokens"),
            (r#""input_tokens":11"#, r#""input_tokens":1099511627777"#, "tokens"),
            (r#""status":200,"#, "", "missing field `status`"),
        ] {
            let broken = line().replace(from, to);
            assert_ne!(broken, line(), "{from}");
            assert!(parse(broken.as_bytes()).unwrap_err().contains(why), "{why}");
        }
    }

    #[test]
    fn a_giant_line_is_broken_and_the_next_is_read() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&vec![b'x'; super::LONGEST_LINE + 100]).unwrap();
        write!(file, "\n{}\n", line()).unwrap();
        let read = read(&[file.path().to_owned()], Broken::Skip).unwrap();
        assert_eq!((read.calls.len(), read.calls[0].0.line), (1, 2));
        assert!(read.skipped[0].reason.contains("longer than"));
    }

    #[test]
    fn a_redirection_is_no_answer() {
        for (status, answered) in [(200, true), (206, true), (302, false), (101, false), (0, false)] {
            let recording = Recording { status, ..parse(line().as_bytes()).unwrap() };
            assert_eq!(recording.answered(), answered, "{status}");
        }
    }

    #[test]
    fn broken_lines_are_named_and_refused_or_left_out() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "{}\n\n{{\"version\":1\nnonsense\n{}", line(), line()).unwrap();
        let files = [file.path().to_owned()];
        let Err(RecordingError::Broken(broken)) = read(&files, Broken::Refuse) else {
            panic!("it is refused")
        };
        assert_eq!(broken.place.line, 3);
        let some = read(&files, Broken::Skip).unwrap();
        assert_eq!((some.calls.len(), some.skipped.len()), (2, 2));
        assert_eq!(some.calls[1].0.line, 5);
        assert!(matches!(read(&["/nonexistent".into()], Broken::Skip), Err(RecordingError::File(..))));
    }
}
