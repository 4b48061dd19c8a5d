//! A text as its reader would have it: escapes of JSON and of URLs taken off, and where in the
//! source every byte came from.
//!
//! Owns the decoding. Must not know what is looked for in it.

use std::borrow::Cow;
use std::ops::Range;

/// Escapes within escapes that are taken off: JSON in a string of JSON in a string of JSON.
const DEEPEST: usize = 3;

/// One reading of a text.
#[derive(Debug)]
pub(super) struct View<'a> {
    /// What is read.
    pub text: Cow<'a, str>,
    /// Where each byte came from, and the source's length; none where the text is the source.
    at: Option<Vec<u32>>,
}

impl View<'_> {
    /// Where something that was found stands in the source.
    pub fn source(&self, found: &Range<usize>) -> Range<usize> {
        match &self.at {
            None => found.clone(),
            Some(at) => {
                let place = |index: usize| at.get(index).map_or(usize::MAX, |place| *place as usize);
                place(found.start)..place(found.end)
            }
        }
    }

    /// The first place at or after one of the source's that is within no escape.
    fn whole(&self, place: usize) -> usize {
        let Some(at) = &self.at else { return place };
        let index = at.partition_point(|from| (*from as usize) < place);
        at.get(index).map_or(place, |from| *from as usize)
    }
}

/// All readings of a text, itself first.
#[derive(Debug)]
pub(super) struct Views<'a>(Vec<View<'a>>);

impl<'a> Views<'a> {
    /// Reads a text.
    pub fn of(text: &'a str) -> Self {
        let mut views = vec![View { text: Cow::Borrowed(text), at: None }];
        for (mark, decode) in [(b'\\', json as Decode), (b'%', percent as Decode)] {
            for _ in 0..DEEPEST {
                let Some(next) = views.last().and_then(|last| read(last, mark, decode)) else { break };
                views.push(next);
            }
        }
        Self(views)
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &View<'a>> {
        self.0.iter()
    }

    /// The same range, with no part of an escape, however deep: what is left stays well-formed.
    pub fn whole(&self, range: &Range<usize>) -> Range<usize> {
        match self.0.last() {
            Some(decoded) => decoded.whole(range.start)..decoded.whole(range.end),
            None => range.clone(),
        }
    }
}

/// What an escape at the beginning of a text stands for, if anything (broken off: for nothing), and
/// how many bytes it takes. None where there is no escape.
type Decode = fn(&str) -> Option<(Option<char>, usize)>;

/// The next reading; none where it would be the same.
fn read(view: &View<'_>, mark: u8, decode: Decode) -> Option<View<'static>> {
    let text = &*view.text;
    memchr(mark, text)?;
    let (mut out, mut at) = (String::with_capacity(text.len()), Vec::with_capacity(text.len() + 1));
    let source = |index: usize| u32::try_from(view.source(&(index..index)).start).unwrap_or(u32::MAX);
    let (mut index, mut changed) = (0, false);
    while let Some(rest) = text.get(index..).filter(|rest| !rest.is_empty()) {
        if rest.as_bytes().first() == Some(&mark)
            && let Some((character, length)) = decode(rest)
        {
            changed = true;
            if let Some(character) = character {
                out.push(character);
                at.extend(std::iter::repeat_n(source(index), character.len_utf8()));
            }
            index += length;
            continue;
        }
        let own = usize::from(rest.as_bytes().first() == Some(&mark));
        let plain = memchr(mark, rest.get(own..).unwrap_or_default()).map_or(rest.len(), |next| next + own);
        out.push_str(rest.get(..plain).unwrap_or_default());
        at.extend((index..index + plain).map(source));
        index += plain;
    }
    at.push(source(text.len()));
    changed.then_some(View { text: Cow::Owned(out), at: Some(at) })
}

fn memchr(mark: u8, text: &str) -> Option<usize> {
    text.find(char::from(mark))
}

fn json(text: &str) -> Option<(Option<char>, usize)> {
    let plain = |character| Some((Some(character), 2));
    match text.as_bytes().get(1) {
        None => Some((None, 1)),
        Some(b'n') => plain('\n'),
        Some(b't') => plain('\t'),
        Some(b'r') => plain('\r'),
        Some(b'b') => plain('\u{8}'),
        Some(b'f') => plain('\u{c}'),
        Some(b'"') => plain('"'),
        Some(b'\\') => plain('\\'),
        Some(b'/') => plain('/'),
        Some(b'u') => {
            let unit = |from: usize| {
                let digits = text.get(from..from + 4)?;
                let hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                u16::from_str_radix(digits, 16).ok().filter(|_| hex)
            };
            match unit(2) {
                Some(first) => {
                    if let Some(character) = char::from_u32(u32::from(first)) {
                        return Some((Some(character), 6));
                    }
                    let second = unit(8).filter(|_| text.get(6..8) == Some("\\u"))?;
                    let pair = char::decode_utf16([first, second]).next()?.ok()?;
                    Some((Some(pair), 12))
                }
                None => {
                    let cut = text.len() < 6 && text.bytes().skip(2).all(|digit| digit.is_ascii_hexdigit());
                    cut.then_some((None, text.len()))
                }
            }
        }
        _ => None,
    }
}

/// ASCII only: no key has other letters in a URL.
fn percent(text: &str) -> Option<(Option<char>, usize)> {
    let digits = text.as_bytes().get(1..3.min(text.len()))?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    if digits.len() < 2 {
        return Some((None, text.len()));
    }
    let byte = u8::from_str_radix(text.get(1..3)?, 16).ok()?;
    byte.is_ascii().then_some((Some(char::from(byte)), 3))
}

#[cfg(test)]
mod tests {
    use super::Views;

    #[test]
    fn escapes_are_taken_off_and_places_kept() {
        let source = r"é a\nb \u0073k\u002d\/\ud83d\ude00 %2Fx";
        let views = Views::of(source);
        let texts = views.iter().map(|view| view.text.clone().into_owned()).collect::<Vec<_>>();
        assert_eq!(texts, [source, "é a\nb sk-/😀 %2Fx", "é a\nb sk-/😀 /x"]);
        let last = views.iter().last().unwrap();
        let start = last.text.find("sk-/😀 /").unwrap();
        let found = last.source(&(start..start + "sk-/😀 /".len()));
        assert_eq!(&source[found], r"\u0073k\u002d\/\ud83d\ude00 %2F");
        // From within `\n`.
        assert_eq!(views.whole(&(5..7)), 6..7);
    }

    #[test]
    fn what_is_no_escape_stays_and_what_is_broken_off_is_none() {
        for plain in ["", "é", r"C:\dir \x \u12 z \ud83d", "100 % or %zz %C3"] {
            assert_eq!(Views::of(plain).iter().count(), 1, "{plain}");
        }
        for (source, text) in [(r"ab\", "ab"), (r"ab\u00", "ab"), ("ab%2", "ab"), (r"a\\\\n", "a\n")] {
            assert_eq!(Views::of(source).iter().last().unwrap().text, text);
        }
    }
}
