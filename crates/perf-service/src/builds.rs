//! A build of the bookstore's API, a binary or an image, that is started for each of its runs, from the
//! same state every time.
//!
//! Owns what a build is told and when it is ready. How it is started and ended is `builds/binary.rs` and
//! `builds/image.rs`; where its state lies, `builds/workspace.rs`. Must not know what is measured.

mod binary;
mod image;
mod workspace;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::image::ImageBuild;
pub use self::workspace::Workspace;
use crate::comparisons::{Side, Up};
use crate::engine::docker::DockerSettings;

/// Longest wait for it to be ready.
const READY: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(3);
/// Seconds that it takes to be ready, about.
const ABOUT: u64 = 2;
/// Longest last word that is told.
const LAST_WORD: usize = 500;
/// What a build must not be told: state that both would share, what perf-service alone is told, and what
/// k6 would have to know.
const WITHHELD: [&str; 9] = [
    "MONGODB_URI",
    "REDIS_URL",
    "API_TOKEN",
    "TLS_CERT_FILE",
    "TLS_KEY_FILE",
    "TLS_SELF_SIGNED",
    "HTTPS_PORT",
    "TARGETS",
    "LOG_FILTER",
];
/// What it is told here.
const OWN: [&str; 3] = ["BIND_ADDRESS", "HTTP_PORT", "DATA_DIR"];
/// Begins the name of an image on the command line.
const IMAGE: &str = "image:";

/// A variable that a build is told.
#[derive(Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value; `None` where this process does not have it.
    pub value: Option<String>,
    /// Whether the value may be told to others: it was written and not taken from the environment.
    pub told: bool,
}

impl Variable {
    /// What was written, `NAME=VALUE`, or `NAME` for what `own` has; or why it cannot be.
    ///
    /// # Errors
    /// In words, when it is none, or one that a comparison sets or withholds itself.
    pub fn parse(text: &str, own: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let (name, written) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        let valid = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if name.is_empty() || !valid || text.contains('\0') {
            return Err("NAME=VALUE, or NAME for the value that it has here".to_owned());
        }
        if OWN.contains(&name) || WITHHELD.contains(&name) {
            return Err(format!(
                "another variable: {name} is kept from builds or set for each, so that they start alike"
            ));
        }
        let told = written.is_some();
        Ok(Self { name: name.to_owned(), value: written.or_else(|| own(name)), told })
    }

    /// As far as others may see it: a secret is given by its name alone.
    #[must_use]
    pub fn shown(&self) -> String {
        match &self.value {
            Some(value) if self.told => format!("{}={value}", self.name),
            _ => self.name.clone(),
        }
    }
}

impl fmt::Debug for Variable {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.shown())
    }
}

/// What a build is started as.
#[derive(Clone)]
enum What {
    Binary(PathBuf),
    Image(Arc<ImageBuild>),
}

/// A build, where it listens, what it is told and what it starts from.
#[derive(Clone)]
pub struct Build {
    what: What,
    workspace: Arc<Workspace>,
    /// What each run's data folder is a copy of; empty ones where there is none.
    from: Option<PathBuf>,
    port: u16,
    variables: Vec<Variable>,
}

impl Build {
    /// What was written as a build, a path or `image:REFERENCE`, on a port that is free now.
    ///
    /// # Errors
    /// In words, when there is no such binary, the image cannot be used here, or there is no port.
    pub fn new(
        written: &str,
        workspace: Arc<Workspace>,
        from: Option<PathBuf>,
        variables: Vec<Variable>,
        docker: &DockerSettings,
    ) -> Result<Self, String> {
        let what = if let Some(reference) = written.strip_prefix(IMAGE) {
            What::Image(Arc::new(ImageBuild::new(reference, docker)?))
        } else {
            let found = Path::new(written).canonicalize().map_err(|error| format!("{written}: {error}"))?;
            if !found.is_file() {
                return Err(format!("{written} is not a file"));
            }
            What::Binary(found)
        };
        if from.as_ref().is_some_and(|from| !from.is_dir()) {
            return Err("--state is not a folder".to_owned());
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .map_err(|error| format!("no free port: {error}"))?
            .port();
        Ok(Self { what, workspace, from, port, variables })
    }

    /// Where it listens once it is ready.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Makes sure that it can be started at all, an image pulled, and says which it is.
    ///
    /// # Errors
    /// In words, when it cannot.
    pub async fn prepare(
        &self,
        say: &(dyn Fn(String) + Send + Sync),
        cancel: &CancellationToken,
    ) -> Result<String, String> {
        let what = match &self.what {
            What::Binary(path) => path.display().to_string(),
            What::Image(image) => image.prepare(say, cancel).await?,
        };
        let told: Vec<String> = self.variables.iter().map(Variable::shown).collect();
        Ok(if told.is_empty() { what } else { format!("{what} with {}", told.join(" ")) })
    }

    /// What it is told beside what each kind inherits.
    fn told(&self) -> impl Iterator<Item = (String, String)> {
        self.variables.iter().filter_map(|variable| Some((variable.name.clone(), variable.value.clone()?)))
    }

    async fn start(&self) -> Result<Running, String> {
        match &self.what {
            What::Binary(path) => binary::start(path, self).await.map(Running::Binary),
            What::Image(image) => image.start(self).await.map(Running::Image),
        }
    }

    async fn answers(&self) -> bool {
        let ask = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
            stream
                .write_all(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                .await?;
            let mut head = [0_u8; 12];
            stream.read_exact(&mut head).await?;
            io::Result::Ok(head)
        };
        matches!(timeout(ANSWER, ask).await, Ok(Ok(head)) if head.ends_with(b" 200"))
    }

    /// Until it answers; what went wrong otherwise.
    async fn wait(&self, running: &mut Running, cancel: &CancellationToken) -> Result<(), String> {
        let begin = Instant::now();
        loop {
            // Asked before it is looked whether it lives: somebody else's answer on this port counts for nothing.
            let answered = self.answers().await;
            if let Some(how) = running.ended().await? {
                return Err(format!("it ended ({how}) before it was ready: {}", running.last_word().await));
            }
            if answered {
                return Ok(());
            }
            if cancel.is_cancelled() {
                return Err("it was stopped".to_owned());
            }
            if begin.elapsed() > READY {
                let seconds = READY.as_secs();
                return Err(format!("it was not ready within {seconds} s: {}", running.last_word().await));
            }
            sleep(LOOK).await;
        }
    }
}

/// A build at work.
enum Running {
    Binary(binary::Running),
    Image(image::Running),
}

impl Running {
    /// How it ended, if it has.
    async fn ended(&mut self) -> Result<Option<String>, String> {
        match self {
            Self::Binary(process) => process.ended(),
            Self::Image(container) => container.ended().await,
        }
    }

    /// The end of what it logged.
    async fn last_word(&self) -> String {
        let text = match self {
            Self::Binary(process) => process.log(),
            Self::Image(container) => container.log().await,
        };
        let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it logged nothing");
        last.chars().take(LAST_WORD).collect()
    }
}

#[async_trait]
impl Up for Running {
    /// At once: its data is thrown away, and the next run must find the machine free.
    async fn end(self: Box<Self>) {
        match *self {
            Self::Binary(process) => process.end().await,
            Self::Image(container) => container.end().await,
        }
    }
}

#[async_trait]
impl Side for Build {
    fn seconds(&self) -> u64 {
        ABOUT
    }

    async fn ready(&self, cancel: &CancellationToken) -> Result<Box<dyn Up>, String> {
        let mut running = Box::new(self.start().await?);
        match self.wait(&mut running, cancel).await {
            Ok(()) => Ok(running),
            Err(why) => {
                running.end().await;
                Err(why)
            }
        }
    }
}

/// Whether what was written names a build rather than a target: it has a separator or is said to be an
/// image, which no target's name has or is.
#[must_use]
pub fn is_build(text: &str) -> bool {
    text.starts_with(IMAGE) || Path::new(text).components().count() > 1 || Path::new(text).is_absolute()
}

#[cfg(test)]
mod tests {
    use super::{Variable, is_build};

    #[test]
    fn builds_are_told_from_targets() {
        for build in ["./bookstore-api", "target/release/bookstore-api", "/", "image:bookstore-api:1.2"] {
            assert!(is_build(build), "{build}");
        }
        for target in ["main", "local", "image"] {
            assert!(!is_build(target), "{target}");
        }
    }

    #[test]
    fn variables_are_read_and_secrets_are_not_shown() {
        let own = |name: &str| (name == "OPENAI_API_KEY").then(|| "sk-secret".to_owned());
        let one = Variable::parse("CACHE_TTL_SECONDS=5=6", own).unwrap();
        assert_eq!((one.name.as_str(), one.value.as_deref()), ("CACHE_TTL_SECONDS", Some("5=6")));
        assert_eq!(one.shown(), "CACHE_TTL_SECONDS=5=6");
        let key = Variable::parse("OPENAI_API_KEY", own).unwrap();
        assert_eq!(key.value.as_deref(), Some("sk-secret"));
        assert_eq!((key.shown(), format!("{key:?}")), ("OPENAI_API_KEY".into(), "OPENAI_API_KEY".into()));
        for wrong in ["", "=x", "A B=1", "A-B=1", "DATA_DIR=/", "MONGODB_URI", "X=\0"] {
            assert!(Variable::parse(wrong, own).is_err(), "{wrong:?}");
        }
    }
}
