//! Clients that do not read what they asked for: they must not keep a place, nor a socket, for ever.

use http_server::Limits;

use crate::frames::{Frames, HEADERS, RST_STREAM};
use crate::stage::{SHORT, hello, limits};
use crate::tls;

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
