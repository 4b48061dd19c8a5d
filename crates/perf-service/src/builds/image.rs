//! A build that is an image: a container in the host's network, with a copy of the state in a volume of
//! its own.
//!
//! Only the command line starts one, through the Docker daemon that its user has; no request does.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, LogsOptionsBuilder,
    UploadToContainerOptionsBuilder,
};
use bollard::{Docker, body_try_stream};
use futures::StreamExt;
use tokio_util::io::{ReaderStream, SyncIoBridge};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Build;
use crate::engine::containers::Containers;
use crate::engine::docker::{self, DockerDaemon, DockerSettings};

/// Where the volume is mounted, and the data folder in it.
const STATE: &str = "/state";
const DATA: &str = "data";
/// Names the workspace that a container belongs to.
const LABEL: &str = "bookstore.build";
/// Processes and threads.
const PROCESSES: i64 = 1_024;
/// Bytes of the state that are on their way.
const PIECE: usize = 256 << 10;
/// Of the log that is read.
const LINES: &str = "20";

/// An image and the daemon that has it.
pub(super) struct ImageBuild {
    daemon: DockerDaemon,
}

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
        let docker = self.daemon.connect().await.map_err(|error| error.to_string())?;
        let shared = docker::shares_loopback(&docker).await.map_err(|error| error.to_string())?;
        if !shared {
            return Err("images are compared in the host's network, which a Docker Desktop does not share: \
                        compare binaries here, or configured targets"
                .to_owned());
        }
        Ok(format!("{IMAGE}{}", image.version, IMAGE = super::IMAGE))
    }

    /// Starts a container from a copy of the state.
    pub(super) async fn start(&self, build: &Build) -> Result<Running, String> {
        let docker = self.daemon.connect().await.map_err(|error| error.to_string())?;
        remove_abandoned(&docker, build).await?;
        build.workspace.will_have_containers().map_err(|error| error.to_string())?;
        let image = self.daemon.pinned(&docker).await.map_err(|error| error.to_string())?;
        let name = format!("bookstore-build-{}", Uuid::now_v7());
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let created = docker.create_container(Some(options), container(build, image)).await;
        let id = created.map_err(|error| docker::chain(&error))?.id;
        let running = Running { docker, id };
        match running.fill_and_start(build.from.as_deref()).await {
            Ok(()) => Ok(running),
            Err(why) => {
                running.end().await;
                Err(why)
            }
        }
    }
}

/// The same hardening as k6's own container. Neither memory nor processors are bounded: bounds that are hit
/// would be what is measured.
fn container(build: &Build, image: String) -> ContainerCreateBody {
    let own = [
        ("BIND_ADDRESS", "127.0.0.1".to_owned()),
        ("HTTP_PORT", build.port.to_string()),
        ("DATA_DIR", format!("{STATE}/{DATA}")),
    ];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
    let variables = build.told().chain(own).map(|(name, value)| format!("{name}={value}"));
    ContainerCreateBody {
        image: Some(image),
        env: Some(variables.collect()),
        labels: Some(HashMap::from([(LABEL.to_owned(), build.workspace.id().to_string())])),
        // Without a name it is an anonymous volume, removed with the container.
        volumes: Some(vec![STATE.to_owned()]),
        host_config: Some(HostConfig {
            network_mode: Some("host".to_owned()),
            readonly_rootfs: Some(true),
            tmpfs: Some(HashMap::from([("/tmp".to_owned(), "rw,noexec,nosuid,nodev,size=64m".to_owned())])),
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            privileged: Some(false),
            pids_limit: Some(PROCESSES),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

/// Containers that a killed comparison of this data folder left.
async fn remove_abandoned(docker: &Docker, build: &Build) -> Result<(), String> {
    for left in build.workspace.abandoned() {
        let filters = HashMap::from([("label", vec![format!("{LABEL}={}", left.id)])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let found = docker.list_containers(Some(options)).await.map_err(|error| docker::chain(&error))?;
        for id in found.into_iter().filter_map(|container| container.id) {
            docker::remove(docker, &id).await;
        }
        left.remove();
    }
    Ok(())
}

/// A container at work.
pub(super) struct Running {
    docker: Docker,
    id: String,
}

impl Running {
    async fn fill_and_start(&self, from: Option<&Path>) -> Result<(), String> {
        let failed = |why: String| format!("its state cannot be copied: {why}");
        let options = UploadToContainerOptionsBuilder::new().path(STATE).build();
        // Piece by piece: a state may be larger than the memory that the run needs.
        let (writer, reader) = tokio::io::duplex(PIECE);
        let from = from.map(Path::to_owned);
        let archived =
            tokio::task::spawn_blocking(move || archive(from.as_deref(), SyncIoBridge::new(writer)));
        let filled = self.docker.upload_to_container(
            &self.id,
            Some(options),
            body_try_stream(ReaderStream::new(reader)),
        );
        let (archived, filled) = tokio::join!(archived, filled);
        archived
            .map_err(|_| failed("it broke off".to_owned()))?
            .map_err(|error| failed(error.to_string()))?;
        filled.map_err(|error| failed(docker::chain(&error)))?;
        let started = self.docker.start_container(&self.id, None).await;
        started.map_err(|error| format!("its container cannot be started: {}", docker::chain(&error)))
    }

    /// How it ended, if it has.
    pub(super) async fn ended(&self) -> Result<Option<String>, String> {
        let found = self.docker.inspect_container(&self.id, None).await;
        match found {
            Ok(found) => {
                let state = found.state.unwrap_or_default();
                let code = state.exit_code.unwrap_or_default();
                Ok((state.running != Some(true)).then(|| format!("exit status: {code}")))
            }
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(Some("removed".to_owned())),
            Err(error) => Err(format!("it cannot be watched: {}", docker::chain(&error))),
        }
    }

    /// The end of what it logged.
    pub(super) async fn log(&self) -> String {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(LINES).build();
        let mut pieces = self.docker.logs(&self.id, Some(options));
        let mut text = Vec::new();
        while let Some(Ok(piece)) = pieces.next().await {
            text.extend_from_slice(&LogOutput::into_bytes(piece));
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Kills and removes it with its data.
    pub(super) async fn end(self) {
        docker::remove(&self.docker, &self.id).await;
    }
}

/// Writes the state as an archive, for whatever user the image has.
fn archive(from: Option<&Path>, to: impl io::Write) -> io::Result<()> {
    let mut archive = tar::Builder::new(to);
    append(&mut archive, from, Path::new(DATA))?;
    io::Write::flush(&mut archive.into_inner()?)
}

fn append(archive: &mut tar::Builder<impl io::Write>, from: Option<&Path>, to: &Path) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(0o777);
    header.set_size(0);
    archive.append_data(&mut header, to, io::empty())?;
    let Some(from) = from else { return Ok(()) };
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (kind, to) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            append(archive, Some(&entry.path()), &to)?;
        } else if kind.is_file() {
            let content = std::fs::File::open(entry.path())?;
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o666);
            header.set_size(content.metadata()?.len());
            archive.append_data(&mut header, &to, content)?;
        }
    }
    Ok(())
}
