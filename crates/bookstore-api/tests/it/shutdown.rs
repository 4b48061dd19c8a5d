//! The stop of the real binary: under load on both listeners, with connections that will never
//! finish what they began. Also what HTTPS and sampling look like from outside.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Client, Version};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::service::{PATIENCE, Service, Start, is_private, plain_lines};
use crate::upstream::Upstream;

/// Longest stop that an operator is promised.
const STOP: Duration = Duration::from_secs(10);

/// A client that takes the development certificate as it is.
fn client() -> Client {
    Client::builder().timeout(PATIENCE).no_proxy().tls_danger_accept_invalid_certs(true).build().unwrap()
}

async fn secure_address(service: &Service) -> SocketAddr {
    let event = service.logged(|event| event["message"] == "listening for HTTPS").await;
    event["address"].as_str().unwrap().parse().unwrap()
}

fn with_tls(start: Start) -> Start {
    start.argument("--tls-self-signed", "true").argument("--https-port", "0")
}

#[tokio::test]
async fn a_stop_under_load_loses_nothing_and_ends_in_time() {
    let upstream = Upstream::counting(Duration::from_millis(1_500)).await;
    let start = with_tls(Start::new(&upstream.url()));
    let mut service = start.serve();
    let (plain, secure) = (service.address(), secure_address(&service).await);
    let slow: Vec<String> = {
        let mut books = Vec::new();
        for number in 0..4 {
            books.push(service.book(&format!("Slow {number}")).await);
        }
        books
    };

    // Heads and handshakes that never end, and connections that say nothing at all.
    let mut halves = Vec::new();
    for (address, beginning) in [
        (plain, b"POST /api/v1/books HTTP/1.1\r\nHost: localhost\r\nX-Half".as_slice()),
        (plain, b""),
        (secure, b"\x16\x03\x01\x02\x00\x01\x00"),
        (secure, b""),
    ] {
        for _ in 0..10 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(beginning).await.unwrap();
            halves.push(stream);
        }
    }

    // Writers on both listeners, until the service is gone.
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let mut writers = JoinSet::new();
    for (writer, base) in
        [format!("http://{plain}"), format!("https://{secure}")].into_iter().cycle().take(8).enumerate()
    {
        let (client, acknowledged) = (client(), Arc::clone(&acknowledged));
        writers.spawn(async move {
            for number in 0.. {
                let draft = json!({ "title": format!("Book {number} of writer {writer}") });
                let Ok(answer) = client.post(format!("{base}/api/v1/books")).json(&draft).send().await else {
                    return;
                };
                assert_eq!(answer.status().as_u16(), 201);
                // A head without its body would be a lost answer.
                answer.json::<Value>().await.unwrap();
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    // Answers that take longer than it takes to notice the signal.
    let mut summaries = JoinSet::new();
    for (book, base) in
        slow.iter().zip([format!("http://{plain}"), format!("https://{secure}")].into_iter().cycle())
    {
        let request = client().post(format!("{base}/api/v1/books/{book}/generate-summary"));
        summaries.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    upstream.wait_for_calls(slow.len()).await;
    while acknowledged.load(Ordering::SeqCst) < 100 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    let asked = Instant::now();
    service.signal(Signal::TERM);
    let statuses = summaries.join_all().await;
    assert_eq!(statuses, [200; 4], "requests under way are answered");
    writers.join_all().await;
    let status = tokio::task::spawn_blocking(move || (service.wait(), service)).await.unwrap();
    let (status, service) = status;
    assert_eq!(status.code(), Some(0), "{:#?}", service.log());
    assert!(asked.elapsed() < STOP, "it took {:?}", asked.elapsed());
    drop(halves);

    // Whatever the service did, it told to whoever had asked for it.
    let log = service.log();
    let acknowledged = acknowledged.load(Ordering::SeqCst);
    assert_eq!(created(&log), acknowledged + slow.len());
    let broken: Vec<&String> =
        log.iter().filter(|line| line.contains("\"cut\"") || line.contains("\"cancelled\"")).collect();
    assert!(broken.is_empty(), "{broken:#?}");
    // And it is there after a start.
    drop(service);
    let again = start.serve();
    let total = again.get("/api/v1/books?limit=1").await.expect(200)["total"].as_u64().unwrap();
    assert_eq!(total, u64::try_from(acknowledged + slow.len()).unwrap());
}

/// How many books the service says to have created.
fn created(log: &[String]) -> usize {
    let events = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter(|event| event["message"] == "request" && event["status"] == 201).count()
}

#[tokio::test]
async fn https_speaks_http_2_with_a_certificate_that_is_kept() {
    let start = with_tls(Start::without_provider());
    let service = start.serve();
    let url = format!("https://{}/api/v1/Books", secure_address(&service).await);
    let answer = client().get(&url).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
    assert!(
        service.metric("http_server_request_duration_seconds_count", &[r#"url_scheme="https""#]).await > 0.5
    );
    assert_eq!(service.get("/api/v1/books").await.status, 200);
    let (key, certificate) =
        (start.data().join("tls-development.key"), start.data().join("tls-development.crt"));
    assert!(is_private(&key));
    let first = std::fs::read(&certificate).unwrap();
    service.stop();
    start.serve().stop();
    assert_eq!(std::fs::read(&certificate).unwrap(), first);
}

#[test]
fn a_certificate_that_cannot_be_used_is_told_with_the_other_mistakes() {
    let start = Start::without_provider()
        .environment("TLS_CERT_FILE", "/nowhere/a.crt")
        .environment("TLS_KEY_FILE", "/nowhere/a.key")
        .environment("CORS_ALLOWED_ORIGINS", "*");
    let output = start.run(&[]);
    assert_ne!(output.status.code(), Some(0));
    let lines = plain_lines(&output.stderr).join("\n");
    for part in ["TLS_CERT_FILE", "/nowhere/a.crt", "CORS_ALLOWED_ORIGINS"] {
        assert!(lines.contains(part), "{lines}");
    }
}

#[tokio::test]
async fn one_in_so_many_access_events_is_written_and_every_failure() {
    let service = Start::without_provider().argument("--log-access-every", "10").serve();
    for _ in 0..30 {
        service.get("/api/v1/books").await.expect(200);
        service.get("/nowhere").await.problem(404, "route_not_found");
    }
    // Written after the ones before it.
    service.get("/at-the-end").await.problem(404, "route_not_found");
    service.logged(|event| event["path"] == "/at-the-end").await;
    let events: Vec<Value> =
        service.log().iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |path: &str| events.iter().filter(|event| event["path"] == path).collect::<Vec<_>>();
    assert_eq!((of("/api/v1/books").len(), of("/nowhere").len()), (3, 30));
    for event in of("/api/v1/books") {
        assert_eq!((&event["one_in"], &event["level"]), (&json!(10), &json!("INFO")));
        assert_eq!(event["trace_id"].as_str().map(str::len), Some(32), "{event}");
        assert_eq!(event["span_id"].as_str().map(str::len), Some(16), "{event}");
    }
}
