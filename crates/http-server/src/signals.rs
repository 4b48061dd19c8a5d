//! When to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Resolves on SIGTERM or SIGINT.
pub async fn stop_signal() {
    let (terminate, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    tokio::select! {
        () = next(terminate) => {}
        () = next(interrupt) => {}
    }
}

async fn next(signal: std::io::Result<Signal>) {
    match signal {
        Ok(mut signal) => {
            signal.recv().await;
        }
        // Without a handler the system's own takes over: the process ends at once.
        Err(error) => {
            tracing::warn!(%error, "no handler for stop signals");
            std::future::pending::<()>().await;
        }
    }
}

/// A token that is cancelled on SIGTERM or SIGINT.
#[must_use]
pub fn cancel_on_signal() -> CancellationToken {
    let token = CancellationToken::new();
    let cancel = token.clone();
    #[expect(clippy::disallowed_methods, reason = "lives as long as the process and holds nothing")]
    tokio::spawn(async move {
        stop_signal().await;
        cancel.cancel();
    });
    token
}
