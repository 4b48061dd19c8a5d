//! The verdict on an answer that comes in pieces.
//!
//! Judges word by word as words are completed, so that the verdict does not depend on how the answer
//! was cut up; what a later word may still turn into something unsafe is held back.

use std::collections::VecDeque;
use std::sync::Arc;

use super::context::{Context, is_picture};
use super::folding::{fold, is_bidirectional, is_control, is_invisible, is_mixed, squash, words};
use super::links::{addresses, written_apart};
use super::markup::{is_markup, without_emphasis};
use super::oddness::is_code;
use super::runs::Place;
use super::words::is_function;
use super::{LONGEST_ANSWER, Unsafe};

/// Letters in a row that the answer may have in common with what the model was told, less one.
const ECHO: usize = 24;
/// Letters in a row that it may have in common with what speaks to the model, less one.
const REPEAT: usize = 20;
/// Letters in a row that it may have in common with what speaks of the text about the book, less one,
/// where they hold a word that says something.
const ASIDE: usize = 10;
/// A row of common letters from this length on is held back.
const GROWING: usize = 8;
/// Words that are always held back: an address may be written apart.
const HELD: usize = 3;
/// Most characters that an open bracket holds back.
const BRACKET: usize = 300;
/// Words that may be shouted at the beginning before that counts as the answer's way.
const SHOUTED: usize = 6;
/// Letters that are kept to find what stands across words.
const TAIL: usize = 160;

/// The verdict on an answer that comes in pieces: the same as [`super::accept`]'s on the whole.
#[derive(Debug)]
pub struct Screen {
    context: Arc<Context>,
    /// What was taken so far: what was accepted, without the word that is not complete.
    text: String,
    characters: usize,
    /// How many bytes of `text` were given out.
    given: usize,
    /// Whitespace before the next word, and its length, which may be more than is kept.
    space: String,
    spaces: usize,
    word: String,
    word_characters: usize,
    /// Words that are held back: letters in each, and where its text begins.
    held: VecDeque<(usize, usize)>,
    line_start: bool,
    emphasis: bool,
    bracket: Option<usize>,
    words: usize,
    small_letters: bool,
    capitals: bool,
    told: Place,
    repeated: Place,
    aside: Place,
    /// The last letters, and for each word in them how many there are.
    tail: String,
    tail_words: VecDeque<usize>,
    single: usize,
    last_words: VecDeque<String>,
    initials: String,
    sentence_start: bool,
    failed: Option<Unsafe>,
}

/// An answer that was accepted to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// What was held back so far and may be shown now.
    pub rest: String,
    /// The whole answer as it may be kept. What was shown is the same, whitespace at the ends aside;
    /// of a cut answer more may have been shown: the beginning of the sentence that was cut.
    pub text: String,
}

impl Screen {
    /// For an answer of which nothing has come yet.
    #[must_use]
    pub fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            text: String::new(),
            characters: 0,
            given: 0,
            space: String::new(),
            spaces: 0,
            word: String::new(),
            word_characters: 0,
            held: VecDeque::new(),
            line_start: true,
            emphasis: false,
            bracket: None,
            words: 0,
            small_letters: false,
            capitals: false,
            told: Place::default(),
            repeated: Place::default(),
            aside: Place::default(),
            tail: String::new(),
            tail_words: VecDeque::new(),
            single: 0,
            last_words: VecDeque::new(),
            initials: String::new(),
            sentence_start: true,
            failed: None,
        }
    }

    /// Takes the next piece; gives what may be shown now, which may be nothing or older text.
    ///
    /// # Errors
    /// When the answer may not be served; from then on every call fails the same way.
    pub fn push(&mut self, piece: &str) -> Result<String, Unsafe> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        for character in piece.chars() {
            self.take(character).inspect_err(|reason| self.failed = Some(*reason))?;
        }
        Ok(self.give())
    }

    /// Ends the answer; `cut` says that the model's limit ended it.
    ///
    /// # Errors
    /// When the answer may be neither stored nor served.
    pub fn finish(mut self, cut: bool) -> Result<Finished, Unsafe> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        self.complete()?;
        if self.words == 0 {
            return Err(Unsafe::Empty);
        }
        if self.words < 2 && !self.text.chars().any(super::lexicon::unspaced) {
            return Err(Unsafe::TooShort);
        }
        if self.capitals && !self.small_letters {
            return Err(Unsafe::TooShort);
        }
        let mut text = self.text;
        if cut {
            let end = last_sentence_end(&text).ok_or(Unsafe::CutShort)?;
            text.truncate(end);
        }
        let rest = text.get(self.given..).unwrap_or_default().to_owned();
        Ok(Finished { rest, text })
    }

    fn take(&mut self, character: char) -> Result<(), Unsafe> {
        if is_control(character) {
            return Err(Unsafe::ControlCharacters);
        }
        if is_bidirectional(character) {
            return Err(Unsafe::Bidirectional);
        }
        if is_invisible(character) {
            return Err(Unsafe::Invisible);
        }
        if character.is_whitespace() {
            self.complete()?;
            if self.words > 0 {
                self.spaces += 1;
                // More than this only ever precedes a refusal.
                if self.spaces <= LONGEST_ANSWER {
                    self.space.push(character);
                }
            }
            self.line_start |= matches!(character, '\n' | '\r');
            return Ok(());
        }
        self.word.push(character);
        self.word_characters += 1;
        if self.characters + self.spaces + self.word_characters > LONGEST_ANSWER {
            return Err(Unsafe::TooLong);
        }
        // Scripts without spaces have words end with their punctuation.
        if matches!(character, '。' | '！' | '？' | '，' | '、' | '；' | '।') {
            self.complete()?;
        }
        Ok(())
    }

    /// Judges the word that has just ended.
    fn complete(&mut self) -> Result<(), Unsafe> {
        if self.word.is_empty() {
            return Ok(());
        }
        let raw = std::mem::take(&mut self.word);
        self.word_characters = 0;
        let word = without_emphasis(&raw, &mut self.emphasis);
        if is_markup(&word, self.line_start) || is_markup_structure(&word, self.words) {
            return Err(Unsafe::Markup);
        }
        self.line_start = false;
        if stacks_marks(&word) {
            return Err(Unsafe::Invisible);
        }
        if addresses(&word).iter().any(|address| !self.context.hosts.contains(address)) {
            return Err(Unsafe::Link);
        }
        self.last_words.push_back(word.clone());
        while self.last_words.len() > HELD + 1 {
            self.last_words.pop_front();
        }
        let last: Vec<&str> = self.last_words.iter().map(String::as_str).collect();
        let apart = |word: &&str| {
            matches!(fold(word).as_str(), "." | "dot" | "punkt" | "point" | "punto")
                || word.contains(['[', '(', '{', '<'])
        };
        if last.iter().any(apart) && written_apart(&last.join(" ")) {
            return Err(Unsafe::Link);
        }
        let folded = fold(&word);
        if is_encoded(&word) || word.split(|c: char| !c.is_alphanumeric()).any(is_mixed) {
            return Err(Unsafe::Encoded);
        }
        self.judge_words(&word, &folded)?;
        self.judge_letters(&folded)?;
        self.accept_word(&word);
        Ok(())
    }

    /// The word's own parts against what speaks to the model.
    fn judge_words(&mut self, word: &str, folded: &str) -> Result<(), Unsafe> {
        let letters = word.chars().filter(|c| c.is_alphabetic()).count();
        let capitals =
            letters > 0 && !word.chars().any(char::is_lowercase) && word.chars().any(char::is_uppercase);
        self.small_letters |= word.chars().any(|c| c.is_alphabetic() && !c.is_uppercase());
        self.capitals |= capitals && letters > 1;
        let name = !capitals && word.chars().find(|c| c.is_alphabetic()).is_some_and(char::is_uppercase);
        for part in words(folded) {
            let digits = part.chars().filter(|c| c.is_numeric()).count();
            let others = part.chars().count() - digits;
            let ordinal = part.starts_with(char::is_numeric) && others <= 2;
            let known = self.context.book_words.contains(part);
            if digits >= 2 && others >= 2 && digits + others >= 6 && !ordinal && !known {
                return Err(Unsafe::Unfounded);
            }
            let guard = self.context.guard.as_ref();
            if let Some(reason) = guard.and_then(|guard| guard.refuses(part, capitals, name)) {
                return Err(reason);
            }
        }
        if is_code(word)
            && word.chars().any(char::is_numeric)
            && !self.context.book_letters.contains(&squash(folded))
        {
            return Err(Unsafe::Unfounded);
        }
        if word.chars().any(|sign| is_picture(sign) && !self.context.pictures.contains(&sign)) {
            return Err(Unsafe::PlantedText);
        }
        if let Some(guard) = &self.context.guard {
            if word.chars().any(|sign| guard.refuses_sign(sign)) {
                return Err(Unsafe::PlantedText);
            }
            if self.sentence_start {
                self.initials.extend(folded.chars().find(|c| c.is_alphanumeric()));
                let spelled = |(phrase, _): &&(String, bool)| self.initials.ends_with(phrase.as_str());
                if guard.phrases.iter().any(|phrase| spelled(&phrase)) {
                    return Err(Unsafe::PlantedText);
                }
            }
        }
        self.sentence_start = word.ends_with(['.', '!', '?', '…', '"', '”', '。']);
        Ok(())
    }

    /// The word's letters in a row with those before it.
    fn judge_letters(&mut self, folded: &str) -> Result<(), Unsafe> {
        let letters = squash(folded);
        if letters.is_empty() {
            return Ok(());
        }
        for letter in letters.chars() {
            self.told = self.context.told.step(self.told, letter);
            if self.told.length >= ECHO {
                return Err(Unsafe::EchoesInstructions);
            }
        }
        self.tail.push_str(&letters);
        for part in folded.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()) {
            let count = part.chars().count();
            self.tail_words.push_back(count);
            self.single = if count == 1 { self.single + 1 } else { 0 };
        }
        let mut surplus = self.tail.chars().count().saturating_sub(TAIL.max(letters.chars().count()));
        while surplus > 0 {
            let Some(first) = self.tail_words.pop_front() else { break };
            let end = self.tail.char_indices().nth(first).map_or(self.tail.len(), |(at, _)| at);
            self.tail.drain(..end);
            surplus = surplus.saturating_sub(first);
        }
        if self.tail.contains(&self.context.delimiter) {
            return Err(Unsafe::EchoesInstructions);
        }
        // Nobody spells out in a summary.
        if self.single >= 8 {
            return Err(if self.context.guard.is_some() { Unsafe::PlantedText } else { Unsafe::Encoded });
        }
        if self.context.oddities.iter().any(|code| self.tail.contains(code.as_str())) {
            return Err(Unsafe::PlantedText);
        }
        let Some(guard) = &self.context.guard else { return Ok(()) };
        let mut after = letters.chars().count();
        for letter in letters.chars() {
            after -= 1;
            self.repeated = guard.hostile.step(self.repeated, letter);
            self.aside = guard.asides.step(self.aside, letter);
            let repeats = self.repeated.length >= REPEAT
                || self.aside.length >= ASIDE && self.tells(self.aside.length, after);
            if repeats {
                let length = self.repeated.length.max(self.aside.length);
                let from = self.tail.chars().count().saturating_sub(after + length);
                let run: String = self.tail.chars().skip(from).take(length).collect();
                if !guard.is_own_run(&run) {
                    return Err(Unsafe::PlantedText);
                }
            }
        }
        // Letters that stand alone in a row are a word.
        if self.single >= 4 {
            let from = self.tail.chars().count().saturating_sub(self.single);
            let spelled: String = self.tail.chars().skip(from).collect();
            if guard.refuses(&spelled, false, false) == Some(Unsafe::PlantedText) || self.single >= 7 {
                return Err(Unsafe::PlantedText);
            }
        }
        let mut starts = Vec::new();
        let mut length = 0;
        for letters in self.tail_words.iter().rev() {
            length += letters;
            starts.push(length);
        }
        let total = self.tail.chars().count();
        for (phrase, anywhere) in &guard.phrases {
            let found = if *anywhere {
                self.tail.contains(phrase.as_str())
            } else {
                self.tail.ends_with(phrase.as_str()) && starts.contains(&phrase.chars().count())
            };
            if found && phrase.chars().count() <= total {
                return Err(Unsafe::PlantedText);
            }
        }
        Ok(())
    }

    /// Whether a word that says something is among so many of the last letters, those `after`
    /// them aside.
    fn tells(&self, length: usize, after: usize) -> bool {
        let letters: Vec<char> = self.tail.chars().collect();
        let mut end = letters.len();
        let (until, from) = (end.saturating_sub(after), end.saturating_sub(after + length));
        self.tail_words.iter().rev().any(|count| {
            let start = end.saturating_sub(*count);
            let (first, last) = (start.max(from), end.min(until));
            // Of a word that goes on four letters are enough.
            let whole = first == start && last == end && *count > 1;
            let part: String = letters.get(first..last).unwrap_or_default().iter().collect();
            end = start;
            (whole || last.saturating_sub(first) >= 4) && !is_function(&part)
        })
    }

    fn accept_word(&mut self, word: &str) {
        let start = self.text.len();
        self.text.push_str(&std::mem::take(&mut self.space));
        self.characters += self.spaces + word.chars().count();
        self.spaces = 0;
        if word.contains('[') && !word.contains(']') {
            self.bracket = Some(self.characters);
        } else if word.contains(']') {
            self.bracket = None;
        }
        self.text.push_str(word);
        self.words += 1;
        self.held.push_back((squash(&fold(word)).chars().count(), start));
    }

    /// What nothing that may come can make unsafe.
    fn give(&mut self) -> String {
        if self.bracket.is_some_and(|at| self.characters - at < BRACKET) {
            return String::new();
        }
        if self.capitals && !self.small_letters && self.words < SHOUTED || self.words < 2 {
            return String::new();
        }
        let needed = self.growing();
        let mut letters: usize = self.held.iter().map(|(letters, _)| letters).sum();
        let mut count = self.held.len();
        while let Some((first, _)) = self.held.front() {
            if count <= HELD || letters - first < needed {
                break;
            }
            letters -= first;
            count -= 1;
            self.held.pop_front();
        }
        let until = self.held.front().map_or(self.text.len(), |(_, start)| *start);
        let out = self.text.get(self.given..until).unwrap_or_default().to_owned();
        self.given = self.given.max(until);
        out
    }

    /// How many of the last letters may be the beginning of something unsafe.
    fn growing(&self) -> usize {
        let long = |length: usize| if length >= GROWING { length } else { 0 };
        let mut needed = long(self.told.length)
            .max(long(self.repeated.length))
            .max(long(self.aside.length))
            .max(self.single);
        needed = needed.max(beginning(&self.tail, &self.context.delimiter));
        for code in &self.context.oddities {
            needed = needed.max(beginning(&self.tail, code));
        }
        if let Some(guard) = &self.context.guard {
            for (phrase, _) in &guard.phrases {
                needed = needed.max(beginning(&self.tail, phrase));
            }
        }
        needed
    }
}

/// The length of the longest end of `text` that is a beginning of `phrase`, in characters.
fn beginning(text: &str, phrase: &str) -> usize {
    let ends = text.char_indices().map(|(at, _)| at).filter(|at| text.len() - at <= phrase.len());
    ends.filter_map(|at| text.get(at..))
        .find(|end| phrase.starts_with(end))
        .map_or(0, |end| end.chars().count())
}

/// An object or a list in place of a summary.
fn is_markup_structure(word: &str, words: usize) -> bool {
    words == 0 && (word == "{" || word == "[{" || word.starts_with("{\"") || word == "}")
}

/// More marks on one letter than any script sets.
fn stacks_marks(word: &str) -> bool {
    let mut row = 0;
    word.chars().any(|character| {
        row = if unicode_normalization::char::is_combining_mark(character) { row + 1 } else { 0 };
        row > 4
    })
}

/// A run that is no word of any language: long and of letters and digits, or of bits or dots.
fn is_encoded(word: &str) -> bool {
    word.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '_'))).any(|run| {
        let digits = run.chars().filter(char::is_ascii_digit).count();
        let upper = run.chars().filter(char::is_ascii_uppercase).count();
        let lower = run.chars().filter(char::is_ascii_lowercase).count();
        let hexadecimal = run.len() >= 12
            && digits >= 3
            && run.chars().all(|c| c.is_ascii_hexdigit())
            && lower + upper >= 2;
        let mixed = run.len() >= 16 && upper >= 2 && lower >= 2 && digits >= 1;
        let padded = run.len() >= 8 && run.ends_with('=') && upper >= 1;
        let bits = run.len() >= 7 && run.chars().all(|c| matches!(c, '0' | '1'));
        let long = run.len() > 45 && !run.contains('/');
        hexadecimal || mixed || padded || bits || long
    })
}

/// Where the last whole sentence ends.
fn last_sentence_end(text: &str) -> Option<usize> {
    let mut end = None;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let mut past = at + character.len_utf8();
        match character {
            '。' | '！' | '？' | '।' | '۔' | '؟' => end = Some(past),
            '.' | '!' | '?' | '…' => {
                while let Some((at, closing)) = characters
                    .next_if(|(_, c)| matches!(c, '"' | '”' | '’' | '\'' | ')' | '»' | '.' | '!' | '?' | '…'))
                {
                    past = at + closing.len_utf8();
                }
                if characters.peek().is_none_or(|(_, next)| next.is_whitespace()) {
                    end = Some(past);
                }
            }
            _ => {}
        }
    }
    end
}
