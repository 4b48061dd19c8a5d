//! Bare axum: the least that a server could do, with an answer as large as the simulator's.

use std::path::Path;

use axum::Router;
use axum::body::Bytes;
use axum::routing::any;

use super::Fallible;

/// Serves the bytes of a file to every request, whose body it reads, until it is killed.
pub(crate) fn run(port: u16, answer: &Path) -> Fallible<()> {
    let answer = Bytes::from(std::fs::read(answer)?);
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let respond = any(move |_asked: Bytes| {
            let answer = answer.clone();
            async move { ([("content-type", "application/json; charset=utf-8")], answer) }
        });
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
        axum::serve(listener, Router::new().fallback(respond)).await?;
        Ok(())
    })
}
