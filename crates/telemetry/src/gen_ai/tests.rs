//! Spans and metrics of LLM calls as they leave, under each version of the conventions.

use std::collections::BTreeSet;

use tracing_subscriber::layer::SubscriberExt;

use super::{GenAiCall, GenAiOutcome, GenAiRequest, GenAiSettings, GenAiUsage};
use crate::conventions::gen_ai::{CHANGES, Version};
use crate::metrics::Metrics;
use crate::recorder::{RecordedSpan, Recorder};
use crate::trace_ids::TraceIds;

const REQUEST: GenAiRequest<'_> = GenAiRequest {
    attempt: 2,
    max_tokens: 300,
    streamed: true,
    experiment: Some(("tone", "b")),
    instructions: "Be brief about Starbuck.",
    question: "Who is Ahab?",
};
const USAGE: GenAiUsage = GenAiUsage {
    input_tokens: 100,
    output_tokens: 50,
    cache_read_tokens: 40,
    cache_write_tokens: 30,
    reasoning_tokens: 20,
};

const fn settings(version: Version) -> GenAiSettings {
    GenAiSettings { version, capture_content: false }
}

/// Records a call that succeeds, and one that fails without usage.
fn calls(metrics: &Metrics) {
    let model = metrics.gen_ai_model("anthropic", "claude-sonnet-5-5");
    let mut call = GenAiCall::begin(&model, &REQUEST);
    call.answered(true, Some("msg_1"));
    for piece in ["A captain ", "named ", "Queequeg."] {
        call.chunk(piece);
    }
    call.end(&GenAiOutcome {
        response_model: Some("claude-sonnet-5-5+simulated"),
        finish_reason: Some("stop"),
        usage: Some(USAGE),
        billed_usd: Some(0.0),
        list_usd: Some(0.5),
        ..GenAiOutcome::default()
    });
    drop(call);
    let mut failed = GenAiCall::begin(&model, &REQUEST);
    failed.end(&GenAiOutcome { error_type: Some("overloaded"), ..GenAiOutcome::default() });
}

fn recorded(settings: GenAiSettings) -> (Vec<RecordedSpan>, String, String) {
    let recorder = Recorder::new(settings);
    let listening = recorder.listen();
    calls(&recorder.metrics());
    drop(listening);
    (recorder.spans(), recorder.metrics().render(), recorder.everything())
}

fn prometheus(name: &str) -> String {
    name.replace('.', "_")
}

/// The names of the metrics shown, without the suffixes of their kind.
fn shown(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("# TYPE gen_ai_")?.split(' ').next())
        .map(|name| {
            let name = name.strip_suffix("_total").unwrap_or(name);
            format!("gen_ai_{}", name.strip_suffix("_seconds").unwrap_or(name))
        })
        .collect()
}

#[test]
fn a_span_says_what_the_conventions_name() {
    let (spans, ..) = recorded(settings(Version::V1_41));
    let [answered, failed] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!(answered.name, "chat claude-sonnet-5-5");
    assert!(answered.is_client);
    assert_eq!(answered.error, None);
    for (name, value) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "anthropic"),
        ("gen_ai.request.model", "claude-sonnet-5-5"),
        ("gen_ai.request.max_tokens", "300"),
        ("gen_ai.request.stream", "true"),
        ("gen_ai.response.model", "claude-sonnet-5-5+simulated"),
        ("gen_ai.response.id", "msg_1"),
        ("gen_ai.response.finish_reasons", r#"["stop"]"#),
        ("gen_ai.usage.input_tokens", "100"),
        ("gen_ai.usage.output_tokens", "50"),
        ("gen_ai.usage.cache_read.input_tokens", "40"),
        ("gen_ai.usage.cache_creation.input_tokens", "30"),
        ("gen_ai.usage.reasoning.output_tokens", "20"),
        ("llm.request.type", "chat"),
        ("llm.is_streaming", "true"),
        ("llm.usage.total_tokens", "150"),
        ("simulated", "true"),
        ("bookstore.llm.attempt", "2"),
        ("bookstore.llm.usage_reported", "true"),
        ("bookstore.llm.billed_usd", "0"),
        ("bookstore.llm.list_usd", "0.5"),
        ("experiment.name", "tone"),
        ("experiment.arm", "b"),
    ] {
        assert_eq!(answered.attributes.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(answered.attributes.contains_key("gen_ai.response.time_to_first_chunk"));
    assert!(!answered.attributes.contains_key("error.type"));

    assert_eq!(failed.error.as_deref(), Some("overloaded"));
    assert_eq!(failed.attributes.get("error.type").map(String::as_str), Some("overloaded"));
    for absent in ["gen_ai.usage.input_tokens", "gen_ai.response.model", "bookstore.llm.usage_reported"] {
        assert!(!failed.attributes.contains_key(absent), "{absent}");
    }
}

#[test]
fn each_version_has_its_names_and_none_of_the_others() {
    for version in [Version::V1_41, Version::Latest, Version::Both] {
        let (spans, text, _) = recorded(settings(version));
        let said = |name: &str| {
            spans.iter().any(|span| span.attributes.contains_key(name))
                || shown(&text).contains(&prometheus(name))
        };
        for change in CHANGES {
            if let Some(name) = change.v1_41 {
                assert_eq!(said(name), version != Version::Latest, "{version:?}: {name}");
            }
            if let Some(name) = change.latest {
                assert_eq!(said(name), version != Version::V1_41, "{version:?}: {name}");
            }
        }
        let wanted: BTreeSet<String> = CHANGES
            .into_iter()
            .flat_map(|change| version.names(change))
            .filter(|name| name.starts_with("gen_ai.client."))
            .map(prometheus)
            .collect();
        assert_eq!(shown(&text), wanted, "{version:?}");
    }
}

const V1_41: [&str; 6] = [
    r#"gen_ai_client_operation_duration_seconds_count{gen_ai_operation_name="chat",gen_ai_provider_name="anthropic",gen_ai_request_model="claude-sonnet-5-5",gen_ai_response_model="claude-sonnet-5-5+simulated",simulated="true"} 1"#,
    r#"gen_ai_client_operation_duration_seconds_count{error_type="overloaded",gen_ai_operation_name="chat",gen_ai_provider_name="anthropic",gen_ai_request_model="claude-sonnet-5-5",simulated="false"} 1"#,
    r#"gen_ai_client_operation_time_to_first_chunk_seconds_count{gen_ai_operation_name="chat",gen_ai_provider_name="anthropic",gen_ai_request_model="claude-sonnet-5-5",gen_ai_response_model="claude-sonnet-5-5+simulated",simulated="true"} 1"#,
    r#"gen_ai_client_operation_time_per_output_chunk_seconds_count{gen_ai_operation_name="chat",gen_ai_provider_name="anthropic",gen_ai_request_model="claude-sonnet-5-5",simulated="true"} 2"#,
    r#"gen_ai_token_type="input",simulated="true"} 100"#,
    r#"gen_ai_token_type="output",simulated="true"} 50"#,
];
const LATEST: [&str; 9] = [
    r#"gen_ai_client_inference_duration_seconds_count{error_type="overloaded",gen_ai_operation_name="chat",gen_ai_provider_name="anthropic",gen_ai_request_model="claude-sonnet-5-5",simulated="false"} 1"#,
    r#"gen_ai_client_inference_time_per_output_chunk_seconds_count{gen_ai_operation_name="chat",gen_ai_provider_name="anthropic",gen_ai_request_model="claude-sonnet-5-5",simulated="true"} 2"#,
    r#"gen_ai_client_inference_operation_input_tokens_sum{gen_ai_operation_name="chat",gen_ai_provider_name="anthropic",gen_ai_request_model="claude-sonnet-5-5",gen_ai_response_model="claude-sonnet-5-5+simulated",simulated="true"} 100"#,
    r#"gen_ai_client_inference_usage_input_tokens_total{gen_ai_operation_name="chat",gen_ai_provider_name="anthropic",gen_ai_request_model="claude-sonnet-5-5",gen_ai_response_model="claude-sonnet-5-5+simulated",gen_ai_token_modality="text",simulated="true"} 100"#,
    r#"gen_ai_client_inference_usage_input_tokens_total{gen_ai_operation_name="chat",gen_ai_provider_name="anthropic",gen_ai_request_model="claude-sonnet-5-5",gen_ai_token_modality="unknown",simulated="false"} 0"#,
    r#"gen_ai_client_inference_usage_output_tokens_total{gen_ai_operation_name="chat",gen_ai_provider_name="anthropic",gen_ai_request_model="claude-sonnet-5-5",gen_ai_response_model="claude-sonnet-5-5+simulated",gen_ai_token_modality="text",simulated="true"} 50"#,
    r#"gen_ai_client_inference_usage_cache_read_input_tokens_total{gen_ai_operation_name="chat",gen_ai_provider_name="anthropic",gen_ai_request_model="claude-sonnet-5-5",gen_ai_response_model="claude-sonnet-5-5+simulated",gen_ai_token_modality="text",simulated="true"} 40"#,
    r#"gen_ai_client_inference_usage_cache_write_input_tokens_total{gen_ai_operation_name="chat",gen_ai_provider_name="anthropic",gen_ai_request_model="claude-sonnet-5-5",gen_ai_response_model="claude-sonnet-5-5+simulated",gen_ai_token_modality="text",simulated="true"} 30"#,
    r#"gen_ai_client_inference_usage_reasoning_output_tokens_total{gen_ai_operation_name="chat",gen_ai_provider_name="anthropic",gen_ai_request_model="claude-sonnet-5-5",gen_ai_response_model="claude-sonnet-5-5+simulated",gen_ai_token_modality="text",simulated="true"} 20"#,
];

#[test]
fn metrics_are_what_was_told_under_each_version() {
    for (version, wanted) in [
        (Version::V1_41, V1_41.to_vec()),
        (Version::Latest, LATEST.to_vec()),
        (Version::Both, [&V1_41[..], &LATEST[..]].concat()),
    ] {
        let (_, text, _) = recorded(settings(version));
        for line in wanted {
            assert!(text.contains(line), "{version:?}: {line} is missing in\n{text}");
        }
    }
}

#[test]
fn content_is_nowhere_unless_it_is_asked_for() {
    for version in [Version::V1_41, Version::Latest, Version::Both] {
        let (_, _, everything) = recorded(settings(version));
        assert!(everything.contains("chat claude-sonnet-5-5"));
        for text in ["Starbuck", "Ahab", "Queequeg", "gen_ai.input", "gen_ai.output.messages"] {
            assert!(!everything.contains(text), "{version:?}: {text}");
        }
        let (spans, text, _) = recorded(GenAiSettings { version, capture_content: true });
        let attribute = |name| spans[0].attributes.get(name).cloned().unwrap_or_default();
        assert_eq!(
            attribute("gen_ai.system_instructions"),
            r#"[{"type":"text","content":"Be brief about Starbuck."}]"#
        );
        assert!(attribute("gen_ai.input.messages").contains("Who is Ahab?"));
        assert!(attribute("gen_ai.output.messages").contains("A captain named Queequeg."));
        assert!(!text.contains("Ahab"), "never in a metric");
        assert!(!spans[1].attributes.contains_key("gen_ai.output.messages"), "there was none");
    }
    let recorder = Recorder::new(GenAiSettings { capture_content: true, ..settings(Version::V1_41) });
    let listening = recorder.listen();
    calls(&recorder.metrics());
    drop(listening);
    let spans = format!("{:?}", recorder.spans());
    assert!(spans.contains("Ahab") && spans.contains("Queequeg"));
    let logged = recorder.everything();
    assert!(!logged.split("SpanData").next().unwrap().contains("Ahab"), "content is for spans alone");
}

#[test]
fn what_the_variables_ask_for() {
    for (capture, asked) in [
        ("true", true),
        ("TRUE ", true),
        ("span_and_event", true),
        ("span_only", true),
        ("event_only", false),
        ("no_content", false),
        ("false", false),
        ("", false),
        ("1", false),
    ] {
        assert_eq!(GenAiSettings::asked_for("", capture).capture_content, asked, "{capture}");
    }
    assert_eq!(GenAiSettings::asked_for("http,gen_ai/dup", "").version, Version::Both);
}

#[test]
fn a_call_that_is_dropped_was_cancelled_and_none_counts_twice() {
    let metrics = Metrics::unregistered();
    let model = metrics.gen_ai_model("ollama", "llama3.2");
    drop(GenAiCall::begin(&model, &REQUEST));
    let mut call = GenAiCall::begin(&model, &REQUEST);
    call.end(&GenAiOutcome::default());
    call.end(&GenAiOutcome { error_type: Some("timeout"), ..GenAiOutcome::default() });
    drop(call);
    let text = metrics.render();
    let counts: Vec<&str> =
        text.lines().filter(|line| line.contains("operation_duration_seconds_count")).collect();
    assert_eq!(counts.len(), 2, "{counts:?}");
    assert!(counts.iter().all(|line| line.ends_with(" 1")), "{counts:?}");
    assert!(counts.iter().any(|line| line.contains(r#"error_type="cancelled""#)), "{counts:?}");
}

#[test]
fn a_server_that_invents_model_names_makes_few_series() {
    let metrics = Metrics::unregistered();
    let model = metrics.gen_ai_model("openai", "gpt-4o");
    for index in 0..1_000 {
        let name = if index % 2 == 0 { format!("model-{index}") } else { "x".repeat(1_000 + index) };
        let outcome = GenAiOutcome { response_model: Some(&name), ..GenAiOutcome::default() };
        GenAiCall::begin(&model, &REQUEST).end(&outcome);
    }
    let text = metrics.render();
    let counts: Vec<u64> = text
        .lines()
        .filter(|line| line.contains("operation_duration_seconds_count"))
        .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
        .collect();
    assert!(counts.len() <= 9, "{}", counts.len());
    assert_eq!(counts.iter().sum::<u64>(), 1_000);
    assert!(!text.contains("xxxx"));
}

#[test]
fn where_no_spans_go_calls_are_recorded_all_the_same() {
    let metrics = Metrics::unregistered();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(TraceIds), || calls(&metrics));
    assert!(metrics.render().contains("gen_ai_client_operation_duration_seconds_count"));
}
