//! The service as a process: started, asked, stopped, and never left behind.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longest wait for anything that is bound to happen.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How a service is to be started; it can be started again on the same folder.
pub struct Start {
    folder: Arc<TempDir>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Start {
    /// On a free port of loopback, an empty data folder, no catalogue, and an Ollama at `ollama`.
    pub fn new(ollama: &str) -> Self {
        let this = Self {
            folder: Arc::new(tempfile::tempdir().unwrap()),
            arguments: Vec::new(),
            environment: Vec::new(),
        };
        this.argument("--http-port", "0")
            .argument("--seed-catalog", "false")
            .argument("--ollama-base-url", ollama)
    }

    /// With the provider out of reach: for tests that ask none.
    pub fn without_provider() -> Self {
        Self::new("http://127.0.0.1:9")
    }

    /// With the catalogue of well-known books.
    pub fn with_catalog() -> Self {
        let mut this = Self::without_provider();
        this.arguments.retain(|argument| argument != "--seed-catalog" && argument != "false");
        this
    }

    pub fn argument(mut self, name: &str, value: &str) -> Self {
        self.arguments.retain({
            let mut skip = false;
            let name = name.to_owned();
            move |argument| {
                let keep = !skip && *argument != name;
                skip = *argument == name;
                keep
            }
        });
        self.arguments.extend([name.to_owned(), value.to_owned()]);
        self
    }

    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The data folder; made by the service.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A file beside the data folder.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let file = self.folder.path().join(name);
        std::fs::write(&file, content).unwrap();
        file
    }

    /// The binary with an environment of nothing but what this test says.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bookstore-api"));
        command
            .env_clear()
            .envs(self.environment.iter().cloned())
            .env("DATA_DIR", self.data())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .args(&self.arguments);
        command
    }

    /// Runs to its end, which must come.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let child =
            self.command().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let guard = Guard(pid(&child));
        let output = child.wait_with_output().unwrap();
        std::mem::forget(guard);
        output
    }

    /// Starts serving and waits until it listens.
    pub fn serve(&self) -> Service {
        let mut child = self.command().stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (sender, receiver) = mpsc::channel::<SocketAddr>();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let reader = std::thread::spawn({
            let log = Arc::clone(&log);
            move || {
                for line in lines.map_while(Result::ok) {
                    let event: Value = serde_json::from_str(&line).unwrap_or_default();
                    log.lock().unwrap().push(line);
                    if event["message"] == "listening" {
                        let _ = sender.send(event["address"].as_str().unwrap().parse().unwrap());
                    }
                }
            }
        });
        let Ok(mut address) = receiver.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            panic!("the service does not listen: {:#?}", log.lock().unwrap());
        };
        if address.ip().is_unspecified() {
            address.set_ip([127, 0, 0, 1].into());
        }
        let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
        Service { child, address, log, reader: Some(reader), client, _folder: Arc::clone(&self.folder) }
    }
}

/// Ends a process when a test fails before it ended by itself.
struct Guard(Pid);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::KILL);
    }
}

/// The id of a child.
pub fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// A service that listens. Killed when dropped.
pub struct Service {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
    client: reqwest::Client,
    _folder: Arc<TempDir>,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body of a success with this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// The body of a problem with this status and code, whose common members are checked.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("urn:bookstore:problem:{code}"));
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()));
        assert!(problem["instance"].as_str().is_some_and(|path| path.starts_with('/')), "{problem}");
        assert_eq!(problem["traceId"].as_str().map(str::len), Some(32), "{problem}");
        problem
    }
}

impl Service {
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    pub async fn send(&self, request: RequestBuilder) -> Reply {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Reply { status, headers, text: response.text().await.unwrap() }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send(self.request(Method::DELETE, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Reply {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    pub async fn patch(&self, path: &str, patch: &Value) -> Reply {
        let request = self.request(Method::PATCH, path).json(patch);
        self.send(request.header("Content-Type", "application/merge-patch+json")).await
    }

    /// Sends a request with a header, and with a body unless that is null.
    pub async fn with(&self, method: Method, path: &str, (name, value): (&str, &str), body: &Value) -> Reply {
        let request = self.request(method, path).header(name, value);
        self.send(if body.is_null() { request } else { request.json(body) }).await
    }

    /// A new author's id.
    pub async fn author(&self, name: &str) -> String {
        let author = self.post("/api/v1/authors", &json!({ "name": name })).await.expect(201);
        author["id"].as_str().unwrap().to_owned()
    }

    /// A new book's id.
    pub async fn book(&self, title: &str) -> String {
        let draft = json!({ "title": title, "description": "A captain hunts a white whale." });
        let book = self.post("/api/v1/books", &draft).await.expect(201);
        book["id"].as_str().unwrap().to_owned()
    }

    /// Asks for a summary; `query` begins with `?` or is empty.
    pub async fn summarise(&self, book: &str, query: &str) -> Reply {
        self.send(self.request(Method::POST, &format!("/api/v1/books/{book}/generate-summary{query}"))).await
    }

    /// The sum of the values of a metric over the series that have all of these labels.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        metric(&self.get("/metrics").await.text, name, labels)
            .unwrap_or_else(|| panic!("{name} {labels:?} is not in /metrics"))
    }

    /// What was logged so far, line by line.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Waits for a log line that `wanted` likes.
    pub async fn logged(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(|| {
            let lines = self.log();
            lines.iter().filter_map(|line| serde_json::from_str(line).ok()).find(|line| wanted(line))
        })
        .await
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(pid(&self.child), signal).unwrap();
    }

    /// Waits for its end; all of the log has come by then.
    pub fn wait(&mut self) -> ExitStatus {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                if let Some(reader) = self.reader.take() {
                    reader.join().unwrap();
                }
                return status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the service does not stop: {:#?}", self.log());
    }

    /// Stops it as an operator would.
    pub fn stop(mut self) -> Vec<String> {
        self.signal(Signal::TERM);
        assert_eq!(self.wait().code(), Some(0), "{:#?}", self.log());
        self.log()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Both fail when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `look` finds something.
pub async fn eventually<T>(look: impl Fn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "what was waited for does not happen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The sum of the values of a metric in Prometheus' text; `None` without such a series.
pub fn metric(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    text.lines()
        .filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        })
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
        .reduce(|sum, value| sum + value)
}

/// The lines of standard error that are no log lines.
pub fn plain_lines(stderr: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(stderr).lines().filter(|line| !line.starts_with('{')).map(str::to_owned).collect()
}

/// Whether a file is readable by its owner only.
pub fn is_private(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().unwrap().permissions().mode() & 0o777 == 0o600
}
