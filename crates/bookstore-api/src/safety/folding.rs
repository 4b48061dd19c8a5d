//! Text as it is compared: what cannot be seen is gone, and what looks alike is alike.
//!
//! Knows Unicode; must not know what a text is about.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// A control character that plain text has no use for: all but line ends and tabs, and the two
/// separators that end lines without looking like it.
pub(crate) const fn is_control(character: char) -> bool {
    matches!(character, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        | '\u{2028}' | '\u{2029}')
}

/// A character that sets or turns the direction of text (UAX #9).
pub(crate) const fn is_bidirectional(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A character that nobody sees: of no width, a filler, a tag, a selector of variants that no
/// ordinary text has, or of private use.
pub(crate) const fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0d}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}' | '\u{e000}'..='\u{f8ff}'
        | '\u{f0000}'..='\u{10ffff}')
}

/// The text without what cannot be seen; control characters become spaces.
pub(crate) fn visible(text: &str) -> String {
    text.chars()
        .filter(|character| !is_bidirectional(*character) && !is_invisible(*character))
        .map(|character| if is_control(character) { ' ' } else { character })
        .collect()
}

/// The text for comparing: compatibility forms, accents, case and look-alikes taken away.
pub(crate) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for character in text.chars() {
        // Most of most texts.
        if character.is_ascii() {
            folded.push(character.to_ascii_lowercase());
            continue;
        }
        for part in std::iter::once(character).nfkd() {
            if is_combining_mark(part) || is_invisible(part) || is_bidirectional(part) {
                continue;
            }
            for lower in part.to_lowercase() {
                // Lower case may bring marks of its own (İ).
                if !is_combining_mark(lower) {
                    look_alike(lower, &mut folded);
                }
            }
        }
    }
    folded
}

/// The letters and digits of a folded text.
pub(crate) fn squash(folded: &str) -> String {
    folded.chars().filter(|character| character.is_alphanumeric()).collect()
}

/// The words of a folded text: runs of letters and digits. What follows an apostrophe and is
/// short belongs to the word before and is dropped.
pub(crate) fn words(folded: &str) -> impl Iterator<Item = &str> {
    folded.split(|character: char| !character.is_alphanumeric() && !is_apostrophe(character)).flat_map(
        |run| {
            let run = match run.rfind(is_apostrophe) {
                Some(at) if at > 0 && run.len() - at <= 5 => run.get(..at).unwrap_or(run),
                _ => run,
            };
            run.split(is_apostrophe).filter(|word| !word.is_empty())
        },
    )
}

pub(crate) const fn is_apostrophe(character: char) -> bool {
    matches!(character, '\'' | '’' | '‘' | 'ʼ' | '`' | '´')
}

/// Whether the word mixes Latin letters with Cyrillic or Greek ones, as no word does that was not
/// made to look like another.
pub(crate) fn is_mixed(word: &str) -> bool {
    let latin = word.chars().filter(|character| is_latin(*character)).count();
    let other =
        word.chars().filter(|character| matches!(character, '\u{370}'..='\u{3ff}' | '\u{400}'..='\u{52f}'));
    // A single Greek letter and a Latin one may be a unit or a formula.
    latin + other.clone().count() > 2 && latin > 0 && other.count() > 0
}

pub(crate) fn is_latin(character: char) -> bool {
    character.is_ascii_alphabetic() || matches!(character, 'À'..='ɏ')
}

/// Writes the Latin letters that this one looks like, or itself.
fn look_alike(character: char, out: &mut String) {
    let latin = match character {
        'а' | 'α' | 'ɑ' | 'ɐ' | 'ᴀ' | 'ꭺ' => "a",
        'ʙ' | 'β' | 'ᏼ' => "b",
        'с' | 'ϲ' | 'ᴄ' | 'ɔ' | 'ⅽ' => "c",
        'ԁ' | 'ᴅ' | 'đ' | 'ɗ' | 'ð' => "d",
        'е' | 'ε' | 'ǝ' | 'ᴇ' | 'ɛ' | 'ә' => "e",
        'ꜰ' | 'ɟ' | 'ƒ' => "f",
        'ɡ' | 'ɢ' | 'ƃ' | 'ց' => "g",
        'һ' | 'ʜ' | 'ɥ' | 'հ' | 'н' => "h",
        'і' | 'ι' | 'ı' | 'ɪ' | 'ᴉ' | 'ɩ' => "i",
        'ј' | 'ᴊ' | 'ɾ' => "j",
        'к' | 'κ' | 'ᴋ' | 'ʞ' => "k",
        'ʟ' | 'ł' | 'ӏ' | 'ǀ' => "l",
        'м' | 'ᴍ' | 'ɯ' => "m",
        'ɴ' | 'η' | 'ո' => "n",
        'о' | 'ο' | 'ᴏ' | 'ø' | 'օ' | 'σ' => "o",
        'р' | 'ρ' | 'ᴘ' | 'þ' => "p",
        'ԛ' => "q",
        'ʀ' | 'ɹ' => "r",
        'ѕ' | 'ꜱ' => "s",
        'т' | 'τ' | 'ᴛ' | 'ʇ' => "t",
        'υ' | 'ᴜ' | 'ս' | 'ʋ' => "u",
        'ν' | 'ᴠ' | 'ѵ' | 'ʌ' => "v",
        'ԝ' | 'ω' | 'ᴡ' | 'ʍ' => "w",
        'х' | 'χ' => "x",
        'у' | 'γ' | 'ʏ' | 'ʎ' => "y",
        'ᴢ' => "z",
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        '。' | '．' | '｡' | '․' => ".",
        '⁄' | '∕' | '／' => "/",
        '：' | '∶' | '꞉' => ":",
        '＠' => "@",
        '‹' | '＜' | '〈' | '⟨' | '❮' | '﹤' => "<",
        '›' | '＞' | '〉' | '⟩' | '❯' | '﹥' => ">",
        '“' | '”' | '„' | '«' | '»' | '「' | '」' | '『' | '』' | '‟' | '〝' | '〞' => "\"",
        '–' | '—' | '‐' | '‑' | '−' | '―' => "-",
        '…' => "...",
        _ => {
            match boxed_letter(character) {
                Some(letter) => out.push(letter),
                None => out.push(character),
            }
            return;
        }
    };
    out.push_str(latin);
}

/// Letters in boxes and circles that have no compatibility form, and those that flags are made of.
fn boxed_letter(character: char) -> Option<char> {
    let code = u32::from(character);
    let offset = match code {
        0x1F150..=0x1F169 => code - 0x1F150,
        0x1F170..=0x1F189 => code - 0x1F170,
        0x1F1E6..=0x1F1FF => code - 0x1F1E6,
        _ => return None,
    };
    char::from_u32(u32::from('a') + offset)
}

#[cfg(test)]
mod tests {
    use super::{fold, is_mixed, squash, visible, words};

    #[test]
    fn what_looks_alike_is_alike() {
        for disguised in [
            "Ignore",
            "ＩＧＮＯＲＥ",
            "Іgnоrе",
            "𝓘𝓰𝓷𝓸𝓻𝓮",
            "i\u{200b}g\u{ad}nore",
            "ⓘⓖⓝⓞⓡⓔ",
            "ɪɢɴᴏʀᴇ",
            "🇮🇬🇳🇴🇷🇪",
            "Ïgnöré",
        ] {
            assert_eq!(fold(disguised), "ignore", "{disguised}");
        }
        assert_eq!(visible("a\u{202e}b\u{e0041}c\u{7}"), "abc ");
        assert_eq!(squash(&fold("P W-N.E_D 42")), "pwned42");
    }

    #[test]
    fn words_are_runs_of_letters() {
        let folded = fold("Don't stop: the king’s 3 O'Brien-like men!");
        assert_eq!(
            words(&folded).collect::<Vec<_>>(),
            ["don", "stop", "the", "king", "3", "o", "brien", "like", "men"]
        );
    }

    #[test]
    fn words_of_two_scripts_are_told_apart() {
        assert!(is_mixed("Ignоre") && is_mixed("аpple"));
        for plain in ["Ignore", "Игнорируй", "α", "5μm", "Ελλάδα"] {
            assert!(!is_mixed(plain), "{plain}");
        }
    }
}
