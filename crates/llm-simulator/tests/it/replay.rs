//! Recordings played: the same text, tokens, ends and times as were recorded, by every protocol.

use std::path::{Path, PathBuf};
use std::time::Instant;

use llm_simulator::app::{App, AppError, Role};
use llm_simulator::settings::{Misses, RecordedTiming, ReplayArguments};
use reqwest::Response;
use serde_json::{Value, json};
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use crate::record::{Recorded, file};
use crate::{Simulated, client, lines, settings, slow};

fn arguments(files: Vec<PathBuf>) -> ReplayArguments {
    ReplayArguments {
        recordings: files,
        timing: RecordedTiming::Recorded,
        misses: Misses::Refuse,
        skip_broken: false,
    }
}

async fn replaying(folder: &Path) -> Simulated {
    Simulated::start_as(&settings(), Role::Replay(arguments(vec![file(folder)]))).await
}

fn asked(stream: bool) -> Value {
    json!({"messages": [{"role": "user", "content": "Dune"}], "max_tokens": 30, "stream": stream})
}

async fn openai(base: &str, stream: bool) -> Response {
    let mut body = asked(stream);
    body["model"] = "gpt-4o".into();
    if stream {
        body["stream_options"] = json!({"include_usage": true});
    }
    let request = client().post(format!("{base}/v1/chat/completions")).bearer_auth("key");
    request.json(&body).send().await.unwrap()
}

async fn anthropic(base: &str, stream: bool, model: &str) -> Response {
    let mut body = asked(stream);
    body["model"] = model.into();
    let request = client().post(format!("{base}/v1/messages")).header("x-api-key", "key");
    request.header("anthropic-version", "2023-06-01").json(&body).send().await.unwrap()
}

async fn ollama(base: &str, stream: bool) -> Response {
    let body =
        json!({"model": "llama3.2", "stream": stream, "messages": [{"role": "user", "content": "Dune"}]});
    client().post(format!("{base}/api/chat")).json(&body).send().await.unwrap()
}

/// The texts and figures of a provider's answers; seed 2, so that nobody but the recordings knows.
async fn every_answer(base: &str) -> Vec<Value> {
    let mut answers = Vec::new();
    for stream in [false, true] {
        let mut answer: Value = if stream {
            let lines = lines(ollama(base, true).await).await;
            let text: String =
                lines.iter().map(|line| line["message"]["content"].as_str().unwrap()).collect();
            let mut last = lines.last().unwrap().clone();
            last["message"]["content"] = text.into();
            last
        } else {
            ollama(base, false).await.json().await.unwrap()
        };
        for told in ["total_duration", "load_duration", "prompt_eval_duration", "eval_duration", "created_at"]
        {
            answer.as_object_mut().unwrap().remove(told);
        }
        answers.push(answer);
    }
    let whole: Value = openai(base, false).await.json().await.unwrap();
    answers.push(json!([
        whole["choices"][0]["message"]["content"],
        whole["choices"][0]["finish_reason"],
        whole["usage"]["completion_tokens"]
    ]));
    let whole: Value = anthropic(base, false, "claude-sonnet-4-5").await.json().await.unwrap();
    answers.push(json!([whole["content"], whole["stop_reason"], whole["usage"]["output_tokens"]]));
    for streamed in [openai(base, true).await, anthropic(base, true, "claude-sonnet-4-5").await] {
        let text = streamed.text().await.unwrap();
        let said: String = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok())
            .filter_map(|event| {
                let openai = event["choices"][0]["delta"]["content"].as_str();
                openai.or(event["delta"]["text"].as_str()).map(str::to_owned)
            })
            .collect();
        answers.push(said.into());
    }
    answers
}

#[tokio::test]
async fn what_was_recorded_is_answered_again_by_every_protocol() {
    let mut other = settings();
    other.seed = 2;
    let provider = Simulated::start(&other).await;
    let recorded = Recorded::of(&provider.base).await;
    let first = every_answer(&recorded.recorder.base).await;
    let (_, calls, folder) = recorded.end().await;
    assert_eq!(calls.len(), 6);
    let replay = replaying(folder.path()).await;
    assert_eq!(every_answer(&replay.base).await, first);
    assert_eq!(every_answer(&replay.base).await, first, "around again");
    let unlike = Simulated::start(&settings()).await;
    assert_ne!(every_answer(&unlike.base).await, first);
    let health: Value = replay.get("/health").await.json().await.unwrap();
    assert_eq!(
        (&health["role"], &health["recordings"], &health["recordedQuestions"]),
        (&json!("replay"), &json!(6), &json!(3))
    );
}

#[tokio::test]
async fn a_recording_of_one_protocol_answers_another() {
    let provider = Simulated::start(&settings()).await;
    let recorded = Recorded::of(&provider.base).await;
    let said: Value =
        anthropic(&recorded.recorder.base, false, "claude-sonnet-4-5").await.json().await.unwrap();
    let (_, _, folder) = recorded.end().await;
    let replay = replaying(folder.path()).await;
    let mut body = asked(false);
    body["model"] = "claude-sonnet-4-5".into();
    let other = client().post(format!("{}/v1/chat/completions", replay.base)).bearer_auth("key").json(&body);
    let other: Value = other.send().await.unwrap().json().await.unwrap();
    assert_eq!(other["choices"][0]["message"]["content"], said["content"][0]["text"]);
}

#[tokio::test]
async fn time_is_taken_as_recorded_or_not_at_all() {
    let mut slow_one = settings();
    slow_one.profiles = slow(400.0);
    let provider = Simulated::start(&slow_one).await;
    let recorded = Recorded::of(&provider.base).await;
    ollama(&recorded.recorder.base, true).await.bytes().await.unwrap();
    let (_, calls, folder) = recorded.end().await;
    for (timing, waits) in [(RecordedTiming::Recorded, true), (RecordedTiming::None, false)] {
        let role = Role::Replay(ReplayArguments { timing, ..arguments(vec![file(folder.path())]) });
        let replay = Simulated::start_as(&settings(), role).await;
        let started = Instant::now();
        let told = lines(ollama(&replay.base, true).await).await;
        let took = started.elapsed().as_secs_f64() * 1e3;
        assert_eq!(took >= calls[0].total_ms, waits, "{took} ms");
        assert_eq!(told.len(), calls[0].chunk_ms.len() + 1);
    }
}

#[tokio::test]
async fn a_miss_names_the_nearest_or_is_simulated() {
    let provider = Simulated::start(&settings()).await;
    let recorded = Recorded::of(&provider.base).await;
    ollama(&recorded.recorder.base, false).await.bytes().await.unwrap();
    let (_, _, folder) = recorded.end().await;
    let emma = r#"{"model":"llama3.2","stream":false,"messages":[{"role":"user","content":"Emma"}]}"#;
    let missed = replaying(folder.path()).await.post("/api/chat", emma).await;
    assert_eq!(missed.status(), 404);
    let said: Value = missed.json().await.unwrap();
    let said = said["error"].as_str().unwrap();
    assert!(said.contains("calls.jsonl:1") && said.contains("turn 1 (user) of 1"), "{said}");
    let role =
        Role::Replay(ReplayArguments { misses: Misses::Simulate, ..arguments(vec![file(folder.path())]) });
    let drawn = Simulated::start_as(&settings(), role).await.post("/api/chat", emma).await;
    let direct = provider.post("/api/chat", emma).await;
    assert_eq!(drawn.text().await.unwrap(), direct.text().await.unwrap());
}

#[tokio::test]
async fn errors_are_answered_as_they_were() {
    let provider = Simulated::start(&settings()).await;
    let recorded = Recorded::of(&provider.base).await;
    let first = anthropic(&recorded.recorder.base, false, "no-such-model").await;
    let (status, first): (_, Value) = (first.status(), first.json().await.unwrap());
    assert_eq!(status, 404);
    let (_, _, folder) = recorded.end().await;
    let replay = replaying(folder.path()).await;
    let again = anthropic(&replay.base, false, "no-such-model").await;
    assert_eq!(again.status(), status);
    let again: Value = again.json().await.unwrap();
    assert_eq!(again["error"], first["error"]);
}

#[tokio::test]
async fn a_replay_that_could_answer_nothing_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let started = async |content: &str, skip_broken: bool| {
        std::fs::write(file(folder.path()), content).unwrap();
        let arguments = ReplayArguments { skip_broken, ..arguments(vec![file(folder.path())]) };
        App::start(&settings(), Role::Replay(arguments), Metrics::unregistered(), CancellationToken::new())
            .await
    };
    let said = |result: Result<App, AppError>| result.err().unwrap().to_string();
    assert!(said(started("", false).await).contains("none of the recordings"));
    assert!(said(started("nonsense\n", false).await).contains("calls.jsonl:1"));
    assert!(said(started("nonsense\n", true).await).contains("1 lines are broken"));
    let role = Role::Replay(arguments(vec!["/nonexistent/calls.jsonl".into()]));
    let missing = App::start(&settings(), role, Metrics::unregistered(), CancellationToken::new()).await;
    assert!(said(missing).contains("/nonexistent/calls.jsonl cannot be read"));
}
