//! ISBNs: check digits, ISBN-10 to ISBN-13, and what a spreadsheet does to them.
//!
//! Source of the rules: the ISBN Users' Manual of the International ISBN Agency, 7th edition.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A valid ISBN-13, digits only.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Isbn(String);

impl From<Isbn> for String {
    fn from(isbn: Isbn) -> Self {
        isbn.0
    }
}

impl TryFrom<String> for Isbn {
    type Error = IsbnError;

    fn try_from(text: String) -> Result<Self, IsbnError> {
        Self::parse(&text)
    }
}

/// Why a text is no ISBN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IsbnError {
    /// Neither 10 nor 13 characters of the right kind.
    #[error("an ISBN has 10 or 13 digits (the last of 10 may be X), hyphens and spaces aside")]
    Form,
    /// The check digit does not fit the others.
    #[error("the check digit is wrong; one of the digits must be mistyped")]
    CheckDigit,
}

impl IsbnError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::CheckDigit => "check_digit",
        }
    }
}

impl Isbn {
    /// Reads an ISBN-10 or ISBN-13, with or without hyphens and spaces.
    ///
    /// # Errors
    /// When it has not the form of one or its check digit is wrong.
    pub fn parse(text: &str) -> Result<Self, IsbnError> {
        let mut digits = Vec::with_capacity(13);
        for character in text.chars().filter(|character| !matches!(character, '-' | ' ' | '‐' | '–')) {
            match character.to_digit(10) {
                Some(digit) => digits.push(digit),
                None if digits.len() == 9 && character.eq_ignore_ascii_case(&'x') => digits.push(10),
                None => return Err(IsbnError::Form),
            }
        }
        match digits.len() {
            10 => {
                let sum: u32 = digits.iter().zip((1..=10).rev()).map(|(digit, weight)| digit * weight).sum();
                if sum.is_multiple_of(11) { Ok(Self::from_ten(&digits)) } else { Err(IsbnError::CheckDigit) }
            }
            13 if digits.contains(&10) => Err(IsbnError::Form),
            13 => {
                let sum: u32 =
                    digits.iter().zip([1, 3].into_iter().cycle()).map(|(digit, weight)| digit * weight).sum();
                if !digits.starts_with(&[9, 7]) {
                    Err(IsbnError::Form)
                } else if sum.is_multiple_of(10) {
                    Ok(Self(digits.iter().filter_map(|&digit| char::from_digit(digit, 10)).collect()))
                } else {
                    Err(IsbnError::CheckDigit)
                }
            }
            _ => Err(IsbnError::Form),
        }
    }

    /// An ISBN-10 that a spreadsheet may have robbed of its leading zeros.
    ///
    /// # Errors
    /// As [`Isbn::parse`].
    pub fn parse_short(text: &str) -> Result<Self, IsbnError> {
        let bare: String = text.chars().filter(|character| !matches!(character, '-' | ' ')).collect();
        Self::parse(&format!("{bare:0>10}"))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn from_ten(digits: &[u32]) -> Self {
        let stem = [9, 7, 8].iter().chain(digits.iter().take(9));
        let sum: u32 =
            stem.clone().zip([1, 3].into_iter().cycle()).map(|(digit, weight)| digit * weight).sum();
        let check = (10 - sum % 10) % 10;
        Self(stem.chain([&check]).filter_map(|&digit| char::from_digit(digit, 10)).collect())
    }
}

impl fmt::Display for Isbn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whether a text is a number in floating notation, as a spreadsheet writes a long one: its last
/// digits are gone.
#[must_use]
pub fn is_floating(text: &str) -> bool {
    text.contains(['e', 'E', '.', ',']) && text.replace(',', ".").parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Isbn, IsbnError, is_floating};

    #[test]
    fn known_isbns() {
        let check = |text: &str, want: Result<&str, IsbnError>| {
            assert_eq!(Isbn::parse(text).as_ref().map(Isbn::as_str).map_err(|error| *error), want, "{text}");
        };
        check("978-0-14-243724-7", Ok("9780142437247"));
        check("0-8044-2957-X", Ok("9780804429573"));
        check("080442957x", Ok("9780804429573"));
        check("9780142437248", Err(IsbnError::CheckDigit));
        check("0804429570", Err(IsbnError::CheckDigit));
        check("", Err(IsbnError::Form));
        check("97801424372477", Err(IsbnError::Form));
        check("X804429570", Err(IsbnError::Form));
        check("1234567890123", Err(IsbnError::Form));
    }

    #[test]
    fn leading_zeros_come_back() {
        assert_eq!(Isbn::parse_short("439023483").unwrap().as_str(), "9780439023481");
        assert_eq!(Isbn::parse_short("2"), Err(IsbnError::CheckDigit));
    }

    #[test]
    fn floating_notation() {
        for text in ["9.78043902348e+12", "9.78E12", "9780439023480.0", "9,78E+12"] {
            assert!(is_floating(text), "{text}");
        }
        for text in ["9780439023481", "080442957X", "", "e"] {
            assert!(!is_floating(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_reads_back_as_itself(text in "[0-9Xx -]{0,20}") {
            if let Ok(isbn) = Isbn::parse(&text) {
                prop_assert_eq!(Isbn::parse(isbn.as_str()).unwrap(), isbn);
            }
        }

        #[test]
        fn nothing_makes_it_panic(text in any::<String>()) {
            let _ = (Isbn::parse(&text), Isbn::parse_short(&text), is_floating(&text));
        }
    }
}
