//! File descriptors: one for every connection.
//!
//! Shells and containers often allow 1,024 and would allow more if asked: the low limit is there for
//! programs that use `select`, which nothing here does. Go and Java ask at their start, too.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors besides those of connections: files, stores, providers.
const OTHERS: u64 = 512;

/// Lets the process have descriptors for so many connections, as far as that is up to it.
pub(crate) fn allow(connections: usize) {
    let wanted = (connections as u64).saturating_add(OTHERS);
    // An absent limit is none.
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    let allowed = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let asked = setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), maximum });
    if asked.is_err() || allowed < wanted {
        tracing::info!(
            descriptors = if asked.is_ok() { Some(allowed) } else { current },
            connections,
            "fewer file descriptors than connections may be needed: raise the limit (ulimit -n) for more"
        );
    }
}
