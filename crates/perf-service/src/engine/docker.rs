//! k6 in a container of its own, through Docker's API.
//!
//! Owns the life of the container: image, start, output, end, removal. What the container may do is
//! `docker/specification.rs`. Must not know runs or figures.

mod output;
mod specification;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
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
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use self::specification::Network;
use super::{Engine, EngineError, Exit, K6, Launch, Process, Say, exit_record};

/// The engine's name.
pub const NAME: &str = "docker";

/// A daemon that is there answers within it.
const HELLO_DEADLINE: Duration = Duration::from_secs(2);
/// For every single call to the daemon.
const CALL_DEADLINE: Duration = Duration::from_secs(60);
/// Longest silence while an image is pulled.
const PULL_SILENCE: Duration = Duration::from_secs(60);
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
    /// The containers' network.
    pub network: Network,
}

/// Starts k6 as a container.
#[derive(Clone, Debug)]
pub struct DockerEngine {
    settings: DockerSettings,
}

impl DockerEngine {
    /// An engine for the daemon and image of the settings.
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
            .map_err(|error| unreachable(chain(&error)))
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

    /// What an image is, beside its name; `None` when it is not there.
    async fn image_id(&self, docker: &Docker) -> Result<Option<String>, EngineError> {
        match docker.inspect_image(&self.settings.image).await {
            Ok(image) => Ok(Some(image.id.unwrap_or_default())),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(EngineError::Docker("inspect the image", chain(&error))),
        }
    }

    async fn fill_and_start(&self, docker: &Docker, id: &str, launch: &Launch) -> Result<(), EngineError> {
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
}

#[async_trait]
impl Engine for DockerEngine {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn prepare(&self, say: Say<'_>, cancel: &CancellationToken) -> Result<K6, EngineError> {
        let docker = self.connect().await?;
        let image = &self.settings.image;
        let id = match self.image_id(&docker).await? {
            Some(id) => id,
            None => {
                self.pull(&docker, say, cancel).await?;
                let id = self.image_id(&docker).await?;
                id.ok_or_else(|| EngineError::Image(image.clone(), "it is still not there".to_owned()))?
            }
        };
        let short = id.strip_prefix("sha256:").and_then(|digits| digits.get(..12)).unwrap_or(&id);
        Ok(K6 {
            version: format!("{image} ({short})"),
            description: format!("the image {image} ({short}) of the Docker daemon at {}", self.host()),
        })
    }

    async fn start(&self, launch: &Launch) -> Result<Box<dyn Process>, EngineError> {
        // What an attempt before this one left would be taken for ours.
        exit_record::remove(&launch.folder)?;
        let docker = self.connect().await?;
        let refused = |step: &'static str| move |error: Error| EngineError::Docker(step, chain(&error));
        let processors = docker.info().await.map_err(refused("say what it has"))?.ncpu.unwrap_or(1);
        let body = specification::container(launch, &self.settings.image, &self.settings.network, processors);
        let options =
            CreateContainerOptionsBuilder::new().name(&format!("bookstore-k6-{}", launch.run)).build();
        let created =
            docker.create_container(Some(options), body).await.map_err(refused("create the container"))?;
        let files = match output::Files::create(&launch.folder).await {
            Ok(files) => self.fill_and_start(&docker, &created.id, launch).await.map(|()| files),
            Err(error) => Err(error),
        };
        match files {
            Ok(files) => Ok(Box::new(DockerProcess::watching(docker, created.id, files, &launch.folder))),
            Err(error) => {
                remove(&docker, &created.id).await;
                Err(error)
            }
        }
    }

    async fn adopt(&self, run: Uuid, folder: &Path) -> Result<Option<Box<dyn Process>>, EngineError> {
        let docker = self.connect().await?;
        let mut left = of_run(&docker, run).await?;
        if let Some(exit) = exit_record::read(folder)? {
            // All that it wrote was taken before; at most it was not removed.
            for id in left.iter().filter_map(|container| container.id.as_deref()) {
                remove(&docker, id).await;
            }
            return Ok(Some(Box::new(Ended(exit))));
        }
        // Its name holds the run's id, so there is no second one.
        let Some(container) = left.pop() else { return Ok(None) };
        let id = container.id.unwrap_or_default();
        if container.state == Some(ContainerSummaryStateEnum::CREATED) {
            remove(&docker, &id).await;
            return Ok(None);
        }
        // The daemon keeps the whole output: it is taken again from its beginning.
        let files = output::Files::create(folder).await?;
        Ok(Some(Box::new(DockerProcess::watching(docker, id, files, folder))))
    }

    async fn reap(&self, run: Uuid, _folder: &Path) -> Result<bool, EngineError> {
        let docker = self.connect().await?;
        let left = of_run(&docker, run).await?;
        for id in left.iter().filter_map(|container| container.id.as_deref()) {
            remove(&docker, id).await;
        }
        Ok(!left.is_empty())
    }

    async fn left(&self) -> Result<Vec<Uuid>, EngineError> {
        let docker = self.connect().await?;
        let left = containers(&docker, vec![specification::ROLE.to_owned()]).await?;
        let runs = left
            .into_iter()
            .filter_map(|container| Uuid::parse_str(container.labels?.get(specification::LABEL_RUN)?).ok());
        Ok(runs.collect())
    }
}

/// The containers of a run, in any state.
async fn of_run(docker: &Docker, run: Uuid) -> Result<Vec<ContainerSummary>, EngineError> {
    let labels = specification::labels(run).into_iter().map(|(name, value)| format!("{name}={value}"));
    containers(docker, labels.collect()).await
}

/// Containers in any state that have all of these labels.
async fn containers(docker: &Docker, labels: Vec<String>) -> Result<Vec<ContainerSummary>, EngineError> {
    let filters = HashMap::from([("label", labels)]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let listed = docker.list_containers(Some(options)).await;
    listed.map_err(|error| EngineError::Docker("list containers", chain(&error)))
}

/// A container.
struct DockerProcess {
    docker: Docker,
    id: String,
    /// The run's folder.
    folder: PathBuf,
    /// The one task that copies its output and waits for its end.
    watch: JoinSet<Result<Exit, EngineError>>,
}

impl DockerProcess {
    fn watching(docker: Docker, id: String, files: output::Files, folder: &Path) -> Self {
        let mut watch = JoinSet::new();
        watch.spawn(output::watch(docker.clone(), id.clone(), files));
        Self { docker, id, folder: folder.to_owned(), watch }
    }

    async fn signal(&self, signal: &str) {
        let options = KillContainerOptionsBuilder::new().signal(signal).build();
        match self.docker.kill_container(&self.id, Some(options)).await {
            // 409: it has ended by itself just now.
            Ok(()) | Err(Error::DockerResponseServerError { status_code: 404 | 409, .. }) => {}
            Err(error) => {
                tracing::warn!(error = %chain(&error), signal, "the container could not be signalled");
            }
        }
    }
}

#[async_trait]
impl Process for DockerProcess {
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
        remove(&self.docker, &self.id).await;
        exit
    }

    async fn interrupt(&mut self) {
        self.signal("SIGINT").await;
    }

    async fn kill(&mut self) {
        self.signal("SIGKILL").await;
    }
}

/// A container that ended and was removed.
struct Ended(Exit);

#[async_trait]
impl Process for Ended {
    async fn ended(&mut self) -> Result<Exit, EngineError> {
        Ok(self.0)
    }

    async fn interrupt(&mut self) {}

    async fn kill(&mut self) {}
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
