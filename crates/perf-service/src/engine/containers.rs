//! k6 in a container of its own: the port to what holds containers, and the engine upon it.
//!
//! Owns what is the same whether a Docker daemon is spoken to directly or through the gate: the
//! files that k6's output goes to, the one task that follows a container, its removal. Must not
//! know Docker's API or the gate's protocol.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::docker::NAME;
use super::{Engine, EngineError, Exit, K6, Launch, Process, Say, exit_record};
use crate::ledger::Artifact;

/// How a container is told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// k6 stops and writes its summary.
    Interrupt,
    /// At once.
    Kill,
}

/// What there is of a run's container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was made and never started.
    Made,
    /// It was started; it may have ended.
    Started,
}

/// Which of a container's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output: samples.
    Samples,
    /// Standard error: k6's log.
    Log,
}

/// Bytes of each output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Of the samples.
    pub samples: u64,
    /// Of the log.
    pub log: u64,
}

impl Extent {
    /// The one of a stream.
    pub const fn of(&mut self, stream: Stream) -> &mut u64 {
        match stream {
            Stream::Samples => &mut self.samples,
            Stream::Log => &mut self.log,
        }
    }
}

/// Where a container's output goes.
#[async_trait]
pub trait Output: Send {
    /// How much of it has been taken.
    fn taken(&self) -> Extent;

    /// Takes the next piece of a stream.
    async fn take(&mut self, stream: Stream, piece: Bytes) -> Result<(), EngineError>;

    /// Called when there is nothing more at the moment.
    async fn flush(&mut self) -> Result<(), EngineError>;
}

/// What holds k6's containers, which are known by the run that they are for.
#[async_trait]
pub trait Containers: Send + Sync {
    /// Whether they can be asked, within seconds.
    async fn hello(&self) -> Result<(), EngineError>;

    /// Makes sure that the image is there, and says which it is.
    async fn prepare(&self, say: Say<'_>, cancel: &CancellationToken) -> Result<K6, EngineError>;

    /// Makes a container and starts it. Nothing is left of one that did not start.
    async fn start(&self, launch: &Launch) -> Result<(), EngineError>;

    /// Hands over the output that was not taken yet until the container has ended, over
    /// interruptions, and says how it ended. It stays until it is removed.
    async fn follow(&self, run: Uuid, output: &mut dyn Output) -> Result<Exit, EngineError>;

    /// Ends a container; one that is gone is no error.
    async fn end(&self, run: Uuid, ending: Ending) -> Result<(), EngineError>;

    /// Removes a run's containers with all they hold, whatever state they are in; whether there
    /// were any.
    async fn remove(&self, run: Uuid) -> Result<bool, EngineError>;

    /// What there is of a run's container, if anything.
    async fn standing(&self, run: Uuid) -> Result<Option<Standing>, EngineError>;

    /// The runs that have a container in any state.
    async fn list(&self) -> Result<Vec<Uuid>, EngineError>;
}

/// Starts k6 as a container.
#[derive(Clone)]
pub struct ContainerEngine {
    containers: Arc<dyn Containers>,
}

impl ContainerEngine {
    /// An engine on these containers.
    #[must_use]
    pub fn new(containers: Arc<dyn Containers>) -> Self {
        Self { containers }
    }

    /// The container of a run, followed from its output's beginning: all of it is kept until the
    /// container is removed.
    fn followed(&self, run: Uuid, folder: &Path, mut files: Files) -> Box<dyn Process> {
        let mut watch = JoinSet::new();
        let containers = Arc::clone(&self.containers);
        watch.spawn(async move {
            let exit = containers.follow(run, &mut files).await;
            files.flush().await?;
            exit
        });
        let containers = Arc::clone(&self.containers);
        Box::new(ContainerProcess { containers, run, folder: folder.to_owned(), watch })
    }
}

#[async_trait]
impl Engine for ContainerEngine {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn prepare(&self, say: Say<'_>, cancel: &CancellationToken) -> Result<K6, EngineError> {
        self.containers.prepare(say, cancel).await
    }

    async fn start(&self, launch: &Launch) -> Result<Box<dyn Process>, EngineError> {
        // What an attempt before this one left would be taken for ours.
        exit_record::remove(&launch.folder)?;
        // Before the container: without files there is no use in it.
        let files = Files::create(&launch.folder).await?;
        self.containers.start(launch).await?;
        Ok(self.followed(launch.run, &launch.folder, files))
    }

    async fn adopt(&self, run: Uuid, folder: &Path) -> Result<Option<Box<dyn Process>>, EngineError> {
        if let Some(exit) = exit_record::read(folder)? {
            // All that it wrote was taken before; at most it was not removed.
            self.containers.remove(run).await?;
            return Ok(Some(Box::new(Ended(exit))));
        }
        match self.containers.standing(run).await? {
            None => Ok(None),
            Some(Standing::Made) => {
                self.containers.remove(run).await?;
                Ok(None)
            }
            Some(Standing::Started) => Ok(Some(self.followed(run, folder, Files::create(folder).await?))),
        }
    }

    async fn reap(&self, run: Uuid, _folder: &Path) -> Result<bool, EngineError> {
        self.containers.remove(run).await
    }

    async fn left(&self) -> Result<Vec<Uuid>, EngineError> {
        self.containers.list().await
    }
}

/// A container at work.
struct ContainerProcess {
    containers: Arc<dyn Containers>,
    run: Uuid,
    /// The run's folder.
    folder: PathBuf,
    /// The one task that copies its output and waits for its end.
    watch: JoinSet<Result<Exit, EngineError>>,
}

#[async_trait]
impl Process for ContainerProcess {
    async fn ended(&mut self) -> Result<Exit, EngineError> {
        let exit = match self.watch.join_next().await {
            Some(Ok(exit)) => exit,
            Some(Err(error)) => Err(EngineError::Lost(error.to_string())),
            None => Err(EngineError::Lost("its end was told before".to_owned())),
        };
        if let Ok(exit) = &exit
            && let Err(error) = exit_record::write(&self.folder, *exit)
        {
            // It matters only to whoever takes over from us in the next moment.
            tracing::warn!(%error, kind = error.kind(), "how k6 ended could not be written down");
        }
        if let Err(error) = self.containers.remove(self.run).await {
            tracing::warn!(%error, kind = error.kind(), run = %self.run, "a container is left; the next start removes it");
        }
        exit
    }

    async fn interrupt(&mut self) -> Result<(), EngineError> {
        self.containers.end(self.run, Ending::Interrupt).await
    }

    async fn kill(&mut self) -> Result<(), EngineError> {
        self.containers.end(self.run, Ending::Kill).await
    }
}

/// A container that ended and was removed.
struct Ended(Exit);

#[async_trait]
impl Process for Ended {
    async fn ended(&mut self) -> Result<Exit, EngineError> {
        Ok(self.0)
    }

    async fn interrupt(&mut self) -> Result<(), EngineError> {
        Ok(())
    }

    async fn kill(&mut self) -> Result<(), EngineError> {
        Ok(())
    }
}

/// The files in a run's folder that output goes to.
struct Files {
    samples: (PathBuf, File),
    log: (PathBuf, File),
    taken: Extent,
}

impl Files {
    /// Makes them, empty.
    async fn create(folder: &Path) -> Result<Self, EngineError> {
        let create = async |artifact: Artifact| {
            let path = folder.join(artifact.file_name());
            match File::create(&path).await {
                Ok(file) => Ok((path, file)),
                Err(error) => Err(EngineError::File(path, error)),
            }
        };
        let (samples, log) = (create(Artifact::Samples).await?, create(Artifact::Log).await?);
        Ok(Self { samples, log, taken: Extent::default() })
    }
}

#[async_trait]
impl Output for Files {
    fn taken(&self) -> Extent {
        self.taken
    }

    async fn take(&mut self, stream: Stream, piece: Bytes) -> Result<(), EngineError> {
        let (path, file) = match stream {
            Stream::Samples => &mut self.samples,
            Stream::Log => &mut self.log,
        };
        file.write_all(&piece).await.map_err(|error| EngineError::File(path.clone(), error))?;
        *self.taken.of(stream) += piece.len() as u64;
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), EngineError> {
        for (path, file) in [&mut self.samples, &mut self.log] {
            file.flush().await.map_err(|error| EngineError::File(path.clone(), error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Extent, Files, Output, Stream};

    #[tokio::test]
    async fn output_goes_to_the_runs_folder() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Files::create(folder.path()).await.unwrap();
        for (stream, piece) in
            [(Stream::Samples, "first "), (Stream::Log, "a log"), (Stream::Samples, "second")]
        {
            files.take(stream, Bytes::from(piece)).await.unwrap();
        }
        files.flush().await.unwrap();
        assert_eq!(files.taken(), Extent { samples: 12, log: 5 });
        let text = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!((text("samples.ndjson"), text("k6.log")), ("first second".into(), "a log".into()));
        let missing = Files::create(&folder.path().join("missing")).await.err().unwrap();
        assert_eq!(missing.kind(), "file");
    }
}
