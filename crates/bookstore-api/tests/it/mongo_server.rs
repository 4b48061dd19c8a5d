//! The MongoDB that `MONGODB_URI` names: a database of its own for each test, dropped at its end.

use std::time::Duration;

use bookstore_api::store::mongo::MongoStore;
use mongodb::bson::Document;
use mongodb::{Client, Collection};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

/// A variable that names a server.
pub fn server(variable: &str) -> String {
    std::env::var(variable).ok().filter(|value| !value.is_empty()).unwrap_or_else(|| {
        panic!("{variable} is not set: `make test-integration` starts the servers and sets it")
    })
}

/// A database that is dropped at the end.
pub struct Scratch {
    /// Names the server and this database.
    pub uri: String,
    name: String,
}

impl Scratch {
    pub fn new() -> Self {
        Self::at(&server("MONGODB_URI"))
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
        let (uri, name) = (server("MONGODB_URI"), self.name.clone());
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

/// A way to MongoDB on which a test puts faults. Gone when dropped.
pub struct Proxy {
    client: reqwest::Client,
    toxiproxy: String,
    name: String,
    address: String,
}

impl Proxy {
    pub async fn to_mongodb() -> Self {
        let uri = server("MONGODB_URI");
        let host = uri.split_once("://").unwrap().1;
        assert!(!host.contains('@') && !host.contains(','), "tests want one server without a password");
        let upstream = host.split(['/', '?']).next().unwrap().replace("localhost", "127.0.0.1");
        let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).no_proxy().build().unwrap();
        let toxiproxy = server("TOXIPROXY_URL");
        let name = format!("test-{}", Uuid::now_v7().simple());
        let proxy = json!({ "name": name, "listen": "127.0.0.1:0", "upstream": upstream, "enabled": true });
        let made = client.post(format!("{toxiproxy}/proxies")).json(&proxy).send().await.unwrap();
        let made: Value = made.error_for_status().unwrap().json().await.unwrap();
        let address = made["listen"].as_str().unwrap().to_owned();
        Self { client, toxiproxy, name, address }
    }

    /// MongoDB's URI by this way.
    pub fn uri(&self) -> String {
        // Past it a replica set would name its members' own addresses.
        format!("mongodb://{}/?directConnection=true", self.address)
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) {
        let url = format!("{}/proxies/{}{path}", self.toxiproxy, self.name);
        self.client.request(method, url).json(body).send().await.unwrap().error_for_status().unwrap();
    }

    /// Puts a fault on both directions, by toxiproxy's names.
    pub async fn fault(&self, kind: &str, attributes: Value) {
        for stream in ["upstream", "downstream"] {
            let toxic = json!({ "name": stream, "type": kind, "stream": stream, "attributes": attributes });
            self.ask(Method::POST, "/toxics", &toxic).await;
        }
    }

    /// Takes the fault away.
    pub async fn heal(&self) {
        for stream in ["upstream", "downstream"] {
            self.ask(Method::DELETE, &format!("/toxics/{stream}"), &Value::Null).await;
        }
    }

    /// Cuts all connections and refuses new ones, or lets them through again.
    pub async fn enable(&self, enabled: bool) {
        self.ask(Method::POST, "", &json!({ "enabled": enabled })).await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let (client, url) = (self.client.clone(), format!("{}/proxies/{}", self.toxiproxy, self.name));
        // A runtime of its own: the test's may be about to end.
        let _ = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let _ = runtime.block_on(async { client.delete(url).send().await });
        })
        .join();
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
