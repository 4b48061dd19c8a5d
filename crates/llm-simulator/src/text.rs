//! The words of an answer: a plain paragraph about the book that was asked about. Pure.
//!
//! Owns the sentences. Must not know how an answer is timed or sent.

mod structured;
mod subject;

use std::collections::VecDeque;

use crate::draws::Draws;
use crate::question::{Form, Question};
use crate::tokens;

pub use subject::Subject;

/// First sentences: what the book is.
const OPENINGS: [&str; 8] = [
    "{title}{by} is a {quality} book about {noun} and {noun}.",
    "{title}{by} tells a {quality} story in which {noun} and {theme} are never far apart.",
    "At the heart of {title}{by} lies a {quality} question of {noun} and {theme}.",
    "{title}{by} begins with {noun} and ends with {theme}, and is {quality} all the way between.",
    "{title}{by} brings together {noun} and {noun}, and the result is {quality}.",
    "{title}{by} is best read as a {quality} account of {noun}.",
    "Few books are as {quality} about {noun} as {title}{by}.",
    "{title}{by} takes {noun} seriously and makes something {quality} of it.",
];

/// What may follow, in any order.
const SENTENCES: [&str; 24] = [
    "It follows its characters closely, from {noun} to {theme}.",
    "The opening chapters introduce {noun} with a {quality} hand.",
    "Much of its force comes from the way {noun} and {noun} are set against each other.",
    "What begins with {noun} turns into a matter of {theme}.",
    "The pace is {quality}, with room for {noun} and for silence.",
    "Its middle part widens the view from {noun} to {theme}.",
    "Readers who come for {noun} will stay for the {quality} prose.",
    "Nothing here is wasted: even {noun} will be met again.",
    "The people in it are drawn with {theme} and without illusion.",
    "Behind {noun} stands an older concern with {theme}.",
    "The language stays {quality} when the events are not.",
    "It asks what {theme} is worth in the face of {noun}.",
    "Several scenes turn on {noun}, each in another light.",
    "The setting matters as much as {noun}.",
    "Its view of {theme} is {quality} and never simple.",
    "By the last chapters one sees {noun} with other eyes.",
    "The structure is {quality}: every part answers an earlier one.",
    "There is humour in it too, mostly around {noun}.",
    "The author trusts the reader to connect {noun} with {theme}.",
    "It can be read quickly, but the pages on {noun} reward a slower reading.",
    "Critics have praised its {quality} treatment of {noun}.",
    "Few passages explain {theme} so plainly.",
    "It leaves the question of {noun} open and that of {theme} settled.",
    "As a portrait of {theme} it has lost nothing.",
];

/// Last sentences.
const CLOSINGS: [&str; 6] = [
    "It is a {quality} book to return to.",
    "What remains is a {quality} impression of {theme}.",
    "It will suit readers who look for {theme} in their fiction.",
    "The end is {quality} and well earned.",
    "One closes it with a clearer sense of {noun}.",
    "It deserves its place on the shelf.",
];

/// Sentences of one token, of two, and so on, with which a paragraph gets its length.
const FILLERS: [&str; 12] = [
    "Truly.",
    "It holds.",
    "It stays vivid.",
    "It is well made.",
    "It can be read aloud.",
    "It has much to say still.",
    "It is a book for long days.",
    "It is good to have it at hand.",
    "One can open it on any page and read.",
    "It gives more than it takes, and asks for time.",
    "It is one of those books one is glad to own.",
    "There is much in it that one sees only the second time.",
];

const QUALITIES: [&str; 16] = [
    "quiet", "vivid", "generous", "restless", "patient", "sharp", "tender", "wry", "precise", "spacious",
    "sober", "warm", "steady", "bold", "careful", "humane",
];

const THEMES: [&str; 16] = [
    "loyalty",
    "memory",
    "ambition",
    "family",
    "freedom",
    "justice",
    "grief",
    "courage",
    "belonging",
    "doubt",
    "power",
    "friendship",
    "duty",
    "change",
    "truth",
    "forgiveness",
];

/// How many of the last sentences are not used again at once.
const NOT_AGAIN: usize = 6;

/// The text of an answer in the form asked for, of this many tokens; JSON has roughly so many.
#[must_use]
pub fn write(question: &Question, tokens: u64, draws: &mut Draws) -> String {
    let subject = Subject::of(&question.subject_text());
    match &question.form {
        Form::Prose => paragraph(&subject, tokens, draws),
        Form::Json => structured::any_object(&subject, tokens, draws),
        Form::Schema(schema) => structured::fitting(schema, &subject, tokens, draws),
    }
}

/// A paragraph of exactly this many tokens: whole sentences, unless it is shorter than its first
/// one, which then breaks off, as a model's does.
///
/// Exactly, because lengths are drawn from a profile: what is told as usage has its distribution.
fn paragraph(subject: &Subject, tokens: u64, draws: &mut Draws) -> String {
    let mut text = sentences(subject, tokens, draws);
    let kept = usize::try_from(tokens.max(1)).unwrap_or(usize::MAX);
    text.truncate(tokens::split(&text).take(kept).map(str::len).sum());
    text
}

/// Whole sentences of exactly this many tokens, or the first one alone where it is longer.
fn sentences(subject: &Subject, tokens: u64, draws: &mut Draws) -> String {
    let mut words = Words::new(subject);
    let mut text = words.fill(draws.pick(&OPENINGS).copied().unwrap_or_default(), draws);
    let closing = words.fill(draws.pick(&CLOSINGS).copied().unwrap_or_default(), draws);
    let mut length = tokens::count(&text);
    if length > tokens {
        return text;
    }
    let last = tokens::count(&closing);
    let closes = length + last <= tokens;
    let room = if closes { tokens - last } else { tokens };
    let mut recent = VecDeque::with_capacity(NOT_AGAIN + 1);
    loop {
        let sentence = words.fill(next_sentence(&mut recent, draws), draws);
        let more = tokens::count(&sentence);
        if length + more > room {
            break;
        }
        text.push(' ');
        text.push_str(&sentence);
        length += more;
    }
    // A word begins a token, so the tokens of sentences add up.
    while length < room {
        let more = usize::try_from(room - length).unwrap_or(usize::MAX).min(FILLERS.len());
        text.push(' ');
        text.push_str(FILLERS.get(more - 1).copied().unwrap_or_default());
        length += more as u64;
    }
    if closes {
        text.push(' ');
        text.push_str(&closing);
    }
    text
}

fn next_sentence(recent: &mut VecDeque<usize>, draws: &mut Draws) -> &'static str {
    let start = draws.below(SENTENCES.len());
    let index = (start..start + SENTENCES.len())
        .map(|index| index % SENTENCES.len())
        .find(|index| !recent.contains(index))
        .unwrap_or(start);
    recent.push_back(index);
    if recent.len() > NOT_AGAIN {
        recent.pop_front();
    }
    SENTENCES.get(index).copied().unwrap_or_default()
}

/// Fills the places of a sentence.
struct Words<'a> {
    subject: &'a Subject,
    /// The last noun or theme used for one, so that nothing is set against itself.
    last: String,
}

impl<'a> Words<'a> {
    const fn new(subject: &'a Subject) -> Self {
        Self { subject, last: String::new() }
    }

    fn fill(&mut self, sentence: &str, draws: &mut Draws) -> String {
        let mut text = String::with_capacity(sentence.len() + 32);
        let mut rest = sentence;
        while let Some((before, after)) = rest.split_once('{') {
            let (place, after) = after.split_once('}').unwrap_or((after, ""));
            text.push_str(before);
            match place {
                "title" => text.push_str(&self.subject.title),
                "by" => {
                    if let Some(author) = &self.subject.author {
                        text.push_str(" by ");
                        text.push_str(author);
                    }
                }
                "noun" => text.push_str(&self.noun(draws)),
                "theme" => text.push_str(self.theme(draws)),
                _ => text.push_str(draws.pick(&QUALITIES).copied().unwrap_or_default()),
            }
            rest = after;
        }
        text.push_str(rest);
        text
    }

    /// A theme other than the last one used.
    fn theme(&self, draws: &mut Draws) -> &'static str {
        let start = draws.below(THEMES.len());
        let themes = THEMES.iter().cycle().skip(start).take(THEMES.len());
        themes.copied().find(|theme| *theme != self.last).unwrap_or_default()
    }

    /// What the prompt speaks of, or a theme where that would be the same as before.
    fn noun(&mut self, draws: &mut Draws) -> String {
        let noun = draws.pick(&self.subject.nouns).filter(|noun| **noun != self.last);
        self.last = noun.map_or_else(|| self.theme(draws).to_owned(), Clone::clone);
        self.last.clone()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::write;
    use crate::draws::{Draws, Quantity};
    use crate::question::{Form, Question, Turn};
    use crate::tokens;

    fn about(text: &str) -> Question {
        Question {
            turns: vec![Turn { role: "user".to_owned(), text: text.to_owned() }],
            ..Question::default()
        }
    }

    fn draws(seed: u8) -> Draws {
        Draws::of(&[seed; 32], Quantity::Text)
    }

    const MOBY: &str = "<book>\nTitle: Moby-Dick\nAuthors: Herman Melville\nDescription: A captain hunts \
                        the whale that maimed him.\n</book>\nWrite the summary of this book.";

    #[test]
    fn a_paragraph_is_about_the_book_and_reads_as_one() {
        let text = write(&about(MOBY), 100, &mut draws(1));
        assert!(text.contains("Moby-Dick by Herman Melville"), "{text}");
        assert!(["the captain", "the whale"].iter().any(|noun| text.contains(noun)), "{text}");
        assert!(text.ends_with('.') && !text.contains(['{', '}', '\n']), "{text}");
        assert!(!text.contains("  "), "{text}");
    }

    #[test]
    fn the_same_draws_write_the_same_and_others_do_not() {
        assert_eq!(write(&about(MOBY), 80, &mut draws(1)), write(&about(MOBY), 80, &mut draws(1)));
        assert_ne!(write(&about(MOBY), 80, &mut draws(1)), write(&about(MOBY), 80, &mut draws(2)));
    }

    #[test]
    fn fillers_have_one_token_more_each() {
        let counts: Vec<u64> = super::FILLERS.iter().map(|filler| tokens::count(filler)).collect();
        assert_eq!(counts, (1..=12).collect::<Vec<u64>>());
    }

    #[test]
    fn the_length_is_exactly_the_one_drawn() {
        for wanted in (1..150).chain([1_000, 4_096]) {
            for seed in 0..10 {
                let text = write(&about(MOBY), wanted, &mut draws(seed));
                assert_eq!(tokens::count(&text), wanted, "{text}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_prompt_gets_a_paragraph_of_that_length(text in "\\PC{0,200}", wanted in 1_u64..300) {
            let written = write(&about(&text), wanted, &mut draws(9));
            prop_assert_eq!(tokens::count(&written), wanted);
            prop_assert!(!written.chars().any(char::is_control));
        }

        #[test]
        fn any_prompt_gets_json_where_json_is_asked_for(text in "\\PC{0,100}") {
            let question = Question { form: Form::Json, ..about(&text) };
            let written = write(&question, 60, &mut draws(9));
            prop_assert!(serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&written).is_ok());
        }
    }
}
