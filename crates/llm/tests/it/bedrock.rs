//! Amazon Bedrock on the wire, from its API reference: Converse, "Response syntax" and "Errors";
//! `ConverseStream`, "Response syntax"; TokenUsage; Smithy, "Amazon Event Stream"; AWS restJson1, "Operation
//! error serialization"; user guide, "Troubleshooting Amazon Bedrock API error codes" and "Prompt caching
//! for faster model inference".

use std::time::Duration;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use llm::{Bedrock, Delivery, ErrorKind, LlmProvider, ProviderName, StopReason, TokenUsage};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::contract::{DELIVERIES, contract, request};
use crate::script::{Finish, Reply, Scripted};
use crate::wire::{Answer, CANARY, Case, Failure, Wire, tokens};

/// Bedrock.
pub const WIRE: Wire = Wire {
    name: ProviderName::Bedrock,
    prefix: "",
    make: |endpoint, model| -> Box<dyn LlmProvider> {
        let key = SecretString::from(CANARY);
        Box::new(Bedrock::with_keys(endpoint, "us-east-1", "AKIDEXAMPLE", &key, Some(&key), model))
    },
    model: MODEL,
    sample,
    lines: false,
    cases,
};

contract!(WIRE);

#[cfg(feature = "integration")]
mod real_service {
    use llm::{Bedrock, LlmProvider};

    use super::WIRE;
    use crate::contract::DELIVERIES;
    use crate::real::{self, question, setting};

    fn service() -> (String, String) {
        let endpoint = setting("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "where Bedrock, or ministack, answers");
        (endpoint, setting("BEDROCK_MODEL", "a model there"))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_answer_is_the_same_whole_and_streamed() {
        let (endpoint, model) = service();
        real::an_answer_is_the_same_whole_and_streamed(&WIRE, &endpoint, &model).await;
    }

    /// The address, the region and the credentials are those of the environment, as the SDK reads it.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_environment_says_where_and_as_whom() {
        let (_, model) = service();
        let bedrock = Bedrock::from_environment(&model).await;
        assert_eq!(bedrock.model(), model);
        for delivery in DELIVERIES {
            let said = llm::complete(&bedrock, &question(delivery, 60)).await.unwrap();
            assert!(!said.text.starts_with("[ministack mock"), "ministack has no model behind it: {said:?}");
            assert!(said.beginning.request_id.is_some(), "{said:?}");
        }
    }
}

#[cfg(feature = "integration")]
mod simulator {
    crate::simulator::against_simulator!(super::WIRE, llm::ErrorKind::Refused);
}

const MODEL: &str = "amazon.titan-text-premier";
const TEXT: &str = "Ein Wäl — 鯨 🐳.";
const ID: &str = "7a55c457-0000-4000-8000-c2e6e7ae1a0b";

fn good() -> Answer {
    Answer {
        text: TEXT.to_owned(),
        model: MODEL.to_owned(),
        usage: Some(tokens(26, 9)),
        stop: StopReason::End,
        request_id: Some(ID),
        simulated: false,
    }
}

fn usage() -> Value {
    json!({"inputTokens": 26, "outputTokens": 9, "totalTokens": 35})
}

/// A frame with these headers.
fn frame(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
    let mut message = Message::new(payload.as_bytes().to_vec());
    for (name, value) in headers {
        let value = HeaderValue::String((*value).to_owned().into());
        message = message.add_header(Header::new((*name).to_owned(), value));
    }
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).unwrap();
    bytes
}

fn event(kind: &str, payload: &Value) -> Vec<u8> {
    let headers = [(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")];
    frame(&headers, &payload.to_string())
}

fn exception(kind: &str, message: &str) -> Vec<u8> {
    let headers =
        [(":exception-type", kind), (":content-type", "application/json"), (":message-type", "exception")];
    frame(&headers, &json!({ "message": message }).to_string())
}

fn delta(delta: &Value) -> Vec<u8> {
    event("contentBlockDelta", &json!({"contentBlockIndex": 0, "delta": delta, "p": "abcdefg"}))
}

fn stop(reason: &str) -> Vec<u8> {
    event("messageStop", &json!({ "stopReason": reason }))
}

fn figures(usage: &Value) -> Vec<u8> {
    event("metadata", &json!({"usage": usage, "metrics": {"latencyMs": 1275}}))
}

fn stream(frames: impl IntoIterator<Item = Vec<u8>>) -> Reply {
    Reply::new(200, "application/vnd.amazon.eventstream").header("x-amzn-requestid", ID).pieces(frames)
}

fn completion(content: &Value, reason: &str, usage: &Value) -> Value {
    json!({"output": {"message": {"role": "assistant", "content": content}}, "stopReason": reason,
        "usage": usage, "metrics": {"latencyMs": 1275}})
}

fn whole(content: &Value, reason: &str, usage: &Value) -> Reply {
    Reply::json(200, &completion(content, reason, usage)).header("x-amzn-requestid", ID)
}

fn sample(delivery: Delivery) -> Case {
    let reply = match delivery {
        Delivery::Streamed => stream([
            event("messageStart", &json!({"role": "assistant"})),
            delta(&json!({"text": "Ein Wäl"})),
            delta(&json!({"text": " — 鯨 "})),
            delta(&json!({"text": "🐳."})),
            event("contentBlockStop", &json!({"contentBlockIndex": 0})),
            stop("end_turn"),
            figures(&usage()),
        ]),
        Delivery::Whole => whole(&json!([{ "text": TEXT }]), "end_turn", &usage()),
    };
    Case::answer("a good answer", delivery, reply, good())
}

fn cases() -> Vec<Case> {
    [answers(), statuses(), failures_under_200(), broken_streams()].concat()
}

/// An answer, streamed and whole.
fn both(
    name: &str,
    deltas: &[Vec<u8>],
    content: &Value,
    reason: &str,
    usage: &Value,
    wanted: &Answer,
) -> [Case; 2] {
    let frames = [deltas, &[stop(reason), figures(usage)]].concat();
    DELIVERIES.map(|delivery| {
        let reply = match delivery {
            Delivery::Streamed => stream(frames.clone()),
            Delivery::Whole => whole(content, reason, usage),
        };
        Case::answer(name, delivery, reply, wanted.clone())
    })
}

fn answers() -> Vec<Case> {
    let text = [delta(&json!({"text": TEXT}))];
    let content = json!([{ "text": TEXT }]);
    let mut cases = Vec::new();
    for (reason, stop) in [
        ("max_tokens", StopReason::MaxTokens),
        ("model_context_window_exceeded", StopReason::MaxTokens),
        ("stop_sequence", StopReason::End),
        ("tool_use", StopReason::Other),
        ("a_new_reason", StopReason::Other),
    ] {
        cases.extend(both(reason, &text, &content, reason, &usage(), &Answer { stop, ..good() }));
    }
    // User guide, "Prompt caching for faster model inference".
    let cached = json!({"inputTokens": 30, "outputTokens": 628, "totalTokens": 2708,
        "cacheReadInputTokens": 2000, "cacheWriteInputTokens": 50});
    let used = TokenUsage { cached_input: 2000, cache_write_input: 50, ..tokens(2080, 628) };
    let negative = json!({"inputTokens": -1, "outputTokens": 9, "totalTokens": 8});
    for (name, figures, wanted) in [
        ("the cache is in the total", cached, Some(used)),
        ("no usage", Value::Null, None),
        ("a usage that cannot be", negative, None),
    ] {
        cases.extend(both(name, &text, &content, "end_turn", &figures, &Answer { usage: wanted, ..good() }));
    }
    // API reference, ContentBlock, ReasoningContentBlockDelta, ToolUseBlockDelta; and what is new.
    let thought = json!([
        {"reasoningContent": {"reasoningText": {"text": "The user wants…", "signature": "EqoB"}}},
        {"toolUse": {"toolUseId": "t1", "name": "f", "input": {}}},
        {"aNewBlock": {"text": "new"}},
        {"text": TEXT},
    ]);
    let tool = json!({"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t1", "name": "f"}}});
    let frames = [
        event("messageStart", &json!({"role": "assistant"})),
        delta(&json!({"reasoningContent": {"text": "The user wants…"}})),
        delta(&json!({"reasoningContent": {"signature": "EqoB"}})),
        event("contentBlockStart", &tool),
        delta(&json!({"toolUse": {"input": "{}"}})),
        delta(&json!({"aNewDelta": {"text": "new"}})),
        event("aNewEvent", &json!({"text": "new"})),
        delta(&json!({"text": TEXT})),
    ];
    cases.extend(both(
        "thoughts and tools are passed over",
        &frames,
        &thought,
        "end_turn",
        &usage(),
        &good(),
    ));
    cases
}

/// A refusal as restJson1 has it.
fn refused(status: u16, exception: &str, message: &str) -> Reply {
    Reply::json(status, &json!({ "message": message })).header("x-amzn-requestid", ID).header(
        "x-amzn-errortype",
        format!("{exception}:http://internal.amazon.com/coral/com.amazon.bedrock/"),
    )
}

fn statuses() -> Vec<Case> {
    let of = |kind| Failure::of(kind).id(ID);
    let wait = Duration::from_secs(7);
    let limited =
        || refused(429, "ThrottlingException", "Too many requests, please wait before trying again.");
    let in_body = json!({"__type": "com.amazon.bedrock#ThrottlingException", "message": "slow down"});
    [
        ("429", limited(), of(ErrorKind::RateLimited).says("Too many requests")),
        ("429 with a wait", limited().header("retry-after", "7"), of(ErrorKind::RateLimited).after(wait)),
        (
            "400 of a quota",
            refused(400, "ServiceQuotaExceededException", "Your request exceeds the service quota."),
            of(ErrorKind::RateLimited),
        ),
        (
            "429 of a model that is not ready",
            refused(429, "ModelNotReadyException", ""),
            of(ErrorKind::Overloaded),
        ),
        (
            "503",
            refused(503, "ServiceUnavailableException", "").header("retry-after", "7"),
            of(ErrorKind::Overloaded).after(wait),
        ),
        ("408", refused(408, "ModelTimeoutException", ""), of(ErrorKind::Timeout)),
        ("424", refused(424, "ModelErrorException", "The model failed."), of(ErrorKind::Unavailable)),
        ("500", refused(500, "InternalServerException", ""), of(ErrorKind::Unavailable)),
        (
            "a prompt too long",
            refused(400, "ValidationException", "Input is too long for requested model."),
            of(ErrorKind::ContextTooLong),
        ),
        (
            "400",
            refused(400, "ValidationException", "The provided model identifier is invalid."),
            of(ErrorKind::BadRequest).says("BEDROCK_MODEL").says("identifier is invalid"),
        ),
        (
            "404",
            refused(404, "ResourceNotFoundException", "Could not resolve the foundation model."),
            of(ErrorKind::BadRequest).says("BEDROCK_MODEL"),
        ),
        (
            "403 of access",
            refused(403, "AccessDeniedException", "You don't have access to the model."),
            of(ErrorKind::Unauthorized).says("bedrock:InvokeModel"),
        ),
        ("403 of a token", refused(403, "ExpiredTokenException", "expired"), of(ErrorKind::Unauthorized)),
        ("403 of a key", refused(403, "UnrecognizedClientException", "invalid"), of(ErrorKind::Unauthorized)),
        ("403 of a signature", refused(403, "InvalidSignatureException", "no"), of(ErrorKind::Unauthorized)),
        (
            "the exception in the body",
            Reply::json(429, &in_body).header("x-amzn-requestid", ID),
            of(ErrorKind::RateLimited).says("slow down"),
        ),
        ("a status alone", Reply::new(429, "text/plain"), Failure::of(ErrorKind::RateLimited)),
        (
            "a body that never ends its silence",
            refused(429, "ThrottlingException", "slow down").finish(Finish::Stall),
            of(ErrorKind::RateLimited),
        ),
    ]
    .into_iter()
    .flat_map(|(name, reply, failure)| Case::both(name, &reply, &failure))
    .collect()
}

fn failures_under_200() -> Vec<Case> {
    let of = |kind| Failure::of(kind).id(ID).used(tokens(26, 9));
    let half = || (vec![delta(&json!({"text": "Half of "}))], json!([{"text": "Half of "}]));
    let none = || (vec![], json!([]));
    let thought = json!([{"reasoningContent": {"reasoningText": {"text": "Hm"}}}]);
    let tool = event(
        "contentBlockStart",
        &json!({"contentBlockIndex": 0,
        "start": {"toolUse": {"toolUseId": "t1", "name": "f"}}}),
    );
    let call = json!([{"toolUse": {"toolUseId": "t1", "name": "f", "input": {}}}]);
    let mut cases = Vec::new();
    for (reason, (deltas, content), failure) in [
        ("content_filtered", half(), of(ErrorKind::Refused)),
        ("guardrail_intervened", half(), of(ErrorKind::Refused).says("guardrail")),
        ("malformed_model_output", half(), of(ErrorKind::BadAnswer)),
        ("malformed_tool_use", half(), of(ErrorKind::BadAnswer)),
        ("end_turn", none(), of(ErrorKind::BadAnswer).says("without text")),
        (
            "max_tokens",
            (vec![delta(&json!({"reasoningContent": {"text": "Hm"}}))], thought),
            of(ErrorKind::BadRequest).says("longer"),
        ),
        ("model_context_window_exceeded", none(), of(ErrorKind::ContextTooLong)),
        ("tool_use", (vec![tool], call), of(ErrorKind::BadAnswer).says("tool")),
    ] {
        let frames = [deltas, vec![stop(reason), figures(&usage())]].concat();
        cases.push(Case::failure(reason, Delivery::Streamed, stream(frames), failure.clone()));
        cases.push(Case::failure(reason, Delivery::Whole, whole(&content, reason, &usage()), failure));
    }
    cases
}

fn broken_streams() -> Vec<Case> {
    let text = || delta(&json!({"text": "Half of "}));
    let of = |kind| Failure::of(kind).id(ID);
    let bad = || of(ErrorKind::BadAnswer);
    let end = || [stop("end_turn"), figures(&usage())];
    // The last four bytes of a frame are its checksum; bytes 8 to 11 that of its prelude.
    let damaged = |at: usize| {
        let mut frame = text();
        let at = if at == usize::MAX { frame.len() - 1 } else { at };
        frame[at] ^= 1;
        frame
    };
    let error = frame(
        &[(":message-type", "error"), (":error-code", "InternalError"), (":error-message", "It failed.")],
        "",
    );
    let whole_in_half = text();
    let half = whole_in_half[..whole_in_half.len() / 2].to_vec();
    [
        (
            "modelStreamErrorException",
            vec![text(), exception("modelStreamErrorException", "The model failed.")],
            of(ErrorKind::Unavailable).says("The model failed."),
        ),
        (
            "internalServerException",
            vec![text(), exception("internalServerException", "")],
            of(ErrorKind::Unavailable),
        ),
        (
            "throttlingException",
            vec![text(), exception("throttlingException", "slow down")],
            of(ErrorKind::RateLimited).says("slow down"),
        ),
        (
            "serviceUnavailableException",
            vec![exception("serviceUnavailableException", "")],
            of(ErrorKind::Overloaded),
        ),
        (
            "validationException",
            vec![exception("validationException", "Input is too long for requested model.")],
            of(ErrorKind::ContextTooLong),
        ),
        (
            "an exception that is new",
            vec![text(), exception("aNewException", "x")],
            of(ErrorKind::Unavailable),
        ),
        ("an error that no model has", vec![text(), error], bad()),
        ("a wrong checksum of a message", vec![text(), damaged(usize::MAX)], bad()),
        ("a wrong checksum of a prelude", vec![text(), damaged(8)], bad()),
        ("a damaged payload", vec![text(), damaged(100)], bad()),
        ("a frame without end", vec![text(), damaged(0)], bad()),
        ("half a frame", vec![text(), half], bad()),
        (
            "JSON that is none",
            vec![
                text(),
                frame(&[(":message-type", "event"), (":event-type", "contentBlockDelta")], "{\"delta\":"),
            ],
            bad(),
        ),
        ("no stop", vec![text(), figures(&usage())], bad().used(tokens(26, 9))),
        ("no metadata", vec![text(), stop("end_turn")], bad()),
        ("nothing", vec![], bad()),
        ("no frames", vec![b"data: {}\n\n".to_vec()], bad()),
    ]
    .into_iter()
    .map(|(name, frames, failure)| Case::failure(name, Delivery::Streamed, stream(frames), failure))
    .chain([
        Case::failure("cut between frames", Delivery::Streamed, stream([text()]).finish(Finish::Cut), bad()),
        Case::answer(
            "what follows the end is not read",
            Delivery::Streamed,
            stream([delta(&json!({"text": TEXT}))].into_iter().chain(end()).chain([damaged(8)])),
            good(),
        ),
    ])
    .collect()
}

/// The path names the model, escaped, and the trace goes along under the signature.
#[tokio::test]
async fn requests_are_signed() {
    let server = Scripted::start(sample(Delivery::Streamed).reply).await;
    let key = SecretString::from(CANARY);
    let model = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0";
    let bedrock =
        Bedrock::with_keys(&server.root, "eu-west-1", "AKIDEXAMPLE", &key, None, "other").asking(model);
    llm::complete(&bedrock, &request(Delivery::Streamed)).await.unwrap();
    let asked = server.asked().pop().unwrap();
    let path = "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2F\
        us.amazon.nova-lite-v1%3A0/converse-stream";
    assert!(asked.head.contains(path), "{}", asked.head);
    let authorization = asked.header("authorization").unwrap();
    assert!(
        authorization.contains("AKIDEXAMPLE/") && authorization.contains("/eu-west-1/bedrock/aws4_request")
    );
    assert!(!asked.head.contains(CANARY));
}
