//! What a client of OpenAI asks for: the body of `/v1/chat/completions`. Pure.
//!
//! Source: <https://platform.openai.com/docs/api-reference/chat/create>.

use http::StatusCode;
use serde_json::Value;

use super::body::Fields;
use super::messages;
use super::refusal::Refusal;
use super::tools::{self, Forced};
use crate::http::json_body;
use crate::question::{Form, Question};

/// Every field there is.
const FIELDS: [&str; 37] = [
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "modalities",
    "model",
    "moderation",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
];
/// Most stop texts.
const MOST_STOPS: usize = 4;

/// A request for an answer.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// What is asked.
    pub(super) question: Question,
    /// Whether the answer is to come in events.
    pub(super) stream: bool,
    /// Whether a stream tells its usage.
    pub(super) include_usage: bool,
    /// The function that the answer has to call.
    pub(super) forced: Option<Forced>,
    /// For whom the client asks.
    pub(super) end_user: Option<String>,
}

impl Asked {
    /// Reads a body.
    pub(super) fn read(body: &[u8]) -> Result<Self, Refusal> {
        // A body that is missing says as much as an empty one.
        let value =
            if body.is_empty() { Value::Object(serde_json::Map::new()) } else { json_body::parse(body)? };
        let body = Fields::of(&value)?;
        let unknown = body.other_than(&FIELDS);
        if !unknown.is_empty() {
            return Err(Refusal::Unrecognized(unknown));
        }
        let model = body.string("model")?.filter(|model| !model.is_empty()).ok_or(Refusal::NoModel)?;
        let turns = messages::read(&body)?;
        let max_output_tokens = longest(&body)?;
        accept(&body)?;
        let (stream, include_usage) = streaming(&body)?;
        let forced = tools::read(&body)?;
        let mut form = form(&body)?;
        if form == Form::Json && !turns.iter().any(|turn| turn.text.to_lowercase().contains("json")) {
            let said = "'messages' must contain the word 'json' in some form, to use 'response_format' of type \
                        'json_object'.";
            return Err(Refusal::unfit("messages", said));
        }
        if let Some(forced) = &forced {
            form = Form::Schema(forced.schema.clone());
        }
        let end_user = match body.string("safety_identifier")? {
            Some(identifier) => Some(identifier),
            None => body.string("user")?,
        };
        let question = Question {
            model: model.to_owned(),
            turns,
            max_output_tokens,
            stop: stops(&body)?,
            form,
            variation: body.integer("seed", i64::MIN, i64::MAX)?,
        };
        let end_user = end_user.filter(|user| !user.is_empty()).map(str::to_owned);
        Ok(Self { question, stream, include_usage, forced, end_user })
    }
}

/// `max_tokens` and its newer name.
fn longest(body: &Fields<'_>) -> Result<Option<u64>, Refusal> {
    let [older, newer] = ["max_tokens", "max_completion_tokens"].map(|name| body.integer(name, 1, i64::MAX));
    match (older?, newer?) {
        (Some(_), Some(_)) => Err(Refusal::unfit(
            "max_tokens",
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
        )),
        (older, newer) => Ok(older.or(newer).and_then(|most| u64::try_from(most).ok())),
    }
}

/// Checks what is accepted and has no effect.
fn accept(body: &Fields<'_>) -> Result<(), Refusal> {
    body.decimal("temperature", 0.0, 2.0)?;
    body.decimal("top_p", 0.0, 1.0)?;
    body.decimal("presence_penalty", -2.0, 2.0)?;
    body.decimal("frequency_penalty", -2.0, 2.0)?;
    // One answer only.
    body.integer("n", 1, 1)?;
    for name in ["user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"] {
        body.string(name)?;
    }
    for name in ["metadata", "logit_bias", "prediction", "web_search_options", "audio", "moderation"] {
        body.object(name)?;
    }
    body.bool("store")?;
    let tiers = ["auto", "default", "flex", "scale", "priority", "fast"];
    body.one_of("service_tier", &tiers)?;
    body.one_of("reasoning_effort", &["none", "minimal", "low", "medium", "high", "xhigh", "max"])?;
    body.one_of("verbosity", &["low", "medium", "high"])?;
    let logprobs = body.bool("logprobs")? == Some(true);
    let top = body.integer("top_logprobs", 0, 20)?;
    if logprobs || top.is_some() {
        return Err(Refusal::Unfit {
            message: "You are not allowed to request logprobs from this model".to_owned(),
            param: None,
            status: StatusCode::FORBIDDEN,
        });
    }
    if let Some(modalities) = body.get("modalities") {
        let list = modalities
            .as_array()
            .ok_or_else(|| body.wrong("modalities", "an array of strings", modalities))?;
        for (index, modality) in list.iter().enumerate() {
            let place = format!("modalities[{index}]");
            match modality.as_str() {
                Some("text") => {}
                Some(other) => return Err(body.none_of(&place, other, &["text"])),
                None => return Err(body.wrong(&place, "a string", modality)),
            }
        }
    }
    Ok(())
}

/// `stream` and `stream_options`.
fn streaming(body: &Fields<'_>) -> Result<(bool, bool), Refusal> {
    let stream = body.bool("stream")?.unwrap_or_default();
    let Some(options) = body.object("stream_options")? else { return Ok((stream, false)) };
    if !stream {
        let said = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
        return Err(Refusal::unfit("stream_options", said));
    }
    options.only(&["include_usage", "include_obfuscation"])?;
    options.bool("include_obfuscation")?;
    Ok((stream, options.bool("include_usage")?.unwrap_or_default()))
}

fn stops(body: &Fields<'_>) -> Result<Vec<String>, Refusal> {
    let expected = "one of a string or array of strings";
    match body.get("stop") {
        None => Ok(Vec::new()),
        Some(Value::String(stop)) => Ok(vec![stop.clone()]),
        Some(Value::Array(stops)) if stops.len() > MOST_STOPS => {
            Err(Refusal::TooLong { param: body.param("stop"), most: MOST_STOPS, found: stops.len() })
        }
        Some(Value::Array(stops)) => {
            let read = |(index, stop): (usize, &Value)| {
                stop.as_str()
                    .map(str::to_owned)
                    .ok_or_else(|| body.wrong(&format!("stop[{index}]"), "a string", stop))
            };
            stops.iter().enumerate().map(read).collect()
        }
        Some(other) => Err(body.wrong("stop", expected, other)),
    }
}

fn form(body: &Fields<'_>) -> Result<Form, Refusal> {
    let Some(format) = body.object("response_format")? else { return Ok(Form::Prose) };
    let kinds = ["json_object", "json_schema", "text"];
    match format.one_of("type", &kinds)?.ok_or_else(|| format.missing("type"))? {
        "json_object" => Ok(Form::Json),
        "json_schema" => {
            let described = format.object("json_schema")?.ok_or_else(|| format.missing("json_schema"))?;
            described.only(&["name", "description", "schema", "strict"])?;
            described.required("name")?;
            described.string("description")?;
            described.bool("strict")?;
            described.object("schema")?;
            Ok(described.get("schema").map_or(Form::Json, |schema| Form::Schema(schema.clone())))
        }
        _ => Ok(Form::Prose),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::{Asked, FIELDS};
    use crate::http::serving::Refused;
    use crate::question::Form;

    fn read(body: &Value) -> Asked {
        Asked::read(body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn what_counts_is_read() {
        let asked = read(&json!({
            "model": "gpt-4o", "max_completion_tokens": 5, "seed": -3, "stop": "x", "stream": true,
            "stream_options": {"include_usage": true}, "user": "b",
            "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
        }));
        assert_eq!(
            (asked.question.turns[0].role.as_str(), asked.question.turns[0].text.as_str()),
            ("user", "a\nb")
        );
        assert_eq!((asked.question.max_output_tokens, asked.question.variation), (Some(5), Some(-3)));
        assert_eq!((asked.question.stop, asked.question.form), (vec!["x".to_owned()], Form::Prose));
        assert!(asked.stream && asked.include_usage);
        assert_eq!(asked.end_user.as_deref(), Some("b"));
        let asked = read(&json!({"model": "m", "user": "b", "safety_identifier": "a",
            "messages": [{"role": "user", "content": "x"}]}));
        assert_eq!(asked.end_user.as_deref(), Some("a"));
    }

    /// Any JSON, with words of the protocol in it.
    fn anything() -> impl Strategy<Value = Value> {
        let words = prop::sample::select(vec![
            "user",
            "tool",
            "assistant",
            "text",
            "image_url",
            "function",
            "required",
            "json_schema",
            "",
            "x",
            "json",
        ]);
        let names = prop::sample::select(vec![
            "role",
            "content",
            "type",
            "text",
            "image_url",
            "url",
            "tool_calls",
            "tool_call_id",
            "id",
            "function",
            "name",
            "arguments",
            "parameters",
            "json_schema",
            "schema",
            "include_usage",
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
            fields in prop::collection::vec((prop::sample::select(FIELDS.to_vec()), anything()), 0..4),
            messages in anything(),
        ) {
            let mut body = Map::from_iter([
                ("model".to_owned(), json!("m")),
                ("messages".to_owned(), json!([{"role": "user", "content": "json"}, messages])),
            ]);
            body.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
            for body in [bytes, Value::Object(body).to_string().into_bytes()] {
                match Asked::read(&body) {
                    Ok(asked) => prop_assert!(!asked.question.model.is_empty()),
                    Err(refusal) => {
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
