//! Prompts and answers as the conventions write them on spans: JSON, bounded, only when asked for.

use serde::Serialize;

/// Bytes of each text that are kept.
const LONGEST: usize = 16 << 10;
/// What stands in place of the rest.
const CUT: &str = "… [cut]";

/// Text as it comes, as much of it as is kept.
#[derive(Default)]
pub(super) struct Kept {
    text: String,
    cut: bool,
}

impl Kept {
    pub(super) fn push(&mut self, more: &str) {
        if self.cut {
            return;
        }
        let room = LONGEST - self.text.len();
        self.text.push_str(&more[..more.floor_char_boundary(room)]);
        if more.len() > room {
            self.cut = true;
            self.text.push_str(CUT);
        }
    }

    fn of(text: &str) -> Self {
        let mut kept = Self::default();
        kept.push(text);
        kept
    }
}

#[derive(Serialize)]
struct Part<'a> {
    r#type: &'static str,
    content: &'a str,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    parts: [Part<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_reason: Option<&'a str>,
}

const fn part(content: &str) -> Part<'_> {
    Part { r#type: "text", content }
}

fn json(value: &impl Serialize) -> String {
    // Text has no value that JSON cannot say.
    serde_json::to_string(value).unwrap_or_default()
}

/// `gen_ai.system_instructions`.
pub(super) fn instructions(text: &str) -> String {
    json(&[part(&Kept::of(text).text)])
}

/// `gen_ai.input.messages`.
pub(super) fn question(text: &str) -> String {
    json(&[Message { role: "user", parts: [part(&Kept::of(text).text)], finish_reason: None }])
}

/// `gen_ai.output.messages`.
pub(super) fn answer(kept: &Kept, finish_reason: &str) -> String {
    json(&[Message { role: "assistant", parts: [part(&kept.text)], finish_reason: Some(finish_reason) }])
}

#[cfg(test)]
mod tests {
    use super::{CUT, Kept, LONGEST, answer, instructions, question};

    #[test]
    fn the_form_is_that_of_the_conventions() {
        assert_eq!(instructions("Be brief."), r#"[{"type":"text","content":"Be brief."}]"#);
        assert_eq!(
            question("A \"whale\"?"),
            r#"[{"role":"user","parts":[{"type":"text","content":"A \"whale\"?"}]}]"#
        );
        assert_eq!(
            answer(&Kept::of("Yes."), "stop"),
            r#"[{"role":"assistant","parts":[{"type":"text","content":"Yes."}],"finish_reason":"stop"}]"#
        );
    }

    #[test]
    fn texts_are_bounded_and_cut_between_characters() {
        let mut kept = Kept::default();
        for _ in 0..LONGEST {
            kept.push("größer");
        }
        assert!(kept.text.len() <= LONGEST + CUT.len() && kept.text.len() > LONGEST - 8);
        assert!(kept.text.ends_with(CUT) && kept.cut);
        let mut exact = Kept::default();
        exact.push(&"x".repeat(LONGEST));
        assert!(!exact.cut);
        exact.push("");
        assert!(!exact.cut);
        exact.push("x");
        assert!(exact.cut);
    }
}
