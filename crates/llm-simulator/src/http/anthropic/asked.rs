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
