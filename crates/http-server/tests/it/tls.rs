//! HTTPS with HTTP/2 by ALPN, beside plain HTTP/1.1.

use std::path::Path;
use std::sync::Arc;

use axum::routing::get;
use axum::{Extension, Router};
use http::Version;
use http_server::{Limits, ListenSettings, Peer, TlsIdentity, TlsSettings};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::frames::{DATA, END_STREAM, Frames, HEADERS, RST_STREAM};
use crate::stage::{PATIENCE, Running, SHORT, gate, hello, limits, start_with, until_closed};

fn certificate(folder: &Path) -> std::path::PathBuf {
    folder.join("tls-development.crt")
}

pub async fn service(folder: &Path, router: Router, limits: Limits) -> Running {
    let identity = TlsIdentity::self_signed(folder.to_owned());
    let tls = Some(TlsSettings { port: 0, identity });
    let hosts = vec!["books.example".to_owned()];
    start_with(router, ListenSettings { tls, allowed_hosts: hosts, limits, ..ListenSettings::default() })
        .await
}

/// A client that trusts the development certificate and nothing else.
pub fn client(folder: &Path) -> reqwest::ClientBuilder {
    let pem = std::fs::read(certificate(folder)).unwrap();
    let trusted = reqwest::Certificate::from_pem(&pem).unwrap();
    reqwest::Client::builder().timeout(PATIENCE).no_proxy().tls_certs_only([trusted])
}

/// A connection after its handshake, on which nothing was sent yet.
pub async fn shaken(service: &Running, folder: &Path, protocol: &[u8]) -> TlsStream<TcpStream> {
    shake(TcpStream::connect(service.secure.unwrap()).await.unwrap(), folder, protocol).await
}

/// The handshake on a connection.
pub async fn shake(stream: TcpStream, folder: &Path, protocol: &[u8]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate(folder)).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from("books.example").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

#[tokio::test]
async fn both_protocols_are_spoken_and_each_listener_has_its_scheme() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path(), hello(), limits()).await;
    let port = service.secure.unwrap().port();
    let (two, one) =
        (client(folder.path()).build().unwrap(), client(folder.path()).http1_only().build().unwrap());
    for (client, version) in [(&two, Version::HTTP_2), (&one, Version::HTTP_11)] {
        for host in ["localhost", "127.0.0.1"] {
            let response = client.get(format!("https://{host}:{port}/hello")).send().await.unwrap();
            assert_eq!((response.status().as_u16(), response.version()), (200, version));
            assert_eq!(response.text().await.unwrap(), "hello");
        }
    }
    assert_eq!(service.get("/hello").send().await.unwrap().version(), Version::HTTP_11);
    let text = service.metrics.render();
    for (scheme, count) in [("https", 4), ("http", 1)] {
        let line = format!(
            r#"http_server_request_duration_seconds_count{{http_request_method="GET",http_response_status_code="200",http_route="/hello",url_scheme="{scheme}"}} {count}"#
        );
        assert!(text.contains(&line), "{line} is not in\n{text}");
        let none =
            format!(r#"http_server_active_requests{{http_request_method="GET",url_scheme="{scheme}"}} 0"#);
        assert!(text.contains(&none), "{none} is not in\n{text}");
    }
}

#[tokio::test]
async fn a_request_knows_its_peer_over_every_protocol() {
    let folder = tempfile::tempdir().unwrap();
    let peer = async |Extension(Peer(address)): Extension<Peer>| address.to_string();
    let service = service(folder.path(), Router::new().route("/peer", get(peer)), limits()).await;
    assert_eq!(service.get("/peer").send().await.unwrap().text().await.unwrap(), "127.0.0.1");
    let url = format!("https://{}/peer", service.secure.unwrap());
    // An address of its own, so that the answer cannot be the service's.
    let (two, one) = (client(folder.path()), client(folder.path()).http1_only());
    for (builder, version) in [(two, Version::HTTP_2), (one, Version::HTTP_11)] {
        let client = builder.local_address(Some([127, 0, 0, 9].into())).build().unwrap();
        let response = client.get(&url).header("X-Forwarded-For", "10.0.0.1").send().await.unwrap();
        assert_eq!(response.version(), version);
        assert_eq!(response.text().await.unwrap(), "127.0.0.9");
    }
}

#[tokio::test]
async fn hosts_and_problems_are_the_same_over_http_2() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path(), hello(), limits()).await;
    let address = service.secure.unwrap();
    let client = client(folder.path())
        .resolve("books.example", address)
        .resolve("evil.example", address)
        .danger_accept_invalid_hostnames(true)
        .build()
        .unwrap();
    let ask = async |host: &str| {
        let response = client.get(format!("https://{host}:{}/API/x", address.port())).send().await.unwrap();
        assert_eq!(response.version(), Version::HTTP_2);
        let status = response.status().as_u16();
        let problem: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        (status, problem["code"].as_str().unwrap().to_owned(), problem["instance"].clone())
    };
    assert_eq!(ask("books.example").await, (404, "route_not_found".to_owned(), "/API/x".into()));
    assert_eq!(ask("evil.example").await, (421, "host_not_allowed".to_owned(), "/API/x".into()));
}

#[tokio::test]
async fn problems_for_head_have_a_length_and_no_body() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path(), hello(), limits()).await;
    let mut frames = Frames::begin(shaken(&service, folder.path(), b"h2").await, 65_535).await;
    let asked = [("books.example", "/nowhere"), ("evil.example", "/hello"), ("books.example", "/hello")];
    for ((host, path), stream) in asked.into_iter().zip([1, 3, 5]) {
        frames.ask(stream, "HEAD", host, path).await;
        let frame = frames.until(&[HEADERS, DATA, RST_STREAM]).await;
        assert_eq!((frame.kind, frame.stream), (HEADERS, stream));
        assert!(frame.flags & END_STREAM != 0, "a body follows the head of {host}{path}");
    }
    for (host, path, status) in [("books.example", "/nowhere", 404), ("evil.example", "/hello", 421)] {
        let ask = async |method: &str| {
            let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let answer = until_closed(service.sent(&request).await).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            (length.parse::<usize>().unwrap(), body.len())
        };
        let (whole, empty) = (ask("GET").await, ask("HEAD").await);
        assert_eq!((whole.0, whole.1, empty.1), (empty.0, empty.0, 0));
    }
    let text = service.metrics.render();
    assert!(!text.contains(r#"error_type="cut""#) && !text.contains("cancelled"), "{text}");
}

#[tokio::test]
async fn a_handshake_has_a_deadline_and_plain_text_is_no_handshake() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path(), hello(), Limits { header_timeout: SHORT, ..limits() }).await;
    for text in ["", "\x16\x03\x01", "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
        let mut stream = TcpStream::connect(service.secure.unwrap()).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("it stays open");
        assert!(!String::from_utf8_lossy(&answer).contains("hello"), "{answer:?}");
    }
    let response = client(folder.path()).build().unwrap();
    let url = format!("https://{}/hello", service.secure.unwrap());
    assert_eq!(response.get(url).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn who_shakes_hands_and_then_says_nothing_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path(), hello(), Limits { header_timeout: SHORT, ..limits() }).await;
    for (protocol, beginning) in [
        (b"h2".as_slice(), b"".as_slice()),
        (b"h2", b"PRI * HTTP/2.0\r\n"),
        (b"http/1.1", b""),
        (b"http/1.1", b"GET /hello HTTP/1.1\r\nHost"),
    ] {
        let mut stream = shaken(&service, folder.path(), protocol).await;
        stream.write_all(beginning).await.unwrap();
        stream.flush().await.unwrap();
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("it stays open");
        assert!(!String::from_utf8_lossy(&answer).contains("200 OK"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_stop_answers_what_is_under_way_and_waits_for_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (router, entered, leave) = gate();
    let mut service = service(folder.path(), router, limits()).await;
    let half = TcpStream::connect(service.secure.unwrap()).await.unwrap();
    let silent = shaken(&service, folder.path(), b"h2").await;
    let plain_half = service.sent("GET /gate HTTP/1.1\r\nHost").await;
    let client = client(folder.path()).build().unwrap();
    let url = format!("https://{}/gate", service.secure.unwrap());
    let request = client.get(url).send();
    let stop = async {
        entered.notified().await;
        service.cancel();
        while TcpStream::connect(service.secure.unwrap()).await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
        leave.notify_one();
    };
    let (response, ()) = tokio::join!(request, stop);
    assert_eq!(response.unwrap().text().await.unwrap(), "through");
    // Within PATIENCE, though all deadlines are longer.
    service.stopped().await;
    drop((half, silent));
    assert!(!until_closed(plain_half).await.contains("200 OK"));
}

#[tokio::test]
async fn the_drain_deadline_cuts_streams_that_hang() {
    let folder = tempfile::tempdir().unwrap();
    let (router, entered, _leave) = gate();
    let mut service = service(folder.path(), router, Limits { drain_deadline: SHORT, ..limits() }).await;
    let client = client(folder.path()).build().unwrap();
    let request = client.get(format!("https://{}/gate", service.secure.unwrap())).send();
    let stop = async {
        entered.notified().await;
        service.cancel();
        service.stopped().await;
    };
    let (response, ()) = tokio::join!(request, stop);
    assert!(response.is_err_and(|error| !error.is_timeout()), "nobody answered it");
    assert!(service.metrics.render().contains(r#"error_type="cancelled""#), "its handler was dropped");
}

#[tokio::test]
async fn what_shakes_hands_at_the_stop_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = service(folder.path(), hello(), limits()).await;
    let address = service.secure.unwrap();
    let taken = TcpStream::connect(address).await.unwrap();
    // Long enough to be accepted; nothing breaks where it is not.
    tokio::time::sleep(SHORT / 3).await;
    // These wait in the kernel: nothing is polled until the service is told to stop.
    let waiting: Vec<_> = (0..3).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    service.cancel();
    let mut streams = vec![taken];
    for stream in waiting {
        stream.set_nonblocking(true).unwrap();
        streams.push(TcpStream::from_std(stream).unwrap());
    }
    for stream in streams {
        let mut frames = Frames::begin(shake(stream, folder.path(), b"h2").await, 65_535).await;
        frames.ask(1, "GET", "books.example", "/hello").await;
        assert_eq!(frames.until(&[HEADERS, RST_STREAM]).await.kind, HEADERS);
        let data = frames.until(&[DATA, RST_STREAM]).await;
        assert_eq!((data.kind, data.flags & END_STREAM), (DATA, END_STREAM));
    }
    service.stopped().await;
}
