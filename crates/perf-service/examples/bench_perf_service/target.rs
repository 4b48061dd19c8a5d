//! A bookstore-api to put under load: this build's, on embedded defaults and the provider in process.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Fallible, binaries};

const READY: Duration = Duration::from_secs(30);

/// A service on a port of its own; ended when dropped.
pub(crate) struct Target {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Target {
    pub(crate) fn start() -> Fallible<Self> {
        let folder = tempfile::tempdir()?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new(binaries()?.join("bookstore-api"))
            .env_clear()
            .env("HTTP_PORT", address.port().to_string())
            .env("DATA_DIR", folder.path())
            .env("LLM_PROVIDER", "simulated")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join("log"))?)
            .spawn()
            .map_err(|error| format!("bookstore-api: {error}; `make bench-perf-service` builds it"))?;
        let mut target = Self { child, address, folder };
        let begun = Instant::now();
        while !target.is_ready() {
            if target.child.try_wait()?.is_some() || begun.elapsed() > READY {
                let log = fs::read_to_string(target.folder.path().join("log")).unwrap_or_default();
                return Err(format!("bookstore-api did not become ready: {log}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(target)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn is_ready(&self) -> bool {
        let ask = || -> std::io::Result<String> {
            let mut connection = TcpStream::connect(self.address)?;
            connection.set_read_timeout(Some(READY))?;
            write!(connection, "GET /health/ready HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")?;
            let mut answer = String::new();
            connection.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }
}
