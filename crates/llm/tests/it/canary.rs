//! The key is in no signal: over answers, every failure that a protocol has, servers that echo the key,
//! and calls given up on, with prompts and answers captured and logs at their most talkative.

use std::sync::Arc;

use futures::StreamExt;
use llm::{Delivery, LlmProvider, Observed, Prices, complete};
use telemetry::recorder::Recorder;
use telemetry::{GenAiSettings, Version};

use crate::contract::{DELIVERIES, USER, request};
use crate::script::{Reply, Scripted};
use crate::wire::{CANARY, Wire};
use crate::{bedrock, claude, ollama, openai};

/// The first half of the key, which providers like to show.
const PART: &str = CANARY.split_at(14).0;

/// What a call said for itself.
async fn called(wire: &Wire, recorder: &Recorder, server: &mut Scripted, case: (Delivery, Reply)) -> String {
    let (delivery, reply) = case;
    server.tell(reply);
    let adapter = (wire.make)(&format!("{}{}", server.root, wire.prefix), wire.model);
    let adapter: Arc<dyn LlmProvider> = Arc::from(adapter);
    let observed = Observed::new(adapter, recorder.metrics(), Arc::new(Prices::shipped().unwrap()));
    let request = request(delivery);
    let result = complete(&observed, &request).await;
    if let Err(error) = &result {
        tracing::warn!(%error, ?error, "a call failed");
    }
    format!("{result:?} {:?} {:?}", request.trail, request.trail.attempts())
}

async fn nothing_shows_the_key(wire: Wire) {
    let gen_ai = GenAiSettings { version: Version::Both, capture_content: true };
    let recorder = Recorder::new(gen_ai);
    let listening = recorder.listen();
    let mut server = Scripted::start(Reply::new(500, "text/plain")).await;
    let said = format!("Incorrect API key provided: {CANARY}. {PART}… see your account");
    let echoes = [400, 401, 403, 404, 429, 500, 529].map(|status| {
        let body = serde_json::json!({"type": "error", "error": {"message": said}, "message": said});
        (Delivery::Streamed, Reply::json(status, &body))
    });
    let cases = DELIVERIES
        .map(|delivery| (delivery, (wire.sample)(delivery).reply))
        .into_iter()
        .chain((wire.cases)().into_iter().map(|case| (case.delivery, case.reply)))
        .chain(echoes);
    let mut calls = 0;
    let mut told = String::new();
    for case in cases {
        told += &called(&wire, &recorder, &mut server, case).await;
        calls += 1;
    }
    // Given up on in the middle.
    server.tell((wire.sample)(Delivery::Streamed).reply);
    let adapter: Arc<dyn LlmProvider> =
        Arc::from((wire.make)(&format!("{}{}", server.root, wire.prefix), wire.model));
    let observed = Observed::new(adapter, recorder.metrics(), Arc::new(Prices::none()));
    let mut stream = observed.call(&request(Delivery::Streamed)).await.unwrap();
    assert!(stream.next().await.is_some());
    drop(stream);
    // Nobody listens there.
    let away: Arc<dyn LlmProvider> = Arc::from((wire.make)("http://127.0.0.1:9", wire.model));
    let observed = Observed::new(away, recorder.metrics(), Arc::new(Prices::none()));
    told += &format!("{:?}", complete(&observed, &request(Delivery::Whole)).await);
    drop(listening);

    let spans = recorder.spans();
    let chats = spans.iter().filter(|span| span.name == format!("chat {}", wire.model)).count();
    assert_eq!(chats, calls + 2, "{}: each call has a span", wire.name);
    let everything = recorder.everything();
    // It is heard at all: what is asked, as captured, and what failed, as logged.
    assert!(everything.contains(USER) && everything.contains("a call failed"), "{}", wire.name);
    for (what, text) in [("what calls say", &told), ("what is recorded", &everything)] {
        let at = text.find(CANARY).map(|at| text[..at].chars().rev().take(300).collect::<String>());
        let before = at.map(|text| text.chars().rev().collect::<String>());
        assert_eq!(before, None, "{}: the key is in {what}, after this", wire.name);
    }
}

#[tokio::test]
async fn claude_shows_no_key() {
    nothing_shows_the_key(claude::WIRE).await;
}

#[tokio::test]
async fn openai_shows_no_key() {
    nothing_shows_the_key(openai::WIRE).await;
}

#[tokio::test]
async fn ollama_shows_no_key() {
    nothing_shows_the_key(ollama::WIRE).await;
}

#[tokio::test]
async fn bedrock_shows_no_key() {
    nothing_shows_the_key(bedrock::WIRE).await;
}
