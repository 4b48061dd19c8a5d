//! A container that serves: an image of the bookstore's API that a comparison starts for a run, in the
//! host's network, with its data in a volume of its own.
//!
//! Only the command line starts one, through the Docker daemon that its user has; no request does. Must not
//! know what is compared.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, LogsOptionsBuilder, UploadToContainerOptionsBuilder,
};
use bollard::{Docker, body_try_stream};
use futures::StreamExt;
use tokio_util::io::{ReaderStream, SyncIoBridge};
use uuid::Uuid;

use super::specification::Host;
use super::{DockerDaemon, chain};
use crate::engine::EngineError;

/// Where the volume is mounted.
const STATE: &str = "/state";
/// The folder in it that belongs to whatever user the image has.
const DATA: &str = "data";
/// Names whom a container belongs to.
const LABEL: &str = "bookstore.build";
/// Processes and threads.
const PROCESSES: i64 = 1_024;
/// Bytes of the data that are on their way.
const PIECE: usize = 256 << 10;
/// Of the log that is read.
const LINES: &str = "20";

/// What a container is told and starts from.
pub(crate) struct Serving {
    /// Whom it belongs to, so that it is found again.
    pub(crate) owner: Uuid,
    /// Its environment, `DATA_DIR` aside.
    pub(crate) variables: Vec<(String, String)>,
    /// What its data folder is a copy of; an empty one where there is none.
    pub(crate) from: Option<PathBuf>,
}

impl DockerDaemon {
    /// Whether a container in the host's network has this machine's loopback.
    pub(crate) async fn shares_loopback(&self) -> Result<bool, EngineError> {
        let info = self.connect().await?.info().await;
        let info = info.map_err(|error| EngineError::Docker("say what it has", chain(&error)))?;
        Ok(Host::of(&info).shares_loopback())
    }

    /// Starts a container of the settings' image; nothing is left of one that does not start.
    pub(crate) async fn serve(&self, serving: &Serving) -> Result<ServingContainer, EngineError> {
        let docker = self.connect().await?;
        let image = self.pinned(&docker).await?;
        let name = format!("bookstore-build-{}", Uuid::now_v7());
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let created = docker.create_container(Some(options), container(serving, image)).await;
        let id = created.map_err(|error| EngineError::Docker("create the container", chain(&error)))?.id;
        let container = ServingContainer { docker, id };
        match container.fill_and_start(serving.from.as_deref()).await {
            Ok(()) => Ok(container),
            Err(error) => {
                container.end().await;
                Err(error)
            }
        }
    }

    /// Removes all containers of an owner.
    pub(crate) async fn remove_of(&self, owner: Uuid) -> Result<(), EngineError> {
        let docker = self.connect().await?;
        for container in super::containers(&docker, vec![format!("{LABEL}={owner}")]).await? {
            if let Some(id) = container.id {
                super::remove(&docker, &id).await;
            }
        }
        Ok(())
    }
}

/// The same hardening as k6's own container. Neither memory nor processors are bounded: bounds that are hit
/// would be what is measured.
fn container(serving: &Serving, image: String) -> ContainerCreateBody {
    let data = ("DATA_DIR".to_owned(), format!("{STATE}/{DATA}"));
    let variables = serving.variables.iter().chain([&data]).map(|(name, value)| format!("{name}={value}"));
    ContainerCreateBody {
        image: Some(image),
        env: Some(variables.collect()),
        labels: Some(HashMap::from([(LABEL.to_owned(), serving.owner.to_string())])),
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

/// A container at work.
pub(crate) struct ServingContainer {
    docker: Docker,
    id: String,
}

impl ServingContainer {
    async fn fill_and_start(&self, from: Option<&Path>) -> Result<(), EngineError> {
        let failed = |why: String| EngineError::Docker("take the data", why);
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
        filled.map_err(|error| failed(chain(&error)))?;
        let started = self.docker.start_container(&self.id, None).await;
        started.map_err(|error| EngineError::Docker("start the container", chain(&error)))
    }

    /// How it ended, if it has.
    pub(crate) async fn ended(&self) -> Result<Option<String>, EngineError> {
        let found = self.docker.inspect_container(&self.id, None).await;
        match found {
            Ok(found) => {
                let state = found.state.unwrap_or_default();
                let code = state.exit_code.unwrap_or_default();
                Ok((state.running != Some(true)).then(|| format!("exit status: {code}")))
            }
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(Some("removed".to_owned())),
            Err(error) => Err(EngineError::Docker("say how the container is", chain(&error))),
        }
    }

    /// The end of what it logged.
    pub(crate) async fn log(&self) -> String {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(LINES).build();
        let mut pieces = self.docker.logs(&self.id, Some(options));
        let mut text = Vec::new();
        while let Some(Ok(piece)) = pieces.next().await {
            text.extend_from_slice(&LogOutput::into_bytes(piece));
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Kills and removes it with its data.
    pub(crate) async fn end(self) {
        super::remove(&self.docker, &self.id).await;
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
