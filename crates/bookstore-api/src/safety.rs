//! Whether a model's answer may be stored and served. Pure: no I/O, no provider, no store.
//!
//! The book's text is a stranger's. [`Context`] says what of it is the book's own and what speaks to
//! the model; [`accept`] judges a whole answer, [`Screen`] the same answer in pieces.
//!
//! Three rules need no guess at what a text means: no answer has an address (but a host in the title or
//! an author's name), a code or a picture that the title has not, or words of the prompt. The others
//! judge sentences: one that gives orders or speaks of the text about the book is not shown to the model,
//! and what it says is in no answer. An ordinary word that is asked for in none of these manners cannot
//! be told from the story: tests/it/fixtures/known_limits.json has such books.

use std::sync::Arc;

use thiserror::Error;

pub use self::context::Context;
pub use self::screen::{Finished, Screen};

mod context;
mod decoding;
mod folding;
mod injection;
mod lexicon;
mod links;
mod markup;
mod oddness;
pub(crate) mod reading;
mod retelling;
mod runs;
mod screen;
mod words;

/// Longest answer that is believed, in characters.
pub const LONGEST_ANSWER: usize = 4_000;

/// Why an answer is neither stored nor served on.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
pub enum Unsafe {
    /// It has no text.
    #[error("it is empty")]
    Empty,
    /// It is no summary: a single word, or a few that are shouted.
    #[error("it is too short for a summary")]
    TooShort,
    /// It is longer than [`LONGEST_ANSWER`].
    #[error("it has more than {LONGEST_ANSWER} characters")]
    TooLong,
    /// The model's limit cut it within its first sentence.
    #[error("it was cut within its first sentence")]
    CutShort,
    /// It holds control characters.
    #[error("it holds control characters")]
    ControlCharacters,
    /// It holds characters that change the direction of the text.
    #[error("it holds characters that turn the direction of the text")]
    Bidirectional,
    /// It holds characters that cannot be seen.
    #[error("it holds characters that cannot be seen")]
    Invisible,
    /// It holds markup: tags, Markdown, templates.
    #[error("it holds markup")]
    Markup,
    /// It holds a link, an address or a telephone number; a host in the title or an author's name aside.
    #[error("it holds a link, an address or a telephone number")]
    Link,
    /// It holds encoded text.
    #[error("it holds encoded text")]
    Encoded,
    /// It says what the book's text told the model to say.
    #[error("it says what a text in the book told the model to say")]
    PlantedText,
    /// The book's text speaks to the model, and the answer has words that are neither the book's nor
    /// ordinary ones.
    #[error("it has words that are neither the book's nor ordinary, and the book's text speaks to the model")]
    Unfounded,
    /// It repeats what the model was told.
    #[error("it repeats the instructions")]
    EchoesInstructions,
}

impl Unsafe {
    /// Every reason.
    pub const ALL: [Self; 13] = [
        Self::Empty,
        Self::TooShort,
        Self::TooLong,
        Self::CutShort,
        Self::ControlCharacters,
        Self::Bidirectional,
        Self::Invisible,
        Self::Markup,
        Self::Link,
        Self::Encoded,
        Self::PlantedText,
        Self::Unfounded,
        Self::EchoesInstructions,
    ];

    /// A short, stable name: a metric label.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooShort => "too_short",
            Self::TooLong => "too_long",
            Self::CutShort => "cut_short",
            Self::ControlCharacters => "control_characters",
            Self::Bidirectional => "bidirectional",
            Self::Invisible => "invisible",
            Self::Markup => "markup",
            Self::Link => "link",
            Self::Encoded => "encoded",
            Self::PlantedText => "planted_text",
            Self::Unfounded => "unfounded",
            Self::EchoesInstructions => "echoes_instructions",
        }
    }
}

/// The answer as it may be kept, or why it may not. One that the model's limit `cut` ends with its
/// last whole sentence.
///
/// # Errors
/// When the answer may be neither stored nor served.
pub fn accept(answer: &str, cut: bool, context: &Arc<Context>) -> Result<String, Unsafe> {
    let mut screen = Screen::new(Arc::clone(context));
    screen.push(answer)?;
    Ok(screen.finish(cut)?.text)
}
