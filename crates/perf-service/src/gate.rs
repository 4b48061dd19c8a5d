//! The docker-gate: a process that holds Docker's socket, which is root on its host, so that
//! perf-service does not have to.
//!
//! Owns who is let in and what may be asked: to start the k6 of a known scenario against a known
//! target with bounded numbers, and to follow, end, remove and list such containers. Everything
//! else about a container is the gate's own. Must not know Docker's API, HTTP or what runs are.

pub mod bounds;
pub mod place;
pub mod protocol;
mod refusal;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http_server::ApiToken;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::bounds::Rules;
use self::place::{Door, Reader, Writer};
use self::protocol::{Answer, Ask, Frame, Kind, Request, Start};
use self::refusal::Refusal;
use crate::engine::EngineError;
use crate::engine::containers::{Containers, Extent, Output, Stream};

/// Conversations at a time; more wait at the door.
const MOST_CONVERSATIONS: usize = 64;
/// Containers at a time, ended ones that nobody removed included.
const MOST_CONTAINERS: usize = 32;
/// Longest wait for a whole request.
const HEARING: Duration = Duration::from_secs(5);
/// Longest wait for a client to take what it is sent.
const TELLING: Duration = Duration::from_secs(60);
/// How often a client is told that its answer is still being waited for.
const BEAT: Duration = Duration::from_secs(3);
/// Bytes of output that are sent at once.
const PIECE: usize = 64 << 10;
/// Pause after a connection that could not be accepted, as when descriptors ran out.
const PAUSE: Duration = Duration::from_millis(100);

/// What the gate knows and holds.
pub struct Gate {
    rules: Rules,
    containers: Arc<dyn Containers>,
    token: Option<ApiToken>,
    /// One start at a time, so that they are counted right; and nobody asks what there is in the
    /// middle of one, whose client may be dead.
    starting: Mutex<()>,
}

impl Gate {
    /// A gate before these containers. Without a token, whoever can open its socket is let in.
    #[must_use]
    pub fn new(rules: Rules, containers: Arc<dyn Containers>, token: Option<ApiToken>) -> Self {
        Self { rules, containers, token, starting: Mutex::new(()) }
    }

    /// Serves until told to stop. Containers at work go on; a client asks for them again.
    pub async fn serve(self, door: Door, stop: CancellationToken) {
        let gate = Arc::new(self);
        let tasks = TaskTracker::new();
        let places = Arc::new(Semaphore::new(MOST_CONVERSATIONS));
        let closed = stop.clone();
        let accept = async {
            loop {
                // Never closed, so this cannot fail.
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                match door.accept().await {
                    Ok((reader, writer)) => {
                        let (gate, stop) = (Arc::clone(&gate), stop.clone());
                        tasks.spawn(async move {
                            gate.attend(reader, writer, &stop).await;
                            drop(place);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection to the gate could not be accepted");
                        sleep(PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            () = accept => {}
            () = closed.cancelled() => {}
        }
        tasks.close();
        tasks.wait().await;
    }

    /// One conversation: a request and its answer.
    async fn attend(&self, mut reader: Reader, writer: Writer, stop: &CancellationToken) {
        let writer = Mutex::new(writer);
        let request = tokio::select! {
            heard = timeout(HEARING, protocol::hear(&mut reader)) => heard,
            () = stop.cancelled() => return,
        };
        let answer = match request.unwrap_or_else(|_| Err(refusal::too_slow())) {
            Ok(request) => self.converse(request, &mut reader, &writer, stop).await,
            Err(problem) => Err(problem),
        };
        let answer = answer.unwrap_or_else(|problem| {
            tracing::warn!(code = problem.code, status = problem.status, "the gate refused a request");
            Answer::Problem(problem)
        });
        // A client that has gone needs no answer.
        let _ = tell(&writer, &answer).await;
    }

    async fn converse(
        &self,
        request: Request,
        reader: &mut Reader,
        writer: &Mutex<Writer>,
        stop: &CancellationToken,
    ) -> Result<Answer, Refusal> {
        let ask = self.admit(request)?;
        let gone = stop.child_token();
        let work = self.answer(ask, writer, &gone);
        let watch = async {
            let _: ((), ()) = tokio::join!(beat(writer, &gone), hang_up(reader, &gone));
        };
        let answer = tokio::select! {
            answer = work => answer,
            // Both of them only end with the work, which hears that the client has gone.
            () = watch => Err(refusal::gone()),
        };
        // A stop of ours ends the work as a client that leaves does, but this client is still there.
        answer.map_err(|problem| {
            if stop.is_cancelled() && refusal::is_gone(&problem) { refusal::closing() } else { problem }
        })
    }

    /// Who asks, and whether both speak the same protocol.
    fn admit(&self, request: Request) -> Result<Ask, Refusal> {
        if let Some(token) = &self.token
            && !request.token.as_deref().is_some_and(|offered| token.matches(offered))
        {
            return Err(refusal::no_token());
        }
        if request.protocol != protocol::VERSION {
            return Err(refusal::other_protocol(request.protocol));
        }
        Ok(request.ask)
    }

    async fn answer(
        &self,
        ask: Ask,
        writer: &Mutex<Writer>,
        gone: &CancellationToken,
    ) -> Result<Answer, Refusal> {
        let containers = &self.containers;
        let failed = |error: EngineError| refusal::failed(&error);
        match ask {
            Ask::Hello {} => containers.hello().await.map(|()| Answer::Done).map_err(failed),
            Ask::Prepare {} => self.prepare(writer, gone).await.map_err(failed),
            Ask::Start(start) => self.start(&start).await,
            Ask::Follow { run, samples, log } => {
                let mut wire = Wire::new(writer, Extent { samples, log });
                let exit = tokio::select! {
                    exit = containers.follow(run, &mut wire) => exit,
                    () = gone.cancelled() => return Err(refusal::gone()),
                };
                wire.flush().await.map_err(failed)?;
                exit.map(Answer::ended).map_err(failed)
            }
            Ask::End { run, ending } => {
                containers.end(run, ending.into()).await.map(|()| Answer::Done).map_err(failed)
            }
            Ask::Remove { run } => {
                let _turn = self.starting.lock().await;
                containers.remove(run).await.map(Answer::Removed).map_err(failed)
            }
            Ask::Standing { run } => {
                let _turn = self.starting.lock().await;
                containers.standing(run).await.map(Answer::standing).map_err(failed)
            }
            Ask::List {} => {
                let _turn = self.starting.lock().await;
                containers.list().await.map(Answer::Runs).map_err(failed)
            }
        }
    }

    async fn prepare(&self, writer: &Mutex<Writer>, gone: &CancellationToken) -> Result<Answer, EngineError> {
        let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let say = move |what: String| {
            // Its receiver outlives it.
            let _ = said.send(what);
        };
        let pass_on = async {
            while let Some(what) = heard.recv().await {
                let _ = tell(writer, &Answer::Said(what)).await;
            }
            std::future::pending::<()>().await;
        };
        let k6 = tokio::select! {
            k6 = self.containers.prepare(&say, gone) => k6?,
            () = pass_on => return Err(EngineError::Cancelled),
        };
        Ok(Answer::Prepared { version: k6.version, description: k6.description })
    }

    /// Goes to its end even when the client has gone: what was started is then found by its label.
    async fn start(&self, start: &Start) -> Result<Answer, Refusal> {
        let launch = self.rules.launch(start)?;
        let turn = self.starting.lock().await;
        let there = self.containers.list().await.map_err(|error| refusal::failed(&error))?;
        if there.contains(&launch.run) {
            return Err(refusal::there_already());
        }
        if there.len() >= MOST_CONTAINERS {
            return Err(refusal::full(MOST_CONTAINERS));
        }
        let started = self.containers.start(&launch).await;
        drop(turn);
        started.map_err(|error| refusal::failed(&error))?;
        tracing::info!(run = %launch.run, scenario = launch.scenario, target = launch.target_name, "k6 started");
        Ok(Answer::Done)
    }
}

/// Tells the client now and then that the gate lives; a client that has gone ends the work.
async fn beat(writer: &Mutex<Writer>, gone: &CancellationToken) {
    loop {
        sleep(BEAT).await;
        if tell(writer, &Answer::Waiting).await.is_err() {
            gone.cancel();
            return;
        }
    }
}

/// Waits for the client to close its side. Anything that it says before is as good as leaving.
async fn hang_up<R: AsyncRead + Unpin>(reader: &mut R, gone: &CancellationToken) {
    // Whether a byte, the end or an error: the conversation is over.
    let _ = reader.read(&mut [0_u8; 1]).await;
    gone.cancel();
    std::future::pending::<()>().await;
}

async fn tell<W: AsyncWrite + Unpin>(writer: &Mutex<W>, answer: &Answer) -> Result<(), EngineError> {
    let frame = Frame::message(answer);
    send(writer, frame).await
}

async fn send<W: AsyncWrite + Unpin>(writer: &Mutex<W>, frame: Frame) -> Result<(), EngineError> {
    let mut writer = writer.lock().await;
    let sent = timeout(TELLING, protocol::write(&mut *writer, &frame)).await;
    sent.is_ok_and(|sent| sent.is_ok()).then_some(()).ok_or(EngineError::Cancelled)
}

/// Output that goes to the client.
struct Wire<'a> {
    writer: &'a Mutex<Writer>,
    taken: Extent,
    waiting: [(Stream, BytesMut); 2],
}

impl<'a> Wire<'a> {
    fn new(writer: &'a Mutex<Writer>, taken: Extent) -> Self {
        Self {
            writer,
            taken,
            waiting: [Stream::Samples, Stream::Log].map(|stream| (stream, BytesMut::new())),
        }
    }
}

#[async_trait]
impl Output for Wire<'_> {
    fn taken(&self) -> Extent {
        self.taken
    }

    async fn take(&mut self, stream: Stream, piece: Bytes) -> Result<(), EngineError> {
        *self.taken.of(stream) += piece.len() as u64;
        for (of, waiting) in &mut self.waiting {
            if *of == stream {
                waiting.extend_from_slice(&piece);
            }
            while waiting.len() >= PIECE {
                send(self.writer, Frame { kind: Kind::of(*of), payload: waiting.split_to(PIECE).freeze() })
                    .await?;
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), EngineError> {
        for (stream, waiting) in &mut self.waiting {
            if !waiting.is_empty() {
                send(self.writer, Frame { kind: Kind::of(*stream), payload: waiting.split().freeze() })
                    .await?;
            }
        }
        Ok(())
    }
}
