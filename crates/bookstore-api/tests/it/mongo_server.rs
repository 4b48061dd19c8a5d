//! The MongoDB that `MONGODB_URI` names: a database of its own for each test, dropped at its end.

use bookstore_api::store::mongo::MongoStore;
use mongodb::bson::Document;
use mongodb::{Client, Collection};
use uuid::Uuid;

use crate::servers::mongodb_uri;

/// A database that is dropped at the end.
pub struct Scratch {
    /// Names the server and this database.
    pub uri: String,
    name: String,
}

impl Scratch {
    pub fn new() -> Self {
        Self::at(&mongodb_uri())
    }

    /// On the server of this URI.
    pub fn at(uri: &str) -> Self {
        let name = format!("test_{}", Uuid::now_v7().simple());
        Self { uri: with_database(uri, &name), name }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The store in it.
    pub async fn store(&self) -> MongoStore {
        MongoStore::open(&self.uri).await.unwrap()
    }

    /// A collection, past the store.
    pub async fn collection(&self, name: &str) -> Collection<Document> {
        Client::with_uri_str(&self.uri).await.unwrap().database(&self.name).collection(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let (uri, name) = (mongodb_uri(), self.name.clone());
        // A runtime of its own: the test's may be about to end.
        let dropped = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
                Client::with_uri_str(uri).await.unwrap().database(&name).drop().await.unwrap();
            });
        });
        if dropped.join().is_err() {
            eprintln!("the database {} could not be dropped", self.name);
        }
    }
}

/// The URI with this database in place of its own.
fn with_database(uri: &str, name: &str) -> String {
    let (scheme, rest) = uri.split_once("://").unwrap();
    let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
    let host = rest.split_once('/').map_or(rest, |(host, _)| host);
    let mut options = options.to_owned();
    if host.contains('@') && !options.contains("authSource") {
        // Else the users of this database would be asked, which has none.
        options = format!("authSource=admin&{options}");
    }
    format!("{scheme}://{host}/{name}?{options}")
}
