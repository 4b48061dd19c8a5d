//! What a prompt is about: the title, author and nouns that an answer takes up. Pure.
//!
//! Prompts are free text. Recognised are JSON, tags (`<title>…</title>`), labelled lines
//! (`Title: …`), quoted titles and `about … by …`; otherwise the answer speaks of "this book".

use serde_json::Value;

/// Longest title or author taken over, in characters.
const LONGEST_NAME: usize = 100;
/// Most nouns taken from a prompt.
const MOST_NOUNS: usize = 16;
/// Longest part of a prompt that is looked at for nouns, in bytes.
const LONGEST_SOURCE: usize = 4_000;
/// Shortest and longest word of a noun, in characters.
const WORD_LENGTH: std::ops::RangeInclusive<usize> = 3..=14;

/// Most words of a noun with its adjectives.
const LONGEST_PHRASE: usize = 3;

/// Endings by which a word after a noun is taken for a verb or an adverb.
const VERBAL: [&str; 4] = ["s", "ed", "ing", "ly"];

/// What a noun follows.
const DETERMINERS: [&str; 9] = ["a", "an", "the", "his", "her", "its", "their", "this", "another"];

/// Words that say nothing about a book: of instructions, and of grammar.
#[rustfmt::skip] // One word a line is longer, not clearer.
const EMPTY_WORDS: [&str; 167] = [
    "about", "above", "across", "after", "again", "against", "along", "already", "also", "although", "always",
    "among", "and", "another", "answer", "are", "around", "author", "authors", "because", "become", "becomes",
    "been", "before", "behind", "being", "below", "best", "between", "beyond", "book", "books", "both",
    "brief", "but", "can", "could", "description", "did", "does", "during", "each", "end", "every", "few",
    "first", "following", "for", "from", "genre", "genres", "had", "has", "have", "her", "herself", "him",
    "himself", "his", "how", "into", "its", "itself", "just", "known", "language", "last", "less", "many",
    "may", "might", "more", "most", "much", "must", "never", "new", "next", "not", "novel", "now", "off",
    "often", "old", "once", "one", "only", "onto", "other", "others", "our", "out", "over", "own", "page",
    "paragraph", "plain", "please", "published", "reader", "readers", "same", "sentence", "sentences",
    "several", "shall", "she", "shorter", "should", "since", "some", "story", "such", "summarise",
    "summarize", "summary", "than", "that", "the", "their", "them", "themselves", "then", "there", "these",
    "they", "thing", "things", "this", "those", "three", "through", "title", "too", "toward", "towards",
    "two", "under", "until", "upon", "very", "was", "way", "were", "what", "when", "where", "which", "while",
    "who", "whom", "whose", "why", "will", "with", "within", "without", "words", "would", "write", "writes",
    "written", "year", "years", "yet", "you", "your",
];

/// What a prompt is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The title, or "This book".
    pub title: String,
    /// The author or authors.
    pub author: Option<String>,
    /// What the prompt speaks of, each with its article, none twice; may be empty.
    pub nouns: Vec<String>,
}

impl Subject {
    /// What this text is about.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let record = embedded_json(text);
        let find = |names: &[&str]| {
            record
                .as_ref()
                .and_then(|record| member(record, names))
                .or_else(|| tagged(text, names))
                .or_else(|| labelled(text, names))
        };
        let spoken = spoken_title(text);
        let title = find(&["title", "book title", "book"]).or_else(|| spoken.clone().map(|(title, _)| title));
        let author =
            find(&["authors", "author", "written by"]).or_else(|| spoken.and_then(|(_, author)| author));
        let source = find(&["description", "synopsis", "plot"]).unwrap_or_else(|| text.to_owned());
        let names = format!("{} {}", title.as_deref().unwrap_or(""), author.as_deref().unwrap_or(""));
        Self {
            title: title.as_deref().and_then(tidy).unwrap_or_else(|| "This book".to_owned()),
            author: author.as_deref().and_then(tidy),
            nouns: nouns(&source, &names.to_lowercase()),
        }
    }
}

/// The first JSON object in a text.
fn embedded_json(text: &str) -> Option<Value> {
    let start = text.find('{')?;
    let mut values = serde_json::Deserializer::from_str(text.get(start..)?).into_iter::<Value>();
    values.next()?.ok()
}

/// A member's text: a string, or the strings or names of a list.
fn member(record: &Value, names: &[&str]) -> Option<String> {
    let record = record.get("book").filter(|book| book.is_object()).unwrap_or(record);
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Object(_) => value.get("name").and_then(Value::as_str).map(str::to_owned),
        _ => None,
    };
    names.iter().find_map(|name| match record.get(*name)? {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().filter_map(text).collect();
            (!items.is_empty()).then(|| items.join(", "))
        }
        value => text(value),
    })
}

/// What stands in `<name>…</name>`, on one line or several, without tags of its own.
fn tagged(text: &str, names: &[&str]) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    names.iter().find_map(|name| {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let start = lower.find(&open)? + open.len();
        let end = start + lower.get(start..)?.find(&close)?;
        let inner = text.get(start..end)?;
        // `<book>` may enclose labelled lines rather than a title.
        (!inner.contains('<') && !inner.trim().contains('\n')).then(|| inner.to_owned())
    })
}

/// What follows `Name:` on a line.
fn labelled(text: &str, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| {
        text.lines().find_map(|line| {
            let (label, value) = line.split_once(':')?;
            let label = label.trim_matches(|character: char| !character.is_alphanumeric());
            let value = value.trim_matches(['*', ' ', '\t']);
            (label.eq_ignore_ascii_case(name) && !value.is_empty()).then(|| value.to_owned())
        })
    })
}

/// The title, and its author if one follows, of a sentence: in quotes, or after "about".
fn spoken_title(text: &str) -> Option<(String, Option<String>)> {
    let (title, rest) = quoted(text).or_else(|| after_about(text))?;
    let author = rest.trim_start().strip_prefix("by ").and_then(|names| {
        let names: Vec<&str> = names
            .split_inclusive([' ', ',', '.', '?', '!', '\n'])
            .take_while(|word| word.starts_with(char::is_uppercase))
            .take(4)
            .collect();
        (!names.is_empty()).then(|| names.concat())
    });
    Some((title, author))
}

fn quoted(text: &str) -> Option<(String, &str)> {
    [('"', '"'), ('“', '”'), ('«', '»')].into_iter().find_map(|(open, close)| {
        let (_, after) = text.split_once(open)?;
        let (inner, rest) = after.split_once(close)?;
        let length = inner.chars().count();
        ((1..=LONGEST_NAME).contains(&length) && !inner.contains('\n')).then(|| (inner.to_owned(), rest))
    })
}

fn after_about(text: &str) -> Option<(String, &str)> {
    let (_, after) = text.split_once(" about ")?;
    let end = [" by ", ".", "?", "!", "\n", ","].iter().filter_map(|end| after.find(end)).min();
    let (title, rest) = after.split_at_checked(end.unwrap_or(after.len()))?;
    let length = title.chars().count();
    ((1..=60).contains(&length) && title.starts_with(char::is_uppercase)).then(|| (title.to_owned(), rest))
}

/// A name fit for a sentence: one line of bounded length without markup, or nothing.
fn tidy(name: &str) -> Option<String> {
    let kept: String = name
        .chars()
        .map(|character| if character.is_whitespace() { ' ' } else { character })
        .filter(|character| !character.is_control() && !"<>{}[]`*_\\".contains(*character))
        .collect();
    let one_line = kept.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let short: String = one_line.chars().take(LONGEST_NAME).collect();
    let short = short.trim_matches(|character: char| "\"“”«».,;: ".contains(character));
    (!short.is_empty()).then(|| short.to_owned())
}

/// What a text speaks of, each with its article, in the order of the text: the word after a
/// determiner, with those after it that may be its noun. No grammar, but close enough to read well.
fn nouns(source: &str, names: &str) -> Vec<String> {
    let mut end = source.len().min(LONGEST_SOURCE);
    while !source.is_char_boundary(end) {
        end -= 1;
    }
    let mut nouns: Vec<String> = Vec::new();
    let mut words = source.get(..end).unwrap_or("").split_whitespace().peekable();
    while let Some(word) = words.next() {
        if !DETERMINERS.contains(&word.to_lowercase().as_str()) {
            continue;
        }
        let Some((first, ends)) = words.peek().and_then(|word| noun(word)) else { continue };
        words.next();
        let mut phrase = vec![first];
        let mut open = !ends;
        while open && phrase.len() < LONGEST_PHRASE {
            let nominal = |(word, _): &(&str, bool)| !VERBAL.iter().any(|ending| word.ends_with(ending));
            let Some((word, ends)) = words.peek().and_then(|word| noun(word)).filter(nominal) else { break };
            words.next();
            phrase.push(word);
            open = !ends;
        }
        let named = phrase.iter().any(|word| names.contains(word));
        let noun = format!("the {}", phrase.join(" "));
        if !named && !nouns.contains(&noun) {
            nouns.push(noun);
            if nouns.len() == MOST_NOUNS {
                break;
            }
        }
    }
    nouns
}

/// A word that may be part of a noun, and whether something ends after it.
fn noun(raw: &str) -> Option<(&str, bool)> {
    let word = raw.trim_end_matches(|character: char| !character.is_alphanumeric());
    // A capital marks a name or the beginning of a sentence; neither reads well elsewhere.
    let plain = word.chars().all(char::is_lowercase) && WORD_LENGTH.contains(&word.chars().count());
    (plain && !EMPTY_WORDS.contains(&word)).then_some((word, word.len() < raw.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{EMPTY_WORDS, LONGEST_NAME, Subject};

    fn check(text: &str, title: &str, author: Option<&str>) {
        let subject = Subject::of(text);
        assert_eq!((subject.title.as_str(), subject.author.as_deref()), (title, author), "{text:?}");
    }

    #[test]
    fn titles_and_authors_are_found_however_they_are_given() {
        check("Title: Dune\nAuthor: Frank Herbert\nSummarise it.", "Dune", Some("Frank Herbert"));
        check("<book>\nTitle: Dune: Messiah\nAuthors: A, B\n</book>", "Dune: Messiah", Some("A, B"));
        check("- **Title:** *Dune*\n- **Author:** Frank Herbert", "Dune", Some("Frank Herbert"));
        check("<TITLE>Dune</TITLE><author>Frank Herbert</author>", "Dune", Some("Frank Herbert"));
        check(
            "Book: {\"title\":\"Dune\",\"authors\":[{\"name\":\"Frank Herbert\"}]}",
            "Dune",
            Some("Frank Herbert"),
        );
        check("{\"book\":{\"title\":\"Dune\",\"authors\":[\"F\",\"G\"]}} Go.", "Dune", Some("F, G"));
        check("Tell me about \"The Left Hand of Darkness\".", "The Left Hand of Darkness", None);
        check("Summarise “Dune” by Frank Herbert in two sentences.", "Dune", Some("Frank Herbert"));
        check("hello about Dune", "Dune", None);
        check("What is about Dune Messiah by Frank Herbert, please?", "Dune Messiah", Some("Frank Herbert"));
        check("Hello there", "This book", None);
        check("", "This book", None);
    }

    #[test]
    fn nouns_come_from_the_description_with_their_adjectives() {
        let check = |text: &str, expected: &[&str]| assert_eq!(Subject::of(text).nouns, expected, "{text}");
        check(
            "Title: The Sea\nDescription: A sailor joins a whaling ship whose captain hunts the white whale \
             that maimed him, and watches his obsession swallow the crew. A sailor! The sea, the Man.\nWrite \
             the summary of this book for an audience.",
            &["the sailor", "the whaling ship", "the white whale", "the obsession swallow", "the crew"],
        );
        check(
            "In a small southern town, a young nobleman learns of the spice.",
            &["the small southern town", "the young nobleman", "the spice"],
        );
        check("Please write a brief summary of the book in this language.", &[]);
    }

    #[test]
    fn the_list_of_empty_words_is_sorted() {
        assert!(EMPTY_WORDS.is_sorted());
    }

    proptest! {
        #[test]
        fn nothing_in_a_prompt_breaks_out_of_a_sentence(text in "(title:|<title>|\"|\\{|about |by )?\\PC{0,300}") {
            let subject = Subject::of(&text);
            let names = [Some(subject.title), subject.author].into_iter().flatten();
            for name in names {
                prop_assert!(name.chars().count() <= LONGEST_NAME && !name.is_empty());
                let harmless = |character: char| !character.is_control() && !"<>{}".contains(character);
                prop_assert!(name.chars().all(harmless), "{}", name);
            }
        }
    }
}
