//! What runs k6: the port, and the choice between its adapters.
//!
//! Owns what a k6 is started with, however it is started. Every engine puts k6's output into the
//! run's folder as `samples.ndjson` and k6's log as `k6.log`. Must not know Docker's API or how a
//! process is killed.

pub mod containers;
pub mod docker;
pub mod exit_record;
pub mod gated;
pub mod local;
mod remote_write;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use crate::scenarios::ScriptFile;

/// Which engine is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// A container where a Docker daemon answers and has or can get the image, else a local k6.
    #[default]
    Auto,
    /// A container.
    Docker,
    /// A local k6.
    Local,
}

impl EngineChoice {
    /// Its name in the settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Docker => docker::NAME,
            Self::Local => local::NAME,
        }
    }
}

/// A k6 that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct K6 {
    /// What it calls itself.
    pub version: String,
    /// Which it is and where, for people.
    pub description: String,
}

/// What to start.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The run it is for.
    pub run: Uuid,
    /// The run's folder.
    pub folder: PathBuf,
    /// Name of its scenario.
    pub scenario: String,
    /// All scripts.
    pub scripts: Arc<[ScriptFile]>,
    /// Path of the script to run, among them.
    pub script: String,
    /// Name of its target.
    pub target_name: String,
    /// Where the load goes, as seen from this machine.
    pub target: Url,
    /// What the script is told, beside the target.
    pub environment: Vec<(&'static str, String)>,
    /// The token that the target asks for.
    pub secret: Option<SecretString>,
    /// Where k6 sends its metrics meanwhile, as seen from this machine: Prometheus' remote write.
    pub remote_write: Option<Url>,
}

/// How k6 ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By a signal that it did not handle.
    Killed(i32),
    /// By the system, for want of memory.
    OutOfMemory,
    /// While nobody watched, and nobody can tell how any more.
    Unseen,
}

/// Why k6 could not be started or followed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// There is no local k6.
    #[error(
        "no k6 was found on PATH: set K6_BIN to the path that `make k6` prints, or install it (https://grafana.com/docs/k6/latest/set-up/install-k6/)"
    )]
    K6Missing,
    /// The local k6 does not work.
    #[error("{0} cannot be used as k6: {1}; set K6_BIN to a k6 that runs here")]
    K6Unusable(PathBuf, String),
    /// No Docker daemon answers.
    #[error("no Docker daemon answers at {0}: {1}; start it, set DOCKER_HOST, or use K6_ENGINE=local")]
    Daemon(String, String),
    /// The docker-gate does not answer.
    #[error(
        "no docker-gate answers at {0}: {1}; start `perf-service docker-gate`, or set DOCKER_GATE to where it is"
    )]
    GateUnreachable(String, String),
    /// The docker-gate refused.
    #[error("the docker-gate refused: {0}")]
    Gate(String),
    /// The image is not there and cannot be had.
    #[error(
        "the image {0} is not there and cannot be pulled: {1}; load it, set K6_IMAGE, or use K6_ENGINE=local"
    )]
    Image(String, String),
    /// Neither engine can be used.
    #[error("nothing here can run k6. Docker: {docker}. Local: {local}")]
    None {
        /// Why no container.
        docker: Box<EngineError>,
        /// Why no process.
        local: Box<EngineError>,
    },
    /// Docker refused a step.
    #[error("Docker could not {0}: {1}")]
    Docker(&'static str, String),
    /// A file of the run could not be written.
    #[error("{0}: {1}; is the disk full?")]
    File(PathBuf, #[source] io::Error),
    /// The process is lost.
    #[error("k6 can no longer be watched: {0}")]
    Lost(String),
    /// The run was cancelled meanwhile.
    #[error("it was cancelled before k6 ran")]
    Cancelled,
}

impl EngineError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::K6Missing => "k6_missing",
            Self::K6Unusable(..) => "k6_unusable",
            Self::Daemon(..) => "docker_unreachable",
            Self::GateUnreachable(..) => "gate_unreachable",
            Self::Gate(_) => "gate",
            Self::Image(..) => "image",
            Self::None { .. } => "no_engine",
            Self::Docker(..) => "docker",
            Self::File(..) => "file",
            Self::Lost(_) => "lost",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Told what is being waited for.
pub type Say<'a> = &'a (dyn Fn(String) + Send + Sync);

/// A way to run k6.
#[async_trait]
pub trait Engine: Send + Sync {
    /// `docker` or `local`.
    fn name(&self) -> &'static str;

    /// Makes sure that k6 can be started, getting what is missing, and says which it is.
    async fn prepare(&self, say: Say<'_>, cancel: &CancellationToken) -> Result<K6, EngineError>;

    /// Starts k6.
    async fn start(&self, launch: &Launch) -> Result<Box<dyn Process>, EngineError>;

    /// Finds the k6 that a dead perf-service started for this run, at work or ended, to follow it
    /// to its end; `None` when none was ever started. What it wrote is in the folder as if it had
    /// been followed all the time.
    async fn adopt(&self, run: Uuid, folder: &Path) -> Result<Option<Box<dyn Process>>, EngineError>;

    /// Ends what a dead perf-service left of this run; whether there was something.
    async fn reap(&self, run: Uuid, folder: &Path) -> Result<bool, EngineError>;

    /// Runs of which something can still be found without their folders, living ones included.
    async fn left(&self) -> Result<Vec<Uuid>, EngineError> {
        Ok(Vec::new())
    }
}

/// A k6 at work. Dropping one that was started here ends it at once; an adopted one goes on.
#[async_trait]
pub trait Process: Send {
    /// Waits until it is gone and nothing of it is left. May be given up and called again.
    async fn ended(&mut self) -> Result<Exit, EngineError>;

    /// Asks it to stop and still write its summary. One that is gone is no error.
    async fn interrupt(&mut self) -> Result<(), EngineError>;

    /// Ends it. One that is gone is no error.
    async fn kill(&mut self) -> Result<(), EngineError>;
}

/// The engines there are.
#[derive(Clone)]
pub struct Engines {
    /// Containers.
    pub docker: Arc<dyn Engine>,
    /// Local processes.
    pub local: Arc<dyn Engine>,
}

impl Engines {
    /// The engine to use, and its k6.
    ///
    /// # Errors
    /// When the wanted one cannot be used, or none can.
    pub async fn choose(
        &self,
        choice: EngineChoice,
        say: Say<'_>,
        cancel: &CancellationToken,
    ) -> Result<(Arc<dyn Engine>, K6), EngineError> {
        let prepare = async |engine: &Arc<dyn Engine>| {
            engine.prepare(say, cancel).await.map(|k6| (Arc::clone(engine), k6))
        };
        match choice {
            EngineChoice::Docker => prepare(&self.docker).await,
            EngineChoice::Local => prepare(&self.local).await,
            EngineChoice::Auto => match prepare(&self.docker).await {
                Err(EngineError::Cancelled) => Err(EngineError::Cancelled),
                Ok(chosen) => Ok(chosen),
                Err(docker) => prepare(&self.local)
                    .await
                    .map_err(|local| EngineError::None { docker: Box::new(docker), local: Box::new(local) }),
            },
        }
    }

    /// Finds what a dead perf-service started for a run. `engine` is what the run says; where it
    /// was not chosen yet, there is nothing to be found.
    ///
    /// # Errors
    /// When the engine cannot be asked.
    pub async fn adopt(
        &self,
        engine: &str,
        run: Uuid,
        folder: &Path,
    ) -> Result<Option<Box<dyn Process>>, EngineError> {
        match [&self.docker, &self.local].into_iter().find(|candidate| candidate.name() == engine) {
            Some(engine) => engine.adopt(run, folder).await,
            None => Ok(None),
        }
    }
}

/// k6's arguments. Samples and, by the script, the summary go to standard output, k6's log to
/// standard error; no port is opened and nobody is told but the Prometheus that was configured.
fn arguments(launch: &Launch, script: &str) -> Vec<String> {
    let mut arguments: Vec<String> =
        ["run", "--quiet", "--no-color", "--log-format", "json", "--out", "json=-"]
            .map(str::to_owned)
            .to_vec();
    arguments.extend(remote_write::arguments(launch));
    arguments.extend(["--address".to_owned(), String::new(), script.to_owned()]);
    arguments
}

/// k6's environment beside `PATH` and `HOME`. It inherits nothing: a `K6_VUS` that somebody
/// has set would silently replace a scenario's load.
fn environment(launch: &Launch, target: &Url) -> Vec<(&'static str, String)> {
    let mut environment = launch.environment.clone();
    environment.push(("BASE_URL", target.as_str().trim_end_matches('/').to_owned()));
    environment.push(("SUMMARY", "json".to_owned()));
    environment.extend(launch.secret.iter().map(|token| ("API_TOKEN", token.expose_secret().to_owned())));
    environment.push(("K6_NO_USAGE_REPORT", "true".to_owned()));
    // Load goes to the configured target, wherever that would send it.
    environment.push(("K6_MAX_REDIRECTS", "0".to_owned()));
    environment
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use async_trait::async_trait;
    use tokio_util::sync::CancellationToken;
    use uuid::Uuid;

    use super::{Engine, EngineChoice, EngineError, Engines, K6, Launch, Process, Say};

    struct Named(&'static str, bool);

    #[async_trait]
    impl Engine for Named {
        fn name(&self) -> &'static str {
            self.0
        }
        async fn prepare(&self, _: Say<'_>, _: &CancellationToken) -> Result<K6, EngineError> {
            let k6 = K6 { version: "k6".to_owned(), description: self.0.to_owned() };
            if self.1 { Ok(k6) } else { Err(EngineError::K6Missing) }
        }
        async fn start(&self, _: &Launch) -> Result<Box<dyn Process>, EngineError> {
            Err(EngineError::K6Missing)
        }
        async fn adopt(&self, _: Uuid, _: &Path) -> Result<Option<Box<dyn Process>>, EngineError> {
            Ok(None)
        }
        async fn reap(&self, _: Uuid, _: &Path) -> Result<bool, EngineError> {
            Ok(true)
        }
    }

    async fn chosen(docker: bool, local: bool, choice: EngineChoice) -> Result<String, &'static str> {
        let engines =
            Engines { docker: Arc::new(Named("docker", docker)), local: Arc::new(Named("local", local)) };
        let chosen = engines.choose(choice, &|_| {}, &CancellationToken::new()).await;
        chosen.map(|(engine, _)| engine.name().to_owned()).map_err(|error| error.kind())
    }

    #[tokio::test]
    async fn the_choice_by_setting_and_by_what_is_there() {
        use EngineChoice::{Auto, Docker, Local};
        for (docker, local, choice, wanted) in [
            (true, true, Auto, Ok("docker")),
            (false, true, Auto, Ok("local")),
            (false, false, Auto, Err("no_engine")),
            (true, true, Local, Ok("local")),
            (true, false, Local, Err("k6_missing")),
            (false, true, Docker, Err("k6_missing")),
        ] {
            assert_eq!(chosen(docker, local, choice).await, wanted.map(str::to_owned), "{choice:?}");
        }
    }
}
