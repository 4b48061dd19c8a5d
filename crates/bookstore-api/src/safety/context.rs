//! What an answer is judged by: what the book says, what speaks to the model in it, and what the
//! model was told.

use std::collections::HashSet;

use llm::Prompt;

use super::Unsafe;
use super::decoding::{shifted, unleet};
use super::folding::{fold, squash, words};
use super::links::{addresses, without_addresses};
use super::oddness::{bare, is_code, is_odd, payloads};
use super::reading::{Reading, islands};
use super::runs::Runs;
use super::words::{is_common, is_english, is_function, stems};
use crate::book::Book;
use crate::prompt;

/// Most phrases that are looked for.
const MOST_PHRASES: usize = 200;

/// What an answer is judged by.
#[derive(Debug)]
pub struct Context {
    /// What the model was told, as letters.
    pub(super) told: Runs,
    /// What delimits the book in the prompt: in no answer.
    pub(super) delimiter: String,
    /// Hosts that are in the title or an author's name: the only addresses that an answer may have.
    /// A summary needs no others, and who could write one into a book could send its readers anywhere.
    pub(super) hosts: HashSet<String>,
    /// Words of the whole book, whatever they do there.
    pub(super) book_words: HashSet<String>,
    /// Their letters, in a row.
    pub(super) book_letters: String,
    /// Odd tokens of its description, as letters: in no answer, unless the title has them.
    pub(super) oddities: Vec<String>,
    /// Pictures in its title: no other stands in an answer.
    pub(super) pictures: HashSet<char>,
    /// What more there is to look for when the book's text speaks to the model.
    pub(super) guard: Option<Guard>,
}

/// What only answers about a book whose text speaks to the model have to stand up to.
#[derive(Debug)]
pub(super) struct Guard {
    /// Words of what tells of the book.
    own: HashSet<String>,
    /// Their letters, without spaces.
    own_letters: Runs,
    /// Signs in what tells of the book.
    signs: HashSet<char>,
    /// What speaks to the model, and its decodings, as letters.
    pub(super) hostile: Runs,
    hostile_words: HashSet<String>,
    /// What speaks of the text about the book, as letters: fewer of them in a row are refused.
    pub(super) asides: Runs,
    /// Whether every word has to be the book's or an ordinary one: something speaks to the model in
    /// another manner.
    strict: bool,
    /// Whether the book's text is English; if not, an answer may have names that it has not.
    english: bool,
    /// Words that the model was told to say.
    payload: HashSet<String>,
    /// Phrases that the model was told to say, as letters; true: wherever they stand.
    pub(super) phrases: Vec<(String, bool)>,
}

impl Context {
    /// For the answer to `prompt` about `book`.
    #[must_use]
    pub fn of(book: &Book, prompt: &Prompt) -> Self {
        let reading = Reading::of(book);
        let mut told = squash(&fold(&prompt.system));
        told.push('\u{1}');
        told.push_str(&squash(&fold(prompt::question(prompt))));
        let mut book_words = HashSet::new();
        for text in [Some(book.title.as_str()), book.description.as_deref()].into_iter().flatten() {
            book_words.extend(words(&fold(text)).map(str::to_owned));
        }
        for name in book.authors.iter().map(|author| &author.name).chain(&book.genres) {
            book_words.extend(words(&fold(name)).map(str::to_owned));
        }
        let book_letters = squash(&fold(&format!(
            "{} {} {} {}",
            book.title,
            book.authors.iter().map(|author| author.name.as_str()).collect::<Vec<_>>().join(" "),
            book.genres.join(" "),
            book.description.as_deref().unwrap_or_default()
        )));
        let titled = squash(&fold(&book.title));
        let names = book.authors.iter().map(|author| author.name.as_str());
        let texts = book
            .description
            .as_deref()
            .into_iter()
            .chain(names.clone())
            .chain(book.genres.iter().map(String::as_str));
        let oddities = texts
            .flat_map(str::split_whitespace)
            .filter(|token| is_code(token))
            .map(|token| squash(&fold(bare(token))))
            .filter(|letters| !titled.contains(letters.as_str()))
            .take(MOST_PHRASES)
            .collect();
        Self {
            oddities,
            pictures: book.title.chars().filter(|c| is_picture(*c)).collect(),
            told: Runs::of(&told),
            delimiter: prompt::delimiter(book),
            hosts: names
                .chain([book.title.as_str()])
                .flat_map(addresses)
                .filter(|address| !address.contains(['/', '@', ':', '?', '#']))
                .collect(),
            book_words,
            book_letters,
            guard: reading.is_guarded().then(|| Guard::of(book, &reading)),
        }
    }

    /// Whether the book's text speaks to the model.
    #[must_use]
    pub const fn is_guarded(&self) -> bool {
        self.guard.is_some()
    }
}

impl Guard {
    fn of(book: &Book, reading: &Reading) -> Self {
        let names = [reading.authors.join(", "), reading.genres.join(", ")];
        let mut own: HashSet<String> = words(&fold(&reading.description)).map(str::to_owned).collect();
        let sure: HashSet<String> = words(&fold(&format!("{}, {}", reading.title, names.join(", "))))
            .map(str::to_owned)
            .chain(book.published_year.map(|year| year.unsigned_abs().to_string()))
            .collect();
        let mut payload = HashSet::new();
        let mut phrases: Vec<(String, bool)> = Vec::new();
        let mut hostile = String::new();
        let mut hostile_words = HashSet::new();
        for text in &reading.hostile {
            let doubted = reading.doubted.contains(text);
            if doubted {
                // What it wants said is looked for all the same; its other words may be said.
                for token in text.split_whitespace().filter(|token| !is_odd(token)) {
                    own.extend(words(&fold(token)).map(str::to_owned));
                }
            }
            // An aside has no addresses that an answer could; and the words of an English phrase in it
            // may be those of a translation: the phrase is looked for whole.
            let mut text = text.clone();
            if reading.asides.contains(&text) {
                text = without_addresses(&text);
                let islands = if reading.english { Vec::new() } else { islands(&text) };
                for island in islands.iter().filter(|island| island.contains(' ')) {
                    text = text.replace(island.as_str(), "");
                }
            }
            let text = text.as_str();
            for said in payloads(text) {
                let odd = is_odd(&said) || said.chars().any(char::is_numeric);
                let parts: Vec<&str> = words(&said).collect();
                // What no prose has was put there to be repeated, wherever else it stands.
                if parts.len() == 1 || odd {
                    for part in parts.iter().filter(|part| !is_function(part) && part.chars().count() > 1) {
                        let unusual = odd || !is_english(part);
                        if !sure.contains(*part)
                            && (unusual || !own.contains(*part))
                            && !is_own_by_stem(part, &own, &sure)
                        {
                            own.remove(*part);
                            payload.insert((*part).to_owned());
                        }
                    }
                }
                let letters = squash(&said);
                let says = parts.iter().any(|part| !is_function(part));
                if says && letters.chars().count() >= 5 && phrases.len() < MOST_PHRASES {
                    let anywhere = (odd || !parts.iter().all(|part| is_english(part)))
                        && letters.chars().count() >= if odd { 5 } else { 8 };
                    phrases.push((letters, anywhere));
                }
            }
            for token in text.split_whitespace().filter(|token| is_odd(token)) {
                for part in words(&fold(token)).filter(|part| !sure.contains(*part) && !is_function(part)) {
                    own.remove(part);
                }
            }
            if doubted {
                continue;
            }
            let folded = fold(text);
            hostile_words.extend(words(&folded).map(str::to_owned));
            let letters = squash(&folded);
            let readings = [
                letters.chars().rev().collect(),
                shifted(&letters, 13),
                squash(&unleet(&folded)),
                text.lines().filter_map(|line| fold(line).chars().find(|c| c.is_alphanumeric())).collect(),
                words(&folded).filter_map(|word| word.chars().next()).collect::<String>(),
            ];
            for reading in std::iter::once(letters).chain(readings) {
                hostile.push_str(&reading);
                hostile.push('\u{1}');
            }
        }
        // What tells of the book in odd tokens is not taken on trust beside such text.
        for token in reading.description.split_whitespace().filter(|token| is_odd(token)) {
            for part in words(&fold(token)).filter(|part| !sure.contains(*part) && !is_english(part)) {
                own.remove(part);
            }
        }
        let told = format!("{} {} {}", reading.title, names.join(" "), reading.description);
        let own_letters = squash(&fold(&told));
        phrases.retain(|(phrase, _)| !own_letters.contains(phrase.as_str()));
        own.extend(sure);
        let mut asides = String::new();
        for text in &reading.asides {
            asides.push_str(&squash(&fold(text)));
            asides.push('\u{1}');
        }
        // First letters of sentences may make a word.
        let description = book.description.as_deref().unwrap_or_default();
        for ends in [&['.', '!', '?', '\n'][..], &['.', '!', '?', '\n', ',', ';', ':']] {
            let initials = description
                .split(ends)
                .filter_map(|sentence| fold(sentence).chars().find(|c| c.is_alphanumeric()));
            hostile.extend(initials);
            hostile.push('\u{1}');
        }
        Self {
            asides: Runs::of(&asides),
            strict: reading.english && reading.hostile.len() > reading.asides.len(),
            english: reading.english,
            own,
            own_letters: Runs::of(&own_letters),
            signs: told.chars().filter(|c| is_sign(*c)).collect(),
            hostile: Runs::of(&hostile),
            hostile_words,
            payload,
            phrases,
        }
    }

    /// Why this folded word may not stand in the answer. `capitals`: it was written in capitals; `name`:
    /// as a name is.
    pub(super) fn refuses(&self, word: &str, capitals: bool, name: bool) -> Option<Unsafe> {
        let length = word.chars().count();
        if self.payload.contains(word) || self.payload.iter().any(|payload| hides(payload, word)) {
            return Some(Unsafe::PlantedText);
        }
        if self.own.contains(word) || stems(word).any(|stem| self.own.contains(&stem)) {
            return None;
        }
        if word.chars().all(char::is_numeric) {
            let planted = length >= 3 && self.hostile.contain(word);
            return if planted {
                Some(Unsafe::PlantedText)
            } else {
                (length > 4 && self.strict).then_some(Unsafe::Unfounded)
            };
        }
        if !is_common(word) {
            let known =
                if length >= 4 { self.hostile.contain(word) } else { self.hostile_words.contains(word) };
            let stem = stems(word)
                .any(|stem| stem.len() >= 4 && self.hostile_words.contains(&stem) && !is_common(&stem));
            let inner: String = word.chars().skip(1).take(length.saturating_sub(2)).collect();
            let disguised = length >= 6
                && !is_english(word)
                && !is_common(&inner)
                && self.hostile.contain(&inner)
                && !self.own_letters.contain(&inner);
            if (known || stem || disguised) && !is_function(word) {
                return Some(Unsafe::PlantedText);
            }
        }
        if is_english(word) || (length == 1 && !capitals) || matches!(word, "i" | "a") {
            return None;
        }
        // A longer form of one of the book's own words.
        let related = length >= 6
            && word.get(..6).is_some_and(|head| {
                self.own.iter().any(|own| own.starts_with(head) && own.len().abs_diff(word.len()) <= 4)
            });
        if related || length == 1 || (name && !self.english) || !(self.strict || capitals) {
            None
        } else {
            Some(Unsafe::Unfounded)
        }
    }

    /// Whether a sign that is no punctuation stands in what tells of the book.
    pub(super) fn refuses_sign(&self, sign: char) -> bool {
        is_sign(sign) && !self.signs.contains(&sign)
    }

    /// Whether letters in a row are the book's own.
    pub(super) fn is_own_run(&self, letters: &str) -> bool {
        self.own_letters.contain(letters)
    }
}

fn is_own_by_stem(word: &str, own: &HashSet<String>, sure: &HashSet<String>) -> bool {
    is_english(word) && stems(word).any(|stem| own.contains(&stem) || sure.contains(&stem))
}

/// Whether a payload that is no ordinary word stands inside another word.
fn hides(payload: &str, word: &str) -> bool {
    payload.len() >= 5 && payload.len() < word.len() && word.contains(payload) && !is_english(word)
}

/// A sign that is a picture.
pub(super) const fn is_picture(character: char) -> bool {
    matches!(character, '\u{2600}'..='\u{27bf}' | '\u{1f000}'..='\u{1faff}')
}

/// A sign that prose has no use for: pictures, arrows, boxes.
const fn is_sign(character: char) -> bool {
    matches!(character, '\u{2190}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}' | '\u{a9}' | '\u{ae}' | '\u{203b}'
        | '\u{203c}' | '\u{2049}' | '\u{2122}' | '\u{3030}' | '~' | '^' | '|' | '=' | '\\' | '{' | '}' | '<' | '>' | '¤' | '§' | '¶')
}
