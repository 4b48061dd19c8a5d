//! What a client of Anthropic is told: the events or the whole of one answer.

use http::HeaderMap;
use serde_json::Map;

use super::asked::Asked;
use super::wire::{Block, Delta, Ended, Event, Message, ToldUsage};
use super::{JSON, limits};
use crate::allowance::Allowance;
use crate::answer::Answer;
use crate::delivery::Ending;
use crate::http::serving::{MARK, Wire, encoded};
use crate::http::{identity, sse};

/// How one answer is told.
pub(super) struct Told {
    id: String,
    model: String,
    call: Option<Call>,
    /// Whether the stream has a block.
    block: bool,
}

/// The call of a tool that is the answer.
struct Call {
    id: String,
    name: String,
}

impl Told {
    /// The answer to a request under a seed.
    pub(super) fn new(asked: &Asked, seed: u64) -> Self {
        let fingerprint = asked.question.fingerprint(seed);
        let call = asked.forced.as_ref().map(|forced| Call {
            id: format!("toolu_01{}", identity::letters(&fingerprint, "call", 22)),
            name: forced.name.clone(),
        });
        Self {
            id: format!("msg_01{}", identity::letters(&fingerprint, "message", 22)),
            model: format!("{}{MARK}", asked.question.model),
            call,
            block: false,
        }
    }

    fn message<'a>(&'a self, content: Vec<Block<'a>>, ended: Ended<'a>, usage: ToldUsage) -> Message<'a> {
        let (id, model) = (&self.id, &self.model);
        Message { id, kind: "message", role: "assistant", model, content, ended, usage }
    }
}

fn add(out: &mut Vec<u8>, event: &Event<'_>) {
    sse::event(out, Some(event.name()), event);
}

impl Wire for Told {
    const STREAM: &'static str = sse::EVENT_STREAM;
    const WHOLE: &'static str = JSON;

    fn headers(&self, allowance: Option<&Allowance>) -> HeaderMap {
        limits::headers(&identity::request_id(), allowance)
    }

    fn whole(&mut self, answer: &Answer, ending: &Ending) -> Vec<u8> {
        let content = match (&self.call, answer.text()) {
            (_, "") => Vec::new(),
            (None, text) => vec![Block::Text { text }],
            (Some(Call { id, name }), text) => {
                // An input that the limit of tokens cut short cannot be read; the API leaves it out.
                let input = serde_json::from_str(text).unwrap_or_default();
                vec![Block::ToolUse { id, name, input }]
            }
        };
        let ended = Ended::new(&ending.stop, self.call.is_some());
        encoded(&self.message(content, ended, ToldUsage::whole(ending.usage)))
    }

    fn opening(&mut self, answer: &Answer, ending: &Ending) -> Vec<u8> {
        let mut out = Vec::new();
        self.block = !answer.text().is_empty();
        let message = self.message(Vec::new(), Ended::default(), ToldUsage::beginning(ending.usage));
        add(&mut out, &Event::MessageStart { message });
        if self.block {
            let content_block = match &self.call {
                None => Block::Text { text: "" },
                Some(Call { id, name }) => Block::ToolUse { id, name, input: Map::new() },
            };
            add(&mut out, &Event::ContentBlockStart { index: 0, content_block });
        }
        add(&mut out, &Event::Ping);
        out
    }

    fn chunk(&mut self, text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let delta = match self.call {
            None => Delta::TextDelta { text },
            Some(_) => Delta::InputJsonDelta { partial_json: text },
        };
        add(&mut out, &Event::ContentBlockDelta { index: 0, delta });
        out
    }

    fn end(&mut self, _: &Answer, ending: &Ending) -> Vec<u8> {
        let mut out = Vec::new();
        if self.block {
            add(&mut out, &Event::ContentBlockStop { index: 0 });
        }
        let delta = Ended::new(&ending.stop, self.call.is_some());
        add(&mut out, &Event::MessageDelta { delta, usage: ToldUsage::end(ending.usage) });
        add(&mut out, &Event::MessageStop);
        out
    }
}
