//! Words: how text is cut into them, how a search is understood, and how well a book fits it. Pure.
//!
//! Both stores index and find these words, so both find the same books.

use serde::Serialize;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Most words of a search that count.
const MOST_WORDS: usize = 16;
/// Longest word in bytes that is indexed or looked for; the rest of it is cut off.
const LONGEST_WORD: usize = 64;

/// A search: all of these words, the last as a beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Search {
    /// Whole words.
    pub whole: Vec<String>,
    /// The beginning of a word; empty when the search has no word at all.
    pub beginning: String,
}

impl Search {
    /// Understands a text.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut whole: Vec<String> = words(text).take(MOST_WORDS).collect();
        let beginning = whole.pop().unwrap_or_default();
        whole.sort_unstable();
        whole.dedup();
        Self { whole, beginning }
    }

    /// Whether there is nothing to look for.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.beginning.is_empty()
    }

    /// How well a book fits that has these words in its title and its authors' names: two for each
    /// word found in the title, one for each in a name. Depends on the book alone, so that pages stay
    /// stable while others write.
    #[must_use]
    pub fn score<'a>(
        &self,
        title: impl Iterator<Item = &'a str> + Clone,
        names: impl Iterator<Item = &'a str> + Clone,
    ) -> u32 {
        let rate = |wanted: &dyn Fn(&str) -> bool| {
            2 * u32::from(title.clone().any(wanted)) + u32::from(names.clone().any(wanted))
        };
        let whole: u32 = self.whole.iter().map(|word| rate(&|other| other == word)).sum();
        whole + rate(&|other| other.starts_with(&self.beginning))
    }
}

/// The words of a text: letters and digits in a row, without case and marks.
pub fn words(text: &str) -> impl Iterator<Item = String> {
    let folded = fold(text);
    let found: Vec<String> = folded
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| word[..word.floor_char_boundary(LONGEST_WORD)].to_owned())
        .collect();
    found.into_iter()
}

/// What a text is sorted by: without case and marks, spaces folded, at most 200 characters.
#[must_use]
pub fn sort_key(text: &str) -> String {
    let folded = fold(text);
    let mut key = String::with_capacity(folded.len());
    for word in folded.split_whitespace() {
        if !key.is_empty() {
            key.push(' ');
        }
        key.push_str(word);
    }
    key.chars().take(200).collect()
}

fn fold(text: &str) -> String {
    text.nfkd().filter(|character| !is_combining_mark(*character)).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::{Search, sort_key, words};

    #[test]
    fn words_have_no_case_marks_or_signs() {
        assert_eq!(
            words("Die Brüder Karamasow (1880)").collect::<Vec<_>>(),
            ["die", "bruder", "karamasow", "1880"]
        );
        assert_eq!(words("  -*\"() ").count(), 0);
        assert_eq!(words("戦争と平和").collect::<Vec<_>>(), ["戦争と平和"]);
        assert_eq!(words(&"é".repeat(100)).next().map(|word| word.len()), Some(64));
    }

    #[test]
    fn the_last_word_is_a_beginning() {
        assert_eq!(
            Search::parse("Moby di"),
            Search { whole: vec!["moby".to_owned()], beginning: "di".to_owned() }
        );
        assert!(Search::parse("?!").is_empty());
        assert_eq!(Search::parse(&"a b ".repeat(100)).whole.len(), 2);
    }

    #[test]
    fn titles_count_for_more_than_names() {
        let score = |text: &str| {
            Search::parse(text).score(["moby", "dick"].into_iter(), ["herman", "melville"].into_iter())
        };
        assert_eq!((score("moby dick"), score("moby melv"), score("melville"), score("whale")), (4, 3, 1, 0));
    }

    #[test]
    fn sort_keys_ignore_case_and_marks() {
        assert_eq!(sort_key("  Élan   VITAL "), "elan vital");
    }
}
