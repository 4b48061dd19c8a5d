//! Neighbours that share a Redis.
//!
//! Owns keys and channels, all below `perf-service:v1:`. A target's place is a key that holds the
//! id of the run and ends by itself unless it is renewed, so a service that dies gives it up within
//! [`LASTS`]. Redis may forget it (a restart, a flush, an eviction): the run then learns that it may not
//! have been alone, and so does one that took the place meanwhile. Moments and wishes are published and kept nowhere. Every command has a deadline. The
//! URL may hold a password: it is in no error and no log.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, FromRedisValue, RedisError, Script};
use async_trait::async_trait;
use futures::StreamExt;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::{Elsewhere, Moment, Neighbours, NeighboursError};
use crate::ledger::{Lease, Loss};
use crate::progress::Progress;
use crate::run_state;
use crate::targets::Target;

const NAMESPACE: &str = "perf-service:v1";
/// How long a place is held without being renewed.
const LASTS: Duration = Duration::from_secs(15);
/// How often it is renewed.
const RENEWED: Duration = Duration::from_secs(2);
/// Pause before it is renewed again where that failed: Redis may be back at any time, and may have
/// forgotten it.
const RENEW_AGAIN: Duration = Duration::from_millis(500);
/// Longest wait for a connection or an answer.
const DEADLINE: Duration = Duration::from_secs(2);
/// Pause before a broken subscription is made again.
const PAUSE: Duration = Duration::from_secs(2);
/// A service that is silent for so long no longer conducts a run.
const SILENCE: Duration = Duration::from_secs(15);
/// How long an ended run of another is remembered.
const MEMORY: Duration = Duration::from_secs(3_600);
/// Runs of others that are known at a time.
const MOST_KNOWN: usize = 1_000;
/// Largest message taken.
const LARGEST: usize = 256 << 10;
/// Wishes that may wait.
const WISHES: usize = 64;

/// Place, who is not alone there, run, milliseconds → what comes of it, as [`Held::of`] reads it. A run
/// whose place another has since taken leaves word for that one: neither is alone.
const HOLD: &str = "\
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then
  if ARGV[3] == 'again' then redis.call('SET', KEYS[2], held, 'PX', ARGV[2]) end
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if redis.call('GET', KEYS[2]) == ARGV[1] then return 3 end
if held then return 1 end
return 2";
/// Place, run → whether it was the run's.
const GIVE_UP: &str = "\
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])";

/// Whose a place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// Another run's.
    Others,
    /// The run's, as before.
    Still,
    /// The run's, and just before nobody's.
    Anew,
    /// The run's; but another one, whose place it was, goes on.
    Shared,
}

impl Held {
    const fn of(answer: u8) -> Self {
        match answer {
            1 => Self::Still,
            2 => Self::Anew,
            3 => Self::Shared,
            _ => Self::Others,
        }
    }
}

/// What services tell each other.
#[derive(Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "camelCase")]
enum Message {
    /// A moment of a run.
    Moment { from: Uuid, moment: Box<Moment> },
    /// The wish to stop one.
    Stop { from: Uuid, run: Uuid },
}

/// A run of another service.
struct Posted {
    run: common_models::Run,
    progress: Option<watch::Sender<Progress>>,
    at: Instant,
}

/// The services behind one Redis. Cheap to clone.
#[derive(Clone)]
pub struct RedisNeighbours {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    connection: tokio::sync::Mutex<Option<MultiplexedConnection>>,
    hold: Script,
    give_up: Script,
    /// Tells our own messages from those of others.
    id: Uuid,
    known: Mutex<HashMap<Uuid, Posted>>,
    wishes: broadcast::Sender<Uuid>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl RedisNeighbours {
    /// The services behind this Redis, `redis://` or `rediss://`. Connects in the background.
    ///
    /// # Errors
    /// When the URL cannot be used. The URL is in no error.
    pub fn new(url: &SecretString) -> Result<Self, NeighboursError> {
        let client = Client::open(url.expose_secret())
            .map_err(|error| NeighboursError::Unreachable(error.category().to_owned()))?;
        let shared = Arc::new(Shared {
            client,
            connection: tokio::sync::Mutex::default(),
            hold: Script::new(HOLD),
            give_up: Script::new(GIVE_UP),
            id: Uuid::now_v7(),
            known: Mutex::default(),
            wishes: broadcast::channel(WISHES).0,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        });
        let listening = Arc::clone(&shared);
        shared.tasks.spawn(async move {
            let stop = listening.stop.clone();
            stop.run_until_cancelled(listening.listen()).await;
        });
        Ok(Self { shared })
    }
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, HashMap<Uuid, Posted>> {
        // Nobody panics while holding it; were it so, the map would still be sound.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes or renews a place.
    async fn hold(&self, place: &str, run: Uuid, again: bool) -> Result<Held, NeighboursError> {
        let beside = format!("{place}:beside");
        let how = if again { "again" } else { "first" }.to_owned();
        let arguments = [run.to_string(), LASTS.as_millis().to_string(), how];
        self.run(&self.hold, &[place, &beside], &arguments).await.map(Held::of)
    }

    /// Runs a script on keys. It must bear to be run twice.
    async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: &[String],
    ) -> Result<T, NeighboursError> {
        let mut call = script.prepare_invoke();
        for key in keys {
            call.key(*key);
        }
        for argument in arguments {
            call.arg(argument);
        }
        let mut connection = self.connect().await?;
        let answer = timeout(DEADLINE, call.invoke_async(&mut connection)).await;
        self.answered(answer).await
    }

    async fn connect(&self) -> Result<MultiplexedConnection, NeighboursError> {
        let mut current = self.connection.lock().await;
        if let Some(connection) = current.as_ref() {
            return Ok(connection.clone());
        }
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(DEADLINE)).set_response_timeout(None);
        let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
        let connection =
            timeout(DEADLINE, connecting).await.map_err(|_| late())?.map_err(|error| told(&error))?;
        *current = Some(connection.clone());
        Ok(connection)
    }

    /// A connection that failed is not used again.
    async fn answered<T>(
        &self,
        answer: Result<Result<T, RedisError>, tokio::time::error::Elapsed>,
    ) -> Result<T, NeighboursError> {
        let error = match answer {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => told(&error),
            Err(_) => late(),
        };
        *self.connection.lock().await = None;
        Err(error)
    }

    async fn publish(&self, message: &Message) -> Result<(), NeighboursError> {
        // Strings and finite numbers only: this cannot fail.
        let text = serde_json::to_string(message).unwrap_or_default();
        let mut connection = self.connect().await?;
        let mut command = ::redis::cmd("PUBLISH");
        command.arg(channel()).arg(text);
        let answer = timeout(DEADLINE, command.query_async::<i64>(&mut connection)).await;
        self.answered(answer).await.map(|_| ())
    }

    /// Takes in what others tell, for ever.
    async fn listen(&self) {
        let mut news = true;
        loop {
            match self.subscribe().await {
                Ok(()) => news = true,
                Err(error) if std::mem::take(&mut news) => {
                    tracing::warn!(%error, kind = error.kind(), "nothing is heard of other perf-services");
                }
                Err(_) => {}
            }
            self.forget();
            sleep(PAUSE).await;
        }
    }

    async fn subscribe(&self) -> Result<(), NeighboursError> {
        let connecting = async {
            let mut subscription = self.client.get_async_pubsub().await?;
            subscription.subscribe(channel()).await?;
            Ok::<_, RedisError>(subscription)
        };
        let mut subscription =
            timeout(DEADLINE, connecting).await.map_err(|_| late())?.map_err(|error| told(&error))?;
        let mut messages = subscription.on_message();
        loop {
            match timeout(SILENCE, messages.next()).await {
                Ok(Some(message)) => self.take(message.get_payload_bytes()),
                Ok(None) => return Ok(()),
                // Perhaps nobody has anything to tell; a dead connection looks the same.
                Err(_) => self.forget(),
            }
        }
    }

    fn take(&self, payload: &[u8]) {
        if payload.len() > LARGEST {
            return;
        }
        match serde_json::from_slice(payload) {
            Ok(Message::Moment { from, moment }) if from != self.id => self.post(*moment),
            Ok(Message::Stop { from, run }) if from != self.id => {
                // Without anybody who listens there is nobody who conducts it.
                let _ = self.wishes.send(run);
            }
            Ok(Message::Moment { .. } | Message::Stop { .. }) => {}
            // Of another version, say.
            Err(error) => tracing::debug!(%error, "a message of another perf-service is not readable"),
        }
        self.forget();
    }

    fn post(&self, moment: Moment) {
        let Moment { run, progress } = moment;
        let mut known = self.known();
        if known.len() >= MOST_KNOWN && !known.contains_key(&run.id) {
            return;
        }
        let ended = run_state::is_last(run.state);
        let sender = known.remove(&run.id).and_then(|posted| posted.progress);
        let sender = match sender {
            Some(sender) => {
                sender.send_replace(progress);
                sender
            }
            None => watch::channel(progress).0,
        };
        let posted = Posted { progress: (!ended).then_some(sender), at: Instant::now(), run };
        known.insert(posted.run.id, posted);
    }

    /// Lets go of runs that are told of no more.
    fn forget(&self) {
        self.known().retain(|_, posted| {
            let silent = posted.at.elapsed();
            if silent > SILENCE {
                posted.progress = None;
            }
            silent < MEMORY
        });
    }

    /// Renews a place until its lease is dropped, and gives it back then. Once another run may have had
    /// it, the lease is lost; it is held again where that can be, so that a third one waits.
    async fn keep(&self, place: String, run: Uuid, lost: Loss, dropped: CancellationToken) {
        let (mut pause, mut renewed) = (RENEWED, Instant::now());
        loop {
            tokio::select! {
                () = dropped.cancelled() => break,
                () = sleep(pause) => {}
            }
            let begin = Instant::now();
            let why = match self.hold(&place, run, true).await {
                Ok(held) => {
                    (pause, renewed) = (RENEWED, begin);
                    why_lost(held).map(str::to_owned)
                }
                Err(error) => {
                    if pause == RENEWED {
                        tracing::warn!(%run, %error, kind = error.kind(), "a target's place could not be renewed; it is tried on");
                    }
                    pause = RENEW_AGAIN;
                    (renewed.elapsed() >= LASTS).then(|| error.to_string())
                }
            };
            if let Some(why) = why
                && lost.tell(why.clone())
            {
                tracing::warn!(%run, why, "a run may no longer be alone at its target");
            }
        }
        if let Err(error) = self.run::<u8>(&self.give_up, &[&place], &[run.to_string()]).await {
            tracing::debug!(%error, kind = error.kind(), "a target's place ends by itself");
        }
    }
}

/// Why a place that is renewed was not the run's alone all the time; `None` when it was.
const fn why_lost(held: Held) -> Option<&'static str> {
    match held {
        Held::Still => None,
        Held::Others => Some("another perf-service's run has its place: Redis had forgotten who held it"),
        Held::Anew => Some("Redis had forgotten who held its place"),
        Held::Shared => Some("Redis had forgotten that another perf-service's run held its place"),
    }
}

#[async_trait]
impl Neighbours for RedisNeighbours {
    async fn claim(&self, target: &Target, places: u32, run: Uuid) -> Result<Option<Lease>, NeighboursError> {
        for place in 0..places.max(1) {
            let place = place_of(target, place);
            let held = self.shared.hold(&place, run, false).await?;
            if held == Held::Others {
                continue;
            }
            let (dropped, lost) = (CancellationToken::new(), Loss::default());
            if held == Held::Shared {
                lost.tell(why_lost(held).unwrap_or_default().to_owned());
            }
            let (shared, when, losing) = (Arc::clone(&self.shared), dropped.clone(), lost.clone());
            self.shared.tasks.spawn(async move { shared.keep(place, run, losing, when).await });
            return Ok(Some(Lease::on(dropped.drop_guard()).unless(lost)));
        }
        Ok(None)
    }

    async fn tell(&self, moment: &Moment) {
        let message = Message::Moment { from: self.shared.id, moment: Box::new(moment.clone()) };
        if let Err(error) = self.shared.publish(&message).await {
            tracing::debug!(%error, kind = error.kind(), "a moment was not told");
        }
    }

    fn elsewhere(&self, id: Uuid) -> Option<Elsewhere> {
        let known = self.shared.known();
        let posted = known.get(&id)?;
        let progress = posted.progress.as_ref().map(watch::Sender::subscribe);
        Some(Elsewhere { run: posted.run.clone(), progress })
    }

    async fn ask_to_stop(&self, id: Uuid) -> Result<(), NeighboursError> {
        self.shared.publish(&Message::Stop { from: self.shared.id, run: id }).await
    }

    fn wishes(&self) -> broadcast::Receiver<Uuid> {
        self.shared.wishes.subscribe()
    }

    async fn close(&self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

fn channel() -> String {
    format!("{NAMESPACE}:runs")
}

/// A place's key. By the target's address: what it is called differs from service to service, and
/// it may hold a password.
fn place_of(target: &Target, place: u32) -> String {
    format!("{NAMESPACE}:target:{}:{place}", target.fingerprint())
}

fn late() -> NeighboursError {
    NeighboursError::Unreachable(format!("silent for {} s", DEADLINE.as_secs()))
}

/// Without the details, which may name what stands in the URL.
fn told(error: &RedisError) -> NeighboursError {
    NeighboursError::Unreachable(error.category().to_owned())
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::{LARGEST, RedisNeighbours, place_of};
    use crate::neighbours::Neighbours;
    use crate::targets::Target;

    fn target(url: &str) -> Target {
        Target { name: "local".to_owned(), url: Url::parse(url).unwrap() }
    }

    #[test]
    fn a_place_belongs_to_an_address() {
        let (one, two) = (target("http://127.0.0.1:7002"), target("http://127.0.0.1:7003"));
        assert_ne!(place_of(&one, 0), place_of(&two, 0));
        assert_ne!(place_of(&one, 0), place_of(&one, 1));
        assert_eq!(place_of(&one, 0), place_of(&target("http://127.0.0.1:7002/"), 0));
    }

    #[tokio::test]
    async fn without_redis_it_says_so_and_nothing_of_the_password() {
        let neighbours = RedisNeighbours::new(&"redis://:canary@127.0.0.1:1".into()).unwrap();
        let error = neighbours.claim(&target("http://x"), 1, uuid::Uuid::now_v7()).await.unwrap_err();
        assert!(error.to_string().contains("REDIS_URL") && !error.to_string().contains("canary"), "{error}");
        let error = RedisNeighbours::new(&"not a canary".into()).err().unwrap();
        assert!(!error.to_string().contains("canary"), "{error}");
        neighbours.close().await;
    }

    #[tokio::test]
    async fn hostile_messages_are_passed_over() {
        let neighbours = RedisNeighbours::new(&"redis://127.0.0.1:1".into()).unwrap();
        let huge = vec![b'['; LARGEST + 1];
        for payload in [
            &b""[..],
            b"{",
            b"{\"is\":\"moment\"}",
            b"{\"is\":\"stop\",\"run\":1}",
            b"\xff",
            &huge,
            &huge[..LARGEST],
        ] {
            neighbours.shared.take(payload);
        }
        assert!(neighbours.shared.known().is_empty());
        neighbours.close().await;
    }
}
