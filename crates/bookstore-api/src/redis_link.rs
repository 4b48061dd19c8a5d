//! One Redis server, as the cache and the leases use it: one multiplexed connection, made when it
//! is first wanted; deadlines; a circuit that keeps an outage from costing every request a wait.
//!
//! Knows no keys and no policy. `ConnectionManager` of the `redis` crate is not used: it keeps a
//! connection on which an answer was overdue, and a connection that a network swallowed stays dead
//! for as long as TCP repeats itself. Here such a connection is given up at once.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, IntoConnectionInfo, RedisError,
    RedisResult, Script, ServerErrorKind,
};
use secrecy::{ExposeSecret, SecretString};
use tokio_util::task::TaskTracker;

use self::circuit::Circuit;

mod circuit;

/// Longest time for a connection with its handshakes. It goes on in the background while commands
/// give up sooner.
const CONNECT_DEADLINE: Duration = Duration::from_secs(1);
/// How many times its deadline a command waits at most.
const WHILE_OTHERS_ARE_ANSWERED: u32 = 4;
/// How many commands may wait to be written.
const COMMANDS_WAITING: usize = 1_024;

/// How a command can fail.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LinkError {
    /// No connection, or no answer in time.
    #[error("{0}")]
    Unavailable(String),
    /// The server refuses the command.
    #[error("{0}")]
    Refused(String),
}

impl LinkError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Refused(_) => "refused",
        }
    }
}

/// How a command waits.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For this long, while no command is answered. While others are, the server is not away but
    /// this process or the server is busy: then up to [`WHILE_OTHERS_ARE_ANSWERED`] times as long.
    pub deadline: Duration,
    /// Whether it is sent even while others fail at once.
    pub tries_anyway: bool,
}

type Connecting = Shared<BoxFuture<'static, RedisResult<MultiplexedConnection>>>;

/// A Redis server. Cheap to clone.
#[derive(Clone)]
pub struct RedisLink(Arc<Inner>);

struct Inner {
    client: Client,
    config: AsyncConnectionConfig,
    /// The connection in use or in the making, and its number.
    connection: Mutex<(u64, Option<Connecting>)>,
    connecting: TaskTracker,
    circuit: Circuit,
}

impl RedisLink {
    /// A server by its URL, `redis://` or `rediss://`, with user, password and database number if
    /// need be. Connects to nothing yet.
    ///
    /// # Errors
    /// When the URL cannot be used. The URL is in no error.
    pub fn new(url: &SecretString) -> Result<Self, LinkError> {
        let unusable = |error: RedisError| LinkError::Refused(error.to_string());
        let info = url.expose_secret().into_connection_info().map_err(unusable)?;
        let client = Client::open(info.set_tcp_settings(TcpSettings::default().set_nodelay(true)))
            .map_err(unusable)?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_DEADLINE))
            // Each command has a deadline of its own.
            .set_response_timeout(None)
            .set_pipeline_buffer_size(COMMANDS_WAITING);
        let circuit = Circuit::new(client.get_connection_info().addr().to_string());
        Ok(Self(Arc::new(Inner {
            client,
            config,
            connection: Mutex::new((0, None)),
            connecting: TaskTracker::new(),
            circuit,
        })))
    }

    /// Sends a command, and once more when the connection turns out to be broken. So it must bear to
    /// be carried out twice.
    ///
    /// # Errors
    /// When the server cannot be reached in time, or refuses.
    pub async fn query<T: FromRedisValue>(&self, command: &Cmd, patience: Patience) -> Result<T, LinkError> {
        self.send(command, patience).await.map_err(|failure| self.tell(failure))
    }

    /// Runs a script on these keys: by its hash, or whole where the server does not know it.
    ///
    /// # Errors
    /// As [`RedisLink::query`].
    pub async fn run<T: FromRedisValue>(
        &self,
        script: &KnownScript,
        keys: &[&str],
        arguments: &[&[u8]],
        patience: Patience,
    ) -> Result<T, LinkError> {
        let command = |name: &str, script: &str| {
            let mut command = redis::cmd(name);
            command.arg(script).arg(keys.len()).arg(keys);
            for argument in arguments {
                command.arg(*argument);
            }
            command
        };
        match self.send(&command("EVALSHA", script.by_hash.get_hash()), patience).await {
            Err(Failure::Redis(error)) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.query(&command("EVAL", script.code), patience).await
            }
            sent => sent.map_err(|failure| self.tell(failure)),
        }
    }

    async fn send<T: FromRedisValue>(&self, command: &Cmd, patience: Patience) -> Result<T, Failure> {
        if !self.0.circuit.admits() && !patience.tries_anyway {
            return Err(Failure::LeftAlone);
        }
        // The number of the connection that is waited on; 0 while one is being made.
        let on = AtomicU64::new(0);
        let mut work = pin!(async {
            let mut again = true;
            loop {
                let (number, connecting) = self.connection();
                on.store(0, Ordering::Relaxed);
                let mut connection = match connecting.await {
                    Ok(connection) => connection,
                    Err(error) => {
                        self.give_up(number);
                        return Err(error);
                    }
                };
                on.store(number, Ordering::Relaxed);
                match command.query_async(&mut connection).await {
                    Err(error) if error.is_unrecoverable_error() => {
                        self.give_up(number);
                        if !std::mem::take(&mut again) {
                            return Err(error);
                        }
                    }
                    result => return result,
                }
            }
        });
        let began = self.0.circuit.now();
        let longest = patience.deadline * WHILE_OTHERS_ARE_ANSWERED;
        loop {
            match tokio::time::timeout(patience.deadline, work.as_mut()).await {
                Ok(Ok(value)) => {
                    self.0.circuit.worked();
                    return Ok(value);
                }
                Ok(Err(error)) => return Err(Failure::Redis(error)),
                Err(_) if self.0.circuit.worked_within(patience.deadline) => {
                    if self.0.circuit.since(began) >= longest {
                        return Err(Failure::Late(longest));
                    }
                }
                Err(_) => {
                    // Nothing comes from there any more. 0 is no connection's number.
                    self.give_up(on.load(Ordering::Relaxed));
                    return Err(Failure::Late(patience.deadline));
                }
            }
        }
    }

    fn connection(&self) -> (u64, Connecting) {
        let mut current = self.0.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, connecting) = &mut *current;
        let connecting = connecting.get_or_insert_with(|| {
            *number += 1;
            let (client, config) = (self.0.client.clone(), self.0.config.clone());
            // In a task of its own, for whoever waits for it may give up sooner.
            let made = self.0.connecting.spawn(async move {
                let connecting = client.get_multiplexed_async_connection_with_config(&config);
                tokio::time::timeout(CONNECT_DEADLINE, connecting).await
            });
            async move {
                match made.await {
                    Ok(Ok(connection)) => connection,
                    Ok(Err(_)) => Err((ErrorKind::Io, "no connection in time").into()),
                    Err(_) => Err((ErrorKind::Io, "connecting broke off").into()),
                }
            }
            .boxed()
            .shared()
        });
        (*number, connecting.clone())
    }

    /// Lets the next command connect anew, unless another has seen to it.
    fn give_up(&self, number: u64) {
        let mut current = self.0.connection.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0 == number {
            current.1 = None;
        }
    }

    fn tell(&self, failure: Failure) -> LinkError {
        let text = match failure {
            Failure::LeftAlone => return LinkError::Unavailable("it failed a moment ago".to_owned()),
            Failure::Late(waited) => format!("no answer within {} ms", waited.as_millis()),
            Failure::Redis(error) => {
                let text = error.to_string();
                if matches!(
                    error.kind(),
                    ErrorKind::Server(_) | ErrorKind::Extension | ErrorKind::UnexpectedReturnType
                ) {
                    // The server answers, and at once: no reason to leave it alone.
                    self.0.circuit.worked();
                    if self.0.circuit.refusal_is_news() {
                        tracing::warn!(
                            server = self.0.circuit.server(),
                            error = text,
                            "Redis refuses commands"
                        );
                    }
                    return LinkError::Refused(text);
                }
                text
            }
        };
        self.0.circuit.failed(&text);
        LinkError::Unavailable(text)
    }
}

/// A script and its hash.
pub struct KnownScript {
    code: &'static str,
    by_hash: Script,
}

impl KnownScript {
    /// A script in Lua.
    #[must_use]
    pub fn new(code: &'static str) -> Self {
        Self { code, by_hash: Script::new(code) }
    }
}

enum Failure {
    /// It failed a moment ago: not tried.
    LeftAlone,
    Late(Duration),
    Redis(RedisError),
}
