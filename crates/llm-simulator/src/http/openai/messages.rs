//! The conversation of a chat, as turns. Pure.
//!
//! Owns which roles, fields and parts there are. Images, audio and files are accepted and say
//! nothing; the calls of tools count as text.

use super::body::Fields;
use super::refusal::Refusal;
use crate::question::Turn;

const ROLES: [&str; 6] = ["system", "assistant", "user", "function", "tool", "developer"];
/// With `annotations`, which no client writes and all send back.
const FIELDS: [&str; 9] = [
    "role",
    "content",
    "name",
    "tool_calls",
    "tool_call_id",
    "function_call",
    "refusal",
    "audio",
    "annotations",
];
const PARTS: [&str; 6] = ["text", "image_url", "input_audio", "refusal", "audio", "file"];
const CONTENT: &str = "one of a string or array of objects";

/// Reads `messages`.
pub(super) fn read(body: &Fields<'_>) -> Result<Vec<Turn>, Refusal> {
    let messages =
        body.objects("messages", "an array of objects")?.ok_or_else(|| body.missing("messages"))?;
    if messages.is_empty() {
        return Err(Refusal::Empty(body.param("messages")));
    }
    let mut calls_open = false;
    let mut turns = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        message.only(&FIELDS)?;
        let role = message.one_of("role", &ROLES)?.ok_or_else(|| message.missing("role"))?;
        let mut text = String::new();
        let said = content(message, &mut text)?;
        message.string("name")?;
        let calls = message.objects("tool_calls", "an array of objects")?.unwrap_or_default();
        for call in &calls {
            called(call, &mut text)?;
        }
        match role {
            "tool" => {
                message.required("tool_call_id")?;
                if !calls_open {
                    let param = format!("messages.[{index}].role");
                    let said = "Invalid parameter: messages with role 'tool' must be a response to a \
                                preceeding message with 'tool_calls'.";
                    return Err(Refusal::unfit(&param, said));
                }
            }
            _ => calls_open = !calls.is_empty(),
        }
        let instead = ["function_call", "refusal", "audio"];
        let silent = !said && calls.is_empty() && instead.iter().all(|name| message.get(name).is_none());
        if silent && message.is_null("content") {
            let param = format!("messages.[{index}].content");
            return Err(Refusal::unfit(&param, "Invalid value for 'content': expected a string, got null."));
        }
        if silent {
            return Err(message.missing("content"));
        }
        turns.push(Turn { role: role.to_owned(), text });
    }
    Ok(turns)
}

/// Adds the text of a content; whether there is any content.
fn content(message: &Fields<'_>, text: &mut String) -> Result<bool, Refusal> {
    let Some(value) = message.get("content") else { return Ok(false) };
    if let Some(plain) = value.as_str() {
        text.push_str(plain);
        return Ok(true);
    }
    let parts = message.objects("content", CONTENT)?.unwrap_or_default();
    if parts.is_empty() {
        return Err(Refusal::Empty(message.param("content")));
    }
    for part in &parts {
        let kind = part.one_of("type", &PARTS)?.ok_or_else(|| part.missing("type"))?;
        match kind {
            "text" => line(text, part.required("text")?),
            "refusal" => line(text, part.required("refusal")?),
            "image_url" => {
                let image = part.object(kind)?.ok_or_else(|| part.missing(kind))?;
                image.required("url")?;
                image.one_of("detail", &["low", "high", "auto"])?;
            }
            _ => {
                part.object(kind)?.ok_or_else(|| part.missing(kind))?;
            }
        }
    }
    Ok(true)
}

/// Adds the call of a tool.
fn called(call: &Fields<'_>, text: &mut String) -> Result<(), Refusal> {
    call.required("id")?;
    let kind = call.one_of("type", &["function", "custom"])?.ok_or_else(|| call.missing("type"))?;
    let function = call.object(kind)?.ok_or_else(|| call.missing(kind))?;
    line(text, function.required("name")?);
    line(text, function.required(if kind == "function" { "arguments" } else { "input" })?);
    Ok(())
}

fn line(text: &mut String, more: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(more);
}
