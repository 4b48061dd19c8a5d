//! A proxy on loopback that holds each answer for a fraction of the time that it took.
//!
//! Threads and `thread::sleep`, whose steps are of some 50 µs; a runtime's timer has steps of 1 ms, which
//! is more than most answers take.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::Fallible;

/// A proxy that listens as long as the process lives.
pub(crate) struct Slowed {
    pub(crate) port: u16,
}

pub(crate) fn free_port() -> Fallible<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Slowed {
    /// One in front of this port.
    pub(crate) fn before(upstream: u16, by: f64) -> Fallible<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    // Whoever goes away has had enough.
                    let _ = connect(client, upstream, by);
                });
            }
        });
        Ok(Self { port })
    }
}

fn connect(client: TcpStream, upstream: u16, by: f64) -> std::io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", upstream))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let begin = Instant::now();
    // Nanoseconds since the begin at which the last of a request went on; 0 once its answer has begun.
    let asked = Arc::new(AtomicU64::new(0));
    let now = move || u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1);
    let requests = {
        let (client, server, asked) = (client.try_clone()?, server.try_clone()?, Arc::clone(&asked));
        std::thread::spawn(move || {
            let _ = pass(&client, &server, || asked.store(now(), Ordering::Release));
            let _ = server.shutdown(Shutdown::Both);
        })
    };
    let done = pass(&server, &client, || {
        let since = asked.swap(0, Ordering::AcqRel);
        if since > 0 && by > 0.0 {
            let took = Duration::from_nanos(now().saturating_sub(since));
            std::thread::sleep(took.mul_f64(by));
        }
    });
    let _ = client.shutdown(Shutdown::Both);
    let _ = requests.join();
    done
}

fn pass(mut from: &TcpStream, mut to: &TcpStream, before: impl Fn()) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer)?;
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else { return Ok(()) };
        before();
        to.write_all(part)?;
    }
}
