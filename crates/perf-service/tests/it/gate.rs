//! The docker-gate from outside, with containers that only count: what it lets through and what it
//! refuses. Against a real daemon it stands in `gated_docker.rs`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use perf_service::engine::containers::{Containers, Ending, Extent, Output, Standing, Stream};
use perf_service::engine::gated::{GateSettings, GatedContainers};
use perf_service::engine::{EngineError, Exit, K6, Launch, Say};
use perf_service::gate::Gate;
use perf_service::gate::bounds::Rules;
use perf_service::gate::place::Place;
use perf_service::gate::protocol::{self, Answer, Frame, Kind};
use perf_service::scenarios::{self, Scenarios};
use perf_service::targets::{self, Target};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const TOKEN: &str = "a-token-that-nobody-guesses";

/// Containers that were started, ended and removed, and nothing else.
#[derive(Default)]
struct Counted {
    launches: Mutex<Vec<Launch>>,
    touched: AtomicUsize,
    cancelled: AtomicUsize,
    /// Docker does not answer.
    away: AtomicBool,
    /// Containers do not end.
    endless: AtomicBool,
}

#[async_trait]
impl Containers for Counted {
    async fn hello(&self) -> Result<(), EngineError> {
        if self.away.load(Ordering::Relaxed) {
            return Err(EngineError::Daemon("unix:///x".to_owned(), "nobody there".to_owned()));
        }
        Ok(())
    }
    async fn prepare(&self, say: Say<'_>, cancel: &CancellationToken) -> Result<K6, EngineError> {
        say("the image".to_owned());
        tokio::select! {
            () = cancel.cancelled() => {
                self.cancelled.fetch_add(1, Ordering::Relaxed);
                Err(EngineError::Cancelled)
            }
            () = tokio::time::sleep(Duration::from_millis(300)) => {
                Ok(K6 { version: "k6".to_owned(), description: "an image".to_owned() })
            }
        }
    }
    async fn start(&self, launch: &Launch) -> Result<(), EngineError> {
        self.launches.lock().unwrap().push(launch.clone());
        Ok(())
    }
    async fn follow(&self, run: Uuid, output: &mut dyn Output) -> Result<Exit, EngineError> {
        if !self.launches.lock().unwrap().iter().any(|launch| launch.run == run) {
            return Err(EngineError::Lost("its container was removed by somebody else".to_owned()));
        }
        let (samples, known) = (samples(), output.taken().samples as usize);
        output.take(Stream::Samples, samples.slice(known..)).await?;
        output.take(Stream::Log, Bytes::from("a log")).await?;
        output.flush().await?;
        if self.endless.load(Ordering::Relaxed) {
            self.touched.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<()>().await;
        }
        Ok(Exit::Code(99))
    }
    async fn end(&self, _: Uuid, _: Ending) -> Result<(), EngineError> {
        self.touched.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
    async fn remove(&self, _: Uuid) -> Result<bool, EngineError> {
        self.touched.fetch_add(1, Ordering::Relaxed);
        Ok(false)
    }
    async fn standing(&self, _: Uuid) -> Result<Option<Standing>, EngineError> {
        Ok(None)
    }
    async fn list(&self) -> Result<Vec<Uuid>, EngineError> {
        Ok(self.launches.lock().unwrap().iter().map(|launch| launch.run).collect())
    }
}

/// More than is sent at once.
fn samples() -> Bytes {
    (0..200_000_u32).flat_map(u32::to_be_bytes).collect()
}

/// A gate in this process.
struct Guarded {
    place: Place,
    counted: Arc<Counted>,
    stop: CancellationToken,
    _serving: JoinSet<()>,
    _folder: tempfile::TempDir,
}

impl Guarded {
    async fn open(place: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = match place {
            Some(text) => Place::parse(text).unwrap(),
            None => Place::Socket(folder.path().join("gate.sock")),
        };
        let rules = Rules::new(Scenarios::embedded(), vec![known()], Some("canary".to_owned().into()));
        let counted = Arc::new(Counted::default());
        let token = http_server::ApiToken::given(TOKEN.to_owned().into());
        let gate = Gate::new(rules, Arc::clone(&counted) as Arc<dyn Containers>, Some(token));
        let door = place.open().await.unwrap();
        let (place, stop, mut serving) = (door.place().unwrap(), CancellationToken::new(), JoinSet::new());
        serving.spawn(gate.serve(door, stop.clone()));
        Self { place, counted, stop, _serving: serving, _folder: folder }
    }

    fn client(&self, token: &str) -> GatedContainers {
        GatedContainers::new(GateSettings { place: self.place.clone(), token: Some(token.to_owned().into()) })
    }

    /// The answer to bytes; `None` when the gate hung up without one.
    async fn told(&self, bytes: &[u8]) -> Option<Answer> {
        let (mut reader, mut writer) = self.place.connect().await.unwrap();
        // A gate that has heard enough may close before all was sent.
        let _ = writer.write_all(bytes).await;
        loop {
            let frame = protocol::read(&mut reader, protocol::LONGEST_FRAME).await.ok()?;
            if frame.kind != Kind::Message {
                continue;
            }
            let answer: Answer = serde_json::from_slice(&frame.payload).unwrap();
            if !matches!(answer, Answer::Waiting | Answer::Said(_)) {
                return Some(answer);
            }
        }
    }

    async fn asked(&self, request: &Value) -> Option<Answer> {
        self.told(&framed(request.to_string().as_bytes())).await
    }
}

fn framed(payload: &[u8]) -> Vec<u8> {
    [b"m", &u32::try_from(payload.len()).unwrap().to_be_bytes()[..], payload].concat()
}

/// The target that the gate knows.
fn known() -> Target {
    targets::parse("local=http://127.0.0.1:7002").unwrap().remove(0)
}

fn start() -> Value {
    json!({
        "run": Uuid::now_v7(), "scenario": "smoke", "target": "local", "settings": {"DURATION": "5s"},
        "scripts": scenarios::fingerprint(Scenarios::embedded().files()),
        "targetFingerprint": known().fingerprint(),
    })
}

fn request(ask: &Value) -> Value {
    json!({ "protocol": protocol::VERSION, "token": TOKEN, "ask": ask })
}

fn launch() -> Launch {
    Launch {
        run: Uuid::now_v7(),
        folder: "/nowhere".into(),
        scenario: "smoke".to_owned(),
        scripts: Arc::from(Scenarios::embedded().files()),
        script: "../../etc/passwd".to_owned(),
        target_name: "local".to_owned(),
        target: known().url,
        environment: vec![("DURATION", "90s".to_owned())],
        secret: Some("not-the-gates".to_owned().into()),
        remote_write: None,
    }
}

#[derive(Default)]
struct Kept {
    samples: Vec<u8>,
    log: Vec<u8>,
}

#[async_trait]
impl Output for Kept {
    fn taken(&self) -> Extent {
        Extent { samples: self.samples.len() as u64, log: self.log.len() as u64 }
    }
    async fn take(&mut self, stream: Stream, piece: Bytes) -> Result<(), EngineError> {
        match stream {
            Stream::Samples => self.samples.extend_from_slice(&piece),
            Stream::Log => self.log.extend_from_slice(&piece),
        }
        Ok(())
    }
    async fn flush(&mut self) -> Result<(), EngineError> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_through_the_gate_and_nothing_of_it_is_the_clients_but_names_and_numbers() {
    for place in [None, Some("tcp://127.0.0.1:0")] {
        let guarded = Guarded::open(place).await;
        let client = guarded.client(TOKEN);
        client.hello().await.unwrap();
        let said = Mutex::new(Vec::new());
        let say = |what: String| said.lock().unwrap().push(what);
        let k6 = client.prepare(&say, &CancellationToken::new()).await.unwrap();
        assert!(k6.description.starts_with("an image, through the gate at "), "{}", k6.description);
        assert_eq!(*said.lock().unwrap(), ["the image"]);

        let launch = launch();
        client.start(&launch).await.unwrap();
        let started = guarded.counted.launches.lock().unwrap()[0].clone();
        assert_eq!((started.run, started.script.as_str()), (launch.run, "scenarios/smoke.js"));
        assert_eq!(started.target.as_str(), "http://127.0.0.1:7002/");
        assert_eq!(started.environment, launch.environment);
        use secrecy::ExposeSecret;
        assert_eq!(started.secret.unwrap().expose_secret(), "canary");
        assert!(
            client.start(&launch).await.unwrap_err().to_string().contains("container of this run already")
        );

        // What is there already is not sent again.
        let mut kept = Kept { samples: samples()[..100_001].to_vec(), log: Vec::new() };
        assert_eq!(client.follow(launch.run, &mut kept).await.unwrap(), Exit::Code(99));
        assert!(kept.samples == samples() && kept.log == b"a log");
        let lost = client.follow(Uuid::now_v7(), &mut kept).await.unwrap_err();
        assert_eq!(
            lost.to_string(),
            "k6 can no longer be watched: its container was removed by somebody else"
        );
        assert_eq!(client.list().await.unwrap(), [launch.run]);
        assert_eq!(client.standing(launch.run).await.unwrap(), None);
        assert!(!client.remove(launch.run).await.unwrap());
        client.end(launch.run, Ending::Kill).await.unwrap();
        guarded.stop.cancel();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_hostile_starts_start_nothing() {
    let guarded = Guarded::open(None).await;
    let mut hostile: Vec<Value> = Vec::new();
    let with = |key: &str, value: Value| {
        let mut start = start();
        start[key] = value;
        start
    };
    let hosts = [
        "http://203.0.113.1",
        "http://127.0.0.1:7002@203.0.113.1",
        "http://0x7f.1",
        "http://2130706433",
        "http://[::ffff:203.0.113.1]",
        "//203.0.113.1",
        "http:203.0.113.1",
        "file:///etc/passwd",
        "gopher://x",
        "http://ⓔⓧⓐⓜⓟⓛⓔ.com",
        "http://127.1",
        "local\0",
        "local ",
        " local",
        "LOCAL",
        "lоcal",
        "local,x=http://y",
        "local#",
        "local?x",
        "local/../x",
        "%6cocal",
        "",
        "host.docker.internal",
        "unix:///var/run/docker.sock",
        "http://169.254.169.254/latest/meta-data",
        "http://metadata.google.internal",
        "http://017700000001",
        "http://127.0.0.1:2375/containers/create",
        "data:text/html,x",
        "javascript:1",
    ];
    let paths = [
        "../smoke",
        "smoke.js",
        "./smoke",
        "scenarios/smoke",
        "/etc/passwd",
        "..\\smoke",
        "smoke\0",
        "smoke;id",
        "$(id)",
        "`id`",
        "smoke --out csv=x",
        "-",
        "--help",
        "smoke\nstress",
        "SMOKE",
        "smoke/",
        "%2e%2e/smoke",
        "",
        "lib/shop",
        "../../../proc/self/environ",
        "file:///smoke",
        "https://203.0.113.1/x.js",
        "smoke%00",
        "s\u{200b}moke",
        "<script>alert(1)</script>",
        "{{7*7}}",
        "' OR 1=1 --",
    ];
    hostile.extend(hosts.iter().map(|host| with("target", json!(host))));
    hostile.extend(paths.iter().map(|path| with("scenario", json!(path))));
    hostile.extend(paths.iter().chain(&hosts).map(|text| with("run", json!(text))));
    hostile.extend(paths.iter().chain(&hosts).map(|text| with("scripts", json!(text))));
    hostile.extend(hosts.iter().map(|host| with("targetFingerprint", json!(host))));
    // What would change the container, were it read.
    for key in [
        "image",
        "Image",
        "cmd",
        "command",
        "entrypoint",
        "args",
        "binds",
        "mounts",
        "volumes",
        "privileged",
        "user",
        "network",
        "networkMode",
        "capAdd",
        "devices",
        "securityOpt",
        "env",
        "environment",
        "labels",
        "name",
        "folder",
        "script",
        "secret",
        "token",
        "pidMode",
        "hostConfig",
        "target_name",
        "runtime",
        "out",
        "address",
        "ports",
        "sysctls",
        "ulimits",
        "workdir",
        "host",
    ] {
        for value in [json!("x"), json!(true), json!(["/:/host"]), json!({"a": "b"})] {
            hostile.push(with(key, value));
        }
    }
    let names = [
        "BASE_URL",
        "API_TOKEN",
        "SUMMARY",
        "K6_VUS",
        "K6_OUT",
        "K6_ITERATIONS",
        "LD_PRELOAD",
        "PATH",
        "HOME",
        "HTTP_PROXY",
        "K6_PROMETHEUS_RW_SERVER_URL",
        "duration",
        "DURATION ",
        "DURATION=1s\nX",
        "",
        "\0",
        "SSLKEYLOGFILE",
    ];
    hostile.extend(names.iter().map(|name| with("settings", json!({ (*name): "1" }))));
    let values = [
        "",
        "0",
        "-1",
        "1e9",
        "99999999999999999999",
        "NaN",
        "inf",
        "0x1",
        "1 ",
        "1;id",
        "$(id)",
        "../x",
        "1\n2",
        "<script>",
        "１",
        "1_0",
        "1,5",
        "--out=json",
        "\0",
        "{}",
        "null",
    ];
    for name in ["DURATION", "USERS", "RATE", "PROVIDER", "MAX_COST_USD", "MAX_P95_MS", "START"] {
        for value in values {
            // To spend nothing is a bound as good as any.
            if (name, value) != ("MAX_COST_USD", "0") {
                hostile.push(with("settings", json!({ name: value })));
            }
        }
        hostile.push(with("settings", json!({ name: 1 })));
        hostile.push(with("settings", json!({ name: ["1"] })));
        hostile.push(with("settings", json!({ name: null })));
    }
    hostile
        .extend([json!([]), json!({"DURATION": {"a": 1}}), json!("x")].map(|value| with("settings", value)));
    hostile.extend(
        ["run", "scenario", "target", "targetFingerprint", "scripts"].map(|key| with(key, Value::Null)),
    );
    hostile
        .push(with("settings", json!((0..1_000).map(|n| (n.to_string(), "1")).collect::<BTreeMap<_, _>>())));
    hostile.push(with("scenario", json!("x".repeat(20_000))));
    assert!(hostile.len() >= 500, "{}", hostile.len());
    for start in &hostile {
        let answer = guarded.asked(&request(&json!({ "start": start }))).await;
        let Some(Answer::Problem(problem)) = answer else { panic!("{start} was answered {answer:?}") };
        assert!((400..500).contains(&problem.status), "{start}: {problem:?}");
        let said = serde_json::to_string(&problem).unwrap();
        assert!(!said.contains(TOKEN) && !said.contains("canary") && said.len() < 4_000, "{said}");
    }
    assert!(guarded.counted.launches.lock().unwrap().is_empty());
    // The same without anything wrong is let through.
    assert_eq!(guarded.asked(&request(&json!({ "start": start() }))).await, Some(Answer::Done));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_let_in_without_the_token_or_with_another_protocol() {
    let guarded = Guarded::open(Some("tcp://127.0.0.1:0")).await;
    for token in [Value::Null, json!(""), json!("a-token-that-nobody-guesse"), json!(format!("{TOKEN}x"))] {
        for ask in
            [json!({"start": start()}), json!({"list": {}}), json!({"remove": {"run": Uuid::now_v7()}})]
        {
            let request = json!({ "protocol": protocol::VERSION, "token": token, "ask": ask });
            let Some(Answer::Problem(problem)) = guarded.asked(&request).await else { panic!("let in") };
            assert_eq!((problem.status, problem.code.as_str()), (401, "token_required"));
        }
    }
    let other = json!({ "protocol": protocol::VERSION + 1, "token": TOKEN, "ask": {"hello": {}} });
    let Some(Answer::Problem(problem)) = guarded.asked(&other).await else { panic!("understood") };
    assert_eq!(problem.code, "unsupported_protocol");
    let refused = guarded.client("another-token-altogether").start(&launch()).await.unwrap_err();
    assert!(refused.to_string().contains("DOCKER_GATE_TOKEN"), "{refused}");
    assert!(guarded.counted.launches.lock().unwrap().is_empty());
    assert_eq!(guarded.counted.touched.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_refused_and_hurts_nobody() {
    let guarded = Guarded::open(None).await;
    let deep = format!("{{\"protocol\":1,\"ask\":{}", "[".repeat(8_000));
    for bytes in [
        b"GET /containers/json HTTP/1.1\r\n\r\n".to_vec(),
        b"m\xff\xff\xff\xff".to_vec(),
        framed(b""),
        framed(b"{}"),
        framed(b"null"),
        framed(b"\xff\xfe"),
        framed(deep.as_bytes()),
        framed(&request(&json!({"exec": {"run": Uuid::now_v7(), "cmd": "id"}})).to_string().into_bytes()),
        framed(&request(&json!({"remove": {"run": "bookstore.role=k6"}})).to_string().into_bytes()),
        framed(
            &request(&json!({"end": {"run": Uuid::now_v7(), "ending": "SIGSTOP"}})).to_string().into_bytes(),
        ),
        framed(
            &request(&json!({"follow": {"run": Uuid::now_v7(), "samples": -1, "log": 0}}))
                .to_string()
                .into_bytes(),
        ),
        framed(&request(&json!({"hello": {}, "list": {}})).to_string().into_bytes()),
        [b"s".to_vec(), framed(b"{}")[1..].to_vec()].concat(),
    ] {
        let answer = guarded.told(&bytes).await;
        let Some(Answer::Problem(problem)) = answer else { panic!("{answer:?}") };
        assert_eq!(problem.status, 400, "{problem:?}");
    }
    assert_eq!(guarded.counted.touched.load(Ordering::Relaxed), 0);
    // Half a request holds one of the places for a while, and nobody else's.
    let mut half = Vec::new();
    for _ in 0..20 {
        let (reader, mut writer) = guarded.place.connect().await.unwrap();
        writer.write_all(b"m\0\0").await.unwrap();
        half.push((reader, writer));
    }
    guarded.client(TOKEN).hello().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_takes_its_pull_along_and_one_without_a_gate_is_told() {
    let guarded = Guarded::open(None).await;
    let cancel = CancellationToken::new();
    cancel.cancel();
    let client = guarded.client(TOKEN);
    for _ in 0..2 {
        let (reader, mut writer) = guarded.place.connect().await.unwrap();
        let frame =
            Frame { kind: Kind::Message, payload: request(&json!({"prepare": {}})).to_string().into() };
        protocol::write(&mut writer, &frame).await.unwrap();
        drop((reader, writer));
    }
    let begin = std::time::Instant::now();
    while guarded.counted.cancelled.load(Ordering::Relaxed) < 2 {
        assert!(begin.elapsed() < crate::k6::PATIENCE, "the pulls go on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(client.prepare(&|_| {}, &cancel).await.unwrap_err().kind(), "cancelled");
    guarded.stop.cancel();
    let gone = async {
        loop {
            match client.hello().await {
                Ok(()) => tokio::time::sleep(Duration::from_millis(10)).await,
                Err(error) => return error,
            }
        }
    };
    let error = gone.await;
    assert_eq!(error.kind(), "gate_unreachable");
    assert!(error.to_string().contains("perf-service docker-gate"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_without_docker_is_not_well() {
    let guarded = Guarded::open(None).await;
    guarded.client(TOKEN).hello().await.unwrap();
    guarded.counted.away.store(true, Ordering::Relaxed);
    let error = guarded.client(TOKEN).hello().await.unwrap_err().to_string();
    assert!(error.contains("no Docker daemon answers at unix:///x: nobody there"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_both_sides_know_differently_gets_no_load() {
    let guarded = Guarded::open(None).await;
    let elsewhere = Launch { target: "http://127.0.0.1:7003".parse().unwrap(), ..launch() };
    let refused = guarded.client(TOKEN).start(&elsewhere).await.unwrap_err().to_string();
    assert!(refused.contains("local is another address in the gate's TARGETS"), "{refused}");
    assert!(guarded.counted.launches.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_is_stopped_says_that_it_comes_back_and_not_that_its_client_left() {
    let guarded = Guarded::open(None).await;
    guarded.counted.endless.store(true, Ordering::Relaxed);
    let start = start();
    guarded.asked(&request(&json!({ "start": start }))).await.unwrap();
    let follow = request(&json!({ "follow": { "run": start["run"], "samples": 0, "log": 0 } }));
    let stop = async {
        while guarded.counted.touched.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        guarded.stop.cancel();
    };
    let (answer, ()) = tokio::join!(guarded.asked(&follow), stop);
    let Some(Answer::Problem(problem)) = answer else { panic!("{answer:?}") };
    assert_eq!((problem.status, problem.code.as_str()), (503, "stopping"), "{problem:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_an_end_to_the_containers() {
    let guarded = Guarded::open(None).await;
    let mut full = None;
    for _ in 0..40 {
        if let Some(Answer::Problem(problem)) = guarded.asked(&request(&json!({ "start": start() }))).await {
            full = Some(problem.status);
            break;
        }
    }
    assert_eq!((full, guarded.counted.launches.lock().unwrap().len()), (Some(429), 32));
}
