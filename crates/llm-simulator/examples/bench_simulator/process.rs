//! Servers as processes: started, watched, ended by their ids.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Fallible;
use super::client::Connection;

/// Longest wait for a server to answer.
const READY: Duration = Duration::from_secs(30);

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
    /// The simulator on its defaults but for these settings.
    pub(crate) async fn simulator(settings: &[(&str, &str)]) -> Fallible<Self> {
        let mut command = Command::new(binaries()?.join("llm-simulator"));
        command.envs(settings.iter().copied());
        Self::start(command).await
    }

    /// This program as bare axum that gives the answer in a file.
    pub(crate) async fn bare(answer: &Path) -> Fallible<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bare", "PORT"]).arg(answer);
        Self::start(command).await
    }

    async fn start(command: Command) -> Fallible<Self> {
        let folder = tempfile::tempdir()?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let port = address.port().to_string();
        let arguments = command.get_args().map(|argument| match argument.to_str() {
            Some("PORT") => port.as_ref(),
            _ => argument,
        });
        // To a file, as services log when nobody watches them.
        let log = File::create(folder.path().join("log"))?;
        let child = Command::new(command.get_program())
            .args(arguments)
            .env_clear()
            .env("HTTP_PORT", &port)
            .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| {
                format!("{:?}: {error}; `make bench-simulator` builds it", command.get_program())
            })?;
        let mut server = Self { child, address, folder };
        let begun = Instant::now();
        loop {
            if let Ok(mut connection) = Connection::open(address).await
                && connection.get("/health/ready").await.is_ok()
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

    /// The processor time that all of its threads have had, in seconds.
    pub(crate) fn cpu(&self) -> Fallible<f64> {
        let mut nanoseconds = 0_u64;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
            nanoseconds += text.split(' ').next().and_then(|time| time.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanoseconds).as_secs_f64())
    }

    /// The most memory that it has had resident, in MiB.
    pub(crate) fn peak_mib(&self) -> Fallible<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).ok_or("no VmHWM")?;
        let kib: f64 = line.split_whitespace().nth(1).ok_or("no figure")?.parse()?;
        Ok(kib / 1024.0)
    }

    /// What it shows at `/metrics`.
    pub(crate) async fn metrics(&self) -> Fallible<String> {
        let answer = Connection::open(self.address).await?.get("/metrics").await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}
