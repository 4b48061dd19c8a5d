//! What a crash of a local k6 was: where a container's daemon says that memory ran out, a process
//! only leaves a code and its last words.
//!
//! Owns the words of Go's runtime, in which k6 is written. Must not know processes.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::engine::Exit;
use crate::ledger::Artifact;

/// What Go's runtime exits with after a fatal error
/// (<https://pkg.go.dev/runtime#hdr-Environment_Variables>, GOTRACEBACK).
const FATAL: i32 = 2;
/// How it says that the system gave it no memory
/// (<https://github.com/golang/go/blob/go1.24.4/src/runtime/mem_linux.go>).
const NO_MEMORY: [&[u8]; 2] =
    [b"fatal error: runtime: out of memory", b"fatal error: runtime: cannot allocate memory"];
/// Last bytes of the log that are looked at: it goes on with every goroutine's stack.
const LOOKED_AT: u64 = 4 << 20;

/// The exit of a k6 whose log is in this folder.
pub(super) fn seen_in_log(exit: Exit, folder: &Path) -> Exit {
    if exit != Exit::Code(FATAL) {
        return exit;
    }
    // A log that cannot be read says nothing; the code is told.
    let end = end(&folder.join(Artifact::Log.file_name())).unwrap_or_default();
    let said = NO_MEMORY.iter().any(|words| end.windows(words.len()).any(|window| window == *words));
    if said { Exit::OutOfMemory } else { exit }
}

fn end(log: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(log)?;
    let from = file.metadata()?.len().saturating_sub(LOOKED_AT);
    file.seek(SeekFrom::Start(from))?;
    let mut end = Vec::new();
    file.take(LOOKED_AT).read_to_end(&mut end)?;
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::seen_in_log;
    use crate::engine::Exit;

    #[test]
    fn want_of_memory_is_told_from_other_crashes() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(seen_in_log(Exit::Code(2), folder.path()), Exit::Code(2));
        let log = format!("{{}}\nfatal error: runtime: out of memory\n{}", "goroutine 1\n".repeat(100_000));
        std::fs::write(folder.path().join("k6.log"), log).unwrap();
        assert_eq!(seen_in_log(Exit::Code(2), folder.path()), Exit::OutOfMemory);
        assert_eq!(seen_in_log(Exit::Code(99), folder.path()), Exit::Code(99));
        std::fs::write(folder.path().join("k6.log"), "panic: boom").unwrap();
        assert_eq!(seen_in_log(Exit::Code(2), folder.path()), Exit::Code(2));
    }
}
