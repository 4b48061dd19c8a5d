//! What a request asks for, whatever the provider: tolerant readers, for the provider decides what
//! it refuses.
//!
//! Owns which paths are calls of a protocol. A question read here has the fingerprint of the one
//! that the simulator's own reader of that protocol makes of the same body: by it replay finds the
//! recording. Must not know HTTP.

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::call::Protocol;
use crate::question::{Form, Question, Turn};

/// A call that is recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// How it is written.
    pub protocol: Protocol,
    /// The path, as the route table writes it.
    pub route: &'static str,
    /// What is asked.
    pub question: Question,
    /// Whether the answer is to come in pieces.
    pub stream: bool,
}

/// A path that is a call of a protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The protocol.
    pub protocol: Protocol,
    /// The path, as the route table writes it.
    pub path: &'static str,
    /// The model, where the path names it.
    model: Option<String>,
}

impl Route {
    /// The model, where the path names it.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The call that a `POST` to this path is. What stands before OpenAI's and Anthropic's paths
    /// is the upstream's own, as in `/openai/v1/chat/completions`.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        let plain = |protocol, path| Some(Self { protocol, path, model: None });
        match path {
            "/api/chat" => return plain(Protocol::Ollama, "/api/chat"),
            "/api/generate" => return plain(Protocol::Ollama, "/api/generate"),
            _ if path.ends_with("/v1/chat/completions") => {
                return plain(Protocol::OpenAi, "/v1/chat/completions");
            }
            _ if path.ends_with("/v1/messages") => return plain(Protocol::Anthropic, "/v1/messages"),
            _ => {}
        }
        let (model, operation) = path.strip_prefix("/model/")?.rsplit_once('/')?;
        let path = match operation {
            "converse" => "/model/{modelId}/converse",
            "converse-stream" => "/model/{modelId}/converse-stream",
            _ => return None,
        };
        let model = percent_decode_str(model).decode_utf8().ok()?.into_owned();
        Some(Self { protocol: Protocol::Bedrock, path, model: Some(model) })
    }
}

impl Asked {
    /// Reads a body. Nothing where it is no question: then there is no answer to be recorded.
    #[must_use]
    pub fn read(route: &Route, body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let mut stream = body.get("stream").and_then(Value::as_bool).unwrap_or_default();
        let mut question = match route.protocol {
            Protocol::Ollama => {
                stream = body.get("stream").and_then(Value::as_bool).unwrap_or(true);
                ollama(&body)
            }
            Protocol::OpenAi => openai(&body),
            Protocol::Anthropic => anthropic(&body),
            Protocol::Bedrock => {
                stream = route.path.ends_with("-stream");
                bedrock(&body)
            }
        };
        question.model = match &route.model {
            Some(model) => model.clone(),
            None => text_of(&body, "model").to_owned(),
        };
        let asks = !question.model.is_empty() && !question.turns.is_empty();
        asks.then_some(Self { protocol: route.protocol, route: route.path, question, stream })
    }
}

fn text_of<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list_of<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn texts_of(value: &Value, name: &str) -> Vec<String> {
    match value.get(name) {
        Some(Value::String(one)) => vec![one.clone()],
        _ => list_of(value, name).filter_map(Value::as_str).map(str::to_owned).collect(),
    }
}

fn line(text: &mut String, more: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(more);
}

fn turn(role: &str, text: String) -> Turn {
    Turn { role: role.to_owned(), text }
}

/// Where Ollama's own reader refuses: see `http/ollama/asked.rs`.
fn ollama(body: &Value) -> Question {
    let mut turns: Vec<Turn> = list_of(body, "messages")
        .map(|message| turn(text_of(message, "role"), text_of(message, "content").to_owned()))
        .collect();
    let (system, prompt) = (text_of(body, "system"), text_of(body, "prompt"));
    if !prompt.is_empty() {
        if !system.is_empty() {
            turns.push(turn("system", system.to_owned()));
        }
        turns.push(turn("user", prompt.to_owned()));
    }
    let options = body.get("options").unwrap_or(&Value::Null);
    Question {
        turns,
        max_output_tokens: options.get("num_predict").and_then(Value::as_u64).filter(|most| *most > 0),
        stop: texts_of(options, "stop"),
        form: match body.get("format") {
            Some(Value::String(name)) if name == "json" => Form::Json,
            Some(schema @ Value::Object(_)) => Form::Schema(schema.clone()),
            _ => Form::Prose,
        },
        variation: options.get("seed").and_then(Value::as_i64),
        ..Question::default()
    }
}

/// <https://platform.openai.com/docs/api-reference/chat/create>
fn openai(body: &Value) -> Question {
    let said = |message: &Value| {
        let mut text = text_of(message, "content").to_owned();
        for part in list_of(message, "content") {
            if let kind @ ("text" | "refusal") = text_of(part, "type") {
                line(&mut text, text_of(part, kind));
            }
        }
        for call in list_of(message, "tool_calls") {
            let kind = if call.get("custom").is_some() { "custom" } else { "function" };
            let function = call.get(kind).unwrap_or(&Value::Null);
            line(&mut text, text_of(function, "name"));
            line(&mut text, text_of(function, if kind == "custom" { "input" } else { "arguments" }));
        }
        turn(text_of(message, "role"), text)
    };
    let format = body.get("response_format").unwrap_or(&Value::Null);
    let form = match text_of(format, "type") {
        "json_object" => Form::Json,
        "json_schema" => {
            format.pointer("/json_schema/schema").map_or(Form::Json, |schema| Form::Schema(schema.clone()))
        }
        _ => Form::Prose,
    };
    let most = ["max_tokens", "max_completion_tokens"];
    let forced = body
        .pointer("/tool_choice/function/name")
        .and_then(|name| list_of(body, "tools").find(|tool| tool.pointer("/function/name") == Some(name)))
        .or_else(|| {
            list_of(body, "tools")
                .next()
                .filter(|_| body.get("tool_choice").and_then(Value::as_str) == Some("required"))
        })
        .and_then(|tool| tool.pointer("/function/parameters"));
    Question {
        turns: list_of(body, "messages").map(said).collect(),
        max_output_tokens: most.iter().find_map(|name| body.get(*name)).and_then(Value::as_u64),
        stop: texts_of(body, "stop"),
        form: forced.map_or(form, |schema| Form::Schema(schema.clone())),
        variation: body.get("seed").and_then(Value::as_i64),
        ..Question::default()
    }
}

/// <https://docs.anthropic.com/en/api/messages>
fn anthropic(body: &Value) -> Question {
    let mut turns = Vec::new();
    let system = blocks(body.get("system"), true);
    if !system.is_empty() {
        turns.push(turn("system", system));
    }
    let said = |message: &Value| turn(text_of(message, "role"), blocks(message.get("content"), true));
    turns.extend(list_of(body, "messages").map(said));
    let forced = body
        .pointer("/tool_choice/name")
        .and_then(|name| list_of(body, "tools").find(|tool| tool.get("name") == Some(name)))
        .or_else(|| {
            let any = body.pointer("/tool_choice/type").and_then(Value::as_str) == Some("any");
            list_of(body, "tools").next().filter(|_| any)
        })
        .and_then(|tool| tool.get("input_schema"))
        .or_else(|| body.pointer("/output_config/format/schema"))
        .or_else(|| body.pointer("/output_format/schema"));
    Question {
        turns,
        max_output_tokens: body.get("max_tokens").and_then(Value::as_u64),
        stop: texts_of(body, "stop_sequences"),
        form: forced.map_or(Form::Prose, |schema| Form::Schema(schema.clone())),
        ..Question::default()
    }
}

/// The text of Anthropic's blocks; `nested` where blocks inside them are read, too.
fn blocks(content: Option<&Value>, nested: bool) -> String {
    let mut text = String::new();
    match content {
        Some(Value::String(plain)) => text.push_str(plain),
        Some(Value::Array(blocks_of)) => {
            for block in blocks_of {
                match text_of(block, "type") {
                    "text" => line(&mut text, text_of(block, "text")),
                    "tool_use" => {
                        line(&mut text, text_of(block, "name"));
                        line(&mut text, &block.get("input").map(Value::to_string).unwrap_or_default());
                    }
                    "tool_result" if nested => {
                        let inner = blocks(block.get("content"), false);
                        if !inner.is_empty() {
                            line(&mut text, &inner);
                        }
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
    text
}

/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>
fn bedrock(body: &Value) -> Question {
    let said = |content: Option<&Value>| {
        let mut text = String::new();
        for block in content.and_then(Value::as_array).into_iter().flatten() {
            if let Some(plain) = block.get("text").and_then(Value::as_str) {
                line(&mut text, plain);
            }
            if let Some(call) = block.get("toolUse") {
                line(&mut text, text_of(call, "name"));
                line(&mut text, &call.get("input").map(Value::to_string).unwrap_or_default());
            }
            for result in block.get("toolResult").into_iter().flat_map(|result| list_of(result, "content")) {
                match (result.get("text").and_then(Value::as_str), result.get("json")) {
                    (Some(plain), _) => line(&mut text, plain),
                    (None, Some(json)) => line(&mut text, &json.to_string()),
                    (None, None) => {}
                }
            }
        }
        text
    };
    let mut turns = Vec::new();
    let system = said(body.get("system"));
    if !system.is_empty() {
        turns.push(turn("system", system));
    }
    let messages = list_of(body, "messages");
    turns.extend(messages.map(|message| turn(text_of(message, "role"), said(message.get("content")))));
    let settings = body.get("inferenceConfig").unwrap_or(&Value::Null);
    Question {
        turns,
        max_output_tokens: settings.get("maxTokens").and_then(Value::as_u64),
        stop: texts_of(settings, "stopSequences"),
        ..Question::default()
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, Route};
    use crate::question::Form;

    fn read(path: &str, body: &str) -> Asked {
        Asked::read(&Route::of(path).unwrap(), body.as_bytes()).unwrap()
    }

    fn said(asked: &Asked) -> Vec<(&str, &str)> {
        asked.question.turns.iter().map(|turn| (turn.role.as_str(), turn.text.as_str())).collect()
    }

    #[test]
    fn paths_of_the_four_protocols_are_calls() {
        for (path, route) in [
            ("/api/chat", "/api/chat"),
            ("/openai/v1/chat/completions", "/v1/chat/completions"),
            ("/v1/messages", "/v1/messages"),
            ("/model/us.a%3A0/converse", "/model/{modelId}/converse"),
            ("/model/a/converse-stream", "/model/{modelId}/converse-stream"),
        ] {
            assert_eq!(Route::of(path).unwrap().path, route);
        }
        for path in ["/", "/api/tags", "/v1/messages/count_tokens", "/model/a/invoke", "/model/%ff/converse"]
        {
            assert_eq!(Route::of(path), None, "{path}");
        }
    }

    #[test]
    fn the_same_question_in_every_protocol_has_the_same_fingerprint() {
        let asked = [
            read(
                "/api/chat",
                r#"{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":"u"}],"options":{"num_predict":5,"stop":["x"]}}"#,
            ),
            read(
                "/v1/chat/completions",
                r#"{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"u"}]}],"max_completion_tokens":5,"stop":"x"}"#,
            ),
            read(
                "/v1/messages",
                r#"{"model":"m","system":"s","messages":[{"role":"user","content":[{"type":"text","text":"u"}]}],"max_tokens":5,"stop_sequences":["x"],"stream":true}"#,
            ),
            read(
                "/model/m/converse-stream",
                r#"{"system":[{"text":"s"}],"messages":[{"role":"user","content":[{"text":"u"}]}],"inferenceConfig":{"maxTokens":5,"stopSequences":["x"]}}"#,
            ),
        ];
        assert_eq!(asked.each_ref().map(|asked| asked.stream), [true, false, true, true]);
        for one in &asked {
            assert_eq!(said(one), [("system", "s"), ("user", "u")]);
            assert_eq!(one.question.recorded_fingerprint(), asked[0].question.recorded_fingerprint());
        }
    }

    #[test]
    fn tools_and_forms_count() {
        let asked = read(
            "/v1/chat/completions",
            r#"{"model":"m","messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function",
               "function":{"name":"f","arguments":"{}"}}]}],"response_format":{"type":"json_object"}}"#,
        );
        assert_eq!((said(&asked), &asked.question.form), (vec![("assistant", "f\n{}")], &Form::Json));
        let asked = read(
            "/v1/messages",
            r#"{"model":"m","messages":[{"role":"user","content":[{"type":"tool_result","content":[{"type":"text","text":"r"}]}]}],
               "tools":[{"name":"t","input_schema":{"type":"object"}}],"tool_choice":{"type":"tool","name":"t"}}"#,
        );
        assert!(matches!(&asked.question.form, Form::Schema(_)) && said(&asked) == [("user", "r")]);
    }

    #[test]
    fn what_asks_nothing_is_no_call() {
        for body in ["", "x", "[]", "5", "{}", r#"{"model":"m"}"#, r#"{"model":5,"messages":[5]}"#] {
            for path in ["/api/chat", "/v1/chat/completions", "/v1/messages"] {
                assert_eq!(Asked::read(&Route::of(path).unwrap(), body.as_bytes()), None, "{path} {body}");
            }
        }
    }
}
