//! A request as the simulator sees it: the question, and what surrounds it. Pure.
//!
//! Owns the names of the protocols. Must not know how any of them is written.

use crate::question::Question;

/// A provider's wire protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Ollama's own API.
    Ollama,
    /// OpenAI Chat Completions.
    OpenAi,
    /// Anthropic Messages.
    Anthropic,
    /// Amazon Bedrock Converse and ConverseStream.
    Bedrock,
}

impl Protocol {
    /// Every one of them.
    pub const ALL: [Self; 4] = [Self::Ollama, Self::OpenAi, Self::Anthropic, Self::Bedrock];

    /// The name in metrics, recordings and faults.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ollama => "ollama",
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Bedrock => "bedrock",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.as_str() == name)
    }

    /// The routes where it is asked for answers, as the route table writes them.
    #[must_use]
    pub const fn routes(self) -> &'static [&'static str] {
        match self {
            Self::Ollama => &["/api/chat", "/api/generate"],
            Self::OpenAi => &["/v1/chat/completions"],
            Self::Anthropic => &["/v1/messages"],
            Self::Bedrock => &["/model/{modelId}/converse", "/model/{modelId}/converse-stream"],
        }
    }
}

/// A request for an answer.
#[derive(Clone, Debug)]
pub struct Call {
    /// How it came.
    pub protocol: Protocol,
    /// Where it came, as the route table writes it, such as `/v1/messages`.
    pub route: &'static str,
    /// What is asked. Its model is the name under which the simulator offers it.
    pub question: Question,
    /// Whether the answer is to come in pieces.
    pub stream: bool,
    /// Whose request it is, where the client says so: `X-Tenant-Id`, else the protocol's own field
    /// for the end user.
    pub tenant: Option<String>,
}
