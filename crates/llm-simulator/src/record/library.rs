//! The file of recordings that is written: whole lines, one write each, by one process at a time,
//! for its owner's eyes only.
//!
//! Must not know what a line says.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::recording::VERSION;

/// Whoever may read prompts and answers is for their owner to say.
const MODE: u32 = 0o600;
/// How much of a file is looked at to see whether it holds recordings.
const LOOKED_AT: u64 = 64 << 20;

/// Why a file cannot take recordings.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// It cannot be opened or read.
    #[error("{0} cannot be opened for recordings: {1}")]
    File(PathBuf, #[source] io::Error),
    /// Another process writes it.
    #[error("{0} is being written by another recorder; stop that one or name another file")]
    InUse(PathBuf),
    /// It holds something else, or recordings of another version.
    #[error("{0} holds something else than recordings of version {VERSION}; name another file")]
    Foreign(PathBuf),
}

impl LibraryError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::File(..) => "file",
            Self::InUse(_) => "in_use",
            Self::Foreign(_) => "foreign",
        }
    }
}

/// A file that takes recordings.
#[derive(Debug)]
pub struct Library {
    file: File,
    /// To the end of the last whole line.
    length: u64,
    /// Whether the end of the file is no longer there: a write failed, and could not be undone.
    torn: bool,
}

impl Library {
    /// Opens a file, or makes one. What it holds is kept; a last line that was broken off is ended
    /// and stays, for readers to name. Whether there was one is the flag.
    ///
    /// # Errors
    /// When it cannot be opened, another process writes it, or it holds something else.
    pub fn open(path: &Path) -> Result<(Self, bool), LibraryError> {
        let failed = |error| LibraryError::File(path.to_owned(), error);
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).mode(MODE).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LibraryError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        if !holds_recordings(&file).map_err(failed)? {
            return Err(LibraryError::Foreign(path.to_owned()));
        }
        // It may have been made by another hand.
        file.set_permissions(Permissions::from_mode(MODE)).map_err(failed)?;
        let mut length = file.metadata().map_err(failed)?.len();
        let mut last = [b'\n'];
        if length > 0 {
            file.seek(SeekFrom::End(-1)).map_err(failed)?;
            file.read_exact(&mut last).map_err(failed)?;
        }
        let broken = last != *b"\n";
        if broken {
            file.write_all(b"\n").map_err(failed)?;
            length += 1;
        }
        Ok((Self { file, length, torn: false }, broken))
    }

    /// Adds a line, which must end with its only line break.
    ///
    /// # Errors
    /// When it cannot be written whole; then nothing of it stays.
    pub fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let ended = if self.torn { self.file.write_all(b"\n") } else { Ok(()) };
        match ended.and_then(|()| self.file.write_all(line)) {
            Ok(()) => {
                self.length += line.len() as u64 + u64::from(self.torn);
                self.torn = false;
                Ok(())
            }
            Err(error) => {
                self.torn = self.file.set_len(self.length).is_err();
                Err(error)
            }
        }
    }
}

/// Whether a file is empty, begins with a recording of this version, or with a line that was broken
/// off.
fn holds_recordings(mut file: &File) -> io::Result<bool> {
    /// What every recording has.
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    file.seek(SeekFrom::Start(0))?;
    let mut line = Vec::new();
    BufReader::new(file.take(LOOKED_AT)).read_until(b'\n', &mut line)?;
    let whole = line.last() == Some(&b'\n');
    Ok(match serde_json::from_slice::<Versioned>(&line) {
        Ok(versioned) => versioned.version == VERSION,
        Err(_) => line.is_empty() || !whole && line.starts_with(br#"{"version":1,"#),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::{Library, LibraryError};

    const LINE: &str = "{\"version\":1}\n";

    #[test]
    fn lines_are_added_and_a_broken_one_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("calls.jsonl");
        let (mut library, broken) = Library::open(&path).unwrap();
        assert!(!broken);
        library.append(LINE.as_bytes()).unwrap();
        assert!(matches!(Library::open(&path), Err(LibraryError::InUse(_))));
        drop(library);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, format!("{LINE}{{\"version\":1,\"at")).unwrap();
        let (mut library, broken) = Library::open(&path).unwrap();
        assert!(broken);
        library.append(LINE.as_bytes()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{LINE}{{\"version\":1,\"at\n{LINE}"));
    }

    #[test]
    fn what_holds_something_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        for content in ["notes", "[package]\n", "{\"version\":2}\n", "{\"other\":1}\n", "\n"] {
            fs::write(&path, content).unwrap();
            assert!(matches!(Library::open(&path), Err(LibraryError::Foreign(_))), "{content}");
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        assert!(matches!(Library::open(folder.path()), Err(LibraryError::File(..))));
        fs::write(&path, "{\"version\":1,\"at").unwrap();
        assert!(Library::open(&path).unwrap().1);
    }
}
