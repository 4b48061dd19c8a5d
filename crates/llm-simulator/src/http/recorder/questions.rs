//! Questions as the simulator's own protocols read them, so that replay asks for the same
//! fingerprint; where those refuse a body that the provider may take, a tolerant reader's.

use super::super::{anthropic, bedrock, ollama, openai};
use crate::call::Protocol;
use crate::question::Question;
use crate::record::asked::{Asked, Route};

/// What a body asks, if anything.
pub(in crate::http) fn read(route: &Route, body: &[u8]) -> Option<Asked> {
    let own = match route.protocol {
        Protocol::Ollama => ollama::recorded(route.path, body),
        Protocol::OpenAi => openai::recorded(body),
        Protocol::Anthropic => anthropic::recorded(body),
        Protocol::Bedrock => bedrock::recorded(body).map(|question| {
            let model = route.model().unwrap_or_default().to_owned();
            (Question { model, ..question }, route.path.ends_with("-stream"))
        }),
    };
    let mut asked = match own {
        Some((question, stream)) => Asked { protocol: route.protocol, route: route.path, question, stream },
        None => Asked::read(route, body)?,
    };
    if route.protocol == Protocol::Ollama {
        asked.question.model = ollama::plain_name(&asked.question.model);
    }
    (!asked.question.turns.is_empty()).then_some(asked)
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::record::asked::{Asked, Route};

    #[test]
    fn the_tolerant_readers_agree_with_the_protocols_own() {
        for (path, body) in [
            (
                "/api/chat",
                r#"{"model":"m","messages":[{"role":"user","content":"u"}],"options":{"seed":1,"num_predict":5,"stop":["x"]},"format":"json"}"#,
            ),
            ("/api/generate", r#"{"model":"m","system":"s","prompt":"u","stream":false}"#),
            (
                "/v1/chat/completions",
                r#"{"model":"m","messages":[{"role":"developer","content":"s"},{"role":"user","content":[{"type":"text","text":"a"},
                   {"type":"image_url","image_url":{"url":"x"}},{"type":"text","text":"b"}]},{"role":"assistant","tool_calls":[{"id":"1",
                   "type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"r"}],
                   "max_tokens":9,"stop":["x"],"seed":3,"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"}}}}"#,
            ),
            (
                "/v1/chat/completions",
                r#"{"model":"m","messages":[{"role":"user","content":"u"}],"tools":[{"type":"function","function":{"name":"f",
                   "parameters":{"type":"object"}}}],"tool_choice":{"type":"function","function":{"name":"f"}}}"#,
            ),
            (
                "/v1/messages",
                r#"{"model":"m","max_tokens":5,"system":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"messages":[
                   {"role":"user","content":"u"},{"role":"assistant","content":[{"type":"text","text":"t"},{"type":"tool_use","id":"1",
                   "name":"f","input":{"a":1}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"r"}]}],
                   "stop_sequences":["x"],"tools":[{"name":"f","input_schema":{"type":"object"}}],"tool_choice":{"type":"tool","name":"f"}}"#,
            ),
            (
                "/model/us.a%3A0/converse-stream",
                r#"{"system":[{"text":"a"},{"text":"b"}],"messages":[{"role":"user","content":[{"text":"u"},{"text":"v"}]},
                   {"role":"assistant","content":[{"toolUse":{"toolUseId":"1","name":"f","input":{"a":1}}}]},
                   {"role":"user","content":[{"toolResult":{"toolUseId":"1","content":[{"text":"r"},{"json":{"b":2}}]}}]}],
                   "inferenceConfig":{"maxTokens":5,"stopSequences":["x"]},
                   "toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{"type":"object"}}}}]}}"#,
            ),
        ] {
            let route = Route::of(path).unwrap();
            let own = read(&route, body.as_bytes()).unwrap();
            let tolerant = Asked::read(&route, body.as_bytes()).unwrap();
            assert_eq!(own, tolerant, "{path} {body}");
        }
    }

    #[test]
    fn what_a_protocols_own_reader_refuses_is_read_all_the_same() {
        let route = Route::of("/v1/chat/completions").unwrap();
        let body = br#"{"model":"m","messages":[{"role":"user","content":"u"}],"newest_field":1}"#;
        assert_eq!(read(&route, body).unwrap().question.turns.len(), 1);
        assert_eq!(read(&Route::of("/api/chat").unwrap(), br#"{"model":"m"}"#), None);
    }
}
