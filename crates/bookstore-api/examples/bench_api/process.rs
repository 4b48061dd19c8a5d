//! Servers as processes: started, watched, ended by their ids.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Fallible;
use super::load::Connection;

/// Longest wait for a server to answer.
const READY: Duration = Duration::from_secs(60);

/// A server on a port of its own; ended when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder of the binaries of this build.
fn binaries() -> Fallible<PathBuf> {
    Ok(std::env::current_exe()?.ancestors().nth(2).ok_or("no target folder")?.to_owned())
}

impl Server {
    /// bookstore-api on its defaults but for these settings.
    pub(crate) async fn api(settings: &[(&str, &str)]) -> Fallible<Self> {
        Self::api_in(tempfile::tempdir()?, settings).await
    }

    /// The same on what lies in `folder`.
    pub(crate) async fn api_in(folder: tempfile::TempDir, settings: &[(&str, &str)]) -> Fallible<Self> {
        let mut command = Command::new(binaries()?.join("bookstore-api"));
        command.envs(settings.iter().copied());
        Self::start(command, folder, "/health/ready").await
    }

    /// llm-simulator on its defaults but for these settings.
    pub(crate) async fn simulator(settings: &[(&str, &str)]) -> Fallible<Self> {
        let mut command = Command::new(binaries()?.join("llm-simulator"));
        command.envs(settings.iter().copied());
        Self::start(command, tempfile::tempdir()?, "/health/ready").await
    }

    /// This program as a server of one layer that gives the answer in `answer`.
    pub(crate) async fn layer(name: &str, answer: &Path) -> Fallible<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["server", name, "PORT"]).arg(answer);
        Self::start(command, tempfile::tempdir()?, "/api/v1/books/018f0000-0000-7000-8000-000000000000").await
    }

    async fn start(command: Command, folder: tempfile::TempDir, ready: &str) -> Fallible<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let port = address.port().to_string();
        let mut started = Command::new(command.get_program());
        let arguments = command.get_args().map(|argument| match argument.to_str() {
            Some("PORT") => port.as_ref(),
            _ => argument,
        });
        // To a file, as services log when nobody watches them.
        let log = File::create(folder.path().join("log"))?;
        let child = started
            .args(arguments)
            .env_clear()
            .env("HTTP_PORT", &port)
            .env("DATA_DIR", folder.path())
            .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{:?}: {error}; `make bench-api` builds it", command.get_program()))?;
        let mut server = Self { child, address, folder };
        let begun = Instant::now();
        loop {
            if let Ok(mut connection) = Connection::open(address).await
                && connection.get(ready).await.is_ok_and(|answer| answer.status == 200)
            {
                return Ok(server);
            }
            if server.child.try_wait()?.is_some() || begun.elapsed() > READY {
                let log = fs::read_to_string(server.folder.path().join("log")).unwrap_or_default();
                return Err(format!("{:?} does not get ready: {log}", command.get_program()).into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Memory that it has in use.
    pub(crate) fn resident_mib(&self) -> Fallible<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    }

    /// Asks it to stop, and says how long it took.
    pub(crate) fn stopped_within(mut self) -> Fallible<Duration> {
        let begun = Instant::now();
        let sent = Command::new("kill").arg(self.child.id().to_string()).status()?;
        if !sent.success() {
            return Err("kill failed".into());
        }
        while self.child.try_wait()?.is_none() {
            if begun.elapsed() > READY {
                return Err("it does not stop".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(begun.elapsed())
    }

    /// The processor time that all of its threads have had, in seconds.
    pub(crate) fn cpu(&self) -> Fallible<f64> {
        let mut nanoseconds = 0_u64;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
            nanoseconds += text.split(' ').next().and_then(|time| time.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanoseconds).as_secs_f64())
    }
}

/// A folder with a store of so many books, imported by the binary.
pub(crate) fn store_of(csv: &Path) -> Fallible<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    let status = Command::new(binaries()?.join("bookstore-api"))
        .arg("import")
        .arg(csv)
        .env_clear()
        .env("DATA_DIR", folder.path())
        .env("SEED_CATALOG", "false")
        .env("LOG_FILTER", "error")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if status.success() { Ok(folder) } else { Err(format!("the import ended with {status}").into()) }
}
