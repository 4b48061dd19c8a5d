//! A container's output, copied into the run's folder, and its end.
//!
//! Owns following the log streams over interruptions: the daemon keeps the whole output, so a
//! broken stream is asked for again and what is known already skipped.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::query_parameters::{InspectContainerOptions, LogsOptionsBuilder};
use bytes::Bytes;
use futures::StreamExt;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use super::chain;
use crate::engine::{EngineError, Exit};
use crate::ledger::Artifact;

/// Pause before the daemon is asked again.
const PAUSE: Duration = Duration::from_millis(200);
/// Failures in a row after which a daemon counts as gone: half a minute.
const MOST_FAILURES: u32 = 150;
/// Pieces of output written at once.
const BATCH: usize = 1024;

/// A file that grows with a stream, which may begin anew.
struct Copy {
    path: PathBuf,
    file: File,
    written: u64,
    /// How far the stream is, counted anew each time it begins.
    seen: u64,
}

impl Copy {
    async fn create(path: PathBuf) -> Result<Self, EngineError> {
        match File::create(&path).await {
            Ok(file) => Ok(Self { path, file, written: 0, seen: 0 }),
            Err(error) => Err(EngineError::File(path, error)),
        }
    }

    async fn push(&mut self, piece: &Bytes) -> Result<(), EngineError> {
        let known = self.written.saturating_sub(self.seen);
        self.seen += piece.len() as u64;
        let new = usize::try_from(known).ok().and_then(|known| piece.get(known..)).unwrap_or_default();
        if new.is_empty() {
            return Ok(());
        }
        self.file.write_all(new).await.map_err(|error| EngineError::File(self.path.clone(), error))?;
        self.written += new.len() as u64;
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), EngineError> {
        self.file.flush().await.map_err(|error| EngineError::File(self.path.clone(), error))
    }
}

/// The files that the output goes to.
pub(super) struct Files {
    samples: Copy,
    log: Copy,
}

impl Files {
    /// Makes them, empty.
    pub(super) async fn create(folder: &Path) -> Result<Self, EngineError> {
        Ok(Self {
            samples: Copy::create(folder.join(Artifact::Samples.file_name())).await?,
            log: Copy::create(folder.join(Artifact::Log.file_name())).await?,
        })
    }

    async fn push(&mut self, output: LogOutput) -> Result<(), EngineError> {
        match output {
            LogOutput::StdErr { message } => self.log.push(&message).await,
            LogOutput::StdOut { message } | LogOutput::StdIn { message } | LogOutput::Console { message } => {
                self.samples.push(&message).await
            }
        }
    }
}

/// Copies a container's output until it has ended, and says how it ended.
pub(super) async fn watch(docker: Docker, id: String, mut files: Files) -> Result<Exit, EngineError> {
    let mut failures = 0;
    loop {
        // The stream ends when the container does; or when something broke on the way, and then
        // there may be more.
        let whole = copy_once(&docker, &id, &mut files).await?;
        match docker.inspect_container(&id, None::<InspectContainerOptions>).await {
            Ok(container) => {
                failures = if whole { 0 } else { failures + 1 };
                let state = container.state.unwrap_or_default();
                if state.running != Some(true) && (whole || failures > MOST_FAILURES) {
                    return Ok(exit(state.exit_code.unwrap_or(-1), state.oom_killed == Some(true)));
                }
            }
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => {
                return Err(EngineError::Lost("its container was removed by somebody else".to_owned()));
            }
            Err(error) => {
                failures += 1;
                if failures > MOST_FAILURES {
                    return Err(EngineError::Lost(format!("Docker no longer answers: {}", chain(&error))));
                }
            }
        }
        sleep(PAUSE).await;
    }
}

/// Copies what there is; whether the stream came to its own end.
async fn copy_once(docker: &Docker, id: &str, files: &mut Files) -> Result<bool, EngineError> {
    let mut whole = true;
    files.samples.seen = 0;
    files.log.seen = 0;
    let options = LogsOptionsBuilder::new().follow(true).stdout(true).stderr(true).build();
    let mut output = docker.logs(id, Some(options)).ready_chunks(BATCH);
    while let Some(batch) = output.next().await {
        for piece in batch {
            match piece {
                Ok(piece) => files.push(piece).await?,
                Err(error) => {
                    whole = false;
                    tracing::debug!(error = %chain(&error), "a log stream broke");
                }
            }
        }
        files.samples.flush().await?;
        files.log.flush().await?;
    }
    Ok(whole)
}

/// A shell's convention, which Docker keeps: 128 and the signal.
fn exit(code: i64, out_of_memory: bool) -> Exit {
    match i32::try_from(code) {
        _ if out_of_memory => Exit::OutOfMemory,
        Ok(code @ 129..=160) => Exit::Killed(code - 128),
        Ok(code) => Exit::Code(code),
        Err(_) => Exit::Code(-1),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Copy, exit};
    use crate::engine::Exit;

    #[tokio::test]
    async fn a_stream_that_begins_anew_is_not_written_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("samples");
        let mut copy = Copy::create(path.clone()).await.unwrap();
        for piece in ["first ", "sec"] {
            copy.push(&Bytes::from(piece)).await.unwrap();
        }
        // Cut differently the second time.
        copy.seen = 0;
        for piece in ["fi", "rst s", "econd", "", " third"] {
            copy.push(&Bytes::from(piece)).await.unwrap();
        }
        copy.flush().await.unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "first second third");
    }

    #[test]
    fn exits_are_told_apart() {
        for (code, out_of_memory, wanted) in [
            (0, false, Exit::Code(0)),
            (99, false, Exit::Code(99)),
            (137, false, Exit::Killed(9)),
            (137, true, Exit::OutOfMemory),
            (i64::MAX, false, Exit::Code(-1)),
        ] {
            assert_eq!(exit(code, out_of_memory), wanted);
        }
    }
}
