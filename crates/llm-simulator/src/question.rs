//! What is asked, whatever the protocol: the normalised request. Pure.
//!
//! Owns which parts of a request make it the same request. Must not know any wire protocol.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::tokens;

/// A request without the accidents of its protocol and transport: the same question streamed or
/// not is the same question.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Question {
    /// The model asked for, by the name under which the simulator offers it.
    pub model: String,
    /// The conversation so far, oldest first.
    pub turns: Vec<Turn>,
    /// Longest answer in tokens; no bound when absent.
    pub max_output_tokens: Option<u64>,
    /// The answer ends before the first of these; empty ones count for nothing.
    pub stop: Vec<String>,
    /// What the answer has to look like.
    pub form: Form,
    /// The client's own sampling seed: another one may have another answer.
    pub variation: Option<i64>,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Turn {
    /// `system`, `user`, `assistant` or whatever the client wrote.
    pub role: String,
    /// What was said.
    pub text: String,
}

/// What an answer has to look like.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Form {
    /// A paragraph.
    #[default]
    Prose,
    /// Any JSON object.
    Json,
    /// JSON that fits a schema.
    Schema(Value),
}

/// Longest text whose tokens are counted even where they are too many, in bytes.
const COUNTED_WHOLE: usize = 256 * 1024;
/// Fewest tokens by which the rest of a text is judged.
const SAMPLE: u64 = 10_000;

/// A digest of a question: equal for equal questions, in every process and on every machine.
pub type Fingerprint = [u8; 32];

impl Question {
    /// The fingerprint of each turn by itself.
    #[must_use]
    pub fn turn_fingerprints(&self) -> Vec<Fingerprint> {
        let of = |turn: &Turn| {
            let mut hash = Sha256::new();
            field(&mut hash, &turn.role);
            field(&mut hash, &turn.text);
            hash.finalize().into()
        };
        self.turns.iter().map(of).collect()
    }

    /// The question's fingerprint without a seed, by which recordings are found.
    #[must_use]
    pub fn recorded_fingerprint(&self) -> Fingerprint {
        self.fingerprint(0)
    }

    /// The question's fingerprint under a seed.
    #[must_use]
    pub fn fingerprint(&self, seed: u64) -> Fingerprint {
        let mut hash = Sha256::new();
        hash.update(seed.to_le_bytes());
        field(&mut hash, &self.model);
        hash.update(length(self.turns.len()));
        for turn in &self.turns {
            field(&mut hash, &turn.role);
            field(&mut hash, &turn.text);
        }
        optional(&mut hash, self.max_output_tokens.map(u64::to_le_bytes));
        hash.update(length(self.stop.len()));
        for stop in &self.stop {
            field(&mut hash, stop);
        }
        match &self.form {
            Form::Prose => field(&mut hash, "prose"),
            Form::Json => field(&mut hash, "json"),
            Form::Schema(schema) => {
                let mut text = String::from("schema ");
                canonical(schema, &mut text);
                field(&mut hash, &text);
            }
        }
        optional(&mut hash, self.variation.map(i64::to_le_bytes));
        hash.finalize().into()
    }

    /// Its tokens, as estimated; one at least.
    #[must_use]
    pub fn input_tokens(&self) -> u64 {
        self.turns.iter().map(|turn| tokens::count(&turn.text)).sum::<u64>().max(1)
    }

    /// How many bytes its turns have.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.turns.iter().map(|turn| turn.text.len()).sum()
    }

    /// Its tokens where they are at most so many. Where they are more and the text is very long, not
    /// all are counted: the rest is taken to be like what was.
    #[must_use]
    pub fn input_tokens_within(&self, most: u64) -> u64 {
        let bytes = self.bytes();
        if bytes <= COUNTED_WHOLE {
            return self.input_tokens();
        }
        let (mut counted, mut read) = (0_u64, 0_u64);
        for piece in self.turns.iter().flat_map(|turn| tokens::split(&turn.text)) {
            counted += 1;
            read += piece.len() as u64;
            if counted > most.max(SAMPLE) {
                let estimate = u128::from(counted) * bytes as u128 / u128::from(read.max(1));
                return u64::try_from(estimate).unwrap_or(u64::MAX).max(counted);
            }
        }
        counted.max(1)
    }

    /// What the user said last, or all that was said where no user spoke.
    #[must_use]
    pub fn subject_text(&self) -> String {
        let last = self.turns.iter().rev().find(|turn| turn.role == "user" && !turn.text.trim().is_empty());
        last.map_or_else(
            || self.turns.iter().map(|turn| turn.text.as_str()).collect::<Vec<_>>().join("\n"),
            |turn| turn.text.clone(),
        )
    }
}

/// Adds a text with its length before it, so that no two lists of texts run into each other.
fn field(hash: &mut Sha256, text: &str) {
    hash.update(length(text.len()));
    hash.update(text.as_bytes());
}

/// Adds a number that may be absent; absent is not zero.
fn optional(hash: &mut Sha256, number: Option<[u8; 8]>) {
    hash.update([u8::from(number.is_some())]);
    hash.update(number.unwrap_or_default());
}

const fn length(len: usize) -> [u8; 8] {
    (len as u64).to_le_bytes()
}

/// JSON with sorted keys: whether a map of `serde_json` keeps or sorts them depends on what else
/// is in the build.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let mut keys: Vec<&String> = members.keys().collect();
            keys.sort_unstable();
            out.push('{');
            for key in keys {
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                canonical(members.get(key).unwrap_or(&Value::Null), out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Form, Question, Turn};

    fn question() -> Question {
        Question {
            model: "llama3.2".to_owned(),
            turns: vec![
                Turn { role: "system".to_owned(), text: "Be brief.".to_owned() },
                Turn { role: "user".to_owned(), text: "Dune".to_owned() },
            ],
            ..Question::default()
        }
    }

    #[test]
    fn every_part_of_a_question_counts() {
        let changes: [fn(&mut Question); 9] = [
            |q| q.model.push('x'),
            |q| q.turns[1].text.push('x'),
            |q| q.turns[0].role.push('x'),
            // The same letters, cut elsewhere.
            |q| {
                q.turns[0].text = "Be brief".to_owned();
                q.turns[1].role = ".user".to_owned();
            },
            |q| q.max_output_tokens = Some(5),
            |q| q.stop.push("x".to_owned()),
            |q| q.form = Form::Json,
            |q| q.form = Form::Schema(json!({"type": "object"})),
            |q| q.variation = Some(0),
        ];
        let mut seen = vec![question().fingerprint(1), question().fingerprint(2)];
        for change in changes {
            let mut changed = question();
            change(&mut changed);
            seen.push(changed.fingerprint(1));
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 11);
    }

    #[test]
    fn a_fingerprint_is_the_same_in_every_process_and_release() {
        let hex: String =
            question().fingerprint(1).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "af2a77c8fb4602ba", "changing it changes every answer of every recorded run");
    }

    #[test]
    fn the_order_of_a_schemas_keys_does_not_count() {
        let of = |text: &str| {
            Question { form: Form::Schema(serde_json::from_str(text).unwrap()), ..question() }.fingerprint(1)
        };
        assert_eq!(of(r#"{"a":[1],"b":{"c":1,"d":2}}"#), of(r#"{"b":{"d":2,"c":1},"a":[1]}"#));
        assert_ne!(of(r#"{"a":[1,2]}"#), of(r#"{"a":[2,1]}"#));
    }

    #[test]
    fn tokens_are_counted_as_far_as_they_matter() {
        let mut question = question();
        question.turns[1].text = "word ".repeat(100_000);
        let all = question.input_tokens();
        assert_eq!(question.input_tokens_within(all), all);
        for most in [0, 10, 1_000, all - 1] {
            let estimate = question.input_tokens_within(most);
            assert!(estimate > most && estimate.abs_diff(all) < all / 4, "{estimate} for {all}");
        }
        question.turns[1].text.truncate(1_000);
        assert_eq!(question.input_tokens_within(1), question.input_tokens());
    }

    #[test]
    fn the_subject_is_what_the_user_said_last() {
        let mut question = question();
        question.turns.push(Turn { role: "assistant".to_owned(), text: "Sand.".to_owned() });
        assert_eq!(question.subject_text(), "Dune");
        question.turns.remove(1);
        assert_eq!(question.subject_text(), "Be brief.\nSand.");
    }
}
