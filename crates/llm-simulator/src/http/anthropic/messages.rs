//! The conversation of a request, as turns. Pure.
//!
//! Owns which roles, blocks and fields there are. Images and documents that are no text are accepted
//! and say nothing; the calls of tools and their results count as text.
//!
//! Source: <https://docs.anthropic.com/en/api/messages>. Turns of one role may follow one another and
//! any role may begin, as the API has it since October 2024.

use serde_json::Value;

use super::body::Fields;
use super::refusal::Refusal;
use super::version::Version;
use crate::question::Turn;

const ROLES: [&str; 3] = ["user", "assistant", "system"];

/// Blocks and their fields; of those of server tools the fields are not checked.
const BLOCKS: [(&str, &[&str]); 16] = [
    ("text", &["type", "text", "cache_control", "citations"]),
    ("image", &["type", "source", "cache_control", "transformations"]),
    ("document", &["type", "source", "cache_control", "citations", "context", "title"]),
    ("search_result", &["type", "content", "source", "title", "cache_control", "citations"]),
    ("thinking", &["type", "thinking", "signature"]),
    ("redacted_thinking", &["type", "data"]),
    ("tool_use", &["type", "id", "name", "input", "cache_control", "caller", "toolset_name"]),
    ("tool_result", &["type", "tool_use_id", "content", "is_error", "cache_control", "toolset_name"]),
    ("server_tool_use", &[]),
    ("web_search_tool_result", &[]),
    ("web_fetch_tool_result", &[]),
    ("code_execution_tool_result", &[]),
    ("bash_code_execution_tool_result", &[]),
    ("text_editor_code_execution_tool_result", &[]),
    ("tool_search_tool_result", &[]),
    ("container_upload", &[]),
];

/// Who says something, and by the rules of which version.
#[derive(Clone, Copy)]
struct Speaker<'a> {
    role: &'a str,
    version: Version,
}

impl Speaker<'_> {
    /// Refuses what this version took from this role.
    fn may_say(self, block: &Fields<'_>, kind: &str) -> Result<(), Refusal> {
        let citations = block.get("citations").and_then(Value::as_array);
        match (self.version, self.role, kind) {
            (Version::Of2026, "assistant", "document") => {
                let said = "document blocks are not allowed in assistant messages";
                Err(Refusal::wrong(block.own_place(), said))
            }
            (Version::Of2026, "user", "text") if citations.is_some_and(|list| !list.is_empty()) => {
                let said = "citations are not allowed in user messages";
                Err(Refusal::wrong(block.place("citations"), said))
            }
            _ => Ok(()),
        }
    }
}

/// Reads `system` and `messages`.
pub(super) fn read(body: &Fields<'_>, version: Version) -> Result<Vec<Turn>, Refusal> {
    let messages = body.objects("messages")?.ok_or_else(|| body.missing("messages"))?;
    let mut turns = Vec::with_capacity(messages.len() + 1);
    if let Some(text) = system(body)? {
        turns.push(Turn { role: "system".to_owned(), text });
    }
    if messages.is_empty() {
        return Err(Refusal::wrong("messages", "at least one message is required"));
    }
    let last = messages.len() - 1;
    for (index, message) in messages.iter().enumerate() {
        message.only(&["role", "content"])?;
        let role = message.one_of("role", &ROLES)?.ok_or_else(|| message.missing("role"))?;
        let text = content(message, Speaker { role, version })?;
        let empty = text.is_none();
        if empty && role == "user" {
            return Err(Refusal::wrong(message.own_place(), "user messages must have non-empty content"));
        }
        if empty && !(role == "assistant" && index == last) {
            let said =
                "all messages must have non-empty content except for the optional final assistant message";
            return Err(Refusal::wrong(message.own_place(), said));
        }
        let text = text.unwrap_or_default();
        if index == last && role == "assistant" && text.ends_with(char::is_whitespace) {
            let said = "final assistant content cannot end with trailing whitespace";
            return Err(Refusal::wrong("messages", said));
        }
        turns.push(Turn { role: role.to_owned(), text });
    }
    Ok(turns)
}

/// The text of `system`, a string or blocks of text.
fn system(body: &Fields<'_>) -> Result<Option<String>, Refusal> {
    match body.get("system") {
        None => Ok(None),
        Some(Value::String(text)) => Ok((!text.is_empty()).then(|| text.clone())),
        Some(_) => {
            let mut text = String::new();
            for block in body.objects("system")?.unwrap_or_default() {
                block.tag(&["text"])?;
                block.only(&["type", "text", "cache_control", "citations"])?;
                add_text(&block, "system", &mut text)?;
            }
            Ok((!text.is_empty()).then_some(text))
        }
    }
}

/// The text of a message's `content`; nothing where it is empty.
fn content(message: &Fields<'_>, speaker: Speaker<'_>) -> Result<Option<String>, Refusal> {
    let value = message.get("content").ok_or_else(|| message.missing("content"))?;
    if let Some(text) = value.as_str() {
        return Ok((!text.is_empty()).then(|| text.to_owned()));
    }
    let blocks = message.objects("content")?.unwrap_or_default();
    let mut text = String::new();
    for block in &blocks {
        add(block, speaker, &mut text, true)?;
    }
    Ok((!blocks.is_empty()).then_some(text))
}

/// Adds the text of a block; `nested` where blocks inside it are read, too.
fn add(block: &Fields<'_>, speaker: Speaker<'_>, text: &mut String, nested: bool) -> Result<(), Refusal> {
    let kind = block.tag(&BLOCKS.map(|(name, _)| name))?;
    // Errors name a block's fields below its kind.
    let named = block.under(kind);
    if let Some((_, fields)) = BLOCKS.iter().find(|(name, fields)| *name == kind && !fields.is_empty()) {
        named.only(fields)?;
    }
    speaker.may_say(&named, kind)?;
    match kind {
        "text" => add_text(&named, "messages", text)?,
        "image" => source(&named, &["base64", "url", "file"], text)?,
        "document" => {
            named.nullable_string("title")?;
            source(&named, &["base64", "text", "content", "url", "file"], text)?;
        }
        "thinking" => {
            named.required("thinking")?;
            named.required("signature")?;
        }
        "redacted_thinking" => {
            named.required("data")?;
        }
        "tool_use" => {
            named.required("id")?;
            line(text, named.required("name")?);
            named.object("input")?.ok_or_else(|| named.missing("input"))?;
            line(text, &named.get("input").map(Value::to_string).unwrap_or_default());
        }
        "tool_result" => {
            named.required("tool_use_id")?;
            named.bool("is_error")?;
            match named.get("content") {
                None => {}
                Some(Value::String(result)) => line(text, result),
                Some(_) if nested => {
                    for inner in named.objects("content")?.unwrap_or_default() {
                        add(&inner, speaker, text, false)?;
                    }
                }
                Some(_) => return Err(named.wrong("content", "a valid string")),
            }
        }
        "search_result" => {
            named.required("title")?;
            named.required("source")?;
            for inner in named.objects("content")?.ok_or_else(|| named.missing("content"))? {
                let kind = inner.tag(&["text"])?;
                speaker.may_say(&inner, kind)?;
                add_text(&inner, "messages", text)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Checks where an image or a document comes from, and adds a document that is text.
fn source(block: &Fields<'_>, kinds: &[&str], text: &mut String) -> Result<(), Refusal> {
    let source = block.object("source")?.ok_or_else(|| block.missing("source"))?;
    match source.tag(kinds)? {
        "base64" => {
            source.required("media_type")?;
            source.required("data")?;
        }
        "text" => line(text, source.required("data")?),
        "url" => {
            source.required("url")?;
        }
        "file" => {
            source.required("file_id")?;
        }
        _ => {}
    }
    Ok(())
}

/// Adds a block of text, which must not be empty.
fn add_text(block: &Fields<'_>, place: &str, text: &mut String) -> Result<(), Refusal> {
    let more = block.required("text")?;
    if more.is_empty() {
        return Err(Refusal::wrong(place, "text content blocks must be non-empty"));
    }
    block.nullable_object("cache_control")?;
    line(text, more);
    Ok(())
}

fn line(text: &mut String, more: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(more);
}
