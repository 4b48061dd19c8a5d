//! k6 in a container of its own, through Docker's API.
//!
//! Owns the life of the container: image, start, output, end, removal. What the container may do is
//! `docker/specification.rs`. Must not know runs or figures.

mod image;
mod output;
mod serving;
mod specification;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use bollard::errors::Error;
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, KillContainerOptionsBuilder,
    ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use bollard::{Docker, body_full};
use futures::StreamExt;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::image::Image;
pub(crate) use self::serving::{Serving, ServingContainer};
use self::specification::Host;
pub use self::specification::{Limits, Network};
use super::containers::{Containers, Ending, Output, Standing};
use super::{EngineError, Exit, K6, Launch, Say};

/// The engine's name.
pub const NAME: &str = "docker";

/// A daemon that is there answers within it.
const HELLO_DEADLINE: Duration = Duration::from_secs(2);
/// For every single call to the daemon.
const CALL_DEADLINE: Duration = Duration::from_secs(60);
/// Longest silence while an image is pulled.
const PULL_SILENCE: Duration = Duration::from_secs(60);
/// What the system says of a file that may not be opened.
const NOT_ALLOWED: &str = "Permission denied";
/// Where daemons listen by default: Docker itself; below the home folder Docker Desktop, Colima.
const SOCKET: &str = "/var/run/docker.sock";
const HOME_SOCKETS: [&str; 2] = [".docker/run/docker.sock", ".colima/default/docker.sock"];

/// Which daemon, which image.
#[derive(Clone, Debug)]
pub struct DockerSettings {
    /// `DOCKER_HOST`: `unix://…`, `tcp://…` or `npipe://…`; the usual sockets when absent.
    pub host: Option<String>,
    /// The user's home folder, below which some daemons have their socket.
    pub home: Option<PathBuf>,
    /// k6's image.
    pub image: String,
    /// The containers' network; `None` takes the host's own where its loopback is the host's.
    pub network: Option<Network>,
    /// What a container may use.
    pub limits: Limits,
}

/// A Docker daemon, spoken to directly.
#[derive(Clone, Debug)]
pub struct DockerDaemon {
    settings: DockerSettings,
}

impl DockerDaemon {
    /// The daemon and image of the settings.
    #[must_use]
    pub const fn new(settings: DockerSettings) -> Self {
        Self { settings }
    }

    fn host(&self) -> String {
        if let Some(host) = &self.settings.host {
            return host.clone();
        }
        let below_home = self.settings.home.iter().flat_map(|home| HOME_SOCKETS.map(|path| home.join(path)));
        let found = std::iter::once(PathBuf::from(SOCKET)).chain(below_home).find(|path| path.exists());
        format!("unix://{}", found.unwrap_or_else(|| SOCKET.into()).display())
    }

    /// A connection to a daemon that has answered.
    async fn connect(&self) -> Result<Docker, EngineError> {
        let host = self.host();
        let unreachable = |why: String| EngineError::Daemon(host.clone(), why);
        let docker = Docker::connect_with_host(&host)
            .map_err(|error| unreachable(error.to_string()))?
            .with_timeout(CALL_DEADLINE);
        timeout(HELLO_DEADLINE, docker.negotiate_version())
            .await
            .map_err(|_| unreachable(format!("silent for {} s", HELLO_DEADLINE.as_secs())))?
            .map_err(|error| unreachable(with_remedy(chain(&error))))
    }

    async fn pull(
        &self,
        docker: &Docker,
        say: Say<'_>,
        cancel: &CancellationToken,
    ) -> Result<(), EngineError> {
        let image = &self.settings.image;
        let failed = |why: String| EngineError::Image(image.clone(), why);
        say(format!("the image {image}, which is being pulled"));
        let options = CreateImageOptionsBuilder::new().from_image(image).build();
        let mut steps = docker.create_image(Some(options), None, None);
        loop {
            let step = tokio::select! {
                step = timeout(PULL_SILENCE, steps.next()) => step,
                () = cancel.cancelled() => return Err(EngineError::Cancelled),
            };
            match step {
                Ok(None) => return Ok(()),
                Ok(Some(Ok(step))) => {
                    let layer = step.progress_detail.unwrap_or_default();
                    if let (Some(done), Some(whole)) = (layer.current, layer.total) {
                        let megabytes = |bytes: i64| bytes / 1_000_000;
                        let (done, whole) = (megabytes(done), megabytes(whole));
                        say(format!(
                            "the image {image}, which is being pulled: {done} of {whole} MB of a layer"
                        ));
                    }
                }
                Ok(Some(Err(error))) => return Err(failed(chain(&error))),
                Err(_) => return Err(failed(format!("no progress for {} s", PULL_SILENCE.as_secs()))),
            }
        }
    }

    /// What a container of the image is made from: its digest or id, not a tag that may be moved.
    async fn pinned(&self, docker: &Docker) -> Result<String, EngineError> {
        let image = self.image(docker).await?.ok_or_else(|| {
            EngineError::Image(self.settings.image.clone(), "it was removed just now".to_owned())
        })?;
        Ok(image.pinned)
    }

    /// The image as it is here; `None` when it is not.
    async fn image(&self, docker: &Docker) -> Result<Option<Image>, EngineError> {
        let name = &self.settings.image;
        match docker.inspect_image(name).await {
            Ok(found) => {
                let id = found.id.unwrap_or_default();
                Ok(Some(Image::of(name, &id, &found.repo_digests.unwrap_or_default())))
            }
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(EngineError::Docker("inspect the image", chain(&error))),
        }
    }
}

#[async_trait]
impl Containers for DockerDaemon {
    async fn hello(&self) -> Result<(), EngineError> {
        self.connect().await.map(|_| ())
    }

    async fn prepare(&self, say: Say<'_>, cancel: &CancellationToken) -> Result<K6, EngineError> {
        let docker = self.connect().await?;
        let image = &self.settings.image;
        let found = match self.image(&docker).await? {
            Some(found) => found,
            None => {
                self.pull(&docker, say, cancel).await?;
                let found = self.image(&docker).await?;
                found.ok_or_else(|| EngineError::Image(image.clone(), "it is still not there".to_owned()))?
            }
        };
        let short = found.short();
        Ok(K6 {
            version: format!("{image} ({short})"),
            description: format!("the image {image} ({short}) of the Docker daemon at {}", self.host()),
        })
    }

    async fn start(&self, launch: &Launch) -> Result<(), EngineError> {
        let docker = self.connect().await?;
        let refused = |step: &'static str| move |error: Error| EngineError::Docker(step, chain(&error));
        let host = Host::of(&docker.info().await.map_err(refused("say what it has"))?);
        let image = self.pinned(&docker).await?;
        let body = specification::container(launch, &image, &self.settings, &host);
        let options =
            CreateContainerOptionsBuilder::new().name(&format!("bookstore-k6-{}", launch.run)).build();
        let created =
            docker.create_container(Some(options), body).await.map_err(refused("create the container"))?;
        let started = fill_and_start(&docker, &created.id, launch).await;
        if started.is_err() {
            remove(&docker, &created.id).await;
        }
        started
    }

    async fn follow(&self, run: Uuid, output: &mut dyn Output) -> Result<Exit, EngineError> {
        let docker = self.connect().await?;
        match of_run(&docker, run).await?.first() {
            Some(id) => output::follow(&docker, id, output).await,
            None => Err(EngineError::Lost("its container was removed by somebody else".to_owned())),
        }
    }

    async fn end(&self, run: Uuid, ending: Ending) -> Result<(), EngineError> {
        let docker = self.connect().await?;
        let signal = match ending {
            Ending::Interrupt => "SIGINT",
            Ending::Kill => "SIGKILL",
        };
        for id in of_run(&docker, run).await? {
            let options = KillContainerOptionsBuilder::new().signal(signal).build();
            match docker.kill_container(&id, Some(options)).await {
                // 409: it has ended by itself just now.
                Ok(()) | Err(Error::DockerResponseServerError { status_code: 404 | 409, .. }) => {}
                Err(error) => return Err(EngineError::Docker("signal the container", chain(&error))),
            }
        }
        Ok(())
    }

    async fn remove(&self, run: Uuid) -> Result<bool, EngineError> {
        let docker = self.connect().await?;
        let left = of_run(&docker, run).await?;
        for id in &left {
            remove(&docker, id).await;
        }
        Ok(!left.is_empty())
    }

    async fn standing(&self, run: Uuid) -> Result<Option<Standing>, EngineError> {
        let docker = self.connect().await?;
        let found = containers(&docker, labels(run)).await?;
        // A container's name holds the run's id, so there is no second one.
        Ok(found.first().map(|container| match container.state {
            Some(ContainerSummaryStateEnum::CREATED) => Standing::Made,
            _ => Standing::Started,
        }))
    }

    async fn list(&self) -> Result<Vec<Uuid>, EngineError> {
        let docker = self.connect().await?;
        let left = containers(&docker, vec![specification::ROLE.to_owned()]).await?;
        let runs = left
            .into_iter()
            .filter_map(|container| Uuid::parse_str(container.labels?.get(specification::LABEL_RUN)?).ok());
        Ok(runs.collect())
    }
}

/// What is said of a socket that only its group may open, with what to do about it.
fn with_remedy(why: String) -> String {
    if !why.contains(NOT_ALLOWED) {
        return why;
    }
    format!(
        "{why}: whoever runs this must be in the group of the socket, which compose takes from DOCKER_GID (`make env` writes it to .env)"
    )
}

/// A run's labels, as a filter has them.
fn labels(run: Uuid) -> Vec<String> {
    specification::labels(run).into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// Ids of a run's containers in any state.
async fn of_run(docker: &Docker, run: Uuid) -> Result<Vec<String>, EngineError> {
    let found = containers(docker, labels(run)).await?;
    Ok(found.into_iter().filter_map(|container| container.id).collect())
}

/// Containers in any state that have all of these labels.
async fn containers(docker: &Docker, labels: Vec<String>) -> Result<Vec<ContainerSummary>, EngineError> {
    let filters = HashMap::from([("label", labels)]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let listed = docker.list_containers(Some(options)).await;
    listed.map_err(|error| EngineError::Docker("list containers", chain(&error)))
}

/// Copies the scripts into a container and starts it.
async fn fill_and_start(docker: &Docker, id: &str, launch: &Launch) -> Result<(), EngineError> {
    let archive = specification::archive(&launch.scripts)
        .map_err(|error| EngineError::Docker("take the scripts", error.to_string()))?;
    let options = UploadToContainerOptionsBuilder::new().path(specification::SCRIPTS).build();
    docker
        .upload_to_container(id, Some(options), body_full(archive.into()))
        .await
        .map_err(|error| EngineError::Docker("take the scripts", chain(&error)))?;
    docker
        .start_container(id, None)
        .await
        .map_err(|error| EngineError::Docker("start the container", chain(&error)))
}

/// Removes a container and its volume, whatever state it is in.
async fn remove(docker: &Docker, id: &str) {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    match docker.remove_container(id, Some(options)).await {
        Ok(()) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => {}
        Err(error) => {
            tracing::warn!(error = %chain(&error), container = id, "a container is left; the next start removes it");
        }
    }
}

/// An error with what caused it: the client's own words are often only "client error".
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
