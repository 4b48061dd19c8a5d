//! `/model/{modelId}/…`: Bedrock's wire protocol.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use aws_smithy_types::event_stream::Message;
use bytes::BytesMut;
use llm_simulator::profile::Profiles;
use llm_simulator::settings::{AwsKeys, Settings};
use reqwest::Response;
use serde_json::{Value, json};

use crate::shape::has;
use crate::{CONVERSE_MODEL, Simulated, settings};

const PROMPT: &str = "Title: Moby-Dick\\nAuthors: Herman Melville\\nDescription: A captain hunts the whale.";
/// As clients write the model in a path.
const MODEL: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1%3A0";
const ARN: &str = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.anthropic.claude-sonnet-4-5-20250929-v1%3A0";

fn body(more: &str) -> String {
    format!(r#"{{"messages":[{{"role":"user","content":[{{"text":"{PROMPT}"}}]}}]{more}}}"#)
}

async fn post(simulated: &Simulated, path: &str, body: &str) -> Response {
    let request = simulated.client.post(format!("{}/model/{path}", simulated.base));
    let request = request.header("content-type", "application/json").bearer_auth("anything");
    request.body(body.to_owned()).send().await.unwrap()
}

async fn whole(response: Response) -> Value {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
    response.json().await.unwrap()
}

async fn refused(response: Response) -> (u16, String, String) {
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["x-llm-simulated"], "true");
    assert!(response.headers().contains_key("x-amzn-requestid"));
    let status = response.status().as_u16();
    let kind = response.headers()["x-amzn-errortype"].to_str().unwrap().split(':').next().unwrap().to_owned();
    let body: Value = response.json().await.unwrap();
    has(&body, &["message"], &[]);
    (status, kind, body["message"].as_str().unwrap().to_owned())
}

/// All frames of a stream, decoded by the library.
fn frames(bytes: &[u8]) -> Result<Vec<Message>, String> {
    let (mut decoder, mut buffer, mut messages) =
        (MessageFrameDecoder::new(), BytesMut::from(bytes), Vec::new());
    while let DecodedFrame::Complete(message) =
        decoder.decode_frame(&mut buffer).map_err(|error| error.to_string())?
    {
        messages.push(message);
    }
    if buffer.is_empty() { Ok(messages) } else { Err("half a frame".to_owned()) }
}

async fn events(response: Response) -> Vec<(String, Value)> {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/vnd.amazon.eventstream");
    let bytes = response.bytes().await.unwrap();
    frames(&bytes).unwrap().iter().map(event).collect()
}

fn event(message: &Message) -> (String, Value) {
    let headers: Vec<_> = message
        .headers()
        .iter()
        .map(|header| (header.name().as_str(), header.value().as_string().unwrap().as_str()))
        .collect();
    let [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")] =
        headers[..]
    else {
        panic!("{headers:?}");
    };
    (name.to_owned(), serde_json::from_slice(message.payload()).unwrap())
}

fn text(events: &[(String, Value)]) -> String {
    events.iter().filter_map(|(_, payload)| payload["delta"]["text"].as_str()).collect()
}

fn last<'a>(events: &'a [(String, Value)], name: &str) -> &'a Value {
    &events.iter().rfind(|(event, _)| event == name).unwrap().1
}

#[tokio::test]
async fn streamed_and_whole_answers_say_and_count_the_same() {
    let simulated = Simulated::start(&settings()).await;
    let response = post(&simulated, &format!("{MODEL}/converse"), &body("")).await;
    assert_eq!(response.headers()["x-llm-simulated"], "true");
    assert_eq!(response.headers()["x-amzn-requestid"].len(), 36);
    let whole = whole(response).await;
    has(&whole, &["metrics", "output", "stopReason", "usage"], &[]);
    let usage =
        ["inputTokens", "outputTokens", "totalTokens", "cacheReadInputTokens", "cacheWriteInputTokens"];
    has(&whole["usage"], &usage, &[]);
    let counted: u64 =
        ["inputTokens", "outputTokens"].iter().map(|name| whole["usage"][name].as_u64().unwrap()).sum();
    assert_eq!(whole["usage"]["totalTokens"], counted);
    assert_eq!(
        (&whole["stopReason"], &whole["output"]["message"]["role"]),
        (&json!("end_turn"), &json!("assistant"))
    );
    assert!(whole["metrics"]["latencyMs"].as_u64().unwrap() >= 1);
    let said = whole["output"]["message"]["content"][0]["text"].as_str().unwrap();
    assert!(said.contains("Moby-Dick by Herman Melville"), "{said}");

    let response = post(&simulated, &format!("{MODEL}/converse-stream"), &body("")).await;
    assert!(response.headers().contains_key("x-amzn-requestid"));
    let events = events(response).await;
    let names: Vec<_> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        (names[0], &names[names.len() - 3..]),
        ("messageStart", &["contentBlockStop", "messageStop", "metadata"][..])
    );
    assert!(names[1..names.len() - 3].iter().all(|name| *name == "contentBlockDelta"), "{names:?}");
    assert_eq!(events[0].1, json!({"role": "assistant"}));
    has(&events[1].1, &["contentBlockIndex", "delta"], &[]);
    assert_eq!(last(&events, "contentBlockStop"), &json!({"contentBlockIndex": 0}));
    assert_eq!(last(&events, "messageStop"), &json!({"stopReason": "end_turn"}));
    assert_eq!(last(&events, "metadata"), &json!({"metrics": whole["metrics"], "usage": whole["usage"]}));
    assert_eq!(text(&events), said);
}

#[tokio::test]
async fn a_model_is_asked_by_its_id_and_by_its_arn() {
    let simulated = Simulated::start(&settings()).await;
    let mut answers = Vec::new();
    for model in [MODEL, CONVERSE_MODEL, ARN, &ARN.replace("%3A", ":")] {
        answers.push(whole(post(&simulated, &format!("{model}/converse"), &body("")).await).await);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    for unknown in ["nope", "a%20b", "%2F", &ARN.replace("v1", "v2"), &"x".repeat(3_000)] {
        let (status, kind, said) =
            refused(post(&simulated, &format!("{unknown}/converse"), &body("")).await).await;
        assert_eq!(
            (status, kind.as_str(), said.as_str()),
            (400, "ValidationException", "The provided model identifier is invalid."),
            "{unknown}"
        );
    }
}

#[tokio::test]
async fn the_same_seed_answers_the_same_in_another_instance_and_under_concurrency() {
    let (one, two) = (Simulated::start(&settings()).await, Simulated::start(&settings()).await);
    let mut other = settings();
    other.seed = 2;
    let other = Simulated::start(&other).await;
    for operation in ["converse", "converse-stream"] {
        let path = format!("{MODEL}/{operation}");
        let ask =
            async |simulated: &Simulated| post(simulated, &path, &body("")).await.bytes().await.unwrap();
        let first = ask(&one).await;
        assert_eq!(ask(&two).await, first);
        assert_ne!(ask(&other).await, first);
        let asked = std::iter::repeat_with(|| ask(&one)).take(100);
        assert!(futures::future::join_all(asked).await.iter().all(|answer| *answer == first), "{operation}");
    }
}

#[tokio::test]
async fn the_longest_answer_and_stop_texts_are_obeyed() {
    let simulated = Simulated::start(&settings()).await;
    let ask = async |more: &str| {
        let whole = whole(post(&simulated, &format!("{MODEL}/converse"), &body(more)).await).await;
        let events = events(post(&simulated, &format!("{MODEL}/converse-stream"), &body(more)).await).await;
        assert_eq!(last(&events, "messageStop")["stopReason"], whole["stopReason"]);
        assert_eq!(last(&events, "metadata")["usage"], whole["usage"]);
        let said = whole["output"]["message"]["content"][0]["text"].as_str().unwrap_or_default().to_owned();
        assert_eq!(text(&events), said);
        (whole, said)
    };
    let (whole, _) = ask(r#","inferenceConfig":{"maxTokens":5}"#).await;
    assert_eq!((&whole["usage"]["outputTokens"], &whole["stopReason"]), (&json!(5), &json!("max_tokens")));
    let (whole, said) = ask(r#","inferenceConfig":{"stopSequences":["Melville"]},"additionalModelResponseFieldPaths":["/stop_sequence"]"#).await;
    assert_eq!(
        (&whole["stopReason"], &whole["additionalModelResponseFields"]),
        (&json!("stop_sequence"), &json!({"stop_sequence": "Melville"}))
    );
    assert!(said.contains("Moby-Dick") && !said.contains("Melville"), "{said}");
    let schema = r#"{\"type\":\"object\",\"properties\":{\"summary\":{\"type\":\"string\"}},\"required\":[\"summary\"]}"#;
    let (_, said) = ask(&format!(r#","outputConfig":{{"textFormat":{{"type":"json_schema","structure":{{"jsonSchema":{{"schema":"{schema}"}}}}}}}}"#)).await;
    assert!(serde_json::from_str::<Value>(&said).unwrap()["summary"].is_string(), "{said}");
}

#[tokio::test]
async fn refusals_are_those_of_bedrock() {
    let simulated = Simulated::start(&settings()).await;
    for operation in ["converse", "converse-stream"] {
        for (body, kind, said) in [
            (
                "{bad",
                "SerializationException",
                "The body cannot be read: key must be a string at line 1 column 2",
            ),
            (r#"{"messages":5}"#, "SerializationException", "Unexpected field type"),
            (
                "{}",
                "ValidationException",
                "A conversation must start with a user message. Try again with a conversation that starts with a user message.",
            ),
            (
                r#"{"messages":[{"role":"user","content":[{"text":""}]}]}"#,
                "ValidationException",
                "The text field in the ContentBlock object at messages.0.content.0 is blank. Add text to the text field, and try again.",
            ),
        ] {
            let response = post(&simulated, &format!("{MODEL}/{operation}"), body).await;
            assert_eq!(refused(response).await, (400, kind.to_owned(), said.to_owned()), "{body}");
        }
    }
    let large = body(&format!(r#","x":"{}""#, "x".repeat(20 << 20)));
    let (status, kind, _) = refused(post(&simulated, &format!("{MODEL}/converse"), &large).await).await;
    assert_eq!((status, kind.as_str()), (413, "RequestEntityTooLargeException"));
    for path in ["invoke", "converse-streams"] {
        let (status, kind, _) = refused(post(&simulated, &format!("{MODEL}/{path}"), "{}").await).await;
        assert_eq!((status, kind.as_str()), (404, "UnknownOperationException"));
    }
    let (status, kind, _) = refused(simulated.get(&format!("/model/{MODEL}/converse")).await).await;
    assert_eq!((status, kind.as_str()), (404, "UnknownOperationException"));
}

#[tokio::test]
async fn a_failure_of_the_profile_is_an_exception() {
    let mut failing = settings();
    failing.profiles = Profiles::all(crate::profile().with_error_rate(1.0));
    let simulated = Simulated::start(&failing).await;
    for operation in ["converse", "converse-stream"] {
        let (status, kind, said) =
            refused(post(&simulated, &format!("{MODEL}/{operation}"), &body("")).await).await;
        assert_eq!((status, kind.as_str()), (500, "InternalServerException"));
        assert!(said.contains("simulated"), "{said}");
    }
}

#[tokio::test]
async fn without_any_authorization_nobody_is_let_in() {
    let simulated = Simulated::start(&settings()).await;
    let response = simulated.post(&format!("/model/{MODEL}/converse"), &body("")).await;
    assert_eq!(
        refused(response).await,
        (403, "MissingAuthenticationTokenException".to_owned(), "Missing Authentication Token".to_owned())
    );
}

/// Signs as an SDK does and sends, after `change`.
async fn signed(
    simulated: &Simulated,
    path: &str,
    secret: &str,
    change: fn(&mut String, &mut String),
) -> Response {
    let (mut url, mut sent) = (format!("{}/model/{path}", simulated.base), body(""));
    let identity = Credentials::new("AKIDEXAMPLE", secret, None, None, "test").into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("bedrock")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let headers = [("content-type", "application/json")].into_iter();
    let request = SignableRequest::new("POST", &url, headers, SignableBody::Bytes(sent.as_bytes())).unwrap();
    let (instructions, _) = sign(request, &parameters).unwrap().into_parts();
    let instructions: Vec<_> =
        instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    change(&mut url, &mut sent);
    let request = simulated.client.post(url).header("content-type", "application/json").body(sent);
    instructions
        .into_iter()
        .fold(request, |request, (name, value)| request.header(name, value))
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn with_keys_only_a_right_signature_is_let_in() {
    let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    let aws_keys =
        AwsKeys { access_key_id: "AKIDEXAMPLE".to_owned(), secret_access_key: secret.to_owned().into() };
    let simulated = Simulated::start(&Settings { aws_keys: Some(aws_keys), ..settings() }).await;
    for model in [MODEL, CONVERSE_MODEL, ARN] {
        whole(signed(&simulated, &format!("{model}/converse"), secret, |_, _| {}).await).await;
    }
    let refusals = [
        signed(&simulated, &format!("{MODEL}/converse"), "other", |_, _| {}).await,
        signed(&simulated, &format!("{MODEL}/converse"), secret, |_, body| {
            *body = body.replace("whale", "shark");
        })
        .await,
        signed(&simulated, &format!("{MODEL}/converse"), secret, |url, _| url.push_str("-stream")).await,
    ];
    for response in refusals {
        let (status, kind, said) = refused(response).await;
        assert_eq!((status, kind.as_str()), (403, "InvalidSignatureException"));
        assert!(said.starts_with("The request signature we calculated does not match"), "{said}");
    }
    let (status, kind, _) = refused(post(&simulated, &format!("{MODEL}/converse"), &body("")).await).await;
    assert_eq!(
        (status, kind.as_str()),
        (403, "AccessDeniedException"),
        "a bearer token in the signature's place"
    );
}
