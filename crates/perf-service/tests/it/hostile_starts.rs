//! Starts that are meant to do harm: none runs, none leaves the artifacts folder, each is a problem.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use axum::Router;
use axum::http::Uri;
use axum::response::Redirect;
use http_server::ListenSettings;
use serde_json::{Value, json};
use telemetry::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::k6;
use crate::service::{Service, command, run};
use crate::shop::Shop;

/// A request as it goes over the wire.
struct Hostile {
    line: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Hostile {
    fn start(body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("Content-Type", "application/json".to_owned())];
        Self { line: "POST /api/v1/runs".to_owned(), headers, body: body.into() }
    }

    fn of(fields: &Value) -> Self {
        Self::start(fields.to_string())
    }

    /// A sound start but for its line or headers.
    fn sound() -> Self {
        Self::of(&json!({"scenario": "smoke", "durationSeconds": 1}))
    }

    fn to(line: String) -> Self {
        Self { line, headers: Vec::new(), body: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// What a field of text is given in place of a name.
fn evil_texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        // Other hosts, in every encoding.
        "http://evil.example",
        "https://evil.example/",
        "//evil.example",
        "http:evil.example",
        "HTTP://EVIL.EXAMPLE",
        "http://127.0.0.1:1",
        "http://2130706433",
        "http://0x7f000001",
        "http://0177.0.0.1",
        "http://127.1",
        "http://[::1]",
        "http://[::ffff:127.0.0.1]",
        "http://0/",
        "http://169.254.169.254/latest/meta-data/",
        "http://local@evil.example",
        "http://evil.example#local",
        "http://evil.example?local",
        "local@evil.example",
        "local.evil.example",
        "evil.example/local",
        "local:80@evil.example",
        "http://ⓔvil.example",
        "http://xn--vil-0na.example",
        "http%3A%2F%2Fevil.example",
        "http:\\\\evil.example",
        "\\\\evil.example\\share",
        "local=http://evil.example",
        "local,evil=http://evil.example",
        "file:///etc/passwd",
        "gopher://evil.example",
        "ftp://evil.example",
        "data:text/javascript,alert(1)",
        "javascript:alert(1)",
        "unix:///var/run/docker.sock",
        "tcp://127.0.0.1:2375",
        "ws://evil.example",
        "local\r\nHost: evil.example",
        "local\nBASE_URL=http://evil.example",
        "redirect:http://evil.example",
        // Paths.
        "../smoke",
        "../../etc/passwd",
        "..\\..\\windows",
        "....//....//etc/passwd",
        "/etc/passwd",
        "./smoke",
        "smoke/",
        "smoke/..",
        "smoke/../smoke",
        "scenarios/smoke",
        "scenarios/smoke.js",
        "smoke.js",
        "lib/settings",
        "~/smoke",
        "%2e%2e%2fsmoke",
        "%252e%252e%252fsmoke",
        "..%c0%afsmoke",
        "..%00",
        "smoke\0",
        "smoke\0.js",
        "smoke%00",
        "C:\\k6.js",
        "file://smoke",
        "https://evil.example/x.js",
        "github.com/evil/x.js",
        "k6/x/exec",
        "-",
        "/dev/stdin",
        "/proc/self/environ",
        // Images and commands.
        "evil/image:latest",
        "grafana/k6@sha256:00",
        "smoke; rm -rf /",
        "smoke && id",
        "smoke | id",
        "$(id)",
        "`id`",
        "${IFS}id",
        "smoke\nid",
        "smoke\tid",
        "'; id; '",
        "\"; id; \"",
        "--out=json=/tmp/x",
        "-e=X=1",
        "--help",
        "@/etc/passwd",
        "K6_VUS=1000",
        "smoke --vus 1000",
        "!id",
        "*",
        "?",
        "[a-z]*",
        "{smoke,x}",
        "%PATH%",
        "$HOME",
        // Script and template injection, and what looks alike.
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "\"><svg onload=alert(1)>",
        "{{7*7}}",
        "${7*7}",
        "#{7*7}",
        "<%= 7*7 %>",
        "' OR '1'='1",
        "smoke' --",
        "smoke\"; DROP TABLE runs; --",
        "\u{1b}[2J",
        "\u{202e}ekoms",
        "smo\u{200b}ke",
        "sm\u{43e}ke",
        "ＳＭＯＫＥ",
        "SMOKE",
        "Smoke",
        " smoke",
        "smoke ",
        "\u{feff}smoke",
        "smoke\u{0301}",
        "",
        " ",
        "\u{0}",
        "null",
        "undefined",
        "true",
        "__proto__",
        "constructor",
        "\u{ffff}",
        "💥",
    ]
    .map(str::to_owned)
    .to_vec();
    texts.push("x".repeat(100_000));
    texts.push("../".repeat(10_000));
    texts
}

/// What a field of a number is given.
const EVIL_NUMBERS: [&str; 19] = [
    "0",
    "-1",
    "-0.5",
    "1.5e9",
    "4294967296",
    "4294967295",
    "18446744073709551616",
    "1e308",
    "1e400",
    "NaN",
    "Infinity",
    "-Infinity",
    "\"10\"",
    "true",
    "[1]",
    "{}",
    "\"1; id\"",
    "0x10",
    "01",
];

/// Fields that no start has.
const FOREIGN_FIELDS: [&str; 44] = [
    "image",
    "Image",
    "command",
    "cmd",
    "args",
    "entrypoint",
    "script",
    "scriptPath",
    "path",
    "file",
    "url",
    "baseUrl",
    "BASE_URL",
    "host",
    "env",
    "environment",
    "K6_VUS",
    "volumes",
    "mounts",
    "binds",
    "network",
    "privileged",
    "capAdd",
    "devices",
    "user",
    "labels",
    "engine",
    "k6Bin",
    "dockerHost",
    "out",
    "dataDir",
    "folder",
    "report",
    "reportName",
    "token",
    "apiToken",
    "secret",
    "headers",
    "id",
    "state",
    "outcome",
    "summary",
    "__proto__",
    "maxP95Ms",
];

fn bodies() -> Vec<Hostile> {
    let mut all = Vec::new();
    for text in evil_texts() {
        all.push(Hostile::of(&json!({ "scenario": text })));
        all.push(Hostile::of(&json!({ "scenario": "smoke", "target": text })));
        all.push(Hostile::of(&json!({ "scenario": "smoke", "provider": text })));
    }
    for number in EVIL_NUMBERS {
        for field in ["users", "durationSeconds", "rate"] {
            all.push(Hostile::start(format!(r#"{{"scenario":"smoke","{field}":{number}}}"#)));
        }
        // Nought dollars are a limit like another.
        if number != "0" {
            all.push(Hostile::start(format!(r#"{{"scenario":"smoke","maxCostUsd":{number}}}"#)));
        }
    }
    for field in FOREIGN_FIELDS {
        for value in [json!("evil"), json!({"a": ["b"]})] {
            all.push(Hostile::of(&json!({ "scenario": "smoke", field: value })));
        }
    }
    for (number, wrong) in
        [json!(1), json!(true), json!(["smoke"]), json!({"name": "smoke"})].into_iter().enumerate()
    {
        for field in ["scenario", "target", "provider"] {
            let mut body = json!({ "scenario": "smoke" });
            body[field] = wrong.clone();
            all.push(Hostile::of(&body).with("X-Case", &number.to_string()));
        }
    }
    for shape in [
        &b""[..],
        b"null",
        b"1",
        b"\"smoke\"",
        b"[]",
        b"[\"smoke\"]",
        b"{",
        b"{}",
        b"{\"scenario\"",
        b"{\"scenario\":\"smoke\"",
        b"{\"scenario\":\"smoke\"} x",
        b"{\"scenario\":\"smoke\"}{\"scenario\":\"smoke\"}",
        b"{'scenario':'smoke'}",
        b"{\"scenario\":\"smoke\",}",
        b"{\"scenario\":\"smoke\",\"scenario\":\"smoke\"}",
        b"{\"scenario\":\"sm\xffke\"}",
        b"{\"scenario\":\"smoke\\ud800\"}",
        b"\xef\xbb\xbf{\"scenario\":\"smoke\"}",
        b"\xff\xfe{\x00",
        b"scenario=smoke",
        b"<run><scenario>smoke</scenario></run>",
        b"{\"scenario\":null}",
        b"{\"target\":\"local\"}",
        b"{\"Scenario\":\"smoke\"}",
    ] {
        all.push(Hostile::start(shape));
    }
    all.push(Hostile::start("[".repeat(100_000)));
    all.push(Hostile::start("{\"scenario\":".repeat(50_000)));
    all.push(Hostile::start(format!("{{\"scenario\":\"smoke\",\"x\":\"{}\"}}", "y".repeat(3 << 20))));
    for media in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/html",
        "application/xml",
        "",
    ] {
        all.push(Hostile::sound().with("Content-Type", media));
    }
    for origin in ["http://evil.example", "null", "http://127.0.0.1.evil.example", "https://127.0.0.1"] {
        all.push(Hostile::sound().with("Origin", origin));
    }
    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "127.0.0.1@evil.example",
        "0x7f000001",
    ] {
        all.push(Hostile::sound().with("Host", host));
    }
    all
}

/// Names of runs and reports in paths.
fn paths() -> Vec<Hostile> {
    let names = [
        "..",
        "../..",
        "..%2f..",
        "..%2F..%2Fetc%2Fpasswd",
        "%2e%2e",
        "%2e%2e%2f",
        "%252e%252e%252f",
        "..%5c..",
        "..%c0%af",
        "%00",
        "x%00.html",
        "-",
        "*",
        "latest",
        "0",
        "01890000",
        "{id}",
        "%3Cscript%3E",
        "run.json",
        "api-token",
        "01890000-0000-7000-8000-000000000000%00",
        "01890000-0000-7000-8000-000000000000%2f..%2f..",
        "%ff%fe",
    ];
    let mut all = Vec::new();
    for name in names {
        for rest in ["", "/report", "/summary", "/log", "/events"] {
            all.push(Hostile::to(format!("GET /api/v1/runs/{name}{rest}")));
        }
        all.push(Hostile::to(format!("POST /api/v1/runs/{name}/cancel")));
    }
    let absent = "/api/v1/runs/01890000-0000-7000-8000-000000000000";
    for file in [
        "..%2frun.json",
        "run.json",
        "samples.ndjson",
        "scripts/lib/settings.js",
        "report/..%2f..%2fapi-token",
        "report.html",
    ] {
        all.push(Hostile::to(format!("GET {absent}/{file}")));
    }
    for method in ["PUT", "PATCH", "DELETE"] {
        let start = Hostile::sound();
        all.push(Hostile { line: format!("{method} /api/v1/runs"), ..start });
    }
    all
}

/// The answer's status, type and body.
async fn sent(service: &Service, request: &Hostile) -> (u16, String, Vec<u8>) {
    let address = service.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut head = format!("{} HTTP/1.1\r\nConnection: close\r\n", request.line);
    if !request.headers.iter().any(|(name, _)| *name == "Host") {
        head.push_str(&format!("Host: {address}\r\n"));
    }
    for (name, value) in &request.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", request.body.len()));
    // A refusal may come before all is sent.
    let _ = stream.write_all(&[head.as_bytes(), &request.body].concat()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("no answer");
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let media = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-type: ").map(str::to_owned));
    (status, media.unwrap_or_default(), answer[end + 4..].to_vec())
}

/// All files and folders below one.
fn tree(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(tree(&path));
        }
        found.insert(path);
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_hostile_starts_are_problems_and_nothing_runs() {
    let (around, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let data = around.path().join("data");
    // Nobody reads its log here, and a full pipe would hold it up.
    let service = Service::start(command(&data, &shop.targets()).env("LOG_FILTER", "error")).await;
    let before = tree(around.path());
    let requests: Vec<Hostile> = bodies().into_iter().chain(paths()).collect();
    assert!(requests.len() >= 500, "only {}", requests.len());
    for request in &requests {
        let shown: String = String::from_utf8_lossy(&request.body).chars().take(200).collect();
        let case = format!("{} {:?} {shown}", request.line, request.headers);
        let answer = timeout(k6::PATIENCE, sent(&service, request)).await;
        let (status, media, body) = answer.unwrap_or_else(|_| panic!("no end of the answer: {case}"));
        assert!((400..500).contains(&status), "{status}: {case}");
        assert_eq!(media, "application/problem+json", "{status}: {case}");
        let problem: Value = serde_json::from_slice(&body).unwrap_or_else(|_| panic!("no JSON: {case}"));
        assert_eq!(problem["status"], status, "{case}");
        assert!(problem["code"].as_str().is_some_and(|code| !code.is_empty()), "{problem}: {case}");
        assert!(problem.get("detail").is_some() || problem.get("errors").is_some(), "{problem}: {case}");
        assert!(body.len() < 16 << 10, "an answer as long as the question: {case}");
        let told = String::from_utf8_lossy(&body);
        assert!(!told.contains(around.path().to_str().unwrap()), "a path of this machine: {told}");
    }
    let (_, page) = service.get_json("/api/v1/runs").await;
    assert_eq!(page["total"], 0, "{page}");
    assert!(k6::run_folders(&data).is_empty());
    // Whatever a ledger keeps beside its own file, such as a journal, is in its folder.
    let new: Vec<PathBuf> = tree(around.path()).difference(&before).cloned().collect();
    assert!(
        new.iter().all(|path| path.starts_with(&data) && !path.starts_with(data.join("runs"))),
        "{new:?}"
    );
    assert_eq!(shop.requests(), 0, "load, or a question, reached the target");
    // It is as well as before.
    let (status, _) = service.post("/api/v1/runs", &json!({"scenario": "smoke", "durationSeconds": 1})).await;
    assert_eq!(status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_redirects_sends_no_load_elsewhere() {
    let (data, elsewhere) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let there = format!("http://{}", elsewhere.address);
    let router = Router::new().fallback(async move |uri: Uri| Redirect::temporary(&format!("{there}{uri}")));
    let listening = ListenSettings { address: Ipv4Addr::LOCALHOST.into(), ..ListenSettings::default() };
    let listener = http_server::bind(&listening).await.unwrap();
    let targets = format!("local=http://{}", listener.local_addr());
    let mut open = JoinSet::new();
    open.spawn(http_server::serve(listener, router, Metrics::unregistered(), CancellationToken::new()));
    let smoke = ["run", "smoke", "--duration", "2s", "--provider", "ollama"];
    let (code, out, err) = run(command(data.path(), &targets).args(smoke));
    assert_eq!(code, 1, "{out}{err}");
    assert_eq!(elsewhere.requests(), 0, "{out}{err}");
}
