//! Credentials that were seen, and all the spellings in which they may come back.
//!
//! Owns what is remembered and how it is found again in one pass over a text. Must not know how
//! texts are decoded: spellings by escapes are not its own.

use std::collections::{BTreeSet, HashSet};
use std::ops::{Bound, Range};
use std::sync::{Arc, PoisonError, RwLock};

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Most credentials that are remembered.
const MOST: usize = 4_096;
/// Longest credential that is remembered, in bytes.
const LONGEST: usize = 16 << 10;
/// Credentials shorter than this count only where they stand as a word of their own.
const LONG: usize = 8;
/// Shorter ones are no secrets: they would take every other word out.
const SHORTEST: usize = 3;
/// Nor are those of letters alone below this length: "test", "ollama", "dummy".
const WORD: usize = 12;
/// Spellings that wait until the large automaton is built anew.
const FRESH: usize = 256;

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Known(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    credentials: HashSet<String>,
    /// All spellings of long ones, without upper case, in order.
    long: BTreeSet<Vec<u8>>,
    longest: usize,
    settled: Spellings,
    fresh: Spellings,
}

/// Some spellings, and what finds them: made when it is first needed.
#[derive(Debug, Default)]
struct Spellings {
    long: Vec<Vec<u8>>,
    short: Vec<Vec<u8>>,
    finders: Option<Arc<Finders>>,
}

#[derive(Debug)]
struct Finders {
    /// In any case.
    long: Option<AhoCorasick>,
    /// As they are.
    short: Option<AhoCorasick>,
}

impl Spellings {
    fn finders(&mut self) -> Arc<Finders> {
        let made = self.finders.get_or_insert_with(|| {
            let build = |spellings: &[Vec<u8>], any_case| {
                let mut builder = AhoCorasick::builder();
                builder.match_kind(MatchKind::LeftmostLongest).ascii_case_insensitive(any_case);
                builder.build(spellings).ok().filter(|_| !spellings.is_empty())
            };
            Arc::new(Finders { long: build(&self.long, true), short: build(&self.short, false) })
        });
        Arc::clone(made)
    }
}

impl Known {
    /// Remembers a credential. False where no more can be remembered.
    pub fn learn(&self, secret: &str) -> bool {
        let secret = secret.trim();
        let length = secret.chars().count();
        if length < SHORTEST || length < WORD && secret.chars().all(char::is_alphabetic) {
            return true;
        }
        if self.0.read().unwrap_or_else(PoisonError::into_inner).credentials.contains(secret) {
            return true;
        }
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if inner.credentials.len() >= MOST || secret.len() > LONGEST {
            return false;
        }
        if !inner.credentials.insert(secret.to_owned()) {
            return true;
        }
        inner.fresh.finders = None;
        if secret.len() < LONG {
            inner.fresh.short.push(secret.as_bytes().to_vec());
        } else {
            for spelling in spellings(secret) {
                let lower = spelling.to_ascii_lowercase();
                inner.longest = inner.longest.max(lower.len());
                if inner.long.insert(lower) {
                    inner.fresh.long.push(spelling);
                }
            }
        }
        if inner.fresh.long.len() + inner.fresh.short.len() > FRESH {
            let fresh = std::mem::take(&mut inner.fresh);
            inner.settled.long.extend(fresh.long);
            inner.settled.short.extend(fresh.short);
            inner.settled.finders = None;
        }
        true
    }

    /// Where credentials stand in a text; `long` leaves out those that count as words only. A text
    /// that was broken off may end with the beginning of one.
    pub fn places(&self, text: &str, long: bool) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        for finders in self.finders() {
            if let Some(finder) = &finders.long {
                found.extend(finder.find_iter(text).map(|place| place.range()));
            }
            if let Some(finder) = finders.short.as_ref().filter(|_| !long) {
                let places = finder.find_iter(text).map(|place| place.range());
                found.extend(places.filter(|place| is_word(text, place)));
            }
        }
        found.extend(self.beginning(text));
        found
    }

    fn finders(&self) -> [Arc<Finders>; 2] {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let (Some(settled), Some(fresh)) = (&inner.settled.finders, &inner.fresh.finders) {
            return [Arc::clone(settled), Arc::clone(fresh)];
        }
        drop(inner);
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        [inner.settled.finders(), inner.fresh.finders()]
    }

    /// The longest beginning of a credential with which a text ends.
    fn beginning(&self, text: &str) -> Option<Range<usize>> {
        let inner = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let from = text.len() - inner.longest.min(text.len());
        let end = text.as_bytes().get(from..)?.to_ascii_lowercase();
        let starts = 0..(end.len() + 1).saturating_sub(LONG);
        let start = starts.into_iter().find(|start| {
            let tail = end.get(*start..).unwrap_or_default();
            let next = inner.long.range::<[u8], _>((Bound::Included(tail), Bound::Unbounded)).next();
            next.is_some_and(|spelling| spelling.starts_with(tail))
        })?;
        Some(from + start..text.len())
    }
}

fn is_word(text: &str, place: &Range<usize>) -> bool {
    let part_of_word = |neighbour: Option<char>| neighbour.is_some_and(char::is_alphanumeric);
    !part_of_word(text.get(..place.start).and_then(|before| before.chars().next_back()))
        && !part_of_word(text.get(place.end..).and_then(|after| after.chars().next()))
}

/// A credential as it is and in Base64, by itself and within something longer.
fn spellings(secret: &str) -> Vec<Vec<u8>> {
    let mut found = vec![secret.as_bytes().to_vec()];
    for before in 0..3 {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(secret.as_bytes());
        // Letters that neighbours have a part in are no part of it.
        let (first, last) = (before + usize::from(before > 0), usize::from(bytes.len() % 3 > 0));
        for coded in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            if let Some(coded) = coded.get(first..coded.len().saturating_sub(last))
                && coded.len() >= LONG
                && !found.iter().any(|known| known == coded.as_bytes())
            {
                found.push(coded.as_bytes().to_vec());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::{Known, MOST};

    #[test]
    fn base64_is_found_whatever_stands_before_and_after() {
        let known = Known::default();
        assert!(known.learn("Xk9/zQ+Lm2pVtR7/uYw="));
        for before in ["", "u:", "us:", "use:", "user:"] {
            for after in ["", "!", "!!", "!!!"] {
                let text = STANDARD.encode(format!("{before}Xk9/zQ+Lm2pVtR7/uYw={after}"));
                let places = known.places(&text, true);
                assert!(places.iter().any(|place| place.len() >= 25), "{text} {places:?}");
            }
        }
    }

    #[test]
    fn everyday_words_are_no_secrets_and_many_keys_are_found() {
        let known = Known::default();
        for word in ["test", "ship", "ollama", "ab"] {
            assert!(known.learn(word) && known.places(word, false).is_empty());
        }
        for index in 0..MOST {
            assert!(known.learn(&format!("credential-{index}")));
        }
        assert!(!known.learn("one too many") && known.learn("credential-7") && known.learn("test"));
        assert_eq!(known.places("a CREDENTIAL-4000 b", true), vec![2..17; 1]);
        assert_eq!(known.places("it ends with credenti", true), vec![13..21; 1]);
    }
}
