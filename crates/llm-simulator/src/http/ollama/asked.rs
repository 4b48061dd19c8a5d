//! What a client of Ollama asks for: the bodies of `/api/chat`, `/api/generate` and `/api/show`.
//! Pure.

use serde_json::{Map, Value};

use super::body::{Fields, parse};
use super::names;
use super::refusal::Refusal;
use crate::question::{Form, Question, Turn};

/// Most stop texts that count: Ollama has no limit, each is looked for. Later ones are ignored.
const MOST_STOPS: usize = 2_500;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `/api/chat`: a conversation.
    Chat,
    /// `/api/generate`: a prompt.
    Generate,
}

impl Kind {
    /// Where it is asked.
    pub(super) const fn route(self) -> &'static str {
        match self {
            Self::Chat => "/api/chat",
            Self::Generate => "/api/generate",
        }
    }
}

/// A request for an answer.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// Which of the two.
    pub(super) kind: Kind,
    /// What is asked, the model still as the client wrote it.
    pub(super) question: Question,
    /// Whether the answer is to come in lines; Ollama's default.
    pub(super) stream: bool,
    /// The prompt is the model's own format: no system text, no context.
    raw: bool,
    system: bool,
    suffix: bool,
    thinks: bool,
    /// The model is to leave memory at once.
    unload: bool,
}

impl Asked {
    /// Reads a body.
    pub(super) fn read(kind: Kind, body: &[u8]) -> Result<Self, Refusal> {
        let value = parse(body)?;
        match kind {
            Kind::Chat => Self::chat(&Fields::of(&value, "ChatRequest")?),
            Kind::Generate => Self::generate(&Fields::of(&value, "GenerateRequest")?),
        }
    }

    fn chat(fields: &Fields<'_>) -> Result<Self, Refusal> {
        let mut asked = Self::common(Kind::Chat, fields)?;
        for message in fields.list("messages", "[]api.Message", "api.Alias", "messages.")? {
            let turn = Turn {
                role: message.string("role")?.to_owned(),
                text: message.string("content")?.to_owned(),
            };
            asked.question.turns.push(turn);
        }
        if !names::valid(&asked.question.model) {
            return Err(Refusal::ModelRequired);
        }
        Ok(asked)
    }

    fn generate(fields: &Fields<'_>) -> Result<Self, Refusal> {
        let mut asked = Self::common(Kind::Generate, fields)?;
        let (system, prompt) = (fields.string("system")?, fields.string("prompt")?);
        asked.raw = fields.bool("raw")?.unwrap_or_default();
        asked.system = !system.is_empty() || !fields.string("template")?.is_empty();
        asked.suffix = !fields.string("suffix")?.is_empty();
        if let Some(value) = fields.get("context").filter(|value| !value.is_array()) {
            return Err(fields.wrong(value, "context", "[]int"));
        }
        // Without a prompt nothing is asked.
        if !prompt.is_empty() {
            if !system.is_empty() {
                asked.question.turns.push(Turn { role: "system".to_owned(), text: system.to_owned() });
            }
            asked.question.turns.push(Turn { role: "user".to_owned(), text: prompt.to_owned() });
        }
        Ok(asked)
    }

    fn common(kind: Kind, fields: &Fields<'_>) -> Result<Self, Refusal> {
        let options = fields.object("options")?;
        let question = Question {
            model: fields.string("model")?.to_owned(),
            turns: Vec::new(),
            // Zero and less mean without end.
            max_output_tokens: integer(options, "num_predict")?.and_then(|most| u64::try_from(most).ok()),
            stop: texts(options, "stop")?,
            form: form(fields.get("format"))?,
            variation: integer(options, "seed")?,
        };
        let question =
            Question { max_output_tokens: question.max_output_tokens.filter(|most| *most > 0), ..question };
        Ok(Self {
            kind,
            question,
            stream: fields.bool("stream")?.unwrap_or(true),
            raw: false,
            system: false,
            suffix: false,
            thinks: thinks(fields.get("think"))?,
            unload: unloads(fields, fields.get("keep_alive"))?,
        })
    }

    /// Refuses what the models on offer cannot do. Asked after the model was found.
    pub(super) fn refuse_what_no_model_can(&self) -> Result<(), Refusal> {
        let model = &self.question.model;
        if self.raw && self.system {
            return Err(Refusal::Raw);
        }
        if self.suffix {
            let model = format!("registry.ollama.ai/library/{}", names::with_tag(model));
            return Err(Refusal::Unable { model, ability: "insert" });
        }
        if self.thinks {
            return Err(Refusal::Unable { model: format!("{model:?}"), ability: "thinking" });
        }
        Ok(())
    }

    /// The reason of an answer to a request that asks nothing: the model is loaded or unloaded.
    pub(super) fn only_loads(&self) -> Option<&'static str> {
        match (self.question.turns.is_empty(), self.unload) {
            (false, _) => None,
            (true, false) => Some("load"),
            (true, true) => Some("unload"),
        }
    }

    /// Whether the answer carries the conversation as tokens, as that of a prompt that is not raw
    /// does.
    pub(super) fn keeps_context(&self) -> bool {
        self.kind == Kind::Generate && !self.raw
    }
}

/// A request to show a model.
pub(super) struct Shown {
    /// The model as the client wrote it.
    pub(super) model: String,
}

impl Shown {
    /// Reads a body; `name` is the older word for `model`.
    pub(super) fn read(body: &[u8]) -> Result<Self, Refusal> {
        let value = parse(body)?;
        let fields = Fields::of(&value, "ShowRequest")?;
        let (model, name) = (fields.string("model")?, fields.string("name")?);
        match if model.is_empty() { name } else { model } {
            "" => Err(Refusal::ModelRequired),
            model => Ok(Self { model: model.to_owned() }),
        }
    }
}

fn option<'a>(options: Option<&'a Map<String, Value>>, name: &str) -> Option<&'a Value> {
    options?.get(name).filter(|value| !value.is_null())
}

/// An option that is a whole number; what stands after the point is dropped.
fn integer(options: Option<&Map<String, Value>>, name: &'static str) -> Result<Option<i64>, Refusal> {
    option(options, name)
        .map(|value| {
            #[expect(clippy::cast_possible_truncation, reason = "a float-to-int cast saturates")]
            let truncated = value.as_i64().or_else(|| value.as_f64().map(|number| number as i64));
            truncated.ok_or(Refusal::OptionType { name, wanted: "integer" })
        })
        .transpose()
}

/// An option that is a list of texts.
fn texts(options: Option<&Map<String, Value>>, name: &'static str) -> Result<Vec<String>, Refusal> {
    let Some(value) = option(options, name) else { return Ok(Vec::new()) };
    let items = value.as_array().ok_or(Refusal::OptionType { name, wanted: "array" })?;
    items
        .iter()
        .take(MOST_STOPS)
        .map(|item| item.as_str().map(str::to_owned).ok_or(Refusal::OptionType { name, wanted: "array" }))
        .collect()
}

fn form(format: Option<&Value>) -> Result<Form, Refusal> {
    match format {
        None => Ok(Form::Prose),
        Some(Value::String(name)) if name.is_empty() => Ok(Form::Prose),
        Some(Value::String(name)) if name == "json" => Ok(Form::Json),
        Some(schema @ Value::Object(_)) => Ok(Form::Schema(schema.clone())),
        Some(other) => Err(Refusal::Format(other.to_string())),
    }
}

fn thinks(think: Option<&Value>) -> Result<bool, Refusal> {
    match think {
        None => Ok(false),
        Some(Value::Bool(thinks)) => Ok(*thinks),
        Some(Value::String(level)) if ["high", "medium", "low"].contains(&level.as_str()) => Ok(true),
        Some(other) => Err(Refusal::Think(other.to_string())),
    }
}

/// Whether `keep_alive` is zero: a number of seconds, or a duration such as `5m`.
fn unloads(fields: &Fields<'_>, keep_alive: Option<&Value>) -> Result<bool, Refusal> {
    match keep_alive {
        None => Ok(false),
        Some(Value::Number(seconds)) => Ok(seconds.as_f64() == Some(0.0)),
        Some(Value::String(text)) => {
            let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == 'µ');
            let number: f64 = digits
                .rsplit(|c: char| c.is_ascii_alphabetic() || c == 'µ')
                .next()
                .and_then(|last| last.parse().ok())
                .ok_or_else(|| Refusal::KeepAlive(text.clone()))?;
            Ok(number == 0.0 && digits.parse::<f64>().is_ok())
        }
        Some(other) => Err(fields.wrong(other, "keep_alive", "api.Duration")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, Kind, Shown};
    use crate::question::Form;

    fn chat(body: &str) -> Asked {
        Asked::read(Kind::Chat, body.as_bytes()).unwrap()
    }

    #[test]
    fn a_chat_is_read_with_what_counts() {
        let asked = chat(
            r#"{"model":"llama3.2","extra":1,"messages":[{"role":"system","content":"a","x":2},null,
                {"role":"user","content":"b"}],"options":{"num_predict":3.7,"seed":42,"stop":["x"],"top_k":1}}"#,
        );
        let question = &asked.question;
        assert!(asked.stream && !asked.keeps_context());
        assert_eq!(question.turns.len(), 3);
        assert_eq!((question.turns[2].role.as_str(), question.turns[2].text.as_str()), ("user", "b"));
        assert_eq!((question.max_output_tokens, question.variation), (Some(3), Some(42)));
        assert_eq!(question.stop, ["x"]);
    }

    #[test]
    fn later_ones_of_very_many_stop_texts_are_ignored() {
        let stops = serde_json::json!(vec!["x"; 3_000]);
        let asked = chat(&format!(r#"{{"model":"m","options":{{"stop":{stops}}},"messages":[]}}"#));
        assert_eq!(asked.question.stop.len(), 2_500);
    }

    #[test]
    fn zero_and_less_are_no_bound() {
        for options in
            [r#"{"num_predict":0}"#, r#"{"num_predict":-1}"#, r#"{"num_predict":null}"#, "null", "{}"]
        {
            let asked = chat(&format!(r#"{{"model":"m","options":{options},"messages":[]}}"#));
            assert_eq!(asked.question.max_output_tokens, None, "{options}");
        }
    }

    #[test]
    fn asking_nothing_loads_or_unloads() {
        let check = |keep_alive: &str, reason: &str| {
            let asked = chat(&format!(r#"{{"model":"m","keep_alive":{keep_alive}}}"#));
            assert_eq!(asked.only_loads(), Some(reason), "{keep_alive}");
        };
        check("null", "load");
        check("0", "unload");
        check("\"0\"", "unload");
        check("\"0s\"", "unload");
        check("-1", "load");
        check("\"5m\"", "load");
        check("\"1h30m\"", "load");
        check("\"1h0s\"", "load");
    }

    /// What Ollama 0.17.4 answered to these bodies.
    #[test]
    fn mistakes_are_worded_as_ollama_words_them() {
        let check = |kind: Kind, body: &str, said: &str| {
            assert_eq!(Asked::read(kind, body.as_bytes()).unwrap_err().to_string(), said, "{body}");
        };
        let (c, g) = (Kind::Chat, Kind::Generate);
        check(c, "{}", "model is required");
        check(c, "null", "model is required");
        check(c, r#"{"model":"a b!"}"#, "model is required");
        check(c, "[1]", "json: cannot unmarshal array into Go value of type api.ChatRequest");
        check(g, "[1]", "json: cannot unmarshal array into Go value of type api.GenerateRequest");
        let field = "json: cannot unmarshal";
        check(
            c,
            r#"{"stream":"yes"}"#,
            &format!("{field} string into Go struct field ChatRequest.stream of type bool"),
        );
        check(
            c,
            r#"{"messages":"x"}"#,
            &format!("{field} string into Go struct field ChatRequest.messages of type []api.Message"),
        );
        check(
            c,
            r#"{"messages":[5]}"#,
            &format!("{field} number into Go struct field ChatRequest.messages of type api.Alias"),
        );
        check(
            c,
            r#"{"messages":[{"content":5}]}"#,
            &format!("{field} number into Go struct field ChatRequest.messages.content of type string"),
        );
        check(
            c,
            r#"{"options":5}"#,
            &format!(
                "{field} number into Go struct field ChatRequest.options of type map[string]interface {{}}"
            ),
        );
        check(
            g,
            r#"{"context":5}"#,
            &format!("{field} number into Go struct field GenerateRequest.context of type []int"),
        );
        check(c, r#"{"keep_alive":"x"}"#, "time: invalid duration \"x\"");
        check(c, r#"{"options":{"num_predict":"5"}}"#, "option \"num_predict\" must be of type integer");
        check(c, r#"{"options":{"stop":"x"}}"#, "option \"stop\" must be of type array");
        let format = "expected \"json\" or a valid JSON Schema object";
        check(c, r#"{"format":"xml"}"#, &format!(r#"invalid format: "\"xml\""; {format}"#));
        check(c, r#"{"format":5}"#, &format!(r#"invalid format: "5"; {format}"#));
        check(
            c,
            r#"{"think":"x"}"#,
            r#"invalid think value: "x" (must be "high", "medium", "low", true, or false)"#,
        );
    }

    #[test]
    fn forms_and_abilities_are_read() {
        assert_eq!(chat(r#"{"model":"m","format":"json"}"#).question.form, Form::Json);
        assert_eq!(chat(r#"{"model":"m","format":""}"#).question.form, Form::Prose);
        assert!(matches!(chat(r#"{"model":"m","format":{}}"#).question.form, Form::Schema(_)));
        let refused = |kind, body: &str| {
            Asked::read(kind, body.as_bytes()).unwrap().refuse_what_no_model_can().unwrap_err().to_string()
        };
        assert_eq!(refused(Kind::Chat, r#"{"model":"m","think":true}"#), "\"m\" does not support thinking");
        assert_eq!(
            refused(Kind::Generate, r#"{"model":"m","suffix":"x"}"#),
            "registry.ollama.ai/library/m:latest does not support insert"
        );
        assert_eq!(
            refused(Kind::Generate, r#"{"model":"m","raw":true,"system":"x"}"#),
            "raw mode does not support template, system, or context"
        );
    }

    #[test]
    fn a_model_to_show_has_two_names() {
        for body in [r#"{"model":"m"}"#, r#"{"name":"m"}"#] {
            assert_eq!(Shown::read(body.as_bytes()).unwrap().model, "m");
        }
        assert!(Shown::read(b"{}").is_err());
    }
}
