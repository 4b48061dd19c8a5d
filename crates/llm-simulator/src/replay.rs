//! Replay: recorded answers to the questions that were recorded, whatever protocol they come by.
//!
//! Owns which recording answers a question, and what is said where none does. A question that was
//! recorded several times has its answers in turn, in the order of the recordings, and around
//! again. Must not know a wire protocol.
//!
//! What did not come from the provider is not played: calls that it was never reached by, or whose
//! client left. An answer that broke off, by a cut, a time limit or an error in its middle, breaks
//! off after the chunks that had come; one that came whole comes as one chunk where it is streamed.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::answer::{Answer, Chunk, Stop, Timing, Usage};
use crate::failure::{Failure, Trouble};
use crate::question::Question;
use crate::recording::{self, Broken, End, Place, RecordedStop, Recording, RecordingError, Recordings};
use crate::settings::{Misses, RecordedTiming, ReplayArguments};
use crate::simulator::Outcome;
use crate::tokens;

/// Longest answer that is played: what claims to have taken longer has not.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Why there is nothing to replay.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The recordings cannot be read.
    #[error(transparent)]
    Recordings(#[from] RecordingError),
    /// None of them can be played.
    #[error("none of the recordings can be replayed: {0}; record again with --answers whole")]
    Nothing(Left),
}

impl ReplayError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Recordings(_) => "recordings",
            Self::Nothing(_) => "nothing_to_replay",
        }
    }
}

/// What is not played, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Answers without their words: timing only, or unreadable.
    pub wordless: usize,
    /// Calls that the provider did not answer, or whose client left.
    pub unanswered: usize,
    /// Calls whose times or fingerprint cannot be.
    pub impossible: usize,
    /// Lines that cannot be read.
    pub broken: usize,
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { wordless, unanswered, impossible, broken } = self;
        write!(
            f,
            "{wordless} have no words, {unanswered} were not answered or left by their clients, \
             {impossible} have times or fingerprints that cannot be, {broken} lines are broken"
        )
    }
}

/// What is played, and when.
#[derive(Clone, Debug)]
enum Take {
    Answer {
        text: Arc<str>,
        chunks: Vec<Chunk>,
        timing: Timing,
        usage: Option<Usage>,
        stop: RecordedStop,
        cut: bool,
    },
    Failure {
        failure: Failure,
        after: Duration,
    },
}

/// A question that was recorded.
#[derive(Debug)]
struct Recorded {
    /// Where it was recorded first.
    place: Place,
    model: String,
    turns: Vec<String>,
    max_output_tokens: Option<u64>,
    /// Tokens of the question, estimated.
    tokens: u64,
    takes: Vec<Take>,
    asked: AtomicUsize,
}

/// How many turns two conversations share at their beginnings and, of the rest, at their ends.
#[derive(Clone, Copy)]
struct Same {
    first: usize,
    last: usize,
}

impl Same {
    fn of(recorded: &[String], asked: &[String]) -> Self {
        let first = recorded.iter().zip(asked).take_while(|(a, b)| a == b).count();
        let rest = recorded.len().min(asked.len()) - first;
        let ends = recorded.iter().rev().zip(asked.iter().rev()).take(rest);
        Self { first, last: ends.take_while(|(a, b)| a == b).count() }
    }

    const fn whole(self, recorded: &[String], asked: &[String]) -> bool {
        self.first == recorded.len() && self.first == asked.len()
    }
}

/// Answers by recordings.
#[derive(Debug)]
pub struct Replay {
    questions: HashMap<String, Recorded>,
    models: Vec<String>,
    misses: Misses,
    left: Left,
    played: usize,
}

impl Replay {
    /// Reads recordings.
    ///
    /// # Errors
    /// When a file cannot be read, a line is broken and such are to be refused, or nothing is left.
    pub fn load(arguments: &ReplayArguments) -> Result<Self, ReplayError> {
        let broken = if arguments.skip_broken { Broken::Skip } else { Broken::Refuse };
        let recordings = recording::read(&arguments.recordings, broken)?;
        for line in &recordings.skipped {
            tracing::warn!(%line, "left out");
        }
        Self::of(recordings, arguments.timing, arguments.misses)
    }

    fn of(recordings: Recordings, timing: RecordedTiming, misses: Misses) -> Result<Self, ReplayError> {
        let mut replay = Self {
            questions: HashMap::new(),
            models: Vec::new(),
            misses,
            left: Left { broken: recordings.skipped.len(), ..Left::default() },
            played: 0,
        };
        for (place, recording) in recordings.calls {
            replay.add(place, recording, timing);
        }
        // Where two names mean the same, the shorter is the one under which it was recorded.
        replay.models.sort_by_key(String::len);
        if replay.played == 0 { Err(ReplayError::Nothing(replay.left)) } else { Ok(replay) }
    }

    fn add(&mut self, place: Place, recording: Recording, timing: RecordedTiming) {
        let reason = match take(&recording, timing) {
            Ok(take) if is_fingerprint(&recording.request.fingerprint) => {
                self.played += 1;
                let Recording { model, request, .. } = recording;
                if !self.models.contains(&model) {
                    self.models.push(model.clone());
                }
                let recorded = self.questions.entry(request.fingerprint).or_insert_with(|| Recorded {
                    place,
                    model,
                    turns: request.turns,
                    max_output_tokens: request.max_output_tokens,
                    tokens: request.tokens,
                    takes: Vec::new(),
                    asked: AtomicUsize::new(0),
                });
                recorded.takes.push(take);
                return;
            }
            Ok(_) => Unplayable::Impossible,
            Err(reason) => reason,
        };
        match reason {
            Unplayable::Wordless => self.left.wordless += 1,
            Unplayable::Unanswered => self.left.unanswered += 1,
            Unplayable::Impossible => self.left.impossible += 1,
        }
    }

    /// The models that were recorded, those with shorter names first.
    #[must_use]
    pub fn models(&self) -> &[String] {
        &self.models
    }

    /// How many questions can be answered, and by how many recordings.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.questions.len(), self.played)
    }

    /// What is not played.
    #[must_use]
    pub const fn left(&self) -> Left {
        self.left
    }

    /// What was recorded for a question; nothing where a miss is to be simulated.
    #[must_use]
    pub fn outcome(&self, question: &Question) -> Option<Outcome> {
        let Some(recorded) = self.questions.get(&hex(&question.recorded_fingerprint())) else {
            return match self.misses {
                Misses::Simulate => None,
                Misses::Refuse => Some(Outcome::Failure {
                    failure: Failure::NotRecorded { nearest: self.nearest(question) },
                    after: Duration::ZERO,
                }),
            };
        };
        let nth = recorded.asked.fetch_add(1, Ordering::Relaxed);
        Some(match recorded.takes.get(nth % recorded.takes.len().max(1))? {
            Take::Failure { failure, after } => Outcome::Failure { failure: failure.clone(), after: *after },
            Take::Answer { text, chunks, timing, usage, stop, cut } => {
                let stop = match stop {
                    RecordedStop::Finished => Stop::Finished,
                    RecordedStop::Length => Stop::Length,
                    RecordedStop::Refused => Stop::Refused,
                    // Which one it was is not recorded: mostly there is one only.
                    RecordedStop::Sequence => {
                        Stop::Sequence(question.stop.first().cloned().unwrap_or_default())
                    }
                };
                let estimate = Usage {
                    input_tokens: question.input_tokens(),
                    cached_input_tokens: 0,
                    output_tokens: tokens::count(text),
                };
                let answer = Answer::recorded(text.to_string(), chunks.clone(), *timing, estimate, stop);
                let answer = match usage {
                    Some(reported) => answer.reporting(*reported),
                    None => answer,
                };
                let trouble = cut.then(|| Trouble::Cut { after: answer.chunks() });
                Outcome::Answer(answer, trouble)
            }
        })
    }

    /// The recorded question that is nearest, and where it differs.
    fn nearest(&self, question: &Question) -> String {
        let turns: Vec<String> = question.turn_fingerprints().iter().map(|turn| hex(turn)).collect();
        let tokens = question.input_tokens();
        let score = |recorded: &Recorded| {
            let same = Same::of(&recorded.turns, &turns);
            (
                same.whole(&recorded.turns, &turns),
                // What was said last is what is asked.
                same.last > 0,
                same.first + same.last,
                recorded.model == question.model,
                recorded.max_output_tokens == question.max_output_tokens,
                std::cmp::Reverse(recorded.tokens.abs_diff(tokens)),
            )
        };
        // Of equals, the first that was recorded.
        let order =
            |recorded: &Recorded| std::cmp::Reverse((recorded.place.file.clone(), recorded.place.line));
        let best = self.questions.values().map(|recorded| (score(recorded), recorded));
        let Some(((whole, ..), nearest)) =
            best.max_by(|(a, one), (b, two)| a.cmp(b).then_with(|| order(one).cmp(&order(two))))
        else {
            return "nothing was recorded".to_owned();
        };
        let mut differs = Vec::new();
        if nearest.model != question.model {
            differs.push(format!("the model ({:?} was recorded)", nearest.model));
        }
        if !whole {
            let same = Same::of(&nearest.turns, &turns);
            let other = same.first..turns.len() - same.last;
            let mut which = String::new();
            for index in other.clone().take(5) {
                let comma = if which.is_empty() { "" } else { ", " };
                let role = question.turns.get(index).map_or("", |turn| turn.role.as_str());
                let role: String = role.chars().take(20).collect();
                // Writing to a String cannot fail.
                let _ = write!(which, "{comma}{} ({role})", index + 1);
            }
            let recorded = nearest.turns.len() - same.last - same.first;
            differs.push(match (other.len(), recorded) {
                (0, more) => format!("the turns ({more} more were recorded after turn {})", same.first),
                (_, 0) => format!("the turns (of {} asked, turn {which} was not recorded)", turns.len()),
                _ => format!("what is said in turn {which} of {}", turns.len()),
            });
        }
        if nearest.max_output_tokens != question.max_output_tokens {
            let told = |most: Option<u64>| most.map_or_else(|| "none".to_owned(), |most| most.to_string());
            differs.push(format!(
                "the longest answer ({} was recorded, {} asked)",
                told(nearest.max_output_tokens),
                told(question.max_output_tokens)
            ));
        }
        if differs.is_empty() {
            differs.push("the stop texts, the form of the answer or the client's seed".to_owned());
        }
        format!("nearest is {}, which differs in {}", nearest.place, differs.join(" and in "))
    }
}

/// Why a recording is not played.
enum Unplayable {
    Wordless,
    Unanswered,
    Impossible,
}

fn take(recording: &Recording, timing: RecordedTiming) -> Result<Take, Unplayable> {
    let Recording { chunk_ms, chunk_bytes, total_ms, usage, stop, end, text, error, status, .. } = recording;
    let cut = match end {
        End::Unreachable | End::ClientLeft => return Err(Unplayable::Unanswered),
        End::TimedOut if *status == 0 => return Err(Unplayable::Unanswered),
        // An error in the middle of an answer ends it as a cut does.
        End::Complete => error.is_some(),
        End::Cut | End::TimedOut => true,
    };
    let after = |ms: f64| match timing {
        RecordedTiming::None => Ok(Duration::ZERO),
        RecordedTiming::Recorded => {
            let after = Duration::try_from_secs_f64(ms / 1e3).map_err(|_| Unplayable::Impossible)?;
            if after > LONGEST { Err(Unplayable::Impossible) } else { Ok(after) }
        }
    };
    let whole = after(chunk_ms.last().map_or(*total_ms, |last| last.max(*total_ms)))?;
    let words = text.as_deref().filter(|_| *status < 400);
    if let Some(error) = error.as_ref().filter(|_| words.unwrap_or_default().is_empty()) {
        let retry_after = error.retry_after_seconds.and_then(|wait| Duration::try_from_secs_f64(wait).ok());
        // An error that came with a good status was in the body.
        let status = if *status < 400 { 500 } else { *status };
        let failure = Failure::Recorded { status, retry_after, body: error.body.clone() };
        return Ok(Take::Failure { failure, after: whole });
    }
    let text = words.ok_or(Unplayable::Wordless)?;
    let mut chunks = Vec::with_capacity(chunk_ms.len());
    let mut end = 0_usize;
    for (ms, bytes) in chunk_ms.iter().zip(chunk_bytes) {
        end = end.saturating_add(usize::try_from(*bytes).unwrap_or(usize::MAX));
        chunks.push(Chunk { end, due: after(*ms)? });
    }
    let first_token = chunks.first().map_or(whole, |chunk| chunk.due);
    let usage = usage.map(|usage| Usage {
        input_tokens: usage.input_tokens,
        cached_input_tokens: usage.cached_input_tokens.min(usage.input_tokens),
        output_tokens: usage.output_tokens,
    });
    let stop = stop.unwrap_or(RecordedStop::Finished);
    Ok(Take::Answer { text: text.into(), chunks, timing: Timing { first_token, whole }, usage, stop, cut })
}

fn is_fingerprint(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn hex(fingerprint: &[u8]) -> String {
    fingerprint.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::{Left, Replay, ReplayError, hex};
    use crate::failure::{Failure, Trouble};
    use crate::question::{Question, Turn};
    use crate::recording::{Place, Recordings};
    use crate::settings::{Misses, RecordedTiming};
    use crate::simulator::Outcome;

    fn question(text: &str) -> Question {
        Question {
            model: "m".to_owned(),
            turns: vec![
                Turn { role: "system".to_owned(), text: "Be brief.".to_owned() },
                Turn { role: "user".to_owned(), text: text.to_owned() },
            ],
            ..Question::default()
        }
    }

    fn recording(question: &Question, change: Value) -> Value {
        let mut recording = json!({
            "version": 1, "at": "2026-11-01T10:00:00Z", "protocol": "openai", "route": "/v1/chat/completions",
            "model": question.model, "stream": true,
            "request": {
                "fingerprint": hex(&question.recorded_fingerprint()),
                "turns": question.turn_fingerprints().iter().map(|turn| hex(turn)).collect::<Vec<_>>(),
                "tokens": 2, "max_output_tokens": question.max_output_tokens,
            },
            "concurrency": 1, "status": 200, "chunk_ms": [10.0, 12.5], "chunk_bytes": [3, 4],
            "total_ms": 13.0, "usage": {"input_tokens": 11, "output_tokens": 2},
            "stop": "finished", "end": "complete", "text": "abcdefg"
        });
        for (name, value) in change.as_object().unwrap() {
            recording[name] = value.clone();
        }
        recording
    }

    fn replay(recordings: Vec<Value>, timing: RecordedTiming, misses: Misses) -> Result<Replay, ReplayError> {
        let place = |index: usize| Place { file: "calls.jsonl".into(), line: index + 1 };
        let calls = recordings
            .into_iter()
            .enumerate()
            .map(|(index, recording)| (place(index), serde_json::from_value(recording).unwrap()))
            .collect();
        Replay::of(Recordings { calls, skipped: Vec::new() }, timing, misses)
    }

    fn recorded(recordings: Vec<Value>) -> Replay {
        replay(recordings, RecordedTiming::Recorded, Misses::Refuse).unwrap()
    }

    fn text(outcome: Option<Outcome>) -> String {
        match outcome {
            Some(Outcome::Answer(answer, None)) => answer.text().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    fn missed(replay: &Replay, question: &Question) -> String {
        match replay.outcome(question) {
            Some(Outcome::Failure { failure: Failure::NotRecorded { nearest }, .. }) => nearest,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_answer_is_played_as_it_was() {
        let dune = question("Dune");
        let Some(Outcome::Answer(answer, None)) = recorded(vec![recording(&dune, json!({}))]).outcome(&dune)
        else {
            panic!("it answers")
        };
        assert_eq!(answer.chunk(0), Some(("abc", Duration::from_micros(10_000))));
        assert_eq!(answer.chunk(1), Some(("defg", Duration::from_micros(12_500))));
        assert_eq!(answer.timing().whole, Duration::from_millis(13));
        assert_eq!((answer.usage().input_tokens, answer.usage().output_tokens), (11, 2));
        let none = replay(vec![recording(&dune, json!({}))], RecordedTiming::None, Misses::Refuse).unwrap();
        let Some(Outcome::Answer(answer, None)) = none.outcome(&dune) else { panic!("it answers") };
        assert_eq!((answer.chunks(), answer.timing().whole), (2, Duration::ZERO));
    }

    #[test]
    fn several_recordings_of_a_question_take_turns() {
        let dune = question("Dune");
        let again = recording(&dune, json!({"text": "gfedcba"}));
        let replay = recorded(vec![recording(&dune, json!({})), again]);
        let texts: Vec<String> = (0..3).map(|_| text(replay.outcome(&dune))).collect();
        assert_eq!(texts, ["abcdefg", "gfedcba", "abcdefg"]);
        assert_eq!(replay.size(), (1, 2));
    }

    #[test]
    fn errors_and_broken_answers_are_played_as_such() {
        let play = |change: Value| {
            let dune = question("Dune");
            recorded(vec![recording(&dune, change)]).outcome(&dune).unwrap()
        };
        let error = json!({"status": 429, "chunk_ms": [], "chunk_bytes": [], "text": null,
            "error": {"retry_after_seconds": 2.5, "body": "slow down"}});
        let Outcome::Failure { failure, after } = play(error) else { panic!("it fails") };
        assert_eq!((failure.retry_after_seconds(), after), (Some(3), Duration::from_millis(13)));
        assert_eq!(
            failure,
            Failure::Recorded {
                status: 429,
                retry_after: Some(Duration::from_millis(2_500)),
                body: "slow down".to_owned()
            }
        );
        for change in
            [json!({"end": "cut"}), json!({"end": "timed_out"}), json!({"error": {"body": "out of memory"}})]
        {
            let Outcome::Answer(answer, trouble) = play(change) else { panic!("it begins to answer") };
            assert_eq!((answer.text(), trouble), ("abcdefg", Some(Trouble::Cut { after: 2 })));
        }
    }

    #[test]
    fn what_cannot_be_played_is_counted_and_alone_refused() {
        let dune = question("Dune");
        let useless = [
            json!({"text": null}),
            json!({"end": "client_left"}),
            json!({"end": "unreachable", "status": 0}),
            json!({"end": "timed_out", "status": 0}),
            json!({"total_ms": 1e300}),
            json!({"request": {"fingerprint": "xy", "turns": [], "tokens": 1}}),
        ];
        let useless: Vec<Value> = useless.into_iter().map(|change| recording(&dune, change)).collect();
        let left = Left { wordless: 1, unanswered: 3, impossible: 2, broken: 0 };
        let error = replay(useless.clone(), RecordedTiming::Recorded, Misses::Refuse).unwrap_err();
        assert!(matches!(error, ReplayError::Nothing(found) if found == left), "{error}");
        let some = recorded([useless, vec![recording(&dune, json!({}))]].concat());
        assert_eq!((some.left(), some.size()), (left, (1, 1)));
    }

    #[test]
    fn a_miss_says_what_is_nearest_and_where_it_differs() {
        let longer = Question { max_output_tokens: Some(9), ..question("Emma") };
        let replay_of = |misses| {
            let recordings = vec![recording(&question("Dune"), json!({})), recording(&longer, json!({}))];
            replay(recordings, RecordedTiming::Recorded, misses).unwrap()
        };
        let replay = replay_of(Misses::Refuse);
        for (asked, said) in [
            (question("Ulysses"), "calls.jsonl:1, which differs in what is said in turn 2 (user) of 2"),
            (
                Question { max_output_tokens: Some(7), ..question("Emma") },
                "calls.jsonl:2, which differs in the longest answer (9 was recorded, 7 asked)",
            ),
            (
                Question { model: "n".to_owned(), ..question("Dune") },
                "calls.jsonl:1, which differs in the model (\"m\" was recorded)",
            ),
            (Question { variation: Some(1), ..question("Dune") }, "the client's seed"),
            (
                Question { turns: Vec::new(), ..question("Dune") },
                "the turns (2 more were recorded after turn 0)",
            ),
            (
                // What is asked last counts more than how long the conversation is.
                Question {
                    turns: [Turn { role: "system".to_owned(), text: "New.".to_owned() }]
                        .into_iter()
                        .chain(question("Dune").turns)
                        .collect(),
                    ..question("Dune")
                },
                "calls.jsonl:1, which differs in the turns (of 3 asked, turn 1 (system) was not recorded)",
            ),
        ] {
            let nearest = missed(&replay, &asked);
            assert!(nearest.contains(said), "{nearest}");
        }
        assert_eq!(replay_of(Misses::Simulate).outcome(&question("Ulysses")), None);
    }
}
