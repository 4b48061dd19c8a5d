//! How a k6 ended, written beside its output: what outlives both k6 and the perf-service that
//! started it.
//!
//! Owns the file: one line, a code by a shell's convention (128 and the signal for a kill) or
//! `out of memory`. A local k6's is written by the shell around it, a container's by the engine
//! before the container is removed. Must not know processes or containers.

use std::fs;
use std::io;
use std::path::Path;

use chrono::{DateTime, Utc};

use super::{EngineError, Exit};

/// Its name in the run's folder.
pub const FILE: &str = "k6.exit";

const OUT_OF_MEMORY: &str = "out of memory";
/// What a shell adds to the number of a signal.
const SIGNALS: i32 = 128;
/// Signals there are.
const MOST_SIGNALS: i32 = 64;
/// Longest record read; whole ones are far shorter.
const LONGEST: usize = 64;

/// The exit that this folder's record tells; `None` while there is no whole record.
///
/// # Errors
/// When there is one that cannot be read.
pub fn read(folder: &Path) -> Result<Option<Exit>, EngineError> {
    let path = folder.join(FILE);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(EngineError::File(path, error)),
    };
    let text = text.get(..text.len().min(LONGEST)).unwrap_or_default();
    // Without its line break it is still being written, or the disk was full.
    let line = std::str::from_utf8(text).ok().and_then(|text| text.strip_suffix('\n'));
    Ok(line.and_then(told))
}

/// When the record was written; `None` where there is none.
#[must_use]
pub fn written_at(folder: &Path) -> Option<DateTime<Utc>> {
    fs::metadata(folder.join(FILE)).and_then(|file| file.modified()).ok().map(DateTime::from)
}

/// Writes the record.
///
/// # Errors
/// When the file cannot be written.
pub fn write(folder: &Path, exit: Exit) -> Result<(), EngineError> {
    let line = match exit {
        Exit::Code(code) => code.to_string(),
        Exit::Killed(signal) => (SIGNALS + signal).to_string(),
        Exit::OutOfMemory => OUT_OF_MEMORY.to_owned(),
        Exit::Unseen => return Ok(()),
    };
    let path = folder.join(FILE);
    fs::write(&path, format!("{line}\n")).map_err(|error| EngineError::File(path, error))
}

/// Removes the record of an earlier attempt.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(folder: &Path) -> Result<(), EngineError> {
    let path = folder.join(FILE);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(EngineError::File(path, error)),
        _ => Ok(()),
    }
}

/// What a code means by a shell's convention.
#[must_use]
pub const fn by_code(code: i32) -> Exit {
    if code > SIGNALS && code <= SIGNALS + MOST_SIGNALS {
        Exit::Killed(code - SIGNALS)
    } else {
        Exit::Code(code)
    }
}

fn told(line: &str) -> Option<Exit> {
    if line == OUT_OF_MEMORY {
        return Some(Exit::OutOfMemory);
    }
    line.parse().ok().map(by_code)
}

#[cfg(test)]
mod tests {
    use super::{FILE, read, remove, write};
    use crate::engine::Exit;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), None);
        remove(folder.path()).unwrap();
        for exit in [Exit::Code(0), Exit::Code(99), Exit::Killed(9), Exit::Killed(11), Exit::OutOfMemory] {
            write(folder.path(), exit).unwrap();
            assert_eq!(read(folder.path()).unwrap(), Some(exit));
        }
        remove(folder.path()).unwrap();
        assert_eq!(read(folder.path()).unwrap(), None);
    }

    #[test]
    fn what_is_no_whole_record_tells_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "0", "\n", "zero\n", "9999999999999\n", "out of mem\n", "1\n2\n", &"1".repeat(500)] {
            std::fs::write(folder.path().join(FILE), text).unwrap();
            assert_eq!(read(folder.path()).unwrap(), None, "{text:?}");
        }
        std::fs::write(folder.path().join(FILE), b"\xff\xfe\n").unwrap();
        assert_eq!(read(folder.path()).unwrap(), None);
    }
}
