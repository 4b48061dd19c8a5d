//! One answer, drawn: text, token counts, timing. Pure.
//!
//! Everything in it follows from the question, the seed and the profile. Must not know a clock nor
//! a protocol.

use std::time::Duration;

use crate::draws::{Draws, Quantity};
use crate::latency::Schedule;
use crate::profile::{Circumstances, LONGEST_ANSWER, Profile};
use crate::question::{Fingerprint, Question};
use crate::{text, tokens};

/// Why an answer ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It is complete.
    Finished,
    /// It reached this stop text, which is not part of it.
    Sequence(String),
    /// It reached the longest answer the client allows.
    Length,
    /// The model would not answer.
    Refused,
}

/// Tokens of a question and its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the question, those from a cache included.
    pub input_tokens: u64,
    /// Those of them that the provider had in its cache.
    pub cached_input_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
}

/// A piece of the text, as a stream sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Where it ends in the text, in bytes; it begins where the one before ends.
    pub end: usize,
    /// When it is due, counted from the request.
    pub due: Duration,
}

/// When an answer is due, counted from the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Until the first token, or until the end where there is none.
    pub first_token: Duration,
    /// Until the end: the last token, and what a provider takes to close the answer.
    pub whole: Duration,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    text: String,
    chunks: Vec<Chunk>,
    timing: Timing,
    usage: Usage,
    counted: Counted,
    stop: Stop,
}

/// Where token counts come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// From the estimate of `tokens.rs`.
    Estimated,
    /// From a provider, when the answer was recorded.
    Reported,
}

impl Counted {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Estimated => "estimated",
            Self::Reported => "reported",
        }
    }
}

impl Answer {
    /// Draws the answer to a question with this fingerprint, asked while so many answers, this one
    /// included, are under way.
    #[must_use]
    pub fn draw(
        question: &Question,
        fingerprint: &Fingerprint,
        profile: &Profile,
        concurrency: usize,
    ) -> Self {
        let input_tokens = question.input_tokens();
        let drawn = profile.draw(fingerprint, &Circumstances { input_tokens, concurrency });
        let mut text =
            text::write(question, drawn.output_tokens, &mut Draws::of(fingerprint, Quantity::Text));
        // Where each token ends. The schedule is that of the answer's natural length, so that one cut
        // short is the beginning of the whole one.
        let mut ends: Vec<usize> = tokens::split(&text)
            .scan(0, |end, piece| {
                *end += piece.len();
                Some(*end)
            })
            .collect();
        let natural = ends.len();
        let schedule = Schedule::draw(fingerprint, profile, &drawn, natural);
        let stops = question.stop.iter().filter(|stop| !stop.is_empty());
        let reached = stops.filter_map(|stop| Some((text.find(stop)?, stop))).min_by_key(|(at, _)| *at);
        let mut stop = Stop::Finished;
        if let Some((end, reached)) = reached {
            text.truncate(end);
            // The last token is as long as what is left of it.
            let whole = ends.partition_point(|token| *token < end);
            ends.truncate(whole);
            if end > ends.last().copied().unwrap_or_default() {
                ends.push(end);
            }
            stop = Stop::Sequence(reached.clone());
        }
        // A schema may ask for more than one text.
        let most = question.max_output_tokens.unwrap_or(u64::MAX).min(LONGEST_ANSWER * 2);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if ends.len() > most {
            stop = Stop::Length;
            ends.truncate(most);
            text.truncate(ends.last().copied().unwrap_or_default());
        }
        let chunks: Vec<Chunk> = schedule
            .chunks(ends.len())
            .filter_map(|(token, due)| Some(Chunk { end: *ends.get(token)?, due }))
            .collect();
        let timing = Timing { first_token: schedule.first_token(), whole: schedule.whole(ends.len()) };
        let usage = Usage { input_tokens, cached_input_tokens: 0, output_tokens: ends.len() as u64 };
        Self { text, chunks, timing, usage, counted: Counted::Estimated, stop }
    }

    /// An answer that was given before. Chunks whose ends do not rise, or are no ends of characters
    /// of the text, are left out; what is left of the text comes with the last one.
    #[must_use]
    pub fn recorded(text: String, chunks: Vec<Chunk>, timing: Timing, usage: Usage, stop: Stop) -> Self {
        let mut last = 0;
        let mut chunks: Vec<Chunk> = chunks
            .into_iter()
            .filter(|chunk| {
                let sound = chunk.end > last && text.is_char_boundary(chunk.end);
                if sound {
                    last = chunk.end;
                }
                sound
            })
            .collect();
        match chunks.last_mut() {
            Some(chunk) => chunk.end = text.len(),
            None if !text.is_empty() => chunks.push(Chunk { end: text.len(), due: timing.first_token }),
            None => {}
        }
        Self { text, chunks, timing, usage, counted: Counted::Estimated, stop }
    }

    /// The same question refused: nothing is said, when the first token would have come.
    #[must_use]
    pub fn refused(self) -> Self {
        let timing = Timing { whole: self.timing.first_token, ..self.timing };
        let usage = Usage { output_tokens: 0, ..self.usage };
        let (text, chunks) = (String::new(), Vec::new());
        Self { text, chunks, timing, usage, stop: Stop::Refused, ..self }
    }

    /// The same answer broken off after so many chunks, as though the client had allowed no more; one
    /// that is no longer stays as it is.
    #[must_use]
    pub fn truncated(mut self, chunks: usize) -> Self {
        let all = self.chunks.len();
        if chunks >= all {
            return self;
        }
        self.chunks.truncate(chunks);
        let (end, due) = self.chunks.last().map_or((0, self.timing.first_token), |last| (last.end, last.due));
        self.text.truncate(end);
        self.timing.whole = due;
        // One token a chunk where it was drawn; a recorded one may have more.
        self.usage.output_tokens =
            (self.usage.output_tokens.saturating_mul(chunks as u64) / all as u64).max(chunks as u64);
        self.stop = Stop::Length;
        self
    }

    /// The same answer to a question of which the model read no more than so many tokens.
    #[must_use]
    pub fn reading_at_most(mut self, tokens: u64) -> Self {
        self.usage.input_tokens = self.usage.input_tokens.min(tokens);
        self.usage.cached_input_tokens = self.usage.cached_input_tokens.min(tokens);
        self
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many chunks it comes in.
    #[must_use]
    pub const fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// How many whole chunks this share of them is.
    #[must_use]
    pub fn chunks_before(&self, share: f64) -> usize {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few thousand chunks, and a float-to-int cast saturates"
        )]
        let chunks = (self.chunks.len() as f64 * share.clamp(0.0, 1.0)) as usize;
        chunks
    }

    /// One chunk of the text and when it is due, counted from the request.
    #[must_use]
    pub fn chunk(&self, index: usize) -> Option<(&str, Duration)> {
        let start = match index.checked_sub(1) {
            Some(before) => self.chunks.get(before)?.end,
            None => 0,
        };
        let chunk = self.chunks.get(index)?;
        Some((self.text.get(start..chunk.end)?, chunk.due))
    }

    /// When it is due.
    #[must_use]
    pub const fn timing(&self) -> Timing {
        self.timing
    }

    /// Its tokens.
    #[must_use]
    pub const fn usage(&self) -> Usage {
        self.usage
    }

    /// Where the counts of its tokens come from.
    #[must_use]
    pub const fn counted(&self) -> Counted {
        self.counted
    }

    /// The same with these tokens, as a provider counted them.
    #[must_use]
    pub fn reporting(self, usage: Usage) -> Self {
        Self { usage, counted: Counted::Reported, ..self }
    }

    /// Why it ends.
    #[must_use]
    pub const fn stop(&self) -> &Stop {
        &self.stop
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Answer, Stop};
    use crate::profile::Profile;
    use crate::question::{Question, Turn};
    use crate::tokens;

    fn profile() -> Profile {
        Profile::log_normal("test", (120.0, 360.0), (8.0, 20.0), (90.0, 180.0)).unwrap()
    }

    fn question() -> Question {
        Question {
            model: "llama3.2".to_owned(),
            turns: vec![Turn { role: "user".to_owned(), text: "Title: Dune".to_owned() }],
            ..Question::default()
        }
    }

    fn draw(question: &Question) -> Answer {
        Answer::draw(question, &question.fingerprint(1), &profile(), 1)
    }

    fn pieces(answer: &Answer) -> String {
        (0..).map_while(|index| answer.chunk(index)).map(|(piece, _)| piece).collect()
    }

    #[test]
    fn the_same_question_has_the_same_answer() {
        assert_eq!(draw(&question()), draw(&question()));
        let other = Answer::draw(&question(), &question().fingerprint(2), &profile(), 1);
        assert_ne!(draw(&question()), other);
    }

    #[test]
    fn an_answer_is_the_same_in_every_process_and_release() {
        let answer = draw(&question());
        let first = answer.timing().first_token.as_millis();
        let beginning: String = answer.text().chars().take(60).collect();
        let expected = "Dune is a warm book about friendship and change. Readers who";
        assert_eq!((first, answer.usage().output_tokens, beginning.as_str()), (246, 55, expected));
    }

    #[test]
    fn counts_are_those_of_the_texts() {
        let answer = draw(&question());
        assert_eq!(answer.usage().input_tokens, 2);
        assert_eq!(answer.usage().output_tokens, tokens::count(answer.text()));
        assert_eq!(pieces(&answer), answer.text());
        assert_eq!(answer.stop(), &Stop::Finished);
    }

    #[test]
    fn the_longest_answer_allowed_is_obeyed() {
        let mut question = question();
        question.max_output_tokens = Some(7);
        let answer = draw(&question);
        assert_eq!((answer.usage().output_tokens, answer.stop()), (7, &Stop::Length));
        assert_eq!(tokens::count(answer.text()), 7);
        question.max_output_tokens = Some(1_000);
        assert_eq!(draw(&question).stop(), &Stop::Finished);
    }

    #[test]
    fn a_stop_text_ends_the_answer_before_it() {
        let mut question = question();
        question.stop = vec![String::new(), " is ".to_owned(), ".".to_owned()];
        let answer = draw(&question);
        assert!(!answer.text().contains('.') && !answer.text().contains(" is "), "{}", answer.text());
        assert!(matches!(answer.stop(), Stop::Sequence(_)));
        assert_eq!(pieces(&answer), answer.text());
    }

    proptest! {
        #[test]
        fn every_question_is_answered_soundly(text in "\\PC{0,120}", most in prop::option::of(1_u64..200)) {
            let mut question = question();
            question.turns[0].text = text;
            question.max_output_tokens = most;
            let answer = draw(&question);
            prop_assert!(answer.usage().output_tokens >= 1);
            prop_assert!(most.is_none_or(|most| answer.usage().output_tokens <= most));
            prop_assert_eq!(pieces(&answer), answer.text());
            prop_assert!(answer.timing().whole >= answer.timing().first_token);
        }
    }
}
