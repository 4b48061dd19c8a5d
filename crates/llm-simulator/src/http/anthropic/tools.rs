//! The tools of a request, and the call that the client forces. Pure.
//!
//! A simulated model calls a tool only when it is made to: by name, or as `any`, which is the first
//! tool then. The input fits the tool's schema. Left to itself it answers in prose.

use serde_json::Value;

use super::body::Fields;
use super::refusal::Refusal;

/// Fields of a tool of the client's own.
const FIELDS: [&str; 10] = [
    "type",
    "name",
    "description",
    "input_schema",
    "cache_control",
    "allowed_callers",
    "defer_loading",
    "eager_input_streaming",
    "input_examples",
    "strict",
];

/// A call that the client forces.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Forced {
    /// The tool.
    pub(super) name: String,
    /// What its input looks like.
    pub(super) schema: Value,
}

/// A tool on offer.
struct Tool {
    name: String,
    /// Nothing for Anthropic's own tools.
    schema: Option<Value>,
}

/// Reads `tools` and `tool_choice`.
pub(super) fn read(body: &Fields<'_>) -> Result<Option<Forced>, Refusal> {
    let tools = body.objects("tools")?.unwrap_or_default();
    let tools: Vec<Tool> = tools.iter().map(tool).collect::<Result<_, _>>()?;
    let Some(choice) = body.object("tool_choice")? else { return Ok(None) };
    let kind = choice.tag(&["auto", "any", "tool", "none"])?;
    choice.bool("disable_parallel_tool_use")?;
    let fields = ["type", "disable_parallel_tool_use", "name"];
    choice.under(kind).only(fields.get(..if kind == "tool" { 3 } else { 2 }).unwrap_or_default())?;
    let name = if kind == "tool" { Some(choice.under(kind).required("name")?) } else { None };
    if matches!(kind, "auto" | "none") {
        return Ok(None);
    }
    if tools.is_empty() {
        let said = "tool_choice may only be specified while providing tools".to_owned();
        return Err(Refusal::wrong("tool_choice", said));
    }
    let Some(tool) = tools.into_iter().find(|tool| name.is_none_or(|name| name == tool.name)) else {
        let said = format!("Tool '{}' not found in provided tools", name.unwrap_or_default());
        return Err(Refusal::Unfit(said));
    };
    let Some(schema) = tool.schema else {
        let said = "Simulated models call tools that have an input_schema only";
        return Err(Refusal::wrong("tool_choice", said));
    };
    Ok(Some(Forced { name: tool.name, schema }))
}

fn tool(tool: &Fields<'_>) -> Result<Tool, Refusal> {
    let kind = tool.nullable_string("type")?.unwrap_or("custom");
    if kind != "custom" {
        // One of Anthropic's own: each has fields of its own.
        return Ok(Tool { name: tool.string("name")?.unwrap_or_default().to_owned(), schema: None });
    }
    let named = tool.under("custom");
    named.only(&FIELDS)?;
    let name = named.required("name")?.to_owned();
    named.string("description")?;
    let schema = named.object("input_schema")?.ok_or_else(|| named.missing("input_schema"))?;
    schema.one_of("type", &["object"])?.ok_or_else(|| schema.missing("type"))?;
    Ok(Tool { name, schema: named.get("input_schema").cloned() })
}
