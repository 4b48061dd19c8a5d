//! The recorder in front of simulators, and of providers that misbehave.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt;
use llm_simulator::app::{App, AppError, Role};
use llm_simulator::recording::{Broken, End, RecordedStop, Recording, read};
use llm_simulator::settings::{AwsKeys, Kept, RecordArguments, Replayed};
use serde_json::{Value, json};
use telemetry::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{CONVERSE_MODEL, Simulated, client, settings, slow};

/// A recorder, the folder it writes to, and its upstream's address.
pub struct Recorded {
    pub folder: tempfile::TempDir,
    pub recorder: Simulated,
}

pub fn arguments(upstream: &str, output: PathBuf) -> RecordArguments {
    RecordArguments {
        upstream: upstream.to_owned(),
        output,
        requests: Kept::Whole,
        answers: Replayed::Whole,
        timeout: 20,
    }
}

pub fn file(folder: &Path) -> PathBuf {
    folder.join("calls.jsonl")
}

impl Recorded {
    pub async fn of(upstream: &str) -> Self {
        Self::with(upstream, |_| {}).await
    }

    pub async fn with(upstream: &str, change: impl FnOnce(&mut RecordArguments)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut arguments = arguments(upstream, file(folder.path()));
        change(&mut arguments);
        let recorder = Simulated::start_as(&settings(), Role::Record(arguments)).await;
        Self { folder, recorder }
    }

    /// Stops it; what it wrote, as text and as recordings.
    pub async fn end(self) -> (String, Vec<Recording>, tempfile::TempDir) {
        self.recorder.end().await;
        let path = file(self.folder.path());
        let text = std::fs::read_to_string(&path).unwrap();
        let calls = read(&[path], Broken::Refuse).unwrap().calls;
        (text, calls.into_iter().map(|(_, recording)| recording).collect(), self.folder)
    }
}

/// What a hand-made provider does after it has read a request.
#[derive(Clone)]
enum Act {
    Send(Vec<u8>),
    Wait(Duration),
    /// Nothing more is sent, and the connection stays open until the other side closes it.
    Hang,
}

fn send(text: &str) -> Act {
    Act::Send(text.as_bytes().to_vec())
}

fn chunk(text: &str) -> Act {
    send(&format!("{:x}\r\n{text}\r\n", text.len()))
}

/// A provider made by hand; what it was asked, and how many connections were closed by the other
/// side while it hung.
struct HandMade {
    base: String,
    asked: Arc<Mutex<Vec<String>>>,
    left: Arc<Mutex<usize>>,
    _tasks: JoinSet<()>,
}

impl HandMade {
    async fn doing(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (asked, left) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
        let mut tasks = JoinSet::new();
        let told = (Arc::clone(&asked), Arc::clone(&left));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (asked, left) = told.clone();
                let acts = acts.clone();
                connections.spawn(async move { play(stream, acts, asked, left).await });
            }
        });
        Self { base, asked, left, _tasks: tasks }
    }

    fn asked(&self) -> String {
        self.asked.lock().unwrap().join("\n----\n")
    }
}

async fn play(
    mut stream: TcpStream,
    acts: Vec<Act>,
    asked: Arc<Mutex<Vec<String>>>,
    left: Arc<Mutex<usize>>,
) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .to_lowercase()
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ").map(str::to_owned));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                break;
            }
        }
        let read = stream.read(&mut buffer).await.unwrap_or(0);
        if read == 0 {
            return;
        }
        request.extend_from_slice(&buffer[..read]);
    }
    asked.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
    for act in acts {
        match act {
            Act::Send(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Act::Wait(time) => tokio::time::sleep(time).await,
            Act::Hang => {
                while stream.read(&mut buffer).await.unwrap_or(0) > 0 {}
                *left.lock().unwrap() += 1;
                return;
            }
        }
    }
}

const CHAT: &str = r#"{"model":"llama3.2","messages":[{"role":"user","content":"Dune"}]}"#;
const NDJSON: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";
const LINE: &str = "{\"message\":{\"content\":\"Sand. \"},\"done\":false}\n";
const LAST: &str = "{\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":3,\"eval_count\":2}\n";

#[tokio::test]
async fn answers_pass_byte_for_byte_and_are_recorded() {
    let upstream = Simulated::start(&settings()).await;
    let recorded = Recorded::of(&upstream.base).await;
    for stream in [true, false] {
        let body = format!(
            r#"{{"model":"llama3.2:latest","stream":{stream},"messages":[{{"role":"user","content":"Dune"}}]}}"#
        );
        let direct = upstream.post("/api/chat", &body).await;
        let through = recorded.recorder.post("/api/chat", &body).await;
        assert_eq!(through.status(), direct.status());
        for name in ["content-type", "x-llm-simulated"] {
            assert_eq!(through.headers()[name], direct.headers()[name]);
        }
        assert_eq!(through.bytes().await.unwrap(), direct.bytes().await.unwrap());
    }
    // What is no call goes by unrecorded.
    let tags = recorded.recorder.get("/api/tags?x=1").await;
    assert_eq!(tags.text().await.unwrap(), upstream.get("/api/tags").await.text().await.unwrap());
    let missing = recorded
        .recorder
        .post("/api/chat", r#"{"model":"none","messages":[{"role":"user","content":"x"}]}"#)
        .await;
    assert_eq!(missing.status(), 404);
    drop(missing);
    let health: Value = recorded.recorder.get("/health").await.json().await.unwrap();
    assert_eq!(health["role"], "record");
    let (_, calls, folder) = recorded.end().await;
    assert_eq!(calls.len(), 3);
    let [streamed, whole, missing] = &calls[..] else { panic!("three") };
    assert!(streamed.stream && !whole.stream && streamed.answered() && whole.answered());
    assert_eq!(
        (streamed.text.as_deref(), streamed.usage, &streamed.request),
        (whole.text.as_deref(), whole.usage, &whole.request)
    );
    assert!(streamed.chunk_ms.len() > 10 && whole.chunk_ms.len() == 1);
    assert_eq!((streamed.model.as_str(), streamed.stop), ("llama3.2", Some(RecordedStop::Finished)));
    assert_eq!((missing.status, missing.end), (404, End::Complete));
    assert!(missing.error.as_ref().unwrap().body.contains("not found"));
    let mode = std::fs::metadata(file(folder.path())).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn openai_and_anthropic_are_recorded_too() {
    let upstream = Simulated::start(&settings()).await;
    let recorded = Recorded::of(&upstream.base).await;
    let base = &recorded.recorder.base;
    for stream in [true, false] {
        let body =
            json!({"model": "gpt-4o", "stream": stream, "messages": [{"role": "user", "content": "Dune"}]});
        let mut body = body;
        if stream {
            body["stream_options"] = json!({"include_usage": true});
        }
        let request = client()
            .post(format!("{base}/v1/chat/completions"))
            .bearer_auth("sk-planted-key-0123456789")
            .json(&body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.bytes().await.unwrap();
        let body = json!({"model": "claude-sonnet-4-5", "max_tokens": 50, "stream": stream, "messages": [{"role": "user", "content": "Dune"}]});
        let request = client()
            .post(format!("{base}/v1/messages"))
            .header("x-api-key", "planted")
            .header("anthropic-version", "2023-06-01");
        let answer = request.json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.bytes().await.unwrap();
    }
    let (text, calls, _folder) = recorded.end().await;
    assert!(!text.contains("planted"));
    assert_eq!(calls.len(), 4);
    assert_eq!(calls[0].text, calls[2].text);
    assert_eq!(calls[1].text, calls[3].text);
    assert_eq!(calls[0].usage, calls[2].usage);
    assert_eq!(calls[1].usage, calls[3].usage);
    assert!(
        calls
            .iter()
            .all(|call| call.answered() && call.usage.unwrap().output_tokens > 0 && call.stop.is_some())
    );
    assert_eq!(calls[0].request.fingerprint, calls[2].request.fingerprint);
}

#[tokio::test]
async fn an_upstream_that_is_down_is_502_and_says_who() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let recorded = Recorded::of(&format!("http://{address}")).await;
    let answer = recorded.recorder.post("/api/chat?key=planted-in-query", CHAT).await;
    assert_eq!(answer.status(), 502);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "upstream_unreachable");
    assert!(problem["detail"].as_str().unwrap().contains(&address.to_string()), "{problem}");
    assert!(!problem["detail"].as_str().unwrap().contains("planted"));
    assert_eq!(recorded.recorder.get("/anything").await.status(), 502);
    let (text, calls, _folder) = recorded.end().await;
    assert_eq!((calls.len(), calls[0].end, calls[0].status), (1, End::Unreachable, 0));
    assert!(!text.contains("planted"));
}

#[tokio::test]
async fn an_upstream_that_says_nothing_is_504_and_one_that_stops_is_cut() {
    let silent = HandMade::doing(vec![Act::Hang]).await;
    let stalled = HandMade::doing(vec![send(NDJSON), chunk(LINE), Act::Hang]).await;
    for (upstream, status) in [(&silent, 504), (&stalled, 200)] {
        let recorded = Recorded::with(&upstream.base, |arguments| arguments.timeout = 1).await;
        let answer = recorded.recorder.post("/api/chat", CHAT).await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.bytes().await.is_err(), status == 200);
        let (_, calls, _folder) = recorded.end().await;
        assert_eq!((calls.len(), calls[0].end), (1, End::TimedOut));
        assert_eq!(calls[0].text.as_deref(), (status == 200).then_some("Sand. "));
    }
}

#[tokio::test]
async fn broken_answers_break_the_clients_too_and_are_recorded_as_cut() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{\"message\"";
    for acts in [
        // In the middle of a stream, and of a whole answer.
        vec![send(NDJSON), chunk(LINE), Act::Wait(Duration::from_millis(50))],
        vec![send(head), Act::Wait(Duration::from_millis(50))],
    ] {
        let upstream = HandMade::doing(acts).await;
        let recorded = Recorded::of(&upstream.base).await;
        let answer = recorded.recorder.post("/api/chat", CHAT).await;
        assert_eq!(answer.status(), 200);
        assert!(answer.bytes().await.is_err());
        let (_, calls, _folder) = recorded.end().await;
        assert_eq!((calls.len(), calls[0].end), (1, End::Cut));
    }
    // Its framing is whole, its last event is missing.
    let upstream = HandMade::doing(vec![send(NDJSON), chunk(LINE), send("0\r\n\r\n")]).await;
    let recorded = Recorded::of(&upstream.base).await;
    assert_eq!(recorded.recorder.post("/api/chat", CHAT).await.text().await.unwrap(), LINE);
    let (_, calls, _folder) = recorded.end().await;
    assert_eq!(calls[0].end, End::Cut);
}

#[tokio::test]
async fn garbage_huge_and_compressed_answers_pass_unchanged_without_words() {
    let whole = |media: &str, more: &str, body: &[u8]| {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {media}\r\n{more}content-length: {}\r\n\r\n",
            body.len()
        );
        Act::Send([head.as_bytes(), body].concat())
    };
    let huge = format!("{{\"response\":\"{}\"}}", "x".repeat(9 << 20));
    let gzip = b"\x1f\x8b\x08\x00not really";
    for (act, body) in [
        (whole("application/json", "", b"\xff\xfe<html>"), b"\xff\xfe<html>".to_vec()),
        (whole("application/x-ndjson", "", b"nonsense\n{\n"), b"nonsense\n{\n".to_vec()),
        (whole("application/vnd.amazon.eventstream", "", &[0xff; 64]), vec![0xff; 64]),
        (whole("application/json", "", huge.as_bytes()), huge.clone().into_bytes()),
        (whole("application/json", "content-encoding: gzip\r\n", gzip), gzip.to_vec()),
    ] {
        let upstream = HandMade::doing(vec![act]).await;
        let recorded = Recorded::of(&upstream.base).await;
        let answer = recorded.recorder.post("/api/chat", CHAT).await;
        assert_eq!(answer.bytes().await.unwrap(), body);
        assert!(upstream.asked().contains("accept-encoding: identity"));
        let (text, calls, _folder) = recorded.end().await;
        assert_eq!((calls.len(), calls[0].text.as_deref()), (1, None), "{}", text.len());
        assert!(text.len() < 2_000);
    }
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_upstreams_call() {
    let upstream = HandMade::doing(vec![send(NDJSON), chunk(LINE), Act::Hang]).await;
    let recorded = Recorded::of(&upstream.base).await;
    let answer = recorded.recorder.post("/api/chat", CHAT).await;
    let mut pieces = answer.bytes_stream();
    assert_eq!(pieces.next().await.unwrap().unwrap(), LINE);
    drop(pieces);
    let started = Instant::now();
    while *upstream.left.lock().unwrap() == 0 {
        assert!(started.elapsed() < Duration::from_secs(10), "the upstream's connection stays open");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (_, calls, _folder) = recorded.end().await;
    assert_eq!((calls.len(), calls[0].end, calls[0].text.as_deref()), (1, End::ClientLeft, Some("Sand. ")));
}

#[tokio::test]
async fn pieces_are_handed_on_as_they_come() {
    let pause = Duration::from_millis(300);
    let acts = vec![
        send(NDJSON),
        chunk(LINE),
        Act::Wait(pause),
        chunk(LINE),
        Act::Wait(pause),
        chunk(LAST),
        send("0\r\n\r\n"),
    ];
    let upstream = HandMade::doing(acts).await;
    let recorded = Recorded::of(&upstream.base).await;
    let started = Instant::now();
    let mut pieces = recorded.recorder.post("/api/chat", CHAT).await.bytes_stream();
    assert_eq!(pieces.next().await.unwrap().unwrap(), LINE);
    assert!(started.elapsed() < pause, "the first piece waited for the second");
    while let Some(piece) = pieces.next().await {
        piece.unwrap();
    }
    let (_, calls, _folder) = recorded.end().await;
    let call = &calls[0];
    assert!(
        call.chunk_ms[1] - call.chunk_ms[0] > 200.0 && call.total_ms - call.chunk_ms[1] > 200.0,
        "{call:?}"
    );
    assert_eq!(
        (call.text.as_deref(), call.end, &call.chunk_bytes),
        (Some("Sand. Sand. "), End::Complete, &vec![6, 6])
    );
}

#[tokio::test]
async fn what_the_client_sent_goes_to_the_upstream_and_nowhere_else() {
    let answer = "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/elsewhere\r\nconnection: x-hop\r\nx-hop: 1\r\nx-end: 2\r\ncontent-length: 0\r\n\r\n";
    let upstream = HandMade::doing(vec![send(answer)]).await;
    let recorded = Recorded::of(&upstream.base).await;
    let address = recorded.recorder.base.strip_prefix("http://").unwrap().to_owned();
    let host = upstream.base.strip_prefix("http://").unwrap();
    // In absolute form, as to a forward proxy.
    for target in ["http://127.0.0.1:1/a?b=c", "//127.0.0.1:1/a", "/a/../b"] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let request = format!(
            "GET {target} HTTP/1.1\r\nhost: {address}\r\nx-hop: 1\r\nx-mine: 2\r\nconnection: close, x-hop\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        assert!(
            said.starts_with("HTTP/1.1 307") && said.contains("x-end: 2") && !said.contains("x-hop"),
            "{target}: {said}"
        );
        assert!(said.contains("location: http://127.0.0.1:1/elsewhere"));
    }
    let asked = upstream.asked();
    assert_eq!(asked.matches(&format!("host: {host}")).count(), 3, "{asked}");
    assert!(
        asked.contains("x-mine: 2") && !asked.contains("x-hop") && asked.contains("GET /a?b=c "),
        "{asked}"
    );
    let foreign = client().get(&recorded.recorder.base).header("host", "evil.example").send().await.unwrap();
    assert!(foreign.status().is_client_error());
}

#[tokio::test]
async fn planted_keys_reach_no_file() {
    let secret = "sk-ant-api03-abcdefghijklmnopqrstuvwxyz";
    let line = |text: &str| chunk(&format!("{{\"message\":{{\"content\":\"{text}\"}},\"done\":false}}\n"));
    let mut acts = vec![send(NDJSON)];
    // A key that comes in five pieces, and what the client sent as its own.
    acts.extend(secret.as_bytes().chunks(9).map(|part| line(std::str::from_utf8(part).unwrap())));
    acts.extend([line(" and hunter2"), line("hunter2 "), chunk(LAST), send("0\r\n\r\n")]);
    let upstream = HandMade::doing(acts).await;
    let recorded = Recorded::of(&upstream.base).await;
    let request = client()
        .post(format!("{}/api/chat?api_key=in%20the%20query", recorded.recorder.base))
        .bearer_auth("hunter2hunter2")
        .header("cookie", "session=monster-cookie")
        .body(format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{secret}, hunter2hunter2, monster-cookie, in the query"}}]}}"#));
    assert!(request.send().await.unwrap().text().await.unwrap().contains("hunter2"));
    assert!(upstream.asked().contains("authorization: Bearer hunter2hunter2"));
    let (text, calls, _folder) = recorded.end().await;
    for planted in [secret, "sk-ant", "hunter2", "monster", "in the query", "in%20the"] {
        assert!(!text.contains(planted), "{planted} is in {text}");
    }
    assert_eq!(calls[0].text.as_deref(), Some("[removed] and [removed] "));
}

#[tokio::test]
async fn keys_of_aws_are_lent_to_nobody_else() {
    let upstream = HandMade::doing(vec![send(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
    )])
    .await;
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings();
    settings.aws_keys = Some(AwsKeys {
        access_key_id: "AKIDOFTHERECORDER".to_owned(),
        secret_access_key: "secret".to_owned().into(),
    });
    let role = || Role::Record(arguments(&upstream.base, file(folder.path())));
    let recorder = Simulated::start_as(&settings, role()).await;
    let path = "/model/us.a%3A0/converse";
    let body = r#"{"messages":[{"role":"user","content":[{"text":"Dune"}]}]}"#;
    recorder.post(path, body).await.bytes().await.unwrap();
    let asked = upstream.asked();
    assert!(
        asked.contains("Credential=AKIDOFTHERECORDER/") && asked.starts_with(&format!("POST {path} ")),
        "{asked}"
    );
    let page =
        client().post(format!("{}{path}", recorder.base)).header("origin", "http://evil.example").body(body);
    assert_eq!(page.send().await.unwrap().status(), 403);
    recorder.end().await;
    settings.allowed_hosts = vec!["recorder.example".to_owned()];
    let refused = App::start(&settings, role(), Metrics::unregistered(), CancellationToken::new()).await;
    assert!(matches!(refused, Err(AppError::LendsKeys)));
}

/// The client's signature is for the recorder's name; the one that the recorder makes is checked by the
/// simulator.
#[tokio::test]
async fn requests_are_signed_anew_for_an_upstream_that_checks() {
    let keys = |secret: &str| AwsKeys {
        access_key_id: "AKIDOFTHERECORDER".to_owned(),
        secret_access_key: secret.to_owned().into(),
    };
    let mut checking = settings();
    checking.aws_keys = Some(keys("secret"));
    let upstream = Simulated::start(&checking).await;
    let body = r#"{"messages":[{"role":"user","content":[{"text":"Dune"}]}]}"#;
    for (secret, status) in [("secret", 200), ("another", 403)] {
        let folder = tempfile::tempdir().unwrap();
        let mut signing = settings();
        signing.aws_keys = Some(keys(secret));
        let role = Role::Record(arguments(&upstream.base, file(folder.path())));
        let recorder = Simulated::start_as(&signing, role).await;
        for operation in ["converse", "converse-stream"] {
            let path = format!("/model/{}/{operation}", CONVERSE_MODEL.replace(':', "%3A"));
            let request = client().post(format!("{}{path}?x=a%20b", recorder.base)).body(body);
            let request =
                request.header("authorization", "AWS4-HMAC-SHA256 Credential=of/another, Signature=x");
            assert_eq!(request.send().await.unwrap().status(), status, "{operation}");
        }
        recorder.end().await;
    }
}

#[tokio::test]
async fn a_restart_adds_to_what_is_there() {
    let upstream = Simulated::start(&settings()).await;
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path());
    for round in 0..2 {
        let role = Role::Record(arguments(&upstream.base, path.clone()));
        let recorder = Simulated::start_as(&settings(), role).await;
        recorder.post("/api/chat", CHAT).await.bytes().await.unwrap();
        recorder.end().await;
        if round == 0 {
            // As a process leaves it that was killed while it wrote.
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, format!("{text}{}", &text[..text.len() / 2])).unwrap();
        }
    }
    assert!(read(std::slice::from_ref(&path), Broken::Refuse).is_err());
    let some = read(&[path], Broken::Skip).unwrap();
    assert_eq!((some.calls.len(), some.skipped.len(), some.skipped[0].place.line), (2, 1, 2));
    assert_eq!(some.calls[0].1.text, some.calls[1].1.text);
}

#[tokio::test]
async fn many_at_once_are_all_recorded_with_their_concurrency() {
    let mut slow_one = settings();
    slow_one.profiles = slow(200.0);
    let upstream = Simulated::start(&slow_one).await;
    let recorded = Recorded::of(&upstream.base).await;
    let mut calls = JoinSet::new();
    for _ in 0..40 {
        let (client, url) =
            (recorded.recorder.client.clone(), format!("{}/api/chat", recorded.recorder.base));
        calls.spawn(async move { client.post(url).body(CHAT).send().await.unwrap().bytes().await.unwrap() });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
    let (_, calls, _folder) = recorded.end().await;
    assert_eq!(calls.len(), 40);
    assert!(calls.iter().all(Recording::answered));
    assert!(calls.iter().map(|call| call.concurrency).max().unwrap() > 10);
}
