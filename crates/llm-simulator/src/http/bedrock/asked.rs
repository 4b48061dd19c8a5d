//! What a client of Bedrock asks for: the body of Converse and ConverseStream. Pure.
//!
//! Read in the order in which Bedrock refuses: types first, then the constraints of its API model,
//! all of them told at once, then what a conversation has to look like.

use serde_json::Value;

use super::fields::{Fields, parse};
use super::refusal::Refusal;
use crate::http::json_body;
use crate::question::{Form, Question, Turn};

/// Most stop texts, as the API model has it.
const MOST_STOPS: usize = 2_500;
/// Most characters of a wrong value that are repeated in a refusal.
const REPEATED: usize = 100;
/// What a block of content can be.
const BLOCKS: [&str; 14] = [
    "text",
    "image",
    "document",
    "video",
    "audio",
    "toolUse",
    "toolResult",
    "guardContent",
    "cachePoint",
    "reasoningContent",
    "citationsContent",
    "searchResult",
    "toolAddition",
    "toolRemoval",
];
/// Members that are structures and have no effect.
const STRUCTURES: [&str; 5] =
    ["toolConfig", "guardrailConfig", "performanceConfig", "promptVariables", "serviceTier"];

/// A request for an answer.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// What is asked; its model is in the path and not known here.
    pub(super) question: Question,
    /// The client wants to know which stop text was reached.
    pub(super) tells_stop_sequence: bool,
}

/// A block of a message: its text, or nothing where it is none of those that there are.
struct Block {
    text: Option<String>,
    /// It is a block of text, which must not be blank.
    plain: bool,
}

/// A message as it was sent.
struct Message<'a> {
    role: Option<&'a str>,
    content: Option<Vec<Block>>,
}

/// What breaks the constraints of the API model.
#[derive(Default)]
struct Constraints(Vec<String>);

impl Constraints {
    /// `value` is nothing where it is null.
    fn broken(&mut self, value: Option<&str>, at: &str, must: &str) {
        let value = value.map_or_else(
            || "null".to_owned(),
            |value| format!("'{}'", value.chars().take(REPEATED).collect::<String>()),
        );
        self.0.push(format!("Value {value} at '{at}' failed to satisfy constraint: Member must {must}"));
    }

    fn hold(self) -> Result<(), Refusal> {
        let Self(broken) = self;
        match broken.len() {
            0 => Ok(()),
            1 => Err(Refusal::Invalid(format!("1 validation error detected: {}", broken.join("; ")))),
            several => {
                // The first ones say enough.
                let said = broken.get(..several.min(10)).unwrap_or_default().join("; ");
                Err(Refusal::Invalid(format!("{several} validation errors detected: {said}")))
            }
        }
    }
}

impl Asked {
    /// Reads a body.
    pub(super) fn read(body: &[u8]) -> Result<Self, Refusal> {
        let value = parse(body)?;
        let fields = Fields::of(&value)?;
        let mut constraints = Constraints::default();

        let messages =
            fields.structures("messages")?.iter().map(Message::read).collect::<Result<Vec<_>, _>>()?;
        let system = fields.structures("system")?.iter().map(Block::read).collect::<Result<Vec<_>, _>>()?;
        let (max_output_tokens, stop) = inference(&fields, &mut constraints)?;
        let form = form(&fields, &mut constraints)?;
        for name in STRUCTURES {
            fields.structure(name)?;
        }
        fields.texts_by_name("requestMetadata")?;
        let told = fields.strings("additionalModelResponseFieldPaths")?;

        for (index, message) in (1..).zip(&messages) {
            message.constrain(index, &mut constraints);
        }
        constraints.hold()?;

        let mut turns = Vec::with_capacity(messages.len() + 1);
        for (index, block) in system.iter().enumerate() {
            block.check(
                &format!("SystemContentBlock object at system.{index}"),
                &["text", "guardContent", "cachePoint"],
            )?;
        }
        if !system.is_empty() {
            turns.push(Turn { role: "system".to_owned(), text: joined(&system) });
        }
        converse(&messages, &mut turns)?;
        let question =
            Question { model: String::new(), turns, max_output_tokens, stop, form, variation: None };
        Ok(Self { question, tells_stop_sequence: told.iter().any(|path| path == "/stop_sequence") })
    }
}

impl<'a> Message<'a> {
    fn read(fields: &Fields<'a>) -> Result<Self, Refusal> {
        let blocks = fields.structures("content")?.iter().map(Block::read).collect::<Result<_, _>>()?;
        let content = fields.get("content").is_some().then_some(blocks);
        Ok(Self { role: fields.string("role")?, content })
    }

    /// `index` counts from one, as these messages do.
    fn constrain(&self, index: usize, constraints: &mut Constraints) {
        let at = |member| format!("messages.{index}.member.{member}");
        if self.content.is_none() {
            constraints.broken(None, &at("content"), "not be null");
        }
        match self.role {
            None => constraints.broken(None, &at("role"), "not be null"),
            Some("user" | "assistant") => {}
            Some(other) => {
                constraints.broken(Some(other), &at("role"), "satisfy enum value set: [user, assistant]");
            }
        }
    }
}

impl Block {
    fn read(fields: &Fields<'_>) -> Result<Self, Refusal> {
        let mut found = BLOCKS.iter().filter_map(|name| Some((*name, fields.get(name)?)));
        let Some((name, value)) = found.next() else { return Ok(Self { text: None, plain: false }) };
        if let Some((other, _)) = found.next() {
            let said = format!("Only one member of a union can be set, and {name} and {other} are");
            return Err(Refusal::Unreadable(said));
        }
        let text = match name {
            "text" => fields.string(name)?.unwrap_or_default().to_owned(),
            _ => text_of(name, &Fields::of(value)?)?,
        };
        Ok(Self { text: Some(text), plain: name == "text" })
    }

    fn check(&self, at: &str, names: &[&str]) -> Result<(), Refusal> {
        match &self.text {
            None => Err(Refusal::Invalid(format!(
                "{at} must set one of the following keys: {}.",
                names.join(", ")
            ))),
            Some(text) if self.plain && text.trim().is_empty() => Err(Refusal::Invalid(format!(
                "The text field in the {at} is blank. Add text to the text field, and try again."
            ))),
            Some(_) => Ok(()),
        }
    }
}

/// The words in a block that is not plain text: what is drawn or filmed has none here.
fn text_of(name: &str, block: &Fields<'_>) -> Result<String, Refusal> {
    let text = match name {
        "document" => {
            let source = block.structure("source")?;
            source.map_or(Ok(None), |source| source.string("text"))?.unwrap_or_default().to_owned()
        }
        "toolUse" => {
            let input = block.get("input").map(Value::to_string);
            format!("{}\n{}", block.string("name")?.unwrap_or_default(), input.unwrap_or_default())
        }
        "toolResult" => {
            let mut texts = Vec::new();
            for part in block.structures("content")? {
                if let Some(text) = part.string("text")? {
                    texts.push(text.to_owned());
                } else if let Some(document) = part.structure("document")? {
                    texts.push(text_of("document", &document)?);
                } else if let Some(value) = part.get("json") {
                    texts.push(value.to_string());
                }
            }
            texts.join("\n")
        }
        "guardContent" => {
            let guarded = block.structure("text")?;
            guarded.map_or(Ok(None), |guarded| guarded.string("text"))?.unwrap_or_default().to_owned()
        }
        "citationsContent" | "searchResult" => {
            let mut texts = Vec::new();
            for part in block.structures("content")? {
                texts.extend(part.string("text")?);
            }
            texts.join("\n")
        }
        _ => String::new(),
    };
    Ok(text)
}

/// What is said in several blocks, one after another.
fn joined(blocks: &[Block]) -> String {
    let said = blocks.iter().filter_map(|block| block.text.as_deref()).filter(|text| !text.is_empty());
    said.collect::<Vec<_>>().join("\n")
}

/// The conversation: it begins with a user, and the two take turns.
fn converse(messages: &[Message<'_>], turns: &mut Vec<Turn>) -> Result<(), Refusal> {
    let mut wanted = "user";
    for (index, message) in messages.iter().enumerate() {
        let role = message.role.unwrap_or_default();
        if role != wanted && index == 0 {
            break;
        }
        if role != wanted {
            return Err(Refusal::Invalid(
                "A conversation must alternate between user and assistant roles. Make sure the conversation \
                 alternates between user and assistant roles and try again."
                    .to_owned(),
            ));
        }
        wanted = if role == "user" { "assistant" } else { "user" };
        let content = message.content.as_deref().unwrap_or_default();
        if content.is_empty() {
            return Err(Refusal::Invalid(format!(
                "The content field in the Message object at messages.{index} is empty. Add a ContentBlock \
                 object to the content field and try again."
            )));
        }
        for (block, at) in content.iter().zip(0..) {
            block.check(&format!("ContentBlock object at messages.{index}.content.{at}"), &BLOCKS)?;
        }
        turns.push(Turn { role: role.to_owned(), text: joined(content) });
    }
    if messages.first().and_then(|message| message.role) == Some("user") {
        return Ok(());
    }
    Err(Refusal::Invalid(
        "A conversation must start with a user message. Try again with a conversation that starts with a user \
         message."
            .to_owned(),
    ))
}

/// The longest answer and the stop texts.
fn inference(
    fields: &Fields<'_>,
    constraints: &mut Constraints,
) -> Result<(Option<u64>, Vec<String>), Refusal> {
    let Some(config) = fields.structure("inferenceConfig")? else { return Ok((None, Vec::new())) };
    let most = config.integer("maxTokens")?;
    if let Some(too_few) = most.filter(|most| *most < 1) {
        let must = "have value greater than or equal to 1";
        constraints.broken(Some(&too_few.to_string()), "inferenceConfig.maxTokens", must);
    }
    for name in ["temperature", "topP"] {
        let value = config.float(name)?;
        if let Some(value) = value.filter(|value| !(0.0..=1.0).contains(value)) {
            let bound = if value < 0.0 { "greater than or equal to 0" } else { "less than or equal to 1" };
            let at = format!("inferenceConfig.{name}");
            constraints.broken(Some(&value.to_string()), &at, &format!("have value {bound}"));
        }
    }
    let stop = config.strings("stopSequences")?;
    if stop.len() > MOST_STOPS {
        let must = format!("have length less than or equal to {MOST_STOPS}");
        constraints.broken(Some("[…]"), "inferenceConfig.stopSequences", &must);
    }
    if stop.iter().any(String::is_empty) {
        let must = "satisfy constraint: [Member must have length greater than or equal to 1]";
        constraints.broken(Some("[…]"), "inferenceConfig.stopSequences", must);
    }
    Ok((most.and_then(|most| u64::try_from(most).ok()), stop))
}

/// What the answer has to look like: `outputConfig.textFormat` holds a JSON schema as a text.
fn form(fields: &Fields<'_>, constraints: &mut Constraints) -> Result<Form, Refusal> {
    let config = fields.structure("outputConfig")?;
    let Some(format) = config.map_or(Ok(None), |config| config.structure("textFormat"))? else {
        return Ok(Form::Prose);
    };
    let at = "outputConfig.textFormat.type";
    match format.string("type")? {
        Some("json_schema") => {}
        other => constraints.broken(other, at, "satisfy enum value set: [json_schema]"),
    }
    let structure = format.structure("structure")?;
    let schema = structure.map_or(Ok(None), |structure| structure.structure("jsonSchema"))?;
    let Some(text) = schema.map_or(Ok(None), |schema| schema.string("schema"))? else {
        constraints.broken(None, "outputConfig.textFormat.structure", "not be null");
        return Ok(Form::Prose);
    };
    match json_body::parse(text.as_bytes()) {
        Ok(schema @ Value::Object(_)) => Ok(Form::Schema(schema)),
        _ => Err(Refusal::Invalid(
            "The schema at outputConfig.textFormat.structure.jsonSchema is invalid. Provide a JSON schema and try again."
                .to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests;
