//! The MongoDB store: for a standalone server as well as a replica set, without transactions.
//!
//! Owns the connection, deadlines, the schema's version and the mapping of errors. A write is one
//! conditional change of one document; what spans several is ordered so that whoever breaks off leaves
//! a mark by which [`crate::store::Upkeep::tend`] of any instance completes it. Nothing of the URI but its
//! hosts is ever shown.

use std::collections::BTreeSet;
use std::time::Duration;

use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::error::{ErrorKind, WriteFailure};
use mongodb::options::{Acknowledgment, ClientOptions, ReadPreference, SelectionCriteria, WriteConcern};
use mongodb::{Client, Collection, Database};
use telemetry::ConnectionPool;

use super::StoreError;
use documents::{AuthorDocument, BookDocument, ClaimDocument, SummaryDocument};

mod authors;
mod books;
mod check;
mod claims;
mod documents;
mod imports;
mod indexes;
mod lists;
mod pool;
mod references;
mod restore;
mod summaries;
mod tallies;
mod upkeep;

/// Database when the URI names none.
const DATABASE: &str = "bookstore";
/// The schema that this program reads and writes.
const VERSION: i32 = 1;
/// Longest wait for a connection, and for an answer to the driver's own heartbeats: with the half
/// second that it waits between two of them, this bounds how long a server that is back stays unseen.
const CONNECT: Duration = Duration::from_millis(1_200);
/// Time between two heartbeats: within so long a dead server is known to be dead.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Longest wait for a server to be there.
const SELECTION: Duration = Duration::from_secs(4);
/// Longest wait for any operation of a request.
const DEADLINE: Duration = Duration::from_secs(5);
/// Longest time that the server spends on a read: it gives up before we do.
const READ: Duration = Duration::from_millis(4_500);
/// Longest wait for a batch. Less than [`SETTLED`]: see there.
const BATCH_DEADLINE: Duration = Duration::from_secs(30);
/// Longest wait for upkeep and checks.
const LONG_DEADLINE: Duration = Duration::from_secs(600);
/// Longest wait for indexes at the start; a large store that lacks some takes its time.
const INDEX_DEADLINE: Duration = Duration::from_secs(120);
/// After so long no write can be under way that began before: what is half done then, stays so until
/// it is completed.
const SETTLED: Duration = Duration::from_secs(60);
/// Connections, unless the URI says otherwise. The driver's own 10 would queue a busy service's reads.
const CONNECTIONS: u32 = 64;
/// Connections opened at a time.
const CONNECTING: u32 = 8;
/// Times that a conditional write is tried again when others were faster.
const ATTEMPTS: u32 = 200;

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URI cannot be used.
    #[error("MONGODB_URI cannot be used: {0}; it looks like mongodb://127.0.0.1:27017/bookstore")]
    Uri(String),
    /// The server cannot be reached.
    #[error(
        "MongoDB at {hosts} cannot be reached: {reason}; start MongoDB or unset MONGODB_URI, then the store is embedded"
    )]
    Unreachable {
        /// Where.
        hosts: String,
        /// Why.
        reason: String,
    },
    /// The server does not let us in, or not do what we have to.
    #[error("MongoDB at {hosts} refuses: {reason}; check user, password and their rights in MONGODB_URI")]
    Refused {
        /// Where.
        hosts: String,
        /// Why.
        reason: String,
    },
    /// A newer program wrote it.
    #[error(
        "the database {database} at {hosts} has schema version {found}, this program knows up to {VERSION}; start a newer program"
    )]
    Newer {
        /// Where.
        hosts: String,
        /// Name of the database.
        database: String,
        /// Its version.
        found: i32,
    },
}

impl OpenError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Uri(_) => "uri",
            Self::Unreachable { .. } => "unreachable",
            Self::Refused { .. } => "refused",
            Self::Newer { .. } => "newer",
        }
    }
}

/// The store.
#[derive(Clone, Debug)]
pub struct MongoStore {
    database: Database,
}

impl MongoStore {
    /// Connects, checks the schema's version and makes the indexes that are missing.
    ///
    /// # Errors
    /// When the URI is none, the server is not there in time or refuses, or a newer program wrote the
    /// database.
    pub async fn open(uri: &str) -> Result<Self, OpenError> {
        Self::open_with(uri, None).await
    }

    /// The same, with its connections counted in `pool`.
    ///
    /// # Errors
    /// As [`MongoStore::open`].
    pub async fn open_counted(uri: &str, pool: ConnectionPool) -> Result<Self, OpenError> {
        Self::open_with(uri, Some(pool)).await
    }

    async fn open_with(uri: &str, pool: Option<ConnectionPool>) -> Result<Self, OpenError> {
        let parsed = tokio::time::timeout(SELECTION, ClientOptions::parse(uri)).await;
        let mut options = match parsed {
            Ok(Ok(options)) => options,
            Ok(Err(error)) => return Err(OpenError::Uri(without_secrets(&error, uri))),
            Err(_) => return Err(OpenError::Uri("its hosts were not found in DNS in time".to_owned())),
        };
        let hosts: Vec<String> = options.hosts.iter().map(ToString::to_string).collect();
        let hosts = hosts.join(", ");
        adjust(&mut options);
        options.cmap_event_handler = pool.map(pool::counted_in);
        let name = options.default_database.clone().unwrap_or_else(|| DATABASE.to_owned());
        let client =
            Client::with_options(options).map_err(|error| OpenError::Uri(without_secrets(&error, uri)))?;
        let this = Self { database: client.database(&name) };
        let refused = |error: StoreError| {
            let hosts = hosts.clone();
            match error {
                StoreError::Timeout => {
                    OpenError::Unreachable { hosts, reason: "no answer in time".to_owned() }
                }
                StoreError::Unavailable(reason) => OpenError::Refused { hosts, reason },
                other => OpenError::Refused { hosts, reason: other.to_string() },
            }
        };
        match tokio::time::timeout(DEADLINE, this.database.run_command(doc! { "ping": 1 })).await {
            Err(_) => return Err(refused(StoreError::Timeout)),
            Ok(Err(error)) if is_refusal(&error) => return Err(refused(error.into())),
            Ok(Err(error)) => {
                let reason = match StoreError::from(error) {
                    StoreError::Unavailable(reason) => reason,
                    other => other.to_string(),
                };
                return Err(OpenError::Unreachable { hosts, reason });
            }
            Ok(Ok(_)) => {}
        }
        // The version first: a newer program's indexes are not ours to touch.
        let found = within(DEADLINE, this.schema_version()).await.map_err(&refused)?;
        if found > VERSION {
            return Err(OpenError::Newer { hosts, database: name, found });
        }
        within(INDEX_DEADLINE, this.create_indexes()).await.map_err(&refused)?;
        Ok(this)
    }

    /// The version that the database has; writes ours down where there is none.
    async fn schema_version(&self) -> Result<i32, StoreError> {
        let facts = self.facts();
        if let Some(fact) = facts.find_one(doc! { "_id": "schema" }).await? {
            return version_of(&fact);
        }
        let first = doc! { "_id": "schema", "version": VERSION, "at": DateTime::now() };
        match facts.insert_one(first).await {
            Err(error) if duplicate(&error).is_none() => return Err(error.into()),
            // Another instance may have been faster.
            _ => {}
        }
        facts.find_one(doc! { "_id": "schema" }).await?.as_ref().map_or(Ok(VERSION), version_of)
    }

    fn books(&self) -> Collection<BookDocument> {
        self.database.collection("books")
    }

    fn authors(&self) -> Collection<AuthorDocument> {
        self.database.collection("authors")
    }

    fn summaries(&self) -> Collection<SummaryDocument> {
        self.database.collection("summaries")
    }

    fn claims(&self) -> Collection<ClaimDocument> {
        self.database.collection("claims")
    }

    fn jobs(&self) -> Collection<Document> {
        self.database.collection("jobs")
    }

    fn tallies(&self) -> Collection<tallies::TallyDocument> {
        self.database.collection("tallies")
    }

    fn facts(&self) -> Collection<Document> {
        self.database.collection("facts")
    }
}

fn version_of(fact: &Document) -> Result<i32, StoreError> {
    match fact.get("version") {
        Some(Bson::Int32(version)) => Ok(*version),
        // Whatever does not fit is newer than all we know.
        Some(Bson::Int64(version)) => Ok(i32::try_from(*version).unwrap_or(i32::MAX)),
        _ => Err(StoreError::Corrupt("the schema's version is no whole number".to_owned())),
    }
}

/// What the URI leaves open, and what it has no say in.
fn adjust(options: &mut ClientOptions) {
    options.app_name.get_or_insert_with(|| "bookstore-api".to_owned());
    options.connect_timeout.get_or_insert(CONNECT);
    options.heartbeat_freq.get_or_insert(HEARTBEAT);
    options.server_selection_timeout.get_or_insert(SELECTION);
    options.max_pool_size.get_or_insert(CONNECTIONS);
    options.max_connecting.get_or_insert(CONNECTING);
    // An answered write is on a majority's disk, and the next read sees it. Retryable writes stay as the
    // URI has them: where the server has them (a replica set) they carry a write over an election, a
    // standalone has none, and no write here depends on them.
    options.write_concern =
        Some(WriteConcern::builder().w(Acknowledgment::Majority).journal(true).w_timeout(SELECTION).build());
    options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
}

/// The driver's words, unless they hold the user's or password's.
fn without_secrets(error: &mongodb::error::Error, uri: &str) -> String {
    let text = match error.kind.as_ref() {
        ErrorKind::InvalidArgument { message, .. } | ErrorKind::DnsResolve { message, .. } => message.clone(),
        _ => error.kind.to_string(),
    };
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    // A password may hold any sign: everything before the last @ may be part of it.
    let secret = rest.rsplit_once('@').map(|(secret, _)| secret).unwrap_or_default();
    let leaks =
        secret.split([':', '@', '/', '?', '&', '=']).any(|part| part.len() > 2 && text.contains(part));
    if leaks { "it is not in the form of a connection string".to_owned() } else { text }
}

/// Runs an operation to its end or its deadline.
async fn within<T>(
    deadline: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(deadline, work).await.unwrap_or(Err(StoreError::Timeout))
}

/// The wait before a conditional write is tried again: none at first, then longer and by chance, so that
/// many writers of one document all come through.
async fn pause(attempt: u32) {
    if attempt > 2 {
        let longest = u64::from(attempt.min(50));
        let chance = uuid::Uuid::now_v7().as_u64_pair().1 % longest;
        tokio::time::sleep(Duration::from_millis(chance)).await;
    }
}

/// Others were faster each time.
fn contended(what: &str) -> StoreError {
    StoreError::Unavailable(format!("{what} is being changed by too many at once; try again"))
}

/// The index whose uniqueness a write would have broken.
fn duplicate(error: &mongodb::error::Error) -> Option<String> {
    let message = match error.kind.as_ref() {
        ErrorKind::Write(WriteFailure::WriteError(error)) if error.code == 11_000 => &error.message,
        ErrorKind::Command(error) if error.code == 11_000 => &error.message,
        _ => return None,
    };
    Some(index_in(message))
}

/// The name of the index in the server's words: `… index: isbn dup key: …`.
fn index_in(message: &str) -> String {
    let index = message.split_once(" index: ").and_then(|(_, rest)| rest.split_whitespace().next());
    index.unwrap_or_default().to_owned()
}

/// Whether the server is there but does not let us.
fn is_refusal(error: &mongodb::error::Error) -> bool {
    // 13: unauthorized; 18: authentication failed.
    matches!(error.kind.as_ref(), ErrorKind::Authentication { .. })
        || matches!(error.kind.as_ref(), ErrorKind::Command(error) if [13, 18, 8_000].contains(&error.code))
}

impl From<mongodb::error::Error> for StoreError {
    fn from(error: mongodb::error::Error) -> Self {
        match error.kind.as_ref() {
            // 50: the server's own limit of time; 64: a majority did not confirm in time.
            ErrorKind::Command(error) if [50, 64].contains(&error.code) => Self::Timeout,
            ErrorKind::Write(WriteFailure::WriteConcernError(error)) if error.code == 64 => Self::Timeout,
            ErrorKind::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => Self::Timeout,
            ErrorKind::BsonDeserialization(error) => Self::Corrupt(error.to_string()),
            ErrorKind::Bson(error) => Self::Corrupt(error.to_string()),
            ErrorKind::BsonSerialization(error) => Self::Corrupt(error.to_string()),
            ErrorKind::ServerSelection { message, .. } => Self::Unavailable(unselected(message)),
            kind => Self::Unavailable(kind.to_string()),
        }
    }
}

/// Why there is no server, out of the driver's description of all it knows of each.
fn unselected(message: &str) -> String {
    let causes = message.split("Error: Kind: ").skip(1).filter_map(|rest| rest.split(", labels:").next());
    let causes: BTreeSet<&str> = causes.collect();
    if causes.is_empty() {
        return "no server answers in time".to_owned();
    }
    causes.into_iter().collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::{MongoStore, OpenError, index_in, unselected};

    #[test]
    fn the_index_is_in_the_servers_words() {
        let message =
            "E11000 duplicate key error collection: bookstore.books index: isbn dup key: { isbn: \"9\" }";
        assert_eq!(index_in(message), "isbn");
        assert_eq!(index_in("something else"), "");
    }

    #[test]
    fn the_cause_is_in_the_drivers_words() {
        let message = "Server selection timeout: No available servers. Topology: { Type: Unknown, Servers: [ { Address: \
            127.0.0.1:9, Type: Unknown, Error: Kind: I/O error: Connection refused (os error 111), labels: {} } ] }";
        assert_eq!(unselected(message), "I/O error: Connection refused (os error 111)");
        assert_eq!(unselected("Server selection timeout"), "no server answers in time");
    }

    #[tokio::test]
    async fn a_wrong_uri_is_refused_without_its_password() {
        for uri in [
            "mongodb://user:canary@",
            "mongodb://user:can/ary@host:1/x",
            "mongodb://user:canary@host:notaport/x",
            "mongodb://user:canary@host:1/x?connectTimeoutMS=canary",
            "http://user:canary@host/x",
        ] {
            let error = MongoStore::open(uri).await.unwrap_err();
            assert!(matches!(error, OpenError::Uri(_)), "{uri}: {error}");
            let text = format!("{error} {error:?}");
            assert!(!text.contains("canary") && !text.contains("ary@"), "{text}");
        }
    }
}
