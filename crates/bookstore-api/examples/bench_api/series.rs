//! What 100,000 paths that nobody knows leave in the metrics: nothing.

use super::Fallible;
use super::load::Connection;
use super::process::Server;

const URLS: usize = 100_000;
const CONNECTIONS: usize = 16;

async fn series(connection: &mut Connection) -> Fallible<usize> {
    let text = connection.get("/metrics").await?.body;
    Ok(text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && !line.starts_with(b"#")).count())
}

pub(crate) async fn measure() -> Fallible<()> {
    let server = Server::api(&[("LOG_FILTER", "warn")]).await?;
    let mut connection = Connection::open(server.address).await?;
    // The one series of all paths that no route matches, and that of /metrics itself.
    connection.get("/nobody").await?;
    connection.get("/metrics").await?;
    let before = series(&mut connection).await?;
    let ask = async |first: usize| -> Fallible<()> {
        let mut connection = Connection::open(server.address).await?;
        for number in (first..URLS).step_by(CONNECTIONS) {
            let answer = connection.get(&format!("/nobody/{number}/at/all")).await?;
            if answer.status != 404 {
                return Err(answer.head.into());
            }
        }
        Ok(())
    };
    futures::future::try_join_all((0..CONNECTIONS).map(ask)).await?;
    let after = series(&mut connection).await?;
    println!("{URLS} distinct URLs that no route matches");
    println!("  series before {before}, after {after}   (wanted: as many)");
    Ok(())
}
