//! Asking a service of ours whether it is alive, as a container's health check does: images have
//! no shell and no curl.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Longest wait for each step.
const DEADLINE: Duration = Duration::from_secs(3);

/// Whether `GET /health/live` on this address answers 200.
///
/// # Errors
/// In words: what answered instead, or why nothing did.
pub fn probe(address: IpAddr, port: u16) -> Result<(), String> {
    // A service on all addresses is asked on loopback.
    let address = if address.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address };
    let peer = SocketAddr::new(address, port);
    let failed = |error: std::io::Error| format!("{peer} does not answer: {error}");
    let mut stream = TcpStream::connect_timeout(&peer, DEADLINE).map_err(failed)?;
    stream.set_read_timeout(Some(DEADLINE)).map_err(failed)?;
    stream.set_write_timeout(Some(DEADLINE)).map_err(failed)?;
    stream
        .write_all(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .map_err(failed)?;
    let mut head = [0_u8; 64];
    let read = stream.read(&mut head).map_err(failed)?;
    let text = String::from_utf8_lossy(head.get(..read).unwrap_or_default()).into_owned();
    let status = text.split(' ').nth(1).unwrap_or("nothing");
    if status == "200" { Ok(()) } else { Err(format!("{peer} answered {status} instead of 200")) }
}
