//! Who is at the other end of a connection.

use std::net::IpAddr;

use tokio::net::TcpStream;

/// The address at the other end of the connection on which a request came: an extension of every request.
/// Where a proxy stands before the service, the proxy's. An IPv4 address is one even where the kernel
/// writes it as IPv6 (`::ffff:10.0.0.1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

impl Peer {
    /// None for a connection that is broken already.
    pub(super) fn of(stream: &TcpStream) -> Option<Self> {
        stream.peer_addr().ok().map(|address| Self(address.ip().to_canonical()))
    }
}
