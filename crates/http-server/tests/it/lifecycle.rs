//! Deadlines, panics and the stop.

use std::io::Write;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http_server::Limits;
use tokio::io::AsyncWriteExt;

use crate::stage::{SHORT, gate, hello, limits, problem, start, until_closed};

#[tokio::test]
async fn half_sent_headers_are_cut() {
    let service = start(hello(), Limits { header_timeout: SHORT, ..limits() }).await;
    let half = service.sent("GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow").await;
    assert!(!until_closed(half).await.contains("200 OK"));
    // The same on a connection that was good for one request already.
    let second =
        service.sent("GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /hello HTTP/1.1\r\nHost").await;
    assert_eq!(until_closed(second).await.matches("200 OK").count(), 1);
    assert_eq!(service.get("/hello").send().await.unwrap().text().await.unwrap(), "hello");
}

#[tokio::test]
async fn neither_half_sent_headers_nor_idle_connections_hold_a_stop() {
    let mut service = start(hello(), Limits { header_timeout: SHORT, ..limits() }).await;
    let half = service.sent("GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow").await;
    let silent = service.sent("").await;
    // This one stays open in the client's pool.
    service.get("/hello").send().await.unwrap().text().await.unwrap();
    service.cancel();
    service.stopped().await;
    drop((half, silent));
}

#[tokio::test]
async fn a_request_under_way_at_the_stop_is_answered_and_new_ones_are_not() {
    let (router, entered, leave) = gate();
    let mut service = start(router, limits()).await;
    let request = service.get("/gate").send();
    let stop = async {
        entered.notified().await;
        service.cancel();
        // Until the port is closed.
        while tokio::net::TcpStream::connect(service.address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        leave.notify_one();
    };
    let (response, ()) = tokio::join!(request, stop);
    let response = response.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.unwrap(), "through");
    service.stopped().await;
}

#[tokio::test]
async fn whoever_waits_in_the_kernel_at_the_stop_is_answered() {
    let mut service = start(hello(), limits()).await;
    // None is accepted before the stop: nothing else is polled until then.
    let asked: Vec<_> = (0..100)
        .map(|_| {
            let mut stream = std::net::TcpStream::connect(service.address).unwrap();
            stream.write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            stream.set_nonblocking(true).unwrap();
            stream
        })
        .collect();
    service.cancel();
    for stream in asked {
        let answer = until_closed(tokio::net::TcpStream::from_std(stream).unwrap()).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("hello"), "{answer:?}");
    }
    service.stopped().await;
}

#[tokio::test]
async fn a_first_request_that_comes_at_the_stop_is_answered() {
    let mut service = start(hello(), limits()).await;
    let mut silent = service.sent("").await;
    let mut half = service.sent("GET /hello HTTP/1.1\r\n").await;
    // Long enough to be accepted; nothing breaks where they are not.
    tokio::time::sleep(SHORT / 3).await;
    service.cancel();
    tokio::time::sleep(SHORT / 3).await;
    silent.write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    half.write_all(b"Host: localhost\r\n\r\n").await.unwrap();
    for stream in [silent, half] {
        let answer = until_closed(stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("hello"), "{answer:?}");
    }
    service.stopped().await;
}

#[tokio::test]
async fn the_drain_deadline_closes_what_hangs() {
    let (router, entered, _leave) = gate();
    let mut service = start(router, Limits { drain_deadline: SHORT, ..limits() }).await;
    let request = service.get("/gate").send();
    let stop = async {
        entered.notified().await;
        service.cancel();
        service.stopped().await;
    };
    let (response, ()) = tokio::join!(request, stop);
    // Cut, and not given up by the client after its own long wait.
    assert!(response.is_err_and(|error| !error.is_timeout()), "nobody answered it");
}

#[tokio::test]
async fn a_panic_is_a_problem_and_the_connection_goes_on() {
    async fn broken() -> &'static str {
        panic!("the secret of the shelf");
    }
    let router = hello().route("/broken", get(broken));
    let service = start(router, limits()).await;
    let problem = problem(service.get("/broken"), 500, "internal_error").await;
    assert_eq!(problem["traceId"].as_str().map(str::len), Some(32));
    assert!(!problem.to_string().contains("secret"), "{problem}");
    let both = service
        .sent(
            "GET /broken HTTP/1.1\r\nHost: localhost\r\n\r\n\
             GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        )
        .await;
    let answers = until_closed(both).await;
    assert!(answers.starts_with("HTTP/1.1 500 ") && answers.contains("HTTP/1.1 200 "), "{answers}");
    assert!(answers.ends_with("hello"), "{answers}");
}

#[tokio::test]
async fn a_handler_slower_than_the_deadline_is_a_problem() {
    let (router, _entered, _leave) = gate();
    let service = start(router, Limits { request_deadline: SHORT, ..limits() }).await;
    let problem = problem(service.get("/gate"), 504, "deadline_exceeded").await;
    assert_eq!(problem["instance"], "/gate");
    assert_eq!(service.get("/hello").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_body_that_never_ends_is_cut_by_the_deadline() {
    let router =
        Router::new().route("/read", axum::routing::post(async |body: String| body.len().to_string()));
    let service = start(router, Limits { request_deadline: SHORT, ..limits() }).await;
    let mut stream = service
        .sent(
            "POST /read HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 100\r\n\r\nhalf",
        )
        .await;
    stream.flush().await.unwrap();
    let answer = until_closed(stream).await;
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
}
