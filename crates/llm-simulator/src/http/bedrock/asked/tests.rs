//! Bodies of every kind, good and bad.

use proptest::prelude::*;

use super::super::refusal::Refusal;
use super::Asked;
use crate::question::Form;

fn read(body: &str) -> Asked {
    Asked::read(body.as_bytes()).unwrap()
}

fn saying(content: &str) -> String {
    format!(r#"{{"messages":[{{"role":"user","content":{content}}}]}}"#)
}

#[test]
fn a_conversation_is_read_with_what_counts() {
    let asked = read(
        r#"{"system":[{"text":"Be brief."},{"cachePoint":{"type":"default"}}],"nonsense":1,
            "messages":[
                {"role":"user","content":[{"text":"Dune"},{"image":{"format":"png","source":{"bytes":"AAAA"}}}]},
                {"role":"assistant","content":[{"toolUse":{"toolUseId":"a","name":"find","input":{"a":[2]}}}]},
                {"role":"user","content":[{"toolResult":{"toolUseId":"a","content":[{"text":"sand"},{"json":{"x":1}}]}},
                    {"document":{"name":"d","format":"txt","source":{"text":"spice"}}},
                    {"guardContent":{"text":{"text":"worm"}}}]}],
            "inferenceConfig":{"maxTokens":30.9,"temperature":1,"topP":0.5,"stopSequences":["END"]},
            "toolConfig":{},"additionalModelRequestFields":{"top_k":5},"requestMetadata":{"a":"b"},
            "performanceConfig":{"latency":"standard"},"additionalModelResponseFieldPaths":["/stop_sequence"]}"#,
    );
    let said: Vec<_> =
        asked.question.turns.iter().map(|turn| (turn.role.as_str(), turn.text.as_str())).collect();
    assert_eq!(
        said,
        [
            ("system", "Be brief."),
            ("user", "Dune"),
            ("assistant", "find\n{\"a\":[2]}"),
            ("user", "sand\n{\"x\":1}\nspice\nworm")
        ]
    );
    assert_eq!((asked.question.max_output_tokens, asked.tells_stop_sequence), (Some(30), true));
    assert_eq!(asked.question.stop, ["END"]);
}

#[test]
fn null_is_absent_and_a_schema_is_a_form() {
    let asked = read(
        r#"{"messages":[{"role":"user","content":[{"text":"x","image":null}]}],"system":null,"inferenceConfig":null}"#,
    );
    assert_eq!((asked.question.turns.len(), asked.question.max_output_tokens), (1, None));
    let asked = read(
        r#"{"messages":[{"role":"user","content":[{"text":"x"}]}],"outputConfig":{"textFormat":
            {"type":"json_schema","structure":{"jsonSchema":{"schema":"{\"type\":\"object\"}","name":"a"}}}}}"#,
    );
    assert!(matches!(asked.question.form, Form::Schema(_)));
}

#[test]
fn wrong_types_cannot_be_read() {
    for (body, said) in [
        ("[1]", "Start of list found where not expected"),
        ("5", "Unexpected field type"),
        (r#"{"messages":"x"}"#, "Unexpected field type"),
        (r#"{"messages":{}}"#, "Start of structure or map found where not expected."),
        (r#"{"messages":[5]}"#, "Unexpected field type"),
        (r#"{"messages":[null]}"#, "Unexpected field type"),
        (r#"{"messages":[{"role":5}]}"#, "NUMBER_VALUE cannot be converted to String"),
        (r#"{"messages":[{"role":"user","content":"x"}]}"#, "Unexpected field type"),
        (r#"{"inferenceConfig":{"maxTokens":"5"}}"#, "STRING_VALUE cannot be converted to Integer"),
        (r#"{"inferenceConfig":{"topP":true}}"#, "TRUE_VALUE cannot be converted to Float"),
        (r#"{"inferenceConfig":{"stopSequences":[null]}}"#, "NULL_VALUE cannot be converted to String"),
        (r#"{"requestMetadata":{"a":1}}"#, "NUMBER_VALUE cannot be converted to String"),
        (r#"{"toolConfig":[]}"#, "Start of list found where not expected"),
        (
            &saying(r#"[{"text":"x","image":{}}]"#),
            "Only one member of a union can be set, and text and image are",
        ),
        (&saying(r#"[{"text":{}}]"#), "Start of structure or map found where not expected."),
        (&saying(r#"[{"document":{"source":{"text":1}}}]"#), "NUMBER_VALUE cannot be converted to String"),
    ] {
        assert_eq!(Asked::read(body.as_bytes()).unwrap_err(), Refusal::Unreadable(said.to_owned()), "{body}");
    }
    for bad in ["{", "{} {}", "\u{0}", "nul", r#"{"messages":[],}"#, &"[".repeat(100_000)] {
        assert!(matches!(Asked::read(bad.as_bytes()), Err(Refusal::Unreadable(_))), "{bad:.20}");
    }
    assert!(matches!(Asked::read(b"{\"a\":\"\xff\"}"), Err(Refusal::Unreadable(_))));
}

#[test]
fn what_cannot_be_is_invalid_in_bedrocks_words() {
    let start = "A conversation must start with a user message. Try again with a conversation that starts with a user message.";
    let alternate = "A conversation must alternate between user and assistant roles. Make sure the conversation alternates between user and assistant roles and try again.";
    let one = |at: &str, must: &str| {
        format!("1 validation error detected: Value {at} failed to satisfy constraint: Member must {must}")
    };
    let with = |inference: &str| {
        format!(
            r#"{{"messages":[{{"role":"user","content":[{{"text":"x"}}]}}],"inferenceConfig":{inference}}}"#
        )
    };
    for (body, said) in [
        (String::new(), start.to_owned()),
        ("{}".to_owned(), start.to_owned()),
        (r#"{"messages":[]}"#.to_owned(), start.to_owned()),
        (r#"{"messages":[{"role":"assistant","content":[{"text":"x"}]}]}"#.to_owned(), start.to_owned()),
        (
            r#"{"messages":[{"role":"user","content":[{"text":"x"}]},{"role":"user","content":[{"text":"y"}]}]}"#.to_owned(),
            alternate.to_owned(),
        ),
        (
            saying("[]"),
            "The content field in the Message object at messages.0 is empty. Add a ContentBlock object to the content field and try again.".to_owned(),
        ),
        (
            saying(r#"[{"text":"x"},{"text":" \n"}]"#),
            "The text field in the ContentBlock object at messages.0.content.1 is blank. Add text to the text field, and try again.".to_owned(),
        ),
        (
            r#"{"messages":[{"role":"system","content":[{"text":"x"}]}]}"#.to_owned(),
            one("'system' at 'messages.1.member.role'", "satisfy enum value set: [user, assistant]"),
        ),
        (r#"{"messages":[{"role":"user"}]}"#.to_owned(), one("null at 'messages.1.member.content'", "not be null")),
        (with(r#"{"maxTokens":0}"#), one("'0' at 'inferenceConfig.maxTokens'", "have value greater than or equal to 1")),
        (with(r#"{"temperature":1.5}"#), one("'1.5' at 'inferenceConfig.temperature'", "have value less than or equal to 1")),
        (with(r#"{"topP":-1}"#), one("'-1' at 'inferenceConfig.topP'", "have value greater than or equal to 0")),
    ] {
        assert_eq!(Asked::read(body.as_bytes()).unwrap_err(), Refusal::Invalid(said), "{body}");
    }
    let several =
        Asked::read(br#"{"messages":[{}],"inferenceConfig":{"maxTokens":-5}}"#).unwrap_err().to_string();
    assert!(several.starts_with("3 validation errors detected: Value '-5'"), "{several}");
    let unset = Asked::read(saying("[{}]").as_bytes()).unwrap_err().to_string();
    assert!(
        unset.starts_with(
            "ContentBlock object at messages.0.content.0 must set one of the following keys: text, image,"
        ),
        "{unset}"
    );
    let schema =
        r#"{"outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{"}}}}}"#;
    assert!(matches!(Asked::read(schema.as_bytes()), Err(Refusal::Invalid(_))));
    let many =
        schema.replace(r#""schema":"{""#, &format!(r#""schema":"{{\"a\":[{}0]}}""#, "[],".repeat(600_000)));
    assert!(matches!(Asked::read(many.as_bytes()), Err(Refusal::Invalid(_))));
}

#[test]
fn a_refusal_does_not_repeat_a_whole_body() {
    let body = format!(r#"{{"messages":[{}{{"role":"{}"}}]}}"#, "{},".repeat(1_000), "x".repeat(100_000));
    assert!(Asked::read(body.as_bytes()).unwrap_err().to_string().len() < 3_000);
}

proptest! {
    #[test]
    fn no_body_breaks_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..80), text in "[\\[\\]{}\",:a1é\\n ]{0,40}") {
        let _ = Asked::read(&bytes);
        let _ = Asked::read(text.as_bytes());
    }

    /// Any value in the place of any member.
    #[test]
    fn no_value_breaks_the_reader(
        value in prop::sample::select(vec!["null", "true", "-1", "1e999", "1e30", "\"\"", "\"x\"", "[]", "{}", "[null]", "[{}]", "{\"text\":1}"]),
        at in 0_usize..8,
    ) {
        let body = [
            r#"{"messages":$}"#,
            r#"{"messages":[{"role":$,"content":[{"text":"x"}]}]}"#,
            r#"{"messages":[{"role":"user","content":$}]}"#,
            r#"{"messages":[{"role":"user","content":[{"text":$}]}]}"#,
            r#"{"messages":[{"role":"user","content":[{"toolResult":{"content":$}}]}]}"#,
            r#"{"messages":[{"role":"user","content":[{"text":"x"}]}],"inferenceConfig":{"maxTokens":$}}"#,
            r#"{"messages":[{"role":"user","content":[{"text":"x"}]}],"outputConfig":{"textFormat":$}}"#,
            r#"{"messages":[{"role":"user","content":[{"text":"x"}]}],"system":$}"#,
        ][at].replace('$', value);
        if let Ok(asked) = Asked::read(body.as_bytes()) {
            prop_assert!(asked.question.turns.iter().any(|turn| turn.role == "user"), "{}", body);
        }
    }
}
