//! Plays `mongod` and `mongosh` in an image that has a Java server of MongoDB's wire protocol in their place, so that
//! docker-compose.yml says to it what it says to MongoDB's own image. As `mongod` it becomes that server, on the
//! usual port and in the usual folder, whatever else it is told. As `mongosh` it sends `ping` and exits by the answer.
//! Standard library only: `rustc` builds it.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Duration;

const PORT: &str = "27017";
const FILE: &str = "/data/db/stand-in.h2";
const JAVA: &str = "/opt/java/bin/java";
const CLASSES: &str = "/opt/mongo:/opt/mongo/lib/*";
/// OP_MSG (MongoDB's wire protocol): one section with a document.
const OP_MSG: u32 = 2013;

fn main() -> ExitCode {
    let name = std::env::args().next().unwrap_or_default();
    let failed: Box<dyn Error> = if name.ends_with("mongosh") {
        match ping() {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => error,
        }
    } else {
        // Returns only where it cannot be done.
        Command::new(JAVA)
            .args(["-Xmx384m", "-XX:-UsePerfData", "-cp", CLASSES, "Serve", PORT, FILE])
            .exec()
            .into()
    };
    eprintln!("{name}: {failed}");
    ExitCode::FAILURE
}

fn ping() -> Result<(), Box<dyn Error>> {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{PORT}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    // {ping: 1, $db: "admin"} as BSON.
    let mut document = vec![0, 0, 0, 0];
    document.extend(b"\x10ping\0\x01\0\0\0");
    document.extend(b"\x02$db\0\x06\0\0\0admin\0");
    document.push(0);
    let length = u32::try_from(document.len())?;
    document[..4].copy_from_slice(&length.to_le_bytes());
    // Length, id, what it answers, operation; flags; kind of the section.
    let mut message = Vec::new();
    for part in [16 + 4 + 1 + length, 1, 0, OP_MSG, 0] {
        message.extend(part.to_le_bytes());
    }
    message.push(0);
    message.extend(&document);
    stream.write_all(&message)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; (u32::from_le_bytes(length) as usize).clamp(4, 1 << 16) - 4];
    stream.read_exact(&mut answer)?;
    // A double, `ok`, of 1.0.
    let ok = b"\x01ok\0\0\0\0\0\0\0\xf0\x3f";
    if answer.windows(ok.len()).any(|part| part == ok) { Ok(()) } else { Err("ping was not answered with ok".into()) }
}
