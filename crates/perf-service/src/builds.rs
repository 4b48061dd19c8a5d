//! A build of the bookstore's API that is started for each of its runs, from the same state every time.
//!
//! Owns the process, its copy of the state and its environment. Must not know what is measured.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::comparisons::Side;

/// Longest wait for it to be ready.
const READY: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(3);
/// Seconds that it takes to be ready, about.
const ABOUT: u64 = 2;
/// What must not come from this process's environment: state that both builds would share, what
/// perf-service alone is told, and what k6 would have to know.
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

/// A binary, where it listens and what it starts from.
#[derive(Clone, Debug)]
pub struct Build {
    binary: PathBuf,
    /// Holds the copies of its state.
    folder: PathBuf,
    /// What each run's data folder is a copy of; empty ones where there is none.
    from: Option<PathBuf>,
    port: u16,
}

impl Build {
    /// A build that puts its data under `folder` and listens on a port that is free now.
    ///
    /// # Errors
    /// In words, when the binary is none or there is no port.
    pub fn new(binary: &Path, folder: PathBuf, from: Option<PathBuf>) -> Result<Self, String> {
        let found = binary.canonicalize().map_err(|error| format!("{}: {error}", binary.display()))?;
        if !found.is_file() {
            return Err(format!("{} is not a file", binary.display()));
        }
        // It works in a folder of its own, so relative paths would not do.
        let folder = std::fs::create_dir_all(&folder)
            .and_then(|()| folder.canonicalize())
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .map_err(|error| format!("no free port: {error}"))?
            .port();
        Ok(Self { binary: found, folder, from, port })
    }

    /// Where it listens once it is ready.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    fn spawn(&self, data: &Path) -> io::Result<Child> {
        std::fs::create_dir_all(data)?;
        if let Some(from) = &self.from {
            copy(from, data)?;
        }
        let log = std::fs::File::create(data.with_extension("log"))?;
        let mut command = Command::new(&self.binary);
        for name in WITHHELD {
            command.env_remove(name);
        }
        command
            .env("BIND_ADDRESS", "127.0.0.1")
            .env("HTTP_PORT", self.port.to_string())
            .env("DATA_DIR", data)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // A group of its own: Ctrl-C reaches perf-service, which ends it in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
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
}

/// A running build; dropping it ends it and removes its data.
struct Up {
    child: Option<Child>,
    data: PathBuf,
}

impl Drop for Up {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            end(child);
        }
        if let Err(error) = std::fs::remove_dir_all(&self.data) {
            tracing::debug!(path = %self.data.display(), %error, "a build's data stays");
        }
        let _ = std::fs::remove_file(self.data.with_extension("log"));
    }
}

/// At once: its data is thrown away, and the next run must find the machine free.
fn end(mut child: Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = kill_process(pid, Signal::KILL);
        // It is reaped here where it is gone already, else by the runtime.
        let _ = child.try_wait();
    }
}

#[async_trait]
impl Side for Build {
    fn seconds(&self) -> u64 {
        ABOUT
    }

    async fn ready(&self) -> Result<Box<dyn Send>, String> {
        let data = self.folder.join(format!("state-{}", Uuid::now_v7()));
        let mut up = Up { child: None, data: data.clone() };
        let build = self.clone();
        let spawned = {
            let data = data.clone();
            // Copying may take its time; starting needs the runtime, which a blocking thread has.
            tokio::task::spawn_blocking(move || build.spawn(&data)).await
        };
        let child = spawned
            .map_err(|_| "its start broke off".to_owned())?
            .map_err(|error| format!("{}: {error}", self.binary.display()))?;
        let child = up.child.insert(child);
        let begin = Instant::now();
        loop {
            // Asked before it is looked whether it lives: somebody else's answer on this port counts for nothing.
            let answered = self.answers().await;
            match child.try_wait() {
                Ok(Some(status)) => {
                    return Err(format!("it ended ({status}) before it was ready: {}", last_line(&data)));
                }
                Ok(None) if answered => return Ok(Box::new(up)),
                Ok(None) => {}
                Err(error) => return Err(format!("it cannot be watched: {error}")),
            }
            if begin.elapsed() > READY {
                return Err(format!("it was not ready within {READY:?}: {}", last_line(&data)));
            }
            sleep(LOOK).await;
        }
    }
}

fn last_line(data: &Path) -> String {
    let log = std::fs::read(data.with_extension("log")).unwrap_or_default();
    let text = String::from_utf8_lossy(&log);
    text.lines().last().unwrap_or("it logged nothing").chars().take(500).collect()
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            std::fs::create_dir_all(&target)?;
            copy(&entry.path(), &target)?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Whether what was written names a file rather than a target: it has a separator, which no target's name has.
#[must_use]
pub fn is_path(text: &str) -> bool {
    let text = OsString::from(text);
    Path::new(&text).components().count() > 1 || Path::new(&text).is_absolute()
}
