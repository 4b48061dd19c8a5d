//! A token estimate for answers whose provider reported none.

/// Characters a token, a common rule of thumb for English text.
const CHARACTERS_PER_TOKEN: usize = 4;

/// An estimate, never presented as a reported figure.
#[must_use]
pub fn estimate(text: &str) -> u64 {
    text.chars().count().div_ceil(CHARACTERS_PER_TOKEN) as u64
}
