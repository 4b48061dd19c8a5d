//! A token estimate for answers whose provider reported none.

/// Characters a token, a common rule of thumb for English text.
const CHARACTERS_PER_TOKEN: usize = 4;

/// An estimate, never presented as a reported figure.
#[must_use]
pub fn estimate(text: &str) -> u64 {
    let mut count = Count::default();
    count.add(text);
    count.tokens()
}

/// The same estimate of a text that comes in pieces, of which nothing is kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    characters: usize,
}

impl Count {
    /// A piece came.
    pub fn add(&mut self, text: &str) {
        self.characters = self.characters.saturating_add(text.chars().count());
    }

    /// Tokens of all pieces.
    #[must_use]
    pub const fn tokens(&self) -> u64 {
        self.characters.div_ceil(CHARACTERS_PER_TOKEN) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::{Count, estimate};

    #[test]
    fn pieces_count_as_the_whole_does() {
        let mut count = Count::default();
        for piece in ["Wal", "fä", "nger", ""] {
            count.add(piece);
        }
        assert_eq!((count.tokens(), estimate("Walfänger")), (3, 3));
        assert_eq!(estimate(""), 0);
    }
}
