//! The ids of answers and requests, as OpenAI and Anthropic write theirs.
//!
//! An answer's id follows from its question and the seed, so that the same question has the same
//! answer, byte for byte; a request's own id, which is told in a header only, is new every time.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::question::Fingerprint;

const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Letters and digits, at most 32, that follow from a question; others for every `purpose`.
pub(super) fn letters(fingerprint: &Fingerprint, purpose: &str, length: usize) -> String {
    let digest = Sha256::new().chain_update(purpose).chain_update(fingerprint).finalize();
    let letter =
        |byte: &u8| LETTERS.get(usize::from(*byte) % LETTERS.len()).map(|letter| char::from(*letter));
    digest.iter().take(length).filter_map(letter).collect()
}

/// A new request's id.
pub(super) fn request_id() -> String {
    format!("req_{}", Uuid::now_v7().simple())
}

/// The id of a request that is told in the body of its refusal: it follows from what is said.
pub(super) fn refusal_id(said: &str) -> String {
    format!("req_01{}", letters(&Sha256::digest(said).into(), "refusal", 22))
}

#[cfg(test)]
mod tests {
    use super::{letters, refusal_id, request_id};

    #[test]
    fn ids_follow_from_the_question_and_differ_by_purpose() {
        assert_eq!(letters(&[1; 32], "a", 29), letters(&[1; 32], "a", 29));
        assert_eq!(letters(&[1; 32], "a", 29).len(), 29);
        assert_ne!(letters(&[1; 32], "a", 29), letters(&[2; 32], "a", 29));
        assert_ne!(letters(&[1; 32], "a", 29), letters(&[1; 32], "b", 29));
        assert_ne!(request_id(), request_id());
        assert_eq!(refusal_id("no"), refusal_id("no"));
    }
}
