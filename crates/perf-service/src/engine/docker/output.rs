//! A container's output, handed over until its end.
//!
//! Owns following the log streams over interruptions: the daemon keeps the whole output, so a
//! broken stream is asked for again and what was taken already skipped.

use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::query_parameters::{InspectContainerOptions, LogsOptionsBuilder};
use bytes::Bytes;
use futures::StreamExt;
use tokio::time::sleep;

use super::chain;
use crate::engine::containers::{Extent, Output, Stream};
use crate::engine::{EngineError, Exit};

/// Pause before the daemon is asked again.
const PAUSE: Duration = Duration::from_millis(200);
/// Failures in a row after which a daemon counts as gone: half a minute.
const MOST_FAILURES: u32 = 150;
/// Pieces of output taken at once.
const BATCH: usize = 1024;

/// Hands over a container's output until it has ended, and says how it ended.
pub(super) async fn follow(docker: &Docker, id: &str, output: &mut dyn Output) -> Result<Exit, EngineError> {
    let (mut failures, mut missed) = (0, false);
    loop {
        // The stream ends when the container does; or when something broke on the way, and then
        // there may be more.
        let (whole, there) = copy_once(docker, id, output).await?;
        match docker.inspect_container(id, None::<InspectContainerOptions>).await {
            Ok(container) => {
                failures = if whole { 0 } else { failures + 1 };
                let state = container.state.unwrap_or_default();
                if state.running != Some(true) && (whole || failures > MOST_FAILURES) {
                    match nothing_missing(there, output.taken()) {
                        // Once may be a daemon that was just stopping.
                        Err(_) if whole && !missed => {
                            missed = true;
                            continue;
                        }
                        Err(error) if whole => return Err(error),
                        Ok(()) | Err(_) => {}
                    }
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

/// The daemon keeps the whole output, so there is at least what was taken of it before. Where there is
/// less, what came after it is not known to follow.
fn nothing_missing(there: Extent, taken: Extent) -> Result<(), EngineError> {
    if there.samples >= taken.samples && there.log >= taken.log {
        return Ok(());
    }
    Err(EngineError::Lost(format!(
        "Docker threw away a part of the container's output: {} and {} bytes are there, {} and {} were; its json-file logs must not be cut while k6 runs. Start the run again",
        there.samples, there.log, taken.samples, taken.log
    )))
}

/// Hands over what there is; whether the stream came to its own end, and how much there was.
async fn copy_once(
    docker: &Docker,
    id: &str,
    output: &mut dyn Output,
) -> Result<(bool, Extent), EngineError> {
    let mut whole = true;
    let mut seen = Extent::default();
    let options = LogsOptionsBuilder::new().follow(true).stdout(true).stderr(true).build();
    let mut pieces = docker.logs(id, Some(options)).ready_chunks(BATCH);
    while let Some(batch) = pieces.next().await {
        for piece in batch {
            match piece {
                Ok(piece) => push(output, &mut seen, piece).await?,
                Err(error) => {
                    whole = false;
                    tracing::debug!(error = %chain(&error), "a log stream broke");
                }
            }
        }
        output.flush().await?;
    }
    Ok((whole, seen))
}

/// Hands over what is new of a piece; `seen` says where in the streams it stands.
async fn push(output: &mut dyn Output, seen: &mut Extent, piece: LogOutput) -> Result<(), EngineError> {
    let (stream, piece): (Stream, Bytes) = match piece {
        LogOutput::StdErr { message } => (Stream::Log, message),
        LogOutput::StdOut { message } | LogOutput::StdIn { message } | LogOutput::Console { message } => {
            (Stream::Samples, message)
        }
    };
    let known = output.taken().of(stream).saturating_sub(*seen.of(stream));
    *seen.of(stream) += piece.len() as u64;
    match usize::try_from(known) {
        Ok(known) if known < piece.len() => output.take(stream, piece.slice(known..)).await,
        Ok(_) | Err(_) => Ok(()),
    }
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
    use async_trait::async_trait;
    use bollard::container::LogOutput;
    use bytes::Bytes;

    use super::{exit, nothing_missing, push};
    use crate::engine::containers::{Extent, Output, Stream};
    use crate::engine::{EngineError, Exit};

    #[derive(Default)]
    struct Kept {
        extent: Extent,
        text: String,
    }

    #[async_trait]
    impl Output for Kept {
        fn taken(&self) -> Extent {
            self.extent
        }
        async fn take(&mut self, stream: Stream, piece: Bytes) -> Result<(), EngineError> {
            *self.extent.of(stream) += piece.len() as u64;
            self.text.push_str(std::str::from_utf8(&piece).unwrap());
            Ok(())
        }
        async fn flush(&mut self) -> Result<(), EngineError> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_stream_that_begins_anew_is_not_handed_over_twice() {
        let mut kept = Kept::default();
        // Cut differently the second time.
        for pieces in [&["first ", "sec"][..], &["fi", "rst s", "econd", "", " third"]] {
            let mut seen = Extent::default();
            for piece in pieces {
                push(&mut kept, &mut seen, LogOutput::StdOut { message: Bytes::from(*piece) }).await.unwrap();
            }
        }
        assert_eq!(kept.text, "first second third");
        assert_eq!(kept.extent, Extent { samples: 18, log: 0 });
        push(&mut kept, &mut Extent::default(), LogOutput::StdErr { message: Bytes::from("!") })
            .await
            .unwrap();
        assert_eq!((kept.text.as_str(), kept.extent.log), ("first second third!", 1));
    }

    #[test]
    fn output_that_was_thrown_away_is_told() {
        let extent = |samples, log| Extent { samples, log };
        for (there, taken, told) in [
            (extent(5, 5), extent(5, 5), false),
            (extent(4, 5), extent(5, 5), true),
            (extent(9, 4), extent(5, 5), true),
        ] {
            let error = nothing_missing(there, taken).err();
            assert_eq!(error.is_some(), told);
            assert!(error.is_none_or(|error| error.to_string().contains("threw away")));
        }
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
