//! The English words that a summary may use although the book does not: what is ordinary cannot be
//! told from what was planted, and what is not ordinary can.

use std::collections::HashSet;
use std::sync::LazyLock;

type Words = HashSet<&'static str>;

static COMMON: LazyLock<Words> = LazyLock::new(|| load(include_str!("words/common.txt")));
static ENGLISH: LazyLock<Words> = LazyLock::new(|| load(include_str!("words/english.txt")));
static TELLING: LazyLock<Words> = LazyLock::new(|| load(include_str!("words/telling.txt")));
static FUNCTION: LazyLock<Words> = LazyLock::new(|| {
    load(
        "a about above after again all also always am an and another any are as at be because been before being \
         below between both but by can come could did do does down each even every few first for from get go had \
         has have he her here him his how i if in into is it its just last least less let like made make many may \
         me might more most much must my never new no nor not now of off on once one only or other our out over own \
         part people rather same see seen shall she should since so some something still such than that the their \
         them then there these they thing this those through to too two under until up upon us very was way we well \
         were what when where whether which while who whom whose why will with within without would yet you your \
         book books story stories novel novels author authors reader readers title read reading write writing written \
         wrote summary text word words sentence paragraph work works life world man woman men women time year years",
    )
});

fn load(list: &'static str) -> Words {
    list.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace).collect()
}

/// A word that says nothing by itself, or that every text about a book needs.
pub(crate) fn is_function(word: &str) -> bool {
    FUNCTION.contains(word)
}

/// A word so common that a summary may have it whatever else the book says.
pub(crate) fn is_common(word: &str) -> bool {
    has(word, |word| COMMON.contains(word) || TELLING.contains(word))
}

/// A word of the language.
pub(crate) fn is_english(word: &str) -> bool {
    let listed = |word: &str| COMMON.contains(word) || TELLING.contains(word) || ENGLISH.contains(word);
    // Joined of two, as "bookbinder" and "grandmasters" are.
    has(word, listed)
        || word.is_ascii()
            && word.len() >= 8
            && (4..=word.len() - 4).any(|at| {
                word.split_at_checked(at).is_some_and(|(head, tail)| listed(head) && has(tail, listed))
            })
}

fn has(word: &str, known: impl Fn(&str) -> bool) -> bool {
    known(word) || stems(word).any(|stem| known(&stem) || stems(&stem).any(|stem| known(&stem)))
}

/// What the word may be an inflection of.
pub(crate) fn stems(word: &str) -> impl Iterator<Item = String> {
    const ENDINGS: [(&str, &str); 14] = [
        ("s", ""),
        ("es", ""),
        ("ies", "y"),
        ("ed", ""),
        ("ed", "e"),
        ("ied", "y"),
        ("ing", ""),
        ("ing", "e"),
        ("ly", ""),
        ("er", ""),
        ("er", "e"),
        ("ness", ""),
        ("like", ""),
        ("less", ""),
    ];
    ENDINGS.iter().filter_map(move |(ending, instead)| {
        let stem = word.strip_suffix(ending)?;
        (stem.len() >= 3).then(|| format!("{stem}{instead}"))
    })
}

/// How much of a text is English: words it knows, of words of three letters and more.
pub(crate) fn english_share<'text>(words: impl Iterator<Item = &'text str>) -> (usize, usize) {
    let mut share = (0, 0);
    for word in words.filter(|word| word.chars().count() >= 3 && word.chars().all(char::is_alphabetic)) {
        share.0 += usize::from(is_english(word));
        share.1 += 1;
    }
    share
}

#[cfg(test)]
mod tests {
    use super::{is_common, is_english, is_function};

    #[test]
    fn ordinary_words_are_known_and_markers_are_not() {
        for word in ["lighthouse", "whales", "married", "hoping", "dystopian", "nasa", "norwegian", "colour"]
        {
            assert!(is_english(word), "{word}");
        }
        for word in ["pwned", "xyzzy", "zorblax", "istruzioni", "qwrtz"] {
            assert!(!is_english(word), "{word}");
        }
        assert!(is_common("novels") && !is_common("banana") && is_function("the") && !is_function("whale"));
    }
}
