//! Clients that do not read what they asked for: they must not keep a place, nor a socket, for ever.

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use http_server::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::frames::{Frames, GOAWAY, HEADERS, RST_STREAM};
use crate::stage::{PATIENCE, SHORT, hello, limits, start, until_closed};
use crate::tls;

/// More bytes than sockets take unread.
const LARGE: usize = 16 << 20;
/// What the large answer is made of, which no header has.
const FILL: u8 = b'#';
const ASK: &str = "GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Besides a small answer a large one, made at once.
fn routes() -> Router {
    hello().route("/large", get(async || Body::from(Bytes::from(vec![FILL; LARGE]))))
}

/// How many bytes of a body come on a connection, read with pauses.
async fn read_slowly(mut stream: TcpStream, piece: usize, pause: std::time::Duration) -> usize {
    let (mut bytes, mut whole) = (vec![0; piece], 0);
    while let Ok(Ok(read @ 1..)) = timeout(PATIENCE, stream.read(&mut bytes)).await {
        whole += bytes[..read].iter().filter(|byte| **byte == FILL).count();
        if whole >= LARGE {
            break;
        }
        sleep(pause).await;
    }
    whole
}

#[tokio::test]
async fn a_stream_whose_window_stays_shut_gives_its_place_back() {
    let folder = tempfile::tempdir().unwrap();
    let limits =
        Limits { request_deadline: SHORT, answer_timeout: SHORT * 6, concurrent_requests: 1, ..limits() };
    let service = tls::service(folder.path(), hello(), limits).await;
    let connection = tls::shaken(&service, folder.path(), b"h2").await;
    let mut frames = Frames::begin(connection, 0).await;
    frames.ask(1, "GET", "books.example", "/hello").await;
    assert_eq!(frames.until(&[HEADERS, RST_STREAM]).await.kind, HEADERS);
    assert_eq!(service.get("/hello").send().await.unwrap().status(), 503, "the place is taken");
    let reset = frames.until(&[RST_STREAM]).await;
    assert_eq!(reset.stream, 1);
    assert_eq!(service.get("/hello").send().await.unwrap().text().await.unwrap(), "hello");
}

#[tokio::test]
async fn a_connection_without_streams_is_said_goodbye() {
    let folder = tempfile::tempdir().unwrap();
    let service = tls::service(
        folder.path(),
        hello(),
        Limits { idle_timeout: SHORT, header_timeout: SHORT, ..limits() },
    )
    .await;
    let mut frames = Frames::begin(tls::shaken(&service, folder.path(), b"h2").await, 65_535).await;
    frames.ask(1, "GET", "books.example", "/hello").await;
    assert_eq!(frames.until(&[HEADERS, GOAWAY]).await.kind, HEADERS);
    frames.until(&[GOAWAY]).await;
    while frames.next().await.is_some() {}
}

#[tokio::test]
async fn a_client_that_never_reads_loses_its_connection() {
    let limits = Limits { write_timeout: SHORT, connections: 1, ..limits() };
    let service = start(routes(), limits).await;
    let unread = service.sent("GET /large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert_eq!(service.get("/hello").send().await.unwrap().text().await.unwrap(), "hello");
    drop(unread);
}

#[tokio::test]
async fn more_connections_than_the_limit_wait() {
    let service = start(hello(), Limits { connections: 1, ..limits() }).await;
    let ask = "GET /hello HTTP/1.1\r\nHost: localhost\r\n";
    let mut first = service.sent(&format!("{ask}\r\n")).await;
    let mut byte = [0];
    first.read_exact(&mut byte).await.unwrap();
    let mut second = service.sent(&format!("{ask}Connection: close\r\n\r\n")).await;
    assert!(timeout(SHORT, second.read(&mut byte)).await.is_err(), "it does not wait");
    first.shutdown().await.unwrap();
    assert!(until_closed(second).await.ends_with("hello"));
}

#[tokio::test]
async fn a_client_that_still_reads_is_not_taken_for_silent() {
    let service = start(routes(), Limits { header_timeout: SHORT, ..limits() }).await;
    // All along the kernel has more than what it sends within the deadline for the next head.
    let read = read_slowly(service.sent(ASK).await, 128 << 10, SHORT / 6).await;
    assert_eq!(read, LARGE);
}

#[tokio::test]
async fn a_client_that_reads_on_and_on_is_cut() {
    let limits = Limits { request_deadline: SHORT, answer_timeout: SHORT, ..limits() };
    let service = start(routes(), limits).await;
    let read = read_slowly(service.sent(ASK).await, 64 << 10, SHORT / 6).await;
    assert!(read < LARGE, "it took all its time");
}

#[tokio::test]
async fn an_answer_that_is_being_read_at_the_stop_arrives_whole() {
    let mut service = start(routes(), limits()).await;
    let mut stream = service.sent(ASK).await;
    stream.read_exact(&mut [0; 15]).await.unwrap();
    service.cancel();
    sleep(SHORT).await;
    assert_eq!(read_slowly(stream, 256 << 10, SHORT / 30).await, LARGE);
    service.stopped().await;
}
