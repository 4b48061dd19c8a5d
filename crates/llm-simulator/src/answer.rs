//! One answer, drawn: text, token counts, timing. Pure.
//!
//! Everything in it follows from the question, the seed and the profile. Must not know a clock nor
//! a protocol.

use std::time::Duration;

use crate::draws::{Draws, Quantity};
use crate::latency::Schedule;
use crate::profile::{LONGEST_ANSWER, Profile};
use crate::question::{Fingerprint, Question};
use crate::{text, tokens};

/// Why an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It is complete, or reached a stop text.
    Finished,
    /// It reached the longest answer the client allows.
    Length,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    text: String,
    /// Where each token of the text ends, in bytes.
    ends: Vec<usize>,
    schedule: Schedule,
    input_tokens: u64,
    stop: Stop,
}

impl Answer {
    /// Draws the answer to a question with this fingerprint.
    #[must_use]
    pub fn draw(question: &Question, fingerprint: &Fingerprint, profile: &Profile) -> Self {
        let length = profile.draw_length(&mut Draws::of(fingerprint, Quantity::Length));
        let mut text = text::write(question, length, &mut Draws::of(fingerprint, Quantity::Text));
        let stops = question.stop.iter().filter(|stop| !stop.is_empty());
        if let Some(end) = stops.filter_map(|stop| text.find(stop)).min() {
            text.truncate(end);
        }
        let mut ends: Vec<usize> = tokens::split(&text)
            .scan(0, |end, piece| {
                *end += piece.len();
                Some(*end)
            })
            .collect();
        // A schema may ask for more than one text.
        let most = question.max_output_tokens.unwrap_or(u64::MAX).min(LONGEST_ANSWER * 2);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let stop = if ends.len() > most { Stop::Length } else { Stop::Finished };
        ends.truncate(most);
        text.truncate(ends.last().copied().unwrap_or_default());
        let input_tokens = question.turns.iter().map(|turn| tokens::count(&turn.text)).sum::<u64>().max(1);
        Self { schedule: Schedule::draw(fingerprint, profile, ends.len()), text, ends, input_tokens, stop }
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// One token of the text and when it is due, counted from the request.
    #[must_use]
    pub fn token(&self, index: usize) -> Option<(&str, Duration)> {
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        Some((self.text.get(start..*self.ends.get(index)?)?, self.schedule.due(index)?))
    }

    /// When everything is due, counted from the request.
    #[must_use]
    pub const fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Tokens of the question; one at least.
    #[must_use]
    pub const fn input_tokens(&self) -> u64 {
        self.input_tokens
    }

    /// Tokens of the text.
    #[must_use]
    pub const fn output_tokens(&self) -> u64 {
        self.ends.len() as u64
    }

    /// Why it ends.
    #[must_use]
    pub const fn stop(&self) -> Stop {
        self.stop
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use statistics::LogNormal;

    use super::{Answer, Stop};
    use crate::profile::{Delay, Profile};
    use crate::question::{Question, Turn};
    use crate::tokens;

    fn profile() -> Profile {
        Profile {
            source: "test".to_owned(),
            first_token: Delay::from_median_and_p95(120.0, 360.0).unwrap(),
            gap: Delay::from_median_and_p95(8.0, 20.0).unwrap(),
            output_tokens: LogNormal::from_median_and_p95(90.0, 180.0).unwrap(),
            error_rate: 0.0,
        }
    }

    fn question() -> Question {
        Question {
            model: "llama3.2".to_owned(),
            turns: vec![Turn { role: "user".to_owned(), text: "Title: Dune".to_owned() }],
            ..Question::default()
        }
    }

    fn draw(question: &Question) -> Answer {
        Answer::draw(question, &question.fingerprint(1), &profile())
    }

    fn pieces(answer: &Answer) -> String {
        (0..).map_while(|index| answer.token(index)).map(|(piece, _)| piece).collect()
    }

    #[test]
    fn the_same_question_has_the_same_answer() {
        assert_eq!(draw(&question()), draw(&question()));
        let other = Answer::draw(&question(), &question().fingerprint(2), &profile());
        assert_ne!(draw(&question()), other);
    }

    #[test]
    fn an_answer_is_the_same_in_every_process_and_release() {
        let answer = draw(&question());
        let first = answer.schedule().first_token().as_millis();
        let beginning: String = answer.text().chars().take(60).collect();
        let expected = "Dune is a warm book about friendship and change. Readers who";
        assert_eq!((first, answer.output_tokens(), beginning.as_str()), (415, 78, expected));
    }

    #[test]
    fn counts_are_those_of_the_texts() {
        let answer = draw(&question());
        assert_eq!(answer.input_tokens(), 2);
        assert_eq!(answer.output_tokens(), tokens::count(answer.text()));
        assert_eq!(pieces(&answer), answer.text());
        assert_eq!(answer.stop(), Stop::Finished);
    }

    #[test]
    fn the_longest_answer_allowed_is_obeyed() {
        let mut question = question();
        question.max_output_tokens = Some(7);
        let answer = draw(&question);
        assert_eq!((answer.output_tokens(), answer.stop()), (7, Stop::Length));
        assert_eq!(tokens::count(answer.text()), 7);
        question.max_output_tokens = Some(1_000);
        assert_eq!(draw(&question).stop(), Stop::Finished);
    }

    #[test]
    fn a_stop_text_ends_the_answer_before_it() {
        let mut question = question();
        question.stop = vec![String::new(), " is ".to_owned(), ".".to_owned()];
        let answer = draw(&question);
        assert!(!answer.text().contains('.') && !answer.text().contains(" is "), "{}", answer.text());
        assert_eq!(answer.stop(), Stop::Finished);
        assert_eq!(pieces(&answer), answer.text());
    }

    proptest! {
        #[test]
        fn every_question_is_answered_soundly(text in "\\PC{0,120}", most in prop::option::of(1_u64..200)) {
            let mut question = question();
            question.turns[0].text = text;
            question.max_output_tokens = most;
            let answer = draw(&question);
            prop_assert!(answer.output_tokens() >= 1);
            prop_assert!(most.is_none_or(|most| answer.output_tokens() <= most));
            prop_assert_eq!(pieces(&answer), answer.text());
            prop_assert!(answer.schedule().whole() >= answer.schedule().first_token());
        }
    }
}
