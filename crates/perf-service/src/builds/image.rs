//! A build that is an image: a container of a Docker daemon, with a copy of the state.

use tokio_util::sync::CancellationToken;

use super::Build;
use crate::engine::containers::Containers;
use crate::engine::docker::{DockerDaemon, DockerSettings, Serving, ServingContainer};

/// An image and the daemon that has it.
pub(super) struct ImageBuild {
    daemon: DockerDaemon,
}

/// A container at work.
pub(super) struct Running(ServingContainer);

impl ImageBuild {
    pub(super) fn new(reference: &str, settings: &DockerSettings) -> Result<Self, String> {
        if reference.is_empty() || reference.starts_with('-') || reference.chars().any(char::is_whitespace) {
            return Err(
                "an image is written image:REFERENCE, such as image:ghcr.io/owner/name:1.2".to_owned()
            );
        }
        let settings = DockerSettings { image: reference.to_owned(), ..settings.clone() };
        Ok(Self { daemon: DockerDaemon::new(settings) })
    }

    /// Pulls it where it is missing, and says which it is.
    pub(super) async fn prepare(
        &self,
        say: &(dyn Fn(String) + Send + Sync),
        cancel: &CancellationToken,
    ) -> Result<String, String> {
        let image = self.daemon.prepare(say, cancel).await.map_err(|error| error.to_string())?;
        if !self.daemon.shares_loopback().await.map_err(|error| error.to_string())? {
            return Err("images are compared in the host's network, which a Docker Desktop does not share: \
                        compare binaries here, or configured targets"
                .to_owned());
        }
        Ok(format!("{}{}", super::IMAGE, image.version))
    }

    /// Starts a container from a copy of the state.
    pub(super) async fn start(&self, build: &Build) -> Result<Running, String> {
        // Containers that a killed comparison of this data folder left.
        for left in build.workspace.abandoned() {
            self.daemon.remove_of(left.id).await.map_err(|error| error.to_string())?;
            left.remove();
        }
        build.workspace.will_have_containers().map_err(|error| error.to_string())?;
        let own = [("BIND_ADDRESS", "127.0.0.1".to_owned()), ("HTTP_PORT", build.port.to_string())];
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
        let serving = Serving {
            owner: build.workspace.id(),
            variables: build.told().chain(own).collect(),
            from: build.from.clone(),
        };
        self.daemon.serve(&serving).await.map(Running).map_err(|error| error.to_string())
    }
}

impl Running {
    /// How it ended, if it has.
    pub(super) async fn ended(&self) -> Result<Option<String>, String> {
        self.0.ended().await.map_err(|error| error.to_string())
    }

    /// The end of what it logged.
    pub(super) async fn log(&self) -> String {
        self.0.log().await
    }

    /// Kills and removes it with its data.
    pub(super) async fn end(self) {
        self.0.end().await;
    }
}
