//! What of each recorded call counts for a profile. Pure.

use crate::profile::{Circumstances, ErrorKind};
use crate::recording::{End, RecordedStop, Recording};
use crate::tokens;

/// The calls that count.
#[derive(Clone, Debug, Default)]
pub struct Sample<'a> {
    pub(super) calls: Vec<Observed<'a>>,
    pub(super) left_out: LeftOut,
}

/// How many calls do not count, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// The client left before the end.
    pub(super) client_left: usize,
    /// The client was told of a mistake of its own.
    pub(super) mistaken: usize,
    /// There is an answer, but neither text nor a count of tokens.
    pub(super) without_text: usize,
}

/// One call.
#[derive(Clone, Debug)]
pub(super) struct Observed<'a> {
    pub(super) circumstances: Circumstances,
    /// The longest answer that was asked for.
    pub(super) most: Option<u64>,
    pub(super) outcome: Outcome<'a>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(super) enum Outcome<'a> {
    Answered(Answered<'a>),
    Failed {
        kind: ErrorKind,
        /// Milliseconds, or for an answer that broke off the share of it that came.
        after: f64,
        /// Seconds.
        retry_after: Option<f64>,
    },
}

/// A complete answer.
#[derive(Clone, Debug)]
pub(super) struct Answered<'a> {
    pub(super) output_tokens: f64,
    /// Whether the provider reported them.
    pub(super) reported: bool,
    /// Whether it was cut at the longest answer asked for.
    pub(super) cut: bool,
    /// How long it took, where it was streamed.
    pub(super) timing: Option<Timing<'a>>,
}

/// The timing of a streamed answer, in milliseconds.
#[derive(Clone, Debug)]
pub(super) struct Timing<'a> {
    pub(super) first: f64,
    /// The mean gap, where there are two chunks or more.
    pub(super) gap: Option<f64>,
    pub(super) ending: f64,
    pub(super) tokens_per_chunk: f64,
    pub(super) duration: f64,
    /// When each chunk came.
    pub(super) chunks: &'a [f64],
}

/// A streamed answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timed<'s, 'a> {
    pub(super) call: &'s Observed<'a>,
    pub(super) answer: &'s Answered<'a>,
    timing: &'s Timing<'a>,
}

impl<'a> std::ops::Deref for Timed<'_, 'a> {
    type Target = Timing<'a>;

    fn deref(&self) -> &Timing<'a> {
        self.timing
    }
}

impl<'a> Sample<'a> {
    /// What counts of these calls.
    #[must_use]
    pub fn of(recordings: impl IntoIterator<Item = &'a Recording>) -> Self {
        let mut sample = Self::default();
        for recording in recordings {
            match outcome(recording) {
                Ok(outcome) => sample.calls.push(Observed {
                    circumstances: Circumstances {
                        input_tokens: recording.request.tokens,
                        concurrency: usize::try_from(recording.concurrency).unwrap_or(usize::MAX),
                    },
                    most: recording.request.max_output_tokens,
                    outcome,
                }),
                Err(Unused::ClientLeft) => sample.left_out.client_left += 1,
                Err(Unused::Mistaken) => sample.left_out.mistaken += 1,
                Err(Unused::WithoutText) => sample.left_out.without_text += 1,
            }
        }
        sample
    }

    /// How many calls count.
    #[must_use]
    pub const fn counted(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn answered(&self) -> impl Iterator<Item = &Answered<'a>> {
        self.calls.iter().filter_map(|call| match &call.outcome {
            Outcome::Answered(answer) => Some(answer),
            Outcome::Failed { .. } => None,
        })
    }

    /// Answers with the call each belongs to.
    pub(super) fn answered_calls(&self) -> impl Iterator<Item = (&Observed<'a>, &Answered<'a>)> {
        self.calls.iter().filter_map(|call| match &call.outcome {
            Outcome::Answered(answer) => Some((call, answer)),
            Outcome::Failed { .. } => None,
        })
    }

    pub(super) fn timed(&self) -> impl Iterator<Item = Timed<'_, 'a>> {
        self.answered_calls()
            .filter_map(|(call, answer)| answer.timing.as_ref().map(|timing| Timed { call, answer, timing }))
    }
}

/// Why a call does not count.
enum Unused {
    ClientLeft,
    Mistaken,
    WithoutText,
}

fn outcome(recording: &Recording) -> Result<Outcome<'_>, Unused> {
    if recording.answered() {
        // What was not heard to its end would pass for a short answer.
        if recording.unheard {
            return Err(Unused::WithoutText);
        }
        return answer(recording).map(Outcome::Answered).ok_or(Unused::WithoutText);
    }
    let retry_after = recording.error.as_ref().and_then(|error| error.retry_after_seconds);
    let retry_after = retry_after.filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
    let began = !recording.chunk_ms.is_empty();
    let kind = match (recording.end, recording.status) {
        (End::ClientLeft, _) => return Err(Unused::ClientLeft),
        (End::Complete, 400 | 401 | 403 | 404 | 413 | 422) => return Err(Unused::Mistaken),
        (End::Complete, 429) => ErrorKind::RateLimited,
        (End::Complete, 503) => ErrorKind::Unavailable,
        (End::Complete, 529) => ErrorKind::Overloaded,
        (End::Complete, status @ (402..=499 | 501..=599)) => ErrorKind::Status(status),
        // An error in the middle of a stream comes under status 200.
        _ if began => ErrorKind::Cut,
        (End::Unreachable | End::TimedOut, _) => ErrorKind::Unavailable,
        (End::Cut, _) => ErrorKind::Reset,
        (End::Complete, _) => ErrorKind::ServerError,
    };
    // How much was missing is not known: breaks are spread over the answer.
    let after = if kind == ErrorKind::Cut { 0.5 } else { recording.total_ms };
    Ok(Outcome::Failed { kind, after, retry_after })
}

fn answer(recording: &Recording) -> Option<Answered<'_>> {
    let reported = recording.usage.map(|usage| usage.output_tokens).filter(|tokens| *tokens > 0);
    let estimated = || {
        let counted = recording.text.as_deref().map(tokens::count);
        counted.or_else(|| recording.stream.then_some(recording.chunk_ms.len() as u64)).filter(|n| *n > 0)
    };
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let output_tokens = reported.or_else(estimated)? as f64;
    Some(Answered {
        output_tokens,
        reported: reported.is_some(),
        cut: recording.stop == Some(RecordedStop::Length),
        timing: timing(recording, output_tokens),
    })
}

fn timing(recording: &Recording, output_tokens: f64) -> Option<Timing<'_>> {
    let (first, last) = (*recording.chunk_ms.first()?, *recording.chunk_ms.last()?);
    if !recording.stream {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let chunks = recording.chunk_ms.len() as f64;
    Some(Timing {
        first,
        gap: (chunks > 1.5).then(|| (last - first) / (chunks - 1.0)),
        ending: (recording.total_ms - last).max(0.0),
        tokens_per_chunk: output_tokens / chunks,
        duration: recording.total_ms.max(last),
        chunks: &recording.chunk_ms,
    })
}
