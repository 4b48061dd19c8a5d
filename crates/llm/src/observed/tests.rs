//! What is recorded of calls that end, fail, and are dropped at each point.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use telemetry::Metrics;

use super::Observed;
use crate::{
    Arm, Attempt, Beginning, Chunk, CompletionStream, Cost, Delivery, Ending, ErrorKind, Gate, LlmError,
    LlmProvider, Plan, Prices, Prompt, ProviderName, Request, Simulated, StopReason, TokenUsage, Trail, Usd,
    complete,
};

const REPORTED: TokenUsage = TokenUsage {
    input: 100,
    output: 10,
    cached_input: 40,
    cache_write_input: 0,
    reasoning_output: 0,
    reported: true,
};

/// Lets everything in, late if it is told so, and counts what it settles.
#[derive(Default)]
struct Counting {
    never: bool,
    refuses: bool,
    admitted: AtomicU32,
    settled: Mutex<Vec<Attempt>>,
}

#[async_trait]
impl Gate for Counting {
    async fn admit(&self, plan: &Plan) -> Result<(), LlmError> {
        if self.never {
            std::future::pending::<()>().await;
        }
        if self.refuses {
            return Err(LlmError::new(ErrorKind::NotAdmitted, "no"));
        }
        assert!(plan.most_input_tokens >= 100);
        self.admitted.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn settle(&self, attempt: &Attempt) {
        self.settled.lock().unwrap().push(attempt.clone());
    }
}

/// Plays items, then is silent for ever if so told, or ends. No items at all: silent before an answer.
struct Playing {
    refusal: Option<LlmError>,
    silent: bool,
    items: Vec<Result<Chunk, LlmError>>,
}

#[async_trait]
impl LlmProvider for Playing {
    fn name(&self) -> ProviderName {
        ProviderName::OpenAi
    }

    fn model(&self) -> &'static str {
        "gpt-4o"
    }

    async fn call(&self, _request: &Request) -> Result<CompletionStream, LlmError> {
        if let Some(error) = &self.refusal {
            return Err(error.clone());
        }
        if self.items.is_empty() {
            std::future::pending::<()>().await;
        }
        let items = futures::stream::iter(self.items.clone());
        Ok(if self.silent { items.chain(futures::stream::pending()).boxed() } else { items.boxed() })
    }
}

fn begun() -> Result<Chunk, LlmError> {
    Ok(Chunk::Begun(Beginning {
        provider: ProviderName::OpenAi,
        requested_model: "gpt-4o".to_owned(),
        request_id: Some("req_1".to_owned()),
        simulated: false,
    }))
}

fn text(text: &str) -> Result<Chunk, LlmError> {
    Ok(Chunk::Text(text.to_owned()))
}

fn end(usage: Option<TokenUsage>) -> Result<Chunk, LlmError> {
    let model = "gpt-4o-2024-08-06".to_owned();
    Ok(Chunk::End(Ending { model, usage, stop: StopReason::End, cost: Cost::UNKNOWN }))
}

fn failure(kind: ErrorKind) -> LlmError {
    LlmError::new(kind, "it failed")
}

struct Stage {
    metrics: Metrics,
    gate: Arc<Counting>,
    request: Request,
}

impl Stage {
    fn new(gate: Counting) -> Self {
        let gate = Arc::new(gate);
        let prompt = Prompt {
            system: "You summarise.".repeat(10),
            user: "A whale.".to_owned(),
            max_output_tokens: 50,
        };
        let mut request = Request::once(prompt, Duration::from_secs(5));
        request.trail = Trail::new(3, Arc::clone(&gate) as Arc<dyn Gate>);
        request.arm = Some(Arc::new(Arm { experiment: "tone".to_owned(), arm: "b".to_owned() }));
        Self { metrics: Metrics::unregistered(), gate, request }
    }

    fn observing(&self, provider: Playing) -> Observed<Playing> {
        Observed::new(provider, self.metrics.clone(), Arc::new(Prices::shipped().unwrap()))
    }

    /// Runs a call until its stream ends, or is silent and dropped; what was settled of it.
    async fn plays(&self, provider: Playing) -> Attempt {
        let observed = self.observing(provider);
        let run = async {
            if let Ok(mut stream) = observed.call(&self.request).await {
                while stream.next().await.is_some() {}
            }
        };
        let _ = tokio::time::timeout(Duration::from_millis(20), run).await;
        assert_eq!(self.gate.admitted.load(Ordering::Relaxed), 1);
        let settled = self.gate.settled.lock().unwrap();
        assert_eq!(settled.len(), 1, "each attempt is settled once");
        assert_eq!(*settled, self.request.trail.attempts());
        settled[0].clone()
    }
}

fn playing(items: Vec<Result<Chunk, LlmError>>) -> Playing {
    Playing { refusal: None, silent: false, items }
}

#[tokio::test(start_paused = true)]
async fn what_the_provider_reported_is_answered_counted_and_priced() {
    let stage = Stage::new(Counting::default());
    let attempt = stage.plays(playing(vec![begun(), text("A "), text("whale."), end(Some(REPORTED))])).await;
    assert_eq!(attempt.error, None);
    assert_eq!(attempt.usage, Some(REPORTED));
    assert_eq!(attempt.response_model.as_deref(), Some("gpt-4o-2024-08-06"));
    assert_eq!(attempt.request_id.as_deref(), Some("req_1"));
    // (60 · 2.50 + 40 · 1.25 + 10 · 10) / 1e6
    assert_eq!(attempt.cost.billed, Some(Usd::from_nanos(300_000)));
    let shown = stage.metrics.render();
    for line in [
        r#"bookstore_llm_attempts_total{outcome="ok",provider="openai"} 1"#,
        r#"gen_ai_token_type="input",simulated="false"} 100"#,
        r#"bookstore_llm_cost_usd_total{kind="billed",model="gpt-4o",provider="openai"} 0.0003"#,
    ] {
        assert!(shown.contains(line), "{line} is missing in\n{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_failed_calls_used_up_is_reported_or_estimated_or_nothing() {
    let estimate = |output| TokenUsage { input: 37, output, ..TokenUsage::default() };
    let refused = |kind| Playing { refusal: Some(failure(kind)), silent: false, items: Vec::new() };
    let with_usage = || failure(ErrorKind::Refused).with_usage(Some(REPORTED));
    for (says, provider, error, usage) in [
        ("refused before it began", refused(ErrorKind::RateLimited), Some("rate_limited"), None),
        ("silent until it was too late", refused(ErrorKind::Timeout), Some("timeout"), Some(estimate(0))),
        (
            "refused with usage",
            Playing { refusal: Some(with_usage()), silent: false, items: Vec::new() },
            Some("refused"),
            Some(REPORTED),
        ),
        (
            "failed in the middle",
            playing(vec![begun(), text("12345"), Err(failure(ErrorKind::Unavailable))]),
            Some("unavailable"),
            Some(estimate(2)),
        ),
        (
            "failed in the middle with usage",
            playing(vec![begun(), text("12345"), Err(with_usage())]),
            Some("refused"),
            Some(REPORTED),
        ),
        ("cut off", playing(vec![begun(), text("12345")]), Some("bad_answer"), Some(estimate(2))),
        ("ended without usage", playing(vec![begun(), text("12345"), end(None)]), None, Some(estimate(2))),
        ("dropped before it answered", playing(Vec::new()), Some("cancelled"), Some(estimate(0))),
        (
            "dropped in the middle",
            Playing { refusal: None, silent: true, items: vec![begun(), text("12345")] },
            Some("cancelled"),
            Some(estimate(2)),
        ),
    ] {
        let stage = Stage::new(Counting::default());
        let attempt = stage.plays(provider).await;
        assert_eq!((attempt.error, attempt.usage), (error, usage), "{says}");
        let shown = stage.metrics.render();
        let reported = usage.is_some_and(|usage| usage.reported);
        assert_eq!(shown.contains("gen_ai_client_token_usage_count"), reported, "{says}");
        let outcome = error.unwrap_or("ok");
        let line = format!(r#"bookstore_llm_attempts_total{{outcome="{outcome}",provider="openai"}} 1"#);
        assert!(shown.contains(&line), "{says}: {shown}");
        if usage.is_none() {
            assert_eq!(attempt.cost, Cost::NOTHING, "{says}");
            assert!(!shown.contains("bookstore_llm_cost"), "{says}: {shown}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_not_let_in_is_no_attempt() {
    let refused = Stage::new(Counting { refuses: true, ..Counting::default() });
    let error = refused.observing(playing(Vec::new())).call(&refused.request).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::NotAdmitted);
    assert!(refused.metrics.render().contains(r#"outcome="not_admitted",provider="openai"} 1"#));
    assert_eq!(refused.request.trail.begun(), 0, "its number is another's");

    let waiting = Stage::new(Counting { never: true, ..Counting::default() });
    let observed = waiting.observing(playing(Vec::new()));
    let waited = tokio::time::timeout(Duration::from_millis(5), observed.call(&waiting.request)).await;
    assert!(waited.is_err());

    for stage in [refused, waiting] {
        assert!(stage.gate.settled.lock().unwrap().is_empty());
        assert!(stage.request.trail.attempts().is_empty());
        assert!(!stage.metrics.render().contains("gen_ai_client"));
    }
}

#[tokio::test]
async fn another_attempt_of_a_provider_is_counted_with_what_made_it_necessary() {
    let stage = Stage::new(Counting::default());
    let failing =
        || Playing { refusal: Some(failure(ErrorKind::Overloaded)), silent: false, items: Vec::new() };
    for _ in 0..2 {
        assert!(stage.observing(failing()).call(&stage.request).await.is_err());
    }
    let other = Observed::new(Simulated, stage.metrics.clone(), Arc::new(Prices::none()));
    complete(&other, &stage.request).await.unwrap();
    let shown = stage.metrics.render();
    let line = r#"bookstore_llm_retries_total{provider="openai",reason="overloaded"} 1"#;
    assert!(shown.contains(line), "{line} is missing in\n{shown}");
    assert!(!shown.contains(r#"bookstore_llm_retries_total{provider="simulated""#), "{shown}");
}

#[tokio::test]
async fn estimated_tokens_reach_the_answer_but_not_the_metric() {
    let stage = Stage::new(Counting::default());
    let provider = Observed::new(Simulated, stage.metrics.clone(), Arc::new(Prices::shipped().unwrap()));
    let completion = complete(&provider, &stage.request).await.unwrap();
    let usage = completion.ending.usage.unwrap();
    assert!(!usage.reported && usage.output > 20, "{usage:?}");
    assert_eq!(completion.ending.cost.billed, Some(Usd::ZERO));
    assert_eq!(completion.ending.cost.list, None);
    let shown = stage.metrics.render();
    assert!(!shown.contains("gen_ai_client_token_usage"), "{shown}");
    assert!(shown.contains(r#"bookstore_llm_cost_unknown_total{kind="list",provider="simulated"} 1"#));
}

#[tokio::test]
async fn answers_in_one_piece_have_no_first_chunk_in_the_metrics() {
    let stage = Stage::new(Counting::default());
    let request = Request { delivery: Delivery::Whole, ..stage.request.clone() };
    let answer = playing(vec![begun(), text("A whale."), end(Some(REPORTED))]);
    complete(&stage.observing(answer), &request).await.unwrap();
    assert!(!stage.metrics.render().contains("time_to_first_chunk"));
    assert!(stage.request.trail.attempts()[0].first_chunk.is_some());
}
