//! The terminal going away: k6 is in a process group of its own and would outlive it.

use tokio::signal::unix::{SignalKind, signal};

/// Resolves when the terminal goes away; never for a process that is to outlive it (`nohup`).
pub async fn hangup() {
    if is_ignored() {
        return std::future::pending().await;
    }
    match signal(SignalKind::hangup()) {
        Ok(mut hangups) => {
            hangups.recv().await;
        }
        Err(error) => {
            tracing::warn!(%error, "no handler for the terminal going away");
            std::future::pending::<()>().await;
        }
    }
}

/// Whether the process was started with the signal ignored; a handler would undo that. Linux says
/// so; elsewhere it counts as not ignored.
fn is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores_hangup(&status)
}

/// Signals are bits, counted from 1, and this one is the first.
fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 != 0)
}

#[cfg(test)]
mod tests {
    use super::ignores_hangup;

    #[test]
    fn the_mask_is_read() {
        assert!(ignores_hangup("Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0\n"));
        assert!(!ignores_hangup("SigIgn:\t0000000000001000\n"));
        assert!(!ignores_hangup("") && !ignores_hangup("SigIgn:\tx"));
    }
}
