//! Names pinned from the GenAI conventions, in two versions, and the one table of what differs.
//!
//! - v1.41: the last that the general conventions published, what is emitted unless asked otherwise
//!   (<https://github.com/open-telemetry/semantic-conventions/tree/v1.41.0/docs/gen-ai>).
//! - Latest: the repository of its own to which they moved, as of its commit 024a4f9, read on
//!   2026-11-21 (<https://github.com/open-telemetry/semantic-conventions-genai>: `client-inference.md`,
//!   `gen-ai-token-metrics.md`, and for what changed `non-normative/migration.md`).
//!
//! Both are in development there: a name that changes is changed here, in `table.rs`, and nowhere else.

/// `chat` here.
pub const OPERATION_NAME: &str = "gen_ai.operation.name";
/// `anthropic`, `openai`, `aws.bedrock`, `ollama`.
pub const PROVIDER_NAME: &str = "gen_ai.provider.name";
/// Model asked for.
pub const REQUEST_MODEL: &str = "gen_ai.request.model";
/// Longest answer asked for, in tokens.
pub const REQUEST_MAX_TOKENS: &str = "gen_ai.request.max_tokens";
/// Whether the answer is asked for in pieces; absent where it is not.
pub const REQUEST_STREAM: &str = "gen_ai.request.stream";
/// Model that answered.
pub const RESPONSE_MODEL: &str = "gen_ai.response.model";
/// The provider's own id of the answer.
pub const RESPONSE_ID: &str = "gen_ai.response.id";
/// Why the model stopped, in a list of one.
pub const RESPONSE_FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
/// Seconds to the first piece of a streamed answer.
pub const RESPONSE_TIME_TO_FIRST_CHUNK: &str = "gen_ai.response.time_to_first_chunk";
/// All tokens of the prompt.
pub const USAGE_INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
/// All tokens of the answer.
pub const USAGE_OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
/// Those of the prompt that came from the provider's cache.
pub const USAGE_CACHE_READ_INPUT_TOKENS: &str = "gen_ai.usage.cache_read.input_tokens";
/// Those of the answer that were thought.
pub const USAGE_REASONING_OUTPUT_TOKENS: &str = "gen_ai.usage.reasoning.output_tokens";
/// `input` or `output`; v1.41 only.
pub const TOKEN_TYPE: &str = "gen_ai.token.type";
/// `text`, or `unknown` where nothing was reported; latest only.
pub const TOKEN_MODALITY: &str = "gen_ai.token.modality";
/// Instructions, JSON; only when asked for.
pub const SYSTEM_INSTRUCTIONS: &str = "gen_ai.system_instructions";
/// The question, JSON; only when asked for.
pub const INPUT_MESSAGES: &str = "gen_ai.input.messages";
/// The answer, JSON; only when asked for.
pub const OUTPUT_MESSAGES: &str = "gen_ai.output.messages";
/// The operation that summaries use.
pub const OPERATION_CHAT: &str = "chat";

/// What Traceloop's view reads besides the conventions (`opentelemetry-semantic-conventions-ai`
/// 0.5.1): the kind of call.
pub const TRACELOOP_REQUEST_TYPE: &str = "llm.request.type";
/// Whether the answer was streamed; Traceloop's.
pub const TRACELOOP_IS_STREAMING: &str = "llm.is_streaming";
/// Input and output together; Traceloop's.
pub const TRACELOOP_TOTAL_TOKENS: &str = "llm.usage.total_tokens";

/// Whether a simulator answered. This and what follows is BookStore's own.
pub const SIMULATED: &str = "simulated";
/// Which attempt of its request a call is, from 1.
pub const ATTEMPT: &str = "bookstore.llm.attempt";
/// Whether the provider reported the tokens; false where they were estimated for the ledger.
pub const USAGE_REPORTED: &str = "bookstore.llm.usage_reported";
/// Dollars billed.
pub const BILLED_USD: &str = "bookstore.llm.billed_usd";
/// Dollars by list price.
pub const LIST_USD: &str = "bookstore.llm.list_usd";
/// The experiment that the request belongs to.
pub const EXPERIMENT_NAME: &str = "experiment.name";
/// Its arm.
pub const EXPERIMENT_ARM: &str = "experiment.arm";

/// Something that the two versions name differently, or that only one of them has.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// Its name in v1.41.
    pub v1_41: Option<&'static str>,
    /// Its name in the latest version.
    pub latest: Option<&'static str>,
}

/// Duration of a call; a metric.
pub const DURATION: Change = change("gen_ai.client.operation.duration", "gen_ai.client.inference.duration");
/// Time to the first piece of a streamed answer; a metric.
pub const TIME_TO_FIRST_CHUNK: Change =
    change("gen_ai.client.operation.time_to_first_chunk", "gen_ai.client.inference.time_to_first_chunk");
/// Time from each piece of a streamed answer to the next; a metric.
pub const TIME_PER_OUTPUT_CHUNK: Change =
    change("gen_ai.client.operation.time_per_output_chunk", "gen_ai.client.inference.time_per_output_chunk");
/// Tokens of a call, by type; a metric. The latest version has two in its place.
pub const TOKEN_USAGE: Change = Change { v1_41: Some("gen_ai.client.token.usage"), latest: None };
/// Tokens of a call's prompt; a metric.
pub const OPERATION_INPUT_TOKENS: Change = new("gen_ai.client.inference.operation.input_tokens");
/// Tokens of a call's answer; a metric.
pub const OPERATION_OUTPUT_TOKENS: Change = new("gen_ai.client.inference.operation.output_tokens");
/// Tokens of all prompts; a metric.
pub const INPUT_TOKENS: Change = new("gen_ai.client.inference.usage.input_tokens");
/// Tokens of all answers; a metric.
pub const OUTPUT_TOKENS: Change = new("gen_ai.client.inference.usage.output_tokens");
/// Tokens read from caches; a metric.
pub const CACHE_READ_TOKENS: Change = new("gen_ai.client.inference.usage.cache_read.input_tokens");
/// Tokens written to caches; a metric.
pub const CACHE_WRITE_TOKENS: Change = new("gen_ai.client.inference.usage.cache_write.input_tokens");
/// Tokens thought; a metric.
pub const REASONING_TOKENS: Change = new("gen_ai.client.inference.usage.reasoning.output_tokens");
/// Tokens of a call's prompt that were written to the provider's cache; an attribute of spans.
pub const USAGE_CACHE_WRITE_INPUT_TOKENS: Change =
    change("gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_write.input_tokens");

/// All that differs.
pub const CHANGES: [Change; 12] = [
    DURATION,
    TIME_TO_FIRST_CHUNK,
    TIME_PER_OUTPUT_CHUNK,
    TOKEN_USAGE,
    OPERATION_INPUT_TOKENS,
    OPERATION_OUTPUT_TOKENS,
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    CACHE_READ_TOKENS,
    CACHE_WRITE_TOKENS,
    REASONING_TOKENS,
    USAGE_CACHE_WRITE_INPUT_TOKENS,
];

const fn change(v1_41: &'static str, latest: &'static str) -> Change {
    Change { v1_41: Some(v1_41), latest: Some(latest) }
}

const fn new(latest: &'static str) -> Change {
    Change { v1_41: None, latest: Some(latest) }
}

/// Which version's names are emitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// v1.41.
    #[default]
    V1_41,
    /// The latest in their place.
    Latest,
    /// Both, while dashboards move from one to the other.
    Both,
}

impl Version {
    /// What `OTEL_SEMCONV_STABILITY_OPT_IN` asks for: a comma-separated list in which
    /// `gen_ai_latest_experimental` and `gen_ai/dup` concern us, the latter more. What others are
    /// concerned by is passed over.
    #[must_use]
    pub fn opted_into(list: &str) -> Self {
        let has = |wanted: &str| list.split(',').any(|item| item.trim() == wanted);
        if has("gen_ai/dup") {
            Self::Both
        } else if has("gen_ai_latest_experimental") {
            Self::Latest
        } else {
            Self::V1_41
        }
    }

    /// The names to be used for something, up to two.
    pub(crate) fn names(self, change: Change) -> impl Iterator<Item = &'static str> {
        let old = change.v1_41.filter(|_| self != Self::Latest);
        let new = change.latest.filter(|_| self != Self::V1_41);
        old.into_iter().chain(new)
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn the_opt_in_is_a_list_that_others_share() {
        for (list, version) in [
            ("", Version::V1_41),
            ("http,database/dup", Version::V1_41),
            ("gen_ai_latest_experimental", Version::Latest),
            ("http/dup, gen_ai_latest_experimental ", Version::Latest),
            ("gen_ai/dup", Version::Both),
            ("gen_ai_latest_experimental,gen_ai/dup", Version::Both),
            ("xgen_ai/dup,gen_ai_latest", Version::V1_41),
        ] {
            assert_eq!(Version::opted_into(list), version, "{list}");
        }
    }
}
