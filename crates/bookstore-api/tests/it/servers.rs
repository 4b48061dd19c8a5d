//! The real servers of the integration tests: those that the environment names, faults between a
//! service and one of them (toxiproxy), and a Redis of a test's own that it may flush and stop.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

#[expect(clippy::disallowed_methods, reason = "the environment names the server")]
fn named(variable: &str, what: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} names no {what}: start one and set it, or run `make test-integration`")
    })
}

/// The Redis that tests share; nobody flushes it.
pub fn redis_url() -> String {
    named("REDIS_URL", "Redis")
}

/// The MongoDB that tests share; each has a database of its own there.
pub fn mongodb_uri() -> String {
    named("MONGODB_URI", "MongoDB")
}

/// What the keys of one test begin with.
pub fn namespace() -> String {
    format!("test-{}", Uuid::now_v7().simple())
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().timeout(Duration::from_secs(10)).no_proxy().build().unwrap()
}

/// A way to a server, on which a test puts faults. Gone when dropped.
pub struct Proxy {
    client: reqwest::Client,
    toxiproxy: String,
    name: String,
    address: String,
}

impl Proxy {
    /// A way to `upstream`, a host and port.
    pub async fn to(upstream: &str) -> Self {
        let client = client();
        let toxiproxy = named("TOXIPROXY_URL", "toxiproxy");
        let name = namespace();
        let proxy = json!({ "name": name, "listen": "127.0.0.1:0", "upstream": upstream, "enabled": true });
        let made = client.post(format!("{toxiproxy}/proxies")).json(&proxy).send().await.unwrap();
        let made: Value = made.error_for_status().unwrap().json().await.unwrap();
        let address = made["listen"].as_str().unwrap().to_owned();
        Self { client, toxiproxy, name, address }
    }

    /// A way to the Redis that tests share; its URL is [`Proxy::redis_url`].
    pub async fn to_redis() -> Self {
        let url = redis_url();
        let host = url.split_once("://").unwrap().1.split('/').next().unwrap();
        let host = host.rsplit('@').next().unwrap();
        Self::to(&host.replace("localhost", "127.0.0.1")).await
    }

    /// A way to the MongoDB that tests share; its URI is [`Proxy::mongodb_uri`].
    pub async fn to_mongodb() -> Self {
        let uri = mongodb_uri();
        let host = uri.split_once("://").unwrap().1.split(['/', '?']).next().unwrap();
        assert!(!host.contains(['@', ',']), "the tests of faults want one MongoDB without a password");
        Self::to(&host.replace("localhost", "127.0.0.1")).await
    }

    /// Without its members' own addresses, which a replica set would name and which lead past the way.
    pub fn mongodb_uri(&self) -> String {
        format!("mongodb://{}/?directConnection=true", self.address)
    }

    pub fn redis_url(&self) -> String {
        format!("redis://{}", self.address)
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) {
        let url = format!("{}/proxies/{}{path}", self.toxiproxy, self.name);
        self.client.request(method, url).json(body).send().await.unwrap().error_for_status().unwrap();
    }

    /// Puts a fault on both directions, by toxiproxy's names.
    pub async fn fault(&self, kind: &str, attributes: Value) {
        for stream in ["upstream", "downstream"] {
            let toxic = json!({ "name": stream, "type": kind, "stream": stream, "attributes": attributes });
            self.ask(Method::POST, "/toxics", &toxic).await;
        }
    }

    /// Takes the fault away.
    pub async fn heal(&self) {
        for stream in ["upstream", "downstream"] {
            self.ask(Method::DELETE, &format!("/toxics/{stream}"), &Value::Null).await;
        }
    }

    /// Cuts all connections and refuses new ones, or lets them through again.
    pub async fn enable(&self, enabled: bool) {
        self.ask(Method::POST, "", &json!({ "enabled": enabled })).await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let url = format!("{}/proxies/{}", self.toxiproxy, self.name);
        // In a thread of its own, with connections of its own: the test's runtime waits here.
        let _ = std::thread::spawn(move || {
            let client = client();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let _ = runtime.block_on(async { client.delete(url).send().await });
        })
        .join();
    }
}

/// A Redis of this test's own. Ended when dropped.
pub struct OwnRedis {
    child: Option<Child>,
    port: u16,
    tls_port: Option<u16>,
    folder: TempDir,
}

impl OwnRedis {
    pub fn start() -> Self {
        Self::new(None, tempfile::tempdir().unwrap())
    }

    /// With TLS besides, under a certificate for `localhost` that signs itself.
    pub fn start_with_tls() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(folder.path().join("certificate.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        Self::new(Some(free_port()), folder)
    }

    fn new(tls_port: Option<u16>, folder: TempDir) -> Self {
        let mut this = Self { child: None, port: free_port(), tls_port, folder };
        this.restart();
        this
    }

    pub fn tls_url(&self) -> String {
        format!("rediss://localhost:{}/1", self.tls_port.unwrap())
    }

    /// The file of who signed its certificate.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it, if it runs, and starts it empty on the same port.
    pub fn restart(&mut self) {
        self.stop();
        let mut command = Command::new("redis-server");
        if let Some(port) = self.tls_port {
            command.args(["--tls-port", &port.to_string(), "--tls-auth-clients", "no"]);
            command.args(["--tls-cert-file", "certificate.pem", "--tls-key-file", "key.pem"]);
        }
        let child = command
            .args([
                "--port",
                &self.port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("redis-server: {error}; install Redis 7 or later"));
        self.child = Some(child);
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(20), "redis-server does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends a command by `redis-cli`.
    pub fn command(&self, words: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(words)
            .output()
            .unwrap_or_else(|error| panic!("redis-cli: {error}; install Redis 7 or later"));
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        self.stop();
    }
}
