//! Following the output of a k6 that is still writing it.
//!
//! Owns reading a growing file line by line. k6 writes to a file and not to us, so it never waits
//! for a slow reader, and its output is whole whatever becomes of this process. Must not know what
//! a line says.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::aggregate::{Aggregate, Standing};

/// How long to wait for more.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes read at a time.
const CHUNK: usize = 1 << 18;
/// Longest line taken; k6's summary is the longest, with some kilobytes a metric.
const LONGEST_LINE: usize = 8 << 20;

/// Reads `path` to its end, and on as it grows, until `ended` is cancelled and all is read. Calls
/// `standing` whenever something new was read, and at the end. Blocks: call it where that is allowed.
///
/// # Errors
/// When the file cannot be opened or read.
pub fn follow(path: &Path, ended: &CancellationToken, standing: impl Fn(Standing)) -> io::Result<Aggregate> {
    let mut file = File::open(path)?;
    let mut aggregate = Aggregate::default();
    let mut lines = Lines::default();
    let mut chunk = vec![0_u8; CHUNK];
    loop {
        // Asked before reading: what was written before the end is then read after it.
        let last = ended.is_cancelled();
        let mut read_some = false;
        loop {
            let read = match file.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            read_some = true;
            lines.push(chunk.get(..read).unwrap_or_default(), |line| aggregate.push(line));
        }
        if last {
            lines.finish(|line| aggregate.push(line));
            standing(aggregate.standing());
            return Ok(aggregate);
        }
        if read_some {
            standing(aggregate.standing());
        }
        std::thread::sleep(PAUSE);
    }
}

/// Cuts a stream of bytes into lines.
#[derive(Debug, Default)]
struct Lines {
    rest: Vec<u8>,
    /// Inside a line that is longer than we take.
    skipping: bool,
}

impl Lines {
    fn push(&mut self, bytes: &[u8], mut line: impl FnMut(&[u8])) {
        let mut pieces = bytes.split(|byte| *byte == b'\n');
        let last = pieces.next_back().unwrap_or_default();
        for piece in pieces {
            if self.rest.is_empty() && !self.skipping {
                if !piece.is_empty() {
                    line(piece);
                }
                continue;
            }
            self.keep(piece);
            self.finish(&mut line);
        }
        self.keep(last);
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.skipping || self.rest.len() + bytes.len() > LONGEST_LINE {
            self.skipping = true;
            self.rest.clear();
        } else {
            self.rest.extend_from_slice(bytes);
        }
    }

    /// The line is over, or there is no more.
    fn finish(&mut self, mut line: impl FnMut(&[u8])) {
        if self.skipping {
            // Handed on as what it is to us: a broken line.
            line(b"");
        } else if !self.rest.is_empty() {
            line(&self.rest);
        }
        self.rest.clear();
        self.skipping = false;
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;

    use tokio_util::sync::CancellationToken;

    use super::{LONGEST_LINE, Lines, follow};

    fn cut(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for piece in pieces {
            lines.push(piece, |line| seen.push(String::from_utf8(line.to_vec()).unwrap()));
        }
        lines.finish(|line| seen.push(String::from_utf8(line.to_vec()).unwrap()));
        seen
    }

    #[test]
    fn lines_are_the_same_wherever_the_stream_is_cut() {
        let text = b"first\nsecond line\n\nthird\nunfinished";
        let wanted = ["first", "second line", "third", "unfinished"];
        assert_eq!(cut(&[text]), wanted);
        for at in 0..text.len() {
            assert_eq!(cut(&[&text[..at], &text[at..]]), wanted, "cut at {at}");
        }
        assert_eq!(cut(&text.chunks(1).collect::<Vec<_>>()), wanted);
    }

    #[test]
    fn a_line_without_end_does_not_fill_the_memory() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..20 {
            lines.push(&piece, |line| seen.push(line.to_vec()));
            assert!(lines.rest.len() <= LONGEST_LINE);
        }
        lines.push(b"\nnext\n", |line| seen.push(line.to_vec()));
        assert_eq!(seen, [b"".to_vec(), b"next".to_vec()]);
    }

    #[test]
    fn what_is_written_until_the_end_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("samples.ndjson");
        let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        let ended = CancellationToken::new();
        let line = |ms: u32| {
            format!(
                r#"{{"metric":"http_req_duration","type":"Point","data":{{"time":"2026-11-21T04:32:42.{ms:03}Z","value":1,"tags":{{"phase":"measured"}}}}}}"#
            )
        };
        let (figures, seen) = std::thread::scope(|scope| {
            let (sender, receiver) = std::sync::mpsc::channel();
            let reader = scope.spawn(|| follow(&path, &ended, move |now| sender.send(now.requests).unwrap()));
            for ms in 0..50 {
                // Cut in the middle of a line, as a pipe or a full buffer would.
                let line = line(ms);
                let (begin, end) = line.split_at(40);
                file.write_all(begin.as_bytes()).unwrap();
                file.write_all(end.as_bytes()).unwrap();
                file.write_all(b"\n").unwrap();
            }
            let first = receiver.recv().unwrap();
            file.write_all(line(999).as_bytes()).unwrap();
            ended.cancel();
            (reader.join().unwrap().unwrap(), first)
        });
        assert!(seen > 0 && seen <= 50);
        assert_eq!(figures.measured_requests(), 51);
    }
}
