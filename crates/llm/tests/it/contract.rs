//! What holds of every provider, whatever its protocol. Each function is a test; `contract!` makes
//! them for a [`Wire`].

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;
use llm::{
    Chunk, Completion, Deadline, Delivery, ErrorKind, LlmError, LlmProvider, Prompt, Request, complete,
};
use proptest::prelude::{Strategy, any};
use proptest::test_runner::{Config, TestRunner};
use tokio::time::Instant;

pub use crate::script::PATIENCE;
use crate::script::{Finish, Reply, Scripted};
use crate::wire::{CANARY, Case, Expected, Wire};

/// Makes the tests of a provider: `contract!(WIRE);` in its file.
macro_rules! contract {
    ($wire:expr) => {
        $crate::contract::contract!($wire =>
            samples_are_understood,
            cases_are_understood,
            requests_say_what_is_asked,
            the_key_is_never_shown,
            any_split_gives_the_same_answer,
            lines_may_end_in_crlf,
            a_cut_answer_is_never_taken_for_a_whole_one,
            a_reset_is_a_failure,
            a_silent_server_meets_the_deadline,
            an_endless_answer_ends,
            an_endless_row_of_events_ends,
            proxies_and_redirects_are_not_answers,
            dropping_an_answer_ends_the_call,
            noise_is_survived,
            a_server_that_is_not_there_is_unavailable,
            no_proxy_is_asked_for_what_is_on_this_machine,
        );
    };
    ($wire:expr => $($test:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                $crate::contract::$test(&$wire).await;
            }
        )*
    };
}
pub(crate) use contract;

/// Text of the prompt, to be found in the request.
pub const SYSTEM: &str = "Summarise the book.";
/// Likewise.
pub const USER: &str = "A whale: «Moby-Dick» 鯨 🐳.";
/// Likewise.
pub const MOST_TOKENS: u32 = 321;

/// Deliveries, both.
pub const DELIVERIES: [Delivery; 2] = [Delivery::Streamed, Delivery::Whole];

/// A request for one attempt.
pub fn request(delivery: Delivery) -> Request {
    let prompt = Prompt { system: SYSTEM.to_owned(), user: USER.to_owned(), max_output_tokens: MOST_TOKENS };
    Request { delivery, ..Request::once(prompt, PATIENCE) }
}

/// An adapter and the server that it asks.
struct Asking {
    wire: Wire,
    server: Scripted,
    provider: Box<dyn LlmProvider>,
}

impl Asking {
    async fn start(wire: &Wire) -> Self {
        let server = Scripted::start(Reply::new(500, "text/plain")).await;
        let provider = (wire.make)(&format!("{}{}", server.root, wire.prefix), wire.model);
        Self { wire: *wire, server, provider }
    }

    /// Asks once while the server gives this answer.
    async fn ask(&mut self, delivery: Delivery, reply: Reply) -> Result<Completion, LlmError> {
        self.server.tell(reply);
        let request = request(delivery);
        let asked = tokio::time::timeout(PATIENCE, complete(self.provider.as_ref(), &request)).await;
        asked.expect("the call does not end")
    }

    /// Holds a call against what is expected.
    async fn check(&mut self, case: Case) {
        let wire = self.wire;
        let Case { name, delivery, reply, expected } = case;
        let name = format!("{}: {name} ({delivery:?})", wire.name);
        let result = self.ask(delivery, reply).await;
        let shown = format!("{result:?}");
        assert!(!shown.contains(CANARY), "{name}: {shown}");
        assert_eq!(self.server.asked().len(), 1, "{name}: a call is one request");
        match (result, expected) {
            (Ok(said), Expected::Answer(wanted)) => {
                assert_eq!(said.text, wanted.text, "{name}");
                assert_eq!(said.beginning.provider, wire.name, "{name}");
                assert_eq!(said.beginning.requested_model, wire.model, "{name}");
                assert_eq!(said.beginning.request_id.as_deref(), wanted.request_id, "{name}");
                assert_eq!(said.beginning.simulated, wanted.simulated, "{name}");
                assert_eq!(said.ending.model, wanted.model, "{name}");
                assert_eq!(said.ending.usage, wanted.usage, "{name}");
                assert_eq!(said.ending.stop, wanted.stop, "{name}");
            }
            (Err(error), Expected::Failure(wanted)) => {
                assert_eq!(error.kind, wanted.kind, "{name}: {error}");
                match (error.retry_after, wanted.retry_after) {
                    (Some(wait), Some(most)) => {
                        assert!(wait <= most && wait + Duration::from_secs(2) >= most, "{name}: {wait:?}");
                    }
                    (wait, most) => assert_eq!(wait, most, "{name}: {error}"),
                }
                assert_eq!(error.request_id.as_deref(), wanted.request_id, "{name}: {error}");
                assert_eq!(error.usage.as_deref(), wanted.usage.as_ref(), "{name}: {error}");
                for word in wanted.says {
                    assert!(error.detail.contains(word), "{name}: {word:?} is not in {error}");
                }
                assert!(error.detail.len() < 1200, "{name}: {} bytes of error", error.detail.len());
            }
            (result, expected) => panic!("{name}: {result:?} instead of {expected:?}"),
        }
    }
}

/// The samples, with what they say of themselves.
pub async fn samples_are_understood(wire: &Wire) {
    let mut asking = Asking::start(wire).await;
    for delivery in DELIVERIES {
        asking.check((wire.sample)(delivery)).await;
        let mut marked = (wire.sample)(delivery);
        marked.reply = marked.reply.header("x-llm-simulated", "true");
        let Expected::Answer(answer) = &mut marked.expected else { panic!("a sample is an answer") };
        answer.simulated = true;
        asking.check(marked).await;
    }
}

/// Whatever proxy the environment names: this file's own test passes with one that is not there. It is
/// another process, for an environment belongs to all of one.
pub async fn no_proxy_is_asked_for_what_is_on_this_machine(wire: &Wire) {
    let proxy = "http://127.0.0.1:9";
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", &format!("{}::samples_are_understood", wire.name)]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        child.env(name, proxy).env(name.to_ascii_lowercase(), proxy);
    }
    child.env_remove("NO_PROXY").env_remove("no_proxy");
    let ran = child.kill_on_drop(true).output().await.unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{}: {said}", wire.name);
}

/// The provider's own cases.
pub async fn cases_are_understood(wire: &Wire) {
    let mut asking = Asking::start(wire).await;
    for case in (wire.cases)() {
        asking.check(case).await;
    }
}

/// A request has the prompt, the model and the longest answer in it, and asks for its delivery.
pub async fn requests_say_what_is_asked(wire: &Wire) {
    let mut asking = Asking::start(wire).await;
    for delivery in DELIVERIES {
        let result = asking.ask(delivery, (wire.sample)(delivery).reply).await;
        result.unwrap();
        let asked = asking.server.asked().pop().unwrap();
        let body = asked.json();
        let strings = strings(&body);
        for wanted in [SYSTEM, USER] {
            assert_eq!(strings.iter().filter(|text| *text == wanted).count(), 1, "{wanted}: {body}");
        }
        assert!(asked.body.contains(&format!(":{MOST_TOKENS}")), "{body}");
        assert!(strings.iter().any(|text| text == wire.model) || asked.head.contains(wire.model), "{body}");
        assert!(!asked.body.contains(CANARY) && !asked.head.lines().next().unwrap().contains(CANARY));
    }
}

/// All texts in a JSON value.
fn strings(value: &serde_json::Value) -> Vec<String> {
    match value {
        serde_json::Value::String(text) => vec![text.clone()],
        serde_json::Value::Array(items) => items.iter().flat_map(strings).collect(),
        serde_json::Value::Object(fields) => fields.values().flat_map(strings).collect(),
        _ => Vec::new(),
    }
}

/// A server that echoes the key in its error, as some do, does not make us show it.
pub async fn the_key_is_never_shown(wire: &Wire) {
    let mut asking = Asking::start(wire).await;
    let said = format!("Incorrect API key provided: {CANARY}. {}", &CANARY[..12]);
    for status in [400, 401, 403, 404, 413, 422, 429, 500, 503, 529] {
        let errors = [
            serde_json::json!({"type": "error", "error": {"type": "authentication_error", "message": said}}),
            serde_json::json!({"error": {"type": "invalid_request_error", "code": "invalid_api_key", "message": said}}),
            serde_json::json!({"error": said}),
            serde_json::json!({"message": said}),
            serde_json::json!(said),
        ];
        for body in errors {
            let reply = Reply::json(status, &body)
                .header("x-amzn-errortype", "UnrecognizedClientException")
                .header("request-id", format!("req_{CANARY}"))
                .header("x-request-id", format!("req_{CANARY}"));
            let result = asking.ask(Delivery::Streamed, reply).await;
            let error = result.unwrap_err();
            let mut shown = format!("{error} {:?}", error.detail);
            if [401, 403].contains(&status) {
                assert_eq!(error.kind, ErrorKind::Unauthorized, "{}: {error}", wire.name);
                // Not even a part of it.
                shown += if shown.contains(&CANARY[..12]) { CANARY } else { "" };
            }
            assert!(!shown.contains(CANARY), "{}: {status}: {shown}", wire.name);
        }
    }
}

/// Bytes come as they come: in two at every boundary, and one by one.
pub async fn any_split_gives_the_same_answer(wire: &Wire) {
    let mut asking = Asking::start(wire).await;
    for delivery in DELIVERIES {
        let sample = (wire.sample)(delivery);
        let body = sample.reply.body();
        let in_two = (1..body.len()).map(|at| vec![body[..at].to_vec(), body[at..].to_vec()]);
        let others = [vec![body.clone()], body.iter().map(|byte| vec![*byte]).collect()];
        for pieces in in_two.chain(others) {
            let first = pieces[0].len();
            let mut case = sample.clone();
            case.name = format!("{} pieces, the first of {first} bytes", pieces.len());
            case.reply = sample.reply.with_body(pieces);
            asking.check(case).await;
        }
    }
}

/// Both ends of lines mean the same.
pub async fn lines_may_end_in_crlf(wire: &Wire) {
    let mut asking = Asking::start(wire).await;
    if !wire.lines {
        return;
    }
    let mut case = (wire.sample)(Delivery::Streamed);
    let body = String::from_utf8(case.reply.body()).unwrap();
    let body = body.replace('\n', "\r\n").into_bytes();
    for at in 1..body.len() {
        case.name = format!("CRLF, split at {at}");
        case.reply = case.reply.with_body([&body[..at], &body[at..]]);
        asking.check(case.clone()).await;
    }
}

/// Wherever a connection ends before the last event, there is no answer; nor where the body's framing
/// says that this was all.
pub async fn a_cut_answer_is_never_taken_for_a_whole_one(wire: &Wire) {
    let mut asking = Asking::start(wire).await;
    for delivery in DELIVERIES {
        let sample = (wire.sample)(delivery);
        let Expected::Answer(wanted) = &sample.expected else { panic!("a sample is an answer") };
        let body = sample.reply.body();
        for finish in [Finish::Cut, Finish::Complete] {
            for at in 0..body.len() {
                let reply = sample.reply.with_body([&body[..at]]).finish(finish);
                let result = asking.ask(delivery, reply).await;
                let name = format!("{}: {finish:?} after {at} bytes ({delivery:?})", wire.name);
                assert_eq!(asking.server.asked().len(), 1, "{name}");
                match result {
                    Err(error) => assert!(
                        matches!(error.kind, ErrorKind::BadAnswer | ErrorKind::Unavailable),
                        "{name}: {error:?}"
                    ),
                    // Nothing but what closes the last event is missing.
                    Ok(said) => {
                        assert!(body.len() - at <= 16, "{name}: {said:?}");
                        assert_eq!(said.text, wanted.text, "{name}");
                        assert_eq!(said.ending.usage, wanted.usage, "{name}");
                    }
                }
            }
        }
    }
}

/// A reset in the middle is one, too.
pub async fn a_reset_is_a_failure(wire: &Wire) {
    let mut asking = Asking::start(wire).await;
    for delivery in DELIVERIES {
        let sample = (wire.sample)(delivery);
        let body = sample.reply.body();
        for at in [0, body.len() / 2] {
            let reply = sample.reply.with_body([&body[..at]]).finish(Finish::Reset);
            let result = asking.ask(delivery, reply).await;
            let error = result.unwrap_err();
            assert!(
                matches!(error.kind, ErrorKind::BadAnswer | ErrorKind::Unavailable),
                "{}: {error:?}",
                wire.name
            );
        }
    }
}

/// Silence from the start or in the middle ends with the deadline, and so does the connection.
pub async fn a_silent_server_meets_the_deadline(wire: &Wire) {
    let mut asking = Asking::start(wire).await;
    let provider = (wire.make)(&format!("{}{}", asking.server.root, wire.prefix), wire.model);
    let bounded = Deadline::new(Boxed(provider), PATIENCE);
    for delivery in DELIVERIES {
        let sample = (wire.sample)(delivery);
        let body = sample.reply.body();
        for at in [0, body.len() / 2] {
            let reply = sample.reply.with_body([&body[..at]]).finish(Finish::Stall);
            asking.server.tell(reply);
            let mut request = request(delivery);
            request.deadline = Instant::now() + Duration::from_millis(300);
            let error = complete(&bounded, &request).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Timeout, "{}: {error}", wire.name);
            asking.server.until_left().await;
        }
    }
}

/// A body without end is given up, and little of it is held.
pub async fn an_endless_answer_ends(wire: &Wire) {
    let mut asking = Asking::start(wire).await;
    let filler = vec![b'a'; 64 << 10];
    for delivery in DELIVERIES {
        let sample = (wire.sample)(delivery);
        let first = sample.reply.pieces[0].clone();
        let endings: [&[u8]; 3] = [&[], b"data: \"", b"{\"a\":\""];
        for opening in endings {
            let reply = sample.reply.with_body([&first, opening, &filler]).finish(Finish::Endless);
            let result = asking.ask(delivery, reply).await;
            let error = result.unwrap_err();
            assert_eq!(error.kind, ErrorKind::BadAnswer, "{}: {error}", wire.name);
            asking.server.until_left().await;
        }
        for status in [400, 500] {
            let mut reply = Reply::new(status, "text/html").piece(filler.clone()).finish(Finish::Endless);
            reply.headers.push(("x-amzn-errortype", "ValidationException".to_owned()));
            let result = asking.ask(delivery, reply).await;
            let error = result.unwrap_err();
            let expected = if status == 400 { ErrorKind::BadRequest } else { ErrorKind::Unavailable };
            assert_eq!(error.kind, expected, "{}: {error}", wire.name);
            assert!(error.detail.len() < 1200, "{} bytes", error.detail.len());
            asking.server.until_left().await;
        }
    }
}

/// Events that are good and never come to an end meet the deadline, whichever they are.
pub async fn an_endless_row_of_events_ends(wire: &Wire) {
    let mut asking = Asking::start(wire).await;
    let provider = (wire.make)(&format!("{}{}", asking.server.root, wire.prefix), wire.model);
    let bounded = Deadline::new(Boxed(provider), PATIENCE);
    let sample = (wire.sample)(Delivery::Streamed).reply;
    for last in 0..sample.pieces.len() - 1 {
        asking.server.tell(sample.with_body(sample.pieces[..=last].to_vec()).finish(Finish::Endless));
        let mut request = request(Delivery::Streamed);
        request.deadline = Instant::now() + Duration::from_millis(300);
        match complete(&bounded, &request).await {
            Err(error) => assert!(
                matches!(error.kind, ErrorKind::Timeout | ErrorKind::BadAnswer),
                "{}: {last}: {error}",
                wire.name
            ),
            // Some protocols have two last events, of which the first will do.
            Ok(_) => assert_eq!(last, sample.pieces.len() - 2, "{}", wire.name),
        }
        asking.server.until_left().await;
    }
}

/// A connection whose answer has come to its end takes the next call, too. (Not in `contract!`: what an
/// SDK does with its connections is its own affair.)
pub async fn connections_are_used_again(wire: &Wire) {
    for delivery in DELIVERIES {
        let mut asking = Asking::start(wire).await;
        let reply = Reply { keeps: true, ..(wire.sample)(delivery).reply };
        asking.server.tell(reply);
        for _ in 0..5 {
            complete(asking.provider.as_ref(), &request(delivery)).await.unwrap();
            // The connection's own task has to put it back, which a busy machine may do late.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let asked = asking.server.asked();
        assert_eq!(asked.len(), 5);
        let connections: BTreeSet<u16> = asked.iter().map(|request| request.from).collect();
        assert!(connections.len() <= 3, "{}: {delivery:?}: {connections:?}", wire.name);
    }
}

/// What stands between answers in HTML, or sends elsewhere; the key never follows a redirect.
pub async fn proxies_and_redirects_are_not_answers(wire: &Wire) {
    let mut asking = Asking::start(wire).await;
    let html = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>";
    let elsewhere = Scripted::start((wire.sample)(Delivery::Streamed).reply).await;
    for delivery in DELIVERIES {
        for (reply, kind) in [
            (Reply::new(502, "text/html").piece(html), ErrorKind::Unavailable),
            (Reply::new(504, "text/html").piece(html), ErrorKind::Timeout),
            (Reply::new(200, "text/html").piece(html), ErrorKind::BadAnswer),
            (Reply::new(200, "application/json"), ErrorKind::BadAnswer),
            (Reply::new(200, "application/json").piece("[]"), ErrorKind::BadAnswer),
            (Reply::new(200, "application/json").piece("null"), ErrorKind::BadAnswer),
            (Reply::new(204, "application/json").finish(Finish::Cut), ErrorKind::BadAnswer),
            (Reply::new(302, "text/html").header("location", &elsewhere.root), ErrorKind::BadRequest),
            (Reply::new(307, "text/html").header("location", &elsewhere.root), ErrorKind::BadRequest),
        ] {
            let status = reply.status;
            let result = asking.ask(delivery, reply).await;
            let error = result.unwrap_err();
            assert_eq!(error.kind, kind, "{}: {status} ({delivery:?}): {error}", wire.name);
            assert_eq!(asking.server.asked().len(), 1, "{}: {status}", wire.name);
        }
    }
    assert!(elsewhere.asked().is_empty());
}

/// Whoever goes away in the middle leaves nothing running upstream.
pub async fn dropping_an_answer_ends_the_call(wire: &Wire) {
    let mut asking = Asking::start(wire).await;
    let sample = (wire.sample)(Delivery::Streamed);
    let body = sample.reply.body();
    let most = [&body[..body.len() * 3 / 4]];
    asking.server.tell(sample.reply.with_body(most).finish(Finish::Stall));
    let mut stream = asking.provider.call(&request(Delivery::Streamed)).await.unwrap();
    assert!(matches!(stream.next().await, Some(Ok(Chunk::Begun(_)))));
    assert!(matches!(stream.next().await, Some(Ok(Chunk::Text(text))) if !text.is_empty()));
    drop(stream);
    asking.server.until_left().await;
}

/// Any bytes in any pieces, of any status, are an error or an answer, never a panic; and how they are
/// split does not matter.
pub async fn noise_is_survived(wire: &Wire) {
    let asking = RefCell::new(Asking::start(wire).await);
    let wire = *wire;
    let handle = tokio::runtime::Handle::current();
    let run = move || {
        let bodies = DELIVERIES.map(|delivery| (wire.sample)(delivery).reply.body());
        let mutilated =
            (0..2_usize, any::<u16>(), any::<u16>(), proptest::collection::vec(any::<u8>(), 0..24)).prop_map(
                move |(which, from, length, noise)| {
                    let mut body = bodies[which].clone();
                    let from = usize::from(from) % body.len();
                    let to = (from + usize::from(length) % 40).min(body.len());
                    body.splice(from..to, noise);
                    (which, body)
                },
            );
        let noise = (0..2_usize, proptest::collection::vec(any::<u8>(), 0..300));
        let status = proptest::sample::select(vec![200_u16, 200, 200, 200, 400, 429, 500]);
        let asked = proptest::prop_oneof![3 => mutilated, 1 => noise];
        let splits = proptest::collection::vec(1..40_usize, 1..40);
        let samples = DELIVERIES.map(|delivery| (wire.sample)(delivery).reply);
        let config = Config { cases: 200, failure_persistence: None, ..Config::default() };
        TestRunner::new(config)
            .run(&(status, asked, splits), |(status, (which, body), splits)| {
                let mut pieces = Vec::new();
                let mut rest = body.as_slice();
                for length in splits {
                    let (piece, after) = rest.split_at(length.min(rest.len()));
                    pieces.push(piece.to_vec());
                    rest = after;
                }
                pieces.push(rest.to_vec());
                let reply = Reply { status, ..samples[which].clone() };
                let outcome = |pieces: Vec<Vec<u8>>| {
                    let reply = reply.with_body(pieces);
                    let result = handle.block_on(asking.borrow_mut().ask(DELIVERIES[which], reply));
                    result.map(|said| (said.text, said.ending)).map_err(|error| (error.kind, error.usage))
                };
                proptest::prop_assert_eq!(outcome(vec![body]), outcome(pieces));
                Ok(())
            })
            .unwrap();
    };
    tokio::task::spawn_blocking(run).await.unwrap();
}

/// An address where nobody listens is named.
pub async fn a_server_that_is_not_there_is_unavailable(wire: &Wire) {
    let provider = (wire.make)(&format!("http://127.0.0.1:9{}", wire.prefix), wire.model);
    for delivery in DELIVERIES {
        let error = complete(provider.as_ref(), &request(delivery)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
        assert!(error.detail.contains("127.0.0.1:9"), "{error}");
    }
}

/// A provider behind a box, so that wrappers take it.
pub struct Boxed(pub Box<dyn llm::LlmProvider>);

#[async_trait::async_trait]
impl llm::LlmProvider for Boxed {
    fn name(&self) -> llm::ProviderName {
        self.0.name()
    }

    fn model(&self) -> &str {
        self.0.model()
    }

    async fn call(&self, request: &Request) -> Result<llm::CompletionStream, LlmError> {
        self.0.call(request).await
    }
}
