//! What a client of Anthropic asks for: the bodies of `/v1/messages` and
//! `/v1/messages/count_tokens`. Pure.
//!
//! Source: <https://docs.anthropic.com/en/api/messages> and
//! <https://docs.anthropic.com/en/api/messages-count-tokens>.

use super::body::Fields;
use super::messages;
use super::refusal::Refusal;
use super::tools::{self, Forced};
use super::version::Version;
use crate::http::json_body;
use crate::question::{Form, Question};

/// Most stop texts: Anthropic documents no limit, each is looked for.
const MOST_STOPS: usize = 2_500;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `/v1/messages`.
    Answer,
    /// `/v1/messages/count_tokens`.
    Count,
}

/// Fields of both.
const SHARED: [&str; 9] = [
    "cache_control",
    "messages",
    "model",
    "output_config",
    "speed",
    "system",
    "thinking",
    "tool_choice",
    "tools",
];
/// Fields of a request for an answer only.
const OF_ANSWERS: [&str; 8] = [
    "container",
    "diagnostics",
    "inference_geo",
    "max_tokens",
    "metadata",
    "service_tier",
    "stop_sequences",
    "stream",
];
/// Further fields of a request for an answer, up to the version of 2023.
const SAMPLING: [&str; 3] = ["temperature", "top_k", "top_p"];
/// Fields that there are for who asks for something in beta by header only.
const BETA: [&str; 3] = ["context_management", "mcp_servers", "output_format"];

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// What is asked.
    pub(super) question: Question,
    /// Whether the answer is to come in events.
    pub(super) stream: bool,
    /// The tool that the answer has to call.
    pub(super) forced: Option<Forced>,
    /// For whom the client asks.
    pub(super) end_user: Option<String>,
}

impl Asked {
    /// Reads a body; `beta` where something in beta is asked for.
    pub(super) fn read(kind: Kind, version: Version, beta: bool, body: &[u8]) -> Result<Self, Refusal> {
        let value = json_body::parse(body)?;
        let body = Fields::of(&value)?;
        let mut known = SHARED.to_vec();
        if kind == Kind::Answer {
            known.extend(OF_ANSWERS);
        }
        if kind == Kind::Answer && version == Version::Of2023 {
            known.extend(SAMPLING);
        }
        if beta {
            known.extend(BETA);
        }
        let model = body.required("model")?;
        let max_tokens = body.integer("max_tokens", 0)?;
        if kind == Kind::Answer && max_tokens.is_none() {
            return Err(body.missing("max_tokens"));
        }
        let turns = messages::read(&body, version)?;
        body.only(&known)?;
        let end_user = accept(&body)?;
        let thinks = thinks(&body, max_tokens)?;
        let forced = tools::read(&body)?;
        if thinks && forced.is_some() {
            return Err(Refusal::Unfit(
                "Thinking may not be enabled when tool_choice forces tool use.".to_owned(),
            ));
        }
        let form = match &forced {
            Some(forced) => Form::Schema(forced.schema.clone()),
            None => form(&body)?,
        };
        let stop = body.strings("stop_sequences")?;
        if stop.len() > MOST_STOPS {
            let said = format!("at most {MOST_STOPS} stop sequences are allowed");
            return Err(Refusal::wrong("stop_sequences", said));
        }
        if stop.iter().any(|stop| stop.trim().is_empty()) {
            let said = "each stop sequence must contain non-whitespace";
            return Err(Refusal::wrong("stop_sequences", said));
        }
        let question = Question {
            model: model.to_owned(),
            turns,
            max_output_tokens: max_tokens,
            stop: stop.into_iter().map(str::to_owned).collect(),
            form,
            variation: None,
        };
        Ok(Self { question, stream: body.bool("stream")?.unwrap_or_default(), forced, end_user })
    }
}

/// Checks what is accepted and has no effect; gives the end user back.
fn accept(body: &Fields<'_>) -> Result<Option<String>, Refusal> {
    body.share("temperature")?;
    body.share("top_p")?;
    body.integer("top_k", 0)?;
    body.one_of("service_tier", &["auto", "standard_only"])?;
    body.nullable_object("cache_control")?;
    body.nullable_string("inference_geo")?;
    body.nullable_string("speed")?;
    body.nullable_object("diagnostics")?;
    let Some(metadata) = body.object("metadata")? else { return Ok(None) };
    metadata.only(&["user_id"])?;
    let user = metadata.nullable_string("user_id")?;
    Ok(user.filter(|user| !user.is_empty()).map(str::to_owned))
}

/// Whether thinking is asked for; the answer has none.
fn thinks(body: &Fields<'_>, max_tokens: Option<u64>) -> Result<bool, Refusal> {
    let Some(thinking) = body.object("thinking")? else { return Ok(false) };
    let kind = thinking.tag(&["enabled", "disabled", "adaptive", "between_tools"])?;
    let named = thinking.under(kind);
    match kind {
        "enabled" => {
            let budget = named.integer("budget_tokens", 0)?.ok_or_else(|| named.missing("budget_tokens"))?;
            if budget < 1024 {
                return Err(named.wrong("budget_tokens", "greater than or equal to 1024"));
            }
            if max_tokens.is_some_and(|most| most <= budget) {
                let said = "`max_tokens` must be greater than `thinking.budget_tokens`. Please consult our \
                            documentation at https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking#max-tokens-and-context-window-size";
                return Err(Refusal::Unfit(said.to_owned()));
            }
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// What the answer has to look like: `output_config.format`, in beta `output_format`.
fn form(body: &Fields<'_>) -> Result<Form, Refusal> {
    let config = body.object("output_config")?;
    let mut format = body.nullable_object("output_format")?;
    if let Some(config) = config {
        config.only(&["effort", "format"])?;
        if config.nullable_string("effort")?.is_some() {
            config.one_of("effort", &["low", "medium", "high", "xhigh", "max"])?;
        }
        format = config.nullable_object("format")?.or(format);
    }
    let Some(format) = format else { return Ok(Form::Prose) };
    format.tag(&["json_schema"])?;
    format.object("schema")?;
    match format.get("schema") {
        Some(schema) => Ok(Form::Schema(schema.clone())),
        None => Err(format.missing("schema")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::{Asked, Kind, OF_ANSWERS, SAMPLING, SHARED, Version};
    use crate::http::serving::Refused;
    use crate::question::Form;

    #[test]
    fn stop_sequences_have_a_largest_number() {
        let read = |stops: usize| {
            let body = serde_json::json!({
                "model": "claude", "max_tokens": 5, "stop_sequences": vec!["x"; stops],
                "messages": [{"role": "user", "content": "Dune"}],
            });
            Asked::read(Kind::Answer, Version::Of2023, false, body.to_string().as_bytes())
        };
        assert_eq!(read(2_500).unwrap().question.stop.len(), 2_500);
        assert!(read(2_501).unwrap_err().to_string().contains("at most 2500"));
    }

    #[test]
    fn what_counts_is_read() {
        let body = json!({
            "model": "claude", "max_tokens": 5, "stop_sequences": ["x"], "stream": true, "system": "Be brief.",
            "metadata": {"user_id": "u"}, "output_format": {"type": "json_schema", "schema": {}},
            "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
        });
        let body = body.to_string();
        let asked = Asked::read(Kind::Answer, Version::Of2026, true, body.as_bytes()).unwrap();
        let turns: Vec<_> =
            asked.question.turns.iter().map(|turn| (turn.role.as_str(), turn.text.as_str())).collect();
        assert_eq!(turns, [("system", "Be brief."), ("user", "a\nb")]);
        assert_eq!((asked.question.max_output_tokens, asked.question.variation), (Some(5), None));
        assert_eq!(
            (asked.question.stop, asked.question.form),
            (vec!["x".to_owned()], Form::Schema(json!({})))
        );
        assert!(asked.stream);
        assert_eq!(asked.end_user.as_deref(), Some("u"));
        // What is in beta is there for who asks for it only.
        assert!(Asked::read(Kind::Answer, Version::Of2026, false, body.as_bytes()).is_err());
    }

    /// Any JSON, with words of the protocol in it.
    fn anything() -> impl Strategy<Value = Value> {
        let words = prop::sample::select(vec![
            "user",
            "assistant",
            "text",
            "image",
            "document",
            "tool_use",
            "tool_result",
            "base64",
            "tool",
            "any",
            "",
            "x",
            "enabled",
            "json_schema",
        ]);
        let names = prop::sample::select(vec![
            "role",
            "content",
            "type",
            "text",
            "source",
            "data",
            "media_type",
            "id",
            "input",
            "name",
            "tool_use_id",
            "input_schema",
            "citations",
            "user_id",
            "format",
            "schema",
            "budget_tokens",
            "x",
        ]);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            words.prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((names.clone(), inner), 0..6).prop_map(|members| {
                    Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_body_is_read_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..60),
            fields in prop::collection::vec(
                (prop::sample::select([&SHARED[..], &OF_ANSWERS, &SAMPLING].concat()), anything()), 0..4),
            message in anything(),
        ) {
            let mut body = Map::from_iter([
                ("model".to_owned(), json!("m")),
                ("max_tokens".to_owned(), json!(5)),
                ("messages".to_owned(), json!([{"role": "user", "content": "x"}, message])),
            ]);
            body.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
            for body in [bytes, Value::Object(body).to_string().into_bytes()] {
                for (kind, version) in [(Kind::Answer, Version::Of2023), (Kind::Count, Version::Of2026)] {
                    if let Err(refusal) = Asked::read(kind, version, true, &body) {
                        let refused = Refused::from(refusal);
                        prop_assert!(refused.status.is_client_error());
                        let said: Value = serde_json::from_str(&refused.body).unwrap();
                        prop_assert!(said["error"]["message"].is_string());
                    }
                }
            }
        }
    }
}
