//! Shapes of Ollama's answers, fields in Ollama's order.
//!
//! Source: <https://github.com/ollama/ollama/blob/main/docs/api.md>, sections "Generate a
//! completion", "Generate a chat completion", "List Local Models" and "Show Model Information".
//! Durations are nanoseconds.

use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// When the models pretend to have been made: a fixed time, so that lists are the same every time.
const MODIFIED_AT: &str = "2026-01-01T00:00:00Z";
/// What takes the place of a family, a file format and a quantization.
const SIMULATED: &str = "simulated";

/// A line of an answer, or the whole of it.
#[derive(Serialize)]
pub(super) struct Part<'a> {
    pub(super) model: &'a str,
    pub(super) created_at: &'static str,
    #[serde(flatten)]
    pub(super) said: Said<'a>,
    pub(super) done: bool,
    #[serde(flatten)]
    pub(super) end: Option<End>,
}

/// The text: `message` of a chat, `response` to a prompt.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Said<'a> {
    Message(Message<'a>),
    Response(&'a str),
}

#[derive(Serialize)]
pub(super) struct Message<'a> {
    pub(super) role: &'static str,
    pub(super) content: &'a str,
}

/// What the last line adds.
#[derive(Default, Serialize)]
pub(super) struct End {
    /// `stop`, `length`, `load` or `unload`.
    pub(super) done_reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) context: Option<Vec<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) total_duration: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) load_duration: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prompt_eval_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prompt_eval_duration: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) eval_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) eval_duration: Option<u64>,
}

/// `/api/tags`.
#[derive(Serialize)]
pub(super) struct Tags {
    pub(super) models: Vec<TaggedModel>,
}

#[derive(Serialize)]
pub(super) struct TaggedModel {
    name: String,
    model: String,
    modified_at: &'static str,
    size: u64,
    digest: String,
    details: Details,
}

impl TaggedModel {
    /// A model by its name with tag. Names stay unmarked, for clients choose by them; the details
    /// say what it is.
    pub(super) fn new(name: &str) -> Self {
        let digest = Sha256::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            name: name.to_owned(),
            model: name.to_owned(),
            modified_at: MODIFIED_AT,
            size: 0,
            digest,
            details: Details::new(),
        }
    }
}

#[derive(Serialize)]
struct Details {
    parent_model: &'static str,
    format: &'static str,
    family: &'static str,
    families: [&'static str; 1],
    parameter_size: &'static str,
    quantization_level: &'static str,
}

impl Details {
    const fn new() -> Self {
        Self {
            parent_model: "",
            format: SIMULATED,
            family: SIMULATED,
            families: [SIMULATED],
            parameter_size: "0",
            quantization_level: SIMULATED,
        }
    }
}

/// `/api/show`: the same for every model, for they all behave the same.
#[derive(Serialize)]
pub(super) struct ShownModel {
    modelfile: &'static str,
    parameters: &'static str,
    template: &'static str,
    details: Details,
    model_info: Map<String, Value>,
    capabilities: [&'static str; 1],
    modified_at: &'static str,
}

impl ShownModel {
    pub(super) fn new() -> Self {
        let model_info = [
            ("general.architecture".to_owned(), json!(SIMULATED)),
            ("general.parameter_count".to_owned(), json!(0)),
        ];
        Self {
            modelfile: "# simulated: there is no model\n",
            parameters: "",
            template: "{{ .Prompt }}",
            details: Details::new(),
            model_info: Map::from_iter(model_info),
            capabilities: ["completion"],
            modified_at: MODIFIED_AT,
        }
    }
}
