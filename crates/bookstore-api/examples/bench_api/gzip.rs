//! What compressing an answer costs and saves, by size: the figures behind the threshold of
//! `http-server`.

use super::load::{Connection, get, repeated};
use super::process::Server;
use super::{Fallible, median};

const ROUNDS: usize = 5;
const REQUESTS: usize = 4_000;
const CONNECTIONS: usize = 16;
const SIZES: [usize; 5] = [1 << 10, 2 << 10, 8 << 10, 16 << 10, 64 << 10];

/// Real books as the API lists them, at least so many bytes.
async fn books(bytes: usize) -> Fallible<Vec<u8>> {
    let api = Server::api(&[("LOG_FILTER", "warn")]).await?;
    let mut connection = Connection::open(api.address).await?;
    let (mut all, mut cursor) = (Vec::new(), String::new());
    while all.len() < bytes {
        let page = connection.get(&format!("/api/v1/books?limit=100{cursor}")).await?;
        all.extend_from_slice(&page.body);
        cursor = match page.json()?.get("nextCursor").and_then(serde_json::Value::as_str) {
            Some(next) => format!("&cursor={next}"),
            None => String::new(),
        };
    }
    Ok(all)
}

pub(crate) async fn measure() -> Fallible<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("answer");
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n".as_slice();
    std::fs::write(&file, [head, &books(64 << 10).await?].concat())?;
    let server = Server::layer("gzip", &file).await?;
    println!("gzip, fastest level, {ROUNDS} rounds in turn of {REQUESTS} requests");
    println!(
        "  {:>10} {:>10} {:>18} {:>18} {:>22}",
        "bytes", "gzipped", "CPU µs/request", "gzipped", "µs per KiB saved"
    );
    for size in SIZES {
        let path = format!("/size/{size}");
        let (plain, gzipped) = (get(&path, ""), get(&path, "accept-encoding: gzip\r\n"));
        let length = |answer: super::load::Answer| f64::from(u32::try_from(answer.body.len()).unwrap_or(0));
        let mut connection = Connection::open(server.address).await?;
        let (whole, small) =
            (length(connection.send(&plain).await?), length(connection.send(&gzipped).await?));
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            for (request, figures) in [(&plain, &mut without), (&gzipped, &mut with)] {
                let before = server.cpu()?;
                repeated(server.address, request, CONNECTIONS, REQUESTS).await?;
                figures.push((server.cpu()? - before) * 1e6 / f64::from(u32::try_from(REQUESTS)?));
            }
        }
        let (without, with) = (median(&without), median(&with));
        println!(
            "  {whole:10.0} {small:10.0} {without:18.2} {with:18.2} {:22.2}",
            (with - without) / ((whole - small) / 1024.0)
        );
    }
    Ok(())
}
