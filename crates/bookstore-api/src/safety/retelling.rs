//! Whether a sentence speaks of the text about the book instead of the book.
//!
//! What tells a story has no reason to name its own summary, to ask for words in it, or to turn to
//! who writes it. Such a sentence is meant for a summariser, in whatever manner it asks.

use std::sync::LazyLock;

use super::folding::words;
use super::lexicon::{ENGLISH, Phrases, listed};
use super::words::{english_share, is_english};

/// What a phrase of `words/retelling.txt` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Only,
    Telling,
    Maybe,
    Said,
    Asked,
    Writer,
}

struct Entry {
    language: usize,
    class: Class,
}

static PHRASES: LazyLock<(Phrases, Vec<Entry>)> = LazyLock::new(|| {
    let (mut phrases, mut entries) = (Vec::new(), Vec::new());
    for (language, class, phrase) in listed(include_str!("words/retelling.txt")) {
        let class = match class {
            "only" => Class::Only,
            "telling" => Class::Telling,
            "maybe" => Class::Maybe,
            "said" => Class::Said,
            "asked" => Class::Asked,
            _ => Class::Writer,
        };
        phrases.push(phrase);
        entries.push(Entry { language, class });
    }
    (Phrases::new(&phrases), entries)
});

/// Whether this folded sentence speaks of the text about the book. `alone`: one word for that text is
/// enough; in a title or a genre, which may be "Retellings" or "A Blurb Too Far", it is not.
pub(crate) fn is_about_the_telling(folded: &str, alone: bool) -> bool {
    let (phrases, entries) = &*PHRASES;
    let (known, all) = english_share(words(folded));
    let english = known * 2 >= all && all > 0;
    let found: Vec<(&Entry, usize, usize)> = phrases
        .find(folded)
        .filter_map(|(index, start, end)| Some((entries.get(index)?, start, end)))
        .filter(|(entry, start, end)| {
            // A word that is an English one as well says nothing in an English sentence.
            let phrase = folded.get(*start..*end).unwrap_or("");
            (entry.language == ENGLISH) == english
                || entry.language == ENGLISH && entry.class == Class::Only
                || english && !words(phrase).all(is_english)
        })
        .collect();
    let pair = |one: Class, other: Class| {
        found.iter().filter(|(entry, ..)| entry.class == one).any(|(entry, start, end)| {
            found.iter().any(|(with, from, until)| {
                with.class == other && with.language == entry.language && (until <= start || from >= end)
            })
        })
    };
    let two = |one: Class, others: &[Class]| others.iter().any(|other| pair(one, *other));
    alone && found.iter().any(|(entry, ..)| entry.class == Class::Only)
        || two(Class::Only, &[Class::Said, Class::Asked])
        || two(Class::Telling, &[Class::Said, Class::Writer, Class::Asked])
        || two(Class::Asked, &[Class::Said, Class::Writer, Class::Maybe])
        || pair(Class::Maybe, Class::Said)
            && pair(Class::Maybe, Class::Writer)
            && pair(Class::Said, Class::Writer)
}
