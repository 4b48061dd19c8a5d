//! The shapes that the simulator imitates, compared with a real Ollama's.

use llm_simulator::app::Role;
use llm_simulator::models::Models;
use llm_simulator::recording::End;
use llm_simulator::settings::{Misses, RecordedTiming, ReplayArguments};
use reqwest::Client;
use serde_json::Value;

use crate::record::{Recorded, file};
use crate::shape::{DETAILS, END, LINE, LOADED, MODEL, SHOWN, fields, has};
use crate::{Simulated, client, json, lines, post, settings};

/// The real Ollama and the name of a model that it has.
async fn real() -> (Client, String, String) {
    #[expect(clippy::disallowed_methods, reason = "the tests' own setting")]
    let base = std::env::var("OLLAMA_BASE_URL").unwrap_or_default();
    assert!(
        !base.is_empty(),
        "set OLLAMA_BASE_URL to a running Ollama that has a model (`ollama serve`, `ollama pull llama3.2`)"
    );
    let base = base.trim_end_matches('/').to_owned();
    let client = client();
    let version = client.get(format!("{base}/api/version")).send().await;
    let version =
        version.unwrap_or_else(|error| panic!("no Ollama answers at OLLAMA_BASE_URL {base}: {error}"));
    assert!(!version.headers().contains_key("x-llm-simulated"), "{base} is a simulator, not an Ollama");
    let tags: Value = client.get(format!("{base}/api/tags")).send().await.unwrap().json().await.unwrap();
    let names: Vec<&str> =
        tags["models"].as_array().unwrap().iter().map(|model| model["name"].as_str().unwrap()).collect();
    let name = names.iter().find(|name| name.starts_with("llama3.2")).or(names.first());
    let name = name.expect("the Ollama has no model: `ollama pull llama3.2`").to_string();
    (client, base, name)
}

#[tokio::test]
async fn the_shapes_are_those_of_a_real_ollama() {
    let (client, base, model) = real().await;
    let ask = async |path: &str, rest: &str| {
        post(&client, &base, path, &format!(r#"{{"model":"{model}",{rest}}}"#)).await
    };
    let messages = r#""messages":[{"role":"user","content":"hello"}]"#;
    for (path, body, text, more) in [
        ("/api/chat", messages, "message", &[][..]),
        ("/api/generate", r#""prompt":"hello""#, "response", &["context"][..]),
    ] {
        let streamed = lines(ask(path, body).await).await;
        let (end, parts) = streamed.split_last().unwrap();
        assert!(!parts.is_empty());
        parts.iter().for_each(|part| has(part, &LINE, &[text]));
        has(end, &END, &[&[text], more].concat());
        has(
            &json(ask(path, &format!(r#"{body},"stream":false"#)).await).await,
            &END,
            &[&[text], more].concat(),
        );
        has(&json(ask(path, r#""options":{}"#).await).await, &LOADED, &[text]);
        let short =
            json(ask(path, &format!(r#"{body},"stream":false,"options":{{"num_predict":2}}"#)).await).await;
        assert_eq!((short["eval_count"].as_u64(), short["done_reason"].as_str()), (Some(2), Some("length")));
    }
    let tags = json(client.get(format!("{base}/api/tags")).send().await.unwrap()).await;
    has(&tags, &["models"], &[]);
    has(&tags["models"][0], &MODEL, &[]);
    has(&tags["models"][0]["details"], &DETAILS, &[]);
    let shown = json(ask("/api/show", r#""verbose":false"#).await).await;
    assert!(fields(&shown).is_superset(&SHOWN.into_iter().collect()), "{:?}", fields(&shown));
}

/// The same bad request to both: the same status and, word for word, the same error.
#[tokio::test]
async fn refusals_are_those_of_a_real_ollama() {
    let (client, base, model) = real().await;
    let mut settings = settings();
    settings.models = Models::new([model.clone()]);
    let simulated = Simulated::start(&settings).await;
    let of_the_model = |rest: &str| format!(r#"{{"model":"{model}","stream":false,{rest}}}"#);
    let bodies = [
        String::new(),
        "{bad".to_owned(),
        "{\"model\"".to_owned(),
        "{\"model\" 5}".to_owned(),
        "[1 2]".to_owned(),
        "x".to_owned(),
        "{}".to_owned(),
        "null".to_owned(),
        "[1]".to_owned(),
        "\"x\"".to_owned(),
        r#"{"model":5}"#.to_owned(),
        r#"{"model":"nope-at-all","prompt":"x","messages":[]}"#.to_owned(),
        of_the_model(r#""stream":"yes""#),
        of_the_model(r#""options":5"#),
        of_the_model(r#""messages":"x","prompt":5"#),
        of_the_model(r#""messages":[5],"system":5"#),
        of_the_model(r#""messages":[{"role":"user","content":5}],"context":5"#),
        of_the_model(
            r#""messages":[{"role":"user","content":"x"}],"prompt":"x","options":{"num_predict":"5"}"#,
        ),
        of_the_model(r#""messages":[{"role":"user","content":"x"}],"prompt":"x","format":"xml""#),
        of_the_model(r#""keep_alive":"x""#),
    ];
    for path in ["/api/chat", "/api/generate"] {
        for body in &bodies {
            let theirs = post(&client, &base, path, body).await;
            let ours = simulated.post(path, body).await;
            assert_eq!(ours.status(), theirs.status(), "{path} {body}");
            assert_eq!(json(ours).await, json(theirs).await, "{path} {body}");
        }
        let theirs = client.get(format!("{base}{path}")).send().await.unwrap();
        let ours = simulated.get(path).await;
        assert_eq!(
            (ours.status(), &ours.headers()["allow"], &ours.headers()["content-type"]),
            (theirs.status(), &theirs.headers()["allow"], &theirs.headers()["content-type"]),
        );
    }
}

/// What a real Ollama said by three protocols, streamed and not, is said again: text, tokens, why it
/// ended, in as many pieces.
#[tokio::test]
async fn a_recording_of_a_real_ollama_is_replayed() {
    let (client, base, model) = real().await;
    let recorded = Recorded::of(&base).await;
    let turns = r#""messages":[{"role":"user","content":"What is Dune about?"}]"#;
    let bodies = |stream: bool| {
        [
            ("/api/chat", format!(r#"{{"model":"{model}","stream":{stream},{turns}}}"#)),
            (
                "/api/generate",
                format!(
                    r#"{{"model":"{model}","stream":{stream},"prompt":"Dune","options":{{"num_predict":5}}}}"#
                ),
            ),
            (
                "/v1/chat/completions",
                format!(r#"{{"model":"{model}","stream":{stream},"max_tokens":9,{turns}}}"#),
            ),
            ("/v1/messages", format!(r#"{{"model":"{model}","stream":{stream},"max_tokens":12,{turns}}}"#)),
        ]
    };
    let ask = async |base: &str, path: &str, body: &str| {
        let request = client.post(format!("{base}{path}")).header("x-api-key", "key").bearer_auth("key");
        let request =
            request.header("anthropic-version", "2023-06-01").header("content-type", "application/json");
        let answer = request.body(body.to_owned()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path} {body}");
        answer.text().await.unwrap()
    };
    for (path, body) in bodies(true).iter().chain(&bodies(false)) {
        ask(&recorded.recorder.base, path, body).await;
    }
    let (_, first, folder) = recorded.end().await;
    assert_eq!(first.len(), 8);
    for call in &first {
        assert!(call.answered() && call.end == End::Complete && call.stop.is_some(), "{call:?}");
        assert!(
            !call.text.as_ref().unwrap().is_empty() && call.stream == (call.chunk_ms.len() > 1),
            "{call:?}"
        );
    }
    let replay = Role::Replay(ReplayArguments {
        recordings: vec![file(folder.path())],
        timing: RecordedTiming::Recorded,
        misses: Misses::Refuse,
        skip_broken: false,
    });
    let replay = Simulated::start_as(&settings(), replay).await;
    // Heard by the same ears.
    let recorded = Recorded::of(&replay.base).await;
    for (path, body) in bodies(true).iter().chain(&bodies(false)) {
        ask(&recorded.recorder.base, path, body).await;
    }
    let (_, again, _folder) = recorded.end().await;
    for (first, again) in first.iter().zip(&again) {
        assert_eq!((&again.text, again.stop, &again.request), (&first.text, first.stop, &first.request));
        if let (Some(told), Some(usage)) = (again.usage, first.usage) {
            assert_eq!(told, usage);
        }
        if first.stream {
            assert_eq!(again.chunk_bytes, first.chunk_bytes);
            assert!(
                again.total_ms >= first.total_ms * 0.9,
                "{} ms after {} ms",
                again.total_ms,
                first.total_ms
            );
        }
    }
}
