//! The token estimate: the same, fast rule for every protocol. Pure.
//!
//! A token is a piece of at most six bytes of a word, together with the white space before it. On
//! English prose that gives 1.33 tokens a word, the usual rule of thumb (100 tokens are about 75
//! words, <https://help.openai.com/en/articles/4936856>); scripts of three bytes a character get a
//! token for two characters. It is an estimate: no tokenizer of a real model counts exactly so.
//!
//! The pieces of a text are also what a stream sends, one a chunk, so the first n chunks are always
//! exactly n tokens.

/// Longest piece of a word, in bytes; a single longer character does not exist in UTF-8.
const PIECE_BYTES: usize = 6;

/// The tokens of a text, in order. Put together they are the text again.
pub fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, left) = rest.split_at_checked(piece_end(rest)).unwrap_or((rest, ""));
        rest = left;
        Some(piece)
    })
}

/// How many tokens a text has.
#[must_use]
pub fn count(text: &str) -> u64 {
    split(text).map(|_| 1).sum()
}

/// Where the first piece of a text ends.
fn piece_end(text: &str) -> usize {
    let start = text.len() - text.trim_start().len();
    text.char_indices()
        .skip_while(|(at, _)| *at < start)
        .find(|(at, character)| character.is_whitespace() || at + character.len_utf8() - start > PIECE_BYTES)
        .map_or(text.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{count, split};

    #[test]
    fn words_and_long_words_are_cut_as_documented() {
        let check = |text: &str, pieces: &[&str]| {
            assert_eq!(split(text).collect::<Vec<_>>(), pieces, "{text:?}");
        };
        check("", &[]);
        check("whale", &["whale"]);
        check("the white whale", &["the", " white", " whale"]);
        check("obsession,", &["obsess", "ion,"]);
        check("  a\n\nb ", &["  a", "\n\nb", " "]);
        check("吾輩は猫", &["吾輩", "は猫"]);
        check("🐋🐋", &["🐋", "🐋"]);
    }

    #[test]
    fn english_prose_has_about_four_tokens_for_three_words() {
        let prose = "Ishmael signs on to a whaling ship whose captain, maimed on an earlier voyage, steers \
                     the crew across the oceans in pursuit of the animal that took his leg. Between storms \
                     and chases the book explains rope, oil and scripture, and asks what a man owes to those \
                     who follow him into an argument with the sea.";
        let words = prose.split_whitespace().count() as f64;
        let ratio = count(prose) as f64 / words;
        assert!((1.15..1.45).contains(&ratio), "{ratio}");
    }

    proptest! {
        #[test]
        fn pieces_put_together_are_the_text(text in "\\PC{0,80}|[ \\n\\ta-zé漢🐋]{0,60}") {
            prop_assert_eq!(split(&text).collect::<String>(), text);
        }

        #[test]
        fn the_first_pieces_are_that_many_tokens(text in "[ \\na-zé漢🐋.]{0,80}", n in 0_usize..20) {
            let first: String = split(&text).take(n).collect();
            prop_assert_eq!(count(&first), count(&text).min(n as u64));
        }

        #[test]
        fn every_word_is_at_least_one_token(text in "[ a-zA-Z.,]{0,120}") {
            prop_assert!(count(&text) >= text.split_whitespace().count() as u64);
        }
    }
}
