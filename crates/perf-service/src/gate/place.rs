//! Where the gate is: a Unix socket that only its owner may open, or a port on loopback.
//!
//! Owns listening and connecting. A gate on any other address cannot be written down.

use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::timeout;

/// A gate that is there accepts within it.
const CONNECTING: Duration = Duration::from_secs(2);
/// Who may open the socket: its owner.
const MODE: u32 = 0o600;

/// What a side of a connection reads.
pub type Reader = Box<dyn AsyncRead + Send + Unpin>;
/// What a side of a connection writes.
pub type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// Where the gate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A Unix socket.
    Socket(PathBuf),
    /// A port on loopback.
    Loopback(SocketAddr),
}

impl Place {
    /// Reads `unix:///path` or `tcp://127.0.0.1:7005`; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix://") {
            return Path::new(path).is_absolute().then(|| Self::Socket(path.into()));
        }
        let address: SocketAddr = text.strip_prefix("tcp://")?.parse().ok()?;
        address.ip().is_loopback().then_some(Self::Loopback(address))
    }

    /// Opens the gate's door there.
    ///
    /// # Errors
    /// When the place cannot be listened at, or another gate does.
    pub async fn open(&self) -> io::Result<Door> {
        match self {
            Self::Socket(path) => Ok(Door::Socket(open_socket(path).await?, path.clone())),
            Self::Loopback(address) => Ok(Door::Loopback(TcpListener::bind(address).await?)),
        }
    }

    /// Connects to the gate.
    ///
    /// # Errors
    /// When nobody is there.
    pub async fn connect(&self) -> io::Result<(Reader, Writer)> {
        let connect = async {
            match self {
                Self::Socket(path) => UnixStream::connect(path).await.map(sides),
                Self::Loopback(address) => TcpStream::connect(address).await.map(sides),
            }
        };
        timeout(CONNECTING, connect).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "unix://{}", path.display()),
            Self::Loopback(address) => write!(f, "tcp://{address}"),
        }
    }
}

/// An open door. A socket's file goes with it.
#[derive(Debug)]
pub enum Door {
    /// A Unix socket.
    Socket(UnixListener, PathBuf),
    /// A port on loopback.
    Loopback(TcpListener),
}

impl Door {
    /// The next who wants in.
    ///
    /// # Errors
    /// When the connection was lost at once, or the system has no more.
    pub async fn accept(&self) -> io::Result<(Reader, Writer)> {
        match self {
            Self::Socket(listener, _) => listener.accept().await.map(|(stream, _)| sides(stream)),
            Self::Loopback(listener) => listener.accept().await.map(|(stream, _)| sides(stream)),
        }
    }

    /// Where it really is: a port 0 has become one.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn place(&self) -> io::Result<Place> {
        match self {
            Self::Socket(_, path) => Ok(Place::Socket(path.clone())),
            Self::Loopback(listener) => listener.local_addr().map(Place::Loopback),
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Self::Socket(_, path) = self {
            // One that is left is replaced by the next gate.
            let _ = fs::remove_file(path);
        }
    }
}

fn sides<S: AsyncRead + AsyncWrite + Send + 'static>(stream: S) -> (Reader, Writer) {
    let (reader, writer) = tokio::io::split(stream);
    (Box::new(reader), Box::new(writer))
}

/// The socket is made beside its place and moved there: at no moment may others open it.
async fn open_socket(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
        }
        Ok(_) if UnixStream::connect(path).await.is_ok() => {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another gate listens there"));
        }
        Ok(_) | Err(_) => {}
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let made = path.with_extension(format!("{}", std::process::id()));
    // Only one with our number could be in the way, and we are not it.
    let _ = fs::remove_file(&made);
    let listener = UnixListener::bind(&made)?;
    fs::set_permissions(&made, Permissions::from_mode(MODE))
        .and_then(|()| fs::rename(&made, path))
        .inspect_err(|_| {
            let _ = fs::remove_file(&made);
        })?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::Place;

    #[test]
    fn a_gate_is_nowhere_in_public() {
        for text in [
            "",
            "unix://",
            "unix://relative",
            "tcp://0.0.0.0:7005",
            "tcp://192.168.0.1:7005",
            "tcp://localhost:7005",
            "tcp://[::]:7005",
            "tcp://127.0.0.1",
            "http://127.0.0.1:7005",
            "/run/gate.sock",
        ] {
            assert_eq!(Place::parse(text), None, "{text}");
        }
        for text in ["unix:///run/gate.sock", "tcp://127.0.0.1:7005", "tcp://[::1]:7005"] {
            assert_eq!(Place::parse(text).unwrap().to_string(), text);
        }
    }

    #[tokio::test]
    async fn a_socket_is_its_owners_and_a_stale_one_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/gate.sock");
        let place = Place::Socket(path.clone());
        assert!(place.connect().await.is_err());
        let door = place.open().await.unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(place.open().await.unwrap_err().to_string().contains("another gate"));
        let (accepted, connected) = tokio::join!(door.accept(), place.connect());
        assert!(accepted.is_ok() && connected.is_ok());
        drop(door);
        assert!(!path.exists());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        drop(place.open().await.unwrap());
        std::fs::write(&path, "precious").unwrap();
        assert!(place.open().await.unwrap_err().to_string().contains("no socket"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
