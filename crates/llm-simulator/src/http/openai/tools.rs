//! The tools of a chat, and the call that the client forces. Pure.
//!
//! A simulated model calls a tool only when it is made to: by name, or as `required`, which is the
//! first tool then. Its arguments fit the tool's schema. Left to itself it answers in prose.

use serde_json::{Value, json};

use super::body::Fields;
use super::refusal::Refusal;

/// A call that the client forces.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Forced {
    /// The function.
    pub(super) name: String,
    /// What its arguments look like.
    pub(super) schema: Value,
    /// Whether the client named it: OpenAI then ends with `stop`, else with `tool_calls`.
    pub(super) by_name: bool,
}

/// A tool on offer.
struct Tool {
    name: String,
    /// Nothing for tools whose input is free text.
    schema: Option<Value>,
}

/// Reads `tools` and `tool_choice`.
pub(super) fn read(body: &Fields<'_>) -> Result<Option<Forced>, Refusal> {
    let tools = tools(body)?;
    if tools.is_none() && body.get("parallel_tool_calls").is_some() {
        let said = "'parallel_tool_calls' is only allowed when 'tools' are specified.";
        return Err(Refusal::unfit("parallel_tool_calls", said));
    }
    body.bool("parallel_tool_calls")?;
    let Some(choice) = body.get("tool_choice") else { return Ok(None) };
    let modes = ["none", "auto", "required"];
    let name = match choice {
        Value::String(mode) => {
            let mode = body.one_of("tool_choice", &modes)?.unwrap_or(mode);
            (mode == "required").then_some(None)
        }
        Value::Object(_) => named(body)?,
        other => return Err(body.wrong("tool_choice", "one of a string or object", other)),
    };
    let tools = tools.ok_or_else(|| {
        Refusal::unfit("tool_choice", "'tool_choice' is only allowed when 'tools' are specified.")
    })?;
    let Some(name) = name else { return Ok(None) };
    let by_name = name.is_some();
    let tool = tools.into_iter().find(|tool| name.as_ref().is_none_or(|name| *name == tool.name));
    let Some(Tool { name, schema }) = tool else {
        let name = name.unwrap_or_default();
        return Err(Refusal::unfit(
            "tool_choice",
            format!("Tool choice '{name}' not found in 'tools' parameter."),
        ));
    };
    let Some(schema) = schema else {
        return Err(Refusal::unfit("tool_choice", "Simulated models call functions only, no custom tools."));
    };
    Ok(Some(Forced { name, schema, by_name }))
}

/// The tool a `tool_choice` object asks for: none, any, or one by its name.
fn named(body: &Fields<'_>) -> Result<Option<Option<String>>, Refusal> {
    let Some(choice) = body.object("tool_choice")? else { return Ok(None) };
    let kinds = ["function", "custom", "allowed_tools"];
    let kind = choice.one_of("type", &kinds)?.ok_or_else(|| choice.missing("type"))?;
    let inner = choice.object(kind)?.ok_or_else(|| choice.missing(kind))?;
    if kind == "allowed_tools" {
        let mode = inner.one_of("mode", &["auto", "required"])?.ok_or_else(|| inner.missing("mode"))?;
        return Ok((mode == "required").then_some(None));
    }
    Ok(Some(Some(inner.required("name")?.to_owned())))
}

fn tools(body: &Fields<'_>) -> Result<Option<Vec<Tool>>, Refusal> {
    let Some(tools) = body.objects("tools", "an array of objects")? else { return Ok(None) };
    if tools.is_empty() {
        return Err(Refusal::Empty(body.param("tools")));
    }
    let read = |tool: &Fields<'_>| {
        let kind = tool.one_of("type", &["function", "custom"])?.ok_or_else(|| tool.missing("type"))?;
        let inner = tool.object(kind)?.ok_or_else(|| tool.missing(kind))?;
        let name = inner.required("name")?.to_owned();
        inner.string("description")?;
        let schema = match kind {
            "function" => {
                inner.object("parameters")?;
                Some(inner.get("parameters").cloned().unwrap_or_else(|| json!({"type": "object"})))
            }
            _ => None,
        };
        Ok(Tool { name, schema })
    };
    tools.iter().map(read).collect::<Result<_, _>>().map(Some)
}
