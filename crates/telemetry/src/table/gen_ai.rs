//! The rows of the GenAI conventions: v1.41 and the latest ones.

use super::{GEN_AI_SECONDS, Kind, Metric};

/// Tokens, as the GenAI conventions advise: 4ⁿ.
const GEN_AI_TOKENS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// Duration of LLM calls, by v1.41.
pub const GEN_AI_DURATION: Metric = Metric {
    name: "gen_ai.client.operation.duration",
    unit: "s",
    kind: Kind::Histogram,
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "error.type",
        "simulated",
    ],
    help: "Duration of calls to LLM providers",
    buckets: GEN_AI_SECONDS,
};
/// Time to the first piece of an LLM's streamed answer, by v1.41.
pub const GEN_AI_FIRST_CHUNK: Metric = Metric {
    name: "gen_ai.client.operation.time_to_first_chunk",
    unit: "s",
    kind: Kind::Histogram,
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "simulated",
    ],
    help: "Time from sending a request to an LLM provider to the first piece of its streamed answer",
    buckets: GEN_AI_SECONDS,
};
/// Time from each piece of an LLM's streamed answer to the next, by v1.41.
pub const GEN_AI_PER_CHUNK: Metric = Metric {
    name: "gen_ai.client.operation.time_per_output_chunk",
    unit: "s",
    kind: Kind::Histogram,
    labels: &["gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "simulated"],
    help: "Time from each piece of a streamed answer to the next",
    buckets: GEN_AI_SECONDS,
};
/// Tokens as the provider reported them, by v1.41.
pub const GEN_AI_TOKEN_USAGE: Metric = Metric {
    name: "gen_ai.client.token.usage",
    unit: "{token}",
    kind: Kind::Histogram,
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "gen_ai.token.type",
        "simulated",
    ],
    help: "Tokens of calls to LLM providers, as the provider reported them",
    buckets: GEN_AI_TOKENS,
};
/// Duration of LLM calls, by the latest conventions.
pub const GEN_AI_DURATION_LATEST: Metric = Metric {
    name: "gen_ai.client.inference.duration",
    unit: "s",
    kind: Kind::Histogram,
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "error.type",
        "simulated",
    ],
    help: "Duration of calls to LLM providers",
    buckets: GEN_AI_SECONDS,
};
/// Time to the first piece of an LLM's streamed answer, by the latest conventions.
pub const GEN_AI_FIRST_CHUNK_LATEST: Metric = Metric {
    name: "gen_ai.client.inference.time_to_first_chunk",
    unit: "s",
    kind: Kind::Histogram,
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "simulated",
    ],
    help: "Time from sending a request to an LLM provider to the first piece of its streamed answer",
    buckets: GEN_AI_SECONDS,
};
/// Time from each piece of an LLM's streamed answer to the next, by the latest conventions.
pub const GEN_AI_PER_CHUNK_LATEST: Metric = Metric {
    name: "gen_ai.client.inference.time_per_output_chunk",
    unit: "s",
    kind: Kind::Histogram,
    labels: &["gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "simulated"],
    help: "Time from each piece of a streamed answer to the next",
    buckets: GEN_AI_SECONDS,
};
/// Tokens of a call's prompt, as reported, by the latest conventions.
pub const GEN_AI_OPERATION_INPUT_TOKENS: Metric = Metric {
    name: "gen_ai.client.inference.operation.input_tokens",
    unit: "{token}",
    kind: Kind::Histogram,
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "simulated",
    ],
    help: "Tokens of a call's prompt, as the provider reported them",
    buckets: GEN_AI_TOKENS,
};
/// Tokens of a call's answer, as reported, by the latest conventions.
pub const GEN_AI_OPERATION_OUTPUT_TOKENS: Metric = Metric {
    name: "gen_ai.client.inference.operation.output_tokens",
    unit: "{token}",
    kind: Kind::Histogram,
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "simulated",
    ],
    help: "Tokens of a call's answer, as the provider reported them",
    buckets: GEN_AI_TOKENS,
};
/// Tokens of prompts, as reported, by the latest conventions.
pub const GEN_AI_INPUT_TOKENS: Metric = Metric {
    name: "gen_ai.client.inference.usage.input_tokens",
    unit: "{token}",
    kind: Kind::Counter,
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "gen_ai.token.modality",
        "simulated",
    ],
    help: "Tokens of prompts, as the provider reported them",
    buckets: &[],
};
/// Tokens of answers, as reported, by the latest conventions.
pub const GEN_AI_OUTPUT_TOKENS: Metric = Metric {
    name: "gen_ai.client.inference.usage.output_tokens",
    unit: "{token}",
    kind: Kind::Counter,
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "gen_ai.token.modality",
        "simulated",
    ],
    help: "Tokens of answers, as the provider reported them",
    buckets: &[],
};
/// Tokens of prompts that came from providers' caches, as reported, by the latest conventions.
pub const GEN_AI_CACHE_READ_TOKENS: Metric = Metric {
    name: "gen_ai.client.inference.usage.cache_read.input_tokens",
    unit: "{token}",
    kind: Kind::Counter,
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "gen_ai.token.modality",
        "simulated",
    ],
    help: "Tokens of prompts that came from providers' caches, as the provider reported them",
    buckets: &[],
};
/// Tokens of prompts that went into providers' caches, as reported, by the latest conventions.
pub const GEN_AI_CACHE_WRITE_TOKENS: Metric = Metric {
    name: "gen_ai.client.inference.usage.cache_write.input_tokens",
    unit: "{token}",
    kind: Kind::Counter,
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "gen_ai.token.modality",
        "simulated",
    ],
    help: "Tokens of prompts that went into providers' caches, as the provider reported them",
    buckets: &[],
};
/// Tokens of answers that were thought, as reported, by the latest conventions.
pub const GEN_AI_REASONING_TOKENS: Metric = Metric {
    name: "gen_ai.client.inference.usage.reasoning.output_tokens",
    unit: "{token}",
    kind: Kind::Counter,
    labels: &[
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "gen_ai.token.modality",
        "simulated",
    ],
    help: "Tokens of answers that were thought, as the provider reported them",
    buckets: &[],
};
