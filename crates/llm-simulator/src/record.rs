//! Recording: what is kept of the calls that go by.
//!
//! Owns when a call begins and ends, what of it is kept, and that no secret is. A call is put
//! together, cleaned and written on a thread of its own, so that recording never holds traffic up:
//! where that thread falls behind, or memory is short, recordings are left out or lose their words,
//! and that is counted and said. Must not know HTTP.
//!
//! The sizes of chunks are those of the cleaned text: they add up to it. Fingerprints are of what
//! was really asked, for replay has to find it; they are digests, from which a key cannot be
//! guessed, but a short password on its own could.

pub mod answered;
pub mod asked;
pub mod library;
pub mod memory;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio::task::JoinHandle;

use self::answered::{Answered, Said};
use self::asked::{Asked, Route};
use self::library::{Library, LibraryError};
use self::memory::{Held, Memory};
use crate::question::{Fingerprint, Turn};
use crate::recording::{End, RecordedError, RecordedRequest, Recording, VERSION};
use crate::redact::Redactor;
use crate::settings::{Kept, RecordArguments, Replayed};

/// Memory for the requests and answers under way and those that wait to be written.
const MEMORY: usize = 256 << 20;
/// Calls that wait to be written.
const QUEUE: usize = 4_096;

/// Reads a request's body: the question that it asks, if any.
pub type Reader = fn(&Route, &[u8]) -> Option<Asked>;

/// Records.
#[derive(Debug)]
pub struct Recorder {
    redactor: Arc<Redactor>,
    queue: SyncSender<Finished>,
    counts: Arc<Counts>,
    memory: Memory,
    under_way: AtomicU32,
}

/// What was recorded so far.
#[derive(Debug, Default)]
pub struct Counts {
    recorded: AtomicU64,
    errors: AtomicU64,
    wordless: AtomicU64,
    dropped: AtomicU64,
    unwritten: AtomicU64,
    bytes: AtomicU64,
}

/// The same at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Calls in the file.
    pub recorded: u64,
    /// Those of them that were answered with an error, or not to the end.
    pub errors: u64,
    /// Those of them whose words are missing though they were to be kept.
    pub wordless: u64,
    /// Calls left out because the writer fell behind, or memory was short.
    pub dropped: u64,
    /// Calls that could not be written.
    pub unwritten: u64,
    /// Bytes written.
    pub bytes: u64,
}

impl Counts {
    /// What was recorded until now.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Progress {
            recorded: read(&self.recorded),
            errors: read(&self.errors),
            wordless: read(&self.wordless),
            dropped: read(&self.dropped),
            unwritten: read(&self.unwritten),
            bytes: read(&self.bytes),
        }
    }

    /// Says it, on one line.
    pub fn tell(&self, so_far: &'static str) {
        let Progress { recorded, errors, wordless, dropped, unwritten, bytes } = self.progress();
        tracing::info!(recorded, errors, bytes, wordless, dropped, unwritten, "{so_far}");
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Recorder {
    /// Opens the file and starts the thread that writes it, which ends when the recorder and its
    /// calls have been dropped.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn start(
        arguments: &RecordArguments,
        reader: Reader,
    ) -> Result<(Self, JoinHandle<()>), LibraryError> {
        let (library, broken) = Library::open(&arguments.output)?;
        if broken {
            tracing::warn!(
                file = %arguments.output.display(),
                "the last line had been broken off; it was ended and counts as broken (--skip-broken leaves it out)"
            );
        }
        let (queue, finished) = sync_channel(QUEUE);
        let (redactor, counts) = (Arc::new(Redactor::default()), Arc::new(Counts::default()));
        let writer = Writer {
            library,
            redactor: Arc::clone(&redactor),
            counts: Arc::clone(&counts),
            reader,
            requests: arguments.requests,
            answers: arguments.answers,
        };
        let writing = tokio::task::spawn_blocking(move || writer.run(&finished));
        let memory = Memory::new(MEMORY);
        Ok((Self { redactor, queue, counts, memory, under_way: AtomicU32::new(0) }, writing))
    }

    /// What clients sent as credentials is to be told to it.
    #[must_use]
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// What was recorded.
    #[must_use]
    pub const fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// The memory that requests and answers share.
    #[must_use]
    pub const fn memory(&self) -> &Memory {
        &self.memory
    }

    /// A request goes by unrecorded, for want of room.
    pub fn leave_out(&self, protocol: &str) {
        count(&self.counts.dropped);
        tracing::warn!(protocol, "too much is under way: a call is handed on and not recorded");
    }

    /// A request has arrived. `held` is the room that its body takes; `words` whether anything that
    /// was said may be kept.
    #[must_use]
    pub fn begin(self: &Arc<Self>, route: Route, body: Bytes, held: Held, words: bool) -> CallUnderWay {
        let concurrency = self.under_way.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        CallUnderWay {
            recorder: Arc::clone(self),
            started: Instant::now(),
            answered: None,
            kept: Some(Finished {
                route,
                body,
                words,
                concurrency,
                at: Utc::now(),
                status: 0,
                retry_after_seconds: None,
                end: End::ClientLeft,
                total_ms: 0.0,
                said: Said::default(),
                _held: [Some(held), None],
            }),
        }
    }
}

/// A call under way. Dropped before its end, its client has left.
#[derive(Debug)]
pub struct CallUnderWay {
    recorder: Arc<Recorder>,
    started: Instant,
    answered: Option<Answered>,
    kept: Option<Finished>,
}

/// The head of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The HTTP status.
    pub status: u16,
    /// When asking again makes sense, in seconds.
    pub retry_after_seconds: Option<f64>,
    /// The `Content-Type`.
    pub media: &'a str,
    /// Whether the body is compressed.
    pub encoded: bool,
}

impl CallUnderWay {
    /// The head of the answer has come.
    pub fn head(&mut self, head: Head<'_>) {
        let Some(kept) = &mut self.kept else { return };
        kept.status = head.status;
        kept.retry_after_seconds = head.retry_after_seconds;
        let held = self.recorder.memory.hold();
        self.answered = Some(Answered::new(kept.route.protocol, head.status, head.media, head.encoded, held));
    }

    /// Some of the answer's body has come.
    pub fn hear(&mut self, bytes: &[u8]) {
        let ms = self.ms();
        if let Some(answered) = &mut self.answered {
            answered.hear(bytes, ms);
        }
    }

    /// The answer's body is at its end.
    pub fn complete(mut self) {
        let ms = self.ms();
        let complete = self.answered.as_mut().is_none_or(|answered| answered.end(ms));
        self.finish(if complete { End::Complete } else { End::Cut });
    }

    /// It ended otherwise, for this reason.
    pub fn broke(mut self, end: End, why: String) {
        if let Some(kept) = self.kept.as_mut().filter(|kept| kept.status == 0) {
            kept.said.error = Some(why);
        }
        self.finish(end);
    }

    fn ms(&self) -> f64 {
        // Microseconds are finer than anything that is made of it, and shorter to write.
        (self.started.elapsed().as_secs_f64() * 1e6).round() / 1e3
    }

    fn finish(&mut self, end: End) {
        let ms = self.ms();
        let Some(mut kept) = self.kept.take() else { return };
        self.recorder.under_way.fetch_sub(1, Ordering::Relaxed);
        if let Some(answered) = self.answered.take() {
            let (said, held) = answered.into_said();
            kept.said = said;
            kept._held = [kept._held.into_iter().flatten().next(), Some(held)];
        }
        kept.total_ms = kept.said.over_ms.unwrap_or(ms);
        kept.end = end;
        if self.recorder.queue.try_send(kept).is_err() {
            count(&self.recorder.counts.dropped);
        }
    }
}

impl Drop for CallUnderWay {
    fn drop(&mut self) {
        // Clients close the connection when they have read the last event, and wait for no more.
        let over = self.answered.as_ref().is_some_and(Answered::over);
        self.finish(if over { End::Complete } else { End::ClientLeft });
    }
}

/// A call that is over.
#[derive(Debug)]
struct Finished {
    route: Route,
    body: Bytes,
    words: bool,
    concurrency: u32,
    at: DateTime<Utc>,
    status: u16,
    retry_after_seconds: Option<f64>,
    end: End,
    total_ms: f64,
    said: Said,
    _held: [Option<Held>; 2],
}

/// Puts recordings together and writes them.
struct Writer {
    library: Library,
    redactor: Arc<Redactor>,
    counts: Arc<Counts>,
    reader: Reader,
    requests: Kept,
    answers: Replayed,
}

impl Writer {
    fn run(mut self, finished: &Receiver<Finished>) {
        let mut said = false;
        for finished in finished {
            let wordless = finished.said.wordless;
            let words = finished.words;
            // What asks nothing, such as to load a model, is no call.
            let Some(recording) = self.recording(finished) else { continue };
            let Ok(mut line) = serde_json::to_vec(&recording) else { continue };
            line.push(b'\n');
            if let Err(error) = self.library.append(&line) {
                count(&self.counts.unwritten);
                if !std::mem::replace(&mut said, true) {
                    tracing::error!(%error, "a recording cannot be written; make room, what comes then is kept");
                }
                continue;
            }
            said = false;
            count(&self.counts.recorded);
            self.counts.bytes.fetch_add(line.len() as u64, Ordering::Relaxed);
            if !recording.answered() {
                count(&self.counts.errors);
            }
            if let Some(why) =
                wordless.map(answered::Wordless::kind).or((!words).then_some("too_many_credentials"))
            {
                count(&self.counts.wordless);
                tracing::warn!(why, route = recording.route, "an answer is recorded without its words");
            }
        }
    }

    /// What is kept of a call.
    fn recording(&self, finished: Finished) -> Option<Recording> {
        let Finished { route, body, words, said, .. } = finished;
        let Asked { protocol, route, question, stream } = (self.reader)(&route, &body)?;
        let clean = |text: &str| self.redactor.redact(text).text;
        let hex = |fingerprint: &Fingerprint| fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
        let whole = self.requests == Kept::Whole && words;
        let turns =
            || question.turns.iter().map(|turn| Turn { role: clean(&turn.role), text: clean(&turn.text) });
        let request = RecordedRequest {
            fingerprint: hex(&question.recorded_fingerprint()),
            turns: question.turn_fingerprints().iter().map(hex).collect(),
            tokens: question.input_tokens(),
            max_output_tokens: question.max_output_tokens,
            conversation: whole.then(|| turns().collect()),
        };
        let Said { text, chunks, usage, stop, error, wordless, .. } = said;
        let cleaned = self.redactor.redact(&text);
        let (mut before, mut end) = (0, 0);
        let sizes = chunks.iter().map(|(_, bytes)| {
            if wordless.is_some() {
                return *bytes;
            }
            end += usize::try_from(*bytes).unwrap_or_default();
            let place = cleaned.place(end);
            let size = place.saturating_sub(before);
            before = place;
            size as u64
        });
        let chunk_bytes = sizes.collect();
        let keeps = words && wordless.is_none() && self.answers == Replayed::Whole;
        let error = error.map(|body| RecordedError {
            retry_after_seconds: finished.retry_after_seconds,
            body: if words { clean(&body) } else { String::new() },
        });
        Some(Recording {
            version: VERSION,
            at: finished.at,
            protocol,
            route: route.to_owned(),
            model: self.redactor.redact_name(&question.model),
            stream,
            request,
            concurrency: finished.concurrency,
            status: finished.status,
            chunk_ms: chunks.iter().map(|(ms, _)| *ms).collect(),
            chunk_bytes,
            total_ms: finished.total_ms,
            usage,
            stop,
            end: finished.end,
            unheard: wordless.is_some(),
            text: (keeps && (error.is_none() || !cleaned.text.is_empty())).then_some(cleaned.text),
            error,
        })
    }
}

#[cfg(test)]
mod tests;
