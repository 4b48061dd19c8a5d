//! Containers behind the docker-gate, for a perf-service that has no Docker socket.
//!
//! Owns the client's side of the gate's protocol: a connection a request, and following a container
//! over a gate that is started again. Must not know Docker.

use std::time::Duration;

use async_trait::async_trait;
use common_models::Problem;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::containers::{Containers, Ending, Output, Standing, Stream};
use super::{EngineError, Exit, K6, Launch, Say};
use crate::gate::place::{Place, Reader, Writer};
use crate::gate::protocol::{self, Answer, Ask, CLIENT_GONE, Frame, Kind, Request, Start};
use crate::scenarios;
use crate::targets::Target;

/// Longest silence: the gate says several times in it that it lives.
const SILENCE: Duration = Duration::from_secs(20);
/// A gate that lives, and the daemon behind it, answer within it.
const HELLO_DEADLINE: Duration = Duration::from_secs(4);
/// Pause before a container's output is asked for again.
const PAUSE: Duration = Duration::from_millis(200);
/// Failures in a row after which the gate counts as gone: half a minute.
const MOST_FAILURES: u32 = 150;

/// Where the gate is.
#[derive(Clone, Debug)]
pub struct GateSettings {
    /// Its place.
    pub place: Place,
    /// Its token, where it asks for one.
    pub token: Option<SecretString>,
}

/// The containers behind a gate.
#[derive(Clone, Debug)]
pub struct GatedContainers {
    settings: GateSettings,
}

/// A connection whose request was sent.
struct Conversation {
    reader: Reader,
    /// Closing it tells the gate that nobody waits any more.
    _writer: Writer,
}

/// Why following broke off.
enum Broken {
    /// The connection did; the container is not concerned.
    Cut(String),
    /// For good.
    Failed(EngineError),
}

impl GatedContainers {
    /// Those behind the gate of the settings.
    #[must_use]
    pub const fn new(settings: GateSettings) -> Self {
        Self { settings }
    }

    fn unreachable(&self, why: String) -> EngineError {
        EngineError::GateUnreachable(self.settings.place.to_string(), why)
    }

    async fn open(&self, ask: Ask) -> Result<Conversation, String> {
        let (reader, mut writer) = self.settings.place.connect().await.map_err(|error| error.to_string())?;
        let token = self.settings.token.as_ref().map(|token| token.expose_secret().to_owned());
        let frame = Frame::message(&Request { protocol: protocol::VERSION, token, ask });
        let sent = timeout(SILENCE, protocol::write(&mut writer, &frame)).await;
        sent.map_err(|_| "it takes no request".to_owned())?.map_err(|error| error.to_string())?;
        Ok(Conversation { reader, _writer: writer })
    }

    /// The answer to a request.
    async fn call(&self, ask: Ask, say: Say<'_>) -> Result<Answer, EngineError> {
        let mut conversation = self.open(ask).await.map_err(|why| self.unreachable(why))?;
        loop {
            let frame = conversation.next().await.map_err(|why| self.unreachable(why))?;
            match message(&frame).map_err(|why| self.unreachable(why))? {
                Answer::Waiting => {}
                Answer::Said(what) => say(what),
                Answer::Problem(problem) => return Err(refused(*problem)),
                answer => return Ok(answer),
            }
        }
    }

    /// The answer to a request, of the kind that belongs to it.
    async fn expect<T>(&self, ask: Ask, read: impl Fn(Answer) -> Option<T>) -> Result<T, EngineError> {
        let answer = self.call(ask, &|_| {}).await?;
        read(answer).ok_or_else(|| self.unreachable("it answered something else".to_owned()))
    }

    async fn follow_once(&self, run: Uuid, output: &mut dyn Output) -> Result<Exit, Broken> {
        let taken = output.taken();
        let ask = Ask::Follow { run, samples: taken.samples, log: taken.log };
        let mut conversation = self.open(ask).await.map_err(Broken::Cut)?;
        loop {
            let frame = conversation.next().await.map_err(Broken::Cut)?;
            let stream = match frame.kind {
                Kind::Samples => Stream::Samples,
                Kind::Log => Stream::Log,
                Kind::Message => match message(&frame).map_err(Broken::Cut)? {
                    // The gate stops or lost sight of Docker, and both may come back; or, for it, we
                    // were the ones who left.
                    Answer::Problem(problem) if matches!(problem.status, 503 | CLIENT_GONE) => {
                        return Err(Broken::Cut(problem.detail.unwrap_or(problem.title)));
                    }
                    Answer::Problem(problem) => return Err(Broken::Failed(refused(*problem))),
                    answer => match answer.exit() {
                        Some(exit) => return Ok(exit),
                        None => continue,
                    },
                },
            };
            output.take(stream, frame.payload).await.map_err(Broken::Failed)?;
            output.flush().await.map_err(Broken::Failed)?;
        }
    }
}

impl Conversation {
    async fn next(&mut self) -> Result<Frame, String> {
        let read = timeout(SILENCE, protocol::read(&mut self.reader, protocol::LONGEST_FRAME)).await;
        let silent = |_| format!("silent for {} s", SILENCE.as_secs());
        read.map_err(silent)?.map_err(|error| error.to_string())
    }
}

fn message(frame: &Frame) -> Result<Answer, String> {
    serde_json::from_slice(&frame.payload)
        .map_err(|error| format!("it does not speak the gate's protocol: {error}"))
}

/// What the gate said, as if Docker had been asked directly.
fn refused(problem: Problem) -> EngineError {
    let errors: Vec<String> =
        problem.errors.iter().map(|error| format!("{} {}", error.field, error.message)).collect();
    let detail = match problem.detail {
        Some(detail) => detail,
        None if errors.is_empty() => problem.title,
        None => format!("{}: {}", problem.title, errors.join("; ")),
    };
    if problem.code == EngineError::Lost(String::new()).kind() {
        return EngineError::Lost(detail);
    }
    EngineError::Gate(detail)
}

#[async_trait]
impl Containers for GatedContainers {
    async fn hello(&self) -> Result<(), EngineError> {
        let answer = timeout(HELLO_DEADLINE, self.call(Ask::Hello {}, &|_| {})).await;
        let silent = |_| self.unreachable(format!("silent for {} s", HELLO_DEADLINE.as_secs()));
        answer.map_err(silent)?.map(|_| ())
    }

    async fn prepare(&self, say: Say<'_>, cancel: &CancellationToken) -> Result<K6, EngineError> {
        let answer = tokio::select! {
            answer = self.call(Ask::Prepare {}, say) => answer?,
            () = cancel.cancelled() => return Err(EngineError::Cancelled),
        };
        match answer {
            Answer::Prepared { version, description } => {
                let description = format!("{description}, through the gate at {}", self.settings.place);
                Ok(K6 { version, description })
            }
            _ => Err(self.unreachable("it answered something else".to_owned())),
        }
    }

    async fn start(&self, launch: &Launch) -> Result<(), EngineError> {
        let settings = launch.environment.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let target = Target { name: launch.target_name.clone(), url: launch.target.clone() };
        let start = Start {
            run: launch.run,
            scenario: launch.scenario.clone(),
            target: launch.target_name.clone(),
            target_fingerprint: target.fingerprint(),
            settings: settings.collect(),
            scripts: scenarios::fingerprint(&launch.scripts),
        };
        self.expect(Ask::Start(start), |answer| (answer == Answer::Done).then_some(())).await
    }

    async fn follow(&self, run: Uuid, output: &mut dyn Output) -> Result<Exit, EngineError> {
        let mut failures = 0;
        loop {
            let before = output.taken();
            match self.follow_once(run, output).await {
                Ok(exit) => return Ok(exit),
                Err(Broken::Failed(error)) => return Err(error),
                Err(Broken::Cut(why)) => {
                    failures = if output.taken() == before { failures + 1 } else { 0 };
                    if failures > MOST_FAILURES {
                        return Err(EngineError::Lost(self.unreachable(why).to_string()));
                    }
                    tracing::debug!(why, "following a container through the gate broke off");
                }
            }
            sleep(PAUSE).await;
        }
    }

    async fn end(&self, run: Uuid, ending: Ending) -> Result<(), EngineError> {
        let ask = Ask::End { run, ending: ending.into() };
        self.expect(ask, |answer| (answer == Answer::Done).then_some(())).await
    }

    async fn remove(&self, run: Uuid) -> Result<bool, EngineError> {
        let read = |answer| if let Answer::Removed(removed) = answer { Some(removed) } else { None };
        self.expect(Ask::Remove { run }, read).await
    }

    async fn standing(&self, run: Uuid) -> Result<Option<Standing>, EngineError> {
        let read = |answer| if let Answer::Stands(started) = answer { Some(started) } else { None };
        let started = self.expect(Ask::Standing { run }, read).await?;
        Ok(started.map(|started| if started { Standing::Started } else { Standing::Made }))
    }

    async fn list(&self) -> Result<Vec<Uuid>, EngineError> {
        let read = |answer| if let Answer::Runs(runs) = answer { Some(runs) } else { None };
        self.expect(Ask::List {}, read).await
    }
}
